//! `erase`: forgets a person. A marker in topic config keeps the name out from then on, replays included; a tombstone
//! takes it from topic people; the rows in ClickHouse are deleted. Facts and ledger hold IDs and hashes and stay.
//!
//! Every step may be repeated: an erasure that was interrupted goes on when the command is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tributary_avro::{Config, Topic};
use tributary_domain::mail::{self, MailKey};
use tributary_domain::normalize::{ERASED, Erasure, guest, person_key};
use tributary_domain::rules::Workspace;
use tributary_processors::kafka::admin::kept_ms;

use super::apply::{Declared, declared, publish};
use super::ledger::client;
use crate::cli::Erase;
use crate::output;
use crate::settings::Settings;

/// Topics that have what was told in the clear, and lose it by age.
const RAW: [Topic; 3] = [Topic::Tracks, Topic::StripeEvents, Topic::DeadLetters];
/// Beyond the age of what normalize knows: a record that it has in hand is in Kafka by then.
const SETTLE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// Rows that share an address with the one that is named, or with the address that was given. Addresses are compared
/// as hashes: what the server writes into its logs is no address.
const FIND: &str = "
WITH known AS (
    SELECT mode, customer, email, if(email = '', '', lower(hex(SHA256(
        replaceRegexpOne(lowerUTF8(trimBoth(email)), '[+].*@', '@'))))) AS mail
    FROM people WHERE workspace = ? AND is_deleted = 0 AND (mode = ? OR ? = '')
)
SELECT DISTINCT mode, customer, email FROM known
WHERE customer IN ? OR (mail != '' AND (mail = ? OR mail IN (SELECT mail FROM known WHERE customer IN ?)))";

const LANDED: &str = "
SELECT mode, customer, max(version) AS version FROM people
WHERE workspace = ? AND customer IN ? AND is_deleted = 1 GROUP BY mode, customer";

/// Rows that go; those of a statement after the erasure stay.
const DOOMED: &str =
    "workspace = ? AND mode IN ? AND customer IN ? AND is_deleted = 0 AND at <= fromUnixTimestamp64Milli(?)";

#[derive(clickhouse::Row, serde::Deserialize)]
struct Known {
    mode: String,
    customer: String,
    email: String,
}

#[derive(clickhouse::Row, serde::Deserialize)]
struct Landed {
    mode: String,
    customer: String,
    version: u64,
}

/// Who is forgotten, and where.
struct Plan {
    workspace: String,
    /// All names of the person: IDs and hashes.
    customers: BTreeSet<String>,
    modes: BTreeSet<String>,
    at: Timestamp,
}

/// Forgets a person.
pub async fn run(settings: &Settings, ask: &Erase) -> Result<ExitCode> {
    let plan = plan(settings, ask).await?;
    // Asked first: whoever may not know how long raw records are kept learns it before anything is gone.
    let ends = last_copy_ends(settings, plan.at).await?;
    let mut rows = doomed(settings, &plan).await?;
    if !ask.dry_run {
        publish(settings, &plan.markers()?).await?;
        output::note("marked in topic config; waiting until normalize knows");
        tokio::time::sleep(Duration::from_millis(settings.normalize.settings_age_ms) + SETTLE).await;
        let tombstones = tombstones(settings, &plan).await?;
        wait(settings, &plan, &tombstones, ask.wait).await?;
        rows = rows.max(doomed(settings, &plan).await?);
        delete(settings, &plan).await?;
        let back = doomed(settings, &plan).await?;
        ensure!(
            back == 0,
            "{back} rows came back while they were deleted: something was slow; run the same command again"
        );
    }
    plan.print(ask, rows, ends);
    Ok(ExitCode::SUCCESS)
}

