//! Certificates and TLS settings of decoys.

use std::sync::Arc;

use coalmine_core::decoy::Tls;
use coalmine_core::{Bird, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// How long a self-signed certificate is valid, in days: what appliances commonly use.
const VALID_DAYS: u64 = 825;

/// TLS as `bird` speaks it: the operator's certificate, or a self-signed one of the bird's own.
pub(crate) fn config(
    bird: &Bird,
    tls: Tls,
    given: Option<&(String, String)>,
) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = match given {
        Some((chain, key)) => (chain.clone(), key.clone()),
        None => own(bird)?,
    };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("the certificate can't be read as PEM: {e}"))?;
    if chain.is_empty() {
        return Err("the certificate holds no PEM block CERTIFICATE".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|e| format!("the private key can't be read as PEM: {e}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("certificate and private key don't go together: {e}"))?;
    config.alpn_protocols = tls.alpn.iter().map(|p| p.to_vec()).collect();
    // Servers of the field hand out session tickets.
    if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

/// TLS for services that start it in mid-connection, with the bird's own certificate; prepared
/// when somebody first asks for it.
pub(crate) struct Upgrade {
    bird: Arc<Bird>,
    prepared: OnceCell<Option<Arc<ServerConfig>>>,
}

impl Upgrade {
    pub(crate) fn new(bird: &Arc<Bird>) -> Self {
        Self {
            bird: Arc::clone(bird),
            prepared: OnceCell::new(),
        }
    }

    /// None, said once in the log, where the certificate can't be had.
    pub(crate) async fn config(&self) -> Option<Arc<ServerConfig>> {
        let prepare = || async {
            let bird = Arc::clone(&self.bird);
            let made = spawn_blocking(move || config(&bird, Tls { alpn: &[] }, None)).await;
            match made {
                Ok(Ok(config)) => Some(config),
                Ok(Err(problem)) => {
                    tracing::error!(problem, "decoys can't start TLS: no certificate");
                    None
                }
                Err(_) => None,
            }
        };
        self.prepared.get_or_init(prepare).await.clone()
    }
}

/// The bird's own certificate and key, made once.
fn own(bird: &Bird) -> Result<(String, String), String> {
    // Made before the vault is asked: what failed must never be kept.
    let fresh = self_signed(bird).map_err(|e| e.to_string())?;
    let pem = bird
        .vault
        .keep("tls.pem", &mut || fresh.clone().into_bytes())?;
    let pem = String::from_utf8(pem).map_err(|e| e.to_string())?;
    Ok((pem.clone(), pem))
}

fn self_signed(bird: &Bird) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host_name(&bird.name)])?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, host_name(&bird.name));
    params.distinguished_name = name;
    let mut serial = bird.seed.take::<16>("tls serial");
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // Made on the day the machine was set up, some time before its last boot.
    let age = bird.seed.number("tls age", 20, 200);
    let day = 86_400_u64;
    let micros = i64::try_from(age.saturating_mul(day).saturating_mul(1_000_000)).unwrap_or(0);
    let from = Timestamp::from_micros(bird.booted.micros().saturating_sub(micros));
    let until = from.plus(std::time::Duration::from_secs(
        VALID_DAYS.saturating_mul(day),
    ));
    let midnight = |at: Timestamp| {
        let part = |pattern: &str| at.format(pattern).parse().unwrap_or(1);
        let year = at.format("%Y").parse().unwrap_or(2025);
        rcgen::date_time_ymd(year, part("%m"), part("%d"))
    };
    params.not_before = midnight(from);
    params.not_after = midnight(until);
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// `name` as a host name: letters, digits and hyphens.
fn host_name(name: &str) -> String {
    let host: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let host = host.trim_matches(['-', '.']);
    if host.is_empty() {
        "localhost".to_owned()
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bird_makes_a_certificate_and_bad_ones_are_told() {
        let bird = Bird::sample();
        let tls = Tls {
            alpn: &[b"http/1.1"],
        };
        let config = config(&bird, tls, None).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        let bad = ("x".to_owned(), "y".to_owned());
        let error = super::config(&bird, tls, Some(&bad)).unwrap_err();
        assert_eq!(error, "the certificate holds no PEM block CERTIFICATE");
    }

    #[test]
    fn names_become_host_names() {
        assert_eq!(host_name("Files 02"), "files-02");
        assert_eq!(host_name("--"), "localhost");
    }
}
