//! `GET /partners/analytics`: what one partner brought and earned: in all, as a series, or by link.
//!
//! Invariant: earnings are the net state of the ledger's commissions, as in `/commissions`, whatever they are for; the
//! groups' and the series' sums are the count.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::analytics::{figures, resolve, series};
use crate::dimensions::{GROUPINGS, Grouping};
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::groups;
use crate::parameters::Parameters;
use crate::period::{Interval, Period};
use crate::period_request::PeriodRequest;
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};
use crate::sums::{Event, Question, Sums, dimensions, within};

#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupBy {
    Count,
    Series,
    Links,
}

const GROUP_BY: [(&str, GroupBy); 3] = [
    ("count", GroupBy::Count),
    ("timeseries", GroupBy::Series),
    ("top_links", GroupBy::Links),
];

/// Commissions of a bucket, or of a link.
#[derive(Row, Deserialize)]
struct Earned {
    bucket: i64,
    dimensions: Vec<String>,
    earnings: i64,
}

pub async fn analytics(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let group_by = parameters.choice("groupBy", &GROUP_BY)?.unwrap_or(GroupBy::Count);
    parameters.refuse(&[("query", "rows of the ledger hold no metadata to search by")])?;
    let (id, tenant) = (parameters.text("partnerId")?, parameters.text("tenantId")?);
    let request = PeriodRequest::take(&mut parameters, Interval::LastDay)?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let filters = of_partner(partner(&application, &scope, id, tenant)?)?;
    let period = resolve(request, &scope, database).await?;
    let by_link = GROUPINGS
        .iter()
        .find(|grouping| grouping.name == "top_links" && group_by == GroupBy::Links);
    let question = Question {
        scope: &scope,
        period: &period,
        filters: &filters,
        event: Event::Composite,
        buckets: group_by == GroupBy::Series,
        columns: by_link.map_or(&[], |grouping| grouping.fields),
        any_name: false,
    };
    let earned = database.rows::<Earned>("partner_earnings", earnings(&question));
    let (sums, earned) = tokio::try_join!(question.ask(database), earned)?;
    Ok(Json(match by_link {
        Some(grouping) => links(&application, &scope, grouping, sums, &earned),
        None if group_by == GroupBy::Series => each_bucket(&period, sums, &earned),
        None => {
            let mut row = figures(&sums.into_iter().next().unwrap_or_default());
            let all: i64 = earned.iter().map(|row| row.earnings).sum();
            row.insert("earnings".to_owned(), all.into());
            JsonValue::Object(row)
        }
    }))
}

fn partner(
    application: &Application,
    scope: &Scope,
    id: Option<String>,
    tenant: Option<String>,
) -> Result<String, ApiError> {
    match (id, tenant) {
        (Some(id), _) => Ok(id),
        (None, Some(tenant)) => application
            .partner_of_tenant(&scope.workspace, &tenant)
            .ok_or_else(|| ApiError::NotFound("tenantId: there is no such partner".to_owned())),
        (None, None) => Err(ApiError::bad("partnerId", "give this or tenantId")),
    }
}

/// One partner only: here a comma separates nothing.
fn of_partner(id: String) -> Result<Filters, ApiError> {
    if id.contains(',') || id.starts_with('-') {
        return Err(ApiError::bad("partnerId", "must be one partner's ID"));
    }
    let only = [("partnerId".to_owned(), id)];
    Filters::take(&mut Parameters::new(only), Attribution::Attributed)
}

fn earnings(question: &Question<'_>) -> Statement {
    let bucket = if question.buckets {
        "roundDown(toUnixTimestamp64Milli(at), {bounds:Array(Int64)})"
    } else {
        "toInt64(0)"
    };
    let sql = format!(
        "SELECT {bucket} AS bucket, {} AS dimensions, sum(sign * raw.amount) AS earnings
         FROM commissions AS raw WHERE {SCOPE} AND {}{} GROUP BY bucket, dimensions",
        dimensions(question.columns),
        within(),
        question.filters.on_commissions(),
    );
    let statement = Statement::new(sql)
        .with_all(question.scope.values())
        .with_all(question.filters.values())
        .with("start", Value::Integer(question.period.start()))
        .with("end", Value::Integer(question.period.end()));
    if question.buckets {
        return statement.with("bounds", Value::Integers(question.period.starts()));
    }
    statement
}

fn each_bucket(period: &Period, sums: Vec<Sums>, earned: &[Earned]) -> JsonValue {
    let earned: BTreeMap<i64, i64> = earned.iter().map(|row| (row.bucket, row.earnings)).collect();
    let mut rows = series(period, sums);
    for (row, start) in rows.as_array_mut().into_iter().flatten().zip(period.starts()) {
        if let Some(fields) = row.as_object_mut() {
            let earnings = earned.get(&start).copied().unwrap_or_default();
            fields.insert("earnings".to_owned(), earnings.into());
        }
    }
    rows
}

fn links(
    application: &Application,
    scope: &Scope,
    grouping: &Grouping,
    mut sums: Vec<Sums>,
    earned: &[Earned],
) -> JsonValue {
    let mut by_id: BTreeMap<String, i64> = BTreeMap::new();
    let known: BTreeSet<Vec<String>> = sums.iter().map(|row| row.dimensions.clone()).collect();
    for row in earned {
        let id = row.dimensions.first().cloned().unwrap_or_default();
        *by_id.entry(id).or_default() += row.earnings;
        // What was earned or taken back later than what it is for.
        if !known.contains(&row.dimensions) {
            sums.push(Sums {
                dimensions: row.dimensions.clone(),
                ..Sums::default()
            });
        }
    }
    let groups = groups::groups(application, &scope.workspace, grouping, Event::Composite, &sums);
    let rows = groups.into_iter().map(|group| {
        let mut row = groups::row(group);
        if let Some(fields) = row.as_object_mut() {
            let id = fields.get("id").and_then(JsonValue::as_str).unwrap_or_default();
            // Once: a link that was elsewhere in the period, and is not declared any more, has two rows.
            let earnings = by_id.remove(id).unwrap_or_default();
            fields.insert("earnings".to_owned(), json!(earnings));
        }
        row
    });
    rows.collect()
}
