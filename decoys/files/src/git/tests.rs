//! Conversations as git-daemon holds them, and what is seen of them.

use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

use super::*;

/// Conversations held with git-daemon 2.39.5 (Debian's git 1:2.39.5-0+deb12u3) started with
/// `--base-path` on an empty folder, one a line. Texts hold a byte a character; `["a", 9000]` stands
/// for 9000 times `a`. `closed` tells whether the daemon closed while the client still listened.
const RECORDED: &str = include_str!("testdata/git-daemon-2.39.5.jsonl");

#[test]
fn suite() {
    suite::check(&KIND);
}

#[test]
fn conversations_are_those_of_the_real_server() {
    let mut count = 0;
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let mut talk = Talk::new(&KIND);
        let mut said = Vec::new();
        for part in recorded["in"].as_array().unwrap() {
            said.extend(talk.say(bytes(part)));
        }
        let wanted: Vec<u8> = recorded["out"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(bytes)
            .collect();
        let name = &recorded["name"];
        assert!(
            said == wanted,
            "{name}: said {}, wanted {}",
            said.escape_ascii(),
            wanted.escape_ascii()
        );
        assert_eq!(talk.is_closed(), recorded["closed"] == true, "{name}");
        if !wanted.is_empty() {
            assert_eq!(talk.events().len(), 1, "{name}");
        }
        count += 1;
    }
    assert!(count > 150, "{count} conversations");
}

/// Bytes of a recorded text.
fn bytes(part: &Value) -> Vec<u8> {
    let plain = |text: &Value| -> Vec<u8> {
        let letters = text.as_str().unwrap().chars();
        letters.map(|c| u8::try_from(c).unwrap()).collect()
    };
    match part.as_array() {
        Some(repeated) => plain(&repeated[0]).repeat(repeated[1].as_u64().unwrap() as usize),
        None => plain(part),
    }
}

/// Says one packet that holds `line`; what was seen, and whether the daemon spoke.
fn ask(line: &[u8]) -> (Vec<(String, String)>, bool) {
    let mut talk = Talk::new(&KIND);
    let mut packet = format!("{:04x}", line.len() + 4).into_bytes();
    packet.extend(line);
    let said = talk.say(packet);
    assert!(talk.is_closed());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let seen = talk.events().into_iter().map(|(logtype, event)| {
        assert_eq!(logtype, 19_001);
        (text(&event["HOST"]), text(&event["REPO"]))
    });
    (seen.collect(), !said.is_empty())
}

#[test]
fn host_and_repository_are_told_as_the_client_names_them() {
    for (line, host, repo, is_answered) in [
        (
            &b"git-upload-pack /a.git\0host=files-02\0\0version=2\0"[..],
            "files-02",
            "/a.git",
            true,
        ),
        (
            b"git-upload-pack /a.git\0host=files-02:9419\0",
            "files-02:9419",
            "/a.git",
            true,
        ),
        (
            b"git-receive-pack ~joe/a b\0host=[::1]:9418\0",
            "[::1]:9418",
            "~joe/a b",
            true,
        ),
        (
            b"git-upload-archive /\xff.git\0HOST=Files\0",
            "Files",
            "/\\xff.git",
            true,
        ),
        (b"git-upload-pack /a.git\n", "", "/a.git", true),
        (b"git-upload-pack /a.git\0\0version=2\0", "", "/a.git", true),
        // The daemon is silent, and yet somebody asked for a repository.
        (b"git-upload-pack /a.git\0port=1\0", "", "/a.git", false),
        (
            b"git-upload-pack /a.git\0host=a\0host=b\0",
            "a",
            "/a.git",
            false,
        ),
        (
            b"git-upload-pack /a.git\0host=[::1\0",
            "[::1",
            "/a.git",
            false,
        ),
    ] {
        let wanted = vec![(host.to_owned(), repo.to_owned())];
        assert_eq!(ask(line), (wanted, is_answered), "{}", line.escape_ascii());
    }
}

#[test]
fn what_asks_for_no_repository_is_no_event() {
    for line in [
        &b"git-upload-pack"[..],
        b"git-upload-packs /x\0host=h\0",
        b"upload-pack /x\0host=h\0",
        b"GIT-UPLOAD-PACK /x",
        b"",
    ] {
        assert_eq!(ask(line), (vec![], false), "{}", line.escape_ascii());
    }
}

#[test]
fn settings_are_refused() {
    let given = json!({"banner": "x"});
    let faults = GitSettings::parse(given.as_object().unwrap()).unwrap_err();
    assert_eq!(faults[0].key, "banner");
}
