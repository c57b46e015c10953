//! The Kubernetes channel: an API server that believes nobody. A client's certificate (of whatever
//! issuer) or bearer token may be a token's.
//!
//! Answers as kube-apiserver gives them: 401 to credentials that it doesn't accept, 403 to nobody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use coalmine_core::token::TokenChannel;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::http::{Talker, converse};
use super::mysql;
use super::slots::{Slots, accept};
use super::touch::{Keeper, Touches};
use crate::serve::ConsoleConfig;
use crate::{ConsoleError, setup};

/// Connections at once.
const MAX_CONNECTIONS: usize = 512;
/// Of which from one source.
const MAX_PER_SOURCE: usize = 64;
/// Longest TLS handshake (net/http has no shorter one here).
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);
/// Blocks of 1 KiB that are still read of a connection that is refused.
const MAX_DRAINED: usize = 64;
/// Life of a connection.
const MAX_LIFE: Duration = Duration::from_secs(600);

/// What the API server shows in TLS.
pub(super) struct Face(TlsAcceptor);

impl std::fmt::Debug for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Face")
    }
}

impl Face {
    /// With a certificate of a cluster's own authority, made at the first start; and that
    /// authority's certificate, PEM.
    ///
    /// # Errors
    /// Where a file can't be read or written, or holds something else.
    pub fn of(config: &ConsoleConfig, at: SocketAddr) -> Result<(Self, String), ConsoleError> {
        let files = setup::Files {
            ca: config.dir.join("kubernetes-ca.pem"),
            ca_key: config.dir.join("kubernetes-ca-key.pem"),
            server: config.dir.join("kubernetes.pem"),
            server_key: config.dir.join("kubernetes-key.pem"),
            ..setup::Files::in_dir(&config.dir)
        };
        let subjects = ["kubernetes", "kube-apiserver"];
        let names = names(config, at.ip());
        let (mut chain, key) = setup::authority(&files, subjects, &names, crate::now())?;
        // The API server sends its own certificate alone.
        chain.truncate(1);
        let failed = |cause: &dyn std::fmt::Display| ConsoleError::Secrets(format!("TLS: {cause}"));
        let authority = CertificateDer::from_pem_file(&files.ca).map_err(|e| failed(&e))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let anyone = Anyone {
            hints: subject_of(&authority).into_iter().collect(),
            provider: Arc::clone(&provider),
        };
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| failed(&e))?
            .with_client_cert_verifier(Arc::new(anyone))
            .with_single_cert(chain, key)
            .map_err(|e| failed(&e))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let ca = std::fs::read_to_string(&files.ca).map_err(|e| failed(&e))?;
        Ok((Self(TlsAcceptor::from(Arc::new(tls))), ca))
    }
}

/// Names that kubeadm gives an API server, and those under which ours is reached.
fn names(config: &ConsoleConfig, at: IpAddr) -> Vec<String> {
    let mut names: Vec<String> = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.96.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(config.zone.trim_end_matches('.').to_ascii_lowercase());
    for address in [at, config.public_address] {
        if !address.is_unspecified() {
            names.push(address.to_string());
        }
    }
    names.sort();
    names.dedup();
    names
}

fn subject_of(certificate: &CertificateDer<'_>) -> Option<DistinguishedName> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(DistinguishedName::from(parsed.subject().as_raw().to_vec()))
}

