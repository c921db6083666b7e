//! `sink`: rows from Kafka into ClickHouse, by `tributary sink` exactly once and by ClickHouse's own Kafka engine at
//! least once, by turns; then the pipeline's own clicks table with its roll-ups.

mod engine;
mod rows;
mod run;

use std::time::Instant;

use anyhow::Result;
use serde::Deserialize;
use tributary_avro::{Click, Topic};
use tributary_testkit::Kind;

use crate::figures::{check, decimal, figure, median, ratio};
use crate::ground::Ground;
use crate::kafka::{self, Bulk};
use crate::{Common, peers, proc};
use rows::{COLUMNS, ORDER, Row};
use run::{Run, Way};

const TOPIC: &str = "rows";
/// The rows lie within one month, so that no way has to split its inserts by chance.
const FIRST: i64 = 1_760_000_000_000;

/// Options of `sink`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Rows.
    #[arg(long, default_value_t = 3_000_000)]
    rows: u64,
    /// Another seed, other rows.
    #[arg(long, default_value_t = 11)]
    seed: u64,
    /// Partitions of the topics.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Rounds: ours, the engine, ours, ...
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Leave the pipeline's own clicks table out.
    #[arg(long)]
    no_production: bool,
    /// Give up on one drain after so many seconds.
    #[arg(long, default_value_t = 240)]
    timeout: u64,
}

/// Runs the benchmark.
pub async fn run(common: &Common, options: &Options) -> Result<bool> {
    let ground = Ground::start(common, "sink", &Kind::ALL, options.partitions, "").await?;
    ground.command(&["init"]).await?;
    ground.sql("CREATE DATABASE bench").await?;
    kafka::create(&ground.kafka, TOPIC, options.partitions).await?;
    kafka::warm_up(&ground.kafka, TOPIC).await?;
    let schema = rows::schema();
    let id = register(&ground, &schema).await?;
    let registry = engine::registry(id, schema).await?;
    fill(&ground, options, id)?;
    let (mut ours, mut theirs, mut held) = (Way::default(), Way::default(), true);
    for round in 1..=options.rounds {
        held &= by_sink(&ground, options, round, &mut ours).await?;
        held &= by_engine(&ground, options, round, &registry, &mut theirs).await?;
    }
    if !options.no_production {
        held &= production(&ground, options).await?;
    }
    for (name, way) in [("sink", &ours), ("engine", &theirs)] {
        decimal(&format!("{name}.rate"), median(&way.rates), 0, "rows/s");
        decimal(&format!("{name}.total_cpu"), median(&way.cpu), 2, "us/row");
    }
    decimal(
        "clickhouse_peak_rss",
        proc::peak_rss(ground.clickhouse()?),
        0,
        "MiB",
    );
    ratio("sink.rate", median(&ours.rates), median(&theirs.rates));
    ratio("sink.total_cpu", median(&ours.cpu), median(&theirs.cpu));
    ground.stop().await?;
    let environment = [
        ("ROWS", options.rows.to_string()),
        ("SEED", options.seed.to_string()),
        ("PARTS", "engine connect".to_owned()),
    ];
    if let Some(peer) = peers::run(common, "sink", &environment).await? {
        let tuned = peer.get("engine_avro_tuned.rate").copied().unwrap_or(f64::NAN);
        ratio("sink.rate_to_kit", median(&ours.rates), tuned);
    }
    Ok(held)
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

async fn register(ground: &Ground, schema: &str) -> Result<u32> {
    let url = format!(
        "{}/subjects/{TOPIC}-value/versions",
        ground.servers.registry_url()?
    );
    let body = serde_json::json!({ "schema": schema }).to_string();
    let request = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/vnd.schemaregistry.v1+json");
    let answer: Registered = request
        .body(body)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(answer.id)
}

fn fill(ground: &Ground, options: &Options, id: u32) -> Result<()> {
    let bulk = Bulk::new(&ground.kafka, 20)?;
    let (begin, mut bytes) = (Instant::now(), 0);
    for i in 0..options.rows {
        let row = Row::new(options.seed, i, FIRST);
        let value = row.encode(id);
        bytes += value.len();
        bulk.send(TOPIC, row.id().as_bytes(), &value, row.at())?;
    }
    bulk.finish()?;
    figure("fill.value_size", bytes as u64 / options.rows.max(1), "bytes");
    decimal(
        "fill.rate",
        options.rows as f64 / begin.elapsed().as_secs_f64(),
        0,
        "rows/s",
    );
    Ok(())
}

async fn create(ground: &Ground, table: &str) -> Result<()> {
    ground
        .sql(&format!(
            "CREATE TABLE {table} ({COLUMNS}) ENGINE = MergeTree ORDER BY ({ORDER}) \
             SETTINGS non_replicated_deduplication_window = 20000"
        ))
        .await?;
    Ok(())
}

async fn by_sink(ground: &Ground, options: &Options, round: u32, way: &mut Way) -> Result<bool> {
    let table = format!("bench.by_sink_{round}");
    create(ground, &table).await?;
    if round > 1 {
        // The group's positions are those of the last round's table.
        kafka::forget(&ground.kafka, &ground.kafka.group("sink")).await?;
    }
    ground.write_settings(&format!(
        "[sink]\npipeline = false\n[[sink.tables]]\ntopic = {TOPIC:?}\ntable = {table:?}\n"
    ))?;
    let run = Run::begin(ground, options, format!("sink.{round}"), &table)?;
    let role = ground.role(&["sink"])?;
    run.to_the_end(Some(role), "click_id", way).await
}

async fn by_engine(
    ground: &Ground,
    options: &Options,
    round: u32,
    registry: &str,
    way: &mut Way,
) -> Result<bool> {
    let table = format!("bench.by_engine_{round}");
    create(ground, &table).await?;
    let run = Run::begin(ground, options, format!("engine.{round}"), &table)?;
    engine::start(ground, &table, TOPIC, registry).await?;
    let held = run.to_the_end(None, "click_id", way).await?;
    engine::stop(ground, &table).await?;
    Ok(held)
}

/// The pipeline's own table: 33 columns, partitions by month, roll-ups fed by every insert.
async fn production(ground: &Ground, options: &Options) -> Result<bool> {
    let encoder = ground.encoder::<Click>(Topic::Clicks).await?;
    let bulk = Bulk::new(&ground.kafka, 20)?;
    let topic = ground.kafka.topic(Topic::Clicks);
    for i in 0..options.rows {
        let click = Row::new(options.seed, i, FIRST).click();
        bulk.send(&topic, click.id.as_bytes(), &encoder.encode(&click)?, click.at)?;
    }
    bulk.finish()?;
    ground.write_settings("")?;
    let run = Run::begin(ground, options, "production".to_owned(), "tributary.clicks")?;
    let role = ground.role(&["sink"])?;
    let held = run.to_the_end(Some(role), "id", &mut Way::default()).await?;
    let rolled = ground
        .count("SELECT sum(clicks + duplicates + bots) FROM tributary.clicks_hourly")
        .await?;
    Ok(held & check("production.roll_ups", rolled == options.rows))
}
