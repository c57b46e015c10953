//! SNMP (RFC 1157, RFC 3416, RFC 3412) as net-snmp 5.9.3 of Debian 12 answers strangers, or the
//! agent of a router, a printer or a controller.
//!
//! Held against snmpd with the package's defaults, several hundred conversations long. Somebody who
//! doesn't know the community hears nothing; version 3 tells its engine's id and knows no user.
//! What snmpd would do and this never does: send more than [`MAX_ANSWER`] bytes, or many times what
//! it was asked with, since anybody's address can stand on a datagram.

mod ber;
mod mib;
mod products;
#[cfg(test)]
mod tests;
mod v3;

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use coalmine_core::decoy::{Datagrams, Limits, Poke, Step, Transport};
use coalmine_core::settings::{any, one_line};
use coalmine_core::text::printable;
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Service, Timestamp};

use ber::{
    ADDRESS, BIT_STRING, COUNTER, COUNTER64, GAUGE, INTEGER, NULL, OBJECT, OCTETS, OPAQUE, Oid,
    Reader, SEQUENCE, TICKS, UNSIGNED,
};
use mib::{Counts, Mib, Missing, Value};
pub use products::Claim;
use products::Product;

/// Longest answer, in bytes: what every peer must be ready to take (RFC 3417 section 3.2).
const MAX_ANSWER: usize = 484;
/// Rows of one get-bulk request that are answered.
const MAX_REPETITIONS: usize = 5;
/// Longest community, in bytes, as in net-snmp.
const MAX_COMMUNITY: usize = 256;
/// How much longer than its request an answer may be on the wire, in tenths: to somebody who knows
/// the community, and to everybody.
const MAX_GAIN_KNOWN: usize = 32;
const MAX_GAIN: usize = 20;
/// IPv4 and UDP, in bytes.
const HEADERS: usize = 28;

const GET: u8 = 0xa0;
const GET_NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const SET: u8 = 0xa3;
const GET_BULK: u8 = 0xa5;
const REPORT: u8 = 0xa8;

/// Error statuses (RFC 3416 section 3).
const NO_ERROR: i64 = 0;
const TOO_BIG: i64 = 1;
const NO_SUCH_NAME: i64 = 2;
const BAD_VALUE: i64 = 3;
const NO_ACCESS: i64 = 6;
const WRONG_TYPE: i64 = 7;

/// Exceptions in place of a value (RFC 3416 section 3).
const NO_SUCH_OBJECT: &[u8] = &[0x80, 0];
const NO_SUCH_INSTANCE: &[u8] = &[0x81, 0];
const END_OF_MIB: &[u8] = &[0x82, 0];

/// SNMP agent.
pub static KIND: DecoyKind = DecoyKind {
    id: "snmp",
    title: "SNMP agent",
    doc: "Pretends to be net-snmp on Debian, or the agent of a router, a printer or a controller.\nCaptures communities, user names of version 3 and the objects asked for.\nAnswers its community only, and never much more than it was asked with.",
    transports: &[Transport::Udp],
    port: 161,
    instances: false,
    tls: None,
    events: &[SnmpRequest::KIND],
    settings: SnmpSettings::declared,
    build: |given, bird| {
        Ok(Service::datagrams(Agent::new(
            &SnmpSettings::parse(given)?,
            bird,
        )))
    },
    limits: Limits::LOGIN.input(2048),
    poke: Poke::Script(&[
        // Version 2c, community "public": get sysServices.
        Step::Send(
            b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x2a\x02\x01\0\x02\x01\0\x30\x0e\
              \x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x07\0\x05\0",
        ),
        // Another community stays silent.
        Step::Drain,
    ]),
};

