//! `init`: topics, schemas, migrations. Safe to repeat.

use anyhow::{Context as _, Result};

use crate::output;
use crate::settings::Settings;

/// Makes what is missing.
pub async fn run(settings: &Settings) -> Result<()> {
    tributary_processors::init(&settings.process()?).await?;
    output::note("topics and schemas are there");
    let applied = tributary_sinks::migrate(&settings.clickhouse())
        .await
        .context("ClickHouse migrations")?;
    output::note(&format!("ClickHouse migrations: {} applied", applied.len()));
    Ok(())
}
