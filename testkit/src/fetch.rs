//! Fetching the servers' programs: once per user, at a pinned version, checked, never seen half done.
//!
//! Invariant: a directory `<cache>/<name>-<version>` exists only when its content was complete and matched its
//! checksums. It is filled under another name while holding a lock, then renamed.

mod clickhouse;
mod kafka;
mod registry;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::Digest;

pub(crate) use clickhouse::clickhouse_library;
pub(crate) use kafka::kafka_jars;
pub(crate) use registry::registry_jar;

const HEARTBEAT: Duration = Duration::from_secs(10);

/// The directory of `name` at `version`, filled by `fill` where it is not there yet. `what` is shown to the person.
fn cached(name: &str, version: &str, what: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    cached_in(&cache_root()?, &format!("{name}-{version}"), what, fill)
}

fn cached_in(
    cache: &Path,
    entry: &str,
    what: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let ready = cache.join(entry);
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock = File::create(cache.join(format!("{entry}.lock")))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting: another process is fetching {what}");
        lock.lock()?;
    }
    if ready.is_dir() {
        return Ok(ready);
    }
    let unfinished = cache.join(format!("{entry}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    with_progress(what, || fill(&unfinished)).with_context(|| format!("cannot fetch {what}"))?;
    fs::rename(&unfinished, &ready)?;
    Ok(ready)
}

fn cache_root() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("tributary").join("servers"))
}

fn with_progress(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    eprintln!("fetching {what}");
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while matches!(waiting.recv_timeout(HEARTBEAT), Err(RecvTimeoutError::Timeout)) {
                eprintln!("  … still fetching {what} ({} s)", begin.elapsed().as_secs());
            }
        });
        let result = work();
        drop(done);
        result
    })?;
    eprintln!("fetched {what} in {} s", begin.elapsed().as_secs());
    Ok(())
}

/// The digest of a file in lower-case hexadecimal.
fn digest<D: Digest>(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = D::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        hasher.update(chunk);
    }
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::{cached_in, digest};
    use sha2::Sha256;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_failed_download_leaves_nothing_that_looks_complete() {
        let cache = tempfile::tempdir().unwrap();
        let broken = cached_in(cache.path(), "x-1", "x", |dir| {
            std::fs::write(dir.join("half"), "")?;
            anyhow::bail!("the line broke")
        });
        assert!(format!("{:#}", broken.unwrap_err()).contains("the line broke"));
        assert!(!cache.path().join("x-1").exists());
        let ready = cached_in(cache.path(), "x-1", "x", |dir| {
            Ok(std::fs::write(dir.join("whole"), "")?)
        })
        .unwrap();
        assert!(ready.join("whole").exists() && !ready.join("half").exists());
    }

    #[test]
    fn several_at_once_fetch_once() {
        let cache = tempfile::tempdir().unwrap();
        let fetches = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let fill = |_: &std::path::Path| {
                        fetches.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    };
                    assert!(cached_in(cache.path(), "y-1", "y", fill).unwrap().is_dir());
                });
            }
        });
        assert_eq!(fetches.into_inner(), 1);
    }

    #[test]
    fn digest_of_a_known_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest::<Sha256>(file.path()).unwrap(), expected);
    }
}
