//! `GET /events/stream`: clicks, leads, sales and refunds as they come into their topics, server-sent.
//!
//! ```text
//!   topics ─► a consumer of this stream alone ─► of this workspace and mode? ─► JSON as in /events ─► the browser
//! ```
//! The ID of an event is a position in the topics, which a browser gives back when it connects again: nothing between
//! is missed. Positions are told a few times a second, not with each event, so that the last few may come a second time:
//! `eventId`, or the ID of the click, tells them apart.
//!
//! Invariant: a position is told only after all before it was.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Sender, channel, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tributary_avro::{Click, Conversion, Op, Refund};

use crate::conversion_record::ConversionRow;
use crate::error::ApiError;
use crate::kafka::Kafka;
use crate::parameters::Parameters;
use crate::record::{ClickRow, RefundRow};
use crate::scope::Scope;
use crate::server::Application;

/// Streams at once: each has a client of its own, with threads and some megabytes.
const STREAMS: usize = 64;
const POLL: Duration = Duration::from_millis(50);
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Events that wait for a browser that is slower than they come.
const WAITING: usize = 256;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A position of a million partitions is nobody's.
const LONGEST_POSITION: usize = 16_384;

/// Reads a framed record; may fetch an unknown schema (it runs in a thread that may block).
pub type Reader<T> = Box<dyn FnMut(&[u8]) -> anyhow::Result<T> + Send>;

/// What the topics' records are read with.
pub struct Readers {
    /// Of topic `clicks`.
    pub click: Reader<Click>,
    /// Of topic `conversions`.
    pub conversion: Reader<Conversion>,
    /// Of topic `refunds`.
    pub refund: Reader<Refund>,
}

/// Full names of the topics: clicks, conversions, refunds.
pub type Topics = [String; 3];

/// Where live events come from. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Source>);

struct Source {
    kafka: Kafka,
    topics: Topics,
    readers: Mutex<Readers>,
    places: Arc<Semaphore>,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

impl Live {
    /// Nothing is read before somebody looks.
    pub fn new(kafka: Kafka, topics: Topics, readers: Readers) -> Self {
        Self(Arc::new(Source {
            kafka,
            topics,
            readers: Mutex::new(readers),
            places: Arc::new(Semaphore::new(STREAMS)),
            stopped: AtomicBool::new(false),
        }))
    }

    /// Ends all streams: a server that shuts down waits for its answers.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Relaxed);
    }
}

/// The next offsets of all partitions, by topic: `5,0,7;12;3`. Empty for a topic: from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Position([Vec<i64>; 3]);

impl Position {
    fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST_POSITION {
            return None;
        }
        let offset = |text: &str| text.parse().ok().filter(|offset: &i64| *offset >= 0);
        let topic = |text: &str| -> Option<Vec<i64>> {
            if text.is_empty() {
                return Some(Vec::new());
            }
            text.split(',').map(offset).collect()
        };
        let topics: Option<Vec<Vec<i64>>> = text.split(';').map(topic).collect();
        topics?.try_into().ok().map(Self)
    }

    fn text(&self) -> String {
        let topics = self.0.each_ref().map(|offsets| {
            let offsets: Vec<String> = offsets.iter().map(i64::to_string).collect();
            offsets.join(",")
        });
        topics.join(";")
    }

    fn passed(&mut self, topic: usize, partition: i32, offset: i64) {
        let next = self.0.get_mut(topic).zip(usize::try_from(partition).ok());
        if let Some(next) = next.and_then(|(offsets, partition)| offsets.get_mut(partition)) {
            *next = offset + 1;
        }
    }
}

/// Which of the four are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    clicks: bool,
    leads: bool,
    sales: bool,
    refunds: bool,
}

impl Wanted {
    fn take(parameters: &mut Parameters) -> Result<Self, ApiError> {
        let given = parameters.list("event").unwrap_or_default();
        let names: Vec<&str> = given
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        let known = ["clicks", "leads", "sales", "refunds"];
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            let reason = format!("{unknown:?} is none of {}", known.join(", "));
            return Err(ApiError::bad("event", reason));
        }
        let has = |name| names.is_empty() || names.contains(&name);
        Ok(Self {
            clicks: has("clicks"),
            leads: has("leads"),
            sales: has("sales"),
            refunds: has("refunds"),
        })
    }

    fn topics(self) -> [bool; 3] {
        [self.clicks, self.leads || self.sales, self.refunds]
    }

    fn has(self, kind: &str) -> bool {
        match kind {
            "click" => self.clicks,
            "lead" => self.leads,
            "sale" => self.sales,
            "refund" => self.refunds,
            _ => false,
        }
    }
}

