//! Topic people against a real Kafka and ClickHouse: the latest statement stands, however often it is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod sink_support;

use std::time::Duration;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, Producer as _};
use sink_support::{World, create, id, push};
use tributary_avro::{Encoder, Person, Topic};

const STANDING: &str = "SELECT count() FROM {db}.people FINAL";
const STAND: &str = "SELECT arrayStringConcat(arraySort(groupArray(concat(customer, '=', name, ' ', email, ' ', toString(toUnixTimestamp64Milli(at))))), ';') \
     FROM {db}.people FINAL WHERE workspace = 'acme' AND mode = 'live'";

fn ada(name: &str, at: i64) -> Person {
    Person {
        workspace: "acme".into(),
        mode: "live".into(),
        customer: "a/da".into(),
        name: name.into(),
        email: "ada@example.com".into(),
        at,
        ..Person::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_latest_statement_stands_and_a_tombstone_takes_it_away() -> Result<()> {
    let mut world = World::new("sink_people").await?;
    world.create_topics(1).await?;
    let topic = world.topic(Topic::People);
    create(&world.servers, &topic, 4).await?;
    let (producer, encoder) = (world.producer()?, Encoder::<Person>::new(id(Topic::People)));
    let tell =
        |key: &str, person: &Person| push(&producer, &topic, None, key.as_bytes(), &encoder.encode(person)?);
    let forget = |key: &str| {
        producer
            .send(BaseRecord::<str, [u8]>::to(&topic).key(key))
            .map_err(|(error, _)| error)
    };
    tell("acme/live/a/da", &ada("Ada", 1))?;
    tell("acme/live/a/da", &ada("Lady Ada", 2))?;
    tell("acme/live/bob", &ada("Bob", 3))?;
    forget("acme/live/bob")?;
    tell("acme/live/carol", &ada("Carol", 4))?;
    forget("acme/live/carol")?;
    tell("acme/live/carol", &ada("Carol is back", 5))?;
    // No rows, and nothing to stop for.
    push(&producer, &topic, None, b"acme/live/dan", b"{}")?;
    tell("acme/dan", &ada("Dan", 6))?;
    tell("acme/live/dan", &ada("Dan", -1))?;
    tell("acme/live/eve", &ada("Eve", 7))?;
    producer.flush(Duration::from_secs(30))?;

    let stand =
        "a/da=Lady Ada ada@example.com 2;carol=Carol is back ada@example.com 5;eve=Eve ada@example.com 7";
    let sink = world.start();
    world.until(STANDING, 3).await?;
    assert_eq!(world.one::<String>(STAND).await?, stand);
    world
        .until(
            "SELECT countIf(is_deleted = 1 AND name = '' AND email = '' AND at > '2020-01-01') FROM {db}.people WHERE customer = 'bob' AND is_deleted",
            1,
        )
        .await?;
    sink.stop().await?;
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &world.servers.kafka_bootstrap)
        .set("group.id", "any")
        .create()?;
    let dead = world.topic(Topic::DeadLetters);
    let (low, high) = consumer.fetch_watermarks(&dead, 0, Duration::from_secs(10))?;
    assert_eq!(high - low, 3, "three dead letters");

    // Read from the beginning by another group, it is the same: rows are told apart by their version.
    world.sink.group.push_str("-again");
    tell("acme/live/fay", &ada("Fay", 8))?;
    producer.flush(Duration::from_secs(30))?;
    let sink = world.start();
    world.until(STANDING, 4).await?;
    let fay = format!("{stand};fay=Fay ada@example.com 8");
    assert_eq!(world.one::<String>(STAND).await?, fay);
    sink.stop().await?;

    // Merged, the text of what was overwritten or taken away is gone.
    let database = &world.clickhouse.database;
    let merge = format!("OPTIMIZE TABLE {database}.people FINAL");
    world.client.query(&merge).execute().await?;
    let gone = "SELECT countIf(name IN ('Ada', 'Bob', 'Carol')) FROM {db}.people";
    assert_eq!(world.one::<u64>(gone).await?, 0);
    assert_eq!(world.one::<String>(STAND).await?, fay);
    Ok(())
}
