//! A broker that dies or hangs around a commit: its outcome is unknown to the client, and yet nothing is
//! lost or doubled. The broker is this test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tributary_testkit::{Endpoints, Kind, Options, Servers, eventually};
use tributary_tests::stages::{Instance, Stages, counted, lead};

const LONG: Duration = Duration::from_secs(180);

async fn settled(stages: &Stages, instance: &mut Instance, count: i64, after: &str) -> Result<()> {
    eventually("the expected ledger", LONG, || async {
        let counts = counted(&stages.conversions().await?)?;
        let sum: i64 = counts.values().sum();
        ensure!(sum == count, "{sum} of {count}");
        Ok(())
    })
    .await
    .with_context(|| {
        format!(
            "after the broker was {after}; the stage has ended: {:?}",
            instance.has_ended()
        )
    })
    .map_err(|error| anyhow!("{error:#}\n{}", instance.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_unknown_outcome_lose_and_double_nothing() -> Result<()> {
    let data = tempfile::tempdir()?;
    let servers = Servers::start(Options {
        only: [Kind::Kafka, Kind::Registry].into(),
        ..Options::new(data.path())
    })
    .await?;
    let endpoints = Endpoints {
        kafka_bootstrap: servers.kafka_bootstrap()?,
        registry_url: servers.registry_url()?,
        clickhouse_url: String::new(),
    };
    let stages = Stages::create(&endpoints, "broker", 3).await?;
    let mut instance = stages.spawn(1, "attribute", &[])?;
    let mut count = 0;
    let load = async |from: i64| -> Result<i64> {
        let facts: Vec<_> = (from..from + 5_000)
            .map(|n| lead(&format!("w{}", n % 5), &format!("e{}", n % 40), n))
            .collect();
        stages.send_facts(&facts).await?;
        Ok(5_000)
    };
    count += load(0).await?;
    // In the middle of the work: the connections break, commits in flight get no answer.
    servers.kafka()?.kill9().await?;
    servers.kafka()?.restart().await?;
    count += load(10_000).await?;
    settled(&stages, &mut instance, count, "killed").await?;
    count += load(20_000).await?;
    // It hangs for longer than any call waits and any transaction lasts.
    let pid = servers.kafka()?.pid().unwrap_or_default().to_string();
    ensure!(Command::new("kill").args(["-STOP", &pid]).status()?.success());
    tokio::time::sleep(Duration::from_secs(18)).await;
    ensure!(Command::new("kill").args(["-CONT", &pid]).status()?.success());
    count += load(30_000).await?;
    settled(&stages, &mut instance, count, "paused").await?;
    instance.stop()?;
    servers.stop().await
}
