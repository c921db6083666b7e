//! The requests shown in docs/formats/requests.md are taken as they stand.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use tributary_domain::mail::MailKey;
use tributary_domain::rules::parse;
use tributary_domain::simulate::{Line, Simulation};

#[test]
fn requests_are_taken() {
    let read = |path| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let program = parse(&read("../examples/acme/program.yaml")).unwrap();
    let text = read("../docs/formats/requests.md");
    let lines: Vec<Line> = text
        .lines()
        .filter(|line| line.starts_with("{\"at\":"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() >= 9, "{} requests", lines.len());
    let mut simulation = Simulation::new(&program, MailKey::new("k"), 0).unwrap();
    for line in lines {
        let (status, answer) = simulation.request(&line).unwrap();
        assert!(matches!(status, 200 | 302), "{}: {status} {answer}", line.path);
    }
    assert_eq!(simulation.report().dead, []);
}
