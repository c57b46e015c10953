//! Packets as scanners and ordinary programs send them, and what must be made of them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coalmine_core::{Event, NodeId, Timestamp};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder, TcpHeader};
use serde_json::{Value, json};

use super::*;

const BIRD: [u8; 4] = [10, 0, 0, 11];
const ATTACKER: [u8; 4] = [10, 0, 0, 2];
const LINK: [u8; 14] = [2, 0x77, 0, 0, 0, 0xb, 2, 0x77, 0, 0, 0, 2, 8, 0];

/// A watch over one bird and the time.
struct Scene {
    watch: Watch,
    now: Timestamp,
    reports: Vec<Report>,
}

impl Scene {
    fn new() -> Self {
        let bird = Watched {
            node_id: NodeId::new([1; 8]),
            address: IpAddr::from(BIRD),
            listening: HashSet::from([22, 80]),
            exempt: HashSet::from([8443]),
            settings: PortscanSettings::default(),
        };
        Self {
            watch: Watch::new(vec![bird]),
            now: Timestamp::from_secs(1_760_000_000),
            reports: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        // Four ticks a second, as the sensor gives them, while there's something to wait for.
        while self.now < end && self.watch.is_waiting() {
            self.now = self.now.plus(Duration::from_millis(250)).min(end);
            self.watch.tick(self.now, &mut self.reports);
        }
        self.now = end;
    }

    fn frame(&mut self, network: &[u8], outgoing: bool) {
        let frame = Frame {
            ether_type: if network[0] >> 4 == 6 { 0x86dd } else { 0x0800 },
            link: &LINK,
            network,
            outgoing,
        };
        self.watch.frame(&frame, self.now, &mut self.reports);
    }

    /// A segment from `source` to the bird.
    fn comes(&mut self, source: [u8; 4], header: &TcpHeader) {
        let packet = tcp(source, BIRD, header);
        self.frame(&packet, false);
    }

    /// A segment from the bird to `peer`.
    fn goes(&mut self, peer: [u8; 4], header: &TcpHeader) {
        let packet = tcp(BIRD, peer, header);
        self.frame(&packet, true);
    }

    /// What the kernel of a bird with two open ports answers.
    fn answered(&mut self, source: [u8; 4], header: &TcpHeader) {
        self.comes(source, header);
        let open = [22, 80].contains(&header.destination_port);
        let mut answer = TcpHeader::new(header.destination_port, header.source_port, 0, 0);
        match (header.syn, header.ack, open) {
            _ if header.rst => return,
            (true, false, true) => {
                answer.syn = true;
                answer.ack = true;
                answer.sequence_number = 77;
            }
            (_, true, _) => answer.rst = true,
            (_, false, false) => {
                answer.rst = true;
                answer.ack = true;
            }
            (false, false, true) => return,
        }
        self.goes(source, &answer);
    }

    /// Titles and fields of what has been reported, contacts aside.
    fn events(&mut self) -> Vec<(&'static str, Value)> {
        let events = self.reports.iter().map(|report| &report.seen);
        let events = events.filter(|seen| seen.kind.key != PortContact::KIND.key);
        let events = events.map(|seen| {
            let fields = serde_json::from_str(seen.fields.get()).unwrap();
            (seen.kind.key, fields)
        });
        events.collect()
    }

    fn keys(&mut self) -> Vec<&'static str> {
        self.events().into_iter().map(|(key, _)| key).collect()
    }

    /// The ports of the last host port scan.
    fn ports(&mut self) -> Vec<u16> {
        let (_, fields) = self.events().pop().unwrap();
        let ports = fields["ports"].as_str().unwrap();
        ports.split(',').map(|port| port.parse().unwrap()).collect()
    }

    fn contacts(&self) -> Vec<(IpAddr, Vec<u16>)> {
        let of_kind = |report: &&Report| report.seen.kind.key == PortContact::KIND.key;
        let contacts = self.reports.iter().filter(of_kind).map(|report| {
            let fields: Value = serde_json::from_str(report.seen.fields.get()).unwrap();
            let ports = fields["ports"].as_str().unwrap().split(',');
            (report.src.ip, ports.map(|p| p.parse().unwrap()).collect())
        });
        contacts.collect()
    }
}

