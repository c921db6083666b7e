//! The edge on a real Kafka: what is answered is in Kafka, what is refused is not, and what happens while
//! Kafka is away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::message::Message;
use serde_json::{Value, json};
use tributary_avro::{Click, Conversion, Op, StripeEvent, Topic, Track};
use tributary_testkit::{Kind, Options, Servers, eventually, shared};

#[path = "edge/harness.rs"]
mod harness;
#[path = "edge/links.rs"]
mod links;
#[path = "edge/relay.rs"]
mod relay;
#[path = "edge/tokens.rs"]
mod tokens;

use harness::{Edge, SECRET, decode, header, maybe_header, told};

const EVENT: &str = "{ \"id\": \"evt_1\", \"type\": \"invoice.paid\",\n \"created\": 1760000000, \"livemode\": false, \"n\": 1.50 }\n";

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A broker of the test's own, which it may hang.
async fn kafka_alone(data: &Path) -> Result<Servers> {
    let mut options = Options::new(data);
    options.only = BTreeSet::from([Kind::Kafka]);
    Servers::start(options).await
}

fn lead() -> Value {
    json!({"clickId": "0123456789abcdEF", "eventName": "Sign up", "customerExternalId": "u_1"})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_in_kafka() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |_| {}).await?;

    let redirect = edge
        .get("/ada")
        .header("user-agent", "Mozilla/5.0")
        .header("traceparent", TRACE)
        .send()
        .await?;
    assert_eq!(redirect.status(), 302);
    let location = redirect.headers()["location"].to_str()?.to_owned();
    let script = edge.post(
        "/track/click",
        json!({"domain": harness::HOST, "key": "ada"}).to_string(),
    );
    let (status, _, answer) = told(script.send().await?).await?;
    assert_eq!(status, 200);
    let clicks = edge.records(Topic::Clicks, 2).await?;
    let (first, second): (Click, Click) = (decode(&clicks[0]), decode(&clicks[1]));
    assert_eq!(location, format!("https://acme.example/?a=b&dub_id={}", first.id));
    assert_eq!(clicks[0].key(), Some(first.id.as_bytes()));
    assert_eq!((first.trigger.as_str(), first.mode.as_str()), ("link", "live"));
    assert_eq!(answer["clickId"], second.id);
    assert_eq!(header(&clicks[1], "event-type"), "click");
    assert_eq!(header(&clicks[0], "traceparent"), TRACE);
    assert_eq!(maybe_header(&clicks[1], "traceparent"), None);

    let call = edge
        .call("/track/lead", &lead())
        .header("traceparent", TRACE.to_uppercase());
    let (status, _, answer) = told(call.send().await?).await?;
    assert_eq!((status, &answer["customer"]["externalId"]), (200, &json!("u_1")));
    let sale = json!({"customerExternalId": "u_1", "amount": 4900});
    let call = edge.call("/track/sale", &sale).header("traceparent", TRACE);
    let (status, _, answer) = told(call.send().await?).await?;
    assert_eq!((status, &answer["sale"]["amount"]), (200, &json!(4900)));
    let tracks = edge.records(Topic::Tracks, 2).await?;
    let kinds: Vec<_> = tracks.iter().map(|m| decode::<Track>(m).kind).collect();
    assert_eq!(kinds, ["lead", "sale"]);
    assert_eq!(tracks[0].key(), Some(&b"acme/live"[..]));
    assert_eq!(header(&tracks[1], "event-type"), "sale");
    assert_eq!(maybe_header(&tracks[0], "traceparent"), None, "no valid one");
    assert_eq!(header(&tracks[1], "traceparent"), TRACE);

    let (status, _, answer) = told(edge.webhook(EVENT, SECRET, 0).send().await?).await?;
    assert_eq!((status, answer), (200, json!({"received": true})));
    let head = r#"{"id":"evt_2","type":"invoice.paid","created":1,"pad":""#;
    let large = format!("{head}{}\"}}", "é".repeat((900_000 - head.len()) / 2));
    let (status, _, _) = told(edge.webhook(large.clone(), SECRET, 0).send().await?).await?;
    assert_eq!(status, 200);
    let again = edge.webhook(EVENT, SECRET, 0).header("traceparent", TRACE);
    again.send().await?.error_for_status()?;
    let events = edge.records(Topic::StripeEvents, 3).await?;
    assert_eq!(decode::<StripeEvent>(&events[0]).body, EVENT.as_bytes());
    assert_eq!(decode::<StripeEvent>(&events[1]).body, large.as_bytes());
    assert_eq!(events[0].key(), Some(&b"acme/test"[..]));
    assert_eq!(header(&events[0], "event-type"), "invoice.paid");
    assert_eq!(header(&events[0], "workspace"), "acme");
    assert_eq!(header(&events[0], "mode"), "test");
    assert_eq!(maybe_header(&events[0], "traceparent"), None);
    assert_eq!(header(&events[2], "traceparent"), TRACE);
    let repeats: Vec<_> = events.iter().map(|m| maybe_header(m, "duplicate")).collect();
    assert_eq!(repeats, [None, None, Some("true".to_owned())]);
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_when_the_lead_is_in_the_ledger() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |_| {}).await?;
    let lead = json!({"clickId": "", "eventName": "Sign up", "customerExternalId": "u_1", "mode": "wait"});
    let call = edge.call("/track/lead", &lead).send();
    let mut call = std::pin::pin!(call);
    let entry = |kind: &str, customer: &str, op| Conversion {
        workspace: "acme".into(),
        mode: "live".into(),
        kind: kind.into(),
        customer: customer.into(),
        event_name: "sign UP".into(),
        op,
        ..Conversion::default()
    };
    let others = async {
        edge.records(Topic::Tracks, 1).await?;
        edge.record(&entry("lead", "u_2", Op::Assert)).await?;
        edge.record(&entry("sale", "u_1", Op::Assert)).await?;
        edge.record(&entry("lead", "u_1", Op::Retract)).await?;
        // As long as a record takes to arrive, many times over.
        tokio::time::sleep(Duration::from_millis(700)).await;
        anyhow::Ok(())
    };
    tokio::select! {
        early = &mut call => anyhow::bail!("answered without an entry: {early:?}"),
        others = others => others?,
    }
    edge.record(&entry("lead", "u_1", Op::Assert)).await?;
    let (status, _, answer) = told(call.await?).await?;
    assert_eq!((status, &answer["customer"]["externalId"]), (200, &json!("u_1")));
    // It is safe without an entry, too: what takes longer is no error.
    let (status, _, _) = told(edge.call("/track/lead", &lead).send().await?).await?;
    assert_eq!(status, 200);
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn conversions_and_decisions_are_in_kafka() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |_| {}).await?;
    let sale = json!({"conversionTypeCode": "sale", "externalId": "order-1", "customerId": "u_1",
        "amount": {"value": "49.90", "currency": "EUR"}, "revenueOriginId": "shop", "status": "approved"});
    let (status, _, answer) = told(edge.call("/tracking/conversion/v1", &sale).send().await?).await?;
    assert_eq!(
        (status, answer),
        (200, json!({"cid": null, "externalId": "order-1"}))
    );
    // A postback of a browser: no key and no body, and not for a cache.
    let postback = edge
        .get("/tracking/conversion/v1?tenantId=acme&couponCode=SAVE20&conversionTypeCode=couponredeem")
        .send()
        .await?;
    assert_eq!(postback.headers()["cache-control"], "no-store");
    let (status, _, redeemed) = told(postback).await?;
    assert_eq!(status, 200, "{redeemed}");
    let identify = json!({"cid": redeemed["cid"], "externalCid": "ada@x.example"});
    let (status, _, _) = told(edge.call("/tracking/external-cid/v1", &identify).send().await?).await?;
    assert_eq!(status, 200);
    let patch = |path: &str, body: Value| {
        edge.http
            .patch(format!("http://{}{path}", edge.address))
            .header("authorization", "Bearer sk_edge")
            .body(body.to_string())
    };
    let decision = json!({"status": "rejected", "reason": "fraud"});
    let (status, _, answer) = told(
        patch("/commissions/lead:ext:u_1%2Fsign%20up", decision)
            .send()
            .await?,
    )
    .await?;
    assert_eq!(
        (status, answer),
        (200, json!([{"id": "lead:ext:u_1/sign up", "status": "rejected"}]))
    );
    // More than the body of any other call may have.
    let entry =
        |i: usize| json!({"id": format!("order-{i}"), "status": "withheld", "reason": "x".repeat(100)});
    let many = json!({"commissions": (0..1000).map(entry).collect::<Vec<_>>()});
    assert!(many.to_string().len() > 70_000);
    let (status, _, answer) = told(patch("/commissions/bulk", many).send().await?).await?;
    assert_eq!((status, answer.as_array().map(Vec::len)), (200, Some(1000)));
    let custom = json!({"partnerId": "ada", "amount": 500, "reason": "bonus", "id": "bonus-1"});
    let (status, _, _) = told(edge.call("/commissions", &custom).send().await?).await?;
    assert_eq!(status, 200);
    for (name, request, status, message) in [
        (
            "bulk over the limit",
            patch("/commissions/bulk", json!("x".repeat(600_000))),
            413,
            "larger than 524288",
        ),
        (
            "one over the limit",
            patch("/commissions/in_1", json!("x".repeat(70_000))),
            413,
            "larger than 65536",
        ),
        (
            "another workspace",
            edge.call("/tracking/conversion/v1", &sale)
                .header("x-tenant-id", "other"),
            403,
            "X-Tenant-Id",
        ),
        ("reading", edge.get("/commissions"), 501, "not offered"),
    ] {
        let (found, _, body) = told(request.send().await?).await?;
        let text = body["error"]["message"].as_str().unwrap_or_default();
        assert!(
            found == status && text.contains(message),
            "{name}: {found} {body}"
        );
    }

    let tracks = edge.records(Topic::Tracks, 6).await?;
    let all: Vec<Track> = tracks.iter().map(decode::<Track>).collect();
    let kinds: Vec<_> = all
        .iter()
        .map(|t| (t.kind.as_str(), t.trust.as_str(), t.commands.len()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("sale", "server", 1),
            ("redemption", "browser", 0),
            ("identify", "server", 0),
            ("command", "server", 1),
            ("command", "server", 1000),
            ("command", "server", 1),
        ]
    );
    assert_eq!(
        (
            all[0].amount,
            all[0].currency.as_str(),
            all[0].program_id.as_str()
        ),
        (4990, "eur", "main")
    );
    assert_eq!(redeemed["cid"], all[1].click_id);
    assert_eq!(all[2].click_id, all[1].click_id);
    assert_eq!(tracks[3].key(), Some(&b"acme/live"[..]));
    assert_eq!(header(&tracks[3], "event-type"), "command");
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_in_kafka() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |_| {}).await?;
    let missing = edge.post("/webhooks/stripe/acme", EVENT);
    let signature = format!("t={},v1=00", 1_760_000_000);
    let nobody = edge
        .post("/webhooks/stripe/nobody", EVENT)
        .header("stripe-signature", signature);
    let cases = [
        (
            "wrong signature",
            edge.webhook(EVENT, "whsec_other", 0),
            400,
            "no v1 signature matches",
        ),
        (
            "old timestamp",
            edge.webhook(EVENT, SECRET, 400),
            400,
            "more than 300 seconds",
        ),
        ("no signature", missing, 400, "missing header"),
        (
            "over the limit",
            edge.webhook(vec![b' '; 1_000_001], SECRET, 0),
            413,
            "larger than 1000000",
        ),
        (
            "invalid JSON",
            edge.webhook("{\"id\":", SECRET, 0),
            400,
            "no Stripe event",
        ),
        (
            "invalid UTF-8",
            edge.webhook(&b"{\"id\":\"\xff\"}"[..], SECRET, 0),
            400,
            "not UTF-8",
        ),
        (
            "no type",
            edge.webhook(r#"{"id":"e","created":1}"#, SECRET, 0),
            400,
            "type:",
        ),
        ("unknown workspace", nobody, 404, "no such workspace"),
        (
            "lead over the limit",
            edge.call("/track/lead", &json!("x".repeat(70_000))),
            413,
            "larger than 65536",
        ),
        (
            "lead without name",
            edge.call("/track/lead", &json!({"clickId": ""})),
            422,
            "eventName",
        ),
        (
            "lead without key",
            edge.post("/track/lead", lead().to_string()),
            401,
            "missing header",
        ),
        ("unknown link", edge.get("/nobody"), 404, "no such link"),
    ];
    for (name, request, status, message) in cases {
        let (found, _, body) = told(request.send().await?).await?;
        let text = body["error"]["message"].as_str().unwrap_or_default();
        assert!(
            found == status && text.contains(message),
            "{name}: {found} {body}"
        );
        assert!(body["error"]["code"].is_string(), "{name}: {body}");
    }
    // The sentinels come first because nothing stands before them.
    edge.webhook(EVENT, SECRET, 0).send().await?.error_for_status()?;
    edge.call("/track/lead", &lead())
        .send()
        .await?
        .error_for_status()?;
    assert_eq!(edge.get("/ada").send().await?.status(), 302);
    for topic in [Topic::StripeEvents, Topic::Tracks, Topic::Clicks] {
        assert_eq!(edge.records(topic, 1).await?[0].offset(), 0);
    }
    assert_eq!(
        decode::<StripeEvent>(&edge.records(Topic::StripeEvents, 1).await?[0]).id,
        "evt_1"
    );
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_calls_are_told_to_retry_and_redirects_redirect() -> Result<()> {
    let data = tempfile::tempdir()?;
    let servers = kafka_alone(data.path()).await?;
    let edge = Edge::start(&servers.kafka_bootstrap()?, |config| {
        config.acknowledgement_timeout = Duration::from_secs(2);
        config.redirect_timeout = Duration::from_millis(300);
    })
    .await?;
    edge.call("/track/lead", &lead())
        .send()
        .await?
        .error_for_status()?;

    servers.kafka()?.sigstop()?;
    let asked = Instant::now();
    for request in [
        edge.call("/track/lead", &lead()),
        edge.webhook(EVENT, SECRET, 0),
        edge.post(
            "/track/click",
            json!({"domain": harness::HOST, "key": "ada"}).to_string(),
        ),
    ] {
        let (status, retry, body) = told(request.send().await?).await?;
        assert_eq!((status, retry.as_deref()), (503, Some("1")), "{body}");
        assert_eq!(body["error"]["code"], "internal_server_error");
    }
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(12), "three answers took {waited:?}");
    let asked = Instant::now();
    let redirect = edge.get("/ada").send().await?;
    assert_eq!(redirect.status(), 302);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let reasons = edge.readiness_becomes(503).await?;
    assert_eq!(reasons["reasons"], json!(["kafka unreachable"]));

    servers.kafka()?.sigcont()?;
    edge.readiness_becomes(200).await?;
    eventually("a lead is accepted again", Duration::from_secs(30), || async {
        let status = edge.call("/track/lead", &lead()).send().await?.status();
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await?;
    // What was refused is not remembered: the next one is no repeat.
    edge.webhook(EVENT, SECRET, 0).send().await?.error_for_status()?;
    let events = edge.records(Topic::StripeEvents, 1).await?;
    assert_eq!(maybe_header(&events[0], "duplicate"), None);
    edge.stop().await?;
    servers.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_what_is_answered_waits_in_the_spool() -> Result<()> {
    let data = tempfile::tempdir()?;
    let servers = kafka_alone(data.path()).await?;
    let spool = tempfile::tempdir()?;
    let edge = Edge::start(&servers.kafka_bootstrap()?, |config| {
        config.acknowledgement_timeout = Duration::from_secs(2);
        config.redirect_timeout = Duration::from_millis(300);
        config.spool_dir = Some(spool.path().to_owned());
        config.spool_bytes = 20_000;
    })
    .await?;
    let click = json!({"domain": harness::HOST, "key": "ada"}).to_string();
    let click = || edge.post("/track/click", click.clone());
    let (_, _, before) = told(click().send().await?).await?;

    servers.kafka()?.sigstop()?;
    // The first waits until Kafka is known to be away, the others do not.
    for request in [
        click(),
        edge.call("/track/lead", &lead()).header("traceparent", TRACE),
        edge.webhook(EVENT, SECRET, 0),
    ] {
        let (status, _, body) = told(request.send().await?).await?;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(edge.get("/ada").send().await?.status(), 302);
    let state = edge.readiness_becomes(200).await?;
    assert!(state["spooled_bytes"].as_i64() > Some(500), "{state}");
    // Until it is full.
    let large = "x".repeat(1000);
    let large = json!({"clickId": "", "eventName": "Sign up", "customerExternalId": "u", "metadata": {"note": large}});
    let mut taken = 0;
    let (status, retry, body) = loop {
        let (status, retry, body) = told(edge.call("/track/lead", &large).send().await?).await?;
        if status != 200 {
            break (status, retry, body);
        }
        taken += 1;
    };
    assert_eq!((status, retry.as_deref()), (503, Some("1")), "{body}");
    assert!((5..30).contains(&taken), "{taken}");
    assert_eq!(edge.get("/ada").send().await?.status(), 302);
    let state = edge.readiness_becomes(503).await?;
    assert_eq!(state["reasons"], json!(["spool 80 % full"]));

    servers.kafka()?.sigcont()?;
    let state = edge.readiness_becomes(200).await?;
    assert_eq!(state["spooled_bytes"], 0, "{state}");
    // At least once, and what comes from the spool says that it may be there already.
    let tracks = edge.records(Topic::Tracks, taken + 1).await?;
    assert_eq!(header(&tracks[0], "maybe-duplicate"), "true");
    assert_eq!(header(&tracks[0], "event-type"), "lead");
    assert_eq!(header(&tracks[0], "traceparent"), TRACE);
    assert_eq!(
        header(&edge.records(Topic::StripeEvents, 1).await?[0], "maybe-duplicate"),
        "true"
    );
    let clicks = edge.records(Topic::Clicks, 3).await?;
    let clicks: Vec<Click> = clicks.iter().map(decode::<Click>).collect();
    assert_eq!(
        (clicks[0].id.as_str(), clicks[0].duplicate_of.as_str()),
        (before["clickId"].as_str().unwrap(), "")
    );
    assert!(clicks.iter().any(|click| click.duplicate_of == click.id));
    edge.stop().await?;
    servers.stop().await
}

/// A file system of a few pages; gone when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where mounting is not allowed.
    fn mount() -> Result<Option<Self>> {
        let disk = Self(tempfile::tempdir()?);
        let mounted = disk.run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"])?;
        Ok(mounted.then_some(disk))
    }

    fn grow(&self) -> Result<()> {
        ensure!(self.run("mount", &["-o", "remount,size=4m"])?);
        Ok(())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<bool> {
        let mut command = std::process::Command::new(program);
        let output = command.args(arguments).arg(self.0.path()).output()?;
        Ok(output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_calls_and_keeps_what_was_answered() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        eprintln!("skipped: only root may mount a small disk");
        return Ok(());
    };
    let data = tempfile::tempdir()?;
    let servers = kafka_alone(data.path()).await?;
    let edge = Edge::start(&servers.kafka_bootstrap()?, |config| {
        config.acknowledgement_timeout = Duration::from_secs(2);
        config.redirect_timeout = Duration::from_millis(300);
        config.spool_dir = Some(disk.0.path().to_owned());
    })
    .await?;
    let mut answered = Vec::new();
    let mut tell = async |number: usize| {
        let (who, large) = (format!("u_{number}"), "x".repeat(1000));
        let lead = json!({"clickId": "", "eventName": "Sign up", "customerExternalId": who, "metadata": {"note": large}});
        let (status, retry, body) = told(edge.call("/track/lead", &lead).send().await?).await?;
        match status {
            200 => answered.push(who),
            503 => assert_eq!(retry.as_deref(), Some("1"), "{body}"),
            _ => anyhow::bail!("{status} {body}"),
        }
        anyhow::Ok(status == 200)
    };

    servers.kafka()?.sigstop()?;
    let mut number = 0;
    while tell(number).await? {
        number += 1;
    }
    assert!((10..70).contains(&number), "{number}");
    for _ in 0..50 {
        number += 1;
        tell(number).await?;
    }
    let files = std::fs::read_dir(disk.0.path())?.count();
    assert!(files <= 4, "each attempt left a file: {files}");
    assert_eq!(edge.get("/ada").send().await?.status(), 302);
    let state = edge.readiness_becomes(503).await?;
    assert_eq!(state["reasons"], json!(["the spool's disk refuses writes"]));
    disk.grow()?;
    assert!(tell(number + 1).await?, "there is room again");
    edge.readiness_becomes(200).await?;

    servers.kafka()?.sigcont()?;
    eventually("the spool is empty", Duration::from_secs(30), || async {
        let state = edge.readiness_becomes(200).await?;
        ensure!(state["spooled_bytes"] == 0, "{state}");
        Ok(())
    })
    .await?;
    let records = edge.records(Topic::Tracks, answered.len()).await?;
    let stored: Vec<String> = records
        .iter()
        .map(|record| decode::<Track>(record).customer_external_id)
        .collect();
    // The first was on its way when Kafka hung: it is there before what the spool holds, and again.
    let first = answered.remove(0);
    let (of_first, others): (Vec<_>, Vec<_>) = stored.into_iter().partition(|who| *who == first);
    assert!((1..=2).contains(&of_first.len()), "{of_first:?}");
    assert_eq!(others, answered);

    // Full again, and nothing in the spool by which Kafka would be found to be back.
    std::fs::write(disk.0.path().join("others"), vec![0; 8 << 20]).unwrap_err();
    servers.kafka()?.sigstop()?;
    let lead = || edge.call("/track/lead", &lead()).send();
    assert_eq!(lead().await?.status(), 503);
    servers.kafka()?.sigcont()?;
    eventually("a lead is accepted again", Duration::from_secs(30), || async {
        let status = lead().await?.status();
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await?;
    edge.stop().await?;
    servers.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_places_in_flight_calls_are_refused_and_redirects_go_on() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |config| {
        config.max_in_flight = 0
    })
    .await?;
    let (status, retry, _) = told(edge.call("/track/lead", &lead()).send().await?).await?;
    assert_eq!((status, retry.as_deref()), (503, Some("1")));
    assert_eq!(edge.get("/ada").send().await?.status(), 302);
    edge.stop().await
}

const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";

fn believes_this_machine(config: &mut tributary_ingest::IngestConfig) {
    config.visitor_secret = Some(b"salt".to_vec());
    config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_id_back_and_is_recorded() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, believes_this_machine).await?;
    let visit = |visitor: &str| {
        let redirect = edge.get("/ada").header("user-agent", BROWSER);
        redirect.header("x-forwarded-for", visitor)
    };
    let location = async |visitor: &str| -> Result<String> {
        Ok(visit(visitor).send().await?.headers()["location"]
            .to_str()?
            .to_owned())
    };
    let first = location("198.51.100.7").await?;
    assert_eq!(location("198.51.100.7").await?, first);
    let script = edge
        .post(
            "/track/click",
            json!({"domain": harness::HOST, "key": "ada"}).to_string(),
        )
        .header("user-agent", BROWSER)
        .header("x-forwarded-for", "198.51.100.7");
    let (_, _, answer) = told(script.send().await?).await?;
    assert_ne!(location("198.51.100.8").await?, first, "another visitor");

    let clicks: Vec<Click> = edge.records(Topic::Clicks, 4).await?.iter().map(decode).collect();
    let id = clicks[0].id.as_str();
    assert!(first.ends_with(&format!("dub_id={id}")), "{first}");
    assert_eq!(answer["clickId"], id);
    let repeats: Vec<&str> = clicks.iter().map(|click| click.duplicate_of.as_str()).collect();
    assert_eq!(repeats, ["", id, id, ""]);
    let ids: BTreeSet<&str> = clicks.iter().map(|click| click.id.as_str()).collect();
    assert_eq!(ids.len(), 4, "each has an ID of its own");
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_not_acknowledged_is_not_given_again() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |config| {
        believes_this_machine(config);
        config.redirect_timeout = Duration::ZERO;
    })
    .await?;
    let location = async || -> Result<String> {
        let redirect = edge.get("/ada").header("user-agent", BROWSER);
        let redirect = redirect.header("x-forwarded-for", "198.51.100.7").send().await?;
        Ok(redirect.headers()["location"].to_str()?.to_owned())
    };
    assert_ne!(location().await?, location().await?);
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_has_the_place_of_its_visitor() -> Result<()> {
    let files = tempfile::tempdir()?;
    let list = files.path().join("data-centers");
    std::fs::write(&list, "AS64496 # a hoster\n")?;
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |config| {
        believes_this_machine(config);
        config.places.geo = Some("../ingest/testdata/places.mmdb".into());
        config.places.data_centers = Some(list);
    })
    .await?;
    for (visitor, gpc) in [
        ("198.51.100.7", "0"),
        ("198.51.100.7", "1"),
        ("203.0.113.7", "0"),
        ("9.9.9.9", "0"),
    ] {
        let redirect = edge.get("/ada").header("user-agent", BROWSER);
        let redirect = redirect.header("x-forwarded-for", visitor).header("sec-gpc", gpc);
        assert_eq!(redirect.send().await?.status(), 302);
    }
    // Neither recorded nor told.
    let redirect = edge.get("/ada?dub-no-track=1").send().await?;
    assert_eq!(redirect.headers()["location"], "https://acme.example/?a=b");
    assert!(!redirect.headers().contains_key("set-cookie"));
    // Of a proxy that names nobody, who is no visitor.
    edge.get("/ada").header("user-agent", "curl/8.5").send().await?;

    let clicks: Vec<Click> = edge.records(Topic::Clicks, 5).await?.iter().map(decode).collect();
    let told: Vec<_> = clicks
        .iter()
        .map(|c| [&*c.continent, &*c.country, &*c.region, &*c.city, &*c.bot])
        .collect();
    assert_eq!(
        told,
        [
            ["NA", "US", "US-CA", "Oakland", ""],
            ["NA", "US", "", "", ""],
            ["", "", "", "", "data_center"],
            ["", "", "", "", ""],
            ["", "", "", "", "list"],
        ]
    );
    let visitors: Vec<bool> = clicks.iter().map(|click| click.visitor.is_empty()).collect();
    assert_eq!(visitors, [false, true, false, false, true]);
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_beyond_their_limits_are_told_when_to_come_back() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |config| {
        believes_this_machine(config);
        config.limits.per_ip = 1;
        config.limits.per_ip_burst = 2;
        config.limits.per_key = 1;
        config.limits.per_key_burst = 1;
    })
    .await?;
    let visit = |visitor: &'static str| edge.get("/ada").header("x-forwarded-for", visitor).send();
    for _ in 0..2 {
        assert_eq!(visit("198.51.100.7").await?.status(), 302);
    }
    let refused = visit("198.51.100.7").await?;
    assert_eq!(refused.headers()["x-ratelimit-limit"], "1");
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    let (status, retry, body) = told(refused).await?;
    assert_eq!((status, retry.as_deref()), (429, Some("1")));
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    assert_eq!(visit("198.51.100.8").await?.status(), 302, "another visitor");
    // The proxy itself is not a visitor.
    for _ in 0..5 {
        assert_eq!(edge.get("/ada").send().await?.status(), 302);
    }
    let (status, _, _) = told(edge.call("/track/lead", &lead()).send().await?).await?;
    assert_eq!(status, 200);
    let (status, retry, body) = told(edge.call("/track/lead", &lead()).send().await?).await?;
    assert_eq!((status, retry.as_deref()), (429, Some("1")), "{body}");
    // Stripe is not limited.
    for _ in 0..5 {
        edge.webhook(EVENT, SECRET, 0).send().await?.error_for_status()?;
    }
    // What was refused is not in Kafka: the sentinel comes right after what was not.
    assert_eq!(edge.get("/ada?qr=1").send().await?.status(), 302);
    let clicks = edge.records(Topic::Clicks, 9).await?;
    assert_eq!(decode::<Click>(&clicks[8]).trigger, "qr");
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_before_a_stop_is_answered_and_in_kafka() -> Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut edge = Edge::start(&shared().await?.kafka_bootstrap, |_| {}).await?;
    let body = lead().to_string();
    let (begin, end) = body.split_at(10);
    let mut client = tokio::net::TcpStream::connect(edge.address).await?;
    let head = format!(
        "POST /track/lead HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk_edge\r\ncontent-length: {}\r\n\r\n{begin}",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    // The edge has taken it: it answers another one that came later.
    edge.get("/healthz").send().await?.error_for_status()?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    edge.ask_to_stop()?;
    eventually("no new connections", Duration::from_secs(10), || async {
        let refused = tokio::net::TcpStream::connect(edge.address).await.is_err();
        ensure!(refused, "it still listens");
        Ok(())
    })
    .await?;
    client.write_all(end.as_bytes()).await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let tracks = edge.records(Topic::Tracks, 1).await?;
    assert_eq!(decode::<Track>(&tracks[0]).kind, "lead");
    edge.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_get_their_scripts_and_those_of_the_own_site_send_cookies() -> Result<()> {
    let edge = Edge::start(&shared().await?.kafka_bootstrap, |_| {}).await?;
    for path in [
        "/analytics/script.js",
        "/analytics/script.site-visit.js",
        "/tracking.js",
    ] {
        let script = edge.get(path).send().await?;
        assert_eq!(script.status(), 200, "{path}");
        assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
        let tag = script.headers()["etag"].clone();
        assert!(
            script.text().await?.starts_with("// Tributary's tracker"),
            "{path}"
        );
        let again = edge.get(path).header("if-none-match", tag).send().await?;
        assert_eq!(
            (again.status().as_u16(), again.text().await?),
            (304, String::new())
        );
    }
    assert_eq!(edge.get("/analytics/other.js").send().await?.status(), 404);

    let page = |path: &str, origin: &str, body: Value| {
        let request = edge.post(path, body.to_string()).header("host", harness::HOST);
        request
            .header("origin", origin)
            .header("cookie", "dub_id=0123456789abcdEF")
    };
    let told = json!({"eventName": "Sign up", "customerExternalId": "u_1"});
    for (origin, allowed, credentials) in [
        ("https://www.acme.example", "https://www.acme.example", "true"),
        ("https://shop.example", "*", ""),
    ] {
        let lead = page("/track/lead/client", origin, told.clone()).header("authorization", "Bearer pk_edge");
        let refused = page(
            "/track/click",
            origin,
            json!({"domain": harness::HOST, "key": "nobody"}),
        );
        let preflight = edge
            .http
            .request(
                reqwest::Method::OPTIONS,
                format!("http://{}/track/lead/client", edge.address),
            )
            .header("host", harness::HOST)
            .header("origin", origin);
        for (request, status) in [(lead, 200), (refused, 404), (preflight, 204)] {
            let answer = request.send().await?;
            assert_eq!(answer.status(), status, "{origin}");
            let header = |name| {
                answer
                    .headers()
                    .get(name)
                    .map_or("", |value| value.to_str().unwrap())
            };
            assert_eq!(
                header("access-control-allow-origin"),
                allowed,
                "{origin} {status}"
            );
            assert_eq!(
                header("access-control-allow-credentials"),
                credentials,
                "{origin} {status}"
            );
        }
    }
    let tracks = edge.records(Topic::Tracks, 2).await?;
    let first: Track = decode(&tracks[0]);
    assert_eq!(
        (first.trust.as_str(), first.click_id.as_str()),
        ("browser", "0123456789abcdEF")
    );
    edge.stop().await
}