/// Takes every certificate whose key its owner holds.
#[derive(Debug)]
struct Anyone {
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Accepts until stopped.
pub(super) async fn serve<K: Keeper>(listener: TcpListener, face: Face, touches: Arc<Touches<K>>) {
    let slots = Slots::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    accept(
        listener,
        |source| slots.take(source),
        |stream, peer, local| {
            let (tls, touches) = (face.0.clone(), Arc::clone(&touches));
            async move {
                let talk = connection(stream, peer, local, tls, touches);
                // However it ends, it's the peer's business.
                let _ = timeout(MAX_LIFE, Box::pin(talk)).await;
            }
        },
    )
    .await;
}

async fn connection<K: Keeper>(
    mut stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    tls: TlsAcceptor,
    touches: Arc<Touches<K>>,
) {
    let mut first = [0; 1];
    match timeout(MAX_HANDSHAKE, stream.peek(&mut first)).await {
        // 22: a TLS handshake record.
        Ok(Ok(1)) if first == [22] => {}
        Ok(Ok(1)) if first.iter().all(u8::is_ascii_uppercase) => {
            // As Go's net/http tells those who speak HTTP.
            let told = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
            let _ = timeout(MAX_HANDSHAKE, refuse_plain(&mut stream, told)).await;
            return;
        }
        _ => return,
    }
    let Ok(Ok(stream)) = timeout(MAX_HANDSHAKE, tls.accept(stream)).await else {
        return;
    };
    let shown = stream.get_ref().1.peer_certificates();
    let talker = Talker {
        peer,
        local,
        channel: TokenChannel::Kubernetes,
        tls: true,
        wrong_port: false,
        proxies: Arc::default(),
        client_certificate: shown.and_then(<[_]>::first).map(|shown| fingerprint(shown)),
    };
    let _ = converse(stream, &talker, &touches).await;
}

/// Closing with unread bytes would reset the connection before the answer arrives.
async fn refuse_plain(stream: &mut TcpStream, told: &[u8]) -> io::Result<()> {
    stream.write_all(told).await?;
    stream.shutdown().await?;
    let mut block = [0; 1024];
    for _ in 0..MAX_DRAINED {
        if stream.read(&mut block).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// SHA-1 in hex.
fn fingerprint(certificate: &[u8]) -> String {
    setup::hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref())
}

/// What net/http says to what it can't read.
pub(super) fn refused() -> Vec<u8> {
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
      Connection: close\r\n\r\n400 Bad Request"
        .to_vec()
}

/// A request.
pub(super) struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(String, String)],
    pub keep_alive: bool,
    /// Whether a certificate was shown.
    pub certificate: bool,
}

