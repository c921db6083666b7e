//! A million events: each number of the API is the view's, and both are what plain SQL says of the raw rows.
//!
//! ```text
//!   /analytics, /overview, /funnel, /customers, /commissions ─┐
//!   timeseries, timeseries_by_link, …, partner_balance ───────┼─► equal
//!   rows that were asserted and not taken back, no roll-up ───┘
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "dashboard/fixture.rs"]
#[allow(dead_code)]
mod fixture;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use fixture::{Fixture, figures};
use serde_json::Value;

/// With leads, sales, renewals, refunds, commissions and what was taken back of them: a million rows and some.
const CLICKS: u32 = 930_000;
/// All 120 days but the first and the last, in UTC.
const FROM: &str = "2024-12-23";
const TO: &str = "2025-04-19";
/// Rows alone: no projection answers.
const PLAIN: &str = "SETTINGS optimize_use_projections = 0";
const PEOPLE: &str = "bot = '' AND duplicate_of = ''";

fn million() -> &'static Fixture {
    static SHARED: OnceLock<Fixture> = OnceLock::new();
    SHARED.get_or_init(|| Fixture::seeded(CLICKS))
}

/// Groups of a statement: the group, a tab, numbers.
type Groups = BTreeMap<String, Vec<i64>>;

/// What a statement answers; groups without any figure are none.
fn groups(statement: &str) -> Groups {
    let mut found = Groups::new();
    for line in million().sql(statement).lines() {
        let mut cells = line.split('\t');
        let name = cells.next().unwrap().to_owned();
        let numbers: Vec<i64> = cells.map(|cell| cell.parse().expect(line)).collect();
        let sums = found.entry(name).or_insert_with(|| vec![0; numbers.len()]);
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number;
        }
    }
    found.retain(|_, numbers| numbers.iter().any(|number| *number != 0));
    found
}

/// The rows of an answer by the values of `fields`.
fn answered(rows: &Value, fields: &[&str]) -> Groups {
    let mut found = Groups::new();
    for row in rows.as_array().unwrap() {
        let names: Vec<&str> = fields.iter().map(|field| row[*field].as_str().unwrap()).collect();
        let before = found.insert(names.join("/"), figures(row).to_vec());
        assert!(before.is_none(), "{names:?} twice");
    }
    found
}

/// Clicks, leads, sales and amount by an expression, of raw rows.
fn plain(group: &str, ledger_group: &str, condition: &str) -> Groups {
    groups(&format!(
        "SELECT name, sum(clicks), sum(leads), sum(sales), sum(amount) FROM (
            SELECT {group} AS name, toInt64(count()) AS clicks, toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount
            FROM clicks WHERE {PEOPLE} AND mode = 'live' AND {condition} GROUP BY name
            UNION ALL
            SELECT {ledger_group} AS name, 0, sumIf(quantity, kind = 'lead'), toInt64(countIf(kind = 'sale')), sumIf(amount, kind = 'sale')
            FROM conversions
            WHERE (id, revision) IN (SELECT id, revision FROM conversions GROUP BY id, revision HAVING sum(sign) > 0)
                AND sign = 1 AND mode = 'live' AND attributed_by != 'none' AND {condition}
            GROUP BY name
         ) GROUP BY name {PLAIN}"
    ))
}

