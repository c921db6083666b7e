//! `tributary-servers [--data DIR] [--port-base N] [--only LIST] [--brokers N] [-- COMMAND...]`
//!
//! Starts the local servers. With a command: runs it with their addresses in `TRIBUTARY_TEST_SERVERS`, stops the
//! servers and ends with the command's exit code. Without: prints the addresses as JSON and stays until Ctrl-C.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tributary_testkit::{Endpoints, Kind, Options, Servers, TEST_SERVERS_ENV, clickhouse_server_main};

const USAGE: &str =
    "usage: tributary-servers [--data DIR] [--port-base N] [--only kafka,registry,clickhouse] \
    [--brokers N] [-- COMMAND...]
  With COMMAND: run it with the addresses in TRIBUTARY_TEST_SERVERS (JSON), then stop the servers.
  Without: print the addresses as JSON and stay until Ctrl-C.
  DIR: default .data/servers; kept and used again at the next start.";

/// The program starts itself again under this name to be ClickHouse.
const RUN_CLICKHOUSE: &str = "run-clickhouse";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == RUN_CLICKHOUSE) {
        let library = arguments.next().unwrap_or_default();
        let code = clickhouse_server_main(Path::new(&library), &arguments.collect::<Vec<_>>());
        std::process::exit(code);
    }
    serve()
}

#[tokio::main(flavor = "current_thread")]
async fn serve() -> ExitCode {
    let (options, command) = match arguments(std::env::args().skip(1).collect()) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => {
            writeln!(std::io::stdout(), "{USAGE}").ok();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options, command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options, command: Vec<String>) -> Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let servers = tokio::select! {
        started = Servers::start(options) => started?,
        _ = interrupt.recv() => return Ok(130),
        _ = terminate.recv() => return Ok(143),
    };
    let Some((program, arguments)) = command.split_first() else {
        writeln!(std::io::stdout(), "{}", addresses(&servers)?)?;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        servers.stop().await?;
        return Ok(0);
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env(
            TEST_SERVERS_ENV,
            serde_json::to_string(&Endpoints::of(&servers)?)?,
        )
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let status = tokio::select! {
        status = child.wait() => status?,
        // The terminal sent Ctrl-C to the command too; only a SIGTERM has to be passed on.
        _ = interrupt.recv() => child.wait().await?,
        _ = terminate.recv() => { child.start_kill()?; child.wait().await? }
    };
    servers.stop().await?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

fn addresses(servers: &Servers) -> Result<String> {
    let value = serde_json::json!({
        "kafka_bootstrap": servers.kafka_bootstrap().ok(),
        "registry_url": servers.registry_url().ok(),
        "clickhouse_url": servers.clickhouse_url().ok(),
    });
    Ok(serde_json::to_string(&value)?)
}

fn arguments(args: Vec<String>) -> Result<Option<(Options, Vec<String>)>> {
    let mut options = Options::new(".data/servers");
    options.clickhouse_runner = vec![
        std::env::current_exe()?.display().to_string(),
        RUN_CLICKHOUSE.to_owned(),
    ];
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--help" | "-h" => return Ok(None),
            "--data" => options.data = value()?.into(),
            "--port-base" => options.port_base = Some(value()?.parse().context("--port-base takes a port")?),
            "--only" => options.only = Kind::parse_list(&value()?)?,
            "--brokers" => options.kafka_brokers = value()?.parse().context("--brokers takes a number")?,
            "--" => break,
            other => bail!("unknown argument {other:?}"),
        }
    }
    Ok(Some((options, args.collect())))
}
