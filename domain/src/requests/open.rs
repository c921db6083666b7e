//! `POST /track/open`: an app was opened by a deep link.
//!
//! Only what the link itself says is told. Who came to an app by way of its store would have to be guessed from
//! addresses: that is answered "nobody", as for an app that no link led to.

use serde_json::{Value, json};

use super::consent::Consent;
use super::destination::{decode, parameters, query, without_query};
use super::directory::Resolved;
use super::fields::{Fields, TEXT_LIMIT, URL_LIMIT};
use super::{Accepted, ApiError, Call, Code, Directory, Record, Request, Response, access, click};
use crate::click_id;
use crate::rules::KeyKind;

pub(super) fn track<'r>(
    request: &Request<'r>,
    directory: &'r Directory,
    call: &Call<'_>,
) -> Result<Accepted<'r>, ApiError> {
    let fields = Fields::parse(request.body)?;
    let deep_link = fields.text("deepLink", URL_LIMIT)?.unwrap_or_default().trim();
    let domain = fields.text("dubDomain", TEXT_LIMIT)?.unwrap_or_default();
    if deep_link.is_empty() {
        if domain.is_empty() {
            return Err(ApiError::field("deepLink", "is required, or dubDomain"));
        }
        return Ok(answered(None, Value::Null));
    }
    let caller = access::key(request, directory, call)?;
    let link = link(deep_link, directory)
        .filter(|link| caller.is_none_or(|caller| caller.workspace == link.target.workspace()))
        .ok_or_else(|| ApiError::new(Code::NotFound, "deepLink: there is no such link"))?;
    let told = json!({
        "id": link.target.id(),
        "domain": link.domain,
        "key": link.target.key(),
        "url": link.target.url(),
    });
    // A link that was followed first has its click already.
    let clicked = parameters(query(deep_link)).find(|(name, id)| *name == "dub_id" && click_id::is_valid(id));
    if let Some((_, id)) = clicked {
        return Ok(answered(Some(id), told));
    }
    let consent = Consent::of(request);
    if consent == Consent::Nothing {
        return Ok(answered(None, told));
    }
    let id = click_id::new(call.at, call.random);
    let is_server = caller.is_some_and(|key| key.kind == KeyKind::Secret);
    let source = click::Source {
        visitor_ip: request.remote_ip.filter(|_| !is_server),
        consent,
    };
    let (mut click, visitor) = click::record(id.into(), &link, request, call, source);
    click.trigger = "deeplink";
    if let Some(caller) = caller {
        click.mode = &caller.mode;
    }
    click::set_referer(&mut click, "".into());
    let visit = click::meet(&mut click, visitor, call);
    let answer = answered(Some(click::told_id(&click)), told);
    Ok(Accepted {
        record: Some(Record::Click(click)),
        visit,
        ..answer
    })
}

fn link<'d>(deep_link: &str, directory: &'d Directory) -> Option<Resolved<'d>> {
    let (_, rest) = without_query(deep_link).split_once("://")?;
    let (host, key) = rest.split_once('/')?;
    directory.link(host, &decode(key.trim_end_matches('/'), false))
}

fn answered(id: Option<&str>, link: Value) -> Accepted<'static> {
    Accepted {
        record: None,
        visit: None,
        response: Response::json(200, json!({"clickId": id, "link": link}).to_string()),
    }
}
