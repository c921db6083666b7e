//! One member of a stage's group: polls, hands batches to the workers, and follows the group's wishes.
//!
//! ```text
//!   assign ─► one thread per worker ─► it says where to start ─► partitions taken at those offsets
//!   revoke ─► queues closed ─► workers finish what they hold ─► threads joined ─► partitions released
//! ```
//!
//! Invariant: partitions are released only when their worker has ended, so that whoever gets them next
//! never meets it. A worker that ends by itself ends the stage: nothing is skipped silently.

mod feed;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::{Context, Event, Member, release, take};
use super::health::Health;
use crate::kafka::{Assignor, Settings};
use feed::Feed;
pub use task::{Positions, Start, Task};

const START_PATIENCE: Duration = Duration::from_secs(120);
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than a client waits for the answer to its leaving.
const CLOSES_WITHIN: Duration = Duration::from_secs(8);
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// What a stage tells the runtime about itself.
pub trait Stage: Send + Sync + 'static {
    /// Name of the stage: group, metrics, logs.
    fn name(&self) -> &'static str;
    /// Full names of the topics it reads. [`Task`] and batches speak of them by index.
    fn topics(&self) -> &[String];
    /// How partitions are shared.
    fn assignor(&self) -> Assignor;
    /// Whether stored offsets are committed to the group in the background.
    fn commits_in_background(&self) -> bool;
    /// Whether partitions with the same number of all topics have one worker; else each has its own.
    fn joins_topics(&self) -> bool;
    /// The life of one worker, on a thread of its own: says where to start, then works until the queue closes.
    ///
    /// # Errors
    /// Ends the stage, and with it the process.
    fn work(&self, task: Task) -> Result<()>;
}

type WorkerId = (usize, i32);

pub(super) struct Worker {
    feed: Feed,
    thread: JoinHandle<Result<()>>,
}

/// Runs a stage until `shutdown`. Blocking: give it a thread.
///
/// # Errors
/// If a worker fails, the position is outside of the log, or the consumer is beyond repair.
pub fn run(settings: &Settings, stage: Arc<dyn Stage>, shutdown: &AtomicBool, health: &Health) -> Result<()> {
    let mut config = settings.member(&settings.group(stage.name()), stage.assignor());
    if stage.commits_in_background() {
        config.set("enable.auto.commit", "true");
    }
    let consumer: Member = config.create_with_context(Context::default())?;
    let topics: Vec<&str> = stage.topics().iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    health.running(stage.name(), true);
    let mut member = Loop {
        consumer: Arc::new(consumer),
        stage,
        health: health.clone(),
        workers: BTreeMap::new(),
        housekeeping: Instant::now(),
    };
    let result = member.poll_until(shutdown);
    let name = member.stage.name();
    health.running(name, false);
    let consumer = Arc::clone(&member.consumer);
    let left = member.leave();
    close(name, consumer);
    result.and(left)
}

/// Closes the consumer on a thread of its own, and waits for it no longer than is useful: a client that does not close
/// must not keep the process. Its partitions were given back by then.
fn close(stage: &str, consumer: Arc<Member>) {
    let (closed, wait) = std::sync::mpsc::channel();
    let closing = std::thread::spawn(move || {
        drop(consumer);
        closed.send(()).ok();
    });
    if wait.recv_timeout(CLOSES_WITHIN).is_err() {
        tracing::warn!(stage, "the Kafka client does not close, ending without");
        return;
    }
    closing.join().ok();
}

struct Loop {
    consumer: Arc<Member>,
    stage: Arc<dyn Stage>,
    health: Health,
    workers: BTreeMap<WorkerId, Worker>,
    housekeeping: Instant,
}

