//! RDP as a Windows speaks it until the login fails (MS-RDPBCGR): X.224, then CredSSP inside TLS
//! (Network Level Authentication), or TLS alone with the password in the clear.
//!
//! A connection is one event, told when it's known how far it came.

mod credssp;
mod info;
mod mcs;
mod reader;
#[cfg(test)]
mod tests;
mod x224;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::passwords::{self, Searches};
use coalmine_core::settings::any;
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Service, Timestamp};
use coalmine_wire::accept::{self, Acceptor, Login};
use coalmine_wire::ber;
use coalmine_wire::ntlmssp::{Negotiate, Target, Version};
use coalmine_wire::spnego::Mech;

use credssp::{Redirected, TsRequest};
use info::Info;
use mcs::{Client, Message};
use x224::{Failure, Request, protocol};

/// Longest message, in bytes: one with a Kerberos ticket is the longest that honest clients send.
const MAX_MESSAGE: usize = 64 * 1024;
/// Time from the first byte to the login.
const MAX_HANDSHAKE: Duration = Duration::from_secs(60);
/// Searches for a common password that a second adds, and that are saved up at most.
const MAX_SEARCHES_A_SECOND: u32 = 5;
const MAX_SAVED_SEARCHES: u32 = 30;

/// Numbers of the event.
const CONNECTED: u32 = 14_001;
const FAILED: u32 = 14_002;
const CONFIRMED: u32 = 14_003;
const LOGIN: u32 = 14_004;

/// Most wanted first, as Windows tells them.
const MECHS: &[Mech] = &[Mech::Ntlm];

