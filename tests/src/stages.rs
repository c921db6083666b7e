//! Driving the processing stages from tests: topics of their own, inputs in, ledger out, processes to kill.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tributary_avro::{
    Body, Conversion, CustomerRef, DeadLetter, Decoder, Encoder, Fact, LeadFact, Op, Record, Topic,
};
use tributary_domain::fact::Origin;
use tributary_domain::tenant::Tenant;
use tributary_processors::attribute::AttributeSettings;
use tributary_processors::join::JoinSettings;
use tributary_processors::kafka::Settings;
use tributary_processors::kafka::admin::Topics;
use tributary_processors::{ProcessConfig, Secret};
use tributary_testkit::{Endpoints, eventually, unique};

/// A set of topics on some servers, and a scratch directory.
pub struct Stages {
    /// Configuration of the first instance; others differ in `state_dir`.
    pub config: ProcessConfig,
    dir: tempfile::TempDir,
}

impl Stages {
    /// Topics and schemas under a prefix of their own.
    pub async fn create(servers: &Endpoints, name: &str, partitions: i32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = ProcessConfig {
            kafka: Settings {
                bootstrap: servers.kafka_bootstrap.clone(),
                topic_prefix: format!("{}.", unique(name)),
                session_timeout_ms: 3_000,
                ..Settings::default()
            },
            topics: Topics {
                facts_partitions: partitions,
                clicks_partitions: partitions,
                input_partitions: 2,
                ..Topics::default()
            },
            registry_url: servers.registry_url.clone(),
            state_dir: dir.path().join("state-1"),
            cache_dir: dir.path().join("schemas"),
            mail_key: Secret::new("test"),
            // State goes to disk in small runs, so that a restart finds some, and not all of it.
            join: JoinSettings {
                write_ms: 500,
                ..JoinSettings::default()
            },
            attribute: AttributeSettings {
                flush_bytes: 50_000,
                ..AttributeSettings::default()
            },
            ..ProcessConfig::default()
        };
        tributary_processors::init(&config).await?;
        Ok(Self { config, dir })
    }

    /// The scratch directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration of an instance with a state directory of its own.
    pub fn instance(&self, number: usize) -> ProcessConfig {
        ProcessConfig {
            state_dir: self.dir.path().join(format!("state-{number}")),
            ..self.config.clone()
        }
    }

    /// The full name of a topic.
    pub fn topic(&self, topic: Topic) -> String {
        self.config.kafka.topic(topic)
    }

    /// A producer as the edge has it.
    pub fn producer(&self) -> Result<FutureProducer> {
        Ok(self.config.kafka.producer().create()?)
    }

    /// The encoder for a topic's current schema.
    pub async fn encoder<T: Record>(&self, topic: Topic) -> Result<Arc<Encoder<T>>> {
        let registry = tributary_processors::registry(&self.config).await?;
        Ok(registry.encoder(topic).await?)
    }

    /// Writes values to a topic and waits until Kafka has all of them.
    pub async fn send(&self, topic: Topic, records: Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
        let producer = self.producer()?;
        let name = self.topic(topic);
        let mut sent = Vec::with_capacity(records.len());
        for (key, value) in &records {
            let mut record = FutureRecord::to(&name).key(key).payload(value);
            let delivery = loop {
                match producer.send_result(record) {
                    Ok(delivery) => break delivery,
                    Err((KafkaError::MessageProduction(_), back)) => {
                        record = back;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err((error, _)) => return Err(error.into()),
                }
            };
            sent.push(delivery);
        }
        for delivery in sent {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Writes facts, keyed as the stages key them.
    pub async fn send_facts(&self, facts: &[Fact]) -> Result<()> {
        let encoder = self.encoder::<Fact>(Topic::Facts).await?;
        let records = facts.iter().map(|fact| {
            let key = format!("{}/{}", fact.workspace, fact.mode).into_bytes();
            Ok((key, encoder.encode(fact)?))
        });
        self.send(Topic::Facts, records.collect::<Result<_>>()?).await
    }

    /// Every committed record of a topic, partition by partition.
    pub fn read_raw(&self, topic: Topic) -> Result<Vec<(i32, i64, Vec<u8>)>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.config.kafka.bootstrap)
            .set("group.id", unique("reader"))
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .create()?;
        let name = self.topic(topic);
        let count = self.config.topics.partitions(topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition_offset(&name, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let mut ended = BTreeSet::new();
        let mut records = Vec::new();
        while ended.len() < usize::try_from(count)? {
            match consumer.poll(Duration::from_secs(20)) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default().to_vec();
                    records.push((message.partition(), message.offset(), value));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition);
                }
                Some(Err(error)) => bail!("reading {name}: {error}"),
                None => bail!("reading {name}: nothing for 20 s"),
            }
        }
        records.sort_by_key(|(partition, offset, _)| (*partition, *offset));
        Ok(records)
    }

    /// Every committed record of a topic, decoded.
    pub async fn read<T: Record>(&self, topic: Topic) -> Result<Vec<T>> {
        let registry = tributary_processors::registry(&self.config).await?;
        let mut decoder = Decoder::<T>::default();
        decoder.add(registry.id(topic).await?, topic.schema())?;
        let raw = self.read_raw(topic)?;
        raw.iter()
            .map(|(_, _, value)| Ok(decoder.decode(value)?))
            .collect()
    }

