//! The three servers as a program uses them: they work, survive a crash with their data, and leave nothing behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tributary_testkit::{Options, Servers, eventually, free_port, unique};

const PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
const INCOMPATIBLE: &str = r#"{"type":"record","name":"R","fields":[{"name":"b","type":"long"}]}"#;

#[tokio::test]
async fn crashed_servers_come_back_with_their_data() -> Result<()> {
    let data = tempfile::tempdir()?;
    let servers = Servers::start(Options::new(data.path())).await?;
    let pids: Vec<u32> = servers.all().filter_map(|server| server.pid()).collect();
    ensure!(pids.len() == 3, "three servers run: {pids:?}");

    create_topic(&servers.kafka_bootstrap()?, "records", 32).await?;
    produce(&servers.kafka_bootstrap()?, "records", "before").await?;
    let subject = format!("{}/subjects/records-value/versions", servers.registry_url()?);
    ensure!(
        register(&subject, SCHEMA).await?.is_success(),
        "the first schema is accepted"
    );
    let refused = register(&subject, INCOMPATIBLE).await?;
    ensure!(
        refused.as_u16() == 409,
        "an incompatible schema is refused: {refused}"
    );
    sql(&servers, "CREATE DATABASE kept ENGINE = Atomic").await?;
    sql(
        &servers,
        "CREATE TABLE kept.rows (id UInt64) ENGINE = MergeTree ORDER BY id",
    )
    .await?;
    sql(&servers, "INSERT INTO kept.rows SELECT number FROM numbers(1000)").await?;

    let bootstrap = servers.kafka_bootstrap()?;
    for server in [servers.kafka()?, servers.clickhouse()?, servers.registry()?] {
        let before = server.pid();
        server.kill9().await?;
        ensure!(server.pid().is_none(), "{} is gone", server.name());
        server.restart().await?;
        ensure!(
            server.pid().is_some() && server.pid() != before,
            "{} is back",
            server.name()
        );
    }
    ensure!(
        servers.kafka_bootstrap()? == bootstrap,
        "the broker answers where its clients know it"
    );
    produce(&bootstrap, "records", "after").await?;
    let values = consume(&bootstrap, "records", 2).await?;
    ensure!(values == ["after", "before"], "{values:?}");
    ensure!(
        sql(&servers, "SELECT count(), sum(id) FROM kept.rows")
            .await?
            .trim()
            == "1000\t499500"
    );
    ensure!(
        register(&subject, SCHEMA).await?.is_success(),
        "the registry knows the schema again"
    );
    ensure!(
        register(&subject, INCOMPATIBLE).await?.as_u16() == 409,
        "and its rule"
    );

    let pids: Vec<u32> = servers.all().filter_map(|server| server.pid()).collect();
    servers.stop().await?;
    ensure!(
        pids.iter().all(|&pid| !alive(pid)),
        "stopped servers leave no process"
    );

    let servers = Servers::start(Options::new(data.path())).await?;
    ensure!(
        servers.kafka_bootstrap()? == bootstrap,
        "the ports are kept with the data"
    );
    ensure!(sql(&servers, "SELECT count() FROM kept.rows").await?.trim() == "1000");
    ensure!(consume(&bootstrap, "records", 2).await?.len() == 2);
    let second = Servers::start(Options::new(data.path())).await.map(|_| ());
    let message = format!("{:#}", second.err().context("a second owner is refused")?);
    ensure!(
        message.contains(&format!("process {}:", std::process::id())),
        "{message}"
    );
    Ok(())
}

/// A frozen ClickHouse answers nothing and goes on where it was.
#[tokio::test]
async fn a_frozen_server_goes_on() -> Result<()> {
    let data = tempfile::tempdir()?;
    let only = tributary_testkit::Kind::parse_list("clickhouse")?;
    let servers = Servers::start(Options {
        only,
        ..Options::new(data.path())
    })
    .await?;
    ensure!(servers.kafka_bootstrap().is_err(), "Kafka was not asked for");
    servers.clickhouse()?.sigstop()?;
    let frozen = tokio::time::timeout(Duration::from_millis(300), sql(&servers, "SELECT 1")).await;
    ensure!(frozen.is_err(), "a frozen server answers nothing");
    servers.clickhouse()?.sigcont()?;
    ensure!(sql(&servers, "SELECT 1").await?.trim() == "1");
    Ok(())
}

