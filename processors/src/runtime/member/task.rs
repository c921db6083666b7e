//! What a worker holds: its queue, and its ways back to the group.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Stage;
use super::feed::Feed;
use crate::kafka::log::Bounds;
use crate::runtime::batch::Batch;
use crate::runtime::consumer::Member;
use crate::runtime::health::Health;
use crate::runtime::queue::Queue;

const QUEUE_BYTES: usize = 512 * 1024;

/// Where a partition is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Wherever the log starts.
    Beginning,
    /// This offset; the log must still have it.
    At(i64),
}

impl Start {
    pub(super) fn offset(self) -> Offset {
        match self {
            Self::Beginning => Offset::Beginning,
            Self::At(offset) => Offset::Offset(offset),
        }
    }
}

/// Topic index, partition and where to start.
pub type Positions = Vec<(usize, i32, Start)>;

/// See the module.
pub struct Task {
    /// What is to be done; closed when the worker shall end.
    pub queue: Arc<Queue<Batch>>,
    /// The partitions of this worker: topic index and number.
    pub partitions: Vec<(usize, i32)>,
    /// Where counts are published.
    pub health: Health,
    stage: Arc<dyn Stage>,
    consumer: Arc<Member>,
    started: SyncSender<Positions>,
    progress: Vec<Arc<AtomicI64>>,
}

pub(super) fn pair(
    stage: &Arc<dyn Stage>,
    consumer: &Arc<Member>,
    mut partitions: Vec<(usize, i32)>,
    health: &Health,
    started: SyncSender<Positions>,
) -> (Task, Feed) {
    // Lanes of the queue are in the order of the stage's topics.
    partitions.sort_unstable();
    let queue = Arc::new(Queue::new(partitions.len(), QUEUE_BYTES));
    let names = partitions
        .iter()
        .map(|(topic, partition)| {
            let name = stage.topics().get(*topic).cloned().unwrap_or_default();
            (*topic, name, *partition)
        })
        .collect::<Vec<_>>();
    let progress = names
        .iter()
        .map(|(_, name, partition)| health.own(stage.name(), name, *partition))
        .collect();
    let feed = Feed::new(Arc::clone(&queue), names);
    let task = Task {
        queue,
        partitions,
        health: health.clone(),
        stage: Arc::clone(stage),
        consumer: Arc::clone(consumer),
        started,
        progress,
    };
    (task, feed)
}

impl Task {
    /// Says where to start. Once.
    ///
    /// # Errors
    /// If nobody listens any more.
    pub fn start(&self, positions: Positions) -> Result<()> {
        self.started
            .send(positions)
            .ok()
            .context("the poll thread is gone")
    }

    /// Whether the worker shall end.
    pub fn is_stopped(&self) -> bool {
        self.queue.is_closed()
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partitions.first().map_or(-1, |(_, partition)| *partition)
    }

    /// The group's committed position; stable: no transaction that could move it is open.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub fn committed(&self, topic: usize, partition: i32, wait: Duration) -> Result<Option<i64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(self.topic(topic), partition);
        let answer = self.consumer.committed_offsets(list, wait)?;
        let element = answer.find_partition(self.topic(topic), partition);
        match element.map(|element| (element.error(), element.offset())) {
            Some((Ok(()), Offset::Offset(offset))) => Ok(Some(offset)),
            Some((Err(error), _)) => Err(error),
            _ => Ok(None),
        }
    }

    /// What may be read of a partition now.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub fn bounds(&self, topic: usize, partition: i32, wait: Duration) -> Result<Bounds, KafkaError> {
        let (start, end) = self
            .consumer
            .fetch_watermarks(self.topic(topic), partition, wait)?;
        Ok(Bounds { start, end })
    }

    /// The end of a partition, as last heard of; None until then. It may lag behind by seconds.
    pub fn end(&self, topic: usize, partition: i32) -> Option<i64> {
        self.consumer.context().end(self.topic(topic), partition)
    }

    /// This member's credentials as of now. Valid for as long as the worker lives: its partitions are not
    /// given away before it ends.
    ///
    /// # Errors
    /// If the consumer is gone.
    pub fn group(&self) -> Result<ConsumerGroupMetadata> {
        self.consumer.group_metadata().context("no group metadata")
    }

    /// Makes a position the one that the group commits in the background.
    pub fn store_offset(&self, topic: usize, partition: i32, next: i64) {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(self.topic(topic), partition, Offset::Offset(next));
        if let Err(error) = added.and_then(|()| self.consumer.store_offsets(&list)) {
            // Only if the partition was lost meanwhile: its records come again, elsewhere.
            tracing::debug!(%error, "storing an offset");
        }
    }

    /// Publishes how far a partition is processed.
    pub fn progress(&self, topic: usize, partition: i32, next: i64) {
        let index = self.partitions.iter().position(|own| *own == (topic, partition));
        if let Some(progress) = index.and_then(|index| self.progress.get(index)) {
            progress.store(next, Ordering::Relaxed);
        }
    }

    /// The full name of a topic.
    pub fn topic(&self, topic: usize) -> &str {
        self.stage.topics().get(topic).map_or("", String::as_str)
    }
}
