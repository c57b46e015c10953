use coalmine_core::decoy::Bird;
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

use super::*;

const ENTER: u8 = 0x7d;
const CLEAR: u8 = 0x6d;
const PA1: u8 = 0x6c;
const PF3: u8 = 0xf3;

/// A terminal that read its screens into rows.
struct Client {
    talk: Talk,
    enhanced: bool,
    columns: usize,
    /// The screen's characters; attributes are blanks.
    screen: Vec<char>,
    /// Fields that can be typed into.
    open: Vec<usize>,
    cursor: usize,
    said: Vec<u8>,
}

impl Client {
    fn enhanced(settings: &Value, device: &str) -> Self {
        let mut talk = Talk::with(&KIND, settings);
        talk.said();
        talk.say([IAC, WILL, TN3270E]);
        let mut wish = vec![TN3270E, DEVICE_TYPE, REQUEST];
        wish.extend(device.bytes());
        talk.say(subnegotiation(&wish));
        let said = talk.say(subnegotiation(&[TN3270E, FUNCTIONS, REQUEST]));
        let mut wanted = subnegotiation(&[TN3270E, FUNCTIONS, IS]);
        assert_eq!(said[..wanted.len()], wanted);
        wanted = said[wanted.len()..].to_vec();
        Self::start(talk, true, &wanted)
    }

    fn traditional() -> Self {
        let mut talk = Talk::new(&KIND);
        assert_eq!(talk.said(), [IAC, DO, TN3270E]);
        assert_eq!(talk.say([IAC, WONT, TN3270E]), [IAC, DO, TERMINAL_TYPE]);
        let said = talk.say([IAC, WILL, TERMINAL_TYPE]);
        assert_eq!(said, b"\xff\xfa\x18\x01\xff\xf0");
        let said = talk.say(b"\xff\xfa\x18\0IBM-3279-2-E\xff\xf0");
        assert_eq!(said, b"\xff\xfd\x19\xff\xfb\x19\xff\xfd\0\xff\xfb\0");
        assert_eq!(talk.say(b"\xff\xfb\x19\xff\xfd\x19\xff\xfb\0"), b"");
        let said = talk.say(b"\xff\xfd\0");
        Self::start(talk, false, &said)
    }

    fn start(talk: Talk, enhanced: bool, said: &[u8]) -> Self {
        let mut client = Self {
            talk,
            enhanced,
            columns: 80,
            screen: Vec::new(),
            open: Vec::new(),
            cursor: 0,
            said: Vec::new(),
        };
        client.draw(said);
        client
    }

    /// Reads one record into the screen.
    fn draw(&mut self, said: &[u8]) {
        self.said = said.to_vec();
        let Some(mut data) = said.strip_suffix(&[IAC, telnet::EOR]) else {
            panic!("no record: {said:02x?}");
        };
        if self.enhanced {
            assert_eq!(data[..5], [0; 5]);
            data = &data[5..];
        }
        self.columns = if data[0] == 0x7e { self.columns } else { 80 };
        self.screen = vec![' '; 27 * 132];
        self.open.clear();
        let mut at = 0;
        let mut rest = &data[2..];
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                0x11 => {
                    at = (usize::from(rest[0] & 0x3f) << 6) | usize::from(rest[1] & 0x3f);
                    rest = &rest[2..];
                }
                0x1d => {
                    if rest[0] & 0x20 == 0 {
                        self.open.push(at + 1);
                    }
                    at += 1;
                    rest = &rest[1..];
                }
                0x13 => self.cursor = at,
                text => {
                    self.screen[at] = ebcdic::decode(&[*text]).chars().next().unwrap();
                    at += 1;
                }
            }
        }
    }

    fn row(&self, row: usize) -> String {
        let row = &self.screen[row * self.columns..(row + 1) * self.columns];
        row.iter().collect::<String>().trim_end().to_owned()
    }

    fn shows(&self, text: &str) -> bool {
        self.screen.iter().collect::<String>().contains(text)
    }

    fn press(&mut self, key: u8, fields: &[(usize, &str)]) {
        let mut data = if self.enhanced {
            vec![0; 5]
        } else {
            Vec::new()
        };
        data.push(key);
        if ![CLEAR, PA1].contains(&key) {
            data.extend([0x40, 0x40]);
        }
        for (at, text) in fields {
            data.extend([0x11, (at >> 8) as u8, *at as u8]);
            data.extend(ebcdic::encode(text));
        }
        let said = self.talk.say(record(&data));
        if !self.talk.is_closed() {
            self.draw(&said);
        }
    }

    /// Types at the cursor and presses Enter.
    fn enter(&mut self, text: &str) {
        self.press(ENTER, &[(self.cursor, text)]);
    }
}

