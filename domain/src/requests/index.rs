//! Links by what they are found by: in shared buckets, of which a change copies one.
//!
//! An edge may hold a million links. A link says itself by what it is found, so that an index keeps no keys: ten to
//! twenty bytes a link.

use std::sync::Arc;

use hashbrown::HashTable;

use super::target::Target;

/// Small tables: one that grows leaves memory behind, which others can use if it is in small pieces. So many that a
/// million links fill tables of 256 places, and few had to be doubled.
const BUCKETS: usize = 5_120;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Index {
    buckets: Vec<Arc<HashTable<Target>>>,
    hash: fn(&Target) -> u64,
}

impl Index {
    /// `hash` is of what a link is found by, and the same for links that are the same there.
    pub(super) fn new(hash: fn(&Target) -> u64) -> Self {
        Self {
            buckets: vec![Arc::default(); BUCKETS],
            hash,
        }
    }

    fn place(hash: u64) -> usize {
        // The tables inside use the low bits of the same hash, and the highest seven.
        (hash >> 40) as usize % BUCKETS
    }

    /// The link with this hash that is the right one.
    pub(super) fn get(&self, hash: u64, is_it: impl Fn(&Target) -> bool) -> Option<&Target> {
        self.buckets
            .get(Self::place(hash))?
            .find(hash, |target| is_it(target))
    }

    /// Adds a link, in place of the one that is found by the same.
    pub(super) fn put(&mut self, target: Target, is_it: impl Fn(&Target) -> bool) {
        let hash = (self.hash)(&target);
        let Some(bucket) = self.buckets.get_mut(Self::place(hash)) else {
            return;
        };
        let bucket = Arc::make_mut(bucket);
        match bucket.find_mut(hash, |known| is_it(known)) {
            Some(known) => *known = target,
            None => drop(bucket.insert_unique(hash, target, |known| (self.hash)(known))),
        }
    }

    /// Takes a link out.
    pub(super) fn remove(&mut self, hash: u64, is_it: impl Fn(&Target) -> bool) -> Option<Target> {
        let bucket = self.buckets.get_mut(Self::place(hash))?;
        // What is not there copies nothing.
        bucket.find(hash, |target| is_it(target))?;
        let found = Arc::make_mut(bucket).find_entry(hash, |target| is_it(target));
        found.ok().map(|entry| entry.remove().0)
    }

    /// How many links it holds.
    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.len()).sum()
    }
}
