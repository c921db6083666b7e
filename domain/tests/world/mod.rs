//! A small random world: a workspace, people, clicks, coupons, payments in all shapes, refunds.

mod days;
mod more;
mod random;

use tributary_avro::{
    Body, ChargeFact, ClickFact, CommandFact, CustomerFact, CustomerRef, DiscountRef, DisputeFact, Fact,
    InvoiceFact, InvoicePaymentFact, LeadFact, Line, PaymentIntentFact, PromotionCodeFact, RefundFact,
    RuleFact, SaleFact, SessionFact,
};
use tributary_domain::fact::Origin;
use tributary_domain::tenant::Tenant;

pub use random::Random;

pub const T0: i64 = 1_760_000_000_000;
pub const HOUR: i64 = 3_600_000;

pub fn fact(at: i64, source: &str, body: Body) -> Fact {
    let trust = match body {
        Body::Rule(_) | Body::Command(_) => "operator",
        Body::Lead(_) | Body::Sale(_) | Body::Click(_) => "server",
        _ => "stripe",
    };
    Origin {
        tenant: Tenant::new("acme", "live"),
        at,
        source: source.to_owned(),
        trust,
    }
    .fact(body)
}

pub fn rule(at: i64, kind: &str, id: &str, from: Option<i64>, document: &str) -> Fact {
    let body = RuleFact {
        kind: kind.into(),
        id: id.into(),
        from,
        deleted: false,
        document: document.into(),
    };
    fact(at, "apply", Body::Rule(Box::new(body)))
}

pub fn click(id: &str, at: i64, partner: &str) -> Fact {
    let body = ClickFact {
        click_id: id.into(),
        clicked_at: at,
        link_id: format!("link_{partner}"),
        partner_id: partner.into(),
        program_id: "main".into(),
        tracked: true,
        ..Default::default()
    };
    fact(at, id, Body::Click(Box::new(body)))
}

fn rules(random: &mut Random, facts: &mut Vec<Fact>) {
    let sticky = random.below(2) == 0;
    let precedence = ["click_first", "coupon_first", "latest_touch"][random.below(3) as usize];
    let model = ["last_click", "first_click"][random.below(2) as usize];
    let program = |percent: u64| {
        format!(
            r#"{{"id":"main","window_days":60,"sticky":{sticky},"model":"{model}","coupon_precedence":"{precedence}","rewards":[
            {{"id":"gold","event":"sale","percent":"40","products":"prod_gold"}},
            {{"id":"base","event":"sale","percent":"{percent}.5"}},
            {{"id":"lead","event":"lead","amount":300}}]}}"#
        )
    };
    let currency = if random.below(8) == 0 { "eur" } else { "usd" };
    facts.push(rule(
        T0,
        "workspace",
        "acme",
        None,
        &format!(
            r#"{{"id":"acme","currency":"{currency}","bare_payments":{}}}"#,
            random.below(2) == 0
        ),
    ));
    facts.push(rule(T0, "program", "main", None, &program(20)));
    if random.below(2) == 0 {
        facts.push(rule(
            T0 + 50 * HOUR,
            "program",
            "main",
            Some(T0 + 40 * HOUR),
            &program(10),
        ));
    }
    for partner in ["p1", "p2"] {
        facts.push(rule(
            T0,
            "partner",
            partner,
            None,
            &format!(r#"{{"id":"{partner}","program":"main"}}"#),
        ));
    }
    if random.below(4) == 0 {
        facts.push(rule(
            T0 + 30 * HOUR,
            "partner",
            "p1",
            None,
            r#"{"id":"p1","program":"main","status":"banned"}"#,
        ));
    }
    facts.push(rule(
        T0 + 70 * HOUR,
        "coupon",
        "save20",
        None,
        r#"{"code":"SAVE20","partner":"p2"}"#,
    ));
    if random.below(2) == 0 {
        facts.push(rule(
            T0 + 71 * HOUR,
            "coupon",
            "save20",
            None,
            r#"{"code":"SAVE20","partner":"p1","promotion_codes":["promo_2"]}"#,
        ));
    }
    let code = |id: &str, code: &str| PromotionCodeFact {
        promotion_code: id.into(),
        code: code.into(),
        coupon: "c".into(),
        active: true,
        restricted_to: String::new(),
    };
    facts.push(fact(
        T0,
        "evt_p1",
        Body::PromotionCode(Box::new(code("promo_1", "save20"))),
    ));
    facts.push(fact(
        T0,
        "evt_p2",
        Body::PromotionCode(Box::new(code("promo_2", "OTHER"))),
    ));
}

