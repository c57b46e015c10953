//! MySQL's protocol as MariaDB 10.11 of Debian 12 speaks it until the login fails.
//!
//! Greeting, error packets and their order were recorded from the Debian package with its own
//! configuration, which has no TLS. Packets: four bytes of length and sequence number, then the
//! body (MariaDB Knowledge Base, "Clients and the server protocol").

mod recover;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::one_line;
use coalmine_core::text::printable;
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp};

use recover::Searches;

/// Longest packet that is read as a login, in bytes; longer ones are skipped and refused.
const MAX_PACKET: usize = 16 * 1024;
/// Longest user name, in characters.
const MAX_USER: usize = 128;
/// Longest piece of a database name that an error repeats, in bytes.
const MAX_REPEATED: usize = 128;
/// `connect_timeout`: time for one packet of the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const NATIVE: &[u8] = b"mysql_native_password";
const OLD: &[u8] = b"mysql_old_password";
const NOT_COMMON: &str = "<Password not in common list>";

/// MySQL server.
pub static KIND: DecoyKind = DecoyKind {
    id: "mysql",
    title: "MySQL server",
    doc: "Pretends to be MariaDB 10.11 on Debian.\nCaptures user names, and passwords as salted hashes; common passwords are recovered.",
    transports: &[Transport::Tcp],
    port: 3306,
    instances: false,
    tls: None,
    events: &[MysqlLogin::KIND],
    settings: MysqlSettings::declared,
    build: |given, bird| {
        Ok(Service::sessions(Mysql {
            settings: MysqlSettings::parse(given)?,
            searches: Arc::default(),
            next_thread: AtomicU32::new(
                u32::try_from(bird.seed.number("mysql thread", 10, 5_000)).unwrap_or(10),
            ),
        }))
    },
    limits: Limits::LOGIN
        .input(MAX_PACKET + 4096)
        .idle(Duration::from_secs(30)),
    poke: Poke::Script(&[
        Step::Expect(NATIVE),
        // Handshake response of user `root` without a password.
        Step::Send(
            b"\x3c\x00\x00\x01\x05\xa6\x08\x00\x00\x00\x00\x01\x2d\
              \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0root\0\0mysql_native_password\0",
        ),
        Step::Expect(b"#28000Access denied for user 'root'@"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the MySQL decoy.
    pub struct MysqlSettings {
        /// Version text of the greeting.
        /// MariaDB puts `5.5.5-` before its own, so that old clients take it for MySQL.
        /// The rest follows it: `5.7.x` and `8.x` are MySQL, with its abilities and methods.
        banner: String => "banner" = "5.5.5-10.11.19-MariaDB-0+deb12u1".to_owned(), one_line;
    }
}

coalmine_core::event! {
    /// Somebody tried to log in to the MySQL server.
    pub struct MysqlLogin: "mysqllogin", "MySQL Login Attempt", [8001 ""] {
        /// As the client sent it.
        username: String => "USERNAME" = "root",
        /// What the client sent for the password, in hex; mostly SHA-1 based on `SALT`.
        client_hash: String => "CLIENT_HASH" = "8f9e3f4b0e9a4f5b6c7d8e9f0a1b2c3d4e5f6071",
        /// The 20 bytes that the server asked to be mixed in, in hex.
        salt: String => "SALT" = "3f5b2a7e415d6c3a2f4e5b7c213a4d5e6f702173",
        /// The password where it's a common one, else `<Password not in common list>`.
        password: String => "PASSWORD" = "123456",
    }
}

/// A captured login as `hashcat` (mode 11200) and `john` (format `mysqlna`) take it.
///
/// Both arguments are hex, as in the event.
pub fn hashcat_line(salt_hex: &str, hash_hex: &str) -> String {
    format!("$mysqlna${salt_hex}*{hash_hex}")
}

struct Mysql {
    settings: MysqlSettings,
    searches: Arc<Searches>,
    /// Connection number of the next session; real servers count every connection.
    next_thread: AtomicU32,
}

impl Sessions for Mysql {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        // Printable, as the server makes it.
        let salt = context
            .seed
            .take::<20>("mysql salt")
            .map(|byte| b'!'.saturating_add(byte % 94));
        let thread = self.next_thread.fetch_add(1, Ordering::Relaxed);
        out.send(greeting(&self.settings.banner, thread, &salt));
        out.read_until(CONNECT_TIMEOUT);
        Box::new(MysqlSession {
            salt,
            searches: Arc::clone(&self.searches),
            persona: Persona::of(&self.settings.banner),
            peer: context.peer.ip().to_canonical(),
            stage: Stage::Response,
            packet_from: context.now,
        })
    }
}

/// The initial handshake packet, version 10.
fn greeting(version: &str, thread: u32, salt: &[u8; 20]) -> Vec<u8> {
    let (head, tail) = salt.split_at(8);
    let mut body = vec![10];
    body.extend(version.bytes());
    body.push(0);
    body.extend(thread.to_le_bytes());
    body.extend(head);
    body.push(0);
    let persona = Persona::of(version);
    body.extend(persona.abilities);
    body.extend(tail);
    body.push(0);
    body.extend(persona.method);
    body.push(0);
    packet(0, &body)
}

/// What a version's server says of itself, from Debian's MariaDB 10.11 and MySQL's manual.
#[derive(Clone, Copy)]
struct Persona {
    name: &'static str,
    /// Capabilities without TLS, the server's collation, autocommit, more capabilities, length of
    /// the salt with its zero, ten bytes of which MariaDB uses the last four.
    abilities: &'static [u8; 18],
    /// The default authentication method.
    method: &'static [u8],
}

impl Persona {
    fn of(version: &str) -> Self {
        if version.contains("MariaDB") {
            return Self {
                name: "MariaDB",
                // utf8mb4_general_ci
                abilities: b"\xfe\xf7\x2d\x02\x00\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0",
                method: NATIVE,
            };
        }
        let major: Option<u32> = version.split('.').next().and_then(|n| n.parse().ok());
        if major.is_some_and(|major| major >= 8) {
            return Self {
                name: "MySQL",
                // utf8mb4_0900_ai_ci
                abilities: b"\xff\xf7\xff\x02\x00\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0",
                method: b"caching_sha2_password",
            };
        }
        Self {
            name: "MySQL",
            // latin1_swedish_ci
            abilities: b"\xff\xf7\x08\x02\x00\xff\x81\x15\0\0\0\0\0\0\0\0\0\0",
            method: NATIVE,
        }
    }
}

/// `body` with its header.
fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
    let mut packet = Vec::with_capacity(body.len().saturating_add(4));
    packet.extend(length.iter().take(3));
    packet.push(sequence);
    packet.extend(body);
    packet
}

struct MysqlSession {
    salt: [u8; 20],
    searches: Arc<Searches>,
    persona: Persona,
    peer: IpAddr,
    stage: Stage,
    /// When the wait for the current packet began.
    packet_from: Timestamp,
}

enum Stage {
    /// The client's handshake response comes next.
    Response,
    /// The client was asked to use the native method.
    Switched(Login),
    /// A packet longer than any login is passing by.
    Skipping { left: usize, then: Refusal },
}

impl Session for MysqlSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        if let Stage::Skipping { left, then } = &mut self.stage {
            let gone = input.len().min(*left);
            *left = left.saturating_sub(gone);
            if *left == 0 {
                then.tell(2, out);
                out.close();
            } else {
                out.read_until(self.packet_from.plus(CONNECT_TIMEOUT).since(now));
            }
            return Ok(gone);
        }
        let expected = match self.stage {
            Stage::Switched(_) => 3,
            _ => 1,
        };
        let more = self.packet_from.plus(CONNECT_TIMEOUT).since(now);
        let Some((header, rest)) = input.split_first_chunk::<4>() else {
            out.read_until(more);
            return Ok(0);
        };
        if expected == 1 && matches!(header, b"\r\n\r\n" | b"PROX") {
            let text = format!("Proxy header is not accepted from {}", self.peer);
            Refusal::new(1130, "HY000", text).tell(1, out);
            return Err(Broken);
        }
        let [a, b, c, sequence] = *header;
        if sequence != expected {
            self.give_up(now, out);
            Refusal::new(1156, "08S01", "Got packets out of order").tell(expected, out);
            return Err(Broken);
        }
        let Ok(length) = usize::try_from(u32::from_le_bytes([a, b, c, 0])) else {
            return Err(Broken);
        };
        if length > MAX_PACKET {
            let Some(start) = rest.first_chunk::<2>() else {
                out.read_until(more);
                return Ok(0);
            };
            self.give_up(now, out);
            let then = if length == 0xff_ffff {
                let text = "Got a packet bigger than 'max_allowed_packet' bytes";
                Refusal::new(1153, "08S01", text)
            } else {
                Refusal::bad_handshake(speaks_41(*start))
            };
            self.stage = Stage::Skipping { left: length, then };
            out.read_until(more);
            return Ok(4);
        }
        let Some(body) = rest.get(..length) else {
            out.read_until(more);
            return Ok(0);
        };
        self.packet_from = now;
        let stage = std::mem::replace(&mut self.stage, Stage::Response);
        match stage {
            Stage::Switched(login) => self.switched(&login, body, now, out),
            _ => self.response(body, now, out),
        }
        Ok(length.saturating_add(4))
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        self.give_up(now, out);
        out.close();
    }

    fn end(&mut self, now: Timestamp, out: &mut Out) {
        self.give_up(now, out);
        out.close();
    }
}

