//! An edge for measuring: ADDR BOOTSTRAP, schema IDs 1, config records as bare JSON with schema ID 1.
use std::collections::BTreeMap;
use tributary_avro::{Config, Decoder, Encoder, Record, Topic};
use tributary_ingest::{Encoders, IngestConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, listen, bootstrap, ..] = args.as_slice() else {
        anyhow::bail!("edge ADDR BOOTSTRAP [links]");
    };
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let links: usize = args.get(3).map_or(Ok(0), |n| n.parse())?;
    if links > 0 {
        declare(bootstrap, links).await?;
    }
    let mut config = IngestConfig::new(listen.parse()?, bootstrap);
    config.visitor_secret = Some(b"secret".to_vec());
    // Whoever measures names the visitors.
    config.trusted_proxies = vec!["127.0.0.0/8".parse()?];
    config.kafka.properties = BTreeMap::new();
    for pair in args.iter().skip(4) {
        if let Some((k, v)) = pair.split_once('=') {
            config.kafka.properties.insert(k.to_owned(), v.to_owned());
        }
    }
    let encoders = Encoders {
        click: Encoder::new(1),
        track: Encoder::new(2),
        stripe: Encoder::new(3),
    };
    let mut decoder = Decoder::<Config>::default();
    decoder.add(4, Topic::Config.schema())?;
    tributary_ingest::run(
        config,
        encoders,
        Box::new(move |bytes| Ok(decoder.decode(bytes)?)),
        Box::new(move || metrics.render()),
        async { drop(tokio::signal::ctrl_c().await) },
    )
    .await
}

async fn declare(bootstrap: &str, links: usize) -> anyhow::Result<()> {
    use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
    use serde_json::json;
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let encoder = Encoder::<Config>::new(4);
    let send = |kind: &str, id: String, document: serde_json::Value| {
        let config = Config {
            workspace: "acme".into(),
            kind: kind.into(),
            id,
            at: 1,
            document: document.to_string(),
            ..Config::default()
        };
        let key = format!("acme/{kind}/{}", config.id);
        let value = encoder.encode(&config)?;
        let record = FutureRecord::to(Config::TOPIC.name()).key(&key).payload(&value);
        drop(producer.send_result(record).map_err(|(e, _)| e)?);
        anyhow::Ok(())
    };
    send(
        "workspace",
        "acme".into(),
        json!({"id": "acme", "domains": ["go.acme.example", "127.0.0.1"]}),
    )?;
    send("program", "main".into(), json!({"id": "main"}))?;
    for i in 0..200 {
        send(
            "partner",
            format!("p_{i:03}"),
            json!({"id": format!("p_{i:03}"), "name": format!("Partner {i}"), "group": "gold"}),
        )?;
    }
    for i in 0..links {
        let url = format!(
            "https://example.com/p/{i:06}?utm_source=partner&utm_campaign=c{:02}",
            i % 50
        );
        send(
            "link",
            format!("lnk_{i:05}"),
            json!({"id": format!("lnk_{i:05}"), "key": format!("k{i:05}"), "url": url, "partner": format!("p_{:03}", i % 200)}),
        )?;
    }
    producer.flush(std::time::Duration::from_secs(30))?;
    Ok(())
}
