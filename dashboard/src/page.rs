//! The pages for people, embedded: no build step, nothing fetched from elsewhere.
//!
//! Invariant: the content security policy allows this origin only, so text from the ledger can run nothing.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::server::Application;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

const HTML: &str = "text/html; charset=utf-8";

const FILES: [(&str, &str, &str); 15] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/live", HTML, include_str!("page/live.html")),
    ("/people", HTML, include_str!("page/customers.html")),
    ("/earnings", HTML, include_str!("page/commissions.html")),
    (
        "/assets/style.css",
        "text/css; charset=utf-8",
        include_str!("page/style.css"),
    ),
    ("/assets/app.js", SCRIPT, include_str!("page/app.js")),
    ("/assets/common.js", SCRIPT, include_str!("page/common.js")),
    ("/assets/listing.js", SCRIPT, include_str!("page/listing.js")),
    ("/assets/customers.js", SCRIPT, include_str!("page/customers.js")),
    (
        "/assets/commissions.js",
        SCRIPT,
        include_str!("page/commissions.js"),
    ),
    ("/assets/live.js", SCRIPT, include_str!("page/live.js")),
    ("/assets/panels.js", SCRIPT, include_str!("page/panels.js")),
    ("/assets/chart.js", SCRIPT, include_str!("page/chart.js")),
    ("/assets/format.js", SCRIPT, include_str!("page/format.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

pub fn router() -> Router<Application> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, content_type, body)| {
            router.route(
                path,
                get(move |headers| async move { file(&headers, content_type, body) }),
            )
        })
}

fn file(headers: &HeaderMap, content_type: &'static str, body: &'static str) -> Response {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes())
    {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    let fixed = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (fixed, [(ETAG, tag)], body).into_response()
}
