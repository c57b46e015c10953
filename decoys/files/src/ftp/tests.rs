use super::*;
use coalmine_core::Bird;
use coalmine_core::suite::{self, Talk};
use serde_json::json;

fn talk(delay: u16) -> Talk {
    let mut talk = Talk::with(&KIND, &json!({"login_delay_ms": delay}));
    assert_eq!(talk.said(), b"220 (vsFTPd 3.0.3)\r\n");
    talk
}

/// What is answered to `bytes`, waiting for as long as the decoy does.
fn ask(talk: &mut Talk, bytes: impl AsRef<[u8]>) -> String {
    let mut said = talk.say(bytes);
    said.extend(talk.settle());
    String::from_utf8(said).unwrap()
}

/// How long the answer to `bytes` takes.
fn pause(talk: &mut Talk, bytes: impl AsRef<[u8]>) -> Duration {
    let before = talk.now();
    ask(talk, bytes);
    talk.now().since(before)
}

const FEATURES: &str = "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n";
const NEEDED: &str = "331 Please specify the password.\r\n";
const WRONG: &str = "530 Login incorrect.\r\n";
const FIRST: &str = "530 Please login with USER and PASS.\r\n";

#[test]
fn holds_what_every_decoy_must() {
    suite::check(&KIND);
}

#[test]
fn three_wrong_passwords_end_the_connection() {
    let mut talk = talk(2_000);
    let logins = [("root", "toor"), ("admin", ""), ("a:)", "x  y ")];
    for (user, password) in logins {
        assert_eq!(ask(&mut talk, format!("USER {user}\r\n")), NEEDED);
        assert!(!talk.is_closed());
        assert_eq!(ask(&mut talk, format!("PASS {password}\r\n")), WRONG);
    }
    assert!(talk.is_closed());
    let seen = logins.map(|(u, p)| (2000, json!({"USERNAME": u, "PASSWORD": p})));
    assert_eq!(talk.events(), seen);
}

#[test]
fn the_event_comes_before_the_pause() {
    let mut talk = talk(2_000);
    ask(&mut talk, "USER root\r\n");
    assert_eq!(talk.say("PASS toor\r\n"), b"");
    assert_eq!(talk.events().len(), 1);
}

/// Seconds of the attempt and delays as measured on Debian 12, less the second that vsftpd adds.
#[test]
fn the_pause_is_the_one_pam_makes_in_that_second() {
    for (second, measured_ms) in [
        (1_795_315_374, 2_442),
        (1_795_315_375, 2_252),
        (1_795_315_378, 1_984),
        (1_795_315_381, 2_396),
    ] {
        let ours = pam_delay(Timestamp::from_secs(second), Duration::from_secs(2));
        let apart = ours.abs_diff(Duration::from_millis(measured_ms));
        assert!(apart < Duration::from_millis(20), "{second}: {ours:?}");
    }
}

#[test]
fn names_that_pam_never_sees_fail_after_one_second() {
    let long = "u".repeat(129);
    for user in [
        " root", "root ", "a\tb", "a\x7fb", "a\rb", "é", "-a", "+a", "~a", &long,
    ] {
        let mut talk = talk(2_000);
        let login = format!("USER {user}\r\nPASS x\r\n");
        assert_eq!(pause(&mut talk, login), FAILED_LOGIN, "{user:?}");
    }
    let mut talk = talk(2_000);
    let (user, password) = ("u".repeat(128), "p".repeat(128));
    let login = format!("USER {user}\r\nPASS {password}\r\n");
    assert!(pause(&mut talk, login) >= Duration::from_secs(2));
    let login = format!("USER {user}\r\nPASS {password}p\r\n");
    assert_eq!(pause(&mut talk, login), FAILED_LOGIN);
}

#[test]
fn the_pause_can_be_taken_out() {
    let mut talk = talk(0);
    let login = "USER a\r\nPASS b\r\n";
    assert_eq!(pause(&mut talk, login), Duration::ZERO);
    assert_eq!(ask(&mut talk, login), format!("{NEEDED}{WRONG}"));
}

