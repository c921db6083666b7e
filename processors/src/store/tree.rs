//! Sorted tables on disk: an LSM tree without a log of its own, as Kafka is the log.
//!
//! Data comes in runs: sorted, whole, and atomic. A process that is killed in the middle of one leaves none of it.
//! Merging runs is the work of one thread for all trees of a stage.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lsm_tree::compaction::Leveled;
use lsm_tree::config::BlockSizePolicy;
use lsm_tree::{
    AbstractTree as _, AnyTree, Cache, Config, DescriptorTable, Guard as _, SeqNo, SequenceNumberCounter,
};
use tributary_domain::store::{Entry, StoreError};

/// Blocks of all trees of a stage that are kept in memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
const OPEN_FILES: usize = 256;
const BLOCK_BYTES: u32 = 4 * 1024;
/// Sees every run.
const LATEST: SeqNo = SeqNo::MAX;
const LOCK_PATIENCE: u32 = 50;

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError(Box::new(error))
}

pub(crate) fn remove(dir: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Holds a folder against other processes, and other owners in this one, until it is dropped.
///
/// # Errors
/// If somebody keeps holding it. The previous owner within this process may just be closing it: that is waited for.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(dir).map_err(failed)?;
    let file = File::create(dir.join("lock")).map_err(failed)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries < LOCK_PATIENCE => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => {
                let text = format!("{} is in use by another process: {error}", dir.display());
                return Err(StoreError(text.into()));
            }
        }
    }
}

/// What the trees of a stage share.
#[derive(Clone)]
pub struct Forest {
    cache: Arc<Cache>,
    files: Arc<DescriptorTable>,
    compactor: Sender<Weak<Inner>>,
}

impl Default for Forest {
    fn default() -> Self {
        let (compactor, wanted) = channel::<Weak<Inner>>();
        // Ends when the last tree and the stage are gone. Without it the trees only grow slower.
        let thread = std::thread::Builder::new()
            .name("compactor".to_owned())
            .spawn(move || {
                while let Ok(tree) = wanted.recv() {
                    if let Some(tree) = tree.upgrade() {
                        tree.compact();
                    }
                }
            });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread to compact state");
        }
        Self {
            cache: Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)),
            files: Arc::new(DescriptorTable::new(OPEN_FILES)),
            compactor,
        }
    }
}

struct Inner {
    tree: AnyTree,
    numbers: SequenceNumberCounter,
    /// Held while runs are merged; false once the tree is closed.
    open: Mutex<bool>,
}

impl Inner {
    fn compact(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open
            && let Err(error) = self
                .tree
                .compact(Arc::new(Leveled::default()), self.numbers.get())
        {
            // It is tried again after the next run; a tree that is damaged says so when it is read.
            tracing::warn!(%error, "merging runs of state");
        }
    }
}

/// One tree. Dropped, its files stay.
pub(crate) struct Tree {
    inner: Arc<Inner>,
    compactor: Sender<Weak<Inner>>,
}

// Whoever opens the folder next must be alone in it: the library removes files that were merged away when the last
// user of the tree lets go, and takes for damage what vanishes while it opens.
impl Drop for Tree {
    fn drop(&mut self) {
        *self.inner.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
        while Arc::strong_count(&self.inner) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Tree {
    /// Opens the tree in `dir`; one that is damaged is deleted and made anew.
    ///
    /// # Errors
    /// If the disk does not let us.
    pub(crate) fn open(dir: &Path, forest: &Forest) -> Result<Self, StoreError> {
        let numbers = SequenceNumberCounter::default();
        let visible = SequenceNumberCounter::default();
        let open = || {
            let config = Config::new(dir, numbers.clone(), visible.clone())
                .use_cache(Arc::clone(&forest.cache))
                .use_descriptor_table(Some(Arc::clone(&forest.files)))
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES));
            // A damaged file may also be met by a panic inside of the library.
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()))
        };
        let tree = match open() {
            Ok(Ok(tree)) => tree,
            damage => {
                let cause = match damage {
                    Ok(Err(error)) => error.to_string(),
                    _ => "panic".to_owned(),
                };
                tracing::warn!(dir = %dir.display(), cause, "state store is damaged: deleted, to be rebuilt");
                metrics::counter!("tributary_store_rebuilt_total", "why" => "damaged").increment(1);
                remove(dir)?;
                let anew = open().map_err(|_| StoreError("the state store cannot be made anew".into()))?;
                anew.map_err(failed)?
            }
        };
        let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
        numbers.fetch_max(next);
        visible.fetch_max(next);
        let inner = Inner {
            tree,
            numbers,
            open: Mutex::new(true),
        };
        Ok(Self {
            inner: Arc::new(inner),
            compactor: forest.compactor.clone(),
        })
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.inner.tree.get(key, LATEST).map_err(failed)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Entries from a key on, in order.
    pub(crate) fn entries_from(&self, start: &[u8]) -> impl Iterator<Item = Result<Entry, StoreError>> {
        self.inner
            .tree
            .range(start.to_vec().., LATEST, None)
            .map(|guard| {
                let (key, value) = guard.into_inner().map_err(failed)?;
                Ok((key.to_vec(), value.to_vec()))
            })
    }

    /// Adds a run: keys in ascending order, None where a key is deleted. All of it or nothing.
    pub(crate) fn add<'a>(
        &self,
        run: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let mut ingestion = self.inner.tree.ingestion().map_err(failed)?;
        for (key, value) in run {
            match value {
                Some(value) => ingestion.write(key, value),
                None => ingestion.write_tombstone(key),
            }
            .map_err(failed)?;
        }
        ingestion.finish().map_err(failed)?;
        // Nobody listens only if the thread never started.
        self.compactor.send(Arc::downgrade(&self.inner)).ok();
        Ok(())
    }
}
