//! One facts partition: its producer, its state, its transactions.
//!
//! Invariant: what is sent was computed from state that the last committed transaction left behind. After
//! any error the producer is dropped and the state restored; records in hand are kept and those that turn
//! out to be committed are skipped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tributary_avro::Fact;
use tributary_domain::engine::Verdict;
use tributary_domain::store::StoreError;

use super::outputs::{DEAD_LETTERS, Record};
use super::position::Position;
use super::{Attribute, Core};
use crate::crash_point;
use crate::dead::{Origin, Why};
use crate::kafka::log::{LogError, LogReader};
use crate::registry::DecodeFailure;
use crate::runtime::batch::{self, Batch};
use crate::runtime::classify::Class;
use crate::runtime::member::{Start, Task};
use crate::runtime::queue::Popped;
use crate::runtime::transaction::{Output, SLOTS, TransactionError, TransactionalProducer};
use crate::store::{DiskStore, is_refusal};

const IDLE: Duration = Duration::from_millis(500);
const MOST_REBUILDS: u32 = 3;
/// Facts that are applied before what they changed is settled.
const FACTS_PER_STEP: usize = 50;
/// A transaction that has so many records is committed before more is settled.
const MOST_RECORDS: usize = 5_000;

/// Why a life of the worker ended.
pub(super) enum End {
    /// The group wants the partition back, or the process ends.
    Stopped,
    /// Another instance took the transactional ID over.
    Fenced,
    /// Restore and go on.
    Again(Error),
    /// The state store failed: delete it if it is damaged, restore and go on.
    Damaged(StoreError),
    /// Nothing that a restart could mend.
    Dead(Error),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Damaged(error)
    }
}

impl From<KafkaError> for End {
    fn from(error: KafkaError) -> Self {
        Self::Again(error.into())
    }
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Stopped => Self::Stopped,
            LogError::DataLoss { .. } => Self::Dead(error.into()),
            LogError::Stalled(_) | LogError::Kafka(_) => Self::Again(error.into()),
        }
    }
}

impl From<TransactionError> for End {
    fn from(error: TransactionError) -> Self {
        match error.class {
            Class::Fenced => Self::Fenced,
            Class::Retry | Class::Abort | Class::Fatal => Self::Again(error.into()),
        }
    }
}

pub(super) struct Worker<'a, C: Core> {
    pub(super) stage: &'a Attribute<C>,
    pub(super) task: &'a Task,
    pub(super) partition: i32,
    pub(super) store: DiskStore,
    pub(super) core: C,
    pub(super) position: Position,
    hand: VecDeque<Batch>,
    started: bool,
}

/// A transaction computed and not yet sent.
#[derive(Default)]
struct Computed {
    position: Position,
    records: Vec<Record>,
    more: bool,
}

impl<'a, C: Core> Worker<'a, C> {
    pub(super) fn new(stage: &'a Attribute<C>, task: &'a Task) -> Result<Self> {
        let partition = task.partition();
        let dir = stage.state_dir.join(partition.to_string());
        let mut store = DiskStore::open(
            &dir,
            C::FORMAT,
            C::SCANNED,
            &stage.forest,
            stage.limits.flush_bytes,
        )?;
        let core = match C::open(&store) {
            Ok(core) => core,
            Err(error) if !is_refusal(&error) => {
                discard(&mut store, partition, &error)?;
                C::open(&store)?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            stage,
            task,
            partition,
            core,
            store,
            position: Position::default(),
            hand: VecDeque::new(),
            started: false,
        })
    }

    pub(super) fn facts_topic(&self) -> &str {
        self.task.topic(0)
    }

