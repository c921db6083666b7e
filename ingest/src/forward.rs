//! The API host: what the edge does not serve itself goes on to the dashboard's process, so that an SDK with one
//! server address finds everything there.
//!
//! Invariant: only a request with a secret key or token of a workspace is passed on; the dashboard takes from the key
//! whose figures it shows.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tributary_domain::requests::{self, ApiError, Route};

use crate::body;
use crate::config::ApiHost;
use crate::service::Edge;

/// Largest body that is passed on: a hundred links.
const BODY_LIMIT: usize = 1024 * 1024;
/// Requests passed on at once; more are answered 503.
const MOST: usize = 256;
const CONNECT: Duration = Duration::from_secs(2);
/// The dashboard gives up a request sooner.
const ANSWER: Duration = Duration::from_secs(40);

// Of one connection, not of the request.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Passes requests on to the dashboard's process.
pub(crate) struct Forward {
    host: String,
    dashboard: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
    places: Arc<Semaphore>,
}

/// An answer on its way through; it keeps its place until it has ended.
pub(crate) struct Passing {
    body: Incoming,
    _place: OwnedSemaphorePermit,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Forward {
    pub(crate) fn new(api: &ApiHost) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        Ok(Self {
            host: api.host.to_ascii_lowercase(),
            dashboard: api.dashboard.parse()?,
            client: Client::builder(TokioExecutor::new()).build(connector),
            places: Arc::new(Semaphore::new(MOST)),
        })
    }

    /// Whether the request is for the API host, and not one that the edge serves.
    pub(crate) fn takes(&self, request: &Request<Incoming>) -> bool {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.or(request.uri().host()).unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        name.eq_ignore_ascii_case(&self.host) && is_elsewhere(request.method().as_str(), request.uri().path())
    }

    /// The dashboard's answer.
    ///
    /// # Errors
    /// 401 and 403 without a secret key or token, 413 for a large body, 503 if the dashboard does not answer.
    pub(crate) async fn send(
        &self,
        edge: &Edge,
        request: &mut Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Passing>, ApiError> {
        edge.check_key(request)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| ApiError::unavailable("too many requests are waiting"))?;
        let room = &edge.large_bodies;
        let body = body::read(request.body_mut(), BODY_LIMIT, edge.config.body_timeout, room).await?;
        let onward = self.onward(request, body, peer)?;
        let answer = tokio::time::timeout(ANSWER, self.client.request(onward)).await;
        let (mut head, body) = match answer {
            Ok(Ok(answer)) => answer.into_parts(),
            Ok(Err(error)) => return Err(away(&error)),
            Err(error) => return Err(away(&error)),
        };
        strip(&mut head.headers);
        Ok(Response::from_parts(head, Passing { body, _place: place }))
    }

    fn onward(
        &self,
        request: &Request<Incoming>,
        body: Bytes,
        peer: SocketAddr,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let mut onward = Request::new(Full::new(body));
        *onward.method_mut() = request.method().clone();
        let path = request.uri().path_and_query().cloned();
        *onward.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.dashboard.clone())
            .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build()
            .map_err(|error| away(&error))?;
        let headers = onward.headers_mut();
        headers.clone_from(request.headers());
        strip(headers);
        headers.remove(header::CONTENT_LENGTH);
        if let Some(host) = headers.remove(header::HOST) {
            headers.insert("x-forwarded-host", host);
        }
        let before = headers.get("x-forwarded-for").and_then(|list| list.to_str().ok());
        let list = before.map_or_else(|| peer.ip().to_string(), |list| format!("{list}, {}", peer.ip()));
        if let Ok(list) = HeaderValue::try_from(list) {
            headers.insert("x-forwarded-for", list);
        }
        Ok(onward)
    }
}

fn away(error: &dyn std::error::Error) -> ApiError {
    tracing::warn!(%error, "the dashboard's process does not answer");
    ApiError::unavailable("the part that reads and manages does not answer")
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

fn is_elsewhere(method: &str, path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    let own = matches!(
        first,
        "track" | "tracking" | "tracking.js" | "webhooks" | "robots.txt" | "favicon.ico"
    );
    !own && matches!(Route::of(method, path), Ok(Route::Redirect(_)) | Err(_))
}

impl Edge {
    fn check_key(&self, request: &Request<Incoming>) -> Result<(), ApiError> {
        if !self.state.loaded.load(Relaxed) {
            return Err(ApiError::unavailable("starting: the configuration is not loaded"));
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let (method, path) = (request.method().as_str(), request.uri().path());
        requests::caller(header("authorization"), &self.state.directory(), method, path).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_edge_serves_is_not_passed_on() {
        for (method, path, elsewhere) in [
            ("POST", "/links", true),
            ("GET", "/links/info", true),
            ("GET", "/analytics", true),
            ("GET", "/", true),
            ("GET", "/commissions", true),
            ("POST", "/commissions", false),
            ("PATCH", "/commissions/in_1", false),
            ("POST", "/track/lead", false),
            ("GET", "/track/lead", false),
            ("POST", "/track/nothing", false),
            ("GET", "/tracking/conversion/v1", false),
            ("POST", "/webhooks/stripe/acme", false),
        ] {
            assert_eq!(is_elsewhere(method, path), elsewhere, "{method} {path}");
        }
    }
}
