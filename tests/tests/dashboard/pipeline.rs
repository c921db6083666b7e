//! The pipeline by API: lag and dead letters as Kafka has them, and what is said while it is away.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use std::time::Duration;
use tributary_avro::Topic;

use crate::fixture::fixture;
use crate::world::{broken, empty, world};

fn lag(seen: &Value, stage: &str) -> Value {
    let stages = seen["stages"].as_array().unwrap();
    let found = stages.iter().find(|row| row["stage"] == stage).unwrap();
    assert_eq!(found["lag"], found["topics"][0]["lag"]);
    json!([found["lag"], found["topics"][0]["begun"]])
}

#[test]
fn lag_is_what_is_not_read_yet() {
    let world = empty();
    let send = |count: usize| {
        let records = (0..count).map(|_| (b"ws_acme".to_vec(), b"x".to_vec())).collect();
        crate::fixture::runtime()
            .block_on(world.stages.send(Topic::Tracks, records))
            .unwrap();
    };
    send(5);
    assert_eq!(
        lag(&world.dashboard.get("/pipeline"), "normalize"),
        json!([5, false])
    );
    // All of a key are in one partition.
    let raw = world.stages.read_raw(Topic::Tracks).unwrap();
    let offsets = if raw[0].0 == 0 { [3, 0] } else { [0, 3] };
    world.commit("normalize", Topic::Tracks, &offsets);
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(
        lag(&world.dashboard.get("/pipeline"), "normalize"),
        json!([2, true])
    );
}

#[test]
fn what_ends_transactions_is_nothing_to_read() {
    let world = empty();
    let kafka = &world.stages.config.kafka;
    let topic = world.stages.topic(Topic::Conversions);
    let producer: BaseProducer = kafka.client().set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    for _ in 0..3 {
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::to(&topic).partition(0).key("k").payload("x"))
            .unwrap();
        producer.commit_transaction(Duration::from_secs(20)).unwrap();
    }
    // Three records, each with its marker behind it.
    world.commit("sink", Topic::Conversions, &[5]);
    assert_eq!(lag(&world.dashboard.get("/pipeline"), "sink"), json!([0, true]));
}

#[test]
fn dead_letters_are_told_with_their_reasons() {
    let seen = world().dashboard.get("/pipeline");
    assert_eq!(seen["kafka"], json!({"reachable": true, "reason": null}));
    let letters = &seen["deadLetters"];
    assert_eq!((&letters["count"], &letters["whole"]), (&json!(7), &json!(true)));
    assert_eq!(
        letters["reasons"],
        json!([{"stage": "join", "reason": "unreadable", "count": 2},
               {"stage": "normalize", "reason": "invalid_amount", "count": 3},
               {"stage": "normalize", "reason": "thin_event", "count": 2}])
    );
    let newest = letters["newest"].as_array().unwrap();
    assert_eq!(newest.len(), 7);
    assert!(newest.iter().all(|letter| letter["bytes"] == 100));
    // The process's own metrics.
    assert_eq!(seen["spool"], json!({"bytes": 3_000_000.0, "limit": 1 << 30}));
    assert_eq!(seen["everHeld"], 4.0);

    let own = world().dashboard.get("/pipeline?workspace=ws_acme&mode=live");
    let own = own["deadLetters"]["newest"].as_array().unwrap().clone();
    assert_eq!(own.len(), 4);
    assert!(own.iter().all(|letter| letter["key"] == "ws_acme/live"));
    let none = world().dashboard.get("/pipeline?workspace=ws_ac");
    assert_eq!(none["deadLetters"]["count"], 0);
}

#[test]
fn letters_are_put_back_by_whoever_means_it() {
    let json_type = ("content-type", "application/json");
    let wanted = json!({"reason": "invalid_amount"});
    let (status, done) = world().dashboard.post("/pipeline/replay", &wanted, &[json_type]);
    assert_eq!((status, &done["count"]), (200, &json!(3)));
    assert_eq!(done["replayed"][0]["reason"], "invalid_amount");
    // A form of another page can send this, and nothing else, without asking.
    let (status, _) = world()
        .dashboard
        .post("/pipeline/replay", &wanted, &[("content-type", "text/plain")]);
    assert_eq!(status, 415);
    let (status, _) = world().dashboard.post(
        "/pipeline/replay",
        &wanted,
        &[json_type, ("authorization", "Bearer of_one_workspace")],
    );
    assert_eq!(status, 401);
    let (status, _) = world()
        .dashboard
        .post("/pipeline/replay", &json!({"resaon": "x"}), &[json_type]);
    assert_eq!(status, 422);
}

#[test]
fn while_kafka_is_away_it_is_said() {
    let broken = broken();
    let seen = broken.get("/pipeline");
    assert_eq!(
        seen["kafka"],
        json!({"reachable": false, "reason": "Kafka does not answer."})
    );
    assert_eq!(
        (&seen["stages"], &seen["deadLetters"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(broken.get("/healthz")["status"], "ok");
    // Without Kafka from the start.
    fixture().refused("/pipeline", 501, "not_implemented");
    assert_eq!(fixture().get("/connections")["kafka"], Value::Null);
}
