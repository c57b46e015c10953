//! Which certificate a client sees, and that TLS carries what the HTTP channel says.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::certificates::Entry;
use super::*;
use crate::channels::tests::{Bench, NONE, OFF, WEB, bench, config};

const ZONE: &str = "tokens.example.com";

/// An authority of the test's own.
pub(in crate::channels) struct Ca {
    pem: String,
    key: KeyPair,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, key }
    }

    /// Writes a certificate for `names` that ends with `year`, and its key.
    pub fn issue(&self, dir: &Path, stem: &str, names: &[&str], year: i32) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let issuer_key = KeyPair::from_pem(&self.key.serialize_pem()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.pem, issuer_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = (
            dir.join(format!("{stem}.pem")),
            dir.join(format!("{stem}.key")),
        );
        fs::write(&files.0, certificate.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

/// A client that trusts `ca` alone.
pub(in crate::channels) fn connector(ca: &Ca, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(tls))
}

/// Names of the certificate that is chosen.
fn chosen(certificates: &Certificates, name: Option<&str>) -> Vec<String> {
    let key = certificates.choose(name, Timestamp::from_secs(1_800_000_000));
    let (_, parsed) = x509_parser::parse_x509_certificate(&key.cert[0]).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other}"),
    });
    names.collect()
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_secs(1_800_000_000);
    let certificates = Certificates::new("Tokens.Example.com.", now).unwrap();
    let own = [ZONE.to_owned(), format!("*.{ZONE}")];
    for name in [
        None,
        Some(ZONE),
        Some("a.tokens.example.com"),
        Some("b.example"),
    ] {
        assert_eq!(chosen(&certificates, name), own, "{name:?}");
    }
    let [state] = certificates.states().borrow().clone().try_into().unwrap();
    let CertificateState { names, origin, .. } = state;
    assert_eq!((names, origin.name()), (own.to_vec(), "self-signed"));

    let ca = Ca::new();
    let wild = ca.issue(dir.path(), "wild", &["*.example.net", "example.net"], 2099);
    let docs = ca.issue(dir.path(), "docs", &["Docs.Example.net"], 2099);
    let old = ca.issue(dir.path(), "old", &["docs.example.net"], 2021);
    let zone = ca.issue(dir.path(), "zone", &[ZONE, "*.tokens.example.com"], 2099);
    certificates.read_files(&[old.clone(), wild, docs]).unwrap();
    assert_eq!(
        chosen(&certificates, Some("docs.example.net")),
        ["Docs.Example.net"]
    );
    assert_eq!(
        chosen(&certificates, Some("DOCS.EXAMPLE.NET.")),
        ["Docs.Example.net"]
    );
    for name in ["www.example.net", "example.net"] {
        assert_eq!(
            chosen(&certificates, Some(name))[0],
            "*.example.net",
            "{name}"
        );
    }
    for other in [
        None,
        Some("a.b.example.net"),
        Some(".example.net"),
        Some(ZONE),
    ] {
        assert_eq!(chosen(&certificates, other), own, "{other:?}");
    }
    let states = certificates.states().borrow().clone();
    assert_eq!(states.len(), 4, "ours too: nothing else is for the zone");

    // Issued ones are better than ours, the operator's better than those; ended ones are the last.
    let issued = Entry::read(&zone.0, &zone.1, CertificateOrigin::Acme).unwrap();
    certificates.issued(ZONE, issued);
    assert_eq!(chosen(&certificates, None)[1], "*.tokens.example.com");
    assert_eq!(certificates.states().borrow().len(), 4);
    assert_eq!(
        certificates.life(ZONE).unwrap().0,
        Timestamp::from_secs(1_577_836_800)
    );
    certificates.failed(ZONE, "refused".to_owned());
    let problems = certificates.states().borrow().clone();
    let problem = problems.iter().filter_map(|state| state.problem.as_deref());
    assert_eq!(problem.collect::<Vec<_>>(), ["refused"]);
    certificates.read_files(&[old]).unwrap();
    assert_eq!(
        chosen(&certificates, Some("docs.example.net")),
        ["docs.example.net"]
    );
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_read_again_and_broken_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let files = vec![ca.issue(dir.path(), "a", &[ZONE], 2098)];
    let certificates = Arc::new(Certificates::new(ZONE, crate::now()).unwrap());
    certificates.read_files(&files).unwrap();
    let mut states = certificates.states();
    let task = tokio::spawn(Arc::clone(&certificates).follow(files.clone()));
    let until = |state: &[CertificateState]| state[0].until.format("%Y");
    assert_eq!(until(&states.borrow_and_update()), "2098");
    tokio::time::sleep(Duration::from_secs(5)).await;

    let key = fs::read(&files[0].1).unwrap();
    fs::write(&files[0].1, "-----BEGIN nothing").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!states.has_changed().unwrap(), "the old one stays");
    fs::write(&files[0].1, key).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;

    // As certbot: new files, and a link that leads to them.
    let fresh = ca.issue(dir.path(), "b", &[ZONE], 2099);
    fs::rename(&fresh.0, &files[0].0).unwrap();
    fs::rename(&fresh.1, &files[0].1).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(until(&states.borrow_and_update()), "2099");
    task.abort();
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let a = ca.issue(dir.path(), "a", &[ZONE], 2099);
    let b = ca.issue(dir.path(), "b", &[ZONE], 2099);
    let certificates = Certificates::new(ZONE, crate::now()).unwrap();
    let error = certificates.read_files(&[(a.0, b.1.clone())]).unwrap_err();
    assert!(
        error.to_string().contains("a.pem: certificate and key"),
        "{error}"
    );
    let gone = certificates.read_files(&[(dir.path().join("none"), b.1)]);
    assert!(gone.unwrap_err().to_string().contains("none: "));
    assert!(certificates.file_names().is_empty());
}

