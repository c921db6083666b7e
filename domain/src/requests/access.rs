//! Who calls: the API key of the Authorization header, found by its hash.
//!
//! How long the look-up takes tells nothing of a key: whoever does not know one cannot choose what it hashes to.
//! Invariant: a token tells no facts, and does nothing but what its scopes name.

use sha2::{Digest, Sha256};

use super::directory::Key;
use super::{ApiError, Call, Caller, Code, Directory, Limited, Request};
use crate::rules::{KeyKind, Permission};

/// The hash of the key in an Authorization header; None if there is none.
fn presented(authorization: Option<&str>) -> Result<Option<[u8; 32]>, ApiError> {
    let Some(value) = authorization else {
        return Ok(None);
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(Sha256::digest(token.trim().as_bytes()).into()))
        }
        _ => Err(ApiError::new(
            Code::Unauthorized,
            "Authorization: must be `Bearer <API key>`",
        )),
    }
}

fn known<'d>(hash: &[u8; 32], directory: &'d Directory) -> Result<&'d Key, ApiError> {
    let key = directory.key(hash);
    key.ok_or_else(|| ApiError::new(Code::Unauthorized, "Authorization: unknown API key"))
}

/// The key of a call that tells something; None if it has no Authorization header.
pub(super) fn key<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
) -> Result<Option<&'d Key>, ApiError> {
    match any_key(request, directory, call)? {
        Some(key) if key.kind == KeyKind::Token => Err(no_facts()),
        key => Ok(key),
    }
}

fn no_facts() -> ApiError {
    ApiError::new(
        Code::Forbidden,
        "Authorization: a token reads and manages and tells no facts; take a secret or publishable key",
    )
}

/// The key of a request; None if it has no Authorization header. The request counts against the caller's limit.
fn any_key<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
) -> Result<Option<&'d Key>, ApiError> {
    let hash = match presented((request.header)("authorization")) {
        Ok(Some(hash)) => hash,
        other => {
            admit(Caller::Visitor, call)?;
            return other.map(|_| None);
        }
    };
    let key = known(&hash, directory);
    // A publishable key stands in pages that everybody reads: its callers are told apart by their addresses, as those
    // who try keys are.
    match key {
        Ok(key) if key.kind != KeyKind::Publishable => admit(Caller::Server(&hash), call)?,
        _ => admit(Caller::Visitor, call)?,
    }
    key.map(Some)
}

/// Lets a caller go on, or says when it may.
pub(super) fn admit(caller: Caller<'_>, call: &Call<'_>) -> Result<(), ApiError> {
    (call.admit)(caller).map_err(|limited: Limited| ApiError::limited(limited, caller, call.at))
}

/// The publishable key of a request to a route for browsers.
pub(super) fn publishable<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
) -> Result<&'d Key, ApiError> {
    match key(request, directory, call)? {
        None => Err(ApiError::new(Code::Unauthorized, "Authorization: missing header")),
        Some(key) if key.kind == KeyKind::Publishable => Ok(key),
        Some(_) => Err(ApiError::new(
            Code::Forbidden,
            "Authorization: this path takes a publishable key; a secret key must not stand in a page",
        )),
    }
}

/// The secret key of a request to a server route.
pub(super) fn secret<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
) -> Result<&'d Key, ApiError> {
    only_secret(key(request, directory, call)?)
}

/// The key of a request to a server route that tokens may call which have the permission.
pub(super) fn permitted<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
    needed: Permission,
) -> Result<&'d Key, ApiError> {
    match any_key(request, directory, call)? {
        Some(key) if key.kind == KeyKind::Token => may(key, needed, false).map(|()| key),
        key => only_secret(key),
    }
}

/// Whether a token may do what needs this permission; `own` says whether a partner may, for itself.
fn may(token: &Key, needed: Permission, own: bool) -> Result<(), ApiError> {
    if !token.scopes.contains(&needed) {
        let reason = format!("Authorization: the token lacks the scope {}", needed.name());
        return Err(ApiError::new(Code::Forbidden, reason));
    }
    if !token.partner.is_empty() && !own {
        return Err(ApiError::new(
            Code::Forbidden,
            "Authorization: this is not of one partner alone, and the token is",
        ));
    }
    Ok(())
}

fn only_secret(key: Option<&Key>) -> Result<&Key, ApiError> {
    match key {
        None => Err(ApiError::new(Code::Unauthorized, "Authorization: missing header")),
        Some(key) if key.kind == KeyKind::Secret => Ok(key),
        Some(key) if key.kind == KeyKind::Token => Err(no_facts()),
        Some(_) => Err(ApiError::new(
            Code::Forbidden,
            "Authorization: a publishable key cannot call this path, a secret key can",
        )),
    }
}

/// Whose key or token a request bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// Its workspace.
    pub workspace: String,
    /// Its mode.
    pub mode: String,
    /// The partner whose rows alone it may see; empty: all.
    pub partner: String,
}

/// The workspace of a key, secret or not; None without a key that is known.
pub fn workspace_of_key(authorization: Option<&str>, directory: &Directory) -> Option<String> {
    let hash = presented(authorization).ok()??;
    directory.key(&hash).map(|key| key.workspace.clone())
}

