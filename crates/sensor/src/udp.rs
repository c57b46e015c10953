//! The driver of datagram services: batches in, sightings to disk, bounded answers out.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use coalmine_core::decoy::{Channel, Context, Datagrams};
use coalmine_core::{Out, Subject, Timestamp};
use lru::LruCache;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::house::{House, now};
use crate::spool::Ticket;

/// Datagrams taken from the kernel with one call.
const MAX_BATCH: usize = 16;
/// Calls after which others get a turn; what they brought shares one wait for the disk.
const MAX_CALLS: usize = 8;
/// Size of each of the buffers that all sockets of a thread read through: the kernel may join
/// datagrams. What isn't written to takes no memory.
const SCRATCH: usize = 64 * 1024;
/// Longest datagram looked at; the rest of a longer one is cut off.
const MAX_DATAGRAM: usize = 2_048;
/// The kernel holds so many bytes for us.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// Sources whose rate is remembered; the one not heard of longest is forgotten first.
const MAX_SOURCES: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Answers a second to one source, and how many may come at once.
const SOURCE_RATE: f64 = 10.0;
const SOURCE_BURST: f64 = 25.0;
/// Bytes a second to one source, and how many may come at once.
const SOURCE_BYTES_RATE: f64 = 5_000.0;
const SOURCE_BYTES_BURST: f64 = 12_500.0;
/// Answers a second in all, and how many may come at once.
const TOTAL_RATE: f64 = 200.0;
const TOTAL_BURST: f64 = 400.0;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH * MAX_BATCH].into_boxed_slice());
}

/// One UDP service of one bird.
pub(crate) struct UdpService {
    pub(crate) subject: Subject,
    pub(crate) decoy: Box<dyn Datagrams>,
}

