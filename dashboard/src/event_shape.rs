//! Events in the whole shape that the `dub` SDKs check for: each with click, link and customer, and with the flat fields
//! of before there were these.
//!
//! Invariant: what the ledger does not know is an empty text here, as the SDKs take no null; nothing is guessed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Texts of a click. An address is in no record, so that `ip` is always empty.
const CLICK: [&str; 14] = [
    "id",
    "timestamp",
    "url",
    "country",
    "region",
    "city",
    "continent",
    "device",
    "browser",
    "os",
    "trigger",
    "referer",
    "refererUrl",
    "ip",
];

/// Flat fields, each with the part and field that it repeats.
const FLAT: [(&str, &str, &str); 12] = [
    ("click_id", "click", "id"),
    ("link_id", "link", "id"),
    ("domain", "link", "domain"),
    ("key", "link", "key"),
    ("url", "click", "url"),
    ("continent", "click", "continent"),
    ("country", "click", "country"),
    ("city", "click", "city"),
    ("device", "click", "device"),
    ("browser", "click", "browser"),
    ("os", "click", "os"),
    ("ip", "click", "ip"),
];

/// The event with its whole link, and with the customer by the ID that it names.
pub fn complete(event: Value, link: Value, customers: &BTreeMap<String, Value>) -> Value {
    let Value::Object(mut event) = event else {
        return event;
    };
    fill_click(&mut event);
    event.insert("link".to_owned(), link);
    let named = text(&event, "customer", "externalId");
    if event.contains_key("customer") {
        let customer = customers.get(&named).cloned();
        let nobody = || json!({"id": named, "externalId": named, "name": null, "email": null, "createdAt": event.get("timestamp")});
        let customer = customer.unwrap_or_else(nobody);
        event.insert("customer".to_owned(), customer);
    }
    for (flat, part, field) in FLAT {
        let value = text(&event, part, field);
        event.insert(flat.to_owned(), value.into());
    }
    let qr = event.get("click").and_then(|click| click.get("qr")) == Some(&Value::Bool(true));
    event.insert("qr".to_owned(), i32::from(qr).into());
    event.insert("metadata".to_owned(), Value::Null);
    if let Some(amount) = event.get("sale").and_then(|sale| sale.get("amount")).cloned() {
        event.insert("saleAmount".to_owned(), amount);
        for (flat, field) in [
            ("invoice_id", "invoiceId"),
            ("payment_processor", "paymentProcessor"),
        ] {
            let value = text(&event, "sale", field);
            event.insert(flat.to_owned(), value.into());
        }
    }
    Value::Object(event)
}

fn fill_click(event: &mut Map<String, Value>) {
    let mut click = match event.remove("click") {
        Some(Value::Object(click)) => click,
        _ => Map::new(),
    };
    for name in CLICK {
        click.entry(name).or_insert_with(|| "".into());
    }
    click.entry("qr").or_insert_with(|| false.into());
    event.insert("click".to_owned(), Value::Object(click));
}

fn text(event: &Map<String, Value>, part: &str, field: &str) -> String {
    let value = event.get(part).and_then(|part| part.get(field));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
