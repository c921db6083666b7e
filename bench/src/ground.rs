//! The ground of a benchmark: fresh servers, a settings file that names them, and the shipped binary on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tributary_avro::{Encoder, Record, Topic};
use tributary_processors::kafka::Settings as Kafka;
use tributary_processors::kafka::admin::Topics;
use tributary_processors::registry::Registry;
use tributary_processors::{ProcessConfig, Secret};
use tributary_testkit::{Kind, Options, Servers};

use crate::role::{Role, beside};
use crate::{Common, kafka, proc};

/// Topics of the second ground on the same servers begin so.
const ASIDE: &str = "aside.";

/// Servers, settings and a folder; all gone when it is dropped.
pub struct Ground {
    /// The servers.
    pub servers: Arc<Servers>,
    /// Kafka's clients, as the stages configure them.
    pub kafka: Kafka,
    dir: PathBuf,
    config: ProcessConfig,
    http: reqwest::Client,
    keep: bool,
}

impl Ground {
    /// Starts the servers and makes topics and schemas, as `tributary init` does.
    pub async fn start(
        common: &Common,
        name: &str,
        kinds: &[Kind],
        partitions: i32,
        settings: &str,
    ) -> Result<Self> {
        let dir = common.data.join(format!("{name}-{}", std::process::id()));
        Self::start_in(&dir, kinds, partitions, settings, common.keep).await
    }

    /// As [`Self::start`], in a folder that may have data of an earlier run.
    pub async fn start_in(
        dir: &Path,
        kinds: &[Kind],
        partitions: i32,
        settings: &str,
        keep: bool,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir = std::fs::canonicalize(dir)?;
        let mut options = Options::new(dir.join("servers"));
        options.only = kinds.iter().copied().collect::<BTreeSet<_>>();
        options.clickhouse_runner = vec![
            beside("tributary")?.display().to_string(),
            "run-clickhouse".to_owned(),
        ];
        let servers = Arc::new(Servers::start(options).await?);
        Self::on(servers, dir, "", partitions, settings, keep).await
    }

    /// Another set of topics and folders on the same servers, beside the first.
    pub async fn aside(&self) -> Result<Self> {
        let dir = self.dir.join("aside");
        let partitions = self.config.topics.facts_partitions;
        Self::on(Arc::clone(&self.servers), dir, ASIDE, partitions, "", self.keep).await
    }

    async fn on(
        servers: Arc<Servers>,
        dir: PathBuf,
        prefix: &str,
        partitions: i32,
        settings: &str,
        keep: bool,
    ) -> Result<Self> {
        let kafka = Kafka {
            bootstrap: servers.kafka_bootstrap()?,
            topic_prefix: prefix.to_owned(),
            ..Kafka::default()
        };
        let topics = Topics {
            facts_partitions: partitions,
            clicks_partitions: partitions,
            input_partitions: partitions,
            ..Topics::default()
        };
        let config = ProcessConfig {
            kafka: kafka.clone(),
            topics,
            registry_url: servers.registry_url()?,
            state_dir: dir.join("state"),
            cache_dir: dir.join("schemas"),
            mail_key: Secret::new("bench"),
            ..ProcessConfig::default()
        };
        let ground = Self {
            servers,
            kafka,
            dir,
            config,
            http: reqwest::Client::new(),
            keep,
        };
        ground.write_settings(settings)?;
        tributary_processors::init(&ground.config).await?;
        Ok(ground)
    }

    /// Only addresses, folders and partitions differ from the defaults, and what the benchmark adds in `more`.
    pub fn write_settings(&self, more: &str) -> Result<()> {
        let secrets = self.dir.join("secrets");
        std::fs::create_dir_all(&secrets)?;
        std::fs::write(secrets.join("mail_key"), "62656e63686d61726b")?;
        let topics = &self.config.topics;
        let clickhouse = self.servers.clickhouse_url().unwrap_or_default();
        let text = format!(
            "[kafka]\nbootstrap = {:?}\ntopic_prefix = {:?}\n[topics]\nfacts_partitions = {}\nclicks_partitions = {}\ninput_partitions = {}\n\
             [registry]\nurl = {:?}\n[clickhouse]\nurl = {clickhouse:?}\n[state]\ndir = {:?}\n[secrets]\ndir = {:?}\n{more}",
            self.kafka.bootstrap,
            self.kafka.topic_prefix,
            topics.facts_partitions,
            topics.clicks_partitions,
            topics.input_partitions,
            self.config.registry_url,
            self.config.state_dir,
            secrets,
        );
        std::fs::write(self.settings_file(), text)?;
        Ok(())
    }

