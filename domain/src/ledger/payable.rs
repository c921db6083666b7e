//! Commissions as rows: what is earned less what was paid, what refunds take back, what was paid.
//!
//! Invariant: the rows of a partner add up to what it earned less what was taken back; nothing paid is
//! ever edited.

use std::collections::BTreeMap;

use serde::Serialize;
use tributary_avro::{Body, CommandFact, Commission, Conversion, Dimensions, Fact, Refund};

use super::attribution::Credit;
use super::commission::{Earned, EarnedLine};
use super::entries::{DAY, Inputs, id, of_credit, text};
use super::money;
use super::refunds::{Back, is_disputed};
use super::row::Row;
use crate::fact::{BROWSER, sale_key};

/// What makes two statements one payment: a payout pays one commission once, by whatever IDs of its payment it is told.
/// Another amount or currency is another payment: a restatement cannot edit what was paid.
fn identity(pay: &CommandFact) -> (About<'_>, &str, &str, i64, &str) {
    (
        About::meant_by(pay),
        &pay.partner_id,
        &pay.payout_id,
        pay.amount,
        &pay.currency,
    )
}

/// What a command is about: a lead, or what else its object is. A payment may have made a lead as well as a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// The sale of a payment, or a custom commission.
    Payment,
    /// A lead, by its key.
    Lead(&'a str),
}

impl<'a> About<'a> {
    fn of(conversion: &'a Conversion) -> Self {
        match conversion.kind.as_str() {
            "lead" => Self::Lead(&conversion.object),
            _ => Self::Payment,
        }
    }

    fn meant_by(command: &'a CommandFact) -> Self {
        if is_lead(&command.object) {
            Self::Lead(&command.object)
        } else {
            Self::Payment
        }
    }

    fn is_meant_by(self, command: &CommandFact) -> bool {
        self == About::meant_by(command)
    }
}

/// Whether the key of an object is a lead's.
pub(super) fn is_lead(object: &str) -> bool {
    object
        .strip_prefix(BROWSER)
        .unwrap_or(object)
        .starts_with("lead:")
}

/// The key of the object that a command is about.
fn object_of(command: &CommandFact) -> String {
    if command.object.is_empty() {
        sale_key(&command.names)
    } else {
        command.object.clone()
    }
}

