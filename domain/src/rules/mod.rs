//! Rules: what a workspace declares (program.yaml), as documents with validity in time.

mod documents;

pub use documents::*;
