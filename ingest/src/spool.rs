//! Records on disk while Kafka is away.
//!
//! ```text
//!   send ─ Kafka away? ──no──► producer ──acknowledged──► answer
//!              │yes               │failed
//!              ▼                  ▼
//!            queue ──► writer thread: append, fsync a group ──► answer
//!                         │ segments
//!                         ▼
//!            drain thread: producer, oldest first; a segment whose records Kafka has is deleted
//! ```
//!
//! Invariant: a record whose slot ended well is in a segment that was synced, and a segment is deleted only after Kafka
//! acknowledged each of its records. A record may therefore reach Kafka more than once, never less: what is drained
//! is marked, and the sink looks for a click's ID before it counts it.

mod drain;
mod log;

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

pub(crate) use drain::{Drain, is_of_the_record, run as drain};
pub(crate) use log::Spooled;
use log::{Log, frame};

use crate::delivery::{Delivery, Slot};

/// What one fsync may hold; a caller waits for one such write.
const GROUP_BYTES: usize = 1024 * 1024;
/// Records that wait for the writer; more are refused.
const QUEUE: usize = 65_536;
/// So long after a failed write the disk counts as one that refuses; then traffic may come again, and tries.
const REFUSES_FOR: Duration = Duration::from_secs(10);

/// Why the spool does not take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpoolError {
    /// Its limit is reached, or the writer cannot follow.
    #[error("the spool is full")]
    Full,
    /// The write failed.
    #[error("the spool's disk refused the write")]
    Disk,
}

struct Entry {
    frame: Vec<u8>,
    slot: Arc<Slot>,
}

/// The spool as producers of records see it.
pub(crate) struct Spool {
    queue: SyncSender<Entry>,
    log: Arc<Mutex<Log>>,
    used: Arc<AtomicU64>,
    limit: u64,
    away: AtomicBool,
    /// When the disk refused the last write.
    refused: Arc<Mutex<Option<Instant>>>,
}

impl Spool {
    /// Opens a directory, with what an earlier process left there. `limit` is in bytes. The thread writes, and ends when
    /// the spool is dropped.
    pub(crate) fn open(dir: &Path, limit: u64) -> anyhow::Result<(Arc<Self>, JoinHandle<()>)> {
        let log = Log::open(dir).with_context(|| format!("spool {}", dir.display()))?;
        if log.used() > 0 {
            tracing::info!(bytes = log.used(), "the spool holds records of before");
        }
        let used = Arc::new(AtomicU64::new(log.used()));
        let log = Arc::new(Mutex::new(log));
        let (queue, entries) = sync_channel(QUEUE);
        let refused = Arc::default();
        let writer = std::thread::Builder::new().name("spool".to_owned()).spawn({
            let (log, used, refused) = (Arc::clone(&log), Arc::clone(&used), Arc::clone(&refused));
            move || write(&entries, &log, (&used, &refused))
        })?;
        let spool = Self {
            queue,
            log,
            used,
            limit,
            away: AtomicBool::new(false),
            refused,
        };
        Ok((Arc::new(spool), writer))
    }

    /// Whether Kafka took nothing of late: what comes is spooled without asking it.
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Kafka did not take a record.
    pub(crate) fn went_away(&self) {
        if !self.away.swap(true, Relaxed) {
            tracing::warn!("kafka does not acknowledge: records go to the spool");
        }
    }

    fn came_back(&self) {
        if self.away.swap(false, Relaxed) {
            tracing::info!("kafka acknowledges again: the spool drains");
        }
    }

    /// Puts a record on its way to the disk; the slot ends when it is there. Does not wait.
    pub(crate) fn put(&self, record: &Spooled<'_>, slot: Arc<Slot>) -> Result<(), SpoolError> {
        let frame = frame(record);
        let size = frame.len() as u64;
        if self.used.fetch_add(size, Relaxed) + size <= self.limit
            && self.queue.try_send(Entry { frame, slot }).is_ok()
        {
            metrics::counter!("edge_spooled_total").increment(1);
            return Ok(());
        }
        self.used.fetch_sub(size, Relaxed);
        Err(SpoolError::Full)
    }

