//! What the kernel says about processes and folders: CPU, memory, size on disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The kernel reports CPU time to user space in hundredths of a second, whatever its own tick is.
const TICKS: f64 = 100.0;
const MIB: f64 = 1_048_576.0;

/// CPU seconds, user and system, that a process used so far. 0 once it is gone.
pub fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the fields after the last one are plain.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

/// The most memory that a process held so far, MiB.
pub fn peak_rss(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0)
}

/// Load of the last minute.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// What a folder takes on disk, without the entries in it whose names begin with `but`, MiB.
pub fn size_on_disk(dir: &Path, but: &str) -> f64 {
    fn blocks(dir: &Path, but: &str) -> u64 {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return 0;
        };
        entries
            .flatten()
            .filter(|entry| but.is_empty() || !entry.file_name().to_string_lossy().starts_with(but))
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => blocks(&entry.path(), ""),
                Ok(meta) => meta.blocks(),
                Err(_) => 0,
            })
            .sum()
    }
    (blocks(dir, but) * 512) as f64 / MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let pid = std::process::id();
        while cpu(pid) == 0.0 {
            std::hint::black_box((0..1_000_000_u64).map(|i| i.wrapping_mul(i)).sum::<u64>());
        }
        assert!(peak_rss(pid) > 0.5);
        assert_eq!(cpu(u32::MAX), 0.0);
        assert!(size_on_disk(Path::new("/no/such/folder"), "") == 0.0);
    }
}
