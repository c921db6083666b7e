//! One subscription: its workspace's part of the ledger, from its own position on, to its address.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tributary_avro::{Commission, Conversion, DeadLetter, Encoder, Refund, Topic};
use tributary_domain::ledger::Row;
use tributary_domain::rules::Webhook;
use tributary_domain::tenant::{Tenant, partition};
use tributary_processors::kafka::Settings;
use tributary_processors::kafka::log::is_passing;
use tributary_processors::registry::{DecodeFailure, Registry, SchemaDecoder};

use crate::WebhooksConfig;
use crate::delivery::{Outcome, Sender, Target};
use crate::payload::{Payload, event, payload};
use crate::progress::Progress;

const LEDGER: [Topic; 3] = [Topic::Conversions, Topic::Refunds, Topic::Commissions];
/// Events on their way or waiting for a repeat; no more are read then.
const OPEN_LIMIT: usize = 500;
const AT_ONCE: usize = 8;
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Kafka forgets a position of a group without members a week after it was committed, moved or not; and a process that
/// slept may have put it back.
const COMMIT_ANYWAY: Duration = Duration::from_secs(30);
const KAFKA_PATIENCE: Duration = Duration::from_secs(10);
/// After a failure of Kafka or the registry, which are asked again until they answer.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What all subscriptions of a process share.
pub struct Shared {
    kafka: Settings,
    sender: Sender,
    conversions: Arc<SchemaDecoder<Conversion>>,
    refunds: Arc<SchemaDecoder<Refund>>,
    commissions: Arc<SchemaDecoder<Commission>>,
    letters: Arc<Encoder<DeadLetter>>,
    producer: FutureProducer,
}

impl Shared {
    pub async fn new(config: &WebhooksConfig, registry: &Registry) -> Result<Self> {
        Ok(Self {
            sender: Sender::new(config)?,
            conversions: registry.decoder(Topic::Conversions).await?,
            refunds: registry.decoder(Topic::Refunds).await?,
            commissions: registry.decoder(Topic::Commissions).await?,
            letters: registry.encoder(Topic::DeadLetters).await?,
            producer: config.kafka.producer().create()?,
            kafka: config.kafka.clone(),
        })
    }

    /// Makes Kafka forget the position of a subscription that was taken back.
    pub async fn forget(&self, subscription: &Subscription) {
        let group = subscription.group(&self.kafka);
        let deleted = async {
            let admin: AdminClient<DefaultClientContext> = self.kafka.client().create()?;
            admin.delete_groups(&[&group], &AdminOptions::new()).await
        };
        match deleted.await.as_deref() {
            Ok([Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))]) => {}
            other => tracing::warn!(group, ?other, "the position of a withdrawn webhook stays"),
        }
    }

    async fn row(&self, topic: Topic, value: &[u8]) -> Result<Row, DecodeFailure> {
        Ok(match topic {
            Topic::Conversions => Row::Conversion(Box::new(self.conversions.decode(value).await?)),
            Topic::Refunds => Row::Refund(Box::new(self.refunds.decode(value).await?)),
            _ => Row::Commission(Box::new(self.commissions.decode(value).await?)),
        })
    }
}

/// What a subscription is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Go on.
    Run,
    /// End, and keep the position.
    End,
    /// End: another process has it now, whose position must not be put back.
    GiveUp,
}

/// A subscription as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub workspace: String,
    pub webhook: Webhook,
    /// When it was declared, UTC milliseconds.
    pub declared: i64,
}

/// One partition of one topic of the ledger.
struct Place {
    topic: Topic,
    name: String,
    partition: i32,
    progress: Progress,
}

/// An event that somebody is to get.
struct Open {
    place: usize,
    topic: String,
    partition: i32,
    offset: i64,
    written: SystemTime,
    payload: Payload,
    /// As it stands in the ledger, for a dead letter.
    key: Vec<u8>,
    value: Vec<u8>,
    _counted: Counted,
}

/// One more event is open, as long as this lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("webhooks_open").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("webhooks_open").decrement(1.0);
    }
}

impl Subscription {
    /// Delivers until told to stop. What goes wrong is tried again.
    pub async fn run(self, shared: Arc<Shared>, mut stop: watch::Receiver<Turn>) {
        let (workspace, webhook) = (self.workspace.clone(), self.webhook.id.clone());
        tracing::info!(workspace, webhook, events = ?self.webhook.events, "the subscription begins");
        let target = Arc::new(Target {
            workspace: workspace.clone(),
            id: webhook.clone(),
            url: self.webhook.url.clone(),
            at_once: Semaphore::new(AT_ONCE),
        });
        while let Err(error) = self.follow(&shared, &target, &mut stop).await {
            tracing::warn!(workspace, webhook, "webhooks: {error:#}; trying again");
            tokio::select! {
                () = tokio::time::sleep(AGAIN_AFTER) => {}
                _ = stop.changed() => {}
            }
            if *stop.borrow() != Turn::Run {
                return;
            }
        }
    }

