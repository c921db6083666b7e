//! What the stages of this process are doing, for `/readyz`, metrics and the health page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// One stage at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StageHealth {
    /// It is a member of its group and polls.
    pub running: bool,
    /// Its partitions, as `topic/partition`.
    pub partitions: BTreeMap<String, PartitionHealth>,
    /// Counts that the stage keeps, e.g. `facts{verdict="applied"}`, summed over its partitions.
    pub counts: BTreeMap<String, i64>,
}

/// One partition at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PartitionHealth {
    /// The next offset to be processed; -1 while it is being restored.
    pub position: i64,
    /// The last known end; -1 if it is not known yet.
    pub end: i64,
}

impl PartitionHealth {
    /// Records not processed yet; 0 while unknown.
    pub fn lag(&self) -> i64 {
        if self.position < 0 {
            0
        } else {
            (self.end - self.position).max(0)
        }
    }
}

/// All stages of a process; cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, StageState>>>);

#[derive(Default)]
struct StageState {
    running: bool,
    partitions: BTreeMap<(String, i32), (Arc<AtomicI64>, i64)>,
    counts: BTreeMap<i32, BTreeMap<String, i64>>,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, StageState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stages as they are.
    pub fn snapshot(&self) -> BTreeMap<&'static str, StageHealth> {
        self.lock()
            .iter()
            .map(|(name, state)| {
                let partitions = state
                    .partitions
                    .iter()
                    .map(|((topic, partition), (position, end))| {
                        let position = position.load(Ordering::Relaxed);
                        (
                            format!("{topic}/{partition}"),
                            PartitionHealth { position, end: *end },
                        )
                    });
                let mut counts = BTreeMap::new();
                for (name, value) in state.counts.values().flatten() {
                    *counts.entry(name.clone()).or_default() += value;
                }
                let health = StageHealth {
                    running: state.running,
                    partitions: partitions.collect(),
                    counts,
                };
                (*name, health)
            })
            .collect()
    }

    pub(crate) fn running(&self, stage: &'static str, running: bool) {
        self.lock().entry(stage).or_default().running = running;
    }

    pub(crate) fn own(&self, stage: &'static str, topic: &str, partition: i32) -> Arc<AtomicI64> {
        let position = Arc::new(AtomicI64::new(-1));
        let entry = (Arc::clone(&position), -1);
        self.lock()
            .entry(stage)
            .or_default()
            .partitions
            .insert((topic.to_owned(), partition), entry);
        position
    }

    pub(crate) fn disown(&self, stage: &'static str, topic: &str, partition: i32) {
        let mut stages = self.lock();
        let state = stages.entry(stage).or_default();
        state.partitions.remove(&(topic.to_owned(), partition));
        state.counts.remove(&partition);
        lag_gauge(stage, topic, partition, 0);
    }

    pub(crate) fn counts(&self, stage: &'static str, partition: i32, counts: BTreeMap<String, i64>) {
        self.lock()
            .entry(stage)
            .or_default()
            .counts
            .insert(partition, counts);
    }

    pub(crate) fn ends(&self, stage: &'static str, end: impl Fn(&str, i32) -> Option<i64>) {
        let mut stages = self.lock();
        let state = stages.entry(stage).or_default();
        for ((topic, partition), (position, known)) in &mut state.partitions {
            if let Some(end) = end(topic, *partition) {
                *known = end;
                let health = PartitionHealth {
                    position: position.load(Ordering::Relaxed),
                    end,
                };
                lag_gauge(stage, topic, *partition, health.lag());
            }
        }
    }
}

fn lag_gauge(stage: &'static str, topic: &str, partition: i32, lag: i64) {
    let labels = [
        ("stage", stage.to_owned()),
        ("topic", topic.to_owned()),
        ("partition", partition.to_string()),
    ];
    metrics::gauge!("tributary_stage_lag_records", &labels).set(lag as f64);
}
