//! Replies recorded from mariadb-server 1:10.11.19-0+deb12u1.

use super::*;
use coalmine_core::Bird;
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

/// What a client of today says it can: 4.1 protocol, secure connection, named methods.
const TODAY: u32 = 0x000a_a205;

/// A handshake response, to be changed and sent.
#[derive(Clone)]
struct Hello {
    capabilities: u32,
    collation: u8,
    user: Vec<u8>,
    response: Vec<u8>,
    /// All that follows the response.
    rest: Vec<u8>,
}

impl Hello {
    fn new(user: impl AsRef<[u8]>) -> Self {
        Self {
            capabilities: TODAY,
            collation: 45,
            user: user.as_ref().to_vec(),
            response: vec![7; 20],
            rest: b"mysql_native_password\0".to_vec(),
        }
    }

    fn response(self, response: &[u8]) -> Self {
        let response = response.to_vec();
        Self { response, ..self }
    }

    fn rest(self, rest: impl AsRef<[u8]>) -> Self {
        let rest = rest.as_ref().to_vec();
        Self { rest, ..self }
    }

    fn with(self, capability: u32) -> Self {
        Self {
            capabilities: self.capabilities | capability,
            ..self
        }
    }

    fn without(self, capability: u32) -> Self {
        Self {
            capabilities: self.capabilities & !capability,
            ..self
        }
    }

    fn collation(self, collation: u8) -> Self {
        Self { collation, ..self }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = self.capabilities.to_le_bytes().to_vec();
        body.extend([0, 0, 0, 1, self.collation]);
        body.extend([0; 23]);
        body.extend(&self.user);
        body.push(0);
        if self.capabilities & SECURE_CONNECTION != 0 {
            body.push(u8::try_from(self.response.len()).unwrap());
            body.extend(&self.response);
        } else {
            body.extend(&self.response);
            body.push(0);
        }
        body.extend(&self.rest);
        body
    }

    fn packet(&self) -> Vec<u8> {
        packet(1, &self.body())
    }
}

/// A response in the protocol from before MySQL 4.1.
fn old_hello(capabilities: u16, rest: &[u8]) -> Vec<u8> {
    let mut body = capabilities.to_le_bytes().to_vec();
    body.extend([0, 0, 0]);
    body.extend(rest);
    packet(1, &body)
}

/// A conversation after its greeting, and the salt of that.
fn talk() -> (Talk, [u8; 20]) {
    let mut talk = Talk::new(&KIND);
    let greeting = talk.said();
    (talk, salt_of(&greeting))
}

fn salt_of(greeting: &[u8]) -> [u8; 20] {
    let version = greeting[5..].iter().position(|&b| b == 0).unwrap() + 6;
    let mut salt = greeting[version + 4..version + 12].to_vec();
    salt.extend(&greeting[version + 31..version + 43]);
    salt.try_into().unwrap()
}

