//! promotion_code.*: the code's text, its ID and its coupon (rule C6).

use tributary_avro::{Body, PromotionCodeFact};

use super::object::Object;
use super::reader::Reader;
use super::{Read, Reading};

pub(super) fn read(code: &Object, reader: &Reader) -> Reading {
    let deleted = reader.event_type == "promotion_code.deleted" || code.flag("deleted") == Some(true);
    Ok(Read::from(Body::PromotionCode(Box::new(PromotionCodeFact {
        promotion_code: code.own_id()?,
        code: code.needed("code", code.text("code"))?,
        // Since clover the coupon stands in `promotion`.
        coupon: code.id(&["promotion.coupon", "coupon"]).to_owned(),
        active: !deleted && code.flag("active").unwrap_or(true),
        restricted_to: reader.stripe(code.id(&["customer"])),
    }))))
}
