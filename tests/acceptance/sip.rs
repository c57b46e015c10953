//! The SIP decoy, driven by the tools of telephone operators and of those who look for their
//! exchanges.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "SIP Request";
const SIP: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.sip]
";

/// A phone's registration, in sipp's language: without and then with credentials.
const REGISTER: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="register">
<send><![CDATA[
REGISTER sip:[remote_ip] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:100@[remote_ip]>;tag=[call_number]
To: <sip:100@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: <sip:100@[local_ip]:[local_port]>
Max-Forwards: 70
Expires: 60
Content-Length: 0

]]></send>
<recv response="401" auth="true"/>
<send><![CDATA[
REGISTER sip:[remote_ip] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:100@[remote_ip]>;tag=[call_number]
To: <sip:100@[remote_ip]>
Call-ID: [call_id]
CSeq: 2 REGISTER
Contact: <sip:100@[local_ip]:[local_port]>
[authentication username=100 password=secret]
Max-Forwards: 70
Expires: 60
Content-Length: 0

]]></send>
<recv response="401"/>
</scenario>
"#;

/// The header fields of an event.
fn headers(event: &Value) -> &Value {
    assert_eq!(event.as_object().unwrap().len(), 1, "HEADERS alone");
    &event["HEADERS"]
}

/// One parameter of an Authorization header, without its quotes.
fn parameter(credentials: &Value, name: &str) -> String {
    let text = credentials.as_str().unwrap();
    let text = text.strip_prefix("Digest ").unwrap();
    let found = text.split(',').find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then(|| value.trim_matches('"').to_owned())
    });
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn sipsak_asks_and_registers() {
    if !have("sipsak") {
        return;
    }
    let nest = Nest::start(SIP);
    let port = nest.port("sip");
    let host = format!("{}:{port}", nest.address);
    for transport in ["udp", "tcp"] {
        let said = client(
            "sipsak",
            &["-vv", "-E", transport, "-s", &format!("sip:{host}")],
        );
        assert!(said.contains("SIP/2.0 200 OK"), "{said}");
        assert!(said.contains("Server: Asterisk PBX 18.2.0"), "{said}");
        assert!(said.contains("Allow: OPTIONS, REGISTER, "), "{said}");
    }
    let to = format!("sip:100@{host}");
    let said = client(
        "sipsak",
        &[
            "-U",
            "-C",
            "sip:100@192.0.2.9",
            "-u",
            "100",
            "-a",
            "s3cret",
            "-s",
            &to,
        ],
    );
    assert!(said.contains("authorization failed"), "{said}");

    let incident = nest.incident(TITLE, 4);
    check_frame(&nest, &incident, "15001", port);
    let events = events(&incident);
    let seen: Vec<_> = events
        .iter()
        .map(|event| headers(event)["cseq"].as_str().unwrap())
        .collect();
    assert_eq!(seen, ["1 OPTIONS", "1 OPTIONS", "1 REGISTER", "2 REGISTER"]);
    for (event, transport) in events.iter().zip(["UDP", "TCP"]) {
        let fields = headers(event);
        let via = fields["via"].as_str().unwrap();
        assert!(
            via.starts_with(&format!("SIP/2.0/{transport} 127.0.0.1:")),
            "{via}"
        );
        let names: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        let wanted =
            "accept call-id contact content-length cseq from max-forwards to user-agent via";
        assert_eq!(names.join(" "), wanted);
    }
    let register = headers(&events[3]);
    assert_eq!(register["contact"], "sip:100@192.0.2.9");
    let credentials = &register["authorization"];
    assert_eq!(parameter(credentials, "username"), "100");
    assert_eq!(parameter(credentials, "realm"), "asterisk");
    assert_eq!(parameter(credentials, "response").len(), 32);
}

