//! Named places at which a test can kill the process: `TRIBUTARY_CRASH_POINT=name`, or `name:n` for the n-th pass.
//! `name:n:stop` freezes it there (SIGSTOP) until SIGCONT.

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

struct Armed {
    name: String,
    passes_left: AtomicU64,
    stop: bool,
}

// A process-wide signal stops one thread first: the thread that asked for it would go on for a moment. So it waits for
// a child that ends when this process was frozen and is awake again.
const FREEZE: &str = r#"
frozen() { read -r stat < "/proc/$0/stat" && case ${stat##*) } in T*) ;; *) false ;; esac; }
kill -STOP "$0"
until frozen; do [ -e "/proc/$0" ] || exit; sleep 0.01; done
while frozen; do sleep 0.01; done
"#;

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

pub(crate) fn pass(name: &str) {
    let Some(armed) = ARMED.get_or_init(|| parse(&std::env::var("TRIBUTARY_CRASH_POINT").ok()?)) else {
        return;
    };
    if armed.name != name || armed.passes_left.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    if armed.stop {
        tracing::error!(point = name, "crash point reached, freezing this process");
        Command::new("sh")
            .args(["-c", FREEZE, &id().to_string()])
            .status()
            .ok();
        tracing::error!(point = name, "awake again");
        return;
    }
    tracing::error!(point = name, "crash point reached, killing this process");
    Command::new("kill").args(["-9", &id().to_string()]).status().ok();
    loop {
        std::thread::park();
    }
}

fn parse(text: &str) -> Option<Armed> {
    let (text, stop) = text
        .strip_suffix(":stop")
        .map_or((text, false), |text| (text, true));
    let (name, nth) = text.rsplit_once(':').unwrap_or((text, "1"));
    Some(Armed {
        name: name.to_owned(),
        passes_left: AtomicU64::new(nth.parse().ok()?),
        stop,
    })
}
