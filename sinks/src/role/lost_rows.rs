//! Rows that ClickHouse does not have though it knows their token.
//!
//! A table that is not replicated writes the token of an insert into its log before the new part gets its name. A
//! server that is killed in between takes the retry for a duplicate: it confirms, and the table never gets the rows.
//! Whoever sends a block again therefore counts its rows; if there are none, they are written into a table
//! of their own and attached from there, which feeds no materialized view a second time.
//!
//! Attaching knows no tokens, so it is fenced: everybody makes a table under a name of its own, asks whether the
//! partition is still its own, drops the tables of all others, and only then counts and attaches. Whoever was the owner
//! before either sees its table gone, or has attached before the count.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::query::Query;

use crate::client::{Client, ClientError};
use crate::native::Block;
use crate::tables::Table;

use super::SinkError;
use super::land::{Flight, Shared, find, still_owned, torn};

/// A statement that takes longer has an unknown outcome: everything is judged anew.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The engine of a table.
///
/// # Errors
/// Those of the server.
pub(super) async fn engine(client: &Client, table: &Table) -> Result<String, ClientError> {
    let (database, name) = table.database_and_name();
    let query = client.query("SELECT engine FROM system.tables WHERE database = ? AND name = ?");
    Ok(query.bind(database).bind(name).fetch_one().await?)
}

/// Puts a block of which the table has nothing into it. Killed meanwhile, it has all of it or still nothing. False if
/// the partition is another's.
///
/// # Errors
/// Those of the server, and [`SinkError::Torn`].
pub(super) async fn bring_back(
    shared: &Shared,
    flight: &Flight,
    month: u32,
    block: &Block,
) -> Result<bool, SinkError> {
    let (client, table) = (&shared.client, &flight.table);
    let (database, name) = table.database_and_name();
    let prefix = format!(
        "{name}_lost_{}_{}_{month}_",
        flight.place.1, flight.plan.range.first
    );
    let own = format!("{prefix}{:016x}", RandomState::new().build_hasher().finish());
    run(client.query(&format!("CREATE TABLE {database}.{own} AS {}", table.name))).await?;
    let drop =
        async |name: &str| run(client.query(&format!("DROP TABLE IF EXISTS {database}.{name} SYNC"))).await;
    if !still_owned(shared, flight).await {
        drop(&own).await?;
        return Ok(false);
    }
    let others = "SELECT name FROM system.tables WHERE database = ? AND startsWith(name, ?) AND name != ?";
    let others = client.query(others).bind(database).bind(&prefix).bind(&own);
    for other in others.fetch_all::<String>().await.map_err(ClientError::from)? {
        // Waits for an attach that the server still works on.
        drop(&other).await?;
    }
    let mut found = find(client, flight, month).await?.rows;
    if found == 0 {
        let token = flight.plan.token(&flight.place.0, flight.place.1, month);
        let statement = table.insert_into(&format!("{database}.{own}"));
        client.insert(&statement, &token, block).await.map_err(again)?;
        let partition = match table.month_of {
            Some(_) => month.to_string(),
            None => "all".to_owned(),
        };
        let attach = format!(
            "ALTER TABLE {} ATTACH PARTITION ID '{partition}' FROM {database}.{own}",
            table.name
        );
        run(client.query(&attach)).await?;
        found = find(client, flight, month).await?.rows;
        tracing::warn!(
            token,
            rows = block.rows,
            found,
            "brought rows back that the server had confirmed and lost"
        );
        metrics::counter!("tributary_sink_rows_brought_back_total", "table" => table.name.clone())
            .increment(block.rows as u64);
    }
    drop(&own).await?;
    if found == block.rows as u64 {
        return Ok(true);
    }
    Err(torn(flight, month, found, block))
}

async fn run(query: Query) -> Result<(), ClientError> {
    let ran = tokio::time::timeout(TIMEOUT, query.execute()).await;
    ran.unwrap_or(Err(Error::TimedOut))
        .map_err(|error| again(error.into()))
}

// The own table is gone: there is another owner, or was.
fn again(error: ClientError) -> ClientError {
    match error.code() {
        // UNKNOWN_TABLE, TABLE_IS_DROPPED.
        Some(60 | 218) => ClientError::Server(Error::Custom(error.to_string())),
        _ => error,
    }
}
