//! Lists, look-ups, refusals and the page.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixture::{Fixture, STANDING, figures, fixture};

#[test]
fn pages_of_events_neither_repeat_nor_skip() {
    let fixture = fixture();
    // It begins and ends within an hour and a day: sums tell the rest.
    let period = "at >= '2025-04-10 07:20:00' AND at < '2025-04-20 09:45:30' AND mode = 'live'";
    for (event, from) in [
        (
            "clicks",
            format!("clicks WHERE {period} AND bot = '' AND duplicate_of = ''"),
        ),
        ("leads", format!("{STANDING} WHERE {period} AND kind = 'lead'")),
        ("sales", format!("{STANDING} WHERE {period} AND kind = 'sale'")),
        (
            "refunds",
            format!(
                "(SELECT id, revision, any(at) AS at, any(mode) AS mode FROM refunds GROUP BY id, revision HAVING sum(sign) > 0) WHERE {period}"
            ),
        ),
    ] {
        let mut expected: Vec<String> = fixture
            .sql(&format!("SELECT id FROM {from} ORDER BY at DESC, id DESC"))
            .lines()
            .map(str::to_owned)
            .collect();
        assert!(expected.len() > 3, "{event}: the seed is too thin");
        for (order, limit) in [("desc", 37), ("asc", 41), ("desc", 1000)] {
            let mut found = Vec::new();
            for page in 1.. {
                let rows = fixture.get(&format!(
                    "/events?event={event}&start=2025-04-10T07:20:00Z&end=2025-04-20T09:45:30Z&page={page}&limit={limit}&sortOrder={order}"
                ));
                let rows = rows.as_array().unwrap();
                found.extend(rows.iter().map(|row| {
                    let id = if event == "clicks" {
                        &row["click"]["id"]
                    } else {
                        &row["eventId"]
                    };
                    id.as_str().unwrap().to_owned()
                }));
                if rows.is_empty() {
                    break;
                }
            }
            assert_eq!(found.len(), expected.len(), "{event} {order}");
            assert_eq!(found, expected, "{event} {order}");
            expected.reverse();
        }
    }
}

