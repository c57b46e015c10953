//! One connection: frames, compounds, credits, signatures, and who answers which command.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use coalmine_core::decoy::{Broken, Session};
use coalmine_core::scan::HostPortScan;
use coalmine_core::{Context, Out, Seed, Timestamp};

use super::client::Client;
use super::files::Open;
use super::login::{Login, Pending};
use super::message::{HEADER, Header, Request, Writer, command, count, flags, put};
use super::negotiate::{self, Agreed, Offer, Told};
use super::room::{Room, Tenant};
use super::rpc::Caller;
use super::seal::{Keys, TRANSFORM, sealed_for};
use super::smb1::{self, Wants};
use super::status::Status;
use super::{Server, ShareEvent};

/// Longest message that is read, in bytes. Nothing can be written but to pipes, in small pieces.
pub(super) const MAX_MESSAGE: usize = 256 * 1024;
/// Most requests in one message.
const MAX_COMPOUND: usize = 64;
/// Most credits that a client holds.
const MAX_CREDITS: u64 = 8192;
/// Sessions of one connection, set up or half-way.
pub(super) const MAX_SESSIONS: usize = 32;
/// Requests of one connection that wait.
const MAX_WAITING: usize = 64;
/// What all answers to one message may hold besides file contents, in bytes.
const MAX_ANSWERS: usize = 256 * 1024;

/// Types of packets (RFC 1002 section 4.3.1).
const SESSION_MESSAGE: u8 = 0;
const SESSION_REQUEST: u8 = 0x81;
const POSITIVE_RESPONSE: [u8; 4] = [0x82, 0, 0, 0];

pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) peer: IpAddr,
    pub(super) local: IpAddr,
    port: u16,
    seed: Seed,
    /// How many numbers were drawn.
    drawn: u64,
    pub(super) agreed: Option<Agreed>,
    /// The client was told to offer SMB 2's dialects.
    wildcard: bool,
    pub(super) offer: Offer,
    pub(super) client: Client,
    /// Hash of what was said before sessions (3.1.4.4.2).
    pub(super) preauth: [u8; 64],
    window: Window,
    pub(super) pending: BTreeMap<u64, Pending>,
    pub(super) sessions: BTreeMap<u64, Login>,
    pub(super) opens: BTreeMap<u64, Open>,
    waiting: Vec<Waiting>,
    /// What is said behind the answer to the current message.
    late: Vec<Late>,
    next_async: u64,
    /// The session that the current message has ended.
    pub(super) gone: Option<Login>,
    /// The session that the last request was in.
    current: u64,
    /// Room for answers that have not left yet.
    pub(super) room: Tenant,
    /// What was seen in this call.
    pub(super) seen: Vec<(ShareEvent, u32)>,
}

/// A request that is answered later.
struct Waiting {
    header: Header,
    id: u64,
    file: u64,
    /// Most bytes to be read from a pipe; `None` for news of a folder.
    read: Option<usize>,
    sealed: bool,
}

/// One request and what it inherits from those before it in its message.
pub(super) struct Ask<'a> {
    pub(super) request: Request<'a>,
    pub(super) session: u64,
    pub(super) tree: u32,
    /// The file that the request before it opened.
    pub(super) file: Option<u64>,
    /// It came encrypted.
    pub(super) sealed: bool,
    pub(super) now: Timestamp,
    /// Bytes that the answer may still hold.
    pub(super) left: usize,
    /// Session and tree in the answer's header.
    pub(super) told: (u64, u32),
}

impl Ask<'_> {
    /// Room in the answer for what the client takes.
    pub(super) fn room(&self, wanted: u32) -> usize {
        usize::try_from(wanted).unwrap_or(0).min(self.left)
    }
}

/// What requests of one message hand on (3.3.5.2.7.2).
#[derive(Default)]
struct Chain {
    session: u64,
    tree: u32,
    file: Option<u64>,
    /// How the first one failed that the others depend on.
    failed: Option<Status>,
    said: usize,
    credits: u16,
}

