//! The way from Kafka into ClickHouse, exactly once.
//!
//! ```text
//!   clicks, conversions, refunds, commissions ──► rows ──► batch ──► plan (offset commit) ──► insert ──► commit
//!                          (read_committed)        └─ not a record: dead-letters
//! ```
//!
//! people ──► rows ──► insert ──► commit: at least once, a row that comes again counts once (`role/people.rs`).
//!
//! A batch's range of offsets is made durable as metadata of the offset commit before it is inserted; the insert
//! carries a token that names exactly this range. After a crash the same range is read again and sent with the same
//! tokens. The sink changes no value and knows no rule of attribution.
//!
//! Invariant: whatever dies or is sent twice, every record that can be read is one row, and every roll-up the sum of
//! the rows.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod client;
mod config;
mod crash;
mod migrate;
pub mod native;
pub mod planner;
mod role;
pub mod rows;
mod schemas;
pub mod tables;

pub use client::{Client, ClientError, Retry};
pub use config::{ClickHouseConfig, Secret, SinkConfig};
pub use crash::CRASH_POINTS;
pub use migrate::{Applied, MIGRATIONS, MigrateError, migrate};
pub use role::{SinkError, run};
pub use schemas::{SchemaError, Schemas};
pub use tables::Foreign;
