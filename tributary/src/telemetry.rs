//! Logs and metrics of the process.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Logs: for people on a terminal, JSON otherwise.
pub fn logs(filter: Option<&str>, default: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(default)).context("--log")?;
    let terminal = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if terminal {
        subscriber.init()
    } else {
        subscriber.json().init()
    }
    Ok(())
}

/// The process's metrics. Made once.
pub fn metrics() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
