//! `GET /overview`: the figures on top of the page, with the period before and with revenue that nobody earned.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::analytics::{figures, resolve};
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::parameters::Parameters;
use crate::period::{Interval, Period};
use crate::period_request::PeriodRequest;
use crate::scope::{Scope, workspaces};
use crate::server::Application;
use crate::statement::Statement;
use crate::sums::{Grain, Sums, each_source};

/// What one source says of one period.
#[derive(Row, Deserialize)]
struct Part {
    source: String,
    /// Of the period, or else of the one before.
    current: u8,
    /// Nobody earned it, for this reason.
    nobody: u8,
    reason: String,
    currency: String,
    figures: Vec<i64>,
}

/// Sales and their amount, by the reason why nobody earned them.
type Reasons = BTreeMap<String, (i64, i64)>;

#[derive(Default)]
struct Totals {
    current: Sums,
    previous: Sums,
    bots: i64,
    duplicates: i64,
    refunds: i64,
    refunded: i64,
    commission: i64,
    refund_currency: String,
    /// Sales that stand, by their currency: a sale and what took it back may come as two parts.
    sold: BTreeMap<String, i64>,
    reasons: Reasons,
}

impl Totals {
    fn add(&mut self, part: Part) {
        // Of the period before only what is compared is shown.
        let is_shown = part.current == 1;
        let sums = if is_shown {
            &mut self.current
        } else {
            &mut self.previous
        };
        if is_shown && let ("conversions", [_, sales, _]) = (&*part.source, &*part.figures) {
            *self.sold.entry(part.currency.clone()).or_default() += sales;
        }
        match (&*part.source, &*part.figures) {
            ("clicks", [clicks, bots, duplicates]) => {
                sums.clicks += clicks;
                if is_shown {
                    self.bots += bots;
                    self.duplicates += duplicates;
                }
            }
            ("conversions", [leads, sales, amount]) if part.nobody == 0 => {
                sums.leads += leads;
                sums.sales += sales;
                sums.amount += amount;
            }
            ("conversions", [_, sales, amount]) if is_shown => {
                let reason = self.reasons.entry(part.reason).or_default();
                reason.0 += sales;
                reason.1 += amount;
            }
            ("refunds", [refunds, refunded]) => {
                self.refunds += refunds;
                self.refunded += refunded;
                self.refund_currency = part.currency.max(std::mem::take(&mut self.refund_currency));
            }
            ("commissions", [commission]) => self.commission += commission,
            _ => {}
        }
    }

    /// The currency of what was sold or went back.
    fn currency(&self) -> &str {
        let sold = self.sold.iter().filter(|(_, sales)| **sales != 0);
        let of_sales = sold.map(|(currency, _)| currency.as_str()).max();
        of_sales.unwrap_or_default().max(&self.refund_currency)
    }

    /// The dearest first; what was taken back altogether is none.
    fn reasons(&self) -> Vec<(&str, i64, i64)> {
        let standing = self
            .reasons
            .iter()
            .filter(|(_, figures)| **figures != (0, 0))
            .map(|(reason, (sales, amount))| (reason.as_str(), *sales, *amount));
        let mut reasons: Vec<_> = standing.collect();
        reasons.sort_by_key(|(_, _, amount)| std::cmp::Reverse(*amount));
        reasons
    }
}

pub async fn overview(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    parameters.refuse(&[(
        "attribution",
        "the overview shows what somebody earned and what nobody earned, side by side",
    )])?;
    let filters = Filters::take(&mut parameters, Attribution::Attributed)?;
    let request = PeriodRequest::take(&mut parameters, Interval::Days(30))?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;
    let mut totals = Totals::default();
    let [some, others] = statements(&scope, &filters, &period);
    let (some, others) = tokio::try_join!(
        database.rows::<Part>("overview", some),
        database.rows::<Part>("overview", others),
    )?;
    for part in some.into_iter().chain(others) {
        totals.add(part);
    }
    Ok(Json(answer(&period, &totals)))
}

fn answer(period: &Period, totals: &Totals) -> JsonValue {
    let reasons = totals.reasons();
    let lost: i64 = reasons.iter().map(|(_, _, amount)| amount).sum();
    let total = totals.current.amount + lost;
    let mut answer = figures(&totals.current);
    let rest = json!({
        "start": period.text(period.start()),
        "end": period.text(period.end()),
        "currency": totals.currency(),
        "bots": totals.bots,
        "duplicates": totals.duplicates,
        "refunds": totals.refunds,
        "refundAmount": totals.refunded,
        "commission": totals.commission,
        "totalAmount": total,
        "netAmount": total - totals.refunded,
        "unattributed": {
            "sales": reasons.iter().map(|(_, sales, _)| sales).sum::<i64>(),
            "saleAmount": lost,
            "reasons": reasons.iter()
                .map(|(reason, sales, amount)| json!({"reason": reason, "sales": sales, "saleAmount": amount}))
                .collect::<Vec<_>>(),
        },
        "previous": figures(&totals.previous),
    });
    if let JsonValue::Object(rest) = rest {
        answer.extend(rest);
    }
    JsonValue::Object(answer)
}

