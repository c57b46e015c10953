//! What the HTTPS channel of tokens needs: certificates, or where to ask for them, and proxies.

use std::path::Path;

use coalmine_console::channels::{AcmeSettings, LETS_ENCRYPT, Network};
use coalmine_core::settings::Fault;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use toml::{Table, Value};

use super::Section;
use crate::config::{Certificate, TokensPart};

/// Most certificates in files.
pub(in crate::config) const MAX_CERTIFICATES: usize = 32;
/// Most proxies.
pub(in crate::config) const MAX_PROXIES: usize = 64;
/// Longest address of mail (RFC 5321 section 4.5.3.1.3).
const MAX_EMAIL: usize = 254;

/// `[[tokens.certificates]]`.
pub(super) fn certificates(section: &mut Section<'_>, folder: &Path) -> Vec<Certificate> {
    let given: Vec<&Table> = match section.table.get("certificates") {
        None => return Vec::new(),
        Some(Value::Array(list)) if list.iter().all(Value::is_table) => {
            list.iter().filter_map(Value::as_table).collect()
        }
        Some(_) => {
            let problem = "must be written as [[tokens.certificates]], one for each";
            section.fault("certificates", problem);
            return Vec::new();
        }
    };
    if given.len() > MAX_CERTIFICATES {
        let problem = format!(
            "there may be {MAX_CERTIFICATES} of them, not {}",
            given.len()
        );
        section.fault("certificates", problem);
    }
    let mut read = Vec::new();
    for (n, table) in given.into_iter().take(MAX_CERTIFICATES).enumerate() {
        let path = format!("{}.certificates[{n}]", section.path);
        let mut one = Section::new(&path, table, section.faults);
        one.known(&["certificate", "key"]);
        if table.is_empty() {
            one.fault(
                "certificate",
                "is missing; name the file with the certificate chain",
            );
        }
        read.extend(one.certificate(folder));
    }
    read
}

/// `[tokens.acme]`.
pub(super) fn acme(section: &mut Section<'_>, folder: &Path) -> Option<AcmeSettings> {
    let table = match section.table.get("acme")? {
        Value::Table(table) => table,
        _ => {
            section.fault("acme", "must be written as [tokens.acme]");
            return None;
        }
    };
    let path = format!("{}.acme", section.path);
    let mut s = Section::new(&path, table, section.faults);
    s.known(&["directory", "email", "agree_to_terms", "authority"]);
    let directory = s
        .text("directory")
        .unwrap_or_else(|| LETS_ENCRYPT.to_owned());
    let host = directory.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || host.starts_with('/') || host.chars().any(|c| c <= ' ' || c == '"') {
        let problem = format!("must be a URL that begins https://, not {directory:?}");
        s.fault("directory", problem);
    }
    let email = s.text("email").filter(|email| !email.is_empty());
    let right = |email: &str| {
        let (name, host) = email.split_once('@').unwrap_or_default();
        let parts = !name.is_empty() && host.contains('.') && !host.contains('@');
        parts && email.len() <= MAX_EMAIL && !email.chars().any(|c| c <= ' ' || c == ',')
    };
    if let Some(email) = email.as_deref().filter(|email| !right(email)) {
        let problem = format!("must be an address of mail, e.g. you@example.com, not {email:?}");
        s.fault("email", problem);
    }
    if s.flag("agree_to_terms") != Some(true) {
        s.fault(
            "agree_to_terms",
            "must be true: the authority issues to those alone who agree to its terms of service; \
             those of Let's Encrypt are at https://letsencrypt.org/repository/",
        );
    }
    let authority = s.file("authority", folder);
    if let Some(file) = authority.as_deref().filter(|file| file.is_file()) {
        let read: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        if !read.is_ok_and(|certificates| !certificates.is_empty()) {
            let problem = format!("{} holds no PEM block CERTIFICATE", file.display());
            s.fault("authority", problem);
        }
    }
    Some(AcmeSettings {
        directory,
        email,
        authority,
    })
}

/// `trusted_proxies`.
pub(super) fn proxies(section: &mut Section<'_>) -> Vec<Network> {
    let texts = section.texts("trusted_proxies").unwrap_or_default();
    if texts.len() > MAX_PROXIES {
        let problem = format!("may hold {MAX_PROXIES} networks, not {}", texts.len());
        section.fault("trusted_proxies", problem);
    }
    let mut networks = Vec::new();
    for text in texts.iter().take(MAX_PROXIES) {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(problem) => section.fault("trusted_proxies", problem),
        }
    }
    networks
}

/// What doesn't go together.
pub(super) fn check(part: &TokensPart, faults: &mut Vec<Fault>) {
    let mut fault = |key: &str, problem: &str| faults.push(Fault::new(key, problem));
    let wanted = part.acme.is_some() || !part.certificates.is_empty();
    if wanted && part.https_port.is_none() {
        let problem = "must be named where there are certificates, or where they're asked for; \
                       usually 443";
        fault("tokens.https_port", problem);
    }
    if part.acme.is_none() {
        return;
    }
    if part.dns_port.is_none() {
        let problem =
            "must not be 0 with [tokens.acme]: the authority looks for proofs in the zone";
        fault("tokens.dns_port", problem);
    }
    let zone = &part.zone;
    if !zone.contains('.') || zone.ends_with(".localhost") {
        let problem = "must be named with [tokens.acme]: a domain of yours that is delegated to \
                       this machine, e.g. tokens.example.com";
        fault("tokens.zone", problem);
    }
}
