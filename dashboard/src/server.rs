//! Starting and stopping the HTTP server.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value as JsonValue};
use tokio::net::TcpListener;
use tributary_domain::manage::{undeclared_link, undeclared_name};
use tributary_domain::rules::Link;

use crate::database::{ClickHouseConfig, Database};
use crate::manage::Management;
use crate::pipeline::Pipeline;
use crate::routes;
use crate::stream::Live;

/// Renders the process's metrics as Prometheus text; the process owns the recorder, not this role.
#[derive(Clone, Default)]
pub struct MetricsText(Option<Arc<dyn Fn() -> String + Send + Sync>>);

impl MetricsText {
    /// Metrics as `render` gives them at each scrape.
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(render)))
    }

    pub(crate) fn render(&self) -> String {
        self.0.as_ref().map(|render| render()).unwrap_or_default()
    }
}

impl fmt::Debug for MetricsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsText")
    }
}

/// What the role needs to know.
#[derive(Clone, Debug)]
pub struct DashboardConfig {
    /// Address to listen on. Reading needs no key: anything but loopback shows the figures to whoever reaches it.
    pub listen: SocketAddr,
    /// Where the ledger is.
    pub clickhouse: ClickHouseConfig,
    /// What `/metrics` answers; empty by default.
    pub metrics: MetricsText,
    /// Links and partners; without it their operations are not offered, and keys of the API are not known.
    pub management: Option<Management>,
    /// Live events; without it they are not offered.
    pub live: Option<Live>,
    /// Lag, dead letters and Stripe events of the pipeline; without it they are not known.
    pub pipeline: Option<Pipeline>,
}

impl Default for DashboardConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            clickhouse: ClickHouseConfig::default(),
            metrics: MetricsText::default(),
            management: None,
            live: None,
            pipeline: None,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Application {
    pub database: Database,
    pub metrics: MetricsText,
    pub management: Option<Management>,
    pub live: Option<Live>,
    pub pipeline: Option<Pipeline>,
}

impl Application {
    /// What a partner is called: the ID, if it is not known otherwise.
    pub fn partner_name(&self, workspace: &str, id: &str) -> String {
        let known = self
            .management
            .as_ref()
            .and_then(|all| all.partner_name(workspace, id));
        known.unwrap_or_else(|| id.to_owned())
    }

    /// The partner with an ID of the customer's own.
    pub fn partner_of_tenant(&self, workspace: &str, tenant: &str) -> Option<String> {
        let management = self.management.as_ref()?;
        management.partner_of_tenant(workspace, tenant)
    }

    /// A link that a row of the ledger names: as it is declared, else of what the row says of it.
    pub fn link(&self, workspace: &str, named: Link) -> JsonValue {
        let declared = self.declared(|catalog| catalog.shown_link(workspace, &named.id));
        declared.unwrap_or_else(|| undeclared_link(named, workspace))
    }

    /// The same with the fields only that name it.
    pub fn link_name(&self, workspace: &str, named: Link) -> Map<String, JsonValue> {
        let declared = self.declared(|catalog| catalog.named_link(workspace, &named.id));
        declared.unwrap_or_else(|| undeclared_name(named))
    }
}

/// Listens and answers until `shutdown` resolves; requests in flight are finished.
///
/// # Errors
/// When the address cannot be bound or the listener fails.
pub async fn run(
    config: DashboardConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("the dashboard cannot listen on {}", config.listen))?;
    serve(listener, config, shutdown).await
}

/// As [`run`], on a listener that is bound already (`config.listen` is not used).
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    config: DashboardConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "reading needs no key: everybody who reaches this address reads all figures");
    }
    tracing::info!(%address, "dashboard is listening");
    let application = Application {
        database: Database::new(&config.clickhouse),
        metrics: config.metrics,
        management: config.management,
        live: config.live.clone(),
        pipeline: config.pipeline,
    };
    let shutdown = async move {
        shutdown.await;
        if let Some(live) = config.live {
            live.stop();
        }
    };
    axum::serve(listener, routes::router(application))
        .with_graceful_shutdown(shutdown)
        .await?;
    Ok(())
}
