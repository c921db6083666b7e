//! Links and partners: managed through the API host by the real SDKs, by several processes at once, and live at
//! the edge.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tributary_avro::{Config, Decoder, Encoder, Topic};
use tributary_dashboard::{ClickHouseConfig, ConfigTopic, DashboardConfig, Kafka, Management};
use tributary_ingest::ApiHost;
use tributary_testkit::{eventually, shared, unique};
use tributary_tests::pipeline::program;

use super::harness::{Edge, HOST, told};

const PATIENCE: Duration = Duration::from_secs(60);

/// An edge, and processes that manage its links. The first is behind the API host.
pub struct World {
    pub edge: Edge,
    pub apis: Vec<String>,
    pub clickhouse: (String, String),
}

impl World {
    pub async fn start(apis: usize) -> Result<Self> {
        let servers = shared().await?;
        let mut listeners = Vec::new();
        for _ in 0..apis {
            listeners.push(TcpListener::bind("127.0.0.1:0").await?);
        }
        let behind = listeners.first().context("no API")?.local_addr()?.to_string();
        let edge = Edge::start(&servers.kafka_bootstrap, |config| {
            config.api = Some(ApiHost {
                host: "127.0.0.1".into(),
                dashboard: behind,
            });
        })
        .await?;
        let database = unique("links");
        let clickhouse = (servers.clickhouse_url.clone(), database.clone());
        let config = tributary_sinks::ClickHouseConfig {
            url: servers.clickhouse_url.clone(),
            database,
            ..tributary_sinks::ClickHouseConfig::default()
        };
        let mut world = Self {
            edge,
            apis: Vec::new(),
            clickhouse,
        };
        world
            .sql(&format!("CREATE DATABASE {}", world.clickhouse.1), "default")
            .await?;
        tributary_sinks::migrate(&config).await?;
        for listener in listeners {
            world.api(listener).await?;
        }
        Ok(world)
    }

    pub async fn sql(&self, statement: &str, database: &str) -> Result<()> {
        let url = format!("{}/?database={database}", self.clickhouse.0);
        let answer = self.edge.http.post(url).body(statement.to_owned()).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        Ok(())
    }

    async fn api(&mut self, listener: TcpListener) -> Result<()> {
        let mut decoder = Decoder::<Config>::default();
        decoder.add(4, Topic::Config.schema())?;
        let topic = ConfigTopic {
            kafka: Kafka {
                bootstrap: self.edge.bootstrap.clone(),
                ..Kafka::default()
            },
            name: self.topic(),
        };
        let read = Box::new(move |bytes: &[u8]| Ok(decoder.decode(bytes)?));
        let config = DashboardConfig {
            clickhouse: ClickHouseConfig {
                url: self.clickhouse.0.clone(),
                database: self.clickhouse.1.clone(),
                ..ClickHouseConfig::default()
            },
            management: Some(Management::start(topic, Encoder::new(4), read)?),
            ..DashboardConfig::default()
        };
        let address = format!("http://{}", listener.local_addr()?);
        tokio::spawn(tributary_dashboard::serve(
            listener,
            config,
            std::future::pending(),
        ));
        eventually("the API is ready", PATIENCE, || async {
            let answer = self.edge.http.get(format!("{address}/readyz")).send().await?;
            ensure!(answer.status() == 200, "{}", answer.text().await?);
            Ok(())
        })
        .await?;
        self.apis.push(address);
        Ok(())
    }

