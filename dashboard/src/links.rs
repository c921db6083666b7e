//! `GET /links/figures`: all links with what each brought, for the page of links.
//!
//! Unlike `GET /links`, which is Dub's, it needs no key, sorts by figures, and knows links that only the ledger knows.

use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Value as JsonValue, json};

use crate::brought::{Brought, COLUMNS, Kind, SORTS};
use crate::declared;
use crate::error::ApiError;
use crate::paging::Page;
use crate::parameters::Parameters;
use crate::record::text_or_null;
use crate::server::Application;
use crate::sheet::Format;
use crate::statement::{Statement, Value};

const LINKS: Kind = Kind {
    id: "link_id",
    labels: &["domain", "key", "partner_id", "program_id"],
    of_clicks: true,
};

const SHEET: [(&str, &str); 12] = [
    ("id", "/id"),
    ("link", "/shortLink"),
    ("destination", "/url"),
    ("partner", "/partner/id"),
    ("clicks", "/clicks"),
    ("leads", "/leads"),
    ("sales", "/sales"),
    ("sale_amount", "/saleAmount"),
    ("refund_amount", "/refundAmount"),
    ("earnings", "/earnings"),
    ("currency", "/currency"),
    ("created_at", "/createdAt"),
];

pub async fn list(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let format = Format::take(&mut parameters)?;
    let page = format.page(Page::take(&mut parameters, &SORTS)?);
    let search = parameters.text("search")?.unwrap_or_default();
    let partner = parameters.text("partnerId")?;
    let scope = declared::scope(&mut parameters, &application, &application.database).await?;
    parameters.finish()?;

    let mut condition = declared::searched(&["id", "concat(labels[1], '/', labels[2])"]);
    if partner.is_some() {
        condition.push_str(" AND (labels[3] = {partner:String} OR id IN {ids:Array(String)})");
    }
    let found = application.declared(|catalog| {
        catalog.find_links(&scope.workspace, &search, partner.as_deref(), declared::MOST)
    });
    let sql = format!(
        "WITH links AS ({}) {}",
        LINKS.table(declared::DECLARED),
        page.of("links", "id", COLUMNS, &condition)
    );
    let statement = declared::with(Statement::new(sql), found)
        .with_all(scope.values())
        .with("search", Value::Text(search))
        .with("partner", Value::Text(partner.unwrap_or_default()));
    let rows = page
        .ask::<Brought>(&application.database, "links_figures", statement)
        .await?;
    let rows = rows
        .iter()
        .map(|row| json_of(row, &scope.workspace, &application))
        .collect();
    format.answer("links", &SHEET, rows)
}

fn json_of(row: &Brought, workspace: &str, application: &Application) -> JsonValue {
    let known = application.declared(|catalog| catalog.shown_link(workspace, &row.id));
    let text = |name: &str, place: usize| -> String {
        let declared = known.as_ref().and_then(|link| link.get(name)?.as_str());
        declared.unwrap_or_else(|| row.label(place)).to_owned()
    };
    let (domain, key) = (text("domain", 0), text("key", 1));
    // A declared link without a partner has none, whoever had it before.
    let partner = match &known {
        Some(link) => link
            .get("partnerId")
            .and_then(JsonValue::as_str)
            .unwrap_or_default(),
        None => row.label(2),
    };
    let mut fields = row.json();
    for (name, value) in [
        ("domain", json!(domain)),
        ("key", json!(key)),
        ("shortLink", text_or_null(&short(&domain, &key))),
        ("partner", application.partner(workspace, partner)),
        ("programId", text_or_null(&text("programId", 3))),
        ("declared", json!(known.is_some())),
    ] {
        fields.insert(name.to_owned(), value);
    }
    for name in [
        "url",
        "archived",
        "expiresAt",
        "comments",
        "createdAt",
        "trackConversion",
    ] {
        let value = known.as_ref().and_then(|link| link.get(name)).cloned();
        fields.insert(name.to_owned(), value.unwrap_or_default());
    }
    fields.into()
}

fn short(domain: &str, key: &str) -> String {
    if domain.is_empty() {
        return String::new();
    }
    format!("https://{domain}/{key}")
}
