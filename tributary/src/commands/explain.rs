//! `explain`: why a conversion went to whom it went, what it earned and what of it was taken back, from the explanations
//! that stand in the ledger; and what would have to arrive to change it.

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
    flags: Vec<String>,
    keys: Vec<String>,
    explanation: String,
}

const SQL: &str = "SELECT id, kind, toUnixTimestamp64Milli(at) AS at_millis, object, customer, status, partner_id, amount,
    currency, commission, attributed_by, reason, rule, flags, keys, explanation
    FROM conversions_current WHERE id = {id:String} OR has(keys, {id:String}) OR object = {id:String} ORDER BY at, id";

/// A refund or commission of a conversion.
#[derive(clickhouse::Row, serde::Deserialize, serde::Serialize)]
struct Money {
    entry: String,
    kind: String,
    at_millis: i64,
    object: String,
    partner_id: String,
    amount: i64,
    commission: i64,
    currency: String,
    status: String,
    reason: String,
    payout_id: String,
    explanation: String,
}

// Paid rows name the payment, not the conversion: nothing that comes later may edit them.
const MONEY: &str = "SELECT * FROM (
    SELECT 'refund' AS entry, kind, toUnixTimestamp64Milli(at) AS at_millis, object, partner_id, amount, commission,
        currency, status, reason, '' AS payout_id, explanation
    FROM refunds_current WHERE conversion_id = {id:String}
    UNION ALL
    SELECT 'commission', kind, toUnixTimestamp64Milli(at), object, partner_id, amount, 0, currency, state, reason,
        payout_id, explanation
    FROM commissions_current
    WHERE conversion_id = {id:String}
        OR (conversion_id = '' AND state = 'paid' AND (object = {object:String} OR hasAny(keys, {keys:Array(String)})))
) ORDER BY at_millis, entry DESC, object, partner_id";

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
        let money: Vec<Money> = client(settings)
            .query(MONEY)
            .param("id", &entry.id)
            .param("object", &entry.object)
            .param("keys", &entry.keys)
            .fetch_all()
            .await
            .context("read ClickHouse")?;
        if json {
            let mut value = serde_json::to_value(&entry)?;
            if let Some(map) = value.as_object_mut() {
                map.insert("explanation".to_owned(), why);
                map.insert("money".to_owned(), money.iter().map(as_json).collect());
                map.insert("would_change".to_owned(), would_change(&entry).into());
            }
            output::line(&value.to_string());
        } else {
            text(&entry, &why);
            money.iter().for_each(line_of);
            output::line(&format!("  to change  {}", would_change(&entry)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(money: &Money) -> Value {
    let mut value = serde_json::to_value(money).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        let why = serde_json::from_str(&money.explanation).unwrap_or_default();
        map.insert("explanation".to_owned(), why);
    }
    value
}

/// A refund with its arithmetic, or a commission with its state.
fn line_of(money: &Money) {
    let Money {
        entry,
        kind,
        object,
        partner_id,
        amount,
        commission,
        currency,
        status,
        reason,
        payout_id,
        ..
    } = money;
    let why: Value = serde_json::from_str(&money.explanation).unwrap_or_default();
    let number = |name: &str| why.get(name).and_then(Value::as_i64).unwrap_or_default();
    let at = time(money.at_millis);
    if entry == "refund" {
        output::line(&format!(
            "  {kind:<10} {object}, {at}, {status}: {amount} {currency}, of the commission {commission}"
        ));
        output::line(&format!(
            "             {} of {} had gone back before, {} with it (rule {})",
            number("refunded_before"),
            number("gross"),
            number("refunded_after"),
            why.get("rule").and_then(Value::as_str).unwrap_or("-")
        ));
    } else {
        let because = [reason.as_str(), payout_id.as_str()]
            .into_iter()
            .filter(|text| !text.is_empty());
        let because = because.map(|text| format!(", {text}")).collect::<String>();
        output::line(&format!(
            "  {:<10} {kind} of {partner_id}: {amount} {currency}, {status}{because}",
            "commission"
        ));
    }
}

/// What would have to arrive, or be declared, for another outcome.
fn would_change(entry: &Found) -> &'static str {
    match entry.reason.as_str() {
        "no_identity" => {
            "something that says who paid: a customer, an e-mail address, a click ID or a coupon"
        }
        "identity_without_touch" => {
            "a click or coupon that names this customer, from before the sale; or `tributary assign`"
        }
        "click_not_found" => "the click that it names: it may still be on its way",
        "outside_window" => {
            "a longer window_days (`tributary reattribute`), or a later click; or `tributary assign`"
        }
        "link_not_tracked" => "a link with conversion tracking on: `tracked: true`, for clicks from then on",
        "click_too_late" => "a click from before the lead or sale",
        "unknown_coupon" => {
            "the code as a coupon of a partner (`tributary apply`): sales before are found, too"
        }
        "coupons_off" => "`coupons: true` in the workspace (C7)",
        "disconnected" => "the Stripe account, connected again",
        "other_program" => {
            "another revenue origin, or none, with the conversion: what was touched is of another program (D4)"
        }
        _ if entry.attributed_by == "assignment" => "another `tributary assign` from before it",
        _ => {
            "an earlier or later touch that the model prefers, other rules (`tributary reattribute`), or `tributary assign`"
        }
    }
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
        "assignment" => output::line(&format!(
            "  earned by  {partner_id}, by hand (rule {})",
            entry.rule
        )),
        by => output::line(&format!(
            "  earned by  {partner_id} through a {by} (rule {})",
            entry.rule
        )),
    }
    if let Some(rate) = why.pointer("/converted/rate").and_then(Value::as_str) {
        let original = |name: &str| {
            why.pointer(&format!("/converted/{name}"))
                .cloned()
                .unwrap_or_default()
        };
        output::line(&format!(
            "  converted  {} {} at {rate} (rule E6)",
            original("amount"),
            original("currency").as_str().unwrap_or_default()
        ));
    }
    if !entry.flags.is_empty() {
        output::line(&format!("  flags      {}", entry.flags.join(", ")));
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
    let lines = |earned: Option<&Value>| {
        let lines = earned
            .and_then(|earned| earned.get("lines"))
            .and_then(Value::as_array);
        lines.cloned().unwrap_or_default()
    };
    for line in lines(why.get("earned")) {
        earned(&line);
    }
    for share in why.get("shares").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| share.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        output::line(&format!(
            "  share      {} % for {} (rule C3)",
            field("percent"),
            field("partner")
        ));
        for line in lines(share.get("earned")) {
            earned(&line);
        }
    }
}

/// One line's arithmetic.
fn earned(line: &Value) {
    let field = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let commission = line.get("commission").and_then(Value::as_i64).unwrap_or_default();
    output::line(&format!(
        "  line       {} = {commission} (reward {})",
        field("how"),
        field("reward")
    ));
}
