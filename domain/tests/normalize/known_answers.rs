//! Amounts, lines and edges worked out by hand.

use serde_json::json;
use tributary_avro::{Body, DiscountRef, Line};

use crate::only;
use crate::payloads::payload;
use crate::support::{CREATED, event, facts, hash, invoice, session, with};

// 17400 − 1740 and 8700 − 870 − 783, tax on top; both generations of fields stand side by side.
#[test]
fn lines_of_a_real_invoice_with_two_discounts_and_tax_on_top() {
    let told = only!(
        facts("invoice.paid", &payload("mit_pay-rails_objects/invoice.json")),
        Invoice
    );
    let line = |id: &str, quantity, amount| Line {
        product: "prod_IxQQWtyij0rvGp".into(),
        quantity,
        amount,
        id: id.into(),
        ..Default::default()
    };
    assert_eq!(
        told.lines,
        [
            line("il_1RFFqsKXBGcbgpbZq0f1BMVv", 6, 15_660),
            line("il_1RFFq0KXBGcbgpbZPuBYsvfv", 3, 7047)
        ]
    );
    assert_eq!(told.total_excluding_tax, Some(15_660 + 7047));
    assert_eq!((told.total, told.tax, told.amount_paid), (24_512, 1805, 24_512));
    assert_eq!(told.paid_at, Some(1_744_986_363_000));
    assert_eq!(told.charge, "ch_3RFFrjKXBGcbgpbZ0g57Qovb");
    assert_eq!(told.payment_intent, "pi_3RFFrjKXBGcbgpbZ0mAQxeI1");
    assert_eq!(told.customer.stripe, "/cus_S9YwWMaQEgeJYO");
    assert_eq!(told.customer.mail, hash("buyer@example.com"));
    let discount = DiscountRef {
        coupon: "10OFF".into(),
        ..Default::default()
    };
    assert_eq!(told.discounts, [discount]);
    assert!(!told.lines_cut);
}

// 11900 gross with 19 % inside; 10 % off first: 11900 − 1190 = 10710, of it 1710 tax.
#[test]
fn inclusive_tax_discount_and_credit_leave_the_line() {
    let line = json!({
        "amount": 11_900, "quantity": "2", "discount_amounts": [{"amount": 1190, "discount": "di_1"}],
        "pretax_credit_amounts": [
            {"type": "discount", "amount": 1190}, {"type": "credit_balance_transaction", "amount": 500}
        ]
    });
    let old = with(
        line.clone(),
        json!({"plan": {"product": "prod_a"}, "tax_amounts": [
            {"amount": "1710", "inclusive": true}, {"amount": 7, "inclusive": false}
        ]}),
    );
    let new = with(
        line,
        json!({"pricing": {"price_details": {"product": "prod_a"}}, "taxes": [
            {"amount": 1710, "tax_behavior": "inclusive"}, {"amount": 7, "tax_behavior": "exclusive"}
        ]}),
    );
    let proration = json!({"amount": -300, "price": {"product": {"id": "prod_b", "object": "product"}}});
    for first in [old, new] {
        let object = with(
            invoice(),
            json!({"lines": {"data": [first, proration.clone()], "has_more": true}}),
        );
        let told = only!(facts("invoice.paid", &object), Invoice);
        assert_eq!(
            told.lines,
            [
                Line {
                    product: "prod_a".into(),
                    quantity: 2,
                    amount: 11_900 - 1190 - 500 - 1710,
                    ..Default::default()
                },
                Line {
                    product: "prod_b".into(),
                    quantity: 1,
                    amount: -300,
                    ..Default::default()
                }
            ]
        );
        assert!(told.lines_cut);
        assert_eq!(told.currency, "eur");
        assert_eq!(told.total_excluding_tax, None);
        assert_eq!(told.paid_at, Some(CREATED), "an event of payment tells its time");
        assert_eq!(told.customer.mail, hash("ada@example.com"));
    }
}

