//! `GET /events`: the latest clicks, leads, sales or refunds, page by page.
//!
//! Invariant: rows are ordered by event time and then by ID, so pages neither repeat nor skip one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use serde_json::Value as JsonValue;

use crate::analytics::{NOT_OFFERED, resolve};
use crate::conversion_record::ConversionRow;
use crate::customers;
use crate::error::ApiError;
use crate::event_shape::complete;
use crate::filters::{Attribution, Filters};
use crate::parameters::Parameters;
use crate::period::Interval;
use crate::period_request::PeriodRequest;
use crate::record::{ClickRow, LedgerRow as _, RefundRow, standing};
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};
use crate::sums::within;

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

    let condition = |kind_is: &str, filters: &str| format!("{SCOPE} AND {}{kind_is}{filters}", within());
    let statement = |columns: &str, table: &str, condition: &str| {
        Statement::new(format!(
            "SELECT {columns} FROM {table} WHERE {condition} ORDER BY at {order}, id {order}
             LIMIT {{limit:Int64}} OFFSET {{offset:Int64}}"
        ))
        .with_all(scope.values())
        .with_all(filters.values())
        .with("start", Value::Integer(period.start()))
        .with("end", Value::Integer(period.end()))
        .with("limit", Value::Integer(limit))
        .with("offset", Value::Integer((page - 1) * limit))
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
            let kind_is = if matches!(kind, Kind::Leads) {
                " AND kind = 'lead'"
            } else {
                " AND kind = 'sale'"
            };
            let condition = standing("conversions", &condition(kind_is, &filters.on_conversions()));
            let statement = statement(&ConversionRow::columns(), "conversions", &condition);
            let rows: Vec<ConversionRow> = database.rows("events", statement).await?;
            let customers =
                customers::named(&application, &scope, rows.iter().map(ConversionRow::customer)).await?;
            let whole = |row: &ConversionRow| {
                let link = application.link(&scope.workspace, row.link());
                complete(row.event(), link, &customers)
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
