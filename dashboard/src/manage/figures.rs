//! Clicks, leads and sales of the links in an answer.
//!
//! While ClickHouse is away they are left out: links are managed without it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use serde_json::Value;
use tributary_domain::requests::KeyOwner;

use crate::database::Database;
use crate::scope::{SCOPE, Scope};
use crate::statement::{Statement, Value as Given};

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Row, Deserialize, Default, Clone)]
struct Figures {
    link_id: String,
    clicks: i64,
    leads: i64,
    conversions: i64,
    sales: i64,
    amount: i64,
}

/// Adds the figures to each link, wherever it stands.
pub(super) async fn add(body: &mut Value, caller: &KeyOwner, database: &Database) {
    let mut ids = BTreeSet::new();
    each(body, &mut |link| {
        ids.extend(link.get("id").and_then(Value::as_str).map(str::to_owned))
    });
    if ids.is_empty() {
        return;
    }
    let sql = format!(
        "SELECT link_id, sum(part.clicks) AS clicks, sum(part.leads) AS leads, sum(part.conversions) AS conversions,
                sum(part.sales) AS sales, sum(part.amount) AS amount
         FROM (
           SELECT toString(link_id) AS link_id, sum(raw.clicks) AS clicks, toInt64(0) AS leads,
                  toInt64(0) AS conversions, toInt64(0) AS sales, toInt64(0) AS amount
           FROM clicks_daily AS raw WHERE {SCOPE} AND link_id IN {{links:Array(String)}} GROUP BY link_id
           UNION ALL
           SELECT toString(link_id), toInt64(0), sumIf(sign * quantity, kind = 'lead'),
                  toInt64(sumIf(sign, kind = 'sale' AND sale_type != 'recurring')),
                  toInt64(sumIf(sign, kind = 'sale')), sumIf(sign * raw.amount, kind = 'sale')
           FROM conversions AS raw WHERE {SCOPE} AND link_id IN {{links:Array(String)}} GROUP BY link_id
         ) AS part GROUP BY link_id"
    );
    let scope = Scope {
        workspace: caller.workspace.clone(),
        mode: caller.mode.clone(),
        partner: caller.partner.clone(),
    };
    let statement = Statement::new(sql)
        .with_all(scope.values())
        .with("links", Given::Texts(ids.into_iter().collect()));
    let asked = tokio::time::timeout(PATIENCE, database.rows::<Figures>("links", statement)).await;
    let rows = match asked {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => return tracing::warn!(%error, "links are shown without figures"),
        Err(_) => return tracing::warn!("links are shown without figures: ClickHouse is slow"),
    };
    let known: BTreeMap<&str, &Figures> = rows.iter().map(|row| (row.link_id.as_str(), row)).collect();
    let none = Figures::default();
    each(body, &mut |link| {
        let id = link.get("id").and_then(Value::as_str).unwrap_or_default();
        let found = known.get(id).copied().unwrap_or(&none);
        for (name, value) in [
            ("clicks", found.clicks),
            ("leads", found.leads),
            ("conversions", found.conversions),
            ("sales", found.sales),
            ("saleAmount", found.amount),
        ] {
            link.insert(name.to_owned(), value.into());
        }
    });
}

fn each(value: &mut Value, on: &mut dyn FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| each(item, on)),
        Value::Object(fields) => {
            if fields.contains_key("shortLink") {
                on(fields);
            }
            if let Some(links) = fields.get_mut("links") {
                each(links, on);
            }
        }
        _ => {}
    }
}
