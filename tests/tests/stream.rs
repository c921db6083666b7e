//! Live events on a real Kafka: each comes as it happens, and who comes back misses none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Response;
use serde_json::Value;
use tributary_avro::{Click, Conversion, Op, Record, Refund};
use tributary_testkit::{eventually, free_port, shared};
use tributary_tests::pipeline::program;
use tributary_tests::stages::Stages;

const PATIENCE: Duration = Duration::from_secs(40);

/// The dashboard as a process of its own.
struct Dashboard {
    child: Child,
    url: String,
}

impl Dashboard {
    async fn start(stages: &Stages) -> Result<Self> {
        let kafka = &stages.config.kafka;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let child = Command::new(program()?)
            .arg("dashboard")
            .current_dir(stages.dir())
            .env("TRIBUTARY_KAFKA__BOOTSTRAP", &kafka.bootstrap)
            .env("TRIBUTARY_KAFKA__TOPIC_PREFIX", &kafka.topic_prefix)
            .env("TRIBUTARY_REGISTRY__URL", &stages.config.registry_url)
            .env("TRIBUTARY_DASHBOARD__LISTEN", &listen)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(stages.dir().join("dashboard.log"))?)
            .spawn()?;
        let dashboard = Self {
            child,
            url: format!("http://{listen}"),
        };
        eventually("the dashboard", PATIENCE, || async {
            let answer = reqwest::get(format!("{}/healthz", dashboard.url)).await?;
            ensure!(answer.status().is_success());
            Ok(())
        })
        .await?;
        Ok(dashboard)
    }

    async fn answer(&self, query: &str, position: Option<&str>) -> Result<Response> {
        let url = format!("{}/events/stream?workspace=acme&{query}", self.url);
        let mut request = reqwest::Client::new().get(url);
        if let Some(position) = position {
            request = request.header("last-event-id", position);
        }
        Ok(request.send().await?)
    }

    async fn look(&self, query: &str, position: Option<&str>) -> Result<Stream> {
        let response = self.answer(query, position).await?;
        ensure!(response.status().is_success(), "{}", response.text().await?);
        let mut stream = Stream {
            response,
            text: String::new(),
            position: String::new(),
        };
        ensure!(stream.next().await? == Told::Position, "no position at first");
        Ok(stream)
    }

    /// SIGTERM, and to its end.
    fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(&pid).status()?;
        ensure!(self.child.wait()?.success(), "the dashboard did not end well");
        Ok(())
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    Position,
    /// Name and what it is about.
    Event(String),
}

/// As a browser reads it.
struct Stream {
    response: Response,
    text: String,
    position: String,
}

impl Stream {
    async fn next(&mut self) -> Result<Told> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = block.lines().find_map(|line| line.strip_prefix(name));
                    found.map(|value| value.trim().to_owned())
                };
                let (id, event, data) = (field("id:"), field("event:"), field("data:"));
                self.text = rest.to_owned();
                if let Some(id) = id {
                    self.position = id;
                    return Ok(Told::Position);
                }
                if let (Some(event), Some(data)) = (event, data) {
                    let data: Value = serde_json::from_str(&data)?;
                    let about = data["eventId"].as_str().or(data["click"]["id"].as_str());
                    return Ok(Told::Event(format!(
                        "{event} {}",
                        about.context("an event about nothing")?
                    )));
                }
                // A comment that keeps the connection.
            }
            let Some(chunk) = tokio::time::timeout(PATIENCE, self.response.chunk()).await?? else {
                bail!("the stream ended");
            };
            self.text.push_str(std::str::from_utf8(&chunk)?);
        }
    }

    /// The next so many events, in order, and the position behind them.
    async fn events(&mut self, count: usize) -> Result<Vec<String>> {
        let mut events = Vec::new();
        loop {
            match self.next().await? {
                Told::Event(event) => events.push(event),
                Told::Position if events.len() >= count => return Ok(events),
                Told::Position => {}
            }
        }
    }
}

