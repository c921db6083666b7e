//! Time and randomness of the edge: the only place where a request gets either.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall clock and a keyed stream of random numbers: SipHash of a counter under keys from the system, so
/// that one ID does not tell the next, at a few nanoseconds each.
pub(crate) struct Clock {
    keys: RandomState,
    drawn: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut start = [0; 8];
        getrandom::fill(&mut start)?;
        Ok(Self {
            keys: RandomState::new(),
            drawn: AtomicU64::new(u64::from_ne_bytes(start)),
        })
    }

    /// UTC milliseconds, and 64 random bits.
    pub(crate) fn now(&self) -> (i64, u64) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        (at, self.keys.hash_one(self.drawn.fetch_add(1, Relaxed)))
    }
}
