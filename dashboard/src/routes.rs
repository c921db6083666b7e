//! Which path is answered by what.
//!
//! Invariant: a path of the interface that this version does not serve answers 501, any other 404, both with the
//! error body.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use tower_http::timeout::TimeoutLayer;

use crate::error::ApiError;
use crate::server::Application;
use crate::{
    analytics, cohorts, commissions, customers, events, funnel, health, manage, openapi, overview, page,
    partner_analytics, payments, spreadsheet, stream,
};
use crate::{connections, conversions, coupons, links, partners, pipeline, programs};

/// First segments of operations that the interface or Dub's SDKs know, and that are not served here.
const NOT_OFFERED: [&str; 12] = [
    "tags",
    "folders",
    "domains",
    "track",
    "tracking",
    "qr",
    "tokens",
    "programs",
    "payouts",
    "bounties",
    "coupons",
    "embed-tokens",
];

pub fn router(application: Application) -> Router {
    Router::new()
        .route("/analytics", get(analytics::analytics))
        .route("/events", get(events::events))
        .route("/events/stream", get(stream::stream))
        .route("/funnel", get(funnel::funnel))
        .route("/cohorts", get(cohorts::cohorts))
        .route("/overview", get(overview::overview))
        .route("/workspaces", get(overview::list_workspaces))
        .route("/payments/{id}", get(payments::payment))
        .route("/commissions", get(commissions::list))
        .route("/partners/analytics", get(partner_analytics::analytics))
        .route("/customers", get(customers::list))
        .route("/customers/{id}", get(customers::one))
        .route_layer(from_fn(spreadsheet::on_demand))
        .route("/conversions", get(conversions::list))
        .route("/coupons", get(coupons::list))
        .route("/links/figures", get(links::list))
        .route("/partners/figures", get(partners::list))
        .route("/programs", get(programs::list))
        .route("/connections", get(connections::show))
        .route("/pipeline", get(pipeline::show))
        .route("/pipeline/replay", post(pipeline::replay))
        .route_layer(from_fn_with_state(application.clone(), manage::scope))
        .merge(managed())
        .route("/openapi.json", get(openapi::document))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .merge(page::router())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            Duration::from_secs(30),
        ))
        .with_state(application)
}

fn managed() -> Router<Application> {
    ["/links", "/links/{*rest}", "/partners", "/partners/{*rest}"]
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(path, any(manage::handle))
        })
        .layer(DefaultBodyLimit::max(manage::BODY_LIMIT))
}

async fn not_offered(uri: Uri) -> ApiError {
    ApiError::NotOffered(format!("{} is not offered by this version", uri.path()))
}

async fn unknown(uri: Uri) -> ApiError {
    let first = uri.path().split('/').nth(1).unwrap_or_default();
    if NOT_OFFERED.contains(&first) {
        return not_offered(uri).await;
    }
    ApiError::NotFound(format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed(format!("{} can only be read: use GET", uri.path()))
}
