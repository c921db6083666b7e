//! Lists as CSV for spreadsheets: `format=csv`, or `Accept: text/csv`.
//!
//! ```text
//!   request without `format` ─► the operation ─► its JSON rows ─► one line for each, nested fields as `link.key`
//! ```
//! Invariant: a text that a spreadsheet would run as a formula has an apostrophe before it.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::error::ApiError;

/// The largest answers, ten thousand groups or a thousand events, have a tenth of it.
const LARGEST: usize = 64 * 1024 * 1024;

/// Answers rows as CSV where that is asked for; errors stay JSON.
pub async fn on_demand(mut request: Request, next: Next) -> Response {
    let named = match format(request.uri()) {
        Ok(named) => named,
        Err(error) => return error.into_response(),
    };
    if named.is_some()
        && let Some(uri) = without_format(request.uri())
    {
        *request.uri_mut() = uri;
    }
    let accepted = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let wanted = named.unwrap_or_else(|| accepted.is_some_and(prefers_csv));
    let answer = next.run(request).await;
    // A stream of events has no end to wait for.
    let content = answer.headers().get(CONTENT_TYPE);
    let is_json = content.is_some_and(|content| content.as_bytes().starts_with(b"application/json"));
    if !wanted || !is_json || answer.status() != StatusCode::OK {
        return answer;
    }
    match to_bytes(answer.into_body(), LARGEST).await {
        Ok(body) => match serde_json::from_slice(&body)
            .map_err(anyhow::Error::from)
            .and_then(text)
        {
            Ok(text) => file("tributary", text),
            Err(error) => failed(&error),
        },
        Err(error) => failed(&error.into()),
    }
}

/// A file to be kept, by its name without the ending.
pub fn file(name: &str, text: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.csv\""),
        ),
    ];
    (headers, text).into_response()
}

fn failed(error: &anyhow::Error) -> Response {
    tracing::error!("an answer was not written as CSV: {error:#}");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Whether the query asks for CSV; None if it does not say.
fn format(uri: &Uri) -> Result<Option<bool>, ApiError> {
    let mut found = None;
    for value in pairs(uri).filter_map(|pair| pair.strip_prefix("format=")) {
        let csv = match value {
            "csv" => true,
            "json" => false,
            other => return Err(ApiError::bad("format", format!("{other:?} is none of json, csv"))),
        };
        if found.replace(csv).is_some() {
            return Err(ApiError::bad("format", "given more than once"));
        }
    }
    Ok(found)
}

fn without_format(uri: &Uri) -> Option<Uri> {
    let rest: Vec<&str> = pairs(uri).filter(|pair| !pair.starts_with("format=")).collect();
    format!("{}?{}", uri.path(), rest.join("&")).parse().ok()
}

fn pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    let query = uri.query().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty())
}

/// SDKs accept JSON alone, browsers HTML and anything: only who names CSV, and before JSON, gets it.
fn prefers_csv(accepted: &str) -> bool {
    let first = accepted
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let mut named = first.filter(|range| matches!(*range, "text/csv" | "application/json"));
    named.next() == Some("text/csv")
}

/// A list of objects, or one object, as CSV with a line of names.
fn text(rows: Value) -> anyhow::Result<String> {
    let rows = match rows {
        Value::Array(rows) => rows,
        row => vec![row],
    };
    let mut names: Vec<String> = Vec::new();
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut cells = Vec::new();
        flatten("", row, &mut cells);
        for (name, _) in &cells {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        lines.push(cells);
    }
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if !names.is_empty() {
        writer.write_record(&names)?;
    }
    for cells in lines {
        let cell = |name: &String| {
            let found = cells.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, cell)| cell.as_str())
        };
        writer.write_record(names.iter().map(cell))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// Fields of fields get names with a dot between; lists are JSON in one cell.
fn flatten(name: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() {
                    field.clone()
                } else {
                    format!("{name}.{field}")
                };
                flatten(&name, value, cells);
            }
        }
        Value::Null => cells.push((name.to_owned(), String::new())),
        Value::String(text) => cells.push((name.to_owned(), harmless(text))),
        other => cells.push((name.to_owned(), other.to_string())),
    }
}

/// Spreadsheets take a text that begins so for a formula, which may send what stands beside it elsewhere.
pub fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        return format!("'{text}");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_fields_are_columns_and_formulas_are_texts() {
        let rows = json!([
            {"id": "a,b", "link": {"key": "=HYPERLINK(\"https://evil.example\")"}, "amount": -290, "flags": []},
            {"id": "+1", "amount": 5, "name": "say \"hi\"\nthere", "link": null},
        ]);
        let expected = "amount,flags,id,link.key,link,name\r\n\
                        -290,[],\"a,b\",\"'=HYPERLINK(\"\"https://evil.example\"\")\",,\r\n\
                        5,,'+1,,,\"say \"\"hi\"\"\nthere\"\r\n";
        assert_eq!(text(rows).unwrap(), expected);
        for start in ["=", "+", "-", "@", "\t", "\r"] {
            assert_eq!(harmless(&format!("{start}1")), format!("'{start}1"));
        }
        assert_eq!(text(json!([])).unwrap(), "");
        assert_eq!(text(json!({"clicks": 3})).unwrap(), "clicks\r\n3\r\n");
    }

    #[test]
    fn csv_comes_only_to_who_asks_for_it() {
        for (accepted, csv) in [
            ("text/csv", true),
            ("text/csv; q=1, application/json", true),
            ("application/json", false),
            ("application/json, text/csv", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("*/*", false),
        ] {
            assert_eq!(prefers_csv(accepted), csv, "{accepted}");
        }
        let format = |uri: &str| format(&uri.parse().unwrap());
        assert_eq!(format("/events?a=b").unwrap(), None);
        assert_eq!(format("/events?format=csv&a=b").unwrap(), Some(true));
        assert_eq!(format("/events?format=json").unwrap(), Some(false));
        assert!(
            format("/events?format=xml")
                .unwrap_err()
                .to_string()
                .starts_with("format:")
        );
        assert!(format("/events?format=csv&format=csv").is_err());
        let left = without_format(&"/events?a=b&format=csv&c".parse().unwrap());
        assert_eq!(left.unwrap(), "/events?a=b&c");
    }
}
