//! Forgetting a person through the real roles: names go, numbers stay, and no replay brings a name back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use tributary_domain::mail::MailKey;
use tributary_domain::normalize::guest;
use tributary_domain::simulate::Line;
use tributary_testkit::eventually;
use tributary_tests::pipeline::proof::{all_is_read, exactly_once};
use tributary_tests::pipeline::send::send;
use tributary_tests::pipeline::{Pipeline, kafka};
use tributary_tests::traffic::stripe::Payment;
use tributary_tests::traffic::{MAIL_KEY, Traffic, webhook};

const PATIENCE: Duration = Duration::from_secs(60);
const AT: i64 = 1_750_000_000;
const MAIL: &str = "zelda.q@secretmail.test";
/// In lower case: found in whatever case it is written.
const NEEDLES: [&str; 3] = ["zelda", "quillfeather", "secretmail"];
/// Topics that keep what they have, and no names.
const FOR_EVER: [&str; 6] = [
    "facts",
    "claims",
    "conversions",
    "refunds",
    "commissions",
    "config",
];

fn call(what: &str, at: i64, mut body: Value) -> Line {
    if at > 0 {
        body["timestamp"] = jiff::Timestamp::from_second(at).unwrap().to_string().into();
    }
    Line {
        at: jiff::Timestamp::from_second(at + 1).unwrap(),
        method: "POST".to_owned(),
        path: format!("/track/{what}"),
        headers: BTreeMap::from([("authorization".to_owned(), "Bearer dub_acme_live".to_owned())]),
        body,
    }
}

fn lead(id: &str, name: &str, mail: &str, at: i64) -> Line {
    let avatar = format!("https://pics.test/{name}.png");
    call(
        "lead",
        at,
        json!({"clickId": "", "eventName": "Sign up", "customerExternalId": id, "customerName": name, "customerEmail": mail,
            "customerAvatar": avatar, "metadata": {"first_name": name, "Customer-Email": mail, "plan": "pro"}}),
    )
}

/// A person who is told of by call, by Stripe customer and as a guest, and one who stays.
fn lines() -> Vec<Line> {
    let payment = |customer, id| Payment {
        id,
        customer,
        email: MAIL,
        at: AT,
        total: 9_000,
        tax: 0,
        currency: "usd",
        promotion: "",
        subscription: "",
    };
    let hook = |id, kind, object| webhook("acme", id, kind, AT + 60, object);
    let mut customer = payment("cus_7", "c").customer_object(json!({"full_name": "Zelda Quillfeather"}));
    customer["name"] = "Zelda Quillfeather".into();
    let mut session = payment("", "g").session("", false);
    session["customer_details"] = json!({"email": "Zelda.Q+shop@SecretMail.test", "name": "Z. Quillfeather"});
    let mut invoice = payment("cus_7", "i").invoice(true, "manual");
    invoice["customer_name"] = "Zelda Quillfeather".into();
    vec![
        lead("user_7", "Zelda Quillfeather", MAIL, AT),
        call(
            "sale",
            AT + 30,
            json!({"customerExternalId": "user_7", "customerName": "Zelda Quillfeather", "customerEmail": MAIL,
                "amount": 5_000, "currency": "usd", "invoiceId": "own_1", "paymentProcessor": "bank",
                "metadata": {"customer_name": "Zelda"}}),
        ),
        hook("evt_1", "customer.created", customer),
        hook("evt_2", "checkout.session.completed", session),
        hook("evt_3", "invoice.paid", invoice),
        lead("user_8", "Bob Keepme", "bob@other.test", AT),
    ]
}

fn names_in(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    NEEDLES.iter().any(|needle| text.contains(needle))
}

/// Where the person's name or address still stands, for ever.
async fn found(pipeline: &Pipeline) -> Result<Vec<String>> {
    let bootstrap = pipeline.servers.kafka_bootstrap()?;
    let mut places = Vec::new();
    for topic in FOR_EVER {
        let hits = kafka::records(&bootstrap, topic, names_in)?;
        places.extend(hits.contains(&true).then(|| format!("topic {topic}")));
    }
    let people = kafka::latest(&bootstrap, "people")?;
    let hit = |(key, value): (&Vec<u8>, &Vec<u8>)| names_in(key) || names_in(value);
    places.extend(people.iter().any(hit).then(|| "topic people".to_owned()));
    // Every row of every part, merged or not.
    for table in ["clicks", "conversions", "refunds", "commissions", "people"] {
        let rows = pipeline
            .clickhouse()?
            .text(&format!("SELECT * FROM {table} FORMAT JSONEachRow"))
            .await?;
        places.extend(names_in(rows.as_bytes()).then(|| format!("table {table}")));
    }
    scan(&pipeline.dir().join("state"), &mut places)?;
    Ok(places)
}

