//! Questions to the DNS, bounded in time.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Longest wait for an answer to one datagram, or over one TCP connection.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Datagrams sent before an answer is given up.
const TRIES: usize = 2;
/// Longest datagram read, as the question says.
const MAX_DATAGRAM: u16 = 1232;
/// Most text read of a file that names resolvers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Without the last dot.
    pub name: String,
    /// Type of the record.
    pub kind: RecordType,
    /// Whether the server shall ask others (RD).
    pub recursive: bool,
    /// Whether a validating resolver shall answer what it can't validate too (CD).
    pub unchecked: bool,
}

/// Why there's no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// The machine knows no way there.
    Unreachable,
    /// What came is no answer to the question.
    Garbled,
}

impl Silence {
    /// In words, behind the name of the server.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Timeout => "doesn't answer",
            Self::Refused => "refuses connections: nothing listens there",
            Self::Unreachable => "can't be reached from here",
            Self::Garbled => "answers something that is no DNS",
        }
    }
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// E.g. NXDOMAIN.
    pub code: ResponseCode,
    /// AA.
    pub authoritative: bool,
    /// TC.
    pub truncated: bool,
    /// The answer.
    pub answers: Vec<Record>,
    /// Who would know more.
    pub authorities: Vec<Record>,
    /// Glue.
    pub additionals: Vec<Record>,
}

impl Heard {
    /// An answer of this code, without any records.
    pub const fn nothing(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            truncated: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    /// Addresses in the answer.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.answers.iter().filter_map(address).collect()
    }
}

/// The address in an A or AAAA record.
pub fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
        _ => None,
    }
}

/// Asks over UDP, and over TCP where the answer says so.
pub fn either(server: SocketAddr, question: &Question) -> Result<Heard, Silence> {
    let heard = udp(server, question)?;
    if heard.truncated {
        return tcp(server, question);
    }
    Ok(heard)
}

/// Asks over UDP.
pub fn udp(server: SocketAddr, question: &Question) -> Result<Heard, Silence> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).map_err(|e| silence(e.kind()))?;
    socket.connect(server).map_err(|e| silence(e.kind()))?;
    let (id, packet) = packet(question)?;
    let mut last = Silence::Timeout;
    for _ in 0..TRIES {
        socket.send(&packet).map_err(|e| silence(e.kind()))?;
        let end = Instant::now() + MAX_WAIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket
                .set_read_timeout(Some(left))
                .map_err(|e| silence(e.kind()))?;
            let mut datagram = vec![0; usize::from(MAX_DATAGRAM)];
            match socket.recv(&mut datagram) {
                // What doesn't fit the question may be forged: the true answer may still come.
                Ok(length) => match datagram.get(..length).and_then(|d| heard(id, question, d)) {
                    Some(heard) => return Ok(heard),
                    None => last = Silence::Garbled,
                },
                Err(cause) => match silence(cause.kind()) {
                    Silence::Timeout => break,
                    other => return Err(other),
                },
            }
        }
    }
    Err(last)
}

/// Asks over TCP.
pub fn tcp(server: SocketAddr, question: &Question) -> Result<Heard, Silence> {
    let (id, packet) = packet(question)?;
    let length = u16::try_from(packet.len()).map_err(|_| Silence::Garbled)?;
    let mut stream =
        TcpStream::connect_timeout(&server, MAX_WAIT).map_err(|e| silence(e.kind()))?;
    let end = Instant::now() + MAX_WAIT;
    stream
        .set_write_timeout(Some(MAX_WAIT))
        .map_err(|e| silence(e.kind()))?;
    stream
        .write_all(&[&length.to_be_bytes()[..], &packet].concat())
        .map_err(|e| silence(e.kind()))?;
    let mut front = [0; 2];
    fill(&mut stream, &mut front, end)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(front))];
    fill(&mut stream, &mut answer, end)?;
    heard(id, question, &answer).ok_or(Silence::Garbled)
}

/// The first resolver that the system names; the one on this machine where it names none
/// (resolv.conf(5)).
pub fn system_resolver() -> SocketAddr {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let address = first_resolver(&text).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(address, 53)
}

fn first_resolver(text: &str) -> Option<IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|rest| rest.split_whitespace().next()?.parse().ok())
}

fn packet(question: &Question) -> Result<(u16, Vec<u8>), Silence> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|_| Silence::Garbled)?;
    let id = u16::from_ne_bytes(random);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = question.recursive;
    message.metadata.checking_disabled = question.unchecked;
    let mut name = Name::from_ascii(&question.name).map_err(|_| Silence::Garbled)?;
    name.set_fqdn(true);
    message.add_query(Query::query(name, question.kind));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    message.set_edns(edns);
    let bytes = message.to_vec().map_err(|_| Silence::Garbled)?;
    Ok((id, bytes))
}