coalmine_core::settings! {
    /// Settings of the SNMP decoy.
    pub struct SnmpSettings {
        /// Which agent is claimed.
        product: Claim => "product" = Claim::NetSnmp, any;
        /// The community that is answered, for reading alone.
        community: String => "community" = "public".to_owned(), community;
        /// `sysContact`; empty for what the product says when nobody set it.
        contact: String => "contact" = String::new(), one_line;
        /// `sysLocation`; empty for what the product says when nobody set it.
        location: String => "location" = String::new(), one_line;
    }
}

coalmine_core::event! {
    /// Somebody asked the SNMP agent for something.
    pub struct SnmpRequest: "snmp", "SNMP Request", [13001 ""] {
        /// As the client sent it; the user name in version 3, which has no communities.
        /// A version 3 client that looks for the agent's engine id first sends an empty one.
        community_string: String => "COMMUNITY_STRING" = "public",
        /// The object identifiers asked for, separated by spaces.
        /// Empty where version 3 encrypts them.
        requests: String => "REQUESTS" = "1.3.6.1.2.1.1.1.0 1.3.6.1.2.1.1.5.0",
    }
}

/// A check for communities: something that can be typed.
fn community(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 64 {
        return Err("must have 1 to 64 bytes".to_owned());
    }
    one_line(text)
}

struct Agent {
    community: String,
    product: Product,
    bird: Arc<Bird>,
    engine: v3::Engine,
    counts: Arc<Counts>,
    /// The tree as it looks at the address asked last: it tells that address.
    tree: Mutex<Option<(IpAddr, Arc<Mib>)>>,
}

impl Agent {
    fn new(settings: &SnmpSettings, bird: &Arc<Bird>) -> Self {
        let product = Product::new(settings, bird);
        let boots = bird.seed.number("snmp boots", 3, 60);
        Self {
            community: settings.community.clone(),
            engine: v3::Engine::new(product.engine_id(bird), u32::try_from(boots).unwrap_or(3)),
            product,
            bird: Arc::clone(bird),
            counts: Arc::new(std::array::from_fn(|_| 0.into())),
            tree: Mutex::new(None),
        }
    }