    /// Waits until all that was put before is on disk, or refused.
    pub(crate) async fn flush(&self) {
        let slot = Arc::new(Slot::default());
        let last = Entry {
            frame: Vec::new(),
            slot: Arc::clone(&slot),
        };
        if self.queue.send(last).is_ok() {
            Delivery(slot).acknowledged().await.ok();
        }
    }

    /// Bytes on disk or on their way there.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Whether so little is left that no more traffic should come.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.used() >= self.limit / 5 * 4
    }

    /// Whether records would have to go to a disk that took none of late.
    pub(crate) fn refuses(&self) -> bool {
        self.is_away() && lock(&self.refused).is_some_and(|at| at.elapsed() < REFUSES_FOR)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Deletes a segment if Kafka has all of it up to `offset`, and nothing was added since.
    fn drained(&self, number: u64, offset: u64, is_damaged: bool) -> std::io::Result<bool> {
        let freed = self.log().remove(number, offset, is_damaged)?;
        self.used.fetch_sub(freed.unwrap_or_default(), Relaxed);
        Ok(freed.is_some())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A log that a panic left is as the disk is: lengths are set after the write.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes what waits in groups, each with one fsync, until no more can come.
fn write(
    entries: &Receiver<Entry>,
    log: &Mutex<Log>,
    (used, refused): (&AtomicU64, &Mutex<Option<Instant>>),
) {
    let mut group = Vec::new();
    let mut slots = Vec::new();
    while let Ok(first) = entries.recv() {
        let mut next = Some(first);
        while let Some(entry) = next {
            group.extend_from_slice(&entry.frame);
            slots.push(entry.slot);
            next = if group.len() < GROUP_BYTES {
                entries.try_recv().ok()
            } else {
                None
            };
        }
        let written = if group.is_empty() {
            Ok(())
        } else {
            lock(log).append(&group)
        };
        *lock(refused) = written.is_err().then(Instant::now);
        let result = match written {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "the spool cannot write");
                used.fetch_sub(group.len() as u64, Relaxed);
                Err(SpoolError::Disk.into())
            }
        };
        for slot in slots.drain(..) {
            slot.finish(result.clone());
        }
        group.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::AppendError;

    fn put(spool: &Spool, value: &[u8]) -> Result<(), AppendError> {
        let slot = Arc::new(Slot::default());
        spool.put(
            &Spooled {
                topic: "clicks".into(),
                key: b"k".into(),
                value: value.into(),
                headers: Vec::new(),
            },
            Arc::clone(&slot),
        )?;
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(Delivery(slot).acknowledged())
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_and_room_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, writer) = Spool::open(dir.path(), 1 << 20).unwrap();
        for n in 0..100u8 {
            put(&spool, &[n; 50]).unwrap();
        }
        let used = spool.used();
        drop(spool);
        writer.join().unwrap();
        let (spool, _) = Spool::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spool.used(), used);
        let (number, length) = spool.log().head().unwrap();
        let (records, _) = log::read(dir.path(), number, 0, length).unwrap();
        let values: Vec<u8> = records.iter().map(|r| r.value[0]).collect();
        assert_eq!(values, Vec::from_iter(0..100));
        assert!(spool.drained(number, length, false).unwrap());
        assert_eq!(spool.used(), 0);
        put(&spool, b"more").unwrap();
        assert!(spool.log().head().unwrap().0 > number);
    }

    #[test]
    fn beyond_the_limit_nothing_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path(), 1000).unwrap();
        let mut taken = 0;
        let refused = loop {
            match put(&spool, &[0; 100]) {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AppendError::Spool(SpoolError::Full)));
        assert!((5..10).contains(&taken), "{taken}");
        assert!(spool.is_nearly_full() && spool.used() <= 1000);
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let (_first, _) = Spool::open(dir.path(), 1000).unwrap();
        let second = Spool::open(dir.path(), 1000).err().unwrap();
        assert!(format!("{second:#}").contains("another process"), "{second:#}");
    }
}
