//! Remote procedure calls over named pipes (C706 chapter 12, MS-RPCE): what a client asks to learn
//! of shares, accounts and the registry. Nothing can be changed.
//!
//! Samba's answers were recorded from Debian's smbd 4.17; those of Windows follow MS-SRVS,
//! MS-WKST, MS-SAMR, MS-LSAD, MS-LSAT, MS-RRP and MS-SCMR, for a caller without rights.

mod host;
mod lsarpc;
mod ndr;
mod samr;
mod srvsvc;
#[cfg(test)]
mod tests;
mod winreg;
mod wkssvc;

use std::sync::Arc;

use coalmine_core::{Seed, Timestamp};

pub use host::{Host, Shared, Windows};
use ndr::{BadStub, Handle, Reader, Sid, Writer};

/// Longest request in all its fragments, in bytes of stub.
const MAX_REQUEST: usize = 64 * 1024;
/// Longest answer, in bytes of stub.
const MAX_ANSWER: usize = 1024 * 1024;
/// Longest fragment that both sides take, in bytes (MS-RPCE 3.3.1.1.2).
const MAX_FRAGMENT: u16 = 5_840;
/// Shortest one that must be taken.
const MIN_FRAGMENT: u16 = 2_048;
/// Interfaces that one pipe is bound to at a time.
const MAX_CONTEXTS: usize = 16;
/// Things that one pipe has open.
const MAX_HANDLES: usize = 512;
/// Facts that wait to be taken.
const MAX_FACTS: usize = 64;
/// Bytes that wait to be read before requests are no longer looked at.
const MAX_WAITING: usize = 2 * MAX_ANSWER;

/// Longest list in a fact, in characters.
const MAX_LIST: usize = 512;

/// What only those may wish for who manage.
const WRITING: u32 = 0x000d_0000;
/// Length of what every fragment begins with.
const HEADER: usize = 16;
/// First and last fragment.
const WHOLE: u8 = 3;

/// NT status codes (MS-ERREF 2.3).
mod status {
    pub const SOME_NOT_MAPPED: u32 = 0x0000_0107;
    pub const NO_MORE_ENTRIES: u32 = 0x8000_001a;
    pub const INVALID_INFO_CLASS: u32 = 0xc000_0003;
    pub const INVALID_PARAMETER: u32 = 0xc000_000d;
    pub const ACCESS_DENIED: u32 = 0xc000_0022;
    pub const NO_SUCH_USER: u32 = 0xc000_0064;
    pub const NO_SUCH_GROUP: u32 = 0xc000_0066;
    pub const NONE_MAPPED: u32 = 0xc000_0073;
    pub const NO_SUCH_DOMAIN: u32 = 0xc000_00df;
    pub const NO_SUCH_ALIAS: u32 = 0xc000_0151;

    /// What a look-up says that found so many of those asked for.
    pub fn mapped(found: usize, asked: usize) -> u32 {
        match found {
            _ if found == asked => 0,
            0 => NONE_MAPPED,
            _ => SOME_NOT_MAPPED,
        }
    }
}

/// Kinds of fragments (C706 section 12.6.4).
mod kind {
    pub const REQUEST: u8 = 0;
    pub const RESPONSE: u8 = 2;
    pub const FAULT: u8 = 3;
    pub const BIND: u8 = 11;
    pub const BIND_ACK: u8 = 12;
    pub const BIND_NAK: u8 = 13;
    pub const ALTER: u8 = 14;
    pub const ALTER_ACK: u8 = 15;
    pub const CANCEL: u8 = 18;
    pub const ORPHANED: u8 = 19;
}

