//! Properties of the ledger: order-free, exactly-once under restore, refunds bounded, shares add up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tributary_avro::{Fact, Op};
use tributary_domain::engine::{Engine, Row, Verdict};
use tributary_domain::store::MemoryStore;
use world::{Random, world};

/// An engine that keeps what it emitted, and checks that every retraction takes back what stands.
#[derive(Default)]
struct Run {
    store: MemoryStore,
    engine: Engine,
    log: Vec<Row>,
    verdicts: BTreeMap<String, usize>,
}

impl Run {
    fn feed(&mut self, facts: &[Fact], batch: usize) {
        for chunk in facts.chunks(batch.max(1)) {
            for fact in chunk {
                let verdict = self.engine.apply(&mut self.store, fact).unwrap();
                assert!(!matches!(verdict, Verdict::Rejected(_)), "{verdict:?} {fact:?}");
                *self.verdicts.entry(format!("{verdict:?}")).or_default() += 1;
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let settled = self.engine.settle(&mut self.store, 3).unwrap();
            self.log.extend(settled.rows);
            if !settled.more {
                break;
            }
        }
    }

    fn net(&self) -> BTreeMap<String, Row> {
        net(&self.log)
    }
}

/// The net state of a log, by entry ID, with revisions set to 0.
fn net(log: &[Row]) -> BTreeMap<String, Row> {
    let mut standing: BTreeMap<String, Row> = BTreeMap::new();
    for row in log {
        match row.op() {
            Op::Assert => assert!(
                standing.insert(row.id().to_owned(), row.clone()).is_none(),
                "asserted twice: {row:?}"
            ),
            Op::Retract => {
                let stood = standing
                    .remove(row.id())
                    .unwrap_or_else(|| panic!("nothing to retract: {row:?}"));
                assert_eq!(
                    stood.without_explanation(),
                    row.emission(row.revision(), Op::Assert).without_explanation()
                );
            }
        }
    }
    standing
        .into_iter()
        .map(|(id, row)| (id, row.emission(0, Op::Assert)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_order_and_duplication_gives_the_same_net_ledger(seed: u64, shuffle: u64, batch in 1usize..40) {
        let facts = world(seed);
        let mut straight = Run::default();
        straight.feed(&facts, 1);
        let mut told = facts.clone();
        let mut random = Random(shuffle);
        for fact in &facts {
            if random.below(4) == 0 {
                told.push(fact.clone());
            }
        }
        random.shuffle(&mut told);
        let mut shuffled = Run::default();
        shuffled.feed(&told, batch);
        prop_assert_eq!(straight.net(), shuffled.net());
        prop_assert_eq!(shuffled.verdicts.values().sum::<usize>(), told.len());
        prop_assert_eq!(shuffled.verdicts.get("Duplicate").copied().unwrap_or(0), told.len() - facts.len());
    }

    /// The store lies behind the log by any number of batches: restore reads facts and ledger, and emits nothing.
    #[test]
    fn restore_at_any_point_emits_nothing(seed: u64, stored in 0usize..60, lost in 0usize..60) {
        let mut facts = world(seed);
        Random(seed ^ 1).shuffle(&mut facts);
        let stored = stored.min(facts.len());
        let committed = (stored + lost).min(facts.len());
        let mut run = Run::default();
        run.feed(&facts[..stored], 7);
        let (store, emitted) = (run.store.clone(), run.log.len());
        run.feed(&facts[stored..committed], 5);

        let mut restored = Run { engine: Engine::open(&store).unwrap(), store, log: run.log.clone(), verdicts: BTreeMap::new() };
        for fact in &facts[stored..committed] {
            restored.engine.apply(&mut restored.store, fact).unwrap();
        }
        for row in &run.log[emitted..] {
            restored.engine.emitted(&mut restored.store, row).unwrap();
        }
        restored.settle();
        prop_assert_eq!(&restored.log[run.log.len()..], &[], "restore emitted something");
        restored.feed(&facts[committed..], 3);
        let mut straight = Run::default();
        straight.feed(&facts, 1);
        prop_assert_eq!(restored.net(), straight.net());
    }

    #[test]
    fn worlds_are_not_empty(seed in 0u64..1) {
        let entries: usize = (seed..seed + 50).map(|seed| { let mut run = Run::default(); run.feed(&world(seed), 9); run.net().len() }).sum();
        prop_assert!(entries > 300, "{entries}");
    }

    #[test]
    fn money_adds_up(seed: u64) {
        let mut run = Run::default();
        run.feed(&world(seed), 10);
        let net = run.net();
        for row in net.values() {
            let Row::Conversion(sale) = row else { continue };
            if sale.kind != "sale" {
                continue;
            }
            prop_assert_eq!(sale.lines.iter().map(|l| l.amount).sum::<i64>(), sale.amount);
            let back: Vec<_> = net.values().filter_map(|r| match r {
                Row::Refund(r) if r.conversion_id == sale.id => Some(r),
                _ => None,
            }).collect();
            let taken: i64 = back.iter().map(|r| r.amount).sum();
            let commission: i64 = back.iter().map(|r| r.commission).sum();
            prop_assert!((0..=sale.amount).contains(&taken), "{taken} of {}", sale.amount);
            prop_assert!((0..=sale.commission).contains(&commission));
            if sale.status == "refunded" {
                prop_assert_eq!((taken, commission), (sale.amount, sale.commission));
            }
            prop_assert_eq!(sale.attributed_by == "none", !sale.reason.is_empty());
        }
    }
}

/// A partner declared after a coupon of its was weighed and lost must be weighed again.
#[test]
fn a_partner_declared_late_is_weighed_again() {
    let mut facts = world(13174085121680769661);
    Random(13174085121680769661 ^ 1).shuffle(&mut facts);
    let mut run = Run::default();
    run.feed(&facts[..47.min(facts.len())], 5);
    let mut restored = Run {
        log: run.log.clone(),
        ..Run::default()
    };
    for fact in &facts[..47.min(facts.len())] {
        restored.engine.apply(&mut restored.store, fact).unwrap();
    }
    for row in &run.log {
        restored.engine.emitted(&mut restored.store, row).unwrap();
    }
    restored.settle();
    assert_eq!(run.log.len(), restored.log.len());
}
