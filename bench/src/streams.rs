//! `streams`: clicks, claims and payments, drained from Kafka to the committed ledger by `tributary process`.
//!
//! Topics are filled first, then the process is started on empty state, and a judge beside it reads the ledger until
//! its net equals what the core computes in memory from the same facts.

mod expected;
mod judge;
mod net;
mod pace;
mod population;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rdkafka::Message as _;
use serde::Deserialize;
use tributary_avro::{Click, Decoder, Fact, Op, Topic};
use tributary_processors::kafka::log::{LogReader, Range};
use tributary_testkit::Kind;

use crate::figures::{check, decimal, figure, note, ratio};
use crate::ground::Ground;
use crate::kafka::{self, Bulk};
use crate::role::Role;
use crate::{Common, peers, proc};
use expected::Expected;
use judge::Judge;
pub use pace::now;
use population::{Population, Shape};

const STAGES: [&str; 3] = ["process", "--stage", "join,attribute"];
const LOOK: Duration = Duration::from_millis(10);
/// After the ledger was complete, nothing more may come for so long.
const QUIET: Duration = Duration::from_secs(3);
/// Other clicks than those that are measured.
const WARM_UP_SEED: u64 = 500;
/// Between two looks at the lag of the warm-up: each connects anew, and nobody waits for the end of it to the moment.
const WARM_UP_LOOK: Duration = Duration::from_millis(500);

/// Options of `streams`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Clicks; a tenth of them is claimed, a twentieth as many payments are made.
    #[arg(long, default_value_t = 1_000_000)]
    clicks: u64,
    /// Another seed, another population.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Partitions of clicks, claims, facts and ledger.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Everything in one workspace: one core of attribute.
    #[arg(long)]
    one_workspace: bool,
    /// Afterwards, a steady pace for the latency.
    #[arg(long)]
    pace: bool,
    /// Clicks per second of the pace; a tenth of them is claimed.
    #[arg(long, default_value_t = 3_000)]
    pace_clicks: u64,
    /// Seconds of the pace.
    #[arg(long, default_value_t = 30)]
    pace_seconds: u64,
    /// kill -9 when a part of the ledger is written, and start again.
    #[arg(long)]
    kill: bool,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 420)]
    timeout: u64,
}

/// What was measured and has a peer.
struct Drained {
    rate: f64,
    cpu: f64,
    rss: f64,
    state: f64,
    kafka: f64,
    paced_p99: f64,
    held: bool,
}

/// Runs the benchmark.
pub async fn run(common: &Common, options: &Options) -> Result<bool> {
    let ground = Ground::start(
        common,
        "streams",
        &[Kind::Kafka, Kind::Registry],
        options.partitions,
        "",
    )
    .await?;
    // An hour ago: Kafka and the join drop what is older than clicks are kept.
    let base = pace::now() - 3_600_000;
    let shape = Shape {
        clicks: options.clicks,
        seed: options.seed,
        base,
        one_workspace: options.one_workspace,
    };
    warm_up(&ground, shape, options.timeout).await?;
    let population = Population::new(shape);
    let rules = shape.rules()?;
    let begin = Instant::now();
    let expected = expected::expected(&population, &rules)?;
    note(&format!(
        "the core alone took {:.1} s for the ledger",
        begin.elapsed().as_secs_f64()
    ));
    let rate = fill(&ground, &population, &rules).await?;
    decimal("fill.rate", rate, 0, "records/s");
    decimal("fill.kafka_dir", ground.kafka_size(), 0, "MiB");
    let (mut role, mut drained) = drain(&ground, options, &population, expected).await?;
    let mut held = drained.held;
    if options.pace && held {
        role.alive()?;
        let (all, p99) = pace::run(&ground, shape, options.pace_clicks, options.pace_seconds).await?;
        held &= all;
        drained.paced_p99 = p99;
    }
    role.stop().await?;
    ground.stop().await?;
    compare(common, options, &drained).await?;
    Ok(held)
}

/// Drains another, smaller population in topics of its own. A broker that has just started costs twice the CPU until its
/// code is compiled, on the same cores: no cluster in use is like that.
async fn warm_up(ground: &Ground, shape: Shape, timeout: u64) -> Result<()> {
    let aside = ground.aside().await?;
    let shape = Shape {
        clicks: (shape.clicks / 2).max(1),
        seed: shape.seed.wrapping_add(WARM_UP_SEED),
        ..shape
    };
    fill(&aside, &Population::new(shape), &shape.rules()?).await?;
    let mut role = aside.role(&STAGES)?;
    let deadline = Instant::now() + Duration::from_secs(timeout);
    loop {
        tokio::time::sleep(WARM_UP_LOOK).await;
        role.alive()?;
        if aside.lag("join", &[Topic::Clicks, Topic::Claims])? == 0
            && aside.lag("attribute", &[Topic::Facts])? == 0
        {
            break;
        }
        ensure!(Instant::now() < deadline, "warming up takes too long");
    }
    role.stop().await?;
    aside.stop().await
}

