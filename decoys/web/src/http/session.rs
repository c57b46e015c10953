//! One connection: heads, bodies, answers, and what they tell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Channel, Session};
use coalmine_core::text::printable;
use coalmine_core::{Context, Out, Seed, Timestamp};

use super::head::{Head, Size};
use super::login::{self, Credentials};
use super::parse::{Chunks, Field, FieldParser, LineParser, Progress, Room, Version};
use super::reply::{Manner, Reply};
use super::site::Site;
use super::skin::{self, Door};
use super::status::Status;
use super::{HttpLogin, HttpPageLoad, HttpPostError, HttpScan};

/// Requests of one connection (`keepalive_requests`).
const MAX_REQUESTS: u32 = 1_000;
/// Body that is taken (`client_max_body_size`), in bytes.
const MAX_BODY: u64 = 1024 * 1024;
/// Body that is kept to look for credentials, in bytes.
const MAX_KEPT_BODY: usize = 64 * 1024;
/// Silence while a head or a body is due (`client_header_timeout`, `client_body_timeout`).
const PATIENCE: Duration = Duration::from_secs(60);
/// Silence between requests (`keepalive_timeout`).
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a refused body is still taken off the wire (`lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);
/// How long an answer that needs no body waits for it, so that credentials are told first.
const BODY_GRACE: Duration = Duration::from_millis(200);

/// A connection.
pub(super) struct Connection {
    site: Arc<Site>,
    peer: SocketAddr,
    local: SocketAddr,
    seed: Seed,
    channel: Channel,
    served: u32,
    stage: Stage,
}

enum Stage {
    /// A request line is due.
    Line(LineParser, Room),
    /// Its fields are.
    Fields(Box<Head>, FieldParser, Room),
    /// Its body is.
    Body(Box<Exchange>),
    /// The answer is, after a pause.
    Pause(Box<Exchange>),
    /// Nothing more is said; what still comes is thrown away.
    Linger,
}

/// A request and what is known of its answer.
struct Exchange {
    head: Head,
    body: Body,
    kept: Vec<u8>,
    taken: u64,
    door: Door,
    answered: bool,
    keep_alive: bool,
}

enum Body {
    Known(u64),
    Chunked(Chunks),
}

impl Connection {
    pub(super) fn open(site: &Arc<Site>, context: &Context, out: &mut Out) -> Self {
        out.read_until(PATIENCE);
        Self {
            site: site.clone(),
            peer: context.peer,
            local: context.local,
            seed: context.seed.clone(),
            channel: context.channel,
            served: 0,
            stage: Stage::line(),
        }
    }

    /// One step; how many bytes it took, and whether another may follow.
    fn step(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> (usize, bool) {
        match std::mem::replace(&mut self.stage, Stage::Linger) {
            Stage::Line(parser, room) => self.line(parser, room, input, now, out),
            Stage::Fields(head, parser, room) => self.field(head, parser, room, input, now, out),
            Stage::Body(exchange) => self.body(exchange, input, now, out),
            Stage::Pause(exchange) => {
                self.stage = Stage::Pause(exchange);
                (0, false)
            }
            Stage::Linger => {
                self.stage = Stage::Linger;
                out.read_until(LINGER);
                (input.len(), false)
            }
        }
    }

    fn line(
        &mut self,
        mut parser: LineParser,
        mut room: Room,
        input: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let blank = input
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        if blank > 0 {
            self.stage = Stage::Line(parser, room);
            return (blank, true);
        }
        match parser.read(input) {
            Progress::More if Room::can_grow(input.len()) => {
                if input.is_empty() && self.served > 0 {
                    out.read_until(KEEP_ALIVE);
                } else {
                    out.read_until(PATIENCE);
                }
                self.stage = Stage::Line(parser, room);
                (0, false)
            }
            Progress::More => {
                self.refuse(Status::UriTooLarge, None, parser.is_head(input), now, out)
            }
            Progress::Refused(status) => self.refuse(status, None, parser.is_head(input), now, out),
            Progress::Done(line, len) => {
                let head_only = line.method == b"HEAD";
                if !room.take(len) {
                    return self.refuse(Status::UriTooLarge, None, head_only, now, out);
                }
                let old = line.version == Version::Http09;
                if old && line.method != b"GET" {
                    out.send(self.site.page(Status::BadRequest, None).body);
                    out.close();
                    return (len, false);
                }
                match Head::new(line) {
                    Err(status) => self.refuse(status, None, head_only, now, out),
                    Ok(head) if old => {
                        self.complete(Box::new(head), now, out);
                        (len, true)
                    }
                    Ok(head) => {
                        self.stage = Stage::Fields(Box::new(head), FieldParser::new(), room);
                        (len, true)
                    }
                }
            }
        }
    }

    fn field(
        &mut self,
        mut head: Box<Head>,
        mut parser: FieldParser,
        mut room: Room,
        input: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let head_only = head.is("HEAD");
        match parser.read(input) {
            Progress::More if Room::can_grow(input.len()) => {
                out.read_until(PATIENCE);
                self.stage = Stage::Fields(head, parser, room);
                (0, false)
            }
            Progress::More => self.refuse(Status::HeaderTooLarge, Some(&head), head_only, now, out),
            Progress::Refused(status) => self.refuse(status, Some(&head), head_only, now, out),
            Progress::Done(_, len) if !room.take(len) => {
                self.refuse(Status::HeaderTooLarge, Some(&head), head_only, now, out)
            }
            Progress::Done(Field::End, len) => {
                self.complete(head, now, out);
                (len, true)
            }
            Progress::Done(field, len) => {
                if let Field::Named(name, value) = field
                    && let Err(status) = head.add(name, value)
                {
                    return self.refuse(status, Some(&head), head_only, now, out);
                }
                self.stage = Stage::Fields(head, FieldParser::new(), room);
                (len, true)
            }
        }
    }

    /// The head is whole.
    fn complete(&mut self, head: Box<Head>, now: Timestamp, out: &mut Out) {
        let head_only = head.is("HEAD");
        let size = match head.check() {
            Ok(size) => size,
            Err(status) => {
                self.refuse(status, Some(&head), head_only, now, out);
                return;
            }
        };
        if self.channel == Channel::ClearOnTls {
            self.refuse(Status::ToHttps, Some(&head), head_only, now, out);
            return;
        }
        self.served = self.served.saturating_add(1);
        let keep_alive = head.keeps_alive() && self.served < MAX_REQUESTS;
        if matches!(size, Size::Known(len) if len > MAX_BODY) {
            self.refuse(Status::BodyTooLarge, Some(&head), head_only, now, out);
            // nginx takes the body off the wire before it closes, lest the answer is lost.
            out.read_until(LINGER);
            self.stage = Stage::Linger;
            return;
        }
        let door = skin::door(&self.site, &head);
        let empty = size == Size::Known(0);
        let mut exchange = Box::new(Exchange {
            body: match size {
                Size::Known(len) => Body::Known(len),
                Size::Chunked => Body::Chunked(Chunks::default()),
            },
            head: *head,
            kept: Vec::new(),
            taken: 0,
            door,
            answered: false,
            keep_alive,
        });
        // nginx gives leave where it reads the body: in the application, and before a file.
        let waits = exchange.head.expects_leave();
        if waits && (exchange.door.reads_body() || self.is_file(&exchange)) {
            out.send("HTTP/1.1 100 Continue\r\n\r\n");
        } else if waits && !empty {
            self.answer(&mut exchange, now, out);
        }
        self.stage = Stage::Body(exchange);
    }

    fn is_file(&self, exchange: &Exchange) -> bool {
        exchange.door == Door::Files
            && (200..300).contains(&self.site.file(&exchange.head, "").code)
    }

    fn body(
        &mut self,
        mut exchange: Box<Exchange>,
        input: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let Exchange { body, kept, .. } = exchange.as_mut();
        let mut keep = |data: &[u8]| {
            let room = MAX_KEPT_BODY.saturating_sub(kept.len());
            kept.extend_from_slice(data.get(..room).unwrap_or(data));
        };
        let (taken, done) = match body {
            Body::Known(left) => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = input.get(..len).unwrap_or(input);
                keep(data);
                *left = left.saturating_sub(count(data.len()));
                (data.len(), *left == 0)
            }
            Body::Chunked(chunks) => match chunks.read(input, keep) {
                Ok(taken) => (taken, chunks.is_done()),
                Err(status) => {
                    if exchange.answered {
                        out.close();
                    } else {
                        exchange.keep_alive = false;
                        if !exchange.door.reads_body() && !self.is_file(&exchange) {
                            self.answer(&mut exchange, now, out);
                        } else {
                            self.refuse(status, Some(&exchange.head), false, now, out);
                        }
                        out.close();
                    }
                    return (input.len(), false);
                }
            },
        };
        exchange.taken = exchange.taken.saturating_add(count(taken));
        if done {
            self.whole(exchange, now, out);
            return (taken, true);
        }
        if exchange.taken > MAX_BODY {
            if exchange.answered || !exchange.door.reads_body() {
                out.close();
            } else {
                self.refuse(Status::BodyTooLarge, Some(&exchange.head), false, now, out);
            }
            return (taken, false);
        }
        if exchange.answered || exchange.door.reads_body() {
            out.read_until(PATIENCE);
        } else {
            out.read_until(BODY_GRACE);
        }
        self.stage = Stage::Body(exchange);
        (taken, false)
    }

    /// The request is whole: tell, and answer now or after a pause.
    fn whole(&mut self, mut exchange: Box<Exchange>, now: Timestamp, out: &mut Out) {
        if exchange.answered {
            // The answer left without the body; what's in the body is told all the same.
            let code = self.reply(&exchange).code;
            if let Some(found) = form(&exchange) {
                self.see_login(&exchange.head, found, code, out);
            }
            self.next_request(exchange.keep_alive, out);
            return;
        }
        let form = form(&exchange);
        let basic = exchange
            .head
            .get("authorization")
            .and_then(login::authorization);
        let attempted = form.is_some() || basic.is_some();
        exchange.door = skin::knock(exchange.door, form.as_ref(), basic.as_ref());
        if exchange.door.takes_time() {
            let third = self.site.login_delay / 3;
            let (low, high) = (
                self.site.login_delay.saturating_sub(third),
                self.site.login_delay.saturating_add(third),
            );
            let label = format!("pause {}", self.served);
            let pause = self.seed.number(&label, low, high);
            self.tell(&exchange, form, basic, now, out);
            self.stage = Stage::Pause(exchange);
            out.wait(Duration::from_millis(pause));
            return;
        }
        if attempted {
            self.tell(&exchange, form, basic, now, out);
            self.say(&exchange, now, out);
        } else {
            self.answer(&mut exchange, now, out);
        }
        self.next_request(exchange.keep_alive, out);
    }

    /// Tells and answers a request whose form, if any, hasn't come.
    fn answer(&mut self, exchange: &mut Exchange, now: Timestamp, out: &mut Out) {
        let basic = exchange
            .head
            .get("authorization")
            .and_then(login::authorization);
        self.tell(exchange, None, basic, now, out);
        self.say(exchange, now, out);
        exchange.answered = true;
    }

    fn reply(&self, exchange: &Exchange) -> Reply {
        let head = &exchange.head;
        let tls = self.channel == Channel::Tls;
        let (scheme, usual) = if tls { ("https", 443) } else { ("http", 80) };
        let host = match &head.host {
            Some(host) => host.clone(),
            None => self.local.ip().to_string(),
        };
        let here = match self.local.port() {
            port if port == usual => format!("{scheme}://{host}"),
            port => format!("{scheme}://{host}:{port}"),
        };
        match &exchange.door {
            Door::Files => self.site.file(head, &here),
            door => skin::reply(&self.site, door, head, &self.seed, self.served),
        }
    }

    /// The answer on the wire.
    fn say(&mut self, exchange: &Exchange, now: Timestamp, out: &mut Out) {
        let reply = self.reply(exchange);
        let manner = Manner {
            now,
            server: &self.site.server,
            fields: &self.site.fields,
            version: exchange.head.line.version,
            head_only: exchange.head.is("HEAD"),
            keep_alive: exchange.keep_alive,
        };
        out.send(reply.write(&manner));
        if reply.ends || !exchange.keep_alive {
            out.close();
        }
    }

    /// Every event of a request.
    fn tell(
        &self,
        exchange: &Exchange,
        form: Option<Credentials>,
        basic: Option<Credentials>,
        now: Timestamp,
        out: &mut Out,
    ) {
        let head = &exchange.head;
        let code = self.reply(exchange).code;
        let attempted = form.is_some() || basic.is_some();
        for found in form.into_iter().chain(basic) {
            self.see_login(head, found, code, out);
        }
        let path = self.path(head);
        let method = printable(&head.line.method);
        let user_agent = head.agent().unwrap_or_default();
        let channel = self.channel_word();
        if !attempted && head.is("POST") && code == 404 {
            out.see(&HttpPostError {
                path: path.clone(),
                user_agent,
                channel,
                method: method.clone(),
                response: code,
                skin: self.site.skin_name,
            });
        } else if !attempted && self.site.tells_loads {
            let logtype = match code {
                400.. => 3003,
                _ if head.is("POST") => 3002,
                _ => 3000,
            };
            let load = HttpPageLoad {
                path: path.clone(),
                user_agent,
                channel,
                method: method.clone(),
                response: code,
                skin: self.site.skin_name,
                hostname: head.host.clone(),
            };
            out.see_as(&load, logtype);
        }
        if code == 404
            && let Ok(mut scans) = self.site.scans.lock()
            && scans.missed(self.peer.ip(), &head.path, now)
        {
            out.see(&HttpScan {
                method,
                path,
                response: code,
            });
        }
    }

    fn see_login(&self, head: &Head, found: Credentials, response: u16, out: &mut Out) {
        out.see(&HttpLogin {
            username: found.username,
            password: found.password,
            path: self.path(head),
            user_agent: head.agent().unwrap_or_default(),
            channel: self.channel_word(),
            method: printable(&head.line.method),
            response,
            skin: self.site.skin_name,
            hostname: head.host.clone(),
        });
    }

    fn path(&self, head: &Head) -> String {
        if head.line.target.starts_with(b"/") {
            return printable(&head.line.target);
        }
        format!("/{}", printable(&head.line.target))
    }

    fn channel_word(&self) -> Option<&'static str> {
        (self.channel == Channel::Tls).then_some("TLS")
    }

    fn next_request(&mut self, keep_alive: bool, out: &mut Out) {
        if keep_alive {
            self.stage = Stage::line();
        } else {
            out.close();
        }
    }

    /// The server's own page; the connection ends with it.
    fn refuse(
        &mut self,
        status: Status,
        head: Option<&Head>,
        head_only: bool,
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let reply = self.site.page(status, head);
        let manner = Manner {
            now,
            server: &self.site.server,
            fields: &self.site.fields,
            // Until the line is read nginx takes the peer for one of HTTP/1.0.
            version: head.map_or(Version::Http10, |h| h.line.version),
            head_only,
            keep_alive: false,
        };
        out.send(reply.write(&manner));
        out.close();
        (0, false)
    }
}

impl Session for Connection {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut taken = 0_usize;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            let (more, on) = self.step(rest, now, out);
            taken = taken.saturating_add(more);
            let stops = matches!(
                out.next(),
                coalmine_core::decoy::Next::Close | coalmine_core::decoy::Next::Wait(_)
            );
            if !on || stops {
                return Ok(taken);
            }
        }
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        match std::mem::replace(&mut self.stage, Stage::Linger) {
            Stage::Pause(exchange) => {
                out.read_until(KEEP_ALIVE);
                self.say(&exchange, now, out);
                self.next_request(exchange.keep_alive, out);
            }
            Stage::Body(mut exchange) if !exchange.answered && !exchange.door.reads_body() => {
                out.read_until(PATIENCE);
                self.answer(&mut exchange, now, out);
                self.stage = Stage::Body(exchange);
            }
            // nginx closes without a word where its patience ends.
            _ => out.close(),
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut Out) {
        if let Stage::Body(exchange) = &mut self.stage
            && !exchange.answered
            && !exchange.door.reads_body()
        {
            self.wake(now, out);
        }
        out.close();
    }
}

impl Stage {
    const fn line() -> Self {
        Self::Line(LineParser::new(), Room::new())
    }
}

/// Credentials in the body, or in the query.
fn form(exchange: &Exchange) -> Option<Credentials> {
    let head = &exchange.head;
    let kind = head.text("content-type").unwrap_or_default();
    let in_body = (!exchange.kept.is_empty()).then(|| login::body(&kind, &exchange.kept));
    in_body.flatten().or_else(|| login::urlencoded(&head.query))
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
