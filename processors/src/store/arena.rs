//! Keys and values one behind another in large blocks, found by hash.
//!
//! Thousands of records are written, some are read again, and all are dropped at once: an allocation for each key and
//! each value would cost more than the rest of it.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

const BLOCK_BYTES: usize = 256 * 1024;

/// Keys with their values; None where a key is deleted.
#[derive(Default)]
pub(super) struct Arena {
    slots: HashTable<Slot>,
    /// Filled one after another; none grows beyond the capacity it was made with.
    blocks: Vec<Vec<u8>>,
    /// The block that is being filled.
    block: usize,
    /// Bytes written into blocks.
    written: usize,
}

/// Where a key lies, and behind it its value.
struct Slot {
    block: u32,
    start: u32,
    key: u32,
    value: Option<u32>,
}

fn hash(key: &[u8]) -> u64 {
    FxBuildHasher.hash_one(key)
}

fn key_of<'a>(blocks: &'a [Vec<u8>], slot: &Slot) -> &'a [u8] {
    let start = slot.start as usize;
    let block = blocks.get(slot.block as usize);
    block
        .and_then(|block| block.get(start..start + slot.key as usize))
        .unwrap_or_default()
}

fn value_of<'a>(blocks: &'a [Vec<u8>], slot: &Slot) -> Option<&'a [u8]> {
    let start = (slot.start + slot.key) as usize;
    let end = start + slot.value? as usize;
    let block = blocks.get(slot.block as usize);
    Some(block.and_then(|block| block.get(start..end)).unwrap_or_default())
}

impl Arena {
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let slot = self
            .slots
            .find(hash(key), |slot| key_of(&self.blocks, slot) == key)?;
        Some(value_of(&self.blocks, slot))
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let hash_of_key = hash(key);
        let new = self.write(key, value);
        let blocks = &self.blocks;
        let found = self
            .slots
            .find_mut(hash_of_key, |slot| key_of(blocks, slot) == key);
        match found {
            // What it was stays where it is until all is dropped.
            Some(slot) => *slot = new,
            None => {
                self.slots
                    .insert_unique(hash_of_key, new, |slot| hash(key_of(blocks, slot)));
            }
        }
    }

    // Numbers fit: keys and values are far smaller than 4 GiB, and so are all blocks together.
    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Slot {
        let length = key.len() + value.map_or(0, <[u8]>::len);
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= length;
        while self.blocks.get(self.block).is_some_and(|block| !fits(block)) {
            self.block += 1;
        }
        if self.block == self.blocks.len() {
            self.blocks.push(Vec::with_capacity(length.max(BLOCK_BYTES)));
        }
        let mut start = 0;
        if let Some(block) = self.blocks.get_mut(self.block) {
            start = block.len();
            block.extend_from_slice(key);
            block.extend_from_slice(value.unwrap_or_default());
        }
        self.written += length;
        Slot {
            block: self.block as u32,
            start: start as u32,
            key: key.len() as u32,
            value: value.map(|value| value.len() as u32),
        }
    }

    /// Drops all, and keeps the blocks for what comes.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.blocks.retain(|block| block.capacity() <= BLOCK_BYTES);
        for block in &mut self.blocks {
            block.clear();
        }
        self.block = 0;
        self.written = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// In memory, with what was overwritten.
    pub(super) fn bytes(&self) -> usize {
        self.written + self.slots.len() * size_of::<Slot>()
    }

    /// All of it, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.slots
            .iter()
            .map(|slot| (key_of(&self.blocks, slot), value_of(&self.blocks, slot)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_last_value_counts_whatever_its_size_and_clearing_forgets_all() {
        let mut arena = Arena::default();
        for round in 0..3_usize {
            let mut model = BTreeMap::new();
            for i in 0..2_000_usize {
                let key = (i * 7 % 400).to_be_bytes();
                // Now and then larger than a block.
                let size = if i % 500 == 9 { BLOCK_BYTES + i } else { i % 900 };
                let value = (i % 11 != 0).then(|| vec![(i + round) as u8; size]);
                arena.set(&key, value.as_deref());
                model.insert(key.to_vec(), value);
            }
            for (key, value) in &model {
                assert_eq!(arena.get(key), Some(value.as_deref()));
            }
            assert_eq!(arena.get(b"never set"), None);
            let all: BTreeMap<_, _> = arena.iter().collect();
            let expected = model
                .iter()
                .map(|(key, value)| (key.as_slice(), value.as_deref()));
            assert_eq!(all, expected.collect());
            arena.clear();
            assert!(arena.is_empty() && arena.bytes() == 0 && arena.get(&[0; 8]).is_none());
        }
    }
}
