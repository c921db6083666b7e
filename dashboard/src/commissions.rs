//! `GET /commissions`: what partners earned and what was taken back, in the shape that the `dub` SDKs parse.
//!
//! Invariant: earnings, summed over all pages, are the net state of the ledger's commissions.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};
use tributary_domain::ledger::invoice;

use crate::analytics::resolve;
use crate::customers;
use crate::database::Database;
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::paging::Page;
use crate::parameters::{Parameters, negated};
use crate::payments;
use crate::period::{Interval, utc_text};
use crate::period_request::PeriodRequest;
use crate::record::{standing, text_or_null};
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};
use crate::sums::within;

/// Types as SDKs name them, and the ledger's kinds. What is taken back is told beside what it is taken from.
const TYPES: [(&str, &[&str]); 5] = [
    ("click", &["click"]),
    ("lead", &["lead"]),
    ("sale", &["sale", "take_back"]),
    ("referral", &[]),
    ("custom", &["custom", "correction"]),
];

/// States as SDKs name them, and the ledger's.
const STATES: [(&str, &str); 8] = [
    ("pending", "pending"),
    ("processed", "approved"),
    ("paid", "paid"),
    ("hold", "withheld"),
    ("canceled", "reversed"),
    // The ledger has none of these: what is refunded is an entry of its own.
    ("refunded", ""),
    ("duplicate", ""),
    ("fraud", ""),
];

#[derive(Row, Deserialize, Default)]
struct CommissionRow {
    id: String,
    kind: String,
    at_ms: i64,
    amount: i64,
    currency: String,
    state: String,
    reason: String,
    conversion_id: String,
    refund_id: String,
    customer: String,
    partner_id: String,
    group_id: String,
}

const COLUMNS: &str =
    "id, kind, toUnixTimestamp64Milli(at) AS at_ms, amount, currency, state, reason, conversion_id,
    refund_id, customer, partner_id, group_id";

/// The conversion that earned one.
#[derive(Row, Deserialize)]
struct Earned {
    id: String,
    amount: i64,
    quantity: i64,
    keys: Vec<String>,
    object: String,
}

impl CommissionRow {
    fn json(&self, earned: Option<&Earned>, customer: Option<&JsonValue>, partner: &str) -> JsonValue {
        let kind = TYPES
            .iter()
            .find(|(_, kinds)| kinds.contains(&self.kind.as_str()));
        let state = STATES.iter().find(|(_, state)| *state == self.state);
        let description = match (self.reason.as_str(), self.refund_id.as_str()) {
            ("", "") => JsonValue::Null,
            ("", refund) => format!("taken back by {refund}").into(),
            (reason, _) => reason.into(),
        };
        json!({
            "id": self.id,
            "type": kind.map_or("custom", |(name, _)| name),
            "amount": earned.map_or(0, |earned| earned.amount),
            "earnings": self.amount,
            "currency": self.currency,
            "status": state.map_or("pending", |(name, _)| name),
            "invoiceId": earned.and_then(|earned| invoice(&earned.keys, &earned.object)),
            "description": description,
            "quantity": earned.map_or(1, |earned| earned.quantity),
            "userId": null,
            "metadata": null,
            "createdAt": utc_text(self.at_ms),
            "updatedAt": utc_text(self.at_ms),
            "paidAt": null,
            "partner": {
                "id": self.partner_id, "name": partner, "email": null, "image": null, "payoutsEnabledAt": null,
                "country": null, "groupId": text_or_null(&self.group_id),
            },
            "customer": customer,
        })
    }
}

/// A row made of nothing, to be described.
pub fn sample() -> JsonValue {
    CommissionRow::default().json(None, None, "")
}

/// The kinds of `type=a,b` or `type=-a`.
fn kinds(parameters: &mut Parameters) -> Result<Option<(bool, Vec<String>)>, ApiError> {
    let Some(text) = parameters.list("type").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let (not, names) = negated(&text);
    let mut kinds = Vec::new();
    for name in names.split(',').map(str::trim) {
        let known = TYPES.iter().find(|(known, _)| *known == name);
        let (_, own) = known.ok_or_else(|| {
            let all: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            ApiError::bad("type", format!("{name:?} is none of {}", all.join(", ")))
        })?;
        kinds.extend(own.iter().map(|kind| (*kind).to_owned()));
    }
    Ok(Some((not, kinds)))
}

pub async fn list(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let page = Page::take(&mut parameters, &[("createdAt", "at"), ("amount", "amount")])?;
    let kinds = kinds(&mut parameters)?;
    let state = parameters.choice("status", &STATES)?;
    let payout = parameters.text("payoutId")?;
    let invoice = parameters.text("invoiceId")?;
    let filters = Filters::take(&mut parameters, Attribution::All)?;
    let request = PeriodRequest::take(&mut parameters, Interval::All)?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;

    let mut condition = format!("{SCOPE} AND {}{}", within(), filters.on_commissions());
    let mut values = vec![
        ("start".to_owned(), Value::Integer(period.start())),
        ("end".to_owned(), Value::Integer(period.end())),
    ];
    let mut also = |sql: &str, name: &str, value: Value| {
        condition.push_str(sql);
        values.push((name.to_owned(), value));
    };
    if let Some((not, kinds)) = kinds {
        let operator = if not { "NOT IN" } else { "IN" };
        also(
            &format!(" AND kind {operator} {{kinds:Array(String)}}"),
            "kinds",
            Value::Texts(kinds),
        );
    }
    if let Some(state) = state {
        also(
            " AND state = {state:String}",
            "state",
            Value::Text(state.to_owned()),
        );
    }
    if let Some(payout) = payout {
        also(" AND payout_id = {payout:String}", "payout", Value::Text(payout));
    }
    if let Some(invoice) = invoice {
        let keys = Value::Texts(payments::keys_of(&invoice));
        also(" AND hasAny(keys, {keys:Array(String)})", "keys", keys);
    }
    let statement = Statement::new(page.of_standing("commissions", COLUMNS, &condition))
        .with_all(scope.values())
        .with_all(filters.values())
        .with_all(values);
    let rows: Vec<CommissionRow> = page.ask(database, "commissions", statement).await?;

    let earned = earned(database, &scope, &rows).await?;
    let customers = customers::of(&application, &scope, rows.iter().map(|row| &row.customer)).await?;
    let rows = rows.iter().map(|row| {
        row.json(
            earned.get(&row.conversion_id),
            customers.get(&row.customer),
            &application.partner_name(&scope.workspace, &row.partner_id),
        )
    });
    Ok(Json(rows.collect()))
}

async fn earned(
    database: &Database,
    scope: &Scope,
    rows: &[CommissionRow],
) -> Result<BTreeMap<String, Earned>, ApiError> {
    let ids = rows.iter().map(|row| row.conversion_id.clone());
    let ids: Vec<String> = ids.filter(|id| !id.is_empty()).collect();
    let condition = format!("{SCOPE} AND id IN {{ids:Array(String)}}");
    let statement = Statement::new(format!(
        "SELECT id, amount, quantity, keys, object FROM conversions WHERE {}",
        standing("conversions", &condition)
    ))
    .with_all(scope.values())
    .with("ids", Value::Texts(ids));
    let found: Vec<Earned> = database.rows("commissions_earned", statement).await?;
    Ok(found.into_iter().map(|row| (row.id.clone(), row)).collect())
}
