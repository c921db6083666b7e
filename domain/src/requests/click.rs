//! Clicks: `POST /track/click`, and what every click records.
//!
//! The place where a click is enriched: device and machine from the user agent, campaign from the
//! destination, visitor from address and user agent, country and the like from whoever knows addresses.
//!
//! Invariant: no record holds an address.

use std::borrow::Cow;
use std::net::IpAddr;

use ring::digest::{Context, SHA256};
use serde::Deserialize;

use super::consent::Consent;
use super::destination::{Utm, host, without_query};
use super::directory::Resolved;
use super::fields::{Fields, TEXT_LIMIT, URL_LIMIT, timestamp, within};
use super::{
    Accepted, ApiError, Call, Code, Directory, NewClick, Place, Record, Request, Response, Visit, access,
    agent, page,
};
use crate::click_id;
use crate::rules::KeyKind;

const DIRECT: &str = "(direct)";
const REFERER_LIMIT: usize = 2048;
const DAY_MS: i64 = 86_400_000;

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The body that `@dub/analytics` sends, and what an import adds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    domain: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    referrer: Option<Text<'a>>,
    #[serde(borrow)]
    click_id: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
}

impl Body<'_> {
    fn parse(body: &[u8]) -> Result<Body<'_>, ApiError> {
        let parsed = match std::str::from_utf8(body) {
            // serde would also read a list of the fields in order.
            Ok(text) if text.trim_start().starts_with('{') => serde_json::from_str(text).ok(),
            _ => None,
        };
        parsed.ok_or_else(|| {
            explain(body)
                .err()
                .unwrap_or_else(|| ApiError::new(Code::BadRequest, "a field stands twice"))
        })
    }
}

// The slow reading of a body that the fast one refused: it names the field.
fn explain(body: &[u8]) -> Result<(), ApiError> {
    let fields = Fields::parse(body)?;
    for name in ["domain", "key", "clickId", "timestamp"] {
        fields.text(name, TEXT_LIMIT)?;
    }
    for name in ["url", "referrer"] {
        fields.text(name, usize::MAX)?;
    }
    Ok(())
}

fn present<'b>(text: &'b Option<Text<'_>>) -> Option<&'b str> {
    text.as_ref().map(|text| &*text.0)
}

pub(super) fn track<'r>(
    request: &Request<'r>,
    directory: &'r Directory,
    call: &Call<'_>,
) -> Result<Accepted<'r>, ApiError> {
    let body = Body::parse(request.body)?;
    let field = |name: &'static str, text| -> Result<&str, ApiError> {
        let text: &str = present(text).ok_or_else(|| ApiError::field(name, "is required"))?;
        within(name, text, TEXT_LIMIT)?;
        Ok(text)
    };
    let (domain, key) = (field("domain", &body.domain)?, field("key", &body.key)?);
    let url = present(&body.url).unwrap_or_default();
    within("url", url, URL_LIMIT)?;
    let caller = access::key(request, directory, call)?;
    let imports = caller.is_some_and(|key| key.kind == KeyKind::Secret);
    for (name, given) in [
        ("clickId", body.click_id.is_some()),
        ("timestamp", body.timestamp.is_some()),
    ] {
        if given && !imports {
            return Err(ApiError::new(
                Code::Forbidden,
                format!("{name}: needs a secret key"),
            ));
        }
    }
    let at = match present(&body.timestamp) {
        Some(text) => timestamp(text, call.at)?,
        None => call.at,
    };
    let id = match present(&body.click_id) {
        Some(id) if click_id::is_valid(id) => id.to_owned(),
        Some(_) => {
            return Err(ApiError::field(
                "clickId",
                "must have 16 characters 0-9, A-Z or a-z",
            ));
        }
        None => click_id::new(at, call.random),
    };
    let link = directory
        .link(domain, key)
        .filter(|link| caller.is_none_or(|caller| caller.workspace == link.target.workspace()))
        .ok_or_else(|| ApiError::new(Code::NotFound, "domain and key: there is no such link"))?;
    if !imports {
        page::check(request, &link.settings.allowed_hostnames, true)?;
    }
    let consent = Consent::of(request);
    if consent == Consent::Nothing {
        // A text, since SDKs expect one; scripts take an empty one for none.
        return Ok(Accepted {
            record: None,
            visit: None,
            response: Response::json(200, answer("", &link)),
        });
    }
    let source = Source {
        // A server's address says nothing about the visitor.
        visitor_ip: request.remote_ip.filter(|_| !imports),
        consent,
    };
    let (mut click, visitor) = record(id.into(), &link, request, call, source);
    click.at = at;
    click.trigger = if imports { "api" } else { "script" };
    if let Some(caller) = caller {
        click.mode = &caller.mode;
    }
    let text = |text: Option<Text<'r>>| text.map_or(Cow::Borrowed(""), |text| text.0);
    set_page(&mut click, text(body.url), text(body.referrer));
    let visit = meet(&mut click, visitor, call);
    let id = told_id(&click);
    let mut response = Response::json(200, answer(id, &link));
    if consent == Consent::Full {
        let cookie = page::cookie_of_call(id, request, &link.settings.cookie_domain);
        response.headers.extend(cookie);
    }
    Ok(Accepted {
        record: Some(Record::Click(click)),
        visit,
        response,
    })
}

