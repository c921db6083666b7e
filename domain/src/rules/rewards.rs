//! Rewards: what clicks, leads and sales earn, with their limits and modifiers (rules F1 to F5).

use serde::{Deserialize, Serialize};

use super::Condition;

/// What a lead or sale earns (rule F1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// ID within the program or partner.
    pub id: String,
    /// click, lead or sale.
    pub event: RewardEvent,
    /// Percent of the sale with up to two decimals, as text or number, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Flat amount, minor units of the workspace's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// The flat amount is earned for each unit, not once per sale (rule F3).
    #[serde(default)]
    pub per_unit: bool,
    /// Products it fits: a list, or one text with commas; empty: every product (rule F2).
    #[serde(default, deserialize_with = "list_or_commas")]
    pub products: Vec<String>,
    /// It is earned for so many sales of one customer (rule F4); none: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_charges: Option<u32>,
    /// It is earned for so many full months after the customer's first sale; 0: for the first sale only (rule F4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_months: Option<u32>,
    /// What it may earn at most (rule F4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Cap>,
    /// What is earned instead where conditions hold (rules F1, F1a).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<Modifier>,
}

/// The most that a reward earns in a period: for sales per partner and customer, for leads and clicks per partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Minor units of the workspace's currency.
    pub amount: i64,
    /// Period, UTC.
    #[serde(default)]
    pub per: Period,
}

/// Period of a cap, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day.
    Day,
    /// A week, from Sunday.
    Week,
    /// A calendar month.
    Month,
    /// All time.
    #[default]
    Ever,
}

const DAY: i64 = 86_400_000;

/// Days since 1970, UTC, of a time in milliseconds.
pub fn day_of(at: i64) -> i64 {
    at.div_euclid(DAY)
}

impl Period {
    /// The first moment of the period in which `at` lies, UTC milliseconds.
    pub fn start(self, at: i64) -> i64 {
        let day = day_of(at);
        match self {
            Self::Day => day * DAY,
            // 1970-01-01 was a Thursday.
            Self::Week => (day - (day + 4).rem_euclid(7)) * DAY,
            Self::Month => {
                let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
                let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
                (day + 1 - i64::from(date.day())) * DAY
            }
            Self::Ever => 0,
        }
    }
}

/// Other terms of a reward where conditions hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modifier {
    /// Whether all conditions must hold, or any.
    #[serde(default, rename = "match")]
    pub matching: Matching,
    /// Questions about the lead or sale, its customer and its partner.
    pub conditions: Vec<Condition>,
    /// Percent of the sale in place of the reward's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Flat amount in place of the reward's terms, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// Months in place of the reward's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_months: Option<u32>,
}

/// How several conditions go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Matching {
    /// All must hold.
    #[default]
    #[serde(rename = "AND")]
    And,
    /// One is enough.
    #[serde(rename = "OR")]
    Or,
}

/// Event of a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardEvent {
    /// A click of a person, whatever comes of it: one entry for each link and day.
    Click,
    /// A lead.
    Lead,
    /// A sale.
    Sale,
}

/// A percentage in hundredths of a percent: 12.5 % is 1250.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub i64);

fn list_or_commas<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Products {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Products::deserialize(deserializer)? {
        Products::List(list) => list,
        Products::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}", self.0 / 100),
            rest if rest % 10 == 0 => write!(f, "{}.{}", self.0 / 100, rest / 10),
            rest => write!(f, "{}.{rest:02}", self.0 / 100),
        }
    }
}

impl std::str::FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().trim_end_matches('%').trim_end();
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || rest.len() > 2 || !digits(whole) || !digits(rest) {
            return Err("a percentage has up to two decimals, e.g. 12.5");
        }
        let hundredths: i64 = format!("{rest:0<2}").parse().unwrap_or_default();
        let value = whole.parse::<i64>().unwrap_or_default() * 100 + hundredths;
        if value > 10_000 {
            Err("a percentage is at most 100")
        } else {
            Ok(Percent(value))
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Percent;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a percentage from 0 to 100 with up to two decimals")
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Percent, E> {
                v.parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Percent, E> {
                v.to_string().parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Percent, E> {
                v.to_string().parse().map_err(E::custom)
            }
            // The shortest decimal text of the float is what the author wrote.
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Percent, E> {
                v.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_midnight_and_weeks_on_sunday() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let wednesday = at("2026-11-25T13:00:00Z");
        assert_eq!(Period::Day.start(wednesday), at("2026-11-25T00:00:00Z"));
        assert_eq!(Period::Week.start(wednesday), at("2026-11-22T00:00:00Z"));
        assert_eq!(
            Period::Week.start(at("2026-11-22T00:00:00Z")),
            at("2026-11-22T00:00:00Z")
        );
        assert_eq!(
            Period::Week.start(at("2026-11-21T23:59:59Z")),
            at("2026-11-15T00:00:00Z")
        );
        assert_eq!(Period::Month.start(wednesday), at("2026-11-01T00:00:00Z"));
        assert_eq!(Period::Ever.start(wednesday), 0);
    }
}
