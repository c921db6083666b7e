//! E-mail addresses in what a partner reads: a customer's ID may be one, and the URL of a click may carry one.
//!
//! Invariant: nothing of what stands before an `@` in one word is left but its first character. What belongs to the
//! partner or its links stays readable, to be asked for again.

use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

/// A list of a thousand rows has a few megabytes.
const LONGEST: usize = 64 << 20;

/// Fields that hold nothing of customers.
const OWN: [&str; 7] = [
    "partner",
    "partnerId",
    "tenantId",
    "programId",
    "domain",
    "key",
    "shortLink",
];

/// The response with its addresses masked.
pub async fn mask(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let masked = match to_bytes(body, LONGEST).await {
        Ok(bytes) => masked_body(&bytes),
        Err(_) => None,
    };
    // No answer to a partner is anything but text.
    let Some(masked) = masked else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(masked))
}

/// JSON value by value, since an escape would be torn otherwise; a sheet of cells as it is.
fn masked_body(bytes: &[u8]) -> Option<String> {
    if let Ok(mut json) = serde_json::from_slice::<Value>(bytes) {
        mask_json(&mut json);
        return Some(json.to_string());
    }
    std::str::from_utf8(bytes).ok().map(masked)
}

fn mask_json(json: &mut Value) {
    match json {
        Value::String(text) if sign(text).is_some() => *text = masked(text),
        Value::Array(items) => items.iter_mut().for_each(mask_json),
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(name, _)| !OWN.contains(&name.as_str()))
            .for_each(|(_, value)| mask_json(value)),
        _ => {}
    }
}

fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((place, length)) = sign(rest) {
        let (before, from_sign) = rest.split_at(place);
        let local = before
            .char_indices()
            .rev()
            .take_while(|(_, character)| is_local(*character))
            .last();
        match local {
            Some((start, first)) => {
                out.push_str(before.get(..start).unwrap_or_default());
                out.push(first);
                out.push_str("***");
            }
            None => out.push_str(before),
        }
        let (sign, after) = from_sign.split_at(length);
        out.push_str(sign);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where the next `@` is, and how long: plain, as it stands in a URL, or in a URL within another.
fn sign(text: &str) -> Option<(usize, usize)> {
    let places = ["@", "%40", "%2540"].map(|sign| text.find(sign).map(|place| (place, sign.len())));
    places.into_iter().flatten().min()
}

/// What the part before the `@` may be made of; `%` and `+` also stand for other characters in a URL.
fn is_local(character: char) -> bool {
    character.is_alphanumeric() || "!#$%'*+-._^`{|}~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_an_address_but_where_it_is() {
        for (told, shown) in [
            (
                r#"{"id":"jane.roe+x@example.com"}"#,
                r#"{"id":"j***@example.com"}"#,
            ),
            (
                "https://a.example/?mail=jane%40b.example&x=1",
                "https://a.example/?mail=j***%40b.example&x=1",
            ),
            ("mia@a.example,tom@b.example", "m***@a.example,t***@b.example"),
            ("ünal@a.example", "ü***@a.example"),
            ("j***@a.example", "j***@a.example"),
            ("https://medium.example/@lena", "https://medium.example/@lena"),
            ("100 % @", "100 % @"),
            (
                "https://a.example/?to=https%3A%2F%2Fb.example%3Fmail%3Djane%2540c.example",
                "https://a.example/?to=h***%2540c.example",
            ),
            ("nobody", "nobody"),
            ("", ""),
        ] {
            assert_eq!(masked(told), shown, "{told}");
        }
    }

    #[test]
    fn json_stays_json_and_a_partners_own_stays_as_it_is() {
        let told = r#"[{"id":"\u0001jane@x","partnerId":"team@acme","link":{"key":"a@b","url":"https://x/?m=jane@x"}}]"#;
        assert_eq!(
            masked_body(told.as_bytes()).unwrap(),
            r#"[{"id":"\u0001j***@x","link":{"key":"a@b","url":"https://x/?m=j***@x"},"partnerId":"team@acme"}]"#
        );
        assert_eq!(
            masked_body(b"id,clicks\njane@x,3\n").unwrap(),
            "id,clicks\nj***@x,3\n"
        );
        assert_eq!(masked_body(&[0xFF]), None);
    }
}
