//! One connection: heads, bodies, answers, and what they tell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Channel, Session};
use coalmine_core::text::printable;
use coalmine_core::{Context, Out, Seed, Timestamp};

use super::head::{Head, Size};
use super::lines::{Reader, Refusal, Taken};
use super::login::{self, Credentials};
use super::parse::{Chunks, Field, FieldParser, LineParser, Progress, Room, Version};
use super::persona::Persona;
use super::reply::{Framing, Manner, Reply};
use super::site::Site;
use super::skin::{self, Door};
use super::status::Status;
use super::windows::{self, Attempt, Gate};
use super::{
    HttpApi, HttpLogin, HttpPageLoad, HttpPostError, HttpScan, docker, golang, lines, postdata,
};

/// Body that is kept to look for credentials, in bytes.
const MAX_KEPT_BODY: usize = 64 * 1024;
/// How much of a request that can't be read is told, in bytes.
const MAX_TOLD: usize = 1024;
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
    /// Where Windows' logins are taken.
    gate: Option<Gate>,
    served: u32,
    stage: Stage,
}

enum Stage {
    /// A head is due, read line by line.
    Lines(Reader),
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
pub(super) struct Exchange {
    pub(super) head: Head,
    body: Body,
    kept: Vec<u8>,
    taken: u64,
    pub(super) door: Door,
    answered: bool,
    keep_alive: bool,
}

enum Body {
    Known(u64),
    Chunked(Chunks),
}

impl Connection {
    pub(super) fn open(site: &Arc<Site>, context: &Context, out: &mut Out) -> Self {
        out.read_until(site.persona.patience());
        Self {
            stage: Stage::fresh(site.persona),
            site: site.clone(),
            peer: context.peer,
            local: context.local,
            seed: context.seed.clone(),
            channel: context.channel,
            gate: site
                .windows
                .as_ref()
                .map(|host| Gate::new(host, &context.seed)),
            served: 0,
        }
    }

