//! Conversations as MS-TDS tells them and as captures of real servers show them.

use super::*;
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

/// PRELOGIN with these options.
fn prelogin(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut start = options.len() * 5 + 1;
    let (mut list, mut data) = (Vec::new(), Vec::<u8>::new());
    for (kind, value) in options {
        list.push(*kind);
        list.extend(u16::try_from(start).unwrap().to_be_bytes());
        list.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        start += value.len();
        data.extend(*value);
    }
    list.push(0xff);
    list.extend(data);
    packet(PRELOGIN, &list)
}

/// What most clients send, with this wish for encryption.
fn usual(encryption: u8) -> Vec<u8> {
    prelogin(&[
        (0, &[9, 0, 0, 0, 0, 0]),
        (1, &[encryption]),
        (2, &[0]),
        (3, &[0xb8, 0x0d, 0, 0]),
        (4, &[1]),
    ])
}

fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let mut packet = vec![kind, 1, length[0], length[1], 0, 0, 1, 0];
    packet.extend(payload);
    packet
}

/// A LOGIN7, to be changed and sent.
#[derive(Clone)]
struct Hello {
    version: u32,
    flags: u8,
    host: String,
    user: String,
    password: String,
    app: String,
    token: Vec<u8>,
}

impl Hello {
    fn new(user: &str, password: &str) -> Self {
        Self {
            version: 0x7400_0004,
            flags: 3,
            host: "WS-07".to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            app: "SQLCMD".to_owned(),
            token: Vec::new(),
        }
    }

    fn windows(token: &[u8]) -> Self {
        Self {
            flags: 0x83,
            token: token.to_vec(),
            ..Self::new("", "")
        }
    }

    fn body(&self) -> Vec<u8> {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let scrambled: Vec<u8> = wide(&self.password)
            .iter()
            .map(|byte| byte.rotate_left(4) ^ 0xa5)
            .collect();
        let fixed: u16 = if self.version < 0x7200_0000 { 86 } else { 94 };
        let mut table = Vec::new();
        let mut data = Vec::<u8>::new();
        let mut put = |value: &[u8], unit: usize, table: &mut Vec<u8>| {
            table.extend((fixed + u16::try_from(data.len()).unwrap()).to_le_bytes());
            table.extend(u16::try_from(value.len() / unit).unwrap().to_le_bytes());
            data.extend(value);
        };
        put(&wide(&self.host), 2, &mut table);
        put(&wide(&self.user), 2, &mut table);
        put(&scrambled, 2, &mut table);
        put(&wide(&self.app), 2, &mut table);
        put(&wide("db-01"), 2, &mut table);
        put(&[], 2, &mut table);
        put(&wide("ODBC"), 2, &mut table);
        put(&[], 2, &mut table);
        put(&wide("master"), 2, &mut table);
        table.extend([0, 0, 0, 0, 0, 1]);
        put(&self.token, 1, &mut table);
        put(&[], 2, &mut table);
        if fixed == 94 {
            put(&[], 2, &mut table);
            table.extend([0; 4]);
        }
        let mut body = vec![0; 4];
        body.extend(self.version.to_le_bytes());
        body.extend([0, 0x10, 0, 0, 0, 0, 0, 7, 0x34, 0x12, 0, 0, 0, 0, 0, 0]);
        body.extend([0xe0, self.flags, 0, 0, 0, 0, 0, 0, 9, 4, 0, 0]);
        body.extend(table);
        body.extend(data);
        let length = u32::try_from(body.len()).unwrap();
        body[..4].copy_from_slice(&length.to_le_bytes());
        body
    }

    fn packet(&self) -> Vec<u8> {
        packet(LOGIN7, &self.body())
    }
}

fn version(release: &str) -> Value {
    json!({"version": release})
}

/// ERROR and DONE of TDS 7: number, text, server, the line's and the count's width.
fn refusal(number: u32, text: &str, server: &str, (line, count): (usize, usize)) -> Vec<u8> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut error = number.to_le_bytes().to_vec();
    error.extend([1, 14]);
    error.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
    error.extend(wide(text));
    error.push(u8::try_from(server.len()).unwrap());
    error.extend(wide(server));
    error.push(0);
    error.extend(&[1, 0, 0, 0][..line]);
    let mut tokens = vec![0xaa];
    tokens.extend(u16::try_from(error.len()).unwrap().to_le_bytes());
    tokens.extend(error);
    tokens.extend([0xfd, 2, 0, 0, 0]);
    tokens.extend(&[0; 8][..count]);
    tokens
}

