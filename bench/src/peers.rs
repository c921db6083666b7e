//! A kit of peers outside of this repository: a folder for each benchmark with a `run.sh` that prints
//! `name value unit` lines. Without one, only ours is measured.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Common;
use crate::figures::{figure, note};

/// The peer's figures by name.
pub type Figures = BTreeMap<String, f64>;

/// Runs `<kit>/<part>/run.sh` and passes its figures on as `peer.<name>`. None without a kit.
pub async fn run(common: &Common, part: &str, environment: &[(&str, String)]) -> Result<Option<Figures>> {
    let Some(kit) = &common.peer else { return Ok(None) };
    let script = kit.join(part).join("run.sh");
    if !script.is_file() {
        note(&format!("the kit of peers has no {part}: only ours is measured"));
        return Ok(None);
    }
    let mut command = tokio::process::Command::new("bash");
    command.arg(&script).stdout(Stdio::piped()).kill_on_drop(true);
    for (name, value) in environment {
        // What the caller set goes before what this benchmark would have.
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let mut child = command.spawn()?;
    let mut found = Figures::new();
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(value), Some(unit)) = (words.next(), words.next(), words.next()) {
                figure(&format!("peer.{name}"), value, unit);
                if let Ok(number) = value.parse() {
                    found.insert(name.to_owned(), number);
                }
            }
        }
    }
    let status = child.wait().await?;
    ensure!(status.success(), "the peer's {part}/run.sh: {status}");
    Ok(Some(found))
}