#[test]
fn a_password_without_a_user_is_refused_and_seen() {
    const NO_USER: &str = "503 Login with USER first.\r\n";
    let mut talk = talk(2_000);
    assert_eq!(ask(&mut talk, "PASS x\r\n"), NO_USER);
    assert_eq!(
        talk.events(),
        [(2000, json!({"USERNAME": "", "PASSWORD": "x"}))]
    );
    assert_eq!(ask(&mut talk, "USER\r\n"), NEEDED);
    assert_eq!(ask(&mut talk, "PASS y\r\n"), NO_USER);
    ask(&mut talk, "USER a\r\nPASS b\r\n");
    assert_eq!(ask(&mut talk, "PASS c\r\n"), NO_USER);
    assert!(!talk.is_closed());
}

#[test]
fn before_login_only_five_commands_are_known() {
    let mut talk = talk(2_000);
    assert_eq!(
        ask(&mut talk, "feat\r\n"),
        "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n"
    );
    assert_eq!(ask(&mut talk, "FEAT  \r\n"), FEATURES);
    assert_eq!(
        ask(&mut talk, "OPTS utf8 on\r\n"),
        "200 Always in UTF8 mode.\r\n"
    );
    for odd in [
        "OPTS",
        "OPTS UTF8",
        "OPTS UTF8 ON ",
        "OPTS  UTF8 ON",
        "OPTS UTF8 OFF",
    ] {
        assert_eq!(
            ask(&mut talk, format!("{odd}\r\n")),
            "501 Option not understood.\r\n"
        );
    }
    for other in
        "SYST|HELP|STAT|NOOP|PASV|PORT 127,0,0,1,4,5|EPRT ,1,127.0.0.1,5000,|EPSV|AUTH TLS|\
        PBSZ 0|LIST|RETR x|STOR x|REIN|ABOR|XYZZY| | FEAT|FEAT\t|FEAT\0|\t|GET / HTTP/1.1"
            .split('|')
    {
        assert_eq!(ask(&mut talk, format!("{other}\r\n")), FIRST, "{other:?}");
    }
    assert_eq!(ask(&mut talk, b"\xff\xf4\xf2FEAT\r\n"), FIRST);
    assert_eq!(ask(&mut talk, "quit \r\n"), "221 Goodbye.\r\n");
    assert!(talk.is_closed() && talk.events().is_empty());
}

#[test]
fn lines_end_with_a_newline_and_empty_ones_are_passed_over() {
    let mut talk = talk(2_000);
    assert_eq!(ask(&mut talk, "\r\n\n\r\r\n"), "");
    assert_eq!(ask(&mut talk, "SYST\n"), FIRST);
    assert_eq!(ask(&mut talk, "FEAT\r"), "");
    assert_eq!(ask(&mut talk, "\r\n"), FEATURES);
}

#[test]
fn a_line_of_more_than_4096_bytes_ends_the_connection() {
    const TOO_LONG: &str = "500 Input line too long.\r\n";
    let fits = format!("{}\n", "A".repeat(4095));
    assert_eq!(ask(&mut talk(0), fits), FIRST);
    for long in [format!("{}\n", "A".repeat(4096)), "A".repeat(4096)] {
        let mut talk = talk(0);
        assert_eq!(ask(&mut talk, long), TOO_LONG);
        assert!(talk.is_closed());
    }
    let mut talk = talk(0);
    assert_eq!(ask(&mut talk, "A".repeat(4095)), "");
    assert_eq!(ask(&mut talk, "\r\n"), TOO_LONG);
}

#[test]
fn pipelined_commands_are_answered_in_order_after_the_pause() {
    let mut one = talk(2_000);
    assert_eq!(
        ask(
            &mut one,
            "USER root\r\nPASS wrong\r\nSYST\r\nFEAT\r\nQUIT\r\n"
        ),
        format!("{NEEDED}{WRONG}{FIRST}{FEATURES}221 Goodbye.\r\n")
    );
    let mut three = talk(2_000);
    let logins = "USER a\r\nPASS b\r\n".repeat(3) + "NOOP\r\n";
    assert_eq!(
        ask(&mut three, logins),
        format!("{NEEDED}{WRONG}").repeat(3)
    );
    assert!(three.is_closed() && three.events().len() == 3);
}

