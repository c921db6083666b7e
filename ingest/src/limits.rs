//! How many requests a caller may make: a bucket for each address and each key, in bounded memory.
//!
//! A bucket is one number, the time at which it will be full again (GCRA): what is not there is full, so full ones
//! need not be kept. IPv6 counts by /64, which is what one subscriber has.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tributary_domain::requests::Limited;

const SHARDS: usize = 64;
/// Callers known at once in all shards: some 9 MB. With more at once the limits of a 64th of them begin anew.
const CALLERS: usize = 262_144;

/// Limits of one edge process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second of one address (IPv6: of one /64) that have no secret key; 0: no limit.
    pub per_ip: u32,
    /// So many at once are let through before that.
    pub per_ip_burst: u32,
    /// Requests a second with one secret key; 0: no limit.
    pub per_key: u32,
    /// So many at once are let through before that.
    pub per_key_burst: u32,
    /// Open connections; more are closed at once. 0: no limit.
    pub connections: usize,
    /// Open connections of one address (IPv6: of one /64), trusted proxies excepted. 0: no limit.
    pub connections_per_ip: usize,
    /// A connection on which a request's head is not complete after so many milliseconds (half as long again at most)
    /// is closed; 0: connections are never closed for what they do not do.
    pub head_timeout_ms: u64,
    /// One without a request for so many milliseconds is closed. Longer than what a proxy keeps its connections for.
    pub idle_timeout_ms: u64,
    /// A request's head, and what is read of a body at once, bytes; at least 8192.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_ip: 100,
            per_ip_burst: 500,
            per_key: 5_000,
            per_key_burst: 10_000,
            connections: 16_384,
            connections_per_ip: 1_024,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            head_bytes: 65_536,
        }
    }
}

/// An address as it is counted.
pub(crate) fn counted(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

/// A limit of a second, and the burst before it.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// The buckets.
pub(crate) struct Buckets {
    keys: RandomState,
    start: Instant,
    // By the caller's hash: when the bucket is full again, nanoseconds since the start.
    shards: Vec<Mutex<Full>>,
    per_shard: usize,
}

// Keys are hashes under a key of the process already.
type Full = std::collections::HashMap<u64, u64, std::hash::BuildHasherDefault<Hashed>>;

#[derive(Default)]
struct Hashed(u64);

impl std::hash::Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Buckets {
    pub(crate) fn new() -> Self {
        Self::holding(CALLERS)
    }

    fn holding(callers: usize) -> Self {
        Self {
            keys: RandomState::new(),
            start: Instant::now(),
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            per_shard: callers.div_ceil(SHARDS),
        }
    }

    /// Takes one request out of the caller's bucket, or says how long it is empty.
    pub(crate) fn take(&self, caller: impl std::hash::Hash, rate: Rate, now: Instant) -> Result<(), Limited> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let hash = self.keys.hash_one(caller);
        let Some(shard) = self.shards.get((hash >> 32) as usize % SHARDS) else {
            return Ok(());
        };
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let each = 1_000_000_000 / u64::from(rate.per_second);
        let mut full = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if !full.contains_key(&hash) && full.len() >= self.per_shard {
            full.retain(|_, at| *at > now);
            // Still full: so many callers at once that to tell them apart helps nobody.
            if full.len() >= self.per_shard {
                full.clear();
            }
        }
        let at = full.entry(hash).or_insert(0);
        let next = (*at).max(now) + each;
        let allowed = now + each * u64::from(rate.burst.max(1));
        if next > allowed {
            return Err(Limited {
                per_second: rate.per_second,
                wait_ms: (next - allowed).div_ceil(1_000_000),
            });
        }
        *at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_burst_and_then_the_rate() {
        let buckets = Buckets::new();
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take("a", RATE, start), Ok(()));
        }
        let refused = buckets.take("a", RATE, start).unwrap_err();
        assert_eq!((refused.per_second, refused.wait_ms), (10, 100));
        assert_eq!(buckets.take("b", RATE, start), Ok(()), "each has its own");
        // What was refused costs nothing: after the wait one goes through, and one only.
        let later = start + Duration::from_millis(refused.wait_ms);
        assert_eq!(buckets.take("a", RATE, later), Ok(()));
        assert!(buckets.take("a", RATE, later).is_err());
        let rested = start + Duration::from_secs(10);
        let taken = (0..10).filter(|_| buckets.take("a", RATE, rested).is_ok());
        assert_eq!(taken.count(), 3, "rest does not add up beyond the burst");
    }

    #[test]
    fn zero_is_no_limit() {
        let none = Rate {
            per_second: 0,
            burst: 0,
        };
        let buckets = Buckets::new();
        assert!((0..100).all(|_| buckets.take("a", none, Instant::now()).is_ok()));
    }

    #[test]
    fn memory_is_bounded_and_full_buckets_are_the_ones_forgotten() {
        let buckets = Buckets::holding(SHARDS * 8);
        let start = Instant::now();
        let held =
            |buckets: &Buckets| -> usize { buckets.shards.iter().map(|s| s.lock().unwrap().len()).sum() };
        for caller in 0..10_000_u32 {
            buckets.take(caller, RATE, start).ok();
            assert!(held(&buckets) <= SHARDS * 8);
        }
        // A second later all are full again, but for one that is emptied: newcomers take the places of the others.
        let buckets = Buckets::holding(SHARDS * 8);
        let start = buckets.start;
        let slow = Rate {
            per_second: 1,
            burst: 60,
        };
        while buckets.take("busy", slow, start).is_ok() {}
        for caller in 0..10_000_u32 {
            let now = start + Duration::from_millis(u64::from(caller) * 2);
            buckets.take(caller, RATE, now).ok();
        }
        let now = start + Duration::from_secs(20);
        let taken = (0..60).filter(|_| buckets.take("busy", slow, now).is_ok());
        assert_eq!(taken.count(), 20);
    }

    #[test]
    fn addresses_are_counted_as_subscribers_have_them() {
        let of = |text: &str| counted(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:203.0.113.7"), of("203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
    }
}
