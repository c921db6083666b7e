//! Bounded reads of one partition: where it starts and ends, and the records between two offsets.
//!
//! No consumer group. Invariant: a range whose start the log does not have any more is an error, never
//! an empty answer.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Settings;

const PATIENCE: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(60);
/// Before a log that is shorter than it was said to be is looked at again.
const SHORT: Duration = Duration::from_millis(100);

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

/// The client reports the end of each partition as an error, too; here it is none.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(%error, reason, "kafka client error");
        }
    }
}

impl ConsumerContext for Quiet {}

/// Reads single partitions.
pub struct LogReader {
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer,
}

impl LogReader {
    /// A reader; connects when it is used.
    ///
    /// # Errors
    /// If the client configuration is wrong.
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        Ok(Self {
            committed: settings.reader().create_with_context(Quiet)?,
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
        self.assign(range, from).map_err(kafka)?;
        let result = self.drain(range, &stopped, &mut each);
        let unassigned = self.committed.unassign().map_err(kafka);
        result.and(unassigned)
    }

    fn assign(&self, range: Range<'_>, next: i64) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(range.topic, range.partition, Offset::Offset(next))?;
        self.committed.assign(&list)
    }

    fn drain<E: From<LogError>>(
        &self,
        range: Range<'_>,
        stopped: &impl Fn() -> bool,
        each: &mut impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let stalled = || E::from(LogError::Stalled(range.topic.to_owned()));
        let mut last = Instant::now();
        let mut polls = 0_u32;
        let mut next = range.from;
        let mut is_there = false;
        loop {
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(64) && stopped() {
                return Err(E::from(LogError::Stopped));
            }
            match self.committed.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    last = Instant::now();
                    is_there = false;
                    next = message.offset() + 1;
                    if message.offset() < range.to {
                        each(&message)?;
                    }
                    if next >= range.to {
                        return Ok(());
                    }
                }
                // Asked once more, the log has no record up to `to`: what is missing are transaction markers.
                Some(Err(KafkaError::PartitionEOF(_))) if is_there => return Ok(()),
                // A broker that has just become the leader may not know yet how much is committed, and hands out less
                // than there is. Asked for the end of the log, it answers only once it knows.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    match self.stable(range.topic, range.partition) {
                        Ok(bounds) => is_there = bounds.end >= range.to,
                        Err(error) if is_passing(&error) => {}
                        Err(error) => return Err(E::from(LogError::Kafka(error))),
                    }
                    if last.elapsed() > STALLED {
                        return Err(stalled());
                    }
                    if stopped() {
                        return Err(E::from(LogError::Stopped));
                    }
                    if !is_there {
                        std::thread::sleep(SHORT);
                    }
                    self.assign(range, next)
                        .map_err(|error| E::from(LogError::Kafka(error)))?;
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(E::from(LogError::Kafka(error))),
                None if last.elapsed() > STALLED => return Err(stalled()),
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
        KafkaError::MessageConsumption(code) | KafkaError::MetadataFetch(code) => matches!(
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