/// All facts of a world, in the order of their telling.
pub fn world(seed: u64) -> Vec<Fact> {
    let random = &mut Random(seed);
    let mut facts = Vec::new();
    rules(random, &mut facts);
    // Not in every world: those of odd seeds stay as they were when a test began to name one.
    let has_more = seed.is_multiple_of(2);
    if has_more {
        more::rules(random, &mut facts);
    }
    let people = 1 + random.below(5);
    let clicks: Vec<String> = (0..3 + random.below(3))
        .map(|i| format!("click00000000{i:03}"))
        .collect();
    for (i, id) in clicks.iter().enumerate() {
        if random.below(6) > 0 {
            facts.push(click(
                id,
                T0 + random.below(90) as i64 * HOUR - 20 * HOUR,
                ["p1", "p2", ""][i % 3],
            ));
        }
    }
    let person = |random: &mut Random| {
        let n = random.below(people);
        let mut customer = CustomerRef::default();
        if random.below(2) == 0 {
            customer.external_id = format!("user_{n}");
        }
        if random.below(2) == 0 {
            customer.stripe = format!("/cus_{n}");
        }
        if random.below(2) == 0 {
            customer.mail = format!("mail{}", n / 2);
        }
        customer
    };
    let named = |random: &mut Random| {
        if random.below(2) == 0 {
            clicks[random.below(clicks.len() as u64) as usize].clone()
        } else {
            String::new()
        }
    };
    for _ in 0..random.below(6) {
        let mut customer = person(random);
        if customer == CustomerRef::default() {
            customer.external_id = "user_0".into();
        }
        let body = LeadFact {
            event_name: ["Sign up", "sign up", "Trial"][random.below(3) as usize].into(),
            quantity: 1,
            deferred: random.below(5) == 0,
            click_id: named(random),
            customer,
            ..Default::default()
        };
        facts.push(fact(
            T0 + random.below(100) as i64 * HOUR,
            "trk",
            Body::Lead(Box::new(body)),
        ));
    }
    for n in 0..random.below(4) {
        let mut customer = person(random);
        customer.stripe = format!("/cus_{}", n % people);
        let body = CustomerFact {
            stripe_id: format!("cus_{n}"),
            click_id: named(random),
            deleted: false,
            customer,
        };
        facts.push(fact(
            T0 + random.below(100) as i64 * HOUR,
            &format!("evt_c{n}"),
            Body::Customer(Box::new(body)),
        ));
    }
    for n in 0..2 + random.below(5) {
        let customer = person(random);
        let click = named(random);
        payment(random, n, &customer, click, &mut facts);
    }
    if has_more {
        // Somebody who buys often meets limits.
        for n in 20..20 + random.below(6) {
            let click = named(random);
            payment(random, n, &more::person(0), click, &mut facts);
        }
        disputes(random, &mut facts);
        more::facts(random, people, &mut facts);
    }
    if seed.is_multiple_of(4) {
        days::facts(seed, &mut facts);
    }
    facts
}

/// Disputes of some of the charges, each with what its bank went through in some order.
fn disputes(random: &mut Random, facts: &mut Vec<Fact>) {
    let charges: Vec<(i64, ChargeFact)> = facts
        .iter()
        .filter_map(|fact| match &fact.body {
            Body::Charge(charge) => Some((fact.at, (**charge).clone())),
            _ => None,
        })
        .collect();
    for (n, (at, charge)) in charges.into_iter().enumerate() {
        if random.below(3) > 0 {
            continue;
        }
        let amount = charge.amount - random.below(2) as i64 * (charge.amount / 3);
        for step in 0..1 + random.below(4) as i64 {
            let status =
                ["needs_response", "under_review", "won", "lost", "warning_closed"][random.below(5) as usize];
            let body = DisputeFact {
                dispute: format!("dp_{n}"),
                charge: charge.charge.clone(),
                status: status.into(),
                funds: ["", "withdrawn", "reinstated"][random.below(3) as usize].into(),
                amount,
                currency: "usd".into(),
                created: at + HOUR,
                ..Default::default()
            };
            let fact = fact(
                at + HOUR * (1 + step),
                &format!("evt_dp{n}{step}"),
                Body::Dispute(Box::new(body)),
            );
            facts.push(fact);
        }
    }
}

