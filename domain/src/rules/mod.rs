//! Rules: what a workspace declares (program.yaml), as documents with validity in time.

mod book;
mod documents;
mod file;
mod versions;

pub use book::{InvalidRule, Rules};
pub use documents::*;
pub use file::{Problem, parse};
pub use versions::{Version, Versions};
