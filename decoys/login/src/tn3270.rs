//! TN3270E (RFC 2355) and TN3270 (RFC 1576) of z/OS, up to the logon of TSO/E.
//!
//! Of TN3270E's functions, RESPONSES and SYSREQ are agreed to; without BIND-IMAGE all data are of
//! type 3270-DATA (RFC 2355 section 10).

mod ebcdic;
mod host;
mod stream;
mod telnet;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::Fault;
use coalmine_core::text::printable;
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Service, Timestamp};
use serde_json::{Map, Value};

use host::{Host, System, Turn};
use stream::{Press, Size};
use telnet::{DO, DONT, Decoder, IAC, Item, WILL, WONT, record, subnegotiation};

/// User ids of the setting, and the longest text of one.
const MAX_USERS: usize = 1_000;
const MAX_NOTICE: usize = 70;
/// Options that are refused, each once; the rest is ignored.
const MAX_REFUSED: usize = 32;
/// Logical units for terminals.
const UNITS: u32 = 200;

// Telnet options.
const BINARY: u8 = 0;
const TIMING_MARK: u8 = 6;
const TERMINAL_TYPE: u8 = 24;
const END_OF_RECORD: u8 = 25;
const TN3270E: u8 = 40;

// Commands of TN3270E's subnegotiations (RFC 2355 section 4).
const ASSOCIATE: u8 = 0;
const CONNECT: u8 = 1;
const DEVICE_TYPE: u8 = 2;
const FUNCTIONS: u8 = 3;
const IS: u8 = 4;
const REASON: u8 = 5;
const REJECT: u8 = 6;
const REQUEST: u8 = 7;
const SEND: u8 = 8;
// Reasons of a refusal (section 7.1.6).
const INV_ASSOCIATE: u8 = 2;
const INV_NAME: u8 = 3;
const INV_DEVICE_TYPE: u8 = 4;
// Functions that are agreed to (section 7.2.2).
const RESPONSES: u8 = 2;
const SYSREQ: u8 = 4;

/// TN3270 server.
pub static KIND: DecoyKind = DecoyKind {
    id: "tn3270",
    title: "TN3270 server",
    doc: "Pretends to be a z/OS mainframe with the logon of TSO/E.\nCaptures user ids and passwords.\nNobody ever gets in.",
    transports: &[Transport::Tcp],
    port: 23,
    instances: false,
    tls: None,
    events: &[Tn3270Login::KIND],
    settings: Tn3270Settings::declared,
    build,
    limits: Limits::LOGIN.idle(Duration::from_secs(300)),
    poke: Poke::Script(&[
        Step::Expect(&[IAC, DO, TN3270E]),
        Step::Send(&[IAC, WILL, TN3270E]),
        Step::Expect(b"\xff\xfa\x28\x08\x02\xff\xf0"),
        Step::Send(b"\xff\xfa\x28\x02\x07IBM-3278-2-E\xff\xf0"),
        Step::Expect(b"\xff\xfa\x28\x02\x04IBM-3278-2-E\x01"),
        Step::Send(b"\xff\xfa\x28\x03\x07\xff\xf0"),
        Step::Expect(b"\xff\xef"),
        // Enter with `TSO POKE/POKE`.
        Step::Send(
            b"\0\0\0\0\0\x7d\x5a\x50\xe3\xe2\xd6\x40\xd7\xd6\xd2\xc5\x61\xd7\xd6\xd2\xc5\xff\xef",
        ),
        // IKJ56421I.
        Step::Expect(b"\xc9\xd2\xd1\xf5\xf6\xf4\xf2\xf1\xc9"),
    ]),
};

coalmine_core::event! {
    /// Somebody tried to log on to the mainframe.
    pub struct Tn3270Login: "tn3270login", "TN3270 Login Attempt", [32001 ""] {
        /// As the client sent it.
        username: String => "USERNAME" = "IBMUSER",
        /// As the client sent it; empty where the user id was refused before a password was asked.
        password: String => "PASSWORD" = "SYS1",
    }
}

coalmine_core::settings! {
    /// Settings of the TN3270 decoy.
    pub struct Tn3270Settings {
        /// A line of the first screen.
        notice: String => "notice" = "AUTHORIZED USE ONLY - ACTIVITY IS MONITORED".to_owned(), notice;
        /// User ids that there are; everybody else is refused before a password is asked, as TSO/E
        /// does. Empty: there are all, so that each attempt shows its password.
        users: Vec<String> => "users" = Vec::new(), user_ids;
    }
}

