//! Token channels: where touched tokens are noticed. One on HTTP, one on DNS (UDP and TCP), and those
//! that not every installation has: WireGuard, MySQL, mail, Kubernetes.
//!
//! *Invariant:* nobody learns from an answer, its bytes or its time, whether a token exists: every
//! answer is held for [`FLOOR`] after its request has arrived, known, disabled and unknown tokens
//! alike. A touch of a known token is committed before its answer leaves; only a commit that takes
//! longer than the floor shows. What can't be committed within [`PATIENCE`] gets no answer: clients of
//! DNS and mail try again, and nobody has been told anything that is lost.

mod dns;
mod http;
mod https;
pub mod ignore;
mod keeper;
mod kubernetes;
mod lookups;
mod mysql;
mod others;
mod probes;
mod proxies;
mod scanner;
mod slots;
mod smtp;
mod sources;
mod touch;
mod wireguard;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coalmine_core::token::{HostPort, Places, TokenChannel};
use coalmine_core::{TokenId, TokenKind};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Shared;
use crate::serve::ConsoleConfig;

pub(crate) use dns::NAME_SERVER;
pub use https::{AcmeSettings, CertificateOrigin, CertificateState, LETS_ENCRYPT, issuer_of};
use others::BoundOthers;
pub use others::Others;
pub use probes::{Arrival, Probes};
pub use proxies::Network;
pub use sources::SourceFiles;
pub(crate) use sources::Sources;
pub(crate) use touch::common as touch_fields;
use touch::{Keeper, Touches};

/// How long after its arrival the earliest answer to a request leaves.
pub const FLOOR: Duration = Duration::from_millis(30);
/// How long an answer waits at most for its touch to be remembered. Remembering goes on.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often the list of domains is read.
const FOLLOW: Duration = Duration::from_secs(5);
/// Pause after a failed accept, e.g. when the process is out of file descriptors.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// Where the channels that listen are, as those see them who touch tokens.
pub fn places(config: &ConsoleConfig) -> Places {
    let at = |address: SocketAddr| HostPort {
        host: config.zone.clone(),
        port: address.port(),
    };
    let named = config.token_dns.is_some() && config.zone.parse::<IpAddr>().is_err();
    Places {
        http: config.token_http.map(at),
        https: https_place(config, &config.zone),
        dns: named.then(|| config.zone.clone()),
        nx: config.nx_zone.clone().filter(|_| named),
        wireguard: config.token_others.wireguard_place(&config.zone),
        mysql: config.token_others.mysql.map(at),
        smtp: config.token_others.smtp.map(|_| smtp::domain(&config.zone)),
        kubernetes: config.token_others.kubernetes_place(&config.zone),
    }
}

/// Where `host` is reached over TLS, if it is.
pub fn https_place(config: &ConsoleConfig, host: &str) -> Option<HostPort> {
    let plain = config.token_http.is_some();
    config.token_others.https_place(host, plain)
}

/// The host name of a token that was made before names were kept.
pub fn hostname_for(config: &ConsoleConfig, id: &TokenId) -> String {
    format!("{id}.{}", config.zone.trim_end_matches('.'))
}

/// The channels' listeners, bound but silent until [`Bound::start`].
#[derive(Debug)]
pub struct Bound {
    /// Where the HTTP channel listens, or why it doesn't and what to do about it.
    pub http: Result<SocketAddr, String>,
    /// Where the DNS channel listens (UDP and TCP), or why it doesn't and what to do about it.
    pub dns: Result<SocketAddr, String>,
    /// The same of the other channels that are configured.
    pub others: Vec<(TokenChannel, Result<SocketAddr, String>)>,
    http_listener: Option<TcpListener>,
    dns_listeners: Option<(dns::Zone, dns::Socket, TcpListener)>,
    other_listeners: BoundOthers,
    proxies: Arc<proxies::Proxies>,
}

/// Binds what `config` asks for, and writes the real addresses back into it, so that token URLs
/// carry the real port. A channel that cannot be bound is a message, not an error: the Console
/// works without it.
pub async fn bind(config: &mut ConsoleConfig) -> Bound {
    let mut bound = Bound {
        http: Err("turned off".to_owned()),
        dns: Err("turned off".to_owned()),
        others: Vec::new(),
        http_listener: None,
        dns_listeners: None,
        other_listeners: BoundOthers::default(),
        proxies: Arc::new(proxies::Proxies::new(&config.token_others.proxies)),
    };
    let issuer = config.token_others.acme.as_ref();
    let issuer = issuer.and_then(|acme| issuer_of(&acme.directory));
    let proofs = Arc::new(dns::Proofs::of(issuer));
    if let Some(address) = config.token_http {
        bound.http = match bind_http(address).await {
            Ok((listener, real)) => {
                bound.http_listener = Some(listener);
                config.token_http = Some(real);
                Ok(real)
            }
            Err(cause) => Err(remedy("HTTP", address, &cause)),
        };
    }
    if let Some(address) = config.token_dns {
        let zone = dns::Zone::new(&config.zone, config.public_address)
            .and_then(|zone| zone.with_nx(config.nx_zone.as_deref()))
            .map(|zone| zone.with_proofs(Arc::clone(&proofs)));
        bound.dns = match zone {
            Err(problem) => Err(problem),
            Ok(zone) => match bind_dns(address).await {
                Ok((udp, tcp, real)) => {
                    bound.dns_listeners = Some((zone, udp, tcp));
                    config.token_dns = Some(real);
                    Ok(real)
                }
                Err(cause) => Err(remedy("DNS", address, &cause)),
            },
        };
    }
    let proofs = bound.dns.is_ok().then_some(&proofs);
    (bound.other_listeners, bound.others) = others::bind(config, proofs).await;
    bound
}