impl Connection {
    pub(super) fn new(server: Arc<Server>, context: &Context) -> Self {
        Self {
            peer: context.peer.ip().to_canonical(),
            local: context.local.ip().to_canonical(),
            port: context.local.port(),
            seed: context.seed.clone(),
            drawn: 0,
            agreed: None,
            wildcard: false,
            offer: Offer::default(),
            client: Client::default(),
            preauth: [0; 64],
            window: Window::new(),
            pending: BTreeMap::new(),
            sessions: BTreeMap::new(),
            opens: BTreeMap::new(),
            waiting: Vec::new(),
            late: Vec::new(),
            next_async: 0,
            gone: None,
            current: 0,
            room: Room::tenant(&server.room),
            seen: Vec::new(),
            server,
        }
    }

    /// A number that the client couldn't guess.
    pub(super) fn draw(&mut self) -> u32 {
        self.drawn = self.drawn.saturating_add(1);
        let label = format!("smb number {}", self.drawn);
        let drawn = self.seed.number(&label, 1, u64::from(u32::MAX));
        u32::try_from(drawn).unwrap_or(1)
    }

    /// Random bytes of this connection.
    pub(super) fn random<const N: usize>(&mut self) -> [u8; N] {
        self.drawn = self.drawn.saturating_add(1);
        self.seed.take(&format!("smb bytes {}", self.drawn))
    }

    /// One packet: its type and what it holds.
    fn packet(
        &mut self,
        kind: u8,
        body: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), Broken> {
        match kind {
            SESSION_MESSAGE => self.message(body, now, out),
            SESSION_REQUEST if self.agreed.is_none() => {
                out.send(POSITIVE_RESPONSE);
                Ok(())
            }
            _ => Err(Broken),
        }
    }

    fn message(&mut self, bytes: &[u8], now: Timestamp, out: &mut Out) -> Result<(), Broken> {
        match bytes.get(..4) {
            Some(b"\xfeSMB") => self.requests(bytes, None, now, out),
            Some(b"\xfdSMB") => {
                let id = sealed_for(bytes).ok_or(Broken)?;
                let keys = self.keys(id).ok_or(Broken)?;
                let plain = keys.open(bytes).ok_or(Broken)?;
                self.requests(&plain, Some(id), now, out)
            }
            Some(b"\xffSMB") => self.smb1(bytes, now, out),
            _ => Err(Broken),
        }
    }

    fn keys(&self, session: u64) -> Option<&Keys> {
        self.sessions.get(&session)?.keys.as_ref()
    }

    /// Whose keys sign an answer with this header. In a compound the header repeats that the session
    /// is the one of the request before.
    fn signer(&self, header: &Header) -> Option<&Login> {
        let named = self.sessions.get(&header.session).or(self.gone.as_ref());
        named.or_else(|| self.sessions.get(&self.current))
    }

    fn smb1(&mut self, bytes: &[u8], now: Timestamp, out: &mut Out) -> Result<(), Broken> {
        let asked = smb1::read(bytes).ok_or(Broken)?;
        if let Some(number) = asked.finger {
            let ports = self.port.to_string();
            out.see_as(&HostPortScan { ports }, number);
        }
        if self.agreed.is_some() || self.wildcard {
            return Err(Broken);
        }
        let dialect = match asked.wants {
            Wants::Any => negotiate::Dialect::Smb210,
            Wants::Smb202 => negotiate::Dialect::Smb202,
            Wants::Smb1 if self.server.product.is_samba() => {
                out.send(framed(&smb1::refusal(bytes).ok_or(Broken)?));
                return Ok(());
            }
            Wants::Smb1 | Wants::Other => return Err(Broken),
        };
        self.client.multi_protocol = true;
        self.wildcard = dialect == negotiate::Dialect::Smb210;
        let capabilities = u32::MAX;
        let offer = Offer {
            capabilities,
            ..Offer::default()
        };
        let agreed = self.server.agree(&offer, dialect);
        let header = Header {
            charge: 0,
            command: command::NEGOTIATE,
            credits: 1,
            flags: 0,
            next: 0,
            message: 0,
            process: 0,
            tree: 0,
            session: 0,
        };
        // The client goes on with message 1 after this one.
        self.window.take(0, 1);
        self.window.grant(1);
        let mut reply = Writer(vec![0; HEADER]);
        self.tell(&agreed, self.wildcard, now, &mut reply);
        head(&mut reply.0, 0, &header, Status::OK, 0);
        put(&mut reply.0, 14, &[1, 0]);
        if !self.wildcard {
            self.agreed = Some(agreed);
        }
        out.send(framed(&reply.0));
        Ok(())
    }

