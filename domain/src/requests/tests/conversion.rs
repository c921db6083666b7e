//! Conversions in Trackdesk's shape.

use super::track::refuse;
use super::*;
use crate::mail::MailKey;
use crate::normalize::{self, Context, Outcome};

const SECRET: Option<&str> = Some("Bearer sk_live");
const CID: &str = "0123456789abcdEF";
const PATH: &str = "/tracking/conversion/v1";

fn sale(more: Value) -> Value {
    with(
        json!({"conversionTypeCode": "sale", "cid": CID, "amount": {"value": "100.5"}}),
        more,
    )
}

fn with(mut value: Value, more: Value) -> Value {
    let (Value::Object(fields), Value::Object(more)) = (&mut value, more) else {
        panic!("objects expected");
    };
    fields.extend(more);
    value
}

fn told(body: &Value) -> (Track, Value) {
    of(&Sent::post(PATH, SECRET, body))
}

/// What was recorded and answered. It never becomes a dead letter.
fn of(sent: &Sent<'_>) -> (Track, Value) {
    let accepted = sent.to(&directory()).unwrap();
    let track = call(&accepted).clone();
    let settings = program().workspace;
    let context = Context {
        settings: Some(&settings),
        mail: &MailKey::new("k"),
    };
    let outcome = normalize::track(&track, &context);
    assert!(matches!(outcome, Ok(Outcome::Facts(_))), "{outcome:?}");
    (track, body(&accepted))
}

#[test]
fn a_sale_in_major_units() {
    let (track, answer) = told(&sale(json!({
        "externalId": "order-1", "customerId": "u_7", "couponCode": "SAVE20", "revenueOriginId": "shop",
        "geoLocation": "Mars", "customParams": {"advS1": "a", "AdvS5": 5, "other": "x"},
        "amount": {"value": 100.5, "currency": "EUR"}, "currency": "usd",
        "lines": [{"productId": "gold", "amount": "90.50"}, {"sku": "addon", "quantity": 2, "amount": 10}],
    })));
    assert_eq!(answer, json!({"cid": CID, "externalId": "order-1"}));
    let lines: Vec<_> = track
        .lines
        .iter()
        .map(|l| (l.product.as_str(), l.quantity, l.amount))
        .collect();
    assert_eq!(lines, [("gold", 1, 9050), ("addon", 2, 1000)]);
    let metadata: Vec<_> = track
        .metadata
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(metadata, [("advS1", "a"), ("advS5", "5")]);
    let expected = Track {
        id: track.id.clone(),
        workspace: "acme".into(),
        mode: "live".into(),
        kind: "sale".into(),
        at: AT,
        received: AT,
        trust: "server".into(),
        click_id: CID.into(),
        customer_external_id: "u_7".into(),
        event_name: "Purchase".into(),
        event_quantity: 1,
        amount: 10_050,
        currency: "eur".into(),
        invoice_id: "order-1".into(),
        payment_processor: "custom".into(),
        coupon: "SAVE20".into(),
        program_id: "main".into(),
        lines: track.lines.clone(),
        metadata: track.metadata.clone(),
        ..Track::default()
    };
    assert_eq!(track, expected);
}

#[test]
fn currencies_have_their_own_decimals() {
    for (more, expected) in [
        (json!({}), Some((10_050, "usd"))),
        (json!({"currency": "Eur"}), Some((10_050, "eur"))),
        (
            json!({"amount": {"value": "7", "currency": "jpy"}}),
            Some((7, "jpy")),
        ),
        (
            json!({"amount": {"value": 7.0, "currency": "jpy"}}),
            Some((7, "jpy")),
        ),
        (
            json!({"amount": {"value": "1.5", "currency": "kwd"}}),
            Some((1500, "kwd")),
        ),
        (json!({"currency": "jpy"}), None),
        (json!({"amount": {"value": "1.005"}}), None),
        (json!({"amount": {"value": 1e300}}), None),
    ] {
        match Sent::post(PATH, SECRET, &sale(more.clone())).to(&directory()) {
            Ok(accepted) => {
                let track = call(&accepted);
                assert_eq!(Some((track.amount, track.currency.as_str())), expected, "{more}");
            }
            Err(error) => {
                assert_eq!(expected, None, "{more}: {error}");
                assert_eq!(error.status, 422, "{error}");
                assert!(error.message.starts_with("amount.value: "), "{error}");
            }
        }
    }
}

