//! Consuming, producing and committing: the machinery under the stages. It knows no business word.
//!
//! ```text
//!   Kafka ─► poll thread ─► bounded queue ─► worker thread per owned partition ─► producer
//!               ▲ rebalances, pauses                └─ positions, offsets
//! ```
//!
//! Invariant: a partition has one worker at most, and a revoked one has none before the group goes on.

pub mod batch;
pub mod classify;
pub mod consumer;
pub mod crash;
pub mod health;
pub mod member;
pub mod outbox;
pub mod polled;
pub mod queue;
pub mod transaction;
