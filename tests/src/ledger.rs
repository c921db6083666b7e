//! The net ledger in ClickHouse, by plain SQL over the rows with their signs, against the rows of `Simulation`.
//!
//! All columns count but `revision` (it depends on arrival) and the position in Kafka. The roll-ups are compared
//! with the rows, and the rows with the records of the topics.
//!
//! Invariant: a row that is missing, too many, or differs in one column is a difference.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};
use tributary_domain::engine::Row;

/// The ledger's tables, each fed by the topic of its name.
pub const TABLES: [&str; 3] = ["conversions", "refunds", "commissions"];

/// Entries by table and ID.
pub type Entries = BTreeMap<(String, String), Value>;

/// A connection by HTTP.
pub struct ClickHouse {
    client: reqwest::Client,
    url: String,
    database: String,
}

impl ClickHouse {
    /// The default user.
    pub fn new(url: &str, database: &str) -> Self {
        Self {
            client: reqwest::Client::new(),
            url: url.to_owned(),
            database: database.to_owned(),
        }
    }

    /// The answer to a statement, as text.
    ///
    /// # Errors
    /// If it is not understood.
    pub async fn text(&self, sql: &str) -> Result<String> {
        let url = format!(
            "{}/?database={}&output_format_json_quote_64bit_integers=0",
            self.url, self.database
        );
        let answer = self.client.post(url).body(sql.to_owned()).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{sql}: {status} {text}");
        Ok(text)
    }

    /// A single number.
    ///
    /// # Errors
    /// If the answer is none.
    pub async fn number(&self, sql: &str) -> Result<i64> {
        let text = self.text(sql).await?;
        text.trim().parse().with_context(|| format!("{sql}: {text:?}"))
    }

    /// One text a row.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        Ok(self.text(sql).await?.lines().map(str::to_owned).collect())
    }

    /// The net ledger: rows whose signs do not cancel, with the number of times that each stands.
    ///
    /// # Errors
    /// If ClickHouse does not answer, or an entry stands other than once.
    pub async fn net(&self) -> Result<Entries> {
        let mut entries = Entries::new();
        for table in TABLES {
            let columns = self.columns(table).await?;
            // An explanation is empty on retractions, so it cannot be among what cancels.
            let sql = format!(
                "SELECT {}, sum(raw.sign) AS net, argMaxIf(raw.explanation, raw.revision, raw.sign = 1) AS explanation \
                 FROM {table} AS raw GROUP BY ALL HAVING net != 0 FORMAT JSONEachRow",
                columns.join(", ")
            );
            for line in self.text(&sql).await?.lines() {
                let mut row: Map<String, Value> = serde_json::from_str(line)?;
                let net = row.remove("net").and_then(|net| net.as_i64()).unwrap_or_default();
                let id = row
                    .get("id")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                ensure!(net == 1, "{table}: {id} stands {net} times: {line}");
                let before = entries.insert((table.to_owned(), id.clone()), Value::Object(row));
                ensure!(
                    before.is_none(),
                    "{table}: {id} stands twice, differently: {before:?} and {line}"
                );
            }
        }
        Ok(entries)
    }

    async fn columns(&self, table: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT name, type FROM system.columns WHERE database = '{}' AND table = '{table}' AND default_kind = '' \
             AND name NOT IN ('sign', 'revision', 'explanation') AND name NOT LIKE 'kafka%' ORDER BY position FORMAT TSV",
            self.database
        );
        let text = self.text(&sql).await?;
        let column = |line: &str| {
            let (name, kind) = line.split_once('\t').unwrap_or((line, ""));
            match kind.starts_with("DateTime64") {
                true => format!("toUnixTimestamp64Milli(raw.`{name}`) AS `{name}`"),
                false => format!("raw.`{name}` AS `{name}`"),
            }
        };
        let columns: Vec<String> = text.lines().map(column).collect();
        ensure!(columns.len() > 20, "{table} has too few columns: {columns:?}");
        Ok(columns)
    }

    /// Every stored row came from one record, and every record of the topic made one row.
    ///
    /// # Errors
    /// If not.
    pub async fn stores_each_record_once(&self, table: &str, records: usize) -> Result<()> {
        let text = self
            .text(&format!(
                "SELECT count(), uniqExact(kafka_partition, kafka_offset) FROM {table} FORMAT TSV"
            ))
            .await?;
        ensure!(
            text.trim() == format!("{records}\t{records}"),
            "{table}: {records} records in Kafka; rows and distinct positions in ClickHouse: {}",
            text.trim()
        );
        Ok(())
    }

    /// The hourly sums are those of the rows.
    ///
    /// # Errors
    /// If not.
    pub async fn roll_ups_hold(&self) -> Result<()> {
        for (hourly, rows) in [
            (
                "SELECT sum(leads), sum(sales), sum(amount), sum(commission) FROM conversions_hourly",
                "SELECT sumIf(sign * quantity, kind = 'lead'), sumIf(sign, kind = 'sale'), \
                 sumIf(sign * amount, kind = 'sale'), sum(sign * commission) FROM conversions",
            ),
            (
                "SELECT sum(refunds), sum(amount), sum(commission) FROM refunds_hourly",
                "SELECT sum(sign), sum(sign * amount), sum(sign * commission) FROM refunds",
            ),
            (
                "SELECT sum(clicks) + sum(duplicates) + sum(bots) FROM clicks_hourly",
                "SELECT count() FROM clicks",
            ),
        ] {
            // The rows themselves, not what the same projection says of them.
            let rows = format!("{rows} SETTINGS optimize_use_projections = 0");
            let (sums, plain) = (self.text(hourly).await?, self.text(&rows).await?);
            ensure!(sums == plain, "{hourly}: {sums} is not {plain}");
        }
        Ok(())
    }
}

