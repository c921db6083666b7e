//! One payment from its facts (rules E1 to E5): whether it is a sale, of how much, when, of what.
//!
//! Invariant: a function of the set of facts. The latest as-of of each object wins (rule A5); the time of
//! a sale is the earliest at which a fact says that it is paid.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tributary_avro::{
    Body, ChargeFact, CustomerRef, DiscountRef, Fact, InvoiceFact, Line, Metadata, PaymentIntentFact,
    SessionFact,
};

use super::money;
use crate::fact::object;

/// A sale as its payment states it, before anyone is given credit.
#[derive(Debug, Clone, PartialEq)]
pub struct Sale {
    /// Key of the object that the entry is about, e.g. `in:in_1`.
    pub anchor: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Minor units of `currency`, net of tax, more than zero.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Lines that add up to `amount`.
    pub lines: Vec<Line>,
    /// Rule E4.
    pub billing: &'static str,
    /// As peers name it.
    pub event_name: String,
    /// stripe, api or browser.
    pub source: &'static str,
    /// Told only by a browser (rule C9).
    pub client_side: bool,
    /// What was paid with tax: the base of refunds if no charge is known.
    pub paid: i64,
    /// What the payer was shown, where that was in another currency (Adaptive Pricing): of this `paid` is told, too.
    pub presented: Option<Presented>,
}

/// A total in the payer's currency and in the shop's, minor units of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// In the payer's currency.
    pub total: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// The same in the shop's currency.
    pub source_total: i64,
}

/// Why a payment is no sale, as far as its facts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// No invoice, session or call tells of it yet.
    Unlinked,
    /// It is not paid, or the payment failed.
    Unpaid,
    /// It is worth nothing: identity and leads count, no sale.
    Nothing,
}

/// A payment: what its facts say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// The sale, or what it waits for.
    pub sale: Result<Sale, Waiting>,
    /// Every ID that finds it, sorted.
    pub ids: Vec<String>,
    /// Click IDs that its facts name, sorted.
    pub clicks: Vec<String>,
    /// Discounts that its facts name, sorted.
    pub discounts: Vec<DiscountRef>,
    /// A fact names an external ID, Stripe customer or e-mail address.
    pub has_identity: bool,
    /// Metadata of all its facts; of equal names, the latest.
    pub metadata: Metadata,
    /// Subscription that it is for; empty if none.
    pub subscription: String,
    /// Program of the revenue origin that a call names; empty if none (rule D4).
    pub program: String,
}

/// The workspace's settings that decide what is a sale.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Rule E5.
    pub bare_payments: bool,
    /// Rule E8: subscriptions are tracked by dates, so that their invoices are no sales.
    pub by_dates: bool,
}

/// The latest fact of each object, as bodies of one kind.
pub(super) fn latest<'a, T>(
    facts: &'a [Fact],
    pick: impl Fn(&'a Body) -> Option<&'a T>,
) -> Vec<(&'a Fact, &'a T)> {
    let mut latest: BTreeMap<String, (&Fact, &T)> = BTreeMap::new();
    for fact in facts {
        let Some(body) = pick(&fact.body) else { continue };
        let slot = latest.entry(object(&fact.body)).or_insert((fact, body));
        if rank(slot.0) < rank(fact) {
            *slot = (fact, body);
        }
    }
    latest.into_values().collect()
}

/// Rule A5: as-of, then the further status, then the event ID, then the content.
fn rank(fact: &Fact) -> (i64, u8, &str, &str) {
    let status = match &fact.body {
        Body::Session(s) => {
            further(&s.payment_status, &["unpaid", "no_payment_required", "paid"]) + u8::from(s.failed)
        }
        Body::Invoice(i) => further(&i.status, &["draft", "open", "uncollectible", "void", "paid"]),
        Body::InvoicePayment(p) => further(&p.status, &["open", "paid", "canceled"]),
        Body::Charge(c) => further(&c.status, &["pending", "failed", "succeeded"]),
        Body::PaymentIntent(p) => u8::from(p.status == "succeeded"),
        Body::Refund(r) => further(
            &r.status,
            &["pending", "requires_action", "succeeded", "canceled", "failed"],
        ),
        Body::Dispute(d) => match d.status.as_str() {
            "needs_response" | "warning_needs_response" => 1,
            "under_review" | "warning_under_review" => 2,
            _ => 3,
        },
        _ => 0,
    };
    (fact.at, status, &fact.source, &fact.id)
}

