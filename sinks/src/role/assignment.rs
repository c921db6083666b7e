//! Which partitions this process owns, and since which epoch.
//!
//! Runs in librdkafka's rebalance callback, on the poll thread. An assigned partition starts at its committed offset,
//! read here together with the plan beside it; a revoked one loses its epoch, so commits of tasks that still run for it
//! are refused from that moment on.

use std::collections::HashMap;
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

/// Asks Kafka, several times: a broker that was away answers at once, and not yet well.
fn ask<T>(question: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let mut tries = 1;
    loop {
        match question() {
            Err(error) if tries < ASK_TIMES => tracing::warn!(%error, "positions"),
            answer => return answer,
        }
        tries += 1;
        std::thread::sleep(ASK_AGAIN);
    }
}

pub(super) struct Context(Arc<Assignments>);

impl Context {
    pub(super) fn new(assignments: Arc<Assignments>) -> Self {
        Self(assignments)
    }

    fn assign(&self, consumer: &SinkConsumer, list: &mut TopicPartitionList) -> KafkaResult<()> {
        if list.count() > 0 {
            let committed = ask(|| consumer.committed_offsets(list.clone(), ASK))?;
            let mut epochs = self.0.hold();
            for element in committed.elements() {
                element.error()?;
                let place = (element.topic().to_owned(), element.partition());
                let (start, fresh) = match element.offset() {
                    Offset::Offset(offset) => (offset, false),
                    _ => {
                        let watermarks =
                            ask(|| consumer.fetch_watermarks(element.topic(), element.partition(), ASK))?;
                        (watermarks.0, true)
                    }
                };
                list.set_partition_offset(element.topic(), element.partition(), Offset::Offset(start))?;
                epochs.last += 1;
                let epoch = epochs.last;
                epochs.owned.insert(place.clone(), epoch);
                self.0.push(Event::Assigned {
                    place,
                    epoch,
                    start,
                    metadata: element.metadata().to_owned(),
                    fresh,
                });
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            _ => consumer.assign(list),
        }
    }

    fn revoke(&self, consumer: &SinkConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
        // Waits for a commit that is on its way.
        let mut epochs = self.0.hold();
        for element in list.elements() {
            let place = (element.topic().to_owned(), element.partition());
            epochs.owned.remove(&place);
            self.0.push(Event::Revoked(place));
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
            self.0.push(Event::Failed(error));
        }
    }
}
