//! `init`: topics, schemas, and migrations where there is a ClickHouse. Safe to repeat.

use anyhow::{Context as _, Result};

use crate::output;
use crate::settings::Settings;

/// Makes what is missing.
pub async fn run(settings: &Settings) -> Result<()> {
    tributary_processors::init(&settings.process()?).await?;
    output::note("topics and schemas are there");
    // An edge alone needs no ClickHouse.
    if settings.clickhouse.url.is_empty() {
        output::note("clickhouse.url is empty: no tables");
        return Ok(());
    }
    let applied = tributary_sinks::migrate(&settings.clickhouse())
        .await
        .context("ClickHouse migrations")?;
    output::note(&format!("ClickHouse migrations: {} applied", applied.len()));
    Ok(())
}
