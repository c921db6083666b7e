//! refund.*, charge.refund.updated, and refunds within a charge: money that went back (rule G1).

use tributary_avro::{Body, RefundFact};

use super::object::Object;
use super::reader::Reader;
use super::{Read, Reading};
use crate::normalize::Rejection;

/// What the object around a refund says about it.
#[derive(Default)]
pub(super) struct Of<'a> {
    /// Its charge.
    pub charge: &'a str,
    /// Its payment intent.
    pub payment_intent: &'a str,
    /// Its currency.
    pub currency: &'a str,
    /// The event says that it failed.
    pub failed: bool,
}

pub(super) fn read(refund: &Object, reader: &Reader) -> Reading {
    let of = Of {
        failed: reader.event_type == "refund.failed",
        ..Default::default()
    };
    Ok(match body(refund, &of)? {
        Some(body) => Read::from(body),
        None => Read::Ignored("refund_without_payment"),
    })
}

/// The refund; None if it takes back no payment. What the refund itself tells beats `of`.
pub(super) fn body(refund: &Object, of: &Of) -> Result<Option<Body>, Rejection> {
    let id = refund.own_id()?;
    let (charge, payment_intent) = match (refund.id(&["charge"]), refund.id(&["payment_intent"])) {
        ("", "") => (of.charge, of.payment_intent),
        told => told,
    };
    if charge.is_empty() && payment_intent.is_empty() {
        return Ok(None);
    }
    let currency = match refund.currency("currency")? {
        told if told.is_empty() && of.currency.is_empty() => return Err(refund.missing("currency")),
        told if told.is_empty() => of.currency.to_owned(),
        told => told,
    };
    // Stripe allows null here: refunds made before it kept a status went through at once.
    let status = match refund.word("status") {
        "" if of.failed => "failed",
        "" => "succeeded",
        told => told,
    };
    Ok(Some(Body::Refund(Box::new(RefundFact {
        refund: id,
        charge: charge.to_owned(),
        payment_intent: payment_intent.to_owned(),
        status: status.to_owned(),
        amount: refund
            .positive("amount")?
            .ok_or_else(|| refund.missing("amount"))?,
        currency,
        reason: refund.word("reason").to_owned(),
        created: refund.time("created").unwrap_or(0),
    }))))
}
