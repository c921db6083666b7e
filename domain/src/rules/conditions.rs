//! Conditions of reward modifiers (rules F1 and F1a): what may be asked, how, and the answer.
//!
//! What is not known answers no question about a number or a date. Texts compare strictly, with case; metadata is text,
//! and compares as a number where the condition gives one.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One question about a lead or sale, its customer or its partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is asked about, e.g. `sale.productId` or `sale.metadata.plan`.
    pub attribute: Attribute,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with: a text, a number, a date as text, or a list of texts and numbers.
    pub value: Operand,
}

/// What conditions may ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Country of the click that brought the customer, ISO 3166-1 alpha-2.
    CustomerCountry,
    /// tracked or trial: how the lead came to be.
    CustomerSource,
    /// Full months from the start of the sale's subscription to the sale.
    SubscriptionDurationMonths,
    /// Start of the sale's subscription.
    SubscriptionStartDate,
    /// The customer's first lead, else the first sale.
    SignupDate,
    /// Country of the partner.
    PartnerCountry,
    /// A total of the partner until the last day that had closed.
    PartnerTotal(Total),
    /// Product of the line.
    SaleProductId,
    /// Amount of the whole sale, minor units of its currency.
    SaleAmount,
    /// new or recurring.
    SaleType,
    /// A field of the sale's metadata.
    SaleMetadata(String),
    /// A field of the lead's metadata.
    LeadMetadata(String),
}

/// What a partner had brought when a day closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Clicks.
    Clicks,
    /// Leads.
    Leads,
    /// Sales.
    Conversions,
    /// Amount of its sales, minor units.
    SaleAmount,
    /// What it earned, minor units.
    Commissions,
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The same.
    EqualsTo,
    /// Anything else; also what is not there.
    NotEquals,
    /// The text begins with it.
    StartsWith,
    /// The text ends with it.
    EndsWith,
    /// The text has it somewhere.
    Contains,
    /// The text has it nowhere.
    NotContains,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// More.
    GreaterThan,
    /// More or the same.
    GreaterThanOrEqual,
    /// Less.
    LessThan,
    /// Less or the same.
    LessThanOrEqual,
}

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Operand {
    /// A number: whole, or decimal as YAML writes it.
    Number(serde_json::Number),
    /// A text, or a date.
    Text(String),
    /// Texts and numbers.
    List(Vec<Operand>),
}

/// What is known of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// It is not known.
    Unknown,
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
    /// A moment, UTC milliseconds.
    Time(i64),
    /// Metadata: a text that may be a number.
    Metadata(&'a str),
}

impl Condition {
    /// Whether it holds for what is known of its attribute.
    pub fn holds(&self, value: Value<'_>) -> bool {
        match self.operator {
            Operator::EqualsTo => equal(value, &self.value),
            Operator::In => self.list().any(|one| equal(value, one)),
            // An unknown number or date matches nothing; an unknown text is not the one asked for.
            Operator::NotEquals => self.is_comparable(value) && !equal(value, &self.value),
            Operator::NotIn => self.is_comparable(value) && !self.list().any(|one| equal(value, one)),
            Operator::StartsWith => self.text(value, |text, part| text.starts_with(part)),
            Operator::EndsWith => self.text(value, |text, part| text.ends_with(part)),
            Operator::Contains => self.text(value, |text, part| text.contains(part)),
            Operator::NotContains => {
                self.is_comparable(value) && !self.text(value, |text, part| text.contains(part))
            }
            Operator::GreaterThan => order(value, &self.value).is_some_and(|o| o.is_gt()),
            Operator::GreaterThanOrEqual => order(value, &self.value).is_some_and(|o| o.is_ge()),
            Operator::LessThan => order(value, &self.value).is_some_and(|o| o.is_lt()),
            Operator::LessThanOrEqual => order(value, &self.value).is_some_and(|o| o.is_le()),
        }
    }

