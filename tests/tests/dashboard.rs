//! The read API against a real ClickHouse: its numbers equal plain SQL over the raw rows.
//!
//! The oracle never reads a roll-up or a view: it takes rows that were asserted and not taken back, by `GROUP BY id,
//! revision HAVING sum(sign) > 0`, and cuts days with ClickHouse's own time zones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "dashboard/cohorts.rs"]
mod cohorts;
#[path = "dashboard/commissions.rs"]
mod commissions;
#[path = "dashboard/conversions.rs"]
mod conversions;
#[path = "dashboard/cookbook.rs"]
mod cookbook;
#[path = "dashboard/csv.rs"]
mod csv_lists;
#[path = "dashboard/customers.rs"]
mod customers;
#[path = "dashboard/declared.rs"]
mod declared;
#[path = "dashboard/figures.rs"]
mod figures_of;
#[path = "dashboard/fixture.rs"]
mod fixture;
#[path = "dashboard/grafana.rs"]
mod grafana;
#[path = "dashboard/lookups.rs"]
mod lookups;
#[path = "dashboard/pages.rs"]
mod pages;
#[path = "dashboard/pipeline.rs"]
mod pipeline;
#[path = "dashboard/world.rs"]
mod world;

use std::collections::BTreeMap;

use fixture::{Fixture, PERIOD, STANDING, figures, fixture, shares};
use serde_json::Value;

/// Zones with half and quarter hours, without daylight saving, with half an hour of it, and of both hemispheres.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
];

const GROUPINGS: [&str; 23] = [
    "continents",
    "countries",
    "regions",
    "cities",
    "devices",
    "browsers",
    "os",
    "triggers",
    "referers",
    "referer_urls",
    "top_links",
    "top_urls",
    "top_domains",
    "top_partners",
    "top_programs",
    "top_groups",
    "utm_sources",
    "utm_mediums",
    "utm_campaigns",
    "utm_terms",
    "utm_contents",
    "coupons",
    "sale_types",
];

fn total(rows: &Value) -> [i64; 4] {
    let rows = rows.as_array().unwrap();
    rows.iter()
        .map(figures)
        .fold([0; 4], |sum, row| std::array::from_fn(|i| sum[i] + row[i]))
}

fn oracle(fixture: &Fixture, clicks: &str, conversions: &str) -> [i64; 4] {
    let clicks: i64 = fixture
        .sql(&format!(
            "SELECT count() FROM clicks WHERE bot = '' AND duplicate_of = '' AND mode = 'live' AND {clicks}"
        ))
        .parse()
        .unwrap();
    let row = fixture.sql(&format!(
        "SELECT sumIf(quantity, kind = 'lead'), countIf(kind = 'sale'), sumIf(amount, kind = 'sale') FROM {STANDING}
         WHERE mode = 'live' AND {conversions}"
    ));
    let numbers: Vec<i64> = row.split('\t').map(|number| number.parse().unwrap()).collect();
    [clicks, numbers[0], numbers[1], numbers[2]]
}

#[test]
fn counts_equal_the_raw_rows_under_every_filter() {
    let fixture = fixture();
    let period = "at >= '2025-03-01 00:00:00' AND at < '2025-04-15 00:00:00'";
    let attributed = "attributed_by != 'none'";
    for (query, clicks, conversions) in [
        ("", "1", attributed),
        ("attribution=all", "1", "1"),
        ("attribution=unattributed", "0", "attributed_by = 'none'"),
        (
            "partnerId=pn_lena",
            "partner_id = 'pn_lena'",
            "partner_id = 'pn_lena'",
        ),
        (
            "country=US,DE",
            "country IN ('US','DE')",
            "country IN ('US','DE') AND attributed_by != 'none'",
        ),
        (
            "country=-US,DE",
            "country NOT IN ('US','DE')",
            "country NOT IN ('US','DE') AND attributed_by != 'none'",
        ),
        (
            "city=Berlin&browser=-Edge",
            "city = 'Berlin' AND browser != 'Edge'",
            "city = 'Berlin' AND browser != 'Edge'",
        ),
        ("coupon=LENA20", "0", "coupon = 'LENA20'"),
        (
            "saleType=recurring",
            "0",
            "sale_type = 'recurring' AND attributed_by != 'none'",
        ),
        ("partnerId=%27%29+OR+1%3D1+--", "0", "0"),
    ] {
        let expected = oracle(
            fixture,
            &format!("{period} AND {clicks}"),
            &format!("{period} AND {conversions}"),
        );
        let count = fixture.get(&format!(
            "/analytics?event=composite&start=2025-03-01&end=2025-04-14&{query}"
        ));
        assert_eq!(figures(&count), expected, "{query}");
        for (position, event) in ["clicks", "leads", "sales"].into_iter().enumerate() {
            let count = fixture.get(&format!(
                "/analytics?event={event}&start=2025-03-01&end=2025-04-14&{query}"
            ));
            let own = figures(&count);
            assert_eq!(own[position], expected[position], "{event} {query}");
            assert_eq!(
                own.iter().filter(|n| **n != 0).count(),
                own.iter()
                    .zip(expected)
                    .filter(|(a, b)| **a != 0 && **a == *b)
                    .count()
            );
        }
    }
    let unfiltered = oracle(fixture, period, &format!("{period} AND {attributed}"));
    assert!(
        unfiltered.iter().all(|number| *number > 50),
        "the seed is too thin: {unfiltered:?}"
    );
}

