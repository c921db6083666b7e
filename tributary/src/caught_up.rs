//! Waiting until all that was told by now has been counted.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tributary_avro::Topic;
use tributary_processors::kafka::log::{LogError, LogReader, Range};

use crate::settings::Settings;

const ASK: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(200);

/// Who reads what, in the order in which a record passes them.
pub const READERS: [(&str, &[Topic]); 4] = [
    ("normalize", &[Topic::Tracks, Topic::StripeEvents, Topic::Config]),
    ("join", &[Topic::Clicks, Topic::Claims]),
    ("attribute", &[Topic::Facts]),
    (
        "sink",
        &[
            Topic::Clicks,
            Topic::Conversions,
            Topic::Refunds,
            Topic::Commissions,
        ],
    ),
];

/// Waits until each stage and the sink have read what stood in their topics when the one before them was done.
///
/// # Errors
/// If one of them does not get there within `patience`, if the process is `stopped`, or Kafka does not answer.
pub async fn wait(
    settings: &Settings,
    patience: Duration,
    stopped: impl Fn() -> bool + Send + 'static,
) -> Result<()> {
    let settings = settings.clone();
    let wait = move || -> Result<()> {
        let deadline = Instant::now() + patience;
        let is_over = || stopped() || Instant::now() > deadline;
        let reader = LogReader::new(&settings.kafka)?;
        for (stage, topics) in READERS {
            for topic in topics {
                wait_for(&settings, &reader, (stage, *topic), &is_over)?;
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(wait).await?
}

fn wait_for(
    settings: &Settings,
    reader: &LogReader,
    (stage, topic): (&str, Topic),
    is_over: &impl Fn() -> bool,
) -> Result<()> {
    let mut client = settings.kafka.client();
    let group: BaseConsumer = client.set("group.id", settings.kafka.group(stage)).create()?;
    let name = settings.kafka.topic(topic);
    let mut ends = Vec::new();
    for partition in 0..settings.topics.partitions(topic) {
        ends.push((partition, reader.stable(&name, partition)?));
    }
    loop {
        let mut asked = TopicPartitionList::new();
        for (partition, _) in &ends {
            asked.add_partition(&name, *partition);
        }
        let committed = group.committed_offsets(asked, ASK)?;
        let mut left = Vec::new();
        for (partition, bounds) in ends {
            let found = committed.find_partition(&name, partition);
            let next = match found.map(|element| element.offset()) {
                Some(Offset::Offset(next)) => next,
                _ => bounds.start,
            };
            let range = Range {
                topic: &name,
                partition,
                from: next.max(bounds.start),
                to: bounds.end,
            };
            if has_records(reader, range)? {
                left.push((partition, bounds));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if is_over() {
            bail!("{stage} is still reading topic {name}; is it running?");
        }
        ends = left;
        std::thread::sleep(EVERY);
    }
}

/// Whether records are left in a range: what ends transactions is no record, and never committed.
fn has_records(reader: &LogReader, range: Range<'_>) -> Result<bool> {
    match reader.read(range, || false, |_| Err(Left::Record)) {
        Ok(()) => Ok(false),
        Err(Left::Record) => Ok(true),
        Err(Left::Log(error)) => Err(error.into()),
    }
}

/// Why reading ended early.
enum Left {
    Record,
    Log(LogError),
}

impl From<LogError> for Left {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}