    async fn follow(
        &self,
        shared: &Arc<Shared>,
        target: &Arc<Target>,
        stop: &mut watch::Receiver<Turn>,
    ) -> Result<()> {
        let consumer = Arc::new(self.consumer(&shared.kafka)?);
        let (subscription, settings) = (self.clone(), shared.kafka.clone());
        let of = Arc::clone(&consumer);
        let mut places = spawn_blocking(move || subscription.places(&settings, &of)).await??;
        let from = self.webhook.since();
        let mut list = TopicPartitionList::new();
        for place in &places {
            let first = Offset::Offset(place.progress.committed(from).0);
            list.add_partition_offset(&place.name, place.partition, first)?;
        }
        consumer.assign(&list)?;
        let keys: Vec<String> = self.webhook.modes.iter().map(|mode| self.key(mode)).collect();
        let mut deliveries: JoinSet<(usize, i64, Outcome)> = JoinSet::new();
        let mut tick = interval(COMMIT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut committed = Committed {
            from,
            positions: Vec::new(),
            at: None,
        };
        while *stop.borrow() == Turn::Run {
            tokio::select! {
                biased;
                changed = stop.changed() => if changed.is_err() { break },
                Some(ended) = deliveries.join_next() => settle(&mut places, ended?),
                _ = tick.tick() => commit(&consumer, &places, &mut committed).await?,
                message = consumer.recv(), if deliveries.len() < OPEN_LIMIT => {
                    let message = match message {
                        Ok(message) => message,
                        Err(error) if is_passing(&error) => continue,
                        Err(error) => return Err(error).context("read the ledger"),
                    };
                    if let Some(open) = self.read(shared, &mut places, &keys, &message, stop).await? {
                        let (shared, target, stop) = (Arc::clone(shared), Arc::clone(target), stop.clone());
                        deliveries.spawn(async move { deliver(&shared, &target, open, stop).await });
                    }
                }
            }
        }
        // They know of the stop: what is under way ends, what waits is put off.
        while let Some(ended) = deliveries.join_next().await {
            settle(&mut places, ended?);
        }
        if *stop.borrow() == Turn::GiveUp {
            return Ok(());
        }
        commit(&consumer, &places, &mut committed).await
    }

    fn key(&self, mode: &str) -> String {
        Tenant::new(self.workspace.as_str(), mode).key()
    }

    /// The group that holds its position.
    pub fn group(&self, kafka: &Settings) -> String {
        // IDs have no dot.
        kafka.group(&format!("webhooks.{}.{}", self.workspace, self.webhook.id))
    }

    fn consumer(&self, kafka: &Settings) -> Result<StreamConsumer> {
        let mut config = kafka.client();
        config
            .set("group.id", self.group(kafka))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "1024");
        Ok(config.create()?)
    }

    /// Where the workspace's entries are, and how far this subscription is there. Blocks.
    fn places(&self, kafka: &Settings, consumer: &StreamConsumer) -> Result<Vec<Place>> {
        let mut list = TopicPartitionList::new();
        let mut ends = Vec::new();
        for topic in LEDGER {
            let name = kafka.topic(topic);
            let metadata = consumer.fetch_metadata(Some(&name), KAFKA_PATIENCE)?;
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            let count = found.map_or(0, |topic| topic.partitions().len());
            let count = i32::try_from(count)?;
            anyhow::ensure!(count > 0, "topic {name} does not exist: run `tributary init`");
            let numbers = self
                .webhook
                .modes
                .iter()
                .map(|mode| partition(self.key(mode).as_bytes(), count));
            for number in numbers.collect::<BTreeSet<_>>() {
                // Asked for before the times are: "the end" would be that of later.
                let (_, end) = consumer.fetch_watermarks(&name, number, KAFKA_PATIENCE)?;
                ends.push((topic, number, end));
                list.add_partition(&name, number);
            }
        }
        let known = consumer.committed_offsets(list.clone(), KAFKA_PATIENCE)?;
        let from = self.webhook.since();
        let since = from.unwrap_or(self.declared);
        list.set_all_offsets(Offset::Offset(since.max(0)))?;
        let by_time = consumer.offsets_for_times(list, KAFKA_PATIENCE)?;
        let mut places = Vec::new();
        for (topic, partition, end) in ends {
            let name = kafka.topic(topic);
            let committed = known.find_partition(&name, partition).context("position")?;
            committed.error()?;
            let time = by_time.find_partition(&name, partition).context("time")?;
            time.error()?;
            let known = match committed.offset() {
                Offset::Offset(offset) => Progress::restore(offset, committed.metadata(), from),
                _ => None,
            };
            let progress = match (known, time.offset()) {
                (Some(known), _) => known,
                (None, Offset::Offset(offset)) => Progress::new(offset),
                (None, _) => Progress::new(end),
            };
            places.push(Place {
                topic,
                name,
                partition,
                progress,
            });
        }
        Ok(places)
    }

