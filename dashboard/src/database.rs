//! The ClickHouse client: runs one statement, gives typed rows.
//!
//! Invariant: sessions are read-only, and no statement runs longer than a request waits.

use std::fmt;
use std::time::Instant;

use clickhouse::error::Error;
use clickhouse::{Client, RowOwned, RowRead};

use crate::error::ApiError;
use crate::statement::{Statement, Value};
use crate::sums::of_any_month;

/// Where ClickHouse is and who asks.
#[derive(Clone)]
pub struct ClickHouseConfig {
    /// Base address of the HTTP interface.
    pub url: String,
    /// User; needs SELECT only.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
    /// Database of the ledger.
    pub database: String,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            user: "default".to_owned(),
            password: String::new(),
            database: "tributary".to_owned(),
        }
    }
}

impl fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("password", &"***")
            .field("database", &self.database)
            .finish()
    }
}

#[derive(Clone)]
pub(crate) struct Database {
    client: Client,
}

impl Database {
    pub fn new(config: &ClickHouseConfig) -> Self {
        let mut client = Client::default()
            .with_url(&config.url)
            .with_database(&config.database)
            .with_user(&config.user)
            // 2: reads only, but per-query settings, which parameters are, stay possible.
            .with_setting("readonly", "2")
            .with_setting("max_execution_time", "25");
        if !config.password.is_empty() {
            client = client.with_password(&config.password);
        }
        Self { client }
    }

    /// All rows. `name` labels the duration metric; it comes from the code, never from a request.
    pub async fn rows<T>(&self, name: &'static str, statement: Statement) -> Result<Vec<T>, ApiError>
    where
        T: RowOwned + RowRead,
    {
        let started = Instant::now();
        let mut rows = self.ask(&statement.sql, &statement.values).await;
        // ClickHouse (up to 26.7 at least) has no month for the sums of a table that has no part yet.
        if matches!(&rows, Err(Error::BadResponse(text)) if text.contains("_partition_id")) {
            rows = self.ask(&of_any_month(&statement.sql), &statement.values).await;
        }
        let rows = rows?;
        metrics::histogram!("tributary_dashboard_query_seconds", "query" => name)
            .record(started.elapsed().as_secs_f64());
        Ok(rows)
    }

    async fn ask<T>(&self, sql: &str, values: &[(String, Value)]) -> Result<Vec<T>, Error>
    where
        T: RowOwned + RowRead,
    {
        let mut query = self.client.query_raw(sql);
        for (parameter, value) in values {
            query = match value {
                Value::Text(text) => query.param(parameter, text),
                Value::Texts(texts) => query.param(parameter, texts),
                Value::Integer(number) => query.param(parameter, number),
                Value::Integers(numbers) => query.param(parameter, numbers),
            };
        }
        query.fetch_all().await
    }
}