#[test]
fn who_bought_has_several_names() {
    let person = |more: Value| {
        let (track, _) = told(&sale(more));
        (track.customer_external_id, track.customer_email)
    };
    let pair = |id: &str, mail: &str| (id.to_owned(), mail.to_owned());
    assert_eq!(person(json!({})), pair("", ""));
    assert_eq!(person(json!({"externalCid": "x_1"})), pair("x_1", ""));
    assert_eq!(
        person(json!({"externalCid": "ada@x.test", "cid": null})),
        pair("ada@x.test", "")
    );
    assert_eq!(
        person(json!({"externalCid": "x_1", "customerId": "u"})),
        pair("u", "")
    );
    assert_eq!(
        person(json!({"externalCid": "ada@x.test", "customerId": "u"})),
        pair("u", "ada@x.test")
    );
}

#[test]
fn types_are_built_in_or_declared() {
    let (track, _) = told(&sale(json!({"conversionTypeCode": "UpSell"})));
    assert_eq!(
        (track.kind.as_str(), track.event_name.as_str()),
        ("sale", "Upsell")
    );
    let lead = json!({"conversionTypeCode": "lead", "cid": CID, "externalId": "lead-1"});
    let (track, answer) = told(&lead);
    assert_eq!(
        (track.kind.as_str(), track.event_name.as_str()),
        ("lead", "Sign up")
    );
    assert_eq!(
        (track.customer_external_id.as_str(), track.lead_mode.as_str()),
        ("lead-1", "async")
    );
    assert_eq!(answer, json!({"cid": CID, "externalId": "lead-1"}));
    let (track, _) = told(&with(
        lead,
        json!({"conversionTypeCode": "demo", "externalCid": "x", "status": "approved"}),
    ));
    assert_eq!(
        (track.event_name.as_str(), track.customer_external_id.as_str()),
        ("demo", "x")
    );
    assert_eq!(track.commands, []);
}

#[test]
fn a_redemption_is_given_an_id() {
    for (code, trust, key) in [
        ("couponredeem", "server", SECRET),
        ("CouponRedeemed", "browser", Some("Bearer pk_live")),
    ] {
        let (track, answer) = of(&Sent::post(
            PATH,
            key,
            &json!({"conversionTypeCode": code, "couponCode": "SAVE20", "status": "CONVERSION_STATUS_APPROVED"}),
        ));
        assert_eq!((track.kind.as_str(), track.trust.as_str()), ("redemption", trust));
        assert_eq!(
            (track.event_name.as_str(), track.coupon.as_str()),
            ("Coupon redeemed", "SAVE20")
        );
        assert_eq!(track.click_id, crate::click_id::new(AT, 42));
        assert_eq!(answer, json!({"cid": track.click_id}));
        assert_eq!(track.commands, []);
    }
    // History is imported with its IDs and times.
    let (track, answer) = told(
        &json!({"conversionTypeCode": "couponredeem", "couponCode": "SAVE20", "cid": CID,
        "timestamp": "2025-01-02T03:04:05Z"}),
    );
    assert_eq!((track.click_id.as_str(), track.at), (CID, 1_735_787_045_000));
    assert_eq!(answer["cid"], CID);
}

#[test]
fn a_status_is_a_decision_about_the_sale_itself() {
    for (status, expected) in [
        ("pending", None),
        ("CONVERSION_STATUS_PENDING", None),
        ("", None),
        ("CONVERSION_STATUS_APPROVED", Some("approve")),
        ("Approved", Some("approve")),
        ("conversion_status_rejected", Some("reject")),
        ("REFUNDED", Some("refund")),
    ] {
        let (track, _) = told(&sale(json!({"status": status, "externalId": "order-1"})));
        let found: Vec<_> = track.commands.iter().map(|c| c.command.as_str()).collect();
        assert_eq!(found, Vec::from_iter(expected), "{status}");
        for command in track.commands {
            assert_eq!(
                (command.names.as_str(), command.partner_id.as_str()),
                ("order-1", "")
            );
            assert_eq!((command.amount, command.object.as_str()), (0, ""));
        }
    }
}

