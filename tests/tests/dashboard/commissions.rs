//! Commissions by API: summed over all pages they are the raw ledger's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::{PERIOD, fixture};

fn all(query: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |row| {
            format!("&startingAfter={}", row["id"].as_str().unwrap())
        });
        let page = fixture().get(&format!("/commissions?pageSize=73{query}{after}"));
        let page = page.as_array().unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

fn raw(condition: &str) -> (usize, i64) {
    let question =
        format!("SELECT sum(sign), sum(sign * amount) FROM commissions WHERE mode = 'live' AND {condition}");
    let row = fixture().sql(&question);
    let (count, sum) = row.split_once('\t').unwrap();
    (count.parse().unwrap(), sum.parse().unwrap())
}

#[test]
fn earnings_sum_to_the_raw_ledger_under_every_filter() {
    let period = "at >= '2025-03-01 00:00:00' AND at < '2025-04-20 00:00:00'";
    for (query, condition) in [
        ("", "1"),
        ("&sortBy=amount", "1"),
        ("&sortBy=amount&sortOrder=asc", "1"),
        ("&type=sale", "kind IN ('sale', 'take_back')"),
        ("&type=-sale", "kind NOT IN ('sale', 'take_back')"),
        ("&status=processed", "state = 'approved'"),
        ("&status=pending", "state = 'pending'"),
        ("&status=fraud", "0"),
        ("&partnerId=pn_lena", "partner_id = 'pn_lena'"),
        (
            "&partnerId=-pn_lena,pn_devcast",
            "partner_id NOT IN ('pn_lena', 'pn_devcast')",
        ),
        (&format!("&{PERIOD}"), period),
    ] {
        let rows = all(query);
        let sum = rows.iter().map(|row| row["earnings"].as_i64().unwrap()).sum();
        assert_eq!((rows.len(), sum), raw(condition), "{query}");
        let ids: BTreeMap<&str, usize> = rows.iter().map(|row| (row["id"].as_str().unwrap(), 1)).collect();
        assert_eq!(ids.len(), rows.len(), "{query}: one came twice");
        let ascending = query.contains("asc");
        let key = |row: &Value| {
            (
                row["earnings"].as_i64(),
                row["createdAt"].as_str().map(str::to_owned),
            )
        };
        let in_order = |two: &[Value]| match (query.contains("amount"), ascending) {
            (true, true) => key(&two[0]).0 <= key(&two[1]).0,
            (true, false) => key(&two[0]).0 >= key(&two[1]).0,
            (false, _) => key(&two[0]).1 >= key(&two[1]).1,
        };
        assert!(rows.windows(2).all(in_order), "{query}: not in order");
    }
    assert!(raw("1").0 > 300, "the seed is too thin");
}

#[test]
fn a_commission_says_what_earned_it() {
    let rows = all("");
    let sale = rows
        .iter()
        .find(|row| row["earnings"].as_i64() > Some(0))
        .unwrap();
    // Three tenths of each sale, in the seed.
    assert_eq!(
        sale["earnings"].as_i64().unwrap(),
        sale["amount"].as_i64().unwrap() * 30 / 100
    );
    assert_eq!((&sale["type"], &sale["quantity"]), (&"sale".into(), &1.into()));
    let invoice = sale["invoiceId"].as_str().unwrap();
    assert!(invoice.starts_with("in_"));
    assert_eq!(sale["partner"]["name"], sale["partner"]["id"]);
    let customer = &sale["customer"];
    assert_eq!(
        customer,
        &fixture().get(&format!("/customers/{}", customer["id"].as_str().unwrap()))
    );
    // By its invoice: itself, and what of it was taken back.
    let own = all(&format!("&invoiceId={invoice}"));
    assert!(
        own.iter().any(|row| row["id"] == sale["id"]) && own.len() <= 2,
        "{own:?}"
    );
    let back = rows
        .iter()
        .find(|row| row["earnings"].as_i64() < Some(0))
        .unwrap();
    assert!(
        back["description"]
            .as_str()
            .unwrap()
            .starts_with("taken back by re_")
    );
    for (query, name) in [
        ("type=gift", "type"),
        ("status=lost", "status"),
        ("tenantId=t", "tenantId"),
    ] {
        let (message, _) = fixture().refused(&format!("/commissions?{query}"), 400, "bad_request");
        assert!(message.starts_with(&format!("{name}:")), "{message}");
    }
}
