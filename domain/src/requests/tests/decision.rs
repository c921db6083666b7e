//! Decisions about commissions.

use tributary_avro::{Body, TrackCommand};

use super::track::refuse;
use super::*;
use crate::mail::MailKey;
use crate::normalize::{self, Context, Outcome};

const SECRET: Option<&str> = Some("Bearer sk_live");

fn patch<'a>(path: &'a str, key: Option<&'a str>, body: &Value) -> Sent<'a> {
    Sent {
        method: "PATCH",
        ..Sent::post(path, key, body)
    }
}

/// What was recorded and answered, and that every decision becomes the fact that the command line makes of it.
fn told(sent: &Sent<'_>) -> (Vec<TrackCommand>, Value) {
    let accepted = sent.to(&directory()).unwrap();
    let track = call(&accepted).clone();
    assert_eq!((track.kind.as_str(), track.trust.as_str()), ("command", "server"));
    assert_eq!((track.workspace.as_str(), track.mode.as_str()), ("acme", "live"));
    let settings = program().workspace;
    let context = Context {
        settings: Some(&settings),
        mail: &MailKey::new("k"),
    };
    let Ok(Outcome::Facts(facts)) = normalize::track(&track, &context) else {
        panic!("a dead letter: {track:?}");
    };
    for (fact, command) in facts.iter().zip(&track.commands) {
        let by_hand = normalize::command(command).unwrap();
        assert_eq!(fact.body, Body::Command(Box::new(by_hand)));
    }
    assert_eq!(facts.len(), track.commands.len());
    (track.commands, body(&accepted))
}

fn command(word: &str, names: &str) -> TrackCommand {
    TrackCommand {
        command: word.into(),
        names: names.into(),
        ..TrackCommand::default()
    }
}

#[test]
fn one_decision() {
    for (path, body, expected, answer) in [
        (
            "/commissions/in_1",
            json!({"status": "approved"}),
            command("approve", "in_1"),
            json!([{"id": "in_1", "status": "approved"}]),
        ),
        (
            "/commissions/order%201%2F2",
            json!({"status": "Rejected", "partnerId": "ada", "reason": "fraud"}),
            TrackCommand {
                partner_id: "ada".into(),
                reason: "fraud".into(),
                ..command("reject", "order 1/2")
            },
            json!([{"id": "order 1/2", "status": "rejected"}]),
        ),
        (
            "/commissions/lead:ext:u_1%2Fsign%20up",
            json!({"status": "paid", "partnerId": "ada", "amount": 200, "currency": "USD", "payoutId": "po_1"}),
            TrackCommand {
                object: "lead:ext:u_1/sign up".into(),
                partner_id: "ada".into(),
                amount: 200,
                currency: "usd".into(),
                payout_id: "po_1".into(),
                ..command("pay", "ext:u_1/sign up")
            },
            json!([{"id": "lead:ext:u_1/sign up", "status": "paid"}]),
        ),
        (
            "/commissions/clicks:l_1/ada/2026-01-31",
            json!({"status": "withheld"}),
            TrackCommand {
                object: "clicks:l_1/ada/2026-01-31".into(),
                ..command("withhold", "l_1/ada/2026-01-31")
            },
            json!([{"id": "clicks:l_1/ada/2026-01-31", "status": "withheld"}]),
        ),
        (
            "/commissions/ch_1",
            json!({"status": "refunded"}),
            command("refund", "ch_1"),
            json!([{"id": "ch_1", "status": "refunded"}]),
        ),
        (
            "/commissions/ch_1",
            json!({"status": "refunded", "amount": 5, "refundId": "back_1"}),
            TrackCommand {
                amount: 5,
                payout_id: "back_1".into(),
                ..command("refund", "ch_1")
            },
            json!([{"id": "ch_1", "status": "refunded"}]),
        ),
        (
            "/commissions/pi_1",
            json!({"status": "released"}),
            command("release", "pi_1"),
            json!([{"id": "pi_1", "status": "released"}]),
        ),
    ] {
        assert_eq!(
            told(&patch(path, SECRET, &body)),
            (vec![expected], answer),
            "{path}"
        );
    }
}

