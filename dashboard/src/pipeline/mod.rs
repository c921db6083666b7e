//! `GET /pipeline` and `POST /pipeline/replay`: how far each stage is, what could not be processed, and what waits.
//!
//! ```text
//!   groups' offsets, ends of topics ─► lag   ┐
//!   newest records of dead-letters ─► reasons├─► kept for two seconds ─► JSON
//!   metrics of this process ─► spool, held   ┘
//! ```
//!
//! Invariant: what is not known is null and never 0, and while Kafka is away the answer says so.

mod lag;
mod replay;
mod show;
mod tail;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use tributary_avro::{DeadLetter, StripeEvent};

use crate::kafka::Kafka;
use crate::stream::Reader;
pub use lag::TopicLag;
pub use replay::replay;
pub use show::show;
use tail::Tail;

/// What was read serves all who ask meanwhile.
const FRESH: Duration = Duration::from_secs(2);
/// Newest dead letters of a partition that are looked at.
const LETTERS: i64 = 200;
/// Newest Stripe events of a partition that are looked at: each is some kilobytes.
const EVENTS: i64 = 100;

/// Dead letters back into their topics, of one reason or all; gives how many went where.
pub type Replay =
    Arc<dyn Fn(Option<String>) -> BoxFuture<'static, anyhow::Result<Vec<Replayed>>> + Send + Sync>;

/// What was put back.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// Topic that they went to.
    pub topic: String,
    /// Why they had been put aside.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A stage by its consumer group.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Name for people.
    pub name: &'static str,
    /// Full name of its group.
    pub group: String,
    /// Full names of the topics that it reads.
    pub topics: Vec<String>,
}

/// What the two topics' records are read with.
pub struct PipelineReaders {
    /// Of topic `dead-letters`.
    pub letter: Reader<DeadLetter>,
    /// Of topic `stripe.events`.
    pub event: Reader<StripeEvent>,
}

/// Where to look.
pub struct PipelineConfig {
    /// The brokers.
    pub kafka: Kafka,
    /// In the order in which a record passes them.
    pub stages: Vec<Stage>,
    /// Full name of the topic.
    pub dead_letters: String,
    /// Full name of the topic.
    pub stripe_events: String,
    /// For both.
    pub readers: PipelineReaders,
    /// How dead letters are put back; without it the command is shown.
    pub replay: Option<Replay>,
    /// What the edge's spool may hold.
    pub spool_bytes: u64,
    /// Where the signing secrets of Stripe's endpoints are, if this machine has them.
    pub secrets_dir: Option<PathBuf>,
}

/// The pipeline as this process sees it. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

struct Inner {
    kafka: Kafka,
    stages: Vec<Stage>,
    dead_letters: String,
    stripe_events: String,
    readers: Mutex<PipelineReaders>,
    replay: Option<Replay>,
    spool_bytes: u64,
    secrets_dir: Option<PathBuf>,
    seen: Kept<Seen>,
    events: Kept<Tail<Event>>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipeline")
    }
}

/// What Kafka said last, or why it said nothing.
type Kept<T> = tokio::sync::Mutex<Option<(Instant, Result<Arc<T>, String>)>>;

/// Lag and dead letters.
struct Seen {
    lag: Vec<(Stage, Vec<TopicLag>)>,
    letters: Tail<Letter>,
}

/// A dead letter without its bytes.
struct Letter {
    told_ms: i64,
    topic: String,
    partition: i32,
    offset: i64,
    stage: String,
    reason: String,
    detail: String,
    key: String,
    bytes: usize,
}

/// A Stripe event without its body.
pub struct Event {
    pub workspace: String,
    pub mode: String,
    pub id: String,
    pub kind: String,
    pub account: String,
    pub api_version: String,
    pub created_ms: i64,
    pub received_ms: i64,
}

impl Pipeline {
    /// Nothing is read before somebody looks.
    pub fn new(config: PipelineConfig) -> Self {
        Self(Arc::new(Inner {
            kafka: config.kafka,
            stages: config.stages,
            dead_letters: config.dead_letters,
            stripe_events: config.stripe_events,
            readers: Mutex::new(config.readers),
            replay: config.replay,
            spool_bytes: config.spool_bytes,
            secrets_dir: config.secrets_dir,
            seen: Kept::default(),
            events: Kept::default(),
        }))
    }

    async fn seen(&self) -> Result<Arc<Seen>, String> {
        let inner = Arc::clone(&self.0);
        kept(&self.0.seen, move || inner.look()).await
    }

    /// The newest events that Stripe sent, of all workspaces.
    pub async fn stripe_events(&self) -> Result<Arc<Tail<Event>>, String> {
        let inner = Arc::clone(&self.0);
        kept(&self.0.events, move || inner.look_at_events()).await
    }

