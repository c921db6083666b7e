//! Reading instructions by schema ID, compiled when an ID is first seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;

use super::letters::Reason;
use crate::rows::Program;
use crate::schemas::{SchemaError, Schemas};
use crate::tables::Table;

/// An ID that could not be used may be registered, or its schema mended, later.
const BAD_FOR: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) enum Known {
    Program(Arc<Program>),
    Bad(Reason, String, Instant),
    /// The registry is away: wait.
    Away(String),
}

/// The programs of one table.
#[derive(Default)]
pub(super) struct Programs(FxHashMap<u32, Known>);

impl Programs {
    /// The program for a schema ID. Asks the registry, and so may block, when the ID is new.
    pub(super) fn get(&mut self, id: u32, table: &Table, schemas: &dyn Schemas, runtime: &Handle) -> Known {
        match self.0.get(&id) {
            Some(Known::Program(program)) => return Known::Program(program.clone()),
            Some(bad @ Known::Bad(_, _, since)) if since.elapsed() < BAD_FOR => return bad.clone(),
            _ => {}
        }
        let known = match runtime.block_on(schemas.schema(id)) {
            Ok(json) => match Program::compile(&json, table) {
                Ok(program) => Known::Program(Arc::new(program)),
                Err(error) => Known::Bad(Reason::IncompatibleSchema, error.to_string(), Instant::now()),
            },
            Err(SchemaError::Unknown(_)) => {
                Known::Bad(Reason::UnknownSchema, format!("schema ID {id}"), Instant::now())
            }
            Err(error) => return Known::Away(error.to_string()),
        };
        self.0.insert(id, known.clone());
        known
    }
}
