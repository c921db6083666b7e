//! The JSON body of a tracking call, field by field, with errors that name the field and the rule.
//!
//! A null is an absent field, as in Dub's API.

use jiff::Timestamp;
use serde_json::{Map, Value};
use tributary_avro::{Metadata, TrackLine};

use super::destination::{decode, parameters};
use super::{ApiError, Code};
use crate::mail;
use crate::normalize::{MAX_AMOUNT, holds_address};

/// Longest text of a field, in characters.
pub(super) const TEXT_LIMIT: usize = 255;
/// Longest URL, in characters.
pub(super) const URL_LIMIT: usize = 8192;
const METADATA_LIMIT: usize = 10_000;
const FUTURE_MS: i64 = 5 * 60 * 1000;

/// A parsed body.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::new(Code::BadRequest, "the body must be a JSON object")),
            Err(e) => Err(ApiError::new(
                Code::BadRequest,
                format!("the body is not valid JSON: {e}"),
            )),
        }
    }

    /// The fields of a query: `amount.value=5` is `{"amount": {"value": "5"}}`, and what is blank is absent.
    pub(super) fn of_query(query: &str) -> Result<Self, ApiError> {
        let mut fields = Map::new();
        for (name, value) in parameters(query) {
            let (name, value) = (decode(name, true), decode(value, true));
            if value.trim().is_empty() {
                continue;
            }
            let twice = || ApiError::field(&name, "stands twice");
            let (map, key) = match name.split_once('.') {
                None => (&mut fields, &*name),
                Some((outer, inner)) => match fields.entry(outer).or_insert_with(|| Map::new().into()) {
                    Value::Object(map) => (map, inner),
                    _ => return Err(twice()),
                },
            };
            if map.insert(key.to_owned(), value.into_owned().into()).is_some() {
                return Err(twice());
            }
        }
        Ok(Self(fields))
    }

    /// An object within the body.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self(fields.clone()))),
            Some(_) => Err(ApiError::field(name, "must be an object")),
        }
    }

    /// The objects of a list; None if there is no list.
    pub(super) fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let list = value
            .as_array()
            .ok_or_else(|| ApiError::field(name, "must be a list"))?;
        let object = |(i, item): (usize, &Value)| match item {
            Value::Object(fields) => Ok(Self(fields.clone())),
            _ => Err(ApiError::field(&format!("{name}[{i}]"), "must be an object")),
        };
        list.iter()
            .enumerate()
            .map(object)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A text within the limit that facts may hold, without outer blanks; empty if it is absent or blank.
    pub(super) fn plain(&self, name: &str, limit: usize) -> Result<&str, ApiError> {
        let text = self.text(name, limit)?.unwrap_or_default().trim();
        plain(name, text)?;
        Ok(text)
    }

    /// The ID of a person, which may be an e-mail address as a whole; empty if it is absent or blank.
    pub(super) fn person(&self, name: &str) -> Result<&str, ApiError> {
        let text = self.text(name, TEXT_LIMIT)?.unwrap_or_default().trim();
        if mail::normalize(text).is_none() {
            plain(name, text)?;
        }
        Ok(text)
    }

    /// A decimal number, told as text or number, as text.
    pub(super) fn decimal(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                within(name, text, TEXT_LIMIT)?;
                Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
            }
            // The shortest text of a number is what the caller wrote: amounts have fewer digits than it can tell apart.
            Some(Value::Number(number)) => {
                let text = number.to_string();
                Ok(Some(text.strip_suffix(".0").unwrap_or(&text).to_owned()))
            }
            Some(_) => Err(ApiError::field(name, "must be a decimal number, e.g. \"100.50\"")),
        }
    }

    /// Puts a text in the place of what was told.
    pub(super) fn set(&mut self, name: &str, text: &str) {
        self.0.insert(name.to_owned(), text.into());
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text of at most `limit` characters.
    pub(super) fn text(&self, name: &str, limit: usize) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                within(name, text, limit)?;
                Ok(Some(text))
            }
            Some(_) => Err(ApiError::field(name, "must be a text")),
        }
    }

    /// A text or empty.
    pub(super) fn text_or_empty(&self, name: &str, limit: usize) -> Result<String, ApiError> {
        Ok(self.text(name, limit)?.unwrap_or_default().to_owned())
    }

    /// A text that is not blank.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        match self.text(name, TEXT_LIMIT)? {
            None => Err(ApiError::field(name, "is required")),
            Some(text) if text.trim().is_empty() => Err(ApiError::field(name, "must not be empty")),
            Some(text) => Ok(text),
        }
    }

    /// The external ID of the customer under any of the names it had over time; empty if none.
    pub(super) fn customer(&self) -> Result<String, ApiError> {
        for name in ["customerExternalId", "externalId", "customerId"] {
            if let Some(text) = self
                .text(name, TEXT_LIMIT)?
                .filter(|text| !text.trim().is_empty())
            {
                return Ok(text.to_owned());
            }
        }
        Err(ApiError::field("customerExternalId", "is required"))
    }

    /// A whole number from `least`.
    pub(super) fn integer(&self, name: &str, least: i64) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value
            .as_i64()
            .ok_or_else(|| ApiError::field(name, "must be a whole number"))?;
        if number < least {
            return Err(ApiError::field(name, format_args!("must be at least {least}")));
        }
        Ok(Some(number))
    }

    /// Metadata as text: values that are no texts become JSON.
    pub(super) fn metadata(&self) -> Result<Metadata, ApiError> {
        let Some(value) = self.get("metadata") else {
            return Ok(Metadata::new());
        };
        let Value::Object(entries) = value else {
            return Err(ApiError::field("metadata", "must be an object"));
        };
        let length = value.to_string().len();
        if length > METADATA_LIMIT {
            return Err(ApiError::field(
                "metadata",
                format_args!("has {length} bytes as JSON, the limit is {METADATA_LIMIT}"),
            ));
        }
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(entries.iter().map(|(k, v)| (k.clone(), text(v))).collect())
    }

    /// Lines of a sale: product, quantity, and the amount as `amount` reads it.
    pub(super) fn lines(
        &self,
        amount: impl Fn(&Self) -> Result<i64, ApiError>,
    ) -> Result<Vec<TrackLine>, ApiError> {
        let lines = self.objects("lines")?.unwrap_or_default();
        let line = |(i, line): (usize, &Self)| {
            line.line(&amount)
                .map_err(|e| ApiError::field(&format!("lines[{i}]"), e.message))
        };
        lines.iter().enumerate().map(line).collect()
    }

    fn line(&self, amount: impl Fn(&Self) -> Result<i64, ApiError>) -> Result<TrackLine, ApiError> {
        let mut product = "";
        for name in ["productId", "product", "sku"] {
            if let Some(text) = self.text(name, TEXT_LIMIT)? {
                plain(name, text)?;
                product = text;
                break;
            }
        }
        let quantity = self.integer("quantity", 0)?.unwrap_or(1);
        if quantity > MAX_AMOUNT {
            return Err(ApiError::field(
                "quantity",
                format_args!("must be at most {MAX_AMOUNT}"),
            ));
        }
        Ok(TrackLine {
            product: product.to_owned(),
            amount: amount(self)?,
            quantity,
        })
    }

    /// The amount of a line in minor units.
    pub(super) fn minor_units(&self) -> Result<i64, ApiError> {
        self.get("amount")
            .and_then(Value::as_i64)
            .ok_or_else(|| ApiError::field("amount", "must be a whole number of minor units"))
    }

    /// The time of an imported event, UTC milliseconds.
    pub(super) fn timestamp(&self, at: i64) -> Result<Option<i64>, ApiError> {
        self.text("timestamp", TEXT_LIMIT)?
            .map(|text| timestamp(text, at))
            .transpose()
    }
}

/// A backdated time: RFC 3339, and not in the future.
pub(super) fn timestamp(text: &str, at: i64) -> Result<i64, ApiError> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| ApiError::field("timestamp", "must be RFC 3339, e.g. 2026-03-01T12:00:00Z"))?;
    let time = time.as_millisecond();
    if time > at.saturating_add(FUTURE_MS) {
        return Err(ApiError::field("timestamp", "lies in the future"));
    }
    if time < 0 {
        return Err(ApiError::field("timestamp", "lies before 1970"));
    }
    Ok(time)
}

/// Refuses what facts may not hold.
fn plain(name: &str, text: &str) -> Result<(), ApiError> {
    if holds_address(text) {
        return Err(ApiError::field(name, "must hold no e-mail address (B1a)"));
    }
    Ok(())
}

/// Refuses a text of more than `limit` characters.
pub(super) fn within(name: &str, text: &str, limit: usize) -> Result<(), ApiError> {
    // Bytes first: the cheap answer for nearly every text.
    if text.len() > limit && text.chars().count() > limit {
        return Err(ApiError::field(
            name,
            format_args!("must have at most {limit} characters"),
        ));
    }
    Ok(())
}
