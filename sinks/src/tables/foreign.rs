//! A table that is not part of the pipeline, filled from a topic of the operator's: ClickHouse says which columns it
//! has, and each takes the field of its name.

use serde::{Deserialize, Serialize};

use super::{ColumnSpec, Source, Table};
use crate::client::{Client, ClientError};
use crate::native::Kind;

/// One more topic to sink.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Foreign {
    /// Topic, in full.
    pub topic: String,
    /// Table with its database.
    pub table: String,
    /// Avro schema whose defaults fill fields that an older schema lacks; empty: there are none.
    #[serde(default)]
    pub schema: String,
}

const NO_DEFAULTS: &str = r#"{"type":"record","name":"None","fields":[]}"#;

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Described {
    name: String,
    r#type: String,
    default_kind: String,
    is_in_partition_key: u8,
}

/// Asks ClickHouse for the columns of a table.
///
/// # Errors
/// If it cannot be asked, or the table has a column or a partition key that the sink cannot fill.
pub async fn describe(client: &Client, foreign: &Foreign) -> Result<Table, ClientError> {
    let (database, table) = foreign
        .table
        .split_once('.')
        .ok_or_else(|| ClientError::Table(format!("{}: the name lacks its database", foreign.table)))?;
    let rows: Vec<Described> = client
        .query(
            "SELECT name, type, default_kind, is_in_partition_key FROM system.columns \
             WHERE database = ? AND table = ? ORDER BY position",
        )
        .bind(database)
        .bind(table)
        .fetch_all()
        .await?;
    if rows.is_empty() {
        return Err(ClientError::Table(format!(
            "{} does not exist or has no column",
            foreign.table
        )));
    }
    let mut columns = Vec::new();
    let mut month_of = None;
    for row in rows.into_iter().filter(|row| row.default_kind.is_empty()) {
        let kind = Kind::parse(&row.r#type).ok_or_else(|| {
            ClientError::Table(format!(
                "{}.{} is {}, which the sink does not write",
                foreign.table, row.name, row.r#type
            ))
        })?;
        if row.is_in_partition_key == 1 {
            // Another zone's months are not ours: a block would fall into two partitions.
            if row.r#type != Kind::Millis.type_name() {
                return Err(ClientError::Table(format!(
                    "{}.{} is {}; a table is partitioned by the month of a DateTime64(3, 'UTC'), or not at all",
                    foreign.table, row.name, row.r#type
                )));
            }
            month_of = Some(columns.len());
        }
        columns.push(ColumnSpec {
            source: match row.name.as_str() {
                "kafka_partition" => Source::Partition,
                "kafka_offset" => Source::Offset,
                field => Source::Field(field.to_owned()),
            },
            name: row.name,
            kind,
        });
    }
    let key: String = client
        .query("SELECT partition_key FROM system.tables WHERE database = ? AND name = ?")
        .bind(database)
        .bind(table)
        .fetch_one()
        .await?;
    let by_month = month_of.and_then(|at| columns.get(at));
    let expected = by_month.map_or(String::new(), |column| format!("toYYYYMM({})", column.name));
    if key != expected {
        return Err(ClientError::Table(format!(
            "{} is partitioned by {key}; the sink knows none and toYYYYMM of a DateTime64(3, 'UTC')",
            foreign.table
        )));
    }
    Ok(Table {
        repeats: None,
        topic: foreign.topic.clone(),
        name: foreign.table.clone(),
        columns,
        schema: if foreign.schema.is_empty() {
            NO_DEFAULTS.to_owned()
        } else {
            foreign.schema.clone()
        },
        month_of,
    })
}