fn scan(dir: &Path, places: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            scan(&path, places)?;
        } else if std::fs::read(&path).is_ok_and(|bytes| names_in(&bytes)) {
            places.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Customers that are shown, with their names.
async fn shown(pipeline: &Pipeline) -> Result<String> {
    let sql = "SELECT concat(customer, '=', name) FROM people FINAL ORDER BY 1 FORMAT TSV";
    Ok(pipeline.clickhouse()?.text(sql).await?.trim().replace('\n', ", "))
}

async fn become_shown(pipeline: &Pipeline, expected: &str) -> Result<()> {
    eventually("people in ClickHouse", PATIENCE, || async {
        let shown = shown(pipeline).await?;
        ensure!(shown == expected, "{shown} instead of {expected}");
        Ok(())
    })
    .await
}

async fn forget_position(pipeline: &Pipeline, group: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", pipeline.servers.kafka_bootstrap()?)
        .create()?;
    // Kafka notices only after a moment that the last member is gone.
    eventually("the group is empty", PATIENCE, || async {
        for result in admin.delete_groups(&[group], &AdminOptions::new()).await? {
            result.map_err(|(group, code)| anyhow::anyhow!("{group}: {code}"))?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_forgotten_and_no_replay_brings_the_name_back() -> Result<()> {
    let traffic = Traffic::of("acme", lines())?;
    let expected = traffic.expected()?;
    let pipeline = Pipeline::start("erase", &traffic).await?;
    let bootstrap = pipeline.servers.kafka_bootstrap()?;
    let ingest = pipeline.ingest().await?;
    let process = pipeline.role("process", &["process"], &[])?;
    let sink = pipeline.role("sink", &["sink"], &[])?;
    send(&pipeline.edge, &traffic.lines).await?;
    exactly_once(&pipeline, &expected, PATIENCE).await?;

    let hash = MailKey::new(MAIL_KEY).hash(MAIL).context("no address")?;
    let zelda = format!(
        "cus_7=Zelda Quillfeather, {}=Z. Quillfeather, user_7=Zelda Quillfeather",
        guest(&hash)
    );
    become_shown(&pipeline, &format!("{zelda}, user_8=Bob Keepme")).await?;
    // Before: where names are shown, and nowhere else for ever. And the search finds what is there.
    ensure!(
        found(&pipeline).await? == ["topic people", "table people"],
        "{:?}",
        found(&pipeline).await?
    );
    ensure!(kafka::records(&bootstrap, "tracks", names_in)?.contains(&true));
    let ledger = pipeline.clickhouse()?.net().await?;

    let ask = ["erase", "--workspace", "acme", "--customer"];
    let dry = pipeline.run(&[&ask[..], &["user_7", "--dry-run"]].concat())?;
    ensure!(dry.contains("would forget") && dry.contains("cus_7"), "{dry}");
    become_shown(&pipeline, &format!("{zelda}, user_8=Bob Keepme")).await?;

    let told: Value = serde_json::from_str(&pipeline.run(&[&ask[..], &["user_7", "--json"]].concat())?)?;
    ensure!(
        told["customers"] == json!(["cus_7", guest(&hash), "user_7"]),
        "{told}"
    );
    ensure!(
        told["modes"] == json!(["live", "test"]) && told["rows"].as_u64() >= Some(3),
        "{told}"
    );
    let ends: jiff::Timestamp = told["last_raw_copy_ends"].as_str().context("no end")?.parse()?;
    let days = (ends.as_second() - jiff::Timestamp::now().as_second()).div_euclid(86_400);
    // 30 days, and a day until their segment is closed.
    ensure!(days == 30, "ends in {days} days and something: {told}");
    become_shown(&pipeline, "user_8=Bob Keepme").await?;
    ensure!(
        found(&pipeline).await?.is_empty(),
        "{:?}",
        found(&pipeline).await?
    );
    ensure!(
        pipeline.clickhouse()?.net().await? == ledger,
        "the ledger changed"
    );

    // All that was received is read again from the beginning.
    let bobs = || {
        anyhow::Ok(
            kafka::records(&bootstrap, "people", |value| {
                String::from_utf8_lossy(value).contains("Bob")
            })?
            .into_iter()
            .filter(|hit| *hit)
            .count(),
        )
    };
    let before = bobs()?;
    process.stop()?;
    forget_position(&pipeline, "tributary-normalize").await?;
    let process = pipeline.role("process", &["process"], &[])?;
    eventually("the replay", PATIENCE, || async {
        ensure!(bobs()? > before, "not yet");
        Ok(())
    })
    .await?;
    all_is_read(&pipeline, PATIENCE).await?;
    // The sink has read what the replay wrote.
    eventually("the sink", PATIENCE, || async {
        let lag = kafka::lag(&bootstrap, "tributary-sink-people", "people")?;
        ensure!(lag == 0, "{lag} records behind");
        Ok(())
    })
    .await?;
    ensure!(
        shown(&pipeline).await? == "user_8=Bob Keepme",
        "{}",
        shown(&pipeline).await?
    );
    ensure!(
        found(&pipeline).await?.is_empty(),
        "{:?}",
        found(&pipeline).await?
    );
    ensure!(
        pipeline.clickhouse()?.net().await? == ledger,
        "the ledger changed"
    );

    // Who comes back is shown again, and can be forgotten again: by the address.
    let again = Traffic::of("acme", vec![lead("user_7", "Zelda Quillfeather", MAIL, 0)])?;
    send(&pipeline.edge, &again.lines).await?;
    become_shown(&pipeline, "user_7=Zelda Quillfeather, user_8=Bob Keepme").await?;
    let said = pipeline.run(&[&ask[..], &[MAIL]].concat())?;
    ensure!(
        said.contains("user_7") && said.contains("the last raw copy ends on "),
        "{said}"
    );
    ensure!(!names_in(said.as_bytes()), "{said}");
    become_shown(&pipeline, "user_8=Bob Keepme").await?;
    ensure!(
        found(&pipeline).await?.is_empty(),
        "{:?}",
        found(&pipeline).await?
    );
    pipeline.finish(vec![process, sink, ingest]).await
}