    /// The answer to a negotiation.
    fn tell(&mut self, agreed: &Agreed, wildcard: bool, now: Timestamp, reply: &mut Writer) {
        let salt = self.random();
        let told = Told {
            guid: &self.server.guid,
            security_mode: self.server.security_mode(),
            filetime: now.filetime(),
            hello: &self.server.hello,
            salt,
        };
        negotiate::answer(agreed, wildcard, &told, reply);
    }

    /// One message's requests, answered in one message.
    fn requests(
        &mut self,
        bytes: &[u8],
        sealed: Option<u64>,
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), Broken> {
        let start = start(sealed);
        let mut answer = Writer(vec![0; start]);
        let mut chain = Chain::default();
        let mut rest = bytes;
        let mut last = start;
        for number in 0..MAX_COMPOUND {
            let header = Header::parse(rest).ok_or(Broken)?;
            let (one, after) = match usize::try_from(header.next).map_err(|_| Broken)? {
                0 => (rest, None),
                next if next < HEADER || !next.is_multiple_of(8) => return Err(Broken),
                next => {
                    let (one, after) = rest.split_at_checked(next).ok_or(Broken)?;
                    (one, Some(after))
                }
            };
            let from = answer.len();
            let request = Request { header, bytes: one };
            chain.said = from.saturating_sub(start);
            self.request(request, sealed, number == 0, &mut chain, now, &mut answer)?;
            if answer.len() > from {
                if number > 0 || after.is_some() {
                    answer.align(from);
                    put(&mut answer.0, from.saturating_add(14), &[0, 0]);
                }
                if from > start {
                    let next = from.saturating_sub(last);
                    answer.patch(last.saturating_add(20), count(next));
                }
                last = from;
            }
            let Some(after) = after else { break };
            if number.saturating_add(1) == MAX_COMPOUND {
                return Err(Broken);
            }
            rest = after;
        }
        if answer.len() > start {
            // A message's credits come with its last answer.
            let credits = chain.credits.to_le_bytes();
            put(&mut answer.0, last.saturating_add(14), &credits);
            self.finish(&mut answer.0, sealed)?;
            out.send_whole(answer.0);
        }
        for late in std::mem::take(&mut self.late) {
            self.send_late(&late, out)?;
        }
        self.gone = None;
        for (event, number) in self.seen.drain(..) {
            out.see_as(&event, number);
        }
        Ok(())
    }

