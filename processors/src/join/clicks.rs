//! Clicks by ID and who waits for them, in segments of time that are dropped as a whole.
//!
//! A segment has two trees: clicks, whose IDs come almost in order, and who waits. Everything goes
//! to the newest one: a record's segment is that of its Kafka timestamp, but never an older one than the last; the
//! time within a click ID only says where to look first, as IDs of other systems carry none.
//!
//! Invariant: the position is a file, replaced as a whole after the clicks and who waits are on disk, so that it never
//! names more than is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;
use tributary_domain::click_id;
use tributary_domain::store::StoreError;

use crate::store::{Forest, Tree, failed, lock, remove};

const VERSION: &str = "v3";
const DAY_MS: i64 = 86_400_000;
const POSITION_FILE: &str = "position";
const CLICKS_DIR: &str = "clicks";
const WAITING_DIR: &str = "waiting";

/// A click ID as a number, for maps.
pub(super) type ClickKey = u128;

/// The key of 16 bytes; None if they are not 16.
pub(super) fn click_key(id: &[u8]) -> Option<ClickKey> {
    Some(u128::from_be_bytes(id.try_into().ok()?))
}

fn folded(key: ClickKey) -> u64 {
    (key as u64) ^ ((key >> 64) as u64).rotate_left(29)
}

struct Segment {
    clicks: Tree,
    waiting: Tree,
}

impl Segment {
    /// None if it is damaged.
    fn open(dir: &Path, forest: &Forest) -> Result<Option<Self>, StoreError> {
        let clicks = Tree::open(&dir.join(CLICKS_DIR), forest)?;
        let waiting = Tree::open(&dir.join(WAITING_DIR), forest)?;
        Ok(clicks
            .zip(waiting)
            .map(|(clicks, waiting)| Self { clicks, waiting }))
    }
}

pub(super) struct ClickStore {
    dir: PathBuf,
    forest: Forest,
    segments: BTreeMap<i64, Segment>,
    waiting: FxHashSet<u64>,
    segment_ms: i64,
    keep_ms: i64,
    /// Held as long as the store lives.
    _lock: File,
}

/// Positions in clicks and claims.
pub(super) type Positions = [i64; 2];

impl ClickStore {
    pub(super) fn open(
        dir: &Path,
        forest: &Forest,
        segment_days: u32,
        keep_days: u32,
    ) -> Result<Self, StoreError> {
        let held = lock(dir)?;
        let current = dir.join(VERSION);
        std::fs::create_dir_all(&current).map_err(failed)?;
        for entry in std::fs::read_dir(dir).map_err(failed)?.flatten() {
            if entry.file_name() != VERSION && entry.path().is_dir() {
                remove(&entry.path())?;
            }
        }
        let mut store = Self {
            dir: current,
            forest: forest.clone(),
            segments: BTreeMap::new(),
            waiting: FxHashSet::default(),
            segment_ms: i64::from(segment_days.max(1)) * DAY_MS,
            keep_ms: i64::from(keep_days) * DAY_MS,
            _lock: held,
        };
        if !store.open_segments()? || store.load_waiting().is_err() || store.positions().is_err() {
            // All of it: the position of one part says what was read of the others. The topics have it still.
            tracing::warn!(dir = %store.dir.display(), "clicks are read again from the topics");
            store.segments.clear();
            store.waiting.clear();
            remove(&store.dir)?;
            std::fs::create_dir_all(&store.dir).map_err(failed)?;
        }
        Ok(store)
    }

