//! `GET /partners/figures`: all partners with what they brought and what they are owed, for the page of partners.
//!
//! Invariant: balances are those of the view `partner_balance`, each in its own currency.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::brought::{Brought, COLUMNS, Kind};
use crate::database::Database;
use crate::declared;
use crate::error::ApiError;
use crate::paging::Page;
use crate::parameters::Parameters;
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::sheet::Format;
use crate::statement::{Statement, Value};

const PARTNERS: Kind = Kind {
    id: "partner_id",
    labels: &["program_id"],
    of_clicks: true,
};

const SORTS: [(&str, &str); 8] = [
    ("saleAmount", "amount"),
    ("clicks", "clicks"),
    ("leads", "leads"),
    ("sales", "sales"),
    ("earnings", "earned"),
    ("due", "due"),
    ("balance", "balance"),
    ("createdAt", "created_ms"),
];

const SHEET: [(&str, &str); 18] = [
    ("id", "/id"),
    ("name", "/name"),
    ("email", "/email"),
    ("program", "/programId"),
    ("status", "/status"),
    ("clicks", "/clicks"),
    ("leads", "/leads"),
    ("sales", "/sales"),
    ("sale_amount", "/saleAmount"),
    ("refund_amount", "/refundAmount"),
    ("currency", "/balance/currency"),
    ("earned", "/balance/earned"),
    ("pending", "/balance/pending"),
    ("approved", "/balance/approved"),
    ("withheld", "/balance/withheld"),
    ("paid", "/balance/paid"),
    ("due", "/balance/due"),
    ("balance", "/balance/balance"),
];

#[derive(Row, Deserialize)]
struct Balance {
    id: String,
    currency: String,
    earned: i64,
    pending: i64,
    approved: i64,
    withheld: i64,
    paid: i64,
    due: i64,
    balance: i64,
}

impl Balance {
    fn json(&self) -> JsonValue {
        json!({
            "currency": self.currency, "earned": self.earned, "pending": self.pending, "approved": self.approved,
            "withheld": self.withheld, "paid": self.paid, "due": self.due, "balance": self.balance,
        })
    }
}

pub async fn list(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let format = Format::take(&mut parameters)?;
    let page = format.page(Page::take(&mut parameters, &SORTS)?);
    let search = parameters.text("search")?.unwrap_or_default();
    let yes_or_no = [("true", true), ("false", false)];
    let due = parameters.choice("due", &yes_or_no)?;
    let scope = declared::scope(&mut parameters, &application, database).await?;
    parameters.finish()?;

    let mut condition = declared::searched(&["id"]);
    condition.push_str(match due {
        None => "",
        Some(true) => " AND due > 0",
        Some(false) => " AND due <= 0",
    });
    let found =
        application.declared(|catalog| catalog.find_partners(&scope.workspace, &search, declared::MOST));
    // Only to sort and choose by: of several currencies the sum says little, and is not shown.
    let sql = format!(
        "WITH partners AS (
           SELECT {COLUMNS}, owed.due AS due, owed.balance AS balance FROM ({}) AS brought
           LEFT JOIN (
             SELECT toString(partner_id) AS partner, sum(view.due) AS due, sum(view.balance) AS balance
             FROM partner_balance AS view WHERE {SCOPE} GROUP BY partner
           ) AS owed ON owed.partner = brought.id
         ) {}",
        PARTNERS.table(declared::DECLARED),
        page.of("partners", "id", COLUMNS, &condition)
    );
    let statement = declared::with(Statement::new(sql), found)
        .with_all(scope.values())
        .with("search", Value::Text(search));
    let rows = page
        .ask::<Brought>(database, "partners_figures", statement)
        .await?;
    let balances = balances(database, &scope, rows.iter().map(|row| row.id.clone()).collect()).await?;
    let rows = rows
        .iter()
        .map(|row| json_of(row, &balances, &scope.workspace, &application))
        .collect();
    format.answer("partners", &SHEET, rows)
}

async fn balances(
    database: &Database,
    scope: &Scope,
    ids: Vec<String>,
) -> Result<BTreeMap<String, Vec<Balance>>, ApiError> {
    let sql = format!(
        "SELECT toString(partner_id) AS id, toString(view.currency) AS currency, sum(view.earned) AS earned,
                sum(view.pending) AS pending, sum(view.approved) AS approved, sum(view.withheld) AS withheld,
                sum(view.paid) AS paid, sum(view.due) AS due, sum(view.balance) AS balance
         FROM partner_balance AS view WHERE {SCOPE} AND partner_id IN {{ids:Array(String)}}
         GROUP BY id, currency ORDER BY id, currency"
    );
    let statement = Statement::new(sql)
        .with_all(scope.values())
        .with("ids", Value::Texts(ids));
    let mut all: BTreeMap<String, Vec<Balance>> = BTreeMap::new();
    for row in database.rows::<Balance>("partner_balances", statement).await? {
        all.entry(row.id.clone()).or_default().push(row);
    }
    Ok(all)
}

fn json_of(
    row: &Brought,
    balances: &BTreeMap<String, Vec<Balance>>,
    workspace: &str,
    application: &Application,
) -> JsonValue {
    let known = application.declared(|catalog| catalog.show_partner(workspace, &row.id));
    let mut fields = row.json();
    let own: Vec<JsonValue> = balances
        .get(&row.id)
        .into_iter()
        .flatten()
        .map(Balance::json)
        .collect();
    for (name, value) in [
        ("name", json!(application.partner_name(workspace, &row.id))),
        ("programId", json!(row.label(0))),
        ("declared", json!(known.is_some())),
        // The one that most have only: that of the workspace.
        ("balance", own.first().cloned().unwrap_or_default()),
        ("balances", own.into()),
    ] {
        fields.insert(name.to_owned(), value);
    }
    let told = [
        "email", "country", "groupId", "tenantId", "status", "links", "coupons",
    ];
    for name in told {
        let value = known.as_ref().and_then(|partner| partner.get(name)).cloned();
        fields.insert(name.to_owned(), value.unwrap_or_default());
    }
    for name in ["programId", "createdAt"] {
        if let Some(value) = known.as_ref().and_then(|partner| partner.get(name)) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    fields.into()
}