    fn tree(&self, local: IpAddr) -> Arc<Mib> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        match &*tree {
            Some((at, mib)) if *at == local => Arc::clone(mib),
            _ => {
                let counts = Arc::clone(&self.counts);
                let mib = Arc::new(Mib::new(&self.product, &self.bird, local, counts));
                *tree = Some((local, Arc::clone(&mib)));
                mib
            }
        }
    }

    /// Counts one under `number` of the `snmp` group.
    fn count(&self, number: usize, by: usize) {
        if let Some(count) = self.counts.get(number) {
            count.fetch_add(u32::try_from(by).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// What a request of version 1 (`wide` false) or 2c is answered.
    fn answer(&self, mib: &Mib, message: &Message<'_>, pdu: &Pdu<'_>, now: Timestamp) -> Vec<u8> {
        let room = room(message.length, MAX_GAIN_KNOWN);
        let frame = Frame { message, pdu, room };
        match pdu.tag {
            GET => self.get(mib, &frame, now),
            GET_NEXT => frame.next(mib, now),
            GET_BULK => frame.bulk(mib, now),
            _ => frame.set(),
        }
    }

    fn get(&self, mib: &Mib, frame: &Frame<'_>, now: Timestamp) -> Vec<u8> {
        let mut bindings = Vec::new();
        let mut missing = None;
        for (index, binding) in (1..).zip(&frame.pdu.bindings) {
            match mib.get(&binding.oid, now) {
                Ok(value) if frame.has(&value) => frame.put(&mut bindings, &binding.oid, &value),
                Ok(_) => missing = Some(index),
                Err(why) => {
                    missing = Some(index);
                    let exception = match why {
                        Missing::Object => NO_SUCH_OBJECT,
                        Missing::Instance => NO_SUCH_INSTANCE,
                    };
                    put_binding(&mut bindings, &binding.oid, exception);
                }
            }
        }
        match missing {
            // Net-snmp names the last of several.
            Some(index) if !frame.message.wide => frame.failed(NO_SUCH_NAME, index),
            _ => {
                self.count(13, frame.pdu.bindings.len());
                frame.finished(&bindings)
            }
        }
    }
}

impl Datagrams for Agent {
    fn datagram(&self, context: &Context, input: &[u8], out: &mut Out) {
        self.count(1, 1);
        let Some((version, rest)) = open(input) else {
            self.count(6, 1);
            return;
        };
        let wide = match version {
            0 => false,
            1 => true,
            3 => return self.version_3(context, input.len(), rest, out),
            _ => return self.count(3, 1),
        };
        let Some(message) = Message::parse(input.len(), wide, rest) else {
            return self.count(6, 1);
        };
        let pdu = Pdu::parse(message.rest);
        out.see(&SnmpRequest {
            community_string: printable(message.community),
            requests: pdu.as_ref().map(|p| spaced(&p.oids())).unwrap_or_default(),
        });
        let Some(pdu) = pdu else {
            return self.count(6, 1);
        };
        if message.community != self.community.as_bytes() {
            return self.count(4, 1);
        }
        match pdu.tag {
            GET => self.count(15, 1),
            GET_NEXT => self.count(16, 1),
            SET => self.count(17, 1),
            GET_BULK => {}
            _ => return,
        }
        let mib = self.tree(context.local.ip());
        let answer = self.answer(&mib, &message, &pdu, context.now);
        if answer.len() <= room(input.len(), MAX_GAIN_KNOWN) {
            self.count(2, 1);
            self.count(28, 1);
            out.send(answer);
        }
    }
}

impl Agent {
    fn version_3(&self, context: &Context, length: usize, rest: Reader<'_>, out: &mut Out) {
        let Some(message) = v3::Message::parse(rest) else {
            return self.count(6, 1);
        };
        out.see(&SnmpRequest {
            community_string: printable(message.user),
            requests: spaced(message.oids()),
        });
        let uptime = self.tree(context.local.ip()).uptime(context.now);
        let source = context.peer.ip().to_canonical();
        let answer = self.engine.answer(&message, uptime, source, context.now);
        if let Some(answer) = answer.filter(|a| a.len() <= room(length, MAX_GAIN)) {
            self.count(2, 1);
            out.send(answer);
        }
    }
}

/// How long an answer to a request of `length` bytes may be; `gain` in tenths.
fn room(length: usize, gain: usize) -> usize {
    let wire = length.saturating_add(HEADERS).saturating_mul(gain) / 10;
    wire.saturating_sub(HEADERS).min(MAX_ANSWER)
}

/// The version, and what follows it. What stands behind the message doesn't count.
fn open(input: &[u8]) -> Option<(i64, Reader<'_>)> {
    let mut whole = Reader(Reader(input).contents(SEQUENCE)?);
    Some((whole.integer()?, whole))
}

/// A message of version 1 or 2c.
struct Message<'a> {
    /// Of the whole datagram.
    length: usize,
    /// Version 2c: it has 64-bit counters, exceptions and more errors.
    wide: bool,
    community: &'a [u8],
    rest: Reader<'a>,
}

impl<'a> Message<'a> {
    fn parse(length: usize, wide: bool, mut rest: Reader<'a>) -> Option<Self> {
        let community = rest.contents(OCTETS).filter(|c| c.len() <= MAX_COMMUNITY)?;
        Some(Self {
            length,
            wide,
            community,
            rest,
        })
    }
}

/// What is asked.
struct Pdu<'a> {
    tag: u8,
    request: i64,
    /// Error status, or non-repeaters of get-bulk.
    first: i64,
    /// Error index, or max-repetitions.
    second: i64,
    bindings: Vec<Binding<'a>>,
}

/// An object and a value, which requests leave empty but for set.
struct Binding<'a> {
    oid: Oid,
    /// Tag, length and contents.
    value: &'a [u8],
}

