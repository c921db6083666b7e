//! How this process reaches Kafka.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

/// The brokers, and what an operator sets for their client.
#[derive(Clone, Debug, Default)]
pub struct Kafka {
    /// `host:port,host:port`.
    pub bootstrap: String,
    /// librdkafka properties for producers and consumers alike.
    pub properties: BTreeMap<String, String>,
}

impl Kafka {
    pub(crate) fn client<T: FromClientConfig>(&self, settings: &[(&str, &str)]) -> KafkaResult<T> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in settings {
            client.set(*name, *value);
        }
        // Last, so that an operator's word holds.
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client.create()
    }

    /// A consumer that reads what it is assigned: it joins no group and commits nothing.
    pub(crate) fn reader(&self, settings: &[(&str, &str)]) -> KafkaResult<BaseConsumer> {
        let mut all = vec![
            ("enable.auto.commit", "false"),
            // Required by the client.
            ("group.id", "tributary-dashboard"),
            // What comes is shown at once.
            ("fetch.wait.max.ms", "100"),
        ];
        all.extend(settings);
        self.client(&all)
    }
}

/// Whether a position is not in the log, for good.
pub(crate) fn is_off_the_log(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    error
        .rdkafka_error_code()
        .is_some_and(|code| matches!(code, AutoOffsetReset | OffsetOutOfRange))
}
