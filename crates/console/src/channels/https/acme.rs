//! One order at a certificate authority (RFC 8555): account, proofs in our own DNS zone, certificate.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    Error, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use ureq::http::{HeaderMap, Request, Response, header};

use super::certificates::Entry;
use super::{AcmeSettings, CertificateOrigin};
use crate::channels::dns::Proofs;
use crate::{ConsoleError, setup};

/// Directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Longest answer of the authority, in bytes.
const MAX_ANSWER: u64 = 256 * 1024;
/// Time for one request.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(30);
/// Time for the authority to look at our proofs, and for it to issue.
const MAX_WAIT: Duration = Duration::from_secs(180);
/// Time for all of it.
const MAX_TIME: Duration = Duration::from_secs(900);
/// First pause before asking whether it's done; each later one is longer by half.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// By the host of a directory, under which name in CAA records (RFC 8659) its authority is known.
const ISSUERS: &[(&str, &str)] = &[
    ("letsencrypt.org", "letsencrypt.org"),
    ("zerossl.com", "sectigo.com"),
    ("pki.goog", "pki.goog"),
    ("ssl.com", "ssl.com"),
    ("sectigo.com", "sectigo.com"),
    ("buypass.com", "buypass.com"),
];

/// The name in CAA records of the authority whose directory is at `url`, where that's known.
pub fn issuer_of(url: &str) -> Option<&'static str> {
    let host = url.strip_prefix("https://")?.split(['/', ':']).next()?;
    let of = |domain: &str| match host.strip_suffix(domain) {
        Some(left) => left.is_empty() || left.ends_with('.'),
        None => false,
    };
    let mut known = ISSUERS.iter();
    known.find(|(domain, _)| of(domain)).map(|(_, name)| *name)
}

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failed {
    /// For the operator.
    pub problem: String,
    /// When the authority wants to be asked again, in seconds since 1970; 0 where it doesn't say.
    pub not_before: i64,
}

/// An authority that can be asked.
#[derive(Clone)]
pub(super) struct Authority {
    settings: AcmeSettings,
    agent: ureq::Agent,
    /// File of the account.
    account: PathBuf,
    /// The latest `Retry-After` of a refusal, in seconds since 1970.
    retry: Arc<Mutex<i64>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.settings.directory)
    }
}

/// An account as it's kept. The credentials hold its key.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

impl Authority {
    /// Where it says what it offers.
    pub fn directory(&self) -> &str {
        &self.settings.directory
    }

    /// That of `settings`; the account is kept in `dir`.
    ///
    /// # Errors
    /// Where the certificates to trust can't be read.
    pub fn new(settings: &AcmeSettings, dir: &Path) -> Result<Self, ConsoleError> {
        let roots = roots(settings.authority.as_deref())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .timeout_global(Some(MAX_REQUEST_TIME))
            .build()
            .new_agent();
        Ok(Self {
            settings: settings.clone(),
            agent,
            account: dir.join("account.json"),
            retry: Arc::default(),
        })
    }

