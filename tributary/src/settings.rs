//! Settings: embedded defaults < file < `TRIBUTARY_*__*` environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use serde::{Deserialize, Serialize};
use tributary_processors::attribute::AttributeSettings;
use tributary_processors::join::JoinSettings;
use tributary_processors::kafka::Settings as Kafka;
use tributary_processors::kafka::admin::Topics;
use tributary_processors::normalize::NormalizeSettings;
use tributary_processors::{ProcessConfig, Secret};
use tributary_sinks::{ClickHouseConfig, SinkConfig};
use tributary_webhooks::{WebhookSettings, WebhooksConfig};

const DEFAULTS: &str = include_str!("default.toml");
const FILE: &str = "tributary.toml";

/// All settings of the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Kafka clients.
    pub kafka: Kafka,
    /// Numbers of partitions.
    pub topics: Topics,
    /// Schema registry.
    pub registry: Registry,
    /// ClickHouse.
    pub clickhouse: ClickHouse,
    /// Edge.
    pub ingest: Ingest,
    /// Dashboard.
    pub dashboard: Dashboard,
    /// Metrics of roles without HTTP.
    pub metrics: Metrics,
    /// Local state.
    pub state: State,
    /// Secrets.
    pub secrets: Secrets,
    /// Stage normalize.
    #[serde(default)]
    pub normalize: NormalizeSettings,
    /// Stage join.
    #[serde(default)]
    pub join: JoinSettings,
    /// Stage attribute.
    #[serde(default)]
    pub attribute: AttributeSettings,
    /// Sink.
    #[serde(default)]
    pub sink: Sink,
    /// Outgoing webhooks.
    #[serde(default)]
    pub webhooks: WebhookSettings,
}

/// Schema registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Address with the base path of Confluent's API.
    pub url: String,
}

/// ClickHouse.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClickHouse {
    /// HTTP address.
    pub url: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Database.
    pub database: String,
    /// Cluster for ON CLUSTER; empty: none.
    #[serde(default)]
    pub cluster: String,
    /// Tables with the Replicated engines.
    #[serde(default)]
    pub replicated: bool,
}

/// Edge.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// Address.
    pub listen: SocketAddr,
    /// Records wait here while Kafka is away; empty: nowhere.
    pub spool_dir: PathBuf,
    /// What they may take of the disk.
    pub spool_bytes: u64,
    /// Records are spooled after this; without a spool, API calls and webhooks are answered 503.
    pub acknowledgement_timeout_ms: u64,
    /// Redirects redirect after this.
    pub redirect_timeout_ms: u64,
    /// Requests waiting for Kafka; more are answered 503.
    pub max_in_flight: usize,
    /// Host under which SDKs find everything; empty: none.
    pub api_host: String,
    /// `host:port` of the dashboard's process, where `api_host` passes on what the edge does not serve; empty: off.
    pub dashboard: String,
    /// Networks of proxies whose X-Forwarded-For is believed.
    #[serde(default)]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// First clicks of the hour that are remembered; 0: no click is a repeat.
    pub remembered_clicks: usize,
    /// Stripe events that are remembered; 0: none is marked as a repeat.
    pub remembered_events: usize,
    /// MaxMind DB with places; empty: none.
    #[serde(default)]
    pub geo_file: PathBuf,
    /// MaxMind DB with networks' owners; empty: none but those in `geo_file`.
    #[serde(default)]
    pub asn_file: PathBuf,
    /// List of data centers' networks and AS numbers; empty: none.
    #[serde(default)]
    pub data_centers_file: PathBuf,
    /// How many requests and connections a caller may have.
    #[serde(default)]
    pub limits: tributary_ingest::Limits,
}

/// Dashboard.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Address.
    pub listen: SocketAddr,
}

/// Metrics of roles without HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Address; empty: none.
    pub listen: String,
}

/// Local state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Directory; may be lost.
    pub dir: PathBuf,
}

/// Secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Directory of secret files.
    pub dir: PathBuf,
    /// Key under which addresses are hashed, if it is not in the directory.
    #[serde(default)]
    pub mail_key: Secret,
}

/// What may be changed about the sink.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sink {
    /// Raised by whoever empties the tables.
    pub generation: Option<u32>,
    /// A row waits no longer than this for others, milliseconds.
    pub flush_millis: Option<u64>,
    /// A batch of so many rows does not wait.
    pub batch_rows: Option<usize>,
    /// Consume the pipeline's own topics.
    pub pipeline: Option<bool>,
    /// Whether it closes days; one of several sinks is enough.
    pub close_days: Option<bool>,
    /// Further topics and their tables.
    pub tables: Vec<tributary_sinks::Foreign>,
}

