//! The configuration file: TOML into typed structs, every fault at once with its key and its fix.
//!
//! What a decoy takes is the decoy's business: its section is flattened into the dotted names that
//! the decoy declares and handed to its own parser.

pub mod cloud;
mod read;
pub mod schema;
pub mod show;
pub mod wire;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use coalmine_console::channels::{AcmeSettings, Network, SourceFiles};
use coalmine_console::mailboxes::ImapServer;
use coalmine_core::settings::Fault;
use coalmine_core::{DecoyKind, Machine};
use coalmine_sensor::PortscanSettings;
use serde_json::{Map, Value};

use crate::personality::Personality;

pub use cloud::CloudPart;

/// Most birds of one configuration.
pub const MAX_BIRDS: usize = 256;
/// Most servers of `[[tokens.imap]]`.
pub const MAX_IMAP: usize = 16;
/// Most mailboxes of one of them.
pub const MAX_MAILBOXES: usize = 10_000;
/// Most instances of one kind of decoy in one bird.
pub const MAX_INSTANCES: usize = 16;
/// Most instances of a kind whose instances have numbers.
pub const MAX_NUMBERED: usize = 10;
/// The setting that tells the number of an instance. Kinds that declare it have numbered instances:
/// the API calls them `tcpbanner_1` and so on, and each has a standard port of its own.
const NUMBER: &str = "banner_id";
/// Where tokens are touched over HTTP unless said otherwise. Not 80: that's a decoy's.
pub const TOKEN_HTTP_PORT: u16 = 8000;
/// Where tokens are touched over DNS unless said otherwise.
pub const TOKEN_DNS_PORT: u16 = 53;
/// Where the Console listens unless said otherwise.
pub const CONSOLE: &str = "127.0.0.1:8443";

/// The whole configuration, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The Console's part.
    pub console: ConsolePart,
    /// The token channels' part.
    pub tokens: TokensPart,
    /// Operators' accounts at clouds.
    pub cloud: CloudPart,
    /// The birds, one or more.
    pub birds: Vec<BirdPart>,
}

/// `[console]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsolePart {
    /// Where API and page listen.
    pub listen: SocketAddr,
    /// More names and addresses that its certificate is for.
    pub names: Vec<String>,
    /// Whether sources are looked up in the reverse DNS.
    pub reverse_lookups: bool,
}

/// `[tokens]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokensPart {
    /// The address both channels listen on.
    pub address: IpAddr,
    /// Zone of DNS tokens and host of token URLs.
    pub zone: String,
    /// Zone of names that don't exist, for tokens that are better not answered.
    pub nx_zone: Option<String>,
    /// The address that names in the zone resolve to.
    pub public_address: IpAddr,
    /// Port of the HTTP channel before the shift; `None` turns it off.
    pub http_port: Option<u16>,
    /// Port of the HTTPS channel before the shift; `None` turns it off.
    pub https_port: Option<u16>,
    /// Port of the DNS channel before the shift; `None` turns it off.
    pub dns_port: Option<u16>,
    /// Port of the WireGuard channel before the shift; `None` turns it off.
    pub wireguard_port: Option<u16>,
    /// Port of the MySQL channel before the shift; `None` turns it off.
    pub mysql_port: Option<u16>,
    /// Port of the mail channel before the shift; `None` turns it off.
    pub smtp_port: Option<u16>,
    /// Port of the Kubernetes channel before the shift; `None` turns it off.
    pub kubernetes_port: Option<u16>,
    /// Files about the addresses of those who touch tokens.
    pub sources: SourceFiles,
    /// Servers whose mailboxes take mails of tokens: `[[tokens.imap]]`.
    pub imap: Vec<ImapServer>,
    /// Certificates of the HTTPS channel.
    pub certificates: Vec<Certificate>,
    /// Where it asks for certificates.
    pub acme: Option<AcmeSettings>,
    /// Proxies before the web channels whose word on the source counts.
    pub trusted_proxies: Vec<Network>,
}

