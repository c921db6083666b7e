//! Sending one event until somebody has it.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tokio::sync::{Semaphore, watch};

use crate::WebhooksConfig;
use crate::payload::Payload;
use crate::subscription::Turn;
use crate::{secrets, signature};

const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// An event that is old already when it is first tried, as after a pause of this role or with an earlier `from`, is
/// tried for so long at least.
const TRIED_FOR: Duration = Duration::from_secs(3600);
const NO_SECRET: &str = "no_secret";

/// What became of an event.
#[derive(Debug)]
pub enum Outcome {
    /// The address has it.
    Delivered,
    /// Nobody has taken it for too long; why not, the last time.
    GivenUp(String),
    /// The process stops first.
    PutOff,
}

/// Where to.
#[derive(Debug)]
pub struct Target {
    pub workspace: String,
    pub id: String,
    pub url: String,
    /// How many requests it gets at once.
    pub at_once: Semaphore,
}

/// Why an attempt failed.
struct Failure {
    reason: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

/// Sends to every address.
pub struct Sender {
    http: Client,
    secrets_dir: PathBuf,
    retry: Duration,
    give_up_after: Duration,
}

impl Sender {
    pub fn new(config: &WebhooksConfig) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: Client::builder()
                // Where an event goes to is what was declared, and nothing that an address points at.
                .redirect(redirect::Policy::none())
                .timeout(Duration::from_millis(config.settings.timeout_ms))
                .user_agent(concat!("Tributary/", env!("CARGO_PKG_VERSION")))
                .build()?,
            secrets_dir: config.secrets_dir.clone(),
            retry: config.retry(),
            give_up_after: Duration::from_secs(config.settings.give_up_after_s),
        })
    }

    /// Sends an event that was written at `written`, again and again.
    pub async fn deliver(
        &self,
        target: &Target,
        payload: &Payload,
        written: SystemTime,
        stop: &mut watch::Receiver<Turn>,
    ) -> Outcome {
        let mut wait = self.retry;
        let begun = Instant::now();
        let tried_for = TRIED_FOR.min(self.give_up_after);
        loop {
            let turn = target.at_once.acquire().await;
            if *stop.borrow() != Turn::Run {
                return Outcome::PutOff;
            }
            let attempt = self.attempt(target, payload).await;
            drop(turn);
            let Err(failure) = attempt else {
                counted("delivered");
                return Outcome::Delivered;
            };
            counted(failure.reason);
            tracing::warn!(
                workspace = target.workspace,
                webhook = target.id,
                event = payload.event,
                id = payload.id,
                reason = failure.reason,
                "a webhook was not taken: {}",
                failure.detail
            );
            // A clock that was set back is no reason to give up, nor is a secret that is still to be written.
            let is_old = written.elapsed().unwrap_or_default() >= self.give_up_after;
            if is_old && begun.elapsed() >= tried_for && failure.reason != NO_SECRET {
                return Outcome::GivenUp(format!("{}: {}", failure.reason, failure.detail));
            }
            let pause = failure.retry_after.unwrap_or_default().max(scattered(wait));
            wait = (wait * 2).min(LONGEST_WAIT);
            tokio::select! {
                () = tokio::time::sleep(pause.min(LONGEST_WAIT)) => {}
                _ = stop.changed() => return Outcome::PutOff,
            }
        }
    }

    async fn attempt(&self, target: &Target, payload: &Payload) -> Result<(), Failure> {
        let fail = |reason, detail: String| Failure {
            reason,
            detail,
            retry_after: None,
        };
        let secrets = secrets::of(&self.secrets_dir, &target.workspace, &target.id).await;
        if secrets.is_empty() {
            let file = secrets::file(&self.secrets_dir, &target.workspace, &target.id);
            return Err(fail(NO_SECRET, format!("put its secret into {}", file.display())));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = now.as_secs().cast_signed();
        let mut request = self
            .http
            .post(&target.url)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in signature::headers(&secrets, &payload.id, seconds, &payload.body) {
            request = request.header(name, value);
        }
        match request.body(payload.body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Failure {
                retry_after: retry_after(&answer),
                ..fail("refused", format!("it answered {}", answer.status().as_u16()))
            }),
            // An address may hold what is nobody's business.
            Err(error) => Err(fail("unreachable", told(&error.without_url()))),
        }
    }
}

/// An error and its causes, in a line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn counted(outcome: &'static str) {
    metrics::counter!("webhooks_attempts_total", "outcome" => outcome).increment(1);
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Between half of it and all: what failed together is not repeated together.
fn scattered(wait: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or_default() % 512;
    wait / 2 + wait * part / 1024
}