impl<'a> Pdu<'a> {
    fn parse(mut input: Reader<'a>) -> Option<Self> {
        let (tag, contents) = input.element()?;
        let mut rest = Reader(contents);
        let [request, first, second] = [rest.integer()?, rest.integer()?, rest.integer()?];
        let mut list = Reader(rest.contents(SEQUENCE)?);
        let mut bindings = Vec::new();
        while !list.0.is_empty() {
            let mut pair = Reader(list.contents(SEQUENCE)?);
            let oid = ber::oid(pair.contents(OBJECT)?)?;
            let value = pair.0;
            let (kind, contents) = pair.element()?;
            if !pair.0.is_empty() || !is_value(kind, contents) {
                return None;
            }
            bindings.push(Binding { oid, value });
        }
        Some(Self {
            tag,
            request,
            first,
            second,
            bindings,
        })
    }

    fn oids(&self) -> Vec<Oid> {
        self.bindings.iter().map(|b| b.oid.clone()).collect()
    }
}

/// Whether net-snmp takes this for a value.
fn is_value(tag: u8, contents: &[u8]) -> bool {
    match tag {
        INTEGER | COUNTER | GAUGE | TICKS | UNSIGNED => (1..=8).contains(&contents.len()),
        COUNTER64 => (1..=9).contains(&contents.len()),
        ADDRESS => contents.len() == 4,
        OBJECT => ber::oid(contents).is_some(),
        OCTETS | BIT_STRING | OPAQUE | NULL | 0x80..=0x82 => true,
        _ => false,
    }
}

/// A request and the room for its answer.
struct Frame<'a> {
    message: &'a Message<'a>,
    pdu: &'a Pdu<'a>,
    room: usize,
}