impl MysqlSession {
    /// The client's first packet.
    fn response(&mut self, body: &[u8], now: Timestamp, out: &mut Out) {
        let login = match Login::parse(body) {
            Ok(login) => login,
            Err(refusal) => {
                refusal.tell(2, out);
                out.close();
                return;
            }
        };
        let method = match &login.method {
            Some(name) if name.eq_ignore_ascii_case(NATIVE) && login.secure => Method::Native,
            Some(name) if name.eq_ignore_ascii_case(OLD) => Method::Old,
            Some(_) => Method::Other,
            None if login.secure || login.response.is_empty() => Method::Native,
            None => Method::Old,
        };
        match method {
            Method::Native => {
                self.see(&login, &login.response, now, out);
                self.refuse(&login, &login.response, 2, out);
            }
            Method::Old => {
                self.see(&login, &login.response, now, out);
                let text = format!(
                    "Client does not support authentication protocol requested by server; \
                     consider upgrading {} client",
                    self.persona.name
                );
                Refusal::new(1251, "08004", text)
                    .in_protocol(login.is_41)
                    .tell(2, out);
                out.close();
            }
            Method::Other => {
                let mut body = vec![0xfe];
                body.extend(NATIVE);
                body.push(0);
                body.extend(self.salt);
                body.push(0);
                out.send(packet(2, &body));
                out.read_until(CONNECT_TIMEOUT);
                self.stage = Stage::Switched(login);
            }
        }
    }