    /// One request; its answer, if it has one now, goes to `answer`.
    fn request(
        &mut self,
        request: Request<'_>,
        sealed: Option<u64>,
        first: bool,
        chain: &mut Chain,
        now: Timestamp,
        answer: &mut Writer,
    ) -> Result<(), Broken> {
        let header = request.header;
        if header.has(flags::RESPONSE) {
            return Err(Broken);
        }
        if header.command == command::CANCEL {
            self.cancel(&header);
            return Ok(());
        }
        let several = self
            .agreed
            .as_ref()
            .is_some_and(|a| a.dialect.multi_credit());
        let charge = if several { header.charge.max(1) } else { 1 };
        if !self.window.take(header.message, charge) {
            return Err(Broken);
        }
        if header.command == command::NEGOTIATE {
            return self.negotiate(&request, chain, now, answer);
        }
        if self.agreed.is_none() {
            return Err(Broken);
        }
        let related = header.has(flags::RELATED);
        if !related {
            *chain = Chain {
                session: header.session,
                tree: header.tree,
                said: chain.said,
                credits: chain.credits,
                ..Chain::default()
            };
        } else if first {
            chain.failed = Some(Status::INVALID_PARAMETER);
        }
        let mut ask = Ask {
            request,
            session: chain.session,
            tree: chain.tree,
            file: chain.file,
            sealed: sealed.is_some(),
            now,
            left: MAX_ANSWERS.saturating_sub(chain.said),
            told: (header.session, header.tree),
        };
        let at = answer.len();
        answer.zeros(HEADER);
        let status = match chain.failed {
            Some(failed) => failed,
            None => match self.check(&ask, sealed) {
                Err(refused) => refused,
                Ok(()) => self.answer(&mut ask, answer),
            },
        };
        if status.is_error() {
            chain.failed = chain.failed.or((ask.file.is_none()).then_some(status));
            if status != Status::BUFFER_TOO_SMALL && status != Status::MORE_PROCESSING_REQUIRED {
                answer.0.truncate(at.saturating_add(HEADER));
                answer.u16(9).zeros(7);
            }
        }
        chain.file = ask.file;
        let (told_session, told_tree) = ask.told;
        if !related {
            chain.session = told_session;
            chain.tree = told_tree;
        }
        let header = Header {
            session: told_session,
            tree: told_tree,
            ..header
        };
        let granted = self
            .window
            .grant(self.server.credits(&header, charge, status));
        chain.credits = chain.credits.saturating_add(granted);
        self.current = chain.session;
        let login = self.sessions.get(&chain.session);
        let login = login.or(self.gone.as_ref());
        let signs = login.is_some_and(|login| {
            let asked = header.has(flags::SIGNED) || login.must_sign;
            // What lets nobody in isn't signed unasked.
            let done = header.command == command::SESSION_SETUP
                && status == Status::OK
                && login.caller == Caller::User;
            login.keys.is_some() && (asked || done) && sealed.is_none()
        });
        let mut told = header.flags & flags::RELATED;
        if signs {
            told |= flags::SIGNED;
        }
        if status == Status::PENDING {
            let id = self.waiting.last().map_or(0, |waiting| waiting.id);
            answer.0.truncate(at.saturating_add(HEADER));
            let filler = if self.server.product.is_samba() {
                0x21
            } else {
                0
            };
            answer.u16(9).zeros(6).u8(filler);
            head(
                &mut answer.0,
                at,
                &header.asynchronous(id),
                status,
                told | flags::ASYNC,
            );
        } else {
            head(&mut answer.0, at, &header, status, told);
        }
        // In a compound only the last answer's stay.
        if first {
            put(&mut answer.0, at.saturating_add(14), &granted.to_le_bytes());
        }
        if status == Status::MORE_PROCESSING_REQUIRED
            && let Some(pending) = self.pending.get_mut(&told_session)
            && let Some(said) = answer.0.get(at..)
        {
            negotiate::extend(&mut pending.preauth, said);
        }
        Ok(())
    }