const WIDE: (usize, usize) = (4, 8);
const NARROW: (usize, usize) = (2, 4);
const FAILED: &str = "Login failed for user 'sa'.";
const UNTRUSTED: &str = "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.";

/// The payload of one answer packet, whose header is checked; the session's id.
fn payload(said: &[u8]) -> (u16, &[u8]) {
    assert_eq!((&said[..2], &said[6..8]), (&[4, 1][..], &[1, 0][..]));
    assert_eq!(
        usize::from(u16::from_be_bytes([said[2], said[3]])),
        said.len()
    );
    (u16::from_be_bytes([said[4], said[5]]), &said[8..])
}

fn login(user: &str, password: &str) -> (u32, Value) {
    let event = json!({
        "USERNAME": user, "PASSWORD": password, "HOSTNAME": "WS-07", "APPNAME": "SQLCMD",
        "SERVERNAME": "db-01",
    });
    (9001, event)
}

#[test]
fn holds_what_every_decoy_holds() {
    suite::check(&KIND);
}

/// Requests and answers of real servers, from public captures: SQL Server 2012 SP1 and 2008 SP1 (SQL
/// Fingerprint's manual), nmap's probe and what it takes for 2017 and 2019, SQL Server 2025 with a
/// client that sends a trace id; version and build are ours.
#[test]
fn prelogin_is_answered_as_by_the_real_servers() {
    let nmap = "12010034000000000000150006 01001b0001 02001c000c 0300280004 ff 080001550000 00 \
                4d5353514c53657276657200 480f0000";
    let fingerprint = "1201002f0000010000001a0006 0100200001 0200210001 0300220004 0400260001 ff \
                       090000000000 01 00 b80d0000 01";
    let traced = "120100580000010000001f0006 0100250001 0200260001 0300270004 04002b0001 05002c0024 \
                  ff 110000000000 02 00 01000000 00 \
                  000000000000000000000000000000000000000000000000000000000000000000000000";
    let table = [
        (
            nmap,
            "2019",
            "040100250000010000001500060 1001b0001 02001c0001 03001d0000 ff 0f0007d00000 00 00",
        ),
        (
            nmap,
            "2017",
            "040100250000010000001500060 1001b0001 02001c0001 03001d0000 ff 0e0003e80000 00 00",
        ),
        (
            nmap,
            "2022",
            "040100250000010000001500060 1001b0001 02001c0001 03001d0000 ff 100003e80000 00 00",
        ),
        (
            fingerprint,
            "2012",
            "0401002b0000010000001a0006 0100200001 0200210001 0300220000 0400220001 ff 0b001b590000 01 00 01",
        ),
        (
            fingerprint,
            "2008",
            "0401002b0000010000001a0006 0100200001 0200210001 0300220000 0400220001 ff 0a0017700000 01 00 01",
        ),
        (
            fingerprint,
            "2008R2",
            "0401002b0000010000001a0006 0100200001 0200210001 0300220000 0400220001 ff 0a3217700000 01 00 01",
        ),
        (
            fingerprint,
            "2014",
            "0401002b0000010000001a0006 0100200001 0200210001 0300220000 0400220001 ff 0c0017880000 01 00 01",
        ),
        (
            fingerprint,
            "2016",
            "0401002b0000010000001a0006 0100200001 0200210001 0300220000 0400220001 ff 0d0013a20000 01 00 01",
        ),
        (
            traced,
            "2019",
            "040100300000010000001f0006 0100250001 0200260001 0300270000 0400270001 0500280000 ff 0f0007d00000 02 00 00",
        ),
    ];
    for (asked, release, answered) in table {
        let bytes = |text: &str| hex::decode(text.replace(' ', "")).unwrap();
        let mut talk = Talk::with(&KIND, &version(release));
        let said = talk.say(bytes(asked));
        assert_eq!(
            hex::encode(said),
            answered.replace(' ', ""),
            "{release} {asked}"
        );
        assert!(!talk.is_closed() && talk.events().is_empty());
    }
}

