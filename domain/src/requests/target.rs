//! A link as the edge holds it: in one piece of memory, texts and all.
//!
//! A click reads all of one link among very many. As texts of their own each would lie elsewhere in memory, and waiting
//! for memory was most of a look-up. And of a million links each byte is a megabyte.

use std::ops::Deref;

use triomphe::ThinArc;

use super::destination::Utm;
use crate::rules::{Link, instant};

const TEXTS: usize = 7;

/// A link as declared. Cheap to clone.
#[derive(Clone)]
pub(super) struct Target(ThinArc<Head, u8>);

/// What stands before the texts.
pub(super) struct Head {
    ends: [u16; TEXTS],
    /// When it was declared, UTC milliseconds.
    pub at: i64,
    pub tracked: bool,
    pub client_reference_id: bool,
    /// Few links have any.
    special: Option<Box<Special>>,
}

impl Deref for Target {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.0.header.header
    }
}

/// Where a link leads to under conditions.
struct Special {
    expires_at: Option<i64>,
    expired_url: Box<str>,
    ios: Box<str>,
    android: Box<str>,
    geo: Box<[(Box<str>, Box<str>)]>,
}

impl Special {
    fn of(link: &Link) -> Option<Box<Self>> {
        let special = Self {
            expires_at: link.expires_at.as_deref().and_then(instant),
            expired_url: link.expired_url.as_str().into(),
            ios: link.ios.as_str().into(),
            android: link.android.as_str().into(),
            geo: link
                .geo
                .iter()
                .map(|(country, url)| (country.as_str().into(), url.as_str().into()))
                .collect(),
        };
        let none = special.expires_at.is_none()
            && special.ios.is_empty()
            && special.android.is_empty()
            && special.geo.is_empty();
        (!none).then(|| Box::new(special))
    }
}

impl Target {
    /// None if its texts are longer than 64 KiB.
    pub(super) fn new(workspace: &str, id: &str, link: &Link, at: i64) -> Option<Self> {
        let parts: [&str; TEXTS] = [
            workspace,
            id,
            &link.domain,
            &link.key,
            &link.url,
            &link.partner,
            &link.program,
        ];
        let mut texts = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        let mut ends = [0; TEXTS];
        for (end, part) in ends.iter_mut().zip(parts) {
            texts.push_str(part);
            *end = u16::try_from(texts.len()).ok()?;
        }
        let head = Head {
            ends,
            at,
            tracked: link.tracked,
            client_reference_id: link.client_reference_id,
            special: Special::of(link),
        };
        Some(Self(ThinArc::from_header_and_slice(head, texts.as_bytes())))
    }

    /// Whether they are not only equal, but one declaration.
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq::<Head>(&**self, &**other)
    }

    fn text<const N: usize>(&self) -> &str {
        const { assert!(N < TEXTS) };
        let start = match N {
            0 => Some(&0),
            n => self.ends.get(n - 1),
        };
        match (start, self.ends.get(N)) {
            (Some(start), Some(end)) => self
                .0
                .slice
                .get(usize::from(*start)..usize::from(*end))
                // It was text, and costs less to check than a second allocation.
                .and_then(|text| std::str::from_utf8(text).ok())
                .unwrap_or_default(),
            _ => "",
        }
    }

    pub(super) fn workspace(&self) -> &str {
        self.text::<0>()
    }

    pub(super) fn id(&self) -> &str {
        self.text::<1>()
    }

    /// Empty: the workspace's first.
    pub(super) fn domain(&self) -> &str {
        self.text::<2>()
    }

    pub(super) fn key(&self) -> &str {
        self.text::<3>()
    }

    pub(super) fn url(&self) -> &str {
        self.text::<4>()
    }

    /// Where it leads to from a device and a country: the device goes before the country, as at Dub.
    pub(super) fn url_for(&self, os: &str, country: &str) -> &str {
        let Some(special) = &self.special else {
            return self.url();
        };
        let device = match os {
            "iOS" => &special.ios,
            "Android" => &special.android,
            _ => "",
        };
        if !device.is_empty() {
            return device;
        }
        let here = special.geo.iter().find(|(known, _)| **known == *country);
        here.map_or_else(|| self.url(), |(_, url)| url)
    }

    /// If it has expired at a time: where it leads to since then, which may be empty.
    pub(super) fn expired(&self, at: i64) -> Option<&str> {
        let special = self.special.as_ref()?;
        special.expires_at.filter(|end| *end <= at)?;
        Some(&special.expired_url)
    }

    pub(super) fn partner(&self) -> &str {
        self.text::<5>()
    }

    pub(super) fn program(&self) -> &str {
        self.text::<6>()
    }

    /// Of the URL. Read anew for each click, which costs less than memory for a million links.
    pub(super) fn utm(&self) -> Utm<'_> {
        Utm::of(self.url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_given_back() {
        let link: Link = serde_json::from_value(serde_json::json!({
            "domain": "d.example", "key": "ключ", "partner": "p", "program": "m",
            "url": "https://a.example/?utm_source=s%20s&utm_medium=me&utm_campaign=c&utm_content=co",
        }))
        .unwrap();
        let target = Target::new("w", "i", &link, 7).unwrap();
        assert_eq!((target.workspace(), target.id()), ("w", "i"));
        assert_eq!((target.domain(), target.key()), ("d.example", "ключ"));
        assert_eq!((target.partner(), target.program()), ("p", "m"));
        assert_eq!(target.url(), link.url);
        assert_eq!(target.utm(), Utm::of(&link.url));
        assert_eq!(target.utm().source, "s s");
        assert!(target.tracked && !target.client_reference_id);
    }

    #[test]
    fn texts_that_are_too_long_are_refused() {
        let url = |length: usize| format!("https://a.example/{}", "x".repeat(length));
        for (length, fits) in [(65_000, true), (66_000, false)] {
            let link: Link =
                serde_json::from_value(serde_json::json!({"key": "k", "url": url(length)})).unwrap();
            let target = Target::new("w", "i", &link, 7);
            assert_eq!(
                target.map(|target| target.url() == link.url),
                fits.then_some(true)
            );
        }
    }

    #[test]
    fn the_device_goes_before_the_country() {
        let link: Link = serde_json::from_value(serde_json::json!({
            "key": "k", "url": "https://a.example", "android": "https://a.example/android",
            "geo": {"DE": "https://a.example/de", "FR": "https://a.example/fr"},
        }))
        .unwrap();
        let target = Target::new("w", "i", &link, 7).unwrap();
        for (os, country, url) in [
            ("Windows", "DE", "https://a.example/de"),
            ("iOS", "FR", "https://a.example/fr"),
            ("Android", "FR", "https://a.example/android"),
            ("Windows", "US", "https://a.example"),
            ("", "", "https://a.example"),
        ] {
            assert_eq!(target.url_for(os, country), url, "{os} {country}");
        }
        assert_eq!(target.expired(i64::MAX), None);
    }
}
