//! A model of Kafka, ClickHouse and a sink that is killed anywhere: every record ends in the table exactly once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// ClickHouse: rows by offset, tokens of the last `window` inserts.
#[derive(Default)]
struct Table {
    rows: BTreeMap<i64, u32>,
    tokens: Vec<String>,
    block_of: BTreeMap<i64, u64>,
    blocks: u64,
    // The roll-up of the same inserts, with its own window.
    roll_up: u64,
    roll_up_tokens: Vec<String>,
}

impl Table {
    fn insert(&mut self, token: &str, offsets: &[i64], window: usize, killed_before_roll_up: bool) {
        if !known(&self.tokens, token, window) {
            self.tokens.push(token.to_owned());
            self.blocks += 1;
            for offset in offsets {
                *self.rows.entry(*offset).or_default() += 1;
                self.block_of.insert(*offset, self.blocks);
            }
        }
        if !killed_before_roll_up && !known(&self.roll_up_tokens, token, window) {
            self.roll_up_tokens.push(token.to_owned());
            self.roll_up += offsets.len() as u64;
        }
    }

    fn other_inserts(&mut self, n: usize) {
        for i in 0..n {
            self.blocks += 1;
            self.tokens.push(format!("other {} {i}", self.blocks));
            self.roll_up_tokens.push(format!("other {} {i}", self.blocks));
        }
    }

    fn find(&self, offsets: &[i64]) -> Found {
        let oldest = offsets
            .iter()
            .filter_map(|offset| self.block_of.get(offset))
            .min();
        Found {
            rows: offsets
                .iter()
                .filter_map(|offset| self.rows.get(offset))
                .map(|n| u64::from(*n))
                .sum(),
            inserts_since: oldest.map_or(0, |block| self.blocks - block),
        }
    }
}

fn known(tokens: &[String], token: &str, window: usize) -> bool {
    tokens.iter().rev().take(window).any(|t| t == token)
}

/// One life of a sink: what it reads before it seals, where it dies, how long it is away.
#[derive(Debug, Clone)]
struct Life {
    batches: Vec<usize>,
    // Steps it takes before it is killed: plan, each partition's insert, commit.
    steps: usize,
    answer_lost: bool,
    away: usize,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (
        prop::collection::vec(1usize..9, 1..6),
        0usize..12,
        any::<bool>(),
        0usize..60,
    )
        .prop_map(|(batches, steps, answer_lost, away)| Life {
            batches,
            steps,
            answer_lost,
            away,
        });
    prop::collection::vec(life, 1..12)
}

struct World {
    log: Vec<(i64, u32)>,
    committed: (i64, String),
    table: Table,
    window: usize,
}

impl World {
    /// Runs a sink until it is killed after `steps` steps. Tells whether it reached the end of the log.
    fn live(&mut self, life: &Life) -> bool {
        let mut steps = life.steps;
        let mut step = || {
            let alive = steps > 0;
            steps = steps.saturating_sub(1);
            alive
        };
        let mut ranges = Ranges::resume(self.committed.0, &self.committed.1).unwrap();
        let doubtful = ranges.is_replay();
        let mut sizes = life.batches.iter().cycle();
        let mut open: Vec<(i64, u32)> = Vec::new();
        let mut first_batch = true;
        let log: Vec<_> = self
            .log
            .iter()
            .copied()
            .filter(|(o, _)| *o >= self.committed.0)
            .collect();
        let mut size = *sizes.next().unwrap();
        for (index, record) in log.iter().enumerate() {
            match ranges.offer(record.0).unwrap() {
                Offer::Skip => continue,
                Offer::Take | Offer::TakeLast => open.push(*record),
            }
            let full = open.len() >= size || index + 1 == log.len();
            if ranges.is_replay() {
                if !ranges.can_seal() {
                    continue;
                }
            } else if !full {
                continue;
            }
            let plan = ranges.seal(open.len() as u64, 7, 1, 0).unwrap();
            size = *sizes.next().unwrap();
            if !step() {
                return false;
            }
            self.committed = (plan.range.first, plan.metadata());
            let mut months: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
            for (offset, month) in open.drain(..) {
                months.entry(month).or_default().push(offset);
            }
            for (month, offsets) in months {
                if !step() {
                    return false;
                }
                if doubtful && first_batch {
                    match after_doubt(
                        offsets.len() as u64,
                        self.table.find(&offsets),
                        self.window as u64,
                    ) {
                        Verdict::Send => {}
                        Verdict::Skip => continue,
                        Verdict::Stop => panic!("a range was cut differently"),
                    }
                }
                let token = plan.token("t", 0, month);
                let killed = life.answer_lost && steps_left(&mut step);
                self.table.insert(&token, &offsets, self.window, killed);
                if killed {
                    return false;
                }
            }
            if !step() {
                return false;
            }
            self.committed = (ranges.landed().unwrap(), String::new());
            first_batch = false;
        }
        true
    }
}

