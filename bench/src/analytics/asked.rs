//! The questions, and how long their answers take.

use std::time::Instant;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use super::{DAY, WORKSPACE};
use crate::figures::{check, decimal, percentile, ratio};
use crate::ground::Ground;

/// Groupings of `/analytics`.
const GROUPINGS: [&str; 19] = [
    "continents",
    "countries",
    "regions",
    "cities",
    "devices",
    "browsers",
    "os",
    "triggers",
    "referers",
    "referer_urls",
    "top_links",
    "top_urls",
    "top_domains",
    "top_partners",
    "top_groups",
    "utm_sources",
    "utm_mediums",
    "utm_campaigns",
    "coupons",
];
/// Places of the rows, and what is used there.
const COUNTRIES: [&str; 5] = ["AA", "BA", "CA", "DB", "EB"];
const DEVICES: [&str; 5] = ["mobile", "desktop", "mobile", "desktop", "tablet"];

/// Where to ask.
pub struct Asked<'a> {
    /// For statements of our own.
    pub ground: &'a Ground,
    /// The dashboard's.
    pub url: String,
    /// End of the rows, UTC milliseconds.
    pub end: i64,
    /// How often.
    pub rounds: u32,
}

impl Asked<'_> {
    /// All of them; whether each answer was one.
    pub async fn all(&self) -> Result<bool> {
        let mut held = true;
        for days in [30, 365] {
            for (name, path) in [
                ("overview", "/overview?"),
                ("funnel", "/funnel?"),
                ("funnel_by_partner", "/funnel?groupBy=top_partners&"),
                ("series", "/analytics?event=composite&groupBy=timeseries&"),
                ("top_links", "/analytics?event=composite&groupBy=top_links&"),
            ] {
                self.time(&format!("{name}.{days}d"), self.rounds, |round| {
                    Ok(format!("{path}{}", self.period(days, round)?))
                })
                .await?;
            }
            held &= self.by_day(days).await?;
        }
        self.groupings().await?;
        // Of a small year's leads and sales there is no thousandth page.
        for (name, page, events) in [
            ("first", 1, &["clicks", "leads", "sales"][..]),
            ("thousandth", 1000, &["clicks"]),
        ] {
            for event in events {
                self.time(&format!("events.{event}.{name}"), self.rounds, |round| {
                    Ok(format!(
                        "/events?event={event}&page={page}&limit=100&{}",
                        self.period(365, round)?
                    ))
                })
                .await?;
            }
        }
        let payments = self
            .ground
            .sql(&format!(
                "SELECT substring(object, 4) FROM tributary.conversions
                 WHERE workspace = '{WORKSPACE}' AND kind = 'sale' ORDER BY cityHash64(id) LIMIT {}",
                self.rounds
            ))
            .await?;
        let payments: Vec<&str> = payments.lines().collect();
        self.time("payment", self.rounds, |round| {
            let payment = payments.get(round as usize).copied().unwrap_or_default();
            Ok(format!("/payments/{payment}?workspace={WORKSPACE}"))
        })
        .await?;
        Ok(held)
    }

    /// `days` days; each round's end where another one does, so that no answer is the one before.
    fn period(&self, days: i64, round: u32) -> Result<String> {
        let end = self.end - i64::from(round % 3) * DAY;
        let text = |millisecond| Timestamp::from_millisecond(millisecond).map(|time| time.to_string());
        Ok(format!(
            "workspace={WORKSPACE}&start={}&end={}",
            text(end - days * DAY)?,
            text(end)?
        ))
    }

    /// One grouping after another, each with two filters over 30 days; the figure is over all of them.
    async fn groupings(&self) -> Result<()> {
        let mut all = Vec::new();
        for grouping in GROUPINGS {
            let times = self
                .times(self.rounds.div_ceil(4), |round| {
                    let of = |values: &[&'static str]| {
                        values
                            .get(round as usize % values.len().max(1))
                            .copied()
                            .unwrap_or_default()
                    };
                    Ok(format!(
                        "/analytics?event=composite&groupBy={grouping}&country={}&device={}&{}",
                        of(&COUNTRIES),
                        of(&DEVICES),
                        self.period(30, round)?
                    ))
                })
                .await?;
            decimal(
                &format!("grouping.{grouping}.p50"),
                percentile(&times, 0.5),
                1,
                "ms",
            );
            all.extend(times);
        }
        all.sort_by(f64::total_cmp);
        decimal("grouping.p95", percentile(&all, 0.95), 1, "ms");
        Ok(())
    }

    /// Clicks by day: of the view that Grafana reads, and of the rows. Both answers must be one.
    async fn by_day(&self, days: i64) -> Result<bool> {
        let (start, end) = ((self.end - days * DAY) / 1000, self.end / 1000);
        let view = format!(
            "SELECT toStartOfDay(time) AS day, sum(clicks) FROM tributary.timeseries
             WHERE workspace = '{WORKSPACE}' AND mode = 'live' AND time >= toDateTime({start}, 'UTC')
             AND time < toDateTime({end}, 'UTC') GROUP BY day HAVING sum(clicks) != 0 ORDER BY day"
        );
        let rows = format!(
            "SELECT toStartOfDay(toDateTime(at, 'UTC')) AS day, countIf(bot = '' AND duplicate_of = '') FROM tributary.clicks
             WHERE workspace = '{WORKSPACE}' AND mode = 'live' AND at >= toDateTime({start}, 'UTC')
             AND at < toDateTime({end}, 'UTC') GROUP BY day ORDER BY day SETTINGS optimize_use_projections = 0"
        );
        let (mut of_view, mut of_rows, mut held) = (Vec::new(), Vec::new(), true);
        for _ in 0..self.rounds {
            let (view, took) = self.statement(&view).await?;
            of_view.push(took);
            let (rows, took) = self.statement(&rows).await?;
            of_rows.push(took);
            held &= view == rows;
        }
        for (name, times) in [("by_day", &mut of_view), ("by_day_of_rows", &mut of_rows)] {
            times.sort_by(f64::total_cmp);
            self.report(&format!("{name}.{days}d"), times);
        }
        ratio(
            &format!("by_day.{days}d"),
            percentile(&of_rows, 0.5),
            percentile(&of_view, 0.5),
        );
        Ok(check(&format!("by_day.{days}d.same"), held))
    }

    async fn statement(&self, statement: &str) -> Result<(String, f64)> {
        let begin = Instant::now();
        let answer = self.ground.sql(statement).await?;
        Ok((answer, begin.elapsed().as_secs_f64() * 1000.0))
    }

    async fn time(&self, name: &str, rounds: u32, path: impl Fn(u32) -> Result<String>) -> Result<()> {
        let times = self.times(rounds, path).await?;
        self.report(name, &times);
        Ok(())
    }

    fn report(&self, name: &str, times: &[f64]) {
        decimal(&format!("{name}.p50"), percentile(times, 0.5), 1, "ms");
        decimal(&format!("{name}.p95"), percentile(times, 0.95), 1, "ms");
    }

    /// Milliseconds of each answer, sorted. The first one, with cold caches, is asked and not counted.
    async fn times(&self, rounds: u32, path: impl Fn(u32) -> Result<String>) -> Result<Vec<f64>> {
        let client = reqwest::Client::new();
        let mut times = Vec::new();
        for round in 0..=rounds {
            let url = format!("{}{}", self.url, path(round.saturating_sub(1))?);
            let begin = Instant::now();
            let answer = client.get(&url).send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            let took = begin.elapsed().as_secs_f64() * 1000.0;
            ensure!(status.is_success(), "{url}: {status}: {text}");
            let answer: Value = serde_json::from_str(&text)?;
            ensure!(
                answer.as_array().is_none_or(|rows| !rows.is_empty()),
                "{url}: nothing was found"
            );
            if round > 0 {
                times.push(took);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}
