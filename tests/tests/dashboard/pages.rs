//! The pages in a real Chromium: tests/browser/pages.mjs.

use std::process::Command;

use tributary_tests::chromium::chromium;

use crate::world::{broken, empty, world};

#[test]
fn the_pages_show_data_emptiness_and_errors() {
    let tests = env!("CARGO_MANIFEST_DIR");
    let (empty, broken) = (empty(), broken());
    let output = Command::new("node")
        .arg("pages.mjs")
        .current_dir(format!("{tests}/browser"))
        .env("DATA", world().dashboard.url())
        .env("EMPTY", empty.dashboard.url())
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
