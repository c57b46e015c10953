//! The DNS channel: any query that visits a name in which a token stands directly left of the zone.
//! To everybody else it is a plain authoritative server of one zone.
//!
//! It cannot be used against others: no answer over UDP is longer than one and a half times its
//! query, one network gets a bounded number of them, and nothing answers a response.

mod proofs;
mod rate;
mod socket;
mod zone;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::token::{Answer, DnsHit, Hit, Token, TokenChannel, TokenKind};
use coalmine_core::{Endpoint, text};
use serde_json::Map;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

pub(super) use self::proofs::Proofs;
pub(super) use self::rate::network;
use self::rate::{RateLimit, Verdict};
pub(super) use self::socket::Socket;
pub(crate) use self::zone::NAME_SERVER;
pub(super) use self::zone::Zone;
use self::zone::{Named, Reply};
use super::lookups::Lookups;
use super::slots::{Slots, accept};
use super::touch::{Candidate, Keeper, Touch, Touches, What};
use super::{Arrival, floor};

/// Longest datagram read; what is longer is no query of ours.
const MAX_DATAGRAM: usize = 4096;
/// Datagrams being answered at once.
const MAX_IN_FLIGHT: usize = 2048;
/// TCP connections at once.
const MAX_CONNECTIONS: usize = 256;
/// Of which from one source.
const MAX_PER_SOURCE: usize = 32;
/// Queries of one TCP connection being answered at once.
const MAX_PIPELINE: usize = 32;
/// Silence on a TCP connection before it's closed (RFC 7766 section 6.2.3: a few seconds).
const MAX_IDLE: Duration = Duration::from_secs(10);
/// Time for one message to arrive once its length has.
const MAX_MESSAGE_TIME: Duration = Duration::from_secs(5);
/// Life of a TCP connection.
const MAX_LIFE: Duration = Duration::from_secs(120);

