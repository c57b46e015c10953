//! The README's story: start, poke, look, stop, start again.

use std::process::Command;

use serde_json::Value;

use crate::nest::{Nest, QUICK, await_some, program};

#[test]
fn up_poke_incidents_stop_and_up_again() {
    let nest = Nest::start(QUICK);
    let screen = nest.log();
    for wanted in [
        "https://",
        "SSH server",
        "MySQL server",
        "TFTP server",
        "counted from connections",
        "password",
    ] {
        assert!(
            screen.contains(wanted),
            "the first screen names {wanted}:\n{screen}"
        );
    }
    nest.coalmine(&["poke"]);
    let listed = nest.coalmine(&["incidents", "--json"]);
    let listed: Vec<Value> = listed
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let mut titles: Vec<_> = listed
        .iter()
        .map(|i| i["summary"].as_str().unwrap())
        .collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(
        titles,
        [
            "Canarytoken triggered",
            "FTP Login Attempt",
            "HTTP Login Attempt",
            // It touches more ports than five, as a scan does.
            "Host Port Scan",
            "MySQL Login Attempt",
            "NTP Monlist Request",
            "SSH Login Attempt",
            "Shared File Opened",
            "TFTP Request",
            "Telnet Login Attempt",
        ]
    );
    assert!(nest.coalmine(&["incidents"]).contains("127.0.0.1"));
    let tokens = nest.coalmine(&["tokens", "list"]);
    assert!(
        tokens.contains("http") && tokens.contains("dns"),
        "{tokens}"
    );

    let (node_id, key) = (nest.run["birds"][0]["node_id"].clone(), host_key(&nest));
    let data = nest.data();
    let dir = nest.stop();
    assert!(
        !data.join("run.json").exists(),
        "run.json is gone when it isn't running"
    );
    let nest = Nest::start_in(dir, QUICK);
    assert_eq!(nest.run["birds"][0]["node_id"], node_id);
    assert_eq!(host_key(&nest), key);
    assert_eq!(
        nest.coalmine(&["incidents", "--json"]).lines().count(),
        listed.len()
    );
    await_some(|| (nest.api("devices/all")["devices"][0]["live"] == true).then_some(()))
        .expect("the bird is live again");
}

#[test]
fn a_second_program_on_the_same_folder_is_refused() {
    let nest = Nest::start(QUICK);
    let second = Command::new(program())
        .args([
            "up",
            "--port-shift",
            "20000",
            "--listen",
            "127.0.0.1",
            "--data",
        ])
        .arg(nest.data())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("already"), "{said}");
    assert!(
        nest.data().join("run.json").exists(),
        "the first one isn't disturbed"
    );
}

#[test]
fn every_fault_of_a_configuration_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(
        &file,
        "[[bird]]\nname = \"a\"\n[bird.ftp]\nport = 70000\nbaner = \"x\"\n[bird.telnet]\nenabled = \"maybe\"\n[colsole]\n",
    )
    .unwrap();
    let output = Command::new(program())
        .args(["config", "check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    for key in ["ftp.port", "ftp.baner", "telnet.enabled", "colsole"] {
        assert!(said.contains(key), "{key} in:\n{said}");
    }
}

/// The key that the SSH decoy shows.
fn host_key(nest: &Nest) -> String {
    let said = crate::nest::client(
        "ssh-keyscan",
        &[
            "-t",
            "ed25519",
            "-p",
            &nest.port("ssh").to_string(),
            &nest.address.to_string(),
        ],
    );
    let key = said
        .lines()
        .find(|l| l.contains("ssh-ed25519") && !l.starts_with('#'));
    key.unwrap_or_else(|| panic!("no key in {said}"))
        .split_whitespace()
        .last()
        .unwrap()
        .to_owned()
}

#[test]
fn poke_finds_token_channels_at_an_address_of_their_own() {
    let [.., high, low] = std::process::id().to_be_bytes();
    let nest = Nest::start(&format!(
        "[tokens]\naddress = '127.62.{high}.{}'\n[[bird]]\nname = 'apart'\npersonality = 'bare'\n",
        low.max(1)
    ));
    let said = nest.coalmine(&["poke"]);
    for channel in ["http token ", "dns token "] {
        let seen = said.lines().find(|line| line.contains(channel)).unwrap();
        assert!(seen.starts_with("seen "), "{said}");
    }
}
