//! `POST /pipeline/replay`: dead letters back to their stages, as `tributary replay` does it.
//!
//! It is about all workspaces, so that no key of one allows it; and it must be meant: a page elsewhere cannot send JSON
//! here without asking first, which is refused. Putting back twice is harmless, stages know repeats by their ID.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::server::Application;

/// What to put back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Of this reason only.
    reason: Option<String>,
}

pub async fn replay(
    State(application): State<Application>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let replay = application
        .pipeline
        .as_ref()
        .and_then(|pipeline| pipeline.0.replay.as_ref());
    let Some(replay) = replay.filter(|_| !headers.contains_key(header::AUTHORIZATION)) else {
        return Err(ApiError::NotOffered(
            "dead letters are put back by `tributary replay`, or at the dashboard itself, without a key"
                .to_owned(),
        ));
    };
    // A task of its own: a browser that goes away must not leave half of it.
    let done = tokio::spawn(replay(wanted.reason)).await;
    match done {
        Ok(Ok(all)) => {
            let count: u64 = all.iter().map(|part| part.count).sum();
            let parts: Vec<Value> = all
                .iter()
                .map(|part| json!({"topic": part.topic, "reason": part.reason, "count": part.count}))
                .collect();
            Ok(Json(json!({"count": count, "replayed": parts})))
        }
        Ok(Err(error)) => {
            tracing::error!("dead letters were not put back: {error:#}");
            Err(ApiError::Kafka)
        }
        Err(error) => {
            tracing::error!(%error, "putting dead letters back ended early");
            Err(ApiError::Kafka)
        }
    }
}
