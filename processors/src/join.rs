//! Stage join: claims and the clicks that they name.
//!
//! ```text
//!   clicks p ─► store: ID → bytes as they came ◄──── look-up ────┐
//!   claims p ─► forward the fact ─► facts      known click? ─────┴─► click fact ─► facts
//!                                              unknown? remember who waits
//! ```
//!
//! At least once: a repeat makes the same facts with the same IDs. The `clicks` topic is the changelog of
//! the store; the position is the store's own, written with the data after all outputs are acknowledged.
//! Invariant: a claim and its click meet in whichever order they come, as both are in this partition.

mod clicks;
mod turns;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tributary_avro::{Click, Encoder, Fact, Topic};

use crate::dead::DeadLetters;
use crate::kafka::{Assignor, Settings};
use crate::registry::{Registry, SchemaDecoder};
use crate::runtime::member::{Stage, Task};
use crate::runtime::outbox::Producers;
use crate::store::Forest;

const CLICKS: usize = 0;
const CLAIMS: usize = 1;

/// How long clicks are kept, and when the store is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinSettings {
    /// Clicks are kept so many days: the largest attribution window plus 30.
    pub keep_days: u32,
    /// Clicks are dropped in segments of so many days.
    pub segment_days: u32,
    /// Outputs are waited for after so many records…
    pub acknowledge_records: usize,
    /// … or so many milliseconds.
    pub acknowledge_ms: u64,
    /// The store is written when so many bytes of clicks are in memory…
    pub write_bytes: usize,
    /// … or so many claims were forwarded…
    pub write_claims: usize,
    /// … or after so many milliseconds: a process that is killed reads again from there.
    pub write_ms: u64,
    /// A claim waits so many milliseconds at most for clicks that are as old and not read yet.
    pub claim_wait_ms: u64,
}

impl Default for JoinSettings {
    fn default() -> Self {
        Self {
            keep_days: 120,
            segment_days: 7,
            acknowledge_records: 20_000,
            acknowledge_ms: 200,
            write_bytes: 2 * 1024 * 1024,
            write_claims: 20_000,
            write_ms: 300_000,
            claim_wait_ms: 2_000,
        }
    }
}

/// What all workers of the stage share.
pub(crate) struct Join {
    settings: JoinSettings,
    topics: Vec<String>,
    facts_topic: String,
    state_dir: PathBuf,
    forest: Forest,
    clicks: Arc<SchemaDecoder<Click>>,
    claims: Arc<SchemaDecoder<Fact>>,
    facts: Arc<Encoder<Fact>>,
    dead: DeadLetters,
    producers: Producers,
}

impl Join {
    pub(crate) async fn new(
        settings: &Settings,
        join: JoinSettings,
        registry: &Registry,
        state_dir: PathBuf,
    ) -> Result<Self> {
        Ok(Self {
            settings: join,
            topics: vec![settings.topic(Topic::Clicks), settings.topic(Topic::Claims)],
            facts_topic: settings.topic(Topic::Facts),
            state_dir,
            forest: Forest::default(),
            clicks: registry.decoder(Topic::Clicks).await?,
            claims: registry.decoder(Topic::Claims).await?,
            facts: registry.encoder(Topic::Facts).await?,
            dead: DeadLetters::new(settings, registry).await?,
            producers: Producers::new(settings)?,
        })
    }
}

impl Stage for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn topics(&self) -> &[String] {
        &self.topics
    }

    fn assignor(&self) -> Assignor {
        Assignor::Range
    }

    fn commits_in_background(&self) -> bool {
        // For operators' lag tools only: the store's own position counts.
        true
    }

    fn joins_topics(&self) -> bool {
        true
    }

    fn work(&self, task: Task) -> Result<()> {
        worker::Worker::new(self, &task)?.run()
    }
}
