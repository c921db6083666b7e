//! Schemas as JSON: their records, and a smaller schema with the fields that have no default.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Every record of a schema by name.
pub fn records(schema: &Value) -> BTreeMap<String, &Value> {
    let mut found = BTreeMap::new();
    collect(schema, &mut found);
    found
}

fn collect<'a>(schema: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| collect(branch, found)),
        Value::Object(object) => {
            if object.get("type") == Some(&json!("record")) {
                found.insert(schema["name"].as_str().unwrap().to_owned(), schema);
                fields(schema).for_each(|field| collect(&field["type"], found));
            } else {
                ["type", "items", "values"]
                    .iter()
                    .filter_map(|part| object.get(*part))
                    .for_each(|part| collect(part, found));
            }
        }
        _ => {}
    }
}

/// The fields of a record.
pub fn fields(record: &Value) -> impl Iterator<Item = &Value> {
    record["fields"].as_array().unwrap().iter()
}

/// The schema without its fields that have a default. `inner`: those that hold records stay, so that the
/// records within lose theirs.
pub fn without_defaults(schema: &Value, inner: bool) -> Value {
    let all = records(schema).into_keys().collect::<Vec<_>>();
    cut(schema, inner, &all)
}

fn cut(schema: &Value, inner: bool, records: &[String]) -> Value {
    match schema {
        Value::Array(branches) => branches
            .iter()
            .map(|branch| cut(branch, inner, records))
            .collect(),
        Value::Object(object) => {
            let mut out = Map::new();
            for (name, value) in object {
                let value = match (name.as_str(), value) {
                    ("fields", Value::Array(fields)) => fields
                        .iter()
                        .filter(|field| {
                            field.get("default").is_none() || (inner && holds_record(&field["type"], records))
                        })
                        .map(|field| {
                            json!({"name": field["name"], "type": cut(&field["type"], inner, records)})
                        })
                        .collect(),
                    ("type" | "items" | "values", part) => cut(part, inner, records),
                    _ => value.clone(),
                };
                out.insert(name.clone(), value);
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

fn holds_record(schema: &Value, records: &[String]) -> bool {
    match schema {
        Value::String(name) => records.contains(name),
        Value::Array(branches) => branches.iter().any(|branch| holds_record(branch, records)),
        _ => {
            schema["type"] == json!("record")
                || schema
                    .get("items")
                    .is_some_and(|items| holds_record(items, records))
        }
    }
}
