//! What one more payment costs in a customer's case of 30 and of 5,000 facts: apply and settle, state in memory.
//!
//! Every sample starts from the same state: it is copied outside of the measured time.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up must fail loudly"
)]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use tributary_avro::{Body, ClickFact, CustomerRef, Fact, LeadFact, SaleFact};
use tributary_domain::click_id;
use tributary_domain::engine::Engine;
use tributary_domain::fact::Origin;
use tributary_domain::mail::MailKey;
use tributary_domain::normalize::{self, Outcome};
use tributary_domain::rules;
use tributary_domain::store::MemoryStore;
use tributary_domain::tenant::Tenant;

const BASE: i64 = 1_760_000_000_000;
const PROGRAM: &str = "
workspace: {id: bench, domains: [go.bench.test]}
programs:
  - id: main
    rewards:
      - {id: base, event: sale, percent: 20}
partners:
  - {id: p0}
";

fn told(at: i64, source: String, body: Body) -> Fact {
    Origin {
        tenant: Tenant::new("bench", "live"),
        at,
        source,
        trust: "server",
    }
    .fact(body)
}

fn payment(number: usize) -> Fact {
    let body = SaleFact {
        external_id: format!("order_{number}"),
        amount: 4_900,
        currency: "usd".into(),
        event_name: "Purchase".into(),
        customer: CustomerRef {
            external_id: "user".into(),
            ..CustomerRef::default()
        },
        ..SaleFact::default()
    };
    told(
        BASE + 1_000 * number as i64,
        format!("call_{number}"),
        Body::Sale(Box::new(body)),
    )
}

/// A store with one customer: a click, its lead, and payments.
fn case_of(size: usize) -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut engine = Engine::open(&store).unwrap();
    for config in rules::parse(PROGRAM).unwrap().configs(BASE) {
        let Outcome::Facts(facts) = normalize::config(&config, &MailKey::new("bench")).unwrap() else {
            continue;
        };
        for fact in facts {
            engine.apply(&mut store, fact).unwrap();
        }
    }
    let click = ClickFact {
        click_id: click_id::new(BASE, 1),
        clicked_at: BASE,
        partner_id: "p0".into(),
        program_id: "main".into(),
        tracked: true,
        ..ClickFact::default()
    };
    let lead = LeadFact {
        event_name: "Sign up".into(),
        quantity: 1,
        click_id: click.click_id.clone(),
        customer: CustomerRef {
            external_id: "user".into(),
            ..CustomerRef::default()
        },
        ..LeadFact::default()
    };
    engine
        .apply(
            &mut store,
            told(BASE, "click".into(), Body::Click(Box::new(click))),
        )
        .unwrap();
    engine
        .apply(
            &mut store,
            told(BASE + 500, "lead".into(), Body::Lead(Box::new(lead))),
        )
        .unwrap();
    for number in 2..size {
        engine.apply(&mut store, payment(number)).unwrap();
    }
    while engine.settle(&mut store, 1_000).unwrap().more {}
    store
}

fn one_more_fact(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one_more_fact");
    group.sample_size(20);
    for size in [30, 5_000] {
        let store = case_of(size);
        let fact = payment(size + 1);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || (store.clone(), Engine::open(&store).unwrap(), fact.clone()),
                |(mut store, mut engine, fact)| {
                    engine.apply(&mut store, fact).unwrap();
                    let settled = engine.settle(&mut store, 1_000).unwrap();
                    // Dropping a copy is no part of the cost.
                    (settled, store, engine)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, one_more_fact);
criterion_main!(benches);
