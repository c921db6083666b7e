//! Ledger rows: conversions, refunds, commissions.
//!
//! The Rust side of `avro/schemas`: field for field the same (a test compares them). No behaviour here.

use serde::{Deserialize, Serialize};

use crate::one;

/// Where the credit went and the click it came from. Empty strings where unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Dimensions {
    /// Click that earned it; empty if none.
    #[serde(default)]
    pub click_id: String,
    /// Event time of the click, UTC milliseconds; 0 if none.
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
    /// Coupon code that decided; empty if none.
    #[serde(default)]
    pub coupon: String,
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
}

/// One line of a conversion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ConversionLine {
    /// Product ID or SKU.
    #[serde(default)]
    pub product: String,
    /// Units.
    #[serde(default = "one")]
    pub quantity: i64,
    /// Net amount, minor units.
    #[serde(default)]
    pub amount: i64,
    /// Commission of this line, minor units.
    #[serde(default)]
    pub commission: i64,
    /// Reward that fitted; empty if none.
    #[serde(default)]
    pub reward_id: String,
}

/// A lead, sale, redemption or subscription. Kinds: lead, sale, redemption, subscription. Topic conversions, key: workspace/mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Conversion {
    /// Conversion ID, derived from what it is about.
    pub id: String,
    /// Counts emissions of this entry from 1; retract carries the revision it takes back.
    pub revision: i64,
    /// Assert or retract.
    pub op: Op,
    /// Workspace ID.
    pub workspace: String,
    /// Live, test or sandbox name.
    pub mode: String,
    /// See the record's doc.
    pub kind: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Key of the object that the entry is about, e.g. in:in_1.
    pub object: String,
    /// Every ID that finds this conversion: session, payment intent, charge, invoice, external ID.
    #[serde(default)]
    pub keys: Vec<String>,
    /// External ID, else Stripe customer ID, else guest hash; empty if unknown.
    #[serde(default)]
    pub customer: String,
    /// Event name as peers have it.
    #[serde(default)]
    pub event_name: String,
    /// Approved, partially_refunded, refunded, disputed, charged_back or rejected.
    #[serde(default)]
    pub status: String,
    /// Workspace currency, minor units, net of tax; 0 while fx is no_rate.
    #[serde(default)]
    pub amount: i64,
    /// Workspace currency, ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// As paid, minor units, net of tax.
    #[serde(default)]
    pub original_amount: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub original_currency: String,
    /// Empty for the same currency, the rate as decimal text, or no_rate.
    #[serde(default)]
    pub fx: String,
    /// Leads or units.
    #[serde(default = "one")]
    pub quantity: i64,
    /// New or recurring for sales.
    #[serde(default)]
    pub sale_type: String,
    /// One_time, new_subscription, renewal, expansion, manual; empty for leads.
    #[serde(default)]
    pub billing: String,
    /// Stripe, api, browser, payment_link, customer, trial.
    #[serde(default)]
    pub source: String,
    /// Click, coupon, assignment or none.
    #[serde(default)]
    pub attributed_by: String,
    /// Why it is unattributed (C8); empty if attributed.
    #[serde(default)]
    pub reason: String,
    /// Number of the rule that decided.
    #[serde(default)]
    pub rule: String,
    /// Commission before refunds, minor units of currency.
    #[serde(default)]
    pub commission: i64,
    /// Self_referral, existing_customer, bot_click, client_side, ...
    #[serde(default)]
    pub flags: Vec<String>,
    /// Attribution and click dimensions.
    pub dims: Dimensions,
    /// Lines of the sale, workspace currency.
    #[serde(default)]
    pub lines: Vec<ConversionLine>,
    /// JSON: touches considered, deciding rule, why others lost; empty on retractions.
    #[serde(default)]
    pub explanation: String,
}

/// Money that went back. Kinds: refund, dispute, credit_note. Topic refunds, key: workspace/mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Refund {
    /// Refund ID, derived from what it is about.
    pub id: String,
    /// Counts emissions of this entry from 1; retract carries the revision it takes back.
    pub revision: i64,
    /// Assert or retract.
    pub op: Op,
    /// Workspace ID.
    pub workspace: String,
    /// Live, test or sandbox name.
    pub mode: String,
    /// See the record's doc.
    pub kind: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Key of the object that the entry is about, e.g. in:in_1.
    pub object: String,
    /// Every ID that finds the payment.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Conversion that it reduces.
    #[serde(default)]
    pub conversion_id: String,
    /// Customer of the payment.
    #[serde(default)]
    pub customer: String,
    /// Pending, succeeded, failed or canceled, or the dispute's status.
    #[serde(default)]
    pub status: String,
    /// Reason as told.
    #[serde(default)]
    pub reason: String,
    /// Share of the sale taken back, workspace currency, minor units.
    #[serde(default)]
    pub amount: i64,
    /// Workspace currency.
    #[serde(default)]
    pub currency: String,
    /// Amount refunded as paid, with tax, minor units.
    #[serde(default)]
    pub original_amount: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub original_currency: String,
    /// Commission taken back, minor units of currency.
    #[serde(default)]
    pub commission: i64,
    /// New or recurring, of the sale.
    #[serde(default)]
    pub sale_type: String,
    /// Attribution and click dimensions.
    pub dims: Dimensions,
    /// JSON: the arithmetic; empty on retractions.
    #[serde(default)]
    pub explanation: String,
}

/// Money earned by, or taken back from, a partner. Kinds: sale, lead, click, take_back, correction, custom. Topic commissions, key: workspace/mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Commission {
    /// Commission ID, derived from what it is about.
    pub id: String,
    /// Counts emissions of this entry from 1; retract carries the revision it takes back.
    pub revision: i64,
    /// Assert or retract.
    pub op: Op,
    /// Workspace ID.
    pub workspace: String,
    /// Live, test or sandbox name.
    pub mode: String,
    /// See the record's doc.
    pub kind: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Key of the object that the entry is about, e.g. in:in_1.
    pub object: String,
    /// Every ID that finds the payment.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Conversion that earned it; empty for custom ones.
    #[serde(default)]
    pub conversion_id: String,
    /// Refund that took it back; empty otherwise.
    #[serde(default)]
    pub refund_id: String,
    /// Customer of the payment.
    #[serde(default)]
    pub customer: String,
    /// Minor units, negative where taken back.
    #[serde(default)]
    pub amount: i64,
    /// ISO 4217, lower case.
    #[serde(default)]
    pub currency: String,
    /// Pending, approved, paid, withheld or reversed.
    #[serde(default)]
    pub state: String,
    /// Event time plus holding period, UTC milliseconds.
    #[serde(default)]
    pub due_at: i64,
    /// Reward that earned it.
    #[serde(default)]
    pub reward_id: String,
    /// Why, for withheld, zero, custom and correction rows.
    #[serde(default)]
    pub reason: String,
    /// Payout that paid it; empty if unpaid.
    #[serde(default)]
    pub payout_id: String,
    /// Attribution and click dimensions.
    pub dims: Dimensions,
    /// JSON: the arithmetic; empty on retractions.
    #[serde(default)]
    pub explanation: String,
}

/// Whether a row adds its amounts or takes them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Op {
    /// Adds the row.
    #[default]
    #[serde(rename = "assert")]
    Assert,
    /// Takes the row with the same revision back.
    #[serde(rename = "retract")]
    Retract,
}
