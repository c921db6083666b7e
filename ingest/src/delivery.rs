//! A record on its way, and how it ended.
//!
//! Invariant: a slot ends once. Who waits may go; the record goes on all the same.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use futures::task::AtomicWaker;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tributary_avro::CodecError;

use crate::spool::SpoolError;

/// Why a record is neither in Kafka nor in the spool, as far as is known.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AppendError {
    /// Its own fault: it will not fit a second time either.
    #[error("encode: {0}")]
    Encode(Arc<CodecError>),
    /// No acknowledgement, in time or at all, and no spool.
    #[error("kafka: {0}")]
    Kafka(#[source] KafkaError),
    /// Kafka is away, and the spool did not take it.
    #[error("kafka is away: {0}")]
    Spool(#[from] SpoolError),
    /// Nobody waits any longer; the record may still be taken.
    #[error("no acknowledgement in time")]
    Timeout,
}

impl AppendError {
    /// The closed set of reasons in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            AppendError::Encode(_) => "encode",
            AppendError::Kafka(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => "queue_full",
            AppendError::Kafka(_) => "kafka",
            AppendError::Spool(SpoolError::Full) => "spool_full",
            AppendError::Spool(SpoolError::Disk) => "spool_disk",
            AppendError::Timeout => "timeout",
        }
    }
}

impl From<CodecError> for AppendError {
    fn from(error: CodecError) -> Self {
        Self::Encode(Arc::new(error))
    }
}

/// How one record ended. One allocation, shared by who waits and who delivers.
#[derive(Default)]
pub(crate) struct Slot {
    result: OnceLock<Result<(), AppendError>>,
    waiting: AtomicWaker,
    /// It comes from the spool, and stays there until Kafka has it.
    pub(crate) is_of_spool: bool,
}

impl Slot {
    /// A slot of a record that the spool holds.
    pub(crate) fn of_spool() -> Self {
        Self {
            is_of_spool: true,
            ..Self::default()
        }
    }

    /// Ends it.
    pub(crate) fn finish(&self, result: Result<(), AppendError>) {
        self.result.set(result).ok();
        self.waiting.wake();
    }
}

/// A record on its way.
pub(crate) struct Delivery(pub(crate) Arc<Slot>);

impl Delivery {
    /// Waits until Kafka or the spool has the record, or neither will. Ends by itself: the producer gives a record up
    /// when the acknowledgement timeout passes.
    pub(crate) async fn acknowledged(self) -> Result<(), AppendError> {
        let Slot { result, waiting, .. } = &*self.0;
        poll_fn(|context| {
            if result.get().is_none() {
                waiting.register(context.waker());
            }
            // Again: it may have come before the waker was there.
            result.get().cloned().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
