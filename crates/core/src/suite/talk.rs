//! A driver in memory, with simulated time.

use std::time::Duration;

use serde_json::{Value, json};

use super::build;
use crate::Timestamp;
use crate::decoy::{
    Broken, Channel, Context, DecoyKind, Next, Out, Seen, Service, Session, Sessions, Tcp,
};

/// Wakes in a row without the peer doing anything before a session counts as spinning.
const MAX_WAKES: usize = 10_000;
/// What a session may say and see in one call.
const MAX_SAID_AT_ONCE: usize = 512 * 1024;
const MAX_SEEN_AT_ONCE: usize = 128;

/// A conversation with a session, in memory, in simulated time.
pub struct Talk {
    pub(super) session: Box<dyn Session>,
    /// Kept between calls, as the driver does, so that a wish stays until another comes.
    pub(super) out: Out,
    pub(super) limit: usize,
    pub(super) now: Timestamp,
    pub(super) input: Vec<u8>,
    pub(super) said: Vec<u8>,
    pub(super) seen: Vec<Seen>,
    /// When to wake the session.
    pub(super) alarm: Option<Timestamp>,
    /// Whether input is kept until then.
    pub(super) holding: bool,
    pub(super) ended: bool,
    pub(super) closed: bool,
    pub(super) tls: bool,
}

impl Talk {
    /// A conversation with `kind` under its default settings.
    pub fn new(kind: &'static DecoyKind) -> Self {
        Self::with(kind, &json!({}))
    }

    /// A conversation with `kind` under `settings`, an object.
    pub fn with(kind: &'static DecoyKind, settings: &Value) -> Self {
        let service = build(kind, settings.as_object().unwrap());
        Self::of(kind, &service)
    }

    /// A conversation with a service built before, for state that sessions share.
    pub fn of(kind: &'static DecoyKind, service: &Service) -> Self {
        let Some(Tcp::Sessions(sessions)) = &service.tcp else {
            panic!("{kind:?} has no sessions");
        };
        let context = Context {
            channel: if kind.tls.is_some() {
                Channel::Tls
            } else {
                Channel::Clear
            },
            ..Context::sample()
        };
        Self::open(sessions.as_ref(), &context, kind.limits.input)
    }

    /// A conversation in given circumstances; `limit` bounds unconsumed input, in bytes.
    pub fn open(sessions: &dyn Sessions, context: &Context, limit: usize) -> Self {
        let mut out = Out::new();
        let session = sessions.open(context, &mut out);
        let mut talk = Self {
            session,
            out,
            limit,
            now: context.now,
            input: Vec::new(),
            said: Vec::new(),
            seen: Vec::new(),
            alarm: None,
            holding: false,
            ended: false,
            closed: false,
            tls: context.channel == Channel::Tls,
        };
        talk.take();
        talk
    }

    /// What was said and not yet taken: at first the greeting.
    pub fn said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }

    /// Says `bytes`; gives everything said since last taken.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        if !self.closed {
            self.input.extend_from_slice(bytes.as_ref());
            self.pump();
        }
        self.said()
    }

    /// Lets `time` pass; gives everything said since last taken.
    pub fn advance(&mut self, time: Duration) -> Vec<u8> {
        let until = self.now.plus(time);
        let mut wakes = 0;
        while let Some(alarm) = self.alarm.filter(|a| *a <= until && !self.closed) {
            wakes += 1;
            assert!(wakes < MAX_WAKES, "the session spins");
            self.now = self.now.max(alarm);
            self.alarm = None;
            self.holding = false;
            self.out.read();
            self.session.wake(self.now, &mut self.out);
            self.take();
            self.pump();
        }
        self.now = until;
        self.said()
    }

    /// Lets time pass until the session waits for the peer and for nothing else; gives everything
    /// said since last taken.
    pub fn settle(&mut self) -> Vec<u8> {
        let mut said = self.said();
        let mut wakes = 0;
        while self.holding && !self.closed {
            wakes += 1;
            assert!(wakes < MAX_WAKES, "the session spins");
            let time = self.alarm.map_or(Duration::ZERO, |a| a.since(self.now));
            said.extend(self.advance(time));
        }
        said
    }

    /// The peer says no more; gives everything said since last taken.
    pub fn end(&mut self) -> Vec<u8> {
        self.ended = true;
        self.pump();
        self.said()
    }

    /// Everything seen so far: logtype and fields.
    pub fn events(&self) -> Vec<(u32, Value)> {
        self.seen
            .iter()
            .map(|s| {
                (
                    s.logtype,
                    serde_json::from_str(s.fields.get()).unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Whether the session closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the conversation is inside TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The time of the conversation.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Feeds what can be fed, as the driver does.
    pub(super) fn pump(&mut self) {
        while !self.closed && !self.holding && !self.input.is_empty() {
            let fed = self.session.feed(&self.input, self.now, &mut self.out);
            if let Ok(n) = fed {
                assert!(n <= self.input.len(), "consumed more than there was");
                self.input.drain(..n);
            }
            self.take();
            match fed {
                Err(Broken) => self.closed = true,
                Ok(0) => {
                    self.closed |= self.input.len() >= self.limit;
                    break;
                }
                Ok(_) => {}
            }
        }
        if self.ended && !self.closed && !self.holding {
            self.out.close();
            self.session.end(self.now, &mut self.out);
            self.take();
            self.closed |= !self.holding;
        }
    }

    pub(super) fn take(&mut self) {
        let (said, seen) = (self.out.take_bytes(), self.out.take_seen());
        assert!(
            said.len() <= MAX_SAID_AT_ONCE && seen.len() <= MAX_SEEN_AT_ONCE,
            "{} bytes and {} events pile up in one call",
            said.len(),
            seen.len()
        );
        self.said.extend(said);
        self.seen.extend(seen);
        self.alarm = None;
        match self.out.next() {
            Next::Read => {}
            Next::ReadUntil(time) => self.alarm = Some(self.now.plus(time)),
            Next::Wait(time) => {
                self.alarm = Some(self.now.plus(time));
                self.holding = true;
            }
            Next::StartTls => {
                // What came in the clear after the request for TLS must never count as inside it.
                self.input.clear();
                self.tls = true;
                self.out.read();
                self.session.secured(self.now, &mut self.out);
                self.take();
            }
            Next::EndTls => {
                assert!(self.tls, "no TLS to end");
                self.input.clear();
                self.tls = false;
                self.out.read();
                self.session.wake(self.now, &mut self.out);
                self.take();
            }
            Next::Close => self.closed = true,
        }
    }
}
