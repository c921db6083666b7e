//! The ingest edge: HTTP in, Kafka out.
//!
//! ```text
//!   HTTP ──► service ──► domain::requests::handle ──► journal (acks=all) ──► answer
//!                              ▲ directory
//!   topic config ──► feed ─────┘
//! ```
//!
//! It keeps no state of its own but the first clicks of the hour and the latest events' IDs, and knows no business rule:
//! those are in `tributary-domain`. While Kafka is away, records wait in a spool on disk.
//! Invariant: answered 2xx or 3xx means acknowledged by all in-sync replicas or synced to the spool, redirects counted
//! in `edge_unacknowledged_clicks_total` excepted.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod batches;
mod body;
mod clock;
mod config;
mod connections;
mod cors;
mod delivery;
mod entries;
mod feed;
mod forward;
mod journal;
mod limits;
mod places;
mod proxies;
mod repeats;
mod scripts;
mod secrets;
mod server;
mod service;
mod spool;
mod state;
mod telemetry;
mod trace;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use config::{ApiHost, IngestConfig, KafkaConfig};
pub use entries::EntryReader;
pub use feed::ConfigReader;
pub use journal::Encoders;
pub use limits::Limits;
pub use places::PlaceFiles;
pub use service::Render;

use service::Edge;

/// The producer looks about once a second which records have waited for too long.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(2);

/// Readers of what the edge follows.
pub struct Readers {
    /// Topic config.
    pub config: ConfigReader,
    /// Topic conversions.
    pub entry: EntryReader,
}

/// An edge that holds its port and does not answer yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    edge: Arc<Edge>,
    drain: spool::Drain,
    read_config: ConfigReader,
    places: places::Watch,
}

/// Takes the port and makes the producer. `render` gives the text of `/metrics`.
pub async fn bind(
    config: IngestConfig,
    encoders: Encoders,
    readers: Readers,
    render: Render,
) -> anyhow::Result<Bound> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen on {}", config.listen))?;
    let drain = spool::Drain::new(&config, encoders.click.id());
    let edge = Edge::new(config, encoders, readers.entry, render)?;
    let places = places::Watch::start(&edge.config.places, &edge.places)?;
    Ok(Bound {
        places,
        address: listener.local_addr()?,
        listener,
        edge: Arc::new(edge),
        drain,
        read_config: readers.config,
    })
}

/// Binds and serves until `shutdown`.
pub async fn run(
    config: IngestConfig,
    encoders: Encoders,
    readers: Readers,
    render: Render,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    bind(config, encoders, readers, render)
        .await?
        .serve(shutdown)
        .await
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then accepts nothing more, finishes what is in flight and flushes.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let Self {
            listener,
            address,
            edge,
            drain,
            read_config,
            places,
        } = self;
        let state = Arc::clone(&edge.state);
        let feed = std::thread::Builder::new()
            .name("config-feed".to_owned())
            .spawn({
                let (kafka, state) = (edge.config.kafka.clone(), Arc::clone(&state));
                move || feed::run(&kafka, read_config, &state)
            })?;
        let spool = edge.spool.clone();
        let draining = spool.clone().map(|spool| {
            let (journal, state) = (Arc::clone(&edge.journal), Arc::clone(&state));
            std::thread::Builder::new()
                .name("spool-drain".to_owned())
                .spawn(move || spool::drain(&journal, &spool, &drain, &state))
        });
        let draining = draining.transpose()?;
        let watch = std::thread::Builder::new()
            .name("place-files".to_owned())
            .spawn({
                let (edge, state) = (Arc::clone(&edge), Arc::clone(&state));
                move || places.follow(&edge.places, &state)
            })?;
        tracing::info!(%address, "the edge listens");

        let (stopping, stopped) = oneshot::channel();
        let failed = Arc::new(AtomicBool::new(false));
        let signal = {
            let (state, journal, failed) =
                (Arc::clone(&state), Arc::clone(&edge.journal), Arc::clone(&failed));
            async move {
                tokio::select! {
                    () = shutdown => {}
                    () = journal.failed() => failed.store(true, Relaxed),
                }
                state.stopped.store(true, Relaxed);
                stopping.send(()).ok();
            }
        };
        let limit = edge.config.shutdown_timeout;
        let serving = server::serve(listener, Arc::clone(&edge), signal);
        let overdue = async {
            // An error means that serving ended first.
            if stopped.await.is_ok() {
                tokio::time::sleep(limit).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = overdue => tracing::warn!("requests in flight did not end in time"),
        }
        state.stopped.store(true, Relaxed);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = edge
                .journal
                .flush(edge.config.acknowledgement_timeout + GIVES_UP_WITHIN)
            {
                tracing::warn!(%error, "flush");
            }
            feed.join().ok();
            draining.map(std::thread::JoinHandle::join);
            watch.join().ok();
        })
        .await
        .context("shutdown")?;
        if let Some(spool) = spool {
            spool.flush().await;
        }
        anyhow::ensure!(
            !failed.load(Relaxed),
            "the Kafka producer failed for good; what was answered waits in the spool for the next start"
        );
        Ok(())
    }
}