fn notice(text: &str) -> Result<(), String> {
    coalmine_core::settings::one_line(text)?;
    if text.chars().count() > MAX_NOTICE {
        return Err(format!("must be at most {MAX_NOTICE} characters long"));
    }
    Ok(())
}

fn user_ids(users: &[String]) -> Result<(), String> {
    if users.len() > MAX_USERS {
        return Err(format!("must be at most {MAX_USERS} user ids"));
    }
    match users.iter().find(|user| !host::is_user_id(user)) {
        Some(user) => Err(format!(
            "{user:?} is no user id: 1 to 7 letters, digits and @ # $, no digit first"
        )),
        None => Ok(()),
    }
}

fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = Tn3270Settings::parse(given)?;
    let seed = bird.seed.derive("tn3270");
    let pick = |label: &str, of: &[&'static str]| -> &'static str {
        let at = seed.number(label, 0, of.len() as u64);
        usize::try_from(at)
            .ok()
            .and_then(|at| of.get(at))
            .copied()
            .unwrap_or_default()
    };
    let [letter] = seed.take("system");
    let letter = char::from(b'A'.saturating_add(letter % 26));
    let system = System {
        name: format!(
            "{}{letter}",
            pick("name", &["SYS", "PRD", "MVS", "ZOS", "PRO"])
        ),
        release: pick("release", &["z/OS V2R4", "z/OS V2R5", "z/OS V3R1"]),
        notice: settings.notice,
        users: settings
            .users
            .iter()
            .map(|user| user.to_uppercase())
            .collect(),
        procedure: pick("procedure", &["ISPFPROC", "IKJACCNT", "TSOPROC", "LOGPROC"]).to_owned(),
        account: format!("ACCT{}", seed.number("account", 1, 1000)),
    };
    Ok(Service::sessions(Tn3270 {
        system: Arc::new(system),
        prefix: pick("prefix", &["TCP", "TN3", "LUT", "TRM"]),
        next: AtomicU32::new(u32::try_from(seed.number("unit", 1, 40)).unwrap_or(1)),
    }))
}

struct Tn3270 {
    system: Arc<System>,
    /// First letters of logical units' names.
    prefix: &'static str,
    /// Number of the next terminal's logical unit.
    next: AtomicU32,
}

impl Sessions for Tn3270 {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % UNITS;
        out.send([IAC, DO, TN3270E]);
        Box::new(Terminal {
            system: self.system.clone(),
            prefix: self.prefix,
            lu: unit(self.prefix, number),
            peer: context.peer,
            decoder: Decoder::default(),
            phase: Phase::Asked,
            device: String::new(),
            responses: false,
            sequence: 0,
            refused: Vec::new(),
            agreed: Agreed::default(),
        })
    }
}

/// The name of a logical unit.
fn unit(prefix: &str, number: u32) -> String {
    format!("{prefix}{:05}", number.saturating_add(1))
}

struct Terminal {
    system: Arc<System>,
    prefix: &'static str,
    lu: String,
    peer: std::net::SocketAddr,
    decoder: Decoder,
    phase: Phase,
    /// Type of the terminal.
    device: String,
    /// Whether RESPONSES was agreed to, so that messages are numbered.
    responses: bool,
    sequence: u16,
    /// Wishes refused already.
    refused: Vec<(u8, u8)>,
    agreed: Agreed,
}

enum Phase {
    /// `DO TN3270E` was said.
    Asked,
    /// The client's type and functions come next.
    Enhanced,
    /// `DO TERMINAL-TYPE` was said, and what follows.
    Traditional,
    /// Records are exchanged, with a header in TN3270E.
    Open { host: Box<Host>, enhanced: bool },
}

/// What TN3270 needs both ways (RFC 1576 section 2).
#[derive(Default)]
struct Agreed {
    our_records: bool,
    their_records: bool,
    our_binary: bool,
    their_binary: bool,
}

impl Agreed {
    fn all(&self) -> bool {
        self.our_records && self.their_records && self.our_binary && self.their_binary
    }
}

