//! Clicks by ID and workspace, and who waits for which ID, in segments of time that are dropped as a whole.
//!
//! A segment has two trees: clicks, whose IDs come almost in order, and who waits. Everything goes
//! to the newest one: a record's segment is that of its Kafka timestamp, but never an older one than the last; the
//! time within a click ID only says where to look first, as IDs of other systems carry none.
//!
//! Invariant: the position is a file, replaced as a whole after the clicks and who waits are on disk, so that it never
//! names more than is there: neither records of the topics nor segments.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;
use tributary_domain::click_id;
use tributary_domain::store::StoreError;
use xxhash_rust::xxh3::xxh3_64;

use crate::store::{Forest, Tree, failed, is_damage, lock, remove};

/// Of the files; those of another one are deleted, and all is read again from the topics.
const VERSION: &str = "v4";
const DAY_MS: i64 = 86_400_000;
const POSITION_FILE: &str = "position";
const CLICKS_DIR: &str = "clicks";
const WAITING_DIR: &str = "waiting";

/// A click ID as a number, for maps.
pub(super) type ClickId = u128;

/// The ID of 16 bytes; None if they are not 16.
pub(super) fn click_id_of(id: &[u8]) -> Option<ClickId> {
    Some(u128::from_be_bytes(id.try_into().ok()?))
}

/// What a click is found by: its ID, and a hash of whose it is. With the ID alone, who learns of a click could tell
/// another one under its ID, in a workspace of their own, and the first would not be found any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClickKey {
    pub(super) id: ClickId,
    workspace: u64,
}

impl ClickKey {
    pub(super) fn new(id: ClickId, workspace: &str) -> Self {
        Self {
            id,
            workspace: xxh3_64(workspace.as_bytes()),
        }
    }

    /// In the order of the keys.
    fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (id, workspace) = bytes.split_at_mut(16);
        id.copy_from_slice(&self.id.to_be_bytes());
        workspace.copy_from_slice(&self.workspace.to_be_bytes());
        bytes
    }
}

