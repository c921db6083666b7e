//! One datum into one row: where each value stands, checked; then into the columns.

use super::Program;
use super::compile::{Op, Value};
use crate::native::Column;

/// Why a datum is no row. The words go into the dead letter's detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// The datum ends before its last value.
    #[error("the datum ends early")]
    Short,
    /// The datum has bytes after its last value.
    #[error("bytes after the datum")]
    Long,
    /// A length, number or branch that Avro does not allow.
    #[error("a length or number that is none")]
    Malformed,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A number does not fit its column.
    #[error("a number does not fit its column")]
    Range,
}

/// The values of one record, by column. Reused from record to record.
#[derive(Debug, Default)]
pub struct Row {
    values: Vec<Value>,
    lists: Vec<Vec<Value>>,
}

struct Reader<'a> {
    datum: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    #[inline]
    fn long(&mut self) -> Result<i64, BadRow> {
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let byte = *self.datum.get(self.at).ok_or(BadRow::Short)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
            if shift > 63 {
                return Err(BadRow::Malformed);
            }
        }
    }

    #[inline]
    fn take(&mut self, len: i64) -> Result<(usize, usize), BadRow> {
        let len = usize::try_from(len).map_err(|_| BadRow::Malformed)?;
        let start = self.at;
        let end = start.checked_add(len).ok_or(BadRow::Malformed)?;
        if end > self.datum.len() {
            return Err(BadRow::Short);
        }
        self.at = end;
        Ok((start, end))
    }
}

impl Program {
    /// Reads a datum into `row`.
    ///
    /// # Errors
    /// If it is not exactly one valid datum whose values fit the columns. `row` is then of no use.
    pub fn decode(&self, datum: &[u8], row: &mut Row) -> Result<(), BadRow> {
        row.values.clear();
        row.values.extend_from_slice(&self.defaults);
        row.lists.resize_with(self.kinds.len(), Vec::new);
        for list in &mut row.lists {
            list.clear();
        }
        let mut reader = Reader { datum, at: 0 };
        self.read(&self.root, &mut reader, row)?;
        if reader.at == datum.len() {
            Ok(())
        } else {
            Err(BadRow::Long)
        }
    }

    fn read(&self, op: &Op, reader: &mut Reader<'_>, row: &mut Row) -> Result<(), BadRow> {
        match op {
            Op::Null(target) => {
                if let Some(default) = target.and_then(|index| self.defaults.get(index)) {
                    self.set(*target, *default, row)?;
                }
            }
            Op::Boolean(target) => {
                let (start, _) = reader.take(1)?;
                let value = match reader.datum.get(start) {
                    Some(0) => 0,
                    Some(1) => 1,
                    _ => return Err(BadRow::Malformed),
                };
                self.set(*target, Value::Int(value), row)?;
            }
            Op::Integer(target) => {
                let value = reader.long()?;
                self.set(*target, Value::Int(value), row)?;
            }
            Op::Text(target) => {
                let len = reader.long()?;
                let (start, end) = reader.take(len)?;
                if target.is_some() {
                    let text = reader.datum.get(start..end).ok_or(BadRow::Short)?;
                    std::str::from_utf8(text).map_err(|_| BadRow::Text)?;
                    self.set(*target, Value::Text(start as u32, end as u32), row)?;
                }
            }
            Op::Skip(size) => {
                reader.take(*size as i64)?;
            }
            Op::Enum(values, target) => {
                let symbol = usize::try_from(reader.long()?).map_err(|_| BadRow::Malformed)?;
                self.set(*target, *values.get(symbol).ok_or(BadRow::Malformed)?, row)?;
            }
            Op::Array(item) => self.blocks(reader, row, |reader, row| self.read(item, reader, row))?,
            Op::Map(value) => self.blocks(reader, row, |reader, row| {
                let len = reader.long()?;
                reader.take(len)?;
                self.read(value, reader, row)
            })?,
            Op::Union(branches) => {
                let branch = usize::try_from(reader.long()?).map_err(|_| BadRow::Malformed)?;
                self.read(branches.get(branch).ok_or(BadRow::Malformed)?, reader, row)?;
            }
            Op::Record(ops) => {
                for op in ops {
                    self.read(op, reader, row)?;
                }
            }
        }
        Ok(())
    }

    fn blocks(
        &self,
        reader: &mut Reader<'_>,
        row: &mut Row,
        mut item: impl FnMut(&mut Reader<'_>, &mut Row) -> Result<(), BadRow>,
    ) -> Result<(), BadRow> {
        loop {
            let mut count = reader.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                count = count.checked_neg().ok_or(BadRow::Malformed)?;
                reader.long()?;
            }
            for _ in 0..count {
                let before = reader.at;
                item(reader, row)?;
                // An item of no bytes, a billion times: no honest writer's.
                if reader.at == before {
                    return Err(BadRow::Malformed);
                }
            }
        }
    }

    #[inline]
    fn set(&self, target: Option<usize>, value: Value, row: &mut Row) -> Result<(), BadRow> {
        let Some(index) = target else { return Ok(()) };
        let Some(kind) = self.kinds.get(index) else {
            return Ok(());
        };
        if let Value::Int(number) = value
            && !kind.holds(number)
        {
            return Err(BadRow::Range);
        }
        if kind.is_list() {
            if let Some(list) = row.lists.get_mut(index) {
                list.push(value);
            }
        } else if let Some(place) = row.values.get_mut(index) {
            *place = value;
        }
        Ok(())
    }

    /// Appends the row that was read from `datum` to columns in the table's order.
    pub fn append(&self, datum: &[u8], row: &Row, columns: &mut [Column]) {
        let push = |column: &mut Column, value: Value| match value {
            Value::Int(number) => column.push_int(number),
            Value::Text(start, end) => {
                column.push_text(datum.get(start as usize..end as usize).unwrap_or_default());
            }
            Value::Constant(index) => {
                column.push_text(self.constants.get(index as usize).map_or(&[], Vec::as_slice));
            }
        };
        for (((column, kind), value), list) in columns
            .iter_mut()
            .zip(&self.kinds)
            .zip(&row.values)
            .zip(&row.lists)
        {
            if kind.is_list() {
                list.iter().for_each(|item| push(column, *item));
                column.end_list();
            } else {
                push(column, *value);
            }
        }
    }
}

impl Row {
    /// The integer in a column, if it is one.
    pub fn int(&self, column: usize) -> Option<i64> {
        match self.values.get(column) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// The bytes of a column that stand in the datum.
    #[inline]
    pub fn text<'d>(&self, column: usize, datum: &'d [u8]) -> &'d [u8] {
        match self.values.get(column) {
            Some(Value::Text(start, end)) => datum.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Makes the text in a column empty.
    pub fn clear_text(&mut self, column: usize) {
        if let Some(place) = self.values.get_mut(column) {
            *place = Value::Text(0, 0);
        }
    }

    /// Overwrites the integer in a column that comes from no field.
    pub fn set_int(&mut self, column: usize, value: i64) {
        if let Some(place) = self.values.get_mut(column) {
            *place = Value::Int(value);
        }
    }
}
