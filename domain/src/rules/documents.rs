//! The documents of program.yaml: their shape and defaults. The same JSON stands in `config` and in
//! rule facts. Unknown fields are errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DayRates, Reward, Webhook};

/// A whole program.yaml: one workspace and everything it declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramFile {
    /// The workspace and its settings.
    pub workspace: Workspace,
    /// Offers.
    #[serde(default)]
    pub programs: Vec<Program>,
    /// Affiliates.
    #[serde(default)]
    pub partners: Vec<Partner>,
    /// Short links.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Partners' codes.
    #[serde(default)]
    pub coupons: Vec<Coupon>,
    /// Where events of the ledger are sent to.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
    /// Exchange rates (rule E6). A running Tributary gets them by `tributary fx load`, day by day.
    #[serde(default)]
    pub rates: Vec<DayRates>,
}

/// Settings of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// 1 to 64 characters `[a-z0-9_-]`.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// Reporting currency, ISO 4217, lower case (rule E6).
    #[serde(default = "usd")]
    pub currency: String,
    /// Modes kept side by side; rules hold in each.
    #[serde(default = "modes")]
    pub modes: Vec<String>,
    /// Hosts of short links. The first is the default.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Hosts of the pages that may call without a secret key, `*.` for all below; empty: any (rule C9).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hostnames: Vec<String>,
    /// Domain of the workspace's site: links on hosts within it leave the click with the whole site.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cookie_domain: String,
    /// Keys of the tracking API.
    #[serde(default)]
    pub api_keys: Vec<ApiKey>,
    /// Connected Stripe accounts whose events this workspace takes; empty: every account on its endpoint.
    #[serde(default)]
    pub stripe_accounts: Vec<String>,
    /// A platform's connected Stripe accounts, each with the workspace whose events its are: they come to the platform's
    /// one endpoint. That workspace must name the account among its `stripe_accounts`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub connected_workspaces: BTreeMap<String, String>,
    /// Coupon attribution as a whole (rule C7).
    #[serde(default = "yes")]
    pub coupons: bool,
    /// Payments without session and invoice are sales even if they name nobody (rule E5).
    #[serde(default)]
    pub bare_payments: bool,
    /// Leads born from payment links and Stripe customers earn lead rewards (rule D2).
    #[serde(default)]
    pub stripe_leads_earn: bool,
    /// A subscription that starts with a trial is a lead (rule D3).
    #[serde(default)]
    pub trials: bool,
    /// A trial is one lead for each unit of the subscription (rule D3).
    #[serde(default)]
    pub trial_quantity: bool,
    /// What of a subscription is a sale (rule E8).
    #[serde(default)]
    pub subscriptions: Subscriptions,
    /// A `client_reference_id` that is no click ID is an external ID (rule B2).
    #[serde(default)]
    pub client_reference_is_external_id: bool,
    /// Metadata names of the external ID (rule B1).
    #[serde(default = "external_id_names")]
    pub external_id_metadata: Vec<String>,
    /// When this version holds from, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Rule E8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscriptions {
    /// Each paid invoice.
    #[default]
    Transactions,
    /// Each period of an active subscription, whatever its invoices say.
    Dates,
}

/// A key of the tracking API. Only its hash is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Name for people.
    pub name: String,
    /// SHA-256 of the key, hex.
    pub sha256: String,
    /// live, test or the name of a sandbox.
    #[serde(default = "live")]
    pub mode: String,
    /// secret, publishable or token.
    #[serde(default)]
    pub kind: KeyKind,
    /// What a token may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Permission>,
    /// The partner whose rows a token is confined to; empty: all of the workspace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub partner: String,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Server to server.
    #[default]
    Secret,
    /// In browsers: its facts never override others (rule C9).
    Publishable,
    /// Reading and managing within its scopes, and nothing else: it tells no facts.
    Token,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// Figures and events.
    #[serde(rename = "analytics.read")]
    AnalyticsRead,
    /// Customers and payments.
    #[serde(rename = "customers.read")]
    CustomersRead,
    /// What partners earned.
    #[serde(rename = "commissions.read")]
    CommissionsRead,
    /// Decisions about what partners earned.
    #[serde(rename = "commissions.write")]
    CommissionsWrite,
    /// Links.
    #[serde(rename = "links.read")]
    LinksRead,
    /// Making, changing and deleting links.
    #[serde(rename = "links.write")]
    LinksWrite,
    /// Partners and their links.
    #[serde(rename = "partners.read")]
    PartnersRead,
    /// Making and changing partners and their links.
    #[serde(rename = "partners.write")]
    PartnersWrite,
}

