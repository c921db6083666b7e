//! `explain`: why a conversion went to whom it went, from the explanation that stands in the ledger.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tributary_domain::ledger::table::time;

use super::ledger::client;
use crate::output;
use crate::settings::Settings;

#[derive(clickhouse::Row, serde::Deserialize, serde::Serialize)]
struct Found {
    id: String,
    kind: String,
    at_millis: i64,
    object: String,
    customer: String,
    status: String,
    partner_id: String,
    amount: i64,
    currency: String,
    commission: i64,
    attributed_by: String,
    reason: String,
    rule: String,
    explanation: String,
}

const SQL: &str = "SELECT id, kind, toUnixTimestamp64Milli(at) AS at_millis, object, customer, status, partner_id, amount,
    currency, commission, attributed_by, reason, rule, explanation
    FROM conversions_current WHERE id = {id:String} OR has(keys, {id:String}) OR object = {id:String} ORDER BY at, id";

/// Prints the explanation of everything that the ID finds.
pub async fn run(settings: &Settings, id: &str, json: bool) -> Result<ExitCode> {
    let found: Vec<Found> = client(settings)
        .query(SQL)
        .param("id", id)
        .fetch_all()
        .await
        .context("read ClickHouse")?;
    if found.is_empty() {
        output::error(&format!(
            "no conversion answers to {id:?}. It may be held (a payment without a link to anyone), or not have arrived: \
             `tributary verify` counts what is held"
        ));
        return Ok(ExitCode::FAILURE);
    }
    for entry in found {
        let why: Value = serde_json::from_str(&entry.explanation).unwrap_or_default();
        if json {
            let mut value = serde_json::to_value(&entry)?;
            if let Some(map) = value.as_object_mut() {
                map.insert("explanation".to_owned(), why);
            }
            output::line(&value.to_string());
        } else {
            text(&entry, &why);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(entry: &Found, why: &Value) {
    let Found {
        id,
        kind,
        object,
        customer,
        status,
        amount,
        currency,
        commission,
        partner_id,
        ..
    } = entry;
    output::line(&format!(
        "{kind} {id} ({object}), {}, {status}",
        time(entry.at_millis)
    ));
    output::line(&format!("  customer   {customer}"));
    output::line(&format!(
        "  amount     {amount} {currency} (minor units), commission {commission}"
    ));
    match entry.attributed_by.as_str() {
        "none" => output::line(&format!(
            "  earned by  nobody: {} (rule {})",
            entry.reason, entry.rule
        )),
        by => output::line(&format!(
            "  earned by  {partner_id} through a {by} (rule {})",
            entry.rule
        )),
    }
    for touch in why.get("touches").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| touch.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let at = touch
            .get("at")
            .and_then(Value::as_i64)
            .filter(|at| *at > 0)
            .map_or_else(|| "unknown time".to_owned(), time);
        output::line(&format!(
            "  touch      {} {} of {} at {at}: {}",
            field("kind"),
            field("id"),
            field("partner"),
            field("verdict")
        ));
    }
    for line in why
        .pointer("/earned/lines")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let field = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let commission = line.get("commission").and_then(Value::as_i64).unwrap_or_default();
        output::line(&format!(
            "  line       {} = {commission} (reward {})",
            field("how"),
            field("reward")
        ));
    }
}
