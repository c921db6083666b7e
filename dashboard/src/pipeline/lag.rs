//! How many records a consumer group has before it.
//!
//! Invariant: what ends transactions takes an offset and is no record; a group that has read all is not behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::Stage;
use crate::kafka::Kafka;

pub const PATIENCE: Duration = Duration::from_secs(3);
/// With so few offsets left, whether they are records is looked up.
const FEW: i64 = 64;
const LOOK: Duration = Duration::from_millis(500);

/// A stage's lag in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLag {
    pub topic: String,
    pub partitions: usize,
    pub lag: i64,
    /// The group has read of it before.
    pub begun: bool,
}

/// First offset and the one after the last of each partition; none for a topic that is not there.
pub fn bounds(consumer: &BaseConsumer, topic: &str) -> KafkaResult<Vec<(i32, i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
        .collect();
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let ask = |what: Offset| -> KafkaResult<TopicPartitionList> {
        let mut asked = TopicPartitionList::new();
        for partition in &partitions {
            asked.add_partition_offset(topic, *partition, what)?;
        }
        // As times, the beginning and the end are known to the brokers: one request for all partitions.
        consumer.offsets_for_times(asked, PATIENCE)
    };
    let (starts, ends) = (ask(Offset::Beginning)?, ask(Offset::End)?);
    let at = |list: &TopicPartitionList, partition| match list
        .find_partition(topic, partition)
        .map(|e| e.offset())
    {
        Some(Offset::Offset(offset)) => offset,
        _ => 0,
    };
    let all = partitions.iter().map(|p| (*p, at(&starts, *p), at(&ends, *p)));
    Ok(all.collect())
}

/// The lag of a stage in each of its topics.
pub fn of(kafka: &Kafka, stage: &Stage) -> KafkaResult<Vec<TopicLag>> {
    let consumer = kafka.reader(&[
        ("group.id", &stage.group),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
    ])?;
    let mut all = Vec::new();
    for topic in &stage.topics {
        all.push(in_topic(&consumer, topic)?);
    }
    Ok(all)
}

fn in_topic(consumer: &BaseConsumer, topic: &str) -> KafkaResult<TopicLag> {
    let bounds = bounds(consumer, topic)?;
    let mut asked = TopicPartitionList::new();
    for (partition, ..) in &bounds {
        asked.add_partition(topic, *partition);
    }
    let mut found = TopicLag {
        topic: topic.to_owned(),
        partitions: bounds.len(),
        lag: 0,
        begun: false,
    };
    if bounds.is_empty() {
        return Ok(found);
    }
    let committed = consumer.committed_offsets(asked, PATIENCE)?;
    let mut few = TopicPartitionList::new();
    for (partition, start, end) in bounds {
        let next = match committed.find_partition(topic, partition).map(|e| e.offset()) {
            Some(Offset::Offset(next)) => {
                found.begun = true;
                next.max(start)
            }
            _ => start,
        };
        let left = (end - next).max(0);
        found.lag += left;
        if left > 0 && left <= FEW {
            few.add_partition_offset(topic, partition, Offset::Offset(next))?;
        }
    }
    found.lag -= no_records(consumer, &few, &found)?;
    Ok(found)
}

/// How many of the offsets from these positions on are no records: counted for partitions that hold none.
fn no_records(consumer: &BaseConsumer, from: &TopicPartitionList, topic: &TopicLag) -> KafkaResult<i64> {
    if from.count() == 0 {
        return Ok(0);
    }
    consumer.assign(from)?;
    let mut open: BTreeSet<i32> = from
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect();
    let mut empty = 0;
    let deadline = Instant::now() + LOOK;
    while !open.is_empty() && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => {
                open.remove(&message.partition());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) if open.remove(&partition) => {
                let next = from.find_partition(&topic.topic, partition).map(|e| e.offset());
                let end = consumer.fetch_watermarks(&topic.topic, partition, PATIENCE)?.1;
                if let Some(Offset::Offset(next)) = next {
                    empty += (end - next).max(0);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(error),
        }
    }
    consumer.unassign()?;
    Ok(empty)
}
