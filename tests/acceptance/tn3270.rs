//! The mainframe as s3270 and nmap find it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::nest::{Nest, client, client_with_input, have};
use crate::seen::{check_frame, events};

const CONFIG: &str = "
[[bird]]
name = \"files-02\"
personality = \"bare\"
[bird.tn3270]
";
const TITLE: &str = "TN3270 Login Attempt";

#[test]
fn s3270_logs_on_with_both_protocols() {
    if !have("s3270") {
        return;
    }
    // With TN3270E, without it, and with the largest screen.
    for (prefix, model) in [("", "3279-4-E"), ("N:", "3279-2-E"), ("", "3278-5-E")] {
        let nest = Nest::start(CONFIG);
        let port = nest.port("tn3270");
        let script = format!(
            "Connect({prefix}{}:{port})
Wait(10,InputField)
Ascii()
String(\"tso\")
Enter()
Wait(10,InputField)
Ascii()
String(\"ibmuser\")
Enter()
Wait(10,InputField)
String(\"Sys1 pw\")
Enter()
Wait(10,InputField)
Ascii()
String(\"second\")
Enter()
Wait(10,InputField)
PF(3)
Wait(10,InputField)
String(\"logoff\")
Enter()
Wait(10,Disconnect)
Quit()
",
            nest.address
        );
        let said = client_with_input("s3270", &["-model", model], &script);
        for text in [
            "TERMINAL  : ",
            "AUTHORIZED USE ONLY - ACTIVITY IS MONITORED",
            "IKJ56700A ENTER USERID -",
            "IKJ56421I PASSWORD NOT AUTHORIZED FOR USERID",
            "IKJ56429A REENTER -",
            "Userid    ===> IBMUSER",
        ] {
            assert!(said.contains(text), "{prefix}{model} {text}:\n{said}");
        }
        assert!(!said.contains("error"), "{said}");
        let incident = nest.incident(TITLE, 2);
        check_frame(&nest, &incident, "32001", port);
        let wanted = [
            json!({"USERNAME": "ibmuser", "PASSWORD": "Sys1 pw"}),
            json!({"USERNAME": "ibmuser", "PASSWORD": "second"}),
        ];
        assert_eq!(events(&incident), wanted);
    }
}

#[test]
fn nmap_reads_the_screen() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(CONFIG);
    let port = nest.port("tn3270").to_string();
    let address = nest.address.to_string();
    let arguments = [
        "-sV",
        "-Pn",
        "-n",
        "-p",
        &port,
        "--script",
        "+tn3270-screen",
        &address,
    ];
    let said = client("nmap", &arguments);
    for text in [
        "IBM Telnet TN3270 (TN3270E)",
        "TERMINAL  : ",
        "===>",
        "logical unit: ",
        "AUTHORIZED USE ONLY - ACTIVITY IS MONITORED",
    ] {
        assert!(said.contains(text), "{text}:\n{said}");
    }
    assert_eq!(nest.count(TITLE), 0);
}

#[test]
fn nmap_guesses_passwords_in_vain() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(CONFIG);
    let port = nest.port("tn3270");
    let list = |name: &str, lines: &str| {
        let path = nest.dir.path().join(name);
        std::fs::write(&path, lines).unwrap();
        path.display().to_string()
    };
    let arguments = format!(
        "userdb={},passdb={},brute.threads=1,brute.useraspass=false",
        list("users", "IBMUSER\nADMIN\n"),
        list("passwords", "SYS1\nWELCOME\n")
    );
    let port_text = port.to_string();
    let address = nest.address.to_string();
    let said = client(
        "nmap",
        &[
            "-Pn",
            "-n",
            "-p",
            &port_text,
            "--script",
            "+tso-brute",
            "--script-args",
            &arguments,
            &address,
        ],
    );
    assert!(said.contains("No valid accounts found"), "{said}");
    let incident = nest.incident(TITLE, 4);
    check_frame(&nest, &incident, "32001", port);
    let mut seen: Vec<_> = events(&incident).iter().map(ToString::to_string).collect();
    seen.sort();
    let mut wanted: Vec<_> = [
        ("IBMUSER", "SYS1"),
        ("IBMUSER", "WELCOME"),
        ("ADMIN", "SYS1"),
        ("ADMIN", "WELCOME"),
    ]
    .map(|(user, password)| json!({"USERNAME": user, "PASSWORD": password}).to_string())
    .to_vec();
    wanted.sort();
    assert_eq!(seen, wanted);
}

/// EBCDIC of capitals, digits, blanks and slashes.
fn ebcdic(text: &str) -> Vec<u8> {
    let one = |byte: u8| match byte {
        b'A'..=b'I' => byte - b'A' + 0xc1,
        b'J'..=b'R' => byte - b'J' + 0xd1,
        b'S'..=b'Z' => byte - b'S' + 0xe2,
        b'0'..=b'9' => byte - b'0' + 0xf0,
        b'/' => 0x61,
        _ => 0x40,
    };
    text.bytes().map(one).collect()
}

#[test]
fn a_thousand_attempts_are_one_incident() {
    let nest = Nest::start(CONFIG);
    let port = nest.port("tn3270");
    let mut stream = TcpStream::connect((nest.address, port)).unwrap();
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).unwrap();
    let mut said = Vec::new();
    let mut until = |stream: &mut TcpStream, end: &[u8]| {
        let mut buffer = [0; 8192];
        while !said.ends_with(end) {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the end after {said:02x?}");
            said.extend(&buffer[..read]);
        }
        std::mem::take(&mut said)
    };
    until(&mut stream, b"\xff\xfd\x28");
    stream.write_all(b"\xff\xfb\x28").unwrap();
    until(&mut stream, b"\xff\xf0");
    stream
        .write_all(b"\xff\xfa\x28\x02\x07IBM-3278-2\xff\xf0")
        .unwrap();
    until(&mut stream, b"\xff\xf0");
    stream.write_all(b"\xff\xfa\x28\x03\x07\xff\xf0").unwrap();
    until(&mut stream, b"\xff\xef");
    let mut press = |stream: &mut TcpStream, key: &[u8], text: &str| {
        let mut record = vec![0; 5];
        record.extend(key);
        record.extend(ebcdic(text));
        record.extend([0xff, 0xef]);
        stream.write_all(&record).unwrap();
        until(stream, b"\xff\xef")
    };
    const ENTER: &[u8] = b"\x7d\x40\x40";
    const PA1: &[u8] = b"\x6c";
    press(&mut stream, ENTER, "TSO");
    for n in 0..1_000 {
        press(&mut stream, PA1, "");
        let answer = press(&mut stream, ENTER, &format!("LOGON ADMIN/PW{n}"));
        // IKJ56421I, or the user is revoked: IKJ56425I.
        let refused = |number| answer.windows(8).any(|part| *part == *ebcdic(number));
        assert!(refused("IKJ56421") || refused("IKJ56425"), "{answer:02x?}");
    }
    let incident = nest.incident(TITLE, 1_000);
    check_frame(&nest, &incident, "32001", port);
    let events = events(&incident);
    for (n, event) in events.iter().enumerate() {
        let wanted = json!({"USERNAME": "ADMIN", "PASSWORD": format!("PW{n}")});
        assert_eq!(*event, wanted);
    }
}
