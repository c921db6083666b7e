//! What the page of the pipeline shows.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::{Letter, Seen, metric};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::period::utc_text;
use crate::record::text_or_null;
use crate::server::Application;

/// Dead letters that are shown one by one.
const SHOWN: usize = 50;

/// `GET /pipeline`. With `workspace` only letters whose key begins with it: a key reads its own.
pub async fn show(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let workspace = parameters.text("workspace")?;
    parameters.text("mode")?;
    parameters.finish()?;
    let Some(pipeline) = &application.pipeline else {
        return Err(ApiError::NotOffered("/pipeline needs Kafka".to_owned()));
    };
    let seen = pipeline.seen().await;
    let metrics = application.metrics.render();
    let spool = metric(&metrics, "edge_spool_bytes", "").get("").copied();
    let facts = metric(&metrics, "tributary_attribute_facts_total", "verdict");
    let held = (!facts.is_empty()).then(|| facts.get("held").copied().unwrap_or_default());
    Ok(Json(json!({
        "kafka": {"reachable": seen.is_ok(), "reason": seen.as_ref().err()},
        "stages": seen.as_ref().ok().map(|seen| stages(seen)),
        "deadLetters": seen.as_ref().ok().map(|seen| letters(seen, workspace.as_deref())),
        "replay": pipeline.0.replay.is_some(),
        "spool": spool.map(|bytes| json!({"bytes": bytes, "limit": pipeline.0.spool_bytes})),
        // Since the beginning: most have resolved meanwhile.
        "everHeld": held,
    })))
}

fn stages(seen: &Seen) -> Vec<Value> {
    let stages = seen.lag.iter().map(|(stage, topics)| {
        let lag: i64 = topics.iter().map(|topic| topic.lag).sum();
        let topics: Vec<Value> = topics
            .iter()
            .map(|topic| {
                json!({"topic": topic.topic, "partitions": topic.partitions, "lag": topic.lag, "begun": topic.begun})
            })
            .collect();
        json!({"stage": stage.name, "group": stage.group, "lag": lag, "topics": topics})
    });
    stages.collect()
}

fn letters(seen: &Seen, workspace: Option<&str>) -> Value {
    let is_own = |letter: &&Letter| {
        workspace.is_none_or(|own| {
            let rest = letter.key.strip_prefix(own);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let tail = &seen.letters;
    let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut own: Vec<&Letter> = tail.records.iter().filter(is_own).collect();
    own.sort_by_key(|letter| std::cmp::Reverse(letter.told_ms));
    for letter in &own {
        *reasons.entry((&letter.stage, &letter.reason)).or_default() += 1;
    }
    let reasons: Vec<Value> = reasons
        .into_iter()
        .map(|((stage, reason), count)| json!({"stage": stage, "reason": reason, "count": count}))
        .collect();
    json!({
        "count": if tail.whole || workspace.is_some() { own.len() as i64 } else { tail.held },
        "whole": tail.whole,
        "reasons": reasons,
        "newest": own.iter().take(SHOWN).map(|letter| shown(letter)).collect::<Vec<_>>(),
    })
}

fn shown(letter: &Letter) -> Value {
    json!({
        "timestamp": utc_text(letter.told_ms),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "stage": letter.stage,
        "reason": letter.reason,
        "detail": text_or_null(&letter.detail),
        "key": text_or_null(&letter.key),
        "bytes": letter.bytes,
    })
}