#[test]
fn encryption_and_instance_are_as_the_client_asks() {
    let version: &[u8] = &[9, 0, 0, 0, 0, 0];
    // Wish, then what's agreed to.
    for (asked, agreed) in [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 1),
        (0x80, 0),
        (0x81, 1),
        (0x83, 1),
    ] {
        let said = Talk::new(&KIND).say(usual(asked));
        assert_eq!(payload(&said).1[32], agreed, "{asked}");
    }
    let instance = |name: &[u8]| {
        let said = Talk::new(&KIND).say(prelogin(&[(0, version), (1, &[2]), (2, name)]));
        said.last().copied()
    };
    for (name, fault) in [
        (&b"\0"[..], 0),
        (b"", 0),
        (b"mssqlserver\0", 0),
        (b"MSSQLServer\0x", 0),
        (b"SQLEXPRESS\0", 1),
    ] {
        assert_eq!(instance(name), Some(fault), "{name:?}");
    }
    // No wish at all.
    let said = Talk::new(&KIND).say(prelogin(&[(0, version)]));
    assert_eq!(
        payload(&said).1,
        b"\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x0b\0\x1b\x59\0\0\x02"
    );
}

#[test]
fn a_wrong_password_is_refused_in_every_dialect() {
    let table = [
        (0x7400_0004, WIDE),
        (0x730b_0003, WIDE),
        (0x7209_0002, WIDE),
        (0x7100_0001, NARROW),
        (0x7000_0000, NARROW),
        // Newer than any there is.
        (0x8000_0000, WIDE),
    ];
    for (version, widths) in table {
        let hello = Hello {
            version,
            ..Hello::new("sa", "P@ss wörd\u{1f600}")
        };
        let mut talk = Talk::new(&KIND);
        talk.say(usual(2));
        let said = talk.say(hello.packet());
        let (process, tokens) = payload(&said);
        assert!((51..75).contains(&process), "{process}");
        assert_eq!(
            tokens,
            refusal(18456, FAILED, "FILES-02", widths),
            "{version:x}"
        );
        assert!(talk.is_closed());
        assert_eq!(talk.events(), [login("sa", "P@ss wörd\u{1f600}")]);
        // Without PRELOGIN, as clients of SQL Server 7 do.
        let mut talk = Talk::new(&KIND);
        assert_eq!(talk.say(hello.packet()), said);
    }
}

#[test]
fn names_are_repeated_as_they_came() {
    let long = "x".repeat(128);
    for user in ["", "o'brien", "søren", &long] {
        let mut talk = Talk::new(&KIND);
        let said = talk.say(Hello::new(user, "").packet());
        let text: Vec<u8> = format!("Login failed for user '{user}'.")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(
            said.windows(text.len()).any(|window| window == text),
            "{user}"
        );
        assert_eq!(talk.events(), [login(user, "")]);
    }
    let mut half = Hello::new("ab", "").body();
    let user = usize::from(half[40]);
    half[user..user + 2].copy_from_slice(&[0x3d, 0xd8]);
    let mut talk = Talk::new(&KIND);
    talk.say(packet(LOGIN7, &half));
    assert_eq!(talk.events(), [login("\\x3d\\xd8b", "")]);
}

#[test]
fn tls_covers_the_login_or_everything() {
    for (wish, stays) in [(0, false), (1, true)] {
        let mut talk = Talk::new(&KIND);
        talk.say(usual(wish));
        assert!(!talk.is_tls());
        let said = talk.say(packet(PRELOGIN, b"\x16\x03\x01"));
        assert!(talk.is_tls() && said.is_empty());
        let said = talk.say(Hello::new("sa", "x").packet());
        assert_eq!(payload(&said).1, refusal(18456, FAILED, "FILES-02", WIDE));
        assert_eq!(talk.is_tls(), stays);
        assert!(talk.is_closed());
        assert_eq!(talk.events(), [login("sa", "x")]);
    }
    // Too simple for the TLS that it agreed to: listened to; not after asking for TLS all the way.
    for (wish, heard) in [(0, 1), (1, 0)] {
        let mut talk = Talk::new(&KIND);
        talk.say(usual(wish));
        let said = talk.say(Hello::new("sa", "x").packet());
        assert_eq!((talk.events().len(), said.is_empty()), (heard, heard == 0));
        assert!(talk.is_closed());
    }
}

#[test]
fn tds_8_begins_with_tls_on_2022_alone() {
    let mut talk = Talk::with(&KIND, &version("2022"));
    talk.say(b"\x16\x03");
    assert!(talk.is_tls());
    let said = talk.say(usual(0));
    assert_eq!(payload(&said).1[26..], [16, 0, 3, 0xe8, 0, 0, 2, 0, 1]);
    let said = talk.say(Hello::new("sa", "x").packet());
    assert_eq!(payload(&said).1, refusal(18456, FAILED, "FILES-02", WIDE));
    assert!(talk.is_tls() && talk.is_closed());
    assert_eq!(talk.events(), [login("sa", "x")]);
    let mut talk = Talk::with(&KIND, &version("2019"));
    assert!(talk.say(b"\x16\x03").is_empty() && talk.is_closed());
}

