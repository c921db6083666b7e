//! Schemas and subject IDs as files, one directory for each registry. IDs never change their meaning
//! within a registry, so nothing here expires.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) struct Cache(PathBuf);

impl Cache {
    pub(super) fn open(dir: &Path, url: &str) -> io::Result<Self> {
        let dir = dir.join(file_name(url));
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    pub(super) fn schema(&self, id: u32) -> Option<String> {
        fs::read_to_string(self.0.join(format!("{id}.avsc"))).ok()
    }

    pub(super) fn put_schema(&self, id: u32, json: &str) -> io::Result<()> {
        self.write(&format!("{id}.avsc"), json)
    }

    /// The ID under which exactly this schema was registered.
    pub(super) fn subject(&self, subject: &str, schema: &str) -> Option<u32> {
        let text = fs::read_to_string(self.0.join(format!("{}.id", file_name(subject)))).ok()?;
        let (id, known) = text.split_once('\n')?;
        (known == schema).then(|| id.parse().ok()).flatten()
    }

    pub(super) fn put_subject(&self, subject: &str, id: u32, schema: &str) -> io::Result<()> {
        self.write(&format!("{}.id", file_name(subject)), &format!("{id}\n{schema}"))
    }

    // Several processes may share the directory: a reader sees the old file or the new one, never a part.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.0.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let thread = format!("{:?}", std::thread::current().id());
        let part = self.0.join(format!(
            "{name}.{}.{}.part",
            std::process::id(),
            file_name(&thread)
        ));
        fs::write(&part, text)?;
        fs::rename(&part, &path)
    }
}

fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    text.chars().map(plain).collect()
}