/// What a call was that somebody should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Users or groups were asked for.
    Groups {
        /// The call, as Microsoft names it.
        api: &'static str,
        /// The domain's, or that of the one asked for.
        sid: String,
        /// The last parts of what was told or asked for, with commas.
        rid: String,
        /// The names that were told or asked for, with commas.
        group: String,
        /// Whether it was answered.
        granted: bool,
    },
    /// The registry was asked for.
    Registry {
        /// The call, as Microsoft names it.
        api: &'static str,
        /// `HKEY_LOCAL_MACHINE` and the like.
        hive: &'static str,
        /// The key's path below it.
        key: String,
        /// Whether it was answered.
        granted: bool,
    },
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody: a null session.
    Anonymous,
    /// Somebody unknown.
    Guest,
    /// Somebody who has logged in.
    User,
}

/// The end of the call that is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// No such call.
    Number,
    /// Arguments that can't be read.
    Stub,
    /// A handle of nothing.
    Handle,
    /// Fragments out of order: the pipe is of no more use.
    Protocol,
}

impl From<BadStub> for Fault {
    fn from(_: BadStub) -> Self {
        Self::Stub
    }
}

impl Fault {
    /// Status and flags (C706 appendix E; MS-RPCE 2.2.2.5 did-not-execute).
    const fn told(self) -> (u32, u8) {
        match self {
            Self::Number => (0x1c01_0002, WHOLE | 0x20),
            Self::Stub => (0x0000_06f7, WHOLE),
            Self::Handle => (0x1c00_001a, WHOLE),
            Self::Protocol => (0x1c01_000b, WHOLE),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Srvsvc,
    Wkssvc,
    Samr,
    Lsarpc,
    Winreg,
    Svcctl,
}

/// UUID, major and minor version of an interface, as they lie on the wire.
type Syntax = [u8; 20];

const fn syntax(uuid: u128, version: u32) -> Syntax {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = uuid.to_be_bytes();
    let [q, r, s, t] = version.to_le_bytes();
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p, q, r, s, t]
}

const NDR32: Syntax = syntax(0x8a88_5d04_1ceb_11c9_9fe8_0800_2b10_4860, 2);
/// Not a syntax: asks for features (MS-RPCE 3.3.1.5.3), in the last bytes of its UUID.
const FEATURES: [u8; 8] = [0x2c, 0x1c, 0xb7, 0x6c, 0x12, 0x98, 0x40, 0x45];

impl Service {
    const ALL: [(Self, Syntax); 6] = [
        (
            Self::Srvsvc,
            syntax(0x4b32_4fc8_1670_01d3_1278_5a47_bf6e_e188, 3),
        ),
        (
            Self::Wkssvc,
            syntax(0x6bff_d098_a112_3610_9833_46c3_f87e_345a, 1),
        ),
        (
            Self::Samr,
            syntax(0x1234_5778_1234_abcd_ef00_0123_4567_89ac, 1),
        ),
        (
            Self::Lsarpc,
            syntax(0x1234_5778_1234_abcd_ef00_0123_4567_89ab, 0),
        ),
        (
            Self::Winreg,
            syntax(0x338c_d001_2244_31f1_aaaa_9000_3800_1003, 1),
        ),
        (
            Self::Svcctl,
            syntax(0x367a_bb81_9844_35f1_ad32_98f0_3800_1003, 2),
        ),
    ];
}

/// Pipes of Samba and what answers there.
const SAMBA_PIPES: &[(&str, &[Service])] = &[
    ("epmapper", &[]),
    ("eventlog", &[]),
    ("fssagentrpc", &[]),
    ("initshutdown", &[]),
    ("lsarpc", &[Service::Lsarpc]),
    ("lsass", &[Service::Lsarpc, Service::Samr]),
    ("mdssvc", &[]),
    ("netdfs", &[]),
    ("ntsvcs", &[]),
    ("plugplay", &[]),
    ("samr", &[Service::Samr]),
    ("spoolss", &[]),
    ("srvsvc", &[Service::Srvsvc]),
    ("svcctl", &[Service::Svcctl]),
    ("winreg", &[Service::Winreg]),
    ("wkssvc", &[Service::Wkssvc]),
];

const LSASS: &[Service] = &[Service::Lsarpc, Service::Samr];

/// The same of Windows.
const WINDOWS_PIPES: &[(&str, &[Service])] = &[
    ("atsvc", &[]),
    ("efsrpc", &[]),
    ("epmapper", &[]),
    ("eventlog", &[]),
    ("initshutdown", &[]),
    ("lsarpc", LSASS),
    ("lsass", LSASS),
    ("netlogon", LSASS),
    ("ntsvcs", &[Service::Svcctl]),
    ("protected_storage", LSASS),
    ("samr", LSASS),
    ("scerpc", &[]),
    ("spoolss", &[]),
    ("srvsvc", &[Service::Srvsvc]),
    ("svcctl", &[Service::Svcctl]),
    ("trkwks", &[]),
    ("w32time_alt", &[]),
    ("winreg", &[Service::Winreg]),
    ("wkssvc", &[Service::Wkssvc]),
];

/// An open pipe: what the client writes are fragments, what it reads are the answers.
#[derive(Debug)]
pub struct Pipe {
    name: String,
    services: &'static [Service],
    /// Bound interfaces by the client's numbers.
    contexts: Vec<(u16, Service)>,
    bound: bool,
    /// What the client takes.
    fragment: u16,
    input: Vec<u8>,
    /// The call whose fragments are coming: its number, context, operation, and stub.
    call: Option<(u32, u16, u16, Vec<u8>)>,
    output: Vec<u8>,
    /// Bytes of `output` that have been read.
    taken: usize,
    broken: bool,
    state: State,
}

/// What calls work on.
#[derive(Debug)]
struct State {
    host: Arc<Host>,
    caller: Caller,
    now: Timestamp,
    /// This pipe's own.
    seed: Seed,
    handles: Vec<(Handle, Open)>,
    made: u64,
    facts: Vec<Fact>,
}

/// What a handle names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    Policy,
    Server,
    /// Whether it's the one of built-in groups.
    Domain(bool),
    User(u32),
    Group(u32),
    Alias(bool, u32),
    Key {
        hive: &'static str,
        path: String,
        told: bool,
    },
    Services,
}

