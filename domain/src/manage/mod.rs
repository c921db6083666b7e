//! Management of links and partners, in the shapes of Dub's API, as functions without IO.
//!
//! ```text
//!   Request + Catalog ──► task ──► Answer                         (reading)
//!                             └──► Write ──► names: claim them first, read the log up to there
//!                                       └──► plan: records for topic config, and the answer
//! ```
//!
//! Invariant: a plan holds only while its names are claimed and the catalog has read all that was written
//! before the claims. Then no two links have one address, and no two of a workspace one ID of the customer's own.

mod browse;
mod catalog;
mod link;
mod list;
mod partner;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tributary_avro::Config;

pub use browse::{Found, Members};
pub use catalog::Catalog;
use catalog::{Known, address};
use link::Fields;
use list::Query;

use crate::mail;
use crate::requests::{ApiError, Code, KeyOwner, Request, decode};
use crate::rules::{Link, Partner, withdrawn};

/// Links of one request at most.
const BULK: usize = 100;
const KEY_LENGTH: usize = 7;
const LONGEST_RANDOM_KEY: usize = 32;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a request is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON. Objects with a `shortLink` are links: their figures are to be added.
    pub body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }
}

/// What a request asks for.
#[derive(Debug)]
pub enum Task {
    /// Nothing but this.
    Answer(Answer),
    /// Changes.
    Write(Write),
}

/// Records to publish, all of them before the answer is given.
#[derive(Debug)]
pub struct Plan {
    /// In their order.
    pub records: Vec<Config>,
    /// Then given.
    pub answer: Answer,
}

/// Changes that a request asks for. Random IDs and keys are chosen: asked again, it plans the same.
#[derive(Debug)]
pub struct Write {
    workspace: String,
    changes: Vec<Change>,
    shape: Shape,
}

#[derive(Debug)]
enum Change {
    Create(Fields, Fresh),
    Upsert(Fields, Fresh),
    Update(String, Fields),
    Delete(String),
    PutPartner(Fields, Fresh),
    PartnerLink(Fields, Fresh),
    UpsertPartnerLink(Fields, Fresh),
}

/// How the outcomes of the changes become one answer.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// The one outcome, with this status.
    One(u16),
    /// A list in which some may have failed.
    Each,
    /// A list, or the first failure.
    All,
    /// How many were deleted.
    Deleted,
}

/// The chance of something new.
#[derive(Debug)]
struct Fresh {
    id: String,
    key: String,
}

impl Fresh {
    fn draw(kind: &str, random: &mut dyn FnMut() -> u64) -> Self {
        let mut letters = |count: usize| {
            let mut letter = || {
                let place = usize::try_from(random() % 62).unwrap_or_default();
                ALPHABET.get(place).map_or('0', |b| char::from(*b))
            };
            (0..count).map(|_| letter()).collect::<String>()
        };
        Self {
            id: format!("{kind}_{}", letters(22)),
            key: letters(LONGEST_RANDOM_KEY),
        }
    }
}

/// What a change comes to.
#[derive(Default)]
struct Draft {
    /// What must be claimed.
    names: Vec<String>,
    link: Option<Drafted<Link>>,
    partner: Option<Drafted<Partner>>,
    gone: Option<Config>,
}

struct Drafted<T> {
    known: Known<T>,
    changed: bool,
}

/// 501 for an operation that Dub's API has.
fn not_offered(what: &str) -> ApiError {
    ApiError::new(Code::InternalServerError, format!("{what} is not offered")).with_status(501)
}

/// A link that is not declared (any more), in the same shape: of what the ledger says of it, from 1970, as what is
/// unknown is there.
pub fn undeclared_link(value: Link, workspace: &str) -> Value {
    let known = unknown(value);
    let mut shown = link::shown(&known, workspace);
    if known.value.domain.is_empty()
        && let Some(fields) = shown.as_object_mut()
    {
        // A row without link.
        fields.insert("shortLink".to_owned(), "".into());
        fields.insert("qrCode".to_owned(), "".into());
    }
    shown
}

/// The same as [`Catalog::named_link`] names a declared one.
pub fn undeclared_name(value: Link) -> Map<String, Value> {
    let known = unknown(value);
    let mut named = link::named(&known);
    if known.value.domain.is_empty() {
        named.insert("shortLink".to_owned(), "".into());
    }
    named
}

fn unknown(value: Link) -> Known<Link> {
    Known {
        created: 0,
        at: 0,
        value,
    }
}

