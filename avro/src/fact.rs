//! Facts: the journal from which the ledger is computed.
//!
//! The Rust side of `avro/schemas`: field for field the same (a test compares them). No behaviour here.

use serde::{Deserialize, Serialize};

use crate::{Metadata, one, yes};

/// A click that somebody named (rule C1). Object key click:ID is a reference and merges nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ClickFact {
    /// Click ID.
    pub click_id: String,
    /// Event time of the click, UTC milliseconds.
    #[serde(default)]
    pub clicked_at: i64,
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
    /// What made the click.
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
    /// Bot reason; empty for people.
    #[serde(default)]
    pub bot: String,
    /// Conversion tracking was on.
    #[serde(default = "yes")]
    pub tracked: bool,
}

/// The customer as one statement names it. Each non-empty field is an identity key (B1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CustomerRef {
    /// ID of the customer in the seller's database; never an e-mail address.
    #[serde(default)]
    pub external_id: String,
    /// Stripe customer: account/cus_...; empty if none.
    #[serde(default)]
    pub stripe: String,
    /// Keyed hash of the normalized e-mail address, hex; empty if none.
    #[serde(default)]
    pub mail: String,
    /// The address told is of a provider of throw-away addresses (C10).
    #[serde(default)]
    pub disposable: bool,
}

/// A lead told by API (D1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct LeadFact {
    /// Event name as told.
    pub event_name: String,
    /// Number of leads.
    #[serde(default = "one")]
    pub quantity: i64,
    /// The customer is known; the lead counts at the next call.
    #[serde(default)]
    pub deferred: bool,
    /// Click ID named; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// One line of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Line {
    /// Stripe product ID or SKU; empty if unknown.
    #[serde(default)]
    pub product: String,
    /// Units.
    #[serde(default = "one")]
    pub quantity: i64,
    /// Net of discounts and tax, minor units of the sale's currency; may be negative.
    #[serde(default)]
    pub amount: i64,
    /// Stripe's line item (`il_...`), which credit notes name; empty if unknown.
    #[serde(default)]
    pub id: String,
    /// Stripe price ID where no product is told; empty otherwise.
    #[serde(default)]
    pub price: String,
}

/// A sale told by API (E7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SaleFact {
    /// Invoice or external ID, else the ID of the call: idempotency key.
    pub external_id: String,
    /// Minor units, net of tax.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Event name as told.
    #[serde(default)]
    pub event_name: String,
    /// Payment processor as told.
    #[serde(default)]
    pub processor: String,
    /// Click ID named; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// Coupon code named; empty if none.
    #[serde(default)]
    pub coupon: String,
    /// Lead that a direct sale creates; empty if none.
    #[serde(default)]
    pub lead_event_name: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Lines; empty if not told.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
    /// Program of the revenue origin that the call names; empty if none (D4).
    #[serde(default)]
    pub program_id: String,
}

/// A click or redemption ID tied to a customer (external CID).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct IdentifyFact {
    /// Click ID named.
    #[serde(default)]
    pub click_id: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
}

/// A coupon redemption told by API (D4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RedemptionFact {
    /// ID that later calls use as click ID.
    pub cid: String,
    /// Coupon code.
    pub coupon: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Name of the redemption's conversion type; empty if none.
    #[serde(default)]
    pub event_name: String,
    /// Program of the revenue origin that the call names; empty if none.
    #[serde(default)]
    pub program_id: String,
}

/// A Stripe customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CustomerFact {
    /// Cus_...
    pub stripe_id: String,
    /// Click ID from metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// The customer was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
}

/// A discount that the object names: one redemption of a coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DiscountRef {
    /// Stripe promotion code ID; empty if none.
    #[serde(default)]
    pub promotion_code: String,
    /// Stripe coupon ID; empty if none.
    #[serde(default)]
    pub coupon: String,
    /// Code text, where the statement gives it; empty if none.
    #[serde(default)]
    pub code: String,
}

