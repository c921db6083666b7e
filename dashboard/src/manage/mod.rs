//! Management of links and partners: reads from what topic `config` holds, writes into it.
//!
//! ```text
//!   request ─► claim the names ─► read the log up to the claims ─► plan ─► publish ─► read it back ─► answer
//!                (in topic config)        (feed.rs)            (domain::manage)              release the names
//! ```
//!
//! Any number of processes may do this at once. Invariant: records are published only while their names are held,
//! see [`claims`], and no later than [`OPERATION`] and [`DELIVERY`] after the first claim: sooner than others may
//! call it abandoned.

mod claims;
mod feed;
mod figures;
mod http;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::watch;
use tokio::time::timeout_at;
use tributary_avro::{Config, Encoder};
use tributary_domain::manage::{Answer, Catalog, Write};
use tributary_domain::requests::ApiError;

use crate::kafka::Kafka;
use claims::Claims;
pub use feed::ConfigReader;
pub(crate) use http::{BODY_LIMIT, handle, scope};

/// How long a request may wait for its names, until it publishes.
const OPERATION: Duration = Duration::from_secs(10);
/// How long a record may be on its way.
const DELIVERY: Duration = Duration::from_secs(5);
/// How often who waits looks whether the holder is still alive.
const LOOK: Duration = Duration::from_secs(1);

/// Where topic `config` is.
#[derive(Clone, Debug)]
pub struct ConfigTopic {
    /// The brokers.
    pub kafka: Kafka,
    /// Full name of the topic.
    pub name: String,
}

/// What was read of the topic so far.
#[derive(Default)]
struct View {
    catalog: Catalog,
    claims: Claims,
}

struct Shared {
    kafka: Kafka,
    topic: String,
    producer: FutureProducer,
    encoder: Encoder<Config>,
    view: RwLock<View>,
    /// Offset of the next record: all before it are in the view.
    position: watch::Sender<i64>,
    loaded: AtomicBool,
    stopped: AtomicBool,
}

/// Links and partners, read and written. Cheap to clone; the last one ends its thread.
#[derive(Clone)]
pub struct Management {
    shared: Arc<Shared>,
    _thread: Arc<StopOnDrop>,
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Relaxed);
    }
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Management")
    }
}

