//! Exchange rates as rules (rule E6): one document for each day and source, stated once.
//!
//! A sale is converted by the latest rate dated on or before its day, at most seven days back. Of two statements about
//! one pair and day the earlier told counts, so that the order of arrival does not matter.

use std::collections::BTreeMap;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use tributary_avro::Config;

use super::{Workspace, day_of};

/// Days that a rate is good for after its own.
pub const GOOD_FOR: i64 = 7;
/// Digits of a rate, as it stands on rows: amount and rate give the converted amount.
const DIGITS: u32 = 10;

/// The rates of one day: `program.yaml` has none, `tributary fx load` states them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayRates {
    /// Day of the rates, e.g. 2026-01-31.
    pub date: jiff::civil::Date,
    /// Currency of which one unit is worth the rates, ISO 4217, lower case.
    pub base: String,
    /// How much of each currency one unit of the base is worth, as decimal text.
    pub rates: BTreeMap<String, String>,
}

/// An amount in another currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Minor units.
    pub amount: i64,
    /// The rate as decimal text; empty if the currency is the same.
    pub rate: String,
}

/// A rate that was stated: when, by which fact, and how much.
type Stated = (i64, String, Decimal);

/// All rates of a workspace, by day (days since 1970) and pair.
#[derive(Debug, Default)]
pub struct Rates(BTreeMap<i64, BTreeMap<(String, String), Stated>>);

impl DayRates {
    /// Its ID among a workspace's rates.
    pub fn id(&self) -> String {
        format!("{}/{}", self.base, self.date)
    }

