//! The peer that ClickHouse brings along: a Kafka engine table and a materialized view, tuned. At least once.
//!
//! It asks a registry of its own for the one schema: it drops the base path of a registry's address.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;

use crate::ground::Ground;

use super::rows::COLUMNS;

/// Block size, flush interval and threads with which it did best.
const TUNED: &str = "kafka_num_consumers = 2, kafka_thread_per_consumer = 1, kafka_max_block_size = 524288, \
    kafka_flush_interval_ms = 2000";

/// Answers `/schemas/ids/<id>` for one schema, until this process ends. Gives its address.
pub async fn registry(id: u32, schema: String) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = Arc::new((id, serde_json::json!({ "schema": schema }).to_string()));
    let routes = Router::new()
        .route("/schemas/ids/{id}", get(schema_of))
        .with_state(answer);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

async fn schema_of(
    State(known): State<Arc<(u32, String)>>,
    Path(id): Path<u32>,
) -> Result<String, StatusCode> {
    if id == known.0 {
        Ok(known.1.clone())
    } else {
        Err(StatusCode::NOT_FOUND)
    }
}

/// Lets ClickHouse read the topic into `table`; it begins with the view's creation.
pub async fn start(ground: &Ground, table: &str, topic: &str, registry: &str) -> Result<()> {
    let columns = COLUMNS.replace("LowCardinality(String)", "String");
    ground
        .sql(&format!(
            "CREATE TABLE {table}_queue ({columns}) ENGINE = Kafka SETTINGS kafka_broker_list = '{}', \
             kafka_topic_list = '{topic}', kafka_group_name = '{table}', kafka_format = 'AvroConfluent', \
             format_avro_schema_registry_url = '{registry}', {TUNED}",
            ground.kafka.bootstrap
        ))
        .await?;
    ground
        .sql(&format!(
            "CREATE MATERIALIZED VIEW {table}_view TO {table} AS SELECT * FROM {table}_queue"
        ))
        .await?;
    Ok(())
}

/// Ends it.
pub async fn stop(ground: &Ground, table: &str) -> Result<()> {
    ground.sql(&format!("DROP TABLE {table}_view SYNC")).await?;
    ground.sql(&format!("DROP TABLE {table}_queue SYNC")).await?;
    Ok(())
}
