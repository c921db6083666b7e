//! `GET /openapi.json`: every operation of this process and the calls of the edge, as OpenAPI 3.1.
//!
//! ```text
//!   operations.rs (what there is) ─┐
//!   filters, groupings, intervals ─┼─► document ─► /openapi.json
//!   rows as they are answered ─────┘
//! ```
//! Invariant: what a filter, grouping, interval or scope is called, and which fields a row has, is taken from the code that
//! answers. The tests look for every route in it.

mod operations;

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use tributary_avro::{Click, Conversion, Refund};
use tributary_domain::manage::undeclared_link;
use tributary_domain::requests::needed;
use tributary_domain::rules::Link;

use crate::analytics::figures;
use crate::conversion_record::ConversionRow;
use crate::dimensions::{FILTERS, GROUPINGS};
use crate::event_shape::complete;
use crate::period::INTERVALS;
use crate::record::{ClickRow, RefundRow};
use crate::server::Application;
use crate::sums::Sums;
use crate::{commissions, customers};
use operations::{Answer, OPERATIONS, Operation, Parameters};

pub async fn document(State(application): State<Application>) -> Json<Value> {
    Json(describe(&application))
}

fn describe(application: &Application) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.to_lowercase(), one(operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tributary",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reading, managing and tracking. Money is in minor units of the workspace's currency, times are \
                            UTC unless a time zone is asked for.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {
                "type": "http", "scheme": "bearer",
                "description": "A secret key, a publishable key for what browsers tell, or a token with scopes.",
            }},
            "schemas": schemas(application),
        },
    })
}

fn one(operation: &Operation) -> Value {
    let mut parameters = in_path(operation.path);
    for set in operation.parameters {
        parameters.extend(query(*set));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.path.split('/').nth(1).unwrap_or_default()],
        "parameters": parameters,
        "responses": responses(operation),
    });
    let Some(fields) = described.as_object_mut() else {
        return described;
    };
    if !operation.body.is_empty() {
        fields.insert("requestBody".to_owned(), body(operation.body));
    }
    // The same table that tokens are checked against.
    if let Some((scope, own)) = needed(operation.method, operation.path) {
        fields.insert("x-token-scope".to_owned(), scope.name().into());
        fields.insert("x-partner-token".to_owned(), own.into());
    }
    described
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}

fn text(name: &str, what: &str) -> Value {
    json!({"name": name, "in": "query", "description": what, "schema": {"type": "string"}})
}

fn choice<'a>(name: &str, of: impl IntoIterator<Item = &'a str>) -> Value {
    let names: Vec<&str> = of.into_iter().collect();
    json!({"name": name, "in": "query", "schema": {"type": "string", "enum": names}})
}

fn number(name: &str, most: i64) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": most}})
}

fn query(set: Parameters) -> Vec<Value> {
    let groupings = || GROUPINGS.iter().map(|grouping| grouping.name);
    match set {
        Parameters::Workspace => vec![
            text(
                "workspace",
                "May be left out while there is one, and with a key, which has its own.",
            ),
            text("mode", "live, unless told otherwise; test, or a sandbox."),
        ],
        Parameters::Period => vec![
            choice("interval", INTERVALS.iter().map(|(name, _)| *name)),
            text("start", "A date or a time; wins over interval."),
            text("end", "A date, which is included, or a time, which is not."),
            text("timezone", "IANA name; UTC, unless told otherwise."),
        ],
        Parameters::Filters => {
            let filter = |(name, _): &(&str, _)| text(name, "a, or a,b: one of them; -a,b: none of them.");
            let mut all: Vec<Value> = FILTERS.iter().map(filter).collect();
            all.push(choice("attribution", ["attributed", "unattributed", "all"]));
            all
        }
        Parameters::GroupBy => vec![choice("groupBy", groupings())],
        Parameters::GroupOrCount => vec![choice(
            "groupBy",
            ["count", "timeseries"].into_iter().chain(groupings()),
        )],
        Parameters::Page(sorts) => vec![
            choice("sortBy", sorts.iter().copied()),
            choice("sortOrder", ["asc", "desc"]),
            number("page", 1_000_000),
            number("pageSize", 100),
            text("startingAfter", "ID of the row that the page begins behind."),
            text("endingBefore", "ID of the row that the page ends before."),
        ],
        Parameters::Csv => vec![choice("format", ["json", "csv"])],
        Parameters::Choice(name, of) => vec![choice(name, of.iter().copied())],
        Parameters::Number(name, most) => vec![number(name, most)],
        Parameters::Texts(names) => names.iter().map(|name| text(name, "")).collect(),
    }
}

