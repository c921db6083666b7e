//! Clicks, leads, sales and their amount, summed over a period by bucket or dimension.
//!
//! ```text
//!   whole hours, few dimensions ─► sums by hour ┐
//!   anything else ───────────────► raw rows ────┴─► UNION ALL of clicks and conversions ─► GROUP BY
//! ```
//!
//! Invariant: both sources give the same numbers; the choice is about speed only. A group that has a sale and no
//! click in the period keeps its row.

use clickhouse::Row;
use serde::Deserialize;

use crate::database::Database;
use crate::dimensions::Column;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::period::Period;
use crate::scope::{SCOPE, Scope};
use crate::statement::{Statement, Value};

/// Which of the figures are asked for; the others are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Clicks,
    Leads,
    Sales,
    Composite,
}

/// Names as in the query string.
pub const EVENTS: [(&str, Event); 4] = [
    ("clicks", Event::Clicks),
    ("leads", Event::Leads),
    ("sales", Event::Sales),
    ("composite", Event::Composite),
];

/// What to sum.
pub struct Question<'a> {
    pub scope: &'a Scope,
    pub period: &'a Period,
    pub filters: &'a Filters,
    pub event: Event,
    /// By bucket of the period.
    pub buckets: bool,
    pub columns: &'a [(&'static str, Column)],
    /// Count only first sales of a customer: a renewal is no step of a funnel.
    pub new_sales_only: bool,
}

/// One group's figures. `bucket` is its start in UTC milliseconds.
#[derive(Clone, Debug, Default, Row, Deserialize)]
pub struct Sums {
    pub bucket: i64,
    pub dimensions: Vec<String>,
    pub clicks: i64,
    pub leads: i64,
    pub sales: i64,
    pub amount: i64,
}

impl Question<'_> {
    pub async fn ask(&self, database: &Database) -> Result<Vec<Sums>, ApiError> {
        database.rows("sums", self.statement()).await
    }

    fn is_hourly(&self) -> bool {
        self.period.is_whole_hours()
            && self.filters.hourly()
            && self.columns.iter().all(|(_, column)| column.hourly)
    }

    fn statement(&self) -> Statement {
        let mut parts = Vec::new();
        if matches!(self.event, Event::Clicks | Event::Composite) {
            parts.push(self.clicks());
        }
        if self.event != Event::Clicks {
            parts.push(self.conversions());
        }
        let order = match self.event {
            _ if self.buckets => "bucket",
            Event::Clicks => "clicks DESC, dimensions",
            Event::Leads => "leads DESC, dimensions",
            Event::Sales => "amount DESC, sales DESC, dimensions",
            Event::Composite => "clicks DESC, amount DESC, leads DESC, dimensions",
        };
        let sql = format!(
            "SELECT bucket, dimensions, sum(part.clicks) AS clicks, sum(part.leads) AS leads,
                    sum(part.sales) AS sales, sum(part.amount) AS amount
             FROM ({}) AS part
             GROUP BY bucket, dimensions
             HAVING clicks != 0 OR leads != 0 OR sales != 0 OR amount != 0
             ORDER BY {order} LIMIT 10000",
            parts.join(" UNION ALL ")
        );
        let mut statement = Statement::new(sql)
            .with_all(self.scope.values())
            .with_all(self.filters.values())
            .with("start", Value::Integer(self.period.start()))
            .with("end", Value::Integer(self.period.end()));
        if self.buckets {
            statement = statement.with("bounds", Value::Integers(self.period.starts()));
        }
        statement
    }

    fn clicks(&self) -> String {
        let (table, measure) = if self.is_hourly() {
            ("clicks_hourly", "sum(raw.clicks)")
        } else {
            ("clicks", "toInt64(countIf(bot = '' AND duplicate_of = ''))")
        };
        format!(
            "SELECT {key}, {measure} AS clicks, toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount
             FROM {table} AS raw WHERE {SCOPE} AND {time}{filters} GROUP BY bucket, dimensions",
            key = self.key(true),
            time = within(self.is_hourly()),
            filters = self.filters.on_clicks(),
        )
    }

    fn conversions(&self) -> String {
        let new = if self.new_sales_only {
            "sale_type != 'recurring'"
        } else {
            "1"
        };
        let (table, leads, sales, amount) = if self.is_hourly() {
            (
                "conversions_hourly",
                "sum(raw.leads)".to_owned(),
                format!("sumIf(raw.sales, {new})"),
                format!("sumIf(raw.amount, {new})"),
            )
        } else {
            (
                "conversions",
                "sumIf(sign * quantity, kind = 'lead')".to_owned(),
                format!("toInt64(sumIf(sign, kind = 'sale' AND {new}))"),
                format!("sumIf(sign * raw.amount, kind = 'sale' AND {new})"),
            )
        };
        let nothing = "toInt64(0)".to_owned();
        let (leads, sales, amount) = match self.event {
            Event::Leads => (leads, nothing.clone(), nothing),
            Event::Sales => (nothing, sales, amount),
            Event::Clicks | Event::Composite => (leads, sales, amount),
        };
        format!(
            "SELECT {key}, toInt64(0) AS clicks, {leads} AS leads, {sales} AS sales, {amount} AS amount
             FROM {table} AS raw WHERE {SCOPE} AND {time}{filters} GROUP BY bucket, dimensions",
            key = self.key(false),
            time = within(self.is_hourly()),
            filters = self.filters.on_conversions(),
        )
    }

    fn key(&self, clicks: bool) -> String {
        let time = if self.is_hourly() {
            "toInt64(toUnixTimestamp(hour)) * 1000"
        } else {
            "toUnixTimestamp64Milli(at)"
        };
        let bucket = if self.buckets {
            format!("roundDown({time}, {{bounds:Array(Int64)}})")
        } else {
            "toInt64(0)".to_owned()
        };
        format!(
            "{bucket} AS bucket, {} AS dimensions",
            dimensions(self.columns, clicks)
        )
    }
}

/// The dimensions of a row as one array of text.
pub fn dimensions(columns: &[(&'static str, Column)], clicks: bool) -> String {
    let names: Vec<&str> = columns
        .iter()
        .map(|(_, column)| {
            if clicks && !column.on_clicks {
                "''"
            } else {
                column.name
            }
        })
        .collect();
    format!("CAST([{}] AS Array(String))", names.join(", "))
}

/// The period's condition; needs the parameters `start` and `end`.
pub fn within(hourly: bool) -> &'static str {
    if hourly {
        "hour >= toDateTime(intDiv({start:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({end:Int64}, 1000), 'UTC')"
    } else {
        "at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
    }
}
