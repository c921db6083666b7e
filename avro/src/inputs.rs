//! What the edge and operators publish: clicks, tracking calls, Stripe events, declared objects.
//!
//! The Rust side of `avro/schemas`: field for field the same (a test compares them). No behaviour here.

use serde::{Deserialize, Serialize};

use crate::{Metadata, one, yes};

/// One click or visit of a link, as accepted by the edge. Topic clicks, key: click ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Click {
    /// Click ID: 16 characters [0-9A-Za-z], time-ordered.
    pub id: String,
    /// Workspace ID.
    pub workspace: String,
    /// Live, test or sandbox name of the link.
    #[serde(default)]
    pub mode: String,
    /// Event time, UTC milliseconds since 1970.
    pub at: i64,
    /// Link that was clicked; empty for a click without link.
    #[serde(default)]
    pub link_id: String,
    /// Host of the short link.
    #[serde(default)]
    pub domain: String,
    /// Path of the short link without the leading slash.
    #[serde(default)]
    pub key: String,
    /// Destination without click parameters.
    #[serde(default)]
    pub url: String,
    /// Partner of the link at the time of the click; empty if none.
    #[serde(default)]
    pub partner_id: String,
    /// Program of the link at the time of the click; empty if none.
    #[serde(default)]
    pub program_id: String,
    /// Partner group at the time of the click; empty if none.
    #[serde(default)]
    pub group_id: String,
    /// What made the click: link, qr, script, api, deeplink.
    #[serde(default)]
    pub trigger: String,
    /// ISO 3166-1 alpha-2, upper case; empty if unknown.
    #[serde(default)]
    pub country: String,
    /// ISO 3166-2 subdivision, e.g. US-CA; empty if unknown.
    #[serde(default)]
    pub region: String,
    /// City name in English; empty if unknown.
    #[serde(default)]
    pub city: String,
    /// Two-letter continent code; empty if unknown.
    #[serde(default)]
    pub continent: String,
    /// Desktop, mobile, tablet, console, smarttv, wearable or empty.
    #[serde(default)]
    pub device: String,
    /// Browser family; empty if unknown.
    #[serde(default)]
    pub browser: String,
    /// Operating system family; empty if unknown.
    #[serde(default)]
    pub os: String,
    /// Host of the referring page; (direct) if none.
    #[serde(default)]
    pub referer: String,
    /// Referring URL without query; (direct) if none.
    #[serde(default)]
    pub referer_url: String,
    /// Utm_source of the destination.
    #[serde(default)]
    pub utm_source: String,
    /// Utm_medium of the destination.
    #[serde(default)]
    pub utm_medium: String,
    /// Utm_campaign of the destination.
    #[serde(default)]
    pub utm_campaign: String,
    /// Utm_term of the destination.
    #[serde(default)]
    pub utm_term: String,
    /// Utm_content of the destination.
    #[serde(default)]
    pub utm_content: String,
    /// Reason why the click is taken for a machine (list, head, prefetch, data_center); empty for people.
    #[serde(default)]
    pub bot: String,
    /// Conversion tracking is on for the link: its leads and sales count.
    #[serde(default = "yes")]
    pub tracked: bool,
    /// Hash of address and user agent under a daily rotating salt, hex.
    #[serde(default)]
    pub visitor: String,
    /// First click of the same visitor and link within an hour; empty if this is the first.
    #[serde(default)]
    pub duplicate_of: String,
    /// Time the edge accepted the request, UTC milliseconds.
    #[serde(default)]
    pub received: i64,
}

/// One line of a sale told by API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct TrackLine {
    /// Product ID or SKU.
    #[serde(default)]
    pub product: String,
    /// Units.
    #[serde(default = "one")]
    pub quantity: i64,
    /// Net amount of the line, minor units.
    #[serde(default)]
    pub amount: i64,
}

