//! Topic people into the table of its name: at least once, and a row that comes again changes nothing.
//!
//! A compacted topic has gaps, so a range of offsets does not name its rows as it does in the other topics. It need
//! not: a row's version is its offset, and of a customer's rows the one with the highest version stands. Rows are
//! inserted, then the offsets committed.
//!
//! Invariant: a tombstone becomes a row without texts that takes the customer's others away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, timeout_at};
use tributary_avro::{Decoder, Person, Topic, schema_id};

use super::batch::END;
use super::land::Backoff;
use super::letters::{DeadLetters, Letter, Reason};
use super::{SinkError, consumer_config};
use crate::client::{Client, Retry};
use crate::config::{ClickHouseConfig, SinkConfig};
use crate::native::{Block, Column, Kind};
use crate::schemas::{SchemaError, Schemas};

/// Rows of one insert.
const ROWS: usize = 10_000;
/// How soon it is seen that the sink shall stop.
const IDLE: Duration = Duration::from_millis(200);
/// After an error of Kafka, e.g. because the topic is not there yet.
const PAUSE: Duration = Duration::from_secs(1);

const COLUMNS: [(&str, Kind); 9] = [
    ("workspace", Kind::Dictionary),
    ("mode", Kind::Dictionary),
    ("customer", Kind::Text),
    ("name", Kind::Text),
    ("email", Kind::Text),
    ("avatar", Kind::Text),
    ("at", Kind::Millis),
    ("version", Kind::UInt64),
    ("is_deleted", Kind::UInt8),
];

/// Why a record is no row.
type Bad = (Reason, String);

/// See the module.
pub(super) struct People {
    consumer: StreamConsumer,
    client: Client,
    topic: String,
    table: String,
    flush: Duration,
    letters: Arc<DeadLetters>,
    schemas: Arc<dyn Schemas>,
    decoder: Decoder<Person>,
    stop: Arc<AtomicBool>,
}