/// How a commission row came to be, as it stands in JSON.
#[derive(Serialize)]
struct Account<'a> {
    earned: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<&'a EarnedLine>,
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
    /// The commissions of a conversion, less what was paid for it: nothing paid is ever edited (rule F6).
    pub(super) fn commission(
        &self,
        conversion: &Conversion,
        shares: &[(&Credit<'_>, Earned)],
        rows: &mut Vec<Row>,
    ) {
        let about = About::of(conversion);
        let currency = conversion.currency.as_str();
        let mut accounts = self.accounts(about);
        for (credit, _) in shares {
            accounts.entry((credit.partner.as_str(), currency)).or_default();
        }
        let held = self.withheld(conversion, shares);
        for ((partner, currency), paid) in accounts {
            let own: Vec<&(&Credit<'_>, Earned)> = shares
                .iter()
                .filter(|(credit, _)| credit.partner == partner && currency == conversion.currency)
                .collect();
            let (state, reason) = self.state(about, partner, held);
            let earned = money::sum(own.iter().map(|(_, e)| e.total));
            let desired = if state == "reversed" { 0 } else { earned };
            let says_nothing = desired == paid && (state != "reversed" || earned == 0);
            if partner.is_empty() || says_nothing {
                continue;
            }
            let kind = if paid == 0 {
                conversion.kind.as_str()
            } else {
                "correction"
            };
            let dims = match own.first() {
                Some((credit, _)) => of_credit(credit, &conversion.dims.coupon),
                // It was paid, and somebody else has the credit now.
                None => Dimensions {
                    partner_id: partner.to_owned(),
                    ..conversion.dims.clone()
                },
            };
            let lines: Vec<&EarnedLine> = own.iter().flat_map(|(_, earned)| &earned.lines).collect();
            rows.push(Row::Commission(Box::new(Commission {
                id: self.commission_id(&conversion.object, partner, currency, &conversion.currency),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: kind.to_owned(),
                at: conversion.at,
                object: conversion.object.clone(),
                keys: conversion.keys.clone(),
                conversion_id: conversion.id.clone(),
                customer: conversion.customer.clone(),
                amount: desired.saturating_sub(paid),
                currency: currency.to_owned(),
                state: state.to_owned(),
                due_at: self.due_at(&dims.program_id, conversion.at),
                reward_id: lines
                    .iter()
                    .map(|l| l.reward.clone())
                    .find(|r| !r.is_empty())
                    .unwrap_or_default(),
                reason,
                dims,
                explanation: text(&Account {
                    earned: desired,
                    lines,
                    paid,
                }),
                ..Commission::default()
            })));
        }
    }

    /// Rule F6: event time plus the program's holding period.
    fn due_at(&self, program: &str, at: i64) -> i64 {
        let holding = self.rules.program(program, at).map_or(30, |p| p.holding_days);
        at.saturating_add(holding.saturating_mul(DAY))
    }

    /// Rules C9 and C10: the flag for which the program withholds what is earned.
    fn withheld<'a>(&self, conversion: &'a Conversion, shares: &[(&Credit<'_>, Earned)]) -> Option<&'a str> {
        let program = shares
            .first()
            .and_then(|(credit, _)| self.rules.program(&credit.program, conversion.at));
        conversion
            .flags
            .iter()
            .map(String::as_str)
            .find(|flag| match *flag {
                "client_side" => !program.is_some_and(|p| p.trust_browsers),
                flag => program.is_some_and(|p| p.withhold.iter().any(|f| f.text() == flag)),
            })
    }

    /// What was paid for a lead or sale that is none (any more) is asked back by rows of its own.
    pub(super) fn unearned(&self, about: About<'_>, reason: &str, rows: &mut Vec<Row>) {
        self.unearned_but(about, reason, ("", ""), rows);
    }

    /// As `unearned`, but for the partner and currency that did earn it.
    fn unearned_but(&self, about: About<'_>, reason: &str, own: (&str, &str), rows: &mut Vec<Row>) {
        for ((partner, currency), paid) in self.accounts(about) {
            if (partner, currency) == own {
                continue;
            }
            let first = self
                .payments(about)
                .map(|(fact, pay)| (fact.at, object_of(pay)))
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
                reason: reason.to_owned(),
                dims: Dimensions {
                    partner_id: partner.to_owned(),
                    ..Dimensions::default()
                },
                explanation: text(&Account {
                    earned: 0,
                    lines: Vec::new(),
                    paid,
                }),
                ..Commission::default()
            })));
        }
    }

    /// Rule F7: a commission that somebody gave or took by hand; the first statement of its name counts.
    pub(super) fn custom(&self, rows: &mut Vec<Row>) {
        let given = self.commands().filter(|(_, c)| c.command == "custom");
        let Some((fact, given)) = given.min_by_key(|(f, _)| (f.at, &f.id)) else {
            return;
        };
        let object = object_of(given);
        let own = (given.partner_id.as_str(), given.currency.as_str());
        self.unearned_but(About::Payment, "not_given", own, rows);
        let paid = self.accounts(About::Payment).get(&own).copied();
        let paid = paid.unwrap_or_default();
        let (state, why) = self.state(About::Payment, &given.partner_id, None);
        let desired = if state == "reversed" { 0 } else { given.amount };
        if desired == paid && state != "reversed" {
            return;
        }
        rows.push(Row::Commission(Box::new(Commission {
            id: self.commission_id(&object, &given.partner_id, &given.currency, ""),
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: if paid == 0 { "custom" } else { "correction" }.to_owned(),
            at: fact.at,
            object,
            keys: vec![given.names.clone()],
            amount: desired.saturating_sub(paid),
            currency: given.currency.clone(),
            state: state.to_owned(),
            due_at: fact.at,
            reason: if why.is_empty() { given.reason.clone() } else { why },
            dims: Dimensions {
                partner_id: given.partner_id.clone(),
                ..Dimensions::default()
            },
            explanation: text(&Account {
                earned: desired,
                lines: Vec::new(),
                paid,
            }),
            ..Commission::default()
        })));
    }

    fn commission_id(&self, object: &str, partner: &str, currency: &str, own: &str) -> String {
        let other = if currency == own { "" } else { currency };
        id("com", self.tenant, &[object, partner, other])
    }

    /// What was paid, by partner and currency.
    fn accounts<'a>(&'a self, about: About<'a>) -> BTreeMap<(&'a str, &'a str), i64> {
        let mut accounts = BTreeMap::new();
        for (_, pay) in self.payments(about) {
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
        shares: &[(&Credit<'_>, Earned)],
        back: &Back,
        gross: i64,
        rows: &mut Vec<Row>,
    ) {
        let amounts: Vec<i64> = conversion.lines.iter().map(|l| l.amount).collect();
        let amount = back.share(&amounts, conversion.amount, gross);
        let held = self.withheld(conversion, shares);
        let explanation = |commission: i64| {
            text(&TakenBack {
                commission,
                gross,
                refunded_after: back.after,
                refunded_before: back.before,
                rule: match (back.kind, &back.lines) {
                    ("dispute", _) => "G5",
                    (_, Some(_)) => "G3",
                    (_, None) => "G2",
                },
                sale: conversion.amount,
            })
        };
        let mut refund = Refund {
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
            sale_type: conversion.sale_type.clone(),
            dims: conversion.dims.clone(),
            explanation: explanation(conversion.commission),
            ..Refund::default()
        };
        for (credit, earned) in shares {
            let (state, _) = self.state(About::Payment, &credit.partner, held);
            let commissions: Vec<i64> = earned.lines.iter().map(|l| l.commission).collect();
            let taken = back.share(&commissions, earned.total, gross);
            // What was rejected was never earned: there is nothing to take back of it.
            if taken == 0 || state == "reversed" || credit.partner.is_empty() {
                continue;
            }
            refund.commission = refund.commission.saturating_add(taken);
            rows.push(Row::Commission(Box::new(Commission {
                id: id("back", self.tenant, &[&back.anchor, &credit.partner]),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: "take_back".to_owned(),
                at: back.at,
                object: back.anchor.clone(),
                keys: conversion.keys.clone(),
                conversion_id: conversion.id.clone(),
                refund_id: refund.id.clone(),
                customer: conversion.customer.clone(),
                amount: taken.saturating_neg(),
                currency: conversion.currency.clone(),
                state: state.to_owned(),
                due_at: self.due_at(&credit.program, conversion.at),
                dims: of_credit(credit, &conversion.dims.coupon),
                explanation: explanation(earned.total),
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

    /// Payments of the commissions of a lead, or of what else the object is.
    fn payments<'a>(&'a self, about: About<'a>) -> impl Iterator<Item = (&'a Fact, &'a CommandFact)> {
        self.all_payments().filter(move |(_, c)| about.is_meant_by(c))
    }

    /// Payments of commissions: once for each payout.
    fn all_payments(&self) -> impl Iterator<Item = (&Fact, &CommandFact)> {
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
    /// whatever was decided, but for a rejection (rule G5); a flag withholds what nobody has decided about (rule C10).
    fn state(&self, about: About<'_>, partner: &str, flag: Option<&str>) -> (&'static str, String) {
        let latest = self
            .commands()
            // Who names no partner means all of them.
            .filter(|(_, c)| c.partner_id == partner || c.partner_id.is_empty())
            .filter(|(_, c)| {
                about.is_meant_by(c) && !matches!(c.command.as_str(), "pay" | "custom" | "refund")
            })
            .max_by_key(|(f, _)| (f.at, f.source.clone(), f.id.clone()));
        let flagged = || flag.map_or(("pending", String::new()), |flag| ("withheld", flag.to_owned()));
        match latest {
            Some((_, c)) if c.command == "reject" => ("reversed", c.reason.clone()),
            _ if about == About::Payment && is_disputed(self.facts) => ("withheld", "disputed".to_owned()),
            Some((_, c)) if c.command == "approve" => ("approved", String::new()),
            Some((_, c)) if c.command == "withhold" => ("withheld", c.reason.clone()),
            Some((_, c)) if c.command == "release" => ("pending", String::new()),
            _ => flagged(),
        }
    }

    /// Whether the sale itself was rejected, for every partner (rule G7).
    pub(super) fn is_rejected(&self) -> bool {
        self.state(About::Payment, "", None).0 == "reversed"
    }

    /// Paid rows are made of the payment's own words alone, so that no later fact can edit them.
    pub(super) fn paid(&self, rows: &mut Vec<Row>) {
        for (fact, pay) in self.all_payments() {
            rows.push(Row::Commission(Box::new(Commission {
                id: id(
                    "paid",
                    self.tenant,
                    &[
                        // What has a key of its own may be named like a payment.
                        if pay.object.is_empty() {
                            &pay.names
                        } else {
                            &pay.object
                        },
                        &pay.partner_id,
                        &pay.payout_id,
                        &pay.amount.to_string(),
                        &pay.currency,
                    ],
                ),
                workspace: self.tenant.workspace.clone(),
                mode: self.tenant.mode.clone(),
                kind: match pay
                    .object
                    .strip_prefix(BROWSER)
                    .unwrap_or(&pay.object)
                    .split_once(':')
                {
                    Some(("lead", _)) => "lead",
                    Some(("custom", _)) => "custom",
                    Some(("clicks", _)) => "click",
                    _ => "sale",
                }
                .to_owned(),
                at: fact.at,
                object: object_of(pay),
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
