//! What a link and a partner must be like, whoever declares them, and their records in topic `config`.
//!
//! `apply` and the API call the same: what one makes, the other could have made.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use tributary_avro::Config;

use super::{Link, Partner, Workspace};

/// Longest key of a link, in characters.
const KEY_LIMIT: usize = 190;

// First segments of the paths that the dashboard serves on a host that it shares with the edge.
const OF_THE_API: [&str; 8] = [
    "links",
    "partners",
    "customers",
    "events",
    "funnel",
    "overview",
    "payments",
    "workspaces",
];

/// What is wrong with the link by itself, each as field and rule; empty if it may be declared.
pub(crate) fn problems(link: &Link) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |ok: bool, problem: &dyn Fn() -> String| {
        if !ok {
            problems.push(problem());
        }
    };
    expect(is_http(&link.url), &|| {
        format!("url: {:?} does not start with http:// or https://", link.url)
    });
    let targets = [
        ("expired_url", &link.expired_url),
        ("ios", &link.ios),
        ("android", &link.android),
    ];
    for (name, url) in targets {
        expect(url.is_empty() || is_http(url), &|| {
            format!("{name}: {url:?} does not start with http:// or https://")
        });
    }
    for (country, url) in &link.geo {
        expect(is_country(country), &|| {
            format!("geo: {country:?}: two upper-case letters of ISO 3166-1")
        });
        expect(is_http(url), &|| {
            format!("geo: {url:?} does not start with http:// or https://")
        });
    }
    let key = link.key.as_str();
    expect(!key.is_empty() && !key.starts_with('/'), &|| {
        "key: not empty, no leading slash".to_owned()
    });
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '?' | '#');
    expect(key.chars().all(plain), &|| {
        format!("key: {key:?} holds a blank, ? or #")
    });
    expect(key.chars().count() <= KEY_LIMIT, &|| {
        format!("key: at most {KEY_LIMIT} characters")
    });
    let first = key.split('/').next().unwrap_or_default();
    let reserved = crate::requests::RESERVED.contains(&first) || OF_THE_API.contains(&first);
    expect(!reserved, &|| {
        format!("key: {key:?} is a path of the edge itself")
    });
    expect(!link.domain.is_empty(), &|| {
        "domain: required where the workspace has no domains".to_owned()
    });
    let expires = link
        .expires_at
        .as_deref()
        .is_none_or(|text| instant(text).is_some());
    expect(expires, &|| "expires_at: not RFC 3339".to_owned());
    problems
}

/// UTC milliseconds of an RFC 3339 text, or of the beginning of a day.
pub(crate) fn instant(text: &str) -> Option<i64> {
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => text
            .parse::<Date>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp(),
    };
    Some(at.as_millisecond())
}

pub(crate) fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// The record of topic `config` that declares an object of a workspace at time `at`.
pub(crate) fn declared(
    workspace: &Workspace,
    (kind, id): (&str, &str),
    from: Option<&String>,
    at: i64,
    document: &impl Serialize,
) -> Config {
    Config {
        workspace: workspace.id.clone(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        at,
        modes: workspace.modes.clone(),
        from: from.and_then(|text| Some(text.parse::<Timestamp>().ok()?.as_millisecond())),
        deleted: false,
        document: serde_json::to_string(document).unwrap_or_default(),
    }
}

/// The record that takes a declared object back at time `at`.
pub fn withdrawn(known: &Config, at: i64) -> Config {
    Config {
        at,
        from: None,
        deleted: true,
        ..known.clone()
    }
}

impl Link {
    /// Its record in topic `config`.
    pub fn config(&self, workspace: &Workspace, at: i64) -> Config {
        declared(workspace, ("link", &self.id), self.from.as_ref(), at, self)
    }
}

impl Partner {
    /// Its record in topic `config`.
    pub fn config(&self, workspace: &Workspace, at: i64) -> Config {
        declared(workspace, ("partner", &self.id), self.from.as_ref(), at, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_must_be_like() {
        let good = serde_json::json!({"domain": "d.example", "key": "a/b", "url": "https://a.example"});
        let with = |name: &str, value: serde_json::Value| {
            let mut document = good.clone();
            document[name] = value;
            problems(&serde_json::from_value(document).unwrap())
        };
        assert_eq!(with("comments", "x".into()), Vec::<String>::new());
        for (name, value, told) in [
            ("url", "ftp://a.example".into(), "url: "),
            ("expired_url", "nowhere".into(), "expired_url: "),
            ("ios", "app://x".into(), "ios: "),
            (
                "geo",
                serde_json::json!({"de": "https://a.example"}),
                "geo: \"de\"",
            ),
            (
                "geo",
                serde_json::json!({"DE": "a.example"}),
                "geo: \"a.example\"",
            ),
            ("key", "".into(), "key: not empty"),
            ("key", "a b".into(), "key: \"a b\" holds"),
            ("key", "a?b".into(), "key: \"a?b\" holds"),
            ("key", "x".repeat(191).into(), "key: at most"),
            ("key", "track/x".into(), "key: \"track/x\" is a path"),
            ("key", "partners".into(), "key: \"partners\" is a path"),
            ("domain", "".into(), "domain: required"),
            ("expires_at", "soon".into(), "expires_at: "),
        ] {
            let found = with(name, value);
            assert!(
                found.len() == 1 && found[0].starts_with(told),
                "{told}: {found:?}"
            );
        }
        assert_eq!(instant("2026-01-02"), instant("2026-01-02T00:00:00Z"));
    }
}