#[test]
fn the_seed_is_a_million_events_and_more() {
    let rows: u64 = ["clicks", "conversions", "refunds", "commissions"]
        .into_iter()
        .map(|table| {
            million()
                .sql(&format!("SELECT count() FROM {table}"))
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert!(rows >= 1_000_000, "{rows}");
    let retracted = million().sql("SELECT countIf(sign = -1) FROM conversions");
    assert!(retracted.parse::<u64>().unwrap() > 1_000, "{retracted}");
}

#[test]
fn groupings() {
    let condition = format!(
        "at >= '{FROM} 00:00:00' AND at < toDateTime64('{TO} 00:00:00', 3, 'UTC') + toIntervalDay(1)"
    );
    // The SDKs' sets of continents and triggers are closed.
    let continent = "if(continent = '', 'AN', toString(continent))";
    let trigger = "multiIf(trigger IN ('qr', 'deeplink', 'pageview'), toString(trigger), trigger = 'script', 'pageview', 'link')";
    for (grouping, fields, group) in [
        ("continents", &["continent"][..], continent),
        ("countries", &["country"], "toString(country)"),
        ("regions", &["country", "region"], "concat(country, '/', region)"),
        (
            "cities",
            &["country", "region", "city"],
            "concat(country, '/', region, '/', city)",
        ),
        ("devices", &["device"], "toString(device)"),
        ("browsers", &["browser"], "toString(browser)"),
        ("os", &["os"], "toString(os)"),
        ("triggers", &["trigger"], trigger),
        ("referers", &["referer"], "toString(referer)"),
        ("referer_urls", &["refererUrl"], "toString(referer_url)"),
        ("top_links", &["id"], "toString(link_id)"),
        ("top_urls", &["url"], "toString(url)"),
        ("top_domains", &["domain"], "toString(domain)"),
        ("top_partners", &["partnerId"], "toString(partner_id)"),
        ("top_programs", &["programId"], "toString(program_id)"),
        ("top_groups", &["groupId"], "toString(group_id)"),
        ("utm_sources", &["utm_source"], "toString(utm_source)"),
        ("coupons", &["coupon"], "''"),
        ("sale_types", &["saleType"], "''"),
    ] {
        let question = format!("/analytics?event=composite&groupBy={grouping}&start={FROM}&end={TO}");
        let api = answered(&million().get(&question), fields);
        let ledger_group = match grouping {
            "coupons" => "toString(coupon)",
            "sale_types" => "toString(sale_type)",
            _ => group,
        };
        let rows = plain(group, ledger_group, &condition);
        assert_eq!(api, rows, "{grouping}");
        let view = match grouping {
            "top_links" | "top_domains" | "top_partners" | "top_programs" | "top_groups" => groups(&format!(
                // The view has everybody's sales; those that nobody earned have no link.
                "SELECT {group} AS name, sum(clicks), sum(leads), sum(sales), sum(amount) FROM timeseries_by_link
                 WHERE mode = 'live' AND time >= '{FROM} 00:00:00' AND time < toDateTime('{TO} 00:00:00', 'UTC') + toIntervalDay(1)
                     AND link_id != '' GROUP BY name"
            )),
            _ => groups(&format!(
                "SELECT name, sum(clicks), sum(leads), sum(sales), sum(amount) FROM (
                    SELECT {group} AS name, toInt64(count()) AS clicks, toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount
                    FROM clicks WHERE {PEOPLE} AND mode = 'live' AND {condition} GROUP BY name
                    UNION ALL
                    SELECT {ledger_group} AS name, 0, sumIf(quantity, kind = 'lead'), toInt64(countIf(kind = 'sale')), sumIf(amount, kind = 'sale')
                    FROM conversions_current WHERE mode = 'live' AND attributed_by != 'none' AND {condition} GROUP BY name
                 ) GROUP BY name"
            )),
        };
        assert_eq!(view, rows, "{grouping}, by its view");
        assert!(
            rows.values().any(|figures| figures[2] > 0),
            "{grouping}: no sales"
        );
    }
}

#[test]
fn series_of_every_zone() {
    for (zone, whole_hours) in [
        ("UTC", true),
        ("Europe/Berlin", true),
        ("America/New_York", true),
        ("Pacific/Apia", true),
        ("Asia/Kolkata", false),
        ("Australia/Lord_Howe", false),
    ] {
        let question = format!("/analytics?event=composite&start=2025-02-20&end=2025-04-10&timezone={zone}");
        let series = million().get(&format!("{question}&groupBy=timeseries"));
        let api: Groups = series
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["start"].as_str().unwrap()[..10].to_owned(),
                    figures(row).to_vec(),
                )
            })
            .filter(|(_, figures)| figures.iter().any(|number| *number != 0))
            .collect();
        let day = format!("toString(toDate(at, '{zone}'))");
        let condition = format!("toDate(at, '{zone}') BETWEEN '2025-02-20' AND '2025-04-10'");
        let rows = plain(&day, &day, &condition);
        assert_eq!(api, rows, "{zone}");
        assert!(rows.len() > 40);
        let count = figures(&million().get(&question));
        let sum = rows
            .values()
            .fold([0; 4], |sum, row| std::array::from_fn(|i| sum[i] + row[i]));
        assert_eq!(count, sum, "{zone}");
        if whole_hours {
            let view = groups(&format!(
                "SELECT toString(toDate(time, '{zone}')) AS name, sum(clicks), 0, 0, 0 FROM timeseries
                 WHERE mode = 'live' AND toDate(time, '{zone}') BETWEEN '2025-02-20' AND '2025-04-10' GROUP BY name
                 UNION ALL
                 SELECT toString(toDate(hour, '{zone}')) AS name, 0, sum(leads), sum(sales), sum(amount)
                 FROM conversions_hourly
                 WHERE mode = 'live' AND attributed_by NOT IN ('', 'none')
                     AND toDate(hour, '{zone}') BETWEEN '2025-02-20' AND '2025-04-10' GROUP BY name"
            ));
            assert_eq!(view, rows, "{zone}, by the views");
        }
    }
}

