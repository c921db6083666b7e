//! `GET /connections`: what is known of a workspace's Stripe accounts: what came, when, and what was made of it.
//!
//! It says what was seen and nothing more: whether an endpoint exists at Stripe, only Stripe knows.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::declared;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::period::utc_text;
use crate::pipeline::Event;
use crate::record::text_or_null;
use crate::server::Application;
use crate::statement::Statement;

#[derive(Row, Deserialize, Default)]
struct Counted {
    mode: String,
    recent: i64,
    last_ms: i64,
}

pub async fn show(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let only = parameters.peek("mode");
    let scope = declared::scope(&mut parameters, &application, &application.database).await?;
    parameters.finish()?;
    let workspace = &scope.workspace;
    // A key reads its own mode; a page that names none, all.
    let of_mode = if only.is_some() {
        " AND mode = {mode:String}"
    } else {
        ""
    };
    let sql = format!(
        "SELECT toString(mode) AS mode, toInt64(sumIf(sign, at >= now64(3) - toIntervalDay(30))) AS recent,
                max(toUnixTimestamp64Milli(at)) AS last_ms
         FROM conversions WHERE workspace = {{workspace:String}}{of_mode}
           AND source IN ('stripe', 'payment_link', 'customer', 'trial')
         GROUP BY mode"
    );
    let statement = Statement::new(sql).with_all(scope.values());
    let counted: Vec<Counted> = application.database.rows("connections", statement).await?;
    let seen = match &application.pipeline {
        Some(pipeline) => Some(pipeline.stripe_events().await),
        None => None,
    };
    let seen = seen.as_ref().map(|seen| seen.as_ref());
    let events: Vec<&Event> = match seen {
        Some(Ok(tail)) => tail
            .records
            .iter()
            .filter(|event| event.workspace == *workspace)
            .collect(),
        _ => Vec::new(),
    };
    let settings = application.declared(|catalog| catalog.stripe(workspace));
    let (accounts, modes) = settings.map_or((None, Vec::new()), |(accounts, modes)| (Some(accounts), modes));
    let mut names: BTreeSet<&str> = modes.iter().map(String::as_str).collect();
    names.extend(counted.iter().map(|row| row.mode.as_str()));
    names.extend(events.iter().map(|event| event.mode.as_str()));
    if let Some(only) = &only {
        names.retain(|mode| mode == only);
    }
    let none = Counted::default();
    let modes = names.into_iter().map(|mode| {
        let counted = counted.iter().find(|row| row.mode == mode).unwrap_or(&none);
        of(
            mode,
            counted,
            events.iter().copied().filter(|event| event.mode == mode),
        )
    });
    Ok(Json(json!({
        "workspace": workspace,
        "endpoint": format!("/webhooks/stripe/{workspace}"),
        "accounts": accounts,
        "secrets": application.pipeline.as_ref().and_then(|pipeline| pipeline.secrets(workspace)),
        "kafka": seen.map(|seen| match seen {
            Ok(tail) => json!({"reachable": true, "reason": null, "looked": tail.records.len(), "whole": tail.whole}),
            Err(reason) => json!({"reachable": false, "reason": reason, "looked": 0, "whole": false}),
        }),
        "modes": modes.collect::<Vec<_>>(),
    })))
}

fn of<'e>(mode: &str, counted: &Counted, events: impl Iterator<Item = &'e Event>) -> JsonValue {
    let mut types: BTreeMap<&str, u64> = BTreeMap::new();
    let mut last: Option<&Event> = None;
    for event in events {
        *types.entry(&event.kind).or_default() += 1;
        if last.is_none_or(|last| last.received_ms <= event.received_ms) {
            last = Some(event);
        }
    }
    let last = last.map(|event| {
        json!({
            "id": event.id, "type": event.kind, "account": text_or_null(&event.account),
            "apiVersion": text_or_null(&event.api_version), "createdAt": utc_text(event.created_ms),
            "receivedAt": utc_text(event.received_ms),
        })
    });
    let types: Vec<JsonValue> = types
        .into_iter()
        .map(|(kind, count)| json!({"type": kind, "count": count}))
        .collect();
    json!({
        "mode": mode,
        "lastEvent": last,
        "types": types,
        "conversions30d": counted.recent,
        "lastConversionAt": if counted.last_ms == 0 { JsonValue::Null } else { utc_text(counted.last_ms).into() },
    })
}
