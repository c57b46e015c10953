//! Packet watching: frames and time in, sightings out. The socket lives in the sensor.
//!
//! Every rule looks at one source at one bird. A segment that no connection can hold (FIN alone, no
//! flag at all, PSH or URG alone; a probe of nmap's OS detection) tells at once; contacts with
//! ports are counted, distinct ones in a short window, closed ones in a long one. Nothing is
//! dropped before it has reached its source's count; only reports are limited.

mod events;
mod fragments;
mod lru;
mod osprobe;
mod packet;
mod source;

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use coalmine_core::decoy::Seen;
use coalmine_core::{Endpoint, NodeId, Timestamp};

use events::Probe;
pub use events::{
    HostPortScan, KINDS, NmapFinScan, NmapNullScan, NmapOsScan, NmapXmasScan, PortContact,
};
use fragments::Fragments;
use lru::Lru;
use osprobe::OsProbe;
use packet::{Body, Flags, Packet, Tcp, Udp};
use source::{RETELL, Source};

/// Sources that have touched a single port.
const MAX_STRANGERS: usize = 8_192;
/// Sources that have done more. A flood of strangers doesn't push them out.
const MAX_KNOWN: usize = 4_096;
/// Connections that are remembered, so that their ends aren't taken for answers to a scan.
const MAX_FLOWS: usize = 8_192;
/// Sources whose contacts are told in one [`RETELL`]; the others wait.
const MAX_TOLD: usize = 64;
/// Reports of scans and probes in one [`RETELL`]; the others wait, or are one with those to come.
const MAX_REPORTS: usize = 256;
/// A scan is over when its source has been quiet for so long.
const QUIET: Duration = Duration::from_secs(300);
/// Strangers looked at in one tick.
const MAX_TURNS: usize = 512;
/// A SYN-ACK from somebody whom we never asked: our answer to it is no answer to a scan.
const BACKSCATTER: Duration = Duration::from_secs(5);
/// After the start, connections of before are still closing.
const GRACE: Duration = Duration::from_secs(300);
/// First port of Linux's ephemeral range (`ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;
/// Ports of traceroute's datagrams.
const TRACEROUTE: std::ops::RangeInclusive<u16> = 33_434..=33_534;
/// Datagrams to these ports are a network's own chatter: DHCP, NetBIOS.
const CHATTER: [u16; 4] = [67, 68, 137, 138];

coalmine_core::settings! {
    /// What counts as a port scan.
    pub struct PortscanSettings {
        /// So many distinct ports of the bird, tried by one source within `window_seconds`, are a scan.
        ports: u16 => "ports" = 5, few;
        /// See `ports`.
        window_seconds: u16 => "window_seconds" = 50, long;
        /// So many distinct closed ports, found within `slow_window_seconds`, are one, too.
        slow_ports: u16 => "slow_ports" = 6, few;
        /// See `slow_ports`.
        slow_window_seconds: u16 => "slow_window_seconds" = 3_600, long;
    }
}

fn few(number: &u16) -> Result<(), String> {
    if (2..=60).contains(number) {
        Ok(())
    } else {
        Err(format!("must be from 2 to 60, not {number}"))
    }
}

fn long(seconds: &u16) -> Result<(), String> {
    if *seconds > 0 {
        Ok(())
    } else {
        Err("must be from 1 to 65535 seconds, not 0".to_owned())
    }
}

/// What counts as a scan of one bird.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    ports: usize,
    window: Duration,
    slow_ports: usize,
    slow_window: Duration,
}

impl From<&PortscanSettings> for Settings {
    fn from(given: &PortscanSettings) -> Self {
        Self {
            ports: given.ports.into(),
            window: Duration::from_secs(given.window_seconds.into()),
            slow_ports: given.slow_ports.into(),
            slow_window: Duration::from_secs(given.slow_window_seconds.into()),
        }
    }
}

/// One bird to watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The bird.
    pub node_id: NodeId,
    /// Its address; the unspecified one stands for all of this machine.
    pub address: IpAddr,
    /// TCP ports on which it listens.
    pub listening: HashSet<u16>,
    /// Ports, TCP and UDP, that are none of its decoys': a Console on the same address. Contacts
    /// with them count for nothing.
    pub exempt: HashSet<u16>,
    /// What counts as a scan of it.
    pub settings: PortscanSettings,
}

/// One frame as the socket gives it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What the link layer carries (IANA EtherType), e.g. 0x0800.
    pub ether_type: u16,
    /// The link layer's header; empty where there's none.
    pub link: &'a [u8],
    /// What follows it; may be cut off at the end.
    pub network: &'a [u8],
    /// Whether this machine sent it.
    pub outgoing: bool,
}