/// What a request of a caller asks for. `random` is asked for IDs and keys.
///
/// # Errors
/// 400 or 422 for what cannot be meant, 404 for a link or partner that is not there, 501 for what is not offered.
pub fn task(
    request: &Request<'_>,
    catalog: &Catalog,
    caller: &KeyOwner,
    random: &mut dyn FnMut() -> u64,
) -> Result<Task, ApiError> {
    let workspace = &caller.workspace;
    let space = catalog.space(workspace);
    let mut query = Query::new(request.query);
    if !caller.partner.is_empty() {
        return of_one_partner(request, catalog, caller, query).map(Task::Answer);
    }
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let write = |shape, changes| {
        let workspace = workspace.clone();
        Ok(Task::Write(Write {
            workspace,
            changes,
            shape,
        }))
    };
    match (request.method, segments.as_slice()) {
        ("GET", ["links"]) => list::links(space, workspace, query).map(Task::Answer),
        ("GET", ["links", "count"]) => list::count(space, query).map(Task::Answer),
        ("GET", ["links", "info"]) => {
            let found = info(catalog, workspace, &mut query)?;
            query.finish()?;
            Ok(Task::Answer(Answer::ok(link::shown(found, workspace))))
        }
        ("POST", ["links"]) => write(
            Shape::One(200),
            vec![Change::Create(object(request)?, Fresh::draw("link", random))],
        ),
        ("PUT", ["links", "upsert"]) => write(
            Shape::One(200),
            vec![Change::Upsert(object(request)?, Fresh::draw("link", random))],
        ),
        ("POST", ["links", "bulk"]) => {
            let mut create = |fields| Change::Create(fields, Fresh::draw("link", random));
            write(
                Shape::Each,
                objects(request)?.into_iter().map(&mut create).collect(),
            )
        }
        ("PATCH", ["links", "bulk"]) => write(Shape::All, bulk_update(object(request)?)?),
        ("DELETE", ["links", "bulk"]) => {
            let ids = bulk_ids(query.take("linkIds"), query.take("externalIds"))?;
            query.finish()?;
            let known = ids.into_iter().filter(|id| list::by_id(space, id).is_ok());
            write(Shape::Deleted, known.map(Change::Delete).collect())
        }
        ("PATCH" | "PUT", ["links", id]) => write(
            Shape::One(200),
            vec![Change::Update(decode(id, false).into_owned(), object(request)?)],
        ),
        ("DELETE", ["links", id]) => write(
            Shape::One(200),
            vec![Change::Delete(decode(id, false).into_owned())],
        ),
        ("GET", ["partners"]) => list::partners(space, query).map(Task::Answer),
        ("POST", ["partners"]) => write(
            Shape::One(201),
            vec![Change::PutPartner(object(request)?, Fresh::draw("pn", random))],
        ),
        ("GET", ["partners", "links"]) => {
            let pick =
                |name: &str, query: &mut Query| query.take(name).map(|id| (name.to_owned(), id.into()));
            let asked: Fields = ["partnerId", "tenantId"]
                .iter()
                .filter_map(|n| pick(n, &mut query))
                .collect();
            query.finish()?;
            let found = partner::named(&asked, space)?;
            let links = space.map_or_else(Vec::new, |space| list::links_of(space, &found.value.id));
            Ok(Task::Answer(Answer::ok(links.into())))
        }
        ("POST", ["partners", "links"]) => write(
            Shape::One(201),
            vec![Change::PartnerLink(object(request)?, Fresh::draw("link", random))],
        ),
        ("PUT", ["partners", "links", "upsert"]) => write(
            Shape::One(200),
            vec![Change::UpsertPartnerLink(
                object(request)?,
                Fresh::draw("link", random),
            )],
        ),
        (method, _) => Err(not_offered(&format!("{method} {}", request.path))),
    }
}