/// `None` for what is no answer to this question.
fn heard(id: u16, question: &Question, bytes: &[u8]) -> Option<Heard> {
    let message = Message::from_vec(bytes).ok()?;
    let asked = Name::from_ascii(&question.name).ok()?;
    let fits = message.metadata.id == id
        && message.metadata.message_type == MessageType::Response
        && message.queries.iter().all(|query| {
            query.query_type() == question.kind && query.name().eq_ignore_root(&asked)
        });
    fits.then_some(Heard {
        code: message.metadata.response_code,
        authoritative: message.metadata.authoritative,
        truncated: message.metadata.truncation,
        answers: message.answers,
        authorities: message.authorities,
        additionals: message.additionals,
    })
}

fn fill(stream: &mut TcpStream, buffer: &mut [u8], end: Instant) -> Result<(), Silence> {
    let mut have = 0;
    while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Silence::Timeout);
        }
        stream
            .set_read_timeout(Some(left))
            .map_err(|e| silence(e.kind()))?;
        match stream.read(rest) {
            Ok(0) => return Err(Silence::Garbled),
            Ok(more) => have += more,
            Err(cause) => return Err(silence(cause.kind())),
        }
    }
    Ok(())
}

fn silence(kind: ErrorKind) -> Silence {
    match kind {
        ErrorKind::ConnectionRefused => Silence::Refused,
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::AddrNotAvailable
        | ErrorKind::PermissionDenied => Silence::Unreachable,
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Silence::Garbled,
        _ => Silence::Timeout,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use hickory_proto::rr::rdata::A;

    use super::*;

    fn question() -> Question {
        Question {
            name: "x.tokens.example.com".to_owned(),
            kind: RecordType::A,
            recursive: true,
            unchecked: false,
        }
    }

    fn answer(packet: &[u8], truncated: bool) -> Vec<u8> {
        let request = Message::from_vec(packet).unwrap();
        assert!(request.metadata.recursion_desired);
        let mut reply = Message::response(request.metadata.id, OpCode::Query);
        let query = request.queries[0].clone();
        let record = RData::A(A::new(192, 0, 2, 1));
        if truncated {
            reply.metadata.truncation = true;
        } else {
            reply.add_answer(Record::from_rdata(query.name().clone(), 60, record));
        }
        reply.add_query(query);
        reply.to_vec().unwrap()
    }

    #[test]
    fn what_is_cut_short_is_asked_again_over_tcp_and_forgeries_do_not_count() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(server).unwrap();
        let serve = thread::spawn(move || {
            let mut datagram = [0; 512];
            let (length, peer) = udp.recv_from(&mut datagram).unwrap();
            let mut forged = answer(&datagram[..length], true);
            forged[0] ^= 1;
            udp.send_to(b"no DNS", peer).unwrap();
            udp.send_to(&forged, peer).unwrap();
            udp.send_to(&answer(&datagram[..length], true), peer)
                .unwrap();
            let (mut stream, _) = tcp.accept().unwrap();
            let mut front = [0; 2];
            stream.read_exact(&mut front).unwrap();
            let mut packet = vec![0; usize::from(u16::from_be_bytes(front))];
            stream.read_exact(&mut packet).unwrap();
            let reply = answer(&packet, false);
            let length = u16::try_from(reply.len()).unwrap();
            stream.write_all(&length.to_be_bytes()).unwrap();
            stream.write_all(&reply).unwrap();
        });
        let heard = either(server, &question()).unwrap();
        assert_eq!(heard.code, ResponseCode::NoError);
        assert_eq!(heard.addresses(), [IpAddr::from([192, 0, 2, 1])]);
        serve.join().unwrap();
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = gone.local_addr().unwrap();
        let start = Instant::now();
        // Bound, and never answering.
        assert_eq!(udp(server, &question()), Err(Silence::Timeout));
        assert!(start.elapsed() < MAX_WAIT * 3);
        drop(gone);
        assert_eq!(udp(server, &question()), Err(Silence::Refused));
        assert_eq!(tcp(server, &question()), Err(Silence::Refused));
    }

    #[test]
    fn the_systems_resolver_is_the_first_one_named() {
        let text = "# nameserver 192.0.2.1\nsearch example.com\nnameserver fe80::1%eth0\n\
                    nameserver 2001:db8::53\nnameserver 192.0.2.2\n";
        assert_eq!(first_resolver(text), Some("2001:db8::53".parse().unwrap()));
        assert_eq!(first_resolver("options edns0\n"), None);
    }
}
