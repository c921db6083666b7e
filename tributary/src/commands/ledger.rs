//! `ledger`: the net ledger in ClickHouse as a table, and compared with a file.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tributary_domain::ledger::table::{self, HEAD, Line};

use crate::output;
use crate::settings::Settings;

const SQL: &str = "
SELECT entry, kind, mode, formatDateTime(at, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS at_text, object, customer, partner_id, coupon,
    attributed_by, reason, status, sale_type, toString(amount) AS amount, commission, currency
FROM (
    SELECT 'conversion' AS entry, kind, mode, at, object, customer, partner_id, coupon, attributed_by, reason, status,
        sale_type, amount, toString(commission) AS commission, currency FROM conversions_current
    UNION ALL
    SELECT 'refund', kind, mode, at, object, customer, partner_id, coupon, '', reason, status,
        sale_type, amount, toString(commission), currency FROM refunds_current
    UNION ALL
    SELECT 'commission', kind, mode, at, object, customer, partner_id, coupon, '', reason, state,
        '', amount, '', currency FROM commissions_current
) AS ledger";

#[derive(clickhouse::Row, serde::Deserialize)]
struct Fields {
    entry: String,
    kind: String,
    mode: String,
    at_text: String,
    object: String,
    customer: String,
    partner_id: String,
    coupon: String,
    attributed_by: String,
    reason: String,
    status: String,
    sale_type: String,
    amount: String,
    commission: String,
    currency: String,
}

/// The lines of the ledger as ClickHouse has it.
pub async fn lines(settings: &Settings) -> Result<Vec<Line>> {
    let rows = client(settings)
        .query(SQL)
        .fetch_all::<Fields>()
        .await
        .context("read the ledger from ClickHouse")?;
    let line = |f: Fields| {
        Line::from_fields(&[
            f.entry,
            f.kind,
            f.mode,
            f.at_text,
            f.object,
            f.customer,
            f.partner_id,
            f.coupon,
            f.attributed_by,
            f.reason,
            f.status,
            f.sale_type,
            f.amount,
            f.commission,
            f.currency,
        ])
    };
    Ok(rows.into_iter().map(line).collect())
}

/// A client for questions.
pub fn client(settings: &Settings) -> clickhouse::Client {
    let mut client = clickhouse::Client::default()
        .with_url(&settings.clickhouse.url)
        .with_database(&settings.clickhouse.database);
    if !settings.clickhouse.user.is_empty() {
        client = client
            .with_user(&settings.clickhouse.user)
            .with_password(settings.clickhouse.password.expose());
    }
    client
}

/// Prints the ledger, or the differences to a file.
pub async fn run(settings: &Settings, expect: Option<&Path>, wait: u64) -> Result<ExitCode> {
    let Some(file) = expect else {
        output::line(&table::text(lines(settings).await?));
        return Ok(ExitCode::SUCCESS);
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut expected: Vec<Line> = text
        .lines()
        .filter(|l| !l.trim().is_empty() && *l != HEAD)
        .map(Line::parse)
        .collect();
    expected.sort();
    let deadline = Instant::now() + Duration::from_secs(wait);
    loop {
        let mut found = lines(settings).await?;
        found.sort();
        if found == expected {
            output::line(&format!(
                "the ledger equals {}: {} entries",
                file.display(),
                found.len()
            ));
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() > deadline {
            for line in expected.iter().filter(|l| !found.contains(l)) {
                output::line(&format!("- {}", line.text()));
            }
            for line in found.iter().filter(|l| !expected.contains(l)) {
                output::line(&format!("+ {}", line.text()));
            }
            output::error(&format!(
                "the ledger differs from {} (- expected, + found)",
                file.display()
            ));
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
