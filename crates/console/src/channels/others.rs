//! The channels that not every installation has: their addresses, keys and listeners.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use coalmine_core::token::{
    CloudProvider, HostPort, KubernetesPlace, TokenChannel, WireguardPlace,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dns::Proofs;
use super::https::{self, AcmeSettings, CertificateState};
use super::proxies::{Network, Proxies};
use super::touch::{Keeper, Touches};
use super::{kubernetes, mysql, remedy, smtp, wireguard};
use crate::ConsoleError;
use crate::serve::ConsoleConfig;

/// Where the channels are that not every installation has; `None` turns one off.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// HTTP over TLS.
    pub https: Option<SocketAddr>,
    /// Its certificates: files with chains and keys, PEM.
    pub https_files: Vec<(PathBuf, PathBuf)>,
    /// Where it asks for certificates.
    pub acme: Option<AcmeSettings>,
    /// Names that its certificates in files are for; known once it's bound.
    pub https_names: Vec<String>,
    /// Proxies before the web channels whose word on the source counts.
    pub proxies: Vec<Network>,
    /// WireGuard, UDP.
    pub wireguard: Option<SocketAddr>,
    /// MySQL.
    pub mysql: Option<SocketAddr>,
    /// Mail.
    pub smtp: Option<SocketAddr>,
    /// Kubernetes, over TLS.
    pub kubernetes: Option<SocketAddr>,
    /// Operators' accounts at clouds, at most one of a kind.
    pub clouds: Vec<Arc<dyn CloudProvider>>,
    /// The WireGuard channel's public key, base64; known once it's bound.
    pub wireguard_key: String,
    /// The Kubernetes channel's authority, PEM; known once it's bound.
    pub kubernetes_ca: String,
}

impl Others {
    /// Where `host` is reached over TLS by clients that trust its certificate, or is to be as soon
    /// as one is issued. Where HTTP is off too, any certificate is better than no channel.
    pub(super) fn https_place(&self, host: &str, plain: bool) -> Option<HostPort> {
        let address = self.https?;
        let trusted = self.acme.is_some() || https::fit(&self.https_names, host).is_some();
        (trusted || !plain).then(|| HostPort {
            host: host.to_owned(),
            port: address.port(),
        })
    }

    /// The WireGuard peer, once it's bound.
    pub(super) fn wireguard_place(&self, zone: &str) -> Option<WireguardPlace> {
        let address = self.wireguard.filter(|_| !self.wireguard_key.is_empty())?;
        Some(WireguardPlace {
            host: zone.to_owned(),
            port: address.port(),
            public_key: self.wireguard_key.clone(),
        })
    }

    /// The Kubernetes API server, once it's bound.
    pub(super) fn kubernetes_place(&self, zone: &str) -> Option<KubernetesPlace> {
        let address = self.kubernetes.filter(|_| !self.kubernetes_ca.is_empty())?;
        let place = HostPort {
            host: zone.to_owned(),
            port: address.port(),
        };
        let host = match place.host.contains(':') {
            true => format!("[{}]", place.host),
            false => place.host,
        };
        Some(KubernetesPlace {
            url: format!("https://{host}:{}", place.port),
            ca_pem: self.kubernetes_ca.clone(),
        })
    }
}

/// Their listeners.
#[derive(Debug, Default)]
pub(super) struct BoundOthers {
    https: Option<(TcpListener, https::Face)>,
    wireguard: Option<(UdpSocket, wireguard::Responder)>,
    mysql: Option<TcpListener>,
    smtp: Option<(TcpListener, smtp::Host)>,
    kubernetes: Option<(TcpListener, kubernetes::Face)>,
}

/// Whether each channel that is configured listens, and where.
pub(super) type States = Vec<(TokenChannel, Result<SocketAddr, String>)>;

