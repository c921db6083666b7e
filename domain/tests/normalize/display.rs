//! What a customer is shown by, beside the facts.

use serde_json::{Value, json};
use tributary_avro::{Config, Person, StripeEvent, Track};
use tributary_domain::normalize::{
    self, Context, ERASED, Erasure, Outcome, Shown, guest, person_of_stripe, person_of_track,
};

use crate::support::{CLICK, CREATED, event, hash, mail, session, with, workspace};

fn of_track(track: &Track) -> Option<Person> {
    let settings = workspace(json!({}));
    let context = Context {
        settings: Some(&settings),
        mail: &mail(),
    };
    let shown = person_of_track(track, &context)?;
    assert!(!shown.deleted);
    Some(shown.person)
}

fn of_event(event: &StripeEvent) -> Vec<Shown> {
    let settings = workspace(json!({"stripe_accounts": ["acct_1"]}));
    let context = Context {
        settings: Some(&settings),
        mail: &mail(),
    };
    person_of_stripe(event, &context)
}

fn of_stripe(event_type: &str, object: Value) -> Vec<Shown> {
    of_event(&event(event_type, &object))
}

fn lead() -> Track {
    Track {
        id: "call_1".into(),
        workspace: "acme".into(),
        mode: "live".into(),
        trust: "server".into(),
        kind: "lead".into(),
        at: CREATED,
        received: CREATED + 5,
        click_id: CLICK.into(),
        customer_external_id: "user_7".into(),
        customer_email: " Ada+x@Example.com ".into(),
        customer_name: "Ada Lovelace".into(),
        customer_avatar: "https://x.test/ada.png".into(),
        ..Track::default()
    }
}

fn customer() -> Value {
    json!({"id": "cus_1", "object": "customer", "name": "Ada Lovelace", "email": "ada@example.com"})
}

fn ada() -> Person {
    Person {
        workspace: "acme".into(),
        mode: "live".into(),
        customer: "user_7".into(),
        name: "Ada Lovelace".into(),
        email: "Ada+x@Example.com".into(),
        avatar: "https://x.test/ada.png".into(),
        at: CREATED,
    }
}

/// Rule C9: what a page says would take the place of what a server told.
#[test]
fn a_browser_shows_nobody() {
    for trust in ["browser", ""] {
        let said = Track {
            trust: trust.into(),
            ..lead()
        };
        assert_eq!(of_track(&said), None);
    }
}

#[test]
fn a_call_shows_whom_it_names() {
    assert_eq!(of_track(&lead()), Some(ada()));
    let kinds = ["sale", "identify", "redemption", "other"].map(|kind| {
        of_track(&Track {
            kind: kind.into(),
            ..lead()
        })
        .is_some()
    });
    assert_eq!(kinds, [true, true, false, false]);
    let stranger = Context {
        settings: None,
        mail: &mail(),
    };
    assert_eq!(person_of_track(&lead(), &stranger), None);
}

#[test]
fn a_customer_is_called_as_in_the_ledger() {
    let called = |external: &str, email: &str| {
        let track = Track {
            customer_external_id: external.into(),
            customer_email: email.into(),
            ..lead()
        };
        of_track(&track).map(|person| person.customer)
    };
    let mail = guest(&hash("ada@example.com"));
    assert_eq!(mail.len(), "guest_".len() + 12);
    assert!(hash("ada@example.com").starts_with(mail.strip_prefix("guest_").unwrap()));
    assert_eq!(called("user_7", "ada@example.com"), Some("user_7".into()));
    assert_eq!(called("", "ADA@example.com"), Some(mail.clone()));
    assert_eq!(called("ada@example.com", ""), Some(mail));
    // Of nobody, nothing can be shown.
    assert_eq!(called("", ""), None);
    let shown = of_stripe("customer.created", customer());
    assert_eq!(shown[0].person.customer, "cus_1");
    let own = with(customer(), json!({"metadata": {"tributaryCustomerId": "user_7"}}));
    assert_eq!(of_stripe("customer.updated", own)[0].person.customer, "user_7");
    let connected = StripeEvent {
        account: "acct_1".into(),
        ..event("customer.created", &customer())
    };
    assert_eq!(of_event(&connected)[0].person.customer, "cus_1");
}

