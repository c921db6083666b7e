//! The judge: reads `conversions` read_committed beside the process, and says when the net ledger is the expected one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use tributary_avro::{Conversion, Decoder, Topic};

use super::net::Net;
use crate::figures::note;
use crate::ground::Ground;

const POLL: Duration = Duration::from_millis(20);
/// Enough to keep the judge, on the same cores, from asking all the time.
const FETCH_BYTES: u32 = 1024 * 1024;

/// What the judge saw so far; looked at while it runs.
#[derive(Default)]
pub struct Seen {
    /// Rows.
    pub rows: AtomicU64,
    /// When the first row came.
    pub first: OnceLock<Instant>,
    /// When the net ledger was the expected one.
    pub complete: OnceLock<Instant>,
    /// When the first row at or beyond the fence came.
    pub beyond: OnceLock<Instant>,
    /// Ends of the partitions when a process had died.
    fence: Mutex<Option<Vec<i64>>>,
    stop: AtomicBool,
}

impl Seen {
    /// From these offsets on, rows are those of the process that came after.
    pub fn set_fence(&self, ends: Vec<i64>) {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
    }

    fn look(&self, partition: i32, offset: i64) {
        let fence = self.fence.lock().unwrap_or_else(PoisonError::into_inner);
        let end = fence
            .as_ref()
            .and_then(|ends| ends.get(usize::try_from(partition).ok()?));
        if end.is_some_and(|end| offset >= *end) {
            self.beyond.get_or_init(Instant::now);
        }
    }
}

/// A judge at work.
pub struct Judge {
    /// What it saw so far.
    pub seen: Arc<Seen>,
    thread: JoinHandle<Result<Net>>,
}

impl Judge {
    /// Starts to read from the beginning.
    pub async fn start(ground: &Ground, expected: Net) -> Result<Self> {
        let (consumer, decoder) = reader(ground, Offset::Beginning, FETCH_BYTES).await?;
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let thread = std::thread::Builder::new()
            .name("judge".to_owned())
            .spawn(move || {
                watch(&consumer, &decoder, &shared, &expected)
                    .inspect_err(|error| note(&format!("the judge: {error:#}")))
            })?;
        Ok(Self { seen, thread })
    }

    /// Whether it ended by itself, which is an error.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Reads what is left and says what the ledger is.
    pub fn finish(self) -> Result<Net> {
        self.seen.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the judge panicked"))?
    }
}

/// A consumer of all partitions of `conversions` and the decoder for them. A fetch is answered when there are so many
/// bytes, or after 20 ms.
pub async fn reader(
    ground: &Ground,
    from: Offset,
    fetch_bytes: u32,
) -> Result<(BaseConsumer, Decoder<Conversion>)> {
    let mut decoder = Decoder::<Conversion>::default();
    decoder.add_own(ground.registry().await?.id(Topic::Conversions).await?);
    let mut config = ground.kafka.reader();
    config
        .set("enable.partition.eof", "false")
        .set("fetch.min.bytes", fetch_bytes.to_string())
        .set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..ground.partitions(Topic::Conversions) {
        list.add_partition_offset(&ground.kafka.topic(Topic::Conversions), partition, from)?;
    }
    consumer.assign(&list)?;
    Ok((consumer, decoder))
}

fn watch(consumer: &BaseConsumer, decoder: &Decoder<Conversion>, seen: &Seen, expected: &Net) -> Result<Net> {
    let mut net = Net::default();
    loop {
        let Some(message) = consumer.poll(POLL) else {
            if seen.stop.load(Ordering::Relaxed) {
                return Ok(net);
            }
            continue;
        };
        let message = message?;
        seen.first.get_or_init(Instant::now);
        seen.look(message.partition(), message.offset());
        net.take(&decoder.decode(message.payload().context("a row without a value")?)?);
        seen.rows.store(net.rows, Ordering::Relaxed);
        if net.equals(expected) {
            seen.complete.get_or_init(Instant::now);
        }
    }
}
