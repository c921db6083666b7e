//! The consumer of one stage: rebalances become events that the poll thread handles after its poll.
//!
//! Nothing happens inside of librdkafka's callbacks, so all state belongs to the poll thread alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;

/// What the group asks of this member.
#[derive(Debug)]
pub enum Event {
    /// Take these partitions.
    Assign(Vec<(String, i32)>),
    /// Give these up.
    Revoke(Vec<(String, i32)>),
}

/// The consumer type of all stages.
pub type Member = BaseConsumer<Context>;

/// Collects events and the ends of logs.
#[derive(Default)]
pub struct Context {
    events: Mutex<Vec<Event>>,
    ends: Mutex<HashMap<(String, i32), i64>>,
    closing: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The events since the last call.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }

    /// The last known end of a partition, as read_committed sees it.
    pub fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        lock(&self.ends).get(&(topic.to_owned(), partition)).copied()
    }

    /// From here on each rebalance is answered at once, since nobody looks at events any more: a client of which one
    /// is not answered, an assignment either, cannot be closed.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let mut ends = lock(&self.ends);
        for (name, topic) in statistics.topics {
            for (number, partition) in topic.partitions {
                if number >= 0 && partition.ls_offset >= 0 {
                    ends.insert((name.clone(), number), partition.ls_offset);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            let answer = if assigned {
                take(consumer, list)
            } else {
                release(consumer, list)
            };
            if let Err(error) = answer {
                tracing::warn!(%error, "giving up partitions while closing");
            }
        } else if assigned {
            lock(&self.events).push(Event::Assign(partitions));
        } else {
            lock(&self.events).push(Event::Revoke(partitions));
        }
    }
}

/// Takes partitions at the offsets in the list.
pub fn take(consumer: &Member, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Gives partitions back to the group.
pub fn release(consumer: &Member, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}