impl Permission {
    /// As documents and refusals name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnalyticsRead => "analytics.read",
            Self::CustomersRead => "customers.read",
            Self::CommissionsRead => "commissions.read",
            Self::CommissionsWrite => "commissions.write",
            Self::LinksRead => "links.read",
            Self::LinksWrite => "links.write",
            Self::PartnersRead => "partners.read",
            Self::PartnersWrite => "partners.write",
        }
    }

    /// Whether it changes something.
    pub const fn writes(self) -> bool {
        matches!(
            self,
            Self::CommissionsWrite | Self::LinksWrite | Self::PartnersWrite
        )
    }
}

/// One offer of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// ID within the workspace.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// Where partners' links lead to that name no destination of their own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Attribution window in days (rule C2).
    #[serde(default = "window_days")]
    pub window_days: i64,
    /// Who gets the credit among several touches (rule C3).
    #[serde(default)]
    pub model: Model,
    /// A customer stays with the partner once bound (rule C4).
    #[serde(default = "yes")]
    pub sticky: bool,
    /// Coupon against click (rule C5).
    #[serde(default)]
    pub coupon_precedence: CouponPrecedence,
    /// Codes match exactly rather than without case (rule C6).
    #[serde(default)]
    pub exact_codes: bool,
    /// Days until a commission is due (rule F6).
    #[serde(default = "holding_days")]
    pub holding_days: i64,
    /// Flags that withhold what is earned until somebody decides (rule C10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withhold: Vec<Flag>,
    /// A sale that only a browser told of is not withheld (rule C9).
    #[serde(default)]
    pub trust_browsers: bool,
    /// What is earned, asked after the partner's and its group's (rule F1).
    #[serde(default)]
    pub rewards: Vec<Reward>,
    /// What partners of a group earn, before the program's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Conversion types beside the built-in sale and lead (rule D4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversion_types: Vec<ConversionType>,
    /// Revenue origins whose conversions are this program's (rule D4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revenue_origins: Vec<String>,
    /// When this version holds from, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Program {
    /// Its rewards, and those of its groups.
    pub fn all_rewards(&self) -> impl Iterator<Item = &Reward> {
        let groups = self.groups.iter().flat_map(|group| &group.rewards);
        self.rewards.iter().chain(groups)
    }
}

/// A conversion type that calls may name (rule D4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversionType {
    /// As calls name it; `couponredeem` and `couponredeemed` are one.
    pub code: String,
    /// Event name in the ledger; empty: the code.
    #[serde(default)]
    pub name: String,
    /// What such a call tells.
    #[serde(rename = "as")]
    pub tells: Tells,
}

/// What a conversion of a type tells (rule D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tells {
    /// A sale: it has an amount.
    Sale,
    /// A lead.
    Lead,
    /// That a coupon was redeemed.
    Redemption,
}

/// Rewards of the partners that name this group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// ID within the program, as partners name it.
    pub id: String,
    /// Rewards, before the program's (rule F1).
    #[serde(default)]
    pub rewards: Vec<Reward>,
}

/// What looks odd about a lead or sale (rule C10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The customer is the partner.
    SelfReferral,
    /// The first sale was before the click.
    ExistingCustomer,
    /// A bot made the click.
    BotClick,
    /// The customer's address is of a provider of throw-away addresses.
    DisposableEmail,
    /// Only a browser said that the click is the customer's.
    TouchByBrowser,
}

impl Flag {
    /// As it stands in the ledger.
    pub fn text(self) -> &'static str {
        match self {
            Self::SelfReferral => "self_referral",
            Self::ExistingCustomer => "existing_customer",
            Self::BotClick => "bot_click",
            Self::DisposableEmail => "disposable_email",
            Self::TouchByBrowser => "touch_by_browser",
        }
    }
}