/// What has been seen: an event of one of [`KINDS`], or a [`PortContact`].
#[derive(Clone, Debug)]
pub struct Report {
    /// At which bird.
    pub bird: NodeId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub src: Endpoint,
    /// What was touched.
    pub dst: Endpoint,
    /// The event.
    pub seen: Seen,
}

/// Watches the packets of some birds.
pub struct Watch {
    birds: Vec<Watched>,
    /// Of each bird.
    settings: Vec<Settings>,
    strangers: Lru<Key, Box<Source>>,
    known: Lru<Key, Box<Source>>,
    flows: Lru<Flow, Option<Timestamp>>,
    datagrams: Lru<Flow, bool>,
    fragments: Fragments,
    /// Known sources that may have something to tell.
    waiting: HashSet<Key>,
    /// Strangers that may, in the order in which they came.
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    /// Told in the present [`RETELL`].
    told: (Timestamp, usize, usize),
    started: Option<Timestamp>,
}

/// One source at one bird. IPv6 sources are told apart by network, for a host has all of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    bird: usize,
}

/// A conversation: the peer's end and the bird's.
type Flow = (Endpoint, Endpoint);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("birds", &self.birds.len())
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches `birds`; nothing has been seen yet.
    pub fn new(birds: Vec<Watched>) -> Self {
        Self {
            settings: birds
                .iter()
                .map(|bird| Settings::from(&bird.settings))
                .collect(),
            birds,
            strangers: Lru::new(MAX_STRANGERS),
            known: Lru::new(MAX_KNOWN),
            flows: Lru::new(MAX_FLOWS),
            datagrams: Lru::new(MAX_FLOWS),
            fragments: Fragments::new(),
            waiting: HashSet::new(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            told: (Timestamp::default(), 0, 0),
            started: None,
        }
    }

    /// One frame, seen at `now`; what it gives away is added to `reports`.
    pub fn frame(&mut self, frame: &Frame<'_>, now: Timestamp, reports: &mut Vec<Report>) {
        self.started.get_or_insert(now);
        let Some(packet) = Packet::parse(frame.ether_type, frame.network) else {
            return;
        };
        let touched = if frame.outgoing {
            self.bird(packet.src)
                .and_then(|bird| self.leaves(bird, &packet, now))
        } else if is_host(packet.src) {
            self.bird(packet.dst)
                .and_then(|bird| self.arrives(bird, &packet, frame.link, now))
        } else {
            None
        };
        if let Some(key) = touched {
            self.touched(key, now, reports);
        }
    }

    /// Time passes: what was held for a moment is added to `reports`. Call it about four times a
    /// second while [`Watch::is_waiting`].
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.turn(now);
        for key in std::mem::take(&mut self.waiting) {
            if self.tell(key, now, reports) {
                self.wait_for(key);
            }
        }
        for _ in 0..self.queue.len().min(MAX_TURNS) {
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            self.queued.remove(&key);
            if self.tell(key, now, reports) {
                self.wait_for(key);
            }
        }
    }

    /// Begins a new round of reports when it's time.
    fn turn(&mut self, now: Timestamp) {
        if now.since(self.told.0) >= RETELL || now < self.told.0 {
            self.told = (now, 0, 0);
        }
    }

    /// Whether something may have to be told without another frame.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.queue.is_empty()
    }

    /// Somebody connected to a bird, as a decoy tells it where packets can't be watched.
    pub fn connected(
        &mut self,
        bird: NodeId,
        (src, dst): (Endpoint, Endpoint),
        now: Timestamp,
        reports: &mut Vec<Report>,
    ) {
        let Some(bird) = self.birds.iter().position(|known| known.node_id == bird) else {
            return;
        };
        let Some(settings) = self.settings.get(bird).copied() else {
            return;
        };
        let key = key(src.ip, bird);
        self.source(key, (src, dst))
            .tries(dst.port, false, now, &settings);
        self.touched(key, now, reports);
    }

    fn bird(&self, address: IpAddr) -> Option<usize> {
        let is = |bird: &Watched| bird.address == address || bird.address.is_unspecified();
        self.birds.iter().position(is)
    }

    /// Something was noted of a source; what's due of it is told at once.
    fn touched(&mut self, key: Key, now: Timestamp, reports: &mut Vec<Report>) {
        self.promote(key);
        self.turn(now);
        if self.tell(key, now, reports) {
            self.wait_for(key);
        }
    }

    /// A packet from a peer.
    fn arrives(
        &mut self,
        bird: usize,
        packet: &Packet<'_>,
        link: &[u8],
        now: Timestamp,
    ) -> Option<Key> {
        match &packet.body {
            Body::Tcp(tcp) => self.segment(bird, packet, tcp, link, now),
            Body::Fragment {
                offset,
                more,
                bytes,
            } => {
                let key = fragments::Key {
                    src: packet.src,
                    dst: packet.dst,
                    id: packet.ip.id,
                };
                let part = (*offset, *more, *bytes);
                let header = self.fragments.add(key, part, now)?;
                let tcp = Tcp::parse(&header)?;
                self.segment(bird, packet, &tcp, link, now)
            }
            Body::Udp(udp) => self.datagram(bird, packet, udp, now),
            Body::Echo { code, length } => {
                let probe = OsProbe::of_echo(*code, *length)?;
                Some(self.os(bird, packet, (0, 0), probe, None, now))
            }
            Body::Other => None,
        }
    }

    /// A TCP segment from a peer.
    fn segment(
        &mut self,
        bird: usize,
        packet: &Packet<'_>,
        tcp: &Tcp<'_>,
        link: &[u8],
        now: Timestamp,
    ) -> Option<Key> {
        let ports = (tcp.src, tcp.dst);
        let mac = link.get(..14).unwrap_or(link);
        let show = |probe: Probe| probe.seen(mac, &packet.ip, tcp);
        if let Some(probe) = OsProbe::of_tcp(tcp) {
            return Some(self.os(bird, packet, ports, probe, Some(show(Probe::Os)), now));
        }
        let flags = tcp.flags.plain();
        let has = |flag| flags & flag != 0;
        let probe = match flags {
            Flags::FIN => Some(Probe::Fin),
            0 => Some(Probe::Null),
            _ if !has(Flags::SYN | Flags::ACK | Flags::RST) => Some(Probe::Xmas),
            _ => None,
        };
        if let Some(probe) = probe {
            let key = key(packet.src, bird);
            let source = self.source(key, ends(packet, ports));
            if source.probes(probe.index(), now) {
                source.due.push((show(probe), source.ends));
            }
            return Some(key);
        }
        let flow = ends(packet, ports);
        if has(Flags::SYN) && has(Flags::ACK) {
            self.flows
                .get_or_insert_with(flow, || Some(now.plus(BACKSCATTER)));
            return None;
        }
        has(Flags::SYN).then(|| self.contact(bird, packet, ports, false, now))?
    }

    /// A datagram from a peer.
    fn datagram(
        &mut self,
        bird: usize,
        packet: &Packet<'_>,
        udp: &Udp<'_>,
        now: Timestamp,
    ) -> Option<Key> {
        let ports = (udp.src, udp.dst);
        if let Some(probe) = OsProbe::of_udp(udp) {
            return Some(self.os(bird, packet, ports, probe, None, now));
        }
        if *self
            .datagrams
            .get_or_insert_with(ends(packet, ports), || false)
            || CHATTER.contains(&udp.dst)
            || TRACEROUTE.contains(&udp.dst)
        {
            return None;
        }
        self.contact(bird, packet, ports, true, now)
    }

    /// A packet that this machine sent from a bird's address: what our kernel made of a probe, or
    /// a conversation of our own.
    fn leaves(&mut self, bird: usize, packet: &Packet<'_>, now: Timestamp) -> Option<Key> {
        match &packet.body {
            Body::Udp(udp) => {
                let flow = (end(packet.dst, udp.dst), end(packet.src, udp.src));
                self.datagrams.get_or_insert_with(flow, || true);
                None
            }
            Body::Tcp(tcp) => {
                let flow = (end(packet.dst, tcp.dst), end(packet.src, tcp.src));
                if tcp.flags.has(Flags::SYN) {
                    // We ask, or we accept.
                    self.flows.insert(flow, None);
                    return None;
                }
                if !tcp.flags.has(Flags::RST)
                    || self.is_known(&flow, now)
                    || self.is_exempt(bird, tcp.src)
                {
                    return None;
                }
                let listens = |bird: &Watched| bird.listening.contains(&tcp.src);
                let listens = self.birds.get(bird).is_some_and(listens);
                let settings = *self.settings.get(bird)?;
                let key = key(packet.dst, bird);
                if tcp.flags.has(Flags::ACK) {
                    // The answer to a SYN has no sequence number (RFC 9293 section 3.10.7.1).
                    if tcp.sequence != 0 || listens {
                        return None;
                    }
                    self.source(key, flow).finds_closed(tcp.src, now, &settings);
                } else {
                    // A bare RST: somebody sent an ACK out of the blue.
                    if self.is_closing(tcp.src, listens, now) {
                        return None;
                    }
                    self.source(key, flow).tries(tcp.src, false, now, &settings);
                }
                Some(key)
            }
            _ => None,
        }
    }

    /// Whether an RST of this port soon after the start is an old connection's end.
    fn is_closing(&self, port: u16, listens: bool, now: Timestamp) -> bool {
        let young = self.started.is_some_and(|at| now.since(at) < GRACE);
        young && port >= EPHEMERAL && !listens
    }

    /// Whether what is said on `flow` belongs to a conversation.
    fn is_known(&mut self, flow: &Flow, now: Timestamp) -> bool {
        match self.flows.get(flow) {
            Some(until) => until.is_none_or(|until| now < until),
            None => false,
        }
    }

    fn is_exempt(&self, bird: usize, port: u16) -> bool {
        let bird = self.birds.get(bird);
        bird.is_some_and(|bird| bird.exempt.contains(&port))
    }

    /// Somebody touched a port.
    fn contact(
        &mut self,
        bird: usize,
        packet: &Packet<'_>,
        ports: (u16, u16),
        udp: bool,
        now: Timestamp,
    ) -> Option<Key> {
        if self.is_exempt(bird, ports.1) {
            return None;
        }
        let key = key(packet.src, bird);
        let settings = *self.settings.get(bird)?;
        self.source(key, ends(packet, ports))
            .tries(ports.1, udp, now, &settings);
        Some(key)
    }

    /// Somebody probes for the operating system.
    fn os(
        &mut self,
        bird: usize,
        packet: &Packet<'_>,
        ports: (u16, u16),
        probe: OsProbe,
        seen: Option<Seen>,
        now: Timestamp,
    ) -> Key {
        let key = key(packet.src, bird);
        let what = (probe.bit(), probe.rank(), probe.is_proof());
        self.source(key, ends(packet, ports))
            .probes_os(what, seen, now);
        key
    }

    /// What is remembered of a source, last seen with `ends`.
    fn source(&mut self, key: Key, ends: (Endpoint, Endpoint)) -> &mut Source {
        let table = if self.known.contains(&key) {
            &mut self.known
        } else {
            &mut self.strangers
        };
        let source = table.get_or_insert_with(key, || Box::new(Source::new(ends)));
        source.ends = ends;
        source
    }

    /// Gives a source that has done more than touch one port its safer place.
    fn promote(&mut self, key: Key) {
        if self
            .strangers
            .get(&key)
            .is_some_and(|source| source.is_busy())
            && let Some(source) = self.strangers.remove(&key)
        {
            self.known.insert(key, source);
        }
    }

    fn wait_for(&mut self, key: Key) {
        if self.known.contains(&key) {
            self.waiting.insert(key);
        } else if self.queue.len() < MAX_STRANGERS && self.queued.insert(key) {
            self.queue.push_back(key);
        }
    }

    /// Tells what is due of one source. Whether it may have more to tell later.
    fn tell(&mut self, key: Key, now: Timestamp, reports: &mut Vec<Report>) -> bool {
        let Some(bird) = self.birds.get(key.bird).map(|bird| bird.node_id) else {
            return false;
        };
        let (_, told, made) = &mut self.told;
        let is_known = self.known.contains(&key);
        let (table, most) = if is_known {
            (&mut self.known, MAX_REPORTS)
        } else {
            (&mut self.strangers, MAX_REPORTS / 2)
        };
        let Some(source) = table.get(&key) else {
            return false;
        };
        while *made < most
            && let Some((seen, (src, dst))) = source.take_due(now)
        {
            *made = made.saturating_add(1);
            reports.push(Report {
                bird,
                at: now,
                src,
                dst,
                seen,
            });
        }
        let due = source.told.is_none_or(|at| now.since(at) >= RETELL);
        if !source.contacts.is_empty() && due && (is_known || *told < MAX_TOLD) {
            *told = told.saturating_add(1);
            source.told = Some(now);
            let (src, dst) = source.ends;
            let ports: Vec<_> = source
                .contacts
                .drain(..)
                .map(|port| port.to_string())
                .collect();
            let ports = ports.join(",");
            reports.push(Report {
                bird,
                at: now,
                src,
                dst,
                seen: Seen::new(&PortContact { ports }),
            });
        }
        source.settle(now)
    }
}

fn key(source: IpAddr, bird: usize) -> Key {
    let source = match source {
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => {
            let network = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        other => other,
    };
    Key { source, bird }
}

fn end(ip: IpAddr, port: u16) -> Endpoint {
    Endpoint { ip, port }
}

/// The ends of a packet that came in, its source first.
fn ends(packet: &Packet<'_>, (src, dst): (u16, u16)) -> (Endpoint, Endpoint) {
    (end(packet.src, src), end(packet.dst, dst))
}

/// Whether one host can have this address; nobody else can be a source.
fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_multicast() && !address.is_unspecified() && !broadcast
}

#[cfg(test)]
mod tests;
