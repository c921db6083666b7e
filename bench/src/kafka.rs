//! Filling topics and looking at their ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use tributary_processors::kafka::Settings;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Failures(AtomicU64);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes many records; waits only when the client's queue is full.
pub struct Bulk(ThreadedProducer<Failures>);

impl Bulk {
    /// A producer as the stages have it, with this linger.
    pub fn new(kafka: &Settings, linger_ms: u32) -> Result<Self> {
        let mut config = kafka.producer();
        config.set("linger.ms", linger_ms.to_string());
        Ok(Self(config.create_with_context(Failures::default())?))
    }

    /// Queues one record; `at` is its time in Kafka, UTC milliseconds.
    pub fn send(&self, topic: &str, key: &[u8], value: &[u8], at: i64) -> Result<()> {
        let mut record = BaseRecord::to(topic).key(key).payload(value).timestamp(at);
        loop {
            match self.0.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Waits until Kafka has all of them.
    pub fn finish(self) -> Result<()> {
        self.0
            .flush(Duration::from_secs(120))
            .context("filling a topic")?;
        let failed = self.0.context().0.load(Ordering::Relaxed);
        ensure!(failed == 0, "{failed} records were not delivered");
        Ok(())
    }
}

/// Makes a topic that is not Tributary's. It keeps everything: records carry the times of what they tell, and the broker
/// would delete those of last year at its next look, in the middle of a measurement.
pub async fn create(kafka: &Settings, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    for result in admin
        .create_topics([&new], &AdminOptions::new().operation_timeout(Some(PATIENCE)))
        .await?
    {
        if let Err((name, code)) = result {
            bail!("creating topic {name}: {code}");
        }
    }
    Ok(())
}

/// Forgets a group's positions. Nobody may be in it.
pub async fn forget(kafka: &Settings, group: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create()?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let end = Instant::now() + PATIENCE;
    loop {
        let results = admin.delete_groups(&[group], &options).await?;
        match results.into_iter().next() {
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => return Ok(()),
            // The last member's leaving, or the coordinator's election, may still be on its way.
            Some(Err((name, code))) if Instant::now() > end => bail!("deleting group {name}: {code}"),
            Some(Err(_)) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Commits a position under a name of its own, so that Kafka has made its topic of positions: a cluster in use has it,
/// and whoever forms the first group ever would wait for it.
pub async fn warm_up(kafka: &Settings, topic: &str) -> Result<()> {
    let mut config = kafka.client();
    config
        .set("group.id", "bench-warm-up")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(0))?;
    let end = Instant::now() + PATIENCE;
    while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
        ensure!(
            Instant::now() < end,
            "the group coordinator does not come up: {error}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Number of records ever written to each partition, transaction markers included.
pub fn ends(kafka: &Settings, topic: &str, partitions: i32) -> Result<Vec<i64>> {
    let mut config = kafka.reader();
    // Else the end would be the last stable offset, and an open transaction would hide what is there.
    let consumer: BaseConsumer = config.set("isolation.level", "read_uncommitted").create()?;
    (0..partitions)
        .map(|partition| Ok(consumer.fetch_watermarks(topic, partition, PATIENCE)?.1))
        .collect()
}

/// Records of some topics that a group has not committed.
pub fn lag(kafka: &Settings, group: &str, topics: &[(String, i32)]) -> Result<i64> {
    let mut config = kafka.client();
    config.set("group.id", group).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            list.add_partition(topic, partition);
        }
    }
    let committed = consumer.committed_offsets(list, PATIENCE)?;
    let mut lag = 0;
    for element in committed.elements() {
        let end = consumer
            .fetch_watermarks(element.topic(), element.partition(), PATIENCE)?
            .1;
        lag += match element.offset() {
            Offset::Offset(offset) => end - offset,
            _ => end,
        };
    }
    Ok(lag)
}
