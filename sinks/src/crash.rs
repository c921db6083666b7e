//! Named places at which a test can kill the process: `TRIBUTARY_CRASH_POINT=name`, or `name:n` for the n-th pass.

use std::process::{Command, id};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every crash point of the sink.
pub const CRASH_POINTS: [&str; 5] = [
    "sink.after_plan",
    "sink.before_insert",
    "sink.between_partitions",
    "sink.after_insert",
    "sink.before_commit",
];

static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

pub(crate) fn pass(name: &str) {
    let Some((armed, left)) = ARMED.get_or_init(|| parse(&std::env::var("TRIBUTARY_CRASH_POINT").ok()?))
    else {
        return;
    };
    if armed == name && left.fetch_sub(1, Ordering::Relaxed) == 1 {
        tracing::error!(point = name, "crash point reached, killing this process");
        Command::new("kill").args(["-9", &id().to_string()]).status().ok();
        loop {
            std::thread::park();
        }
    }
}

fn parse(text: &str) -> Option<(String, AtomicU64)> {
    let (name, nth) = text.rsplit_once(':').unwrap_or((text, "1"));
    Some((name.to_owned(), AtomicU64::new(nth.parse().ok()?)))
}