    fn settings_file(&self) -> PathBuf {
        self.dir.join("tributary.toml")
    }

    /// A file or folder of this run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts the shipped binary in a role.
    pub fn role(&self, arguments: &[&str]) -> Result<Role> {
        let name = arguments.first().copied().unwrap_or_default();
        let config = self.settings_file().display().to_string();
        let all: Vec<String> = ["--config", &config]
            .iter()
            .chain(arguments)
            .map(|argument| (*argument).to_owned())
            .collect();
        Role::start(
            name,
            &beside("tributary")?,
            &all,
            self.path(&format!("{name}.log")),
        )
    }

    /// Runs a command of the shipped binary to its end.
    pub async fn command(&self, arguments: &[&str]) -> Result<()> {
        let output = tokio::process::Command::new(beside("tributary")?)
            .arg("--config")
            .arg(self.settings_file())
            .args(arguments)
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "tributary {}: {text}",
            arguments.join(" ")
        );
        Ok(())
    }

    /// Kafka's process.
    pub fn broker(&self) -> Result<u32> {
        self.servers.kafka()?.pid().context("the broker has ended")
    }

    /// Lets the broker hang, or go on.
    pub fn hang_broker(&self, hangs: bool) -> Result<()> {
        let kafka = self.servers.kafka()?;
        if hangs { kafka.sigstop() } else { kafka.sigcont() }
    }

    /// ClickHouse's process.
    pub fn clickhouse(&self) -> Result<u32> {
        self.servers.clickhouse()?.pid().context("ClickHouse has ended")
    }

    /// One SQL statement; the answer as text.
    pub async fn sql(&self, statement: &str) -> Result<String> {
        let url = self.servers.clickhouse_url()?;
        let answer = self.http.post(url).body(statement.to_owned()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{statement}: {text}");
        Ok(text.trim().to_owned())
    }

    /// One SQL statement; the answer as a number.
    pub async fn count(&self, statement: &str) -> Result<u64> {
        let text = self.sql(statement).await?;
        text.parse().with_context(|| format!("{statement}: {text:?}"))
    }

    /// The registry of this run.
    pub async fn registry(&self) -> Result<Registry> {
        tributary_processors::registry(&self.config).await
    }

    /// The encoder of a topic's schema.
    pub async fn encoder<T: Record>(&self, topic: Topic) -> Result<Arc<Encoder<T>>> {
        Ok(self.registry().await?.encoder(topic).await?)
    }

    /// The partitions of a topic.
    pub fn partitions(&self, topic: Topic) -> i32 {
        self.config.topics.partitions(topic)
    }

    /// What all topics take on disk, but those aside, MiB.
    pub fn kafka_size(&self) -> f64 {
        proc::size_on_disk(&self.path("servers/kafka-1/log"), ASIDE)
    }

    /// What the stages' state takes on disk, MiB.
    pub fn state_size(&self) -> f64 {
        proc::size_on_disk(&self.config.state_dir, "")
    }

    /// Records that a group has not committed yet.
    pub fn lag(&self, stage: &str, topics: &[Topic]) -> Result<i64> {
        let topics: Vec<(String, i32)> = topics
            .iter()
            .map(|topic| (self.kafka.topic(*topic), self.partitions(*topic)))
            .collect();
        kafka::lag(&self.kafka, &self.kafka.group(stage), &topics)
    }

    /// Stops the servers.
    pub async fn stop(self) -> Result<()> {
        if let Some(servers) = Arc::into_inner(self.servers) {
            servers.stop().await?;
        }
        remove(&self.dir, self.keep);
        Ok(())
    }
}

fn remove(dir: &Path, keep: bool) {
    if keep {
        crate::figures::note(&format!("kept: {}", dir.display()));
    } else {
        std::fs::remove_dir_all(dir).ok();
    }
}
