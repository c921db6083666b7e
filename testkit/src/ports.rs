//! Free loopback ports, outside the range from which the kernel takes ports for outgoing connections.
//!
//! A client that keeps dialling a dead local port inside that range can connect to itself and so take the port away
//! from the server that is about to come back; crash tests do exactly that.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

const LOWEST: u16 = 12_000;
const RANGE_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A port on 127.0.0.1 that nothing listens on.
///
/// # Errors
/// When no free port is found.
pub fn free_port() -> Result<u16> {
    let end = outgoing_range_start().max(LOWEST + 2_000);
    let span = u64::from(end - LOWEST);
    for attempt in 0..1_000_u64 {
        let offset = RandomState::new().hash_one(attempt) % span;
        let port = LOWEST + u16::try_from(offset).unwrap_or(0);
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no free port between {LOWEST} and {end}")
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn outgoing_range_start() -> u16 {
    let range = std::fs::read_to_string(RANGE_FILE).unwrap_or_default();
    range
        .split_whitespace()
        .next()
        .and_then(|low| low.parse().ok())
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
