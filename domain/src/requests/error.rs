//! Refusals: Dub's closed set of codes, the status, and a message that names the field and the rule.
//!
//! What is refused is never stored. Messages hold nothing secret.

use super::{JSON, Response};

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
}

impl ApiError {
    /// An error with its code's own status.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            retry_after: None,
        }
    }

    /// 413: the body is larger than the path takes.
    pub fn too_large(limit: usize) -> Self {
        Self {
            status: 413,
            ..Self::new(Code::BadRequest, format!("the body is larger than {limit} bytes"))
        }
    }

    /// 503 with Retry-After: nothing is wrong with the request.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            status: 503,
            retry_after: Some(1),
            ..Self::new(Code::InternalServerError, message)
        }
    }

    pub(super) fn field(name: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(Code::UnprocessableEntity, format!("{name}: {rule}"))
    }

    pub(super) fn with_status(mut self, status: u16) -> Self {
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
        response
    }
}
