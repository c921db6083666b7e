//! Topic `config` into the directory: read from the beginning, then followed for ever.
//!
//! A thread of its own, without a consumer group: every edge reads all partitions. It also asks the broker
//! for metadata every few seconds, which is how readiness knows whether Kafka answers.
//! Invariant: the directory counts as loaded only after every partition was read to its end once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tributary_avro::{Config, Topic};
use tributary_domain::requests::Directory;

use crate::config::KafkaConfig;
use crate::state::State;

/// Reads a framed config record; may fetch an unknown schema (it runs in a thread that may block).
pub type ConfigReader = Box<dyn FnMut(&[u8]) -> anyhow::Result<Config> + Send>;

const POLL: Duration = Duration::from_millis(100);
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const BATCH: usize = 1000;

/// Runs until the state is stopped.
pub(crate) fn run(kafka: &KafkaConfig, mut read: ConfigReader, state: &Arc<State>) {
    while !state.stopped.load(Relaxed) {
        if let Err(error) = follow(kafka, &mut read, state) {
            state.kafka_reachable.store(false, Relaxed);
            tracing::warn!("config topic: {error:#}; trying again");
            std::thread::sleep(POLL);
        }
    }
}

fn follow(kafka: &KafkaConfig, read: &mut ConfigReader, state: &State) -> anyhow::Result<()> {
    let topic = kafka.topic(Topic::Config);
    let consumer = kafka.reader(&[
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        // What waits to be read takes memory beside what was: by default 64 MiB.
        ("queued.max.messages.kbytes", "4096"),
        // By default a full queue stops reading for a second.
        ("fetch.queue.backoff.ms", "10"),
    ])?;
    let partitions = partitions(&consumer, &topic)?;
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(&topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    state.kafka_reachable.store(true, Relaxed);
    // A relay alone has no such topic.
    if let Ok(partitions) = self::partitions(&consumer, &kafka.topic(Topic::Clicks)) {
        state.batches.over(i32::try_from(partitions.len())?);
    }

    let mut directory = Directory::default();
    let mut unread: HashSet<i32> = partitions.into_iter().collect();
    let mut pending = 0;
    let mut probed = Instant::now();
    while !state.stopped.load(Relaxed) {
        let idle = match consumer.poll(POLL) {
            None => true,
            Some(Ok(message)) => {
                apply(&message, read, &mut directory);
                pending += 1;
                false
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
                true
            }
            // Nothing more would come: from the beginning again.
            Some(Err(error)) if is_off_the_log(&error) => {
                return Err(error).context("the topic was cut or made anew");
            }
            // Transport errors heal by themselves: librdkafka reconnects, and the probe tells readiness.
            Some(Err(error)) => {
                tracing::warn!(%error, "config topic");
                true
            }
        };
        let loaded = unread.is_empty();
        if loaded && (pending >= BATCH || idle && (pending > 0 || !state.loaded.load(Relaxed))) {
            tracing::info!(changes = pending, links = directory.links(), "config applied");
            state.publish(directory.clone());
            pending = 0;
        }
        if idle && probed.elapsed() >= PROBE_EVERY {
            let reachable = consumer.fetch_metadata(Some(&topic), PROBE_TIMEOUT).is_ok();
            state.kafka_reachable.store(reachable, Relaxed);
            probed = Instant::now();
        }
    }
    Ok(())
}

/// Whether a position is not in the log, for good.
fn is_off_the_log(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    error
        .rdkafka_error_code()
        .is_some_and(|code| matches!(code, AutoOffsetReset | OffsetOutOfRange))
}

pub(crate) fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), PROBE_TIMEOUT)
        .context("kafka does not answer")?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions: Vec<i32> = found
        .into_iter()
        .flat_map(|found| found.partitions())
        .map(|p| p.id())
        .collect();
    if partitions.is_empty() {
        bail!("topic {topic} does not exist");
    }
    Ok(partitions)
}

// A record that cannot be read is told and passed over: the objects beside it must not wait for it.
fn apply(message: &BorrowedMessage<'_>, read: &mut ConfigReader, directory: &mut Directory) {
    let result = match message.payload() {
        None => tombstone(message.key(), directory),
        Some(value) => read(value).and_then(|config| Ok(directory.apply(&config)?)),
    };
    let outcome = match result {
        Ok(()) => "applied",
        Err(error) => {
            let (partition, offset) = (message.partition(), message.offset());
            tracing::error!(partition, offset, "config record passed over: {error:#}");
            "rejected"
        }
    };
    metrics::counter!("edge_config_records_total", "outcome" => outcome).increment(1);
}

fn tombstone(key: Option<&[u8]>, directory: &mut Directory) -> anyhow::Result<()> {
    let key = std::str::from_utf8(key.unwrap_or_default()).context("key")?;
    let mut parts = key.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(workspace), Some(kind), Some(id)) => directory.remove(workspace, kind, id),
        _ => bail!("a tombstone's key must be workspace/kind/ID, not {key:?}"),
    }
    Ok(())
}