/// Fields of a body; those with `!` behind them are required.
fn body(fields: &[&str]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let name = field.trim_end_matches('!');
        properties.insert(name.to_owned(), json!({}));
        if name.len() < field.len() {
            required.push(name);
        }
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if let Some(fields) = schema.as_object_mut().filter(|_| !required.is_empty()) {
        fields.insert("required".to_owned(), json!(required));
    }
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

fn responses(operation: &Operation) -> Value {
    let named = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let (media, schema) = match operation.answer {
        Answer::One(name) => ("application/json", named(name)),
        Answer::Many(name) => ("application/json", json!({"type": "array", "items": named(name)})),
        Answer::Either(name, other) => (
            "application/json",
            json!({"oneOf": [named(name), {"type": "array", "items": named(other)}]}),
        ),
        Answer::Object => ("application/json", json!({"type": "object"})),
        Answer::Number => ("application/json", json!({"type": "integer"})),
        Answer::Text(media) => (media, json!({"type": "string"})),
        Answer::Nothing => {
            return json!({"302": {"description": "Elsewhere."}, "default": {"description": "Why not."}});
        }
    };
    let mut content = Map::new();
    content.insert(media.to_owned(), json!({"schema": schema}));
    if operation.parameters.contains(&Parameters::Csv) {
        content.insert("text/csv".to_owned(), json!({"schema": {"type": "string"}}));
    }
    let refused =
        json!({"description": "Why not.", "content": {"application/json": {"schema": named("Error")}}});
    json!({
        operation.status.to_string(): {"description": "Done.", "content": content},
        "default": refused,
    })
}

/// Of rows as they are answered, made of nothing.
fn schemas(application: &Application) -> Value {
    let link = || undeclared_link(Link::default(), "");
    let nobody = std::collections::BTreeMap::new();
    let whole = |event| complete(event, link(), &nobody);
    let conversion = |kind: &str| {
        let conversion = Conversion {
            kind: kind.to_owned(),
            ..Conversion::default()
        };
        whole(ConversionRow::from(conversion).event())
    };
    let count = Value::Object(figures(&Sums::default()));
    let events = [
        whole(ClickRow::from(Click::default()).json()),
        conversion("lead"),
        conversion("sale"),
        RefundRow::from(Refund::default()).event(),
    ];
    json!({
        "Error": {
            "type": "object", "required": ["error"],
            "properties": {"error": {
                "type": "object", "required": ["code", "message", "doc_url"],
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "doc_url": {"type": "string"}},
            }},
        },
        "Figures": schema(&count),
        // With the fields of its grouping.
        "Group": schema(&count),
        "PartnerFigures": schema(&with(&count, "earnings", 0.into())),
        "PartnerGroup": schema(&with(&count, "earnings", 0.into())),
        "Event": {"oneOf": events.iter().map(schema).collect::<Vec<_>>()},
        "Customer": schema(&customers::sample(application)),
        "Commission": schema(&commissions::sample()),
        "Link": schema(&link()),
        // Of the pages of the dashboard, whose columns change with them.
        "Report": {"type": "object"},
        "Workspace": {"type": "object", "required": ["id", "modes"]},
        "Partner": {"type": "object", "required": ["id", "name", "status", "createdAt", "links"]},
    })
}

fn with(row: &Value, name: &str, value: Value) -> Value {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    row
}

/// What a row looks like, by one. Of a field that is null there it says nothing.
fn schema(sample: &Value) -> Value {
    match sample {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(_) => json!({"type": "array"}),
        Value::Object(fields) => {
            let names: BTreeSet<&String> = fields.keys().collect();
            let properties: Map<String, Value> = fields
                .iter()
                .map(|(name, value)| (name.clone(), schema(value)))
                .collect();
            json!({"type": "object", "required": names, "properties": properties})
        }
    }
}

#[cfg(test)]
mod tests;