/// What the token of a partner reads: itself and its links.
fn of_one_partner(
    request: &Request<'_>,
    catalog: &Catalog,
    caller: &KeyOwner,
    mut query: Query,
) -> Result<Answer, ApiError> {
    let KeyOwner {
        workspace, partner, ..
    } = caller;
    let space = catalog.space(workspace);
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if query.take("partnerId").is_some_and(|asked| asked != *partner) {
        return Err(ApiError::new(
            Code::Forbidden,
            "partnerId: the token is of another partner",
        ));
    }
    match (request.method, segments.as_slice()) {
        ("GET" | "HEAD", ["links"]) => {
            query.put("partnerId", partner);
            list::links(space, workspace, query)
        }
        ("GET" | "HEAD", ["links", "count"]) => {
            query.put("partnerId", partner);
            list::count(space, query)
        }
        ("GET" | "HEAD", ["links", "info"]) => {
            let found = info(catalog, workspace, &mut query)?;
            query.finish()?;
            if found.value.partner != *partner {
                return Err(ApiError::new(Code::NotFound, "the partner has no such link"));
            }
            Ok(Answer::ok(link::shown(found, workspace)))
        }
        ("GET" | "HEAD", ["partners"]) => {
            query.put("partnerId", partner);
            list::partners(space, query)
        }
        ("GET" | "HEAD", ["partners", "links"]) => {
            query.finish()?;
            let links = space.map_or_else(Vec::new, |space| list::links_of(space, partner));
            Ok(Answer::ok(links.into()))
        }
        (method, path) => {
            let reason = format!("{method} {}: not for the token of a partner", path.join("/"));
            Err(ApiError::new(Code::Forbidden, reason))
        }
    }
}

fn object(request: &Request<'_>) -> Result<Fields, ApiError> {
    match serde_json::from_slice(request.body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ApiError::new(Code::BadRequest, "the body must be a JSON object")),
        Err(error) => Err(ApiError::new(
            Code::BadRequest,
            format!("the body is not valid JSON: {error}"),
        )),
    }
}

fn objects(request: &Request<'_>) -> Result<Vec<Fields>, ApiError> {
    let list: Vec<Fields> = serde_json::from_slice(request.body).map_err(|error| {
        ApiError::new(
            Code::BadRequest,
            format!("the body is no list of objects: {error}"),
        )
    })?;
    within(list.len())?;
    Ok(list)
}

fn within(count: usize) -> Result<(), ApiError> {
    if (1..=BULK).contains(&count) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::UnprocessableEntity,
        format!("1 to {BULK} links at once, not {count}"),
    ))
}

/// IDs of links, the customer's own with `ext_`, each once.
fn bulk_ids(ids: Option<String>, external: Option<String>) -> Result<Vec<String>, ApiError> {
    let split = |text: String| text.split(',').map(|id| id.trim().to_owned()).collect::<Vec<_>>();
    let own = |id: String| {
        if id.starts_with("ext_") {
            id
        } else {
            format!("ext_{id}")
        }
    };
    let ids = ids.map(split).unwrap_or_default().into_iter();
    let external = external.map(split).unwrap_or_default().into_iter().map(own);
    let mut seen = BTreeSet::new();
    let once: Vec<String> = ids
        .chain(external)
        .filter(|id| !id.is_empty() && seen.insert(id.clone()))
        .collect();
    within(once.len())?;
    Ok(once)
}

fn bulk_update(mut body: Fields) -> Result<Vec<Change>, ApiError> {
    let mut list = |name: &str| match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match serde_json::from_value::<Vec<String>>(value) {
            Ok(ids) => Ok(Some(ids.join(","))),
            Err(_) => Err(ApiError::field(name, "must be a list of texts")),
        },
    };
    let ids = bulk_ids(list("linkIds")?, list("externalIds")?)?;
    let data = match body.remove("data") {
        Some(Value::Object(data)) => data,
        _ => return Err(ApiError::field("data", "must be an object")),
    };
    if let Some(name) = ["domain", "key", "externalId"]
        .into_iter()
        .find(|name| data.contains_key(*name))
    {
        return Err(ApiError::field(
            name,
            "belongs to one link: it cannot be set in many",
        ));
    }
    Ok(ids
        .into_iter()
        .map(|id| Change::Update(id, data.clone()))
        .collect())
}

fn info<'c>(catalog: &'c Catalog, workspace: &str, query: &mut Query) -> Result<&'c Known<Link>, ApiError> {
    let space = catalog.space(workspace);
    let (id, external) = (query.take("linkId"), query.take("externalId"));
    let (domain, key) = (query.take("domain"), query.take("key"));
    if let Some(id) = id {
        return list::by_id(space, &id);
    }
    if let Some(external) = external {
        let external = external.strip_prefix("ext_").unwrap_or(&external);
        return list::by_id(space, &format!("ext_{external}"));
    }
    let (Some(domain), Some(key)) = (domain, key) else {
        return Err(ApiError::new(
            Code::UnprocessableEntity,
            "give linkId, externalId, or domain and key",
        ));
    };
    match catalog.holder(&address(&domain, &key)) {
        Some((holder, id)) if holder == workspace => list::by_id(space, id),
        _ => Err(ApiError::new(
            Code::NotFound,
            format!("there is no link {domain}/{key}"),
        )),
    }
}

