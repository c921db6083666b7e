//! The records that a transaction works on, decoded: read once, changed in place, written by `flush`.
//!
//! Invariant: after `flush` the store holds everything. A record that is taken out must be put back before
//! anybody asks for it again; whoever does ask gets an error, not an old copy.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::{Case, ClickRecord, Node, Object, decode, encoded};
use crate::store::{Store, StoreError};

/// All records in hand.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) nodes: Shelf<Node>,
    pub(super) objects: Shelf<Object>,
    pub(super) cases: Shelf<Case>,
    pub(super) clicks: Shelf<ClickRecord>,
    pub(super) counters: Shelf<u64>,
    /// Tenants of which a browser ever told anything: the others need not look for it.
    pub(super) browsers: FxHashSet<u32>,
}

impl Cells {
    /// Writes what changed, and forgets everything.
    pub(super) fn flush(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        self.nodes.flush(store)?;
        self.objects.flush(store)?;
        self.cases.flush(store)?;
        self.clicks.flush(store)?;
        self.counters.flush(store)
    }
}

/// The records of one table, by their key in the store.
pub(super) struct Shelf<T>(FxHashMap<Vec<u8>, Slot<T>>);

struct Slot<T> {
    value: Option<T>,
    changed: bool,
    taken: bool,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

fn in_use() -> StoreError {
    StoreError("a record is asked for while it is in use".into())
}

impl<T: Serialize + DeserializeOwned> Shelf<T> {
    fn slot(&mut self, store: &dyn Store, key: &[u8]) -> Result<&mut Slot<T>, StoreError> {
        if !self.0.contains_key(key) {
            let value = store.get(key)?.map(|bytes| decode(&bytes)).transpose()?;
            let slot = Slot {
                value,
                changed: false,
                taken: false,
            };
            self.0.insert(key.to_vec(), slot);
        }
        self.0.get_mut(key).filter(|slot| !slot.taken).ok_or_else(in_use)
    }

    /// A look at a record.
    pub(super) fn peek(&mut self, store: &dyn Store, key: &[u8]) -> Result<Option<&T>, StoreError> {
        Ok(self.slot(store, key)?.value.as_ref())
    }

    /// Takes a record out, to be put back.
    pub(super) fn take(&mut self, store: &dyn Store, key: &[u8]) -> Result<Option<T>, StoreError> {
        let slot = self.slot(store, key)?;
        slot.taken = slot.value.is_some();
        Ok(slot.value.take())
    }

    /// Puts a record back as it was.
    pub(super) fn put_back(&mut self, key: &[u8], value: T) {
        if let Some(slot) = self.0.get_mut(key) {
            slot.value = Some(value);
            slot.taken = false;
        }
    }

    /// Sets a record, whether or not it was taken.
    pub(super) fn put(&mut self, key: &[u8], value: T) {
        self.set(key, Some(value));
    }

    /// Removes a record, whether or not it was taken.
    pub(super) fn delete(&mut self, key: &[u8]) {
        self.set(key, None);
    }

    fn set(&mut self, key: &[u8], value: Option<T>) {
        let slot = Slot {
            value,
            changed: true,
            taken: false,
        };
        match self.0.get_mut(key) {
            Some(old) => *old = slot,
            None => {
                self.0.insert(key.to_vec(), slot);
            }
        }
    }

    fn flush(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        for (key, slot) in self.0.drain() {
            if slot.taken {
                return Err(in_use());
            }
            if slot.changed {
                match slot.value {
                    Some(value) => encoded(&value, |bytes| store.put(&key, bytes))?,
                    None => store.delete(&key),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_taken_record_is_nobody_elses() {
        let mut store = MemoryStore::default();
        let mut shelf = Shelf::<u64>::default();
        assert_eq!(shelf.take(&store, b"a").unwrap(), None);
        shelf.put(b"a", 1);
        assert_eq!(shelf.take(&store, b"a").unwrap(), Some(1));
        assert!(shelf.peek(&store, b"a").is_err());
        assert!(shelf.flush(&mut store).is_err());
        let mut shelf = Shelf::<u64>::default();
        shelf.put(b"a", 1);
        shelf.take(&store, b"a").unwrap();
        shelf.put(b"a", 2);
        shelf.flush(&mut store).unwrap();
        assert_eq!(shelf.peek(&store, b"a").unwrap(), Some(&2));
        shelf.delete(b"a");
        shelf.flush(&mut store).unwrap();
        assert_eq!(store, MemoryStore::default());
    }

    #[test]
    fn what_was_only_looked_at_is_not_written() {
        let mut store = MemoryStore::default();
        encoded(&1_u64, |bytes| store.put(b"a", bytes)).unwrap();
        let mut shelf = Shelf::<u64>::default();
        let one = shelf.take(&store, b"a").unwrap().unwrap();
        shelf.put_back(b"a", one);
        store.delete(b"a");
        shelf.flush(&mut store).unwrap();
        assert_eq!(store, MemoryStore::default());
    }
}
