//! Tracking calls to facts (rules A1, D1, D4, E7), and the decisions that come with them (F6, F7, G7).
//!
//! The edge has answered the caller already: what it let pass and cannot be a fact is rejected here.

use tributary_avro::{
    Body, CustomerRef, IdentifyFact, LeadFact, Line, Metadata, RedemptionFact, SaleFact, Track,
};

use super::command::commands;
use super::people::MAX_CHARS;
use super::{Context, MAX_AMOUNT, Outcome, Rejection, holds_address, metadata, person};
use crate::click_id;
use crate::fact::Origin;
use crate::rules::{Workspace, is_currency};
use crate::tenant::Tenant;

/// The facts that a tracking call states.
pub fn track(track: &Track, context: &Context) -> Result<Outcome, Rejection> {
    let settings = context.settings.ok_or_else(|| {
        Rejection::new(
            "unknown_workspace",
            format!("track.workspace: {:?} is not declared", track.workspace),
        )
    })?;
    required("id", &track.id)?;
    plain(track)?;
    let customer = person(
        &track.customer_external_id,
        String::new(),
        &track.customer_email,
        context.mail,
    );
    let told = match track.kind.as_str() {
        "lead" => Some(lead(track, customer, told(track, settings))?),
        "sale" => Some(sale(track, customer, told(track, settings))?),
        "identify" => Some(identify(track, customer)?),
        "redemption" => Some(redemption(track, customer)?),
        "command" => None,
        kind => {
            return Err(Rejection::new(
                "unknown_kind",
                format!("track.kind: {kind:?} is none of lead, sale, identify, redemption, command"),
            ));
        }
    };
    let decisions = commands(track)?;
    match track.kind.as_str() {
        "command" => required("commands", if decisions.is_empty() { "" } else { "told" })?,
        "sale" => {}
        _ if decisions.is_empty() => {}
        _ => return Err(invalid("commands", "empty but for sales and commands")),
    }
    let origin = Origin {
        tenant: Tenant::new(&track.workspace, &track.mode),
        at: track.at,
        source: track.id.clone(),
        // Who is not known to be a server is trusted like a browser (rule C9).
        trust: if track.trust == "server" {
            "server"
        } else {
            "browser"
        },
    };
    // A conversion tells when it was, and may be told again to decide about it: the decision is of that moment.
    let decided = Origin {
        at: if told.is_some() { track.received } else { track.at },
        ..origin.clone()
    };
    let told = told.into_iter().map(|body| origin.fact(body));
    let decisions = decisions
        .into_iter()
        .map(|c| decided.fact(Body::Command(Box::new(c))));
    Ok(Outcome::Facts(told.chain(decisions).collect()))
}

/// No text of the call may be an address or longer than Stripe's metadata.
fn plain(track: &Track) -> Result<(), Rejection> {
    let products = track.lines.iter().map(|line| ("lines.product", &line.product));
    [
        ("event_name", &track.event_name),
        ("invoice_id", &track.invoice_id),
        ("payment_processor", &track.payment_processor),
        ("lead_event_name", &track.lead_event_name),
        ("coupon", &track.coupon),
        ("program_id", &track.program_id),
    ]
    .into_iter()
    .chain(products)
    .try_for_each(|(name, value)| text(name, value))
}

pub(super) fn text(name: &str, text: &str) -> Result<(), Rejection> {
    if text.chars().count() > MAX_CHARS || holds_address(text) {
        return Err(invalid(
            name,
            "at most 500 characters and no e-mail address (rule B1a)",
        ));
    }
    Ok(())
}

pub(super) fn currency(name: &str, currency: &str) -> Result<String, Rejection> {
    let currency = currency.to_ascii_lowercase();
    required(name, &currency)?;
    if !is_currency(&currency) {
        return Err(invalid(name, "three letters (ISO 4217)"));
    }
    Ok(currency)
}

