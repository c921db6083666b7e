//! Confluent wire format over Avro datums: `00`, schema ID (big-endian u32), datum.
//!
//! Records of today's schema are written and read field by field (see `datum`); those of another version are
//! decoded with the writer's schema, and fields that it lacks take their serde default, which a test holds equal
//! to the schema's. No IO: an unknown schema ID is an error that names it, so that the caller can fetch and `add`
//! it.

use std::collections::HashMap;
use std::marker::PhantomData;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::datum::{self, DatumError};
use crate::topics::Record;

const MAGIC: u8 = 0;
const HEADER: usize = 5;

/// Why bytes are no record, or a record no bytes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Shorter than the header, or another magic byte.
    #[error("not in the Confluent wire format: {0}")]
    Frame(&'static str),
    /// The registry knows this schema, perhaps; we do not.
    #[error("schema ID {0} is unknown")]
    UnknownSchema(u32),
    /// The datum does not fit its schema, or has bytes left over.
    #[error("not a valid datum of schema ID {id}: {source}")]
    Datum {
        /// Schema ID of the header.
        id: u32,
        /// What the decoder said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The value is none of any schema.
    #[error("avro: {0}")]
    Value(#[from] DatumError),
    /// The schema itself is not valid.
    #[error("avro: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
}

/// The schema ID of a framed value.
pub fn schema_id(value: &[u8]) -> Result<u32, CodecError> {
    match value {
        [MAGIC, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        [_, _, _, _, _, ..] => Err(CodecError::Frame("magic byte is not 0")),
        _ => Err(CodecError::Frame("shorter than 5 bytes")),
    }
}

/// The workspace of a framed click, without decoding the rest: in every version of its schema the ID and the workspace
/// come first, which a test holds.
pub fn click_workspace(value: &[u8]) -> Result<&str, CodecError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(rename = "id")]
        _id: &'a str,
        workspace: &'a str,
    }
    let id = schema_id(value)?;
    let mut rest = value.get(HEADER..).unwrap_or_default();
    let head: Head<'_> = datum::read(&mut rest).map_err(|error| CodecError::Datum {
        id,
        source: error.into(),
    })?;
    Ok(head.workspace)
}

// Schemas live as long as the process: a handful per topic.
fn parse(json: &str) -> Result<&'static Schema, CodecError> {
    Ok(Box::leak(Box::new(Schema::parse_str(json).map_err(Box::new)?)))
}

/// Writes records of one type under one schema ID.
pub struct Encoder<T> {
    header: [u8; HEADER],
    record: PhantomData<fn(T)>,
}

impl<T: Record> Encoder<T> {
    /// An encoder for the type's schema, registered as `id`.
    pub fn new(id: u32) -> Self {
        let [a, b, c, d] = id.to_be_bytes();
        Self {
            header: [MAGIC, a, b, c, d],
            record: PhantomData,
        }
    }

    /// The schema's ID.
    pub fn id(&self) -> u32 {
        let [_, id @ ..] = self.header;
        u32::from_be_bytes(id)
    }

    /// Frame and datum of a record.
    pub fn encode(&self, record: &T) -> Result<Vec<u8>, CodecError> {
        self.encode_form(record)
    }

    /// As `encode`, for another form of the record: one that has the same fields in the same order, e.g. with
    /// borrowed texts. Whoever makes such a type holds it equal with a test.
    pub fn encode_form(&self, form: &impl Serialize) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(&self.header);
        datum::write(&mut out, form)?;
        Ok(out)
    }
}

