//! The VNC decoy and the clients that attackers use: each response is one event.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, beside_python, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "VNC Login Attempt";
const NEST: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.vnc]
lockout = false
";
const NOT_COMMON: &str = "<Password not in common list>";

/// Checks the form of an event; its password.
fn password(event: &Value) -> String {
    for name in ["SERVER_CHALLENGE", "CLIENT_RESPONSE"] {
        let value = event[name].as_str().unwrap();
        let is_hex = value
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        assert!(value.len() == 32 && is_hex, "{event}");
    }
    assert_eq!(event.as_object().unwrap().len(), 3, "{event}");
    event["PASSWORD"].as_str().unwrap().to_owned()
}

/// The incident's passwords, once it has `n` events, in their order in time.
fn passwords(nest: &Nest, n: usize) -> Vec<String> {
    let incident = nest.incident(TITLE, n);
    check_frame(nest, &incident, "12001", nest.port("vnc"));
    events(&incident).iter().map(password).collect()
}

/// Opens a connection and reads the server's version.
fn connect(nest: &Nest) -> (TcpStream, [u8; 12]) {
    let mut stream = TcpStream::connect((nest.address, nest.port("vnc"))).unwrap();
    let mut version = [0; 12];
    stream.read_exact(&mut version).unwrap();
    (stream, version)
}

/// Logs in with a made-up response; the challenge, and what is said to the response.
fn login(nest: &Nest, version: &[u8; 12], response: [u8; 16]) -> ([u8; 16], Vec<u8>) {
    let (mut stream, _) = connect(nest);
    stream.write_all(version).unwrap();
    if version.ends_with(b"3\n") {
        let mut kind = [0; 4];
        stream.read_exact(&mut kind).unwrap();
        assert_eq!(kind, [0, 0, 0, 2]);
    } else {
        let mut kinds = [0; 2];
        stream.read_exact(&mut kinds).unwrap();
        assert_eq!(kinds, [1, 2]);
        stream.write_all(&[2]).unwrap();
    }
    let mut challenge = [0; 16];
    stream.read_exact(&mut challenge).unwrap();
    stream.write_all(&response).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    (challenge, answer)
}

#[test]
fn vncdotool_is_refused_and_its_password_recovered() {
    let Some(vncdo) = beside_python("vncdo") else {
        return;
    };
    let nest = Nest::start(NEST);
    let server = format!("{}::{}", nest.address, nest.port("vnc"));
    for password in ["secret", "Hj7!kq0z"] {
        let said = client(
            vncdo.to_str().unwrap(),
            &["-s", &server, "-p", password, "key", "a"],
        );
        assert!(said.contains("Authentication failure"), "{said}");
    }
    assert_eq!(passwords(&nest, 2), ["secret", NOT_COMMON]);
}

#[test]
fn hydra_is_one_incident() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(NEST);
    let list = nest.dir.path().join("list");
    std::fs::write(&list, "monkey\npassword123\nHj7!kq0z\n").unwrap();
    let port = nest.port("vnc").to_string();
    let list = list.to_str().unwrap();
    let address = nest.address.to_string();
    let said = client(
        "hydra",
        &["-t", "1", "-P", list, "-s", &port, &address, "vnc"],
    );
    assert!(said.contains("0 valid password"), "{said}");
    assert_eq!(passwords(&nest, 3), ["monkey", "password", NOT_COMMON]);
}

#[test]
fn nmap_sees_a_vnc_server_and_nothing_is_captured() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(NEST);
    let port = nest.port("vnc").to_string();
    let address = nest.address.to_string();
    let said = client(
        "nmap",
        &[
            "-Pn", "-n", "-p", &port, "-sV", "--script", "vnc-info", &address,
        ],
    );
    for wanted in [
        "VNC (protocol 3.8)",
        "Protocol version: 3.8",
        "VNC Authentication (2)",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // Whatever nmap left behind would be on disk before this one.
    login(&nest, b"RFB 003.008\n", [1; 16]);
    passwords(&nest, 1);
}

#[test]
fn each_version_is_refused_in_its_way() {
    let nest = Nest::start(NEST);
    let long = b"\0\0\0\x01\0\0\0\x16Authentication failure";
    let mut wanted = Vec::new();
    for (version, answer) in [
        (b"RFB 003.003\n", &long[..4]),
        (b"RFB 003.007\n", &long[..4]),
        (b"RFB 003.008\n", &long[..]),
    ] {
        let (challenge, said) = login(&nest, version, [0x5a; 16]);
        assert_eq!(said, answer);
        let hex: String = challenge.iter().map(|b| format!("{b:02x}")).collect();
        wanted.push(json!({
            "PASSWORD": NOT_COMMON,
            "SERVER_CHALLENGE": hex,
            "CLIENT_RESPONSE": "5a".repeat(16),
        }));
    }
    let incident = nest.incident(TITLE, 3);
    check_frame(&nest, &incident, "12001", nest.port("vnc"));
    assert_eq!(events(&incident), wanted);
}

#[test]
fn an_address_is_locked_out_as_by_the_real_server() {
    let nest = Nest::start(&NEST.replace("lockout = false", ""));
    for _ in 0..5 {
        login(&nest, b"RFB 003.008\n", [1; 16]);
    }
    let (mut stream, version) = connect(&nest);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(version, *b"RFB 003.003\n");
    assert_eq!(rest, b"\0\0\0\0\0\0\0\x1aToo many security failures");
    assert_eq!(passwords(&nest, 5), [NOT_COMMON; 5]);
}

#[test]
fn a_thousand_attempts_are_one_incident() {
    let nest = Nest::start(NEST);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                for n in 0..20 {
                    login(&nest, b"RFB 003.008\n", [n; 16]);
                }
            });
        }
    });
    assert_eq!(passwords(&nest, 1_000), vec![NOT_COMMON; 1_000]);
}
