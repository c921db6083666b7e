//! One contract for the store in memory and the store on disk, and what only the disk can do.

use proptest::prelude::*;
use tributary_domain::store::MemoryStore;

use super::*;

/// Tests use keys of tables that are kept in order, and of others.
const SCANNED: &[u8] = b"b";

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tributary-store-{name}-{}-{count}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        Self(dir)
    }

    fn open(&self) -> DiskStore {
        DiskStore::open(&self.0, 1, SCANNED, &Forest::default(), 1_000_000).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn contract(store: &mut dyn Store) {
    assert_eq!(store.get(b"a").unwrap(), None);
    store.put(b"a", &[1]);
    store.put(b"ab", &[2]);
    store.put(b"ac", &[3]);
    store.put(b"b", &[4]);
    assert_eq!(store.get(b"ab").unwrap(), Some(vec![2]));
    let keys = |entries: Vec<Entry>| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(store.scan(b"a", b"", 9).unwrap()), [&b"a"[..], b"ab", b"ac"]);
    assert_eq!(keys(store.scan(b"a", b"ab", 9).unwrap()), [b"ab", b"ac"]);
    assert_eq!(keys(store.scan(b"a", b"", 2).unwrap()), [&b"a"[..], b"ab"]);
    assert_eq!(keys(store.scan(b"", b"", 9).unwrap()).len(), 4);
    assert_eq!(keys(store.scan(b"c", b"", 9).unwrap()).len(), 0);
    store.delete(b"ab");
    store.put(b"ac", &[]);
    assert_eq!(store.get(b"ab").unwrap(), None);
    assert_eq!(store.get(b"ac").unwrap(), Some(vec![]));
    assert_eq!(keys(store.scan(b"a", b"", 9).unwrap()), [&b"a"[..], b"ac"]);
    store.delete(b"never there");
}

#[test]
fn memory_keeps_the_contract() {
    contract(&mut MemoryStore::default());
}

#[test]
fn disk_keeps_the_contract() {
    let scratch = Scratch::new("contract");
    contract(&mut scratch.open());
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Commit,
    Discard,
    Flush,
    Reopen,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || proptest::collection::vec(b'a'..b'd', 1..4);
    let value = proptest::collection::vec(any::<u8>(), 0..4);
    proptest::collection::vec(
        prop_oneof![
            6 => (key(), value).prop_map(|(key, value)| Step::Put(key, value)),
            3 => key().prop_map(Step::Delete),
            1 => Just(Step::Commit),
            1 => Just(Step::Discard),
            1 => Just(Step::Flush),
            1 => Just(Step::Reopen),
            1 => Just(Step::Kill),
        ],
        1..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // The model is three memory stores: what is on disk, what is committed, and what is visible. To discard is to go
    // back to the disk, if there is anything to discard.
    #[test]
    fn disk_does_what_memory_does(steps in steps()) {
        let scratch = Scratch::new("model");
        let mut disk = scratch.open();
        let mut visible = MemoryStore::default();
        let (mut flushed, mut committed) = (visible.clone(), visible.clone());
        let mut changed = false;
        for step in steps {
            let discards = changed && matches!(step, Step::Discard | Step::Flush | Step::Reopen);
            changed = match step {
                Step::Put(..) | Step::Delete(_) => true,
                Step::Commit | Step::Discard | Step::Flush | Step::Reopen | Step::Kill => false,
            };
            if discards {
                committed = flushed.clone();
            }
            match step {
                Step::Put(key, value) => {
                    disk.put(&key, &value);
                    visible.put(&key, &value);
                }
                Step::Delete(key) => {
                    disk.delete(&key);
                    visible.delete(&key);
                }
                Step::Commit => {
                    disk.commit(b"p").unwrap();
                    committed = visible.clone();
                }
                Step::Discard => {
                    disk.discard();
                    visible = committed.clone();
                }
                Step::Flush => {
                    disk.flush().unwrap();
                    flushed = committed.clone();
                    visible = committed.clone();
                }
                Step::Reopen => {
                    disk.flush().unwrap();
                    drop(disk);
                    disk = scratch.open();
                    flushed = committed.clone();
                    visible = committed.clone();
                }
                Step::Kill => {
                    drop(disk);
                    disk = scratch.open();
                    committed = flushed.clone();
                    visible = flushed.clone();
                }
            }
            for (prefix, from, limit) in [(&b""[..], &b""[..], 100), (b"a", b"", 100), (b"b", b"bb", 2), (b"", b"c", 3)] {
                prop_assert_eq!(
                    disk.scan(prefix, from, limit).unwrap(),
                    visible.scan(prefix, from, limit).unwrap()
                );
            }
            for key in [&b"a"[..], b"ab", b"ccc"] {
                prop_assert_eq!(disk.get(key).unwrap(), visible.get(key).unwrap());
            }
        }
    }
}

#[test]
fn position_and_data_are_written_together_or_not_at_all() {
    let scratch = Scratch::new("position");
    let mut store = scratch.open();
    assert_eq!(store.position().unwrap(), None);
    store.put(b"k", &[1]);
    store.commit(b"one").unwrap();
    store.flush().unwrap();
    store.put(b"k", &[2]);
    store.commit(b"two").unwrap();
    store.put(b"k", &[3]);
    store.discard();
    assert_eq!(store.position().unwrap(), Some(b"one".to_vec()));
    assert_eq!(store.get(b"k").unwrap(), Some(vec![1]));
    store.put(b"k", &[2]);
    store.commit(b"two").unwrap();
    store.discard();
    assert_eq!(store.position().unwrap(), Some(b"two".to_vec()));
    assert_eq!(store.get(b"k").unwrap(), Some(vec![2]));
    drop(store);
    let store = scratch.open();
    assert_eq!(store.position().unwrap(), Some(b"one".to_vec()));
    assert_eq!(store.get(b"k").unwrap(), Some(vec![1]));
}

#[test]
fn another_format_starts_empty() {
    let scratch = Scratch::new("format");
    let mut store = scratch.open();
    store.put(b"k", &[1]);
    store.commit(b"one").unwrap();
    store.flush().unwrap();
    drop(store);
    let store = DiskStore::open(&scratch.0, 2, SCANNED, &Forest::default(), 1_000_000).unwrap();
    assert_eq!(store.position().unwrap(), None);
    assert_eq!(store.get(b"k").unwrap(), None);
}

#[test]
fn a_damaged_store_is_deleted() {
    let scratch = Scratch::new("damaged");
    let mut store = scratch.open();
    store.put(b"k", &[1]);
    store.commit(b"one").unwrap();
    store.flush().unwrap();
    drop(store);
    let mut files = 0;
    for entry in std::fs::read_dir(scratch.0.join("tree")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(&path, b"this is no database").unwrap();
            files += 1;
        }
    }
    assert!(files > 0);
    let store = scratch.open();
    assert_eq!(store.position().unwrap(), None);
}

