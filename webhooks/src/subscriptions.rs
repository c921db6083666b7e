//! Which subscriptions this process runs: those declared in the partitions of topic `config` that the group gives it.
//!
//! The group has no offsets: whoever gets a partition reads it from the beginning, and runs nothing of it before its end:
//! what stood there before may have been changed or withdrawn since. Invariant: a subscription is stopped before another
//! version of it begins, and when its partition is given away. Two processes may run one for the moment that giving away
//! takes: then an event comes twice, with one ID.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tributary_avro::{Config, Topic};
use tributary_domain::rules::Webhook;
use tributary_processors::kafka::Settings;
use tributary_processors::registry::{DecodeFailure, Registry, SchemaDecoder};

use crate::WebhooksConfig;
use crate::subscription::{Shared, Subscription, Turn};

/// After the last change: what is declared at once begins at once, and what has many versions begins once.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
const REGISTRY_AGAIN: Duration = Duration::from_secs(1);

/// Partitions that this process gets, or gives away.
enum Change {
    Given(BTreeSet<i32>),
    Gone(BTreeSet<i32>),
}

/// Tells of changes.
struct Watch(mpsc::UnboundedSender<Change>);

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let numbers = |list: &TopicPartitionList| list.elements().iter().map(|one| one.partition()).collect();
        let change = match rebalance {
            Rebalance::Assign(list) => Change::Given(numbers(list)),
            Rebalance::Revoke(list) => Change::Gone(numbers(list)),
            Rebalance::Error(_) => return,
        };
        // Nobody listens only when the role ends.
        self.0.send(change).ok();
    }
}

/// Partition of `config`, workspace and ID.
type Name = (i32, String, String);

struct Running {
    subscription: Subscription,
    turn: watch::Sender<Turn>,
    task: JoinHandle<()>,
}

pub async fn run(
    config: WebhooksConfig,
    registry: Registry,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let decoder = registry.decoder::<Config>(Topic::Config).await?;
    let shared = Arc::new(Shared::new(&config, &registry).await?);
    let (tell, mut changes) = mpsc::unbounded_channel();
    let consumer = member(&config.kafka, tell)?;
    let mut declared = Declared::default();
    let mut running: BTreeMap<Name, Running> = BTreeMap::new();
    let mut settles: Option<Instant> = None;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Before the records of the next assignment, which came after it.
            Some(change) = changes.recv() => match change {
                Change::Given(partitions) => declared.unread.extend(partitions),
                Change::Gone(partitions) => {
                    declared.forget(&partitions);
                    stop(&mut running, |(partition, ..), _| partitions.contains(partition), Turn::GiveUp).await;
                }
            },
            () = sleep_until(settles.unwrap_or_else(Instant::now)), if settles.is_some() => {
                settles = None;
                declared.run(&mut running, &shared).await;
            }
            message = consumer.recv() => match message {
                Ok(message) => {
                    if let Some((name, says)) = read(&decoder, &message).await {
                        declared.says.insert(name, says);
                        settles = Some(Instant::now() + SETTLED_AFTER);
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    declared.unread.remove(&partition);
                    settles = Some(Instant::now() + SETTLED_AFTER);
                }
                // The client connects again by itself.
                Err(error) => tracing::warn!(%error, "topic config"),
            },
        }
    }
    stop(&mut running, |_, _| true, Turn::End).await;
    Ok(())
}

/// What the partitions say that this process has.
#[derive(Default)]
struct Declared {
    says: BTreeMap<Name, Says>,
    /// Not read to their ends yet.
    unread: BTreeSet<i32>,
}

/// The last word about a subscription.
enum Says {
    Wanted(Subscription),
    /// It was taken back; its position is to go too, if it is known what it was.
    Withdrawn(Option<Subscription>),
}

impl Declared {
    fn forget(&mut self, partitions: &BTreeSet<i32>) {
        self.says
            .retain(|(partition, ..), _| !partitions.contains(partition));
        self.unread.retain(|partition| !partitions.contains(partition));
    }

    /// Stops what is no longer wanted as it runs, then starts what is missing.
    async fn run(&mut self, running: &mut BTreeMap<Name, Running>, shared: &Arc<Shared>) {
        let wanted = |name: &Name| match self.says.get(name) {
            Some(Says::Wanted(subscription)) => Some(subscription),
            _ => None,
        };
        let is_over = |name: &Name, one: &Running| wanted(name) != Some(&one.subscription);
        stop(running, is_over, Turn::End).await;
        for (name, says) in &mut self.says {
            if self.unread.contains(&name.0) {
                continue;
            }
            match says {
                Says::Wanted(subscription) if !running.contains_key(name) => {
                    let (turn, turns) = watch::channel(Turn::Run);
                    let task = tokio::spawn(subscription.clone().run(Arc::clone(shared), turns));
                    let subscription = subscription.clone();
                    running.insert(
                        name.clone(),
                        Running {
                            subscription,
                            turn,
                            task,
                        },
                    );
                }
                // Declared again, it begins there, and not where it was.
                Says::Withdrawn(subscription) => {
                    if let Some(subscription) = subscription.take() {
                        shared.forget(&subscription).await;
                    }
                }
                Says::Wanted(_) => {}
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("webhooks_subscriptions").set(running.len() as f64);
    }
}

/// Stops some of those that run, and waits for them.
async fn stop(running: &mut BTreeMap<Name, Running>, which: impl Fn(&Name, &Running) -> bool, turn: Turn) {
    let ending: Vec<Running> = running
        .extract_if(.., |name, one| which(name, one))
        .map(|(_, one)| one)
        .collect();
    // All are told before any is waited for.
    for one in &ending {
        one.turn.send_replace(turn);
    }
    for one in ending {
        if one.task.await.is_err() {
            tracing::error!(webhook = one.subscription.webhook.id, "a subscription panicked");
        }
    }
}

fn member(kafka: &Settings, tell: mpsc::UnboundedSender<Change>) -> Result<StreamConsumer<Watch>> {
    let mut config = kafka.client();
    config
        .set("group.id", kafka.group("webhooks"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
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

/// What a record of topic config says of a subscription; None if it is about something else.
async fn read(decoder: &SchemaDecoder<Config>, message: &BorrowedMessage<'_>) -> Option<(Name, Says)> {
    let key = std::str::from_utf8(message.key()?).ok()?;
    let mut parts = key.splitn(3, '/');
    let (workspace, "webhook", id) = (parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    let name = (message.partition(), workspace.to_owned(), id.to_owned());
    let Some(value) = message.payload() else {
        return Some((name, Says::Withdrawn(None)));
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
    let webhook = match serde_json::from_str::<Webhook>(&config.document) {
        Ok(webhook) => webhook,
        Err(_) if config.deleted => return Some((name, Says::Withdrawn(None))),
        Err(error) => {
            tracing::error!(key, %error, "a declared webhook is passed over");
            return None;
        }
    };
    let subscription = Subscription {
        workspace: config.workspace,
        webhook,
        declared: config.at,
    };
    let says = if config.deleted {
        Says::Withdrawn(Some(subscription))
    } else {
        Says::Wanted(subscription)
    };
    Some((name, says))
}
