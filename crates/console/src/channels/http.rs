//! The HTTP channel: any request whose URL or Host holds a token. To everybody else it is a plain
//! nginx that serves one pixel.
//!
//! The source is who connected; `X-Forwarded-For` is believed of the operator's own proxies alone.

mod answer;
mod head;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::Endpoint;
use coalmine_core::token::{Alias, Answer, TokenChannel};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use self::answer::Refusal;
use self::head::{Framing, Head, Parsed};
use super::proxies::Proxies;
use super::slots::{Slot, Slots, accept};
use super::touch::{Candidate, Keeper, Touch, Touches, What};
use super::{floor, kubernetes};

/// Connections at once.
pub(super) const MAX_CONNECTIONS: usize = 1024;
/// Of which from one source.
pub(super) const MAX_PER_SOURCE: usize = 64;
/// Requests on one connection (nginx: `keepalive_requests`).
const MAX_REQUESTS: usize = 1000;
/// Time for a request's head, and between requests.
const MAX_HEAD_TIME: Duration = Duration::from_secs(60);
/// Time for a request's body.
const MAX_BODY_TIME: Duration = Duration::from_secs(60);
/// Time for writing one answer.
const MAX_WRITE_TIME: Duration = Duration::from_secs(20);
/// Longest body taken (nginx: `client_max_body_size`).
const MAX_BODY: u64 = 1024 * 1024;
/// How much of a body is kept.
const MAX_BODY_KEPT: usize = 64 * 1024;
/// Longest line that announces a chunk.
const MAX_CHUNK_LINE: usize = 1024;
/// Bytes and time that a closing connection is still listened to, so that the peer reads the
/// answer before it sees a reset.
const MAX_LINGER: (usize, Duration) = (256 * 1024, Duration::from_secs(2));

/// Accepts until stopped.
pub(super) async fn serve<K: Keeper>(
    listener: TcpListener,
    proxies: Arc<Proxies>,
    touches: Arc<Touches<K>>,
) {
    let slots = Slots::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    let place = |source| place(&slots, &proxies, source);
    accept(listener, place, |stream, peer, local| {
        let talker = Talker {
            peer,
            local,
            channel: TokenChannel::Http,
            tls: false,
            wrong_port: false,
            client_certificate: None,
            proxies: Arc::clone(&proxies),
        };
        let touches = Arc::clone(&touches);
        async move {
            // A connection that breaks is the peer's business.
            let _ = converse(stream, &talker, &touches).await;
        }
    })
    .await;
}

/// A place for a connection from `source`; proxies bring many people.
pub(super) fn place(slots: &Arc<Slots>, proxies: &Proxies, source: IpAddr) -> Option<Slot> {
    match proxies.contains(source) {
        true => slots.take_for_many(source),
        false => slots.take(source),
    }
}

/// Who is at the other end of a connection, and how.
pub(super) struct Talker {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// HTTP, or Kubernetes, which answers in its own words.
    pub channel: TokenChannel,
    pub tls: bool,
    /// Whether it should have been TLS: nothing is served then.
    pub wrong_port: bool,
    /// SHA-1 of the certificate shown, in lower-case hex.
    pub client_certificate: Option<String>,
    /// Whose word on others counts.
    pub proxies: Arc<Proxies>,
}

impl Talker {
    /// Who sent these headers.
    fn client(&self, headers: &[(String, String)]) -> Endpoint {
        match self.proxies.client(self.peer.ip(), headers) {
            // The port is the proxy's own.
            Some(ip) => Endpoint { ip, port: 0 },
            None => Endpoint::from(self.peer),
        }
    }

    /// Whether they came over TLS.
    fn is_secure(&self, headers: &[(String, String)]) -> bool {
        self.tls || self.proxies.is_secure(self.peer.ip(), headers)
    }
}