/// Writes the inputs; gives the records per second.
async fn fill(ground: &Ground, population: &Population, rules: &[Fact]) -> Result<f64> {
    let encoder = ground.encoder::<Fact>(Topic::Facts).await?;
    let clicks = ground.encoder::<Click>(Topic::Clicks).await?;
    let bulk = Bulk::new(&ground.kafka, 20)?;
    let topic = |topic| ground.kafka.topic(topic);
    let begin = Instant::now();
    for fact in rules {
        bulk.send(
            &topic(Topic::Facts),
            &population::key(fact),
            &encoder.encode(fact)?,
            fact.at,
        )?;
    }
    for (name, told) in [
        (Topic::Claims, &population.claims),
        (Topic::Facts, &population.payments),
    ] {
        for told in told {
            bulk.send(&topic(name), &told.key, &encoder.encode(&told.fact)?, told.at)?;
        }
    }
    let name = topic(Topic::Clicks);
    for i in 0..population.shape.clicks {
        let click = population.shape.click(i, population.shape.time(i));
        bulk.send(&name, click.id.as_bytes(), &clicks.encode(&click)?, click.at)?;
    }
    bulk.finish()?;
    Ok(population.inputs() as f64 / begin.elapsed().as_secs_f64())
}

/// From the start of the process to the complete ledger and committed inputs.
async fn drain(
    ground: &Ground,
    options: &Options,
    population: &Population,
    expected: Expected,
) -> Result<(Role, Drained)> {
    let Expected {
        conversions,
        commissions,
        commission,
    } = expected;
    let target = (conversions.leads, conversions.sales, conversions.amount);
    let entries = conversions.entries() as u64;
    let judge = Judge::start(ground, conversions).await?;
    let mut work = Work::start(ground, judge)?;
    let deadline = work.started + Duration::from_secs(options.timeout);
    let mut committed = None;
    while committed.is_none() && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        work.alive()?;
        let rows = work.judge.seen.rows.load(Ordering::Relaxed);
        if options.kill && work.killed.is_none() && rows * 5 >= entries * 2 {
            work.kill(ground, rows)?;
        }
        if work.judge.seen.complete.get().is_some() {
            let left = ground.lag("join", &[Topic::Clicks, Topic::Claims])?
                + ground.lag("attribute", &[Topic::Facts])?;
            committed = (left == 0).then(Instant::now);
        }
    }
    let mut drained = work.report(ground, population, committed)?;
    tokio::time::sleep(QUIET).await;
    let complete = work.judge.seen.complete.get().is_some();
    let net = work.judge.finish()?;
    let found = (net.leads, net.sales, net.amount);
    let told = (
        population.leads.cast_signed(),
        population.sales.cast_signed(),
        population.amount,
    );
    figure("outputs", net.rows, "rows");
    // What is no row is the mark of a commit.
    let marks = offsets(ground, Topic::Conversions)? - i64::try_from(net.rows)?;
    figure("transactions", marks, "commits");
    figure("net_leads", net.leads, "entries");
    figure("net_sales", net.sales, "entries");
    figure("broken_revisions", net.broken, "rows");
    let held = [
        check("ledger_equals_the_core", complete && found == target),
        check("every_claim_and_payment_once", found == told && net.broken == 0),
        check(
            "commissions",
            commissions_in(ground).await? == (commissions, commission),
        ),
        check("inputs_all_committed", committed.is_some()),
        check("no_dead_letters", offsets(ground, Topic::DeadLetters)? == 0),
    ];
    drained.held = held.into_iter().all(|held| held);
    Ok((work.role, drained))
}

/// The process, its judge, and what is known from before.
struct Work {
    judge: Judge,
    role: Role,
    started: Instant,
    broker: u32,
    broker_before: f64,
    /// CPU and memory of a process that was killed.
    before: (f64, f64),
    /// When, and after how many rows.
    killed: Option<(Instant, u64)>,
}

impl Work {
    fn start(ground: &Ground, judge: Judge) -> Result<Self> {
        let broker = ground.broker()?;
        let broker_before = proc::cpu(broker);
        let role = ground.role(&STAGES)?;
        let started = role.started();
        Ok(Self {
            judge,
            role,
            started,
            broker,
            broker_before,
            before: (0.0, 0.0),
            killed: None,
        })
    }

    fn alive(&mut self) -> Result<()> {
        self.role.alive()?;
        if self.judge.has_failed() {
            bail!("the judge ended by itself");
        }
        Ok(())
    }

    /// Kills the process and starts another; rows beyond the fence are the new one's.
    fn kill(&mut self, ground: &Ground, rows: u64) -> Result<()> {
        self.before = (self.role.cpu(), self.role.peak_rss());
        self.killed = Some((Instant::now(), rows));
        self.role.crash()?;
        self.role = ground.role(&STAGES)?;
        let topic = ground.kafka.topic(Topic::Conversions);
        self.judge.seen.set_fence(kafka::ends(
            &ground.kafka,
            &topic,
            ground.partitions(Topic::Conversions),
        )?);
        Ok(())
    }

