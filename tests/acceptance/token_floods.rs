//! Tokens that are touched often: nothing that was answered is lost whenever the process is killed, and
//! no answer tells a token that is there from one that isn't.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::durability::kill_at_any_moment;
use crate::nest::Nest;

/// How long the process is killed again and again.
const TIME: Duration = Duration::from_secs(12);
/// Least time of any answer (`FLOOR` of the channels).
const FLOOR: Duration = Duration::from_millis(30);
/// How much later the quickest answer of one sort of token may come than that of another.
const SLACK: Duration = Duration::from_millis(10);
const CONFIG: &str = "[tokens]\nzone = \"tokens.example.com\"\n";
const ZONE: [&str; 3] = ["tokens", "example", "com"];

/// The tokens of the test that kills, for HTTP and DNS.
static TOKENS: OnceLock<[String; 2]> = OnceLock::new();

#[test]
fn kill_at_any_moment_loses_no_touch_that_was_answered_and_repeats_none() {
    let nest = Nest::start(CONFIG);
    TOKENS.get_or_init(|| ["http", "dns"].map(|kind| make(&nest, kind)));
    let targets = [http_channel, dns_channel];
    let killed = kill_at_any_moment(nest, CONFIG, TIME, targets, [fetch, resolve]);
    killed.assert_whole(200, |event| {
        let number = match (event["url"].as_str(), event["hostname"].as_str()) {
            (Some(url), _) => url.split_once("?n=").unwrap().1,
            (_, Some(name)) => name[1..].split('.').next().unwrap(),
            _ => panic!("{event:#}"),
        };
        number.parse().unwrap()
    });
}

