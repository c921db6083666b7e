//! First clicks of the hour, and events that Stripe has delivered, shared by all requests of this process.
//!
//! Clicks in shards, so that cores rarely wait for each other: a request holds one lock for a look into a hash map.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tributary_avro::StripeEvent;
use tributary_domain::requests::{FirstId, Firsts, Visit};
use xxhash_rust::xxh3::xxh3_128;

const SHARDS: usize = 64;

pub(crate) struct Repeats(Vec<Mutex<Firsts>>);

impl Repeats {
    /// For at most `limit` first clicks, about 60 bytes each; 0 remembers none.
    pub(crate) fn new(limit: usize) -> Self {
        let shard = || Mutex::new(Firsts::new(limit.div_ceil(SHARDS)));
        Self(std::iter::repeat_with(shard).take(SHARDS).collect())
    }

    pub(crate) fn first(&self, key: u64, hour: i64) -> Option<FirstId> {
        self.shard(key)?.first(key, hour)
    }

    /// To be called once the click is durable.
    pub(crate) fn keep(&self, visit: Visit) {
        if let Some(mut shard) = self.shard(visit.key) {
            shard.keep(visit);
        }
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, Firsts>> {
        // By bits that the hash map of the shard does not begin with.
        let shard = self.0.get((key >> 40) as usize % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A Stripe event as it is told apart from others: two are never taken for one, short of a collision of 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EventKey(u128);

impl EventKey {
    /// Its ID, in its workspace and mode.
    pub(crate) fn of(event: &StripeEvent) -> Self {
        let StripeEvent {
            workspace, mode, id, ..
        } = event;
        Self(xxh3_128(format!("{workspace}/{mode}/{id}").as_bytes()))
    }
}

/// The latest events that are durable, at most so many. When it is full, the older half is forgotten.
///
/// One lock: events come by the thousand at most, not by the hundred thousand as clicks do.
pub(crate) struct Delivered {
    half: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashSet<EventKey>,
    old: HashSet<EventKey>,
}

impl Delivered {
    /// For at most `limit` events, about 40 bytes each; 0 remembers none.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            half: limit / 2,
            generations: Mutex::default(),
        }
    }

    pub(crate) fn knows(&self, event: EventKey) -> bool {
        let all = self.lock();
        all.young.contains(&event) || all.old.contains(&event)
    }

    /// To be called once the event is durable: what is marked as a repeat must have been told before.
    pub(crate) fn keep(&self, event: EventKey) {
        if self.half == 0 {
            return;
        }
        let mut all = self.lock();
        if all.young.len() >= self.half {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(event);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_id_in_its_workspace_and_mode() {
        let event = |workspace: &str, mode: &str, id: &str| {
            EventKey::of(&StripeEvent {
                workspace: workspace.into(),
                mode: mode.into(),
                id: id.into(),
                ..StripeEvent::default()
            })
        };
        let delivered = Delivered::new(10);
        delivered.keep(event("acme", "live", "evt_1"));
        assert!(delivered.knows(event("acme", "live", "evt_1")));
        for other in [
            event("acme", "live", "evt_2"),
            event("acme", "test", "evt_1"),
            event("other", "live", "evt_1"),
        ] {
            assert!(!delivered.knows(other));
        }
    }

    #[test]
    fn it_never_holds_more_than_its_limit_and_forgets_the_older() {
        let delivered = Delivered::new(8);
        for event in (0..100).map(EventKey) {
            delivered.keep(event);
            let held = (0..100).filter(|&n| delivered.knows(EventKey(n))).count();
            assert!(held <= 8 && delivered.knows(event), "{held}");
        }
        // Told again, it is remembered for longer.
        delivered.keep(EventKey(96));
        (200..205).map(EventKey).for_each(|event| delivered.keep(event));
        assert!(delivered.knows(EventKey(96)) && !delivered.knows(EventKey(90)));
        let none = Delivered::new(0);
        none.keep(EventKey(1));
        assert!(!none.knows(EventKey(1)));
    }
}