/// Days inside of a period come from sums, what sticks out of it from rows: of any period, in any zone.
#[test]
fn periods_that_cut_days_and_hours() {
    for (start, end) in [
        ("2025-03-30T00:12:34.567Z", "2025-03-30T03:00:00Z"),
        ("2025-03-01T23:59:59.999Z", "2025-03-09T00:00:00.001Z"),
        ("2025-02-28T18:30:00Z", "2025-03-31T18:30:00Z"),
    ] {
        let condition = format!(
            "at >= parseDateTime64BestEffort('{start}', 3, 'UTC') AND at < parseDateTime64BestEffort('{end}', 3, 'UTC')"
        );
        for (filter, sql) in [
            ("", "1"),
            ("&partnerId=pn_lena", "partner_id = 'pn_lena'"),
            ("&linkId=-lnk_home", "link_id != 'lnk_home'"),
        ] {
            let rows = plain("'all'", "'all'", &format!("{condition} AND {sql}"));
            let count = figures(&million().get(&format!(
                "/analytics?event=composite&start={start}&end={end}{filter}"
            )));
            assert_eq!(count.to_vec(), rows["all"], "{start} {end} {filter}");
            let by_link = answered(
                &million().get(&format!(
                    "/analytics?event=composite&groupBy=top_links&start={start}&end={end}{filter}"
                )),
                &["id"],
            );
            let expected = plain(
                "toString(link_id)",
                "toString(link_id)",
                &format!("{condition} AND {sql}"),
            );
            assert_eq!(by_link, expected, "{start} {end} {filter}");
        }
    }
}

#[test]
fn money_of_the_overview() {
    let overview = million().get(&format!("/overview?start={FROM}&end={TO}"));
    let number = |name: &str| overview[name].as_i64().unwrap();
    let api = [
        number("refundAmount"),
        number("refunds"),
        number("commission"),
        overview["unattributed"]["saleAmount"].as_i64().unwrap(),
        number("totalAmount"),
    ];
    let during = |time: &str| {
        format!(
            "mode = 'live' AND {time} >= '{FROM} 00:00:00' AND {time} < toDateTime64('{TO} 00:00:00', 3, 'UTC') + toIntervalDay(1)"
        )
    };
    let one = |statement: String| -> i64 { million().sql(&statement).parse().unwrap() };
    let net = |what: &str, table: &str| {
        one(format!(
            "SELECT sum(sign * {what}) FROM {table} WHERE {} {PLAIN}",
            during("at")
        ))
    };
    let rows = [
        net("amount", "refunds"),
        net("1", "refunds"),
        net("amount", "commissions"),
        one(format!(
            "SELECT sum(sign * amount) FROM conversions WHERE {} AND kind = 'sale' AND attributed_by = 'none' {PLAIN}",
            during("at")
        )),
        one(format!(
            "SELECT sum(sign * amount) FROM conversions WHERE {} AND kind = 'sale' {PLAIN}",
            during("at")
        )),
    ];
    let of_view =
        |what: &str, view: &str| one(format!("SELECT sum({what}) FROM {view} WHERE {}", during("time")));
    let views = [
        of_view("refunded", "timeseries"),
        of_view("refunds", "timeseries"),
        of_view("earned", "timeseries_by_link"),
        of_view("amount", "revenue_unattributed"),
        of_view("amount", "timeseries"),
    ];
    assert_eq!(api, rows);
    assert_eq!(views, rows);
    assert!(rows.iter().all(|number| *number > 0), "{rows:?}");
}

