//! What the stage asks of the pure core. A trait, so that the runtime is tested with a core that counts.

use tributary_avro::Fact;
use tributary_domain::engine::{Engine, Row, SCANNED, STATE_VERSION, Settled, Verdict};
use tributary_domain::store::{Store, StoreError};

/// The engine of one facts partition.
pub trait Core: Sized + 'static {
    /// Changes when the state in the store changes its meaning: stores of another format are rebuilt.
    const FORMAT: u32;

    /// First bytes of the keys that it scans often.
    const SCANNED: &'static [u8] = &[];

    /// A core over a store that may hold state.
    ///
    /// # Errors
    /// If the store fails.
    fn open(store: &dyn Store) -> Result<Self, StoreError>;

    /// Adds a fact; emits nothing.
    ///
    /// # Errors
    /// If the store fails.
    fn apply(&mut self, store: &mut dyn Store, fact: Fact) -> Result<Verdict, StoreError>;

    /// Recomputes up to `limit` dirty cases; returns the difference to what was emitted.
    ///
    /// # Errors
    /// If the store fails.
    fn settle(&mut self, store: &mut dyn Store, limit: usize) -> Result<Settled, StoreError>;

    /// Says that the ledger holds this row.
    ///
    /// # Errors
    /// If the store fails.
    fn emitted(&mut self, store: &mut dyn Store, row: &Row) -> Result<(), StoreError>;

    /// Lets everything that is dirty take its part of limits that customers share. Called once after a restore, before
    /// anything is settled.
    ///
    /// # Errors
    /// If the store fails.
    fn open_books(&mut self, _store: &mut dyn Store) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes down what is left to settle. Called before a store is committed that was not just settled.
    ///
    /// # Errors
    /// If the store fails.
    fn checkpoint(&mut self, _store: &mut dyn Store) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Core for Engine {
    const FORMAT: u32 = STATE_VERSION;
    const SCANNED: &'static [u8] = SCANNED;

    fn open(store: &dyn Store) -> Result<Self, StoreError> {
        Engine::open(store)
    }

    fn apply(&mut self, store: &mut dyn Store, fact: Fact) -> Result<Verdict, StoreError> {
        Engine::apply(self, store, fact)
    }

    fn settle(&mut self, store: &mut dyn Store, limit: usize) -> Result<Settled, StoreError> {
        Engine::settle(self, store, limit)
    }

    fn emitted(&mut self, store: &mut dyn Store, row: &Row) -> Result<(), StoreError> {
        Engine::emitted(self, store, row)
    }

    fn open_books(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        Engine::open_books(self, store)
    }

    fn checkpoint(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        Engine::checkpoint(self, store)
    }
}
