//! `GET /customers` and `/customers/{id}`: who became a customer, what they are worth, and who brought them.
//!
//! Made of the ledger, in the shape that the `dub` SDKs parse; names and addresses from topic `people`, and from nowhere
//! else. Invariant: figures are the net state of conversions, as everywhere, before refunds.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::error::ApiError;
use crate::paging::Page;
use crate::parameters::Parameters;
use crate::period::utc_text;
use crate::record::{dimension, dimensions, link, text_or_null};
use crate::scope::{SCOPE, Scope, WORKSPACE};
use crate::server::Application;
use crate::statement::{Statement, Value};

const COLUMNS: &str =
    "customer, created_ms, first_sale_ms, sales, amount, currency, country, dimensions, name, email, avatar";

/// A filter, its parameter's name, and the column that must equal it.
const FILTERS: [(&str, &str); 6] = [
    ("email", "email"),
    ("externalId", "customer"),
    ("country", "country"),
    ("linkId", "dimension_link"),
    ("programId", "dimension_program"),
    ("partnerId", "dimension_partner"),
];

/// A customer with figures.
#[derive(Row, Deserialize, Default)]
struct CustomerRow {
    customer: String,
    created_ms: i64,
    first_sale_ms: i64,
    sales: i64,
    amount: i64,
    currency: String,
    country: String,
    dimensions: Vec<String>,
    name: String,
    email: String,
    avatar: String,
}

impl CustomerRow {
    /// All customers of a scope, as a table.
    fn table() -> String {
        // Whose credit it is: of the latest conversion that somebody has.
        format!(
            "SELECT ledger.customer AS customer, created_ms, first_sale_ms, sales, amount, currency, country, dimensions,
                    dimension_link, dimension_program, dimension_partner, person.name AS name, person.email AS email,
                    person.avatar AS avatar
             FROM (
               SELECT customer, toUnixTimestamp64Milli(min(raw.at)) AS created_ms,
                      toUnixTimestamp64Milli(minIf(raw.at, kind = 'sale')) AS first_sale_ms,
                      toInt64(countIf(kind = 'sale')) AS sales, sumIf(raw.amount, kind = 'sale') AS amount,
                      argMaxIf(raw.currency, raw.at, kind = 'sale') AS currency,
                      argMinIf(raw.country, raw.at, raw.country != '') AS country,
                      argMaxIf(raw.dimensions, raw.at, attributed_by NOT IN ('', 'none')) AS dimensions,
                      argMaxIf(raw.link_id, raw.at, attributed_by NOT IN ('', 'none')) AS dimension_link,
                      argMaxIf(raw.program_id, raw.at, attributed_by NOT IN ('', 'none')) AS dimension_program,
                      argMaxIf(raw.partner_id, raw.at, attributed_by NOT IN ('', 'none')) AS dimension_partner
               FROM (SELECT *, {dimensions} FROM conversions_current WHERE {SCOPE} AND customer != '') AS raw
               GROUP BY customer
             ) AS ledger
             LEFT JOIN (SELECT * FROM people FINAL WHERE {WORKSPACE}) AS person ON person.customer = ledger.customer",
            dimensions = dimensions(false),
        )
    }

    /// `expanded`: with link, program and partner.
    fn json(&self, expanded: bool, scope: &Scope, application: &Application) -> JsonValue {
        let [name, email, avatar] = shown([&self.name, &self.email, &self.avatar], scope);
        let mut customer = json!({
            "id": self.customer,
            "externalId": self.customer,
            "name": name,
            "email": email,
            "avatar": avatar,
            "stripeCustomerId": if self.customer.starts_with("cus_") { json!(self.customer) } else { JsonValue::Null },
            "country": text_or_null(&self.country),
            "sales": self.sales,
            "saleAmount": self.amount,
            "currency": text_or_null(&self.currency),
            "createdAt": utc_text(self.created_ms),
            "firstSaleAt": if self.sales == 0 { JsonValue::Null } else { utc_text(self.first_sale_ms).into() },
            "subscriptionCanceledAt": JsonValue::Null,
        });
        if let Some(fields) = customer.as_object_mut().filter(|_| expanded) {
            let (program, partner) = (
                dimension(&self.dimensions, "program_id"),
                dimension(&self.dimensions, "partner_id"),
            );
            let partner = (!partner.is_empty()).then(|| {
                let name = application.partner_name(&scope.workspace, partner);
                json!({"id": partner, "name": name, "email": null, "image": null})
            });
            for (name, value) in [
                ("link", link(&self.dimensions)),
                ("programId", text_or_null(program)),
                ("partner", json!(partner)),
                ("discount", JsonValue::Null),
            ] {
                fields.insert(name.to_owned(), value);
            }
        }
        customer
    }
}

