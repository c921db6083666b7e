//! Exactly once under `kill -9`: at every named crash point of every stage and of the sink, and of the broker and
//! ClickHouse, while events flow. Then the net ledger in ClickHouse equals `simulate`'s, row for row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use anyhow::{Result, ensure};
use tributary_testkit::eventually;
use tributary_tests::ledger;
use tributary_tests::pipeline::Pipeline;
use tributary_tests::pipeline::proof::exactly_once;
use tributary_tests::pipeline::role::{Death, Role};
use tributary_tests::pipeline::send::send;
use tributary_tests::traffic::Traffic;

const EVENTS: usize = 20_000;
const SLICE: usize = 800;
const PATIENCE: Duration = Duration::from_secs(120);

/// The points of a role, at its first, second or third pass.
fn points(role: &str) -> Vec<String> {
    let all = tributary_processors::runtime::crash::CRASH_POINTS
        .iter()
        .chain(&tributary_sinks::CRASH_POINTS);
    let own = all.filter(|point| point.starts_with(&format!("{role}.")));
    own.enumerate()
        .map(|(i, point)| format!("{point}:{}", 1 + i % 3))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_crash_point_the_ledger_is_the_simulations() -> Result<()> {
    let traffic = Traffic::new(1, EVENTS)?;
    let expected = traffic.expected()?;
    let pipeline = Pipeline::start("crash-points", &traffic).await?;
    let ingest = pipeline.ingest().await?;
    let mut roles = Vec::new();
    for stage in ["normalize", "join", "attribute"] {
        roles.push(pipeline.role(stage, &["process", "--stage", stage], &points(stage))?);
    }
    roles.push(pipeline.role("sink", &["sink"], &points("sink"))?);
    let armed: Vec<Vec<String>> = ["normalize", "join", "attribute", "sink"].map(points).into();
    let total: usize = armed.iter().map(Vec::len).sum();
    let left = |roles: &[Role]| roles.iter().map(Role::points_left).sum::<usize>();

    let mut again = 0;
    for (i, slice) in traffic.lines.chunks(SLICE).enumerate() {
        let before = left(&roles);
        let server = match i {
            3 | 14 => Some(pipeline.servers.kafka()?),
            5 | 16 => Some(pipeline.servers.clickhouse()?),
            _ => None,
        };
        let kill = async {
            let Some(server) = server else { return Ok(()) };
            server.kill9().await?;
            server.restart().await
        };
        let (sent, killed) = tokio::join!(send(&pipeline.edge, slice), kill);
        again += sent?;
        killed?;
        if before > 0 {
            eventually("another crash point is reached", PATIENCE, || async {
                ensure!(left(&roles) < before, "{before} are left");
                Ok(())
            })
            .await?;
        }
    }
    eprintln!(
        "{} requests sent, {again} attempts repeated, {} of {total} points left",
        traffic.lines.len(),
        left(&roles)
    );
    let verdicts = exactly_once(&pipeline, &expected, PATIENCE).await?;
    eprintln!("{} entries are right; {verdicts:?}", expected.rows.len());

    // Every point was reached once, in its order, and nothing else ended a process.
    for (role, points) in roles.iter().zip(armed) {
        let wanted: Vec<Death> = points.into_iter().map(Death::AtPoint).collect();
        ensure!(
            !wanted.is_empty() && role.deaths() == wanted,
            "{}: {:?}",
            role.name(),
            role.deaths()
        );
    }
    ensure!(ingest.deaths().is_empty(), "{:?}", ingest.deaths());
    the_comparison_sees(&pipeline, &ledger::entries(&expected.rows)?).await?;
    roles.push(ingest);
    pipeline.finish(roles).await
}

/// A proof that cannot fail proves nothing: one row doubled, and one row lost, are both seen.
async fn the_comparison_sees(pipeline: &Pipeline, entries: &ledger::Entries) -> Result<()> {
    let clickhouse = pipeline.clickhouse()?;
    // The position itself, not a question for it: each part of a mutation could answer that differently.
    let some = clickhouse
        .text("SELECT kafka_partition, kafka_offset FROM conversions WHERE revision = 1 AND sign = 1 ORDER BY ALL LIMIT 1 FORMAT Values")
        .await?;
    let one = format!("(kafka_partition, kafka_offset) = {}", some.trim());
    clickhouse
        .text(&format!(
            "INSERT INTO conversions SELECT * FROM conversions WHERE {one}"
        ))
        .await?;
    let doubled = ledger::becomes(&clickhouse, entries, Duration::ZERO).await;
    ensure!(doubled.is_err(), "a doubled row was not seen");
    ensure!(
        clickhouse.roll_ups_hold().await.is_ok(),
        "the doubled row went into the roll-ups, too"
    );
    clickhouse
        .text(&format!(
            "ALTER TABLE conversions DELETE WHERE {one} SETTINGS mutations_sync = 2"
        ))
        .await?;
    let lost = ledger::becomes(&clickhouse, entries, Duration::ZERO).await;
    ensure!(lost.is_err(), "a lost row was not seen");
    Ok(())
}
