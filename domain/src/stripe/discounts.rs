//! Discounts of sessions and invoices: which coupon and promotion code were redeemed (rule C1).
//!
//! Places: `discount` (one object, old), `discounts[]`, and the amounts that name their discount. Bare
//! `di_` IDs say nothing and are skipped. The coupon stands in `coupon` or, since clover, `source.coupon`.

use tributary_avro::DiscountRef;

use super::json::Json;
use super::object::Object;

pub(super) fn of_session(session: &Object) -> Vec<DiscountRef> {
    collect(
        session.list("discounts").iter().chain(
            session
                .list("total_details.breakdown.discounts")
                .iter()
                .filter_map(|d| d.get("discount")),
        ),
    )
}

pub(super) fn of_invoice(invoice: &Object) -> Vec<DiscountRef> {
    collect(
        invoice
            .get("discount")
            .into_iter()
            .chain(invoice.list("discounts"))
            .chain(
                invoice
                    .list("total_discount_amounts")
                    .iter()
                    .filter_map(|d| d.get("discount")),
            ),
    )
}

fn collect<'a>(discounts: impl Iterator<Item = &'a Json<'a>>) -> Vec<DiscountRef> {
    let mut all: Vec<DiscountRef> = Vec::new();
    for value in discounts {
        let discount = Object::inner("discount", value);
        let found = DiscountRef {
            promotion_code: discount.id(&["promotion_code"]).to_owned(),
            coupon: discount.id(&["source.coupon", "coupon"]).to_owned(),
            code: discount.word("promotion_code.code").to_owned(),
        };
        if found.promotion_code.is_empty() && found.coupon.is_empty() {
            continue;
        }
        // The same redemption stands in several places, once perhaps with less.
        let known = all.iter_mut().find(|known| {
            known.promotion_code == found.promotion_code
                && (known.coupon == found.coupon || !found.promotion_code.is_empty())
        });
        match known {
            Some(known) => {
                fill(&mut known.coupon, found.coupon);
                fill(&mut known.code, found.code);
            }
            None => all.push(found),
        }
    }
    all
}

fn fill(place: &mut String, found: String) {
    if place.is_empty() {
        *place = found;
    }
}
