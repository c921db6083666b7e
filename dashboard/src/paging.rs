//! Which part of a list is asked for: by number, or from the ID of a row on, as the `dub` SDKs ask.
//!
//! Invariant: rows are ordered by what is asked for and then by ID, so pages neither repeat nor skip one.

use clickhouse::{RowOwned, RowRead};

use crate::database::Database;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::record::standing;
use crate::statement::{Statement, Value};

const MOST: i64 = 100;

/// One page.
#[derive(Debug)]
pub struct Page {
    by: &'static str,
    descending: bool,
    size: i64,
    offset: i64,
    /// The row that the page begins behind, or ends before.
    cursor: Option<String>,
    backwards: bool,
}

impl Page {
    /// `sorts`: names and their columns; the first is the default, the largest first.
    pub fn take(
        parameters: &mut Parameters,
        sorts: &[(&'static str, &'static str)],
    ) -> Result<Self, ApiError> {
        let first = sorts.first().map_or("", |(_, column)| *column);
        let by = parameters.choice("sortBy", sorts)?.unwrap_or(first);
        let orders = [("asc", false), ("desc", true)];
        let descending = parameters.choice("sortOrder", &orders)?.unwrap_or(true);
        let size = parameters.number("pageSize", 1..=MOST)?.unwrap_or(MOST);
        let number = parameters.number("page", 1..=1_000_000)?.unwrap_or(1);
        let after = parameters.text("startingAfter")?;
        let before = parameters.text("endingBefore")?;
        if after.is_some() && before.is_some() {
            return Err(ApiError::bad("endingBefore", "does not go with startingAfter"));
        }
        let backwards = before.is_some();
        Ok(Self {
            by,
            // Towards the beginning, and then the other way round.
            descending: descending != backwards,
            size,
            offset: if backwards { 0 } else { (number - 1) * size },
            cursor: after.or(before),
            backwards,
        })
    }

    /// For a file: from the first row on, `most` of them.
    pub fn whole(self, most: i64) -> Self {
        Self {
            size: most,
            offset: 0,
            cursor: None,
            ..self
        }
    }

    /// The page of those rows of `table` (a name or alias) that `condition` is true of.
    pub fn of(&self, table: &str, id: &str, columns: &str, condition: &str) -> String {
        let Self { by, size, offset, .. } = self;
        let (order, side) = if self.descending {
            ("DESC", "<")
        } else {
            ("ASC", ">")
        };
        let cursor = match self.cursor {
            Some(_) => format!(
                " AND ({by}, {id}) {side} (SELECT {by}, {id} FROM {table} WHERE {id} = {{cursor:String}} LIMIT 1)"
            ),
            None => String::new(),
        };
        format!(
            "SELECT {columns} FROM {table} WHERE {condition}{cursor} ORDER BY {by} {order}, {id} {order}
             LIMIT {size} OFFSET {offset}"
        )
    }

    /// The page of those rows of a ledger table that stand and that `condition` is true of.
    pub fn of_standing(&self, table: &str, columns: &str, condition: &str) -> String {
        format!(
            "WITH standing AS (SELECT * FROM {table} WHERE {}) {}",
            standing(table, condition),
            self.of("standing", "id", columns, "1")
        )
    }

    /// The rows of a statement with this page in it, as they were asked for.
    pub async fn ask<T>(
        &self,
        database: &Database,
        name: &'static str,
        statement: Statement,
    ) -> Result<Vec<T>, ApiError>
    where
        T: RowOwned + RowRead,
    {
        let statement = match &self.cursor {
            Some(cursor) => statement.with("cursor", Value::Text(cursor.clone())),
            None => statement,
        };
        let mut rows = database.rows(name, statement).await?;
        if self.backwards {
            rows.reverse();
        }
        Ok(rows)
    }
}
