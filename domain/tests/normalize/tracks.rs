//! Tracking calls.

use tributary_avro::{Fact, Line, Track, TrackLine};
use tributary_domain::normalize::{self, Context, Outcome, REASONS, Rejection, claimed_click};

use crate::only;
use crate::support::{CLICK, CREATED, hash, mail, verdict, workspace};

fn call(kind: &str) -> Track {
    Track {
        id: "trk_1".into(),
        workspace: "acme".into(),
        mode: "test".into(),
        kind: kind.into(),
        at: CREATED,
        trust: "server".into(),
        click_id: CLICK.into(),
        customer_external_id: "user_7".into(),
        customer_email: "Ada@Example.com".into(),
        event_name: "Sign up".into(),
        event_quantity: 1,
        amount: 4900,
        currency: "USD".into(),
        coupon: "SAVE20".into(),
        metadata: [
            ("plan".to_owned(), "pro".to_owned()),
            ("mail".to_owned(), "a@x.test".to_owned()),
        ]
        .into(),
        ..Default::default()
    }
}

fn read(track: &Track) -> Result<Outcome, Rejection> {
    let settings = workspace(serde_json::json!({}));
    let context = Context {
        settings: Some(&settings),
        mail: &mail(),
    };
    normalize::track(track, &context)
}

fn facts(track: &Track) -> Vec<Fact> {
    match read(track) {
        Ok(Outcome::Facts(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lead_carries_customer_and_click() {
    let all = facts(&Track {
        event_quantity: 3,
        lead_mode: "deferred".into(),
        ..call("lead")
    });
    assert_eq!(claimed_click(&all[0]), Some(CLICK));
    assert_eq!(
        (all[0].mode.as_str(), all[0].at, all[0].source.as_str()),
        ("test", CREATED, "trk_1")
    );
    assert_eq!(all[0].trust, "server");
    let told = only!(all, Lead);
    assert_eq!(
        (told.event_name.as_str(), told.quantity, told.deferred),
        ("Sign up", 3, true)
    );
    assert_eq!(
        (told.customer.external_id.as_str(), told.customer.mail),
        ("user_7", hash("ada@example.com"))
    );
    assert_eq!(told.metadata.len(), 1);
}

#[test]
fn a_sale_is_keyed_by_its_invoice_or_its_call() {
    let sale = Track {
        lead_event_name: "Sign up".into(),
        lines: vec![TrackLine {
            product: "sku".into(),
            quantity: 2,
            amount: -100,
        }],
        event_name: String::new(),
        trust: "somebody".into(),
        ..call("sale")
    };
    let all = facts(&sale);
    assert_eq!(all[0].trust, "browser");
    let told = only!(all, Sale);
    assert_eq!(
        (told.external_id.as_str(), told.currency.as_str()),
        ("trk_1", "usd")
    );
    assert_eq!(
        (told.event_name.as_str(), told.lead_event_name.as_str()),
        ("Purchase", "Sign up")
    );
    let line = Line {
        product: "sku".into(),
        quantity: 2,
        amount: -100,
        ..Default::default()
    };
    assert_eq!(
        (told.amount, told.lines, told.coupon.as_str()),
        (4900, vec![line], "SAVE20")
    );
    let again = Track {
        invoice_id: "in_1".into(),
        ..sale
    };
    assert_eq!(only!(facts(&again), Sale).external_id, "in_1");
}

#[test]
fn an_address_as_external_id_is_an_e_mail_key() {
    let told = only!(
        facts(&Track {
            customer_external_id: "Grace+x@Example.com".into(),
            ..call("identify")
        }),
        Identify
    );
    assert_eq!(
        (told.customer.external_id.as_str(), told.customer.mail),
        ("", hash("grace@example.com"))
    );
    assert_eq!(told.click_id, CLICK);
}

#[test]
fn a_redemption_is_no_claim() {
    let all = facts(&call("redemption"));
    assert_eq!(claimed_click(&all[0]), None);
    let told = only!(all, Redemption);
    assert_eq!((told.cid.as_str(), told.coupon.as_str()), (CLICK, "SAVE20"));
    let alone = Track {
        click_id: String::new(),
        ..call("redemption")
    };
    assert_eq!(only!(facts(&alone), Redemption).cid, "trk_1");
}

#[test]
fn calls_that_state_nothing_are_refused() {
    type Change = fn(&mut Track);
    let table: [(&str, Change, &str); 14] = [
        (
            "lead",
            |t| t.event_name = " ".into(),
            "missing_field: track.event_name",
        ),
        (
            "lead",
            |t| t.event_quantity = 0,
            "invalid_field: track.event_quantity",
        ),
        (
            "lead",
            |t| t.click_id = "short".into(),
            "invalid_field: track.click_id",
        ),
        ("lead", forget, "missing_field: track.customer_external_id"),
        ("identify", forget, "missing_field: track.customer_external_id"),
        (
            "identify",
            |t| t.click_id.clear(),
            "missing_field: track.click_id",
        ),
        ("sale", |t| t.amount = -1, "negative_amount: track.amount"),
        (
            "sale",
            |t| t.amount = i64::MAX,
            "amount_out_of_range: track.amount",
        ),
        ("sale", |t| t.currency.clear(), "missing_field: track.currency"),
        (
            "sale",
            |t| t.currency = "$$$".into(),
            "invalid_field: track.currency",
        ),
        ("redemption", |t| t.coupon.clear(), "missing_field: track.coupon"),
        (
            "sale",
            |t| t.invoice_id = "of a@x.test".into(),
            "invalid_field: track.invoice_id",
        ),
        (
            "lead",
            |t| t.event_name = "x".repeat(501),
            "invalid_field: track.event_name",
        ),
        ("click", |_| {}, "unknown_kind: track.kind"),
    ];
    for (kind, change, expected) in table {
        let mut track = call(kind);
        change(&mut track);
        let found = verdict(&read(&track));
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
        assert!(REASONS.contains(&found.split(':').next().unwrap()));
    }
    let context = Context {
        settings: None,
        mail: &mail(),
    };
    let found = verdict(&normalize::track(&call("lead"), &context));
    assert!(found.starts_with("unknown_workspace: track.workspace"), "{found}");
}

fn forget(track: &mut Track) {
    track.customer_external_id.clear();
    track.customer_email = "no address".into();
}
