//! Tracking calls.

use super::*;

const SECRET: Option<&str> = Some("Bearer sk_live");
const ID: &str = "0123456789abcdEF";

fn lead() -> Value {
    json!({"clickId": ID, "eventName": "Sign up", "customerExternalId": "u_7"})
}

fn sale() -> Value {
    json!({"customerExternalId": "u_7", "amount": 4900})
}

fn with(mut value: Value, name: &str, field: Value) -> Value {
    value[name] = field;
    value
}

#[test]
fn a_click_of_the_script() {
    let told = json!({"domain": "go.acme.example", "key": "ada", "url": "https://acme.example/p?utm_medium=x",
        "referrer": "https://news.example/", "somethingElse": 1});
    let accepted = Sent::post("/track/click", None, &told).to(&directory()).unwrap();
    let click = click(&accepted);
    assert_eq!(click.trigger, "script");
    assert_eq!(click.url, "https://acme.example/p?utm_medium=x");
    assert_eq!((click.utm_source.as_str(), click.utm_medium.as_str()), ("", "x"));
    assert_eq!(click.referer, "news.example");
    assert_eq!(
        body(&accepted),
        json!({
            "clickId": click.id,
            "partner": {"id": "p_ada", "name": "Ada \"A\"", "image": null},
            "discount": null,
        })
    );
}

#[test]
fn a_click_is_imported_with_its_id_and_time() {
    let told = json!({"domain": "go.acme.example", "key": "pay", "clickId": ID, "timestamp": "2025-01-02T03:04:05Z"});
    let accepted = Sent::post("/track/click", Some("Bearer sk_test"), &told)
        .to(&directory())
        .unwrap();
    let click = click(&accepted);
    assert_eq!((click.id.as_str(), click.at), (ID, 1_735_787_045_000));
    assert_eq!((click.mode.as_str(), click.trigger.as_str()), ("test", "api"));
    assert_eq!(click.received, AT);
    assert_eq!(body(&accepted)["partner"], Value::Null);
}

#[test]
fn bad_clicks() {
    let good = json!({"domain": "go.acme.example", "key": "ada"});
    let long = "x".repeat(256);
    let cases = [
        (None, json!({"key": "ada"}), 422, "domain: is required"),
        (
            None,
            with(good.clone(), "domain", Value::Null),
            422,
            "domain: is required",
        ),
        (
            None,
            with(good.clone(), "key", json!(7)),
            422,
            "key: must be a text",
        ),
        (
            None,
            with(good.clone(), "key", json!(long)),
            422,
            "key: must have at most 255",
        ),
        (
            None,
            with(good.clone(), "key", json!("none")),
            404,
            "there is no such link",
        ),
        (
            None,
            with(good.clone(), "clickId", json!(ID)),
            403,
            "clickId: needs a secret key",
        ),
        (
            Some("Bearer pk_live"),
            with(good.clone(), "timestamp", json!("2025-01-01T00:00:00Z")),
            403,
            "timestamp:",
        ),
        (
            SECRET,
            with(good.clone(), "timestamp", json!("yesterday")),
            422,
            "RFC 3339",
        ),
        (
            SECRET,
            with(good.clone(), "timestamp", json!("2099-01-01T00:00:00Z")),
            422,
            "future",
        ),
        (
            SECRET,
            with(good.clone(), "clickId", json!("short")),
            422,
            "clickId: must have 16",
        ),
        (Some("Bearer nobody"), good.clone(), 401, "unknown API key"),
        (Some("Basic x"), good, 401, "Bearer"),
        (None, json!([]), 400, "must be a JSON object"),
    ];
    refuse("/track/click", &cases);
}

#[test]
fn a_lead() {
    let told = with(
        with(lead(), "metadata", json!({"plan": "pro", "seats": 3})),
        "customerEmail",
        json!("a@b.example"),
    );
    let accepted = Sent::post("/track/lead", SECRET, &told).to(&directory()).unwrap();
    let call = call(&accepted);
    assert_eq!((call.kind.as_str(), call.trust.as_str()), ("lead", "server"));
    assert_eq!((call.workspace.as_str(), call.mode.as_str()), ("acme", "live"));
    assert_eq!(
        (
            call.click_id.as_str(),
            call.lead_mode.as_str(),
            call.event_quantity
        ),
        (ID, "async", 1)
    );
    assert_eq!(call.metadata["seats"], "3");
    assert_eq!(
        body(&accepted),
        json!({"click": {"id": ID}, "link": null,
            "customer": {"name": null, "email": "a@b.example", "avatar": null, "externalId": "u_7"}})
    );
    let deferred = with(with(lead(), "clickId", json!("")), "mode", json!("deferred"));
    assert!(
        Sent::post("/track/lead", SECRET, &deferred)
            .to(&directory())
            .is_ok()
    );
    let old_name =
        json!({"clickId": ID, "eventName": "Sign up", "externalId": "u_8", "customerExternalId": null});
    let accepted = Sent::post("/track/lead", SECRET, &old_name)
        .to(&directory())
        .unwrap();
    assert_eq!(self::call(&accepted).customer_external_id, "u_8");
}