#[test]
fn a_payment_is_found_by_each_of_its_ids() {
    let fixture = fixture();
    let row = fixture.sql(&format!(
        "SELECT id, arrayStringConcat(keys, ' '), amount FROM {STANDING} WHERE mode = 'live' AND id IN
            (SELECT conversion_id FROM refunds GROUP BY conversion_id HAVING sum(sign) > 0) AND partner_id != '' ORDER BY id LIMIT 1"
    ));
    let [id, keys, amount] = row.split('\t').collect::<Vec<_>>()[..] else {
        panic!("{row}")
    };
    let amount: i64 = amount.parse().unwrap();
    let bare = keys.split(' ').map(|key| key.split_once(':').unwrap().1);
    for key in [id].into_iter().chain(keys.split(' ')).chain(bare) {
        let payment = fixture.get(&format!("/payments/{}", key.replace(':', "%3A")));
        assert_eq!(payment["conversion"]["id"], id, "{key}");
        let back: i64 = payment["refunds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["amount"].as_i64().unwrap())
            .sum();
        assert!(back > 0 && payment["net"]["amount"] == amount - back);
        let earned: i64 = payment["commissions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["amount"].as_i64().unwrap())
            .sum();
        assert_eq!(payment["net"]["commission"], earned);
        assert_eq!(payment["commissions"].as_array().unwrap().len(), 2);
        assert_eq!(payment["explanation"]["rule"], "C3");
    }
    let gone = fixture.sql("SELECT id FROM conversions WHERE mode = 'live' AND kind = 'sale' GROUP BY id HAVING sum(sign) = 0 ORDER BY id LIMIT 1");
    assert_eq!(
        fixture.refused(&format!("/payments/{gone}"), 404, "not_found").1,
        ""
    );
    let test = fixture.sql(&format!(
        "SELECT id FROM {STANDING} WHERE mode = 'test' AND kind = 'sale' ORDER BY id LIMIT 1"
    ));
    let (message, _) = fixture.refused(&format!("/payments/{test}"), 404, "not_found");
    assert!(message.contains("mode=test"), "{message}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_parameters_name() {
    let fixture = fixture();
    for (path, name) in [
        ("/analytics?event=clik", "event"),
        ("/analytics?groupBy=planets", "groupBy"),
        ("/analytics?interval=8d", "interval"),
        ("/analytics?timezone=Mars/Base", "timezone"),
        ("/analytics?start=soon", "start"),
        ("/analytics?end=2025-01-01", "start"),
        ("/analytics?start=2025-02-01&end=2025-01-01", "end"),
        ("/analytics?start=1600-01-01", "start"),
        ("/analytics?contry=US", "contry"),
        ("/analytics?mode=live&mode=test", "mode"),
        ("/analytics?attribution=some", "attribution"),
        ("/funnel?basis=week", "basis"),
        ("/funnel?groupBy=count", "groupBy"),
        ("/events?event=composite", "event"),
        ("/events?page=0", "page"),
        ("/events?limit=1001", "limit"),
        ("/events?limit=ten", "limit"),
        ("/events?sortOrder=up", "sortOrder"),
        ("/events?sortBy=amount", "sortBy"),
        ("/payments/x?interval=7d", "interval"),
    ] {
        let (message, _) = fixture.refused(path, 400, "bad_request");
        assert!(message.starts_with(&format!("{name}:")), "{path}: {message}");
    }
}

#[test]
fn what_is_not_offered_says_so() {
    let fixture = fixture();
    for path in ["/links", "/links/info", "/events/stream", "/tags"] {
        fixture.refused(path, 501, "not_implemented");
    }
    for path in ["/nothing", "/analytics/more", "/payments/in_unknown"] {
        fixture.refused(path, 404, "not_found");
    }
}

#[test]
fn what_is_described_is_there() {
    let fixture = fixture();
    let document = fixture.get("/openapi.json");
    let (mut seen, mut compared) = (0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        // Of the edge, or of what is managed, which needs Kafka.
        let elsewhere = ["/track", "/{key}", "/links", "/events/stream"];
        if methods["get"].is_null() || elsewhere.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        if ["/partners", "/partners/links", "/pipeline"].contains(&path.as_str()) {
            continue;
        }
        let one = path.replace("{id}", "nobody");
        let (status, text) = fixture.status(&one);
        let known = match path.as_str() {
            "/partners/analytics" => status == 400,
            path if path.contains('{') => status == 404,
            _ => status == 200,
        };
        assert!(known, "{path}: {status} {text}");
        seen += 1;
        // Who asks for something else is told what there is: the same.
        let (_, text) = fixture.status(&format!("{one}?bogus=1"));
        let Some((_, told)) = text.split_once("not a parameter of this operation; those are ") else {
            continue;
        };
        let told = told.split('"').next().unwrap().split(", ");
        // The format is taken before the operation, or by it.
        let told: BTreeSet<&str> = told
            .filter(|name| !["ownPartner", "format"].contains(name))
            .collect();
        let described = methods["get"]["parameters"].as_array().unwrap().iter();
        let described = described.filter(|parameter| parameter["in"] == "query");
        let described = described.map(|parameter| parameter["name"].as_str().unwrap());
        let described: BTreeSet<&str> = described.filter(|name| *name != "format").collect();
        assert_eq!(described, told, "{path}");
        compared += 1;
    }
    assert!(compared > 8, "{compared}");
    assert!(seen > 10, "{seen}");
}

#[test]
fn what_was_paid_stays_with_its_payment() {
    // As the ledger writes them: what was paid names no conversion, and by whatever ID the payout named.
    let fixture = Fixture::start(|sql| {
        sql(
            "INSERT INTO conversions (id, revision, sign, workspace, mode, kind, at, object, keys, amount, currency, attributed_by,
             commission, partner_id) SELECT concat('sale_', n), 1, 1, 'acme', 'live', 'sale', '2026-05-04 10:00:00',
             concat('in:in_', n), [concat('in:in_', n), concat('pi:pi_', n)], 1000, 'usd', 'click', 200, 'pn_lena'
             FROM (SELECT arrayJoin(['paid', 'reduced', 'open']) AS n)",
        );
        sql(
            "INSERT INTO commissions (id, revision, sign, workspace, mode, kind, at, object, keys, conversion_id, refund_id,
             amount, currency, state, payout_id, partner_id) VALUES
             ('p1', 1, 1, 'acme', 'live', 'sale', '2026-06-01', 'in:in_paid', ['in_paid'], '', '', 200, 'usd', 'paid', 'po_1', 'pn_lena'),
             ('p2', 1, 1, 'acme', 'live', 'sale', '2026-06-01', 'pi:pi_reduced', ['pi_reduced'], '', '', 200, 'usd', 'paid', 'po_1', 'pn_lena'),
             ('c2', 2, 1, 'acme', 'live', 'correction', '2026-05-04', 'in:in_reduced', ['in:in_reduced', 'pi:pi_reduced'],
              'sale_reduced', '', -50, 'usd', 'pending', '', 'pn_lena'),
             ('c3', 1, 1, 'acme', 'live', 'sale', '2026-05-04', 'in:in_open', ['in:in_open', 'pi:pi_open'], 'sale_open', '',
              200, 'usd', 'pending', '', 'pn_lena'),
             ('g', 1, 1, 'acme', 'live', 'custom', '2026-06-01', 'custom:in_paid', ['in_paid'], '', '', 7, 'usd', 'paid', 'po_1', 'pn_lena'),
             ('o', 1, 1, 'acme', 'live', 'sale', '2026-06-01', 'in:in_other', ['in_other'], '', '', 9, 'usd', 'paid', 'po_1', 'pn_lena')",
        );
    });
    for (id, earned, states) in [
        ("in_paid", 200, &["paid"][..]),
        ("pi_paid", 200, &["paid"]),
        ("sale_paid", 200, &["paid"]),
        ("in_reduced", 150, &["pending", "paid"]),
        ("pi_reduced", 150, &["pending", "paid"]),
        ("in_open", 200, &["pending"]),
    ] {
        let payment = fixture.get(&format!("/payments/{id}"));
        assert_eq!(payment["net"]["commission"], earned, "{id}");
        let rows = payment["commissions"].as_array().unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row["state"].as_str().unwrap()).collect();
        assert_eq!(found, states, "{id}");
    }
}