    fn list(&self) -> impl Iterator<Item = &Operand> {
        match &self.value {
            Operand::List(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        }
        .iter()
    }

    fn is_comparable(&self, value: Value<'_>) -> bool {
        let is_number = matches!(
            self.attribute,
            Attribute::SaleAmount
                | Attribute::PartnerTotal(_)
                | Attribute::SubscriptionDurationMonths
                | Attribute::SubscriptionStartDate
                | Attribute::SignupDate
        );
        !(is_number && value == Value::Unknown)
    }

    fn text(&self, value: Value<'_>, test: impl Fn(&str, &str) -> bool) -> bool {
        match (value, &self.value) {
            (Value::Text(text) | Value::Metadata(text), Operand::Text(part)) => test(text, part),
            _ => false,
        }
    }

    /// Why no value could ever be compared like this; None if it makes sense.
    pub fn problem(&self) -> Option<String> {
        use Operator::{Contains, EndsWith, GreaterThan, GreaterThanOrEqual, In, LessThan};
        use Operator::{LessThanOrEqual, NotContains, NotIn, StartsWith};
        let is_list = matches!(self.value, Operand::List(_));
        let Self {
            attribute,
            operator,
            value,
        } = self;
        match operator {
            In | NotIn if !is_list => Some(format!("{attribute}: the value of in and not_in is a list")),
            In | NotIn => None,
            _ if is_list => Some(format!("{attribute}: only in and not_in take a list")),
            StartsWith | EndsWith | Contains | NotContains if !matches!(value, Operand::Text(_)) => {
                Some(format!("{attribute}: the value must be a text"))
            }
            GreaterThan | GreaterThanOrEqual | LessThan | LessThanOrEqual
                if attribute.is_time() && time(value).is_none() =>
            {
                Some(format!("{attribute}: the value must be a date, e.g. 2026-01-31"))
            }
            GreaterThan | GreaterThanOrEqual | LessThan | LessThanOrEqual
                if !attribute.is_time() && number(value).is_none() =>
            {
                Some(format!("{attribute}: the value must be a number"))
            }
            _ => None,
        }
    }
}

fn number(operand: &Operand) -> Option<Decimal> {
    match operand {
        Operand::Number(number) => Decimal::from_str(&number.to_string()).ok(),
        _ => None,
    }
}

/// A date means its first moment, UTC.
fn time(operand: &Operand) -> Option<i64> {
    let Operand::Text(text) = operand else {
        return None;
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_millisecond())
}

fn equal(value: Value<'_>, operand: &Operand) -> bool {
    match (value, operand) {
        (Value::Text(text) | Value::Metadata(text), Operand::Text(other)) => text == other,
        _ => order(value, operand).is_some_and(|o| o.is_eq()),
    }
}

/// How a number or date stands to the operand; None if they cannot be compared.
fn order(value: Value<'_>, operand: &Operand) -> Option<std::cmp::Ordering> {
    match value {
        Value::Number(value) => Some(Decimal::from(value).cmp(&number(operand)?)),
        Value::Metadata(text) => Some(Decimal::from_str(text.trim()).ok()?.cmp(&number(operand)?)),
        Value::Time(value) => Some(value.cmp(&time(operand)?)),
        Value::Text(_) | Value::Unknown => None,
    }
}

const NAMES: &[(&str, Attribute)] = &[
    ("customer.country", Attribute::CustomerCountry),
    ("customer.source", Attribute::CustomerSource),
    (
        "customer.subscriptionDurationMonths",
        Attribute::SubscriptionDurationMonths,
    ),
    ("customer.subscriptionStartDate", Attribute::SubscriptionStartDate),
    ("customer.signupDate", Attribute::SignupDate),
    ("partner.country", Attribute::PartnerCountry),
    ("partner.totalClicks", Attribute::PartnerTotal(Total::Clicks)),
    ("partner.totalLeads", Attribute::PartnerTotal(Total::Leads)),
    (
        "partner.totalConversions",
        Attribute::PartnerTotal(Total::Conversions),
    ),
    (
        "partner.totalSaleAmount",
        Attribute::PartnerTotal(Total::SaleAmount),
    ),
    (
        "partner.totalCommissions",
        Attribute::PartnerTotal(Total::Commissions),
    ),
    ("sale.productId", Attribute::SaleProductId),
    ("sale.amount", Attribute::SaleAmount),
    ("sale.type", Attribute::SaleType),
];
const SALE_METADATA: &str = "sale.metadata.";
const LEAD_METADATA: &str = "lead.metadata.";

impl Attribute {
    fn is_time(&self) -> bool {
        matches!(self, Self::SubscriptionStartDate | Self::SignupDate)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SaleMetadata(name) => write!(f, "{SALE_METADATA}{name}"),
            Self::LeadMetadata(name) => write!(f, "{LEAD_METADATA}{name}"),
            known => {
                let name = NAMES.iter().find(|(_, attribute)| attribute == known);
                f.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}

impl FromStr for Attribute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(SALE_METADATA).filter(|name| !name.is_empty()) {
            return Ok(Self::SaleMetadata(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix(LEAD_METADATA).filter(|name| !name.is_empty()) {
            return Ok(Self::LeadMetadata(name.to_owned()));
        }
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, attribute)| attribute.clone()).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "{text:?} cannot be asked about (F1); there are {}, {SALE_METADATA}* and {LEAD_METADATA}*",
                names.join(", ")
            )
        })
    }
}

