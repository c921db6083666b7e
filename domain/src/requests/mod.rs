//! Requests: what the edge takes, as a function from a request to a record and an answer.
//!
//! ```text
//!   Request + Directory + Call {at, random} ──► handle ──► Accepted {record, response} | ApiError
//! ```
//!
//! The edge calls it with what came over HTTP, `simulate` with lines of a file. No IO, no clock, no
//! randomness. Invariant: what is refused has no record, and the record of an accepted request must be
//! durable before its response is given.

mod access;
mod agent;
mod click;
mod consent;
mod conversion;
mod decision;
mod destination;
mod directory;
mod error;
mod fields;
mod index;
mod money;
mod new_click;
mod open;
mod page;
mod redirect;
mod repeats;
mod signature;
mod stripe;
mod target;
mod tenant;
mod tenant_click;
mod track;
mod visit;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use tributary_avro::{StripeEvent, Track};

pub use access::{KeyOwner, caller, needed, workspace_of_key};
pub use destination::Utm;
pub(crate) use destination::{decode, parameters, query};
pub(crate) use directory::document;
pub use directory::{Directory, DirectoryError};
pub use error::{ApiError, Code, Refusal};
pub use new_click::NewClick;
pub use page::same_site;
pub use repeats::{FirstId, Firsts, Visit};
pub use signature::{SignatureError, TOLERANCE_SECONDS, sign, verify_signature};

/// Largest body of a tracking call.
pub const API_BODY_LIMIT: usize = 64 * 1024;
/// Largest body of a webhook.
pub const WEBHOOK_BODY_LIMIT: usize = 1_000_000;
/// Largest body of many decisions at once.
pub const BULK_BODY_LIMIT: usize = 512 * 1024;

/// A request, borrowed from whoever holds it.
pub struct Request<'a> {
    /// Upper case.
    pub method: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Query without question mark.
    pub query: Option<&'a str>,
    /// Host header, with or without port.
    pub host: &'a str,
    /// A header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Body, byte for byte.
    pub body: &'a [u8],
    /// Address of the visitor, not of a proxy. It is in no record.
    pub remote_ip: Option<IpAddr>,
    /// Where an address is.
    pub place: &'a dyn Fn(IpAddr) -> Place<'a>,
}

/// Where an address is, as far as it is known. Texts are empty where it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// ISO 3166-2 subdivision with its country: US-CA.
    pub region: Cow<'a, str>,
    /// English name.
    pub city: &'a str,
    /// Two letters.
    pub continent: &'a str,
    /// The address belongs to a data center, where machines are and people are not.
    pub data_center: bool,
}

/// Whose requests are counted together where they are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// Whoever has this address: short links, and calls without a secret key.
    Visitor,
    /// A server with a secret key, by the key's hash.
    Server(&'a [u8; 32]),
}

/// Why a request is refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Requests a second that are let through in the long run.
    pub per_second: u32,
    /// Milliseconds until the next one is.
    pub wait_ms: u64,
}

/// What the caller adds to a request: time, randomness and secrets.
pub struct Call<'a> {
    /// Time of the request, UTC milliseconds.
    pub at: i64,
    /// At least 50 random bits; IDs are made of it.
    pub random: u64,
    /// How webhooks are checked.
    pub signature: Signature<'a>,
    /// Secret that salts the visitor's hash, day by day; empty: clicks carry no visitor.
    pub visitor_secret: &'a [u8],
    /// Whether the caller may go on; asked once a request, webhooks and preflights excepted.
    pub admit: &'a dyn Fn(Caller<'_>) -> Result<(), Limited>,
    /// The first click with this key in this hour, see [`Visit`].
    pub first: &'a dyn Fn(u64, i64) -> Option<FirstId>,
}

/// How webhook signatures are checked.
pub enum Signature<'a> {
    /// Not at all: the requests come from a file.
    NotNeeded,
    /// With the secrets of the workspace named.
    Secrets(&'a dyn Fn(&str) -> Vec<Vec<u8>>),
}

