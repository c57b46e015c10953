//! Every decoy, driven by the clients that attackers use: each attempt is one event, each attack
//! one incident, every field of the catalogue right.

use std::collections::{BTreeSet, HashSet};

use coalmine_core::passwords;
use serde_json::{Value, json};

use crate::nest::{Nest, QUICK, await_some, client, client_with_input, have};
use crate::seen::{check_frame, events};

#[test]
fn ssh_password_and_key() {
    if !have("sshpass") || !have("ssh-keygen") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("ssh");
    let target = format!("root@{}", nest.address);
    let common = [
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "GlobalKnownHostsFile=/dev/null",
        "-o",
        "NumberOfPasswordPrompts=1",
        "-F",
        "/dev/null",
    ];
    let port_text = port.to_string();
    let mut password = vec!["-p", "s3cr\u{e9}t", "ssh", "-p", &port_text];
    password.extend(common);
    password.extend([
        "-o",
        "PubkeyAuthentication=no",
        "-o",
        "PreferredAuthentications=password",
        &target,
        "true",
    ]);
    let said = client("sshpass", &password);
    assert!(said.contains("Permission denied"), "{said}");

    let key = nest.dir.path().join("key");
    client(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "",
            "-f",
            key.to_str().unwrap(),
        ],
    );
    let mut by_key = vec!["-p", &port_text, "-i", key.to_str().unwrap()];
    by_key.extend(common);
    by_key.extend([
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "BatchMode=yes",
        &target,
        "true",
    ]);
    client("ssh", &by_key);

    let incident = nest.incident("SSH Login Attempt", 2);
    check_frame(&nest, &incident, "4002", port);
    let events = events(&incident);
    let version = events[0]["REMOTEVERSION"].as_str().unwrap();
    assert!(version.starts_with("SSH-2.0-OpenSSH_"), "{version}");
    let local = events[0]["LOCALVERSION"].as_str().unwrap();
    assert!(local.starts_with("SSH-2.0-OpenSSH_9.2p1 Debian"), "{local}");
    assert_eq!(
        events[0],
        json!({"USERNAME": "root", "PASSWORD": "s3cr\u{e9}t", "LOCALVERSION": local, "REMOTEVERSION": version})
    );
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    assert_eq!(
        events[1],
        json!({"USERNAME": "root", "KEY": public.trim(), "LOCALVERSION": local, "REMOTEVERSION": version})
    );
}

#[test]
fn ssh_keyboard_interactive() {
    if !have("sshpass") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("ssh").to_string();
    let target = format!("admin@{}", nest.address);
    client(
        "sshpass",
        &[
            "-p",
            "typed",
            "ssh",
            "-p",
            &port,
            "-F",
            "/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "NumberOfPasswordPrompts=1",
            "-o",
            "PreferredAuthentications=keyboard-interactive",
            &target,
            "true",
        ],
    );
    let incident = nest.incident("SSH Login Attempt", 1);
    let events = events(&incident);
    assert_eq!(events[0]["USERNAME"], "admin");
    assert_eq!(events[0]["PASSWORD"], "typed");
}

#[test]
fn hydra_at_mysql_is_one_incident_with_all_500_passwords() {
    hydra_is_one_incident("mysql", "MySQL Login Attempt", 500);
}

/// Fewer: hydra rests between the connections that the server ends after three tries.
#[test]
fn hydra_at_ftp_is_one_incident_with_all_100_passwords() {
    hydra_is_one_incident("ftp", "FTP Login Attempt", 100);
}

/// `count` passwords by hydra, every one of which must be seen once.
fn hydra_is_one_incident(module: &str, title: &str, count: usize) {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(QUICK);
    // Those that MySQL's hashes give away only by a search of the whole list.
    let frequent: HashSet<String> = passwords::frequent().collect();
    let rare: BTreeSet<String> = passwords::common()
        .filter(|password| !frequent.contains(password))
        .collect();
    let list: Vec<String> = rare.into_iter().step_by(11).take(count).collect();
    assert_eq!(list.len(), count);
    let mut seen = hydra_seen(&nest, module, title, &list);
    seen.sort();
    assert_eq!(seen, list);
}

/// OpenSSH ends a connection at the sixth wrong password, and hydra then tries that one again: every
/// password is seen, some twice, as on the wire.
#[test]
fn hydra_at_ssh_is_one_incident_with_every_password() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(QUICK);
    let list: Vec<String> = (0..60).map(|n| format!("Password{n}")).collect();
    hydra_seen(&nest, "ssh", "SSH Login Attempt", &list);
}

/// What hydra gets behind a list of its own: it ends its last workers, now and then before they have
/// sent anything.
const LEFT_OVER: usize = 8;

