//! RFB (VNC) as TigerVNC 1.12 of Debian 12 speaks it until the login fails (RFC 6143 section 7.1).
//!
//! Answers, their order and the lock-out were recorded from the Debian package with a password file
//! and nothing but VNC authentication.

mod keys;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::any;
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp, passwords};
use keys::Keys;

/// Source addresses that are remembered as having failed.
const MAX_SOURCES: usize = 8 * 1024;
/// Unread input of one connection, in bytes.
const MAX_INPUT: usize = 4 * 1024;
/// A conversation that never ends is ended. The real server waits for ever.
const MAX_CONVERSATION: Duration = Duration::from_secs(600);

/// What every connection begins with: the newest version that's spoken.
const VERSION: &[u8] = b"RFB 003.008\n";
/// Security type of the challenge (RFC 6143 section 7.2.2).
const VNC_AUTHENTICATION: u8 = 2;
/// Pause before a failure is told.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// Connections from one address that are listened to.
const LOCK_OUT_AFTER: u32 = 5;
/// How long an address is locked out first; each time twice as long.
const FIRST_LOCK_OUT: Duration = Duration::from_secs(10);

const NOT_COMMON: &str = "<Password not in common list>";

/// VNC server.
pub static KIND: DecoyKind = DecoyKind {
    id: "vnc",
    title: "VNC server",
    doc: "Pretends to be TigerVNC 1.12 on Debian.\nCaptures passwords as challenge and response; common passwords are recovered.",
    transports: &[Transport::Tcp],
    port: 5900,
    instances: false,
    tls: None,
    events: &[VncLogin::KIND],
    settings: VncSettings::declared,
    build: |given, _| {
        let settings = VncSettings::parse(given)?;
        Ok(Service::sessions(Vnc {
            locks: settings.lockout.then(Arc::default),
        }))
    },
    limits: Limits {
        total: MAX_CONVERSATION,
        ..Limits::LOGIN.input(MAX_INPUT).idle(MAX_CONVERSATION)
    },
    poke: Poke::Script(&[
        Step::Expect(VERSION),
        Step::Send(VERSION),
        Step::Expect(&[1, VNC_AUTHENTICATION]),
        Step::Send(&[VNC_AUTHENTICATION]),
        Step::Drain,
        Step::Send(b"coalmine's poke!"),
        Step::Expect(b"\0\0\0\x01\0\0\0\x16Authentication failure"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the VNC decoy.
    pub struct VncSettings {
        /// Whether an address that connected five times is refused for ten seconds, then for twenty, and so on, as TigerVNC does.
        /// What it would have tried meanwhile isn't seen; turn it off to see whole lists of passwords.
        lockout: bool => "lockout" = true, any;
    }
}

coalmine_core::event! {
    /// Somebody tried to log in to the VNC server.
    pub struct VncLogin: "vnclogin", "VNC Login Attempt", [12001 ""] {
        /// The password where it's a common one, else `<Password not in common list>`.
        /// VNC uses the first eight characters alone, so these are all there are.
        password: String => "PASSWORD" = "password",
        /// The 16 bytes that the client was asked to encrypt with the password, in hex.
        server_challenge: String => "SERVER_CHALLENGE" = "5d3f0a1c7be2948866d10f3ac4957e2b",
        /// What the client made of them, in hex.
        client_response: String => "CLIENT_RESPONSE" = "c0ad11f27b3e85940d6fa3e8c1529b47",
    }
}

struct Vnc {
    locks: Option<Arc<Mutex<Locks>>>,
}

impl Sessions for Vnc {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        let admitted = self.locks.as_ref().is_none_or(|locks| {
            let mut locks = locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.admit(context.peer.ip().to_canonical(), context.now)
        });
        if admitted {
            out.send(VERSION);
        } else {
            // Security type 0 of protocol 3.3 is a failure.
            out.send(b"RFB 003.003\n\0\0\0\0");
            out.send(text("Too many security failures"));
            out.close();
        }
        Box::new(VncSession {
            challenge: context.seed.take("vnc challenge"),
            version: Version::V3,
            stage: Stage::Version,
            seen: false,
        })
    }
}

/// A text with its length.
fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or_default();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// Who connected how often. Success clears an address in the real server; here nobody succeeds.
#[derive(Default)]
struct Locks(HashMap<IpAddr, Marks>);

struct Marks {
    connections: u32,
    locked_until: Timestamp,
    next_lock: Duration,
}

impl Locks {
    /// Counts a connection from `source`; whether it's listened to. Connections that are refused
    /// neither count nor make the lock-out longer.
    fn admit(&mut self, source: IpAddr, now: Timestamp) -> bool {
        if self.0.len() >= MAX_SOURCES && !self.0.contains_key(&source) {
            self.0.retain(|_, marks| marks.locked_until > now);
            if self.0.len() >= MAX_SOURCES {
                self.0.clear();
            }
        }
        let marks = self.0.entry(source).or_insert(Marks {
            connections: 0,
            locked_until: now,
            next_lock: FIRST_LOCK_OUT,
        });
        marks.connections = marks.connections.saturating_add(1);
        if marks.connections < LOCK_OUT_AFTER {
            return true;
        }
        if now < marks.locked_until {
            return false;
        }
        marks.locked_until = now.plus(marks.next_lock);
        marks.next_lock = marks.next_lock.saturating_mul(2);
        true
    }
}

struct VncSession {
    challenge: [u8; 16],
    version: Version,
    stage: Stage,
    /// Whether the response has been reported.
    seen: bool,
}

/// What client and server speak.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    /// 3.3: the server chooses the security type.
    V3,
    /// 3.7: the client chooses.
    V7,
    /// 3.8: a failure has a reason.
    V8,
}

enum Stage {
    /// The client's version comes next.
    Version,
    /// Its security type comes next.
    Type,
    /// Its response comes next. What had come `early`, before the challenge was sent, is looked at
    /// only once more has come.
    Response { early: usize },
    /// It failed, and is told so at this time.
    Failed(Timestamp),
}

impl Session for VncSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        match self.stage {
            Stage::Version => {
                let Some((version, rest)) = input.split_first_chunk::<12>() else {
                    return Ok(0);
                };
                let (major, minor) = version_of(version).ok_or(Broken)?;
                if major != 3 {
                    let reason =
                        format!("Client needs protocol version {major}.{minor}, server has 3.8");
                    // No security types, as since 3.7.
                    out.send([0]);
                    out.send(text(&reason));
                    return Err(Broken);
                }
                self.version = match minor {
                    ..7 => Version::V3,
                    7 => Version::V7,
                    8.. => Version::V8,
                };
                if self.version == Version::V3 {
                    out.send([0, 0, 0, VNC_AUTHENTICATION]);
                    self.send_challenge(rest, out);
                } else {
                    out.send([1, VNC_AUTHENTICATION]);
                    self.stage = Stage::Type;
                }
                Ok(version.len())
            }
            Stage::Type => match input.split_first() {
                None => Ok(0),
                Some((&VNC_AUTHENTICATION, rest)) => {
                    self.send_challenge(rest, out);
                    Ok(1)
                }
                Some(_) => Err(Broken),
            },
            Stage::Response { early } => match input.first_chunk::<16>() {
                Some(response) if input.len() > early => {
                    self.see(response, out);
                    self.stage = Stage::Failed(now.plus(FAILURE_PAUSE));
                    out.read_until(FAILURE_PAUSE);
                    Ok(input.len())
                }
                _ => Ok(0),
            },
            Stage::Failed(when) => {
                out.read_until(when.since(now));
                Ok(input.len())
            }
        }
    }

    fn wake(&mut self, _now: Timestamp, out: &mut Out) {
        out.send([0, 0, 0, 1]);
        if self.version == Version::V8 {
            out.send(text("Authentication failure"));
        }
        out.close();
    }
}

