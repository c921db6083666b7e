//! Which partition new clicks go to: for some milliseconds all go to few, then to the next.
//!
//! A click's partition follows from its ID, and the ID is the edge's to choose: of random ones the first that leads to a
//! partition of the moment. Spread over all partitions, each batch would hold only a few of the clicks that come within
//! the producer's linger, and a batch costs this process, the network and the broker more than the clicks in it
//! (ADR 0025).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Instant;

use tributary_domain::{click_id, tenant};

/// How long the same partitions take all clicks: a few times the producer's linger, so that batches are sent because
/// they have waited, not because the partition changed.
const TOGETHER_MS: i64 = 10;
/// With more partitions than this, a part of them takes the clicks of a moment: so many IDs are tried for a click on
/// average, at most.
const TRIES: i32 = 8;
/// None of so many would lead there once in ten thousand clicks: then the ID is taken as it is.
const MOST_TRIES: u64 = 72;

pub(crate) struct Batches {
    partitions: AtomicI32,
    /// Moments are counted from here, not by the time in the IDs: that stands while a clock is set back.
    begun: Instant,
    /// Edges do not all go to the same broker at the same time.
    start: i64,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            partitions: AtomicI32::new(0),
            begun: Instant::now(),
            start: i64::from(RandomState::new().hash_one(0) as u16),
        }
    }
}

impl Batches {
    /// Topic clicks has so many partitions. Until it is known, IDs are taken as they come.
    pub(crate) fn over(&self, partitions: i32) {
        self.partitions.store(partitions, Relaxed);
    }

    /// Random bits near `random` with which the ID of a click at `at` (UTC milliseconds) leads to a partition of now.
    pub(crate) fn random(&self, at: i64, random: u64) -> u64 {
        let since = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or_default();
        self.random_after(since, at, random)
    }

    fn random_after(&self, milliseconds: i64, at: i64, random: u64) -> u64 {
        let partitions = self.partitions.load(Relaxed);
        if partitions < 2 {
            return random;
        }
        let first = (milliseconds / TOGETHER_MS + self.start).rem_euclid(partitions.into());
        let width = i64::from((partitions + TRIES - 1) / TRIES);
        let leads_there = |random: &u64| {
            let partition = tenant::partition(&click_id::digits(at, *random), partitions);
            (i64::from(partition) - first).rem_euclid(partitions.into()) < width
        };
        (0..MOST_TRIES)
            .map(|tried| random.wrapping_add(tried))
            .find(leads_there)
            .unwrap_or(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_790_000_000_000;

    /// Beginning where it always does: a test that chance decides is none.
    fn over(partitions: i32) -> Batches {
        Batches {
            partitions: AtomicI32::new(partitions),
            begun: Instant::now(),
            start: 7,
        }
    }

    fn partitions_of(batches: &Batches, partitions: i32, moments: std::ops::Range<i64>) -> Vec<i32> {
        let each = |at: i64| {
            let random = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            // The clock stands: what moves on is the moment.
            let random = batches.random_after(at, NOON, random);
            tenant::partition(click_id::new(NOON, random).as_bytes(), partitions)
        };
        moments.map(each).collect()
    }

    #[test]
    fn clicks_of_a_moment_go_together_and_in_time_all_partitions_get_as_many() {
        for partitions in [2, 4, 12, 32, 100] {
            let batches = over(partitions);
            let width = ((partitions + TRIES - 1) / TRIES) as usize;
            for moment in [0, 1, 77] {
                let moment = moment * TOGETHER_MS..(moment + 1) * TOGETHER_MS;
                let mut found = partitions_of(&batches, partitions, moment);
                found.sort_unstable();
                found.dedup();
                assert!(found.len() <= width, "{partitions}: {found:?}");
            }
            let mut counts = vec![0; partitions as usize];
            for partition in partitions_of(&batches, partitions, 0..200_000) {
                counts[partition as usize] += 1;
            }
            let even = 200_000 / partitions;
            assert!(
                counts.iter().all(|count| (count - even).abs() < even / 5),
                "{partitions}: {counts:?}"
            );
        }
    }

    #[test]
    fn of_one_partition_or_an_unknown_number_ids_are_taken_as_they_come() {
        let batches = Batches::default();
        assert_eq!(batches.random(NOON, 42), 42);
        batches.over(1);
        assert_eq!(batches.random(NOON, 42), 42);
    }
}
