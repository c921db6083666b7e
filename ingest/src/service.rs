//! One request: read, `handle`, append, answer. No router, no layers.
//!
//! Invariant: an accepted request is answered 2xx or 3xx only after its record was acknowledged or synced to the spool;
//! the one exception is a redirect, which goes on without (counted as unacknowledged).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tributary_domain::requests::{
    self, Accepted, ApiError, Call, Caller, Place, Record, Route, Signature, Visit,
};

use crate::body;
use crate::clock::Clock;
use crate::config::IngestConfig;
use crate::connections::{Connections, Pulse};
use crate::delivery::{AppendError, Delivery};
use crate::entries::{Entries, EntryReader, Expected};
use crate::forward::{Forward, Passing};
use crate::journal::{Encoders, Journal, Marks};
use crate::limits::{Buckets, Rate, counted};
use crate::places::Places;
use crate::proxies::Proxies;
use crate::repeats::{Delivered, EventKey, Repeats};
use crate::secrets::Secrets;
use crate::spool::Spool;
use crate::state::{InFlight, State};
use crate::telemetry::{Asked, RouteMetrics, Telemetry};
use crate::{cors, scripts, trace};

/// Renders the metrics of the process in Prometheus' text format.
pub type Render = Box<dyn Fn() -> String + Send + Sync>;

/// An answer whose body is all there, or one of the dashboard's on its way through.
pub(crate) type Answer = Response<Either<Full<Bytes>, Passing>>;

/// How long a caller with `mode=wait` waits for the lead's entry, from its request on.
const ENTRY_WITHIN: Duration = Duration::from_secs(3);

/// A record on its way, or why it is not.
type Sent = Result<Delivery, AppendError>;

/// What is to be waited for, and what to be remembered then.
struct Pending<'e> {
    sent: Sent,
    /// Held until it is settled.
    _in_flight: Option<InFlight<'e>>,
    visit: Option<Visit>,
    event: Option<EventKey>,
    entry: Option<Expected>,
}

pub(crate) struct Edge {
    pub config: IngestConfig,
    pub state: Arc<State>,
    pub journal: Arc<Journal>,
    pub spool: Option<Arc<Spool>>,
    pub secrets: Secrets,
    pub telemetry: Telemetry,
    pub clock: Clock,
    pub forward: Option<Forward>,
    pub render: Render,
    pub proxies: Proxies,
    pub places: Places,
    pub connections: Arc<Connections>,
    entries: Arc<Entries>,
    buckets: Buckets,
    repeats: Repeats,
    delivered: Delivered,
    small_bodies: Semaphore,
    pub large_bodies: Semaphore,
}

/// One connection. Requests share its own counter of references, not that of the edge, which the cores
/// would take from each other at each request.
pub(crate) struct Connection {
    pub edge: Arc<Edge>,
    pub peer: SocketAddr,
    pub pulse: Arc<Pulse>,
}

impl Connection {
    pub(crate) fn new(edge: Arc<Edge>, peer: SocketAddr) -> Self {
        Self {
            edge,
            peer,
            pulse: Arc::default(),
        }
    }