#[test]
fn a_command_has_five_minutes_whatever_trickles_in() {
    let mut talk = talk(0);
    assert_eq!(talk.advance(Duration::from_secs(200)), b"");
    assert_eq!(ask(&mut talk, "FEA"), "");
    assert_eq!(talk.advance(Duration::from_secs(99)), b"");
    assert_eq!(talk.advance(Duration::from_secs(1)), b"421 Timeout.\r\n");
    assert!(talk.is_closed());
}

#[test]
fn a_peer_that_hangs_up_still_gets_the_answer_to_its_password() {
    let mut talk = talk(2_000);
    talk.say("USER a\r\nPASS b\r\n");
    assert_eq!(talk.end(), b"");
    assert_eq!(talk.settle(), WRONG.as_bytes());
    assert!(talk.is_closed());
}

#[test]
fn the_greeting_can_be_changed_but_stays_one_line() {
    let mut talk = Talk::with(&KIND, &json!({"banner": "Welcome"}));
    assert_eq!(talk.said(), b"220 Welcome\r\n");
    let given = json!({"banner": "a\r\nb"});
    let faults = (KIND.build)(given.as_object().unwrap(), &Bird::sample());
    assert_eq!(faults.err().unwrap()[0].key, "banner");
}

/// A conversation with another product; the greeting is taken.
fn other(product: &str) -> (Talk, String) {
    let mut talk = Talk::with(&KIND, &json!({"product": product, "tls.enabled": true}));
    let greeting = String::from_utf8(talk.said()).unwrap();
    (talk, greeting)
}

/// Bytes as they stand in a recording: one character each.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

/// Holds `product` to a recording of the real one.
fn as_recorded(product: &str, recording: &str) {
    for line in recording.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut talk = Talk::with(&KIND, &json!({"product": product, "login_delay_ms": 0}));
        talk.said();
        let said = case["say"].as_array().unwrap();
        for (say, hear) in said.iter().zip(case["hear"].as_array().unwrap()) {
            let mut heard = talk.say(bytes(say.as_str().unwrap()));
            heard.extend(talk.settle());
            if talk.is_closed() {
                heard.extend(b"<EOF>");
            }
            let hear = bytes(hear.as_str().unwrap());
            assert_eq!(
                heard.escape_ascii().to_string(),
                hear.escape_ascii().to_string(),
                "to {say}"
            );
        }
    }
}

#[test]
fn proftpd_answers_as_recorded() {
    as_recorded("proftpd", include_str!("testdata/proftpd-1.3.8.jsonl"));
    let mut talk = Talk::with(&KIND, &json!({"product": "proftpd"}));
    assert_eq!(
        talk.said(),
        b"220 ProFTPD Server (Debian) [::ffff:192.0.2.20]\r\n"
    );
    assert_eq!(ask(&mut talk, "NOOP\nNOOP"), "");
    assert_eq!(ask(&mut talk, "A".repeat(9_000)), "");
    assert!(!talk.is_closed());
    let last = talk.advance(Duration::from_secs(300));
    assert!(last.starts_with(b"421 Login timeout (300 seconds)"));
}

