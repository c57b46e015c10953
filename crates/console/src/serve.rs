//! Listeners, TLS, first-start secrets, start and stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use coalmine_bus::Subscriber;
use coalmine_core::token::TokenChannel;
use coalmine_store::Store;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::api::Client;
use crate::mailboxes::{self, ImapServer};
use crate::setup::{self, Files};
use crate::{
    Catalogue, Console, ConsoleError, Shared, api, channels, cloud, ingest, page, reverse, watchdog,
};

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 1024;
/// Longest TLS handshake.
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest wait for a request's head, also between two requests on one connection.
const MAX_HEADER_WAIT: Duration = Duration::from_secs(60);
/// Longest life of a connection; clients open another one.
const MAX_CONNECTION_LIFE: Duration = Duration::from_secs(3_600);
/// Longest request head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Longest wait for open requests at the end.
const MAX_DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept failed, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the operator configured.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// The Console's own folder, e.g. `DIR/console`.
    pub dir: PathBuf,
    /// Store URL, e.g. `sqlite:DIR/coalmine.db`.
    pub store: String,
    /// Where API and page listen (TLS).
    pub listen: SocketAddr,
    /// More names and addresses that the certificate is for.
    pub names: Vec<String>,
    /// The zone of DNS tokens and the host of token URLs, e.g. `tokens.example.com`.
    pub zone: String,
    /// A zone of names that don't exist, for tokens that are better not answered; it may lie inside
    /// the other.
    pub nx_zone: Option<String>,
    /// The address that names in the zone resolve to.
    pub public_address: std::net::IpAddr,
    /// HTTP channel; `None` turns it off.
    pub token_http: Option<SocketAddr>,
    /// DNS channel, UDP and TCP; `None` turns it off.
    pub token_dns: Option<SocketAddr>,
    /// Channels that not every installation has.
    pub token_others: channels::Others,
    /// What is known of those who touch tokens.
    pub token_sources: channels::SourceFiles,
    /// Servers whose mailboxes take mails of tokens.
    pub mailboxes: Vec<ImapServer>,
    /// Whether sources are looked up in the reverse DNS.
    pub reverse_lookups: bool,
    /// Program version.
    pub version: &'static str,
}

/// A running Console.
#[derive(Debug)]
pub struct Running {
    /// Where it listens, with the real port.
    pub address: SocketAddr,
    /// `https://HOST:PORT`.
    pub url: String,
    /// The private CA's certificate, PEM.
    pub ca_file: PathBuf,
    /// INI file for API clients.
    pub client_config: PathBuf,
    /// The administrator's first password.
    pub page_password_file: PathBuf,
    /// Real address of the HTTP channel, or why it isn't there.
    pub token_http: Result<SocketAddr, String>,
    /// Real address of the DNS channel, or why it isn't there.
    pub token_dns: Result<SocketAddr, String>,
    /// The same of the other channels that are configured; the HTTPS channel stands as
    /// [`TokenChannel::Http`] there.
    pub token_others: Vec<(TokenChannel, Result<SocketAddr, String>)>,
    /// Certificates of the HTTPS channel, now and later.
    pub token_certificates: watch::Receiver<Vec<channels::CertificateState>>,
    console: Shared,
    server: JoinHandle<()>,
    ingest: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

/// Starts the Console: opens the store, makes secrets at first start, listens.
///
/// # Errors
/// Whatever keeps it from working; token channels alone may fail and are reported in [`Running`].
pub async fn start(
    mut config: ConsoleConfig,
    catalogue: Catalogue,
    sightings: Subscriber,
) -> Result<Running, ConsoleError> {
    let files = Files::in_dir(&config.dir);
    let tls = tls(&config, &files)?;
    let sources = channels::Sources::read(&config.token_sources)?;
    let store = Store::open(&config.store)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|cause| {
        let doing = format!("listen on {}", config.listen);
        ConsoleError::Io { doing, cause }
    })?;
    let address = listener.local_addr().map_err(|cause| ConsoleError::Io {
        doing: "ask for the listener's address".to_owned(),
        cause,
    })?;
    setup::first_start(&store, &files, address).await?;
    let updated_id = store.incidents().updated_id().await?;
    let channels = channels::bind(&mut config).await;
    let (token_http, token_dns) = (channels.http.clone(), channels.dns.clone());
    let token_others = channels.others.clone();
    let token_certificates = channels.certificates();
    let reverse_lookups = config.reverse_lookups;
    let console: Shared = Arc::new(Console {
        store,
        catalogue,
        config,
        changes: watch::Sender::new(updated_id),
        probes: channels::Probes::default(),
        placing: Default::default(),
        stop: watch::Sender::new(false),
    });
    let stopping = console.stop.subscribe();
    let mut background = channels.start(&console, sources);
    background.push(tokio::spawn(watchdog::run(Arc::clone(&console))));
    background.push(tokio::spawn(mailboxes::resume(Arc::clone(&console))));
    for provider in &console.config.token_others.clouds {
        let (console, provider) = (Arc::clone(&console), Arc::clone(provider));
        background.push(tokio::spawn(cloud::run(console, provider)));
    }
    if reverse_lookups {
        background.push(tokio::spawn(reverse::run(Arc::clone(&console))));
    }
    let ingest = tokio::spawn(ingest::run(Arc::clone(&console), sightings));
    let router = api::router(Arc::clone(&console)).merge(page::router(Arc::clone(&console)));
    let server = tokio::spawn(serve(listener, tls, router, stopping));
    tracing::info!(%address, "the Console listens");
    Ok(Running {
        address,
        url: format!("https://{}", setup::host_port(address)),
        ca_file: files.ca,
        client_config: files.client_config,
        page_password_file: files.page_password,
        token_http,
        token_dns,
        token_others,
        token_certificates,
        console,
        server,
        ingest,
        background,
    })
}