impl Session for Terminal {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut consumed = 0_usize;
        for byte in input {
            consumed = consumed.saturating_add(1);
            let done = match self.decoder.push(*byte) {
                None => false,
                Some(Item::Option(verb, option)) => self.option(verb, option, now, out),
                Some(Item::Parameters(body)) => self.parameters(&body, now, out),
                Some(Item::Record(data)) => self.record(&data, now, out),
                Some(Item::SystemRequest) => self.turn(now, out, Host::begin),
                Some(Item::Attention) => self.turn(now, out, Host::attention),
            };
            if done {
                out.close();
                break;
            }
            if out.is_full() {
                break;
            }
        }
        Ok(consumed)
    }
}

impl Terminal {
    /// A wish or an answer about an option. True at the end.
    fn option(&mut self, verb: u8, option: u8, now: Timestamp, out: &mut Out) -> bool {
        match (&self.phase, verb, option) {
            (Phase::Asked, WILL, TN3270E) => {
                self.phase = Phase::Enhanced;
                out.send(subnegotiation(&[TN3270E, SEND, DEVICE_TYPE]));
            }
            (Phase::Asked, WONT, TN3270E) => {
                self.phase = Phase::Traditional;
                out.send([IAC, DO, TERMINAL_TYPE]);
            }
            // The client turns to TN3270 after all (RFC 2355 section 6).
            (Phase::Enhanced, WONT, TN3270E) => {
                self.phase = Phase::Traditional;
                out.send([IAC, DONT, TN3270E, IAC, DO, TERMINAL_TYPE]);
            }
            (Phase::Traditional, WILL, TERMINAL_TYPE) if self.device.is_empty() => {
                out.send(subnegotiation(&[TERMINAL_TYPE, 1]));
            }
            // Lines instead of screens aren't served.
            (Phase::Traditional, WONT, TERMINAL_TYPE | END_OF_RECORD | BINARY)
            | (Phase::Traditional, DONT, END_OF_RECORD | BINARY) => return true,
            (Phase::Traditional, WILL | DO, END_OF_RECORD | BINARY) => {
                let agreed = &mut self.agreed;
                match (verb, option) {
                    (WILL, BINARY) => agreed.their_binary = true,
                    (WILL, _) => agreed.their_records = true,
                    (_, BINARY) => agreed.our_binary = true,
                    _ => agreed.our_records = true,
                }
                if agreed.all() && !self.device.is_empty() {
                    return self.begin(false, now, out);
                }
            }
            (_, DO, TIMING_MARK) => out.send([IAC, WILL, TIMING_MARK]),
            (_, WILL | DO, TERMINAL_TYPE | END_OF_RECORD | BINARY | TN3270E) => {}
            (_, WILL | DO, _) => {
                let answer = (if verb == WILL { DONT } else { WONT }, option);
                if self.refused.len() < MAX_REFUSED && !self.refused.contains(&answer) {
                    self.refused.push(answer);
                    out.send([IAC, answer.0, option]);
                }
            }
            _ => {}
        }
        false
    }

    /// A subnegotiation. True at the end.
    fn parameters(&mut self, body: &[u8], now: Timestamp, out: &mut Out) -> bool {
        match (&self.phase, body) {
            (Phase::Enhanced, [TN3270E, DEVICE_TYPE, REQUEST, wish @ ..]) => {
                self.device_type(wish, out);
            }
            (Phase::Enhanced, [TN3270E, FUNCTIONS, verb @ (REQUEST | IS), wanted @ ..])
                if !self.device.is_empty() =>
            {
                let ours: Vec<u8> = [RESPONSES, SYSREQ]
                    .into_iter()
                    .filter(|function| wanted.contains(function))
                    .collect();
                let mut answer = vec![TN3270E, FUNCTIONS];
                if wanted.iter().any(|function| !ours.contains(function)) {
                    answer.push(REQUEST);
                    answer.extend(ours);
                    out.send(subnegotiation(&answer));
                    return false;
                }
                if *verb == REQUEST {
                    answer.push(IS);
                    answer.extend(&ours);
                    out.send(subnegotiation(&answer));
                }
                self.responses = ours.contains(&RESPONSES);
                return self.begin(true, now, out);
            }
            (Phase::Traditional, [TERMINAL_TYPE, 0, name @ ..]) if self.device.is_empty() => {
                let name = String::from_utf8_lossy(name).to_uppercase();
                if !is_display(&name) {
                    return true;
                }
                self.device = name;
                out.send([IAC, DO, END_OF_RECORD, IAC, WILL, END_OF_RECORD]);
                out.send([IAC, DO, BINARY, IAC, WILL, BINARY]);
                if self.agreed.all() {
                    return self.begin(false, now, out);
                }
            }
            _ => {}
        }
        false
    }