#[test]
fn sipp_registers_over_both_transports() {
    if !have("sipp") {
        return;
    }
    let nest = Nest::start(SIP);
    let host = format!("{}:{}", nest.address, nest.port("sip"));
    let scenario = nest.dir.path().join("register.xml");
    std::fs::write(&scenario, REGISTER).unwrap();
    for transport in ["u1", "t1"] {
        let said = client(
            "sipp",
            &[
                "-sf",
                scenario.to_str().unwrap(),
                "-t",
                transport,
                "-m",
                "1",
                "-nostdin",
                "-timeout",
                "10",
                &host,
            ],
        );
        let fine = said.lines().filter(|line| {
            let mut words = line.split('|').map(str::trim);
            words.next() == Some("Successful call") && words.nth(1) == Some("1")
        });
        assert!(fine.count() > 0, "{said}");
    }
    let incident = nest.incident(TITLE, 4);
    check_frame(&nest, &incident, "15001", nest.port("sip"));
    let events = events(&incident);
    let mut nonces = Vec::new();
    for (first, second) in [(0, 1), (2, 3)] {
        let (first, second) = (headers(&events[first]), headers(&events[second]));
        assert_eq!(first.get("authorization"), None);
        assert_eq!(first["call-id"], second["call-id"]);
        let credentials = &second["authorization"];
        assert_eq!(parameter(credentials, "username"), "100");
        nonces.push(parameter(credentials, "nonce"));
        assert_eq!(second["to"], format!("<sip:100@{}>", nest.address));
        assert_eq!(second["expires"], "60");
    }
    assert_ne!(nonces[0], nonces[1]);
}

/// A call is challenged, and sipp, which has no credentials, gives it up.
#[test]
fn sipp_calls() {
    if !have("sipp") {
        return;
    }
    let nest = Nest::start(SIP);
    let host = format!("{}:{}", nest.address, nest.port("sip"));
    let arguments = ["-sn", "uac", "-m", "1", "-nostdin", "-timeout", "10", &host];
    let said = client("sipp", &arguments);
    assert!(said.contains("Failed call"), "{said}");
    let incident = nest.incident(TITLE, 2);
    let events = events(&incident);
    let invite = headers(&events[0]);
    assert_eq!(invite["cseq"], "1 INVITE");
    assert_eq!(invite["content-type"], "application/sdp");
    assert_eq!(invite["subject"], "Performance Test");
    assert_eq!(headers(&events[1])["cseq"], "1 ACK");
}

#[test]
fn hydra_guesses_passwords() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(SIP);
    let port = nest.port("sip").to_string();
    let address = nest.address.to_string();
    let list = nest.dir.path().join("list");
    std::fs::write(&list, "100\n1234\n").unwrap();
    let list = list.to_str().unwrap();
    let said = client(
        "hydra",
        &[
            "-I", "-l", "100", "-P", list, "-t", "1", "-s", &port, &address, "sip",
        ],
    );
    assert!(said.contains("0 valid password"), "{said}");
    // Each guess asks for a challenge first.
    let incident = nest.incident(TITLE, 4);
    let answers: std::collections::BTreeSet<_> = events(&incident)
        .iter()
        .filter_map(|event| headers(event).get("authorization"))
        .map(|credentials| {
            assert_eq!(parameter(credentials, "username"), "100");
            parameter(credentials, "response")
        })
        .collect();
    assert_eq!(answers.len(), 2, "one for each password and nonce");
}

