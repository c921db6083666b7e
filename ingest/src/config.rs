//! Settings of one edge process, with their defaults. Values come from the caller; nothing is read here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use crate::limits::Limits;
use crate::places::PlaceFiles;

/// Settings of the edge.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The broker.
    pub kafka: KafkaConfig,
    /// Stripe's webhook secrets: `<dir>/<workspace>/<any name>`, each file one secret.
    pub secrets_dir: Option<PathBuf>,
    /// Where an SDK finds everything; None: nothing is passed on.
    pub api: Option<ApiHost>,
    /// Salts the visitor's hash; the same for all edges of an installation. None: clicks carry no visitor.
    pub visitor_secret: Option<Vec<u8>>,
    /// Proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is known about addresses.
    pub places: PlaceFiles,
    /// First clicks of the hour that are remembered, about 60 bytes each; 0: none, and no click is a repeat.
    pub remembered_clicks: usize,
    /// Stripe events that are remembered, about 40 bytes each; 0: none, and no event is marked as a repeat.
    pub remembered_events: usize,
    /// How many requests and connections a caller may have.
    pub limits: Limits,
    /// Where records wait while Kafka is away. None: they are refused.
    pub spool_dir: Option<PathBuf>,
    /// What the spool may take of the disk, bytes.
    pub spool_bytes: u64,
    /// How long a record waits for Kafka before it is spooled, or refused with 503 if there is no spool.
    pub acknowledgement_timeout: Duration,
    /// How long a redirect waits before it redirects all the same.
    pub redirect_timeout: Duration,
    /// Requests between their body and their acknowledgement; more are answered 503.
    pub max_in_flight: usize,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long a shutdown waits for requests in flight.
    pub shutdown_timeout: Duration,
}

/// The host of the API: what the edge does not serve there is passed on.
#[derive(Debug, Clone)]
pub struct ApiHost {
    /// Its name, without port.
    pub host: String,
    /// `host:port` of the dashboard's process.
    pub dashboard: String,
}

/// The broker and the names on it.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub bootstrap: String,
    /// librdkafka properties for producer and consumer alike (security and the like).
    pub properties: BTreeMap<String, String>,
    /// Stands before every topic name.
    pub topic_prefix: String,
}

impl IngestConfig {
    /// The defaults, for a broker.
    pub fn new(listen: SocketAddr, bootstrap: impl Into<String>) -> Self {
        Self {
            listen,
            kafka: KafkaConfig {
                bootstrap: bootstrap.into(),
                properties: BTreeMap::new(),
                topic_prefix: String::new(),
            },
            secrets_dir: None,
            spool_dir: None,
            spool_bytes: 1 << 30,
            api: None,
            visitor_secret: None,
            trusted_proxies: Vec::new(),
            places: PlaceFiles::default(),
            remembered_clicks: 500_000,
            remembered_events: 100_000,
            limits: Limits::default(),
            acknowledgement_timeout: Duration::from_secs(5),
            redirect_timeout: Duration::from_secs(1),
            max_in_flight: 16_384,
            body_timeout: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

impl KafkaConfig {
    /// The full name of a topic.
    pub fn topic(&self, topic: tributary_avro::Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    pub(crate) fn client(&self) -> rdkafka::ClientConfig {
        let mut client = rdkafka::ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.max.ms", "1000");
        client
    }

    /// A consumer that reads what it is assigned: it joins no group and commits nothing.
    pub(crate) fn reader(&self, settings: &[(&str, &str)]) -> KafkaResult<BaseConsumer> {
        let mut client = self.client();
        client
            .set("enable.auto.commit", "false")
            // Required by the client.
            .set("group.id", "tributary-edge");
        for (name, value) in settings {
            client.set(*name, *value);
        }
        self.with_properties(&mut client);
        client.create()
    }

    // Last, so that an operator's word holds.
    pub(crate) fn with_properties(&self, client: &mut rdkafka::ClientConfig) {
        for (name, value) in &self.properties {
            client.set(name, value);
        }
    }
}
