//! Requests through `handle`, as the edge and `simulate` send them.

mod browser;
mod conversion;
mod decision;
mod directory;
mod redirect;
mod stripe;
mod tenant;
mod track;
mod visits;

use std::net::IpAddr;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tributary_avro::Click;

use super::*;
use crate::rules::ProgramFile;

/// What was accepted, of which nothing is borrowed.
#[derive(Debug)]
struct Accepted {
    record: Option<Owned>,
    visit: Option<Visit>,
    response: Response,
}

#[derive(Debug)]
enum Owned {
    Click(Box<Click>),
    Track(Box<Track>),
    Event(StripeEvent),
}

const AT: i64 = 1_760_000_000_000;

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

fn program() -> ProgramFile {
    serde_json::from_value(json!({
        "workspace": {"id": "acme", "domains": ["go.acme.example", "acme.example"], "api_keys": [
            {"name": "server", "sha256": hash("sk_live")},
            {"name": "test", "sha256": hash("sk_test"), "mode": "test"},
            {"name": "browser", "sha256": hash("pk_live"), "kind": "publishable"},
        ]},
        "programs": [{"id": "main", "revenue_origins": ["shop"], "conversion_types": [
            {"code": "couponredeem", "name": "Coupon redeemed", "as": "redemption"},
            {"code": "demo", "as": "lead"},
            {"code": "upsell", "name": "Upsell", "as": "sale"},
        ]}],
        "partners": [{"id": "p_ada", "name": "Ada \"A\"", "group": "gold"}],
        "links": [
            {"id": "l_1", "key": "ada", "url": "https://acme.example/?utm_source=ada#top", "partner": "p_ada"},
            {"key": "pay", "url": "https://buy.stripe.example/x", "client_reference_id": true, "tracked": false},
            {"key": "Zoë", "url": "https://acme.example/zoe", "domain": "acme.example"},
        ],
    }))
    .unwrap()
}

fn directory() -> Directory {
    Directory::from_program(&program())
}

/// A request to be sent; defaults are those of a browser.
struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    host: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
    place: Place<'a>,
}

impl<'a> Sent<'a> {
    fn get(path: &'a str) -> Self {
        let user_agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 Safari/604.1";
        Self {
            method: "GET",
            path,
            query: None,
            host: "GO.acme.example:8080",
            headers: vec![("user-agent", user_agent)],
            body: Vec::new(),
            place: Place::default(),
        }
    }

    fn post(path: &'a str, key: Option<&'a str>, body: &Value) -> Self {
        let mut sent = Self {
            method: "POST",
            body: body.to_string().into_bytes(),
            ..Self::get(path)
        };
        sent.headers.extend(key.map(|key| ("authorization", key)));
        sent
    }

    fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.insert(0, (name, value));
        self
    }

    fn to(&self, directory: &Directory) -> Result<Accepted, ApiError> {
        self.with(
            directory,
            &Call {
                at: AT,
                random: 42,
                signature: Signature::NotNeeded,
                visitor_secret: b"salt",
                admit: &|_| Ok(()),
                first: &|_, _| None,
            },
        )
    }

    fn with(&self, directory: &Directory, call: &Call<'_>) -> Result<Accepted, ApiError> {
        let header = |name: &str| {
            let found = self.headers.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| *value)
        };
        let place = |ip| {
            assert_eq!(ip, IpAddr::from([203, 0, 113, 7]));
            self.place.clone()
        };
        let request = Request {
            method: self.method,
            path: self.path,
            query: self.query,
            host: self.host,
            header: &header,
            body: &self.body,
            remote_ip: Some(IpAddr::from([203, 0, 113, 7])),
            place: &place,
        };
        let accepted = handle(&request, directory, call)?;
        Ok(Accepted {
            visit: accepted.visit,
            record: accepted.record.map(|record| match record {
                Record::Click(click) => Owned::Click(Box::new((&click).into())),
                Record::Track(track) => Owned::Track(Box::new(track)),
                Record::StripeEvent(event) => Owned::Event(event),
            }),
            response: accepted.response,
        })
    }
}

fn click(accepted: &Accepted) -> &Click {
    match &accepted.record {
        Some(Owned::Click(click)) => click,
        other => panic!("one click expected, not {other:?}"),
    }
}

fn call(accepted: &Accepted) -> &Track {
    match &accepted.record {
        Some(Owned::Track(track)) => track,
        other => panic!("one call expected, not {other:?}"),
    }
}

fn body(accepted: &Accepted) -> Value {
    serde_json::from_str(&accepted.response.body).unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let found = response.headers.iter().find(|(other, _)| *other == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn paths_that_are_not_offered() {
    for (method, path, status) in [
        ("GET", "/track/click", 405),
        ("PUT", "/track/sale", 405),
        ("GET", "/webhooks/stripe/acme", 405),
        ("GET", "/track/open", 405),
        ("POST", "/track/nothing", 501),
        ("POST", "/tracking/action/v1", 501),
        ("PUT", "/tracking/conversion/v1", 405),
        ("HEAD", "/tracking/conversion/v1", 405),
        ("GET", "/tracking/external-cid/v1", 405),
        ("GET", "/commissions", 501),
        ("GET", "/commissions/in_1", 501),
        ("PUT", "/commissions/in_1", 501),
        ("PATCH", "/commissions", 501),
        ("PATCH", "/commissions/", 501),
        ("POST", "/commissions/bulk", 501),
        ("GET", "/webhooks", 404),
        ("GET", "/analytics/script.js", 404),
        ("GET", "/", 404),
        ("GET", "/nobody", 404),
        ("POST", "/ada", 405),
    ] {
        let sent = Sent {
            method,
            ..Sent::get(path)
        };
        let error = sent.to(&directory()).unwrap_err();
        assert_eq!(error.status, status, "{method} {path}: {error}");
    }
}

#[test]
fn browsers_may_call_from_any_site() {
    let sent = Sent {
        method: "OPTIONS",
        ..Sent::get("/track/click")
    };
    let accepted = sent.to(&directory()).unwrap();
    assert!(accepted.record.is_none());
    assert_eq!(accepted.response.status, 204);
    assert_eq!(header(&accepted.response, "access-control-allow-origin"), "*");
    let refused = ApiError::new(Code::NotFound, "x").response();
    assert_eq!(header(&refused, "access-control-allow-origin"), "*");
}

#[test]
fn an_error_body_has_code_message_and_address() {
    let response = ApiError::unavailable("kafka \"away\"").response();
    assert_eq!(response.status, 503);
    assert_eq!(header(&response, "retry-after"), "1");
    assert_eq!(
        serde_json::from_str::<Value>(&response.body).unwrap(),
        json!({"error": {
            "code": "internal_server_error",
            "message": "kafka \"away\"",
            "doc_url": "/docs/errors#internal_server_error",
        }})
    );
}