/// RDP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "rdp",
    title: "RDP server",
    doc: "Pretends to be the Remote Desktop of a Windows.\nCaptures user names, domains, names and versions of clients, and passwords: with Network Level Authentication as a hash of NTLM, of which common ones are recovered, without it in the clear.",
    transports: &[Transport::Tcp],
    port: 3389,
    instances: false,
    tls: None,
    events: &[RdpLogin::KIND],
    settings: RdpSettings::declared,
    build: |given, bird| {
        Ok(Service::sessions(Rdp(Arc::new(Server::new(
            &RdpSettings::parse(given)?,
            bird,
        )))))
    },
    limits: Limits::LOGIN
        .input(MAX_MESSAGE + 4096)
        .idle(Duration::from_secs(90)),
    poke: Poke::Script(&[
        Step::Send(
            b"\x03\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=poke\r\n\x01\0\x08\0\x03\0\0\0",
        ),
        Step::Expect(b"\x02\x1f\x08\0\x02\0\0\0"),
        Step::StartTls,
        // CredSSP version 6 with NTLM's NEGOTIATE of a Windows 10.0.19041.
        Step::Send(
            b"07\xa0\x03\x02\x01\x06\xa100.0,\xa0*\x04(NTLMSSP\0\x01\0\0\0\xb7\x82\x08\xe2\
              \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a\0aJ\0\0\0\x0f",
        ),
        Step::Expect(b"NTLMSSP\0\x02\0\0\0"),
        // AUTHENTICATE of a user `poke`.
        Step::Send(
            b"0\x81\x9c\xa0\x03\x02\x01\x06\xa1\x81\x940\x81\x910\x81\x8e\xa0\x81\x8b\x04\
              \x81\x88NTLMSSP\0\x03\0\0\0\x18\0\x18\0X\0\0\0\x18\0\x18\0p\0\0\0\0\0\0\0H\0\
              \0\0\x08\0\x08\0H\0\0\0\x08\0\x08\0P\0\0\0\0\0\0\0\x88\0\0\0\x15\x82\x88\xe2\
              \x0a\0aJ\0\0\0\x0fp\0o\0k\0e\0P\0O\0K\0E\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
              \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        // CredSSP version 6 with STATUS_LOGON_FAILURE.
        Step::Expect(b"0\x0d\xa0\x03\x02\x01\x06\xa4\x06\x02\x04\xc0\0\0\x6d"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the RDP decoy.
    pub struct RdpSettings {
        /// Whether clients must log in before they get a session (Network Level Authentication), as a Windows demands it.
        /// Off, clients that ask for TLS alone send their passwords in the clear.
        nla: bool => "nla" = true, any;
    }
}

coalmine_core::event! {
    /// Somebody tried to join the RDP service.
    /// Each connection is one event.
    pub struct RdpLogin: "rdplogin", "RDP Login Attempt", [
        14003 "The client said which it is and left before it logged in.",
        14001 "A connection was asked for and nothing more.",
        14002 "A connection was asked for and failed: security that the server doesn't take, or a broken protocol.",
        14004 "A user name, with a password or a hash of it.",
    ] {
        /// The client's build: of its Windows, or what it claims.
        build: Option<String> => "BUILD" = "19041",
        /// As the client sent it.
        domainname: String => "DOMAINNAME" = "CORP",
        /// Of the client's Windows, e.g. `6` of 6.1; empty where the client didn't say.
        majorversion: String => "MAJORVERSION" = "10",
        /// E.g. `1` of 6.1; empty where the client didn't say.
        minorversion: String => "MINORVERSION" = "0",
        /// As the client sent it; what the cookie names where no more was said.
        username: String => "USERNAME" = "administrator",
        /// How far it came: `new connection`, `failed connection`, `client confirmed` or `login attempt`.
        status: Option<&'static str> => "STATUS" = "login attempt",
        /// In the clear where the client sent it so; else only where it's a common one.
        password: Option<String> => "PASSWORD" = "Winter2025!",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "administrator::CORP:1122334455667788:00112233445566778899aabbccddeeff:0101",
        /// How the client wanted to log in: `NLA`, `NLA, restricted admin` (as with a hash in place of the password), `TLS`, `RDSTLS`, or `none`.
        security: Option<String> => "SECURITY" = "NLA",
        /// Line of the connection request; mostly a part of the user's name, or the way through a broker.
        cookie: Option<String> => "COOKIE" = "Cookie: mstshash=administr",
        /// The client's name as NTLM tells it.
        workstation: Option<String> => "WORKSTATION" = "DESKTOP-7",
        /// The client's name as RDP tells it.
        clientname: Option<String> => "CLIENTNAME" = "DESKTOP-7",
        /// The client's address as it sees itself.
        clientaddress: Option<String> => "CLIENTADDRESS" = "192.168.1.17",
        /// Where the client program lies.
        clientdir: Option<String> => "CLIENTDIR" = "C:\\Windows\\System32\\mstscax.dll",
        /// Layout of the client's keyboard, in hex as Windows numbers it: `00000407` is German.
        keyboard: Option<String> => "KEYBOARD" = "00000409",
        /// Size of the screen that was asked for.
        resolution: Option<String> => "RESOLUTION" = "1920x1080",
        /// Name of the client's time zone.
        timezone: Option<String> => "TIMEZONE" = "W. Europe Standard Time",
        /// Names of the static channels that were asked for.
        channels: Option<String> => "CHANNELS" = "rdpdr rdpsnd cliprdr drdynvc",
        /// Program to be started instead of the desktop.
        shell: Option<String> => "SHELL" = "cmd.exe",
    }
}

struct Rdp(Arc<Server>);

/// What all connections share.
struct Server {
    nla: bool,
    target: Target,
    /// Version of RDP (`TS_UD_SC_CORE`).
    version: u32,
    /// How long it takes to find a password wrong.
    pause: Duration,
    searches: Searches,
}

impl Server {
    fn new(settings: &RdpSettings, bird: &Bird) -> Self {
        let target = target(bird);
        Self {
            nla: settings.nla,
            version: rdp_version(target.version.build),
            target,
            pause: Duration::from_millis(bird.seed.number("rdp pause", 20, 60)),
            searches: Searches::default(),
        }
    }

    /// The protocol that's taken of those asked for.
    fn choose(&self, requested: u32) -> Result<u32, Failure> {
        let strong = [protocol::RDSTLS, protocol::HYBRID_EX, protocol::HYBRID];
        let mut wanted = strong.into_iter();
        match wanted.find(|one| requested & one != 0) {
            Some(strong) => Ok(strong),
            None if self.nla => Err(Failure::HybridRequired),
            None if requested & protocol::SSL != 0 => Ok(protocol::SSL),
            None => Err(Failure::SslRequired),
        }
    }

    /// The password of `login` if it's a common one.
    fn recover(&self, login: &Login, now: Timestamp) -> Option<String> {
        if !self
            .searches
            .may_search(MAX_SEARCHES_A_SECOND, MAX_SAVED_SEARCHES, now)
        {
            return None;
        }
        std::iter::once(String::new())
            .chain(passwords::from_name(&login.user))
            .chain(passwords::frequent())
            .find(|password| login.verify(password).is_some())
    }
}

/// The Windows that the bird is.
fn target(bird: &Bird) -> Target {
    let version = Version::from(bird.machine.system.windows_version());
    let (name, dns) = (bird.netbios_name(), bird.dns_name());
    Target::windows(&name, &dns, bird.domain_names(), version)
}

/// The version of RDP that a Windows of this build speaks (MS-RDPBCGR 2.2.1.4.2).
fn rdp_version(build: u16) -> u32 {
    let minor = match build {
        ..10_240 => 4,
        10_240..10_586 => 5,
        10_586..14_393 => 6,
        14_393..15_063 => 7,
        15_063..16_299 => 8,
        16_299..17_134 => 9,
        17_134..17_763 => 10,
        17_763..18_362 => 11,
        18_362..19_041 => 12,
        19_041..20_348 => 13,
        20_348..22_000 => 14,
        _ => 16,
    };
    0x0008_0000 | minor
}

/// The version of Windows that has this build; 0 and unknown ones have none.
fn windows_version(build: u32) -> Option<(u8, u8)> {
    Some(match build {
        2195 => (5, 0),
        2600 => (5, 1),
        3790 => (5, 2),
        6000..=6003 => (6, 0),
        7600 | 7601 => (6, 1),
        9200 => (6, 2),
        9600 => (6, 3),
        10_240..=40_000 => (10, 0),
        _ => return None,
    })
}

impl Sessions for Rdp {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        out.read_until(MAX_HANDSHAKE);
        Box::new(RdpSession {
            server: Arc::clone(&self.0),
            challenge: context.seed.take("rdp challenge"),
            until: context.now.plus(MAX_HANDSHAKE),
            stage: Stage::Request,
            reached: CONNECTED,
            seen: None,
        })
    }
}

struct RdpSession {
    server: Arc<Server>,
    /// Of NTLM.
    challenge: [u8; 8],
    /// When the login must have been made.
    until: Timestamp,
    stage: Stage,
    /// The number that the event gets if nothing more happens.
    reached: u32,
    /// The event, until it's told.
    seen: Option<Box<RdpLogin>>,
}

enum Stage {
    /// The Connection Request comes first.
    Request,
    /// The client knows no negotiation; it's heard no further.
    Old,
    /// TLS is being made for this protocol.
    Handshake {
        protocol: u32,
        requested: u32,
    },
    Credssp(Box<Acceptor>),
    Rdstls,
    /// The Connect-Initial comes next.
    Connect {
        requested: u32,
    },
    /// The domain's messages, up to the Client Info.
    Domain(Box<Client>),
    /// After a pause this is the last word.
    Refusing(Vec<u8>),
}

impl Session for RdpSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        out.read_until(self.until.since(now));
        let fed = self.message(input, now, out);
        if fed.is_err() {
            if self.reached == CONNECTED {
                self.reached = FAILED;
            }
            self.tell(out);
        }
        fed
    }

    fn secured(&mut self, now: Timestamp, out: &mut Out) {
        out.read_until(self.until.since(now));
        let Stage::Handshake {
            protocol,
            requested,
        } = self.stage
        else {
            return;
        };
        self.stage = match protocol {
            protocol::SSL => Stage::Connect { requested },
            protocol::RDSTLS => {
                out.send(credssp::RDSTLS_CAPABILITIES);
                Stage::Rdstls
            }
            _ => {
                let target = self.server.target.clone();
                Stage::Credssp(Box::new(Acceptor::new(target, self.challenge, MECHS)))
            }
        };
    }

    fn wake(&mut self, _now: Timestamp, out: &mut Out) {
        if let Stage::Refusing(last_word) = &self.stage {
            out.send(last_word);
        }
        self.tell(out);
        out.close();
    }

    fn end(&mut self, _now: Timestamp, out: &mut Out) {
        self.tell(out);
        out.close();
    }
}