#[test]
fn pure_ftpd_answers_as_recorded() {
    as_recorded("pure-ftpd", include_str!("testdata/pure-ftpd-1.0.50.jsonl"));
    let settings = json!({"product": "pure-ftpd"});
    let service = (KIND.build)(settings.as_object().unwrap(), &Bird::sample()).unwrap();
    let mut talk = Talk::of(&KIND, &service);
    let greeting = String::from_utf8(talk.said()).unwrap();
    let now = Context::sample().now.format("%H:%M");
    assert_eq!(
        greeting,
        format!(
            "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n\
             220-You are user number 1 of 50 allowed.\r\n\
             220-Local time is now {now}. Server port: 4000.\r\n\
             220-This is a private system - No anonymous login\r\n\
             220-IPv6 connections are also welcome on this server.\r\n\
             220 You will be disconnected after 15 minutes of inactivity.\r\n"
        )
    );
    let second = Talk::of(&KIND, &service).said();
    assert!(
        String::from_utf8(second)
            .unwrap()
            .contains("user number 2 of")
    );
    // Each failure is held back longer, the sixth ends it; the user counts on.
    ask(&mut talk, "USER root\r\n");
    let mut last = Duration::ZERO;
    for n in 1..=6 {
        let taken = pause(&mut talk, "PASS x\r\n");
        assert!(taken > Duration::from_secs(3 * n + 1) && taken + Duration::from_secs(2) > last);
        assert_eq!(talk.is_closed(), n == 6);
        last = taken;
    }
    assert_eq!(talk.events().len(), 6);
    let (mut talk, _) = other("pure-ftpd");
    assert_eq!(ask(&mut talk, "A".repeat(5_000)), "421 Line too long\r\n");
    assert!(talk.is_closed());
}

#[test]
fn microsofts_server_answers_as_described() {
    let (mut talk, greeting) = other("microsoft");
    assert_eq!(greeting, "220 Microsoft FTP Service\r\n");
    for (command, answer) in [
        ("PASS x", "503 Login with USER first."),
        ("USER", "501 Syntax error in parameters or arguments."),
        ("SYST", "530 Please login with USER and PASS."),
        ("pwd", "530 Please login with USER and PASS."),
        ("XYZZY a", "500 'XYZZY': command not understood."),
        ("ADAT x", "502 Command not implemented."),
        ("PBSZ 0", "503 Bad sequence of commands."),
        ("AUTH KERBEROS", "504 Security mechanism not implemented."),
        (
            "OPTS UTF8 ON",
            "200 OPTS UTF8 command successful - UTF8 encoding now ON.",
        ),
        (
            "OPTS UTF8 OFF",
            "200 OPTS UTF8 command successful - UTF8 encoding now OFF.",
        ),
        ("OPTS x", "501 Parameter not understood."),
        ("", ""),
        ("USER administrator", "331 Password required"),
        ("PASS P@ssw0rd", "530 User cannot log in."),
    ] {
        let end = if answer.is_empty() { "" } else { "\r\n" };
        assert_eq!(
            ask(&mut talk, format!("{command}\r\n")),
            format!("{answer}{end}"),
            "{command}"
        );
    }
    let help = ask(&mut talk, "HELP\r\n");
    assert!(
        help.contains("\r\n ADAT *\r\n ALLO\r\n")
            && help.ends_with("214 HELP command successful.\r\n")
    );
    assert!(ask(&mut talk, "FEAT\r\n").contains("\r\n AUTH TLS;TLS-C;SSL;TLS-P;\r\n"));
    let seen: Vec<_> = talk.events().into_iter().map(|(_, e)| e).collect();
    assert_eq!(
        seen,
        [
            json!({"USERNAME": "", "PASSWORD": "x"}),
            json!({"USERNAME": "administrator", "PASSWORD": "P@ssw0rd"})
        ]
    );
    assert_eq!(ask(&mut talk, "QUIT\r\n"), "221 Goodbye.\r\n");
    let mut plain = Talk::with(&KIND, &json!({"product": "microsoft"}));
    plain.said();
    assert_eq!(
        ask(&mut plain, "AUTH TLS\r\n"),
        "534 Local policy on server does not allow TLS secure connections.\r\n"
    );
    assert!(ask(&mut plain, "A".repeat(4_096)).starts_with("500 "));
    assert!(plain.is_closed());
}

