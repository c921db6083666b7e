//! Cohorts by API against plain SQL over the raw rows.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::{Fixture, PERIOD, STANDING, fixture, shares};

/// By cohort and step: customers with a sale, sales, amount, taken back.
type Cells = BTreeMap<(String, String), [i64; 4]>;

const REFUNDS: &str = "(SELECT id, revision, any(raw.at) AS at, any(raw.customer) AS customer,
    any(raw.conversion_id) AS conversion_id, any(raw.amount) AS amount
    FROM refunds AS raw WHERE mode = 'live' GROUP BY id, revision HAVING sum(raw.sign) > 0)";

/// Cohorts and what they did, cut by ClickHouse's own calendar.
fn oracle(
    fixture: &Fixture,
    zone: &str,
    step: &str,
    time: &str,
    filter: &str,
) -> (BTreeMap<String, i64>, Cells) {
    let cut = |at: &str| match step {
        "week" => format!("toString(toStartOfWeek(toTimeZone({at}, '{zone}'), 1))"),
        _ => format!("toString(toStartOfMonth(toTimeZone({at}, '{zone}')))"),
    };
    let sales = format!(
        "SELECT * FROM {STANDING} WHERE mode = 'live' AND kind = 'sale' AND customer != '' AND {filter}"
    );
    let members = format!(
        "SELECT customer, min({time}) AS joined FROM ({sales}) WHERE sale_type = 'new' AND toDate({time}, '{zone}') >= '2025-03-01'
         AND toDate({time}, '{zone}') <= '2025-04-19' GROUP BY customer"
    );
    let sizes = fixture.sql(&format!(
        "SELECT {} AS cohort, count() FROM ({members}) GROUP BY cohort ORDER BY cohort",
        cut("joined")
    ));
    let sizes = sizes.lines().map(|line| line.split_once('\t').unwrap());
    let sizes = sizes
        .map(|(cohort, count)| (cohort.to_owned(), count.parse().unwrap()))
        .collect();
    let rows = fixture.sql(&format!(
        "SELECT {} AS cohort, {} AS step, uniqExactIf(part.customer, sold), countIf(sold), sumIf(part.amount, sold), sumIf(part.amount, NOT sold)
         FROM (SELECT customer, at, amount, true AS sold FROM ({sales}) UNION ALL
               SELECT customer, at, amount, false FROM {REFUNDS} WHERE conversion_id IN (SELECT id FROM ({sales}))) AS part
         JOIN ({members}) AS member ON member.customer = part.customer
         WHERE toDate(part.at, '{zone}') >= '2025-03-01'
         GROUP BY cohort, step",
        cut("member.joined"),
        cut("part.at")
    ));
    let mut cells = Cells::new();
    for line in rows.lines() {
        let [cohort, step, numbers @ ..] = &line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let numbers: Vec<i64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
        cells.insert(
            ((*cohort).to_owned(), (*step).to_owned()),
            numbers.try_into().unwrap(),
        );
    }
    (sizes, cells)
}

fn number(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap()
}

#[test]
fn cohorts_equal_the_raw_rows() {
    let fixture = fixture();
    let attributed = "attributed_by != 'none'";
    let mut seen = 0;
    for zone in ["UTC", "America/New_York", "Asia/Kathmandu"] {
        for step in ["month", "week"] {
            for (query, time, filter) in [
                ("", "at", attributed.to_owned()),
                (
                    "&basis=click",
                    "clicked_at",
                    format!("{attributed} AND click_id != ''"),
                ),
                (
                    "&partnerId=pn_lena&country=-US",
                    "at",
                    format!("{attributed} AND partner_id = 'pn_lena' AND country != 'US'"),
                ),
                ("&attribution=all", "at", "1".to_owned()),
            ] {
                let asked = format!("/cohorts?{PERIOD}&timezone={zone}&step={step}{query}");
                let answer = fixture.get(&asked);
                let (sizes, cells) = oracle(fixture, zone, step, time, &filter);
                let starts: Vec<String> = answer["cohorts"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|cohort| calendar(cohort["start"].as_str().unwrap(), step))
                    .collect();
                let mut found = 0;
                for (place, cohort) in answer["cohorts"].as_array().unwrap().iter().enumerate() {
                    let size = sizes.get(&starts[place]).copied().unwrap_or_default();
                    assert_eq!(number(cohort, "customers"), size, "{asked} {place}");
                    found += size;
                    let mut net = 0;
                    for each in cohort["steps"].as_array().unwrap() {
                        let since = number(each, "since");
                        let at = later(&starts[place], step, since);
                        let expected = cells
                            .get(&(starts[place].clone(), at))
                            .copied()
                            .unwrap_or_default();
                        let own = ["customers", "sales", "saleAmount", "refundAmount"]
                            .map(|name| number(each, name));
                        assert_eq!(own, expected, "{asked} {} + {since}", starts[place]);
                        seen += own[1];
                        net += expected[2] - expected[3];
                        assert_eq!(number(each, "netAmount"), expected[2] - expected[3]);
                        if size > 0 {
                            assert_eq!(each["retention"].as_f64().unwrap(), shares(expected[0], size));
                            let value = number(each, "lifetimeValue");
                            assert!(
                                (value * size - net).abs() * 2 <= size,
                                "{value} x {size} is not {net}"
                            );
                        } else {
                            assert!(each["retention"].is_null() && each["lifetimeValue"].is_null());
                        }
                    }
                    assert_eq!(number(cohort, "netAmount"), net, "{asked}");
                }
                assert_eq!(found, sizes.values().sum::<i64>(), "{asked}: a cohort is missing");
            }
        }
    }
    assert!(seen > 500, "the seed is too thin: {seen}");
}

/// The first day of the step that a time lies in.
fn calendar(start: &str, step: &str) -> String {
    let date: jiff::civil::Date = start[..10].parse().unwrap();
    match step {
        "week" => {
            let back = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(jiff::Span::new().days(back))
                .unwrap()
                .to_string()
        }
        _ => date.first_of_month().to_string(),
    }
}

fn later(start: &str, step: &str, since: i64) -> String {
    let date: jiff::civil::Date = start.parse().unwrap();
    let span = match step {
        "week" => jiff::Span::new().weeks(since),
        _ => jiff::Span::new().months(since),
    };
    date.checked_add(span).unwrap().to_string()
}

#[test]
fn who_is_asked_for_what_cannot_be_says_so() {
    for (query, name) in [
        ("basis=lead", "basis"),
        ("step=day", "step"),
        ("start=1980-01-01&step=week", "start"),
        ("groupBy=countries", "groupBy"),
    ] {
        let (message, _) = fixture().refused(&format!("/cohorts?{query}"), 400, "bad_request");
        assert!(message.starts_with(&format!("{name}:")), "{query}: {message}");
    }
    let none = Fixture::start(|_| ()).get("/cohorts?interval=90d");
    assert!(
        none["cohorts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cohort| cohort["customers"] == 0)
    );
}