    /// The first request of all (3.3.5.4).
    fn negotiate(
        &mut self,
        request: &Request<'_>,
        chain: &mut Chain,
        now: Timestamp,
        answer: &mut Writer,
    ) -> Result<(), Broken> {
        if self.agreed.is_some() || answer.len() > 4 {
            return Err(Broken);
        }
        let at = answer.len();
        answer.zeros(HEADER);
        let status = match Offer::parse(request, self.server.best_dialect()) {
            Err(refused) => {
                answer.u16(9).zeros(7);
                refused
            }
            Ok((offer, dialect)) => {
                let agreed = self.server.agree(&offer, dialect);
                self.tell(&agreed, false, now, answer);
                self.client.offered(&offer);
                self.offer = offer;
                self.agreed = Some(agreed);
                Status::OK
            }
        };
        chain.credits = self.window.grant(1);
        head(&mut answer.0, at, &request.header, status, 0);
        put(
            &mut answer.0,
            at.saturating_add(14),
            &chain.credits.to_le_bytes(),
        );
        negotiate::extend(&mut self.preauth, request.bytes);
        if let Some(said) = answer.0.get(at..) {
            negotiate::extend(&mut self.preauth, said);
        }
        Ok(())
    }

    /// Whether a request may be made at all (3.3.5.2).
    fn check(&self, ask: &Ask<'_>, sealed: Option<u64>) -> Result<(), Status> {
        let header = &ask.request.header;
        if header.command > command::OPLOCK_BREAK {
            return Err(Status::INVALID_PARAMETER);
        }
        if sealed.is_some_and(|id| id != ask.session) {
            return Err(Status::ACCESS_DENIED);
        }
        let login = self.sessions.get(&ask.session);
        if let Some(login) = login.filter(|_| sealed.is_none()) {
            if login.must_seal {
                return Err(Status::ACCESS_DENIED);
            }
            let signed = header.has(flags::SIGNED);
            let right = signed
                && login
                    .keys
                    .as_ref()
                    .is_some_and(|keys| keys.verify(ask.request.bytes));
            if (signed || login.must_sign) && !right {
                return Err(Status::ACCESS_DENIED);
            }
        }
        if matches!(header.command, command::SESSION_SETUP | command::ECHO) {
            return Ok(());
        }
        let login = login.ok_or(Status::USER_SESSION_DELETED)?;
        if matches!(header.command, command::LOGOFF | command::TREE_CONNECT) {
            return Ok(());
        }
        match login.trees.contains_key(&ask.tree) {
            true => Ok(()),
            false => Err(Status::NETWORK_NAME_DELETED),
        }
    }

    fn answer(&mut self, ask: &mut Ask<'_>, reply: &mut Writer) -> Status {
        let outcome = match ask.request.header.command {
            command::SESSION_SETUP => self.session_setup(ask, reply),
            command::LOGOFF => self.logoff(ask, reply),
            command::TREE_CONNECT => self.tree_connect(ask, reply),
            command::TREE_DISCONNECT => self.tree_disconnect(ask, reply),
            command::CREATE => self.create(ask, reply),
            command::CLOSE => self.close(ask, reply),
            command::FLUSH => self.flush(ask),
            command::READ => self.read(ask, reply),
            command::WRITE => self.write(ask, reply),
            command::LOCK => self.lock(ask, reply),
            command::IOCTL => self.ioctl(ask, reply),
            command::ECHO => match ask.request.body(4) {
                Some(_) => {
                    reply.u16(4).u16(0);
                    Ok(Status::OK)
                }
                None => Err(Status::INVALID_PARAMETER),
            },
            command::QUERY_DIRECTORY => self.query_directory(ask, reply),
            command::CHANGE_NOTIFY => self.change_notify(ask),
            command::QUERY_INFO => self.query_info(ask, reply),
            command::SET_INFO => self.set_info(ask),
            // Nobody holds more than it may share.
            _ => Err(Status::INVALID_PARAMETER),
        };
        outcome.unwrap_or_else(|refused| refused)
    }

    /// Lets a request wait for news of a file, or for what a pipe has to say.
    pub(super) fn wait(&mut self, ask: &Ask<'_>, file: u64, read: Option<usize>) -> Status {
        if self.waiting.len() >= MAX_WAITING {
            return Status::INSUFFICIENT_RESOURCES;
        }
        self.next_async = self.next_async.saturating_add(1);
        self.waiting.push(Waiting {
            header: Header {
                session: ask.session,
                ..ask.request.header
            },
            id: self.next_async,
            file,
            read,
            sealed: ask.sealed,
        });
        Status::PENDING
    }

