//! Time and randomness of the edge: the only place where a request gets either.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that is set back by no more than this (milliseconds) stands until it has caught up, so that what came later
/// is not told as earlier. Farther back, the time before was wrong, and is not kept: Stripe's signatures would be
/// refused as too old.
const STANDS_FOR: i64 = 10_000;

/// Wall clock and a keyed stream of random numbers: SipHash of a counter under keys from the system, so
/// that one ID does not tell the next, at a few nanoseconds each.
pub(crate) struct Clock {
    keys: RandomState,
    drawn: AtomicU64,
    latest: AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut start = [0; 8];
        getrandom::fill(&mut start)?;
        Ok(Self {
            keys: RandomState::new(),
            drawn: AtomicU64::new(u64::from_ne_bytes(start)),
            latest: AtomicI64::new(0),
        })
    }

    /// UTC milliseconds, and 64 random bits.
    pub(crate) fn now(&self) -> (i64, u64) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let random = self.keys.hash_one(self.drawn.fetch_add(1, Relaxed));
        (self.steady(wall), random)
    }

    fn steady(&self, wall: i64) -> i64 {
        let latest = self.latest.load(Relaxed);
        if wall == latest || latest > wall && latest - wall <= STANDS_FOR {
            return latest;
        }
        // Of two that come at once one is enough, and the other is a millisecond away.
        self.latest.compare_exchange(latest, wall, Relaxed, Relaxed).ok();
        wall
    }
}

#[cfg(test)]
mod tests {
    use tributary_domain::click_id;

    use super::*;

    #[test]
    fn time_does_not_go_back_with_a_clock_that_is_set_back_a_little() {
        let clock = Clock::new().unwrap();
        let noon = 1_790_000_000_000;
        let walls = [noon, noon + 5, noon - 1_000, noon + 4, noon - 9_995, noon + 6];
        let told = walls.map(|wall| clock.steady(wall));
        assert_eq!(told, [noon, noon + 5, noon + 5, noon + 5, noon + 5, noon + 6]);
        let ids = told.map(|at| click_id::time(&click_id::new(at, 7)).unwrap());
        assert!(ids.is_sorted());
    }

    #[test]
    fn a_clock_that_was_far_ahead_is_put_right_at_once() {
        let clock = Clock::new().unwrap();
        let noon = 1_790_000_000_000;
        let walls = [noon + 3_600_000, noon, noon + 1, noon - STANDS_FOR, noon];
        let told = walls.map(|wall| clock.steady(wall));
        assert_eq!(told, [noon + 3_600_000, noon, noon + 1, noon - STANDS_FOR, noon]);
    }
}
