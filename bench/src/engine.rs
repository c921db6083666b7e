//! `engine`: what one more fact costs in a case of few and of many facts, what an address that thousands share costs,
//! and how many bytes customers and payments take, without any server.
//!
//! The runs of a comparison end with as many facts in the store; what differs is how many of them are one customer's,
//! or one address's. Each sample adds one payment and settles what it touched.

use std::time::Instant;

use anyhow::{Result, ensure};
use tributary_avro::{Body, ClickFact, CustomerRef, Fact, LeadFact, SaleFact};
use tributary_domain::click_id;
use tributary_domain::engine::{Engine, Verdict};
use tributary_domain::fact::Origin;
use tributary_domain::mail::MailKey;
use tributary_domain::normalize::{self, Outcome};
use tributary_domain::rules;
use tributary_domain::store::{MemoryStore, Store as _};
use tributary_domain::tenant::Tenant;

use crate::figures::{decimal, figure, median, ratio};

const BASE: i64 = 1_760_000_000_000;
/// Runs of each kind, by turns.
const TURNS: usize = 5;
/// A click, a lead and two payments.
const MAILBOX_FACTS: usize = 4;
const PROGRAM: &str = "
workspace: {id: bench, domains: [go.bench.test]}
programs:
  - id: main
    rewards:
      # With limits and conditions, as a program may have them.
      - id: base
        event: sale
        percent: 20
        max_months: 1200
        max_charges: 100
        cap: {amount: 50000, per: month}
        modifiers:
          - conditions: [{attribute: sale.type, operator: equals_to, value: new}]
            percent: 30
partners:
  - {id: p0}
";

/// Options of `engine`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Facts of the cases, the small one first.
    #[arg(long, value_delimiter = ',', default_value = "30,5000,20000")]
    sizes: Vec<usize>,
    /// Payments added, each one sample.
    #[arg(long, default_value_t = 300)]
    samples: usize,
    /// Customers who share one address.
    #[arg(long, default_value_t = 5_000)]
    mailbox: usize,
}

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<bool> {
    let mut medians = Vec::new();
    for &size in &options.sizes {
        let mut nanos = one_more(size, options)?;
        nanos.sort_by(f64::total_cmp);
        let name = format!("engine.case_of_{size}");
        figure(&format!("{name}.samples"), nanos.len(), "facts");
        decimal(&format!("{name}.median"), median(&nanos), 0, "ns/fact");
        decimal(
            &format!("{name}.mean"),
            nanos.iter().sum::<f64>() / nanos.len() as f64,
            0,
            "ns/fact",
        );
        medians.push((size, median(&nanos)));
    }
    if let Some(((_, small), larger)) = medians.split_first() {
        for (size, median) in larger {
            ratio(&format!("engine.{size}_over_small"), *median, *small);
        }
    }
    mailbox(options.mailbox)?;
    bytes()?;
    Ok(true)
}

/// Customers with an address each, and as many who share one, by turns.
fn mailbox(customers: usize) -> Result<()> {
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        own.push(with_addresses(customers, |customer| {
            format!("hash{customer:028}")
        })?);
        shared.push(with_addresses(customers, |_| "hash".into())?);
    }
    for nanos in [&mut own, &mut shared] {
        nanos.sort_by(f64::total_cmp);
    }
    let facts = (customers * MAILBOX_FACTS) as f64;
    decimal("engine.own_addresses", median(&own) / facts, 0, "ns/fact");
    decimal("engine.one_address", median(&shared) / facts, 0, "ns/fact");
    ratio("engine.one_address_over_own", median(&shared), median(&own));
    Ok(())
}

/// Nanoseconds for all facts of so many customers, settled a hundred facts at a time.
fn with_addresses(customers: usize, address: impl Fn(usize) -> String) -> Result<f64> {
    let mut store = MemoryStore::default();
    let mut engine = Engine::open(&store)?;
    for fact in program()? {
        engine.apply(&mut store, fact)?;
    }
    let mut facts = Vec::with_capacity(customers * MAILBOX_FACTS);
    // Everybody comes before anybody pays: each payment meets the address as it ended.
    for number in 0..MAILBOX_FACTS {
        for customer in 0..customers {
            let mut fact = fact_of(customer, number);
            match &mut fact.body {
                Body::Lead(lead) => lead.customer.mail = address(customer),
                Body::Sale(sale) => sale.customer.mail = address(customer),
                _ => {}
            }
            facts.push(fact);
        }
    }
    let mut rows = 0;
    let begin = Instant::now();
    for (index, fact) in facts.into_iter().enumerate() {
        engine.apply(&mut store, fact)?;
        if index % 100 == 99 {
            rows += engine.settle(&mut store, 1_000)?.rows.len();
        }
    }
    loop {
        let settled = engine.settle(&mut store, 1_000)?;
        rows += settled.rows.len();
        if !settled.more {
            break;
        }
    }
    let nanos = begin.elapsed().as_nanos() as f64;
    ensure!(rows >= customers * (MAILBOX_FACTS - 1), "{rows} rows");
    Ok(nanos)
}

