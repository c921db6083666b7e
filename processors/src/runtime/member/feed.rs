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
    partitions: Vec<(usize, String, i32)>,
    filling: Vec<Batch>,
    stash: Vec<Batch>,
    paused: bool,
}

impl Feed {
    pub(super) fn new(queue: Arc<Queue<Batch>>, partitions: Vec<(usize, String, i32)>) -> Self {
        let filling = partitions
            .iter()
            .map(|(topic, _, partition)| Batch::new(*topic, *partition))
            .collect();
        Self {
            queue,
            partitions,
            filling,
            stash: Vec::new(),
            paused: false,
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.partitions
            .iter()
            .map(|(_, name, partition)| (name.as_str(), *partition))
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
        let Some(batch) = self
            .filling
            .iter_mut()
            .find(|batch| (batch.topic, batch.partition) == own)
        else {
            return Ok(());
        };
        batch.push_message(message);
        if batch.len() >= BATCH_RECORDS || batch.bytes() >= BATCH_BYTES {
            let full = std::mem::replace(batch, Batch::new(own.0, own.1));
            self.hand_over(full, consumer)?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, consumer: &Member) -> Result<()> {
        for index in 0..self.filling.len() {
            let Some(batch) = self.filling.get_mut(index).filter(|batch| !batch.is_empty()) else {
                continue;
            };
            let (topic, partition) = (batch.topic, batch.partition);
            let full = std::mem::replace(batch, Batch::new(topic, partition));
            self.hand_over(full, consumer)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, batch: Batch, consumer: &Member) -> Result<()> {
        if !self.stash.is_empty() {
            self.stash.push(batch);
            return Ok(());
        }
        let weight = batch.bytes();
        if let Err(batch) = self.queue.push(batch, weight, FULL_PATIENCE) {
            self.stash.push(batch);
            consumer.pause(&self.list())?;
            self.paused = true;
        }
        Ok(())
    }

    /// Hands over what waits and reads on, once the worker has caught up.
    pub(super) fn resume(&mut self, consumer: &Member) -> Result<()> {
        if !self.paused || !self.queue.has_room() {
            return Ok(());
        }
        let mut waiting = std::mem::take(&mut self.stash).into_iter();
        while let Some(batch) = waiting.next() {
            let weight = batch.bytes();
            if let Err(batch) = self.queue.push(batch, weight, Duration::ZERO) {
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
        for (_, name, partition) in &self.partitions {
            list.add_partition(name, *partition);
        }
        list
    }
}
