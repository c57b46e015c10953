//! What is remembered of one source at one bird.

use std::time::Duration;

use coalmine_core::decoy::Seen;
use coalmine_core::{Endpoint, Timestamp};

use crate::events::HostPortScan;
use crate::{QUIET, Settings};

/// Ports remembered of a source that isn't known to scan.
const MAX_TRIED: usize = 64;
/// Ports told of one scan; what comes after is counted in silence.
const MAX_PORTS: usize = 1_000;
/// A scan that goes on is told again after so long.
pub(crate) const RETELL: Duration = Duration::from_secs(2);
/// A probe of the same kind is told again after so long.
const PROBE_RETELL: Duration = Duration::from_secs(5);
/// Sequence probes, echo requests and U1 belong together within so long.
const OS_ROUND: Duration = Duration::from_secs(60);
/// So many of them, of different kinds, are proof.
const OS_KINDS: u32 = 3;
/// How long an OS probe is held for a better one of its round.
const OS_HOLD: Duration = Duration::from_secs(1);
/// A contact with the same port counts as new after so long.
const CONTACT_AGAIN: Duration = Duration::from_secs(300);

/// One source at one bird.
pub(crate) struct Source {
    /// As it was last seen: its latest packet's ends.
    pub(crate) ends: (Endpoint, Endpoint),
    /// Ports in the order in which they were first tried.
    tried: Vec<Tried>,
    scan: Option<Box<Scan>>,
    probes: [Option<Timestamp>; 4],
    os: Option<Box<Os>>,
    /// Packets of FIN, NULL and XMAS scans.
    hits: u32,
    /// What shows them, to be told as soon as there's room.
    pub(crate) due: Vec<(Seen, (Endpoint, Endpoint))>,
    /// TCP ports touched and not told yet.
    pub(crate) contacts: Vec<u16>,
    /// When contacts were last told.
    pub(crate) told: Option<Timestamp>,
}

/// One port, as one source tried it.
struct Tried {
    port: u16,
    udp: bool,
    /// When it was first tried in its present window.
    since: Timestamp,
    last: Timestamp,
    /// When it was found closed.
    closed: Option<Timestamp>,
}

/// A port scan that has been noticed.
struct Scan {
    /// In the order of arrival.
    ports: Vec<u16>,
    /// A bit for each port.
    known: Box<[u64; 1024]>,
    last: Timestamp,
    told: Option<Timestamp>,
    /// Whether there's something that hasn't been told.
    news: bool,
}

#[derive(Default)]
struct Os {
    /// Kinds seen in this round.
    kinds: u32,
    since: Option<Timestamp>,
    held: Option<Held>,
    told: Option<Timestamp>,
}

/// The best proof of a round.
struct Held {
    rank: u8,
    /// Until when a better one may come.
    until: Timestamp,
    seen: Seen,
    ends: (Endpoint, Endpoint),
}

impl Source {
    pub(crate) fn new(ends: (Endpoint, Endpoint)) -> Self {
        Self {
            ends,
            // Most never try a second one.
            tried: Vec::with_capacity(1),
            scan: None,
            probes: [None; 4],
            os: None,
            hits: 0,
            due: Vec::new(),
            contacts: Vec::new(),
            told: None,
        }
    }

    /// Whether it has done more than send a single packet, which anybody can do in its name.
    pub(crate) fn is_busy(&self) -> bool {
        let os = self.os.as_ref().is_some_and(|os| os.kinds.count_ones() > 1);
        self.tried.len() > 1 || self.hits > 1 || os
    }

    fn is_probing(&self) -> bool {
        self.probes.iter().any(Option::is_some)
    }

    /// It tried `port`.
    pub(crate) fn tries(&mut self, port: u16, udp: bool, now: Timestamp, settings: &Settings) {
        let again = self.note(port, udp, now, settings);
        if !again && !udp && self.contacts.len() < MAX_PORTS && !self.contacts.contains(&port) {
            self.contacts.push(port);
        }
        if self.grow(port, now) {
            return;
        }
        let fresh = |tried: &&Tried| now.since(tried.since) < settings.window;
        if self.tried.iter().filter(fresh).count() >= settings.ports {
            let ports = self.tried.iter().filter(fresh).map(|tried| tried.port);
            self.scan = Some(Scan::new(ports, now));
        }
    }

    /// `port` answered that it's closed.
    pub(crate) fn finds_closed(&mut self, port: u16, now: Timestamp, settings: &Settings) {
        // The answers to FIN, NULL and XMAS are theirs.
        if self.is_probing() {
            return;
        }
        self.note(port, false, now, settings);
        for tried in &mut self.tried {
            if tried.port == port && !tried.udp {
                tried.closed.get_or_insert(now);
            }
        }
        if self.grow(port, now) {
            return;
        }
        let closed = |tried: &&Tried| {
            tried
                .closed
                .is_some_and(|at| now.since(at) < settings.slow_window)
        };
        if self.tried.iter().filter(closed).count() >= settings.slow_ports {
            let ports = self.tried.iter().filter(closed).map(|tried| tried.port);
            self.scan = Some(Scan::new(ports, now));
        }
    }