    /// The answer to the request to use the native method.
    fn switched(&self, login: &Login, body: &[u8], now: Timestamp, out: &mut Out) {
        self.see(login, body, now, out);
        self.refuse(login, body, 4, out);
    }

    /// Nobody is let in, each for the right reason.
    fn refuse(&self, login: &Login, response: &[u8], sequence: u8, out: &mut Out) {
        let refusal = match response.len() {
            0 | 20 => {
                let mut text = b"Access denied for user '".to_vec();
                text.extend(login.shown_user());
                let given = if response.is_empty() { "NO" } else { "YES" };
                text.extend(format!("'@'{}' (using password: {given})", self.peer).bytes());
                Refusal::new(1045, "28000", text).in_protocol(login.is_41)
            }
            _ => Refusal::bad_handshake(login.is_41),
        };
        refusal.tell(sequence, out);
        out.close();
    }

    /// Reports a login that stopped half-way, with what was sent so far.
    fn give_up(&mut self, now: Timestamp, out: &mut Out) {
        if let Stage::Switched(login) = std::mem::replace(&mut self.stage, Stage::Response) {
            self.see(&login, &login.response, now, out);
        }
    }

    fn see(&self, login: &Login, response: &[u8], now: Timestamp, out: &mut Out) {
        // A client talked into sending its password in the clear did so in its first packet.
        let clear = login
            .method
            .as_deref()
            .filter(|name| *name == b"mysql_clear_password")
            .map(|_| {
                login
                    .response
                    .strip_suffix(b"\0")
                    .unwrap_or(&login.response)
            });
        let username = printable(&login.user);
        let password = match (clear, <[u8; 20]>::try_from(response)) {
            (Some(clear), _) => printable(clear),
            (None, Ok(hash)) => {
                let found = self.searches.recover(&self.salt, &hash, &username, now);
                found.unwrap_or_else(|| NOT_COMMON.to_owned())
            }
            (None, Err(_)) if response.is_empty() => String::new(),
            (None, Err(_)) => NOT_COMMON.to_owned(),
        };
        out.see(&MysqlLogin {
            username,
            client_hash: hex::encode(response),
            salt: hex::encode(self.salt),
            password,
        });
    }
}

enum Method {
    Native,
    /// The one from before MySQL 4.1.
    Old,
    Other,
}

/// An error packet that ends the connection.
struct Refusal {
    code: u16,
    /// Five characters; not sent in the protocol from before MySQL 4.1.
    state: Option<&'static str>,
    text: Vec<u8>,
}

impl Refusal {
    fn new(code: u16, state: &'static str, text: impl Into<Vec<u8>>) -> Self {
        Self {
            code,
            state: Some(state),
            text: text.into(),
        }
    }

