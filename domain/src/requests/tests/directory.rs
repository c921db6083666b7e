//! The directory from records of topic config.

use tributary_avro::Config;

use super::*;

fn config(workspace: &str, kind: &str, id: &str, at: i64, document: Value) -> Config {
    Config {
        workspace: workspace.into(),
        kind: kind.into(),
        id: id.into(),
        at,
        document: document.to_string(),
        ..Config::default()
    }
}

fn location(directory: &Directory, host: &str, key: &str) -> String {
    let path = format!("/{key}");
    let sent = Sent {
        host,
        path: &path,
        ..Sent::get("")
    };
    match sent.to(directory) {
        Ok(accepted) => header(&accepted.response, "location")
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => error.status.to_string(),
    }
}

#[test]
fn records_come_in_any_order_and_change_and_go() {
    let link = |url: &str| config("a", "link", "l", 5, json!({"key": "k", "url": url}));
    let workspace = config(
        "a",
        "workspace",
        "a",
        1,
        json!({"id": "a", "domains": ["a.example"]}),
    );
    let mut directory = Directory::default();
    directory.apply(&link("https://one.example")).unwrap();
    assert_eq!(location(&directory, "a.example", "k"), "404");
    directory.apply(&workspace).unwrap();
    assert_eq!(location(&directory, "a.example", "k"), "https://one.example");
    let before = directory.clone();
    directory.apply(&link("https://two.example")).unwrap();
    assert_eq!(location(&directory, "a.example", "k"), "https://two.example");
    assert_eq!(location(&before, "a.example", "k"), "https://one.example");
    let moved = config(
        "a",
        "link",
        "l",
        6,
        json!({"key": "moved", "url": "https://two.example"}),
    );
    directory.apply(&moved).unwrap();
    assert_eq!(location(&directory, "a.example", "k"), "404");
    assert_eq!(location(&directory, "a.example", "moved"), "https://two.example");
    let gone = Config {
        deleted: true,
        ..moved
    };
    directory.apply(&gone).unwrap();
    assert_eq!(location(&directory, "a.example", "moved"), "404");
    assert_eq!(directory.links(), 0);
    assert!(
        directory
            .apply(&config("a", "link", "x", 1, json!({"ky": 1})))
            .is_err()
    );
}

#[test]
fn nobody_takes_over_anothers_domain_or_link() {
    let mut directory = Directory::default();
    for name in ["a", "b"] {
        let domain = format!("{name}.example");
        directory
            .apply(&config(
                name,
                "workspace",
                name,
                1,
                json!({"id": name, "domains": [domain]}),
            ))
            .unwrap();
    }
    let link = |workspace: &str, domain: &str, at: i64| {
        let url = format!("https://{workspace}.target");
        config(
            workspace,
            "link",
            &format!("{domain}/k"),
            at,
            json!({"key": "k", "domain": domain, "url": url}),
        )
    };
    directory.apply(&link("b", "a.example", 1)).unwrap();
    assert_eq!(location(&directory, "a.example", "k"), "404");
    for (at, workspace) in [(7, "a"), (8, "b"), (9, "a")] {
        directory.apply(&link(workspace, "free.example", at)).unwrap();
    }
    assert_eq!(location(&directory, "free.example", "k"), "https://a.target");
}

#[test]
fn keys_end_with_their_workspace() {
    let mut directory = directory();
    let lead = json!({"clickId": "0123456789abcdEF", "eventName": "e", "customerExternalId": "u"});
    let sent = Sent::post("/track/lead", Some("bearer sk_live"), &lead);
    assert!(sent.to(&directory).is_ok());
    directory.remove("acme", "workspace", "acme");
    assert_eq!(sent.to(&directory).unwrap_err().status, 401);
    assert!(!directory.has_workspace("acme"));
}

#[test]
fn types_and_origins_change_and_go_with_their_program() {
    let mut directory = directory();
    let origin = |directory: &Directory| directory.program_of_origin("acme", "app").map(str::to_owned);
    let demo = |directory: &Directory, code| directory.conversion_type("acme", code).is_some();
    assert_eq!((origin(&directory), demo(&directory, "Demo")), (None, true));
    let program = |id: &str, document| config("acme", "program", id, 2, document);
    let second = json!({"id": "second", "revenue_origins": ["app"],
        "conversion_types": [{"code": "trial", "as": "lead"}]});
    directory.apply(&program("second", second)).unwrap();
    directory.apply(&program("main", json!({"id": "main"}))).unwrap();
    assert_eq!(origin(&directory).as_deref(), Some("second"));
    assert!(demo(&directory, "TRIAL") && !demo(&directory, "demo"));
    assert!(directory.conversion_type("other", "trial").is_none());
    directory.remove("acme", "program", "second");
    assert_eq!((origin(&directory), demo(&directory, "trial")), (None, false));
    assert!(
        directory
            .apply(&program("main", json!({"id": "main", "no": 1})))
            .is_err()
    );
}