    fn report(
        &self,
        ground: &Ground,
        population: &Population,
        committed: Option<Instant>,
    ) -> Result<Drained> {
        let cpu = self.before.0 + self.role.cpu();
        let broker_cpu = proc::cpu(self.broker) - self.broker_before;
        let rss = self.before.1.max(self.role.peak_rss());
        let since = |from: Instant, at: Option<&Instant>| {
            at.map_or(f64::NAN, |at| at.saturating_duration_since(from).as_secs_f64())
        };
        let inputs = population.inputs() as f64;
        let (seen, seconds) = (&self.judge.seen, since(self.started, committed.as_ref()));
        figure("inputs", population.inputs(), "records");
        decimal("first_output", since(self.started, seen.first.get()), 2, "s");
        decimal(
            "all_output_visible",
            since(self.started, seen.complete.get()),
            2,
            "s",
        );
        decimal("inputs_committed", seconds, 2, "s");
        decimal("throughput", inputs / seconds, 0, "events/s");
        decimal("app_cpu", cpu, 2, "s");
        decimal("app_cpu_per_event", cpu * 1e6 / inputs, 2, "us/event");
        decimal("broker_cpu", broker_cpu, 2, "s");
        decimal(
            "both_cpu_per_event",
            (cpu + broker_cpu) * 1e6 / inputs,
            2,
            "us/event",
        );
        decimal("app_peak_rss", rss, 0, "MiB");
        decimal("broker_peak_rss", proc::peak_rss(self.broker), 0, "MiB");
        let (state, kafka) = (ground.state_size(), ground.kafka_size());
        decimal("state_dir", state, 0, "MiB");
        decimal("kafka_dir", kafka, 0, "MiB");
        if let Some((at, rows)) = self.killed {
            figure("killed_after", rows, "rows");
            decimal("kill_to_first_output", since(at, seen.beyond.get()), 2, "s");
        }
        let (rate, cpu) = (inputs / seconds, cpu * 1e6 / inputs);
        Ok(Drained {
            rate,
            cpu,
            rss,
            state,
            kafka,
            paced_p99: f64::NAN,
            held: false,
        })
    }
}

/// How many offsets a topic has used.
fn offsets(ground: &Ground, topic: Topic) -> Result<i64> {
    let ends = kafka::ends(
        &ground.kafka,
        &ground.kafka.topic(topic),
        ground.partitions(topic),
    )?;
    Ok(ends.iter().sum())
}

#[derive(Deserialize)]
#[serde(rename = "Commission")]
struct Earned {
    op: Op,
    amount: i64,
    // Not read, but the library skips no record that is not named.
    #[serde(rename = "dims")]
    _dims: Skipped,
}

#[derive(Deserialize)]
#[serde(rename = "Dimensions")]
struct Skipped {}

/// Net number and sum of the commissions.
async fn commissions_in(ground: &Ground) -> Result<(u64, i64)> {
    let mut decoder = Decoder::<Earned>::default();
    decoder.add(
        ground.registry().await?.id(Topic::Commissions).await?,
        Topic::Commissions.schema(),
    )?;
    let (kafka, partitions) = (ground.kafka.clone(), ground.partitions(Topic::Commissions));
    let read = move || -> Result<(i64, i64)> {
        let reader = LogReader::new(&kafka)?;
        let topic = kafka.topic(Topic::Commissions);
        let mut net = (0, 0);
        for partition in 0..partitions {
            let bounds = reader.stable(&topic, partition)?;
            let range = Range {
                topic: &topic,
                partition,
                from: bounds.start,
                to: bounds.end,
            };
            reader.read(
                range,
                || false,
                |message| -> Result<(), anyhow::Error> {
                    let earned = decoder.decode(message.payload().unwrap_or_default())?;
                    let sign = if earned.op == Op::Assert { 1 } else { -1 };
                    net = (net.0 + sign, net.1 + sign * earned.amount);
                    Ok(())
                },
            )?;
        }
        Ok(net)
    };
    let (count, amount) = tokio::task::spawn_blocking(read).await??;
    let Ok(count) = u64::try_from(count) else {
        bail!("more commissions were retracted than asserted")
    };
    Ok((count, amount))
}

async fn compare(common: &Common, options: &Options, ours: &Drained) -> Result<()> {
    let environment = [
        ("CLICKS", options.clicks.to_string()),
        ("SEED", options.seed.to_string()),
        (
            "PACE",
            if options.pace { options.pace_clicks } else { 0 }.to_string(),
        ),
        ("PACE_S", options.pace_seconds.to_string()),
    ];
    let Some(theirs) = peers::run(common, "streams", &environment).await? else {
        return Ok(());
    };
    let value = |name: &str| theirs.get(name).copied().unwrap_or(f64::NAN);
    ratio("streams.rate", ours.rate, value("throughput"));
    ratio("streams.cpu", ours.cpu, value("app_cpu") * 1e6 / value("inputs"));
    ratio("streams.peak_rss", ours.rss, value("app_peak_rss"));
    ratio("streams.state_dir", ours.state, value("state_dir"));
    ratio("streams.kafka_dir", ours.kafka, value("kafka_dir"));
    ratio("streams.paced_p99", ours.paced_p99, value("paced_latency_p99"));
    Ok(())
}
