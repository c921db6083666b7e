//! Apache Kafka in KRaft mode: each process is broker and controller.
//!
//! Settings differ from Kafka's defaults only where one small machine and tests need it; they are listed in
//! [`properties`]. Topics are never created by accident (`auto.create.topics.enable=false`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::data_dir::DataDir;
use crate::process::Plan;
use crate::tools;

const CLUSTER_ID: &str = "VHJpYnV0YXJ5TG9jYWwwMQ";

#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub id: usize,
    pub port: u16,
    pub controller_port: u16,
}

pub(crate) fn plan(jars: &Path, data: &DataDir, node: Node, all: &[Node]) -> Result<Plan> {
    let name = format!("kafka-{}", node.id);
    let dir = data.path(&name);
    // A killed JVM leaves its temporary files behind: here, not in the machine's /tmp.
    let temporary = dir.join("tmp");
    fs::create_dir_all(&temporary)?;
    let config = dir.join("server.properties");
    fs::write(&config, properties(node, all, &dir.join("log")))?;
    let classpath = format!("{}/*", jars.display());
    if !dir.join("log/meta.properties").exists() {
        format_storage(&classpath, &config, &dir)?;
    }
    let mut command = vec!["java".to_owned(), "-Xmx512m".to_owned(), "-Xms256m".to_owned()];
    command.push(format!("-Djava.io.tmpdir={}", temporary.display()));
    command.extend(
        [
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "-Duser.timezone=UTC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
            "-cp",
            &classpath,
            "kafka.Kafka",
        ]
        .map(str::to_owned),
    );
    command.push(config.display().to_string());
    let ready = Box::new(
        move || -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>> {
            Box::pin(async move { tokio::task::spawn_blocking(move || registered(node)).await? })
        },
    );
    Ok(Plan {
        name,
        command,
        dir,
        ready,
        ready_within: Duration::from_secs(120),
    })
}

/// The broker answers and is a member of the cluster it describes.
fn registered(node: Node) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", format!("127.0.0.1:{}", node.port))
        .set("reconnect.backoff.max.ms", "100")
        .create()?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(2))?;
    let known = metadata
        .brokers()
        .iter()
        .any(|broker| usize::try_from(broker.id()) == Ok(node.id));
    ensure!(known, "the broker is not registered yet");
    Ok(())
}

fn format_storage(classpath: &str, config: &Path, dir: &Path) -> Result<()> {
    let mut format = Command::new("java");
    format.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classpath]);
    format.args([
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        "-t",
        CLUSTER_ID,
        "-c",
    ]);
    format.arg(config);
    tools::run(&mut format, dir)?;
    Ok(())
}

fn properties(node: Node, all: &[Node], log: &Path) -> String {
    let Node {
        id,
        port,
        controller_port,
    } = node;
    let voters: Vec<String> = all
        .iter()
        .map(|other| format!("{}@127.0.0.1:{}", other.id, other.controller_port))
        .collect();
    let replication = all.len().min(3);
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={log}
auto.create.topics.enable=false
message.max.bytes=2097152
replica.fetch.max.bytes=2097152
offsets.topic.replication.factor={replication}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr={min_isr}
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor={replication}
share.coordinator.state.topic.min.isr={min_isr}
share.coordinator.state.topic.num.partitions=1
# A single machine waits for nobody: groups form at once, dead members and dead transactions are noticed in seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=1500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
",
        voters = voters.join(","),
        log = log.display(),
        min_isr = if replication == 3 { 2 } else { 1 },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broker_replicates_once_and_three_three_times() {
        let node = |id| Node {
            id,
            port: 100,
            controller_port: 200,
        };
        let one = properties(node(1), &[node(1)], Path::new("/d"));
        assert!(one.contains("\noffsets.topic.replication.factor=1\n"));
        let three = properties(node(2), &[node(1), node(2), node(3)], Path::new("/d"));
        assert!(three.contains("\ntransaction.state.log.min.isr=2\n"));
        assert!(three.contains("controller.quorum.voters=1@127.0.0.1:200,2@127.0.0.1:200,3@127.0.0.1:200"));
    }
}
