//! The edge's way into Kafka: a record is appended when all in-sync replicas have it, or the spool's disk.
//!
//! Invariant: a delivery ends well only then. After an error the record may still have landed; IDs make a repeat by the
//! caller a record of its own, which later stages tell apart.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;
use tributary_avro::{Click, Encoder, StripeEvent, Topic, Track};
use tributary_domain::requests::Record;
use tributary_domain::tenant::Tenant;

use crate::config::{IngestConfig, KafkaConfig};
use crate::delivery::{AppendError, Delivery, Slot};
use crate::spool::{Spool, Spooled, is_of_the_record};
use crate::trace::TRACEPARENT;

/// Encoders of what the edge writes; the caller knows their schema IDs.
pub struct Encoders {
    /// For topic clicks.
    pub click: Encoder<Click>,
    /// For topic tracks.
    pub track: Encoder<Track>,
    /// For topic stripe.events.
    pub stripe: Encoder<StripeEvent>,
}

/// What the producer tells: logs, and how each record ended.
struct Reports {
    spool: Option<Arc<Spool>>,
    fatal: Arc<Notify>,
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Arc<Slot>) {
        let (error, message) = match result {
            Ok(_) => return slot.finish(Ok(())),
            Err((error, message)) => (error, message),
        };
        match &self.spool {
            Some(spool) if !slot.is_of_spool && !is_of_the_record(error) => {
                spool.went_away();
                let record = Spooled {
                    topic: message.topic().into(),
                    key: message.key().unwrap_or_default().into(),
                    value: message.payload().unwrap_or_default().into(),
                    headers: message.headers().map(texts).unwrap_or_default(),
                };
                if let Err(error) = spool.put(&record, Arc::clone(&slot)) {
                    slot.finish(Err(error.into()));
                }
            }
            _ => slot.finish(Err(AppendError::Kafka(error.clone()))),
        }
    }
}

fn texts(headers: &rdkafka::message::BorrowedHeaders) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    headers
        .iter()
        .map(|header| (header.key.into(), text(header.value).into()))
        .collect()
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
            _ => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::error!(%error, "kafka: {reason}");
            self.fatal.notify_one();
        } else {
            tracing::warn!(%error, "kafka: {reason}");
        }
    }
}

/// What is said beside a record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks<'a> {
    /// The caller's trace.
    pub traceparent: Option<&'a str>,
    /// Stripe delivers the event again.
    pub is_repeat: bool,
}

/// A header, where there is one.
type MaybeHeader<'a> = Option<(&'a str, &'a str)>;

/// A record that is ready to go.
struct Outgoing<'a> {
    topic: &'a str,
    key: &'a str,
    value: &'a [u8],
    headers: [MaybeHeader<'a>; 5],
}

pub(crate) struct Journal {
    producer: ThreadedProducer<Reports>,
    spool: Option<Arc<Spool>>,
    fatal: Arc<Notify>,
    click: Encoder<Click>,
    clicks: String,
    track: Encoder<Track>,
    tracks: String,
    event: Encoder<StripeEvent>,
    stripe: String,
}