fn payment(random: &mut Random, n: u64, customer: &CustomerRef, click_id: String, facts: &mut Vec<Fact>) {
    let at = T0 + random.below(100) as i64 * HOUR;
    let (invoice, intent, charge, session) = (
        format!("in_{n}"),
        format!("pi_{n}"),
        format!("ch_{n}"),
        format!("cs_{n}"),
    );
    let total = 1_000 + random.below(20_000) as i64;
    let tax = total / 10 * random.below(2) as i64;
    let discounts = match random.below(5) {
        0 => vec![DiscountRef {
            promotion_code: "promo_1".into(),
            ..Default::default()
        }],
        1 => vec![DiscountRef {
            promotion_code: "promo_2".into(),
            ..Default::default()
        }],
        2 => vec![DiscountRef {
            coupon: "nobodys".into(),
            ..Default::default()
        }],
        _ => vec![],
    };
    let old_shape = random.below(2) == 0;
    let with_invoice = random.below(3) > 0;
    let some = |set: bool, id: &str| if set { id.to_owned() } else { String::new() };
    if with_invoice {
        let lines = vec![
            Line {
                product: "prod_gold".into(),
                id: "il_gold".into(),
                quantity: 1,
                amount: total / 3,
                ..Default::default()
            },
            Line {
                product: "prod_addon".into(),
                id: "il_addon".into(),
                quantity: 2,
                amount: total - total / 3 - tax + 7,
                ..Default::default()
            },
            Line {
                product: String::new(),
                quantity: 1,
                amount: -7,
                ..Default::default()
            },
        ];
        let body = |status: &str| InvoiceFact {
            invoice: invoice.clone(),
            status: status.into(),
            paid_at: (status == "paid").then_some(at),
            payment_intent: some(old_shape, &intent),
            charge: some(old_shape, &charge),
            billing_reason: "subscription_cycle".into(),
            subscription: some(n.is_multiple_of(2), "sub_1"),
            customer: customer.clone(),
            amount_paid: total,
            total,
            total_excluding_tax: Some(total - tax),
            tax,
            currency: "usd".into(),
            discounts: discounts.clone(),
            lines: lines.clone(),
            ..Default::default()
        };
        facts.push(fact(
            at - 1000,
            &format!("evt_f{n}"),
            Body::Invoice(Box::new(body("open"))),
        ));
        facts.push(fact(
            at,
            &format!("evt_i{n}"),
            Body::Invoice(Box::new(body("paid"))),
        ));
        if !old_shape {
            let edge = InvoicePaymentFact {
                invoice_payment: format!("inpay_{n}"),
                invoice: invoice.clone(),
                payment_intent: intent.clone(),
                charge: String::new(),
                status: "paid".into(),
                amount_paid: total,
            };
            facts.push(fact(
                at,
                &format!("evt_e{n}"),
                Body::InvoicePayment(Box::new(edge)),
            ));
        }
    }
    if random.below(2) == 0 {
        let body = SessionFact {
            session,
            session_mode: "payment".into(),
            status: "complete".into(),
            payment_status: if random.below(4) == 0 { "unpaid" } else { "paid" }.into(),
            payment_intent: some(!with_invoice, &intent),
            invoice: some(with_invoice, &invoice),
            click_id: click_id.clone(),
            customer: customer.clone(),
            amount_total: Some(total),
            amount_tax: tax,
            currency: "usd".into(),
            discounts,
            ..Default::default()
        };
        facts.push(fact(
            at + 1000,
            &format!("evt_s{n}"),
            Body::Session(Box::new(body)),
        ));
    } else if random.below(2) == 0 {
        let body = SaleFact {
            external_id: some(true, if with_invoice { &invoice } else { &intent }),
            amount: total,
            currency: "usd".into(),
            event_name: "Purchase".into(),
            click_id: click_id.clone(),
            customer: customer.clone(),
            ..Default::default()
        };
        facts.push(fact(at + 2000, &format!("trk_{n}"), Body::Sale(Box::new(body))));
    }
    let refunded = random.below(4);
    let body = ChargeFact {
        charge: charge.clone(),
        payment_intent: intent.clone(),
        invoice: some(old_shape && with_invoice, &invoice),
        status: "succeeded".into(),
        captured: true,
        amount: total,
        amount_captured: total,
        amount_refunded: 0,
        currency: "usd".into(),
        created: at,
        customer: customer.clone(),
        named: !click_id.is_empty(),
        click_id: click_id.clone(),
        ..Default::default()
    };
    facts.push(fact(
        at,
        &format!("evt_ch{n}"),
        Body::Charge(Box::new(body.clone())),
    ));
    let body_pi = PaymentIntentFact {
        payment_intent: intent.clone(),
        charge: charge.clone(),
        status: "succeeded".into(),
        amount: total,
        amount_received: total,
        currency: "usd".into(),
        created: at,
        customer: customer.clone(),
        ..Default::default()
    };
    facts.push(fact(
        at,
        &format!("evt_pi{n}"),
        Body::PaymentIntent(Box::new(body_pi)),
    ));
    for r in 0..refunded {
        let amount = total / 3 + i64::from(r == 2) * (total - 3 * (total / 3));
        let status = if random.below(5) == 0 {
            "failed"
        } else {
            "succeeded"
        };
        let refund = RefundFact {
            refund: format!("re_{n}_{r}"),
            charge: some(r != 1, &charge),
            payment_intent: some(r == 1, &intent),
            status: status.into(),
            amount,
            currency: "usd".into(),
            created: at + HOUR * r as i64,
            ..Default::default()
        };
        facts.push(fact(
            at + HOUR * (r as i64 + 1),
            &format!("evt_re{n}{r}"),
            Body::Refund(Box::new(refund)),
        ));
    }
    if random.below(3) == 0 {
        let more = ChargeFact {
            amount_refunded: total / 2,
            ..body
        };
        facts.push(fact(
            at + 9 * HOUR,
            &format!("evt_cr{n}"),
            Body::Charge(Box::new(more)),
        ));
    }
    if random.below(4) == 0 {
        let pay = CommandFact {
            command: "pay".into(),
            names: intent,
            partner_id: "p1".into(),
            amount: 100 + random.below(900) as i64,
            currency: "usd".into(),
            payout_id: "po_1".into(),
            reason: String::new(),
            ..Default::default()
        };
        facts.push(fact(at + 40 * HOUR, "operator", Body::Command(Box::new(pay))));
    }
}