/// Name, address and picture as the reader may see them: a partner tells its customers apart, and cannot write to them.
fn shown([name, email, avatar]: [&str; 3], scope: &Scope) -> [JsonValue; 3] {
    if !scope.is_partners() {
        return [name, email, avatar].map(text_or_null);
    }
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let email = match domain {
        "" => masked(local),
        domain => format!("{}@{domain}", masked(local)),
    };
    // An address of a picture may be made of the e-mail address.
    [text_or_null(&masked(name)), text_or_null(&email), JsonValue::Null]
}

/// The first letter; empty stays empty.
fn masked(text: &str) -> String {
    text.chars()
        .next()
        .map_or_else(String::new, |first| format!("{first}***"))
}

/// A customer as events show one.
#[derive(Row, Deserialize)]
struct Named {
    customer: String,
    created_ms: i64,
    name: String,
    email: String,
    avatar: String,
}

impl Named {
    fn json(&self, scope: &Scope) -> JsonValue {
        let [name, email, avatar] = shown([&self.name, &self.email, &self.avatar], scope);
        json!({
            "id": self.customer,
            "externalId": self.customer,
            "name": name,
            "email": email,
            "avatar": avatar,
            "createdAt": utc_text(self.created_ms),
        })
    }
}

/// A row made of nothing, to be described.
pub fn sample(application: &Application) -> JsonValue {
    CustomerRow::default().json(false, &Scope::default(), application)
}

pub async fn list(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let yes_or_no = [("true", true), ("false", false)];
    let expanded = parameters
        .choice("includeExpandedFields", &yes_or_no)?
        .unwrap_or(false);
    let page = Page::take(
        &mut parameters,
        &[
            ("createdAt", "created_ms"),
            ("saleAmount", "amount"),
            ("firstSaleAt", "first_sale_ms"),
        ],
    )?;
    let mut conditions = vec!["1".to_owned()];
    let mut values = Vec::new();
    for (name, column) in FILTERS {
        if let Some(value) = parameters.text(name)? {
            conditions.push(format!("{column} = {{{name}:String}}"));
            values.push((name.to_owned(), Value::Text(value)));
        }
    }
    if let Some(search) = parameters.text("search")? {
        conditions.push(
            "(positionCaseInsensitiveUTF8(customer, {search:String}) > 0 OR positionCaseInsensitiveUTF8(name, \
             {search:String}) > 0 OR positionCaseInsensitiveUTF8(email, {search:String}) > 0)"
                .to_owned(),
        );
        values.push(("search".to_owned(), Value::Text(search)));
    }
    let scope = Scope::take(&mut parameters, &application.database).await?;
    parameters.finish()?;
    // By trial and error it would tell what is masked.
    let told = |name: &&&str| values.iter().any(|(given, _)| given == **name);
    if let Some(name) = ["email", "search"]
        .iter()
        .find(told)
        .filter(|_| scope.is_partners())
    {
        let reason = format!("{name}: the token of a partner does not search for names and addresses");
        return Err(ApiError::Forbidden(reason));
    }
    let sql = format!(
        "WITH everybody AS ({}) {}",
        CustomerRow::table(),
        page.of("everybody", "customer", COLUMNS, &conditions.join(" AND "))
    );
    let statement = Statement::new(sql).with_all(scope.values()).with_all(values);
    let rows: Vec<CustomerRow> = page.ask(&application.database, "customers", statement).await?;
    let rows = rows.iter().map(|row| row.json(expanded, &scope, &application));
    Ok(Json(rows.collect()))
}

