//! Clicks by ID and who waits for them, in segments of time that are dropped as a whole.
//!
//! Everything that is written goes to the newest segment, the position too: so only one keyspace is ever
//! written, and no journal is pinned by an idle one. A record's segment is that of its Kafka timestamp,
//! but never an older one than the last; the time within a click ID only says where to look first, as IDs
//! of other systems carry none.

use std::collections::BTreeMap;
use std::path::Path;

use fjall::{Database, Keyspace, OwnedWriteBatch};
use rustc_hash::FxHashSet;
use tributary_domain::click_id;
use tributary_domain::store::StoreError;

use crate::store::{Limits, failed, open_database, options, remove, write_batch};

const VERSION: &str = "v1";
const DAY_MS: i64 = 86_400_000;
const POSITION: &[u8] = b"position";
/// Before any click ID, which start with a digit or letter.
const WAITING: u8 = 1;

/// A click ID as a number, for maps.
pub(super) type ClickKey = u128;

/// The key of 16 bytes; None if they are not 16.
pub(super) fn click_key(id: &[u8]) -> Option<ClickKey> {
    Some(u128::from_be_bytes(id.try_into().ok()?))
}

fn folded(key: ClickKey) -> u64 {
    (key as u64) ^ ((key >> 64) as u64).rotate_left(29)
}

pub(super) struct ClickStore {
    database: Database,
    segments: BTreeMap<i64, Keyspace>,
    waiting: FxHashSet<u64>,
    limits: Limits,
    segment_ms: i64,
    keep_ms: i64,
}

/// Positions in clicks and claims.
pub(super) type Positions = [i64; 2];

impl ClickStore {
    pub(super) fn open(dir: &Path, segment_days: u32, keep_days: u32) -> Result<Self, StoreError> {
        let current = dir.join(VERSION);
        std::fs::create_dir_all(&current).map_err(failed)?;
        for entry in std::fs::read_dir(dir).map_err(failed)?.flatten() {
            if entry.file_name() != VERSION {
                remove(&entry.path())?;
            }
        }
        let limits = Limits {
            cache: 2 * 1024 * 1024,
            ..Limits::default()
        };
        let database = open_database(&current, limits)?;
        let mut segments = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Ok(number) = name.parse::<i64>() {
                let keyspace = database.keyspace(&name, || options(limits)).map_err(failed)?;
                segments.insert(number, keyspace);
            }
        }
        let mut store = Self {
            database,
            segments,
            waiting: FxHashSet::default(),
            limits,
            segment_ms: i64::from(segment_days.max(1)) * DAY_MS,
            keep_ms: i64::from(keep_days) * DAY_MS,
        };
        store.load_waiting()?;
        Ok(store)
    }

    fn load_waiting(&mut self) -> Result<(), StoreError> {
        for keyspace in self.segments.values() {
            for guard in keyspace.prefix([WAITING]) {
                let key = guard.key().map_err(failed)?;
                let id = key.get(1..).and_then(click_key);
                self.waiting.extend(id.map(folded));
            }
        }
        Ok(())
    }

    /// Where the store stands; None if it is empty.
    pub(super) fn positions(&self) -> Result<Option<Positions>, StoreError> {
        for keyspace in self.segments.values().rev() {
            let value = keyspace.get(POSITION).map_err(failed)?;
            let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
            let numbers = text.and_then(|text| text.split_once(' '));
            if let Some((Ok(clicks), Ok(claims))) = numbers.map(|(a, b)| (a.parse(), b.parse())) {
                return Ok(Some([clicks, claims]));
            }
        }
        Ok(None)
    }

    /// The bytes of a click.
    pub(super) fn click(&self, id: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.find(id, id)
    }

    /// Whether somebody may wait for a click. Exact enough to be asked for every click.
    pub(super) fn may_wait(&self, key: ClickKey) -> bool {
        !self.waiting.is_empty() && self.waiting.contains(&folded(key))
    }

    /// The tenants that wait for a click, as written.
    pub(super) fn waiting(&self, id: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match click_key(id) {
            Some(key) if self.may_wait(key) => self.find(id, &waiting_key(id)),
            _ => Ok(None),
        }
    }

    fn find(&self, id: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let time = std::str::from_utf8(id).ok().and_then(click_id::time);
        let likely = time.map(|time| time.div_euclid(self.segment_ms));
        let first = likely.and_then(|number| self.segments.get_key_value(&number));
        let others = self
            .segments
            .iter()
            .rev()
            .filter(|(number, _)| Some(**number) != likely);
        for (_, keyspace) in first.into_iter().chain(others) {
            if let Some(value) = keyspace.get(key).map_err(failed)? {
                return Ok(Some(value.to_vec()));
            }
        }
        Ok(None)
    }

    /// Begins to write records that are as new as `timestamp`; the clock says what cannot be.
    pub(super) fn writer(&mut self, timestamp: i64, now: i64) -> Result<Writer<'_>, StoreError> {
        let wanted = timestamp.min(now).max(0).div_euclid(self.segment_ms);
        let newest = self.segments.last_key_value().map(|(number, _)| *number);
        let number = newest.map_or(wanted, |newest| newest.max(wanted));
        if newest != Some(number) {
            let limits = self.limits;
            let keyspace = self
                .database
                .keyspace(&number.to_string(), || options(limits))
                .map_err(failed)?;
            if let Some((_, old)) = self.segments.last_key_value() {
                old.rotate_memtable().map_err(failed)?;
            }
            self.segments.insert(number, keyspace);
        }
        let keyspace = self.segments.get(&number).cloned();
        let keyspace = keyspace.ok_or_else(|| failed(std::io::Error::other("no segment")))?;
        Ok(Writer {
            batch: write_batch(&self.database, 8_192),
            keyspace,
            waiting: &mut self.waiting,
        })
    }

    /// Drops the segments whose newest click is older than what is kept.
    pub(super) fn expire(&mut self, now: i64) -> Result<usize, StoreError> {
        let mut dropped = 0;
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.first_entry() else {
                break;
            };
            if (oldest.key() + 1) * self.segment_ms + self.keep_ms > now {
                break;
            }
            self.database.delete_keyspace(oldest.remove()).map_err(failed)?;
            dropped += 1;
        }
        Ok(dropped)
    }
}

