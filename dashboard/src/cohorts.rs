//! `GET /cohorts`: what became of the customers that a month or week brought: retention, revenue, lifetime value.
//!
//! A customer belongs to the step of the first sale (`basis=sale`), or to that of the click which brought the first sale
//! (`basis=click`; who came without a click is left out). Sales and refunds count in the step in which they happened,
//! told apart by how many steps after its cohort's that is.
//!
//! Invariant: money is added up in whole minor units, and each figure of a cohort is the sum over its steps. Only rows
//! from the period's begin on are read: no sale of a customer is older than the first one, which the ledger names.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};

use crate::analytics::resolve;
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::parameters::Parameters;
use crate::period::{Interval, Period, Step};
use crate::period_request::PeriodRequest;
use crate::record::standing;
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};

/// A click may be up to five minutes later than what names it: clocks differ.
const CLOCKS_DIFFER: i64 = 300_000;
const MOST_STEPS: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    Sale,
    Click,
}

/// What customers of one step did in another.
#[derive(Row, Deserialize)]
struct Cell {
    cohort: i64,
    step: i64,
    customers: i64,
    sales: i64,
    sold: i64,
    refunded: i64,
    currency: String,
}

#[derive(Row, Deserialize)]
struct Size {
    cohort: i64,
    customers: i64,
}

pub async fn cohorts(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let bases = [("sale", Basis::Sale), ("click", Basis::Click)];
    let basis = parameters.choice("basis", &bases)?.unwrap_or(Basis::Sale);
    let steps = [("month", Step::Month), ("week", Step::Week)];
    let step = parameters.choice("step", &steps)?.unwrap_or(Step::Month);
    let filters = Filters::take(&mut parameters, Attribution::Attributed)?;
    let request = PeriodRequest::take(&mut parameters, Interval::Year)?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;
    // What they did is counted until now, however long ago the period ended.
    let until = Timestamp::from_millisecond(period.end() - 1).unwrap_or_default();
    let lasting = period
        .in_steps(step, until.max(Timestamp::now()))
        .map_err(|error| ApiError::bad("start", error))?;
    if lasting.starts().len() > MOST_STEPS {
        let reason = format!("lies more than {MOST_STEPS} steps back");
        return Err(ApiError::bad("start", reason));
    }
    let asked = Asked {
        scope: &scope,
        period: &period,
        lasting: &lasting,
        filters: &filters,
        basis,
    };
    let (sizes, cells) = tokio::try_join!(
        database.rows::<Size>("cohorts", asked.sizes()),
        database.rows::<Cell>("cohorts", asked.cells()),
    )?;
    let mut answer = asked.table(&sizes, &cells);
    answer.insert(
        "step".to_owned(),
        if step == Step::Month { "month" } else { "week" }.into(),
    );
    Ok(Json(JsonValue::Object(answer)))
}

struct Asked<'a> {
    scope: &'a Scope,
    period: &'a Period,
    /// From the period's begin until now, in steps.
    lasting: &'a Period,
    filters: &'a Filters,
    basis: Basis,
}

