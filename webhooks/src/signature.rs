//! Signatures of what is sent: those of Standard Webhooks (standardwebhooks.com), and the one of Dub's receivers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// A secret that receiver and sender share.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// What `whsec_` stands before is Base64; else the text itself.
    key: Vec<u8>,
}

impl Secret {
    pub fn new(text: &str) -> Self {
        let decoded = text
            .strip_prefix(PREFIX)
            .and_then(|rest| STANDARD.decode(rest).ok());
        Self {
            key: decoded.unwrap_or_else(|| text.as_bytes().to_vec()),
            text: text.to_owned(),
        }
    }
}

/// The headers that say who sends a body. One signature for each secret: while secrets change, both hold.
pub fn headers(secrets: &[Secret], id: &str, seconds: i64, body: &str) -> [(&'static str, String); 4] {
    let signed = format!("{id}.{seconds}.{body}");
    let standard: Vec<String> = secrets
        .iter()
        .map(|secret| format!("v1,{}", STANDARD.encode(mac(&secret.key, &signed))))
        .collect();
    let first = secrets.first().map(|secret| secret.text.as_bytes());
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", standard.join(" ")),
        ("dub-signature", hex::encode(mac(first.unwrap_or_default(), body))),
    ]
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length will do; no error is known.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_vector_of_standard_webhooks_holds() {
        // The example of the specification's reference libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let headers = headers(
            &[secret, Secret::new("other")],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let (first, second) = headers[2].1.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,"));
    }

    #[test]
    fn the_receivers_of_dub_find_their_header() {
        // printf '{}' | openssl dgst -sha256 -hmac secret
        let headers = headers(&[Secret::new("secret")], "evt_1", 1, "{}");
        assert_eq!(
            headers[3],
            (
                "dub-signature",
                "77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13".to_owned()
            )
        );
    }
}