impl Loop {
    fn poll_until(&mut self, shutdown: &AtomicBool) -> Result<()> {
        let mut wait = Duration::ZERO;
        let mut polls = 0_u32;
        let mut checked = Instant::now();
        while !shutdown.load(Ordering::Relaxed) {
            let consumer = Arc::clone(&self.consumer);
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    wait = Duration::ZERO;
                    self.dispatch(&message)?;
                }
                // The client's context has told of it, with its reason.
                Some(Err(error)) if crate::kafka::log::is_passing(&error) => {
                    tracing::debug!(stage = self.stage.name(), %error, "kafka consumer");
                }
                Some(Err(error)) => {
                    return Err(error).with_context(|| {
                        format!(
                            "{} cannot go on; if its position is outside of the log, records were lost",
                            self.stage.name()
                        )
                    });
                }
                None => {
                    self.flush()?;
                    wait = Duration::from_millis(50);
                }
            }
            polls = polls.wrapping_add(1);
            if wait.is_zero() && !polls.is_multiple_of(64) {
                continue;
            }
            for event in self.consumer.context().events() {
                match event {
                    Event::Assign(partitions) => self.assign(&partitions, shutdown)?,
                    Event::Revoke(partitions) => self.revoke(&partitions)?,
                }
            }
            // Workers that were just started and have nobody any more to tell where are no failure then.
            if shutdown.load(Ordering::Relaxed) {
                break;
            }
            if checked.elapsed() > Duration::from_millis(5) {
                checked = Instant::now();
                self.flush()?;
                self.look_after()?;
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, message: &rdkafka::message::BorrowedMessage<'_>) -> Result<()> {
        use rdkafka::Message;
        let topics = self.stage.topics();
        let topic = topics.iter().position(|name| name == message.topic());
        let topic = topic.with_context(|| format!("a record of {}", message.topic()))?;
        let id = self.id(topic, message.partition());
        // A record of a partition just revoked may still have been in the queue.
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.feed.add(topic, message, &self.consumer)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        for worker in self.workers.values_mut() {
            worker.feed.flush(&self.consumer)?;
        }
        Ok(())
    }

    fn look_after(&mut self) -> Result<()> {
        for worker in self.workers.values_mut() {
            worker.feed.resume(&self.consumer)?;
        }
        let ended = self
            .workers
            .iter()
            .find(|(_, worker)| worker.thread.is_finished());
        if let Some(id) = ended.map(|(id, _)| *id)
            && let Some(worker) = self.workers.remove(&id)
        {
            let result = worker.thread.join().map_err(|_| anyhow!("panicked"));
            let (stage, partition) = (self.stage.name(), id.1);
            return match result.and_then(|result| result) {
                Ok(()) => Err(anyhow!(
                    "{stage}: the worker of partition {partition} ended by itself"
                )),
                Err(error) => Err(error.context(format!("{stage}: the worker of partition {partition}"))),
            };
        }
        if self.housekeeping.elapsed() > HOUSEKEEPING {
            self.housekeeping = Instant::now();
            let context = self.consumer.context();
            self.health.ends(self.stage.name(), |topic, partition| {
                context.end(topic, partition)
            });
        }
        Ok(())
    }

    fn id(&self, topic: usize, partition: i32) -> WorkerId {
        if self.stage.joins_topics() {
            (0, partition)
        } else {
            (topic, partition)
        }
    }

    fn assign(&mut self, partitions: &[(String, i32)], shutdown: &AtomicBool) -> Result<()> {
        let mut list = TopicPartitionList::new();
        let result = self.start(partitions, shutdown, &mut list);
        // The end may have come first, or an error.
        self.take(partitions, list)?;
        result
    }

    /// Takes partitions, at the end of their logs where the list has no other place: what was given can only be given
    /// back if it was taken.
    fn take(&self, partitions: &[(String, i32)], mut list: TopicPartitionList) -> Result<()> {
        for (name, partition) in partitions {
            if list.find_partition(name, *partition).is_none() {
                list.add_partition_offset(name, *partition, Offset::End)?;
            }
        }
        take(&self.consumer, &list)?;
        // A partition that was paused when it was given away comes back paused.
        self.consumer.resume(&list)?;
        Ok(())
    }

