//! Making facts: the ID of a statement, and its identity, object and reference keys.
//!
//! Invariant: the same statement gets the same ID whoever tells it, and keys are a function of the body.

use sha2::{Digest, Sha256};
use tributary_avro::{Body, Click, ClickFact, CustomerRef, Fact};

use crate::tenant::Tenant;

/// Where a statement comes from: tenant, as-of time and who told it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Workspace and mode.
    pub tenant: Tenant,
    /// As-of time, UTC milliseconds: `created` of the event, or the time of the call.
    pub at: i64,
    /// Event or call ID: breaks ties and stands in explanations.
    pub source: String,
    /// stripe, server, browser or operator.
    pub trust: &'static str,
}

impl Origin {
    /// The same, of an object of a connected Stripe account; empty: of the workspace's own.
    pub fn fact_of_account(&self, body: Body, account: &str) -> Fact {
        let mut fact = self.fact(body);
        if !account.is_empty() {
            // One object may come by two endpoints, of which one tells the account.
            let hash = Sha256::new()
                .chain_update(&fact.id)
                .chain_update(account)
                .finalize();
            fact.id = hex::encode(hash.get(..16).unwrap_or_default());
            account.clone_into(&mut fact.account);
        }
        fact
    }

    /// The fact that states `body`. Its ID is a hash of object, field group, as-of and content.
    pub fn fact(&self, body: Body) -> Fact {
        let content = serde_json::to_vec(&body).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(self.tenant.key());
        hash.update(b"\0");
        hash.update(object(&body));
        hash.update(b"\0");
        hash.update(self.at.to_be_bytes());
        hash.update(content);
        let id = hex::encode(hash.finalize().get(..16).unwrap_or_default());
        Fact {
            id,
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            at: self.at,
            source: self.source.clone(),
            trust: self.trust.to_owned(),
            body,
            account: String::new(),
        }
    }
}

/// The key of the object that a body is about, e.g. `in:in_1`. Facts about one object compete by as-of.
pub fn object(body: &Body) -> String {
    match body {
        Body::Click(b) => format!("click:{}", b.click_id),
        Body::Lead(b) => joined("lead", &[&customer_name(&b.customer), &event_key(&b.event_name)]),
        Body::Sale(b) => sale_key(&b.external_id),
        Body::Identify(b) => joined("identify", &[&b.click_id, &customer_name(&b.customer)]),
        // Two customers may use what one redemption returned: they stay two.
        Body::Redemption(b) => match customer_name(&b.customer).as_str() {
            "mail:" => joined("redemption", &[&b.cid]),
            name => joined("redemption", &[&b.cid, name]),
        },
        Body::Customer(b) => format!("cus:{}", b.customer.stripe),
        Body::Session(b) => format!("cs:{}", b.session),
        Body::Invoice(b) => format!("in:{}", b.invoice),
        Body::InvoicePayment(b) => format!("inpay:{}", b.invoice_payment),
        Body::Charge(b) => format!("ch:{}", b.charge),
        Body::PaymentIntent(b) => format!("pi:{}", b.payment_intent),
        Body::Refund(b) => format!("re:{}", b.refund),
        Body::Dispute(b) => format!("dp:{}", b.dispute),
        Body::Subscription(b) => format!("subscription:{}", b.subscription),
        Body::Period(b) => format!("period:{}/{}", b.subscription, b.start),
        Body::CreditNote(b) => format!("cn:{}", b.credit_note),
        Body::Assignment(b) => format!("assignment:{}", customer_name(&b.customer)),
        Body::PromotionCode(b) => format!("promo:{}", b.promotion_code),
        Body::Rule(b) => format!("rule:{}/{}", b.kind, b.id),
        Body::Command(b) => joined("command", &[&b.names, &b.partner_id, &b.command, &b.payout_id]),
        Body::ClickTotals(b) => format!("clicks:{}/{}/{}", b.link_id, b.partner_id, b.day),
        Body::PartnerTotals(b) => format!("totals:{}/{}", b.partner_id, b.day),
        Body::Account(b) => format!("account:{}", b.account),
        Body::Price(b) if b.price.is_empty() => format!("product:{}", b.product),
        Body::Price(b) => format!("price:{}", b.price),
        Body::Coupon(b) => format!("coupon:{}", b.coupon),
    }
}

/// A key of several parts. A slash within one is escaped: `a/b` and `c` are not `a` and `b/c`.
fn joined(kind: &str, parts: &[&str]) -> String {
    let escaped: Vec<String> = parts
        .iter()
        .map(|part| part.replace('%', "%25").replace('/', "%2F"))
        .collect();
    format!("{kind}:{}", escaped.join("/"))
}

/// How the keys begin of what only a browser told (rule C9).
pub const BROWSER: &str = "browser:";

/// Whether only a browser told a fact.
pub fn is_by_browser(fact: &Fact) -> bool {
    fact.trust == "browser"
}

/// Whether an object is of what a browser told. What servers and Stripe tell stands in objects of its own.
pub fn is_of_browser(facts: &[Fact]) -> bool {
    facts.iter().any(is_by_browser)
}

/// The key of a sale told by API: the Stripe object's own key if the external ID is one (rule E1).
pub fn sale_key(external_id: &str) -> String {
    match external_id.split_once('_').map(|(prefix, _)| prefix) {
        Some("in") => format!("in:{external_id}"),
        Some("cs") => format!("cs:{external_id}"),
        Some("pi") => format!("pi:{external_id}"),
        Some("ch" | "py") => format!("ch:{external_id}"),
        _ => format!("sale:{external_id}"),
    }
}

/// Event names compare without case and outer blanks (rule D2a).
pub fn event_key(name: &str) -> String {
    name.trim().to_lowercase()
}

fn customer_name(customer: &CustomerRef) -> String {
    let CustomerRef {
        external_id,
        stripe,
        mail,
        disposable: _,
    } = customer;
    match (external_id.is_empty(), stripe.is_empty()) {
        (false, _) => format!("ext:{external_id}"),
        (_, false) => format!("cus:{stripe}"),
        _ => format!("mail:{mail}"),
    }
}

/// The fact that a click states to a tenant that names it.
pub fn of_click(click: &Click, tenant: &Tenant) -> Fact {
    let click = click.clone();
    let origin = Origin {
        tenant: tenant.clone(),
        at: click.at,
        source: click.id.clone(),
        trust: "server",
    };
    origin.fact(Body::Click(Box::new(ClickFact {
        click_id: click.id,
        clicked_at: click.at,
        link_id: click.link_id,
        domain: click.domain,
        key: click.key,
        url: click.url,
        partner_id: click.partner_id,
        program_id: click.program_id,
        group_id: click.group_id,
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
        bot: click.bot,
        tracked: click.tracked,
    })))
}

#[cfg(test)]
mod tests {
    use tributary_avro::LeadFact;

    use super::*;

    #[test]
    fn parts_of_a_key_cannot_be_told_as_other_parts() {
        let lead = |external: &str, event: &str| {
            object(&Body::Lead(Box::new(LeadFact {
                event_name: event.to_owned(),
                customer: CustomerRef {
                    external_id: external.to_owned(),
                    ..CustomerRef::default()
                },
                ..LeadFact::default()
            })))
        };
        assert_eq!(lead("u 1", "Sign up"), "lead:ext:u 1/sign up");
        assert_ne!(lead("a/b", "c"), lead("a", "b/c"));
        assert_ne!(lead("a%2Fb", "c"), lead("a/b", "c"));
    }
}