impl Pipe {
    /// Opens the pipe called `name`, with or without `\PIPE\` before it; none if there is none.
    /// `seed` is to be this pipe's own.
    pub fn open(name: &str, host: Arc<Host>, caller: Caller, seed: Seed) -> Option<Self> {
        let name = name.trim_start_matches('\\').to_ascii_lowercase();
        let name = name.strip_prefix("pipe\\").unwrap_or(&name);
        let all = if host.windows.is_some() {
            WINDOWS_PIPES
        } else {
            SAMBA_PIPES
        };
        let (name, services) = all.iter().find(|(known, _)| *known == name)?;
        Some(Self {
            name: (*name).to_owned(),
            services,
            contexts: Vec::new(),
            bound: false,
            fragment: MIN_FRAGMENT,
            input: Vec::new(),
            call: None,
            output: Vec::new(),
            taken: 0,
            broken: false,
            state: State {
                host,
                caller,
                now: Timestamp::default(),
                seed,
                handles: Vec::new(),
                made: 0,
                facts: Vec::new(),
            },
        })
    }

    /// Takes what the client wrote. Once it broke the protocol nothing more is taken.
    pub fn write(&mut self, bytes: &[u8], now: Timestamp) {
        self.state.now = now;
        if self.broken {
            return;
        }
        self.input.extend_from_slice(bytes);
        while !self.broken && self.waiting() < MAX_WAITING {
            let Some(fragment) = self.next_fragment() else {
                return;
            };
            if self.fragment(&fragment).is_none() {
                self.broken = true;
            }
        }
        if self.waiting() >= MAX_WAITING {
            self.broken = true;
        }
    }

