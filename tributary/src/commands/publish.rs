//! Records from the command line into a topic, keyed as the stages key them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tributary_avro::{Record, Topic};

use crate::roles;
use crate::settings::Settings;

/// Publishes records in their order, and waits until all are acknowledged.
pub async fn all<T: Record>(
    settings: &Settings,
    topic: Topic,
    records: &[T],
    key: impl Fn(&T) -> String,
) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let registry = roles::registry(settings).await?;
    let encoder = registry.encoder::<T>(topic).await?;
    let producer: FutureProducer = settings.kafka.producer().create()?;
    let topic = settings.kafka.topic(topic);
    let mut waiting = Vec::new();
    for record in records {
        let (key, value) = (key(record), encoder.encode(record)?);
        let (producer, topic) = (producer.clone(), topic.clone());
        waiting.push(async move {
            let record = FutureRecord::to(&topic).key(&key).payload(&value);
            producer
                .send(record, Duration::from_secs(10))
                .await
                .map_err(|(error, _)| error)
        });
    }
    for sent in futures::future::join_all(waiting).await {
        sent.with_context(|| format!("publish to topic {topic}"))?;
    }
    Ok(())
}
