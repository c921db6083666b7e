//! Outgoing webhooks on a real Kafka: each event arrives, signed, under one ID, whatever address or process fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tributary_avro::{Commission, Config, Conversion, Op, Record, Refund, Topic};
use tributary_testkit::{eventually, shared};
use tributary_tests::pipeline::program;
use tributary_tests::stages::Stages;

const PATIENCE: Duration = Duration::from_secs(40);
const SECRET: &str = "hush";

/// What came, in its order.
#[derive(Debug, Clone)]
struct Request {
    /// Which of the addresses.
    path: String,
    id: String,
    body: Value,
    signed: bool,
}

type Answer = dyn Fn(&Request, usize) -> u16 + Send + Sync;

/// An HTTP server of a customer.
#[derive(Clone)]
struct Receiver {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// `answer` gives the status, from the request and how often its ID came before.
    async fn start(answer: Arc<Answer>) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let take = move |uri: Uri, headers: HeaderMap, body: String| async move {
            let request = Request {
                path: uri.path().to_owned(),
                id: text(&headers, "webhook-id"),
                signed: is_signed(&headers, &body),
                body: serde_json::from_str(&body).unwrap_or_default(),
            };
            let mut seen = seen.lock().unwrap();
            let before = seen
                .iter()
                .filter(|known| (&known.path, &known.id) == (&request.path, &request.id))
                .count();
            let status = answer(&request, before);
            seen.push(request);
            StatusCode::from_u16(status).unwrap()
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
        Ok(Self { address, requests })
    }

