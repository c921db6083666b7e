//! The read side: JSON over HTTP from ClickHouse, and one embedded page for people.
//!
//! ```text
//!   request ─► scope (workspace, mode) ─► parameters ─► one SQL statement ─► JSON
//!                                     period, filters      net state only
//! ```
//!
//! It keeps nothing between requests but what topic `config` declares, and knows no rule of attribution: what it
//! answers is a sum over ledger rows. Links and partners are managed with a secret key or token of their workspace, see
//! [`Management`]. Reading needs none, though a request that bears one reads its workspace only: bind it to loopback
//! (the default), or put the edge in front of it, which lets nobody through without a key.
//!
//! Invariant: every number is the net state, Σ sign × value, so retractions are never seen, and a series, summed, is
//! the count of the same question.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod analytics;
mod brought;
mod cohorts;
mod commissions;
mod connections;
mod conversion_record;
mod conversions;
mod coupons;
mod customers;
mod database;
mod declared;
mod dimensions;
mod error;
mod event_shape;
mod events;
mod filters;
mod funnel;
mod groups;
mod health;
mod kafka;
mod links;
mod manage;
mod openapi;
mod overview;
mod page;
mod paging;
mod parameters;
mod partner_analytics;
mod partners;
mod payments;
mod period;
mod period_request;
mod pipeline;
mod privacy;
mod programs;
mod record;
mod routes;
mod scope;
mod server;
mod sheet;
mod spreadsheet;
mod statement;
mod stream;
mod sums;

pub use database::ClickHouseConfig;
pub use kafka::Kafka;
pub use manage::{ConfigReader, ConfigTopic, Management};
pub use pipeline::{Pipeline, PipelineConfig, PipelineReaders, Replay, Replayed, Stage};
pub use server::{DashboardConfig, MetricsText, run, serve};
pub use stream::{Live, Reader, Readers, Topics};
