//! Secrets of subscriptions: `<dir>/<workspace>/webhooks/<id>`, one a line.
//!
//! Read at each delivery: a new secret needs no restart. Invariant: no secret is logged.

use std::path::{Path, PathBuf};

use crate::signature::Secret;

/// Where the secrets of a subscription are.
pub fn file(dir: &Path, workspace: &str, id: &str) -> PathBuf {
    dir.join(workspace).join("webhooks").join(id)
}

/// The secrets in force, the newest first.
pub async fn of(dir: &Path, workspace: &str, id: &str) -> Vec<Secret> {
    // The names come from a topic: they must not lead out of the directory.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !workspace.bytes().chain(id.bytes()).all(plain) {
        return Vec::new();
    }
    let text = tokio::fs::read_to_string(file(dir, workspace, id))
        .await
        .unwrap_or_default();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(Secret::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_line_is_a_secret_and_no_name_leads_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("acme/webhooks");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("crm"), "new\n\n old \n").unwrap();
        let found = of(dir.path(), "acme", "crm").await;
        assert!(found == [Secret::new("new"), Secret::new("old")]);
        assert!(of(dir.path(), "acme", "other").await.is_empty());
        assert!(of(dir.path(), "..", "x").await.is_empty());
        assert!(of(&place, "..", "webhooks/crm").await.is_empty());
    }
}
