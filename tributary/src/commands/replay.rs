//! `replay`: dead letters back into the topics that they came from.
//!
//! Every stage tells repeats apart by ID, so that replaying twice is harmless. Letters of the sink's own
//! topics are not put back: their records are in the ledger already, and what cannot be decoded there
//! needs a schema, not a second copy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tributary_avro::{DeadLetter, Topic};
use tributary_processors::kafka::log::{LogReader, Range};

use crate::settings::Settings;
use crate::{output, roles};

/// Stages whose inputs may be read again.
const STAGES: [&str; 3] = ["normalize", "join", "attribute"];

/// Topic and reason of letters, and how many there are.
type Counts = BTreeMap<(String, String), u64>;

/// Puts letters back, or counts only, and says how many.
pub async fn run(settings: &Settings, reason: Option<&str>, dry_run: bool) -> Result<()> {
    for ((topic, reason), count) in put_back(settings, reason, dry_run).await? {
        output::line(&format!("{count} {reason} of {topic}"));
    }
    output::note(if dry_run {
        "nothing put back (--dry-run)"
    } else {
        "put back; their stages will judge them again"
    });
    Ok(())
}

/// Puts letters back; counts only, if asked.
pub async fn put_back(settings: &Settings, reason: Option<&str>, dry_run: bool) -> Result<Counts> {
    let decoder = roles::registry(settings)
        .await?
        .decoder::<DeadLetter>(Topic::DeadLetters)
        .await?;
    let (kafka, partitions) = (
        settings.kafka.clone(),
        settings.topics.partitions(Topic::DeadLetters),
    );
    let runtime = tokio::runtime::Handle::current();
    let read = move || -> Result<Vec<DeadLetter>> {
        let reader = LogReader::new(&kafka)?;
        let topic = kafka.topic(Topic::DeadLetters);
        let mut letters = Vec::new();
        for partition in 0..partitions {
            let bounds = reader
                .stable(&topic, partition)
                .with_context(|| format!("read topic {topic}"))?;
            let range = Range {
                topic: &topic,
                partition,
                from: bounds.start,
                to: bounds.end,
            };
            reader.read(
                range,
                || false,
                |message| -> Result<(), anyhow::Error> {
                    let value = message.payload().unwrap_or_default();
                    letters.push(
                        runtime
                            .block_on(decoder.decode(value))
                            .map_err(|e| anyhow::anyhow!(e.to_string()))?,
                    );
                    Ok(())
                },
            )?;
        }
        Ok(letters)
    };
    let letters = tokio::task::spawn_blocking(read).await??;
    let asked = |l: &&DeadLetter| STAGES.contains(&l.stage.as_str()) && reason.is_none_or(|r| r == l.reason);
    let mut counts = Counts::new();
    let producer: FutureProducer = settings.kafka.producer().create()?;
    for letter in letters.iter().filter(asked) {
        *counts
            .entry((letter.topic.clone(), letter.reason.clone()))
            .or_default() += 1;
        if !dry_run {
            let record = FutureRecord::to(&letter.topic)
                .key(&letter.key)
                .payload(&letter.value);
            producer
                .send(record, Duration::from_secs(10))
                .await
                .map_err(|(error, _)| error)
                .context("put back")?;
        }
    }
    Ok(counts)
}