impl RdpSession {
    /// The message at the front of `input`, if it's whole; its length.
    fn message(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        match &mut self.stage {
            Stage::Request => {
                let Some((pdu, length)) = x224::request_frame(input)? else {
                    return Ok(0);
                };
                let request = Request::parse(pdu)?;
                self.request(&request, out);
                Ok(length)
            }
            Stage::Old => match x224::frame(input, MAX_MESSAGE)? {
                // RDP's own encryption isn't offered.
                Some(_) => Err(Broken),
                None => Ok(0),
            },
            Stage::Credssp(_) => {
                if input.first() != Some(&ber::SEQUENCE) {
                    return Err(Broken);
                }
                let Some(length) = ber::whole(input).map_err(|_| Broken)? else {
                    return Ok(0);
                };
                if length > MAX_MESSAGE {
                    return Err(Broken);
                }
                let Some(message) = input.get(..length) else {
                    return Ok(0);
                };
                self.credssp(message, now, out)?;
                Ok(length)
            }
            Stage::Rdstls => {
                let Some((login, length)) = Redirected::parse(input)? else {
                    return Ok(0);
                };
                self.reached = LOGIN;
                if let Some(seen) = &mut self.seen {
                    seen.username = login.user;
                    seen.domainname = login.domain;
                }
                self.refuse(credssp::RDSTLS_FAILURE.to_vec(), out);
                Ok(length)
            }
            Stage::Connect { requested } => {
                let requested = *requested;
                let Some((pdu, length)) = x224::frame(input, MAX_MESSAGE)? else {
                    return Ok(0);
                };
                let client = Client::parse(x224::data(pdu)?)?;
                let response = client.connect_response(self.server.version, requested);
                out.send(x224::send(&response));
                self.confirmed(&client);
                self.stage = Stage::Domain(Box::new(client));
                Ok(length)
            }
            Stage::Domain(client) => {
                let Some((pdu, length)) = x224::frame(input, MAX_MESSAGE)? else {
                    return Ok(0);
                };
                match Message::parse(x224::data(pdu)?)? {
                    Message::ErectDomain => {}
                    Message::AttachUser => {
                        out.send(x224::send(&mcs::attach_confirm(client.user())));
                    }
                    Message::Join { channel } if client.has(channel) => {
                        out.send(x224::send(&mcs::join_confirm(client.user(), channel)));
                    }
                    Message::Send { channel, data } => {
                        if channel == mcs::IO_CHANNEL
                            && let Some(info) = Info::parse(data)?
                        {
                            self.info(info, out);
                        }
                    }
                    Message::Join { .. } | Message::Disconnect => return Err(Broken),
                }
                Ok(length)
            }
            Stage::Handshake { .. } | Stage::Refusing(_) => Err(Broken),
        }
    }

