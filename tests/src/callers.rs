//! Callers that keep an edge under load, remember what they were answered, and compare it with ClickHouse.
//!
//! Half of what they send are clicks of scripts, three tenths redirects, a tenth leads and a tenth payments that Stripe
//! tells of, each of the caller's last click.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tributary_domain::requests::sign;

use crate::ledger::ClickHouse;
use crate::pipeline::STRIPE_SECRET;

const KEY: &str = "sk_callers";
const HOST: &str = "go.acme.test";
/// Of a redirect that was answered without acknowledgement, whose edge died at once: a few for each caller.
const UNACKNOWLEDGED: usize = 6;

/// No two callers tell of the same customer.
static CALLERS: AtomicUsize = AtomicUsize::new(0);

/// What was answered well, and how many requests were not.
#[derive(Debug, Default)]
pub struct Answered {
    /// IDs of clicks.
    pub clicks: BTreeSet<String>,
    /// IDs of redirects.
    pub redirects: BTreeSet<String>,
    /// Customers who signed up.
    pub leads: BTreeSet<String>,
    /// Paid sessions.
    pub sales: BTreeSet<String>,
    /// Records of clicks that all this makes.
    pub visits: usize,
    /// Requests that were refused, or broke.
    pub refused: usize,
    callers: usize,
}

impl Answered {
    /// How many requests.
    pub fn requests(&self) -> usize {
        self.visits + self.leads.len() + self.sales.len()
    }

    /// Takes another's in.
    pub fn append(&mut self, mut other: Self) {
        self.clicks.append(&mut other.clicks);
        self.redirects.append(&mut other.redirects);
        self.leads.append(&mut other.leads);
        self.sales.append(&mut other.sales);
        self.visits += other.visits;
        self.refused += other.refused;
        self.callers += other.callers;
    }

    /// Wants all of it in ClickHouse, and no lead or payment twice. Gives the number of distinct clicks there.
    ///
    /// # Errors
    /// With what is lost or doubled.
    pub async fn is_in(&self, clickhouse: &ClickHouse) -> Result<usize> {
        let texts = async |sql: &str| -> Result<BTreeSet<String>> {
            Ok(clickhouse.texts(sql).await?.into_iter().collect())
        };
        let clicks = texts("SELECT id FROM clicks").await?;
        let net = "FROM conversions GROUP BY kind, customer, object HAVING sum(sign) = 1";
        let leads = texts(&format!("SELECT customer {net} AND kind = 'lead'")).await?;
        let sales = texts(&format!("SELECT object {net} AND kind = 'sale'")).await?;
        let lost = |what: &str, answered: &BTreeSet<String>, stored: &BTreeSet<String>, allowed: usize| {
            let lost: Vec<_> = answered.difference(stored).collect();
            ensure!(
                lost.len() <= allowed,
                "{} answered {what} are lost: {:?}",
                lost.len(),
                lost.first()
            );
            Ok(())
        };
        lost("clicks", &self.clicks, &clicks, 0)?;
        lost(
            "redirects",
            &self.redirects,
            &clicks,
            UNACKNOWLEDGED * self.callers,
        )?;
        lost("leads", &self.leads, &leads, 0)?;
        lost("payments", &self.sales, &sales, 0)?;
        for (kind, stored) in [("lead", leads.len()), ("sale", sales.len())] {
            let sum = format!("SELECT sum(sign) FROM conversions WHERE kind = '{kind}'");
            let net = usize::try_from(clickhouse.number(&sum).await?)?;
            ensure!(net == stored, "{net} of kind {kind} count, {stored} are");
        }
        clickhouse.roll_ups_hold().await?;
        Ok(clicks.len())
    }
}

/// The program of workspace `acme` that they call for.
pub fn program() -> String {
    format!(
        "workspace:\n  id: acme\n  domains: [{HOST}]\n  api_keys: [{{name: server, sha256: {}}}]\n\
         programs:\n  - id: affiliates\npartners:\n  - {{id: ada}}\n\
         links:\n  - {{key: ada, url: \"https://acme.test/\", partner: ada}}\n",
        hex::encode(Sha256::digest(KEY))
    )
}

/// Callers at work.
pub struct Callers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Result<Answered>>>,
}

/// How they call.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many at once.
    pub callers: usize,
    /// From the beginning of one request of a caller to that of the next, if it is answered by then.
    pub each: Duration,
    /// Addresses of visitors of each caller, by turns; 0: visitors have none, and no click is a repeat.
    pub visitors: usize,
}

impl Callers {
    /// Starts them.
    ///
    /// # Errors
    /// If there is no client.
    pub fn start(edge: &str, pace: Pace) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for _ in 0..pace.callers {
            let caller = Caller {
                http: Client::builder()
                    .timeout(Duration::from_secs(20))
                    .redirect(reqwest::redirect::Policy::none())
                    .build()?,
                edge: edge.to_owned(),
                number: CALLERS.fetch_add(1, Relaxed),
                visitors: pace.visitors,
            };
            tasks.push(tokio::spawn(caller.run(pace.each, Arc::clone(&stop))));
        }
        Ok(Self { stop, tasks })
    }

    /// Stops them when their last requests are answered.
    ///
    /// # Errors
    /// If an answer was not of the form that it must have.
    pub async fn stop(self) -> Result<Answered> {
        self.stop.store(true, Relaxed);
        let mut answered = Answered::default();
        for task in self.tasks {
            answered.append(task.await??);
        }
        Ok(answered)
    }
}

