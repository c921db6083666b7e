//! A million links in topic `config`, and `GET /{key}` over them: a few links get most of the clicks (Zipf).

use std::path::Path;

use anyhow::{Context as _, Result};
use tributary_avro::{Config, Topic};
use tributary_domain::rules::{Link, ProgramFile, parse};

use super::load::write_requests;
use crate::ground::Ground;
use crate::kafka::Bulk;
use crate::random::{Zipf, mix};
use crate::streams::now;

const HOST: &str = "go.bench.test";
const PARTNERS: u64 = 200;
/// As many as an edge remembers visits by default.
const REQUESTS: u64 = 500_000;
/// As in the click call's load.
const VISITORS: u64 = 10_000;

/// Declares so many links of one workspace, as `tributary apply` does: straight into the topic, since a program file of
/// a million links is nobody's.
pub async fn declare(ground: &Ground, links: u64) -> Result<()> {
    let file = program()?;
    let encoder = ground.encoder::<Config>(Topic::Config).await?;
    let topic = ground.kafka.topic(Topic::Config);
    let at = now();
    let bulk = Bulk::new(&ground.kafka, 50)?;
    let send = |config: &Config| -> Result<()> {
        let key = format!("{}/{}/{}", config.workspace, config.kind, config.id);
        bulk.send(&topic, key.as_bytes(), &encoder.encode(config)?, at)
    };
    for config in file.configs(at) {
        send(&config)?;
    }
    let sample = file.links.first().context("the program has a link")?;
    for number in 0..links {
        send(&link(sample, number).config(&file.workspace, at))?;
    }
    bulk.finish()
}

/// Writes visits of the first so many links for wrk: the one that is clicked most often gets a tenth of them, of 10,000.
pub fn write_visits(file: &Path, visited: u64) -> Result<()> {
    let links = Zipf::new(visited);
    let visit = |number: u64| {
        let hash = mix(number);
        request(&key(links.rank(hash)), mix(mix(hash) % VISITORS))
    };
    write_requests(file, (0..REQUESTS).map(visit))
}

fn request(key: &str, visitor: u64) -> String {
    let [a, b, c, d, e, ..] = visitor.to_le_bytes();
    format!(
        "GET /{key} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {}.{b}.{c}.{d}\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; \
         Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36\r\nAccept: text/html\r\n\
         Referer: https://ref{:02}.example/page\r\n\r\n",
        11 + a % 80,
        100 + e % 40,
        e % 50,
    )
}

/// Keys have no order, as those that the API makes.
fn key(number: u64) -> String {
    crate::random::text(mix(number ^ 0x006b_6579), 9)
}

fn link(sample: &Link, number: u64) -> Link {
    Link {
        id: format!("link_{}", crate::random::text(mix(number), 16)),
        key: key(number),
        url: format!("https://shop.example/products/{number}?utm_source=partner&utm_medium=affiliate"),
        partner: format!("p{:03}", number % PARTNERS),
        ..sample.clone()
    }
}

fn program() -> Result<ProgramFile> {
    let mut text = format!(
        "workspace:\n  id: bench\n  domains: [{HOST}]\nprograms:\n  - id: main\n    rewards:\n      \
         - {{id: base, event: sale, percent: 20}}\nlinks:\n  - {{key: l0, url: 'https://shop.example/', partner: p000}}\n\
         partners:\n"
    );
    for partner in 0..PARTNERS {
        text.push_str(&format!("  - {{id: p{partner:03}}}\n"));
    }
    parse(&text).map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn links_have_ids_and_keys_of_their_own() {
        let file = super::program().unwrap();
        let sample = file.links.first().unwrap();
        let links: Vec<_> = (0..100_000).map(|n| super::link(sample, n)).collect();
        let keys: BTreeSet<_> = links.iter().map(|link| &link.key).collect();
        let ids: BTreeSet<_> = links.iter().map(|link| &link.id).collect();
        assert_eq!((keys.len(), ids.len()), (100_000, 100_000));
        assert!(links.iter().all(|link| !link.domain.is_empty()));
    }
}
