//! Leads in the ledger, for callers that wait for theirs (`mode=wait`).
//!
//! A thread that follows topic conversions, from the first caller who waits on; before, and for an edge that nobody
//! asks to wait, there is none. It begins a little before that call: the entry may be there before the thread is.
//! Invariant: who is told that a lead is there was told so by a committed entry of the same customer and event.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tributary_avro::{Conversion, Op, Topic, Track};
use tributary_domain::fact::event_key;

use crate::config::KafkaConfig;
use crate::feed::partitions;
use crate::state::State;

/// Reads a framed conversion; may fetch an unknown schema (it runs in a thread that may block).
pub type EntryReader = Box<dyn FnMut(&[u8]) -> anyhow::Result<Conversion> + Send>;

/// How far before the first call reading begins: clocks of hosts differ, and a retry finds the entry of before.
const LOOK_BACK: Duration = Duration::from_secs(10);
/// Who waits for one lead; more are answered at once.
const MOST_OF_ONE_LEAD: usize = 64;
/// After a failure: Kafka, or the topic where the edge is a relay alone, may not be there.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Workspace, mode, customer and event of a lead.
type Key = [String; 4];

/// Who waits for which lead.
pub(crate) struct Entries {
    waiting: Mutex<HashMap<Key, Vec<oneshot::Sender<()>>>>,
    /// Taken by the thread when it starts.
    idle: Mutex<Option<Idle>>,
}

struct Idle {
    kafka: KafkaConfig,
    read: EntryReader,
}

/// A lead that somebody waits for. Dropped, nobody does any more.
pub(crate) struct Expected {
    entries: Arc<Entries>,
    key: Key,
    told: oneshot::Receiver<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entries {
    pub(crate) fn new(kafka: KafkaConfig, read: EntryReader) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            idle: Mutex::new(Some(Idle { kafka, read })),
        })
    }

    /// Expects the entry of a lead that is about to be sent; None if too many do. The thread that looks for it ends with
    /// the state.
    pub(crate) fn expect(self: &Arc<Self>, track: &Track, state: &Arc<State>) -> Option<Expected> {
        let key = [
            track.workspace.clone(),
            track.mode.clone(),
            track.customer_external_id.clone(),
            event_key(&track.event_name),
        ];
        let (tell, told) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let of_key = waiting.entry(key.clone()).or_default();
        if of_key.len() >= MOST_OF_ONE_LEAD {
            return None;
        }
        of_key.push(tell);
        drop(waiting);
        if let Some(Idle { kafka, read }) = lock(&self.idle).take() {
            let (entries, state) = (Arc::clone(self), Arc::clone(state));
            let thread = std::thread::Builder::new().name("ledger-leads".to_owned());
            let from = SystemTime::now() - LOOK_BACK;
            if let Err(error) = thread.spawn(move || entries.run(&kafka, read, from, &state)) {
                tracing::error!(%error, "no thread that looks for leads: mode=wait waits in vain");
            }
        }
        Some(Expected {
            entries: Arc::clone(self),
            key,
            told,
        })
    }

    fn run(&self, kafka: &KafkaConfig, mut read: EntryReader, mut from: SystemTime, state: &State) {
        while !state.stopped.load(Relaxed) {
            if let Err(error) = self.follow(kafka, &mut read, from, state) {
                tracing::warn!("topic conversions: {error:#}; trying again");
                std::thread::sleep(AGAIN_AFTER);
                from = SystemTime::now() - LOOK_BACK;
            }
        }
    }

    fn follow(
        &self,
        kafka: &KafkaConfig,
        read: &mut EntryReader,
        from: SystemTime,
        state: &State,
    ) -> anyhow::Result<()> {
        let topic = kafka.topic(Topic::Conversions);
        let consumer = kafka.reader(&[
            ("isolation.level", "read_committed"),
            ("fetch.wait.max.ms", "100"),
            ("queued.max.messages.kbytes", "2048"),
            // A log that was cut is no matter here: what is waited for is new.
            ("auto.offset.reset", "latest"),
        ])?;
        consumer.assign(&since(&consumer, &topic, from)?)?;
        while !state.stopped.load(Relaxed) {
            match consumer.poll(POLL) {
                None => {}
                // A record costs its decoding only while somebody waits.
                Some(Ok(_)) if lock(&self.waiting).is_empty() => {}
                Some(Ok(message)) => match message.payload().map(&mut *read) {
                    Some(Ok(entry)) => self.arrived(entry),
                    Some(Err(error)) => tracing::warn!("a conversion cannot be read: {error:#}"),
                    None => {}
                },
                // Transport errors heal by themselves: librdkafka reconnects.
                Some(Err(error)) => tracing::warn!(%error, "topic conversions"),
            }
        }
        Ok(())
    }

    fn arrived(&self, entry: Conversion) {
        if entry.kind != "lead" || entry.op != Op::Assert {
            return;
        }
        let key = [
            entry.workspace,
            entry.mode,
            entry.customer,
            event_key(&entry.event_name),
        ];
        for waiter in lock(&self.waiting).remove(&key).unwrap_or_default() {
            // Who has gone meanwhile needs no answer.
            waiter.send(()).ok();
        }
    }
}

/// Where records begin that are not older than `from`.
fn since(consumer: &BaseConsumer, topic: &str, from: SystemTime) -> anyhow::Result<TopicPartitionList> {
    let from = i64::try_from(from.duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut times = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for partition in partitions(consumer, topic)? {
        let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)?;
        ends.insert(partition, end);
        times.add_partition_offset(topic, partition, Offset::Offset(from))?;
    }
    let found = consumer
        .offsets_for_times(times, ANSWER_WITHIN)
        .context("offsets by time")?;
    for (partition, end) in ends {
        // "The end" would be that of later, when what is waited for may have passed already.
        if let Some(mut place) = found.find_partition(topic, partition)
            && matches!(place.offset(), Offset::End | Offset::Invalid)
        {
            place.set_offset(Offset::Offset(end))?;
        }
    }
    Ok(found)
}

impl Expected {
    /// Waits for the entry, at most `limit`. Whether it is there.
    pub(crate) async fn arrives(mut self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, &mut self.told).await, Ok(Ok(())))
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = lock(&self.entries.waiting);
        if let Some(waiters) = waiting.get_mut(&self.key) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&self.key);
            }
        }
    }
}
