//! The poll thread's side of a worker: batches being filled, and partitions paused while its queue is full.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};

use crate::runtime::batch::Batch;
use crate::runtime::consumer::Member;
use crate::runtime::queue::Queue;

const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 256 * 1024;
// Pausing throws away what was prefetched: a short wait is cheaper while the worker is only busy.
const FULL_PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Feed {
    queue: Arc<Queue<Batch>>,
    lanes: Vec<Lane>,
}

/// A partition, and its lane in the worker's queue.
struct Lane {
    name: String,
    filling: Batch,
    stash: Vec<Batch>,
    paused: bool,
}

impl Feed {
    /// Lanes in the order of `partitions`: topic index, topic name, partition.
    pub(super) fn new(queue: Arc<Queue<Batch>>, partitions: Vec<(usize, String, i32)>) -> Self {
        let lane = |(topic, name, partition)| Lane {
            name,
            filling: Batch::new(topic, partition),
            stash: Vec::new(),
            paused: false,
        };
        Self {
            queue,
            lanes: partitions.into_iter().map(lane).collect(),
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.lanes
            .iter()
            .map(|lane| (lane.name.as_str(), lane.filling.partition))
    }

    pub(super) fn close(&self) {
        self.queue.close();
    }

    pub(super) fn add(
        &mut self,
        topic: usize,
        message: &BorrowedMessage<'_>,
        consumer: &Member,
    ) -> Result<()> {
        let own = (topic, message.partition());
        let found = self
            .lanes
            .iter_mut()
            .enumerate()
            .find(|(_, lane)| (lane.filling.topic, lane.filling.partition) == own);
        let Some((index, lane)) = found else {
            return Ok(());
        };
        lane.filling.push_message(message);
        if lane.filling.len() >= BATCH_RECORDS || lane.filling.bytes() >= BATCH_BYTES {
            lane.hand_over(index, &self.queue, consumer)?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, consumer: &Member) -> Result<()> {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.filling.is_empty() {
                lane.hand_over(index, &self.queue, consumer)?;
            }
        }
        Ok(())
    }

    /// Hands over what waits and reads on, where the worker has caught up.
    pub(super) fn resume(&mut self, consumer: &Member) -> Result<()> {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.paused && self.queue.has_room(index) {
                lane.resume(index, &self.queue, consumer)?;
            }
        }
        Ok(())
    }
}

impl Lane {
    fn hand_over(&mut self, index: usize, queue: &Queue<Batch>, consumer: &Member) -> Result<()> {
        let next = Batch::new(self.filling.topic, self.filling.partition);
        let batch = std::mem::replace(&mut self.filling, next);
        if !self.stash.is_empty() {
            self.stash.push(batch);
            return Ok(());
        }
        let weight = batch.bytes();
        if let Err(batch) = queue.push(index, batch, weight, FULL_PATIENCE) {
            self.stash.push(batch);
            consumer.pause(&self.list())?;
            self.paused = true;
        }
        Ok(())
    }

    fn resume(&mut self, index: usize, queue: &Queue<Batch>, consumer: &Member) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.stash).into_iter();
        while let Some(batch) = waiting.next() {
            let weight = batch.bytes();
            if let Err(batch) = queue.push(index, batch, weight, Duration::ZERO) {
                self.stash = std::iter::once(batch).chain(waiting).collect();
                return Ok(());
            }
        }
        consumer.resume(&self.list())?;
        self.paused = false;
        Ok(())
    }

    fn list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, self.filling.partition);
        list
    }
}