impl Asked<'_> {
    /// The condition of sales that stand.
    fn sales(&self) -> String {
        let condition = format!(
            "{SCOPE} AND at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC')
             AND at < fromUnixTimestamp64Milli({{until:Int64}}, 'UTC') AND kind = 'sale' AND customer != ''{}",
            self.filters.on_conversions()
        );
        standing("conversions", &condition)
    }

    /// Whether a sale makes its customer one of a cohort, and when that was.
    fn joining(&self) -> String {
        let (time, by_click) = match self.basis {
            Basis::Sale => ("at", ""),
            Basis::Click => ("clicked_at", " AND click_id != ''"),
        };
        format!(
            "toUnixTimestamp64Milli({time}) AS joined,
             (sale_type != 'recurring'{by_click} AND joined >= {{start:Int64}} AND joined < {{end:Int64}}) AS joins"
        )
    }

    fn sizes(&self) -> Statement {
        self.statement(format!(
            "SELECT roundDown(member.joined, {{bounds:Array(Int64)}}) AS cohort, toInt64(count()) AS customers
             FROM (
                SELECT customer, minIf(sale.joined, sale.joins) AS joined
                FROM (SELECT customer, {} FROM conversions WHERE {}) AS sale
                GROUP BY customer HAVING countIf(sale.joins) > 0
             ) AS member GROUP BY cohort",
            self.joining(),
            self.sales(),
        ))
    }

    fn cells(&self) -> Statement {
        let sales = self.sales();
        let refunds = standing(
            "refunds",
            &format!("{SCOPE} AND at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC')"),
        );
        self.statement(format!(
            "SELECT roundDown(member.joined, {{bounds:Array(Int64)}}) AS cohort,
                    roundDown(greatest(entry.1, member.joined), {{bounds:Array(Int64)}}) AS step,
                    toInt64(uniqExactIf(member.customer, entry.2)) AS customers, toInt64(countIf(entry.2)) AS sales,
                    sumIf(entry.3, entry.2) AS sold, sumIf(entry.3, NOT entry.2) AS refunded,
                    max(member.currency) AS currency
             FROM (
                SELECT customer, minIf(part.joined, part.joins) AS joined, max(toString(part.currency)) AS currency,
                       groupArray((part.at_ms, part.is_sale, part.amount)) AS entries
                FROM (
                   SELECT customer, {joining}, toUnixTimestamp64Milli(at) AS at_ms, true AS is_sale, amount, currency
                   FROM conversions WHERE {sales}
                   UNION ALL
                   SELECT customer, toInt64(0), toUInt8(0), toUnixTimestamp64Milli(at), false, amount, currency
                   FROM refunds WHERE {refunds} AND at < fromUnixTimestamp64Milli({{until:Int64}}, 'UTC')
                      AND conversion_id IN (SELECT id FROM conversions WHERE {sales})
                ) AS part
                GROUP BY customer HAVING countIf(part.joins) > 0
             ) AS member
             ARRAY JOIN member.entries AS entry
             GROUP BY cohort, step",
            joining = self.joining(),
        ))
    }

    fn statement(&self, sql: String) -> Statement {
        let from = match self.basis {
            Basis::Sale => self.period.start(),
            Basis::Click => self.period.start() - CLOCKS_DIFFER,
        };
        Statement::new(sql)
            .with_all(self.scope.values())
            .with_all(self.filters.values())
            .with("start", Value::Integer(self.period.start()))
            .with("end", Value::Integer(self.period.end()))
            .with("from", Value::Integer(from))
            .with("until", Value::Integer(self.lasting.end()))
            .with("bounds", Value::Integers(self.lasting.starts()))
    }

    fn table(&self, sizes: &[Size], cells: &[Cell]) -> Map<String, JsonValue> {
        let sizes: BTreeMap<i64, i64> = sizes.iter().map(|size| (size.cohort, size.customers)).collect();
        let by_place: BTreeMap<(i64, i64), &Cell> = cells
            .iter()
            .map(|cell| ((cell.cohort, cell.step), cell))
            .collect();
        let starts = self.lasting.starts();
        let mut cohorts = Vec::new();
        for (place, start) in starts.iter().enumerate() {
            if *start >= self.period.end() {
                break;
            }
            let size = sizes.get(start).copied().unwrap_or_default();
            let mut row = Total::default();
            let steps: Vec<JsonValue> = starts
                .iter()
                .skip(place)
                .enumerate()
                .map(|(since, step)| row.add(since, size, by_place.get(&(*start, *step)).copied()))
                .collect();
            cohorts.push(json!({
                "start": self.lasting.text(*start),
                "customers": size,
                "sales": row.sales,
                "saleAmount": row.sold,
                "refundAmount": row.refunded,
                "netAmount": row.sold - row.refunded,
                "lifetimeValue": each(row.sold - row.refunded, size),
                "steps": steps,
            }));
        }
        let currency = cells.iter().map(|cell| cell.currency.as_str()).max();
        let fields = [
            (
                "basis",
                json!(if self.basis == Basis::Sale {
                    "sale"
                } else {
                    "click"
                }),
            ),
            ("start", json!(self.period.text(self.period.start()))),
            ("end", json!(self.period.text(self.period.end()))),
            ("currency", json!(currency.unwrap_or_default())),
            ("cohorts", JsonValue::Array(cohorts)),
        ];
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// What a cohort has come to so far.
#[derive(Default)]
struct Total {
    sales: i64,
    sold: i64,
    refunded: i64,
}

impl Total {
    fn add(&mut self, since: usize, size: i64, cell: Option<&Cell>) -> JsonValue {
        let (customers, sales, sold, refunded) = cell.map_or((0, 0, 0, 0), |cell| {
            (cell.customers, cell.sales, cell.sold, cell.refunded)
        });
        self.sales += sales;
        self.sold += sold;
        self.refunded += refunded;
        json!({
            "since": since,
            "customers": customers,
            "retention": share(customers, size),
            "sales": sales,
            "saleAmount": sold,
            "refundAmount": refunded,
            "netAmount": sold - refunded,
            "lifetimeValue": each(self.sold - self.refunded, size),
        })
    }
}

/// A share with four decimals; none of nothing.
fn share(part: i64, whole: i64) -> JsonValue {
    if whole <= 0 {
        return JsonValue::Null;
    }
    json!((part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}

/// An amount by customer in whole minor units, half away from zero; none of nobody.
fn each(amount: i64, customers: i64) -> JsonValue {
    if customers <= 0 {
        return JsonValue::Null;
    }
    let (amount, customers) = (i128::from(amount), i128::from(customers));
    let rounded = (2 * amount.abs() + customers) / (2 * customers) * amount.signum();
    i64::try_from(rounded).map_or(JsonValue::Null, JsonValue::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_value_is_rounded_half_away_from_zero() {
        for (amount, customers, expected) in [
            (10, 4, json!(3)),
            (9, 4, json!(2)),
            (-10, 4, json!(-3)),
            (-9, 4, json!(-2)),
            (0, 3, json!(0)),
            (7, 1, json!(7)),
            (7, 0, JsonValue::Null),
        ] {
            assert_eq!(each(amount, customers), expected, "{amount} of {customers}");
        }
    }
}
