//! HTTP connections: accepted, served one by one, ended in order.
//!
//! On hyper itself: what a general server does for each request (boxed bodies and futures, a look at the
//! protocol's version, a lock to see whether it must stop) cost more than a click's own handling.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::connections::{Counted, Patience, Watched};
use crate::service::{Connection, Edge};

const PAUSE: Duration = Duration::from_secs(1);
// Hyper takes no less.
const HEAD_BYTES: usize = 8192;

#[derive(Default)]
struct Stop {
    begun: AtomicBool,
    told: Notify,
}

/// Serves until `shutdown`; then accepts nothing more and waits for the requests in flight.
pub(crate) async fn serve(listener: TcpListener, edge: Arc<Edge>, shutdown: impl Future<Output = ()>) {
    let stop = Arc::new(Stop::default());
    // Nothing is sent: the channel closes when the last connection is gone.
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let is_proxy = edge.proxies.trusts(peer.ip());
                let counted = match edge.connections.enter(peer.ip(), is_proxy, &edge.config.limits) {
                    Ok(counted) => counted,
                    Err(limit) => {
                        edge.telemetry.connection_refused(limit);
                        tracing::debug!(%peer, limit, "a connection was refused");
                        continue;
                    }
                };
                let connection = Arc::new(Connection::new(Arc::clone(&edge), peer));
                let held = (open.clone(), counted);
                tokio::spawn(converse(stream, connection, Arc::clone(&stop), held));
            }
            Err(error) => pause(&error).await,
        }
    }
    drop((listener, open));
    stop.begun.store(true, Release);
    stop.told.notify_waiters();
    all_closed.recv().await;
}

// A client that gave up is its own affair; anything else, say too many open files, passes with time.
async fn pause(error: &std::io::Error) {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::error!(%error, "accept");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn converse(
    stream: TcpStream,
    connection: Arc<Connection>,
    stop: Arc<Stop>,
    _held: (mpsc::Sender<Infallible>, Counted),
) {
    // Small answers must not wait for the client's next packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let peer: SocketAddr = connection.peer;
    let (edge, pulse) = (Arc::clone(&connection.edge), Arc::clone(&connection.pulse));
    let limits = &edge.config.limits;
    let stream = Watched {
        stream,
        pulse: Arc::clone(&pulse),
    };
    let service = service_fn(move |request| Arc::clone(&connection).answer(request));
    let mut http = pin!(
        http1::Builder::new()
            // Head and body of an answer are small: one buffer and a plain write are cheaper.
            .writev(false)
            // More headers than hyper's hundred are refused with 431, and so is a longer head.
            .max_buf_size(limits.head_bytes.max(HEAD_BYTES))
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut told = pin!(stop.told.notified());
    let (mut listens, mut ending) = (false, false);
    let mut patience = Patience::new(limits);
    let served = poll_fn(|context| {
        // Once is enough, since a task's waker stays the same: a look at each turn would take a lock that
        // all connections share. The flag is set before anybody is told, so neither is missed.
        if !listens {
            listens = told.as_mut().poll(context).is_pending();
        }
        if !ending && stop.begun.load(Acquire) {
            ending = true;
            http.as_mut().graceful_shutdown();
        }
        if let Some(patience) = &mut patience
            && let Poll::Ready(reason) = patience.poll(&pulse, context)
        {
            edge.telemetry.connection_cut(reason);
            tracing::debug!(%peer, reason, "a connection was given up");
            return Poll::Ready(Ok(()));
        }
        http.as_mut().poll(context)
    });
    if let Err(error) = served.await {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;
    use tributary_avro::Encoder;

    use super::*;
    use crate::config::IngestConfig;
    use crate::journal::Encoders;
    use crate::limits::Limits;

    fn edge(adjust: impl FnOnce(&mut IngestConfig)) -> Arc<Edge> {
        // Nobody listens there: what is asked needs no broker.
        let mut config = IngestConfig::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:1");
        adjust(&mut config);
        let encoders = Encoders {
            click: Encoder::new(1),
            track: Encoder::new(2),
            stripe: Encoder::new(3),
        };
        let read_entry = Box::new(|_: &[u8]| anyhow::bail!("nobody waits"));
        let render = Box::new(String::new);
        Arc::new(Edge::new(config, encoders, read_entry, render).unwrap())
    }

    async fn ask(client: &mut TcpStream) -> String {
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "closed too soon");
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_shutdown_ends_idle_connections_and_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, edge(|_| {}), async {
            stopped.await.ok();
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut silent = TcpStream::connect(address).await.unwrap();
        // Kept alive: the second request goes over the same connection.
        for _ in 0..2 {
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        stop.send(()).unwrap();
        let wait = Duration::from_secs(5);
        for connection in [&mut client, &mut silent] {
            let mut rest = Vec::new();
            let read = tokio::time::timeout(wait, connection.read_to_end(&mut rest)).await;
            assert_eq!(read.expect("closed in time").unwrap_or(0), 0);
        }
        tokio::time::timeout(wait, serving)
            .await
            .expect("ended in time")
            .unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// An edge with these limits; it ends with the test's runtime.
    async fn serving(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let edge = edge(|config| config.limits = limits);
        tokio::spawn(serve(listener, edge, std::future::pending()));
        address
    }

    async fn is_closed(client: &mut TcpStream, wait: Duration) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(wait, client.read_to_end(&mut rest))
            .await
            .is_ok()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_head_that_never_ends_is_given_up_and_an_idle_connection_is_not() {
        let address = serving(Limits {
            head_timeout_ms: 400,
            idle_timeout_ms: 60_000,
            ..Limits::default()
        })
        .await;
        let mut kept = TcpStream::connect(address).await.unwrap();
        ask(&mut kept).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        ask(&mut slow).await;
        // A byte now and then does not help: the head is still the same.
        let (mut read, mut write) = slow.split();
        let drip = async {
            loop {
                drop(write.write_all(b"G").await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), async {
            tokio::select! { read = read.read_to_end(&mut rest) => drop(read), () = drip => {} }
        });
        assert!(closed.await.is_ok(), "the slow one is still there");
        assert!(is_closed(&mut silent, Duration::from_secs(5)).await);
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(ask(&mut kept).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_idle_for_too_long_is_closed() {
        let address = serving(Limits {
            head_timeout_ms: 200,
            idle_timeout_ms: 400,
            ..Limits::default()
        })
        .await;
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        assert!(is_closed(&mut client, Duration::from_secs(5)).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn connections_beyond_the_limit_are_closed_at_once() {
        let address = serving(Limits {
            connections_per_ip: 2,
            ..Limits::default()
        })
        .await;
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        ask(&mut second).await;
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(is_closed(&mut third, Duration::from_secs(5)).await);
        drop(first);
        let mut asked = 0;
        // The place is free as soon as the edge has seen the end.
        loop {
            let mut next = TcpStream::connect(address).await.unwrap();
            if !is_closed(&mut next, Duration::from_millis(100)).await {
                ask(&mut next).await;
                break;
            }
            asked += 1;
            assert!(asked < 50, "the place is not given back");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_head_that_is_too_long_is_refused() {
        let address = serving(Limits {
            head_bytes: 8192,
            ..Limits::default()
        })
        .await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n",
            "x".repeat(9000)
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        drop(client.read_buf(&mut answer).await);
        assert!(
            answer.starts_with(b"HTTP/1.1 431 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}