    /// Its declaration for a workspace at `at`, UTC milliseconds.
    pub fn config(&self, workspace: &Workspace, at: i64) -> Config {
        Config {
            workspace: workspace.id.clone(),
            kind: "fx".to_owned(),
            id: self.id(),
            at,
            modes: workspace.modes.clone(),
            from: None,
            deleted: false,
            document: serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// Days since 1970.
    pub fn day(&self) -> i64 {
        let midnight = self.date.to_zoned(jiff::tz::TimeZone::UTC);
        midnight.map_or(0, |day| day_of(day.timestamp().as_millisecond()))
    }

    /// Its rates as numbers, or the first that is none.
    pub fn numbers(&self) -> Result<Vec<(&str, Decimal)>, String> {
        let mut numbers = Vec::with_capacity(self.rates.len());
        if !is_currency(&self.base) {
            return Err("base: three lower-case letters of ISO 4217 (E6)".to_owned());
        }
        if self.rates.is_empty() {
            return Err("rates: a day states at least one (E6)".to_owned());
        }
        for (currency, text) in &self.rates {
            let rate = Decimal::from_str(text).ok().filter(|rate| *rate > Decimal::ZERO);
            match rate.filter(|_| is_currency(currency)) {
                Some(rate) => numbers.push((currency.as_str(), rate)),
                None => return Err(format!("rates.{currency}: {text:?} is no rate above zero (E6)")),
            }
        }
        Ok(numbers)
    }
}

impl Rates {
    /// Adds the rates of a day. False if all of them contradict what was stated before: nothing of it counts.
    pub fn add(&mut self, fact: &str, at: i64, day: &DayRates, numbers: &[(&str, Decimal)]) -> bool {
        let pairs = self.0.entry(day.day()).or_default();
        let mut counts = false;
        for (currency, rate) in numbers {
            let pair = (day.base.clone(), (*currency).to_owned());
            let stated = (at, fact.to_owned(), *rate);
            match pairs.get_mut(&pair) {
                Some(known) if (known.0, &known.1) <= (at, &stated.1) => counts |= known.2 == *rate,
                Some(known) => {
                    *known = stated;
                    counts = true;
                }
                None => {
                    pairs.insert(pair, stated);
                    counts = true;
                }
            }
        }
        counts
    }

    /// An amount of minor units in another currency at `at`; None if there is no rate.
    pub fn convert(&self, amount: i64, from: &str, to: &str, at: i64) -> Option<Converted> {
        if from == to {
            let rate = String::new();
            return Some(Converted { amount, rate });
        }
        let day = day_of(at);
        let mut days = self.0.range(day - GOOD_FOR..=day).rev();
        let rate = days.find_map(|(_, pairs)| rate(pairs, from, to))?;
        let shift = i32::from(decimals(to)) - i32::from(decimals(from));
        let mut exact = Decimal::from(amount).checked_mul(rate)?;
        for _ in 0..shift.unsigned_abs() {
            exact = if shift > 0 {
                exact.checked_mul(Decimal::TEN)?
            } else {
                exact.checked_div(Decimal::TEN)?
            };
        }
        let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        Some(Converted {
            amount: i64::try_from(rounded).ok()?,
            rate: rate.to_string(),
        })
    }
}

/// The rate between two currencies: directly, or through a base that knows both.
fn rate(pairs: &BTreeMap<(String, String), Stated>, from: &str, to: &str) -> Option<Decimal> {
    let mut bases: Vec<&str> = pairs.keys().map(|(base, _)| base.as_str()).collect();
    bases.dedup();
    let of = |base: &str, currency: &str| {
        if base == currency {
            return Some(Decimal::ONE);
        }
        let pair = (base.to_owned(), currency.to_owned());
        pairs.get(&pair).map(|(_, _, rate)| *rate)
    };
    let direct = bases.iter().filter(|base| **base == from || **base == to);
    let through = direct.chain(&bases);
    let mut found = through.filter_map(|base| of(base, to)?.checked_div(of(base, from)?));
    let rate = found.next()?.round_dp(DIGITS).normalize();
    Some(rate).filter(|rate| *rate > Decimal::ZERO)
}

/// Three lower-case letters (ISO 4217).
pub(crate) fn is_currency(currency: &str) -> bool {
    currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_lowercase())
}

/// Decimals of a currency's minor unit, as Stripe counts them: ISK and UGX have two there.
pub fn decimals(currency: &str) -> u8 {
    match currency {
        "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf" | "vnd" | "vuv"
        | "xaf" | "xof" | "xpf" => 0,
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(date: &str, base: &str, rates: &[(&str, &str)]) -> DayRates {
        DayRates {
            date: date.parse().unwrap(),
            base: base.to_owned(),
            rates: rates
                .iter()
                .map(|(c, r)| ((*c).to_owned(), (*r).to_owned()))
                .collect(),
        }
    }

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn known(days: &[DayRates]) -> Rates {
        let mut rates = Rates::default();
        for day in days {
            assert!(rates.add("f", 1, day, &day.numbers().unwrap()));
        }
        rates
    }

    #[test]
    fn the_latest_rate_of_seven_days_counts() {
        let rates = known(&[
            day("2026-01-02", "eur", &[("usd", "1.10"), ("jpy", "160")]),
            day("2026-01-05", "eur", &[("usd", "1.20")]),
        ]);
        let usd = |text| {
            rates
                .convert(1000, "eur", "usd", at(text))
                .map(|c| (c.amount, c.rate))
        };
        assert_eq!(usd("2026-01-01T23:59:59Z"), None);
        assert_eq!(usd("2026-01-04T12:00:00Z"), Some((1100, "1.1".into())));
        assert_eq!(usd("2026-01-05T00:00:00Z"), Some((1200, "1.2".into())));
        assert_eq!(usd("2026-01-12T23:59:59Z"), Some((1200, "1.2".into())));
        assert_eq!(usd("2026-01-13T00:00:00Z"), None);
        // Back, through the base, and to currencies without minor units.
        let convert = |amount, from, to| {
            rates
                .convert(amount, from, to, at("2026-01-02T09:00:00Z"))
                .unwrap()
        };
        assert_eq!(convert(1100, "usd", "eur").amount, 1000);
        assert_eq!(convert(1000, "eur", "jpy").amount, 1600);
        assert_eq!(convert(1600, "jpy", "eur").amount, 1000);
        assert_eq!(convert(1600, "jpy", "usd").amount, 1100);
        assert_eq!(
            convert(5, "usd", "usd"),
            Converted {
                amount: 5,
                rate: String::new()
            }
        );
    }

    #[test]
    fn three_decimals_count() {
        let rates = known(&[day("2026-01-02", "kwd", &[("usd", "3.25"), ("jpy", "480")])]);
        let convert = |amount, from, to| {
            rates
                .convert(amount, from, to, at("2026-01-02T09:00:00Z"))
                .unwrap()
        };
        assert_eq!(convert(10_000, "kwd", "usd").amount, 3250); // 10.000 dinars are 32.50 dollars
        assert_eq!(convert(3250, "usd", "kwd").amount, 10_000);
        assert_eq!(convert(10_000, "kwd", "jpy").amount, 4800);
    }

    #[test]
    fn the_first_statement_counts_in_any_order() {
        let first = day("2026-01-02", "eur", &[("usd", "1.10")]);
        let second = day("2026-01-02", "eur", &[("usd", "1.20")]);
        for order in [[(1, &first), (2, &second)], [(2, &second), (1, &first)]] {
            let mut rates = Rates::default();
            for (told, day) in order {
                let added = rates.add(&format!("f{told}"), told, day, &day.numbers().unwrap());
                assert_eq!(added, told == 1 || order[0].0 == 2);
            }
            assert_eq!(
                rates
                    .convert(1000, "eur", "usd", at("2026-01-02T09:00:00Z"))
                    .unwrap()
                    .amount,
                1100
            );
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for rate in ["0", "-1", "N/A", ""] {
            assert!(day("2026-01-02", "eur", &[("usd", rate)]).numbers().is_err());
        }
        assert!(day("2026-01-02", "EUR", &[("usd", "1")]).numbers().is_err());
    }

    #[test]
    fn a_day_counts_if_anything_of_it_does() {
        let mut rates = Rates::default();
        let mut add = |fact: &str, at, rates_of_day: &[(&str, &str)]| {
            let day = day("2026-01-02", "eur", rates_of_day);
            rates.add(fact, at, &day, &day.numbers().unwrap())
        };
        assert!(add("b", 2, &[("gbp", "0.9"), ("usd", "1.1")]));
        assert!(add("c", 3, &[("gbp", "0.9"), ("usd", "1.2")])); // one says the same
        assert!(add("d", 3, &[("chf", "0.95"), ("usd", "1.2")])); // one is new
        assert!(!add("e", 3, &[("gbp", "0.8"), ("usd", "1.2")]));
        assert!(add("a", 2, &[("gbp", "0.8")])); // told at the same time, by the lesser fact
    }

    #[test]
    fn a_base_that_is_one_of_the_two_goes_before_one_that_knows_both() {
        let rates = known(&[
            day("2026-01-02", "chf", &[("eur", "1"), ("usd", "1")]),
            day("2026-01-02", "eur", &[("usd", "2")]),
        ]);
        let convert = |from, to| {
            let converted = rates.convert(100, from, to, at("2026-01-02T09:00:00Z"));
            converted.map(|c| c.amount)
        };
        assert_eq!(convert("eur", "usd"), Some(200));
        assert_eq!(convert("usd", "eur"), Some(50));
        assert_eq!(convert("eur", "chf"), Some(100));
        assert_eq!(convert("eur", "gbp"), None);
    }

    #[test]
    fn a_rate_of_which_ten_digits_are_zero_is_none() {
        let rates = known(&[day("2026-01-02", "idr", &[("usd", "0.00000000001")])]);
        assert_eq!(rates.convert(100, "idr", "usd", at("2026-01-02T09:00:00Z")), None);
    }

    #[test]
    fn a_day_is_declared_under_its_base_and_date() {
        let workspace: Workspace = serde_json::from_str(r#"{"id":"acme","modes":["live"]}"#).unwrap();
        let day = day("2026-01-02", "eur", &[("usd", "1.10")]);
        let declared = Config {
            workspace: "acme".to_owned(),
            kind: "fx".to_owned(),
            id: "eur/2026-01-02".to_owned(),
            at: 5,
            modes: vec!["live".to_owned()],
            from: None,
            deleted: false,
            document: r#"{"date":"2026-01-02","base":"eur","rates":{"usd":"1.10"}}"#.to_owned(),
        };
        assert_eq!(day.config(&workspace, 5), declared);
    }
}