struct Caller {
    http: Client,
    edge: String,
    number: usize,
    visitors: usize,
}

impl Caller {
    async fn run(self, each: Duration, stop: Arc<AtomicBool>) -> Result<Answered> {
        let mut answered = Answered {
            callers: 1,
            ..Answered::default()
        };
        let mut last: Option<String> = None;
        for n in 0.. {
            if stop.load(Relaxed) {
                break;
            }
            let next = tokio::time::Instant::now() + each;
            let done = match (n % 10, &last) {
                (3, Some(click)) => self.lead(n, click).await?.map(|lead| answered.leads.insert(lead)),
                (7, Some(click)) => self.pay(n, click).await?.map(|sale| answered.sales.insert(sale)),
                (kind, _) => {
                    let (click, of) = match kind {
                        1 | 4 | 8 => (self.follow(n).await?, &mut answered.redirects),
                        _ => (self.click(n).await?, &mut answered.clicks),
                    };
                    click.map(|id| {
                        last = Some(id.clone());
                        answered.visits += 1;
                        of.insert(id)
                    })
                }
            };
            answered.refused += usize::from(done.is_none());
            tokio::time::sleep_until(next).await;
        }
        Ok(answered)
    }

    fn visitor(&self, n: usize, request: RequestBuilder) -> RequestBuilder {
        if self.visitors == 0 {
            // What a server tells of is never a repeat, nor what comes without user agent.
            return request.bearer_auth(KEY);
        }
        let [.., a, b] = (n % self.visitors).to_be_bytes();
        request
            .header(
                "user-agent",
                "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0 Safari/537.36",
            )
            .header("x-forwarded-for", format!("11.{}.{a}.{b}", self.number % 256))
    }

    async fn click(&self, n: usize) -> Result<Option<String>> {
        let click = json!({"domain": HOST, "key": "ada"});
        let request = self
            .http
            .post(format!("{}/track/click", self.edge))
            .body(click.to_string());
        let Some(answer) = good(self.visitor(n, request)).await else {
            return Ok(None);
        };
        let answer: Value = answer.json().await?;
        Ok(Some(
            answer
                .get("clickId")
                .and_then(Value::as_str)
                .context("clickId")?
                .to_owned(),
        ))
    }

    async fn follow(&self, n: usize) -> Result<Option<String>> {
        let request = self.http.get(format!("{}/ada", self.edge)).header("host", HOST);
        let Some(answer) = good(self.visitor(n, request)).await else {
            return Ok(None);
        };
        let location = answer.headers().get("location").context("location")?.to_str()?;
        let (_, id) = location.split_once("dub_id=").context("dub_id")?;
        Ok(Some(id.to_owned()))
    }

    async fn lead(&self, n: usize, click: &str) -> Result<Option<String>> {
        let who = format!("{}-{n}", self.number);
        let lead = json!({"clickId": click, "eventName": "Sign up", "customerExternalId": who});
        let request = self.http.post(format!("{}/track/lead", self.edge));
        let answer = good(request.bearer_auth(KEY).body(lead.to_string())).await;
        Ok(answer.map(|_| who))
    }

    async fn pay(&self, n: usize, click: &str) -> Result<Option<String>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let seconds = i64::try_from(now)?;
        let session = format!("cs_live_{}x{n}", self.number);
        let event = json!({
            "id": format!("evt_{session}"), "object": "event", "api_version": "2025-08-27.basil", "created": seconds,
            "livemode": true, "type": "checkout.session.completed", "data": {"object": {
                "id": session, "object": "checkout.session", "mode": "payment", "status": "complete",
                "payment_status": "paid", "livemode": true, "created": seconds, "amount_subtotal": 4_900,
                "amount_total": 4_900, "currency": "usd", "client_reference_id": format!("dub_id_{click}"),
                "customer": null, "customer_details": {"email": format!("buyer{}x{n}@shop.test", self.number)},
                "discounts": [], "invoice": null, "metadata": {}, "payment_intent": format!("pi_{session}"),
                "payment_link": "plink_acme", "subscription": null,
                "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            }},
        })
        .to_string();
        let signature = sign(event.as_bytes(), STRIPE_SECRET.as_bytes(), seconds);
        let request = self.http.post(format!("{}/webhooks/stripe/acme", self.edge));
        let answer = good(request.header("stripe-signature", signature).body(event)).await;
        Ok(answer.map(|_| format!("cs:{session}")))
    }
}

async fn good(request: RequestBuilder) -> Option<Response> {
    let answer = request.send().await.ok()?;
    matches!(answer.status().as_u16(), 200 | 302).then_some(answer)
}
