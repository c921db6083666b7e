//! Ledger rows as JSON: what an event list and a payment look-up show of a click, refund or commission.
//!
//! Invariant: only standing rows are read: asserted, and not taken back.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value, json};
use tributary_avro::{Click, Dimensions, Refund};
use tributary_domain::rules::Link;

use crate::period::utc_text;

/// The condition of rows that stand: `condition` and no retraction of the same revision under `condition`.
///
/// An assertion and its retraction carry the same dimensions and times, so one condition serves both.
pub fn standing(table: &str, condition: &str) -> String {
    format!(
        "{condition} AND sign = 1 AND (id, revision) NOT IN
            (SELECT id, revision FROM {table} WHERE {condition} AND sign = -1)"
    )
}

/// A row of a ledger table as it is shown.
pub trait LedgerRow {
    /// Its table.
    const TABLE: &str;

    /// What is read of it.
    fn columns() -> String;

    /// Which entry it tells of, and the sign: 1 asserts, -1 takes back.
    fn told(&self) -> (Told<'_>, i8);
}

/// One revision of an entry: event time (UTC milliseconds), ID, revision.
pub type Told<'a> = (i64, &'a str, i64);

/// The rows that were told more often than taken back, in the order of their times.
pub fn standing_of<T: LedgerRow>(rows: Vec<T>) -> Vec<T> {
    let mut sums: BTreeMap<(String, i64), i64> = BTreeMap::new();
    let owned = |(_, id, revision): Told<'_>| (id.to_owned(), revision);
    for row in &rows {
        let (told, sign) = row.told();
        *sums.entry(owned(told)).or_default() += i64::from(sign);
    }
    let mut standing: Vec<T> = rows
        .into_iter()
        .filter(|row| {
            let (told, sign) = row.told();
            sign > 0 && sums.get(&owned(told)).is_some_and(|sum| *sum > 0)
        })
        .collect();
    standing.sort_by(|one, other| one.told().0.cmp(&other.told().0));
    standing
}

const DIMENSIONS: [&str; 25] = [
    "click_id",
    "link_id",
    "domain",
    "key",
    "url",
    "partner_id",
    "program_id",
    "group_id",
    "coupon",
    "trigger",
    "country",
    "region",
    "city",
    "continent",
    "device",
    "browser",
    "os",
    "referer",
    "referer_url",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "customer",
];

/// The same array of a record as it comes from Kafka.
pub fn dimensions_of(dims: &Dimensions, customer: &str) -> Vec<String> {
    let value = |name| -> &str {
        match name {
            "click_id" => &dims.click_id,
            "link_id" => &dims.link_id,
            "domain" => &dims.domain,
            "key" => &dims.key,
            "url" => &dims.url,
            "partner_id" => &dims.partner_id,
            "program_id" => &dims.program_id,
            "group_id" => &dims.group_id,
            "coupon" => &dims.coupon,
            "trigger" => &dims.trigger,
            "country" => &dims.country,
            "region" => &dims.region,
            "city" => &dims.city,
            "continent" => &dims.continent,
            "device" => &dims.device,
            "browser" => &dims.browser,
            "os" => &dims.os,
            "referer" => &dims.referer,
            "referer_url" => &dims.referer_url,
            "utm_source" => &dims.utm_source,
            "utm_medium" => &dims.utm_medium,
            "utm_campaign" => &dims.utm_campaign,
            "utm_term" => &dims.utm_term,
            "utm_content" => &dims.utm_content,
            _ => customer,
        }
    };
    DIMENSIONS.iter().map(|name| value(name).to_owned()).collect()
}

/// The dimension columns as one array; for clicks with what clicks lack as empty text.
pub fn dimensions(clicks: bool) -> String {
    let names: Vec<&str> = DIMENSIONS
        .iter()
        .map(|name| match *name {
            "click_id" if clicks => "id",
            "coupon" | "customer" if clicks => "''",
            name => name,
        })
        .collect();
    format!("CAST([{}] AS Array(String)) AS dimensions", names.join(", "))
}

pub fn dimension<'a>(values: &'a [String], name: &str) -> &'a str {
    let position = DIMENSIONS.iter().position(|known| *known == name);
    position
        .and_then(|position| values.get(position))
        .map_or("", String::as_str)
}

