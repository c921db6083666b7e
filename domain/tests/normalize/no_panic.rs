//! Whatever comes, the mapping answers: arbitrary bytes, arbitrary JSON, and real objects with one
//! field replaced. And whatever it answers, no address stands in a fact.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tributary_domain::normalize::{IGNORED, Outcome, REASONS, Rejection};

use crate::payloads::payload;
use crate::support::{event, event_of, read};

const TYPES: [(&str, &str); 11] = [
    ("customer.updated", "customer"),
    ("checkout.session.completed", "checkout.session"),
    ("invoice.paid", "invoice"),
    ("invoice_payment.paid", "invoice_payment"),
    ("charge.refunded", "charge"),
    ("payment_intent.succeeded", "payment_intent"),
    ("refund.updated", "refund"),
    ("promotion_code.created", "promotion_code"),
    ("charge.dispute.created", "dispute"),
    ("customer.subscription.updated", "subscription"),
    ("credit_note.created", "credit_note"),
];

fn closed(outcome: &Result<Outcome, Rejection>) {
    match outcome {
        Ok(Outcome::Facts(facts)) => {
            assert!(!facts.is_empty());
            for fact in facts {
                assert_eq!((fact.id.len(), fact.workspace.as_str()), (32, "acme"));
                let text = serde_json::to_string(fact).unwrap();
                assert!(!text.contains("ada@example.com"), "{text}");
            }
        }
        Ok(Outcome::Ignored(why)) => assert!(IGNORED.contains(why)),
        Err(rejection) => {
            assert!(REASONS.contains(&rejection.reason));
            assert!(!rejection.detail.contains("ada@example.com"));
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("ada@example.com")),
        Just(json!("12")),
        ".{0,8}".prop_map(Value::from),
    ];
    let keys = prop_oneof![
        Just("id".to_owned()),
        Just("data".to_owned()),
        Just("object".to_owned()),
        Just("amount".to_owned()),
        Just("metadata".to_owned()),
        Just("dubCustomerId".to_owned()),
        "[a-z_]{1,8}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The paths of all values, as pointers.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, v)| pointers(v, &format!("{at}/{key}"), out)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

fn real(kind: &str) -> Value {
    payload("mit_stripe-openapi_objects/2026-08-21_latest.json")[kind].clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes(body in prop::collection::vec(any::<u8>(), 0..200), which in 0..TYPES.len()) {
        closed(&read(&event_of(TYPES[which].0, body)));
    }

    #[test]
    fn json_of_any_form(value in any_json(), which in 0..TYPES.len()) {
        closed(&read(&event_of(TYPES[which].0, serde_json::to_vec(&value).unwrap())));
        closed(&read(&event(TYPES[which].0, &value)));
    }

    #[test]
    fn real_objects_with_fields_replaced(
        which in 0..TYPES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4),
    ) {
        let (event_type, kind) = TYPES[which];
        let mut object = real(kind);
        for (index, new) in changes {
            let mut all = Vec::new();
            pointers(&object, "", &mut all);
            let at = index.get(&all);
            if let Some(place) = object.pointer_mut(at) {
                *place = new;
            }
        }
        closed(&read(&event(event_type, &object)));
    }

    #[test]
    fn addresses_in_metadata_and_references(name in "[a-zA-Z]{1,9}", before in "[ a-z:<]{0,3}", after in "[ >.,a-z]{0,3}") {
        let text = format!("{before} ada@example.com {after}");
        let object = json!({
            "id": "cs_1", "currency": "usd", "amount_total": 1, "client_reference_id": text,
            "metadata": {name: text, "dubCustomerId": text, "tributaryCoupon": text}
        });
        closed(&read(&event("checkout.session.completed", &object)));
    }
}