#[test]
fn many_at_once() {
    let body = json!({"timestamp": "2025-01-02T03:04:05Z", "commissions": [
        {"id": "in_1", "status": "approved"},
        {"id": "in_2", "status": "rejected", "reason": "fraud"},
    ]});
    let sent = patch("/commissions/bulk", SECRET, &body);
    let (commands, answer) = told(&sent);
    assert_eq!(commands.len(), 2);
    assert_eq!(
        answer,
        json!([{"id": "in_1", "status": "approved"}, {"id": "in_2", "status": "rejected"}])
    );
    assert_eq!(call(&sent.to(&directory()).unwrap()).at, 1_735_787_045_000);
    let all = |n: usize| -> Value {
        let entry =
            |i: usize| json!({"id": format!("in_{i}"), "status": "withheld", "reason": "x".repeat(200)});
        json!({"commissions": (0..n).map(entry).collect::<Vec<_>>()})
    };
    // As many as there may be are more than other calls may hold.
    assert!(all(1000).to_string().len() > API_BODY_LIMIT);
    assert_eq!(
        told(&patch("/commissions/bulk", SECRET, &all(1000))).0.len(),
        1000
    );
    let paid = |payout: &str| {
        json!({"id": "in_1", "status": "paid", "partnerId": "ada", "amount": 1, "currency": "usd",
            "payoutId": payout})
    };
    let twice = json!({"commissions": [paid("po_1"), paid("po_2")]});
    assert_eq!(told(&patch("/commissions/bulk", SECRET, &twice)).0.len(), 2);
    for (body, status, message) in [
        (json!({}), 422, "commissions: must have 1 to 1000"),
        (json!({"commissions": {}}), 422, "commissions: must be a list"),
        (
            json!({"commissions": [7]}),
            422,
            "commissions[0]: must be an object",
        ),
        (all(0), 422, "commissions: must have 1 to 1000"),
        (all(1001), 422, "commissions: must have 1 to 1000"),
        (
            json!({"commissions": [{"status": "approved"}]}),
            422,
            "commissions[0]: id: is required",
        ),
        (
            json!({"commissions": [{"id": "in_1", "status": "approved"}, {"id": "in_1", "status": "released"}]}),
            422,
            "commissions[1]: id: stands twice",
        ),
        (
            json!({"commissions": [{"id": "in_1", "status": "rejected", "reason": "test"},
                {"id": "in_1", "status": "approved", "partnerId": "ada"}]}),
            422,
            "commissions[1]: id: stands twice",
        ),
    ] {
        let error = patch("/commissions/bulk", SECRET, &body)
            .to(&directory())
            .unwrap_err();
        assert!(
            error.status == status && error.message.contains(message),
            "{error}"
        );
    }
}

