use super::*;

use coalmine_core::Seed;
use coalmine_core::suite::{self, Talk};
use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use serde_json::json;

/// A response to any challenge.
const R: &[u8] = &[0x11; 16];

#[test]
fn it_holds_what_every_decoy_must() {
    suite::check(&KIND);
}

/// What the client says, each item once the answer to the one before is there; what it hears behind
/// the greeting, `CCCCCCCCCCCCCCCC` for the challenge; whether the server then closes.
type Conversation = (&'static [&'static [u8]], &'static [u8], bool);

/// Held against Xtigervnc 1.12.0+dfsg-8 of Debian 12 with `-SecurityTypes VncAuth`.
#[test]
fn it_answers_as_tigervnc_does() {
    let talks: &[Conversation] = &[
        (&[b"RFB 003.003\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.004\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.005\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.006\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.007\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.008\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.009\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.010\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.889\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.130\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.999\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 004.000\n"], b"\0\0\0\x001Client needs protocol version 4.0, server has 3.8", true),
        (&[b"RFB 004.001\n"], b"\0\0\0\x001Client needs protocol version 4.1, server has 3.8", true),
        (&[b"RFB 005.000\n"], b"\0\0\0\x001Client needs protocol version 5.0, server has 3.8", true),
        (&[b"RFB 002.000\n"], b"\0\0\0\x001Client needs protocol version 2.0, server has 3.8", true),
        (&[b"RFB 002.008\n"], b"\0\0\0\x001Client needs protocol version 2.8, server has 3.8", true),
        (&[b"RFB 000.000\n"], b"\0\0\0\x001Client needs protocol version 0.0, server has 3.8", true),
        (&[b"RFB 003.000\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.001\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.002\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 999.999\n"], b"\0\0\0\x005Client needs protocol version 999.999, server has 3.8", true),
        (&[b"RFB 001.009\n"], b"\0\0\0\x001Client needs protocol version 1.9, server has 3.8", true),
        (&[b"RFB 003.016\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB   3.  8\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB +03.008\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.-08\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.+08\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 0x3.008\n"], b"", true),
        (&[b"RFB 003.0x8\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 3.8    \n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB a03.008\n"], b"", true),
        (&[b"RFB 003.00a\n", b"\x02", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.88 \n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 00003.8\n"], b"", true),
        (&[b"RFB 003x008\n"], b"", true),
        (&[b"RFB 003.008"], b"", false),
        (&[b"RFB 003.008\n", b"\x02", b"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.003\n", R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.008\n", b"\0"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x01"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x02"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n", b"\x10"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x12"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x13"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x1e"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\xff"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x01", R], b"\x01\x02", true),
        (&[b"RFB 003.008\n\x02\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.007\n\x02\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.003\n\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\0\0\0\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n\x02\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11extra bytes moreextra bytes moreextra bytes moreextra bytes more"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.008\n", b"\x02\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n\x01\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"\x02", R, b"\x01"], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.008\n", b"\x02", b"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x01\0\0\0\0"], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"GET / HTTP/1.0\r\n\r\n"], b"", true),
        (&[b"\r\n\r\n"], b"", false),
        (&[b"\r\n\r\n\r\n\r\n\r\n\r\n"], b"", true),
        (&[b"\0\0\0\0\0\0\0\0\0\0\0\0"], b"", true),
        (&[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"], b"", true),
        (&[b"abcdefghijkl"], b"", true),
        (&[b"abcdefghijk\n"], b"", true),
        (&[b"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"], b"", true),
        (&[b"abcdefghijk"], b"", false),
        (&[b"rfb 003.008\n"], b"", true),
        (&[b"RFB003.008\n\n"], b"\x01\x02", false),
        (&[b"RFB 003.008\r\n"], b"\x01\x02", true),
        (&[b"RFB 003.008\r", b"\x02"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008X", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.008\0", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003 008\n"], b"", true),
        (&[b"RFB 003,008\n"], b"", true),
        (&[b"\x16\x03\x01\0\xa5\x01\0"], b"", false),
        (&[b"SSH-2.0-OpenSSH_9.2\r\n"], b"", true),
        (&[b"RFB 003.008\n\x02\x02\x02\x02\x02"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n", b"\x02\x02"], b"\x01\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n", b"\x02", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.003\n", R, R], b"\0\0\0\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 003.007\n", b"\x02", R, b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01", true),
        (&[b"RFB 00", b"3.008\n", b"\x02", R], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[b"RFB 003.008\n", b"\x02", b"\x11\x11\x11\x11", b"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\x01\x02CCCCCCCCCCCCCCCC\0\0\0\x01\0\0\0\x16Authentication failure", true),
        (&[R], b"", true),
        (&[b"RFB 003.008\nRFB 003.008\n"], b"\x01\x02", true),
        (&[b"RFB 003.008\n", b"RFB 003.008\n"], b"\x01\x02", true),
        (&[b"RFB 003.005\n\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"], b"\0\0\0\x02CCCCCCCCCCCCCCCC", false),
        (&[b"RFB 003.008\n", b"\x07", b"\x02", R], b"\x01\x02", true),
    ];
    for (says, wanted, closes) in talks {
        let mut talk = Talk::with(&KIND, &json!({"lockout": false}));
        let mut heard = talk.said();
        for said in *says {
            heard.extend(talk.say(said));
            heard.extend(talk.advance(Duration::from_secs(1)));
        }
        let challenge = Context::sample().seed.take::<16>("vnc challenge");
        if let Some(at) = heard.windows(16).position(|w| w == challenge) {
            heard[at..at + 16].fill(b'C');
        }
        let wanted = [VERSION, wanted].concat();
        assert_eq!(
            (heard.escape_ascii().to_string(), talk.is_closed()),
            (wanted.escape_ascii().to_string(), *closes),
            "{says:?}"
        );
    }
}

#[test]
fn the_failure_comes_after_a_tenth_of_a_second() {
    let mut talk = Talk::new(&KIND);
    talk.say(VERSION);
    talk.say([2]);
    assert_eq!(talk.say(R), b"");
    assert_eq!(talk.advance(Duration::from_millis(60)), b"");
    assert_eq!(talk.say("more"), b"", "what follows doesn't delay it");
    assert_eq!(talk.advance(Duration::from_millis(39)), b"");
    let answer = talk.advance(Duration::from_millis(1));
    assert_eq!(answer, b"\0\0\0\x01\0\0\0\x16Authentication failure");
    assert!(talk.is_closed());
    // Who leaves before that hears nothing.
    let mut talk = Talk::new(&KIND);
    talk.say(VERSION);
    talk.say([2]);
    talk.say(R);
    assert_eq!(talk.end(), b"");
    assert!(talk.is_closed());
}

/// What a client with this password answers to a challenge.
fn encrypted(password: &str, challenge: &[u8]) -> Vec<u8> {
    let mut cipher = Vec::new();
    for block in challenge.chunks(8) {
        let mut block = block.try_into().unwrap();
        Des::new(&key(password).into()).encrypt_block(&mut block);
        cipher.extend(block);
    }
    cipher
}

/// The events of a login whose response is `response`.
fn login(version: &[u8], response: &[u8]) -> Vec<(u32, serde_json::Value)> {
    let mut talk = Talk::new(&KIND);
    talk.say(version);
    if version != b"RFB 003.003\n" {
        talk.say([2]);
    }
    talk.say(response);
    talk.events()
}

#[test]
fn common_passwords_are_recovered() {
    let challenge = Context::sample().seed.take::<16>("vnc challenge");
    for (typed, told) in [
        ("secret", "secret"),
        ("password", "password"),
        ("Password123", "Password"),
        ("12345678", "12345678"),
        ("1qaz2wsx", "1qaz2wsx"),
        ("", ""),
        ("uncommon", NOT_COMMON),
        ("Secret ", NOT_COMMON),
    ] {
        for version in [VERSION, b"RFB 003.007\n", b"RFB 003.003\n"] {
            let response = encrypted(typed, &challenge);
            let wanted = json!({
                "PASSWORD": told,
                "SERVER_CHALLENGE": hex::encode(challenge),
                "CLIENT_RESPONSE": hex::encode(&response),
            });
            assert_eq!(login(version, &response), [(12001, wanted)]);
        }
    }
    // Half a right response is none.
    let mut response = encrypted("secret", &challenge);
    response[15] ^= 1;
    assert_eq!(login(VERSION, &response)[0].1["PASSWORD"], NOT_COMMON);
}

#[test]
fn every_password_of_the_list_is_recovered() {
    let challenge = [0x5a; 16];
    for password in passwords::common().step_by(97) {
        let response = encrypted(&password, &challenge).try_into().unwrap();
        let found = recover(&challenge, &response).unwrap();
        assert!(password.starts_with(found) && found.len() == password.len().min(8));
    }
}

#[test]
fn each_connection_has_its_challenge() {
    let challenge = |n: u8| {
        let context = Context {
            seed: Seed::new([n; 32]),
            ..Context::sample()
        };
        let vnc = Vnc { locks: None };
        let mut talk = Talk::open(&vnc, &context, MAX_INPUT);
        talk.said();
        talk.say(b"RFB 003.003\n")
    };
    assert_eq!(challenge(1).len(), 20);
    assert_ne!(challenge(1), challenge(2));
}

#[test]
fn a_response_is_reported_once_however_it_comes() {
    // Before the challenge was sent, and nothing after.
    let all = [VERSION, &[2], R].concat();
    let mut talk = Talk::new(&KIND);
    talk.say(&all);
    assert_eq!(talk.events().len(), 1);
    assert_eq!(talk.end(), b"");
    assert_eq!(talk.events().len(), 1);
    // And something after.
    let mut talk = Talk::new(&KIND);
    talk.say(&all);
    talk.say("x");
    let answer = talk.advance(FAILURE_PAUSE);
    assert!(answer.ends_with(b"Authentication failure"));
    assert_eq!(talk.events().len(), 1);
    // Byte by byte.
    let mut talk = Talk::new(&KIND);
    for byte in all {
        talk.say([byte]);
    }
    assert!(talk.advance(FAILURE_PAUSE).ends_with(b"failure"));
    assert_eq!(talk.events().len(), 1);
    // Half a response is none.
    let mut talk = Talk::new(&KIND);
    talk.say(VERSION);
    talk.say([2]);
    talk.say(&R[1..]);
    talk.end();
    assert!(talk.is_closed() && talk.events().is_empty());
}

/// Recorded from the real server with connections at these times.
#[test]
fn an_address_that_connects_too_often_is_locked_out() {
    let vnc = Vnc {
        locks: Some(Arc::default()),
    };
    let begin = Context::sample().now;
    let open = |source: u8, millis: u64| {
        let context = Context {
            peer: ([127, 0, 0, source], 50_000).into(),
            now: begin.plus(Duration::from_millis(millis)),
            ..Context::sample()
        };
        let mut talk = Talk::open(&vnc, &context, MAX_INPUT);
        (talk.said(), talk.is_closed())
    };
    let refused = b"RFB 003.003\n\0\0\0\0\0\0\0\x1aToo many security failures".to_vec();
    for (millis, admitted) in [
        (0, true),
        (100, true),
        (200, true),
        (300, true),
        (400, true),
        (500, false),
        (2_500, false),
        (10_300, false),
        (10_500, true),
        (12_600, false),
        (30_400, false),
        (30_700, true),
        (32_800, false),
        (52_800, false),
        (70_600, false),
        (70_700, true),
    ] {
        let wanted = if admitted {
            (VERSION.to_vec(), false)
        } else {
            (refused.clone(), true)
        };
        assert_eq!(open(5, millis), wanted, "after {millis} ms");
    }
    assert_eq!(
        open(6, 70_000),
        (VERSION.to_vec(), false),
        "another address"
    );
}

#[test]
fn the_memory_of_addresses_is_bounded() {
    let mut locks = Locks::default();
    let now = Timestamp::from_secs(1_760_000_000);
    let source = |n: u32| IpAddr::from(n.to_be_bytes());
    for _ in 0..LOCK_OUT_AFTER {
        assert!(locks.admit(source(7), now));
    }
    for n in 0..u32::try_from(MAX_SOURCES).unwrap() {
        locks.admit(source(n.wrapping_add(1 << 24)), now);
    }
    assert!(locks.0.len() <= MAX_SOURCES);
    assert!(!locks.admit(source(7), now), "a locked-out one is kept");
    // When all are locked out, all are forgotten.
    for n in 0..u32::try_from(2 * MAX_SOURCES).unwrap() {
        for _ in 0..=LOCK_OUT_AFTER {
            locks.admit(source(n), now);
        }
    }
    assert!(locks.0.len() <= MAX_SOURCES);
}