/// NEGOTIATE with the flags of a client of today and nothing else.
const NEGOTIATE: &[u8] = b"NTLMSSP\0\x01\0\0\0\x37\x82\x08\xe2\
    \0\0\0\0\x28\0\0\0\0\0\0\0\x28\0\0\0\x0a\0\x63\x45\0\0\0\x0f";

/// AUTHENTICATE with 24 bytes of LM's and NT's response each, in Unicode.
fn authenticate(user: &str, domain: &str, response: &[u8]) -> Vec<u8> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let fields = [
        response.to_vec(),
        response.to_vec(),
        wide(domain),
        wide(user),
        wide("WS-99"),
        Vec::new(),
    ];
    let mut start = 64;
    for field in &fields {
        let length = u16::try_from(field.len()).unwrap().to_le_bytes();
        message.extend([length, length].concat());
        message.extend(u32::try_from(start).unwrap().to_le_bytes());
        start += field.len();
    }
    message.extend(0x0208_0201_u32.to_le_bytes());
    message.extend(fields.concat());
    message
}

/// Up to the challenge, which is given.
fn challenged(talk: &mut Talk) -> Vec<u8> {
    let said = talk.say(Hello::windows(NEGOTIATE).packet());
    let token = payload(&said).1;
    assert_eq!(token[0], 0xed);
    assert_eq!(
        usize::from(u16::from_le_bytes([token[1], token[2]])),
        token.len() - 3
    );
    assert!(token[3..].starts_with(b"NTLMSSP\0\x02\0\0\0"));
    assert!(!talk.is_closed() && talk.events().is_empty());
    token[3..].to_vec()
}

#[test]
fn a_windows_login_is_challenged_and_refused() {
    for (release, text) in [
        ("2012", UNTRUSTED.to_owned()),
        ("2008R2", UNTRUSTED.replace("Integrated", "Windows")),
    ] {
        // Some clients call the answer a LOGIN7.
        for kind in [SSPI, LOGIN7] {
            let mut talk = Talk::with(&KIND, &version(release));
            talk.say(usual(2));
            let challenge = hex::encode(&challenged(&mut talk)[24..32]);
            let said = talk.say(packet(kind, &authenticate("bob", "CORP", &[7; 24])));
            assert_eq!(payload(&said).1, refusal(18452, &text, "FILES-02", WIDE));
            assert!(talk.is_closed());
            let response = "07".repeat(24);
            let event = json!({
                "USERNAME": "bob", "HOSTNAME": "WS-99", "DOMAINNAME": "CORP", "APPNAME": "SQLCMD",
                "SERVERNAME": "db-01",
                "NTLM_HASH": format!("bob::CORP:{response}:{response}:{challenge}"),
            });
            assert_eq!(talk.events(), [(9002, event)]);
        }
    }
}

#[test]
fn the_challenge_tells_of_the_machine() {
    let names = |domain: Option<&str>, system: &str| {
        let machine = coalmine_core::Machine {
            system: coalmine_core::System::find(system).unwrap(),
            domain: domain.map(|name| coalmine_core::machine::Domain::new(name).unwrap()),
        };
        let bird = Bird {
            machine,
            ..Arc::into_inner(Bird::sample()).unwrap()
        };
        target(&bird)
    };
    let alone = names(None, "windows-server-2022");
    assert_eq!(
        (&*alone.netbios_name, &*alone.netbios_domain, alone.joined),
        ("FILES-02", "FILES-02", false)
    );
    assert_eq!(alone.version.build, 20348);
    let joined = names(Some("corp.example.net"), "linux");
    assert_eq!(
        (&*joined.netbios_domain, &*joined.dns_name, joined.joined),
        ("CORP", "files-02.corp.example.net", true)
    );
    assert_eq!(joined.version.build, 17763);
}

/// A Windows login that told no more than LOGIN7 did.
fn unnamed_event() -> (u32, Value) {
    let event = json!({
        "USERNAME": "", "HOSTNAME": "WS-07", "APPNAME": "SQLCMD", "SERVERNAME": "db-01",
    });
    (9002, event)
}

