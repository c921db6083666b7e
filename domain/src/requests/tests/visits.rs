//! Who clicks: repeats, consent, places, limits.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::totals;

/// An edge that remembers first clicks.
struct Remembering {
    firsts: RefCell<Firsts>,
    random: RefCell<u64>,
}

impl Remembering {
    fn new(limit: usize) -> Self {
        Self {
            firsts: RefCell::new(Firsts::new(limit)),
            random: RefCell::new(0),
        }
    }

    fn take(&self, sent: &Sent<'_>, at: i64) -> Accepted {
        *self.random.borrow_mut() += 1;
        let call = Call {
            at,
            random: *self.random.borrow(),
            signature: Signature::NotNeeded,
            visitor_secret: b"salt",
            admit: &|_| Ok(()),
            first: &|key, hour| self.firsts.borrow().first(key, hour),
        };
        let accepted = sent.with(&directory(), &call).unwrap();
        if let Some(visit) = accepted.visit {
            self.firsts.borrow_mut().keep(visit);
        }
        accepted
    }
}

const HOUR: i64 = 3_600_000;

fn script(key: Option<&'static str>) -> Sent<'static> {
    Sent::post(
        "/track/click",
        key,
        &json!({"domain": "go.acme.example", "key": "ada"}),
    )
}

#[test]
fn a_repeat_is_told_the_first_id_and_recorded_under_its_own() {
    let edge = Remembering::new(100);
    let first = edge.take(&Sent::get("/ada"), AT);
    let id = click(&first).id.clone();
    for repeat in [Sent::get("/ada"), script(None), script(Some("Bearer pk_live"))] {
        let again = edge.take(&repeat, AT + 1000);
        assert_ne!(click(&again).id, id);
        assert_eq!(click(&again).duplicate_of, id);
        assert_eq!(click(&again).visitor, click(&first).visitor);
        let told = match again.response.status {
            302 => header(&again.response, "location").to_owned() + header(&again.response, "set-cookie"),
            _ => again.response.body.clone(),
        };
        assert!(told.contains(&id) && !told.contains(&click(&again).id), "{told}");
    }
    let tenant = Sent::post(
        "/tracking/click/v1",
        None,
        &json!({"tenantId": "acme", "key": "ada"}),
    );
    assert_eq!(body(&edge.take(&tenant, AT))["cid"], id);
}

#[test]
fn another_visitor_link_mode_or_hour_is_no_repeat() {
    let edge = Remembering::new(100);
    edge.take(&Sent::get("/ada"), AT);
    let other_agent = Sent {
        headers: vec![("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0")],
        ..Sent::get("/ada")
    };
    let next_hour = (AT.div_euclid(HOUR) + 1) * HOUR;
    for (name, sent, at) in [
        ("another visitor", other_agent, AT),
        ("another link", Sent::get("/pay"), AT),
        ("a server's word", script(Some("Bearer sk_live")), AT),
        ("another mode", script(Some("Bearer sk_test")), AT),
        ("the next hour", Sent::get("/ada"), next_hour),
    ] {
        assert_eq!(click(&edge.take(&sent, at)).duplicate_of, "", "{name}");
    }
}

#[test]
fn a_person_after_a_machine_is_the_first() {
    let edge = Remembering::new(100);
    for _ in 0..2 {
        let machine = edge.take(&Sent::get("/ada").header("sec-purpose", "prefetch"), AT);
        assert_eq!(
            (
                click(&machine).bot.as_str(),
                click(&machine).duplicate_of.as_str()
            ),
            ("prefetch", "")
        );
    }
    assert_eq!(click(&edge.take(&Sent::get("/ada"), AT)).duplicate_of, "");
}

#[test]
fn what_a_server_tells_has_neither_its_visitor_nor_its_place() {
    let sent = Sent {
        place: Place {
            country: "DE",
            data_center: true,
            ..Place::default()
        },
        ..script(Some("Bearer sk_live"))
    };
    let accepted = sent.to(&directory()).unwrap();
    let click = click(&accepted);
    assert_eq!(
        (click.visitor.as_str(), click.country.as_str(), click.bot.as_str()),
        ("", "", "")
    );
}

#[test]
fn a_click_has_its_place() {
    let place = Place {
        country: "US",
        region: "US-CA".into(),
        city: "Oakland",
        continent: "NA",
        data_center: false,
    };
    let sent = |headers: &[(&'static str, &'static str)], data_center| {
        let mut sent = Sent::get("/ada");
        sent.headers.extend(headers);
        sent.place = Place {
            data_center,
            ..place.clone()
        };
        let click = click(&sent.to(&directory()).unwrap()).clone();
        [
            click.country,
            click.region,
            click.city,
            click.continent,
            click.bot,
        ]
    };
    assert_eq!(sent(&[], false), ["US", "US-CA", "Oakland", "NA", ""]);
    assert_eq!(sent(&[], true), ["US", "US-CA", "Oakland", "NA", "data_center"]);
    assert_eq!(sent(&[("dnt", "1")], false), ["US", "", "", "NA", ""]);
}

#[test]
fn who_asks_not_to_be_known_is_counted_and_not_known() {
    let edge = Remembering::new(100);
    let private = || Sent::get("/ada").header("sec-gpc", "1");
    let first = edge.take(&private(), AT);
    assert_eq!(click(&first).visitor, "");
    assert_eq!(header(&first.response, "set-cookie"), "");
    let id = &click(&first).id;
    assert!(
        header(&first.response, "location").contains(id),
        "the partner's work still counts"
    );
    // Known in memory, for the hour: else each repeat would be paid.
    let again = edge.take(&private(), AT);
    assert_eq!(
        (&click(&again).duplicate_of, click(&again).visitor.as_str()),
        (id, "")
    );
}

#[test]
fn who_asks_not_to_be_tracked_is_sent_on_and_not_recorded() {
    let redirect = Sent::get("/ada")
        .header("dub-no-track", "1")
        .to(&directory())
        .unwrap();
    assert!(redirect.record.is_none() && redirect.visit.is_none());
    assert_eq!(redirect.response.status, 302);
    assert_eq!(
        header(&redirect.response, "location"),
        "https://acme.example/?utm_source=ada#top"
    );
    assert_eq!(header(&redirect.response, "set-cookie"), "");
    let told = script(None).header("dub-no-track", "1").to(&directory()).unwrap();
    assert!(told.record.is_none());
    assert_eq!(body(&told)["clickId"], "");
    let tenant = Sent {
        query: Some("dub-no-track=1"),
        ..Sent::post(
            "/tracking/click/v1",
            None,
            &json!({"tenantId": "acme", "key": "ada"}),
        )
    };
    let tenant = tenant.to(&directory()).unwrap();
    assert!(tenant.record.is_none() && body(&tenant)["cid"].is_null());
    assert_eq!(
        Sent::get("/nobody")
            .header("dub-no-track", "1")
            .to(&directory())
            .unwrap_err()
            .status,
        404
    );
}

#[test]
fn a_visitor_has_another_hash_each_day_and_no_record_its_address() {
    const DAY: i64 = 86_400_000;
    let edge = Remembering::new(100);
    let visitor = |at| {
        let accepted = edge.take(&Sent::get("/ada"), at);
        let text = format!("{accepted:?}");
        assert!(!text.contains("203.0.113.7"), "{text}");
        click(&accepted).visitor.clone()
    };
    let day = AT.div_euclid(DAY) * DAY;
    assert_eq!(visitor(day), visitor(day + DAY - 1));
    assert_ne!(visitor(day), visitor(day + DAY));
}

#[test]
fn each_request_asks_once_whether_its_caller_may_go_on() {
    let lead = json!({"clickId": "", "eventName": "x", "customerExternalId": "u"});
    let hash: [u8; 32] = Sha256::digest("sk_live").into();
    let visitor = || vec![String::from("visitor")];
    for (name, sent, expected) in [
        ("redirect", Sent::get("/ada"), visitor()),
        ("no key", script(None), visitor()),
        ("publishable key", script(Some("Bearer pk_live")), visitor()),
        ("unknown key", script(Some("Bearer guess")), visitor()),
        ("no bearer", script(Some("Basic x")), visitor()),
        (
            "server",
            Sent::post("/track/lead", Some("Bearer sk_live"), &lead),
            vec![hex::encode(hash)],
        ),
        (
            "tenant",
            Sent::post("/tracking/external-cid/v1", None, &json!({"tenantId": "acme"})),
            visitor(),
        ),
        (
            "preflight",
            Sent {
                method: "OPTIONS",
                ..Sent::get("/track/click")
            },
            vec![],
        ),
    ] {
        let asked = RefCell::new(Vec::new());
        let call = |limited: Option<Limited>| {
            let admit = |caller: Caller<'_>| {
                asked.borrow_mut().push(match caller {
                    Caller::Visitor => "visitor".to_owned(),
                    Caller::Server(hash) => hex::encode(hash),
                });
                limited.map_or(Ok(()), Err)
            };
            let call = Call {
                at: AT,
                random: 1,
                signature: Signature::NotNeeded,
                visitor_secret: b"",
                admit: &admit,
                first: &|_, _| None,
            };
            sent.with(&directory(), &call)
        };
        drop(call(None));
        assert_eq!(asked.take(), expected, "{name}");
        let limited = Limited {
            per_second: 7,
            wait_ms: 1001,
        };
        let refused = call(Some(limited));
        if expected.is_empty() {
            assert!(refused.is_ok(), "{name}");
            continue;
        }
        let error = refused.unwrap_err();
        assert_eq!(
            (error.status, error.code),
            (429, Code::RateLimitExceeded),
            "{name}"
        );
        let server = expected != visitor();
        assert_eq!(
            error.refusal.name(),
            if server { "key_limit" } else { "visitor_limit" },
            "{name}"
        );
        let response = error.response();
        assert_eq!(header(&response, "retry-after"), "2");
        assert_eq!(header(&response, "x-ratelimit-limit"), "7");
        assert_eq!(header(&response, "x-ratelimit-remaining"), "0");
        assert_eq!(header(&response, "x-ratelimit-reset"), (AT + 2000).to_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // However little is remembered, and however clicks lie around the turn of an hour.
    #[test]
    fn marking_repeats_changes_nothing_that_is_paid(
        visits in prop::collection::vec((0..3_usize, 0..6_usize, 0..150_i64), 1..40),
        limit in 0..6_usize,
    ) {
        const AGENTS: [&str; 3] = ["Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0", "Mozilla/5.0 (iPhone)", "Slackbot 1.0"];
        let edge = Remembering::new(limit);
        let mut marked: Vec<Click> = Vec::new();
        for (agent, how, minutes) in visits {
            let mut sent = match how {
                0 => script(None),
                1 => Sent::get("/ada").header("purpose", "prefetch"),
                _ => Sent::get("/ada"),
            };
            sent.headers.retain(|(name, _)| *name != "user-agent");
            sent.headers.push(("user-agent", AGENTS[agent]));
            marked.push(click(&edge.take(&sent, AT + minutes * 60_000)).clone());
        }
        let plain: Vec<Click> = marked
            .iter()
            .map(|click| Click { duplicate_of: String::new(), ..click.clone() })
            .collect();
        prop_assert_eq!(totals::clicks(marked.iter()), totals::clicks(plain.iter()));
        let ids: Vec<&str> = marked.iter().map(|click| click.id.as_str()).collect();
        for click in marked.iter().filter(|click| !click.duplicate_of.is_empty()) {
            prop_assert!(ids.contains(&click.duplicate_of.as_str()));
        }
    }
}
