//! Leads from the facts of one object (rules D1, D2, D2a).

use tributary_avro::{Body, DiscountRef, Fact, Metadata};

use crate::fact::{BROWSER, event_key, object};

/// How a lead came to be. Tracked leads go before born ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeadKind {
    /// Told by API.
    Tracked,
    /// A Stripe customer whose metadata names a click.
    Customer,
    /// A checkout session or direct sale that names a click.
    Payment,
    /// A payment whose coupon found a partner.
    Coupon,
    /// A subscription that starts with a trial.
    Trial,
}

impl LeadKind {
    /// The `source` of the ledger row.
    pub fn source(self) -> &'static str {
        match self {
            LeadKind::Tracked => "api",
            LeadKind::Customer => "customer",
            LeadKind::Payment => "payment_link",
            LeadKind::Coupon => "coupon",
            LeadKind::Trial => "trial",
        }
    }
}

/// A lead, or what may become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// How it came to be.
    pub kind: LeadKind,
    /// Key of the object that the entry is about.
    pub anchor: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// As told or as peers name it.
    pub event_name: String,
    /// Number of leads.
    pub quantity: i64,
    /// Click IDs named, sorted.
    pub clicks: Vec<String>,
    /// Coupons used, if they made it.
    pub discounts: Vec<DiscountRef>,
    /// What rewards may ask about.
    pub metadata: Metadata,
}

impl Lead {
    /// As an entry of its own, beside what others than browsers tell (rule C9).
    pub(super) fn apart(mut self) -> Self {
        self.anchor = match self.anchor.strip_prefix("lead:") {
            Some(born) if self.kind != LeadKind::Tracked => format!("lead:{BROWSER}{born}"),
            _ => format!("{BROWSER}{}", self.anchor),
        };
        self
    }

    /// Leads of one customer with equal names are one lead (rule D2a).
    pub fn event(&self) -> String {
        event_key(&self.event_name)
    }
}

/// The lead that the facts of one object tell of, if any. A deferred lead counts at the next call.
pub fn leads(facts: &[Fact]) -> Option<Lead> {
    let mut first: Option<(i64, &str, Lead)> = None;
    let mut clicks = Vec::new();
    for fact in facts {
        let (kind, event_name, quantity, click) = match &fact.body {
            Body::Lead(lead) => {
                clicks.extend(Some(&lead.click_id).filter(|c| !c.is_empty()).cloned());
                if lead.deferred {
                    continue;
                }
                (
                    LeadKind::Tracked,
                    lead.event_name.as_str(),
                    lead.quantity,
                    &lead.click_id,
                )
            }
            Body::Customer(customer) => (LeadKind::Customer, "New customer", 1, &customer.click_id),
            Body::Session(session) if session.status == "complete" && !session.failed => {
                (LeadKind::Payment, "Sign up", 1, &session.click_id)
            }
            Body::Sale(sale) => {
                let name = if sale.lead_event_name.is_empty() {
                    "Sign up"
                } else {
                    &sale.lead_event_name
                };
                (LeadKind::Payment, name, 1, &sale.click_id)
            }
            _ => continue,
        };
        if kind != LeadKind::Tracked {
            if click.is_empty() {
                continue;
            }
            clicks.push(click.clone());
        }
        if first
            .as_ref()
            .is_none_or(|(at, id, _)| (fact.at, fact.id.as_str()) < (*at, id))
        {
            let anchor = match kind {
                LeadKind::Tracked => object(&fact.body),
                _ => format!("lead:{}", object(&fact.body)),
            };
            let lead = Lead {
                kind,
                anchor,
                at: fact.at,
                event_name: event_name.to_owned(),
                quantity,
                clicks: vec![],
                discounts: vec![],
                metadata: match &fact.body {
                    Body::Lead(lead) => lead.metadata.clone(),
                    _ => Metadata::new(),
                },
            };
            first = Some((fact.at, &fact.id, lead));
        }
    }
    clicks.sort();
    clicks.dedup();
    first.map(|(_, _, lead)| Lead { clicks, ..lead })
}