/// A Stripe checkout session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SessionFact {
    /// Cs_...
    pub session: String,
    /// Payment, subscription or setup.
    pub session_mode: String,
    /// Open, complete or expired.
    pub status: String,
    /// Paid, unpaid or no_payment_required.
    pub payment_status: String,
    /// The asynchronous payment failed.
    #[serde(default)]
    pub failed: bool,
    /// Pi_...; empty if none.
    #[serde(default)]
    pub payment_intent: String,
    /// In_...; empty if none.
    #[serde(default)]
    pub invoice: String,
    /// Sub_...; empty if none.
    #[serde(default)]
    pub subscription: String,
    /// Plink_...; empty if none.
    #[serde(default)]
    pub payment_link: String,
    /// Click ID from client_reference_id or metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Total, minor units of currency; null if the session has no amount.
    #[serde(default)]
    pub amount_total: Option<i64>,
    /// Tax within the total, minor units.
    #[serde(default)]
    pub amount_tax: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// Total in the source currency (Adaptive Pricing); null if not converted.
    #[serde(default)]
    pub source_amount_total: Option<i64>,
    /// Source currency (Adaptive Pricing); empty if not converted.
    #[serde(default)]
    pub source_currency: String,
    /// Discounts applied.
    #[serde(default)]
    pub discounts: Vec<DiscountRef>,
    /// Line items where expanded; usually empty.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A Stripe invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct InvoiceFact {
    /// In_...
    pub invoice: String,
    /// Draft, open, paid, void or uncollectible.
    pub status: String,
    /// Time of payment, UTC milliseconds; null if not told.
    #[serde(default)]
    pub paid_at: Option<i64>,
    /// Pi_... (before basil); empty if none.
    #[serde(default)]
    pub payment_intent: String,
    /// Ch_... (before basil); empty if none.
    #[serde(default)]
    pub charge: String,
    /// Sub_...; empty if none.
    #[serde(default)]
    pub subscription: String,
    /// Stripe's billing_reason.
    #[serde(default)]
    pub billing_reason: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Minor units.
    #[serde(default)]
    pub amount_paid: i64,
    /// Minor units.
    #[serde(default)]
    pub total: i64,
    /// Minor units; null if not told.
    #[serde(default)]
    pub total_excluding_tax: Option<i64>,
    /// Sum of exclusive and inclusive tax, minor units.
    #[serde(default)]
    pub tax: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// The event embeds only the first lines (has_more).
    #[serde(default)]
    pub lines_cut: bool,
    /// Discounts on the invoice.
    #[serde(default)]
    pub discounts: Vec<DiscountRef>,
    /// Lines, net of discounts and tax.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Click ID from metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// The edge between an invoice and a payment (basil).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct InvoicePaymentFact {
    /// Inpay_...
    pub invoice_payment: String,
    /// In_...
    pub invoice: String,
    /// Pi_...; empty if none.
    #[serde(default)]
    pub payment_intent: String,
    /// Ch_...; empty if none.
    #[serde(default)]
    pub charge: String,
    /// Open, paid or canceled.
    pub status: String,
    /// Minor units.
    #[serde(default)]
    pub amount_paid: i64,
}

/// A Stripe charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ChargeFact {
    /// Ch_... or py_...
    pub charge: String,
    /// Pi_...; empty if none.
    #[serde(default)]
    pub payment_intent: String,
    /// In_... (before basil); empty if none.
    #[serde(default)]
    pub invoice: String,
    /// Succeeded, pending or failed.
    pub status: String,
    /// The amount was captured.
    #[serde(default)]
    pub captured: bool,
    /// Minor units.
    #[serde(default)]
    pub amount: i64,
    /// Minor units.
    #[serde(default)]
    pub amount_captured: i64,
    /// Cumulative, minor units.
    #[serde(default)]
    pub amount_refunded: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Click ID from metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// Coupon code from metadata; empty if none.
    #[serde(default)]
    pub coupon: String,
    /// Metadata names a click, customer or coupon (E5).
    #[serde(default)]
    pub named: bool,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A Stripe payment intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PaymentIntentFact {
    /// Pi_...
    pub payment_intent: String,
    /// In_... (before basil); empty if none.
    #[serde(default)]
    pub invoice: String,
    /// Latest charge; empty if none.
    #[serde(default)]
    pub charge: String,
    /// Stripe's status.
    pub status: String,
    /// Minor units.
    #[serde(default)]
    pub amount: i64,
    /// Minor units.
    #[serde(default)]
    pub amount_received: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Click ID from metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// Coupon code from metadata; empty if none.
    #[serde(default)]
    pub coupon: String,
    /// Metadata names a click, customer or coupon (E5).
    #[serde(default)]
    pub named: bool,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A Stripe refund object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RefundFact {
    /// Re_..., pyr_...
    pub refund: String,
    /// Ch_...; empty if none.
    #[serde(default)]
    pub charge: String,
    /// Pi_...; empty if none.
    #[serde(default)]
    pub payment_intent: String,
    /// Pending, requires_action, succeeded, failed or canceled.
    pub status: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Stripe's reason; empty if none.
    #[serde(default)]
    pub reason: String,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
}

/// A Stripe dispute: the payer's bank asks a payment back (G5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DisputeFact {
    /// Dp_..., du_...
    pub dispute: String,
    /// Ch_...; empty if none.
    #[serde(default)]
    pub charge: String,
    /// Pi_...; empty if none.
    #[serde(default)]
    pub payment_intent: String,
    /// Stripe's status: `needs_response`, `under_review`, won, lost, `warning_closed`, ...
    pub status: String,
    /// Withdrawn or reinstated; empty if the object does not say.
    #[serde(default)]
    pub funds: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Stripe's reason; empty if none.
    #[serde(default)]
    pub reason: String,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
}