pub async fn one(
    State(application): State<Application>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let expanded = parameters
        .choice("includeExpandedFields", &[("true", true), ("false", false)])?
        .unwrap_or(false);
    let scope = Scope::take(&mut parameters, &application.database).await?;
    parameters.finish()?;
    let own = id.strip_prefix("ext_").unwrap_or(&id).to_owned();
    let mut rows = whole(&application, &scope, vec![id.clone(), own]).await?;
    // By its own ID before the other way to read it.
    rows.sort_by_key(|row| row.customer != id);
    let row = rows.first().ok_or_else(|| {
        let Scope { workspace, mode, .. } = &scope;
        ApiError::NotFound(format!(
            "workspace {workspace:?} has no customer {id:?} in mode {mode:?}: nothing was told of anybody by this ID"
        ))
    })?;
    Ok(Json(row.json(expanded, &scope, &application)))
}

/// Customers by their IDs, in the shape of a list.
pub async fn of<'r>(
    application: &Application,
    scope: &Scope,
    ids: impl Iterator<Item = &'r String>,
) -> Result<BTreeMap<String, JsonValue>, ApiError> {
    let rows = whole(application, scope, ids.cloned().collect()).await?;
    let shown = rows
        .iter()
        .map(|row| (row.customer.clone(), row.json(false, scope, application)));
    Ok(shown.collect())
}

/// Who customers are and since when, by their IDs: without figures, for which everything would have to be read.
pub async fn named<'r>(
    application: &Application,
    scope: &Scope,
    ids: impl Iterator<Item = &'r str>,
) -> Result<BTreeMap<String, JsonValue>, ApiError> {
    let ids: BTreeSet<&str> = ids.filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT since.customer AS customer, created_ms, person.name AS name, person.email AS email,
                person.avatar AS avatar
         FROM (
           SELECT customer, toUnixTimestamp64Milli(min(entry.at)) AS created_ms
           FROM (
             SELECT customer, at FROM conversions WHERE {SCOPE} AND customer IN {{ids:Array(String)}}
             GROUP BY customer, at, id, revision HAVING sum(sign) > 0
           ) AS entry GROUP BY customer
         ) AS since
         LEFT JOIN (SELECT * FROM people FINAL WHERE {WORKSPACE} AND customer IN {{ids:Array(String)}}) AS person
         ON person.customer = since.customer"
    );
    let ids = ids.into_iter().map(str::to_owned).collect();
    let statement = Statement::new(sql)
        .with_all(scope.values())
        .with("ids", Value::Texts(ids));
    let rows: Vec<Named> = application.database.rows("customers_known", statement).await?;
    let shown = rows
        .into_iter()
        .map(|row| (row.customer.clone(), row.json(scope)));
    Ok(shown.collect())
}

async fn whole(
    application: &Application,
    scope: &Scope,
    ids: Vec<String>,
) -> Result<Vec<CustomerRow>, ApiError> {
    let statement = Statement::new(format!(
        "SELECT {COLUMNS} FROM ({}) WHERE customer IN {{ids:Array(String)}}",
        CustomerRow::table(),
    ))
    .with_all(scope.values())
    .with("ids", Value::Texts(ids));
    application.database.rows("customers_named", statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_sees_the_first_letter_only() {
        let scope = |partner: &str| Scope {
            workspace: "acme".into(),
            mode: "live".into(),
            partner: partner.into(),
        };
        let all = ["Ümit Özil", "jane@example.com", "https://gravatar.example/jane"];
        assert_eq!(shown(all, &scope("")), all.map(JsonValue::from));
        assert_eq!(
            shown(all, &scope("ada")),
            [json!("Ü***"), json!("j***@example.com"), JsonValue::Null]
        );
        assert_eq!(shown(["", "", ""], &scope("ada")), [const { JsonValue::Null }; 3]);
        assert_eq!(shown(["", "jane", ""], &scope("ada"))[1], json!("j***"));
    }
}
