//! Listeners, TLS, first-start secrets, start and stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use coalmine_bus::Subscriber;
use tokio::task::JoinHandle;

use crate::{Catalogue, ConsoleError, Shared};

/// What the operator configured.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// The Console's own folder, e.g. `DIR/console`.
    pub dir: PathBuf,
    /// Store URL, e.g. `sqlite:DIR/coalmine.db`.
    pub store: String,
    /// Where API and page listen (TLS).
    pub listen: SocketAddr,
    /// More names and addresses that the certificate is for.
    pub names: Vec<String>,
    /// The zone of DNS tokens and the host of token URLs, e.g. `tokens.example.com`.
    pub zone: String,
    /// The address that names in the zone resolve to.
    pub public_address: std::net::IpAddr,
    /// HTTP channel; `None` turns it off.
    pub token_http: Option<SocketAddr>,
    /// DNS channel, UDP and TCP; `None` turns it off.
    pub token_dns: Option<SocketAddr>,
    /// Whether sources are looked up in the reverse DNS.
    pub reverse_lookups: bool,
    /// Program version.
    pub version: &'static str,
}

/// A running Console.
#[derive(Debug)]
pub struct Running {
    /// Where it listens, with the real port.
    pub address: SocketAddr,
    /// `https://HOST:PORT`.
    pub url: String,
    /// The private CA's certificate, PEM.
    pub ca_file: PathBuf,
    /// INI file for API clients.
    pub client_config: PathBuf,
    /// The administrator's first password.
    pub page_password_file: PathBuf,
    /// Real address of the HTTP channel, or why it isn't there.
    pub token_http: Result<SocketAddr, String>,
    /// Real address of the DNS channel, or why it isn't there.
    pub token_dns: Result<SocketAddr, String>,
    pub(crate) console: Option<Shared>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for crate::Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

/// Starts the Console: opens the store, makes secrets at first start, listens.
///
/// # Errors
/// Whatever keeps it from working; token channels alone may fail and are reported in [`Running`].
pub async fn start(
    config: ConsoleConfig,
    catalogue: Catalogue,
    sightings: Subscriber,
) -> Result<Running, ConsoleError> {
    let _ = (config, catalogue, sightings);
    Err(ConsoleError::Secrets("not built yet".to_owned()))
}