#[test]
fn windows_logins_that_come_to_nothing_are_reported() {
    // Anonymous.
    let mut talk = Talk::new(&KIND);
    challenged(&mut talk);
    let said = talk.say(packet(SSPI, &authenticate("", "", b"")));
    let text = "Login failed for user 'NT AUTHORITY\\ANONYMOUS LOGON'.";
    assert_eq!(payload(&said).1, refusal(18456, text, "FILES-02", WIDE));
    let (logtype, mut named) = unnamed_event();
    named["HOSTNAME"] = json!("WS-99");
    assert_eq!(talk.events(), [(logtype, named)]);
    // Nonsense, first or second.
    for stop in [true, false] {
        let mut talk = Talk::new(&KIND);
        let said = if stop {
            talk.say(Hello::windows(b"nonsense").packet())
        } else {
            challenged(&mut talk);
            talk.say(packet(SSPI, b"nonsense"))
        };
        assert_eq!(
            payload(&said).1,
            refusal(18452, UNTRUSTED, "FILES-02", WIDE)
        );
        assert_eq!(talk.events(), [unnamed_event()]);
        assert!(talk.is_closed());
    }
    // Gone, silent, or at something else.
    type Quit = fn(&mut Talk) -> Vec<u8>;
    let quits: [Quit; 3] = [
        |talk| talk.end(),
        |talk| talk.advance(PATIENCE),
        |talk| talk.say(usual(2)),
    ];
    for quit in quits {
        let mut talk = Talk::new(&KIND);
        challenged(&mut talk);
        assert!(quit(&mut talk).is_empty());
        assert!(talk.is_closed());
        assert_eq!(talk.events(), [unnamed_event()]);
    }
}

#[test]
fn kerberos_tells_its_realm() {
    let ticket = include_str!("../../../../crates/wire/src/testdata/ap-req.hex");
    let ticket = hex::decode(ticket.trim()).unwrap();
    let mut talk = Talk::new(&KIND);
    let said = talk.say(Hello::windows(&ticket).packet());
    assert_eq!(
        payload(&said).1,
        refusal(18452, UNTRUSTED, "FILES-02", WIDE)
    );
    let events = talk.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].0, &events[0].1["USERNAME"]), (9002, &json!("")));
    assert!(events[0].1["DOMAINNAME"].is_string(), "{events:?}");
}

/// The login record of TDS 4.2.
fn old_record() -> Vec<u8> {
    let mut record = vec![0; 512];
    for (at, text) in [
        (0, "ws-07"),
        (31, "sa"),
        (62, "s3cret"),
        (140, "isql"),
        (171, "db-01"),
    ] {
        record[at..at + text.len()].copy_from_slice(text.as_bytes());
        record[at + 30] = u8::try_from(text.len()).unwrap();
    }
    record[458] = 4;
    record[459] = 2;
    record
}

#[test]
fn clients_from_before_tds_7_are_refused_in_bytes() {
    let mut talk = Talk::new(&KIND);
    // In two packets, as they come.
    let record = old_record();
    let mut first = packet(OLD_LOGIN, &record[..504]);
    first[1] = 0;
    assert!(talk.say(first).is_empty());
    let said = talk.say(packet(OLD_LOGIN, &record[504..]));
    let text =
        b"\xaa\x2f\0\x18\x48\0\0\x01\x0e\x1b\0Login failed for user 'sa'.\x08FILES-02\0\x01\0\
                 \xfd\x02\0\0\0\0\0\0\0";
    assert_eq!(payload(&said), (0, &text[..]));
    assert!(talk.is_closed());
    let event = json!({
        "USERNAME": "sa", "PASSWORD": "s3cret", "HOSTNAME": "ws-07", "APPNAME": "isql",
        "SERVERNAME": "db-01",
    });
    assert_eq!(talk.events(), [(9001, event)]);
    let mut wrong = old_record();
    wrong[61] = 31;
    let mut talk = Talk::new(&KIND);
    assert!(talk.say(packet(OLD_LOGIN, &wrong)).is_empty() && talk.is_closed());
}