/// The click part of an event, in Dub's shape; null for a conversion without one.
pub fn click(values: &[String], clicked_ms: i64) -> Value {
    let get = |name| dimension(values, name);
    if get("click_id").is_empty() {
        return Value::Null;
    }
    json!({
        "id": get("click_id"),
        "timestamp": utc_text(clicked_ms),
        "url": get("url"),
        "country": get("country"),
        "region": get("region"),
        "city": get("city"),
        "continent": get("continent"),
        "device": get("device"),
        "browser": get("browser"),
        "os": get("os"),
        "trigger": get("trigger"),
        "referer": get("referer"),
        "refererUrl": get("referer_url"),
        "qr": get("trigger") == "qr",
        "utm_source": get("utm_source"),
        "utm_medium": get("utm_medium"),
        "utm_campaign": get("utm_campaign"),
        "utm_term": get("utm_term"),
        "utm_content": get("utm_content"),
    })
}

pub fn link(values: &[String]) -> Value {
    let get = |name| dimension(values, name);
    if get("link_id").is_empty() {
        return Value::Null;
    }
    json!({
        "id": get("link_id"),
        "domain": get("domain"),
        "key": get("key"),
        "shortLink": format!("https://{}/{}", get("domain"), get("key")),
        "url": get("url"),
        "partnerId": get("partner_id"),
        "programId": get("program_id"),
    })
}

/// The link that a row names, to be looked up.
pub fn named_link(values: &[String]) -> Link {
    let get = |name| dimension(values, name).to_owned();
    Link {
        id: get("link_id"),
        domain: get("domain"),
        key: get("key"),
        url: get("url"),
        partner: get("partner_id"),
        program: get("program_id"),
        tracked: true,
        ..Link::default()
    }
}

/// Who has the credit; null for nobody.
pub fn partner(values: &[String]) -> Value {
    let get = |name| dimension(values, name);
    if get("partner_id").is_empty() {
        return Value::Null;
    }
    json!({"id": get("partner_id"), "programId": get("program_id"), "groupId": get("group_id")})
}

pub fn text_or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

pub fn parsed(explanation: &str) -> Value {
    serde_json::from_str(explanation).unwrap_or_else(|_| text_or_null(explanation))
}

/// A click as stored.
#[derive(Row, Deserialize)]
pub struct ClickRow {
    at_ms: i64,
    dimensions: Vec<String>,
}

impl ClickRow {
    pub fn columns() -> String {
        format!("toUnixTimestamp64Milli(at) AS at_ms, {}", dimensions(true))
    }

    pub fn link(&self) -> Link {
        named_link(&self.dimensions)
    }

    pub fn json(&self) -> Value {
        json!({
            "event": "click",
            "timestamp": utc_text(self.at_ms),
            "click": click(&self.dimensions, self.at_ms),
            "link": link(&self.dimensions),
            "partner": partner(&self.dimensions),
        })
    }
}

impl From<Click> for ClickRow {
    fn from(click: Click) -> Self {
        let at_ms = click.at;
        let dims = Dimensions {
            click_id: click.id,
            clicked_at: at_ms,
            link_id: click.link_id,
            domain: click.domain,
            key: click.key,
            url: click.url,
            partner_id: click.partner_id,
            program_id: click.program_id,
            group_id: click.group_id,
            coupon: String::new(),
            trigger: click.trigger,
            country: click.country,
            region: click.region,
            city: click.city,
            continent: click.continent,
            device: click.device,
            browser: click.browser,
            os: click.os,
            referer: click.referer,
            referer_url: click.referer_url,
            utm_source: click.utm_source,
            utm_medium: click.utm_medium,
            utm_campaign: click.utm_campaign,
            utm_term: click.utm_term,
            utm_content: click.utm_content,
        };
        Self {
            at_ms,
            dimensions: dimensions_of(&dims, ""),
        }
    }
}

/// A refund, dispute or credit note that stands.
#[derive(Row, Deserialize)]
pub struct RefundRow {
    id: String,
    revision: i64,
    sign: i8,
    kind: String,
    at_ms: i64,
    object: String,
    pub conversion_id: String,
    status: String,
    reason: String,
    pub amount: i64,
    currency: String,
    original_amount: i64,
    original_currency: String,
    commission: i64,
    clicked_ms: i64,
    dimensions: Vec<String>,
    explanation: String,
}

impl LedgerRow for RefundRow {
    const TABLE: &str = "refunds";

    fn columns() -> String {
        format!(
            "id, revision, sign, kind, toUnixTimestamp64Milli(at) AS at_ms, object, conversion_id, status, reason, amount,
             currency, original_amount, original_currency, commission, toUnixTimestamp64Milli(clicked_at) AS clicked_ms, {},
             explanation",
            dimensions(false)
        )
    }

    fn told(&self) -> (Told<'_>, i8) {
        ((self.at_ms, &self.id, self.revision), self.sign)
    }
}

