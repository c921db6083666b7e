//! One story as four generations of Stripe's API tell it: where the invoice names its payment, its subscription, its
//! products, its tax and its promotion code has moved. The ledger is the same, in order and shuffled.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "world/random.rs"]
mod random;

use random::Random;
use serde_json::{Value, json};
use tributary_domain::ledger::table;
use tributary_domain::mail::MailKey;
use tributary_domain::rules::parse;
use tributary_domain::simulate::{Line, Simulation};

const PROGRAM: &str = "
workspace: {id: acme, domains: [go.acme.test]}
programs:
  - id: affiliates
    coupon_precedence: coupon_first
    rewards:
      - {id: gold, event: sale, percent: 40, products: [prod_gold]}
      - {id: base, event: sale, percent: 10}
partners:
  - {id: bob}
coupons:
  - {code: SAVE20, partner: bob}
";
const PAID: i64 = 1_788_336_000;

/// What an API version calls things.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// 2019: charges hold their refunds, plans the product.
    Plans,
    /// Before basil: the invoice names its payment.
    Prices,
    /// Basil, March 2025: the payment names its invoice.
    Basil,
    /// Clover, September 2025: promotion codes name their coupon through `promotion`, discounts through `source`.
    Clover,
}

fn story(shape: Shape) -> Vec<(&'static str, i64, Value)> {
    let new = matches!(shape, Shape::Basil | Shape::Clover);
    let coupon = json!({"id": "co_20", "object": "coupon"});
    let code = match shape {
        Shape::Clover => json!({"promotion": {"type": "coupon", "coupon": "co_20"}}),
        _ => json!({"coupon": coupon}),
    };
    let discount = match shape {
        Shape::Clover => {
            json!({"id": "di_1", "object": "discount", "promotion_code": "promo_1", "source": {"type": "coupon", "coupon": "co_20"}})
        }
        _ => json!({"id": "di_1", "object": "discount", "promotion_code": "promo_1", "coupon": coupon}),
    };
    let line = |id: &str, amount: i64, tax: i64, product: &str| {
        let mut line =
            json!({"id": id, "object": "line_item", "amount": amount, "quantity": 1, "discount_amounts": []});
        let (field, value) = match shape {
            Shape::Plans => ("plan", json!({"id": "plan_1", "product": product})),
            Shape::Prices => ("price", json!({"id": "price_1", "product": product})),
            _ => (
                "pricing",
                json!({"type": "price_details", "price_details": {"price": "price_1", "product": product}}),
            ),
        };
        line[field] = value;
        line[if new { "taxes" } else { "tax_amounts" }] = if new {
            json!([{"amount": tax, "tax_behavior": "exclusive"}])
        } else {
            json!([{"amount": tax, "inclusive": false}])
        };
        line
    };
    let mut invoice = json!({
        "id": "in_1", "object": "invoice", "customer": "cus_1", "customer_email": "carol@lumen.test", "status": "paid",
        "billing_reason": "subscription_create", "currency": "usd", "amount_paid": 17_850, "total": 17_850,
        "total_excluding_tax": 15_000, "status_transitions": {"paid_at": PAID},
        "lines": {"object": "list", "has_more": false, "data": [
            line("il_1", 10_000, 1900, "prod_gold"), line("il_2", 5000, 950, "prod_addon")]},
    });
    if new {
        invoice["parent"] =
            json!({"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}});
        invoice["total_taxes"] = json!([{"amount": 2850, "tax_behavior": "exclusive"}]);
        invoice["discounts"] = json!([discount]);
    } else {
        invoice["subscription"] = json!("sub_1");
        invoice["payment_intent"] = json!("pi_1");
        invoice["charge"] = json!("ch_1");
        invoice["tax"] = json!(2850);
        invoice["discount"] = discount;
    }
    let refund = json!({"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": "pi_1", "amount": 8925,
        "currency": "usd", "status": "succeeded", "created": PAID + 86_400});
    let charge = |refunded: i64| {
        let mut charge = json!({"id": "ch_1", "object": "charge", "payment_intent": "pi_1", "customer": "cus_1",
            "amount": 17_850, "amount_captured": 17_850, "amount_refunded": refunded, "captured": true, "paid": true,
            "status": "succeeded", "currency": "usd", "created": PAID});
        if !new {
            charge["invoice"] = json!("in_1");
        }
        if shape == Shape::Plans && refunded > 0 {
            charge["refunds"] = json!({"object": "list", "data": [refund]});
        }
        charge
    };
    let mut promotion =
        json!({"id": "promo_1", "object": "promotion_code", "code": "SAVE20", "active": true});
    promotion
        .as_object_mut()
        .unwrap()
        .extend(code.as_object().unwrap().clone());
    let mut story = vec![
        ("promotion_code.created", PAID - 86_400, promotion),
        (
            "customer.created",
            PAID - 60,
            json!({"id": "cus_1", "object": "customer", "email": "carol@lumen.test",
            "metadata": {"dubCustomerExternalId": "user_carol"}}),
        ),
        ("charge.succeeded", PAID, charge(0)),
        ("invoice.paid", PAID, invoice),
        ("charge.refunded", PAID + 86_400, charge(8925)),
    ];
    if new {
        story.push(("invoice_payment.paid", PAID, json!({"id": "inpay_1", "object": "invoice_payment", "invoice": "in_1",
            "status": "paid", "amount_paid": 17_850, "payment": {"type": "payment_intent", "payment_intent": "pi_1"}})));
    }
    if shape != Shape::Plans {
        story.push(("refund.created", PAID + 86_400, refund));
    }
    story
}

fn ledger(told: &[(&'static str, i64, Value)]) -> String {
    let mut simulation = Simulation::new(&parse(PROGRAM).unwrap(), MailKey::new("k"), 0).unwrap();
    for (n, (event_type, at, object)) in told.iter().enumerate() {
        let line = json!({
            "at": jiff::Timestamp::from_second(*at).unwrap(), "method": "POST", "path": "/webhooks/stripe/acme",
            "body": {"id": format!("evt_{n}"), "object": "event", "created": at, "livemode": true, "type": event_type,
                "data": {"object": object}},
        });
        let (status, answer) = simulation
            .request(&serde_json::from_value::<Line>(line).unwrap())
            .unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(simulation.report().dead, []);
    table::text(
        simulation
            .ledger()
            .unwrap()
            .into_iter()
            .map(table::Line::of)
            .collect(),
    )
}

#[test]
fn four_generations_tell_one_ledger() {
    let day = |at: i64| jiff::Timestamp::from_second(at).unwrap();
    let expected = format!(
        "{head}
commission,sale,live,{paid},in:in_1,user_carol,bob,SAVE20,,,pending,,4500,,usd
commission,take_back,live,{back},re:re_1,user_carol,bob,SAVE20,,,pending,,-2250,,usd
conversion,sale,live,{paid},in:in_1,user_carol,bob,SAVE20,coupon,,partially_refunded,new,15000,4500,usd
conversion,lead,live,{paid},lead:in:in_1,user_carol,bob,SAVE20,coupon,,approved,,0,0,usd
refund,refund,live,{back},re:re_1,user_carol,bob,SAVE20,,,succeeded,new,7500,2250,usd",
        head = table::HEAD,
        paid = day(PAID),
        back = day(PAID + 86_400),
    );
    for shape in [Shape::Plans, Shape::Prices, Shape::Basil, Shape::Clover] {
        let mut told = story(shape);
        for seed in 0..20 {
            let found = ledger(&told);
            assert_eq!(
                found, expected,
                "generation {}, order {seed}: got\n{found}",
                shape as u8
            );
            Random(seed).shuffle(&mut told);
        }
    }
}
