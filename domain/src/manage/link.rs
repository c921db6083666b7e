//! A link as Dub's API writes it: fields into the declared document, and the document back.
//!
//! Invariant: a field that is not offered is refused by name unless it says nothing; it is never dropped silently.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::catalog::{Known, Space};
use crate::normalize::holds_address;
use crate::requests::{ApiError, Utm, parameters, query};
use crate::rules::{Link, Workspace, instant, link_problems};

/// The fields of a body.
pub(super) type Fields = Map<String, Value>;

const TEXT_LIMIT: usize = 255;
const URL_LIMIT: usize = 8192;
const COMMENTS_LIMIT: usize = 5000;

/// What Dub's links have and these have not.
const NOT_OFFERED: [&str; 17] = [
    "tagIds",
    "tagNames",
    "tagId",
    "folderId",
    "password",
    "proxy",
    "title",
    "description",
    "image",
    "video",
    "rewrite",
    "doIndex",
    "publicStats",
    "testVariants",
    "testStartedAt",
    "testCompletedAt",
    "webhookIds",
];

const CAMPAIGN: [&str; 6] = [
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "ref",
];

/// Sets the fields of a body in a link. What the body does not name stays as it was, null takes it away.
pub(super) fn fill(
    link: &mut Link,
    fields: &Fields,
    space: Option<&Space>,
    settings: &Workspace,
) -> Result<(), ApiError> {
    for (name, value) in fields {
        match name.as_str() {
            "url" => link.url = text(name, value, URL_LIMIT)?,
            "domain" => link.domain = text(name, value, TEXT_LIMIT)?.to_lowercase(),
            "key" => link.key = plain(name, value, TEXT_LIMIT)?.trim_start_matches('/').to_owned(),
            "externalId" => {
                let id = plain(name, value, TEXT_LIMIT)?;
                link.external_id = id.strip_prefix("ext_").unwrap_or(&id).to_owned();
            }
            "tenantId" => link.tenant_id = plain(name, value, TEXT_LIMIT)?,
            "programId" => link.program = text(name, value, TEXT_LIMIT)?,
            "partnerId" => link.partner = text(name, value, TEXT_LIMIT)?,
            "comments" => link.comments = plain(name, value, COMMENTS_LIMIT)?,
            "trackConversion" => link.tracked = switch(name, value)?,
            "archived" => link.archived = switch(name, value)?,
            "expiresAt" => {
                let at = text(name, value, TEXT_LIMIT)?;
                link.expires_at = (!at.is_empty()).then_some(at);
            }
            "expiredUrl" => link.expired_url = text(name, value, URL_LIMIT)?,
            "ios" => link.ios = text(name, value, URL_LIMIT)?,
            "android" => link.android = text(name, value, URL_LIMIT)?,
            "geo" => link.geo = geo(value)?,
            // What a new key is made of.
            "keyLength" | "prefix" => {}
            name if CAMPAIGN.contains(&name) => {}
            name if NOT_OFFERED.contains(&name) => unset(name, value)?,
            name => return Err(ApiError::field(name, "is no field of a link")),
        }
    }
    // After the destination, wherever they stand in the body.
    for name in CAMPAIGN {
        if let Some(value) = fields.get(name) {
            link.url = with_parameter(&link.url, name, &text(name, value, TEXT_LIMIT)?);
        }
    }
    if link.domain.is_empty() {
        link.domain = settings.domains.first().cloned().unwrap_or_default();
    }
    check(link, space, settings)
}

fn check(link: &mut Link, space: Option<&Space>, settings: &Workspace) -> Result<(), ApiError> {
    if let Some(problem) = link_problems(link).into_iter().next() {
        let (field, rule) = problem.split_once(": ").unwrap_or(("link", &problem));
        return Err(ApiError::field(&camel(field), rule));
    }
    let own = |domain: &String| domain.eq_ignore_ascii_case(&link.domain);
    if !settings.domains.iter().any(own) {
        return Err(ApiError::field(
            "domain",
            format_args!("{:?} is none of the workspace's domains", link.domain),
        ));
    }
    if !link.partner.is_empty() {
        let partner = space.and_then(|space| space.partners.get(&link.partner));
        let partner = partner.ok_or_else(|| ApiError::field("partnerId", "there is no such partner"))?;
        if link.program.is_empty() {
            link.program.clone_from(&partner.value.program);
        }
    }
    let known = |id: &str| space.is_some_and(|space| space.programs.contains_key(id));
    if !link.program.is_empty() && !known(&link.program) {
        return Err(ApiError::field("programId", "there is no such program"));
    }
    Ok(())
}

fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// A text of a body; null and absent are empty.
pub(super) fn text(name: &str, value: &Value, limit: usize) -> Result<String, ApiError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) if text.chars().count() <= limit => Ok(text.trim().to_owned()),
        Value::String(_) => Err(ApiError::field(
            name,
            format_args!("must have at most {limit} characters"),
        )),
        _ => Err(ApiError::field(name, "must be a text")),
    }
}

