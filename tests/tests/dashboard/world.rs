//! Dashboards that see Kafka too: what is declared, how far stages are, dead letters and Stripe's events.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tributary_avro::{Config, DeadLetter, Encoder, Record, StripeEvent, Topic};
use tributary_dashboard::{
    ConfigTopic, Kafka, Management, Pipeline, PipelineConfig, PipelineReaders, Replayed, Stage,
};
use tributary_tests::stages::Stages;

use crate::fixture::{Fixture, fixture, runtime};

const PROGRAM: &str = include_str!("program.yaml");
pub const HOUR: i64 = 3_600_000;

/// A dashboard with topics of its own.
pub struct World {
    pub stages: Stages,
    pub dashboard: Fixture,
}

/// The seeded ledger, with the program that it is of, and a pipeline in which something went wrong; shared.
pub fn world() -> &'static World {
    static SHARED: OnceLock<World> = OnceLock::new();
    SHARED.get_or_init(|| {
        let world = World::on(fixture());
        world.declare(PROGRAM);
        let now = jiff::Timestamp::now().as_millisecond();
        world.put_letters(now);
        world.put_events(now);
        world.commit("normalize", Topic::Tracks, &[2, 0]);
        world
    })
}

/// Nothing anywhere.
pub fn empty() -> World {
    World::on(&Fixture::start(|_| {}))
}

/// Neither ClickHouse nor Kafka answers.
pub fn broken() -> Fixture {
    let port = tributary_testkit::free_port().unwrap();
    let stages = runtime().block_on(async {
        let servers = tributary_testkit::shared().await.unwrap();
        Stages::create(servers, "broken", 1).await.unwrap()
    });
    let kafka = Kafka {
        bootstrap: format!("127.0.0.1:{port}"),
        ..Kafka::default()
    };
    Fixture::without_clickhouse().beside(None, Some(pipeline(&stages, kafka)))
}

impl World {
    fn on(fixture: &Fixture) -> Self {
        let stages = runtime().block_on(async {
            let servers = tributary_testkit::shared().await.unwrap();
            Stages::create(servers, "world", 2).await.unwrap()
        });
        let kafka = Kafka {
            bootstrap: stages.config.kafka.bootstrap.clone(),
            ..Kafka::default()
        };
        let topic = ConfigTopic {
            kafka: kafka.clone(),
            name: stages.topic(Topic::Config),
        };
        let id = runtime().block_on(async {
            let registry = tributary_processors::registry(&stages.config).await.unwrap();
            registry.id(Topic::Config).await.unwrap()
        });
        let management =
            Management::start(topic, Encoder::<Config>::new(id), reader(&stages, Topic::Config)).unwrap();
        let pipeline = pipeline(&stages, kafka);
        let dashboard = fixture.beside(Some(management), Some(pipeline));
        Self { stages, dashboard }
    }