#[test]
fn synologys_server_answers_as_described() {
    let (mut talk, greeting) = other("synology");
    assert_eq!(greeting, "220 Synology FTP server ready.\r\n");
    for (command, answer) in [
        ("", "500 Unknown command."),
        ("PASS x", "503 Login with USER first."),
        ("USER", "500 'USER': command not understood."),
        ("SYST", "215 UNIX Type: L8"),
        ("NOOP", "200 NOOP command successful."),
        ("LIST", "530 Please login with USER and PASS."),
        ("MAIL", "502 MAIL command not implemented."),
        ("XYZZY", "500 'XYZZY': command not understood."),
        ("OPTS UTF8 ON", "200 OPTS UTF8 command successful."),
        ("OPTS x", "501 OPTS: option not understood."),
        ("AUTH x", "504 AUTH type not supported."),
        ("PROT P", "503 Bad sequence of commands."),
        ("USER admin", "331 Password required for admin."),
        ("PASS synopass", "530 Login incorrect."),
    ] {
        assert_eq!(
            ask(&mut talk, format!("{command}\r\n")),
            format!("{answer}\r\n"),
            "{command}"
        );
    }
    let help = ask(&mut talk, "HELP\r\n");
    assert!(
        help.ends_with("214 Direct comments to ftp-bugs@files-02.\r\n"),
        "{help}"
    );
    assert!(ask(&mut talk, "FEAT\r\n").contains(" AUTH TLS\r\n PBSZ\r\n"));
    for _ in 0..4 {
        assert!(!talk.is_closed());
        ask(&mut talk, "USER a\r\nPASS b\r\n");
    }
    assert!(talk.is_closed());
    let mut plain = Talk::with(&KIND, &json!({"product": "synology"}));
    plain.said();
    assert_eq!(
        ask(&mut plain, "AUTH TLS\r\n"),
        "502 AUTH command not implemented.\r\n"
    );
    assert!(!ask(&mut plain, "FEAT\r\n").contains("AUTH"));
}

/// Words for the start of TLS, for `PBSZ` and `PROT` before and inside it.
#[test]
fn every_product_starts_tls_where_it_is_set_up() {
    for (product, auth, early, size, protection) in [
        (
            "vsftpd",
            "234 Proceed with negotiation.",
            "503 PBSZ needs a secure connection.",
            "200 PBSZ set to 0.",
            "200 PROT now Private.",
        ),
        (
            "proftpd",
            "234 AUTH TLS successful",
            "503 PBSZ not allowed on insecure control connection",
            "200 PBSZ 0 successful",
            "200 Protection set to Private",
        ),
        (
            "pure-ftpd",
            "234 AUTH TLS OK.",
            "503 PBSZ=0",
            "200 PBSZ=0",
            "200 Data protection level set to \"private\"",
        ),
        (
            "microsoft",
            "234 AUTH command ok. Expecting TLS Negotiation.",
            "503 Bad sequence of commands.",
            "200 PBSZ command successful.",
            "200 PROT command successful.",
        ),
        (
            "synology",
            "234 AUTH TLS command successful.",
            "503 Bad sequence of commands.",
            "200 PBSZ=0",
            "200 Protection level set.",
        ),
    ] {
        let (mut talk, _) = other(product);
        let mut ask = |command: &str| ask(&mut talk, format!("{command}\r\n"));
        assert_eq!(ask("PBSZ 0"), format!("{early}\r\n"));
        assert!(ask("FEAT").contains(" AUTH TLS"), "{product}");
        ask("USER before");
        // What came behind the request is dropped.
        assert_eq!(ask("AUTH TLS\r\nUSER injected"), format!("{auth}\r\n"));
        assert_eq!(ask("PBSZ 0"), format!("{size}\r\n"));
        assert_eq!(ask("PROT P"), format!("{protection}\r\n"));
        ask("PASS nobody");
        ask("USER root");
        ask("PASS toor");
        assert!(talk.is_tls());
        let seen: Vec<_> = talk.events().into_iter().map(|(_, e)| e).collect();
        assert_eq!(
            seen,
            [
                json!({"USERNAME": "", "PASSWORD": "nobody"}),
                json!({"USERNAME": "root", "PASSWORD": "toor"})
            ],
            "{product}"
        );
        // Nobody starts it twice.
        let again = String::from_utf8(talk.say("AUTH TLS\r\n")).unwrap();
        assert!(!again.starts_with("234"), "{product}: {again}");
    }
}
