//! Whose figures a request may read: workspace and mode.
//!
//! This is the one place that decides it; a token, once there are tokens, is checked here and names the workspace.
//! Invariant: every statement that touches the ledger carries the scope's condition.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::database::Database;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::statement::{Statement, Value};

/// Condition that every statement starts with.
pub const SCOPE: &str = "workspace = {workspace:String} AND mode = {mode:String}";

/// One workspace in one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub workspace: String,
    pub mode: String,
}

impl Scope {
    pub async fn take(parameters: &mut Parameters, database: &Database) -> Result<Self, ApiError> {
        let mode = parameters.text("mode")?.unwrap_or_else(|| "live".to_owned());
        if let Some(workspace) = parameters.text("workspace")? {
            return Ok(Self { workspace, mode });
        }
        let known: Vec<String> = workspaces(database).await?.into_keys().collect();
        if known.len() > 1 {
            let reason = format!("there are several; name one of {}", known.join(", "));
            return Err(ApiError::bad("workspace", reason));
        }
        let workspace = known.into_iter().next().unwrap_or_default();
        Ok(Self { workspace, mode })
    }

    pub fn values(&self) -> [(String, Value); 2] {
        [
            ("workspace".to_owned(), Value::Text(self.workspace.clone())),
            ("mode".to_owned(), Value::Text(self.mode.clone())),
        ]
    }
}

#[derive(Row, Deserialize)]
struct ScopeRow {
    workspace: String,
    mode: String,
}

/// Workspaces with data, each with its modes.
pub async fn workspaces(database: &Database) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let sql = "SELECT DISTINCT toString(workspace) AS workspace, toString(mode) AS mode FROM (
                 SELECT DISTINCT workspace, mode FROM clicks_hourly
                 UNION ALL SELECT DISTINCT workspace, mode FROM conversions_hourly
                 UNION ALL SELECT DISTINCT workspace, mode FROM refunds_hourly
               ) ORDER BY workspace, mode";
    let rows: Vec<ScopeRow> = database.rows("workspaces", Statement::new(sql)).await?;
    let mut workspaces: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        workspaces.entry(row.workspace).or_default().push(row.mode);
    }
    Ok(workspaces)
}
