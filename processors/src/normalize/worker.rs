//! One input partition: records in, facts out, offset stored when all of them are in Kafka.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use tributary_avro::{Body, Config, Fact, StripeEvent, Track};
use tributary_domain::normalize::{self, Outcome, Shown, claimed_click, person_key};

use super::people::Latest;
use super::{Normalize, STRIPE, TRACKS};
use crate::crash_point;
use crate::dead::{Origin, Why};
use crate::kafka::log::LogError;
use crate::registry::{DecodeFailure, SchemaDecoder};
use crate::runtime::batch::{Batch, Record};
use crate::runtime::member::{Start, Task};
use crate::runtime::outbox::Outbox;
use crate::runtime::queue::Popped;

/// Outputs are waited for after so many records at most.
const ACKNOWLEDGE_RECORDS: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) struct Worker<'a> {
    stage: &'a Normalize,
    task: &'a Task,
    topic: usize,
    partition: i32,
    outbox: Outbox,
    latest: Latest,
}

/// Why a record was not processed.
enum Failure {
    /// It never will be.
    Dead(Option<i64>, Why),
    /// The worker shall end first; the record comes again.
    Stopped,
    /// The stage must end.
    Fatal(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Fatal(error)
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(stage: &'a Normalize, task: &'a Task) -> Result<Self> {
        let (topic, partition) = *task.partitions.first().context("no partition")?;
        let deadline = Instant::now() + 4 * PATIENCE;
        let committed = loop {
            match task.committed(topic, partition, PATIENCE) {
                Ok(committed) => break committed,
                Err(error) if Instant::now() < deadline && !task.is_stopped() => {
                    tracing::warn!(partition, %error, "asking for the committed offset");
                }
                Err(error) => return Err(error.into()),
            }
        };
        task.start(vec![(
            topic,
            partition,
            committed.map_or(Start::Beginning, Start::At),
        )])?;
        if let Some(next) = committed {
            task.progress(topic, partition, next);
        }
        Ok(Self {
            stage,
            task,
            topic,
            partition,
            outbox: stage.producers.outbox(),
            latest: Latest::default(),
        })
    }

    pub(super) fn run(mut self) -> Result<()> {
        loop {
            // All that has come goes out together: waiting for each fetch by itself, a steady trickle of small ones
            // would come faster than the producer lets batches go.
            let (mut next, mut records) = (None, 0);
            let mut wait = Duration::from_secs(1);
            let mut closed = false;
            while records < ACKNOWLEDGE_RECORDS {
                match self.task.queue.pop(wait) {
                    Popped::Closed => {
                        closed = true;
                        break;
                    }
                    Popped::Empty => break,
                    Popped::Item(batch) => {
                        if !self.process(&batch)? {
                            return Ok(());
                        }
                        next = batch.next().or(next);
                        records += batch.len();
                        wait = Duration::ZERO;
                    }
                }
            }
            self.acknowledge(next, records)?;
            if closed {
                return Ok(());
            }
        }
    }

    /// False: stopped before the end of the batch; its offset stays where it was.
    fn process(&mut self, batch: &Batch) -> Result<bool> {
        crash_point!("normalize.before_send");
        for record in batch.records() {
            match self.record(&record) {
                Ok(()) => {}
                Err(Failure::Stopped) => return Ok(false),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Dead(at, why)) => self.bury(&record, at, why)?,
            }
        }
        Ok(true)
    }

    /// Waits for all outputs, and then moves the offset up to them.
    fn acknowledge(&self, next: Option<i64>, records: usize) -> Result<()> {
        let Some(next) = next else { return Ok(()) };
        self.outbox
            .wait()
            .context("an output of normalize was not delivered")?;
        crash_point!("normalize.after_send");
        crash_point!("normalize.before_commit");
        self.task.store_offset(self.topic, self.partition, next);
        self.task.progress(self.topic, self.partition, next);
        metrics::counter!("tributary_normalize_records_total").increment(records as u64);
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        let mut shown = Vec::new();
        let (at, outcome) = match (self.topic, record.value) {
            (TRACKS, Some(value)) => {
                let track: Track = self.decode(&self.stage.tracks, value)?;
                let settings = self.settings(&track.workspace)?;
                let context = self.context(settings.as_deref());
                shown.extend(normalize::person_of_track(&track, &context));
                (track.at, normalize::track(&track, &context))
            }
            (STRIPE, Some(value)) => {
                let event: StripeEvent = self.decode(&self.stage.stripe, value)?;
                let settings = self.settings(&event.workspace)?;
                let context = self.context(settings.as_deref());
                shown = normalize::person_of_stripe(&event, &context);
                (event.created, normalize::stripe(&event, &context))
            }
            (_, Some(value)) => {
                let config: Config = self.decode(&self.stage.config, value)?;
                let outcome = normalize::config(&config, &self.stage.mail);
                (config.at, outcome)
            }
            // Compaction's business, not ours: a deletion is a record with `deleted`.
            (_, None) => return Ok(()),
        };
        match outcome {
            Ok(Outcome::Facts(facts)) => {
                facts.iter().try_for_each(|fact| self.send(fact))?;
                // Only then: what is a dead letter is told of nobody.
                shown.iter().try_for_each(|shown| self.show(shown))
            }
            Ok(Outcome::Ignored(why)) => {
                metrics::counter!("tributary_normalize_ignored_total", "why" => why).increment(1);
                Ok(())
            }
            Err(rejection) => Err(Failure::Dead(
                Some(at),
                Why {
                    reason: rejection.reason,
                    detail: rejection.detail,
                },
            )),
        }
    }

