//! The contract holds together: schemas, old versions, Rust types, examples and topic cards say the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "contract/sample.rs"]
mod sample;
#[path = "contract/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use serde::Deserialize;
use serde_json::{Value, json};
use tributary_avro::{
    Click, Commission, Config, Conversion, DeadLetter, Decoder, Encoder, Fact, Person, Record, Refund,
    Retention, StripeEvent, Topic, Track,
};

/// Does the same for every schema: its name, and its Rust type.
macro_rules! for_each_schema {
    ($do:ident) => {
        $do::<Click>("click");
        $do::<Track>("track");
        $do::<StripeEvent>("stripe_event");
        $do::<Config>("config");
        $do::<Person>("person");
        $do::<Fact>("fact");
        $do::<Conversion>("conversion");
        $do::<Refund>("refund");
        $do::<Commission>("commission");
        $do::<DeadLetter>("dead_letter");
    };
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Names of the files in a folder, without this ending.
fn files(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
        .collect()
}

fn schema_names() -> BTreeSet<String> {
    files("schemas", ".avsc")
}

fn schema(name: &str) -> String {
    read(&root().join(format!("schemas/{name}.avsc")))
}

/// Versions of a schema that were ever in use, with their text.
fn old_versions(name: &str) -> Vec<(usize, String)> {
    let all = files("schemas/old", ".avsc");
    let versions = (1..)
        .map(|number| format!("{name}.v{number}"))
        .take_while(|file| all.contains(file));
    let texts = versions.map(|file| read(&root().join(format!("schemas/old/{file}.avsc"))));
    texts.enumerate().map(|(index, text)| (index + 1, text)).collect()
}

fn decoder<T: Record>(id: u32, schema: &str) -> Decoder<T> {
    let mut decoder = Decoder::default();
    decoder.add(id, schema).unwrap();
    decoder
}

fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    topic: String,
    purpose: String,
    schema: String,
    key: String,
    partitions: Value,
    kept: String,
    compacted: bool,
    headers: Vec<String>,
    producers: Vec<String>,
    consumers: Vec<String>,
    guarantees: Vec<String>,
}

#[test]
fn topics_cards_and_schemas_are_the_same_set() {
    let topics: BTreeSet<String> = Topic::ALL.iter().map(|topic| topic.name().to_owned()).collect();
    assert_eq!(topics.len(), Topic::ALL.len());
    assert_eq!(files("topics", ".yaml"), topics);
    let mut used = BTreeSet::new();
    for topic in Topic::ALL {
        let text = read(&root().join(format!("topics/{}.yaml", topic.name())));
        let card: Card =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", topic.name()));
        assert_eq!(card.topic, topic.name());
        assert_eq!(
            json_of(&schema(&card.schema)),
            json_of(topic.schema()),
            "{}",
            card.topic
        );
        let kept = match topic.retention() {
            Retention::Forever => "for ever".to_owned(),
            Retention::Compacted => "latest of each key".to_owned(),
            Retention::Days(days) => format!("{days} days"),
            Retention::WindowAnd30Days => "window + 30 days".to_owned(),
        };
        assert_eq!(
            (card.kept, card.compacted),
            (kept, topic.retention() == Retention::Compacted),
            "{}",
            card.topic
        );
        assert!(
            !card.purpose.is_empty() && !card.key.is_empty() && !card.guarantees.is_empty(),
            "{}",
            card.topic
        );
        assert!(
            card.partitions.get("setting").is_some() != card.partitions.get("fixed").is_some(),
            "{}",
            card.topic
        );
        assert_eq!(
            card.producers.is_empty(),
            card.consumers.is_empty(),
            "{}: one-sided",
            card.topic
        );
        let known = ["event-type", "workspace", "mode"];
        assert!(
            card.headers.is_empty() || card.headers == known,
            "{}: {:?}",
            card.topic,
            card.headers
        );
        used.insert(card.schema);
    }
    assert_eq!(used, schema_names());
}

#[test]
fn every_record_and_field_says_what_it_is() {
    for name in schema_names() {
        let schema = json_of(&schema(&name));
        for (record, definition) in schema::records(&schema) {
            let doc = |of: &Value| of["doc"].as_str().is_some_and(|doc| !doc.trim().is_empty());
            assert!(doc(definition), "{name}: record {record} has no doc");
            for field in schema::fields(definition) {
                assert!(doc(field), "{name}: {record}.{} has no doc", field["name"]);
            }
        }
    }
}

