//! The stages between the edge and the sink, and the runtime under them.
//!
//! ```text
//!   tracks, stripe.events, config ─► normalize ─► claims ─► join ─► facts ─► attribute ─► ledger
//!                                        └───────────────────────────▲
//! ```
//!
//! `runtime`, `kafka`, `store` and `registry` know no business word; the three stages are wiring between
//! them and the pure core.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod attribute;
mod config;
mod dead;
pub mod join;
pub mod kafka;
pub mod normalize;
pub mod registry;
mod run;
pub mod runtime;
pub mod store;

pub use config::{ProcessConfig, Secret, StageName};
pub use run::{init, registry, run, run_with};
