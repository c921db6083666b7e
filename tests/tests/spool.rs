//! Kafka is away under load, and the edge is killed while its spool drains: what was answered is there, and counts once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tributary_testkit::eventually;
use tributary_tests::pipeline::{Pipeline, proof};
use tributary_tests::traffic::Traffic;

const KEY: &str = "sk_spool";
/// A group's member may wait for five minutes for an answer that a broker which hung does not give.
const PATIENCE: Duration = Duration::from_secs(400);
const CALLERS: usize = 8;
/// Between two requests of a caller.
const PAUSE: Duration = Duration::from_millis(5);
/// One click in so many becomes a lead.
const LEADS: usize = 10;

/// What was answered with 200, and how many requests were not.
#[derive(Default)]
struct Answered {
    clicks: BTreeSet<String>,
    leads: BTreeSet<String>,
    refused: usize,
}

fn program() -> String {
    format!(
        "workspace:\n  id: acme\n  domains: [go.acme.test]\n  api_keys: [{{name: server, sha256: {}}}]\n\
         programs:\n  - id: affiliates\npartners:\n  - {{id: ada}}\n\
         links:\n  - {{key: ada, url: \"https://acme.test/\", partner: ada}}\n",
        hex::encode(Sha256::digest(KEY))
    )
}

async fn post(http: &Client, url: &str, body: &Value) -> Option<Value> {
    let request = http.post(url).bearer_auth(KEY).body(body.to_string());
    let answer = request.send().await.ok()?;
    if answer.status() != 200 {
        return None;
    }
    answer.json().await.ok()
}

async fn call(edge: String, caller: usize, stop: Arc<AtomicBool>) -> Answered {
    let http = Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let mut answered = Answered::default();
    for n in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let click = json!({"domain": "go.acme.test", "key": "ada"});
        match post(&http, &format!("{edge}/track/click"), &click).await {
            None => answered.refused += 1,
            Some(answer) => {
                let id = answer["clickId"].as_str().unwrap().to_owned();
                if n % LEADS == 0 {
                    let who = format!("{caller}-{n}");
                    let lead = json!({"clickId": id, "eventName": "Sign up", "customerExternalId": who});
                    match post(&http, &format!("{edge}/track/lead"), &lead).await {
                        Some(_) => answered.leads.insert(who),
                        None => false,
                    };
                }
                answered.clicks.insert(id);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    answered
}

async fn spooled(edge: &str) -> Result<i64> {
    let status: Value = reqwest::get(format!("{edge}/readyz")).await?.json().await?;
    Ok(status["spooled_bytes"].as_i64().unwrap_or(-1))
}

async fn away(seconds: u64) -> Result<()> {
    let traffic = Traffic::told(vec![("acme".to_owned(), program())], Vec::new())?;
    let pipeline = Pipeline::start("spool", &traffic).await?;
    let edge = pipeline.edge.clone();
    let roles = vec![
        pipeline.ingest().await?,
        pipeline.role("process", &["process"], &[])?,
        pipeline.role("sink", &["sink"], &[])?,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(call(edge.clone(), caller, Arc::clone(&stop))))
        .collect();
    let clickhouse = pipeline.clickhouse()?;
    eventually("leads are in the ledger", PATIENCE, || async {
        let leads = clickhouse.number("SELECT count() FROM conversions").await?;
        ensure!(leads > 0, "none");
        Ok(())
    })
    .await?;

    // It hangs: what is in flight is neither acknowledged nor lost, and is taken when the broker goes on.
    pipeline.servers.kafka()?.sigstop()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let most = spooled(&edge).await?;
    ensure!(most > 1_000_000, "{most} bytes spooled");
    pipeline.servers.kafka()?.sigcont()?;
    // Killed half-way: segments of the spool are sent again.
    eventually("the spool drains", PATIENCE, || async {
        let left = spooled(&edge).await?;
        ensure!((1..most).contains(&left), "{left} of {most} bytes");
        Ok(())
    })
    .await?;
    ensure!(roles[0].kill9()?);
    eventually("the spool is empty", PATIENCE, || async {
        let left = spooled(&edge).await?;
        ensure!(left == 0, "{left} bytes");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Relaxed);
    let mut answered = Answered::default();
    for caller in callers {
        let mut own = caller.await?;
        answered.clicks.append(&mut own.clicks);
        answered.leads.append(&mut own.leads);
        answered.refused += own.refused;
    }
    // Refused while the process was dead, and at no other time.
    ensure!(
        answered.refused < answered.clicks.len() / 20,
        "{} refused, {} answered",
        answered.refused,
        answered.clicks.len()
    );

    proof::all_is_read(&pipeline, PATIENCE).await?;
    let number = async |what: &str| clickhouse.number(&format!("SELECT {what}")).await;
    let stored: BTreeSet<String> = clickhouse
        .texts("SELECT id FROM clicks")
        .await?
        .into_iter()
        .collect();
    let lost: Vec<_> = answered.clicks.difference(&stored).collect();
    ensure!(
        lost.is_empty(),
        "{} answered clicks are lost: {:?}",
        lost.len(),
        lost.first()
    );
    let counted = number("countIf(duplicate_of = '') FROM clicks").await?;
    ensure!(
        counted == stored.len() as i64,
        "{counted} clicks count, {} are",
        stored.len()
    );
    let repeated = number("countIf(duplicate_of = id) FROM clicks").await?;
    ensure!(repeated > 0, "nothing was sent twice, so nothing is proved");
    clickhouse.roll_ups_hold().await?;
    let leads: BTreeSet<String> = clickhouse
        .texts("SELECT customer FROM conversions WHERE kind = 'lead' GROUP BY customer HAVING sum(sign) = 1")
        .await?
        .into_iter()
        .collect();
    let lost: Vec<_> = answered.leads.difference(&leads).collect();
    ensure!(
        lost.is_empty(),
        "{} answered leads are lost: {:?}",
        lost.len(),
        lost.first()
    );
    let net = number("sum(sign) FROM conversions WHERE kind = 'lead'").await?;
    ensure!(
        net == leads.len() as i64,
        "{net} leads count, {} are",
        leads.len()
    );
    eprintln!(
        "kafka away for {seconds} s: {} clicks and {} leads answered, {} refused, {repeated} sent twice, {most} bytes spooled",
        answered.clicks.len(),
        answered.leads.len(),
        answered.refused
    );
    pipeline.finish(roles).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_away_loses_and_doubles_nothing() -> Result<()> {
    let seconds = std::env::var("TRIBUTARY_AWAY_SECONDS").ok();
    away(seconds.map_or(Ok(60), |text| text.parse())?).await
}
