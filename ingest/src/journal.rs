//! The edge's way into Kafka: a record is appended when all in-sync replicas have it.
//!
//! Invariant: `append` says Ok only after the acknowledgement. After an error the record may still have
//! landed; IDs make a repeat by the caller a record of its own, which later stages tell apart.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use futures::task::AtomicWaker;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tributary_avro::{Click, CodecError, Encoder, StripeEvent, Topic, Track};
use tributary_domain::requests::Record;
use tributary_domain::tenant::Tenant;

use crate::config::{IngestConfig, KafkaConfig};

/// Encoders of what the edge writes; the caller knows their schema IDs.
pub struct Encoders {
    /// For topic clicks.
    pub click: Encoder<Click>,
    /// For topic tracks.
    pub track: Encoder<Track>,
    /// For topic stripe.events.
    pub stripe: Encoder<StripeEvent>,
}

/// Why a record is not known to be in Kafka.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// Its own fault: it will not fit a second time either.
    #[error("encode: {0}")]
    Encode(#[from] CodecError),
    /// No acknowledgement, in time or at all.
    #[error("kafka: {0}")]
    Kafka(#[source] KafkaError),
    /// Too many wait already.
    #[error("too many requests are in flight")]
    InFlight,
    /// Kafka may still take it.
    #[error("kafka did not acknowledge in time")]
    Timeout,
}

/// What the producer tells: logs, and how each record ended.
struct Reports;

/// How one record ended. One allocation, shared by who waits and the producer.
#[derive(Default)]
struct Slot {
    result: OnceLock<Result<(), KafkaError>>,
    waiting: AtomicWaker,
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Arc<Slot>) {
        let result = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.clone()),
        };
        // A record ends once.
        slot.result.set(result).ok();
        slot.waiting.wake();
    }
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
        tracing::warn!(%error, "kafka: {reason}");
    }
}

pub(crate) struct Journal {
    producer: ThreadedProducer<Reports>,
    click: Encoder<Click>,
    clicks: String,
    track: Encoder<Track>,
    tracks: String,
    event: Encoder<StripeEvent>,
    stripe: String,
}

impl Journal {
    pub(crate) fn new(config: &IngestConfig, encoders: Encoders) -> anyhow::Result<Self> {
        let kafka: &KafkaConfig = &config.kafka;
        let mut client = kafka.client();
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
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
        let producer = client.create_with_context(Reports).context("kafka producer")?;
        Ok(Self {
            producer,
            click: encoders.click,
            clicks: kafka.topic(Topic::Clicks),
            track: encoders.track,
            tracks: kafka.topic(Topic::Tracks),
            event: encoders.stripe,
            stripe: kafka.topic(Topic::StripeEvents),
        })
    }

    /// Sends a record on its way. Nothing is borrowed or kept: who waits holds the delivery only.
    pub(crate) fn send(&self, record: &Record<'_>) -> Result<Delivery, AppendError> {
        match record {
            Record::Click(click) => {
                let value = self.click.encode_form(click)?;
                let headers = headers("click", click.workspace, click.mode);
                self.produce(&self.clicks, &click.id, &value, headers)
            }
            Record::Track(track) => {
                let value = self.track.encode(track)?;
                let key = Tenant::new(&track.workspace, &track.mode).key();
                let headers = headers(&track.kind, &track.workspace, &track.mode);
                self.produce(&self.tracks, &key, &value, headers)
            }
            Record::StripeEvent(event) => {
                let value = self.event.encode(event)?;
                let key = Tenant::new(&event.workspace, &event.mode).key();
                let headers = headers(&event.event_type, &event.workspace, &event.mode);
                self.produce(&self.stripe, &key, &value, headers)
            }
        }
    }

    fn produce(
        &self,
        topic: &str,
        key: &str,
        value: &[u8],
        headers: OwnedHeaders,
    ) -> Result<Delivery, AppendError> {
        let slot = Arc::new(Slot::default());
        let record = BaseRecord::with_opaque_to(topic, Arc::clone(&slot))
            .key(key)
            .payload(value)
            .headers(headers);
        // A full queue is an answer, not a reason to wait: memory stays bounded.
        match self.producer.send(record) {
            Ok(()) => Ok(Delivery(slot)),
            Err((error, _)) => Err(AppendError::Kafka(error)),
        }
    }

    /// Waits until nothing is on its way, at most `wait`. Blocks.
    pub(crate) fn flush(&self, wait: Duration) -> Result<(), KafkaError> {
        self.producer.flush(wait)
    }
}

/// A record on its way.
pub(crate) struct Delivery(Arc<Slot>);

impl Delivery {
    /// Waits for the acknowledgement. Ends by itself about when the acknowledgement timeout passes: the
    /// producer then gives the record up.
    pub(crate) async fn acknowledged(self) -> Result<(), AppendError> {
        let Slot { result, waiting } = &*self.0;
        poll_fn(|context| {
            if result.get().is_none() {
                waiting.register(context.waker());
            }
            // Again: it may have come before the waker was there.
            match result.get() {
                None => Poll::Pending,
                Some(Ok(())) => Poll::Ready(Ok(())),
                Some(Err(error)) => Poll::Ready(Err(AppendError::Kafka(error.clone()))),
            }
        })
        .await
    }
}

impl AppendError {
    /// The closed set of reasons in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            AppendError::Encode(_) => "encode",
            AppendError::Kafka(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => "queue_full",
            AppendError::Kafka(_) => "kafka",
            AppendError::InFlight => "in_flight",
            AppendError::Timeout => "timeout",
        }
    }
}

fn headers(event_type: &str, workspace: &str, mode: &str) -> OwnedHeaders {
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    OwnedHeaders::new_with_capacity(3)
        .insert(header("event-type", event_type))
        .insert(header("workspace", workspace))
        .insert(header("mode", mode))
}