/// SIGKILL of the owner, which runs no destructor, ends the servers too, and the data can be used again.
#[tokio::test]
async fn a_killed_owner_leaves_no_server() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut owner = Command::new(env!("CARGO_BIN_EXE_tributary-servers"))
        .args(["--only", "kafka,clickhouse", "--data"])
        .arg(data.path())
        .args(["--port-base", &free_port()?.to_string()])
        .stdout(Stdio::null())
        .spawn()?;
    let started = eventually("the servers' pids", Duration::from_secs(300), || async {
        let pids = pids(data.path())?;
        ensure!(pids.len() == 2, "{pids:?}");
        Ok(pids)
    });
    let pids = started.await?;
    ensure!(pids.iter().all(|&pid| alive(pid)), "both run");
    owner.kill()?;
    owner.wait()?;
    eventually("an end of both servers", PATIENCE, || async {
        ensure!(pids.iter().all(|&pid| !alive(pid)), "{pids:?} still run");
        Ok(())
    })
    .await?;
    let only = tributary_testkit::Kind::parse_list("clickhouse")?;
    Servers::start(Options {
        only,
        ..Options::new(data.path())
    })
    .await?
    .stop()
    .await
}

#[tokio::test]
async fn three_brokers_replicate() -> Result<()> {
    let data = tempfile::tempdir()?;
    let only = tributary_testkit::Kind::parse_list("kafka")?;
    let servers = Servers::start(Options {
        only,
        kafka_brokers: 3,
        ..Options::new(data.path())
    })
    .await?;
    let bootstrap = servers.kafka_bootstrap()?;
    ensure!(bootstrap.split(',').count() == 3, "{bootstrap}");
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .create()?;
    eventually("a topic on three brokers", PATIENCE, || async {
        let name = unique("replicated");
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(3));
        for result in admin.create_topics([&topic], &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    })
    .await
}

async fn create_topic(bootstrap: &str, name: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for result in admin.create_topics([&topic], &AdminOptions::new()).await? {
        result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    Ok(())
}

async fn produce(bootstrap: &str, topic: &str, value: &str) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let record = FutureRecord::<str, str>::to(topic).key(value).payload(value);
    producer
        .send(record, PATIENCE)
        .await
        .map_err(|(error, _)| error)?;
    Ok(())
}

async fn consume(bootstrap: &str, topic: &'static str, count: usize) -> Result<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", unique("reader"))
        .set("group.protocol", "consumer")
        .set("auto.offset.reset", "earliest")
        .create()?;
    tokio::task::spawn_blocking(move || {
        consumer.subscribe(&[topic])?;
        let end = std::time::Instant::now() + PATIENCE;
        let mut values = Vec::new();
        while values.len() < count && std::time::Instant::now() < end {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                values.push(String::from_utf8_lossy(message?.payload().unwrap_or_default()).into_owned());
            }
        }
        values.sort();
        Ok(values)
    })
    .await?
}

async fn register(subject: &str, schema: &str) -> Result<reqwest::StatusCode> {
    let request = reqwest::Client::new()
        .post(subject)
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(serde_json::json!({ "schema": schema }).to_string());
    Ok(request.send().await?.status())
}

async fn sql(servers: &Servers, query: &str) -> Result<String> {
    let answer = reqwest::Client::new()
        .post(servers.clickhouse_url()?)
        .body(query.to_owned())
        .send()
        .await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{query}: {text}");
    Ok(text)
}

fn pids(data: &Path) -> Result<Vec<u32>> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(data.join("pids.json"))?)?;
    let entries = json.as_object().context("pids.json holds an object")?;
    Ok(entries
        .values()
        .filter_map(|entry| u32::try_from(entry["pid"].as_u64()?).ok())
        .collect())
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
