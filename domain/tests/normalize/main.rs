//! The mapping from raw records to facts, from outside: real payloads, shapes, bad input, no panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod bad_input;
mod commands;
mod configs;
mod display;
mod identities;
mod known_answers;
mod no_panic;
mod payloads;
mod shapes;
mod support;
mod tracks;
