//! What pages and apps tell: client calls, visits, opened apps, and the site's cookie.

use super::*;

const PUBLIC: Option<&str> = Some("Bearer pk_live");
const ID: &str = "0123456789abcdEF";

/// A workspace with a site of its own, whose links lie within it.
fn site() -> Directory {
    let mut file = program();
    file.workspace.allowed_hostnames = vec!["acme.example".to_owned(), "*.acme.example".to_owned()];
    file.workspace.cookie_domain = "acme.example".to_owned();
    let root = json!({"key": "_root", "url": "https://acme.example/"});
    file.links.push(serde_json::from_value(root).unwrap());
    Directory::from_program(&file)
}

fn lead() -> Value {
    json!({"eventName": "Sign up", "customerExternalId": "u_7"})
}

fn sale() -> Value {
    json!({"customerExternalId": "u_7", "amount": 4900, "invoiceId": "order-1"})
}

fn from_site(sent: Sent<'_>) -> Sent<'_> {
    sent.header("origin", "https://www.acme.example:8443")
}

#[test]
fn a_page_tells_leads_and_sales_as_a_browser() {
    let told = from_site(Sent::post("/track/lead/client", PUBLIC, &lead()))
        .header("cookie", "a=b; dub_id=0123456789abcdEF")
        .to(&site())
        .unwrap();
    let track = call(&told);
    assert_eq!(
        (track.kind.as_str(), track.trust.as_str(), track.mode.as_str()),
        ("lead", "browser", "live")
    );
    assert_eq!(
        (track.click_id.as_str(), &body(&told)["click"]["id"]),
        (ID, &json!(ID))
    );
    assert_eq!(track.at, AT);

    let mut other = lead();
    other["clickId"] = json!("0123456789abcdXX");
    let told = from_site(Sent::post("/track/lead/client", PUBLIC, &other))
        .header("cookie", "dub_id=0123456789abcdEF")
        .to(&site())
        .unwrap();
    assert_eq!(
        call(&told).click_id,
        "0123456789abcdXX",
        "what the page says goes first"
    );

    for cookie in ["", "dub_id=test", "xdub_id=0123456789abcdEF"] {
        let told = from_site(Sent::post("/track/lead/client", PUBLIC, &lead())).header("cookie", cookie);
        assert_eq!(call(&told.to(&site()).unwrap()).click_id, "", "{cookie:?}");
    }

    let told = from_site(Sent::post("/track/sale/client", PUBLIC, &sale()))
        .header("cookie", "dub_id=0123456789abcdEF")
        .to(&site())
        .unwrap();
    let track = call(&told);
    assert_eq!(
        (
            track.kind.as_str(),
            track.trust.as_str(),
            track.invoice_id.as_str(),
            track.click_id.as_str()
        ),
        ("sale", "browser", "order-1", ID)
    );
    assert_eq!(body(&told)["sale"]["amount"], 4900);
}

#[test]
fn client_calls_take_a_publishable_key_and_no_time() {
    for path in ["/track/lead/client", "/track/sale/client"] {
        for (key, more, expected) in [
            (
                None,
                json!(null),
                "401 unauthorized: Authorization: missing header",
            ),
            (
                Some("Bearer nobody"),
                json!(null),
                "401 unauthorized: Authorization: unknown API key",
            ),
            (
                Some("Bearer sk_live"),
                json!(null),
                "403 forbidden: Authorization: this path takes a publishable key",
            ),
            (
                PUBLIC,
                json!("2025-01-01T00:00:00Z"),
                "403 forbidden: timestamp: needs a secret key",
            ),
        ] {
            let mut told = sale();
            told["eventName"] = json!("Sign up");
            told["timestamp"] = more;
            let error = Sent::post(path, key, &told)
                .to(&directory())
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{path}: {error}");
        }
    }
}

#[test]
fn only_listed_pages_may_call() {
    let click = json!({"domain": "go.acme.example", "key": "ada"});
    let visit = json!({"domain": "go.acme.example"});
    let conversion = json!({"conversionTypeCode": "sale", "couponCode": "A", "amount": {"value": "1"}});
    for (path, key, told, must_tell) in [
        ("/track/click", None, &click, true),
        ("/track/click", PUBLIC, &click, true),
        ("/track/visit", None, &visit, true),
        ("/track/lead/client", PUBLIC, &lead(), true),
        ("/track/sale/client", PUBLIC, &sale(), true),
        ("/tracking/conversion/v1", PUBLIC, &conversion, false),
    ] {
        let answer = |name, value| {
            let sent = Sent::post(path, key, told).header(name, value);
            sent.to(&site())
                .map_or_else(|error| error.to_string(), |_| "taken".to_owned())
        };
        assert_eq!(answer("origin", "https://acme.example"), "taken", "{path}");
        assert_eq!(
            answer("referer", "https://shop.ACME.example/p?q"),
            "taken",
            "{path}"
        );
        for (name, page) in [
            ("origin", "https://evil.example"),
            ("referer", "https://acme.example.evil.example/"),
        ] {
            let error = answer(name, page);
            assert!(
                error.contains("is not among the workspace's allowed_hostnames (C9)"),
                "{path}: {error}"
            );
        }
        let error = answer("origin", "null");
        let expected = if must_tell {
            "403 forbidden: Origin: is required"
        } else {
            "taken"
        };
        assert!(error.starts_with(expected), "{path}: {error}");
    }
    // Servers have no page.
    Sent::post("/track/click", Some("Bearer sk_live"), &click)
        .to(&site())
        .unwrap();
    Sent::post("/tracking/conversion/v1", Some("Bearer sk_live"), &conversion)
        .to(&site())
        .unwrap();
}

#[test]
fn a_visit_is_a_click_of_the_domain_and_the_first_one_counts() {
    let told = json!({"domain": "go.acme.example", "url": "https://acme.example/?utm_source=ads",
        "referrer": "https://search.example/"});
    let visit = || from_site(Sent::post("/track/visit", None, &told));
    let accepted = visit().to(&site()).unwrap();
    let first = click(&accepted);
    assert_eq!((first.key.as_str(), first.trigger.as_str()), ("_root", "script"));
    assert_eq!(
        (first.utm_source.as_str(), first.referer.as_str()),
        ("ads", "search.example")
    );
    assert_eq!(first.partner_id, "");
    assert_eq!(body(&accepted), json!({"clickId": first.id}));

    let again = visit()
        .header("cookie", "dub_id=0123456789abcdEF")
        .to(&site())
        .unwrap();
    assert!(again.record.is_none(), "{again:?}");
    assert_eq!(body(&again), json!({"clickId": ID}));

    let error = Sent::post("/track/visit", None, &told)
        .to(&directory())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "404 not_found: domain: has no link `_root`, which counts its visits"
    );
    let followed = Sent::get("/").to(&site()).unwrap();
    assert_eq!(click(&followed).key, "_root");
}