/// Each source is read once for both periods: what a source costs before it is read is most of what it costs, and is
/// spent by one thread of a statement; hence two statements, each about half.
fn statements(scope: &Scope, filters: &Filters, period: &Period) -> [Statement; 2] {
    let before = period.before();
    let current = |grain: Grain| {
        format!(
            "toUInt8({} >= {}) AS current",
            grain.milliseconds(),
            period.start()
        )
    };
    let clicks = each_source(
        &[&before, period],
        Grain::of_clicks(scope, filters, &[]),
        false,
        |grain, within| {
            let measures = match grain {
                Grain::Rows => {
                    "toInt64(countIf(bot = '' AND duplicate_of = '')), toInt64(countIf(bot != '')),
                     toInt64(countIf(bot = '' AND duplicate_of != ''))"
                }
                _ => "sum(raw.clicks), sum(raw.bots), sum(raw.duplicates)",
            };
            format!(
                "SELECT 'clicks' AS source, {}, toUInt8(0) AS nobody, '' AS reason, '' AS currency,
                        [{measures}] AS figures
                 FROM clicks{} AS raw WHERE {within}{} GROUP BY current",
                current(grain),
                grain.suffix(),
                filters.on_clicks()
            )
        },
    );
    let grain = Grain::of_ledger(scope, filters, &[]);
    let conversions = each_source(&[&before, period], grain, false, |grain, within| {
        let measures = if grain == Grain::Rows {
            "sumIf(sign * quantity, kind = 'lead'), toInt64(sumIf(sign, kind = 'sale')),
             sumIf(sign * raw.amount, kind = 'sale')"
        } else {
            "sum(raw.leads), sum(raw.sales), sum(raw.amount)"
        };
        // A filter on a partner or link leaves no sale that nobody earned, since these have neither.
        format!(
            "SELECT 'conversions' AS source, {}, toUInt8(attributed_by IN ('', 'none')) AS nobody,
                    if(nobody = 1, toString(raw.reason), '') AS reason,
                    toString(raw.currency) AS currency, [{measures}] AS figures
             FROM conversions{} AS raw WHERE {within}{} GROUP BY current, nobody, reason, currency",
            current(grain),
            grain.suffix(),
            filters.on_refunds()
        )
    });
    let refunds = each_source(&[period], grain, false, |grain, within| {
        let measures = if grain == Grain::Rows {
            "toInt64(sum(sign)), sum(sign * raw.amount)"
        } else {
            "sum(raw.refunds), sum(raw.amount)"
        };
        format!(
            "SELECT 'refunds' AS source, toUInt8(1) AS current, toUInt8(0) AS nobody, '' AS reason,
                    max(toString(raw.currency)) AS currency, [{measures}] AS figures
             FROM refunds{} AS raw WHERE {within}{}",
            grain.suffix(),
            filters.on_refunds()
        )
    });
    let commissions = each_source(&[period], grain, false, |grain, within| {
        let measure = if grain == Grain::Rows {
            "sum(sign * raw.amount)"
        } else {
            "sum(raw.amount)"
        };
        format!(
            "SELECT 'commissions' AS source, toUInt8(1) AS current, toUInt8(0) AS nobody, '' AS reason,
                    '' AS currency, [{measure}] AS figures
             FROM commissions{} AS raw WHERE {within}{}",
            grain.suffix(),
            filters.on_commissions()
        )
    });
    [[clicks, commissions], [conversions, refunds]].map(|sources| {
        Statement::new(sources.join(" UNION ALL "))
            .with_all(scope.values())
            .with_all(filters.values())
    })
}

/// `GET /workspaces`: what there is to look at.
///
/// A key sees its own workspace, which `manage::scope` has put into the query.
pub async fn list_workspaces(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let mut parameters = Parameters::new(pairs);
    let only = parameters.text("workspace")?;
    parameters.text("mode")?;
    parameters.finish()?;
    let workspaces = workspaces(&application.database).await?;
    let rows = workspaces
        .into_iter()
        .filter(|(id, _)| only.as_ref().is_none_or(|only| only == id))
        .map(|(id, modes)| json!({"id": id, "modes": modes}));
    Ok(Json(rows.collect()))
}