    /// Adds a port to a scan that is going on.
    fn grow(&mut self, port: u16, now: Timestamp) -> bool {
        let Some(scan) = &mut self.scan else {
            return false;
        };
        scan.last = now;
        scan.add(port);
        true
    }

    /// Remembers that `port` was tried; whether that's no news.
    fn note(&mut self, port: u16, udp: bool, now: Timestamp, settings: &Settings) -> bool {
        let known = self
            .tried
            .iter_mut()
            .find(|t| t.port == port && t.udp == udp);
        if let Some(tried) = known {
            let quiet = now.since(tried.last);
            tried.last = now;
            if quiet >= settings.window {
                tried.since = now;
            }
            return quiet < CONTACT_AGAIN;
        }
        if self.tried.len() >= MAX_TRIED {
            // A scan keeps its own list; of others the oldest goes.
            self.tried.remove(0);
        }
        self.tried.push(Tried {
            port,
            udp,
            since: now,
            last: now,
            closed: None,
        });
        false
    }

    /// It sent a packet of a FIN, NULL or XMAS scan; whether that is to be told now.
    pub(crate) fn probes(&mut self, which: usize, now: Timestamp) -> bool {
        self.hits = self.hits.saturating_add(1);
        let Some(told) = self.probes.get_mut(which) else {
            return false;
        };
        if told.is_some_and(|at| now.since(at) < PROBE_RETELL) {
            return false;
        }
        *told = Some(now);
        true
    }

    /// It sent an OS probe; `seen` shows it, if it can be shown.
    pub(crate) fn probes_os(
        &mut self,
        (bit, rank, proof): (u32, u8, bool),
        seen: Option<Seen>,
        now: Timestamp,
    ) {
        let ends = self.ends;
        let os = self.os.get_or_insert_default();
        if os.since.is_none_or(|since| now.since(since) > OS_ROUND) {
            os.since = Some(now);
            os.kinds = 0;
        }
        os.kinds |= bit;
        if !proof && os.kinds.count_ones() < OS_KINDS {
            return;
        }
        if os.told.is_some_and(|at| now.since(at) < PROBE_RETELL) {
            return;
        }
        let Some(seen) = seen else {
            return;
        };
        let until = match &os.held {
            Some(held) if held.rank >= rank => return,
            Some(held) => held.until,
            None => now.plus(OS_HOLD),
        };
        os.held = Some(Held {
            rank,
            until,
            seen,
            ends,
        });
    }

    /// The next event that is due to be told.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(Seen, (Endpoint, Endpoint))> {
        self.due.pop().or_else(|| self.due_os(now)).or_else(|| {
            let ports = self.due_scan(now)?;
            Some((Seen::new(&HostPortScan { ports }), self.ends))
        })
    }

    fn due_os(&mut self, now: Timestamp) -> Option<(Seen, (Endpoint, Endpoint))> {
        let os = self.os.as_mut()?;
        let due = |held: &mut Held| held.until <= now;
        let held = os.held.take_if(due)?;
        os.told = Some(now);
        Some((held.seen, held.ends))
    }

    /// The ports of its scan, if there's news of it.
    fn due_scan(&mut self, now: Timestamp) -> Option<String> {
        let scan = self.scan.as_mut()?;
        let due = scan.told.is_none_or(|at| now.since(at) >= RETELL);
        if !scan.news || !due {
            return None;
        }
        scan.news = false;
        scan.told = Some(now);
        let ports: Vec<_> = scan.ports.iter().map(u16::to_string).collect();
        Some(ports.join(","))
    }

    /// Forgets what is over. Whether something is still to come.
    pub(crate) fn settle(&mut self, now: Timestamp) -> bool {
        if self
            .scan
            .as_ref()
            .is_some_and(|scan| !scan.news && now.since(scan.last) >= QUIET)
        {
            self.scan = None;
            self.tried.clear();
        }
        for told in &mut self.probes {
            told.take_if(|at| now.since(*at) >= QUIET);
        }
        self.scan.is_some()
            || self.is_probing()
            || self.os.as_ref().is_some_and(|os| os.held.is_some())
            || !self.due.is_empty()
            || !self.contacts.is_empty()
    }
}

impl Scan {
    fn new(ports: impl Iterator<Item = u16>, now: Timestamp) -> Box<Self> {
        let mut scan = Box::new(Self {
            ports: Vec::new(),
            known: Box::new([0; 1024]),
            last: now,
            told: None,
            news: false,
        });
        for port in ports {
            scan.add(port);
        }
        scan
    }

    fn add(&mut self, port: u16) {
        let bit = 1 << (port % 64);
        if let Some(word) = self.known.get_mut(usize::from(port / 64))
            && *word & bit == 0
        {
            *word |= bit;
            if self.ports.len() < MAX_PORTS {
                self.ports.push(port);
                self.news = true;
            }
        }
    }
}
