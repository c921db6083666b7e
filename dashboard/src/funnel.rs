//! `GET /funnel`: clicks → leads → sales with drop-off, breakdown and the median time to convert.
//!
//! Two bases. `period` counts what happened in the period: clicks, leads by quantity, first sales of customers
//! (renewals are told apart as `recurringSales`), and the median is of their times since the click, to one part in 64.
//! `cohort` takes the clicks of the period and asks what became of them, whenever: each step counts clicks, so no step
//! exceeds the one before that implies it, and the median is of the clicks' first leads and sales.
//!
//! Invariant: only attributed, standing conversions count, whatever was retracted on the way.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};

use crate::analytics::{dimensions as name_group, resolve};
use crate::database::Database;
use crate::dimensions::{Column, GROUPINGS, Grouping};
use crate::error::ApiError;
use crate::filters::{Attribution, Filters};
use crate::parameters::Parameters;
use crate::period::{Interval, Period};
use crate::period_request::PeriodRequest;
use crate::record::standing;
use crate::scope::{SCOPE, Scope};
use crate::server::Application;
use crate::statement::{Statement, Value};
use crate::sums::{Event, Grain, Question, Sums, dimensions, each_source};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    Period,
    Cohort,
}

/// What became of clicks, with the median times in seconds after the click: counted in conversions of the period, whose
/// times have six leading binary digits, or in clicks of the cohort.
#[derive(Clone, Debug, Default, Row, Deserialize)]
struct Outcome {
    dimensions: Vec<String>,
    leads: i64,
    sales: i64,
    amount: i64,
    to_lead: i64,
    to_sale: i64,
}

#[derive(Default)]
struct Group {
    sums: Sums,
    outcome: Outcome,
}

pub async fn funnel(
    State(application): State<Application>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<JsonValue>, ApiError> {
    let database = &application.database;
    let mut parameters = Parameters::new(pairs);
    let bases = [("period", Basis::Period), ("cohort", Basis::Cohort)];
    let basis = parameters.choice("basis", &bases)?.unwrap_or(Basis::Period);
    let known: Vec<(&str, &Grouping)> = GROUPINGS
        .iter()
        .map(|grouping| (grouping.name, grouping))
        .collect();
    let grouping = parameters.choice("groupBy", &known)?;
    let filters = Filters::take(&mut parameters, Attribution::Attributed)?;
    let request = PeriodRequest::take(&mut parameters, Interval::Days(30))?;
    let scope = Scope::take(&mut parameters, database).await?;
    parameters.finish()?;
    let period = resolve(request, &scope, database).await?;

    let asked = Asked {
        database,
        scope: &scope,
        period: &period,
        filters: &filters,
        basis,
    };
    // Medians do not add up, so the total is asked for by itself.
    let total = asked.groups(&[]).await?.into_values().next().unwrap_or_default();
    let mut answer = describe(&total, basis);
    answer.insert(
        "basis".to_owned(),
        json!(if basis == Basis::Period {
            "period"
        } else {
            "cohort"
        }),
    );
    answer.insert("start".to_owned(), json!(period.text(period.start())));
    answer.insert("end".to_owned(), json!(period.text(period.end())));
    if let Some(grouping) = grouping {
        let mut groups: Vec<_> = asked.groups(grouping.fields).await?.into_iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse((group.sums.clicks, group.sums.new_amount)));
        let groups = groups.into_iter().map(|(values, group)| {
            let mut row = name_group(grouping, &values);
            row.extend(describe(&group, basis));
            JsonValue::Object(row)
        });
        answer.insert("groupBy".to_owned(), json!(grouping.name));
        answer.insert("groups".to_owned(), groups.collect());
    }
    Ok(Json(JsonValue::Object(answer)))
}

fn describe(group: &Group, basis: Basis) -> Map<String, JsonValue> {
    let Group { sums, outcome } = group;
    let clicks = sums.clicks;
    let (leads, sales, amount) = match basis {
        // A renewal is no step of a funnel.
        Basis::Period => (sums.leads, sums.new_sales, sums.new_amount),
        Basis::Cohort => (outcome.leads, outcome.sales, outcome.amount),
    };
    let mut steps = vec![
        json!({"step": "clicks", "count": clicks, "conversionRate": null, "overallRate": rate(clicks, clicks), "dropOff": null}),
        step("leads", leads, clicks, clicks),
        step("sales", sales, leads, clicks),
    ];
    if let Some(JsonValue::Object(step)) = steps.last_mut() {
        step.insert("saleAmount".to_owned(), json!(amount));
        if basis == Basis::Period {
            step.insert("recurringSales".to_owned(), json!(sums.sales - sums.new_sales));
        }
    }
    let seconds = |count: i64, time: i64| match basis {
        _ if count <= 0 => JsonValue::Null,
        Basis::Period => json!(middle(time)),
        Basis::Cohort => json!(time),
    };
    let mut answer = Map::new();
    answer.insert("steps".to_owned(), JsonValue::Array(steps));
    answer.insert(
        "medianSecondsToConvert".to_owned(),
        json!({"lead": seconds(outcome.leads, outcome.to_lead), "sale": seconds(outcome.sales, outcome.to_sale)}),
    );
    answer
}