impl VncSession {
    /// Asks for the password; `early` is what the client said already.
    fn send_challenge(&mut self, early: &[u8], out: &mut Out) {
        out.send(self.challenge);
        // A client that says all it has at once may never say more.
        if let Some(response) = early.first_chunk::<16>() {
            self.see(response, out);
        }
        self.stage = Stage::Response { early: early.len() };
    }

    fn see(&mut self, response: &[u8; 16], out: &mut Out) {
        if std::mem::replace(&mut self.seen, true) {
            return;
        }
        let password = recover(&self.challenge, response).unwrap_or(NOT_COMMON);
        out.see(&VncLogin {
            password: password.to_owned(),
            server_challenge: hex::encode(self.challenge),
            client_response: hex::encode(response),
        });
    }
}

/// The numbers in a client's version, read as C's `scanf("RFB %3d.%3d")` reads them.
fn version_of(version: &[u8; 12]) -> Option<(i32, i32)> {
    let (major, rest) = number(version.strip_prefix(b"RFB")?)?;
    let (minor, _) = number(rest.strip_prefix(b".")?)?;
    Some((major, minor))
}

/// An integer of up to three characters, sign included, behind any white space; and what follows.
fn number(text: &[u8]) -> Option<(i32, &[u8])> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = text.get(text.iter().take_while(|byte| is_space(byte)).count()..)?;
    let signed = matches!(text, [b'+' | b'-', ..]);
    let digits = text.iter().skip(usize::from(signed));
    let length = digits
        .take(3 - usize::from(signed))
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if length == 0 {
        return None;
    }
    let (number, rest) = text.split_at_checked(length.saturating_add(usize::from(signed)))?;
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

/// Common passwords, cut to eight bytes, and their keys.
struct Known {
    passwords: Vec<String>,
    keys: Keys,
}

/// The password that makes `response` of `challenge`, if it's a common one.
///
/// The password is the DES key, each of its bytes with its bits the other way round (RFC 6143
/// section 7.2.2 and every implementation).
fn recover(challenge: &[u8; 16], response: &[u8; 16]) -> Option<&'static str> {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let by_key: BTreeMap<[u8; 8], String> = passwords::common()
            .chain([String::new()])
            .map(|password| {
                let end = password.floor_char_boundary(8);
                let password = password.get(..end).unwrap_or_default();
                (key(password), password.to_owned())
            })
            .collect();
        let (keys, passwords): (Vec<_>, Vec<_>) = by_key.into_iter().unzip();
        Known {
            passwords,
            keys: Keys::new(&keys),
        }
    });
    let pairs: Vec<([u8; 8], [u8; 8])> = std::iter::zip(
        challenge.as_chunks::<8>().0.iter().copied(),
        response.as_chunks::<8>().0.iter().copied(),
    )
    .collect();
    let found = known.keys.find(&pairs)?;
    known.passwords.get(found).map(String::as_str)
}

/// The DES key of a password.
fn key(password: &str) -> [u8; 8] {
    let mut key = [0; 8];
    for (to, from) in key.iter_mut().zip(password.bytes()) {
        *to = from.reverse_bits();
    }
    key
}

#[cfg(test)]
mod tests;