    /// At most `most` bytes of what's to be said, of one fragment; the rest of it comes next.
    pub fn read(&mut self, most: usize) -> Vec<u8> {
        let rest = self.output.get(self.taken..).unwrap_or_default();
        let bytes = rest.get(..most.min(self.ready())).unwrap_or(rest).to_vec();
        self.taken = self.taken.saturating_add(bytes.len());
        if self.waiting() == 0 {
            self.output.clear();
            self.taken = 0;
        }
        bytes
    }

    /// Whether the fragment that has been begun has more.
    pub fn has_more(&self) -> bool {
        self.within() != 0
    }

    /// Whether the pipe has ended: nothing is left to read, and nothing is taken.
    pub fn is_broken(&self) -> bool {
        self.broken && self.waiting() == 0
    }

    /// What has been seen since last taken.
    pub fn take_events(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.state.facts)
    }

    fn waiting(&self) -> usize {
        self.output.len().saturating_sub(self.taken)
    }

    /// Begin of the fragment that's being read, and its length.
    fn current(&self) -> (usize, usize) {
        let mut at: usize = 0;
        loop {
            let length = self.output.get(at..).and_then(length_of).unwrap_or(0);
            let end = at.saturating_add(length);
            if length == 0 || end > self.taken {
                return (at, length);
            }
            at = end;
        }
    }

    /// Bytes of the current fragment that have been read.
    fn within(&self) -> usize {
        self.taken.saturating_sub(self.current().0)
    }

    /// Bytes of the current fragment that haven't.
    fn ready(&self) -> usize {
        let (at, length) = self.current();
        at.saturating_add(length).saturating_sub(self.taken)
    }

    /// The next whole fragment.
    fn next_fragment(&mut self) -> Option<Vec<u8>> {
        let length = length_of(&self.input)?;
        if length < HEADER {
            self.broken = true;
            return None;
        }
        if self.input.len() < length {
            return None;
        }
        let rest = self.input.split_off(length);
        Some(std::mem::replace(&mut self.input, rest))
    }

    /// One fragment; none when the pipe is to end after what has been said.
    fn fragment(&mut self, bytes: &[u8]) -> Option<()> {
        let head = bytes.first_chunk::<HEADER>()?;
        let [version, minor, kind, flags, order, ..] = *head;
        let call = u32::from_le_bytes(*head.last_chunk()?);
        if version != 5 || minor != 0 {
            self.nak(call, 4);
            return None;
        }
        // Everybody is little-endian, and says so (C706 section 14.1).
        if order != 0x10 {
            return None;
        }
        let auth = usize::from(u16::from_le_bytes([*bytes.get(10)?, *bytes.get(11)?]));
        let body = bytes.get(HEADER..)?;
        match kind {
            kind::BIND if self.bound => {
                self.nak(call, 0);
                None
            }
            kind::BIND if auth > 0 => {
                // Logging in once more inside the pipe isn't offered: authentication type not known.
                self.nak(call, 8);
                None
            }
            kind::BIND => {
                let answer = self.bind(body, kind::BIND_ACK);
                if answer.is_none() {
                    self.nak(call, 0);
                }
                self.bound = true;
                self.say(kind::BIND_ACK, WHOLE, call, &answer?);
                Some(())
            }
            _ if !self.bound => {
                self.nak(call, 4);
                None
            }
            kind::ALTER => {
                let answer = self.bind(body, kind::ALTER_ACK);
                if answer.is_none() {
                    self.fault(call, Fault::Protocol);
                }
                self.say(kind::ALTER_ACK, WHOLE, call, &answer?);
                Some(())
            }
            kind::REQUEST => self.request(flags, call, auth, body),
            kind::CANCEL | kind::ORPHANED => Some(()),
            kind::RESPONSE
            | kind::FAULT
            | kind::BIND_ACK
            | kind::BIND_NAK
            | kind::ALTER_ACK
            | 17 => {
                self.say_fault(call, 0x1c01_000b, WHOLE | 0x20);
                None
            }
            _ => None,
        }
    }

    /// The answer to a bind or alter-context (C706 section 12.6.4.4); none refuses.
    fn bind(&mut self, body: &[u8], answer: u8) -> Option<Vec<u8>> {
        let number = |at: usize| {
            Some(u16::from_le_bytes([
                *body.get(at)?,
                *body.get(at.saturating_add(1))?,
            ]))
        };
        let group = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
        let count = usize::from(*body.get(8)?);
        if count == 0 || count > MAX_CONTEXTS {
            return None;
        }
        let own = self.state.seed.number("group", 0x0800, 0xffff);
        let own = u32::try_from(own).unwrap_or(0x1000);
        if answer == kind::BIND_ACK {
            if group != 0 {
                return None;
            }
            let wished = number(0)?.min(number(2)?);
            self.fragment = wished.clamp(MIN_FRAGMENT, MAX_FRAGMENT);
        }
        let mut results = Vec::new();
        let mut rest = body.get(12..)?;
        for _ in 0..count {
            let id = u16::from_le_bytes([*rest.first()?, *rest.get(1)?]);
            let syntaxes = usize::from(*rest.get(2)?);
            let interface: Syntax = rest.get(4..24)?.try_into().ok()?;
            rest = rest.get(24..)?;
            let mut offered = Vec::new();
            for _ in 0..syntaxes {
                offered.push(rest.get(..20)?);
                rest = rest.get(20..)?;
            }
            results.push(self.result(id, interface, &offered));
        }
        let mut out = Writer::new(0);
        out.u16(self.fragment).u16(self.fragment).u32(own);
        if answer == kind::BIND_ACK {
            let name = format!("\\pipe\\{}\0", self.name);
            out.u16(u16::try_from(name.len()).unwrap_or(0))
                .raw(name.as_bytes());
        } else {
            out.u16(0);
        }
        out.align(4).u32(u32::try_from(results.len()).unwrap_or(0));
        for result in results {
            out.raw(&result);
        }
        Some(out.bytes)
    }

    /// Result, reason and syntax of one context.
    fn result(&mut self, id: u16, interface: Syntax, offered: &[&[u8]]) -> Vec<u8> {
        let refused = |reason: u8| {
            let mut result = vec![2, 0, reason, 0];
            result.resize(24, 0);
            result
        };
        if matches!(offered, [only] if only.starts_with(&FEATURES)) {
            // Negotiated: security contexts at will, and cancelled calls leave the connection.
            let mut result = vec![3, 0, 3, 0];
            result.resize(24, 0);
            return result;
        }
        let known = Service::ALL.iter().find(|(service, syntax)| {
            // A newer minor version than ours isn't taken.
            *syntax == interface && self.services.contains(service)
        });
        let Some((service, _)) = known else {
            return refused(1);
        };
        if !offered.contains(&NDR32.as_slice()) {
            return refused(2);
        }
        self.contexts.retain(|(known, _)| *known != id);
        if self.contexts.len() >= MAX_CONTEXTS {
            return refused(3);
        }
        self.contexts.push((id, *service));
        let mut result = vec![0; 4];
        result.extend_from_slice(&NDR32);
        result
    }

    fn request(&mut self, flags: u8, call: u32, auth: usize, body: &[u8]) -> Option<()> {
        let context = u16::from_le_bytes([*body.get(4)?, *body.get(5)?]);
        let operation = u16::from_le_bytes([*body.get(6)?, *body.get(7)?]);
        // An object's UUID may stand before the stub.
        let stub = body.get(if flags & 0x80 == 0 { 8 } else { 24 }..)?;
        let length = body.len().saturating_add(HEADER);
        let (first, last) = (flags & 1 != 0, flags & 2 != 0);
        let fits = match &self.call {
            None => first,
            Some((other, ..)) => !first && *other == call,
        };
        if !fits || auth > 0 || length > usize::from(MAX_FRAGMENT) {
            let asked = self.call.as_ref().map_or(call, |(other, ..)| *other);
            self.fault(asked, Fault::Protocol);
            return None;
        }
        let (_, context, operation, mut all) =
            self.call
                .take()
                .unwrap_or((call, context, operation, Vec::new()));
        all.extend_from_slice(stub);
        if all.len() > MAX_REQUEST {
            self.fault(call, Fault::Protocol);
            return None;
        }
        if !last {
            self.call = Some((call, context, operation, all));
            return Some(());
        }
        let Some(&(_, service)) = self.contexts.iter().find(|(id, _)| *id == context) else {
            // Unknown interface.
            self.say_fault(call, 0x1c01_0003, WHOLE);
            return Some(());
        };
        match self.state.call(service, operation, &all) {
            Ok(answer) => self.respond(call, context, &answer),
            Err(fault) => self.fault(call, fault),
        }
        Some(())
    }

    /// An answer in as many fragments as it takes.
    fn respond(&mut self, call: u32, context: u16, stub: &[u8]) {
        let room = usize::from(self.fragment).saturating_sub(24) & !7;
        let mut rest = stub;
        let mut flags = 1;
        loop {
            let here = rest.get(..room).unwrap_or(rest);
            let left = rest.get(here.len()..).unwrap_or_default();
            if left.is_empty() {
                flags |= 2;
            }
            let hint = u32::try_from(rest.len()).unwrap_or(0);
            let mut body = hint.to_le_bytes().to_vec();
            body.extend_from_slice(&context.to_le_bytes());
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(here);
            self.say(kind::RESPONSE, flags, call, &body);
            if left.is_empty() {
                return;
            }
            rest = left;
            flags = 0;
        }
    }

    fn fault(&mut self, call: u32, fault: Fault) {
        let (status, flags) = fault.told();
        self.say_fault(call, status, flags);
    }

    fn say_fault(&mut self, call: u32, status: u32, flags: u8) {
        let mut body = 24_u32.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&status.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        self.say(kind::FAULT, flags, call, &body);
    }

    /// Refuses a bind (C706 section 12.6.4.5): reason, and the one version that is spoken.
    fn nak(&mut self, call: u32, reason: u16) {
        let mut body = reason.to_le_bytes().to_vec();
        body.extend_from_slice(&[1, 5, 0, 0, 0, 0]);
        self.say(kind::BIND_NAK, WHOLE, call, &body);
    }

    fn say(&mut self, kind: u8, flags: u8, call: u32, body: &[u8]) {
        let length = u16::try_from(body.len().saturating_add(HEADER)).unwrap_or(u16::MAX);
        self.output
            .extend_from_slice(&[5, 0, kind, flags, 0x10, 0, 0, 0]);
        self.output.extend_from_slice(&length.to_le_bytes());
        self.output.extend_from_slice(&[0, 0]);
        self.output.extend_from_slice(&call.to_le_bytes());
        self.output.extend_from_slice(body);
    }
}