#[test]
fn a_postback_says_the_same_in_its_query() {
    let get = |query| Sent {
        query: Some(query),
        ..Sent::get(PATH)
    };
    let query = "cid=0123456789abcdEF&amount.value=100.5&amount.currency=EUR&conversionTypeCode=sale\
        &externalId=order%201+b&tenantId=acme&customParams.advS2=a%26b&customerId=&unknown.field=1";
    let (track, answer) = of(&get(query));
    assert_eq!((track.trust.as_str(), track.mode.as_str()), ("browser", "live"));
    assert_eq!((track.amount, track.currency.as_str()), (10_050, "eur"));
    assert_eq!(
        (track.invoice_id.as_str(), track.metadata["advS2"].as_str()),
        ("order 1 b", "a&b")
    );
    assert_eq!(answer, json!({"cid": CID, "externalId": "order 1 b"}));
    let sent = get("couponCode=SAVE20&amount.value=1&conversionTypeCode=sale&externalId=o&status=rejected")
        .header("authorization", "Bearer sk_live");
    let (track, _) = of(&sent);
    assert_eq!((track.trust.as_str(), track.commands.len()), ("server", 1));
    let accepted = sent.to(&directory()).unwrap();
    assert_eq!(header(&accepted.response, "cache-control"), "no-store");
    for (query, status, message) in [
        (
            "tenantId=acme&conversionTypeCode=sale&cid=0123456789abcdEF",
            422,
            "amount.value: is required",
        ),
        (
            "tenantId=acme&amount=5&amount.value=5",
            422,
            "amount.value: stands twice",
        ),
        (
            "tenantId=acme&amount.value=5&amount=5",
            422,
            "amount: stands twice",
        ),
        ("tenantId=acme&cid=a&cid=b", 422, "cid: stands twice"),
        (
            "tenantId=acme&conversionTypeCode=sale&couponCode=S&amount.value=1&externalId=o&status=approved",
            403,
            "status: needs a secret key",
        ),
        ("", 422, "tenantId"),
    ] {
        let error = get(query).to(&directory()).unwrap_err();
        assert!(
            error.status == status && error.message.contains(message),
            "{query}: {error}"
        );
    }
}

