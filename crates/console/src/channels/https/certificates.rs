//! The certificates at hand, and which of them a client sees.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use coalmine_core::Timestamp;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use x509_parser::extensions::GeneralName;

use super::{CertificateOrigin, CertificateState};
use crate::channels::{Stamp, stamp};
use crate::{ConsoleError, setup};

/// How often the operator's files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Life of our own certificate, in days; browsers refuse more than 398.
const OWN_DAYS: i64 = 397;
/// Names of one certificate that are told of.
const MAX_NAMES: usize = 100;

/// One certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// In lower case; wildcards as `*.example.com`.
    names: Vec<String>,
    origin: CertificateOrigin,
    /// First and last moment.
    pub life: (Timestamp, Timestamp),
    key: Arc<CertifiedKey>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Certificates {
    /// What a client sees that asks for nothing we have.
    zone: String,
    held: RwLock<Held>,
    states: watch::Sender<Vec<CertificateState>>,
}

#[derive(Debug)]
struct Held {
    files: Vec<Entry>,
    /// By domain.
    issued: BTreeMap<String, Entry>,
    own: Entry,
    /// Why there is none or no newer one, by domain.
    problems: BTreeMap<String, String>,
}

impl Certificates {
    /// One of our own for `zone` and all names below it, made now.
    pub fn new(zone: &str, now: Timestamp) -> Result<Self, ConsoleError> {
        let zone = zone.trim_end_matches('.').to_ascii_lowercase();
        let held = Held {
            files: Vec::new(),
            issued: BTreeMap::new(),
            own: own(&zone, now)?,
            problems: BTreeMap::new(),
        };
        let states = watch::Sender::new(held.states());
        Ok(Self {
            zone,
            held: RwLock::new(held),
            states,
        })
    }

    /// Takes the operator's certificates in place of those before.
    ///
    /// # Errors
    /// Where one can't be used; then nothing changes.
    pub fn read_files(&self, files: &[(PathBuf, PathBuf)]) -> Result<(), ConsoleError> {
        let entries: Result<Vec<Entry>, ConsoleError> = files
            .iter()
            .map(|(chain, key)| Entry::read(chain, key, CertificateOrigin::File))
            .collect();
        let entries = entries?;
        self.change(|held| held.files = entries);
        Ok(())
    }

    /// Takes a certificate that was issued for `domain`.
    pub fn issued(&self, domain: &str, entry: Entry) {
        self.change(|held| {
            held.problems.remove(domain);
            held.issued.insert(domain.to_owned(), entry);
        });
    }

    /// Tells why there is none for `domain`, or no newer one.
    pub fn failed(&self, domain: &str, problem: String) {
        self.change(|held| {
            held.problems.insert(domain.to_owned(), problem);
        });
    }

    /// First and last moment of the certificate issued for `domain`.
    pub fn life(&self, domain: &str) -> Option<(Timestamp, Timestamp)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.issued.get(domain).map(|entry| entry.life)
    }

    /// Names that the operator's own are for.
    pub fn file_names(&self) -> Vec<String> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let names = held.files.iter().flat_map(|entry| entry.names.clone());
        names.collect()
    }

    /// Whether the zone shows one that isn't our own.
    pub fn is_trusted(&self, now: Timestamp) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let shown = held.best(&self.zone, now);
        shown.is_some_and(|entry| entry.origin != CertificateOrigin::SelfSigned)
    }

    /// What is shown, now and later.
    pub fn states(&self) -> watch::Receiver<Vec<CertificateState>> {
        self.states.subscribe()
    }

    /// Reads the operator's files again whenever they have changed; ends never.
    pub async fn follow(self: Arc<Self>, files: Vec<(PathBuf, PathBuf)>) {
        let mut last = stamps(&files);
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamps(&files);
            if now == last {
                continue;
            }
            last = now;
            match self.read_files(&files) {
                Ok(()) => tracing::info!("certificates of the HTTPS channel were read anew"),
                // The second file of a pair is often a moment late; it comes around.
                Err(error) => tracing::warn!(
                    error = %error,
                    "certificates of the HTTPS channel have changed and can't be used; the old ones stay"
                ),
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut held);
        self.states.send_replace(held.states());
    }

    /// The certificate for a client that asks for `name`.
    pub fn choose(&self, name: Option<&str>, now: Timestamp) -> Arc<CertifiedKey> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = name.unwrap_or_default().trim_end_matches('.');
        let found = held
            .best(wanted, now)
            .or_else(|| held.best(&self.zone, now));
        Arc::clone(&found.unwrap_or(&held.own).key)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name(), crate::now()))
    }
}

impl Held {
    fn all(&self) -> impl Iterator<Item = &Entry> {
        self.files
            .iter()
            .chain(self.issued.values())
            .chain([&self.own])
    }

    /// One that lasts before one that has ended, one from elsewhere before our own, one for the name
    /// itself before a wildcard, the operator's before others.
    fn best(&self, name: &str, now: Timestamp) -> Option<&Entry> {
        let fitting = self
            .all()
            .filter_map(|entry| Some((entry.fit(name)?, entry)));
        let (_, best) = fitting.min_by_key(|(exact, entry)| {
            let ended = entry.life.1 <= now;
            let own = entry.origin == CertificateOrigin::SelfSigned;
            (ended, own, !exact)
        })?;
        Some(best)
    }

