//! `latency`: every role of the pipeline as a process of its own, under a tenth of its load, and how long an accepted
//! click or webhook takes until its row can be counted in ClickHouse.

mod traffic;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tributary_testkit::{Kind, free_port};

use crate::figures::{check, decimal, figure, latencies};
use crate::ground::Ground;
use crate::role::Role;
use crate::{Common, proc};
use traffic::{Traffic, WORKSPACE};
use watch::Pending;

const SECRET: &str = "whsec_bench";
const PROGRAM: &str = "
workspace: {id: bench, domains: [go.bench.test]}
programs:
  - id: main
    rewards:
      - {id: base, event: sale, percent: 20}
partners:
  - {id: p0}
links:
  - {key: l0, url: 'https://shop.example/', partner: p0}
";

/// Options of `latency`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Clicks per second.
    #[arg(long, default_value_t = 3_000)]
    clicks: u32,
    /// Webhooks per second.
    #[arg(long, default_value_t = 100)]
    webhooks: u32,
    /// Seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// One click in so many is looked for in ClickHouse.
    #[arg(long, default_value_t = 30)]
    sample: u32,
    /// Partitions of all topics.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
}

/// Runs the benchmark.
pub async fn run(common: &Common, options: &Options) -> Result<bool> {
    let ground = Ground::start(common, "latency", &Kind::ALL, options.partitions, "").await?;
    let address = format!("127.0.0.1:{}", free_port()?);
    ground.write_settings(&format!(
        "[ingest]\nlisten = {address:?}\ntrusted_proxies = [\"127.0.0.1/32\"]\n[ingest.limits]\nper_key = 0\n"
    ))?;
    ground.command(&["init"]).await?;
    let secrets = ground.path("secrets").join(WORKSPACE);
    std::fs::create_dir_all(&secrets)?;
    std::fs::write(secrets.join("stripe"), SECRET)?;
    let program = ground.path("program.yaml");
    std::fs::write(&program, PROGRAM)?;
    ground
        .command(&["apply", "--file", &program.display().to_string()])
        .await?;
    let mut roles = vec![
        ground.role(&["process"])?,
        ground.role(&["sink"])?,
        ground.role(&["ingest"])?,
    ];
    let edge = roles.last_mut().context("the edge")?;
    edge.answers(&format!("http://{address}/readyz")).await?;
    let clicks = Arc::new(Pending::default());
    let sales = Arc::new(Pending::default());
    let url = ground.servers.clickhouse_url()?;
    let watchers = [
        tokio::spawn(watch::clicks(url.clone(), Arc::clone(&clicks))),
        tokio::spawn(watch::sales(url, Arc::clone(&sales))),
    ];
    let traffic = Traffic::new(
        format!("http://{address}"),
        SECRET,
        Arc::clone(&clicks),
        Arc::clone(&sales),
    );
    // Groups form, schemas are fetched, the first inserts are made: none of that is judged.
    traffic.run(100, 10, 3, 10).await?;
    settle(&clicks, &sales).await;
    clicks.take();
    sales.take();
    let before: Vec<f64> = roles.iter().map(Role::cpu).collect();
    let failed = traffic
        .run(options.clicks, options.webhooks, options.seconds, options.sample)
        .await?;
    settle(&clicks, &sales).await;
    for role in &mut roles {
        role.alive()?;
    }
    watchers.iter().for_each(tokio::task::JoinHandle::abort);
    for ((role, name), before) in roles.iter().zip(["process", "sink", "ingest"]).zip(before) {
        decimal(
            &format!("{name}.cpu"),
            (role.cpu() - before) / f64::from(options.seconds),
            3,
            "cores",
        );
        decimal(&format!("{name}.peak_rss"), role.peak_rss(), 0, "MiB");
    }
    decimal(
        "clickhouse.peak_rss",
        proc::peak_rss(ground.clickhouse()?),
        0,
        "MiB",
    );
    figure("clicks", options.clicks, "requests/s");
    figure("webhooks", options.webhooks, "requests/s");
    figure("refused_or_late", failed, "requests");
    let left = clicks.waiting() + sales.waiting();
    latencies("click_to_clickhouse", &mut clicks.take());
    latencies("webhook_to_clickhouse", &mut sales.take());
    drop(roles);
    ground.stop().await?;
    figure("never_seen", left, "rows");
    Ok(check("latency.check", left == 0 && failed == 0))
}

/// Waits until everything that was sent has been seen, 30 s at most.
async fn settle(clicks: &Pending, sales: &Pending) {
    for _ in 0..300 {
        if clicks.waiting() + sales.waiting() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