impl Running {
    /// The Console, for the program that started it.
    pub fn console(&self) -> &Shared {
        &self.console
    }

    /// Stops listening, ends the streams of open pages, lets other requests end, takes in what sensors have sent, closes the store.
    /// Stop the sensors first: ingest ends when the last of them is gone.
    pub async fn stop(self) {
        self.console.stop.send_replace(true);
        for task in self.background {
            task.abort();
        }
        for mut task in [self.server, self.ingest] {
            if timeout(MAX_DRAIN, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.console.store.close().await;
        tracing::info!("the Console has stopped");
    }
}

fn tls(config: &ConsoleConfig, files: &Files) -> Result<TlsAcceptor, ConsoleError> {
    let (chain, key) = setup::certificate(config, files, crate::now())?;
    let failed = |e: rustls::Error| ConsoleError::Secrets(format!("TLS: {e}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        // Public scripts insist on TLS 1.2.
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(failed)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        // Without a free place, new connections wait in the system's queue.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            both = accepted => both,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, from))) => {
                let connection = connection(
                    stream,
                    from,
                    tls.clone(),
                    router.clone(),
                    graceful.watcher(),
                );
                tokio::spawn(hold(place, connection));
            }
            (_, Err(error)) => {
                tracing::warn!(error = %error, "a connection couldn't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    let _ = timeout(
        MAX_DRAIN.saturating_sub(Duration::from_secs(1)),
        graceful.shutdown(),
    )
    .await;
}

async fn hold(place: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    let _ = timeout(MAX_CONNECTION_LIFE, connection).await;
    drop(place);
}

async fn connection(
    mut stream: TcpStream,
    from: SocketAddr,
    tls: TlsAcceptor,
    router: Router,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    let mut first = [0; 1];
    match timeout(MAX_HANDSHAKE, stream.peek(&mut first)).await {
        // 22: a TLS handshake record.
        Ok(Ok(1)) if first == [22] => {}
        Ok(Ok(1)) => {
            let _ = timeout(MAX_HANDSHAKE, refuse_plain(&mut stream)).await;
            return;
        }
        _ => return,
    }
    let Ok(Ok(stream)) = timeout(MAX_HANDSHAKE, tls.accept(stream)).await else {
        return;
    };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Client(from));
        router.call(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_HEADER_WAIT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // The peer's faults are no news for the operator.
    let _ = watcher.watch(connection).await;
}

/// Somebody speaks HTTP (or something else) to the TLS port.
async fn refuse_plain(stream: &mut TcpStream) {
    const TEXT: &str = "This port speaks HTTPS: use https:// in place of http://\n";
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        TEXT.len()
    );
    let _ = stream.write_all(format!("{head}{TEXT}").as_bytes()).await;
    let _ = stream.shutdown().await;
    // Closing with unread bytes would reset the connection before the answer arrives.
    let mut rest = [0; 1024];
    let mut left = MAX_HEAD;
    while let Ok(read @ 1..) = tokio::io::AsyncReadExt::read(stream, &mut rest).await {
        left = left.saturating_sub(read);
        if left == 0 {
            break;
        }
    }
}
