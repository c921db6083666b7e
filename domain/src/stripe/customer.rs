//! customer.created, updated, deleted: who the customer is, and the click that its metadata names.

use tributary_avro::{Body, CustomerFact};

use super::object::Object;
use super::reader::{Named, Reader, source};
use super::{Read, Reading};

pub(super) fn read(customer: &Object, reader: &Reader) -> Reading {
    let stripe_id = customer.own_id()?;
    let named = named(customer, &stripe_id, reader);
    let deleted = customer
        .flag("deleted")
        .unwrap_or(reader.event_type == "customer.deleted");
    Ok(Read::from(Body::Customer(Box::new(CustomerFact {
        stripe_id,
        click_id: named.click_id,
        deleted,
        customer: named.customer,
    }))))
}

/// Whom the customer with this ID names.
pub(super) fn named(customer: &Object, stripe_id: &str, reader: &Reader) -> Named {
    reader.named(
        stripe_id,
        &[customer.text("email")],
        &[source(customer, "metadata")],
        "",
    )
}
