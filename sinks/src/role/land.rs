//! One batch into ClickHouse: commit its plan, write its dead letters, insert its blocks.
//!
//! Every step is repeated until it is done, the partition is another's, or a person must look. A block whose outcome
//! is in doubt is counted in the table before it is sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SinkError;
use super::assignment::Place;
use super::batch::Suspect;
use super::commit::{Committed, Committer};
use super::letters::{DeadLetters, Letter};
use super::lost_rows::{bring_back, engine};
use super::repeats;
use crate::client::{Client, ClientError, Retry};
use crate::crash;
use crate::native::{Block, Column};
use crate::planner::{Found, Plan, Verdict, after_doubt};
use crate::schemas::SchemaError;
use crate::tables::Table;

/// A plan that was committed longer ago may have lost its owner: ask before an insert starts.
const PLAN_HOLDS: Duration = Duration::from_secs(30);
/// An unknown outcome that is older is settled by counting.
const DOUBT_AFTER: Duration = Duration::from_secs(30);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What every flight uses.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) committer: Committer,
    pub(super) letters: Arc<DeadLetters>,
    pub(super) deduplication_window: u64,
}

/// A batch with its plan.
pub(super) struct Flight {
    pub(super) table: Arc<Table>,
    pub(super) place: Place,
    pub(super) epoch: u64,
    pub(super) plan: Plan,
    /// The plan was found, not made: parts of it may be in the table.
    pub(super) replay: bool,
    pub(super) months: Vec<(u32, Vec<Column>)>,
    pub(super) letters: Vec<Letter>,
    /// Sorted by offset.
    pub(super) suspects: Vec<Suspect>,
}

/// How a flight ended.
#[derive(Debug)]
pub(super) enum Landed {
    Done,
    /// The partition is another's; whoever has it finds the plan.
    Lost,
    Failed(SinkError),
}

pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF.0)
    }
}

impl Backoff {
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(BACKOFF.1);
    }
}

pub(super) async fn land(shared: Arc<Shared>, mut flight: Flight) -> Landed {
    let months = std::mem::take(&mut flight.months);
    let letters = std::mem::take(&mut flight.letters);
    let suspects = std::mem::take(&mut flight.suspects);
    match steps(&shared, &flight, (months, suspects), letters).await {
        Ok(true) => Landed::Done,
        Ok(false) => Landed::Lost,
        Err(error) => Landed::Failed(error),
    }
}

async fn steps(
    shared: &Shared,
    flight: &Flight,
    (mut months, suspects): (Vec<(u32, Vec<Column>)>, Vec<Suspect>),
    letters: Vec<Letter>,
) -> Result<bool, SinkError> {
    if !commit_plan(shared, flight).await {
        return Ok(false);
    }
    let mut planned = Instant::now();
    crash::pass("sink.after_plan");
    if !letters.is_empty() && !send_letters(shared, flight, &letters).await? {
        return Ok(false);
    }
    if !suspects.is_empty() && !repeats::judge(shared, flight, suspects, &mut months).await? {
        return Ok(false);
    }
    let mut left = months.len();
    for (month, columns) in months {
        let block = Block::seal(columns).map_err(|error| SinkError::Internal(error.to_string()))?;
        if !insert(shared, flight, month, &block, &mut planned).await? {
            return Ok(false);
        }
        left -= 1;
        if left > 0 {
            crash::pass("sink.between_partitions");
        }
    }
    crash::pass("sink.after_insert");
    Ok(true)
}

// Also renews it: Kafka refuses whoever is not the owner any more.
async fn commit_plan(shared: &Shared, flight: &Flight) -> bool {
    let mut backoff = Backoff::default();
    loop {
        let first = flight.plan.range.first;
        let answer =
            shared
                .committer
                .submit(flight.place.clone(), flight.epoch, first, flight.plan.metadata());
        match answer.await {
            Ok(Committed::Done) => return true,
            Ok(Committed::Lost) | Err(_) => return false,
            Ok(Committed::Failed(error)) => {
                tracing::warn!(topic = flight.place.0, partition = flight.place.1, %error, "plan not committed");
                backoff.wait().await;
            }
        }
    }
}

async fn send_letters(shared: &Shared, flight: &Flight, letters: &[Letter]) -> Result<bool, SinkError> {
    let mut backoff = Backoff::default();
    loop {
        match shared
            .letters
            .send(&flight.place.0, flight.place.1, letters)
            .await
        {
            Ok(()) => return Ok(true),
            Err(SinkError::Schemas(error @ SchemaError::Refused(_))) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "dead letters not written"),
        }
        backoff.wait().await;
        if !still_owned(shared, flight).await {
            return Ok(false);
        }
    }
}

pub(super) async fn still_owned(shared: &Shared, flight: &Flight) -> bool {
    commit_plan(shared, flight).await
}

async fn insert(
    shared: &Shared,
    flight: &Flight,
    month: u32,
    block: &Block,
    planned: &mut Instant,
) -> Result<bool, SinkError> {
    let table = &flight.table;
    let token = flight.plan.token(&flight.place.0, flight.place.1, month);
    let statement = table.insert_into(&table.name);
    let mut backoff = Backoff::default();
    let mut doubtful = flight.replay;
    let mut unknown_since = None;
    loop {
        if planned.elapsed() > PLAN_HOLDS {
            if !still_owned(shared, flight).await {
                return Ok(false);
            }
            *planned = Instant::now();
            doubtful = true;
        }
        doubtful |= unknown_since.is_some_and(|since: Instant| since.elapsed() >= DOUBT_AFTER);
        let sent = attempt(shared, flight, (month, &token, &statement), block, doubtful).await;
        let landed = match sent {
            Ok(()) if !flight.replay && unknown_since.is_none() => return Ok(true),
            // Somebody may have sent it before.
            Ok(()) => settle(shared, flight, month, block).await,
            Err(error) => Err(error),
        };
        match landed {
            Ok(owned) => return Ok(owned),
            Err(SinkError::ClickHouse(error)) if error.retry() == Retry::Again => {
                tracing::warn!(table = table.name, %error, "insert not confirmed, sending it again");
                metrics::counter!("tributary_sink_insert_retries_total").increment(1);
                unknown_since.get_or_insert_with(Instant::now);
            }
            Err(error) => return Err(error),
        }
        backoff.wait().await;
    }
}

