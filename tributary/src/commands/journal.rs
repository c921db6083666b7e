//! The journal of facts, read from its beginning into an engine in memory, partition by partition.

use anyhow::{Context as _, Result, anyhow};
use rdkafka::message::Message as _;
use tributary_avro::{Fact, Topic};
use tributary_domain::engine::{Engine, Verdict};
use tributary_domain::store::MemoryStore;
use tributary_processors::kafka::log::{LogReader, Range};

use crate::settings::Settings;
use crate::{output, roles};

/// What became of the facts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records.
    pub facts: u64,
    /// Part of the state.
    pub applied: u64,
    /// Waiting for another.
    pub held: u64,
    /// Told before.
    pub duplicate: u64,
    /// Contradicting.
    pub rejected: u64,
    /// No facts.
    pub undecodable: u64,
}

impl Counts {
    /// Every fact has one fate.
    pub fn add_up(&self) -> bool {
        self.applied + self.held + self.duplicate + self.rejected + self.undecodable == self.facts
    }
}

/// Reads every partition, and gives its engine, unsettled, to `each`.
pub async fn replay<T: Default + Send + 'static>(
    settings: &Settings,
    mut each: impl FnMut(&mut Engine, &mut MemoryStore, &mut T) -> Result<()> + Send + 'static,
) -> Result<(T, Counts)> {
    let decoder = roles::registry(settings)
        .await?
        .decoder::<Fact>(Topic::Facts)
        .await?;
    let (kafka, partitions) = (settings.kafka.clone(), settings.topics.facts_partitions);
    let runtime = tokio::runtime::Handle::current();
    let compute = move || -> Result<(T, Counts)> {
        let reader = LogReader::new(&kafka)?;
        let topic = kafka.topic(Topic::Facts);
        let (mut found, mut counts) = (T::default(), Counts::default());
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
            each(&mut engine, &mut store, &mut found)?;
            if bounds.end > 0 {
                output::note(&format!("facts/{partition}: {} records", bounds.end));
            }
        }
        Ok((found, counts))
    };
    tokio::task::spawn_blocking(compute)
        .await
        .map_err(|e| anyhow!(e))?
}
