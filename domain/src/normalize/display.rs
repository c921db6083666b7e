//! What a customer is shown by: name, address and picture, for topic people.
//!
//! It is told beside the facts and never in them, so that it can be forgotten and every total stay as it is.
//! Invariant: the same record gives the same statements, and nothing here is read by a rule.

use serde::{Deserialize, Serialize};
use tributary_avro::{Config, CustomerRef, Person, StripeEvent, Track};

use super::people::MAX_CHARS;
use super::{Context, person};
use crate::mail;
use crate::stripe;

/// Kind of the record of topic config that says who was erased.
pub const ERASED: &str = "erased";

/// Hexadecimal digits of the hash in the name of a guest, as in the ledger.
const GUEST_DIGITS: usize = 12;

/// A statement about what a customer is shown by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The customer, and what was told.
    pub person: Person,
    /// The customer was deleted: nothing is to be shown any more.
    pub deleted: bool,
}

/// Document of a record of kind [`ERASED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Customer: IDs and hashes only.
    pub customer: String,
    /// Statements up to this time are never shown again, UTC milliseconds.
    pub at: i64,
}

impl Erasure {
    /// The erasure that a record of topic config declares; None if it declares none.
    pub fn of(config: &Config) -> Option<Self> {
        (config.kind == ERASED && !config.deleted)
            .then(|| serde_json::from_str(&config.document).ok())
            .flatten()
    }
}

/// Key of a customer in topic people.
pub fn person_key(workspace: &str, mode: &str, customer: &str) -> String {
    format!("{workspace}/{mode}/{customer}")
}

/// The name of somebody who is known by an address only, from the address's hash.
pub fn guest(hash: &str) -> String {
    format!("guest_{}", hash.get(..GUEST_DIGITS).unwrap_or(hash))
}

/// What a tracking call tells of a person; None if nothing, or of nobody.
pub fn person_of_track(track: &Track, context: &Context) -> Option<Shown> {
    context.settings?;
    // What a browser says would take the place of what others told (rule C9).
    if track.trust != "server" || !matches!(track.kind.as_str(), "lead" | "sale" | "identify") {
        return None;
    }
    let told = Told {
        name: &track.customer_name,
        email: &track.customer_email,
        avatar: &track.customer_avatar,
    };
    let customer = person(
        &track.customer_external_id,
        String::new(),
        &track.customer_email,
        context.mail,
    );
    let person = Person {
        workspace: track.workspace.clone(),
        mode: track.mode.clone(),
        customer: customer_of(&customer),
        at: no_later(track.at, track.received),
        ..told.person()
    };
    is_of_use(&person).then_some(Shown {
        person,
        deleted: false,
    })
}

/// What a Stripe event tells of a person: a customer that was made, changed or deleted, or a completed session.
/// One that was deleted is forgotten under its external ID and its Stripe ID.
///
/// Invoices and charges tell the same again with every payment, and are not read for it.
pub fn person_of_stripe(event: &StripeEvent, context: &Context) -> Vec<Shown> {
    let Some(named) = stripe::introduced(event, context) else {
        return Vec::new();
    };
    let deleted = event.event_type == "customer.deleted";
    let at = no_later(event.created, event.received);
    let about = |customer: String, told: Person| Person {
        workspace: event.workspace.clone(),
        mode: event.mode.clone(),
        customer,
        at,
        ..told
    };
    if deleted {
        let names = [named.customer.external_id.as_str(), bare(&named.customer.stripe)];
        let names = names.into_iter().filter(|name| !name.is_empty());
        return names
            .map(|name| Shown {
                person: about(name.to_owned(), Person::default()),
                deleted,
            })
            .collect();
    }
    let told = Told {
        name: &named.name,
        email: &named.email,
        avatar: "",
    };
    let person = about(customer_of(&named.customer), told.person());
    if is_of_use(&person) {
        vec![Shown { person, deleted }]
    } else {
        Vec::new()
    }
}

/// The customer as one statement names it: external ID, else Stripe customer, else guest; empty if nobody.
fn customer_of(customer: &CustomerRef) -> String {
    if !customer.external_id.is_empty() {
        customer.external_id.clone()
    } else if !customer.stripe.is_empty() {
        bare(&customer.stripe).to_owned()
    } else if !customer.mail.is_empty() {
        guest(&customer.mail)
    } else {
        String::new()
    }
}

/// A Stripe customer without the account before it.
fn bare(stripe: &str) -> &str {
    stripe.rsplit('/').next().unwrap_or_default()
}

/// A caller's clock may run ahead: a statement of before an erasure must not look like one of after it.
fn no_later(at: i64, received: i64) -> i64 {
    if received > 0 { at.min(received) } else { at }
}

fn is_of_use(person: &Person) -> bool {
    let told = !person.name.is_empty() || !person.email.is_empty() || !person.avatar.is_empty();
    told && !person.customer.is_empty()
}

/// Texts as they were told.
struct Told<'a> {
    name: &'a str,
    email: &'a str,
    avatar: &'a str,
}

impl Told<'_> {
    /// What is too long is left out rather than cut. An address that is none would tie strangers together.
    fn person(&self) -> Person {
        let short = |text: &str| {
            let text = text.trim();
            if text.chars().count() <= MAX_CHARS {
                text.to_owned()
            } else {
                String::new()
            }
        };
        Person {
            name: short(self.name),
            email: mail::normalize(self.email).map_or_else(String::new, |_| short(self.email)),
            avatar: short(self.avatar),
            ..Person::default()
        }
    }
}