/// A bound socket that knows at which of our addresses a datagram arrived.
pub(crate) struct BoundUdp {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Listens on `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<BoundUdp> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    let local = socket.local_addr()?;
    Ok(BoundUdp {
        socket,
        state,
        local,
    })
}

impl BoundUdp {
    /// Fills `buffer` in steps of [`SCRATCH`] with what the kernel has; how many steps. None when
    /// there is nothing, or an ICMP error that an earlier answer provoked.
    fn receive(&self, buffer: &mut [u8], meta: &mut [RecvMeta; MAX_BATCH]) -> usize {
        let mut filled = 0;
        let mut steps = buffer.chunks_mut(SCRATCH);
        let mut buffers: [IoSliceMut<'_>; MAX_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(steps.next().unwrap_or_default()));
        let _ = self.socket.try_io(Interest::READABLE, || {
            let socket = UdpSockRef::from(&self.socket);
            filled = self.state.recv(socket, &mut buffers, meta)?;
            if filled == MAX_BATCH {
                return Ok(());
            }
            // Fewer than there was room for: the next look waits for more to come.
            Err(io::ErrorKind::WouldBlock.into())
        });
        filled
    }
}

/// An answer that waits for the disk.
struct Answer {
    to: SocketAddr,
    from: IpAddr,
    bytes: Vec<u8>,
    new_port: bool,
}

/// Answers until the sensor stops.
pub(crate) async fn run(
    bound: BoundUdp,
    service: UdpService,
    rates: Arc<Rates>,
    house: Arc<House>,
) {
    loop {
        tokio::select! {
            ready = bound.socket.readable() => if ready.is_err() { return },
            () = house.stopping() => return,
        }
        let mut answers = Vec::new();
        let mut ticket = None;
        for _ in 0..MAX_CALLS {
            let received = BUFFER.with_borrow_mut(|buffer| {
                let mut meta = [RecvMeta::default(); MAX_BATCH];
                let count = bound.receive(buffer, &mut meta);
                for (meta, buffer) in meta.iter().zip(buffer.chunks(SCRATCH)).take(count) {
                    let received = buffer.get(..meta.len).unwrap_or_default();
                    for datagram in received.chunks(meta.stride.max(1)) {
                        let datagram = datagram.get(..MAX_DATAGRAM).unwrap_or(datagram);
                        let taken = take(datagram, meta, &bound, &service, &rates, &house);
                        answers.extend(taken.0);
                        ticket = taken.1.or(ticket.take());
                    }
                }
                count
            });
            if received < MAX_BATCH {
                break;
            }
        }
        if answers.is_empty() {
            continue;
        }
        if let Some(ticket) = ticket {
            house.on_disk(ticket).await;
        }
        for answer in answers {
            send(&bound, &answer);
        }
    }
}

/// One datagram: what it shows goes to the spool, what it's answered comes back with the ticket.
fn take(
    datagram: &[u8],
    meta: &RecvMeta,
    bound: &BoundUdp,
    service: &UdpService,
    rates: &Rates,
    house: &House,
) -> (Option<Answer>, Option<Ticket>) {
    let local = SocketAddr::new(meta.dst_ip.unwrap_or(bound.local.ip()), bound.local.port());
    if !may_be_answered(meta.addr, local) {
        return (None, None);
    }
    let at = now();
    let context = Context {
        peer: meta.addr,
        local,
        seed: house.session_seed(),
        channel: Channel::Clear,
        now: at,
    };
    let mut out = Out::new();
    service.decoy.datagram(&context, datagram, &mut out);
    let ends = (meta.addr.into(), local.into());
    let Ok(ticket) = house.see(out.take_seen(), at, &service.subject, ends) else {
        return (None, None);
    };
    let bytes = out.take_bytes();
    let answer =
        (!bytes.is_empty() && rates.allow(meta.addr.ip(), bytes.len(), at)).then(|| Answer {
            to: meta.addr,
            from: local.ip(),
            bytes,
            new_port: out.is_from_new_port(),
        });
    (answer, ticket)
}

/// Sources that nobody can really have, or that would make us answer ourselves or everybody.
fn may_be_answered(peer: SocketAddr, local: SocketAddr) -> bool {
    let ip = peer.ip().to_canonical();
    let everybody = match ip {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    };
    let from_outside = local.ip().to_canonical().is_loopback() == ip.is_loopback();
    peer.port() != 0 && !everybody && peer != local && from_outside
}

fn send(bound: &BoundUdp, answer: &Answer) {
    // An answer that can't be sent is a lost datagram, which UDP peers expect.
    if answer.new_port {
        if let Ok(fresh) = std::net::UdpSocket::bind((answer.from, 0)) {
            let _ = fresh.send_to(&answer.bytes, answer.to);
        }
        return;
    }
    let transmit = Transmit {
        destination: answer.to,
        ecn: None,
        contents: &answer.bytes,
        segment_size: None,
        src_ip: Some(answer.from),
    };
    let _ = bound
        .state
        .try_send(UdpSockRef::from(&bound.socket), &transmit);
}

/// How fast UDP may be answered, over all services of the sensor: nobody can use us to flood a
/// third party.
pub(crate) struct Rates(Mutex<RateState>);

struct RateState {
    total: Bucket,
    sources: LruCache<IpAddr, (Bucket, Bucket)>,
}

impl Rates {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(RateState {
            total: Bucket::full(TOTAL_BURST),
            sources: LruCache::new(MAX_SOURCES),
        }))
    }

    /// Whether `source` may be answered with `bytes` now.
    fn allow(&self, source: IpAddr, bytes: usize, at: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let (answers, volume) = state.sources.get_or_insert_mut(source, || {
            (Bucket::full(SOURCE_BURST), Bucket::full(SOURCE_BYTES_BURST))
        });
        #[expect(clippy::cast_precision_loss, reason = "datagrams are short")]
        let bytes = bytes as f64;
        answers.fill(at, SOURCE_RATE, SOURCE_BURST);
        volume.fill(at, SOURCE_BYTES_RATE, SOURCE_BYTES_BURST);
        state.total.fill(at, TOTAL_RATE, TOTAL_BURST);
        let allowed = answers.level >= 1.0 && volume.level >= bytes && state.total.level >= 1.0;
        if allowed {
            answers.level -= 1.0;
            volume.level -= bytes;
            state.total.level -= 1.0;
        }
        allowed
    }
}

/// A token bucket.
struct Bucket {
    level: f64,
    at: Timestamp,
}

impl Bucket {
    fn full(burst: f64) -> Self {
        Self {
            level: burst,
            at: Timestamp::default(),
        }
    }

    fn fill(&mut self, at: Timestamp, rate: f64, burst: f64) {
        self.level = (self.level + at.since(self.at).as_secs_f64() * rate).min(burst);
        self.at = self.at.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let rates = Rates::new();
        let source = IpAddr::from([192, 0, 2, 1]);
        let start = Timestamp::from_secs(1_000);
        let granted = (0..200).filter(|_| rates.allow(source, 10, start)).count();
        assert_eq!(granted, 25);
        let later = start.plus(Duration::from_secs(1));
        let granted = (0..200).filter(|_| rates.allow(source, 10, later)).count();
        assert_eq!(granted, 10);
    }

    #[test]
    fn bytes_and_the_total_are_bounded_too() {
        let rates = Rates::new();
        let start = Timestamp::from_secs(1_000);
        let source = IpAddr::from([192, 0, 2, 1]);
        let granted = (0..25)
            .filter(|_| rates.allow(source, 5_000, start))
            .count();
        assert_eq!(granted, 2, "12,500 bytes at once");
        let granted = (0..=255_u8)
            .flat_map(|n| {
                [
                    IpAddr::from([198, 51, 100, n]),
                    IpAddr::from([203, 0, 113, n]),
                ]
            })
            .filter(|source| rates.allow(*source, 10, start))
            .count();
        assert_eq!(granted, 398, "400 at once in all, two are gone");
    }

    #[test]
    fn impossible_sources_are_dropped() {
        let local: SocketAddr = "192.0.2.1:69".parse().unwrap();
        for bad in [
            "0.0.0.0:1",
            "255.255.255.255:1",
            "224.0.0.1:1",
            "192.0.2.9:0",
            "127.0.0.1:5",
            "192.0.2.1:69",
        ] {
            assert!(!may_be_answered(bad.parse().unwrap(), local), "{bad}");
        }
        assert!(may_be_answered("192.0.2.9:5".parse().unwrap(), local));
        let loopback = "127.0.0.1:69".parse().unwrap();
        assert!(may_be_answered("127.0.0.1:5".parse().unwrap(), loopback));
    }
}
