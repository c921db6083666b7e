//! A producer whose delivery reports are served by a thread of its own.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig};

/// A dropped producer lives on for so long. The library spins through the last millisecond of each round, so that
/// its own threaded producer, with rounds of 100 ms, takes a hundredth of a core while it does nothing.
const ROUND: Duration = Duration::from_secs(1);

/// Cheap to clone; ends with the last clone. What is not delivered then never will be by it.
pub struct Polled<C: ProducerContext + 'static>(Arc<Inner<C>>);

struct Inner<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    ended: Arc<AtomicBool>,
}

impl<C: ProducerContext + 'static> Polled<C> {
    /// A producer; connects when it is used.
    ///
    /// # Errors
    /// If the client configuration is wrong, or there is no thread to be had.
    pub fn new(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let producer: Arc<BaseProducer<C>> = Arc::new(config.create_with_context(context)?);
        let ended = Arc::new(AtomicBool::new(false));
        let (polled, has_ended) = (Arc::clone(&producer), Arc::clone(&ended));
        std::thread::Builder::new()
            .name("reports".to_owned())
            .spawn(move || {
                while !has_ended.load(Ordering::Acquire) {
                    polled.poll(ROUND);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self(Arc::new(Inner { producer, ended })))
    }
}

impl<C: ProducerContext + 'static> Clone for Polled<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: ProducerContext + 'static> Deref for Polled<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.0.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Inner<C> {
    fn drop(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.ended.store(true, Ordering::Release);
    }
}