#[test]
fn tax_is_summed_from_whichever_field_tells_it() {
    for (more, tax) in [
        (json!({"tax": 190}), 190),
        (
            json!({"tax": 1, "total_tax_amounts": [{"amount": 100}, {"amount": 90}]}),
            190,
        ),
        (
            json!({"total_taxes": [{"amount": 190, "tax_behavior": "inclusive"}]}),
            190,
        ),
        (json!({"total_taxes": null}), 0),
    ] {
        let told = only!(facts("invoice.paid", &with(invoice(), more)), Invoice);
        assert_eq!(told.tax, tax);
    }
}

#[test]
fn adaptive_pricing_keeps_both_currencies() {
    let object = with(
        session(),
        json!({
            "currency": "eur", "amount_total": 4600, "total_details": {"amount_tax": 600},
            "currency_conversion": {
                "amount_subtotal": 5000, "amount_total": 5000, "fx_rate": "0.92", "source_currency": "usd"
            }
        }),
    );
    let told = only!(facts("checkout.session.completed", &object), Session);
    assert_eq!((told.amount_total, told.amount_tax), (Some(4600), 600));
    assert_eq!(told.currency, "eur");
    assert_eq!(
        (told.source_amount_total, told.source_currency.as_str()),
        (Some(5000), "usd")
    );
}

#[test]
fn line_items_are_net_of_tax() {
    let object = with(
        session(),
        json!({"line_items": {"data": [
            {"amount_total": 1190, "amount_tax": 190, "quantity": 3, "price": {"product": "prod_a"}}
        ]}}),
    );
    let told = only!(facts("checkout.session.completed", &object), Session);
    let line = Line {
        product: "prod_a".into(),
        quantity: 3,
        amount: 1000,
        ..Default::default()
    };
    assert_eq!(told.lines, [line]);
}

#[test]
fn refunds_within_a_charge_are_facts_of_their_own() {
    let all = facts(
        "charge.refunded",
        &json!({
            "id": "ch_1", "object": "charge", "amount": 100, "currency": "usd", "status": "succeeded",
            "amount_refunded": 30, "payment_intent": "pi_1",
            "refunds": {"data": [{"id": "re_1", "amount": 30, "status": "pending", "created": 5}]}
        }),
    );
    assert_eq!(all.len(), 2);
    let alone = facts(
        "refund.created",
        &json!({"id": "re_1", "object": "refund", "amount": "30", "status": "pending", "created": 5,
            "charge": "ch_1", "payment_intent": {"id": "pi_1"}, "currency": "usd"}),
    );
    assert_eq!(all[1], alone[0], "the same statement is the same fact");
    let cash = crate::support::read(&event(
        "refund.created",
        &json!({"id": "re_2", "amount": 30, "currency": "usd", "status": "succeeded"}),
    ));
    assert_eq!(crate::support::verdict(&cash), "ignored refund_without_payment");
}