fn further(status: &str, order: &[&str]) -> u8 {
    order.iter().position(|s| *s == status).map_or(0, |i| i as u8 + 1)
}

/// What the facts of one payment say together.
pub fn payment(facts: &[Fact], settings: Settings) -> Payment {
    let mut out = Payment {
        sale: Err(Waiting::Unlinked),
        ids: Vec::new(),
        clicks: Vec::new(),
        discounts: Vec::new(),
        has_identity: false,
        metadata: metadata(facts),
        subscription: String::new(),
        program: String::new(),
    };
    for fact in facts {
        collect(&fact.body, &mut out);
    }
    out.ids.sort();
    out.ids.dedup();
    out.clicks.sort();
    out.clicks.dedup();
    out.discounts.sort_by(|a, b| {
        (&a.promotion_code, &a.coupon, &a.code).cmp(&(&b.promotion_code, &b.coupon, &b.code))
    });
    out.discounts.dedup();
    let subscriptions = facts.iter().filter_map(|fact| match &fact.body {
        Body::Session(s) => Some(&s.subscription),
        Body::Invoice(i) => Some(&i.subscription),
        Body::Period(p) => Some(&p.subscription),
        _ => None,
    });
    let calls = latest(facts, |b| if let Body::Sale(s) = b { Some(&**s) } else { None });
    let programs = calls.iter().map(|(_, call)| &call.program_id);
    out.program = programs
        .filter(|id| !id.is_empty())
        .min()
        .cloned()
        .unwrap_or_default();
    let subscription = subscriptions.filter(|id| !id.is_empty()).min();
    out.subscription = subscription.cloned().unwrap_or_default();
    out.sale = if settings.by_dates && !out.subscription.is_empty() {
        of_period(facts)
    } else {
        sale(facts, settings.bare_payments)
    };
    out
}

