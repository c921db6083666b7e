//! Rows of one Kafka partition on their way to one insert, split by ClickHouse partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::letters::Letter;
use crate::native::Column;
use crate::rows::{Program, Row};
use crate::tables::{Source, Table};

const DAY: i64 = 86_400_000;
/// A month of 2200 or later, or before 1970, is a broken clock, and would make a ClickHouse partition each.
pub(super) const END: i64 = 7_258_118_400_000;

/// A record that may repeat an earlier one, as it came.
pub(super) struct Suspect {
    pub(super) offset: i64,
    pub(super) datum: Vec<u8>,
    pub(super) program: Arc<Program>,
}

/// The row's time is out of range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfTime(pub(super) i64);

#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) letters: Vec<Letter>,
    /// Rows that may be in the table already.
    pub(super) suspects: Vec<Suspect>,
    /// Columns by month; 0 for a table without partitions.
    pub(super) months: BTreeMap<u32, Vec<Column>>,
    /// When its first record came.
    pub(super) opened: Option<Instant>,
    /// That record was old already.
    pub(super) behind: bool,
}

impl Batch {
    /// Appends the row that was read from `datum`, of the record at `offset`.
    pub(super) fn append(
        &mut self,
        table: &Table,
        program: &Arc<Program>,
        (offset, datum): (i64, &[u8]),
        row: &Row,
    ) -> Result<(), OutOfTime> {
        let month = month_of(table, row)?;
        if is_suspect(table, datum, row) {
            self.suspects.push(Suspect {
                offset,
                datum: datum.to_vec(),
                program: Arc::clone(program),
            });
        } else {
            let columns = self.months.entry(month).or_insert_with(|| columns(table));
            program.append(datum, row, columns);
        }
        self.rows += 1;
        self.bytes += datum.len() + 64;
        Ok(())
    }

    /// Keeps a record that is no row for the dead letters.
    pub(super) fn reject(&mut self, letter: Letter) {
        self.bytes += letter.size();
        self.letters.push(letter);
    }
}

/// Whether a record names itself as the one that it repeats.
fn is_suspect(table: &Table, datum: &[u8], row: &Row) -> bool {
    table.repeats.is_some_and(|(id, repeats)| {
        let repeated = row.text(repeats, datum);
        !repeated.is_empty() && repeated == row.text(id, datum)
    })
}

/// The month of a row, by which its table is partitioned.
pub(super) fn month_of(table: &Table, row: &Row) -> Result<u32, OutOfTime> {
    let Some(column) = table.month_of else {
        return Ok(0);
    };
    let at = row.int(column).unwrap_or_default();
    if (0..END).contains(&at) {
        Ok(month(at))
    } else {
        Err(OutOfTime(at))
    }
}

pub(super) fn columns(table: &Table) -> Vec<Column> {
    table
        .columns
        .iter()
        .map(|column| Column::new(&column.name, column.kind))
        .collect()
}

/// Fills in where the record stood.
pub(super) fn place(table: &Table, row: &mut Row, partition: i32, offset: i64) {
    if let Some(column) = table.position_of(&Source::Partition) {
        row.set_int(column, i64::from(partition));
    }
    if let Some(column) = table.position_of(&Source::Offset) {
        row.set_int(column, offset);
    }
}

/// `toYYYYMM` in UTC, of milliseconds from 1970 on. The calendar by Howard Hinnant's days algorithm.
fn month(millis: i64) -> u32 {
    let days = millis / DAY + 719_468;
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year * 100 + month) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (millis, expected) in [
            (0, 197_001),
            (951_782_400_000, 200_002),
            (951_868_799_999, 200_002),
            (951_868_800_000, 200_003),
            (1_767_225_599_999, 202_512),
            (1_767_225_600_000, 202_601),
            (END - 1, 219_912),
        ] {
            assert_eq!(month(millis), expected, "{millis}");
        }
    }
}
