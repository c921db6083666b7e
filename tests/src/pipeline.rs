//! The whole pipeline as users run it: real servers, and every role a process of the built binary.
//!
//! ```text
//!   Traffic ─► send ─► ingest ─► Kafka ─► process (normalize | join | attribute) ─► Kafka ─► sink ─► ClickHouse
//!                         each of them may be killed, frozen, and comes back
//! ```
//! It has servers of its own, because they get killed. It judges nothing; `ledger` compares.
//!
//! Invariant: nothing that it started outlives it, and what failed leaves its logs.

pub mod kafka;
pub mod proof;
pub mod role;
pub mod send;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tributary_testkit::{Options, Servers, eventually, free_port, unique};

use crate::ledger::ClickHouse;
use crate::traffic::{MAIL_KEY, Traffic};
use role::{Role, Spec};

/// Stripe's webhook secret of every workspace.
pub const STRIPE_SECRET: &str = "whsec_pipeline";
/// Partitions of every topic.
pub const PARTITIONS: i32 = 4;
const READY: Duration = Duration::from_secs(60);

/// See the module.
pub struct Pipeline {
    /// Kafka, registry, ClickHouse.
    pub servers: Servers,
    /// Address of the edge.
    pub edge: String,
    // Dropped after the servers.
    scratch: Scratch,
}

/// A directory that is removed only after success.
struct Scratch {
    dir: PathBuf,
    keep: bool,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("logs and data are kept in {}", self.dir.display());
        } else {
            std::fs::remove_dir_all(&self.dir).ok();
        }
    }
}

