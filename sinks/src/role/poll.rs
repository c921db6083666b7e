//! The poll thread: reads records, decodes them into batches, cuts batches into flights.
//!
//! It never waits for ClickHouse for long: when memory is full it stops reading for a moment, then pauses the
//! partitions and keeps polling, so that the group does not take it for dead.

mod owners;
mod partition;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tributary_avro::schema_id;

use partition::{Partition, is_due, seal, unix_millis};

use super::SinkError;
use super::assignment::{Assignments, Place, SinkConsumer};
use super::batch::{OutOfTime, place};
use super::commit::Committed;
use super::land::{Flight, Landed, Shared, land};
use super::letters::{Letter, Reason};
use super::programs::{Known, Programs};
use crate::config::SinkConfig;
use crate::crash;
use crate::planner::Offer;
use crate::rows::Row;
use crate::schemas::Schemas;
use crate::tables::Table;

const HEADER: usize = 5;
const IDLE: Duration = Duration::from_millis(10);
/// Records between two looks at the clock.
const TICK: usize = 128;
/// Full for longer than this, partitions are paused.
const PATIENCE: Duration = Duration::from_secs(2);
/// The positions of what has landed by the end may take this long.
const LAST_COMMITS: Duration = Duration::from_secs(5);
/// What is in flight at the end may take this long.
const LAST_FLIGHTS: Duration = Duration::from_secs(15);

/// What the poll thread works with.
pub(super) struct Wiring {
    pub(super) consumer: Arc<SinkConsumer>,
    pub(super) assignments: Arc<Assignments>,
    pub(super) shared: Arc<Shared>,
    pub(super) schemas: Arc<dyn Schemas>,
    pub(super) runtime: Handle,
    pub(super) stop: Arc<AtomicBool>,
}

struct Arrival {
    place: Place,
    epoch: u64,
    landed: Landed,
}

pub(super) struct Poll {
    config: SinkConfig,
    wiring: Wiring,
    tables: Vec<Arc<Table>>,
    programs: Vec<Programs>,
    partitions: Vec<Partition>,
    last: usize,
    row: Row,
    in_flight: usize,
    bytes: usize,
    paused: bool,
    full_since: Option<Instant>,
    arrivals: Receiver<Arrival>,
    arrive: Sender<Arrival>,
}

impl Poll {
    pub(super) fn new(config: SinkConfig, tables: Vec<Table>, wiring: Wiring) -> Self {
        let (arrive, arrivals) = channel();
        Self {
            config,
            wiring,
            programs: tables.iter().map(|_| Programs::default()).collect(),
            tables: tables.into_iter().map(Arc::new).collect(),
            partitions: Vec::new(),
            last: 0,
            row: Row::default(),
            in_flight: 0,
            bytes: 0,
            paused: false,
            full_since: None,
            arrivals,
            arrive,
        }
    }

    /// Works until the sink stops. Then the consumer is to be closed by dropping this.
    pub(super) fn run(&mut self) -> Result<(), SinkError> {
        let ended = self.work();
        // Whatever ended it: while the consumer is closed, no partition is taken.
        self.wiring.stop.store(true, Ordering::Relaxed);
        ended
    }

    fn work(&mut self) -> Result<(), SinkError> {
        let consumer = self.wiring.consumer.clone();
        while !self.wiring.stop.load(Ordering::Relaxed) {
            self.tick(false)?;
            if !self.make_room()? {
                continue;
            }
            for _ in 0..TICK {
                let polled = consumer.poll(IDLE);
                self.rebalanced()?;
                match polled {
                    None => break,
                    Some(Ok(message)) => self.take(&message)?,
                    Some(Err(error)) => self.poll_error(error)?,
                }
            }
        }
        self.finish()
    }

