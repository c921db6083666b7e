//! One server as a child process: started, watched, crashed on purpose, stopped.
//!
//! It does not know what the server is; `Plan` carries the command line and how to tell that it is ready.
//!
//! Invariant: the child dies with us. `setpriv --pdeathsig KILL` asks the kernel for that, and the kernel looks at
//! the *thread* that forked, so every child is forked by one thread that lives as long as the process does.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;

const STOP_PATIENCE: Duration = Duration::from_secs(15);
const READY_ANSWER: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

pub(crate) type ReadyCheck = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// How to start a server, again and again the same way.
pub(crate) struct Plan {
    pub name: String,
    pub command: Vec<String>,
    pub dir: PathBuf,
    pub ready: ReadyCheck,
    pub ready_within: Duration,
}

/// A process as the kernel knows it: a pid is reused, a pid with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: u32,
    pub started: u64,
}

/// A running (or crashed, or stopped) server.
pub struct Server {
    plan: Plan,
    data: Arc<DataDir>,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts the process; it is not ready before [`Self::wait_ready`] says so.
    pub(crate) fn spawn(plan: Plan, data: Arc<DataDir>) -> Result<Self> {
        let server = Self {
            plan,
            data,
            child: Mutex::new(None),
        };
        server.launch()?;
        Ok(server)
    }

    /// `kafka-1`, `registry`, `clickhouse`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The process's ID, or `None` after it ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let mut child = self.child();
        match child.as_mut().map(|running| (running.id(), running.try_wait())) {
            Some((pid, Ok(None))) => Some(pid),
            _ => None,
        }
    }

    /// Ends the process as a crash would (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill9(&self) -> Result<()> {
        self.signal("KILL")?;
        self.wait_gone(STOP_PATIENCE).await
    }

    /// Freezes the process (SIGSTOP): it keeps its sockets and answers nothing.
    ///
    /// # Errors
    /// When it is not running.
    pub fn sigstop(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen process go on (SIGCONT).
    ///
    /// # Errors
    /// When it is not running.
    pub fn sigcont(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Stops the process cleanly (SIGTERM; SIGKILL if it does not end in time). Safe to call twice.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn stop(&self) -> Result<()> {
        self.request_stop();
        if self.wait_gone(STOP_PATIENCE).await.is_err() {
            self.kill9().await?;
        }
        Ok(())
    }

    /// Starts the server again on the same port and data, stopping it first where it still runs, and waits until ready.
    ///
    /// # Errors
    /// When it does not come back; the message holds the end of its log.
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.launch()?;
        self.wait_ready().await
    }

    /// Asks for a clean end without waiting for it.
    pub(crate) fn request_stop(&self) {
        // A stopped process would never see SIGTERM; both fail harmlessly when it is gone.
        self.signal("CONT").ok();
        self.signal("TERM").ok();
    }

    /// Waits for the end, then ends it the hard way. For `Drop`, where nothing can be awaited.
    pub(crate) fn finish_stop(&self, deadline: Instant) {
        while self.pid().is_some() {
            if Instant::now() >= deadline {
                if let Some(running) = self.child().as_mut() {
                    running.kill().ok();
                    running.wait().ok();
                }
                return;
            }
            std::thread::sleep(POLL);
        }
    }

    fn launch(&self) -> Result<()> {
        let log = self.data.log(&self.plan.name);
        let child = spawn(self.command(&log)?).with_context(|| format!("cannot start {}", self.plan.name))?;
        let identity = identity_of(child.id());
        *self.child() = Some(child);
        if let Some(identity) = identity {
            self.data.started(&self.plan.name, identity)?;
        }
        Ok(())
    }

    /// Returns when the server answers.
    pub(crate) async fn wait_ready(&self) -> Result<()> {
        let Plan {
            name,
            ready,
            ready_within,
            ..
        } = &self.plan;
        let end = Instant::now() + *ready_within;
        loop {
            let checked = tokio::time::timeout(READY_ANSWER, ready()).await;
            let running = self.pid().is_some();
            let error = match checked {
                Ok(Ok(())) if running => return Ok(()),
                Ok(Ok(())) => anyhow!("another program answers on its port"),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("no answer within {READY_ANSWER:?}"),
            };
            let tail = || log_tail(&self.data.log(name));
            if !running {
                bail!("{name} ended while starting; {}", tail());
            }
            if Instant::now() >= end {
                bail!(
                    "{name} is not ready after {ready_within:?} ({error:#}); {}",
                    tail()
                );
            }
            tokio::time::sleep(POLL * 2).await;
        }
    }

    fn command(&self, log: &Path) -> Result<Command> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.plan.command)
            .current_dir(&self.plan.dir)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C goes to the terminal's whole group; the servers stop after their clients, not with them.
            .process_group(0);
        Ok(command)
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let Some(pid) = self.pid() else {
            bail!("{} is not running", self.plan.name)
        };
        send_signal(pid, signal)
    }

    async fn wait_gone(&self, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        while self.pid().is_some() {
            if Instant::now() >= end {
                bail!("{} still runs after {patience:?}", self.plan.name);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.request_stop();
        self.finish_stop(Instant::now() + STOP_PATIENCE);
    }
}

/// Kills a process of an earlier, dead owner; false when it is long gone.
pub(crate) fn end_leftover(identity: Identity) -> Result<bool> {
    if identity_of(identity.pid) != Some(identity) {
        return Ok(false);
    }
    send_signal(identity.pid, "KILL")?;
    let end = Instant::now() + STOP_PATIENCE;
    while identity_of(identity.pid) == Some(identity) {
        if Instant::now() >= end {
            bail!("process {} of an earlier run cannot be ended", identity.pid);
        }
        std::thread::sleep(POLL);
    }
    Ok(true)
}

/// `None` for a process that is gone, or dead and not yet collected.
pub(crate) fn identity_of(pid: u32) -> Option<Identity> {
    let (state, started) = state_of(pid)?;
    (state != 'Z' && state != 'X').then_some(Identity { pid, started })
}

/// Whether a process is frozen (SIGSTOP).
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    state_of(pid).is_some_and(|(state, _)| state == 'T')
}