/// What the client sends for `password`.
pub(super) fn scramble(password: &str, salt: &[u8; 20]) -> [u8; 20] {
    let once: [u8; 20] = Sha1::digest(password).into();
    let twice: [u8; 20] = Sha1::digest(once).into();
    let mut mixed: [u8; 20] = Sha1::new()
        .chain_update(salt)
        .chain_update(twice)
        .finalize()
        .into();
    for (m, o) in mixed.iter_mut().zip(once) {
        *m ^= o;
    }
    mixed
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A client's `packet` is refused with this, and the connection is closed.
fn refused(bytes: &[u8], answer: &[u8]) {
    let (mut talk, _) = talk();
    assert_eq!(
        shown(&talk.say(bytes)),
        shown(answer),
        "to {}",
        shown(bytes)
    );
    assert!(talk.is_closed());
}

/// The packet that denies `user` access.
fn denied(sequence: u8, user: &str, given: &str) -> Vec<u8> {
    let text = format!("'{user}'@'192.0.2.10' (using password: {given})");
    let body = [
        b"\xff\x15\x04#28000Access denied for user ",
        text.as_bytes(),
    ]
    .concat();
    packet(sequence, &body)
}

const BAD: &[u8] = b"\x16\0\0\x02\xff\x13\x04#08S01Bad handshake";
const OLD_BAD: &[u8] = b"\x10\0\0\x02\xff\x13\x04Bad handshake";
const OUT_OF_ORDER: &[u8] = b"!\0\0\x01\xff\x84\x04#08S01Got packets out of order";

#[test]
fn holds_what_every_decoy_must() {
    suite::check(&KIND);
}

#[test]
fn the_greeting_is_mariadbs() {
    let greeting = Talk::new(&KIND).said();
    let salt = salt_of(&greeting);
    let mut wanted = b"\x64\0\0\0\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\0".to_vec();
    wanted.extend(&greeting[wanted.len()..wanted.len() + 4]);
    wanted.extend(&salt[..8]);
    wanted.extend(b"\0\xfe\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0");
    wanted.extend(&salt[8..]);
    wanted.extend(b"\0mysql_native_password\0");
    assert_eq!(shown(&greeting), shown(&wanted));
    assert!(salt.iter().all(|b| (b'!'..=b'~').contains(b)));
}

#[test]
fn connections_are_counted_from_a_number_of_the_birds_own() {
    let service = (KIND.build)(&serde_json::Map::new(), &Bird::sample()).unwrap();
    let thread = || {
        let greeting = Talk::of(&KIND, &service).said();
        u32::from_le_bytes(greeting[38..42].try_into().unwrap())
    };
    let first = thread();
    assert!((10..5_000).contains(&first));
    assert_eq!([thread(), thread()], [first + 1, first + 2]);
}

#[test]
fn a_wrong_password_is_seen_and_denied() {
    let (mut talk, salt) = talk();
    let hash = scramble("correct horse battery staple", &salt);
    let answer = talk.say(Hello::new("root").response(&hash).packet());
    assert_eq!(shown(&answer), shown(&denied(2, "root", "YES")));
    assert!(talk.is_closed());
    let event = json!({
        "USERNAME": "root", "CLIENT_HASH": hex::encode(hash), "SALT": hex::encode(salt),
        "PASSWORD": NOT_COMMON,
    });
    assert_eq!(talk.events(), [(8001, event)]);
}

fn password_seen(user: &str, password: &str) -> Value {
    let (mut talk, salt) = talk();
    let hash = scramble(password, &salt);
    talk.say(Hello::new(user).response(&hash).packet());
    talk.events()[0].1["PASSWORD"].clone()
}

#[test]
fn common_passwords_are_recovered() {
    for password in [
        "123456",
        "root",
        "Password1",
        "P@ssw0rd",
        "!QAZ2wsx",
        "admin2025",
        "toor",
    ] {
        assert_eq!(password_seen("app", password), password);
    }
    for password in ["shopdb", "Shopdb2024", "bdpohs", "shopdb@123"] {
        assert_eq!(password_seen("shopdb", password), password);
    }
    assert_eq!(password_seen("app", "xK9#vq"), NOT_COMMON);
}

#[test]
fn an_empty_password_is_known_and_told() {
    let (mut talk, _) = talk();
    let answer = talk.say(Hello::new("root").response(b"").packet());
    assert_eq!(shown(&answer), shown(&denied(2, "root", "NO")));
    let (_, event) = talk.events().remove(0);
    assert_eq!(
        (&event["CLIENT_HASH"], &event["PASSWORD"]),
        (&json!(""), &json!(""))
    );
}

#[test]
fn other_methods_are_switched_to_the_native_one() {
    for (method, first) in [
        ("caching_sha2_password", &[7; 32][..]),
        ("client_ed25519", &[7; 64]),
        ("dialog", b""),
        ("", &[7; 20]),
    ] {
        let (mut talk, salt) = talk();
        let hello = Hello::new("root")
            .response(first)
            .rest(format!("{method}\0"));
        let wanted = [&b",\0\0\x02\xfemysql_native_password\0"[..], &salt, b"\0"].concat();
        assert_eq!(shown(&talk.say(hello.packet())), shown(&wanted), "{method}");
        assert!(!talk.is_closed() && talk.events().is_empty());
        let hash = scramble("letmein", &salt);
        assert_eq!(
            shown(&talk.say(packet(3, &hash))),
            shown(&denied(4, "root", "YES"))
        );
        assert!(talk.is_closed());
        assert_eq!(talk.events()[0].1["PASSWORD"], "letmein");
        assert_eq!(talk.events()[0].1["CLIENT_HASH"], hex::encode(hash));
    }
}

#[test]
fn without_secure_connection_every_named_method_is_switched() {
    for rest in ["mysql_native_password\0", ""] {
        let hello = Hello::new("root").response(b"abc").rest(rest);
        let (mut talk, _) = talk();
        let answer = talk.say(hello.without(SECURE_CONNECTION).packet());
        assert_eq!(&answer[3..5], b"\x02\xfe");
        assert!(!talk.is_closed());
    }
}

#[test]
fn after_the_switch_every_answer_has_its_reply() {
    let after = |bytes: &[u8]| {
        let (mut talk, _) = talk();
        talk.say(Hello::new("root").rest("caching_sha2_password\0").packet());
        let answer = talk.say(bytes);
        assert!(talk.is_closed());
        assert_eq!(talk.events().len(), 1);
        shown(&answer)
    };
    assert_eq!(after(&packet(3, b"")), shown(&denied(4, "root", "NO")));
    let bad = shown(b"\x16\0\0\x04\xff\x13\x04#08S01Bad handshake");
    for odd in [&b"\0"[..], b"abc", &[b'a'; 21]] {
        assert_eq!(after(&packet(3, odd)), bad);
    }
    let order = shown(b"!\0\0\x03\xff\x84\x04#08S01Got packets out of order");
    assert_eq!(after(&packet(0, b"\x03select 1")), order);
    assert_eq!(after(&packet(5, &[b'a'; 20])), order);
}

#[test]
fn a_client_that_gives_up_after_the_switch_is_still_seen() {
    let (mut talk, _) = talk();
    talk.say(Hello::new("root").rest("caching_sha2_password\0").packet());
    assert_eq!(talk.end(), b"");
    assert_eq!(talk.events()[0].1["USERNAME"], "root");
    let (mut talk, _) = self::talk();
    talk.say(Hello::new("root").rest("caching_sha2_password\0").packet());
    assert_eq!(talk.advance(CONNECT_TIMEOUT), b"");
    assert!(talk.is_closed() && talk.events().len() == 1);
}

#[test]
fn a_password_sent_in_the_clear_is_kept() {
    let (mut talk, _) = talk();
    let hello = Hello::new("root")
        .response(b"S3cret\0")
        .rest("mysql_clear_password\0");
    talk.say(hello.packet());
    talk.end();
    assert_eq!(talk.events()[0].1["PASSWORD"], "S3cret");
}

#[test]
fn the_method_from_before_4_1_is_refused() {
    const TEXT: &[u8] = b"Client does not support authentication protocol requested by server; consider upgrading MariaDB client";
    let today = [b"o\0\0\x02\xff\xe3\x04#08004", TEXT].concat();
    let hello = Hello::new("root").response(b"12345678\0");
    refused(&hello.clone().rest("mysql_old_password\0").packet(), &today);
    let bare = hello.response(b"12345678").rest("");
    refused(
        &bare.without(SECURE_CONNECTION | PLUGIN_AUTH).packet(),
        &today,
    );
    let then = [b"i\0\0\x02\xff\xe3\x04", TEXT].concat();
    refused(&old_hello(1, b"root\0abcdefgh\0"), &then);
    refused(&old_hello(9, b"root\0abcdefgh\0x\0"), &then);
}

#[test]
fn the_protocol_from_before_4_1_has_errors_without_state() {
    let denied = |user: &str, given: &str| {
        let text =
            format!("Access denied for user '{user}'@'192.0.2.10' (using password: {given})");
        packet(2, &[b"\xff\x15\x04", text.as_bytes()].concat())
    };
    refused(&old_hello(1, b"root\0\0"), &denied("root", "NO"));
    refused(&old_hello(1, b"root\0"), &denied("root", "NO"));
    refused(&old_hello(1, b"\0"), &denied("", "NO"));
    let secure = [&b"root\0\x14"[..], &[b'x'; 20]].concat();
    refused(&old_hello(0x8001, &secure), &denied("root", "YES"));
    refused(&old_hello(0x8001, b"root\0abcdefghijklmnopqrst\0"), OLD_BAD);
    refused(&old_hello(0x8001, b"root\0\x05xxxxx"), OLD_BAD);
    refused(&old_hello(1, b""), OLD_BAD);
    refused(&old_hello(1, b"root"), OLD_BAD);
    refused(
        &old_hello(9, b"root\0\0\xff\0"),
        b"+\0\0\x02\xff\x14\x05Invalid utf8mb4 character string: '\\xFF'",
    );
}

#[test]
fn what_is_cut_short_is_a_bad_handshake() {
    for start in [&b""[..], b"\x01", b"\x85", b"\x01\x02", b"\x03select 1"] {
        refused(&packet(1, start), BAD);
    }
    for start in [&b"\x01\0"[..], b"\x01\0\0\0", b"\x01\0\0\0\0"] {
        refused(&packet(1, start), OLD_BAD);
    }
    // A request for TLS is a response that ends after 32 bytes; Debian's server has no TLS.
    let whole = Hello::new("root").with(0x800).body();
    refused(&packet(1, &whole[..32]), BAD);
    for end in [1, 4, 8, 20, 31, 33, 36, 37, 40, 57] {
        refused(&packet(1, &whole[..end]), BAD);
    }
    refused(&packet(1, &whole), &denied(2, "root", "YES"));
}

#[test]
fn a_response_of_the_wrong_length_is_a_bad_handshake() {
    for length in [1, 8, 19, 21, 250] {
        refused(&Hello::new("root").response(&vec![7; length]).packet(), BAD);
    }
}

#[test]
fn packets_out_of_order_are_told() {
    let mut hello = Hello::new("root").packet();
    for sequence in [0, 2, 255] {
        hello[3] = sequence;
        refused(&hello, OUT_OF_ORDER);
    }
    for other in [
        &b"\x01\0\0\0\x01"[..],    // COM_QUIT
        b"\x09\0\0\0\x03select 1", // COM_QUERY
        b"GET / HTTP/1.0\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\0\xc8\x01", // TLS
        &[0; 100],
        &[0xff; 100],
    ] {
        refused(other, OUT_OF_ORDER);
    }
}

#[test]
fn proxy_headers_are_not_accepted() {
    let answer = packet(
        1,
        b"\xffj\x04#HY000Proxy header is not accepted from 192.0.2.10",
    );
    refused(b"PROX", &answer);
    refused(b"\r\n\r\n", &answer);
}

#[test]
fn length_encoded_responses_are_read() {
    let hello = |length: &[u8]| {
        let mut body = Hello::new("root").with(LENENC_DATA).body();
        body.splice(37..38, length.iter().copied());
        packet(1, &body)
    };
    let yes = denied(2, "root", "YES");
    for length in [
        &b"\x14"[..],
        b"\xfc\x14\0",
        b"\xfd\x14\0\0",
        b"\xfe\x14\0\0\0\0\0\0\0",
    ] {
        refused(&hello(length), &yes);
    }
    for length in [
        &b"\xfb"[..],
        b"\xff",
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xfc\xff\xff",
    ] {
        refused(&hello(length), BAD);
    }
}

#[test]
fn database_method_and_attributes_may_follow() {
    let hello = Hello::new("root");
    let yes = denied(2, "root", "YES");
    let native = "mysql_native_password\0";
    let database = hello.clone().with(CONNECT_WITH_DB);
    refused(
        &database.clone().rest(format!("test\0{native}")).packet(),
        &yes,
    );
    refused(&database.clone().rest("test").packet(), &yes);
    refused(&database.clone().rest("").packet(), BAD);
    refused(&hello.clone().rest("").packet(), &yes);
    refused(&hello.clone().rest("MYSQL_native_PASSWORD").packet(), &yes);
    let attributes = hello.with(CONNECT_ATTRS);
    refused(
        &attributes
            .clone()
            .rest(format!("{native}\x08\x03_os\x03win"))
            .packet(),
        &yes,
    );
    refused(
        &attributes.clone().rest(format!("{native}\0")).packet(),
        &yes,
    );
    for bad in [&b""[..], b"\xff\x01", b"\x30\x03abc", b"\xfb"] {
        let rest = [native.as_bytes(), bad].concat();
        refused(&attributes.clone().rest(rest).packet(), BAD);
    }
    refused(
        &database.clone().rest(b"ok\xe9x\\y\0").packet(),
        b"6\0\0\x02\xff\x14\x05#HY000Invalid utf8mb4 character string: 'ok\\xE9x\\y'",
    );
    refused(&database.collation(8).rest(b"\xe9\0").packet(), &yes);
}

#[test]
fn names_are_repeated_as_the_server_repeats_them() {
    for (user, repeated) in [
        ("nosuch", "nosuch"),
        ("", ""),
        ("a'b", "a'b"),
        ("'root'", "root"),
        ("''", ""),
        ("'", "'"),
        ("'a", "'a"),
        ("jörg", "jörg"),
        ("%s%n%d", "%s%n%d"),
        (
            "a\n\t\r\u{1}\u{b}\u{1f}\u{7f}",
            "a\n\t\r\\0001\\000B\\001F\\007F",
        ),
        ("a\u{85}\u{200b}\u{1f600}b", "a\\0085\u{200b}?b"),
    ] {
        refused(&Hello::new(user).packet(), &denied(2, repeated, "YES"));
    }
    refused(&Hello::new(b"\xff\xfe").packet(), &denied(2, "??", "YES"));
    let narrow = Hello::new("a\u{1f600}b").collation(33);
    refused(&narrow.packet(), &denied(2, "a????b", "YES"));
    let latin = Hello::new(b"j\xf6rg").collation(8);
    let answer = b"H\0\0\x02\xff\x15\x04#28000Access denied for user 'j\xf6rg'@'192.0.2.10' (using password: YES)";
    refused(&latin.packet(), &[b"I", &answer[1..]].concat());
    let long = Hello::new("é".repeat(130));
    refused(&long.packet(), &denied(2, &"é".repeat(128), "YES"));
}

#[test]
fn character_sets_that_no_client_may_use_are_told() {
    for (collation, name) in [
        (35, "ucs2"),
        (90, "ucs2"),
        (54, "utf16"),
        (101, "utf16"),
        (56, "utf16le"),
        (60, "utf32"),
        (160, "utf32"),
    ] {
        let text =
            format!("#42000Variable 'character_set_client' can't be set to the value of '{name}'");
        let answer = packet(2, &[b"\xff\xcf\x04", text.as_bytes()].concat());
        refused(&Hello::new("root").collation(collation).packet(), &answer);
    }
    for collation in [0, 1, 8, 33, 63, 255] {
        refused(
            &Hello::new("root").collation(collation).packet(),
            &denied(2, "root", "YES"),
        );
    }
}

#[test]
fn the_peer_is_named_without_its_ipv6_wrapping() {
    let context = Context {
        peer: "[::ffff:192.0.2.77]:4000".parse().unwrap(),
        ..Context::sample()
    };
    let service = (KIND.build)(&serde_json::Map::new(), &Bird::sample()).unwrap();
    let Some(coalmine_core::decoy::Tcp::Sessions(sessions)) = service.tcp else {
        panic!("TCP sessions")
    };
    let mut talk = Talk::open(sessions.as_ref(), &context, KIND.limits.input);
    talk.said();
    let answer = talk.say(Hello::new("root").packet());
    assert!(
        answer.windows(11).any(|w| w == b"@'192.0.2.7"),
        "{}",
        shown(&answer)
    );
}

#[test]
fn long_packets_pass_by_without_being_kept() {
    let (mut talk, _) = talk();
    assert_eq!(talk.say(packet(1, &[b'A'; 20_000])), OLD_BAD);
    assert!(talk.is_closed());
    let body = [&TODAY.to_le_bytes()[..], &vec![b'A'; 1_200_000]].concat();
    let (mut talk, _) = self::talk();
    let whole = packet(1, &body);
    for piece in whole.chunks(4_096) {
        assert!(!talk.is_closed());
        let said = talk.say(piece);
        assert!(said.is_empty() || said == BAD);
    }
    assert!(talk.is_closed());
}

#[test]
fn nobody_waits_longer_than_ten_seconds() {
    let (mut talk, _) = talk();
    assert_eq!(talk.advance(Duration::from_secs(9)), b"");
    talk.say(b"\x50\0\0\x01aaa");
    assert!(!talk.is_closed());
    assert_eq!(talk.advance(Duration::from_secs(1)), b"");
    assert!(talk.is_closed());
}

#[test]
fn the_version_can_be_changed() {
    let mut talk = Talk::with(&KIND, &json!({"banner": "8.0.36"}));
    assert_eq!(&talk.said()[4..12], b"\x0a8.0.36\0");
}

#[test]
fn crackers_read_the_line() {
    assert_eq!(hashcat_line("2f3e", "aabb"), "$mysqlna$2f3e*aabb");
}

/// A version's text brings its server's abilities, default method and words along.
#[test]
fn mysql_s_own_versions_are_whole() {
    for (banner, abilities, method) in [
        (
            "5.7.44-log",
            &b"\xff\xf7\x08\x02\0\xff\x81\x15"[..],
            "mysql_native_password",
        ),
        (
            "8.0.36-0ubuntu0.22.04.1",
            b"\xff\xf7\xff\x02\0\xff\xdf\x15",
            "caching_sha2_password",
        ),
    ] {
        let mut talk = Talk::with(&KIND, &json!({"banner": banner}));
        let greeting = talk.said();
        let salt = salt_of(&greeting);
        let after = 5 + banner.len() + 1 + 4 + 8 + 1;
        assert_eq!(greeting[after..after + 8], *abilities);
        assert_eq!(greeting[after + 8..after + 18], [0; 10]);
        assert!(greeting.ends_with(format!("\0{method}\0").as_bytes()));
        // Clients of today begin with MySQL 8's method and are switched, as for old accounts.
        let hello = Hello::new("root")
            .response(&[7; 32])
            .rest("caching_sha2_password\0");
        assert_eq!(talk.say(hello.packet())[3..5], *b"\x02\xfe");
        let hash = scramble("letmein", &salt);
        assert_eq!(
            shown(&talk.say(packet(3, &hash))),
            shown(&denied(4, "root", "YES"))
        );
        assert_eq!(talk.events()[0].1["PASSWORD"], "letmein");
        let mut talk = Talk::with(&KIND, &json!({"banner": banner}));
        talk.said();
        let old = Hello::new("root")
            .response(b"12345678\0")
            .rest("mysql_old_password\0");
        assert!(
            talk.say(old.packet())
                .ends_with(b"consider upgrading MySQL client")
        );
    }
}
