//! The directory that servers keep their data in: one live owner, the ports last used, what the last owner left running.
//!
//! ```text
//!   lock        held (flock) by the owner while it lives; its text is the owner's pid
//!   ports.json  name → port, so that a broker comes back where its clients look for it
//!   pids.json   name → process, so that a leftover is ended before its data is opened again
//!   logs/       what the servers print
//! ```
//!
//! Invariant: two processes never run servers on one directory; the kernel drops the lock with the owner.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process::{self, Identity};

pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
    processes: Mutex<BTreeMap<String, Identity>>,
}

impl DataDir {
    /// Creates the directory where needed, takes the lock and ends what a dead owner left running.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root.join("logs")).with_context(|| format!("cannot create {}", root.display()))?;
        let root = fs::canonicalize(root)?;
        let lock = lock(&root)?;
        let dir = Self {
            root,
            _lock: lock,
            processes: Mutex::default(),
        };
        let left: BTreeMap<String, Identity> = dir.read("pids.json")?.unwrap_or_default();
        for (name, identity) in left {
            if process::end_leftover(identity)? {
                tracing::warn!(%name, pid = identity.pid, "ended a server that a dead owner left running");
            }
        }
        Ok(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn ports(&self) -> Result<BTreeMap<String, u16>> {
        Ok(self.read("ports.json")?.unwrap_or_default())
    }

    pub(crate) fn save_ports(&self, ports: &BTreeMap<String, u16>) -> Result<()> {
        self.write("ports.json", ports)
    }

    pub(crate) fn started(&self, name: &str, identity: Identity) -> Result<()> {
        let mut processes = self
            .processes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        processes.insert(name.to_owned(), identity);
        self.write("pids.json", &*processes)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let temporary = self.root.join(format!("{name}.tmp"));
        fs::write(&temporary, serde_json::to_vec_pretty(value)?)?;
        fs::rename(&temporary, self.root.join(name))?;
        Ok(())
    }
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            file.read_to_string(&mut owner)?;
            bail!(
                "{} is in use by process {}: stop that one, or use another data directory",
                root.display(),
                owner.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).context(format!("cannot lock {}", path.display()));
        }
    }
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    file.flush()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::DataDir;

    #[test]
    fn a_second_owner_is_refused_and_told_the_first_ones_pid() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDir::open(root.path()).unwrap();
        let message = DataDir::open(root.path()).map(|_| ()).unwrap_err().to_string();
        assert!(
            message.contains(&format!("process {}:", std::process::id())),
            "{message}"
        );
        drop(first);
        DataDir::open(root.path()).map(|_| ()).unwrap();
    }

    #[test]
    fn ports_survive() {
        let root = tempfile::tempdir().unwrap();
        let ports = [("kafka-1".to_owned(), 12_345)].into();
        DataDir::open(root.path()).unwrap().save_ports(&ports).unwrap();
        assert_eq!(DataDir::open(root.path()).unwrap().ports().unwrap(), ports);
    }
}
