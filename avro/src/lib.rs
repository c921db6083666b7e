//! The contract: what stands in Tributary's Kafka topics.
//!
//! Types, schemas and the codec for the Confluent wire format (byte 0, schema ID as big-endian u32,
//! Avro datum). It does no IO: schema IDs come from whoever talks to the registry.
//! Invariant: a record written by any older version of a schema stays readable.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod codec;
mod datum;
mod fact;
mod inputs;
mod ledger;
mod topics;

use std::collections::BTreeMap;

pub use codec::{CodecError, Decoder, Encoder, click_workspace, schema_id};
pub use datum::DatumError;
pub use fact::*;
pub use inputs::*;
pub use ledger::*;
pub use topics::{Record, Retention, Topic};

/// Metadata of a call or Stripe object, as text.
pub type Metadata = BTreeMap<String, String>;

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}

/// Avro bytes for serde: one buffer, not a sequence of numbers.
mod bytes {
    use serde::de::{SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Vec<u8>, E> {
                Ok(v.to_vec())
            }
            fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(v)
            }
            fn visit_str<E>(self, v: &str) -> Result<Vec<u8>, E> {
                Ok(v.as_bytes().to_vec())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut out = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    out.push(byte);
                }
                Ok(out)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