/// A Stripe promotion code: code, ID and coupon (C6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PromotionCodeFact {
    /// Promo_...
    pub promotion_code: String,
    /// Code text.
    pub code: String,
    /// Stripe coupon ID.
    #[serde(default)]
    pub coupon: String,
    /// The code can be redeemed.
    #[serde(default = "yes")]
    pub active: bool,
    /// Account/cus_... that alone may use it; empty if anyone.
    #[serde(default)]
    pub restricted_to: String,
}

/// A declared rule with the time from which it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RuleFact {
    /// Workspace, program, partner, link or coupon.
    pub kind: String,
    /// ID of the object within its kind.
    pub id: String,
    /// UTC milliseconds; null: from its as-of time, and before it if it is the first version.
    #[serde(default)]
    pub from: Option<i64>,
    /// The object was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// The object as JSON, in the shape of program.yaml.
    pub document: String,
}

/// A decision about a commission or a sale: approve, reject, withhold, release, pay or custom (F6, F7), or refund (G7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CommandFact {
    /// Approve, reject, withhold, release, pay, custom or refund.
    pub command: String,
    /// Any ID of the commission's payment, e.g. ch_..., in_..., or the commission ID.
    pub names: String,
    /// Partner whose commission it is.
    pub partner_id: String,
    /// Amount paid, given or refunded, minor units; 0 unless command is pay, custom or refund; a refund of 0 is one of
    /// all that is left.
    #[serde(default)]
    pub amount: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// Payout that paid it; of a refund its own ID.
    #[serde(default)]
    pub payout_id: String,
    /// Why, as told.
    #[serde(default)]
    pub reason: String,
    /// Key of the object whose commission it is, for leads, e.g. `lead:ext:user_1/sign up`; empty: names finds it.
    #[serde(default)]
    pub object: String,
}

/// A Stripe subscription (E8, E9, D3). Object key subscription:ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SubscriptionFact {
    /// Sub_...
    pub subscription: String,
    /// Stripe's status: trialing, active, `past_due`, paused, canceled, unpaid, incomplete, `incomplete_expired`.
    pub status: String,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Click ID from metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// Start, UTC milliseconds; 0 if not told.
    #[serde(default)]
    pub started_at: i64,
    /// End of the trial, UTC milliseconds; null if it has none.
    #[serde(default)]
    pub trial_end: Option<i64>,
    /// Start of the current period, UTC milliseconds; 0 if not told.
    #[serde(default)]
    pub period_start: i64,
    /// End of the current period, UTC milliseconds; 0 if not told.
    #[serde(default)]
    pub period_end: i64,
    /// End, UTC milliseconds; null while it goes on.
    #[serde(default)]
    pub ended_at: Option<i64>,
    /// Why it ended, as Stripe's cancellation details say; empty if not told.
    #[serde(default)]
    pub cancel_reason: String,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// What one period costs before discounts and tax, minor units of currency.
    #[serde(default)]
    pub items: Vec<Line>,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A Stripe credit note: takes back a part of an invoice (G3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CreditNoteFact {
    /// Cn_...
    pub credit_note: String,
    /// In_...
    pub invoice: String,
    /// Issued or void.
    pub status: String,
    /// Minor units, with tax, credited after the invoice was paid; what was credited before never was in the sale.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Refunds that paid it out, re_...; empty if it went to the balance or was paid elsewhere.
    #[serde(default)]
    pub refunds: Vec<String>,
    /// Lines taken back: id is the invoice's line, amount net of tax; empty if not told.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Stripe's reason; empty if none.
    #[serde(default)]
    pub reason: String,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
}

/// A customer given to a partner by hand (C1, C5). An empty partner takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct AssignmentFact {
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Partner that earns from then on; empty: as the touches say.
    pub partner_id: String,
    /// Why, as told.
    #[serde(default)]
    pub reason: String,
}

