//! What the sink's tests share: a database, topics, schemas, a sink in this process or in one of its own.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tributary_avro::{Encoder, Record, Topic};
use tributary_sinks::{ClickHouseConfig, Client, SchemaError, Schemas, SinkConfig, SinkError};
use tributary_testkit::{Endpoints, eventually, shared, unique};

/// A registry that knows what the test told it.
#[derive(Clone, Default)]
pub struct Known(pub HashMap<u32, String>);

impl Known {
    /// The schemas of the pipeline's topics: the ID is the topic's place in `Topic::ALL` plus one.
    pub fn pipeline() -> Self {
        Self(
            Topic::ALL
                .iter()
                .map(|topic| (id(*topic), topic.schema().to_owned()))
                .collect(),
        )
    }
}

pub fn id(topic: Topic) -> u32 {
    1 + Topic::ALL.iter().position(|t| *t == topic).unwrap() as u32
}

impl Schemas for Known {
    fn schema(&self, id: u32) -> BoxFuture<'_, Result<String, SchemaError>> {
        let known = self
            .0
            .get(&id)
            .cloned()
            .ok_or_else(|| SchemaError::Unknown(id.to_string()));
        async move { known }.boxed()
    }

    fn id(&self, topic: Topic) -> BoxFuture<'_, Result<u32, SchemaError>> {
        async move { Ok(id(topic)) }.boxed()
    }
}

/// A namespace of its own on real servers.
pub struct World {
    pub servers: Endpoints,
    pub clickhouse: ClickHouseConfig,
    pub sink: SinkConfig,
    pub client: Client,
    logs: tempfile::TempDir,
}

impl World {
    pub async fn new(name: &str) -> Result<Self> {
        Self::on(shared().await?.clone(), name).await
    }

    pub async fn on(servers: Endpoints, name: &str) -> Result<Self> {
        let name = unique(name);
        let clickhouse = ClickHouseConfig {
            url: servers.clickhouse_url.clone(),
            database: name.clone(),
            ..Default::default()
        };
        tributary_sinks::migrate(&clickhouse).await?;
        let sink = SinkConfig {
            brokers: servers.kafka_bootstrap.clone(),
            group: name.clone(),
            topic_prefix: format!("{name}."),
            flush_millis: 50,
            kafka: [("session.timeout.ms".to_owned(), "6000".to_owned())].into(),
            ..Default::default()
        };
        let client = Client::new(&clickhouse, false);
        Ok(Self {
            servers,
            clickhouse,
            sink,
            client,
            logs: tempfile::tempdir()?,
        })
    }

    /// One value of a query; `{db}` is the database.
    pub async fn one<T>(&self, sql: &str) -> Result<T>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let sql = sql.replace("{db}", &self.clickhouse.database);
        self.client.query(&sql).fetch_one().await.context(sql)
    }

    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.sink.topic_prefix, topic.name())
    }

    pub async fn create_topics(&self, partitions: i32) -> Result<()> {
        let topics = [
            Topic::Clicks,
            Topic::Conversions,
            Topic::Refunds,
            Topic::Commissions,
        ];
        for topic in topics {
            create(&self.servers, &self.topic(topic), partitions).await?;
        }
        create(&self.servers, &self.topic(Topic::DeadLetters), 1).await
    }

    pub fn producer(&self) -> Result<ThreadedProducer<DefaultProducerContext>> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.servers.kafka_bootstrap)
            .set("linger.ms", "1")
            .set("partitioner", "murmur2_random")
            .create()?)
    }

    /// Writes records and waits until Kafka has them.
    pub fn send<T: Record>(&self, topic: Topic, records: impl Iterator<Item = (Vec<u8>, T)>) -> Result<()> {
        let producer = self.producer()?;
        let encoder = Encoder::<T>::new(id(topic));
        let name = self.topic(topic);
        for (key, record) in records {
            push(&producer, &name, None, &key, &encoder.encode(&record)?)?;
        }
        producer.flush(Duration::from_secs(30))?;
        Ok(())
    }

    /// A sink in this process.
    pub fn start(&self) -> Running {
        self.start_with(Arc::new(Known::pipeline()))
    }

    pub fn start_with(&self, schemas: Arc<dyn Schemas>) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let (sink, clickhouse) = (self.sink.clone(), self.clickhouse.clone());
        let task = tokio::spawn(async move {
            tributary_sinks::run(sink, clickhouse, schemas, stopped.map(|_| ())).await
        });
        Running { stop, task }
    }

    /// A sink in a process of its own, to be killed: this test binary, running `sink_process`.
    pub fn spawn(&self, crash_point: Option<&str>) -> Result<Process> {
        let told = serde_json::to_string(&(&self.sink, &self.clickhouse))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "sink_process", "--ignored", "--nocapture"]);
        let log = self.logs.path().join(unique("log"));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        command
            .env("SINK_PROCESS", told)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        if let Some(point) = crash_point {
            command.env("TRIBUTARY_CRASH_POINT", point);
        }
        Ok(Process(command.spawn()?, log))
    }

    /// The group's positions in `clicks`, and the plans beside them, by partition.
    pub fn positions(&self, partitions: i32) -> Result<BTreeMap<i32, (i64, String)>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers.kafka_bootstrap)
            .set("group.id", &self.sink.group)
            .create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic(Topic::Clicks), 0, partitions - 1);
        let committed = consumer.committed_offsets(list, Duration::from_secs(10))?;
        let known = committed
            .elements()
            .into_iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => {
                    Some((element.partition(), (offset, element.metadata().to_owned())))
                }
                _ => None,
            });
        Ok(known.collect())
    }

    /// Waits until a query gives what is expected.
    pub async fn until(&self, sql: &str, expected: u64) -> Result<()> {
        eventually(sql, Duration::from_secs(60), || async {
            let found: u64 = self.one(sql).await?;
            ensure!(found == expected, "{found} instead of {expected}");
            Ok(())
        })
        .await
    }
}

pub async fn create(servers: &Endpoints, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &servers.kafka_bootstrap)
        .create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for result in admin.create_topics(&[new], &AdminOptions::new()).await? {
        result.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
    }
    Ok(())
}

pub fn push(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: Option<i32>,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    loop {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        record.partition = partition;
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, _))
                if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull) =>
            {
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

pub struct Running {
    stop: oneshot::Sender<()>,
    pub task: JoinHandle<Result<(), SinkError>>,
}

impl Running {
    pub async fn stop(self) -> Result<()> {
        self.stop.send(()).ok();
        Ok(self.task.await??)
    }
}

/// Killed when dropped.
pub struct Process(pub Child, PathBuf);

impl Process {
    pub fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status()?;
        ensure!(status.success(), "kill {signal}");
        Ok(())
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap_or_default()
    }

    pub async fn died(&mut self) -> Result<()> {
        tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                if self.0.try_wait()?.is_some() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .context("the process did not die")?
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The body of `sink_process`: a sink until it is killed or asked to end by SIGTERM.
pub fn sink_process() -> Result<()> {
    let Ok(told) = std::env::var("SINK_PROCESS") else {
        return Ok(());
    };
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_env_filter("warn,tributary_sinks=debug,librdkafka=error")
        .init();
    let (sink, clickhouse): (SinkConfig, ClickHouseConfig) = serde_json::from_str(&told)?;
    // Not told by the parent: all schemas together are longer than an environment variable may be.
    let known = Known::pipeline();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let done = async move {
            term.recv().await;
        };
        tributary_sinks::run(sink, clickhouse, Arc::new(known), done).await?;
        Ok(())
    })
}
