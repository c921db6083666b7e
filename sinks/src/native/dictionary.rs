//! Values of a `LowCardinality(String)` column: every distinct text once, and a number for each row.
//!
//! A small open-addressing table over the texts in wire form; texts are compared in place.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::text;

/// Version of the key serialization: dictionary in each block.
const VERSION: u64 = 1;
/// The block brings its own keys.
const OWN_KEYS: u64 = 1 << 9;

#[derive(Debug, Default)]
pub(super) struct Dictionary {
    keys: Vec<u8>,
    places: Vec<(u32, u32)>,
    // Index of the key plus one; 0 is free. Always a power of two.
    slots: Vec<u32>,
    rows: Vec<u32>,
}

impl Dictionary {
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        let index = match self.rows.last() {
            Some(&last) if self.key(last) == value => last,
            _ => self.index_of(value),
        };
        self.rows.push(index);
    }

    fn key(&self, index: u32) -> &[u8] {
        self.places
            .get(index as usize)
            .and_then(|&(start, end)| self.keys.get(start as usize..end as usize))
            .unwrap_or_default()
    }

    fn index_of(&mut self, value: &[u8]) -> u32 {
        if self.places.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mut slot = self.first_slot(value);
        loop {
            match self.slots.get(slot).copied() {
                Some(0) | None => break,
                Some(taken) if self.key(taken - 1) == value => return taken - 1,
                Some(_) => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
        let index = self.places.len() as u32;
        text(&mut self.keys, value);
        let end = self.keys.len();
        self.places.push(((end - value.len()) as u32, end as u32));
        if let Some(free) = self.slots.get_mut(slot) {
            *free = index + 1;
        }
        index
    }

    fn first_slot(&self, value: &[u8]) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(value);
        hasher.finish() as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        self.slots = vec![0; size];
        for index in 0..self.places.len() as u32 {
            let mut slot = self.first_slot(self.key(index));
            while self.slots.get(slot).is_some_and(|&taken| taken != 0) {
                slot = (slot + 1) & (size - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = index + 1;
            }
        }
    }

    pub(super) fn write(self, rows: usize, mut piece: impl FnMut(Vec<u8>)) {
        let mut head = VERSION.to_le_bytes().to_vec();
        if rows == 0 {
            piece(head);
            return;
        }
        let (width, indexes): (u64, Vec<u8>) = match self.places.len() {
            keys if keys <= 0x100 => (0, self.rows.iter().map(|&row| row as u8).collect()),
            keys if keys <= 0x1_0000 => (
                1,
                self.rows
                    .iter()
                    .flat_map(|&row| (row as u16).to_le_bytes())
                    .collect(),
            ),
            _ => (2, self.rows.iter().flat_map(|row| row.to_le_bytes()).collect()),
        };
        head.extend_from_slice(&(width | OWN_KEYS).to_le_bytes());
        head.extend_from_slice(&(self.places.len() as u64).to_le_bytes());
        piece(head);
        piece(self.keys);
        piece((rows as u64).to_le_bytes().to_vec());
        piece(indexes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_number() {
        let mut dictionary = Dictionary::default();
        let texts: Vec<String> = (0..5_000).map(|n| format!("value {}", n % 700)).collect();
        for text in &texts {
            dictionary.push(text.as_bytes());
        }
        dictionary.push(b"");
        assert_eq!(dictionary.places.len(), 701);
        for (row, text) in texts.iter().enumerate() {
            assert_eq!(dictionary.key(dictionary.rows[row]), text.as_bytes());
        }
        assert_eq!(dictionary.key(dictionary.rows[5_000]), b"");
    }
}