/// A period of an active subscription, a sale where the workspace tracks subscriptions by dates (E8). Object key period:ID/start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PeriodFact {
    /// Sub_...
    pub subscription: String,
    /// Start of the period, UTC milliseconds.
    pub start: i64,
    /// End of the period, UTC milliseconds; 0 if not told.
    #[serde(default)]
    pub end: i64,
    /// The customer as this statement names it.
    pub customer: CustomerRef,
    /// Click ID from metadata; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// The subscription began with it.
    #[serde(default)]
    pub is_first: bool,
    /// ISO 4217, lower case.
    pub currency: String,
    /// What the period costs, minor units of currency.
    #[serde(default)]
    pub items: Vec<Line>,
    /// Metadata that rules may read.
    #[serde(default)]
    pub metadata: Metadata,
}

/// The clicks on one link in one UTC day, stated once the day has closed (F1). Object key clicks:link/partner/day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ClickTotalsFact {
    /// Link that was clicked.
    pub link_id: String,
    /// Partner of the link at the time of the clicks.
    pub partner_id: String,
    /// Program of the link at the time of the clicks; empty if none.
    #[serde(default)]
    pub program_id: String,
    /// Partner group at the time of the clicks; empty if none.
    #[serde(default)]
    pub group_id: String,
    /// Days since 1970-01-01, UTC.
    pub day: i64,
    /// Clicks by country, in the order of the codes.
    #[serde(default)]
    pub countries: Vec<CountryClicks>,
}

/// Clicks of one country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CountryClicks {
    /// ISO 3166-1 alpha-2, upper case; empty if unknown.
    #[serde(default)]
    pub country: String,
    /// Clicks of people, without repeats of a visitor within the hour.
    pub clicks: i64,
}

/// What a partner had brought when a UTC day closed, from the beginning, for conditions of later days (F1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PartnerTotalsFact {
    /// Partner.
    pub partner_id: String,
    /// The last day counted, days since 1970-01-01, UTC.
    pub day: i64,
    /// Clicks of people, without repeats of a visitor within the hour.
    #[serde(default)]
    pub clicks: i64,
    /// Leads.
    #[serde(default)]
    pub leads: i64,
    /// Sales.
    #[serde(default)]
    pub conversions: i64,
    /// Amount of its sales, minor units of the workspace's currency.
    #[serde(default)]
    pub sale_amount: i64,
    /// What it earned less what was taken back, minor units of the workspace's currency.
    #[serde(default)]
    pub commissions: i64,
}

/// A Stripe account was connected or disconnected (A2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct AccountFact {
    /// `acct_...`
    pub account: String,
    /// False: it took its permission back.
    pub connected: bool,
}

/// A Stripe price or product: what is sold, and under which name (A2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PriceFact {
    /// `price_...`; empty for a product.
    #[serde(default)]
    pub price: String,
    /// `prod_...`
    pub product: String,
    /// Name of the product, or nickname of the price; empty if none.
    #[serde(default)]
    pub name: String,
    /// It can be sold.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A Stripe coupon and its name (A2, C6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CouponFact {
    /// ID of the coupon.
    pub coupon: String,
    /// Name as customers see it; empty if none.
    #[serde(default)]
    pub name: String,
    /// It can be redeemed.
    #[serde(default = "yes")]
    pub active: bool,
}