impl RefundRow {
    pub fn event(&self) -> Value {
        json!({
            "event": "refund",
            "timestamp": utc_text(self.at_ms),
            "eventId": self.id,
            "refund": self.full(),
            "click": click(&self.dimensions, self.clicked_ms),
            "link": link(&self.dimensions),
            "partner": partner(&self.dimensions),
            "coupon": text_or_null(dimension(&self.dimensions, "coupon")),
            "customer": {"externalId": dimension(&self.dimensions, "customer")},
        })
    }

    pub fn full(&self) -> Value {
        json!({
            "id": self.id,
            "kind": self.kind,
            "timestamp": utc_text(self.at_ms),
            "object": self.object,
            "conversionId": text_or_null(&self.conversion_id),
            "status": self.status,
            "reason": text_or_null(&self.reason),
            "amount": self.amount,
            "currency": self.currency,
            "originalAmount": self.original_amount,
            "originalCurrency": self.original_currency,
            "commission": self.commission,
            "explanation": parsed(&self.explanation),
        })
    }
}

impl From<Refund> for RefundRow {
    fn from(refund: Refund) -> Self {
        Self {
            dimensions: dimensions_of(&refund.dims, &refund.customer),
            clicked_ms: refund.dims.clicked_at,
            id: refund.id,
            revision: refund.revision,
            sign: 1,
            kind: refund.kind,
            at_ms: refund.at,
            object: refund.object,
            conversion_id: refund.conversion_id,
            status: refund.status,
            reason: refund.reason,
            amount: refund.amount,
            currency: refund.currency,
            original_amount: refund.original_amount,
            original_currency: refund.original_currency,
            commission: refund.commission,
            explanation: refund.explanation,
        }
    }
}

/// A commission that stands.
#[derive(Row, Deserialize)]
pub struct CommissionRow {
    id: String,
    revision: i64,
    sign: i8,
    pub kind: String,
    at_ms: i64,
    pub conversion_id: String,
    refund_id: String,
    pub amount: i64,
    currency: String,
    state: String,
    due_ms: i64,
    reward_id: String,
    reason: String,
    payout_id: String,
    partner_id: String,
    explanation: String,
}

impl LedgerRow for CommissionRow {
    const TABLE: &str = "commissions";

    fn columns() -> String {
        "id, revision, sign, kind, toUnixTimestamp64Milli(at) AS at_ms, conversion_id, refund_id, amount, currency, state,
         toUnixTimestamp64Milli(due_at) AS due_ms, reward_id, reason, payout_id, partner_id, explanation"
            .to_owned()
    }

    fn told(&self) -> (Told<'_>, i8) {
        ((self.at_ms, &self.id, self.revision), self.sign)
    }
}

impl CommissionRow {
    /// Whether it is what a conversion earned, and nothing of it was paid.
    pub fn is_earned(&self) -> bool {
        !self.is_correction() && !self.is_payment() && self.refund_id.is_empty()
    }

    /// Whether it is the difference between what was earned and what was paid.
    pub fn is_correction(&self) -> bool {
        self.kind == "correction"
    }

    /// Whether it says what a payout paid.
    pub fn is_payment(&self) -> bool {
        self.state == "paid"
    }

    pub fn full(&self) -> Value {
        json!({
            "id": self.id,
            "kind": self.kind,
            "timestamp": utc_text(self.at_ms),
            "conversionId": text_or_null(&self.conversion_id),
            "refundId": text_or_null(&self.refund_id),
            "partnerId": text_or_null(&self.partner_id),
            "amount": self.amount,
            "currency": self.currency,
            "state": self.state,
            "dueAt": utc_text(self.due_ms),
            "rewardId": text_or_null(&self.reward_id),
            "reason": text_or_null(&self.reason),
            "payoutId": text_or_null(&self.payout_id),
            "explanation": parsed(&self.explanation),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_is_left_away() {
        let row = |at_ms, id: &str, revision, sign| RefundRow {
            at_ms,
            revision,
            sign,
            ..RefundRow::from(Refund {
                id: id.to_owned(),
                ..Refund::default()
            })
        };
        let rows = vec![
            row(3, "late", 1, 1),
            row(1, "corrected", 1, 1),
            row(1, "corrected", 1, -1),
            row(2, "corrected", 2, 1),
            row(1, "gone", 1, -1),
            row(1, "gone", 1, 1),
            row(1, "first", 1, 1),
        ];
        let standing = standing_of(rows);
        let shown: Vec<(&str, i64)> = standing
            .iter()
            .map(|row| (row.id.as_str(), row.revision))
            .collect();
        assert_eq!(shown, [("first", 1), ("corrected", 2), ("late", 1)]);
    }
}