impl Settings {
    /// The effective settings.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        figment = match file {
            Some(file) if !file.is_file() => bail!("there is no settings file {}", file.display()),
            Some(file) => figment.merge(Toml::file_exact(file)),
            None => figment.merge(Toml::file(FILE)),
        };
        // TRIBUTARY_LOG, _CRASH_POINT, _STRIPE_SECRET_* and _TEST_SERVERS are read where they are used.
        let environment = Env::prefixed("TRIBUTARY_")
            .filter(|name| name.as_str().contains("__"))
            .split("__");
        figment.merge(environment).extract().context("settings")
    }

    /// For the stages.
    pub fn process(&self) -> Result<ProcessConfig> {
        Ok(ProcessConfig {
            kafka: self.kafka.clone(),
            topics: self.topics.clone(),
            registry_url: self.registry.url.clone(),
            state_dir: self.state.dir.clone(),
            cache_dir: self.state.dir.join("schemas"),
            mail_key: self.mail_key()?,
            normalize: self.normalize,
            join: self.join,
            attribute: self.attribute,
        })
    }

    /// The key under which addresses are hashed.
    pub fn mail_key(&self) -> Result<Secret> {
        if !self.secrets.mail_key.expose().is_empty() {
            return Ok(self.secrets.mail_key.clone());
        }
        let file = self.secrets.dir.join("mail_key");
        match std::fs::read_to_string(&file) {
            Ok(key) if !key.trim().is_empty() => Ok(Secret::new(key.trim())),
            Ok(_) => bail!("{} is empty", file.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Secret::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    /// For the sink.
    pub fn sink(&self) -> SinkConfig {
        let mut config = SinkConfig {
            brokers: self.kafka.bootstrap.clone(),
            topic_prefix: self.kafka.topic_prefix.clone(),
            group: self.kafka.group("sink"),
            kafka: self.kafka.properties.clone(),
            tables: self.sink.tables.clone(),
            ..SinkConfig::default()
        };
        config.pipeline = self.sink.pipeline.unwrap_or(config.pipeline);
        config.generation = self.sink.generation.unwrap_or(config.generation);
        config.flush_millis = self.sink.flush_millis.unwrap_or(config.flush_millis);
        config.batch_rows = self.sink.batch_rows.unwrap_or(config.batch_rows);
        config
    }

    /// For outgoing webhooks.
    pub fn webhooks(&self) -> WebhooksConfig {
        WebhooksConfig {
            kafka: self.kafka.clone(),
            secrets_dir: self.secrets.dir.clone(),
            settings: self.webhooks,
        }
    }

    /// For sink and migrations.
    pub fn clickhouse(&self) -> ClickHouseConfig {
        ClickHouseConfig {
            url: self.clickhouse.url.clone(),
            user: self.clickhouse.user.clone(),
            password: tributary_sinks::Secret::new(self.clickhouse.password.expose()),
            database: self.clickhouse.database.clone(),
            cluster: self.clickhouse.cluster.clone(),
            replicated: self.clickhouse.replicated,
            ..ClickHouseConfig::default()
        }
    }

    /// For the edge.
    pub fn edge(&self) -> tributary_ingest::IngestConfig {
        let mut config =
            tributary_ingest::IngestConfig::new(self.ingest.listen, self.kafka.bootstrap.clone());
        config.kafka.properties = self.kafka.properties.clone();
        config.kafka.topic_prefix.clone_from(&self.kafka.topic_prefix);
        config.secrets_dir = Some(self.secrets.dir.clone());
        config.visitor_secret = self
            .mail_key()
            .ok()
            .map(|key| key.expose().as_bytes().to_vec())
            .filter(|k| !k.is_empty());
        let given = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        config.places.geo = given(&self.ingest.geo_file);
        config.places.asn = given(&self.ingest.asn_file);
        config.places.data_centers = given(&self.ingest.data_centers_file);
        config.trusted_proxies.clone_from(&self.ingest.trusted_proxies);
        config.remembered_clicks = self.ingest.remembered_clicks;
        config.remembered_events = self.ingest.remembered_events;
        config.limits = self.ingest.limits;
        config.spool_dir = given(&self.ingest.spool_dir);
        config.spool_bytes = self.ingest.spool_bytes;
        config.acknowledgement_timeout = Duration::from_millis(self.ingest.acknowledgement_timeout_ms);
        config.redirect_timeout = Duration::from_millis(self.ingest.redirect_timeout_ms);
        config.max_in_flight = self.ingest.max_in_flight;
        let (host, dashboard) = (&self.ingest.api_host, &self.ingest.dashboard);
        config.api = (!host.is_empty() && !dashboard.is_empty()).then(|| tributary_ingest::ApiHost {
            host: host.clone(),
            dashboard: dashboard.clone(),
        });
        config
    }

    /// For the dashboard.
    pub fn dashboard(
        &self,
        metrics: tributary_dashboard::MetricsText,
    ) -> tributary_dashboard::DashboardConfig {
        let user = if self.clickhouse.user.is_empty() {
            "default"
        } else {
            &self.clickhouse.user
        };
        tributary_dashboard::DashboardConfig {
            listen: self.dashboard.listen,
            clickhouse: tributary_dashboard::ClickHouseConfig {
                url: self.clickhouse.url.clone(),
                user: user.to_owned(),
                password: self.clickhouse.password.expose().to_owned(),
                database: self.clickhouse.database.clone(),
            },
            metrics,
            management: None,
            live: None,
            pipeline: None,
        }
    }

    /// As the dashboard reaches it.
    pub fn dashboard_kafka(&self) -> tributary_dashboard::Kafka {
        tributary_dashboard::Kafka {
            bootstrap: self.kafka.bootstrap.clone(),
            properties: self.kafka.properties.clone(),
        }
    }

    /// For whoever manages links and partners.
    pub fn config_topic(&self) -> tributary_dashboard::ConfigTopic {
        tributary_dashboard::ConfigTopic {
            kafka: self.dashboard_kafka(),
            name: self.kafka.topic(tributary_avro::Topic::Config),
        }
    }
}