    fn bad_handshake(is_41: bool) -> Self {
        Self::new(1043, "08S01", "Bad handshake").in_protocol(is_41)
    }

    fn in_protocol(self, is_41: bool) -> Self {
        Self {
            state: self.state.filter(|_| is_41),
            ..self
        }
    }

    fn tell(&self, sequence: u8, out: &mut Out) {
        let mut body = vec![0xff];
        body.extend(self.code.to_le_bytes());
        if let Some(state) = self.state {
            body.push(b'#');
            body.extend(state.bytes());
        }
        body.extend(&self.text);
        out.send(packet(sequence, &body));
    }
}

// Capabilities of the client (`CLIENT_*`).
const CONNECT_WITH_DB: u32 = 0x8;
const PROTOCOL_41: u32 = 0x200;
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x8_0000;
const CONNECT_ATTRS: u32 = 0x10_0000;
const LENENC_DATA: u32 = 0x20_0000;

/// Whether the first two bytes of a response say that it's in the protocol since MySQL 4.1.
fn speaks_41(start: [u8; 2]) -> bool {
    u32::from(u16::from_le_bytes(start)) & PROTOCOL_41 != 0
}

/// A client's handshake response, as far as it matters.
struct Login {
    is_41: bool,
    secure: bool,
    charset: Charset,
    user: Vec<u8>,
    response: Vec<u8>,
    /// Name of the authentication method, if the client gave one.
    method: Option<Vec<u8>>,
}

impl Login {
    /// Reads the response in the order of the real server, whose errors depend on it.
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let start = *body
            .first_chunk::<2>()
            .ok_or_else(|| Refusal::bad_handshake(true))?;
        let is_41 = speaks_41(start);
        let bad = || Refusal::bad_handshake(is_41);
        let (capabilities, charset, rest) = if is_41 {
            // Capabilities, longest packet, collation, 23 bytes of nothing.
            let (fixed, rest) = body.split_first_chunk::<32>().ok_or_else(bad)?;
            let capabilities = fixed.first_chunk::<4>().ok_or_else(bad)?;
            let collation = fixed.get(8).copied().unwrap_or_default();
            let charset = Charset::of(collation).map_err(|name| {
                let text = format!(
                    "Variable 'character_set_client' can't be set to the value of '{name}'"
                );
                Refusal::new(1231, "42000", text)
            })?;
            (u32::from_le_bytes(*capabilities), charset, rest)
        } else {
            let (_, rest) = body.split_first_chunk::<5>().ok_or_else(bad)?;
            (u16::from_le_bytes(start).into(), Charset::Utf8mb4, rest)
        };
        let has = |flag| capabilities & flag != 0;
        let secure = has(SECURE_CONNECTION);

        let zero = rest.iter().position(|&b| b == 0).ok_or_else(bad)?;
        let (user, rest) = rest.split_at(zero);
        let mut rest = rest.get(1..).unwrap_or_default();
        let response = if secure {
            let length = if has(LENENC_DATA) {
                length_encoded(&mut rest)
            } else {
                let (length, after) = rest.split_first().ok_or_else(bad)?;
                rest = after;
                Some(usize::from(*length))
            };
            let (response, after) = length
                .and_then(|length| rest.split_at_checked(length))
                .ok_or_else(bad)?;
            rest = after;
            response
        } else {
            zero_terminated(&mut rest)
        };
        if has(CONNECT_WITH_DB) {
            if rest.is_empty() {
                return Err(bad());
            }
            charset
                .check(zero_terminated(&mut rest))
                .map_err(|refusal| refusal.in_protocol(is_41))?;
        }
        // Behind a response with a zero at its end the server always finds a name, if an empty one.
        let named = !rest.is_empty() || (!secure && body.ends_with(&[0]));
        let method = (has(PLUGIN_AUTH) && named).then(|| zero_terminated(&mut rest).to_vec());
        if has(CONNECT_ATTRS) {
            let length = length_encoded(&mut rest).ok_or_else(bad)?;
            rest.get(..length).ok_or_else(bad)?;
        }
        let user = user
            .strip_prefix(b"'")
            .and_then(|user| user.strip_suffix(b"'"))
            .unwrap_or(user);
        Ok(Self {
            is_41,
            secure,
            charset,
            user: user.to_vec(),
            response: response.to_vec(),
            method,
        })
    }

    /// The user name as error messages repeat it: unknown characters as `?`, control characters
    /// as `\` and four hex digits.
    fn shown_user(&self) -> Vec<u8> {
        let mut shown = Vec::new();
        for letter in self.charset.letters(&self.user).take(MAX_USER) {
            match letter {
                Letter::Char(c @ ('\t' | '\n' | '\r')) => shown.extend(c.to_string().bytes()),
                Letter::Char(c) if c.is_control() => {
                    shown.extend(format!("\\{:04X}", u32::from(c)).bytes());
                }
                // Messages are made in three-byte UTF-8.
                Letter::Char(c) if c.len_utf8() > 3 => shown.push(b'?'),
                Letter::Char(c) => shown.extend(c.to_string().bytes()),
                Letter::Byte(byte) => shown.push(byte),
                Letter::Bad(_) => shown.push(b'?'),
            }
        }
        shown
    }
}