#[test]
fn what_is_too_long_or_no_address_is_left_out() {
    let told = |name: String, email: &str, avatar: String| {
        let track = Track {
            customer_name: name,
            customer_email: email.into(),
            customer_avatar: avatar,
            ..lead()
        };
        of_track(&track)
            .map(|person| [person.name, person.email, person.avatar].map(|text| text.chars().count()))
    };
    let (fits, long) = ("é".repeat(500), "é".repeat(501));
    assert_eq!(told(fits.clone(), "n/a", fits.clone()), Some([500, 0, 500]));
    assert_eq!(
        told(long.clone(), "ada@example.com", long.clone()),
        Some([0, 15, 0])
    );
    assert_eq!(
        told(long, &format!("{}@x.test", "a".repeat(500)), " ".into()),
        None
    );
}

#[test]
fn customers_and_completed_sessions_show_a_person() {
    let shown = of_stripe("customer.created", customer());
    let expected = Person {
        customer: "cus_1".into(),
        email: "ada@example.com".into(),
        avatar: String::new(),
        ..ada()
    };
    assert_eq!(
        shown,
        [Shown {
            person: expected.clone(),
            deleted: false
        }]
    );
    let details = json!({"customer_details": {"name": "Ada Lovelace", "email": "ada@example.com"}});
    let paid = with(session(), details);
    let shown = of_stripe("checkout.session.completed", paid.clone());
    assert_eq!(shown[0].person, expected);
    for (event_type, object) in [
        ("checkout.session.expired", paid.clone()),
        ("checkout.session.async_payment_succeeded", paid),
        ("invoice.paid", with(customer(), json!({"object": "invoice"}))),
        ("charge.succeeded", with(customer(), json!({"object": "charge"}))),
        ("customer.created", json!({"id": "cus_1", "object": "customer"})),
        ("customer.created", json!({"object": "customer", "name": "Ada"})),
        ("customer.created", json!([])),
    ] {
        assert_eq!(of_stripe(event_type, object.clone()), [], "{event_type} {object}");
    }
    let foreign = StripeEvent {
        account: "acct_2".into(),
        ..event("customer.created", &customer())
    };
    assert_eq!(of_event(&foreign), []);
}

#[test]
fn a_deleted_customer_is_forgotten_under_every_id() {
    let own = with(customer(), json!({"metadata": {"tributaryCustomerId": "user_7"}}));
    let shown = of_stripe("customer.deleted", own);
    let names: Vec<&str> = shown.iter().map(|shown| shown.person.customer.as_str()).collect();
    assert_eq!(names, ["user_7", "cus_1"]);
    for shown in &shown {
        assert!(shown.deleted);
        assert_eq!((&*shown.person.name, &*shown.person.email), ("", ""));
    }
}

#[test]
fn a_clock_that_runs_ahead_does_not_outrun_an_erasure() {
    let at = |at: i64, received: i64| {
        of_track(&Track {
            at,
            received,
            ..lead()
        })
        .map(|person| person.at)
    };
    assert_eq!(at(10, 5), Some(5));
    assert_eq!(at(5, 10), Some(5));
    assert_eq!(at(10, 0), Some(10));
}

#[test]
fn an_erasure_is_no_rule() {
    let erasure = Erasure {
        customer: "user_7".into(),
        at: 7,
    };
    let config = Config {
        workspace: "acme".into(),
        kind: ERASED.into(),
        id: "user_7".into(),
        at: 7,
        modes: vec!["live".into()],
        document: serde_json::to_string(&erasure).unwrap(),
        ..Config::default()
    };
    assert_eq!(
        normalize::config(&config, &mail()),
        Ok(Outcome::Ignored("erasure"))
    );
    assert_eq!(Erasure::of(&config), Some(erasure));
    for other in [
        Config {
            kind: "coupon".into(),
            ..config.clone()
        },
        Config {
            document: "{}".into(),
            ..config
        },
    ] {
        assert_eq!(Erasure::of(&other), None);
    }
}
