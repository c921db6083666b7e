//! Stage normalize: tracking calls, Stripe events and declared objects to facts and claims.
//!
//! ```text
//!   tracks, stripe.events, config ─► facts that name a click ─► claims, by click ID
//!                                 ├► all others              ─► facts, by workspace/mode
//!                                 └► names and addresses     ─► people, by customer
//! ```
//!
//! Stateless and at least once: the same record makes the same facts with the same IDs. An input's offset
//! is committed only after all of its outputs are acknowledged.

mod people;
mod settings;
mod worker;

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tributary_avro::{Config, Encoder, Fact, StripeEvent, Topic, Track};
use tributary_domain::mail::MailKey;

use crate::dead::DeadLetters;
use crate::kafka::{Assignor, Settings};
use crate::registry::{Registry, SchemaDecoder};
use crate::runtime::member::{Stage, Task};
use crate::runtime::outbox::Producers;
use people::People;
use settings::Workspaces;

const TRACKS: usize = 0;
const STRIPE: usize = 1;

/// How patient the stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormalizeSettings {
    /// For how long a record of an unknown workspace waits for the workspace's declaration.
    pub unknown_workspace_ms: u64,
    /// How old the settings of a workspace may be.
    pub settings_age_ms: u64,
}

impl Default for NormalizeSettings {
    fn default() -> Self {
        Self {
            unknown_workspace_ms: 3_000,
            settings_age_ms: 1_000,
        }
    }
}

/// What all workers of the stage share.
pub(crate) struct Normalize {
    topics: Vec<String>,
    facts_topic: String,
    claims_topic: String,
    tracks: Arc<SchemaDecoder<Track>>,
    stripe: Arc<SchemaDecoder<StripeEvent>>,
    config: Arc<SchemaDecoder<Config>>,
    facts: Arc<Encoder<Fact>>,
    claims: Arc<Encoder<Fact>>,
    people: People,
    dead: DeadLetters,
    producers: Producers,
    workspaces: Workspaces,
    mail: MailKey,
}

impl Normalize {
    pub(crate) async fn new(
        settings: &Settings,
        normalize: NormalizeSettings,
        registry: &Registry,
        mail: MailKey,
    ) -> Result<Self> {
        let config = registry.decoder(Topic::Config).await?;
        Ok(Self {
            topics: [Topic::Tracks, Topic::StripeEvents, Topic::Config]
                .map(|topic| settings.topic(topic))
                .to_vec(),
            facts_topic: settings.topic(Topic::Facts),
            claims_topic: settings.topic(Topic::Claims),
            tracks: registry.decoder(Topic::Tracks).await?,
            stripe: registry.decoder(Topic::StripeEvents).await?,
            workspaces: Workspaces::new(settings, normalize, Arc::clone(&config))?,
            config,
            facts: registry.encoder(Topic::Facts).await?,
            claims: registry.encoder(Topic::Claims).await?,
            people: People::new(settings, registry).await?,
            dead: DeadLetters::new(settings, registry).await?,
            producers: Producers::new(settings)?,
            mail,
        })
    }
}

impl Stage for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn topics(&self) -> &[String] {
        &self.topics
    }

    fn assignor(&self) -> Assignor {
        Assignor::Sticky
    }

    fn commits_in_background(&self) -> bool {
        true
    }

    fn joins_topics(&self) -> bool {
        false
    }

    fn work(&self, task: Task) -> Result<()> {
        worker::Worker::new(self, &task)?.run()
    }
}