impl Serialize for Attribute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(attribute: &str, operator: &str, operand: &str, value: Value<'_>) -> bool {
        let text = format!(r#"{{"attribute":"{attribute}","operator":"{operator}","value":{operand}}}"#);
        let condition: Condition = serde_json::from_str(&text).unwrap();
        assert_eq!(condition.problem(), None, "{text}");
        condition.holds(value)
    }

    #[test]
    fn texts_compare_with_case_and_type() {
        let plan = "sale.metadata.plan";
        let product = "sale.productId";
        assert!(holds(product, "equals_to", r#""a""#, Value::Text("a")));
        assert!(!holds(product, "equals_to", r#""A""#, Value::Text("a")));
        assert!(!holds(product, "equals_to", "5", Value::Text("5")));
        assert!(holds(product, "starts_with", r#""prod_""#, Value::Text("prod_a")));
        assert!(holds(product, "ends_with", r#""_a""#, Value::Text("prod_a")));
        assert!(holds(product, "not_contains", r#""b""#, Value::Text("prod_a")));
        assert!(holds(product, "in", r#"["x","a"]"#, Value::Text("a")));
        assert!(holds(product, "not_in", r#"["x"]"#, Value::Unknown));
        assert!(holds(product, "not_equals", r#""x""#, Value::Unknown));
        assert!(!holds(product, "contains", r#""x""#, Value::Unknown));
        assert!(holds(plan, "greater_than", "9.5", Value::Metadata("10")));
        assert!(!holds(plan, "greater_than", "9.5", Value::Metadata("ten")));
        assert!(holds(plan, "equals_to", r#""10""#, Value::Metadata("10")));
        assert!(holds(plan, "equals_to", "10", Value::Metadata("10.0")));
    }

    #[test]
    fn an_unknown_number_matches_nothing() {
        let months = "customer.subscriptionDurationMonths";
        for operator in [
            "equals_to",
            "not_equals",
            "greater_than",
            "less_than",
            "less_than_or_equal",
        ] {
            assert!(!holds(months, operator, "3", Value::Unknown), "{operator}");
        }
        assert!(holds(months, "not_equals", "3", Value::Number(4)));
        assert!(holds(months, "greater_than_or_equal", "3", Value::Number(3)));
        assert!(!holds(months, "less_than", "3", Value::Number(3)));
    }

    #[test]
    fn dates_compare_at_their_first_moment() {
        let midnight = Value::Time(1_767_225_600_000);
        let signup = "customer.signupDate";
        assert!(holds(
            signup,
            "greater_than_or_equal",
            r#""2026-01-01""#,
            midnight
        ));
        assert!(!holds(signup, "greater_than", r#""2026-01-01""#, midnight));
        assert!(holds(signup, "less_than", r#""2026-01-01T00:00:01Z""#, midnight));
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        for (attribute, operator, value) in [
            ("sale.amount", "greater_than", r#""5""#),
            ("sale.amount", "in", "5"),
            ("sale.type", "equals_to", r#"["new"]"#),
            ("customer.signupDate", "less_than", r#""soon""#),
            ("sale.type", "contains", "5"),
        ] {
            let text = format!(r#"{{"attribute":"{attribute}","operator":"{operator}","value":{value}}}"#);
            let condition: Condition = serde_json::from_str(&text).unwrap();
            assert!(condition.problem().is_some(), "{text}");
        }
        assert!("sale.colour".parse::<Attribute>().is_err());
        for (name, attribute) in NAMES {
            assert_eq!(attribute.to_string(), *name);
        }
    }

    #[test]
    fn what_is_denied_is_the_contrary_of_what_is_known() {
        let product = "sale.productId";
        assert!(holds(product, "not_equals", r#""b""#, Value::Text("a")));
        assert!(!holds(product, "not_equals", r#""a""#, Value::Text("a")));
        assert!(holds(product, "not_in", r#"["x","b"]"#, Value::Text("a")));
        assert!(!holds(product, "not_in", r#"["x","a"]"#, Value::Text("a")));
        assert!(!holds(product, "not_contains", r#""od_""#, Value::Text("prod_a")));
        assert!(!holds("sale.amount", "not_in", "[5]", Value::Unknown));
        assert!(!holds("sale.amount", "not_contains", r#""5""#, Value::Unknown));
        assert!(holds("sale.amount", "not_in", "[5]", Value::Number(4)));
        assert!(!holds("sale.amount", "not_in", "[4, 5]", Value::Number(4)));
    }

    #[test]
    fn attributes_are_written_as_they_are_read() {
        for name in ["sale.metadata.plan", "lead.metadata.a.b", "customer.country"] {
            let attribute: Attribute = name.parse().unwrap();
            let text = serde_json::to_string(&attribute).unwrap();
            assert_eq!(text, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Attribute>(&text).unwrap(), attribute);
        }
        for name in ["sale.metadata.", "lead.metadata.", "metadata.plan", ""] {
            assert!(name.parse::<Attribute>().is_err(), "{name}");
        }
    }
}