impl Write {
    /// What must be claimed before this is planned: addresses, IDs of the customer's own, and what an upsert asks by.
    pub fn names(&self, catalog: &Catalog) -> BTreeSet<String> {
        // What fails has nothing to claim; the plan says why.
        let drafts = self
            .changes
            .iter()
            .filter_map(|change| self.draft(change, catalog, 0).ok());
        drafts.flat_map(|draft| draft.names).collect()
    }

    /// Records and answer at time `at`.
    ///
    /// # Errors
    /// 409 for an address or ID that another link has, 404 and 422 as for [`task`].
    pub fn plan(&self, catalog: &Catalog, at: i64) -> Result<Plan, ApiError> {
        let settings = catalog.settings(&self.workspace)?;
        let mut records = Vec::new();
        let mut outcomes = Vec::new();
        let mut taken = BTreeSet::new();
        for change in &self.changes {
            let outcome = self.draft(change, catalog, at).and_then(|draft| {
                if let Some(link) = &draft.link {
                    self.free(&link.known.value, catalog, &mut taken)?;
                }
                Ok(draft)
            });
            let outcome = match outcome {
                Ok(draft) => draft,
                Err(error) if matches!(self.shape, Shape::Each) => {
                    let asked = match change {
                        Change::Create(fields, _) => Value::Object(fields.clone()),
                        _ => Value::Null,
                    };
                    outcomes.push(json!({"link": asked, "error": error.message, "code": error.code.name()}));
                    continue;
                }
                Err(error) => return Err(error),
            };
            outcomes.push(self.shown(&outcome, catalog));
            if let Some(Drafted { known, changed: true }) = outcome.partner {
                records.push(known.value.config(settings, at));
            }
            if let Some(Drafted { known, changed: true }) = outcome.link {
                records.push(known.value.config(settings, at));
            }
            records.extend(outcome.gone);
        }
        let answer = match self.shape {
            Shape::One(status) => Answer {
                status,
                body: outcomes.pop().unwrap_or_default(),
            },
            Shape::Each | Shape::All => Answer::ok(outcomes.into()),
            Shape::Deleted => Answer::ok(json!({"deletedCount": outcomes.len()})),
        };
        Ok(Plan { records, answer })
    }

    fn shown(&self, draft: &Draft, catalog: &Catalog) -> Value {
        match (&draft.partner, &draft.link, &draft.gone) {
            (Some(partner), made, _) => {
                let space = catalog.space(&self.workspace);
                let id = &partner.known.value.id;
                let mut links = space.map_or_else(Vec::new, |space| list::links_of(space, id));
                links.extend(made.iter().map(|link| partner::short_form(&link.known.value)));
                partner::shown(&partner.known, links)
            }
            (None, Some(link), _) => link::shown(&link.known, &self.workspace),
            (None, None, Some(gone)) => json!({"id": gone.id}),
            (None, None, None) => Value::Null,
        }
    }

    /// 409 if another link has the address or the customer's own ID, or one before it in the request.
    fn free(&self, link: &Link, catalog: &Catalog, taken: &mut BTreeSet<String>) -> Result<(), ApiError> {
        let conflict = |what: String| ApiError::new(Code::Conflict, what);
        let place = address(&link.domain, &link.key);
        let held = catalog
            .holder(&place)
            .is_some_and(|held| held != (&self.workspace, &link.id));
        if held || !taken.insert(place.clone()) {
            return Err(conflict(format!("key: there is a link {place} already")));
        }
        let external = &link.external_id;
        if !external.is_empty() {
            let other = catalog
                .space(&self.workspace)
                .and_then(|space| space.by_external_id(external));
            let held = other.is_some_and(|other| other.value.id != link.id);
            if held || !taken.insert(external_name(&self.workspace, external)) {
                return Err(conflict(format!(
                    "externalId: there is a link with {external:?} already"
                )));
            }
        }
        Ok(())
    }