    /// Declares an object, and waits until the first process knows it.
    pub async fn declare(&self, kind: &str, id: &str, document: Value) -> Result<()> {
        let config = Config {
            workspace: "acme".into(),
            kind: kind.into(),
            id: id.into(),
            at: 2,
            document: document.to_string(),
            ..Config::default()
        };
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.edge.bootstrap)
            .create()?;
        let (topic, key) = (self.topic(), format!("acme/{kind}/{id}"));
        let value = Encoder::<Config>::new(4).encode(&config)?;
        let record = FutureRecord::to(&topic).key(&key).payload(&value);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
        let path = match kind {
            "partner" => format!("/partners/links?partnerId={id}"),
            _ => format!("/links/info?linkId={id}"),
        };
        eventually(&format!("{kind} {id} is known"), PATIENCE, || async {
            self.ok(0, "GET", &path, Value::Null).await.map(|_| ())
        })
        .await
    }

    fn topic(&self) -> String {
        format!("{}{}", self.edge.prefix, Topic::Config.name())
    }

    fn ask(&self, api: usize, method: &str, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("{}{path}", self.apis[api]);
        let request = self.edge.http.request(method.parse().unwrap(), url);
        let request = request
            .header("authorization", "Bearer sk_edge")
            .timeout(PATIENCE);
        match body {
            Value::Null => request,
            body => request.body(body.to_string()),
        }
    }

    pub async fn ok(&self, api: usize, method: &str, path: &str, body: Value) -> Result<Value> {
        let (status, _, answer) = told(self.ask(api, method, path, &body).send().await?).await?;
        ensure!(status == 200, "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// Where a link leads now, without the click; or the status.
    async fn leads(&self, key: &str) -> Result<String> {
        let answer = self.edge.get(&format!("/{key}")).send().await?;
        Ok(match answer.headers().get("location") {
            Some(location) => location
                .to_str()?
                .split("?dub_id")
                .next()
                .unwrap_or_default()
                .to_owned(),
            None => answer.status().as_u16().to_string(),
        })
    }

    pub async fn leads_to(&self, key: &str, expected: &str) -> Result<()> {
        eventually(&format!("{key} leads to {expected}"), PATIENCE, || async {
            let found = self.leads(key).await?;
            ensure!(found == expected, "{found}");
            Ok(())
        })
        .await
    }
}

/// Exit code of `tributary links`, and what it said.
async fn command(server: &str, arguments: &[&str]) -> Result<(i32, String)> {
    let output = tokio::process::Command::new(program()?)
        .arg("links")
        .args(arguments)
        .args(["--server", server])
        .env("TRIBUTARY_TOKEN", "sk_edge")
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().context("killed")?, String::from_utf8(said)?))
}

async fn sdk(program: &str, script: &str, server: &str) -> Result<()> {
    let tests = env!("CARGO_MANIFEST_DIR");
    let output = tokio::process::Command::new(program)
        .arg(format!("{tests}/sdks/{script}"))
        .args([server, "sk_edge", HOST])
        .env("PYTHONPATH", format!("{tests}/../target/python"))
        .stdin(Stdio::null())
        .output()
        .await?;
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        output.status.success() && out.trim() == "ok",
        "{script} (its packages come by scripts/install-test-packages): {out}\n{error}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_manage_links_through_the_one_host() -> Result<()> {
    let world = World::start(1).await?;
    let server = format!("http://{}", world.edge.address);
    sdk("node", "links.mjs", &server).await?;
    sdk("python3", "links.py", &server).await?;
    // What they left is live: a partner's link with its page.
    world.leads_to("pia-py", "https://acme.example/").await?;
    world.leads_to("node", "404").await?;
    // Nobody gets through without a secret key, to whatever is behind.
    for (key, status) in [("", 401), ("Bearer nobody", 401), ("Bearer pk_edge", 403)] {
        for path in ["/links", "/overview", "/workspaces", "/"] {
            let mut request = world.edge.http.get(format!("{server}{path}"));
            if !key.is_empty() {
                request = request.header("authorization", key);
            }
            assert_eq!(request.send().await?.status(), status, "{path} with {key:?}");
        }
    }
    let large = world
        .edge
        .http
        .post(format!("{server}/links"))
        .header("authorization", "Bearer sk_edge");
    assert_eq!(
        large.body(vec![b' '; 1024 * 1024 + 1]).send().await?.status(),
        413
    );
    // The edge's own routes are its own on that host.
    let lead = json!({"clickId": "0123456789abcdEF", "eventName": "Sign up", "customerExternalId": "u_1"});
    let (status, _, answer) = told(world.edge.call("/track/lead", &lead).send().await?).await?;
    assert_eq!(status, 200, "{answer}");
    Ok(())
}

