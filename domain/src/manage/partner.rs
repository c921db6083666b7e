//! A partner as Dub's API writes it.

use serde_json::{Value, json};

use super::catalog::{Known, Space};
use super::link::{Fields, or_null, plain, short, text, time, unset};
use crate::mail;
use crate::normalize::holds_address;
use crate::requests::{ApiError, Code};
use crate::rules::{Partner, PartnerStatus, Program, is_country};

const NAME_LIMIT: usize = 255;

/// The only program: what is told no program belongs there.
pub(super) fn program(space: Option<&Space>) -> Result<&Program, ApiError> {
    let mut programs = space.into_iter().flat_map(|space| space.programs.values());
    match (programs.next(), programs.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(ApiError::new(Code::NotFound, "the workspace has no program")),
        (Some(_), Some(_)) => Err(ApiError::new(
            Code::UnprocessableEntity,
            "the workspace has several programs, so a new partner's would be a guess: declare it in program.yaml",
        )),
    }
}

/// The partner that a body means: by the customer's own ID, else by e-mail address.
pub(super) fn meant<'c>(
    fields: &Fields,
    space: Option<&'c Space>,
) -> Result<Option<&'c Known<Partner>>, ApiError> {
    let Some(space) = space else {
        return Ok(None);
    };
    let tenant = field(fields, "tenantId")?;
    let of_tenant = (!tenant.is_empty())
        .then(|| space.partner_of_tenant(&tenant))
        .flatten();
    let email = mail::normalize(&field(fields, "email")?);
    let has = |known: &&Known<Partner>| email.is_some() && mail::normalize(&known.value.email) == email;
    Ok(of_tenant.or_else(|| space.partners.values().find(has)))
}

/// The partner that `partnerId` or `tenantId` names.
pub(super) fn named<'c>(fields: &Fields, space: Option<&'c Space>) -> Result<&'c Known<Partner>, ApiError> {
    let (id, tenant) = (field(fields, "partnerId")?, field(fields, "tenantId")?);
    if id.is_empty() && tenant.is_empty() {
        return Err(ApiError::field("partnerId", "give this or tenantId"));
    }
    let found = space.and_then(|space| match id.as_str() {
        "" => space.partner_of_tenant(&tenant),
        id => space.partners.get(id),
    });
    found.ok_or_else(|| ApiError::new(Code::NotFound, "there is no such partner"))
}

/// A text of the body, empty if it is absent.
pub(super) fn field(fields: &Fields, name: &str) -> Result<String, ApiError> {
    text(name, fields.get(name).unwrap_or(&Value::Null), NAME_LIMIT)
}

/// Sets the fields of a body in a partner; what the body does not name stays.
pub(super) fn fill(partner: &mut Partner, fields: &Fields) -> Result<(), ApiError> {
    for (name, value) in fields {
        match name.as_str() {
            "name" => partner.name = real_name(&text(name, value, NAME_LIMIT)?),
            "email" => partner.email = text(name, value, NAME_LIMIT)?,
            "tenantId" => partner.tenant_id = plain(name, value, NAME_LIMIT)?,
            "groupId" => partner.group = plain(name, value, NAME_LIMIT)?,
            "country" => partner.country = text(name, value, NAME_LIMIT)?.to_uppercase(),
            // Of the link that is made with it.
            "username" | "linkProps" => {}
            "image" | "description" => unset(name, value)?,
            name => return Err(ApiError::field(name, "is no field of a partner")),
        }
    }
    if mail::normalize(&partner.email).is_none() {
        return Err(ApiError::field("email", "is no e-mail address"));
    }
    if !partner.country.is_empty() && !is_country(&partner.country) {
        return Err(ApiError::field("country", "two letters of ISO 3166-1"));
    }
    Ok(())
}

/// Facts hold the name and no address: who is named by an address has no name, and is shown by the address.
fn real_name(name: &str) -> String {
    if holds_address(name) {
        String::new()
    } else {
        name.to_owned()
    }
}

/// What a partner's own link is called: the user name, else its name, in letters and digits.
pub(super) fn slug(fields: &Fields, partner: &Partner) -> Result<String, ApiError> {
    let username = field(fields, "username")?;
    if !username.is_empty() {
        return Ok(username);
    }
    let name = if partner.name.is_empty() {
        &partner.email
    } else {
        &partner.name
    };
    let words = name.split('@').next().unwrap_or_default().to_lowercase();
    let words: Vec<&str> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    Ok(words.join("-"))
}

pub(super) fn status(status: PartnerStatus) -> &'static str {
    match status {
        PartnerStatus::Approved => "approved",
        PartnerStatus::Invited => "invited",
        PartnerStatus::Archived => "archived",
        PartnerStatus::Pending => "pending",
        PartnerStatus::Rejected => "rejected",
        PartnerStatus::Banned => "banned",
    }
}

/// A partner in the shape of Dub's API, with its links.
pub(super) fn shown(known: &Known<Partner>, links: Vec<Value>) -> Value {
    let partner = &known.value;
    let names = [&partner.name, &partner.email, &partner.id];
    let name = names.into_iter().find(|name| !name.is_empty());
    json!({
        "id": partner.id, "partnerId": partner.id, "name": name,
        "email": or_null(&partner.email), "country": or_null(&partner.country),
        "programId": partner.program, "groupId": or_null(&partner.group),
        "tenantId": or_null(&partner.tenant_id), "status": status(partner.status),
        "createdAt": time(known.created), "links": links,
        "username": null, "image": null, "description": null, "companyName": null,
        "networkStatus": "approved", "defaultPayoutMethod": null, "paypalEmail": null,
        "stripeConnectId": null, "payoutsEnabledAt": null, "identityVerifiedAt": null,
        "tags": [],
    })
}

/// A link as it stands in its partner.
pub(super) fn short_form(link: &crate::rules::Link) -> Value {
    json!({"id": link.id, "domain": link.domain, "key": link.key, "url": link.url, "shortLink": short(link)})
}
