//! A certificate authority that issues over ACME (RFC 8555) as soon as it has seen the proof in the DNS.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD as BASE64;
use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::nest::client;

/// What an authority has done so far.
#[derive(Default)]
pub struct Done {
    /// Kinds of requests in order, e.g. `order`.
    pub asked: Vec<String>,
    /// Certificates issued, PEM.
    pub issued: Vec<String>,
    /// What it was told of the account.
    pub account: Value,
    key: Value,
    names: Vec<String>,
    proved: Vec<bool>,
    finalized: bool,
    nonce: u32,
}

/// A running one.
pub struct Authority {
    /// URL of its directory.
    pub directory: String,
    /// What it has done.
    pub done: Arc<Mutex<Done>>,
}

/// How it behaves.
#[derive(Clone)]
pub struct Ways {
    /// First and last day of each certificate in turn; the last for all after it.
    pub lives: Vec<[(i32, u8, u8); 2]>,
    /// Whether orders are refused.
    pub refuses: bool,
    /// The DNS server that it asks.
    pub dns: (IpAddr, u16),
}

impl Authority {
    /// Starts one; `dir` holds the authority's own `ca.pem` and `ca.key`, and `acme.pem` and `acme.key`
    /// of its web server.
    pub fn start(dir: &Path, ways: Ways) -> Self {
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let chain = CertificateDer::from_pem_slice(&read("acme.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("acme.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let server = Server {
            base: base.clone(),
            ca: ["ca.pem", "ca.key"].map(|name| String::from_utf8(read(name)).unwrap()),
            ways,
            done: Arc::default(),
        };
        let done = Arc::clone(&server.done);
        let tls = Arc::new(tls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away in the middle comes back.
                let _ = server.serve(stream, &tls);
            }
        });
        Self {
            directory: format!("{base}/directory"),
            done,
        }
    }
}

struct Server {
    base: String,
    ca: [String; 2],
    ways: Ways,
    done: Arc<Mutex<Done>>,
}

type Answer = (u16, Option<String>, String);

