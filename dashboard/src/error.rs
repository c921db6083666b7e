//! What a request can be refused with, and how that reads: Dub's error body.
//!
//! Invariant: what ClickHouse says is logged here and never sent out.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request says something that cannot be meant; names the parameter.
    #[error("{0}")]
    BadRequest(String),
    /// The request can be meant, and is not offered; names the parameter.
    #[error("{0}")]
    Unprocessable(String),
    /// The caller may not; says why.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The path is known, the method is not.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// The interface has it, this version does not.
    #[error("{0}")]
    NotOffered(String),
    /// As much is going on as this process takes.
    #[error("{0}")]
    TooMany(String),
    /// What is declared is not read yet.
    #[error("Starting: what is declared is not read yet.")]
    Starting,
    /// Kafka did not take what was to be written.
    #[error("Kafka did not take it, or not all of it. It may be tried again: nothing counts twice.")]
    Kafka,
    /// ClickHouse did not answer, or not with what was asked for.
    #[error(
        "The figures cannot be read at the moment: ClickHouse does not answer as it should. Try again shortly."
    )]
    Database(#[from] clickhouse::error::Error),
}

impl ApiError {
    pub fn bad(parameter: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadRequest(format!("{parameter}: {reason}"))
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotOffered(_) => StatusCode::NOT_IMPLEMENTED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Database(_) | Self::Kafka | Self::Starting => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::MethodNotAllowed(_) => "bad_request",
            Self::Unprocessable(_) => "unprocessable_entity",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::NotOffered(_) => "not_implemented",
            Self::TooMany(_) => "rate_limit_exceeded",
            Self::Database(_) | Self::Kafka | Self::Starting => "internal_server_error",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Database(error) = &self {
            tracing::error!(%error, "query failed");
            metrics::counter!("tributary_dashboard_query_failures_total").increment(1);
        }
        let code = self.code();
        let body = json!({"error": {
            "code": code,
            "message": self.to_string(),
            "doc_url": format!("https://dub.co/docs/api-reference/errors#{}", code.replace('_', "-")),
        }});
        let mut response = (self.status(), Json(body)).into_response();
        if matches!(self, Self::Database(_) | Self::Starting | Self::TooMany(_)) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