fn nmap(arguments: &[&str], wanted: &str) {
    if have("nmap") {
        let nest = Nest::start(SIP);
        let said = nest.nmap_as(nest.port("sip"), 5060, arguments);
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn nmap_names_the_exchange_over_udp() {
    nmap(&["-sU", "-sV"], "Asterisk PBX 18.2.0");
}

#[test]
fn nmap_names_the_exchange_over_tcp() {
    nmap(&["-sT", "-sV"], "Asterisk PBX 18.2.0");
}

#[test]
fn nmap_lists_the_methods() {
    let methods = "sip-methods: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE, REFER";
    for scan in ["-sU", "-sT"] {
        nmap(&[scan, "--script", "+sip-methods"], methods);
    }
}

fn request(method: &str, transport: &str, n: usize) -> String {
    format!(
        "{method} sip:pbx SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.9:5060;branch=z9hG4bK{n}\r\n\
         From: <sip:{n}@pbx>;tag={n}\r\nTo: <sip:{n}@pbx>\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:{n}@192.0.2.9>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn connect(nest: &Nest) -> TcpStream {
    let stream = TcpStream::connect((nest.address, nest.port("sip"))).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// One answer without a body.
fn answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    String::from_utf8(said).unwrap()
}

fn socket(nest: &Nest) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((nest.address, nest.port("sip"))).unwrap();
    socket
}

#[test]
fn a_thousand_requests_are_one_incident() {
    let nest = Nest::start(SIP);
    let socket = socket(&nest);
    for n in 0..500 {
        let asked = request("REGISTER", "UDP", n);
        socket.send(asked.as_bytes()).unwrap();
        if n % 25 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    nest.incident(TITLE, 500);
    let mut stream = connect(&nest);
    for n in 500..1_000 {
        stream
            .write_all(request("REGISTER", "TCP", n).as_bytes())
            .unwrap();
        let said = answer(&mut stream);
        assert!(said.starts_with("SIP/2.0 401 Unauthorized\r\n"), "{said}");
        assert!(said.contains(&format!("\r\nCall-ID: {n}\r\n")), "{said}");
    }
    let incident = nest.incident(TITLE, 1_000);
    check_frame(&nest, &incident, "15001", nest.port("sip"));
    let wanted: Vec<_> = (0..1_000)
        .map(|n| {
            let transport = if n < 500 { "UDP" } else { "TCP" };
            json!({"HEADERS": {
                "via": format!("SIP/2.0/{transport} 192.0.2.9:5060;branch=z9hG4bK{n}"),
                "from": format!("<sip:{n}@pbx>;tag={n}"),
                "to": format!("<sip:{n}@pbx>"),
                "call-id": n.to_string(),
                "cseq": "1 REGISTER",
                "contact": format!("<sip:{n}@192.0.2.9>"),
                "content-length": "0",
            }})
        })
        .collect();
    assert_eq!(events(&incident), wanted);
}

/// Datagrams of each kind from a bare socket: the answer goes to the sender alone, whatever Via and
/// Contact say, and is little longer than its request, with the 28 bytes of IPv4 and UDP on both
/// sides.
#[test]
fn little_comes_back_on_the_wire() {
    let nest = Nest::start(SIP);
    let socket = socket(&nest);
    // Where Via sends the answer.
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let elsewhere = other.local_addr().unwrap().to_string();
    for method in ["OPTIONS", "REGISTER", "INVITE", "BYE", "FOO", "ACK"] {
        let asked = request(method, "UDP", 1).replace("192.0.2.9:5060", &elsewhere);
        let patience = if method == "ACK" { 150 } else { 5_000 };
        socket
            .set_read_timeout(Some(Duration::from_millis(patience)))
            .unwrap();
        socket.send(asked.as_bytes()).unwrap();
        let mut bytes = [0; 4_096];
        let got = socket.recv(&mut bytes).ok();
        assert_eq!(got.is_some(), method != "ACK", "{method}");
        if let Some(got) = got {
            assert!(
                (got + 28) * 10 <= (asked.len() + 28) * 15,
                "{method}: {got}"
            );
            socket
                .set_read_timeout(Some(Duration::from_millis(30)))
                .unwrap();
            assert!(socket.recv(&mut bytes).is_err(), "two answers to {method}");
        }
    }
    for silent in [
        "\r\n\r\n",
        "OPTIONS sip:x SIP/2.0\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
    ] {
        socket.send(silent.as_bytes()).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err(), "{silent:?}");
    }
    assert!(other.recv(&mut [0; 64]).is_err(), "answered where Via says");
    nest.incident(TITLE, 6);
}

#[test]
fn a_connection_is_read_byte_by_byte() {
    let nest = Nest::start(SIP);
    let mut stream = connect(&nest);
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    for byte in request("OPTIONS", "TCP", 1).bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert!(answer(&mut stream).starts_with("SIP/2.0 200 OK\r\n"));
    let three = [2, 3, 4].map(|n| request("INVITE", "TCP", n)).concat();
    stream.write_all(three.as_bytes()).unwrap();
    for n in 2..=4 {
        assert!(answer(&mut stream).contains(&format!("\r\nCall-ID: {n}\r\n")));
    }
    nest.incident(TITLE, 4);
}
