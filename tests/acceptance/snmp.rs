//! The SNMP decoy, driven by net-snmp's tools and by scanners.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "SNMP Request";
const SNMP: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.snmp]
";
const NAME: &str = "1.3.6.1.2.1.1.5.0";
const CONTACT: &str = "1.3.6.1.2.1.1.4.0";

fn event(community: &str, requests: &str) -> Value {
    json!({"COMMUNITY_STRING": community, "REQUESTS": requests})
}

/// One of net-snmp's tools with short patience; numbers instead of names.
fn ask(nest: &Nest, tool: &str, how: &[&str], what: &[&str]) -> String {
    let target = format!("{}:{}", nest.address, nest.port("snmp"));
    let mut arguments = vec!["-On", "-t", "3", "-r", "0"];
    arguments.extend(how);
    arguments.push(&target);
    arguments.extend(what);
    client(tool, &arguments)
}

#[test]
fn net_snmp_tools() {
    if !have("snmpget") {
        return;
    }
    let nest = Nest::start(SNMP);
    let v1 = ["-v1", "-c", "public"];
    let v2 = ["-v2c", "-c", "public"];
    let said = ask(&nest, "snmpget", &v1, &[NAME]);
    assert_eq!(said, format!(".{NAME} = STRING: \"files-02\"\n"));
    let said = ask(&nest, "snmpget", &v2, &[NAME, CONTACT]);
    assert!(
        said.contains(&format!(".{CONTACT} = STRING: \"Me <me@example.org>\"")),
        "{said}"
    );
    let said = ask(
        &nest,
        "snmpbulkget",
        &[&v2[..], &["-Cr50"]].concat(),
        &["1.3.6.1.2.1.2.2.1.2"],
    );
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(said.starts_with(".1.3.6.1.2.1.2.2.1.2.1 = STRING: \"lo\"\n"));
    let said = ask(&nest, "snmpset", &v2, &[NAME, "s", "x"]);
    assert!(said.contains("Reason: noAccess"), "{said}");
    let said = ask(&nest, "snmpset", &v1, &[NAME, "s", "x"]);
    assert!(said.contains("(noSuchName)"), "{said}");
    let said = ask(
        &nest,
        "snmpget",
        &["-t", "1", "-v2c", "-c", "s3cr\u{e9}t"],
        &[NAME],
    );
    assert!(said.contains("Timeout: No Response"), "{said}");

    let incident = nest.incident(TITLE, 6);
    check_frame(&nest, &incident, "13001", nest.port("snmp"));
    assert_eq!(
        events(&incident),
        [
            event("public", NAME),
            event("public", &format!("{NAME} {CONTACT}")),
            event("public", "1.3.6.1.2.1.2.2.1.2"),
            event("public", NAME),
            event("public", NAME),
            event("s3cr\u{e9}t", NAME),
        ]
    );
}

/// `snmpwalk` goes object by object to the end of what it was asked for.
#[test]
fn snmpwalk_sees_the_end() {
    if !have("snmpwalk") {
        return;
    }
    let nest = Nest::start(SNMP);
    let load = "1.3.6.1.4.1.2021.10.1.2";
    let said = ask(&nest, "snmpwalk", &["-v2c", "-c", "public"], &[load]);
    let wanted: String = [(1, "Load-1"), (2, "Load-5"), (3, "Load-15")]
        .iter()
        .map(|(n, name)| format!(".{load}.{n} = STRING: \"{name}\"\n"))
        .collect();
    assert_eq!(said, wanted);
    let last = "1.3.6.1.4.1.2021.10.1.101";
    let said = ask(&nest, "snmpwalk", &["-v2c", "-c", "public"], &[last]);
    assert!(said.ends_with("past the end of the MIB tree)\n"), "{said}");
    let incident = nest.incident(TITLE, 8);
    let asked: Vec<_> = events(&incident)
        .iter()
        .map(|event| event["REQUESTS"].as_str().unwrap().to_owned())
        .collect();
    let rows = |object: &str| ["", ".1", ".2", ".3"].map(|row| format!("{object}{row}"));
    assert_eq!(asked, [rows(load), rows(last)].concat());
}

#[test]
fn version_3_users_are_seen() {
    if !have("snmpget") {
        return;
    }
    let nest = Nest::start(SNMP);
    let plain = ["-v3", "-u", "admin", "-l", "noAuthNoPriv"];
    let said = ask(&nest, "snmpget", &plain, &[NAME]);
    assert!(said.contains("Unknown user name"), "{said}");
    // A source learns the engine's id once a second.
    std::thread::sleep(Duration::from_millis(1_050));
    let encrypted = [
        "-v3",
        "-u",
        "root",
        "-l",
        "authPriv",
        "-a",
        "SHA",
        "-A",
        "password12",
        "-x",
        "AES",
        "-X",
        "password12",
    ];
    let said = ask(&nest, "snmpget", &encrypted, &[NAME]);
    assert!(said.contains("Unknown user name"), "{said}");
    let incident = nest.incident(TITLE, 4);
    check_frame(&nest, &incident, "13001", nest.port("snmp"));
    assert_eq!(
        events(&incident),
        [
            event("", ""),
            event("admin", NAME),
            event("", ""),
            event("root", "")
        ]
    );
}

