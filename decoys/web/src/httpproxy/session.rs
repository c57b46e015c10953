//! One connection: request after request until one ends it.

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Session};
use coalmine_core::passwords::Searches;
use coalmine_core::text::printable;
use coalmine_core::{Context, Out, Seed, Timestamp};

use super::HttpProxy;
use super::auth::Credentials;
use super::isa::Isa;
use super::request::{self, Fault, Fields, Framing, HeadEnd, Line, MAX_HEAD};
use super::squid::Squid;
use crate::http::parse::Chunks;
use crate::http::windows::{self, Attempt, Gate};

/// Time for a whole head (`request_start_timeout`, `request_timeout`).
const PATIENCE: Duration = Duration::from_secs(300);
/// Silence between requests (`client_idle_pconn_timeout`).
const IDLE: Duration = Duration::from_secs(120);

/// Which product answers.
pub(super) enum Skin {
    Squid(Squid),
    Isa(Isa),
}

/// What a connection heard.
pub(super) enum Heard<'a> {
    /// No request; of its method as much as is known.
    Fault(Fault, &'a [u8]),
    /// A request whose head is as it should be.
    Request(&'a Line, &'a Fields, Option<&'a Credentials>),
    /// A request line with bad header fields.
    BadFields(&'a Line),
}

/// Circumstances of an answer.
pub(super) struct Manner<'a> {
    pub(super) now: Timestamp,
    /// The port the proxy listens on.
    pub(super) port: u16,
    pub(super) seed: &'a Seed,
    /// Number of the request in its connection.
    pub(super) served: u64,
    /// What a login by NTLM goes on with.
    pub(super) challenge: Option<&'a str>,
}

/// An answer as it goes over the wire.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Whether the connection stays for another request.
    pub(super) keeps: bool,
}

/// A connection.
pub(super) struct Connection {
    skin: Arc<Skin>,
    searches: Arc<Searches>,
    port: u16,
    seed: Seed,
    /// Where Windows' logins are taken.
    gate: Option<Gate>,
    served: u64,
    stage: Stage,
    /// Since when the peer is waited for.
    since: Timestamp,
}

enum Stage {
    /// A request line is due; so many bytes of it hold no line feed.
    Line(usize),
    /// Header fields are; the line took so many bytes.
    Fields(Line, HeadEnd, usize),
    /// A body passes by.
    Known(u64),
    Chunked(Chunks),
}

impl Connection {
    pub(super) fn open(
        skin: &Arc<Skin>,
        searches: &Arc<Searches>,
        context: &Context,
        out: &mut Out,
    ) -> Self {
        out.read_until(PATIENCE);
        Self {
            skin: skin.clone(),
            searches: searches.clone(),
            port: context.local.port(),
            seed: context.seed.clone(),
            gate: match skin.as_ref() {
                Skin::Isa(isa) => Some(Gate::new(&isa.host, &context.seed)),
                Skin::Squid(_) => None,
            },
            served: 0,
            stage: Stage::Line(0),
            since: context.now,
        }
    }

    /// One step; how many bytes it took.
    fn step(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        match &mut self.stage {
            Stage::Line(seen) => {
                let blank = blank_lines(input);
                if blank > 0 {
                    return Ok(blank);
                }
                let new = input.get(*seen..).unwrap_or_default();
                let Some(at) = new.iter().position(|b| *b == b'\n') else {
                    *seen = input.len();
                    if input.len() >= MAX_HEAD {
                        let fault = request::endless_line(input);
                        self.fault(fault, input, now, out);
                        return Ok(input.len());
                    }
                    return Ok(0);
                };
                let end = seen.saturating_add(at);
                let text = input.get(..end).unwrap_or_default();
                let taken = end.saturating_add(1);
                match request::line(text) {
                    Err(fault) => self.fault(fault, text, now, out),
                    Ok(line) if line.has_fields() => {
                        self.stage = Stage::Fields(line, HeadEnd::new(), taken);
                    }
                    Ok(line) => self.request(&line, Some(Fields::default()), &[], now, out)?,
                }
                Ok(taken)
            }
            Stage::Fields(line, end, before) => {
                let found = end.find(input);
                let length = before.saturating_add(found.unwrap_or(input.len()));
                if length >= MAX_HEAD {
                    let line = line.clone();
                    self.see(&line, &Fields::default(), None, now, out);
                    self.fault(Fault::HeadTooLong, &line.method, now, out);
                    return Ok(input.len());
                }
                let Some(taken) = found else {
                    return Ok(0);
                };
                let (block, rest) = input.split_at_checked(taken).ok_or(Broken)?;
                let line = line.clone();
                self.request(&line, Fields::parse(block), rest, now, out)?;
                Ok(taken)
            }
            Stage::Known(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = input.len().min(length);
                *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                if *left == 0 {
                    self.stage = Stage::Line(0);
                }
                Ok(taken)
            }
            Stage::Chunked(chunks) => {
                let taken = chunks.read(input, |_| {}).map_err(|_| Broken)?;
                if chunks.is_done() {
                    self.stage = Stage::Line(0);
                }
                Ok(taken)
            }
        }
    }