fn waiting_key(id: &[u8]) -> Vec<u8> {
    [&[WAITING], id].concat()
}

/// One batch, written as a whole.
pub(super) struct Writer<'a> {
    batch: OwnedWriteBatch,
    keyspace: Keyspace,
    waiting: &'a mut FxHashSet<u64>,
}

impl Writer<'_> {
    pub(super) fn click(&mut self, id: &[u8], value: &[u8]) {
        self.batch.insert(&self.keyspace, id, value);
    }

    pub(super) fn waiting(&mut self, id: &[u8], tenants: &[u8]) {
        if let Some(key) = click_key(id) {
            self.waiting.insert(folded(key));
            self.batch.insert(&self.keyspace, waiting_key(id), tenants);
        }
    }

    pub(super) fn commit(mut self, positions: Positions) -> Result<(), StoreError> {
        let [clicks, claims] = positions;
        self.batch.insert(
            &self.keyspace,
            POSITION,
            format!("{clicks} {claims}").into_bytes(),
        );
        self.batch.commit().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("tributary-clicks-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        dir
    }

    #[test]
    fn clicks_and_waiting_claims_survive_and_expire_by_segment() {
        let dir = scratch("segments");
        let day = |n: i64| n * DAY_MS;
        let id = |at: i64| click_id::new(at, 5).into_bytes();
        let foreign = b"zzzzzzzzzzzzzzzz";
        let mut store = ClickStore::open(&dir, 7, 30).unwrap();
        assert_eq!(store.positions().unwrap(), None);
        let mut writer = store.writer(day(70), day(1000)).unwrap();
        writer.click(&id(day(70)), b"old");
        writer.click(foreign, b"foreign");
        writer.commit([3, 0]).unwrap();
        let mut writer = store.writer(day(140), day(1000)).unwrap();
        writer.click(&id(day(140)), b"new");
        writer.waiting(b"0123456789abcdef", b"acme/live");
        writer.commit([5, 1]).unwrap();
        drop(store);

        let mut store = ClickStore::open(&dir, 7, 30).unwrap();
        assert_eq!(store.positions().unwrap(), Some([5, 1]));
        assert_eq!(store.click(&id(day(70))).unwrap(), Some(b"old".to_vec()));
        assert_eq!(store.click(foreign).unwrap(), Some(b"foreign".to_vec()));
        assert_eq!(store.click(&id(day(140))).unwrap(), Some(b"new".to_vec()));
        assert_eq!(
            store.waiting(b"0123456789abcdef").unwrap(),
            Some(b"acme/live".to_vec())
        );
        assert!(!store.may_wait(click_key(foreign).unwrap()));

        assert_eq!(store.expire(day(100)).unwrap(), 0);
        assert_eq!(store.expire(day(108)).unwrap(), 1);
        assert_eq!(store.click(&id(day(70))).unwrap(), None);
        assert_eq!(store.click(&id(day(140))).unwrap(), Some(b"new".to_vec()));
        // The newest segment stays: it holds the position.
        assert_eq!(store.expire(day(9999)).unwrap(), 0);
        drop(store);
        assert_eq!(
            ClickStore::open(&dir, 7, 30).unwrap().positions().unwrap(),
            Some([5, 1])
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_timestamp_in_the_future_is_taken_for_the_present() {
        let dir = scratch("future");
        let mut store = ClickStore::open(&dir, 7, 30).unwrap();
        store
            .writer(9_000 * DAY_MS, 70 * DAY_MS)
            .unwrap()
            .commit([1, 0])
            .unwrap();
        assert_eq!(store.segments.keys().copied().collect::<Vec<_>>(), [10]);
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
