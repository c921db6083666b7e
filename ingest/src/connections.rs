//! Open connections: how many there may be, and which of them are given up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::limits::{Limits, counted};

/// The open connections, counted.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A connection that counts until it is dropped.
pub(crate) struct Counted {
    connections: Arc<Connections>,
    ip: Option<IpAddr>,
}

impl Connections {
    /// A place for one more, or which limit it meets. Trusted proxies, which speak for many, have no limit of their own.
    pub(crate) fn enter(
        self: &Arc<Self>,
        ip: IpAddr,
        is_proxy: bool,
        limits: &Limits,
    ) -> Result<Counted, &'static str> {
        let reached = |open: usize, limit: usize| limit > 0 && open >= limit;
        let ip = (!is_proxy && limits.connections_per_ip > 0).then(|| counted(ip));
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reached(open.all, limits.connections) {
            return Err("all");
        }
        if let Some(ip) = ip {
            let own = open.of.entry(ip).or_default();
            if reached(*own, limits.connections_per_ip) {
                return Err("per_ip");
            }
            *own += 1;
        }
        open.all += 1;
        Ok(Counted {
            connections: Arc::clone(self),
            ip,
        })
    }

    pub(crate) fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(ip) = self.ip
            && let Some(own) = open.of.get_mut(&ip)
        {
            *own -= 1;
            if *own == 0 {
                open.of.remove(&ip);
            }
        }
    }
}

/// What a connection has done so far. Counters wrap around: they are compared for equality only.
#[derive(Default)]
pub(crate) struct Pulse {
    begun: AtomicU32,
    ended: AtomicU32,
    reads: AtomicU32,
    reads_before: AtomicU32,
}

impl Pulse {
    /// A request's head is complete.
    pub(crate) fn begin(&self) {
        self.reads_before.store(self.reads.load(Relaxed), Relaxed);
        self.begun.fetch_add(1, Relaxed);
    }

    /// Its answer is there.
    pub(crate) fn end(&self) {
        self.reads_before.store(self.reads.load(Relaxed), Relaxed);
        self.ended.fetch_add(1, Relaxed);
    }
}

/// A stream that counts its reads.
pub(crate) struct Watched {
    pub stream: TcpStream,
    pub pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pulse.reads.fetch_add(1, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Sees that a connection does nothing, at a few looks and at no cost to its requests: a timer for each head took a
/// lock and memory at each request.
pub(crate) struct Patience {
    looks: Interval,
    idle_looks: u128,
    begun: u32,
    slow: u32,
    idle: u128,
}

impl Patience {
    /// None: patient for ever.
    pub(crate) fn new(limits: &Limits) -> Option<Self> {
        let every = Duration::from_millis(limits.head_timeout_ms.div_ceil(2));
        if every.is_zero() {
            return None;
        }
        let mut looks = interval_at(Instant::now() + every, every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let idle = Duration::from_millis(limits.idle_timeout_ms);
        Some(Self {
            looks,
            idle_looks: idle.as_nanos().div_ceil(every.as_nanos()),
            begun: 0,
            slow: 0,
            idle: 0,
        })
    }

    /// Ready with the reason when the connection is to be given up.
    pub(crate) fn poll(&mut self, pulse: &Pulse, context: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            std::task::ready!(self.looks.poll_tick(context));
            let begun = pulse.begun.load(Relaxed);
            if begun != self.begun || begun != pulse.ended.load(Relaxed) {
                (self.begun, self.slow, self.idle) = (begun, 0, 0);
                continue;
            }
            self.idle += 1;
            let unfinished = begun == 0 || pulse.reads.load(Relaxed) != pulse.reads_before.load(Relaxed);
            self.slow = if unfinished { self.slow + 1 } else { 0 };
            // At three looks two whole intervals have passed.
            if self.slow >= 3 {
                return Poll::Ready("slow");
            }
            if self.idle > self.idle_looks {
                return Poll::Ready("idle");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let limits = Limits {
            connections: 3,
            connections_per_ip: 2,
            ..Limits::default()
        };
        let all = Arc::new(Connections::default());
        let enter = |last: u8, is_proxy| all.enter([192, 0, 2, last].into(), is_proxy, &limits);
        let first = enter(1, false).ok().unwrap();
        let _second = enter(1, false).ok().unwrap();
        assert_eq!(enter(1, false).err(), Some("per_ip"));
        let proxy = enter(1, true).ok().unwrap();
        assert_eq!(enter(2, false).err(), Some("all"));
        assert_eq!(all.open(), 3);
        drop((first, proxy));
        assert_eq!(all.open(), 1);
        let _again = enter(1, false).ok().unwrap();
        assert_eq!(all.0.lock().unwrap().of.len(), 1);
    }
}