#[test]
fn bad_leads() {
    let cases = [
        (None, lead(), 401, "missing header"),
        (Some("Bearer pk_live"), lead(), 403, "publishable"),
        (
            SECRET,
            with(lead(), "clickId", Value::Null),
            422,
            "clickId: is required",
        ),
        (
            SECRET,
            with(lead(), "clickId", json!("no-click-id")),
            404,
            "clickId",
        ),
        (
            SECRET,
            with(lead(), "eventName", json!("")),
            422,
            "eventName: must not be empty",
        ),
        (
            SECRET,
            with(lead(), "customerExternalId", Value::Null),
            422,
            "customerExternalId: is required",
        ),
        (SECRET, with(lead(), "mode", json!("later")), 422, "mode:"),
        (
            SECRET,
            with(lead(), "eventQuantity", json!(0)),
            422,
            "eventQuantity: must be at least 1",
        ),
        (
            SECRET,
            with(lead(), "eventQuantity", json!(1.5)),
            422,
            "eventQuantity: must be a whole number",
        ),
        (
            SECRET,
            with(lead(), "metadata", json!("x")),
            422,
            "metadata: must be an object",
        ),
        (
            SECRET,
            with(lead(), "metadata", json!({"k": "x".repeat(10_000)})),
            422,
            "metadata: has",
        ),
        (
            SECRET,
            with(lead(), "customerName", json!("x".repeat(256))),
            422,
            "customerName:",
        ),
    ];
    refuse("/track/lead", &cases);
}

#[test]
fn a_sale() {
    let told = json!({"externalId": "u_7", "amount": 15000, "currency": "EUR", "invoiceId": "in_1",
        "paymentProcessor": "stripe", "metadata": {"a": 1}, "timestamp": "2025-01-02T03:04:05Z",
        "lines": [{"productId": "gold", "amount": 10000}, {"sku": "addon", "quantity": 2, "amount": 5000}]});
    let accepted = Sent::post("/track/sale", SECRET, &told).to(&directory()).unwrap();
    let call = call(&accepted);
    assert_eq!(
        (call.kind.as_str(), call.amount, call.currency.as_str()),
        ("sale", 15000, "eur")
    );
    assert_eq!((call.at, call.received), (1_735_787_045_000, AT));
    let lines: Vec<_> = call
        .lines
        .iter()
        .map(|l| (l.product.as_str(), l.quantity, l.amount))
        .collect();
    assert_eq!(lines, [("gold", 1, 10000), ("addon", 2, 5000)]);
    assert_eq!(
        body(&accepted),
        json!({"eventName": "Purchase",
            "customer": {"id": "u_7", "name": null, "email": null, "avatar": null, "externalId": "u_7"},
            "sale": {"amount": 15000, "currency": "eur", "paymentProcessor": "stripe", "invoiceId": "in_1",
                "metadata": {"a": 1}}})
    );
    let small = Sent::post("/track/sale", SECRET, &sale())
        .to(&directory())
        .unwrap();
    assert_eq!(
        body(&small)["sale"],
        json!({"amount": 4900, "currency": "usd",
        "paymentProcessor": "custom", "invoiceId": null, "metadata": null})
    );
}

#[test]
fn bad_sales() {
    let cases = [
        (None, sale(), 401, "missing header"),
        (
            SECRET,
            json!({"customerExternalId": "u_7"}),
            422,
            "amount: is required",
        ),
        (
            SECRET,
            with(sale(), "amount", json!(-1)),
            422,
            "amount: must be at least 0",
        ),
        (
            SECRET,
            with(sale(), "amount", json!("49.00")),
            422,
            "amount: must be a whole number",
        ),
        (
            SECRET,
            with(sale(), "amount", json!(49.5)),
            422,
            "amount: must be a whole number",
        ),
        (SECRET, with(sale(), "currency", json!("euro")), 422, "currency:"),
        (SECRET, with(sale(), "clickId", json!("x")), 404, "clickId"),
        (
            SECRET,
            with(sale(), "lines", json!({})),
            422,
            "lines: must be a list",
        ),
        (
            SECRET,
            with(sale(), "lines", json!([{"sku": "a"}])),
            422,
            "lines[0]: amount",
        ),
    ];
    refuse("/track/sale", &cases);
}

#[test]
fn bodies_that_cannot_be_read() {
    for (body, status, message) in [
        (vec![b' '; API_BODY_LIMIT + 1], 413, "larger than 65536"),
        (b"{\"amount\": ".to_vec(), 400, "not valid JSON"),
        (b"{\"eventName\": \"\xff\"}".to_vec(), 400, "not valid JSON"),
        (Vec::new(), 400, "not valid JSON"),
    ] {
        for path in ["/track/click", "/track/lead", "/track/sale"] {
            let sent = Sent {
                body: body.clone(),
                ..Sent::post(path, SECRET, &Value::Null)
            };
            let error = sent.to(&directory()).unwrap_err();
            assert_eq!(error.status, status, "{path}: {error}");
            assert!(error.message.contains(message), "{path}: {error}");
        }
    }
}

pub(super) fn refuse(path: &str, cases: &[(Option<&str>, Value, u16, &str)]) {
    for (key, told, status, message) in cases {
        let result = Sent::post(path, *key, told).to(&directory());
        let error = result
            .map(|accepted| accepted.response)
            .expect_err(&told.to_string());
        assert_eq!(error.status, *status, "{told}: {error}");
        assert!(error.message.contains(message), "{told}: {error}");
    }
}
