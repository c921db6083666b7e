//! wrk as a child process, what it sends, and what it says.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::ground::Ground;

const REPLAY: &str = include_str!("replay.lua");
const REPORT: &str = include_str!("report.lua");

/// A load with so many connections.
pub struct Load {
    script: PathBuf,
    requests: PathBuf,
    connections: u32,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Replies of success.
    pub replies: u64,
    /// Other replies.
    pub refused: u64,
    /// Connections that broke or timed out.
    pub broken: u64,
    /// How long it took.
    pub seconds: f64,
    /// Median latency, milliseconds.
    pub p50: f64,
    /// Latency that one in a hundred exceeds, milliseconds.
    pub p99: f64,
}

impl Load {
    /// The requests of a file that [`write_requests`] wrote, over and over.
    pub fn replay(ground: &Ground, requests: PathBuf, connections: u32) -> Result<Self> {
        let script = ground.path("replay.lua");
        std::fs::write(&script, format!("{REPLAY}{REPORT}"))?;
        Ok(Self {
            script,
            requests,
            connections,
        })
    }

    /// How many connections.
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Loads `url` for so many seconds, as fast as it answers.
    pub async fn run(&self, url: &str, seconds: u32) -> Result<Outcome> {
        let output = tokio::process::Command::new("wrk")
            .args(["-t1", "--timeout", "10s"])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{seconds}s"))
            .arg("-s")
            .arg(&self.script)
            .arg(url)
            .arg(&self.requests)
            .kill_on_drop(true)
            .output()
            .await
            .context("wrk makes the load; install it with: sudo apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "wrk: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        parse(&text).with_context(|| format!("wrk printed {text}"))
    }
}

/// Writes whole requests, as they go over the wire, for [`Load::replay`].
pub fn write_requests(file: &Path, requests: impl Iterator<Item = String>) -> Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    for request in requests {
        write!(out, "{:08}{request}", request.len())?;
    }
    Ok(out.flush()?)
}

fn parse(text: &str) -> Option<Outcome> {
    let value = |name: &str| -> Option<f64> {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    };
    Some(Outcome {
        replies: value("replies")? as u64,
        refused: value("refused")? as u64,
        broken: value("broken")? as u64,
        seconds: value("seconds")?,
        p50: value("p50")?,
        p99: value("p99")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_prints_is_read() {
        let text =
            "Running 10s test\nreplies 12\nrefused 1\nbroken 0\nseconds 2.500000\np50 1.500\np99 9.000\n";
        let expected = Outcome {
            replies: 12,
            refused: 1,
            broken: 0,
            seconds: 2.5,
            p50: 1.5,
            p99: 9.0,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("replies 12\n"), None);
    }
}
