//! Every scenario of `tests/scenarios`: one rule, told as a story with its program, its requests and its ledger.
//!
//! The ledger must come out when the requests are told in order, and when they are doubled and shuffled. To write one,
//! leave its ledger at `?`, run with TRIBUTARY_BLESS=1, and read every line that comes out: it must be what the story
//! says, not what the code does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "world/random.rs"]
mod random;
#[path = "world/story.rs"]
mod story;

use std::path::{Path, PathBuf};

use random::Random;
use tributary_domain::ledger::table;
use tributary_domain::mail::MailKey;
use tributary_domain::rules::{ProgramFile, parse};
use tributary_domain::simulate::{Line, Simulation};

/// Orders in which each scenario is told.
const SHUFFLES: u64 = 25;
/// Its hash stands in each scenario's program file.
const KEY: &str = "Bearer dub_acme_demo_key";

struct Scenario {
    path: PathBuf,
    name: String,
    program: ProgramFile,
    requests: Vec<Line>,
    ledger: String,
}

fn read(path: &Path) -> Scenario {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let part =
        |language| story::block(&text, language).unwrap_or_else(|| panic!("{name}: no block of {language}"));
    let program = parse(part("yaml")).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    let requests = part("jsonl").lines().map(|line| {
        let mut line: Line = serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}"));
        line.headers.entry("authorization".into()).or_insert(KEY.into());
        line
    });
    Scenario {
        path: path.to_owned(),
        requests: requests.collect(),
        ledger: part("csv").to_owned(),
        program,
        name,
    }
}

fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    story::files(&folder).iter().map(|path| read(path)).collect()
}

fn ledger_of(scenario: &Scenario, requests: &[Line]) -> String {
    let applied = scenario
        .requests
        .iter()
        .map(|line| line.at.as_millisecond())
        .min();
    let key = MailKey::new("simulate");
    let mut simulation = Simulation::new(&scenario.program, key, applied.unwrap_or_default()).unwrap();
    for line in requests {
        let (status, answer) = simulation.request(line).unwrap();
        assert!(status < 400, "{}: {status} {answer}", scenario.name);
    }
    assert_eq!(simulation.report().dead, [], "{}", scenario.name);
    table::text(
        simulation
            .ledger()
            .unwrap()
            .into_iter()
            .map(table::Line::of)
            .collect(),
    )
}

#[test]
fn told_in_order() {
    let scenarios = scenarios();
    assert!(!scenarios.is_empty());
    for scenario in scenarios {
        let ledger = ledger_of(&scenario, &scenario.requests);
        if std::env::var("TRIBUTARY_BLESS").is_ok() {
            let text = std::fs::read_to_string(&scenario.path).unwrap();
            let csv = |ledger: &str| format!("\n```csv\n{ledger}\n```");
            let text = text.replace(&csv(&scenario.ledger), &csv(&ledger));
            std::fs::write(&scenario.path, text).unwrap();
            continue;
        }
        assert_eq!(ledger, scenario.ledger, "{}: got\n{ledger}", scenario.name);
    }
}

#[test]
fn told_twice_and_shuffled() {
    for scenario in scenarios() {
        for seed in 0..SHUFFLES {
            let mut requests = [&scenario.requests[..], &scenario.requests[..]].concat();
            Random(seed).shuffle(&mut requests);
            let ledger = ledger_of(&scenario, &requests);
            assert_eq!(
                ledger, scenario.ledger,
                "{}: shuffled with seed {seed}",
                scenario.name
            );
        }
    }
}
