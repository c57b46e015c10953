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

/// Held against inetutils-telnetd 2.4.
#[test]
fn inetutils_greets_only_after_its_questions_are_answered() {
    let settings = json!({"product": "inetutils"});
    let mut talk = Driver::with(&KIND, &settings);
    assert_eq!(
        text(&talk.said()),
        text(b"\xff\xfb%\xff\xfb&\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'\xff\xfd$")
    );
    assert_eq!(talk.say("root\r\n"), b"");
    assert_eq!(
        talk.say(b"\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24"),
        b""
    );
    assert_eq!(
        text(&talk.say(b"\xff\xfb\x18")),
        text(b"\xff\xfa\x18\x01\xff\xf0")
    );
    let greeting = text(&talk.say(b"\xff\xfa\x18\0xterm\xff\xf0"));
    let second = text(
        b"\xff\xfb\x03\xff\xfd\x01\xff\xfd\"\xff\xfd\x1f\xff\xfb\x05\xff\xfd!\xff\xfb\x01\xff\xfd\x06\xff\xfd\0\r\nLinux 6.1.0-",
    );
    assert!(greeting.starts_with(&second), "{greeting}");
    assert!(
        greeting.ends_with("files-02 login: root\\r\\nPassword: "),
        "{greeting}"
    );
    talk.say("pw\r\n");
    assert_eq!(talk.events()[0].1["TERMTYPE"], "xterm");
    assert_eq!(
        text(&talk.settle()),
        text(b"\r\nLogin incorrect\r\nfiles-02 login: ")
    );
    assert_eq!(talk.say(b"\xff\xf6"), b"\r\n[Yes]\r\n");
    // All that was typed ahead counts, in its turn.
    let mut talk = Driver::with(&KIND, &settings);
    talk.say("a\r\nb\r\nc\r\nd\r\n");
    talk.say(b"\xff\xfc\x18\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24");
    assert_eq!(talk.events().len(), 1);
    talk.settle();
    assert_eq!(talk.events()[1].1["USERNAME"], "c");
    // Unknown wishes are refused, each once.
    let mut talk = Driver::with(&KIND, &settings);
    talk.said();
    assert_eq!(
        text(&talk.say(b"\xff\xfd\x63\xff\xfd\x63\xff\xfb\x62")),
        text(b"\xff\xfc\x63\xff\xfe\x62")
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
    assert_eq!(talk.say([255, 251, 31]), [255, 253, 24], "WILL NAWS");
    assert!(talk.say([255, 251, 31]).is_empty(), "only once");
    assert_eq!(talk.say([255, 251, 24]), [255, 250, 24, 1, 255, 240]);
    talk.say([255, 250, 31, 0, 80, 0, 24, 255, 240]);
    talk.say(b"\xff\xfa\x18\x00xterm\xff\xf0root\r\n");
    talk.say(b"toor\r\n");
    let (_, event) = talk.events().remove(0);
    assert_eq!(
        (&event["TERMSIZE"], &event["TERMTYPE"]),
        (&"80x24".into(), &"xterm".into())
    );
}
