//! First-start secrets: a private CA, the server's certificate, the administrator's first
//! password, the first API key. Every file is readable by its owner alone.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use coalmine_core::Timestamp;
use coalmine_store::Store;
use coalmine_store::keys::{NewKey, Role};
use coalmine_store::users::User;

use crate::{ConsoleError, serve::ConsoleConfig};

/// Life of the private CA, in days.
const CA_DAYS: i64 = 3_650;
/// Life of the server's certificate, in days; browsers refuse more than 398.
const LEAF_DAYS: i64 = 397;
/// Days before its end at which the server's certificate is renewed.
const RENEW_DAYS: i64 = 30;
const DAY: i64 = 86_400;

/// Where the secrets lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// Certificate of the private CA.
    pub ca: PathBuf,
    /// Its key.
    pub ca_key: PathBuf,
    /// The server's certificate.
    pub server: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// The administrator's first password.
    pub page_password: PathBuf,
    /// INI file for API clients.
    pub client_config: PathBuf,
}

impl Files {
    /// Their places in the Console's folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca-key.pem"),
            server: dir.join("server.pem"),
            server_key: dir.join("server-key.pem"),
            page_password: dir.join("page-password"),
            client_config: dir.join("client.config"),
        }
    }
}

/// Certificate chain and key for the listener; made or renewed where needed.
///
/// # Errors
/// Where a file can't be read or written, or holds something else.
pub fn certificate(
    config: &ConsoleConfig,
    files: &Files,
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConsoleError> {
    fs::create_dir_all(&config.dir).map_err(io("create", &config.dir))?;
    restrict(&config.dir, 0o700)?;
    let subjects = ["Coalmine private CA", "Coalmine Console"];
    authority(files, subjects, &names(config), now)
}

/// Chain and key of a server whose certificate is signed by an authority of its own; both are made
/// or renewed where needed. `subjects`: what authority and server are called.
///
/// # Errors
/// Where a file can't be read or written, or holds something else.
pub fn authority(
    files: &Files,
    [authority, server]: [&str; 2],
    names: &[String],
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConsoleError> {
    if !(files.ca.exists() && files.ca_key.exists()) {
        make_ca(files, authority, now)?;
    }
    if !is_current(files, names, now) {
        make_leaf(files, server, names, now)?;
    }
    let chain = CertificateDer::pem_file_iter(&files.server)
        .and_then(Iterator::collect)
        .map_err(|e| ConsoleError::Secrets(format!("{}: {e}", files.server.display())))?;
    let key = PrivateKeyDer::from_pem_file(&files.server_key)
        .map_err(|e| ConsoleError::Secrets(format!("{}: {e}", files.server_key.display())))?;
    Ok((chain, key))
}

/// A password that people can read out: four groups of five, 95 bits.
pub fn readable_password() -> Result<String, ConsoleError> {
    // Without characters that are mistaken for others.
    const ALPHABET: &[u8; 27] = b"abcdefghjkmnpqrstuvwxyz2345";
    let mut groups = Vec::new();
    for _ in 0..4 {
        let mut group = String::new();
        while group.len() < 5 {
            let [byte] = random::<1>()?;
            // 243 = 9 * 27: above it the first characters would be likelier.
            if byte < 243
                && let Some(c) = ALPHABET.get(usize::from(byte % 27))
            {
                group.push(char::from(*c));
            }
        }
        groups.push(group);
    }
    Ok(groups.join("-"))
}

/// A fresh API key: 32 hex digits.
pub fn api_key() -> Result<String, ConsoleError> {
    Ok(hex(&random::<16>()?))
}

/// `N` bytes of the system's randomness.
pub fn random<const N: usize>() -> Result<[u8; N], ConsoleError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| ConsoleError::Secrets(format!("the system's randomness failed: {e}")))?;
    Ok(bytes)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The argon2id hash of a password, in PHC form. Slow on purpose.
pub fn password_hash(password: &str) -> Result<String, ConsoleError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|e| ConsoleError::Secrets(format!("hashing a password failed: {e}")))
}

/// Writes the INI file that API clients read. Clients make `https://DOMAIN.canary.tools/api/v1/`
/// of the domain; with the slash at its end that leads to this Console.
pub fn write_client_config(path: &Path, key: &str, at: SocketAddr) -> Result<(), ConsoleError> {
    write(path, client_config(key, &host_port(at)).as_bytes())
}

/// The text of that file.
pub fn client_config(key: &str, host_port: &str) -> String {
    format!("[CanaryTools]\napi_key = {key}\ndomain = {host_port}/\n")
}

/// The key in a client configuration, if the file is there and has one.
pub fn configured_key(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with("api_key"))?;
    let (_, key) = line.split_once('=')?;
    Some(key.trim().to_owned()).filter(|key| !key.is_empty())
}