    /// 3.3.5.16: says nothing itself; what it cancels does.
    fn cancel(&mut self, header: &Header) {
        let found = self.waiting.iter().position(|waiting| {
            if header.has(flags::ASYNC) {
                waiting.id == header.async_id()
            } else {
                waiting.header.message == header.message
            }
        });
        if let Some(at) = found {
            let waiting = self.waiting.remove(at);
            self.late.push(Late::nothing(waiting, Status::CANCELLED));
        }
    }

    /// A file is closed: nobody will have news of it.
    pub(super) fn forget(&mut self, file: u64) {
        self.opens.remove(&file);
        while let Some(at) = self.waiting.iter().position(|w| w.file == file) {
            let waiting = self.waiting.remove(at);
            let status = match waiting.read {
                Some(_) => Status::PIPE_DISCONNECTED,
                None => Status::NOTIFY_CLEANUP,
            };
            self.late.push(Late::nothing(waiting, status));
        }
    }

    /// A pipe has something to say to those that wait for it.
    pub(super) fn pipe_speaks(&mut self, file: u64) {
        while let Some(at) = self
            .waiting
            .iter()
            .position(|waiting| waiting.file == file && waiting.read.is_some())
        {
            let most = self.waiting.get(at).and_then(|waiting| waiting.read);
            let said = self.pipe(file).map(|pipe| pipe.read(most.unwrap_or(0)));
            let Some(said) = said.filter(|said| !said.is_empty()) else {
                return;
            };
            let waiting = self.waiting.remove(at);
            let ids = self.ids(file);
            let mut body = Writer::default();
            match waiting.header.command {
                command::READ => super::files::read_head(&mut body, said.len()),
                _ => super::ioctl::head(&mut body, super::ioctl::PIPE_TRANSCEIVE, ids, said.len()),
            }
            body.bytes(&said);
            self.late.push(Late {
                waiting,
                status: Status::OK,
                body: body.0,
            });
        }
    }

    /// The answer to a request that waited.
    fn send_late(&mut self, late: &Late, out: &mut Out) -> Result<(), Broken> {
        let waiting = &late.waiting;
        let sealed = waiting.sealed.then_some(waiting.header.session);
        let at = start(sealed);
        let mut answer = Writer(vec![0; at]);
        answer.zeros(HEADER).bytes(&late.body);
        let login = self.sessions.get(&waiting.header.session);
        let login = login.or(self.gone.as_ref());
        let signs = login.is_some_and(|login| login.must_sign || waiting.header.has(flags::SIGNED));
        let told = flags::ASYNC | if signs { flags::SIGNED } else { 0 };
        let header = waiting.header.asynchronous(waiting.id);
        head(&mut answer.0, at, &header, late.status, told);
        self.finish(&mut answer.0, sealed)?;
        out.send_whole(answer.0);
        Ok(())
    }

    /// Signs the answers that are to be signed, or encrypts them all, and puts the length before
    /// them.
    fn finish(&mut self, bytes: &mut [u8], sealed: Option<u64>) -> Result<(), Broken> {
        if let Some(id) = sealed {
            // Maybe the last answer of a session that has just gone.
            let login = match self.sessions.get_mut(&id) {
                Some(login) => login,
                None => self.gone.as_mut().ok_or(Broken)?,
            };
            login.sealed = login.sealed.saturating_add(1);
            let keys = login.keys.as_ref().ok_or(Broken)?;
            keys.seal(bytes, 4, id, login.sealed).ok_or(Broken)?;
        } else {
            let mut at = 4;
            while let Some(header) = bytes.get(at..).and_then(Header::parse) {
                let length = bytes.len().saturating_sub(at);
                let next = match usize::try_from(header.next).unwrap_or(0) {
                    0 => length,
                    next => next.min(length),
                };
                let end = at.saturating_add(next);
                if header.has(flags::SIGNED) {
                    let login = self.signer(&header);
                    let keys = login.and_then(|login| login.keys.as_ref());
                    if let (Some(keys), Some(one)) = (keys, bytes.get_mut(at..end)) {
                        keys.sign(one);
                    }
                }
                at = end;
            }
        }
        let length = count(bytes.len().saturating_sub(4)).to_be_bytes();
        put(bytes, 0, &length);
        put(bytes, 0, &[SESSION_MESSAGE]);
        Ok(())
    }
}

