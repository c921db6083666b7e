//! Customers by API: all of them, once each, with the figures of the raw ledger.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixture::{STANDING, fixture};

fn list(query: &str) -> Vec<Value> {
    let found = fixture().get(&format!("/customers?{query}"));
    found.as_array().unwrap().clone()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

fn raw(what: &str, condition: &str) -> i64 {
    let question =
        format!("SELECT {what} FROM {STANDING} WHERE mode = 'live' AND customer != '' AND {condition}");
    fixture().sql(&question).parse().unwrap()
}

#[test]
fn page_by_page_each_customer_comes_once_with_its_figures() {
    for (by, field) in [
        ("saleAmount", "saleAmount"),
        ("createdAt", "createdAt"),
        ("firstSaleAt", "firstSaleAt"),
    ] {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(String::new(), |row| {
                format!("&startingAfter={}", row["id"].as_str().unwrap())
            });
            let page = list(&format!("pageSize=97&sortBy={by}{after}"));
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        let sum = |name: &str| -> i64 { all.iter().map(|row| row[name].as_i64().unwrap()).sum() };
        let count = i64::try_from(all.len()).unwrap();
        assert_eq!(count, raw("uniqExact(customer)", "1"), "{by}");
        assert_eq!(
            ids(&all).into_iter().collect::<BTreeSet<_>>().len(),
            all.len(),
            "{by}"
        );
        assert_eq!(sum("sales"), raw("countIf(kind = 'sale')", "1"));
        assert_eq!(sum("saleAmount"), raw("sumIf(amount, kind = 'sale')", "1"));
        assert!(count > 300 && sum("sales") > 100, "the seed is too thin");
        // Texts of times are ordered as times are; who never bought has none, and comes last.
        let key = |row: &Value| (row[field].as_i64(), row[field].as_str().map(str::to_owned));
        assert!(all.windows(2).all(|two| key(&two[0]) >= key(&two[1])), "{by}");

        let (first, second) = (&all[..97], &all[97..]);
        let back = list(&format!(
            "pageSize=97&sortBy={by}&endingBefore={}",
            second[0]["id"].as_str().unwrap()
        ));
        assert_eq!(back, first, "{by}: back again");
        let numbered = list(&format!("pageSize=97&page=2&sortBy={by}"));
        assert_eq!(numbered, second[..97], "{by}: by number");
        let mut upwards = list(&format!("pageSize=50&sortBy={by}&sortOrder=asc"));
        upwards.reverse();
        assert_eq!(upwards, all[all.len() - 50..], "{by}: upwards");
    }
}

#[test]
fn customers_are_found_by_what_is_known_of_them() {
    let known = list("pageSize=100&includeExpandedFields=true");
    let named = known.iter().find(|row| row["email"].is_string()).unwrap();
    let id = named["id"].as_str().unwrap();
    assert_eq!(named["name"], format!("Customer {id}"));
    assert!(known.iter().any(|row| row["email"].is_null()));
    for query in [
        format!("email={id}@example.com"),
        format!("externalId={id}"),
        format!("search={}", id.to_uppercase()),
        format!("search={id}@EXAMPLE"),
    ] {
        assert_eq!(ids(&list(&query)), [id], "{query}");
    }
    assert!(list("email=nobody@example.com").is_empty());
    assert!(list("externalId=%27%20OR%201%20--").is_empty());

    let one = fixture().get(&format!("/customers/{id}?includeExpandedFields=true"));
    assert_eq!(&one, named);
    assert_eq!(
        fixture().get(&format!("/customers/ext_{id}?includeExpandedFields=true")),
        one
    );
    assert!(fixture().get(&format!("/customers/{id}"))["link"].is_null());
    fixture().refused("/customers/nobody", 404, "not_found");

    for partner in ["pn_lena", "pn_devcast"] {
        let own = list(&format!("partnerId={partner}&includeExpandedFields=true"));
        assert!(own.len() > 10, "the seed is too thin");
        for row in own {
            assert_eq!(row["partner"]["id"], partner);
            assert_eq!(row["link"]["partnerId"], partner);
            assert_eq!(row["programId"], "prog_main");
        }
    }
    for (query, name) in [
        ("startingAfter=a&endingBefore=b", "endingBefore"),
        ("pageSize=101", "pageSize"),
        ("sortBy=name", "sortBy"),
        ("tag=vip", "tag"),
    ] {
        let (message, _) = fixture().refused(&format!("/customers?{query}"), 400, "bad_request");
        assert!(message.starts_with(&format!("{name}:")), "{message}");
    }
}
