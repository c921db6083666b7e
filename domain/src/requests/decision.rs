//! `/commissions`: decisions about what partners earn (rules F6, F7, G7), for secret keys and tokens with commissions.write.
//!
//! They are told, not checked against the ledger: who decides about what is not there decides about nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tributary_avro::{Track, TrackCommand};

use super::destination::decode;
use super::directory::Key;
use super::fields::{Fields, TEXT_LIMIT};
use super::track::accepted;
use super::{Accepted, ApiError, Call, Directory, Request, access, money};
use crate::click_id;
use crate::normalize::{MAX_AMOUNT, MOST_COMMANDS, holds_address, named};
use crate::rules::Permission;

/// As long as facts take it.
const NAME_LIMIT: usize = 500;

/// `PATCH /commissions/{id}`.
pub(super) fn one(
    id: &str,
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let key = access::permitted(request, directory, call, Permission::CommissionsWrite)?;
    let fields = Fields::parse(request.body)?;
    let command = decision(&decode(id, false), &fields)?;
    accept(vec![command], &fields, key, call)
}

/// `PATCH /commissions/bulk`.
pub(super) fn many(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let key = access::permitted(request, directory, call, Permission::CommissionsWrite)?;
    let fields = Fields::parse(request.body)?;
    let told = fields.objects("commissions")?.unwrap_or_default();
    if !(1..=MOST_COMMANDS).contains(&told.len()) {
        return Err(ApiError::field(
            "commissions",
            format_args!("must have 1 to {MOST_COMMANDS} entries"),
        ));
    }
    let mut commands = Vec::with_capacity(told.len());
    let mut seen: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for (i, fields) in told.iter().enumerate() {
        let place = |e: ApiError| ApiError::field(&format!("commissions[{i}]"), e.message);
        let id = fields.text("id", NAME_LIMIT).map_err(place)?.unwrap_or_default();
        let command = decision(id, fields).map_err(place)?;
        // All of them are of one moment: of two that differ neither would be the later. No partner means all of them.
        let own = (command.partner_id.clone(), command.payout_id.clone());
        let of_id = seen.entry(id).or_default();
        let meets = |(partner, payout): &(String, String)| {
            *payout == own.1 && (*partner == own.0 || partner.is_empty() || own.0.is_empty())
        };
        if of_id.iter().any(meets) {
            return Err(place(ApiError::field("id", "stands twice for this partner")));
        }
        of_id.push(own);
        commands.push(command);
    }
    accept(commands, &fields, key, call)
}

/// `POST /commissions`: one that somebody gives or takes by hand (rule F7).
pub(super) fn custom(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let key = access::permitted(request, directory, call, Permission::CommissionsWrite)?;
    let fields = Fields::parse(request.body)?;
    let partner = fields.plain("partnerId", TEXT_LIMIT)?;
    let reason = fields.plain("reason", NAME_LIMIT)?;
    for (name, value) in [("partnerId", partner), ("reason", reason)] {
        if value.is_empty() {
            return Err(ApiError::field(name, "is required (F7)"));
        }
    }
    let amount = amount(&fields, -MAX_AMOUNT)?
        .filter(|amount| *amount != 0)
        .ok_or_else(|| ApiError::field("amount", "is required, in minor units, and not 0 (F7)"))?;
    let currency = match fields.plain("currency", TEXT_LIMIT)? {
        "" => directory
            .settings(&key.workspace)
            .map_or_else(|| "usd".to_owned(), |settings| settings.currency.clone()),
        told => money::currency("currency", told)?,
    };
    let id = match fields.plain("id", TEXT_LIMIT)? {
        "" => click_id::new(call.at, call.random),
        told => told.to_owned(),
    };
    let command = TrackCommand {
        command: "custom".to_owned(),
        object: format!("custom:{id}"),
        names: id,
        partner_id: partner.to_owned(),
        amount,
        currency,
        reason: reason.to_owned(),
        ..TrackCommand::default()
    };
    accept(vec![command], &fields, key, call)
}

