//! A role of the pipeline as a process that is started again whenever it dies, as a service manager does.
//!
//! Lives that are armed with a crash point come first, one point each; then it runs unarmed.
//!
//! Invariant: every death is known as one of: at the armed point, by our hand, or unexpected. The process dies with
//! this one: the kernel is asked for that by the thread that forks, and that thread lives as long as the process.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

const POLL: Duration = Duration::from_millis(20);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const SIGKILL: i32 = 9;

/// What to run.
pub struct Spec {
    /// Name of the logs.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// Directory for logs, one file a life.
    pub logs: PathBuf,
    /// Crash points, `name` or `name:n`.
    pub points: Vec<String>,
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Death {
    /// Killed at this crash point, and nowhere else.
    AtPoint(String),
    /// Killed by the test.
    Killed,
    /// Anything else.
    Unexpected(String),
}

#[derive(Default)]
struct State {
    pid: Option<u32>,
    points: VecDeque<String>,
    deaths: Vec<Death>,
    killed: bool,
    stopping: bool,
    last: Option<ExitStatus>,
    /// Of the life that runs, or ran last.
    log: PathBuf,
}

impl State {
    fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..)
            .unwrap_or_default()
            .join("\n")
    }
}

/// A supervised process.
pub struct Role {
    name: String,
    state: Arc<Mutex<State>>,
    supervisor: Option<JoinHandle<()>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Role {
    /// Starts it.
    ///
    /// # Errors
    /// If the first process cannot be started.
    pub fn start(spec: Spec) -> Result<Self> {
        let state = Arc::new(Mutex::new(State {
            points: spec.points.iter().cloned().collect(),
            ..State::default()
        }));
        let name = spec.name.clone();
        let shared = Arc::clone(&state);
        let supervisor = std::thread::Builder::new()
            .name(format!("supervise-{name}"))
            .spawn(move || supervise(&spec, &shared))?;
        Ok(Self {
            name,
            state,
            supervisor: Some(supervisor),
        })
    }

    /// Name of the role.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Crash points that were not reached yet.
    pub fn points_left(&self) -> usize {
        lock(&self.state).points.len()
    }

    /// Every end of a life so far.
    pub fn deaths(&self) -> Vec<Death> {
        lock(&self.state).deaths.clone()
    }

    /// The process ID; none between two lives.
    pub fn pid(&self) -> Option<u32> {
        lock(&self.state).pid
    }

    /// Sends a signal by name.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        // Under the lock, so that the pid is still this process's.
        let state = lock(&self.state);
        let Some(pid) = state.pid else {
            bail!("{} does not run", self.name)
        };
        send(signal, pid)
    }

    /// Kills it as a power cut would; it comes back. False if it was just dead.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn kill9(&self) -> Result<bool> {
        let mut state = lock(&self.state);
        let Some(pid) = state.pid else { return Ok(false) };
        state.killed = true;
        send("KILL", pid)?;
        Ok(true)
    }

    /// Asks it to end, waits for it, and wants a clean exit.
    ///
    /// # Errors
    /// If it does not end in time, or not cleanly, or died unexpectedly before.
    pub fn stop(mut self) -> Result<()> {
        let deaths = self.deaths();
        {
            let mut state = lock(&self.state);
            state.stopping = true;
            if let Some(pid) = state.pid {
                send("TERM", pid)?;
            }
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self
            .supervisor
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            ensure!(
                Instant::now() < deadline,
                "{} does not stop when asked; the end of its log:\n{}",
                self.name,
                lock(&self.state).log_tail(40)
            );
            std::thread::sleep(POLL);
        }
        self.supervisor.take();
        let status = lock(&self.state).last;
        ensure!(
            status.is_some_and(|status| status.success()),
            "{} ended with {status:?}",
            self.name
        );
        let strange = deaths.iter().find(|death| matches!(death, Death::Unexpected(_)));
        ensure!(strange.is_none(), "{}: {strange:?}", self.name);
        Ok(())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor.take() else {
            return;
        };
        {
            let mut state = lock(&self.state);
            state.stopping = true;
            if let Some(pid) = state.pid {
                send("KILL", pid).ok();
            }
        }
        supervisor.join().ok();
    }
}

fn send(signal: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status()?;
    ensure!(status.success(), "kill -{signal} {pid}");
    Ok(())
}

fn supervise(spec: &Spec, shared: &Mutex<State>) {
    for life in 1.. {
        let armed = lock(shared).points.front().cloned();
        let log = spec.logs.join(format!("{}-{life}.log", spec.name));
        let mut child = match spawn(spec, armed.as_deref(), &log) {
            Ok(child) => child,
            Err(error) => {
                lock(shared)
                    .deaths
                    .push(Death::Unexpected(format!("cannot start: {error:#}")));
                return;
            }
        };
        {
            let mut state = lock(shared);
            state.killed = false;
            state.pid = Some(child.id());
            state.log.clone_from(&log);
            if state.stopping {
                send("KILL", child.id()).ok();
            }
        }
        let status = wait(&mut child, shared);
        let mut state = lock(shared);
        state.last = status;
        if state.stopping {
            return;
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let at_point = armed.filter(|point| {
            let name = point.split(':').next().unwrap_or(point);
            text.contains("crash point reached") && text.contains(name)
        });
        let killed = status.and_then(|status| status.signal()) == Some(SIGKILL);
        let death = match at_point {
            Some(point) if killed => {
                state.points.pop_front();
                Death::AtPoint(point)
            }
            _ if killed && state.killed => Death::Killed,
            _ => Death::Unexpected(format!("{status:?}, {}:\n{}", log.display(), state.log_tail(5))),
        };
        state.deaths.push(death);
        drop(state);
        // A role that cannot start must not spin.
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn spawn(spec: &Spec, armed: Option<&str>, log: &PathBuf) -> Result<Child> {
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(&spec.command)
        .envs(&spec.environment)
        .env_remove("TRIBUTARY_CRASH_POINT")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    if let Some(point) = armed {
        command.env("TRIBUTARY_CRASH_POINT", point);
    }
    Ok(command.spawn()?)
}

fn wait(child: &mut Child, shared: &Mutex<State>) -> Option<ExitStatus> {
    loop {
        {
            let mut state = lock(shared);
            if let Ok(Some(status)) = child.try_wait() {
                state.pid = None;
                return Some(status);
            }
        }
        std::thread::sleep(POLL);
    }
}
