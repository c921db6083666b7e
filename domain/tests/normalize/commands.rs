//! Decisions that come by API.

use tributary_avro::{Body, CommandFact, Fact, Track, TrackCommand};
use tributary_domain::fact::Origin;
use tributary_domain::normalize::{self, Context, Outcome, REASONS, Rejection, claimed_click};
use tributary_domain::tenant::Tenant;

use crate::support::{CREATED, mail, verdict, workspace};

fn call(commands: Vec<TrackCommand>) -> Track {
    Track {
        id: "trk_1".into(),
        workspace: "acme".into(),
        mode: "live".into(),
        kind: "command".into(),
        at: CREATED,
        trust: "server".into(),
        commands,
        ..Default::default()
    }
}

fn told(command: &str) -> TrackCommand {
    TrackCommand {
        command: command.into(),
        names: "in_1".into(),
        partner_id: if command == "refund" { "" } else { "ada" }.into(),
        amount: 900,
        currency: "USD".into(),
        payout_id: "po_1".into(),
        reason: "as agreed".into(),
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

fn decided(fact: &Fact) -> &CommandFact {
    match &fact.body {
        Body::Command(command) => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_decision_is_a_fact() {
    let words = [
        "approve", "reject", "withhold", "release", "pay", "custom", "refund",
    ];
    let track = call(words.map(told).to_vec());
    let all = facts(&track);
    assert_eq!(all, facts(&track));
    let found: Vec<&str> = all.iter().map(|fact| decided(fact).command.as_str()).collect();
    assert_eq!(found, words);
    for fact in &all {
        assert_eq!(
            (fact.at, fact.source.as_str(), fact.trust.as_str()),
            (CREATED, "trk_1", "server")
        );
        assert_eq!(claimed_click(fact), None);
    }
    let (paid, custom, refund) = (decided(&all[4]), decided(&all[5]), decided(&all[6]));
    assert_eq!(
        (paid.amount, paid.currency.as_str(), paid.payout_id.as_str()),
        (900, "usd", "po_1")
    );
    assert_eq!(
        (custom.object.as_str(), custom.payout_id.as_str()),
        ("custom:in_1", "")
    );
    assert_eq!(
        (
            refund.amount,
            refund.partner_id.as_str(),
            refund.payout_id.as_str()
        ),
        (900, "", "po_1")
    );
    let rest = TrackCommand {
        amount: 0,
        currency: String::new(),
        ..told("refund")
    };
    assert_eq!(decided(&facts(&call(vec![rest]))[0]).amount, 0);
}

/// A fact's ID is made of tenant, time and body: who told it stands beside it.
#[test]
fn the_command_line_states_the_same() {
    for word in ["approve", "pay", "custom"] {
        let by_api = facts(&call(vec![told(word)]));
        let by_hand = Origin {
            tenant: Tenant::new("acme", "live"),
            at: CREATED,
            source: "command line".into(),
            trust: "operator",
        }
        .fact(Body::Command(Box::new(normalize::command(&told(word)).unwrap())));
        assert_eq!(by_api[0].id, by_hand.id, "{word}");
    }
}

#[test]
fn a_sale_brings_decisions_about_itself() {
    let sale = Track {
        kind: "sale".into(),
        invoice_id: "in_1".into(),
        currency: "usd".into(),
        amount: 900,
        commands: vec![TrackCommand {
            partner_id: String::new(),
            ..told("reject")
        }],
        ..call(Vec::new())
    };
    let all = facts(&sale);
    assert!(matches!(&all[0].body, Body::Sale(_)));
    let decision = decided(&all[1]);
    assert_eq!(
        (decision.command.as_str(), decision.names.as_str()),
        ("reject", "in_1")
    );
    assert_eq!(decision.partner_id, "");
    let browser = Track {
        trust: "browser".into(),
        ..sale
    };
    let found = verdict(&read(&browser));
    assert!(
        found.starts_with("invalid_field: track.trust: must be server"),
        "{found}"
    );
}

#[test]
fn decisions_that_state_nothing_are_refused() {
    type Change = fn(&mut Track);
    let table: [(&str, Change, &str); 18] = [
        (
            "approve",
            |t| t.trust = "browser".into(),
            "invalid_field: track.trust",
        ),
        (
            "approve",
            |t| t.commands.clear(),
            "missing_field: track.commands:",
        ),
        (
            "approve",
            |t| t.commands = vec![told("approve"); 1001],
            "invalid_field: track.commands: must be at most 1000",
        ),
        (
            "approve",
            |t| t.kind = "identify".into(),
            "missing_field: track.click_id",
        ),
        (
            "approve",
            |t| t.kind = "lead".into(),
            "missing_field: track.event_name",
        ),
        (
            "approve",
            |t| t.commands[0].names = " ".into(),
            "missing_field: track.commands.names",
        ),
        (
            "approve",
            |t| t.commands[0].names = "of a@x.test".into(),
            "invalid_field: track.commands.names",
        ),
        (
            "approve",
            |t| t.commands[0].reason = "x".repeat(501),
            "invalid_field: track.commands.reason",
        ),
        (
            "pay",
            |t| t.commands[0].payout_id = "a@x.test".into(),
            "invalid_field: track.commands.payout_id",
        ),
        (
            "pay",
            |t| t.commands[0].payout_id.clear(),
            "missing_field: track.commands.payout_id",
        ),
        (
            "pay",
            |t| t.commands[0].partner_id.clear(),
            "missing_field: track.commands.partner_id",
        ),
        (
            "pay",
            |t| t.commands[0].currency.clear(),
            "missing_field: track.commands.currency",
        ),
        (
            "pay",
            |t| t.commands[0].amount = i64::MIN,
            "amount_out_of_range: track.commands.amount",
        ),
        (
            "custom",
            |t| t.commands[0].reason.clear(),
            "missing_field: track.commands.reason",
        ),
        (
            "custom",
            |t| t.commands[0].amount = 0,
            "invalid_field: track.commands.amount",
        ),
        (
            "refund",
            |t| t.commands[0].amount = -1,
            "negative_amount: track.commands.amount",
        ),
        (
            "refund",
            |t| t.commands[0].payout_id.clear(),
            "missing_field: track.commands.payout_id",
        ),
        ("forgive", |_| {}, "unknown_kind: track.commands.command"),
    ];
    for (word, change, expected) in table {
        let mut track = call(vec![told(word)]);
        change(&mut track);
        let found = verdict(&read(&track));
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
        assert!(REASONS.contains(&found.split(':').next().unwrap()));
    }
    let lead = Track {
        kind: "lead".into(),
        event_name: "Sign up".into(),
        customer_external_id: "u_1".into(),
        event_quantity: 1,
        ..call(vec![told("approve")])
    };
    let found = verdict(&read(&lead));
    assert!(
        found.starts_with("invalid_field: track.commands: must be empty"),
        "{found}"
    );
}