async fn attempt(
    shared: &Shared,
    flight: &Flight,
    (month, token, statement): (u32, &str, &str),
    block: &Block,
    doubtful: bool,
) -> Result<(), SinkError> {
    if doubtful && flight.table.keeps_positions() {
        let found = find(&shared.client, flight, month).await?;
        match after_doubt(block.rows as u64, found, shared.deduplication_window) {
            Verdict::Send => {}
            Verdict::Skip => {
                tracing::warn!(
                    token,
                    "found in the table, not sent again; what materialized views of yours made of it is not known"
                );
                return Ok(());
            }
            Verdict::Stop => return Err(torn(flight, month, found.rows, block)),
        }
    }
    crash::pass("sink.before_insert");
    let started = Instant::now();
    shared.client.insert(statement, token, block).await?;
    let name = flight.table.name.clone();
    metrics::counter!("tributary_sink_rows_total", "table" => name.clone()).increment(block.rows as u64);
    metrics::histogram!("tributary_sink_insert_seconds", "table" => name)
        .record(started.elapsed().as_secs_f64());
    tracing::debug!(
        token,
        rows = block.rows,
        bytes = block.size(),
        millis = started.elapsed().as_millis() as u64,
        "inserted"
    );
    Ok(())
}

/// Whether a block that ClickHouse says to have is there; brings it back if not. False if the partition is another's.
async fn settle(shared: &Shared, flight: &Flight, month: u32, block: &Block) -> Result<bool, SinkError> {
    if !flight.table.keeps_positions() || block.rows == 0 {
        return Ok(true);
    }
    let found = find(&shared.client, flight, month).await?.rows;
    if found == block.rows as u64 {
        return Ok(true);
    }
    match engine(&shared.client, &flight.table).await?.as_str() {
        "MergeTree" if found == 0 => bring_back(shared, flight, month, block).await,
        "MergeTree" | "ReplicatedMergeTree" | "SharedMergeTree" => Err(torn(flight, month, found, block)),
        // Others put rows together, or pass them on: a count says nothing.
        _ => Ok(true),
    }
}

pub(super) fn torn(flight: &Flight, month: u32, found: u64, block: &Block) -> SinkError {
    SinkError::Torn {
        table: flight.table.name.clone(),
        topic: flight.place.0.clone(),
        partition: flight.place.1,
        first: flight.plan.range.first,
        last: flight.plan.range.last,
        month,
        found,
        expected: block.rows as u64,
    }
}

#[derive(clickhouse::Row, serde::Deserialize)]
struct Counted {
    rows: u64,
    // First block number of the oldest part that has one of the rows, and the last of the table.
    oldest: i64,
    newest: i64,
}

pub(super) async fn find(client: &Client, flight: &Flight, month: u32) -> Result<Found, SinkError> {
    let table = &flight.table;
    let (database, name) = table.database_and_name();
    let in_month = match table.month_of.and_then(|column| table.columns.get(column)) {
        Some(column) => format!("AND toYYYYMM(`{}`) = {month}", column.name),
        None => String::new(),
    };
    let sql = format!(
        "SELECT count() AS rows, min(toInt64OrZero(splitByChar('_', _part)[2])) AS oldest, \
         ifNull((SELECT max(max_block_number) FROM system.parts WHERE database = ? AND table = ? AND active), 0) AS newest \
         FROM {} WHERE kafka_partition = ? AND kafka_offset BETWEEN ? AND ? {in_month}",
        table.name
    );
    let counted: Counted = client
        .query(&sql)
        .bind(database)
        .bind(name)
        .bind(flight.place.1)
        .bind(flight.plan.range.first)
        .bind(flight.plan.range.last)
        .fetch_one()
        .await
        .map_err(ClientError::from)?;
    Ok(Found {
        rows: counted.rows,
        inserts_since: u64::try_from(counted.newest - counted.oldest).unwrap_or(u64::MAX),
    })
}

/// Refuses to start a partition from the log's beginning if the table has rows from there on.
pub(super) async fn refuse_forgotten(
    client: &Client,
    table: &Table,
    place: &Place,
    start: i64,
) -> Result<(), SinkError> {
    if !table.keeps_positions() {
        return Ok(());
    }
    let sql = format!(
        "SELECT count() FROM {} WHERE kafka_partition = ? AND kafka_offset >= ?",
        table.name
    );
    let mut backoff = Backoff::default();
    loop {
        let count: Result<u64, _> = client.query(&sql).bind(place.1).bind(start).fetch_one().await;
        match count.map_err(ClientError::from) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                return Err(SinkError::Forgotten {
                    topic: place.0.clone(),
                    partition: place.1,
                    table: table.name.clone(),
                    start,
                });
            }
            Err(error) if error.retry() == Retry::Never => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "clickhouse is not there yet");
                backoff.wait().await;
            }
        }
    }
}