impl Session for Connection {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        // What was said has left.
        self.room.leave();
        let mut used = 0_usize;
        while !out.is_full() {
            let rest = input.get(used..).unwrap_or_default();
            let Some((header, rest)) = rest.split_first_chunk::<4>() else {
                break;
            };
            let [kind, length @ ..] = *header;
            let [a, b, c] = length;
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if kind == SESSION_MESSAGE && length > MAX_MESSAGE {
                return Err(Broken);
            }
            let Some(body) = rest.get(..length) else {
                break;
            };
            self.packet(kind, body, now, out)?;
            used = used.saturating_add(length).saturating_add(4);
        }
        Ok(used)
    }
}

/// Answers to requests that waited.
struct Late {
    waiting: Waiting,
    status: Status,
    body: Vec<u8>,
}

impl Late {
    fn nothing(waiting: Waiting, status: Status) -> Self {
        let mut body = Writer::default();
        body.u16(9).zeros(7);
        Self {
            waiting,
            status,
            body: body.0,
        }
    }
}

/// Where an answer begins behind the room for its frame.
fn start(sealed: Option<u64>) -> usize {
    match sealed {
        Some(_) => TRANSFORM.saturating_add(4),
        None => 4,
    }
}

/// A message in its frame.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = count(message.len()).to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

/// Fills in an answer's header at `at`.
fn head(bytes: &mut [u8], at: usize, to: &Header, status: Status, more: u32) {
    let mut header = Writer::default();
    header
        .bytes(b"\xfeSMB")
        .u16(64)
        .u16(to.charge)
        .u32(status.0)
        .u16(to.command)
        .u16(0)
        .u32(flags::RESPONSE | more)
        .u32(0)
        .u64(to.message)
        .u32(to.process)
        .u32(to.tree)
        .u64(to.session)
        .zeros(16);
    put(bytes, at, &header.0);
}

/// Which message numbers the client may use (3.3.1.1).
struct Window {
    low: u64,
    /// How many numbers from `low` on are the client's.
    size: u64,
    /// Those of them that it has used.
    used: BTreeSet<u64>,
}

impl Window {
    fn new() -> Self {
        Self {
            low: 0,
            size: 1,
            used: BTreeSet::new(),
        }
    }

    /// Whether `charge` numbers from `first` on could be used; then they have been.
    fn take(&mut self, first: u64, charge: u16) -> bool {
        let Some(end) = first.checked_add(u64::from(charge)) else {
            return false;
        };
        if first < self.low || end > self.low.saturating_add(self.size) {
            return false;
        }
        if self.used.range(first..end).next().is_some() {
            return false;
        }
        self.used.extend(first..end);
        while self.used.remove(&self.low) {
            self.low = self.low.saturating_add(1);
            self.size = self.size.saturating_sub(1);
        }
        true
    }

    /// Gives as many of `wanted` credits as the client may hold; never lets it hold none.
    fn grant(&mut self, wanted: u16) -> u16 {
        let room = MAX_CREDITS.saturating_sub(self.size);
        let held = self
            .size
            .saturating_sub(u64::try_from(self.used.len()).unwrap_or(0));
        let least = u16::from(held == 0);
        let granted = wanted
            .max(least)
            .min(u16::try_from(room).unwrap_or(u16::MAX));
        self.size = self.size.saturating_add(u64::from(granted));
        granted
    }
}
