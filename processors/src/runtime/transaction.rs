//! One transactional producer and its transactions.
//!
//! Invariants: a producer that failed in a way that leaves the outcome open is poisoned and begins nothing;
//! a transaction that is neither committed nor aborted poisons its producer. librdkafka has no KIP-890: a
//! commit that arrives late could otherwise end the next transaction.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::classify::{Class, classify};
use super::polled::Polled;
use crate::kafka::{Settings, TRANSACTION_TIMEOUT};

/// How many outputs have their offsets reported.
pub const SLOTS: usize = 4;
const FENCE_PATIENCE: Duration = Duration::from_secs(30);
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// A failed transaction and what that means.
#[derive(Debug, thiserror::Error)]
#[error("transaction: {doing}: {source} ({class:?})")]
pub struct TransactionError {
    /// What follows from it.
    pub class: Class,
    doing: &'static str,
    #[source]
    source: KafkaError,
}

fn failed(doing: &'static str) -> impl FnOnce(KafkaError) -> TransactionError {
    move |source| TransactionError {
        class: classify(&source),
        doing,
        source,
    }
}

#[derive(Default)]
struct Deliveries {
    last: [AtomicI64; SLOTS],
    pending: AtomicUsize,
    error: Mutex<Option<KafkaError>>,
    done: Condvar,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        match result {
            Ok(message) => {
                if let Some(last) = self.last.get(slot) {
                    last.fetch_max(message.offset() + 1, Ordering::Relaxed);
                }
            }
            Err((error, _)) => {
                let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.clone());
            }
        }
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _guard = self.error.lock().unwrap_or_else(PoisonError::into_inner);
            self.done.notify_all();
        }
    }
}

/// A producer under one transactional ID, with every earlier one fenced off.
pub struct TransactionalProducer {
    producer: Polled<Deliveries>,
    deliveries: Arc<Deliveries>,
    poisoned: bool,
}

/// One record to write within a transaction.
pub struct Output<'a> {
    /// Whose last offset is asked for: 0 to [`SLOTS`].
    pub slot: usize,
    /// Topic.
    pub topic: &'a str,
    /// Partition; None: by murmur2 of the key.
    pub partition: Option<i32>,
    /// Key.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
    /// Headers.
    pub headers: Option<OwnedHeaders>,
}

impl TransactionalProducer {
    /// A producer that has taken over `id`: whatever an earlier one left open is committed or aborted.
    ///
    /// # Errors
    /// If Kafka does not let it within half a minute.
    pub fn fence(settings: &Settings, id: &str) -> Result<Self, TransactionError> {
        let config = settings.transactional_producer(id);
        let producer =
            Polled::new(&config, Deliveries::default()).map_err(failed("creating the producer"))?;
        let deadline = Instant::now() + FENCE_PATIENCE;
        retry(deadline, "fencing", || producer.init_transactions(CALL_PATIENCE))?;
        Ok(Self {
            deliveries: Arc::clone(producer.context()),
            producer,
            poisoned: false,
        })
    }

    /// Begins a transaction. Do so late: an open one blocks the readers of its partitions.
    ///
    /// # Errors
    /// If the producer is poisoned or Kafka refuses.
    pub fn begin(&mut self) -> Result<Transaction<'_>, TransactionError> {
        if self.poisoned {
            return Err(TransactionError {
                class: Class::Fatal,
                doing: "beginning",
                source: KafkaError::Canceled,
            });
        }
        self.deliveries
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for last in &self.deliveries.last {
            last.store(0, Ordering::Relaxed);
        }
        self.poisoned = true;
        self.producer.begin_transaction().map_err(failed("beginning"))?;
        Ok(Transaction { owner: self })
    }
}

/// An open transaction. Dropped without commit or abort, it leaves its producer poisoned.
#[must_use = "a transaction must be committed or aborted"]
pub struct Transaction<'a> {
    owner: &'a mut TransactionalProducer,
}

