//! Settings of all workspaces and who was erased, from the whole of topic `config`, read up to its end when they are needed.
//!
//! Invariant: a workspace is called unknown only after the topic was read to its end at that moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use tributary_avro::{Config, Topic};
use tributary_domain::normalize::{ERASED, Erasure, person_key};
use tributary_domain::rules::Workspace;

use super::NormalizeSettings;
use crate::kafka::Settings;
use crate::kafka::log::{LogError, LogReader, Range};
use crate::registry::{DecodeFailure, SchemaDecoder};

const UNKNOWN_FOR: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Workspaces {
    topic: String,
    partitions: i32,
    limits: NormalizeSettings,
    decoder: Arc<SchemaDecoder<Config>>,
    known: RwLock<HashMap<String, Arc<Workspace>>>,
    erased: RwLock<HashMap<String, i64>>,
    was_read: AtomicBool,
    unknown: Mutex<HashMap<String, Instant>>,
    source: Mutex<Source>,
}

struct Source {
    reader: LogReader,
    positions: Vec<i64>,
    read: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workspaces {
    pub(super) fn new(
        settings: &Settings,
        limits: NormalizeSettings,
        decoder: Arc<SchemaDecoder<Config>>,
    ) -> Result<Self, KafkaError> {
        // The number of partitions of `config` is fixed, see `kafka::admin`.
        let partitions = crate::kafka::admin::Topics::default().partitions(Topic::Config);
        Ok(Self {
            topic: settings.topic(Topic::Config),
            partitions,
            limits,
            decoder,
            known: RwLock::default(),
            erased: RwLock::default(),
            was_read: AtomicBool::new(false),
            unknown: Mutex::default(),
            source: Mutex::new(Source {
                reader: LogReader::new(settings)?,
                positions: vec![0; usize::try_from(partitions).unwrap_or(1)],
                read: None,
            }),
        })
    }

    /// The settings of a workspace, not much older than allowed; None if it is unknown even after waiting.
    /// Blocking.
    ///
    /// # Errors
    /// If Kafka does not answer, or `stopped`.
    pub(super) fn get(
        &self,
        id: &str,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Arc<Workspace>>, LogError> {
        self.refresh(Duration::from_millis(self.limits.settings_age_ms), stopped)?;
        if let Some(workspace) = self.known(id) {
            return Ok(Some(workspace));
        }
        let refused = lock(&self.unknown).get(id).copied();
        if refused.is_some_and(|at| at.elapsed() < UNKNOWN_FOR) {
            return Ok(None);
        }
        let deadline = Instant::now() + Duration::from_millis(self.limits.unknown_workspace_ms);
        loop {
            self.refresh(Duration::ZERO, stopped)?;
            if let Some(workspace) = self.known(id) {
                return Ok(Some(workspace));
            }
            if Instant::now() >= deadline {
                lock(&self.unknown).insert(id.to_owned(), Instant::now());
                return Ok(None);
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// When a customer was erased, by the key in topic people; as old as what [`Self::get`] read last.
    pub(super) fn erased(&self, key: &str) -> Option<i64> {
        let erased = self.erased.read().unwrap_or_else(PoisonError::into_inner);
        erased.get(key).copied()
    }

    fn known(&self, id: &str) -> Option<Arc<Workspace>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned()
    }

    fn refresh(&self, age: Duration, stopped: &dyn Fn() -> bool) -> Result<(), LogError> {
        let mut source = if age.is_zero() {
            lock(&self.source)
        } else {
            // Somebody else is reading: what is known will do, unless the topic was never read to its end. A half of it
            // may have the workspace and not yet who was erased.
            match self.source.try_lock() {
                Ok(source) => source,
                Err(_) if self.was_read.load(Ordering::Acquire) => return Ok(()),
                Err(_) => lock(&self.source),
            }
        };
        if !age.is_zero() && source.read.is_some_and(|at| at.elapsed() < age) {
            return Ok(());
        }
        let Source {
            reader,
            positions,
            read,
        } = &mut *source;
        for (partition, position) in (0..self.partitions).zip(positions) {
            let bounds = reader.stable(&self.topic, partition)?;
            let range = Range {
                topic: &self.topic,
                partition,
                from: (*position).max(bounds.start),
                to: bounds.end,
            };
            reader.read(range, stopped, |message| {
                self.learn(message.key().unwrap_or_default(), message.payload());
                Ok::<(), LogError>(())
            })?;
            *position = (*position).max(bounds.end);
        }
        *read = Some(Instant::now());
        self.was_read.store(true, Ordering::Release);
        Ok(())
    }

    fn learn(&self, key: &[u8], value: Option<&[u8]>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(value) = value else {
            // A tombstone of the workspace itself: workspace/workspace/workspace.
            let key = String::from_utf8_lossy(key);
            if let [workspace, "workspace", _] = key.splitn(3, '/').collect::<Vec<_>>().as_slice() {
                known.remove(*workspace);
            }
            return;
        };
        match self.decoder.decode_blocking(value) {
            Ok(config) if config.kind == ERASED => self.erase(&config),
            Ok(config) if config.kind != "workspace" => {}
            Ok(config) if config.deleted => {
                known.remove(&config.workspace);
            }
            Ok(config) => match serde_json::from_str::<Workspace>(&config.document) {
                Ok(workspace) => {
                    known.insert(config.workspace, Arc::new(workspace));
                }
                Err(error) => {
                    tracing::warn!(workspace = config.workspace, %error, "settings that do not parse are ignored");
                }
            },
            Err(DecodeFailure::Dead { reason, detail }) => {
                tracing::warn!(reason, detail, "a record of config is ignored");
            }
            Err(DecodeFailure::Retry(why)) => {
                // The cache holds every schema that this process writes itself; this one is newer.
                tracing::warn!(
                    why,
                    "a record of config cannot be read while the registry is away"
                );
            }
        }
    }

    fn erase(&self, config: &Config) {
        let Some(Erasure { customer, at }) = Erasure::of(config) else {
            tracing::warn!(
                workspace = config.workspace,
                id = config.id,
                "an erasure that does not parse is ignored"
            );
            return;
        };
        let mut erased = self.erased.write().unwrap_or_else(PoisonError::into_inner);
        for mode in &config.modes {
            let key = person_key(&config.workspace, mode, &customer);
            let until = erased.entry(key).or_insert(at);
            *until = at.max(*until);
        }
    }
}