    pub(super) fn run(mut self) -> Result<()> {
        let mut rebuilds = 0;
        let mut pause = Duration::from_millis(100);
        let result = loop {
            let begun = Instant::now();
            let why = match self.live() {
                Ok(()) | Err(End::Stopped) => break Ok(()),
                Err(End::Dead(error)) => break Err(error),
                Err(End::Fenced) => {
                    tracing::warn!(partition = self.partition, "fenced off by another instance");
                    // The group will say so as well. If it does not for longer than any session lasts, the
                    // partition is still ours.
                    if self.task.queue.wait_closed(self.grace()) {
                        break Ok(());
                    }
                    "fenced"
                }
                Err(End::Damaged(error)) => {
                    rebuilds += 1;
                    if rebuilds > MOST_REBUILDS {
                        break Err(error.into());
                    }
                    if is_refusal(&error) {
                        tracing::warn!(partition = self.partition, %error, "the disk refuses");
                    } else {
                        discard(&mut self.store, self.partition, &error)?;
                    }
                    "store"
                }
                Err(End::Again(error)) => {
                    tracing::warn!(partition = self.partition, "restoring after an error: {error:#}");
                    "kafka"
                }
            };
            metrics::counter!("tributary_attribute_restarts_total", "why" => why).increment(1);
            pause = if begun.elapsed() > Duration::from_secs(60) {
                Duration::from_millis(100)
            } else {
                (pause * 2).min(Duration::from_secs(5))
            };
            if self.task.queue.wait_closed(pause) {
                break Ok(());
            }
        };
        self.publish_counts(true);
        // The next owner on this disk need not replay it. What fails here is replayed.
        if let Err(error) = self.store.flush() {
            tracing::warn!(partition = self.partition, %error, "flushing state at the end");
        }
        result
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(u64::from(self.stage.settings.session_timeout_ms) * 2 + 2_000)
    }

    /// From the fence to the next failure.
    fn live(&mut self) -> Result<(), End> {
        let id = format!("{}-{}", self.stage.settings.group("attribute"), self.partition);
        let mut producer = TransactionalProducer::fence(&self.stage.settings, &id)?;
        let reader = LogReader::new(&self.stage.settings)?;
        let logs = self.ask_logs(&reader)?;
        if !self.started {
            self.started = true;
            let start = vec![(0, self.partition, Start::At(logs.committed))];
            self.task.start(start).map_err(End::Dead)?;
        }
        self.restore(&reader, &logs)?;
        drop(reader);
        self.settle_rest(&mut producer)?;
        self.publish();
        let mut more = false;
        loop {
            if !self.gather(more)? {
                continue;
            }
            let computed = self.compute()?;
            more = computed.more;
            self.commit(&mut producer, computed)?;
        }
    }

    // Whatever the state wants and the ledger does not have; after a clean restart that is nothing.
    fn settle_rest(&mut self, producer: &mut TransactionalProducer) -> Result<(), End> {
        self.core.open_books(&mut self.store)?;
        loop {
            let computed = self.compute_from(0)?;
            if computed.records.is_empty() && !computed.more {
                // Marks may have been cleared without any output.
                if self.store.uncommitted() > 0 {
                    self.store.commit(&self.position.bytes())?;
                }
                return Ok(());
            }
            let rows = computed.records.len() as u64;
            metrics::counter!("tributary_attribute_restore_emitted_total").increment(rows);
            self.commit(producer, computed)?;
            if self.task.is_stopped() {
                return Err(End::Stopped);
            }
        }
    }

    /// Fills the hand; false if there is nothing to do.
    fn gather(&mut self, more: bool) -> Result<bool, End> {
        let limits = self.stage.limits;
        let mut count: usize = self.hand.iter().map(Batch::len).sum();
        let mut wait = if more || count > 0 { Duration::ZERO } else { IDLE };
        let mut deadline = None;
        while count < limits.facts_per_transaction {
            match self.task.queue.pop(wait) {
                Popped::Closed => return Err(End::Stopped),
                Popped::Empty => break,
                Popped::Item(batch) => {
                    count += batch.len();
                    self.hand.push_back(batch);
                }
            }
            let end = *deadline.get_or_insert_with(|| Instant::now() + Duration::from_millis(limits.wait_ms));
            wait = if more {
                Duration::ZERO
            } else {
                end.saturating_duration_since(Instant::now())
            };
        }
        if self.task.is_stopped() {
            return Err(End::Stopped);
        }
        Ok(more || count > 0)
    }