#[test]
fn an_app_tells_by_which_link_it_was_opened() {
    let open = |told: &Value| Sent::post("/track/open", None, told).to(&directory());
    let accepted =
        open(&json!({"deepLink": "https://GO.acme.example/ada?x=1", "dubDomain": "go.acme.example"}))
            .unwrap();
    let opened = click(&accepted);
    assert_eq!(
        (opened.trigger.as_str(), opened.partner_id.as_str()),
        ("deeplink", "p_ada")
    );
    let link = json!({"id": "l_1", "domain": "go.acme.example", "key": "ada",
        "url": "https://acme.example/?utm_source=ada#top"});
    assert_eq!(body(&accepted), json!({"clickId": opened.id, "link": link}));

    let followed = open(&json!({"deepLink": format!("https://go.acme.example/ada?dub_id={ID}")})).unwrap();
    assert!(followed.record.is_none(), "the redirect recorded it");
    assert_eq!(body(&followed), json!({"clickId": ID, "link": link}));

    let nobody = open(&json!({"dubDomain": "go.acme.example"})).unwrap();
    assert!(nobody.record.is_none());
    assert_eq!(body(&nobody), json!({"clickId": null, "link": null}));

    for (told, expected) in [
        (
            json!({}),
            "422 unprocessable_entity: deepLink: is required, or dubDomain",
        ),
        (
            json!({"deepLink": "https://go.acme.example/nobody"}),
            "404 not_found: deepLink: there is no such link",
        ),
        (
            json!({"deepLink": "go.acme.example/ada"}),
            "404 not_found: deepLink: there is no such link",
        ),
        (
            json!({"deepLink": 7}),
            "422 unprocessable_entity: deepLink: must be a text",
        ),
    ] {
        assert_eq!(open(&told).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_cookie_is_the_sites_where_the_link_lies_within_it() {
    let own = "; Domain=acme.example; HttpOnly";
    let followed = Sent::get("/ada").to(&site()).unwrap();
    assert!(
        header(&followed.response, "set-cookie").ends_with(own),
        "{followed:?}"
    );
    let alone = Sent::get("/ada").to(&directory()).unwrap();
    assert!(
        header(&alone.response, "set-cookie").ends_with("SameSite=Lax"),
        "{alone:?}"
    );

    let told = json!({"domain": "go.acme.example", "key": "ada"});
    let sent = |host| Sent {
        host,
        ..from_site(Sent::post("/track/click", None, &told))
    };
    let accepted = sent("go.acme.example").to(&site()).unwrap();
    let cookie = header(&accepted.response, "set-cookie");
    assert!(
        cookie.starts_with(&format!("dub_id={}; ", click(&accepted).id)) && cookie.ends_with(own),
        "{cookie}"
    );
    // A cookie of another site would reach nobody.
    assert_eq!(
        header(
            &sent("api.other.example").to(&site()).unwrap().response,
            "set-cookie"
        ),
        ""
    );
    assert_eq!(
        header(
            &sent("go.acme.example").to(&directory()).unwrap().response,
            "set-cookie"
        ),
        ""
    );
}
