//! What is declared, beside what the ledger tells of the same.

use serde_json::{Value, json};

use crate::world::{empty, world};

fn ids(path: &str) -> Vec<String> {
    let rows = world().dashboard.get(path);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn row(path: &str, id: &str) -> Value {
    let rows = world().dashboard.get(path);
    let found = rows.as_array().unwrap().iter().find(|row| row["id"] == id);
    found.cloned().unwrap_or_else(|| panic!("{path} has no {id}"))
}

#[test]
fn links_have_their_names_and_new_ones_are_there() {
    let lena = row("/links/figures", "lnk_lena");
    assert_eq!(lena["url"], "https://acme.test/pricing?utm_source=lena");
    assert_eq!(lena["shortLink"], "https://go.acme.test/lena");
    assert_eq!(
        lena["partner"],
        json!({"id": "pn_lena", "name": "Lena Lindqvist"})
    );
    assert!(lena["clicks"].as_i64().unwrap() > 100 && lena["declared"] == true);
    let new = row("/links/figures", "lnk_new");
    assert_eq!(
        (&new["clicks"], &new["comments"]),
        (&json!(0), &json!("sent in spring"))
    );
    // Deleted, or never declared: the ledger knows it.
    let home = row("/links/figures", "lnk_home");
    assert_eq!((&home["declared"], &home["url"]), (&json!(false), &Value::Null));
    assert_eq!(ids("/links/figures?search=SPRING"), ["lnk_new"]);
    assert_eq!(ids("/links/figures?search=/nadia"), ["lnk_new"]);
    assert_eq!(ids("/links/figures?search=nobody"), Vec::<String>::new());
    assert_eq!(
        ids("/links/figures?partnerId=pn_lena&sortBy=clicks"),
        ["lnk_lena", "lnk_lena_yt"]
    );
    assert_eq!(ids("/links/figures?partnerId=pn_new"), ["lnk_new"]);
}

#[test]
fn partners_are_found_by_name_and_address() {
    assert_eq!(ids("/partners/figures?search=lindq"), ["pn_lena"]);
    assert_eq!(ids("/partners/figures?search=NADIA@example.com"), ["pn_new"]);
    let new = row("/partners/figures", "pn_new");
    assert_eq!(
        (&new["status"], &new["balances"]),
        (&json!("invited"), &json!([]))
    );
    assert_eq!(new["coupons"], json!([{"code": "NADIA", "active": false}]));
    assert_eq!(new["programId"], "prog_agencies");
    assert_eq!(row("/partners/figures", "pn_northwind")["status"], "banned");
    assert!(!ids("/partners/figures?due=true").contains(&"pn_new".to_owned()));
}

#[test]
fn codes_and_programs_are_told_as_declared() {
    let lena = row("/coupons", "LENA20");
    assert_eq!(
        (&lena["active"], &lena["partner"]["name"]),
        (&json!(true), &json!("Lena Lindqvist"))
    );
    assert_eq!(lena["promotionCodes"], json!(["promo_1Lena20"]));
    let new = row("/coupons?partnerId=pn_new", "NADIA");
    assert_eq!((&new["active"], &new["sales"]), (&json!(false), &json!(0)));

    let main = row("/programs", "prog_main");
    assert_eq!(main["members"], json!({"approved": 3, "banned": 1}));
    assert_eq!(main["terms"]["rewards"][0]["percent"], "40");
    assert_eq!(
        (&main["terms"]["window_days"], &main["currency"]),
        (&json!(90), &json!("usd"))
    );
    assert!(main["figures"]["sales"].as_i64().unwrap() > 100);
    let agencies = row("/programs", "prog_agencies");
    assert_eq!(
        (&agencies["figures"], &agencies["terms"]["model"]),
        (&Value::Null, &json!("first_click"))
    );
}

#[test]
fn connections_tell_what_was_seen_and_no_more() {
    let seen = world().dashboard.get("/connections?workspace=ws_acme");
    assert_eq!(seen["endpoint"], "/webhooks/stripe/ws_acme");
    assert_eq!(
        seen["secrets"],
        Value::Null,
        "it was not told where they would be"
    );
    assert_eq!(seen["accounts"], json!([]));
    assert_eq!(
        (
            &seen["kafka"]["reachable"],
            &seen["kafka"]["whole"],
            &seen["kafka"]["looked"]
        ),
        (&json!(true), &json!(true), &json!(10))
    );
    let modes = seen["modes"].as_array().unwrap();
    let live = modes.iter().find(|mode| mode["mode"] == "live").unwrap();
    assert_eq!(live["lastEvent"]["id"], "evt_7");
    assert_eq!(
        live["types"],
        json!([{"type": "charge.refunded", "count": 2}, {"type": "charge.succeeded", "count": 3},
               {"type": "invoice.paid", "count": 3}])
    );
    assert!(live["lastConversionAt"].as_str().unwrap().starts_with("2025-04-"));
    let test = modes.iter().find(|mode| mode["mode"] == "test").unwrap();
    assert_eq!(test["lastEvent"]["id"], "evt_8");
    let other = world().dashboard.get("/connections?workspace=ws_other&mode=live");
    assert_eq!(other["modes"].as_array().unwrap().len(), 1);
    assert_eq!(other["modes"][0]["lastEvent"]["id"], "evt_9");
    assert_eq!(other["accounts"], Value::Null, "it is not declared");
}

#[test]
fn before_the_first_click_lists_are_empty() {
    let empty = empty();
    for path in [
        "/links/figures",
        "/partners/figures",
        "/coupons",
        "/programs",
        "/conversions",
    ] {
        assert_eq!(empty.dashboard.get(path), json!([]), "{path}");
    }
    assert_eq!(empty.dashboard.get("/connections")["modes"], json!([]));
}