impl Server {
    fn serve(&self, stream: TcpStream, tls: &Arc<ServerConfig>) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut input = Vec::new();
        let (head, body) = loop {
            let mut block = [0; 4096];
            let read = stream.read(&mut block)?;
            input.extend_from_slice(&block[..read]);
            let text = String::from_utf8_lossy(&input).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.parse::<usize>().unwrap())
                });
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            }
            if read == 0 {
                return Ok(());
            }
        };
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let (status, location, body) = self.answer(&path, &body);
        let mut done = self.done.lock().unwrap();
        done.nonce += 1;
        let location = location.map_or(String::new(), |at| format!("Location: {at}\r\n"));
        let retry = if status == 429 {
            "Retry-After: 7200\r\n"
        } else {
            ""
        };
        let length = body.len();
        let body = if head.starts_with("HEAD") { "" } else { &body };
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nReplay-Nonce: n{}\r\n{location}{retry}Content-Length: {length}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\r\n{body}",
            done.nonce
        )?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn answer(&self, path: &str, body: &str) -> Answer {
        let (what, number) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or((&path[1..], ""));
        let mut done = self.done.lock().unwrap();
        done.asked.push(what.to_owned());
        let ok = |value: Value| (200, None, value.to_string());
        if what == "directory" {
            let url = |name: &str| self.url(name);
            return ok(json!({
                "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
            }));
        }
        if what == "nonce" {
            return (200, None, String::new());
        }
        let payload = read(&mut done, &self.url(path.trim_start_matches('/')), body);
        match (what, number) {
            ("account", _) => {
                done.account = payload;
                (
                    201,
                    Some(self.url("account/1")),
                    json!({"status": "valid"}).to_string(),
                )
            }
            ("order", "") if self.ways.refuses => {
                let kind = "urn:ietf:params:acme:error:rateLimited";
                let told = json!({"type": kind, "detail": "too many certificates already issued"});
                (429, None, told.to_string())
            }
            ("order", "") => {
                let names = payload["identifiers"].as_array().unwrap().iter();
                done.names = names
                    .map(|id| id["value"].as_str().unwrap().to_owned())
                    .collect();
                done.proved = vec![false; done.names.len()];
                done.finalized = false;
                (201, Some(self.url("order/1")), self.order(&done))
            }
            ("order", _) => (200, None, self.order(&done)),
            ("authorization", number) => ok(self.authorization(&done, number.parse().unwrap())),
            ("challenge", number) => {
                let number: usize = number.parse().unwrap();
                let name = domain(&done.names[number]);
                let wanted = proof(&done.key, number);
                let (address, port) = self.ways.dns;
                let at = [format!("@{address}"), "-p".to_owned(), port.to_string()];
                let asked = format!("_Acme-Challenge.{name}");
                let mut all: Vec<&str> = at.iter().map(String::as_str).collect();
                all.extend(["+short", "+time=2", "TXT", &asked]);
                let said = client("dig", &all);
                done.proved[number] = said.lines().any(|line| line == format!("\"{wanted}\""));
                ok(self.authorization(&done, number)["challenges"][0].clone())
            }
            ("finalize", _) => {
                assert!(done.proved.iter().all(|proved| *proved), "not proved yet");
                let issued = self.issue(&done, payload["csr"].as_str().unwrap());
                done.issued.push(issued);
                done.finalized = true;
                (200, None, self.order(&done))
            }
            ("certificate", number) => (
                200,
                None,
                done.issued[number.parse::<usize>().unwrap()].clone() + &self.ca[0],
            ),
            other => panic!("{other:?}"),
        }
    }

    fn order(&self, done: &Done) -> String {
        let numbers = 0..done.names.len();
        let authorizations: Vec<String> = numbers
            .map(|n| self.url(&format!("authorization/{n}")))
            .collect();
        let mut order = json!({
            "status": "pending", "authorizations": authorizations, "finalize": self.url("finalize/1"),
        });
        if done.proved.iter().all(|proved| *proved) {
            order["status"] = json!("ready");
        }
        if done.finalized {
            let last = done.issued.len() - 1;
            order["status"] = json!("valid");
            order["certificate"] = json!(self.url(&format!("certificate/{last}")));
        }
        order.to_string()
    }

    fn authorization(&self, done: &Done, number: usize) -> Value {
        let name = &done.names[number];
        let status = if done.proved[number] {
            "valid"
        } else {
            "pending"
        };
        json!({
            "status": status,
            "identifier": {"type": "dns", "value": domain(name)},
            "wildcard": name.starts_with("*."),
            "challenges": [{
                "type": "dns-01", "status": status, "token": format!("token-{number}"),
                "url": self.url(&format!("challenge/{number}")),
            }],
        })
    }

    fn issue(&self, done: &Done, csr: &str) -> String {
        let der = CertificateSigningRequestDer::from(BASE64.decode(csr.as_bytes()).unwrap());
        let mut request = CertificateSigningRequestParams::from_der(&der).unwrap();
        let lives = &self.ways.lives;
        let life = lives.get(done.issued.len()).or(lives.last()).unwrap();
        let [from, until] = life.map(|(year, month, day)| date_time_ymd(year, month, day));
        (request.params.not_before, request.params.not_after) = (from, until);
        let serial = u64::try_from(done.issued.len()).unwrap() + 1001;
        request.params.serial_number = Some(serial.into());
        let key = KeyPair::from_pem(&self.ca[1]).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.ca[0], key).unwrap();
        request.signed_by(&issuer).unwrap().pem()
    }
}

/// The payload of a signed request (RFC 8555 section 6.2): right URL, right key, right signature.
fn read(done: &mut Done, url: &str, body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap();
    let part = |name: &str| body[name].as_str().unwrap().to_owned();
    let decoded = |name: &str| BASE64.decode(part(name).as_bytes()).unwrap();
    let head: Value = serde_json::from_slice(&decoded("protected")).unwrap();
    assert_eq!((&head["alg"], &head["url"]), (&json!("ES256"), &json!(url)));
    if head["jwk"].is_object() {
        done.key = head["jwk"].clone();
    }
    let coordinate = |name: &str| {
        BASE64
            .decode(done.key[name].as_str().unwrap().as_bytes())
            .unwrap()
    };
    let point = [&[4][..], &coordinate("x"), &coordinate("y")].concat();
    let signed = format!("{}.{}", part("protected"), part("payload"));
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &decoded("signature"))
        .unwrap();
    serde_json::from_slice(&decoded("payload")).unwrap_or_default()
}

/// RFC 8555 section 8.4, with the thumbprint of RFC 7638.
fn proof(key: &Value, number: usize) -> String {
    let [x, y] = ["x", "y"].map(|name| key[name].as_str().unwrap());
    let plain = format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}");
    let thumb = BASE64.encode(digest(&SHA256, plain.as_bytes()).as_ref());
    let whole = format!("token-{number}.{thumb}");
    BASE64.encode(digest(&SHA256, whole.as_bytes()).as_ref())
}

fn domain(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}