/// The rows of `Simulation` with the columns of ClickHouse.
///
/// # Errors
/// If a row cannot be written as JSON.
pub fn entries(rows: &[Row]) -> Result<Entries> {
    rows.iter()
        .map(|row| {
            let (table, value) = match row {
                Row::Conversion(row) => ("conversions", serde_json::to_value(row)?),
                Row::Refund(row) => ("refunds", serde_json::to_value(row)?),
                Row::Commission(row) => ("commissions", serde_json::to_value(row)?),
            };
            Ok(((table.to_owned(), row.id().to_owned()), flat(value)))
        })
        .collect()
}

fn flat(value: Value) -> Value {
    let Value::Object(mut row) = value else {
        return value;
    };
    row.remove("op");
    row.remove("revision");
    if let Some(Value::Object(dimensions)) = row.remove("dims") {
        row.extend(dimensions);
    }
    if let Some(Value::Array(lines)) = row.remove("lines") {
        for name in ["product", "quantity", "amount", "commission", "reward_id"] {
            let column = lines
                .iter()
                .map(|line| line.get(name).cloned().unwrap_or_default())
                .collect();
            row.insert(format!("lines.{name}"), Value::Array(column));
        }
    }
    Value::Object(row)
}

/// What differs, a line each.
pub fn differences(expected: &Entries, found: &Entries) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, row) in expected {
        match found.get(key) {
            None => lines.push(format!("- {key:?} {row}")),
            Some(other) if other != row => lines.push(format!("! {key:?} {}", columns(row, other))),
            Some(_) => {}
        }
    }
    let extra = found.iter().filter(|(key, _)| !expected.contains_key(key));
    lines.extend(extra.map(|(key, row)| format!("+ {key:?} {row}")));
    lines
}

fn columns(expected: &Value, found: &Value) -> String {
    let (Value::Object(a), Value::Object(b)) = (expected, found) else {
        return String::new();
    };
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    differing
        .map(|name| format!("{name}: {:?} expected, {:?} found; ", a.get(name), b.get(name)))
        .collect()
}

/// Waits until ClickHouse has the expected net ledger.
///
/// # Errors
/// If it has not by the deadline, with the first differences.
pub async fn becomes(clickhouse: &ClickHouse, expected: &Entries, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let found = clickhouse.net().await;
        if let Ok(found) = &found
            && found == expected
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            let found = found?;
            let differences = differences(expected, &found);
            let shown: Vec<&String> = differences.iter().take(15).collect();
            bail!(
                "{} entries expected, {} found, {} differences: {shown:#?}",
                expected.len(),
                found.len(),
                differences.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
