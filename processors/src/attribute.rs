//! Stage attribute: facts to ledger rows, exactly once.
//!
//! ```text
//!   facts p ─► apply, settle ─► { conversions p, refunds p, commissions p, dead letters, offset } ─► commit
//!                 │ overlay                       one Kafka transaction                                 │
//!                 └───────────────── store: changes and position in one batch ◄────────────────────────┘
//! ```
//!
//! Invariants: the owner of facts partition p is the only writer of ledger partitions p (one transactional
//! ID for each p); the store is written after the commit, so it is never ahead of Kafka; after any failure
//! state is restored from the logs, not patched.

mod core;
mod outputs;
mod position;
mod restore;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tributary_avro::{Fact, Topic};

pub use self::core::Core;
use crate::dead::DeadLetters;
use crate::kafka::{Assignor, Settings};
use crate::registry::{Registry, SchemaDecoder};
use crate::runtime::member::{Stage, Task};
use crate::store::Forest;
use outputs::Encoders;

/// Sizes of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttributeSettings {
    /// Facts in one transaction, at most.
    pub facts_per_transaction: usize,
    /// Cases recomputed in one transaction, at most.
    pub cases_per_transaction: usize,
    /// How long the first fact of a transaction waits for more.
    pub wait_ms: u64,
    /// How long one transaction may compute.
    pub compute_ms: u64,
    /// State is written to disk when so many bytes of it, of all partitions together, are in memory only: a process
    /// that is killed replays them.
    pub flush_bytes: usize,
}

impl Default for AttributeSettings {
    fn default() -> Self {
        Self {
            facts_per_transaction: 1_500,
            cases_per_transaction: 2_000,
            wait_ms: 50,
            compute_ms: 1_000,
            flush_bytes: 32 * 1024 * 1024,
        }
    }
}

/// What all workers of the stage share.
pub(crate) struct Attribute<C> {
    settings: Settings,
    limits: AttributeSettings,
    topics: Vec<String>,
    ledger: [String; 3],
    state_dir: PathBuf,
    forest: Forest,
    facts: Arc<SchemaDecoder<Fact>>,
    rows: restore::RowDecoders,
    encoders: Encoders,
    dead: DeadLetters,
    core: std::marker::PhantomData<fn() -> C>,
}

impl<C: Core> Attribute<C> {
    pub(crate) async fn new(
        settings: &Settings,
        limits: AttributeSettings,
        registry: &Registry,
        state_dir: PathBuf,
    ) -> Result<Self> {
        Ok(Self {
            settings: settings.clone(),
            limits,
            topics: vec![settings.topic(Topic::Facts)],
            ledger: Topic::LEDGER.map(|topic| settings.topic(topic)),
            state_dir,
            forest: Forest::default(),
            facts: registry.decoder(Topic::Facts).await?,
            rows: restore::RowDecoders::new(registry).await?,
            encoders: Encoders::new(registry).await?,
            dead: DeadLetters::new(settings, registry).await?,
            core: std::marker::PhantomData,
        })
    }
}

impl<C: Core> Stage for Attribute<C> {
    fn name(&self) -> &'static str {
        "attribute"
    }

    fn topics(&self) -> &[String] {
        &self.topics
    }

    fn assignor(&self) -> Assignor {
        Assignor::Sticky
    }

    fn commits_in_background(&self) -> bool {
        false
    }

    fn joins_topics(&self) -> bool {
        true
    }

    fn work(&self, task: Task) -> Result<()> {
        worker::Worker::new(self, &task)?.run()
    }
}