    /// One step; how many bytes it took, and whether another may follow.
    fn step(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> (usize, bool) {
        match std::mem::replace(&mut self.stage, Stage::Linger) {
            Stage::Lines(reader) => self.lines(reader, input, now, out),
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

    fn lines(
        &mut self,
        mut reader: Reader,
        input: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        if self.channel == Channel::ClearOnTls {
            return self.clear_on_tls(reader, input, now, out);
        }
        match reader.read(input) {
            Taken::More => {
                let persona = self.site.persona;
                if reader.is_fresh() && self.served > 0 {
                    out.read_until(persona.keep_alive());
                } else {
                    out.read_until(persona.patience());
                }
                self.stage = Stage::Lines(reader);
                (0, false)
            }
            Taken::Line(len) => {
                self.stage = Stage::Lines(reader);
                (len, true)
            }
            Taken::Head(head, size, len) => {
                self.begin(head, size, now, out);
                (len, true)
            }
            Taken::Refused(Refusal { status, mut head }) => {
                if let Some(head) = &mut head {
                    head.secure = self.channel == Channel::Tls;
                }
                let head_only = match &head {
                    Some(head) => head.is("HEAD"),
                    None => input.starts_with(b"HEAD "),
                };
                self.refuse(status, head.as_deref(), (head_only, input), now, out)
            }
        }
    }

    /// HTTP in the clear where TLS is spoken; the TLS library looks at the first bytes alone.
    fn clear_on_tls(
        &mut self,
        reader: Reader,
        input: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let known: &[&[u8]] = match self.site.persona {
            Persona::Apache => &[b"GET ", b"POST ", b"HEAD ", b"PUT "],
            Persona::Go => &[b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"],
            Persona::Nginx | Persona::Iis => &[],
        };
        if known.iter().any(|word| input.starts_with(word)) {
            return self.refuse(Status::ToHttps, None, (false, input), now, out);
        }
        if known.iter().any(|word| word.starts_with(input)) {
            self.stage = Stage::Lines(reader);
            return (0, false);
        }
        out.close();
        (input.len(), false)
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
                    out.read_until(self.site.persona.keep_alive());
                } else {
                    out.read_until(self.site.persona.patience());
                }
                self.stage = Stage::Line(parser, room);
                (0, false)
            }
            Progress::More => self.refuse(
                Status::UriTooLarge,
                None,
                (parser.is_head(input), input),
                now,
                out,
            ),
            Progress::Refused(status) => {
                self.refuse(status, None, (parser.is_head(input), input), now, out)
            }
            Progress::Done(line, len) => {
                let head_only = line.method == b"HEAD";
                if !room.take(len) {
                    return self.refuse(Status::UriTooLarge, None, (head_only, input), now, out);
                }
                let old = line.version == Version::Http09;
                if old && line.method != b"GET" {
                    self.malformed(400, None, input, now, out);
                    out.send(self.site.page(Status::BadRequest, None).body);
                    out.close();
                    return (len, false);
                }
                match Head::new(line) {
                    Err(status) => self.refuse(status, None, (head_only, input), now, out),
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
                out.read_until(self.site.persona.patience());
                self.stage = Stage::Fields(head, parser, room);
                (0, false)
            }
            Progress::More => self.refuse(
                Status::HeaderTooLarge,
                Some(&head),
                (head_only, &[]),
                now,
                out,
            ),
            Progress::Refused(status) => {
                self.refuse(status, Some(&head), (head_only, &[]), now, out)
            }
            Progress::Done(_, len) if !room.take(len) => self.refuse(
                Status::HeaderTooLarge,
                Some(&head),
                (head_only, &[]),
                now,
                out,
            ),
            Progress::Done(Field::End, len) => {
                self.complete(head, now, out);
                (len, true)
            }
            Progress::Done(field, len) => {
                if let Field::Named(name, value) = field
                    && let Err(status) = head.add(name, value)
                {
                    return self.refuse(status, Some(&head), (head_only, &[]), now, out);
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
                self.refuse(status, Some(&head), (head_only, &[]), now, out);
                return;
            }
        };
        if self.channel == Channel::ClearOnTls {
            self.refuse(Status::ToHttps, Some(&head), (head_only, &[]), now, out);
            return;
        }
        self.begin(head, size, now, out);
    }

    /// The head is whole and right.
    fn begin(&mut self, mut head: Box<Head>, size: Size, now: Timestamp, out: &mut Out) {
        let persona = self.site.persona;
        let head_only = head.is("HEAD");
        head.secure = self.channel == Channel::Tls;
        self.served = self.served.saturating_add(1);
        let stays = match persona {
            Persona::Nginx => head.keeps_alive(),
            _ => head
                .connection
                .unwrap_or(head.line.version >= Version::Http11),
        };
        let keep_alive = stays && self.served < persona.requests();
        if matches!(size, Size::Known(len) if len > persona.max_body()) {
            let status = match persona {
                // Request filtering hides what it refuses (404.13).
                Persona::Iis => Status::NotFound,
                _ => Status::BodyTooLarge,
            };
            self.refuse(status, Some(&head), (head_only, &[]), now, out);
            // The body is taken off the wire before the end, lest the answer is lost.
            out.read_until(LINGER);
            self.stage = Stage::Linger;
            return;
        }
        let door = skin::door(&self.site, &head);
        let empty = size == Size::Known(0);
        let mut exchange = Box::new(Exchange {
            body: match size {
                Size::Known(len) => Body::Known(len),
                Size::Chunked => Body::Chunked(Chunks::new(persona == Persona::Apache)),
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
        if persona.waits() {
            if waits && !empty {
                out.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
        } else if waits && (exchange.door.reads_body() || self.is_file(&exchange)) {
            out.send("HTTP/1.1 100 Continue\r\n\r\n");
        } else if waits && !empty {
            self.answer(&mut exchange, now, out);
        }
        self.stage = Stage::Body(exchange);
    }

    /// Whether the answer waits for the body.
    fn reads_body(&self, exchange: &Exchange) -> bool {
        self.site.persona.waits() || exchange.door.reads_body()
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
                    let huge = chunks.is_huge();
                    exchange.keep_alive = false;
                    if exchange.answered {
                    } else if !self.reads_body(&exchange) && !self.is_file(&exchange) {
                        self.answer(&mut exchange, now, out);
                    } else {
                        let status = match self.site.persona {
                            Persona::Apache if huge => Status::BodyTooLarge,
                            Persona::Iis => Status::BadLength,
                            _ => status,
                        };
                        self.refuse_body(status, &exchange.head, now, out);
                    }
                    out.close();
                    return (input.len(), false);
                }
            },
        };
        exchange.taken = exchange.taken.saturating_add(count(taken));
        if done {
            self.whole(exchange, now, out);
            return (taken, true);
        }
        if exchange.taken > self.site.persona.max_body() {
            if exchange.answered || !self.reads_body(&exchange) {
                out.close();
            } else {
                self.refuse_body(Status::BodyTooLarge, &exchange.head, now, out);
            }
            return (taken, false);
        }
        if exchange.answered || self.reads_body(&exchange) {
            out.read_until(self.site.persona.patience());
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
            let code = self.reply(&exchange, now).code;
            if let Some(found) = form(&exchange) {
                self.see_login(&exchange.head, found, code, out);
            }
            self.next_request(exchange.keep_alive, out);
            return;
        }
        let field = exchange.head.get("authorization");
        let gate = self.gate.as_mut().zip(field);
        match gate.map(|(gate, field)| gate.hear(field, now)) {
            Some(Attempt::Continue(challenge)) => {
                out.send(windows::not_authorized(&challenge, now));
                self.next_request(true, out);
                return;
            }
            Some(Attempt::Ntlm(login)) => {
                let code = self.reply(&exchange, now).code;
                let told = HttpLogin {
                    ntlm_hash: login.hash,
                    ..self.login(
                        &exchange.head,
                        Credentials {
                            username: windows::account(&login.domain, &login.user),
                            password: String::new(),
                        },
                        code,
                    )
                };
                out.see(&told);
                self.say(&exchange, now, out);
                self.next_request(exchange.keep_alive, out);
                return;
            }
            _ => {}
        }
        let form = form(&exchange);
        let basic = exchange
            .head
            .get("authorization")
            .and_then(login::authorization);
        let attempted = form.is_some() || basic.is_some();
        exchange.door = skin::knock(&self.site, &exchange, form.as_ref(), basic.as_ref());
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

    fn reply(&self, exchange: &Exchange, now: Timestamp) -> Reply {
        let head = &exchange.head;
        match &exchange.door {
            Door::Files => self.site.file(head, &self.here(head)),
            Door::Engine => docker::reply(&self.site, head, &exchange.kept, now),
            door => skin::reply(&self.site, door, head, &self.seed, self.served),
        }
    }

    /// `scheme://host:port` of redirects.
    fn here(&self, head: &Head) -> String {
        let tls = self.channel == Channel::Tls;
        let (scheme, usual) = if tls { ("https", 443) } else { ("http", 80) };
        let host = head.host.clone();
        let (host, port) = match self.site.persona {
            // nginx names its own port, Apache and IIS the one that was asked for.
            Persona::Nginx | Persona::Go => (
                host.unwrap_or_else(|| self.local.ip().to_string()),
                self.local.port(),
            ),
            Persona::Apache => (
                host.unwrap_or_else(|| self.site.face.name.clone()),
                head.port.unwrap_or(usual),
            ),
            Persona::Iis => (
                host.unwrap_or_else(|| self.local.ip().to_string()),
                head.port.unwrap_or(usual),
            ),
        };
        if port == usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }

    /// The answer on the wire.
    fn say(&mut self, exchange: &Exchange, now: Timestamp, out: &mut Out) {
        let reply = self.reply(exchange, now);
        let persona = self.site.persona;
        // nginx announces a connection that stays and ends it all the same; Apache says so.
        let keep_alive = exchange.keep_alive && !(reply.ends && persona == Persona::Apache);
        let left = persona
            .requests()
            .saturating_add(1)
            .saturating_sub(self.served);
        let manner = Manner {
            persona,
            now,
            server: &self.site.face.server,
            fields: &self.site.fields,
            version: exchange.head.line.version,
            head_only: exchange.head.is("HEAD"),
            keep_alive,
            stays: (exchange.head.connection == Some(true)).then_some(left),
        };
        out.send(reply.write(&manner));
        if reply.ends || !keep_alive {
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
        let code = self.reply(exchange, now).code;
        let attempted = form.is_some() || basic.is_some();
        for found in form.into_iter().chain(basic) {
            self.see_login(head, found, code, out);
        }
        if exchange.door == Door::Engine {
            self.see_api(exchange, code, out);
        } else if !attempted {
            self.see_load(head, code, out);
        }
        self.see_missing(head, code, now, out);
    }

    fn see_load(&self, head: &Head, code: u16, out: &mut Out) {
        let path = self.path(head);
        let method = printable(&head.line.method);
        let user_agent = head.agent().unwrap_or_default();
        let channel = self.channel_word();
        let skin = self.site.skin_name;
        if head.is("POST") && code >= 400 {
            out.see(&HttpPostError {
                path,
                user_agent,
                channel,
                method,
                response: code,
                skin,
            });
        } else if self.site.tells_loads {
            let logtype = match code {
                400.. => 3003,
                _ if head.is("POST") => 3002,
                _ => 3000,
            };
            let load = HttpPageLoad {
                path,
                user_agent,
                channel,
                method,
                response: code,
                skin,
                hostname: head.host.clone(),
            };
            out.see_as(&load, logtype);
        }
    }

    fn see_api(&self, exchange: &Exchange, code: u16, out: &mut Out) {
        let head = &exchange.head;
        let host = head.host.clone();
        out.see(&HttpApi {
            headers: postdata::headers(head),
            hostname: host.unwrap_or_else(|| self.local.ip().to_string()),
            method: printable(&head.line.method),
            path: self.path(head),
            postdata: postdata::body(head, &exchange.kept),
            response: code,
            skin: self.site.skin_name,
            user_agent: head.agent().unwrap_or_default(),
        });
    }

    /// Counts what leads nowhere; many such requests are a scan.
    fn see_missing(&self, head: &Head, code: u16, now: Timestamp, out: &mut Out) {
        if (400..500).contains(&code)
            && code != 401
            && let Ok(mut scans) = self.site.scans.lock()
            && scans.missed(self.peer.ip(), &head.path, now)
        {
            out.see(&HttpScan {
                method: printable(&head.line.method),
                path: self.path(head),
                response: code,
            });
        }
    }

    /// Tells of a request that can't be read: `raw` is what there is of its line.
    fn malformed(&self, code: u16, head: Option<&Head>, raw: &[u8], now: Timestamp, out: &mut Out) {
        match head {
            Some(head) => {
                self.see_load(head, code, out);
                self.see_missing(head, code, now, out);
            }
            None => {
                let line = raw.split(|b| *b == b'\n').next().unwrap_or_default();
                let line = line.get(..MAX_TOLD).unwrap_or(line);
                let mut words = line.splitn(2, |b| *b == b' ');
                let method = words.next().unwrap_or_default();
                let target = words.next().unwrap_or_default().trim_ascii();
                let mut head = lines::head(method.trim_ascii(), target, Version::Http10);
                head.path = line.to_vec();
                self.see_load(&head, code, out);
                self.see_missing(&head, code, now, out);
            }
        }
    }

    fn see_login(&self, head: &Head, found: Credentials, response: u16, out: &mut Out) {
        out.see(&self.login(head, found, response));
    }

    fn login(&self, head: &Head, found: Credentials, response: u16) -> HttpLogin {
        HttpLogin {
            username: found.username,
            password: found.password,
            path: self.path(head),
            user_agent: head.agent().unwrap_or_default(),
            channel: self.channel_word(),
            method: printable(&head.line.method),
            response,
            skin: self.site.skin_name,
            hostname: head.host.clone(),
            ntlm_hash: None,
        }
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
            self.stage = Stage::fresh(self.site.persona);
        } else {
            out.close();
        }
    }

    /// The server's own page; the connection ends with it. `raw` is what there is of the request
    /// line where no head is.
    fn refuse(
        &mut self,
        status: Status,
        head: Option<&Head>,
        (head_only, raw): (bool, &[u8]),
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let secure = self.channel == Channel::Tls;
        let mut reply = self.site.page_on(status, head, secure, "");
        if self.site.persona == Persona::Go {
            reply.code = golang::code(status);
        }
        self.malformed(reply.code, head, raw, now, out);
        self.send_refusal(status, &reply, head, head_only, now, out);
        (0, false)
    }

    /// The same for a body that is none.
    fn refuse_body(&mut self, status: Status, head: &Head, now: Timestamp, out: &mut Out) {
        let mut reply = self.site.page(status, Some(head));
        if self.site.persona == Persona::Apache {
            reply.framing = Framing::Closing;
        }
        self.malformed(reply.code, Some(head), &[], now, out);
        self.send_refusal(status, &reply, Some(head), false, now, out);
    }

    fn send_refusal(
        &self,
        status: Status,
        reply: &Reply,
        head: Option<&Head>,
        head_only: bool,
        now: Timestamp,
        out: &mut Out,
    ) {
        let persona = self.site.persona;
        let version = match persona {
            // Until the line is read nginx takes the peer for one of HTTP/1.0.
            Persona::Nginx => head.map_or(Version::Http10, |h| h.line.version),
            _ => Version::Http11,
        };
        let manner = Manner {
            persona,
            now,
            server: &self.site.face.server,
            fields: &self.site.fields,
            version,
            head_only,
            keep_alive: false,
            stays: None,
        };
        match persona {
            Persona::Go => out.send(golang::refusal(status)),
            _ => out.send(reply.write(&manner)),
        }
        out.close();
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
            if !on || stops || (taken > 0 && out.is_full()) {
                return Ok(taken);
            }
        }
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        match std::mem::replace(&mut self.stage, Stage::Linger) {
            Stage::Pause(exchange) => {
                out.read_until(self.site.persona.keep_alive());
                self.say(&exchange, now, out);
                self.next_request(exchange.keep_alive, out);
            }
            Stage::Body(mut exchange) if !exchange.answered && !self.reads_body(&exchange) => {
                out.read_until(self.site.persona.patience());
                self.answer(&mut exchange, now, out);
                self.stage = Stage::Body(exchange);
            }
            // nginx closes without a word where its patience ends.
            _ => out.close(),
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut Out) {
        if let Stage::Body(exchange) = &self.stage
            && !exchange.answered
            && !self.reads_body(exchange)
        {
            self.wake(now, out);
        }
        out.close();
    }
}

impl Stage {
    const fn fresh(persona: Persona) -> Self {
        match persona {
            Persona::Nginx => Self::Line(LineParser::new(), Room::new()),
            _ => Self::Lines(Reader::new(persona)),
        }
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
