//! `analytics`: a year of clicks and conversions in ClickHouse, made by ClickHouse itself, and how fast the dashboard
//! answers over them; the same question asked of the rows in the same run.

mod asked;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tributary_testkit::{Kind, free_port};

use crate::figures::{check, decimal, figure, note};
use crate::ground::Ground;
use crate::{Common, proc};
use asked::Asked;

/// Statements that make the rows, see the file.
const ROWS: &str = include_str!("analytics.sql");
/// The workspace that has half of them.
pub const WORKSPACE: &str = "acme";
const DAY: i64 = 86_400_000;

/// Options of `analytics`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Clicks in a year; a twentieth of them are conversions.
    #[arg(long, default_value_t = 100_000_000)]
    clicks: u64,
    /// Clicks that one statement makes.
    #[arg(long, default_value_t = 2_000_000)]
    part: u64,
    /// How often each question is asked, with other values each time.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Ask the rows that an earlier run made (`--keep`, with as many clicks) instead of new ones.
    #[arg(long, value_name = "DIR")]
    again: Option<PathBuf>,
}

/// Runs the benchmark.
pub async fn run(common: &Common, options: &Options) -> Result<bool> {
    let port = free_port()?;
    let settings = format!("[dashboard]\nlisten = \"127.0.0.1:{port}\"\n");
    let ground = match &options.again {
        None => Ground::start(common, "analytics", &Kind::ALL, 4, &settings).await?,
        Some(dir) => Ground::start_in(dir, &Kind::ALL, 4, &settings, true).await?,
    };
    ground.command(&["init"]).await?;
    let end = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? / DAY * DAY;
    if options.again.is_none() {
        fill(&ground, options, end).await?;
    } else {
        // Until the servers have started up altogether.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let mut held = whole(&ground, options).await?;
    sizes(&ground).await?;
    let mut role = ground.role(&["dashboard"])?;
    let url = format!("http://127.0.0.1:{port}");
    role.answers(&format!("{url}/readyz")).await?;
    let asked = Asked {
        ground: &ground,
        url,
        end,
        rounds: options.rounds,
    };
    held &= asked.all().await?;
    role.alive()?;
    decimal("dashboard_peak_rss", role.peak_rss(), 0, "MiB");
    decimal(
        "clickhouse_peak_rss",
        proc::peak_rss(ground.clickhouse()?),
        0,
        "MiB",
    );
    role.stop().await?;
    ground.stop().await?;
    Ok(held)
}

/// Makes the rows part by part and waits until ClickHouse has put the parts together.
async fn fill(ground: &Ground, options: &Options, end: i64) -> Result<()> {
    let begin = Instant::now();
    let mut first = 0;
    while first < options.clicks {
        let count = options.part.min(options.clicks - first);
        for statement in ROWS.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            let statement = statement
                .replace("{anchor}", &format!("toInt64({end})"))
                .replace("{first}", &first.to_string())
                .replace("{count}", &count.to_string())
                .replace("{all}", &options.clicks.to_string());
            let in_database = statement
                .replace("INSERT INTO ", "INSERT INTO tributary.")
                .replace("FROM conversions ", "FROM tributary.conversions ");
            ground.sql(&in_database).await.context("make rows")?;
        }
        first += count;
        note(&format!(
            "{first} of {} clicks after {:.0} s",
            options.clicks,
            begin.elapsed().as_secs_f64()
        ));
    }
    decimal(
        "fill.rate",
        options.clicks as f64 / begin.elapsed().as_secs_f64(),
        0,
        "clicks/s",
    );
    while ground.count("SELECT count() FROM system.merges").await? > 0 {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    merge_past_months(ground).await?;
    decimal("fill.merged_after", begin.elapsed().as_secs_f64(), 0, "s");
    Ok(())
}

/// What ClickHouse does by itself four hours after the last row of a month (migration 0012).
async fn merge_past_months(ground: &Ground) -> Result<()> {
    let partitions = ground
        .sql(
            "SELECT table, partition_id FROM system.parts
             WHERE active AND database = 'tributary' AND partition_id < toString(toYYYYMM(now('UTC')))
             AND table IN ('clicks', 'conversions', 'refunds', 'commissions')
             GROUP BY table, partition_id HAVING count() > 1 ORDER BY table, partition_id FORMAT TSV",
        )
        .await?;
    for line in partitions.lines() {
        let (table, month) = line.split_once('\t').context("a table and its partition")?;
        ground
            .sql(&format!(
                "OPTIMIZE TABLE tributary.{table} PARTITION ID '{month}' FINAL"
            ))
            .await?;
        note(&format!("merged {month} of {table}"));
    }
    Ok(())
}

/// Every click is there, and the roll-ups have each once.
async fn whole(ground: &Ground, options: &Options) -> Result<bool> {
    let clicks = ground
        .count("SELECT count() FROM tributary.clicks SETTINGS optimize_use_projections = 0, optimize_trivial_count_query = 0")
        .await?;
    let mut held = check("fill.clicks", clicks == options.clicks);
    for view in ["clicks_hourly", "clicks_daily"] {
        let rolled = ground
            .count(&format!(
                "SELECT sum(clicks + duplicates + bots) FROM tributary.{view}"
            ))
            .await?;
        held &= check(&format!("fill.{view}"), rolled == options.clicks);
    }
    for table in ["conversions", "commissions", "refunds"] {
        figure(
            &format!("fill.{table}"),
            ground
                .count(&format!("SELECT count() FROM tributary.{table}"))
                .await?,
            "rows",
        );
    }
    Ok(held)
}

/// Bytes a click, with the roll-ups, and what each column takes of them.
async fn sizes(ground: &Ground) -> Result<()> {
    let about = "active AND database = 'tributary' AND table = 'clicks'";
    let size = ground
        .sql(&format!(
            "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE {about}"
        ))
        .await?;
    decimal("bytes_per_click", size.parse()?, 1, "bytes");
    let shares = ground
        .sql(&format!(
            "SELECT concat('by_column.', column), round(sum(column_bytes_on_disk) / sum(rows), 2) AS bytes, 'bytes'
             FROM system.parts_columns WHERE {about} GROUP BY column ORDER BY bytes DESC FORMAT TSV"
        ))
        .await?;
    let projections = ground
        .sql(&format!(
            "SELECT concat('by_projection.', name), round(sum(bytes_on_disk) / sum(parent_rows), 2), 'bytes'
             FROM system.projection_parts WHERE {about} GROUP BY name FORMAT TSV"
        ))
        .await?;
    for line in shares.lines().chain(projections.lines()) {
        if let [name, value, unit] = line.split('\t').collect::<Vec<_>>()[..] {
            figure(name, value, unit);
        }
    }
    figure(
        "disk",
        proc::size_on_disk(Path::new(&ground.path("servers/clickhouse")), "") as u64,
        "MiB",
    );
    Ok(())
}
