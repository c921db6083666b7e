//! Clicks, leads, sales and their amount, summed over a period by bucket or dimension.
//!
//! ```text
//!   no dimension ──────────► sums by hour          ┐
//!   link, partner, program ► sums by day and link  ├─► UNION ALL of clicks and conversions ─► GROUP BY
//!   anything else, and what                        │
//!   is not a whole unit ───► rows                  ┘
//! ```
//!
//! Invariant: all sources give the same numbers; the choice is about speed only. A group that has a sale and no
//! click in the period keeps its row.

use std::collections::BTreeMap;

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;

use crate::database::Database;
use crate::dimensions::Column;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::period::Period;
use crate::scope::{SCOPE, Scope, WORKSPACE};
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
    /// A link is one group, under any of the names that it had in the period; else each name of it is one.
    pub any_name: bool,
}

/// One group's figures. `bucket` is its start in UTC milliseconds; new sales are the first of their customers.
#[derive(Clone, Debug, Default, Row, Deserialize)]
pub struct Sums {
    pub bucket: i64,
    pub dimensions: Vec<String>,
    pub clicks: i64,
    pub leads: i64,
    pub sales: i64,
    pub amount: i64,
    pub new_sales: i64,
    pub new_amount: i64,
}

impl Sums {
    /// Adds those of another source for the same bucket and dimensions.
    fn add(&mut self, other: Self) {
        self.bucket = other.bucket;
        self.dimensions = other.dimensions;
        self.clicks += other.clicks;
        self.leads += other.leads;
        self.sales += other.sales;
        self.amount += other.amount;
        self.new_sales += other.new_sales;
        self.new_amount += other.new_amount;
    }
}

impl Question<'_> {
    pub async fn ask(&self, database: &Database) -> Result<Vec<Sums>, ApiError> {
        let (clicks, conversions) = match self.event {
            Event::Clicks => (Some(self.clicks()), None),
            Event::Leads | Event::Sales => (None, Some(self.conversions())),
            Event::Composite => (Some(self.clicks()), Some(self.conversions())),
        };
        if !self.columns.is_empty() {
            let parts = clicks.into_iter().chain(conversions).collect();
            return database.rows("sums", self.statement(parts)).await;
        }
        // Without a dimension there are few rows, and what plans them is most of it: by two statements at once.
        let rows = async |part: Option<String>| match part {
            Some(part) => database.rows::<Sums>("sums", self.statement(vec![part])).await,
            None => Ok(Vec::new()),
        };
        let (clicks, conversions) = tokio::try_join!(rows(clicks), rows(conversions))?;
        let mut sums: BTreeMap<i64, Sums> = BTreeMap::new();
        for part in clicks.into_iter().chain(conversions) {
            sums.entry(part.bucket).or_default().add(part);
        }
        Ok(sums.into_values().collect())
    }

    fn statement(&self, parts: Vec<String>) -> Statement {
        let order = match self.event {
            _ if self.buckets => "bucket",
            Event::Clicks => "clicks DESC, dimensions",
            Event::Leads => "leads DESC, dimensions",
            Event::Sales => "amount DESC, sales DESC, dimensions",
            Event::Composite => "clicks DESC, amount DESC, leads DESC, dimensions",
        };
        // The sources may have met different names of one link.
        let (shown, group) = if self.is_named_by_link() {
            ("max(part.dimensions)", "part.dimensions[1]")
        } else {
            ("part.dimensions", "part.dimensions")
        };
        let sql = format!(
            "SELECT bucket, {shown} AS dimensions, sum(part.clicks) AS clicks, sum(part.leads) AS leads,
                    sum(part.sales) AS sales, sum(part.amount) AS amount,
                    sum(part.new_sales) AS new_sales, sum(part.new_amount) AS new_amount
             FROM ({}) AS part
             GROUP BY bucket, {group}
             HAVING clicks != 0 OR leads != 0 OR sales != 0 OR amount != 0
             ORDER BY {order} LIMIT 10000",
            parts.join(" UNION ALL ")
        );
        let mut statement = Statement::new(sql)
            .with_all(self.scope.values())
            .with_all(self.filters.values());
        if self.buckets {
            statement = statement.with("bounds", Value::Integers(self.period.starts()));
        }
        statement
    }

    fn clicks(&self) -> String {
        each_source(
            &[self.period],
            Grain::of_clicks(self.scope, self.filters, self.columns),
            self.buckets,
            |grain, within| {
                let measure = match grain {
                    Grain::Rows => "toInt64(countIf(bot = '' AND duplicate_of = ''))",
                    _ => "sum(raw.clicks)",
                };
                let (key, group_by) = self.key(grain, true);
                format!(
                "SELECT {key}, {measure} AS clicks, toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount,
                        toInt64(0) AS new_sales, toInt64(0) AS new_amount
                 FROM clicks{suffix} AS raw WHERE {within}{filters} GROUP BY {group_by}",
                suffix = grain.suffix(),
                filters = self.filters.on_clicks(),
            )
            },
        )
    }

    fn conversions(&self) -> String {
        let grain = Grain::of_ledger(self.scope, self.filters, self.columns);
        each_source(&[self.period], grain, self.buckets, |grain, within| {
            let (leads, sales) = if grain == Grain::Rows {
                (
                    "sumIf(sign * quantity, kind = 'lead')",
                    [
                        "toInt64(sumIf(sign, kind = 'sale'))",
                        "sumIf(sign * raw.amount, kind = 'sale')",
                        "toInt64(sumIf(sign, kind = 'sale' AND sale_type != 'recurring'))",
                        "sumIf(sign * raw.amount, kind = 'sale' AND sale_type != 'recurring')",
                    ],
                )
            } else {
                (
                    "sum(raw.leads)",
                    [
                        "sum(raw.sales)",
                        "sum(raw.amount)",
                        "sumIf(raw.sales, sale_type != 'recurring')",
                        "sumIf(raw.amount, sale_type != 'recurring')",
                    ],
                )
            };
            let nothing = "toInt64(0)";
            let (leads, [sales, amount, new_sales, new_amount]) = match self.event {
                Event::Leads => (leads, [nothing; 4]),
                Event::Sales => (nothing, sales),
                Event::Clicks | Event::Composite => (leads, sales),
            };
            let (key, group_by) = self.key(grain, false);
            format!(
                "SELECT {key}, toInt64(0) AS clicks, {leads} AS leads, {sales} AS sales, {amount} AS amount,
                        {new_sales} AS new_sales, {new_amount} AS new_amount
                 FROM conversions{suffix} AS raw WHERE {within}{filters} GROUP BY {group_by}",
                suffix = grain.suffix(),
                filters = self.filters.on_conversions(),
            )
        })
    }

    fn is_named_by_link(&self) -> bool {
        let first = self.columns.first();
        self.any_name && first.is_some_and(|(_, column)| column.name == "link_id")
    }

    /// Bucket and dimensions, and the columns that make them: to group by an array made for each row costs more than
    /// all else.
    fn key(&self, grain: Grain, clicks: bool) -> (String, String) {
        let bucket = if self.buckets {
            format!("roundDown({}, {{bounds:Array(Int64)}})", grain.milliseconds())
        } else {
            "toInt64(0)".to_owned()
        };
        let is_name = |name: &str| self.is_named_by_link() && ["domain", "key"].contains(&name);
        let names = names(self.columns, clicks);
        let group_by = names.iter().filter(|name| **name != NONE && !is_name(name));
        let group_by: Vec<&str> = std::iter::once("bucket").chain(group_by.copied()).collect();
        let shown = names.iter().map(|name| {
            if is_name(name) {
                format!("any({name})")
            } else {
                (*name).to_owned()
            }
        });
        (
            format!("{bucket} AS bucket, {} AS dimensions", array(shown)),
            group_by.join(", "),
        )
    }
}

