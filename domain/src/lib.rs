//! The pure core: from requests and Stripe events to facts, from facts to the ledger.
//!
//! No tokio, no Kafka, no clock, no randomness: time and click IDs are parameters.
//! Invariant: the net ledger is a function of the set of facts, in whatever order they come.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod click_id;
pub mod engine;
pub mod fact;
pub mod ledger;
pub mod mail;
pub mod manage;
pub mod normalize;
pub mod requests;
pub mod rules;
pub mod simulate;
pub mod store;
pub mod stripe;
pub mod tenant;
pub mod totals;