    /// Starts a worker for each, and collects where they start.
    fn start(
        &mut self,
        partitions: &[(String, i32)],
        shutdown: &AtomicBool,
        list: &mut TopicPartitionList,
    ) -> Result<()> {
        let stage = self.stage.name();
        tracing::info!(stage, count = partitions.len(), "partitions assigned");
        let mut wanted: BTreeMap<WorkerId, Vec<(usize, i32)>> = BTreeMap::new();
        for (name, partition) in partitions {
            let topic = self.stage.topics().iter().position(|topic| topic == name);
            let topic = topic.with_context(|| format!("{stage} was assigned {name}"))?;
            wanted
                .entry(self.id(topic, *partition))
                .or_default()
                .push((topic, *partition));
        }
        if self.stage.joins_topics() {
            let all = self.stage.topics().len();
            if let Some((id, _)) = wanted.iter().find(|(_, partitions)| partitions.len() != all) {
                bail!(
                    "{stage} was assigned partition {} of some of its topics only: they must have equal partition \
                     counts and be assigned by range",
                    id.1
                );
            }
        }
        let (started, starts) = sync_channel(wanted.len().max(1));
        let mut waiting = wanted.len();
        for (id, partitions) in wanted {
            if self.workers.contains_key(&id) {
                bail!("{stage} was assigned partition {} twice", id.1);
            }
            let (task, feed) = task::pair(
                &self.stage,
                &self.consumer,
                partitions,
                &self.health,
                started.clone(),
            );
            let stage = Arc::clone(&self.stage);
            let thread = std::thread::Builder::new()
                .name(format!("{}-{}", stage.name(), id.1))
                .spawn(move || stage.work(task))?;
            self.workers.insert(id, Worker { feed, thread });
        }
        drop(started);
        let deadline = Instant::now() + START_PATIENCE;
        while waiting > 0 && !shutdown.load(Ordering::Relaxed) {
            match starts.recv_timeout(Duration::from_millis(50)) {
                Ok(positions) => {
                    waiting -= 1;
                    for (topic, partition, start) in positions {
                        let name = self.stage.topics().get(topic).context("topic index")?;
                        list.add_partition_offset(name, partition, start.offset())?;
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => {
                    self.look_after()?;
                    bail!("{stage}: a worker did not say where to start");
                }
            }
            self.look_after()?;
        }
        Ok(())
    }

    fn revoke(&mut self, partitions: &[(String, i32)]) -> Result<()> {
        let stage = self.stage.name();
        let lost = self.consumer.assignment_lost();
        tracing::info!(stage, count = partitions.len(), lost, "partitions revoked");
        let mut list = TopicPartitionList::new();
        let mut ids = Vec::new();
        for (name, partition) in partitions {
            list.add_partition(name, *partition);
            let topic = self.stage.topics().iter().position(|topic| topic == name);
            ids.extend(topic.map(|topic| self.id(topic, *partition)));
        }
        let mut revoked = BTreeMap::new();
        for id in ids {
            if let Some(worker) = self.workers.remove(&id) {
                revoked.insert(id, worker);
            }
        }
        end(stage, &self.health, revoked);
        release(&self.consumer, &list)?;
        Ok(())
    }

    // The group must learn at once that this member is gone, or its partitions idle until the session ends.
    fn leave(mut self) -> Result<()> {
        let workers = std::mem::take(&mut self.workers);
        end(self.stage.name(), &self.health, workers);
        self.consumer.unsubscribe();
        let result = self.give_back();
        // Whatever happened: a revocation that nobody serves would hold up the end of the consumer for ever.
        self.consumer.context().close();
        result
    }

    fn give_back(&mut self) -> Result<()> {
        let deadline = Instant::now() + LEAVE_PATIENCE;
        while Instant::now() < deadline {
            if let Some(Err(error)) = self.consumer.poll(Duration::from_millis(20)) {
                tracing::debug!(%error, "while leaving the group");
            }
            let mut served = false;
            for event in self.consumer.context().events() {
                match event {
                    Event::Assign(partitions) => self.take(&partitions, TopicPartitionList::new())?,
                    Event::Revoke(partitions) => {
                        self.revoke(&partitions)?;
                        served = true;
                    }
                }
            }
            if served || self.consumer.assignment().is_ok_and(|list| list.count() == 0) {
                break;
            }
        }
        Ok(())
    }
}

// All are told before any is waited for: they finish side by side.
fn end(stage: &'static str, health: &Health, workers: BTreeMap<WorkerId, Worker>) {
    for worker in workers.values() {
        worker.feed.close();
    }
    for ((_, partition), worker) in workers {
        match worker.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(stage, partition, "the worker ended with an error: {error:#}"),
            Err(_) => tracing::error!(stage, partition, "the worker panicked"),
        }
        for (topic, partition) in worker.feed.partitions() {
            health.disown(stage, topic, partition);
        }
    }
}