/// The length that a fragment's header tells.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER)?;
    Some(usize::from(u16::from_le_bytes([
        *header.get(8)?,
        *header.get(9)?,
    ])))
}

impl State {
    fn call(&mut self, service: Service, operation: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut input = Reader::new(stub);
        let out = match service {
            Service::Srvsvc => srvsvc::call(self, operation, &mut input),
            Service::Wkssvc => wkssvc::call(self, operation, &mut input),
            Service::Samr => samr::call(self, operation, &mut input),
            Service::Lsarpc => lsarpc::call(self, operation, &mut input),
            Service::Winreg => winreg::call(self, operation, &mut input),
            Service::Svcctl => self.svcctl(operation, &mut input),
        }?;
        if out.bytes.len() > MAX_ANSWER {
            return Err(Fault::Stub);
        }
        Ok(out.bytes)
    }

    /// The service control manager lets nobody do anything (MS-SCMR 3.1.4.15).
    fn svcctl(&mut self, operation: u16, input: &mut Reader<'_>) -> Result<Writer, Fault> {
        const CONNECT: u32 = 1;
        match operation {
            0 => self.close(input),
            15 => {
                input.text_pointer()?;
                input.text_pointer()?;
                let wished = input.u32()?;
                let mut out = Writer::new(0);
                let granted = wished == CONNECT && self.host.windows.is_none();
                let handle = granted.then(|| self.keep(0, Open::Services)).flatten();
                out.raw(&handle.unwrap_or_default());
                out.u32(if handle.is_some() { 0 } else { 5 });
                Ok(out)
            }
            _ => Err(Fault::Number),
        }
    }

