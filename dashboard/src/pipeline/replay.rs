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

/// Whether the page was asked for by a name of this machine: a name elsewhere may be made to lead here.
fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.and_then(|host| host.parse::<axum::http::uri::Authority>().ok());
    name.is_some_and(|name| matches!(name.host(), "localhost" | "127.0.0.1" | "[::1]"))
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
    let is_own = !headers.contains_key(header::AUTHORIZATION) && is_loopback(&headers);
    let Some(replay) = replay.filter(|_| is_own) else {
        return Err(ApiError::NotOffered(
            "dead letters are put back by `tributary replay`, or at the dashboard's own address on its machine, \
             without a key"
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
