//! The HTTPS channel: the HTTP channel inside TLS, HTTP/1.1 alone. Its certificates come from the
//! operator's files, or from a certificate authority that is asked over ACME (RFC 8555); until one is
//! there, from ourselves.

mod acme;
mod certificates;
mod orders;

#[cfg(test)]
pub(super) mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::Timestamp;
use coalmine_core::token::TokenChannel;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::certificates::Certificates;
pub(super) use self::certificates::fit;
use self::orders::Orders;
use super::dns::Proofs;
use super::http::{MAX_CONNECTIONS, MAX_PER_SOURCE, Talker, converse, place};
use super::proxies::Proxies;
use super::slots::{self, Slots};
use super::touch::{Keeper, Touches};
use crate::ConsoleError;
use crate::serve::ConsoleConfig;

pub use self::acme::{LETS_ENCRYPT, issuer_of};

/// Longest TLS handshake.
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);

/// First byte of TLS (RFC 8446 section 5.1: `handshake`).
const HANDSHAKE: u8 = 22;

/// Where certificates are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// URL of the authority's directory.
    pub directory: String,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// PEM file of the authority that the directory's own certificate is from; `None` stands for
    /// those that the system trusts.
    pub authority: Option<PathBuf>,
}

/// A certificate that the channel shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateState {
    /// Names that it's for.
    pub names: Vec<String>,
    /// Where it is from.
    pub origin: CertificateOrigin,
    /// Its last moment.
    pub until: Timestamp,
    /// Why there is no newer or better one, where one was wanted.
    pub problem: Option<String>,
}

/// Where a certificate is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateOrigin {
    /// The operator's files.
    File,
    /// An authority that was asked.
    Acme,
    /// Ourselves: clients refuse it.
    SelfSigned,
}

impl CertificateOrigin {
    /// `file`, `acme` or `self-signed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Acme => "acme",
            Self::SelfSigned => "self-signed",
        }
    }
}

/// What the channel shows in TLS.
pub(super) struct Face {
    tls: TlsAcceptor,
    mail: TlsAcceptor,
    certificates: Arc<Certificates>,
    files: Vec<(PathBuf, PathBuf)>,
    orders: Option<Orders>,
}

/// The channel's certificates in TLS for others than browsers.
#[derive(Clone)]
pub(super) struct Shown {
    tls: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl Shown {
    /// What mail comes in by. `None` while our own certificate is all that the zone has: a mail server
    /// that looks at it would deliver nothing, which it does in the clear.
    pub fn for_mail(&self) -> Option<TlsAcceptor> {
        let trusted = self.certificates.is_trusted(crate::now());
        trusted.then(|| self.tls.clone())
    }
}

impl std::fmt::Debug for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Face")
    }
}

impl Face {
    /// With the operator's certificates, those issued earlier, and one of our own. `proofs` is what
    /// the DNS channel shows to authorities; `None` where that channel is off.
    ///
    /// # Errors
    /// Where a file can't be read or written, or holds something else.
    pub fn of(config: &ConsoleConfig, proofs: Option<&Arc<Proofs>>) -> Result<Self, ConsoleError> {
        let wanted = &config.token_others;
        let certificates = Arc::new(Certificates::new(&config.zone, crate::now())?);
        certificates.read_files(&wanted.https_files)?;
        let orders = match &wanted.acme {
            None => None,
            Some(settings) => {
                let orders = Orders::open(config, settings, &certificates, proofs)?;
                proofs.is_some().then_some(orders)
            }
        };
        Ok(Self {
            tls: acceptor(&certificates, &[b"http/1.1"])?,
            mail: acceptor(&certificates, &[])?,
            certificates,
            files: wanted.https_files.clone(),
            orders,
        })
    }

    /// Names that the operator's own certificates are for.
    pub fn file_names(&self) -> Vec<String> {
        self.certificates.file_names()
    }

    /// What it shows, now and later.
    pub fn states(&self) -> watch::Receiver<Vec<CertificateState>> {
        self.certificates.states()
    }

    /// What it shows, for the mail channel.
    pub fn shown(&self) -> Shown {
        Shown {
            tls: self.mail.clone(),
            certificates: Arc::clone(&self.certificates),
        }
    }

    /// Starts the channel and what keeps its certificates fresh.
    pub fn serve<K: Keeper>(
        self,
        listener: TcpListener,
        proxies: Arc<Proxies>,
        touches: &Arc<Touches<K>>,
    ) -> Vec<JoinHandle<()>> {
        let accept = accept(listener, self.tls, proxies, Arc::clone(touches));
        let mut tasks = vec![tokio::spawn(accept)];
        if !self.files.is_empty() {
            let certificates = Arc::clone(&self.certificates);
            tasks.push(tokio::spawn(certificates.follow(self.files)));
        }
        if let Some(orders) = self.orders {
            let touches = Arc::clone(touches);
            tasks.push(tokio::spawn(Box::pin(orders.run(touches))));
        }
        tasks
    }
}

/// Accepts until stopped.
async fn accept<K: Keeper>(
    listener: TcpListener,
    tls: TlsAcceptor,
    proxies: Arc<Proxies>,
    touches: Arc<Touches<K>>,
) {
    let slots = Slots::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    let place = |source| place(&slots, &proxies, source);
    slots::accept(listener, place, |stream, peer, local| {
        let talker = Talker {
            peer,
            local,
            channel: TokenChannel::Http,
            tls: true,
            wrong_port: false,
            client_certificate: None,
            proxies: Arc::clone(&proxies),
        };
        Box::pin(connection(
            stream,
            talker,
            tls.clone(),
            Arc::clone(&touches),
        ))
    })
    .await;
}

async fn connection<K: Keeper>(
    stream: TcpStream,
    talker: Talker,
    tls: TlsAcceptor,
    touches: Arc<Touches<K>>,
) {
    let mut first = [0; 1];
    let Ok(Ok(1)) = timeout(MAX_HANDSHAKE, stream.peek(&mut first)).await else {
        return;
    };
    // However a connection ends, it's the peer's business.
    if first != [HANDSHAKE] {
        let talker = Talker {
            tls: false,
            wrong_port: true,
            ..talker
        };
        let _ = converse(stream, &talker, &touches).await;
        return;
    }
    if let Ok(Ok(stream)) = timeout(MAX_HANDSHAKE, tls.accept(stream)).await {
        let _ = converse(stream, &talker, &touches).await;
    }
}

/// With TLS 1.2 too: whatever an intruder has shall get through. `protocols` are those that a client
/// may choose from (ALPN).
fn acceptor(
    certificates: &Arc<Certificates>,
    protocols: &[&[u8]],
) -> Result<TlsAcceptor, ConsoleError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|cause| ConsoleError::Secrets(format!("TLS: {cause}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(tls)))
}