fn folded(id: ClickId) -> u64 {
    (id as u64) ^ ((id >> 64) as u64).rotate_left(29)
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

    /// Nothing will be written to it any more.
    fn finish(&self) {
        self.clicks.finish();
        self.waiting.finish();
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

/// What the position file says: where the store stands, and its segments.
type Found = (Positions, Vec<i64>);

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
        match store.open_segments().and_then(|()| store.load_waiting()) {
            Ok(()) => {}
            Err(error) if is_damage(&error) => {
                tracing::warn!(dir = %store.dir.display(), %error, "clicks are read again from the topics");
                store.wipe()?;
            }
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    /// Deletes all of it: the position of one part says what was read of the others. The topics have it still.
    pub(super) fn wipe(&mut self) -> Result<(), StoreError> {
        self.segments.clear();
        self.waiting.clear();
        remove(&self.dir)?;
        std::fs::create_dir_all(&self.dir).map_err(failed)
    }

    fn open_segments(&mut self) -> Result<(), StoreError> {
        let listed = self.found()?.map_or(Vec::new(), |(_, segments)| segments);
        let lost = |number: i64| damaged(format!("segment {number} of clicks is damaged or gone"));
        for number in listed {
            let dir = self.dir.join(number.to_string());
            // The library would make a new tree of a folder that was lost.
            if is_empty(&dir.join(CLICKS_DIR))? || is_empty(&dir.join(WAITING_DIR))? {
                return Err(lost(number));
            }
            let segment = Segment::open(&dir, &self.forest)?.ok_or_else(|| lost(number))?;
            self.segments.insert(number, segment);
        }
        // What a kill left of making or of dropping a segment.
        for entry in std::fs::read_dir(&self.dir).map_err(failed)?.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.parse::<i64>().ok());
            if entry.path().is_dir() && number.is_none_or(|number| !self.segments.contains_key(&number)) {
                std::fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        for segment in self.segments.values().rev().skip(1) {
            segment.finish();
        }
        Ok(())
    }

    fn load_waiting(&mut self) -> Result<(), StoreError> {
        self.waiting.clear();
        for segment in self.segments.values() {
            for entry in segment.waiting.entries_from(&[])? {
                let (key, _) = entry?;
                self.waiting.extend(click_id_of(&key).map(folded));
            }
        }
        Ok(())
    }

    /// Where the store stands; None if it is empty.
    pub(super) fn positions(&self) -> Result<Option<Positions>, StoreError> {
        Ok(self.found()?.map(|(positions, _)| positions))
    }

    fn found(&self) -> Result<Option<Found>, StoreError> {
        let text = match std::fs::read_to_string(self.dir.join(POSITION_FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed)?,
        };
        let numbers: Result<Vec<i64>, _> = text.split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([clicks, claims, segments @ ..]) if !segments.is_empty() => {
                Ok(Some(([*clicks, *claims], segments.to_vec())))
            }
            _ => Err(damaged(format!(
                "{}/{POSITION_FILE} is no position",
                self.dir.display()
            ))),
        }
    }

    /// Positions, then the numbers of the segments.
    fn save(&self, [clicks, claims]: Positions) -> Result<(), StoreError> {
        let mut text = format!("{clicks} {claims}");
        for number in self.segments.keys() {
            text.push_str(&format!(" {number}"));
        }
        let write = || {
            let part = self.dir.join(format!("{POSITION_FILE}.part"));
            let mut file = File::create(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, self.dir.join(POSITION_FILE))?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(failed)
    }

    /// Whether somebody may wait for a click. Exact enough to be asked for every click.
    pub(super) fn may_wait(&self, id: ClickId) -> bool {
        !self.waiting.is_empty() && self.waiting.contains(&folded(id))
    }

    /// The tenants that wait for a click, as written.
    pub(super) fn waiting(&self, id: ClickId) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.may_wait(id) {
            return Ok(None);
        }
        // The newest list has all: it was made of the older ones.
        for segment in self.segments.values().rev() {
            if let Some(tenants) = segment.waiting.get(&id.to_be_bytes())? {
                return Ok(Some(tenants));
            }
        }
        Ok(None)
    }

    /// The bytes of a click.
    pub(super) fn click(&self, key: ClickKey) -> Result<Option<Vec<u8>>, StoreError> {
        let id = key.id.to_be_bytes();
        let time = std::str::from_utf8(&id).ok().and_then(click_id::time);
        let likely = time.map(|time| time.div_euclid(self.segment_ms));
        let first = likely.and_then(|number| self.segments.get_key_value(&number));
        let others = self
            .segments
            .iter()
            .rev()
            .filter(|(number, _)| Some(**number) != likely);
        for (_, segment) in first.into_iter().chain(others) {
            if let Some(value) = segment.clicks.get(&key.bytes())? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Writes clicks and who waits, both in the order of their keys, and the positions that they lead to. The records
    /// are as new as `timestamp`; the clock says what cannot be.
    pub(super) fn write<'a>(
        &mut self,
        (timestamp, now): (i64, i64),
        clicks: impl Iterator<Item = (ClickKey, &'a [u8])>,
        waiting: impl Iterator<Item = (ClickId, &'a [u8])>,
        positions: Positions,
    ) -> Result<(), StoreError> {
        let wanted = timestamp.min(now).max(0).div_euclid(self.segment_ms);
        let newest = self.segments.last_key_value().map(|(number, _)| *number);
        let number = newest.map_or(wanted, |newest| newest.max(wanted));
        if newest != Some(number) {
            let segment = Segment::open(&self.dir.join(number.to_string()), &self.forest)?;
            let segment = segment.ok_or_else(|| damaged("a new segment of clicks is damaged".to_owned()))?;
            if let Some((_, finished)) = self.segments.last_key_value() {
                finished.finish();
            }
            self.segments.insert(number, segment);
        }
        let segment = self.segments.get(&number);
        let segment = segment.ok_or_else(|| failed(std::io::Error::other("no segment")))?;
        segment
            .clicks
            .add(clicks.map(|(key, value)| (key.bytes(), Some(value))))?;
        let waits = &mut self.waiting;
        let waiting = waiting.map(|(id, tenants)| {
            waits.insert(folded(id));
            (id.to_be_bytes(), Some(tenants))
        });
        segment.waiting.add(waiting)?;
        self.save(positions)
    }

    /// Drops the segments whose newest click is older than what is kept.
    pub(super) fn expire(&mut self, now: i64) -> Result<usize, StoreError> {
        let mut expired = Vec::new();
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.first_entry() else {
                break;
            };
            if (oldest.key() + 1) * self.segment_ms + self.keep_ms > now {
                break;
            }
            expired.push(oldest.remove_entry());
        }
        if let Some(positions) = self.positions()?.filter(|_| !expired.is_empty()) {
            // First: what the file lists must be there.
            self.save(positions)?;
        }
        let dropped = expired.len();
        for (number, segment) in expired {
            drop(segment);
            remove(&self.dir.join(number.to_string()))?;
        }
        if dropped > 0 {
            self.load_waiting()?;
        }
        Ok(dropped)
    }
}

fn damaged(what: String) -> StoreError {
    failed(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
}

/// Whether a folder is gone or has nothing in it.
fn is_empty(dir: &Path) -> Result<bool, StoreError> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const NOW: i64 = 1_000 * DAY_MS;

    /// A folder that is gone after the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("tributary-clicks-{name}-{}", std::process::id()));
            std::fs::remove_dir_all(&dir).ok();
            Self(dir)
        }

        fn open(&self) -> ClickStore {
            ClickStore::open(&self.0, &Forest::default(), 7, 30).unwrap()
        }

        fn segment(&self, number: i64) -> PathBuf {
            self.0.join(VERSION).join(number.to_string())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn id(day: i64) -> ClickId {
        click_id_of(click_id::new(day * DAY_MS, 5).as_bytes()).unwrap()
    }

    fn key(day: i64) -> ClickKey {
        ClickKey::new(id(day), "acme")
    }

    type Clicks<'a> = &'a [(ClickKey, &'a [u8])];
    type Waiting<'a> = &'a [(ClickId, &'a [u8])];

    fn write(store: &mut ClickStore, day: i64, clicks: Clicks<'_>, waiting: Waiting<'_>, to: Positions) {
        store
            .write(
                (day * DAY_MS, NOW),
                clicks.iter().copied(),
                waiting.iter().copied(),
                to,
            )
            .unwrap();
    }

    /// Segments 10 and 20, each with a click.
    fn two_segments(scratch: &Scratch) {
        let mut store = scratch.open();
        write(&mut store, 70, &[(key(70), b"old")], &[], [3, 0]);
        write(&mut store, 140, &[(key(140), b"new")], &[], [5, 1]);
    }

    fn is_fresh(store: &ClickStore) -> bool {
        store.positions().unwrap().is_none()
            && store.segments.is_empty()
            && store.click(key(140)).unwrap().is_none()
    }

    /// A value that is most of its table.
    fn noise() -> Vec<u8> {
        let byte = |n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8;
        (0..100_000).map(byte).collect()
    }

    /// Flips a bit in the data of each table of clicks.
    fn flip(segment: &Path) {
        for table in std::fs::read_dir(segment.join("clicks/tables"))
            .unwrap()
            .flatten()
        {
            let mut bytes = std::fs::read(table.path()).unwrap();
            let data = bytes.len() / 4;
            bytes[data] ^= 1;
            std::fs::write(table.path(), bytes).unwrap();
        }
    }

    fn tables(tree: &Path) -> usize {
        std::fs::read_dir(tree.join("tables")).unwrap().count()
    }

    #[test]
    fn clicks_and_waiting_claims_survive_and_expire_by_segment() {
        let scratch = Scratch::new("segments");
        let foreign = ClickKey::new(click_id_of(b"zzzzzzzzzzzzzzzz").unwrap(), "acme");
        let awaited = click_id_of(b"0123456789abcdef").unwrap();
        let mut store = scratch.open();
        assert_eq!(store.positions().unwrap(), None);
        write(
            &mut store,
            70,
            &[(key(70), b"old"), (foreign, b"foreign")],
            &[],
            [3, 0],
        );
        write(
            &mut store,
            140,
            &[(key(140), b"new")],
            &[(awaited, b"acme/live")],
            [5, 1],
        );
        drop(store);

        let mut store = scratch.open();
        assert_eq!(store.positions().unwrap(), Some([5, 1]));
        assert_eq!(store.click(key(70)).unwrap(), Some(b"old".to_vec()));
        assert_eq!(store.click(foreign).unwrap(), Some(b"foreign".to_vec()));
        assert_eq!(store.click(key(140)).unwrap(), Some(b"new".to_vec()));
        assert_eq!(store.waiting(awaited).unwrap(), Some(b"acme/live".to_vec()));
        assert!(!store.may_wait(foreign.id));

        assert_eq!(store.expire(100 * DAY_MS).unwrap(), 0);
        assert_eq!(store.expire(108 * DAY_MS).unwrap(), 1);
        assert_eq!(store.click(key(70)).unwrap(), None);
        assert_eq!(store.click(key(140)).unwrap(), Some(b"new".to_vec()));
        // The newest segment stays: it is written to.
        assert_eq!(store.expire(9999 * DAY_MS).unwrap(), 0);
        drop(store);
        let store = scratch.open();
        assert_eq!(store.positions().unwrap(), Some([5, 1]));
        assert_eq!(store.click(key(140)).unwrap(), Some(b"new".to_vec()));
    }

    #[test]
    fn a_click_under_an_id_of_another_workspace_does_not_hide_the_first() {
        let scratch = Scratch::new("workspaces");
        let mut store = scratch.open();
        let theirs = ClickKey::new(id(70), "other");
        write(&mut store, 70, &[(key(70), b"ours")], &[], [1, 0]);
        write(&mut store, 70, &[(theirs, b"theirs")], &[], [2, 0]);
        assert_eq!(store.click(key(70)).unwrap(), Some(b"ours".to_vec()));
        assert_eq!(store.click(theirs).unwrap(), Some(b"theirs".to_vec()));
        assert_eq!(store.click(ClickKey::new(id(70), "nobody")).unwrap(), None);
    }

    #[test]
    fn a_damaged_part_takes_all_with_it_and_the_position_too() {
        let scratch = Scratch::new("damaged");
        two_segments(&scratch);
        for entry in std::fs::read_dir(scratch.segment(10).join(CLICKS_DIR))
            .unwrap()
            .flatten()
        {
            if entry.path().is_file() {
                std::fs::write(entry.path(), b"this is no database").unwrap();
            }
        }
        let mut store = scratch.open();
        assert!(is_fresh(&store));
        write(&mut store, 140, &[(key(140), b"again")], &[], [3, 0]);
        assert_eq!(store.click(key(140)).unwrap(), Some(b"again".to_vec()));
    }

    #[test]
    fn a_part_that_is_lost_takes_all_with_it() {
        for lost in ["10", "10/clicks", "20/waiting/*"] {
            let scratch = Scratch::new("lost");
            two_segments(&scratch);
            assert!(!is_fresh(&scratch.open()));
            let current = scratch.0.join(VERSION);
            let dir = current.join(lost.trim_end_matches("/*"));
            std::fs::remove_dir_all(&dir).unwrap();
            if lost.ends_with('*') {
                std::fs::create_dir(&dir).unwrap();
            }
            assert!(is_fresh(&scratch.open()), "{lost}");
        }
    }

    #[test]
    fn what_a_kill_left_of_a_segment_is_removed() {
        let scratch = Scratch::new("left");
        two_segments(&scratch);
        for left in ["20.deleted", "30"] {
            std::fs::create_dir_all(scratch.0.join(VERSION).join(left).join(CLICKS_DIR)).unwrap();
        }
        assert!(!is_fresh(&scratch.open()));
        let kept = std::fs::read_dir(scratch.0.join(VERSION)).unwrap().flatten();
        let mut kept: Vec<_> = kept
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, ["10", "20", POSITION_FILE]);
    }

    #[test]
    fn bits_that_flip_after_opening_are_damage() {
        let scratch = Scratch::new("bits");
        let mut store = scratch.open();
        let noise = noise();
        write(&mut store, 70, &[(key(70), &noise)], &[], [3, 0]);
        assert_eq!(store.click(key(70)).unwrap(), Some(noise));
        drop(store);
        flip(&scratch.segment(10));
        let mut store = scratch.open();
        assert_eq!(
            store.positions().unwrap(),
            Some([3, 0]),
            "it is not read at the start"
        );
        assert!(is_damage(&store.click(key(70)).unwrap_err()));
        store.wipe().unwrap();
        assert!(is_fresh(&store));
    }

    #[test]
    fn damage_that_only_merging_meets_is_told_before_runs_pile_up() {
        let scratch = Scratch::new("merging");
        let mut store = scratch.open();
        let key = |n: ClickId| ClickKey::new(n, "acme");
        write(&mut store, 70, &[(key(500), &noise())], &[], [1, 0]);
        drop(store);
        flip(&scratch.segment(10));
        let mut store = scratch.open();
        let error = (0..200).find_map(|n| {
            let clicks: Clicks<'_> = &[(key(n), b"low"), (key(1_000 + n), b"high")];
            store
                .write((70 * DAY_MS, NOW), clicks.iter().copied(), [].into_iter(), [2, 0])
                .err()
        });
        assert!(is_damage(&error.expect("runs pile up")));
    }

    #[test]
    fn a_position_that_is_none_takes_the_clicks_with_it() {
        for text in ["3", "3 4", "3 x 10", "3 4 "] {
            let scratch = Scratch::new("position");
            two_segments(&scratch);
            std::fs::write(scratch.0.join(VERSION).join(POSITION_FILE), text).unwrap();
            assert!(is_fresh(&scratch.open()), "{text}");
        }
    }

    #[test]
    fn the_newest_list_of_who_waits_counts() {
        let scratch = Scratch::new("waits");
        let mut store = scratch.open();
        write(&mut store, 70, &[], &[(id(70), b"a/live")], [0, 1]);
        write(&mut store, 140, &[], &[(id(70), b"a/live\nb/live")], [0, 2]);
        assert_eq!(store.waiting(id(70)).unwrap(), Some(b"a/live\nb/live".to_vec()));
    }

    #[test]
    fn a_timestamp_in_the_future_is_taken_for_the_present() {
        let scratch = Scratch::new("future");
        let mut store = scratch.open();
        write(&mut store, 9_000, &[], &[], [1, 0]);
        assert_eq!(
            store.segments.keys().copied().collect::<Vec<_>>(),
            [NOW / (7 * DAY_MS)]
        );
    }

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    // IDs in order make runs without keys in common, which merging by levels only moves.
    #[test]
    fn tiny_runs_do_not_pile_up_and_a_finished_segment_is_one_table() {
        let scratch = Scratch::new("tiny");
        let mut store = scratch.open();
        let key = |n: u128| ClickKey::new(n, "acme");
        let clicks = scratch.segment(10).join(CLICKS_DIR);
        let mut most = 0;
        for n in 0..400 {
            write(&mut store, 70, &[(key(n), b"click")], &[], [1, 0]);
            most = most.max(tables(&clicks));
        }
        assert!(most > 8, "nothing was merged that fast");
        eventually("tiny runs are merged", || tables(&clicks) < 100);
        write(&mut store, 140, &[], &[(7, b"acme/live")], [1, 0]);
        eventually("a finished segment is merged", || tables(&clicks) == 1);
        drop(store);
        let store = scratch.open();
        for n in 0..400 {
            assert_eq!(store.click(key(n)).unwrap(), Some(b"click".to_vec()));
        }
    }
}
