//! Sorted tables on disk: an LSM tree without a log of its own, as Kafka is the log.
//!
//! Data comes in runs: sorted, whole, and atomic. A process that is killed in the middle of one leaves none of it.
//! Merging runs is the work of one thread for all trees of a stage.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
/// More of it saves next to nothing: what a stage comes back to it finds among the changes in memory.
const CACHE_BYTES: u64 = 2 * 1024 * 1024;
const OPEN_FILES: usize = 256;
const BLOCK_BYTES: u32 = 4 * 1024;
/// So many runs are let lie before they are merged: half the merging of the library's four, for a few more filters to
/// ask.
const RUNS: u8 = 8;
/// Small tables, so that the first level, which each of these merges may rewrite as a whole, is small: 64 MiB.
const TABLE_BYTES: u64 = 8 * 1024 * 1024;
/// So many runs are never let lie: whoever adds the next one merges first. Far more would not fit the list of runs.
const MOST_RUNS: usize = 64;
/// Runs without keys in common are only moved, not merged, and may be tiny where little comes: so many tables of less
/// than an eighth of their size on average are written anew as few. Each table costs memory, and time at the start.
const MANY_TABLES: usize = 64;
/// More is not written anew at once: whoever closes the tree waits for it.
const MOST_REWRITTEN: u64 = 2 * 1024 * 1024 * 1024;
/// Of a tree that is written to no more.
const FINISHED_TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Sees every run.
const LATEST: SeqNo = SeqNo::MAX;
const LOCK_PATIENCE: u32 = 50;

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError(Box::new(error))
}

/// Whether files are not what they should be: cut, gone, or with bits flipped. That the disk or the limits of the process
/// do not let us is none.
fn is_bad(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData
    )
}