/// An integer of one to nine bytes, taken from the front of `rest`.
fn length_encoded(rest: &mut &[u8]) -> Option<usize> {
    let (first, after) = rest.split_first()?;
    let width = match first {
        0xfb | 0xff => return None,
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => {
            *rest = after;
            return Some(usize::from(*small));
        }
    };
    let (number, after) = after.split_at_checked(width)?;
    *rest = after;
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(number) {
        *to = *from;
    }
    usize::try_from(u64::from_le_bytes(bytes)).ok()
}

/// Bytes up to a zero or the end, taken from the front of `rest`.
fn zero_terminated<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let all = *rest;
    let end = all.iter().position(|&b| b == 0).unwrap_or(all.len());
    let (text, after) = all.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    text
}

/// How the client says that it writes text.
#[derive(Clone, Copy)]
enum Charset {
    Utf8mb4,
    /// UTF-8 without four-byte characters.
    Utf8mb3,
    /// A byte is a character, or near enough.
    Bytes,
}

/// A piece of text.
enum Letter {
    Char(char),
    Byte(u8),
    /// Part of no character.
    Bad(u8),
}

impl Charset {
    /// By number of a collation; the name of the character set where no client may use it.
    fn of(collation: u8) -> Result<Self, &'static str> {
        match collation {
            35 | 90 | 128..=151 | 159 => Err("ucs2"),
            54 | 55 | 101..=124 => Err("utf16"),
            56 | 62 => Err("utf16le"),
            60 | 61 | 160..=183 => Err("utf32"),
            33 | 76 | 83 | 192..=215 | 223 => Ok(Self::Utf8mb3),
            // An unknown number means the server's own.
            0 | 45 | 46 | 224.. => Ok(Self::Utf8mb4),
            _ => Ok(Self::Bytes),
        }
    }

    fn letters(self, text: &[u8]) -> impl Iterator<Item = Letter> {
        let (utf8, bytes) = match self {
            Self::Bytes => (&[][..], text),
            _ => (text, &[][..]),
        };
        let narrow = matches!(self, Self::Utf8mb3);
        let utf8 = utf8.utf8_chunks().flat_map(move |chunk| {
            let good = chunk.valid().chars().flat_map(move |c| {
                let whole = !narrow || c.len_utf8() < 4;
                let mut buffer = [0; 4];
                let encoded = c.encode_utf8(&mut buffer).as_bytes().to_vec();
                let torn = encoded.into_iter().map(Letter::Bad);
                let (whole, torn) = if whole {
                    (Some(Letter::Char(c)), None)
                } else {
                    (None, Some(torn))
                };
                whole.into_iter().chain(torn.into_iter().flatten())
            });
            good.chain(chunk.invalid().iter().copied().map(Letter::Bad))
        });
        let bytes = bytes.iter().map(|&byte| match byte {
            0..=0x7f => Letter::Char(char::from(byte)),
            _ => Letter::Byte(byte),
        });
        utf8.chain(bytes)
    }

    /// Whether the name of a database is text at all.
    fn check(self, name: &[u8]) -> Result<(), Refusal> {
        let set = match self {
            Self::Utf8mb4 => "utf8mb4",
            Self::Utf8mb3 => "utf8mb3",
            Self::Bytes => return Ok(()),
        };
        if !self.letters(name).any(|l| matches!(l, Letter::Bad(_))) {
            return Ok(());
        }
        let mut shown = String::new();
        for letter in self.letters(name) {
            match letter {
                Letter::Char(c) => shown.push(c),
                Letter::Byte(byte) | Letter::Bad(byte) => shown.push_str(&format!("\\x{byte:02X}")),
            }
            if shown.len() >= MAX_REPEATED {
                break;
            }
        }
        let text = format!("Invalid {set} character string: '{shown}'");
        Err(Refusal::new(1300, "HY000", text))
    }
}

#[cfg(test)]
mod tests;
