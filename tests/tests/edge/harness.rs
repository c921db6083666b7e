//! One edge on a real broker, with topics of its own and one workspace `acme`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tributary_avro::{Config, Conversion, Decoder, Encoder, Record, Topic};
use tributary_ingest::{Encoders, IngestConfig, Readers};
use tributary_testkit::{eventually, unique};

pub const SECRET: &str = "whsec_edge";
pub const HOST: &str = "go.acme.example";
const PATIENCE: Duration = Duration::from_secs(30);

type Reader<T> = Box<dyn FnMut(&[u8]) -> Result<T> + Send>;

pub struct Edge {
    pub address: SocketAddr,
    pub http: Client,
    pub prefix: String,
    pub bootstrap: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<Result<()>>,
    _secrets: tempfile::TempDir,
}

impl Edge {
    /// An edge that is ready; `adjust` may change its settings.
    pub async fn start(bootstrap: &str, adjust: impl FnOnce(&mut IngestConfig)) -> Result<Self> {
        let prefix = format!("{}.", unique("edge"));
        create_topics(bootstrap, &prefix).await?;
        declare(bootstrap, &prefix).await?;
        let secrets = tempfile::tempdir()?;
        std::fs::create_dir(secrets.path().join("acme"))?;
        std::fs::write(secrets.path().join("acme/one"), format!("{SECRET}\n"))?;

        let mut config = IngestConfig::new(([127, 0, 0, 1], 0).into(), bootstrap);
        config.kafka.topic_prefix.clone_from(&prefix);
        config.secrets_dir = Some(secrets.path().to_owned());
        adjust(&mut config);
        let encoders = Encoders {
            click: Encoder::new(1),
            track: Encoder::new(2),
            stripe: Encoder::new(3),
        };
        let readers = Readers {
            config: reader::<Config>(4)?,
            entry: reader::<Conversion>(5)?,
        };
        let bound = tributary_ingest::bind(config, encoders, readers, Box::new(String::new)).await?;
        let address = bound.address();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async move { drop(stopped.await) }));
        let edge = Self {
            address,
            http: Client::builder()
                .redirect(redirect::Policy::none())
                .timeout(PATIENCE)
                .build()?,
            prefix,
            bootstrap: bootstrap.to_owned(),
            stop: Some(stop),
            served,
            _secrets: secrets,
        };
        edge.readiness_becomes(200).await?;
        Ok(edge)
    }

    pub async fn readiness_becomes(&self, status: u16) -> Result<Value> {
        eventually(&format!("/readyz {status}"), PATIENCE, || async {
            let response = self.get("/readyz").send().await?;
            let found = response.status().as_u16();
            let body: Value = response.json().await?;
            ensure!(found == status, "{found} {body}");
            Ok(body)
        })
        .await
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http
            .get(format!("http://{}{path}", self.address))
            .header("host", HOST)
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http
            .post(format!("http://{}{path}", self.address))
            .body(body)
    }

    pub fn call(&self, path: &str, body: &Value) -> RequestBuilder {
        self.post(path, body.to_string())
            .header("authorization", "Bearer sk_edge")
    }

    /// A webhook with a signature made `age` seconds ago.
    pub fn webhook(&self, body: impl Into<Vec<u8>>, secret: &str, age: i64) -> RequestBuilder {
        let body = body.into();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.unwrap().as_secs().cast_signed() - age;
        let signature = tributary_domain::requests::sign(&body, secret.as_bytes(), seconds);
        self.post("/webhooks/stripe/acme", body)
            .header("stripe-signature", signature)
    }

    /// The first `count` records of a topic, in order.
    pub async fn records(&self, topic: Topic, count: usize) -> Result<Vec<OwnedMessage>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "test")
            .create()?;
        let mut from = TopicPartitionList::new();
        let name = format!("{}{}", self.prefix, topic.name());
        from.add_partition_offset(&name, 0, Offset::Beginning)?;
        consumer.assign(&from)?;
        tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            while found.len() < count {
                let message = consumer
                    .poll(PATIENCE)
                    .with_context(|| format!("{} of {count} records", found.len()))??;
                found.push(message.detach());
            }
            Ok(found)
        })
        .await?
    }

    /// Writes an entry of the ledger, as the attribution does.
    pub async fn record(&self, entry: &Conversion) -> Result<()> {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()?;
        let topic = format!("{}{}", self.prefix, Topic::Conversions.name());
        let value = Encoder::<Conversion>::new(5).encode(entry)?;
        let record = FutureRecord::to(&topic).key(&entry.workspace).payload(&value);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map(drop).map_err(|(error, _)| error.into())
    }

    /// Asks it to stop, as SIGTERM does.
    pub fn ask_to_stop(&mut self) -> Result<()> {
        self.stop.take().context("stopped twice")?.send(()).ok();
        Ok(())
    }

    /// Waits until it has stopped; asks it first if nobody did.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.take().map(|stop| stop.send(()).ok());
        self.served.await?
    }
}