fn tcp(source: [u8; 4], target: [u8; 4], header: &TcpHeader) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(source, target, 47)
        .tcp_header(header.clone())
        .write(&mut packet, &[])
        .unwrap();
    packet
}

fn udp(source: [u8; 4], target: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(source, target, 47)
        .udp(ports.0, ports.1)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

/// A segment to `port` with `flags`, a letter each.
fn segment(port: u16, flags: &str) -> TcpHeader {
    let mut header = TcpHeader::new(40_000, port, 0x1234, 1024);
    for flag in flags.chars() {
        match flag {
            'F' => header.fin = true,
            'S' => header.syn = true,
            'R' => header.rst = true,
            'P' => header.psh = true,
            'A' => header.ack = true,
            'U' => header.urg = true,
            'E' => header.ece = true,
            'C' => header.cwr = true,
            other => panic!("no flag {other}"),
        }
    }
    header
}

/// The same with raw options.
fn with_options(mut header: TcpHeader, options: &[u8], window: u16) -> TcpHeader {
    header.set_options_raw(options).unwrap();
    header.window_size = window;
    header
}

const MOMENT: Duration = Duration::from_millis(2);
const O: &[u8] = b"\x03\x03\x0a\x01\x02\x04\x01\x09\x08\x0a\xff\xff\xff\xff\0\0\0\0\x04\x02";
const O7: &[u8] = b"\x03\x03\x0f\x01\x02\x04\x01\x09\x08\x0a\xff\xff\xff\xff\0\0\0\0\x04\x02";

#[test]
fn a_syn_scan_is_one_scan_with_every_port_in_order() {
    let mut scene = Scene::new();
    for port in 1..=1000 {
        scene.answered(ATTACKER, &segment(port, "S"));
        scene.pass(Duration::from_micros(14));
    }
    scene.pass(Duration::from_secs(3));
    assert_eq!(scene.keys(), ["hostportscan", "hostportscan"]);
    let (_, first) = scene.events().remove(0);
    assert_eq!(first, json!({"ports": "1,2,3,4,5"}));
    assert_eq!(scene.ports(), (1..=1000).collect::<Vec<_>>());
}

#[test]
fn four_ports_are_a_monitor_and_five_are_a_scan() {
    let mut scene = Scene::new();
    for _ in 0..200 {
        for port in [22, 80, 443, 25] {
            scene.answered(ATTACKER, &segment(port, "S"));
        }
        scene.pass(Duration::from_secs(30));
    }
    assert_eq!(scene.events(), []);
    scene.answered(ATTACKER, &segment(8080, "S"));
    scene.answered([10, 0, 0, 3], &segment(1, "S"));
    assert_eq!(scene.events(), [], "the fifth came long after the others");
    for port in [22, 80, 443, 25, 8080] {
        scene.answered([10, 0, 0, 4], &segment(port, "S"));
    }
    assert_eq!(scene.ports(), [22, 80, 443, 25, 8080]);
}

#[test]
fn a_scan_at_one_port_in_a_quarter_of_a_minute_is_found_by_the_closed_ones() {
    let mut scene = Scene::new();
    for port in [1, 2, 22, 3, 4, 5, 6] {
        assert_eq!(scene.events(), [], "before {port}");
        scene.answered(ATTACKER, &segment(port, "S"));
        scene.pass(Duration::from_secs(15));
    }
    assert_eq!(scene.ports(), [1, 2, 3, 4, 5, 6], "22 is open");
}

#[test]
fn retries_and_browser_bursts_are_silent() {
    let mut scene = Scene::new();
    for n in 0..50 {
        let mut header = segment(80, "S");
        header.source_port = 50_000 + n;
        scene.answered(ATTACKER, &header);
        scene.answered(ATTACKER, &segment(9999, "S"));
    }
    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.events(), []);
}