    fn compute(&mut self) -> Result<Computed, End> {
        self.compute_from(self.stage.limits.facts_per_transaction)
    }

    /// Applies up to `limit` facts in hand, and settles.
    fn compute_from(&mut self, limit: usize) -> Result<Computed, End> {
        let mut computed = Computed {
            position: self.position.clone(),
            ..Computed::default()
        };
        let hand = std::mem::take(&mut self.hand);
        let result = self.compute_steps(&hand, limit, &mut computed);
        self.hand = hand;
        result.map(|()| computed)
    }

    /// A transaction is computed in steps: what a step works on stays in the processor's cache, while Kafka is asked
    /// to commit for many of them at once.
    fn compute_steps(
        &mut self,
        hand: &VecDeque<Batch>,
        limit: usize,
        computed: &mut Computed,
    ) -> Result<(), End> {
        let begun = Instant::now();
        let budget = Duration::from_millis(self.stage.limits.compute_ms);
        let mut cases = self.stage.limits.cases_per_transaction;
        // What is older was committed before a failure that left the outcome open.
        let next = computed.position.facts;
        let facts = hand.iter().flat_map(Batch::records);
        let mut facts = facts
            .filter(|record| record.offset >= next)
            .take(limit)
            .peekable();
        loop {
            for record in facts.by_ref().take(FACTS_PER_STEP) {
                self.apply(&record, computed)?;
            }
            // Once at least, even if there is no time left: it writes what was applied into the store, and that must
            // be there when its offset is committed.
            loop {
                let settled = self.core.settle(&mut self.store, cases.max(1))?;
                computed.more = settled.more;
                cases = cases.saturating_sub(settled.cases.max(1));
                for row in &settled.rows {
                    let record = self.stage.encoders.row(row);
                    computed
                        .records
                        .push(record.map_err(|error| End::Dead(error.into()))?);
                }
                let is_full =
                    cases == 0 || computed.records.len() >= MOST_RECORDS || begun.elapsed() > budget;
                if is_full {
                    return Ok(());
                }
                if !computed.more {
                    break;
                }
            }
            if facts.peek().is_none() {
                return Ok(());
            }
        }
    }

    fn apply(&mut self, record: &batch::Record<'_>, computed: &mut Computed) -> Result<(), End> {
        let (verdict, at, detail) = match self.decode_fact(record.value)? {
            Ok(fact) => {
                let at = fact.at;
                (self.core.apply(&mut self.store, fact)?, at, String::new())
            }
            Err((reason, detail)) => (Verdict::Rejected(reason), record.timestamp, detail),
        };
        computed.position.count(verdict);
        computed.position.facts = record.offset + 1;
        if let Verdict::Rejected(reason) = verdict {
            let origin = Origin {
                stage: "attribute",
                topic: self.facts_topic(),
                partition: self.partition,
            };
            let why = Why { reason, detail };
            let value = self.stage.dead.letter(origin, record, Some(at), why);
            computed.records.push(Record {
                slot: DEAD_LETTERS,
                key: record.key.to_vec(),
                value: value.map_err(|error| End::Dead(error.into()))?,
                headers: None,
            });
        }
        Ok(())
    }

    /// The fact, or why the bytes are none; waits while the registry is away.
    pub(super) fn decode_fact(
        &self,
        value: Option<&[u8]>,
    ) -> Result<Result<Fact, (&'static str, String)>, End> {
        loop {
            match self.stage.facts.decode_blocking(value.unwrap_or_default()) {
                Ok(fact) => return Ok(Ok(fact)),
                Err(DecodeFailure::Dead { reason, detail }) => return Ok(Err((reason, detail))),
                Err(DecodeFailure::Retry(why)) => {
                    tracing::warn!(why, "waiting for the schema registry");
                    if self.task.queue.wait_closed(Duration::from_secs(1)) {
                        return Err(End::Stopped);
                    }
                }
            }
        }
    }