async fn plan(settings: &Settings, ask: &Erase) -> Result<Plan> {
    let key = settings.mail_key()?;
    ensure!(
        !key.expose().is_empty(),
        "the mail key is not set: run this with the settings of normalize, or guests cannot be named"
    );
    let key = MailKey::new(key.expose());
    let declared = declared(settings).await?;
    let place = |kind: &str, id: &str| (ask.workspace.clone(), kind.to_owned(), id.to_owned());
    let Some(workspace) = declared.get(&place("workspace", &ask.workspace)) else {
        bail!(
            "there is no workspace {:?}; `tributary get` lists what there is",
            ask.workspace
        );
    };
    let workspace: Workspace = serde_json::from_str(&workspace.document)?;
    let id = ask.customer.trim();
    ensure!(!id.is_empty(), "--customer is empty");
    let name = key.hash(id).map_or_else(|| id.to_owned(), |hash| guest(&hash));
    // An erasure that was interrupted may have deleted what tied the names together.
    let mut customers = erased_with(&declared, &ask.workspace, &name);
    let mode = ask.mode.as_deref().unwrap_or_default();
    let seeds: Vec<&String> = customers.iter().collect();
    let found: Vec<Known> = client(settings)
        .query(FIND)
        .bind(&ask.workspace)
        .bind(mode)
        .bind(mode)
        .bind(&seeds)
        .bind(mail::normalize(id).map_or_else(String::new, |mail| hex::encode(Sha256::digest(mail))))
        .bind(&seeds)
        .fetch_all()
        .await
        .context("look for the person in ClickHouse")?;
    let mut modes: BTreeSet<String> = match &ask.mode {
        Some(mode) => [mode.clone()].into(),
        None => workspace.modes.into_iter().collect(),
    };
    for row in found {
        customers.extend(key.hash(&row.email).map(|hash| guest(&hash)));
        customers.insert(row.customer);
        modes.insert(row.mode);
    }
    // The new marker takes the old one's place, so it must say as much.
    for customer in &customers {
        let marker = declared.get(&place(ERASED, customer));
        modes.extend(marker.into_iter().flat_map(|marker| marker.modes.iter().cloned()));
    }
    Ok(Plan {
        workspace: ask.workspace.clone(),
        customers,
        modes,
        at: Timestamp::now(),
    })
}

/// The name itself, and those that were erased by the same command before: their markers have the same time.
fn erased_with(declared: &Declared, workspace: &str, name: &str) -> BTreeSet<String> {
    let erased = |config: &&Config| config.workspace == workspace && config.kind == ERASED;
    let before = declared.values().filter(erased).find(|c| c.id == name);
    let others = declared.values().filter(erased);
    others
        .filter(|config| before.is_some_and(|before| before.at == config.at))
        .map(|config| config.id.clone())
        .chain([name.to_owned()])
        .collect()
}

impl Plan {
    fn markers(&self) -> Result<Vec<Config>> {
        let at = self.at.as_millisecond();
        let marker = |customer: &String| {
            let erasure = Erasure {
                customer: customer.clone(),
                at,
            };
            Ok(Config {
                workspace: self.workspace.clone(),
                kind: ERASED.to_owned(),
                id: customer.clone(),
                at,
                modes: self.modes.iter().cloned().collect(),
                document: serde_json::to_string(&erasure)?,
                ..Config::default()
            })
        };
        self.customers.iter().map(marker).collect()
    }

    fn print(&self, ask: &Erase, rows: u64, ends: Option<Timestamp>) {
        let list = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>().join(", ");
        if ask.json {
            let told = json!({
                "workspace": self.workspace,
                "modes": self.modes,
                "customers": self.customers,
                "at": self.at.to_string(),
                "rows": rows,
                "last_raw_copy_ends": ends.map(|ends| ends.to_string()),
                "dry_run": ask.dry_run,
            });
            return output::line(&told.to_string());
        }
        let verb = if ask.dry_run { "would forget" } else { "forgotten" };
        output::line(&format!(
            "{verb} in {} ({}): {}",
            self.workspace,
            list(&self.modes),
            list(&self.customers)
        ));
        output::line(&format!("rows with names in ClickHouse: {rows}"));
        let raw = RAW.map(Topic::name).join(", ");
        output::line(&match ends {
            Some(ends) => format!(
                "the last raw copy ends on {} ({raw}); until then nothing reads a name from it again",
                ends.strftime("%Y-%m-%d")
            ),
            None => {
                format!("the last raw copy never ends: one of {raw} is kept for ever, set its retention.ms")
            }
        });
        if rows == 0 {
            output::note(
                "ClickHouse knew nobody of this name: is it the one in column customer? It will not be shown either way",
            );
        }
    }
}

