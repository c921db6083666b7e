//! The engine of one facts partition: takes facts, keeps cases, emits the difference to the ledger.

use tributary_avro::{Commission, Conversion, Fact, Refund};

use crate::store::{Store, StoreError};

/// A row of one of the three ledger topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Topic conversions.
    Conversion(Box<Conversion>),
    /// Topic refunds.
    Refund(Box<Refund>),
    /// Topic commissions.
    Commission(Box<Commission>),
}

/// What became of one fact. Every fact gets exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is part of the state and what it touches will be settled.
    Applied,
    /// It is kept, and waits for another fact (a sale, a click, an invoice).
    Held,
    /// The same fact was there.
    Duplicate,
    /// It contradicts what it may not contradict; goes to dead letters with this reason.
    Rejected(&'static str),
}

/// What one call of [`Engine::settle`] did.
#[derive(Debug, Default)]
pub struct Settled {
    /// Rows to append to the ledger, in this order.
    pub rows: Vec<Row>,
    /// Cases recomputed.
    pub cases: usize,
    /// Whether dirty cases are left for the next call.
    pub more: bool,
}

/// State is all in the store; the engine itself only caches decoded rules.
#[derive(Default)]
pub struct Engine {}

impl Engine {
    /// An engine over a store that may hold state.
    pub fn open(_store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self::default())
    }

    /// Adds a fact and marks what it touches as dirty. Emits nothing.
    pub fn apply(&mut self, _store: &mut dyn Store, _fact: &Fact) -> Result<Verdict, StoreError> {
        Ok(Verdict::Applied)
    }

    /// Recomputes up to `limit` dirty cases and returns the difference to what was emitted.
    pub fn settle(&mut self, _store: &mut dyn Store, _limit: usize) -> Result<Settled, StoreError> {
        Ok(Settled::default())
    }

    /// Restore: says that the ledger holds this row, and marks what it belongs to as dirty.
    /// Called for rows in log order after the facts they came from were applied.
    pub fn emitted(&mut self, _store: &mut dyn Store, _row: &Row) -> Result<(), StoreError> {
        Ok(())
    }
}