    /// Names something open; `sort` is Samba's number of its kind. None when there is too much.
    fn keep(&mut self, sort: u32, open: Open) -> Option<Handle> {
        if self.handles.len() >= MAX_HANDLES {
            return None;
        }
        self.made = self.made.saturating_add(1);
        let mut handle: Handle = self.seed.take(&format!("handle {}", self.made));
        let sort = if self.host.windows.is_some() { 0 } else { sort };
        if let Some(front) = handle.first_chunk_mut::<4>() {
            *front = sort.to_le_bytes();
        }
        // Version 4 of the variant that everybody uses (RFC 9562 section 5.4).
        if let Some(byte) = handle.get_mut(11) {
            *byte = (*byte & 0x0f) | 0x40;
        }
        if let Some(byte) = handle.get_mut(12) {
            *byte = (*byte & 0x3f) | 0x80;
        }
        self.handles.push((handle, open));
        Some(handle)
    }

    /// What the handle that comes next names.
    fn open(&self, input: &mut Reader<'_>) -> Result<Open, Fault> {
        let handle = input.handle()?;
        let found = self.handles.iter().find(|(known, _)| *known == handle);
        found.map(|(_, open)| open.clone()).ok_or(Fault::Handle)
    }

    /// Closes the handle that comes next.
    fn close(&mut self, input: &mut Reader<'_>) -> Result<Writer, Fault> {
        let handle = input.handle()?;
        let before = self.handles.len();
        self.handles.retain(|(known, _)| *known != handle);
        if self.handles.len() == before {
            return Err(Fault::Handle);
        }
        let mut out = Writer::new(0);
        out.raw(&[0; 20]).u32(0);
        Ok(out)
    }

