//! Certificates and TLS settings of decoys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Handshake, SelfSigned, Tls};
use coalmine_core::{Bird, System, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, RsaKeySize, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::house::now;

/// How long a self-signed certificate is valid, in days: what appliances commonly use.
const VALID_DAYS: u64 = 825;
/// How long one is valid that Windows makes for itself.
const WINDOWS_TERM: Duration = Duration::from_secs(183 * DAY);
/// Seconds of a day.
const DAY: u64 = 86_400;

/// TLS as `bird` speaks it: the operator's certificate, or a self-signed one of the bird's own.
pub(crate) fn config(
    bird: &Bird,
    tls: Tls,
    given: Option<&(String, String)>,
    now: Timestamp,
) -> Result<Arc<ServerConfig>, String> {
    let pem = match given {
        Some((chain, key)) => (chain.clone(), key.clone()),
        None => own(bird, now)?,
    };
    let mut config = build(&pem, versions(bird.machine.system), tls.alpn)?;
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

/// Windows speaks TLS 1.3 since Server 2022 and Windows 11.
fn versions(system: System) -> &'static [&'static SupportedProtocolVersion] {
    static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    match system {
        System::Windows { build, .. } if build < 20348 => TLS12,
        _ => rustls::ALL_VERSIONS,
    }
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
            None => config(&bird, Tls { alpn: &[] }, None, now()),
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

/// The bird's own certificate and key, made once; a Windows' anew each time it has run out.
fn own(bird: &Bird, now: Timestamp) -> Result<(String, String), String> {
    let (name, fresh) = match bird.machine.system {
        System::Linux => ("tls.pem".to_owned(), self_signed(bird)),
        System::Windows { .. } => {
            let (number, from) = term(bird, now);
            (
                format!("tls-windows-{number}.pem"),
                windows(bird, number, from),
            )
        }
    };
    // Made before the vault is asked: what failed must never be kept.
    let fresh = fresh.map_err(|e| e.to_string())?;
    let pem = bird.vault.keep(&name, &mut || fresh.clone().into_bytes())?;
    let pem = String::from_utf8(pem).map_err(|e| e.to_string())?;
    Ok((pem.clone(), pem))
}

fn self_signed(bird: &Bird) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host_name(&bird.name)])?;
    params.distinguished_name = common_name(&host_name(&bird.name));
    params.serial_number = Some(serial(bird, "tls serial"));
    // Made on the day the machine was set up, some time before its last boot.
    let age = bird.seed.number("tls age", 20, 200);
    let from = before(bird.booted, age.saturating_mul(DAY));
    let until = from.plus(Duration::from_secs(VALID_DAYS.saturating_mul(DAY)));
    let midnight = |at: Timestamp| {
        let (year, month, day) = date(at);
        rcgen::date_time_ymd(year, month, day)
    };
    (params.not_before, params.not_after) = (midnight(from), midnight(until));
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// What Windows makes for Remote Desktop: RSA with 2,048 bits, its whole name and nothing else, for
/// servers, to the second half a year. Its web services borrow it.
fn windows(bird: &Bird, number: u64, from: Timestamp) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&bird.dns_name());
    params.serial_number = Some(serial(bird, &format!("tls serial {number}")));
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DataEncipherment,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let second = |at: Timestamp| {
        let (year, month, day) = date(at);
        rcgen::date_time_ymd(year, month, day) + clock(at)
    };
    params.not_before = second(from);
    params.not_after = second(from.plus(WINDOWS_TERM));
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// Which certificate of a Windows' is valid at `now`, and since when. The first one was made some
/// time before the pretended boot.
fn term(bird: &Bird, now: Timestamp) -> (u64, Timestamp) {
    let age = bird.seed.number("tls age", 5 * DAY, 120 * DAY);
    let first = before(bird.booted, age);
    let past = now.micros().saturating_sub(first.micros()) / 1_000_000;
    let number = u64::try_from(past).unwrap_or_default() / WINDOWS_TERM.as_secs();
    let from = first.plus(Duration::from_secs(
        number.saturating_mul(WINDOWS_TERM.as_secs()),
    ));
    (number, from)
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
    params.distinguished_name = common_name(wanted.common_name);
    params.serial_number = Some(serial(bird, "fallback serial"));
    // Services start some time after the machine.
    let after = Duration::from_secs(bird.seed.number("fallback age", 30, 180));
    let from = bird.booted.plus(after);
    let (year, month, day) = date(from);
    let clock = clock(from);
    let until = year.saturating_add(i32::from(wanted.years));
    // A year that's no leap year has no 29 February.
    let last = if (month, day) == (2, 29) { 28 } else { day };
    params.not_before = rcgen::date_time_ymd(year, month, day) + clock;
    params.not_after = rcgen::date_time_ymd(until, month, last) + clock;
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

fn serial(bird: &Bird, label: &str) -> SerialNumber {
    let mut serial = bird.seed.take::<16>(label);
    serial[0] &= 0x7f;
    SerialNumber::from_slice(&serial)
}

/// `seconds` before `at`.
fn before(at: Timestamp, seconds: u64) -> Timestamp {
    let micros = i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(0);
    Timestamp::from_micros(at.micros().saturating_sub(micros))
}

/// Year, month and day.
fn date(at: Timestamp) -> (i32, u8, u8) {
    let part = |pattern: &str| at.format(pattern).parse().unwrap_or(1);
    let year = at.format("%Y").parse().unwrap_or(2025);
    (year, part("%m"), part("%d"))
}

/// Time since midnight, in whole seconds.
fn clock(at: Timestamp) -> Duration {
    let seconds = at.secs().rem_euclid(DAY.cast_signed());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
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
    use coalmine_core::Machine;
    use coalmine_core::machine::Domain;

    use super::*;

    #[test]
    fn a_bird_makes_a_certificate_and_bad_ones_are_told() {
        let bird = Bird::sample();
        let tls = Tls {
            alpn: &[b"http/1.1"],
        };
        let config = config(&bird, tls, None, now()).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        let bad = ("x".to_owned(), "y".to_owned());
        let error = super::config(&bird, tls, Some(&bad), now()).unwrap_err();
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
    fn a_windows_makes_its_own_anew_every_half_year() {
        let bird = Bird {
            name: "SRV-01".to_owned(),
            machine: Machine {
                system: System::find("windows-server-2019").unwrap(),
                domain: Domain::new("corp.example.net").ok(),
            },
            ..Arc::into_inner(Bird::sample()).unwrap()
        };
        let at = bird.booted.plus(Duration::from_secs(30 * DAY));
        let (number, from) = term(&bird, at);
        assert!(from < at && at < from.plus(WINDOWS_TERM));
        assert_eq!(term(&bird, at.plus(WINDOWS_TERM)).0, number + 1);
        let (pem, _) = own(&bird, at).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(
            certificate.subject().to_string(),
            "CN=SRV-01.corp.example.net"
        );
        assert_eq!(certificate.issuer(), certificate.subject());
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp(), from.micros() / 1_000_000);
        assert_eq!(
            validity.not_after.timestamp() - validity.not_before.timestamp(),
            183 * 86_400
        );
        assert!(certificate.subject_alternative_name().unwrap().is_none());
        let key = certificate.public_key().parsed().unwrap();
        assert_eq!(key.key_size(), 2048);
        let tls = Tls { alpn: &[] };
        assert!(config(&bird, tls, None, at).is_ok());
        assert_eq!(versions(bird.machine.system).len(), 1);
        assert_eq!(versions(System::Linux).len(), 2);
    }

    #[test]
    fn names_become_host_names() {
        assert_eq!(host_name("Files 02"), "files-02");
        assert_eq!(host_name("--"), "localhost");
    }
}
