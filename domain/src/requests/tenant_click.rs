//! `POST /tracking/click/v1`: a click told by a tenant's page, as `/track/click` with other names.

use serde_json::json;

use super::consent::Consent;
use super::destination::{decode, parameters, query};
use super::directory::Resolved;
use super::fields::{Fields, TEXT_LIMIT, URL_LIMIT};
use super::tenant::{Caller, caller};
use super::{Accepted, ApiError, Call, Code, Directory, Record, Request, Response, click};
use crate::click_id;

/// Query parameters of a page that name the key of a link on the workspace's first domain.
const KEYS: [&str; 2] = ["via", "ref"];

pub(super) fn track<'r>(
    request: &Request<'r>,
    directory: &'r Directory,
    call: &Call<'_>,
) -> Result<Accepted<'r>, ApiError> {
    let fields = Fields::parse(request.body)?;
    let caller = caller(request, directory, call, fields.text("tenantId", TEXT_LIMIT)?)?;
    let url = fields.text("url", URL_LIMIT)?.unwrap_or_default();
    let referrer = fields.text("referrer", usize::MAX)?.unwrap_or_default();
    let link = link(&fields, url, &caller, directory)?
        .filter(|link| link.target.workspace() == caller.settings.id)
        .ok_or_else(|| ApiError::new(Code::NotFound, "linkId: there is no such link"))?;
    let consent = Consent::of(request);
    if consent == Consent::Nothing {
        return Ok(Accepted {
            record: None,
            visit: None,
            response: Response::json(200, json!({"cid": null}).to_string()),
        });
    }
    let id = click_id::new(call.at, call.random);
    let source = click::Source {
        visitor_ip: request.remote_ip.filter(|_| !caller.is_server),
        consent,
    };
    let (mut click, visitor) = click::record(id.into(), &link, request, call, source);
    click.mode = caller.mode;
    click.trigger = if caller.is_server { "api" } else { "script" };
    click::set_page(&mut click, url.to_owned().into(), referrer.to_owned().into());
    let visit = click::meet(&mut click, visitor, call);
    let response = Response::json(200, json!({"cid": click::told_id(&click)}).to_string());
    Ok(Accepted {
        record: Some(Record::Click(click)),
        visit,
        response,
    })
}

fn link<'d>(
    fields: &Fields,
    url: &str,
    caller: &Caller<'d>,
    directory: &'d Directory,
) -> Result<Option<Resolved<'d>>, ApiError> {
    if let Some(id) = fields.text("linkId", TEXT_LIMIT)? {
        return Ok(directory.link_of(&caller.settings.id, id));
    }
    let first = caller.settings.domains.first().map_or("", String::as_str);
    let domain = fields.text("domain", TEXT_LIMIT)?.unwrap_or(first);
    if let Some(key) = fields.text("key", TEXT_LIMIT)? {
        return Ok(directory.link(domain, key));
    }
    let mut keys = parameters(query(url)).filter(|(name, key)| KEYS.contains(name) && !key.is_empty());
    match keys.next() {
        Some((_, key)) => Ok(directory.link(domain, &decode(key, true))),
        None => Err(ApiError::field(
            "linkId",
            "one of linkId, key and a url with ?via= or ?ref= is required",
        )),
    }
}
