//! `coalmine poke`: touches everything once, harmlessly, and checks that each touch is seen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coalmine_client::{Client, Incident, State, Token};
use coalmine_core::DecoyKind;
use coalmine_core::decoy::{Poke, Step, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;

use crate::folder::{Folder, Run, RunBird, RunService};
use crate::incidents::sentence;
use crate::terminal::{self, Colours};
use crate::{registry, remote};

/// Memo of the tokens that this makes and finds again.
const MEMO: &str = "coalmine poke";
/// Longest one attempt may take.
const MAX_ATTEMPT: Duration = Duration::from_secs(15);
/// Longest silence that still counts as the peer thinking.
const MAX_SILENCE: Duration = Duration::from_secs(8);
/// Silence after which a drained peer has said all.
const SILENCE: Duration = Duration::from_millis(300);
/// Longest wait for an incident.
const MAX_SEEN: Duration = Duration::from_secs(5);
/// Most bytes read in one attempt.
const MAX_READ: usize = 1024 * 1024;

/// Touches every service of `run.json` and two tokens; a line each. The exit code is 1 if a touch
/// stayed unseen.
///
/// # Errors
/// When nothing runs on the folder or the Console refuses.
pub fn poke(folder: &Folder, colours: Colours) -> Result<ExitCode> {
    let run = folder.running()?;
    let client = remote::client(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let mut unseen = 0;
    let mut touched = 0;
    let mut tell = |what: &str, seen: Result<Incident>| {
        touched += 1;
        match seen {
            Ok(incident) => terminal::line(&format!(
                "{} {what:<34} {}",
                colours.good("seen  "),
                sentence(&incident, colours)
            )),
            Err(problem) => {
                unseen += 1;
                terminal::line(&format!("{} {what:<34} {problem:#}", colours.bad("UNSEEN")));
            }
        }
    };

    for bird in &run.birds {
        for service in &bird.services {
            let what = format!(
                "{} {} {}/{}",
                bird.name, service.id, service.port, service.transport
            );
            let seen = touch(&client, || {
                let kind = kind_of(service)?;
                runtime.block_on(Box::pin(attempt(kind, bird, service)))?;
                Ok(Wanted {
                    node_id: bird.node_id.clone(),
                    kinds: kind.events.iter().map(|event| event.key).collect(),
                })
            });
            tell(&what, seen);
        }
    }
    if let Some(port) = run.tokens.http_port {
        let seen = touch(&client, || {
            let token = token(&client, "http")?;
            runtime.block_on(Box::pin(over_http(&run, port, &token)))?;
            Ok(Wanted::of_token(&token))
        });
        tell(&format!("http token {port}/tcp"), seen);
    }
    if let Some(port) = run.tokens.dns_port {
        let seen = touch(&client, || {
            let token = token(&client, "dns")?;
            runtime.block_on(Box::pin(over_dns(&run, port, &token)))?;
            Ok(Wanted::of_token(&token))
        });
        tell(&format!("dns token {port}/udp"), seen);
    }

    if touched == 0 {
        bail!("nothing listens, so there is nothing to touch; `coalmine up` says why");
    }
    terminal::line(&if unseen == 0 {
        format!("{} {touched} touches, all seen.", colours.strong("Good:"))
    } else {
        format!(
            "{} {unseen} of {touched} touches stayed unseen.",
            colours.bad("Bad:")
        )
    });
    Ok(if unseen == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a touch must lead to.
struct Wanted {
    node_id: String,
    kinds: Vec<&'static str>,
}

impl Wanted {
    fn of_token(token: &Token) -> Self {
        Self {
            node_id: token.canarytoken.clone(),
            kinds: vec!["canarytoken"],
        }
    }

    fn is(&self, incident: &Incident) -> bool {
        incident.node_id == self.node_id && self.kinds.contains(&incident.kind())
    }
}

/// Does `attempt` and waits for what it wants: an incident that opened or changed since.
fn touch(client: &Client, attempt: impl FnOnce() -> Result<Wanted>) -> Result<Incident> {
    let newest = [("filter_incident_state", "all"), ("limit", "1")];
    let newest: coalmine_client::Feed = client.get("incidents/search", &newest)?;
    let since = newest
        .incidents
        .first()
        .map_or(0, |incident| incident.updated_id);
    let wanted = attempt()?;
    let begun = Instant::now();
    loop {
        let feed = client.incidents(State::All, Some(since))?;
        if let Some(incident) = feed.incidents.into_iter().find(|found| wanted.is(found)) {
            return Ok(incident);
        }
        if begun.elapsed() > MAX_SEEN {
            bail!(
                "touched, but no incident came within {} s",
                MAX_SEEN.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn kind_of(service: &RunService) -> Result<&'static DecoyKind> {
    registry::decoys()
        .into_iter()
        .find(|kind| kind.id == service.id)
        .with_context(|| {
            format!(
                "this program has no decoy {}; it isn't the one that's running",
                service.id
            )
        })
}

async fn attempt(kind: &DecoyKind, bird: &RunBird, service: &RunService) -> Result<()> {
    let address = SocketAddr::new(bird.address, service.port);
    let conversation = async {
        if service.transport == "udp" {
            return match kind.poke {
                Poke::Script(steps) => datagrams(address, steps).await,
                Poke::Talk(_) => bail!("this decoy has no attempt over UDP"),
            };
        }
        let tcp = TcpStream::connect(address)
            .await
            .with_context(|| format!("connect to {address}"))?;
        let stream: Box<dyn Stream> = if kind.tls.is_some() {
            Box::new(secured(tcp, address.ip()).await?)
        } else {
            Box::new(tcp)
        };
        match kind.poke {
            Poke::Script(steps) => script(stream, address.ip(), steps).await,
            Poke::Talk(talk) => talk(stream)
                .await
                .map_err(|problem| anyhow::anyhow!(problem)),
        }
    };
    timeout(MAX_ATTEMPT, conversation)
        .await
        .unwrap_or_else(|_| bail!("no end after {} s", MAX_ATTEMPT.as_secs()))
}

async fn script(mut stream: Box<dyn Stream>, server: IpAddr, steps: &[Step]) -> Result<()> {
    let mut unread = Vec::new();
    for step in steps {
        match step {
            Step::Send(bytes) => {
                stream.write_all(bytes).await.context("send")?;
                stream.flush().await.context("send")?;
            }
            Step::Expect(wanted) => loop {
                if let Some(at) = find(&unread, wanted) {
                    unread.drain(..at + wanted.len());
                    break;
                }
                if read(&mut *stream, &mut unread, MAX_SILENCE).await? == 0 {
                    bail!("expected {:?}, got {:?}", lossy(wanted), lossy(&unread));
                }
            },
            Step::StartTls => {
                unread.clear();
                stream = Box::new(secured(stream, server).await?);
            }
            Step::Drain => {
                // A peer that closes hard has said all, too.
                while matches!(read(&mut *stream, &mut unread, SILENCE).await, Ok(n) if n > 0) {}
                unread.clear();
            }
        }
    }
    Ok(())
}

/// Reads some more; 0 at the end and after `patience` without anything.
async fn read(stream: &mut dyn Stream, into: &mut Vec<u8>, patience: Duration) -> Result<usize> {
    if into.len() > MAX_READ {
        bail!("more than {MAX_READ} bytes without what was expected");
    }
    match timeout(patience, stream.read_buf(into)).await {
        Ok(read) => read.context("read"),
        Err(_) => Ok(0),
    }
}

async fn datagrams(address: SocketAddr, steps: &[Step]) -> Result<()> {
    let socket = udp(address.ip()).await?;
    let mut buffer = vec![0; 65_536];
    for step in steps {
        match step {
            Step::Send(bytes) => {
                // Not connected: answers may come from another port (RFC 1350 section 4).
                socket
                    .send_to(bytes, address)
                    .await
                    .with_context(|| format!("send to {address}"))?;
            }
            Step::Expect(wanted) => {
                let Ok(received) = timeout(MAX_SILENCE, socket.recv_from(&mut buffer)).await else {
                    bail!("expected {:?}, got no answer", lossy(wanted));
                };
                let (length, _) = received.context("receive")?;
                let answer = buffer.get(..length).unwrap_or_default();
                if find(answer, wanted).is_none() {
                    bail!("expected {:?}, got {:?}", lossy(wanted), lossy(answer));
                }
            }
            Step::StartTls => bail!("there's no TLS over UDP"),
            Step::Drain => {
                while timeout(SILENCE, socket.recv_from(&mut buffer))
                    .await
                    .is_ok()
                {}
            }
        }
    }
    Ok(())
}

async fn udp(to: IpAddr) -> Result<UdpSocket> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(any).await.context("open a UDP socket")
}

/// The token of this kind that an earlier run made, or a new one.
fn token(client: &Client, kind: &str) -> Result<Token> {
    let usable = |token: &Token| token.memo == MEMO && token.kind == kind && token.enabled;
    match client.tokens()?.into_iter().find(usable) {
        Some(token) => Ok(token),
        None => Ok(client.create_token(kind, MEMO, &[])?),
    }
}

/// Where the token channel on `port` is reached from here.
fn channel(run: &Run, port: u16) -> SocketAddr {
    let address = run.tokens.address.unwrap_or(Ipv4Addr::LOCALHOST.into());
    SocketAddr::new(address, port)
}

async fn over_http(run: &Run, port: u16, token: &Token) -> Result<()> {
    let rest = token.url.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: coalmine-poke\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let target = channel(run, port);
    let mut stream = TcpStream::connect(target)
        .await
        .with_context(|| format!("connect to {target}"))?;
    stream.write_all(request.as_bytes()).await.context("send")?;
    let mut answer = Vec::new();
    while find(&answer, b"\r\n\r\n").is_none() {
        if read(&mut stream, &mut answer, MAX_SILENCE).await? == 0 {
            bail!("no whole answer, only {:?}", lossy(&answer));
        }
    }
    Ok(())
}

async fn over_dns(run: &Run, port: u16, token: &Token) -> Result<()> {
    let query = question(&token.hostname);
    let mut buffer = vec![0; 65_536];
    let target = channel(run, port);
    let socket = udp(target.ip()).await?;
    socket
        .send_to(&query, target)
        .await
        .with_context(|| format!("send to {target}"))?;
    match timeout(Duration::from_secs(2), socket.recv_from(&mut buffer)).await {
        Ok(Ok(_)) => Ok(()),
        _ => bail!("no answer from the DNS channel at {target}"),
    }
}

/// A question for the IPv4 address of `name` (RFC 1035 section 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut query = vec![0x2f, 0x1a, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        query.push(u8::try_from(label.len()).unwrap_or(63));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

async fn secured<S: Stream>(stream: S, ip: IpAddr) -> Result<tokio_rustls::client::TlsStream<S>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("set up TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone::Anyone(provider)))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
        .connect(ip.into(), stream)
        .await
        .context("TLS handshake")
}

/// Decoys have whatever certificate their part demands, so any will do; nothing secret is sent.
mod anyone {
    use std::sync::Arc;

    use tokio_rustls::rustls::client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    };
    use tokio_rustls::rustls::crypto::{
        CryptoProvider, verify_tls12_signature, verify_tls13_signature,
    };
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub struct Anyone(pub Arc<CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(
                message,
                certificate,
                signature,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                certificate,
                signature,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn lossy(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    coalmine_core::text::printable(bytes.get(..SHOWN).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_says_waits_and_reports_what_came_instead() {
        let (ours, mut theirs) = tokio::io::duplex(256);
        let server = tokio::spawn(async move {
            theirs.write_all(b"220 hello\r\n").await.unwrap();
            let mut said = [0; 6];
            theirs.read_exact(&mut said).await.unwrap();
            theirs.write_all(b"500 no\r\n").await.unwrap();
            said
        });
        let steps = [
            Step::Expect(b"\r\n"),
            Step::Send(b"USER\r\n"),
            Step::Expect(b"331"),
        ];
        let nobody = IpAddr::from([127, 0, 0, 1]);
        let problem = script(Box::new(ours), nobody, &steps).await;
        let problem = problem.unwrap_err().to_string();
        assert_eq!(&server.await.unwrap(), b"USER\r\n");
        assert!(
            problem.starts_with("expected \"331\", got \"500 no"),
            "{problem}"
        );
    }

    #[tokio::test]
    async fn datagrams_may_be_answered_from_another_port() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let answer = tokio::spawn(async move {
            let mut buffer = [0; 16];
            let (_, peer) = server.recv_from(&mut buffer).await.unwrap();
            let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            other.send_to(b"\0\x05", peer).await.unwrap();
        });
        datagrams(address, &[Step::Send(b"hi"), Step::Expect(b"\0\x05")])
            .await
            .unwrap();
        answer.await.unwrap();
    }

    #[test]
    fn a_question_is_a_dns_message() {
        assert!(question("ab.c").ends_with(b"\x02ab\x01c\x00\x00\x01\x00\x01"));
    }
}
