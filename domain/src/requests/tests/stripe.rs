//! Webhooks.

use tributary_avro::Config;

use super::*;

const EVENT: &str = "{\n  \"id\": \"evt_1\", \"object\": \"event\", \"type\": \"invoice.paid\", \"created\": 1760000000,\n  \"livemode\": false, \"api_version\": \"2025-03-31.basil\", \"data\": {\"object\": {\"é\": 1.50}}\n}\n";

fn sent(body: impl Into<Vec<u8>>) -> Sent<'static> {
    Sent {
        body: body.into(),
        ..Sent::post("/webhooks/stripe/acme", None, &Value::Null)
    }
}

fn event(accepted: &Accepted) -> &StripeEvent {
    match &accepted.record {
        Some(Owned::Event(event)) => event,
        other => panic!("one event expected, not {other:?}"),
    }
}

#[test]
fn an_event_goes_on_byte_for_byte() {
    let accepted = sent(EVENT).to(&directory()).unwrap();
    let expected = StripeEvent {
        id: "evt_1".into(),
        event_type: "invoice.paid".into(),
        workspace: "acme".into(),
        mode: "test".into(),
        account: String::new(),
        api_version: "2025-03-31.basil".into(),
        created: 1_760_000_000_000,
        received: AT,
        body: EVENT.as_bytes().to_vec(),
    };
    assert_eq!(event(&accepted), &expected);
    assert_eq!(accepted.response.status, 200);
    assert_eq!(body(&accepted), json!({"received": true}));
}

#[test]
fn connected_accounts_unknown_types_and_thin_events_are_accepted() {
    let told = r#"{"id":"evt_2","type":"moon.landed","created":1,"livemode":true,"account":"acct_1","api_version":null}"#;
    let accepted = sent(told).to(&directory()).unwrap();
    assert_eq!(event(&accepted).account, "acct_1");
    assert_eq!(event(&accepted).mode, "live");
    let thin = r#"{"id":"evt_3","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","created":"2025-01-02T03:04:05.678Z"}"#;
    assert_eq!(
        event(&sent(thin).to(&directory()).unwrap()).created,
        1_735_787_045_678
    );
    for (object, context, account) in [
        ("v2.core.event", r#""acct_1""#, "acct_1"),
        ("v2.core.event", r#""org_1/acct_2""#, "acct_2"),
        ("v2.core.event", r#""org_1""#, ""),
        ("v2.core.event", "null", ""),
        ("v2.core.event", "{}", ""),
        ("event", r#""acct_1""#, ""),
    ] {
        let told = format!(
            r#"{{"id":"evt_4","object":"{object}","type":"account.updated","created":1,"context":{context}}}"#
        );
        let accepted = sent(told).to(&directory()).unwrap();
        assert_eq!(event(&accepted).account, account, "{object} {context}");
    }
}

#[test]
fn a_large_invoice_passes_and_one_over_the_limit_does_not() {
    let padded = |length: usize| {
        let head = r#"{"id":"evt_4","type":"invoice.paid","created":1,"pad":""#;
        format!("{head}{}\"}}", "x".repeat(length - head.len() - 2))
    };
    let accepted = sent(padded(900_000)).to(&directory()).unwrap();
    assert_eq!(event(&accepted).body.len(), 900_000);
    assert!(sent(padded(1_000_000)).to(&directory()).is_ok());
    assert_eq!(sent(padded(1_000_001)).to(&directory()).unwrap_err().status, 413);
}

#[test]
fn bad_events() {
    let cases: [(&[u8], &str); 8] = [
        (b"{", "no Stripe event"),
        (b"", "no Stripe event"),
        (b"[]", "no Stripe event"),
        (br#"{"type":"a","created":1}"#, "id: a Stripe event has one"),
        (
            br#"{"id":"","type":"a","created":1}"#,
            "id: a Stripe event has one",
        ),
        (br#"{"id":"evt","created":1}"#, "type: a Stripe event has one"),
        (br#"{"id":"evt","type":"a"}"#, "created:"),
        (
            b"{\"id\":\"evt\",\"type\":\"a\",\"created\":1,\"x\":\"\xff\"}",
            "not UTF-8 from byte 40",
        ),
    ];
    for (told, message) in cases {
        let error = sent(told)
            .to(&directory())
            .map(|accepted| accepted.response)
            .expect_err(message);
        assert_eq!(error.status, 400, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    let nobody = Sent {
        path: "/webhooks/stripe/nobody",
        ..sent(EVENT)
    };
    assert_eq!(nobody.to(&directory()).unwrap_err().status, 404);
}

#[test]
fn signatures_are_checked_with_the_workspaces_secrets() {
    let secrets = |workspace: &str| match workspace {
        "acme" => vec![b"old".to_vec(), b"new".to_vec()],
        _ => Vec::new(),
    };
    let call = Call {
        at: AT,
        random: 1,
        signature: Signature::Secrets(&secrets),
        visitor_secret: b"",
        // Webhooks are not limited: Stripe sends them all from a few addresses.
        admit: &|_| panic!("asked for a webhook"),
        first: &|_, _| None,
    };
    let with = |signature: &str| {
        let sent = sent(EVENT);
        let sent = match signature {
            "" => sent,
            signature => sent.header("stripe-signature", signature),
        };
        sent.with(&directory(), &call)
            .map(|accepted| accepted.response.status)
    };
    let now = AT / 1000;
    let sign = |secret: &[u8], seconds| super::super::sign(EVENT.as_bytes(), secret, seconds);
    assert_eq!(with(&sign(b"new", now)), Ok(200));
    assert_eq!(with(&sign(b"old", now - 300)), Ok(200));
    for (signature, message) in [
        (String::new(), "missing header"),
        (sign(b"other", now), "no v1 signature matches"),
        (sign(b"new", now - 301), "300 seconds"),
        ("nonsense".to_owned(), "must be"),
    ] {
        let error = with(&signature).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn a_platforms_event_goes_to_the_workspace_of_its_account_if_both_agree() {
    let declared = |id: &str, more: Value| {
        let mut document = json!({"id": id});
        document
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Config {
            workspace: id.into(),
            kind: "workspace".into(),
            id: id.into(),
            document: document.to_string(),
            ..Config::default()
        }
    };
    let mut directory = directory();
    let connected = json!({"acct_1": "shop", "acct_2": "shop", "acct_3": "nowhere"});
    for config in [
        declared("acme", json!({"connected_workspaces": connected})),
        declared("shop", json!({"stripe_accounts": ["acct_1", "acct_9"]})),
    ] {
        directory.apply(&config).unwrap();
    }
    for (account, workspace) in [
        ("acct_1", "shop"),
        ("acct_2", "acme"),
        ("acct_3", "acme"),
        ("acct_9", "acme"),
    ] {
        let told = format!(r#"{{"id":"evt_1","type":"invoice.paid","created":1,"account":"{account}"}}"#);
        let accepted = sent(told).to(&directory).unwrap();
        assert_eq!(event(&accepted).workspace, workspace, "{account}");
    }
    let own = sent(EVENT).to(&directory).unwrap();
    assert_eq!(event(&own).workspace, "acme");
}
