//! One set of servers for all tests that crash none of them.
//!
//! `scripts/test` starts it once for the whole run (`tributary-servers -- cargo test …`) and hands its addresses down
//! in an environment variable. Without that, a test process starts its own on first use; they end with the process.
//!
//! Invariant: tests on shared servers never see each other, because each takes names from [`crate::unique`].

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::servers::{Options, Servers};

/// Holds [`Endpoints`] as JSON where servers are already running.
pub const TEST_SERVERS_ENV: &str = "TRIBUTARY_TEST_SERVERS";

/// Where the shared servers answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `127.0.0.1:PORT`.
    pub kafka_bootstrap: String,
    /// `http://127.0.0.1:PORT/apis/ccompat/v7`.
    pub registry_url: String,
    /// `http://127.0.0.1:PORT`.
    pub clickhouse_url: String,
}

impl Endpoints {
    /// The addresses of servers that were all started.
    ///
    /// # Errors
    /// When one of the three was not asked for.
    pub fn of(servers: &Servers) -> Result<Self> {
        Ok(Self {
            kafka_bootstrap: servers.kafka_bootstrap()?,
            registry_url: servers.registry_url()?,
            clickhouse_url: servers.clickhouse_url()?,
        })
    }
}

static SHARED: OnceCell<(Endpoints, Option<Servers>)> = OnceCell::const_new();

/// The shared servers of this test run, started where nobody did yet.
///
/// # Errors
/// As [`Servers::start`]; a test fails loudly then, it is never skipped.
pub async fn shared() -> Result<&'static Endpoints> {
    let (endpoints, _) = SHARED.get_or_try_init(find_or_start).await?;
    Ok(endpoints)
}

async fn find_or_start() -> Result<(Endpoints, Option<Servers>)> {
    if let Ok(json) = std::env::var(TEST_SERVERS_ENV) {
        let endpoints =
            serde_json::from_str(&json).with_context(|| format!("{TEST_SERVERS_ENV} is damaged"))?;
        return Ok((endpoints, None));
    }
    let servers = Servers::start(Options::new(own_data_dir()?)).await?;
    Ok((Endpoints::of(&servers)?, Some(servers)))
}

/// `target/test-servers/<program>-<pid>`, outside of version control. What ended test processes left there is removed.
fn own_data_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .find(|dir| dir.ends_with("release") || dir.ends_with("debug"));
    let base = target
        .and_then(|dir| dir.parent())
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let base = base.join("test-servers");
    std::fs::create_dir_all(&base)?;
    for entry in std::fs::read_dir(&base)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.rsplit_once('-').and_then(|(_, pid)| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| crate::process::identity_of(pid).is_none()) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
    let stem = program
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(base.join(format!("{stem}-{}", std::process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_survive_the_environment() {
        let endpoints = Endpoints {
            kafka_bootstrap: "127.0.0.1:1".to_owned(),
            registry_url: "http://127.0.0.1:2/apis/ccompat/v7".to_owned(),
            clickhouse_url: "http://127.0.0.1:3".to_owned(),
        };
        let json = serde_json::to_string(&endpoints).unwrap();
        assert_eq!(serde_json::from_str::<Endpoints>(&json).unwrap(), endpoints);
    }
}
