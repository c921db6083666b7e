//! Bringing a partition's state to the group's committed position, emitting nothing.
//!
//! ```text
//!   store at (F, E) ─► facts F..C: apply only ─► ledger rows E..end: emitted ─► store at (C, end)
//! ```
//!
//! An empty disk works the same, from 0. What then still differs from the ledger is settled by the worker
//! like any other dirty case (normally nothing; a metric counts it).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use tributary_avro::{Commission, Conversion, Refund, Topic};
use tributary_domain::engine::{Row, Verdict};

use super::Core;
use super::position::Position;
use super::worker::{End, Worker};
use crate::kafka::log::{Bounds, LogError, LogReader, Range};
use crate::registry::{DecodeFailure, Registry, SchemaDecoder};

const COMMITTED_PATIENCE: Duration = Duration::from_secs(15);
const SETTLED_PATIENCE: Duration = Duration::from_secs(30);
const RECORDS_PER_BATCH: usize = 2_000;

pub(super) struct RowDecoders {
    conversions: Arc<SchemaDecoder<Conversion>>,
    refunds: Arc<SchemaDecoder<Refund>>,
    commissions: Arc<SchemaDecoder<Commission>>,
}

impl RowDecoders {
    pub(super) async fn new(registry: &Registry) -> Result<Self> {
        Ok(Self {
            conversions: registry.decoder(Topic::Conversions).await?,
            refunds: registry.decoder(Topic::Refunds).await?,
            commissions: registry.decoder(Topic::Commissions).await?,
        })
    }

    fn row(&self, index: usize, value: &[u8]) -> Result<Row, DecodeFailure> {
        Ok(match index {
            0 => Row::Conversion(Box::new(self.conversions.decode_blocking(value)?)),
            1 => Row::Refund(Box::new(self.refunds.decode_blocking(value)?)),
            _ => Row::Commission(Box::new(self.commissions.decode_blocking(value)?)),
        })
    }
}

/// What the logs say, asked once earlier owners are fenced off.
pub(super) struct Logs {
    /// C: where the group goes on.
    pub committed: i64,
    facts: Bounds,
    ledger: [Bounds; 3],
}

