//! The zone: a packet in, a reply out. Pure.
//!
//! Every name at and under the apex exists and has the zone's address, so that resolvers that
//! minimise query names (RFC 9156) get through and nobody can tell a token from a guess. In the zone
//! of names that don't exist, none does.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use coalmine_core::{TokenId, text};
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::proofs::Proofs;

/// Length of a header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// IPv4 and UDP headers, which count as sent and received too.
const UDP_OVERHEAD: usize = 28;
/// Longest datagram sent to those who take more than 512 bytes (DNS Flag Day 2020).
const MAX_UDP: u16 = 1232;
/// Longest datagram sent to all others (RFC 1035 section 2.3.4).
const MAX_PLAIN_UDP: u16 = 512;

/// Time to live of addresses: short, so that every visit asks us anew.
const TTL_ADDRESS: u32 = 20;
/// Time to live of the name server, and of "no such record".
const TTL_ZONE: u32 = 3600;
const TTL_NOTHING: u32 = 60;
/// Time to live of proofs: the next order's are others.
const TTL_PROOF: u32 = 1;
/// First label of the zone's name server.
pub(crate) const NAME_SERVER: &str = "ns1";

/// One zone and the one address that all its names have, and perhaps a second one whose names don't
/// exist.
#[derive(Debug)]
pub(crate) struct Zone {
    labels: Vec<Vec<u8>>,
    nx: Option<Vec<Vec<u8>>>,
    /// More zones like the first.
    domains: RwLock<Vec<Vec<Vec<u8>>>>,
    /// For certificate authorities.
    proofs: Arc<Proofs>,
    address: IpAddr,
}

/// Where in our zones a name stands.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// Labels of the zone.
    apex: usize,
    /// Labels left of it.
    left: usize,
    /// Whether the name exists.
    exists: bool,
}

/// What a query gets, and what it may have touched.
#[derive(Debug)]
pub(super) struct Reply {
    message: Shape,
    /// Largest datagram the asker takes.
    payload: usize,
    /// Labels of the zone that the question is about.
    apex: usize,
    /// Set where the query visits a name that may hold a token.
    pub named: Option<Named>,
}

#[derive(Debug)]
enum Shape {
    /// A header alone: where the question can't be read.
    Header([u8; HEADER]),
    Message(Box<Message>),
}

/// A name that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The query's id.
    pub id: u16,
    /// The label directly left of the zone.
    pub token: TokenId,
    /// As asked for, without the last dot.
    pub name: String,
    /// Labels left of the token, as asked for.
    pub labels: Vec<String>,
    /// E.g. `AAAA`.
    pub query_type: String,
}

impl Zone {
    /// The zone `name`, whose names all have `address`.
    pub fn new(name: &str, address: IpAddr) -> Result<Self, String> {
        Ok(Self {
            labels: labels(name)?,
            nx: None,
            domains: RwLock::default(),
            proofs: Arc::default(),
            address,
        })
    }

    /// The same with a zone of names that don't exist; it may lie inside the other.
    pub fn with_nx(self, name: Option<&str>) -> Result<Self, String> {
        let nx = name.map(labels).transpose()?;
        Ok(Self { nx, ..self })
    }

    /// The same, showing these proofs to certificate authorities.
    pub fn with_proofs(self, proofs: Arc<Proofs>) -> Self {
        Self { proofs, ..self }
    }

    /// Answers for these domains too, from now on; what is none is left out.
    pub fn set_domains(&self, names: &[String]) {
        let zones = names.iter().filter_map(|name| labels(name).ok()).collect();
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        *domains = zones;
    }