/// Bytes in the store for one more customer with a click and a lead, and for one more payment.
fn bytes() -> Result<()> {
    let (few, many) = (1_000, 2_000);
    let customers = stored(many, 2)?.saturating_sub(stored(few, 2)?) / (many - few);
    let payments = stored(few, 12)?.saturating_sub(stored(few, 2)?) / (few * 10);
    figure("engine.bytes_of_a_customer", customers, "bytes");
    figure("engine.bytes_of_a_payment", payments, "bytes");
    Ok(())
}

/// Bytes of all keys and values once so many customers told so many facts each.
fn stored(customers: usize, facts: usize) -> Result<usize> {
    let mut store = MemoryStore::default();
    let mut engine = Engine::open(&store)?;
    for fact in program()? {
        engine.apply(&mut store, fact)?;
    }
    for customer in 0..customers {
        for number in 0..facts {
            engine.apply(&mut store, fact_of(customer, number))?;
        }
    }
    while engine.settle(&mut store, 1_000)?.more {}
    let all = store.scan(&[], &[], usize::MAX)?;
    Ok(all.iter().map(|(key, value)| key.len() + value.len()).sum())
}

/// Nanoseconds for each of `samples` payments that come to cases of `size` facts.
fn one_more(size: usize, options: &Options) -> Result<Vec<f64>> {
    let mut store = MemoryStore::default();
    let mut engine = Engine::open(&store)?;
    for fact in program()? {
        engine.apply(&mut store, fact)?;
    }
    // As many facts in all as the large case has, so that only their distribution differs.
    let largest = options.sizes.iter().max().copied().unwrap_or_default();
    let customers = ((largest + options.samples) / size.max(1)).max(1);
    for customer in 0..customers {
        for number in 0..size {
            engine.apply(&mut store, fact_of(customer, number))?;
        }
    }
    while engine.settle(&mut store, 1_000)?.more {}
    let mut nanos = Vec::with_capacity(options.samples);
    for sample in 0..options.samples {
        let fact = fact_of(sample % customers, size + sample / customers);
        let begin = Instant::now();
        let verdict = engine.apply(&mut store, fact)?;
        let settled = engine.settle(&mut store, 1_000)?;
        nanos.push(begin.elapsed().as_nanos() as f64);
        ensure!(verdict == Verdict::Applied, "a payment is {verdict:?}");
        ensure!(
            !settled.rows.is_empty(),
            "a payment changed nothing in the ledger"
        );
    }
    Ok(nanos)
}

fn program() -> Result<Vec<Fact>> {
    let file = rules::parse(PROGRAM).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let mut facts = Vec::new();
    for config in file.configs(BASE) {
        if let Outcome::Facts(of_config) = normalize::config(&config, &MailKey::new("bench"))? {
            facts.extend(of_config.into_iter().filter(|fact| fact.mode == "live"));
        }
    }
    Ok(facts)
}

/// The click, the lead, then payments.
fn fact_of(customer: usize, number: usize) -> Fact {
    let click = click_id::new(BASE + customer as i64, customer as u64);
    let named = CustomerRef {
        external_id: format!("user_{customer}"),
        ..CustomerRef::default()
    };
    let at = BASE + 1_000_000 + number as i64 * 1_000;
    let (at, body) = match number {
        0 => {
            let body = ClickFact {
                click_id: click,
                clicked_at: BASE,
                link_id: "go.bench.test/l".into(),
                partner_id: "p0".into(),
                program_id: "main".into(),
                tracked: true,
                ..ClickFact::default()
            };
            (BASE, Body::Click(Box::new(body)))
        }
        1 => {
            let body = LeadFact {
                event_name: "Sign up".into(),
                quantity: 1,
                click_id: click,
                customer: named,
                ..LeadFact::default()
            };
            (at, Body::Lead(Box::new(body)))
        }
        _ => {
            let body = SaleFact {
                external_id: format!("order_{customer}_{number}"),
                amount: 4_900,
                currency: "usd".into(),
                event_name: "Purchase".into(),
                customer: named,
                ..SaleFact::default()
            };
            (at, Body::Sale(Box::new(body)))
        }
    };
    let source = format!("call_{customer}_{number}");
    Origin {
        tenant: Tenant::new("bench", "live"),
        at,
        source,
        trust: "server",
    }
    .fact(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_a_sale_of_its_case() {
        let options = Options {
            sizes: vec![5, 20],
            samples: 7,
            mailbox: 30,
        };
        assert_eq!(one_more(5, &options).unwrap().len(), 7);
        assert_eq!(one_more(20, &options).unwrap().len(), 7);
        mailbox(options.mailbox).unwrap();
        assert!(stored(20, 2).unwrap() > stored(10, 2).unwrap());
    }
}
