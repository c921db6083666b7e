//! Blocks of ClickHouse's Native format, built column by column.
//!
//! Columns hold their values in wire form already, so sealing a block copies next to nothing and a block that is
//! sent again is the same bytes. It does not send anything and knows no table.
//!
//! Invariant: every column of a block has as many values as the block has rows; `Block` checks that when it is sealed.

mod column;
mod dictionary;
mod kind;

pub use column::Column;
pub use kind::Kind;

use bytes::Bytes;

/// Columns smaller than this are put together in one piece of the body.
const SMALL: usize = 64 * 1024;

/// The columns disagree about the number of rows: a bug of the caller.
#[derive(Debug, thiserror::Error)]
#[error("column {column} has {found} values in a block of {rows} rows")]
pub struct Uneven {
    column: String,
    found: usize,
    rows: usize,
}

/// A block, in pieces that are sent one after the other. Cheap to clone: to send it again.
#[derive(Debug, Clone)]
pub struct Block {
    /// Number of rows.
    pub rows: usize,
    /// The body.
    pub pieces: Vec<Bytes>,
}

impl Block {
    /// Seals columns of equal length.
    ///
    /// # Errors
    /// If their lengths differ.
    pub fn seal(columns: Vec<Column>) -> Result<Self, Uneven> {
        let rows = columns.first().map_or(0, Column::len);
        let mut body = Body::default();
        varint(&mut body.open, columns.len() as u64);
        varint(&mut body.open, rows as u64);
        for column in columns {
            if column.len() != rows {
                return Err(Uneven {
                    column: column.name().to_owned(),
                    found: column.len(),
                    rows,
                });
            }
            text(&mut body.open, column.name().as_bytes());
            text(&mut body.open, column.kind().type_name().as_bytes());
            column.write(|piece| body.push(piece));
        }
        Ok(Self {
            rows,
            pieces: body.finish(),
        })
    }

    /// Bytes of the body.
    pub fn size(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

#[derive(Default)]
struct Body {
    open: Vec<u8>,
    done: Vec<Bytes>,
}

impl Body {
    fn push(&mut self, piece: Vec<u8>) {
        if piece.len() >= SMALL {
            self.flush();
            self.done.push(Bytes::from(piece));
        } else {
            self.open.extend_from_slice(&piece);
            if self.open.len() >= SMALL {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if !self.open.is_empty() {
            self.done.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.done
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length as `varint` writes it, and what follows.
fn read_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

pub(crate) fn text(out: &mut Vec<u8>, value: &[u8]) {
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_bytes_of_the_format() {
        let mut a = Column::new("a", Kind::Text);
        let mut b = Column::new("b", Kind::UInt8);
        for (text, number) in [("x", 1), ("", 255)] {
            a.push_text(text.as_bytes());
            b.push_int(number);
        }
        let block = Block::seal(vec![a, b]).unwrap();
        let body: Vec<u8> = block.pieces.concat();
        let expected: &[u8] = b"\x02\x02\x01a\x06String\x01x\x00\x01b\x05UInt8\x01\xff";
        assert_eq!(body, expected);
        assert_eq!(block.size(), expected.len());
    }

    #[test]
    fn uneven_columns_are_refused() {
        let mut a = Column::new("a", Kind::Text);
        a.push_text(b"x");
        let error = Block::seal(vec![a, Column::new("b", Kind::Int64)]).unwrap_err();
        assert_eq!(error.to_string(), "column b has 0 values in a block of 1 rows");
    }
}
