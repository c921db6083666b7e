//! Helpers that several end-to-end tests share.

pub mod counting;
pub mod stages;

