//! Schema IDs and schemas, from a Confluent-compatible registry and a cache of files.
//!
//! What was ever learnt stays on disk, so a process starts and goes on while the registry is away.
//! Invariant: an ID is only called unknown when the registry itself said so; a registry that cannot be
//! reached is a reason to wait, never to throw a record away.
//!
//! ```text
//!   encoder(topic) ──► memory ──► POST /subjects/<s> ──► (away) file <s>.id
//!   decode(bytes)  ──► memory ──► file <id>.avsc ──► GET /schemas/ids/<id> ──► (404) negative cache
//! ```

mod cache;
mod decoder;
mod http;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tributary_avro::{CodecError, Decoder, Encoder, Record, Topic};

use cache::Cache;
pub use decoder::{DecodeFailure, SchemaDecoder};
use http::Http;

const UNKNOWN_FOR: Duration = Duration::from_secs(30);
const AWAY_FOR: Duration = Duration::from_secs(1);

/// Why a schema or its ID could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody answers, or with a server error: try again later.
    #[error("the schema registry at {url} cannot be reached: {detail}")]
    Away {
        /// Registry asked.
        url: String,
        /// What the client said.
        detail: String,
    },
    /// The registry answered that it has no schema with this ID.
    #[error("the schema registry has no schema with ID {0}")]
    UnknownId(u32),
    /// The subject lacks this process's schema.
    #[error("subject {0} has no such schema in the registry: run `tributary init`")]
    NotRegistered(String),
    /// The registry refused a schema.
    #[error("the registry refused the schema of subject {subject}: {detail}")]
    Refused {
        /// Subject.
        subject: String,
        /// The registry's words.
        detail: String,
    },
    /// An answer that is none of the protocol's.
    #[error("unexpected answer of the schema registry: {0}")]
    Answer(String),
    /// The schema does not parse.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The cache directory cannot be used.
    #[error("schema cache: {0}")]
    Cache(#[from] std::io::Error),
}

impl RegistryError {
    /// Whether waiting may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// A registry and what is known of it. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    http: Http,
    cache: Cache,
    prefix: String,
    runtime: Handle,
    unknown: Mutex<HashMap<u32, Instant>>,
    away: Mutex<Option<Instant>>,
}

impl Registry {
    /// A registry at `url` (Confluent's API, with its base path). Does not talk to it yet.
    /// Must be called within a tokio runtime; blocking decoders use that runtime for their requests.
    ///
    /// # Errors
    /// If the cache directory cannot be made.
    pub async fn connect(url: &str, cache_dir: &Path, topic_prefix: &str) -> Result<Self, RegistryError> {
        Ok(Self(Arc::new(Inner {
            http: Http::new(url)?,
            cache: Cache::open(cache_dir, url)?,
            prefix: topic_prefix.to_owned(),
            runtime: Handle::current(),
            unknown: Mutex::default(),
            away: Mutex::default(),
        })))
    }

    /// The subject of a topic's values.
    pub fn subject(&self, topic: Topic) -> String {
        format!("{}{}-value", self.0.prefix, topic.name())
    }

    /// Sets backward compatibility, then registers the schema of every topic. Safe to repeat.
    ///
    /// # Errors
    /// If the registry is away or refuses a schema.
    pub async fn register_all(&self) -> Result<(), RegistryError> {
        self.0.http.set_backward().await?;
        for topic in Topic::ALL {
            let subject = self.subject(topic);
            let id = self.0.http.register(&subject, topic.schema()).await?;
            self.0.cache.put_subject(&subject, id, topic.schema())?;
            self.0.cache.put_schema(id, topic.schema())?;
        }
        Ok(())
    }

    /// The ID of this process's schema for a topic.
    ///
    /// # Errors
    /// If it is not registered, or neither registry nor cache can tell.
    pub async fn id(&self, topic: Topic) -> Result<u32, RegistryError> {
        let subject = self.subject(topic);
        match self.0.http.lookup(&subject, topic.schema()).await {
            Ok(id) => {
                self.0.cache.put_subject(&subject, id, topic.schema())?;
                self.0.cache.put_schema(id, topic.schema())?;
                Ok(id)
            }
            Err(error) if error.is_retryable() => {
                let cached = self.0.cache.subject(&subject, topic.schema());
                if cached.is_some() {
                    tracing::warn!(%subject, "schema registry is away, using the cached schema ID");
                }
                cached.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// An encoder for records of a topic.
    ///
    /// # Errors
    /// As [`Registry::id`].
    pub async fn encoder<T: Record>(&self, topic: Topic) -> Result<Arc<Encoder<T>>, RegistryError> {
        Ok(Arc::new(Encoder::new(self.id(topic).await?)))
    }

    /// A decoder for records of a topic, written under any schema that the registry knows.
    ///
    /// # Errors
    /// As [`Registry::id`].
    pub async fn decoder<T: Record>(&self, topic: Topic) -> Result<Arc<SchemaDecoder<T>>, RegistryError> {
        let mut decoder = Decoder::default();
        decoder.add_own(self.id(topic).await?);
        Ok(Arc::new(SchemaDecoder::new(self.clone(), decoder)))
    }

    /// The schema with an ID, from the cache or the registry.
    ///
    /// # Errors
    /// [`RegistryError::UnknownId`] if the registry says so; retryable errors if it is away.
    pub async fn schema(&self, id: u32) -> Result<String, RegistryError> {
        if let Some(json) = self.0.cache.schema(id) {
            return Ok(json);
        }
        self.recently_failed(id)?;
        match self.0.http.schema(id).await {
            Ok(json) => {
                self.0.cache.put_schema(id, &json)?;
                Ok(json)
            }
            Err(error) => {
                if matches!(error, RegistryError::UnknownId(_)) {
                    lock(&self.0.unknown).insert(id, Instant::now());
                } else if error.is_retryable() {
                    *lock(&self.0.away) = Some(Instant::now());
                }
                Err(error)
            }
        }
    }

    // A flood of records with one bad ID must not become a flood of requests.
    fn recently_failed(&self, id: u32) -> Result<(), RegistryError> {
        let unknown = lock(&self.0.unknown).get(&id).copied();
        if unknown.is_some_and(|since| since.elapsed() < UNKNOWN_FOR) {
            return Err(RegistryError::UnknownId(id));
        }
        let away = *lock(&self.0.away);
        if away.is_some_and(|since| since.elapsed() < AWAY_FOR) {
            return Err(RegistryError::Away {
                url: self.0.http.url().to_owned(),
                detail: "it did not answer a moment ago".to_owned(),
            });
        }
        Ok(())
    }

    fn schema_blocking(&self, id: u32) -> Result<String, RegistryError> {
        self.0.runtime.block_on(self.schema(id))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
