//! Microsoft SQL Server's protocol (MS-TDS) until the login fails.
//!
//! A connection is PRELOGIN, mostly a TLS handshake inside PRELOGIN packets, then LOGIN7 with a
//! password (scrambled, not encrypted) or with the first token of a login by NTLM or Kerberos.
//! Clients from before TDS 7 send a login record in the clear at once.

mod answer;
mod login;
mod prelogin;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use coalmine_core::decoy::{
    Broken, Handshake, Limits, Packets, Poke, SelfSigned, Session, Sessions, Step, Transport,
};
use coalmine_core::settings::any;
use coalmine_core::text::cut;
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Service, Timestamp};
use coalmine_wire::accept::{self, Acceptor};
use coalmine_wire::ntlmssp::{Response, Target, Version};
use coalmine_wire::spnego::Mech;

use answer::{Dialect, Refusal};
use login::Login;
use prelogin::{Encryption, Prelogin};

/// Longest packet, in bytes with its header: the longest that TDS lets two sides agree on.
const MAX_PACKET: usize = 32_767;
/// Longest message, in bytes: LOGIN7's bound (MS-TDS 2.2.6.4).
const MAX_MESSAGE: usize = 128 * 1024 - 1;
/// Packets of one message.
const MAX_PACKETS: usize = 1_024;
/// Time for the answer to a challenge.
const PATIENCE: Duration = Duration::from_secs(20);

/// Packet types (MS-TDS 2.2.3.1.1).
const OLD_LOGIN: u8 = 0x02;
const LOGIN7: u8 = 0x10;
const SSPI: u8 = 0x11;
const PRELOGIN: u8 = 0x12;
/// First byte of a TLS handshake without packets around it: TDS 8.
const TLS: u8 = 0x16;
/// Status of a message's last packet.
const END_OF_MESSAGE: u8 = 1;

/// What Windows accepts, the most wanted first.
static MECHS: &[Mech] = &[Mech::MsKerberos, Mech::Kerberos, Mech::Ntlm];

/// SQL Server.
pub static KIND: DecoyKind = DecoyKind {
    id: "mssql",
    title: "Microsoft SQL Server",
    doc: "Pretends to be Microsoft SQL Server of a version of your choice on Windows.\nCaptures user names and passwords, and Windows logins as NTLM responses for hashcat and john.",
    transports: &[Transport::Tcp],
    port: 1433,
    instances: false,
    tls: None,
    events: &[MssqlLogin::KIND],
    settings: MssqlSettings::declared,
    build: |given, bird| {
        Ok(Service::sessions(Mssql {
            version: MssqlSettings::parse(given)?.version,
            target: target(bird),
            first_process: u16::try_from(bird.seed.number("mssql spid", 51, 75)).unwrap_or(51),
            open: Arc::default(),
        }))
    },
    limits: Limits::LOGIN
        .input(MAX_PACKET.saturating_add(1))
        .idle(Duration::from_secs(30)),
    poke: Poke::Script(&[
        Step::Send(
            b"\x12\x01\0\x2f\0\0\x01\0\0\0\x1a\0\x06\x01\0\x20\0\x01\x02\0\x21\0\x01\x03\0\x22\0\x04\
              \x04\0\x26\0\x01\xff\x09\0\0\0\0\0\x02\0\0\0\0\0\0",
        ),
        Step::Expect(b"\x04\x01\0\x2b\0\0\x01\0"),
        Step::Send(POKED_LOGIN),
        Step::Expect(b"u\0s\0e\0r\0 \0'\0s\0a\0'\0.\0"),
    ]),
};

/// LOGIN7 of TDS 7.4: host WS, user and password sa, program SQLCMD, server DB, library ODBC.
const POKED_LOGIN: &[u8] = b"\x10\x01\0\x8a\0\0\x01\0\x82\0\0\0\x04\0\0t\0\x10\0\0\0\0\0\x07\
    4\x12\0\0\0\0\0\0\xe0\x03\0\0\0\0\0\0\x09\x04\0\0\
    ^\0\x02\0b\0\x02\0f\0\x02\0j\0\x06\0v\0\x02\0z\0\0\0z\0\x04\0\
    \x82\0\0\0\x82\0\0\0\0\0\0\0\0\x01\x82\0\0\0\x82\0\0\0\x82\0\0\0\0\0\0\0\
    W\0S\0s\0a\0\x92\xa5\xb3\xa5S\0Q\0L\0C\0M\0D\0D\0B\0O\0D\0B\0C\0";

