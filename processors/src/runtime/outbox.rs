//! An idempotent producer for stages that are at least once: send, then wait until all of it is in Kafka.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::polled::Polled;
use crate::kafka::Settings;

/// What a caller waits for: its own records, not those of other threads.
#[derive(Default)]
struct Ticket {
    pending: AtomicUsize,
    error: Mutex<Option<KafkaError>>,
    done: Condvar,
}

struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        if let Err((error, _)) = result {
            let mut first = ticket.error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
        if ticket.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _guard = ticket.error.lock().unwrap_or_else(PoisonError::into_inner);
            ticket.done.notify_all();
        }
    }
}

/// The producer of one stage; cheap to clone, shared by its workers.
#[derive(Clone)]
pub struct Producers(Polled<Reports>);

impl Producers {
    /// A producer; connects when it is used.
    ///
    /// # Errors
    /// If the client configuration is wrong.
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        let mut config = settings.producer();
        // A broker that is away for minutes is waited for; the input stays where it is.
        config.set("message.timeout.ms", "300000");
        Ok(Self(Polled::new(&config, Reports)?))
    }

    /// An outbox of one worker.
    pub fn outbox(&self) -> Outbox {
        Outbox {
            producer: self.0.clone(),
            ticket: Arc::default(),
        }
    }
}

/// The records that one worker has sent and not yet waited for.
pub struct Outbox {
    producer: Polled<Reports>,
    ticket: Arc<Ticket>,
}

impl Outbox {
    /// Sends a record; waits while the producer's queue is full.
    ///
    /// # Errors
    /// If it can never be sent, e.g. because it is too large.
    pub fn send(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        headers: Option<OwnedHeaders>,
    ) -> Result<(), KafkaError> {
        let mut record = BaseRecord::with_opaque_to(topic, Arc::clone(&self.ticket))
            .key(key)
            .payload(value);
        record.headers = headers;
        self.put(record)
    }

    /// Sends a record without a value: of a compacted topic it takes the key away.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn tombstone(&self, topic: &str, key: &[u8]) -> Result<(), KafkaError> {
        self.put(BaseRecord::with_opaque_to(topic, Arc::clone(&self.ticket)).key(key))
    }

    fn put(&self, mut record: BaseRecord<'_, [u8], [u8], Arc<Ticket>>) -> Result<(), KafkaError> {
        self.ticket.pending.fetch_add(1, Ordering::AcqRel);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => {
                    self.ticket.pending.fetch_sub(1, Ordering::AcqRel);
                    return Err(error);
                }
            }
        }
    }

    /// Whether nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.ticket.pending.load(Ordering::Acquire) == 0
    }

    /// Waits until every record sent so far is acknowledged by all in-sync replicas.
    ///
    /// # Errors
    /// The first that was not.
    pub fn wait(&self) -> Result<(), KafkaError> {
        let mut error = self.ticket.error.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_idle() {
            error = self
                .ticket
                .done
                .wait_timeout(error, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        error.take().map_or(Ok(()), Err)
    }

    /// Whether the producer is beyond repair.
    pub fn fatal(&self) -> Option<String> {
        self.producer.client().fatal_error().map(|(_, text)| text)
    }
}
