//! The processing stages with the counting core, as a process that tests can kill.
//!
//! Usage: `processors-under-test CONFIG.json STAGE,STAGE [engine]`. It stops cleanly when its standard input closes.

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::{Context, Result};
use tributary_domain::engine::Engine;
use tributary_processors::runtime::health::Health;
use tributary_processors::{ProcessConfig, StageName, run_with};
use tributary_tests::counting::CountingCore;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter("info,librdkafka=error")
        .init();
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("configuration file")?;
    let stages = arguments.next().context("stages")?;
    let config: ProcessConfig = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let stages: BTreeSet<StageName> = stages
        .split(',')
        .map(|stage| stage.parse().map_err(anyhow::Error::msg))
        .collect::<Result<_>>()?;
    let (closed, shutdown) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        drop(closed);
    });
    let shutdown = async {
        shutdown.await.ok();
    };
    if arguments.next().as_deref() == Some("engine") {
        return run_with::<Engine>(config, stages, shutdown, Health::default()).await;
    }
    run_with::<CountingCore>(config, stages, shutdown, Health::default()).await
}
