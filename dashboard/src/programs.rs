//! `GET /programs`: the offers of a workspace as they are declared, with their members and what they brought.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value as JsonValue, json};

use crate::brought::{Brought, COLUMNS, Kind};
use crate::declared;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::server::Application;
use crate::statement::Statement;

const PROGRAMS: Kind = Kind {
    id: "program_id",
    labels: &[],
    of_clicks: true,
};

pub async fn list(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let scope = declared::scope(&mut parameters, &application, database).await?;
    parameters.finish()?;
    let sql = format!(
        "SELECT {COLUMNS} FROM ({}) ORDER BY amount DESC, id",
        PROGRAMS.table("")
    );
    let rows = database
        .rows::<Brought>("programs", Statement::new(sql).with_all(scope.values()))
        .await?;
    let mut brought: BTreeMap<String, JsonValue> = rows
        .iter()
        .map(|row| (row.id.clone(), row.json().into()))
        .collect();
    let programs: Vec<JsonValue> = application.declared(|catalog| {
        let all = catalog.programs(&scope.workspace).into_iter();
        all.map(|(program, members)| {
            json!({
                "id": program.id, "name": if program.name.is_empty() { &program.id } else { &program.name },
                "currency": catalog.currency(&scope.workspace), "terms": program, "members": members,
                "figures": brought.remove(&program.id),
            })
        })
        .collect()
    });
    // Those that only the ledger knows: they were deleted, or this process does not know what is declared.
    let others = brought.into_iter().map(|(id, figures)| {
        json!({"id": id, "name": id, "currency": null, "terms": null, "members": null, "figures": figures})
    });
    Ok(Json(programs.into_iter().chain(others).collect()))
}
