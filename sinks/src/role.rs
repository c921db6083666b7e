//! The sink role: one thread that reads, decodes and cuts batches; tasks that insert them; one thread that commits.
//!
//! ```text
//!   poll thread ──Flight──► task: commit the plan, dead letters, inserts ──Landed──► poll thread: commit, next
//!        │                          │                                                  │
//!        └── rebalance: epochs ◄────┴──────────── commit thread ◄──────────────────────┘
//! ```
//! Beside them, topic people goes its own and simpler way: see `people`.
//!
//! Invariant: nothing is inserted before its plan is committed, and a commit is only sent by the owner of the
//! partition in its present epoch.

mod assignment;
mod batch;
mod commit;
mod land;
mod letters;
mod lost_rows;
mod people;
mod poll;
mod programs;
mod repeats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use crate::client::{Client, ClientError};
use crate::config::{ClickHouseConfig, SinkConfig};
use crate::planner::PlanError;
use crate::schemas::{SchemaError, Schemas};
use crate::tables::{Table, describe};
use assignment::{Assignments, Context, SinkConsumer};
use commit::Committer;
use land::Shared;
use letters::DeadLetters;
use people::People;

/// Longer than a client waits for the answer to its leaving.
const CLOSES_WITHIN: Duration = Duration::from_secs(8);

/// Why the sink stopped.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Kafka refuses, for good.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The log begins after, or ends before, the position that was committed: records were lost.
    #[error(
        "{topic}[{partition}]: the committed position is not in the log: {detail}. Records were deleted before the sink read them, or the topic was made anew; compare the table with the log and set the group's offset by hand"
    )]
    Position {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What Kafka said.
        detail: String,
    },
    /// A plan cannot be followed.
    #[error("{topic}[{partition}]: {source}")]
    Plan {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Why.
        #[source]
        source: PlanError,
    },
    /// The group knows no position, but the table has rows of this partition.
    #[error(
        "{topic}[{partition}]: the group has no committed position, but {table} already holds rows from offset {start} on. Its offsets expired or the group is another one; set the group's offset by hand, or empty the table and raise sink.generation"
    )]
    Forgotten {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Table.
        table: String,
        /// Where reading would start.
        start: i64,
    },
    /// A part of a range is in ClickHouse.
    #[error(
        "{table}: of offsets {first} to {last} of {topic}[{partition}] in ClickHouse partition {month} there are {found} rows, and {expected} were expected: neither sending nor skipping is right"
    )]
    Torn {
        /// Table.
        table: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// First offset.
        first: i64,
        /// Last offset.
        last: i64,
        /// ClickHouse partition.
        month: u32,
        /// Rows found.
        found: u64,
        /// Rows of the plan.
        expected: u64,
    },
    /// ClickHouse refuses, for good.
    #[error(transparent)]
    ClickHouse(#[from] ClientError),
    /// The registry refuses, for good.
    #[error(transparent)]
    Schemas(#[from] SchemaError),
    /// A bug.
    #[error("internal: {0}")]
    Internal(String),
}

/// Runs the sink until `shutdown` is done. What was read by then is inserted and committed first.
///
/// # Errors
/// If something is wrong that waiting does not mend. Servers that are away are waited for.
pub async fn run(
    config: SinkConfig,
    clickhouse: ClickHouseConfig,
    schemas: Arc<dyn Schemas>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), SinkError> {
    let client = Client::new(&clickhouse, config.compress);
    let mut tables = Vec::new();
    if config.pipeline {
        tables = Table::pipeline(&clickhouse.database, &config.topic_prefix);
    }
    for foreign in &config.tables {
        tables.push(describe(&client, foreign).await?);
    }
    let assignments = Arc::new(Assignments::default());
    let stop = Arc::new(AtomicBool::new(false));
    let context = Context::new(assignments.clone(), stop.clone());
    let consumer: Arc<SinkConsumer> = Arc::new(consumer_config(&config).create_with_context(context)?);
    let topics: Vec<&str> = tables.iter().map(|table| table.topic.as_str()).collect();
    consumer.subscribe(&topics)?;
    let committer = Committer::start(&consumer, assignments.clone())?;
    let letters = Arc::new(DeadLetters::new(&config, schemas.clone())?);
    let mut people = JoinSet::new();
    if config.pipeline {
        let mut people_of = People::new(
            &config,
            &clickhouse,
            (letters.clone(), schemas.clone()),
            stop.clone(),
        )?;
        people.spawn(async move {
            let ended = people_of.run().await;
            close("people", people_of).await;
            ended
        });
    }
    let shared = Arc::new(Shared {
        client,
        committer,
        letters,
        deduplication_window: u64::from(clickhouse.deduplication_window),
    });
    let (done, mut finished) = tokio::sync::oneshot::channel();
    let mut poll = poll::Poll::new(
        config,
        tables,
        poll::Wiring {
            consumer,
            assignments,
            shared,
            schemas,
            runtime: Handle::current(),
            stop: stop.clone(),
        },
    );
    std::thread::Builder::new()
        .name("sink-poll".to_owned())
        .spawn(move || done.send((poll.run(), poll)).ok())
        .map_err(|error| SinkError::Internal(error.to_string()))?;
    tokio::pin!(shutdown);
    let gone = |_| SinkError::Internal("the poll thread ended by a panic".to_owned());
    tokio::select! {
        ended = &mut finished => {
            let (ended, poll) = ended.map_err(gone)?;
            close("sink", poll).await;
            return ended;
        }
        Some(ended) = people.join_next() => {
            stop.store(true, Ordering::Relaxed);
            return joined(ended);
        }
        () = &mut shutdown => {}
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = people.join_next().await {
        joined(ended)?;
    }
    let (ended, poll) = finished.await.map_err(gone)?;
    tracing::info!("what was read is in ClickHouse and committed");
    close("sink", poll).await;
    ended
}

/// Drops what holds a consumer, which leaves its group: on a thread of its own, and not waited for any longer than is
/// useful. Of a client that does not close, the group gives the partitions on when the session ends.
async fn close<T: Send + 'static>(group: &'static str, holder: T) {
    let closing = tokio::task::spawn_blocking(move || drop(holder));
    if tokio::time::timeout(CLOSES_WITHIN, closing).await.is_err() {
        tracing::warn!(group, "the Kafka client does not close, ending without");
    }
}

fn joined(ended: Result<Result<(), SinkError>, JoinError>) -> Result<(), SinkError> {
    ended.map_err(|error| SinkError::Internal(error.to_string()))?
}

fn consumer_config(config: &SinkConfig) -> ClientConfig {
    let mut kafka = ClientConfig::new();
    let settings = [
        ("bootstrap.servers", config.brokers.as_str()),
        ("group.id", config.group.as_str()),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // A position that is not in the log is lost data: an error, never a jump.
        ("auto.offset.reset", "error"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "2000"),
        ("max.poll.interval.ms", "300000"),
        // What waits in the client is memory too.
        ("queued.max.messages.kbytes", "16384"),
        ("queued.min.messages", "20000"),
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.max.bytes", "8388608"),
        ("receive.message.max.bytes", "16777216"),
        ("fetch.wait.max.ms", "50"),
        // The default, a second, idles a partition whenever its queue was full once: a seventh of the throughput.
        ("fetch.queue.backoff.ms", "5"),
        ("fetch.error.backoff.ms", "100"),
        ("topic.metadata.refresh.interval.ms", "30000"),
        ("allow.auto.create.topics", "false"),
    ];
    for (name, value) in settings {
        kafka.set(name, value);
    }
    for (name, value) in &config.kafka {
        kafka.set(name, value);
    }
    kafka
}
