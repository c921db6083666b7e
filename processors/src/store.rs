//! The state of one owned partition on disk, never ahead of Kafka.
//!
//! Changes sit in a memory overlay until the Kafka transaction is committed; then overlay and position go
//! into one batch. What is on disk is always the state at some position; a store that is damaged or of
//! another format is deleted, because the logs can rebuild it.
//!
//! Invariant: `position` on disk names exactly the log prefix that the data on disk reflects.
//! Not promised: surviving a power cut without loss. The store may then be older than it was, or be rebuilt.

mod overlay;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use tributary_domain::store::{Entry, Store, StoreError};

use overlay::Overlay;

/// Keys from here on belong to the store itself.
const RESERVED: u8 = 0xff;
const POSITION: &[u8] = b"\xffposition";
const FORMAT: &[u8] = b"\xffformat";
const LOCK_PATIENCE: u32 = 50;

/// How much memory one store may take, roughly.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size at which the newest data is written out.
    pub memtable: u64,
    /// Cache of blocks read from disk.
    pub cache: u64,
    /// Size of the blocks on disk.
    pub block: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memtable: 8 * 1024 * 1024,
            cache: 4 * 1024 * 1024,
            block: 8 * 1024,
        }
    }
}

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError(Box::new(error))
}

/// Opens a database; one that is damaged is deleted and made anew.
///
/// # Errors
/// If another process has it open, or the disk does not let us.
pub(crate) fn open_database(dir: &Path, limits: Limits) -> Result<Database, StoreError> {
    let open = || {
        // A damaged file may also be met by a panic inside of the library.
        std::panic::catch_unwind(|| {
            Database::builder(dir)
                .cache_size(limits.cache)
                .worker_threads(1)
                .max_journaling_size(64 * 1024 * 1024)
                .max_cached_files(Some(64))
                .open()
        })
    };
    let mut locked = 0;
    loop {
        match open() {
            Ok(Ok(database)) => return Ok(database),
            // The previous owner of the partition within this process may just be closing it.
            Ok(Err(fjall::Error::Locked)) if locked < LOCK_PATIENCE => {
                locked += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(Err(error @ fjall::Error::Locked)) => return Err(failed(error)),
            Ok(Err(error)) if locked == u32::MAX => return Err(failed(error)),
            failure => {
                let cause = match failure {
                    Ok(Err(error)) => error.to_string(),
                    _ => "panic".to_owned(),
                };
                tracing::warn!(dir = %dir.display(), cause, "state store is damaged: deleted, to be rebuilt");
                metrics::counter!("tributary_store_rebuilt_total", "why" => "damaged").increment(1);
                remove(dir)?;
                locked = u32::MAX;
            }
        }
    }
}

pub(crate) fn options(limits: Limits) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(limits.memtable)
        .data_block_size_policy(fjall::config::BlockSizePolicy::all(limits.block))
}

/// A batch that reaches the operating system when it is committed: it outlives a killed process. The
/// library's own default would leave it in a buffer of this process.
pub(crate) fn write_batch(database: &Database, capacity: usize) -> OwnedWriteBatch {
    OwnedWriteBatch::with_capacity(database.clone(), capacity).durability(Some(PersistMode::Buffer))
}

pub(crate) fn remove(dir: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// See the module.
pub struct DiskStore {
    dir: PathBuf,
    limits: Limits,
    format: u32,
    open: Option<(Database, Keyspace)>,
    overlay: Overlay,
}

impl DiskStore {
    /// Opens the store in `dir`, empty if there is none of this format.
    ///
    /// # Errors
    /// If another process has it open, or the disk does not let us.
    pub fn open(dir: &Path, format: u32, limits: Limits) -> Result<Self, StoreError> {
        let mut store = Self {
            dir: dir.to_owned(),
            limits,
            format,
            open: None,
            overlay: Overlay::default(),
        };
        store.reopen()?;
        let found = store.keyspace()?.get(FORMAT).map_err(failed)?;
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

    fn reopen(&mut self) -> Result<(), StoreError> {
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let database = open_database(&self.dir, self.limits)?;
        let limits = self.limits;
        let keyspace = database.keyspace("state", || options(limits)).map_err(failed)?;
        self.open = Some((database, keyspace));
        Ok(())
    }

    fn keyspace(&self) -> Result<&Keyspace, StoreError> {
        match &self.open {
            Some((_, keyspace)) => Ok(keyspace),
            None => Err(failed(std::io::Error::other("the store is closed"))),
        }
    }

    /// Deletes everything and starts empty.
    ///
    /// # Errors
    /// If the disk does not let us.
    pub fn wipe(&mut self) -> Result<(), StoreError> {
        self.overlay.clear();
        self.open = None;
        remove(&self.dir)?;
        self.reopen()?;
        self.keyspace()?
            .insert(FORMAT, self.format.to_be_bytes())
            .map_err(failed)
    }

    /// The position that was written with the data; None for an empty store.
    ///
    /// # Errors
    /// If the disk does not let us.
    pub fn position(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.keyspace()?.get(POSITION).map_err(failed)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Writes the changes and the position that they lead to, all or nothing.
    ///
    /// # Errors
    /// If the disk does not let us; the changes stay in memory.
    pub fn commit(&mut self, position: &[u8]) -> Result<(), StoreError> {
        let Some((database, keyspace)) = &self.open else {
            return Err(failed(std::io::Error::other("the store is closed")));
        };
        let mut batch = write_batch(database, self.overlay.len() + 1);
        for (key, change) in self.overlay.changes() {
            match change {
                Some(value) => batch.insert(keyspace, key, value.as_slice()),
                None => batch.remove(keyspace, key),
            }
        }
        batch.insert(keyspace, POSITION, position);
        batch.commit().map_err(failed)?;
        self.overlay.clear();
        Ok(())
    }

    /// Forgets the changes since the last commit.
    pub fn discard(&mut self) {
        self.overlay.clear();
    }

    /// Number of changed keys that are not written yet.
    pub fn pending(&self) -> usize {
        self.overlay.len()
    }
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(change) = self.overlay.get(key) {
            return Ok(change.clone());
        }
        let value = self.keyspace()?.get(key).map_err(failed)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let start = if from > prefix { from } else { prefix };
        if start.first() == Some(&RESERVED) {
            return Ok(Vec::new());
        }
        let disk = self
            .keyspace()?
            .range(start.to_vec()..vec![RESERVED])
            .map(|guard| guard.into_inner().map_err(failed));
        self.overlay.merged(disk, prefix, start, limit)
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        debug_assert_ne!(
            key.first(),
            Some(&RESERVED),
            "keys from 0xff on are the store's own"
        );
        self.overlay.set(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.overlay.set(key, None);
    }
}

#[cfg(test)]
mod tests;