/// Three sales of two customers, a lead of a third, what a partner earned of them, and clicks of which some have no
/// place, no link, or a trigger that is none of the SDKs'.
pub const LEDGER: [&str; 3] = [
    "INSERT INTO conversions (id, revision, sign, workspace, mode, kind, at, object, keys, customer, amount, currency,
        quantity, sale_type, attributed_by, commission, click_id, clicked_at, link_id, domain, key, url, partner_id,
        program_id, country) VALUES
     ('s1', 1, 1, 'acme', 'live', 'sale', '2025-03-01 10:00:00', 'in:in_1', ['in:in_1'], 'u_1', 4900, 'usd', 1, 'new', 'click', 490,
        'c000000000000001', '2025-03-01 09:00:00', 'link_1', 'go.acme', 'ada', 'https://acme.example', 'ada', 'main', 'DE'),
     ('s2', 1, 1, 'acme', 'live', 'sale', '2025-04-01 10:00:00', 'in:in_2', ['in:in_2'], 'u_1', 2900, 'usd', 1, 'recurring', 'click', 870,
        'c000000000000001', '2025-03-01 09:00:00', 'link_1', 'go.acme', 'ada', 'https://acme.example', 'ada', 'main', 'DE'),
     ('s3', 1, 1, 'acme', 'live', 'sale', '2025-05-01 10:00:00', 'in:in_3', ['in:in_3'], 'u_2', 1900, 'usd', 1, 'new', 'click', 190,
        'c000000000000002', '2025-05-01 09:00:00', 'link_1', 'go.acme', 'ada', 'https://acme.example', 'ada', 'main', 'US'),
     ('l1', 1, 1, 'acme', 'live', 'lead', '2025-05-02 10:00:00', 'lead:l1', [], 'cus_3', 0, '', 1, '', 'none', 0,
        '', 0, '', '', '', '', '', '', '')",
    "INSERT INTO commissions (id, revision, sign, workspace, mode, kind, at, conversion_id, refund_id, customer, amount,
        currency, state, partner_id, program_id) VALUES
     ('k1', 1, 1, 'acme', 'live', 'sale', '2025-03-01 10:00:00', 's1', '', 'u_1', 490, 'usd', 'pending', 'ada', 'main'),
     ('k2', 1, 1, 'acme', 'live', 'sale', '2025-04-01 10:00:00', 's2', '', 'u_1', 870, 'usd', 'approved', 'ada', 'main'),
     ('k3', 1, 1, 'acme', 'live', 'sale', '2025-05-01 10:00:00', 's3', '', 'u_2', 190, 'usd', 'paid', 'ada', 'main'),
     ('k4', 1, 1, 'acme', 'live', 'take_back', '2025-04-02 10:00:00', 's2', 'r1', 'u_1', -290, 'usd', 'pending', 'ada', 'main')",
    "INSERT INTO clicks (id, workspace, mode, at, link_id, domain, key, url, partner_id, program_id, trigger, country, region,
        city, continent, device, browser, os, referer, referer_url, utm_source, utm_campaign) VALUES
     ('c000000000000001', 'acme', 'live', '2025-03-01 09:00:00', 'link_1', 'go.acme', 'ada', 'https://acme.example', 'ada',
        'main', 'script', 'DE', 'DE-BE', 'Berlin', 'EU', 'desktop', 'Chrome', 'macOS', 'x.com', 'x.com/a', 'letter', 'autumn'),
     ('c000000000000002', 'acme', 'live', '2025-05-01 09:00:00', 'link_1', 'go.acme', 'ada', 'https://acme.example', 'ada',
        'main', 'api', '', '', '', '', '', '', '', '(direct)', '(direct)', '', ''),
     ('c000000000000003', 'acme', 'live', '2025-05-02 09:00:00', 'l_1', 'go.acme.example', 'ada', 'https://acme.example/?a=b',
        '', 'main', 'qr', 'US', 'US-NY', 'New York', 'NA', 'mobile', 'Safari', 'iOS', '(direct)', '(direct)', '', ''),
     ('c000000000000004', 'acme', 'live', '2025-05-03 09:00:00', '', '', '', '', '', '', 'deeplink', 'FR', '', '', 'XX',
        'mobile', 'Safari', 'iOS', '(direct)', '(direct)', '', '')",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_read_the_ledger_through_the_one_host() -> Result<()> {
    let world = World::start(1).await?;
    for statement in LEDGER {
        world.sql(statement, &world.clickhouse.1).await?;
    }
    let server = format!("http://{}", world.edge.address);
    sdk("node", "reads.mjs", &server).await?;
    sdk("python3", "reads.py", &server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_create_one_key_the_first_wins() -> Result<()> {
    let mut world = World::start(2).await?;
    for round in 0..40 {
        let key = format!("race{round}");
        let create = |api: usize, n: usize| {
            let body = json!({"url": format!("https://acme.example/{round}/{n}"), "key": key, "externalId": format!("e{round}")});
            let request = world.ask(api, "POST", "/links", &body);
            async move { told(request.send().await?).await }
        };
        let answers = tokio::try_join!(create(0, 0), create(1, 1), create(0, 2), create(1, 3))?;
        let answers = [answers.0, answers.1, answers.2, answers.3];
        let mut statuses: Vec<u16> = answers.iter().map(|(status, ..)| *status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409], "round {round}: {answers:?}");
        let winner = &answers
            .iter()
            .find(|(status, ..)| *status == 200)
            .context("none")?
            .2;
        world
            .leads_to(&key, winner["url"].as_str().context("url")?)
            .await?;
    }
    // The command line is one of them.
    let (first, second) = tokio::try_join!(
        command(
            &world.apis[0],
            &["create", "--url", "https://acme.example/cli", "--key", "cli"]
        ),
        command(
            &world.apis[1],
            &["create", "--url", "https://acme.example/cli", "--key", "cli"]
        ),
    )?;
    let (won, lost) = if first.0 == 0 {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!((won.0, lost.0), (0, 1), "{won:?} {lost:?}");
    assert!(lost.1.starts_with("error: 409: "), "{lost:?}");
    let made: Value = serde_json::from_str(&won.1)?;
    let change = [
        "update",
        made["id"].as_str().context("id")?,
        "--url",
        "https://acme.example/changed",
    ];
    assert_eq!(command(&world.apis[1], &change).await?.0, 0);
    world.leads_to("cli", "https://acme.example/changed").await?;
    // One moves to a place, another creates there, a third deletes who moves: at most one is there.
    for round in 0..20 {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        let mover = world
            .ok(
                0,
                "POST",
                "/links",
                json!({"url": "https://acme.example/m", "key": old}),
            )
            .await?;
        let path = format!("/links/{}", mover["id"].as_str().context("id")?);
        let (moved, created, deleted) = tokio::try_join!(
            world.ask(0, "PATCH", &path, &json!({"key": new})).send(),
            world
                .ask(
                    1,
                    "POST",
                    "/links",
                    &json!({"url": "https://acme.example/c", "key": new})
                )
                .send(),
            world.ask(1, "DELETE", &path, &Value::Null).send(),
        )?;
        let (moved, created) = (moved.status().as_u16(), created.status().as_u16());
        assert_eq!(deleted.status(), 200);
        assert!(
            matches!((moved, created), (200, 409) | (409 | 404 | 200, 200)),
            "{moved} {created}"
        );
        let expected = if created == 200 {
            "https://acme.example/c"
        } else {
            "404"
        };
        world.leads_to(&new, expected).await?;
        world.leads_to(&old, "404").await?;
    }
    // A process that starts later reads the same, from records alone.
    let late = TcpListener::bind("127.0.0.1:0").await?;
    world.api(late).await?;
    let of = |api| world.ok(api, "GET", "/links?search=race&pageSize=100", Value::Null);
    let (first, second, late) = (of(0).await?, of(1).await?, of(2).await?);
    assert_eq!(first.as_array().context("list")?.len(), 40);
    assert_eq!(first, second);
    assert_eq!(first, late);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_live_at_once_and_figures_are_the_ledgers() -> Result<()> {
    let world = World::start(1).await?;
    let made = world
        .ok(
            0,
            "POST",
            "/links",
            json!({"url": "https://acme.example/0", "key": "live"}),
        )
        .await?;
    let id = made["id"].as_str().context("id")?;
    let mut slowest = Duration::ZERO;
    for n in 1..20 {
        let url = format!("https://acme.example/{n}");
        world
            .ok(0, "PATCH", &format!("/links/{id}"), json!({"url": url}))
            .await?;
        let answered = Instant::now();
        world.leads_to("live", &url).await?;
        slowest = slowest.max(answered.elapsed());
    }
    // The promise is a second; on a busy machine that would be a test of the machine.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert_eq!((&made["clicks"], &made["saleAmount"]), (&json!(0), &json!(0)));
    let click = format!(
        "INSERT INTO clicks (id, workspace, mode, at, link_id) VALUES ('c', 'acme', 'live', now64(3), '{id}')"
    );
    world.sql(&click, &world.clickhouse.1).await?;
    let found = world
        .ok(0, "GET", &format!("/links/info?linkId={id}"), Value::Null)
        .await?;
    assert_eq!(found["clicks"], 1);
    // An expired link answers 410, and leads elsewhere if it says so.
    let past = json!({"expiresAt": "2020-01-01T00:00:00Z"});
    world.ok(0, "PATCH", &format!("/links/{id}"), past).await?;
    world.leads_to("live", "410").await?;
    world
        .ok(
            0,
            "PATCH",
            &format!("/links/{id}"),
            json!({"expiredUrl": "https://acme.example/over"}),
        )
        .await?;
    world.leads_to("live", "https://acme.example/over").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_a_dead_process_left_holds_nobody_up_for_long() -> Result<()> {
    let world = World::start(1).await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &world.edge.bootstrap)
        .create()?;
    let (topic, key) = (world.topic(), format!("*/claim/link/{HOST}/left"));
    let headers = OwnedHeaders::new().insert(Header {
        key: "claim",
        value: Some("dead"),
    });
    let record = FutureRecord::<str, [u8]>::to(&topic).key(&key).headers(headers);
    producer
        .send(record, Duration::from_secs(10))
        .await
        .map_err(|(error, _)| error)?;
    let body = json!({"url": "https://acme.example/", "key": "left"});
    let (status, retry, answer) = told(world.ask(0, "POST", "/links", &body).send().await?).await?;
    assert_eq!((status, retry.as_deref()), (503, Some("1")), "{answer}");
    eventually("it is released", PATIENCE, || async {
        world.ok(0, "POST", "/links", body.clone()).await.map(|_| ())
    })
    .await
}
