//! What is refused, and what is said about it.

use serde_json::{Value, json};
use tributary_avro::StripeEvent;
use tributary_domain::normalize::{self, Context, REASONS};

use crate::support::{event, event_of, mail, read, read_in, verdict, with, workspace};

fn refused(outcome: &str, expected: &str) {
    assert!(outcome.starts_with(expected), "{outcome:?} is not {expected:?}");
    let reason = outcome.split(':').next().unwrap();
    assert!(REASONS.contains(&reason), "{outcome:?}");
}

#[test]
fn bodies_that_are_no_snapshot_event() {
    let bodies: [(&[u8], &str); 9] = [
        (b"", "invalid_json: event body"),
        (b"{", "invalid_json: event body"),
        (b"\xff\xfe{}", "invalid_json: event body"),
        (
            b"{\"data\":{\"object\":{\"id\":\"\xff\"}}}",
            "invalid_json: event body",
        ),
        (b"[]", "invalid_json: event body"),
        (b"{}", "thin_event: event.data.object"),
        (
            b"{\"data\":{\"object\":\"cus_1\"}}",
            "thin_event: event.data.object",
        ),
        (
            b"{\"object\":\"v2.core.event\",\"data\":{\"object\":{}}}",
            "thin_event: event.data.object",
        ),
        (
            b"{\"object\":\"v2.core.event\",\"related_object\":{\"id\":\"cus_1\"}}",
            "thin_event: event.data.object",
        ),
    ];
    for (body, expected) in bodies {
        refused(
            &verdict(&read(&event_of("customer.created", body.to_vec()))),
            expected,
        );
    }
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    refused(
        &verdict(&read(&event_of("customer.created", deep))),
        "invalid_json",
    );
}

#[test]
fn events_of_nobody() {
    let record = event("customer.created", &json!({"id": "cus_1"}));
    let context = Context {
        settings: None,
        mail: &mail(),
    };
    refused(
        &verdict(&normalize::stripe(&record, &context)),
        "unknown_workspace: event.workspace",
    );
    let foreign = StripeEvent {
        account: "acct_2".into(),
        ..record
    };
    let closed = workspace(json!({"stripe_accounts": ["acct_1"]}));
    refused(
        &verdict(&read_in(&closed, &foreign)),
        "unknown_account: event.account",
    );
    assert_eq!(
        verdict(&read(&foreign)),
        "Customer",
        "no list: every account of the endpoint"
    );
}

#[test]
fn objects_that_lack_what_they_need() {
    let invoice = json!({"id": "in_1", "object": "invoice", "currency": "usd", "amount_paid": 1, "total": 1});
    let session = json!({"id": "cs_1", "amount_total": 1, "currency": "usd"});
    let charge = json!({"id": "ch_1", "amount": 1, "currency": "usd"});
    let intent = json!({"id": "pi_1", "amount": 1, "currency": "usd", "status": "succeeded"});
    let refund = json!({"id": "re_1", "charge": "ch_1", "amount": 1, "currency": "usd"});
    let edge = json!({"id": "inpay_1", "invoice": "in_1", "status": "paid",
        "payment": {"type": "charge", "charge": "ch_1"}});
    let code = json!({"id": "promo_1", "code": "SAVE"});
    let customer = json!({"id": "cus_1"});
    let whole = [
        ("invoice.paid", &invoice),
        ("checkout.session.completed", &session),
        ("charge.succeeded", &charge),
        ("payment_intent.succeeded", &intent),
        ("refund.created", &refund),
        ("invoice_payment.paid", &edge),
        ("promotion_code.created", &code),
        ("customer.created", &customer),
    ];
    for (event_type, object) in whole {
        assert!(read(&event(event_type, object)).is_ok(), "{event_type}");
        let expected = "missing_field: ";
        refused(
            &verdict(&read(&event(
                event_type,
                &with(object.clone(), json!({"id": null})),
            ))),
            expected,
        );
        let other = with(object.clone(), json!({"object": "plan"}));
        refused(&verdict(&read(&event(event_type, &other))), "invalid_field: ");
        let long = with(object.clone(), json!({"id": "x".repeat(300)}));
        refused(&verdict(&read(&event(event_type, &long))), "invalid_field: ");
    }
    let table: [(&str, &Value, Value, &str); 20] = [
        (
            "invoice.paid",
            &invoice,
            json!({"amount_paid": null}),
            "missing_field: invoice.amount_paid",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"total": null}),
            "missing_field: invoice.total",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"currency": null}),
            "missing_field: invoice.currency",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"currency": "euros"}),
            "invalid_field: invoice.currency",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"amount_paid": -1}),
            "negative_amount: invoice.amount_paid",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"total": "12.50"}),
            "invalid_field: invoice.total",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"total": {}}),
            "invalid_field: invoice.total",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"total": u64::MAX}),
            "amount_out_of_range: invoice.total",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"total": i64::MIN}),
            "amount_out_of_range: invoice.total",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"total": "9".repeat(60)}),
            "invalid_field: invoice.total",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"lines": {"data": [{"quantity": 1}]}}),
            "missing_field: invoice.lines.amount",
        ),
        (
            "invoice.paid",
            &invoice,
            json!({"lines": {"data": [{"amount": 1, "discount_amounts": [{"amount": i64::MAX}]}]}}),
            "amount_out_of_range: invoice.lines.amount",
        ),
        (
            "checkout.session.completed",
            &session,
            json!({"amount_total": -5}),
            "negative_amount: session.amount_total",
        ),
        (
            "checkout.session.completed",
            &session,
            json!({"currency": null}),
            "missing_field: session.currency",
        ),
        (
            "charge.succeeded",
            &charge,
            json!({"amount": null}),
            "missing_field: charge.amount",
        ),
        (
            "charge.refunded",
            &charge,
            json!({"amount_refunded": -1}),
            "negative_amount: charge.amount_refunded",
        ),
        (
            "payment_intent.succeeded",
            &intent,
            json!({"status": null}),
            "missing_field: payment_intent.status",
        ),
        (
            "refund.created",
            &refund,
            json!({"currency": null}),
            "missing_field: refund.currency",
        ),
        (
            "invoice_payment.paid",
            &edge,
            json!({"payment": null}),
            "missing_field: invoice_payment.payment.payment_intent",
        ),
        (
            "promotion_code.created",
            &code,
            json!({"code": ""}),
            "missing_field: promotion_code.code",
        ),
    ];
    for (event_type, object, patch, expected) in table {
        refused(
            &verdict(&read(&event(event_type, &with(object.clone(), patch)))),
            expected,
        );
    }
}

#[test]
fn many_amounts_do_not_overflow() {
    let taxes = vec![json!({"amount": 10_000_000_000_000_i64}); 20_000];
    let invoice =
        json!({"id": "in_1", "currency": "usd", "amount_paid": 1, "total": 1, "total_taxes": taxes});
    refused(
        &verdict(&read(&event("invoice.paid", &invoice))),
        "amount_out_of_range: invoice.total_taxes",
    );
}
