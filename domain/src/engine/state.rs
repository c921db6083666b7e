//! What stands in the store: objects, cases, key nodes, indexes, rules. Values are postcard.
//!
//! Layout: one byte for the table, four for the tenant, then the table's own key, big-endian so that
//! byte order is numeric order. The state can always be rebuilt from the facts and the ledger.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tributary_avro::Fact;

use super::inline::Inline;
use crate::ledger::Row;
use crate::store::{Entry as StoreEntry, Store, StoreError};

/// Raise it when a record's shape changes: older stores are then rebuilt.
pub const STATE_VERSION: u32 = 2;

/// Tables, by the first byte of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// Tenant name to number (not below a tenant).
    Tenants = b'W',
    /// Next object or case number.
    Counter = b'Z',
    /// Object or case key to node.
    Keys = b'K',
    /// Object records.
    Objects = b'O',
    /// Case records.
    Cases = b'C',
    /// Objects of a case.
    Members = b'M',
    /// Leads, sales and coupon uses of a case by time.
    Times = b'T',
    /// Reference to the cases that read it.
    Refs = b'X',
    /// Click facts by click ID.
    Clicks = b'L',
    /// Rule and promotion code facts.
    Rules = b'R',
    /// Dirty cases and sweeps left over.
    Dirty = b'D',
}

/// A payment or lead: its facts and what was emitted about it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Object {
    /// Case that it belongs to.
    pub case: u64,
    /// Facts in order of arrival.
    pub facts: Vec<Fact>,
    /// Entries that stand in the ledger.
    pub emitted: Vec<Emitted>,
    /// Entries that were taken back: ID and last revision.
    pub retired: Vec<(String, i64)>,
    /// Its keys in [`Table::Times`].
    pub times: Vec<Vec<u8>>,
}

/// An entry as it stands in the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Emitted {
    /// The asserted row without its explanation.
    pub row: Row,
    /// Hash of the explanation.
    pub explanation: u64,
}

/// A customer: identity, statements about the customer itself, and what it refers to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Case {
    /// Case keys, sorted.
    pub keys: BTreeSet<String>,
    /// Facts that belong to no object.
    pub facts: Vec<Fact>,
    /// Click IDs named by any of its facts.
    pub clicks: BTreeSet<String>,
    /// References registered in [`Table::Refs`].
    pub refs: BTreeSet<String>,
    /// Hash of the view under which its objects were last settled.
    pub view: u64,
    /// Number of objects.
    pub objects: u64,
    /// Its objects, below [`Table::Members`].
    pub members: Inline,
    /// Its leads, sales and coupon uses by time, below [`Table::Times`].
    pub times: Inline,
}

/// What a key leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Object or case number; 0 for an address that joins nobody.
    pub to: u64,
    /// For e-mail addresses: the Stripe customers that named it, until it stops joining.
    pub customers: BTreeSet<String>,
    /// For e-mail addresses: the external IDs that named it, until it stops joining.
    pub externals: BTreeSet<String>,
    /// For e-mail addresses: too many customers named it (rule B3).
    pub stopped: bool,
}

/// Typed access to one tenant's part of the store.
pub struct Tables<'a> {
    /// The store.
    pub store: &'a mut dyn Store,
    /// Tenant number.
    pub tenant: u32,
}

/// A key in a table.
pub fn key(table: Table, tenant: u32, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + rest.len());
    key.push(table as u8);
    key.extend_from_slice(&tenant.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

/// Two numbers as one key part.
pub fn pair(a: u64, b: u64) -> [u8; 16] {
    let mut out = [0; 16];
    let (left, right) = out.split_at_mut(8);
    left.copy_from_slice(&a.to_be_bytes());
    right.copy_from_slice(&b.to_be_bytes());
    out
}

/// The number at the end of a key.
pub fn last_number(key: &[u8]) -> u64 {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .unwrap_or_default()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|e| StoreError(Box::new(e)))
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(value).map_err(|e| StoreError(Box::new(e)))
}

impl Tables<'_> {
    /// The record under a key.
    pub fn get<T: DeserializeOwned>(&self, table: Table, rest: &[u8]) -> Result<Option<T>, StoreError> {
        self.store
            .get(&key(table, self.tenant, rest))?
            .map(|bytes| decode(&bytes))
            .transpose()
    }

    /// Sets the record under a key.
    pub fn put<T: Serialize>(&mut self, table: Table, rest: &[u8], value: &T) -> Result<(), StoreError> {
        self.store.put(&key(table, self.tenant, rest), encode(value)?);
        Ok(())
    }

    /// Sets a key to bytes.
    pub fn set(&mut self, table: Table, rest: &[u8], value: Vec<u8>) {
        self.store.put(&key(table, self.tenant, rest), value);
    }

    /// Sets a key that says all by being there.
    pub fn mark(&mut self, table: Table, rest: &[u8]) {
        self.set(table, rest, Vec::new());
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, rest: &[u8]) {
        self.store.delete(&key(table, self.tenant, rest));
    }

    /// Up to `limit` entries below a prefix. Keys come without table and tenant.
    pub fn scan(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<StoreEntry>, StoreError> {
        self.scan_from(table, prefix, prefix, limit)
    }

    /// Like `scan`, from a key on.
    pub fn scan_from(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<StoreEntry>, StoreError> {
        let found = self.store.scan(
            &key(table, self.tenant, prefix),
            &key(table, self.tenant, from),
            limit,
        )?;
        Ok(found
            .into_iter()
            .map(|(k, v)| (k.get(5..).unwrap_or_default().to_vec(), v))
            .collect())
    }

    /// A number that no object or case has.
    pub fn number(&mut self) -> Result<u64, StoreError> {
        let next = self.get::<u64>(Table::Counter, &[])?.unwrap_or(0) + 1;
        self.put(Table::Counter, &[], &next)?;
        Ok(next)
    }

    /// An object record.
    pub fn object(&self, number: u64) -> Result<Object, StoreError> {
        Ok(self
            .get(Table::Objects, &number.to_be_bytes())?
            .unwrap_or_default())
    }

    /// A case record.
    pub fn case(&self, number: u64) -> Result<Case, StoreError> {
        Ok(self.get(Table::Cases, &number.to_be_bytes())?.unwrap_or_default())
    }

    /// The node of a key.
    pub fn node(&self, key: &str) -> Result<Option<Node>, StoreError> {
        self.get(Table::Keys, key.as_bytes())
    }

    /// Points a key to an object or case, keeping what else its node says.
    pub fn point(&mut self, key: &str, to: u64) -> Result<(), StoreError> {
        let mut node = self.node(key)?.unwrap_or_default();
        if node.to != to {
            node.to = to;
            self.put(Table::Keys, key.as_bytes(), &node)?;
        }
        Ok(())
    }
}
