//! Bad input through the real roles: a clear answer or a dead letter with its reason, the pipeline goes on, and dead
//! letters can be put back. What the edge refuses by itself stands in `edge.rs`, what single stages do with records
//! that nobody should have written in `processors_join.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tributary_avro::{DeadLetter, StripeEvent, Topic};
use tributary_domain::simulate::Line;
use tributary_processors::ProcessConfig;
use tributary_testkit::eventually;
use tributary_tests::pipeline::proof::{Refused, exactly_once_but};
use tributary_tests::pipeline::send::{answer, send};
use tributary_tests::pipeline::{Pipeline, kafka};
use tributary_tests::traffic::stripe::Payment;
use tributary_tests::traffic::{Traffic, webhook};

const PATIENCE: Duration = Duration::from_secs(60);
const AT: i64 = 1_750_000_000;

fn payment(id: &str) -> Payment<'_> {
    Payment {
        id,
        customer: "cus_bad",
        email: "bad@input.test",
        at: AT,
        total: 9_000,
        tax: 0,
        currency: "usd",
        promotion: "",
        subscription: "sub_bad",
    }
}

fn invoice(id: &str, change: impl FnOnce(&mut Value)) -> Line {
    let mut object = payment(id).invoice(false, "subscription_create");
    change(&mut object);
    webhook("acme", &format!("evt_{id}"), "invoice.paid", AT, object)
}

/// About 900 kB of lines.
fn large() -> Line {
    invoice("large", |object| {
        let line = |i: usize| {
            json!({"id": format!("il_{i}"), "object": "line_item", "amount": 1, "quantity": 1,
                "description": "x".repeat(60),
                "pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": "prod_addon"}}})
        };
        object["lines"]["data"] = (0..3_900).map(line).collect();
    })
}

async fn registry(pipeline: &Pipeline) -> Result<tributary_processors::registry::Registry> {
    let config = ProcessConfig {
        registry_url: pipeline.servers.registry_url()?,
        cache_dir: pipeline.dir().join("test-schemas"),
        ..ProcessConfig::default()
    };
    tributary_processors::registry(&config).await
}

async fn write(pipeline: &Pipeline, topic: Topic, value: &[u8]) -> Result<()> {
    let mut client = ClientConfig::new();
    let producer: FutureProducer = client
        .set("bootstrap.servers", pipeline.servers.kafka_bootstrap()?)
        .create()?;
    let record = FutureRecord::to(topic.name()).key("bad").payload(value);
    producer
        .send(record, PATIENCE)
        .await
        .map_err(|(error, _)| error)?;
    Ok(())
}

