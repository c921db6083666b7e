//! Who calls: the API key of the Authorization header, found by its hash.

use sha2::{Digest, Sha256};

use super::directory::Key;
use super::{ApiError, Call, Caller, Code, Directory, Limited, Request};
use crate::rules::KeyKind;

/// The key of a request; None if it has no Authorization header. The request counts against the caller's limit.
pub(super) fn key<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
) -> Result<Option<&'d Key>, ApiError> {
    let Some(value) = (request.header)("authorization") else {
        admit(Caller::Visitor, call)?;
        return Ok(None);
    };
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            admit(Caller::Visitor, call)?;
            return Err(ApiError::new(
                Code::Unauthorized,
                "Authorization: must be `Bearer <API key>`",
            ));
        }
    };
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let key = directory.key(&hash);
    // A publishable key stands in pages that everybody reads: its callers are told apart by their addresses, as those
    // who try keys are.
    match key {
        Some(key) if key.kind == KeyKind::Secret => admit(Caller::Server(&hash), call)?,
        _ => admit(Caller::Visitor, call)?,
    }
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(ApiError::new(
            Code::Unauthorized,
            "Authorization: unknown API key",
        )),
    }
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
    match key(request, directory, call)? {
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
pub struct Caller {
    /// Its workspace.
    pub workspace: String,
    /// Its mode.
    pub mode: String,
}

/// Who calls a server route of this or another process.
///
/// # Errors
/// 401 without a key that is known, 403 for a publishable one.
pub fn secret_key(request: &Request<'_>, directory: &Directory) -> Result<Caller, ApiError> {
    let key = secret(request, directory)?;
    Ok(Caller {
        workspace: key.workspace.clone(),
        mode: key.mode.clone(),
    })
}
