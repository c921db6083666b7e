//! The entries of one object: its lead, its sale, what they earn, what went back.
//!
//! This is `attribute(facts, rules)` for one object of a case. Rows come with revision 0; the engine
//! numbers their emissions.

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tributary_avro::{
    Body, ClickFact, ClickTotalsFact, Conversion, ConversionLine, Dimensions, Fact, Metadata,
};

use super::attribution::{By, CHOSEN, Claimant, Considered, Credit, Decision, attribute, resolve};
use super::books::Books;
use super::clicks::clicks;
use super::commission::{self, Circumstances, Earned, Earner};
use super::lead::{Lead, LeadKind, leads};
use super::money;
use super::payable::{About, is_lead};
use super::refunds::{is_disputed, refunds};
use super::row::Row;
use super::sale::{Payment, Sale, Settings, payment};
use super::subscription::Subscription;
use super::view::View;
use crate::fact::{BROWSER, is_of_browser};
use crate::rules::{Converted, Rules, Subscriptions};
use crate::store::StoreError;
use crate::tenant::Tenant;

pub(super) const DAY: i64 = 86_400_000;
/// Touches told in an explanation beside the chosen one.
const MOST_TOUCHES: usize = 20;

/// What the facts of one object say by themselves: its lead, if any, and its payment.
pub struct Told {
    /// The lead that they tell of.
    pub lead: Option<Lead>,
    /// The payment that they tell of.
    pub payment: Payment,
    /// The subscription that they tell of.
    pub subscription: Option<Subscription>,
    /// The clicks of a link in a day that they tell of, and the last moment of that day.
    pub clicks: Option<(i64, ClickTotalsFact)>,
}

impl Told {
    /// Read from the facts, under the settings in force when the object was first told of.
    pub fn of(facts: &[Fact], rules: &Rules) -> Self {
        let first = facts.iter().map(|f| f.at).min().unwrap_or_default();
        let settings = rules
            .workspace(first)
            .map_or_else(Settings::default, |w| Settings {
                bare_payments: w.bare_payments,
                by_dates: w.subscriptions == Subscriptions::Dates,
            });
        let mut payment = payment(facts, settings);
        if let Ok(sale) = &mut payment.sale {
            for line in sale.lines.iter_mut().filter(|line| line.product.is_empty()) {
                rules.product_of(&line.price).clone_into(&mut line.product);
            }
        }
        let is_apart = is_of_browser(facts);
        if is_apart && let Ok(sale) = &mut payment.sale {
            sale.anchor.insert_str(0, BROWSER);
        }
        let tracked = leads(facts).map(|lead| if is_apart { lead.apart() } else { lead });
        let subscription = Subscription::of(facts);
        let trial = || subscription.as_ref().and_then(|s| s.lead(rules));
        Self {
            lead: tracked.or_else(|| lead_of_coupon(&payment, rules)).or_else(trial),
            payment,
            subscription,
            clicks: clicks(facts),
        }
    }

    /// The times at which something is earned.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        let lead = self.lead.as_ref().map(|lead| lead.at);
        let sale = self.payment.sale.as_ref().ok().map(|sale| sale.at);
        let clicks = self.clicks.as_ref().map(|(at, _)| *at);
        lead.into_iter().chain(sale).chain(clicks)
    }
}

/// Everything that the entries of one object read.
pub struct Inputs<'a> {
    /// Workspace and mode.
    pub tenant: &'a Tenant,
    /// Facts of the object.
    pub facts: &'a [Fact],
    /// What they say by themselves.
    pub told: &'a Told,
    /// What its customer brings.
    pub view: &'a View,
    /// Rules of the workspace.
    pub rules: &'a Rules,
}

/// The entries of one object. What they take of shared limits is asked of `books`.
pub fn entries(inputs: &Inputs<'_>, books: &mut dyn Books) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    if let Some(lead) = &inputs.told.lead {
        inputs.lead(lead, books, &mut rows)?;
    }
    inputs.without_lead(&mut rows);
    let payment = &inputs.told.payment;
    match &payment.sale {
        Ok(sale) => inputs.sale(payment, sale, books, &mut rows)?,
        Err(_) if inputs.told.clicks.is_some() => inputs.clicks(books, &mut rows)?,
        Err(_) if inputs.is_custom() => inputs.custom(&mut rows),
        Err(_) => inputs.unearned(About::Payment, "no_sale", &mut rows),
    }
    if let Some(subscription) = &inputs.told.subscription {
        inputs.subscription(subscription, &mut rows);
    }
    inputs.redemption(&mut rows);
    inputs.paid(&mut rows);
    Ok(rows)
}