/// Reasons and how often, and the letters.
async fn letters(pipeline: &Pipeline) -> Result<(BTreeMap<String, usize>, Vec<DeadLetter>)> {
    let decoder = registry(pipeline)
        .await?
        .decoder::<DeadLetter>(Topic::DeadLetters)
        .await?;
    let raw = kafka::records(
        &pipeline.servers.kafka_bootstrap()?,
        "dead-letters",
        <[u8]>::to_vec,
    )?;
    let mut letters = Vec::new();
    for value in raw {
        letters.push(
            decoder
                .decode(&value)
                .await
                .map_err(|e| anyhow::anyhow!(e.to_string()))?,
        );
    }
    let mut reasons = BTreeMap::new();
    for letter in &letters {
        *reasons
            .entry(format!("{} {}", letter.stage, letter.reason))
            .or_default() += 1;
    }
    Ok((reasons, letters))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_told_apart_and_the_pipeline_goes_on() -> Result<()> {
    let mut traffic = Traffic::new(3, 600)?;
    let size = large().bytes().len();
    ensure!((850_000..1_000_000).contains(&size), "{size} bytes");
    traffic.lines.insert(100, (0, large()));
    let unknown_type = webhook(
        "acme",
        "evt_type",
        "balance.available",
        AT,
        json!({"object": "balance"}),
    );
    traffic.lines.insert(200, (0, unknown_type));
    let mut expected = traffic.expected()?;
    let pipeline = Pipeline::start("bad-input", &traffic).await?;

    // A process that would send workspaces to other partitions does not start.
    let refused = pipeline.run_with(&["process"], &[("TRIBUTARY_TOPICS__FACTS_PARTITIONS", "5")]);
    let said = refused
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    ensure!(
        said.contains("exit status: 1") && said.contains("topic facts has 4 partitions, expected 5"),
        "{said}"
    );

    let ingest = pipeline.ingest().await?;
    let process = pipeline.role("process", &["process"], &[])?;
    let sink = pipeline.role("sink", &["sink"], &[])?;

    // Refused by the edge, with the reason; nothing is stored.
    let http = reqwest::Client::new();
    let path = format!("{}/webhooks/stripe/acme", pipeline.edge);
    let body = [b"{\"id\": \"evt_\xc3\x28\"}".as_slice()].concat();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let secret = tributary_tests::pipeline::STRIPE_SECRET.as_bytes();
    let signature = tributary_domain::requests::sign(&body, secret, i64::try_from(now)?);
    let invalid = http
        .post(path)
        .header("stripe-signature", signature)
        .body(body)
        .send()
        .await?;
    ensure!(invalid.status() == 400, "{}", invalid.status());
    ensure!(
        invalid.text().await?.contains("UTF-8"),
        "the answer names the reason"
    );
    let nobody = Line {
        path: "/webhooks/stripe/nobody".to_owned(),
        ..invoice("nobody", |_| ())
    };
    ensure!(
        answer(&http, &pipeline.edge, &nobody).await?.0 == 404,
        "an unknown workspace"
    );

    // Accepted, as Stripe would only send the same again, and dead.
    let without = invoice("without", |object| {
        drop(object.as_object_mut().unwrap().remove("amount_paid"))
    });
    let negative = invoice("negative", |object| object["amount_paid"] = (-5).into());
    for line in [&without, &negative] {
        let (status, text) = answer(&http, &pipeline.edge, line).await?;
        ensure!(status == 200, "{status} {text}");
    }
    // Written past the edge.
    write(&pipeline, Topic::StripeEvents, b"this is not Avro").await?;
    write(&pipeline, Topic::Tracks, &[0, 0, 0xff, 0xff, 0xff, 1, 2]).await?;
    write(&pipeline, Topic::Facts, b"nor is this").await?;
    // A workspace that is declared later.
    let late = Traffic::of(
        "late",
        vec![webhook(
            "late",
            "evt_late",
            "invoice.paid",
            AT,
            payment("late").invoice(true, "manual"),
        )],
    )?;
    let event = StripeEvent {
        id: "evt_late".to_owned(),
        event_type: "invoice.paid".to_owned(),
        workspace: "late".to_owned(),
        mode: "live".to_owned(),
        created: AT * 1000,
        body: late.lines[0].1.bytes(),
        ..StripeEvent::default()
    };
    let encoder = registry(&pipeline)
        .await?
        .encoder::<StripeEvent>(Topic::StripeEvents)
        .await?;
    write(&pipeline, Topic::StripeEvents, &encoder.encode(&event)?).await?;

    send(&pipeline.edge, &traffic.lines).await?;
    let wanted: BTreeMap<String, usize> = [
        ("attribute undecodable", 1),
        ("normalize missing_field", 1),
        ("normalize negative_amount", 1),
        ("normalize undecodable", 1),
        ("normalize unknown_schema_id", 1),
        ("normalize unknown_workspace", 1),
    ]
    .map(|(reason, count)| (reason.to_owned(), count))
    .into();
    eventually("the dead letters", PATIENCE, || async {
        let (reasons, _) = letters(&pipeline).await?;
        ensure!(reasons == wanted, "{reasons:?}");
        Ok(())
    })
    .await?;
    let (_, all) = letters(&pipeline).await?;
    let of = |reason: &str| all.iter().find(|letter| letter.reason == reason).unwrap();
    ensure!(
        of("missing_field").detail.contains("amount_paid"),
        "{}",
        of("missing_field").detail
    );
    ensure!(
        all.iter().any(|letter| letter.value == b"this is not Avro"),
        "byte for byte"
    );
    let refused = Refused { letters: 6, facts: 1 };
    exactly_once_but(&pipeline, &expected, refused, PATIENCE).await?;

    // Declared and put back, the sale is there; put back twice, it is there once.
    pipeline.apply(&late)?;
    let more = late.expected()?;
    ensure!(more.rows.len() == 1, "{:?}", more.rows);
    expected.rows.extend(more.rows);
    expected.facts += more.facts;
    for _ in 0..2 {
        let said = pipeline.run(&["replay", "--reason", "unknown_workspace"])?;
        ensure!(said.contains("1 unknown_workspace of stripe.events"), "{said}");
        exactly_once_but(&pipeline, &expected, refused, PATIENCE).await?;
    }
    pipeline.finish(vec![process, sink, ingest]).await
}