impl Management {
    /// Begins to read the topic.
    ///
    /// # Errors
    /// If the Kafka client refuses its settings or no thread can be started.
    pub fn start(topic: ConfigTopic, encoder: Encoder<Config>, read: ConfigReader) -> anyhow::Result<Self> {
        let ConfigTopic { kafka, name } = topic;
        let producer = kafka.client(&[
            ("enable.idempotence", "true"),
            ("message.timeout.ms", &DELIVERY.as_millis().to_string()),
            ("linger.ms", "0"),
        ])?;
        let shared = Arc::new(Shared {
            topic: name,
            producer,
            kafka,
            encoder,
            view: RwLock::default(),
            position: watch::Sender::new(0),
            loaded: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("config-feed".to_owned())
            .spawn(move || feed::run(&of_thread, read))?;
        Ok(Self {
            _thread: Arc::new(StopOnDrop(Arc::clone(&shared))),
            shared,
        })
    }

    /// What a partner is called.
    pub(crate) fn partner_name(&self, workspace: &str, id: &str) -> Option<String> {
        let view = self.shared.view();
        view.catalog.partner_name(workspace, id).map(str::to_owned)
    }

    /// The partner with an ID of the customer's own.
    pub(crate) fn partner_of_tenant(&self, workspace: &str, tenant: &str) -> Option<String> {
        let view = self.shared.view();
        view.catalog
            .partner_of_tenant(workspace, tenant)
            .map(str::to_owned)
    }

    /// What is declared, for as long as `read` takes: nothing is taken in meanwhile.
    pub(crate) fn catalog<R>(&self, read: impl FnOnce(&Catalog) -> R) -> R {
        read(&self.shared.view().catalog)
    }

    /// Whether the topic was read to its end once.
    pub(crate) fn is_loaded(&self) -> bool {
        self.shared.loaded.load(Relaxed)
    }
}

fn kafka_away(error: impl fmt::Display) -> ApiError {
    tracing::warn!(%error, "a change was not published");
    ApiError::unavailable("kafka did not acknowledge in time; ask again whether it was done")
}

impl Shared {
    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a request asks for, and answers once it has been read back.
    async fn write(&self, write: &Write, claimant: u64) -> Result<Answer, ApiError> {
        let deadline = Instant::now() + OPERATION;
        let mut held = BTreeSet::new();
        let result = self.claim_and_publish(write, claimant, &mut held, deadline).await;
        self.release(&held, claimant).await;
        result
    }

    async fn claim_and_publish(
        &self,
        write: &Write,
        claimant: u64,
        held: &mut BTreeSet<String>,
        deadline: Instant,
    ) -> Result<Answer, ApiError> {
        loop {
            let names = write.names(&self.view().catalog);
            if names.is_subset(held) {
                break;
            }
            // What it is about has changed meanwhile. All anew: two that wait for each other's names would wait long.
            self.release(held, claimant).await;
            held.clear();
            for name in names {
                held.insert(name.clone());
                self.claim(&name, claimant, deadline).await?;
            }
        }
        let at = jiff::Timestamp::now().as_millisecond();
        let plan = write.plan(&self.view().catalog, at)?;
        if Instant::now() >= deadline {
            return Err(ApiError::unavailable("others change the same"));
        }
        let published = self.publish(&plan.records).await;
        if published.is_err() {
            // They may still arrive: let nobody in before they cannot.
            held.clear();
        }
        if let Some(last) = published? {
            self.read_up_to(last).await?;
        }
        Ok(plan.answer)
    }

    async fn claim(&self, name: &str, claimant: u64, deadline: Instant) -> Result<(), ApiError> {
        self.tell(name, claims::CLAIM, claimant).await?;
        let mut position = self.position.subscribe();
        loop {
            let now = Instant::now();
            let abandoned = {
                let view = self.view();
                if view.claims.holds(name, claimant) {
                    return Ok(());
                }
                view.claims.abandoned(name, now)
            };
            if now >= deadline {
                return Err(ApiError::unavailable("others change the same"));
            }
            if let Some(left) = abandoned {
                tracing::warn!(name, "released a claim that was left behind");
                self.tell(name, claims::RELEASE, left).await?;
            }
            // Either something was read, or it is time to look again.
            timeout_at((now + LOOK).min(deadline).into(), position.changed())
                .await
                .ok();
        }
    }

    async fn release(&self, names: &BTreeSet<String>, claimant: u64) {
        for name in names {
            if let Err(error) = self.tell(name, claims::RELEASE, claimant).await {
                // Whoever wants it next finds it abandoned.
                tracing::warn!(%error, name, "a claim was not released");
            }
        }
    }

    async fn tell(&self, name: &str, what: &str, claimant: u64) -> Result<(), ApiError> {
        let (key, claimant) = (format!("{}{name}", claims::PREFIX), format!("{claimant:016x}"));
        let headers = OwnedHeaders::new().insert(Header {
            key: what,
            value: Some(&claimant),
        });
        let record = FutureRecord::<str, [u8]>::to(&self.topic)
            .partition(0)
            .key(&key)
            .headers(headers);
        let sent = self.producer.send(record, DELIVERY).await;
        sent.map(|_| ()).map_err(|(error, _)| kafka_away(error))
    }

    /// Publishes records in their order; gives the offset of the last.
    async fn publish(&self, records: &[Config]) -> Result<Option<i64>, ApiError> {
        let mut on_their_way = Vec::new();
        for config in records {
            let key = format!("{}/{}/{}", config.workspace, config.kind, config.id);
            let value = self.encoder.encode(config).map_err(kafka_away)?;
            let record = FutureRecord::to(&self.topic).key(&key).payload(&value);
            on_their_way.push(
                self.producer
                    .send_result(record)
                    .map_err(|(error, _)| kafka_away(error))?,
            );
        }
        let mut last = None;
        for sent in on_their_way {
            let delivery = sent
                .await
                .map_err(kafka_away)?
                .map_err(|(error, _)| kafka_away(error))?;
            last = last.max(Some(delivery.offset));
        }
        Ok(last)
    }

    async fn read_up_to(&self, offset: i64) -> Result<(), ApiError> {
        let mut position = self.position.subscribe();
        let read = timeout_at(
            (Instant::now() + DELIVERY).into(),
            position.wait_for(|next| *next > offset),
        )
        .await;
        match read {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ApiError::unavailable("it was done, and is not shown yet")),
        }
    }
}