coalmine_core::choice! {
    /// Which release is claimed.
    pub enum Release {
        V2008 => "2008",
        V2008R2 => "2008R2",
        V2012 => "2012",
        V2014 => "2014",
        V2016 => "2016",
        V2017 => "2017",
        V2019 => "2019",
        V2022 => "2022",
    }
}

coalmine_core::settings! {
    /// Settings of the SQL Server decoy.
    pub struct MssqlSettings {
        /// Which release is claimed; it decides the version told, the certificate and some texts.
        /// `2022` also speaks TDS 8, which starts with TLS.
        version: Release => "version" = Release::V2012, any;
    }
}

coalmine_core::event! {
    /// Somebody tried to log in to SQL Server.
    pub struct MssqlLogin: "mssqllogin", "MSSQL Login Attempt",
        [9001 "SQL Server authentication", 9002 "Windows authentication"] {
        /// As the client sent it; empty where a Windows login stopped before it came, and with
        /// Kerberos, which hides it.
        username: String => "USERNAME" = "sa",
        /// In the clear; SQL Server authentication only.
        password: Option<String> => "PASSWORD" = "P@ssw0rd",
        /// The client's machine, as it calls itself.
        hostname: Option<String> => "HOSTNAME" = "WS-0142",
        /// The user's domain; Windows authentication only.
        domain: Option<String> => "DOMAINNAME" = "CORP",
        /// The client's program, e.g. `SQLCMD`.
        appname: String => "APPNAME" = "SQLCMD",
        /// The server's name as the client typed it.
        servername: String => "SERVERNAME" = "10.0.0.7",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "backup::CORP:0123456789abcdef:…:…",
    }
}

/// Records in PRELOGIN packets, bare once the handshake is over (MS-TDS 2.2.6.5); TLS 1.2 at most.
const PACKETS: Packets = Packets {
    marker: PRELOGIN,
    payload: |header| packet_length(header)?.checked_sub(Packets::HEADER),
    wrap: answer::tls_packets,
};

/// What SQL Server signs for itself when it starts and nobody gave it a certificate.
const fn self_signed(id: &'static str, long: bool) -> SelfSigned {
    SelfSigned {
        id,
        common_name: "SSL_Self_Signed_Fallback",
        years: 30,
        long,
    }
}

static TDS7: Handshake = Handshake {
    id: "tds7",
    packets: Some(PACKETS),
    tls13: false,
    alpn: &[],
    certificate: self_signed("mssql-2048", false),
};

static TDS7_LONG: Handshake = Handshake {
    id: "tds7-long",
    packets: Some(PACKETS),
    tls13: false,
    alpn: &[],
    certificate: self_signed("mssql-3072", true),
};

static TDS8: Handshake = Handshake {
    id: "tds8",
    packets: None,
    tls13: true,
    alpn: &[b"tds/8.0"],
    certificate: self_signed("mssql-3072", true),
};

impl Release {
    /// Major, minor, build: of the last service pack, where there were any.
    const fn build(self) -> (u8, u8, u16) {
        match self {
            Self::V2008 => (10, 0, 6000),
            Self::V2008R2 => (10, 50, 6000),
            Self::V2012 => (11, 0, 7001),
            Self::V2014 => (12, 0, 6024),
            Self::V2016 => (13, 0, 5026),
            Self::V2017 => (14, 0, 1000),
            Self::V2019 => (15, 0, 2000),
            Self::V2022 => (16, 0, 1000),
        }
    }

    const fn handshake(self) -> &'static Handshake {
        match self {
            Self::V2022 => &TDS7_LONG,
            _ => &TDS7,
        }
    }

    /// What Windows logins are called in error 18452.
    const fn windows_logins(self) -> &'static str {
        match self {
            Self::V2008 | Self::V2008R2 => "Windows",
            _ => "Integrated",
        }
    }
}

/// Length of a packet by its header, if it's one.
fn packet_length(header: &[u8; Packets::HEADER]) -> Option<usize> {
    let [_, _, high, low, ..] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    (Packets::HEADER..=MAX_PACKET)
        .contains(&length)
        .then_some(length)
}

/// What NTLM tells of the machine.
fn target(bird: &Bird) -> Target {
    let version = Version::from(bird.machine.system.windows_version());
    Target::windows(
        &bird.netbios_name(),
        &bird.dns_name(),
        bird.domain_names(),
        version,
    )
}

struct Mssql {
    version: Release,
    target: Target,
    /// Session id that the next client gets when there is no other.
    first_process: u16,
    open: Arc<AtomicU16>,
}

