//! Topic `config` into catalog and claims: read from the beginning, then followed for ever.
//!
//! Invariant: the position is told only after the record before it was taken in, and the topic has one partition,
//! so that all processes read one order.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use rdkafka::{Offset, TopicPartitionList};
use tributary_avro::Config;

use super::claims::{CLAIM, PREFIX, RELEASE};
use super::{Shared, View};
use crate::kafka::is_off_the_log;

/// Reads a framed config record; may fetch an unknown schema (it runs in a thread that may block).
pub type ConfigReader = Box<dyn FnMut(&[u8]) -> anyhow::Result<Config> + Send>;

const POLL: Duration = Duration::from_millis(100);

/// Runs until `shared` is stopped.
pub(super) fn run(shared: &Shared, mut read: ConfigReader) {
    while !shared.stopped.load(Relaxed) {
        if let Err(error) = follow(shared, &mut read) {
            tracing::warn!("config topic: {error:#}; trying again");
            std::thread::sleep(POLL);
        }
    }
}

fn follow(shared: &Shared, read: &mut ConfigReader) -> anyhow::Result<()> {
    let consumer = shared
        .kafka
        .reader(&[("enable.partition.eof", "true"), ("auto.offset.reset", "error")])?;
    let from = match *shared.position.borrow() {
        0 => Offset::Beginning,
        next => Offset::Offset(next),
    };
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&shared.topic, 0, from)?;
    consumer.assign(&assignment)?;
    while !shared.stopped.load(Relaxed) {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                take_in(&message, read, &mut shared.view_mut());
                shared.position.send_replace(message.offset() + 1);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => shared.loaded.store(true, Relaxed),
            // The topic was cut or made anew, and nothing more would come. What is known stays, what is there is read
            // again.
            Some(Err(error)) if is_off_the_log(&error) => {
                shared.position.send_replace(0);
                return Err(error).context("the topic was cut or made anew");
            }
            // Transport errors heal by themselves: the client connects again.
            Some(Err(error)) => tracing::warn!(%error, "config topic"),
        }
    }
    Ok(())
}

// A record that cannot be read is told and passed over: the objects beside it must not wait for it.
fn take_in(message: &BorrowedMessage<'_>, read: &mut ConfigReader, view: &mut View) {
    let result = match message.payload() {
        None => tombstone(message, view),
        Some(value) => read(value).and_then(|config| Ok(view.catalog.apply(&config)?)),
    };
    if let Err(error) = result {
        tracing::error!(offset = message.offset(), "config record passed over: {error:#}");
    }
}

fn tombstone(message: &BorrowedMessage<'_>, view: &mut View) -> anyhow::Result<()> {
    let key = std::str::from_utf8(message.key().unwrap_or_default()).context("key")?;
    if let Some(name) = key.strip_prefix(PREFIX) {
        let headers = message.headers().context("a claim without a header")?;
        for header in headers.iter() {
            let claimant = || -> anyhow::Result<u64> {
                let text = std::str::from_utf8(header.value.unwrap_or_default())?;
                Ok(u64::from_str_radix(text, 16)?)
            };
            match header.key {
                CLAIM => view.claims.claim(name, claimant()?, Instant::now()),
                RELEASE => view.claims.release(name, claimant()?),
                _ => {}
            }
        }
        return Ok(());
    }
    let mut parts = key.splitn(3, '/');
    if let (Some(workspace), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) {
        view.catalog.remove(workspace, kind, id);
    }
    Ok(())
}
