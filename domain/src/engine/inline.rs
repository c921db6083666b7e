//! An ordered index of a case: within the case's record while it is small, in a table of its own beyond.
//!
//! Most customers have a handful of payments, and a range read of the store costs more than all else that
//! is done for one fact. Once it has left the record it stays in its table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::{Table, Tables};
use crate::store::{Entry, StoreError};

/// Entries that a record holds itself.
const MOST: usize = 16;

/// An index whose keys begin with the case's number.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Inline {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    in_table: bool,
}

impl Inline {
    /// Sets an entry.
    pub fn put(&mut self, tables: &mut Tables<'_>, table: Table, key: Vec<u8>, value: Vec<u8>) {
        if self.in_table {
            tables.set(table, &key, &value);
            return;
        }
        self.entries.insert(key, value);
        if self.entries.len() > MOST {
            self.in_table = true;
            for (key, value) in std::mem::take(&mut self.entries) {
                tables.set(table, &key, &value);
            }
        }
    }

    /// Removes an entry.
    pub fn remove(&mut self, tables: &mut Tables<'_>, table: Table, key: &[u8]) {
        if self.in_table {
            tables.delete(table, key);
        } else {
            self.entries.remove(key);
        }
    }

    /// Up to `limit` entries below a prefix, in order.
    pub fn scan(
        &self,
        tables: &Tables<'_>,
        table: Table,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        if self.in_table {
            return tables.scan(table, prefix, limit);
        }
        let below = self
            .entries
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(below
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
