//! The trackers for browsers, from inside of the binary.
//!
//! One file serves all the names that `@dub/analytics` makes up: what it does is said by the attributes of its tag.

use std::sync::LazyLock;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use hyper::{HeaderMap, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::service::Answer;

const FEATURES: [&str; 3] = ["site-visit", "outbound-domains", "conversion-tracking"];
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A script and its version.
struct Script {
    text: &'static str,
    tag: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = hex::encode(Sha256::digest(text));
        let tag = format!("\"{}\"", hash.get(..16).unwrap_or_default());
        Self { text, tag }
    }
}

static DUB: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../assets/script.js")));
static TRACKDESK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../assets/tracking.js")));

/// The answer to a request for a script; None if it asks for something else.
pub(crate) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let script = match path {
        "/tracking.js" => &*TRACKDESK,
        _ if is_dub(path) => &*DUB,
        _ => return None,
    };
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == script.tag));
    let mut answer = Response::new(Either::Left(Full::new(if unchanged {
        Bytes::new()
    } else {
        Bytes::from_static(script.text.as_bytes())
    })));
    if unchanged {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        // An hour: a fixed script must reach the sites that it is wrong on.
        (
            CACHE_CONTROL,
            "public, max-age=3600, stale-while-revalidate=86400",
        ),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (RESOURCE_POLICY, "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&script.tag) {
        headers.insert(ETAG, tag);
    }
    Some(answer)
}

fn is_dub(path: &str) -> bool {
    let features = path
        .strip_prefix("/analytics/script")
        .and_then(|rest| rest.strip_suffix(".js"));
    features.is_some_and(|features| match features.strip_prefix('.') {
        Some(named) => named.split('.').all(|feature| FEATURES.contains(&feature)),
        None => features.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, path: &str) -> Option<u16> {
        answer(method, path, &HeaderMap::new()).map(|answer| answer.status().as_u16())
    }

    #[test]
    fn every_name_that_the_package_makes_up_is_served() {
        for path in [
            "/analytics/script.js",
            "/analytics/script.site-visit.js",
            "/analytics/script.outbound-domains.js",
            "/analytics/script.site-visit.outbound-domains.conversion-tracking.js",
            "/tracking.js",
        ] {
            assert_eq!(status(&Method::GET, path), Some(200), "{path}");
            assert_eq!(status(&Method::HEAD, path), Some(200), "{path}");
            assert_eq!(status(&Method::POST, path), None, "{path}");
        }
        for path in [
            "/analytics/scripts.js",
            "/analytics/script..js",
            "/analytics/script.no-such.js",
            "/analytics/script",
            "/analytics",
            "/ada",
        ] {
            assert_eq!(status(&Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn a_known_version_is_not_sent_again() {
        let first = answer(&Method::GET, "/tracking.js", &HeaderMap::new()).unwrap();
        let other = answer(&Method::GET, "/analytics/script.js", &HeaderMap::new()).unwrap();
        assert_ne!(first.headers()[ETAG], other.headers()[ETAG]);
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        let again = answer(&Method::GET, "/tracking.js", &headers).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let changed = answer(&Method::GET, "/analytics/script.js", &headers).unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
    }
}