impl Journal {
    pub(crate) fn new(
        config: &IngestConfig,
        encoders: Encoders,
        spool: Option<Arc<Spool>>,
    ) -> anyhow::Result<Self> {
        let kafka: &KafkaConfig = &config.kafka;
        let mut client = kafka.client();
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // About as long as a busy broker takes to answer: an idempotent producer has one batch of a partition on its
            // way, and librdkafka looks for the answer without pause once the next is due (ADR 0025).
            .set("linger.ms", "4")
            .set("compression.codec", "lz4")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "2097152")
            // Gives up when the callers have: what is answered 503 does not pile up.
            .set(
                "message.timeout.ms",
                config.acknowledgement_timeout.as_millis().to_string(),
            )
            .set(
                "queue.buffering.max.messages",
                (config.max_in_flight * 2).to_string(),
            )
            .set("queue.buffering.max.kbytes", "262144");
        kafka.with_properties(&mut client);
        let fatal = Arc::<Notify>::default();
        let reports = Reports {
            spool: spool.clone(),
            fatal: Arc::clone(&fatal),
        };
        let producer = client.create_with_context(reports).context("kafka producer")?;
        Ok(Self {
            producer,
            spool,
            fatal,
            click: encoders.click,
            clicks: kafka.topic(Topic::Clicks),
            track: encoders.track,
            tracks: kafka.topic(Topic::Tracks),
            event: encoders.stripe,
            stripe: kafka.topic(Topic::StripeEvents),
        })
    }

    /// Sends a record on its way. Nothing is borrowed or kept: who waits holds the delivery only.
    pub(crate) fn send(&self, record: &Record<'_>, marks: Marks<'_>) -> Result<Delivery, AppendError> {
        match record {
            Record::Click(click) => self.produce(&Outgoing {
                topic: &self.clicks,
                key: &click.id,
                value: &self.click.encode_form(click)?,
                headers: headers("click", click.workspace, click.mode, marks),
            }),
            Record::Track(track) => self.produce(&Outgoing {
                topic: &self.tracks,
                key: &Tenant::new(&track.workspace, &track.mode).key(),
                value: &self.track.encode(track)?,
                headers: headers(&track.kind, &track.workspace, &track.mode, marks),
            }),
            Record::StripeEvent(event) => self.produce(&Outgoing {
                topic: &self.stripe,
                key: &Tenant::new(&event.workspace, &event.mode).key(),
                value: &self.event.encode(event)?,
                headers: headers(&event.event_type, &event.workspace, &event.mode, marks),
            }),
        }
    }

    fn produce(&self, record: &Outgoing<'_>) -> Result<Delivery, AppendError> {
        let slot = Arc::new(Slot::default());
        if let Some(spool) = self.spool.as_ref().filter(|spool| spool.is_away()) {
            return record.spool(spool, slot);
        }
        let headers = kafka_headers(record.present());
        let sent = self.producer.send(
            BaseRecord::with_opaque_to(record.topic, Arc::clone(&slot))
                .key(record.key)
                .payload(record.value)
                .headers(headers),
        );
        // A full queue is an answer, not a reason to wait: memory stays bounded.
        match (sent, &self.spool) {
            (Ok(()), _) => Ok(Delivery(slot)),
            (Err((error, _)), Some(spool)) if !is_of_the_record(&error) => record.spool(spool, slot),
            (Err((error, _)), _) => Err(AppendError::Kafka(error)),
        }
    }

    /// Sends a record that the spool holds.
    pub(crate) fn send_spooled(&self, record: &Spooled<'_>) -> Result<Delivery, AppendError> {
        let slot = Arc::new(Slot::of_spool());
        let headers = kafka_headers(record.headers.iter().map(|(key, value)| (&**key, &**value)));
        let sent = self.producer.send(
            BaseRecord::with_opaque_to(&record.topic, Arc::clone(&slot))
                .key(&*record.key)
                .payload(&*record.value)
                .headers(headers),
        );
        sent.map(|()| Delivery(slot))
            .map_err(|(error, _)| AppendError::Kafka(error))
    }

    /// Completes when the producer will never send again, say because a broker lost what it had acknowledged: only a new
    /// process can go on.
    pub(crate) async fn failed(&self) {
        self.fatal.notified().await;
    }

    /// Waits until nothing is on its way, at most `wait`. Blocks.
    pub(crate) fn flush(&self, wait: Duration) -> Result<(), KafkaError> {
        self.producer.flush(wait)
    }
}

impl<'a> Outgoing<'a> {
    fn present(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers.iter().copied().flatten()
    }

    fn spool(&self, spool: &Spool, slot: Arc<Slot>) -> Result<Delivery, AppendError> {
        let record = Spooled {
            topic: self.topic.into(),
            key: self.key.as_bytes().into(),
            value: self.value.into(),
            headers: self
                .present()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        };
        spool.put(&record, Arc::clone(&slot))?;
        Ok(Delivery(slot))
    }
}

fn kafka_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> OwnedHeaders {
    let room = OwnedHeaders::new_with_capacity(headers.size_hint().1.unwrap_or_default());
    headers.fold(room, |all, (key, value)| {
        all.insert(Header {
            key,
            value: Some(value),
        })
    })
}

fn headers<'a>(
    event_type: &'a str,
    workspace: &'a str,
    mode: &'a str,
    marks: Marks<'a>,
) -> [MaybeHeader<'a>; 5] {
    [
        Some(("event-type", event_type)),
        Some(("workspace", workspace)),
        Some(("mode", mode)),
        marks.traceparent.map(|parent| (TRACEPARENT, parent)),
        marks.is_repeat.then_some(("duplicate", "true")),
    ]
}