    /// False if one of them is damaged.
    fn open_segments(&mut self) -> Result<bool, StoreError> {
        for entry in std::fs::read_dir(&self.dir).map_err(failed)?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number {
                let Some(segment) = Segment::open(&entry.path(), &self.forest)? else {
                    return Ok(false);
                };
                self.segments.insert(number, segment);
            }
        }
        Ok(true)
    }

    fn load_waiting(&mut self) -> Result<(), StoreError> {
        self.waiting.clear();
        for segment in self.segments.values() {
            for entry in segment.waiting.entries_from(&[])? {
                let (key, _) = entry?;
                self.waiting.extend(click_key(&key).map(folded));
            }
        }
        Ok(())
    }

    /// Where the store stands; None if it is empty.
    pub(super) fn positions(&self) -> Result<Option<Positions>, StoreError> {
        let text = match std::fs::read_to_string(self.dir.join(POSITION_FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed)?,
        };
        let numbers = text
            .split_once(' ')
            .map(|(clicks, claims)| (clicks.parse(), claims.parse()));
        match numbers {
            Some((Ok(clicks), Ok(claims))) => Ok(Some([clicks, claims])),
            _ => Err(StoreError(
                format!("{}/{POSITION_FILE} is no position", self.dir.display()).into(),
            )),
        }
    }

    fn save(&self, [clicks, claims]: Positions) -> std::io::Result<()> {
        let part = self.dir.join(format!("{POSITION_FILE}.part"));
        let mut file = File::create(&part)?;
        file.write_all(format!("{clicks} {claims}").as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, self.dir.join(POSITION_FILE))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Whether somebody may wait for a click. Exact enough to be asked for every click.
    pub(super) fn may_wait(&self, key: ClickKey) -> bool {
        !self.waiting.is_empty() && self.waiting.contains(&folded(key))
    }

    /// The tenants that wait for a click, as written.
    pub(super) fn waiting(&self, id: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match click_key(id) {
            Some(key) if self.may_wait(key) => {}
            _ => return Ok(None),
        }
        // The newest list has all: it was made of the older ones.
        for segment in self.segments.values().rev() {
            if let Some(tenants) = segment.waiting.get(id)? {
                return Ok(Some(tenants));
            }
        }
        Ok(None)
    }

    /// The bytes of a click.
    pub(super) fn click(&self, id: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let time = std::str::from_utf8(id).ok().and_then(click_id::time);
        let likely = time.map(|time| time.div_euclid(self.segment_ms));
        let first = likely.and_then(|number| self.segments.get_key_value(&number));
        let others = self
            .segments
            .iter()
            .rev()
            .filter(|(number, _)| Some(**number) != likely);
        for (_, segment) in first.into_iter().chain(others) {
            if let Some(value) = segment.clicks.get(id)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Writes clicks and who waits, both in the order of their IDs, and the positions that they lead to. The records
    /// are as new as `timestamp`; the clock says what cannot be.
    pub(super) fn write<'a>(
        &mut self,
        (timestamp, now): (i64, i64),
        clicks: impl Iterator<Item = (impl AsRef<[u8]>, &'a [u8])>,
        waiting: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        positions: Positions,
    ) -> Result<(), StoreError> {
        let wanted = timestamp.min(now).max(0).div_euclid(self.segment_ms);
        let newest = self.segments.last_key_value().map(|(number, _)| *number);
        let number = newest.map_or(wanted, |newest| newest.max(wanted));
        if newest != Some(number) {
            let segment = Segment::open(&self.dir.join(number.to_string()), &self.forest)?;
            let segment = segment.ok_or_else(|| StoreError("a new segment of clicks is damaged".into()))?;
            self.segments.insert(number, segment);
        }
        let segment = self.segments.get(&number);
        let segment = segment.ok_or_else(|| failed(std::io::Error::other("no segment")))?;
        segment.clicks.add(clicks.map(|(id, value)| (id, Some(value))))?;
        let waits = &mut self.waiting;
        let waiting = waiting.map(|(id, tenants)| {
            waits.extend(click_key(id).map(folded));
            (id, Some(tenants))
        });
        segment.waiting.add(waiting)?;
        self.save(positions).map_err(failed)
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
            let dir = self.dir.join(oldest.key().to_string());
            drop(oldest.remove());
            remove(&dir)?;
            dropped += 1;
        }
        if dropped > 0 {
            self.load_waiting()?;
        }
        Ok(dropped)
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

    fn open(dir: &Path) -> ClickStore {
        ClickStore::open(dir, &Forest::default(), 7, 30).unwrap()
    }

    type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

    fn write(
        store: &mut ClickStore,
        times: (i64, i64),
        clicks: Pairs<'_>,
        waiting: Pairs<'_>,
        to: Positions,
    ) {
        store
            .write(times, clicks.iter().copied(), waiting.iter().copied(), to)
            .unwrap();
    }

    #[test]
    fn clicks_and_waiting_claims_survive_and_expire_by_segment() {
        let dir = scratch("segments");
        let day = |n: i64| n * DAY_MS;
        let id = |at: i64| click_id::new(at, 5).into_bytes();
        let foreign = b"zzzzzzzzzzzzzzzz";
        let mut store = open(&dir);
        assert_eq!(store.positions().unwrap(), None);
        let old: Pairs<'_> = &[(&id(day(70)), b"old"), (foreign, b"foreign")];
        write(&mut store, (day(70), day(1000)), old, &[], [3, 0]);
        let waiting: Pairs<'_> = &[(b"0123456789abcdef", b"acme/live")];
        write(
            &mut store,
            (day(140), day(1000)),
            &[(&id(day(140)), b"new")],
            waiting,
            [5, 1],
        );
        drop(store);

        let mut store = open(&dir);
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
        // The newest segment stays: it is written to.
        assert_eq!(store.expire(day(9999)).unwrap(), 0);
        drop(store);
        assert_eq!(open(&dir).positions().unwrap(), Some([5, 1]));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_damaged_part_takes_all_with_it_and_the_position_too() {
        let dir = scratch("damaged");
        let id = click_id::new(70 * DAY_MS, 5).into_bytes();
        let mut store = open(&dir);
        write(
            &mut store,
            (70 * DAY_MS, 1000 * DAY_MS),
            &[(&id, b"old")],
            &[],
            [3, 0],
        );
        write(&mut store, (140 * DAY_MS, 1000 * DAY_MS), &[], &[], [5, 1]);
        drop(store);
        let clicks = dir.join(VERSION).join("10").join(CLICKS_DIR);
        for entry in std::fs::read_dir(clicks).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                std::fs::write(entry.path(), b"this is no database").unwrap();
            }
        }
        let mut store = open(&dir);
        assert_eq!((store.positions().unwrap(), store.segments.len()), (None, 0));
        write(
            &mut store,
            (70 * DAY_MS, 1000 * DAY_MS),
            &[(&id, b"again")],
            &[],
            [3, 0],
        );
        assert_eq!(store.click(&id).unwrap(), Some(b"again".to_vec()));
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_position_that_is_none_takes_the_clicks_with_it() {
        let dir = scratch("position");
        let id = click_id::new(70 * DAY_MS, 5).into_bytes();
        let mut store = open(&dir);
        write(
            &mut store,
            (70 * DAY_MS, 1000 * DAY_MS),
            &[(&id, b"old")],
            &[],
            [3, 0],
        );
        drop(store);
        std::fs::write(dir.join(VERSION).join(POSITION_FILE), b"3").unwrap();
        let store = open(&dir);
        assert_eq!((store.positions().unwrap(), store.segments.len()), (None, 0));
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_newest_list_of_who_waits_counts() {
        let dir = scratch("waits");
        let mut store = open(&dir);
        let id = click_id::new(70 * DAY_MS, 5).into_bytes();
        write(
            &mut store,
            (70 * DAY_MS, 1000 * DAY_MS),
            &[],
            &[(&id, b"a/live")],
            [0, 1],
        );
        write(
            &mut store,
            (140 * DAY_MS, 1000 * DAY_MS),
            &[],
            &[(&id, b"a/live\nb/live")],
            [0, 2],
        );
        assert_eq!(store.waiting(&id).unwrap(), Some(b"a/live\nb/live".to_vec()));
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_timestamp_in_the_future_is_taken_for_the_present() {
        let dir = scratch("future");
        let mut store = open(&dir);
        write(&mut store, (9_000 * DAY_MS, 70 * DAY_MS), &[], &[], [1, 0]);
        assert_eq!(store.segments.keys().copied().collect::<Vec<_>>(), [10]);
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
