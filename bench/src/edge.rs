//! `edge`: what `tributary ingest` answers, and what the floor answers to the same clicks, by turns.
//!
//! ```text
//!   wrk ──► edge   POST /track/click, 256 and 64 connections; signed webhooks of 3 kB
//!           floor  the same clicks                                                    ──► one broker
//!           edge of a million links   GET /{key}
//! ```
//! All run at the same time on the same broker; only one is under load. Each round is one turn of each, and the order
//! alternates: whoever is always first meets the broker at its coldest.

mod clicks;
mod load;
mod redirects;
mod relay;

use std::path::PathBuf;
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
/// Connections of the turns that ask for latency where nothing is saturated by their number.
const FEW: u32 = 64;
/// Seconds of load before the figures with the broker away: longer than the edge waits for an acknowledgement.
const AWAY_AFTER: u32 = 12;
const DRAINS_WITHIN: Duration = Duration::from_secs(120);

/// Options of `edge`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 256)]
    connections: u32,
    /// Seconds of load in each round: short, so that what is compared ran in the same moment.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Seconds of load before the rounds, on each, in two turns: a broker that still compiles its own code costs
    /// three times as much a record, and takes the processor from whoever is measured.
    #[arg(long, default_value_t = 10)]
    warm_up: u32,
    /// Rounds: one turn of each, then the same in reverse order, ...
    #[arg(long, default_value_t = 12)]
    rounds: u32,
    /// Partitions of both topics.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Links of the edge that redirects.
    #[arg(long, default_value_t = 1_000_000)]
    links: u64,
    /// So many of them are visited; as many as there are: each visit that misses the processor's caches, too.
    #[arg(long, default_value_t = 10_000)]
    visited: u64,
    /// Only these: edge, floor, edge.c64, floor.c64, relay, redirect, away.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// What is under load by turns.
struct Target {
    name: &'static str,
    pid: u32,
    url: String,
    load: Load,
    /// Requests that have to be made right before each turn.
    signed: Option<PathBuf>,
    kafka: tributary_processors::kafka::Settings,
    topic: String,
    partitions: i32,
    figures: Figures,
}

