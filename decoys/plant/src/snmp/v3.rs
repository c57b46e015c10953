//! SNMP version 3 as far as somebody without an account gets: the engine's id, then "unknown user
//! name" (RFC 3412 section 7, RFC 3414 section 3.2).

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coalmine_core::Timestamp;
use lru::LruCache;

use super::ber::{self, COUNTER, INTEGER, OCTETS, Oid, Reader, SEQUENCE};
use super::{Pdu, REPORT};

/// Sources whose last discovery is remembered.
const MAX_SOURCES: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");
/// Each source learns the engine's id once in this time.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(1);
/// Lengths that net-snmp takes, in bytes.
const MAX_USER: usize = 32;
const MAX_AUTHENTICATION: usize = 48;
const MAX_PRIVACY: usize = 32;
const MAX_CONTEXT_ENGINE: usize = 32;
const MAX_CONTEXT: usize = 256;
/// The salt of an encrypted message.
const SALT: usize = 8;
/// Shortest answer that a peer must be ready for (RFC 3412 section 6).
const LEAST_SIZE: i64 = 484;
/// What the agent itself takes.
const OWN_SIZE: i64 = 65_507;
/// The user-based security model.
const USM: i64 = 3;
/// `usmStats` (1.3.6.1.6.3.15.1.1).
const USM_STATS: [u32; 8] = [43, 6, 1, 6, 3, 15, 1, 1];

/// What a report counts: the object's number under `usmStats`.
#[derive(Clone, Copy)]
enum Counted {
    UnknownUserNames = 3,
    UnknownEngineIds = 4,
    DecryptionErrors = 6,
}

/// The engine: its id, and what it counted.
pub(super) struct Engine {
    pub(super) id: Vec<u8>,
    pub(super) boots: u32,
    counts: [AtomicU32; 7],
    discoveries: Mutex<LruCache<IpAddr, Timestamp>>,
}

/// A version 3 message, as far as it can be read without a key.
pub(super) struct Message<'a> {
    id: i64,
    flags: u8,
    engine: &'a [u8],
    pub(super) user: &'a [u8],
    privacy: &'a [u8],
    scoped: Scoped,
}

/// What the message asks, where that isn't encrypted.
struct Scoped {
    tag: Option<u8>,
    request: Option<i64>,
    oids: Vec<Oid>,
}

impl<'a> Message<'a> {
    /// Reads what follows the version. The elements are read one after the other: what stands
    /// behind the security parameters inside their string is taken for the scoped PDU.
    pub(super) fn parse(mut rest: Reader<'a>) -> Option<Self> {
        let mut head = Reader(rest.contents(SEQUENCE)?);
        let natural = |number: i64| (0..=i64::from(i32::MAX)).contains(&number);
        let id = head.integer().filter(|id| natural(*id))?;
        let size = head.integer()?;
        let [flags] = *head.contents(OCTETS)? else {
            return None;
        };
        let is_whole = head.integer()? == USM && head.0.is_empty();
        let encrypted_only = flags & 3 == 2;
        if !is_whole || size < LEAST_SIZE || !natural(size) || encrypted_only {
            return None;
        }
        rest.enter(OCTETS)?;
        rest.enter(SEQUENCE)?;
        let engine = rest.contents(OCTETS)?;
        let _boots = rest.integer().filter(|boots| natural(*boots))?;
        let _time = rest.integer().filter(|time| natural(*time))?;
        let user = rest.contents(OCTETS).filter(|u| u.len() <= MAX_USER)?;
        rest.contents(OCTETS)
            .filter(|a| a.len() <= MAX_AUTHENTICATION)?;
        let privacy = rest.contents(OCTETS)?;
        let scoped = if flags & 2 == 0 {
            Scoped::parse(rest)
        } else {
            Scoped::unknown()
        };
        Some(Self {
            id,
            flags,
            engine,
            user,
            privacy,
            scoped,
        })
    }

    /// The objects asked for.
    pub(super) fn oids(&self) -> &[Oid] {
        &self.scoped.oids
    }

    /// Whether somebody who sent this expects an answer (RFC 3412 section 7.1.3).
    fn is_reportable(&self) -> bool {
        match self.scoped.tag {
            // Get, get-next, set, get-bulk, inform.
            Some(tag) => matches!(tag, 0xa0 | 0xa1 | 0xa3 | 0xa5 | 0xa6),
            None => self.flags & 4 != 0,
        }
    }
}

impl Scoped {
    fn unknown() -> Self {
        Self {
            tag: None,
            request: None,
            oids: Vec::new(),
        }
    }