/// Tries a list by hydra; those of it that were seen, all of them, by the one incident of this title.
fn hydra_seen(nest: &Nest, module: &str, title: &str, list: &[String]) -> Vec<String> {
    let left_over = (0..LEFT_OVER).map(|n| format!("left over {n}"));
    let all: Vec<String> = list.iter().cloned().chain(left_over).collect();
    let said = hydra_list(nest, module, nest.port(module), &all);
    assert!(said.contains("0 valid password"), "{said}");
    let mut seen = Vec::new();
    let missing = |seen: &[String]| -> Vec<String> {
        let missing = list.iter().filter(|password| !seen.contains(password));
        missing.cloned().collect()
    };
    let done = await_some(|| {
        let all = nest.api("incidents/all");
        let incidents = all["incidents"].as_array()?;
        let of_title = incidents.iter().filter(|one| one["summary"] == title);
        let of_title: Vec<&Value> = of_title.collect();
        assert!(of_title.len() <= 1, "one attack is one incident: {all:#}");
        seen = of_title.into_iter().flat_map(seen_passwords).collect();
        missing(&seen).is_empty().then_some(())
    });
    assert!(done.is_some(), "not seen: {:?}\n{said}", missing(&seen));
    seen.retain(|password| list.contains(password));
    seen
}

/// The passwords of an incident's events.
fn seen_passwords(incident: &Value) -> Vec<String> {
    events(incident)
        .iter()
        .map(|event| event["PASSWORD"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ftp_by_lftp_and_hydra() {
    if !have("lftp") || !have("hydra") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("ftp");
    client(
        "lftp",
        &[
            "-u",
            "backup,letmein",
            "-e",
            "set ftp:ssl-allow no; set net:max-retries 1; set net:reconnect-interval-base 1; ls; exit",
            &format!("ftp://{}:{port}", nest.address),
        ],
    );
    let incident = nest.incident("FTP Login Attempt", 1);
    check_frame(&nest, &incident, "2000", port);
    assert_eq!(
        events(&incident),
        [json!({"USERNAME": "backup", "PASSWORD": "letmein"})]
    );
    hydra(&nest, "ftp", "FTP Login Attempt");
}

#[test]
fn telnet_by_inetutils_and_hydra() {
    if !have("expect") || !have("telnet") || !have("hydra") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("telnet");
    let script = format!(
        "set timeout 20\nspawn telnet {} {port}\nexpect \"login:\"\nsend \"root\\r\"\nexpect \"assword:\"\nsend \"toor\\r\"\nexpect \"incorrect\"\nclose\n",
        nest.address
    );
    let said = client_with_input(
        "expect",
        &["-"],
        &("set stty_init \"rows 24 columns 80\"\nset env(TERM) xterm\n".to_owned() + &script),
    );
    let incident = nest.incident("Telnet Login Attempt", 1);
    check_frame(&nest, &incident, "6001", port);
    let event = events(&incident).remove(0);
    assert_eq!(event["USERNAME"], "root", "{said}");
    assert_eq!(event["PASSWORD"], "toor");
    assert_eq!(event["TERMSIZE"], "80x24");
    assert_eq!(
        event["TERMTYPE"].as_str().unwrap().to_ascii_lowercase(),
        "xterm"
    );
    assert_eq!(event.as_object().unwrap().len(), 4);
    hydra(&nest, "telnet", "Telnet Login Attempt");
}

#[test]
fn mysql_by_its_client_and_hydra() {
    if !have("mysql") || !have("hydra") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("mysql");
    let said = client(
        "mysql",
        &[
            "-h",
            &nest.address.to_string(),
            "-P",
            &port.to_string(),
            "-uroot",
            "-pqwerty",
            "-e",
            "select 1",
        ],
    );
    assert!(
        said.contains(
            "ERROR 1045 (28000): Access denied for user 'root'@'127.0.0.1' (using password: YES)"
        ),
        "{said}"
    );
    let incident = nest.incident("MySQL Login Attempt", 1);
    check_frame(&nest, &incident, "8001", port);
    let event = events(&incident).remove(0);
    assert_eq!(event["USERNAME"], "root");
    assert_eq!(event["PASSWORD"], "qwerty");
    let hash = event["CLIENT_HASH"].as_str().unwrap();
    let salt = event["SALT"].as_str().unwrap();
    assert!(
        hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
        "{hash}"
    );
    assert!(
        salt.len() == 40 && salt.bytes().all(|b| b.is_ascii_hexdigit()),
        "{salt}"
    );
    assert_eq!(event.as_object().unwrap().len(), 4);
    hydra(&nest, "mysql", "MySQL Login Attempt");
}

#[test]
fn forms_and_basic_authentication_over_http_and_https() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(QUICK);
    for (id, scheme, tls) in [("http", "http", false), ("https", "https", true)] {
        let port = nest.port(id);
        let host = nest.address.to_string();
        let url = format!("{scheme}://{host}:{port}");
        let page = client("curl", &["-sk", &format!("{url}/")]);
        assert!(page.to_ascii_lowercase().contains("<form"), "{page}");
        client(
            "curl",
            &[
                "-sk",
                "-A",
                "Mozilla/5.0",
                "--data-urlencode",
                "username=ad min",
                "--data-urlencode",
                "password=p&ss=1",
                &format!("{url}/login.html?next=/"),
            ],
        );
        client(
            "curl",
            &[
                "-sk",
                "-A",
                "curl",
                "-u",
                "bob:hunter2",
                &format!("{url}/admin"),
            ],
        );
        // Both services' attempts are one incident: same kind, bird and source.
        let incident = nest.incident("HTTP Login Attempt", if tls { 4 } else { 2 });
        if !tls {
            check_frame(&nest, &incident, "3001", port);
        }
        let events = events(&incident);
        let [form, basic] = &events[events.len() - 2..] else {
            panic!("{events:?}")
        };
        for (event, method, path, agent, user, password) in [
            (
                form,
                "POST",
                "/login.html?next=/",
                "Mozilla/5.0",
                "ad min",
                "p&ss=1",
            ),
            (basic, "GET", "/admin", "curl", "bob", "hunter2"),
        ] {
            let mut wanted = json!({
                "USERNAME": user, "PASSWORD": password, "PATH": path, "USERAGENT": agent,
                "METHOD": method, "RESPONSE": event["RESPONSE"], "SKIN": "nasLogin",
                "HOSTNAME": format!("{host}:{port}"),
            });
            if event["HOSTNAME"] == host {
                wanted["HOSTNAME"] = json!(host);
            }
            if tls {
                wanted["CHANNEL"] = json!("TLS");
            }
            assert_eq!(*event, wanted);
            assert!(event["RESPONSE"].is_u64(), "{event}");
        }
    }
    assert_eq!(
        nest.count("HTTP Page Load"),
        0,
        "page loads are off by default"
    );
}

#[test]
fn a_web_scan_is_named() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("http");
    for n in 0..30 {
        client(
            "curl",
            &[
                "-s",
                "-o",
                "/dev/null",
                &format!("http://{}:{port}/hidden/{n}.bak", nest.address),
            ],
        );
    }
    let incident = nest.incident("HTTP Service Scan", 1);
    assert_eq!(incident["description"]["logtype"], "3004");
    let event = &incident["description"]["events"][0];
    assert_eq!(event["METHOD"], "GET");
    assert_eq!(event["RESPONSE"], 404);
    assert!(event["PATH"].as_str().unwrap().starts_with("/hidden/"));
}

#[test]
fn tftp_reads_and_writes() {
    if !have("tftp") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("tftp");
    let host = nest.address.to_string();
    let said = client(
        "tftp",
        &[
            &host,
            &port.to_string(),
            "-m",
            "binary",
            "-c",
            "get",
            "running-config",
            "/dev/null",
        ],
    );
    assert!(said.contains("File not found"), "{said}");
    let file = nest.dir.path().join("up.txt");
    std::fs::write(&file, "x").unwrap();
    client(
        "tftp",
        &[
            &host,
            &port.to_string(),
            "-m",
            "ascii",
            "-c",
            "put",
            file.to_str().unwrap(),
            "up.txt",
        ],
    );
    let incident = nest.incident("TFTP Request", 2);
    check_frame(&nest, &incident, "10001", port);
    assert_eq!(
        events(&incident),
        [
            json!({"FILENAME": "running-config", "OPCODE": "READ", "MODE": "octet"}),
            json!({"FILENAME": "up.txt", "OPCODE": "WRITE", "MODE": "netascii"}),
        ]
    );
}

#[test]
fn ntp_monlist_is_seen_and_never_answered() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(QUICK);
    let port = nest.port("ntp");
    let said = client(
        "nmap",
        &[
            "-sU",
            "-Pn",
            "-n",
            "-p",
            &port.to_string(),
            "--script",
            "+ntp-monlist",
            &nest.address.to_string(),
        ],
    );
    let incident = await_monlist(&nest, &said);
    check_frame(&nest, &incident, "11001", port);
    for event in events(&incident) {
        assert_eq!(event, json!({"NTP_CMD": "monlist"}));
    }
}

