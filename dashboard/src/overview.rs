//! `GET /overview`: the figures on top of the page, with the period before and with revenue that nobody earned.

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::analytics::{figures, resolve};
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::parameters::Parameters;
use crate::period::{Interval, Period};
use crate::period_request::PeriodRequest;
use crate::scope::{Scope, workspaces};
use crate::server::Application;
use crate::statement::Statement;
use crate::sums::{Event, Grain, Question, Sums, each_slice};

#[derive(Row, Deserialize, Default)]
struct Machines {
    bots: i64,
    duplicates: i64,
}

#[derive(Row, Deserialize)]
struct Reason {
    reason: String,
    sales: i64,
    amount: i64,
}

#[derive(Row, Deserialize, Default)]
struct Money {
    currency: String,
    refunds: i64,
    refunded: i64,
    commission: i64,
}

pub async fn overview(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    parameters.refuse(&[(
        "attribution",
        "the overview shows what somebody earned and what nobody earned, side by side",
    )])?;
    let filters = Filters::take(&mut parameters, Attribution::Attributed)?;
    let request = PeriodRequest::take(&mut parameters, Interval::Days(30))?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;
    let before = period.before();
    let ask = |period| Question {
        scope: &scope,
        period,
        filters: &filters,
        event: Event::Composite,
        buckets: false,
        columns: &[],
        new_sales_only: false,
    };
    let (current, previous) = (ask(&period), ask(&before));
    let about = |sql: String| {
        Statement::new(sql)
            .with_all(scope.values())
            .with_all(filters.values())
    };
    let (current, previous, machines, reasons, money) = tokio::try_join!(
        current.ask(database),
        previous.ask(database),
        database.rows::<Machines>("machines", about(machines(&scope, &filters, &period))),
        database.rows::<Reason>("unattributed", about(unattributed(&scope, &filters, &period))),
        database.rows::<Money>("money", about(money(&scope, &filters, &period))),
    )?;
    let current = current.into_iter().next().unwrap_or_default();
    let machines = machines.into_iter().next().unwrap_or_default();
    let money = money.into_iter().next().unwrap_or_default();
    Ok(Json(answer(
        &period,
        &current,
        previous.first(),
        &machines,
        &reasons,
        &money,
    )))
}

fn answer(
    period: &Period,
    current: &Sums,
    previous: Option<&Sums>,
    machines: &Machines,
    reasons: &[Reason],
    money: &Money,
) -> JsonValue {
    let lost: i64 = reasons.iter().map(|row| row.amount).sum();
    let mut answer = figures(current);
    let rest = json!({
        "start": period.text(period.start()),
        "end": period.text(period.end()),
        "currency": money.currency,
        "bots": machines.bots,
        "duplicates": machines.duplicates,
        "refunds": money.refunds,
        "refundAmount": money.refunded,
        "commission": money.commission,
        "totalAmount": current.amount + lost,
        "netAmount": current.amount + lost - money.refunded,
        "unattributed": {
            "sales": reasons.iter().map(|row| row.sales).sum::<i64>(),
            "saleAmount": lost,
            "reasons": reasons.iter()
                .map(|row| json!({"reason": row.reason, "sales": row.sales, "saleAmount": row.amount}))
                .collect::<Vec<_>>(),
        },
        "previous": figures(previous.unwrap_or(&Sums::default())),
    });
    if let JsonValue::Object(rest) = rest {
        answer.extend(rest);
    }
    JsonValue::Object(answer)
}