    /// Lands what is open, then ends.
    fn finish(&mut self) -> Result<(), SinkError> {
        let deadline = Instant::now() + LAST_FLIGHTS;
        let list: TopicPartitionList = self.wiring.consumer.assignment()?;
        self.wiring.consumer.pause(&list)?;
        while Instant::now() < deadline {
            self.tick(true)?;
            let open = |p: &Partition| p.ranges.in_flight() || p.ranges.can_seal();
            if !self.partitions.iter().any(open) {
                break;
            }
            self.wait(IDLE)?;
        }
        // The last commits are answered before the group is left; by a broker that hangs, they are not waited for.
        let answers: Vec<_> = self
            .partitions
            .iter()
            .filter_map(|partition| commit_position(&self.wiring, partition))
            .collect();
        let all = async {
            for answer in answers {
                answer.await.ok();
            }
        };
        let in_time = async { tokio::time::timeout(LAST_COMMITS, all).await };
        if self.wiring.runtime.block_on(in_time).is_err() {
            tracing::warn!(
                "the last positions are not committed: what stands behind them is sent again, and recognized"
            );
        }
        Ok(())
    }

    /// What is due by now.
    fn tick(&mut self, all: bool) -> Result<(), SinkError> {
        self.rebalanced()?;
        while let Ok(arrival) = self.arrivals.try_recv() {
            self.arrived(arrival)?;
        }
        let now = Instant::now();
        // Memory runs short: send what there is.
        let all = all || self.bytes >= self.config.memory_bytes;
        while self.in_flight < self.config.inserts.max(1) {
            let due = |p: &&mut Partition| p.ranges.can_seal() && (all || is_due(&self.config, p, now));
            let Some(partition) = self
                .partitions
                .iter_mut()
                .filter(due)
                .min_by_key(|p| p.batch.opened)
            else {
                break;
            };
            let table = self.tables.get(partition.table).cloned();
            let Some(flight) = table.and_then(|table| seal(partition, table, self.config.generation)) else {
                break;
            };
            self.in_flight += 1;
            self.launch(flight);
        }
        let stalled = |p: &Partition| p.stalled.is_some_and(|until| now >= until);
        for index in 0..self.partitions.len() {
            if self.partitions.get(index).is_some_and(stalled) {
                self.resume(index)?;
            }
        }
        Ok(())
    }

    fn launch(&self, flight: Flight) {
        let (place, epoch) = (flight.place.clone(), flight.epoch);
        let landing = self
            .wiring
            .runtime
            .spawn(land(self.wiring.shared.clone(), flight));
        let arrive = self.arrive.clone();
        self.wiring.runtime.spawn(async move {
            let landed = landing
                .await
                .unwrap_or_else(|error| Landed::Failed(SinkError::Internal(error.to_string())));
            // The poll thread has ended only if nobody wants to know.
            arrive.send(Arrival { place, epoch, landed }).ok();
        });
    }

