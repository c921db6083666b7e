//! That the pipeline processed its input exactly once: everything that is compared when a test's events are sent.
//!
//! Absence is not waited for: first the ledger must be right, then every group must have read all there is, then the
//! ledger must still be right.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tributary_testkit::eventually;

use super::Pipeline;
use super::kafka::{count, lag};
use crate::ledger::{self, TABLES};
use crate::traffic::Expected;

const INPUTS: [(&str, &str); 6] = [
    ("tributary-normalize", "tracks"),
    ("tributary-normalize", "stripe.events"),
    ("tributary-normalize", "config"),
    ("tributary-join", "clicks"),
    ("tributary-join", "claims"),
    ("tributary-attribute", "facts"),
];

/// What `verify` counted, by verdict; `facts` is the number of records.
pub type Verdicts = BTreeMap<String, u64>;

/// Input that is meant to be refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refused {
    /// Dead letters.
    pub letters: usize,
    /// Those of them that stand in `facts`.
    pub facts: u64,
}

/// Wants the ledger of the simulation in ClickHouse, row for row, and all counts to add up.
///
/// # Errors
/// With what differs.
pub async fn exactly_once(pipeline: &Pipeline, expected: &Expected, within: Duration) -> Result<Verdicts> {
    exactly_once_but(pipeline, expected, Refused::default(), within).await
}

/// As [`exactly_once`], with input that is meant to be refused.
///
/// # Errors
/// With what differs.
pub async fn exactly_once_but(
    pipeline: &Pipeline,
    expected: &Expected,
    refused: Refused,
    within: Duration,
) -> Result<Verdicts> {
    let clickhouse = pipeline.clickhouse()?;
    let entries = ledger::entries(&expected.rows)?;
    ensure!(
        !entries.is_empty(),
        "nothing is expected, so nothing would be proved"
    );
    if let Err(error) = ledger::becomes(&clickhouse, &entries, within).await {
        // Whether facts are missing or the ledger of them is wrong: that is where a search begins.
        let verify = pipeline.run(&["verify"])?;
        return Err(error.context(format!("{} facts expected, verify said {verify}", expected.facts)));
    }
    all_is_read(pipeline, within).await?;
    ledger::becomes(&clickhouse, &entries, Duration::ZERO)
        .await
        .context("after all was read")?;
    clickhouse.roll_ups_hold().await?;
    let clicks = clickhouse.number("SELECT uniqExact(id) FROM clicks").await?;
    ensure!(
        u64::try_from(clicks)? == expected.clicks,
        "{clicks} clicks, {} expected",
        expected.clicks
    );
    let dead = count(&pipeline.servers.kafka_bootstrap()?, "dead-letters")?;
    ensure!(dead == refused.letters, "{dead} dead letters");
    let verdicts = verdicts(&pipeline.run(&["verify"])?)?;
    let of = |name: &str| verdicts.get(name).copied().unwrap_or_default();
    ensure!(
        of("rejected") == 0 && of("undecodable") == refused.facts,
        "{verdicts:?}"
    );
    let sum = of("applied") + of("held") + of("duplicate") + refused.facts;
    ensure!(sum == of("facts"), "{verdicts:?}");
    // Every distinct fact arrived, and no other.
    ensure!(
        of("applied") + of("held") == expected.facts,
        "{} facts expected, {verdicts:?}",
        expected.facts
    );
    Ok(verdicts)
}

/// Waits until every stage and the sink have read all there is.
///
/// # Errors
/// If they have not in time.
pub async fn all_is_read(pipeline: &Pipeline, within: Duration) -> Result<()> {
    let bootstrap = pipeline.servers.kafka_bootstrap()?;
    let clickhouse = pipeline.clickhouse()?;
    // In the order of the flow: what is behind a stage that has read all can only shrink.
    for (group, topic) in INPUTS {
        eventually(&format!("{group} has read {topic}"), within, || async {
            let lag = lag(&bootstrap, group, topic)?;
            ensure!(lag == 0, "{lag} records behind");
            Ok(())
        })
        .await?;
    }
    for table in TABLES.into_iter().chain(["clicks"]) {
        let records = count(&bootstrap, table)?;
        eventually(&format!("{table} has each record once"), within, || async {
            clickhouse.stores_each_record_once(table, records).await
        })
        .await?;
    }
    Ok(())
}

/// The line `facts N: applied A, held H, ...` of `verify`.
fn verdicts(text: &str) -> Result<Verdicts> {
    let line = text
        .lines()
        .find(|line| line.starts_with("facts "))
        .with_context(|| format!("verify said {text}"))?;
    let (total, rest) = line.split_once(": ").with_context(|| line.to_owned())?;
    let pairs = rest
        .split(", ")
        .chain([total])
        .filter_map(|pair| pair.split_once(' '));
    pairs
        .map(|(name, number)| Ok((name.to_owned(), number.parse()?)))
        .collect()
}