    fn states(&self) -> Vec<CertificateState> {
        let zone = self.own.names.first();
        let issued = self.issued.iter().map(|(domain, e)| (Some(domain), e));
        let files = self.files.iter().map(|entry| (None, entry));
        // Our own counts as long as there is nothing better for the zone.
        let better = zone.is_some_and(|zone| {
            let mut others = self.files.iter().chain(self.issued.values());
            others.any(|entry| entry.fit(zone).is_some())
        });
        let own = (!better).then_some((zone, &self.own));
        let mut told: Vec<CertificateState> = files
            .chain(issued)
            .chain(own)
            .map(|(domain, entry)| CertificateState {
                names: entry.names.clone(),
                origin: entry.origin,
                until: entry.life.1,
                problem: domain.and_then(|domain| self.problems.get(domain).cloned()),
            })
            .collect();
        let untold = self.problems.iter().filter(|(domain, _)| {
            !self.issued.contains_key(*domain) && (better || zone != Some(*domain))
        });
        told.extend(untold.map(|(domain, problem)| CertificateState {
            names: vec![domain.clone()],
            origin: CertificateOrigin::SelfSigned,
            until: self.own.life.1,
            problem: Some(problem.clone()),
        }));
        told
    }
}

impl Entry {
    /// From PEM files.
    ///
    /// # Errors
    /// Where they can't be read or don't belong together.
    pub fn read(chain: &Path, key: &Path, origin: CertificateOrigin) -> Result<Self, ConsoleError> {
        let failed = |path: &Path, cause: &dyn std::fmt::Display| {
            ConsoleError::Secrets(format!("{}: {cause}", path.display()))
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect)
            .map_err(|cause| failed(chain, &cause))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|cause| failed(key, &cause))?;
        Self::of(certificates, private, origin).map_err(|cause| failed(chain, &cause))
    }

    /// From what they hold.
    ///
    /// # Errors
    /// Where they can't be used or don't belong together.
    pub fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        origin: CertificateOrigin,
    ) -> Result<Self, String> {
        let Some(first) = chain.first() else {
            return Err("there is no certificate".to_owned());
        };
        let (names, life) = about(first).ok_or("the certificate can't be read")?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|cause| format!("certificate and key: {cause}"))?;
        Ok(Self {
            names,
            origin,
            life,
            key: Arc::new(key),
        })
    }

    /// Whether it's for `name`, and if so, whether for that very name.
    fn fit(&self, name: &str) -> Option<bool> {
        fit(&self.names, name)
    }
}

/// Whether one of `names` is `name` (true) or a wildcard for it (false). A wildcard stands for one
/// label (RFC 9525 section 6.3).
pub(in crate::channels) fn fit(names: &[String], name: &str) -> Option<bool> {
    if names.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Some(true);
    }
    let (label, rest) = name.split_once('.')?;
    let wild = names
        .iter()
        .filter_map(|own| own.strip_prefix("*."))
        .any(|below| below.eq_ignore_ascii_case(rest));
    (wild && !label.is_empty()).then_some(false)
}

/// A certificate's names and its first and last moment.
type About = (Vec<String>, (Timestamp, Timestamp));

fn about(certificate: &CertificateDer<'_>) -> Option<About> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = match parsed.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .take(MAX_NAMES)
            .collect(),
        _ => Vec::new(),
    };
    let validity = parsed.validity();
    let life = (
        Timestamp::from_secs(validity.not_before.timestamp()),
        Timestamp::from_secs(validity.not_after.timestamp()),
    );
    Some((names, life))
}

/// Ours, for `zone` and all names below it.
fn own(zone: &str, now: Timestamp) -> Result<Entry, ConsoleError> {
    let failed = |cause: &dyn std::fmt::Display| {
        ConsoleError::Secrets(format!("making a certificate for {zone} failed: {cause}"))
    };
    let mut params = setup::params(zone, now, OWN_DAYS)?;
    let names = match zone.parse::<IpAddr>() {
        Ok(address) => vec![SanType::IpAddress(address)],
        Err(_) => {
            let name = |name: &str| name.try_into().map(SanType::DnsName);
            let both = [name(zone), name(&format!("*.{zone}"))];
            both.into_iter()
                .collect::<Result<_, _>>()
                .map_err(|cause| failed(&cause))?
        }
    };
    params.subject_alt_names = names;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| failed(&e))?;
    let certificate = params.self_signed(&key).map_err(|e| failed(&e))?;
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| failed(&e))?;
    Entry::of(chain, key, CertificateOrigin::SelfSigned).map_err(|e| failed(&e))
}

fn stamps(files: &[(PathBuf, PathBuf)]) -> Vec<(Option<Stamp>, Option<Stamp>)> {
    let both = |(chain, key): &(PathBuf, PathBuf)| (stamp(chain).ok(), stamp(key).ok());
    files.iter().map(both).collect()
}
