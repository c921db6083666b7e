//! Every payload under `tests/stripe`, and what it maps to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tributary_domain::normalize::{IGNORED, Outcome, REASONS};

use crate::support::{event, event_of, read, verdict};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stripe")
}

pub fn payload(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join(path)).unwrap()).unwrap()
}

fn files(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The verdict of each file of a folder of whole events.
fn events(folder: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for file in files(folder) {
        let body = std::fs::read(root().join(folder).join(&file)).unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        let record = event_of(value["type"].as_str().unwrap(), body);
        out.push((file.trim_end_matches(".json").to_owned(), verdict(&read(&record))));
    }
    out
}

fn check(found: &[(String, String)], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn events_of_2020_03_02() {
    check(
        &events("apache2_stripe-sync-engine_2020-03-02"),
        &[
            ("charge_dispute_closed", "Dispute"),
            ("charge_dispute_created", "Dispute"),
            ("charge_dispute_funds_withdrawn", "Dispute"),
            ("charge_refunded", "Charge + Refund"),
            ("charge_succeeded", "Charge"),
            ("checkout_session_completed", "Session"),
            ("coupon_created", "Coupon"),
            ("coupon_deleted", "Coupon"),
            ("coupon_updated", "Coupon"),
            ("credit_note_created", "CreditNote"),
            ("customer_deleted", "Customer"),
            ("customer_updated", "Customer"),
            ("invoice_finalized", "Invoice"),
            ("invoice_paid", "Invoice"),
            ("invoice_payment_paid", "InvoicePayment"),
            ("invoice_voided", "Invoice"),
            ("promotion_code_created", "PromotionCode"),
            ("promotion_code_updated", "PromotionCode"),
            ("refund_created", "Refund"),
            ("refund_failed", "Refund"),
            ("refund_updated", "Refund"),
            ("subscription_created", "Subscription"),
            ("subscription_deleted", "Subscription"),
            ("subscription_updated", "Subscription"),
        ],
    );
}

#[test]
fn events_of_2020_08_27() {
    check(
        &events("mit_stripe-ruby-mock_2020-08-27"),
        &[
            (
                "account.application.deauthorized",
                "missing_field: event.account: required, the connected account that the event is about",
            ),
            ("charge.dispute.created", "Dispute"),
            ("charge.refund.updated", "Refund"),
            ("charge.refunded", "Charge + Refund"),
            ("charge.succeeded", "Charge"),
            ("checkout.session.completed", "Session"),
            ("checkout.session.completed.payment_mode", "Session"),
            ("checkout.session.completed.setup_mode", "Session"),
            ("coupon.created", "Coupon"),
            ("coupon.deleted", "Coupon"),
            ("customer.created", "Customer"),
            ("customer.deleted", "Customer"),
            ("customer.discount.created", "ignored event_type"),
            ("customer.subscription.created", "Subscription"),
            ("customer.subscription.deleted", "Subscription"),
            ("customer.subscription.trial_will_end", "Subscription"),
            ("customer.subscription.updated", "Subscription"),
            ("customer.updated", "Customer"),
            ("invoice.created", "ignored event_type"),
            ("invoice.paid", "Invoice"),
            ("invoice.payment_failed", "ignored event_type"),
        ],
    );
}

#[test]
fn objects_of_pay() {
    let mut found = Vec::new();
    for (file, event_type) in [
        ("charge.refunded", "charge.refunded"),
        ("charge.updated", "charge.updated"),
        ("checkout.session.completed", "checkout.session.completed"),
        ("invoice", "invoice.paid"),
        ("invoice.payment_failed", "invoice.payment_failed"),
        ("invoice.upcoming", "invoice.upcoming"),
    ] {
        let value = payload(&format!("mit_pay-rails_objects/{file}.json"));
        let object = value.get("id").map_or(&value["object"], |_| &value);
        found.push((file.to_owned(), verdict(&read(&event(event_type, object)))));
    }
    assert_eq!(found.len(), files("mit_pay-rails_objects").len());
    check(
        &found,
        &[
            ("charge.refunded", "Charge + Refund"),
            ("charge.updated", "Charge"),
            ("checkout.session.completed", "Session"),
            ("invoice", "Invoice"),
            ("invoice.payment_failed", "ignored event_type"),
            ("invoice.upcoming", "ignored event_type"),
        ],
    );
}

/// Every kind of object in each of the four shapes, under an event that carries it.
#[test]
fn objects_of_four_shapes() {
    let types: BTreeMap<&str, &str> = [
        ("account", "account.updated"),
        ("charge", "charge.succeeded"),
        ("checkout.session", "checkout.session.completed"),
        ("coupon", "coupon.created"),
        ("credit_note", "credit_note.created"),
        ("customer", "customer.created"),
        ("discount", "customer.discount.created"),
        ("dispute", "charge.dispute.created"),
        ("event", "plan.created"),
        ("invoice", "invoice.finalized"),
        ("invoice_payment", "invoice_payment.paid"),
        ("invoiceitem", "invoiceitem.created"),
        ("item", "item.created"),
        ("line_item", "line_item.created"),
        ("payment_intent", "payment_intent.succeeded"),
        ("payment_link", "payment_link.created"),
        ("price", "price.created"),
        ("product", "product.created"),
        ("promotion_code", "promotion_code.created"),
        ("refund", "refund.created"),
        ("subscription", "customer.subscription.created"),
        ("subscription_item", "subscription_item.created"),
        ("tax_rate", "tax_rate.created"),
    ]
    .into();
    let folder = "mit_stripe-openapi_objects";
    let versions = files(folder);
    assert_eq!(versions.len(), 4);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &versions {
        for (kind, object) in payload(&format!("{folder}/{file}")).as_object().unwrap() {
            let verdict = verdict(&read(&event(types[kind.as_str()], object)));
            found.entry(kind.clone()).or_default().push(verdict);
        }
    }
    let found: Vec<(String, String)> = found
        .into_iter()
        .map(|(kind, verdicts)| {
            let count = verdicts.len();
            let mut distinct = verdicts;
            distinct.dedup();
            (kind, format!("{count} × {}", distinct.join(" | ")))
        })
        .collect();
    check(
        &found,
        &[
            ("account", "4 × ignored event_type"),
            ("charge", "4 × Charge"),
            ("checkout.session", "4 × Session"),
            ("coupon", "4 × Coupon"),
            ("credit_note", "4 × CreditNote"),
            ("customer", "4 × Customer"),
            ("discount", "4 × ignored event_type"),
            ("dispute", "4 × Dispute"),
            ("event", "4 × ignored event_type"),
            ("invoice", "4 × Invoice"),
            (
                "invoice_payment",
                "3 × missing_field: invoice_payment.payment.payment_intent: required (rule A3)",
            ),
            ("invoiceitem", "4 × ignored event_type"),
            ("item", "4 × ignored event_type"),
            ("line_item", "4 × ignored event_type"),
            ("payment_intent", "4 × PaymentIntent"),
            ("payment_link", "4 × ignored event_type"),
            ("price", "4 × Price"),
            ("product", "4 × Price"),
            ("promotion_code", "4 × PromotionCode"),
            ("refund", "4 × Refund"),
            ("subscription", "4 × Subscription"),
            ("subscription_item", "4 × ignored event_type"),
            ("tax_rate", "4 × ignored event_type"),
        ],
    );
}

/// The closed sets hold what the payloads, and only they, show.
#[test]
fn reasons_are_of_the_closed_sets() {
    let mut facts = 0;
    for folder in [
        "apache2_stripe-sync-engine_2020-03-02",
        "mit_stripe-ruby-mock_2020-08-27",
    ] {
        for file in files(folder) {
            let body = std::fs::read(root().join(folder).join(&file)).unwrap();
            let value: Value = serde_json::from_slice(&body).unwrap();
            match read(&event_of(value["type"].as_str().unwrap(), body)) {
                Ok(Outcome::Facts(all)) => {
                    assert!(!all.is_empty(), "{file}");
                    facts += all.len();
                }
                Ok(Outcome::Ignored(why)) => assert!(IGNORED.contains(&why), "{file}"),
                Err(rejection) => assert!(REASONS.contains(&rejection.reason), "{file}"),
            }
        }
    }
    // Counted by hand in the two tables above.
    assert_eq!(facts, 25 + 18);
    let unknown = read(&event("balance.available", &json!({"object": "balance"})));
    assert_eq!(verdict(&unknown), "ignored event_type");
}