/// One `[[bird]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BirdPart {
    /// Its name.
    pub name: String,
    /// What the operator says of its place.
    pub description: String,
    /// The address its services listen on.
    pub address: IpAddr,
    /// What it looks like.
    pub personality: &'static Personality,
    /// Its operating system and its domain.
    pub machine: Machine,
    /// Every service there is, also those turned off.
    pub services: Vec<ServicePart>,
    /// Whether and how port scans are told of.
    pub portscan: PortscanPart,
}

/// `[bird.portscan]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PortscanPart {
    /// Whether they are.
    pub enabled: bool,
    /// What counts as one.
    pub settings: PortscanSettings,
}

/// One service of a bird.
#[derive(Clone, Debug)]
pub struct ServicePart {
    /// What it is.
    pub kind: &'static DecoyKind,
    /// Whether it's offered.
    pub enabled: bool,
    /// Name of the instance; empty where the kind has none.
    pub name: String,
    /// Port before the shift.
    pub port: u16,
    /// The kind's own settings, all of them.
    pub settings: Map<String, Value>,
    /// The operator's own certificate.
    pub certificate: Option<Certificate>,
    /// Where it stands in the file, e.g. `bird[0].ftp`.
    pub key: String,
}

impl PartialEq for ServicePart {
    fn eq(&self, other: &Self) -> bool {
        self.kind.id == other.kind.id
            && (self.enabled, &self.name, self.port) == (other.enabled, &other.name, other.port)
            && (&self.settings, &self.certificate) == (&other.settings, &other.certificate)
    }
}

/// A certificate the operator brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The files it came from: chain and key.
    pub files: (PathBuf, PathBuf),
    /// Their contents, PEM.
    pub pem: (String, String),
}

/// What a configuration stands on: the command line and the installation.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Every decoy there is.
    pub kinds: Vec<&'static DecoyKind>,
    /// The address of decoys and token channels where the file names none.
    pub listen: IpAddr,
    /// The address that others reach this machine at.
    pub public_address: IpAddr,
    /// Ending of made-up names, kept by the installation, e.g. `4f2a`.
    pub tag: String,
    /// The zone made up for this installation.
    pub zone: String,
    /// Relative paths of the file start here.
    pub folder: PathBuf,
}

impl Config {
    /// Reads a configuration; an empty text gives the default one.
    ///
    /// # Errors
    /// Every fault there is, each with the key it's at.
    pub fn parse(text: &str, ground: &Ground) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let config = read::config(text, ground, &mut faults);
        if let Some(config) = &config {
            faults.extend(config.clashes());
        }
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    /// Reads a configuration file, or the default one without a file.
    ///
    /// # Errors
    /// As [`Config::parse`]; a file that can't be read is a fault too.
    pub fn load(file: Option<&Path>, ground: &Ground) -> Result<Self, Vec<Fault>> {
        let Some(file) = file else {
            return Self::parse("", ground);
        };
        let text = std::fs::read_to_string(file).map_err(|cause| {
            vec![Fault::new(
                file.display().to_string(),
                format!("can't be read: {cause}"),
            )]
        })?;
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        Self::parse(
            &text,
            &Ground {
                folder,
                ..ground.clone()
            },
        )
    }

    /// The lowest port that isn't the Console's, before the shift.
    pub fn lowest_port(&self) -> Option<u16> {
        self.claims()
            .filter(|claim| claim.shifts)
            .map(|claim| claim.port)
            .min()
    }

    /// What is wrong once `shift` has been added to every port of decoys and token channels.
    pub fn shift_faults(&self, shift: u16) -> Vec<Fault> {
        let console = self.console.listen;
        self.claims()
            .filter(|claim| claim.shifts)
            .filter_map(|claim| match claim.port.checked_add(shift) {
                None => Some(Fault::new(
                    claim.key,
                    format!("port {} + {shift} is beyond 65535; choose a smaller --port-shift or another port", claim.port),
                )),
                Some(port) if port == console.port() && overlap(claim.address, console.ip()) && claim.transport == "tcp" => {
                    Some(Fault::new(
                        claim.key,
                        format!("port {port}, the shift by {shift} included, is the Console's; choose another --port-shift or another port"),
                    ))
                }
                Some(_) => None,
            })
            .collect()
    }

