//! The thread that commits offsets, several partitions in one request.
//!
//! librdkafka's synchronous commit blocks, and fails as a whole if one partition fails. Order is kept: what was asked
//! for later is committed later. A place whose epoch is over is refused here, under the same lock that the rebalance
//! takes: otherwise the former owner's late commit could overwrite the new owner's plan.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::SinkError;
use super::assignment::{Assignments, Place, SinkConsumer};

/// What became of a commit.
#[derive(Debug)]
pub(super) enum Committed {
    Done,
    /// The partition is another's, or about to be.
    Lost,
    /// It may have been done or not; the same again is safe.
    Failed(KafkaError),
}

struct Request {
    place: Place,
    epoch: u64,
    offset: i64,
    metadata: String,
    reply: oneshot::Sender<Committed>,
}

#[derive(Clone)]
pub(super) struct Committer(Sender<Request>);

impl Committer {
    pub(super) fn start(
        consumer: &Arc<SinkConsumer>,
        assignments: Arc<Assignments>,
    ) -> Result<Self, SinkError> {
        let (sender, requests) = channel();
        let consumer = Arc::downgrade(consumer);
        std::thread::Builder::new()
            .name("sink-commit".to_owned())
            .spawn(move || work(&consumer, &assignments, &requests))
            .map_err(|error| SinkError::Internal(error.to_string()))?;
        Ok(Self(sender))
    }

    /// Queues a commit; the answer comes through the receiver.
    pub(super) fn submit(
        &self,
        place: Place,
        epoch: u64,
        offset: i64,
        metadata: String,
    ) -> oneshot::Receiver<Committed> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            place,
            epoch,
            offset,
            metadata,
            reply,
        };
        // If the thread is gone, so is the reply: the receiver says so.
        self.0.send(request).ok();
        answer
    }
}

// The consumer is closed by who polls it: here it is held for a commit only.
fn work(consumer: &Weak<SinkConsumer>, assignments: &Assignments, requests: &Receiver<Request>) {
    let mut held_over = None;
    while let Some(first) = held_over.take().or_else(|| requests.recv().ok()) {
        let mut batch = vec![first];
        while let Ok(next) = requests.try_recv() {
            // A list has one offset for each partition.
            if batch.iter().any(|request| request.place == next.place) {
                held_over = Some(next);
                break;
            }
            batch.push(next);
        }
        let Some(consumer) = consumer.upgrade() else {
            return;
        };
        commit(&consumer, assignments, batch);
    }
}

fn commit(consumer: &SinkConsumer, assignments: &Assignments, batch: Vec<Request>) {
    let epochs = assignments.hold();
    let (owned, lost): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|request| epochs.owns(&request.place, request.epoch));
    let mut list = TopicPartitionList::with_capacity(owned.len());
    for request in &owned {
        let mut element = list.add_partition(&request.place.0, request.place.1);
        element.set_offset(Offset::Offset(request.offset)).ok();
        element.set_metadata(&request.metadata);
    }
    let result = if owned.is_empty() {
        Ok(())
    } else {
        consumer.commit(&list, CommitMode::Sync)
    };
    drop(epochs);
    for request in lost {
        request.reply.send(Committed::Lost).ok();
    }
    for request in owned {
        let outcome = match &result {
            Ok(()) => Committed::Done,
            Err(error) => Committed::Failed(error.clone()),
        };
        request.reply.send(outcome).ok();
    }
}
