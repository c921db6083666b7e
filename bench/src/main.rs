//! Benchmarks of the shipped binary against named peers: one subcommand each, a figure a line (`name value unit`).
//!
//! ```text
//!   fresh servers (testkit) ──► fill ──► shipped `tributary` with default settings ──► judge ──► figures
//!                                        peer or floor in the same run            ──► ratios
//! ```
//! It changes nothing of what it measures: only addresses and the number of partitions are set. What is fair and
//! what is not stands in docs/benchmarks.md.
//!
//! Invariant: a rate is printed only together with the check that nothing was lost or doubled; a failed check is
//! printed as `WRONG` and fails the run.

mod analytics;
mod edge;
mod engine;
mod figures;
mod ground;
mod kafka;
mod latency;
mod peers;
mod proc;
mod random;
mod role;
mod simulate;
mod sink;
mod streams;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Benchmarks of Tributary. Figures go to standard output, one a line: name, value, unit.
#[derive(Debug, Parser)]
#[command(name = "tributary-bench", max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    which: Which,
}

/// Options of every benchmark.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Folder of a kit of peers: its run.sh is run after ours, and ratios are printed.
    #[arg(long, global = true, value_name = "DIR", env = "TRIBUTARY_PEERS")]
    pub peer: Option<std::path::PathBuf>,
    /// Where servers and roles keep their data while the benchmark runs.
    #[arg(long, global = true, value_name = "DIR", default_value = "target/bench")]
    pub data: std::path::PathBuf,
    /// Keep data and logs afterwards.
    #[arg(long, global = true)]
    pub keep: bool,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// POST /track/click against the smallest handler with the same guarantee.
    Edge(edge::Options),
    /// Clicks, claims and payments from Kafka to the committed ledger.
    Streams(streams::Options),
    /// Clicks from Kafka into ClickHouse, against ClickHouse's own Kafka engine.
    Sink(sink::Options),
    /// From an accepted click or webhook to its row in ClickHouse.
    Latency(latency::Options),
    /// The dashboard over a year of clicks: series, funnels, groupings, look-ups, and bytes a click.
    Analytics(analytics::Options),
    /// One more fact in a small and in a large case.
    Engine(engine::Options),
    /// The sample story, many customers' worth, through the pipeline in memory.
    Simulate(simulate::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            figures::note(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether every check held.
async fn run(cli: Cli) -> Result<bool> {
    figures::machine();
    let common = &cli.common;
    let held = match &cli.which {
        Which::Edge(options) => edge::run(common, options).await?,
        Which::Streams(options) => streams::run(common, options).await?,
        Which::Sink(options) => sink::run(common, options).await?,
        Which::Latency(options) => latency::run(common, options).await?,
        Which::Analytics(options) => analytics::run(common, options).await?,
        Which::Engine(options) => engine::run(options)?,
        Which::Simulate(options) => simulate::run(options)?,
    };
    figures::figure("load_after", proc::load(), "-");
    Ok(held)
}