pub async fn stream(
    State(application): State<Application>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Sse<impl futures::Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let wanted = Wanted::take(&mut parameters)?;
    let scope = Scope::take(&mut parameters, &application.database).await?;
    parameters.finish()?;
    if scope.is_partners() {
        let reason = "live events are not told apart by partner: ask for /events";
        return Err(ApiError::Forbidden(reason.to_owned()));
    }
    let Some(Live(source)) = application.live else {
        return Err(ApiError::NotOffered(
            "live events are not offered: this process has no Kafka".to_owned(),
        ));
    };
    let position = match headers.get("last-event-id") {
        None => Position::default(),
        Some(text) => text
            .to_str()
            .ok()
            .and_then(Position::parse)
            .ok_or_else(|| ApiError::bad("Last-Event-ID", "is none that this stream gave out"))?,
    };
    let place = Arc::clone(&source.places)
        .try_acquire_owned()
        .map_err(|_| ApiError::TooMany(format!("{STREAMS} streams are open already")))?;
    let (send, mut events) = channel(WAITING);
    let following = Following {
        source,
        scope,
        wanted,
        position,
        send,
        _place: place,
    };
    std::thread::Builder::new()
        .name("events-stream".to_owned())
        .spawn(move || following.run())
        .map_err(|error| {
            tracing::error!(%error, "no thread for a stream");
            ApiError::Starting
        })?;
    let events = futures::stream::poll_fn(move |context| events.poll_recv(context));
    Ok(Sse::new(futures::StreamExt::map(events, Ok)).keep_alive(KeepAlive::default()))
}

/// The browser is gone, or the server ends.
struct Gone;

/// One stream, on a thread of its own.
struct Following {
    source: Arc<Source>,
    scope: Scope,
    wanted: Wanted,
    position: Position,
    send: Sender<Event>,
    _place: OwnedSemaphorePermit,
}

