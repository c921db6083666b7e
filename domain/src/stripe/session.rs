//! checkout.session.*: who paid, what the session ties together, and its amounts.
//!
//! Whether it is a sale is not decided here (rule E2): setup and unpaid sessions are facts too.

use tributary_avro::{Body, SessionFact};

use super::object::Object;
use super::reader::{Named, Reader, source};
use super::{Read, Reading, discounts, lines};

pub(super) fn read(session: &Object, reader: &Reader) -> Reading {
    let named = named(session, reader);
    let amount_total = session.positive("amount_total")?;
    let currency = match amount_total {
        Some(_) => session.needed_currency("currency")?,
        None => session.currency("currency")?,
    };
    let (source_amount_total, source_currency) = match session.get("currency_conversion") {
        Some(_) => (
            session.positive("currency_conversion.amount_total")?,
            session.currency("currency_conversion.source_currency")?,
        ),
        None => (None, String::new()),
    };
    Ok(Read::from(Body::Session(Box::new(SessionFact {
        session: session.own_id()?,
        session_mode: mode(session).to_owned(),
        status: status(session, reader.event_type).to_owned(),
        payment_status: payment_status(session, reader.event_type).to_owned(),
        failed: reader.event_type == "checkout.session.async_payment_failed",
        payment_intent: session.id(&["payment_intent"]).to_owned(),
        invoice: session.id(&["invoice"]).to_owned(),
        subscription: session.id(&["subscription"]).to_owned(),
        payment_link: session.id(&["payment_link"]).to_owned(),
        click_id: named.click_id,
        customer: named.customer,
        amount_total,
        amount_tax: session.positive("total_details.amount_tax")?.unwrap_or(0),
        currency,
        // One without the other converts nothing.
        source_amount_total: source_amount_total.filter(|_| !source_currency.is_empty()),
        source_currency: match source_amount_total {
            Some(_) => source_currency,
            None => String::new(),
        },
        discounts: discounts::of_session(session),
        lines: lines::of_session(session)?,
        metadata: named.metadata,
    }))))
}

/// Whom the session names.
pub(super) fn named(session: &Object, reader: &Reader) -> Named {
    reader.named(
        session.id(&["customer"]),
        &[
            session.text("customer_details.email"),
            session.text("customer_email"),
        ],
        &[source(session, "metadata")],
        session.text("client_reference_id"),
    )
}

// Sessions of 2019 have no mode: what they hold tells it.
fn mode<'a>(session: &Object<'a>) -> &'a str {
    match session.word("mode") {
        "" if session.get("subscription").is_some() => "subscription",
        "" if session.get("setup_intent").is_some() => "setup",
        "" => "payment",
        mode => mode,
    }
}

fn status<'a>(session: &Object<'a>, event_type: &str) -> &'a str {
    match session.word("status") {
        "" if event_type == "checkout.session.expired" => "expired",
        "" => "complete",
        status => status,
    }
}

// Before asynchronous methods came, a completed session was a paid one.
fn payment_status<'a>(session: &Object<'a>, event_type: &str) -> &'a str {
    match (session.word("payment_status"), event_type) {
        ("", "checkout.session.expired" | "checkout.session.async_payment_failed") => "unpaid",
        ("", _) if mode(session) == "setup" => "no_payment_required",
        ("", _) => "paid",
        (told, _) => told,
    }
}
