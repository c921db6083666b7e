//! Stripe's webhook secrets of each workspace: files, read again when they change, or the environment.
//!
//! Invariant: no secret is logged, and a secret file that was removed is no secret a second later.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

const CHECK_EVERY: Duration = Duration::from_secs(1);
const ENV_PREFIX: &str = "TRIBUTARY_STRIPE_SECRET_";

/// Secrets by workspace.
pub(crate) struct Secrets {
    dir: Option<PathBuf>,
    cache: Mutex<HashMap<String, Cached>>,
}

struct Cached {
    checked: Instant,
    files: Vec<(PathBuf, Option<SystemTime>)>,
    secrets: Vec<Vec<u8>>,
}

impl Secrets {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self {
            dir,
            cache: Mutex::default(),
        }
    }

    /// The secrets in force for a workspace that exists. Where the files cannot be read, those of before.
    pub(crate) fn of(&self, workspace: &str) -> Vec<Vec<u8>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.get_mut(workspace) {
            if cached.checked.elapsed() < CHECK_EVERY {
                return cached.secrets.clone();
            }
            cached.checked = Instant::now();
        }
        let known = cache.get(workspace);
        let found = self.files(workspace).and_then(|files| {
            if let Some(cached) = known.filter(|cached| cached.files == files) {
                return Ok((files, cached.secrets.clone()));
            }
            let secrets: io::Result<Vec<_>> = files.iter().map(|(path, _)| std::fs::read(path)).collect();
            let mut secrets: Vec<_> = secrets?
                .iter()
                .filter_map(|text| non_empty(text.trim_ascii()))
                .collect();
            secrets.extend(from_environment(workspace));
            Ok((files, secrets))
        });
        match found {
            Ok((files, secrets)) => {
                let cached = Cached {
                    checked: Instant::now(),
                    files,
                    secrets: secrets.clone(),
                };
                cache.insert(workspace.to_owned(), cached);
                secrets
            }
            // Not kept: it is read again with the next webhook.
            Err(error) => {
                tracing::warn!(workspace, %error, "secrets cannot be read");
                let before = known.map(|cached| cached.secrets.clone());
                before.unwrap_or_else(|| from_environment(workspace).into_iter().collect())
            }
        }
    }

    fn files(&self, workspace: &str) -> io::Result<Vec<(PathBuf, Option<SystemTime>)>> {
        // The name comes from a URL: it must not lead out of the directory.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let Some(dir) = self.dir.as_ref().filter(|_| workspace.bytes().all(plain)) else {
            return Ok(Vec::new());
        };
        let entries = match std::fs::read_dir(dir.join(workspace)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            // Mounted secrets have hidden directories beside them.
            let metadata = path.metadata()?;
            if metadata.is_file() {
                files.push((path, metadata.modified().ok()));
            }
        }
        files.sort();
        Ok(files)
    }
}

fn from_environment(workspace: &str) -> Option<Vec<u8>> {
    let name = workspace.to_ascii_uppercase().replace('-', "_");
    let value = std::env::var(format!("{ENV_PREFIX}{name}")).ok()?;
    non_empty(value.trim().as_bytes())
}

fn non_empty(bytes: &[u8]) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then(|| bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expire(secrets: &Secrets, workspace: &str) {
        let mut cache = secrets.cache.lock().unwrap();
        cache.get_mut(workspace).unwrap().checked = Instant::now() - 2 * CHECK_EVERY;
    }

    #[test]
    fn files_are_read_again_when_they_change() {
        let dir = tempfile::tempdir().unwrap();
        let acme = dir.path().join("acme");
        std::fs::create_dir(&acme).unwrap();
        std::fs::write(acme.join("old"), " whsec_old\n").unwrap();
        std::fs::write(acme.join("empty"), "\n").unwrap();
        let secrets = Secrets::new(Some(dir.path().to_owned()));
        assert_eq!(secrets.of("acme"), [b"whsec_old".to_vec()]);
        std::fs::write(acme.join("new"), "whsec_new").unwrap();
        expire(&secrets, "acme");
        assert_eq!(secrets.of("acme"), [b"whsec_new".to_vec(), b"whsec_old".to_vec()]);
        std::fs::remove_file(acme.join("old")).unwrap();
        expire(&secrets, "acme");
        assert_eq!(secrets.of("acme"), [b"whsec_new".to_vec()]);
    }

    #[test]
    fn what_cannot_be_read_leaves_the_secrets_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let acme = dir.path().join("acme");
        std::fs::create_dir(&acme).unwrap();
        std::fs::write(acme.join("one"), "whsec_one").unwrap();
        let secrets = Secrets::new(Some(dir.path().to_owned()));
        assert_eq!(secrets.of("acme"), [b"whsec_one".to_vec()]);
        // A link that leads nowhere: there, and not to be read.
        std::os::unix::fs::symlink("nowhere", acme.join("two")).unwrap();
        expire(&secrets, "acme");
        assert_eq!(secrets.of("acme"), [b"whsec_one".to_vec()]);
        std::fs::write(acme.join("nowhere"), "whsec_two").unwrap();
        expire(&secrets, "acme");
        assert!(secrets.of("acme").contains(&b"whsec_two".to_vec()));
    }

    #[test]
    fn a_workspace_reads_no_other_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inside")).unwrap();
        std::fs::write(dir.path().join("secret"), "whsec").unwrap();
        let secrets = Secrets::new(Some(dir.path().join("inside")));
        assert!(secrets.of("..").is_empty());
        assert!(secrets.of("absent").is_empty());
    }
}