fn login(user: &str, password: &str) -> (u32, Value) {
    (32001, json!({"USERNAME": user, "PASSWORD": password}))
}

#[test]
fn it_holds_what_every_decoy_holds() {
    suite::check(&KIND);
}

#[test]
fn a_user_logs_on_through_the_panel() {
    for mut client in [
        Client::enhanced(&json!({}), "IBM-3278-2-E"),
        Client::traditional(),
    ] {
        assert!(client.row(0).starts_with("  SYSTEM    : "));
        assert!(
            client.row(0).ends_with("  DATE: 10/10/25"),
            "{}",
            client.row(0)
        );
        assert!(client.row(1).ends_with("  TIME: 12:40:00"));
        assert!(client.row(2).starts_with("  IP ADDRESS: 192.0.2.10 "));
        assert!(client.row(2).ends_with("PORT: 50000"));
        assert!(client.shows("AUTHORIZED USE ONLY - ACTIVITY IS MONITORED"));
        client.enter("tso");
        assert_eq!(client.row(0), " IKJ56700A ENTER USERID -");
        client.enter("ibmuser");
        assert!(client.row(5).starts_with("    Userid    ===> IBMUSER "));
        assert_eq!(client.row(1), "");
        // The password's field.
        assert_eq!(client.cursor, 7 * 80 + 19);
        assert_eq!(client.open[0], client.cursor);
        client.enter("Sys1!é");
        assert_eq!(
            client.row(1),
            " IKJ56421I PASSWORD NOT AUTHORIZED FOR USERID"
        );
        assert_eq!(client.row(2), " IKJ56429A REENTER -");
        assert_eq!(client.talk.events(), [login("ibmuser", "Sys1!é")]);
        // Nothing typed is no attempt.
        client.press(ENTER, &[]);
        assert_eq!(client.row(1), "");
        assert_eq!(client.talk.events().len(), 1);
        client.press(PF3, &[]);
        assert!(client.shows("TERMINAL  :"), "back to the network");
        client.enter("logoff");
        assert!(client.talk.is_closed());
    }
}

#[test]
fn the_panel_is_the_manuals() {
    let mut client = Client::enhanced(&json!({}), "IBM-3278-2-E");
    client.enter("LOGON APPLID(TSO) DATA(ibmuser)");
    let rows: Vec<String> = (0..24).map(|n| client.row(n)).collect();
    let wanted = [
        " ------------------------------- TSO/E LOGON -----------------------------------",
        "",
        "",
        "    Enter LOGON parameters below:                   RACF LOGON parameters:",
        "",
        "    Userid    ===> IBMUSER                          Seclabel     ===>",
        "",
        "    Password  ===>                                  New Password ===>",
        "",
        "    Procedure ===> PROC                             Group Ident  ===>",
        "",
        "    Acct Nmbr ===> ACCT",
        "",
        "    Size      ===> 4096",
        "",
        "    Perform   ===>",
        "",
        "    Command   ===>",
        "",
        "    Enter an 'S' before each option desired below:",
        "            -Nomail         -Nonotice        -Reconnect        -OIDcard",
        "",
        " PF1/PF13 ==> Help    PF3/PF15 ==> Logoff    PA1 ==> Attention    PA2 ==> Reshow",
        " You may request specific help information by entering a '?' in any entry field",
    ];
    for (n, (row, wanted)) in rows.iter().zip(wanted).enumerate() {
        match n {
            9 | 11 => assert_eq!(row[..19], wanted[..19]),
            _ => assert_eq!(row, wanted),
        }
    }
    assert_eq!(client.open.len(), 12);
}

