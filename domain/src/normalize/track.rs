//! Tracking calls to facts (rules A1, D1, D4, E7).
//!
//! The edge has answered the caller already: what it let pass and cannot be a fact is rejected here.

use tributary_avro::{
    Body, CustomerRef, IdentifyFact, LeadFact, Line, Metadata, RedemptionFact, SaleFact, Track,
};

use super::people::MAX_CHARS;
use super::{Context, MAX_AMOUNT, Outcome, Rejection, holds_address, metadata, person};
use crate::click_id;
use crate::fact::Origin;
use crate::rules::Workspace;
use crate::tenant::Tenant;

/// The fact that a tracking call states.
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
    let body = match track.kind.as_str() {
        "lead" => lead(track, customer, told(track, settings))?,
        "sale" => sale(track, customer, told(track, settings))?,
        "identify" => identify(track, customer)?,
        "redemption" => redemption(track, customer)?,
        kind => {
            return Err(Rejection::new(
                "unknown_kind",
                format!("track.kind: {kind:?} is none of lead, sale, identify, redemption"),
            ));
        }
    };
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
    Ok(Outcome::Facts(vec![origin.fact(body)]))
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
    ]
    .into_iter()
    .chain(products)
    .find(|(_, text)| text.chars().count() > MAX_CHARS || holds_address(text))
    .map_or(Ok(()), |(name, _)| {
        Err(invalid(
            name,
            "at most 500 characters and no e-mail address (rule B1a)",
        ))
    })
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
    let currency = track.currency.to_ascii_lowercase();
    required("currency", &currency)?;
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_lowercase()) {
        return Err(invalid("currency", "three letters (ISO 4217)"));
    }
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

fn required(name: &str, value: &str) -> Result<(), Rejection> {
    if value.is_empty() {
        Err(Rejection::new("missing_field", format!("track.{name}: required")))
    } else {
        Ok(())
    }
}

fn invalid(name: &str, rule: &str) -> Rejection {
    Rejection::new("invalid_field", format!("track.{name}: must be {rule}"))
}

fn amount(name: &str, value: i64) -> Result<i64, Rejection> {
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