    fn draft(&self, change: &Change, catalog: &Catalog, at: i64) -> Result<Draft, ApiError> {
        match change {
            Change::Create(fields, new) => self.create(fields, new, catalog, at),
            Change::Upsert(fields, new) => self.upsert(fields, new, catalog, at),
            Change::Update(id, fields) => self.update(id, fields, catalog, at),
            Change::Delete(id) => {
                let known = list::by_id(catalog.space(&self.workspace), id)?;
                let declared = known.value.config(catalog.settings(&self.workspace)?, known.at);
                let mut draft = Draft::default();
                draft.names.push(link_name(&known.value));
                draft.gone = Some(withdrawn(&declared, at));
                Ok(draft)
            }
            Change::PutPartner(fields, new) => self.put_partner(fields, new, catalog, at),
            Change::PartnerLink(fields, new) => {
                self.create(&self.of_partner(fields, catalog)?, new, catalog, at)
            }
            Change::UpsertPartnerLink(fields, new) => {
                self.upsert(&self.of_partner(fields, catalog)?, new, catalog, at)
            }
        }
    }

    fn create(&self, fields: &Fields, new: &Fresh, catalog: &Catalog, at: i64) -> Result<Draft, ApiError> {
        let length = match fields.get("keyLength") {
            None | Some(Value::Null) => KEY_LENGTH,
            Some(value) => value
                .as_f64()
                .filter(|n| (3.0..=32.0).contains(n))
                .map(|n| n as usize)
                .ok_or_else(|| {
                    ApiError::field("keyLength", format_args!("must be 3 to {LONGEST_RANDOM_KEY}"))
                })?,
        };
        let key: String = new.key.chars().take(length).collect();
        let partner = partner::field(fields, "partnerId")?;
        let mut link = Link {
            id: new.id.clone(),
            key: with_prefix(fields, &key)?,
            // As at Dub: what partners share counts, unless it is said not to.
            tracked: !partner.is_empty(),
            created: Some(link::time(at)),
            ..Link::default()
        };
        link::fill(
            &mut link,
            fields,
            catalog.space(&self.workspace),
            catalog.settings(&self.workspace)?,
        )?;
        let known = Known {
            created: at,
            at,
            value: link,
        };
        Ok(self.drafted(known, true, None))
    }

    fn update(&self, id: &str, fields: &Fields, catalog: &Catalog, at: i64) -> Result<Draft, ApiError> {
        let known = list::by_id(catalog.space(&self.workspace), id)?;
        let mut link = known.value.clone();
        link::fill(
            &mut link,
            fields,
            catalog.space(&self.workspace),
            catalog.settings(&self.workspace)?,
        )?;
        let changed = link != known.value;
        let at = if changed { at } else { known.at };
        let now = Known {
            created: known.created,
            at,
            value: link,
        };
        Ok(self.drafted(now, changed, Some(&known.value)))
    }

    // By destination, and for a partner's link by partner too. What is there gets the fields of the body.
    fn upsert(&self, fields: &Fields, new: &Fresh, catalog: &Catalog, at: i64) -> Result<Draft, ApiError> {
        let made = self.create(fields, new, catalog, at)?;
        let Some(wanted) = &made.link else {
            return Ok(made);
        };
        let wanted = &wanted.known.value;
        let by_partner = fields.contains_key("partnerId");
        let space = catalog.space(&self.workspace);
        let same = |known: &&Known<Link>| {
            known.value.url == wanted.url && (!by_partner || known.value.partner == wanted.partner)
        };
        let asked = format!("url/{}/{}", self.workspace, wanted.url);
        let mut draft = match space.and_then(|space| space.links().find(same)) {
            Some(known) => self.update(&known.value.id, fields, catalog, at)?,
            None => made,
        };
        draft.names.push(asked);
        Ok(draft)
    }

    fn drafted(&self, known: Known<Link>, changed: bool, before: Option<&Link>) -> Draft {
        let mut draft = Draft::default();
        for link in before.into_iter().chain([&known.value]) {
            draft.names.push(link_name(link));
            if !link.external_id.is_empty() {
                draft
                    .names
                    .push(external_name(&self.workspace, &link.external_id));
            }
        }
        draft.link = Some(Drafted { known, changed });
        draft
    }

