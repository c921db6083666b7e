//! The processors' registry client as the sink wants it.

use futures::future::BoxFuture;
use tributary_avro::Topic;
use tributary_processors::registry::{Registry, RegistryError};
use tributary_sinks::{SchemaError, Schemas};

/// Schemas from the registry and its cache.
pub struct FromRegistry(pub Registry);

fn why(error: RegistryError) -> SchemaError {
    match error {
        RegistryError::UnknownId(id) => SchemaError::Unknown(id.to_string()),
        error if error.is_retryable() => SchemaError::Away(error.to_string()),
        error => SchemaError::Refused(error.to_string()),
    }
}

impl Schemas for FromRegistry {
    fn schema(&self, id: u32) -> BoxFuture<'_, Result<String, SchemaError>> {
        Box::pin(async move { self.0.schema(id).await.map_err(why) })
    }

    fn id(&self, topic: Topic) -> BoxFuture<'_, Result<u32, SchemaError>> {
        Box::pin(async move { self.0.id(topic).await.map_err(why) })
    }
}