/// Answers datagrams until stopped.
pub(super) async fn serve_udp<K: Keeper>(
    socket: Socket,
    zone: Arc<Zone>,
    touches: Arc<Touches<K>>,
) {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut limit = RateLimit::new();
    let mut buffer = vec![0; Socket::BUFFER];
    loop {
        let Ok(arrived) = socket.receive(&mut buffer).await else {
            // On Linux: an ICMP error for an earlier answer, or no memory.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let arrival = Instant::now();
        let (peer, local) = (arrived.peer, arrived.local);
        for packet in arrived.datagrams(&buffer) {
            // Nobody can receive an answer at port 0; who asks from there forges.
            if peer.port() == 0 || packet.len() > MAX_DATAGRAM {
                continue;
            }
            let Some(mut reply) = zone.react(packet) else {
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let (length, verdict) = (packet.len(), limit.verdict(peer.ip(), arrival));
            let (socket, touches) = (Arc::clone(&socket), Arc::clone(&touches));
            tokio::spawn(async move {
                let named = reply.named.take();
                let noticed = notice(named, reply, "udp", peer, local, &touches);
                let (reply, ()) = tokio::join!(noticed, floor(arrival));
                let bytes = reply.and_then(|reply| match verdict {
                    Verdict::Answer => Some(reply.datagram(length)),
                    Verdict::Truncate => Some(reply.truncated()),
                    Verdict::Silence => None,
                });
                if let Some(bytes) = bytes {
                    // The peer asks again if this one is lost.
                    let _ = socket.send(&bytes, peer, local.ip()).await;
                }
                drop(place);
            });
        }
    }
}

/// Accepts until stopped.
pub(super) async fn serve_tcp<K: Keeper>(
    listener: TcpListener,
    zone: Arc<Zone>,
    touches: Arc<Touches<K>>,
) {
    let slots = Slots::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    accept(
        listener,
        |source| slots.take(source),
        |stream, peer, local| {
            let (input, output) = stream.into_split();
            let (zone, touches) = (Arc::clone(&zone), Arc::clone(&touches));
            let talk = converse(input, output, peer, local, zone, touches);
            async move {
                // However it ends, it's the peer's business.
                let _ = timeout(MAX_LIFE, talk).await;
            }
        },
    )
    .await;
}

/// One TCP connection: queries as they come, answers as they are ready (RFC 7766 section 6.2.1.1).
async fn converse<K: Keeper>(
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    peer: SocketAddr,
    local: SocketAddr,
    zone: Arc<Zone>,
    touches: Arc<Touches<K>>,
) -> io::Result<()> {
    let (sender, mut answers) = mpsc::channel::<Vec<u8>>(MAX_PIPELINE);
    let places = Arc::new(Semaphore::new(MAX_PIPELINE));
    let read = async move {
        while let Some(packet) = message(&mut input).await? {
            let arrival = Instant::now();
            let Some(mut reply) = zone.react(&packet) else {
                // No query: whoever sends that has nothing else to say.
                break;
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let (sender, touches) = (sender.clone(), Arc::clone(&touches));
            tokio::spawn(async move {
                let named = reply.named.take();
                let noticed = notice(named, reply, "tcp", peer, local, &touches);
                let (reply, ()) = tokio::join!(noticed, floor(arrival));
                if let Some(reply) = reply {
                    // A closed connection needs no answer.
                    let _ = sender.send(reply.framed()).await;
                }
                drop(place);
            });
        }
        Ok(())
    };
    let write = async move {
        while let Some(bytes) = answers.recv().await {
            timeout(MAX_MESSAGE_TIME, output.write_all(&bytes)).await??;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(|((), ())| ())
}

/// The next message of a stream; `None` at its end or after too long a silence.
async fn message(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match timeout(MAX_IDLE, input.read_u16()).await {
        Ok(Ok(length)) => usize::from(length),
        Ok(Err(_)) | Err(_) => return Ok(None),
    };
    if length > MAX_DATAGRAM {
        return Ok(None);
    }
    let mut packet = vec![0; length];
    timeout(MAX_MESSAGE_TIME, input.read_exact(&mut packet)).await??;
    Ok(Some(packet))
}

/// Remembers a touch, and gives the reply back as the token's kind wants it; `None` where nothing may
/// be answered.
async fn notice<K: Keeper>(
    named: Option<Named>,
    reply: Reply,
    transport: &'static str,
    peer: SocketAddr,
    local: SocketAddr,
    touches: &Arc<Touches<K>>,
) -> Option<Reply> {
    let Some(named) = named else {
        return Some(reply);
    };
    touches.note_probe(&named.token, || Arrival {
        name: named.name.clone(),
        query_type: named.query_type.clone(),
        client: peer.ip().to_canonical(),
        transport,
    });
    let touch = Touch {
        at: crate::now(),
        src: Endpoint::from(peer),
        dst: Endpoint::from(local),
        what: What::Dns {
            name: named.name,
            labels: named.labels,
            query_type: named.query_type,
            transport,
        },
    };
    let answer = touches
        .touch(vec![Candidate::Id(named.token)], touch)
        .await?;
    Some(match answer {
        Answer::NxDomain => reply.missing(),
        _ => reply,
    })
}

/// Has made-up bytes read as a query, or a query for a made-up name read, and every kind told of the
/// token in it; for the fuzzer.
pub(super) fn exercise(input: &[u8], kinds: &[&TokenKind]) {
    const TOKEN: &str = "4ylq9w1xk0d3v5m7s2b8n6c1z";
    let zone = Zone::new("tokens.example.com", IpAddr::from([127, 0, 0, 1]))
        .and_then(|zone| zone.with_nx(Some("nx.tokens.example.com")));
    let (Ok(zone), Some((how, rest))) = (zone, input.split_first()) else {
        return;
    };
    let packet = match how {
        0 => rest.to_vec(),
        kind => {
            // One query of class IN (RFC 1035 section 4.1).
            let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let zone = [TOKEN, "tokens", "example", "com", ""].map(str::as_bytes);
            let data = rest.split(|b| *b == b'.').filter(|label| !label.is_empty());
            for label in data.chain(zone) {
                packet.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
                packet.extend_from_slice(label);
            }
            packet.extend_from_slice(&[0, *kind, 0, 1]);
            packet
        }
    };
    let (Some(reply), Some(missing)) = (zone.react(&packet), zone.react(&packet)) else {
        return;
    };
    let most = packet
        .len()
        .saturating_add(packet.len().saturating_add(28) / 2);
    assert!(reply.truncated().len() <= most && reply.datagram(packet.len()).len() <= most);
    assert!(missing.missing().datagram(packet.len()).len() <= most);
    assert!(reply.framed().len() > 12);
    let Some(named) = reply.named else { return };
    let (client, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
    let lookups = Lookups::new();
    let ask = || lookups.of(client, &named.name, &named.labels, now);
    assert!(
        Arc::ptr_eq(&ask(), &ask()),
        "the same name is the same look-up"
    );
    let token = Token {
        id: named.token.clone(),
        kind: String::new(),
        memo: String::new(),
        fields: Map::new(),
        params: BTreeMap::new(),
    };
    for kind in kinds
        .iter()
        .filter(|k| k.channels.contains(&TokenChannel::Dns))
    {
        let hit = DnsHit {
            client,
            name: &named.name,
            labels: &named.labels,
            query_type: &named.query_type,
        };
        let trip = (kind.trip)(&token, &Hit::Dns(hit));
        for (name, value) in &trip.fields {
            assert!(kind.event.iter().any(|field| field.name == name), "{name}");
            assert!(
                value
                    .as_str()
                    .is_none_or(|text| text.len() <= text::MAX_FIELD)
            );
        }
    }
}

#[cfg(test)]
mod tests;