fn metadata(facts: &[Fact]) -> Metadata {
    let told = facts.iter().filter_map(|fact| {
        let metadata = match &fact.body {
            Body::Sale(s) => &s.metadata,
            Body::Period(p) => &p.metadata,
            Body::Session(s) => &s.metadata,
            Body::Invoice(i) => &i.metadata,
            Body::Charge(c) => &c.metadata,
            Body::PaymentIntent(p) => &p.metadata,
            _ => return None,
        };
        Some((fact.at, &fact.id, metadata)).filter(|_| !metadata.is_empty())
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(at, id, _)| (*at, *id));
    let all = told.into_iter().flat_map(|(_, _, metadata)| metadata);
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn collect(body: &Body, out: &mut Payment) {
    let none = CustomerRef::default();
    let (ids, customer, click, discounts, code): (Vec<&str>, _, &str, &[DiscountRef], &str) = match body {
        Body::Sale(s) => (vec![&s.external_id], &s.customer, &s.click_id, &[], &s.coupon),
        Body::Period(p) => (vec![&p.subscription], &p.customer, &p.click_id, &[], ""),
        Body::Session(s) => (
            vec![&s.session, &s.payment_intent, &s.invoice],
            &s.customer,
            &s.click_id,
            &s.discounts,
            "",
        ),
        Body::Invoice(i) => (
            vec![&i.invoice, &i.payment_intent, &i.charge],
            &i.customer,
            &i.click_id,
            &i.discounts,
            "",
        ),
        Body::InvoicePayment(p) if p.status != "paid" => (vec![&p.invoice], &none, "", &[], ""),
        Body::InvoicePayment(p) => (vec![&p.invoice, &p.payment_intent, &p.charge], &none, "", &[], ""),
        Body::Charge(c) => (
            vec![&c.charge, &c.payment_intent, &c.invoice],
            &c.customer,
            &c.click_id,
            &[],
            &c.coupon,
        ),
        Body::PaymentIntent(p) => (
            vec![&p.payment_intent, &p.charge, &p.invoice],
            &p.customer,
            &p.click_id,
            &[],
            &p.coupon,
        ),
        _ => return,
    };
    out.ids
        .extend(ids.into_iter().filter(|id| !id.is_empty()).map(str::to_owned));
    out.clicks
        .extend(Some(click).filter(|c| !c.is_empty()).map(str::to_owned));
    out.discounts.extend(discounts.iter().cloned());
    if !code.is_empty() {
        out.discounts.push(DiscountRef {
            code: code.to_owned(),
            ..DiscountRef::default()
        });
    }
    let CustomerRef {
        external_id,
        stripe,
        mail,
        disposable: _,
    } = customer;
    out.has_identity |= !(external_id.is_empty() && stripe.is_empty() && mail.is_empty());
}

/// Rule E8: the period of an active subscription is the sale; its latest statement says what it costs.
fn of_period(facts: &[Fact]) -> Result<Sale, Waiting> {
    let periods = latest(facts, |b| if let Body::Period(p) = b { Some(&**p) } else { None });
    let (fact, period) = periods.into_iter().next().ok_or(Waiting::Nothing)?;
    let amount = money::sum(period.items.iter().map(|line| line.amount));
    Sale {
        anchor: object(&fact.body),
        at: period.start,
        amount,
        currency: period.currency.clone(),
        lines: period.items.clone(),
        billing: if period.is_first {
            "new_subscription"
        } else {
            "renewal"
        },
        event_name: if period.is_first {
            "Subscription creation"
        } else {
            "Subscription period"
        }
        .to_owned(),
        source: "stripe",
        client_side: false,
        paid: amount,
        presented: None,
    }
    .worth_something()
}

/// The sale of a payment.
fn sale(facts: &[Fact], bare_payments: bool) -> Result<Sale, Waiting> {
    let sessions = latest(facts, |b| {
        if let Body::Session(s) = b {
            Some(&**s)
        } else {
            None
        }
    });
    let invoices = latest(facts, |b| {
        if let Body::Invoice(i) = b {
            Some(&**i)
        } else {
            None
        }
    });
    // Preferred for amount and lines: invoice, session, call, bare payment.
    let mut candidates: Vec<Result<Sale, Waiting>> =
        invoices.iter().map(|(_, i)| of_invoice(facts, i)).collect();
    candidates.extend(sessions.iter().map(|(_, s)| of_session(facts, s)));
    if !candidates.iter().any(Result::is_ok) {
        let told = of_call(facts);
        let bare = told.is_none() && candidates.is_empty();
        candidates.extend(told);
        candidates.extend(bare.then(|| of_bare_payment(facts, bare_payments)));
    }
    let waiting = candidates
        .iter()
        .find_map(|c| c.as_ref().err().copied())
        .unwrap_or(Waiting::Unlinked);
    let found: Vec<Sale> = candidates.into_iter().flatten().collect();
    // The entry is about the object that was paid first, so that a linking fact told later leaves it alone.
    let (anchor, at) = found
        .iter()
        .map(|s| (s.anchor.clone(), s.at))
        .min_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)))
        .ok_or(waiting)?;
    let mut sale = found.into_iter().next().ok_or(waiting)?;
    if let Some((_, session)) = sessions
        .iter()
        .find(|(_, s)| s.source_amount_total.is_some() && is_paid(s))
    {
        adaptive_pricing(&mut sale, session);
    }
    Ok(Sale { anchor, at, ..sale })
}

