//! customer.subscription.*: what is paid for each period, from when to when (rules D3, E8, E9).
//!
//! Since basil the periods stand on the items.

use tributary_avro::{Body, PeriodFact, SubscriptionFact};

use super::object::Object;
use super::reader::{Reader, source};
use super::{Read, Reading, lines};
use crate::rules::Subscriptions;

pub(super) fn read(subscription: &Object, reader: &Reader) -> Reading {
    let named = reader.named(
        subscription.id(&["customer"]),
        &[],
        &[source(subscription, "metadata")],
        "",
    );
    let items: Vec<Object> = subscription
        .list("items")
        .iter()
        .map(|item| Object::inner("subscription.items", item))
        .collect();
    let period = |name: &str| {
        let of_items = items.iter().filter_map(|item| item.time(name));
        subscription.time(name).or(of_items.max()).unwrap_or_default()
    };
    let ended = reader.event_type == "customer.subscription.deleted";
    let ended_at = subscription.time("ended_at");
    let fact = SubscriptionFact {
        subscription: subscription.own_id()?,
        status: subscription.needed("status", subscription.word("status"))?,
        customer: named.customer,
        click_id: named.click_id,
        started_at: subscription
            .time("start_date")
            .or_else(|| subscription.time("created"))
            .unwrap_or_default(),
        trial_end: subscription.time("trial_end"),
        period_start: period("current_period_start"),
        period_end: period("current_period_end"),
        ended_at: ended_at.or_else(|| ended.then_some(reader.created)),
        cancel_reason: [
            subscription.word("cancellation_details.feedback"),
            subscription.word("cancellation_details.reason"),
        ]
        .into_iter()
        .find(|reason| !reason.is_empty())
        .unwrap_or_default()
        .to_owned(),
        currency: currency(subscription, &items)?,
        items: lines::of_subscription(subscription)?,
        metadata: named.metadata,
    };
    let mut bodies = Vec::new();
    // Rule E8: by dates, each period of an active subscription is a sale.
    if reader.settings.subscriptions == Subscriptions::Dates
        && fact.status == "active"
        && fact.period_start > 0
    {
        bodies.push(Body::Period(Box::new(PeriodFact {
            subscription: fact.subscription.clone(),
            start: fact.period_start,
            end: fact.period_end,
            customer: fact.customer.clone(),
            click_id: fact.click_id.clone(),
            is_first: fact.period_start <= fact.started_at,
            currency: fact.currency.clone(),
            items: fact.items.clone(),
            metadata: fact.metadata.clone(),
        })));
    }
    bodies.push(Body::Subscription(Box::new(fact)));
    Ok(Read::Bodies(bodies))
}

/// Before subscriptions told it themselves, their prices did.
fn currency(subscription: &Object, items: &[Object]) -> Result<String, crate::normalize::Rejection> {
    let own = subscription.currency("currency")?;
    if !own.is_empty() {
        return Ok(own);
    }
    for item in items {
        for path in ["price.currency", "plan.currency"] {
            let currency = item.currency(path)?;
            if !currency.is_empty() {
                return Ok(currency);
            }
        }
    }
    Ok(String::new())
}
