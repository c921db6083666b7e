//! ClickHouse as an HTTP server on loopback, out of the library of `fetch`.
//!
//! The library is loaded by a process of its own; which program does that is up to the caller
//! ([`crate::Options::clickhouse_runner`]): `tributary` re-executes itself, tests use `tributary-clickhouse-loader`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::data_dir::DataDir;
use crate::process::Plan;
use crate::tools;

const LOADER: &str = "tributary-clickhouse-loader";

/// Starts the HTTP server and then keeps the command line busy: the server lives as long as this query.
const SERVE: &str = "SYSTEM START LISTEN HTTP; \
    SELECT count() FROM numbers(100000000) WHERE sleepEachRow(1) = 0 \
    SETTINGS function_sleep_max_microseconds_per_block = 100000000000000, max_block_size = 1 FORMAT Null";

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

pub(crate) fn plan(library: &Path, runner: &[String], data: &DataDir, port: u16) -> Result<Plan> {
    let dir = data.path("clickhouse");
    fs::create_dir_all(dir.join("data"))?;
    let config = dir.join("config.xml");
    fs::write(&config, configuration(port, &dir))?;
    ensure!(!runner.is_empty(), "no program is given that runs ClickHouse");
    let mut command = runner.to_vec();
    command.extend([
        library.display().to_string(),
        format!("--config-file={}", config.display()),
        format!("--path={}", dir.join("data").display()),
        // The level in the configuration is ignored here: without this every query leaves a page of traces.
        "--log-level=warning".to_owned(),
        format!("--query={SERVE}"),
    ]);
    let probe = format!("{}/?query=SELECT%201", url(port));
    let client = reqwest::Client::new();
    let ready = Box::new(
        move || -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>> {
            let request = client.get(&probe);
            Box::pin(async move {
                let answer = request.send().await?.error_for_status()?.text().await?;
                ensure!(answer.trim() == "1", "ClickHouse answers {answer:?} to SELECT 1");
                Ok(())
            })
        },
    );
    Ok(Plan {
        name: "clickhouse".to_owned(),
        command,
        dir,
        ready,
        ready_within: Duration::from_secs(120),
    })
}

/// The pools are the server's own defaults: the command line entry would set them to next to nothing, and merges
/// and Kafka engine tables would starve.
fn configuration(port: u16, dir: &Path) -> String {
    format!(
        "<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <path>{data}/</path>
  <timezone>UTC</timezone>
  <logger><level>warning</level><console>1</console></logger>
  <max_server_memory_usage>4294967296</max_server_memory_usage>
  <mark_cache_size>268435456</mark_cache_size>
  <background_pool_size>16</background_pool_size>
  <background_schedule_pool_size>64</background_schedule_pool_size>
  <background_message_broker_schedule_pool_size>16</background_message_broker_schedule_pool_size>
  <background_common_pool_size>8</background_common_pool_size>
  <background_buffer_flush_schedule_pool_size>4</background_buffer_flush_schedule_pool_size>
  <background_distributed_schedule_pool_size>4</background_distributed_schedule_pool_size>
</clickhouse>
",
        data = dir.join("data").display()
    )
}

/// The loader beside the running program (or one directory up, for test programs in `deps/`); under `cargo test` it
/// is built where it is missing.
///
/// # Errors
/// When it is not there and cannot be built.
pub fn default_clickhouse_runner() -> Result<Vec<String>> {
    let program = std::env::current_exe().context("the running program has no path")?;
    if let Some(loader) = beside(&program) {
        return Ok(vec![loader.display().to_string()]);
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "-p", LOADER]);
        tools::run(&mut build, Path::new(env!("CARGO_MANIFEST_DIR")))?;
        if let Some(loader) = beside(&program) {
            return Ok(vec![loader.display().to_string()]);
        }
    }
    bail!(
        "{LOADER} is not beside {}: build it with cargo build --release -p {LOADER}",
        program.display()
    )
}

fn beside(program: &Path) -> Option<PathBuf> {
    program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(LOADER))
        .find(|path| path.is_file())
}
