//! Subscriptions as entries (rules D3 and E9): start, changes of what is paid, end.
//!
//! They tell what is subscribed to, not what was paid: their amounts are in `original_amount`, and add to no revenue.

use tributary_avro::{Body, Conversion, Fact, SubscriptionFact};

use super::attribution::{Claimant, attribute};
use super::commission::MOST_UNITS;
use super::entries::{Inputs, dimensions, explain, id};
use super::lead::{Lead, LeadKind};
use super::money;
use super::row::Row;
use super::view::Span;
use crate::rules::Rules;

/// A subscription from its facts.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// From when to when it goes.
    pub span: Span,
    /// The latest statement.
    pub latest: SubscriptionFact,
    /// Changes of what one period costs, by time.
    pub changes: Vec<Change>,
    /// It began with a trial.
    pub began_with_trial: bool,
    /// Units at its start.
    pub units: i64,
    /// What a period cost at its start, minor units.
    pub price: i64,
    /// Click IDs that its facts name, sorted.
    pub clicks: Vec<String>,
}

/// A change of what one period costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Units from then on.
    pub units: i64,
    /// Minor units of a period, more than before or less.
    pub difference: i64,
}

fn units(fact: &SubscriptionFact) -> i64 {
    money::sum(fact.items.iter().map(|line| line.quantity)).clamp(1, MOST_UNITS)
}

fn period(fact: &SubscriptionFact) -> i64 {
    money::sum(fact.items.iter().map(|line| line.amount))
}

impl Subscription {
    /// The subscription that the facts of one object tell of; None if it never began.
    pub fn of(facts: &[Fact]) -> Option<Self> {
        let mut told: Vec<(&Fact, &SubscriptionFact)> = facts
            .iter()
            .filter_map(|fact| match &fact.body {
                Body::Subscription(subscription) => Some((fact, &**subscription)),
                _ => None,
            })
            .collect();
        // Rule A5: as-of, then the further status, then event and content.
        told.sort_by_key(|(fact, s)| (fact.at, s.ended_at.is_some(), &fact.source, &fact.id));
        let began = |s: &&(&Fact, &SubscriptionFact)| {
            !matches!(s.1.status.as_str(), "incomplete" | "incomplete_expired")
        };
        let (first_fact, first) = told.iter().find(began).copied()?;
        let (_, latest) = told.last().copied()?;
        let mut changes: Vec<Change> = Vec::new();
        let mut before = (units(first), period(first));
        for (fact, now) in told.iter().filter(began).filter(|(_, s)| s.ended_at.is_none()) {
            let after = (units(now), period(now));
            if after != before {
                let difference = after.1.saturating_sub(before.1);
                // Stripe tells whole seconds: what changed twice in one is one change.
                match changes.last_mut() {
                    Some(Change {
                        at,
                        units,
                        difference: sum,
                    }) if *at == fact.at => {
                        *units = after.0;
                        *sum = sum.saturating_add(difference);
                    }
                    _ => changes.push(Change {
                        at: fact.at,
                        units: after.0,
                        difference,
                    }),
                }
                before = after;
            }
        }
        let mut clicks: Vec<String> = told.iter().map(|(_, s)| s.click_id.clone()).collect();
        clicks.retain(|click| !click.is_empty());
        clicks.sort();
        clicks.dedup();
        Some(Self {
            span: Span {
                anchor: format!("subscription:{}", latest.subscription),
                start: if latest.started_at > 0 {
                    latest.started_at
                } else {
                    first_fact.at
                },
                end: latest.ended_at,
            },
            began_with_trial: first.status == "trialing",
            units: units(first),
            price: period(first),
            latest: latest.clone(),
            changes,
            clicks,
        })
    }

    /// Rule D3: the lead that a trial is, where the workspace says so.
    pub fn lead(&self, rules: &Rules) -> Option<Lead> {
        let workspace = rules.workspace(self.span.start)?;
        let lead = || Lead {
            kind: LeadKind::Trial,
            anchor: format!("lead:{}", self.span.anchor),
            at: self.span.start,
            event_name: "Started Trial".to_owned(),
            quantity: if workspace.trial_quantity { self.units } else { 1 },
            clicks: self.clicks.clone(),
            discounts: Vec::new(),
            metadata: self.latest.metadata.clone(),
        };
        (workspace.trials && self.began_with_trial).then(lead)
    }
}

impl Inputs<'_> {
    /// The entries of a subscription.
    pub(super) fn subscription(&self, subscription: &Subscription, rows: &mut Vec<Row>) {
        let Span { anchor, start, end } = &subscription.span;
        let claimant = Claimant {
            at: *start,
            clicks: &subscription.clicks,
            discounts: &[],
            account: self.account(),
            program: "",
            has_identity: true,
        };
        let decision = attribute(&claimant, self.view, self.rules);
        let latest = &subscription.latest;
        let entry = |at: i64, about: &[&str], event_name: &str, amount: i64| Conversion {
            id: id("conv", self.tenant, about),
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: "subscription".to_owned(),
            at,
            object: anchor.clone(),
            keys: vec![latest.subscription.clone()],
            customer: self.view.customer.clone(),
            event_name: event_name.to_owned(),
            status: latest.status.clone(),
            currency: self.currency(at),
            original_amount: amount,
            original_currency: latest.currency.clone(),
            quantity: subscription.units,
            source: "stripe".to_owned(),
            attributed_by: decision.by.text().to_owned(),
            reason: decision.reason.to_owned(),
            rule: decision.rule.to_owned(),
            dims: dimensions(&decision),
            explanation: explain(&decision, &[], None, None),
            ..Conversion::default()
        };
        rows.push(Row::Conversion(Box::new(entry(
            *start,
            &[anchor],
            "Subscription started",
            subscription.price,
        ))));
        for change in &subscription.changes {
            let name = match change.difference {
                0 => continue, // other units for the same money
                more if more > 0 => "Subscription expanded",
                _ => "Subscription contracted",
            };
            let about = [anchor.as_str(), "change", &change.at.to_string()];
            rows.push(Row::Conversion(Box::new(Conversion {
                quantity: change.units,
                ..entry(change.at, &about, name, change.difference)
            })));
        }
        if let Some(end) = end {
            let is_last = self.view.is_last(&subscription.span);
            let mut ended = entry(
                *end,
                &[anchor, "end"],
                "Subscription ended",
                period(latest).saturating_neg(),
            );
            ended.flags = is_last.then(|| "churned".to_owned()).into_iter().collect();
            if !latest.cancel_reason.is_empty() {
                ended.reason.clone_from(&latest.cancel_reason);
            }
            rows.push(Row::Conversion(Box::new(ended)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::View;

    #[test]
    fn the_last_subscription_to_end_is_churn() {
        let span = |anchor: &str, start, end| Span {
            anchor: anchor.to_owned(),
            start,
            end,
        };
        let view = |subscriptions: &[&Span]| View {
            subscriptions: subscriptions.iter().map(|s| (*s).clone()).collect(),
            ..View::default()
        };
        let (a, b) = (span("a", 1, Some(10)), span("b", 5, Some(10)));
        assert!(
            !view(&[&a, &b]).is_last(&a),
            "of two at one moment only one is churn"
        );
        assert!(view(&[&a, &b]).is_last(&b));
        assert!(view(&[&a]).is_last(&a));
        assert!(
            view(&[&a, &span("c", 11, None)]).is_last(&a),
            "it came back later"
        );
        assert!(!view(&[&a, &span("c", 9, None)]).is_last(&a));
        assert!(!view(&[&span("c", 9, None)]).is_last(&span("c", 9, None)));
    }
}