#[test]
fn the_network_answers_its_commands() {
    let mut client = Client::enhanced(&json!({}), "IBM-3278-2-E");
    for (line, message) in [
        ("foo bar", "FOO COMMAND UNRECOGNIZED"),
        ("logon", "REQUIRED PARAMETER OMITTED"),
        ("logon applid()", "REQUIRED PARAMETER OMITTED"),
        (
            "logon applid(nothere)",
            "NOTHERE UNABLE TO ESTABLISH SESSION - REQSESS FAILED WITH SENSE 087D0001",
        ),
        (
            "cics",
            "CICS UNABLE TO ESTABLISH SESSION - REQSESS FAILED WITH SENSE 08570003",
        ),
        (
            "logon applid=netview,data=x",
            "NETVIEW UNABLE TO ESTABLISH SESSION - REQSESS FAILED WITH SENSE 08570003",
        ),
        ("", ""),
    ] {
        client.enter(line);
        assert_eq!(client.row(22).trim(), message, "{line}");
    }
    client.press(PF3, &[]);
    assert_eq!(client.row(22).trim(), "UNSUPPORTED FUNCTION");
    client.press(PA1, &[]);
    assert_eq!(client.row(22).trim(), "UNSUPPORTED FUNCTION");
    client.enter("ibmtest");
    for row in 0..10 {
        assert_eq!(
            client.row(row),
            " IBMECHO ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        );
    }
    client.press(CLEAR, &[]);
    assert_eq!(client.row(22).trim(), "");
    assert!(client.shows("TERMINAL  :"));
    assert!(client.talk.events().is_empty());
}

#[test]
fn tso_answers_wrong_user_ids() {
    let mut client = Client::traditional();
    client.enter("tso fakeuser");
    assert_eq!(client.row(0), " IKJ56710I INVALID USERID, FAKEUSER");
    assert_eq!(client.row(1), " IKJ56703A REENTER THIS OPERAND -");
    client.enter("1abc");
    assert_eq!(client.row(0), " IKJ56710I INVALID USERID, 1ABC");
    client.enter("");
    assert_eq!(client.row(0), " IKJ56700A ENTER USERID -");
    client.press(CLEAR, &[]);
    assert_eq!(client.row(0), " IKJ56700A ENTER USERID -");
    client.press(PA1, &[]);
    assert_eq!(client.row(0), " IKJ56400A ENTER LOGON OR LOGOFF-");
    client.enter("help");
    assert_eq!(client.row(0), " IKJ56400A ENTER LOGON OR LOGOFF-");
    client.enter("logon");
    assert_eq!(client.row(0), " IKJ56700A ENTER USERID -");
    client.press(PA1, &[]);
    client.enter("logon sys@1/secret/new");
    assert_eq!(
        client.row(1),
        " IKJ56421I PASSWORD NOT AUTHORIZED FOR USERID"
    );
    assert_eq!(client.talk.events(), [login("sys@1", "secret")]);
    client.press(PA1, &[]);
    client.enter("logoff");
    assert!(client.shows("TERMINAL  :"));
}

#[test]
fn user_ids_may_be_few() {
    let mut client = Client::enhanced(&json!({"users": ["ibmuser"]}), "IBM-3278-2");
    client.enter("tso admin");
    assert_eq!(
        client.row(1),
        " IKJ56420I Userid ADMIN not authorized to use TSO"
    );
    // The user id can be typed anew.
    assert_eq!(client.cursor, 5 * 80 + 19);
    client.enter("9");
    assert_eq!(client.row(1), " IKJ56710I INVALID USERID, 9");
    let fields = [(5 * 80 + 19, "ibmuser"), (7 * 80 + 19, "sys1")];
    client.press(ENTER, &fields);
    assert_eq!(
        client.row(1),
        " IKJ56421I PASSWORD NOT AUTHORIZED FOR USERID"
    );
    let wanted = [login("admin", ""), login("ibmuser", "sys1")];
    assert_eq!(client.talk.events(), wanted);
}

#[test]
fn racf_revokes_after_five_tries() {
    let mut client = Client::enhanced(&json!({}), "IBM-3278-2");
    client.enter("tso admin");
    for n in 0..5 {
        client.enter(&format!("pw{n}"));
    }
    let revoked = " IKJ56425I LOGON REJECTED, RACF TEMPORARILY REVOKING USER ACCESS";
    assert_eq!(client.row(0), revoked);
    assert_eq!(client.row(1), " IKJ56418I CONTACT YOUR TSO ADMINISTRATOR");
    assert_eq!(client.row(2), " IKJ56400A ENTER LOGON OR LOGOFF-");
    client.enter("logon other");
    client.enter("pw");
    let names: Vec<_> = client
        .talk
        .events()
        .iter()
        .map(|e| e.1["USERNAME"].clone())
        .collect();
    assert_eq!(
        names,
        ["admin", "admin", "admin", "admin", "admin", "other"]
    );
}

#[test]
fn large_terminals_get_large_panels() {
    let mut client = Client::enhanced(&json!({}), "IBM-3278-5-E");
    assert!(client.shows("TERMINAL  :"));
    client.columns = 132;
    client.enter("tso ibmuser");
    assert_eq!(client.said[5], 0x7e);
    assert_eq!(client.cursor, 7 * 132 + 19);
    assert_eq!(client.row(5)[4..26], *"Userid    ===> IBMUSER");
    client.enter("sys1");
    assert_eq!(client.talk.events(), [login("ibmuser", "sys1")]);
}

#[test]
fn terminals_get_units_and_types_that_there_are() {
    let service = (KIND.build)(&Map::new(), &Bird::sample()).unwrap();
    let ask = |wish: &[u8]| {
        let mut talk = Talk::of(&KIND, &service);
        talk.said();
        talk.say([IAC, WILL, TN3270E]);
        let mut body = vec![TN3270E, DEVICE_TYPE, REQUEST];
        body.extend(wish);
        let said = talk.say(subnegotiation(&body));
        let said = said
            .strip_prefix(&[IAC, telnet::SB, TN3270E, DEVICE_TYPE])
            .unwrap();
        said.strip_suffix(&[IAC, telnet::SE]).unwrap().to_vec()
    };
    let first = ask(b"IBM-3279-4-E");
    let own = first
        .strip_prefix(b"\x04IBM-3279-4-E\x01")
        .unwrap()
        .to_vec();
    assert_eq!(own.len(), 8);
    assert_ne!(
        ask(b"IBM-3279-4-E"),
        first,
        "another connection, another unit"
    );
    let mut wish = b"IBM-3278-2\x01".to_vec();
    wish.extend(&own);
    assert_eq!(ask(&wish)[12..], own);
    assert_eq!(ask(b"IBM-DYNAMIC")[..13], *b"\x04IBM-DYNAMIC\x01");
    assert_eq!(ask(b"IBM-3278-2\x01NOTHERE"), [REJECT, REASON, INV_NAME]);
    assert_eq!(
        ask(b"IBM-3287-1\0TCP00001"),
        [REJECT, REASON, INV_ASSOCIATE]
    );
    for name in [&b"IBM-3287-1"[..], b"IBM-3278-6", b"VT100", b"\xff\xff"] {
        assert_eq!(ask(name), [REJECT, REASON, INV_DEVICE_TYPE], "{name:?}");
    }
}

#[test]
fn functions_are_agreed_to_as_far_as_they_go() {
    let mut talk = Talk::new(&KIND);
    talk.said();
    talk.say([IAC, WILL, TN3270E]);
    // Functions before a type mean nothing.
    assert_eq!(
        talk.say(subnegotiation(&[TN3270E, FUNCTIONS, REQUEST])),
        b""
    );
    talk.say(subnegotiation(b"\x28\x02\x07IBM-3278-2"));
    let said = talk.say(subnegotiation(&[TN3270E, FUNCTIONS, REQUEST, 0, 2, 4, 5]));
    assert_eq!(said, subnegotiation(&[TN3270E, FUNCTIONS, REQUEST, 2, 4]));
    let said = talk.say(subnegotiation(&[TN3270E, FUNCTIONS, IS, 2, 4]));
    // Numbered, and answered only for errors.
    assert_eq!(said[..7], [0, 0, 1, 0, 0, 0xf5, 0xc3]);
    // SysReq leaves for the network, Attn asks TSO; a positive response means nothing.
    assert_eq!(talk.say([IAC, 245])[..5], [0, 0, 1, 0, 1]);
    assert_eq!(talk.say([IAC, 244])[..5], [0, 0, 1, 0, 2]);
    assert_eq!(talk.say(record(&[2, 0, 0, 0, 1, 0])), b"");
    assert_eq!(talk.say(record(&[5, 0, 0, 0, 1, b'x'])), b"");
    assert_eq!(talk.say(record(&[0, 0])), b"");
}

#[test]
fn options_that_nobody_needs_are_refused_once() {
    let mut talk = Talk::new(&KIND);
    talk.said();
    assert_eq!(
        talk.say([IAC, WILL, 31, IAC, DO, 1]),
        [IAC, DONT, 31, IAC, WONT, 1]
    );
    assert_eq!(talk.say([IAC, WILL, 31, IAC, DO, 1]), b"");
    assert_eq!(talk.say([IAC, DO, 6]), [IAC, WILL, 6]);
    assert_eq!(talk.say(b"GET / HTTP/1.0\r\n\r\n"), b"");
}

#[test]
fn terminals_of_lines_are_sent_away() {
    for end in [
        &b"\xff\xfc\x18"[..],
        b"\xff\xfb\x18\xff\xfa\x18\0VT100\xff\xf0",
        b"\xff\xfb\x18\xff\xfa\x18\0IBM-3278-2\xff\xf0\xff\xfc\x19",
        b"\xff\xfb\x18\xff\xfa\x18\0IBM-3278-2\xff\xf0\xff\xfe\0",
    ] {
        let mut talk = Talk::new(&KIND);
        talk.say([IAC, WONT, TN3270E]);
        talk.say(end);
        assert!(talk.is_closed(), "{end:02x?}");
    }
    // Who turned to TN3270E may turn back.
    let mut talk = Talk::new(&KIND);
    talk.said();
    talk.say([IAC, WILL, TN3270E]);
    let said = talk.say([IAC, WONT, TN3270E]);
    assert_eq!(said, [IAC, DONT, TN3270E, IAC, DO, TERMINAL_TYPE]);
}

#[test]
fn settings_that_no_system_has_are_refused() {
    let given = json!({"notice": "x".repeat(71), "users": ["ok", "toolongid"], "user": 1});
    let faults = Tn3270Settings::parse(given.as_object().unwrap()).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["user", "notice", "users"]);
}
