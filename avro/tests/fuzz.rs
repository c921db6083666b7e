//! Records with random bytes in them: decoding says no, or gives a record, and never panics.
//!
//! One second in the tests; `scripts/soak` gives minutes by TRIBUTARY_FUZZ_SECONDS.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use tributary_avro::{Decoder, Encoder, Fact};

/// splitmix64: Steele, Lea and Flood, 2014.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

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
    let (mut state, mut rounds, mut read) = (seed, 0_u64, 0_u64);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let mut record = corpus[next(&mut state) as usize % corpus.len()].clone();
        for _ in 0..=next(&mut state) % 3 {
            let at = next(&mut state) as usize % record.len();
            match next(&mut state) % 3 {
                0 => record[at] = next(&mut state) as u8,
                1 => record.truncate(at.max(5)),
                _ => record.insert(at, next(&mut state) as u8),
            }
        }
        record[4] = 7 + (next(&mut state) % 2) as u8;
        read += u64::from(decoder.decode(&record).is_ok());
        rounds += 1;
    }
    eprintln!("facts: {rounds} rounds from seed {seed}, {read} were still facts");
    assert!(read > 0 && read < rounds, "{read} of {rounds}");
}