/// The answer to a request, which is the same for every credential.
pub(super) fn answered(asked: &Asked<'_>) -> Vec<u8> {
    let named = |name: &str| {
        let mut headers = asked.headers.iter();
        headers
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    let shown = asked.certificate || named("authorization").is_some();
    let (status, body) = if shown {
        (
            "401 Unauthorized",
            status("Unauthorized", "Unauthorized", 401),
        )
    } else {
        public(asked.method, asked.path)
    };
    // As the API server: people's programs get lines, others don't.
    let agent = named("user-agent").unwrap_or_default();
    let pretty = ["curl", "Wget", "Mozilla/5.0"]
        .iter()
        .any(|who| agent.starts_with(who));
    let (mime, body) = match body {
        Body::Text(text) => ("text/plain; charset=utf-8", text.to_owned()),
        Body::Object(fields) => ("application/json", object(&fields, pretty)),
    };
    let nosniff = match status {
        "403 Forbidden" => "X-Content-Type-Options: nosniff\r\n",
        _ => "",
    };
    let close = match asked.keep_alive {
        true => "",
        false => "Connection: close\r\n",
    };
    let date = crate::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let [a, b, c, d, e] = audit();
    let answer = format!(
        "HTTP/1.1 {status}\r\nAudit-Id: {a}-{b}-{c}-{d}-{e}\r\nCache-Control: no-cache, private\r\n\
         Content-Type: {mime}\r\n{nosniff}Date: {date}\r\nContent-Length: {}\r\n{close}\r\n",
        body.len()
    );
    let body = match asked.method {
        "HEAD" => "",
        _ => body.as_str(),
    };
    [answer.as_bytes(), body.as_bytes()].concat()
}

/// What an answer consists of.
enum Body {
    Text(&'static str),
    /// In the order in which the API server writes them.
    Object(Vec<(&'static str, Value)>),
}

/// In lines for people, else in one.
fn object(fields: &[(&str, Value)], pretty: bool) -> String {
    let (open, joint, colon, close) = match pretty {
        true => ("{\n  ", ",\n  ", ": ", "\n}"),
        false => ("{", ",", ":", "}\n"),
    };
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\"{colon}{value}"))
        .collect();
    format!("{open}{}{close}", fields.join(joint))
}

/// What nobody in particular may know (the role system:public-info-viewer), and may not.
fn public(method: &str, path: &str) -> (&'static str, Body) {
    match path {
        "/healthz" | "/livez" | "/readyz" => ("200 OK", Body::Text("ok")),
        "/version" | "/version/" => {
            let told = [
                ("major", "1"),
                ("minor", "32"),
                ("gitVersion", "v1.32.4"),
                ("gitCommit", "59526cd4867447956156ae3a602fcbac10a2c335"),
                ("gitTreeState", "clean"),
                ("buildDate", "2025-04-22T15:52:36Z"),
                ("goVersion", "go1.23.6"),
                ("compiler", "gc"),
                ("platform", "linux/amd64"),
            ];
            let told = told.map(|(name, value)| (name, value.into()));
            ("200 OK", Body::Object(told.to_vec()))
        }
        _ => {
            let verb = method.to_ascii_lowercase();
            let said = format!(
                "forbidden: User \"system:anonymous\" cannot {verb} path {}",
                Value::from(coalmine_core::text::cut(path))
            );
            ("403 Forbidden", status(&said, "Forbidden", 403))
        }
    }
}

/// A `Status` (Kubernetes API conventions, "Response Status Kind").
fn status(message: &str, reason: &str, code: u16) -> Body {
    let mut fields = vec![
        ("kind", "Status".into()),
        ("apiVersion", "v1".into()),
        ("metadata", json!({})),
        ("status", "Failure".into()),
        ("message", message.into()),
        ("reason", reason.into()),
    ];
    // Of who isn't known there is nothing more to say.
    if code == 403 {
        fields.push(("details", json!({})));
    }
    fields.push(("code", code.into()));
    Body::Object(fields)
}

/// The five groups of a UUID of version 4.
fn audit() -> [String; 5] {
    let mut b: [u8; 16] = mysql::random();
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex = setup::hex(&b);
    let group = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [
        group(0, 8),
        group(8, 12),
        group(12, 16),
        group(16, 20),
        group(20, 32),
    ]
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::channels::tests::{BEARER, Bench, KEYED, bench, config};

    /// Asks with `headers` and, where `cert` says so, a certificate of nobody's; what was answered,
    /// without what is random.
    async fn ask(at: SocketAddr, ca: &str, path: &str, headers: &str, cert: bool) -> String {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let tls = match cert {
            true => {
                let key = KeyPair::generate().unwrap();
                let own = CertificateParams::new(Vec::new())
                    .unwrap()
                    .self_signed(&key)
                    .unwrap();
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                tls.with_client_auth_cert(vec![own.der().clone()], key)
                    .unwrap()
            }
            false => tls.with_no_client_auth(),
        };
        let stream = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("kubernetes.default").unwrap();
        let mut stream = TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await
            .unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: k\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let fixed = |line: &&str| !line.starts_with("Date:") && !line.starts_with("Audit-Id:");
        answer
            .split("\r\n")
            .filter(fixed)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[tokio::test]
    async fn credentials_are_refused_alike_and_a_tokens_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config("", "");
        config.dir = dir.path().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (face, ca) = Face::of(&config, at).unwrap();
        let Bench { touches, seen } = bench(Duration::ZERO);
        let task = tokio::spawn(serve(listener, face, touches));

        let known = format!("Authorization: Bearer {BEARER}\r\n");
        let known = ask(at, &ca, "/api?timeout=32s", &known, false).await;
        assert_eq!(
            known,
            "HTTP/1.1 401 Unauthorized\nCache-Control: no-cache, private\nContent-Type: application/json\n\
             Content-Length: 129\nConnection: close\n\n\
             {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
             \"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n"
        );
        let unknown = ask(at, &ca, "/api", "Authorization: Bearer x\r\n", false).await;
        assert_eq!(unknown, known);
        assert_eq!(ask(at, &ca, "/api", "", true).await, known, "a certificate");
        let nobody = ask(
            at,
            &ca,
            &format!("/{KEYED}"),
            "User-Agent: curl/8\r\n",
            false,
        )
        .await;
        assert!(nobody.starts_with("HTTP/1.1 403 Forbidden\n"), "{nobody}");
        assert!(
            nobody.contains(
                "  \"message\": \"forbidden: User \\\"system:anonymous\\\" cannot get path"
            )
        );
        let version = ask(at, &ca, "/version", "", false).await;
        assert!(version.starts_with("HTTP/1.1 200 OK\n") && version.contains("v1.32"));
        assert!(
            ask(at, &ca, "/healthz", "", false)
                .await
                .ends_with("\n\nok")
        );
        let bad = ask(at, &ca, "/%", "", false).await;
        assert!(bad.ends_with("\n\n400 Bad Request"), "{bad}");

        let mut plain = TcpStream::connect(at).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut told = String::new();
        let _ = plain.read_to_string(&mut told).await;
        assert!(told.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"));
        task.abort();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "nothing but the key names a token");
        let fields: Value = serde_json::from_str(seen[0].fields.get()).unwrap();
        assert_eq!(
            (&fields["channel"], &fields["canarytoken"]),
            (&json!("kubernetes"), &json!(KEYED))
        );
        assert_eq!(fields["url"], "https://k/api?timeout=32s");
    }
}
