//! W3C trace context: what a caller says about its trace goes on with the record. The edge begins no trace of its own.

use hyper::HeaderMap;

/// Name of the header, of HTTP and of Kafka.
pub(crate) const TRACEPARENT: &str = "traceparent";

const LENGTH: usize = 55;

/// The request's `traceparent`, if it is there once and has the form of one.
pub(crate) fn parent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    only.to_str().ok().filter(|text| is_valid(text))
}

/// The trace's ID within a valid `traceparent`.
pub(crate) fn id(parent: &str) -> &str {
    parent.split('-').nth(1).unwrap_or_default()
}

// Later versions may be longer. None is there yet, and what a stranger sends is kept in Kafka: no more than is known.
fn is_valid(text: &str) -> bool {
    let parts = || text.split('-');
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    text.len() == LENGTH
        && parts().map(str::len).eq([2, 32, 16, 2])
        && parts().all(is_hex)
        && parts().next() != Some("ff")
        && !parts().skip(1).take(2).any(is_zero)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_what_has_the_form_goes_on() {
        let mut headers = HeaderMap::new();
        assert_eq!(parent(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(parent(&headers), Some(VALID));
        assert_eq!(id(VALID), "4bf92f3577b34da6a3ce929d0e0e4736");
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(parent(&headers), None, "twice");
        assert!(is_valid(
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        ));
        for wrong in [
            "",
            "00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "0-04bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
