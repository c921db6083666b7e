//! A process that is measured: the shipped binary in one role, or a floor.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::proc;

const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A program that lies beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(
        path.is_file(),
        "{} is not built: cargo build --release --workspace --bins",
        path.display()
    );
    Ok(path)
}

/// A running process. It ends when it is dropped, and when this process ends.
pub struct Role {
    name: String,
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Role {
    /// Starts a program; what it prints goes to `log`.
    pub fn start(name: &str, program: &Path, arguments: &[String], log: PathBuf) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        // Forked by the main thread, which lives as long as the process: see testkit's `process`.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            started: Instant::now(),
        })
    }

    /// Process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        proc::cpu(self.pid())
    }

    /// Peak memory so far, MiB.
    pub fn peak_rss(&self) -> f64 {
        proc::peak_rss(self.pid())
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(8)..)
                .unwrap_or_default()
                .join("\n");
            bail!("{} ended ({status}):\n{tail}", self.name);
        }
        Ok(())
    }

    /// Waits until an address answers 200.
    pub async fn answers(&mut self, url: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(180);
        loop {
            self.alive()?;
            match reqwest::get(url).await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if Instant::now() > end => bail!("{} does not answer at {url}", self.name),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// SIGKILL, as a crash would.
    pub fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.pid().to_string()).status()?;
        let end = Instant::now() + STOP_PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < end, "{} does not stop", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
