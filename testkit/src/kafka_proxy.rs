//! A proxy between a process and the broker that makes the outcomes of its transactions unknown to it, on command.
//!
//! ```text
//!   process ──► proxy ──► broker      every answer that names the broker's address names the proxy's instead
//! ```
//! It knows transactions by their transactional ID and harms only those that have rows of one topic in them. What it
//! did is in its log: a test asserts there that the fault happened, and when.
//!
//! Limits: one broker on 127.0.0.1, and clients that speak the protocol as librdkafka does.

mod faults;
mod frames;

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use faults::{Delivered, Event, Fault, Told};
use faults::{Expect, Faults, Kind, Step};
pub use frames::Producer;

use crate::ports::free_port;

/// See the module. It ends when it is dropped.
pub struct KafkaProxy {
    shared: Arc<Shared>,
    accept: JoinHandle<()>,
}

struct Shared {
    broker: u16,
    own: u16,
    faults: Mutex<Faults>,
}

impl KafkaProxy {
    /// A proxy to the broker at `bootstrap` (`127.0.0.1:PORT`) that harms transactions with rows of topic `watched`.
    ///
    /// # Errors
    /// If the address is another one, or no port is free.
    pub async fn start(bootstrap: &str, watched: &str) -> Result<Self> {
        let port = bootstrap.strip_prefix("127.0.0.1:");
        let port = port.with_context(|| format!("{bootstrap} is not one local broker"))?;
        let own = free_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).await?;
        let faults = Faults::new(watched);
        let shared = Arc::new(Shared {
            broker: port.parse()?,
            own,
            faults: Mutex::new(faults),
        });
        let accept = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, accept })
    }

    /// `127.0.0.1:PORT`, to be given to a process instead of the broker's.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.shared.own)
    }

    /// The next commits of transactions with rows get these faults, each one.
    pub fn arm(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults().armed.extend(faults);
    }

    /// The answer to the next request of this kind (Kafka's number) is lost, with its connection.
    pub fn lose_answer(&self, api: i16) {
        self.shared.faults().losses.push(api);
    }

    /// What it saw and did so far.
    #[must_use]
    pub fn log(&self) -> Vec<Event> {
        self.shared.faults().log.clone()
    }

    /// Transactions with rows that were not asked to end so far: transactional ID and producer.
    #[must_use]
    pub fn open(&self) -> Vec<(String, Producer)> {
        self.shared.faults().open()
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which ends all connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(serve(client, Arc::clone(&shared)));
        }
        while connections.try_join_next().is_some() {}
    }
}

type Writer = tokio::sync::Mutex<OwnedWriteHalf>;
type Expected = Mutex<HashMap<i32, Expect>>;

/// Until either side, or a fault, ends the connection.
async fn serve(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.broker)).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let (to_client, expected) = (Writer::new(to_client), Expected::default());
    let requests = async {
        loop {
            let frame = read(&mut from_client).await?;
            let (correlation, step) = shared.faults().request(&frame);
            let expect = match step {
                Step::Forward(expect) => expect,
                Step::Cut => return Ok(()),
                Step::Tell(error) => {
                    let answer = frames::end_answer(correlation, error);
                    write(&mut *to_client.lock().await, &answer).await?;
                    continue;
                }
                Step::DeliverFirst(kept, expect) => {
                    let answer = deliver(shared.broker, &kept.frame).await?;
                    shared.faults().delivered(kept, &answer);
                    expect
                }
            };
            lock(&expected).insert(correlation, expect);
            write(&mut to_broker, &frame).await?;
        }
    };
    let answers = async {
        loop {
            let mut answer = read(&mut from_broker).await?;
            let correlation = frames::correlation(&answer).unwrap_or_default();
            let expect = lock(&expected).remove(&correlation).unwrap_or_default();
            if expect.kind == Kind::Addresses {
                answer = frames::move_address(&answer, shared.broker, shared.own);
            }
            let Some(answer) = shared.faults().answer(expect, answer) else {
                return Ok(());
            };
            write(&mut *to_client.lock().await, &answer).await?;
        }
    };
    tokio::select! {
        ended = requests => ended,
        ended = answers => ended,
    }
}

fn lock(expected: &Expected) -> MutexGuard<'_, HashMap<i32, Expect>> {
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On a connection of its own, as a packet that was long on its way would come.
async fn deliver(broker: u16, frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await?;
    write(&mut stream, frame).await?;
    read(&mut stream).await
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_i32().await?;
    let mut frame = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write(stream: &mut (impl AsyncWriteExt + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await?;
    stream.flush().await
}
