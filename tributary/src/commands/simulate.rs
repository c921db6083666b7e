//! `simulate`: the ledger that requests lead to, without any server.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tributary_domain::engine::Row;
use tributary_domain::ledger::table as ledger_table;
use tributary_domain::mail::MailKey;
use tributary_domain::rules::ProgramFile;
use tributary_domain::simulate::{Line, Simulation};

use crate::output;

/// A program file, or every problem in it.
pub fn program(file: &Path) -> Result<ProgramFile> {
    let yaml = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    tributary_domain::rules::parse(&yaml).map_err(|problems| {
        let lines: Vec<String> = problems
            .iter()
            .map(|p| format!("{}:{}: {}", file.display(), p.line, p.message))
            .collect();
        anyhow::anyhow!(
            "the program file has {} to mend\n{}",
            if lines.len() == 1 {
                "one place".to_owned()
            } else {
                format!("{} places", lines.len())
            },
            lines.join("\n")
        )
    })
}

/// The lines of a request file.
pub fn requests(file: &Path) -> Result<Vec<Line>> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    }
    let mut lines = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with("//") {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(error) => bail!("{}:{}: {error}", file.display(), i + 1),
        }
    }
    Ok(lines)
}

/// Prints the ledger; the report goes to standard error.
pub fn run(file: &Path, request_file: &Path, table: bool) -> Result<ExitCode> {
    let program = program(file)?;
    let lines = requests(request_file)?;
    let first = lines
        .iter()
        .map(|l| l.at.as_millisecond())
        .min()
        .unwrap_or_default();
    let mut simulation = Simulation::new(&program, MailKey::new("simulate"), first)?;
    for line in &lines {
        simulation.request(line)?;
    }
    let rows = simulation.ledger()?;
    if table {
        output::line(&ledger_table::text(
            rows.iter().map(|row| ledger_table::Line::of(row)).collect(),
        ));
    } else {
        for row in rows {
            output::line(&serde_json::to_string(&with_explanation(row)?)?);
        }
    }
    let report = simulation.report();
    output::note(&format!(
        "{} requests: answers {:?}; clicks {}; facts {:?}; ignored {:?}",
        lines.len(),
        report.answers,
        report.clicks,
        report.verdicts,
        report.ignored
    ));
    for (line, why) in report.refused.iter().chain(&report.dead) {
        output::note(&format!("request {line}: {why}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A row as JSON with its explanation as JSON, not as text in it.
fn with_explanation(row: &Row) -> Result<serde_json::Value> {
    let (entry, mut value) = match row {
        Row::Conversion(r) => ("conversion", serde_json::to_value(r)?),
        Row::Refund(r) => ("refund", serde_json::to_value(r)?),
        Row::Commission(r) => ("commission", serde_json::to_value(r)?),
    };
    if let Some(map) = value.as_object_mut() {
        map.insert("entry".to_owned(), json!(entry));
        let why = serde_json::from_str(row.explanation()).unwrap_or_default();
        map.insert("explanation".to_owned(), why);
    }
    Ok(value)
}
