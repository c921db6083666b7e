//! credit_note.*: what of an invoice is taken back, and of which lines (rule G3).

use tributary_avro::{Body, CreditNoteFact};

use super::object::Object;
use super::reader::Reader;
use super::{Read, Reading, lines};

pub(super) fn read(note: &Object, reader: &Reader) -> Reading {
    let told = note.word("status");
    let status = match (told, reader.event_type) {
        ("", "credit_note.voided") => "void",
        ("", _) => "issued",
        (told, _) => told,
    };
    let mut refunds: Vec<String> = note
        .list("refunds")
        .iter()
        .map(|value| {
            Object::inner("credit_note.refunds", value)
                .id(&["refund"])
                .to_owned()
        })
        .chain([note.id(&["refund"]).to_owned()])
        .filter(|id| !id.is_empty())
        .collect();
    refunds.sort();
    refunds.dedup();
    Ok(Read::from(Body::CreditNote(Box::new(CreditNoteFact {
        credit_note: note.own_id()?,
        invoice: note.needed("invoice", note.id(&["invoice"]))?,
        status: status.to_owned(),
        amount: after_payment(note)?,
        currency: note.needed_currency("currency")?,
        refunds,
        lines: lines::of_credit_note(note)?,
        reason: note.word("reason").to_owned(),
        created: note.time("created").unwrap_or(0),
    }))))
}

/// What was credited after the invoice was paid. Older shapes tell it by the type of the note alone.
fn after_payment(note: &Object) -> Result<i64, crate::normalize::Rejection> {
    if let Some(amount) = note.positive("post_payment_amount")? {
        return Ok(amount);
    }
    let whole = note.positive("total")?;
    let whole = match whole {
        Some(whole) => whole,
        None => note.positive("amount")?.ok_or_else(|| note.missing("total"))?,
    };
    Ok(if note.word("type") == "pre_payment" {
        0
    } else {
        whole
    })
}