#[test]
fn a_custom_commission() {
    let body = json!({"partnerId": "ada", "amount": -500, "reason": "chargeback fee", "id": "fee-1"});
    let (commands, answer) = told(&Sent::post("/commissions", SECRET, &body));
    let expected = TrackCommand {
        object: "custom:fee-1".into(),
        partner_id: "ada".into(),
        amount: -500,
        currency: "usd".into(),
        reason: "chargeback fee".into(),
        ..command("custom", "fee-1")
    };
    assert_eq!(commands, [expected]);
    assert_eq!(answer, json!([{"id": "custom:fee-1", "status": "pending"}]));
    // Its answer's ID finds it again.
    let (commands, _) = told(&patch(
        "/commissions/custom:fee-1",
        SECRET,
        &json!({"status": "approved"}),
    ));
    assert_eq!(commands[0].object, "custom:fee-1");
    let (commands, _) = told(&Sent::post(
        "/commissions",
        SECRET,
        &json!({"partnerId": "ada", "amount": 500, "currency": "EUR", "reason": "bonus"}),
    ));
    assert_eq!(commands[0].names, crate::click_id::new(AT, 42));
    assert_eq!(commands[0].currency, "eur");
    let with = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    let cases = [
        (None, body.clone(), 401, "missing header"),
        (Some("Bearer pk_live"), body.clone(), 403, "publishable"),
        (SECRET, with("amount", json!(0)), 422, "amount: is required"),
        (
            SECRET,
            with("amount", json!("5")),
            422,
            "amount: must be a whole number",
        ),
        (SECRET, with("amount", json!(i64::MAX)), 422, "amount: is beyond"),
        (
            SECRET,
            with("amount", json!(i64::MIN)),
            422,
            "amount: must be at least",
        ),
        (
            SECRET,
            with("partnerId", json!(" ")),
            422,
            "partnerId: is required",
        ),
        (SECRET, with("reason", json!("")), 422, "reason: is required (F7)"),
        (
            SECRET,
            with("reason", json!("see a@x.test")),
            422,
            "reason: must hold no e-mail address",
        ),
        (
            SECRET,
            with("currency", json!("dollars")),
            422,
            "currency: must be an ISO 4217",
        ),
        (
            SECRET,
            with("id", json!("a@x.test")),
            422,
            "id: must hold no e-mail address",
        ),
    ];
    refuse("/commissions", &cases);
}

#[test]
fn bad_decisions() {
    let paid =
        json!({"status": "paid", "partnerId": "ada", "amount": 1, "currency": "usd", "payoutId": "po_1"});
    let without = |name: &str| {
        let mut body = paid.clone();
        body[name] = Value::Null;
        body
    };
    for (key, path, body, status, message) in [
        (None, "/commissions/in_1", json!({}), 401, "missing header"),
        (
            Some("Bearer pk_live"),
            "/commissions/in_1",
            json!({}),
            403,
            "publishable",
        ),
        (SECRET, "/commissions/in_1", json!({}), 422, "status: is required"),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "lost"}),
            422,
            "status: must be approved, rejected",
        ),
        (
            SECRET,
            "/commissions/%20",
            json!({"status": "approved"}),
            422,
            "id: is required",
        ),
        (
            SECRET,
            "/commissions/a%40x.test",
            json!({"status": "approved"}),
            422,
            "id: must hold no e-mail",
        ),
        (
            SECRET,
            "/commissions/in_1",
            without("partnerId"),
            422,
            "partnerId: is required with this status",
        ),
        (
            SECRET,
            "/commissions/in_1",
            without("amount"),
            422,
            "amount: is required with this status",
        ),
        (
            SECRET,
            "/commissions/in_1",
            without("currency"),
            422,
            "currency: is required with this status",
        ),
        (
            SECRET,
            "/commissions/in_1",
            without("payoutId"),
            422,
            "payoutId: is required with this status",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "rejected"}),
            422,
            "reason: is required",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "approved", "amount": 5}),
            422,
            "amount: is for",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "approved", "amount": 0}),
            422,
            "amount: must be at least 1",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "released", "payoutId": "p"}),
            422,
            "payoutId: is for",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "refunded", "amount": 5}),
            422,
            "refundId: is required",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "refunded", "amount": 5, "refundId": "back_1", "currency": "usd"}),
            422,
            "currency: is for status paid",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "refunded", "partnerId": "ada"}),
            422,
            "partnerId: a refund is of the sale",
        ),
        (
            SECRET,
            "/commissions/lead:ext:u%2Fe",
            json!({"status": "refunded"}),
            422,
            "status: a payment is refunded",
        ),
        (
            SECRET,
            "/commissions/in_1",
            json!({"status": "approved", "timestamp": "2099-01-01T00:00:00Z"}),
            422,
            "timestamp: lies in the future",
        ),
    ] {
        let error = patch(path, key, &body).to(&directory()).unwrap_err();
        assert!(
            error.status == status && error.message.contains(message),
            "{path} {body}: {error}"
        );
    }
}