enum Form<T> {
    /// The type's own schema.
    Own(fn(&mut &[u8]) -> Result<T, DatumError>),
    /// Another version of it, or a part of it.
    Other(Box<GenericDatumReader<'static>>),
}

/// Reads records of one type, whichever known schema wrote them.
pub struct Decoder<T> {
    forms: HashMap<u32, Form<T>>,
}

impl<T> Default for Decoder<T> {
    fn default() -> Self {
        Self {
            forms: HashMap::new(),
        }
    }
}

impl<T: Record> Decoder<T> {
    /// Makes the type's own schema known under `id`.
    pub fn add_own(&mut self, id: u32) {
        self.forms.insert(id, Form::Own(|bytes| datum::read(bytes)));
    }
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Makes the schema `json` known under `id`.
    pub fn add(&mut self, id: u32, json: &str) -> Result<(), CodecError> {
        let reader = GenericDatumReader::builder(parse(json)?)
            .human_readable(false)
            .build()
            .map_err(Box::new)?;
        self.forms.insert(id, Form::Other(Box::new(reader)));
        Ok(())
    }

    /// Whether `id` can be decoded.
    pub fn knows(&self, id: u32) -> bool {
        self.forms.contains_key(&id)
    }

    /// The record in a framed value.
    pub fn decode(&self, value: &[u8]) -> Result<T, CodecError> {
        let id = schema_id(value)?;
        let mut rest = value.get(HEADER..).unwrap_or_default();
        let failed = |source| CodecError::Datum { id, source };
        let record = match self.forms.get(&id).ok_or(CodecError::UnknownSchema(id))? {
            Form::Own(read) => read(&mut rest).map_err(|error| failed(error.into()))?,
            Form::Other(reader) => reader
                .read_deser(&mut rest)
                .map_err(|error| failed(error.into()))?,
        };
        if rest.is_empty() {
            Ok(record)
        } else {
            Err(CodecError::Frame("bytes after the datum"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Click, Conversion, Fact, Op, RefundFact};

    #[test]
    fn a_fact_survives_the_wire() {
        let fact = Fact {
            id: "ab".into(),
            workspace: "acme".into(),
            mode: "live".into(),
            at: 1_700_000_000_123,
            source: "evt_1".into(),
            trust: "stripe".into(),
            body: Body::Refund(Box::new(RefundFact {
                refund: "re_1".into(),
                amount: 500,
                currency: "usd".into(),
                ..Default::default()
            })),
            account: String::new(),
        };
        let encoder = Encoder::<Fact>::new(7);
        let mut decoder = Decoder::<Fact>::default();
        decoder.add_own(7);
        let bytes = encoder.encode(&fact).unwrap();
        assert_eq!(&bytes[..5], &[0, 0, 0, 0, 7]);
        assert_eq!(decoder.decode(&bytes).unwrap(), fact);
        let mut more = bytes.clone();
        more.push(0);
        assert!(decoder.decode(&more).is_err());
        assert!(matches!(
            decoder.decode(&[0, 0, 0, 0, 9, 1]),
            Err(CodecError::UnknownSchema(9))
        ));
        assert!(matches!(decoder.decode(b"{}"), Err(CodecError::Frame(_))));
    }

    #[test]
    fn ledger_rows_and_clicks_survive_the_wire() {
        let row = Conversion {
            id: "c".into(),
            revision: 2,
            op: Op::Retract,
            lines: vec![Default::default()],
            ..Default::default()
        };
        let mut decoder = Decoder::<Conversion>::default();
        decoder.add(1, Conversion::TOPIC.schema()).unwrap();
        assert_eq!(
            decoder.decode(&Encoder::new(1).encode(&row).unwrap()).unwrap(),
            row
        );
        let click = Click {
            id: "0123456789abcdef".into(),
            workspace: "acme".into(),
            tracked: true,
            ..Default::default()
        };
        let mut decoder = Decoder::<Click>::default();
        decoder.add(1, Click::TOPIC.schema()).unwrap();
        let bytes = Encoder::new(1).encode(&click).unwrap();
        assert_eq!(decoder.decode(&bytes).unwrap(), click);
        assert_eq!(click_workspace(&bytes).unwrap(), "acme");
        assert!(click_workspace(&bytes[..20]).is_err());
        assert!(matches!(click_workspace(b"{}"), Err(CodecError::Frame(_))));
    }
}
