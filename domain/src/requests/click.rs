//! Clicks: `POST /track/click`, and what every click records.
//!
//! The place where a click is enriched: device and machine from the user agent, campaign from the
//! destination, visitor from address and user agent. Country and the like stay empty here.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tributary_avro::Click;

use super::destination::{Utm, host, without_query};
use super::directory::Resolved;
use super::fields::{Fields, TEXT_LIMIT, URL_LIMIT, timestamp, within};
use super::{Accepted, ApiError, Call, Code, Directory, Record, Request, Response, access, agent};
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

pub(super) fn track(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted, ApiError> {
    let body = Body::parse(request.body)?;
    let field = |name: &'static str, text| -> Result<&str, ApiError> {
        let text: &str = present(text).ok_or_else(|| ApiError::field(name, "is required"))?;
        within(name, text, TEXT_LIMIT)?;
        Ok(text)
    };
    let (domain, key) = (field("domain", &body.domain)?, field("key", &body.key)?);
    let url = present(&body.url).unwrap_or_default();
    within("url", url, URL_LIMIT)?;
    let caller = access::key(request, directory)?;
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
        .filter(|link| caller.is_none_or(|caller| caller.workspace == link.target.workspace))
        .ok_or_else(|| ApiError::new(Code::NotFound, "domain and key: there is no such link"))?;
    let response = Response::json(200, answer(&id, &link));
    let mut click = record(id, &link, request, call);
    click.at = at;
    "script".clone_into(&mut click.trigger);
    if let Some(caller) = caller {
        click.mode.clone_from(&caller.mode);
        if imports {
            "api".clone_into(&mut click.trigger);
        }
    }
    set_referer(&mut click, present(&body.referrer).unwrap_or_default());
    if !url.is_empty() {
        set_utm(&mut click, &Utm::of(url));
        url.clone_into(&mut click.url);
    }
    Ok(Accepted {
        records: vec![Record::Click(click)],
        response,
    })
}

// By hand: three quarters of all answers are this one, and an ID needs no escape.
fn answer(id: &str, link: &Resolved<'_>) -> String {
    let text = |text: &str| serde_json::Value::from(text);
    let mut out = String::with_capacity(256);
    let written = (|| {
        write!(out, "{{\"clickId\":\"{id}\"")?;
        if let Some(partner) = link.partner {
            let name = if partner.name.is_empty() {
                &partner.id
            } else {
                &partner.name
            };
            let (id, name) = (text(&partner.id), text(name));
            write!(
                out,
                ",\"partner\":{{\"id\":{id},\"name\":{name},\"image\":null}},\"discount\":null"
            )?;
        } else {
            out.push_str(",\"partner\":null");
        }
        out.push('}');
        std::fmt::Result::Ok(())
    })();
    debug_assert!(written.is_ok(), "writing to a String does not fail");
    out
}

/// What every click of a link records, whatever made it.
pub(super) fn record(id: String, link: &Resolved<'_>, request: &Request<'_>, call: &Call<'_>) -> Click {
    let target = link.target;
    let user_agent = (request.header)("user-agent").unwrap_or_default();
    let agent = agent::read(user_agent);
    let mut click = Click {
        id,
        workspace: target.workspace.clone(),
        mode: link.mode.to_owned(),
        at: call.at,
        link_id: target.id.clone(),
        domain: link.domain.to_owned(),
        key: target.link.key.clone(),
        partner_id: target.link.partner.clone(),
        program_id: link.program.to_owned(),
        group_id: link.partner.map_or_else(String::new, |p| p.group.clone()),
        device: agent.device.to_owned(),
        browser: agent.browser.to_owned(),
        os: agent.os.to_owned(),
        url: target.link.url.clone(),
        bot: machine(request, agent).to_owned(),
        tracked: target.link.tracked,
        visitor: visitor(request, user_agent, call),
        received: call.at,
        ..Click::default()
    };
    set_utm(&mut click, &target.utm);
    click
}

fn set_utm(click: &mut Click, utm: &Utm) {
    click.utm_source.clone_from(&utm.source);
    click.utm_medium.clone_from(&utm.medium);
    click.utm_campaign.clone_from(&utm.campaign);
    click.utm_term.clone_from(&utm.term);
    click.utm_content.clone_from(&utm.content);
}

pub(super) fn set_referer(click: &mut Click, referer: &str) {
    let (host, url) = match host(referer) {
        Some(host) => (host, without_query(referer)),
        None => (DIRECT, DIRECT),
    };
    host.clone_into(&mut click.referer);
    url.get(..url.floor_char_boundary(REFERER_LIMIT))
        .unwrap_or(url)
        .clone_into(&mut click.referer_url);
}

// Tagged and counted apart, never dropped.
fn machine(request: &Request<'_>, agent: agent::Agent) -> &'static str {
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
    } else {
        ""
    }
}

fn visitor(request: &Request<'_>, user_agent: &str, call: &Call<'_>) -> String {
    let Some(ip) = request.remote_ip.filter(|_| !call.visitor_secret.is_empty()) else {
        return String::new();
    };
    let mut hash = Sha256::new();
    hash.update((call.visitor_secret.len() as u64).to_be_bytes());
    hash.update(call.visitor_secret);
    hash.update(call.at.div_euclid(DAY_MS).to_be_bytes());
    match ip.to_canonical() {
        std::net::IpAddr::V4(ip) => hash.update(ip.octets()),
        std::net::IpAddr::V6(ip) => hash.update(ip.octets()),
    }
    hash.update(user_agent);
    hex::encode(hash.finalize().get(..16).unwrap_or_default())
}
