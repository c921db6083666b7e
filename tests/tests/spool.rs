//! Kafka is away under load, and the edge is killed while its spool drains: what was answered is there, and counts once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tributary_testkit::eventually;
use tributary_tests::callers::{Callers, Pace, program};
use tributary_tests::pipeline::{Pipeline, proof};
use tributary_tests::traffic::Traffic;

/// A group's member may wait for five minutes for an answer that a broker which hung does not give.
const PATIENCE: Duration = Duration::from_secs(400);
/// Bytes of more than two segments of the spool.
const SEGMENTS: i64 = 10_000_000;
/// No click is a repeat: each counts.
const PACE: Pace = Pace {
    callers: 8,
    each: Duration::from_millis(6),
    visitors: 0,
};

async fn spooled(edge: &str) -> Result<i64> {
    let status: Value = reqwest::get(format!("{edge}/readyz")).await?.json().await?;
    Ok(status["spooled_bytes"].as_i64().unwrap_or(-1))
}

async fn away(seconds: u64) -> Result<()> {
    let traffic = Traffic::told(vec![("acme".to_owned(), program())], Vec::new())?;
    let pipeline = Pipeline::start("spool", &traffic).await?;
    let edge = pipeline.edge.clone();
    let roles = vec![
        pipeline.ingest().await?,
        pipeline.role("process", &["process"], &[])?,
        pipeline.role("sink", &["sink"], &[])?,
    ];
    let callers = Callers::start(&edge, PACE)?;
    let clickhouse = pipeline.clickhouse()?;
    eventually("leads are in the ledger", PATIENCE, || async {
        let leads = clickhouse.number("SELECT count() FROM conversions").await?;
        ensure!(leads > 0, "none");
        Ok(())
    })
    .await?;

    // It hangs: what is in flight is neither acknowledged nor lost, and is taken when the broker goes on.
    pipeline.servers.kafka()?.sigstop()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // One segment would be gone at once, and nobody could be killed half-way.
    let most = eventually("the spool holds segments", PATIENCE, || async {
        let most = spooled(&edge).await?;
        ensure!(most > SEGMENTS, "{most} bytes spooled");
        Ok(most)
    })
    .await?;
    pipeline.servers.kafka()?.sigcont()?;
    // Killed half-way: segments of the spool are sent again.
    eventually("the spool drains", PATIENCE, || async {
        let left = spooled(&edge).await?;
        ensure!((1..most).contains(&left), "{left} of {most} bytes");
        Ok(())
    })
    .await?;
    ensure!(roles[0].kill9()?);
    eventually("the spool is empty", PATIENCE, || async {
        let left = spooled(&edge).await?;
        ensure!(left == 0, "{left} bytes");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answered = callers.stop().await?;
    // Refused while the process was dead, and at no other time.
    ensure!(
        answered.refused < answered.requests() / 20,
        "{} refused, {} answered",
        answered.refused,
        answered.requests()
    );

    proof::all_is_read(&pipeline, PATIENCE).await?;
    let number = async |what: &str| clickhouse.number(&format!("SELECT {what}")).await;
    let stored = answered.is_in(&clickhouse).await?;
    let counted = number("countIf(duplicate_of = '') FROM clicks").await?;
    ensure!(counted == stored as i64, "{counted} clicks count, {stored} are");
    let repeated = number("countIf(duplicate_of = id) FROM clicks").await?;
    ensure!(repeated > 0, "nothing was sent twice, so nothing is proved");
    eprintln!(
        "kafka away for {seconds} s: {} clicks, {} redirects, {} leads and {} payments answered, {} refused, {repeated} sent \
         twice, {most} bytes spooled",
        answered.clicks.len(),
        answered.redirects.len(),
        answered.leads.len(),
        answered.sales.len(),
        answered.refused
    );
    pipeline.finish(roles).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_away_loses_and_doubles_nothing() -> Result<()> {
    let seconds = std::env::var("TRIBUTARY_AWAY_SECONDS").ok();
    away(seconds.map_or(Ok(60), |text| text.parse())?).await
}
