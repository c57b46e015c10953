//! Every decoy at once, treated badly: what a client can do to one must not cost memory that isn't
//! given back, and none may stop answering.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use coalmine::registry;
use coalmine_core::DecoyKind;
use coalmine_core::decoy::{Poke, Step, Transport};
use socket2::SockRef;

use crate::nest::Nest;

/// Every decoy there is, on one bird; one that locks strangers out would answer none of them.
const ALL: &str = "
[[bird]]
name = \"files-02\"
personality = \"merry-christmas\"
[bird.vnc]
lockout = false
";
/// Connections that say nothing, held open at each decoy in turn.
const IDLE: usize = 2_000;
/// What a client pours in without ever ending a line, in bytes.
const FLOOD: usize = 20 * 1024 * 1024;
/// Memory of the program while it's treated so, in kB.
const MAX_MEMORY: u64 = 160 * 1024;
/// Memory above the first idle figure that may stay for good, in kB.
const MAX_KEPT: u64 = 48 * 1024;
/// The longest that any one step of a client takes.
const STEP: Duration = Duration::from_secs(5);
/// Silence after which a decoy has said all for now.
const SILENCE: Duration = Duration::from_millis(150);

#[test]
fn idle_flooding_and_vanishing_clients_leave_every_decoy_answering() {
    raise_limit();
    let nest = Nest::start(ALL);
    nest.coalmine(&["poke"]);
    let before = memory(&nest);
    for kind in registry::decoys() {
        if !kind.transports.contains(&Transport::Tcp) {
            continue;
        }
        let target = SocketAddr::new(nest.address, nest.port(kind.id));
        vanish(kind, target);
        flood(target);
        idle(&nest, kind, target);
    }
    // Everything is still there and every touch still seen.
    nest.coalmine(&["poke"]);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let now = memory(&nest);
        if now <= before + MAX_KEPT {
            break;
        }
        assert!(
            Instant::now() < end,
            "{before} kB at first, {now} kB when all have gone"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Plays the decoy's own poke up to each of its steps and then is gone, rudely.
fn vanish(kind: &DecoyKind, target: SocketAddr) {
    let steps = script(kind);
    for played in 0..=steps.len() {
        let (mut stream, mut heard) = (connect(target), Vec::new());
        for step in steps.iter().take(played) {
            play(kind, &mut stream, &mut heard, step);
        }
        // A reset instead of a goodbye.
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// Twenty megabytes without a newline: the decoy may close or swallow them, not keep them.
fn flood(target: SocketAddr) {
    let mut stream = connect(target);
    stream.set_write_timeout(Some(STEP)).unwrap();
    let block = vec![b'A'; 64 * 1024];
    let mut poured = 0;
    while poured < FLOOD {
        match stream.write(&block) {
            Ok(0) | Err(_) => break,
            Ok(more) => poured += more,
        }
    }
}

/// Holds many silent connections; the decoy answers another client and memory stays bounded.
fn idle(nest: &Nest, kind: &DecoyKind, target: SocketAddr) {
    let held: Vec<_> = (0..IDLE).map(|_| connect(target)).collect();
    let (mut stream, mut heard) = (connect(target), Vec::new());
    for step in script(kind) {
        play(kind, &mut stream, &mut heard, step);
    }
    let now = memory(nest);
    assert!(
        now < MAX_MEMORY,
        "{}: {now} kB with {IDLE} silent clients",
        kind.id
    );
    for stream in &held {
        SockRef::from(stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// The decoy's own poke, as far as it's made of plain bytes.
fn script(kind: &DecoyKind) -> &'static [Step] {
    match kind.poke {
        Poke::Script(steps) if kind.tls.is_none() => {
            let plain = steps.split(|step| matches!(step, Step::StartTls)).next();
            plain.unwrap_or(steps)
        }
        Poke::Script(_) | Poke::Talk(_) => &[],
    }
}

/// Plays one step; `heard` holds what came and no step has asked for yet.
fn play(kind: &DecoyKind, stream: &mut TcpStream, heard: &mut Vec<u8>, step: &Step) {
    let mut some = [0; 4096];
    match step {
        // A byte at a time: the worst way for the other side to get it.
        Step::Send(bytes) => {
            for byte in *bytes {
                stream.write_all(std::slice::from_ref(byte)).unwrap();
            }
        }
        Step::Expect(wanted) => loop {
            let found = heard.windows(wanted.len()).position(|w| w == *wanted);
            if let Some(at) = found {
                heard.drain(..at + wanted.len());
                break;
            }
            let more = stream.read(&mut some).unwrap_or(0);
            assert!(
                more > 0,
                "{}: {:?} never came, only {:?}",
                kind.id,
                wanted.escape_ascii().to_string(),
                heard.escape_ascii().to_string()
            );
            heard.extend_from_slice(some.get(..more).unwrap());
        },
        Step::StartTls => unreachable!("only plain steps are played"),
        Step::Drain => {
            stream.set_read_timeout(Some(SILENCE)).unwrap();
            while stream.read(&mut some).is_ok_and(|more| more > 0) {}
            stream.set_read_timeout(Some(STEP)).unwrap();
            heard.clear();
        }
    }
}

fn connect(target: SocketAddr) -> TcpStream {
    let end = Instant::now() + STEP;
    let stream = loop {
        match TcpStream::connect_timeout(&target, STEP) {
            Ok(stream) => break stream,
            // The backlog is full for a moment.
            Err(e) if e.kind() == ErrorKind::ConnectionRefused && Instant::now() < end => {}
            Err(e) => panic!("{target}: {e}"),
        }
    };
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(STEP)).unwrap();
    stream
}

/// Resident memory of the program, in kB.
fn memory(nest: &Nest) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", nest.run["pid"])).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: now.maximum,
        ..now
    };
    setrlimit(Resource::Nofile, all).unwrap();
}