    fn declare(&self, program: &str) {
        let file = tributary_domain::rules::parse(program).unwrap();
        let at = "2025-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let configs = file.configs(at.as_millisecond());
        let count = configs.len();
        self.put(Topic::Config, configs, |config| {
            format!("{}/{}/{}", config.workspace, config.kind, config.id)
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.dashboard.get("/coupons?workspace=ws_acme&search=NADIA") == serde_json::json!([]) {
            assert!(Instant::now() < deadline, "{count} objects were not read");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn put_letters(&self, now: i64) {
        let letter = |number: i64| {
            let (stage, reason, detail) = [
                ("normalize", "invalid_amount", "amount: -5 is negative (E1)"),
                (
                    "normalize",
                    "thin_event",
                    "v2.core.event: needs the API to be fetched",
                ),
                (
                    "join",
                    "unreadable",
                    "not in the Confluent wire format: magic byte is not 0",
                ),
            ][usize::try_from(number % 3).unwrap()];
            DeadLetter {
                topic: self.stages.topic(Topic::Tracks),
                partition: 0,
                offset: number,
                stage: stage.to_owned(),
                reason: reason.to_owned(),
                detail: detail.to_owned(),
                at: now - number * HOUR,
                key: (if number % 2 == 0 {
                    "ws_acme/live"
                } else {
                    "ws_other"
                })
                .into(),
                value: vec![b'x'; 100],
            }
        };
        self.put(
            Topic::DeadLetters,
            (0..7).map(letter).collect(),
            |letter: &DeadLetter| String::from_utf8_lossy(&letter.key).into_owned(),
        );
    }

    fn put_events(&self, now: i64) {
        let event = |number: i64| StripeEvent {
            id: format!("evt_{number}"),
            event_type: ["invoice.paid", "charge.succeeded", "charge.refunded"]
                [usize::try_from(number % 3).unwrap()]
            .to_owned(),
            workspace: (if number == 9 { "ws_other" } else { "ws_acme" }).to_owned(),
            mode: (if number == 8 { "test" } else { "live" }).to_owned(),
            account: String::new(),
            api_version: "2025-09-30.clover".to_owned(),
            created: now - (20 - number) * HOUR,
            received: now - (20 - number) * HOUR + 900,
            body: b"{}".to_vec(),
        };
        self.put(
            Topic::StripeEvents,
            (0..10).map(event).collect(),
            |event: &StripeEvent| format!("{}/{}", event.workspace, event.mode),
        );
    }

    pub fn put<T: Record>(&self, topic: Topic, records: Vec<T>, key: impl Fn(&T) -> String) {
        runtime().block_on(async {
            let encoder = self.stages.encoder::<T>(topic).await.unwrap();
            let framed = records
                .iter()
                .map(|record| (key(record).into_bytes(), encoder.encode(record).unwrap()));
            self.stages.send(topic, framed.collect()).await.unwrap();
        });
    }

    /// As a stage that has read so far, partition by partition.
    pub fn commit(&self, stage: &str, topic: Topic, offsets: &[i64]) {
        let kafka = &self.stages.config.kafka;
        let consumer: BaseConsumer = kafka
            .client()
            .set("group.id", kafka.group(stage))
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(&self.stages.topic(topic), partition, Offset::Offset(*offset))
                .unwrap();
        }
        consumer.commit(&list, CommitMode::Sync).unwrap();
    }
}

fn reader<T: Record + 'static>(stages: &Stages, topic: Topic) -> tributary_dashboard::Reader<T> {
    let decoder = runtime().block_on(async {
        let registry = tributary_processors::registry(&stages.config).await.unwrap();
        registry.decoder::<T>(topic).await.unwrap()
    });
    Box::new(move |value| {
        let read = runtime().handle().block_on(decoder.decode(value));
        read.map_err(|error| anyhow::anyhow!(error.to_string()))
    })
}

fn pipeline(stages: &Stages, kafka: Kafka) -> Pipeline {
    let group = |name, topic| Stage {
        name,
        group: stages.config.kafka.group(name),
        topics: vec![stages.topic(topic)],
    };
    Pipeline::new(PipelineConfig {
        kafka,
        stages: vec![
            group("normalize", Topic::Tracks),
            group("join", Topic::Clicks),
            group("attribute", Topic::Facts),
            group("sink", Topic::Conversions),
        ],
        dead_letters: stages.topic(Topic::DeadLetters),
        stripe_events: stages.topic(Topic::StripeEvents),
        readers: PipelineReaders {
            letter: reader(stages, Topic::DeadLetters),
            event: reader(stages, Topic::StripeEvents),
        },
        replay: Some(std::sync::Arc::new(|reason| {
            Box::pin(async move {
                let reason = reason.unwrap_or_else(|| "any".to_owned());
                let topic = "tracks".to_owned();
                Ok(vec![Replayed {
                    topic,
                    reason,
                    count: 3,
                }])
            })
        })),
        spool_bytes: 1 << 30,
        secrets_dir: None,
    })
}
