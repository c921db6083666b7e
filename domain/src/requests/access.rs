//! Who calls: the API key of the Authorization header, found by its hash.

use sha2::{Digest, Sha256};

use super::directory::Key;
use super::{ApiError, Call, Caller, Code, Directory, Limited, Request};
use crate::rules::KeyKind;

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

/// The key of a request; None if it has no Authorization header. The request counts against the caller's limit.
pub(super) fn key<'d>(
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
        Ok(key) if key.kind == KeyKind::Secret => admit(Caller::Server(&hash), call)?,
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

fn only_secret(key: Option<&Key>) -> Result<&Key, ApiError> {
    match key {
        None => Err(ApiError::new(Code::Unauthorized, "Authorization: missing header")),
        Some(key) if key.kind == KeyKind::Secret => Ok(key),
        Some(_) => Err(ApiError::new(
            Code::Forbidden,
            "Authorization: a publishable key cannot call this path, a secret key can",
        )),
    }
}

/// Whose secret key a request bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// Its workspace.
    pub workspace: String,
    /// Its mode.
    pub mode: String,
}

/// The workspace of a key, secret or not; None without a key that is known.
pub fn workspace_of_key(authorization: Option<&str>, directory: &Directory) -> Option<String> {
    let hash = presented(authorization).ok()??;
    directory.key(&hash).map(|key| key.workspace.clone())
}

/// Who calls a server route of this or another process, by its Authorization header.
///
/// # Errors
/// 401 without a key that is known, 403 for a publishable one.
pub fn secret_key(authorization: Option<&str>, directory: &Directory) -> Result<KeyOwner, ApiError> {
    let hash = presented(authorization)?;
    let key = only_secret(hash.map(|hash| known(&hash, directory)).transpose()?)?;
    Ok(KeyOwner {
        workspace: key.workspace.clone(),
        mode: key.mode.clone(),
    })
}
