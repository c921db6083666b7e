//! Rows that ClickHouse does not have though it knows their token.
//!
//! A table that is not replicated writes the token of an insert into its log before the new part gets its name. A
//! server that is killed in between takes the retry for a duplicate: it confirms, its roll-ups take the rows, the table
//! never does. Whoever sends a block again therefore counts its rows; if there are none, they are written into a table
//! of their own and attached from there, which feeds no roll-up a second time.

use crate::client::{Client, ClientError};
use crate::native::Block;
use crate::tables::Table;

use super::land::Flight;

/// Whether a table's tokens are kept in Keeper, together with its parts.
///
/// # Errors
/// Those of the server.
pub(super) async fn is_replicated(client: &Client, table: &Table) -> Result<bool, ClientError> {
    let (database, name) = table.database_and_name();
    let engine: String = client
        .query("SELECT engine FROM system.tables WHERE database = ? AND name = ?")
        .bind(database)
        .bind(name)
        .fetch_one()
        .await?;
    Ok(!engine.ends_with("MergeTree") || engine.starts_with("Replicated") || engine.starts_with("Shared"))
}

/// Puts a block of which the table has nothing into it. Killed meanwhile, it has all of it or still nothing.
///
/// # Errors
/// Those of the server.
pub(super) async fn bring_back(
    client: &Client,
    flight: &Flight,
    month: u32,
    block: &Block,
) -> Result<(), ClientError> {
    let table = &flight.table;
    let token = flight.plan.token(&flight.place.0, flight.place.1, month);
    let partition = match table.month_of {
        Some(_) => month.to_string(),
        None => "all".to_owned(),
    };
    let own = format!(
        "{}_lost_{}_{}_{month}",
        table.name, flight.place.1, flight.plan.range.first
    );
    let run = async |sql: String| client.query(&sql).execute().await;
    run(format!("DROP TABLE IF EXISTS {own} SYNC")).await?;
    run(format!("CREATE TABLE {own} AS {}", table.name)).await?;
    client.insert(&table.insert_into(&own), &token, block).await?;
    run(format!("ALTER TABLE {} ATTACH PARTITION ID '{partition}' FROM {own}", table.name)).await?;
    run(format!("DROP TABLE {own} SYNC")).await?;
    tracing::warn!(token, rows = block.rows, "the server had lost rows that it confirmed; they are back");
    metrics::counter!("tributary_sink_rows_brought_back_total", "table" => table.name.clone())
        .increment(block.rows as u64);
    Ok(())
}
