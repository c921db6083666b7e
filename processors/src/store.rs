//! The state of one owned partition, never ahead of Kafka.
//!
//! ```text
//!   put ─► changes in memory ─► commit, after Kafka's: the position moves ─► sorted tables on disk, when there are many
//! ```
//!
//! Kafka is the log: what a killed process had not flushed is replayed from there. A store that is damaged or of
//! another format is deleted, because the logs can rebuild it.
//!
//! Invariant: `position` on disk names exactly the log prefix that the data on disk reflects; in memory likewise, once
//! committed. What is not committed cannot be told apart from what is: to discard it is to go back to the disk.

mod arena;
mod overlay;
mod tree;

use std::fs::File;
use std::path::{Path, PathBuf};

use tributary_domain::store::{Entry, Store, StoreError};

use overlay::Overlay;
pub use tree::Forest;
use tree::Share;
pub(crate) use tree::{Tree, failed, is_damage, is_refusal, lock, remove};

/// Keys from here on belong to the store itself.
const RESERVED: u8 = 0xff;
const POSITION: &[u8] = b"\xffposition";
const FORMAT: &[u8] = b"\xffformat";

/// See the module.
pub struct DiskStore {
    dir: PathBuf,
    format: u32,
    forest: Forest,
    flush_bytes: usize,
    share: Share,
    tree: Option<Tree>,
    changes: Overlay,
    /// Changes since the last commit.
    uncommitted: usize,
    /// Held as long as the store lives.
    _lock: File,
}

impl DiskStore {
    /// Opens the store in `dir`, empty if there is none of this format. What is committed is flushed when it takes
    /// its share of `flush_bytes`, which is for all stores of the forest. Keys whose first byte is in `scanned` are
    /// expected to be scanned often.
    ///
    /// # Errors
    /// If another process has it open, or the disk does not let us.
    pub fn open(
        dir: &Path,
        format: u32,
        scanned: &'static [u8],
        forest: &Forest,
        flush_bytes: usize,
    ) -> Result<Self, StoreError> {
        let lock = lock(dir)?;
        let mut store = Self {
            dir: dir.join("tree"),
            format,
            forest: forest.clone(),
            flush_bytes,
            share: forest.share(),
            tree: None,
            changes: Overlay::new(scanned),
            uncommitted: 0,
            _lock: lock,
        };
        store.tree = Tree::open(&store.dir, &store.forest)?;
        // A tree that opens and cannot be read is damaged as well.
        let found = match &store.tree {
            Some(_) => store
                .find(FORMAT)
                .unwrap_or_else(|error| Some(error.to_string().into_bytes())),
            None => None,
        };
        let expected = format.to_be_bytes();
        if found.as_deref() != Some(&expected[..]) {
            if found.is_some() {
                tracing::warn!(dir = %dir.display(), "state store of another format: deleted, to be rebuilt");
                metrics::counter!("tributary_store_rebuilt_total", "why" => "format").increment(1);
            }
            store.wipe()?;
        }
        Ok(store)
    }

    fn tree(&self) -> Result<&Tree, StoreError> {
        self.tree
            .as_ref()
            .ok_or_else(|| StoreError("the store is closed".into()))
    }

    /// Deletes everything and starts empty.
    ///
    /// # Errors
    /// If the disk does not let us.
    pub fn wipe(&mut self) -> Result<(), StoreError> {
        self.forget();
        self.tree = None;
        remove(&self.dir)?;
        self.tree = Tree::open(&self.dir, &self.forest)?;
        Ok(())
    }

    fn forget(&mut self) {
        self.changes.clear();
        self.uncommitted = 0;
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.map(<[u8]>::to_vec)),
            None => self.tree()?.get(key),
        }
    }

    /// The position that belongs to the committed data; None for an empty store.
    ///
    /// # Errors
    /// If the disk does not let us.
    pub fn position(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.find(POSITION)
    }

    /// Makes the changes and the position that they lead to the committed ones; writes a run when there are many.
    ///
    /// # Errors
    /// If the disk does not let us; the changes stay in memory.
    pub fn commit(&mut self, position: &[u8]) -> Result<(), StoreError> {
        self.uncommitted = 0;
        self.changes.set(POSITION, Some(position));
        if self.changes.bytes() < self.share.of(self.flush_bytes) {
            return Ok(());
        }
        self.flush()
    }

    /// Writes what is committed to disk. What is not is discarded.
    ///
    /// # Errors
    /// If the disk does not let us; it stays in memory.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.discard();
        if self.changes.is_empty() {
            return Ok(());
        }
        self.changes.set(FORMAT, Some(&self.format.to_be_bytes()));
        self.tree()?.add(self.changes.sorted().into_iter())?;
        self.changes.clear();
        Ok(())
    }

    /// Goes back to what is on disk, and its position, if there are changes since the last commit.
    pub fn discard(&mut self) {
        if self.uncommitted > 0 {
            self.forget();
        }
    }

    /// Number of changes since the last commit.
    pub fn uncommitted(&self) -> usize {
        self.uncommitted
    }
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.find(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let start = if from > prefix { from } else { prefix };
        let own = |entry: &Result<Entry, StoreError>| match entry {
            Ok((key, _)) => key.starts_with(prefix) && key.first() != Some(&RESERVED),
            Err(_) => true,
        };
        let below = self.tree()?.entries_from(start)?;
        self.changes
            .over(prefix, start, below)
            .take_while(own)
            .take(limit)
            .collect()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        debug_assert_ne!(
            key.first(),
            Some(&RESERVED),
            "keys from 0xff on are the store's own"
        );
        self.uncommitted += 1;
        self.changes.set(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.uncommitted += 1;
        self.changes.set(key, None);
    }
}

#[cfg(test)]
mod tests;
