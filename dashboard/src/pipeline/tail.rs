//! The newest records of a topic.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::lag::{PATIENCE, bounds};
use crate::kafka::Kafka;

/// What was read of a topic's ends.
pub struct Tail<T> {
    pub records: Vec<T>,
    /// Offsets that the topic holds: its records, and what ends transactions.
    pub held: i64,
    /// All of the topic was read.
    pub whole: bool,
}

impl<T> Tail<Option<T>> {
    /// Without what could not be read.
    pub fn map<U>(self, show: impl Fn(T) -> U) -> Tail<U> {
        Tail {
            records: self.records.into_iter().flatten().map(show).collect(),
            held: self.held,
            whole: self.whole,
        }
    }
}

/// The newest records of each partition, `most` of each, in the order in which they come.
pub fn newest<T>(
    kafka: &Kafka,
    topic: &str,
    most: i64,
    mut read: impl FnMut(&BorrowedMessage<'_>) -> T,
) -> KafkaResult<Tail<T>> {
    let consumer = kafka.reader(&[
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
    ])?;
    let mut tail = Tail {
        records: Vec::new(),
        held: 0,
        whole: true,
    };
    let mut open = BTreeSet::new();
    let mut assigned = TopicPartitionList::new();
    for (partition, start, end) in bounds(&consumer, topic)? {
        if end <= start {
            continue;
        }
        tail.held += end - start;
        tail.whole &= end - start <= most;
        open.insert(partition);
        assigned.add_partition_offset(topic, partition, Offset::Offset(start.max(end - most)))?;
    }
    if open.is_empty() {
        return Ok(tail);
    }
    consumer.assign(&assigned)?;
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => tail.records.push(read(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    // Slow, or more came than could be read: then this is not all.
    tail.whole &= open.is_empty();
    Ok(tail)
}