/// When the last record of before now is gone from the topics with raw records; None: never.
async fn last_copy_ends(settings: &Settings, now: Timestamp) -> Result<Option<Timestamp>> {
    let mut longest = 0;
    for topic in RAW {
        match kept_ms(&settings.kafka, topic).await? {
            Some(kept) => longest = kept.max(longest),
            None => return Ok(None),
        }
    }
    Ok(now.checked_add(SignedDuration::from_millis(longest)).ok())
}

/// Publishes the tombstones; gives the offset of each, by mode and customer.
async fn tombstones(settings: &Settings, plan: &Plan) -> Result<BTreeMap<(String, String), u64>> {
    let producer: FutureProducer = settings.kafka.producer().create()?;
    let topic = settings.kafka.topic(Topic::People);
    let mut offsets = BTreeMap::new();
    for mode in &plan.modes {
        for customer in &plan.customers {
            let key = person_key(&plan.workspace, mode, customer);
            let record = FutureRecord::<String, [u8]>::to(&topic).key(&key);
            let sent = producer.send(record, Duration::from_secs(10)).await;
            let delivery = sent.map_err(|(error, _)| anyhow!(error)).with_context(|| {
                format!("publish to topic {topic}; the marker stands, run the same command again")
            })?;
            offsets.insert((mode.clone(), customer.clone()), u64::try_from(delivery.offset)?);
        }
    }
    Ok(offsets)
}

/// Waits until the sink has landed every tombstone: what stands before it in the topic has then landed too.
async fn wait(
    settings: &Settings,
    plan: &Plan,
    tombstones: &BTreeMap<(String, String), u64>,
    seconds: u64,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut say = Instant::now() + SAY_AGAIN;
    loop {
        let landed: Vec<Landed> = client(settings)
            .query(LANDED)
            .bind(&plan.workspace)
            .bind(plan.customers.iter().collect::<Vec<_>>())
            .fetch_all()
            .await
            .context("read ClickHouse; run the same command again when it is back")?;
        let is_there = |row: &&Landed| {
            let offset = tombstones.get(&(row.mode.clone(), row.customer.clone()));
            offset.is_some_and(|offset| row.version >= *offset)
        };
        let (count, all) = (landed.iter().filter(is_there).count(), tombstones.len());
        if count == all {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "the sink has landed {count} of {all} tombstones in {seconds} s, so ClickHouse may still show the \
                 person. Does `tributary sink` run, and what does it log? Run the same command again: it goes on"
            );
        }
        if Instant::now() > say {
            output::note(&format!(
                "waiting for the sink: {count} of {all} tombstones have landed"
            ));
            say += SAY_AGAIN;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn about(query: clickhouse::query::Query, plan: &Plan) -> clickhouse::query::Query {
    query
        .bind(&plan.workspace)
        .bind(plan.modes.iter().collect::<Vec<_>>())
        .bind(plan.customers.iter().collect::<Vec<_>>())
        .bind(plan.at.as_millisecond())
}

async fn doomed(settings: &Settings, plan: &Plan) -> Result<u64> {
    let sql = format!("SELECT count() FROM people WHERE {DOOMED}");
    let count = about(client(settings).query(&sql), plan).fetch_one();
    count.await.context("read ClickHouse")
}

/// Writes the parts that hold the rows anew, on every replica, and waits for it.
async fn delete(settings: &Settings, plan: &Plan) -> Result<()> {
    let on_cluster = match settings.clickhouse.cluster.as_str() {
        "" => String::new(),
        cluster => format!(" ON CLUSTER `{cluster}`"),
    };
    let sql = format!("ALTER TABLE people{on_cluster} DELETE WHERE {DOOMED} SETTINGS mutations_sync = 2");
    let deleted = about(client(settings).query(&sql), plan).execute();
    deleted
        .await
        .context("delete from ClickHouse; run the same command again")
}
