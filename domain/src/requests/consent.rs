//! What a visitor lets be recorded, by the words of the request itself.
//!
//! | word | effect |
//! | --- | --- |
//! | `dub-no-track`, header or query parameter, with any value | [`Consent::Nothing`] |
//! | `DNT: 1`, `Sec-GPC: 1` | [`Consent::Anonymous`] |
//! | `consent=denied` (or `0`, `no`, `false`), `gdpr=1` without `gdpr_consent`, `us_privacy=1?Y?` in the query | [`Consent::Anonymous`] |

use super::Request;
use super::destination::parameters;

const NO_TRACK: &str = "dub-no-track";

/// What may be recorded of a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// All that a click records.
    Full,
    /// The click, without what would tell its visitor again: no hash of the visitor, no cookie, no place below the
    /// country.
    Anonymous,
    /// No click at all, and no ID.
    Nothing,
}

impl Consent {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let header = |name| (request.header)(name).map(str::trim);
        let query = request.query.unwrap_or_default();
        if header(NO_TRACK).is_some() || parameters(query).any(|(name, _)| name == NO_TRACK) {
            return Self::Nothing;
        }
        if header("dnt") == Some("1") || header("sec-gpc") == Some("1") || refuses(query) {
            return Self::Anonymous;
        }
        Self::Full
    }
}

fn refuses(query: &str) -> bool {
    if query.is_empty() {
        return false;
    }
    let of = |wanted| {
        parameters(query)
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let denied = ["denied", "0", "no", "false"];
    of("consent").is_some_and(|value| denied.iter().any(|no| value.eq_ignore_ascii_case(no)))
        || of("gdpr") == Some("1") && of("gdpr_consent").is_none_or(str::is_empty)
        // The IAB's four characters: version, notice given, opted out of sale, covered by the agreement.
        || of("us_privacy").is_some_and(|value| value.len() == 4 && value.as_bytes().get(2).is_some_and(|b| b.eq_ignore_ascii_case(&b'Y')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, headers: &[(&str, &'static str)]) -> Consent {
        let header = |name: &str| {
            let found = headers.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| *value)
        };
        Consent::of(&Request {
            method: "GET",
            path: "/ada",
            query: Some(query),
            host: "",
            header: &header,
            body: b"",
            remote_ip: None,
            place: &|_| crate::requests::Place::default(),
        })
    }

    #[test]
    fn each_word_is_honoured_and_its_opposite_is_not_taken_for_it() {
        for (query, headers, expected) in [
            ("", &[][..], Consent::Full),
            ("dub-no-track=0", &[], Consent::Nothing),
            ("a=b&dub-no-track", &[], Consent::Nothing),
            ("", &[("dub-no-track", "")], Consent::Nothing),
            ("dub-no-track=1", &[("dnt", "1")], Consent::Nothing),
            ("", &[("dnt", "1")], Consent::Anonymous),
            ("", &[("dnt", "0")], Consent::Full),
            ("", &[("sec-gpc", "1")], Consent::Anonymous),
            ("consent=Denied", &[], Consent::Anonymous),
            ("consent=granted", &[], Consent::Full),
            ("gdpr=1", &[], Consent::Anonymous),
            ("gdpr=1&gdpr_consent=CPx", &[], Consent::Full),
            ("gdpr=0", &[], Consent::Full),
            ("us_privacy=1YYN", &[], Consent::Anonymous),
            ("us_privacy=1YNN", &[], Consent::Full),
            ("us_privacy=1Y", &[], Consent::Full),
        ] {
            assert_eq!(of(query, headers), expected, "{query} {headers:?}");
        }
    }
}
