//! The roles, as futures over settings: what `ingest`, `process`, `sink`, `dashboard` run, and `dev` all together.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tributary_avro::{Config, Conversion, Record, Topic};
use tributary_processors::StageName;
use tributary_processors::registry::Registry;

use crate::caught_up;
use crate::commands::{close_days, replay};
use crate::schemas::FromRegistry;
use crate::settings::Settings;

type Reader<T> = Box<dyn FnMut(&[u8]) -> Result<T> + Send>;

/// Ends when the process is asked to stop.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A shutdown by Ctrl-C or SIGTERM, or by its sender.
    pub fn on_signals() -> Result<(watch::Sender<bool>, Self)> {
        let (stop, stopped) = watch::channel(false);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let by_signal = stop.clone();
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            tracing::info!("stopping");
            by_signal.send_replace(true);
        });
        Ok((stop, Self(stopped)))
    }

    /// Whether the process was asked to stop.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes at the shutdown.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.0.clone();
        async move {
            // An error means that nobody is left who could ask: that is a shutdown too.
            stopped.wait_for(|stop| *stop).await.ok();
        }
    }
}

/// The registry client of the process.
pub async fn registry(settings: &Settings) -> Result<Registry> {
    tributary_processors::registry(&settings.process()?).await
}

/// Reads records of a topic, on a thread that may block: an unknown schema is fetched.
async fn reader<T: Record + 'static>(registry: &Registry, topic: Topic) -> Result<Reader<T>> {
    let decoder = registry.decoder::<T>(topic).await?;
    let runtime = tokio::runtime::Handle::current();
    Ok(Box::new(move |value: &[u8]| {
        runtime
            .block_on(decoder.decode(value))
            .map_err(|e| anyhow!(e.to_string()))
    }))
}

/// The edge.
pub async fn ingest(settings: Settings, metrics: PrometheusHandle, shutdown: Shutdown) -> Result<()> {
    let registry = registry(&settings).await?;
    let own =
        |error| anyhow!("the edge cannot start without its schemas: {error}; run `tributary init` first");
    let id = async |topic| registry.id(topic).await.map_err(own);
    let encoders = tributary_ingest::Encoders {
        click: tributary_avro::Encoder::new(id(Topic::Clicks).await?),
        track: tributary_avro::Encoder::new(id(Topic::Tracks).await?),
        stripe: tributary_avro::Encoder::new(id(Topic::StripeEvents).await?),
    };
    let readers = tributary_ingest::Readers {
        config: reader::<Config>(&registry, Topic::Config).await?,
        entry: reader::<Conversion>(&registry, Topic::Conversions).await?,
    };
    let render = Box::new(move || metrics.render());
    tributary_ingest::run(settings.edge(), encoders, readers, render, shutdown.wait())
        .await
        .context("ingest")
}

/// Stages of the processors.
pub async fn process(settings: Settings, stages: BTreeSet<StageName>, shutdown: Shutdown) -> Result<()> {
    tributary_processors::run(settings.process()?, stages, shutdown.wait())
        .await
        .context("process")
}

/// The sink, and who closes days: both need Kafka and ClickHouse.
pub async fn sink(settings: Settings, shutdown: Shutdown) -> Result<()> {
    if settings.sink.close_days.unwrap_or(true) {
        tokio::spawn(close_days::keep(settings.clone(), shutdown.clone()));
    }
    let schemas = Arc::new(FromRegistry(registry(&settings).await?));
    tributary_sinks::run(settings.sink(), settings.clickhouse(), schemas, shutdown.wait())
        .await
        .context("sink")
}

/// Outgoing webhooks.
pub async fn webhooks(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let registry = registry(&settings).await?;
    tributary_webhooks::run(settings.webhooks(), registry, shutdown.wait())
        .await
        .context("webhooks")
}

/// The dashboard.
pub async fn dashboard(settings: Settings, metrics: PrometheusHandle, shutdown: Shutdown) -> Result<()> {
    let registry = registry(&settings).await?;
    let own = |error| {
        anyhow!(
            "the dashboard cannot start without the schema of topic config: {error}; run `tributary init` first"
        )
    };
    let encoder = tributary_avro::Encoder::new(registry.id(Topic::Config).await.map_err(own)?);
    let read = reader::<Config>(&registry, Topic::Config).await?;
    let mut config = settings.dashboard(tributary_dashboard::MetricsText::new(move || metrics.render()));
    config.management = Some(tributary_dashboard::Management::start(
        settings.config_topic(),
        encoder,
        read,
    )?);
    config.live = Some(tributary_dashboard::Live::new(
        settings.dashboard_kafka(),
        [Topic::Clicks, Topic::Conversions, Topic::Refunds].map(|topic| settings.kafka.topic(topic)),
        tributary_dashboard::Readers {
            click: reader(&registry, Topic::Clicks).await?,
            conversion: reader(&registry, Topic::Conversions).await?,
            refund: reader(&registry, Topic::Refunds).await?,
        },
    ));
    config.pipeline = Some(pipeline(&settings, &registry).await?);
    tributary_dashboard::run(config, shutdown.wait())
        .await
        .context("dashboard")
}

/// What the dashboard sees of the pipeline.
async fn pipeline(settings: &Settings, registry: &Registry) -> Result<tributary_dashboard::Pipeline> {
    let stages = caught_up::READERS.map(|(name, topics)| tributary_dashboard::Stage {
        name,
        group: settings.kafka.group(name),
        topics: topics.iter().map(|topic| settings.kafka.topic(*topic)).collect(),
    });
    let own = settings.clone();
    let replay: tributary_dashboard::Replay = Arc::new(move |reason| {
        let settings = own.clone();
        Box::pin(async move {
            let counts = replay::put_back(&settings, reason.as_deref(), false).await?;
            let replayed = |((topic, reason), count)| tributary_dashboard::Replayed { topic, reason, count };
            Ok(counts.into_iter().map(replayed).collect())
        })
    });
    Ok(tributary_dashboard::Pipeline::new(
        tributary_dashboard::PipelineConfig {
            kafka: settings.dashboard_kafka(),
            stages: stages.into(),
            dead_letters: settings.kafka.topic(Topic::DeadLetters),
            stripe_events: settings.kafka.topic(Topic::StripeEvents),
            readers: tributary_dashboard::PipelineReaders {
                letter: reader(registry, Topic::DeadLetters).await?,
                event: reader(registry, Topic::StripeEvents).await?,
            },
            replay: Some(replay),
            spool_bytes: settings.ingest.spool_bytes,
            secrets_dir: Some(settings.secrets.dir.clone()).filter(|dir| !dir.as_os_str().is_empty()),
        },
    ))
}

/// `/metrics` and `/healthz` for roles without HTTP of their own, if the settings name an address.
pub async fn observe(settings: &Settings, metrics: PrometheusHandle) -> Result<()> {
    if settings.metrics.listen.is_empty() {
        return Ok(());
    }
    let listener = tokio::net::TcpListener::bind(&settings.metrics.listen)
        .await
        .with_context(|| format!("metrics.listen: {}", settings.metrics.listen))?;
    let routes = axum::Router::new()
        .route(
            "/metrics",
            axum::routing::get(move || async move { metrics.render() }),
        )
        .route("/healthz", axum::routing::get(async || "ok"));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "metrics endpoint ended");
        }
    });
    Ok(())
}