    fn request(&mut self, request: &Request, out: &mut Out) {
        let (flags, requested) = request.negotiation.unwrap_or_default();
        let chosen = self.server.choose(requested);
        let security = match chosen {
            _ if request.negotiation.is_none() => "none",
            Ok(protocol::SSL) => "TLS",
            Ok(protocol::RDSTLS) => "RDSTLS",
            Ok(_) if flags & x224::RESTRICTED_ADMIN != 0 => "NLA, restricted admin",
            Ok(_) => "NLA",
            Err(_) if requested & protocol::SSL != 0 => "TLS",
            Err(_) => "none",
        };
        self.seen = Some(Box::new(RdpLogin {
            build: None,
            domainname: String::new(),
            majorversion: String::new(),
            minorversion: String::new(),
            username: request.user().unwrap_or_default().to_owned(),
            status: None,
            password: None,
            ntlm_hash: None,
            security: Some(security.to_owned()),
            cookie: request.cookie.clone(),
            workstation: None,
            clientname: None,
            clientaddress: None,
            clientdir: None,
            keyboard: None,
            resolution: None,
            timezone: None,
            channels: None,
            shell: None,
        }));
        match chosen {
            _ if request.negotiation.is_none() => {
                out.send(request.confirm_old());
                self.stage = Stage::Old;
            }
            Ok(protocol) => {
                out.send(request.confirm_with(protocol));
                out.start_tls();
                self.stage = Stage::Handshake {
                    protocol,
                    requested,
                };
            }
            Err(failure) => {
                self.reached = FAILED;
                self.tell(out);
                out.send(request.refuse(failure));
                out.close();
            }
        }
    }

