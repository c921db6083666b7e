//! `GET /analytics`: count, time series and groupings of clicks, leads and sales, in the shapes of Dub's API.
//!
//! Invariant: a series is filled with zeros and has a row for every bucket; its sum is the count.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde_json::{Map, Value as JsonValue, json};

use crate::database::Database;
use crate::dimensions::{GROUPINGS, Grouping};
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::groups;
use crate::parameters::Parameters;
use crate::period::{Interval, Period};
use crate::period_request::PeriodRequest;
use crate::scope::{SCOPE, Scope, WORKSPACE};
use crate::server::Application;
use crate::statement::Statement;
use crate::sums::{EVENTS, Event, Question, Sums};

/// What the SDKs can ask of analytics and events, and is not offered: why.
pub const NOT_OFFERED: [(&str, &str); 9] = [
    ("query", "rows of the ledger hold no metadata to search by"),
    ("externalId", "ask by linkId: /links/info?externalId=… names it"),
    (
        "tenantId",
        "ask by linkId or partnerId: /links?tenantId=… lists the links",
    ),
    ("tagIds", "links have no tags here"),
    ("tagId", "links have no tags here"),
    ("folderId", "links have no folders here"),
    (
        "root",
        "ask by key: the link of a domain itself has the key _root",
    ),
    ("qr", "ask by trigger=qr"),
    ("ref", "it is part of the destination: ask by url"),
];

#[derive(Clone, Copy)]
enum GroupBy {
    Count,
    Series,
    Dimension(&'static Grouping),
}

pub async fn analytics(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let event = parameters.choice("event", &EVENTS)?.unwrap_or(Event::Clicks);
    let group_by = group_by(&mut parameters)?.unwrap_or(GroupBy::Count);
    parameters.refuse(&NOT_OFFERED)?;
    let filters = Filters::take(&mut parameters, Attribution::Attributed)?;
    let request = PeriodRequest::take(&mut parameters, Interval::LastDay)?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;
    let columns = match group_by {
        GroupBy::Dimension(grouping) => grouping.fields,
        GroupBy::Count | GroupBy::Series => &[],
    };
    let rows = Question {
        scope: &scope,
        period: &period,
        filters: &filters,
        event,
        buckets: matches!(group_by, GroupBy::Series),
        columns,
        any_name: true,
    }
    .ask(database)
    .await?;
    Ok(Json(match group_by {
        GroupBy::Count => JsonValue::Object(figures(&rows.into_iter().next().unwrap_or_default())),
        GroupBy::Series => series(&period, rows),
        GroupBy::Dimension(grouping) => {
            let groups = groups::groups(&application, &scope.workspace, grouping, event, &rows);
            groups.into_iter().map(groups::row).collect()
        }
    }))
}

fn group_by(parameters: &mut Parameters) -> Result<Option<GroupBy>, ApiError> {
    let dimensions = GROUPINGS
        .iter()
        .map(|grouping| (grouping.name, GroupBy::Dimension(grouping)));
    // The SDKs still know it by its former name.
    let triggers = GROUPINGS.iter().find(|grouping| grouping.name == "triggers");
    let former_name = triggers.map(|grouping| ("trigger", GroupBy::Dimension(grouping)));
    let choices: Vec<(&str, GroupBy)> = [("count", GroupBy::Count), ("timeseries", GroupBy::Series)]
        .into_iter()
        .chain(dimensions)
        .chain(former_name)
        .collect();
    parameters.choice("groupBy", &choices)
}

/// The period, with the first event's time looked up where `all` needs it.
pub async fn resolve(request: PeriodRequest, scope: &Scope, database: &Database) -> Result<Period, ApiError> {
    let first = if request.needs_first() {
        // Sums by hour are the whole workspace's; a partner's are by day, or rows.
        let tables = if scope.is_partners() {
            let row = "toDateTime(at, 'UTC')";
            [
                ("day", "clicks_daily"),
                (row, "conversions"),
                (row, "refunds"),
                (row, "commissions"),
            ]
        } else {
            [
                ("hour", "clicks_hourly"),
                ("hour", "conversions_hourly"),
                ("hour", "refunds_hourly"),
                ("hour", "commissions_hourly"),
            ]
        };
        let condition = if scope.is_partners() { SCOPE } else { WORKSPACE };
        let first = tables.map(|(time, table)| {
            format!("SELECT min({time}) AS first FROM {table} WHERE {condition} HAVING count() > 0")
        });
        let sql = format!(
            "SELECT min(toInt64(toUnixTimestamp(first))) AS first FROM ({}) HAVING count() > 0",
            first.join(" UNION ALL ")
        );
        let rows: Vec<i64> = database
            .rows("first_event", Statement::new(sql).with_all(scope.values()))
            .await?;
        rows.first()
            .and_then(|second| Timestamp::from_second(*second).ok())
    } else {
        None
    };
    request.resolve(Timestamp::now(), first)
}

pub fn figures(sums: &Sums) -> Map<String, JsonValue> {
    [
        ("clicks", sums.clicks),
        ("leads", sums.leads),
        ("sales", sums.sales),
        ("saleAmount", sums.amount),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), json!(value)))
    .collect()
}

/// A row for every bucket of the period.
pub fn series(period: &Period, rows: Vec<Sums>) -> JsonValue {
    let mut by_bucket: HashMap<i64, Sums> = rows.into_iter().map(|row| (row.bucket, row)).collect();
    period
        .starts()
        .into_iter()
        .map(|start| {
            let mut row = Map::new();
            row.insert("start".to_owned(), json!(period.text(start)));
            row.extend(figures(&by_bucket.remove(&start).unwrap_or_default()));
            JsonValue::Object(row)
        })
        .collect()
}

/// The fields that name a group.
pub fn dimensions(grouping: &Grouping, values: &[String]) -> Map<String, JsonValue> {
    let fields = grouping.fields.iter().zip(values);
    let mut row: Map<String, JsonValue> = fields
        .map(|((field, _), value)| ((*field).to_owned(), json!(value)))
        .collect();
    for (field, value) in grouping.constant {
        row.insert((*field).to_owned(), json!(value));
    }
    if grouping.name == "top_links" {
        let text = |name: &str| {
            row.get(name)
                .and_then(JsonValue::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (id, domain, key) = (text("id"), text("domain"), text("key"));
        if !domain.is_empty() {
            row.insert("shortLink".to_owned(), json!(format!("https://{domain}/{key}")));
        }
        row.insert("link".to_owned(), json!(id));
    }
    row
}
