//! One partition of clicks and claims.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use tributary_avro::Click;
use tributary_domain::fact::of_click;
use tributary_domain::tenant::Tenant;

use super::clicks::{ClickKey, ClickStore, Positions, click_key};
use super::{CLAIMS, CLICKS, Join};
use crate::crash_point;
use crate::dead::{Origin, Why};
use crate::registry::{DecodeFailure, SchemaDecoder};
use crate::runtime::batch::{Batch, Record};
use crate::runtime::member::{Start, Task};
use crate::runtime::outbox::Outbox;
use crate::runtime::queue::{Choice, Heads, Popped};

const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// If all clicks were read, none is on its way that a claim could wait for, but what is being fetched.
const CLICKS_IDLE: Duration = Duration::from_millis(20);
/// Not known yet.
const UNSET: i64 = -1;

pub(super) struct Worker<'a> {
    stage: &'a Join,
    task: &'a Task,
    partition: i32,
    store: ClickStore,
    outbox: Outbox,
    positions: Positions,
    /// Up to where the store knows the claims.
    written: i64,
    /// Since when outputs are on their way, and their number.
    sent: Option<(Instant, usize)>,
    unwritten: Unwritten,
    forwarded: Forwarded,
    expired: Option<Instant>,
    turns: Turns,
}

/// Whose turn it is: a claim's once the clicks that are as old were read. In order it meets its click at once and
/// spares attribute a revision, as after a pause, when both topics are read as fast as can be. Out of order it costs
/// no more than that: nothing depends on it.
struct Turns {
    /// Since when a claim is the next one.
    waiting: Instant,
    /// How long it may wait.
    patience: Duration,
}

impl Turns {
    fn new(patience: Duration) -> Self {
        Self {
            waiting: Instant::now(),
            patience,
        }
    }

    /// `behind` says whether there are clicks in the log that were not read yet.
    fn choose(&mut self, heads: &Heads<'_, Batch>, now: Instant, behind: impl Fn() -> bool) -> Choice {
        let clicks = heads.of(CLICKS);
        let Some(claims) = heads.of(CLAIMS) else {
            self.waiting = now;
            return clicks.map_or(Choice::Nothing, |_| Choice::Take(CLICKS));
        };
        // Caught up, clicks and claims come as they happen: then no clock that is slow may hold claims up.
        let patience = if behind() { self.patience } else { CLICKS_IDLE };
        let patience = patience.saturating_sub(now.saturating_duration_since(self.waiting));
        match clicks {
            Some(clicks) if !patience.is_zero() && !is_before(claims, clicks) => Choice::Take(CLICKS),
            None if !patience.is_zero() => Choice::Later(patience.min(CLICKS_IDLE)),
            _ => {
                self.waiting = now;
                Choice::Take(CLAIMS)
            }
        }
    }
}

fn is_before(claims: &Batch, clicks: &Batch) -> bool {
    match (claims.span(), clicks.span()) {
        (Some((_, last)), Some((first, _))) => last < first,
        _ => true,
    }
}

/// The clicks that are not in the store yet.
#[derive(Default)]
struct Unwritten {
    since: Option<Instant>,
    bytes: usize,
    newest: i64,
    batches: Vec<Batch>,
    clicks: FxHashMap<ClickKey, (u32, u32)>,
    emitted: FxHashSet<(String, String)>,
}

/// The claims that the store does not know of yet. They are few beside the clicks: a run of the store for those of
/// each run of clicks would be next to nothing, and cost the disk as much.
#[derive(Default)]
struct Forwarded {
    since: Option<Instant>,
    claims: usize,
    newest: i64,
    waiting: BTreeMap<[u8; 16], Vec<u8>>,
}

impl Unwritten {
    fn click(&self, key: ClickKey) -> Option<&[u8]> {
        let (batch, record) = self.clicks.get(&key)?;
        self.batches.get(*batch as usize)?.value(*record as usize)
    }

