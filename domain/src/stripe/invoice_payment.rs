//! invoice_payment.*: the edge between an invoice and a payment, since basil the only one.

use tributary_avro::{Body, InvoicePaymentFact};

use super::object::Object;
use super::reader::Reader;
use super::{Read, Reading};
use crate::normalize::Rejection;

pub(super) fn read(payment: &Object, reader: &Reader) -> Reading {
    let status = match reader.event_type {
        "invoice_payment.detached" => "canceled",
        _ => "",
    };
    Ok(match body(payment, payment.id(&["invoice"]), status)? {
        Some(body) => Read::from(body),
        None => Read::Ignored("out_of_band"),
    })
}

/// The edge; None if the money did not go through Stripe. A `status` given beats the object's.
pub(super) fn body(payment: &Object, invoice: &str, status: &str) -> Result<Option<Body>, Rejection> {
    let invoice_payment = payment.own_id()?;
    let payment_intent = payment.id(&["payment.payment_intent"]).to_owned();
    let charge = payment.id(&["payment.charge"]).to_owned();
    if payment_intent.is_empty() && charge.is_empty() {
        return match payment.text("payment.type") {
            "payment_intent" | "charge" | "" => Err(payment.missing("payment.payment_intent")),
            _ => Ok(None),
        };
    }
    let status = match (status, payment.word("status")) {
        ("", "") => return Err(payment.missing("status")),
        ("", told) => told,
        (given, _) => given,
    };
    Ok(Some(Body::InvoicePayment(Box::new(InvoicePaymentFact {
        invoice_payment,
        invoice: payment.needed("invoice", invoice)?,
        payment_intent,
        charge,
        status: status.to_owned(),
        amount_paid: payment.positive("amount_paid")?.unwrap_or(0),
    }))))
}
