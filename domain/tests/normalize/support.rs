//! What the tests share: a workspace, events around objects, and facts taken apart.

use serde_json::{Value, json};
use tributary_avro::{Body, Fact, StripeEvent};
use tributary_domain::mail::MailKey;
use tributary_domain::normalize::{self, Context, Outcome, Rejection};
use tributary_domain::rules::Workspace;

pub const CLICK: &str = "0123456789abcdEF";
pub const CREATED: i64 = 1_700_000_000_000;

pub fn mail() -> MailKey {
    MailKey::new("a key for tests")
}

pub fn hash(address: &str) -> String {
    mail().hash(address).unwrap()
}

pub fn workspace(more: Value) -> Workspace {
    let mut document = json!({"id": "acme"});
    merge(&mut document, more);
    serde_json::from_value(document).unwrap()
}

/// Sets the fields of `patch` in `value`, objects field by field.
pub fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(value), Value::Object(patch)) => {
            for (key, patch) in patch {
                merge(value.entry(key).or_insert(Value::Null), patch);
            }
        }
        (value, patch) => *value = patch,
    }
}

pub fn with(mut value: Value, patch: Value) -> Value {
    merge(&mut value, patch);
    value
}

pub fn event_of(event_type: &str, body: Vec<u8>) -> StripeEvent {
    StripeEvent {
        id: "evt_1".into(),
        event_type: event_type.into(),
        workspace: "acme".into(),
        mode: "live".into(),
        created: CREATED,
        body,
        ..Default::default()
    }
}

pub fn event(event_type: &str, object: &Value) -> StripeEvent {
    let body = json!({"id": "evt_1", "object": "event", "type": event_type, "data": {"object": object}});
    event_of(event_type, serde_json::to_vec(&body).unwrap())
}

pub fn read_in(settings: &Workspace, event: &StripeEvent) -> Result<Outcome, Rejection> {
    let context = Context {
        settings: Some(settings),
        mail: &mail(),
    };
    normalize::stripe(event, &context)
}

pub fn read(event: &StripeEvent) -> Result<Outcome, Rejection> {
    read_in(&workspace(json!({})), event)
}

pub fn facts_in(settings: &Workspace, event: &StripeEvent) -> Vec<Fact> {
    match read_in(settings, event).unwrap() {
        Outcome::Facts(facts) => facts,
        Outcome::Ignored(why) => panic!("ignored: {why}"),
    }
}

pub fn facts(event_type: &str, object: &Value) -> Vec<Fact> {
    facts_in(&workspace(json!({})), &event(event_type, object))
}

/// The name of what a fact states.
pub fn name(body: &Body) -> String {
    let text = format!("{body:?}");
    text.split('(').next().unwrap().to_owned()
}

/// One line that says what became of a record.
pub fn verdict(outcome: &Result<Outcome, Rejection>) -> String {
    match outcome {
        Ok(Outcome::Facts(facts)) => {
            let names: Vec<String> = facts.iter().map(|fact| name(&fact.body)).collect();
            names.join(" + ")
        }
        Ok(Outcome::Ignored(why)) => format!("ignored {why}"),
        Err(rejection) => rejection.to_string(),
    }
}

pub fn invoice() -> Value {
    json!({
        "id": "in_1", "object": "invoice", "status": "paid", "currency": "EUR", "customer": "cus_1",
        "customer_email": "Ada+shop@Example.com", "billing_reason": "subscription_create",
        "amount_paid": 10_000, "total": 10_000, "lines": {"data": []}
    })
}

pub fn session() -> Value {
    json!({
        "id": "cs_1", "object": "checkout.session", "mode": "payment", "status": "complete",
        "payment_status": "paid", "currency": "usd", "amount_total": 5000, "customer": "cus_1",
        "payment_intent": "pi_1"
    })
}

/// The body of the only fact, of one kind.
#[macro_export]
macro_rules! only {
    ($facts:expr, $kind:ident) => {{
        let facts = $facts;
        assert_eq!(facts.len(), 1, "{facts:#?}");
        match &facts[0].body {
            tributary_avro::Body::$kind(body) => (**body).clone(),
            other => panic!("not one {}: {other:?}", stringify!($kind)),
        }
    }};
}