    /// The fields of a link that is made for a partner.
    fn of_partner(&self, fields: &Fields, catalog: &Catalog) -> Result<Fields, ApiError> {
        let space = catalog.space(&self.workspace);
        let found = &partner::named(fields, space)?.value;
        let mut out = link_props(fields)?;
        for (name, value) in fields {
            match name.as_str() {
                "partnerId" | "tenantId" | "linkProps" => {}
                "url" | "key" | "comments" => drop(out.insert(name.clone(), value.clone())),
                name => return Err(ApiError::field(name, "is no field of a partner's link")),
            }
        }
        if out.get("url").is_none_or(Value::is_null) {
            let program = space.and_then(|space| space.programs.get(&found.program));
            let url = program
                .map(|program| program.url.clone())
                .filter(|url| !url.is_empty());
            let url = url.ok_or_else(|| ApiError::field("url", "is required: the program has none"))?;
            out.insert("url".to_owned(), url.into());
        }
        out.insert("partnerId".to_owned(), found.id.clone().into());
        Ok(out)
    }

    fn put_partner(
        &self,
        fields: &Fields,
        new: &Fresh,
        catalog: &Catalog,
        at: i64,
    ) -> Result<Draft, ApiError> {
        let space = catalog.space(&self.workspace);
        let mut draft = Draft::default();
        let email = mail::normalize(&partner::field(fields, "email")?).unwrap_or_default();
        draft.names.push(format!("partner/{}/{email}", self.workspace));
        let tenant = partner::field(fields, "tenantId")?;
        if !tenant.is_empty() {
            draft.names.push(format!("tenant/{}/{tenant}", self.workspace));
        }
        if let Some(known) = partner::meant(fields, space)? {
            let mut value = known.value.clone();
            partner::fill(&mut value, fields)?;
            let changed = value != known.value;
            let known = Known {
                created: known.created,
                at,
                value,
            };
            draft.partner = Some(Drafted { known, changed });
            return Ok(draft);
        }
        let program = partner::program(space)?;
        let mut value = Partner {
            id: new.id.clone(),
            program: program.id.clone(),
            created: Some(link::time(at)),
            ..Partner::default()
        };
        partner::fill(&mut value, fields)?;
        if program.url.is_empty() {
            if let Some(props) = fields.get("linkProps") {
                link::unset("linkProps", props)?;
            }
        } else {
            let link = self.link_of_new(&value, &program.url, (fields, new), catalog)?;
            let known = Known {
                created: at,
                at,
                value: Link {
                    created: Some(link::time(at)),
                    ..link
                },
            };
            let of_link = self.drafted(known, true, None);
            draft.names.extend(of_link.names);
            draft.link = of_link.link;
        }
        let known = Known {
            created: at,
            at,
            value,
        };
        draft.partner = Some(Drafted { known, changed: true });
        Ok(draft)
    }

    /// The link that a new partner gets, where its program says to which page.
    fn link_of_new(
        &self,
        partner: &Partner,
        url: &str,
        (fields, new): (&Fields, &Fresh),
        catalog: &Catalog,
    ) -> Result<Link, ApiError> {
        let settings = catalog.settings(&self.workspace)?;
        let props = link_props(fields)?;
        let mut link = Link {
            id: format!("link_{}", new.id.trim_start_matches("pn_")),
            url: url.to_owned(),
            tracked: true,
            ..Link::default()
        };
        let chosen = !partner::field(fields, "username")?.is_empty();
        let slug = partner::slug(fields, partner)?;
        link.key = with_prefix(&props, &slug)?;
        let domain = settings.domains.first().map_or("", String::as_str);
        if !chosen && (slug.is_empty() || catalog.holder(&address(domain, &link.key)).is_some()) {
            let more: String = new.key.chars().take(KEY_LENGTH).collect();
            link.key = with_prefix(&props, format!("{slug}-{more}").trim_start_matches('-'))?;
        }
        link::fill(&mut link, &props, catalog.space(&self.workspace), settings)?;
        link.partner.clone_from(&partner.id);
        link.program.clone_from(&partner.program);
        Ok(link)
    }
}

fn link_props(fields: &Fields) -> Result<Fields, ApiError> {
    match fields.get("linkProps") {
        None | Some(Value::Null) => Ok(Fields::new()),
        Some(Value::Object(props)) => Ok(props.clone()),
        Some(_) => Err(ApiError::field("linkProps", "must be an object")),
    }
}

fn with_prefix(fields: &Fields, key: &str) -> Result<String, ApiError> {
    let prefix = partner::field(fields, "prefix")?;
    match prefix.trim_matches('/') {
        "" => Ok(key.to_owned()),
        prefix => Ok(format!("{prefix}/{key}")),
    }
}

fn link_name(link: &Link) -> String {
    format!("link/{}", address(&link.domain, &link.key))
}

fn external_name(workspace: &str, id: &str) -> String {
    format!("external/{workspace}/{id}")
}
