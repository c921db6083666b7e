//! Whose word about the visitor's address is believed: that of the networks in the settings, and of nobody else.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use ipnet::IpNet;

pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// The visitor of a connection, and whether it is one: a trusted proxy that names nobody asks for itself.
    pub(crate) fn visitor(&self, peer: IpAddr, headers: &HeaderMap) -> (IpAddr, bool) {
        if self.0.is_empty() || !self.trusts(peer) {
            return (peer, true);
        }
        // From the last to the first: each proxy adds the address that it saw, some in a line of their own, and what
        // stands before the first address that none of ours has is anybody's invention.
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let named = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        for text in named {
            match address(text.trim()) {
                Some(ip) if self.trusts(ip) => {}
                Some(ip) => return (ip, true),
                None => break,
            }
        }
        (peer, false)
    }
}

/// Some proxies name the port, too.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    text.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_proxies_saw_is_believed() {
        let proxies = Proxies::new(vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ]);
        for (peer, lines, expected) in [
            // Private, and not in the settings.
            ("192.168.0.1", &["1.1.1.1"][..], ("192.168.0.1", true)),
            ("203.0.113.7", &["1.1.1.1"], ("203.0.113.7", true)),
            ("10.0.0.1", &["1.1.1.1"], ("1.1.1.1", true)),
            ("::ffff:10.0.0.1", &["1.1.1.1"], ("1.1.1.1", true)),
            ("2001:db8::1", &["2001:4860::8"], ("2001:4860::8", true)),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1"], ("1.1.1.1", true)),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.9.9.9"], ("1.1.1.1", true)),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1:51234"], ("1.1.1.1", true)),
            (
                "10.0.0.1",
                &["[2001:4860::8]:443, 10.9.9.9:80"],
                ("2001:4860::8", true),
            ),
            // A proxy that adds a line of its own.
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1"], ("1.1.1.1", true)),
            ("10.0.0.1", &["6.6.6.6, unknown"], ("10.0.0.1", false)),
            ("10.0.0.1", &[], ("10.0.0.1", false)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let (ip, visits) = proxies.visitor(peer.parse().unwrap(), &headers);
            assert_eq!((ip.to_string().as_str(), visits), expected, "{peer} {lines:?}");
        }
        let nobody = Proxies::new(Vec::new());
        assert_eq!(
            nobody.visitor([127, 0, 0, 1].into(), &HeaderMap::new()).0,
            IpAddr::from([127, 0, 0, 1])
        );
    }
}