/// Rule C3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// The last touch takes all.
    #[default]
    LastClick,
    /// The first touch takes all.
    FirstClick,
    /// Every touch gets the same share.
    Linear,
    /// The first and the last get 40 % each, those between them 20 % together.
    PositionBased,
    /// A touch that is 7 days older than another gets half its share.
    TimeDecay,
}

/// Rule C5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponPrecedence {
    /// The coupon decides only where no click does.
    #[default]
    ClickFirst,
    /// The coupon decides where there is one.
    CouponFirst,
    /// The later of the two decides.
    LatestTouch,
}

/// An affiliate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partner {
    /// ID within the workspace.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// Program it takes part in; empty: the first program.
    #[serde(default)]
    pub program: String,
    /// E-mail address, for telling self-referral (rule C10). Facts hold its hash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Keyed hash of `email`: Tributary sets it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mail: String,
    /// Country, ISO 3166-1 alpha-2, upper case: what rewards may ask about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub country: String,
    /// Group of partners; one that the program declares has rewards.
    #[serde(default)]
    pub group: String,
    /// Rule F7.
    #[serde(default)]
    pub status: PartnerStatus,
    /// Rewards of its own, before its group's and the program's.
    #[serde(default)]
    pub rewards: Vec<Reward>,
    /// Its ID in the customer's own database, unique in the workspace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// When it was created by the API, RFC 3339: Tributary sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When this version holds from, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Partner {
    /// What people call the partner: the ID, if it has no name.
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() {
            &self.id
        } else {
            &self.name
        }
    }
}

/// Rule F7: only approved, archived and invited partners earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartnerStatus {
    /// Takes part.
    #[default]
    Approved,
    /// Was asked to take part.
    Invited,
    /// Takes part no longer; what it earns stays its own.
    Archived,
    /// Asked to take part.
    Pending,
    /// Was refused.
    Rejected,
    /// Was thrown out.
    Banned,
}

/// A short link. The empty one is not tracked, as Dub's API has it; in program.yaml links are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// ID within the workspace; empty: domain/key.
    #[serde(default)]
    pub id: String,
    /// Host; empty: the workspace's first domain.
    #[serde(default)]
    pub domain: String,
    /// Path without leading slash.
    pub key: String,
    /// Destination.
    pub url: String,
    /// Partner that earns.
    #[serde(default)]
    pub partner: String,
    /// Program; empty: the partner's.
    #[serde(default)]
    pub program: String,
    /// Leads and sales of its clicks count (rule D5).
    #[serde(default = "yes")]
    pub tracked: bool,
    /// Rewards of its clicks, leads and sales, before the partner's (rule F1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewards: Vec<Reward>,
    /// Adds `client_reference_id=dub_id_<click>` for Stripe payment links.
    #[serde(default)]
    pub client_reference_id: bool,
    /// From then on it leads to `expired_url`, or nowhere (410): RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Where an expired link leads to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expired_url: String,
    /// Destination on iPhones and iPads.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ios: String,
    /// Destination on Android.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub android: String,
    /// Destinations by country, ISO 3166-1 alpha-2, upper case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub geo: BTreeMap<String, String>,
    /// Left out of lists; it still redirects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Its ID in the customer's own database, unique in the workspace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    /// Who it belongs to in the customer's own database.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comments: String,
    /// When it was created by the API, RFC 3339: Tributary sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When this version holds from, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A partner's code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coupon {
    /// Code text, equal to the Stripe promotion code's.
    pub code: String,
    /// Partner that earns.
    pub partner: String,
    /// Stripe promotion code IDs mapped by hand: they beat the text (rule C6).
    #[serde(default)]
    pub promotion_codes: Vec<String>,
    /// The code attributes sales; switching it off keeps the sales made before.
    #[serde(default = "yes")]
    pub active: bool,
    /// When this version holds from, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

fn usd() -> String {
    "usd".to_owned()
}

fn live() -> String {
    "live".to_owned()
}

fn modes() -> Vec<String> {
    vec![live(), "test".to_owned()]
}

fn external_id_names() -> Vec<String> {
    ["dubCustomerExternalId", "dubCustomerId", "tributaryCustomerId"]
        .map(str::to_owned)
        .to_vec()
}

fn yes() -> bool {
    true
}

fn window_days() -> i64 {
    90
}

fn holding_days() -> i64 {
    30
}
