//! Conversations recorded from redis-server 7.0.15 (Debian 12) with `requirepass`.

use super::*;
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

#[test]
fn keeps_what_every_decoy_promises() {
    suite::check(&KIND);
}

/// A byte for each character.
fn bytes(latin1: &str) -> Vec<u8> {
    latin1.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[test]
fn answers_as_the_recorded_server() {
    // Each: what the client sent, in pieces; all that it heard; whether the server closed.
    let recorded: Vec<(Vec<String>, String, bool)> =
        serde_json::from_str(include_str!("recorded.json")).unwrap();
    assert!(recorded.len() > 350);
    for (pieces, heard, closed) in &recorded {
        let mut talk = Talk::new(&KIND);
        let said: Vec<u8> = pieces.iter().flat_map(|p| talk.say(bytes(p))).collect();
        assert_eq!(
            (said.escape_ascii().to_string(), talk.is_closed()),
            (bytes(heard).escape_ascii().to_string(), *closed),
            "{pieces:?}"
        );
    }
}

/// What is answered to `input`, and whether the connection is closed.
fn said(input: impl AsRef<[u8]>) -> (String, bool) {
    let mut talk = Talk::new(&KIND);
    let said = talk.say(input);
    (said.escape_ascii().to_string(), talk.is_closed())
}

/// Nothing else ends a conversation but a faulty request.
fn fault(text: &str) -> (String, bool) {
    (format!("-ERR Protocol error: {text}\\r\\n"), true)
}

#[test]
fn long_requests_are_refused_where_the_server_refuses_them() {
    let waits = (String::new(), false);
    assert_eq!(said("a".repeat(65_536)), waits);
    assert_eq!(said("a".repeat(65_537)), fault("too big inline request"));
    assert_eq!(said("\0".repeat(65_537)), fault("too big inline request"));
    let count = "1".repeat(70_000);
    assert_eq!(
        said(format!("*{count}")),
        fault("too big mbulk count string")
    );
    let bulk = format!("*1\r\n${count}");
    assert_eq!(said(bulk), fault("too big bulk count string"));
    let (refused, closed) = said(format!("AUTH {}\r\n", "a".repeat(50_000)));
    assert!(refused.starts_with("-WRONGPASS ") && !closed);
    let word = format!("$16384\r\n{}\r\n", "x".repeat(16_384));
    let ten = format!("*10\r\n$4\r\nAUTH\r\n{}", word.repeat(9));
    let mut talk = Talk::new(&KIND);
    let mut heard = Vec::new();
    for piece in ten.as_bytes().chunks(16 * 1024) {
        heard.extend(talk.say(piece));
    }
    assert_eq!(heard, b"-ERR syntax error\r\n");
}

fn seen(input: impl AsRef<[u8]>) -> Vec<(u32, Value)> {
    let mut talk = Talk::new(&KIND);
    talk.say(input);
    talk.events()
}

#[test]
fn every_command_is_an_event_with_all_its_arguments() {
    let input = "AUTH hunter2\r\n*3\r\n$4\r\nauth\r\n$4\r\nroot\r\n$3\r\na b\r\n\
                 set k \"\\n* * * * * curl\\xff\"\r\nPOST / HTTP/1.1\r\n";
    let wanted = [
        json!({"CMD": "AUTH", "ARGS": "hunter2"}),
        json!({"CMD": "auth", "ARGS": "root a b"}),
        json!({"CMD": "set", "ARGS": "k \n* * * * * curl\\xff"}),
        json!({"CMD": "POST", "ARGS": "/ HTTP/1.1"}),
    ];
    assert_eq!(seen(input), wanted.map(|event| (21001, event)));
    // Nothing was asked.
    assert_eq!(seen("\r\n*0\r\n*-1\r\n"), []);
    assert_eq!(seen("foo \"\r\n"), []);
}

#[test]
fn long_arguments_are_cut_and_counted() {
    let args = |input: String| {
        let [(_, event)] = seen(input).try_into().unwrap();
        event["ARGS"].as_str().unwrap().to_owned()
    };
    let whole = "a".repeat(8_000);
    assert_eq!(args(format!("AUTH {whole}\r\n")), whole);
    let cut = args(format!("AUTH {}\r\n", "a".repeat(50_000)));
    assert_eq!(cut.trim_start_matches('a'), "… (50000 bytes in all)");
    assert!(cut.len() > 8_000);
    let many = args(format!("PING{}\r\n", " é".repeat(9_000)));
    assert!(many.ends_with("… (26999 bytes in all)"), "{many}");
    let hex = args(format!("AUTH {}\r\n", "\u{80}".repeat(4_200)));
    assert!(hex.ends_with("… (8400 bytes in all)"), "{hex}");
}

#[test]
fn a_list_entry_for_a_second_word_is_no_command() {
    let verdict = |name: &str, sub: Option<&str>, count| {
        commands::verdict(name.as_bytes(), sub.map(str::as_bytes), count)
    };
    assert_eq!(verdict("config|get", Some("x"), 2), Verdict::Unknown);
    assert_eq!(
        verdict("Config", Some("Get"), 3),
        Verdict::Known("config|get")
    );
    assert_eq!(verdict("config", None, 1), Verdict::WrongCount("config"));
    assert_eq!(
        verdict("zunionstore", Some("a"), 4),
        Verdict::Known("zunionstore")
    );
}
