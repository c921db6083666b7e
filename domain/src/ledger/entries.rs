//! The entries of one object: its lead, its sale, what they earn, what went back.
//!
//! This is `attribute(facts, rules)` for one object of a case. Rows come with revision 0; the engine
//! numbers their emissions.

use serde::Serialize;
use sha2::{Digest, Sha256};
use tributary_avro::{ClickFact, Conversion, ConversionLine, Dimensions, Fact};

use super::attribution::{By, Claimant, Considered, Decision, attribute};
use super::commission::{self, Earned};
use super::lead::{Lead, LeadKind, leads};
use super::refunds::{is_disputed, refunds};
use super::row::Row;
use super::sale::{Payment, Sale, payment};
use super::view::View;
use crate::rules::Rules;
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
}

impl Told {
    /// Read from the facts, under the settings in force when the object was first told of.
    pub fn of(facts: &[Fact], rules: &Rules) -> Self {
        let first = facts.iter().map(|f| f.at).min().unwrap_or_default();
        let bare_payments = rules.workspace(first).is_some_and(|w| w.bare_payments);
        Self {
            lead: leads(facts),
            payment: payment(facts, bare_payments),
        }
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

/// The entries of one object, and the partner that they credit (for the reverse index).
pub fn entries(inputs: &Inputs<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(lead) = &inputs.told.lead {
        inputs.lead(lead, &mut rows);
    }
    let payment = &inputs.told.payment;
    match &payment.sale {
        Ok(sale) => inputs.sale(payment, sale, &mut rows),
        Err(_) => inputs.without_sale(&mut rows),
    }
    inputs.paid(&mut rows);
    rows
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
    fn currency(&self, at: i64) -> String {
        self.rules
            .workspace(at)
            .map_or_else(|| "usd".to_owned(), |w| w.currency.clone())
    }

    fn lead(&self, lead: &Lead, rows: &mut Vec<Row>) {
        let first_of_event = self.view.leads.iter().find(|l| l.event == lead.event());
        if !self.view.counts(lead.kind) || first_of_event.is_none_or(|l| l.anchor != lead.anchor) {
            return;
        }
        let claimant = Claimant {
            at: lead.at,
            clicks: &lead.clicks,
            discounts: &[],
            has_identity: true,
        };
        let decision = attribute(&claimant, self.view, self.rules);
        if matches!(decision.reason, "click_not_found" | "link_not_tracked") {
            return; // held until the click comes (rule D2a); untracked links count nothing (rule D5)
        }
        let first = self.view.leads.first().is_some_and(|l| l.anchor == lead.anchor);
        let born_earns = self.rules.workspace(lead.at).is_some_and(|w| w.stripe_leads_earn);
        let earned =
            if decision.partner.is_empty() || !first || (lead.kind != LeadKind::Tracked && !born_earns) {
                Earned::default()
            } else {
                commission::of_lead(
                    &decision.partner,
                    &decision.program,
                    lead.at,
                    lead.quantity,
                    self.rules,
                )
            };
        let conversion = Conversion {
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
            flags: self.flags(&decision, &earned, false),
            dims: dimensions(&decision),
            explanation: explain(&decision, &earned, None),
            ..Conversion::default()
        };
        self.commission(&conversion, &decision, &earned, &[], rows);
        rows.push(Row::Conversion(Box::new(conversion)));
    }

    fn sale(&self, payment: &Payment, sale: &Sale, rows: &mut Vec<Row>) {
        let claimant = Claimant {
            at: sale.at,
            clicks: &payment.clicks,
            discounts: &payment.discounts,
            has_identity: payment.has_identity,
        };
        let decision = attribute(&claimant, self.view, self.rules);
        let currency = self.currency(sale.at);
        // Rule E6: without a rate the row says so; the rate's arrival revises it.
        let known = currency == sale.currency;
        let amount = if known { sale.amount } else { 0 };
        let earned = if decision.partner.is_empty() || !known {
            Earned::default()
        } else {
            commission::of_sale(
                &decision.partner,
                &decision.program,
                sale.at,
                &sale.lines,
                self.rules,
            )
        };
        let (gross, backs) = refunds(self.facts, sale);
        let refunded = backs.last().map_or(0, |b| b.after);
        let status = match refunded {
            _ if backs.iter().any(|back| back.kind == "dispute") => "charged_back",
            _ if is_disputed(self.facts) => "disputed",
            0 => "approved",
            r if r < gross => "partially_refunded",
            _ => "refunded",
        };
        let line = |(i, line): (usize, &tributary_avro::Line)| {
            let earned = earned.lines.get(i);
            ConversionLine {
                product: line.product.clone(),
                quantity: line.quantity,
                amount: if known { line.amount } else { 0 },
                commission: earned.map_or(0, |e| e.commission),
                reward_id: earned.map(|e| e.reward.clone()).unwrap_or_default(),
            }
        };
        let first = self
            .view
            .first_sale
            .as_ref()
            .is_none_or(|first| first.anchor == sale.anchor);
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
            fx: if known {
                String::new()
            } else {
                "no_rate".to_owned()
            },
            quantity: 1,
            sale_type: if first { "new" } else { "recurring" }.to_owned(),
            billing: sale.billing.to_owned(),
            source: sale.source.to_owned(),
            attributed_by: decision.by.text().to_owned(),
            reason: decision.reason.to_owned(),
            rule: decision.rule.to_owned(),
            commission: earned.total,
            flags: self.flags(&decision, &earned, sale.client_side),
            dims: dimensions(&decision),
            lines: sale.lines.iter().enumerate().map(line).collect(),
            explanation: explain(&decision, &earned, Some(sale)),
            ..Conversion::default()
        };
        self.commission(&conversion, &decision, &earned, &payment.ids, rows);
        for back in &backs {
            self.refund(&conversion, &decision, back, gross, rows);
        }
        rows.push(Row::Conversion(Box::new(conversion)));
    }

    /// Rules C10 and F7: flags, never silent rejections.
    fn flags(&self, decision: &Decision, earned: &Earned, client_side: bool) -> Vec<String> {
        let click = decision.click.as_ref();
        let bot = click.is_some_and(|click| !click.bot.is_empty());
        let first_sale = self.view.first_sale.as_ref();
        let existing = click
            .zip(first_sale)
            .is_some_and(|(click, sale)| sale.at < click.clicked_at - 1000);
        let partner = Some(earned.reason).filter(|reason| reason.starts_with("partner_"));
        [
            bot.then_some("bot_click"),
            existing.then_some("existing_customer"),
            client_side.then_some("client_side"),
            partner,
        ]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
    }
}

fn dimensions(decision: &Decision) -> Dimensions {
    let click = decision.click.clone().unwrap_or_default();
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
        partner_id: decision.partner.clone(),
        program_id: decision.program.clone(),
        group_id,
        coupon: decision.coupon.clone(),
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
    earned: Option<&'a Earned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rule: &'static str,
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

fn explain(decision: &Decision, earned: &Earned, sale: Option<&Sale>) -> String {
    // What came later than the lead or sale that it would have had to precede (rule C2) was no candidate. It says why
    // nothing was found; but it must not revise what was: each later click would, for every sale of its customer.
    let candidates = decision
        .touches
        .iter()
        .filter(|touch| decision.by == By::Nothing || !touch.came_later());
    // The chosen one and the latest others: a row must not grow with every click that a customer ever made.
    let (chosen, others): (Vec<_>, Vec<_>) = candidates.partition(|t| t.verdict == "chosen");
    let left_out = others.len().saturating_sub(MOST_TOUCHES);
    text(&Explanation {
        amount: sale.filter(|s| s.paid != s.amount).map(|sale| NetOfTax {
            net: sale.amount,
            paid: sale.paid,
            rule: "E2",
        }),
        by: decision.by.text(),
        earned: Some(earned).filter(|e| !e.lines.is_empty() || !e.reason.is_empty()),
        reason: (decision.by == By::Nothing).then_some(decision.reason),
        rule: decision.rule,
        touches: others.into_iter().skip(left_out).chain(chosen).collect(),
        touches_left_out: Some(left_out).filter(|left_out| *left_out > 0),
    })
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