#[test]
fn onesixtyone_tries_a_list() {
    if !have("onesixtyone") {
        return;
    }
    let nest = Nest::start(SNMP);
    let list = nest.dir.path().join("list");
    let mut names: Vec<String> = (0..40).map(|n| format!("community{n}")).collect();
    names.insert(10, "public".to_owned());
    std::fs::write(&list, names.join("\n")).unwrap();
    let port = nest.port("snmp").to_string();
    let address = nest.address.to_string();
    let list = list.to_str().unwrap();
    let said = client("onesixtyone", &["-p", &port, "-c", list, &address]);
    assert!(
        said.contains("[public] Linux files-02 6.1.0-39-amd64"),
        "{said}"
    );
    let incident = nest.incident(TITLE, 41);
    let wanted: Vec<_> = names
        .iter()
        .map(|name| event(name, "1.3.6.1.2.1.1.1.0"))
        .collect();
    assert_eq!(events(&incident), wanted);
}

#[test]
fn hydra_finds_the_community() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(SNMP);
    let port = nest.port("snmp").to_string();
    let address = nest.address.to_string();
    let list = nest.dir.path().join("list");
    std::fs::write(&list, "wrong\npublic\n").unwrap();
    let list = list.to_str().unwrap();
    let said = client(
        "hydra",
        &["-I", "-P", list, "-t", "1", "-s", &port, &address, "snmp"],
    );
    assert!(said.contains("password: public"), "{said}");
    // It asks three times before it gives a community up.
    let incident = nest.incident(TITLE, 4);
    let mut tried: Vec<_> = events(&incident)
        .iter()
        .map(|event| event["COMMUNITY_STRING"].as_str().unwrap().to_owned())
        .collect();
    tried.sort_unstable();
    assert_eq!(tried, ["public", "wrong", "wrong", "wrong"]);
}

#[test]
fn nmap_names_the_agent() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(SNMP);
    let port = nest.port("snmp");
    let said = nest.nmap_as(port, 161, &["-sU", "-sV"]);
    // As for snmpd where "public" may read.
    let wanted = "snmp    SNMPv1 server; net-snmp SNMPv3 server (public)";
    assert!(said.contains(wanted), "{said}");
}

/// A request of version 2c for `NAME`, or the same with another tag.
fn request(community: &str, tag: u8, second: u8) -> Vec<u8> {
    let community = community.as_bytes();
    let pdu = [
        &[
            tag, 0x19, 2, 1, 7, 2, 1, 0, 2, 1, second, 0x30, 0x0e, 0x30, 0x0c, 6, 8,
        ][..],
        &[0x2b, 6, 1, 2, 1, 1, 5, 0, 5, 0],
    ]
    .concat();
    let length = |bytes: usize| u8::try_from(bytes).unwrap();
    [
        &[0x30, length(5 + community.len() + pdu.len()), 2, 1, 1, 4][..],
        &[length(community.len())],
        community,
        &pdu,
    ]
    .concat()
}

fn socket(nest: &Nest) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((nest.address, nest.port("snmp"))).unwrap();
    socket
}

#[test]
fn a_thousand_requests_are_one_incident() {
    let nest = Nest::start(SNMP);
    let socket = socket(&nest);
    for n in 0..1_000 {
        socket
            .send(&request(&format!("guess{n}"), 0xa0, 0))
            .unwrap();
        if n % 50 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let incident = nest.incident(TITLE, 1_000);
    check_frame(&nest, &incident, "13001", nest.port("snmp"));
    let wanted: Vec<_> = (0..1_000)
        .map(|n| event(&format!("guess{n}"), NAME))
        .collect();
    assert_eq!(events(&incident), wanted);
}

/// Datagrams of each kind from a bare socket: how many bytes come back for those sent, with the 28
/// of IPv4 and UDP on both sides.
#[test]
fn little_comes_back_on_the_wire() {
    let nest = Nest::start(SNMP);
    let socket = socket(&nest);
    let discovery = b"\x30\x3a\x02\x01\x03\x30\x0f\x02\x02\x4a\x69\x02\x03\0\xff\xe3\x04\x01\x04\x02\x01\x03\x04\x10\x30\x0e\x04\0\x02\x01\0\x02\x01\0\x04\0\x04\0\x04\0\x30\x12\x04\0\x04\0\xa0\x0c\x02\x02\x37\xf0\x02\x01\0\x02\x01\0\x30\0";
    let kinds = [
        // What, the limit in tenths, whether it's answered.
        (request("public", 0xa0, 0), 32, true),
        (request("public", 0xa1, 0), 32, true),
        (request("public", 0xa3, 0), 32, true),
        (request("public", 0xa5, 1), 32, true),
        (request("public", 0xa5, 100), 32, true),
        (discovery.to_vec(), 20, true),
        (discovery.to_vec(), 20, false),
        (request("private", 0xa0, 0), 0, false),
        (request("private", 0xa5, 100), 0, false),
        (request("public", 0xa2, 0), 0, false),
        (request("public", 0xa0, 0)[..30].to_vec(), 0, false),
        (b"\x30\x80".to_vec(), 0, false),
        (vec![0xff; 1_400], 0, false),
    ];
    for (sent, limit, answered) in kinds {
        let patience = if answered { 5_000 } else { 150 };
        socket
            .set_read_timeout(Some(Duration::from_millis(patience)))
            .unwrap();
        socket.send(&sent).unwrap();
        let mut answer = [0; 2_048];
        let got = socket.recv(&mut answer).ok();
        let shown = sent.escape_ascii();
        assert_eq!(got.is_some(), answered, "{shown}");
        if let Some(got) = got {
            assert!(
                got <= 484 && (got + 28) * 10 <= (sent.len() + 28) * limit,
                "{shown}"
            );
            socket
                .set_read_timeout(Some(Duration::from_millis(30)))
                .unwrap();
            assert!(socket.recv(&mut answer).is_err(), "two answers: {shown}");
        }
    }
}