    /// The event of a record, if it is this subscription's and still open.
    async fn read(
        &self,
        shared: &Shared,
        places: &mut [Place],
        keys: &[String],
        message: &BorrowedMessage<'_>,
        stop: &mut watch::Receiver<Turn>,
    ) -> Result<Option<Open>> {
        let offset = message.offset();
        let of_message =
            |place: &Place| place.name == message.topic() && place.partition == message.partition();
        let index = places
            .iter()
            .position(of_message)
            .context("a record of nowhere")?;
        let place = places.get_mut(index).context("place")?;
        if !place.progress.wants(offset) {
            return Ok(None);
        }
        let (key, value) = (
            message.key().unwrap_or_default(),
            message.payload().unwrap_or_default(),
        );
        if !keys.iter().any(|wanted| wanted.as_bytes() == key) {
            place.progress.done(offset);
            return Ok(None);
        }
        let row = loop {
            match shared.row(place.topic, value).await {
                Ok(row) => break row,
                Err(DecodeFailure::Retry(detail)) => {
                    tracing::warn!("schema registry: {detail}; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN_AFTER) => {}
                        // It stays open.
                        _ = stop.changed() => return Ok(None),
                    }
                }
                // The sink makes a dead letter of it: one is enough.
                Err(DecodeFailure::Dead { reason, detail }) => {
                    tracing::error!(
                        topic = place.name,
                        place.partition,
                        offset,
                        reason,
                        detail,
                        "passed over"
                    );
                    place.progress.done(offset);
                    return Ok(None);
                }
            }
        };
        if !self.webhook.events.contains(&event(&row)) {
            place.progress.done(offset);
            return Ok(None);
        }
        let millis = message.timestamp().to_millis().unwrap_or_default();
        Ok(Some(Open {
            place: index,
            topic: place.name.clone(),
            partition: place.partition,
            offset,
            _counted: Counted::new(),
            written: UNIX_EPOCH + Duration::from_millis(millis.max(0).cast_unsigned()),
            payload: payload(&row),
            key: key.to_vec(),
            value: value.to_vec(),
        }))
    }
}

async fn deliver(
    shared: &Shared,
    target: &Target,
    open: Open,
    mut stop: watch::Receiver<Turn>,
) -> (usize, i64, Outcome) {
    let sender = &shared.sender;
    let mut outcome = sender
        .deliver(target, &open.payload, open.written, &mut stop)
        .await;
    while let Outcome::GivenUp(why) = &outcome {
        let Err(error) = bury(shared, target, &open, why).await else {
            break;
        };
        tracing::error!(
            workspace = target.workspace,
            webhook = target.id,
            "no dead letter, trying again: {error:#}"
        );
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            _ = stop.changed() => outcome = Outcome::PutOff,
        }
    }
    (open.place, open.offset, outcome)
}

/// Makes a dead letter of an event that nobody took.
async fn bury(shared: &Shared, target: &Target, open: &Open, why: &str) -> Result<()> {
    let at = open.written.duration_since(UNIX_EPOCH).unwrap_or_default();
    let letter = DeadLetter {
        topic: open.topic.clone(),
        partition: open.partition,
        offset: open.offset,
        stage: "webhooks".to_owned(),
        reason: "not_delivered".to_owned(),
        detail: format!("{}/{} {}: {why}", target.workspace, target.id, open.payload.id),
        at: i64::try_from(at.as_millis())?,
        key: open.key.clone(),
        value: open.value.clone(),
    };
    let bytes = shared.letters.encode(&letter)?;
    let topic = shared.kafka.topic(Topic::DeadLetters);
    let record = FutureRecord::to(&topic).key(&open.key).payload(&bytes);
    let sent = shared.producer.send(record, KAFKA_PATIENCE).await;
    sent.map_err(|(error, _)| error)?;
    metrics::counter!("tributary_dead_letters_total", "stage" => "webhooks", "reason" => "not_delivered")
        .increment(1);
    Ok(())
}

fn settle(places: &mut [Place], (place, offset, outcome): (usize, i64, Outcome)) {
    if !matches!(outcome, Outcome::PutOff)
        && let Some(place) = places.get_mut(place)
    {
        place.progress.done(offset);
    }
}

/// What was committed last, and when.
struct Committed {
    /// Since when the subscription is told to send.
    from: Option<i64>,
    positions: Vec<(i64, String)>,
    at: Option<Instant>,
}

/// Commits what has changed. What fails is committed with the next.
async fn commit(consumer: &Arc<StreamConsumer>, places: &[Place], committed: &mut Committed) -> Result<()> {
    let now: Vec<_> = places
        .iter()
        .map(|place| place.progress.committed(committed.from))
        .collect();
    let is_fresh = committed.at.is_some_and(|at| at.elapsed() < COMMIT_ANYWAY);
    if now == committed.positions && is_fresh {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (place, (offset, metadata)) in places.iter().zip(&now) {
        let mut element = list.add_partition(&place.name, place.partition);
        element.set_offset(Offset::Offset(*offset))?;
        element.set_metadata(metadata);
    }
    let consumer = Arc::clone(consumer);
    match spawn_blocking(move || consumer.commit(&list, CommitMode::Sync)).await? {
        Ok(()) => {
            committed.positions = now;
            committed.at = Some(Instant::now());
        }
        Err(error) => tracing::warn!(%error, "commit the position of a subscription"),
    }
    Ok(())
}
