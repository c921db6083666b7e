//! Destinations and referring pages: query parameters, hosts. Text in, text out; no URL is resolved.

use std::borrow::Cow;

use serde::Serialize;

/// The five campaign parameters of a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "utm_ and the name")]
pub struct Utm<'a> {
    pub source: Cow<'a, str>,
    pub medium: Cow<'a, str>,
    pub campaign: Cow<'a, str>,
    pub term: Cow<'a, str>,
    pub content: Cow<'a, str>,
}

impl<'a> Utm<'a> {
    pub(crate) fn of(url: &'a str) -> Self {
        let mut utm = Utm::default();
        if !url.contains("utm_") {
            return utm;
        }
        for (name, value) in parameters(query(url)) {
            let slot = match name {
                "utm_source" => &mut utm.source,
                "utm_medium" => &mut utm.medium,
                "utm_campaign" => &mut utm.campaign,
                "utm_term" => &mut utm.term,
                "utm_content" => &mut utm.content,
                _ => continue,
            };
            if slot.is_empty() {
                *slot = decode(value, true);
            }
        }
        utm
    }

    pub(super) fn into_owned(self) -> Utm<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Utm {
            source: owned(self.source),
            medium: owned(self.medium),
            campaign: owned(self.campaign),
            term: owned(self.term),
            content: owned(self.content),
        }
    }
}

/// The query of a URL, without question mark and fragment.
pub(crate) fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

/// Raw names and values of a query.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The URL with parameters added after those it has; the fragment stays last. Names and values must need
/// no escape. What cannot stand in a header is percent-encoded.
pub(super) fn with_parameters(url: &str, added: &[(&str, &str)]) -> String {
    let (rest, fragment) = match url.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (url, None),
    };
    let mut out = String::with_capacity(url.len() + 80);
    push_encoded(&mut out, rest);
    let mut separator = match rest.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    for (name, value) in added {
        out.push_str(separator);
        out.push_str(name);
        out.push('=');
        out.push_str(value);
        separator = "&";
    }
    if let Some(fragment) = fragment {
        out.push('#');
        push_encoded(&mut out, fragment);
    }
    out
}

fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        out.push_str(text);
        return;
    }
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).map_or('0', |b| char::from(*b));
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Percent-decoded text; `plus` is a blank in queries. What is no valid escape stays as it is.
pub(crate) fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let value = |b: u8| char::from(b).to_digit(16);
        match (first, after) {
            (b'%', [high, low, after @ ..]) => match (value(*high), value(*low)) {
                (Some(high), Some(low)) => {
                    out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(*first),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Host of a URL, without port and user; None if the text is no absolute URL.
pub(super) fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = without_port(host);
    (!host.is_empty()).then_some(host)
}

/// A host without its port.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A URL without query and fragment.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_added_before_the_fragment_and_after_the_query() {
        for (url, expected) in [
            ("https://a.example", "https://a.example?dub_id=x"),
            ("https://a.example/p?b=1", "https://a.example/p?b=1&dub_id=x"),
            ("https://a.example/p?", "https://a.example/p?dub_id=x"),
            ("https://a.example/p?b=1&", "https://a.example/p?b=1&dub_id=x"),
            ("https://a.example/p#top", "https://a.example/p?dub_id=x#top"),
            (
                "https://a.example/p?b=1#t?c",
                "https://a.example/p?b=1&dub_id=x#t?c",
            ),
            (
                "https://a.example/ü\r\nx",
                "https://a.example/%C3%BC%0D%0Ax?dub_id=x",
            ),
        ] {
            assert_eq!(with_parameters(url, &[("dub_id", "x")]), expected, "{url}");
        }
    }

    #[test]
    fn campaigns_are_decoded() {
        let utm =
            Utm::of("https://a.example/?utm_source=news%20letter&utm_medium=a+b&utm_term=%zz#utm_content=no");
        assert_eq!(utm.source, "news letter");
        assert_eq!(utm.medium, "a b");
        assert_eq!(utm.term, "%zz");
        assert_eq!(utm.content, "");
    }

    #[test]
    fn hosts() {
        for (url, expected) in [
            ("https://user:pw@news.example:8443/p?q", Some("news.example")),
            ("https://[::1]:80/", Some("[::1]")),
            ("android-app://com.example/", Some("com.example")),
            ("news.example", None),
            ("https:///p", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
