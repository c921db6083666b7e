//! price.* and product.*: what is sold, and under which name.

use tributary_avro::{Body, PriceFact};

use super::object::Object;
use super::reader::Reader;
use super::{Read, Reading};

/// A price: the product that it is of.
pub(super) fn read(price: &Object, reader: &Reader) -> Reading {
    let product = price.id(&["product"]);
    Ok(Read::from(Body::Price(Box::new(PriceFact {
        price: price.own_id()?,
        product: price.needed("product", product)?,
        name: price.word("nickname").to_owned(),
        active: is_active(price, reader),
    }))))
}

/// A product: its name.
pub(super) fn product(product: &Object, reader: &Reader) -> Reading {
    Ok(Read::from(Body::Price(Box::new(PriceFact {
        price: String::new(),
        product: product.own_id()?,
        name: product.word("name").to_owned(),
        active: is_active(product, reader),
    }))))
}

/// Whether what is sold or given can still be used.
pub(super) fn is_active(object: &Object, reader: &Reader) -> bool {
    let deleted = reader.event_type.ends_with(".deleted") || object.flag("deleted") == Some(true);
    !deleted && object.flag("active").unwrap_or(true)
}
