//! Reading: lists, counts and look-ups of links and partners.
//!
//! Invariant: a filter that is not known is refused, since without it the list would be another.

use std::collections::BTreeMap;

use serde_json::Value;

use super::catalog::{Known, Space, address};
use super::{Answer, link, partner};
use crate::requests::{ApiError, Code, decode, parameters};
use crate::rules::Link;

const MOST: usize = 100;
const MOST_PAGES: usize = 100_000;

/// The parameters of a query that are not blank.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn new(query: Option<&str>) -> Self {
        let decoded = |(name, value): (&str, &str)| {
            (
                decode(name, true).into_owned(),
                decode(value, true).trim().to_owned(),
            )
        };
        let pairs = parameters(query.unwrap_or_default()).map(decoded);
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    fn switch(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::field(name, "must be true or false")),
        }
    }

    fn number(&mut self, name: &str, most: usize) -> Result<Option<usize>, ApiError> {
        let parse = |text: String| match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(ApiError::field(
                name,
                format_args!("must be a number from 1 to {most}"),
            )),
        };
        self.take(name).map(parse).transpose()
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(ApiError::field(&name, "is not offered here; leave it out")),
        }
    }
}

/// Which links are asked for.
struct Filter {
    domain: Option<String>,
    tenant: Option<String>,
    partner: Option<String>,
    search: Option<String>,
    archived: bool,
}

impl Filter {
    fn take(query: &mut Query) -> Result<Self, ApiError> {
        if query.switch("withTags")? {
            return Err(ApiError::field("withTags", "links have no tags here"));
        }
        Ok(Self {
            domain: query.take("domain").map(|domain| domain.to_lowercase()),
            tenant: query.take("tenantId"),
            partner: query.take("partnerId"),
            search: query.take("search").map(|text| text.to_lowercase()),
            archived: query.switch("showArchived")?,
        })
    }

    fn fits(&self, link: &Link) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|asked| asked == found);
        is(&self.domain, &link.domain)
            && is(&self.tenant, &link.tenant_id)
            && is(&self.partner, &link.partner)
            && (self.archived || !link.archived)
            && self.search.as_ref().is_none_or(|text| {
                let short = address(&link.domain, &link.key).to_lowercase();
                short.contains(text) || link.url.to_lowercase().contains(text)
            })
    }
}

/// `GET /links`, the youngest first.
pub(super) fn links(space: Option<&Space>, workspace: &str, mut query: Query) -> Result<Answer, ApiError> {
    let filter = Filter::take(&mut query)?;
    let size = query.number("pageSize", MOST)?.unwrap_or(MOST);
    let page = query.number("page", MOST_PAGES)?.unwrap_or(1);
    let (after, before) = (query.take("startingAfter"), query.take("endingBefore"));
    query.finish()?;
    let fitting = space
        .into_iter()
        .flat_map(Space::links)
        .filter(|known| filter.fits(&known.value));
    let found: Vec<&Known<Link>> = match (after, before) {
        (None, None) => fitting.skip((page - 1) * size).take(size).collect(),
        (Some(id), None) => fitting
            .skip_while(|k| k.value.id != id)
            .skip(1)
            .take(size)
            .collect(),
        (None, Some(id)) => {
            let until: Vec<_> = fitting.take_while(|known| known.value.id != id).collect();
            until.into_iter().rev().take(size).rev().collect()
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::field(
                "endingBefore",
                "cannot be given with startingAfter",
            ));
        }
    };
    let shown = found.into_iter().map(|known| link::shown(known, workspace));
    Ok(Answer::ok(shown.collect()))
}

/// `GET /links/count`: how many `GET /links` would list, on all pages.
pub(super) fn count(space: Option<&Space>, mut query: Query) -> Result<Answer, ApiError> {
    if query.take("groupBy").is_some() {
        return Err(super::not_offered("/links/count with groupBy"));
    }
    let filter = Filter::take(&mut query)?;
    query.finish()?;
    let links = space.into_iter().flat_map(Space::links);
    Ok(Answer::ok(
        links.filter(|known| filter.fits(&known.value)).count().into(),
    ))
}

/// The link with an ID, or with `ext_` and the customer's own ID.
pub(super) fn by_id<'c>(space: Option<&'c Space>, id: &str) -> Result<&'c Known<Link>, ApiError> {
    let found = space.and_then(|space| match id.strip_prefix("ext_") {
        Some(external) => space.by_external_id(external),
        None => space.link(id),
    });
    found.ok_or_else(|| ApiError::new(Code::NotFound, format!("there is no link {id:?}")))
}

/// `GET /partners`, the youngest first.
pub(super) fn partners(space: Option<&Space>, mut query: Query) -> Result<Answer, ApiError> {
    let ascending = match query.take("sortOrder").as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(ApiError::field("sortOrder", "must be asc or desc")),
    };
    // SDKs send totalSaleAmount unless they are told otherwise. Partners have no totals here: to refuse it would
    // be to refuse every list.
    match query.take("sortBy").as_deref() {
        None | Some("createdAt" | "totalSaleAmount") => {}
        Some(_) => return Err(ApiError::field("sortBy", "only createdAt is offered")),
    }
    let size = query.number("pageSize", MOST)?.unwrap_or(MOST);
    let page = query.number("page", MOST_PAGES)?.unwrap_or(1);
    let filters = ["groupId", "status", "country", "email", "tenantId"].map(|name| query.take(name));
    let search = query.take("search").map(|text| text.to_lowercase());
    let only = query.take("partnerId");
    query.finish()?;
    let fits = |known: &&Known<crate::rules::Partner>| {
        let p = &known.value;
        if only.as_ref().is_some_and(|id| *id != p.id) {
            return false;
        }
        let values = [
            &p.group,
            partner::status(p.status),
            &p.country,
            &p.email,
            &p.tenant_id,
        ];
        let mut pairs = filters.iter().zip(values);
        pairs.all(|(asked, found)| asked.as_ref().is_none_or(|asked| asked == found))
            && search.as_ref().is_none_or(|text| {
                [&p.id, &p.name, &p.email]
                    .iter()
                    .any(|found| found.to_lowercase().contains(text))
            })
    };
    let Some(space) = space else {
        return Ok(Answer::ok(Value::Array(Vec::new())));
    };
    let mut found: Vec<_> = space.partners.values().filter(fits).collect();
    found.sort_by_key(|known| (known.created, &known.value.id));
    if !ascending {
        found.reverse();
    }
    let page = found.into_iter().skip((page - 1) * size).take(size);
    Ok(Answer::ok(
        page.map(|known| partner::shown(known, links_of(space, &known.value.id)))
            .collect(),
    ))
}

/// The links of a partner, in the short form.
pub(super) fn links_of(space: &Space, partner: &str) -> Vec<Value> {
    let own = space.links().filter(|known| known.value.partner == partner);
    own.map(|known| partner::short_form(&known.value)).collect()
}
