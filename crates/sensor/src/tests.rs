//! The sensor as a whole, with a decoy made for the purpose.

use super::*;
use coalmine_bus::{Message, Subscriber, in_process};
use coalmine_core::decoy::{Broken, Context, Datagrams, Limits, Poke, Session, Sessions};
use coalmine_core::{Machine, Out, Sighting, Timestamp};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

coalmine_core::event! {
    /// A line came.
    struct Line: "line", "A Line", [1 ""] {
        /// It.
        text: String => "TEXT" = "hello",
    }
}

/// Greets, answers each line after 50 ms, breaks on `!`, starts TLS on `starttls`; a peer that said
/// `hold` is reported when it's gone.
struct Lines;
#[derive(Default)]
struct Conversation {
    line: Option<Vec<u8>>,
    holds: bool,
}

impl Sessions for Lines {
    fn open(&self, _: &Context, out: &mut Out) -> Box<dyn Session> {
        out.send("hello\n");
        Box::new(Conversation::default())
    }
}

impl Session for Conversation {
    fn feed(&mut self, input: &[u8], _: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let Some(end) = input.iter().position(|b| *b == b'\n') else {
            return Ok(0);
        };
        if input.starts_with(b"!") {
            out.send("broken\n");
            return Err(Broken);
        }
        if input.starts_with(b"starttls\n") {
            out.send("go ahead\n");
            out.start_tls();
            return Ok(end + 1);
        }
        if input.starts_with(b"hold\n") {
            self.holds = true;
            out.send("held\n");
            return Ok(end + 1);
        }
        let line = input[..end].to_vec();
        out.see(&Line {
            text: coalmine_core::text::printable(&line),
        });
        self.line = Some(line);
        out.wait(Duration::from_millis(50));
        Ok(end + 1)
    }

    fn wake(&mut self, _: Timestamp, out: &mut Out) {
        out.send(self.line.take().unwrap_or_default());
        out.send("\n");
    }

    fn end(&mut self, _: Timestamp, out: &mut Out) {
        if self.holds {
            out.see(&Line {
                text: "gone".to_owned(),
            });
        }
        out.close();
    }

    fn secured(&mut self, _: Timestamp, out: &mut Out) {
        out.send("secured\n");
    }
}

impl Datagrams for Lines {
    fn datagram(&self, _: &Context, input: &[u8], out: &mut Out) {
        out.see(&Line {
            text: coalmine_core::text::printable(input),
        });
        out.send(input);
    }
}

static KIND: DecoyKind = DecoyKind {
    id: "lines",
    title: "Lines",
    doc: "",
    transports: &[Transport::Tcp, Transport::Udp],
    port: 1,
    instances: false,
    tls: None,
    events: &[],
    settings: Vec::new,
    build: |_, _| {
        Ok(Service {
            udp: Some(Box::new(Lines)),
            ..Service::sessions(Lines)
        })
    },
    limits: Limits {
        input: 1024,
        ..Limits::LOGIN.idle(Duration::from_secs(1))
    },
    poke: Poke::Script(&[]),
};

async fn start(dir: &Path, port: u16) -> (Sensor, Subscriber) {
    let (publisher, subscriber) = in_process();
    let config = SensorConfig {
        dir: dir.to_owned(),
        birds: vec![BirdPlan {
            name: "nest".to_owned(),
            description: String::new(),
            machine: Machine::default(),
            personality: "bare".to_owned(),
            address: [127, 0, 0, 1].into(),
            settings: Map::new(),
            portscan: None,
            exempt: Vec::new(),
            services: vec![ServicePlan {
                kind: &KIND,
                name: String::new(),
                port,
                settings: Map::new(),
                certificate: None,
            }],
        }],
        port_shift: 0,
        version: "0",
    };
    (
        Sensor::start(config, Err("not in this test".to_owned()), publisher)
            .await
            .unwrap(),
        subscriber,
    )
}

/// Takes everything; the sightings so far.
fn collect(mut subscriber: Subscriber) -> Arc<Mutex<Vec<Sighting>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(mut delivery) = subscriber.next().await {
            if let Message::Sightings(batch) = &mut delivery.message {
                all.lock().unwrap().append(batch);
            }
            delivery.committed();
        }
    });
    seen
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_conversation_is_heard_answered_and_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (sensor, subscriber) = start(dir.path(), port).await;
    let seen = collect(subscriber);
    assert!(
        sensor.birds()[0]
            .services
            .iter()
            .all(|s| s.problem.is_none())
    );

    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(b"one\ntwo\n!\n").await.unwrap();
    let mut said = String::new();
    tcp.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "hello\none\ntwo\nbroken\n");

    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    udp.send_to(b"three", ("127.0.0.1", port)).await.unwrap();
    let mut answer = [0; 16];
    let (length, from) = udp.recv_from(&mut answer).await.unwrap();
    assert_eq!((&answer[..length], from.port()), (&b"three"[..], port));

    let node_id = sensor.birds()[0].node_id;
    sensor.stop().await;
    let seen = seen.lock().unwrap();
    let texts: Vec<_> = seen.iter().map(|s| s.fields.get()).collect();
    assert_eq!(
        texts,
        [
            r#"{"TEXT":"one"}"#,
            r#"{"TEXT":"two"}"#,
            r#"{"TEXT":"three"}"#
        ]
    );
    assert!(
        seen.iter()
            .all(|s| s.subject == Subject::Bird(node_id) && s.dst.port == port)
    );
    let spool = std::fs::read_dir(dir.path().join("spool")).unwrap();
    assert_eq!(spool.count(), 0, "all delivered, nothing kept");
}