    /// Answers with a handle, or with the zero one and `refused`.
    fn opened(&mut self, sort: u32, open: Result<Open, u32>) -> Writer {
        const NO_MEMORY: u32 = 0xc000_009a;
        let kept = open.and_then(|open| self.keep(sort, open).ok_or(NO_MEMORY));
        let mut out = Writer::new(0);
        match kept {
            Ok(handle) => out.raw(&handle).u32(0),
            Err(status) => out.raw(&[0; 20]).u32(status),
        };
        out
    }

    fn tell(&mut self, fact: Fact) {
        if self.facts.len() < MAX_FACTS {
            self.facts.push(fact);
        }
    }

    /// Tells of a call that was about `these`, numbers and names.
    fn tell_groups(
        &mut self,
        api: &'static str,
        sid: &Sid,
        these: &[(u32, String)],
        granted: bool,
    ) {
        let list = |texts: Vec<String>| {
            let mut all = texts.join(",");
            if let Some((at, _)) = all.char_indices().nth(MAX_LIST) {
                all.truncate(at);
                all.push('…');
            }
            all
        };
        self.tell(Fact::Groups {
            api,
            sid: sid.to_string(),
            rid: list(these.iter().map(|(rid, _)| rid.to_string()).collect()),
            group: list(these.iter().map(|(_, name)| name.clone()).collect()),
            granted,
        });
    }

    fn is_samba(&self) -> bool {
        self.host.windows.is_none()
    }
}
