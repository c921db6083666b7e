//! Names that no other test, run or machine user has taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// `name` with a suffix that is unique across processes: valid as ClickHouse database, topic prefix and group name.
#[must_use]
pub fn unique(name: &str) -> String {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis());
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let clean: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("{clean}_{millis:x}_{:x}_{count:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::unique;

    #[test]
    fn differs_each_time_and_is_a_plain_identifier() {
        let (first, second) = (unique("Sink-test"), unique("Sink-test"));
        assert_ne!(first, second);
        assert!(first.starts_with("sink_test_"));
        assert!(
            first
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        );
    }
}
