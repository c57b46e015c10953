//! One connection: HTTP.sys reads requests and refuses what is malformed, WinRM asks for a login.

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Channel, Next, Session};
use coalmine_core::text::printable;
use coalmine_core::{Context, Out, Timestamp};

use super::WinrmLogin;
use crate::http::head::{Head, Size};
use crate::http::iis;
use crate::http::lines::{Reader, Refusal, Taken};
use crate::http::parse::Chunks;
use crate::http::persona::Persona;
use crate::http::status::Status;
use crate::http::windows::{self, Attempt, Gate, Host};

/// Longest body that is taken (`MaxEnvelopeSizekb`, 500 KB).
const MAX_BODY: u64 = 500 * 1024;
/// How much of it is kept, in bytes.
const MAX_KEPT: usize = 16 * 1024;
/// Silence before a head is whole (`HeaderWaitTimeout`) and between requests (`ConnectionTimeout`).
const PATIENCE: Duration = Duration::from_secs(120);
/// What clients send in place of a scheme when a certificate is to prove who they are.
const MUTUAL: &str = "secprofile/https/mutual";
/// What the service says of itself to whoever asks (DSP0226 section 11).
const IDENTITY: &str = "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header/><s:Body><wsmid:IdentifyResponse xmlns:wsmid=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\"><wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion><wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor><wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse></s:Body></s:Envelope>";

/// What connections share.
pub(super) struct Listener {
    pub(super) host: Host,
    pub(super) basic: bool,
    pub(super) in_domain: bool,
}

/// A connection.
pub(super) struct Connection {
    listener: Arc<Listener>,
    gate: Gate,
    stage: Stage,
}

enum Stage {
    /// A head is due.
    Head(Reader),
    /// Its body is.
    Body(Box<Request>),
}

struct Request {
    head: Box<Head>,
    left: Left,
    taken: u64,
    kept: Vec<u8>,
}

enum Left {
    Known(u64),
    Chunked(Chunks),
}

impl Connection {
    pub(super) fn open(listener: &Arc<Listener>, context: &Context, out: &mut Out) -> Self {
        if context.channel == Channel::ClearOnTls {
            out.close();
        } else {
            out.read_until(PATIENCE);
        }
        Self {
            listener: Arc::clone(listener),
            gate: Gate::new(&listener.host, &context.seed),
            stage: fresh(),
        }
    }