    /// One future, and the request is moved into it once: each async function on the way would copy it.
    pub(crate) async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Answer, Infallible> {
        let started = Instant::now();
        let edge = &*self.edge;
        self.pulse.begin();
        let path = request.uri().path();
        let fixed = || scripts::answer(request.method(), path, request.headers());
        if let Some(answer) = edge.of_operators(path).or_else(fixed) {
            self.pulse.end();
            return Ok(answer);
        }
        let own_page = cors::own_page(request.headers());
        if let Some(forward) = edge.forward.as_ref().filter(|forward| forward.takes(&request)) {
            let metrics = edge.telemetry.route(None);
            let asked = edge.asked(metrics, &request);
            let answer = match forward.send(edge, &mut request, self.peer).await {
                Ok(answer) => answer.map(Either::Right),
                Err(error) => {
                    edge.telemetry.refused(&error, &asked);
                    to_http(error.response())
                }
            };
            metrics.count(answer.status().as_u16());
            metrics.seconds.record(started.elapsed());
            self.pulse.end();
            return Ok(answer);
        }
        let route = Route::of(request.method().as_str(), request.uri().path());
        let metrics = edge.telemetry.route(route.as_ref().ok().copied());
        let asked = edge.asked(metrics, &request);
        let expects = route.map(|route| {
            let redirects = matches!(route, Route::Redirect(_));
            (edge.body_limit(route, request.headers()), redirects)
        });
        let result = match expects {
            Ok((limit, redirects)) => {
                let sent = edge.send(&mut request, self.peer, limit, redirects).await;
                // Request and record end before the wait begins: what waits is small.
                drop(request);
                match sent {
                    Ok((answer, None)) => Ok(answer),
                    Ok((answer, Some(pending))) => match edge.settle(pending, redirects).await {
                        Ok(entry) => {
                            edge.recorded(entry, started).await;
                            Ok(answer)
                        }
                        Err(error) => Err(error),
                    },
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let mut answer = result.unwrap_or_else(|error| {
            edge.telemetry.refused(&error, &asked);
            to_http(error.response())
        });
        if let Some(page) = own_page {
            cors::let_cookies(&mut answer, page);
        }
        metrics.count(answer.status().as_u16());
        metrics.seconds.record(started.elapsed());
        self.pulse.end();
        Ok(answer)
    }
}

impl Edge {
    pub(crate) fn new(
        config: IngestConfig,
        encoders: Encoders,
        read_entry: EntryReader,
        render: Render,
    ) -> anyhow::Result<Self> {
        let spool = match &config.spool_dir {
            Some(dir) => Some(Spool::open(dir, config.spool_bytes)?.0),
            None => None,
        };
        Ok(Self {
            state: Arc::default(),
            journal: Arc::new(Journal::new(&config, encoders, spool.clone())?),
            spool,
            secrets: Secrets::new(config.secrets_dir.clone()),
            telemetry: Telemetry::new(),
            clock: Clock::new()?,
            forward: config.api.as_ref().map(Forward::new).transpose()?,
            render,
            proxies: Proxies::new(config.trusted_proxies.clone()),
            places: Places::default(),
            connections: Arc::default(),
            entries: Entries::new(config.kafka.clone(), read_entry),
            buckets: Buckets::new(),
            repeats: Repeats::new(config.remembered_clicks),
            delivered: Delivered::new(config.remembered_events),
            small_bodies: Semaphore::new(body::SLOW_KIB),
            large_bodies: Semaphore::new(body::SLOW_KIB),
            config,
        })
    }

    // What the log tells of a refused request, which is gone by then; of use only if the log is that fine.
    fn asked(&self, metrics: &RouteMetrics, request: &Request<Incoming>) -> Asked {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return Asked::default();
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let directory = self.state.directory();
        let workspace = match Route::of(request.method().as_str(), request.uri().path()) {
            Ok(Route::StripeWebhook(name)) if directory.has_workspace(name) => Some(name.to_owned()),
            _ => requests::workspace_of_key(header("authorization"), &directory),
        };
        Asked {
            route: metrics.name,
            workspace: workspace.unwrap_or_default(),
            trace: trace::parent(request.headers())
                .map_or_else(String::new, |parent| trace::id(parent).to_owned()),
        }
    }

    fn of_operators(&self, path: &str) -> Option<Answer> {
        let (status, content_type, body) = match path {
            "/healthz" => (200, "text/plain", "ok\n".to_owned()),
            "/readyz" => {
                let (status, body) = self.state.readiness(self.spool.as_deref());
                (status, "application/json", body)
            }
            "/metrics" => {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                {
                    self.telemetry.in_flight.set(self.state.in_flight() as f64);
                    self.telemetry.connections.set(self.connections.open() as f64);
                    let spooled = self.spool.as_ref().map_or(0, |spool| spool.used());
                    self.telemetry.spool_bytes.set(spooled as f64);
                }
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

    // A webhook without a signature, or of a workspace that does not exist, is refused without its body: nobody vouches
    // for a megabyte.
    fn body_limit(&self, route: Route<'_>, headers: &HeaderMap) -> usize {
        match route {
            Route::StripeWebhook(workspace)
                if !headers.contains_key("stripe-signature")
                    || !self.state.directory().has_workspace(workspace) =>
            {
                0
            }
            route => route.body_limit(),
        }
    }

    async fn send(
        &self,
        request: &mut Request<Incoming>,
        peer: SocketAddr,
        limit: usize,
        redirects: bool,
    ) -> Result<(Answer, Option<Pending<'_>>), ApiError> {
        if !self.state.loaded.load(Relaxed) {
            return Err(ApiError::unavailable("starting: the configuration is not loaded"));
        }
        let body = match limit {
            0 => Bytes::new(),
            limit => {
                // Large bodies do not take the room of calls.
                let room = if limit > requests::API_BODY_LIMIT {
                    &self.large_bodies
                } else {
                    &self.small_bodies
                };
                body::read(request.body_mut(), limit, self.config.body_timeout, room).await?
            }
        };
        // Not before: who sends a body slowly holds up nobody.
        let in_flight = self.state.enter(self.config.max_in_flight);
        // Redirects go on in any case, and their clicks have the producer's own bound, and the spool.
        if in_flight.is_none() && !redirects {
            self.telemetry.append_failed("in_flight");
            return Err(ApiError::unavailable("too many requests are waiting"));
        }
        self.handle(request, &body, peer, in_flight)
    }

    /// Gives back the entry that is still to be waited for.
    async fn settle(&self, pending: Pending<'_>, redirects: bool) -> Result<Option<Expected>, ApiError> {
        let Err(error) = self.acknowledged(pending.sent, redirects).await else {
            if let Some(visit) = pending.visit {
                self.repeats.keep(visit);
            }
            if let Some(event) = pending.event {
                self.delivered.keep(event);
            }
            return Ok(pending.entry);
        };
        self.telemetry.append_failed(error.reason());
        tracing::debug!(%error, "a record was not acknowledged");
        if !redirects {
            return Err(ApiError::unavailable(match error {
                AppendError::Spool(_) => "kafka is away and the spool takes no more",
                _ => "kafka did not acknowledge in time",
            }));
        }
        self.telemetry.unacknowledged_clicks.increment(1);
        Ok(None)
    }

    // The record is safe already: an entry that comes later than the caller may wait is no error.
    async fn recorded(&self, entry: Option<Expected>, since: Instant) {
        if let Some(entry) = entry {
            let is_there = entry.arrives(ENTRY_WITHIN.saturating_sub(since.elapsed())).await;
            self.telemetry.waited(is_there);
        }
    }

    async fn acknowledged(&self, sent: Sent, redirects: bool) -> Result<(), AppendError> {
        let acknowledged = sent?.acknowledged();
        if !redirects {
            return acknowledged.await;
        }
        match tokio::time::timeout(self.config.redirect_timeout, acknowledged).await {
            Ok(result) => result,
            Err(_) => Err(AppendError::Timeout),
        }
    }

    // The answer, and its record on the way. The record lives from the request and the directory's lock, so
    // it is sent here; sending does not wait.
    fn handle<'e>(
        &'e self,
        sent: &Request<Incoming>,
        body: &[u8],
        peer: SocketAddr,
        in_flight: Option<InFlight<'e>>,
    ) -> Result<(Answer, Option<Pending<'e>>), ApiError> {
        let header = |name: &str| sent.headers().get(name).and_then(|value| value.to_str().ok());
        let secrets = |workspace: &str| self.secrets.of(workspace);
        let (ip, visits) = self.proxies.visitor(peer.ip(), sent.headers());
        let places = self.config.places.any().then(|| self.places.known());
        let place = |ip| {
            places
                .as_ref()
                .map_or_else(Place::default, |known| known.place(ip))
        };
        let admit = |caller: Caller<'_>| self.admit(caller, visits.then_some(ip));
        let request = requests::Request {
            method: sent.method().as_str(),
            path: sent.uri().path(),
            query: sent.uri().query(),
            host: header("host").or(sent.uri().host()).unwrap_or_default(),
            header: &header,
            body,
            // A proxy that names nobody is no visitor: else all of them would be one.
            remote_ip: visits.then_some(ip),
            place: &place,
        };
        let (at, random) = self.clock.now();
        let call = Call {
            at,
            random: self.state.batches.random(at, random),
            signature: Signature::Secrets(&secrets),
            visitor_secret: self.config.visitor_secret.as_deref().unwrap_or_default(),
            admit: &admit,
            first: &|key, hour| self.repeats.first(key, hour),
        };
        let directory = self.state.directory();
        let Accepted {
            record,
            visit,
            response,
        } = requests::handle(&request, &directory, &call)?;
        let pending = record.map(|record| {
            if let Record::Click(click) = &record {
                self.telemetry.clicked(click);
            }
            // Before it is sent: the entry may come faster than who waits for it.
            let entry = match &record {
                Record::Track(track) if track.lead_mode == "wait" => self.entries.expect(track, &self.state),
                _ => None,
            };
            let event = match &record {
                Record::StripeEvent(event) => Some(EventKey::of(event)),
                _ => None,
            };
            let marks = Marks {
                traceparent: trace::parent(sent.headers()),
                is_repeat: event.is_some_and(|event| self.delivered.knows(event)),
            };
            if marks.is_repeat {
                self.telemetry.repeated_events.increment(1);
            }
            Pending {
                sent: self.journal.send(&record, marks),
                _in_flight: in_flight,
                visit,
                event,
                entry,
            }
        });
        drop(directory);
        Ok((to_http(response), pending))
    }

    // A trusted proxy that names no visitor asks for itself, without limit.
    fn admit(&self, caller: Caller<'_>, visitor: Option<IpAddr>) -> Result<(), requests::Limited> {
        let limits = &self.config.limits;
        match (caller, visitor) {
            (Caller::Server(key), _) => {
                let rate = Rate {
                    per_second: limits.per_key,
                    burst: limits.per_key_burst,
                };
                self.buckets.take(key, rate, Instant::now())
            }
            (Caller::Visitor, Some(ip)) => {
                let rate = Rate {
                    per_second: limits.per_ip,
                    burst: limits.per_ip_burst,
                };
                self.buckets.take(counted(ip), rate, Instant::now())
            }
            (Caller::Visitor, None) => Ok(()),
        }
    }
}

fn to_http(response: requests::Response) -> Answer {
    let mut http = Response::new(Either::Left(Full::from(response.body)));
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