// The balance is kept in another currency, with fees of its own: only where the money went is read of it.
#[test]
fn where_the_money_of_a_dispute_went() {
    let dispute = |event_type: &str, status: &str, moved: serde_json::Value| {
        let object = json!({"id": "dp_1", "object": "dispute", "amount": 1000, "currency": "eur", "status": status,
            "charge": {"id": "ch_1"}, "payment_intent": "pi_1", "created": 5, "reason": "fraudulent",
            "balance_transactions": moved});
        let told = only!(facts(event_type, &object), Dispute);
        assert_eq!(
            (told.charge.as_str(), told.payment_intent.as_str()),
            ("ch_1", "pi_1")
        );
        assert_eq!(
            (told.amount, told.currency.as_str(), told.status.as_str()),
            (1000, "eur", status)
        );
        assert_eq!((told.reason.as_str(), told.created), ("fraudulent", 5000));
        told.funds.clone()
    };
    let gone = json!({"amount": -1083, "fee": 1500, "net": -2583, "currency": "usd"});
    let back = json!({"amount": 1083, "fee": 0, "net": 1083, "currency": "usd"});
    let created = "charge.dispute.created";
    assert_eq!(dispute(created, "needs_response", json!([])), "");
    assert_eq!(dispute(created, "needs_response", json!([gone])), "withdrawn");
    assert_eq!(
        dispute("charge.dispute.closed", "won", json!([gone, back])),
        "reinstated"
    );
    let withdrawn = "charge.dispute.funds_withdrawn";
    assert_eq!(dispute(withdrawn, "needs_response", json!(null)), "withdrawn");
    let reinstated = "charge.dispute.funds_reinstated";
    assert_eq!(dispute(reinstated, "won", json!(null)), "reinstated");
    let nobodys =
        json!({"id": "dp_1", "object": "dispute", "amount": 1, "currency": "usd", "status": "lost"});
    let verdict = crate::support::verdict(&crate::support::read(&event(created, &nobodys)));
    assert_eq!(verdict, "missing_field: dispute.charge: required (rule A3)");
}

#[test]
fn payments_within_an_invoice_are_edges() {
    let all = facts(
        "invoice.paid",
        &with(
            invoice(),
            json!({"payments": {"data": [
                {"id": "inpay_1", "amount_paid": 4000, "status": "paid",
                    "payment": {"type": "payment_intent", "payment_intent": "pi_1"}},
                {"id": "inpay_2", "amount_paid": 6000, "status": "paid",
                    "payment": {"type": "charge", "charge": {"id": "ch_2"}}},
                {"id": "inpay_3", "amount_paid": 0, "status": "paid",
                    "payment": {"type": "payment_record", "payment_record": "pr_1"}}
            ]}}),
        ),
    );
    let edges: Vec<_> = all
        .iter()
        .filter_map(|fact| match &fact.body {
            Body::InvoicePayment(edge) => Some((
                edge.invoice.as_str(),
                edge.payment_intent.as_str(),
                edge.charge.as_str(),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(edges, [("in_1", "pi_1", ""), ("in_1", "", "ch_2")]);
    let detached = facts(
        "invoice_payment.detached",
        &json!({"id": "inpay_1", "invoice": "in_1", "status": "open",
            "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}),
    );
    assert_eq!(only!(detached, InvoicePayment).status, "canceled");
}

#[test]
fn a_session_of_2019_says_what_it_can() {
    let told = only!(
        facts(
            "checkout.session.completed",
            &json!({"id": "cs_1", "object": "checkout.session", "customer": "cus_1", "subscription": "sub_1"})
        ),
        Session
    );
    assert_eq!(told.session_mode, "subscription");
    assert_eq!(
        (told.status.as_str(), told.payment_status.as_str()),
        ("complete", "paid")
    );
    assert_eq!(told.amount_total, None);
    let failed = with(session(), json!({"payment_status": "unpaid"}));
    assert!(only!(facts("checkout.session.async_payment_failed", &failed), Session).failed);
}

#[test]
fn promotion_codes_name_their_coupon_in_every_shape() {
    let base = json!({"id": "promo_1", "object": "promotion_code", "code": "SAVE20", "customer": "cus_1"});
    for more in [
        json!({"coupon": {"id": "c20"}, "active": true}),
        json!({"coupon": "c20"}),
        json!({"promotion": {"type": "coupon", "coupon": "c20"}}),
        json!({"promotion": {"coupon": {"id": "c20"}}}),
    ] {
        let told = only!(
            facts("promotion_code.created", &with(base.clone(), more)),
            PromotionCode
        );
        assert_eq!(
            (told.code.as_str(), told.coupon.as_str(), told.active),
            ("SAVE20", "c20", true)
        );
        assert_eq!(told.restricted_to, "/cus_1");
    }
    let gone = with(base, json!({"active": true}));
    assert!(!only!(facts("promotion_code.deleted", &gone), PromotionCode).active);
}
