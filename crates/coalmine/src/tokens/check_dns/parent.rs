//! What the parent of a zone says of it: who its name servers are and where.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::ask::{self, Heard, Question, Silence};

/// Servers of a parent that are asked.
const MAX_SERVERS: usize = 3;
/// Delegations followed below the parent that the resolver knows.
const MAX_STEPS: usize = 4;

/// What the parent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delegation {
    /// It names these servers, with their addresses as far as they can be known.
    Found {
        /// The parent.
        parent: String,
        /// Name and addresses of each.
        servers: Vec<(String, Vec<IpAddr>)>,
    },
    /// It knows of no such zone.
    Missing {
        /// The parent.
        parent: String,
        /// Whether the name has other records there, e.g. a wildcard's.
        other_records: bool,
    },
    /// It couldn't be asked.
    Unknown(&'static str),
}

/// Who answers questions; the network, but in tests.
pub trait Asker {
    /// Asks the resolver.
    fn resolve(&self, question: &Question) -> Result<Heard, Silence>;
    /// Asks a name server.
    fn server(&self, address: IpAddr, question: &Question) -> Result<Heard, Silence>;
}

/// The network.
#[derive(Debug)]
pub struct Network {
    /// The resolver.
    pub resolver: SocketAddr,
}

impl Asker for Network {
    fn resolve(&self, question: &Question) -> Result<Heard, Silence> {
        ask::either(self.resolver, question)
    }

    fn server(&self, address: IpAddr, question: &Question) -> Result<Heard, Silence> {
        ask::either(SocketAddr::new(address, 53), question)
    }
}

/// Asks the parent of `zone`, until `end` at most.
pub fn delegation(asker: &impl Asker, zone: &str, end: Instant) -> Delegation {
    let Some((mut parent, mut servers)) = known_parent(asker, zone, end) else {
        return Delegation::Unknown("the resolver knows no name server of any zone above it");
    };
    for _ in 0..MAX_STEPS {
        let Some(heard) = first_answer(asker, zone, &servers, end) else {
            return Delegation::Unknown("none of the parent's name servers answers from here");
        };
        let named = name_servers(&heard);
        let owner = named.first().map(|(owner, _)| owner.clone());
        match owner {
            Some(owner) if owner == zone => {
                let servers = with_addresses(asker, &heard, &named, end);
                return Delegation::Found { parent, servers };
            }
            // A zone between the two: its servers know more.
            Some(owner) if ends_with(zone, &owner) && ends_with(&owner, &parent) => {
                servers = with_addresses(asker, &heard, &named, end)
                    .into_iter()
                    .flat_map(|(_, addresses)| addresses)
                    .collect();
                parent = owner;
            }
            _ => {
                let missing = heard.code == ResponseCode::NXDomain
                    || (heard.code == ResponseCode::NoError && heard.authoritative);
                if !missing {
                    return Delegation::Unknown(
                        "the parent's name servers answer neither yes nor no",
                    );
                }
                return Delegation::Missing {
                    parent,
                    other_records: heard.code == ResponseCode::NoError,
                };
            }
        }
    }
    Delegation::Unknown("there are too many zones between it and its parent")
}

/// The closest zone above `zone` whose name servers the resolver knows, and their addresses.
fn known_parent(asker: &impl Asker, zone: &str, end: Instant) -> Option<(String, Vec<IpAddr>)> {
    let mut above = zone;
    while let Some((_, rest)) = above.split_once('.') {
        above = rest;
        if Instant::now() > end {
            return None;
        }
        let Ok(heard) = asker.resolve(&question(above, RecordType::NS, true)) else {
            continue;
        };
        let named: Vec<(String, String)> = name_servers(&heard)
            .into_iter()
            .filter(|(owner, _)| owner == above)
            .collect();
        let addresses: Vec<IpAddr> = with_addresses(asker, &heard, &named, end)
            .into_iter()
            .flat_map(|(_, addresses)| addresses)
            .collect();
        if !addresses.is_empty() {
            return Some((above.to_owned(), addresses));
        }
    }
    None
}

fn first_answer(asker: &impl Asker, zone: &str, servers: &[IpAddr], end: Instant) -> Option<Heard> {
    servers
        .iter()
        .take(MAX_SERVERS)
        .take_while(|_| Instant::now() < end)
        .filter_map(|server| {
            asker
                .server(*server, &question(zone, RecordType::NS, false))
                .ok()
        })
        .find(|heard| matches!(heard.code, ResponseCode::NoError | ResponseCode::NXDomain))
}

/// Owner and server of every NS record, answers and authorities alike.
fn name_servers(heard: &Heard) -> Vec<(String, String)> {
    let all = heard.answers.iter().chain(&heard.authorities);
    all.filter_map(|record| match &record.data {
        RData::NS(ns) => Some((plain(&record.name), plain(&ns.0))),
        _ => None,
    })
    .collect()
}

/// Each server's addresses: glue, or what the resolver knows.
fn with_addresses(
    asker: &impl Asker,
    heard: &Heard,
    named: &[(String, String)],
    end: Instant,
) -> Vec<(String, Vec<IpAddr>)> {
    named
        .iter()
        .take(MAX_SERVERS)
        .map(|(owner, server)| {
            let of_server = |record: &&Record| plain(&record.name) == *server;
            let mut addresses: Vec<IpAddr> = heard
                .additionals
                .iter()
                .filter(of_server)
                .filter_map(ask::address)
                .collect();
            // A server inside the zone it serves can only be found by glue.
            let needs_glue = ends_with(server, owner) && !heard.authoritative;
            if addresses.is_empty() && !needs_glue && Instant::now() < end {
                for kind in [RecordType::A, RecordType::AAAA] {
                    let known = asker.resolve(&question(server, kind, true));
                    addresses.extend(known.map(|heard| heard.addresses()).unwrap_or_default());
                }
            }
            (server.clone(), addresses)
        })
        .collect()
}