/// One connection, from first request to last.
pub(super) async fn converse<K: Keeper>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    talker: &Talker,
    touches: &Arc<Touches<K>>,
) -> io::Result<()> {
    let mut connection = Connection {
        stream,
        input: Vec::new(),
    };
    for served in 1..=MAX_REQUESTS {
        let Ok(head) = timeout(MAX_HEAD_TIME, connection.head()).await else {
            return Ok(());
        };
        let (mut head, refusal) = match head? {
            None => return Ok(()),
            Some(Ok(head)) => {
                let wrong = talker.wrong_port.then_some(Refusal::PlainToTls);
                let refusal = head.refusal.or(wrong);
                (head, refusal)
            }
            Some(Err(refusal)) => {
                floor(Instant::now()).await;
                let bytes = match talker.channel {
                    TokenChannel::Kubernetes => kubernetes::refused(),
                    _ => answer::refused(None, refusal),
                };
                connection.write(&bytes).await?;
                return connection.linger().await;
            }
        };
        let mut body = Body::default();
        let refusal = match refusal {
            Some(refusal) => Some(refusal),
            None => connection.body(&head, &mut body).await?,
        };
        let arrival = Instant::now();
        let asked = touches.touch(candidates(&head, talker), touch(&head, body, talker));
        // The clock is wound up at once, whatever the request asks for.
        let (kept, ()) = tokio::join!(asked, floor(arrival));
        let Some(mut reply) = kept else {
            return Ok(());
        };
        if reply == Answer::Plain
            && talker.channel == TokenChannel::Http
            && head.path == "/"
            && let Some(page) = touches.root().await
        {
            reply = Answer::Body {
                mime: "text/html".to_owned(),
                bytes: page.into_bytes(),
            };
        }
        head.keep_alive &= served < MAX_REQUESTS && refusal.is_none();
        let bytes = match refusal {
            Some(Refusal::Vanished) => return Ok(()),
            Some(_) if talker.channel == TokenChannel::Kubernetes => kubernetes::refused(),
            Some(refusal) => answer::refused(Some(&head), refusal),
            None if talker.channel == TokenChannel::Kubernetes => {
                kubernetes::answered(&kubernetes::Asked {
                    method: &head.method,
                    path: &head.path,
                    headers: &head.headers,
                    keep_alive: head.keep_alive,
                    certificate: talker.client_certificate.is_some(),
                })
            }
            None => answer::answered(&head, &reply),
        };
        connection.write(&bytes).await?;
        if !head.keep_alive {
            return connection.linger().await;
        }
    }
    Ok(())
}

/// What may name a token. Of a Kubernetes client these are its credentials alone.
fn candidates(head: &Head, talker: &Talker) -> Vec<Candidate> {
    let found = head.candidates(talker.client_certificate.as_deref());
    if talker.channel == TokenChannel::Http {
        return found;
    }
    let ours = |candidate| match candidate {
        Candidate::Alias(alias) => Some(Candidate::Alias(Alias {
            channel: talker.channel,
            ..alias
        })),
        Candidate::Id(_) => None,
    };
    found.into_iter().filter_map(ours).collect()
}

fn touch(head: &Head, body: Body, talker: &Talker) -> Touch {
    Touch {
        at: crate::now(),
        src: talker.client(&head.headers),
        dst: Endpoint::from(talker.local),
        what: What::Http {
            channel: talker.channel,
            tls: talker.is_secure(&head.headers),
            client_certificate: talker.client_certificate.clone(),
            method: head.method.clone(),
            url: head.url(talker),
            path: head.path.clone(),
            headers: head.headers.clone(),
            query: head.query.clone(),
            body: body.kept,
            body_size: body.size,
        },
    }
}

/// A request's body: its beginning and its size.
#[derive(Default)]
struct Body {
    kept: Vec<u8>,
    size: u64,
}

impl Body {
    fn take(&mut self, bytes: &[u8]) {
        let room = MAX_BODY_KEPT.saturating_sub(self.kept.len());
        self.kept
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(more);
    }
}