// By hand: three quarters of all answers are this one, and an ID needs no escape.
fn answer(id: &str, link: &Resolved<'_>) -> String {
    let mut out = String::with_capacity(256);
    out.push_str(r#"{"clickId":""#);
    out.push_str(id);
    if let Some(partner) = link.partner {
        let name = partner.shown_name();
        out.push_str(r#"","partner":{"id":"#);
        push_quoted(&mut out, &partner.id);
        out.push_str(r#","name":"#);
        push_quoted(&mut out, name);
        out.push_str(r#","image":null},"discount":null}"#);
    } else {
        out.push_str(r#"","partner":null}"#);
    }
    out
}

fn push_quoted(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Who clicked, as far as it may be told.
#[derive(Clone, Copy)]
pub(super) struct Source {
    /// None: unknown, as where a server tells of somebody else's click.
    pub visitor_ip: Option<IpAddr>,
    pub consent: Consent,
}

/// What every click of a link records, whatever made it; and the visitor, who may not be in it.
pub(super) fn record<'r>(
    id: Cow<'r, str>,
    link: &Resolved<'r>,
    request: &Request<'r>,
    call: &Call<'_>,
    source: Source,
) -> (NewClick<'r>, Option<[u8; 16]>) {
    let target = link.target;
    let user_agent = (request.header)("user-agent").unwrap_or_default();
    let agent = agent::read(user_agent);
    let mut place = source.visitor_ip.map_or_else(Place::default, request.place);
    let visitor = source.visitor_ip.and_then(|ip| visitor(ip, user_agent, call));
    let recorded = match (visitor, source.consent) {
        (Some(visitor), Consent::Full) => digits(visitor),
        _ => String::new(),
    };
    if source.consent != Consent::Full {
        (place.region, place.city) = (Cow::Borrowed(""), "");
    }
    let click = NewClick {
        id,
        workspace: target.workspace(),
        mode: link.mode,
        at: call.at,
        link_id: target.id(),
        domain: link.domain,
        key: target.key(),
        partner_id: target.partner(),
        program_id: link.program,
        group_id: link.partner.map_or("", |partner| &partner.group),
        country: place.country,
        region: place.region,
        city: place.city,
        continent: place.continent,
        device: agent.device,
        browser: agent.browser,
        os: agent.os,
        url: target.url().into(),
        utm: target.utm(),
        bot: machine(request, agent, place.data_center),
        tracked: target.tracked,
        visitor: recorded.into(),
        received: call.at,
        ..NewClick::default()
    };
    (click, visitor)
}

/// Marks the click as a repeat if the visitor's first one of the hour is known, else gives what is to be remembered.
/// Machines are no visitors: a person who comes after a prefetch is the first.
pub(super) fn meet(click: &mut NewClick<'_>, visitor: Option<[u8; 16]>, call: &Call<'_>) -> Option<Visit> {
    let visitor = visitor.filter(|_| click.bot.is_empty())?;
    let visit = Visit::of(click, &visitor)?;
    match (call.first)(visit.key, visit.hour) {
        Some(first) => {
            click.duplicate_of = String::from_utf8_lossy(&first).into_owned().into();
            None
        }
        None => Some(visit),
    }
}

/// The ID that the visitor goes on with.
pub(super) fn told_id<'c>(click: &'c NewClick<'_>) -> &'c str {
    if click.duplicate_of.is_empty() {
        &click.id
    } else {
        &click.duplicate_of
    }
}

/// The page on which a click was told, if it is known, and the one before it.
pub(super) fn set_page<'r>(click: &mut NewClick<'r>, url: Cow<'r, str>, referrer: Cow<'r, str>) {
    set_referer(click, referrer);
    if url.is_empty() {
        return;
    }
    click.utm = match &url {
        Cow::Borrowed(url) => Utm::of(url),
        Cow::Owned(url) => Utm::of(url).into_owned(),
    };
    click.url = url;
}

pub(super) fn set_referer<'r>(click: &mut NewClick<'r>, referer: Cow<'r, str>) {
    (click.referer, click.referer_url) = match &referer {
        Cow::Borrowed(text) => {
            let (host, url) = host_and_page(text);
            (host.into(), url.into())
        }
        Cow::Owned(text) => {
            let (host, url) = host_and_page(text);
            (host.to_owned().into(), url.to_owned().into())
        }
    };
}

fn host_and_page(referer: &str) -> (&str, &str) {
    let Some(host) = host(referer) else {
        return (DIRECT, DIRECT);
    };
    let url = without_query(referer);
    (
        host,
        url.get(..url.floor_char_boundary(REFERER_LIMIT)).unwrap_or(url),
    )
}

// Tagged and counted apart, never dropped.
fn machine(request: &Request<'_>, agent: agent::Agent, data_center: bool) -> &'static str {
    let prefetch = || {
        ["sec-purpose", "purpose", "x-purpose", "x-moz"]
            .iter()
            .filter_map(|name| (request.header)(name))
            .any(|value| value.contains("prefetch") || value.contains("preview"))
    };
    if request.method == "HEAD" {
        "head"
    } else if request.method == "GET" && prefetch() {
        "prefetch"
    } else if agent.bot {
        "list"
    } else if data_center {
        "data_center"
    } else {
        ""
    }
}

// The day is part of the hash: whoever has the records of two days cannot tell that one visitor is in both.
fn visitor(ip: IpAddr, user_agent: &str, call: &Call<'_>) -> Option<[u8; 16]> {
    if call.visitor_secret.is_empty() {
        return None;
    }
    let mut hash = Context::new(&SHA256);
    hash.update(&(call.visitor_secret.len() as u64).to_be_bytes());
    hash.update(call.visitor_secret);
    hash.update(&call.at.div_euclid(DAY_MS).to_be_bytes());
    match ip.to_canonical() {
        IpAddr::V4(ip) => hash.update(&ip.octets()),
        IpAddr::V6(ip) => hash.update(&ip.octets()),
    }
    hash.update(user_agent.as_bytes());
    hash.finish().as_ref().first_chunk().copied()
}

// 48 bits tell the visitors of a day apart, and are all that is kept: each digit is stored with each click.
fn digits(visitor: [u8; 16]) -> String {
    let (kept, _) = visitor.split_at(6);
    let mut out = [0; 12];
    let written = hex::encode_to_slice(kept, &mut out);
    debug_assert!(written.is_ok(), "12 digits are 6 bytes");
    str::from_utf8(&out).unwrap_or_default().to_owned()
}
