//! A core that counts: each lead fact adds one to the case named by its event; the case's entry says how
//! many. It has every property that the runtime relies on (order-free, differences only, restorable), and
//! what went wrong with exactly-once can be read off its ledger: a lost or doubled fact changes a count, a
//! lost or doubled row breaks the chain of revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use tributary_avro::{Body, Conversion, Fact, Op};
use tributary_domain::engine::{Row, Settled, Verdict};
use tributary_domain::store::{Store, StoreError};
use tributary_processors::attribute::Core;
use tributary_testkit::eventually;

use crate::stages::{Stages, counted, lead};

const LONG: Duration = Duration::from_secs(120);

/// `count` facts over six workspaces and fifty events each.
pub fn facts(from: i64, count: i64) -> Vec<Fact> {
    (from..from + count)
        .map(|n| lead(&format!("w{}", n % 6), &format!("e{}", n % 50), n))
        .collect()
}

/// What must come of facts, however often each is told.
pub fn expected(facts: &[Fact]) -> BTreeMap<String, i64> {
    let mut seen = BTreeSet::new();
    let mut counts = BTreeMap::new();
    for fact in facts {
        if let Body::Lead(lead) = &fact.body
            && seen.insert(fact.id.clone())
        {
            let case = format!("{}/{} {}", fact.workspace, fact.mode, lead.event_name);
            *counts.entry(case).or_default() += 1;
        }
    }
    counts
}

/// Waits for the expected ledger, every chain of revisions whole.
pub async fn settled(stages: &Stages, expected: &BTreeMap<String, i64>) -> Result<()> {
    eventually("the expected ledger", LONG, || async {
        let counts = counted(&stages.conversions().await?)?;
        ensure!(
            &counts == expected,
            "{} of {} cases",
            counts.len(),
            expected.len()
        );
        Ok(())
    })
    .await
}

/// See the module.
pub struct CountingCore;

fn key(table: u8, rest: &str) -> Vec<u8> {
    [&[table, b'/'], rest.as_bytes()].concat()
}

fn pair(bytes: &[u8]) -> (i64, i64) {
    let text = String::from_utf8_lossy(bytes);
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn row(case: &str, op: Op, revision: i64, quantity: i64) -> Row {
    let (tenant, event) = case.split_once(' ').unwrap_or((case, ""));
    let (workspace, mode) = tenant.split_once('/').unwrap_or((tenant, ""));
    Row::Conversion(Box::new(Conversion {
        id: case.to_owned(),
        revision,
        op,
        workspace: workspace.to_owned(),
        mode: mode.to_owned(),
        kind: "lead".to_owned(),
        object: event.to_owned(),
        quantity,
        ..Conversion::default()
    }))
}

impl Core for CountingCore {
    const FORMAT: u32 = 1;

    fn open(store: &dyn Store) -> Result<Self, StoreError> {
        // As the engine does, it reads some of the state at once.
        store.scan(b"e/", b"", usize::MAX)?;
        Ok(Self)
    }

    fn apply(&mut self, store: &mut dyn Store, fact: Fact) -> Result<Verdict, StoreError> {
        let Body::Lead(lead) = &fact.body else {
            return Ok(Verdict::Held);
        };
        if lead.event_name == "poison" {
            return Ok(Verdict::Rejected("contradiction"));
        }
        let seen = key(b's', &fact.id);
        if store.get(&seen)?.is_some() {
            return Ok(Verdict::Duplicate);
        }
        store.put(&seen, &[]);
        let case = format!("{}/{} {}", fact.workspace, fact.mode, lead.event_name);
        let count = store.get(&key(b'c', &case))?.map_or(0, |bytes| pair(&bytes).0);
        store.put(&key(b'c', &case), (count + 1).to_string().as_bytes());
        store.put(&key(b'd', &case), &[]);
        Ok(Verdict::Applied)
    }

    fn settle(&mut self, store: &mut dyn Store, limit: usize) -> Result<Settled, StoreError> {
        let mut dirty = store.scan(b"d/", b"", limit + 1)?;
        let mut settled = Settled {
            more: dirty.len() > limit,
            ..Settled::default()
        };
        dirty.truncate(limit);
        for (mark, _) in dirty {
            settled.cases += 1;
            let case = String::from_utf8_lossy(mark.get(2..).unwrap_or_default()).into_owned();
            store.delete(&mark);
            let count = store.get(&key(b'c', &case))?.map_or(0, |bytes| pair(&bytes).0);
            let emitted = store.get(&key(b'e', &case))?.map(|bytes| pair(&bytes));
            let (revision, quantity) = emitted.unwrap_or((0, 0));
            if quantity == count {
                continue;
            }
            if emitted.is_some() {
                settled.rows.push(row(&case, Op::Retract, revision, quantity));
            }
            settled.rows.push(row(&case, Op::Assert, revision + 1, count));
            store.put(&key(b'e', &case), format!("{} {count}", revision + 1).as_bytes());
        }
        Ok(settled)
    }

    fn emitted(&mut self, store: &mut dyn Store, row: &Row) -> Result<(), StoreError> {
        if let Row::Conversion(row) = row
            && row.op == Op::Assert
        {
            let value = format!("{} {}", row.revision, row.quantity);
            store.put(&key(b'e', &row.id), value.as_bytes());
            store.put(&key(b'd', &row.id), &[]);
        }
        Ok(())
    }
}