#[test]
fn fin_null_and_xmas_tell_at_the_first_packet_and_once() {
    for (flags, key) in [
        ("F", "nmapfinscan"),
        ("", "nmapnullscan"),
        ("FPU", "nmapxmasscan"),
        ("P", "nmapxmasscan"),
        ("U", "nmapxmasscan"),
        ("FPUE", "nmapxmasscan"),
        ("FEC", "nmapfinscan"),
    ] {
        let mut scene = Scene::new();
        scene.answered(ATTACKER, &segment(1, flags));
        assert_eq!(scene.keys(), [key], "{flags}");
        for port in 2..=1000 {
            scene.answered(ATTACKER, &segment(port, flags));
        }
        scene.pass(Duration::from_secs(10));
        assert_eq!(scene.keys(), [key], "{flags}: its answers are no port scan");
        let (_, fields) = scene.events().remove(0);
        let wanted = json!({
            "ID": "0", "LEN": "40", "MAC": "02:77:00:00:00:0b:02:77:00:00:00:02:08:00",
            "PREC": "0x00", "PROTO": "TCP", "RES": "0x00", "TOS": "0x00", "TTL": "47",
            "URGP": "0", "WINDOW": "1024",
        });
        assert_eq!(fields, wanted, "{flags}");
        let Report { src, dst, .. } = scene.reports.first().unwrap();
        assert_eq!((src.ip, src.port), (IpAddr::from(ATTACKER), 40_000));
        assert_eq!((dst.ip, dst.port), (IpAddr::from(BIRD), 1));
    }
}

#[test]
fn ack_window_and_maimon_scans_are_port_scans() {
    for flags in ["A", "FA"] {
        let mut scene = Scene::new();
        for port in [22, 80, 1, 2, 3] {
            scene.answered(ATTACKER, &segment(port, flags));
        }
        scene.pass(Duration::from_secs(3));
        assert_eq!(scene.ports(), [22, 80, 1, 2, 3], "{flags}");
    }
}

#[test]
fn connections_to_five_decoys_are_a_scan_where_packets_cannot_be_watched() {
    let mut scene = Scene::new();
    let bird = NodeId::new([1; 8]);
    for port in [21, 22, 80, 443, 3306] {
        assert_eq!(scene.events(), []);
        let ends = (end(ATTACKER.into(), 40_000), end(BIRD.into(), port));
        scene
            .watch
            .connected(bird, ends, scene.now, &mut scene.reports);
    }
    assert_eq!(scene.ports(), [21, 22, 80, 443, 3306]);
}

#[test]
fn a_udp_scan_is_a_port_scan_and_chatter_is_not() {
    let mut scene = Scene::new();
    for port in [67, 68, 137, 138, 33_434, 33_435, 33_440] {
        scene.frame(&udp(ATTACKER, BIRD, (4000, port), b"x"), false);
    }
    assert_eq!(scene.events(), []);
    for port in [53, 123, 161, 500, 5060] {
        scene.frame(&udp(ATTACKER, BIRD, (4000, port), b""), false);
    }
    assert_eq!(scene.ports(), [53, 123, 161, 500, 5060]);
}

#[test]
fn answers_to_the_birds_own_questions_are_silent() {
    let mut scene = Scene::new();
    let server = [10, 0, 0, 53];
    for port in 40_000..40_040 {
        scene.frame(&udp(BIRD, server, (port, 53), b"?"), true);
        scene.frame(&udp(server, BIRD, (53, port), b"!"), false);
        let mut ask = segment(443, "S");
        ask.source_port = port;
        scene.goes(server, &ask);
        // We close it with unread data.
        let mut reset = segment(443, "RA");
        reset.source_port = port;
        scene.goes(server, &reset);
        reset.ack = false;
        scene.goes(server, &reset);
    }
    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.events(), []);
    assert_eq!(scene.contacts(), []);
}

#[test]
fn backscatter_and_resets_are_silent() {
    let mut scene = Scene::new();
    for port in 1..=40 {
        scene.answered(ATTACKER, &segment(port, "SA"));
        scene.answered([10, 0, 0, 9], &segment(port, "R"));
        scene.answered([10, 0, 0, 9], &segment(port, "RA"));
    }
    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.events(), []);
}

