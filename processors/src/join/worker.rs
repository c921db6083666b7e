//! One partition of clicks and claims.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rdkafka::error::KafkaError;
use rustc_hash::{FxHashMap, FxHashSet};
use tributary_avro::{Click, click_workspace};
use tributary_domain::fact::of_click;
use tributary_domain::store::StoreError;
use tributary_domain::tenant::Tenant;

use super::clicks::{ClickId, ClickKey, ClickStore, Positions, click_id_of};
use super::turns::Turns;
use super::{CLAIMS, CLICKS, Join};
use crate::crash_point;
use crate::dead::{Origin, Why};
use crate::registry::{DecodeFailure, SchemaDecoder};
use crate::runtime::batch::{Batch, Record};
use crate::runtime::member::{Start, Task};
use crate::runtime::outbox::Outbox;
use crate::runtime::queue::Popped;
use crate::store::is_damage;

const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// Kafka is asked again for so long where the logs start: as long as others wait for this worker to start.
const PATIENCE: Duration = Duration::from_secs(60);
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
    waiting: BTreeMap<ClickId, Vec<u8>>,
}

impl Unwritten {
    fn click(&self, key: ClickKey) -> Option<&[u8]> {
        let (batch, record) = self.clicks.get(&key)?;
        self.batches.get(*batch as usize)?.value(*record as usize)
    }

    /// The clicks in the order of their keys.
    fn clicks(&self) -> impl Iterator<Item = (ClickKey, &[u8])> {
        let mut keys: Vec<ClickKey> = self.clicks.keys().copied().collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| Some((key, self.click(key)?)))
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(stage: &'a Join, task: &'a Task) -> Result<Self> {
        let partition = task.partition();
        let dir = stage.state_dir.join(partition.to_string());
        let settings = stage.settings;
        let mut store = ClickStore::open(&dir, &stage.forest, settings.segment_days, settings.keep_days)?;
        let start = |next: i64| {
            if next < 0 {
                Start::Beginning
            } else {
                Start::At(next)
            }
        };
        let positions @ [clicks, claims] = positions(task, &mut store)?;
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
        let result = self.work();
        if let Err(error) = &result
            && error.downcast_ref::<StoreError>().is_some_and(is_damage)
        {
            // The next start finds none, and reads the topics again.
            tracing::warn!(partition = self.partition, %error, "clicks are damaged: deleted, to be read again");
            metrics::counter!("tributary_store_rebuilt_total", "why" => "damaged").increment(1);
            self.store.wipe()?;
        }
        result
    }

    fn work(&mut self) -> Result<()> {
        let acknowledge_every = Duration::from_millis(self.stage.settings.acknowledge_ms);
        let write_every = Duration::from_millis(self.stage.settings.write_ms);
        loop {
            let wait = match self.sent {
                Some((since, _)) => acknowledge_every.saturating_sub(since.elapsed()),
                None => Duration::from_millis(500),
            };
            let (turns, task, [clicks, _]) = (&mut self.turns, self.task, self.positions);
            let behind = || {
                let end = task.end(CLICKS, self.partition);
                end.is_none_or(|end| clicks.max(0) < end)
            };
            let popped = task
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
                match (click_id_of(record.key), record.value) {
                    (Some(id), Some(value)) => {
                        let Some(key) = self.key(id, &record, value)? else {
                            continue;
                        };
                        self.unwritten.clicks.insert(key, (number, u32::try_from(index)?));
                        if self.store.may_wait(id) || self.forwarded.waiting.contains_key(&id) {
                            self.serve_waiting(id, &record, value)?;
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

    /// None: the click became a dead letter.
    fn key(&self, id: ClickId, record: &Record<'_>, value: &[u8]) -> Result<Option<ClickKey>> {
        if let Ok(workspace) = click_workspace(value) {
            return Ok(Some(ClickKey::new(id, workspace)));
        }
        let click = self.decode(&self.stage.clicks, CLICKS, record, value)?;
        Ok(click.map(|click| ClickKey::new(id, &click.workspace)))
    }

    fn serve_waiting(&mut self, id: ClickId, record: &Record<'_>, value: &[u8]) -> Result<()> {
        let tenants = self.waiting(id)?;
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

    fn waiting(&self, id: ClickId) -> Result<Vec<u8>> {
        match self.forwarded.waiting.get(&id) {
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
        let Some(id) = click_id_of(record.key) else {
            return Ok(());
        };
        let key = ClickKey::new(id, &fact.workspace);
        let known = match self.unwritten.click(key) {
            Some(click) => Some(click.to_vec()),
            None => self.store.click(key)?,
        };
        let Some(bytes) = known else {
            return self.remember(id, &tenant);
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

    fn remember(&mut self, id: ClickId, tenant: &str) -> Result<()> {
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
        self.forwarded.waiting.insert(id, tenants);
        Ok(())
    }

    fn emit(&mut self, click: &Click, workspace: &str, mode: &str) -> Result<()> {
        // Who waits for an ID may be of any workspace.
        if click.workspace != workspace {
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
            waiting.map(|(id, tenants)| (*id, tenants.as_slice())),
            [clicks, self.written],
        )?;
        crash_point!("join.after_store");
        Ok(())
    }
}

/// Where both topics are to be read from: where the store stands, if the logs still have that.
///
/// A disk that had no part in the work for longer than claims are kept is of no use: all is read again.
///
/// # Errors
/// If claims were deleted that nobody has read, or Kafka does not answer.
fn positions(task: &Task, store: &mut ClickStore) -> Result<Positions> {
    let partition = task.partition();
    let found = store.positions()?.unwrap_or([UNSET; 2]);
    let mut is_too_old = false;
    for (topic, next) in found.into_iter().enumerate() {
        let start = patiently(task, |wait| task.bounds(topic, partition, wait))?.start;
        if next >= start {
            continue;
        }
        if topic == CLAIMS {
            let committed = patiently(task, |wait| task.committed(topic, partition, wait))?;
            // None: new to the topic, or away for so long that the broker forgot the group. Then claims may have been
            // deleted unread, too.
            if committed.unwrap_or(0) < start {
                let (topic, told) = (task.topic(topic), committed.map(|offset| offset.to_string()));
                anyhow::bail!(
                    "data loss: {topic}/{partition} starts at {start}, and was read up to {}; see the runbook, \
                     \"Claims were deleted unread\"",
                    told.as_deref().unwrap_or("nobody knows where")
                );
            }
        }
        is_too_old |= next != UNSET;
    }
    if !is_too_old {
        return Ok(found);
    }
    tracing::warn!(
        partition,
        ?found,
        "the logs start later than the clicks on disk: read again"
    );
    metrics::counter!("tributary_store_rebuilt_total", "why" => "old").increment(1);
    store.wipe()?;
    Ok([UNSET; 2])
}

/// Asks Kafka until it answers.
fn patiently<T>(task: &Task, ask: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match ask(PATIENCE / 6) {
            Ok(answer) => return Ok(answer),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "asking for positions"),
        }
        anyhow::ensure!(
            !task.queue.wait_closed(Duration::from_millis(200)),
            "stopped while asking for positions"
        );
    }
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