/// One immutable statement: the journal from which the ledger is computed. Topic facts, key: workspace/mode. Told twice it is the same fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Fact ID: hash of object, field group, as-of and content, 32 hex characters.
    pub id: String,
    /// Workspace ID.
    pub workspace: String,
    /// Live, test or sandbox name.
    pub mode: String,
    /// As-of: created of the event, or time of the API response or call, UTC milliseconds.
    pub at: i64,
    /// Event or call that told it first, for tie-breaks and explanations.
    #[serde(default)]
    pub source: String,
    /// Stripe, server, browser or operator.
    #[serde(default)]
    pub trust: String,
    /// What is stated.
    pub body: Body,
    /// Connected Stripe account whose object it is; empty: the workspace's own, or no Stripe object.
    #[serde(default)]
    pub account: String,
}

/// What a fact states. The order is the order of the union in `fact.avsc`: only append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A click that somebody named (rule C1). Object key click:ID is a reference and merges nobody.
    #[serde(rename = "ClickFact")]
    Click(Box<ClickFact>),
    /// A lead told by API (D1).
    #[serde(rename = "LeadFact")]
    Lead(Box<LeadFact>),
    /// A sale told by API (E7).
    #[serde(rename = "SaleFact")]
    Sale(Box<SaleFact>),
    /// A click or redemption ID tied to a customer (external CID).
    #[serde(rename = "IdentifyFact")]
    Identify(Box<IdentifyFact>),
    /// A coupon redemption told by API (D4).
    #[serde(rename = "RedemptionFact")]
    Redemption(Box<RedemptionFact>),
    /// A Stripe customer.
    #[serde(rename = "CustomerFact")]
    Customer(Box<CustomerFact>),
    /// A Stripe checkout session.
    #[serde(rename = "SessionFact")]
    Session(Box<SessionFact>),
    /// A Stripe invoice.
    #[serde(rename = "InvoiceFact")]
    Invoice(Box<InvoiceFact>),
    /// The edge between an invoice and a payment (basil).
    #[serde(rename = "InvoicePaymentFact")]
    InvoicePayment(Box<InvoicePaymentFact>),
    /// A Stripe charge.
    #[serde(rename = "ChargeFact")]
    Charge(Box<ChargeFact>),
    /// A Stripe payment intent.
    #[serde(rename = "PaymentIntentFact")]
    PaymentIntent(Box<PaymentIntentFact>),
    /// A Stripe refund object.
    #[serde(rename = "RefundFact")]
    Refund(Box<RefundFact>),
    /// A Stripe promotion code: code, ID and coupon (C6).
    #[serde(rename = "PromotionCodeFact")]
    PromotionCode(Box<PromotionCodeFact>),
    /// A declared rule with the time from which it holds.
    #[serde(rename = "RuleFact")]
    Rule(Box<RuleFact>),
    /// A decision about a commission or a sale (F6, F7, G7).
    #[serde(rename = "CommandFact")]
    Command(Box<CommandFact>),
    /// A Stripe dispute (G5).
    #[serde(rename = "DisputeFact")]
    Dispute(Box<DisputeFact>),
    /// A Stripe subscription (E8, E9, D3).
    #[serde(rename = "SubscriptionFact")]
    Subscription(Box<SubscriptionFact>),
    /// A Stripe credit note (G3).
    #[serde(rename = "CreditNoteFact")]
    CreditNote(Box<CreditNoteFact>),
    /// A customer given to a partner by hand (C1, C5).
    #[serde(rename = "AssignmentFact")]
    Assignment(Box<AssignmentFact>),
    /// A period of a subscription (E8).
    #[serde(rename = "PeriodFact")]
    Period(Box<PeriodFact>),
    /// The clicks on one link in one UTC day (F1).
    #[serde(rename = "ClickTotalsFact")]
    ClickTotals(Box<ClickTotalsFact>),
    /// What a partner had brought when a UTC day closed (F1).
    #[serde(rename = "PartnerTotalsFact")]
    PartnerTotals(Box<PartnerTotalsFact>),
    /// A Stripe account was connected or disconnected (A2).
    #[serde(rename = "AccountFact")]
    Account(Box<AccountFact>),
    /// A Stripe price or product (A2).
    #[serde(rename = "PriceFact")]
    Price(Box<PriceFact>),
    /// A Stripe coupon and its name (A2, C6).
    #[serde(rename = "CouponFact")]
    Coupon(Box<CouponFact>),
}
