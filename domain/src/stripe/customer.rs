//! customer.created, updated, deleted: who the customer is, and the click that its metadata names.

use tributary_avro::{Body, CustomerFact};

use super::object::Object;
use super::reader::{Reader, source};
use super::{Read, Reading};

pub(super) fn read(customer: &Object, reader: &Reader) -> Reading {
    let stripe_id = customer.own_id()?;
    let named = reader.named(
        &stripe_id,
        &[customer.text("email")],
        &[source(customer, "metadata")],
        "",
    );
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
