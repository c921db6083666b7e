//! Who an object names: customer, click and coupon.

use serde_json::{Value, json};
use tributary_domain::normalize::claimed_click;

use crate::only;
use crate::support::{CLICK, CREATED, event, facts, facts_in, hash, invoice, session, with, workspace};

#[test]
fn a_guest_is_named_by_address_and_click() {
    let object = with(
        session(),
        json!({
            "customer": null, "customer_details": {"email": "Guest@Example.com"},
            "customer_email": "other@example.com", "client_reference_id": format!("dub_id_{CLICK}")
        }),
    );
    let all = facts("checkout.session.completed", &object);
    assert_eq!(claimed_click(&all[0]), Some(CLICK));
    let told = only!(all, Session);
    assert_eq!(
        (told.customer.stripe.as_str(), told.customer.external_id.as_str()),
        ("", "")
    );
    assert_eq!(told.customer.mail, hash("guest@example.com"));
    assert_eq!(told.click_id, CLICK);
}

#[test]
fn bare_and_expanded_references_are_the_same() {
    let bare = with(
        session(),
        json!({"invoice": "in_1", "subscription": "sub_1", "payment_link": "plink_1",
            "discounts": [{"coupon": "SAVE", "promotion_code": "promo_1"}]}),
    );
    let object = |id: &str| json!({"id": id, "object": "x", "email": "a@b.test"});
    let expanded = with(
        session(),
        json!({
            "customer": object("cus_1"), "payment_intent": object("pi_1"), "invoice": object("in_1"),
            "subscription": object("sub_1"), "payment_link": object("plink_1"),
            "discounts": [{"coupon": object("SAVE"), "promotion_code": object("promo_1")}],
            "total_details": {"breakdown": {"discounts": [
                {"discount": {"source": {"coupon": "SAVE"}, "promotion_code": "promo_1"}}
            ]}}
        }),
    );
    let bare = facts("checkout.session.completed", &bare);
    assert_eq!(bare, facts("checkout.session.completed", &expanded));
    let told = only!(bare, Session);
    assert_eq!(told.customer.stripe, "/cus_1");
    assert_eq!(
        (told.invoice.as_str(), told.payment_link.as_str()),
        ("in_1", "plink_1")
    );
    assert_eq!(told.discounts.len(), 1);
}

#[test]
fn click_ids_come_from_reference_or_metadata_and_only_in_their_form() {
    let cases = [
        (json!({"client_reference_id": format!("trb_{CLICK}")}), CLICK),
        (json!({"client_reference_id": CLICK}), ""),
        (json!({"client_reference_id": "dub_id_tooshort"}), ""),
        (json!({"metadata": {"dubClickId": CLICK}}), CLICK),
        (json!({"metadata": {"tributaryClickId": CLICK}}), CLICK),
        (
            json!({"metadata": {"dubClickId": "no click", "tributaryClickId": CLICK}}),
            CLICK,
        ),
        (
            json!({"client_reference_id": "user_7", "metadata": {"dubClickId": CLICK}}),
            CLICK,
        ),
    ];
    for (more, click) in cases {
        let told = only!(
            facts("checkout.session.completed", &with(session(), more.clone())),
            Session
        );
        assert_eq!(told.click_id, click, "{more}");
        assert_eq!(told.customer.external_id, "", "{more}");
    }
}

#[test]
fn external_ids_follow_the_settings() {
    let settings = workspace(json!({
        "external_id_metadata": ["userId"], "client_reference_is_external_id": true
    }));
    let read = |more: Value| {
        only!(
            facts_in(
                &settings,
                &event("checkout.session.completed", &with(session(), more))
            ),
            Session
        )
        .customer
    };
    assert_eq!(
        read(json!({"client_reference_id": "user_7"})).external_id,
        "user_7"
    );
    assert_eq!(
        read(json!({"client_reference_id": format!("trb_{CLICK}")})).external_id,
        ""
    );
    let both = json!({"client_reference_id": "user_7", "metadata": {"userId": "user_8"}});
    assert_eq!(read(both).external_id, "user_8");
    assert_eq!(read(json!({"metadata": {"dubCustomerId": "x"}})).external_id, "");
    let address = read(json!({"client_reference_id": "Ada@Example.com", "customer_email": "b@x.test"}));
    assert_eq!(
        (address.external_id.as_str(), address.mail),
        ("", hash("ada@example.com"))
    );
}

#[test]
fn a_customer_of_a_connected_account() {
    let mut record = event(
        "customer.created",
        &json!({"id": "cus_1", "object": "customer", "email": "a@x.test", "metadata": {
            "dubCustomerExternalId": "user_7", "dubClickId": CLICK, "note": "from a@x.test"
        }}),
    );
    record.account = "acct_1".into();
    let all = facts_in(&workspace(json!({"stripe_accounts": ["acct_1"]})), &record);
    assert_eq!((all[0].at, all[0].source.as_str()), (CREATED, "evt_1"));
    assert_eq!((all[0].trust.as_str(), all[0].mode.as_str()), ("stripe", "live"));
    let told = only!(all, Customer);
    assert_eq!(told.customer.stripe, "acct_1/cus_1");
    assert_eq!(
        (told.customer.external_id.as_str(), told.customer.mail),
        ("user_7", hash("a@x.test"))
    );
    assert_eq!(
        (told.stripe_id.as_str(), told.click_id.as_str(), told.deleted),
        ("cus_1", CLICK, false)
    );
}

#[test]
fn subscription_metadata_names_the_customer_of_its_invoices() {
    let meta = json!({"dubCustomerId": "user_7", "dubClickId": CLICK});
    for more in [
        json!({"subscription_details": {"metadata": meta}}),
        json!({"parent": {"subscription_details": {"metadata": meta, "subscription": "sub_1"}}}),
        json!({"lines": {"data": [{"amount": 1, "type": "subscription", "metadata": meta}]}}),
    ] {
        let told = only!(facts("invoice.paid", &with(invoice(), more)), Invoice);
        assert_eq!(
            (told.customer.external_id.as_str(), told.click_id.as_str()),
            ("user_7", CLICK)
        );
    }
}

#[test]
fn a_bare_payment_is_named_by_its_metadata() {
    let charge = json!({
        "id": "ch_1", "object": "charge", "amount": 100, "currency": "usd", "status": "succeeded",
        "captured": true, "billing_details": {"email": "a@x.test"}, "receipt_email": "b@x.test"
    });
    for (meta, named) in [
        (json!({}), false),
        (json!({"coupon": "SAVE", "dubClickId": "bad"}), false),
        (json!({"dubClickId": CLICK}), true),
        (json!({"tributaryCustomerId": "user_7"}), true),
        (json!({"tributaryCoupon": " SAVE "}), true),
    ] {
        let told = only!(
            facts(
                "charge.succeeded",
                &with(charge.clone(), json!({"metadata": meta}))
            ),
            Charge
        );
        assert_eq!(told.named, named, "{meta}");
        assert_eq!(told.customer.mail, hash("a@x.test"));
        assert_eq!(
            told.coupon,
            if meta.get("tributaryCoupon").is_some() {
                "SAVE"
            } else {
                ""
            }
        );
        assert_eq!(told.amount_captured, 100, "charges of 2019 do not tell it");
    }
}