/// Binds what is configured, and writes real addresses and keys back. `proofs` is what the DNS
/// channel shows to certificate authorities; `None` where that channel is off.
pub(super) async fn bind(
    config: &mut ConsoleConfig,
    proofs: Option<&Arc<Proofs>>,
) -> (BoundOthers, States) {
    let mut bound = BoundOthers::default();
    let mut states = States::new();
    let wanted = config.token_others.clone();
    if let Some(address) = wanted.https {
        let state = match https::Face::of(config, proofs) {
            Err(cause) => Err(keyless("HTTPS", &cause)),
            Ok(face) => match super::bind_http(address).await {
                Err(cause) => Err(remedy("HTTPS", address, &cause)),
                Ok((listener, real)) => {
                    config.token_others.https = Some(real);
                    config.token_others.https_names = face.file_names();
                    bound.https = Some((listener, face));
                    Ok(real)
                }
            },
        };
        states.push((TokenChannel::Http, state));
    }
    if let Some(address) = wanted.wireguard {
        let state = match wireguard::Responder::in_dir(&config.dir) {
            Err(cause) => Err(keyless("WireGuard", &cause)),
            Ok(responder) => match bind_udp(address).await {
                Err(cause) => Err(remedy("WireGuard", address, &cause)),
                Ok((socket, real)) => {
                    config.token_others.wireguard = Some(real);
                    config.token_others.wireguard_key = responder.public_key();
                    bound.wireguard = Some((socket, responder));
                    Ok(real)
                }
            },
        };
        states.push((TokenChannel::Wireguard, state));
    }
    if let Some(address) = wanted.mysql {
        let state = match super::bind_http(address).await {
            Err(cause) => Err(remedy("MySQL", address, &cause)),
            Ok((listener, real)) => {
                config.token_others.mysql = Some(real);
                bound.mysql = Some(listener);
                Ok(real)
            }
        };
        states.push((TokenChannel::Mysql, state));
    }
    if let Some(address) = wanted.smtp {
        let state = match super::bind_http(address).await {
            Err(cause) => Err(remedy("mail", address, &cause)),
            Ok((listener, real)) => {
                config.token_others.smtp = Some(real);
                bound.smtp = Some((listener, smtp::Host::new(&config.zone)));
                Ok(real)
            }
        };
        states.push((TokenChannel::Smtp, state));
    }
    if let Some(address) = wanted.kubernetes {
        let state = match kubernetes::Face::of(config, address) {
            Err(cause) => Err(keyless("Kubernetes", &cause)),
            Ok((face, ca)) => match super::bind_http(address).await {
                Err(cause) => Err(remedy("Kubernetes", address, &cause)),
                Ok((listener, real)) => {
                    config.token_others.kubernetes = Some(real);
                    config.token_others.kubernetes_ca = ca;
                    bound.kubernetes = Some((listener, face));
                    Ok(real)
                }
            },
        };
        states.push((TokenChannel::Kubernetes, state));
    }
    (bound, states)
}

impl BoundOthers {
    /// What the HTTPS channel shows, now and later; of nobody where it's off.
    pub(super) fn certificates(&self) -> watch::Receiver<Vec<CertificateState>> {
        match &self.https {
            Some((_, face)) => face.states(),
            None => watch::channel(Vec::new()).1,
        }
    }

    /// Starts them.
    pub(super) fn serve<K: Keeper>(
        self,
        proxies: &Arc<Proxies>,
        touches: &Arc<Touches<K>>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        let shown = self.https.as_ref().map(|(_, face)| face.shown());
        if let Some((listener, face)) = self.https {
            tasks.extend(face.serve(listener, Arc::clone(proxies), touches));
        }
        if let Some((socket, responder)) = self.wireguard {
            let touches = Arc::clone(touches);
            tasks.push(tokio::spawn(wireguard::serve(socket, responder, touches)));
        }
        if let Some(listener) = self.mysql {
            let touches = Arc::clone(touches);
            tasks.push(tokio::spawn(mysql::serve(listener, touches)));
        }
        if let Some((listener, host)) = self.smtp {
            let touches = Arc::clone(touches);
            tasks.push(tokio::spawn(smtp::serve(listener, host, shown, touches)));
        }
        if let Some((listener, face)) = self.kubernetes {
            let touches = Arc::clone(touches);
            tasks.push(tokio::spawn(kubernetes::serve(listener, face, touches)));
        }
        tasks
    }
}

async fn bind_udp(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(address).await?;
    let real = socket.local_addr()?;
    Ok((socket, real))
}

/// Why `channel` has no keys, in one line.
fn keyless(channel: &str, cause: &ConsoleError) -> String {
    format!(
        "the {channel} channel has no keys ({cause}): let this user write there, or take the file \
         away so that it's made anew"
    )
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::TokenChannel;

    use super::*;
    use crate::channels::tests::config;
    use crate::channels::{bind, places};

    #[tokio::test]
    async fn each_is_off_unless_configured_and_keeps_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config("", "");
        assert!(bind(&mut config).await.others.is_empty());
        let off = places(&config);
        assert!(off.wireguard.is_none() && off.mysql.is_none());
        assert!(off.smtp.is_none() && off.kubernetes.is_none());

        config.dir = dir.path().to_owned();
        let any = "127.0.0.1:0".parse().ok();
        let others = &mut config.token_others;
        (others.wireguard, others.mysql, others.smtp) = (any, any, any);
        (others.kubernetes, others.https) = (any, any);
        let bound = bind(&mut config).await;
        assert_eq!(bound.others.len(), 5);
        let on = places(&config);
        for (channel, state) in &bound.others {
            assert_ne!(state.as_ref().unwrap().port(), 0, "{channel:?}");
            assert_eq!(on.has(*channel), Ok(()));
        }
        let ours = |state: &(TokenChannel, Result<SocketAddr, String>)| state.1.clone().unwrap();
        assert_eq!(
            on.mysql.as_ref().unwrap().port,
            ours(&bound.others[2]).port()
        );
        assert_eq!(on.smtp.as_deref(), Some("tokens.example.com"));

        // The same keys after the next start; and taken ports say so.
        let refused = bind(&mut config).await;
        for (channel, state) in &refused.others {
            let problem = state.clone().unwrap_err();
            assert!(
                problem.contains("another program listens there"),
                "{channel:?}: {problem}"
            );
        }
        drop(bound);
        let again = bind(&mut config).await;
        assert!(
            again.others.iter().all(|(_, state)| state.is_ok()),
            "{:?}",
            again.others
        );
        assert_eq!(places(&config), on);
    }
}
