//! Dead letters: records that cannot be processed, kept byte for byte with the reason.

use std::sync::Arc;

use tributary_avro::{CodecError, DeadLetter, Encoder, Topic};

use crate::kafka::Settings;
use crate::registry::{Registry, RegistryError};
use crate::runtime::batch::Record;

/// Where a record was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub stage: &'static str,
    pub topic: &'a str,
    pub partition: i32,
}

/// Why it is dead.
#[derive(Debug, Clone)]
pub(crate) struct Why {
    /// Closed set.
    pub reason: &'static str,
    pub detail: String,
}

/// Makes dead letters.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    pub topic: String,
    encoder: Arc<Encoder<DeadLetter>>,
}

impl DeadLetters {
    pub(crate) async fn new(settings: &Settings, registry: &Registry) -> Result<Self, RegistryError> {
        Ok(Self {
            topic: settings.topic(Topic::DeadLetters),
            encoder: registry.encoder(Topic::DeadLetters).await?,
        })
    }

    /// The letter for a record, encoded. `at`: its event time, if known.
    pub(crate) fn letter(
        &self,
        origin: Origin<'_>,
        record: &Record<'_>,
        at: Option<i64>,
        why: Why,
    ) -> Result<Vec<u8>, CodecError> {
        metrics::counter!("tributary_dead_letters_total", "stage" => origin.stage, "reason" => why.reason)
            .increment(1);
        tracing::warn!(
            stage = origin.stage,
            topic = origin.topic,
            partition = origin.partition,
            offset = record.offset,
            reason = why.reason,
            detail = why.detail,
            "dead letter"
        );
        self.encoder.encode(&DeadLetter {
            topic: origin.topic.to_owned(),
            partition: origin.partition,
            offset: record.offset,
            stage: origin.stage.to_owned(),
            reason: why.reason.to_owned(),
            detail: why.detail,
            at: at.unwrap_or(record.timestamp),
            key: record.key.to_vec(),
            value: record.value.unwrap_or_default().to_vec(),
        })
    }
}
