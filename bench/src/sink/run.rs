//! One drain of the topic into a table: from its begin until all rows are there, what it took, and whether it is exact.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Options;
use crate::figures::{check, decimal, figure, note};
use crate::ground::Ground;
use crate::proc;
use crate::role::Role;

const LOOK: Duration = Duration::from_millis(100);

/// The figures of one way, a value for each round.
#[derive(Default)]
pub struct Way {
    /// Rows per second.
    pub rates: Vec<f64>,
    /// Microseconds a row, of ClickHouse and of the sink if there is one.
    pub cpu: Vec<f64>,
}

/// A drain.
pub struct Run<'a> {
    ground: &'a Ground,
    options: &'a Options,
    name: String,
    table: &'a str,
    begin: Instant,
    clickhouse: f64,
    broker: f64,
}

impl<'a> Run<'a> {
    /// From this moment on.
    pub fn begin(ground: &'a Ground, options: &'a Options, name: String, table: &'a str) -> Result<Self> {
        let (clickhouse, broker) = (proc::cpu(ground.clickhouse()?), proc::cpu(ground.broker()?));
        Ok(Self {
            ground,
            options,
            name,
            table,
            begin: Instant::now(),
            clickhouse,
            broker,
        })
    }

    /// Until all rows are there. `id` is the column that tells rows apart.
    pub async fn to_the_end(&self, mut role: Option<Role>, id: &str, way: &mut Way) -> Result<bool> {
        let seconds = self.wait(role.as_mut()).await?;
        self.report(seconds, role.as_ref(), way)?;
        if let Some(role) = role {
            role.stop().await?;
        }
        Ok(self.exact(id).await? && seconds.is_finite())
    }

    /// Seconds until the table has all rows; NaN if it never has.
    async fn wait(&self, mut role: Option<&mut Role>) -> Result<f64> {
        let count = format!("SELECT count() FROM {}", self.table);
        let mut first = false;
        while self.begin.elapsed() < Duration::from_secs(self.options.timeout) {
            if let Some(role) = role.as_deref_mut() {
                role.alive()?;
            }
            let found = self.ground.count(&count).await?;
            let elapsed = self.begin.elapsed().as_secs_f64();
            if found > 0 && !first {
                first = true;
                decimal(&self.called("first_rows"), elapsed, 2, "s");
            }
            if found >= self.options.rows {
                return Ok(elapsed);
            }
            tokio::time::sleep(LOOK).await;
        }
        note(&format!(
            "{}: {} rows after {} s",
            self.name,
            self.ground.count(&count).await?,
            self.options.timeout
        ));
        Ok(f64::NAN)
    }

    fn report(&self, seconds: f64, role: Option<&Role>, way: &mut Way) -> Result<()> {
        let rows = self.options.rows as f64;
        let clickhouse = (proc::cpu(self.ground.clickhouse()?) - self.clickhouse) * 1e6 / rows;
        let broker = (proc::cpu(self.ground.broker()?) - self.broker) * 1e6 / rows;
        let worker = role.map_or(0.0, |role| role.cpu() * 1e6 / rows);
        decimal(&self.called("all_rows"), seconds, 2, "s");
        decimal(&self.called("rate"), rows / seconds, 0, "rows/s");
        decimal(&self.called("clickhouse_cpu"), clickhouse, 2, "us/row");
        if let Some(role) = role {
            decimal(&self.called("sink_cpu"), worker, 2, "us/row");
            decimal(&self.called("sink_peak_rss"), role.peak_rss(), 0, "MiB");
        }
        decimal(&self.called("total_cpu"), clickhouse + worker, 2, "us/row");
        decimal(&self.called("broker_cpu"), broker, 2, "us/row");
        way.rates.push(rows / seconds);
        way.cpu.push(clickhouse + worker);
        Ok(())
    }

    /// Whether every row is there once.
    async fn exact(&self, id: &str) -> Result<bool> {
        let answer = self
            .ground
            .sql(&format!("SELECT count(), uniqExact({id}) FROM {}", self.table))
            .await?;
        let mut numbers = answer.split_whitespace().map(str::parse::<u64>);
        let (rows, distinct) = (
            numbers.next().context("count")??,
            numbers.next().context("distinct")??,
        );
        figure(&self.called("rows"), rows, "rows");
        figure(&self.called("distinct"), distinct, "rows");
        Ok(check(
            &self.called("check"),
            rows == self.options.rows && distinct == self.options.rows,
        ))
    }

    fn called(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }
}