/// One decision about a commission or a sale (F6, F7, G7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct TrackCommand {
    /// Approve, reject, withhold, release, pay, custom or refund.
    pub command: String,
    /// Any ID of the payment, e.g. `ch_...`, `in_...` or the external ID; the own name of a custom commission.
    pub names: String,
    /// Key of the object whose commission it is, for leads and clicks; empty: names finds it.
    #[serde(default)]
    pub object: String,
    /// Partner whose commission it is; empty for a refund.
    #[serde(default)]
    pub partner_id: String,
    /// Amount paid, given or refunded, minor units; a refund of 0 is one of all that is left.
    #[serde(default)]
    pub amount: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// Payout that paid it; of a refund its own ID.
    #[serde(default)]
    pub payout_id: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// One accepted tracking API call. Topic tracks, key: workspace/mode. Kept 30 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Track {
    /// ID of the accepted call, given by the edge; stable across spool repeats.
    pub id: String,
    /// Workspace ID.
    pub workspace: String,
    /// Live, test or sandbox name, from the API key.
    pub mode: String,
    /// Lead, sale, identify, redemption or command.
    pub kind: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Time the edge accepted the call, UTC milliseconds.
    #[serde(default)]
    pub received: i64,
    /// Server for a secret key, browser for a publishable key or none.
    #[serde(default)]
    pub trust: String,
    /// Click ID that the call names; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// ID of the customer in the caller's own database.
    #[serde(default)]
    pub customer_external_id: String,
    /// E-mail address as told; kept only in this topic.
    #[serde(default)]
    pub customer_email: String,
    /// Name as told; kept only in this topic.
    #[serde(default)]
    pub customer_name: String,
    /// Avatar URL as told; kept only in this topic.
    #[serde(default)]
    pub customer_avatar: String,
    /// Name of the lead or sale event.
    #[serde(default)]
    pub event_name: String,
    /// Number of leads that the call counts for.
    #[serde(default = "one")]
    pub event_quantity: i64,
    /// Async, wait or deferred.
    #[serde(default)]
    pub lead_mode: String,
    /// Sale amount, minor units of currency, net of tax.
    #[serde(default)]
    pub amount: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// Invoice or external ID of the sale: its idempotency key; empty if none.
    #[serde(default)]
    pub invoice_id: String,
    /// Stripe, paddle, custom, ...
    #[serde(default)]
    pub payment_processor: String,
    /// Lead event that a direct sale creates; empty if none.
    #[serde(default)]
    pub lead_event_name: String,
    /// Coupon code redeemed; empty if none.
    #[serde(default)]
    pub coupon: String,
    /// Lines of the sale; empty if the call gives none.
    #[serde(default)]
    pub lines: Vec<TrackLine>,
    /// Metadata of the call; values that are no strings are JSON text.
    #[serde(default)]
    pub metadata: Metadata,
    /// Program of the revenue origin that the call names; empty if none.
    #[serde(default)]
    pub program_id: String,
    /// Decisions, at most 1,000; those of a sale are about itself.
    #[serde(default)]
    pub commands: Vec<TrackCommand>,
}

/// One Stripe event as delivered. Topic stripe.events, key: workspace/mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StripeEvent {
    /// Stripe event ID.
    pub id: String,
    /// Stripe event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Workspace ID from the URL.
    pub workspace: String,
    /// Live, test or sandbox name.
    pub mode: String,
    /// Connected account (acct_...); empty for the endpoint's own account.
    #[serde(default)]
    pub account: String,
    /// API version that rendered the event; empty if not told.
    #[serde(default)]
    pub api_version: String,
    /// Created of the event, UTC milliseconds.
    pub created: i64,
    /// Time the edge accepted it, UTC milliseconds.
    #[serde(default)]
    pub received: i64,
    /// Request body, byte for byte.
    #[serde(with = "crate::bytes")]
    pub body: Vec<u8>,
}

/// One declared object of a workspace: settings, program, reward, partner, link, coupon. Topic config (compacted), key: workspace/kind/ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Config {
    /// Workspace ID.
    pub workspace: String,
    /// Workspace, program, partner, link or coupon.
    pub kind: String,
    /// ID of the object within its kind.
    pub id: String,
    /// Time of the declaration, UTC milliseconds.
    pub at: i64,
    /// Modes of the workspace: each gets the rule fact.
    #[serde(default)]
    pub modes: Vec<String>,
    /// Time from which it holds, UTC milliseconds; null: from the declaration, and before it if it is the first version of the object.
    #[serde(default)]
    pub from: Option<i64>,
    /// The object was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// The object as JSON, in the shape of program.yaml.
    pub document: String,
}

/// What a customer is shown by: name, address, picture. Topic people (compacted), key: workspace/mode/customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Person {
    /// Workspace ID.
    #[serde(default)]
    pub workspace: String,
    /// Live, test or sandbox name.
    #[serde(default)]
    pub mode: String,
    /// Customer as one statement names it: external ID, else Stripe customer ID, else guest_ and the start of the hash of the address.
    #[serde(default)]
    pub customer: String,
    /// Name as told; empty if untold.
    #[serde(default)]
    pub name: String,
    /// E-mail address as told; empty if untold.
    #[serde(default)]
    pub email: String,
    /// Address of a picture as told; empty if untold.
    #[serde(default)]
    pub avatar: String,
    /// Time of the statement, and no later than it was received, UTC milliseconds.
    #[serde(default)]
    pub at: i64,
}

/// An input that could not be processed, with its reason. Topic dead-letters, key: original key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DeadLetter {
    /// Topic that it was read from.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Normalize, join, attribute or sink.
    pub stage: String,
    /// Closed set of codes, see docs.
    pub reason: String,
    /// What was wrong, naming the field and the rule.
    #[serde(default)]
    pub detail: String,
    /// Event time of the input if known, else its Kafka timestamp, UTC milliseconds.
    #[serde(default)]
    pub at: i64,
    /// Original key.
    #[serde(default, with = "crate::bytes")]
    pub key: Vec<u8>,
    /// Original value, byte for byte.
    #[serde(with = "crate::bytes")]
    pub value: Vec<u8>,
}
