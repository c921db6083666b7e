//! Whose figures a request may read: workspace and mode, and of these one partner's only, if the token is a partner's.
//!
//! This is the one place that decides it; what a key or token is confined to comes in the query, put there by
//! `manage::scope`. Invariant: every statement that touches the ledger carries the scope's condition.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::database::Database;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::statement::{Statement, Value};

/// Condition that every statement starts with. Without a partner ClickHouse finds the last part true before it reads.
pub const SCOPE: &str = "workspace = {workspace:String} AND mode = {mode:String} \
                         AND ({partner:String} = '' OR partner_id = {partner:String})";

/// Condition of what has no partner: sums of a whole workspace, which no partner may read, and names and addresses,
/// which are shown beside rows of the ledger only.
pub const WORKSPACE: &str = "workspace = {workspace:String} AND mode = {mode:String}";

/// One workspace in one mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub workspace: String,
    pub mode: String,
    /// The partner that reads, who sees nothing but its own; empty: no partner does.
    pub partner: String,
}

impl Scope {
    pub async fn take(parameters: &mut Parameters, database: &Database) -> Result<Self, ApiError> {
        let mode = parameters.text("mode")?.unwrap_or_else(|| "live".to_owned());
        let partner = parameters.text("ownPartner")?.unwrap_or_default();
        if let Some(workspace) = parameters.text("workspace")? {
            return Ok(Self {
                workspace,
                mode,
                partner,
            });
        }
        let known: Vec<String> = workspaces(database).await?.into_keys().collect();
        if known.len() > 1 {
            let reason = format!("there are several; name one of {}", known.join(", "));
            return Err(ApiError::bad("workspace", reason));
        }
        let workspace = known.into_iter().next().unwrap_or_default();
        Ok(Self {
            workspace,
            mode,
            partner,
        })
    }

    /// Whether a partner reads: customers' names and addresses are masked then.
    pub fn is_partners(&self) -> bool {
        !self.partner.is_empty()
    }

    pub fn values(&self) -> [(String, Value); 3] {
        [
            ("workspace".to_owned(), Value::Text(self.workspace.clone())),
            ("mode".to_owned(), Value::Text(self.mode.clone())),
            ("partner".to_owned(), Value::Text(self.partner.clone())),
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
