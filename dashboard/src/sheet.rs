//! A list as CSV, made of the same objects as its JSON.
//!
//! Invariant: a text that a spreadsheet would take for a formula stays a text.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::error::ApiError;
use crate::paging::Page;
use crate::parameters::Parameters;
use crate::spreadsheet::{file, harmless};

/// Rows of a file at most.
pub const MOST: i64 = 50_000;

/// How a list is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

impl Format {
    pub fn take(parameters: &mut Parameters) -> Result<Self, ApiError> {
        let formats = [("json", Self::Json), ("csv", Self::Csv)];
        Ok(parameters.choice("format", &formats)?.unwrap_or(Self::Json))
    }

    /// A file has no pages.
    pub fn page(self, page: Page) -> Page {
        match self {
            Self::Json => page,
            Self::Csv => page.whole(MOST),
        }
    }

    /// `columns`: headings, and where in a row (a JSON pointer) the value is.
    pub fn answer(
        self,
        name: &str,
        columns: &[(&str, &str)],
        rows: Vec<Value>,
    ) -> Result<Response, ApiError> {
        if self == Self::Json {
            return Ok(Json(rows).into_response());
        }
        let text = text(columns, &rows).map_err(|error| {
            tracing::error!(%error, name, "a file could not be written");
            ApiError::bad("format", "this list cannot be written as CSV")
        })?;
        Ok(file(name, text))
    }
}

fn text(columns: &[(&str, &str)], rows: &[Value]) -> Result<Vec<u8>, csv::Error> {
    let mut sheet = csv::Writer::from_writer(Vec::new());
    sheet.write_record(columns.iter().map(|(heading, _)| heading))?;
    for row in rows {
        sheet.write_record(columns.iter().map(|(_, place)| cell(row.pointer(place))))?;
    }
    sheet.into_inner().map_err(|error| error.into_error().into())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => harmless(text),
        Some(Value::Array(list)) => {
            let all: Vec<String> = list.iter().map(|item| cell(Some(item))).collect();
            all.join(" ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_stay_texts_and_numbers_numbers() {
        let rows = [
            json!({"a": {"b": "=1+1"}, "n": -5, "list": ["x", "y"]}),
            json!({"a": null, "n": 7, "list": []}),
        ];
        let columns = [("Name, first", "/a/b"), ("Number", "/n"), ("All", "/list")];
        let text = String::from_utf8(text(&columns, &rows).unwrap()).unwrap();
        assert_eq!(text, "\"Name, first\",Number,All\n'=1+1,-5,x y\n,7,\n");
    }
}
