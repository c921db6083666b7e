//! Bounded reads of one partition: where it starts and ends, and the records between two offsets.
//!
//! No consumer group. Invariant: a range whose start the log does not have any more is an error, never
//! an empty answer.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::Settings;

const PATIENCE: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(60);

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Records that are needed have been deleted.
    #[error("data loss: {topic}/{partition} starts at {start}, but {needed} is needed")]
    DataLoss {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// First offset that the log has.
        start: i64,
        /// First offset that was needed.
        needed: i64,
    },
    /// Nothing came for a long time.
    #[error("no progress in reading {0}")]
    Stalled(String),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// Kafka said no.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// First offset and the one after the last that may be read (the last stable one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset.
    pub start: i64,
    /// One after the last.
    pub end: i64,
}

/// Offsets `[from, to)` of one partition.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// One after the last.
    pub to: i64,
}

/// Reads single partitions.
pub struct LogReader {
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

impl LogReader {
    /// A reader; connects when it is used.
    ///
    /// # Errors
    /// If the client configuration is wrong.
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        Ok(Self {
            committed: settings.reader().create()?,
            uncommitted: settings
                .client()
                .set("isolation.level", "read_uncommitted")
                .create()?,
        })
    }

    /// What a read_committed reader may read.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub fn stable(&self, topic: &str, partition: i32) -> Result<Bounds, KafkaError> {
        let (start, end) = self.committed.fetch_watermarks(topic, partition, PATIENCE)?;
        Ok(Bounds { start, end })
    }

    /// Whether no transaction is open on the partition: the last stable offset is the end of the log.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub fn settled(&self, topic: &str, partition: i32) -> Result<Option<Bounds>, KafkaError> {
        // In this order: the log may only grow between the two questions, which errs on the side of waiting.
        let stable = self.stable(topic, partition)?;
        let (_, high) = self.uncommitted.fetch_watermarks(topic, partition, PATIENCE)?;
        Ok((stable.end == high).then_some(stable))
    }

    /// Hands every committed record of a range to `each`, in order; asks `stopped` now and then.
    ///
    /// # Errors
    /// If the log starts after `from`, on Kafka's errors, or what `each` returns.
    pub fn read<E: From<LogError>>(
        &self,
        range: Range<'_>,
        stopped: impl Fn() -> bool,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Range {
            topic,
            partition,
            from,
            to,
        } = range;
        if from >= to {
            return Ok(());
        }
        let kafka = |error| E::from(LogError::Kafka(error));
        let bounds = self.stable(topic, partition).map_err(kafka)?;
        if bounds.start > from {
            return Err(E::from(LogError::DataLoss {
                topic: topic.to_owned(),
                partition,
                start: bounds.start,
                needed: from,
            }));
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from))
            .map_err(kafka)?;
        self.committed.assign(&list).map_err(kafka)?;
        let result = self.drain(topic, to, &stopped, &mut each);
        let unassigned = self.committed.unassign().map_err(kafka);
        result.and(unassigned)
    }

    fn drain<E: From<LogError>>(
        &self,
        topic: &str,
        to: i64,
        stopped: &impl Fn() -> bool,
        each: &mut impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = Instant::now();
        let mut polls = 0_u32;
        loop {
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(64) && stopped() {
                return Err(E::from(LogError::Stopped));
            }
            match self.committed.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    last = Instant::now();
                    if message.offset() < to {
                        each(&message)?;
                    }
                    if message.offset() + 1 >= to {
                        return Ok(());
                    }
                }
                // What is missing up to `to` are transaction markers.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(E::from(LogError::Kafka(error))),
                None if last.elapsed() > STALLED => return Err(E::from(LogError::Stalled(topic.to_owned()))),
                None if stopped() => return Err(E::from(LogError::Stopped)),
                None => {}
            }
        }
    }
}

/// Whether a consumer's error passes by itself, e.g. a broker that restarts.
pub fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    match error {
        KafkaError::MessageConsumption(code) => matches!(
            code,
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
                | Code::NetworkException
                | Code::Resolve
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::PollExceeded
                | Code::NotEnoughReplicas
        ),
        _ => false,
    }
}
