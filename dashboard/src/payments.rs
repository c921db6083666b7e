//! `GET /payments/{id}`: everything about one payment, by whichever of its IDs is at hand.
//!
//! Invariant: `net` is the sum of the standing rows shown beside it.

use axum::Json;
use axum::extract::{Path, Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::conversion_record::ConversionRow;
use crate::database::Database;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::record::{CommissionRow, RefundRow, standing};
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};

/// Kinds of object keys; the ledger's `keys` may hold an ID bare or behind one of them.
const OBJECT_KINDS: [&str; 6] = ["ch", "pi", "in", "cs", "sale", "lead"];

const LONGEST_ID: usize = 500;

const BY_KEYS: &str = "hasAny(keys, {keys:Array(String)})";
const BY_ID: &str = "id = {id:String}";
const OF_CONVERSIONS: &str = "conversion_id IN {ids:Array(String)}";

pub async fn payment(
    State(application): State<Application>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let id = id.trim().to_owned();
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(ApiError::bad(
            "id",
            format!("has no or more than {LONGEST_ID} bytes"),
        ));
    }

    // One after the other: an index finds keys or IDs, and neither for "or".
    let mut conversions = Vec::new();
    for by in [BY_KEYS, BY_ID] {
        if conversions.is_empty() {
            let statement = find(
                &scope,
                &id,
                keys_of(&id),
                &ConversionRow::columns(),
                "conversions",
                by,
            );
            conversions = database.rows::<ConversionRow>("payment", statement).await?;
        }
    }
    // Leads that carry the same key stand aside: the payment is the sale.
    let Some(conversion) = conversions
        .iter()
        .find(|row| row.is_sale())
        .or(conversions.first())
    else {
        return Err(not_found(&id, &scope, database).await?);
    };
    let ids: Vec<String> = conversions.iter().map(|row| row.id.clone()).collect();
    let keys: Vec<String> = conversions.iter().flat_map(|row| row.keys.clone()).collect();
    // What follows from a conversion carries its keys.
    let by = if keys.is_empty() {
        OF_CONVERSIONS.to_owned()
    } else {
        format!("{OF_CONVERSIONS} AND {BY_KEYS}")
    };
    let follow = |columns: &str, table: &str| {
        find(&scope, &id, keys.clone(), columns, table, &by).with("ids", Value::Texts(ids.clone()))
    };
    let refunds = follow(&RefundRow::columns(), "refunds");
    let commissions = follow(CommissionRow::columns(), "commissions");
    let (refunds, commissions) = tokio::try_join!(
        database.rows::<RefundRow>("payment", refunds),
        database.rows::<CommissionRow>("payment", commissions),
    )?;
    let refunded: i64 = refunds.iter().map(|row| row.amount).sum();
    let sold: i64 = conversions
        .iter()
        .filter(|row| row.is_sale())
        .map(|row| row.amount)
        .sum();
    let earned: i64 = commissions.iter().map(|row| row.amount).sum();
    Ok(Json(json!({
        "id": id,
        "workspace": scope.workspace,
        "mode": scope.mode,
        "conversion": conversion.full(),
        "conversions": conversions.iter().map(ConversionRow::full).collect::<Vec<_>>(),
        "partner": conversion.partner(),
        "coupon": conversion.coupon(),
        "commissions": commissions.iter().map(CommissionRow::full).collect::<Vec<_>>(),
        "refunds": refunds.iter().map(RefundRow::full).collect::<Vec<_>>(),
        "net": {
            "amount": sold - refunded,
            "refunded": refunded,
            "commission": earned,
            "currency": conversion.currency,
        },
        "explanation": conversion.explanation(),
    })))
}

/// The ways in which a payment's ID may stand in the ledger's `keys`.
pub fn keys_of(id: &str) -> Vec<String> {
    let prefixed = OBJECT_KINDS.iter().map(|kind| format!("{kind}:{id}"));
    std::iter::once(id.to_owned()).chain(prefixed).collect()
}

fn find(scope: &Scope, id: &str, keys: Vec<String>, columns: &str, table: &str, by: &str) -> Statement {
    let condition = format!("{SCOPE} AND {by}");
    Statement::new(format!(
        "SELECT {columns} FROM {table} WHERE {} ORDER BY at, id",
        standing(table, &condition)
    ))
    .with_all(scope.values())
    .with("id", Value::Text(id.to_owned()))
    .with("keys", Value::Texts(keys))
}

#[derive(Row, Deserialize)]
struct Elsewhere {
    mode: String,
}

/// Says what to do next: look in the mode that has it, or wait and check the endpoint.
async fn not_found(id: &str, scope: &Scope, database: &Database) -> Result<ApiError, ApiError> {
    let statement = Statement::new(format!(
        "SELECT toString(mode) AS mode FROM conversions WHERE {} LIMIT 1",
        standing(
            "conversions",
            &format!(
                "workspace = {{workspace:String}} AND mode != {{mode:String}} AND ({BY_ID} OR {BY_KEYS})"
            )
        )
    ))
    .with_all(scope.values())
    .with("id", Value::Text(id.to_owned()))
    .with("keys", Value::Texts(keys_of(id)));
    let elsewhere: Vec<Elsewhere> = database.rows("payment_elsewhere", statement).await?;
    let Scope { workspace, mode, .. } = scope;
    let next = match elsewhere.first() {
        Some(other) => format!("It is in mode {other}: ask again with mode={other}.", other = other.mode),
        None => "A payment appears about a second after its webhook; if it does not, check that the Stripe endpoint \
                 sends invoice, charge and checkout events to this workspace, and look for the event in the dead \
                 letters."
            .to_owned(),
    };
    Ok(ApiError::NotFound(format!(
        "No conversion of workspace {workspace:?} in mode {mode:?} answers to {id:?}. {next}"
    )))
}
