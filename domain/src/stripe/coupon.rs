//! coupon.*: the coupon's ID and its name.

use tributary_avro::{Body, CouponFact};

use super::object::Object;
use super::price::is_active;
use super::reader::Reader;
use super::{Read, Reading};

pub(super) fn read(coupon: &Object, reader: &Reader) -> Reading {
    Ok(Read::from(Body::Coupon(Box::new(CouponFact {
        coupon: coupon.own_id()?,
        name: coupon.word("name").to_owned(),
        active: is_active(coupon, reader) && coupon.flag("valid").unwrap_or(true),
    }))))
}
