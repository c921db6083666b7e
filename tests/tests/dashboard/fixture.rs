//! A dashboard on a database of its own, and the oracle's way to ask ClickHouse.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tributary_dashboard::{ClickHouseConfig, DashboardConfig, Management, MetricsText, Pipeline, serve};

/// End of the seeded clicks; both changes of the clock in March 2025 lie before it.
const ANCHOR: &str = "2025-04-20 12:00:00";
/// Fifty days of the seeded 120.
pub const PERIOD: &str = "start=2025-03-01&end=2025-04-19";
/// Conversions that stand, straight from the raw rows.
pub const STANDING: &str = "(SELECT id, revision, any(raw.mode) AS mode, any(raw.kind) AS kind, any(raw.at) AS at,
    any(raw.customer) AS customer,
    any(raw.keys) AS keys, any(raw.quantity) AS quantity, any(raw.amount) AS amount, any(raw.attributed_by) AS attributed_by,
    any(raw.sale_type) AS sale_type, any(raw.click_id) AS click_id, any(raw.clicked_at) AS clicked_at,
    any(raw.partner_id) AS partner_id, any(raw.coupon) AS coupon, any(raw.country) AS country, any(raw.city) AS city,
    any(raw.browser) AS browser
    FROM conversions AS raw GROUP BY id, revision HAVING sum(raw.sign) > 0)";

const METRICS: &str =
    "edge_spool_bytes 3000000\ntributary_attribute_facts_total{verdict=\"held\",partition=\"0\"} 4\n";

const SEED: &str = include_str!("seed.sql");

/// A running dashboard.
pub struct Fixture {
    api: String,
    clickhouse: String,
    database: String,
}

/// One runtime for the servers of all tests: it must outlive each of them.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// The seeded one, shared: no test changes it.
pub fn fixture() -> &'static Fixture {
    static SHARED: OnceLock<Fixture> = OnceLock::new();
    SHARED.get_or_init(|| Fixture::seeded(20_000))
}

