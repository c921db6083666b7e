//! The keys of a fact, by kind (rule B1): object keys tie one payment or lead, case keys merge customers,
//! references bring a touch and merge nobody.

use tributary_avro::{Body, CustomerRef, DiscountRef, Fact};

use crate::fact::{BROWSER, is_by_browser, object, sale_key};
use crate::ledger::refund_by_api;

/// The keys of one fact.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Payment or lead: session, intent, invoice, charge, refund, dispute, API sale, lead.
    pub objects: Vec<String>,
    /// Customer: external ID, Stripe customer, e-mail hash; and subscription.
    pub case: Vec<String>,
    /// Click IDs and CIDs named.
    pub clicks: Vec<String>,
    /// The address told is a throw-away one (rule C10).
    pub disposable: bool,
}

/// The keys that a fact states.
pub fn keys(fact: &Fact) -> Keys {
    let mut keys = told(fact);
    if is_by_browser(fact) {
        keys.set_apart(&fact.body);
    }
    keys
}

impl Keys {
    /// Rule C9: what a browser tells makes objects of its own, and ties no customers together. Of its leads and external
    /// CIDs one name is kept, under which the customer finds the touch if no server told of any.
    fn set_apart(&mut self, body: &Body) {
        let brings_touch = matches!(body, Body::Lead(_) | Body::Identify(_));
        self.case.truncate(usize::from(brings_touch));
        for key in self.objects.iter_mut().chain(&mut self.case) {
            key.insert_str(0, BROWSER);
        }
        self.disposable = false;
    }
}

fn told(fact: &Fact) -> Keys {
    let mut keys = Keys::default();
    let mut objects = |parts: &[(&str, &String)]| {
        keys.objects.extend(
            parts
                .iter()
                .filter(|(_, id)| !id.is_empty())
                .map(|(kind, id)| format!("{kind}:{id}")),
        );
    };
    match &fact.body {
        Body::Session(s) => objects(&[("cs", &s.session), ("pi", &s.payment_intent), ("in", &s.invoice)]),
        Body::Invoice(i) => objects(&[("in", &i.invoice), ("pi", &i.payment_intent), ("ch", &i.charge)]),
        Body::InvoicePayment(p) if p.status == "paid" => {
            objects(&[("in", &p.invoice), ("pi", &p.payment_intent), ("ch", &p.charge)])
        }
        // Not paid (yet), or detached: the intent may pay another invoice.
        Body::InvoicePayment(p) => objects(&[("in", &p.invoice)]),
        Body::Charge(c) => objects(&[("ch", &c.charge), ("pi", &c.payment_intent), ("in", &c.invoice)]),
        Body::PaymentIntent(p) => {
            objects(&[("pi", &p.payment_intent), ("in", &p.invoice), ("ch", &p.charge)])
        }
        Body::Refund(r) => objects(&[("re", &r.refund), ("ch", &r.charge), ("pi", &r.payment_intent)]),
        Body::Dispute(d) => objects(&[("dp", &d.dispute), ("ch", &d.charge), ("pi", &d.payment_intent)]),
        Body::CreditNote(c) => objects(&[("cn", &c.credit_note), ("in", &c.invoice)]),
        Body::Sale(_)
        | Body::Lead(_)
        | Body::Subscription(_)
        | Body::Period(_)
        | Body::Redemption(_)
        | Body::ClickTotals(_) => keys.objects.push(object(&fact.body)),
        Body::Customer(c) if !c.click_id.is_empty() => {
            keys.objects.push(format!("lead:{}", object(&fact.body)))
        }
        Body::Command(c) if !c.object.is_empty() => keys.objects.push(key_of_anchor(&c.object)),
        Body::Command(c) => {
            keys.objects.push(sale_key(&c.names));
            // The row of such a refund is found by it.
            if c.command == "refund" {
                keys.objects.push(refund_by_api(&fact.body));
            }
        }
        _ => {}
    }
    let (customer, subscription, click) = people(&fact.body);
    if let Some(CustomerRef {
        external_id,
        stripe,
        mail,
        disposable,
    }) = customer
    {
        keys.disposable = *disposable;
        let parts = [("ext", external_id), ("cus", stripe), ("mail", mail)];
        keys.case.extend(
            parts
                .iter()
                .filter(|(_, id)| !id.is_empty())
                .map(|(kind, id)| format!("{kind}:{id}")),
        );
        // Rule B1a: a customer without external ID has the Stripe customer ID as one.
        if external_id.is_empty() && !stripe.is_empty() {
            keys.case
                .push(format!("ext:{}", stripe.rsplit('/').next().unwrap_or_default()));
        }
    }
    if !subscription.is_empty() {
        keys.case.push(format!("sub:{subscription}"));
    }
    if !click.is_empty() {
        keys.clicks.push(click.to_owned());
    }
    keys
}

fn people(body: &Body) -> (Option<&CustomerRef>, &str, &str) {
    match body {
        Body::Lead(b) => (Some(&b.customer), "", &b.click_id),
        Body::Sale(b) => (Some(&b.customer), "", &b.click_id),
        Body::Identify(b) => (Some(&b.customer), "", &b.click_id),
        Body::Redemption(b) => (Some(&b.customer), "", &b.cid),
        Body::Customer(b) => (Some(&b.customer), "", &b.click_id),
        Body::Session(b) => (Some(&b.customer), &b.subscription, &b.click_id),
        Body::Invoice(b) => (Some(&b.customer), &b.subscription, &b.click_id),
        Body::Charge(b) => (Some(&b.customer), "", &b.click_id),
        Body::PaymentIntent(b) => (Some(&b.customer), "", &b.click_id),
        Body::Subscription(b) => (Some(&b.customer), &b.subscription, &b.click_id),
        Body::Period(b) => (Some(&b.customer), &b.subscription, &b.click_id),
        Body::Assignment(b) => (Some(&b.customer), "", ""),
        Body::CreditNote(_)
        | Body::InvoicePayment(_)
        | Body::Refund(_)
        | Body::Dispute(_)
        | Body::Command(_)
        | Body::ClickTotals(_)
        | Body::Click(_)
        | Body::PromotionCode(_)
        | Body::PartnerTotals(_)
        | Body::Account(_)
        | Body::Price(_)
        | Body::Coupon(_)
        | Body::Rule(_) => (None, "", ""),
    }
}

/// The object key under which the object of a ledger row is found.
pub fn key_of_anchor(anchor: &str) -> String {
    if let Some(charge) = anchor.strip_prefix("re:excess/") {
        return format!("ch:{charge}");
    }
    let born = anchor.strip_prefix("lead:").filter(|rest| {
        [
            "cs:",
            "sale:",
            "in:",
            "ch:",
            "pi:",
            "subscription:",
            "period:",
            BROWSER,
        ]
        .iter()
        .any(|kind| rest.starts_with(kind))
    });
    born.unwrap_or(anchor).to_owned()
}

/// References under which rules that decide about these discounts find their cases.
pub fn coupon_refs(discount: &DiscountRef, resolved: Option<&str>) -> Vec<String> {
    let texts = [
        Some(discount.code.as_str()),
        Some(discount.coupon.as_str()),
        resolved,
    ];
    let mut refs: Vec<String> = texts
        .into_iter()
        .flatten()
        .filter(|t| !t.is_empty())
        .map(|t| format!("code:{}", t.to_lowercase()))
        .collect();
    if !discount.promotion_code.is_empty() {
        refs.push(format!("promo:{}", discount.promotion_code));
    }
    refs
}