impl Following {
    fn run(mut self) {
        let consumer = match self.start() {
            Ok(consumer) => consumer,
            // The browser connects again.
            Err(error) => return tracing::warn!("a stream of events does not start: {error:#}"),
        };
        // Whoever loses the connection before anything came goes on from here.
        let mut ended = self.tell();
        let mut told = Instant::now();
        let mut is_told = true;
        while ended.is_ok() {
            ended = match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    is_told = false;
                    self.take(&message)
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "a stream of events");
                    self.still_there()
                }
                None if is_told => self.still_there(),
                None => Ok(()),
            };
            if ended.is_ok() && !is_told && told.elapsed() >= TELL_EVERY {
                ended = self.tell();
                (told, is_told) = (Instant::now(), true);
            }
        }
    }

    fn start(&mut self) -> anyhow::Result<BaseConsumer> {
        let consumer = self.source.kafka.reader(&[
            ("isolation.level", "read_committed"),
            // What was deleted meanwhile cannot be shown.
            ("auto.offset.reset", "earliest"),
            ("queued.max.messages.kbytes", "2048"),
        ])?;
        let mut assignment = TopicPartitionList::new();
        let topics = self.source.topics.iter().zip(&mut self.position.0);
        for ((topic, known), _) in topics
            .zip(self.wanted.topics())
            .filter(|(_, is_wanted)| *is_wanted)
        {
            let metadata = consumer
                .fetch_metadata(Some(topic), ANSWER_WITHIN)
                .context("the topics of the stream")?;
            let partitions = metadata
                .topics()
                .first()
                .map_or(0, |topic| topic.partitions().len());
            for (index, partition) in (0..i32::try_from(partitions)?).enumerate() {
                // One that is new, or all of them: from now on.
                let next = match known.get(index) {
                    Some(next) => *next,
                    None => consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)?.1,
                };
                if index == known.len() {
                    known.push(next);
                }
                assignment.add_partition_offset(topic, partition, Offset::Offset(next))?;
            }
        }
        consumer.assign(&assignment)?;
        Ok(consumer)
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Gone> {
        let Some(topic) = self.source.topics.iter().position(|name| name == message.topic()) else {
            return Ok(());
        };
        if self.may_be_own(message) {
            match self.read(topic, message.payload().unwrap_or_default()) {
                Ok(Some((kind, data))) => self.offer(Event::default().event(kind).data(data.to_string()))?,
                Ok(None) => {}
                Err(error) => tracing::warn!("a record cannot be shown: {error:#}"),
            }
        }
        self.position.passed(topic, message.partition(), message.offset());
        Ok(())
    }

    // By the headers, without reading the record: most belong to others where there are many.
    fn may_be_own(&self, message: &BorrowedMessage<'_>) -> bool {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let mut told = headers.filter_map(|header| match header.key {
            "workspace" => Some((header.value?, &self.scope.workspace)),
            "mode" => Some((header.value?, &self.scope.mode)),
            _ => None,
        });
        told.all(|(value, own)| value == own.as_bytes())
    }

    fn read(&self, topic: usize, value: &[u8]) -> anyhow::Result<Option<(String, Value)>> {
        let mut readers = self.source.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |workspace: &str, mode: &str, kind: &str| {
            workspace == self.scope.workspace && mode == self.scope.mode && self.wanted.has(kind)
        };
        // What takes the place of a retracted one, if anything does, follows.
        let retracted = |id: &str, revision: i64| {
            let data = json!({"eventId": id, "revision": revision});
            Some(("retracted".to_owned(), data))
        };
        Ok(match topic {
            0 => {
                let click = (readers.click)(value)?;
                let is_first = click.bot.is_empty() && click.duplicate_of.is_empty();
                (is_first && shown(&click.workspace, &click.mode, "click"))
                    .then(|| ("click".to_owned(), ClickRow::from(click).json()))
            }
            1 => {
                let row = (readers.conversion)(value)?;
                match row.op {
                    _ if !shown(&row.workspace, &row.mode, &row.kind) => None,
                    Op::Retract => retracted(&row.id, row.revision),
                    Op::Assert => Some((row.kind.clone(), ConversionRow::from(row).event())),
                }
            }
            _ => {
                let row = (readers.refund)(value)?;
                match row.op {
                    _ if !shown(&row.workspace, &row.mode, "refund") => None,
                    Op::Retract => retracted(&row.id, row.revision),
                    Op::Assert => Some(("refund".to_owned(), RefundRow::from(row).event())),
                }
            }
        })
    }

    fn tell(&self) -> Result<(), Gone> {
        self.offer(Event::default().id(self.position.text()))
    }

    fn still_there(&self) -> Result<(), Gone> {
        if self.send.is_closed() || self.source.stopped.load(Relaxed) {
            return Err(Gone);
        }
        Ok(())
    }

    // A browser that is slow holds up its own stream only.
    fn offer(&self, event: Event) -> Result<(), Gone> {
        let mut event = event;
        loop {
            self.still_there()?;
            event = match self.send.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(event)) => event,
                Err(TrySendError::Closed(_)) => return Err(Gone),
            };
            std::thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_told() {
        for text in ["5,0,7;12;3", ";1;", ";;"] {
            assert_eq!(Position::parse(text).unwrap().text(), text);
        }
        for text in [
            "",
            "1;2",
            "1;2;3;4",
            "1;-2;3",
            "1;x;3",
            "1,;2;3",
            "99999999999999999999;1;1",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        assert_eq!(Position::parse(&"1,".repeat(20_000)), None);
        let mut position = Position::parse("5,0;1;2").unwrap();
        position.passed(0, 1, 41);
        position.passed(2, 0, 9);
        // What it does not know changes nothing.
        position.passed(0, 7, 1);
        position.passed(9, 0, 1);
        assert_eq!(position.text(), "5,42;1;10");
    }

    #[test]
    fn events_are_chosen_by_their_names() {
        let wanted = |given: &str| {
            let pairs = [("event".to_owned(), given.to_owned())];
            Wanted::take(&mut Parameters::new(pairs))
        };
        assert_eq!(wanted("").unwrap().topics(), [true; 3]);
        let sales = wanted("sales, refunds").unwrap();
        assert_eq!(sales.topics(), [false, true, true]);
        assert!(sales.has("sale") && !sales.has("lead") && !sales.has("subscription"));
        let message = wanted("sales,payments").unwrap_err().to_string();
        assert!(
            message.contains("payments") && message.contains("refunds"),
            "{message}"
        );
    }
}
