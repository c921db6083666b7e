//! charge.dispute.*: a payment that its payer's bank asks back (rule G5).

use tributary_avro::{Body, DisputeFact};

use super::json::Json;
use super::object::Object;
use super::reader::Reader;
use super::{Read, Reading};

pub(super) fn read(dispute: &Object, reader: &Reader) -> Reading {
    let charge = dispute.id(&["charge"]).to_owned();
    let payment_intent = dispute.id(&["payment_intent"]).to_owned();
    if charge.is_empty() && payment_intent.is_empty() {
        return Err(dispute.missing("charge"));
    }
    Ok(Read::from(Body::Dispute(Box::new(DisputeFact {
        dispute: dispute.own_id()?,
        charge,
        payment_intent,
        status: dispute.needed("status", dispute.word("status"))?,
        funds: funds(dispute, reader.event_type).to_owned(),
        amount: dispute
            .positive("amount")?
            .ok_or_else(|| dispute.missing("amount"))?,
        currency: dispute.needed_currency("currency")?,
        reason: dispute.word("reason").to_owned(),
        created: dispute.time("created").unwrap_or(0),
    }))))
}

/// Where the disputed money is: withdrawn, reinstated, or empty if this object does not say. The balance transactions
/// tell, in the currency of the balance, which may be another one: only their sign counts. Where they are cut out, the
/// name of the event does.
fn funds(dispute: &Object, event_type: &str) -> &'static str {
    let moved = dispute.list("balance_transactions");
    let amounts = moved
        .iter()
        .filter_map(|transaction| match transaction.get("amount") {
            Some(Json::Whole(amount)) => Some(*amount),
            _ => None,
        });
    let sum = amounts.fold(0_i128, i128::saturating_add);
    match (moved.is_empty(), event_type) {
        (false, _) if sum < 0 => "withdrawn",
        (false, _) => "reinstated",
        (true, "charge.dispute.funds_withdrawn") => "withdrawn",
        (true, "charge.dispute.funds_reinstated") => "reinstated",
        _ => "",
    }
}
