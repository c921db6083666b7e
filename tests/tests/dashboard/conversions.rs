//! The report of conversions by API: each that stands, once, under every filter; and as a file.

use serde_json::Value;

use crate::fixture::{STANDING, fixture};

fn all(query: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |row| {
            format!("&startingAfter={}", row["id"].as_str().unwrap())
        });
        let page = fixture().get(&format!("/conversions?interval=all&pageSize=100&{query}{after}"));
        let page = page.as_array().unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

/// Number and amount of those that stand.
fn raw(condition: &str) -> (usize, i64) {
    let sql = format!("SELECT count(), sum(amount) FROM {STANDING} WHERE mode = 'live' AND {condition}");
    let row = fixture().sql(&sql);
    let (count, amount) = row.split_once('\t').unwrap();
    (count.parse().unwrap(), amount.parse().unwrap())
}

#[test]
fn each_that_stands_comes_once_under_every_filter() {
    let key = fixture().sql("SELECT any(keys[2]) FROM conversions WHERE mode = 'live' AND kind = 'sale'");
    let bare = key.split_once(':').unwrap().1.to_owned();
    let customer =
        fixture().sql("SELECT any(customer) FROM conversions WHERE mode = 'live' AND kind = 'sale'");
    for (query, condition) in [
        ("", "1".to_owned()),
        ("type=lead", "kind = 'lead'".to_owned()),
        ("type=sale&sortBy=amount", "kind = 'sale'".to_owned()),
        ("informational=true", "(kind != 'sale' OR amount = 0)".to_owned()),
        ("informational=false", "kind = 'sale' AND amount != 0".to_owned()),
        ("status=approved&type=sale", "kind = 'sale'".to_owned()),
        ("status=refunded", "0".to_owned()),
        ("coupon=LENA20", "coupon = 'LENA20'".to_owned()),
        ("partnerId=pn_lena", "partner_id = 'pn_lena'".to_owned()),
        ("attribution=unattributed", "attributed_by = 'none'".to_owned()),
        (&format!("externalId={bare}"), format!("has(keys, '{key}')")),
        (
            &format!("externalId={customer}"),
            format!("customer = '{customer}'"),
        ),
    ] {
        let rows = all(query);
        let mut ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len(), "{query}: each once");
        let amount: i64 = rows.iter().map(|row| row["amount"].as_i64().unwrap()).sum();
        assert_eq!((rows.len(), amount), raw(&condition), "{query}");
        for row in &rows {
            let informational = row["type"] != "sale" || row["amount"] == 0;
            assert_eq!(row["informational"], informational);
        }
    }
    let few =
        fixture().get("/conversions?start=2025-03-01&end=2025-03-31&type=sale&pageSize=100&sortOrder=asc");
    assert!(few[0]["createdAt"].as_str().unwrap().starts_with("2025-03-"));
}

#[test]
fn the_file_has_every_row() {
    let rows = all("type=sale");
    let (text, headers) = fixture().text("/conversions?interval=all&type=sale&format=csv", "");
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = heads.iter().position(|head| *head == "amount").unwrap();
    let found: Vec<(&str, i64)> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[0], cells[place].parse().unwrap())
        })
        .collect();
    let expected: Vec<(&str, i64)> = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["amount"].as_i64().unwrap()))
        .collect();
    assert!(found.len() > 100, "the seed is too thin");
    assert_eq!(found, expected);
}

#[test]
fn what_is_asked_for_wrongly_is_named() {
    for (query, name) in [
        ("type=click", "type"),
        ("status=fine", "status"),
        ("informational=some", "informational"),
        ("interval=1h", "interval"),
        ("cupon=LENA20", "cupon"),
    ] {
        let (message, _) = fixture().refused(&format!("/conversions?{query}"), 400, "bad_request");
        assert!(message.starts_with(&format!("{name}:")), "{message}");
    }
}
