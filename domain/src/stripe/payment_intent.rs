//! payment_intent.succeeded: what ties charge and payment, and whom a bare payment names (rule E5).

use tributary_avro::{Body, PaymentIntentFact};

use super::object::Object;
use super::reader::{Reader, source};
use super::{Read, Reading};

pub(super) fn read(intent: &Object, reader: &Reader) -> Reading {
    // Newest first, until 2022-11-15 embedded; since then only its ID, unless expanded.
    let charge = intent
        .get("latest_charge")
        .or_else(|| intent.list("charges").first());
    let charge = charge.map(|value| Object::inner("payment_intent.charges", value));
    let billed = charge
        .map(|charge| charge.text("billing_details.email"))
        .unwrap_or_default();
    let named = reader.named(
        intent.id(&["customer"]),
        &[billed, intent.text("receipt_email")],
        &[source(intent, "metadata")],
        "",
    );
    let amount = intent
        .positive("amount")?
        .ok_or_else(|| intent.missing("amount"))?;
    let status = intent.needed("status", intent.text("status"))?;
    let received = match status.as_str() {
        "succeeded" => amount,
        _ => 0,
    };
    Ok(Read::from(Body::PaymentIntent(Box::new(PaymentIntentFact {
        payment_intent: intent.own_id()?,
        invoice: intent.id(&["invoice"]).to_owned(),
        charge: charge
            .map(|charge| charge.reference())
            .unwrap_or_default()
            .to_owned(),
        status,
        amount,
        amount_received: intent.positive("amount_received")?.unwrap_or(received),
        currency: intent.needed_currency("currency")?,
        created: intent.time("created").unwrap_or(0),
        customer: named.customer,
        click_id: named.click_id,
        coupon: named.coupon,
        named: named.named,
        metadata: named.metadata,
    }))))
}