#[test]
fn times_and_money_say_their_unit() {
    for name in schema_names() {
        let schema = json_of(&schema(&name));
        for (record, definition) in schema::records(&schema) {
            for field in schema::fields(definition) {
                let (field_name, doc) = (field["name"].as_str().unwrap(), field["doc"].as_str().unwrap());
                let is_long = field["type"] == json!("long") || field["type"] == json!(["null", "long"]);
                let is_time = ["at", "from", "created", "received"].contains(&field_name)
                    || field_name.ends_with("_at");
                let is_money =
                    field_name.contains("amount") || ["tax", "total", "commission"].contains(&field_name);
                let unit = match (is_time, is_money) {
                    (true, _) => "UTC milliseconds",
                    (_, true) => "minor units",
                    _ => continue,
                };
                // What is said of a whole payment may say "as paid", "in the source currency".
                let says = doc.contains(unit) || (is_money && doc.contains("currency"));
                assert!(
                    !is_long || says,
                    "{name}: {record}.{field_name} does not say {unit}: {doc}"
                );
            }
        }
    }
}

#[test]
fn every_version_in_use_is_frozen_and_readable() {
    fn check<T: Record>(name: &str) {
        let versions = old_versions(name);
        let today = schema(name);
        let (_, latest) = versions
            .last()
            .unwrap_or_else(|| panic!("schemas/old/{name}.v1.avsc is missing"));
        let next = versions.len() + 1;
        assert_eq!(
            json_of(latest),
            json_of(&today),
            "{name}.avsc differs from its last version: freeze it as schemas/old/{name}.v{next}.avsc as well"
        );
        let reader = Schema::parse_str(&today).unwrap();
        for (version, text) in &versions {
            let writer = Schema::parse_str(text).unwrap();
            SchemaCompatibility::can_read(&writer, &reader)
                .unwrap_or_else(|error| panic!("{name}.v{version}: today's schema cannot read it: {error}"));
            let decoder = decoder::<T>(7, text);
            let datums = sample::datums(text);
            assert!(!datums.is_empty());
            for (branch, datum) in datums.iter().enumerate() {
                decoder
                    .decode(&framed(7, datum))
                    .unwrap_or_else(|error| panic!("{name}.v{version}, branch {branch}: {error}"));
            }
        }
    }
    for_each_schema!(check);
    let known: usize = schema_names().iter().map(|name| old_versions(name).len()).sum();
    assert_eq!(
        files("schemas/old", ".avsc").len(),
        known,
        "a file in schemas/old is of no schema, or after a gap"
    );
}

#[test]
fn every_version_of_a_click_begins_with_what_is_read_without_the_rest() {
    for (version, text) in old_versions("click") {
        let json = json_of(&text);
        let head = &json["fields"].as_array().unwrap()[..2];
        let head: Vec<_> = head
            .iter()
            .map(|field| (&field["name"], &field["type"]))
            .collect();
        let [id, workspace, text] = ["id", "workspace", "string"].map(serde_json::Value::from);
        assert_eq!(head, [(&id, &text), (&workspace, &text)], "click.v{version}");
    }
}

#[test]
fn rust_defaults_are_the_schemas_defaults() {
    fn check<T: Record>(name: &str) {
        let today = json_of(&schema(name));
        let records = schema::records(&today);
        let mut compared = 0;
        for inner in [false, true] {
            let reduced = schema::without_defaults(&today, inner).to_string();
            let decoder = decoder::<T>(7, &reduced);
            for datum in sample::datums(&reduced) {
                let record = decoder
                    .decode(&framed(7, &datum))
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let found = serde_json::to_value(&record).unwrap();
                let written = json_of(&reduced);
                compared += compare(&found, &today, &schema::records(&written), &records);
            }
        }
        let has_defaults = records
            .values()
            .flat_map(|r| schema::fields(r))
            .any(|f| f.get("default").is_some());
        assert_eq!(compared > 0, has_defaults, "{name}: nothing was compared");
    }
    for_each_schema!(check);
}

type Records<'a> = std::collections::BTreeMap<String, &'a Value>;

