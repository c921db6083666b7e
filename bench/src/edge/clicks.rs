//! `POST /track/click` with 300 bytes of JSON: 10,000 links, 10,000 user agents and 10,000 addresses, each drawn for
//! itself by Zipf's law.

use std::path::Path;

use anyhow::Result;

use super::LINKS;
use super::load::write_requests;
use crate::random::{Zipf, below, mix, pick};

const PATH: &str = "/track/click";
const REQUESTS: u64 = 100_000;
const USER_AGENTS: u64 = 10_000;
const ADDRESSES: u64 = 10_000;
const BODY_BYTES: usize = 300;
const SYSTEMS: [&str; 5] = [
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "iPhone; CPU iPhone OS 18_5 like Mac OS X",
    "Linux; Android 15; Pixel 9",
];

/// Writes clicks for wrk.
pub fn write_clicks(file: &Path) -> Result<()> {
    let (links, agents, addresses) = (
        Zipf::new(LINKS as u64),
        Zipf::new(USER_AGENTS),
        Zipf::new(ADDRESSES),
    );
    let click = |number| {
        let first = mix(number);
        let second = mix(first);
        request(
            links.rank(first),
            agents.rank(second),
            addresses.rank(mix(second)),
        )
    };
    write_requests(file, (0..REQUESTS).map(click))
}

fn request(link: u64, agent: u64, address: u64) -> String {
    let [a, b, c, d, ..] = mix(address).to_le_bytes();
    let body = body(link);
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: edge.bench.test\r\nContent-Type: application/json\r\nUser-Agent: Mozilla/5.0 ({}) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.{} Safari/537.36\r\nX-Forwarded-For: {}.{b}.{c}.{d}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        pick(agent, &SYSTEMS),
        100 + agent % 40,
        1_000 + agent,
        below(mix(agent), 256),
        11 + a % 80,
        body.len(),
    )
}

fn body(link: u64) -> String {
    let start = format!(
        r#"{{"domain":"go.bench.test","key":"l{link:05}","referrer":"https://ref{:02}.example/page","url":"https://shop{:03}.example/p/{link:06}?utm_source=s{:02}&x="#,
        link % 50,
        link % 500,
        link % 20,
    );
    format!("{start:x<width$}\"}}", width = BODY_BYTES - 2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn a_body_is_json_of_300_bytes() {
        for link in [0, 9_999] {
            let body = super::body(link);
            assert_eq!(body.len(), super::BODY_BYTES);
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
        }
    }
}
