//! A link as the edge holds it: all its texts in one piece.
//!
//! A click reads them all, of one link among very many. As texts of their own each would lie elsewhere in
//! memory, and waiting for memory was most of a look-up.

use super::destination::Utm;
use crate::rules::Link;

const TEXTS: usize = 12;

/// A link as declared.
pub(super) struct Target {
    texts: Box<str>,
    ends: [u32; TEXTS],
    /// When it was declared, UTC milliseconds.
    pub at: i64,
    pub tracked: bool,
    pub client_reference_id: bool,
}

impl Target {
    pub(super) fn new(workspace: &str, id: &str, link: &Link, at: i64) -> Self {
        let utm = Utm::of(&link.url);
        let parts: [&str; TEXTS] = [
            workspace,
            id,
            &link.domain,
            &link.key,
            &link.url,
            &link.partner,
            &link.program,
            &utm.source,
            &utm.medium,
            &utm.campaign,
            &utm.term,
            &utm.content,
        ];
        let mut texts = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ends = parts.map(|part| {
            texts.push_str(part);
            // A config record has no more than a few megabytes.
            u32::try_from(texts.len()).unwrap_or(u32::MAX)
        });
        Self {
            texts: texts.into(),
            ends,
            at,
            tracked: link.tracked,
            client_reference_id: link.client_reference_id,
        }
    }

    fn text<const N: usize>(&self) -> &str {
        const { assert!(N < TEXTS) };
        let start = match N {
            0 => Some(&0),
            n => self.ends.get(n - 1),
        };
        match (start, self.ends.get(N)) {
            (Some(start), Some(end)) => self.texts.get(*start as usize..*end as usize).unwrap_or_default(),
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

    pub(super) fn partner(&self) -> &str {
        self.text::<5>()
    }

    pub(super) fn program(&self) -> &str {
        self.text::<6>()
    }

    /// Of the URL.
    pub(super) fn utm(&self) -> Utm<'_> {
        Utm {
            source: self.text::<7>().into(),
            medium: self.text::<8>().into(),
            campaign: self.text::<9>().into(),
            term: self.text::<10>().into(),
            content: self.text::<11>().into(),
        }
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
        let target = Target::new("w", "i", &link, 7);
        assert_eq!((target.workspace(), target.id()), ("w", "i"));
        assert_eq!((target.domain(), target.key()), ("d.example", "ключ"));
        assert_eq!((target.partner(), target.program()), ("p", "m"));
        assert_eq!(target.url(), link.url);
        assert_eq!(target.utm(), Utm::of(&link.url));
        assert_eq!(target.utm().source, "s s");
        assert!(target.tracked && !target.client_reference_id);
    }
}
