//! Where schemas come from: whoever runs the sink brings a registry client.

use futures::future::BoxFuture;
use tributary_avro::Topic;

/// Why a schema could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SchemaError {
    /// The registry itself says that it has no such schema.
    #[error("the registry has no schema {0}")]
    Unknown(String),
    /// It cannot be asked: wait.
    #[error("the schema registry is away: {0}")]
    Away(String),
    /// Waiting does not help.
    #[error("schema registry: {0}")]
    Refused(String),
}

/// A registry, with its cache.
pub trait Schemas: Send + Sync + 'static {
    /// The schema with an ID.
    fn schema(&self, id: u32) -> BoxFuture<'_, Result<String, SchemaError>>;

    /// The ID under which this process writes to a topic.
    fn id(&self, topic: Topic) -> BoxFuture<'_, Result<u32, SchemaError>>;
}
