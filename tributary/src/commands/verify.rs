//! `verify`: the ledger computed again from the facts, compared with what stands in ClickHouse.
//!
//! It reads the whole journal and keeps the state in memory, partition by partition.

use std::process::ExitCode;

use anyhow::Result;
use tributary_domain::ledger::table::Line;

use super::{journal, ledger};
use crate::output;
use crate::settings::Settings;

/// Compares; exit code 1 on any difference.
pub async fn run(settings: &Settings) -> Result<ExitCode> {
    let (mut expected, counts) = journal::replay(settings, |engine, store, lines: &mut Vec<Line>| {
        while engine.settle(store, 10_000)?.more {}
        lines.extend(engine.standing(store)?.iter().map(Line::of));
        Ok(())
    })
    .await?;
    let mut found = ledger::lines(settings).await?;
    expected.sort();
    found.sort();
    output::line(&format!(
        "facts {}: applied {}, held {}, duplicate {}, rejected {}, undecodable {}",
        counts.facts, counts.applied, counts.held, counts.duplicate, counts.rejected, counts.undecodable
    ));
    let (missing, extra) = difference(&expected, &found);
    for line in missing.iter().take(50) {
        output::line(&format!("- {}", line.text()));
    }
    for line in extra.iter().take(50) {
        output::line(&format!("+ {}", line.text()));
    }
    output::line(&format!(
        "ledger {} entries from the facts, {} in ClickHouse, {} missing, {} too many",
        expected.len(),
        found.len(),
        missing.len(),
        extra.len()
    ));
    let equal = missing.is_empty() && extra.is_empty() && counts.add_up();
    Ok(if equal {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What only the first and what only the second of two sorted lists has, as multisets.
fn difference<'a>(a: &'a [Line], b: &'a [Line]) -> (Vec<&'a Line>, Vec<&'a Line>) {
    let (mut only_a, mut only_b) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(x), Some(y)) if x == y => {
                left.next();
                right.next();
            }
            (Some(x), Some(y)) if x < y => only_a.extend(left.next()),
            (Some(_), None) => only_a.extend(left.next()),
            (_, Some(_)) => only_b.extend(right.next()),
            (None, None) => return (only_a, only_b),
        }
    }
}
