//! `GET /payments/{id}`: everything about one payment, by whichever of its IDs is at hand.
//!
//! Invariant: `net` is the sum of the standing rows shown beside it.

use axum::Json;
use axum::extract::{Path, Query, State};
use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::conversion_record::ConversionRow;
use crate::database::Database;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::record::{CommissionRow, LedgerRow, RefundRow, standing, standing_of};
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};

/// Kinds of object keys; the ledger's `keys` may hold an ID bare or behind one of them.
const OBJECT_KINDS: [&str; 6] = ["ch", "pi", "in", "cs", "sale", "lead"];

const LONGEST_ID: usize = 500;

const BY_KEYS: &str = "hasAny(keys, {values:Array(String)})";
const BY_ID: &str = "id IN {values:Array(String)}";
const OF_CONVERSIONS: &str = "conversion_id IN {values:Array(String)}";

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

    // What follows from a conversion carries its keys.
    let keys = keys_of(&id);
    let (mut conversions, mut refunds, mut commissions): (
        Vec<ConversionRow>,
        Vec<RefundRow>,
        Vec<CommissionRow>,
    ) = tokio::try_join!(
        find(database, &scope, BY_KEYS, keys.clone()),
        find(database, &scope, BY_KEYS, keys.clone()),
        find(database, &scope, BY_KEYS, keys),
    )?;
    // One after the other: an index finds keys or IDs, and neither for "or".
    if conversions.is_empty() {
        conversions = find(database, &scope, BY_ID, [id.clone()]).await?;
        // Keys have an index, and the conversion that something follows from has none.
        let keys: Vec<String> = conversions.iter().flat_map(|row| row.keys.clone()).collect();
        let (by, values) = if keys.is_empty() {
            (
                OF_CONVERSIONS,
                conversions.iter().map(|row| row.id.clone()).collect(),
            )
        } else {
            (BY_KEYS, keys)
        };
        (refunds, commissions) = tokio::try_join!(
            find(database, &scope, by, values.clone()),
            find(database, &scope, by, values),
        )?;
    }
    // Leads that carry the same key stand aside: the payment is the sale.
    let Some(conversion) = conversions
        .iter()
        .find(|row| row.is_sale())
        .or(conversions.first())
    else {
        return Err(not_found(&id, &scope, database).await?);
    };
    let is_of_these = |id: &str| conversions.iter().any(|conversion| conversion.id == id);
    refunds.retain(|refund| is_of_these(&refund.conversion_id));
    commissions.retain(|commission| is_of_these(&commission.conversion_id));
    if is_paid(&conversions, &commissions) {
        // What was paid is made of the payout's own words: it names the payment by any of its IDs, and no conversion.
        let keys = conversions.iter().flat_map(|row| &row.keys);
        let objects = conversions.iter().map(|row| &row.object);
        let names = keys.chain(objects).flat_map(|key| names_of(key));
        let names = names.chain(keys_of(&id));
        let mut paid: Vec<CommissionRow> = find(database, &scope, BY_KEYS, names).await?;
        // One for the same name that was given by hand is none of the payment's.
        paid.retain(|row| {
            row.is_payment() && conversions.iter().any(|conversion| conversion.kind == row.kind)
        });
        commissions.extend(paid);
    }
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

/// Whether something was paid of what was earned, or there is any doubt about it: what is earned has a row until it is
/// paid, and a correction says that something else was paid.
fn is_paid(conversions: &[ConversionRow], commissions: &[CommissionRow]) -> bool {
    let earned: i64 = conversions.iter().map(|row| row.commission).sum();
    let open = commissions
        .iter()
        .filter(|row| row.is_earned())
        .map(|row| row.amount);
    open.sum::<i64>() != earned || commissions.iter().any(CommissionRow::is_correction)
}

/// The ways in which a payout may name what has this key: by the key, or by the ID in it.
fn names_of(key: &str) -> impl Iterator<Item = String> {
    let id = key.split_once(':').map(|(_, id)| id.to_owned());
    std::iter::once(key.to_owned()).chain(id)
}

/// The ways in which a payment's ID may stand in the ledger's `keys`.
pub fn keys_of(id: &str) -> Vec<String> {
    let prefixed = OBJECT_KINDS.iter().map(|kind| format!("{kind}:{id}"));
    std::iter::once(id.to_owned()).chain(prefixed).collect()
}

/// Rows that stand, by one of the conditions. They are few: what was taken back is told among them, here, and which parts
/// of the tables have them is found out before they are read, not while.
async fn find<T>(
    database: &Database,
    scope: &Scope,
    by: &str,
    values: impl IntoIterator<Item = String>,
) -> Result<Vec<T>, ApiError>
where
    T: LedgerRow + RowOwned + RowRead,
{
    let statement = Statement::new(format!(
        "SELECT {} FROM {} PREWHERE {SCOPE} AND {by} SETTINGS use_skip_indexes_on_data_read = 0",
        T::columns(),
        T::TABLE
    ))
    .with_all(scope.values())
    .with("values", Value::Texts(values.into_iter().collect()));
    Ok(standing_of(database.rows("payment", statement).await?))
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
    .with("values", Value::Texts(keys_of(id)));
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
