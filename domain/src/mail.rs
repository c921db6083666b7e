//! E-mail addresses: normalized, then hashed under the installation's key. Facts hold only the hash.

use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use rustc_hash::FxHashSet;
use sha2::Sha256;

/// The key under which addresses are hashed. One for each installation; it must never change.
#[derive(Clone)]
pub struct MailKey(Vec<u8>);

impl MailKey {
    /// A key from its bytes.
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self(key.into())
    }

    /// 32 hex characters for an address; None if the text is no address. Case and plus-tags do not
    /// matter (rule B3).
    pub fn hash(&self, address: &str) -> Option<String> {
        let address = normalize(address)?;
        // An HMAC key may have any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(address.as_bytes());
        Some(hex::encode(mac.finalize().into_bytes().get(..16)?))
    }
}

impl std::fmt::Debug for MailKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailKey(***)")
    }
}

/// The normal form: trimmed, lower case, without plus-tag; None if the text is no address.
pub fn normalize(address: &str) -> Option<String> {
    let address = address.trim().to_lowercase();
    let (local, domain) = address.rsplit_once('@')?;
    let local = local.split('+').next().unwrap_or_default();
    let ok = !local.is_empty()
        && domain.contains('.')
        && !address.contains(char::is_whitespace)
        && address.len() <= 254;
    ok.then(|| format!("{local}@{domain}"))
}

/// Whether an address is of a provider of throw-away addresses (rule C10), by the list of the `mailchecker` crate.
pub fn is_disposable(address: &str) -> bool {
    static PROVIDERS: OnceLock<FxHashSet<&'static str>> = OnceLock::new();
    let providers = PROVIDERS.get_or_init(|| mailchecker::blacklist().into_iter().collect());
    let Some(address) = normalize(address) else {
        return false;
    };
    let mut domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    loop {
        if providers.contains(domain) {
            return true;
        }
        match domain.split_once('.') {
            Some((_, rest)) => domain = rest,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throw_away_addresses_are_known_by_their_provider() {
        assert!(is_disposable("Ada+1@Mailinator.com"));
        assert!(is_disposable("ada@inbox.mailinator.com"));
        assert!(!is_disposable("ada@gmail.com"));
        assert!(!is_disposable("mailinator.com"));
        assert!(!is_disposable(""));
    }

    #[test]
    fn case_and_plus_tags_do_not_matter() {
        let key = MailKey::new("k");
        assert_eq!(key.hash(" Ada+news@Example.com "), key.hash("ada@example.com"));
        assert_ne!(
            key.hash("ada@example.com"),
            MailKey::new("l").hash("ada@example.com")
        );
        assert_eq!(key.hash("user_7"), None);
        assert_eq!(key.hash("+x@example.com"), None);
        assert_eq!(key.hash("ada@example.com").unwrap().len(), 32);
    }
}