#[test]
fn several_workspaces_need_a_name() {
    let fixture = Fixture::start(|sql| {
        sql(
            "INSERT INTO clicks (workspace, mode, at) VALUES ('ws_a', 'live', '2025-01-01 00:00:00'), ('ws_b', 'live', '2025-01-01 00:00:00'), ('ws_b', 'live', '2025-01-01 00:00:01')",
        );
    });
    let (message, _) = fixture.refused("/analytics", 400, "bad_request");
    assert!(
        message.starts_with("workspace:") && message.contains("ws_a, ws_b"),
        "{message}"
    );
    assert_eq!(
        fixture.get("/analytics?workspace=ws_b&interval=all&groupBy=top_partners")[0]["clicks"],
        2
    );
}

#[test]
fn without_data_everything_is_zero_and_well_formed() {
    let fixture = Fixture::start(|_| ());
    assert_eq!(
        figures(&fixture.get("/analytics?event=composite&interval=all")),
        [0; 4]
    );
    assert_eq!(
        fixture
            .get("/analytics?groupBy=timeseries&interval=7d")
            .as_array()
            .unwrap()
            .len(),
        7
    );
    assert_eq!(fixture.get("/funnel")["steps"][2]["conversionRate"], Value::Null);
    assert_eq!(fixture.get("/overview")["netAmount"], 0);
    assert_eq!(fixture.get("/events?event=sales"), serde_json::json!([]));
    assert_eq!(fixture.get("/workspaces"), serde_json::json!([]));
}

#[test]
fn without_clickhouse_it_lives_is_not_ready_and_says_nothing_of_the_inside() {
    let fixture = Fixture::without_clickhouse();
    assert_eq!(fixture.get("/healthz")["status"], "ok");
    for path in ["/readyz", "/analytics", "/overview", "/payments/in_1"] {
        let (message, retry) = fixture.refused(path, 503, "internal_server_error");
        assert_eq!(retry, "2");
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
}

#[test]
fn the_page_is_embedded_and_loads_nothing_from_elsewhere() {
    let fixture = fixture();
    let (page, headers) = fixture.text("/", "");
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    for asset in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let (body, _) = fixture.text(asset, "");
        assert!(
            !body.is_empty() && !body.replace("http://www.w3.org/2000/svg", "").contains("://"),
            "{asset}"
        );
    }
    let tag = headers["etag"].to_str().unwrap();
    assert_eq!(fixture.text("/", tag).0, "");
    assert!(fixture.get("/readyz")["status"] == "ready");
}
