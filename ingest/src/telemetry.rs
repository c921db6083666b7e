//! Metrics of the edge. Handles are made once: a request only adds to them.
//!
//! Label values come from closed sets; the recorder must be installed before the edge starts.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tributary_domain::requests::{ApiError, NewClick, Refusal, Route};

/// The metrics of one route.
pub(crate) struct RouteMetrics {
    pub name: &'static str,
    accepted: Counter,
    refused: Counter,
    failed: Counter,
    pub seconds: Histogram,
}

impl RouteMetrics {
    fn new(route: &'static str) -> Self {
        let requests = |outcome| counter!("edge_requests_total", "route" => route, "outcome" => outcome);
        Self {
            name: route,
            accepted: requests("accepted"),
            refused: requests("refused"),
            failed: requests("failed"),
            seconds: histogram!("edge_request_seconds", "route" => route),
        }
    }

    pub(crate) fn count(&self, status: u16) {
        match status {
            ..400 => &self.accepted,
            400..500 => &self.refused,
            _ => &self.failed,
        }
        .increment(1);
    }
}

/// What was asked, for the log: empty where it is not known.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub route: &'static str,
    pub workspace: String,
    pub trace: String,
}

pub(crate) struct Telemetry {
    redirect: RouteMetrics,
    click: RouteMetrics,
    lead: RouteMetrics,
    sale: RouteMetrics,
    open: RouteMetrics,
    visit: RouteMetrics,
    client_lead: RouteMetrics,
    client_sale: RouteMetrics,
    tenant_click: RouteMetrics,
    conversion: RouteMetrics,
    external_cid: RouteMetrics,
    commissions: RouteMetrics,
    stripe: RouteMetrics,
    other: RouteMetrics,
    pub unacknowledged_clicks: Counter,
    pub repeated_events: Counter,
    pub in_flight: Gauge,
    pub spool_bytes: Gauge,
    pub connections: Gauge,
    refusals: Vec<(Refusal, Counter)>,
    clicks: Vec<(&'static str, Counter)>,
}

/// What a click is, as a label: of a person, a repeat, or why it is taken for a machine.
const CLASSES: [&str; 6] = ["person", "repeat", "list", "head", "prefetch", "data_center"];

impl Telemetry {
    pub(crate) fn new() -> Self {
        Self {
            redirect: RouteMetrics::new("redirect"),
            click: RouteMetrics::new("track_click"),
            lead: RouteMetrics::new("track_lead"),
            sale: RouteMetrics::new("track_sale"),
            open: RouteMetrics::new("track_open"),
            visit: RouteMetrics::new("track_visit"),
            client_lead: RouteMetrics::new("track_lead_client"),
            client_sale: RouteMetrics::new("track_sale_client"),
            tenant_click: RouteMetrics::new("tracking_click"),
            conversion: RouteMetrics::new("tracking_conversion"),
            external_cid: RouteMetrics::new("tracking_external_cid"),
            commissions: RouteMetrics::new("commissions"),
            stripe: RouteMetrics::new("webhook_stripe"),
            other: RouteMetrics::new("other"),
            unacknowledged_clicks: counter!("edge_unacknowledged_clicks_total"),
            repeated_events: counter!("edge_repeated_events_total"),
            in_flight: gauge!("edge_requests_in_flight"),
            spool_bytes: gauge!("edge_spool_bytes"),
            connections: gauge!("edge_connections"),
            refusals: Refusal::ALL
                .map(|refusal| {
                    (
                        refusal,
                        counter!("edge_refusals_total", "reason" => refusal.name()),
                    )
                })
                .into(),
            clicks: CLASSES
                .map(|class| (class, counter!("edge_clicks_total", "class" => class)))
                .into(),
        }
    }

    pub(crate) fn route(&self, route: Option<Route<'_>>) -> &RouteMetrics {
        match route {
            Some(Route::Redirect(_)) => &self.redirect,
            Some(Route::TrackClick) => &self.click,
            Some(Route::TrackLead) => &self.lead,
            Some(Route::TrackSale) => &self.sale,
            Some(Route::TrackOpen) => &self.open,
            Some(Route::TrackVisit) => &self.visit,
            Some(Route::ClientLead) => &self.client_lead,
            Some(Route::ClientSale) => &self.client_sale,
            Some(Route::TenantClick) => &self.tenant_click,
            Some(Route::Conversion | Route::ConversionPostback) => &self.conversion,
            Some(Route::ExternalCid) => &self.external_cid,
            Some(Route::Decide(_) | Route::DecideMany | Route::CustomCommission) => &self.commissions,
            Some(Route::StripeWebhook(_)) => &self.stripe,
            Some(Route::Preflight) | None => &self.other,
        }
    }

    pub(crate) fn refused(&self, error: &ApiError, asked: &Asked) {
        let reason = error.refusal.name();
        tracing::debug!(
            reason,
            status = error.status,
            message = error.message,
            route = asked.route,
            workspace = asked.workspace,
            trace = asked.trace,
            "a request was refused"
        );
        if let Some((_, counter)) = self.refusals.iter().find(|(known, _)| *known == error.refusal) {
            counter.increment(1);
        }
    }

    pub(crate) fn clicked(&self, click: &NewClick<'_>) {
        let class = match click.bot {
            "" if click.duplicate_of.is_empty() => "person",
            "" => "repeat",
            machine => machine,
        };
        if let Some((_, counter)) = self.clicks.iter().find(|(known, _)| *known == class) {
            counter.increment(1);
        }
    }

    pub(crate) fn connection_refused(&self, limit: &'static str) {
        counter!("edge_connections_refused_total", "limit" => limit).increment(1);
    }

    pub(crate) fn connection_cut(&self, reason: &'static str) {
        counter!("edge_connections_cut_total", "reason" => reason).increment(1);
    }

    /// A lead with `mode=wait` was answered: with its entry, or without.
    pub(crate) fn waited(&self, is_there: bool) {
        let outcome = if is_there { "recorded" } else { "late" };
        counter!("edge_waited_leads_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn append_failed(&self, reason: &'static str) {
        counter!("edge_append_failures_total", "reason" => reason).increment(1);
    }
}