impl Transaction<'_> {
    /// Writes a record.
    ///
    /// # Errors
    /// If it cannot be queued.
    pub fn send(&mut self, output: Output<'_>) -> Result<(), TransactionError> {
        let mut record = BaseRecord::with_opaque_to(output.topic, output.slot)
            .key(output.key)
            .payload(output.value);
        record.partition = output.partition;
        record.headers = output.headers;
        let pending = &self.owner.deliveries.pending;
        pending.fetch_add(1, Ordering::AcqRel);
        let mut deadline = None;
        loop {
            match self.owner.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back))
                    if classify(&error) == Class::Retry
                        && Instant::now()
                            < *deadline.get_or_insert_with(|| Instant::now() + TRANSACTION_TIMEOUT) =>
                {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => {
                    pending.fetch_sub(1, Ordering::AcqRel);
                    return Err(failed("sending")(error));
                }
            }
        }
    }

    /// Adds the input offsets: they move if and only if the outputs are committed. Waits for all outputs first.
    ///
    /// # Errors
    /// If an output was not delivered, or the group does not know this member any more.
    pub fn send_offsets(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), TransactionError> {
        self.drain()?;
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        retry(deadline, "sending offsets", || {
            self.owner
                .producer
                .send_offsets_to_transaction(offsets, group, CALL_PATIENCE)
        })
    }

    /// Commits, and tells for each slot the offset after its last record (0: none was written).
    ///
    /// # Errors
    /// Of class Abort: nothing was committed. Of any other: it may have been.
    pub fn commit(self) -> Result<[i64; SLOTS], TransactionError> {
        self.drain()?;
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        retry(deadline, "committing", || {
            self.owner.producer.commit_transaction(CALL_PATIENCE)
        })?;
        self.owner.poisoned = false;
        let last = &self.owner.deliveries.last;
        Ok(std::array::from_fn(|slot| {
            last.get(slot).map_or(0, |offset| offset.load(Ordering::Relaxed))
        }))
    }

    /// Aborts.
    ///
    /// # Errors
    /// If Kafka does not confirm it; the producer stays poisoned.
    pub fn abort(self) -> Result<(), TransactionError> {
        // What an undelivered output's error says does not matter here, but an abort right after a send is
        // fatal in librdkafka.
        self.drain().ok();
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        retry(deadline, "aborting", || {
            self.owner.producer.abort_transaction(CALL_PATIENCE)
        })?;
        self.owner.poisoned = false;
        Ok(())
    }

    // Waiting here and not in `commit_transaction`: that one polls in steps of 100 ms.
    /// Waits until every output is delivered.
    ///
    /// # Errors
    /// If one was not.
    pub fn drain(&self) -> Result<(), TransactionError> {
        // And not with `poll`, which spins through the last millisecond of its timeout: the producer's own
        // thread serves the reports.
        let deadline = Instant::now() + TRANSACTION_TIMEOUT + CALL_PATIENCE;
        let deliveries = &self.owner.deliveries;
        let mut error = deliveries.error.lock().unwrap_or_else(PoisonError::into_inner);
        while deliveries.pending.load(Ordering::Acquire) > 0 {
            if Instant::now() > deadline {
                let code = RDKafkaErrorCode::MessageTimedOut;
                return Err(failed("delivering")(KafkaError::MessageProduction(code)));
            }
            error = deliveries
                .done
                .wait_timeout(error, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let first = error.take();
        first.map_or(Ok(()), |error| Err(failed("delivering")(error)))
    }
}

// librdkafka resumes the same operation when a call is repeated after a retriable error.
fn retry(
    deadline: Instant,
    doing: &'static str,
    mut call: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), TransactionError> {
    loop {
        match call() {
            Ok(()) => return Ok(()),
            Err(error) if classify(&error) == Class::Retry && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            // A retriable error with no time left is an unknown outcome.
            Err(source) => {
                let class = match classify(&source) {
                    Class::Retry => Class::Fatal,
                    class => class,
                };
                return Err(TransactionError { class, doing, source });
            }
        }
    }
}
