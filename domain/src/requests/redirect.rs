//! `GET|HEAD /{key}`: the click is recorded and the visitor sent on with its click ID.

use std::borrow::Cow;

use super::consent::Consent;
use super::destination::{Utm, decode, parameters, with_parameters};
use super::{
    Accepted, ApiError, Call, Caller, Code, Directory, Header, Record, Request, Response, Visit, access,
    click, page,
};
use crate::click_id;

/// Key of the link that a domain itself is.
pub(super) const ROOT: &str = "_root";
// Every visit is a click: neither browser nor proxy may answer for us.
const NO_STORE: Header = ("cache-control", Cow::Borrowed("no-store"));

pub(super) fn follow<'r>(
    key: &str,
    request: &Request<'r>,
    directory: &'r Directory,
    call: &Call<'_>,
) -> Result<Accepted<'r>, ApiError> {
    access::admit(Caller::Visitor, call)?;
    let key = decode(if key.is_empty() { ROOT } else { key }, false);
    let link = directory
        .link(request.host, &key)
        .ok_or_else(|| ApiError::new(Code::NotFound, "there is no such link"))?;
    // No click: what leads nowhere, or past the offer, brings nobody.
    match link.target.expired(call.at) {
        Some("") => return Err(ApiError::new(Code::NotFound, "the link has expired").with_status(410)),
        Some(url) => return Ok(redirect(vec![to(url, &[]), NO_STORE], None, None)),
        None => {}
    }
    let consent = Consent::of(request);
    let id = click_id::new(call.at, call.random);
    let source = click::Source {
        visitor_ip: request.remote_ip,
        consent,
    };
    let (mut click, visitor) = click::record(id.into(), &link, request, call, source);
    let url = link.target.url_for(click.os, click.country);
    let mut headers = vec![NO_STORE, ("referrer-policy", "no-referrer-when-downgrade".into())];
    if consent == Consent::Nothing {
        headers.push(to(url, &[]));
        return Ok(redirect(headers, None, None));
    }
    if url != link.target.url() {
        click.url = url.into();
        click.utm = Utm::of(url);
    }
    let qr = parameters(request.query.unwrap_or_default()).any(|pair| pair == ("qr", "1"));
    click.trigger = if qr { "qr" } else { "link" };
    if click.bot.is_empty() && (request.header)("user-agent").is_none_or(str::is_empty) {
        click.bot = "list";
    }
    click::set_referer(&mut click, (request.header)("referer").unwrap_or_default().into());
    let visit = click::meet(&mut click, visitor, call);
    let id = click::told_id(&click);
    let reference = format!("dub_id_{id}");
    let mut added = vec![("dub_id", id)];
    if link.target.client_reference_id {
        added.push(("client_reference_id", reference.as_str()));
    }
    headers.push(to(url, &added));
    if consent == Consent::Full {
        headers.push(page::cookie(id, request, &link.settings.cookie_domain));
    }
    Ok(redirect(headers, Some(Record::Click(click)), visit))
}

fn to(url: &str, added: &[(&str, &str)]) -> Header {
    ("location", with_parameters(url, added).into())
}

fn redirect<'r>(headers: Vec<Header>, record: Option<Record<'r>>, visit: Option<Visit>) -> Accepted<'r> {
    let response = Response {
        status: 302,
        headers,
        body: String::new(),
    };
    Accepted {
        record,
        visit,
        response,
    }
}
