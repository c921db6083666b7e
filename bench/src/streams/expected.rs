//! The ledger that a population must end in, computed by the core alone, in memory, from facts in plain order.

use anyhow::Result;
use tributary_avro::{Fact, Op};
use tributary_domain::engine::{Engine, Row};
use tributary_domain::fact::of_click;
use tributary_domain::store::MemoryStore;
use tributary_domain::tenant::Tenant;

use super::net::Net;
use super::population::Population;

/// The net ledger and the sum of its commissions.
pub struct Expected {
    /// Net conversions.
    pub conversions: Net,
    /// Net commission rows.
    pub commissions: u64,
    /// Their sum, minor units.
    pub commission: i64,
}

/// Computes it.
pub fn expected(population: &Population, rules: &[Fact]) -> Result<Expected> {
    let mut store = MemoryStore::default();
    let mut engine = Engine::open(&store)?;
    for fact in rules {
        engine.apply(&mut store, fact.clone())?;
    }
    let shape = population.shape;
    for i in 0..shape.clicks {
        if shape.claimed(i).is_none() {
            continue;
        }
        let click = shape.click(i, shape.time(i));
        let tenant = Tenant::new(click.workspace.as_str(), click.mode.as_str());
        engine.apply(&mut store, of_click(&click, &tenant))?;
    }
    for told in population
        .claims
        .iter()
        .chain(&population.payments)
        .filter(|told| !told.again)
    {
        engine.apply(&mut store, told.fact.clone())?;
    }
    let mut expected = Expected {
        conversions: Net::default(),
        commissions: 0,
        commission: 0,
    };
    loop {
        let settled = engine.settle(&mut store, 10_000)?;
        for row in settled.rows {
            match row {
                Row::Conversion(row) => expected.conversions.take(&row),
                Row::Commission(row) if row.op == Op::Assert => {
                    expected.commissions += 1;
                    expected.commission += row.amount;
                }
                Row::Commission(row) => {
                    expected.commissions -= 1;
                    expected.commission -= row.amount;
                }
                Row::Refund(_) => {}
            }
        }
        if !settled.more {
            return Ok(expected);
        }
    }
}
