//! Password guessers other than hydra, and a second TFTP client.

use serde_json::{Value, json};

use crate::nest::{Nest, QUICK, client, have};
use crate::seen::events;

/// What the guessers try.
const PASSWORDS: [&str; 3] = ["alpha", "bravo", "charlie"];

#[test]
fn medusa_is_seen_at_every_login() {
    if !have("medusa") {
        return;
    }
    for (id, title) in [
        ("ftp", "FTP Login Attempt"),
        ("ssh", "SSH Login Attempt"),
        ("telnet", "Telnet Login Attempt"),
    ] {
        let nest = Nest::start(QUICK);
        let port = nest.port(id).to_string();
        let address = nest.address.to_string();
        let list = list(&nest);
        let said = client(
            "medusa",
            &[
                "-h", &address, "-n", &port, "-u", "admin", "-P", &list, "-M", id, "-t", "1",
            ],
        );
        assert!(!said.contains("ACCOUNT FOUND"), "{said}");
        check(&nest.incident(title, PASSWORDS.len()));
    }
}

#[test]
fn ncrack_is_seen_at_ftp_and_ssh() {
    if !have("ncrack") {
        return;
    }
    for (id, title) in [("ftp", "FTP Login Attempt"), ("ssh", "SSH Login Attempt")] {
        let nest = Nest::start(QUICK);
        let target = format!("{id}://{}:{},CL=1", nest.address, nest.port(id));
        let list = list(&nest);
        let said = client("ncrack", &["--user", "admin", "-P", &list, &target]);
        assert!(!said.contains("Discovered credentials"), "{said}");
        check(&nest.incident(title, PASSWORDS.len()));
    }
}

#[test]
fn dropbear_is_named_by_nmap_and_sees_passwords() {
    if !have("nmap") || !have("medusa") {
        return;
    }
    let nest = Nest::start(
        "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[[bird.ssh]]
version = \"SSH-2.0-dropbear_2022.83\"
",
    );
    let port = nest.port("ssh").to_string();
    let address = nest.address.to_string();
    let said = client("nmap", &["-sV", "-Pn", "-n", "-p", &port, &address]);
    assert!(
        said.contains("Dropbear sshd 2022.83 (protocol 2.0)"),
        "{said}"
    );
    let list = list(&nest);
    client(
        "medusa",
        &[
            "-h", &address, "-n", &port, "-u", "admin", "-P", &list, "-M", "ssh", "-t", "1",
        ],
    );
    let incident = nest.incident("SSH Login Attempt", PASSWORDS.len());
    check(&incident);
    for event in events(&incident) {
        assert_eq!(event["LOCALVERSION"], "SSH-2.0-dropbear_2022.83");
    }
}

#[test]
fn atftp_reads_and_writes() {
    if !have("atftp") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("tftp").to_string();
    let address = nest.address.to_string();
    let file = nest.dir.path().join("up.cfg");
    std::fs::write(&file, "enable").unwrap();
    let file = file.to_str().unwrap();
    for transfer in [
        ["-g", "-r", "startup-config", "-l", "/dev/null"],
        ["-p", "-r", "up.cfg", "-l", file],
    ] {
        let arguments = [&transfer[..], &[&address, &port]].concat();
        let said = client("atftp", &arguments);
        assert!(said.contains("File not found"), "{said}");
    }
    assert_eq!(
        events(&nest.incident("TFTP Request", 2)),
        [
            json!({"FILENAME": "startup-config", "OPCODE": "READ", "MODE": "octet"}),
            json!({"FILENAME": "up.cfg", "OPCODE": "WRITE", "MODE": "octet"}),
        ]
    );
}

/// A file of the passwords.
fn list(nest: &Nest) -> String {
    let file = nest.dir.path().join("passwords");
    std::fs::write(&file, PASSWORDS.join("\n") + "\n").unwrap();
    file.to_str().unwrap().to_owned()
}

/// Whether an incident has all passwords, each with its user.
fn check(incident: &Value) {
    let events = events(incident);
    let mut seen: Vec<_> = events
        .iter()
        .map(|event| event["PASSWORD"].as_str().unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, PASSWORDS);
    assert!(events.iter().all(|event| event["USERNAME"] == "admin"));
}
