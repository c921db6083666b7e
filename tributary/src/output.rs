//! Standard output and error: the one place that prints.

use std::io::Write as _;

/// A line on standard output. A closed pipe ends the program quietly.
pub fn line(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// What happens meanwhile, on standard error.
pub fn note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Why a command failed.
pub fn error(text: &str) {
    note(&format!("error: {text}"));
}