impl Pipeline {
    /// Servers, topics, schemas, tables, and the rules of the traffic. No role runs yet.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn start(name: &str, traffic: &Traffic) -> Result<Self> {
        let pipeline = Self::servers(name).await?;
        pipeline.run(&["init"])?;
        pipeline.apply(traffic)?;
        Ok(pipeline)
    }

    /// Declares the workspaces of the traffic.
    ///
    /// # Errors
    /// If `apply` refuses.
    pub fn apply(&self, traffic: &Traffic) -> Result<()> {
        for file in traffic.write_programs(&self.scratch.dir)? {
            self.run(&["apply", "--file", &file.to_string_lossy()])?;
        }
        traffic
            .programs
            .iter()
            .try_for_each(|program| self.secret(&program.workspace))
    }

    /// Only the servers and a settings file.
    ///
    /// # Errors
    /// If a server does not start.
    pub async fn servers(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(unique(name));
        std::fs::create_dir_all(dir.join("logs"))?;
        let servers = Servers::start(Options::new(dir.join("servers"))).await?;
        let pipeline = Self {
            edge: format!("http://127.0.0.1:{}", free_port()?),
            servers,
            scratch: Scratch { dir, keep: true },
        };
        std::fs::write(pipeline.settings_file(), pipeline.settings()?)?;
        Ok(pipeline)
    }

    fn settings(&self) -> Result<String> {
        let (kafka, registry, clickhouse) = (
            self.servers.kafka_bootstrap()?,
            self.servers.registry_url()?,
            self.servers.clickhouse_url()?,
        );
        let (dir, listen) = (
            self.scratch.dir.display(),
            self.edge.trim_start_matches("http://"),
        );
        // Short sessions: a process that dies or sleeps is given up within seconds. State goes to disk in small runs, so
        // that a restart finds some, and not all of it; and a transaction often runs out of its time. Days are closed by
        // hand, so that facts can be counted.
        Ok(format!(
            "[kafka]\nbootstrap = \"{kafka}\"\nsession_timeout_ms = 3000\n\
             [kafka.properties]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n\
             [topics]\nfacts_partitions = {PARTITIONS}\nclicks_partitions = {PARTITIONS}\ninput_partitions = {PARTITIONS}\n\
             [registry]\nurl = \"{registry}\"\n\
             [clickhouse]\nurl = \"{clickhouse}\"\n\
             [ingest]\nlisten = \"{listen}\"\nspool_dir = \"{dir}/spool\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
             [ingest.limits]\nper_key = 0\n\
             [join]\nwrite_ms = 500\n\
             [attribute]\nfacts_per_transaction = 200\ncases_per_transaction = 25\ncompute_ms = 5\nflush_bytes = 200000\n\
             [sink]\nclose_days = false\n\
             [state]\ndir = \"{dir}/state\"\n\
             [secrets]\ndir = \"{dir}/secrets\"\nmail_key = \"{MAIL_KEY}\"\n"
        ))
    }

    fn settings_file(&self) -> PathBuf {
        self.scratch.dir.join("tributary.toml")
    }

    /// Where everything lies.
    pub fn dir(&self) -> &Path {
        &self.scratch.dir
    }

    /// Gives a workspace its webhook secret.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn secret(&self, workspace: &str) -> Result<()> {
        let dir = self.scratch.dir.join("secrets").join(workspace);
        std::fs::create_dir_all(&dir)?;
        Ok(std::fs::write(dir.join("stripe"), STRIPE_SECRET)?)
    }

    /// The command line of the binary, with the settings.
    ///
    /// # Errors
    /// If the binary is not built.
    pub fn command(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let mut words = vec![program()?.to_string_lossy().into_owned(), "--config".to_owned()];
        words.push(self.settings_file().to_string_lossy().into_owned());
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        Ok(words)
    }

    /// Runs a command that ends; gives its standard output.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, &[])
    }

    /// As [`Self::run`], with environment variables.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
        let words = self.command(arguments)?;
        let (first, rest) = words.split_first().context("no program")?;
        let output = Command::new(first)
            .args(rest)
            .envs(environment.iter().copied())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "tributary {arguments:?}: {}\n{text}{said}",
            output.status
        );
        Ok(text)
    }

    /// Starts a role that comes back whenever it dies: `name` names logs and state, `points` kill it, one life each.
    ///
    /// # Errors
    /// If the binary is not built.
    pub fn role(&self, name: &str, arguments: &[&str], points: &[String]) -> Result<Role> {
        let state = self
            .scratch
            .dir
            .join("state")
            .join(name)
            .to_string_lossy()
            .into_owned();
        Role::start(Spec {
            name: name.to_owned(),
            command: self.command(arguments)?,
            environment: BTreeMap::from([
                ("TRIBUTARY_STATE__DIR".to_owned(), state),
                ("TRIBUTARY_LOG".to_owned(), "info,librdkafka=error".to_owned()),
            ]),
            logs: self.scratch.dir.join("logs"),
            points: points.to_vec(),
        })
    }

    /// The edge, answering.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn ingest(&self) -> Result<Role> {
        let role = self.role("ingest", &["ingest"], &[])?;
        self.edge_ready().await?;
        Ok(role)
    }

    /// Waits for the edge.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn edge_ready(&self) -> Result<()> {
        eventually("the edge", READY, || async {
            let answer = reqwest::get(format!("{}/readyz", self.edge)).await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            Ok(())
        })
        .await
    }

    /// ClickHouse, to be asked.
    ///
    /// # Errors
    /// If it does not run.
    pub fn clickhouse(&self) -> Result<ClickHouse> {
        Ok(ClickHouse::new(&self.servers.clickhouse_url()?, "tributary"))
    }

    /// Stops the servers and removes all files.
    ///
    /// # Errors
    /// If a role did not end of its own accord when it was asked to.
    pub async fn finish(mut self, roles: Vec<Role>) -> Result<()> {
        for role in roles {
            role.stop()?;
        }
        self.scratch.keep = false;
        Ok(())
    }

    /// Kills the roles, stops the servers and removes all files: for tests whose roles may end by themselves.
    pub fn discard(mut self, roles: Vec<Role>) {
        drop(roles);
        self.scratch.keep = false;
    }
}

/// The built binary.
///
/// # Errors
/// If it is not built.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TRIBUTARY_BIN") {
        return Ok(path.into());
    }
    // target/release/deps/<test>, or target/release/<binary>.
    let own = std::env::current_exe()?;
    for dir in own.ancestors().skip(1).take(2) {
        let path = dir.join("tributary");
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("the binary is not built: cargo build --release -p tributary, or set TRIBUTARY_BIN")
}
