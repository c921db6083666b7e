//! `GET /events`: the latest clicks, leads, sales or refunds, page by page.
//!
//! Invariant: rows are ordered by event time and then by ID, so pages neither repeat nor skip one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::Value as JsonValue;

use crate::analytics::{NOT_OFFERED, resolve};
use crate::conversion_record::ConversionRow;
use crate::customers;
use crate::error::ApiError;
use crate::event_shape::complete;
use crate::filters::{Attribution, Filters};
use crate::parameters::Parameters;
use crate::period::{Interval, Period};
use crate::period_request::PeriodRequest;
use crate::record::{ClickRow, LedgerRow as _, RefundRow, standing};
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};
use crate::sums::{Grain, each_source, within};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Clicks,
    Leads,
    Sales,
    Refunds,
}

const KINDS: [(&str, Kind); 4] = [
    ("clicks", Kind::Clicks),
    ("leads", Kind::Leads),
    ("sales", Kind::Sales),
    ("refunds", Kind::Refunds),
];

impl Kind {
    /// ` AND …` for rows of its table.
    fn condition(self) -> &'static str {
        match self {
            Self::Leads => " AND kind = 'lead'",
            Self::Sales => " AND kind = 'sale'",
            Self::Clicks | Self::Refunds => "",
        }
    }
}

pub async fn events(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let kind = parameters.choice("event", &KINDS)?.unwrap_or(Kind::Clicks);
    let page = parameters.number("page", 1..=1_000_000)?.unwrap_or(1);
    let limit = parameters.number("limit", 1..=1000)?.unwrap_or(100);
    parameters.choice("sortBy", &[("timestamp", ())])?;
    let orders = [("asc", "ASC"), ("desc", "DESC")];
    let by_order = parameters.choice("order", &orders)?;
    let order = parameters
        .choice("sortOrder", &orders)?
        .or(by_order)
        .unwrap_or("DESC");
    parameters.refuse(&NOT_OFFERED)?;
    let filters = Filters::take(&mut parameters, Attribution::All)?;
    let request = PeriodRequest::take(&mut parameters, Interval::LastDay)?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;
    let page = Page {
        offset: (page - 1) * limit,
        limit,
        descending: order == "DESC",
    };
    let (start, end, offset) = match page.counts(kind, &scope, &filters, &period) {
        Some(counts) => page.within(&period, &database.rows("events_by_hour", counts).await?),
        None => (period.start(), period.end(), page.offset),
    };

    let condition = |kind_is: &str, filters: &str| format!("{SCOPE} AND {}{kind_is}{filters}", within());
    let statement = |columns: &str, table: &str, condition: &str| {
        Statement::new(format!(
            "SELECT {columns} FROM {table} WHERE {condition} ORDER BY at {order}, id {order}
             LIMIT {{limit:Int64}} OFFSET {{offset:Int64}}"
        ))
        .with_all(scope.values())
        .with_all(filters.values())
        .with("start", Value::Integer(start))
        .with("end", Value::Integer(end))
        .with("limit", Value::Integer(limit))
        .with("offset", Value::Integer(offset))
    };
    let rows = match kind {
        Kind::Clicks => {
            let condition = condition(" AND bot = '' AND duplicate_of = ''", &filters.on_clicks());
            let statement = statement(&ClickRow::columns(), "clicks", &condition);
            let rows: Vec<ClickRow> = database.rows("events", statement).await?;
            let nobody = BTreeMap::new();
            let whole = |row: &ClickRow| {
                let link = application.link(&scope.workspace, row.link());
                complete(row.json(), link, &nobody)
            };
            rows.iter().map(whole).collect()
        }
        Kind::Leads | Kind::Sales => {
            let condition = standing(
                "conversions",
                &condition(kind.condition(), &filters.on_conversions()),
            );
            let statement = statement(&ConversionRow::columns(), "conversions", &condition);
            let rows: Vec<ConversionRow> = database.rows("events", statement).await?;
            let customers =
                customers::named(&application, &scope, rows.iter().map(ConversionRow::customer)).await?;
            let whole = |row: &ConversionRow| {
                let link = application.link(&scope.workspace, row.link());
                let mut event = row.event();
                if let Some(fields) = event.as_object_mut().filter(|_| scope.is_partners()) {
                    // It is that of all who share the sale; a partner's own is in its commissions.
                    fields.remove("commission");
                }
                complete(event, link, &customers)
            };
            rows.iter().map(whole).collect()
        }
        Kind::Refunds => {
            let condition = standing("refunds", &condition("", &filters.on_refunds()));
            let statement = statement(&RefundRow::columns(), "refunds", &condition);
            let rows: Vec<RefundRow> = database.rows("events", statement).await?;
            rows.iter().map(RefundRow::event).collect()
        }
    };
    Ok(Json(JsonValue::Array(rows)))
}

