//! `dev`: servers and every role in one process, data kept, Ctrl-C stops all.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result};
use tributary_processors::{Secret, StageName};
use tributary_testkit::{Kind, Options, Servers};

use crate::cli::Dev;
use crate::roles::{self, Shutdown};
use crate::settings::Settings;
use crate::{RUN_CLICKHOUSE, commands, output, telemetry};

/// Partitions on one machine: more would only cost memory.
const PARTITIONS: i32 = 4;

/// Runs until Ctrl-C.
pub async fn run(mut settings: Settings, flags: Dev) -> Result<()> {
    let (stop, shutdown) = Shutdown::on_signals()?;
    let only = flags.only.as_deref().map(Kind::parse_list).transpose()?;
    let mut options = Options::new(flags.data.join("servers"));
    options.port_base = flags.port_base;
    if let Some(only) = &only {
        options.only.clone_from(only);
    }
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    options.clickhouse_runner = vec![program, RUN_CLICKHOUSE.to_owned()];
    let servers = tokio::select! {
        servers = Servers::start(options) => servers?,
        () = shutdown.wait() => return Ok(()),
    };
    if only.is_some() {
        for (name, address) in [
            ("kafka", servers.kafka_bootstrap()),
            ("registry", servers.registry_url()),
            ("clickhouse", servers.clickhouse_url()),
        ] {
            if let Ok(address) = address {
                output::line(&format!("{name:<11}{address}"));
            }
        }
        shutdown.wait().await;
        return servers.stop().await;
    }
    adapt(&mut settings, &servers, &flags)?;
    write_file(&settings, &flags.data)?;
    commands::prepare(&settings, flags.file.as_deref()).await?;
    let result = roles(&settings, &shutdown).await;
    stop.send_replace(true);
    servers.stop().await?;
    result
}

/// Settings for this machine: the servers' addresses, data below `--data`, a mail key of its own.
fn adapt(settings: &mut Settings, servers: &Servers, flags: &Dev) -> Result<()> {
    settings.kafka.bootstrap = servers.kafka_bootstrap()?;
    settings.registry.url = servers.registry_url()?;
    settings.clickhouse.url = servers.clickhouse_url()?;
    settings.topics.facts_partitions = PARTITIONS;
    settings.topics.clicks_partitions = PARTITIONS;
    settings.topics.input_partitions = PARTITIONS;
    settings.state.dir = flags.data.join("state");
    settings.secrets.dir = flags.data.join("secrets");
    settings.ingest.spool_dir = flags.data.join("spool");
    if let Some(base) = flags.port_base {
        settings.ingest.listen.set_port(base + 10);
        settings.dashboard.listen.set_port(base + 11);
    }
    std::fs::create_dir_all(&settings.secrets.dir)?;
    let key_file = settings.secrets.dir.join("mail_key");
    if !key_file.is_file() {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).map_err(|e| anyhow::anyhow!("random bytes: {e}"))?;
        std::fs::write(&key_file, hex::encode(key))
            .with_context(|| format!("write {}", key_file.display()))?;
    }
    settings.secrets.mail_key = Secret::default();
    // Whoever reaches the loopback address is this machine's user: it may name visitors, and send as fast as it likes.
    settings.ingest.trusted_proxies = vec![
        IpAddr::from(Ipv4Addr::LOCALHOST).into(),
        IpAddr::from(Ipv6Addr::LOCALHOST).into(),
    ];
    settings.ingest.limits.per_key = 0;
    Ok(())
}

/// Leaves the settings where the other commands find them: `tributary --config DATA/tributary.toml verify`.
fn write_file(settings: &Settings, data: &Path) -> Result<()> {
    let file = data.join("tributary.toml");
    let text = toml::to_string_pretty(settings)?;
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))
}

async fn roles(settings: &Settings, shutdown: &Shutdown) -> Result<()> {
    let metrics = telemetry::metrics()?;
    let stages: BTreeSet<StageName> = StageName::ALL.into_iter().collect();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(roles::ingest(settings.clone(), metrics.clone(), shutdown.clone()));
    tasks.spawn(roles::process(settings.clone(), stages, shutdown.clone()));
    tasks.spawn(roles::sink(settings.clone(), shutdown.clone()));
    tasks.spawn(roles::webhooks(settings.clone(), shutdown.clone()));
    tasks.spawn(roles::dashboard(settings.clone(), metrics, shutdown.clone()));
    output::line(&format!("edge        http://{}", settings.ingest.listen));
    output::line(&format!("dashboard   http://{}", settings.dashboard.listen));
    output::line(&format!("kafka       {}", settings.kafka.bootstrap));
    output::line(&format!("clickhouse  {}", settings.clickhouse.url));
    output::line(&format!(
        "settings    {}",
        settings.state.dir.with_file_name("tributary.toml").display()
    ));
    output::line("ready; Ctrl-C stops all");
    while let Some(ended) = tasks.join_next().await {
        ended.context("a role panicked")??;
    }
    Ok(())
}