/// What must be acknowledged before the answer is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'r> {
    /// For topic clicks.
    Click(NewClick<'r>),
    /// For topic tracks.
    Track(Track),
    /// For topic stripe.events.
    StripeEvent(StripeEvent),
}

/// A request that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<'r> {
    /// Durable first.
    pub record: Option<Record<'r>>,
    /// To be remembered once the record is durable: see [`Firsts::keep`].
    pub visit: Option<Visit>,
    /// Then given.
    pub response: Response,
}

/// Name and value of a response header.
pub type Header = (&'static str, Cow<'static, str>);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Names are lower case.
    pub headers: Vec<Header>,
    /// Body.
    pub body: String,
}

const JSON: Header = ("content-type", Cow::Borrowed("application/json"));
// Browsers call from the customers' sites, and any origin may read what is no secret. Calls with cookies need more,
// which the server adds for pages of its own site.
const ANY_ORIGIN: Header = ("access-control-allow-origin", Cow::Borrowed("*"));

impl Response {
    fn json(status: u16, body: String) -> Self {
        Self {
            status,
            headers: vec![JSON, ANY_ORIGIN],
            body,
        }
    }

    fn preflight() -> Self {
        Self {
            status: 204,
            headers: vec![
                ANY_ORIGIN,
                ("access-control-allow-methods", "GET, POST, OPTIONS".into()),
                (
                    "access-control-allow-headers",
                    "content-type, authorization, x-tenant-id".into(),
                ),
                ("access-control-max-age", "86400".into()),
            ],
            body: String::new(),
        }
    }
}