#[test]
fn the_funnel_of_both_bases() {
    let by_day = |statement: &str| groups(statement).into_values().next().unwrap();
    let condition = format!(
        "at >= '{FROM} 00:00:00' AND at < toDateTime64('{TO} 00:00:00', 3, 'UTC') + toIntervalDay(1)"
    );
    let steps = |basis: &str| -> Vec<i64> {
        let answer = million().get(&format!(
            "/funnel?basis={basis}&start={FROM}&end={TO}&attribution=all"
        ));
        let steps = answer["steps"].as_array().unwrap();
        steps.iter().map(|step| step["count"].as_i64().unwrap()).collect()
    };
    let clicks = plain("'all'", "'all'", &condition)["all"][0];
    let standing = "(id, revision) IN (SELECT id, revision FROM conversions GROUP BY id, revision HAVING sum(sign) > 0) AND sign = 1";
    let during = by_day(&format!(
        "SELECT 'all', sumIf(quantity, kind = 'lead'), countIf(kind = 'sale' AND sale_type != 'recurring')
         FROM conversions WHERE {standing} AND mode = 'live' AND {condition} {PLAIN}"
    ));
    assert_eq!(steps("period"), [clicks, during[0], during[1]]);
    let all = by_day(&format!(
        "SELECT 'all', sum(clicks), sum(leads), sum(sales) FROM funnel
         WHERE mode = 'live' AND time >= '{FROM} 00:00:00' AND time < toDateTime('{TO} 00:00:00', 'UTC') + toIntervalDay(1)"
    ));
    let sales: i64 = million()
        .sql(&format!(
            "SELECT sumIf(sign, kind = 'sale') FROM conversions WHERE mode = 'live' AND {condition} {PLAIN}"
        ))
        .parse()
        .unwrap();
    assert_eq!(all, [clicks, during[0], sales], "view funnel");

    let clicked = condition
        .replace("at >=", "clicked_at >=")
        .replace("at <", "clicked_at <");
    let cohort = by_day(&format!(
        "SELECT 'all', uniqExactIf(click_id, kind = 'lead'), uniqExactIf(click_id, kind = 'sale'),
                sumIf(quantity, kind = 'lead'), countIf(kind = 'sale')
         FROM conversions WHERE {standing} AND mode = 'live' AND click_id != '' AND {clicked} {PLAIN}"
    ));
    assert_eq!(steps("cohort"), [clicks, cohort[0], cohort[1]]);
    let view = by_day(&format!(
        "SELECT 'all', sum(clicks), sum(leads), sum(sales) FROM funnel_cohort
         WHERE mode = 'live' AND time >= '{FROM} 00:00:00' AND time < toDateTime('{TO} 00:00:00', 'UTC') + toIntervalDay(1)"
    ));
    assert_eq!(
        view,
        [clicks, cohort[2], cohort[3]],
        "view funnel_cohort counts what was told, not clicks"
    );
}

#[test]
fn customers_and_partners() {
    let rows = groups(&format!(
        "SELECT customer, sum(sales), sum(amount), sum(refunded) FROM (
            SELECT customer, sumIf(sign, kind = 'sale') AS sales, sumIf(sign * amount, kind = 'sale') AS amount, toInt64(0) AS refunded
            FROM conversions WHERE mode = 'live' GROUP BY customer
            UNION ALL SELECT customer, 0, 0, sum(sign * amount) FROM refunds WHERE mode = 'live' GROUP BY customer
         ) WHERE customer != '' GROUP BY customer {PLAIN}"
    ));
    let view = groups(
        "SELECT customer, sum(sales), sum(amount), sum(refunded) FROM customer_ltv WHERE mode = 'live' GROUP BY customer",
    );
    assert_eq!(view, rows);
    assert!(rows.len() > 1_000);
    // Each thousandth, one by one.
    for (customer, numbers) in rows.iter().step_by(1_000) {
        let answer = million().get(&format!("/customers/{customer}"));
        assert_eq!(
            [answer["sales"].as_i64(), answer["saleAmount"].as_i64()],
            [Some(numbers[0]), Some(numbers[1])],
            "{customer}"
        );
    }

    let rows = groups(&format!(
        "SELECT partner_id, sum(sign * amount), sumIf(sign * amount, state = 'pending'), sumIf(sign * amount, state = 'approved')
         FROM commissions WHERE mode = 'live' GROUP BY partner_id {PLAIN}"
    ));
    let view = groups(
        "SELECT partner_id, sum(earned), sum(pending), sum(approved) FROM partner_balance WHERE mode = 'live' GROUP BY partner_id",
    );
    assert_eq!(view, rows);
    let by_link = groups(
        "SELECT partner_id, sum(earned) FROM timeseries_by_link WHERE mode = 'live' GROUP BY partner_id",
    );
    let earned: Groups = rows
        .iter()
        .map(|(partner, numbers)| (partner.clone(), vec![numbers[0]]))
        .collect();
    assert_eq!(by_link, earned);
}
