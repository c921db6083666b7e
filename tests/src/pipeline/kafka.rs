//! What Kafka holds: records that count, and how far groups have come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tributary_testkit::unique;

const PATIENCE: Duration = Duration::from_secs(20);

fn consumer(bootstrap: &str, group: &str) -> Result<BaseConsumer> {
    let config = [
        ("bootstrap.servers", bootstrap),
        ("group.id", group),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("enable.auto.commit", "false"),
    ];
    let mut client = ClientConfig::new();
    for (name, value) in config {
        client.set(name, value);
    }
    Ok(client.create()?)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let count = metadata
        .topics()
        .iter()
        .map(|topic| topic.partitions().len())
        .sum::<usize>();
    ensure!(count > 0, "there is no topic {topic}");
    Ok(i32::try_from(count)?)
}

/// Every committed record of a topic, as `read` sees it.
///
/// # Errors
/// If Kafka does not answer.
pub fn records<T>(bootstrap: &str, topic: &str, mut read: impl FnMut(&[u8]) -> T) -> Result<Vec<T>> {
    let mut found = Vec::new();
    each(bootstrap, topic, |message| {
        found.push(read(message.payload().unwrap_or_default()));
    })?;
    Ok(found)
}

/// What compaction would leave of a topic: the latest value of each key that has one.
///
/// # Errors
/// If Kafka does not answer.
pub fn latest(bootstrap: &str, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    each(bootstrap, topic, |message| {
        let key = message.key().unwrap_or_default().to_vec();
        match message.payload() {
            Some(value) => drop(found.insert(key, value.to_vec())),
            None => drop(found.remove(&key)),
        }
    })?;
    Ok(found)
}

fn each(bootstrap: &str, topic: &str, mut read: impl FnMut(&BorrowedMessage<'_>)) -> Result<()> {
    let consumer = consumer(bootstrap, &unique("reader"))?;
    let count = partitions(&consumer, topic)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..count {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut ended = BTreeSet::new();
    while ended.len() < usize::try_from(count)? {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => read(&message),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(Err(error)) => bail!("reading {topic}: {error}"),
            None => bail!("reading {topic}: nothing for {PATIENCE:?}"),
        }
    }
    Ok(())
}

/// How many committed records a topic has.
///
/// # Errors
/// If Kafka does not answer.
pub fn count(bootstrap: &str, topic: &str) -> Result<usize> {
    Ok(records(bootstrap, topic, |_| ())?.len())
}

/// How many records of a topic a group has not yet committed. Only for topics without transactions: their markers
/// are never committed.
///
/// # Errors
/// If Kafka does not answer.
pub fn lag(bootstrap: &str, group: &str, topic: &str) -> Result<i64> {
    let consumer = consumer(bootstrap, group)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions(&consumer, topic)? {
        list.add_partition(topic, partition);
    }
    let mut lag = 0;
    for element in consumer.committed_offsets(list, PATIENCE)?.elements() {
        let (low, high) = consumer.fetch_watermarks(topic, element.partition(), PATIENCE)?;
        lag += match element.offset() {
            Offset::Offset(next) => high - next,
            _ => high - low,
        };
    }
    Ok(lag)
}