/// A share with four decimals.
pub fn shares(part: i64, whole: i64) -> f64 {
    (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0
}

/// Clicks, leads, sales and amount of a row.
pub fn figures(row: &Value) -> [i64; 4] {
    ["clicks", "leads", "sales", "saleAmount"].map(|name| row[name].as_i64().unwrap())
}

impl Fixture {
    /// A database with the ledger's tables, filled by `fill`, and a dashboard on it.
    pub fn start(fill: impl FnOnce(&dyn Fn(&str))) -> Self {
        let clickhouse =
            runtime().block_on(async { tributary_testkit::shared().await.unwrap().clickhouse_url.clone() });
        let database = tributary_testkit::unique("dashboard");
        let mut fixture = Self {
            api: String::new(),
            clickhouse,
            database,
        };
        fixture.ask(
            &format!("CREATE DATABASE IF NOT EXISTS {}", fixture.database),
            "default",
            &[],
        );
        let config = tributary_sinks::ClickHouseConfig {
            url: fixture.clickhouse.clone(),
            database: fixture.database.clone(),
            ..tributary_sinks::ClickHouseConfig::default()
        };
        runtime().block_on(tributary_sinks::migrate(&config)).unwrap();
        fill(&|statement| {
            fixture.sql(statement);
        });
        fixture.listen(None, None);
        fixture
    }

    /// One with so many clicks in 120 days, and what became of them.
    pub fn seeded(clicks: u32) -> Self {
        Self::start(|sql| {
            for statement in SEED.split(";\n") {
                let lines = statement
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("--"));
                let statement = lines.collect::<Vec<_>>().join("\n");
                let statement = statement.replace("{database}.", "").replace("{anchor}", ANCHOR);
                let statement = statement
                    .replace("{days}", "120")
                    .replace("{clicks}", &clicks.to_string());
                if !statement.trim().is_empty() {
                    sql(&statement);
                }
            }
        })
    }

    /// Another dashboard on the same database.
    pub fn beside(&self, management: Option<Management>, pipeline: Option<Pipeline>) -> Self {
        let mut beside = Self {
            api: String::new(),
            clickhouse: self.clickhouse.clone(),
            database: self.database.clone(),
        };
        beside.listen(management, pipeline);
        beside
    }

    /// A dashboard whose ClickHouse does not answer.
    pub fn without_clickhouse() -> Self {
        let port = tributary_testkit::free_port().unwrap();
        let mut fixture = Self {
            api: String::new(),
            clickhouse: format!("http://127.0.0.1:{port}"),
            database: "none".to_owned(),
        };
        fixture.listen(None, None);
        fixture
    }

    fn listen(&mut self, management: Option<Management>, pipeline: Option<Pipeline>) {
        let config = DashboardConfig {
            clickhouse: ClickHouseConfig {
                url: self.clickhouse.clone(),
                database: self.database.clone(),
                ..ClickHouseConfig::default()
            },
            // As if edge and attribution ran in this process.
            metrics: MetricsText::new(|| METRICS.to_owned()),
            management,
            pipeline,
            ..DashboardConfig::default()
        };
        let listener = runtime()
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        self.api = format!("http://{}", listener.local_addr().unwrap());
        runtime().spawn(serve(listener, config, std::future::pending()));
    }

    /// What ClickHouse answers, as TSV without the last line end.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_with(statement, &[])
    }

    /// The same, with parameters that the statement names as `{name:Type}`.
    pub fn sql_with(&self, statement: &str, parameters: &[(&str, &str)]) -> String {
        self.ask(statement, &self.database, parameters)
    }

    fn ask(&self, statement: &str, database: &str, parameters: &[(&str, &str)]) -> String {
        let mut url = reqwest::Url::parse(&self.clickhouse).unwrap();
        url.query_pairs_mut().append_pair("database", database);
        for (name, value) in parameters {
            url.query_pairs_mut().append_pair(&format!("param_{name}"), value);
        }
        let request = client().post(url).body(statement.to_owned());
        runtime().block_on(async {
            let response = request.send().await.unwrap();
            let ok = response.status().is_success();
            let text = response.text().await.unwrap();
            assert!(ok, "{text}\n{statement}");
            text.trim_end().to_owned()
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.api
    }

    /// The JSON of an answer that must be 200.
    pub fn get(&self, path: &str) -> Value {
        let (status, text, _) = self.fetch(path, "");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Message and `Retry-After` of an answer that must be an error.
    pub fn refused(&self, path: &str, status: u16, code: &str) -> (String, String) {
        let (found, text, headers) = self.fetch(path, "");
        assert_eq!(found, status, "{path}: {text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["error"]["code"], code, "{path}: {text}");
        assert!(body["error"]["doc_url"].is_string());
        let retry = headers
            .get("retry-after")
            .map(|value| value.to_str().unwrap().to_owned());
        (
            body["error"]["message"].as_str().unwrap().to_owned(),
            retry.unwrap_or_default(),
        )
    }

    /// Body and headers, for a client that knows the version `tag`.
    pub fn text(&self, path: &str, tag: &str) -> (String, HeaderMap) {
        let (status, text, headers) = self.fetch(path, tag);
        assert_eq!(status, if tag.is_empty() { 200 } else { 304 }, "{path}");
        (text, headers)
    }

    /// Status and body of whatever is answered.
    pub fn status(&self, path: &str) -> (u16, String) {
        let (status, text, _) = self.fetch(path, "");
        (status, text)
    }

    /// Status and JSON of what a POST is answered.
    pub fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = client()
            .post(format!("{}{path}", self.api))
            .body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        runtime().block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            (status, serde_json::from_str(&text).unwrap_or_default())
        })
    }

    fn fetch(&self, path: &str, tag: &str) -> (u16, String, HeaderMap) {
        let request = client()
            .get(format!("{}{path}", self.api))
            .header("if-none-match", tag);
        runtime().block_on(async {
            let response = request.timeout(Duration::from_secs(60)).send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            (status, response.text().await.unwrap(), headers)
        })
    }
}

fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(reqwest::Client::new)
}