/// What the store needs at first start: an administrator of the page, and an API key for the
/// client configuration. Writes the real address into that file at every start.
///
/// # Errors
/// Where the store or a file fails.
pub async fn first_start(store: &Store, files: &Files, at: SocketAddr) -> Result<(), ConsoleError> {
    let now = crate::now();
    if store.users().list().await?.is_empty() {
        let password = readable_password()?;
        write(&files.page_password, format!("{password}\n").as_bytes())?;
        let hash = tokio::task::spawn_blocking(move || password_hash(&password))
            .await
            .map_err(|e| ConsoleError::Secrets(format!("hashing a password failed: {e}")))??;
        store
            .users()
            .create(User {
                email: "admin".to_owned(),
                name: "Administrator".to_owned(),
                password_hash: hash,
                admin: true,
                disabled: false,
                created: now,
                last_login: None,
            })
            .await?;
    }
    let known = match configured_key(&files.client_config) {
        Some(key) => store.keys().authenticate(&key, now).await?.map(|_| key),
        None => None,
    };
    // The file is made once: an operator who deletes it, or its key, doesn't want it back.
    let first = store.keys().list(None).await?.is_empty();
    let key = match known {
        Some(key) => key,
        None if first => {
            let key = api_key()?;
            let new = NewKey {
                key_id: hex(&random::<4>()?),
                role: Role::Admin,
                flock_id: None,
                note: "Made at first start".to_owned(),
                created: now,
                created_by: "Coalmine".to_owned(),
            };
            store.keys().create(new, &key).await?;
            key
        }
        None => return Ok(()),
    };
    write_client_config(&files.client_config, &key, at)
}

/// `HOST:PORT` under which the listener is reached from here.
pub fn host_port(at: SocketAddr) -> String {
    if at.ip().is_unspecified() {
        format!("localhost:{}", at.port())
    } else {
        at.to_string()
    }
}

/// Writes a file that its owner alone can read.
///
/// # Errors
/// Where the file can't be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ConsoleError> {
    let failed = io("write", path);
    // A new name first, so that a crash never leaves half a secret.
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, path))
        .map_err(failed)
}

fn make_ca(files: &Files, name: &str, now: Timestamp) -> Result<(), ConsoleError> {
    let mut params = params(name, now, CA_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
    let certificate = params.self_signed(&key).map_err(made)?;
    write(&files.ca_key, key.serialize_pem().as_bytes())?;
    write(&files.ca, certificate.pem().as_bytes())
}

fn make_leaf(
    files: &Files,
    subject: &str,
    names: &[String],
    now: Timestamp,
) -> Result<(), ConsoleError> {
    let read = |path: &Path| fs::read_to_string(path).map_err(io("read", path));
    let ca_key = KeyPair::from_pem(&read(&files.ca_key)?).map_err(made)?;
    let issuer = Issuer::from_ca_cert_pem(&read(&files.ca)?, ca_key).map_err(made)?;
    let mut params = params(subject, now, LEAF_DAYS)?;
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(made)?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
    let certificate = params.signed_by(&key, &issuer).map_err(made)?;
    write(&files.server_key, key.serialize_pem().as_bytes())?;
    write(&files.server, certificate.pem().as_bytes())
}

/// Of a certificate for `name` that lasts `days` days.
pub(crate) fn params(
    name: &str,
    now: Timestamp,
    days: i64,
) -> Result<CertificateParams, ConsoleError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // From yesterday on: clocks of clients may be a little behind.
    let (year, month, day) = date(now.secs().saturating_sub(DAY));
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = date(now.secs().saturating_add((days - 1) * DAY));
    params.not_after = date_time_ymd(year, month, day);
    let mut serial = random::<16>()?;
    serial[0] &= 0x7f;
    params.serial_number = Some(serial.to_vec().into());
    Ok(params)
}

/// Year, month and day in UTC.
fn date(secs: i64) -> (i32, u8, u8) {
    let date = jiff::Timestamp::from_second(secs)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    (
        date.year().into(),
        date.month().unsigned_abs(),
        date.day().unsigned_abs(),
    )
}

/// Whether the server's certificate is there, has all names, and lasts.
fn is_current(files: &Files, names: &[String], now: Timestamp) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_file(&files.server) else {
        return false;
    };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&certificate) else {
        return false;
    };
    let lasts = parsed.validity().not_after.timestamp() - now.secs() > RENEW_DAYS * DAY;
    let has = match parsed.subject_alternative_name() {
        Ok(Some(extension)) => {
            let of = |name: &x509_parser::extensions::GeneralName<'_>| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => (*name).to_owned(),
                x509_parser::extensions::GeneralName::IPAddress(bytes) => match *bytes {
                    [a, b, c, d] => IpAddr::from([*a, *b, *c, *d]).to_string(),
                    other => <[u8; 16]>::try_from(other)
                        .map(|bytes| IpAddr::from(bytes).to_string())
                        .unwrap_or_default(),
                },
                _ => String::new(),
            };
            extension.value.general_names.iter().map(of).collect()
        }
        _ => Vec::new(),
    };
    lasts && files.server_key.exists() && names.iter().all(|name| has.contains(name))
}

fn names(config: &ConsoleConfig) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let listen = config.listen.ip();
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    names.extend(config.names.iter().map(|name| name.to_ascii_lowercase()));
    names.sort();
    names.dedup();
    names
}

fn restrict(path: &Path, mode: u32) -> Result<(), ConsoleError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(io("restrict", path))?;
    }
    let _ = mode;
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn made(error: rcgen::Error) -> ConsoleError {
    ConsoleError::Secrets(format!("making a certificate failed: {error}"))
}

fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> ConsoleError + use<> {
    let doing = format!("{what} {}", path.display());
    |cause| ConsoleError::Io { doing, cause }
}