impl Bound {
    /// What the HTTPS channel shows, now and later.
    pub fn certificates(&self) -> watch::Receiver<Vec<CertificateState>> {
        self.other_listeners.certificates()
    }

    /// Starts answering; `sources` says what is known of those who touch. The tasks run until
    /// they're aborted.
    pub(crate) fn start(self, console: &Shared, sources: Sources) -> Vec<JoinHandle<()>> {
        let clerk = keeper::Clerk::new(Arc::clone(console));
        self.serve(clerk, console.catalogue.tokens, sources)
    }

    fn serve<K: Keeper>(
        self,
        keeper: K,
        kinds: &'static [&'static TokenKind],
        sources: Sources,
    ) -> Vec<JoinHandle<()>> {
        let sources = Arc::new(sources);
        let mut tasks = vec![tokio::spawn(Arc::clone(&sources).follow())];
        let touches = Arc::new(Touches::new(keeper, kinds, sources));
        if let Some(listener) = self.http_listener {
            tasks.push(tokio::spawn(http::serve(
                listener,
                Arc::clone(&self.proxies),
                Arc::clone(&touches),
            )));
        }
        if let Some((zone, udp, tcp)) = self.dns_listeners {
            let zone = Arc::new(zone);
            tasks.push(tokio::spawn(follow(
                Arc::clone(&touches),
                Arc::clone(&zone),
            )));
            tasks.push(tokio::spawn(dns::serve_udp(
                udp,
                Arc::clone(&zone),
                Arc::clone(&touches),
            )));
            tasks.push(tokio::spawn(dns::serve_tcp(
                tcp,
                zone,
                Arc::clone(&touches),
            )));
        }
        tasks.extend(self.other_listeners.serve(&self.proxies, &touches));
        tasks
    }
}

/// Lets the zone answer for the domains that the Console's owner adds or takes away.
async fn follow<K: Keeper>(touches: Arc<Touches<K>>, zone: Arc<dns::Zone>) {
    loop {
        zone.set_domains(&touches.domains().await);
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Has made-up bytes read by one of the channels other than DNS; the first byte says which. For the fuzzer.
pub fn exercise(input: &[u8]) {
    let Some((which, input)) = input.split_first() else {
        return;
    };
    match which % 4 {
        0 => smtp::exercise(input),
        1 => mysql::exercise(input),
        2 => wireguard::exercise(input),
        _ => http::exercise(input),
    }
}

/// Has a made-up DNS query read, and these kinds told of the name in it: bytes after a zero, labels
/// left of a token after any other byte, which is the type asked for. For the fuzzer.
pub fn exercise_names(input: &[u8], kinds: &[&TokenKind]) {
    dns::exercise(input, kinds);
}

/// What changes when a file is written or another takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

/// Follows links: certbot, for one, changes where they lead.
fn stamp(file: &Path) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(file)?;
    Ok(Stamp {
        modified: about.modified()?,
        length: about.len(),
        inode: about.ino(),
    })
}

/// Waits until the answer to what arrived at `arrival` may leave.
async fn floor(arrival: Instant) {
    tokio::time::sleep_until(arrival + FLOOR).await;
}

async fn bind_http(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let real = listener.local_addr()?;
    Ok((listener, real))
}

/// UDP and TCP on the same port, also where the system chooses it.
async fn bind_dns(address: SocketAddr) -> io::Result<(dns::Socket, TcpListener, SocketAddr)> {
    const TRIES: usize = 8;
    let mut tried = 0;
    loop {
        tried += 1;
        let tcp = TcpListener::bind(address).await?;
        let real = tcp.local_addr()?;
        match dns::Socket::bind(real).await {
            Ok(udp) => return Ok((udp, tcp, real)),
            Err(_) if address.port() == 0 && tried < TRIES => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Why `channel` cannot listen on `address`, and what to do about it, in one line.
fn remedy(channel: &str, address: SocketAddr, cause: &io::Error) -> String {
    let fix = match cause.kind() {
        io::ErrorKind::AddrInUse if address.port() == 53 => {
            "another program listens there; if it is systemd-resolved, put DNSStubListener=no into \
             /etc/systemd/resolved.conf and run `systemctl restart systemd-resolved`, or listen on \
             this machine's own address instead of all"
        }
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another address or port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the right CAP_NET_BIND_SERVICE; grant it, or choose a port from \
             1024 up and forward to it"
        }
        io::ErrorKind::AddrNotAvailable => "no network interface of this machine has that address",
        _ => "choose another address or port",
    };
    format!("the {channel} channel cannot listen on {address} ({cause}): {fix}")
}

#[cfg(test)]
mod tests;