/// An entry ID: prefix and 24 hex characters of a hash over tenant and what the entry is about.
pub(super) fn id(prefix: &str, tenant: &Tenant, about: &[&str]) -> String {
    let mut hash = Sha256::new();
    hash.update(prefix);
    hash.update(tenant.key());
    for part in about {
        hash.update(b"\0");
        hash.update(part);
    }
    format!(
        "{prefix}_{}",
        hex::encode(hash.finalize().get(..12).unwrap_or_default())
    )
}

impl Inputs<'_> {
    /// What was paid for leads that are none (any more).
    fn without_lead(&self, rows: &mut Vec<Row>) {
        let stands = |object: &str| {
            rows.iter()
                .any(|row| matches!(row, Row::Conversion(c) if c.object == object))
        };
        let paid = self.facts.iter().filter_map(|fact| match &fact.body {
            Body::Command(c) if c.command == "pay" && is_lead(&c.object) => Some(c.object.as_str()),
            _ => None,
        });
        let gone: BTreeSet<&str> = paid.filter(|object| !stands(object)).collect();
        for object in gone {
            self.unearned(About::Lead(object), "no_lead", rows);
        }
    }

    fn is_custom(&self) -> bool {
        let custom = |fact: &Fact| matches!(&fact.body, Body::Command(c) if c.command == "custom");
        self.facts.iter().any(custom)
    }

    /// The connected Stripe account whose object it is; empty if none.
    pub(super) fn account(&self) -> &str {
        let accounts = self.facts.iter().map(|fact| fact.account.as_str());
        accounts
            .filter(|account| !account.is_empty())
            .min()
            .unwrap_or_default()
    }

    pub(super) fn currency(&self, at: i64) -> String {
        self.rules
            .workspace(at)
            .map_or_else(|| "usd".to_owned(), |w| w.currency.clone())
    }

    fn lead(&self, lead: &Lead, books: &mut dyn Books, rows: &mut Vec<Row>) -> Result<(), StoreError> {
        let first_of_event = self.view.leads.iter().find(|l| l.event == lead.event());
        if first_of_event.is_none_or(|l| l.anchor != lead.anchor) {
            return Ok(());
        }
        let claimant = Claimant {
            at: lead.at,
            clicks: &lead.clicks,
            discounts: &lead.discounts,
            account: self.account(),
            program: "",
            has_identity: true,
        };
        let decision = attribute(&claimant, self.view, self.rules);
        if matches!(decision.reason, "click_not_found" | "link_not_tracked") {
            return Ok(()); // held until the click comes (rule D2a); untracked links count nothing (rule D5)
        }
        if lead.kind == LeadKind::Coupon && decision.by != By::Coupon {
            return Ok(()); // the coupon found nobody, or a click went before it
        }
        let born_earns = self.rules.workspace(lead.at).is_some_and(|w| w.stripe_leads_earn);
        // Rule D2: a lead that a coupon brought earns, those born from payment links and Stripe customers only if told.
        let is_born = matches!(lead.kind, LeadKind::Customer | LeadKind::Payment);
        let none = Metadata::new();
        let of = Circumstances {
            at: lead.at,
            anchor: &lead.anchor,
            amount: None,
            is_first: false,
            source: if lead.kind == LeadKind::Trial {
                "trial"
            } else {
                "tracked"
            },
            sale_metadata: &none,
            lead_metadata: &lead.metadata,
            ..self.circumstances(&decision, &none)
        };
        let earned = match decision.credits.first() {
            Some(credit) if (!is_born || born_earns) && !credit.partner.is_empty() => {
                let only = self.view.leads.len() == 1;
                commission::of_lead(self.earner(&decision, credit), lead.quantity, only, &of, books)?
            }
            _ => Earned::default(),
        };
        let mut conversion = Conversion {
            id: id("conv", self.tenant, &[&lead.anchor]),
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: "lead".to_owned(),
            at: lead.at,
            object: lead.anchor.clone(),
            customer: self.view.customer.clone(),
            event_name: lead.event_name.clone(),
            status: "approved".to_owned(),
            currency: self.currency(lead.at),
            quantity: lead.quantity,
            source: lead.kind.source().to_owned(),
            attributed_by: decision.by.text().to_owned(),
            reason: decision.reason.to_owned(),
            rule: decision.rule.to_owned(),
            commission: earned.total,
            dims: dimensions(&decision),
            ..Conversion::default()
        };
        // A lead is counted once and paid once: it is not shared.
        let credit = decision.credits.first();
        let shares: Vec<(&Credit<'_>, Earned)> = credit.map(|credit| (credit, earned)).into_iter().collect();
        conversion.flags = self.flags(lead.at, &decision, &shares, is_of_browser(self.facts));
        conversion.explanation = explain(&decision, &shares, None, None);
        self.commission(&conversion, &shares, rows);
        rows.push(Row::Conversion(Box::new(conversion)));
        Ok(())
    }

    fn earner<'a>(&'a self, decision: &Decision<'_>, credit: &'a Credit<'_>) -> Earner<'a> {
        Earner {
            partner: &credit.partner,
            program: &credit.program,
            // Of a coupon or an assignment no link brought it.
            link: match decision.by {
                By::Click => credit.click.map_or("", |click| &click.link_id),
                _ => "",
            },
            rules: self.rules,
        }
    }

    /// What rewards may ask about the customer.
    pub(super) fn circumstances<'a>(
        &'a self,
        decision: &Decision<'a>,
        none: &'a Metadata,
    ) -> Circumstances<'a> {
        let own = decision.click();
        let click = own.or_else(|| self.view.touches.clicks.first());
        Circumstances {
            at: 0,
            anchor: "",
            country: click.map_or("", |c| &c.country),
            source: match self.view.leads.first() {
                Some(first) if first.is_trial => "trial",
                Some(_) => "tracked",
                None => "",
            },
            signup: self.view.anchor().map(|birth| birth.at),
            first_sale: self.view.first_sale.as_ref().map(|birth| birth.at),
            is_first: false,
            subscription_start: None,
            amount: None,
            sale_metadata: none,
            lead_metadata: none,
        }
    }

    fn sale(
        &self,
        payment: &Payment,
        sale: &Sale,
        books: &mut dyn Books,
        rows: &mut Vec<Row>,
    ) -> Result<(), StoreError> {
        let claimant = Claimant {
            at: sale.at,
            clicks: &payment.clicks,
            discounts: &payment.discounts,
            account: self.account(),
            program: &payment.program,
            has_identity: payment.has_identity,
        };
        let decision = attribute(&claimant, self.view, self.rules);
        let currency = self.currency(sale.at);
        // Rule E6: without a rate the row says so; the rate's arrival revises it.
        let converted = self
            .rules
            .convert(sale.amount, &sale.currency, &currency, sale.at);
        let (amount, fx) = match &converted {
            Some(Converted { amount, rate }) => (*amount, rate.clone()),
            None => (0, "no_rate".to_owned()),
        };
        let lines = sale.lines_worth(amount);
        let first = self
            .view
            .first_sale
            .as_ref()
            .is_none_or(|first| first.anchor == sale.anchor);
        let none = Metadata::new();
        let of = Circumstances {
            at: sale.at,
            anchor: &sale.anchor,
            amount: Some(amount),
            is_first: first,
            subscription_start: self.view.start_of(&payment.subscription),
            sale_metadata: &payment.metadata,
            ..self.circumstances(&decision, &none)
        };
        let earners: Vec<(Earner<'_>, u64)> = decision
            .credits
            .iter()
            .map(|credit| (self.earner(&decision, credit), credit.weight))
            .collect();
        let earned = if converted.is_some() {
            commission::of_sale(&earners, &lines, &of, books)?
        } else {
            vec![Earned::default(); earners.len()]
        };
        let total = money::sum(earned.iter().map(|e| e.total));
        let shares: Vec<(&Credit<'_>, Earned)> = decision.credits.iter().zip(earned).collect();
        let (gross, backs) = refunds(self.facts, sale);
        let refunded = backs.last().map_or(0, |b| b.after);
        let status = match refunded {
            _ if backs.iter().any(|back| back.kind == "dispute") => "charged_back",
            _ if is_disputed(self.facts) => "disputed",
            0 if self.is_rejected() => "rejected",
            0 => "approved",
            r if r < gross => "partially_refunded",
            _ => "refunded",
        };
        let line = |(i, line): (usize, &tributary_avro::Line)| {
            let of_line = |(_, earned): &(&Credit<'_>, Earned)| earned.lines.get(i).cloned();
            let earned = || shares.iter().filter_map(of_line);
            ConversionLine {
                product: line.product.clone(),
                quantity: line.quantity,
                amount: line.amount,
                commission: money::sum(earned().map(|e| e.commission)),
                reward_id: earned()
                    .map(|e| e.reward)
                    .find(|r| !r.is_empty())
                    .unwrap_or_default(),
            }
        };
        let conversion = Conversion {
            id: id("conv", self.tenant, &[&sale.anchor]),
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: "sale".to_owned(),
            at: sale.at,
            object: sale.anchor.clone(),
            keys: payment.ids.clone(),
            customer: self.view.customer.clone(),
            event_name: sale.event_name.clone(),
            status: status.to_owned(),
            amount,
            currency: currency.clone(),
            original_amount: sale.amount,
            original_currency: sale.currency.clone(),
            fx,
            quantity: 1,
            sale_type: if first { "new" } else { "recurring" }.to_owned(),
            billing: sale.billing.to_owned(),
            source: sale.source.to_owned(),
            attributed_by: decision.by.text().to_owned(),
            reason: decision.reason.to_owned(),
            rule: decision.rule.to_owned(),
            commission: total,
            flags: self.flags(sale.at, &decision, &shares, sale.client_side),
            dims: dimensions(&decision),
            lines: lines.iter().enumerate().map(line).collect(),
            explanation: explain(&decision, &shares, Some(sale), converted.as_ref()),
            ..Conversion::default()
        };
        self.commission(&conversion, &shares, rows);
        for back in &backs {
            self.refund(&conversion, &shares, back, gross, rows);
        }
        rows.push(Row::Conversion(Box::new(conversion)));
        Ok(())
    }

    /// Rules C10 and F7: flags, never silent rejections.
    fn flags(
        &self,
        at: i64,
        decision: &Decision<'_>,
        shares: &[(&Credit<'_>, Earned)],
        client_side: bool,
    ) -> Vec<String> {
        let click = decision.click();
        let bot = click.is_some_and(|click| !click.bot.is_empty());
        let first_sale = self.view.first_sale.as_ref();
        let existing = click
            .zip(first_sale)
            .is_some_and(|(click, sale)| sale.at < click.clicked_at - 1000);
        let is_partner = |(credit, _): &(&Credit<'_>, Earned)| {
            let partner = self.rules.partner(&credit.partner, at);
            partner.is_some_and(|p| !p.mail.is_empty() && self.view.mails.contains(&p.mail))
        };
        let own = shares.iter().any(is_partner);
        let mut reasons = shares.iter().map(|(_, earned)| earned.reason);
        let partner = reasons.find(|reason| reason.starts_with("partner_"));
        [
            own.then_some("self_referral"),
            bot.then_some("bot_click"),
            existing.then_some("existing_customer"),
            self.view.disposable.then_some("disposable_email"),
            client_side.then_some("client_side"),
            (self.view.touches.by_browser && decision.by == By::Click).then_some("touch_by_browser"),
            partner,
        ]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
    }
}

/// Rule D2: a coupon that finds a partner makes a lead of its payment.
fn lead_of_coupon(payment: &Payment, rules: &Rules) -> Option<Lead> {
    let sale = payment.sale.as_ref().ok()?;
    let finds = payment
        .discounts
        .iter()
        .any(|d| resolve(d, sale.at, rules).is_some());
    finds.then(|| Lead {
        kind: LeadKind::Coupon,
        anchor: format!("lead:{}", sale.anchor),
        at: sale.at,
        event_name: "Attributed via discount code".to_owned(),
        quantity: 1,
        clicks: payment.clicks.clone(),
        discounts: payment.discounts.clone(),
        metadata: Metadata::new(),
    })
}

/// Where the credit of a conversion went: to the largest share.
pub(super) fn dimensions(decision: &Decision<'_>) -> Dimensions {
    let nobody = Credit {
        partner: String::new(),
        program: String::new(),
        click: None,
        weight: 0,
    };
    of_credit(decision.credits.first().unwrap_or(&nobody), &decision.coupon)
}

/// Where a share of the credit went.
pub(super) fn of_credit(credit: &Credit<'_>, coupon: &str) -> Dimensions {
    let click = credit.click.cloned().unwrap_or_default();
    let ClickFact {
        click_id,
        clicked_at,
        link_id,
        domain,
        key,
        url,
        group_id,
        trigger,
        ..
    } = click;
    let ClickFact {
        country,
        region,
        city,
        continent,
        device,
        browser,
        os,
        referer,
        referer_url,
        ..
    } = click;
    let ClickFact {
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        ..
    } = click;
    Dimensions {
        click_id,
        clicked_at,
        link_id,
        domain,
        key,
        url,
        partner_id: credit.partner.clone(),
        program_id: credit.program.clone(),
        group_id,
        coupon: coupon.to_owned(),
        trigger,
        country,
        region,
        city,
        continent,
        device,
        browser,
        os,
        referer,
        referer_url,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
    }
}

/// The explanation of a row, as it stands in JSON.
#[derive(Serialize)]
struct Explanation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<NetOfTax>,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    converted: Option<Rate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earned: Option<&'a Earned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rule: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<Share<'a>>,
    touches: Vec<&'a Considered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    touches_left_out: Option<usize>,
}

#[derive(Serialize)]
struct NetOfTax {
    net: i64,
    paid: i64,
    rule: &'static str,
}

/// The rate at which the sale became the workspace's currency.
#[derive(Serialize)]
struct Rate<'a> {
    amount: i64,
    currency: &'a str,
    rate: &'a str,
    rule: &'static str,
}

/// One of several shares.
#[derive(Serialize)]
struct Share<'a> {
    partner: &'a str,
    percent: String,
    earned: &'a Earned,
}

pub(super) fn explain(
    decision: &Decision<'_>,
    shares: &[(&Credit<'_>, Earned)],
    sale: Option<&Sale>,
    converted: Option<&Converted>,
) -> String {
    // What came later than the lead or sale that it would have had to precede (rule C2) was no candidate. It says why
    // nothing was found; but it must not revise what was: each later click would, for every sale of its customer.
    let candidates = decision
        .touches
        .iter()
        .filter(|touch| decision.by == By::Nothing || !touch.came_later());
    // The chosen and the latest others: a row must not grow with every click that a customer ever made.
    let (chosen, others): (Vec<_>, Vec<_>) = candidates.partition(|t| t.verdict == CHOSEN);
    let latest = |touches: &[&Considered]| touches.len().saturating_sub(MOST_TOUCHES);
    let (skip_chosen, skip_others) = (latest(&chosen), latest(&others));
    let left_out = skip_chosen + skip_others;
    let only = Some(shares)
        .filter(|shares| shares.len() == 1)
        .and_then(|s| s.first());
    text(&Explanation {
        amount: sale.filter(|s| s.paid != s.amount).map(|sale| NetOfTax {
            net: sale.amount,
            paid: sale.paid,
            rule: "E2",
        }),
        by: decision.by.text(),
        converted: sale
            .zip(converted.filter(|c| !c.rate.is_empty()))
            .map(|(sale, converted)| Rate {
                amount: sale.amount,
                currency: &sale.currency,
                rate: &converted.rate,
                rule: "E6",
            }),
        earned: only
            .map(|(_, earned)| earned)
            .filter(|e| !e.lines.is_empty() || !e.reason.is_empty()),
        reason: (decision.by == By::Nothing).then_some(decision.reason),
        rule: decision.rule,
        shares: if only.is_some() {
            Vec::new()
        } else {
            of_shares(shares)
        },
        touches: others
            .into_iter()
            .skip(skip_others)
            .chain(chosen.into_iter().skip(skip_chosen))
            .collect(),
        touches_left_out: Some(left_out).filter(|left_out| *left_out > 0),
    })
}

fn of_shares<'a>(shares: &'a [(&Credit<'_>, Earned)]) -> Vec<Share<'a>> {
    let whole: u64 = shares.iter().map(|(credit, _)| credit.weight).sum();
    let mut out = Vec::with_capacity(shares.len());
    for (credit, earned) in shares {
        out.push(Share {
            partner: &credit.partner,
            percent: percent(credit.weight, whole),
            earned,
        });
    }
    out
}

/// A share in percent, to one decimal.
fn percent(weight: u64, whole: u64) -> String {
    let tenths = (u128::from(weight) * 2000 + u128::from(whole)) / (2 * u128::from(whole.max(1)));
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// An explanation as JSON. Its parts are texts and numbers: it cannot fail.
pub(super) fn text(explanation: &impl Serialize) -> String {
    serde_json::to_string(explanation).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_tenant_and_object() {
        let live = Tenant::new("acme", "live");
        assert_ne!(
            id("conv", &live, &["in:1"]),
            id("conv", &Tenant::new("acme", "test"), &["in:1"])
        );
        assert_ne!(id("conv", &live, &["a", "b"]), id("conv", &live, &["ab"]));
        assert_eq!(id("conv", &live, &["in:1"]).len(), 29);
    }
}
