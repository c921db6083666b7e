//! Creating the topics, and refusing to work on topics that are not as they must be.
//!
//! Invariant: `facts` and the three ledger topics have the same number of partitions, `clicks` and `claims`
//! too. A different number would send a workspace's records elsewhere, silently.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use serde::{Deserialize, Serialize};
use tributary_avro::{Retention, Topic};

use super::{MAX_RECORD_BYTES, Settings};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Numbers of partitions and how safely they are kept. Fixed when the topics are created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Of facts and the ledger topics.
    pub facts_partitions: i32,
    /// Of clicks and claims.
    pub clicks_partitions: i32,
    /// Of tracks and stripe.events.
    pub input_partitions: i32,
    /// Copies of every partition.
    pub replication: i32,
    /// For how many days clicks are kept: the largest attribution window plus 30 days.
    pub clicks_days: u32,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            facts_partitions: 32,
            clicks_partitions: 32,
            input_partitions: 8,
            replication: 1,
            clicks_days: 120,
        }
    }
}

impl Topics {
    /// The number of partitions that a topic must have.
    pub fn partitions(&self, topic: Topic) -> i32 {
        match topic {
            Topic::Facts | Topic::Conversions | Topic::Refunds | Topic::Commissions => self.facts_partitions,
            Topic::Clicks | Topic::Claims => self.clicks_partitions,
            Topic::Tracks | Topic::StripeEvents => self.input_partitions,
            // One total order: which of two competing declarations came first must have one answer.
            Topic::Config => 1,
            Topic::People | Topic::DeadLetters => 4,
        }
    }

    fn config(&self, topic: Topic) -> Vec<(&'static str, String)> {
        let days = |days: u32| (u64::from(days) * DAY_MS).to_string();
        let mut config = vec![("message.timestamp.type", "CreateTime".to_owned())];
        match topic.retention() {
            Retention::Forever => config.extend([
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
                ("retention.bytes", "-1".to_owned()),
            ]),
            Retention::Compacted => config.push(("cleanup.policy", "compact".to_owned())),
            // Records go with their segment: of a day, so that none outlives its time by more than that.
            Retention::Days(n) => config.extend([("retention.ms", days(n)), ("segment.ms", days(1))]),
            Retention::WindowAnd30Days => config.push(("retention.ms", days(self.clicks_days))),
        }
        if topic == Topic::People {
            // What was overwritten holds names: an open segment is never compacted, and a closed one not before it is
            // worth it. A sink that was away must still find whom it has to forget.
            config.extend([
                ("segment.ms", HOUR_MS.to_string()),
                ("max.compaction.lag.ms", days(1)),
                ("delete.retention.ms", days(30)),
            ]);
        }
        let max = match topic {
            Topic::DeadLetters => MAX_RECORD_BYTES + 512 * 1024,
            _ => MAX_RECORD_BYTES,
        };
        config.push(("max.message.bytes", max.to_string()));
        if self.replication >= 3 {
            config.push(("min.insync.replicas", "2".to_owned()));
            config.push(("unclean.leader.election.enable", "false".to_owned()));
        }
        config
    }
}

/// Creates the topics that are missing, then checks all of them. Safe to repeat.
///
/// # Errors
/// If Kafka refuses one, or an existing one has another number of partitions.
pub async fn create_topics(settings: &Settings, topics: &Topics) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = settings.client().create()?;
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    for topic in Topic::ALL {
        let name = settings.topic(topic);
        let config = topics.config(topic);
        let mut new = NewTopic::new(
            &name,
            topics.partitions(topic),
            TopicReplication::Fixed(topics.replication),
        );
        for (key, value) in &config {
            new = new.set(key, value);
        }
        for result in admin.create_topics([&new], &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => bail!("creating topic {name}: {code}"),
            }
        }
    }
    let (settings, topics) = (settings.clone(), topics.clone());
    // A topic just created may take a moment to be known everywhere.
    tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            match check_topics(&settings, &topics, &Topic::ALL) {
                Err(error) if error.is::<Missing>() && std::time::Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                other => return other,
            }
        }
    })
    .await?
}

/// For how long a record stays in a topic at most, in milliseconds, as the broker is set: its retention, and the time
/// until its segment is closed. None: for ever.
///
/// # Errors
/// If Kafka does not tell.
pub async fn kept_ms(settings: &Settings, topic: Topic) -> Result<Option<i64>> {
    let admin: AdminClient<DefaultClientContext> = settings.client().create()?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let name = settings.topic(topic);
    let asked = ResourceSpecifier::Topic(&name);
    let answers = admin.describe_configs([&asked], &options).await?;
    let answer = answers.into_iter().next().context("no answer")?;
    let config = answer.map_err(|code| anyhow!("settings of topic {name}: {code}"))?;
    let number = |of: &str| -> Result<i64> {
        let value = config.get(of).and_then(|entry| entry.value.as_deref());
        let value = value.with_context(|| format!("topic {name} has no {of}"))?;
        value.parse().with_context(|| format!("{of} of topic {name}"))
    };
    let (retention, segment) = (number("retention.ms")?, number("segment.ms")?);
    Ok((retention >= 0).then(|| retention.saturating_add(segment)))
}

/// A topic that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("topic {0} does not exist: run `tributary init`")]
pub struct Missing(String);

/// Stops if one of the topics is missing or has another number of partitions than configured. Blocking.
///
/// # Errors
/// Names the topic, what was expected and what was found.
pub fn check_topics(settings: &Settings, topics: &Topics, which: &[Topic]) -> Result<()> {
    let found = partition_counts(settings)?;
    for &topic in which {
        let name = settings.topic(topic);
        let expected = topics.partitions(topic);
        match found.get(&name) {
            None => return Err(Missing(name).into()),
            Some(&found) if found != expected => bail!(
                "topic {name} has {found} partitions, expected {expected}: the number is fixed when a topic is \
                 created; set the configuration to {found}, or make new topics under another prefix"
            ),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The partition counts of all topics. Blocking.
fn partition_counts(settings: &Settings) -> Result<BTreeMap<String, i32>> {
    let consumer: BaseConsumer = settings.client().create()?;
    let metadata = consumer
        .fetch_metadata(None, PATIENCE)
        .with_context(|| format!("kafka at {} does not answer", settings.bootstrap))?;
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
        .map(|topic| (topic.name().to_owned(), count(topic.partitions().len())))
        .collect())
}