    /// The clicks in the order of their IDs.
    fn clicks(&self) -> impl Iterator<Item = ([u8; 16], &[u8])> {
        let mut keys: Vec<ClickKey> = self.clicks.keys().copied().collect();
        keys.sort_unstable();
        keys.into_iter()
            .filter_map(|key| Some((key.to_be_bytes(), self.click(key)?)))
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(stage: &'a Join, task: &'a Task) -> Result<Self> {
        let partition = task.partition();
        let dir = stage.state_dir.join(partition.to_string());
        let settings = stage.settings;
        let store = ClickStore::open(&dir, &stage.forest, settings.segment_days, settings.keep_days)?;
        let found = store.positions()?;
        let start = |next: i64| {
            if next < 0 {
                Start::Beginning
            } else {
                Start::At(next)
            }
        };
        let positions @ [clicks, claims] = found.unwrap_or([UNSET; 2]);
        task.start(vec![
            (CLICKS, partition, start(clicks)),
            (CLAIMS, partition, start(claims)),
        ])?;
        Ok(Self {
            stage,
            task,
            partition,
            store,
            outbox: stage.producers.outbox(),
            positions,
            written: claims,
            sent: None,
            unwritten: Unwritten::default(),
            forwarded: Forwarded::default(),
            expired: None,
            turns: Turns::new(Duration::from_millis(stage.settings.claim_wait_ms)),
        })
    }

    pub(super) fn run(mut self) -> Result<()> {
        let acknowledge_every = Duration::from_millis(self.stage.settings.acknowledge_ms);
        let write_every = Duration::from_millis(self.stage.settings.write_ms);
        loop {
            let wait = match self.sent {
                Some((since, _)) => acknowledge_every.saturating_sub(since.elapsed()),
                None => Duration::from_millis(500),
            };
            let (turns, [clicks, _]) = (&mut self.turns, self.positions);
            let behind = || {
                let end = self.task.end(CLICKS, self.partition);
                end.is_none_or(|end| clicks.max(0) < end)
            };
            let popped = self
                .task
                .queue
                .pop_by(wait, |heads| turns.choose(heads, Instant::now(), behind));
            let stopped = matches!(popped, Popped::Closed);
            if let Popped::Item(batch) = popped {
                self.process(batch)?;
            }
            let due = self.sent.is_some_and(|(since, records)| {
                records >= self.stage.settings.acknowledge_records || since.elapsed() >= acknowledge_every
            });
            if stopped || due {
                self.acknowledge()?;
            }
            let old = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() >= write_every);
            let claims = stopped
                || old(self.forwarded.since)
                || self.forwarded.claims >= self.stage.settings.write_claims;
            let full = self.unwritten.bytes >= self.stage.settings.write_bytes;
            if claims || full || old(self.unwritten.since) {
                self.write(claims)?;
            }
            if stopped {
                return Ok(());
            }
            if self.expired.is_none_or(|at| at.elapsed() > EXPIRE_EVERY) {
                self.expired = Some(Instant::now());
                let dropped = self.store.expire(now())?;
                if dropped > 0 {
                    tracing::info!(partition = self.partition, dropped, "old click segments dropped");
                }
            }
        }
    }

    fn process(&mut self, batch: Batch) -> Result<()> {
        let (_, records) = self.sent.get_or_insert_with(|| (Instant::now(), 0));
        *records += batch.len();
        if batch.topic == CLICKS {
            self.unwritten.since.get_or_insert_with(Instant::now);
            let number = u32::try_from(self.unwritten.batches.len())?;
            for (index, record) in batch.records().enumerate() {
                self.unwritten.newest = self.unwritten.newest.max(record.timestamp);
                match (click_key(record.key), record.value) {
                    (Some(key), Some(value)) => {
                        self.unwritten.clicks.insert(key, (number, u32::try_from(index)?));
                        if self.is_awaited(key, record.key) {
                            self.serve_waiting(&record, value)?;
                        }
                    }
                    (None, Some(_)) => {
                        let detail = format!("the key has {} bytes, a click ID has 16", record.key.len());
                        self.dead(CLICKS, &record, None, "invalid_click_id", detail)?;
                    }
                    (_, None) => {}
                }
            }
        } else {
            if !batch.is_empty() {
                crash_point!("join.before_send");
            }
            self.forwarded.since.get_or_insert_with(Instant::now);
            self.forwarded.claims += batch.len();
            for record in batch.records() {
                self.forwarded.newest = self.forwarded.newest.max(record.timestamp);
                self.claim(&record)?;
            }
        }
        if let (Some(position), Some(next)) = (self.positions.get_mut(batch.topic), batch.next()) {
            *position = next;
        }
        if batch.topic == CLICKS {
            self.unwritten.bytes += batch.bytes();
            self.unwritten.batches.push(batch);
        }
        Ok(())
    }

