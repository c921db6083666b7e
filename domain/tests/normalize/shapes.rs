//! One payment told in four shapes of the API: the same facts, but for what a shape does not say.

use serde_json::{Value, json};
use tributary_avro::{ChargeFact, InvoiceFact};

use crate::only;
use crate::payloads::payload;
use crate::support::{CLICK, facts, with};

const SHAPES: [&str; 4] = [
    "2025-02-14_acacia",
    "2025-03-25_basil",
    "2025-12-08_clover",
    "2026-08-21_latest",
];

fn object(shape: &str, kind: &str) -> Value {
    payload(&format!("mit_stripe-openapi_objects/{shape}.json"))[kind].clone()
}

fn is_old(shape: &str) -> bool {
    shape == SHAPES[0]
}

/// A subscription invoice over 4900 (5000 less 600 discount, with 500 of inclusive tax, and a second line).
fn invoice(shape: &str) -> Value {
    let meta = json!({"dubCustomerExternalId": "user_7", "dubClickId": CLICK});
    let mut line = json!({
        "id": "il_1", "object": "line_item", "amount": 5000, "quantity": 2,
        "discount_amounts": [{"amount": 600, "discount": "di_1"}]
    });
    let mut patch = json!({
        "status": "paid", "amount_paid": 4900, "total": 4900, "total_excluding_tax": 4400,
        "customer_email": "ada@example.com", "billing_reason": "subscription_cycle",
        "status_transitions": {"paid_at": 1_700_000_000}
    });
    let discount = json!({"id": "di_1", "object": "discount", "promotion_code": "promo_1"});
    let second = match is_old(shape) {
        true => {
            line["price"] = json!({"id": "price_1", "product": "prod_gold"});
            line["tax_amounts"] = json!([{"amount": 500, "inclusive": true}]);
            patch["charge"] = json!("ch_1");
            patch["payment_intent"] = json!("pi_1");
            patch["subscription"] = json!("sub_1");
            patch["subscription_details"] = json!({"metadata": meta});
            patch["tax"] = json!(500);
            patch["total_tax_amounts"] = json!([{"amount": 500, "inclusive": true}]);
            patch["discount"] = with(discount, json!({"coupon": {"id": "c20", "object": "coupon"}}));
            json!({"amount": 500, "quantity": 1, "price": {"product": "prod_addon"}})
        }
        false => {
            line["pricing"] = json!({"price_details": {"price": "price_1", "product": "prod_gold"}});
            line["taxes"] = json!([{"amount": 500, "tax_behavior": "inclusive"}]);
            patch["parent"] = json!({
                "type": "subscription_details",
                "subscription_details": {"subscription": "sub_1", "metadata": meta}
            });
            patch["total_taxes"] = json!([{"amount": 500, "tax_behavior": "inclusive"}]);
            let coupon = match shape {
                "2025-03-25_basil" => json!({"coupon": {"id": "c20", "object": "coupon"}}),
                _ => json!({"source": {"type": "coupon", "coupon": "c20"}}),
            };
            patch["discounts"] = json!([with(discount, coupon)]);
            json!({"amount": 500, "quantity": 1, "pricing": {"price_details": {"product": "prod_addon"}}})
        }
    };
    patch["lines"] = json!({"data": [line, second], "has_more": false});
    with(object(shape, "invoice"), patch)
}

fn told(shape: &str) -> InvoiceFact {
    only!(facts("invoice.paid", &invoice(shape)), Invoice)
}

#[test]
fn an_invoice_is_the_same_in_four_shapes() {
    let mut old = told(SHAPES[0]);
    assert_eq!(
        (old.payment_intent.as_str(), old.charge.as_str()),
        ("pi_1", "ch_1")
    );
    assert_eq!(
        (old.tax, old.lines[0].amount, old.lines[1].amount),
        (500, 3900, 500)
    );
    assert_eq!(
        (old.subscription.as_str(), old.click_id.as_str()),
        ("sub_1", CLICK)
    );
    assert_eq!(old.customer.external_id, "user_7");
    assert_eq!(
        (
            old.discounts[0].promotion_code.as_str(),
            old.discounts[0].coupon.as_str()
        ),
        ("promo_1", "c20")
    );
    // Since basil the invoice does not say which payment paid it.
    old.payment_intent.clear();
    old.charge.clear();
    for shape in &SHAPES[1..] {
        assert_eq!(told(shape), old, "{shape}");
    }
}

#[test]
fn the_edge_says_what_the_newer_invoice_does_not() {
    for shape in &SHAPES[1..] {
        let edge = with(
            object(shape, "invoice_payment"),
            json!({
                "id": "inpay_1", "invoice": "in_1Pgc6tB7WZ01zgkWu9fdqL6I", "status": "paid",
                "amount_paid": 4900, "payment": {"type": "payment_intent", "payment_intent": "pi_1"}
            }),
        );
        let edge = only!(facts("invoice_payment.paid", &edge), InvoicePayment);
        let old = told(SHAPES[0]);
        assert_eq!(
            (&edge.invoice, &edge.payment_intent),
            (&old.invoice, &old.payment_intent)
        );
        assert_eq!(edge.amount_paid, old.amount_paid);
    }
}

#[test]
fn a_charge_and_its_refund_are_the_same_in_four_shapes() {
    let charge = |shape: &str| -> ChargeFact {
        let mut patch = json!({
            "id": "ch_1", "payment_intent": "pi_1", "captured": true, "amount_captured": 100,
            "customer": "cus_1", "receipt_email": "ada@example.com"
        });
        if is_old(shape) {
            patch["invoice"] = json!("in_1");
        }
        only!(
            facts("charge.succeeded", &with(object(shape, "charge"), patch)),
            Charge
        )
    };
    let mut old = charge(SHAPES[0]);
    assert_eq!(old.invoice, "in_1");
    old.invoice.clear();
    let refund = |shape: &str| facts("refund.created", &object(shape, "refund"));
    let customer = |shape: &str| {
        let patch = json!({"email": "ada@example.com", "metadata": {"dubCustomerId": "user_7"}});
        facts("customer.updated", &with(object(shape, "customer"), patch))
    };
    for shape in &SHAPES[1..] {
        assert_eq!(charge(shape), old, "{shape}");
        assert_eq!(refund(shape), refund(SHAPES[0]), "{shape}");
        assert_eq!(customer(shape), customer(SHAPES[0]), "{shape}");
    }
}

#[test]
fn a_session_and_a_promotion_code_are_the_same_in_four_shapes() {
    let session = |shape: &str| {
        let coupon = json!({"id": "c20", "object": "coupon"});
        let patch = json!({
            "status": "complete", "payment_status": "paid", "amount_total": 4900, "currency": "usd",
            "currency_conversion": null, "total_details": {"amount_tax": 400},
            "discounts": [{"coupon": coupon, "promotion_code": "promo_1"}]
        });
        facts(
            "checkout.session.completed",
            &with(object(shape, "checkout.session"), patch),
        )
    };
    let code = |shape: &str| {
        let coupon = match shape {
            "2025-02-14_acacia" | "2025-03-25_basil" => json!({"coupon": {"id": "c20"}}),
            _ => json!({"promotion": {"type": "coupon", "coupon": "c20"}}),
        };
        facts(
            "promotion_code.updated",
            &with(object(shape, "promotion_code"), coupon),
        )
    };
    assert_eq!(only!(code(SHAPES[0]), PromotionCode).coupon, "c20");
    for shape in &SHAPES[1..] {
        assert_eq!(session(shape), session(SHAPES[0]), "{shape}");
        assert_eq!(code(shape), code(SHAPES[0]), "{shape}");
    }
}
