//! Limits that several leads or sales share (rule F4): which of them fit, in the order of their time.
//!
//! The second pure function of the ledger: a book holds what every lead or sale would take of one limit, by event time
//! and what it is about; the first ones fit, the one that reaches the limit fits in part, the others not.

use crate::store::StoreError;

/// What one lead or sale would take of a limit.
#[derive(Debug, Clone)]
pub struct Use<'a> {
    /// What is limited: kind, reward, partner, period.
    pub scope: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Key of what the entry is about.
    pub anchor: &'a str,
    /// What it would take: more than 0.
    pub wanted: i64,
    /// The limit, in the same unit.
    pub limit: i64,
    /// The largest that the limit ever is, under any version of the rules.
    pub largest: i64,
    /// All customers share the limit; otherwise each has its own.
    pub across_customers: bool,
}

/// The books of a workspace, as one object sees them.
pub trait Books {
    /// Notes the use, and says how much of it fits.
    fn allot(&mut self, wanted: Use<'_>) -> Result<i64, StoreError>;
}
