//! What the sink must be told, with defaults for the rest.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tables::Foreign;

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// Where ClickHouse is, and how its tables are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClickHouseConfig {
    /// HTTP address.
    pub url: String,
    /// User; empty for the server's default.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Database.
    pub database: String,
    /// Cluster for `ON CLUSTER`; empty for none.
    pub cluster: String,
    /// Tables with the Replicated engines.
    pub replicated: bool,
    /// How many inserts a table remembers, to recognize one that is sent again.
    pub deduplication_window: u32,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            user: String::new(),
            password: Secret::default(),
            database: "tributary".to_owned(),
            cluster: String::new(),
            replicated: false,
            deduplication_window: 20_000,
        }
    }
}

/// The sink role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkConfig {
    /// Kafka brokers.
    pub brokers: String,
    /// Consumer group.
    pub group: String,
    /// Prefix of every topic of the pipeline.
    pub topic_prefix: String,
    /// Consume the pipeline's own topics.
    pub pipeline: bool,
    /// Further topics and their tables.
    pub tables: Vec<Foreign>,
    /// Number of the tables' content; raised by whoever empties the tables and lets the sink read again.
    pub generation: u32,
    /// A row waits no longer than this for others, milliseconds.
    pub flush_millis: u64,
    /// While the sink is behind by more than `behind_millis`, rows wait up to this long: large inserts catch up sooner.
    pub catch_up_millis: u64,
    /// From which age on a record counts as behind.
    pub behind_millis: u64,
    /// A batch of this many rows does not wait.
    pub batch_rows: usize,
    /// Nor one of this many bytes.
    pub batch_bytes: usize,
    /// Rows held in memory, bytes; beyond it nothing more is read.
    pub memory_bytes: usize,
    /// Inserts at the same time.
    pub inserts: usize,
    /// Compress what is sent to ClickHouse.
    pub compress: bool,
    /// Further settings of the Kafka clients.
    pub kafka: std::collections::BTreeMap<String, String>,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "tributary-sink".to_owned(),
            topic_prefix: String::new(),
            pipeline: true,
            tables: Vec::new(),
            generation: 1,
            flush_millis: 300,
            catch_up_millis: 2_000,
            behind_millis: 5_000,
            batch_rows: 131_072,
            batch_bytes: 24 << 20,
            memory_bytes: 96 << 20,
            inserts: 2,
            compress: false,
            kafka: std::collections::BTreeMap::new(),
        }
    }
}

impl SinkConfig {
    /// How long a batch waits for more rows; `behind` if its first record was old when it was read.
    pub fn flush(&self, behind: bool) -> Duration {
        let millis = if behind {
            self.catch_up_millis.max(self.flush_millis)
        } else {
            self.flush_millis
        };
        Duration::from_millis(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let config = ClickHouseConfig {
            password: Secret::new("hunter2"),
            ..Default::default()
        };
        for shown in [
            format!("{config:?}"),
            serde_json::to_string(&config).unwrap(),
            config.password.to_string(),
        ] {
            assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
