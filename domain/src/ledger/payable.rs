//! Commissions as rows: what is earned less what was paid, what refunds take back, what was paid.
//!
//! Invariant: the rows of a partner add up to what it earned less what was taken back; nothing paid is
//! ever edited.

use std::collections::BTreeMap;

use serde::Serialize;
use tributary_avro::{Body, CommandFact, Commission, Conversion, Dimensions, Fact, Refund};

use super::attribution::Decision;
use super::commission::{Earned, EarnedLine};
use super::entries::{DAY, Inputs, id, text};
use super::refunds::{Back, is_disputed};
use super::row::Row;
use crate::fact::sale_key;

/// Another amount or currency is another payment: a restatement cannot edit what was paid.
fn identity(pay: &CommandFact) -> (&str, &str, &str, i64, &str) {
    (
        &pay.names,
        &pay.partner_id,
        &pay.payout_id,
        pay.amount,
        &pay.currency,
    )
}

/// How a commission row came to be, as it stands in JSON.
#[derive(Serialize)]
struct Account<'a> {
    earned: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<&'a [EarnedLine]>,
    paid: i64,
}

/// How a refund takes back, as it stands in JSON.
#[derive(Serialize)]
struct TakenBack {
    commission: i64,
    gross: i64,
    refunded_after: i64,
    refunded_before: i64,
    rule: &'static str,
    sale: i64,
}

