//! Nothing that got a reply is lost, and nothing is stored twice, whenever the process is killed.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::nest::{Nest, await_some};

/// Delays off and a long bundling window, so that every attempt of the test is one incident.
const CONFIG: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.ftp]
login_delay_ms = 0
";

/// How long the process is killed again and again.
const TIME: Duration = Duration::from_secs(60);
const CLIENTS: usize = 8;

#[test]
fn kill_at_any_moment_for_a_minute_loses_nothing_and_repeats_nothing() {
    let target = |nest: &Nest| SocketAddr::new(nest.address, nest.port("ftp"));
    let nest = Nest::start(CONFIG);
    let killed = kill_at_any_moment(nest, CONFIG, TIME, [target], [attempt]);
    killed.assert_whole(1_000, |event| {
        event["USERNAME"].as_str().unwrap()[1..].parse().unwrap()
    });
}

/// What came of a program that was killed again and again.
pub struct Killed {
    /// The last one, running.
    pub nest: Nest,
    kills: u64,
    answered: Vec<u64>,
}

/// Attempts number by number while the program is killed at irregular moments, for `time`. Each
/// attempt gets the address that its place in `targets` says; `Some` where it was answered.
pub fn kill_at_any_moment<const N: usize>(
    mut nest: Nest,
    config: &str,
    time: Duration,
    targets: [fn(&Nest) -> SocketAddr; N],
    attempts: [fn(SocketAddr, u64) -> Option<()>; N],
) -> Killed {
    let now = Arc::new(Mutex::new(targets.map(|target| target(&nest))));
    let done = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU64::new(0));
    let answered = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (now, done) = (Arc::clone(&now), Arc::clone(&done));
            let (number, answered) = (Arc::clone(&number), Arc::clone(&answered));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let n = number.fetch_add(1, Ordering::Relaxed);
                    let target = now.lock().unwrap()[client % N];
                    if attempts[client % N](target, n).is_some() {
                        answered.lock().unwrap().push(n);
                    } else {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        })
        .collect();
    let end = Instant::now() + time;
    let mut kills = 0_u64;
    while Instant::now() < end {
        // Irregular moments: 300 to 1,500 ms.
        std::thread::sleep(Duration::from_millis(300 + (kills * 7919) % 1200));
        let dir = nest.kill();
        kills += 1;
        nest = Nest::start_in(dir, config);
        *now.lock().unwrap() = targets.map(|target| target(&nest));
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let mut answered = answered.lock().unwrap().clone();
    answered.sort_unstable();
    Killed {
        nest,
        kills,
        answered,
    }
}

impl Killed {
    /// More than `least` attempts were answered, each of these is stored, and none is stored twice;
    /// `number` reads an attempt's number from its event.
    pub fn assert_whole(&self, least: usize, number: fn(&Value) -> u64) {
        let Self {
            nest,
            kills,
            answered,
        } = self;
        assert!(
            answered.len() > least,
            "only {} attempts got through",
            answered.len()
        );
        let stored = await_some(|| {
            let stored = stored(nest, number);
            answered
                .iter()
                .all(|n| stored.contains_key(n))
                .then_some(stored)
        });
        let stored = stored.unwrap_or_else(|| {
            let stored = self::stored(nest, number);
            let lost: Vec<_> = answered
                .iter()
                .filter(|n| !stored.contains_key(n))
                .collect();
            panic!(
                "{} of {} answered attempts are lost after {kills} kills: {lost:?}",
                lost.len(),
                answered.len()
            );
        });
        let twice: Vec<_> = stored.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "stored more than once: {twice:?}");
        eprintln!(
            "{kills} kills, {} attempts answered, {} stored",
            answered.len(),
            stored.len()
        );
    }
}

/// One login attempt as user `n`; `Some` when the server said that it's wrong.
fn attempt(target: SocketAddr, n: u64) -> Option<()> {
    // A new source every 2,000 attempts: one incident shows at most 10,000 events.
    let [.., high, low] = (n / 2_000).to_be_bytes();
    let source = SocketAddr::from(([127, 3, high, low.saturating_add(1)], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&source.into()).ok()?;
    socket
        .connect_timeout(&target.into(), Duration::from_secs(1))
        .ok()?;
    let mut tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    expect(&mut tcp, b"220 ")?;
    tcp.write_all(format!("USER u{n}\r\n").as_bytes()).ok()?;
    expect(&mut tcp, b"331 ")?;
    tcp.write_all(b"PASS wrong\r\n").ok()?;
    expect(&mut tcp, b"530 ")
}

fn expect(tcp: &mut TcpStream, start: &[u8]) -> Option<()> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        tcp.read_exact(&mut byte).ok()?;
        line.extend(byte);
    }
    line.starts_with(start).then_some(())
}

/// How often each attempt is stored, over all incidents.
fn stored(nest: &Nest, number: fn(&Value) -> u64) -> HashMap<u64, u32> {
    let mut times = HashMap::new();
    let all = nest.api("incidents/all?event_limit=1");
    for incident in all["incidents"].as_array().unwrap() {
        let id = incident["id"].as_str().unwrap();
        let count: usize = incident["description"]["events_count"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let whole = nest.api(&format!("incident/fetch?incident={id}"));
        let events = whole["incident"]["events"].as_array().unwrap();
        assert_eq!(
            events.len(),
            count.min(10_000),
            "an incident shows what it counts"
        );
        for event in events {
            *times.entry(number(event)).or_insert(0) += 1;
        }
    }
    times
}