    /// A request line came, with its fields unless they are bad; `rest` is what follows.
    fn request(
        &mut self,
        line: &Line,
        fields: Option<Fields>,
        rest: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), Broken> {
        let Some(fields) = fields else {
            self.see(line, &Fields::default(), None, now, out);
            self.answer(&Heard::BadFields(line), Framing::Known(0), None, now, out);
            return Ok(());
        };
        let credentials = fields
            .get("proxy-authorization")
            .and_then(Credentials::parse);
        let field = fields.get("proxy-authorization");
        let gate = self.gate.as_mut().filter(|_| credentials.is_none());
        let attempt = gate.zip(field).map(|(gate, field)| gate.hear(field, now));
        let mut challenge = None;
        match attempt {
            // Told once the client has answered.
            Some(Attempt::Continue(next)) => challenge = Some(next),
            Some(Attempt::Ntlm(login)) => {
                let told = HttpProxy {
                    username: Some(windows::account(&login.domain, &login.user)),
                    ntlm_hash: login.hash,
                    ..request_of(line, &fields)
                };
                out.see(&told);
            }
            _ => self.see(line, &fields, credentials.as_ref(), now, out),
        }
        let framing = fields.framing();
        // A body that is broken from the start takes the connection down before the answer leaves.
        if framing == Framing::Chunked && Chunks::default().read(rest, |_| {}).is_err() {
            return Err(Broken);
        }
        self.answer(
            &Heard::Request(line, &fields, credentials.as_ref()),
            framing,
            challenge.as_deref(),
            now,
            out,
        );
        Ok(())
    }

    /// No request came; the connection ends.
    fn fault(&mut self, fault: Fault, method: &[u8], now: Timestamp, out: &mut Out) {
        self.answer(
            &Heard::Fault(fault, method),
            Framing::Known(0),
            None,
            now,
            out,
        );
        out.close();
    }

    fn answer(
        &mut self,
        heard: &Heard<'_>,
        framing: Framing,
        challenge: Option<&str>,
        now: Timestamp,
        out: &mut Out,
    ) {
        let manner = Manner {
            now,
            port: self.port,
            seed: &self.seed,
            served: self.served,
            challenge,
        };
        let answer = match self.skin.as_ref() {
            Skin::Squid(squid) => squid.answer(heard, &manner),
            Skin::Isa(isa) => isa.answer(heard, &manner),
        };
        out.send(answer.bytes);
        self.served = self.served.saturating_add(1);
        self.since = now;
        if !answer.keeps {
            out.close();
        }
        self.stage = match framing {
            Framing::Known(length) if length > 0 => Stage::Known(length),
            Framing::Chunked => Stage::Chunked(Chunks::default()),
            _ => Stage::Line(0),
        };
    }

    fn see(
        &self,
        line: &Line,
        fields: &Fields,
        credentials: Option<&Credentials>,
        now: Timestamp,
        out: &mut Out,
    ) {
        let told = credentials.map(|c| c.told(&line.method, &self.searches, now));
        let (username, password) = told.unzip();
        out.see(&HttpProxy {
            username,
            password: password.flatten(),
            ..request_of(line, fields)
        });
    }
}

impl Session for Connection {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        if self.served > 0 && matches!(self.stage, Stage::Line(0)) {
            self.since = now;
        }
        // Overridden where the answer ends the connection.
        out.read_until(self.since.plus(PATIENCE).since(now));
        let taken = self.step(input, now, out)?;
        if taken == input.len() && self.served > 0 && matches!(self.stage, Stage::Line(0)) {
            let closes = out.next() == coalmine_core::decoy::Next::Close;
            if !closes {
                out.read_until(IDLE);
            }
        }
        Ok(taken)
    }

    fn wake(&mut self, _now: Timestamp, out: &mut Out) {
        out.close();
    }
}

/// What is told of a request without credentials.
fn request_of(line: &Line, fields: &Fields) -> HttpProxy {
    HttpProxy {
        username: None,
        password: None,
        url: printable(line.target.trim_ascii()),
        user_agent: printable(fields.get("user-agent").unwrap_or_default()),
        ntlm_hash: None,
    }
}

/// Length of the empty lines before a request line.
fn blank_lines(input: &[u8]) -> usize {
    let mut length = 0_usize;
    let mut rest = input;
    loop {
        let after = rest
            .strip_prefix(b"\n")
            .or_else(|| rest.strip_prefix(b"\r\n"));
        let Some(after) = after else {
            return length;
        };
        length = length.saturating_add(rest.len().saturating_sub(after.len()));
        rest = after;
    }
}