#[test]
fn sums_by_hour_and_raw_rows_agree() {
    let fixture = fixture();
    for zone in ZONES {
        // A filter on a detail that no row has forces the raw rows.
        let question = format!(
            "/analytics?event=composite&groupBy=timeseries&start=2025-03-01&end=2025-03-31&timezone={zone}"
        );
        assert_eq!(
            fixture.get(&question),
            fixture.get(&format!("{question}&browser=-Netscape")),
            "{zone}"
        );
    }
    for filter in [
        "",
        "&partnerId=pn_lena",
        "&country=-US&coupon=LENA20",
        "&saleType=new",
    ] {
        let question = format!("/overview?{PERIOD}{filter}");
        assert_eq!(
            fixture.get(&question),
            fixture.get(&format!("{question}&browser=-Netscape")),
            "{filter}"
        );
    }
}

#[test]
fn a_series_sums_to_the_count_in_every_zone_and_interval() {
    let fixture = fixture();
    for zone in ZONES {
        for period in [
            "interval=24h",
            "interval=7d",
            "interval=90d",
            "interval=1y",
            "interval=mtd",
            "interval=qtd",
            "interval=ytd",
            "interval=all",
            "start=2025-03-08&end=2025-03-09",
            "start=2025-03-01&end=2025-04-20",
            "start=2024-06-01&end=2025-06-01",
            "start=2025-03-30T00:12:34.567Z&end=2025-03-30T03:00:00Z",
            "start=2025-03-28T10:07:01&end=2025-04-06T01:59:59.999",
        ] {
            let question = format!("/analytics?event=composite&{period}&timezone={zone}");
            let count = figures(&fixture.get(&question));
            assert_eq!(
                total(&fixture.get(&format!("{question}&groupBy=timeseries"))),
                count,
                "{zone} {period}"
            );
        }
        let all = figures(&fixture.get(&format!(
            "/analytics?event=composite&interval=all&timezone={zone}"
        )));
        assert_eq!(all, oracle(fixture, "1", "attributed_by != 'none'"), "{zone}");
    }
}

#[test]
fn days_are_the_days_of_the_zone() {
    let fixture = fixture();
    for zone in ZONES {
        let series = fixture.get(&format!(
            "/analytics?event=composite&groupBy=timeseries&start=2025-03-01&end=2025-04-19&timezone={zone}"
        ));
        let days: BTreeMap<String, i64> = series
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["start"].as_str().unwrap()[..10].to_owned(),
                    row["clicks"].as_i64().unwrap(),
                )
            })
            .collect();
        assert_eq!(days.len(), 50, "{zone}");
        let expected = fixture.sql(&format!(
            "SELECT toDate(at, '{zone}') AS day, count() FROM clicks
             WHERE mode = 'live' AND bot = '' AND duplicate_of = '' AND day >= '2025-03-01' AND day <= '2025-04-19'
             GROUP BY day ORDER BY day"
        ));
        let expected: BTreeMap<String, i64> = expected
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(day, count)| (day.to_owned(), count.parse().unwrap()))
            .collect();
        assert_eq!(days, expected, "{zone}");
    }
    // The hour that the clock skips is no bucket; the day has 23.
    let hours =
        fixture.get("/analytics?groupBy=timeseries&start=2025-03-30&end=2025-03-30&timezone=Europe/Berlin");
    let starts: Vec<&str> = hours
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["start"].as_str().unwrap())
        .collect();
    assert_eq!(starts.len(), 23);
    assert_eq!(
        starts[1..3],
        ["2025-03-30T01:00:00.000+01:00", "2025-03-30T03:00:00.000+02:00"]
    );
}

#[test]
fn groups_sum_to_the_count_and_name_what_they_group() {
    let fixture = fixture();
    for grouping in GROUPINGS {
        for filter in ["", "&country=-US", "&city=Berlin"] {
            let question = format!("/analytics?event=composite&{PERIOD}{filter}");
            let groups = fixture.get(&format!("{question}&groupBy={grouping}"));
            assert_eq!(
                total(&groups),
                figures(&fixture.get(&question)),
                "{grouping}{filter}"
            );
        }
    }
    let groups = fixture.get(&format!("/analytics?event=composite&groupBy=countries&{PERIOD}"));
    assert_eq!(groups[0]["country"], "US");
    assert_eq!(groups[0]["region"], "*");
}

