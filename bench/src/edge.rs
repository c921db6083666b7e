//! `edge`: `POST /track/click` on `tributary ingest`, and the same requests on the floor, by turns.
//!
//! Both run at the same time on the same broker; only one is under load. Each round is one of ours and one of the
//! floor, and the order alternates: whoever is always first meets the broker at its coldest.

mod load;

use std::time::Duration;

use anyhow::{Result, ensure};
use tributary_avro::Topic;
use tributary_testkit::{Kind, eventually, free_port};

use crate::figures::{check, decimal, figure, median, ratio};
use crate::ground::Ground;
use crate::role::{Role, beside};
use crate::{Common, kafka, peers, proc};
use load::Load;

const LINKS: usize = 10_000;
const FLOOR_TOPIC: &str = "floor";
const WARM_UP_TURNS: u32 = 2;
/// Seconds of load before the figures with the broker away: longer than the edge waits for an acknowledgement.
const AWAY_AFTER: u32 = 12;
const DRAINS_WITHIN: Duration = Duration::from_secs(120);

/// Options of `edge`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 256)]
    connections: u32,
    /// Seconds of load in each round.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Seconds of load before the rounds, on each, in two turns: a broker that still compiles its own code costs
    /// three times as much a record, and takes the processor from whoever is measured.
    #[arg(long, default_value_t = 10)]
    warm_up: u32,
    /// Rounds: ours, floor, floor, ours, ours, floor, ...
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Partitions of both topics.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
}