#[test]
fn an_os_detection_is_that_alone() {
    let mut scene = Scene::new();
    let mut ecn = with_options(
        segment(22, "SEC"),
        b"\x03\x03\x0a\x01\x02\x04\x05\xb4\x04\x02\x01\x01",
        3,
    );
    ecn.urgent_pointer = 0xf7f5;
    scene.answered(ATTACKER, &ecn);
    for (port, flags, options, window) in [
        (22, "", O, 128),
        (22, "FSPU", O, 256),
        (22, "A", O, 1024),
        (1, "S", O, 31_337),
        (1, "A", O, 32_768),
        (1, "FPU", O7, 65_535),
    ] {
        scene.answered(
            ATTACKER,
            &with_options(segment(port, flags), options, window),
        );
        scene.pass(Duration::from_millis(25));
    }
    assert_eq!(scene.events(), [], "held for the best of them");
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.keys(), ["nmaposscan"]);
    let (_, fields) = scene.events().remove(0);
    assert_eq!(fields["SYN"], "", "T3 is shown");
    assert_eq!(fields["WINDOW"], "256");
    assert_eq!(fields["LEN"], "60");
    assert_eq!(fields.get("ACK"), None);
}

#[test]
fn os_detection_of_a_bird_with_closed_ports_alone_is_seen() {
    let mut scene = Scene::new();
    for (flags, options, window) in [("S", O, 31_337), ("A", O, 32_768), ("FPU", O7, 65_535)] {
        scene.answered(ATTACKER, &with_options(segment(1, flags), options, window));
    }
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.keys(), ["nmaposscan"]);
    let (_, fields) = scene.events().remove(0);
    assert_eq!(fields["WINDOW"], "65535", "T7 is the best there is");
}

#[test]
fn sequence_probes_and_pings_alone_prove_nothing_without_a_packet_to_show() {
    let mut scene = Scene::new();
    let options = b"\x03\x03\x0a\x01\x02\x04\x05\xb4\x08\x0a\xff\xff\xff\xff\0\0\0\0\x04\x02";
    let mut first = with_options(segment(22, "S"), options, 1);
    first.acknowledgment_number = 7;
    scene.answered(ATTACKER, &first);
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.events(), []);
    scene.frame(&udp(ATTACKER, BIRD, (4000, 40_001), &[b'C'; 300]), false);
    let mut second = with_options(
        segment(22, "S"),
        b"\x02\x04\x05\x78\x03\x03\0\x04\x02\x08\x0a\xff\xff\xff\xff\0\0\0\0\0",
        63,
    );
    second.acknowledgment_number = 7;
    scene.answered(ATTACKER, &second);
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.keys(), ["nmaposscan"], "three kinds of a round");
}

#[test]
fn a_header_in_pieces_is_put_together() {
    let mut scene = Scene::new();
    let whole = tcp(ATTACKER, BIRD, &segment(1, "F"));
    let body = &whole[20..];
    let parts: Vec<Vec<u8>> = (0..body.len())
        .step_by(8)
        .map(|offset| {
            let part = &body[offset..body.len().min(offset + 8)];
            let mut header = Ipv4Header::new(
                u16::try_from(part.len()).unwrap(),
                47,
                IpNumber::TCP,
                ATTACKER,
                BIRD,
            )
            .unwrap();
            header.identification = 99;
            header.more_fragments = offset + 8 < body.len();
            header.fragment_offset =
                IpFragOffset::try_new(u16::try_from(offset / 8).unwrap()).unwrap();
            let mut bytes = header.to_bytes().to_vec();
            bytes.extend_from_slice(part);
            bytes
        })
        .collect();
    assert_eq!(parts.len(), 3);
    for part in [&parts[2], &parts[0]] {
        scene.frame(part, false);
        assert_eq!(scene.events(), []);
    }
    scene.frame(&parts[1], false);
    assert_eq!(scene.keys(), ["nmapfinscan"]);
}

#[test]
fn ipv6_and_vlan_are_walked_through() {
    let target: [u8; 16] = "2001:db8::11".parse::<Ipv6Addr>().unwrap().octets();
    let bird = Watched {
        node_id: NodeId::new([1; 8]),
        address: IpAddr::from(target),
        listening: HashSet::new(),
        exempt: HashSet::new(),
        settings: PortscanSettings::default(),
    };
    let mut scene = Scene::new();
    scene.watch = Watch::new(vec![bird]);
    // Every packet from another address of the same network.
    for port in 1..=5_u16 {
        let source: Ipv6Addr = format!("2001:db8:1::{port}").parse().unwrap();
        let mut packet = Vec::new();
        PacketBuilder::ipv6(source.octets(), target, 255)
            .tcp_header(segment(port, "S"))
            .write(&mut packet, &[])
            .unwrap();
        scene.frame(&packet, false);
    }
    assert_eq!(scene.ports(), [1, 2, 3, 4, 5]);

    let mut scene = Scene::new();
    let mut tagged = vec![0, 5, 8, 0];
    tagged.extend(tcp(ATTACKER, BIRD, &segment(1, "")));
    let frame = Frame {
        ether_type: 0x8100,
        link: &LINK,
        network: &tagged,
        outgoing: false,
    };
    scene.watch.frame(&frame, scene.now, &mut scene.reports);
    assert_eq!(scene.keys(), ["nmapnullscan"]);
}

