//! `GET /coupons`: partners' codes, and what was bought with each.

use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Value as JsonValue, json};
use tributary_domain::manage::Found;

use crate::brought::{Brought, COLUMNS, Kind};
use crate::declared;
use crate::error::ApiError;
use crate::paging::Page;
use crate::parameters::Parameters;
use crate::server::Application;
use crate::sheet::Format;
use crate::statement::{Statement, Value};

const COUPONS: Kind = Kind {
    id: "coupon",
    labels: &["partner_id", "program_id"],
    of_clicks: false,
};

const SORTS: [(&str, &str); 4] = [
    ("saleAmount", "amount"),
    ("sales", "sales"),
    ("earnings", "earned"),
    ("lastConversionAt", "last_ms"),
];

const SHEET: [(&str, &str); 10] = [
    ("code", "/id"),
    ("partner", "/partner/id"),
    ("active", "/active"),
    ("leads", "/leads"),
    ("sales", "/sales"),
    ("sale_amount", "/saleAmount"),
    ("refund_amount", "/refundAmount"),
    ("earnings", "/earnings"),
    ("currency", "/currency"),
    ("last_conversion_at", "/lastConversionAt"),
];

pub async fn list(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let format = Format::take(&mut parameters)?;
    let page = format.page(Page::take(&mut parameters, &SORTS)?);
    let search = parameters.text("search")?.unwrap_or_default();
    let partner = parameters.text("partnerId")?.unwrap_or_default();
    let scope = declared::scope(&mut parameters, &application, &application.database).await?;
    parameters.finish()?;

    let mut condition = declared::searched(&["id"]);
    if !partner.is_empty() {
        condition.push_str(" AND (labels[1] = {partner:String} OR id IN {ids:Array(String)})");
    }
    let text = search.to_lowercase();
    let found: Found = application.declared(|catalog| {
        let fitting = catalog.coupons(&scope.workspace).filter(|coupon| {
            (partner.is_empty() || partner == coupon.partner) && coupon.code.to_lowercase().contains(&text)
        });
        let found = fitting.map(|coupon| (coupon.code.clone(), 0));
        found.take(declared::MOST).collect()
    });
    let sql = format!(
        "WITH coupons AS ({}) {}",
        COUPONS.table(declared::DECLARED),
        page.of("coupons", "id", COLUMNS, &condition)
    );
    let statement = declared::with(Statement::new(sql), found)
        .with_all(scope.values())
        .with("search", Value::Text(search))
        .with("partner", Value::Text(partner));
    let rows = page
        .ask::<Brought>(&application.database, "coupons", statement)
        .await?;
    let rows = rows
        .iter()
        .map(|row| json_of(row, &scope.workspace, &application))
        .collect();
    format.answer("coupons", &SHEET, rows)
}

fn json_of(row: &Brought, workspace: &str, application: &Application) -> JsonValue {
    let known = application.declared(|catalog| {
        let found = catalog.coupons(workspace).find(|coupon| coupon.code == row.id);
        found.cloned()
    });
    let partner = known.as_ref().map_or(row.label(0), |coupon| &coupon.partner);
    let mut fields = row.json();
    // They have no clicks, and are not created but declared.
    fields.remove("clicks");
    fields.remove("createdAt");
    for (name, value) in [
        ("partner", application.partner(workspace, partner)),
        ("programId", json!(row.label(1))),
        ("declared", json!(known.is_some())),
        ("active", json!(known.as_ref().map(|coupon| coupon.active))),
        (
            "promotionCodes",
            json!(known.map(|coupon| coupon.promotion_codes).unwrap_or_default()),
        ),
    ] {
        fields.insert(name.to_owned(), value);
    }
    fields.into()
}