impl People {
    pub(super) fn new(
        config: &SinkConfig,
        clickhouse: &ClickHouseConfig,
        (letters, schemas): (Arc<DeadLetters>, Arc<dyn Schemas>),
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SinkError> {
        let topic = format!("{}{}", config.topic_prefix, Topic::People.name());
        let consumer: StreamConsumer = consumer_config(config)
            .set("group.id", format!("{}-people", config.group))
            // What is gone was overwritten: there is nothing to miss.
            .set("auto.offset.reset", "earliest")
            .create()?;
        consumer.subscribe(&[&topic])?;
        Ok(Self {
            consumer,
            client: Client::new(clickhouse, config.compress),
            table: format!("{}.{}", clickhouse.database, Topic::People.name()),
            topic,
            flush: config.flush(false),
            letters,
            schemas,
            decoder: Decoder::default(),
            stop,
        })
    }

    /// Runs until it shall stop; what is not inserted by then is read again. Then the consumer is to be closed by
    /// dropping this.
    pub(super) async fn run(&mut self) -> Result<(), SinkError> {
        while !self.stopped() {
            let records = self.gather().await;
            if records.is_empty() {
                continue;
            }
            let mut columns = COLUMNS.map(|(name, kind)| Column::new(name, kind));
            let mut letters: BTreeMap<i32, Vec<Letter>> = BTreeMap::new();
            for record in &records {
                let Some(read) = self.read(record).await else {
                    return Ok(());
                };
                match read {
                    Ok(row) => row.append(&mut columns),
                    Err(bad) => letters
                        .entry(record.partition())
                        .or_default()
                        .push(letter(record, bad)),
                }
            }
            if !self.bury(&letters).await || !self.insert(columns).await? {
                return Ok(());
            }
            self.commit(&records);
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What comes within the time that a row may wait for others.
    async fn gather(&self) -> Vec<OwnedMessage> {
        let mut records = Vec::new();
        let mut deadline = Instant::now() + IDLE;
        while records.len() < ROWS {
            match timeout_at(deadline, self.consumer.recv()).await {
                Ok(Ok(message)) => {
                    if records.is_empty() {
                        deadline = Instant::now() + self.flush;
                    }
                    records.push(message.detach());
                }
                Ok(Err(error)) => {
                    tracing::warn!(topic = self.topic, %error, "reading");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => break,
            }
        }
        records
    }

    /// The row of a record, or why it is none; None if the sink shall stop.
    async fn read(&mut self, record: &OwnedMessage) -> Option<Result<Row, Bad>> {
        let Some(value) = record.payload() else {
            return Some(Row::of(record, None));
        };
        let id = match schema_id(value) {
            Ok(id) => id,
            Err(error) => return Some(Err((Reason::NotAvro, error.to_string()))),
        };
        while !self.decoder.knows(id) {
            match self.schemas.schema(id).await {
                Ok(json) => {
                    if let Err(error) = self.decoder.add(id, &json) {
                        return Some(Err((Reason::IncompatibleSchema, error.to_string())));
                    }
                }
                Err(SchemaError::Unknown(_)) => {
                    return Some(Err((Reason::UnknownSchema, format!("schema ID {id}"))));
                }
                Err(error) => {
                    tracing::warn!(%error, "schema unknown so far, waiting");
                    tokio::time::sleep(PAUSE).await;
                    if self.stopped() {
                        return None;
                    }
                }
            }
        }
        let person = self.decoder.decode(value);
        Some(match person {
            Ok(person) => Row::of(record, Some(person)),
            Err(error) => Err((Reason::InvalidRecord, error.to_string())),
        })
    }

    /// Writes dead letters until Kafka has them; false if the sink shall stop.
    async fn bury(&self, letters: &BTreeMap<i32, Vec<Letter>>) -> bool {
        for (partition, letters) in letters {
            let mut backoff = Backoff::default();
            while let Err(error) = self.letters.send(&self.topic, *partition, letters).await {
                tracing::warn!(%error, "dead letters not written, trying again");
                if self.stopped() {
                    return false;
                }
                backoff.wait().await;
            }
        }
        true
    }

    /// Inserts until ClickHouse has the rows; false if the sink shall stop.
    async fn insert(&self, columns: [Column; COLUMNS.len()]) -> Result<bool, SinkError> {
        let block = Block::seal(columns.into()).map_err(|error| SinkError::Internal(error.to_string()))?;
        if block.rows == 0 {
            return Ok(true);
        }
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        let statement = format!("INSERT INTO {} ({names}) FORMAT Native", self.table);
        let mut backoff = Backoff::default();
        loop {
            match self.client.insert_repeatable(&statement, &block).await {
                Ok(()) => {
                    metrics::counter!("tributary_sink_rows_total", "table" => self.table.clone())
                        .increment(block.rows as u64);
                    tracing::debug!(table = self.table, rows = block.rows, "inserted");
                    return Ok(true);
                }
                Err(error) if error.retry() == Retry::Never => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(table = self.table, %error, "insert not confirmed, sending it again");
                    metrics::counter!("tributary_sink_insert_retries_total").increment(1);
                }
            }
            if self.stopped() {
                return Ok(false);
            }
            backoff.wait().await;
        }
    }

    /// If it fails, the same rows are read and inserted again.
    fn commit(&self, records: &[OwnedMessage]) {
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        for record in records {
            next.insert(record.partition(), record.offset() + 1);
        }
        let mut list = TopicPartitionList::new();
        let added = next.into_iter().try_for_each(|(partition, offset)| {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
        });
        let committed = added.and_then(|()| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            tracing::warn!(topic = self.topic, %error, "offsets not committed");
        }
    }
}

/// A row of the table.
struct Row {
    /// Workspace, mode, customer.
    key: [String; 3],
    /// Name, address, picture; all empty if there is nothing to show.
    texts: [String; 3],
    at: i64,
    version: i64,
    deleted: bool,
}

impl Row {
    /// The key tells the customer, so that a tombstone, which has nothing else, means the same one.
    fn of(record: &OwnedMessage, person: Option<Person>) -> Result<Self, Bad> {
        let text = std::str::from_utf8(record.key().unwrap_or_default());
        let parts = text.unwrap_or_default().splitn(3, '/').map(str::to_owned);
        let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
        let key: [String; 3] = parts.try_into().map_err(|_| {
            let why = "its key is not workspace/mode/customer";
            (Reason::InvalidRecord, why.to_owned())
        })?;
        let deleted = person.is_none();
        let person = person.unwrap_or_else(|| Person {
            at: record.timestamp().to_millis().unwrap_or_default(),
            ..Person::default()
        });
        if !(0..END).contains(&person.at) {
            return Err((Reason::TimeOutOfRange, format!("event time {}", person.at)));
        }
        Ok(Self {
            key,
            texts: [person.name, person.email, person.avatar],
            at: person.at,
            version: record.offset(),
            deleted,
        })
    }

    fn append(&self, columns: &mut [Column; COLUMNS.len()]) {
        let [
            workspace,
            mode,
            customer,
            name,
            email,
            avatar,
            at,
            version,
            is_deleted,
        ] = columns;
        let texts = [workspace, mode, customer, name, email, avatar];
        for (column, text) in texts.into_iter().zip(self.key.iter().chain(&self.texts)) {
            column.push_text(text.as_bytes());
        }
        at.push_int(self.at);
        version.push_int(self.version);
        is_deleted.push_int(i64::from(self.deleted));
    }
}

fn letter(record: &OwnedMessage, (reason, detail): Bad) -> Letter {
    Letter {
        offset: record.offset(),
        reason,
        detail,
        at: record.timestamp().to_millis().unwrap_or_default(),
        key: record.key().unwrap_or_default().to_vec(),
        value: record.payload().unwrap_or_default().to_vec(),
    }
}