    /// How many signing secrets a workspace has on this machine; none, if it is not told where they would be.
    pub fn secrets(&self, workspace: &str) -> Option<usize> {
        let dir = self.0.secrets_dir.as_ref().filter(|dir| dir.is_dir())?;
        // The name comes from a request: it must not lead out of the directory.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !workspace.bytes().all(plain) {
            return Some(0);
        }
        let files = std::fs::read_dir(dir.join(workspace))
            .into_iter()
            .flatten()
            .flatten();
        let is_file = |entry: &std::fs::DirEntry| entry.path().metadata().is_ok_and(|found| found.is_file());
        let name = workspace.to_ascii_uppercase().replace('-', "_");
        let in_environment =
            std::env::var(format!("TRIBUTARY_STRIPE_SECRET_{name}")).is_ok_and(|v| !v.is_empty());
        Some(files.filter(is_file).count() + usize::from(in_environment))
    }
}

impl Inner {
    fn look(&self) -> KafkaResult<Seen> {
        let mut lag = Vec::new();
        for stage in &self.stages {
            lag.push((stage.clone(), lag::of(&self.kafka, stage)?));
        }
        let letters = tail::newest(&self.kafka, &self.dead_letters, LETTERS, |message| {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let value = message.payload().unwrap_or_default();
            let told_ms = message.timestamp().to_millis().unwrap_or_default();
            match (readers.letter)(value) {
                Ok(letter) => Letter {
                    told_ms,
                    key: String::from_utf8_lossy(&letter.key).into_owned(),
                    bytes: letter.value.len(),
                    topic: letter.topic,
                    partition: letter.partition,
                    offset: letter.offset,
                    stage: letter.stage,
                    reason: letter.reason,
                    detail: letter.detail,
                },
                // Shown all the same: it is there, and somebody should look.
                Err(error) => Letter {
                    told_ms,
                    key: String::new(),
                    bytes: value.len(),
                    topic: self.dead_letters.clone(),
                    partition: message.partition(),
                    offset: message.offset(),
                    stage: String::new(),
                    reason: "unreadable".to_owned(),
                    detail: format!("{error:#}"),
                },
            }
        })?;
        Ok(Seen { lag, letters })
    }

    fn look_at_events(&self) -> KafkaResult<Tail<Event>> {
        let read = |message: &rdkafka::message::BorrowedMessage<'_>| {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            (readers.event)(message.payload().unwrap_or_default()).ok()
        };
        let tail = tail::newest(&self.kafka, &self.stripe_events, EVENTS, read)?;
        Ok(tail.map(|event| Event {
            workspace: event.workspace,
            mode: event.mode,
            id: event.id,
            kind: event.event_type,
            account: event.account,
            api_version: event.api_version,
            created_ms: event.created,
            received_ms: event.received,
        }))
    }
}

/// What is fresh, else what `look` finds; one looks for all who wait.
async fn kept<T: Send + Sync + 'static>(
    kept: &Kept<T>,
    look: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<Arc<T>, String> {
    let mut last = kept.lock().await;
    if let Some((_, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return found.clone();
    }
    let found = match tokio::task::spawn_blocking(look).await {
        Ok(Ok(found)) => Ok(Arc::new(found)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the pipeline cannot be seen");
            Err("Kafka does not answer.".to_owned())
        }
        Err(error) => {
            tracing::error!(%error, "looking at the pipeline ended early");
            Err("Kafka could not be asked.".to_owned())
        }
    };
    *last = Some((Instant::now(), found.clone()));
    found
}

/// Sums of a metric of this process by the value of a label; empty if it has no such metric.
fn metric(text: &str, name: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let label = format!("{label}=\"");
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let (labels, value) = match rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
            Some(parts) => parts,
            // Without labels; or a longer name, whose rest is no number.
            None => ("", rest),
        };
        let Ok(value) = value.trim().parse::<f64>() else {
            continue;
        };
        let of = labels
            .split_once(&label)
            .and_then(|(_, rest)| rest.split('"').next());
        *sums.entry(of.unwrap_or_default().to_owned()).or_default() += value;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_by_label_and_absent_ones_are_none() {
        let text = "# TYPE edge_spool_bytes gauge\nedge_spool_bytes 12\nedge_spool_bytes_more 5\n\
                    facts{verdict=\"held\",partition=\"0\"} 2\nfacts{verdict=\"held\",partition=\"1\"} 3\n";
        assert_eq!(metric(text, "edge_spool_bytes", "x").get(""), Some(&12.0));
        assert_eq!(metric(text, "facts", "verdict").get("held"), Some(&5.0));
        assert!(metric(text, "nothing", "verdict").is_empty());
    }
}
