//! Records that may be in the table already: those that the edge's spool sent without knowing whether Kafka had them.
//!
//! Such a record names itself in the column for the record that it repeats. It is looked for among the records before
//! it, in the table and in its own batch. If it is there, its row says so and does not count; if not, it is the first.
//! Invariant: all records before the batch have landed (one batch of a partition is in flight at a time), so that the
//! judgement is the same whenever the batch is sent again.

use std::collections::BTreeSet;

use super::SinkError;
use super::batch::{Suspect, columns, month_of, place};
use super::land::{Backoff, Flight, Shared, still_owned};
use crate::client::{Client, ClientError, Retry};
use crate::native::Column;
use crate::rows::Row;

/// IDs in one question; ClickHouse parses 256 KiB.
const ASKED: usize = 4_000;

type Ids = BTreeSet<Vec<u8>>;

/// Appends the suspects, each with its judgement. False if the partition is another's.
pub(super) async fn judge(
    shared: &Shared,
    flight: &Flight,
    suspects: Vec<Suspect>,
    months: &mut Vec<(u32, Vec<Column>)>,
) -> Result<bool, SinkError> {
    let table = &*flight.table;
    let Some((id, repeats)) = table.repeats else {
        return Ok(true);
    };
    let mut rows = Vec::with_capacity(suspects.len());
    for suspect in &suspects {
        let mut row = Row::default();
        let decoded = suspect.program.decode(&suspect.datum, &mut row);
        decoded.map_err(|error| SinkError::Internal(format!("a record that was read before: {error}")))?;
        place(table, &mut row, flight.place.1, suspect.offset);
        rows.push((suspect, row));
    }
    let asked: Ids = rows
        .iter()
        .map(|(suspect, row)| row.text(id, &suspect.datum).to_vec())
        .collect();
    let mut known: Ids = months
        .iter()
        .filter_map(|(_, columns)| columns.get(id))
        .flat_map(Column::texts)
        .filter(|id| asked.contains(*id))
        .map(<[u8]>::to_vec)
        .collect();
    let times = || rows.iter().filter_map(|(_, row)| row.int(table.month_of?));
    let times = (times().min().unwrap_or(0), times().max().unwrap_or(i64::MAX));
    let mut backoff = Backoff::default();
    loop {
        match landed(&shared.client, flight, &asked, times).await {
            Ok(found) => break known.extend(found),
            Err(error) if error.retry() == Retry::Never => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "repeated records not looked for yet"),
        }
        backoff.wait().await;
        if !still_owned(shared, flight).await {
            return Ok(false);
        }
    }
    let mut repeated = 0;
    for (suspect, mut row) in rows {
        if known.insert(row.text(id, &suspect.datum).to_vec()) {
            row.clear_text(repeats);
        } else {
            repeated += 1;
        }
        let Ok(month) = month_of(table, &row) else {
            continue;
        };
        let at = months.iter().position(|(of, _)| *of == month).unwrap_or_else(|| {
            months.push((month, columns(table)));
            months.len() - 1
        });
        if let Some((_, columns)) = months.get_mut(at) {
            suspect.program.append(&suspect.datum, &row, columns);
        }
    }
    months.sort_by_key(|(month, _)| *month);
    metrics::counter!("tributary_sink_repeated_rows_total", "table" => table.name.clone())
        .increment(repeated);
    Ok(true)
}

/// Those of the IDs that are in the table from records before the batch. `times` are the first and last event time,
/// UTC milliseconds: a record that was sent twice has the same.
async fn landed(
    client: &Client,
    flight: &Flight,
    asked: &Ids,
    times: (i64, i64),
) -> Result<Ids, ClientError> {
    let texts: Vec<_> = asked.iter().map(|id| String::from_utf8_lossy(id)).collect();
    let sql = format!(
        "SELECT id FROM {} WHERE kafka_partition = ? AND kafka_offset < ? \
         AND at BETWEEN fromUnixTimestamp64Milli(?) AND fromUnixTimestamp64Milli(?) AND id IN ?",
        flight.table.name
    );
    let mut found = Ids::new();
    for ids in texts.chunks(ASKED) {
        let query = client
            .query(&sql)
            .bind(flight.place.1)
            .bind(flight.plan.range.first);
        let query = query.bind(times.0).bind(times.1).bind(ids);
        found.extend(
            query
                .fetch_all::<String>()
                .await?
                .into_iter()
                .map(String::into_bytes),
        );
    }
    Ok(found)
}
