//! The other servers that the Telnet decoy can be, driven by the clients that attackers use.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::nest::{Nest, client_with_input, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "Telnet Login Attempt";

fn nest(settings: &str) -> Nest {
    Nest::start(&format!(
        "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.telnet]
login_delay_ms = 20
{settings}
"
    ))
}

/// A login by telnet(1) in a terminal of 80 by 24; what it showed.
fn by_telnet(nest: &Nest, user: &str, refusal: &str) -> String {
    let script = format!(
        "set timeout 20\nset stty_init \"rows 24 columns 80\"\nset env(TERM) xterm\n\
         spawn telnet {} {}\n{user}expect \"assword:\"\nsend \"toor\\r\"\nexpect \"{refusal}\"\nclose\n",
        nest.address,
        nest.port("telnet")
    );
    client_with_input("expect", &["-"], &script)
}

#[test]
fn inetutils_by_its_own_client() {
    if !have("expect") || !have("telnet") {
        return;
    }
    let nest = nest("product = \"inetutils\"");
    let said = by_telnet(
        &nest,
        "expect \"files-02 login:\"\nsend \"root\\r\"\n",
        "incorrect",
    );
    assert!(said.contains("(files-02) (pts/0)"), "{said}");
    let incident = nest.incident(TITLE, 1);
    check_frame(&nest, &incident, "6001", nest.port("telnet"));
    let mut event = events(&incident).remove(0);
    event["TERMTYPE"] = json!(event["TERMTYPE"].as_str().unwrap().to_lowercase());
    assert_eq!(
        event,
        json!({"USERNAME": "root", "PASSWORD": "toor", "TERMSIZE": "80x24", "TERMTYPE": "xterm"})
    );
}

#[test]
fn a_router_by_telnet_in_each_of_its_ways() {
    if !have("expect") || !have("telnet") {
        return;
    }
    for (way, user, refusal) in [
        ("local", "admin", "% Login invalid"),
        ("aaa", "admin", "% Authentication failed"),
        ("line", "", "assword:"),
    ] {
        let nest = nest(&format!(
            "product = \"cisco-ios\"\ncisco_login = \"{way}\"\nbanner = \"Core %h\\n\""
        ));
        let script = match user {
            "" => String::new(),
            user => format!("expect \"Username:\"\nsend \"{user}\\r\"\n"),
        };
        let said = by_telnet(&nest, &script, refusal);
        assert!(said.contains("Core files-02"), "{said}");
        let incident = nest.incident(TITLE, 1);
        let event = events(&incident).remove(0);
        assert_eq!(event["USERNAME"], user, "{way}");
        assert_eq!(event["PASSWORD"], "toor");
        assert_eq!(event["TERMSIZE"], "80x24");
    }
}

#[test]
fn a_thousand_guesses_are_one_incident() {
    let nest = nest("product = \"inetutils\"");
    let (address, port) = (nest.address, nest.port("telnet"));
    let guess = move |first: u32| {
        for n in 0..25 {
            let mut tcp = TcpStream::connect((address, port)).unwrap();
            let mut said = Vec::new();
            let mut expect = |tcp: &mut TcpStream, end: &[u8]| {
                while !said.ends_with(end) {
                    let mut byte = [0];
                    tcp.read_exact(&mut byte).unwrap();
                    said.extend(byte);
                }
            };
            expect(&mut tcp, b"\xff\xfd$");
            tcp.write_all(b"\xff\xfe%\xff\xfe&\xff\xfc\x18\xff\xfc \xff\xfc#\xff\xfc'\xff\xfc$")
                .unwrap();
            expect(&mut tcp, b"\xff\xfd!");
            tcp.write_all(b"\xff\xfd\x03\xff\xfc\x01\xff\xfc\"\xff\xfc\x1f\xff\xfe\x05\xff\xfc!")
                .unwrap();
            for try_ in 0..5 {
                expect(&mut tcp, b"login: ");
                tcp.write_all(b"root\r\n").unwrap();
                expect(&mut tcp, b"Password: ");
                let password = first + n * 5 + try_;
                tcp.write_all(format!("guess{password}\r\n").as_bytes())
                    .unwrap();
            }
            expect(&mut tcp, b"Maximum number of tries exceeded (5)\r\n");
        }
    };
    let threads: Vec<_> = (0..8)
        .map(|n| std::thread::spawn(move || guess(n * 125)))
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let incident = nest.incident(TITLE, 1_000);
    let mut seen: Vec<_> = events(&incident)
        .iter()
        .map(|e| e["PASSWORD"].as_str().unwrap().to_owned())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1_000);
}