impl Frame<'_> {
    /// Whether the message's version can carry `value`.
    fn has(&self, value: &Value) -> bool {
        self.message.wide || !matches!(value, Value::Counter64(_))
    }

    fn put(&self, bindings: &mut Vec<u8>, oid: &[u32], value: &Value) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        put_binding(bindings, oid, &bytes);
    }

    fn next(&self, mib: &Mib, now: Timestamp) -> Vec<u8> {
        let mut bindings = Vec::new();
        let mut missing = None;
        for (index, binding) in (1..).zip(&self.pdu.bindings) {
            match mib.next(&binding.oid, self.message.wide, now) {
                Some((oid, value)) => self.put(&mut bindings, oid, &value),
                None => {
                    missing = Some(index);
                    put_binding(&mut bindings, &binding.oid, END_OF_MIB);
                }
            }
        }
        match missing {
            Some(index) if !self.message.wide => self.failed(NO_SUCH_NAME, index),
            _ => self.finished(&bindings),
        }
    }

    /// Version 1 has no get-bulk, but net-snmp answers it there too.
    fn bulk(&self, mib: &Mib, now: Timestamp) -> Vec<u8> {
        let single = usize::try_from(self.pdu.first).unwrap_or(0);
        let rows = usize::try_from(self.pdu.second)
            .unwrap_or(0)
            .min(MAX_REPETITIONS);
        let single = single.min(self.pdu.bindings.len());
        let (once, repeated) = self.pdu.bindings.split_at(single);
        let mut found = Vec::new();
        // Net-snmp names the last of several.
        let mut ended = None;
        let mut look = |from: &Oid, found: &mut Vec<Vec<u8>>| {
            let mut bytes = Vec::new();
            let next = mib.next(from, self.message.wide, now);
            match &next {
                Some((oid, value)) => self.put(&mut bytes, oid, value),
                None => put_binding(&mut bytes, from, END_OF_MIB),
            }
            found.push(bytes);
            if next.is_none() {
                ended = Some(i64::try_from(found.len()).unwrap_or(0));
            }
            next.map(|(oid, _)| oid.clone())
        };
        for binding in once {
            look(&binding.oid, &mut found);
        }
        let mut row: Vec<Oid> = repeated.iter().map(|b| b.oid.clone()).collect();
        for _ in 0..rows {
            let mut alive = false;
            for from in &mut row {
                if let Some(next) = look(from, &mut found) {
                    *from = next;
                    alive = true;
                }
            }
            if !alive {
                break;
            }
        }
        if let Some(index) = ended.filter(|_| !self.message.wide) {
            return self.failed(NO_SUCH_NAME, index);
        }
        // As many as there's room for (RFC 3416 section 4.2.3).
        let overhead = self.respond(NO_ERROR, 0, &[]).len().saturating_add(8);
        let mut bindings = Vec::new();
        for one in &found {
            let length = bindings.len().saturating_add(one.len());
            if length.saturating_add(overhead) > self.room {
                break;
            }
            bindings.extend(one);
        }
        if bindings.is_empty() && !found.is_empty() {
            return self.respond(TOO_BIG, 0, &[]);
        }
        self.respond(NO_ERROR, 0, &bindings)
    }

    /// Nothing may be written. Net-snmp looks at the types first.
    fn set(&self) -> Vec<u8> {
        let bindings = &self.pdu.bindings;
        let empty = (1..)
            .zip(bindings)
            .find(|(_, b)| b.value.first() == Some(&NULL));
        let (status, index) = match (empty, self.message.wide) {
            _ if bindings.is_empty() => (NO_ERROR, 0),
            (Some((index, _)), true) => (WRONG_TYPE, index),
            (Some((index, _)), false) => (BAD_VALUE, index),
            (None, true) => (NO_ACCESS, 1),
            (None, false) => (NO_SUCH_NAME, 1),
        };
        self.failed(status, index)
    }

    /// The answer with these bindings, or "too big" where there's no room for it.
    fn finished(&self, bindings: &[u8]) -> Vec<u8> {
        let answer = self.respond(NO_ERROR, 0, bindings);
        if answer.len() <= self.room {
            answer
        } else if self.message.wide {
            self.respond(TOO_BIG, 0, &[])
        } else {
            self.failed(TOO_BIG, 0)
        }
    }

    /// An error with the bindings of the request.
    fn failed(&self, status: i64, index: i64) -> Vec<u8> {
        let mut bindings = Vec::new();
        for binding in &self.pdu.bindings {
            put_binding(&mut bindings, &binding.oid, binding.value);
        }
        self.respond(status, index, &bindings)
    }

    fn respond(&self, status: i64, index: i64, bindings: &[u8]) -> Vec<u8> {
        let mut pdu = Vec::with_capacity(bindings.len().saturating_add(24));
        ber::put_integer(&mut pdu, INTEGER, self.pdu.request);
        ber::put_integer(&mut pdu, INTEGER, status);
        ber::put_integer(&mut pdu, INTEGER, index);
        ber::put(&mut pdu, SEQUENCE, bindings);
        let mut body = Vec::with_capacity(pdu.len().saturating_add(MAX_COMMUNITY));
        ber::put_integer(&mut body, INTEGER, i64::from(self.message.wide));
        ber::put(&mut body, OCTETS, self.message.community);
        ber::put(&mut body, RESPONSE, &pdu);
        let mut answer = Vec::with_capacity(body.len().saturating_add(4));
        ber::put(&mut answer, SEQUENCE, &body);
        answer
    }
}

/// One object and its value, which is written already.
fn put_binding(out: &mut Vec<u8>, oid: &[u32], value: &[u8]) {
    let mut pair = Vec::with_capacity(value.len().saturating_add(oid.len()));
    ber::put_oid(&mut pair, oid);
    pair.extend(value);
    ber::put(out, SEQUENCE, &pair);
}

fn spaced(oids: &[Oid]) -> String {
    let texts: Vec<_> = oids.iter().map(|oid| ber::dotted(oid)).collect();
    texts.join(" ")
}