fn state_of(pid: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after the last one are plain.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The shell's own `kill`: always there, and no unsafe code of ours.
fn send_signal(pid: u32, signal: &str) -> Result<()> {
    let script = format!("kill -{signal} {pid}");
    let status = Command::new("/bin/sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("cannot send SIG{signal} to process {pid}");
    }
    Ok(())
}

fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts servers is gone");
    let jobs = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            while let Ok((mut command, reply)) = receiver.recv() {
                reply.send(command.spawn()).ok();
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    jobs.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn log_tail(log: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().rev().take(LINES).collect();
    lines.reverse();
    format!("the end of {}:\n{}", log.display(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(command: &[&str]) -> Plan {
        Plan {
            name: "sleeper".to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            dir: std::env::temp_dir(),
            ready: Box::new(|| Box::pin(async { Ok(()) })),
            ready_within: Duration::from_secs(5),
        }
    }

    fn data(root: &tempfile::TempDir) -> Arc<DataDir> {
        Arc::new(DataDir::open(root.path()).unwrap())
    }

    #[tokio::test]
    async fn killed_restarted_stopped_and_dropped() {
        let root = tempfile::tempdir().unwrap();
        let server = Server::spawn(plan(&["sleep", "600"]), data(&root)).unwrap();
        server.wait_ready().await.unwrap();
        let first = server.pid().unwrap();
        server.kill9().await.unwrap();
        assert_eq!(server.pid(), None);
        server.restart().await.unwrap();
        let second = server.pid().unwrap();
        assert_ne!(first, second);
        assert!(!is_stopped(second));
        server.sigstop().unwrap();
        while !is_stopped(second) {
            tokio::time::sleep(POLL).await;
        }
        server.sigcont().unwrap();
        server.stop().await.unwrap();
        assert_eq!(identity_of(second), None);
        server.restart().await.unwrap();
        let third = server.pid().unwrap();
        drop(server);
        assert_eq!(identity_of(third), None);
    }

    #[tokio::test]
    async fn a_server_that_dies_at_once_is_reported_with_its_log() {
        let root = tempfile::tempdir().unwrap();
        let mut plan = plan(&["sh", "-c", "echo the reason; exit 3"]);
        plan.ready = Box::new(|| Box::pin(async { bail!("never") }));
        let server = Server::spawn(plan, data(&root)).unwrap();
        let error = server.wait_ready().await.unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[tokio::test]
    async fn what_a_dead_owner_left_is_ended() {
        let mut left = Command::new("sleep").arg("600").spawn().unwrap();
        let identity = identity_of(left.id()).unwrap();
        assert!(
            !end_leftover(Identity {
                started: identity.started + 1,
                ..identity
            })
            .unwrap()
        );
        assert!(end_leftover(identity).unwrap());
        left.wait().unwrap();
    }
}
