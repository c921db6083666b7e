//! Avro's binary datums for types that are field for field their schema: no look at the schema per field.
//!
//! ```text
//!   long: zigzag varint      text, bytes: length, then bytes      record: its fields in order
//!   enum, union: index, then the branch      list, map: count, items …, 0
//! ```
//!
//! The Avro library follows the schema for every field of every record, which costs more than all else that is done
//! for a click. Invariant: only for schemas equal to the type's own; a test holds types and schemas together.

mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

use std::fmt::Display;

/// Why bytes are no datum of a type, or a value none of any schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatumError(String);

impl DatumError {
    fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl serde::ser::Error for DatumError {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

impl serde::de::Error for DatumError {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct All {
        number: i64,
        yes: bool,
        text: String,
        maybe: Option<i64>,
        list: Vec<String>,
        map: BTreeMap<String, String>,
        branch: Branch,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Branch {
        Nothing,
        Boxed(Box<i64>),
    }

    fn all(number: i64) -> All {
        All {
            number,
            yes: true,
            text: "é".into(),
            maybe: Some(number),
            list: vec!["a".into(), String::new()],
            map: [("k".to_owned(), "v".to_owned())].into(),
            branch: Branch::Boxed(Box::new(-1)),
        }
    }

    fn written(value: &All) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, value).unwrap();
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for number in [0, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let bytes = written(&all(number));
            let mut rest = bytes.as_slice();
            assert_eq!(read::<All>(&mut rest).unwrap(), all(number));
            assert!(rest.is_empty());
        }
        let empty = All {
            maybe: None,
            list: vec![],
            map: BTreeMap::new(),
            branch: Branch::Nothing,
            ..all(1)
        };
        assert_eq!(read::<All>(&mut written(&empty).as_slice()).unwrap(), empty);
    }

    #[test]
    fn bytes_are_as_the_specification_has_them() {
        let expected = b"\x01\x01\x04\xc3\xa9\x02\x01\x04\x02a\x00\x00\x02\x02k\x02v\x00\x02\x01";
        assert_eq!(written(&all(-1)), expected);
    }

    #[test]
    fn blocks_with_their_size_are_read() {
        // Count -1 and 2 bytes, then 1 item: a list may come in several blocks.
        let bytes = b"\x00\x00\x00\x00\x01\x04\x02a\x02\x02b\x00\x00\x00";
        let found = read::<All>(&mut bytes.as_slice()).unwrap();
        assert_eq!(found.list, ["a", "b"]);
    }

    #[test]
    fn cut_bytes_and_wild_lengths_are_errors() {
        let bytes = written(&all(i64::MIN));
        for end in 0..bytes.len() {
            assert!(read::<All>(&mut bytes.get(..end).unwrap()).is_err(), "{end}");
        }
        let wild = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for value in [
            &wild[..],
            b"\xfe\xff\xff\xff\x0f",
            b"\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert!(read::<String>(&mut &*value).is_err(), "{value:?}");
            assert!(read::<Vec<String>>(&mut &*value).is_err(), "{value:?}");
        }
        assert!(read::<bool>(&mut &b"\x02"[..]).is_err());
        assert!(read::<Branch>(&mut &b"\x04"[..]).is_err());
        assert!(read::<String>(&mut &b"\x02\xff"[..]).is_err());
    }
}
