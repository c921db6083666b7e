//! Clicks and claims at a steady pace, and how long a claim takes to become a visible, attributed conversion.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use rdkafka::consumer::BaseConsumer;
use rdkafka::{Message, Offset};
use tributary_avro::{Click, Conversion, Decoder, Encoder, Fact, Op, Topic};

use super::judge;
use super::population::{Shape, claim};
use crate::figures::{check, figure, latencies};
use crate::ground::Ground;
use crate::kafka::Bulk;

/// A claim follows its click after so long.
const CLAIM_AFTER_MS: i64 = 200;
/// The first seconds are not judged.
const WARM_UP_MS: i64 = 5_000;

struct Sender {
    shape: Shape,
    clicks: Arc<Encoder<Click>>,
    facts: Arc<Encoder<Fact>>,
    topics: [String; 2],
    bulk: Bulk,
}

/// UTC milliseconds.
pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or_default()
}

/// Runs it: `per_second` clicks, every tenth claimed. Gives whether all became conversions, and p99 in milliseconds.
pub async fn run(ground: &Ground, shape: Shape, per_second: u64, seconds: u64) -> Result<(bool, f64)> {
    let (consumer, decoder) = judge::reader(ground, Offset::End, 1).await?;
    // The position at the end is only taken once the consumer has asked for it.
    let consumer = tokio::task::spawn_blocking(move || {
        consumer.poll(Duration::from_secs(2));
        consumer
    })
    .await?;
    let mut sender = Sender {
        shape: Shape {
            clicks: per_second * seconds,
            seed: shape.seed.wrapping_add(1_000),
            ..shape
        },
        clicks: ground.encoder(Topic::Clicks).await?,
        facts: ground.encoder(Topic::Claims).await?,
        topics: [
            ground.kafka.topic(Topic::Clicks),
            ground.kafka.topic(Topic::Claims),
        ],
        bulk: Bulk::new(&ground.kafka, 1)?,
    };
    let wanted = sender.shape.clicks.div_ceil(10);
    let give_up = Instant::now() + Duration::from_secs(seconds + 30);
    let reading = std::thread::spawn(move || read(&consumer, &decoder, wanted as usize, give_up));
    let behind = tokio::task::spawn_blocking(move || sender.run(per_second)).await??;
    let (found, mut millis) = reading.join().map_err(|_| anyhow!("the reader panicked"))??;
    figure("paced.clicks", per_second, "records/s");
    figure("paced.claims", per_second / 10, "records/s");
    figure("paced.generator_fell_behind", behind, "times");
    figure("paced.conversions", found, "records");
    let p99 = latencies("paced.latency", &mut millis);
    Ok((check("paced.check", found as u64 == wanted), p99))
}

impl Sender {
    /// Sends it all; how often it was a second late.
    fn run(&mut self, per_second: u64) -> Result<u64> {
        let start = now();
        let (mut sent, mut behind) = (0, 0);
        let mut due: VecDeque<(i64, Click)> = VecDeque::new();
        while sent < self.shape.clicks || !due.is_empty() {
            let now = now();
            let goal = self
                .shape
                .clicks
                .min((now - start).cast_unsigned() * per_second / 1_000);
            behind += u64::from(goal.saturating_sub(sent) > per_second);
            let [clicks, claims] = &self.topics;
            while sent < goal {
                let click = self.shape.click(sent, now);
                self.bulk
                    .send(clicks, click.id.as_bytes(), &self.clicks.encode(&click)?, now)?;
                if sent.is_multiple_of(10) {
                    due.push_back((now + CLAIM_AFTER_MS, click));
                }
                sent += 1;
            }
            while due.front().is_some_and(|(at, _)| *at <= now) {
                let Some((_, click)) = due.pop_front() else { break };
                let fact = claim(&click, &format!("usr_r_{}", click.id), "Sign up", now);
                self.bulk
                    .send(claims, click.id.as_bytes(), &self.facts.encode(&fact)?, now)?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(behind)
    }
}

/// Attributed leads, and the milliseconds from each claim's sending to its row.
fn read(
    consumer: &BaseConsumer,
    decoder: &Decoder<Conversion>,
    wanted: usize,
    give_up: Instant,
) -> Result<(usize, Vec<f64>)> {
    let mut found = HashSet::new();
    let mut millis = Vec::new();
    let mut start = None;
    while found.len() < wanted && Instant::now() < give_up {
        let Some(message) = consumer.poll(Duration::from_millis(5)) else {
            continue;
        };
        let message = message?;
        let now = now();
        let entry = decoder.decode(message.payload().context("a row without a value")?)?;
        if entry.op == Op::Retract || entry.kind != "lead" || entry.attributed_by != "click" {
            continue;
        }
        let start = *start.get_or_insert(entry.at);
        if found.insert(entry.id) && entry.at - start >= WARM_UP_MS {
            millis.push((now - entry.at) as f64);
        }
    }
    Ok((found.len(), millis))
}
