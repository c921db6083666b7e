//! What requests and the config feed share: the directory, readiness, the number of requests in flight.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use serde_json::json;
use tributary_domain::requests::Directory;

use crate::batches::Batches;
use crate::spool::Spool;

#[derive(Default)]
pub(crate) struct State {
    // Written a few times a minute; a request holds the read lock for the microseconds of `handle`.
    directory: RwLock<Directory>,
    pub loaded: AtomicBool,
    pub kafka_reachable: AtomicBool,
    pub stopped: AtomicBool,
    pub batches: Batches,
    in_flight: AtomicUsize,
}

impl State {
    pub(crate) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        // A directory is replaced as a whole: a panic elsewhere cannot have left half of one.
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, directory: Directory) {
        let old = {
            let mut current = self.directory.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, directory)
        };
        drop(old);
        self.loaded.store(true, Relaxed);
    }

    /// A place among the requests in flight; None if all are taken.
    pub(crate) fn enter(&self, limit: usize) -> Option<InFlight<'_>> {
        let place = InFlight(&self.in_flight);
        (self.in_flight.fetch_add(1, Relaxed) < limit).then_some(place)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Status and body of `/readyz`. With room in the spool, an edge does not need Kafka.
    pub(crate) fn readiness(&self, spool: Option<&Spool>) -> (u16, String) {
        let mut reasons = Vec::new();
        if self.stopped.load(Relaxed) {
            reasons.push("shutting down");
        }
        match spool {
            Some(spool) if spool.is_nearly_full() => reasons.push("spool 80 % full"),
            Some(spool) if spool.refuses() => reasons.push("the spool's disk refuses writes"),
            None if !self.kafka_reachable.load(Relaxed) => reasons.push("kafka unreachable"),
            _ => {}
        }
        if !self.loaded.load(Relaxed) {
            reasons.push("config not loaded");
        }
        let status = if reasons.is_empty() { 200 } else { 503 };
        (
            status,
            json!({
                "ready": reasons.is_empty(),
                "reasons": reasons,
                "kafka": if self.kafka_reachable.load(Relaxed) { "reachable" } else { "unreachable" },
                "spooled_bytes": spool.map_or(0, Spool::used),
            })
            .to_string(),
        )
    }
}

pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_flight_are_given_back() {
        let state = State::default();
        let first = state.enter(2);
        let second = state.enter(2);
        assert!(first.is_some() && second.is_some());
        assert!(state.enter(2).is_none());
        assert_eq!(state.in_flight(), 2);
        drop(first);
        assert!(state.enter(2).is_some());
    }

    #[test]
    fn readiness_tells_every_reason() {
        let state = State::default();
        let (status, body) = state.readiness(None);
        assert_eq!(status, 503);
        assert!(
            body.contains("kafka unreachable") && body.contains("config not loaded"),
            "{body}"
        );
        state.publish(Directory::default());
        state.kafka_reachable.store(true, Relaxed);
        assert_eq!(state.readiness(None).0, 200);
    }
}
