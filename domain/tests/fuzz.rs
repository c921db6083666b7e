//! What comes from outside, cut, spliced and overwritten at random: program files, and requests through the whole
//! pipeline in memory. Nothing may panic, and every request has an answer.
//!
//! One second each in the tests; `scripts/soak` gives minutes by TRIBUTARY_FUZZ_SECONDS, and a seed of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "world/random.rs"]
#[allow(dead_code, reason = "others shuffle")]
mod random;
#[path = "world/story.rs"]
mod story;

use std::path::Path;
use std::time::{Duration, Instant};

use random::Random;
use tributary_domain::mail::MailKey;
use tributary_domain::rules::parse;
use tributary_domain::simulate::{Line, Simulation};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Runs rounds until the time is over; gives how many. A panic tells the seed of its round.
fn rounds(target: &str, mut round: impl FnMut(&mut Random)) {
    let seconds = setting("TRIBUTARY_FUZZ_SECONDS", 1);
    let first = setting("TRIBUTARY_FUZZ_SEED", 1);
    let begin = Instant::now();
    let mut seed = first;
    while begin.elapsed() < Duration::from_secs(seconds) {
        let told = Tell(target, seed);
        round(&mut Random(seed));
        std::mem::forget(told);
        seed += 1;
    }
    eprintln!("{target}: {} rounds from seed {first}", seed - first);
}

/// Dropped by a panic only.
struct Tell<'a>(&'a str, u64);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        eprintln!("{}: TRIBUTARY_FUZZ_SEED={} shows it at once", self.0, self.1);
    }
}

/// The text with some of its bytes replaced, cut out, doubled, or taken from another.
fn mutated(random: &mut Random, text: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    const NASTY: [&[u8]; 12] = [
        b"-1",
        b"0",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"1e308",
        b"null",
        b"\"\"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"99999999999999999999999",
        b"a@b.test",
    ];
    let mut out = text.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() as u64 + 1) as usize;
        let end = (at + random.below(24) as usize).min(out.len());
        match random.below(5) {
            0 => drop(out.splice(at..end, [random.below(256) as u8])),
            1 => drop(out.drain(at..end)),
            2 => {
                let part = out.get(at..end).unwrap_or_default().to_vec();
                drop(out.splice(at..at, part));
            }
            3 => drop(out.splice(at..end, NASTY[random.below(12) as usize].iter().copied())),
            _ => {
                let other = &others[random.below(others.len() as u64) as usize];
                let from = random.below(other.len() as u64) as usize;
                let to = (from + random.below(200) as usize).min(other.len());
                let part = other.get(from..to).unwrap_or_default().to_vec();
                drop(out.splice(at..end, part));
            }
        }
    }
    out
}

/// Program and requests of every scenario.
fn scenarios() -> (Vec<Vec<u8>>, Vec<Line>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let (mut programs, mut lines) = (Vec::new(), Vec::new());
    for file in story::files(&folder) {
        let text = std::fs::read_to_string(file).unwrap();
        let block = |language| story::block(&text, language).unwrap();
        programs.push(block("yaml").as_bytes().to_vec());
        lines.extend(
            block("jsonl")
                .lines()
                .map(|line| serde_json::from_str::<Line>(line).unwrap()),
        );
    }
    (programs, lines)
}

#[test]
fn program_files() {
    let (programs, _) = scenarios();
    rounds("program_files", |random| {
        let program = &programs[random.below(programs.len() as u64) as usize];
        let bytes = mutated(random, program, &programs);
        let Ok(file) = parse(&String::from_utf8_lossy(&bytes)) else {
            return;
        };
        // What passes is accepted by the stages behind.
        let simulation = Simulation::new(&file, MailKey::new("fuzz"), 0).unwrap();
        assert_eq!(
            simulation.report().dead,
            [],
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    });
}

#[test]
fn requests() {
    let (programs, lines) = scenarios();
    let bodies: Vec<Vec<u8>> = lines.iter().map(Line::bytes).collect();
    let file = parse(std::str::from_utf8(programs.last().unwrap()).unwrap()).unwrap();
    rounds("requests", |random| {
        let mut simulation = Simulation::new(&file, MailKey::new("fuzz"), 0).unwrap();
        for _ in 0..20 {
            let mut line = lines[random.below(lines.len() as u64) as usize].clone();
            line.headers
                .insert("authorization".into(), "Bearer dub_acme_demo_key".into());
            if random.below(3) > 0 {
                let body = mutated(random, &line.bytes(), &bodies);
                line.body = String::from_utf8_lossy(&body).into_owned().into();
            }
            let (status, answer) = simulation.request(&line).unwrap();
            assert!((200..500).contains(&status), "{status} {answer}");
        }
    });
}