impl Sessions for Mssql {
    fn open(&self, context: &Context, _: &mut Out) -> Box<dyn Session> {
        let others = self.open.fetch_add(1, Ordering::Relaxed);
        Box::new(MssqlSession {
            version: self.version,
            process: self.first_process.wrapping_add(others),
            open: Arc::clone(&self.open),
            acceptor: Acceptor::new(
                self.target.clone(),
                context.seed.take("mssql challenge"),
                MECHS,
            ),
            stage: Stage::Start,
            cover: Cover::None,
            message: Message::default(),
            waiting: None,
        })
    }
}

struct MssqlSession {
    version: Release,
    /// The session's id, in the header of what it's told after its login.
    process: u16,
    open: Arc<AtomicU16>,
    acceptor: Acceptor,
    stage: Stage,
    cover: Cover,
    message: Message,
    /// What is said as soon as TLS has ended.
    waiting: Option<Reply>,
}

/// What comes next.
enum Stage {
    /// PRELOGIN or a login.
    Start,
    /// TLS, or LOGIN7 from those who were too simple to understand that.
    Handshake,
    /// LOGIN7.
    Login,
    /// The answer to the challenge that this login got.
    Sspi(Box<Login>),
}

/// What TLS covers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cover {
    None,
    /// The client's first message.
    Login,
    All,
}

/// A message whose packets are coming.
#[derive(Default)]
struct Message {
    kind: u8,
    bytes: Vec<u8>,
    packets: usize,
}

/// What the server says, and whether that's the last.
struct Reply {
    bytes: Vec<u8>,
    last: bool,
}

impl Drop for MssqlSession {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session for MssqlSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        match (&self.stage, input.first()) {
            (Stage::Start, Some(&TLS)) if self.cover == Cover::None => {
                if self.version != Release::V2022 {
                    return Err(Broken);
                }
                self.cover = Cover::All;
                out.start_tls_as(&TDS8);
                return Ok(0);
            }
            (Stage::Handshake, Some(&PRELOGIN)) => {
                out.start_tls_as(self.version.handshake());
                return Ok(0);
            }
            _ => {}
        }
        let Some((header, rest)) = input.split_first_chunk::<{ Packets::HEADER }>() else {
            return Ok(0);
        };
        let taken = self.packet(header, rest, now, out);
        if taken.is_err() {
            self.give_up(out);
        }
        taken
    }

    fn secured(&mut self, _: Timestamp, _: &mut Out) {
        // TDS 8 begins here, TDS 7 goes on.
        if !matches!(self.stage, Stage::Start) {
            self.stage = Stage::Login;
        }
    }

    fn wake(&mut self, _: Timestamp, out: &mut Out) {
        match self.waiting.take() {
            Some(reply) => self.say(reply, out),
            None => {
                self.give_up(out);
                out.close();
            }
        }
    }

    fn end(&mut self, _: Timestamp, out: &mut Out) {
        self.give_up(out);
        out.close();
    }
}