    /// What `packet` gets; `None` for what is no query.
    pub(super) fn react(&self, packet: &[u8]) -> Option<Reply> {
        let header: [u8; HEADER] = packet.get(..HEADER)?.try_into().ok()?;
        let [_, _, flags, ..] = header;
        if flags & 0x80 != 0 {
            return None;
        }
        if (flags >> 3) & 0x0f != 0 {
            return Some(Reply::header(header, ResponseCode::NotImp));
        }
        let request = match Message::from_vec(packet) {
            Ok(request) => request,
            Err(_) => return Some(Reply::header(header, ResponseCode::FormErr)),
        };
        let [query] = request.queries.as_slice() else {
            return Some(Reply::header(header, ResponseCode::FormErr));
        };
        let mut reply = Message::response(request.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = request.metadata.recursion_desired;
        reply.add_query(query.clone());
        let mut payload = MAX_PLAIN_UDP;
        let mut version = 0;
        if let Some(edns) = &request.edns {
            let mut own = Edns::new();
            own.set_max_payload(MAX_UDP);
            own.set_dnssec_ok(edns.flags().dnssec_ok);
            reply.set_edns(own);
            payload = edns.max_payload().clamp(MAX_PLAIN_UDP, MAX_UDP);
            version = edns.version();
        }
        let spot = self.spot(query.name());
        let named = match spot {
            Some(_) if version > 0 => {
                reply.metadata.response_code = ResponseCode::BADVERS;
                None
            }
            Some(spot) if answerable(query) => {
                self.answer(query, spot, &mut reply);
                named(request.metadata.id, query, spot.left)
            }
            _ => {
                reply.metadata.response_code = ResponseCode::Refused;
                None
            }
        };
        Some(Reply {
            message: Shape::Message(Box::new(reply)),
            payload: usize::from(payload),
            apex: spot.map_or(0, |spot| spot.apex),
            named,
        })
    }

    /// Where `name` stands; `None` outside our zones.
    fn spot(&self, name: &Name) -> Option<Spot> {
        if let Some(nx) = &self.nx
            && let Some(left) = left_of(name, nx)
        {
            // The zone itself and its server exist: it could not be found otherwise.
            let server = name.iter().next().filter(|_| left == 1);
            let server = server.is_some_and(|l| l.eq_ignore_ascii_case(NAME_SERVER.as_bytes()));
            return Some(Spot {
                apex: nx.len(),
                left,
                exists: left == 0 || server,
            });
        }
        let at = |zone: &[Vec<u8>]| {
            left_of(name, zone).map(|left| Spot {
                apex: zone.len(),
                left,
                exists: true,
            })
        };
        at(&self.labels).or_else(|| {
            let domains = self.domains.read().unwrap_or_else(PoisonError::into_inner);
            domains.iter().find_map(|zone| at(zone))
        })
    }

    fn answer(&self, query: &Query, spot: Spot, reply: &mut Message) {
        reply.metadata.authoritative = true;
        if !spot.exists {
            no_such_name(reply, spot.apex);
            return;
        }
        // In the asker's own case, which also lets every name be compressed into the question.
        let apex = query.name().trim_to(spot.apex);
        let at_apex = spot.left == 0;
        let address = |name: &Name| Record::from_rdata(name.clone(), TTL_ADDRESS, self.rdata());
        match query.query_type() {
            RecordType::A if self.address.is_ipv4() => {
                reply.add_answer(address(query.name()));
            }
            RecordType::AAAA if self.address.is_ipv6() => {
                reply.add_answer(address(query.name()));
            }
            // RFC 8482 section 4.1: one of the record sets.
            RecordType::ANY => {
                reply.add_answer(address(query.name()));
            }
            RecordType::NS if at_apex => {
                if let Ok(server) = apex.prepend_label(NAME_SERVER) {
                    let ns = RData::NS(NS(server.clone()));
                    reply.add_answer(Record::from_rdata(apex, TTL_ZONE, ns));
                    reply.add_additional(address(&server));
                }
            }
            RecordType::SOA if at_apex => {
                if let Some(soa) = soa(apex) {
                    reply.add_answer(soa);
                }
            }
            // RFC 8659 section 3: an authority climbs from any name to the zone's own.
            RecordType::CAA if at_apex && let Some(issuer) = self.proofs.issuer() => {
                reply.add_answer(Record::from_rdata(apex, TTL_ZONE, issuer));
            }
            RecordType::TXT
                if let proofs = self.proofs.texts(query.name(), spot.left)
                    && !proofs.is_empty() =>
            {
                for proof in proofs {
                    let name = query.name().clone();
                    reply.add_answer(Record::from_rdata(name, TTL_PROOF, proof));
                }
            }
            // RFC 2308 section 2.2: the name is there, such a record isn't.
            _ => {
                if let Some(soa) = soa(apex) {
                    reply.add_authority(soa);
                }
            }
        }
    }

    fn rdata(&self) -> RData {
        match self.address {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        }
    }
}

impl Reply {
    /// RFC 1035 section 4.1.1: id, opcode and RD as asked, QR set, no sections.
    fn header(asked: [u8; HEADER], code: ResponseCode) -> Self {
        let [high, low, flags, ..] = asked;
        let flags = (flags & 0x79) | 0x80;
        let bytes = [high, low, flags, code.low(), 0, 0, 0, 0, 0, 0, 0, 0];
        Self {
            message: Shape::Header(bytes),
            payload: usize::from(MAX_PLAIN_UDP),
            apex: 0,
            named: None,
        }
    }

    /// The same question answered: there is no such name.
    #[must_use]
    pub fn missing(mut self) -> Self {
        if let Shape::Message(message) = &mut self.message {
            no_such_name(message, self.apex);
        }
        self
    }

    /// As a datagram that answers one of `asked` bytes: with its headers at most one and a half
    /// times as long. What is too long loses its additional records, then all records.
    pub fn datagram(&self, asked: usize) -> Vec<u8> {
        let gain = asked.saturating_add(UDP_OVERHEAD) / 2;
        self.bytes(asked.saturating_add(gain).min(self.payload))
    }