fn machines(scope: &Scope, filters: &Filters, period: &Period) -> String {
    let slices = each_slice(
        period,
        Grain::of_clicks(scope, filters, &[]),
        false,
        |grain, within| {
            let (bots, duplicates, table) = match grain {
                Grain::Rows => (
                    "toInt64(countIf(bot != ''))",
                    "toInt64(countIf(bot = '' AND duplicate_of != ''))",
                    "clicks",
                ),
                Grain::Hours => ("sum(raw.bots)", "sum(raw.duplicates)", "clicks_hourly"),
                Grain::Days => (
                    "toInt64(countIf(bot != ''))",
                    "toInt64(countIf(bot = '' AND duplicate_of NOT IN ('')))",
                    "clicks",
                ),
            };
            format!(
                "SELECT {bots} AS bots, {duplicates} AS duplicates FROM {table} AS raw WHERE {within}{}",
                filters.on_clicks()
            )
        },
    );
    format!("SELECT sum(part.bots) AS bots, sum(part.duplicates) AS duplicates FROM ({slices}) AS part")
}

/// Sales that nobody earned. A filter on a partner or link leaves none, since these have neither.
fn unattributed(scope: &Scope, filters: &Filters, period: &Period) -> String {
    let slices = each_slice(
        period,
        Grain::of_ledger(scope, filters, &[]),
        false,
        |grain, within| {
            let (sales, amount, table) = if grain == Grain::Rows {
                (
                    "toInt64(sumIf(sign, kind = 'sale'))",
                    "sumIf(sign * raw.amount, kind = 'sale')",
                    "conversions",
                )
            } else {
                ("sum(raw.sales)", "sum(raw.amount)", "conversions_hourly")
            };
            format!(
                "SELECT toString(raw.reason) AS reason, {sales} AS sales, {amount} AS amount
             FROM {table} AS raw WHERE {within} AND attributed_by IN ('', 'none'){} GROUP BY reason",
                filters.on_refunds()
            )
        },
    );
    format!(
        "SELECT reason, sum(part.sales) AS sales, sum(part.amount) AS amount FROM ({slices}) AS part
         GROUP BY reason HAVING sales != 0 OR amount != 0 ORDER BY amount DESC, reason"
    )
}

fn money(scope: &Scope, filters: &Filters, period: &Period) -> String {
    let slices = each_slice(
        period,
        Grain::of_ledger(scope, filters, &[]),
        false,
        |grain, within| {
            let condition = format!("{within}{}", filters.on_refunds());
            let commissions = format!("{within}{}", filters.on_commissions());
            let (suffix, refunds, amount, sold) = if grain == Grain::Rows {
                (
                    "",
                    "toInt64(sum(sign))",
                    "sum(sign * raw.amount)",
                    "raw.kind = 'sale'",
                )
            } else {
                ("_hourly", "sum(raw.refunds)", "sum(raw.amount)", "raw.sales != 0")
            };
            format!(
                "SELECT max(toString(raw.currency)) AS currency, {refunds} AS refunds, {amount} AS refunded,
                    toInt64(0) AS commission
             FROM refunds{suffix} AS raw WHERE {condition}
             UNION ALL
             SELECT '', toInt64(0), toInt64(0), {amount} FROM commissions{suffix} AS raw WHERE {commissions}
             UNION ALL
             SELECT max(toString(raw.currency)), toInt64(0), toInt64(0), toInt64(0)
             FROM conversions{suffix} AS raw WHERE {condition} AND {sold}"
            )
        },
    );
    format!(
        "SELECT max(part.currency) AS currency, sum(part.refunds) AS refunds, sum(part.refunded) AS refunded,
                sum(part.commission) AS commission
         FROM ({slices}) AS part"
    )
}

/// `GET /workspaces`: what there is to look at.
///
/// A key sees its own workspace, which `manage::scope` has put into the query.
pub async fn list_workspaces(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let only = parameters.text("workspace")?;
    parameters.text("mode")?;
    parameters.finish()?;
    let workspaces = workspaces(&application.database).await?;
    let rows = workspaces
        .into_iter()
        .filter(|(id, _)| only.as_ref().is_none_or(|only| only == id))
        .map(|(id, modes)| json!({"id": id, "modes": modes}));
    Ok(Json(rows.collect()))
}