    fn is_awaited(&self, key: ClickKey, id: &[u8]) -> bool {
        self.store.may_wait(key)
            || (!self.forwarded.waiting.is_empty()
                && <[u8; 16]>::try_from(id).is_ok_and(|id| self.forwarded.waiting.contains_key(&id)))
    }

    fn serve_waiting(&mut self, record: &Record<'_>, value: &[u8]) -> Result<()> {
        let tenants = self.waiting(record.key)?;
        if tenants.is_empty() {
            return Ok(());
        }
        let Some(click) = self.decode(&self.stage.clicks, CLICKS, record, value)? else {
            return Ok(());
        };
        for tenant in tenants.split(|byte| *byte == b'\n') {
            let tenant = String::from_utf8_lossy(tenant);
            if let Some((workspace, mode)) = tenant.split_once('/') {
                self.emit(&click, workspace, mode)?;
            }
        }
        Ok(())
    }

    fn waiting(&self, id: &[u8]) -> Result<Vec<u8>> {
        let recent = <[u8; 16]>::try_from(id)
            .ok()
            .and_then(|id| self.forwarded.waiting.get(&id));
        match recent {
            Some(tenants) => Ok(tenants.clone()),
            None => Ok(self.store.waiting(id)?.unwrap_or_default()),
        }
    }

    fn claim(&mut self, record: &Record<'_>) -> Result<()> {
        let value = record.value.unwrap_or_default();
        let Some(fact) = self.decode(&self.stage.claims, CLAIMS, record, value)? else {
            return Ok(());
        };
        let tenant = format!("{}/{}", fact.workspace, fact.mode);
        // The same schema stands behind both topics, under one ID: the bytes go on as they are.
        self.outbox
            .send(&self.stage.facts_topic, tenant.as_bytes(), value, None)?;
        let Some(key) = click_key(record.key) else {
            return Ok(());
        };
        let known = match self.unwritten.click(key) {
            Some(click) => Some(click.to_vec()),
            None => self.store.click(record.key)?,
        };
        let Some(bytes) = known else {
            return self.remember(record.key, &tenant);
        };
        let click = Record {
            value: Some(&bytes),
            ..*record
        };
        match self.decode(&self.stage.clicks, CLICKS, &click, &bytes)? {
            Some(click) => self.emit(&click, &fact.workspace, &fact.mode),
            None => Ok(()),
        }
    }

    fn remember(&mut self, id: &[u8], tenant: &str) -> Result<()> {
        let mut tenants = self.waiting(id)?;
        if tenants
            .split(|byte| *byte == b'\n')
            .any(|own| own == tenant.as_bytes())
        {
            return Ok(());
        }
        if !tenants.is_empty() {
            tenants.push(b'\n');
        }
        tenants.extend_from_slice(tenant.as_bytes());
        if let Ok(id) = <[u8; 16]>::try_from(id) {
            self.forwarded.waiting.insert(id, tenants);
        }
        Ok(())
    }

    fn emit(&mut self, click: &Click, workspace: &str, mode: &str) -> Result<()> {
        if click.workspace != workspace {
            metrics::counter!("tributary_join_foreign_claims_total").increment(1);
            return Ok(());
        }
        let tenant = Tenant::new(workspace, mode);
        let key = tenant.key();
        let fact = of_click(click, &tenant);
        // By the fact: should two clicks ever claim one ID, both are told.
        if !self.unwritten.emitted.insert((fact.id.clone(), key.clone())) {
            return Ok(());
        }
        let value = self.stage.facts.encode(&fact)?;
        self.outbox
            .send(&self.stage.facts_topic, key.as_bytes(), &value, None)?;
        metrics::counter!("tributary_join_click_facts_total").increment(1);
        Ok(())
    }

    /// None: it became a dead letter. Waits while the registry is away.
    fn decode<T: serde::de::DeserializeOwned>(
        &self,
        decoder: &SchemaDecoder<T>,
        topic: usize,
        record: &Record<'_>,
        value: &[u8],
    ) -> Result<Option<T>> {
        loop {
            match decoder.decode_blocking(value) {
                Ok(decoded) => return Ok(Some(decoded)),
                Err(DecodeFailure::Dead { reason, detail }) => {
                    self.dead(topic, record, None, reason, detail)?;
                    return Ok(None);
                }
                Err(DecodeFailure::Retry(why)) => {
                    tracing::warn!(why, "waiting for the schema registry");
                    anyhow::ensure!(
                        !self.task.queue.wait_closed(Duration::from_secs(1)),
                        "stopped while waiting for the schema registry"
                    );
                }
            }
        }
    }