// The kill falls in the middle of this insert if it is the last step.
fn steps_left(step: &mut impl FnMut() -> bool) -> bool {
    !step()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_record_once_whatever_dies(
        gaps in prop::collection::vec((1i64..4, 0u32..3), 1..60),
        lives in lives(),
        window in 4usize..200,
    ) {
        let mut offset = 0;
        let log: Vec<_> = gaps.iter().map(|(gap, month)| { offset += gap; (offset, 202_601 + month) }).collect();
        let mut world = World { log, committed: (0, String::new()), table: Table::default(), window };
        for life in &lives {
            world.live(life);
            world.table.other_inserts(life.away);
        }
        let last = Life { batches: vec![5], steps: usize::MAX, answer_lost: false, away: 0 };
        prop_assert!(world.live(&last));
        let once: BTreeSet<_> = world.log.iter().map(|(offset, _)| *offset).collect();
        prop_assert_eq!(world.table.rows.keys().copied().collect::<BTreeSet<_>>(), once);
        prop_assert!(world.table.rows.values().all(|n| *n == 1));
        // Roll-ups are exact too while nobody is away for longer than the window.
        if lives.iter().map(|life| life.away + life.batches.len() * 60).sum::<usize>() < window / 2 {
            prop_assert_eq!(world.table.roll_up, world.log.len() as u64);
        }
    }

    #[test]
    fn a_plan_survives_as_metadata(first in 0i64..i64::MAX / 2, len in 0i64..1_000_000, rows: u64, layout: u32, planned_at: i64) {
        let plan = Plan { range: OffsetRange { first, last: first + len }, rows, layout, generation: 3, planned_at };
        prop_assert_eq!(Plan::parse(first, &plan.metadata()).unwrap(), Some(plan));
    }
}

#[test]
fn a_replayed_plan_comes_back_as_it_was() {
    let plan = Plan {
        range: OffsetRange { first: 10, last: 14 },
        rows: 3,
        layout: 0xab,
        generation: 2,
        planned_at: 99,
    };
    let mut ranges = Ranges::resume(10, &plan.metadata()).unwrap();
    assert_eq!(ranges.offer(9), Ok(Offer::Skip));
    assert_eq!(ranges.offer(11), Ok(Offer::Take));
    assert!(!ranges.can_seal());
    assert_eq!(ranges.seal(1, 0, 0, 0), None);
    assert_eq!(ranges.offer(14), Ok(Offer::TakeLast));
    assert_eq!(ranges.seal(2, 0xcd, 5, 100), Some(plan));
    assert_eq!(ranges.offer(15), Ok(Offer::Take));
    assert!(!ranges.can_seal(), "one flight at a time");
    assert_eq!(ranges.landed(), Some(15));
    assert!(ranges.can_seal());
}

#[test]
fn a_plan_whose_end_is_gone_stops() {
    let mut ranges = Ranges::resume(10, "1 14 3 ab 2 99").unwrap();
    assert_eq!(ranges.offer(12), Ok(Offer::Take));
    let range = OffsetRange { first: 10, last: 14 };
    assert_eq!(ranges.offer(15), Err(PlanError::Cut { range, found: 15 }));
}

#[test]
fn foreign_metadata_stops() {
    for metadata in [
        "x",
        "2 14 3 ab 2 99",
        "1 9 3 ab 2 99",
        "1 14 3 ab 2",
        "1 14 3 ab 2 99 7",
    ] {
        assert!(Ranges::resume(10, metadata).is_err(), "{metadata}");
    }
}

#[test]
fn doubt_is_settled_by_counting() {
    let found = |rows, inserts_since| Found { rows, inserts_since };
    assert_eq!(after_doubt(5, found(0, 0), 100), Verdict::Send);
    assert_eq!(after_doubt(5, found(5, 3), 100), Verdict::Send);
    assert_eq!(after_doubt(5, found(5, 50), 100), Verdict::Skip);
    assert_eq!(after_doubt(5, found(4, 0), 100), Verdict::Stop);
    assert_eq!(after_doubt(5, found(10, 0), 100), Verdict::Stop);
}

#[test]
fn no_position_is_committed_beside_a_plan() {
    let mut ranges = Ranges::resume(3, "1 5 2 0 0 0").unwrap();
    assert_eq!(ranges.landed_up_to(), None, "found, and not read");
    assert_eq!(ranges.offer(4), Ok(Offer::Take));
    assert_eq!(ranges.offer(5), Ok(Offer::TakeLast));
    ranges.seal(2, 0, 0, 0).unwrap();
    assert_eq!(ranges.landed_up_to(), None, "in flight");
    ranges.landed();
    assert_eq!(ranges.landed_up_to(), Some(6));
    assert_eq!(ranges.offer(6), Ok(Offer::Take));
    assert_eq!(ranges.landed_up_to(), Some(6));
}
