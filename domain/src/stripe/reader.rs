//! Who an object names: customer, click and coupon, from its fields and its metadata (rules B1, B2).

use tributary_avro::{CustomerRef, Metadata};

use super::json::Json;
use super::object::Object;
use crate::click_id;
use crate::mail::MailKey;
use crate::normalize::{holds_address, metadata, person};
use crate::rules::Workspace;

/// Prefixes of a `client_reference_id` that is a click ID.
const CLICK_PREFIXES: [&str; 2] = ["dub_id_", "trb_"];
/// Metadata names of a click ID.
const CLICK_NAMES: [&str; 2] = ["dubClickId", "tributaryClickId"];
/// Metadata names of a coupon code on a bare payment (rule E5). Plain words like `coupon` are not
/// among them: shops use those for codes that are nobody's, and naming one makes a payment a sale.
const COUPON_NAMES: [&str; 2] = ["tributaryCoupon", "dubCoupon"];

/// The event and workspace around an object.
pub(super) struct Reader<'a> {
    /// Connected account; empty for the endpoint's own.
    pub account: &'a str,
    /// Settings of the workspace.
    pub settings: &'a Workspace,
    /// Key under which addresses are hashed.
    pub mail: &'a MailKey,
    /// Type of the event.
    pub event_type: &'a str,
    /// Time of the event, UTC milliseconds.
    pub created: i64,
}

/// What an object names.
pub(super) struct Named {
    /// Customer.
    pub customer: CustomerRef,
    /// Click ID; empty if none.
    pub click_id: String,
    /// Coupon code; empty if none.
    pub coupon: String,
    /// Metadata names a click, a customer or a coupon.
    pub named: bool,
    /// Metadata that rules may read.
    pub metadata: Metadata,
}

impl Reader<'_> {
    /// What an object names by its customer, the first address given, and metadata, first source first.
    /// `reference` is the session's `client_reference_id` (rule B2).
    pub fn named(
        &self,
        customer: &str,
        addresses: &[&str],
        sources: &[Option<&Json>],
        reference: &str,
    ) -> Named {
        let names = &self.settings.external_id_metadata;
        let own = first(sources, names.iter().map(String::as_str), |_| true);
        let (clicked, referred) = self.reference(reference);
        let in_metadata = first(sources, CLICK_NAMES.into_iter(), click_id::is_valid);
        let coupon = first(sources, COUPON_NAMES.into_iter(), |code| !holds_address(code));
        let address = addresses
            .iter()
            .find(|a| !a.is_empty())
            .copied()
            .unwrap_or_default();
        Named {
            customer: person(either(own, referred), self.stripe(customer), address, self.mail),
            click_id: either(clicked, in_metadata).to_owned(),
            coupon: coupon.to_owned(),
            named: !in_metadata.is_empty() || !own.is_empty() || !coupon.is_empty(),
            metadata: copied(sources, names),
        }
    }

    /// A `client_reference_id` as click ID and as external ID, one of which is empty.
    fn reference<'r>(&self, reference: &'r str) -> (&'r str, &'r str) {
        match CLICK_PREFIXES
            .iter()
            .find_map(|prefix| reference.strip_prefix(prefix))
        {
            Some(click) if click_id::is_valid(click) => (click, ""),
            None if self.settings.client_reference_is_external_id => ("", reference.trim()),
            Some(_) | None => ("", ""),
        }
    }

    /// The identity key of a Stripe customer: account/cus_...; empty if there is none.
    pub fn stripe(&self, customer: &str) -> String {
        if customer.is_empty() {
            String::new()
        } else {
            format!("{}/{customer}", self.account)
        }
    }
}

/// The metadata of an object, as a source for [`Reader::named`].
pub(super) fn source<'a>(object: &Object<'a>, path: &str) -> Option<&'a Json<'a>> {
    object.get(path).filter(|value| value.as_map().is_some())
}

/// The first value, not blank and fit, under one of the names: names in their order, for each the
/// sources in theirs.
fn first<'a>(
    sources: &[Option<&'a Json<'a>>],
    mut names: impl Iterator<Item = &'a str>,
    fit: impl Fn(&str) -> bool,
) -> &'a str {
    names
        .find_map(|name| {
            sources
                .iter()
                .flatten()
                .filter_map(|source| source.get(name).and_then(Json::as_str))
                .map(str::trim)
                .find(|text| !text.is_empty() && fit(text))
        })
        .unwrap_or_default()
}

fn either<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

fn copied(sources: &[Option<&Json>], ids: &[String]) -> Metadata {
    // Later entries replace earlier ones, so the first source comes last.
    let entries = sources
        .iter()
        .rev()
        .flatten()
        .filter_map(|source| source.as_map())
        .flatten();
    let texts = entries.filter_map(|(name, value)| {
        let text = match value {
            Json::Text(text) => text.to_string(),
            Json::Whole(number) => number.to_string(),
            Json::Float(number) => number.to_string(),
            Json::Bool(flag) => flag.to_string(),
            Json::Null | Json::List(_) | Json::Map(_) => return None,
        };
        Some((name.as_ref(), text))
    });
    metadata(texts, ids)
}