    fn parse(mut rest: Reader<'_>) -> Self {
        let mut found = Self::unknown();
        let inside = (|| {
            rest.enter(SEQUENCE)?;
            let engine = rest.contents(OCTETS)?;
            let context = rest.contents(OCTETS)?;
            (engine.len() <= MAX_CONTEXT_ENGINE && context.len() <= MAX_CONTEXT).then_some(rest)
        })();
        let Some(mut pdu) = inside else {
            return found;
        };
        if let Some(whole) = Pdu::parse(pdu) {
            found.oids = whole.oids();
        }
        found.tag = pdu.0.first().copied();
        found.request = found
            .tag
            .and_then(|tag| pdu.enter(tag))
            .and_then(|_| pdu.integer());
        if pdu.0.is_empty() && found.request.is_none() {
            found.tag = None;
        }
        found
    }
}

impl Engine {
    pub(super) fn new(id: Vec<u8>, boots: u32) -> Self {
        Self {
            id,
            boots,
            counts: Default::default(),
            discoveries: Mutex::new(LruCache::new(MAX_SOURCES)),
        }
    }

    /// The report that answers `message`, if any; `uptime` is the engine's.
    pub(super) fn answer(
        &self,
        message: &Message<'_>,
        uptime: Duration,
        source: IpAddr,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let encrypted = message.flags & 2 != 0;
        let counted =
            if encrypted && message.privacy.len() != SALT || message.privacy.len() > MAX_PRIVACY {
                Counted::DecryptionErrors
            } else if message.engine != self.id {
                Counted::UnknownEngineIds
            } else {
                Counted::UnknownUserNames
            };
        if !message.is_reportable() {
            return None;
        }
        if !matches!(counted, Counted::UnknownUserNames) && !self.may_discover(source, now) {
            return None;
        }
        let request = match counted {
            Counted::DecryptionErrors => None,
            _ => message.scoped.request,
        };
        Some(self.report(message, uptime, counted, request.unwrap_or(0)))
    }

    fn report(
        &self,
        message: &Message<'_>,
        uptime: Duration,
        counted: Counted,
        request: i64,
    ) -> Vec<u8> {
        let count = self.counts.get(counted as usize).map_or(1, |count| {
            count.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
        });
        let mut head = Vec::new();
        ber::put_integer(&mut head, INTEGER, message.id);
        ber::put_integer(&mut head, INTEGER, OWN_SIZE);
        ber::put(&mut head, OCTETS, &[0]);
        ber::put_integer(&mut head, INTEGER, USM);

        let mut security = Vec::new();
        ber::put(&mut security, OCTETS, &self.id);
        ber::put_integer(&mut security, INTEGER, self.boots.into());
        let seconds = i64::try_from(uptime.as_secs()).unwrap_or(0) & 0x7fff_ffff;
        ber::put_integer(&mut security, INTEGER, seconds);
        ber::put(&mut security, OCTETS, message.user);
        ber::put(&mut security, OCTETS, &[]);
        ber::put(&mut security, OCTETS, &[]);
        let mut wrapped = Vec::new();
        ber::put(&mut wrapped, SEQUENCE, &security);

        let mut object = USM_STATS.to_vec();
        object.extend([counted as u32, 0]);
        let mut binding = Vec::new();
        ber::put_oid(&mut binding, &object);
        ber::put_unsigned(&mut binding, COUNTER, count.into());
        let mut bindings = Vec::new();
        ber::put(&mut bindings, SEQUENCE, &binding);
        let mut pdu = Vec::new();
        ber::put_integer(&mut pdu, INTEGER, request);
        ber::put_integer(&mut pdu, INTEGER, 0);
        ber::put_integer(&mut pdu, INTEGER, 0);
        ber::put(&mut pdu, SEQUENCE, &bindings);
        let mut scoped = Vec::new();
        ber::put(&mut scoped, OCTETS, &self.id);
        ber::put(&mut scoped, OCTETS, &[]);
        ber::put(&mut scoped, REPORT, &pdu);

        let mut body = Vec::new();
        ber::put_integer(&mut body, INTEGER, 3);
        ber::put(&mut body, SEQUENCE, &head);
        ber::put(&mut body, OCTETS, &wrapped);
        ber::put(&mut body, SEQUENCE, &scoped);
        let mut answer = Vec::new();
        ber::put(&mut answer, SEQUENCE, &body);
        answer
    }

    /// Whether `source` may learn the engine's id now: an answer longer than its question, so it
    /// mustn't be had at will.
    fn may_discover(&self, source: IpAddr, now: Timestamp) -> bool {
        let mut known = self
            .discoveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_early = known
            .get(&source)
            .is_some_and(|last| *last <= now && now.since(*last) < DISCOVERY_PAUSE);
        if !is_early {
            known.put(source, now);
        }
        !is_early
    }
}
