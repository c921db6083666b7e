//! Calls with cookies: a page of the edge's own site may send the site's cookie, and read the answer.
//!
//! Any other page reads what `*` lets it; it has no cookie to send, because ours are `SameSite=Lax`.

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST, HeaderValue, ORIGIN, VARY,
};
use tributary_domain::requests::same_site;

use crate::service::Answer;

/// The origin of a page that is of one site with the host it asks.
pub(crate) fn own_page(headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let (_, page) = origin.to_str().ok()?.split_once("://")?;
    let host = headers.get(HOST)?.to_str().ok()?;
    same_site(host, page).map(|_| origin.clone())
}

/// Lets the page send its cookie, on an answer that any page may read.
pub(crate) fn let_cookies(answer: &mut Answer, page: HeaderValue) {
    let headers = answer.headers_mut();
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}
