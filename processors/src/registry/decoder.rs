//! A decoder that learns schemas as it meets their IDs.

use std::sync::{PoisonError, RwLock};

use serde::de::DeserializeOwned;
use tributary_avro::{CodecError, Decoder};

use super::{Registry, RegistryError};

/// What to do with bytes that did not become a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeFailure {
    /// They never will: a dead letter with this reason (`undecodable` or `unknown_schema_id`).
    #[error("{reason}: {detail}")]
    Dead {
        /// Closed set.
        reason: &'static str,
        /// For people.
        detail: String,
    },
    /// The registry is away: keep the record and try again.
    #[error("{0}")]
    Retry(String),
}

/// Decodes records of one type; shared by all threads of a process.
pub struct SchemaDecoder<T> {
    registry: Registry,
    decoder: RwLock<Decoder<T>>,
}

impl<T: DeserializeOwned> SchemaDecoder<T> {
    pub(super) fn new(registry: Registry, decoder: Decoder<T>) -> Self {
        Self {
            registry,
            decoder: RwLock::new(decoder),
        }
    }

    /// Decodes with the schemas known so far. No IO: `CodecError::UnknownSchema` asks for [`Self::learn`].
    ///
    /// # Errors
    /// As the codec says.
    pub fn try_decode(&self, value: &[u8]) -> Result<T, CodecError> {
        self.decoder
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .decode(value)
    }

    /// Decodes, asking the registry where the schema is unknown.
    ///
    /// # Errors
    /// Says whether the record is dead or the registry away.
    pub async fn decode(&self, value: &[u8]) -> Result<T, DecodeFailure> {
        match self.try_decode(value) {
            Err(CodecError::UnknownSchema(id)) => {
                self.learn(id).await?;
                self.try_decode(value).map_err(dead)
            }
            other => other.map_err(dead),
        }
    }

    /// As [`Self::decode`], for threads outside of any async runtime.
    ///
    /// # Errors
    /// Says whether the record is dead or the registry away.
    pub fn decode_blocking(&self, value: &[u8]) -> Result<T, DecodeFailure> {
        match self.try_decode(value) {
            Err(CodecError::UnknownSchema(id)) => {
                let schema = self.registry.schema_blocking(id);
                self.add(id, schema)?;
                self.try_decode(value).map_err(dead)
            }
            other => other.map_err(dead),
        }
    }

    /// Fetches the schema with an ID and makes it known.
    ///
    /// # Errors
    /// Says whether records with this ID are dead or the registry away.
    pub async fn learn(&self, id: u32) -> Result<(), DecodeFailure> {
        let schema = self.registry.schema(id).await;
        self.add(id, schema)
    }

    fn add(&self, id: u32, schema: Result<String, RegistryError>) -> Result<(), DecodeFailure> {
        let json = schema.map_err(|error| match error {
            RegistryError::UnknownId(_) => DecodeFailure::Dead {
                reason: "unknown_schema_id",
                detail: error.to_string(),
            },
            other => DecodeFailure::Retry(other.to_string()),
        })?;
        let mut decoder = self.decoder.write().unwrap_or_else(PoisonError::into_inner);
        if decoder.knows(id) {
            return Ok(());
        }
        decoder.add(id, &json).map_err(dead)
    }
}

fn dead(error: CodecError) -> DecodeFailure {
    DecodeFailure::Dead {
        reason: "undecodable",
        detail: error.to_string(),
    }
}