/// A stream and what has been read of it but not used.
struct Connection<S> {
    stream: S,
    input: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The next request's head; `None` when the peer has gone.
    async fn head(&mut self) -> io::Result<Option<Result<Head, Refusal>>> {
        loop {
            match head::parse(&self.input) {
                Parsed::Head(head, used) => {
                    self.used(used);
                    return Ok(Some(Ok(head)));
                }
                Parsed::Refused(refusal) => return Ok(Some(Err(refusal))),
                Parsed::More => {}
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads the body, as much as comes in time.
    async fn body(&mut self, head: &Head, body: &mut Body) -> io::Result<Option<Refusal>> {
        match head.framing {
            Framing::None => return Ok(None),
            Framing::Length(length) if length > MAX_BODY => {
                body.size = length;
                return Ok(Some(Refusal::BodyTooLarge));
            }
            Framing::Length(_) | Framing::Chunked => {}
        }
        if head.expects_continue {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let read = async {
            match head.framing {
                Framing::Length(length) => self.sized(length, body).await,
                _ => self.chunked(body).await,
            }
        };
        match timeout(MAX_BODY_TIME, read).await {
            Ok(Ok(refusal)) => Ok(refusal),
            // The URL was touched all the same.
            Ok(Err(_)) | Err(_) => Ok(Some(Refusal::Vanished)),
        }
    }

    async fn sized(&mut self, length: u64, body: &mut Body) -> io::Result<Option<Refusal>> {
        while body.size < length {
            let missing = length.saturating_sub(body.size);
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            let now = missing.min(self.input.len());
            if now == 0 {
                if !self.fill().await? {
                    return Ok(Some(Refusal::Vanished));
                }
                continue;
            }
            body.take(self.input.get(..now).unwrap_or_default());
            self.used(now);
        }
        Ok(None)
    }

    /// RFC 9112 section 7.1.
    async fn chunked(&mut self, body: &mut Body) -> io::Result<Option<Refusal>> {
        loop {
            let length = match httparse::parse_chunk_size(&self.input) {
                Ok(httparse::Status::Complete((used, length))) => {
                    self.used(used);
                    length
                }
                Ok(httparse::Status::Partial) if self.input.len() < MAX_CHUNK_LINE => {
                    if !self.fill().await? {
                        return Ok(Some(Refusal::Vanished));
                    }
                    continue;
                }
                _ => return Ok(Some(Refusal::BadRequest)),
            };
            if length == 0 {
                return self.trailers().await;
            }
            let until = body.size.saturating_add(length);
            if until > MAX_BODY {
                return Ok(Some(Refusal::BodyTooLarge));
            }
            if let Some(refusal) = self.sized(until, body).await? {
                return Ok(Some(refusal));
            }
            while self.input.len() < 2 {
                if !self.fill().await? {
                    return Ok(Some(Refusal::Vanished));
                }
            }
            if !self.input.starts_with(b"\r\n") {
                return Ok(Some(Refusal::BadRequest));
            }
            self.used(2);
        }
    }

    /// Lines after the last chunk, up to the empty one.
    async fn trailers(&mut self) -> io::Result<Option<Refusal>> {
        loop {
            match self.input.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    let empty = matches!(self.input.get(..end), Some(b"" | b"\r"));
                    self.used(end.saturating_add(1));
                    if empty {
                        return Ok(None);
                    }
                }
                None if self.input.len() > MAX_CHUNK_LINE => {
                    return Ok(Some(Refusal::BadRequest));
                }
                None => {
                    if !self.fill().await? {
                        return Ok(Some(Refusal::Vanished));
                    }
                }
            }
        }
    }

    /// Reads once; false at the end of the stream. What is unused is bounded by who calls.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut block = [0; 4096];
        let read = self.stream.read(&mut block).await?;
        self.input
            .extend_from_slice(block.get(..read).unwrap_or_default());
        Ok(read > 0)
    }

    fn used(&mut self, count: usize) {
        self.input.drain(..count.min(self.input.len()));
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(MAX_WRITE_TIME, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await?
    }

    /// Says goodbye and hears the peer out.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let (most, time) = MAX_LINGER;
        let drain = async {
            let mut block = [0; 4096];
            let mut heard: usize = 0;
            while heard < most {
                match self.stream.read(&mut block).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => heard = heard.saturating_add(read),
                }
            }
        };
        // Out of time is as good as done.
        let _ = timeout(time, drain).await;
        Ok(())
    }
}

/// Reads requests of made-up bytes and answers them, as a web server and as Kubernetes; for the fuzzer.
pub(super) fn exercise(input: &[u8]) {
    let mut rest = input;
    while let Parsed::Head(head, used) = head::parse(rest) {
        assert!(used <= rest.len());
        rest = rest.get(used..).unwrap_or_default();
        for channel in [TokenChannel::Http, TokenChannel::Kubernetes] {
            let talker = Talker {
                peer: SocketAddr::from(([192, 0, 2, 1], 1)),
                local: SocketAddr::from(([192, 0, 2, 2], 443)),
                channel,
                tls: true,
                wrong_port: false,
                client_certificate: None,
                proxies: Arc::default(),
            };
            let ids = |candidate: &Candidate| matches!(candidate, Candidate::Id(_));
            let named = candidates(&head, &talker);
            assert!(channel == TokenChannel::Http || !named.iter().any(ids));
            let _ = touch(&head, Body::default(), &talker);
        }
        if let Some(refusal) = head.refusal {
            // The connection ends here.
            assert!(answer::refused(Some(&head), refusal).starts_with(b"HTTP/1.1 "));
            break;
        }
        assert!(used > 0);
        let _ = answer::answered(&head, &Answer::Plain);
        let answer = kubernetes::answered(&kubernetes::Asked {
            method: &head.method,
            path: &head.path,
            headers: &head.headers,
            keep_alive: head.keep_alive,
            certificate: false,
        });
        let answer = String::from_utf8_lossy(&answer);
        let (told, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let length = told.split("Content-Length: ").nth(1).unwrap_or_default();
        let length = length.split("\r\n").next().and_then(|l| l.parse().ok());
        let length: Option<usize> = length;
        assert!(head.method == "HEAD" && body.is_empty() || length == Some(body.len()));
    }
}

#[cfg(test)]
mod tests;
