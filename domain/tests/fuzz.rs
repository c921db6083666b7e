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
use tributary_domain::rules::{ConversionType, Tells, parse};
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

/// Calls that no scenario tells, so that they are cut and spliced as well.
const CALLS: &str = r#"
{"at":"2026-09-01T08:00:00Z","method":"POST","path":"/tracking/click/v1","body":{"tenantId":"acme","url":"https://acme.test/?via=ada","referrer":"https://a.test/"}}
{"at":"2026-09-01T08:00:00Z","method":"POST","path":"/tracking/conversion/v1","body":{"conversionTypeCode":"sale","cid":"Click00000000001","amount":{"value":"100.5","currency":"EUR"},"externalId":"order-1","customerId":"carol","status":"CONVERSION_STATUS_APPROVED","customParams":{"advS1":"a"},"revenueOriginId":"shop","lines":[{"sku":"a","quantity":2,"amount":"50.25"}]}}
{"at":"2026-09-01T08:00:00Z","method":"POST","path":"/tracking/conversion/v1","body":{"conversionTypeCode":"lead","externalCid":"carol@x.test","cid":"Click00000000001"}}
{"at":"2026-09-01T08:00:00Z","method":"POST","path":"/tracking/conversion/v1","body":{"conversionTypeCode":"couponredeem","couponCode":"SAVE20"}}
{"at":"2026-09-01T08:00:00Z","method":"GET","path":"/tracking/conversion/v1?cid=Click00000000001&amount.value=10.5&conversionTypeCode=sale&externalId=o%201&customParams.advS1=a+b&status=refunded"}
{"at":"2026-09-01T08:00:00Z","method":"POST","path":"/tracking/external-cid/v1","body":{"cid":"Click00000000001","externalCid":"carol@x.test","revenueOriginId":"shop"}}
{"at":"2026-09-01T08:00:00Z","method":"PATCH","path":"/commissions/order-1","body":{"status":"paid","partnerId":"ada","amount":100,"currency":"usd","payoutId":"po_1"}}
{"at":"2026-09-01T08:00:00Z","method":"PATCH","path":"/commissions/lead:ext:carol%2Fsign%20up","body":{"status":"rejected","reason":"fraud"}}
{"at":"2026-09-01T08:00:00Z","method":"PATCH","path":"/commissions/bulk","body":{"commissions":[{"id":"order-1","status":"approved"},{"id":"order-2","status":"refunded","amount":5,"refundId":"back_1"}]}}
{"at":"2026-09-01T08:00:00Z","method":"POST","path":"/commissions","body":{"partnerId":"ada","amount":-500,"reason":"fee","id":"fee-1"}}
"#;

fn calls() -> impl Iterator<Item = Line> {
    let lines = CALLS.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap())
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
    let (programs, mut lines) = scenarios();
    lines.extend(calls());
    let bodies = lines.iter().map(Line::bytes);
    let bodies: Vec<Vec<u8>> = bodies.filter(|body| !body.is_empty()).collect();
    let mut file = parse(std::str::from_utf8(programs.last().unwrap()).unwrap()).unwrap();
    let program = &mut file.programs[0];
    program.revenue_origins = vec!["shop".to_owned()];
    program.conversion_types = vec![ConversionType {
        code: "couponredeem".to_owned(),
        name: String::new(),
        tells: Tells::Redemption,
    }];
    // They are taken as they stand.
    let mut simulation = Simulation::new(&file, MailKey::new("fuzz"), 0).unwrap();
    for mut line in calls() {
        line.headers
            .insert("authorization".into(), "Bearer dub_acme_demo_key".into());
        let (status, answer) = simulation.request(&line).unwrap();
        assert!(
            status == 200 || line.path.contains("/click/"),
            "{status} {answer}"
        );
    }
    assert_eq!(simulation.report().dead, []);
    rounds("requests", |random| {
        let mut simulation = Simulation::new(&file, MailKey::new("fuzz"), 0).unwrap();
        for _ in 0..20 {
            let mut line = lines[random.below(lines.len() as u64) as usize].clone();
            line.headers
                .insert("authorization".into(), "Bearer dub_acme_demo_key".into());
            if let Some((path, query)) = line.path.split_once('?') {
                let query = mutated(random, query.as_bytes(), &bodies);
                line.path = format!("{path}?{}", String::from_utf8_lossy(&query));
            }
            if random.below(3) > 0 {
                let body = mutated(random, &line.bytes(), &bodies);
                line.body = String::from_utf8_lossy(&body).into_owned().into();
            }
            let (status, answer) = simulation.request(&line).unwrap();
            assert!((200..500).contains(&status), "{status} {answer}");
        }
    });
}
