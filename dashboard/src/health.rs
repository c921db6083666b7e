//! `/healthz`, `/readyz`, `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiError;
use crate::server::Application;
use crate::statement::Statement;

/// Alive: the process answers.
pub async fn alive() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Ready: the ledger's tables can be read, and what is declared was.
pub async fn ready(State(application): State<Application>) -> Result<Response, ApiError> {
    let statement = Statement::new("SELECT count() FROM conversions WHERE 0");
    application.database.rows::<u64>("ready", statement).await?;
    if application
        .management
        .is_some_and(|management| !management.is_loaded())
    {
        return Err(ApiError::Starting);
    }
    Ok(Json(json!({"status": "ready"})).into_response())
}

pub async fn metrics(State(application): State<Application>) -> Response {
    let text = application.metrics.render();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
