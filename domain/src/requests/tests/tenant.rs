//! Whose call it is, and the tenant's clicks.

use super::*;

fn two() -> Directory {
    let mut directory = directory();
    let other = json!({"workspace": {"id": "other", "modes": ["prod", "test"], "domains": ["acme.shop.example"],
        "api_keys": [{"name": "s", "sha256": hash("sk_other"), "mode": "prod"}]}});
    let other: ProgramFile = serde_json::from_value(other).unwrap();
    for config in other.configs(1) {
        directory.apply(&config).unwrap();
    }
    directory
}

/// Workspace, mode and trust of a sale, or why it was refused.
fn told(sent: &Sent<'_>) -> String {
    match sent.to(&two()) {
        Ok(accepted) => {
            let track = call(&accepted);
            format!("{} {} {}", track.workspace, track.mode, track.trust)
        }
        Err(error) => error.to_string(),
    }
}

fn sale(key: Option<&'static str>, tenant: Value) -> Sent<'static> {
    let body = json!({"tenantId": tenant, "conversionTypeCode": "sale", "couponCode": "SAVE20",
        "amount": {"value": "1"}});
    Sent {
        host: "api.example",
        ..Sent::post("/tracking/conversion/v1", key, &body)
    }
}

#[test]
fn a_key_reaches_its_own_workspace_only() {
    let none = Value::Null;
    let own = "acme live server";
    let foreign = "the API key belongs to another workspace";
    let key = Some("Bearer sk_live");
    let at = |host, key, tenant| Sent {
        host,
        ..sale(key, tenant)
    };
    for (sent, expected) in [
        (sale(key, none.clone()), own),
        (sale(key, json!("acme")), own),
        (sale(Some("Bearer sk_test"), none.clone()), "acme test server"),
        (sale(Some("Bearer sk_other"), json!("other")), "other prod server"),
        (sale(Some("Bearer pk_live"), none.clone()), "acme live browser"),
        (sale(key, json!("other")), foreign),
        (sale(key, json!("nobody")), foreign),
        (sale(key, none.clone()).header("x-tenant-id", "other"), foreign),
        (sale(Some("Bearer pk_live"), json!("other")), foreign),
        (at("other.api.example:8080", key, none.clone()), foreign),
        // A host of short links names nobody by its label.
        (
            at("acme.shop.example", Some("Bearer sk_other"), none.clone()),
            "other prod server",
        ),
        (sale(Some("Bearer nobody"), json!("acme")), "unknown API key"),
        (sale(None, json!("acme")), "acme live browser"),
        (
            sale(None, none.clone()).header("x-tenant-id", "other"),
            "other prod browser",
        ),
        (at("other.api.example", None, none.clone()), "other prod browser"),
        (
            at("acme.shop.example", None, none.clone()),
            "422 unprocessable_entity: tenantId: is required",
        ),
        (
            sale(None, none.clone()),
            "422 unprocessable_entity: tenantId: is required",
        ),
        (sale(None, json!("nobody")), "404 not_found: tenantId"),
        (sale(None, json!(7)), "tenantId: must be a text"),
        (
            sale(None, json!("acme")).header("x-tenant-id", "other"),
            "the call names two workspaces",
        ),
    ] {
        let found = told(&sent);
        assert!(found.contains(expected), "{found:?} is not {expected:?}");
    }
    assert!(
        told(&sale(key, json!("other"))).starts_with("403"),
        "not the right status"
    );
    let in_query = Sent {
        query: Some("a=b&tenantId=acm%65"),
        ..sale(None, none)
    };
    assert_eq!(told(&in_query), "acme live browser");
}

#[test]
fn a_click_of_a_tenant() {
    let path = "/tracking/click/v1";
    let page = "https://acme.example/p?x=1&via=ada&utm_medium=x#top";
    for (key, told, expected) in [
        (
            None,
            json!({"tenantId": "acme", "linkId": "l_1"}),
            ("ada", "script", "live"),
        ),
        (
            None,
            json!({"tenantId": "acme", "domain": "go.acme.example", "key": "ada"}),
            ("ada", "script", "live"),
        ),
        (
            Some("Bearer sk_test"),
            json!({"url": page}),
            ("ada", "api", "test"),
        ),
    ] {
        let accepted = Sent::post(path, key, &told).to(&directory()).unwrap();
        let click = click(&accepted);
        assert_eq!(
            (click.key.as_str(), click.trigger.as_str(), click.mode.as_str()),
            expected
        );
        assert_eq!(click.partner_id, "p_ada");
        assert_eq!(body(&accepted), json!({"cid": click.id}));
        if let Some(url) = told["url"].as_str() {
            assert_eq!((click.url.as_str(), click.utm_medium.as_str()), (url, "x"));
        }
    }
    for (told, status, message) in [
        (json!({"tenantId": "acme"}), 422, "one of linkId, key"),
        (json!({"tenantId": "acme", "linkId": "l_9"}), 404, "no such link"),
        (
            json!({"tenantId": "acme", "url": "https://a.example/?ref=eve"}),
            404,
            "no such link",
        ),
        (json!({"linkId": "l_1"}), 422, "tenantId"),
    ] {
        let error = Sent::post(path, None, &told).to(&directory()).unwrap_err();
        assert!(
            error.status == status && error.message.contains(message),
            "{told}: {error}"
        );
    }
    let foreign = json!({"tenantId": "other", "domain": "go.acme.example", "key": "ada"});
    assert_eq!(
        Sent::post(path, None, &foreign).to(&two()).unwrap_err().status,
        404
    );
}
