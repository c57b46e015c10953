//! The listener: TLS, first-start secrets, stop and start again.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bench::{catalogue, config};
use coalmine_console::{Running, start};

async fn running(dir: &std::path::Path) -> Running {
    let (_, subscriber) = coalmine_bus::in_process();
    Box::pin(start(config(dir), catalogue(), subscriber))
        .await
        .unwrap()
}

async fn connect(
    running: &Running,
    name: &str,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&running.ca_file).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(running.address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
}

/// The answer's head and body; the connection stays open.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn key_and_domain(running: &Running) -> (String, String) {
    let text = std::fs::read_to_string(&running.client_config).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_once(" = ").unwrap().1.to_owned()
    };
    assert!(text.starts_with("[CanaryTools]\n"));
    (value("api_key"), value("domain"))
}

#[tokio::test]
async fn both_tls_versions_serve_every_name_of_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let running = running(dir.path()).await;
    let (key, domain) = key_and_domain(&running);
    assert_eq!(domain, format!("{}/", running.address));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for name in ["localhost", "127.0.0.1", "console.test"] {
            let mut stream = connect(&running, name, version).await.unwrap();
            let request = format!(
                "GET /.canary.tools/api/v1/ping?auth_token={key} HTTP/1.1\r\nHost: {name}\r\n\r\n"
            );
            let (head, body) = ask(&mut stream, &request).await;
            assert!(head.starts_with("http/1.1 200"), "{head}");
            assert_eq!(body, "{\n  \"result\": \"success\"\n}\n");
        }
    }
    assert!(
        connect(&running, "example.com", &rustls::version::TLS13)
            .await
            .is_err()
    );
    running.stop().await;
}

#[tokio::test]
async fn a_chunked_empty_body_leaves_the_connection_usable() {
    let dir = tempfile::tempdir().unwrap();
    let running = running(dir.path()).await;
    let (key, _) = key_and_domain(&running);
    let mut stream = connect(&running, "localhost", &rustls::version::TLS13)
        .await
        .unwrap();
    let post = format!(
        "POST /api/v1/incidents/acknowledge?auth_token={key} HTTP/1.1\r\nHost: localhost\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    let (_, body) = ask(&mut stream, &post).await;
    assert!(body.contains("\"keys\": []"), "{body}");
    let get = format!("GET /api/v1/ping?auth_token={key} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, _) = ask(&mut stream, &get).await;
    assert!(head.starts_with("http/1.1 200"));
    let (head, _) = ask(&mut stream, &get.replace("GET", "BREW")).await;
    assert!(head.starts_with("http/1.1 405"), "{head}");
    running.stop().await;
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let dir = tempfile::tempdir().unwrap();
    let running = running(dir.path()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(text.ends_with("use https:// in place of http://\n"));
    running.stop().await;
}

#[tokio::test]
async fn secrets_are_made_once_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let first = running(dir.path()).await;
    let read = |running: &Running| {
        let file =
            |name: &str| std::fs::read_to_string(running.ca_file.with_file_name(name)).unwrap();
        let (key, _) = key_and_domain(running);
        (
            file("ca.pem"),
            file("server.pem"),
            file("page-password"),
            key,
        )
    };
    let before = read(&first);
    let password = before.2.trim();
    assert_eq!(
        password.split('-').map(str::len).collect::<Vec<_>>(),
        [5, 5, 5, 5]
    );
    let user = first
        .console()
        .store
        .users()
        .get("admin")
        .await
        .unwrap()
        .unwrap();
    assert!(user.admin && user.password_hash.starts_with("$argon2id$"));
    first.stop().await;
    let second = running(dir.path()).await;
    assert_eq!(read(&second), before);
    let (key, domain) = key_and_domain(&second);
    assert_eq!(domain, format!("{}/", second.address));
    let keys = second.console().store.keys();
    let found = keys
        .authenticate(&key, coalmine_console::now())
        .await
        .unwrap();
    assert!(found.is_some_and(|key| key.flock_id.is_none()));
    second.stop().await;
    #[cfg(unix)]
    for entry in std::fs::read_dir(dir.path().join("console")).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends_and_for_new_names() {
    use coalmine_console::setup::{Files, certificate};
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let files = Files::in_dir(&config.dir);
    let now = coalmine_console::now();
    let day = std::time::Duration::from_secs(86_400);
    let (first, _) = certificate(&config, &files, now).unwrap();
    let (same, _) = certificate(&config, &files, now.plus(day * 300)).unwrap();
    assert_eq!(first, same);
    let ca = std::fs::read(&files.ca).unwrap();
    let (renewed, _) = certificate(&config, &files, now.plus(day * 380)).unwrap();
    assert_ne!(first, renewed);
    config.names.push("another.test".to_owned());
    let (named, _) = certificate(&config, &files, now.plus(day * 381)).unwrap();
    assert_ne!(named, renewed);
    assert_eq!(std::fs::read(&files.ca).unwrap(), ca);
}

/// The value of a cookie that an answer sets.
fn cookie<'a>(head: &'a str, name: &str) -> &'a str {
    let start = format!("set-cookie: {name}=");
    let line = head.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap().split(';').next().unwrap()
}

#[tokio::test]
async fn an_open_page_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let running = running(dir.path()).await;
    let mut stream = connect(&running, "localhost", &rustls::version::TLS13)
        .await
        .unwrap();
    let (head, _) = ask(
        &mut stream,
        "GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    let csrf = cookie(&head, "coalmine_login");
    let password = std::fs::read_to_string(&running.page_password_file).unwrap();
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("csrf", csrf)
        .append_pair("username", "admin")
        .append_pair("password", password.trim())
        .finish();
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nCookie: coalmine_login={csrf}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let (head, _) = ask(&mut stream, &request).await;
    assert!(head.starts_with("http/1.1 303 "), "{head}");
    let session = cookie(&head, "coalmine_session");
    let request = format!(
        "GET /live HTTP/1.1\r\nHost: localhost\r\nCookie: coalmine_session={session}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    // The end of the first event and of the chunk it came in.
    while !told.ends_with(b"\n\n\r\n") {
        told.push(stream.read_u8().await.unwrap());
    }

    let since = std::time::Instant::now();
    running.stop().await;
    let took = since.elapsed();
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"0\r\n\r\n", "the stream's own end, not a cut");
}
