//! Helpers that several end-to-end tests share.

pub mod callers;
pub mod chromium;
pub mod counting;
pub mod ledger;
pub mod pipeline;
pub mod stages;
pub mod traffic;