/// What one row of a source is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// One click, or one entry of the ledger.
    Rows,
    /// An hour of UTC.
    Hours,
    /// A link on a day of UTC. Clicks only: the ledger has hardly more rows than that.
    Days,
    /// A time to convert on a day of UTC. Conversions only.
    Times,
}

impl Grain {
    /// The coarsest source of clicks that has what is asked for. A column that clicks lack is empty in all of them.
    pub fn of_clicks(scope: &Scope, filters: &Filters, columns: &[(&'static str, Column)]) -> Self {
        let all = |is: fn(Column) -> bool| filters.all(is) && columns.iter().all(|(_, column)| is(*column));
        if all(|column| !column.on_clicks) && !scope.is_partners() {
            Self::Hours
        } else if all(|column| !column.on_clicks || column.of_link) {
            Self::Days
        } else {
            Self::Rows
        }
    }

    /// The same for conversions, refunds and commissions.
    pub fn of_ledger(scope: &Scope, filters: &Filters, columns: &[(&'static str, Column)]) -> Self {
        if !scope.is_partners()
            && filters.all(|column| column.hourly)
            && columns.iter().all(|(_, column)| column.hourly)
        {
            Self::Hours
        } else {
            Self::Rows
        }
    }

    /// The source of times to convert, of a total.
    pub fn of_times(scope: &Scope, filters: &Filters, columns: &[(&'static str, Column)]) -> Self {
        if scope.is_partners() || filters.are_any() || !columns.is_empty() {
            Self::Rows
        } else {
            Self::Times
        }
    }

    /// What the name of a table is followed by: the view of its sums, if it is not the rows.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Rows => "",
            Self::Hours => "_hourly",
            Self::Days => "_daily",
            Self::Times => "_by_time",
        }
    }

    /// The condition of what the reader may see. Sums by hour or time know no partner, and are chosen for nobody who is one.
    fn scope(self) -> &'static str {
        match self {
            Self::Hours | Self::Times => WORKSPACE,
            Self::Rows | Self::Days => SCOPE,
        }
    }

    /// The time of a row, UTC milliseconds.
    pub fn milliseconds(self) -> &'static str {
        match self {
            Self::Rows => "toUnixTimestamp64Milli(at)",
            Self::Hours => "toInt64(toUnixTimestamp(hour)) * 1000",
            Self::Days | Self::Times => "toInt64(toUnixTimestamp(day)) * 1000",
        }
    }

    /// The condition of scope and of the periods from a start to before an end, UTC milliseconds.
    fn within(self, slices: &[(i64, i64)]) -> String {
        let each = slices.iter().map(|(start, end)| self.between(*start, *end));
        let times = each.collect::<Vec<_>>().join(" OR ");
        let mut condition = format!("{} AND ({times})", self.scope());
        let first = slices.iter().map(|(start, _)| *start).min();
        let last = slices.iter().map(|(_, end)| *end - 1).max();
        // Rows have a condition of their own on it, their partition's.
        if let (Some(first), Some(last), true) = (first, last, self != Self::Rows) {
            condition += &format!("{MONTHS}{}' AND '{}'", month(first), month(last));
        }
        condition
    }

    /// The condition of rows from `start` to before `end`, UTC milliseconds.
    fn between(self, start: i64, end: i64) -> String {
        let time = match self {
            Self::Rows => {
                return format!(
                    "at >= fromUnixTimestamp64Milli({start}, 'UTC') AND at < fromUnixTimestamp64Milli({end}, 'UTC')"
                );
            }
            Self::Hours => "hour",
            Self::Days | Self::Times => "day",
        };
        format!(
            "{time} >= toDateTime({}, 'UTC') AND {time} < toDateTime({}, 'UTC')",
            start.div_euclid(1000),
            end.div_euclid(1000)
        )
    }
}

/// A SELECT of the coarse source for whatever it can answer of the periods, and one of the rows for what sticks out;
/// `select` is given the source and the condition of scope and time. The figures of both are to be added up.
pub fn each_source(
    periods: &[&Period],
    coarse: Grain,
    buckets: bool,
    select: impl Fn(Grain, &str) -> String,
) -> String {
    let (mut of_coarse, mut of_rows) = (Vec::new(), Vec::new());
    for period in periods {
        let slices = match coarse {
            Grain::Rows => vec![(false, period.start(), period.end())],
            Grain::Hours => period.slices(3_600_000, buckets),
            Grain::Days | Grain::Times => period.slices(86_400_000, buckets),
        };
        for (whole, start, end) in slices {
            let slices = if whole { &mut of_coarse } else { &mut of_rows };
            slices.push((start, end));
        }
    }
    let selects: Vec<String> = [(coarse, of_coarse), (Grain::Rows, of_rows)]
        .into_iter()
        .filter(|(_, slices)| !slices.is_empty())
        .map(|(grain, slices)| select(grain, &grain.within(&slices)))
        .collect();
    selects.join(" UNION ALL ")
}

const MONTHS: &str = " AND month BETWEEN '";

/// The statement without its conditions of months, which leave nothing out that other conditions do not.
pub fn of_any_month(sql: &str) -> String {
    let mut parts = sql.split(MONTHS);
    let first = parts.next().unwrap_or_default().to_owned();
    // 202601' AND '202611'
    parts.fold(first, |sql, part| sql + part.get(20..).unwrap_or_default())
}

/// A month of UTC, as partitions of tables are named by it.
fn month(millisecond: i64) -> String {
    let time = Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m").to_string()
}

/// What a column that clicks lack is for them.
const NONE: &str = "''";

fn names(columns: &[(&'static str, Column)], clicks: bool) -> Vec<&'static str> {
    let own = |column: Column| {
        if clicks && !column.on_clicks {
            NONE
        } else {
            column.name
        }
    };
    columns.iter().map(|(_, column)| own(*column)).collect()
}

fn array(names: impl Iterator<Item = String>) -> String {
    format!(
        "CAST([{}] AS Array(String))",
        names.collect::<Vec<_>>().join(", ")
    )
}

/// The dimensions of a row of the ledger as one array of text.
pub fn dimensions(columns: &[(&'static str, Column)]) -> String {
    array(names(columns, false).into_iter().map(str::to_owned))
}

/// The period's condition on rows; needs the parameters `start` and `end`.
pub fn within() -> &'static str {
    "at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_can_be_left_away() {
        let within = |grain: Grain| grain.within(&[(0, 86_400_000), (1_793_000_000_000, 1_799_000_000_000)]);
        let months = " AND month BETWEEN '197001' AND '202701'";
        let daily = within(Grain::Days);
        assert!(daily.ends_with(months), "{daily}");
        assert_eq!(
            of_any_month(&format!("{daily} GROUP BY day UNION ALL {daily}")),
            daily.replace(months, "") + " GROUP BY day UNION ALL " + &daily.replace(months, "")
        );
        assert!(!within(Grain::Rows).contains("month"));
    }
}
