//! Scenario files: where they are, what stands in their blocks, and the ledger that requests lead to.
//!
//! The tests through the real pipeline (`tests/tests/scenarios.rs`) read them by this file, too.

use std::path::{Path, PathBuf};

/// The scenario files, sorted. The folder is given from the caller's own crate.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What stands in the only block of this language.
pub fn block<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n```{language}\n"))?;
    rest.split_once("\n```").map(|(block, _)| block)
}
