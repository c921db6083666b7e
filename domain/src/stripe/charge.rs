//! charge.*: the money of a payment, and in old shapes its refunds and its invoice.

use tributary_avro::{Body, ChargeFact};

use super::object::Object;
use super::reader::{Reader, source};
use super::{Read, Reading, refund};

pub(super) fn read(charge: &Object, reader: &Reader) -> Reading {
    let id = charge.own_id()?;
    let named = reader.named(
        charge.id(&["customer"]),
        &[charge.text("billing_details.email"), charge.text("receipt_email")],
        &[source(charge, "metadata")],
        "",
    );
    let amount = charge
        .positive("amount")?
        .ok_or_else(|| charge.missing("amount"))?;
    let captured = charge.flag("captured").unwrap_or(true);
    // Charges of 2019 do not tell the captured part.
    let amount_captured = charge
        .positive("amount_captured")?
        .unwrap_or(if captured { amount } else { 0 });
    let status = match charge.word("status") {
        "" => "succeeded",
        status => status,
    };
    let fact = ChargeFact {
        charge: id.clone(),
        payment_intent: charge.id(&["payment_intent"]).to_owned(),
        invoice: charge.id(&["invoice"]).to_owned(),
        status: status.to_owned(),
        captured,
        amount,
        amount_captured,
        amount_refunded: charge.positive("amount_refunded")?.unwrap_or(0),
        currency: charge.needed_currency("currency")?,
        created: charge.time("created").unwrap_or(0),
        customer: named.customer,
        click_id: named.click_id,
        coupon: named.coupon,
        named: named.named,
        metadata: named.metadata,
    };
    let of = refund::Of {
        charge: &id,
        payment_intent: &fact.payment_intent.clone(),
        currency: &fact.currency.clone(),
        failed: false,
    };
    let mut bodies = vec![Body::Charge(Box::new(fact))];
    for value in charge.list("refunds") {
        bodies.extend(refund::body(&Object::inner("charge.refunds", value), &of)?);
    }
    Ok(Read::Bodies(bodies))
}
