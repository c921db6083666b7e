//! A conversion as JSON: as an event of a list, and in full for the look-up of a payment.

use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value, json};
use tributary_avro::Conversion;
use tributary_domain::ledger::invoice;
use tributary_domain::rules::Link;

use crate::period::utc_text;
use crate::record::{
    LedgerRow, Told, click, dimension, dimensions, dimensions_of, link, named_link, parsed, partner,
    text_or_null,
};

/// A conversion that stands.
#[derive(Row, Deserialize)]
pub struct ConversionRow {
    pub id: String,
    revision: i64,
    sign: i8,
    pub kind: String,
    at_ms: i64,
    pub object: String,
    pub keys: Vec<String>,
    event_name: String,
    status: String,
    pub amount: i64,
    pub currency: String,
    original_amount: i64,
    original_currency: String,
    fx: String,
    quantity: i64,
    sale_type: String,
    billing: String,
    source: String,
    attributed_by: String,
    reason: String,
    rule: String,
    pub commission: i64,
    flags: Vec<String>,
    clicked_ms: i64,
    dimensions: Vec<String>,
    products: Vec<String>,
    quantities: Vec<i64>,
    amounts: Vec<i64>,
    commissions: Vec<i64>,
    rewards: Vec<String>,
    explanation: String,
}

impl From<Conversion> for ConversionRow {
    fn from(conversion: Conversion) -> Self {
        let lines = &conversion.lines;
        Self {
            dimensions: dimensions_of(&conversion.dims, &conversion.customer),
            clicked_ms: conversion.dims.clicked_at,
            products: lines.iter().map(|line| line.product.clone()).collect(),
            quantities: lines.iter().map(|line| line.quantity).collect(),
            amounts: lines.iter().map(|line| line.amount).collect(),
            commissions: lines.iter().map(|line| line.commission).collect(),
            rewards: lines.iter().map(|line| line.reward_id.clone()).collect(),
            id: conversion.id,
            revision: conversion.revision,
            sign: 1,
            kind: conversion.kind,
            at_ms: conversion.at,
            object: conversion.object,
            keys: conversion.keys,
            event_name: conversion.event_name,
            status: conversion.status,
            amount: conversion.amount,
            currency: conversion.currency,
            original_amount: conversion.original_amount,
            original_currency: conversion.original_currency,
            fx: conversion.fx,
            quantity: conversion.quantity,
            sale_type: conversion.sale_type,
            billing: conversion.billing,
            source: conversion.source,
            attributed_by: conversion.attributed_by,
            reason: conversion.reason,
            rule: conversion.rule,
            commission: conversion.commission,
            flags: conversion.flags,
            explanation: conversion.explanation,
        }
    }
}

impl LedgerRow for ConversionRow {
    const TABLE: &str = "conversions";

    fn columns() -> String {
        format!(
            "id, revision, sign, kind, toUnixTimestamp64Milli(at) AS at_ms, object, keys, event_name, status, amount,
             currency, original_amount, original_currency, fx, quantity, sale_type, billing, source, attributed_by,
             reason, rule, commission, flags, toUnixTimestamp64Milli(clicked_at) AS clicked_ms, {},
             `lines.product` AS products, `lines.quantity` AS quantities, `lines.amount` AS amounts,
             `lines.commission` AS commissions, `lines.reward_id` AS rewards, explanation",
            dimensions(false)
        )
    }

    fn told(&self) -> (Told<'_>, i8) {
        ((self.at_ms, &self.id, self.revision), self.sign)
    }
}

impl ConversionRow {
    /// As an event, in Dub's shape.
    pub fn event(&self) -> Value {
        let mut event = json!({
            "event": self.kind,
            "timestamp": utc_text(self.at_ms),
            "eventId": self.id,
            "eventName": self.event_name,
            "click": click(&self.dimensions, self.clicked_ms),
            "link": link(&self.dimensions),
            "partner": partner(&self.dimensions),
            "coupon": text_or_null(dimension(&self.dimensions, "coupon")),
            "customer": {"externalId": dimension(&self.dimensions, "customer")},
            "status": self.status,
            "source": self.source,
            "attributedBy": self.attributed_by,
            "reason": text_or_null(&self.reason),
            "flags": self.flags,
        });
        let Some(fields) = event.as_object_mut() else {
            return event;
        };
        if self.kind == "sale" {
            fields.insert(
                "sale".to_owned(),
                json!({
                    "amount": self.amount,
                    "currency": self.currency,
                    "paymentProcessor": processor(&self.source),
                    "invoiceId": invoice(&self.keys, &self.object),
                    "type": self.sale_type,
                    "billing": self.billing,
                }),
            );
            fields.insert("commission".to_owned(), json!(self.commission));
        } else {
            fields.insert("quantity".to_owned(), json!(self.quantity));
        }
        event
    }

    /// In full, for the look-up of a payment.
    pub fn full(&self) -> Value {
        let lines = self.products.iter().zip(&self.quantities).zip(&self.amounts);
        let lines = lines.zip(self.commissions.iter().zip(&self.rewards)).map(
            |(((product, quantity), amount), (commission, reward))| {
                json!({"product": product, "quantity": quantity, "amount": amount, "commission": commission,
                       "rewardId": text_or_null(reward)})
            },
        );
        json!({
            "id": self.id,
            "revision": self.revision,
            "kind": self.kind,
            "timestamp": utc_text(self.at_ms),
            "object": self.object,
            "keys": self.keys,
            "customer": text_or_null(dimension(&self.dimensions, "customer")),
            "eventName": self.event_name,
            "status": self.status,
            "amount": self.amount,
            "currency": self.currency,
            "originalAmount": self.original_amount,
            "originalCurrency": self.original_currency,
            "fx": text_or_null(&self.fx),
            "quantity": self.quantity,
            "saleType": self.sale_type,
            "billing": self.billing,
            "source": self.source,
            "attributedBy": self.attributed_by,
            "reason": text_or_null(&self.reason),
            "rule": text_or_null(&self.rule),
            "commission": self.commission,
            "flags": self.flags,
            "lines": lines.collect::<Vec<_>>(),
            "click": click(&self.dimensions, self.clicked_ms),
            "link": link(&self.dimensions),
        })
    }

    pub fn link(&self) -> Link {
        named_link(&self.dimensions)
    }

    pub fn customer(&self) -> &str {
        dimension(&self.dimensions, "customer")
    }

    pub fn is_sale(&self) -> bool {
        self.kind == "sale"
    }

    pub fn partner(&self) -> Value {
        partner(&self.dimensions)
    }

    pub fn coupon(&self) -> Value {
        text_or_null(dimension(&self.dimensions, "coupon"))
    }

    pub fn explanation(&self) -> Value {
        parsed(&self.explanation)
    }
}

/// Who took the money, as the SDKs know it.
fn processor(source: &str) -> &'static str {
    match source {
        "api" | "browser" => "custom",
        _ => "stripe",
    }
}
