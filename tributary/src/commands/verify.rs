//! `verify`: the ledger computed again from the facts, compared with what stands in ClickHouse.
//!
//! It reads the whole journal and keeps the state in memory, partition by partition.

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use rdkafka::message::Message as _;
use tributary_avro::{Fact, Topic};
use tributary_domain::engine::{Engine, Verdict};
use tributary_domain::ledger::table::Line;
use tributary_domain::store::MemoryStore;
use tributary_processors::kafka::log::{LogReader, Range};

use super::ledger;
use crate::settings::Settings;
use crate::{output, roles};

#[derive(Default)]
struct Counts {
    facts: u64,
    applied: u64,
    held: u64,
    duplicate: u64,
    rejected: u64,
    undecodable: u64,
}

/// Compares; exit code 1 on any difference.
pub async fn run(settings: &Settings) -> Result<ExitCode> {
    let decoder = roles::registry(settings)
        .await?
        .decoder::<Fact>(Topic::Facts)
        .await?;
    let (kafka, partitions) = (settings.kafka.clone(), settings.topics.facts_partitions);
    let runtime = tokio::runtime::Handle::current();
    let compute = move || -> Result<(Vec<Line>, Counts)> {
        let reader = LogReader::new(&kafka)?;
        let topic = kafka.topic(Topic::Facts);
        let (mut lines, mut counts) = (Vec::new(), Counts::default());
        for partition in 0..partitions {
            let bounds = reader
                .stable(&topic, partition)
                .with_context(|| format!("read topic {topic}"))?;
            let mut store = MemoryStore::default();
            let mut engine = Engine::open(&store)?;
            // From 0 on, not from the log's start: a journal that lost its beginning must not pass.
            let range = Range {
                topic: &topic,
                partition,
                from: 0,
                to: bounds.end,
            };
            reader.read(
                range,
                || false,
                |message| -> Result<(), anyhow::Error> {
                    counts.facts += 1;
                    let value = message.payload().unwrap_or_default();
                    let Ok(fact) = runtime.block_on(decoder.decode(value)) else {
                        counts.undecodable += 1;
                        return Ok(());
                    };
                    match engine.apply(&mut store, fact)? {
                        Verdict::Applied => counts.applied += 1,
                        Verdict::Held => counts.held += 1,
                        Verdict::Duplicate => counts.duplicate += 1,
                        Verdict::Rejected(_) => counts.rejected += 1,
                    }
                    Ok(())
                },
            )?;
            while engine.settle(&mut store, 10_000)?.more {}
            lines.extend(engine.standing(&store)?.iter().map(Line::of));
            if bounds.end > 0 {
                output::note(&format!("facts/{partition}: {} records", bounds.end));
            }
        }
        Ok((lines, counts))
    };
    let (mut expected, counts) = tokio::task::spawn_blocking(compute)
        .await
        .map_err(|e| anyhow!(e))??;
    let mut found = ledger::lines(settings).await?;
    expected.sort();
    found.sort();
    output::line(&format!(
        "facts {}: applied {}, held {}, duplicate {}, rejected {}, undecodable {}",
        counts.facts, counts.applied, counts.held, counts.duplicate, counts.rejected, counts.undecodable
    ));
    let sum = counts.applied + counts.held + counts.duplicate + counts.rejected + counts.undecodable;
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
    let equal = missing.is_empty() && extra.is_empty() && sum == counts.facts;
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