#[test]
fn a_wiped_store_is_empty_and_usable() {
    let scratch = Scratch::new("wiped");
    let mut store = scratch.open();
    store.put(b"k", &[1]);
    store.commit(b"one").unwrap();
    store.put(b"l", &[1]);
    store.wipe().unwrap();
    assert_eq!((store.position().unwrap(), store.uncommitted()), (None, 0));
    store.put(b"k", &[2]);
    store.commit(b"two").unwrap();
    store.flush().unwrap();
    drop(store);
    assert_eq!(scratch.open().get(b"k").unwrap(), Some(vec![2]));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

// A copy of the files while the store is open is what a kill would leave behind.
#[test]
fn what_is_flushed_outlives_a_killed_process() {
    let (scratch, left) = (Scratch::new("alive"), Scratch::new("killed"));
    let mut store = scratch.open();
    store.put(b"k", &[1]);
    store.commit(b"one").unwrap();
    store.flush().unwrap();
    store.put(b"k", &[2]);
    store.commit(b"two").unwrap();
    copy(&scratch.0, &left.0);
    let found = left.open();
    assert_eq!(found.position().unwrap(), Some(b"one".to_vec()));
    assert_eq!(found.get(b"k").unwrap(), Some(vec![1]));
}

#[test]
fn many_changes_are_flushed_and_merged_without_being_asked() {
    let scratch = Scratch::new("many");
    let mut store = scratch.open();
    let key = |i: u32| (i.wrapping_mul(2_654_435_761) % 5_000).to_be_bytes();
    for i in 0..60_000_u32 {
        store.put(&key(i), &[(i % 251) as u8; 900]);
        if i % 500 == 499 {
            store.commit(&i.to_be_bytes()).unwrap();
        }
    }
    store.flush().unwrap();
    drop(store);
    let store = scratch.open();
    assert_eq!(store.position().unwrap(), Some(59_999_u32.to_be_bytes().to_vec()));
    let mut last = std::collections::BTreeMap::new();
    (0..60_000_u32).for_each(|i| drop(last.insert(key(i).to_vec(), vec![(i % 251) as u8; 900])));
    assert_eq!(store.scan(b"", b"", usize::MAX).unwrap(), Vec::from_iter(last));
}

#[test]
fn one_owner_at_a_time() {
    let scratch = Scratch::new("owner");
    let store = scratch.open();
    assert!(File::create(scratch.0.join("lock")).unwrap().try_lock().is_err());
    drop(store);
    assert!(File::create(scratch.0.join("lock")).unwrap().try_lock().is_ok());
}
