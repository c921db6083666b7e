//! Confluent wire format over Avro datums: `00`, schema ID (big-endian u32), datum.
//!
//! It decodes with the writer's schema straight into the Rust type; fields that an older schema lacks
//! take their serde default, which a test holds equal to the schema's. No IO: an unknown schema ID is
//! an error that names it, so that the caller can fetch and `add` it.

use std::collections::HashMap;
use std::marker::PhantomData;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::de::DeserializeOwned;

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
        /// What the Avro library said.
        #[source]
        source: Box<apache_avro::Error>,
    },
    /// The schema itself is not valid, or the value does not fit it.
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

// Schemas live as long as the process: a handful per topic.
fn parse(json: &str) -> Result<&'static Schema, CodecError> {
    Ok(Box::leak(Box::new(Schema::parse_str(json).map_err(Box::new)?)))
}

/// Writes records of one type under one schema ID.
pub struct Encoder<T> {
    header: [u8; HEADER],
    writer: GenericDatumWriter<'static>,
    record: PhantomData<fn(T)>,
}

impl<T: Record> Encoder<T> {
    /// An encoder for the type's schema, registered as `id`.
    pub fn new(id: u32) -> Result<Self, CodecError> {
        let [a, b, c, d] = id.to_be_bytes();
        let writer = GenericDatumWriter::builder(parse(T::TOPIC.schema())?)
            .validate(false)
            .human_readable(false)
            .build()
            .map_err(Box::new)?;
        Ok(Self {
            header: [MAGIC, a, b, c, d],
            writer,
            record: PhantomData,
        })
    }

    /// Frame and datum of a record.
    pub fn encode(&self, record: &T) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(&self.header);
        self.writer.write_ser(&mut out, record).map_err(Box::new)?;
        Ok(out)
    }
}

/// Reads records of one type, whichever known schema wrote them.
pub struct Decoder<T> {
    readers: HashMap<u32, GenericDatumReader<'static>>,
    record: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Default for Decoder<T> {
    fn default() -> Self {
        Self {
            readers: HashMap::new(),
            record: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Makes the schema `json` known under `id`.
    pub fn add(&mut self, id: u32, json: &str) -> Result<(), CodecError> {
        let reader = GenericDatumReader::builder(parse(json)?)
            .human_readable(false)
            .build()
            .map_err(Box::new)?;
        self.readers.insert(id, reader);
        Ok(())
    }

    /// Whether `id` can be decoded.
    pub fn knows(&self, id: u32) -> bool {
        self.readers.contains_key(&id)
    }

    /// The record in a framed value.
    pub fn decode(&self, value: &[u8]) -> Result<T, CodecError> {
        let id = schema_id(value)?;
        let reader = self.readers.get(&id).ok_or(CodecError::UnknownSchema(id))?;
        let mut datum = value.get(HEADER..).unwrap_or_default();
        let record = reader
            .read_deser(&mut datum)
            .map_err(|source| CodecError::Datum {
                id,
                source: Box::new(source),
            })?;
        if datum.is_empty() {
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
        };
        let encoder = Encoder::<Fact>::new(7).unwrap();
        let mut decoder = Decoder::<Fact>::default();
        decoder.add(7, Fact::TOPIC.schema()).unwrap();
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
            decoder
                .decode(&Encoder::new(1).unwrap().encode(&row).unwrap())
                .unwrap(),
            row
        );
        let click = Click {
            id: "0123456789abcdef".into(),
            tracked: true,
            ..Default::default()
        };
        let mut decoder = Decoder::<Click>::default();
        decoder.add(1, Click::TOPIC.schema()).unwrap();
        assert_eq!(
            decoder
                .decode(&Encoder::new(1).unwrap().encode(&click).unwrap())
                .unwrap(),
            click
        );
    }
}