    /// The client's wish for a type, and maybe for a logical unit (RFC 2355 section 7.1).
    fn device_type(&mut self, wish: &[u8], out: &mut Out) {
        let end = wish
            .iter()
            .position(|byte| matches!(*byte, ASSOCIATE | CONNECT));
        let (name, rest) = wish
            .split_at_checked(end.unwrap_or(wish.len()))
            .unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_uppercase();
        let wanted = match rest {
            [ASSOCIATE, ..] => Err(INV_ASSOCIATE),
            [_, unit @ ..] => self.own_unit(unit).ok_or(INV_NAME).map(Some),
            [] => Ok(None),
        };
        let wanted = match wanted {
            Ok(_) if !is_display(&name) => Err(INV_DEVICE_TYPE),
            other => other,
        };
        match wanted {
            Err(reason) => {
                let body = [TN3270E, DEVICE_TYPE, REJECT, REASON, reason];
                out.send(subnegotiation(&body));
            }
            Ok(unit) => {
                self.lu = unit.unwrap_or_else(|| self.lu.clone());
                let mut body = vec![TN3270E, DEVICE_TYPE, IS];
                body.extend(name.bytes());
                body.push(CONNECT);
                body.extend(self.lu.bytes());
                out.send(subnegotiation(&body));
                self.device = name;
            }
        }
    }

    /// A logical unit that a client asks for by name, if there is one.
    fn own_unit(&self, name: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(name).ok()?.to_uppercase();
        let number: u32 = name.strip_prefix(self.prefix)?.parse().ok()?;
        let number = number.checked_sub(1).filter(|number| *number < UNITS)?;
        Some(unit(self.prefix, number)).filter(|unit| *unit == name)
    }

    /// Negotiation is over.
    fn begin(&mut self, enhanced: bool, now: Timestamp, out: &mut Out) -> bool {
        let size = Size::of_type(&self.device);
        let host = Host::new(self.system.clone(), self.peer, self.lu.clone(), size);
        let host = Box::new(host);
        self.phase = Phase::Open { host, enhanced };
        self.turn(now, out, Host::begin)
    }

    /// A record of the client. True at the end.
    fn record(&mut self, data: &[u8], now: Timestamp, out: &mut Out) -> bool {
        let data = match &self.phase {
            // Type, request flag, response flag, number (RFC 2355 section 8.1); only 3270-DATA
            // has keys in it.
            Phase::Open { enhanced: true, .. } => match data {
                [0, _, _, _, _, data @ ..] => data,
                _ => return false,
            },
            Phase::Open { .. } => data,
            _ => return false,
        };
        let Some(press) = Press::parse(data) else {
            return false;
        };
        self.turn(now, out, |host, now| host.press(&press, now))
    }

    /// Lets the host act, once there is one. True at the end.
    fn turn(
        &mut self,
        now: Timestamp,
        out: &mut Out,
        act: impl FnOnce(&mut Host, Timestamp) -> Turn,
    ) -> bool {
        let Phase::Open { host, enhanced } = &mut self.phase else {
            return false;
        };
        let turn = act(host, now);
        if let Some((user, password)) = &turn.attempt {
            out.see(&Tn3270Login {
                username: printable(user.as_bytes()),
                password: printable(password.as_bytes()),
            });
        }
        let Some(screen) = turn.screen else {
            return true;
        };
        let mut data = Vec::new();
        if *enhanced {
            // Answers only to errors, where they were agreed to (section 8.1.4).
            let [high, low] = self.sequence.to_be_bytes();
            data.extend([0, 0, u8::from(self.responses), high, low]);
            if self.responses {
                self.sequence = self.sequence.wrapping_add(1) & 0x7fff;
            }
        }
        data.extend(screen);
        out.send(record(&data));
        false
    }
}

/// Whether it's a display's type (RFC 2355 section 7.1, RFC 1576 section 2.1).
fn is_display(name: &str) -> bool {
    let model = name
        .strip_prefix("IBM-3278-")
        .or_else(|| name.strip_prefix("IBM-3279-"));
    let known = |model: &str| {
        matches!(
            model.strip_suffix("-E").unwrap_or(model),
            "2" | "3" | "4" | "5"
        )
    };
    name == "IBM-DYNAMIC" || model.is_some_and(known)
}
