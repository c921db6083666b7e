//! The browser of tests that look at pages.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The program.
///
/// # Errors
/// If none is installed.
pub fn chromium() -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|program| program.is_file())
        .context("there is no Chromium: run scripts/install-tools")
}