/// Who calls an operation that reads or manages, in this or another process, by its Authorization header.
///
/// # Errors
/// 401 without a key that is known; 403 for a publishable one, and for a token that the operation is not for.
pub fn caller(
    authorization: Option<&str>,
    directory: &Directory,
    method: &str,
    path: &str,
) -> Result<KeyOwner, ApiError> {
    let hash = presented(authorization)?;
    let key = hash.map(|hash| known(&hash, directory)).transpose()?;
    let key = match key {
        Some(key) if key.kind == KeyKind::Token => {
            let (needed, own) = needed(method, path).ok_or_else(|| {
                let reason = format!("Authorization: no token is for {method} {path}, a secret key is");
                ApiError::new(Code::Forbidden, reason)
            })?;
            may(key, needed, own)?;
            key
        }
        key => only_secret(key)?,
    };
    Ok(KeyOwner {
        workspace: key.workspace.clone(),
        mode: key.mode.clone(),
        partner: key.partner.clone(),
    })
}

/// What a token needs for an operation, and whether a partner's own rows can be told apart in its answer. None: no token
/// is for it, as for everything that is new and not thought of here.
pub fn needed(method: &str, path: &str) -> Option<(Permission, bool)> {
    use Permission::{
        AnalyticsRead, CommissionsRead, CommissionsWrite, CustomersRead, LinksRead, LinksWrite, PartnersRead,
        PartnersWrite,
    };
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let reads = matches!(method, "GET" | "HEAD");
    Some(match (reads, segments.as_slice()) {
        (true, ["analytics" | "events" | "funnel" | "cohorts"] | ["partners", "analytics"]) => {
            (AnalyticsRead, true)
        }
        (true, ["events", "stream"] | ["overview"]) => (AnalyticsRead, false),
        (true, ["customers"] | ["customers", _]) => (CustomersRead, true),
        // It explains who else might have earned it.
        (true, ["payments", _]) => (CustomersRead, false),
        (true, ["commissions"]) => (CommissionsRead, true),
        (false, ["commissions"] | ["commissions", _]) => (CommissionsWrite, false),
        (true, ["links"] | ["links", "count" | "info"]) => (LinksRead, true),
        (false, ["links", ..]) => (LinksWrite, false),
        (true, ["partners"] | ["partners", "links"]) => (PartnersRead, true),
        (false, ["partners", ..]) => (PartnersWrite, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tributary_avro::Config;

    use super::*;

    fn directory() -> Directory {
        let hash = |key: &str| hex::encode(Sha256::digest(key));
        let keys = json!([
            {"name": "s", "sha256": hash("sk")},
            {"name": "p", "sha256": hash("pk"), "kind": "publishable"},
            {"name": "r", "sha256": hash("tk_read"), "kind": "token", "mode": "test", "scopes": ["analytics.read"]},
            {"name": "w", "sha256": hash("tk_write"), "kind": "token", "scopes": ["links.write", "commissions.write"]},
            {"name": "a", "sha256": hash("tk_ada"), "kind": "token", "partner": "ada",
             "scopes": ["analytics.read", "customers.read", "links.read"]},
        ]);
        let mut directory = Directory::default();
        let workspace = Config {
            workspace: "acme".into(),
            kind: "workspace".into(),
            id: "acme".into(),
            document: json!({"id": "acme", "api_keys": keys}).to_string(),
            ..Config::default()
        };
        directory.apply(&workspace).unwrap();
        directory
    }

    #[test]
    fn a_token_does_what_its_scopes_name_and_a_partner_what_is_its_own() {
        let directory = directory();
        for (key, method, path, status) in [
            ("sk", "GET", "/anything", 200),
            ("pk", "GET", "/analytics", 403),
            ("nobody", "GET", "/analytics", 401),
            ("tk_read", "GET", "/analytics", 200),
            ("tk_read", "HEAD", "/events", 200),
            ("tk_read", "GET", "/overview", 200),
            ("tk_read", "POST", "/analytics", 403),
            ("tk_read", "GET", "/customers", 403),
            ("tk_read", "GET", "/links", 403),
            ("tk_read", "GET", "/metrics", 403),
            ("tk_read", "GET", "/", 403),
            ("tk_read", "GET", "/workspaces", 403),
            ("tk_write", "PATCH", "/links/l_1", 200),
            ("tk_write", "GET", "/links/l_1", 403),
            ("tk_write", "POST", "/partners", 403),
            ("tk_write", "PATCH", "/commissions/in_1", 200),
            ("tk_ada", "GET", "/partners/analytics", 200),
            ("tk_ada", "GET", "/customers/u_1", 200),
            ("tk_ada", "GET", "/links/info", 200),
            ("tk_ada", "GET", "/overview", 403),
            ("tk_ada", "GET", "/events/stream", 403),
            ("tk_ada", "GET", "/payments/in_1", 403),
            ("tk_ada", "GET", "/%6Fverview", 403),
            ("tk_ada", "DELETE", "/links/l_1", 403),
        ] {
            let found = caller(Some(&format!("Bearer {key}")), &directory, method, path);
            let told = found.as_ref().map_or_else(|error| error.status, |_| 200);
            assert_eq!(told, status, "{key} {method} {path}: {found:?}");
        }
        let ada = caller(Some("Bearer tk_ada"), &directory, "GET", "/events").unwrap();
        assert_eq!((ada.mode.as_str(), ada.partner.as_str()), ("live", "ada"));
        let test = caller(Some("Bearer tk_read"), &directory, "GET", "/events").unwrap();
        assert_eq!((test.mode.as_str(), test.partner.as_str()), ("test", ""));
    }
}