#[test]
fn contacts_are_told_at_once_and_then_together() {
    let mut scene = Scene::new();
    scene.answered(ATTACKER, &segment(22, "S"));
    assert_eq!(scene.contacts(), [(IpAddr::from(ATTACKER), vec![22])]);
    for port in [80, 22, 443, 8443] {
        scene.answered(ATTACKER, &segment(port, "S"));
    }
    scene.pass(Duration::from_secs(3));
    assert_eq!(scene.contacts().len(), 2);
    assert_eq!(
        scene.contacts()[1].1,
        [80, 443],
        "22 is known and 8443 is the Console's"
    );
    scene.pass(Duration::from_secs(600));
    scene.answered(ATTACKER, &segment(22, "S"));
    assert_eq!(scene.contacts()[2].1, [22], "much later it counts again");
}

#[test]
fn a_spoofed_flood_hides_neither_a_slow_scan_nor_a_probe() {
    let mut scene = Scene::new();
    let mut noise = 0_u32;
    let mut flood = |scene: &mut Scene| {
        for _ in 0..6_000 {
            noise = noise.wrapping_add(1);
            let source = Ipv4Addr::from_bits(0x2000_0000 | noise).octets();
            let flags = if noise.is_multiple_of(2) { "S" } else { "F" };
            scene.comes(source, &segment(22, flags));
            scene.now = scene.now.plus(Duration::from_micros(10));
        }
    };
    for port in [1, 2, 3, 4, 5, 6] {
        scene.answered(ATTACKER, &segment(port, "S"));
        flood(&mut scene);
        scene.pass(Duration::from_secs(20));
    }
    scene.answered([10, 0, 0, 7], &segment(1, ""));
    flood(&mut scene);
    scene.answered([10, 0, 0, 7], &segment(2, ""));
    scene.pass(Duration::from_secs(5));
    let of = |scene: &Scene, source: [u8; 4], wanted: &str| {
        scene
            .reports
            .iter()
            .any(|report| report.src.ip == IpAddr::from(source) && report.seen.kind.key == wanted)
    };
    assert!(of(&scene, ATTACKER, "hostportscan"));
    assert!(of(&scene, [10, 0, 0, 7], "nmapnullscan"));
    assert!(scene.watch.strangers.len() <= MAX_STRANGERS && scene.watch.known.len() <= MAX_KNOWN);
}

#[test]
fn random_frames_never_panic() {
    let mut scene = Scene::new();
    let mut state = 88_172_645_463_325_252_u64;
    let base = tcp(ATTACKER, BIRD, &with_options(segment(22, "S"), O, 7));
    for _ in 0..200_000 {
        let mut packet = base.clone();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = usize::try_from(state % 97).unwrap() % packet.len();
            packet[at] = state.to_be_bytes()[0];
        }
        packet.truncate(usize::try_from(state % 61).unwrap().max(1));
        scene.frame(&packet, state.is_multiple_of(5));
        scene.now = scene.now.plus(MOMENT);
        scene.reports.clear();
    }
}

#[test]
fn a_flood_takes_less_than_sixteen_megabytes() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let mut scene = Scene::new();
    let before = resident();
    for n in 0..200_000_u32 {
        let source = Ipv4Addr::from_bits(0x2000_0000 | (n % 60_000)).octets();
        scene.answered(source, &segment(22, "S"));
        scene.now = scene.now.plus(Duration::from_micros(10));
        scene.reports.clear();
    }
    let taken = resident().saturating_sub(before);
    assert!(taken < 16 << 20, "{taken} bytes");
}