/// Rows of an hour or day that begins at `start`, UTC milliseconds.
#[derive(Row, Deserialize)]
struct Counted {
    start: i64,
    rows: i64,
}

struct Page {
    offset: i64,
    limit: i64,
    descending: bool,
}

impl Page {
    /// How many rows there are in each hour, or day, in their order: what comes before a page need not be read then.
    /// None where no sums know it.
    fn counts(&self, kind: Kind, scope: &Scope, filters: &Filters, period: &Period) -> Option<Statement> {
        if scope.is_partners() || !filters.leave_all() {
            return None;
        }
        let (table, grain, sums, rows) = match kind {
            Kind::Clicks => (
                "clicks",
                Grain::Hours,
                ("hour", "sum(raw.clicks)"),
                "countIf(bot = '' AND duplicate_of = '')",
            ),
            Kind::Leads | Kind::Sales => (
                "conversions",
                Grain::Times,
                ("day", "sum(raw.conversions)"),
                "sum(sign)",
            ),
            Kind::Refunds => ("refunds", Grain::Hours, ("hour", "sum(raw.refunds)"), "sum(sign)"),
        };
        let counts = each_source(&[period], grain, false, |grain, within| {
            let (time, measure) = match grain {
                Grain::Rows => ("toStartOfHour(at)", rows),
                _ => sums,
            };
            format!(
                "SELECT toInt64(toUnixTimestamp({time})) * 1000 AS start, toInt64({measure}) AS rows
                 FROM {table}{} AS raw WHERE {within}{} GROUP BY start",
                grain.suffix(),
                kind.condition()
            )
        });
        let order = if self.descending { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT start, sum(part.rows) AS rows FROM ({counts}) AS part GROUP BY start ORDER BY start {order}"
        );
        Some(Statement::new(sql).with_all(scope.values()))
    }

    /// The part of the period that has the page, UTC milliseconds, and how many rows of that part come before it. One
    /// hour or day more is taken: a row that is taken back meanwhile leaves no gap.
    fn within(&self, period: &Period, counted: &[Counted]) -> (i64, i64, i64) {
        let (mut before, mut first) = (0, 0);
        while let Some(each) = counted.get(first)
            && before + each.rows <= self.offset
        {
            before += each.rows;
            first += 1;
        }
        if first == counted.len() {
            return (period.end(), period.end(), 0);
        }
        let (mut until, mut behind) = (before, first);
        while let Some(each) = counted.get(behind)
            && until < self.offset + self.limit
        {
            until += each.rows;
            behind += 1;
        }
        let start_of = |place: usize| counted.get(place).map(|each| each.start);
        let (start, end) = if self.descending {
            (start_of(behind), first.checked_sub(1).and_then(start_of))
        } else {
            (start_of(first), start_of(behind + 1))
        };
        (
            start.unwrap_or(i64::MIN).max(period.start()),
            end.unwrap_or(period.end()),
            self.offset - before,
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn within(offset: i64, limit: i64, descending: bool, rows: &[i64]) -> (i64, i64, i64) {
        let period = Period::between(
            &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC),
            Timestamp::from_millisecond(10 * HOUR).ok(),
            Timestamp::from_millisecond(10 * HOUR).unwrap(),
        );
        let mut counted: Vec<Counted> = (0..)
            .zip(rows)
            .map(|(hour, rows)| Counted {
                start: hour * HOUR,
                rows: *rows,
            })
            .collect();
        if descending {
            counted.reverse();
        }
        let page = Page {
            offset,
            limit,
            descending,
        };
        let (start, end, offset) = page.within(&period.unwrap(), &counted);
        (start / HOUR, end / HOUR, offset)
    }

    #[test]
    fn a_page_is_sought_where_it_is() {
        let rows = [5, 5, 5, 5, 5, 5, 5, 5, 5, 5];
        // The whole period, if it has no more than the page.
        assert_eq!(within(0, 100, true, &rows), (0, 10, 0));
        assert_eq!(within(0, 100, false, &rows), (0, 10, 0));
        // The page's hours and one more.
        assert_eq!(within(0, 5, true, &rows), (8, 10, 0));
        assert_eq!(within(0, 5, false, &rows), (0, 2, 0));
        assert_eq!(within(12, 5, true, &rows), (5, 8, 2));
        assert_eq!(within(12, 5, false, &rows), (2, 5, 2));
        assert_eq!(within(10, 5, true, &rows), (6, 8, 0));
        // Towards the other end nothing is left out.
        assert_eq!(within(40, 5, true, &rows), (0, 2, 0));
        assert_eq!(within(45, 5, true, &rows), (0, 1, 0));
        assert_eq!(within(45, 5, false, &rows), (9, 10, 0));
        // Behind the last row there is none.
        assert_eq!(within(50, 5, true, &rows), (10, 10, 0));
        assert_eq!(within(50, 5, false, &rows), (10, 10, 0));
    }
}
