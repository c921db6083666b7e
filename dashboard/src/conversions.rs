//! `GET /conversions`: the report of everything that was counted, found by what it is, whose it is, and any of its IDs.
//!
//! Invariant: amounts, summed over all pages, are the net state of the ledger's conversions.

use axum::extract::{Query, State};
use axum::response::Response;
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::analytics::resolve;
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::paging::Page;
use crate::parameters::Parameters;
use crate::payments::keys_of;
use crate::period::{Interval, utc_text};
use crate::period_request::PeriodRequest;
use crate::record::text_or_null;
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::sheet::Format;
use crate::statement::{Statement, Value};
use crate::sums::within;

const TYPES: [(&str, &str); 4] = [
    ("sale", "sale"),
    ("lead", "lead"),
    ("redemption", "redemption"),
    ("subscription", "subscription"),
];

const STATES: [(&str, &str); 6] = [
    ("approved", "approved"),
    ("partially_refunded", "partially_refunded"),
    ("refunded", "refunded"),
    ("disputed", "disputed"),
    ("charged_back", "charged_back"),
    ("rejected", "rejected"),
];

/// What tells of something and brings no money: leads, redemptions, subscriptions, sales of nothing.
const INFORMATIONAL: &str = "(kind != 'sale' OR amount = 0)";

const COLUMNS: &str = "id, kind, event_name, status, toUnixTimestamp64Milli(at) AS at_ms, object, keys, customer,
    amount, currency, original_amount, original_currency, quantity, sale_type, attributed_by, reason, commission,
    partner_id, program_id, coupon, link_id, domain, key, click_id, country, flags";

const SHEET: [(&str, &str); 22] = [
    ("id", "/id"),
    ("type", "/type"),
    ("event", "/eventName"),
    ("status", "/status"),
    ("created_at", "/createdAt"),
    ("amount", "/amount"),
    ("currency", "/currency"),
    ("original_amount", "/originalAmount"),
    ("original_currency", "/originalCurrency"),
    ("quantity", "/quantity"),
    ("commission", "/commission"),
    ("partner", "/partner/id"),
    ("partner_name", "/partner/name"),
    ("program", "/programId"),
    ("coupon", "/coupon"),
    ("link", "/link"),
    ("customer", "/customer"),
    ("ids", "/keys"),
    ("attributed_by", "/attributedBy"),
    ("reason", "/reason"),
    ("country", "/country"),
    ("informational", "/informational"),
];

#[derive(Row, Deserialize)]
struct ConversionRow {
    id: String,
    kind: String,
    event_name: String,
    status: String,
    at_ms: i64,
    object: String,
    keys: Vec<String>,
    customer: String,
    amount: i64,
    currency: String,
    original_amount: i64,
    original_currency: String,
    quantity: i64,
    sale_type: String,
    attributed_by: String,
    reason: String,
    commission: i64,
    partner_id: String,
    program_id: String,
    coupon: String,
    link_id: String,
    domain: String,
    key: String,
    click_id: String,
    country: String,
    flags: Vec<String>,
}

impl ConversionRow {
    fn json(&self, partner: JsonValue) -> JsonValue {
        let link = (!self.link_id.is_empty()).then(|| format!("{}/{}", self.domain, self.key));
        json!({
            "id": self.id,
            "type": self.kind,
            "eventName": self.event_name,
            "status": self.status,
            "createdAt": utc_text(self.at_ms),
            "object": self.object,
            "keys": self.keys,
            "customer": text_or_null(&self.customer),
            "amount": self.amount,
            "currency": self.currency,
            "originalAmount": self.original_amount,
            "originalCurrency": self.original_currency,
            "quantity": self.quantity,
            "saleType": text_or_null(&self.sale_type),
            "attributedBy": self.attributed_by,
            "reason": text_or_null(&self.reason),
            "commission": self.commission,
            "partner": partner,
            "programId": text_or_null(&self.program_id),
            "coupon": text_or_null(&self.coupon),
            "link": link,
            "linkId": text_or_null(&self.link_id),
            "clickId": text_or_null(&self.click_id),
            "country": text_or_null(&self.country),
            "flags": self.flags,
            "informational": self.kind != "sale" || self.amount == 0,
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
    let page = format.page(Page::take(
        &mut parameters,
        &[("createdAt", "at"), ("amount", "amount")],
    )?);
    let kind = parameters.choice("type", &TYPES)?;
    let state = parameters.choice("status", &STATES)?;
    let id = parameters.text("externalId")?;
    let yes_or_no = [("true", true), ("false", false)];
    let informational = parameters.choice("informational", &yes_or_no)?;
    let filters = Filters::take(&mut parameters, Attribution::All)?;
    let request = PeriodRequest::take(&mut parameters, Interval::Days(30))?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;

    let mut condition = format!("{SCOPE} AND {}{}", within(), filters.on_conversions());
    let mut values = vec![
        ("start".to_owned(), Value::Integer(period.start())),
        ("end".to_owned(), Value::Integer(period.end())),
    ];
    let mut also = |sql: &str, given: &[(&str, Value)]| {
        condition.push_str(" AND ");
        condition.push_str(sql);
        values.extend(
            given
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
    };
    if let Some(kind) = kind {
        also("kind = {kind:String}", &[("kind", Value::Text(kind.to_owned()))]);
    }
    if let Some(state) = state {
        also(
            "status = {state:String}",
            &[("state", Value::Text(state.to_owned()))],
        );
    }
    match informational {
        Some(true) => also(INFORMATIONAL, &[]),
        Some(false) => also(&format!("NOT {INFORMATIONAL}"), &[]),
        None => {}
    }
    if let Some(id) = id {
        also(
            "(id = {own:String} OR customer = {own:String} OR hasAny(keys, {keys:Array(String)}))",
            &[("keys", Value::Texts(keys_of(&id))), ("own", Value::Text(id))],
        );
    }
    let statement = Statement::new(page.of_standing("conversions", COLUMNS, &condition))
        .with_all(scope.values())
        .with_all(filters.values())
        .with_all(values);
    let rows: Vec<ConversionRow> = page.ask(database, "conversions", statement).await?;
    let rows = rows
        .iter()
        .map(|row| row.json(application.partner(&scope.workspace, &row.partner_id)))
        .collect();
    format.answer("conversions", &SHEET, rows)
}