    fn credssp(&mut self, message: &[u8], now: Timestamp, out: &mut Out) -> Result<(), Broken> {
        let Stage::Credssp(acceptor) = &mut self.stage else {
            return Err(Broken);
        };
        let request = TsRequest::parse(message)?;
        let token = request.token.ok_or(Broken)?;
        let step = acceptor.token(token, now.filetime()).map_err(|_| Broken)?;
        let last_word = if request.takes_errors() {
            credssp::failure()
        } else {
            Vec::new()
        };
        match step {
            accept::Step::Continue(answer) => {
                self.reached = CONFIRMED;
                if let (Some(seen), Some(negotiate)) = (&mut self.seen, negotiate(token)) {
                    if let Some(version) = negotiate.version {
                        seen.version(version);
                    }
                    seen.workstation = negotiate.workstation.and_then(some);
                }
                out.send(credssp::answer(&answer));
            }
            accept::Step::Login(login) => {
                self.reached = LOGIN;
                let password = self.server.recover(&login, now);
                if let Some(seen) = &mut self.seen {
                    if let Some(version) = login.version {
                        seen.version(version);
                    }
                    seen.username = login.user;
                    seen.domainname = login.domain;
                    seen.workstation = some(login.workstation);
                    seen.ntlm_hash = login.hash;
                    seen.password = password;
                }
                self.refuse(last_word, out);
            }
            accept::Step::Kerberos(ticket) => {
                self.reached = LOGIN;
                if let Some(seen) = &mut self.seen {
                    seen.domainname = ticket.realm;
                }
                self.refuse(last_word, out);
            }
        }
        Ok(())
    }

    /// The client has said which it is.
    fn confirmed(&mut self, client: &Client) {
        self.reached = CONFIRMED;
        let Some(seen) = &mut self.seen else {
            return;
        };
        if client.build != 0 {
            seen.build = Some(client.build.to_string());
        }
        if let Some((major, minor)) = windows_version(client.build) {
            seen.majorversion = major.to_string();
            seen.minorversion = minor.to_string();
        }
        seen.clientname = some(client.name.clone());
        seen.keyboard = Some(format!("{:08X}", client.keyboard));
        seen.resolution = Some(format!("{}x{}", client.width, client.height));
        seen.channels = some(client.channels.join(" "));
    }

    /// Who wants to log in without NLA.
    fn info(&mut self, info: Info, out: &mut Out) {
        // Without both, somebody only wants to see the logon screen.
        let says = !info.user.is_empty() || info.password.as_ref().is_some_and(|p| !p.is_empty());
        self.reached = if says { LOGIN } else { CONFIRMED };
        if let Some(seen) = &mut self.seen {
            if !info.user.is_empty() {
                seen.username = info.user;
            }
            seen.domainname = info.domain;
            seen.password = info.password;
            seen.clientaddress = some(info.address);
            seen.clientdir = some(info.folder);
            seen.timezone = some(info.time_zone);
            seen.shell = some(info.shell);
        }
        self.refuse(refusal(), out);
    }

    /// Tells what came; after the time that it takes to find it wrong the client hears so.
    fn refuse(&mut self, last_word: Vec<u8>, out: &mut Out) {
        self.tell(out);
        self.stage = Stage::Refusing(last_word);
        out.wait(self.server.pause);
    }

    /// Tells what the connection was, once.
    fn tell(&mut self, out: &mut Out) {
        if let Some(mut seen) = self.seen.take() {
            seen.status = Some(match self.reached {
                FAILED => "failed connection",
                CONFIRMED => "client confirmed",
                LOGIN => "login attempt",
                _ => "new connection",
            });
            out.see_as(&*seen, self.reached);
        }
    }
}

impl RdpLogin {
    fn version(&mut self, version: Version) {
        self.majorversion = version.major.to_string();
        self.minorversion = version.minor.to_string();
        self.build = Some(version.build.to_string());
    }
}

/// What a server without NLA says to a wrong password: a licence is granted, then the session ends.
fn refusal() -> Vec<u8> {
    // Licensing is done: STATUS_VALID_CLIENT (MS-RDPBCGR 2.2.1.12).
    let licence = b"\x80\0\0\0\xff\x03\x10\0\x07\0\0\0\x02\0\0\0\x04\0\0\0";
    // Set Error Info: ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES (2.2.5.1).
    let error = b"\x16\0\x17\0\xea\x03\xea\x03\x01\0\0\x01\x08\0\x2f\0\0\0\x09\0\0\0";
    [
        x224::send(&mcs::indication(licence)),
        x224::send(&mcs::indication(error)),
        x224::send(&mcs::DISCONNECT),
    ]
    .concat()
}

/// NTLM's first message, bare or in a wrapping.
fn negotiate(token: &[u8]) -> Option<Negotiate> {
    let at = token.windows(8).position(|some| some == b"NTLMSSP\0")?;
    Negotiate::parse(token.get(at..)?).ok()
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
