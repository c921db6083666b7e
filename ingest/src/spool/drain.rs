//! The spool into Kafka: oldest first, segment by segment.
//!
//! Whether Kafka is there again is asked with the spool's first records; when they are acknowledged, new records go to
//! Kafka directly and do not wait for the rest. Where a full disk left the spool empty, the feed's word is taken.
//!
//! What is drained may be in Kafka already: it failed without an answer, or this process was killed before it deleted the
//! segment. So every record has the header `maybe-duplicate`, and a click names itself in `duplicate_of`, by which the sink
//! knows to look for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tributary_avro::{Click, Decoder, Encoder, Topic};

use super::log::read;
use super::{Spool, Spooled};
use crate::config::IngestConfig;
use crate::delivery::{AppendError, Delivery};
use crate::journal::Journal;
use crate::state::State;

/// Between two looks at an empty spool.
const IDLE: Duration = Duration::from_millis(100);
/// After a failure; an attempt itself lasts as long as the acknowledgement timeout.
const BACKOFF: Duration = Duration::from_millis(500);
/// Records on their way at once.
const BATCH: usize = 1_000;

/// Reads of a segment that fail.
const TRIES: u32 = 20;

/// Where the first segment was left, to whose end more may be added.
#[derive(Default)]
struct Place {
    segment: u64,
    read: u64,
    is_damaged: bool,
    failures: u32,
}

/// What draining needs beside the journal: what marks a click.
pub(crate) struct Drain {
    /// Topic of clicks.
    clicks: String,
    /// Reads what this version of the edge wrote. An older one's click stays as it is: it counts again if it is one.
    decoder: Decoder<Click>,
    encoder: Encoder<Click>,
    /// Waits for what is on its way.
    runtime: Handle,
}

/// Drains until the state is stopped.
pub(crate) fn run(journal: &Journal, spool: &Arc<Spool>, drain: &Drain, state: &State) {
    let mut place = Place::default();
    while !state.stopped.load(Relaxed) {
        let head = spool.log().head();
        let done = match head {
            Some((number, length)) => {
                if place.segment != number {
                    place = Place {
                        segment: number,
                        ..Place::default()
                    };
                }
                segment(journal, spool, drain, (&mut place, length), state)
            }
            None => {
                // A full disk took nothing that could be sent to ask.
                if state.kafka_reachable.load(Relaxed) && spool.refuses() {
                    spool.came_back();
                }
                Ok(false)
            }
        };
        match done {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(IDLE),
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                std::thread::sleep(BACKOFF);
            }
        }
    }
}

/// Sends what a segment has beyond the place, and deletes it. Whether there was anything to do.
fn segment(
    journal: &Journal,
    spool: &Spool,
    drain: &Drain,
    (place, length): (&mut Place, u64),
    state: &State,
) -> std::io::Result<bool> {
    let dir = spool.log().dir().to_owned();
    let (records, is_whole) = match read(&dir, place.segment, place.read, length) {
        Ok(found) => found,
        // It may pass, but what lies behind must not wait for ever.
        Err(error) => {
            place.failures += 1;
            if place.failures < TRIES {
                return Err(error);
            }
            tracing::error!(%error, segment = place.segment, "the spool sets a segment aside that cannot be read");
            metrics::counter!("edge_spool_damaged_total").increment(1);
            return spool.drained(place.segment, length, true);
        }
    };
    place.is_damaged |= !is_whole;
    for batch in records.chunks(BATCH) {
        let mut left: Vec<Spooled<'_>> = batch.iter().map(|record| drain.marked(record)).collect();
        while !left.is_empty() {
            if state.stopped.load(Relaxed) {
                return Ok(false);
            }
            let sent = left.len();
            left = send(journal, drain, left);
            if left.len() < sent {
                spool.came_back();
                metrics::counter!("edge_drained_total").increment((sent - left.len()) as u64);
            } else {
                std::thread::sleep(BACKOFF);
            }
        }
    }
    place.read = length;
    spool.drained(place.segment, length, place.is_damaged)
}

/// Sends records and waits. Gives those that Kafka does not have.
fn send<'a>(journal: &Journal, drain: &Drain, records: Vec<Spooled<'a>>) -> Vec<Spooled<'a>> {
    let sent: Vec<(Spooled<'a>, Result<Delivery, AppendError>)> = records
        .into_iter()
        .map(|record| {
            let delivery = journal.send_spooled(&record);
            (record, delivery)
        })
        .collect();
    let mut left = Vec::new();
    for (record, delivery) in sent {
        let ended = delivery.and_then(|delivery| drain.runtime.block_on(delivery.acknowledged()));
        match ended {
            Ok(()) => {}
            Err(AppendError::Kafka(error)) if is_of_the_record(&error) => {
                // The edge's own limits keep such records out; one must not stand before all others for ever.
                tracing::error!(%error, topic = &*record.topic, bytes = record.value.len(), "kafka refuses a record of the spool");
                metrics::counter!("edge_spool_refused_total").increment(1);
            }
            Err(error) => {
                tracing::debug!(%error, "a record stays in the spool");
                left.push(record);
            }
        }
    }
    left
}

/// Whether it would be refused a second time, too.
pub(crate) fn is_of_the_record(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{InvalidMessage, InvalidRecord, MessageSizeTooLarge};
    matches!(
        error,
        KafkaError::MessageProduction(MessageSizeTooLarge | InvalidMessage | InvalidRecord)
    )
}

impl Drain {
    /// `schema` is the ID of the edge's own schema of clicks.
    pub(crate) fn new(config: &IngestConfig, schema: u32) -> Self {
        let mut decoder = Decoder::default();
        decoder.add_own(schema);
        Self {
            clicks: config.kafka.topic(Topic::Clicks),
            decoder,
            encoder: Encoder::new(schema),
            runtime: Handle::current(),
        }
    }

    fn marked<'a>(&self, record: &'a Spooled<'a>) -> Spooled<'a> {
        let mut marked = record.clone();
        marked.headers.push(("maybe-duplicate".into(), "true".into()));
        if record.topic == self.clicks
            && let Ok(mut click) = self.decoder.decode(&record.value)
            && click.duplicate_of.is_empty()
        {
            click.duplicate_of.clone_from(&click.id);
            if let Ok(value) = self.encoder.encode(&click) {
                marked.value = value.into();
            }
        }
        marked
    }
}