/// What a method and path ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route<'a> {
    /// Follow the short link with this key.
    Redirect(&'a str),
    /// `POST /track/click`.
    TrackClick,
    /// `POST /track/lead`.
    TrackLead,
    /// `POST /track/sale`.
    TrackSale,
    /// `POST /track/open`.
    TrackOpen,
    /// `POST /track/visit`.
    TrackVisit,
    /// `POST /track/lead/client`.
    ClientLead,
    /// `POST /track/sale/client`.
    ClientSale,
    /// `POST /tracking/click/v1`.
    TenantClick,
    /// `POST /tracking/conversion/v1`.
    Conversion,
    /// `GET /tracking/conversion/v1`.
    ConversionPostback,
    /// `POST /tracking/external-cid/v1`.
    ExternalCid,
    /// `PATCH /commissions/{id}`.
    Decide(&'a str),
    /// `PATCH /commissions/bulk`.
    DecideMany,
    /// `POST /commissions`.
    CustomCommission,
    /// `POST /webhooks/stripe/{workspace}`.
    StripeWebhook(&'a str),
    /// A browser asks whether it may call.
    Preflight,
}

// First segments that are routes, of this server or of the dashboard behind the same host: no link keys.
pub(crate) const RESERVED: [&str; 12] = [
    "track",
    "tracking",
    "tracking.js",
    "commissions",
    "webhooks",
    "analytics",
    "healthz",
    "readyz",
    "metrics",
    "openapi.json",
    "robots.txt",
    "favicon.ico",
];

impl<'a> Route<'a> {
    /// The route of a method and path.
    pub fn of(method: &str, path: &'a str) -> Result<Self, ApiError> {
        let post = |route| match method {
            "POST" => Ok(route),
            "OPTIONS" => Ok(Route::Preflight),
            _ => {
                let methods = match route {
                    Route::Conversion => "POST and GET",
                    _ => "POST",
                };
                let message = format!("{path} takes {methods} only");
                Err(ApiError::new(Code::BadRequest, message).with_status(405))
            }
        };
        match path {
            "/track/click" => return post(Route::TrackClick),
            "/track/lead" => return post(Route::TrackLead),
            "/track/sale" => return post(Route::TrackSale),
            "/track/open" => return post(Route::TrackOpen),
            "/track/visit" => return post(Route::TrackVisit),
            "/track/lead/client" => return post(Route::ClientLead),
            "/track/sale/client" => return post(Route::ClientSale),
            "/tracking/click/v1" => return post(Route::TenantClick),
            "/tracking/conversion/v1" if method == "GET" => return Ok(Route::ConversionPostback),
            "/tracking/conversion/v1" => return post(Route::Conversion),
            "/tracking/external-cid/v1" => return post(Route::ExternalCid),
            "/commissions" if method == "POST" => return Ok(Route::CustomCommission),
            "/commissions/bulk" if method == "PATCH" => return Ok(Route::DecideMany),
            _ => {}
        }
        if method == "PATCH"
            && let Some(id) = path.strip_prefix("/commissions/")
            && !id.is_empty()
        {
            return Ok(Route::Decide(id));
        }
        if let Some(workspace) = path.strip_prefix("/webhooks/stripe/") {
            return post(Route::StripeWebhook(workspace.trim_end_matches('/')));
        }
        let key = path.strip_prefix('/').unwrap_or(path);
        let first = key.split('/').next().unwrap_or_default();
        if matches!(first, "track" | "tracking" | "commissions") {
            return Err(
                ApiError::new(Code::InternalServerError, format!("{path} is not offered")).with_status(501),
            );
        }
        if RESERVED.contains(&first) {
            return Err(ApiError::new(Code::NotFound, format!("there is no {path} here")));
        }
        match method {
            "GET" | "HEAD" => Ok(Route::Redirect(key)),
            _ => {
                Err(ApiError::new(Code::BadRequest, "a short link takes GET and HEAD only").with_status(405))
            }
        }
    }

    /// The largest body that the route reads.
    pub fn body_limit(self) -> usize {
        match self {
            Route::StripeWebhook(_) => WEBHOOK_BODY_LIMIT,
            Route::DecideMany => BULK_BODY_LIMIT,
            Route::TrackClick
            | Route::TrackLead
            | Route::TrackSale
            | Route::TrackOpen
            | Route::TrackVisit
            | Route::ClientLead
            | Route::ClientSale
            | Route::TenantClick
            | Route::Conversion
            | Route::ExternalCid
            | Route::Decide(_)
            | Route::CustomCommission => API_BODY_LIMIT,
            Route::Redirect(_) | Route::ConversionPostback | Route::Preflight => 0,
        }
    }
}

/// Record and answer of a request.
pub fn handle<'r>(
    request: &Request<'r>,
    directory: &'r Directory,
    call: &Call<'_>,
) -> Result<Accepted<'r>, ApiError> {
    let route = Route::of(request.method, request.path)?;
    let limit = route.body_limit();
    if limit > 0 && request.body.len() > limit {
        return Err(ApiError::too_large(limit));
    }
    match route {
        Route::Redirect(key) => redirect::follow(key, request, directory, call),
        Route::TrackClick => click::track(request, directory, call),
        Route::TrackLead => track::lead(request, directory, call),
        Route::TrackSale => track::sale(request, directory, call),
        Route::TrackOpen => open::track(request, directory, call),
        Route::TrackVisit => visit::track(request, directory, call),
        Route::ClientLead => track::lead_of_browser(request, directory, call),
        Route::ClientSale => track::sale_of_browser(request, directory, call),
        Route::TenantClick => tenant_click::track(request, directory, call),
        Route::Conversion => conversion::convert(request, directory, call),
        Route::ConversionPostback => conversion::postback(request, directory, call),
        Route::ExternalCid => conversion::identify(request, directory, call),
        Route::Decide(id) => decision::one(id, request, directory, call),
        Route::DecideMany => decision::many(request, directory, call),
        Route::CustomCommission => decision::custom(request, directory, call),
        Route::StripeWebhook(workspace) => stripe::relay(workspace, request, directory, call),
        Route::Preflight => Ok(Accepted {
            record: None,
            visit: None,
            response: Response::preflight(),
        }),
    }
}
