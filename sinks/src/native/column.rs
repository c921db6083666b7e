//! One column of a block while it grows.

use super::dictionary::Dictionary;
use super::{Kind, read_varint, text};

/// Name, type and the values so far, in wire form.
#[derive(Debug)]
pub struct Column {
    name: String,
    kind: Kind,
    len: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Fixed(Vec<u8>, usize),
    Text(Vec<u8>),
    Dictionary(Box<Dictionary>),
    List {
        ends: Vec<u8>,
        items: Vec<u8>,
        count: u64,
    },
}

impl Column {
    /// An empty column.
    pub fn new(name: &str, kind: Kind) -> Self {
        let values = match (kind, kind.width()) {
            (_, Some(width)) => Values::Fixed(Vec::new(), width),
            (Kind::Dictionary, _) => Values::Dictionary(Box::default()),
            (Kind::Texts | Kind::Ints, _) => Values::List {
                ends: Vec::new(),
                items: Vec::new(),
                count: 0,
            },
            _ => Values::Text(Vec::new()),
        };
        Self {
            name: name.to_owned(),
            kind,
            len: 0,
            values,
        }
    }

    /// Column name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Column type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a text; in a list column, to the open list. Of no effect on columns of numbers: then the block is
    /// uneven and refused.
    #[inline]
    pub fn push_text(&mut self, value: &[u8]) {
        match &mut self.values {
            Values::Text(bytes) => text(bytes, value),
            Values::Dictionary(dictionary) => dictionary.push(value),
            Values::List { items, count, .. } => {
                text(items, value);
                *count += 1;
                return;
            }
            Values::Fixed(..) => return,
        }
        self.len += 1;
    }

    /// Appends an integer, cut to the width; in a list column, to the open list.
    #[inline]
    pub fn push_int(&mut self, value: i64) {
        let bytes = value.to_le_bytes();
        match &mut self.values {
            Values::Fixed(out, width) => out.extend_from_slice(bytes.get(..*width).unwrap_or(&bytes)),
            Values::List { items, count, .. } => {
                items.extend_from_slice(&bytes);
                *count += 1;
                return;
            }
            Values::Text(_) | Values::Dictionary(_) => return,
        }
        self.len += 1;
    }

    /// Ends the open list.
    pub fn end_list(&mut self) {
        if let Values::List { ends, count, .. } = &mut self.values {
            ends.extend_from_slice(&count.to_le_bytes());
            self.len += 1;
        }
    }

    /// The values of a column of plain texts.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = match &self.values {
            Values::Text(bytes) => bytes.as_slice(),
            _ => &[],
        };
        std::iter::from_fn(move || {
            let (length, after) = read_varint(rest)?;
            let (value, after) = after.split_at_checked(length)?;
            rest = after;
            Some(value)
        })
    }

    /// The values in wire form, piece by piece.
    pub(super) fn write(self, mut piece: impl FnMut(Vec<u8>)) {
        match self.values {
            Values::Fixed(bytes, _) | Values::Text(bytes) => piece(bytes),
            Values::Dictionary(dictionary) => dictionary.write(self.len, piece),
            Values::List { ends, items, .. } => {
                piece(ends);
                piece(items);
            }
        }
    }
}
