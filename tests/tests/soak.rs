//! Many events with random deaths of everything, several seeds; and the edge under load for long. Each makes a report, and
//! runs only if it is asked for in the environment: it takes long. `scripts/soak` calls them.
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

use anyhow::{Context as _, Result, ensure};
use tributary_tests::callers::{Answered, Callers, Pace, program};
use tributary_tests::pipeline::Pipeline;
use tributary_tests::pipeline::proof::{all_is_read, exactly_once};
use tributary_tests::pipeline::role::{Death, Role};
use tributary_tests::pipeline::send::send;
use tributary_tests::traffic::{Random, Traffic};

const SLICE: usize = 500;
const PATIENCE: Duration = Duration::from_secs(600);
/// Longer than a session: the sleeper's partitions are given away.
const SLEEP: Duration = Duration::from_secs(5);
/// Of the load on the edge.
const CALLERS: usize = 16;
/// Share of the rate that the machine manages, at which it is then loaded.
const SHARE: f64 = 0.7;
const SAMPLES: u32 = 60;
/// What the memory of an edge may grow by from the second third of the time to the last.
const GROWTH: f64 = 1.1;

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

/// Clicks, redirects, leads and webhooks at a steady pace: memory is flat, and every answer counts exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_the_edge_is_flat_under_load() -> Result<()> {
    let seconds: u64 = setting("TRIBUTARY_SOAK_EDGE_SECONDS", 0);
    if seconds == 0 {
        eprintln!("skipped: TRIBUTARY_SOAK_EDGE_SECONDS is not set; scripts/soak runs it");
        return Ok(());
    }
    let traffic = Traffic::told(vec![("acme".to_owned(), program())], Vec::new())?;
    let pipeline = Pipeline::start("soak-edge", &traffic).await?;
    let edge = pipeline.ingest().await?;
    let others = [
        pipeline.role("process", &["process"], &[])?,
        pipeline.role("sink", &["sink"], &[])?,
    ];
    // The machine is warm when its rate is taken.
    let (mut answered, _) = load(&pipeline, &edge, Duration::ZERO, seconds.div_ceil(10)).await?;
    let measuring = seconds.div_ceil(10);
    let (fastest, _) = load(&pipeline, &edge, Duration::ZERO, measuring).await?;
    let rate = fastest.requests() as f64 / measuring as f64;
    answered.append(fastest);
    let each = Duration::from_secs_f64(CALLERS as f64 / (rate * SHARE));
    let (paced, memory) = load(&pipeline, &edge, each, seconds).await?;
    let paced_rate = paced.requests() as f64 / seconds as f64;
    answered.append(paced);
    ensure!(
        answered.refused == 0,
        "{} requests were refused",
        answered.refused
    );
    let third = memory.len() / 3;
    let (second, last) = (median(&memory[third..2 * third]), median(&memory[2 * third..]));
    ensure!(
        last <= second * GROWTH,
        "memory grows: {second:.1} MiB, then {last:.1}: {memory:.1?}"
    );
    all_is_read(&pipeline, PATIENCE).await?;
    let clickhouse = pipeline.clickhouse()?;
    answered.is_in(&clickhouse).await?;
    let rows = clickhouse.number("SELECT count() FROM clicks").await?;
    ensure!(
        rows == answered.visits as i64,
        "{rows} clicks for {} answers",
        answered.visits
    );
    eprintln!(
        "edge under load for {seconds} s: {paced_rate:.0} requests/s, at most {rate:.0} on this machine; {} clicks and \
         redirects, {} leads and {} payments answered, each counts once; memory {second:.1} MiB, then {last:.1} MiB",
        answered.visits,
        answered.leads.len(),
        answered.sales.len()
    );
    pipeline.finish([edge].into_iter().chain(others).collect()).await
}

/// Loads the edge for so many seconds. What it answered, and its memory meanwhile, MiB.
async fn load(
    pipeline: &Pipeline,
    edge: &Role,
    each: Duration,
    seconds: u64,
) -> Result<(Answered, Vec<f64>)> {
    let pace = Pace {
        callers: CALLERS,
        each,
        visitors: 2_000,
    };
    let callers = Callers::start(&pipeline.edge, pace)?;
    let mut memory = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds) / SAMPLES);
    ticks.tick().await;
    for _ in 0..SAMPLES {
        ticks.tick().await;
        memory.push(resident(edge.pid().context("the edge has died")?)?);
    }
    Ok((callers.stop().await?, memory))
}

/// Memory of a process, MiB.
fn resident(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|rest| rest.split_whitespace().next())
        .context("VmRSS")?
        .parse()?;
    Ok(kib / 1024.0)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
