//! Nothing that got a reply is lost, and nothing is stored twice, whenever the process is killed.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    let mut nest = Nest::start(CONFIG);
    let target = Arc::new(Mutex::new(SocketAddr::new(nest.address, nest.port("ftp"))));
    let done = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU64::new(0));
    let answered = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (target, done) = (Arc::clone(&target), Arc::clone(&done));
            let (number, answered) = (Arc::clone(&number), Arc::clone(&answered));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let n = number.fetch_add(1, Ordering::Relaxed);
                    let target = *target.lock().unwrap();
                    if attempt(target, n).is_some() {
                        answered.lock().unwrap().push(n);
                    } else {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        })
        .collect();
    let end = Instant::now() + TIME;
    let mut kills = 0_u64;
    while Instant::now() < end {
        // Irregular moments: 300 to 1,500 ms.
        std::thread::sleep(Duration::from_millis(300 + (kills * 7919) % 1200));
        let dir = nest.kill();
        kills += 1;
        nest = Nest::start_in(dir, CONFIG);
        *target.lock().unwrap() = SocketAddr::new(nest.address, nest.port("ftp"));
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let mut answered = answered.lock().unwrap().clone();
    answered.sort_unstable();
    assert!(
        answered.len() > 1_000,
        "only {} attempts got through",
        answered.len()
    );

    let stored = await_some(|| {
        let stored = stored(&nest);
        answered
            .iter()
            .all(|n| stored.contains_key(n))
            .then_some(stored)
    });
    let stored = stored.unwrap_or_else(|| {
        let stored = self::stored(&nest);
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
    println!(
        "{kills} kills, {} attempts answered, {} stored",
        answered.len(),
        stored.len()
    );
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

/// How often each user name is stored, over all incidents.
fn stored(nest: &Nest) -> HashMap<u64, u32> {
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
            let user = event["USERNAME"].as_str().unwrap();
            *times.entry(user[1..].parse().unwrap()).or_insert(0) += 1;
        }
    }
    times
}