/// A text that facts may hold, which are kept for ever: no e-mail address.
pub(super) fn plain(name: &str, value: &Value, limit: usize) -> Result<String, ApiError> {
    let text = text(name, value, limit)?;
    if holds_address(&text) {
        return Err(ApiError::field(name, "must hold no e-mail address (B1a)"));
    }
    Ok(text)
}

fn switch(name: &str, value: &Value) -> Result<bool, ApiError> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(on) => Ok(*on),
        _ => Err(ApiError::field(name, "must be true or false")),
    }
}

/// Refuses a field that is not offered, unless it says nothing.
pub(super) fn unset(name: &str, value: &Value) -> Result<(), ApiError> {
    let nothing = match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if nothing {
        return Ok(());
    }
    Err(ApiError::field(name, "is not offered here; leave it out"))
}

fn geo(value: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let countries = match value {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(countries) => countries,
        _ => return Err(ApiError::field("geo", "must be an object of countries and URLs")),
    };
    let entry = |(country, url): (&String, &Value)| {
        Ok((
            country.to_uppercase(),
            text(&format!("geo.{country}"), url, URL_LIMIT)?,
        ))
    };
    countries.iter().map(entry).collect()
}

/// The URL with a parameter instead of any of that name; without it if the value is empty.
fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let (rest, fragment) = url
        .split_once('#')
        .map_or((url, None), |(rest, end)| (rest, Some(end)));
    let path = rest.split('?').next().unwrap_or_default();
    let mut pairs: Vec<String> = parameters(query(rest))
        .filter(|(other, _)| *other != name)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !value.is_empty() {
        pairs.push(format!("{name}={}", encode(value)));
    }
    let mut out = path.to_owned();
    if !pairs.is_empty() {
        out.push('?');
        out.push_str(&pairs.join("&"));
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

pub(super) fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// Null for what is empty.
pub(super) fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// The address that people follow.
pub(super) fn short(link: &Link) -> String {
    format!("https://{}/{}", link.domain, link.key)
}

/// What names a link among others: of a thousand of them the rest would be most of the work.
pub(super) fn named(known: &Known<Link>) -> Map<String, Value> {
    let link = &known.value;
    let fields = [
        ("id", json!(link.id)),
        ("domain", json!(link.domain)),
        ("key", json!(link.key)),
        ("url", json!(link.url)),
        ("shortLink", short(link).into()),
        ("createdAt", time(known.created).into()),
        ("comments", or_null(&link.comments)),
        ("title", Value::Null),
        ("partnerId", or_null(&link.partner)),
        ("folderId", Value::Null),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// A link in the shape of Dub's `LinkSchema`. Its figures are added by whoever can read the ledger.
pub(super) fn shown(known: &Known<Link>, workspace: &str) -> Value {
    let link = &known.value;
    let utm = Utm::of(&link.url);
    let expires = link.expires_at.as_deref().and_then(instant).map(time);
    let geo = (!link.geo.is_empty()).then_some(&link.geo);
    let short = short(link);
    let mut shown = Value::Object(named(known));
    let more = json!({
        "trackConversion": link.tracked, "archived": link.archived,
        "externalId": or_null(&link.external_id), "tenantId": or_null(&link.tenant_id),
        "programId": or_null(&link.program),
        "expiresAt": expires, "expiredUrl": or_null(&link.expired_url),
        "ios": or_null(&link.ios), "android": or_null(&link.android), "geo": geo,
        "qrCode": format!("{short}?qr=1"),
        "workspaceId": workspace, "projectId": workspace, "updatedAt": time(known.at),
    });
    let campaign = json!({
        "utm_source": or_null(&utm.source), "utm_medium": or_null(&utm.medium),
        "utm_campaign": or_null(&utm.campaign), "utm_term": or_null(&utm.term),
        "utm_content": or_null(&utm.content),
    });
    // SDKs refuse an answer without them.
    let never = json!({
        "userId": null, "lastClicked": null, "disabledAt": null, "password": null, "proxy": false,
        "description": null, "image": null, "video": null, "rewrite": false, "doIndex": false,
        "publicStats": false, "tags": [], "tagId": null, "webhookIds": [],
        "testVariants": null, "testStartedAt": null, "testCompletedAt": null,
    });
    for part in [more, campaign, never] {
        if let (Value::Object(shown), Value::Object(part)) = (&mut shown, part) {
            shown.extend(part);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_changed_and_taken_away() {
        for (url, value, expected) in [
            ("https://a.example", "x y", "https://a.example?ref=x%20y"),
            ("https://a.example/?b=1#t", "x", "https://a.example/?b=1&ref=x#t"),
            (
                "https://a.example/?ref=old&b=1",
                "x",
                "https://a.example/?b=1&ref=x",
            ),
            ("https://a.example/?ref=old#t", "", "https://a.example/#t"),
        ] {
            assert_eq!(with_parameter(url, "ref", value), expected, "{url}");
        }
    }
}
