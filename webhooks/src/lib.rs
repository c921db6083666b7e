//! Outgoing webhooks: entries of the ledger, posted to the addresses that workspaces declare.
//!
//! ```text
//!   config ──► who owns a partition of it runs the subscriptions in it
//!                 │
//!   conversions, commissions, refunds ──► payload ──► signed POST ──► 2xx: delivered
//!   (from the subscription's own position)               ▲   │
//!                                                        └───┴─ else: again, later and later, then a dead letter
//! ```
//! Each subscription has a position of its own in the ledger, kept in Kafka as offsets of a group that nobody joins:
//! an address that is away holds up nobody else, and goes on where it stopped.
//!
//! Invariant: an event is passed over only when it was delivered, or is a dead letter. A position says which events
//! before it are still open, so that a restart repeats none that was delivered but those of the last second.

mod delivery;
mod payload;
mod progress;
mod secrets;
mod signature;
mod subscription;
mod subscriptions;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tributary_processors::kafka::Settings;
use tributary_processors::registry::Registry;

/// How patient the role is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// An address that has not answered by then has failed, milliseconds.
    pub timeout_ms: u64,
    /// The first repeat comes after this, milliseconds; each further one after twice as long, an hour at most.
    pub retry_ms: u64,
    /// An event that nobody has taken so long after it was written becomes a dead letter, seconds.
    pub give_up_after_s: u64,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            timeout_ms: 15_000,
            retry_ms: 2_000,
            give_up_after_s: 3 * 24 * 3600,
        }
    }
}

/// What the role needs to know.
#[derive(Debug, Clone)]
pub struct WebhooksConfig {
    /// Kafka.
    pub kafka: Settings,
    /// Secrets: `<dir>/<workspace>/webhooks/<id>`.
    pub secrets_dir: PathBuf,
    /// How patient it is.
    pub settings: WebhookSettings,
}

impl WebhooksConfig {
    fn retry(&self) -> Duration {
        Duration::from_millis(self.settings.retry_ms.max(1))
    }
}

/// Runs the subscriptions that fall to this process, until `shutdown`.
///
/// # Errors
/// If the registry does not know the schemas, or a client cannot be made. Servers that are away are waited for.
pub async fn run(
    config: WebhooksConfig,
    registry: Registry,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    subscriptions::run(config, registry, shutdown).await
}