    /// One step; how many bytes it took, and whether another may follow.
    fn step(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> (usize, bool) {
        match std::mem::replace(&mut self.stage, fresh()) {
            Stage::Head(mut reader) => match reader.read(input) {
                Taken::More => {
                    self.stage = Stage::Head(reader);
                    (0, false)
                }
                Taken::Line(len) => {
                    self.stage = Stage::Head(reader);
                    (len, true)
                }
                Taken::Head(head, size, len) => {
                    self.begin(head, size, now, out);
                    (len, true)
                }
                Taken::Refused(Refusal { status, head }) => {
                    let head_only = match &head {
                        Some(head) => head.is("HEAD"),
                        None => input.starts_with(b"HEAD "),
                    };
                    refuse(status, head_only, now, out);
                    (input.len(), false)
                }
            },
            Stage::Body(request) => self.body(request, input, now, out),
        }
    }

    /// A head is whole.
    fn begin(&mut self, head: Box<Head>, size: Size, now: Timestamp, out: &mut Out) {
        let left = match size {
            Size::Known(0) => {
                self.answer(&head, &[], now, out);
                return;
            }
            Size::Known(length) if length > MAX_BODY => {
                // Nobody that hasn't logged in gets to send that much.
                self.answer(&head, &[], now, out);
                out.close();
                return;
            }
            Size::Known(length) => Left::Known(length),
            Size::Chunked => Left::Chunked(Chunks::default()),
        };
        if head.expects_leave() {
            if head.get("authorization").is_none() {
                self.answer(&head, &[], now, out);
                out.close();
                return;
            }
            out.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.stage = Stage::Body(Box::new(Request {
            head,
            left,
            taken: 0,
            kept: Vec::new(),
        }));
    }

    fn body(
        &mut self,
        mut request: Box<Request>,
        input: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> (usize, bool) {
        let kept = &mut request.kept;
        let mut keep = |data: &[u8]| {
            let room = MAX_KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(data.get(..room).unwrap_or(data));
        };
        let (taken, done) = match &mut request.left {
            Left::Known(left) => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = input.get(..wanted).unwrap_or(input);
                keep(data);
                *left = left.saturating_sub(count(data.len()));
                (data.len(), *left == 0)
            }
            Left::Chunked(chunks) => match chunks.read(input, keep) {
                Ok(taken) => (taken, chunks.is_done()),
                Err(_) => {
                    refuse(Status::BadLength, false, now, out);
                    return (input.len(), false);
                }
            },
        };
        request.taken = request.taken.saturating_add(count(taken));
        if done || request.taken > MAX_BODY {
            self.answer(&request.head, &request.kept, now, out);
            if !done {
                out.close();
            }
            return (taken, done);
        }
        self.stage = Stage::Body(request);
        (taken, false)
    }

    /// Tells and answers a request.
    fn answer(&mut self, head: &Head, body: &[u8], now: Timestamp, out: &mut Out) {
        let path = head.path.to_ascii_lowercase();
        if path != b"/wsman" && !path.starts_with(b"/wsman/") {
            let fields =
                "Content-Type: text/html; charset=us-ascii\r\nServer: Microsoft-HTTPAPI/2.0\r\n";
            let page = NOT_FOUND.as_bytes();
            let last = Said {
                first: "404 Not Found",
                fields,
                page,
                ends: true,
            };
            last.say(head.is("HEAD"), now, out);
            return;
        }
        let field = head.get("authorization");
        let Some(field) = field else {
            let asks = head.text("wsmanidentify");
            if head.is("POST") && asks.is_some_and(|v| v.eq_ignore_ascii_case("unauthenticated")) {
                let identity = Said {
                    first: "200 ",
                    fields: "Content-Type: application/soap+xml;charset=UTF-8\r\n\
                             Server: Microsoft-HTTPAPI/2.0\r\n",
                    page: IDENTITY.as_bytes(),
                    ends: !head.keeps_alive(),
                };
                identity.say(false, now, out);
                return;
            }
            self.challenge(now, out);
            return;
        };
        let (scheme, _) = windows::split(field);
        let mut login = WinrmLogin {
            auth_type: "unknown",
            username: None,
            password: None,
            workstation: None,
            domain: None,
            user_agent: head.agent().map(|agent| printable(agent.as_bytes())),
            service: None,
            realm: None,
            ticket_version: None,
            payload: (!body.is_empty()).then(|| printable(body)),
            ntlm_hash: None,
        };
        let given = |text: String| (!text.is_empty()).then_some(text);
        if scheme.eq_ignore_ascii_case("ntlm") {
            // Only Negotiate is taken; the client's first message is all that comes of it.
            login.auth_type = "ntlm";
            if let Some(first) = windows::negotiate(field) {
                login.workstation = first.workstation.and_then(given);
                login.domain = first.domain.and_then(given);
            }
        } else if scheme.to_ascii_lowercase().ends_with(MUTUAL) {
            login.auth_type = "certificate";
        } else {
            match self.gate.hear(field, now) {
                Attempt::Continue(challenge) => {
                    let fields = format!(
                        "WWW-Authenticate: {challenge}\r\nServer: Microsoft-HTTPAPI/2.0\r\n"
                    );
                    let next = Said {
                        first: "401 ",
                        fields: &fields,
                        page: &[],
                        ends: false,
                    };
                    next.say(false, now, out);
                    return;
                }
                Attempt::Basic(found) => {
                    login.auth_type = "basic";
                    login.username = Some(found.username);
                    login.password = Some(found.password);
                }
                Attempt::Digest(user) => {
                    login.auth_type = "digest";
                    login.username = Some(user);
                }
                Attempt::Ntlm(found) => {
                    login.auth_type = "ntlm";
                    login.username = Some(found.user);
                    login.domain = given(found.domain);
                    login.workstation = given(found.workstation);
                    login.ntlm_hash = found.hash;
                }
                Attempt::Kerberos(request) => {
                    login.auth_type = "kerberos";
                    login.service = Some(request.service);
                    login.realm = Some(request.realm);
                    login.ticket_version = Some(request.ticket_version.to_string());
                }
                Attempt::Unknown => {}
            }
        }
        out.see(&login);
        self.challenge(now, out);
    }

    /// All ways to log in; the connection ends with it.
    fn challenge(&self, now: Timestamp, out: &mut Out) {
        let mut fields =
            String::from("Server: Microsoft-HTTPAPI/2.0\r\nWWW-Authenticate: Negotiate\r\n");
        if self.listener.in_domain {
            fields.push_str("WWW-Authenticate: Kerberos\r\n");
        }
        if self.listener.basic {
            fields.push_str("WWW-Authenticate: Basic realm=\"WSMAN\"\r\n");
        }
        let last = Said {
            first: "401 ",
            fields: &fields,
            page: &[],
            ends: true,
        };
        last.say(false, now, out);
    }
}

impl Session for Connection {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut taken = 0_usize;
        out.read_until(PATIENCE);
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            let (more, on) = self.step(rest, now, out);
            taken = taken.saturating_add(more);
            if !on || out.next() == Next::Close || (taken > 0 && out.is_full()) {
                return Ok(taken);
            }
        }
    }

    fn wake(&mut self, _now: Timestamp, out: &mut Out) {
        out.close();
    }
}

/// An answer.
struct Said<'a> {
    first: &'a str,
    fields: &'a str,
    page: &'a [u8],
    ends: bool,
}

impl Said<'_> {
    fn say(&self, head_only: bool, now: Timestamp, out: &mut Out) {
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT");
        let connection = if self.ends {
            "Connection: close\r\n"
        } else {
            ""
        };
        out.send(format!(
            "HTTP/1.1 {}\r\n{}Date: {date}\r\n{connection}Content-Length: {}\r\n\r\n",
            self.first,
            self.fields,
            self.page.len()
        ));
        if !head_only {
            out.send(self.page);
        }
        if self.ends {
            out.close();
        }
    }
}

/// HTTP.sys' own page.
fn refuse(status: Status, head_only: bool, now: Timestamp, out: &mut Out) {
    let page = iis::kernel_page(status).or_else(|| iis::kernel_page(Status::BadRequest));
    let (code, phrase, page) = page.unwrap_or_default();
    let refusal = Said {
        first: &format!("{code} {phrase}"),
        fields: "Content-Type: text/html; charset=us-ascii\r\nServer: Microsoft-HTTPAPI/2.0\r\n",
        page: &page,
        ends: true,
    };
    refusal.say(head_only, now, out);
}

const fn fresh() -> Stage {
    Stage::Head(Reader::new(Persona::Iis))
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// HTTP.sys' page where no service listens.
const NOT_FOUND: &str = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\"http://www.w3.org/TR/html4/strict.dtd\">\r\n\
    <HTML><HEAD><TITLE>Not Found</TITLE>\r\n\
    <META HTTP-EQUIV=\"Content-Type\" Content=\"text/html; charset=us-ascii\"></HEAD>\r\n\
    <BODY><h2>Not Found</h2>\r\n<hr><p>HTTP Error 404. The requested resource is not found.</p>\r\n</BODY></HTML>\r\n";
