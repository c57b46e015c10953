//! Proxies of the operator's own before the web channels: who is behind them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most addresses of one `X-Forwarded-For` that are looked at.
const MAX_HOPS: usize = 32;

/// Addresses with a prefix in common, e.g. `10.0.0.0/8`; one address is such too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    /// Length of the prefix in bits.
    bits: u32,
}

impl Network {
    /// Whether `address` is one of them; IPv4 in IPv6 is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shr(self.bits).unwrap_or(0);
                own.to_bits() | mask == other.to_bits() | mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shr(self.bits).unwrap_or(0);
                own.to_bits() | mask == other.to_bits() | mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be a network, e.g. 10.0.0.0/8 or 192.0.2.1, not {text:?}");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().map_err(|_| wrong())?,
        };
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// Those that are believed.
#[derive(Debug, Default)]
pub(super) struct Proxies(Vec<Network>);

impl Proxies {
    /// None but these.
    pub fn new(networks: &[Network]) -> Self {
        Self(networks.to_vec())
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who is behind the proxy `peer` by what its headers say: of `X-Forwarded-For` the last that
    /// is no such proxy itself (what stands before it, anybody may have written), else
    /// `X-Real-IP`. `None` where `peer` isn't believed, or says nothing that can be read.
    pub fn client(&self, peer: IpAddr, headers: &[(String, String)]) -> Option<IpAddr> {
        if !self.contains(peer) {
            return None;
        }
        let hops = values(headers, "x-forwarded-for").flat_map(|value| value.split(','));
        let hops: Vec<&str> = hops.collect();
        let mut client = None;
        for hop in hops.into_iter().rev().take(MAX_HOPS) {
            // A hop that can't be read was written by who is not believed.
            let Some(hop) = address(hop) else { break };
            client = Some(hop);
            if !self.contains(hop) {
                return client;
            }
        }
        let real = || values(headers, "x-real-ip").last().and_then(address);
        client.or_else(real)
    }

    /// Whether the client spoke TLS with the proxy `peer`, as it says.
    pub fn is_secure(&self, peer: IpAddr, headers: &[(String, String)]) -> bool {
        let last = values(headers, "x-forwarded-proto").last();
        self.contains(peer) && last.is_some_and(|value| value.trim().eq_ignore_ascii_case("https"))
    }
}

fn values<'a>(
    headers: &'a [(String, String)],
    name: &'a str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .iter()
        .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let plain = hop.parse().ok();
    let with_port = || {
        let address: std::net::SocketAddr = hop.parse().ok()?;
        Some(address.ip())
    };
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let found: Option<IpAddr> = plain.or_else(with_port).or_else(in_brackets);
    found.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        let networks: Vec<Network> = networks.iter().map(|n| n.parse().unwrap()).collect();
        Proxies::new(&networks)
    }

    fn client(peer: &str, headers: &[(&str, &str)]) -> Option<String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<_> = headers.iter().map(own).collect();
        let trusted = proxies(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]);
        let found = trusted.client(peer.parse().unwrap(), &headers)?;
        Some(found.to_string())
    }

    #[test]
    fn networks_hold_what_has_their_prefix() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(
            holds("10.1.2.3/8", "10.0.0.9"),
            "bits behind the prefix don't count"
        );
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("0.0.0.0/0", "255.1.1.1") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "2001:db8::1") && holds("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(
            holds("2001:db8::/33", "2001:db8:7fff::") && !holds("2001:db8::/33", "2001:db8:8000::")
        );
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        assert_eq!(
            "10.0.0.0/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8"
        );
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        let forwarded = |value| [("X-Forwarded-For", value)];
        let behind = |value| client("10.0.0.1", &forwarded(value));
        assert_eq!(behind("203.0.113.9").as_deref(), Some("203.0.113.9"));
        // What stands before the client's own address the client made up.
        assert_eq!(
            behind("1.1.1.1, 203.0.113.9").as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(
            behind("203.0.113.9, 10.2.0.1,192.0.2.1").as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(behind("1.1.1.1, x, 10.2.0.1").as_deref(), Some("10.2.0.1"));
        assert_eq!(behind("203.0.113.9:4711").as_deref(), Some("203.0.113.9"));
        assert_eq!(behind("[2001:470::1]:4711").as_deref(), Some("2001:470::1"));
        assert_eq!(behind("[2001:470::1]").as_deref(), Some("2001:470::1"));
        assert_eq!(behind("::ffff:203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(behind("unknown"), None);
        let two = [
            ("x-forwarded-for", "1.1.1.1"),
            ("X-Forwarded-For", "203.0.113.9"),
        ];
        assert_eq!(client("10.0.0.1", &two).as_deref(), Some("203.0.113.9"));
        let real = [("X-Real-IP", "203.0.113.7")];
        assert_eq!(client("2001:db8::9", &real).as_deref(), Some("203.0.113.7"));
        assert_eq!(client("10.0.0.1", &[]), None);
    }

    #[test]
    fn nobody_else_is_believed() {
        for peer in ["192.0.2.2", "11.0.0.1", "2001:db9::1"] {
            let headers = [
                ("X-Forwarded-For", "203.0.113.9"),
                ("X-Real-IP", "203.0.113.9"),
            ];
            assert_eq!(client(peer, &headers), None, "{peer}");
        }
        let headers = [("X-Forwarded-Proto".to_owned(), "https".to_owned())];
        let trusted = proxies(&["10.0.0.1"]);
        assert!(trusted.is_secure([10, 0, 0, 1].into(), &headers));
        assert!(!trusted.is_secure([10, 0, 0, 2].into(), &headers));
        assert!(!trusted.is_secure([10, 0, 0, 1].into(), &[]));
    }
}
