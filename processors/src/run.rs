//! Running stages in one process: a thread for each, one of them ending ends all.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::sync::mpsc;
use tributary_avro::Topic;
use tributary_domain::engine::Engine;

use crate::attribute::{Attribute, Core};
use crate::config::{ProcessConfig, StageName};
use crate::join::Join;
use crate::kafka::admin::{check_topics, create_topics};
use crate::normalize::Normalize;
use crate::registry::Registry;
use crate::runtime::health::Health;
use crate::runtime::member::{self, Stage};

/// Creates the topics and registers the schemas. Safe to repeat.
///
/// # Errors
/// If Kafka or the registry is away, or what exists is not as it must be.
pub async fn init(config: &ProcessConfig) -> Result<()> {
    let topics = &config.topics;
    ensure!(
        topics.facts_partitions > 0 && topics.clicks_partitions > 0 && topics.input_partitions > 0,
        "a topic needs at least one partition"
    );
    create_topics(&config.kafka, topics).await?;
    registry(config).await?.register_all().await?;
    Ok(())
}

/// The registry of a configuration.
///
/// # Errors
/// If the cache directory cannot be made.
pub async fn registry(config: &ProcessConfig) -> Result<Registry> {
    let registry = Registry::connect(
        &config.registry_url,
        &config.cache_dir,
        &config.kafka.topic_prefix,
    );
    registry.await.context("schema registry")
}

/// Runs stages until `shutdown` completes, then commits what is in hand and leaves the groups.
///
/// # Errors
/// If a stage fails; the others are stopped first.
pub async fn run(
    config: ProcessConfig,
    stages: BTreeSet<StageName>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    run_with::<Engine>(config, stages, shutdown, Health::default()).await
}

/// As [`run`], with another core and with a health that can be looked at meanwhile.
///
/// # Errors
/// As [`run`].
pub async fn run_with<C: Core>(
    config: ProcessConfig,
    stages: BTreeSet<StageName>,
    shutdown: impl Future<Output = ()> + Send,
    health: Health,
) -> Result<()> {
    ensure!(
        !stages.contains(&StageName::Normalize) || !config.mail_key.expose().is_empty(),
        "mail_key is not set: addresses cannot be hashed"
    );
    let (kafka, topics) = (config.kafka.clone(), config.topics.clone());
    tokio::task::spawn_blocking(move || check_topics(&kafka, &topics, &Topic::ALL)).await??;
    let registry = registry(&config).await?;
    let mut tasks: Vec<Arc<dyn Stage>> = Vec::new();
    for stage in stages {
        let state = config.state_dir.join(stage.name());
        tasks.push(match stage {
            StageName::Normalize => {
                Arc::new(Normalize::new(&config.kafka, config.normalize, &registry, config.mail_key()).await?)
            }
            StageName::Join => Arc::new(Join::new(&config.kafka, config.join, &registry, state).await?),
            StageName::Attribute => {
                Arc::new(Attribute::<C>::new(&config.kafka, config.attribute, &registry, state).await?)
            }
        });
    }
    supervise(&config, tasks, shutdown, &health).await
}

async fn supervise(
    config: &ProcessConfig,
    stages: Vec<Arc<dyn Stage>>,
    shutdown: impl Future<Output = ()> + Send,
    health: &Health,
) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut running = stages.len();
    for stage in stages {
        let (settings, stop, health) = (config.kafka.clone(), Arc::clone(&stop), health.clone());
        let ended = ended.clone();
        let name = stage.name();
        std::thread::Builder::new()
            .name(format!("{name}-poll"))
            .spawn(move || {
                let run = || member::run(&settings, stage, &stop, &health);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                let result = result.unwrap_or_else(|_| Err(anyhow!("the poll thread panicked")));
                // Nobody listens only if the process is ending anyway.
                ended.send((name, result)).ok();
            })?;
    }
    drop(ended);
    let mut result = Ok(());
    let mut shutdown = std::pin::pin!(shutdown);
    let mut stopping = false;
    while running > 0 {
        tokio::select! {
            () = &mut shutdown, if !stopping => {
                tracing::info!("stopping");
                stopping = true;
                stop.store(true, Ordering::Relaxed);
            }
            end = ends.recv() => {
                let Some((stage, end)) = end else { break };
                running -= 1;
                stopping = true;
                stop.store(true, Ordering::Relaxed);
                if let Err(error) = end {
                    tracing::error!(stage, "stage failed: {error:#}");
                    if result.is_ok() {
                        result = Err(error.context(format!("stage {stage}")));
                    }
                }
            }
        }
    }
    result
}
