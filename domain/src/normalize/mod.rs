//! From raw records to facts: Stripe events, tracking calls and declared objects.
//!
//! Pure and stateless: one record in, its facts, a reason to ignore it, or a rejection out.
//! It attributes nothing and looks nothing up.
//! Invariant: the same record gives the same facts (IDs included), and no fact holds an e-mail address or what is
//! meant to be a name. Those go beside the facts, see `display`.

mod command;
mod config;
mod display;
mod people;
mod track;

use tributary_avro::{Body, Fact};

use crate::mail::MailKey;
use crate::rules::Workspace;

pub use crate::stripe::stripe;
pub use command::{MOST_COMMANDS, command, named, named_by_key};
pub use config::config;
pub use display::{ERASED, Erasure, Shown, guest, person_key, person_of_stripe, person_of_track};
pub use track::track;

pub(crate) use people::{holds_address, metadata, person};

/// What the mapping knows beside the record.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Settings of the record's workspace; None: the workspace is unknown.
    pub settings: Option<&'a Workspace>,
    /// Key under which addresses are hashed.
    pub mail: &'a MailKey,
}

/// What became of a readable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It states these facts; never empty.
    Facts(Vec<Fact>),
    /// It states nothing that Tributary reads: one of [`IGNORED`].
    Ignored(&'static str),
}

/// Why a record goes to dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// One of [`REASONS`].
    pub reason: &'static str,
    /// What was wrong, naming the field and the rule.
    pub detail: String,
}

impl Rejection {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// Every reason of [`Rejection`], for metrics and docs.
pub const REASONS: [&str; 10] = [
    "invalid_json",
    "thin_event",
    "unknown_workspace",
    "unknown_account",
    "unknown_kind",
    "missing_field",
    "invalid_field",
    "invalid_document",
    "amount_out_of_range",
    "negative_amount",
];

/// Every reason of [`Outcome::Ignored`].
pub const IGNORED: [&str; 4] = [
    // A type that states nothing about who earned what (rule A3).
    "event_type",
    // A refund of a customer's cash balance: there is no payment that it could take back.
    "refund_without_payment",
    // An invoice paid outside Stripe: there is no payment that the edge could lead to.
    "out_of_band",
    // A declaration that somebody was erased: it keeps names out of topic people, and is no rule.
    "erasure",
];

/// Largest amount taken, in minor units: ten times Stripe's own limit, and small enough that sums over
/// hundreds of thousands of payments stay inside 64 bits.
pub const MAX_AMOUNT: i64 = 10_000_000_000_000;

/// The click ID that a fact names, if it is a claim: those go through topic `claims` by click ID.
pub fn claimed_click(fact: &Fact) -> Option<&str> {
    let click = match &fact.body {
        Body::Lead(b) => &b.click_id,
        Body::Sale(b) => &b.click_id,
        Body::Identify(b) => &b.click_id,
        Body::Customer(b) => &b.click_id,
        Body::Session(b) => &b.click_id,
        Body::Invoice(b) => &b.click_id,
        Body::Charge(b) => &b.click_id,
        Body::PaymentIntent(b) => &b.click_id,
        Body::Subscription(b) => &b.click_id,
        Body::Period(b) => &b.click_id,
        Body::Click(_)
        | Body::Redemption(_)
        | Body::InvoicePayment(_)
        | Body::Refund(_)
        | Body::Dispute(_)
        | Body::CreditNote(_)
        | Body::Assignment(_)
        | Body::PromotionCode(_)
        | Body::Rule(_)
        | Body::Command(_)
        | Body::ClickTotals(_)
        | Body::PartnerTotals(_)
        | Body::Account(_)
        | Body::Price(_)
        | Body::Coupon(_) => return None,
    };
    (!click.is_empty()).then_some(click.as_str())
}