    /// Events and objects of what came to a path, each with how often.
    fn got(&self, path: &str) -> BTreeMap<String, usize> {
        let mut got = BTreeMap::new();
        for request in self.requests.lock().unwrap().iter().filter(|r| r.path == path) {
            let name = |field: &str| request.body[field].as_str().unwrap_or_default().to_owned();
            *got.entry(format!("{} {}", name("event"), name("entry")))
                .or_default() += 1;
        }
        got
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
        .to_owned()
}

/// As a receiver of Dub's webhooks checks them.
fn is_signed(headers: &HeaderMap, body: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let found = hex::decode(text(headers, "dub-signature")).unwrap_or_default();
    mac.verify_slice(&found).is_ok()
}

/// The role as a process of its own, which can be killed.
struct Role(Child);

impl Role {
    fn start(stages: &Stages, environment: &[(&str, &str)]) -> Result<Self> {
        let secrets = stages.dir().join("secrets/acme/webhooks");
        std::fs::create_dir_all(&secrets)?;
        for id in ["crm", "slow", "late"] {
            std::fs::write(secrets.join(id), SECRET)?;
        }
        let kafka = &stages.config.kafka;
        let log = std::fs::File::create(stages.dir().join("webhooks.log"))?;
        let child = Command::new(program()?)
            .arg("webhooks")
            .current_dir(stages.dir())
            .env("TRIBUTARY_KAFKA__BOOTSTRAP", &kafka.bootstrap)
            .env("TRIBUTARY_KAFKA__TOPIC_PREFIX", &kafka.topic_prefix)
            .env("TRIBUTARY_KAFKA__SESSION_TIMEOUT_MS", "3000")
            .env("TRIBUTARY_REGISTRY__URL", &stages.config.registry_url)
            .env("TRIBUTARY_STATE__DIR", stages.dir().join("state"))
            .env("TRIBUTARY_SECRETS__DIR", stages.dir().join("secrets"))
            .env("TRIBUTARY_WEBHOOKS__RETRY_MS", "200")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// SIGTERM, and to its end.
    fn stop(mut self) -> Result<()> {
        let pid = self.0.id().to_string();
        Command::new("kill").arg(&pid).status()?;
        ensure!(self.0.wait()?.success(), "webhooks did not end well");
        Ok(())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn declare(stages: &Stages, webhooks: &[Value]) -> Result<()> {
    let encoder = stages.encoder::<Config>(Topic::Config).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let records = webhooks.iter().map(|webhook| {
        let id = webhook["id"].as_str().unwrap();
        let config = Config {
            workspace: "acme".into(),
            kind: "webhook".into(),
            id: id.into(),
            at: i64::try_from(now)?,
            modes: vec!["live".into()],
            document: webhook.to_string(),
            ..Config::default()
        };
        Ok((
            format!("acme/webhook/{id}").into_bytes(),
            encoder.encode(&config)?,
        ))
    });
    stages.send(Topic::Config, records.collect::<Result<_>>()?).await
}

async fn write<T: Record>(stages: &Stages, tenant: &str, rows: &[T]) -> Result<()> {
    let encoder = stages.encoder::<T>(T::TOPIC).await?;
    let records = rows
        .iter()
        .map(|row| Ok((tenant.as_bytes().to_vec(), encoder.encode(row)?)));
    stages.send(T::TOPIC, records.collect::<Result<_>>()?).await
}

fn conversion(kind: &str, id: &str, revision: i64, op: Op) -> Conversion {
    Conversion {
        id: id.into(),
        kind: kind.into(),
        revision,
        op,
        workspace: "acme".into(),
        mode: "live".into(),
        at: 1_760_000_000_000,
        amount: 4_900,
        currency: "usd".into(),
        ..Conversion::default()
    }
}

fn sales(numbers: std::ops::Range<usize>) -> Vec<Conversion> {
    numbers
        .map(|number| conversion("sale", &format!("s{number}"), 1, Op::Assert))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_signed_and_each_repeat_has_its_id() -> Result<()> {
    let stages = Stages::create(shared().await?, "webhooks", 3).await?;
    // One address is down for three attempts of each, and points elsewhere in one of them.
    let receiver = Receiver::start(Arc::new(|request, before| match (&*request.path, before) {
        ("/slow", 0) => 500,
        ("/slow", 1) => 302,
        ("/slow", 2) => 429,
        _ => 204,
    }))
    .await?;
    // What was there before is history, but for who asks for it.
    write(&stages, "acme/live", &[conversion("sale", "old", 1, Op::Assert)]).await?;
    // The declaration's time is of milliseconds.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let crm = json!({"id": "crm", "url": format!("{}/crm", receiver.address)});
    let slow = json!({"id": "slow", "url": format!("{}/slow", receiver.address),
        "events": ["sale.created", "sale.corrected", "sale.retracted"], "from": "2020-01-01T00:00:00Z"});
    declare(&stages, &[crm, slow]).await?;
    let rows = [
        conversion("lead", "l1", 1, Op::Assert),
        conversion("sale", "s1", 1, Op::Assert),
        conversion("sale", "s1", 1, Op::Retract),
        conversion("sale", "s1", 2, Op::Assert),
        conversion("subscription", "u1", 1, Op::Assert),
    ];
    write(&stages, "acme/live", &rows).await?;
    let foreign = |workspace: &str, mode: &str| Conversion {
        workspace: workspace.into(),
        mode: mode.into(),
        ..conversion("sale", "foreign", 1, Op::Assert)
    };
    write(&stages, "acme/test", &[foreign("acme", "test")]).await?;
    write(&stages, "other/live", &[foreign("other", "live")]).await?;
    let commission = Commission {
        id: "k1".into(),
        revision: 1,
        workspace: "acme".into(),
        mode: "live".into(),
        kind: "sale".into(),
        ..Commission::default()
    };
    write(&stages, "acme/live", &[commission]).await?;
    let refund = Refund {
        id: "r1".into(),
        revision: 1,
        workspace: "acme".into(),
        mode: "live".into(),
        kind: "refund".into(),
        ..Refund::default()
    };
    write(&stages, "acme/live", &[refund]).await?;
    let role = Role::start(&stages, &[])?;
    let four = |times: usize, names: &[&str]| -> BTreeMap<String, usize> {
        names.iter().map(|name| ((*name).to_owned(), times)).collect()
    };
    let expected = [
        (
            "/crm",
            four(
                1,
                &[
                    "commission.created k1",
                    "lead.created l1",
                    "refund.created r1",
                    "sale.created s1",
                ],
            ),
        ),
        (
            "/slow",
            four(
                4,
                &[
                    "sale.corrected s1",
                    "sale.created old",
                    "sale.created s1",
                    "sale.retracted s1",
                ],
            ),
        ),
    ];
    eventually("every event arrives", PATIENCE, || async {
        for (path, expected) in &expected {
            let got = receiver.got(path);
            ensure!(got == *expected, "{path}: {got:?}");
        }
        Ok(())
    })
    .await?;
    // What else might come has had the time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.got("/crm"), expected[0].1);
    role.stop()?;
    let requests = receiver.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|request| request.signed));
    let ids: BTreeSet<_> = requests.iter().map(|request| request.id.clone()).collect();
    assert_eq!(ids.len(), 7, "the addresses share one event: sale.created of s1");
    assert!(requests.iter().all(|request| request.body["id"] == request.id));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_loses_nothing_and_repeats_little() -> Result<()> {
    let stages = Stages::create(shared().await?, "webhooks", 2).await?;
    // One event is never taken: it holds up none of the others.
    let receiver = Receiver::start(Arc::new(
        |request, _| if request.body["entry"] == "s3" { 500 } else { 200 },
    ))
    .await?;
    declare(
        &stages,
        &[json!({"id": "crm", "url": format!("{}/crm", receiver.address)})],
    )
    .await?;
    let names = |numbers: std::ops::Range<usize>| {
        numbers
            .map(|number| format!("sale.created s{number}"))
            .collect::<BTreeSet<_>>()
    };
    let arrived = |upto: usize| {
        let receiver = receiver.clone();
        let wanted = names(0..upto);
        async move {
            let got: BTreeSet<_> = receiver.got("/crm").into_keys().collect();
            ensure!(got == wanted, "{} of {}", got.len(), wanted.len());
            Ok(())
        }
    };
    let role = Role::start(&stages, &[])?;
    write(&stages, "acme/live", &sales(0..200)).await?;
    eventually("the first arrive", PATIENCE, || arrived(200)).await?;
    // Positions are committed each second; then it dies without a word.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    drop(role);
    write(&stages, "acme/live", &sales(200..300)).await?;
    let role = Role::start(&stages, &[("TRIBUTARY_WEBHOOKS__GIVE_UP_AFTER_S", "1")])?;
    eventually("the others arrive", PATIENCE, || arrived(300)).await?;
    let letters = eventually("what nobody takes is a dead letter", PATIENCE, || async {
        let letters = stages.dead_letters().await?;
        ensure!(!letters.is_empty(), "none");
        Ok(letters)
    })
    .await?;
    assert_eq!(
        (
            letters.len(),
            letters[0].stage.as_str(),
            letters[0].reason.as_str()
        ),
        (1, "webhooks", "not_delivered")
    );
    assert!(
        letters[0].detail.starts_with("acme/crm evt_"),
        "{}",
        letters[0].detail
    );
    assert!(
        letters[0].detail.ends_with("refused: it answered 500"),
        "{}",
        letters[0].detail
    );
    role.stop()?;
    let got = receiver.got("/crm");
    let twice: Vec<_> = got
        .iter()
        .filter(|(name, times)| *name != "sale.created s3" && **times != 1)
        .collect();
    assert!(
        twice.is_empty(),
        "sent again though they had been taken: {twice:?}"
    );
    // What is done stays done.
    let role = Role::start(&stages, &[])?;
    write(&stages, "acme/live", &sales(300..301)).await?;
    eventually("one more", PATIENCE, || arrived(301)).await?;
    role.stop()?;
    assert_eq!(receiver.got("/crm")["sale.created s3"], got["sale.created s3"]);
    Ok(())
}
