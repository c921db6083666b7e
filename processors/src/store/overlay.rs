//! Changes that are not on disk yet, and reads that see them.

use std::collections::BTreeMap;
use std::iter::Peekable;

use tributary_domain::store::{Entry, StoreError};

use super::arena::Arena;

/// Keys with their new values; None where a key is deleted.
#[derive(Default)]
pub(super) struct Overlay {
    /// First bytes of the keys that are kept in order. The others are found by hash, at a fraction of the cost; a
    /// scan of them sorts what it finds.
    scanned: &'static [u8],
    hashed: Arena,
    ordered: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ordered_bytes: usize,
}

/// A key and its new value.
type Changed<'a> = (&'a [u8], Option<&'a [u8]>);

/// About what an entry in order costs beside its key and value.
const ENTRY_BYTES: usize = 96;

fn weight(key: &[u8], value: Option<&[u8]>) -> usize {
    ENTRY_BYTES + key.len() + value.map_or(0, <[u8]>::len)
}

impl Overlay {
    /// Nothing yet. Keys that begin with one of these bytes are scanned often.
    pub(super) fn new(scanned: &'static [u8]) -> Self {
        Self {
            scanned,
            ..Self::default()
        }
    }

    fn is_scanned(&self, key: &[u8]) -> bool {
        key.first().is_some_and(|first| self.scanned.contains(first))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.is_scanned(key) {
            self.ordered.get(key).map(Option::as_deref)
        } else {
            self.hashed.get(key)
        }
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        if !self.is_scanned(key) {
            self.hashed.set(key, value);
            return;
        }
        self.ordered_bytes += weight(key, value);
        if let Some(old) = self.ordered.insert(key.to_vec(), value.map(<[u8]>::to_vec)) {
            self.ordered_bytes -= weight(key, old.as_deref());
        }
    }

    pub(super) fn clear(&mut self) {
        self.hashed.clear();
        self.ordered.clear();
        self.ordered_bytes = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashed.is_empty() && self.ordered.is_empty()
    }

    /// Roughly, in memory.
    pub(super) fn bytes(&self) -> usize {
        self.hashed.bytes() + self.ordered_bytes
    }

    /// All changes in the order of their keys.
    pub(super) fn sorted(&self) -> Vec<Changed<'_>> {
        self.sorted_if(|_| true)
    }

    fn sorted_if(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Changed<'_>> {
        let ordered = self.ordered.iter();
        let ordered = ordered.map(|(key, value)| (key.as_slice(), value.as_deref()));
        let all = self.hashed.iter().chain(ordered);
        let mut found: Vec<_> = all.filter(|(key, _)| wanted(key)).collect();
        found.sort_unstable_by_key(|(key, _)| *key);
        found
    }

    /// The changed keys with this prefix, from `start` on, in order.
    fn range<'a>(&'a self, prefix: &'a [u8], start: &[u8]) -> Box<dyn Iterator<Item = Changed<'a>> + 'a> {
        if self.is_scanned(prefix) {
            let changes = self.ordered.range(start.to_vec()..);
            let changes = changes.take_while(move |(key, _)| key.starts_with(prefix));
            return Box::new(changes.map(|(key, value)| (key.as_slice(), value.as_deref())));
        }
        let found = self.sorted_if(|key| key >= start && key.starts_with(prefix));
        Box::new(found.into_iter())
    }

    /// Entries from `start` on, in key order: the changes with this prefix over what is below, which may go beyond it.
    pub(super) fn over<'a, I>(
        &'a self,
        prefix: &'a [u8],
        start: &[u8],
        below: I,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> + use<'a, I>
    where
        I: Iterator<Item = Result<Entry, StoreError>> + 'a,
    {
        Over {
            changes: self.range(prefix, start).peekable(),
            below: below.peekable(),
        }
    }
}

/// See [`Overlay::over`].
struct Over<C: Iterator, I: Iterator> {
    changes: Peekable<C>,
    below: Peekable<I>,
}

impl<'a, C, I> Iterator for Over<C, I>
where
    C: Iterator<Item = Changed<'a>>,
    I: Iterator<Item = Result<Entry, StoreError>>,
{
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let changed = match (self.changes.peek(), self.below.peek()) {
                (Some((changed, _)), Some(Ok((key, _)))) if *changed > key.as_slice() => false,
                (Some((changed, _)), Some(Ok((key, _)))) => {
                    if *changed == key.as_slice() {
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
                return Some(Ok((key.to_vec(), value.to_vec())));
            }
        }
    }
}