/// Rule E2 for invoices.
fn of_invoice(facts: &[Fact], invoice: &InvoiceFact) -> Result<Sale, Waiting> {
    if invoice.status != "paid" {
        return Err(Waiting::Unpaid);
    }
    let net_total = invoice.total_excluding_tax.unwrap_or(invoice.total - invoice.tax);
    let amount = if invoice.amount_paid == invoice.total {
        net_total
    } else {
        invoice.amount_paid - money::scale(invoice.amount_paid, invoice.total - net_total, invoice.total)
    };
    let paid_at = earliest(facts, |b| match b {
        Body::Invoice(i) if i.invoice == invoice.invoice && i.status == "paid" => Some(i.paid_at),
        _ => None,
    });
    let billing = match invoice.billing_reason.as_str() {
        "subscription_create" => "new_subscription",
        "subscription_cycle" | "subscription" => "renewal",
        "subscription_update" | "subscription_threshold" => "expansion",
        _ => "manual",
    };
    let event_name = match billing {
        "new_subscription" => "Subscription creation",
        _ => "Invoice paid",
    };
    Sale {
        anchor: format!("in:{}", invoice.invoice),
        at: paid_at,
        amount,
        currency: invoice.currency.clone(),
        lines: fit_lines(&invoice.lines, amount, invoice.lines_cut),
        billing,
        event_name: event_name.to_owned(),
        source: "stripe",
        client_side: false,
        paid: invoice.amount_paid,
        presented: None,
    }
    .worth_something()
}

fn is_paid(session: &SessionFact) -> bool {
    let paid = matches!(session.payment_status.as_str(), "paid" | "no_payment_required");
    paid && !session.failed && session.status == "complete"
}

/// Rule E2 for checkout sessions.
fn of_session(facts: &[Fact], session: &SessionFact) -> Result<Sale, Waiting> {
    let Some(total) = session.amount_total.filter(|_| session.session_mode != "setup") else {
        return Err(Waiting::Nothing);
    };
    if !is_paid(session) {
        return Err(Waiting::Unpaid);
    }
    if session.session_mode == "subscription" && session.invoice.is_empty() {
        // An older shape that does not name its invoice: the invoice is the sale.
        return Err(Waiting::Unlinked);
    }
    let at = earliest(facts, |b| match b {
        Body::Session(s) if s.session == session.session && is_paid(s) => Some(None),
        _ => None,
    });
    let amount = total - session.amount_tax;
    let (billing, event_name) = match session.session_mode.as_str() {
        "subscription" => ("new_subscription", "Subscription creation"),
        _ => ("one_time", "Purchase"),
    };
    Sale {
        anchor: format!("cs:{}", session.session),
        at,
        amount,
        currency: session.currency.clone(),
        lines: fit_lines(&session.lines, amount, false),
        billing,
        event_name: event_name.to_owned(),
        source: "stripe",
        client_side: false,
        paid: total,
        presented: None,
    }
    .worth_something()
}

/// Rules E2 and E2a: what the customer paid in a presented currency counts in the source currency.
fn adaptive_pricing(sale: &mut Sale, session: &SessionFact) {
    let (Some(source_total), Some(total)) = (session.source_amount_total, session.amount_total) else {
        return;
    };
    sale.amount = source_total - money::scale(session.amount_tax, source_total, total);
    sale.presented = Some(Presented {
        total,
        currency: session.currency.clone(),
        source_total,
    });
    sale.currency = session.source_currency.clone();
    sale.lines = fit_lines(&sale.lines, sale.amount, false);
}

/// Rule E7: the external ID is the idempotency key. Server calls go before browser calls (rule C9), then
/// the first told counts.
fn of_call(facts: &[Fact]) -> Option<Result<Sale, Waiting>> {
    let calls = facts.iter().filter_map(|f| {
        if let Body::Sale(s) = &f.body {
            Some((f, s))
        } else {
            None
        }
    });
    let (fact, call) =
        calls.min_by_key(|(f, _)| (f.trust == "browser", f.at, f.source.as_str(), f.id.as_str()))?;
    let sale = Sale {
        anchor: object(&fact.body),
        at: fact.at,
        amount: call.amount,
        currency: call.currency.clone(),
        lines: fit_lines(&call.lines, call.amount, false),
        billing: "one_time",
        event_name: call.event_name.clone(),
        source: if fact.trust == "browser" { "browser" } else { "api" },
        client_side: fact.trust == "browser",
        paid: call.amount,
        presented: None,
    };
    Some(sale.worth_something())
}

