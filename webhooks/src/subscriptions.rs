//! Which subscriptions this process runs: those declared in the partitions of topic `config` that the group gives it.
//!
//! The group has no offsets: whoever gets a partition reads it from the beginning. Invariant: a subscription is stopped
//! before another version of it begins, and when its partition is given away. Two processes may run one for the moment
//! that giving away takes: then an event comes twice, with one ID.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tributary_avro::{Config, Topic};
use tributary_domain::rules::Webhook;
use tributary_processors::kafka::Settings;
use tributary_processors::registry::{DecodeFailure, Registry, SchemaDecoder};

use crate::WebhooksConfig;
use crate::subscription::{Shared, Subscription};

/// After the last change: what is declared at once begins at once, and what has many versions begins once.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
const REGISTRY_AGAIN: Duration = Duration::from_secs(1);

/// Tells which partitions are given away.
struct Watch(mpsc::UnboundedSender<BTreeSet<i32>>);

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let gone = list
                .elements()
                .iter()
                .map(|element| element.partition())
                .collect();
            // Nobody listens only when the role ends.
            self.0.send(gone).ok();
        }
    }
}

/// Partition of `config`, workspace and ID.
type Name = (i32, String, String);

struct Running {
    subscription: Subscription,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

pub async fn run(
    config: WebhooksConfig,
    registry: Registry,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let decoder = registry.decoder::<Config>(Topic::Config).await?;
    let shared = Arc::new(Shared::new(&config, &registry).await?);
    let (tell, mut gone) = mpsc::unbounded_channel();
    let consumer = member(&config.kafka, tell)?;
    let mut wanted: BTreeMap<Name, Subscription> = BTreeMap::new();
    let mut running: BTreeMap<Name, Running> = BTreeMap::new();
    let mut settles: Option<Instant> = None;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Before the records of the next assignment, which came after it.
            Some(partitions) = gone.recv() => {
                wanted.retain(|(partition, ..), _| !partitions.contains(partition));
                reconcile(&wanted, &mut running, &shared).await;
            }
            () = sleep_until(settles.unwrap_or_else(Instant::now)), if settles.is_some() => {
                settles = None;
                reconcile(&wanted, &mut running, &shared).await;
            }
            message = consumer.recv() => match message {
                Ok(message) => {
                    if let Some((name, subscription)) = read(&decoder, &message).await {
                        settles = Some(Instant::now() + SETTLED_AFTER);
                        match subscription {
                            Some(subscription) => drop(wanted.insert(name, subscription)),
                            None => drop(wanted.remove(&name)),
                        }
                    }
                }
                // The client connects again by itself.
                Err(error) => tracing::warn!(%error, "topic config"),
            },
        }
    }
    reconcile(&BTreeMap::new(), &mut running, &shared).await;
    Ok(())
}

fn member(kafka: &Settings, tell: mpsc::UnboundedSender<BTreeSet<i32>>) -> Result<StreamConsumer<Watch>> {
    let mut config = kafka.client();
    config
        .set("group.id", kafka.group("webhooks"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", kafka.session_timeout_ms.to_string())
        .set(
            "heartbeat.interval.ms",
            (kafka.session_timeout_ms / 4).max(200).to_string(),
        );
    let consumer: StreamConsumer<Watch> = config.create_with_context(Watch(tell))?;
    consumer
        .subscribe(&[&kafka.topic(Topic::Config)])
        .context("topic config")?;
    Ok(consumer)
}

/// Stops what is no longer wanted as it runs, then starts what is missing.
async fn reconcile(
    wanted: &BTreeMap<Name, Subscription>,
    running: &mut BTreeMap<Name, Running>,
    shared: &Arc<Shared>,
) {
    let over = |name: &Name, running: &Running| wanted.get(name) != Some(&running.subscription);
    let ending: Vec<Running> = running
        .extract_if(.., |name, running| over(name, running))
        .map(|(_, running)| running)
        .collect();
    // All are told before any is waited for.
    for one in &ending {
        one.stop.send_replace(true);
    }
    for one in ending {
        if one.task.await.is_err() {
            tracing::error!(webhook = one.subscription.webhook.id, "a subscription panicked");
        }
    }
    for (name, subscription) in wanted {
        if !running.contains_key(name) {
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(subscription.clone().run(Arc::clone(shared), stopped));
            let subscription = subscription.clone();
            running.insert(
                name.clone(),
                Running {
                    subscription,
                    stop,
                    task,
                },
            );
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("webhooks_subscriptions").set(running.len() as f64);
}

/// What a record of topic config says of a subscription; None if it is about something else.
async fn read(
    decoder: &SchemaDecoder<Config>,
    message: &BorrowedMessage<'_>,
) -> Option<(Name, Option<Subscription>)> {
    let key = std::str::from_utf8(message.key()?).ok()?;
    let mut parts = key.splitn(3, '/');
    let (workspace, "webhook", id) = (parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    let name = (message.partition(), workspace.to_owned(), id.to_owned());
    let Some(value) = message.payload() else {
        return Some((name, None));
    };
    let config = loop {
        match decoder.decode(value).await {
            Ok(config) => break config,
            Err(DecodeFailure::Retry(detail)) => {
                tracing::warn!("schema registry: {detail}; trying again");
                tokio::time::sleep(REGISTRY_AGAIN).await;
            }
            Err(DecodeFailure::Dead { reason, detail }) => {
                tracing::error!(key, reason, detail, "a declared webhook is passed over");
                return None;
            }
        }
    };
    if config.deleted {
        return Some((name, None));
    }
    match serde_json::from_str::<Webhook>(&config.document) {
        Ok(webhook) => {
            let subscription = Subscription {
                workspace: config.workspace,
                webhook,
                declared: config.at,
            };
            Some((name, Some(subscription)))
        }
        Err(error) => {
            tracing::error!(key, %error, "a declared webhook is passed over");
            None
        }
    }
}