#[tokio::test]
async fn what_the_console_did_not_commit_is_delivered_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (sensor, subscriber) = start(dir.path(), port).await;
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(b"kept\n").await.unwrap();
    let mut said = [0; 11];
    tcp.read_exact(&mut said).await.unwrap();
    drop(subscriber);
    // The connection ends and the sensor gives up on the Console after its farewell.
    drop(tcp);
    let first = sensor.birds()[0].node_id;
    sensor.stop().await;

    let (sensor, subscriber) = start(dir.path(), port).await;
    let seen = collect(subscriber);
    for _ in 0..100 {
        if !seen.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen.lock().unwrap()[0].fields.get(), r#"{"TEXT":"kept"}"#);
    assert_eq!(sensor.birds()[0].node_id, first);
    sensor.stop().await;
}

#[tokio::test]
async fn idle_and_oversized_peers_are_closed_and_a_taken_port_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (sensor, subscriber) = start(dir.path(), port).await;
    let seen = collect(subscriber);

    let mut big = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = big.write_all(&vec![b'x'; 64 * 1024]).await;
    let mut said = Vec::new();
    let _ = big.read_to_end(&mut said).await;
    assert!(said.is_empty() || said == b"hello\n");

    let mut idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    said.clear();
    idle.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"hello\n", "closed after a second of silence");
    assert!(seen.lock().unwrap().is_empty());

    let other = tempfile::tempdir().unwrap();
    let (second, _subscriber) = start(other.path(), port).await;
    let problem = second.birds()[0].services[0].problem.clone().unwrap();
    assert!(problem.contains("is taken by another program"), "{problem}");
    sensor.stop().await;
}

/// Takes any certificate and keeps it.
#[derive(Debug)]
struct TakeAny(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn tls_client() -> tokio_rustls::TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakeAny(provider)))
        .with_no_client_auth();
    Arc::new(config).into()
}

#[tokio::test]
async fn a_conversation_goes_on_inside_tls_without_what_was_injected_before() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (sensor, subscriber) = start(dir.path(), port).await;
    let seen = collect(subscriber);

    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(b"clear\nstarttls\ninjected\n").await.unwrap();
    let mut said = [0; 21];
    tcp.read_exact(&mut said).await.unwrap();
    assert_eq!(said, *b"hello\nclear\ngo ahead\n");
    let name = "nest".try_into().unwrap();
    let mut tls = tls_client().connect(name, tcp).await.unwrap();
    let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert!(certificate.windows(4).any(|w| w == b"nest"));
    tls.write_all(b"inside\n!\n").await.unwrap();
    let mut said = String::new();
    tls.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "secured\ninside\nbroken\n");

    // A second request, and a handshake that isn't one, end the connection.
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(b"starttls\n").await.unwrap();
    tcp.read_exact(&mut [0; 15]).await.unwrap();
    let name = "nest".try_into().unwrap();
    let mut tls = tls_client().connect(name, tcp).await.unwrap();
    tls.write_all(b"starttls\n").await.unwrap();
    let mut said = Vec::new();
    let _ = tls.read_to_end(&mut said).await;
    assert_eq!(said, b"secured\ngo ahead\n");
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(b"starttls\n").await.unwrap();
    tcp.read_exact(&mut [0; 15]).await.unwrap();
    tcp.write_all(b"this is no handshake").await.unwrap();
    let mut said = Vec::new();
    let _ = tcp.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"secured"));

    sensor.stop().await;
    let texts: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|s| s.fields.get().to_owned())
        .collect();
    assert_eq!(texts, [r#"{"TEXT":"clear"}"#, r#"{"TEXT":"inside"}"#]);
}

#[tokio::test]
async fn what_a_session_knew_is_kept_however_the_connection_fails() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (sensor, subscriber) = start(dir.path(), port).await;
    let seen = collect(subscriber);
    let held = async || {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tcp.write_all(b"hold\n").await.unwrap();
        tcp.read_exact(&mut [0; 11]).await.unwrap();
        tcp
    };

    // Closed, reset, reset instead of a handshake, no handshake.
    drop(held().await);
    held().await.set_zero_linger().unwrap();
    for answer in [&b""[..], b"this is no handshake"] {
        let mut tcp = held().await;
        tcp.write_all(b"starttls\n").await.unwrap();
        tcp.read_exact(&mut [0; 9]).await.unwrap();
        tcp.write_all(answer).await.unwrap();
        if answer.is_empty() {
            tcp.set_zero_linger().unwrap();
        } else {
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    }
    // A session that closed has told all it knew.
    let mut tcp = held().await;
    tcp.write_all(b"!\n").await.unwrap();
    let _ = tcp.read_to_end(&mut Vec::new()).await;

    while seen.lock().unwrap().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sensor.stop().await;
    assert_eq!(seen.lock().unwrap().len(), 4);
}