fn decision(id: &str, fields: &Fields) -> Result<TrackCommand, ApiError> {
    let id = id.trim();
    if id.is_empty() {
        return Err(ApiError::field("id", "is required"));
    }
    super::fields::within("id", id, NAME_LIMIT)?;
    if holds_address(id) {
        return Err(ApiError::field("id", "must hold no e-mail address (B1a)"));
    }
    let command = match fields.required("status")?.to_lowercase().as_str() {
        "approved" => "approve",
        "rejected" => "reject",
        "withheld" => "withhold",
        "released" => "release",
        "paid" => "pay",
        "refunded" => "refund",
        _ => {
            return Err(ApiError::field(
                "status",
                "must be approved, rejected, withheld, released, paid or refunded",
            ));
        }
    };
    let (names, object) = named(id);
    let told = TrackCommand {
        command: command.to_owned(),
        names,
        object,
        partner_id: fields.plain("partnerId", TEXT_LIMIT)?.to_owned(),
        amount: amount(fields, 1)?.unwrap_or_default(),
        currency: match fields.plain("currency", TEXT_LIMIT)? {
            "" => String::new(),
            told => money::currency("currency", told)?,
        },
        payout_id: match command {
            // Told twice it is one, which a refund of all that is left is by itself.
            "refund" => fields.plain("refundId", TEXT_LIMIT)?,
            _ => fields.plain("payoutId", TEXT_LIMIT)?,
        }
        .to_owned(),
        reason: fields.plain("reason", NAME_LIMIT)?.to_owned(),
    };
    check(&told)?;
    Ok(told)
}

/// Each kind has what it needs, and nothing that it would not read: money that is passed over is a mistake.
fn check(told: &TrackCommand) -> Result<(), ApiError> {
    let kind = told.command.as_str();
    let has = |text: &str| !text.is_empty();
    for (name, is_told, takes, needs) in [
        (
            "amount",
            told.amount != 0,
            matches!(kind, "pay" | "refund"),
            kind == "pay",
        ),
        ("currency", has(&told.currency), kind == "pay", kind == "pay"),
        (
            if kind == "refund" { "refundId" } else { "payoutId" },
            has(&told.payout_id),
            matches!(kind, "pay" | "refund"),
            kind == "pay" || told.amount != 0,
        ),
        (
            "partnerId",
            has(&told.partner_id),
            kind != "refund",
            kind == "pay",
        ),
        ("reason", has(&told.reason), true, kind == "reject"),
    ] {
        if is_told && !takes {
            return Err(ApiError::field(name, rule(name)));
        }
        if needs && !is_told {
            return Err(ApiError::field(name, "is required with this status (F6, G7)"));
        }
    }
    if kind == "refund" && has(&told.object) {
        return Err(ApiError::field(
            "status",
            "a payment is refunded, not a lead, clicks or a custom commission (G7)",
        ));
    }
    Ok(())
}

fn rule(name: &str) -> &'static str {
    match name {
        "partnerId" => "a refund is of the sale, whoever earned by it: leave it out (G7)",
        "payoutId" => "is for status paid",
        "currency" => "is for status paid; a refund is in the currency of its sale (G7)",
        _ => "is for the statuses paid and refunded",
    }
}

/// Whole minor units of at least `least`.
fn amount(fields: &Fields, least: i64) -> Result<Option<i64>, ApiError> {
    let amount = fields.integer("amount", least)?;
    if amount.is_some_and(|amount| amount > MAX_AMOUNT) {
        return Err(ApiError::field(
            "amount",
            format_args!("is beyond {MAX_AMOUNT} minor units"),
        ));
    }
    Ok(amount)
}

fn accept(
    commands: Vec<TrackCommand>,
    fields: &Fields,
    key: &Key,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let answer: Vec<Value> = commands
        .iter()
        .map(|told| {
            let id = if told.object.is_empty() {
                &told.names
            } else {
                &told.object
            };
            json!({"id": id, "status": status(&told.command)})
        })
        .collect();
    let track = Track {
        id: click_id::new(call.at, call.random),
        workspace: key.workspace.clone(),
        mode: key.mode.clone(),
        kind: "command".to_owned(),
        at: fields.timestamp(call.at)?.unwrap_or(call.at),
        received: call.at,
        trust: "server".to_owned(),
        event_quantity: 1,
        commands,
        ..Track::default()
    };
    Ok(accepted(track, &Value::from(answer)))
}

/// What a commission is after the decision, in the words of the calls.
fn status(command: &str) -> &'static str {
    match command {
        "approve" => "approved",
        "reject" => "rejected",
        "withhold" => "withheld",
        "pay" => "paid",
        "refund" => "refunded",
        // A custom commission waits like any other.
        "custom" => "pending",
        _ => "released",
    }
}
