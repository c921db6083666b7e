//! The relay alone, as examples/relay/README.md runs it: `init`, `apply` and `ingest` of the built binary without
//! ClickHouse, real signed webhooks, and the example's consumer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tributary_domain::requests::{WEBHOOK_BODY_LIMIT, sign};
use tributary_testkit::{eventually, free_port, shared, unique};
use tributary_tests::pipeline::program;
use tributary_tests::pipeline::role::{Role, Spec};

use super::TRACE;

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_relay";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An edge by the example's settings; what this machine decides comes by the environment.
struct Relay {
    dir: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    edge: String,
    prefix: String,
}

impl Relay {
    async fn new() -> Result<Self> {
        let servers = shared().await?;
        let dir = tempfile::tempdir()?;
        let (listen, prefix) = (
            format!("127.0.0.1:{}", free_port()?),
            format!("{}.", unique("relay")),
        );
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let environment = [
            ("KAFKA__BOOTSTRAP", servers.kafka_bootstrap.clone()),
            ("KAFKA__TOPIC_PREFIX", prefix.clone()),
            ("REGISTRY__URL", servers.registry_url.clone()),
            ("TOPICS__FACTS_PARTITIONS", "1".to_owned()),
            ("TOPICS__CLICKS_PARTITIONS", "1".to_owned()),
            ("TOPICS__INPUT_PARTITIONS", "1".to_owned()),
            ("INGEST__LISTEN", listen.clone()),
            ("INGEST__SPOOL_DIR", path("spool")),
            ("STATE__DIR", path("state")),
            ("SECRETS__DIR", path("secrets")),
            ("LOG", "info,tributary_ingest=debug".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (format!("TRIBUTARY_{name}"), value));
        std::fs::create_dir_all(dir.path().join("secrets/acme"))?;
        std::fs::write(dir.path().join("secrets/acme/stripe"), SECRET)?;
        std::fs::create_dir(dir.path().join("logs"))?;
        Ok(Self {
            dir,
            environment: environment.into(),
            edge: format!("http://{listen}"),
            prefix,
        })
    }

    fn words(arguments: &[&str]) -> Result<Vec<String>> {
        let settings = root().join("examples/relay/tributary.toml");
        let program = program()?.to_string_lossy().into_owned();
        let head = [
            program,
            "--config".to_owned(),
            settings.to_string_lossy().into_owned(),
        ];
        Ok(head
            .into_iter()
            .chain(arguments.iter().map(|word| (*word).to_owned()))
            .collect())
    }

    async fn run(&self, arguments: &[&str]) -> Result<()> {
        let words = Self::words(arguments)?;
        let output = Command::new(&words[0])
            .args(&words[1..])
            .envs(&self.environment)
            .output()
            .await?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(())
    }

    async fn ingest(&self) -> Result<Role> {
        let role = Role::start(Spec {
            name: "ingest".to_owned(),
            command: Self::words(&["ingest"])?,
            environment: self.environment.clone(),
            logs: self.dir.path().join("logs"),
            points: Vec::new(),
        })?;
        eventually("the edge", PATIENCE, || async {
            let answer = reqwest::get(format!("{}/readyz", self.edge)).await?;
            ensure!(answer.status() == 200, "{}", answer.text().await?);
            Ok(())
        })
        .await?;
        Ok(role)
    }

    async fn deliver(&self, body: impl Into<Vec<u8>>, secret: &str) -> Result<u16> {
        let body = body.into();
        let now = jiff::Timestamp::now().as_second();
        let request = reqwest::Client::new()
            .post(format!("{}/webhooks/stripe/acme", self.edge))
            .header("stripe-signature", sign(&body, secret.as_bytes(), now))
            .header("traceparent", TRACE)
            .body(body);
        Ok(request.send().await?.status().as_u16())
    }

    /// The first lines that the consumer writes; then it is asked to end, and must.
    async fn consume(&self, lines: usize) -> Result<Vec<Value>> {
        let servers = shared().await?;
        let mut consumer = Command::new("python3")
            .arg(root().join("examples/relay/consumer.py"))
            .args([
                "--kafka",
                &servers.kafka_bootstrap,
                "--registry",
                &servers.registry_url,
            ])
            .args(["--topic", &format!("{}stripe.events", self.prefix)])
            .args(["--group", &format!("{}consumer", self.prefix)])
            .arg("--handled")
            .arg(self.dir.path().join("handled.db"))
            .env("PYTHONPATH", root().join("target/python"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(consumer.stdout.take().context("no output")?).lines();
        let mut found = Vec::new();
        while found.len() < lines {
            let line = tokio::time::timeout(PATIENCE, output.next_line()).await;
            let line = line.with_context(|| format!("nothing after {found:?}"))??;
            let line =
                line.context("the consumer ended: are its packages there? scripts/install-test-packages")?;
            found.push(serde_json::from_str(&line)?);
        }
        let pid = consumer.id().context("the consumer ended")?.to_string();
        ensure!(Command::new("kill").arg(pid).status().await?.success(), "kill");
        let ended = tokio::time::timeout(PATIENCE, consumer.wait()).await??;
        ensure!(ended.success(), "{ended}");
        ensure!(output.next_line().await?.is_none(), "more than {found:?}");
        Ok(found)
    }
}

fn snapshot(id: &str, livemode: bool, account: Option<&str>) -> String {
    let mut event = json!({"id": id, "object": "event", "type": "invoice.paid", "created": 1_790_935_203,
        "livemode": livemode, "data": {"object": {"id": "in_1", "object": "invoice"}}});
    if let Some(account) = account {
        event["account"] = account.into();
    }
    event.to_string()
}

fn thin(id: &str) -> String {
    json!({"id": id, "object": "v2.core.event", "type": "v2.core.account.updated", "livemode": true,
        "created": "2026-10-02T10:00:03.000Z", "context": "acct_2",
        "related_object": {"id": "acct_2", "type": "v2.core.account", "url": "/v2/core/accounts/acct_2"}})
    .to_string()
}

fn large(id: &str, length: usize) -> String {
    let event = snapshot(id, true, None);
    format!("{event}{}", " ".repeat(length - event.len()))
}

/// What the example says of an event that it handled.
fn handled(id: &str, body: &str, (mode, account): (&str, Option<&str>)) -> Value {
    json!({"id": id, "repeat": false, "shape": "snapshot", "type": "invoice.paid", "workspace": "acme", "mode": mode,
        "account": account, "created": "2026-10-02T10:00:03+00:00", "object": "in_1", "bytes": body.len(),
        "traceparent": TRACE})
}

fn repeated(id: &str) -> Value {
    json!({"id": id, "repeat": true, "duplicate": "true", "traceparent": TRACE})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_alone_brings_each_event_to_the_example_consumer() -> Result<()> {
    let relay = Relay::new().await?;
    relay.run(&["init"]).await?;
    let file = root().join("examples/relay/program.yaml");
    relay.run(&["apply", "--file", &file.to_string_lossy()]).await?;
    let edge = relay.ingest().await?;

    let live = snapshot("evt_live", true, None);
    let connect = snapshot("evt_connect", true, Some("acct_1"));
    let test = snapshot("evt_test", false, None);
    let thin = thin("evt_thin");
    let largest = large("evt_large", WEBHOOK_BODY_LIMIT);
    for body in [&live, &connect, &test, &thin, &live, &largest] {
        assert_eq!(relay.deliver(body.as_str(), SECRET).await?, 200);
    }
    let larger = large("evt_larger", WEBHOOK_BODY_LIMIT + 1);
    assert_eq!(relay.deliver(larger, SECRET).await?, 413);
    assert_eq!(relay.deliver(live.as_str(), "whsec_other").await?, 400);

    let of_thin = json!({"id": "evt_thin", "repeat": false, "shape": "thin", "type": "v2.core.account.updated",
        "workspace": "acme", "mode": "live", "account": "acct_2", "created": "2026-10-02T10:00:03+00:00",
        "object": "acct_2", "bytes": thin.len(), "traceparent": TRACE});
    assert_eq!(
        relay.consume(6).await?,
        [
            handled("evt_live", &live, ("live", None)),
            handled("evt_connect", &connect, ("live", Some("acct_1"))),
            handled("evt_test", &test, ("test", None)),
            of_thin,
            repeated("evt_live"),
            handled("evt_large", &largest, ("live", None)),
        ]
    );
    // It goes on where it was, and still knows what it handled.
    let next = snapshot("evt_next", true, None);
    for body in [&test, &next] {
        assert_eq!(relay.deliver(body.as_str(), SECRET).await?, 200);
    }
    assert_eq!(
        relay.consume(2).await?,
        [repeated("evt_test"), handled("evt_next", &next, ("live", None))]
    );

    edge.stop()?;
    let log = std::fs::read_to_string(relay.dir.path().join("logs/ingest-1.log"))?;
    let refused: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a request was refused"))
        .collect();
    assert_eq!(refused.len(), 2, "{log}");
    for (line, reason) in refused.iter().zip(["too_large", "bad_request"]) {
        for said in [
            reason,
            "webhook_stripe",
            "acme",
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert!(line.contains(said), "{said}: {line}");
        }
    }
    assert!(!log.contains(SECRET));
    Ok(())
}
