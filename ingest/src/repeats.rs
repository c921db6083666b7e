//! First clicks of the hour, shared by all requests of this process.
//!
//! In shards, so that cores rarely wait for each other: a request holds one lock for a look into a hash map.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tributary_domain::requests::{FirstId, Firsts, Visit};

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
