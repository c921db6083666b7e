//! Records that are no rows, kept with their reason in the dead-letters topic.
//!
//! A letter is acknowledged by Kafka before the range that it belongs to is complete; a range that is replayed writes
//! its letters again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::OnceCell;
use tributary_avro::{DeadLetter, Encoder, Topic};

use super::SinkError;
use crate::config::SinkConfig;
use crate::schemas::Schemas;

/// Why a record is no row: the closed set of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Not in the Confluent wire format.
    NotAvro,
    /// The registry knows no such schema.
    UnknownSchema,
    /// The schema lacks what the table needs.
    IncompatibleSchema,
    /// Not a datum of its schema, or a value does not fit.
    InvalidRecord,
    /// Event time before 1970 or after 2199.
    TimeOutOfRange,
}

impl Reason {
    pub(super) fn code(self) -> &'static str {
        match self {
            Reason::NotAvro => "not_avro",
            Reason::UnknownSchema => "unknown_schema",
            Reason::IncompatibleSchema => "incompatible_schema",
            Reason::InvalidRecord => "invalid_record",
            Reason::TimeOutOfRange => "time_out_of_range",
        }
    }
}

#[derive(Debug)]
pub(super) struct Letter {
    pub(super) offset: i64,
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// Kafka timestamp, milliseconds.
    pub(super) at: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Letter {
    pub(super) fn size(&self) -> usize {
        self.key.len() + self.value.len() + self.detail.len() + 128
    }
}

pub(super) struct DeadLetters {
    producer: FutureProducer,
    topic: String,
    schemas: Arc<dyn Schemas>,
    encoder: OnceCell<Encoder<DeadLetter>>,
}

impl DeadLetters {
    pub(super) fn new(config: &SinkConfig, schemas: Arc<dyn Schemas>) -> Result<Self, SinkError> {
        let settings = BTreeMap::from([
            ("bootstrap.servers", config.brokers.as_str()),
            ("enable.idempotence", "true"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "zstd"),
            ("message.max.bytes", "8388608"),
            ("linger.ms", "5"),
        ]);
        let mut kafka = ClientConfig::new();
        for (name, value) in settings {
            kafka.set(name, value);
        }
        Ok(Self {
            producer: kafka.create()?,
            topic: format!("{}{}", config.topic_prefix, Topic::DeadLetters.name()),
            schemas,
            encoder: OnceCell::new(),
        })
    }

    /// Writes letters; returns when Kafka has all of them. The caller repeats a failure.
    pub(super) async fn send(
        &self,
        topic: &str,
        partition: i32,
        letters: &[Letter],
    ) -> Result<(), SinkError> {
        let encoder = self.encoder.get_or_try_init(|| self.make_encoder()).await?;
        for letter in letters {
            let mut record = DeadLetter {
                topic: topic.to_owned(),
                partition,
                offset: letter.offset,
                stage: "sink".to_owned(),
                reason: letter.reason.code().to_owned(),
                detail: letter.detail.clone(),
                at: letter.at,
                key: letter.key.clone(),
                value: letter.value.clone(),
            };
            let sent = self.send_one(encoder, &record).await;
            if let Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)) = sent {
                // The position leads to the bytes for as long as the topic keeps them.
                record.value = Vec::new();
                record.detail.push_str("; too large to be kept here");
                self.send_one(encoder, &record).await?;
            } else {
                sent?;
            }
            metrics::counter!("tributary_sink_dead_letters_total", "reason" => letter.reason.code())
                .increment(1);
            tracing::warn!(
                topic, partition, offset = letter.offset, reason = letter.reason.code(), detail = %letter.detail,
                "dead letter"
            );
        }
        Ok(())
    }

    async fn make_encoder(&self) -> Result<Encoder<DeadLetter>, SinkError> {
        let id = self.schemas.id(Topic::DeadLetters).await?;
        Ok(Encoder::new(id))
    }

    async fn send_one(&self, encoder: &Encoder<DeadLetter>, record: &DeadLetter) -> Result<(), KafkaError> {
        let bytes = encoder
            .encode(record)
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let out = FutureRecord::to(&self.topic).key(&record.key).payload(&bytes);
        match self.producer.send(out, Duration::from_secs(30)).await {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error),
        }
    }
}
