//! Stripe events to facts: every API shape since 2019 (rules A2 to A5), one file for each object.
//!
//! Event ─► data.object ─► one file ─► facts. The object decides, not the event; the event gives the
//! as-of time. What newer and older shapes move around, the file of the object finds in either place.
//! It reads no API version: fields tell which shape it is, because endpoints pin odd versions.
//! Invariant: both shapes of one payment give the same facts as far as they hold the same information.

mod account;
mod charge;
mod coupon;
mod credit_note;
mod customer;
mod discounts;
mod dispute;
mod invoice;
mod invoice_payment;
mod json;
mod lines;
mod object;
mod payment_intent;
mod price;
mod promotion_code;
mod reader;
mod refund;
mod session;
mod subscription;

use tributary_avro::{Body, CustomerRef, StripeEvent};

use crate::fact::Origin;
use crate::normalize::{Context, Outcome, Rejection};
use crate::rules::Workspace;
use crate::tenant::Tenant;
use json::Json;
use object::Object;
use reader::Reader;

/// What one file makes of its object.
enum Read {
    Bodies(Vec<Body>),
    Ignored(&'static str),
}

type Reading = Result<Read, Rejection>;

/// The facts that a Stripe event states.
pub fn stripe(event: &StripeEvent, context: &Context) -> Result<Outcome, Rejection> {
    let settings = context.settings.ok_or_else(|| {
        Rejection::new(
            "unknown_workspace",
            format!("event.workspace: {:?} is not declared", event.workspace),
        )
    })?;
    if !takes(settings, &event.account) {
        return Err(Rejection::new(
            "unknown_account",
            format!("event.account: {} is not among stripe_accounts", event.account),
        ));
    }
    let body: Json = serde_json::from_slice(&event.body)
        .map_err(|e| Rejection::new("invalid_json", format!("event body: {e}")))?;
    let Some(object) = snapshot(&body)? else {
        return Err(Rejection::new(
            "thin_event",
            "event.data.object: missing; only snapshot events are read (rule A4)",
        ));
    };
    let reader = reader(event, settings, context);
    match read(object, &reader)? {
        Read::Ignored(why) => Ok(Outcome::Ignored(why)),
        Read::Bodies(bodies) => {
            let origin = Origin {
                tenant: Tenant::new(&event.workspace, &event.mode),
                at: event.created,
                source: event.id.clone(),
                trust: "stripe",
            };
            let fact = |body| origin.fact_of_account(body, &event.account);
            Ok(Outcome::Facts(bodies.into_iter().map(fact).collect()))
        }
    }
}

/// Whether events of a connected account are the workspace's.
fn takes(settings: &Workspace, account: &String) -> bool {
    let accounts = &settings.stripe_accounts;
    account.is_empty() || accounts.is_empty() || accounts.contains(account)
}

fn reader<'a>(event: &'a StripeEvent, settings: &'a Workspace, context: &Context<'a>) -> Reader<'a> {
    Reader {
        account: &event.account,
        settings,
        mail: context.mail,
        event_type: &event.event_type,
        created: event.created,
    }
}

/// Whom an event tells about, and what they are called there.
pub(crate) struct Introduced {
    pub customer: CustomerRef,
    pub name: String,
    pub email: String,
}

/// The person whom a customer or a completed session shows; None for all other events, which are not even parsed,
/// and for what is no fact either.
pub(crate) fn introduced(event: &StripeEvent, context: &Context) -> Option<Introduced> {
    let is_session = match event.event_type.as_str() {
        "customer.created" | "customer.updated" | "customer.deleted" => false,
        "checkout.session.completed" => true,
        _ => return None,
    };
    let settings = context.settings?;
    if !takes(settings, &event.account) {
        return None;
    }
    let body: Json = serde_json::from_slice(&event.body).ok()?;
    let object = snapshot(&body).ok()??;
    let reader = reader(event, settings, context);
    let (named, name, email) = if is_session {
        let session = Object::new("session", "checkout.session", object).ok()?;
        let name = session.text("customer_details.name");
        let email = session.text("customer_details.email");
        (session::named(&session, &reader), name, email)
    } else {
        let customer = Object::new("customer", "customer", object).ok()?;
        let named = customer::named(&customer, &customer.own_id().ok()?, &reader);
        (named, customer.text("name"), customer.text("email"))
    };
    Some(Introduced {
        customer: named.customer,
        name: name.to_owned(),
        email: email.to_owned(),
    })
}

/// The event's object; None if the event is thin.
fn snapshot<'a>(body: &'a Json<'a>) -> Result<Option<&'a Json<'a>>, Rejection> {
    if body.as_map().is_none() {
        return Err(Rejection::new(
            "invalid_json",
            "event body: must be a JSON object",
        ));
    };
    let thin = body.get("object").and_then(Json::as_str) == Some("v2.core.event");
    Ok(body
        .get("data")
        .and_then(|data| data.get("object"))
        .filter(|object| object.as_map().is_some() && !thin))
}

fn read(object: &Json, reader: &Reader) -> Reading {
    let of = |name, kind| Object::new(name, kind, object);
    match reader.event_type {
        "customer.created" | "customer.updated" | "customer.deleted" => {
            customer::read(&of("customer", "customer")?, reader)
        }
        "checkout.session.completed"
        | "checkout.session.async_payment_succeeded"
        | "checkout.session.async_payment_failed"
        | "checkout.session.expired" => session::read(&of("session", "checkout.session")?, reader),
        "invoice.paid"
        | "invoice.payment_succeeded"
        | "invoice.finalized"
        | "invoice.voided"
        | "invoice.marked_uncollectible" => invoice::read(&of("invoice", "invoice")?, reader),
        "invoice_payment.paid" | "invoice_payment.detached" => {
            invoice_payment::read(&of("invoice_payment", "invoice_payment")?, reader)
        }
        "charge.succeeded" | "charge.updated" | "charge.refunded" | "charge.captured" => {
            charge::read(&of("charge", "charge")?, reader)
        }
        "payment_intent.succeeded" => payment_intent::read(&of("payment_intent", "payment_intent")?, reader),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            refund::read(&of("refund", "refund")?, reader)
        }
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated"
        | "charge.dispute.closed" => dispute::read(&of("dispute", "dispute")?, reader),
        "promotion_code.created" | "promotion_code.updated" | "promotion_code.deleted" => {
            promotion_code::read(&of("promotion_code", "promotion_code")?, reader)
        }
        "customer.subscription.created"
        | "customer.subscription.updated"
        | "customer.subscription.deleted"
        | "customer.subscription.paused"
        | "customer.subscription.resumed"
        | "customer.subscription.trial_will_end" => {
            subscription::read(&of("subscription", "subscription")?, reader)
        }
        "credit_note.created" | "credit_note.updated" | "credit_note.voided" => {
            credit_note::read(&of("credit_note", "credit_note")?, reader)
        }
        "price.created" | "price.updated" | "price.deleted" => price::read(&of("price", "price")?, reader),
        "product.created" | "product.updated" | "product.deleted" => {
            price::product(&of("product", "product")?, reader)
        }
        "coupon.created" | "coupon.updated" | "coupon.deleted" => {
            coupon::read(&of("coupon", "coupon")?, reader)
        }
        "account.application.authorized" | "account.application.deauthorized" => account::read(reader),
        _ => Ok(Read::Ignored("event_type")),
    }
}

impl From<Body> for Read {
    fn from(body: Body) -> Self {
        Self::Bodies(vec![body])
    }
}
