//! Changes that are not on disk yet, and reads that see them.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;

use tributary_domain::store::{Entry, StoreError};

/// Keys with their new values; None where they are deleted.
#[derive(Default)]
pub(super) struct Overlay {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

/// About what an entry costs beside its key and value.
const ENTRY_BYTES: usize = 120;

fn weight(key: usize, value: Option<&Vec<u8>>) -> usize {
    ENTRY_BYTES + key + value.map_or(0, Vec::len)
}

impl Overlay {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.changes.get(key)
    }

    pub(super) fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let length = key.len();
        self.bytes += weight(length, value.as_ref());
        if let Some(old) = self.changes.insert(key, value) {
            self.bytes -= weight(length, old.as_ref());
        }
    }

    /// Takes over another's changes, which are the newer ones.
    pub(super) fn absorb(&mut self, newer: &mut Self) {
        newer.bytes = 0;
        for (key, value) in std::mem::take(&mut newer.changes) {
            self.set(key, value);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Roughly, in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// In the order of their keys.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Entries from `start` on, in key order, with the changes over what is below; that starts at `start`, too.
    pub(super) fn over<I>(&self, start: &[u8], below: I) -> Over<'_, I>
    where
        I: Iterator<Item = Result<Entry, StoreError>>,
    {
        Over {
            changes: self.changes.range(start.to_vec()..).peekable(),
            below: below.peekable(),
        }
    }
}

/// See [`Overlay::over`].
pub(super) struct Over<'a, I: Iterator> {
    changes: Peekable<Range<'a, Vec<u8>, Option<Vec<u8>>>>,
    below: Peekable<I>,
}

impl<I: Iterator<Item = Result<Entry, StoreError>>> Iterator for Over<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let changed = match (self.changes.peek(), self.below.peek()) {
                (Some((changed, _)), Some(Ok((key, _)))) if *changed > key => false,
                (Some((changed, _)), Some(Ok((key, _)))) => {
                    if *changed == key {
                        self.below.next();
                    }
                    true
                }
                (Some(_), None) => true,
                (_, Some(Err(_))) | (None, _) => false,
            };
            if !changed {
                return self.below.next();
            }
            if let Some((key, Some(value))) = self.changes.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}
