//! invoice.*: what was billed and paid, for which subscription, by whom.
//!
//! Before basil the invoice names its payment; since then `payments` does, where it is embedded, and
//! else the event invoice_payment.paid.

use tributary_avro::{Body, InvoiceFact};

use super::json::Json;
use super::object::Object;
use super::reader::{Reader, source};
use super::{Read, Reading, discounts, invoice_payment, lines};
use crate::normalize::Rejection;

pub(super) fn read(invoice: &Object, reader: &Reader) -> Reading {
    let id = invoice.own_id()?;
    let subscription = invoice.id(&["parent.subscription_details.subscription", "subscription"]);
    let named = reader.named(
        invoice.id(&["customer"]),
        &[invoice.text("customer_email")],
        &[
            source(invoice, "metadata"),
            source(invoice, "parent.subscription_details.metadata"),
            source(invoice, "subscription_details.metadata"),
            subscription_line(invoice),
        ],
        "",
    );
    let status = status(invoice, reader.event_type);
    let (amount_paid, total) = amounts(invoice)?;
    let fact = InvoiceFact {
        invoice: id.clone(),
        status: status.to_owned(),
        paid_at: paid_at(invoice, reader, status),
        payment_intent: invoice.id(&["payment_intent"]).to_owned(),
        charge: invoice.id(&["charge"]).to_owned(),
        subscription: subscription.to_owned(),
        billing_reason: invoice.word("billing_reason").to_owned(),
        customer: named.customer,
        amount_paid,
        total,
        total_excluding_tax: invoice.amount("total_excluding_tax")?,
        tax: lines::tax_of_invoice(invoice)?,
        currency: invoice.needed_currency("currency")?,
        lines_cut: invoice.flag("lines.has_more").unwrap_or(false),
        discounts: discounts::of_invoice(invoice),
        lines: lines::of_invoice(invoice)?,
        click_id: named.click_id,
        metadata: named.metadata,
    };
    let mut bodies = vec![Body::Invoice(Box::new(fact))];
    for value in invoice.list("payments") {
        let payment = Object::inner("invoice.payments", value);
        bodies.extend(invoice_payment::body(&payment, &id, "")?);
    }
    Ok(Read::Bodies(bodies))
}

fn amounts(invoice: &Object) -> Result<(i64, i64), Rejection> {
    let paid = invoice
        .positive("amount_paid")?
        .ok_or_else(|| invoice.missing("amount_paid"))?;
    // A total below zero is a credit to the customer: no bad input.
    Ok((paid, invoice.needed_amount("total")?))
}

fn status<'a>(invoice: &Object<'a>, event_type: &str) -> &'a str {
    match (invoice.word("status"), event_type) {
        ("", "invoice.paid" | "invoice.payment_succeeded") => "paid",
        ("", "invoice.voided") => "void",
        ("", "invoice.marked_uncollectible") => "uncollectible",
        ("", _) if invoice.flag("paid") == Some(true) => "paid",
        ("", _) => "open",
        (told, _) => told,
    }
}

fn paid_at(invoice: &Object, reader: &Reader, status: &str) -> Option<i64> {
    let told = invoice.time("status_transitions.paid_at");
    let by_event = matches!(reader.event_type, "invoice.paid" | "invoice.payment_succeeded");
    told.or_else(|| (by_event && status == "paid").then_some(reader.created))
}

// Before invoices told it themselves, the subscription's metadata stood on its lines.
fn subscription_line<'a>(invoice: &Object<'a>) -> Option<&'a Json<'a>> {
    invoice
        .list("lines")
        .iter()
        .map(|line| Object::inner("invoice.lines", line))
        .find(|line| {
            line.text("type") == "subscription" || line.text("parent.type") == "subscription_item_details"
        })
        .and_then(|line| source(&line, "metadata"))
}
