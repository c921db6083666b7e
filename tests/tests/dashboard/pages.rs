//! The pages in a real Chromium: tests/browser/pages.mjs.

use std::process::Command;

use tributary_tests::chromium::chromium;

use crate::fixture::{Fixture, fixture};

#[test]
fn the_pages_show_data_emptiness_and_errors() {
    let tests = env!("CARGO_MANIFEST_DIR");
    let (empty, broken) = (Fixture::start(|_| {}), Fixture::without_clickhouse());
    let output = Command::new("node")
        .arg("pages.mjs")
        .current_dir(format!("{tests}/browser"))
        .env("DATA", fixture().url())
        .env("EMPTY", empty.url())
        .env("BROKEN", broken.url())
        .env("CHROMIUM", chromium().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim() == "ok",
        "(its packages come by scripts/install-test-packages) {said}{errors}"
    );
}
