//! account.application.*: a connected account gave its permission, or took it back. The event names the account; its
//! object is the application, which says nothing here.

use tributary_avro::{AccountFact, Body};

use super::reader::Reader;
use super::{Read, Reading};
use crate::normalize::Rejection;

pub(super) fn read(reader: &Reader) -> Reading {
    if reader.account.is_empty() {
        return Err(Rejection::new(
            "missing_field",
            "event.account: required, the connected account that the event is about",
        ));
    }
    Ok(Read::from(Body::Account(Box::new(AccountFact {
        account: reader.account.to_owned(),
        connected: reader.event_type == "account.application.authorized",
    }))))
}
