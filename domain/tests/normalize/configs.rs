//! Declared objects.

use tributary_avro::{Body, Config};
use tributary_domain::normalize::{self, Outcome, claimed_click};

use crate::support::{hash, mail, verdict};

fn coupon() -> Config {
    Config {
        workspace: "acme".into(),
        kind: "coupon".into(),
        id: "SAVE20".into(),
        at: 7,
        modes: vec!["test".into(), "live".into(), "live".into()],
        from: Some(5),
        deleted: false,
        document: r#"{"code":"SAVE20","partner":"p_1"}"#.into(),
    }
}

#[test]
fn a_declaration_is_a_rule_in_each_mode() {
    let Ok(Outcome::Facts(facts)) = normalize::config(&coupon(), &mail()) else {
        panic!("no facts");
    };
    let modes: Vec<&str> = facts.iter().map(|f| f.mode.as_str()).collect();
    assert_eq!(modes, ["live", "test"]);
    assert_ne!(facts[0].id, facts[1].id);
    for fact in &facts {
        assert_eq!(
            (fact.workspace.as_str(), fact.at, fact.trust.as_str()),
            ("acme", 7, "operator")
        );
        assert_eq!(claimed_click(fact), None);
        let Body::Rule(rule) = &fact.body else {
            panic!("{fact:?}");
        };
        assert_eq!(
            (rule.kind.as_str(), rule.id.as_str(), rule.from),
            ("coupon", "SAVE20", Some(5))
        );
        assert_eq!(rule.document, coupon().document);
    }
}

#[test]
fn declarations_that_no_engine_could_read_are_refused() {
    type Change = fn(&mut Config);
    let table: [(Change, &str); 6] = [
        (|c| c.kind = "reward".into(), "unknown_kind: config.kind"),
        (|c| c.document = "{".into(), "invalid_document: config.document"),
        (
            |c| c.document = r#"{"code":"A"}"#.into(),
            "invalid_document: config.document: missing field `partner`",
        ),
        (
            |c| c.document = r#"{"code":"A","partner":"p","percnt":1}"#.into(),
            "invalid_document: config.document: unknown field `percnt`",
        ),
        (|c| c.modes.clear(), "missing_field: config.modes"),
        (|c| c.id.clear(), "missing_field: config.id"),
    ];
    for (change, expected) in table {
        let mut config = coupon();
        change(&mut config);
        let found = verdict(&normalize::config(&config, &mail()));
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
    }
    let mut gone = coupon();
    gone.deleted = true;
    gone.document.clear();
    assert_eq!(verdict(&normalize::config(&gone, &mail())), "Rule + Rule");
}

#[test]
fn a_partners_address_becomes_its_hash() {
    let partner = Config {
        kind: "partner".into(),
        id: "ada".into(),
        document: r#"{"id":"ada","email":"Ada+x@home.test"}"#.into(),
        ..coupon()
    };
    let Ok(Outcome::Facts(facts)) = normalize::config(&partner, &mail()) else {
        panic!("no facts");
    };
    let Body::Rule(rule) = &facts[0].body else {
        panic!("{facts:?}");
    };
    assert!(!rule.document.contains('@'), "{}", rule.document);
    assert!(
        rule.document.contains(&hash("ada@home.test")),
        "{}",
        rule.document
    );
}

#[test]
fn rates_must_be_numbers() {
    let rates = |document: &str| {
        let config = Config {
            kind: "fx".into(),
            document: document.into(),
            ..coupon()
        };
        verdict(&normalize::config(&config, &mail()))
    };
    assert_eq!(
        rates(r#"{"date":"2026-01-02","base":"eur","rates":{"usd":"1.1"}}"#),
        "Rule + Rule"
    );
    for document in [
        r#"{"date":"2026-01-02","base":"eur","rates":{"usd":"N/A"}}"#,
        r#"{"date":"2026-13-02","base":"eur","rates":{}}"#,
        r#"{"date":"2026-01-02","base":"EUR","rates":{}}"#,
    ] {
        assert!(rates(document).starts_with("invalid_document"), "{document}");
    }
}
