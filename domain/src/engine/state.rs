//! What stands in the store: objects, cases, key nodes, clicks, indexes, rules. Values are postcard.
//!
//! Layout: one byte for the table, four for the tenant, then the table's own key, big-endian so that
//! byte order is numeric order. The state can always be rebuilt from the facts and the ledger.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tributary_avro::{ClickFact, Fact};

use super::cells::Cells;
use super::inline::Inline;
use crate::ledger::{Redeemed, Row};
use crate::store::{Entry as StoreEntry, Store, StoreError};

/// Raise it when a record's shape changes: older stores are then rebuilt.
pub const STATE_VERSION: u32 = 8;

/// Tables that are scanned for every settlement of a large case, by the first byte of the key.
pub const SCANNED: &[u8] = &[
    Table::Members as u8,
    Table::Times as u8,
    Table::Refs as u8,
    Table::Books as u8,
];

/// Tables, by the first byte of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// Tenant name to number (not below a tenant).
    Tenants = b'W',
    /// Next object or case number (not below a tenant).
    Counter = b'Z',
    /// Object or case key to node.
    Keys = b'K',
    /// Object and case records by number, in one table: a case is made with its first object, gets the next number,
    /// and is mostly read with it, from one block.
    Records = b'N',
    /// Objects of a case.
    Members = b'M',
    /// Leads, sales and coupon uses of a case by time.
    Times = b'T',
    /// Reference to the cases that read it.
    Refs = b'X',
    /// What leads and sales take of shared limits, by limit and time.
    Books = b'B',
    /// Clicks by ID, with the cases that name them.
    Clicks = b'L',
    /// Rule facts and what Stripe tells of codes, prices and accounts, but for links.
    Rules = b'R',
    /// Link rule facts, by link.
    Links = b'I',
    /// Links that ever had rewards of their own.
    Rewarded = b'J',
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
    /// Its keys in [`Table::Books`].
    pub uses: Vec<UseKey>,
}

/// A key in [`Table::Books`], and how much of it names the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseKey {
    /// The whole key.
    pub key: Vec<u8>,
    /// Length of the part that all uses of the limit begin with.
    pub scope: usize,
}

/// An entry as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// Entry ID.
    pub id: String,
    /// Revision of the asserted row.
    pub revision: i64,
    /// Hash of the explanation.
    pub explanation: u64,
    /// The asserted row, encoded without revision and explanation: compared with what should stand, and decoded
    /// only to be taken back.
    #[serde(with = "serde_bytes")]
    pub row: Vec<u8>,
}

impl Emitted {
    /// What is remembered of a row.
    pub fn new(mut row: Row) -> Result<Self, StoreError> {
        let explanation = hash(row.take_explanation().as_bytes());
        let revision = row.revision();
        row.number(0);
        Ok(Self {
            id: row.id().to_owned(),
            revision,
            explanation,
            row: encode(&row)?,
        })
    }

    /// The row, without its explanation.
    pub fn row(&self) -> Result<Row, StoreError> {
        let mut row: Row = decode(&self.row)?;
        row.number(self.revision);
        Ok(row)
    }
}

/// A hash for comparing with itself only.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A click, and who names it: the claim may come first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickRecord {
    /// The click and the ID of its fact: the least one, should two ever claim one click ID.
    pub told: Option<(String, ClickFact)>,
    /// The redemption whose CID it is, and the ID of its fact: the first one.
    pub redeemed: Option<(String, Redeemed)>,
    /// Cases that name it, while they are few.
    pub cases: BTreeSet<u64>,
    /// They are many: they stand in [`Table::Refs`].
    pub many: bool,
}

/// A customer: identity, statements about the customer itself, and what it refers to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Case {
    /// Case keys, sorted.
    pub keys: BTreeSet<String>,
    /// Facts that belong to no object.
    pub facts: Vec<Fact>,
    /// Click IDs and CIDs named by any of its facts.
    pub clicks: BTreeSet<String>,
    /// Any of its facts tells a throw-away address.
    pub disposable: bool,
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

/// Last byte of an object's key in [`Table::Records`].
pub const OBJECT: u8 = b'O';
/// Last byte of a case's key in [`Table::Records`].
pub const CASE: u8 = b'C';

/// Typed access to one tenant's part of the store.
pub struct Tables<'a> {
    /// The store.
    pub store: &'a mut dyn Store,
    /// Records in hand.
    pub(super) cells: &'a mut Cells,
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

