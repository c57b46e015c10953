//! Certificates and TLS settings of decoys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Handshake, SelfSigned, Tls};
use coalmine_core::{Bird, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, RsaKeySize, SerialNumber};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// How long a self-signed certificate is valid, in days: what appliances commonly use.
const VALID_DAYS: u64 = 825;

/// TLS as `bird` speaks it: the operator's certificate, or a self-signed one of the bird's own.
pub(crate) fn config(
    bird: &Bird,
    tls: Tls,
    given: Option<&(String, String)>,
) -> Result<Arc<ServerConfig>, String> {
    let pem = match given {
        Some((chain, key)) => (chain.clone(), key.clone()),
        None => own(bird)?,
    };
    let mut config = build(&pem, rustls::ALL_VERSIONS, tls.alpn)?;
    // Servers of the field hand out session tickets.
    if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

/// TLS as a decoy wants it started. It resumes no session: the handshake is always the whole one.
fn config_as(bird: &Bird, how: &Handshake) -> Result<Arc<ServerConfig>, String> {
    let fresh = fallback(bird, how.certificate).map_err(|e| e.to_string())?;
    let name = format!("{}.pem", how.certificate.id);
    let pem = bird.vault.keep(&name, &mut || fresh.clone().into_bytes())?;
    let pem = String::from_utf8(pem).map_err(|e| e.to_string())?;
    let versions = if how.tls13 {
        rustls::ALL_VERSIONS
    } else {
        &[&rustls::version::TLS12]
    };
    let mut config = build(&(pem.clone(), pem), versions, how.alpn)?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A certificate and key, both as PEM, with what's spoken.
fn build(
    (chain, key): &(String, String),
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Result<ServerConfig, String> {
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
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("certificate and private key don't go together: {e}"))?;
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

/// TLS for services that start it in mid-connection, with the bird's own certificate or the one
/// that the product makes; prepared when somebody first asks for it.
pub(crate) struct Upgrade {
    bird: Arc<Bird>,
    /// By the id of the handshake; empty for the plain one.
    prepared: Mutex<BTreeMap<&'static str, Option<Arc<ServerConfig>>>>,
}

impl Upgrade {
    pub(crate) fn new(bird: &Arc<Bird>) -> Self {
        Self {
            bird: Arc::clone(bird),
            prepared: Mutex::default(),
        }
    }

    /// None, said once in the log, where the certificate can't be had.
    pub(crate) async fn config(
        &self,
        how: Option<&'static Handshake>,
    ) -> Option<Arc<ServerConfig>> {
        // Held while it's prepared: the others wait for the same.
        let mut prepared = self.prepared.lock().await;
        let id = how.map_or("", |how| how.id);
        if let Some(known) = prepared.get(id) {
            return known.clone();
        }
        let bird = Arc::clone(&self.bird);
        let made = spawn_blocking(move || match how {
            Some(how) => config_as(&bird, how),
            None => config(&bird, Tls { alpn: &[] }, None),
        });
        let made = match made.await {
            Ok(Ok(config)) => Some(config),
            Ok(Err(problem)) => {
                tracing::error!(problem, "decoys can't start TLS: no certificate");
                None
            }
            Err(_) => None,
        };
        prepared.insert(id, made.clone());
        made
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
    let until = from.plus(Duration::from_secs(VALID_DAYS.saturating_mul(day)));
    let midnight = |at: Timestamp| {
        let part = |pattern: &str| at.format(pattern).parse().unwrap_or(1);
        let year = at.format("%Y").parse().unwrap_or(2025);
        rcgen::date_time_ymd(year, part("%m"), part("%d"))
    };
    params.not_before = midnight(from);
    params.not_after = midnight(until);
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// A certificate as a product makes it for itself: no name but the common one, from its start on.
fn fallback(bird: &Bird, wanted: SelfSigned) -> Result<String, rcgen::Error> {
    let size = if wanted.long {
        RsaKeySize::_3072
    } else {
        RsaKeySize::_2048
    };
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size)?;
    let mut params = CertificateParams::new(Vec::new())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, wanted.common_name);
    params.distinguished_name = name;
    let mut serial = bird.seed.take::<16>("fallback serial");
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // Services start some time after the machine.
    let after = Duration::from_secs(bird.seed.number("fallback age", 30, 180));
    let from = bird.booted.plus(after);
    let seconds = u64::try_from(from.secs().rem_euclid(86_400)).unwrap_or(0);
    let part = |pattern: &str| from.format(pattern).parse().unwrap_or(1);
    let year: i32 = from.format("%Y").parse().unwrap_or(2025);
    let (month, day) = (part("%m"), part("%d"));
    let clock = Duration::from_secs(seconds);
    let until = year.saturating_add(i32::from(wanted.years));
    // A year that's no leap year has no 29 February.
    let last = if (month, day) == (2, 29) { 28 } else { day };
    params.not_before = rcgen::date_time_ymd(year, month, day) + clock;
    params.not_after = rcgen::date_time_ymd(until, month, last) + clock;
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
    fn a_product_signs_its_own_certificate() {
        static HOW: Handshake = Handshake {
            id: "test",
            packets: None,
            tls13: false,
            alpn: &[b"test/1"],
            certificate: SelfSigned {
                id: "test",
                common_name: "Product_Self_Signed",
                years: 30,
                long: false,
            },
        };
        let config = config_as(&Bird::sample(), &HOW).unwrap();
        assert_eq!(config.alpn_protocols, [b"test/1".to_vec()]);
        let pem = fallback(&Bird::sample(), HOW.certificate).unwrap();
        let key = &pem[pem.find("-----BEGIN PRIVATE").unwrap()..];
        let key = KeyPair::from_pem(key).unwrap();
        assert_eq!(key.algorithm(), &rcgen::PKCS_RSA_SHA256);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let has = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
        assert!(has(b"Product_Self_Signed"));
        // Bird::sample has booted on 2025-10-09 at 08:53:20; thirty years are GeneralizedTime.
        assert!(has(b"2510090") && has(b"205510090"), "{der:?}");
    }

    #[test]
    fn names_become_host_names() {
        assert_eq!(host_name("Files 02"), "files-02");
        assert_eq!(host_name("--"), "localhost");
    }
}
