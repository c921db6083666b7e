//! Pages that call: whether the workspace lets them, and whether they and the edge are one site, so that the
//! click's cookie serves both.
//!
//! What a page says of itself keeps honest pages of others out, and nobody else: what browsers tell stays
//! untrusted (rule C9).

use super::destination::{host, without_port};
use super::{ApiError, Code, Header, Request};
use crate::click_id;

/// Cookie that holds the click.
pub(super) const COOKIE: &str = "dub_id";
const COOKIE_SECONDS: u32 = 90 * 86_400;

/// What two hosts have in common from the right, if it can be the domain of a cookie: they are equal, or share at least
/// two labels. The browser has the last word: it takes no cookie for all of `co.uk`.
pub fn same_site<'h>(one: &'h str, other: &str) -> Option<&'h str> {
    let (one, other) = (without_port(one), without_port(other));
    if one.eq_ignore_ascii_case(other) {
        return Some(one);
    }
    let labels = one.rsplit('.').zip(other.rsplit('.'));
    let shared = labels.take_while(|(a, b)| a.eq_ignore_ascii_case(b));
    let (count, length) = shared.fold((0, 0), |(count, length), (label, _)| {
        (count + 1, length + label.len() + 1)
    });
    let numeric = one.ends_with(|c: char| c.is_ascii_digit());
    if count < 2 || numeric {
        return None;
    }
    one.get(one.len().checked_sub(length - 1)?..)
}

/// Refuses a browser's call from a page that the workspace does not list. `must_tell`: also one that says nothing of its
/// page.
pub(super) fn check(request: &Request<'_>, allowed: &[String], must_tell: bool) -> Result<(), ApiError> {
    if allowed.is_empty() {
        return Ok(());
    }
    match page(request) {
        None if !must_tell => Ok(()),
        Some(page) if allowed.iter().any(|pattern| fits(pattern, page)) => Ok(()),
        Some(page) => Err(ApiError::new(
            Code::Forbidden,
            format!("Origin: {page} is not among the workspace's allowed_hostnames (C9)"),
        )),
        None => Err(ApiError::new(
            Code::Forbidden,
            "Origin: is required, or Referer: the workspace has allowed_hostnames (C9)",
        )),
    }
}

/// Host of the page. Pages in frames and apps say `Origin: null`.
fn page<'r>(request: &Request<'r>) -> Option<&'r str> {
    ["origin", "referer"]
        .into_iter()
        .find_map(|name| host((request.header)(name)?))
}

fn fits(pattern: &str, page: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern.eq_ignore_ascii_case(page),
        // What is left of `*.acme.example` begins with the dot.
        Some(end) => page
            .len()
            .checked_sub(end.len())
            .filter(|start| *start > 0)
            .and_then(|start| page.get(start..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end)),
    }
}

/// The click that an earlier answer left with the visitor.
pub(super) fn known_click<'r>(request: &Request<'r>) -> Option<&'r str> {
    let cookies = (request.header)("cookie")?;
    cookies
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && click_id::is_valid(value)).then_some(value))
}

/// The cookie of a followed link: of the whole site, and out of reach of its scripts, where the link's host lies within
/// the site's domain.
pub(super) fn cookie(id: &str, request: &Request<'_>, site: &str) -> Header {
    let secure = match (request.header)("x-forwarded-proto") {
        Some("https") => "; Secure",
        _ => "",
    };
    let scope = if within(request.host, site) {
        format!("; Domain={site}; HttpOnly")
    } else {
        String::new()
    };
    let cookie = format!("{COOKIE}={id}; Path=/; Max-Age={COOKIE_SECONDS}; SameSite=Lax{secure}{scope}");
    ("set-cookie", cookie.into())
}

/// The same for a call of a page of that site; others would not keep it.
pub(super) fn cookie_of_call(id: &str, request: &Request<'_>, site: &str) -> Option<Header> {
    let own = within(request.host, site) && page(request).is_some_and(|page| within(page, site));
    own.then(|| cookie(id, request, site))
}

fn within(host: &str, site: &str) -> bool {
    !site.is_empty() && same_site(without_port(host), site).is_some_and(|shared| shared.len() == site.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_site_is_what_hosts_share_from_the_right() {
        for (one, other, shared) in [
            ("go.acme.example", "acme.example", Some("acme.example")),
            ("GO.acme.example:8080", "www.ACME.example", Some("acme.example")),
            ("a.b.acme.example", "c.b.acme.example", Some("b.acme.example")),
            ("acme.example", "acme.example", Some("acme.example")),
            ("localhost:8080", "localhost:3000", Some("localhost")),
            ("127.0.0.1:1", "127.0.0.1:2", Some("127.0.0.1")),
            ("10.0.0.1", "11.0.0.1", None),
            ("go.acme.example", "other.example", None),
            ("notacme.example", "acme.example", None),
            ("go.acme.example", "", None),
        ] {
            assert_eq!(same_site(one, other), shared, "{one} {other}");
        }
    }

    #[test]
    fn hostnames_fit_whole_labels() {
        for (pattern, page, expected) in [
            ("acme.example", "ACME.example", true),
            ("acme.example", "www.acme.example", false),
            ("*.acme.example", "www.acme.example", true),
            ("*.acme.example", "a.b.acme.example", true),
            ("*.acme.example", "acme.example", false),
            ("*.acme.example", ".acme.example", false),
            ("*.acme.example", "notacme.example", false),
        ] {
            assert_eq!(fits(pattern, page), expected, "{pattern} {page}");
        }
    }
}