/// The middle of the times that have the same six leading binary digits, see `to_convert` of the table.
fn middle(seconds: i64) -> i64 {
    let digits_left = seconds.max(1).ilog2().saturating_sub(5);
    seconds + ((1 << digits_left) >> 1)
}

fn step(name: &str, count: i64, before: i64, first: i64) -> JsonValue {
    json!({
        "step": name,
        "count": count,
        "conversionRate": rate(count, before),
        "overallRate": rate(count, first),
        "dropOff": (before - count).max(0),
    })
}

/// A share with four decimals; none of nothing.
fn rate(part: i64, whole: i64) -> JsonValue {
    if whole <= 0 {
        return JsonValue::Null;
    }
    json!((part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}

struct Asked<'a> {
    database: &'a Database,
    scope: &'a Scope,
    period: &'a Period,
    filters: &'a Filters,
    basis: Basis,
}

impl Asked<'_> {
    async fn groups(
        &self,
        columns: &[(&'static str, Column)],
    ) -> Result<BTreeMap<Vec<String>, Group>, ApiError> {
        let sums = Question {
            scope: self.scope,
            period: self.period,
            filters: self.filters,
            event: Event::Composite,
            buckets: false,
            columns,
            any_name: false,
        };
        let (sums, outcomes) = tokio::try_join!(
            sums.ask(self.database),
            self.database.rows::<Outcome>("funnel", self.outcomes(columns)),
        )?;
        let mut groups: BTreeMap<Vec<String>, Group> = BTreeMap::new();
        for sums in sums {
            let group = groups.entry(sums.dimensions.clone()).or_default();
            group.sums = sums;
        }
        for outcome in outcomes {
            let group = groups.entry(outcome.dimensions.clone()).or_default();
            group.outcome = outcome;
        }
        Ok(groups)
    }

    fn outcomes(&self, columns: &[(&'static str, Column)]) -> Statement {
        let sql = match self.basis {
            Basis::Period => self.of_conversions(columns, Grain::of_times(self.scope, self.filters, columns)),
            Basis::Cohort => self.of_clicks(&dimensions(columns)),
        };
        Statement::new(sql)
            .with_all(self.scope.values())
            .with_all(self.filters.values())
            .with("start", Value::Integer(self.period.start()))
            .with("end", Value::Integer(self.period.end()))
    }

    /// Times of leads and first sales; a renewal in the period is no conversion of the click that once led to it. What
    /// was taken back has the same time, so that sums by time leave what stands.
    fn of_conversions(&self, columns: &[(&'static str, Column)], grain: Grain) -> String {
        let dimensions = dimensions(columns);
        // Not by the array: it would be made for each row.
        let group_by: String = columns
            .iter()
            .map(|(_, column)| format!("{}, ", column.name))
            .collect();
        let times = each_source(&[self.period], grain, false, |grain, within| {
            let (standing, filters) = match grain {
                Grain::Times => ("sum(raw.conversions)", String::new()),
                _ => ("sum(toInt64(sign))", self.filters.on_conversions()),
            };
            format!(
                "SELECT {dimensions} AS dimensions, toString(raw.step) AS step, to_convert AS time, {standing} AS standing
                 FROM conversions{} AS raw WHERE {within} AND step IN ('lead', 'sale'){filters}
                 GROUP BY {group_by}step, time",
                grain.suffix()
            )
        });
        let median = |step: &str| {
            format!("quantileExactWeightedIf(0.5)(time, toUInt64(standing), step = '{step}') AS to_{step}")
        };
        format!(
            "SELECT dimensions,
                    sumIf(standing, step = 'lead') AS leads, sumIf(standing, step = 'sale') AS sales,
                    toInt64(0) AS amount, {}, {}
             FROM (
                SELECT dimensions, step, time, sum(part.standing) AS standing FROM ({times}) AS part
                GROUP BY dimensions, step, time HAVING standing > 0
             )
             GROUP BY dimensions",
            median("lead"),
            median("sale"),
        )
    }

    /// By click, its first lead and its first sale.
    fn of_clicks(&self, dimensions: &str) -> String {
        let condition = format!(
            "{SCOPE} AND clicked_at >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
             AND clicked_at < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
             AND click_id != '' AND kind IN ('lead', 'sale'){}",
            self.filters.on_conversions()
        );
        format!(
            "SELECT dimensions,
                    toInt64(countIf(click.leads > 0)) AS leads,
                    toInt64(countIf(click.sales > 0)) AS sales,
                    sum(click.amount) AS amount,
                    intDiv(quantileExactLowIf(0.5)(lead_at - clicked, click.leads > 0), 1000) AS to_lead,
                    intDiv(quantileExactLowIf(0.5)(sale_at - clicked, click.sales > 0), 1000) AS to_sale
             FROM (
                SELECT {dimensions} AS dimensions,
                       any(toUnixTimestamp64Milli(clicked_at)) AS clicked,
                       countIf(kind = 'lead') AS leads,
                       countIf(kind = 'sale') AS sales,
                       sumIf(raw.amount, kind = 'sale') AS amount,
                       minIf(toUnixTimestamp64Milli(at), kind = 'lead') AS lead_at,
                       minIf(toUnixTimestamp64Milli(at), kind = 'sale') AS sale_at
                FROM conversions AS raw
                WHERE {standing}
                GROUP BY click_id, dimensions
             ) AS click
             GROUP BY dimensions",
            standing = standing("conversions", &condition),
        )
    }
}