#[test]
fn bad_conversions() {
    let lead = json!({"conversionTypeCode": "lead", "customerId": "u"});
    let coupon = json!({"conversionTypeCode": "couponredeem", "couponCode": "SAVE20"});
    let browser = Some("Bearer pk_live");
    let cases = [
        (SECRET, json!([]), 400, "must be a JSON object"),
        (
            SECRET,
            json!({"amount": {"value": "1"}}),
            422,
            "conversionTypeCode: is required",
        ),
        (
            SECRET,
            sale(json!({"conversionTypeCode": "Gift"})),
            422,
            "conversionTypeCode: \"Gift\" is neither sale nor lead, nor among the conversion_types of a program of acme (D4)",
        ),
        (
            SECRET,
            sale(json!({"revenueOriginId": "app"})),
            422,
            "revenueOriginId: \"app\" is not among the revenue_origins of a program of acme (D4)",
        ),
        (
            SECRET,
            sale(json!({"cid": "short"})),
            404,
            "cid: there is no such click",
        ),
        (SECRET, sale(json!({"cid": 7})), 422, "cid: must be a text"),
        (
            SECRET,
            sale(json!({"cid": null})),
            422,
            "cid: a sale needs one of",
        ),
        (
            SECRET,
            sale(json!({"amount": null})),
            422,
            "amount.value: is required",
        ),
        (
            SECRET,
            sale(json!({"amount": {}})),
            422,
            "amount.value: is required",
        ),
        (
            SECRET,
            sale(json!({"amount": 5})),
            422,
            "amount: must be an object",
        ),
        (
            SECRET,
            sale(json!({"amount": {"value": true}})),
            422,
            "amount.value: must be a decimal",
        ),
        (
            SECRET,
            sale(json!({"amount": {"value": "-1"}})),
            422,
            "amount.value: must not be negative",
        ),
        (
            SECRET,
            sale(json!({"amount": {"value": -1}})),
            422,
            "amount.value: must not be negative",
        ),
        (
            SECRET,
            sale(json!({"amount": {"value": "1,5"}})),
            422,
            "amount.value: must be a decimal",
        ),
        (
            SECRET,
            sale(json!({"amount": {"value": "1e3"}})),
            422,
            "amount.value: must be a decimal",
        ),
        (
            SECRET,
            sale(json!({"amount": {"value": "1", "currency": "euro"}})),
            422,
            "amount.currency: must be an ISO 4217",
        ),
        (
            SECRET,
            sale(json!({"lines": [{"sku": "a"}]})),
            422,
            "lines[0]: amount: is required",
        ),
        (
            SECRET,
            sale(json!({"lines": [{"sku": "a", "amount": "0.001"}]})),
            422,
            "lines[0]: amount: has more decimal places than usd (2)",
        ),
        (
            SECRET,
            sale(json!({"lines": [{"sku": "a@x.test", "amount": 1}]})),
            422,
            "lines[0]: sku: must hold no",
        ),
        (
            SECRET,
            sale(json!({"externalId": "of ada@x.test"})),
            422,
            "externalId: must hold no e-mail address",
        ),
        (
            SECRET,
            sale(json!({"customerId": "Ada <ada@x.test>"})),
            422,
            "customerId: must hold no e-mail address",
        ),
        (
            SECRET,
            sale(json!({"couponCode": "x".repeat(256)})),
            422,
            "couponCode: must have at most 255",
        ),
        (
            SECRET,
            sale(json!({"customParams": {"advS1": []}})),
            422,
            "customParams.advS1: must be a text",
        ),
        (
            SECRET,
            sale(json!({"status": "CONVERSION_STATUS_LOST"})),
            422,
            "status: must be pending, approved",
        ),
        (
            SECRET,
            sale(json!({"status": "approved"})),
            422,
            "externalId: is required with a status",
        ),
        (
            browser,
            sale(json!({"status": "approved", "externalId": "o"})),
            403,
            "status: needs a secret key",
        ),
        (
            browser,
            sale(json!({"timestamp": "2025-01-02T03:04:05Z"})),
            403,
            "timestamp: needs a secret key",
        ),
        (
            SECRET,
            with(lead.clone(), json!({"customerId": " "})),
            422,
            "customerId: a lead needs one of",
        ),
        (
            SECRET,
            with(lead, json!({"status": "rejected"})),
            422,
            "status: a lead is told as pending or approved",
        ),
        (
            SECRET,
            with(coupon.clone(), json!({"couponCode": ""})),
            422,
            "couponCode: is required",
        ),
        (
            SECRET,
            with(coupon.clone(), json!({"status": "refunded"})),
            422,
            "status: a redemption is told",
        ),
        (
            browser,
            with(coupon, json!({"cid": CID})),
            403,
            "cid: needs a secret key",
        ),
    ];
    refuse(PATH, &cases);
}

#[test]
fn a_click_is_tied_to_another_id() {
    let path = "/tracking/external-cid/v1";
    let told = json!({"cid": CID, "externalCid": "Ada@x.test", "revenueOriginId": "shop"});
    let (track, answer) = of(&Sent::post(path, Some("Bearer pk_live"), &told));
    assert_eq!(
        (track.kind.as_str(), track.trust.as_str()),
        ("identify", "browser")
    );
    assert_eq!(
        (track.click_id.as_str(), track.customer_external_id.as_str()),
        (CID, "Ada@x.test")
    );
    assert_eq!(track.program_id, "main");
    assert_eq!(answer, json!({"cid": CID, "externalCid": "Ada@x.test"}));
    let cases = [
        (None, told.clone(), 422, "tenantId: is required"),
        (
            SECRET,
            with(told.clone(), json!({"cid": ""})),
            422,
            "cid: is required",
        ),
        (
            SECRET,
            with(told.clone(), json!({"cid": "x"})),
            404,
            "cid: there is no such click",
        ),
        (
            SECRET,
            with(told.clone(), json!({"externalCid": null})),
            422,
            "externalCid: is required",
        ),
        (
            SECRET,
            with(told, json!({"revenueOriginId": "app"})),
            422,
            "revenueOriginId: \"app\"",
        ),
    ];
    refuse(path, &cases);
}