/// Fields that were not written must have the schema's default; returns how many there were.
fn compare(found: &Value, schema: &Value, written: &Records<'_>, records: &Records<'_>) -> usize {
    let named = schema.as_str().and_then(|name| records.get(name).copied());
    let schema = named.unwrap_or(schema);
    if let Some(branches) = schema.as_array() {
        let Some((name, inner)) = found.as_object().and_then(|object| object.iter().next()) else {
            return 0;
        };
        let branch = branches.iter().find(|branch| branch["name"] == json!(name));
        return branch.map_or(0, |branch| compare(inner, branch, written, records));
    }
    if let Some(items) = schema.get("items") {
        return found
            .as_array()
            .unwrap()
            .iter()
            .map(|item| compare(item, items, written, records))
            .sum();
    }
    if schema["type"] != json!("record") {
        return 0;
    }
    let name = schema["name"].as_str().unwrap();
    let was_written =
        |field: &Value| schema::fields(written[name]).any(|other| other["name"] == field["name"]);
    let mut compared = 0;
    for field in schema::fields(schema) {
        let value = &found[field["name"].as_str().unwrap()];
        if was_written(field) {
            compared += compare(value, &field["type"], written, records);
        } else {
            // Bytes are a text in a schema's default, and a list of numbers in serde's JSON.
            let empty =
                field["type"] == json!("bytes") && value == &json!([]) && field["default"] == json!("");
            assert!(
                value == &field["default"] || empty,
                "{name}.{}: Rust has {value}",
                field["name"]
            );
            compared += 1;
        }
    }
    compared
}

#[test]
fn examples_are_complete_and_survive_the_wire() {
    fn check<T: Record + PartialEq + std::fmt::Debug>(name: &str) {
        let today = json_of(&schema(name));
        let records = schema::records(&today);
        let examples = json_of(&read(&root().join(format!("examples/{name}.json"))));
        let examples = examples.as_array().unwrap();
        assert!(!examples.is_empty());
        let encoder = Encoder::<T>::new(7);
        // By the schema as the Avro library reads it, and by the type alone.
        let library = decoder::<T>(7, T::TOPIC.schema());
        let mut own = Decoder::<T>::default();
        own.add_own(7);
        for example in examples {
            complete(example, &today, &records);
            let record: T = serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let bytes = encoder.encode(&record).unwrap();
            assert_eq!(library.decode(&bytes).unwrap(), record, "{name}");
            assert_eq!(own.decode(&bytes).unwrap(), record, "{name}");
        }
        for datum in sample::datums(&schema(name)) {
            let bytes = framed(7, &datum);
            assert_eq!(
                own.decode(&bytes).unwrap(),
                library.decode(&bytes).unwrap(),
                "{name}"
            );
        }
    }
    for_each_schema!(check);
    assert_eq!(files("examples", ".json"), schema_names());
}

/// Has every field of the schema and no other.
fn complete(example: &Value, schema: &Value, records: &Records<'_>) {
    let named = schema.as_str().and_then(|name| records.get(name).copied());
    let schema = named.unwrap_or(schema);
    if let Some(items) = schema.get("items") {
        example
            .as_array()
            .unwrap()
            .iter()
            .for_each(|item| complete(item, items, records));
    } else if let Some(branches) = schema.as_array() {
        if let Some((name, inner)) = example.as_object().and_then(|object| object.iter().next()) {
            let branch = branches.iter().find(|branch| branch["name"] == json!(name));
            complete(
                inner,
                branch.unwrap_or_else(|| panic!("no branch {name}")),
                records,
            );
        }
    } else if schema["type"] == json!("record") {
        let object = example
            .as_object()
            .unwrap_or_else(|| panic!("{} is no object: {example}", schema["name"]));
        let has: BTreeSet<&str> = object.keys().map(String::as_str).collect();
        let needs: BTreeSet<&str> = schema::fields(schema)
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        assert_eq!(has, needs, "{}", schema["name"]);
        schema::fields(schema)
            .for_each(|field| complete(&object[field["name"].as_str().unwrap()], &field["type"], records));
    }
}

#[test]
fn every_kind_of_fact_has_an_example() {
    let today = json_of(&schema("fact"));
    let body = schema::fields(&today)
        .find(|field| field["name"] == json!("body"))
        .unwrap();
    let branches: Vec<&str> = body["type"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["name"].as_str().unwrap())
        .collect();
    let examples = json_of(&read(&root().join("examples/fact.json")));
    let told: Vec<&str> = examples
        .as_array()
        .unwrap()
        .iter()
        .map(|example| {
            example["body"]
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap()
                .as_str()
        })
        .collect();
    assert_eq!(
        told, branches,
        "one example for each branch, in the union's order"
    );
}