async fn write<T: Record>(stages: &Stages, rows: &[T]) -> Result<()> {
    let encoder = stages.encoder::<T>(T::TOPIC).await?;
    let records = rows
        .iter()
        .map(|row| Ok((b"acme/live".to_vec(), encoder.encode(row)?)));
    stages.send(T::TOPIC, records.collect::<Result<_>>()?).await
}

fn click(id: &str) -> Click {
    Click {
        id: id.into(),
        workspace: "acme".into(),
        mode: "live".into(),
        ..Click::default()
    }
}

fn conversion(kind: &str, id: &str, revision: i64, op: Op) -> Conversion {
    Conversion {
        id: id.into(),
        kind: kind.into(),
        revision,
        op,
        workspace: "acme".into(),
        mode: "live".into(),
        ..Conversion::default()
    }
}

fn refund(id: &str) -> Refund {
    Refund {
        id: id.into(),
        revision: 1,
        workspace: "acme".into(),
        mode: "live".into(),
        ..Refund::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen_and_none_is_missed() -> Result<()> {
    let stages = Stages::create(shared().await?, "stream", 3).await?;
    write(&stages, &[click("before")]).await?;
    write(&stages, &[conversion("sale", "before", 1, Op::Assert)]).await?;
    let dashboard = Dashboard::start(&stages).await?;
    let mut all = dashboard.look("", None).await?;
    let mut refunds = dashboard.look("event=refunds", None).await?;

    // Of a topic in order; topics beside each other.
    let bot = Click {
        bot: "list".into(),
        ..click("bot")
    };
    let repeat = Click {
        duplicate_of: "c1".into(),
        ..click("repeat")
    };
    let foreign = Click {
        workspace: "other".into(),
        ..click("foreign")
    };
    write(&stages, &[bot, foreign, repeat, click("c1")]).await?;
    assert_eq!(all.events(1).await?, ["click c1"]);
    let test = Conversion {
        mode: "test".into(),
        ..conversion("sale", "t1", 1, Op::Assert)
    };
    let rows = [
        conversion("lead", "l1", 1, Op::Assert),
        test,
        conversion("sale", "s1", 1, Op::Assert),
        conversion("sale", "s1", 1, Op::Retract),
        conversion("sale", "s1", 2, Op::Assert),
        conversion("subscription", "u1", 1, Op::Assert),
    ];
    write(&stages, &rows).await?;
    assert_eq!(
        all.events(4).await?,
        ["lead l1", "sale s1", "retracted s1", "sale s1"]
    );
    write(&stages, &[refund("r1")]).await?;
    assert_eq!(all.events(1).await?, ["refund r1"]);
    assert_eq!(refunds.events(1).await?, ["refund r1"]);

    // Away for a while: what came meanwhile comes first, and nothing twice.
    let position = all.position.clone();
    drop(all);
    write(&stages, &[conversion("sale", "s2", 1, Op::Assert)]).await?;
    write(&stages, &[click("c2")]).await?;
    let mut again = dashboard.look("", Some(&position)).await?;
    let mut missed = again.events(2).await?;
    missed.sort();
    assert_eq!(missed, ["click c2", "sale s2"]);
    write(&stages, &[refund("r2")]).await?;
    assert_eq!(again.events(1).await?, ["refund r2"]);

    for (query, position, problem) in [
        ("", Some("1;2"), "Last-Event-ID"),
        ("event=payments", None, "payments"),
        ("sort=up", None, "sort"),
    ] {
        let answer = dashboard.answer(query, position).await?;
        assert_eq!(answer.status(), 400);
        let text = answer.text().await?;
        assert!(text.contains(problem), "{text}");
    }
    // Streams are open, and do not hold it up.
    dashboard.stop()?;
    while again.next().await.is_ok() {}
    Ok(())
}
