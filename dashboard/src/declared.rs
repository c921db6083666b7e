//! What is declared in topic `config`, beside what the ledger tells of the same.
//!
//! Both may be missing: figures of a link that was deleted stay, and a new link has none. Without Kafka nothing is known
//! to be declared, and pages show what the ledger has. Invariant: an answer says what of it is declared.

use serde_json::{Value as JsonValue, json};
use tributary_domain::manage::{Catalog, Found};

use crate::database::Database;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::scope::Scope;
use crate::server::Application;
use crate::statement::{Statement, Value};

/// Objects without any figure that a list shows at most; more are found by a search. They travel in the statement.
pub const MOST: usize = 5000;

impl Application {
    /// What is declared; nothing, if this process does not know.
    pub fn declared<R: Default>(&self, read: impl FnOnce(&Catalog) -> R) -> R {
        self.management
            .as_ref()
            .map(|management| management.catalog(read))
            .unwrap_or_default()
    }

    /// A partner as rows show it: null for nobody.
    pub fn partner(&self, workspace: &str, id: &str) -> JsonValue {
        if id.is_empty() {
            return JsonValue::Null;
        }
        json!({"id": id, "name": self.partner_name(workspace, id)})
    }
}

/// The scope of a request about declared objects: before the first click, the only workspace that declares any.
pub async fn scope(
    parameters: &mut Parameters,
    application: &Application,
    database: &Database,
) -> Result<Scope, ApiError> {
    let mut scope = Scope::take(parameters, database).await?;
    if scope.workspace.is_empty() {
        let known: Vec<String> =
            application.declared(|catalog| catalog.workspaces().map(str::to_owned).collect());
        if let [only] = known.as_slice() {
            scope.workspace.clone_from(only);
        }
    }
    Ok(scope)
}

/// Rows `id`, `created` (UTC milliseconds) of what was found declared; needs the values of [`with`].
pub const DECLARED: &str = "(SELECT pair.1 AS id, pair.2 AS created
      FROM (SELECT arrayJoin(arrayZip({ids:Array(String)}, {created:Array(Int64)})) AS pair))";

pub fn with(statement: Statement, found: Found) -> Statement {
    let (ids, created) = found.into_iter().unzip();
    statement
        .with("ids", Value::Texts(ids))
        .with("created", Value::Integers(created))
}

/// The condition of a search in `columns`, or among what was found declared; needs the value `search`.
pub fn searched(columns: &[&str]) -> String {
    let in_text = columns
        .iter()
        .map(|column| format!("positionCaseInsensitiveUTF8({column}, {{search:String}}) > 0"));
    let all: Vec<String> = in_text.chain(["id IN {ids:Array(String)}".to_owned()]).collect();
    format!("({})", all.join(" OR "))
}
