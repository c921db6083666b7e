//! Amounts in major units, as decimal text, to minor units: exact, or refused.

use super::ApiError;
use crate::normalize::MAX_AMOUNT;
use crate::rules::{decimals, is_currency};

/// An ISO 4217 code in lower case.
pub(super) fn currency(name: &str, text: &str) -> Result<String, ApiError> {
    let currency = text.trim().to_ascii_lowercase();
    if !is_currency(&currency) {
        return Err(ApiError::field(name, "must be an ISO 4217 code, e.g. usd"));
    }
    Ok(currency)
}

/// Minor units of a decimal text such as `-100.5`.
pub(super) fn minor_units(name: &str, text: &str, currency: &str) -> Result<i64, ApiError> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, rest) = match digits.split_once('.') {
        Some((whole, rest)) if !rest.is_empty() => (whole, rest),
        Some(_) => ("", ""),
        None => (digits, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(rest) {
        return Err(ApiError::field(name, "must be a decimal number, e.g. \"100.50\""));
    }
    let places = usize::from(decimals(currency));
    if rest.len() > places {
        return Err(ApiError::field(
            name,
            format_args!("has more decimal places than {currency} ({places})"),
        ));
    }
    let amount = format!("{whole}{rest:0<places$}").parse::<i64>().ok();
    let amount = amount
        .filter(|amount| *amount <= MAX_AMOUNT)
        .ok_or_else(|| ApiError::field(name, format_args!("is beyond {MAX_AMOUNT} minor units")))?;
    Ok(if is_negative { -amount } else { amount })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_the_currencys() {
        for (text, currency, expected) in [
            ("100.5", "usd", Some(10_050)),
            ("100", "usd", Some(10_000)),
            ("0.07", "eur", Some(7)),
            ("-3.10", "eur", Some(-310)),
            ("100", "jpy", Some(100)),
            ("1.234", "kwd", Some(1234)),
            ("1.2", "kwd", Some(1200)),
            ("0", "usd", Some(0)),
            ("100000000000.00", "usd", Some(MAX_AMOUNT)),
            ("100000000000.01", "usd", None),
            ("99999999999999999999999999", "usd", None),
            ("0.001", "usd", None),
            ("0.5", "jpy", None),
            ("1.2345", "kwd", None),
            ("1e3", "usd", None),
            ("1,50", "usd", None),
            ("1.", "usd", None),
            (".5", "usd", None),
            ("--1", "usd", None),
            ("+1", "usd", None),
            ("1.-5", "usd", None),
            ("", "usd", None),
            ("-", "usd", None),
        ] {
            assert_eq!(
                minor_units("amount", text, currency).ok(),
                expected,
                "{text} {currency}"
            );
        }
    }
}