/// Rule E5: a payment without session and invoice is a sale if it names somebody, or if the workspace says so.
fn of_bare_payment(facts: &[Fact], bare_payments: bool) -> Result<Sale, Waiting> {
    let intents = latest(facts, |b| {
        if let Body::PaymentIntent(p) = b {
            Some(&**p)
        } else {
            None
        }
    });
    let charges = latest(facts, |b| if let Body::Charge(c) = b { Some(&**c) } else { None });
    let of_an_invoice = facts.iter().any(|f| match &f.body {
        Body::InvoicePayment(p) => p.status == "paid",
        Body::PaymentIntent(p) => !p.invoice.is_empty(),
        Body::Charge(c) => !c.invoice.is_empty(),
        _ => false,
    });
    let named = intents.iter().any(|(_, p)| p.named) || charges.iter().any(|(_, c)| c.named);
    if of_an_invoice || !(named || bare_payments) {
        return Err(Waiting::Unlinked);
    }
    let sale = |anchor: String, at, amount, currency: &str| Sale {
        anchor,
        at,
        amount,
        currency: currency.to_owned(),
        lines: fit_lines(&[], amount, false),
        billing: "one_time",
        event_name: "Purchase".to_owned(),
        source: "stripe",
        client_side: false,
        paid: amount,
        presented: None,
    };
    let paid_intent = intents.iter().find(|(_, p)| p.status == "succeeded");
    if let Some((
        _,
        PaymentIntentFact {
            payment_intent,
            created,
            amount_received,
            currency,
            ..
        },
    )) = paid_intent
    {
        return sale(
            format!("pi:{payment_intent}"),
            *created,
            *amount_received,
            currency,
        )
        .worth_something();
    }
    let paid_charge = charges
        .iter()
        .find(|(_, c)| c.status == "succeeded" && c.captured);
    if let Some((
        _,
        ChargeFact {
            charge,
            created,
            amount_captured,
            currency,
            ..
        },
    )) = paid_charge
    {
        return sale(format!("ch:{charge}"), *created, *amount_captured, currency).worth_something();
    }
    Err(Waiting::Unpaid)
}

/// The earliest time at which a fact asserts payment: the time that it tells, else its as-of.
fn earliest(facts: &[Fact], paid_at: impl Fn(&Body) -> Option<Option<i64>>) -> i64 {
    facts
        .iter()
        .filter_map(|f| paid_at(&f.body).map(|at| at.unwrap_or(f.at)))
        .min()
        .unwrap_or_default()
}

impl Sale {
    /// Its lines, with amounts that add up to this one: the sale in another currency (rule E6).
    pub fn lines_worth(&self, amount: i64) -> Cow<'_, [Line]> {
        if amount == self.amount {
            return Cow::Borrowed(&self.lines);
        }
        let amounts: Vec<i64> = self.lines.iter().map(|l| l.amount).collect();
        let parts = money::allocate(amount, &amounts).unwrap_or_else(|| vec![0; amounts.len()]);
        let line = |(line, amount): (&Line, i64)| Line {
            amount,
            ..line.clone()
        };
        Cow::Owned(self.lines.iter().zip(parts).map(line).collect())
    }

    fn worth_something(self) -> Result<Self, Waiting> {
        if self.amount > 0 {
            Ok(self)
        } else {
            Err(Waiting::Nothing)
        }
    }
}

/// Rule E3: lines that add up to the sale, by largest remainder.
fn fit_lines(lines: &[Line], amount: i64, cut: bool) -> Vec<Line> {
    let weights: Vec<i64> = lines.iter().map(|l| l.amount).collect();
    if !lines.is_empty() && weights.iter().map(|w| i128::from(*w)).sum::<i128>() == i128::from(amount) {
        return lines.to_vec();
    }
    // Lines of both signs, or cut off after the first ten, say nothing about the rest: it is a line of its own.
    if cut || weights.iter().any(|w| *w < 0) {
        let rest = amount.saturating_sub(money::sum(weights.iter().copied()));
        let rest = Line {
            quantity: 1,
            amount: rest,
            ..Line::default()
        };
        return lines.iter().cloned().chain([rest]).collect();
    }
    match money::allocate(amount, &weights) {
        Some(parts) => lines
            .iter()
            .zip(parts)
            .map(|(line, amount)| Line {
                amount,
                ..line.clone()
            })
            .collect(),
        None => vec![Line {
            quantity: 1,
            amount,
            ..Line::default()
        }],
    }
}