fn lead(track: &Track, customer: CustomerRef, metadata: Metadata) -> Result<Body, Rejection> {
    required("event_name", track.event_name.trim())?;
    // A lead is named by its customer (rule D2a): without one, strangers would be one lead.
    named(&customer)?;
    Ok(Body::Lead(Box::new(LeadFact {
        event_name: track.event_name.clone(),
        quantity: count("event_quantity", track.event_quantity)?,
        deferred: track.lead_mode == "deferred",
        click_id: click(track)?,
        customer,
        metadata,
    })))
}

fn sale(track: &Track, customer: CustomerRef, metadata: Metadata) -> Result<Body, Rejection> {
    let currency = currency("currency", &track.currency)?;
    if track.amount < 0 {
        return Err(Rejection::new(
            "negative_amount",
            "track.amount: money that goes back is a refund (rule G7)",
        ));
    }
    let mut lines = Vec::with_capacity(track.lines.len());
    for line in &track.lines {
        lines.push(Line {
            product: line.product.clone(),
            quantity: amount("lines.quantity", line.quantity)?,
            amount: amount("lines.amount", line.amount)?,
            id: String::new(),
            price: String::new(),
        });
    }
    let name = track.event_name.trim();
    Ok(Body::Sale(Box::new(SaleFact {
        external_id: either(&track.invoice_id, &track.id).to_owned(),
        amount: amount("amount", track.amount)?,
        currency,
        event_name: either(name, "Purchase").to_owned(),
        processor: track.payment_processor.clone(),
        click_id: click(track)?,
        coupon: track.coupon.trim().to_owned(),
        lead_event_name: track.lead_event_name.trim().to_owned(),
        customer,
        lines,
        metadata,
        program_id: track.program_id.clone(),
    })))
}

fn identify(track: &Track, customer: CustomerRef) -> Result<Body, Rejection> {
    required("click_id", &track.click_id)?;
    named(&customer)?;
    Ok(Body::Identify(Box::new(IdentifyFact {
        click_id: click(track)?,
        customer,
    })))
}

/// The redemption's own ID is `click_id` where the edge minted one for its answer, else the call's ID.
fn redemption(track: &Track, customer: CustomerRef) -> Result<Body, Rejection> {
    required("coupon", track.coupon.trim())?;
    Ok(Body::Redemption(Box::new(RedemptionFact {
        cid: either(&track.click_id, &track.id).to_owned(),
        coupon: track.coupon.trim().to_owned(),
        customer,
        event_name: track.event_name.trim().to_owned(),
        program_id: track.program_id.clone(),
    })))
}

fn told(track: &Track, settings: &Workspace) -> Metadata {
    let entries = track.metadata.iter();
    metadata(
        entries.map(|(name, value)| (name.as_str(), value.clone())),
        &settings.external_id_metadata,
    )
}

fn click(track: &Track) -> Result<String, Rejection> {
    if track.click_id.is_empty() || click_id::is_valid(&track.click_id) {
        Ok(track.click_id.clone())
    } else {
        Err(invalid("click_id", "16 characters [0-9A-Za-z]"))
    }
}

fn named(customer: &CustomerRef) -> Result<(), Rejection> {
    if customer.external_id.is_empty() && customer.mail.is_empty() {
        Err(Rejection::new(
            "missing_field",
            "track.customer_external_id: an ID or an e-mail address is required (rule B1)",
        ))
    } else {
        Ok(())
    }
}

pub(super) fn required(name: &str, value: &str) -> Result<(), Rejection> {
    if value.is_empty() {
        Err(Rejection::new("missing_field", format!("track.{name}: required")))
    } else {
        Ok(())
    }
}

pub(super) fn invalid(name: &str, rule: &str) -> Rejection {
    Rejection::new("invalid_field", format!("track.{name}: must be {rule}"))
}

pub(super) fn amount(name: &str, value: i64) -> Result<i64, Rejection> {
    if (-MAX_AMOUNT..=MAX_AMOUNT).contains(&value) {
        Ok(value)
    } else {
        Err(Rejection::new(
            "amount_out_of_range",
            format!("track.{name}: beyond {MAX_AMOUNT} minor units"),
        ))
    }
}

fn count(name: &str, value: i64) -> Result<i64, Rejection> {
    if (1..=MAX_AMOUNT).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(name, "at least 1"))
    }
}

fn either<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}