/// nmap repeats its unanswered question, so the number of events is its own.
fn await_monlist(nest: &Nest, said: &str) -> Value {
    await_some(|| {
        let all = nest.api("incidents/all");
        let all = all["incidents"].as_array()?.clone();
        all.into_iter()
            .find(|i| i["summary"] == "NTP Monlist Request")
    })
    .unwrap_or_else(|| panic!("no monlist incident: {said}"))
}

/// Three passwords by hydra, which MySQL's hashes give away.
fn hydra(nest: &Nest, module: &str, title: &str) {
    let list = ["charlie", "dragon", "monkey"].map(str::to_owned);
    assert_eq!(hydra_seen(nest, module, title, &list).len(), list.len());
}

/// A list of passwords by hydra; what it printed.
fn hydra_list(nest: &Nest, module: &str, port: u16, list: &[String]) -> String {
    let file = nest.dir.path().join("passwords");
    std::fs::write(&file, list.join("\n") + "\n").unwrap();
    let tasks = if list.len() > 20 && module != "mysql" {
        "16"
    } else {
        "4"
    };
    client(
        "hydra",
        &[
            "-I",
            "-t",
            tasks,
            "-l",
            "admin",
            "-P",
            file.to_str().unwrap(),
            "-s",
            &port.to_string(),
            &format!("{module}://{}", nest.address),
        ],
    )
}