impl<C: Core> Worker<'_, C> {
    /// Asks the logs. Only after the fence: before it an earlier owner may still move the answers.
    pub(super) fn ask_logs(&self, reader: &LogReader) -> Result<Logs, End> {
        let deadline = Instant::now() + SETTLED_PATIENCE;
        let mut ledger = [Bounds { start: 0, end: 0 }; 3];
        for (topic, bounds) in self.stage.ledger.iter().zip(&mut ledger) {
            *bounds = loop {
                if let Some(settled) = reader.settled(topic, self.partition)? {
                    break settled;
                }
                if Instant::now() > deadline {
                    return Err(End::Again(anyhow!(
                        "a transaction stays open on {topic}/{}",
                        self.partition
                    )));
                }
                if self.task.queue.wait_closed(Duration::from_millis(20)) {
                    return Err(End::Stopped);
                }
            };
        }
        let facts = reader.stable(self.facts_topic(), self.partition)?;
        let committed = self.task.committed(0, self.partition, COMMITTED_PATIENCE)?;
        let has_ledger = self.has_ledger(reader, &ledger)?;
        let committed = match committed {
            Some(committed) => committed,
            None if !has_ledger => 0,
            // The group's offsets expired, or were deleted. The ledger is a function of the facts: take all of
            // them as read, and emit only what differs.
            None => {
                tracing::warn!(
                    partition = self.partition,
                    "no committed offset, restoring from all facts"
                );
                facts.end
            }
        };
        if committed > facts.end {
            return Err(End::Dead(anyhow!(
                "data loss: {}/{} ends at {}, but {committed} is committed",
                self.facts_topic(),
                self.partition,
                facts.end
            )));
        }
        Ok(Logs {
            committed,
            facts,
            ledger,
        })
    }

    /// Whether the ledger has a record that counts: an aborted transaction leaves offsets and none.
    fn has_ledger(&self, reader: &LogReader, ledger: &[Bounds; 3]) -> Result<bool, End> {
        for (topic, bounds) in self.stage.ledger.iter().zip(ledger) {
            let range = Range {
                topic,
                partition: self.partition,
                from: bounds.start,
                to: bounds.end,
            };
            let mut found = false;
            let first = |_: &BorrowedMessage<'_>| {
                found = true;
                Err(LogError::Stopped)
            };
            match reader.read(range, || self.task.is_stopped(), first) {
                Err(LogError::Stopped) if found => return Ok(true),
                result => result?,
            }
        }
        Ok(false)
    }

    /// See the module.
    pub(super) fn restore(&mut self, reader: &LogReader, logs: &Logs) -> Result<(), End> {
        let started = Instant::now();
        self.store.discard();
        let found = self.store.position()?;
        let position = found.as_deref().and_then(Position::parse);
        let ends = logs.ledger.map(|bounds| bounds.end);
        match position {
            Some(position) if position.is_within(logs.committed, ends) => self.position = position,
            _ => {
                if found.is_some() {
                    tracing::warn!(
                        partition = self.partition,
                        "state is ahead of the log: deleted, to be rebuilt"
                    );
                    metrics::counter!("tributary_store_rebuilt_total", "why" => "ahead").increment(1);
                }
                self.store.wipe()?;
                self.position = Position::default();
            }
        }
        self.core = C::open(&self.store)?;
        let from = self.position.clone();
        self.replay_facts(reader, logs)?;
        self.position.facts = logs.committed;
        let rows = self.replay_ledger(reader, logs)?;
        self.position.ledger = ends;
        self.core.checkpoint(&mut self.store)?;
        self.store.commit(&self.position.bytes())?;
        let facts = logs.committed - from.facts;
        if facts > 0 || rows > 0 {
            tracing::info!(partition = self.partition, facts, rows, elapsed = ?started.elapsed(), "state restored");
        }
        metrics::counter!("tributary_attribute_restored_facts_total").increment(facts.max(0).unsigned_abs());
        metrics::counter!("tributary_attribute_restored_rows_total").increment(rows);
        Ok(())
    }

    fn replay_facts(&mut self, reader: &LogReader, logs: &Logs) -> Result<(), End> {
        if self.position.facts < logs.committed && logs.facts.start > self.position.facts {
            return Err(End::Dead(anyhow!(
                "data loss: {}/{} starts at {}, but {} is needed",
                self.facts_topic(),
                self.partition,
                logs.facts.start,
                self.position.facts
            )));
        }
        let topic = self.facts_topic().to_owned();
        let range = Range {
            topic: &topic,
            partition: self.partition,
            from: self.position.facts,
            to: logs.committed,
        };
        let task = self.task;
        let mut batch = 0;
        reader.read(
            range,
            || task.is_stopped(),
            |message| {
                self.replay_fact(message)?;
                batch += 1;
                if batch == RECORDS_PER_BATCH {
                    batch = 0;
                    self.core.checkpoint(&mut self.store)?;
                    self.store.commit(&self.position.bytes())?;
                }
                Ok(())
            },
        )
    }

    fn replay_fact(&mut self, message: &BorrowedMessage<'_>) -> Result<(), End> {
        let verdict = match self.decode_fact(message.payload())? {
            Ok(fact) => self.core.apply(&mut self.store, fact)?,
            Err((reason, _)) => Verdict::Rejected(reason),
        };
        self.position.count(verdict);
        self.position.facts = message.offset() + 1;
        Ok(())
    }

    fn replay_ledger(&mut self, reader: &LogReader, logs: &Logs) -> Result<u64, End> {
        let mut rows = 0;
        let ledger = self
            .stage
            .ledger
            .iter()
            .zip(logs.ledger)
            .zip(self.position.ledger);
        for (index, ((topic, bounds), from)) in ledger.enumerate() {
            let range = Range {
                topic,
                partition: self.partition,
                from,
                to: bounds.end,
            };
            let task = self.task;
            reader.read(
                range,
                || task.is_stopped(),
                |message| {
                    rows += 1;
                    let value = message.payload().unwrap_or_default();
                    let row = self.decode_row(index, value).with_context(|| {
                        format!("{topic}/{} at offset {}", self.partition, message.offset())
                    });
                    let row = row.map_err(End::Dead)?;
                    self.core.emitted(&mut self.store, &row)?;
                    if let Some(own) = self.position.ledger.get_mut(index) {
                        *own = message.offset() + 1;
                    }
                    if rows % RECORDS_PER_BATCH as u64 == 0 {
                        self.core.checkpoint(&mut self.store)?;
                        self.store.commit(&self.position.bytes())?;
                    }
                    Ok::<(), End>(())
                },
            )?;
        }
        Ok(rows)
    }

    fn decode_row(&self, index: usize, value: &[u8]) -> Result<Row> {
        loop {
            match self.stage.rows.row(index, value) {
                Ok(row) => return Ok(row),
                Err(DecodeFailure::Retry(why)) => {
                    tracing::warn!(why, "waiting for the schema registry");
                    if self.task.queue.wait_closed(Duration::from_secs(1)) {
                        return Err(anyhow!("stopped while waiting for the schema registry"));
                    }
                }
                Err(dead) => return Err(dead.into()),
            }
        }
    }
}
