//! Kafka's clients as Tributary configures them, topic administration, and bounded reads of a log.
//!
//! One place for client properties, so that every client has the same limits and none is surprising.

pub mod admin;
pub mod log;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use tributary_avro::Topic;

/// Records up to this size pass everywhere: topics, producers, consumers.
pub const MAX_RECORD_BYTES: usize = 2 * 1024 * 1024;
/// A dead letter carries a whole record and why.
const MAX_REQUEST_BYTES: usize = MAX_RECORD_BYTES + 512 * 1024;
/// For how long a transaction may stay open: it blocks every read_committed reader of its partitions.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Where Kafka is, and what operators may change about its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `host:port`, comma-separated.
    pub bootstrap: String,
    /// Put before every topic, group and transactional ID.
    pub topic_prefix: String,
    /// Further librdkafka properties, e.g. for TLS and SASL.
    pub properties: BTreeMap<String, String>,
    /// `classic` or `consumer` (KIP-848). The join always uses `classic`.
    pub group_protocol: String,
    /// A member that is silent for so long loses its partitions.
    pub session_timeout_ms: u32,
    /// A member that does not poll for so long loses its partitions.
    pub max_poll_interval_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:9092".to_owned(),
            topic_prefix: String::new(),
            properties: BTreeMap::new(),
            group_protocol: "classic".to_owned(),
            session_timeout_ms: 10_000,
            max_poll_interval_ms: 300_000,
        }
    }
}

impl Settings {
    /// The full name of a topic.
    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    /// The full name of a stage's consumer group; also the stem of its transactional IDs.
    pub fn group(&self, stage: &str) -> String {
        format!("{}tributary-{stage}", self.topic_prefix)
    }

    /// What every client has.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("message.max.bytes", MAX_REQUEST_BYTES.to_string())
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("retry.backoff.ms", "50")
            .set("log.connection.close", "false");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// An idempotent producer with acks=all and the partitioner of Kafka's Java client.
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            // Half again as many bytes as zstd, for a third less work of the client.
            .set("compression.type", "lz4")
            // Small batches cost the broker and the next stage a request each.
            .set("linger.ms", "20")
            .set("batch.size", "262144")
            .set("batch.num.messages", "10000")
            .set("queue.buffering.max.kbytes", "32768")
            .set("queue.buffering.max.messages", "100000");
        config
    }

    /// A producer for one transactional ID.
    pub fn transactional_producer(&self, id: &str) -> ClientConfig {
        let timeout = TRANSACTION_TIMEOUT.as_millis().to_string();
        let mut config = self.producer();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", &timeout)
            .set("message.timeout.ms", &timeout)
            .set("socket.timeout.ms", &timeout)
            .set("retry.backoff.ms", "20")
            // All of a transaction is sent at once, and waited for.
            .set("linger.ms", "5");
        config
    }

    /// A consumer without a group, reading committed records.
    pub fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", format!("{}tributary-reader", self.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error");
        bounded_fetch(&mut config);
        config
    }

    /// A member of a stage's group. Offsets are stored by hand; a position outside of the log is an error.
    pub fn member(&self, group: &str, assignor: Assignor) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.commit.interval.ms", "250")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("max.poll.interval.ms", self.max_poll_interval_ms.to_string())
            .set("statistics.interval.ms", "2000");
        if self.group_protocol == "consumer" && assignor == Assignor::Sticky {
            config.set("group.protocol", "consumer");
        } else {
            let heartbeat = (self.session_timeout_ms / 4).max(200);
            config
                .set("group.protocol", "classic")
                .set("session.timeout.ms", self.session_timeout_ms.to_string())
                .set("heartbeat.interval.ms", heartbeat.to_string())
                .set("partition.assignment.strategy", assignor.name());
        }
        bounded_fetch(&mut config);
        config
    }
}

/// How a group shares its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Partitions with the same number of different topics go to the same member.
    Range,
    /// Those that need not move do not move.
    Sticky,
}

impl Assignor {
    fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::Sticky => "cooperative-sticky",
        }
    }
}

// Prefetching is for throughput only; the memory of a process with many partitions must stay bounded. A fetch is of
// compressed bytes: decompressed, and as messages of librdkafka, they take about six times as much. A batch that is
// larger comes alone. The back-off matters: with a small queue librdkafka's default of one second would stall the
// fetches.
fn bounded_fetch(config: &mut ClientConfig) {
    config
        .set("queued.max.messages.kbytes", "2048")
        .set("queued.min.messages", "5000")
        .set("fetch.queue.backoff.ms", "5")
        // A partition whose queue was full is left out of a fetch, and waits as long as that one does for the others.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.message.max.bytes", "131072")
        .set("fetch.max.bytes", "4194304")
        .set("receive.message.max.bytes", "104857600");
}