    /// Every committed record of a topic that can be decoded.
    pub async fn read_readable<T: Record>(&self, topic: Topic) -> Result<Vec<T>> {
        let registry = tributary_processors::registry(&self.config).await?;
        let mut decoder = Decoder::<T>::default();
        decoder.add(registry.id(topic).await?, topic.schema())?;
        let raw = self.read_raw(topic)?;
        Ok(raw
            .iter()
            .filter_map(|(_, _, value)| decoder.decode(value).ok())
            .collect())
    }

    /// The conversions as they stand.
    pub async fn conversions(&self) -> Result<Vec<Conversion>> {
        self.read(Topic::Conversions).await
    }

    /// The dead letters.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.read(Topic::DeadLetters).await
    }

    /// Deletes what a topic has before these offsets, by partition: what its retention does with time.
    pub async fn delete_before(&self, topic: Topic, offsets: &[i64]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.kafka.client().create()?;
        let name = self.topic(topic);
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets.iter().enumerate() {
            list.add_partition_offset(&name, i32::try_from(partition)?, Offset::Offset(*offset))?;
        }
        let result = admin.delete_records(&list, &AdminOptions::new()).await?;
        for element in result.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// Makes the broker forget a stage's group, as it does with one that nobody is in for a week.
    pub async fn forget_group(&self, stage: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.kafka.client().create()?;
        let group = self.config.kafka.group(stage);
        eventually("a group is forgotten", Duration::from_secs(30), || async {
            let results = admin.delete_groups(&[&group], &AdminOptions::new()).await?;
            for result in results {
                result.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
            }
            Ok(())
        })
        .await
    }

    /// Flips a bit in every table of state under a folder. Returns how many there are.
    pub fn damage_tables(dir: &Path) -> Result<usize> {
        let mut damaged = 0;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                damaged += Self::damage_tables(&path)?;
            } else if dir.ends_with("tables") {
                let mut bytes = std::fs::read(&path)?;
                // A table begins with its data; the rest, which is read at the start, stays whole.
                let data = bytes.get_mut(60).context("a table of a few bytes")?;
                *data ^= 1;
                std::fs::write(&path, bytes)?;
                damaged += 1;
            }
        }
        Ok(damaged)
    }

    /// Starts stages in a process of their own, with the counting core.
    pub fn spawn(&self, number: usize, stages: &str, environment: &[(&str, &str)]) -> Result<Instance> {
        let dir = self.dir.path();
        let config = dir.join(format!("config-{number}.json"));
        let mut json = serde_json::to_value(self.instance(number))?;
        if let Some(object) = json.as_object_mut() {
            object.insert("mail_key".to_owned(), "test".into());
        }
        std::fs::write(&config, json.to_string())?;
        let log = dir.join(format!("instance-{number}.log"));
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(program()?)
            .arg(&config)
            .arg(stages)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Instance { child, log })
    }
}

fn program() -> Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    path.pop();
    path.pop();
    path.push("processors-under-test");
    ensure!(path.exists(), "{} is not built", path.display());
    Ok(path)
}

/// A process that runs stages. It ends when it is dropped.
pub struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()?;
        ensure!(status.success(), "kill -{name}");
        Ok(())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Asks it to stop and waits for it; its exit must be clean.
    pub fn stop(mut self) -> Result<()> {
        self.ask_to_stop();
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {}", self.log());
        Ok(())
    }

    /// What it logged. Of what Kafka's client says of its connections only the last: all of it would bury the rest.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let of_connections = ["librdkafka: ", "AllBrokersDown", "BrokerTransportFailure"];
        let is_own = |line: &&str| !of_connections.iter().any(|one| line.contains(one));
        let (mut own, others): (Vec<_>, Vec<_>) = log.lines().partition(is_own);
        own.extend(others.last());
        own.join("\n")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The `number`th lead of an event; the same number is the same fact.
pub fn lead(workspace: &str, event: &str, number: i64) -> Fact {
    Origin {
        tenant: Tenant::new(workspace, "live"),
        at: 1_700_000_000_000 + number,
        source: format!("call_{number}"),
        trust: "server",
    }
    .fact(Body::Lead(Box::new(LeadFact {
        event_name: event.to_owned(),
        quantity: 1,
        customer: CustomerRef {
            external_id: format!("user_{number}"),
            ..CustomerRef::default()
        },
        ..LeadFact::default()
    })))
}

/// The net count of each case of the counting core, after checking that every chain of revisions is whole:
/// assert 1, retract 1, assert 2, … with the retraction repeating what was asserted.
pub fn counted(rows: &[Conversion]) -> Result<BTreeMap<String, i64>> {
    let mut live: BTreeMap<String, (i64, Option<i64>)> = BTreeMap::new();
    for row in rows {
        let (revision, standing) = live.entry(row.id.clone()).or_default();
        match (row.op, *standing) {
            (Op::Assert, None) if row.revision == *revision + 1 => {
                *revision = row.revision;
                *standing = Some(row.quantity);
            }
            (Op::Retract, Some(quantity)) if row.revision == *revision && row.quantity == quantity => {
                *standing = None;
            }
            _ => bail!("broken chain at {row:?}, before it revision {revision} stood with {standing:?}"),
        }
    }
    live.into_iter()
        .map(|(case, (_, standing))| {
            let standing = standing.with_context(|| format!("{case} is retracted"))?;
            Ok((case, standing))
        })
        .collect()
}
