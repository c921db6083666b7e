//! Links, partners and coupons by API: each once, with the figures of the raw ledger.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::{STANDING, fixture};

/// All rows of a list, page by page.
fn all(path: &str, query: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |row| {
            format!("&startingAfter={}", row["id"].as_str().unwrap())
        });
        let page = fixture().get(&format!("{path}?pageSize=3&{query}{after}"));
        let page = page.as_array().unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

/// Clicks, leads, sales, amount, refunded, earned by a column, from the raw rows.
fn raw(column: &str, clicks: bool) -> BTreeMap<String, [i64; 6]> {
    let mut found: BTreeMap<String, [i64; 6]> = BTreeMap::new();
    let mut add = |place: usize, sql: &str| {
        for line in fixture().sql(sql).lines() {
            let mut cells = line.split('\t');
            let id = cells.next().unwrap().to_owned();
            for (offset, cell) in cells.enumerate() {
                found.entry(id.clone()).or_default()[place + offset] = cell.parse().unwrap();
            }
        }
    };
    let standing = STANDING.replace(
        "any(raw.coupon)",
        &format!("any(raw.{column}) AS asked, any(raw.coupon)"),
    );
    if clicks {
        add(
            0,
            &format!(
                "SELECT {column}, count() FROM clicks WHERE mode = 'live' AND bot = '' AND duplicate_of = ''
                 AND {column} != '' GROUP BY {column}"
            ),
        );
    }
    add(
        1,
        &format!(
            "SELECT asked, sumIf(quantity, kind = 'lead'), countIf(kind = 'sale'), sumIf(amount, kind = 'sale')
             FROM {standing} WHERE mode = 'live' AND asked != '' GROUP BY asked"
        ),
    );
    for (place, table) in [(4, "refunds"), (5, "commissions")] {
        add(
            place,
            &format!(
                "SELECT {column}, sum(sign * amount) FROM {table} WHERE mode = 'live' AND {column} != ''
                 GROUP BY {column}"
            ),
        );
    }
    found
}

fn shown(rows: &[Value]) -> BTreeMap<String, [i64; 6]> {
    let names = [
        "clicks",
        "leads",
        "sales",
        "saleAmount",
        "refundAmount",
        "earnings",
    ];
    let figures = |row: &Value| names.map(|name| row[name].as_i64().unwrap_or_default());
    let by_id = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), figures(row)));
    by_id.collect()
}

#[test]
fn each_has_the_figures_of_the_raw_ledger() {
    for (path, column, clicks, sorts) in [
        (
            "/links/figures",
            "link_id",
            true,
            &["clicks", "saleAmount", "sales", "leads", "earnings"][..],
        ),
        (
            "/partners/figures",
            "partner_id",
            true,
            &["saleAmount", "clicks", "leads", "sales", "earnings"],
        ),
        ("/coupons", "coupon", false, &["saleAmount", "sales", "earnings"]),
        ("/programs", "program_id", true, &[]),
    ] {
        let expected = raw(column, clicks);
        assert!(!expected.is_empty(), "the seed is too thin");
        for by in sorts {
            let rows = all(path, &format!("sortBy={by}"));
            assert_eq!(rows.len(), expected.len(), "{path} by {by}: each once");
            assert_eq!(shown(&rows), expected, "{path} by {by}");
            let values: Vec<i64> = rows.iter().map(|row| row[by].as_i64().unwrap()).collect();
            assert!(values.windows(2).all(|two| two[0] >= two[1]), "{path} by {by}");
        }
        if sorts.is_empty() {
            let programs = fixture().get(path);
            let figures: Vec<Value> = programs
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["figures"].clone())
                .collect();
            assert_eq!(shown(&figures), expected, "{path}");
        }
    }
}

#[test]
fn balances_are_the_ledgers_by_state() {
    let rows = all("/partners/figures", "sortBy=due");
    let mut seen = 0;
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        let sum = |condition: &str| -> i64 {
            let sql = format!(
                "SELECT sum(sign * amount) FROM commissions
                 WHERE mode = 'live' AND partner_id = '{id}' AND {condition}"
            );
            fixture().sql(&sql).parse().unwrap()
        };
        let balance = &row["balances"][0];
        assert_eq!(balance, &row["balance"]);
        for (name, condition) in [
            ("earned", "1"),
            ("pending", "state = 'pending'"),
            ("approved", "state = 'approved'"),
            ("withheld", "state = 'withheld'"),
            ("paid", "state = 'paid'"),
            ("due", "state IN ('pending', 'approved') AND due_at <= now()"),
        ] {
            assert_eq!(balance[name], sum(condition), "{id}: {name}");
            seen += i64::from(balance[name] != 0);
        }
    }
    assert!(seen > 8, "the seed is too thin");
    let due = all("/partners/figures", "due=true");
    assert!(due.iter().all(|row| row["balance"]["due"].as_i64().unwrap() > 0) && !due.is_empty());
    let rest = all("/partners/figures", "due=false");
    assert_eq!(due.len() + rest.len(), rows.len());
}

#[test]
fn what_is_asked_for_wrongly_is_named() {
    for path in ["/links/figures", "/partners/figures", "/coupons"] {
        for (query, name) in [
            ("sortBy=name", "sortBy"),
            ("format=xml", "format"),
            ("pageSize=101", "pageSize"),
            ("tag=vip", "tag"),
        ] {
            let (message, _) = fixture().refused(&format!("{path}?{query}"), 400, "bad_request");
            assert!(message.starts_with(&format!("{name}:")), "{path}: {message}");
        }
    }
    fixture().refused("/coupons/LENA20", 501, "not_implemented");
}

#[test]
fn a_file_has_what_the_list_has() {
    for (path, column) in [
        ("/links/figures", "clicks"),
        ("/partners/figures", "clicks"),
        ("/coupons", "sales"),
    ] {
        let rows = all(path, "");
        let (text, headers) = fixture().text(&format!("{path}?format=csv"), "");
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/csv"));
        assert!(
            headers["content-disposition"]
                .to_str()
                .unwrap()
                .starts_with("attachment")
        );
        let mut lines = text.lines();
        let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
        let place = heads.iter().position(|head| *head == column).unwrap();
        let found: Vec<(String, i64)> = lines
            .map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                (cells[0].to_owned(), cells[place].parse().unwrap())
            })
            .collect();
        let expected: Vec<(String, i64)> = rows
            .iter()
            .map(|row| {
                (
                    row["id"].as_str().unwrap().to_owned(),
                    row[column].as_i64().unwrap(),
                )
            })
            .collect();
        assert_eq!(found, expected, "{path}");
    }
}
