//! E-mail addresses in what a partner reads: a customer's ID may be one, and the URL of a click may carry one.
//!
//! Invariant: nothing of the part before the `@` is left but its first character, whatever stands around it.

use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// A list of a thousand rows has a few megabytes.
const LONGEST: usize = 64 << 20;

/// The response with its addresses masked.
pub async fn mask(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = match std::str::from_utf8(&bytes) {
        Ok(text) => Body::from(masked(text)),
        // No answer to a partner is anything but text.
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    Response::from_parts(parts, body)
}

fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = sign(rest) {
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
        let length = if from_sign.starts_with('@') { 1 } else { 3 };
        let (sign, after) = from_sign.split_at(length);
        out.push_str(sign);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where the next `@` is, plain or as it stands in a URL.
fn sign(text: &str) -> Option<usize> {
    let of_url = text.find("%40");
    let plain = text.find('@');
    of_url.into_iter().chain(plain).min()
}

/// What the part before the `@` may be made of; `%` and `+` also stand for other characters in a URL.
fn is_local(character: char) -> bool {
    character.is_alphanumeric() || "!#$%'+-._^`{|}~".contains(character)
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
            ("nobody", "nobody"),
            ("", ""),
        ] {
            assert_eq!(masked(told), shown, "{told}");
        }
    }
}
