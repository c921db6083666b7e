//! From Kafka into ClickHouse exactly once, whatever dies: real servers, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod sink_support;

use std::time::Duration;

use anyhow::Result;
use sink_support::{Known, World, id, push, sink_process as run_sink};
use tributary_avro::{Click, Conversion, Dimensions, Op, Topic};
use tributary_sinks::CRASH_POINTS;

/// Clicks of three months, spread over workspaces and days.
fn click(n: usize) -> (Vec<u8>, Click) {
    let id = format!("click{n:011}");
    let click = Click {
        id: id.clone(),
        workspace: "acme".to_owned(),
        mode: "live".to_owned(),
        at: 1_790_000_000_000 + (n as i64 % 3) * 31 * 86_400_000 + n as i64,
        link_id: format!("link_{}", n % 50),
        country: ["DE", "US", ""][n % 3].to_owned(),
        bot: if n.is_multiple_of(10) { "list" } else { "" }.to_owned(),
        tracked: true,
        ..Default::default()
    };
    (id.into_bytes(), click)
}

fn sale(n: usize, revision: i64, op: Op, amount: i64) -> (Vec<u8>, Conversion) {
    let conversion = Conversion {
        id: format!("sale_{n}"),
        revision,
        op,
        workspace: "acme".to_owned(),
        mode: "live".to_owned(),
        kind: "sale".to_owned(),
        at: 1_790_000_000_000 + n as i64 * 3_600_000,
        object: format!("in:in_{n}"),
        keys: vec![format!("in:in_{n}"), format!("pi:pi_{n}")],
        amount,
        currency: "usd".to_owned(),
        quantity: 1,
        dims: Dimensions {
            partner_id: format!("partner_{}", n % 3),
            ..Default::default()
        },
        lines: vec![tributary_avro::ConversionLine {
            product: "gold".to_owned(),
            quantity: 2,
            amount,
            ..Default::default()
        }],
        ..Default::default()
    };
    (b"acme/live".to_vec(), conversion)
}

async fn exactly(world: &World, clicks: u64) -> Result<()> {
    world.until("SELECT count() FROM {db}.clicks", clicks).await?;
    let ids: u64 = world.one("SELECT uniqExact(id) FROM {db}.clicks").await?;
    let places: u64 = world
        .one("SELECT uniqExact(kafka_partition, kafka_offset) FROM {db}.clicks")
        .await?;
    assert_eq!(
        (ids, places),
        (clicks, clicks),
        "no click twice, none twice from one place"
    );
    world
        .until(
            "SELECT toUInt64(sum(clicks + bots + duplicates)) FROM {db}.clicks_hourly",
            clicks,
        )
        .await
}