fn question(name: &str, kind: RecordType, recursive: bool) -> Question {
    Question {
        name: name.to_owned(),
        kind,
        recursive,
        unchecked: false,
    }
}

/// Whether `name` is `zone` or below it.
fn ends_with(name: &str, zone: &str) -> bool {
    name == zone || super::records::is_below(name, zone)
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::rr::rdata::{A, NS, SOA};

    use super::*;

    const PARENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));
    const CHILD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 54));

    /// What each is asked and says.
    struct Book(Vec<(Option<IpAddr>, &'static str, RecordType, Heard)>);

    impl Book {
        fn find(&self, who: Option<IpAddr>, question: &Question) -> Result<Heard, Silence> {
            assert_eq!(question.recursive, who.is_none());
            let mut entries = self.0.iter();
            entries
                .find(|(w, name, kind, _)| {
                    *w == who && *name == question.name && *kind == question.kind
                })
                .map(|(.., heard)| heard.clone())
                .ok_or(Silence::Timeout)
        }
    }

    impl Asker for Book {
        fn resolve(&self, question: &Question) -> Result<Heard, Silence> {
            self.find(None, question)
        }

        fn server(&self, address: IpAddr, question: &Question) -> Result<Heard, Silence> {
            self.find(Some(address), question)
        }
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn ns(zone: &str, server: &str) -> Record {
        Record::from_rdata(name(zone), 60, RData::NS(NS(name(server))))
    }

    fn a(owner: &str, [a, b, c, d]: [u8; 4]) -> Record {
        Record::from_rdata(name(owner), 60, RData::A(A::new(a, b, c, d)))
    }

    fn heard(answers: Vec<Record>, authorities: Vec<Record>, additionals: Vec<Record>) -> Heard {
        Heard {
            code: ResponseCode::NoError,
            authoritative: !answers.is_empty(),
            truncated: false,
            answers,
            authorities,
            additionals,
        }
    }

    fn resolver_knows_the_parent() -> Vec<(Option<IpAddr>, &'static str, RecordType, Heard)> {
        vec![
            (
                None,
                "example.com",
                RecordType::NS,
                heard(vec![ns("example.com.", "ns.Example.net.")], vec![], vec![]),
            ),
            (
                None,
                "ns.example.net",
                RecordType::A,
                heard(vec![a("ns.example.net.", [192, 0, 2, 53])], vec![], vec![]),
            ),
        ]
    }

    fn end() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_referral_is_read_with_its_glue() {
        let mut book = resolver_knows_the_parent();
        book.push((
            Some(PARENT),
            "t.example.com",
            RecordType::NS,
            heard(
                vec![],
                vec![
                    ns("T.example.com.", "ns1.t.example.com."),
                    ns("t.example.com.", "ns2.t.example.com."),
                ],
                vec![a("ns1.T.example.com.", [198, 51, 100, 7])],
            ),
        ));
        assert_eq!(
            delegation(&Book(book), "t.example.com", end()),
            Delegation::Found {
                parent: "example.com".to_owned(),
                servers: vec![
                    (
                        "ns1.t.example.com".to_owned(),
                        vec![[198, 51, 100, 7].into()]
                    ),
                    ("ns2.t.example.com".to_owned(), vec![]),
                ],
            }
        );
    }

    #[test]
    fn zones_between_are_followed() {
        let mut book = resolver_knows_the_parent();
        book.push((
            Some(PARENT),
            "t.lab.example.com",
            RecordType::NS,
            heard(
                vec![],
                vec![ns("lab.example.com.", "ns.lab.example.com.")],
                vec![a("ns.lab.example.com.", [192, 0, 2, 54])],
            ),
        ));
        let mut soa = heard(vec![], vec![], vec![]);
        soa.authoritative = true;
        soa.code = ResponseCode::NXDomain;
        soa.authorities.push(Record::from_rdata(
            name("lab.example.com."),
            60,
            RData::SOA(SOA::new(name("a."), name("b."), 1, 1, 1, 1, 1)),
        ));
        book.push((Some(CHILD), "t.lab.example.com", RecordType::NS, soa));
        assert_eq!(
            delegation(&Book(book), "t.lab.example.com", end()),
            Delegation::Missing {
                parent: "lab.example.com".to_owned(),
                other_records: false
            }
        );
    }

    #[test]
    fn who_cannot_be_asked_is_unknown_and_time_is_bounded() {
        let unknown = |book: Vec<_>, end| {
            let said = delegation(&Book(book), "t.example.com", end);
            assert!(matches!(said, Delegation::Unknown(_)), "{said:?}");
        };
        unknown(vec![], end());
        unknown(resolver_knows_the_parent(), end());
        let mut refuses = resolver_knows_the_parent();
        let mut refused = heard(vec![], vec![], vec![]);
        refused.code = ResponseCode::Refused;
        refuses.push((Some(PARENT), "t.example.com", RecordType::NS, refused));
        unknown(refuses, end());
        unknown(resolver_knows_the_parent(), Instant::now());
    }
}
