//! Clicks and signed webhooks at a steady pace, over HTTP, whatever the answers take.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tributary_domain::requests::sign;

use super::watch::Pending;

/// The workspace under load.
pub const WORKSPACE: &str = "bench";
const TICK: Duration = Duration::from_millis(10);
/// A webhook names a click that is at least so many clicks old.
const KNOWN_CLICKS: usize = 500;

/// A source of requests.
pub struct Traffic {
    inner: Arc<Inner>,
}

struct Inner {
    edge: String,
    secret: String,
    client: reqwest::Client,
    clicks: Arc<Pending>,
    sales: Arc<Pending>,
    known: Mutex<VecDeque<String>>,
    number: AtomicU64,
    failed: AtomicU64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    click_id: String,
}

impl Traffic {
    pub fn new(edge: String, secret: &str, clicks: Arc<Pending>, sales: Arc<Pending>) -> Self {
        let inner = Inner {
            edge,
            secret: secret.to_owned(),
            client: reqwest::Client::new(),
            clicks,
            sales,
            known: Mutex::default(),
            number: AtomicU64::default(),
            failed: AtomicU64::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Runs it. Gives how many requests were refused, broke, or could not be sent in time.
    pub async fn run(&self, clicks: u32, webhooks: u32, seconds: u32, sample: u32) -> Result<u64> {
        self.inner.failed.store(0, Ordering::Relaxed);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let begin = Instant::now();
        let (mut sent_clicks, mut sent_webhooks) = (0, 0);
        let mut running = JoinSet::new();
        while begin.elapsed() < Duration::from_secs(u64::from(seconds)) {
            ticks.tick().await;
            let elapsed = begin.elapsed().as_secs_f64();
            while f64::from(sent_clicks) < elapsed * f64::from(clicks) {
                let (inner, sampled) = (Arc::clone(&self.inner), sent_clicks % sample.max(1) == 0);
                running.spawn(async move { inner.count(inner.click(sampled).await) });
                sent_clicks += 1;
            }
            while f64::from(sent_webhooks) < elapsed * f64::from(webhooks) {
                let inner = Arc::clone(&self.inner);
                running.spawn(async move { inner.count(inner.webhook().await) });
                sent_webhooks += 1;
            }
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
        Ok(self.inner.failed.load(Ordering::Relaxed))
    }
}

impl Inner {
    fn count(&self, result: Result<()>) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn click(&self, sampled: bool) -> Result<()> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let body = r#"{"domain":"go.bench.test","key":"l0","referrer":"https://blog.example/a"}"#;
        let request = self
            .client
            .post(format!("{}/track/click", self.edge))
            .header("content-type", "application/json")
            .header(
                "user-agent",
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) Chrome/{}.0 Safari/537.36",
                    number % 200
                ),
            )
            .header(
                "x-forwarded-for",
                format!("11.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255),
            )
            .body(body);
        let answer: Answer = request.send().await?.error_for_status()?.json().await?;
        if sampled {
            self.clicks.add(answer.click_id.clone());
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_back(answer.click_id);
        if known.len() > 2 * KNOWN_CLICKS {
            known.pop_front();
        }
        Ok(())
    }

    async fn webhook(&self) -> Result<()> {
        let click = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() > KNOWN_CLICKS / 5 {
                known.pop_front()
            } else {
                None
            }
        };
        // Before there are clicks there is nothing that a payment could name.
        let Some(click) = click else { return Ok(()) };
        let seconds = crate::streams::now() / 1_000;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let body = session(&click, number, seconds);
        let signature = sign(body.as_bytes(), self.secret.as_bytes(), seconds);
        let request = self
            .client
            .post(format!("{}/webhooks/stripe/{WORKSPACE}", self.edge))
            .header("content-type", "application/json; charset=utf-8")
            .header("stripe-signature", signature)
            .body(body);
        request.send().await?.error_for_status()?;
        self.sales.add(format!("cs:cs_live_bench{number}"));
        Ok(())
    }
}

/// A paid checkout by payment link that names its click.
fn session(click: &str, number: u64, seconds: i64) -> String {
    serde_json::json!({
        "id": format!("evt_bench{number}"), "object": "event", "api_version": "2025-08-27.basil",
        "created": seconds, "livemode": true, "pending_webhooks": 1, "type": "checkout.session.completed",
        "request": {"id": null, "idempotency_key": null},
        "data": {"object": {
            "id": format!("cs_live_bench{number}"), "object": "checkout.session", "mode": "payment",
            "status": "complete", "payment_status": "paid", "livemode": true, "created": seconds - 60,
            "amount_subtotal": 4_900, "amount_total": 4_900, "currency": "usd",
            "client_reference_id": format!("dub_id_{click}"),
            "customer": null, "customer_creation": "if_required",
            "customer_details": {"email": format!("buyer{number}@shop.test"), "name": "A Buyer"},
            "discounts": [], "invoice": null, "metadata": {}, "payment_intent": format!("pi_bench{number}"),
            "payment_link": "plink_bench", "subscription": null,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        }},
    })
    .to_string()
}
