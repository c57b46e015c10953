//! Clients that touch tokens: over HTTP on connections of their own or kept ones, over DNS by UDP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::fill;
use crate::program::ZONE;

/// An answer that takes longer isn't one.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const BLOCK: usize = 4096;

/// How tokens are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A connection for each request.
    Http,
    /// Requests follow each other on connections.
    HttpKept,
    /// UDP.
    Dns,
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How.
    pub way: Way,
    /// Where.
    pub target: SocketAddr,
    /// Tokens that are touched in turn.
    pub tokens: usize,
    /// Touches in all.
    pub hits: usize,
    /// A second; 0 for as many as are answered.
    pub rate: usize,
    /// Clients, each with an address in a network of its own.
    pub clients: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Touches sent.
    pub sent: usize,
    /// Of which answered.
    pub answered: usize,
    /// From first to last.
    pub wall: Duration,
    /// From request to answer, sorted; of HTTP alone.
    pub times: Vec<Duration>,
}

/// Touches tokens until all hits are made.
pub async fn run(load: Load) -> Result<Outcome> {
    let start = Instant::now();
    let clients: Vec<_> = (0..load.clients)
        .map(|client| tokio::spawn(drive(load, client, start)))
        .collect();
    let mut all = Outcome::default();
    for client in clients {
        let one = client.await??;
        all.sent += one.sent;
        all.answered += one.answered;
        all.times.extend(one.times);
    }
    all.wall = start.elapsed();
    all.times.sort_unstable();
    Ok(all)
}

/// One client: its hits are every `clients`th, and so are its tokens.
async fn drive(load: Load, client: usize, start: Instant) -> Result<Outcome> {
    let source = source(client, load.way)?;
    let mine = load.tokens.div_ceil(load.clients).max(1);
    // HTTP tokens have even numbers, DNS tokens odd ones.
    let number = |k: usize| {
        let n = (client + (k % mine) * load.clients) % load.tokens;
        2 * n + usize::from(load.way == Way::Dns)
    };
    let hits = (client..load.hits).step_by(load.clients).enumerate();
    match load.way {
        Way::Dns => queries(load, start, source, hits.map(|(k, n)| (n, number(k)))).await,
        Way::Http | Way::HttpKept => {
            let mut outcome = Outcome::default();
            let mut kept = None;
            for (k, n) in hits {
                in_time(load, start, n).await;
                let token = fill::id(number(k));
                outcome.sent += 1;
                let begun = Instant::now();
                let path = format!("/images/{token}/index.html");
                let stream = kept.take();
                let fetched = timeout(MAX_WAIT, fetch(stream, source, load, &path)).await;
                if let Ok(Ok(stream)) = fetched {
                    outcome.answered += 1;
                    outcome.times.push(begun.elapsed());
                    kept = stream;
                }
            }
            Ok(outcome)
        }
    }
}

/// Waits until hit number `n` is due.
async fn in_time(load: Load, start: Instant, n: usize) {
    if load.rate > 0 {
        let due = start + Duration::from_secs_f64(n as f64 / load.rate as f64);
        tokio::time::sleep_until(due.into()).await;
    }
}

/// An address for a client; the program bounds what one address or network gets.
fn source(client: usize, way: Way) -> Result<SocketAddr> {
    let half = if way == Way::Dns { 120 } else { 119 };
    let network = u8::try_from(client % 250)?;
    Ok(SocketAddr::from(([127, half, network, 7], 0)))
}

/// Asks once; the connection, if it may be used again.
async fn fetch(
    stream: Option<TcpStream>,
    source: SocketAddr,
    load: Load,
    path: &str,
) -> Result<Option<TcpStream>> {
    let keep = load.way == Way::HttpKept;
    let mut stream = match stream {
        Some(stream) => stream,
        None => connect(source, load.target).await?,
    };
    stream.write_all(&request(path, keep)).await?;
    answer(&mut stream).await?;
    Ok(keep.then_some(stream))
}

/// A connection from `source`.
pub async fn connect(source: SocketAddr, target: SocketAddr) -> Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(source)?;
    Ok(socket.connect(target).await?)
}

/// A request as a mail program makes it.
pub fn request(path: &str, keep: bool) -> Vec<u8> {
    let end = if keep { "keep-alive" } else { "close" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {ZONE}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; \
         rv:102.0) Gecko/20100101 Thunderbird/102.4.1\r\nAccept: image/avif,image/webp,*/*\r\n\
         Accept-Encoding: gzip, deflate\r\nConnection: {end}\r\n\r\n"
    )
    .into_bytes()
}

/// Reads one whole answer.
pub async fn answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        let mut block = [0; BLOCK];
        let read = stream.read(&mut block).await?;
        if read == 0 {
            bail!("no whole answer");
        }
        answer.extend_from_slice(&block[..read]);
        let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("an answer without length")?;
        if answer.len() >= head + 4 + length.trim().parse::<usize>()? {
            return Ok(answer);
        }
    }
}

/// Sends queries in time and counts the answers.
async fn queries(
    load: Load,
    start: Instant,
    source: SocketAddr,
    hits: impl Iterator<Item = (usize, usize)>,
) -> Result<Outcome> {
    let socket = Arc::new(socket(source, load.target).await?);
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = tokio::spawn({
        let (socket, answered) = (Arc::clone(&socket), Arc::clone(&answered));
        async move {
            let mut block = [0; 512];
            while socket.recv(&mut block).await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut sent = 0;
    for (k, (n, token)) in hits.enumerate() {
        in_time(load, start, n).await;
        // A label of its own: the same name again would be part of the same look-up.
        let data = format!("n{n}");
        let token = fill::id(token).to_string();
        socket.send(&query(k, &[&data, &token])).await?;
        sent += 1;
    }
    let end = Instant::now() + MAX_WAIT;
    while answered.load(Ordering::Relaxed) < sent && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    counter.abort();
    Ok(Outcome {
        sent,
        answered: answered.load(Ordering::Relaxed),
        ..Outcome::default()
    })
}

/// A socket that has room for what comes.
pub async fn socket(source: SocketAddr, target: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&source.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.connect(target).await?;
    Ok(socket)
}

/// A query for the address of `labels` below the zone, as a resolver asks (RFC 1035 section 4.1).
pub fn query(id: usize, labels: &[&str]) -> Vec<u8> {
    let mut packet = (id as u16).to_be_bytes().to_vec();
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in labels.iter().copied().chain(ZONE.split('.')) {
        packet.push(u8::try_from(label.len()).unwrap_or(0));
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    // EDNS with 1,232 bytes (RFC 6891).
    packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

/// Nothing but its address, for sources of single requests.
pub fn loopback(third: u8, fourth: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 121, third, fourth]), 0)
}