#[test]
fn the_funnel_equals_the_raw_rows_on_both_bases() {
    let fixture = fixture();
    let steps = |answer: &Value| -> Vec<i64> {
        answer["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["count"].as_i64().unwrap())
            .collect()
    };
    for (basis, time) in [("period", "at"), ("cohort", "clicked_at")] {
        let period =
            format!("{time} >= '2025-03-01 00:00:00' AND {time} < '2025-04-20 00:00:00' AND mode = 'live'");
        let clicks = oracle(
            fixture,
            "at >= '2025-03-01 00:00:00' AND at < '2025-04-20 00:00:00'",
            "1",
        )[0];
        let row = fixture.sql(&match basis {
            "period" => format!(
                "SELECT sumIf(quantity, kind = 'lead'), countIf(kind = 'sale' AND sale_type = 'new') FROM {STANDING}
                 WHERE {period} AND attributed_by != 'none'"
            ),
            _ => format!(
                "SELECT uniqExactIf(click_id, kind = 'lead'), uniqExactIf(click_id, kind = 'sale') FROM {STANDING}
                 WHERE {period} AND attributed_by != 'none' AND click_id != ''"
            ),
        });
        let (leads, sales) = row
            .split_once('\t')
            .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()))
            .unwrap();
        let answer = fixture.get(&format!("/funnel?basis={basis}&{PERIOD}&groupBy=top_partners"));
        assert_eq!(steps(&answer), [clicks, leads, sales], "{basis}");
        assert!(sales > 20 && leads > sales && clicks > leads);
        let mut sum = vec![0; 3];
        for group in answer["groups"].as_array().unwrap() {
            sum = sum.iter().zip(steps(group)).map(|(a, b)| a + b).collect();
        }
        assert_eq!(sum, [clicks, leads, sales], "{basis}: partners add up");
        // Of the period's leads, or of each click of the cohort its first.
        let of_one = match basis {
            "period" => "id",
            _ => "click_id",
        };
        let median = fixture.sql(&format!(
            "SELECT intDiv(arraySort(groupArray(t))[intDiv(count() + 1, 2)], 1000) FROM (
                SELECT min(toUnixTimestamp64Milli(at)) - any(toUnixTimestamp64Milli(clicked_at)) AS t FROM {STANDING}
                WHERE {period} AND kind = 'lead' AND click_id != '' GROUP BY {of_one})"
        ));
        let (told, median) = (
            answer["medianSecondsToConvert"]["lead"].as_f64().unwrap(),
            median.parse::<f64>().unwrap(),
        );
        // Of a period to one part in 64.
        let most = if basis == "period" { median / 64.0 } else { 0.0 };
        assert!((told - median).abs() <= most, "{basis}: {told}, {median}");
        assert_eq!(answer["steps"][1]["dropOff"], clicks - leads);
        assert_eq!(
            answer["steps"][1]["conversionRate"].as_f64().unwrap(),
            shares(leads, clicks)
        );
    }
}

#[test]
fn the_overview_tells_what_nobody_earned_and_what_went_back() {
    let fixture = fixture();
    let period = "at >= '2025-03-01 00:00:00' AND at < '2025-04-20 00:00:00' AND mode = 'live'";
    let overview = fixture.get(&format!("/overview?{PERIOD}"));
    let lost = fixture.sql(&format!(
        "SELECT sum(amount) FROM {STANDING} WHERE {period} AND kind = 'sale' AND attributed_by = 'none'"
    ));
    let refunded = fixture.sql(&format!(
        "SELECT sum(amount) FROM (SELECT id, revision, any(at) AS at, any(mode) AS mode, any(amount) AS amount
         FROM refunds GROUP BY id, revision HAVING sum(sign) > 0) WHERE {period}"
    ));
    let all = fixture.sql(&format!(
        "SELECT sum(amount) FROM {STANDING} WHERE {period} AND kind = 'sale'"
    ));
    let machines = fixture.sql(&format!(
        "SELECT countIf(bot != ''), countIf(bot = '' AND duplicate_of != '') FROM clicks WHERE {period}"
    ));
    assert_eq!(overview["unattributed"]["saleAmount"].to_string(), lost);
    assert_eq!(overview["refundAmount"].to_string(), refunded);
    assert_eq!(overview["totalAmount"].to_string(), all);
    assert_eq!(
        format!("{}\t{}", overview["bots"], overview["duplicates"]),
        machines
    );
    let net = overview["totalAmount"].as_i64().unwrap() - overview["refundAmount"].as_i64().unwrap();
    assert_eq!(overview["netAmount"], net);
    let before = fixture.get("/analytics?event=composite&start=2025-01-10&end=2025-02-28");
    assert_eq!(figures(&overview["previous"]), figures(&before));
}
