use super::*;

use coalmine_core::decoy::{Bird, Tcp};
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

#[test]
fn it_holds_what_every_decoy_must() {
    suite::check(&KIND);
}

fn connected() -> (u32, Value) {
    let event = json!({"BANNER_ID": "1", "FUNCTION": "CONNECTION_MADE"});
    (20001, event)
}

fn said(logtype: u32, data: &str) -> (u32, Value) {
    let event = json!({"BANNER_ID": "1", "DATA": data, "FUNCTION": "DATA_RECEIVED"});
    (logtype, event)
}

#[test]
fn each_line_is_an_event_and_has_an_answer() {
    let settings =
        json!({"initbanner": "220 ready\\r\\n", "datareceivedbanner": "500 \\x3f\\r\\n"});
    let mut talk = Talk::with(&KIND, &settings);
    assert_eq!(talk.said(), b"220 ready\r\n");
    assert_eq!(talk.say("EHLO a\r\n"), b"500 ?\r\n");
    // Lines that come together are one event with one answer.
    assert_eq!(talk.say("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), b"500 ?\r\n");
    // Lines that come byte by byte are as if they came at once.
    let mut answer = Vec::new();
    for byte in b"quit\n" {
        answer.extend(talk.say([*byte]));
        talk.advance(QUIET / 2);
    }
    assert_eq!(answer, b"500 ?\r\n");
    assert_eq!(
        talk.events(),
        [
            connected(),
            said(20002, "EHLO a\\r\\n"),
            said(20002, "GET / HTTP/1.0\\r\\nHost: a\\r\\n\\r\\n"),
            said(20002, "quit\\n"),
        ]
    );
}

#[test]
fn what_ends_no_line_is_answered_after_a_moment() {
    let mut talk = Talk::with(&KIND, &json!({"datareceivedbanner": "what?"}));
    assert_eq!(talk.said(), b"");
    assert_eq!(talk.say([0, 0xff, b'\\', 0xc3]), b"");
    assert_eq!(talk.advance(QUIET - Duration::from_millis(1)), b"");
    assert_eq!(talk.advance(Duration::from_millis(1)), b"what?");
    // Or at the end.
    talk.say("caf\u{e9} \u{85}\u{7f}");
    assert_eq!(talk.end(), b"what?");
    assert!(talk.is_closed());
    assert_eq!(
        talk.events()[1..],
        [
            said(20002, "\\x00\\xff\\\\\\xc3"),
            said(20002, "caf\u{e9} \\xc2\\x85\\x7f"),
        ]
    );
}

#[test]
fn the_silent_are_sent_away() {
    let mut talk = Talk::new(&KIND);
    talk.advance(IDLE - Duration::from_secs(1));
    talk.say("x\n");
    talk.advance(IDLE - Duration::from_secs(1));
    assert!(!talk.is_closed());
    talk.advance(Duration::from_secs(1));
    assert!(talk.is_closed());
}

#[test]
fn long_data_is_kept_whole_in_several_events() {
    let sent: Vec<u8> = (0..MAX_PIECE * 3 + 10).map(|n| (n % 251) as u8).collect();
    let mut talk = Talk::with(&KIND, &json!({"datareceivedbanner": "ok"}));
    talk.say(&sent);
    assert_eq!(talk.advance(QUIET), b"ok", "one answer");
    let kept: Vec<u8> = talk
        .events()
        .iter()
        .skip(1)
        .flat_map(|(_, event)| unescaped(event["DATA"].as_str().unwrap()))
        .collect();
    assert_eq!(talk.events().len(), 5);
    assert_eq!(kept, sent);
    // The worst that a piece can be is still whole.
    let mut talk = Talk::new(&KIND);
    talk.say([0xff; MAX_PIECE]);
    assert_eq!(talk.events()[1], said(20002, &"\\xff".repeat(MAX_PIECE)));
    // Nobody talks for ever.
    let mut talk = Talk::new(&KIND);
    for _ in 0..MAX_PIECES * 2 {
        talk.say("x\n");
    }
    assert!(talk.is_closed());
    assert_eq!(talk.events().len(), MAX_PIECES + 1);
}

#[test]
fn escapes_are_undone() {
    for bytes in [
        &b"plain"[..],
        b"\\x41 isn't A",
        b"a\\",
        b"\r\n\t\0\x1b[2J\x7f",
        "caf\u{e9} \u{85}".as_bytes(),
        &(0..=255).collect::<Vec<u8>>(),
    ] {
        let text = escaped(bytes);
        assert!(!text.contains(char::is_control), "{text}");
        assert_eq!(unescaped(&text), bytes, "{text}");
    }
    assert_eq!(unescaped("\\q \\x4 \\xgg \\"), b"\\q \\x4 \\xgg \\");
    assert_eq!(unescaped("\\0\\x4a"), b"\0J");
}

#[test]
fn with_an_alert_string_nothing_else_is_an_event() {
    let settings = json!({
        "banner_id": 1, "initbanner": "login:", "datareceivedbanner": "no",
        "alertstring.enabled": true, "alertstring": "root\\n",
    });
    let mut talk = Talk::with(&KIND, &settings);
    assert_eq!(talk.said(), b"login:");
    assert_eq!(talk.say("guest\n"), b"no");
    assert_eq!(talk.say("root\r\n"), b"no");
    assert!(talk.events().is_empty());
    assert_eq!(talk.say("a root\n"), b"no");
    assert_eq!(talk.events(), [said(20002, "a root\\n")]);
    let empty = json!({"alertstring.enabled": true});
    let faults = (KIND.build)(empty.as_object().unwrap(), &Bird::sample());
    assert_eq!(faults.err().unwrap()[0].key, "alertstring");
}

#[test]
fn kept_connections_have_numbers_of_their_own() {
    let settings = json!({
        "datareceivedbanner": "ok", "keep_alive.enabled": true, "keep_alive_secret": "s3cret",
    });
    let mut talk = Talk::with(&KIND, &settings);
    talk.say("hello\n");
    talk.advance(KEPT_IDLE - Duration::from_secs(1));
    assert!(!talk.is_closed());
    assert_eq!(talk.say("my s3cret\n"), b"ok");
    assert_eq!(talk.say("my s3cret\n"), b"ok");
    assert_eq!(talk.say("anything\n"), b"ok");
    talk.advance(KEPT_IDLE);
    assert!(talk.is_closed());
    assert_eq!(
        talk.events(),
        [
            (20003, connected().1),
            said(20005, "hello\\n"),
            said(20004, "my s3cret\\n"),
        ]
    );
    // Without a secret nobody is trusted.
    let mut talk = Talk::with(&KIND, &json!({"keep_alive.enabled": true}));
    talk.say("\n");
    assert_eq!(talk.events()[1], said(20005, "\\n"));
}

#[test]
fn connections_beyond_those_kept_are_refused() {
    let settings = json!({"keep_alive.enabled": true, "initbanner": "hello"});
    let service = (KIND.build)(settings.as_object().unwrap(), &Bird::sample()).unwrap();
    let Some(Tcp::Sessions(sessions)) = &service.tcp else {
        panic!("no sessions");
    };
    let open = || Talk::open(sessions.as_ref(), &Context::sample(), 1024);
    let mut kept: Vec<Talk> = (0..MAX_KEPT).map(|_| open()).collect();
    let mut refused = open();
    assert_eq!(refused.said(), b"");
    assert!(refused.is_closed());
    assert_eq!(refused.events(), [(20006, connected().1)]);
    drop(refused);
    assert_eq!(open().events()[0].0, 20006, "a refused one takes no place");
    kept.pop();
    assert_eq!(open().said(), b"hello");
}

#[test]
fn every_fault_is_told() {
    let given = json!({
        "banner_id": 11, "initbanner": "x".repeat(MAX_TEXT + 1), "keep_alive.enabled": "perhaps",
    });
    let faults = (KIND.build)(given.as_object().unwrap(), &Bird::sample());
    let faults = faults.err().unwrap();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["banner_id", "initbanner", "keep_alive.enabled"]);
}
