//! Refusals: Dub's closed set of codes, the status, and a message that names the field and the rule.
//!
//! What is refused is never stored. Messages hold nothing secret.

use super::{Caller, JSON, Limited, Response};

/// Codes of the API's error body. The set is closed: SDKs validate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request cannot be read.
    BadRequest,
    /// No key, or none that we know.
    Unauthorized,
    /// The key may not do this.
    Forbidden,
    /// No such link, click ID, workspace or path.
    NotFound,
    /// It exists already.
    Conflict,
    /// A field breaks its rule.
    UnprocessableEntity,
    /// Too many requests.
    RateLimitExceeded,
    /// Ours to repair; the same request may be sent again.
    InternalServerError,
}

impl Code {
    /// The code as it stands in the body.
    pub const fn name(self) -> &'static str {
        match self {
            Code::BadRequest => "bad_request",
            Code::Unauthorized => "unauthorized",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::Conflict => "conflict",
            Code::UnprocessableEntity => "unprocessable_entity",
            Code::RateLimitExceeded => "rate_limit_exceeded",
            Code::InternalServerError => "internal_server_error",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Code::BadRequest => 400,
            Code::Unauthorized => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::Conflict => 409,
            Code::UnprocessableEntity => 422,
            Code::RateLimitExceeded => 429,
            Code::InternalServerError => 500,
        }
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}", code = code.name())]
pub struct ApiError {
    /// Code of the body.
    pub code: Code,
    /// HTTP status; the code's own unless a better one exists (405, 413, 501, 503).
    pub status: u16,
    /// For people: which field, which rule.
    pub message: String,
    /// Seconds after which the same request may succeed.
    pub retry_after: Option<u32>,
    /// Why in one word, for metrics and logs.
    pub refusal: Refusal,
    // What is let through a second, and when it is again, UTC milliseconds.
    rate: Option<(u32, i64)>,
}

/// Why a request is refused, as a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As the code says.
    Code(Code),
    /// Too many requests of an address.
    VisitorLimit,
    /// Too many requests with a key.
    KeyLimit,
    /// The body is too large.
    TooLarge,
    /// Not now: Kafka is away, or the edge is starting or full.
    Unavailable,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Code(Code::BadRequest),
        Self::Code(Code::Unauthorized),
        Self::Code(Code::Forbidden),
        Self::Code(Code::NotFound),
        Self::Code(Code::Conflict),
        Self::Code(Code::UnprocessableEntity),
        Self::Code(Code::RateLimitExceeded),
        Self::Code(Code::InternalServerError),
        Self::VisitorLimit,
        Self::KeyLimit,
        Self::TooLarge,
        Self::Unavailable,
    ];

    /// Its name as a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code(code) => code.name(),
            Self::VisitorLimit => "visitor_limit",
            Self::KeyLimit => "key_limit",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }
}

impl ApiError {
    /// An error with its code's own status.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            retry_after: None,
            refusal: Refusal::Code(code),
            rate: None,
        }
    }

    /// 413: the body is larger than the path takes.
    pub fn too_large(limit: usize) -> Self {
        Self {
            status: 413,
            refusal: Refusal::TooLarge,
            ..Self::new(Code::BadRequest, format!("the body is larger than {limit} bytes"))
        }
    }

    /// 503 with Retry-After: nothing is wrong with the request.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            status: 503,
            retry_after: Some(1),
            refusal: Refusal::Unavailable,
            ..Self::new(Code::InternalServerError, message)
        }
    }

    /// 429 with Retry-After and the headers of the limit.
    pub(super) fn limited(limited: Limited, caller: Caller<'_>, at: i64) -> Self {
        let (refusal, who) = match caller {
            Caller::Visitor => (Refusal::VisitorLimit, "of this address"),
            Caller::Server(_) => (Refusal::KeyLimit, "with this API key"),
        };
        let message = format!("too many requests {who}: {} a second", limited.per_second);
        // Of a client that waits a second too few the next request is refused as well.
        let seconds = limited.wait_ms.div_ceil(1000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self {
            retry_after: Some(seconds),
            refusal,
            rate: Some((limited.per_second, at.saturating_add(i64::from(seconds) * 1000))),
            ..Self::new(Code::RateLimitExceeded, message)
        }
    }

    pub(crate) fn field(name: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(Code::UnprocessableEntity, format!("{name}: {rule}"))
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The answer that tells it.
    pub fn response(&self) -> Response {
        let body = serde_json::json!({"error": {
            "code": self.code.name(),
            "message": self.message,
            "doc_url": format!("/docs/errors#{}", self.code.name()),
        }});
        let mut response = Response::json(self.status, body.to_string());
        debug_assert!(response.headers.contains(&JSON));
        if let Some(seconds) = self.retry_after {
            response.headers.push(("retry-after", seconds.to_string().into()));
        }
        if let Some((per_second, again)) = self.rate {
            response.headers.extend([
                ("x-ratelimit-limit", per_second.to_string().into()),
                ("x-ratelimit-remaining", "0".into()),
                ("x-ratelimit-reset", again.to_string().into()),
            ]);
        }
        response
    }
}