impl Inputs<'_> {
    /// The commission of a conversion, less what was paid for it: nothing paid is ever edited (rule F6).
    /// Payouts are for the payment's sale, so that a lead of the same object is not set against them.
    pub(super) fn commission(
        &self,
        conversion: &Conversion,
        decision: &Decision,
        earned: &Earned,
        keys: &[String],
        rows: &mut Vec<Row>,
    ) {
        let is_sale = conversion.kind == "sale";
        let own = (decision.partner.as_str(), conversion.currency.as_str());
        let mut accounts = if is_sale { self.accounts() } else { BTreeMap::new() };
        accounts.entry(own).or_default();
        let holding = self
            .rules
            .program(&decision.program, conversion.at)
            .map_or(30, |p| p.holding_days);
        for ((partner, currency), paid) in accounts {
            let (state, reason) = if is_sale {
                self.state(partner)
            } else {
                ("pending", String::new())
            };
            let earns = (partner, currency) == own && state != "reversed";
            let desired = if earns { earned.total } else { 0 };
            let says_nothing = desired == paid && (state != "reversed" || earned.total == 0);
            if partner.is_empty() || says_nothing {
                continue;
            }
            let kind = if paid == 0 {
                conversion.kind.as_str()
            } else {
                "correction"
            };
            rows.push(Row::Commission(Box::new(Commission {
                id: self.commission_id(&conversion.object, partner, currency, &conversion.currency),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: kind.to_owned(),
                at: conversion.at,
                object: conversion.object.clone(),
                keys: keys.to_vec(),
                conversion_id: conversion.id.clone(),
                customer: conversion.customer.clone(),
                amount: desired.saturating_sub(paid),
                currency: currency.to_owned(),
                state: state.to_owned(),
                due_at: conversion.at.saturating_add(holding.saturating_mul(DAY)),
                reward_id: earned
                    .lines
                    .iter()
                    .map(|l| l.reward.clone())
                    .find(|r| !r.is_empty())
                    .unwrap_or_default(),
                reason,
                dims: Dimensions {
                    partner_id: partner.to_owned(),
                    ..conversion.dims.clone()
                },
                explanation: text(&Account {
                    earned: desired,
                    lines: Some(&earned.lines),
                    paid,
                }),
                ..Commission::default()
            })));
        }
    }

    /// What was paid for a sale that is none (any more) is asked back by rows of its own.
    pub(super) fn without_sale(&self, rows: &mut Vec<Row>) {
        for ((partner, currency), paid) in self.accounts() {
            let first = self
                .payments()
                .map(|(fact, pay)| (fact.at, sale_key(&pay.names)))
                .min();
            let Some((at, object)) = first.filter(|_| paid != 0) else {
                continue;
            };
            rows.push(Row::Commission(Box::new(Commission {
                id: self.commission_id(&object, partner, currency, ""),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: "correction".to_owned(),
                at,
                object,
                amount: paid.saturating_neg(),
                currency: currency.to_owned(),
                state: "pending".to_owned(),
                due_at: at,
                reason: "no_sale".to_owned(),
                dims: Dimensions {
                    partner_id: partner.to_owned(),
                    ..Dimensions::default()
                },
                explanation: text(&Account {
                    earned: 0,
                    lines: None,
                    paid,
                }),
                ..Commission::default()
            })));
        }
    }

    fn commission_id(&self, object: &str, partner: &str, currency: &str, own: &str) -> String {
        let other = if currency == own { "" } else { currency };
        id("com", self.tenant, &[object, partner, other])
    }

    /// What was paid, by partner and currency.
    fn accounts(&self) -> BTreeMap<(&str, &str), i64> {
        let mut accounts = BTreeMap::new();
        for (_, pay) in self.payments() {
            let account: &mut i64 = accounts
                .entry((pay.partner_id.as_str(), pay.currency.as_str()))
                .or_default();
            *account = account.saturating_add(pay.amount);
        }
        accounts
    }

    pub(super) fn refund(
        &self,
        conversion: &Conversion,
        decision: &Decision,
        back: &Back,
        gross: i64,
        rows: &mut Vec<Row>,
    ) {
        let amount = back.share(conversion.amount, gross);
        let (state, _) = self.state(&decision.partner);
        // What was rejected was never earned: there is nothing to take back of it.
        let taken = if state == "reversed" {
            0
        } else {
            back.share(conversion.commission, gross)
        };
        let arithmetic = text(&TakenBack {
            commission: conversion.commission,
            gross,
            refunded_after: back.after,
            refunded_before: back.before,
            rule: if back.kind == "dispute" { "G5" } else { "G2" },
            sale: conversion.amount,
        });
        let refund = Refund {
            id: id("ref", self.tenant, &[&back.anchor]),
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: back.kind.to_owned(),
            at: back.at,
            object: back.anchor.clone(),
            keys: conversion.keys.clone(),
            conversion_id: conversion.id.clone(),
            customer: conversion.customer.clone(),
            status: back.status.clone(),
            reason: back.reason.clone(),
            amount,
            currency: conversion.currency.clone(),
            original_amount: back.amount,
            original_currency: back.currency.clone(),
            commission: taken,
            sale_type: conversion.sale_type.clone(),
            dims: conversion.dims.clone(),
            explanation: arithmetic.clone(),
            ..Refund::default()
        };
        if taken != 0 {
            let holding = self
                .rules
                .program(&decision.program, conversion.at)
                .map_or(30, |p| p.holding_days);
            rows.push(Row::Commission(Box::new(Commission {
                id: id("back", self.tenant, &[&back.anchor, &decision.partner]),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: "take_back".to_owned(),
                at: back.at,
                object: back.anchor.clone(),
                keys: conversion.keys.clone(),
                conversion_id: conversion.id.clone(),
                refund_id: refund.id.clone(),
                customer: conversion.customer.clone(),
                amount: -taken,
                currency: conversion.currency.clone(),
                state: state.to_owned(),
                due_at: conversion.at + holding * DAY,
                dims: conversion.dims.clone(),
                explanation: arithmetic.clone(),
                ..Commission::default()
            })));
        }
        rows.push(Row::Refund(Box::new(refund)));
    }

    fn commands(&self) -> impl Iterator<Item = (&Fact, &CommandFact)> {
        self.facts.iter().filter_map(|f| {
            if let Body::Command(c) = &f.body {
                Some((f, &**c))
            } else {
                None
            }
        })
    }

    /// Payments of commissions: once for each payout.
    fn payments(&self) -> impl Iterator<Item = (&Fact, &CommandFact)> {
        let first = |fact: &Fact, pay: &CommandFact| {
            let same = |c: &CommandFact| c.command == "pay" && identity(c) == identity(pay);
            self.commands()
                .filter(|(_, c)| same(c))
                .all(|(f, _)| (fact.at, &fact.id) <= (f.at, &f.id))
        };
        self.commands()
            .filter(|(_, c)| c.command == "pay")
            .filter(move |(f, c)| first(f, c))
    }

    /// The state that the latest decision leaves a commission in, and why. While a dispute is open it is withheld,
    /// whatever was decided, but for a rejection (rule G5).
    fn state(&self, partner: &str) -> (&'static str, String) {
        let latest = self
            .commands()
            .filter(|(_, c)| c.partner_id == partner && c.command != "pay")
            .max_by_key(|(f, _)| (f.at, f.source.clone(), f.id.clone()));
        match latest {
            Some((_, c)) if c.command == "reject" => ("reversed", c.reason.clone()),
            _ if is_disputed(self.facts) => ("withheld", "disputed".to_owned()),
            Some((_, c)) if c.command == "approve" => ("approved", String::new()),
            Some((_, c)) if c.command == "withhold" => ("withheld", c.reason.clone()),
            _ => ("pending", String::new()),
        }
    }

    /// Paid rows are made of the payment's own words alone, so that no later fact can edit them.
    pub(super) fn paid(&self, rows: &mut Vec<Row>) {
        for (fact, pay) in self.payments() {
            rows.push(Row::Commission(Box::new(Commission {
                id: id(
                    "paid",
                    self.tenant,
                    &[
                        &pay.names,
                        &pay.partner_id,
                        &pay.payout_id,
                        &pay.amount.to_string(),
                        &pay.currency,
                    ],
                ),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: "sale".to_owned(),
                at: fact.at,
                object: sale_key(&pay.names),
                keys: vec![pay.names.clone()],
                amount: pay.amount,
                currency: pay.currency.clone(),
                state: "paid".to_owned(),
                due_at: fact.at,
                reason: pay.reason.clone(),
                payout_id: pay.payout_id.clone(),
                dims: Dimensions {
                    partner_id: pay.partner_id.clone(),
                    ..Dimensions::default()
                },
                ..Commission::default()
            })));
        }
    }
}
