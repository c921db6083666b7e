//! What only half of the worlds have: other models, limits, modifiers, rates, subscriptions, credit notes, decisions.

use tributary_avro::{
    AssignmentFact, Body, CommandFact, CreditNoteFact, CustomerRef, Fact, Line, PeriodFact, SubscriptionFact,
};

use super::{HOUR, Random, T0, fact, rule};

const DAY: i64 = 24 * HOUR;

/// A later version of the program, which holds from the first sale on, with everything that a reward may have.
pub fn rules(random: &mut Random, facts: &mut Vec<Fact>) {
    let model = ["last_click", "linear", "position_based", "time_decay"][random.below(4) as usize];
    let limit = |random: &mut Random, text: &str| {
        if random.below(2) == 0 {
            text.to_owned()
        } else {
            String::new()
        }
    };
    let months = limit(random, r#","max_months":0"#);
    let charges = limit(random, r#","max_charges":2"#);
    let cap = limit(random, r#","cap":{"amount":700,"per":"week"}"#);
    let lead_cap = limit(random, r#","cap":{"amount":700,"per":"month"}"#);
    let modifiers = limit(
        random,
        r#","modifiers":[
            {"conditions":[{"attribute":"sale.type","operator":"equals_to","value":"new"}],"percent":"33.3"},
            {"match":"OR","conditions":[{"attribute":"sale.amount","operator":"less_than","value":3000},
                {"attribute":"customer.source","operator":"equals_to","value":"trial"}],"amount":450}]"#,
    );
    let withhold = limit(
        random,
        r#","withhold":["existing_customer","self_referral","bot_click"]"#,
    );
    let program = format!(
        r#"{{"id":"main","model":"{model}"{withhold},"rewards":[
            {{"id":"gold","event":"sale","percent":"40","products":"prod_gold"{months}}},
            {{"id":"base","event":"sale","percent":"20"{charges}{cap}{modifiers}}},
            {{"id":"lead","event":"lead","amount":300{lead_cap}}}]}}"#
    );
    facts.push(rule(T0 + HOUR, "program", "main", Some(T0 + 1), &program));
    let dates = if random.below(4) == 0 {
        "dates"
    } else {
        "transactions"
    };
    let workspace = format!(
        r#"{{"id":"acme","currency":"{}","trials":true,"trial_quantity":true,"subscriptions":"{dates}","bare_payments":true}}"#,
        if random.below(3) == 0 { "eur" } else { "usd" }
    );
    facts.push(rule(T0 + HOUR, "workspace", "acme", Some(T0 + 1), &workspace));
    for day in 0..random.below(4) as i64 {
        let date = jiff::Timestamp::from_millisecond(T0 + day * 2 * DAY)
            .unwrap()
            .to_string();
        let date = &date[..10];
        let rates = format!(r#"{{"date":"{date}","base":"eur","rates":{{"usd":"1.0{day}7"}}}}"#);
        facts.push(rule(T0 + 200 * HOUR, "fx", &format!("eur/{date}"), None, &rates));
    }
}

/// Subscriptions, credit notes, and what operators decide.
pub fn facts(random: &mut Random, people: u64, facts: &mut Vec<Fact>) {
    for n in 0..random.below(3) {
        subscription(random, n, people, facts);
    }
    for fact in credit_notes(random, facts) {
        facts.push(fact);
    }
    if random.below(3) == 0 {
        let body = AssignmentFact {
            customer: person(random.below(people)),
            partner_id: ["p1", "p2", ""][random.below(3) as usize].into(),
            reason: "told by mail".into(),
        };
        let at = T0 + random.below(100) as i64 * HOUR;
        facts.push(fact(at, "operator", Body::Assignment(Box::new(body))));
    }
    let about: Vec<(String, String)> = facts
        .iter()
        .filter_map(|fact| match &fact.body {
            Body::Charge(charge) => Some((charge.charge.clone(), String::new())),
            Body::Lead(lead) if !lead.customer.external_id.is_empty() => {
                let object = format!("lead:ext:{}/sign up", lead.customer.external_id);
                Some((object.clone(), object))
            }
            _ => None,
        })
        .collect();
    let custom = ("bonus_0".to_owned(), "custom:bonus_0".to_owned());
    for (names, object) in about.into_iter().chain([custom]) {
        for _ in 0..random.below(3) {
            let command = ["approve", "reject", "withhold", "release", "pay"][random.below(5) as usize];
            let is_pay = command == "pay";
            let body = CommandFact {
                command: command.into(),
                names: names.clone(),
                object: object.clone(),
                partner_id: ["p1", "p2"][random.below(2) as usize].into(),
                amount: if is_pay {
                    100 * (1 + random.below(5) as i64)
                } else {
                    0
                },
                currency: if is_pay { "usd".into() } else { String::new() },
                payout_id: if is_pay { "po_2".into() } else { String::new() },
                reason: "seen".into(),
            };
            let at = T0 + (120 + random.below(30) as i64) * HOUR;
            facts.push(fact(at, "operator", Body::Command(Box::new(body))));
        }
    }
    for n in 0..random.below(2) {
        let body = CommandFact {
            command: "custom".into(),
            names: format!("bonus_{n}"),
            object: format!("custom:bonus_{n}"),
            partner_id: "p1".into(),
            amount: 500 - random.below(1000) as i64,
            currency: "usd".into(),
            reason: "for the talk".into(),
            ..Default::default()
        };
        facts.push(fact(T0, "operator", Body::Command(Box::new(body))));
    }
}

/// A Stripe customer.
pub fn person(n: u64) -> CustomerRef {
    CustomerRef {
        stripe: format!("/cus_{n}"),
        ..Default::default()
    }
}

fn subscription(random: &mut Random, n: u64, people: u64, facts: &mut Vec<Fact>) {
    let start = T0 + random.below(60) as i64 * HOUR;
    let customer = person(random.below(people));
    let with_trial = random.below(2) == 0;
    for step in 0..1 + random.below(4) as i64 {
        // Some change twice in one second.
        let at = start + (step - step.min(1) * random.below(2) as i64) * 10 * HOUR;
        let ended = step == 3;
        let quantity = 1 + random.below(3) as i64;
        let items = vec![Line {
            product: "prod_team".into(),
            quantity,
            amount: 1000 * quantity,
            ..Default::default()
        }];
        let body = SubscriptionFact {
            subscription: format!("sub_{n}"),
            status: match (with_trial, step) {
                (true, 0) => "trialing",
                (_, 3) => "canceled",
                _ => "active",
            }
            .into(),
            customer: customer.clone(),
            started_at: start,
            period_start: at,
            ended_at: ended.then_some(at),
            cancel_reason: if ended {
                "too_expensive".into()
            } else {
                String::new()
            },
            currency: "usd".into(),
            items: items.clone(),
            ..Default::default()
        };
        if !ended {
            let period = PeriodFact {
                subscription: body.subscription.clone(),
                start: at,
                customer: customer.clone(),
                is_first: step == 0,
                currency: "usd".into(),
                items,
                ..Default::default()
            };
            facts.push(fact(
                at,
                &format!("evt_p{n}{step}"),
                Body::Period(Box::new(period)),
            ));
        }
        facts.push(fact(
            at,
            &format!("evt_sub{n}{step}"),
            Body::Subscription(Box::new(body)),
        ));
    }
}

/// Credit notes of some of the invoices, some paid out by refunds that are told of and some not.
fn credit_notes(random: &mut Random, facts: &[Fact]) -> Vec<Fact> {
    let invoices = facts.iter().filter_map(|fact| match &fact.body {
        Body::Invoice(invoice) if invoice.status == "paid" => Some((fact.at, invoice)),
        _ => None,
    });
    let refunds: Vec<&str> = facts
        .iter()
        .filter_map(|fact| match &fact.body {
            Body::Refund(refund) => Some(refund.refund.as_str()),
            _ => None,
        })
        .collect();
    let mut out = Vec::new();
    for (n, (at, invoice)) in invoices.enumerate() {
        if random.below(2) == 0 {
            continue;
        }
        let paid_out = random.below(2) == 0 && !refunds.is_empty();
        let line = &invoice.lines[random.below(invoice.lines.len() as u64) as usize];
        let body = CreditNoteFact {
            credit_note: format!("cn_{n}"),
            invoice: invoice.invoice.clone(),
            status: if random.below(4) == 0 { "void" } else { "issued" }.into(),
            amount: line.amount.abs().max(100),
            currency: invoice.currency.clone(),
            refunds: if paid_out {
                vec![refunds[random.below(refunds.len() as u64) as usize].to_owned()]
            } else {
                Vec::new()
            },
            lines: vec![Line {
                id: line.id.clone(),
                quantity: 1,
                amount: line.amount.abs(),
                ..Default::default()
            }],
            created: at + HOUR,
            ..Default::default()
        };
        out.push(fact(
            at + HOUR,
            &format!("evt_cn{n}"),
            Body::CreditNote(Box::new(body)),
        ));
    }
    out
}
