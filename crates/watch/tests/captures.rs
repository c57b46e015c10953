//! Captures of real scanners and of ordinary traffic, taken at a bird's network card, and what must
//! be made of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of it is a test: what isn't as expected ends it"
)]

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use coalmine_core::{NodeId, Timestamp};
use coalmine_watch::{Frame, PortscanSettings, Report, Watch, Watched};

const BIRD_MAC: [u8; 6] = [2, 0x77, 0, 0, 0, 0xb];
/// Bytes of a pcap file's head and of a record's.
const HEAD: usize = 24;
const RECORD: usize = 16;
const ETHERNET: usize = 14;

const HOST: &[&str] = &["hostportscan"];
const OS: &[&str] = &["nmaposscan"];
const NULL: &[&str] = &["nmapnullscan"];
const XMAS: &[&str] = &["nmapxmasscan"];
const FIN: &[&str] = &["nmapfinscan"];
const NOTHING: &[&str] = &[];

/// Every capture and the kinds of events in it.
const CAPTURES: &[(&str, &[&str])] = &[
    ("ack", HOST),
    ("connect", HOST),
    ("data", HOST),
    ("decoys", HOST),
    ("ecn", HOST),
    ("fin", FIN),
    ("fin-v6", FIN),
    ("fragments", HOST),
    ("fragments-xmas", XMAS),
    ("hping-syn", HOST),
    ("hping-xmas", XMAS),
    ("ip-options", HOST),
    ("maimon", HOST),
    ("masscan", HOST),
    ("null", NULL),
    ("os", OS),
    ("os-closed", OS),
    ("os-v6", OS),
    ("push-urgent", XMAS),
    ("quiet-backscatter", NOTHING),
    ("quiet-curl", NOTHING),
    ("quiet-dead-flow", NOTHING),
    ("quiet-four-ports", NOTHING),
    ("quiet-one-port", NOTHING),
    ("quiet-own-names", NOTHING),
    ("quiet-own-unread", NOTHING),
    ("quiet-ping", NOTHING),
    ("quiet-resets", NOTHING),
    ("quiet-traceroute-udp", NOTHING),
    ("slow", HOST),
    ("syn", HOST),
    ("syn-fin", HOST),
    ("syn-v6", HOST),
    ("udp", HOST),
    ("version", HOST),
    ("window", HOST),
    ("xmas", XMAS),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Replays a capture at the times at which it was taken; what is reported, contacts aside.
fn replay(file: &[u8]) -> Vec<Report> {
    replay_slowly(file, 1)
}

/// The same so many times as slowly.
fn replay_slowly(file: &[u8], times: i64) -> Vec<Report> {
    assert_eq!(
        u32_at(file, 0),
        0xa1b2_c3d4,
        "a pcap file with microseconds"
    );
    let bird = |n, address: &str| Watched {
        node_id: NodeId::new([n; 8]),
        address: address.parse().unwrap(),
        listening: HashSet::from([22, 80]),
        exempt: HashSet::new(),
        settings: PortscanSettings::default(),
    };
    let mut watch = Watch::new(vec![bird(1, "10.77.0.11"), bird(2, "fd77::11")]);
    let mut reports = Vec::new();
    let mut now = Timestamp::default();
    let mut first = None;
    let mut rest = &file[HEAD..];
    let tick = Duration::from_millis(250);
    while !rest.is_empty() {
        let seconds = i64::from(u32_at(rest, 0));
        let micros = seconds * 1_000_000 + i64::from(u32_at(rest, 4));
        let first = *first.get_or_insert(micros);
        let at = Timestamp::from_micros(first + (micros - first) * times);
        while watch.is_waiting() && now.plus(tick) < at {
            now = now.plus(tick);
            watch.tick(now, &mut reports);
        }
        now = at;
        let length = usize::try_from(u32_at(rest, 8)).unwrap();
        let frame = &rest[RECORD..RECORD + length];
        let (link, network) = frame.split_at(ETHERNET);
        let frame = Frame {
            ether_type: u16::from_be_bytes([link[12], link[13]]),
            link,
            network,
            outgoing: link[6..12] == BIRD_MAC,
        };
        watch.frame(&frame, now, &mut reports);
        rest = &rest[RECORD + length..];
    }
    for _ in 0..40 {
        now = now.plus(tick);
        watch.tick(now, &mut reports);
    }
    reports.retain(|report| report.seen.kind.key != "portcontact");
    reports
}

#[test]
fn every_capture_gives_the_events_that_are_in_it() {
    let mut wrong = Vec::new();
    for (name, wanted) in CAPTURES {
        let file = std::fs::read(folder().join(format!("{name}.pcap"))).unwrap();
        assert!(file.len() > HEAD, "{name} is empty");
        let reports = replay(&file);
        let found: BTreeSet<_> = reports.iter().map(|report| report.seen.kind.key).collect();
        if found != wanted.iter().copied().collect() {
            wrong.push(format!("{name}: {found:?} and not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_scan_s_ports_are_all_told() {
    for (name, wanted) in [
        ("syn", vec![22, 80, 1, 2, 3, 4, 5, 6]),
        ("ack", vec![22, 80, 1, 2, 3, 4, 5, 6]),
        ("fragments", vec![22, 80, 1, 2, 3, 4, 5, 6]),
        ("udp", vec![53, 123, 161, 500, 1900, 5000]),
        ("masscan", (1..=10).collect()),
        ("slow", (1..=6).collect()),
    ] {
        let file = std::fs::read(folder().join(format!("{name}.pcap"))).unwrap();
        let last = replay(&file).pop().unwrap();
        let fields: serde_json::Value = serde_json::from_str(last.seen.fields.get()).unwrap();
        let ports = fields["ports"].as_str().unwrap().split(',');
        let ports: BTreeSet<u16> = ports.map(|port| port.parse().unwrap()).collect();
        assert_eq!(ports, wanted.into_iter().collect(), "{name}");
    }
}

#[test]
fn closed_ports_one_every_five_minutes_are_a_scan_too() {
    let file = std::fs::read(folder().join("slow.pcap")).unwrap();
    for times in [15, 300] {
        let reports = replay_slowly(&file, times);
        let keys: Vec<_> = reports.iter().map(|report| report.seen.kind.key).collect();
        assert_eq!(keys, HOST, "{times} times as slowly");
    }
    assert!(replay_slowly(&file, 1_000).is_empty());
}

#[test]
fn every_capture_is_in_the_table() {
    let files = std::fs::read_dir(folder()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let files: BTreeSet<_> = files
        .filter_map(|name| Some(name.strip_suffix(".pcap")?.to_owned()))
        .collect();
    let table: BTreeSet<_> = CAPTURES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(files, table);
}