    /// Sends, commits, then writes the store. In this order, and nothing else in between.
    fn commit(&mut self, producer: &mut TransactionalProducer, computed: Computed) -> Result<(), End> {
        let Computed {
            position,
            records,
            more,
        } = computed;
        let rows = records.len() as u64;
        let ends = self.transact(producer, position.facts, records)?;
        crash_point!("attribute.after_commit");
        self.position = position;
        for (own, end) in self.position.ledger.iter_mut().zip(ends) {
            *own = (*own).max(end);
        }
        while self
            .hand
            .front()
            .is_some_and(|batch| batch.next().is_none_or(|next| next <= self.position.facts))
        {
            self.hand.pop_front();
        }
        crash_point!("attribute.before_store_commit");
        self.store.commit(&self.position.bytes())?;
        crash_point!("attribute.after_store_commit");
        if more {
            crash_point!("attribute.mid_sweep");
        }
        metrics::counter!("tributary_attribute_transactions_total").increment(1);
        metrics::counter!("tributary_attribute_rows_total").increment(rows);
        metrics::gauge!("tributary_attribute_dirty", "partition" => self.partition.to_string())
            .set(f64::from(u8::from(more)));
        self.publish();
        Ok(())
    }

    fn transact(
        &self,
        producer: &mut TransactionalProducer,
        next: i64,
        records: Vec<Record>,
    ) -> Result<[i64; SLOTS], End> {
        crash_point!("attribute.before_send");
        let group = self.task.group().map_err(End::Again)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(self.facts_topic(), self.partition, Offset::Offset(next))?;
        let mut transaction = producer.begin()?;
        let sent = || {
            for record in records {
                let ledger = self.stage.ledger.get(record.slot);
                transaction.send(Output {
                    slot: record.slot,
                    topic: ledger.unwrap_or(&self.stage.dead.topic),
                    partition: ledger.map(|_| self.partition),
                    key: &record.key,
                    value: &record.value,
                    headers: record.headers,
                })?;
            }
            transaction.drain()?;
            crash_point!("attribute.after_send");
            transaction.send_offsets(&offsets, &group)
        };
        match sent() {
            Ok(()) => {
                crash_point!("attribute.after_offsets");
                Ok(transaction.commit()?)
            }
            Err(error) => {
                // Best effort: an open transaction would block readers until the next owner's fence.
                if error.class == Class::Abort
                    && let Err(error) = transaction.abort()
                {
                    tracing::warn!(partition = self.partition, %error, "aborting");
                }
                Err(error.into())
            }
        }
    }

    fn publish(&self) {
        self.task.progress(0, self.partition, self.position.facts);
        self.publish_counts(false);
    }

    fn publish_counts(&self, gone: bool) {
        let partition = self.partition.to_string();
        let mut counts = std::collections::BTreeMap::new();
        for (verdict, count) in &self.position.verdicts {
            let labels = [("verdict", verdict.clone()), ("partition", partition.clone())];
            let value = if gone { 0 } else { *count };
            metrics::gauge!("tributary_attribute_facts_total", &labels).set(value as f64);
            counts.insert(format!("facts.{verdict}"), value);
        }
        self.task.health.counts("attribute", self.partition, counts);
    }
}

fn discard(store: &mut DiskStore, partition: i32, error: &StoreError) -> Result<(), StoreError> {
    tracing::warn!(partition, %error, "state store failed: deleted, to be rebuilt");
    metrics::counter!("tributary_store_rebuilt_total", "why" => "failed").increment(1);
    store.wipe()
}