fn io(StoreError(error): &StoreError) -> Option<&std::io::Error> {
    match error.downcast_ref::<lsm_tree::Error>() {
        Some(lsm_tree::Error::Io(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

/// Whether the files of a store are damaged.
pub(crate) fn is_damage(error: &StoreError) -> bool {
    io(error).map_or(error.0.is::<lsm_tree::Error>(), is_bad)
}

/// Whether the disk or the limits of the process did not let us: the files may be whole.
pub(crate) fn is_refusal(error: &StoreError) -> bool {
    io(error).is_some_and(|error| !is_bad(error))
}

/// Deletes a folder; one that is killed meanwhile leaves nothing under its name.
pub(crate) fn remove(dir: &Path) -> Result<(), StoreError> {
    let there = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
        Ok(()) => Ok(true),
    };
    let aside = dir.with_extension("deleted");
    there(std::fs::remove_dir_all(&aside))?;
    if there(std::fs::rename(dir, &aside))? {
        there(std::fs::remove_dir_all(&aside))?;
    }
    Ok(())
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

fn levels() -> Leveled {
    Leveled::default()
        .with_l0_threshold(RUNS)
        .with_table_target_size(TABLE_BYTES)
}

/// What the trees of a stage share.
#[derive(Clone)]
pub struct Forest {
    cache: Arc<Cache>,
    files: Arc<DescriptorTable>,
    compactor: Sender<Weak<Inner>>,
    /// Number of stores that share the stage's memory.
    sharers: Arc<AtomicUsize>,
}

impl Default for Forest {
    fn default() -> Self {
        let (compactor, wanted) = channel::<Weak<Inner>>();
        // Ends when the last tree and the stage are gone. Without it the trees only grow slower.
        let thread = std::thread::Builder::new()
            .name("compactor".to_owned())
            .spawn(move || {
                while let Ok(tree) = wanted.recv() {
                    if let Some(Err(error)) = tree.upgrade().map(|tree| tree.compact()) {
                        // It is tried again after the next run; in a damaged tree until there are too many.
                        tracing::warn!(%error, "merging runs of state");
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
            sharers: Arc::default(),
        }
    }
}

impl Forest {
    /// One more that has a part of the memory, until it is dropped.
    pub(crate) fn share(&self) -> Share {
        self.sharers.fetch_add(1, Ordering::Relaxed);
        Share(Arc::clone(&self.sharers))
    }
}

/// A part of the memory of a stage.
pub(crate) struct Share(Arc<AtomicUsize>);

impl Share {
    /// An equal part of all.
    pub(crate) fn of(&self, all: usize) -> usize {
        all / self.0.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Inner {
    tree: AnyTree,
    /// Held while runs are merged; false once the tree is closed.
    open: Mutex<bool>,
    /// Nothing will be added any more.
    is_finished: AtomicBool,
}

impl Inner {
    fn runs(&self) -> usize {
        self.tree.level_table_count(0).unwrap_or_default()
    }

    /// Does the merge that is most wanted, if any is.
    fn compact(&self) -> Result<(), StoreError> {
        self.guarded(|| self.merge())
    }

    fn guarded(&self, merge: impl FnOnce() -> lsm_tree::Result<()>) -> Result<(), StoreError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Ok(());
        }
        // A panic inside of the library must not end the merging of all other trees.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(merge)).map_or_else(
            |_| {
                metrics::counter!("tributary_store_compaction_panics_total").increment(1);
                Err(StoreError("merging runs of state panicked".into()))
            },
            |merged| merged.map_err(failed),
        )
    }

    fn merge(&self) -> lsm_tree::Result<()> {
        // Nobody reads an older state than the latest: all that was merged away may go at once.
        let is_finished = self.is_finished.load(Ordering::Relaxed);
        if !is_finished {
            self.tree.compact(Arc::new(levels()), LATEST)?;
        }
        let (tables, bytes) = (self.tree.table_count(), self.tree.disk_space());
        let is_less_than = |size: u64| bytes < MOST_REWRITTEN.min(size * tables as u64);
        if is_finished && tables > 1 && is_less_than(FINISHED_TABLE_BYTES / 4) {
            self.tree.major_compact(FINISHED_TABLE_BYTES, LATEST)
        } else if tables > MANY_TABLES && is_less_than(TABLE_BYTES / 8) {
            self.tree.major_compact(TABLE_BYTES, LATEST)
        } else {
            Ok(())
        }
    }

    /// Merges until there are few runs.
    ///
    /// # Errors
    /// Why they cannot be merged: else they would pile up until the tree breaks.
    fn make_room(&self) -> Result<(), StoreError> {
        let has_room = || self.runs() < MOST_RUNS;
        // The library may find it more urgent to make room in deeper levels first, but not for ever.
        for _ in 0..MOST_RUNS {
            if has_room() {
                return Ok(());
            }
            self.compact()?;
        }
        if !has_room() {
            self.guarded(|| self.tree.major_compact(TABLE_BYTES, LATEST))?;
        }
        if has_room() {
            Ok(())
        } else {
            Err(StoreError("runs of state pile up".into()))
        }
    }
}

/// One tree. Dropped, its files stay.
pub(crate) struct Tree {
    /// None only while it is being dropped.
    inner: Option<Arc<Inner>>,
    compactor: Sender<Weak<Inner>>,
}

// Whoever opens the folder next must be alone in it: the library removes files that were merged away when the last
// user of the tree lets go, and takes for damage what vanishes while it opens. So the last user must be this one.
impl Drop for Tree {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else {
            return;
        };
        *inner.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
        while let Err(shared) = Arc::try_unwrap(inner) {
            inner = shared;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Tree {
    /// Opens the tree in `dir`. None if it is damaged: what then must be deleted is for the caller to know.
    ///
    /// # Errors
    /// If the disk does not let us.
    pub(crate) fn open(dir: &Path, forest: &Forest) -> Result<Option<Self>, StoreError> {
        let numbers = SequenceNumberCounter::default();
        let visible = SequenceNumberCounter::default();
        let config = Config::new(dir, numbers.clone(), visible.clone())
            .use_cache(Arc::clone(&forest.cache))
            .use_descriptor_table(Some(Arc::clone(&forest.files)))
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES));
        // A damaged file may also be met by a panic inside of the library.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
        let tree = match opened {
            Ok(Ok(tree)) => tree,
            // A file that is cut or gone is damage; that the disk or the limits of the process do not let us is not.
            Ok(Err(lsm_tree::Error::Io(error))) if !is_bad(&error) => return Err(failed(error)),
            damage => {
                let cause = match damage {
                    Ok(Err(error)) => error.to_string(),
                    _ => "panic".to_owned(),
                };
                tracing::warn!(dir = %dir.display(), cause, "state store is damaged: deleted, to be rebuilt");
                metrics::counter!("tributary_store_rebuilt_total", "why" => "damaged").increment(1);
                return Ok(None);
            }
        };
        let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
        numbers.fetch_max(next);
        visible.fetch_max(next);
        let inner = Inner {
            tree,
            open: Mutex::new(true),
            is_finished: AtomicBool::new(false),
        };
        Ok(Some(Self {
            inner: Some(Arc::new(inner)),
            compactor: forest.compactor.clone(),
        }))
    }

    fn inner(&self) -> Result<&Arc<Inner>, StoreError> {
        self.inner
            .as_ref()
            .ok_or_else(|| StoreError("the tree is closed".into()))
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.inner()?.tree.get(key, LATEST).map_err(failed)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Entries from a key on, in order.
    pub(crate) fn entries_from(
        &self,
        start: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry, StoreError>> + use<>, StoreError> {
        let range = self.inner()?.tree.range(start.to_vec().., LATEST, None);
        Ok(range.map(|guard| {
            let (key, value) = guard.into_inner().map_err(failed)?;
            Ok((key.to_vec(), value.to_vec()))
        }))
    }

    /// Says that nothing will be added any more: all runs are merged once, to few tables.
    pub(crate) fn finish(&self) {
        if let Some(inner) = &self.inner {
            inner.is_finished.store(true, Ordering::Relaxed);
            self.compactor.send(Arc::downgrade(inner)).ok();
        }
    }

    /// Adds a run: keys in ascending order, None where a key is deleted. All of it or nothing.
    ///
    /// # Errors
    /// If the disk does not let us, or runs pile up as they cannot be merged.
    pub(crate) fn add<'a, K: AsRef<[u8]>>(
        &self,
        run: impl Iterator<Item = (K, Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let mut run = run.peekable();
        if run.peek().is_none() {
            return Ok(());
        }
        let inner = self.inner()?;
        inner.make_room()?;
        let mut ingestion = inner.tree.ingestion().map_err(failed)?;
        for (key, value) in run {
            let key = key.as_ref();
            match value {
                Some(value) => ingestion.write(key, value),
                None => ingestion.write_tombstone(key),
            }
            .map_err(failed)?;
        }
        ingestion.finish().map_err(failed)?;
        // Even runs that need no merging, as they have no keys in common, are moved one by one, and each move costs
        // the disk as much as a run.
        if inner.runs() >= RUNS.into() {
            // Nobody listens only if the thread never started.
            self.compactor.send(Arc::downgrade(inner)).ok();
        }
        Ok(())
    }
}