#[tokio::test]
async fn our_own_certificate_is_for_the_zone_and_lasts_as_long_as_browsers_allow() {
    let now = Timestamp::from_secs(1_800_000_000);
    for zone in [ZONE, "localhost", "192.0.2.1"] {
        let one = Certificates::new(zone, now).unwrap();
        let other = Certificates::new(zone, now).unwrap();
        let (one, other) = (one.choose(None, now), other.choose(None, now));
        assert_ne!(one.cert, other.cert, "nothing is the same in two");
        let (_, parsed) = x509_parser::parse_x509_certificate(&one.cert[0]).unwrap();
        let life = parsed.validity();
        let days = (life.not_after.timestamp() - life.not_before.timestamp()) / 86_400;
        assert_eq!(days, 397, "{zone}");
    }
}

/// What `request` gets over TLS, without its date.
async fn ask(at: SocketAddr, ca: &Ca, name: &str, request: &str) -> String {
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = connector(ca, &[b"h2", b"http/1.1"])
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    undated(&answer)
}

fn undated(answer: &[u8]) -> String {
    let text: String = answer.iter().map(|b| char::from(*b)).collect();
    let lines = text
        .split("\r\n")
        .filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("\r\n")
}

#[tokio::test]
async fn tokens_are_touched_over_tls_and_nobody_learns_whether_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let mut config = config("", "");
    config.token_others.https_files = vec![ca.issue(dir.path(), "a", &[ZONE], 2099)];
    let face = Face::of(&config, None).unwrap();
    assert_eq!(face.file_names(), [ZONE]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let bench = bench(Duration::ZERO);
    let tasks = face.serve(listener, Arc::default(), &bench.touches);
    assert_eq!(tasks.len(), 2, "the channel, and who looks at the files");

    let get = |token: &str| {
        format!("GET /a/{token}/b.png HTTP/1.1\r\nHost: {ZONE}\r\nConnection: close\r\n\r\n")
    };
    let known = ask(at, &ca, ZONE, &get(WEB)).await;
    assert!(known.starts_with("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: image/gif\r\n"));
    for other in [NONE, OFF, "favicon"] {
        assert_eq!(ask(at, &ca, ZONE, &get(other)).await, known, "{other}");
    }
    let told = bench.events();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["url"], format!("https://{ZONE}/a/{WEB}/b.png"));
    assert_eq!(told[0]["channel"], "http");

    // As nginx answers who forgets the s; a token's URL was touched all the same.
    let mut answers = Vec::new();
    for token in [WEB, NONE] {
        let mut plain = TcpStream::connect(at).await.unwrap();
        plain.write_all(get(token).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        plain.read_to_end(&mut answer).await.unwrap();
        answers.push(undated(&answer));
    }
    assert_eq!(answers[0], answers[1]);
    let page = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n\
                <body>\r\n<center><h1>400 Bad Request</h1></center>\r\n\
                <center>The plain HTTP request was sent to HTTPS port</center>\r\n\
                <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
    assert!(answers[0].starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(
        answers[0].ends_with(&format!("\r\n\r\n{page}")),
        "{}",
        answers[0]
    );
    let told = bench.events();
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["url"], format!("http://{ZONE}/a/{WEB}/b.png"));
    for task in tasks {
        task.abort();
    }
    let Bench { touches, .. } = bench;
    drop(touches);
}

#[test]
fn mail_comes_in_over_tls_once_there_is_a_certificate_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let face = Face::of(&config("", ""), None).unwrap();
    let shown = face.shown();
    assert!(shown.for_mail().is_none(), "ours is refused by who looks");
    let others = Ca::new().issue(dir.path(), "b", &["docs.example.net"], 2099);
    let ended = Ca::new().issue(dir.path(), "c", &[ZONE], 2024);
    face.certificates.read_files(&[others, ended]).unwrap();
    assert!(shown.for_mail().is_none(), "nor is one for the zone");
    let files = Ca::new().issue(dir.path(), "a", &[ZONE], 2099);
    let issued = Entry::read(&files.0, &files.1, CertificateOrigin::Acme).unwrap();
    face.certificates.issued(ZONE, issued);
    assert!(shown.for_mail().is_some());

    let mut config = config("", "");
    config.token_others.https_files = vec![files];
    let shown = Face::of(&config, None).unwrap().shown();
    assert!(shown.for_mail().is_some());
}

#[tokio::test]
async fn places_over_tls_are_those_that_clients_trust() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config("127.0.0.1:80", "");
    config.dir = dir.path().to_owned();
    let host = |config: &ConsoleConfig, host: &str| {
        let place = crate::channels::https_place(config, host)?;
        Some(format!("{}:{}", place.host, place.port))
    };
    assert_eq!(host(&config, ZONE), None);
    config.token_others.https = "0.0.0.0:443".parse().ok();
    assert_eq!(host(&config, ZONE), None, "ours alone is refused");
    config.token_others.https_names = vec!["*.example.com".to_owned()];
    assert_eq!(host(&config, ZONE).unwrap(), "tokens.example.com:443");
    assert_eq!(host(&config, "docs.example.net"), None);
    config.token_others.acme = Some(AcmeSettings {
        directory: LETS_ENCRYPT.to_owned(),
        email: None,
        authority: None,
    });
    assert!(
        host(&config, "docs.example.net").is_some(),
        "one is asked for"
    );
    config.token_others.acme = None;
    config.token_http = None;
    assert!(
        host(&config, "docs.example.net").is_some(),
        "there is no other"
    );
}