/// One of the two that are under load by turns.
struct Target {
    name: &'static str,
    role: Role,
    url: String,
    topic: String,
    rates: Vec<f64>,
    cpu: Vec<f64>,
    broker_cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Target {
    fn new(name: &'static str, role: Role, address: &str, topic: String) -> Self {
        let (rates, cpu, broker_cpu, p50, p99) = Default::default();
        Self {
            name,
            role,
            url: format!("http://{address}/track/click"),
            topic,
            rates,
            cpu,
            broker_cpu,
            p50,
            p99,
        }
    }
}

/// Runs the benchmark.
pub async fn run(common: &Common, options: &Options) -> Result<bool> {
    let ground = Ground::start(
        common,
        "edge",
        &[Kind::Kafka, Kind::Registry],
        options.partitions,
        "",
    )
    .await?;
    let address = format!("127.0.0.1:{}", free_port()?);
    ground.write_settings(&format!(
        "[ingest]\nlisten = {address:?}\nspool_dir = {:?}\ntrusted_proxies = [\"127.0.0.1/32\"]\n[ingest.limits]\nper_key = 0\n",
        ground.path("spool")
    ))?;
    let program = ground.path("program.yaml");
    std::fs::write(&program, links())?;
    ground
        .command(&["apply", "--file", &program.display().to_string()])
        .await?;
    kafka::create(&ground.kafka, FLOOR_TOPIC, options.partitions).await?;
    let mut edge = ground.role(&["ingest"])?;
    edge.answers(&format!("http://{address}/readyz")).await?;
    let ours = Target::new("edge", edge, &address, ground.kafka.topic(Topic::Clicks));
    let address = format!("127.0.0.1:{}", free_port()?);
    let arguments = [
        address.clone(),
        ground.kafka.bootstrap.clone(),
        FLOOR_TOPIC.to_owned(),
    ];
    let mut floor = Role::start("floor", &beside("floor")?, &arguments, ground.path("floor.log"))?;
    floor.answers(&format!("http://{address}/readyz")).await?;
    let floor = Target::new("floor", floor, &address, FLOOR_TOPIC.to_owned());
    let load = Load::new(&ground, options.connections)?;
    let mut targets = [ours, floor];
    for _ in 0..WARM_UP_TURNS {
        for target in &targets {
            load.run(&target.url, options.warm_up.div_ceil(WARM_UP_TURNS))
                .await?;
        }
    }
    let mut held = true;
    for number in 1..=options.rounds {
        let [ours, floor] = &mut targets;
        let turns = if number % 2 == 1 {
            [ours, floor]
        } else {
            [floor, ours]
        };
        for target in turns {
            held &= round(&ground, options, &load, target, number).await?;
        }
    }
    report(&targets);
    held &= away(&ground, options, &load, &targets[0]).await?;
    drop(targets);
    ground.stop().await?;
    let environment = [
        ("PEERS_LIST", "floor".to_owned()),
        ("CONNS", options.connections.to_string()),
        ("DUR", options.seconds.to_string()),
    ];
    peers::run(common, "collect", &environment).await?;
    Ok(held)
}

async fn round(
    ground: &Ground,
    options: &Options,
    load: &Load,
    target: &mut Target,
    number: u32,
) -> Result<bool> {
    let records = || -> Result<i64> {
        Ok(kafka::ends(&ground.kafka, &target.topic, options.partitions)?
            .iter()
            .sum())
    };
    let broker = ground.broker()?;
    let before = (records()?, target.role.cpu(), proc::cpu(broker));
    let result = load.run(&target.url, options.seconds).await?;
    target.role.alive()?;
    let (cpu, broker_cpu) = (target.role.cpu() - before.1, proc::cpu(broker) - before.2);
    let stored = records()? - before.0;
    ensure!(result.replies > 0, "{}: no reply at all", target.name);
    let (name, replies) = (format!("{}.{number}", target.name), result.replies as f64);
    let mut say = |what: &str, value: f64, decimals, unit, all: fn(&mut Target) -> &mut Vec<f64>| {
        decimal(&format!("{name}.{what}"), value, decimals, unit);
        all(target).push(value);
    };
    say("rate", replies / result.seconds, 0, "requests/s", |t| {
        &mut t.rates
    });
    say("cpu", cpu * 1e6 / replies, 2, "us/request", |t| &mut t.cpu);
    say("broker_cpu", broker_cpu * 1e6 / replies, 2, "us/request", |t| {
        &mut t.broker_cpu
    });
    say("p50", result.p50, 2, "ms", |t| &mut t.p50);
    say("p99", result.p99, 2, "ms", |t| &mut t.p99);
    figure(&format!("{name}.refused"), result.refused, "replies");
    figure(&format!("{name}.broken"), result.broken, "connections");
    // wrk drops what is in flight when it ends: as many replies as it has connections may be missing.
    let unseen = stored - i64::try_from(result.replies)?;
    figure(&format!("{name}.in_kafka_minus_replies"), unseen, "records");
    let complete = (0..=2 * i64::from(options.connections)).contains(&unseen);
    Ok(check(
        &format!("{name}.check"),
        complete && result.refused == 0 && result.broken == 0,
    ))
}

/// The same load while the broker hangs: every answer waits for the spool's disk. Then all of it must reach Kafka.
async fn away(ground: &Ground, options: &Options, load: &Load, ours: &Target) -> Result<bool> {
    let records = || -> Result<i64> {
        Ok(kafka::ends(&ground.kafka, &ours.topic, options.partitions)?
            .iter()
            .sum())
    };
    let before = records()?;
    ground.hang_broker(true)?;
    // Until it is known to be away, and what was in flight has timed out.
    let opening = load.run(&ours.url, AWAY_AFTER).await?;
    let cpu = ours.role.cpu();
    let result = load.run(&ours.url, options.seconds).await?;
    let cpu = ours.role.cpu() - cpu;
    ground.hang_broker(false)?;
    let replies = result.replies as f64;
    decimal("away.rate", replies / result.seconds, 0, "requests/s");
    decimal("away.cpu", cpu * 1e6 / replies, 2, "us/request");
    decimal("away.p99", result.p99, 2, "ms");
    ratio("away.rate", replies / result.seconds, median(&ours.rates));
    let answered = i64::try_from(opening.replies + result.replies)?;
    let arrived = eventually("the spool drains", DRAINS_WITHIN, || async {
        let stored = records()? - before;
        ensure!(stored >= answered, "{stored} of {answered}");
        Ok(())
    })
    .await;
    Ok(check("away.check", arrived.is_ok() && result.refused == 0))
}

fn report(targets: &[Target; 2]) {
    for target in targets {
        let name = target.name;
        decimal(&format!("{name}.rate"), median(&target.rates), 0, "requests/s");
        decimal(&format!("{name}.cpu"), median(&target.cpu), 2, "us/request");
        decimal(
            &format!("{name}.broker_cpu"),
            median(&target.broker_cpu),
            2,
            "us/request",
        );
        decimal(&format!("{name}.p50"), median(&target.p50), 2, "ms");
        decimal(&format!("{name}.p99"), median(&target.p99), 2, "ms");
        decimal(&format!("{name}.peak_rss"), target.role.peak_rss(), 0, "MiB");
    }
    let [ours, floor] = targets;
    ratio("edge.rate", median(&ours.rates), median(&floor.rates));
    ratio("edge.cpu", median(&ours.cpu), median(&floor.cpu));
    ratio("edge.p99", median(&ours.p99), median(&floor.p99));
}

/// A workspace with many links of a hundred partners.
fn links() -> String {
    let mut out = String::from(
        "workspace:\n  id: bench\n  domains: [go.bench.test]\nprograms:\n  - id: main\n    rewards:\n      \
         - {id: base, event: sale, percent: 20}\npartners:\n",
    );
    for partner in 0..100 {
        out.push_str(&format!("  - {{id: p{partner:02}}}\n"));
    }
    out.push_str("links:\n");
    for link in 0..LINKS {
        out.push_str(&format!(
            "  - {{key: l{link:05}, url: 'https://shop.example/p/{link}?utm_medium=affiliate', partner: p{:02}}}\n",
            link % 100
        ));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn the_program_of_the_benchmark_is_valid() {
        let file = tributary_domain::rules::parse(&super::links()).unwrap();
        assert_eq!(file.links.len(), super::LINKS);
    }
}