/// Status, Retry-After and JSON body of an answer.
pub async fn told(response: Response) -> Result<(u16, Option<String>, Value)> {
    let status = response.status().as_u16();
    let retry = response.headers().get("retry-after");
    let retry = retry.map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).with_context(|| text.clone())?;
    Ok((status, retry, body))
}

fn reader<T: Record + 'static>(id: u32) -> Result<Reader<T>> {
    let mut decoder = Decoder::<T>::default();
    decoder.add(id, T::TOPIC.schema())?;
    Ok(Box::new(move |bytes| Ok(decoder.decode(bytes)?)))
}

pub fn header(message: &OwnedMessage, name: &str) -> String {
    maybe_header(message, name).unwrap_or_else(|| panic!("no header {name}"))
}

pub fn maybe_header(message: &OwnedMessage, name: &str) -> Option<String> {
    let headers = message.headers().unwrap();
    let found = headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(found.value.unwrap().to_vec()).unwrap())
}

pub fn decode<T: Record>(message: &OwnedMessage) -> T {
    let id = match T::TOPIC {
        Topic::Clicks => 1,
        Topic::Tracks => 2,
        _ => 3,
    };
    let mut decoder = Decoder::<T>::default();
    decoder.add(id, T::TOPIC.schema()).unwrap();
    decoder.decode(message.payload().unwrap()).unwrap()
}

async fn create_topics(bootstrap: &str, prefix: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let names = [
        Topic::Clicks,
        Topic::Tracks,
        Topic::StripeEvents,
        Topic::Config,
        Topic::Conversions,
    ]
    .map(|topic| format!("{prefix}{}", topic.name()));
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1)))
        .collect();
    for result in admin.create_topics(&topics, &AdminOptions::new()).await? {
        result.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
    }
    Ok(())
}

async fn declare(bootstrap: &str, prefix: &str) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let encoder = Encoder::<Config>::new(4);
    let hash = |key: &str| hex::encode(Sha256::digest(key));
    let topic = format!("{prefix}{}", Topic::Config.name());
    let documents = [
        (
            "workspace",
            "acme",
            json!({"id": "acme", "domains": [HOST], "api_keys": [
            {"name": "s", "sha256": hash("sk_edge")},
            {"name": "p", "sha256": hash("pk_edge"), "kind": "publishable"},
            {"name": "r", "sha256": hash("tk_reads"), "kind": "token", "scopes": ["analytics.read", "links.read"]},
            {"name": "w", "sha256": hash("tk_writes"), "kind": "token", "scopes": ["links.write", "commissions.write"]},
            {"name": "a", "sha256": hash("tk_ada"), "kind": "token", "partner": "ada", "scopes":
                ["analytics.read", "customers.read", "commissions.read", "links.read", "partners.read"]}]}),
        ),
        (
            "link",
            "l_1",
            json!({"key": "ada", "url": "https://acme.example/?a=b"}),
        ),
        ("link", "broken", json!({"no": "link"})),
        (
            "program",
            "main",
            json!({"id": "main", "url": "https://acme.example/", "revenue_origins": ["shop"],
                "conversion_types": [{"code": "couponredeem", "as": "redemption"}]}),
        ),
    ];
    for (kind, id, document) in documents {
        let config = Config {
            workspace: "acme".into(),
            kind: kind.into(),
            id: id.into(),
            at: 1,
            document: document.to_string(),
            ..Config::default()
        };
        let (key, value) = (format!("acme/{kind}/{id}"), encoder.encode(&config)?);
        let record = FutureRecord::to(&topic).key(&key).payload(&value);
        producer
            .send(record, Duration::from_secs(10))
            .await
            .map_err(|(e, _)| e)?;
    }
    Ok(())
}
