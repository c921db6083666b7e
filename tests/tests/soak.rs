//! Many events with random deaths of everything, several seeds; one report. Runs only if `TRIBUTARY_SOAK` is set: it
//! takes long. `scripts/soak` calls it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tributary_tests::pipeline::Pipeline;
use tributary_tests::pipeline::proof::exactly_once;
use tributary_tests::pipeline::role::{Death, Role};
use tributary_tests::pipeline::send::send;
use tributary_tests::traffic::{Random, Traffic};

const SLICE: usize = 500;
const PATIENCE: Duration = Duration::from_secs(600);
/// Longer than a session: the sleeper's partitions are given away.
const SLEEP: Duration = Duration::from_secs(5);

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_deaths_change_nothing() -> Result<()> {
    if std::env::var_os("TRIBUTARY_SOAK").is_none() {
        eprintln!("skipped: TRIBUTARY_SOAK is not set; scripts/soak runs it");
        return Ok(());
    }
    let events: usize = setting("TRIBUTARY_SOAK_EVENTS", 200_000);
    let seeds: String = setting("TRIBUTARY_SOAK_SEEDS", "1,2,3".to_owned());
    let mut report = String::new();
    for seed in seeds.split(',') {
        let seed: u64 = seed.trim().parse().context("TRIBUTARY_SOAK_SEEDS")?;
        let text = soak(seed, events)
            .await
            .with_context(|| format!("seed {seed}, after:\n{report}"))?;
        eprintln!("{text}");
        report.push_str(&text);
    }
    if let Some(file) = std::env::var_os("TRIBUTARY_SOAK_REPORT") {
        std::fs::write(file, &report)?;
    }
    Ok(())
}

async fn soak(seed: u64, events: usize) -> Result<String> {
    let begun = Instant::now();
    let traffic = Traffic::new(seed, events)?;
    let expected = traffic.expected()?;
    let pipeline = Pipeline::start(&format!("soak-{seed}"), &traffic).await?;
    let mut roles = vec![pipeline.ingest().await?];
    for (name, stages) in [
        ("normalize", "normalize"),
        ("join", "join"),
        ("attribute-1", "attribute"),
        ("attribute-2", "attribute"),
    ] {
        roles.push(pipeline.role(name, &["process", "--stage", stages], &[])?);
    }
    for name in ["sink-1", "sink-2"] {
        roles.push(pipeline.role(name, &["sink"], &[])?);
    }
    let sent = AtomicBool::new(false);
    let sending = async {
        let mut again = 0;
        for slice in traffic.lines.chunks(SLICE) {
            match send(&pipeline.edge, slice).await {
                Ok(more) => again += more,
                Err(error) => {
                    sent.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        sent.store(true, Ordering::Relaxed);
        Ok(again)
    };
    let (again, kills) = tokio::join!(sending, deaths(&pipeline, &roles, Random(seed), &sent));
    let (again, kills) = (again?, kills?);
    let sending_took = begun.elapsed();
    let verdicts = exactly_once(&pipeline, &expected, PATIENCE).await?;
    let mut text = String::new();
    writeln!(text, "seed {seed}")?;
    writeln!(
        text,
        "  inputs    {events} requests accepted, {again} attempts repeated, {} distinct clicks",
        expected.clicks
    )?;
    writeln!(text, "  kills     {kills:?}")?;
    let exits = own_exits(&roles);
    writeln!(
        text,
        "  exits     {} roles ended by themselves and were started again {exits:?}",
        exits.len()
    )?;
    writeln!(
        text,
        "  verdicts  {verdicts:?}; distinct facts as simulate counts them: {}",
        expected.facts
    )?;
    writeln!(
        text,
        "  ledger    {} entries in ClickHouse, each equal to simulate's in all columns",
        expected.rows.len()
    )?;
    writeln!(
        text,
        "  took      {} s to send, {} s in all",
        sending_took.as_secs(),
        begun.elapsed().as_secs()
    )?;
    pipeline.discard(roles);
    Ok(text)
}

/// Until all is sent: somebody dies, or sleeps beyond its session.
async fn deaths(
    pipeline: &Pipeline,
    roles: &[Role],
    mut random: Random,
    sent: &AtomicBool,
) -> Result<BTreeMap<String, u64>> {
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    while !sent.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(500 + random.below(2_500))).await;
        let role = &roles[random.below(roles.len() as u64) as usize];
        let what = match random.below(12) {
            0 => {
                let server = pipeline.servers.kafka()?;
                server.kill9().await?;
                server.restart().await?;
                "broker".to_owned()
            }
            1 => {
                let server = pipeline.servers.clickhouse()?;
                server.kill9().await?;
                server.restart().await?;
                "clickhouse".to_owned()
            }
            2 | 3 => {
                if role.signal("STOP").is_err() {
                    continue;
                }
                tokio::time::sleep(SLEEP).await;
                role.signal("CONT")?;
                format!("{} asleep", role.name())
            }
            _ if role.kill9()? => role.name().to_owned(),
            _ => continue,
        };
        *done.entry(what).or_default() += 1;
    }
    Ok(done)
}

fn own_exits(roles: &[Role]) -> Vec<String> {
    let own = |death: Death| match death {
        Death::Unexpected(why) => Some(why),
        Death::Killed | Death::AtPoint(_) => None,
    };
    roles.iter().flat_map(Role::deaths).filter_map(own).collect()
}