/// What a real server drops without a word.
#[test]
fn broken_packets_end_the_connection() {
    let version: &[u8] = &[9, 0, 0, 0, 0, 0];
    let body = Hello::new("sa", "x").body();
    let changed = |at: usize, bytes: &[u8]| {
        let mut body = body.clone();
        body[at..at + bytes.len()].copy_from_slice(bytes);
        packet(LOGIN7, &body)
    };
    let mut outside = prelogin(&[(0, version), (1, &[0])]);
    outside[8 + 7] = 200;
    let mut long_name = Hello::new(&"x".repeat(129), "");
    long_name.app.clear();
    let cases = [
        ("HTTP", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("a batch before the login", packet(1, b"select 1")),
        ("an answer", packet(4, &[0])),
        ("SSPI before the login", packet(SSPI, NEGOTIATE)),
        (
            "shorter than its header",
            b"\x12\x01\0\x07\0\0\0\0".to_vec(),
        ),
        ("longer than any", b"\x12\x01\x80\0\0\0\0\0".to_vec()),
        ("an empty PRELOGIN", packet(PRELOGIN, &[])),
        ("no terminator", packet(PRELOGIN, &[0, 0, 5, 0, 0])),
        ("no version first", prelogin(&[(1, &[0]), (0, version)])),
        ("a short version", prelogin(&[(0, &[9])])),
        ("options outside", outside),
        ("no such encryption", prelogin(&[(0, version), (1, &[9])])),
        (
            "two bytes of encryption",
            prelogin(&[(0, version), (1, &[0, 0])]),
        ),
        ("too many options", prelogin(&[(0, version); 33])),
        (
            "a LOGIN7 that says it's longer",
            changed(0, &[0xff, 0xff, 0, 0]),
        ),
        (
            "a LOGIN7 that says it's shorter",
            changed(0, &[20, 0, 0, 0]),
        ),
        ("TDS 6 in a LOGIN7", changed(4, &[0, 0, 0, 0x60])),
        ("a name outside", changed(40, &[0xf0, 0xff])),
        ("a name that ends outside", changed(42, &[0x80, 0])),
        ("a name of 129 letters", long_name.packet()),
        ("a short LOGIN7", packet(LOGIN7, &body[..40])),
        ("a short record", packet(OLD_LOGIN, &[0; 461])),
    ];
    for (what, bytes) in cases {
        let mut talk = Talk::new(&KIND);
        assert_eq!(talk.say(&bytes), b"", "{what}");
        assert!(talk.is_closed(), "{what}");
        assert!(talk.events().is_empty(), "{what}");
    }
    // A message whose second packet is another's.
    let mut first = packet(LOGIN7, &body[..50]);
    first[1] = 0;
    let mut talk = Talk::new(&KIND);
    talk.say(first);
    talk.say(usual(2));
    assert!(talk.is_closed());
}

#[test]
fn a_login_in_many_packets_is_one() {
    let mut talk = Talk::new(&KIND);
    let body = Hello::new("sa", "x").body();
    let (last, pieces) = {
        let mut pieces: Vec<_> = body.chunks(50).map(|piece| packet(LOGIN7, piece)).collect();
        (pieces.pop().unwrap(), pieces)
    };
    for mut piece in pieces {
        piece[1] = 0;
        assert!(talk.say(piece).is_empty() && !talk.is_closed());
    }
    assert!(!talk.say(last).is_empty());
    assert_eq!(talk.events(), [login("sa", "x")]);
}

#[test]
fn messages_without_end_are_cut() {
    let mut talk = Talk::new(&KIND);
    let mut piece = packet(LOGIN7, &[0; 32_000]);
    piece[1] = 0;
    for _ in 0..5 {
        talk.say(&piece);
    }
    assert!(talk.is_closed());
    let mut talk = Talk::new(&KIND);
    let mut empty = packet(LOGIN7, &[]);
    empty[1] = 0;
    talk.say(empty.repeat(MAX_PACKETS + 1));
    assert!(talk.is_closed());
}

#[test]
fn sessions_that_are_open_together_have_numbers_of_their_own() {
    let service = (KIND.build)(&serde_json::Map::new(), &Bird::sample()).unwrap();
    let number = |talk: &mut Talk| payload(&talk.say(Hello::new("sa", "").packet())).0;
    let mut one = Talk::of(&KIND, &service);
    let mut two = Talk::of(&KIND, &service);
    let first = number(&mut one);
    assert_eq!(number(&mut two), first + 1);
    drop((one, two));
    assert_eq!(number(&mut Talk::of(&KIND, &service)), first);
}

#[test]
fn a_handshake_is_cut_into_packets() {
    let packets = answer::tls_packets(&[7; 5000]);
    assert_eq!(packets[..8], [0x12, 0, 0x10, 0, 0, 0, 0, 0]);
    assert_eq!(packets[4096..4104], [0x12, 1, 3, 0x98, 0, 0, 0, 0]);
    assert_eq!(packets.len(), 5016);
    let header = packets.first_chunk().unwrap();
    assert_eq!((PACKETS.payload)(header), Some(4088));
}
