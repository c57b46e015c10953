use super::*;

use coalmine_core::suite::{self, Talk as Driver};
use serde_json::json;

#[test]
fn it_holds_what_every_decoy_must() {
    suite::check(&KIND);
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Held against BusyBox' first bytes and Debian 12's login(1).
#[test]
fn busybox_and_login_say_what_they_say() {
    let mut talk = Driver::new(&KIND);
    let first = b"\xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03files-02 login: ";
    assert_eq!(text(&talk.said()), text(first));
    for n in 1..=5 {
        assert_eq!(talk.say("root\r\n"), b"root\r\nPassword: ");
        assert_eq!(talk.say("bad\r\n"), b"\r\n");
        assert_eq!(talk.advance(Duration::from_millis(2249)), b"");
        let answer = talk.settle();
        if n < 5 {
            assert_eq!(
                text(&answer),
                text(b"\r\nLogin incorrect\r\nfiles-02 login: ")
            );
        } else {
            assert_eq!(
                text(&answer),
                text(b"\r\nLogin incorrect\r\nMaximum number of tries exceeded (5)\r\n")
            );
        }
    }
    assert!(talk.is_closed());
    let events = talk.events();
    assert_eq!(events.len(), 5);
    assert_eq!(
        events[0],
        (
            6001,
            json!({"USERNAME": "root", "PASSWORD": "bad", "TERMSIZE": "", "TERMTYPE": ""})
        )
    );
}

#[test]
fn the_terminal_s_size_and_type_are_seen() {
    let mut talk = Driver::with(&KIND, &json!({"product": "cisco-ios"}));
    let first =
        b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\xff\xfd\x1f\r\n\r\nUser Access Verification\r\n\r\nUsername: ";
    assert_eq!(text(&talk.said()), text(first));
    assert_eq!(
        text(&talk.say(b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0")),
        text(b"\xff\xfa\x18\x01\xff\xf0")
    );
    talk.say(b"\xff\xfa\x18\0vt100\xff\xf0admin\r\0cisco\r\0");
    assert_eq!(
        talk.events(),
        [(
            6001,
            json!({"USERNAME": "admin", "PASSWORD": "cisco", "TERMSIZE": "80x24", "TERMTYPE": "vt100"})
        )]
    );
    assert_eq!(
        text(&talk.settle()),
        text(b"% Login invalid\r\n\r\nUsername: ")
    );
    talk.say("\r\na\r\nb\r\na\r\nb\r\n");
    talk.settle();
    assert!(talk.is_closed());
    assert_eq!(talk.events().len(), 3);
}

/// First bytes, second and third block of inetutils.
const A: &[u8] = b"\xff\xfb%\xff\xfb&\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'\xff\xfd$";
const B: &[u8] = b"\xff\xfb\x03\xff\xfd\x01\xff\xfd\"\xff\xfd\x1f\xff\xfb\x05\xff\xfd!";
const C: &[u8] = b"\xff\xfb\x01\xff\xfd\x06\xff\xfd\0";

/// What a client answers to a verb and its option.
type Policy = fn(u8, u8) -> Vec<u8>;

fn agree(verb: u8, option: u8, does: &[u8], lets: &[u8]) -> Vec<u8> {
    match verb {
        253 if does.contains(&option) => vec![255, 251, option],
        253 => vec![255, 252, option],
        251 if lets.contains(&option) => vec![255, 253, option],
        251 => vec![255, 254, option],
        _ => Vec::new(),
    }
}

fn terminal(verb: u8, option: u8) -> Vec<u8> {
    let mut said = agree(verb, option, &[24, 31], &[1, 3, 5]);
    if (verb, option) == (253, 31) {
        said.extend(b"\xff\xfa\x1f\0\x50\0\x18\xff\xf0");
    }
    said
}

/// A client that answers as `policy` says, over our own decoder.
struct Client {
    talk: Driver,
    policy: Policy,
}

impl Client {
    /// All that is said up to the prompt for the name.
    fn greeted(policy: Policy) -> (Self, Vec<u8>) {
        let mut talk = Driver::with(&KIND, &json!({"product": "inetutils"}));
        let mut said = talk.said();
        let mut client = Self { talk, policy };
        let mut news = said.clone();
        loop {
            let answer = client.answer(&news);
            news = client.talk.say(answer);
            news.extend(client.talk.advance(Duration::from_millis(30)));
            if news.is_empty() {
                news = client.talk.advance(Duration::from_millis(60));
            }
            if news.is_empty() {
                return (client, said);
            }
            said.extend(&news);
        }
    }

    fn answer(&self, said: &[u8]) -> Vec<u8> {
        let mut decoder = Decoder::default();
        let mut answer = Vec::new();
        for item in said.iter().filter_map(|b| decoder.push(*b)) {
            match item {
                Item::Option(verb, option) => answer.extend((self.policy)(verb, option)),
                Item::Parameters(24, _) => answer.extend(b"\xff\xfa\x18\0xterm\xff\xf0"),
                Item::Parameters(option @ (32 | 35 | 36 | 39), _) => {
                    answer.extend([255, 250, option, 0, b'x', 255, 240]);
                }
                _ => {}
            }
        }
        answer
    }

    /// What is said to `bytes`, with the name of the machine and pauses left out.
    fn say(&mut self, bytes: &[u8]) -> String {
        let mut said = self.talk.say(bytes);
        said.extend(self.talk.advance(Duration::from_secs(4)));
        text(&said)
    }
}

/// Blocks by their letters, the banner by its own.
fn blocks(said: &[u8]) -> String {
    let mut said = text(said);
    for (block, letter) in [(A, "A "), (B, "B "), (C, "C ")] {
        said = said.replace(&text(block), letter);
    }
    let start = said.find("\\r\\nLinux 6.1.0-").unwrap_or(said.len());
    let rest = said.split_off(start);
    match rest.split_once("-amd64 (files-02) (pts/0)\\r\\n\\r\\n") {
        Some((_, rest)) => said + "banner " + rest,
        None => said + &rest,
    }
}

/// Recorded from inetutils-telnetd 2.4 with clients of these habits.
#[test]
fn inetutils_negotiates_with_every_client_as_recorded() {
    let cases: [(Policy, &str); 11] = [
        (
            terminal,
            "A \\xff\\xfa\\x18\\x01\\xff\\xf0B C banner files-02 login: ",
        ),
        (
            |v, o| agree(v, o, &[], &[]),
            "A B C banner \\xff\\xfb\\x03\\xff\\xfb\\x01files-02 login: ",
        ),
        (|_, _| Vec::new(), "A "),
        (
            |v, o| agree(v, o, &[24, 31], &[1, 5]),
            "A \\xff\\xfa\\x18\\x01\\xff\\xf0B C banner \\xff\\xfb\\x03files-02 login: ",
        ),
        (
            |v, o| agree(v, o, &[24, 31, 32, 33, 35, 39], &[1, 3, 5]),
            "A \\xff\\xfa \\x01\\xff\\xf0\\xff\\xfa#\\x01\\xff\\xf0\\xff\\xfa\\'\\x01\\xff\\xf0\\xff\\xfa\\x18\\x01\\xff\\xf0\
             B \\xff\\xfa!\\x03\\xff\\xf0\\x00C banner files-02 login: ",
        ),
        (
            |v, o| agree(v, o, &[24, 31, 36], &[1, 3, 5]),
            "A \\xff\\xfa$\\x01\\xff\\xf0\\xff\\xfa\\x18\\x01\\xff\\xf0B C banner files-02 login: ",
        ),
        (
            |v, o| agree(v, o, &[24, 31, 34], &[1, 3, 5]),
            "A \\xff\\xfa\\x18\\x01\\xff\\xf0B \\xff\\xfa\\\"\\x01\\x03\\xff\\xf0\\x00\
             \\xff\\xfb\\x01\\xff\\xfd\\x00\\xff\\xfe\\\"banner files-02 login: ",
        ),
        (
            |v, o| agree(v, o, &[24, 31, 6], &[1, 3, 5]),
            "A \\xff\\xfa\\x18\\x01\\xff\\xf0B C banner \\xff\\xfc\\x03files-02 login: ",
        ),
        (
            |v, o| agree(v, o, &[24, 31, 1], &[1, 3, 5]),
            "A \\xff\\xfa\\x18\\x01\\xff\\xf0B \\xff\\xfe\\x01C banner files-02 login: ",
        ),
        // Without a word about encryption or echo it waits forever.
        (
            |v, o| {
                if o == 38 { Vec::new() } else { terminal(v, o) }
            },
            "A ",
        ),
        (
            |v, o| {
                if (v, o) == (253, 1) {
                    Vec::new()
                } else {
                    terminal(v, o)
                }
            },
            "A \\xff\\xfa\\x18\\x01\\xff\\xf0B ",
        ),
    ];
    for (policy, wanted) in cases {
        let (_, said) = Client::greeted(policy);
        assert_eq!(blocks(&said), wanted);
    }
}

#[test]
fn inetutils_answers_wishes_as_recorded() {
    for (wish, answer) in [
        (&b"\xff\xfd\x63"[..], "\\xff\\xfcc"),
        (b"\xff\xfd\x63\xff\xfd\x63", "\\xff\\xfcc\\xff\\xfcc"),
        (b"\xff\xfb\x62\xff\xfc\x62\xff\xfe\x63", "\\xff\\xfeb"),
        (b"\xff\xfd\x06", "\\xff\\xfb\\x06"),
        (b"\xff\xfd\0", "\\xff\\xfb\\x00\\xff\\xfc\\x00"),
        (b"\xff\xfb\0", "\\xff\\xfd\\x00\\xff\\xfe\\x00"),
        (b"\xff\xfd\x18\xff\xfd\x05", "\\xff\\xfc\\x18"),
        (b"\xff\xfb\x03", "\\xff\\xfd\\x03\\xff\\xfe\\x03"),
        (
            b"\xff\xfb\x01\xff\xfb\x05",
            "\\xff\\xfe\\x01\\xff\\xfe\\x05",
        ),
        (
            b"\xff\xfb\x22",
            "\\xff\\xfd\\\"\\xff\\xfa\\\"\\x01\\x03\\xff\\xf0\\x00\\xff\\xfe\\\"",
        ),
        (
            b"\xff\xfb\x25",
            "\\xff\\xfd%\\xff\\xfa%\\x01\\x02\\x02\\x02\\x00\\xff\\xf0\\xff\\xfe%",
        ),
        (
            b"\xff\xfc\x18\xff\xfc\x1f\xff\xfc\x03",
            "\\xff\\xfe\\x18\\xff\\xfe\\x1f",
        ),
        (
            b"\xff\xfe\x01\xff\xfd\x01",
            "\\xff\\xfc\\x01\\xff\\xfb\\x01",
        ),
        (
            b"\xff\xfe\x03\xff\xfd\x03",
            "\\xff\\xfc\\x03\\xff\\xfb\\x03",
        ),
        (
            b"\xff\xfa\x05\x01\xff\xf0",
            "\\xff\\xfa\\x05\\x00\\xfb\\x01\\xfb\\x03\\xfb\\x05\\xfd\\x18\\xfd\\x1f\\xff\\xf0",
        ),
        (b"\xff\xfa\x63abc\xff\xf0", ""),
        (b"\xff\xf1\xff\xef\xff\xf9\xff\x01\xff\xf2", ""),
    ] {
        let (mut client, _) = Client::greeted(terminal);
        assert_eq!(client.say(wish), answer, "{}", text(wish));
    }
}

/// Recorded from inetutils-telnetd 2.4 before login(1) of Debian 12; urgent bytes are in line here.
#[test]
fn keys_and_commands_of_inetutils_are_as_recorded() {
    const WRONG: &str = "\\r\\nLogin incorrect\\r\\nfiles-02 login: ";
    for (keys, answers) in [
        (
            &[&b"root\r\n"[..], b"bad\r\n"][..],
            &["root\\r\\nPassword: ", "\\r\\n"][..],
        ),
        (&[b"root\r\0"], &["root\\r\\nPassword: "]),
        (
            &[b"u\x03", b"x\r\n"],
            &["\\xff\\xf2^C", "x\\r\\nPassword: "],
        ),
        (&[b"u", b"\x03"], &["u", "\\xff\\xf2^C"]),
        (
            &[b"u\r\n", b"x\x03", b"z\r\n"],
            &["u\\r\\nPassword: ", "\\xff\\xf2", "\\r\\n"],
        ),
        (&[b"u\r\n", b"\x04"], &["u\\r\\nPassword: ", "\\r\\n"]),
        (
            &[b"ab\xff\xf4", b"c\r\n"],
            &["ab\\xff\\xf2^C", "c\\r\\nPassword: "],
        ),
        (&[b"ab\xff\xf3"], &["ab\\xff\\xf2^\\\\"]),
        (
            &[b"ab\xff\xf5", b"c\r\n"],
            &["\\xff\\xf2ab^O", "c\\r\\nPassword: "],
        ),
        (&[b"ab\xff\xec"], &["ab\\r\\nPassword: "]),
        (&[b"ab\xff\xed"], &["\\xff\\xf2^Z"]),
        (
            &[b"ab\xff\xee", b"c\r\n"],
            &["\\xff\\xf2^\\\\", "c\\r\\nPassword: "],
        ),
        (&[b"ab\xff\xf7c\r\n"], &["ab\\x08 \\x08c\\r\\nPassword: "]),
        (
            &[b"ab\xff\xf8c\r\n"],
            &["ab\\x08 \\x08\\x08 \\x08c\\r\\nPassword: "],
        ),
        (
            &[b"ab\xff\xf6c\r\n"],
            &["\\r\\n[Yes]\\r\\nabc\\r\\nPassword: "],
        ),
        (
            &[b"a\xff\xffb\xc3\xa9\r\n"],
            &["a\\x08 \\x08bC)\\r\\nPassword: "],
        ),
        (&[b"a\0b\r\n"], &["a^@b\\r\\nPassword: "]),
        (&[b"\r\n"], &["\\r\\nPassword: "]),
    ] {
        let (mut client, _) = Client::greeted(terminal);
        for (keys, answer) in keys.iter().zip(answers) {
            let said = client.say(keys);
            let said = said.strip_suffix(WRONG).unwrap_or(&said);
            assert_eq!(said, *answer, "{}", text(keys));
        }
    }
    // Names that ask for nothing, and the end of input, fail without a password.
    for (keys, answer, events) in [
        (
            &b"-x\r\n"[..],
            "-x\\r\\n\\r\\nLogin incorrect\\r\\nfiles-02 login: ",
            1,
        ),
        (
            b"+x\r\n",
            "+x\\r\\n\\r\\nLogin incorrect\\r\\nfiles-02 login: ",
            1,
        ),
        (
            b"\x04",
            "\\r\\n\\r\\nLogin incorrect\\r\\nfiles-02 login: ",
            0,
        ),
    ] {
        let (mut client, _) = Client::greeted(terminal);
        assert_eq!(client.say(keys), answer);
        assert_eq!(client.talk.events().len(), events);
    }
    let (mut client, _) = Client::greeted(terminal);
    let long = [&[b'a'; 5000][..], b"\r\n"].concat();
    assert!(client.say(&long).ends_with("a\\r\\n\\r\\nPassword: "));
    // A client that refuses echo gets none.
    let (mut client, _) = Client::greeted(|v, o| agree(v, o, &[], &[]));
    assert_eq!(client.say(b"root\r\n"), "Password: ");
    client.say(b"x\r\n");
    assert_eq!(client.say(b"root\r\n"), "root\\r\\nPassword: ");
}

#[test]
fn an_inetutils_login_is_seen_whole() {
    let (mut client, _) = Client::greeted(terminal);
    for n in 1..=5 {
        client.say(b"ro\xc3\xb6t\r\n");
        let end = "\\r\\n\\r\\nLogin incorrect\\r\\nMaximum number of tries exceeded (5)\\r\\n";
        assert_eq!(client.say(b"pw\r\n") == end, n == 5);
    }
    assert!(client.talk.is_closed());
    assert_eq!(
        client.talk.events()[4].1,
        json!({"USERNAME": "roöt", "PASSWORD": "pw", "TERMSIZE": "80x24", "TERMTYPE": "xterm"})
    );
}

/// As recorded, typing ahead is shown and thrown away; the attempts count all the same.
#[test]
fn what_is_typed_ahead_is_shown_lost_and_seen() {
    let (mut client, _) = Client::greeted(terminal);
    assert_eq!(
        client.say(b"root\r\nbad\r\nc\r\nd\r\n"),
        "root\\r\\nbad\\r\\nc\\r\\nd\\r\\nPassword: "
    );
    assert_eq!(client.talk.say("toor\r\n"), b"\r\n");
    assert_eq!(client.talk.say("foo\r\n"), b"foo\r\n");
    assert_eq!(
        client.say(b""),
        "\\r\\nLogin incorrect\\r\\nfiles-02 login: "
    );
    let seen: Vec<_> = client.talk.events().into_iter().map(|(_, e)| e).collect();
    let pairs: Vec<_> = seen
        .iter()
        .map(|e| {
            (
                e["USERNAME"].as_str().unwrap(),
                e["PASSWORD"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(pairs, [("root", "bad"), ("c", "d"), ("root", "toor")]);
    // Before the first prompt too.
    let mut talk = Driver::with(&KIND, &json!({"product": "inetutils"}));
    talk.say("a\r\nb\r\n");
    talk.say(b"\xff\xfe\x26\xff\xfc\x18\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24");
    talk.say(b"\xff\xfc\x01\xff\xfc\x1f");
    talk.advance(Duration::from_millis(60));
    assert_eq!(talk.events()[0].1["PASSWORD"], "b");
}

#[test]
fn terminals_are_numbered_and_given_back() {
    let settings = json!({"banner": "%t\n"});
    let service = build(settings.as_object().unwrap(), &Bird::sample()).unwrap();
    let open = || {
        let mut talk = Driver::of(&KIND, &service);
        let said = String::from_utf8_lossy(&talk.said()).into_owned();
        let start = said.find("pts/").unwrap();
        (talk, said.get(start..start + 5).unwrap().to_owned())
    };
    let (first, name) = open();
    assert_eq!(name, "pts/0");
    let (_second, name) = open();
    assert_eq!(name, "pts/1");
    drop(first);
    let (_third, name) = open();
    assert_eq!(name, "pts/0");
    assert_eq!(open().1, "pts/2");
}

/// Texts of Cisco's manuals: a server's users, and one password for all.
#[test]
fn a_router_may_check_in_other_ways() {
    let mut talk = Driver::with(
        &KIND,
        &json!({"product": "cisco-ios", "cisco_login": "aaa"}),
    );
    talk.said();
    talk.say("admin\r\n");
    assert_eq!(talk.say("cisco\r\n"), b"\r\n");
    assert_eq!(
        text(&talk.settle()),
        text(b"\r\n% Authentication failed\r\n\r\nUsername: ")
    );
    let mut talk = Driver::with(
        &KIND,
        &json!({"product": "cisco-ios", "cisco_login": "line"}),
    );
    assert!(
        talk.said()
            .ends_with(b"User Access Verification\r\n\r\nPassword: ")
    );
    for password in ["cisco", "admin", ""] {
        assert_eq!(talk.say(format!("{password}\r\n")), b"\r\n");
        let answer = talk.settle();
        let last = password.is_empty();
        assert_eq!(
            answer,
            if last {
                &b"% Bad passwords\r\n"[..]
            } else {
                b"Password: "
            }
        );
    }
    assert!(talk.is_closed());
    assert_eq!(talk.events()[0].1["USERNAME"], "");
    assert_eq!(talk.events()[0].1["PASSWORD"], "cisco");
    let mut talk = Driver::with(
        &KIND,
        &json!({"product": "cisco-ios", "cisco_login": "line"}),
    );
    talk.said();
    assert_eq!(
        talk.advance(Duration::from_secs(30)),
        b"\r\n% Password:  timeout expired!\r\n"
    );
}

#[test]
fn a_slow_login_times_out() {
    let mut talk = Driver::new(&KIND);
    talk.said();
    talk.say("ro");
    assert_eq!(talk.advance(Duration::from_secs(59)), b"");
    assert_eq!(
        talk.advance(Duration::from_secs(2)),
        b"\r\nLogin timed out after 60 seconds.\r\n"
    );
    assert!(talk.is_closed());
    let mut talk = Driver::with(&KIND, &json!({"product": "cisco-ios"}));
    talk.said();
    assert_eq!(
        talk.advance(Duration::from_secs(31)),
        b"\r\n% Username:  timeout expired!\r\n"
    );
}

#[test]
fn ctrl_c_and_ctrl_d_end_it_and_names_like_options_fail_at_once() {
    for (keys, echo) in [
        ("u\x03", "u^C"),
        ("\x04", ""),
        ("u\r\n\x03", "u\r\nPassword: "),
    ] {
        let mut talk = Driver::new(&KIND);
        talk.said();
        assert_eq!(talk.say(keys), echo.as_bytes());
        assert!(talk.is_closed() && talk.events().is_empty());
    }
    let mut talk = Driver::new(&KIND);
    talk.said();
    assert_eq!(talk.say("-froot\r\n"), b"-froot\r\n");
    assert_eq!(
        text(&talk.settle()),
        text(b"\r\nLogin incorrect\r\nfiles-02 login: ")
    );
    assert_eq!(talk.events()[0].1["USERNAME"], "-froot");
}

#[test]
fn texts_can_be_set() {
    let mut talk = Driver::with(
        &KIND,
        &json!({
            "banner": "DiskStation\nof %h\n",
            "user_prompt": "User: ",
            "password_prompt": "Pass: ",
            "authentication_failed_prompt": "No.",
        }),
    );
    assert!(
        talk.said()
            .ends_with(b"DiskStation\r\nof files-02\r\nUser: ")
    );
    assert_eq!(talk.say("a\n"), b"a\r\nPass: ");
    talk.say("b\n");
    assert_eq!(text(&talk.settle()), text(b"\r\nNo.\r\nUser: "));
    let long = json!({"banner": "x".repeat(MAX_TEXT + 1)});
    let Err(faults) = build(long.as_object().unwrap(), &Bird::sample()) else {
        panic!("a banner of any length is taken");
    };
    assert_eq!(faults[0].key, "banner");
}

#[test]
fn bytes_that_look_like_commands_are_doubled_and_seen() {
    let mut talk = Driver::new(&KIND);
    talk.said();
    assert_eq!(talk.say(b"a\xff\xffb\r\n"), b"a\xff\xffb\r\nPassword: ");
    talk.say(b"\xff\xff\r\n");
    assert_eq!(talk.events()[0].1["USERNAME"], "a\\xffb");
    assert_eq!(talk.events()[0].1["PASSWORD"], "\\xff");
}

#[test]
fn busybox_asks_a_terminal_for_its_type_and_a_scanner_for_nothing() {
    let mut talk = Driver::new(&KIND);
    talk.said();
    assert!(talk.say([255, 252, 31]).is_empty(), "WONT NAWS");
    assert!(talk.say([255, 251, 24]).is_empty(), "WILL TTYPE unasked");
    // A script types its name with its answers, and its password with those to the next question.
    let asked = b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0root\r\nPassword: ";
    assert_eq!(
        text(&talk.say(b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0root\r\n")),
        text(asked)
    );
    assert!(talk.say([255, 251, 31]).is_empty(), "only once");
    talk.say(b"\xff\xfb\x18\xff\xfa\x18\0xterm\xff\xf0toor\r\n");
    let (_, event) = talk.events().remove(0);
    assert_eq!(
        (&event["TERMSIZE"], &event["TERMTYPE"]),
        (&"80x24".into(), &"xterm".into())
    );
}
