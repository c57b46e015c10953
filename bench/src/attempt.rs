//! One attempt of each protocol, as cheap for the client as can be; over TCP the server's verdict
//! has been read when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A Telnet server without a verdict by then has none.
const MAX_VERDICT: Duration = Duration::from_millis(300);
/// Longest answer read.
const MAX_ANSWER: usize = 64 * 1024;

/// Over TCP.
pub async fn connect(target: SocketAddr) -> Result<TcpStream> {
    Ok(TcpStream::connect(target).await?)
}

/// Sends one datagram; an answer, if any, is nobody's business.
pub async fn datagram(target: SocketAddr, request: &[u8]) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.send_to(request, target).await?;
    Ok(())
}

pub async fn https(target: SocketAddr, n: usize) -> Result<()> {
    post(secure(target, connect(target).await?).await?, n).await
}

pub async fn http(target: SocketAddr, n: usize) -> Result<()> {
    post(connect(target).await?, n).await
}

async fn post(mut stream: impl AsyncRead + AsyncWrite + Unpin, n: usize) -> Result<()> {
    let body = format!("username=admin&password=pw{n}");
    let request = format!(
        "POST /index.html HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = vec![0; MAX_ANSWER];
    let mut filled = 0;
    loop {
        match stream.read(&mut answer[filled..]).await {
            Ok(0) => break,
            Ok(more) => filled += more,
            // A server that closes TLS without a word has still answered.
            Err(_) if filled > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    if !answer.starts_with(b"HTTP/1.") {
        bail!("no HTTP answer");
    }
    Ok(())
}

/// Sends `request` and reads until `mark`.
pub async fn ask(target: SocketAddr, request: &[u8], mark: &[u8]) -> Result<()> {
    converse(target, &[(b"", request), (mark, b"")]).await
}

/// What is waited for and then said, one after the other; `?` stands for anything at all.
pub async fn converse(target: SocketAddr, steps: &[(&[u8], &[u8])]) -> Result<()> {
    let mut stream = connect(target).await?;
    for (mark, words) in steps {
        match *mark {
            b"" => {}
            b"?" => until(&mut stream, &[b""]).await?,
            mark => until(&mut stream, &[mark]).await?,
        }
        stream.write_all(words).await?;
    }
    Ok(())
}

pub async fn ftp(target: SocketAddr, n: usize) -> Result<()> {
    let mut stream = connect(target).await?;
    until(&mut stream, &[b"220 "]).await?;
    stream.write_all(b"USER admin\r\n").await?;
    until(&mut stream, &[b"331 "]).await?;
    stream
        .write_all(format!("PASS pw{n}\r\n").as_bytes())
        .await?;
    until(&mut stream, &[b"530 "]).await
}

pub async fn telnet(target: SocketAddr, n: usize) -> Result<()> {
    let mut stream = connect(target).await?;
    until(&mut stream, &[b"ogin: ", b"sername: "]).await?;
    stream.write_all(b"admin\r\n").await?;
    until(&mut stream, &[b"assword: "]).await?;
    stream.write_all(format!("pw{n}\r\n").as_bytes()).await?;
    // A client that doesn't negotiate echo gets no verdict from OpenCanary; the event is there.
    match timeout(
        MAX_VERDICT,
        until(&mut stream, &[b"ncorrect", b"nvalid", b"failed"]),
    )
    .await
    {
        Ok(verdict) => verdict,
        Err(_) => Ok(()),
    }
}

pub async fn mysql(target: SocketAddr, n: usize) -> Result<()> {
    let mut stream = connect(target).await?;
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let length = usize::from(header[0]) | usize::from(header[1]) << 8;
    let mut greeting = vec![0; length];
    stream.read_exact(&mut greeting).await?;
    // Protocol 4.1 with secure connection and plugin authentication.
    let mut login = vec![0x85, 0xa6, 0x0f, 0, 0, 0, 0, 1, 33];
    login.resize(32, 0);
    login.extend_from_slice(b"admin\0\x14");
    let mut scramble = [0x5a; 20];
    scramble[..8].copy_from_slice(&(n as u64).to_be_bytes());
    login.extend_from_slice(&scramble);
    login.extend_from_slice(b"mysql_native_password\0");
    let length = u8::try_from(login.len())?;
    stream
        .write_all(&[&[length, 0, 0, 1], &login[..]].concat())
        .await?;
    until(&mut stream, &[b"Access denied"]).await
}

pub async fn ssh(target: SocketAddr, n: usize) -> Result<()> {
    struct Anybody;
    impl russh::client::Handler for Anybody {
        type Error = russh::Error;
        async fn check_server_key(
            &mut self,
            _key: &russh::keys::PublicKeyOrCertificate,
        ) -> Result<bool, Self::Error> {
            Ok(true)
        }
    }
    let config = Arc::new(russh::client::Config::default());
    let mut session = russh::client::connect(config, target, Anybody).await?;
    let verdict = session
        .authenticate_password("admin", format!("pw{n}"))
        .await?;
    if verdict.success() {
        bail!("the decoy let us in");
    }
    Ok(())
}

/// Reads until one of `marks` has been seen.
pub async fn until(stream: &mut (impl AsyncRead + Unpin), marks: &[&[u8]]) -> Result<()> {
    let mut seen = Vec::with_capacity(512);
    while seen.len() <= MAX_ANSWER && stream.read_buf(&mut seen).await? > 0 {
        let holds = |mark: &&[u8]| mark.is_empty() || seen.windows(mark.len()).any(|w| w == *mark);
        if marks.iter().any(holds) {
            return Ok(());
        }
    }
    let seen = String::from_utf8_lossy(&seen);
    bail!("expected {marks:?}, got {seen:?}");
}

/// TLS over a connection to `target`.
pub async fn secure(
    target: SocketAddr,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    static CONFIG: std::sync::OnceLock<Arc<ClientConfig>> = std::sync::OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has the usual versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        // Every attempt is a stranger: no session is resumed.
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    });
    let name = ServerName::from(target.ip());
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    Ok(connector.connect(name, stream).await?)
}

/// Decoys sign their own certificates.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let supported = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, supported)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let supported = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