    fn dead(
        &self,
        topic: usize,
        record: &Record<'_>,
        at: Option<i64>,
        reason: &'static str,
        detail: String,
    ) -> Result<()> {
        let origin = Origin {
            stage: "join",
            topic: self.task.topic(topic),
            partition: self.partition,
        };
        let letter = self
            .stage
            .dead
            .letter(origin, record, at, Why { reason, detail })?;
        self.outbox
            .send(&self.stage.dead.topic, record.key, &letter, None)?;
        Ok(())
    }

    /// Waits for all outputs, and tells the group and the operators.
    fn acknowledge(&mut self) -> Result<()> {
        let Some((since, records)) = self.sent.take() else {
            return Ok(());
        };
        self.outbox
            .wait()
            .context("an output of join was not delivered")?;
        crash_point!("join.after_send");
        for (topic, next) in self.positions.into_iter().enumerate() {
            if next != UNSET {
                self.task.store_offset(topic, self.partition, next);
                self.task.progress(topic, self.partition, next);
            }
        }
        metrics::counter!("tributary_join_records_total").increment(records as u64);
        metrics::histogram!("tributary_join_acknowledge_seconds").record(since.elapsed().as_secs_f64());
        Ok(())
    }

    /// Writes the store, with the positions. Only after all outputs of what was read so far are acknowledged: what
    /// the store knows is not read again. Where the claims are left out they are read again, and forwarded again, by
    /// whoever comes after a kill: the same facts with the same IDs.
    fn write(&mut self, claims: bool) -> Result<()> {
        self.acknowledge()?;
        if self.unwritten.since.is_none() && self.forwarded.since.is_none() {
            return Ok(());
        }
        crash_point!("join.before_store");
        let unwritten = std::mem::take(&mut self.unwritten);
        let forwarded = claims.then(|| std::mem::take(&mut self.forwarded));
        let mut newest = unwritten.newest;
        let [clicks, read] = self.positions;
        if let Some(forwarded) = &forwarded {
            newest = newest.max(forwarded.newest);
            self.written = read;
        }
        let waiting = forwarded.iter().flat_map(|forwarded| &forwarded.waiting);
        self.store.write(
            (newest, now()),
            unwritten.clicks(),
            waiting.map(|(id, tenants)| (id.as_slice(), tenants.as_slice())),
            [clicks, self.written],
        )?;
        crash_point!("join.after_store");
        Ok(())
    }
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::queue::Queue;

    fn batch(topic: usize, timestamps: &[i64]) -> Batch {
        let mut batch = Batch::new(topic, 0);
        for timestamp in timestamps {
            batch.push(Record {
                offset: *timestamp,
                timestamp: *timestamp,
                key: b"",
                value: None,
            });
        }
        batch
    }

    #[test]
    fn a_claim_waits_for_clicks_as_old_but_not_for_ever() {
        let queue = Queue::new(2, 1_000_000);
        let push = |batch: Batch| queue.push(batch.topic, batch, 1, Duration::ZERO).unwrap();
        let mut turns = Turns::new(Duration::from_secs(2));
        let start = Instant::now();
        let mut next = |after_ms: u64, behind: bool| {
            let now = start + Duration::from_millis(after_ms);
            match queue.pop_by(Duration::ZERO, |heads| turns.choose(heads, now, || behind)) {
                Popped::Item(batch) => batch.span(),
                _ => None,
            }
        };
        push(batch(CLAIMS, &[10, 20]));
        push(batch(CLICKS, &[1, 5]));
        push(batch(CLICKS, &[20, 30]));
        push(batch(CLICKS, &[31, 32]));
        assert_eq!(next(0, true), Some((1, 5)));
        assert_eq!(next(1, true), Some((20, 30)));
        assert_eq!(next(2, true), Some((10, 20)));
        assert_eq!(next(3, true), Some((31, 32)));
        push(batch(CLAIMS, &[40]));
        assert_eq!(next(4, false), None);
        assert_eq!(next(24, true), None, "a click is on its way");
        assert_eq!(next(24, false), Some((40, 40)), "no click comes");
        push(batch(CLAIMS, &[99]));
        push(batch(CLICKS, &[50]));
        push(batch(CLICKS, &[60]));
        assert_eq!(next(25, false), Some((50, 50)));
        assert_eq!(next(2_025, true), Some((99, 99)), "it has waited long enough");
        assert_eq!(next(2_026, true), Some((60, 60)));
    }
}
