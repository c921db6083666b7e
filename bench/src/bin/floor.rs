//! The floor of the edge: the smallest HTTP handler with the same guarantee. The body is parsed as JSON of a click, or
//! refused; it goes into Kafka as it came, under a spread key, and 200 is answered after the broker's acknowledgement.
//! Nothing else is checked, and nothing is looked up.
//!
//!     floor LISTEN BOOTSTRAP TOPIC

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Floor {
    producer: FutureProducer,
    topic: String,
    count: AtomicU64,
}

/// What a click's body tells.
#[derive(serde::Deserialize)]
struct Click {
    domain: String,
    key: String,
    url: Option<String>,
    referrer: Option<String>,
}

async fn click(State(floor): State<Arc<Floor>>, body: Bytes) -> StatusCode {
    let Ok(click) = serde_json::from_slice::<Click>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    // As a handler would that does something with it: the parsed click lives until it is stored.
    std::hint::black_box((&click.domain, &click.key, &click.url, &click.referrer));
    // Fibonacci hashing spreads the counter over the partitions.
    let number = floor
        .count
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let key = format!("{number:016x}");
    let record = FutureRecord::to(&floor.topic).key(&key).payload(&*body);
    match floor.producer.send(record, Duration::from_secs(5)).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "floor: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("usage: floor LISTEN BOOTSTRAP TOPIC");
    let (listen, bootstrap, topic) = (argument()?, argument()?, argument()?);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "10000")
        .create()?;
    producer
        .client()
        .fetch_metadata(Some(&topic), Duration::from_secs(10))?;
    let floor = Arc::new(Floor {
        producer,
        topic,
        count: AtomicU64::new(0),
    });
    let routes = Router::new()
        .route("/track/click", post(click))
        .route("/readyz", get(|| async { "ok" }))
        .with_state(floor);
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    axum::serve(listener, routes).await?;
    Ok(())
}