/// A time as a key part: negative ones before positive ones.
pub fn ordered(at: i64) -> [u8; 8] {
    (at.cast_unsigned() ^ (1 << 63)).to_be_bytes()
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

/// What `then` makes of a value's bytes.
pub(super) fn encoded<T: Serialize, R>(value: &T, then: impl FnOnce(&[u8]) -> R) -> Result<R, StoreError> {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let scratch = postcard::to_extend(value, scratch).map_err(|e| StoreError(Box::new(e)))?;
    let result = then(&scratch);
    SCRATCH.set(scratch);
    Ok(result)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    encoded(value, <[u8]>::to_vec)
}

impl Tables<'_> {
    fn key(&self, table: Table, rest: &[u8]) -> Vec<u8> {
        key(table, self.tenant, rest)
    }

    fn numbered(&self, kind: u8, number: u64) -> [u8; 14] {
        let mut key = [Table::Records as u8; 14];
        let parts = self
            .tenant
            .to_be_bytes()
            .into_iter()
            .chain(number.to_be_bytes())
            .chain([kind]);
        for (byte, part) in key.iter_mut().skip(1).zip(parts) {
            *byte = part;
        }
        key
    }

    /// The bytes of a key.
    pub fn get(&self, table: Table, rest: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(&self.key(table, rest))
    }

    /// Sets a key to bytes.
    pub fn set(&mut self, table: Table, rest: &[u8], value: &[u8]) {
        self.store.put(&self.key(table, rest), value);
    }

    /// Sets a key that says all by being there.
    pub fn mark(&mut self, table: Table, rest: &[u8]) {
        self.set(table, rest, &[]);
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, rest: &[u8]) {
        self.store.delete(&self.key(table, rest));
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
        let found = self
            .store
            .scan(&self.key(table, prefix), &self.key(table, from), limit)?;
        Ok(found
            .into_iter()
            .map(|(k, v)| (k.get(5..).unwrap_or_default().to_vec(), v))
            .collect())
    }

    /// A number that no object or case has.
    pub fn number(&mut self) -> Result<u64, StoreError> {
        let key = [Table::Counter as u8];
        let counters = &mut self.cells.counters;
        let next = counters.peek(self.store, &key)?.copied().unwrap_or(0) + 1;
        counters.put(&key, next);
        Ok(next)
    }

    /// A look at an object.
    pub fn object(&mut self, number: u64) -> Result<Option<&Object>, StoreError> {
        let key = self.numbered(OBJECT, number);
        self.cells.objects.peek(self.store, &key)
    }

    /// Takes an object out, to be put back.
    pub fn take_object(&mut self, number: u64) -> Result<Option<Object>, StoreError> {
        let key = self.numbered(OBJECT, number);
        self.cells.objects.take(self.store, &key)
    }

    /// Sets an object.
    pub fn put_object(&mut self, number: u64, object: Object) {
        let key = self.numbered(OBJECT, number);
        self.cells.objects.put(&key, object);
    }

    /// Puts an object back as it was.
    pub fn return_object(&mut self, number: u64, object: Object) {
        let key = self.numbered(OBJECT, number);
        self.cells.objects.put_back(&key, object);
    }

    /// Removes an object.
    pub fn delete_object(&mut self, number: u64) {
        let key = self.numbered(OBJECT, number);
        self.cells.objects.delete(&key);
    }

    /// A look at a case.
    pub fn case(&mut self, number: u64) -> Result<Option<&Case>, StoreError> {
        let key = self.numbered(CASE, number);
        self.cells.cases.peek(self.store, &key)
    }

    /// Takes a case out, to be put back.
    pub fn take_case(&mut self, number: u64) -> Result<Option<Case>, StoreError> {
        let key = self.numbered(CASE, number);
        self.cells.cases.take(self.store, &key)
    }

    /// Sets a case.
    pub fn put_case(&mut self, number: u64, case: Case) {
        let key = self.numbered(CASE, number);
        self.cells.cases.put(&key, case);
    }

    /// Puts a case back as it was.
    pub fn return_case(&mut self, number: u64, case: Case) {
        let key = self.numbered(CASE, number);
        self.cells.cases.put_back(&key, case);
    }

    /// Removes a case.
    pub fn delete_case(&mut self, number: u64) {
        let key = self.numbered(CASE, number);
        self.cells.cases.delete(&key);
    }

    /// The node of a key.
    pub fn node(&mut self, name: &str) -> Result<Option<&Node>, StoreError> {
        let key = self.key(Table::Keys, name.as_bytes());
        self.cells.nodes.peek(self.store, &key)
    }

    /// Sets the node of a key.
    pub fn put_node(&mut self, name: &str, node: Node) {
        let key = self.key(Table::Keys, name.as_bytes());
        self.cells.nodes.put(&key, node);
    }

    /// Points a key to an object or case, keeping what else its node says.
    pub fn point(&mut self, name: &str, to: u64) -> Result<(), StoreError> {
        let node = self.node(name)?;
        if node.map_or(0, |node| node.to) != to {
            let node = Node {
                to,
                ..node.cloned().unwrap_or_default()
            };
            self.put_node(name, node);
        }
        Ok(())
    }

    /// A look at a click.
    pub fn click(&mut self, id: &str) -> Result<Option<&ClickRecord>, StoreError> {
        let key = self.key(Table::Clicks, id.as_bytes());
        self.cells.clicks.peek(self.store, &key)
    }

    /// Takes a click out, to be put back.
    pub fn take_click(&mut self, id: &str) -> Result<Option<ClickRecord>, StoreError> {
        let key = self.key(Table::Clicks, id.as_bytes());
        self.cells.clicks.take(self.store, &key)
    }

    /// Puts a click back as it was.
    pub fn return_click(&mut self, id: &str, click: ClickRecord) {
        let key = self.key(Table::Clicks, id.as_bytes());
        self.cells.clicks.put_back(&key, click);
    }

    /// Sets a click.
    pub fn put_click(&mut self, id: &str, click: ClickRecord) {
        let key = self.key(Table::Clicks, id.as_bytes());
        self.cells.clicks.put(&key, click);
    }
}
