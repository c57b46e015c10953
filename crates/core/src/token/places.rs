//! Where tokens live: the channels' addresses, and a token's own URL and host names.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::words::{EXTENSIONS, WORDS};
use super::{Mint, TokenChannel};
use crate::Seed;
use crate::settings::Fault;

/// The standard ports of HTTP and HTTPS; a URL needn't say them.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// Where the channels are, as those see them who touch tokens. `None` for a channel that is off.
/// Kept with every token, so that its file comes out the same whatever is configured later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Places {
    /// The web.
    pub http: Option<HostPort>,
    /// The web over TLS, where the certificate is one that clients trust.
    pub https: Option<HostPort>,
    /// Zone whose names all have an address, e.g. `tokens.example.com`.
    pub dns: Option<String>,
    /// Zone of names that don't exist.
    pub nx: Option<String>,
    /// The WireGuard peer.
    pub wireguard: Option<WireguardPlace>,
    /// The MySQL server.
    pub mysql: Option<HostPort>,
    /// Domain of mail addresses.
    pub smtp: Option<String>,
    /// The Kubernetes API server.
    pub kubernetes: Option<KubernetesPlace>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// TCP or UDP port.
    pub port: u16,
}

/// A WireGuard peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireguardPlace {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// Its static public key, base64.
    pub public_key: String,
}

/// A Kubernetes API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesPlace {
    /// E.g. `https://10.0.0.4:6443`.
    pub url: String,
    /// Certificate of its authority, PEM.
    pub ca_pem: String,
}