    /// As a datagram that says: ask again over TCP.
    pub fn truncated(&self) -> Vec<u8> {
        self.bytes(0)
    }

    /// For a stream: whole, behind its length.
    pub fn framed(&self) -> Vec<u8> {
        let bytes = self.bytes(usize::from(u16::MAX));
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [length.to_be_bytes().as_slice(), &bytes].concat()
    }

    fn bytes(&self, most: usize) -> Vec<u8> {
        let message = match &self.message {
            Shape::Header(bytes) => return bytes.to_vec(),
            Shape::Message(message) => message,
        };
        let whole = encoded(message);
        if whole.len() <= most {
            return whole;
        }
        if !message.additionals.is_empty() {
            let mut without = message.clone();
            without.additionals.clear();
            let without = encoded(&without);
            if without.len() <= most {
                return without;
            }
        }
        let empty = message.answers.is_empty() && message.authorities.is_empty();
        if empty && most > 0 {
            return whole;
        }
        encoded(&message.truncate())
    }
}

/// RFC 2308 section 2.1.
fn no_such_name(reply: &mut Message, apex: usize) {
    reply.metadata.response_code = ResponseCode::NXDomain;
    reply.answers.clear();
    reply.additionals.clear();
    reply.authorities.clear();
    let apex = reply
        .queries
        .first()
        .map(|query| query.name().trim_to(apex));
    if let Some(soa) = apex.and_then(soa) {
        reply.add_authority(soa);
    }
}

/// How many labels of `name` stand left of `zone`; `None` outside it.
fn left_of(name: &Name, zone: &[Vec<u8>]) -> Option<usize> {
    let labels: Vec<&[u8]> = name.iter().collect();
    let left = labels.len().checked_sub(zone.len())?;
    let tail = labels.get(left..)?;
    tail.iter()
        .zip(zone)
        .all(|(asked, own)| asked.eq_ignore_ascii_case(own))
        .then_some(left)
}

/// The labels of a zone's name.
fn labels(name: &str) -> Result<Vec<Vec<u8>>, String> {
    let wrong = || {
        format!(
            "the DNS channel needs a zone of its own, e.g. tokens.example.com, not {name:?}: \
             delegate one to this machine and name it in the configuration"
        )
    };
    if name.parse::<IpAddr>().is_ok() {
        return Err(wrong());
    }
    let parsed = Name::from_ascii(name).map_err(|_| wrong())?;
    let labels: Vec<Vec<u8>> = parsed.iter().map(<[u8]>::to_vec).collect();
    // Room for a token and some data left of it.
    if labels.is_empty() || parsed.len() > 150 {
        return Err(wrong());
    }
    Ok(labels)
}

/// Nothing where a message can't be encoded, which none of ours is.
fn encoded(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}

/// Zone transfers and other classes than IN are refused.
fn answerable(query: &Query) -> bool {
    query.query_class() == DNSClass::IN
        && !matches!(
            query.query_type(),
            RecordType::AXFR | RecordType::IXFR | RecordType::OPT | RecordType::TSIG
        )
}

/// Names left of the apex are short, so that "no such record" fits into what a query may get.
fn soa(apex: Name) -> Option<Record> {
    let server = apex.prepend_label(NAME_SERVER).ok()?;
    let mailbox = apex.prepend_label("dns").ok()?;
    let soa = SOA::new(server, mailbox, 1, 7200, 900, 1_209_600, TTL_NOTHING);
    Some(Record::from_rdata(apex, TTL_NOTHING, RData::SOA(soa)))
}

/// Set where the query is a visit: somebody wants to go there. Resolvers' and authorities' own
/// questions (NS, SOA, DS, DNSKEY, CAA, names with `_`) aren't.
fn named(id: u16, query: &Query, left: usize) -> Option<Named> {
    let visits = matches!(
        query.query_type(),
        RecordType::A
            | RecordType::AAAA
            | RecordType::HTTPS
            | RecordType::SVCB
            | RecordType::TXT
            | RecordType::CNAME
            | RecordType::MX
            | RecordType::SRV
            | RecordType::ANY
    );
    let labels: Vec<&[u8]> = query.name().iter().collect();
    let (token, data) = labels.get(..left)?.split_last()?;
    if !visits || data.iter().any(|label| label.starts_with(b"_")) {
        return None;
    }
    let token = std::str::from_utf8(token).ok()?.parse().ok()?;
    let printed: Vec<String> = labels.iter().map(|label| text::printable(label)).collect();
    Some(Named {
        id,
        token,
        name: printed.join("."),
        labels: printed.into_iter().take(data.len()).collect(),
        query_type: query.query_type().to_string(),
    })
}