    fn context<'b>(
        &'b self,
        settings: Option<&'b tributary_domain::rules::Workspace>,
    ) -> normalize::Context<'b> {
        normalize::Context {
            settings,
            mail: &self.stage.mail,
        }
    }

    fn settings(
        &self,
        workspace: &str,
    ) -> Result<Option<std::sync::Arc<tributary_domain::rules::Workspace>>, Failure> {
        loop {
            let error = match self.stage.workspaces.get(workspace, &|| self.task.is_stopped()) {
                Ok(settings) => return Ok(settings),
                Err(LogError::Stopped) => return Err(Failure::Stopped),
                Err(error @ LogError::DataLoss { .. }) => return Err(Failure::Fatal(error.into())),
                Err(error) => error,
            };
            tracing::warn!(%error, "reading the settings of workspaces");
            if self.task.queue.wait_closed(Duration::from_secs(1)) {
                return Err(Failure::Stopped);
            }
        }
    }

    fn decode<T: serde::de::DeserializeOwned>(
        &self,
        decoder: &SchemaDecoder<T>,
        value: &[u8],
    ) -> Result<T, Failure> {
        loop {
            match decoder.decode_blocking(value) {
                Ok(decoded) => return Ok(decoded),
                Err(DecodeFailure::Dead { reason, detail }) => {
                    return Err(Failure::Dead(None, Why { reason, detail }));
                }
                Err(DecodeFailure::Retry(why)) => {
                    tracing::warn!(why, "waiting for the schema registry");
                    if self.task.queue.wait_closed(Duration::from_secs(1)) {
                        return Err(Failure::Stopped);
                    }
                }
            }
        }
    }

    fn send(&self, fact: &Fact) -> Result<(), Failure> {
        let tenant = format!("{}/{}", fact.workspace, fact.mode);
        let (topic, key, encoder) = match claimed_click(fact) {
            Some(click) => (&self.stage.claims_topic, click, &self.stage.claims),
            None => (&self.stage.facts_topic, tenant.as_str(), &self.stage.facts),
        };
        let value = encoder.encode(fact).map_err(anyhow::Error::from)?;
        let mut headers = OwnedHeaders::new_with_capacity(3);
        for (key, value) in [
            ("event-type", event_type(&fact.body)),
            ("workspace", &fact.workspace),
            ("mode", &fact.mode),
        ] {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        match self.outbox.send(topic, key.as_bytes(), &value, Some(headers)) {
            Ok(()) => Ok(()),
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)) => Err(Failure::Dead(
                Some(fact.at),
                Why {
                    reason: "too_large",
                    detail: format!("its fact has {} bytes", value.len()),
                },
            )),
            Err(error) => Err(Failure::Fatal(error.into())),
        }
    }

    fn show(&mut self, shown: &Shown) -> Result<(), Failure> {
        let person = &shown.person;
        let key = person_key(&person.workspace, &person.mode, &person.customer);
        let erased = self.stage.workspaces.erased(&key);
        let people = &self.stage.people;
        Ok(people.tell(shown, erased, &mut self.latest, &self.outbox)?)
    }

    fn bury(&self, record: &Record<'_>, at: Option<i64>, why: Why) -> Result<()> {
        let origin = Origin {
            stage: "normalize",
            topic: self.task.topic(self.topic),
            partition: self.partition,
        };
        let letter = self.stage.dead.letter(origin, record, at, why)?;
        self.outbox
            .send(&self.stage.dead.topic, record.key, &letter, None)?;
        Ok(())
    }
}

fn event_type(body: &Body) -> &'static str {
    match body {
        Body::Click(_) => "click",
        Body::Lead(_) => "lead",
        Body::Sale(_) => "sale",
        Body::Identify(_) => "identify",
        Body::Redemption(_) => "redemption",
        Body::Customer(_) => "customer",
        Body::Session(_) => "session",
        Body::Invoice(_) => "invoice",
        Body::InvoicePayment(_) => "invoice_payment",
        Body::Charge(_) => "charge",
        Body::PaymentIntent(_) => "payment_intent",
        Body::Refund(_) => "refund",
        Body::Dispute(_) => "dispute",
        Body::Subscription(_) => "subscription",
        Body::Period(_) => "period",
        Body::CreditNote(_) => "credit_note",
        Body::Assignment(_) => "assignment",
        Body::PromotionCode(_) => "promotion_code",
        Body::Rule(_) => "rule",
        Body::Command(_) => "command",
        Body::ClickTotals(_) => "click_totals",
        Body::PartnerTotals(_) => "partner_totals",
        Body::Account(_) => "account",
        Body::Price(_) => "price",
        Body::Coupon(_) => "coupon",
    }
}
