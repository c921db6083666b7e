//! `POST /track/visit`: somebody came to the site by no link. It is a click of the domain's own link, `_root`, so that
//! what the visitor does later has a first touch.

use serde_json::json;

use super::consent::Consent;
use super::fields::{Fields, URL_LIMIT};
use super::redirect::ROOT;
use super::{Accepted, ApiError, Call, Code, Directory, Record, Request, Response, access, click, page};
use crate::click_id;
use crate::rules::KeyKind;

pub(super) fn track<'r>(
    request: &Request<'r>,
    directory: &'r Directory,
    call: &Call<'_>,
) -> Result<Accepted<'r>, ApiError> {
    let fields = Fields::parse(request.body)?;
    let domain = fields.required("domain")?;
    let url = fields.text("url", URL_LIMIT)?.unwrap_or_default();
    let referrer = fields.text("referrer", usize::MAX)?.unwrap_or_default();
    let caller = access::key(request, directory, call)?;
    let link = directory
        .link(domain, ROOT)
        .filter(|link| caller.is_none_or(|caller| caller.workspace == link.target.workspace()))
        .ok_or_else(|| {
            ApiError::new(
                Code::NotFound,
                "domain: has no link `_root`, which counts its visits",
            )
        })?;
    let is_server = caller.is_some_and(|key| key.kind == KeyKind::Secret);
    if !is_server {
        page::check(request, &link.settings.allowed_hostnames, true)?;
    }
    // Only the first page of a visitor is a visit. Where the cookie is out of the script's reach, the script cannot tell.
    if let Some(id) = page::known_click(request) {
        return Ok(unrecorded(id));
    }
    let consent = Consent::of(request);
    if consent == Consent::Nothing {
        return Ok(unrecorded(""));
    }
    let id = click_id::new(call.at, call.random);
    let source = click::Source {
        visitor_ip: request.remote_ip.filter(|_| !is_server),
        consent,
    };
    let (mut click, visitor) = click::record(id.into(), &link, request, call, source);
    click.trigger = if is_server { "api" } else { "script" };
    if let Some(caller) = caller {
        click.mode = &caller.mode;
    }
    click::set_page(&mut click, url.to_owned().into(), referrer.to_owned().into());
    let visit = click::meet(&mut click, visitor, call);
    let id = click::told_id(&click);
    let mut response = Response::json(200, json!({"clickId": id}).to_string());
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

fn unrecorded(id: &str) -> Accepted<'static> {
    Accepted {
        record: None,
        visit: None,
        response: Response::json(200, json!({"clickId": id}).to_string()),
    }
}
