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
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::service::{Connection, Edge};

const PAUSE: Duration = Duration::from_secs(1);

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
                let connection = Arc::new(Connection {
                    edge: Arc::clone(&edge),
                    peer,
                });
                tokio::spawn(converse(stream, connection, Arc::clone(&stop), open.clone()));
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
    _open: mpsc::Sender<Infallible>,
) {
    // Small answers must not wait for the client's next packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let peer: SocketAddr = connection.peer;
    let service = service_fn(move |request| Arc::clone(&connection).answer(request));
    let mut http = pin!(
        http1::Builder::new()
            // Head and body of an answer are small: one buffer and a plain write are cheaper.
            .writev(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut told = pin!(stop.told.notified());
    let (mut listens, mut ending) = (false, false);
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
    use crate::journal::{Encoders, Journal};

    fn edge() -> Arc<Edge> {
        // Nobody listens there: what is asked needs no broker.
        let config = IngestConfig::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:1");
        let encoders = Encoders {
            click: Encoder::new(1),
            track: Encoder::new(2),
            stripe: Encoder::new(3),
        };
        Arc::new(Edge {
            state: Arc::default(),
            journal: Arc::new(Journal::new(&config, encoders, None).unwrap()),
            spool: None,
            secrets: crate::secrets::Secrets::new(None),
            telemetry: crate::telemetry::Telemetry::new(),
            clock: crate::clock::Clock::new().unwrap(),
            render: Box::new(String::new),
            config,
        })
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
        let serving = tokio::spawn(serve(listener, edge(), async {
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
}
