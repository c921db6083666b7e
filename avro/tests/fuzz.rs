//! Records with random bytes in them: decoding says no, or gives a record, and never panics.
//!
//! One second in the tests; `scripts/soak` gives minutes by TRIBUTARY_FUZZ_SECONDS.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../../domain/tests/world/random.rs"]
#[allow(dead_code, reason = "others shuffle")]
mod random;

use std::path::Path;
use std::time::{Duration, Instant};

use random::Random;
use tributary_avro::{Decoder, Encoder, Fact};

#[test]
fn facts() {
    let number = |name: &str| std::env::var(name).map_or(1, |text| text.parse().unwrap());
    let (seconds, seed) = (number("TRIBUTARY_FUZZ_SECONDS"), number("TRIBUTARY_FUZZ_SEED"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_to_string(root.join("examples/fact.json")).unwrap();
    let examples: Vec<Fact> = serde_json::from_str(&examples).unwrap();
    let encoder = Encoder::<Fact>::new(7);
    let corpus: Vec<Vec<u8>> = examples
        .iter()
        .map(|fact| encoder.encode(fact).unwrap())
        .collect();
    let mut decoder = Decoder::<Fact>::default();
    decoder.add_own(7);
    // The same bytes as if an older schema had written them: read by another way.
    let old = std::fs::read_to_string(root.join("schemas/old/fact.v1.avsc")).unwrap();
    decoder.add(8, &old).unwrap();
    let (mut random, mut rounds, mut read) = (Random(seed), 0_u64, 0_u64);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let mut record = corpus[random.below(corpus.len() as u64) as usize].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(record.len() as u64) as usize;
            match random.below(3) {
                0 => record[at] = random.next() as u8,
                1 => record.truncate(at.max(5)),
                _ => record.insert(at, random.next() as u8),
            }
        }
        record[4] = 7 + random.below(2) as u8;
        read += u64::from(decoder.decode(&record).is_ok());
        rounds += 1;
    }
    eprintln!("facts: {rounds} rounds from seed {seed}, {read} were still facts");
    assert!(read > 0 && read < rounds, "{read} of {rounds}");
}