    /// Asks for a certificate of `domain` and all names below it; writes it and its key.
    ///
    /// # Errors
    /// Where there is none, why.
    pub async fn order(
        &self,
        domain: &str,
        proofs: &Proofs,
        (chain, key): (&Path, &Path),
    ) -> Result<Entry, Failed> {
        self.set_retry(0);
        let issued = tokio::time::timeout(MAX_TIME, Box::pin(self.issue(domain, proofs))).await;
        proofs.clear(domain);
        let issued = match issued {
            Ok(issued) => issued.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.failed(&Error::Timeout(None))),
        };
        let (pem, private) = issued?;
        let kept = Entry::of_pem(&pem, &private.serialize_pem()).and_then(|entry| {
            setup::write(key, private.serialize_pem().as_bytes())
                .and_then(|()| setup::write(chain, pem.as_bytes()))
                .map_err(|cause| cause.to_string())?;
            Ok(entry)
        });
        kept.map_err(|problem| Failed {
            problem,
            not_before: 0,
        })
    }

    async fn issue(&self, domain: &str, proofs: &Proofs) -> Result<(String, KeyPair), Error> {
        let account = self.account().await?;
        let names = [domain.to_owned(), format!("*.{domain}")];
        let identifiers = names.clone().map(Identifier::Dns);
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        // All proofs are shown before the first is looked at: a resolver may keep what it saw.
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Pending {
                let challenge = authorization
                    .challenge(ChallengeType::Dns01)
                    .ok_or(Error::Str("it offers no proof over DNS (dns-01)"))?;
                proofs.show(domain, challenge.key_authorization().dns_value());
            }
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Pending
                && let Some(mut challenge) = authorization.challenge(ChallengeType::Dns01)
            {
                challenge.set_ready().await?;
            }
        }
        let patience = RetryPolicy::new()
            .initial_delay(FIRST_PAUSE)
            .backoff(1.5)
            .timeout(MAX_WAIT);
        if order.poll_ready(&patience).await? == OrderStatus::Invalid {
            return Err(refusal(&mut order).await);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
        let mut params = CertificateParams::new(names).map_err(made)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(made)?;
        order.finalize_csr(request.der()).await?;
        Ok((order.poll_certificate(&patience).await?, key))
    }

    /// The account that's kept, or a new one.
    async fn account(&self) -> Result<Account, Error> {
        let builder = || Account::builder_with_http(Box::new(self.clone()));
        let kept = std::fs::read(&self.account).ok();
        let kept = kept.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        if let Some(kept) = kept.filter(|kept| kept.directory == self.settings.directory) {
            return builder().from_credentials(kept.credentials).await;
        }
        let contact = self.settings.email.as_ref();
        let contact: Vec<String> = contact.map(|e| format!("mailto:{e}")).into_iter().collect();
        let new = NewAccount {
            contact: &contact.iter().map(String::as_str).collect::<Vec<_>>(),
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.settings.directory.clone();
        let (account, credentials) = builder().create(&new, directory.clone(), None).await?;
        let kept = Kept {
            directory,
            credentials,
        };
        let text = serde_json::to_vec(&kept)?;
        setup::write(&self.account, &text).map_err(|cause| Error::Other(Box::new(cause)))?;
        Ok(account)
    }

    fn failed(&self, error: &Error) -> Failed {
        let mut not_before = *self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Error::Api(problem) => {
                let gone = "urn:ietf:params:acme:error:accountDoesNotExist";
                if problem.r#type.as_deref() == Some(gone) {
                    // The next try makes a new one.
                    let _ = std::fs::remove_file(&self.account);
                }
            }
            Error::Timeout(Some(next)) => {
                let wait = next.saturating_duration_since(Instant::now());
                not_before = not_before.max(seconds(SystemTime::now() + wait));
            }
            _ => {}
        }
        Failed {
            problem: told(error),
            not_before,
        }
    }

    fn set_retry(&self, at: i64) {
        *self.retry.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Remembers how long a refusal asks us to wait.
    fn note(&self, status: u16, headers: &HeaderMap) {
        if status < 400 {
            return;
        }
        let value = headers.get(header::RETRY_AFTER);
        let value = value.and_then(|value| value.to_str().ok()).map(str::trim);
        if let Some(at) = value.and_then(|value| retry_after(value, SystemTime::now())) {
            self.set_retry(at);
        }
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3) in seconds since 1970.
fn retry_after(value: &str, now: SystemTime) -> Option<i64> {
    if let Ok(wait) = value.parse::<u32>() {
        return Some(seconds(now).saturating_add(wait.into()));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new();
    let date = date.parse_timestamp(value).ok()?;
    Some(date.as_second())
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The error and what it comes from, without what the crate puts before it.
fn told(error: &Error) -> String {
    let mut text = match error {
        Error::Api(problem) => problem
            .detail
            .clone()
            .unwrap_or_else(|| problem.to_string()),
        other => other.to_string(),
    };
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    coalmine_core::text::cut(&text)
}

/// Why an order was refused: what is wrong with the first proof that is.
async fn refusal(order: &mut Order) -> Error {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // Their state is that of before.
        if authorization.refresh().await.is_err() {
            break;
        }
        let challenges = authorization.challenges.iter();
        if let Some(problem) = challenges.filter_map(|c| c.error.clone()).next() {
            return Error::Api(problem);
        }
    }
    Error::Str("the authority refused the order and didn't say why")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn made(error: rcgen::Error) -> Error {
    Error::Other(format!("making a request failed: {error}").into())
}

/// Whom to believe that the directory is the authority's.
fn roots(file: Option<&Path>) -> Result<Vec<ureq::tls::Certificate<'static>>, ConsoleError> {
    let certificates: Vec<CertificateDer<'static>> = match file {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|e| ConsoleError::Secrets(format!("{}: {e}", file.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    if certificates.is_empty() {
        return Err(ConsoleError::Secrets(
            "this system has no list of certificate authorities (Debian: install ca-certificates)"
                .to_owned(),
        ));
    }
    let own = |der: CertificateDer<'static>| ureq::tls::Certificate::from_der(&der).to_owned();
    Ok(certificates.into_iter().map(own).collect())
}

impl Entry {
    /// From a chain and a key in PEM.
    fn of_pem(chain: &str, key: &str) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| format!("the authority's certificate can't be read: {cause}"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| e.to_string())?;
        Self::of(chain, key, CertificateOrigin::Acme)
    }
}

type Answered = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl HttpClient for Authority {
    /// On a thread of its own, which nobody waits for at the end of the program.
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answered {
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let (sender, answer) = oneshot::channel();
            let ask = move || {
                let asked = match body.is_empty() {
                    true => this.agent.run(Request::from_parts(head, ())),
                    false => this.agent.run(Request::from_parts(head, body.to_vec())),
                };
                let read = asked.and_then(|response| {
                    let (head, mut body) = response.into_parts();
                    this.note(head.status.as_u16(), &head.headers);
                    let bytes = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
                    Ok(Response::from_parts(head, bytes))
                });
                // Nobody waits any longer: the program ends.
                let _ = sender.send(read);
            };
            std::thread::Builder::new()
                .name("acme".to_owned())
                .spawn(ask)
                .map_err(|cause| Error::Other(Box::new(cause)))?;
            let lost = |cause| Error::Other(Box::new(cause));
            let response = answer
                .await
                .map_err(|cause| Error::Other(Box::new(cause)))?;
            let (parts, body) = response.map_err(lost)?.into_parts();
            let body = Box::new(Bytes::from(body));
            Ok(BytesResponse { parts, body })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_known_by_their_directory() {
        assert_eq!(issuer_of(LETS_ENCRYPT), Some("letsencrypt.org"));
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        assert_eq!(issuer_of(staging), Some("letsencrypt.org"));
        assert_eq!(
            issuer_of("https://acme.zerossl.com/v2/DV90"),
            Some("sectigo.com")
        );
        assert_eq!(issuer_of("https://notletsencrypt.org/"), None);
        assert_eq!(
            issuer_of("https://ca.corp.example:9000/acme/directory"),
            None
        );
        assert_eq!(issuer_of("http://letsencrypt.org/"), None);
    }

    #[test]
    fn how_long_to_wait_is_said_in_seconds_or_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(retry_after("120", now), Some(1_120));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(date, now), Some(784_111_777));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }
}