    fn arrived(&mut self, arrival: Arrival) -> Result<(), SinkError> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let own = |p: &&mut Partition| p.place == arrival.place && p.epoch == arrival.epoch;
        let Some(partition) = self.partitions.iter_mut().find(own) else {
            // Revoked meanwhile: whatever went wrong is the next owner's to see.
            return Ok(());
        };
        self.bytes = self.bytes.saturating_sub(partition.flying);
        partition.flying = 0;
        match arrival.landed {
            Landed::Failed(error) => return Err(error),
            Landed::Lost => return Ok(()),
            Landed::Done => {}
        }
        crash::pass("sink.before_commit");
        partition.ranges.landed();
        // The next plan's commit says the same; without one, say it here.
        if !partition.ranges.can_seal() || !is_due(&self.config, partition, Instant::now()) {
            drop(commit_position(&self.wiring, partition));
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), SinkError> {
        match self.arrivals.recv_timeout(timeout) {
            Ok(arrival) => self.arrived(arrival),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// Whether there is room for more records.
    fn make_room(&mut self) -> Result<bool, SinkError> {
        let limit = self.config.memory_bytes;
        let full = self.bytes >= limit
            || self
                .partitions
                .iter()
                .any(|p| p.batch.rows >= self.config.batch_rows * 4);
        if !full {
            self.full_since = None;
            if self.paused && self.bytes < limit / 2 {
                self.wiring.consumer.resume(&self.wiring.consumer.assignment()?)?;
                self.paused = false;
            }
            return Ok(true);
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            self.wait(IDLE)?;
            return Ok(false);
        }
        if !self.paused {
            tracing::warn!("memory is full of rows that ClickHouse does not take, pausing");
            self.paused = true;
        }
        // Each time: partitions may have been added.
        self.wiring.consumer.pause(&self.wiring.consumer.assignment()?)?;
        Ok(true)
    }

    fn locate(&mut self, message: &BorrowedMessage<'_>) -> Option<usize> {
        let is = |p: &Partition| p.place.1 == message.partition() && p.place.0 == message.topic();
        if !self.partitions.get(self.last).is_some_and(is) {
            self.last = self.partitions.iter().position(is)?;
        }
        Some(self.last)
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), SinkError> {
        let Some(index) = self.locate(message) else {
            return Ok(());
        };
        let offset = message.offset();
        let Some(partition) = self.partitions.get_mut(index) else {
            return Ok(());
        };
        if partition.stalled.is_some() || offset < partition.ranges.next() {
            return Ok(());
        }
        let (Some(table), Some(programs)) = (
            self.tables.get(partition.table),
            self.programs.get_mut(partition.table),
        ) else {
            return Ok(());
        };
        let value = message.payload().unwrap_or_default();
        let known = match schema_id(value) {
            Ok(id) => programs.get(id, table, self.wiring.schemas.as_ref(), &self.wiring.runtime),
            Err(error) => Known::Bad(Reason::NotAvro, error.to_string(), Instant::now()),
        };
        if let Known::Away(error) = known {
            tracing::warn!(%error, "schema unknown so far, waiting");
            return self.stall(index);
        }
        let offer = partition.ranges.offer(offset).map_err(|source| SinkError::Plan {
            topic: partition.place.0.clone(),
            partition: partition.place.1,
            source,
        })?;
        if partition.batch.opened.is_none() {
            partition.batch.opened = Some(Instant::now());
            let age = message.timestamp().to_millis().map_or(0, |at| unix_millis() - at);
            partition.batch.behind = age > self.config.behind_millis as i64;
        }
        let before = partition.batch.bytes;
        let datum = value.get(HEADER..).unwrap_or_default();
        let rejected = match known {
            Known::Bad(reason, detail, _) => Some((reason, detail)),
            Known::Away(_) => None,
            Known::Program(program) => match program.decode(datum, &mut self.row) {
                Err(error) => Some((Reason::InvalidRecord, error.to_string())),
                Ok(()) => {
                    place(table, &mut self.row, partition.place.1, offset);
                    let appended = partition
                        .batch
                        .append(table, &program, (offset, datum), &self.row);
                    appended
                        .err()
                        .map(|OutOfTime(at)| (Reason::TimeOutOfRange, format!("event time {at}")))
                }
            },
        };
        if let Some((reason, detail)) = rejected {
            partition.batch.reject(Letter {
                offset,
                reason,
                detail,
                at: message.timestamp().to_millis().unwrap_or_default(),
                key: message.key().unwrap_or_default().to_vec(),
                value: value.to_vec(),
            });
        }
        self.bytes += partition.batch.bytes - before;
        if offer == Offer::TakeLast {
            // The next record is no part of the plan: cut here, slot or no slot.
            let flight = seal(partition, table.clone(), self.config.generation);
            if let Some(flight) = flight {
                self.in_flight += 1;
                self.launch(flight);
            }
        }
        Ok(())
    }
}

// If it fails, the plan stays beside the old offset: the next plan's commit says it too, and without one its range is
// sent again and recognized.
fn commit_position(wiring: &Wiring, partition: &Partition) -> Option<oneshot::Receiver<Committed>> {
    let offset = partition.ranges.landed_up_to()?;
    let (place, epoch) = (partition.place.clone(), partition.epoch);
    Some(
        wiring
            .shared
            .committer
            .submit(place, epoch, offset, String::new()),
    )
}
