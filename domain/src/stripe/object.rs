//! One Stripe object as JSON: tolerant readers of its fields, and rejections that name the field.
//!
//! Null is absent. IDs come bare or expanded, amounts as number or text. A field of another type is
//! absent, except amounts: half a payment is worse than none.

use super::json::Json;
use crate::normalize::{MAX_AMOUNT, Rejection, holds_address};

/// Stripe's own promise about the length of its IDs.
const MAX_ID: usize = 255;
/// 9999-12-31 in seconds; what lies beyond is no time of a payment.
const MAX_SECONDS: i64 = 253_402_300_799;

/// A JSON object with the name under which rejections cite it.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    name: &'static str,
    value: &'a Json<'a>,
}

impl<'a> Object<'a> {
    /// The event's object; its `object` field, if told, must be `kind`.
    pub fn new(name: &'static str, kind: &str, value: &'a Json<'a>) -> Result<Self, Rejection> {
        let told = value.get("object").and_then(Json::as_str);
        if told.is_some_and(|told| told != kind) {
            return Err(Rejection::new(
                "invalid_field",
                format!("{name}.object: must be {kind:?}"),
            ));
        }
        Ok(Self { name, value })
    }

    /// An object within another.
    pub fn inner(name: &'static str, value: &'a Json<'a>) -> Self {
        Self { name, value }
    }

    /// The value at a dotted path; None if absent or null.
    pub fn get(&self, path: &str) -> Option<&'a Json<'a>> {
        path.split('.')
            .try_fold(self.value, |value, key| value.get(key))
            .filter(|value| !value.is_null())
    }

    /// Text at the path; empty if absent.
    pub fn text(&self, path: &str) -> &'a str {
        self.get(path).and_then(Json::as_str).unwrap_or_default()
    }

    /// A word that may stand in a fact; empty if absent, too long for one, or an e-mail address.
    pub fn word(&self, path: &str) -> &'a str {
        let text = self.text(path);
        if is_word(text) { text } else { "" }
    }

    /// The first of the paths that holds an ID, bare or expanded; empty if none does.
    pub fn id(&self, paths: &[&str]) -> &'a str {
        paths
            .iter()
            .filter_map(|path| self.get(path))
            .map(id_of)
            .find(|id| !id.is_empty() && is_word(id))
            .unwrap_or_default()
    }

    /// The ID that this value is, or has; empty if none.
    pub fn reference(&self) -> &'a str {
        Some(id_of(self.value))
            .filter(|id| is_word(id))
            .unwrap_or_default()
    }

    /// Own ID.
    pub fn own_id(&self) -> Result<String, Rejection> {
        self.needed("id", self.text("id"))
    }

    /// An ID or text without which there is no fact.
    pub fn needed(&self, field: &str, found: &str) -> Result<String, Rejection> {
        if found.is_empty() {
            Err(self.missing(field))
        } else if !is_word(found) {
            Err(self.invalid(field, "at most 255 characters and no e-mail address (rule B1a)"))
        } else {
            Ok(found.to_owned())
        }
    }

    /// Elements of an array, or of a list object's `data`; empty if absent.
    pub fn list(&self, path: &str) -> &'a [Json<'a>] {
        let value = self.get(path);
        value
            .and_then(Json::as_list)
            .or_else(|| value.and_then(|list| list.get("data")).and_then(Json::as_list))
            .unwrap_or_default()
    }

    /// True, false or absent.
    pub fn flag(&self, path: &str) -> Option<bool> {
        self.get(path).and_then(Json::as_bool)
    }

    /// A whole number of minor units (or units), told as number or text.
    pub fn amount(&self, path: &str) -> Result<Option<i64>, Rejection> {
        let Some(value) = self.get(path) else {
            return Ok(None);
        };
        let whole = || self.invalid(path, "a whole number of minor units");
        let number = match value {
            Json::Text(text) => text.trim().parse::<i128>().map_err(|_| whole())?,
            number => number.as_whole().ok_or_else(whole)?,
        };
        self.bounded(path, number).map(Some)
    }

    /// A sum that is itself an amount.
    pub fn bounded(&self, path: &str, sum: i128) -> Result<i64, Rejection> {
        i64::try_from(sum)
            .ok()
            .filter(|n| (-MAX_AMOUNT..=MAX_AMOUNT).contains(n))
            .ok_or_else(|| {
                Rejection::new(
                    "amount_out_of_range",
                    format!("{}.{path}: beyond {MAX_AMOUNT} minor units", self.name),
                )
            })
    }

    /// Units, one if untold: metered lines may have none, or a number with decimals.
    pub fn quantity(&self) -> i64 {
        self.get("quantity")
            .and_then(|value| value.as_whole().or_else(|| value.as_str()?.parse().ok()))
            .and_then(|units| i64::try_from(units).ok())
            .filter(|units| (0..=MAX_AMOUNT).contains(units))
            .unwrap_or(1)
    }

    /// An amount that is never below zero.
    pub fn positive(&self, path: &str) -> Result<Option<i64>, Rejection> {
        match self.amount(path)? {
            Some(amount) if amount < 0 => Err(Rejection::new(
                "negative_amount",
                format!("{}.{path}: must not be negative (rule E2)", self.name),
            )),
            amount => Ok(amount),
        }
    }

    /// An amount without which there is no fact.
    pub fn needed_amount(&self, path: &str) -> Result<i64, Rejection> {
        self.amount(path)?.ok_or_else(|| self.missing(path))
    }

    /// ISO 4217, lower case; empty if absent.
    pub fn currency(&self, path: &str) -> Result<String, Rejection> {
        let currency = self.text(path).to_ascii_lowercase();
        if currency.is_empty() || currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_lowercase()) {
            Ok(currency)
        } else {
            Err(self.invalid(path, "three letters (ISO 4217)"))
        }
    }

    /// A currency without which there is no fact.
    pub fn needed_currency(&self, path: &str) -> Result<String, Rejection> {
        match self.currency(path)? {
            currency if currency.is_empty() => Err(self.missing(path)),
            currency => Ok(currency),
        }
    }

    /// A time in UTC milliseconds, told in seconds.
    pub fn time(&self, path: &str) -> Option<i64> {
        self.get(path)
            .and_then(Json::as_whole)
            .and_then(|seconds| i64::try_from(seconds).ok())
            .filter(|seconds| (0..=MAX_SECONDS).contains(seconds))
            .map(|seconds| seconds * 1000)
    }

    /// The rejection of an object that lacks a field.
    pub fn missing(&self, field: &str) -> Rejection {
        Rejection::new(
            "missing_field",
            format!("{}.{field}: required (rule A3)", self.name),
        )
    }

    /// The rejection of a field that is not as it must be.
    pub fn invalid(&self, field: &str, rule: &str) -> Rejection {
        Rejection::new("invalid_field", format!("{}.{field}: must be {rule}", self.name))
    }
}

/// The ID of a reference, bare or expanded; empty if it is neither.
fn id_of<'a>(value: &'a Json<'a>) -> &'a str {
    value
        .as_str()
        .or_else(|| value.get("id").and_then(Json::as_str))
        .unwrap_or_default()
}

fn is_word(text: &str) -> bool {
    text.len() <= MAX_ID && !holds_address(text)
}