impl MssqlSession {
    /// One packet, which begins with `header`.
    fn packet(
        &mut self,
        header: &[u8; Packets::HEADER],
        rest: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> Result<usize, Broken> {
        let [kind, status, ..] = *header;
        let length = packet_length(header).ok_or(Broken)?;
        let first = self.message.packets == 0;
        if !self.expects(kind) || (!first && kind != self.message.kind) {
            return Err(Broken);
        }
        let payload = length.checked_sub(Packets::HEADER).ok_or(Broken)?;
        let Some(payload) = rest.get(..payload) else {
            return Ok(0);
        };
        self.message.kind = kind;
        self.message.packets = self.message.packets.saturating_add(1);
        self.message.bytes.extend_from_slice(payload);
        if self.message.bytes.len() > MAX_MESSAGE || self.message.packets > MAX_PACKETS {
            return Err(Broken);
        }
        if status & END_OF_MESSAGE != 0 {
            let message = std::mem::take(&mut self.message);
            self.message(&message, now, out)?;
        }
        Ok(length)
    }

    fn expects(&self, kind: u8) -> bool {
        match self.stage {
            Stage::Start if self.cover == Cover::All => kind == PRELOGIN,
            Stage::Start => matches!(kind, PRELOGIN | LOGIN7 | OLD_LOGIN),
            // Whoever asked for TLS all the way doesn't do without.
            Stage::Handshake => kind == LOGIN7 && self.cover == Cover::Login,
            Stage::Login => kind == LOGIN7,
            // Clients are known that call it a LOGIN7.
            Stage::Sspi(_) => matches!(kind, SSPI | LOGIN7),
        }
    }

    fn message(&mut self, message: &Message, now: Timestamp, out: &mut Out) -> Result<(), Broken> {
        let stage = match message.kind {
            PRELOGIN => return self.prelogin(&message.bytes, out),
            _ => std::mem::replace(&mut self.stage, Stage::Login),
        };
        let in_tls = matches!(stage, Stage::Login);
        let reply = match (stage, message.kind) {
            (Stage::Sspi(login), _) => self.token(login, &message.bytes, now, out),
            (_, LOGIN7) => {
                let login = Login::parse(&message.bytes).ok_or(Broken)?;
                self.login(Box::new(login), now, out)
            }
            _ => {
                let login = Login::parse_old(&message.bytes).ok_or(Broken)?;
                self.login(Box::new(login), now, out)
            }
        };
        if in_tls && self.cover == Cover::Login {
            self.cover = Cover::None;
            self.waiting = Some(reply);
            out.end_tls();
        } else {
            self.say(reply, out);
        }
        Ok(())
    }

    fn prelogin(&mut self, message: &[u8], out: &mut Out) -> Result<(), Broken> {
        let prelogin = Prelogin::parse(message).ok_or(Broken)?;
        let strict = self.cover == Cover::All;
        let encryption = prelogin.encryption(strict);
        out.send(prelogin.answer(self.version.build(), encryption));
        (self.stage, self.cover) = match encryption {
            _ if strict => (Stage::Login, Cover::All),
            Encryption::On => (Stage::Handshake, Cover::All),
            Encryption::Off => (Stage::Handshake, Cover::Login),
            Encryption::NotSupported => (Stage::Login, Cover::None),
        };
        Ok(())
    }

    fn login(&mut self, mut login: Box<Login>, now: Timestamp, out: &mut Out) -> Reply {
        if let Some(token) = login.sspi.take() {
            return self.token(login, &token, now, out);
        }
        out.see(&MssqlLogin {
            username: cut(&login.user),
            password: Some(cut(&login.password)),
            hostname: filled(&login.host),
            domain: None,
            appname: cut(&login.app),
            servername: cut(&login.server),
            ntlm_hash: None,
        });
        self.refuse(&login, &Refusal::failed(&login.user))
    }

    /// A token of a Windows login.
    fn token(&mut self, login: Box<Login>, token: &[u8], now: Timestamp, out: &mut Out) -> Reply {
        let refusal = match self.acceptor.token(token, now.filetime()) {
            Ok(accept::Step::Continue(challenge)) => {
                let bytes = answer::sspi(self.process, &challenge);
                self.stage = Stage::Sspi(login);
                return Reply { bytes, last: false };
            }
            Ok(accept::Step::Login(who)) => {
                let host = filled(&who.workstation).or_else(|| filled(&login.host));
                out.see_as(
                    &MssqlLogin {
                        username: cut(&who.user),
                        hostname: host,
                        domain: filled(&who.domain),
                        ntlm_hash: who.hash.clone(),
                        ..unnamed(&login)
                    },
                    9002,
                );
                match who.response {
                    Response::Anonymous => Refusal::failed("NT AUTHORITY\\ANONYMOUS LOGON"),
                    _ => Refusal::untrusted(self.version.windows_logins()),
                }
            }
            Ok(accept::Step::Kerberos(ticket)) => {
                out.see_as(
                    &MssqlLogin {
                        domain: filled(&ticket.realm),
                        ..unnamed(&login)
                    },
                    9002,
                );
                Refusal::untrusted(self.version.windows_logins())
            }
            Err(_) => {
                out.see_as(&unnamed(&login), 9002);
                Refusal::untrusted(self.version.windows_logins())
            }
        };
        self.refuse(&login, &refusal)
    }

    fn refuse(&self, login: &Login, refusal: &Refusal) -> Reply {
        let process = match login.dialect {
            Dialect::Old => 0,
            _ => self.process,
        };
        Reply {
            bytes: refusal.answer(login.dialect, &self.acceptor.target().netbios_name, process),
            last: true,
        }
    }

    fn say(&mut self, reply: Reply, out: &mut Out) {
        out.send(reply.bytes);
        if reply.last {
            out.close();
        } else {
            out.read_until(PATIENCE);
        }
    }

    /// Reports a Windows login that got its challenge and stopped.
    fn give_up(&mut self, out: &mut Out) {
        if let Stage::Sspi(login) = std::mem::replace(&mut self.stage, Stage::Login) {
            out.see_as(&unnamed(&login), 9002);
        }
    }
}

/// A Windows login as far as LOGIN7 tells.
fn unnamed(login: &Login) -> MssqlLogin {
    MssqlLogin {
        username: cut(&login.user),
        password: None,
        hostname: filled(&login.host),
        domain: None,
        appname: cut(&login.app),
        servername: cut(&login.server),
        ntlm_hash: None,
    }
}

/// `text` unless it's empty.
fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| cut(text))
}

#[cfg(test)]
mod tests;