/// Of each round.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    cpu: Vec<f64>,
    broker_cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Target {
    fn new(name: &'static str, role: &Role, url: String, load: Load, ground: &Ground) -> Self {
        Self {
            name,
            pid: role.pid(),
            url,
            load,
            signed: None,
            kafka: ground.kafka.clone(),
            topic: ground.kafka.topic(Topic::Clicks),
            partitions: ground.partitions(Topic::Clicks),
            figures: Figures::default(),
        }
    }

    fn records(&self) -> Result<i64> {
        Ok(kafka::ends(&self.kafka, &self.topic, self.partitions)?
            .iter()
            .sum())
    }

    async fn run(&self, seconds: u32) -> Result<load::Outcome> {
        if let Some(file) = &self.signed {
            relay::write_events(file)?;
        }
        self.load.run(&self.url, seconds).await
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
    let mut roles = Vec::new();
    let mut targets = clicks_and_webhooks(&ground, options, &mut roles).await?;
    let linked = if options.wants("redirect") {
        let (linked, target) = redirecting(&ground, options, &mut roles).await?;
        targets.push(target);
        Some(linked)
    } else {
        None
    };
    targets.retain(|target| options.wants(target.name));
    for _ in 0..WARM_UP_TURNS {
        for target in targets.iter().filter(|target| !target.name.ends_with(".c64")) {
            target.run(options.warm_up.div_ceil(WARM_UP_TURNS)).await?;
        }
    }
    let mut held = true;
    for number in 1..=options.rounds {
        for target in &mut targets {
            held &= round(&ground, options, target, number).await?;
            for role in &mut roles {
                role.alive()?;
            }
        }
        targets.reverse();
    }
    report(&targets);
    if let Some(edge) = targets.iter().find(|target| target.name == "edge")
        && options.wants("away")
    {
        held &= away(&ground, options, edge).await?;
    }
    drop(roles);
    if let Some(linked) = linked {
        linked.stop().await?;
    }
    ground.stop().await?;
    let environment = [
        ("PEERS_LIST", "floor".to_owned()),
        ("CONNS", options.connections.to_string()),
        ("DUR", options.seconds.to_string()),
    ];
    peers::run(common, "collect", &environment).await?;
    Ok(held)
}

/// An edge that listens on a free port, as [`Ground::role`] starts it next. Its address. The limit of an address is
/// counted and never reached: the first of the visitors makes a tenth of all requests.
fn settings(ground: &Ground) -> Result<String> {
    let address = format!("127.0.0.1:{}", free_port()?);
    ground.write_settings(&format!(
        "[ingest]\nlisten = {address:?}\nspool_dir = {:?}\ntrusted_proxies = [\"127.0.0.1/32\"]\n[ingest.limits]\nper_ip = 1000000\nper_ip_burst = 1000000\nper_key = 0\n",
        ground.path("spool")
    ))?;
    Ok(address)
}

async fn clicks_and_webhooks(
    ground: &Ground,
    options: &Options,
    roles: &mut Vec<Role>,
) -> Result<Vec<Target>> {
    let address = settings(ground)?;
    relay::write_secret(ground)?;
    let program = ground.path("program.yaml");
    std::fs::write(&program, links())?;
    ground
        .command(&["apply", "--file", &program.display().to_string()])
        .await?;
    kafka::create(&ground.kafka, FLOOR_TOPIC, options.partitions).await?;
    let mut edge = ground.role(&["ingest"])?;
    edge.answers(&format!("http://{address}/readyz")).await?;
    let floor_address = format!("127.0.0.1:{}", free_port()?);
    let arguments = [
        floor_address.clone(),
        ground.kafka.bootstrap.clone(),
        FLOOR_TOPIC.to_owned(),
    ];
    let mut floor = Role::start("floor", &beside("floor")?, &arguments, ground.path("floor.log"))?;
    floor.answers(&format!("http://{floor_address}/readyz")).await?;
    let mut targets = Vec::new();
    let requests = ground.path("clicks");
    clicks::write_clicks(&requests)?;
    for (ours, theirs, connections) in [
        ("edge", "floor", options.connections),
        ("edge.c64", "floor.c64", FEW),
    ] {
        for (name, role, address) in [(ours, &edge, &address), (theirs, &floor, &floor_address)] {
            let (url, load) = (
                format!("http://{address}"),
                Load::replay(ground, requests.clone(), connections)?,
            );
            let mut target = Target::new(name, role, url, load, ground);
            if name == theirs {
                FLOOR_TOPIC.clone_into(&mut target.topic);
            }
            targets.push(target);
        }
    }
    let events = ground.path("events");
    let load = Load::replay(ground, events.clone(), options.connections)?;
    let mut relay = Target::new("relay", &edge, format!("http://{address}"), load, ground);
    relay.signed = Some(events);
    relay.topic = ground.kafka.topic(Topic::StripeEvents);
    relay.partitions = ground.partitions(Topic::StripeEvents);
    targets.push(relay);
    roles.extend([edge, floor]);
    Ok(targets)
}

/// A second edge, with topics of its own that hold very many links.
async fn redirecting(ground: &Ground, options: &Options, roles: &mut Vec<Role>) -> Result<(Ground, Target)> {
    let linked = ground.aside().await?;
    let address = settings(&linked)?;
    redirects::declare(&linked, options.links).await?;
    let mut edge = linked.role(&["ingest"])?;
    edge.answers(&format!("http://{address}/readyz")).await?;
    let seconds = edge.started().elapsed().as_secs_f64();
    decimal("redirect.load_seconds", seconds, 2, "s");
    decimal("redirect.loaded_rss", edge.peak_rss(), 0, "MiB");
    let visits = linked.path("visits");
    redirects::write_visits(&visits, options.visited.min(options.links))?;
    let load = Load::replay(&linked, visits, options.connections)?;
    let target = Target::new("redirect", &edge, format!("http://{address}"), load, &linked);
    roles.push(edge);
    Ok((linked, target))
}

async fn round(ground: &Ground, options: &Options, target: &mut Target, number: u32) -> Result<bool> {
    let broker = ground.broker()?;
    let before = (target.records()?, proc::cpu(target.pid), proc::cpu(broker));
    let result = target.run(options.seconds).await?;
    let (cpu, broker_cpu) = (proc::cpu(target.pid) - before.1, proc::cpu(broker) - before.2);
    let stored = target.records()? - before.0;
    ensure!(result.replies > 0, "{}: no reply at all", target.name);
    let (name, replies) = (format!("{}.{number}", target.name), result.replies as f64);
    let mut say = |what: &str, value: f64, decimals, unit, all: fn(&mut Figures) -> &mut Vec<f64>| {
        decimal(&format!("{name}.{what}"), value, decimals, unit);
        all(&mut target.figures).push(value);
    };
    say("rate", replies / result.seconds, 0, "requests/s", |f| {
        &mut f.rates
    });
    say("cpu", cpu * 1e6 / replies, 2, "us/request", |f| &mut f.cpu);
    say("broker_cpu", broker_cpu * 1e6 / replies, 2, "us/request", |f| {
        &mut f.broker_cpu
    });
    say("p50", result.p50, 2, "ms", |f| &mut f.p50);
    say("p99", result.p99, 2, "ms", |f| &mut f.p99);
    figure(&format!("{name}.refused"), result.refused, "replies");
    figure(&format!("{name}.broken"), result.broken, "connections");
    // wrk drops what is in flight when it ends: as many replies as it has connections may be missing.
    let unseen = stored - i64::try_from(result.replies)?;
    figure(&format!("{name}.in_kafka_minus_replies"), unseen, "records");
    let complete = (0..=2 * i64::from(target.load.connections())).contains(&unseen);
    Ok(check(
        &format!("{name}.check"),
        complete && result.refused == 0 && result.broken == 0,
    ))
}

/// The same load while the broker hangs: every answer waits for the spool's disk. Then all of it must reach Kafka.
async fn away(ground: &Ground, options: &Options, edge: &Target) -> Result<bool> {
    let before = edge.records()?;
    ground.hang_broker(true)?;
    // Until it is known to be away, and what was in flight has timed out.
    let opening = edge.run(AWAY_AFTER).await?;
    let cpu = proc::cpu(edge.pid);
    let result = edge.run(options.seconds).await?;
    let cpu = proc::cpu(edge.pid) - cpu;
    ground.hang_broker(false)?;
    let replies = result.replies as f64;
    decimal("away.rate", replies / result.seconds, 0, "requests/s");
    decimal("away.cpu", cpu * 1e6 / replies, 2, "us/request");
    decimal("away.p99", result.p99, 2, "ms");
    ratio("away.rate", replies / result.seconds, median(&edge.figures.rates));
    let answered = i64::try_from(opening.replies + result.replies)?;
    let arrived = eventually("the spool drains", DRAINS_WITHIN, || async {
        let stored = edge.records()? - before;
        ensure!(stored >= answered, "{stored} of {answered}");
        Ok(())
    })
    .await;
    Ok(check("away.check", arrived.is_ok() && result.refused == 0))
}

fn report(targets: &[Target]) {
    for Target {
        name, pid, figures, ..
    } in targets
    {
        decimal(&format!("{name}.rate"), median(&figures.rates), 0, "requests/s");
        decimal(&format!("{name}.cpu"), median(&figures.cpu), 2, "us/request");
        decimal(
            &format!("{name}.broker_cpu"),
            median(&figures.broker_cpu),
            2,
            "us/request",
        );
        decimal(&format!("{name}.p50"), median(&figures.p50), 2, "ms");
        decimal(&format!("{name}.p99"), median(&figures.p99), 2, "ms");
        decimal(&format!("{name}.peak_rss"), proc::peak_rss(*pid), 0, "MiB");
    }
    // Round by round, since the machine is not as fast in one as in the next.
    let to = |ours: &str, theirs: &str, what: &str, of: fn(&Figures) -> &Vec<f64>| {
        let of = |name: &str| {
            let found = targets.iter().find(|target| target.name == name);
            found.map_or(&[][..], |target| of(&target.figures))
        };
        let ratios: Vec<f64> = of(ours).iter().zip(of(theirs)).map(|(a, b)| a / b).collect();
        ratio(&format!("{ours}.{what}"), median(&ratios), 1.0);
    };
    for (ours, theirs) in [("edge", "floor"), ("edge.c64", "floor.c64")] {
        to(ours, theirs, "rate", |f| &f.rates);
        to(ours, theirs, "cpu", |f| &f.cpu);
        to(ours, theirs, "p99", |f| &f.p99);
    }
    for ours in ["relay", "redirect"] {
        to(ours, "edge", "rate", |f| &f.rates);
        to(ours, "edge", "cpu", |f| &f.cpu);
    }
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
