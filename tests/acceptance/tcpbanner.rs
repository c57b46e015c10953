//! Services of the operator's own making, and who finds them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::nest::{Nest, await_some, client, client_with_input, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "Custom TCP Service Request";
const NEST: &str = r#"
[[bird]]
name = "files-02"
personality = "linux-nas"
[[bird.tcpbanner]]
initbanner = "220 mail.example ESMTP Postfix (Debian/GNU)\\r\\n"
datareceivedbanner = "502 5.5.2 Error: command not recognized\r\n"
[[bird.tcpbanner]]
banner_id = 3
datareceivedbanner = "no\n"
"alertstring.enabled" = true
alertstring = "root"
[[bird.tcpbanner]]
banner_id = 4
datareceivedbanner = "ok\n"
"keep_alive.enabled" = true
keep_alive_secret = "s3cret"
"#;
const ANSWER: &[u8] = b"502 5.5.2 Error: command not recognized\r\n";

fn connected(number: &str) -> Value {
    json!({"BANNER_ID": number, "FUNCTION": "CONNECTION_MADE"})
}

fn said(number: &str, data: &str) -> Value {
    json!({"BANNER_ID": number, "DATA": data, "FUNCTION": "DATA_RECEIVED"})
}

fn connect(nest: &Nest, number: u16) -> TcpStream {
    let port = nest.port("tcpbanner") - 1 + number;
    let stream = TcpStream::connect((nest.address, port)).unwrap();
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Reads exactly this.
fn hear(stream: &mut TcpStream, wanted: &[u8]) {
    let mut heard = vec![0; wanted.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, wanted);
}

#[test]
fn netcat_hears_both_banners() {
    if !have("nc") {
        return;
    }
    let nest = Nest::start(NEST);
    let (host, port) = (nest.address.to_string(), nest.port("tcpbanner"));
    let heard = client_with_input(
        "nc",
        &["-N", "-w", "5", &host, &port.to_string()],
        "EHLO caf\u{e9}\r\n",
    );
    assert_eq!(
        heard,
        "220 mail.example ESMTP Postfix (Debian/GNU)\r\n502 5.5.2 Error: command not recognized\r\n"
    );
    let incident = nest.incident(TITLE, 2);
    check_frame(&nest, &incident, "20001", port);
    let wanted = [connected("1"), said("1", "EHLO caf\u{e9}\\r\\n")];
    assert_eq!(events(&incident), wanted);
}

#[test]
fn bytes_one_at_a_time_are_one_line_and_bytes_that_are_no_text_are_kept() {
    let nest = Nest::start(NEST);
    let mut stream = connect(&nest, 1);
    stream.set_nodelay(true).unwrap();
    hear(
        &mut stream,
        b"220 mail.example ESMTP Postfix (Debian/GNU)\r\n",
    );
    for byte in b"HELP\n" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    hear(&mut stream, ANSWER);
    stream.write_all(b"\x16\x03\x01\0\xff\\").unwrap();
    hear(&mut stream, ANSWER);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    let incident = nest.incident(TITLE, 3);
    assert_eq!(
        events(&incident),
        [
            connected("1"),
            said("1", "HELP\\n"),
            said("1", "\\x16\\x03\\x01\\x00\\xff\\\\"),
        ]
    );
}

#[test]
fn nmap_shows_the_banner_it_was_given() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(NEST);
    let port = nest.port("tcpbanner").to_string();
    let said = client(
        "nmap",
        &["-Pn", "-n", "-sV", "-p", &port, &nest.address.to_string()],
    );
    assert!(said.contains("open  smtp    Postfix smtpd"), "{said}");
    let seen = await_some(|| (nest.count(TITLE) == 1).then_some(()));
    assert!(seen.is_some(), "its probes are one incident");
}

#[test]
fn an_alert_string_leaves_the_rest_alone() {
    let nest = Nest::start(NEST);
    for line in [&b"guest\n"[..], b"root\n", b"toor\n"] {
        let mut stream = connect(&nest, 3);
        stream.write_all(line).unwrap();
        hear(&mut stream, b"no\n");
    }
    let incident = nest.incident(TITLE, 1);
    check_frame(&nest, &incident, "20002", nest.port("tcpbanner") + 2);
    assert_eq!(events(&incident), [said("3", "root\\n")]);
}

#[test]
fn a_watcher_with_the_secret_raises_no_more() {
    let nest = Nest::start(NEST);
    let mut stream = connect(&nest, 4);
    for line in ["hello\n", "s3cret\n", "still here\n"] {
        stream.write_all(line.as_bytes()).unwrap();
        hear(&mut stream, b"ok\n");
    }
    let incident = nest.incident(TITLE, 3);
    check_frame(&nest, &incident, "20003", nest.port("tcpbanner") + 3);
    assert_eq!(
        events(&incident),
        [
            connected("4"),
            said("4", "hello\\n"),
            said("4", "s3cret\\n")
        ]
    );
}

#[test]
fn a_thousand_connections_are_one_incident() {
    let nest = Nest::start(NEST);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..50 {
                    hear(
                        &mut connect(&nest, 1),
                        b"220 mail.example ESMTP Postfix (Debian/GNU)\r\n",
                    );
                }
            });
        }
    });
    let incident = nest.incident(TITLE, 1_000);
    check_frame(&nest, &incident, "20001", nest.port("tcpbanner"));
    assert_eq!(events(&incident), vec![connected("1"); 1_000]);
}

#[test]
fn the_settings_have_their_documented_names() {
    let nest = Nest::start(NEST);
    let node = nest.run["birds"][0]["node_id"].as_str().unwrap();
    let info = nest.api(&format!("device/info?node_id={node}&settings=true"));
    let settings = &info["device"]["settings"];
    for (key, wanted) in [
        ("tcpbanner.enabled", json!(true)),
        ("tcpbanner_1.enabled", json!(true)),
        ("tcpbanner_1.port", json!(8001)),
        (
            "tcpbanner_1.initbanner",
            json!("220 mail.example ESMTP Postfix (Debian/GNU)\\r\\n"),
        ),
        ("tcpbanner_1.alertstring.enabled", json!(false)),
        ("tcpbanner_2.enabled", json!(false)),
        ("tcpbanner_2.port", json!(8002)),
        ("tcpbanner_3.alertstring", json!("root")),
        ("tcpbanner_4.keep_alive.enabled", json!(true)),
        ("tcpbanner_4.keep_alive_secret", json!("s3cret")),
        ("tcpbanner_10.datareceivedbanner", json!("")),
    ] {
        assert_eq!(settings[key], wanted, "{key}");
    }
}
