//! The one binary: every role, and the commands around them.
//!
//! It is wiring only: it reads settings, starts what they ask for, and prints. Exit codes: 0 done,
//! 1 failed, 2 wrong usage.

mod caught_up;
mod cli;
mod commands;
mod dev;
mod output;
mod roles;
mod schemas;
mod settings;
mod telemetry;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `dev` starts the program again under this name to be ClickHouse.
const RUN_CLICKHOUSE: &str = "run-clickhouse";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == RUN_CLICKHOUSE) {
        let library = arguments.next().unwrap_or_default();
        let rest: Vec<_> = arguments.collect();
        std::process::exit(tributary_testkit::clickhouse_server_main(
            Path::new(&library),
            &rest,
        ));
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(commands::run(cli)) {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    };
    // A thread that hangs in a client library must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}