#[test]
#[ignore = "not a test: the process that other tests kill"]
fn sink_process() -> Result<()> {
    run_sink()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_roll_ups_are_what_was_sent() -> Result<()> {
    let world = World::new("sink_rows").await?;
    world.create_topics(3).await?;
    let sink = world.start();
    world.send(Topic::Clicks, (0..3_000).map(click))?;
    let sales = (0..300).flat_map(|n| {
        let first = sale(n, 1, Op::Assert, 100);
        let revised = [sale(n, 1, Op::Retract, 100), sale(n, 2, Op::Assert, 70)];
        std::iter::once(first).chain(revised.into_iter().filter(move |_| n % 2 == 0))
    });
    world.send(Topic::Conversions, sales)?;
    exactly(&world, 3_000).await?;
    let bots: i64 = world.one("SELECT sum(bots) FROM {db}.clicks_hourly").await?;
    assert_eq!(bots, 300);
    world.until("SELECT count() FROM {db}.conversions", 600).await?;
    let total: i64 = world
        .one("SELECT sum(amount) FROM {db}.conversions_hourly")
        .await?;
    assert_eq!(total, 150 * 100 + 150 * 70);
    let current: u64 = world.one("SELECT count() FROM {db}.conversions_current").await?;
    let net: i64 = world
        .one("SELECT sum(amount) FROM {db}.conversions_current")
        .await?;
    assert_eq!((current, net), (300, total));
    let lines: u64 = world
        .one("SELECT count() FROM {db}.conversions WHERE `lines.product` = ['gold'] AND `lines.quantity` = [2] AND has(keys, concat('pi:pi_', substring(id, 6))) AND lines.amount = [amount]")
        .await?;
    assert_eq!(lines, 600);
    sink.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_record_becomes_a_dead_letter_and_the_rest_goes_on() -> Result<()> {
    let world = World::new("sink_dead").await?;
    world.create_topics(1).await?;
    let topic = world.topic(Topic::Clicks);
    let producer = world.producer()?;
    let encoder = tributary_avro::Encoder::<Click>::new(id(Topic::Clicks));
    let good = encoder.encode(&click(1).1)?;
    let mut late = click(2).1;
    late.at = 99_999_999_999_999;
    let mut unknown = good.clone();
    unknown[4] = 99;
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (b"{}".to_vec(), "not_avro"),
        (Vec::new(), "not_avro"),
        (unknown, "unknown_schema"),
        (good[..good.len() - 1].to_vec(), "invalid_record"),
        ([good.as_slice(), b"x"].concat(), "invalid_record"),
        (encoder.encode(&late)?, "time_out_of_range"),
    ];
    for (value, _) in &bad {
        push(&producer, &topic, Some(0), b"key", value)?;
        push(&producer, &topic, Some(0), b"key", &good)?;
    }
    let sink = world.start();
    world
        .until("SELECT count() FROM {db}.clicks", bad.len() as u64)
        .await?;
    sink.stop().await?;

    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::Message;
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &world.servers.kafka_bootstrap)
        .set("group.id", "dead")
        .create()?;
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&world.topic(Topic::DeadLetters), 0, rdkafka::Offset::Beginning)?;
    consumer.assign(&list)?;
    let mut decoder = tributary_avro::Decoder::<tributary_avro::DeadLetter>::default();
    decoder.add(id(Topic::DeadLetters), Topic::DeadLetters.schema())?;
    for (n, (value, reason)) in bad.iter().enumerate() {
        let message = consumer.poll(Duration::from_secs(20)).expect("a dead letter")?;
        let letter = decoder.decode(message.payload().unwrap_or_default())?;
        assert_eq!(
            (letter.reason.as_str(), letter.offset, &letter.value),
            (*reason, 2 * n as i64, value)
        );
        assert_eq!(
            (
                letter.topic.as_str(),
                letter.stage.as_str(),
                letter.key.as_slice()
            ),
            (topic.as_str(), "sink", &b"key"[..])
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_point_every_click_is_one_row() -> Result<()> {
    for point in CRASH_POINTS {
        for nth in [1, 4] {
            let world = World::new("sink_crash").await?;
            world.create_topics(2).await?;
            world.send(Topic::Clicks, (0..500).map(click))?;
            let mut first = world.spawn(Some(&format!("{point}:{nth}")))?;
            // What comes in later makes later batches.
            let mut sent = 500;
            while first.0.try_wait()?.is_none() {
                world.send(Topic::Clicks, (sent..sent + 50).map(click))?;
                sent += 50;
                tokio::time::sleep(Duration::from_millis(40)).await;
                assert!(sent < 100_000, "{point}:{nth} is never reached");
            }
            let second = world.spawn(None)?;
            exactly(&world, sent as u64).await?;
            drop(second);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_registry_that_is_away_is_waited_for() -> Result<()> {
    use futures::FutureExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tributary_sinks::{SchemaError, Schemas};
    struct Away(AtomicBool, Known);
    impl Schemas for Away {
        fn schema(&self, id: u32) -> futures::future::BoxFuture<'_, Result<String, SchemaError>> {
            if self.0.load(Ordering::Relaxed) {
                return async { Err(SchemaError::Away("test".to_owned())) }.boxed();
            }
            self.1.schema(id)
        }
        fn id(&self, topic: Topic) -> futures::future::BoxFuture<'_, Result<u32, SchemaError>> {
            self.1.id(topic)
        }
    }
    let world = World::new("sink_away").await?;
    world.create_topics(2).await?;
    world.send(Topic::Clicks, (0..1_000).map(click))?;
    let away = Arc::new(Away(AtomicBool::new(true), Known::pipeline()));
    let sink = world.start_with(away.clone());
    tributary_testkit::eventually("the group to be there", Duration::from_secs(20), || async {
        anyhow::ensure!(Arc::strong_count(&away) > 1);
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let rows: u64 = world.one("SELECT count() FROM {db}.clicks").await?;
    assert_eq!(rows, 0);
    away.0.store(false, Ordering::Relaxed);
    exactly(&world, 1_000).await?;
    sink.stop().await
}
