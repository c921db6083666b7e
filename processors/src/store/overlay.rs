//! Changes that are not on disk yet, and reads that see them.

use std::collections::BTreeMap;

use tributary_domain::store::{Entry, StoreError};

#[derive(Default)]
pub(super) struct Overlay(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Overlay {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.0.get(key)
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        if let Some(slot) = self.0.get_mut(key) {
            *slot = value;
        } else {
            self.0.insert(key.to_vec(), value);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = (&[u8], &Option<Vec<u8>>)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value))
    }

    /// Both in key order, the overlay over the disk; `disk` starts at `start`.
    pub(super) fn merged<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        disk: impl Iterator<Item = Result<(K, V), StoreError>>,
        prefix: &[u8],
        start: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut out = Vec::new();
        let mut disk = disk.peekable();
        let mut changes = self
            .0
            .range(start.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        while out.len() < limit {
            let on_disk = match disk.peek() {
                Some(Ok((key, _))) if key.as_ref().starts_with(prefix) => Some(key.as_ref()),
                Some(Err(_)) => return disk.next().transpose().map(|_| out),
                _ => None,
            };
            let take_change = match (on_disk, changes.peek()) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some(disk_key), Some((key, _))) => {
                    let take = key.as_slice() <= disk_key;
                    if key.as_slice() == disk_key {
                        disk.next();
                    }
                    take
                }
            };
            if take_change {
                if let Some((key, Some(value))) = changes.next() {
                    out.push((key.clone(), value.clone()));
                }
            } else if let Some(Ok((key, value))) = disk.next() {
                out.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
            }
        }
        Ok(out)
    }
}