    /// Ports that two services claim on one address.
    fn clashes(&self) -> Vec<Fault> {
        let claims: Vec<Claim> = self.claims().collect();
        let mut faults = Vec::new();
        for (n, late) in claims.iter().enumerate() {
            let clash = claims.iter().take(n).find(|early| {
                early.port == late.port
                    && early.transport == late.transport
                    && overlap(early.address, late.address)
            });
            if let Some(early) = clash {
                faults.push(Fault::new(
                    &late.key,
                    format!(
                        "port {}/{} is claimed by {} already; give one of them another port or address",
                        late.port, late.transport, early.key
                    ),
                ));
            }
        }
        faults
    }

    fn claims(&self) -> impl Iterator<Item = Claim> + '_ {
        let console = Claim {
            key: "console.listen".to_owned(),
            address: self.console.listen.ip(),
            transport: "tcp",
            port: self.console.listen.port(),
            shifts: false,
        };
        let token = |key: &str, transport, port| Claim {
            key: format!("tokens.{key}"),
            address: self.tokens.address,
            transport,
            port,
            shifts: true,
        };
        let http = self
            .tokens
            .http_port
            .map(|port| token("http_port", "tcp", port));
        let dns = self.tokens.dns_port.into_iter().flat_map(move |port| {
            [
                token("dns_port", "udp", port),
                token("dns_port", "tcp", port),
            ]
        });
        let birds = self.birds.iter().flat_map(|bird| {
            bird.services
                .iter()
                .filter(|s| s.enabled)
                .flat_map(|service| {
                    service.kind.transports.iter().map(|transport| Claim {
                        key: format!("{}.port", service.key),
                        address: bird.address,
                        transport: transport.name(),
                        port: service.port,
                        shifts: true,
                    })
                })
        });
        let others = [
            ("https_port", "tcp", self.tokens.https_port),
            ("wireguard_port", "udp", self.tokens.wireguard_port),
            ("mysql_port", "tcp", self.tokens.mysql_port),
            ("smtp_port", "tcp", self.tokens.smtp_port),
            ("kubernetes_port", "tcp", self.tokens.kubernetes_port),
        ]
        .into_iter()
        .filter_map(move |(key, transport, port)| Some(token(key, transport, port?)));
        std::iter::once(console)
            .chain(birds)
            .chain(http)
            .chain(dns)
            .chain(others)
    }
}

/// Whether the instances of `kind` have numbers.
fn is_numbered(kind: &DecoyKind) -> bool {
    kind.instances && (kind.settings)().iter().any(|s| s.name == NUMBER)
}

/// Most instances of `kind` in one bird.
fn most_instances(kind: &DecoyKind) -> usize {
    if is_numbered(kind) {
        MAX_NUMBERED
    } else {
        MAX_INSTANCES
    }
}

/// The standard port of instance `number` of `kind`; the first is 1.
fn standard_port(kind: &DecoyKind, number: u16) -> u16 {
    if is_numbered(kind) {
        kind.port.saturating_add(number.saturating_sub(1))
    } else {
        kind.port
    }
}

impl ServicePart {
    /// Its number, where instances of its kind have one.
    fn number(&self) -> Option<u16> {
        let number = self.settings.get(NUMBER)?.as_u64()?;
        u16::try_from(number).ok()
    }
}

/// A port that something wants.
struct Claim {
    key: String,
    address: IpAddr,
    transport: &'static str,
    port: u16,
    shifts: bool,
}

/// Whether both can't listen on the same port. `::` takes IPv4 too on Linux.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b
        || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
        || (b.is_unspecified() && (b.is_ipv6() || a.is_ipv4()))
}
