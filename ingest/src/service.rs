//! One request: read, `handle`, append, answer. A plain tower service: no router, no layers.
//!
//! Invariant: an accepted request is answered 2xx or 3xx only after its records were acknowledged; the one
//! exception is a redirect, which goes on without (counted as unacknowledged).

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tower::Service;
use tributary_domain::requests::{self, Accepted, ApiError, Call, Route, Signature};

use crate::body;
use crate::clock::Clock;
use crate::config::IngestConfig;
use crate::journal::{AppendError, Delivery, Journal};
use crate::secrets::Secrets;
use crate::state::State;
use crate::telemetry::Telemetry;

/// Renders the metrics of the process in Prometheus' text format.
pub type Render = Box<dyn Fn() -> String + Send + Sync>;

pub(crate) struct Edge {
    pub config: IngestConfig,
    pub state: Arc<State>,
    pub journal: Journal,
    pub secrets: Secrets,
    pub telemetry: Telemetry,
    pub clock: Clock,
    pub render: Render,
}

/// Makes a service for each connection.
#[derive(Clone)]
pub(crate) struct Acceptor(pub Arc<Edge>);

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Connection {
    edge: Arc<Edge>,
    peer: SocketAddr,
}

impl<L: Listener<Addr = SocketAddr>> Service<IncomingStream<'_, L>> for Acceptor {
    type Response = Connection;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Connection, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, L>) -> Self::Future {
        std::future::ready(Ok(Connection {
            edge: Arc::clone(&self.0),
            peer: *stream.remote_addr(),
        }))
    }
}

impl Service<Request> for Connection {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { edge, peer } = self.clone();
        Box::pin(async move { Ok(edge.answer(request, peer).await) })
    }
}

impl Edge {
    async fn answer(&self, request: Request, peer: SocketAddr) -> Response {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        if let Some(response) = self.of_operators(&parts) {
            return response;
        }
        let route = Route::of(parts.method.as_str(), parts.uri.path());
        let metrics = self.telemetry.route(route.as_ref().ok().copied());
        let result = match route {
            Ok(route) => {
                let (limit, redirects) = (route.body_limit(), matches!(route, Route::Redirect(_)));
                self.take(parts, body, peer, limit, redirects).await
            }
            Err(error) => Err(error),
        };
        let response = result.unwrap_or_else(|error| to_http(error.response()));
        metrics.count(response.status().as_u16());
        metrics.seconds.record(started.elapsed());
        response
    }

    fn of_operators(&self, parts: &Parts) -> Option<Response> {
        let (status, content_type, body) = match parts.uri.path() {
            "/healthz" => (200, "text/plain", "ok\n".to_owned()),
            "/readyz" => {
                let (status, body) = self.state.readiness();
                (status, "application/json", body)
            }
            "/metrics" => {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                self.telemetry.in_flight.set(self.state.in_flight() as f64);
                (200, "text/plain; version=0.0.4", (self.render)())
            }
            _ => return None,
        };
        Some(to_http(requests::Response {
            status,
            headers: vec![("content-type", content_type.into())],
            body,
        }))
    }

    async fn take(
        &self,
        parts: Parts,
        body: Body,
        peer: SocketAddr,
        limit: usize,
        redirects: bool,
    ) -> Result<Response, ApiError> {
        if !self.state.loaded.load(Relaxed) {
            return Err(ApiError::unavailable("starting: the configuration is not loaded"));
        }
        let place = self.state.enter(self.config.max_in_flight);
        if place.is_none() && !redirects {
            self.telemetry.append_failed("in_flight");
            return Err(ApiError::unavailable("too many requests are waiting"));
        }
        let body = match limit {
            0 => Bytes::new(),
            limit => body::read(body, limit, self.config.body_timeout).await?,
        };
        // Request and records end before the wait begins: what waits is small.
        let (response, first, rest) = {
            let Accepted { records, response } = self.handle(&parts, &body, peer)?;
            drop((parts, body));
            let mut deliveries = records.iter().map(|record| match place {
                Some(_) => self.journal.send(record),
                None => Err(AppendError::InFlight),
            });
            let first = deliveries.next();
            (to_http(response), first, deliveries.collect::<Vec<_>>())
        };
        for delivery in first.into_iter().chain(rest) {
            if let Err(error) = self.acknowledged(delivery, redirects).await {
                self.telemetry.append_failed(error.reason());
                tracing::debug!(%error, "a record was not acknowledged");
                if !redirects {
                    return Err(ApiError::unavailable("kafka did not acknowledge in time"));
                }
                self.telemetry.unacknowledged_clicks.increment(1);
            }
        }
        Ok(response)
    }

    async fn acknowledged(
        &self,
        delivery: Result<Delivery, AppendError>,
        redirects: bool,
    ) -> Result<(), AppendError> {
        let acknowledged = delivery?.acknowledged();
        if !redirects {
            return acknowledged.await;
        }
        match tokio::time::timeout(self.config.redirect_timeout, acknowledged).await {
            Ok(result) => result,
            Err(_) => Err(AppendError::Timeout),
        }
    }

    fn handle(&self, parts: &Parts, body: &[u8], peer: SocketAddr) -> Result<Accepted, ApiError> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let secrets = |workspace: &str| self.secrets.of(workspace);
        let request = requests::Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            host: header("host").or(parts.uri.host()).unwrap_or_default(),
            header: &header,
            body,
            remote_ip: Some(self.visitor_address(peer.ip(), header("x-forwarded-for"))),
        };
        let (at, random) = self.clock.now();
        let call = Call {
            at,
            random,
            signature: Signature::Secrets(&secrets),
            visitor_secret: self.config.visitor_secret.as_deref().unwrap_or_default(),
        };
        requests::handle(&request, &self.state.directory(), &call)
    }

    // The last address of the list is the one that our own proxy saw.
    fn visitor_address(&self, peer: IpAddr, forwarded: Option<&str>) -> IpAddr {
        let ours = match peer.to_canonical() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        forwarded
            .filter(|_| self.config.trust_private_proxies && ours)
            .and_then(|list| list.rsplit(',').next()?.trim().parse().ok())
            .unwrap_or(peer)
    }
}

fn to_http(response: requests::Response) -> Response {
    let mut http = Response::new(Body::from(response.body));
    *http.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = http.headers_mut();
    headers.reserve(response.headers.len());
    for (name, value) in response.headers {
        let value = match value {
            std::borrow::Cow::Borrowed(text) => Ok(HeaderValue::from_static(text)),
            std::borrow::Cow::Owned(text) => HeaderValue::try_from(text),
        };
        if let Ok(value) = value {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    http
}