impl HostPort {
    /// `host:port`, IPv6 in brackets, without the port where it's `standard`.
    fn authority(&self, standard: u16) -> String {
        let host = match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.host.trim_end_matches('.').to_owned(),
        };
        match self.port {
            port if port == standard => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl Places {
    /// Whether tokens can be touched through `channel`; the fault says what to configure.
    ///
    /// # Errors
    /// Where the channel is off.
    pub fn has(&self, channel: TokenChannel) -> Result<(), Fault> {
        let (on, key) = match channel {
            TokenChannel::Http => (self.http.is_some() || self.https.is_some(), "http_port"),
            TokenChannel::Dns => (self.dns.is_some(), "dns_port"),
            TokenChannel::Wireguard => (self.wireguard.is_some(), "wireguard_port"),
            TokenChannel::Mysql => (self.mysql.is_some(), "mysql_port"),
            TokenChannel::Smtp => (self.smtp.is_some(), "smtp_port"),
            TokenChannel::Kubernetes => (self.kubernetes.is_some(), "kubernetes_port"),
        };
        if on {
            return Ok(());
        }
        let name = channel.name();
        Err(Fault::new(
            "kind",
            format!(
                "needs the {name} channel, which is off: set {key} in [tokens] of the configuration"
            ),
        ))
    }

    /// The zone of token names, or the web's host where there is no zone.
    fn zone(&self) -> &str {
        let web = self.http.as_ref().or(self.https.as_ref());
        self.dns
            .as_deref()
            .or(web.map(|place| place.host.as_str()))
            .unwrap_or("localhost")
    }
}

impl Mint<'_> {
    /// The token's own URL, e.g. `http://tokens.example.com/press/4ylq…/outline.html`: up to two
    /// words, the token, a page name, all derived from the token's seed, so that nothing but the
    /// zone is the same in two tokens' URLs. It ends in a page of `extension`, or of any where
    /// that's empty; URLs of one token differ in it alone. Over TLS where that channel is on.
    pub fn url(&self, extension: &str) -> String {
        self.secure_url(extension)
            .unwrap_or_else(|| self.plain_url(extension))
    }

    /// The same without TLS, for clients that don't speak it; over TLS where that channel alone is
    /// on.
    pub fn plain_url(&self, extension: &str) -> String {
        let host = match (&self.places.http, &self.places.https) {
            (Some(http), _) => format!("http://{}", http.authority(HTTP_PORT)),
            (None, Some(https)) => format!("https://{}", https.authority(HTTPS_PORT)),
            (None, None) => format!("http://{}", self.places.zone()),
        };
        host + &self.path(extension)
    }

    /// The same over TLS, where that channel is on.
    fn secure_url(&self, extension: &str) -> Option<String> {
        let https = self.places.https.as_ref()?;
        Some(format!("https://{}", https.authority(HTTPS_PORT)) + &self.path(extension))
    }

    /// The token's own host name, e.g. `4ylq….tokens.example.com`.
    pub fn hostname(&self) -> String {
        format!("{}.{}", self.id, self.places.zone().trim_end_matches('.'))
    }

    /// The token's own name in the zone of names that don't exist; in the usual zone where none is
    /// configured.
    pub fn nx_hostname(&self) -> String {
        match &self.places.nx {
            Some(zone) => format!("{}.{}", self.id, zone.trim_end_matches('.')),
            None => self.hostname(),
        }
    }

    fn path(&self, extension: &str) -> String {
        let seed = self.seed.derive("url");
        let mut path = String::new();
        for label in ["first", "second"].iter().take(up_to(&seed, "words", 2)) {
            path.push('/');
            path.push_str(pick(&seed, label, WORDS));
        }
        let page = pick(&seed, "page", WORDS);
        let extension = match extension {
            "" => pick(&seed, "ext", EXTENSIONS),
            given => given,
        };
        path.push_str(&format!("/{}/{page}.{extension}", self.id));
        path
    }
}

fn up_to(seed: &Seed, label: &str, most: u64) -> usize {
    usize::try_from(seed.number(label, 0, most.saturating_add(1))).unwrap_or(0)
}

fn pick(seed: &Seed, label: &str, list: &[&'static str]) -> &'static str {
    let last = u64::try_from(list.len().saturating_sub(1)).unwrap_or(0);
    list.get(up_to(seed, label, last))
        .copied()
        .unwrap_or("index")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{Timestamp, TokenId};

    const NONE: &BTreeMap<String, String> = &BTreeMap::new();

    fn mint<'a>(id: &'a TokenId, places: &'a Places, byte: u8) -> Mint<'a> {
        Mint {
            id,
            params: NONE,
            files: const { &BTreeMap::new() },
            seed: Seed::new([byte; 32]),
            now: Timestamp::from_secs(0),
            places,
            cloud: None,
        }
    }

    fn web(host: &str, port: u16) -> Option<HostPort> {
        let host = host.to_owned();
        Some(HostPort { host, port })
    }

    #[test]
    fn urls_are_derived_from_the_seed_and_share_nothing_but_the_zone() {
        let places = Places {
            http: web("tokens.example.com", 80),
            ..Places::default()
        };
        let mut shapes = BTreeSet::new();
        for byte in 0..=255 {
            let id = TokenId::from_seed(&Seed::new([byte; 32]));
            let mint = mint(&id, &places, byte);
            let url = mint.url("");
            assert_eq!(url, mint.url(""));
            let path = url.strip_prefix("http://tokens.example.com/").unwrap();
            let parts: Vec<&str> = path.split('/').collect();
            assert!((2..=4).contains(&parts.len()), "{url}");
            let [words @ .., token, page] = parts.as_slice() else {
                panic!("{url}")
            };
            assert_eq!(*token, id.as_str());
            assert!(words.iter().all(|word| WORDS.contains(word)));
            let (page, extension) = page.split_once('.').unwrap();
            assert!(WORDS.contains(&page) && EXTENSIONS.contains(&extension));
            let png = mint.url("png");
            assert_eq!(png.strip_suffix("png"), url.strip_suffix(extension));
            shapes.insert(parts.len());
        }
        assert_eq!(shapes.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn urls_carry_the_port_where_it_is_not_the_standard_one() {
        let id: TokenId = "webwebwebwebwebwebwebweb1".parse().unwrap();
        let at = |http, https| {
            let places = Places {
                http,
                https,
                ..Places::default()
            };
            let mint = mint(&id, &places, 1);
            (mint.url(""), mint.plain_url(""), mint.secure_url("js"))
        };
        let (url, plain, secure) = at(web("t.example", 8080), None);
        assert!(url.starts_with("http://t.example:8080/"));
        assert_eq!((plain, secure), (url, None));
        let (url, plain, secure) = at(web("2001:db8::1", 80), web("t.example", 443));
        assert!(plain.starts_with("http://[2001:db8::1]/"));
        assert!(url.starts_with("https://t.example/"));
        assert!(secure.unwrap().starts_with("https://t.example/"));
        let (url, plain, _) = at(None, web("t.example.", 8443));
        assert!(url.starts_with("https://t.example:8443/"));
        assert_eq!(plain, url);
    }

    #[test]
    fn names_stand_in_their_zone_and_missing_ones_in_theirs_if_there_is_one() {
        let id: TokenId = "dnsdnsdnsdnsdnsdnsdnsdns1".parse().unwrap();
        let mut places = Places {
            http: web("web.example", 80),
            ..Places::default()
        };
        assert_eq!(
            mint(&id, &places, 1).hostname(),
            format!("{id}.web.example")
        );
        places.dns = Some("t.example.".to_owned());
        assert_eq!(
            mint(&id, &places, 1).nx_hostname(),
            format!("{id}.t.example")
        );
        places.nx = Some("nx.example".to_owned());
        let mint = mint(&id, &places, 1);
        assert_eq!(mint.hostname(), format!("{id}.t.example"));
        assert_eq!(mint.nx_hostname(), format!("{id}.nx.example"));
    }

    #[test]
    fn a_channel_that_is_off_says_which_key_turns_it_on() {
        let places = Places {
            smtp: Some("mail.example".to_owned()),
            ..Places::default()
        };
        assert_eq!(places.has(TokenChannel::Smtp), Ok(()));
        let fault = places.has(TokenChannel::Wireguard).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "kind: needs the wireguard channel, which is off: set wireguard_port in [tokens] of \
             the configuration"
        );
    }

    #[test]
    fn there_are_words_enough_and_none_looks_like_a_token() {
        let words: BTreeSet<&&str> = WORDS.iter().collect();
        assert!(words.len() >= 200 && words.len() == WORDS.len());
        assert!(EXTENSIONS.len() >= 8);
        for word in WORDS.iter().chain(EXTENSIONS) {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
            assert!(word.parse::<TokenId>().is_err());
        }
        let marks = ["canary", "token", "mine"];
        assert!(WORDS.iter().all(|word| !marks.contains(word)));
    }
}
