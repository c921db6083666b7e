//! Which partitions this process owns, and since which epoch.
//!
//! Runs in librdkafka's rebalance callback, on the poll thread. An assigned partition starts at its committed offset,
//! read here together with the plan beside it; a revoked one loses its epoch, so commits of tasks that still run for it
//! are refused from that moment on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

pub(super) type SinkConsumer = BaseConsumer<Context>;

const ASK: Duration = Duration::from_secs(10);
/// Before it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASK_TIMES: usize = 6;

/// A topic and one of its partitions.
pub(super) type Place = (String, i32);

pub(super) enum Event {
    Assigned {
        place: Place,
        epoch: u64,
        /// Where reading starts.
        start: i64,
        /// Beside the committed offset.
        metadata: String,
        /// The group had no position: `start` is the log's.
        fresh: bool,
    },
    Revoked(Place),
    Failed(KafkaError),
}

#[derive(Default)]
pub(super) struct Assignments {
    epochs: Mutex<Epochs>,
    events: Mutex<Vec<Event>>,
}

#[derive(Default)]
pub(super) struct Epochs {
    last: u64,
    owned: HashMap<Place, u64>,
}

impl Epochs {
    pub(super) fn owns(&self, place: &Place, epoch: u64) -> bool {
        self.owned.get(place) == Some(&epoch)
    }
}

impl Assignments {
    /// Ownership, held still: no partition changes hands while the guard lives.
    pub(super) fn hold(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: Event) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }
}

pub(super) struct Context {
    assignments: Arc<Assignments>,
    stop: Arc<AtomicBool>,
}

impl Context {
    /// `stop`: the sink is ending, and takes no more partitions.
    pub(super) fn new(assignments: Arc<Assignments>, stop: Arc<AtomicBool>) -> Self {
        Self { assignments, stop }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks Kafka, several times: a broker that was away answers at once, and not yet well.
    fn ask<T>(&self, question: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
        let mut tries = 1;
        loop {
            match question() {
                Err(error) if tries < ASK_TIMES && !self.stops() => tracing::warn!(%error, "positions"),
                answer => return answer,
            }
            tries += 1;
            std::thread::sleep(ASK_AGAIN);
        }
    }

    /// Owns the partitions from here on, where the list then says that reading starts.
    fn own(&self, consumer: &SinkConsumer, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let committed = self.ask(|| consumer.committed_offsets(list.clone(), ASK))?;
        let mut epochs = self.assignments.hold();
        for element in committed.elements() {
            element.error()?;
            let place = (element.topic().to_owned(), element.partition());
            let (start, fresh) = match element.offset() {
                Offset::Offset(offset) => (offset, false),
                _ => {
                    let watermarks =
                        self.ask(|| consumer.fetch_watermarks(element.topic(), element.partition(), ASK))?;
                    (watermarks.0, true)
                }
            };
            list.set_partition_offset(element.topic(), element.partition(), Offset::Offset(start))?;
            epochs.last += 1;
            let epoch = epochs.last;
            epochs.owned.insert(place.clone(), epoch);
            self.assignments.push(Event::Assigned {
                place,
                epoch,
                start,
                metadata: element.metadata().to_owned(),
                fresh,
            });
        }
        Ok(())
    }

    fn assign(&self, consumer: &SinkConsumer, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let owned = match list.count() {
            0 => Ok(()),
            // A consumer that is being closed is asked in vain, for a minute.
            _ if self.stops() => Ok(()),
            _ => self.own(consumer, list),
        };
        // In any case: without an answer to its rebalance the client could not be closed. Records of partitions that
        // are not owned are passed over.
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            _ => consumer.assign(list),
        };
        match owned {
            Err(_) if self.stops() => assigned,
            owned => owned.and(assigned),
        }
    }

    fn revoke(&self, consumer: &SinkConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
        // Waits for a commit that is on its way.
        let mut epochs = self.assignments.hold();
        for element in list.elements() {
            let place = (element.topic().to_owned(), element.partition());
            epochs.owned.remove(&place);
            self.assignments.push(Event::Revoked(place));
        }
        drop(epochs);
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        };
        if let Err(error) = result {
            self.assignments.push(Event::Failed(error));
        }
    }
}
