//! What links, partners, coupons and programs brought since the beginning: one statement for all of a kind.
//!
//! ```text
//!   clicks, conversions, refunds, commissions ┐
//!   what is declared and brought nothing ─────┴─► UNION ALL ─► GROUP BY id ─► a page
//! ```
//!
//! From the raw rows; of clicks, ClickHouse keeps sums by link and day beside them, whose expressions are these to the
//! letter. Invariant: net state, as everywhere; nothing here is cut by time.

use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};

use crate::period::utc_text;
use crate::scope::SCOPE;

/// What is told apart, by which column, and what is told of each.
pub struct Kind {
    pub id: &'static str,
    /// Columns of which the largest text stands for all.
    pub labels: &'static [&'static str],
    /// Clicks have these columns.
    pub of_clicks: bool,
}

/// One of them.
#[derive(Row, Deserialize)]
pub struct Brought {
    pub id: String,
    pub labels: Vec<String>,
    pub created_ms: i64,
    clicks: i64,
    leads: i64,
    sales: i64,
    amount: i64,
    refunded: i64,
    earned: i64,
    currency: String,
    last_ms: i64,
}

pub const COLUMNS: &str =
    "id, labels, created_ms, clicks, leads, sales, amount, refunded, earned, currency, last_ms";

/// Names to sort by, and their columns.
pub const SORTS: [(&str, &str); 6] = [
    ("clicks", "clicks"),
    ("saleAmount", "amount"),
    ("sales", "sales"),
    ("leads", "leads"),
    ("earnings", "earned"),
    ("createdAt", "created_ms"),
];

/// A table's measures: clicks, leads, sales, amount, refunded, earned, currency, last. Those it lacks are nothing.
type Measures = [&'static str; 8];

const NONE: &str = "toInt64(0)";

const CLICKS: Measures = ["sum(raw.clicks)", NONE, NONE, NONE, NONE, NONE, "''", NONE];

const CONVERSIONS: Measures = [
    NONE,
    "sumIf(sign * quantity, kind = 'lead')",
    "toInt64(sumIf(sign, kind = 'sale'))",
    "sumIf(sign * raw.amount, kind = 'sale')",
    NONE,
    NONE,
    "max(toString(raw.currency))",
    "max(toUnixTimestamp64Milli(raw.at))",
];

const REFUNDS: Measures = [NONE, NONE, NONE, NONE, "sum(sign * raw.amount)", NONE, "''", NONE];

const COMMISSIONS: Measures = [
    NONE,
    NONE,
    NONE,
    NONE,
    NONE,
    "sum(sign * raw.amount)",
    "max(toString(raw.currency))",
    NONE,
];

impl Kind {
    /// All of the kind as a table of [`COLUMNS`]. `declared` is a table of `id` and `created`, or empty.
    pub fn table(&self, declared: &str) -> String {
        let mut parts = vec![
            self.part("conversions", CONVERSIONS),
            self.part("refunds", REFUNDS),
            self.part("commissions", COMMISSIONS),
        ];
        if self.of_clicks {
            parts.push(self.part("clicks_daily", CLICKS));
        }
        let places = (1..=self.labels.len()).map(|place| format!("max(part.label_{place})"));
        let labels = places.collect::<Vec<_>>().join(", ");
        if !declared.is_empty() {
            let labels = self.labels.iter().map(|_| "'', ").collect::<String>();
            parts.push(format!(
                "SELECT id, {labels}{NONE}, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}, '', {NONE}, created FROM {declared}"
            ));
        }
        format!(
            "SELECT part.id AS id, CAST([{labels}] AS Array(String)) AS labels, max(part.created) AS created_ms,
                    sum(part.clicks) AS clicks, sum(part.leads) AS leads, sum(part.sales) AS sales,
                    sum(part.amount) AS amount, sum(part.refunded) AS refunded, sum(part.earned) AS earned,
                    max(part.currency) AS currency, max(part.last) AS last_ms
             FROM ({}) AS part GROUP BY id",
            parts.join(" UNION ALL ")
        )
    }

    fn part(&self, table: &str, measures: Measures) -> String {
        let columns: Vec<&str> = std::iter::once(self.id)
            .chain(self.labels.iter().copied())
            .collect();
        let mut shown = vec![format!("toString(raw.{}) AS id", self.id)];
        for (place, label) in (1..).zip(self.labels) {
            shown.push(format!("toString(raw.{label}) AS label_{place}"));
        }
        let names = [
            "clicks", "leads", "sales", "amount", "refunded", "earned", "currency", "last",
        ];
        shown.extend(
            measures
                .iter()
                .zip(names)
                .map(|(measure, name)| format!("{measure} AS {name}")),
        );
        let columns: Vec<String> = columns.iter().map(|column| format!("raw.{column}")).collect();
        format!(
            "SELECT {}, {NONE} AS created FROM {table} AS raw WHERE {SCOPE} AND raw.{} != '' GROUP BY {}",
            shown.join(", "),
            self.id,
            columns.join(", ")
        )
    }
}

impl Brought {
    /// A label by its place; empty if there is none.
    pub fn label(&self, place: usize) -> &str {
        self.labels.get(place).map_or("", String::as_str)
    }

    /// The figures as fields; an object to be added to.
    pub fn json(&self) -> Map<String, JsonValue> {
        let time = |millis: i64| {
            if millis == 0 {
                JsonValue::Null
            } else {
                utc_text(millis).into()
            }
        };
        [
            ("id", json!(self.id)),
            ("clicks", json!(self.clicks)),
            ("leads", json!(self.leads)),
            ("sales", json!(self.sales)),
            ("saleAmount", json!(self.amount)),
            ("refundAmount", json!(self.refunded)),
            ("earnings", json!(self.earned)),
            ("currency", json!(self.currency)),
            ("lastConversionAt", time(self.last_ms)),
            ("createdAt", time(self.created_ms)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}