/// Touches the HTTP token with number `n`; `Some` when the answer came because the touch was kept.
fn fetch(target: SocketAddr, n: u64) -> Option<()> {
    let token = &TOKENS.get()?[0];
    let mut tcp = connect(target, n)?;
    let request = format!("GET /{token}?n={n} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).ok()?;
    answer.starts_with(b"HTTP/1.1 200 OK\r\n").then_some(())
}

/// The same of the DNS token.
fn resolve(target: SocketAddr, n: u64) -> Option<()> {
    let token = &TOKENS.get()?[1];
    let answer = ask(target, n, &query(&[&format!("n{n}"), token], 1, true))?;
    (answer.get(3)? & 15 == 0).then_some(())
}

#[test]
fn known_unknown_and_disabled_tokens_answer_alike_byte_by_byte_and_in_time() {
    let nest = Nest::start(CONFIG);
    for (kind, times) in [
        ("http", over_http as fn(&Nest, &[String; 3]) -> Times),
        ("dns", over_dns),
    ] {
        let (known, disabled) = (make(&nest, kind), make(&nest, kind));
        let answer = nest.post("canarytoken/disable", &[("canarytoken", &disabled)]);
        assert_eq!(answer["result"], "success", "{answer}");
        let unknown: String = known.chars().rev().collect();
        let times = times(&nest, &[known.clone(), unknown, disabled.clone()]);
        let quickest = times.map(|times| times.into_iter().min().unwrap());
        for time in quickest {
            assert!(time >= FLOOR, "{kind}: an answer after {time:?}");
        }
        let (least, most) = (
            quickest.iter().min().unwrap(),
            quickest.iter().max().unwrap(),
        );
        assert!(*most - *least < SLACK, "{kind}: {quickest:?}");
        let touched = nest.api(&format!("canarytoken/fetch?canarytoken={known}"));
        assert_ne!(touched["token"]["triggered_count"], 0, "{touched:#}");
        let silent = nest.api("incidents/all");
        let all = silent["incidents"].as_array().unwrap();
        let mut of_kind = all.iter().map(|i| &i["description"]["node_id"]);
        assert!(of_kind.all(|id| *id != disabled), "a disabled token told");
    }
}

type Times = [Vec<Duration>; 3];

/// Rounds of the three tokens; enough for one undisturbed answer of each.
const ROUNDS: usize = 8;

fn over_http(nest: &Nest, tokens: &[String; 3]) -> Times {
    let target = http_channel(nest);
    let mut times = Times::default();
    let requests = [
        "GET /TOKEN HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /a/b/TOKEN/c.js?d=e HTTP/1.1\r\nHost: a\r\nAccept: image/png\r\nConnection: close\r\n\r\n",
        "HEAD /TOKEN.gif HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST /?x=TOKEN HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        "OPTIONS /TOKEN HTTP/1.1\r\nHost: TOKEN.tokens.example.com\r\nConnection: close\r\n\r\n",
        "PROPFIND /TOKEN/ HTTP/1.1\r\nHost: a\r\nDepth: 1\r\nConnection: close\r\n\r\n",
        "GET /TOKEN HTTP/1.0\r\n\r\n",
        "GET /TOKEN HTTP/1.1\r\n\r\n",
        "GET /TOKEN HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n",
    ];
    for request in requests.iter().cycle().take(requests.len() * ROUNDS) {
        let answers: Vec<_> = tokens
            .iter()
            .zip(&mut times)
            .map(|(token, times)| {
                let mut tcp = connect(target, 0).unwrap();
                let start = Instant::now();
                tcp.write_all(request.replace("TOKEN", token).as_bytes())
                    .unwrap();
                let mut answer = Vec::new();
                tcp.read_to_end(&mut answer).unwrap();
                times.push(start.elapsed());
                String::from_utf8_lossy(&answer)
                    .replace(token, "TOKEN")
                    .lines()
                    .filter(|line| !line.starts_with("Date: "))
                    .collect::<Vec<_>>()
                    .join("\n")
            })
            .collect();
        assert!(answers[0].starts_with("HTTP/1.1 "), "{answers:?}");
        assert_eq!(answers[0], answers[1], "{request}");
        assert_eq!(answers[0], answers[2], "{request}");
    }
    times
}

fn over_dns(nest: &Nest, tokens: &[String; 3]) -> Times {
    let target = dns_channel(nest);
    let mut times = Times::default();
    // Types A, NS, SOA, TXT, AAAA, HTTPS, ANY, CAA.
    let types = [1, 2, 6, 16, 28, 65, 255, 257];
    for round in 0..ROUNDS * types.len() {
        let (kind, edns) = (types[round % types.len()], round % 3 > 0);
        let data = ["NBSWY3DP", "g42"];
        let answers: Vec<_> = tokens
            .iter()
            .zip(&mut times)
            .map(|(token, times)| {
                let mut labels = data[..round % 3].to_vec();
                labels.push(token);
                let query = query(&labels, kind, edns);
                let start = Instant::now();
                let answer = ask(target, round as u64 * 100, &query).unwrap();
                times.push(start.elapsed());
                let found = answer.windows(25).position(|w| w == token.as_bytes());
                let mut answer = answer;
                answer[found.unwrap()..][..25].fill(b'x');
                answer
            })
            .collect();
        assert_eq!(answers[0], answers[1], "type {kind}");
        assert_eq!(answers[0], answers[2], "type {kind}");
    }
    times
}

/// A fresh token's id.
fn make(nest: &Nest, kind: &str) -> String {
    let made = nest.post("canarytoken/create", &[("kind", kind), ("memo", "flood")]);
    let token = made["canarytoken"]["canarytoken"].as_str();
    token.unwrap_or_else(|| panic!("{made}")).to_owned()
}

fn http_channel(nest: &Nest) -> SocketAddr {
    channel(nest, "http_port")
}

fn dns_channel(nest: &Nest) -> SocketAddr {
    channel(nest, "dns_port")
}

fn channel(nest: &Nest, port: &str) -> SocketAddr {
    let port = nest.run["tokens"][port].as_u64().unwrap();
    SocketAddr::new(nest.address, u16::try_from(port).unwrap())
}

/// A connection from an address that changes every 2,000 numbers: one incident shows at most
/// 10,000 events.
fn connect(target: SocketAddr, n: u64) -> Option<TcpStream> {
    let [.., high, low] = (n / 2_000).to_be_bytes();
    let source = SocketAddr::from(([127, 5, high, low.saturating_add(1)], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&source.into()).ok()?;
    let patience = Duration::from_secs(2);
    socket.connect_timeout(&target.into(), patience).ok()?;
    let tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(patience)).ok()?;
    Some(tcp)
}

/// Asks from a network that changes every 100 numbers: one network gets a bounded number of answers.
fn ask(target: SocketAddr, n: u64, query: &[u8]) -> Option<Vec<u8>> {
    let [.., high, low] = (n / 100).to_be_bytes();
    let socket = UdpSocket::bind(SocketAddr::from(([127, 6 + high, low, 1], 0))).ok()?;
    socket.connect(target).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    socket.send(query).ok()?;
    let mut block = [0; 1500];
    let length = socket.recv(&mut block).ok()?;
    Some(block[..length].to_vec())
}

/// A query (RFC 1035 section 4.1) for `labels` below the zone; with `edns`, for 1,232 bytes.
fn query(labels: &[&str], kind: u16, edns: bool) -> Vec<u8> {
    let mut packet = vec![7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for label in labels.iter().chain(&ZONE) {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    if edns {
        packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    packet
}
