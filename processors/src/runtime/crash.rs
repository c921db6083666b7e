//! Named points at which a test kills the process, as a power cut would: no drop runs, no buffer is flushed.
//!
//! `TRIBUTARY_CRASH_POINT=attribute.after_send:3` kills at the third time that the point is passed;
//! `attribute.after_send:3:stop` freezes there (SIGSTOP) until SIGCONT.
//! Without the variable a point costs one atomic load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms a point: `name`, `name:n` or `name:n:stop`.
pub const CRASH_POINT_ENV: &str = "TRIBUTARY_CRASH_POINT";

/// Every point of this crate, for tests that hit each of them.
pub const CRASH_POINTS: [&str; 14] = [
    "normalize.before_send",
    "normalize.after_send",
    "normalize.before_commit",
    "join.before_send",
    "join.after_send",
    "join.before_store",
    "join.after_store",
    "attribute.before_send",
    "attribute.after_send",
    "attribute.after_offsets",
    "attribute.after_commit",
    "attribute.before_store_commit",
    "attribute.after_store_commit",
    "attribute.mid_sweep",
];

struct Armed {
    name: String,
    passes_left: AtomicU64,
    stop: bool,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Dies here if this point is armed. Use [`crate::crash_point!`].
pub fn pass(name: &str) {
    let Some(armed) = ARMED.get_or_init(|| parse(std::env::var(CRASH_POINT_ENV).ok()?)) else {
        return;
    };
    if armed.name == name && armed.passes_left.fetch_sub(1, Ordering::Relaxed) == 1 {
        if armed.stop { freeze(name) } else { die(name) }
    }
}

fn parse(text: String) -> Option<Armed> {
    let (text, stop) = match text.strip_suffix(":stop") {
        Some(text) => (text.to_owned(), true),
        None => (text, false),
    };
    let (name, nth) = match text.rsplit_once(':') {
        Some((name, nth)) => (name.to_owned(), nth.parse().ok()?),
        None => (text, 1),
    };
    (!name.is_empty() && nth > 0).then(|| Armed {
        name,
        passes_left: AtomicU64::new(nth),
        stop,
    })
}

// SIGKILL by `kill`: std's abort would raise SIGABRT, which runs handlers and writes core files.
fn die(name: &str) -> ! {
    tracing::error!(point = name, "crash point reached, killing this process");
    let pid = std::process::id().to_string();
    std::process::Command::new("kill")
        .args(["-9", &pid])
        .status()
        .ok();
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

// A process-wide signal stops one thread first: the thread that asked for it would go on for a moment. So it waits for
// a child that ends when this process was frozen and is awake again.
const FREEZE: &str = r#"
frozen() { read -r stat < "/proc/$0/stat" && case ${stat##*) } in T*) ;; *) false ;; esac; }
kill -STOP "$0"
until frozen; do [ -e "/proc/$0" ] || exit; sleep 0.01; done
while frozen; do sleep 0.01; done
"#;

fn freeze(name: &str) {
    tracing::error!(point = name, "crash point reached, freezing this process");
    let pid = std::process::id().to_string();
    std::process::Command::new("sh")
        .args(["-c", FREEZE, &pid])
        .status()
        .ok();
    tracing::error!(point = name, "awake again");
}

/// A named crash point; see [`crate::runtime::crash`].
#[macro_export]
macro_rules! crash_point {
    ($name:expr) => {
        $crate::runtime::crash::pass($name)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_armed_by_name_and_count() {
        let armed = |text: &str| {
            let armed = parse(text.to_owned())?;
            Some((armed.name, armed.passes_left.load(Ordering::Relaxed), armed.stop))
        };
        let point = |nth, stop| Some(("join.after_send".to_owned(), nth, stop));
        assert_eq!(armed("join.after_send"), point(1, false));
        assert_eq!(armed("join.after_send:3"), point(3, false));
        assert_eq!(armed("join.after_send:3:stop"), point(3, true));
        assert_eq!(armed("join.after_send:0"), None);
        assert_eq!(armed("join.after_send:x"), None);
        assert_eq!(armed(""), None);
    }

    #[test]
    fn a_point_that_is_not_armed_does_nothing() {
        crate::crash_point!("join.after_send");
    }
}
