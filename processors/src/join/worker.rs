//! One partition of clicks and claims.

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
use crate::runtime::queue::Popped;

const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// Not known yet.
const UNSET: i64 = -1;

pub(super) struct Worker<'a> {
    stage: &'a Join,
    task: &'a Task,
    partition: i32,
    store: ClickStore,
    outbox: Outbox,
    positions: Positions,
    unwritten: Unwritten,
    expired: Option<Instant>,
}

/// What was processed and is not in the store yet.
#[derive(Default)]
struct Unwritten {
    since: Option<Instant>,
    records: usize,
    newest: i64,
    batches: Vec<Batch>,
    clicks: FxHashMap<ClickKey, (u32, u32)>,
    waiting: FxHashMap<[u8; 16], Vec<u8>>,
    emitted: FxHashSet<(ClickKey, String)>,
}

impl Unwritten {
    fn click(&self, key: ClickKey) -> Option<&[u8]> {
        let (batch, record) = self.clicks.get(&key)?;
        self.batches.get(*batch as usize)?.value(*record as usize)
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(stage: &'a Join, task: &'a Task) -> Result<Self> {
        let partition = task.partition();
        let dir = stage.state_dir.join(partition.to_string());
        let store = ClickStore::open(&dir, stage.settings.segment_days, stage.settings.keep_days)?;
        let found = store.positions()?;
        let start = |next: i64| {
            if next < 0 {
                Start::Beginning
            } else {
                Start::At(next)
            }
        };
        let positions = found.unwrap_or([UNSET; 2]);
        let [clicks, claims] = positions;
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
            unwritten: Unwritten::default(),
            expired: None,
        })
    }

    pub(super) fn run(mut self) -> Result<()> {
        let flush_every = Duration::from_millis(self.stage.settings.flush_ms);
        loop {
            let wait = match self.unwritten.since {
                Some(since) => flush_every.saturating_sub(since.elapsed()),
                None => Duration::from_millis(500),
            };
            let popped = self.task.queue.pop(wait);
            let stopped = matches!(popped, Popped::Closed);
            if let Popped::Item(batch) = popped {
                self.process(batch)?;
            }
            let due = self
                .unwritten
                .since
                .is_some_and(|since| since.elapsed() >= flush_every);
            if stopped || due || self.unwritten.records >= self.stage.settings.flush_records {
                self.flush()?;
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
        self.unwritten.since.get_or_insert_with(Instant::now);
        self.unwritten.records += batch.len();
        let number = u32::try_from(self.unwritten.batches.len())?;
        if batch.topic == CLICKS {
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
            for record in batch.records() {
                self.unwritten.newest = self.unwritten.newest.max(record.timestamp);
                self.claim(&record)?;
            }
        }
        if let (Some(position), Some(next)) = (self.positions.get_mut(batch.topic), batch.next()) {
            *position = next;
        }
        if batch.topic == CLICKS {
            self.unwritten.batches.push(batch);
        }
        Ok(())
    }

    fn is_awaited(&self, key: ClickKey, id: &[u8]) -> bool {
        self.store.may_wait(key)
            || (!self.unwritten.waiting.is_empty()
                && <[u8; 16]>::try_from(id).is_ok_and(|id| self.unwritten.waiting.contains_key(&id)))
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
                self.emit(record.key, &click, workspace, mode)?;
            }
        }
        Ok(())
    }

    fn waiting(&self, id: &[u8]) -> Result<Vec<u8>> {
        let recent = <[u8; 16]>::try_from(id)
            .ok()
            .and_then(|id| self.unwritten.waiting.get(&id));
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
            Some(click) => self.emit(record.key, &click, &fact.workspace, &fact.mode),
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
            self.unwritten.waiting.insert(id, tenants);
        }
        Ok(())
    }

    fn emit(&mut self, id: &[u8], click: &Click, workspace: &str, mode: &str) -> Result<()> {
        if click.workspace != workspace {
            metrics::counter!("tributary_join_foreign_claims_total").increment(1);
            return Ok(());
        }
        let tenant = Tenant::new(workspace, mode);
        let key = tenant.key();
        let seen = click_key(id).map(|id| (id, key.clone()));
        if seen.is_some_and(|seen| !self.unwritten.emitted.insert(seen)) {
            return Ok(());
        }
        let fact = of_click(click, &tenant);
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

    /// Waits for all outputs, then writes the store with the positions.
    fn flush(&mut self) -> Result<()> {
        let Some(since) = self.unwritten.since else {
            return Ok(());
        };
        self.outbox
            .wait()
            .context("an output of join was not delivered")?;
        crash_point!("join.after_send");
        crash_point!("join.before_store");
        let mut writer = self.store.writer(self.unwritten.newest, now())?;
        for batch in &self.unwritten.batches {
            for record in batch.records() {
                if let (16, Some(value)) = (record.key.len(), record.value) {
                    writer.click(record.key, value);
                }
            }
        }
        for (id, tenants) in &self.unwritten.waiting {
            writer.waiting(id, tenants);
        }
        writer.commit(self.positions)?;
        crash_point!("join.after_store");
        for (topic, next) in self.positions.into_iter().enumerate() {
            if next != UNSET {
                self.task.store_offset(topic, self.partition, next);
                self.task.progress(topic, self.partition, next);
            }
        }
        metrics::counter!("tributary_join_records_total").increment(self.unwritten.records as u64);
        metrics::histogram!("tributary_join_flush_seconds").record(since.elapsed().as_secs_f64());
        self.unwritten = Unwritten::default();
        Ok(())
    }
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
