//! Lists as CSV: every row of the JSON, and no formula.

use serde_json::Value;

use crate::fixture::{Fixture, PERIOD, fixture};

/// Lines of cells; the first are the names.
fn csv(fixture: &Fixture, path: &str) -> Vec<Vec<String>> {
    let (text, headers) = fixture.text(path, "");
    assert!(
        headers["content-type"].to_str().unwrap().starts_with("text/csv"),
        "{path}: {text}"
    );
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let records = reader.records().map(|record| record.unwrap());
    records
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

fn column(table: &[Vec<String>], name: &str) -> Vec<String> {
    let place = table[0].iter().position(|known| known == name).unwrap();
    table[1..].iter().map(|row| row[place].clone()).collect()
}

#[test]
fn each_list_is_the_same_as_csv() {
    for (path, field, pointer) in [
        (format!("/events?event=clicks&{PERIOD}"), "click.id", "/click/id"),
        (
            format!("/events?event=sales&{PERIOD}"),
            "sale.invoiceId",
            "/sale/invoiceId",
        ),
        ("/commissions?pageSize=50".to_owned(), "earnings", "/earnings"),
        ("/customers?pageSize=50".to_owned(), "externalId", "/externalId"),
        (
            format!("/analytics?event=composite&groupBy=countries&{PERIOD}"),
            "country",
            "/country",
        ),
        (
            format!("/analytics?event=composite&groupBy=timeseries&{PERIOD}"),
            "start",
            "/start",
        ),
    ] {
        let rows = fixture().get(&path);
        let rows = rows.as_array().unwrap();
        let expected: Vec<String> = rows
            .iter()
            .map(|row| match row.pointer(pointer).unwrap() {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        let table = csv(fixture(), &format!("{path}&format=csv"));
        assert!(expected.len() > 3, "the seed is too thin");
        assert_eq!(column(&table, field), expected, "{path}");
    }
    let count = csv(
        fixture(),
        &format!("/analytics?event=composite&{PERIOD}&format=csv"),
    );
    assert_eq!(count.len(), 2);
    let (message, _) = fixture().refused("/events?format=xml", 400, "bad_request");
    assert!(message.starts_with("format:"), "{message}");
    // An error stays what it is.
    fixture().refused("/events?event=clik&format=csv", 400, "bad_request");
}

#[test]
fn what_a_stranger_wrote_is_no_formula() {
    let fixture = Fixture::start(|sql| {
        sql(
            "INSERT INTO clicks (id, workspace, mode, at, utm_source, url, key) VALUES
             ('c1', 'ws', 'live', '2025-01-01 00:00:00', '=cmd|''/c calc''!A1', '@SUM(1)', '+1'),
             ('c2', 'ws', 'live', '2025-01-01 00:00:01', '-2', 'https://acme.example', '\t=1')",
        );
    });
    let asked = "event=clicks&interval=all&format=csv";
    let table = csv(&fixture, &format!("/events?{asked}"));
    assert_eq!(column(&table, "click.utm_source"), ["'-2", "'=cmd|'/c calc'!A1"]);
    assert_eq!(column(&table, "click.url"), ["https://acme.example", "'@SUM(1)"]);
    let formulas = table
        .iter()
        .flatten()
        .filter(|cell| cell.starts_with(['=', '+', '@', '\t']));
    assert_eq!(formulas.count(), 0);
    let groups = csv(&fixture, &format!("/analytics?groupBy=utm_sources&{asked}"));
    assert!(column(&groups, "utm_source").contains(&"'-2".to_owned()));
}
