//! Who calls: the API key of the Authorization header, found by its hash.

use sha2::{Digest, Sha256};

use super::directory::Key;
use super::{ApiError, Code, Directory, Request};
use crate::rules::KeyKind;

/// The key of a request; None if it has no Authorization header.
pub(super) fn key<'d>(request: &Request<'_>, directory: &'d Directory) -> Result<Option<&'d Key>, ApiError> {
    let Some(value) = (request.header)("authorization") else {
        return Ok(None);
    };
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            return Err(ApiError::new(
                Code::Unauthorized,
                "Authorization: must be `Bearer <API key>`",
            ));
        }
    };
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    match directory.key(&hash) {
        Some(key) => Ok(Some(key)),
        None => Err(ApiError::new(
            Code::Unauthorized,
            "Authorization: unknown API key",
        )),
    }
}

/// The secret key of a request to a server route.
pub(super) fn secret<'d>(request: &Request<'_>, directory: &'d Directory) -> Result<&'d Key, ApiError> {
    match key(request, directory)? {
        None => Err(ApiError::new(Code::Unauthorized, "Authorization: missing header")),
        Some(key) if key.kind == KeyKind::Secret => Ok(key),
        Some(_) => Err(ApiError::new(
            Code::Forbidden,
            "Authorization: a publishable key cannot call this path, a secret key can",
        )),
    }
}
