//! A service of the operator's own making: a banner for who connects, another for who says
//! something. What it pretends is up to the texts; the defaults say nothing, so they give nothing
//! away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::{Fault, any};
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp};

/// Banners that a bird may have.
pub const MAX_BANNERS: u16 = 10;
/// Longest text of a setting, in bytes.
const MAX_TEXT: usize = 4 * 1024;
/// Longest piece of what the client says that is one event, in bytes. Four times as long when every
/// byte is written as `\xNN`, which is the longest field that's kept whole.
const MAX_PIECE: usize = 2 * 1024;
/// Pieces that one connection may say.
const MAX_PIECES: usize = 500;
/// Connections that one banner keeps open for watchers.
const MAX_KEPT: usize = 1_000;
/// What doesn't end a line is answered after so much silence.
const QUIET: Duration = Duration::from_millis(250);
/// A silent connection is closed.
const IDLE: Duration = Duration::from_secs(120);
/// A silent connection that's to be kept is closed.
const KEPT_IDLE: Duration = Duration::from_secs(3_600);
/// Nothing lasts longer.
const MAX_CONVERSATION: Duration = Duration::from_secs(24 * 3_600);

/// Logtypes of [`TcpBanner`] beside the usual one.
const DATA_RECEIVED: u32 = 20002;
const KEPT_CONNECTION: u32 = 20003;
const KEPT_SECRET: u32 = 20004;
const KEPT_DATA: u32 = 20005;
const KEPT_REFUSED: u32 = 20006;

/// Custom TCP service.
pub static KIND: DecoyKind = DecoyKind {
    id: "tcpbanner",
    title: "Custom TCP service",
    doc: "Says a text of yours to whoever connects, and another to whatever they say.\nCaptures what they say.",
    transports: &[Transport::Tcp],
    port: 8001,
    instances: true,
    tls: None,
    events: &[TcpBanner::KIND],
    settings: TcpBannerSettings::declared,
    build: |given, _| {
        Ok(Service::sessions(Banner(Arc::new(Shared::new(
            &TcpBannerSettings::parse(given)?,
        )?))))
    },
    limits: Limits {
        total: MAX_CONVERSATION,
        ..Limits::LOGIN.idle(KEPT_IDLE)
    },
    poke: Poke::Script(&[Step::Drain, Step::Send(b"coalmine poke\r\n"), Step::Drain]),
};

coalmine_core::settings! {
    /// Settings of the custom TCP service. In its texts `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`
    /// stand for the bytes they usually do.
    pub struct TcpBannerSettings {
        /// Number of the banner, 1 to 10: its place among the bird's banners unless given.
        /// Its events tell it, and the standard port is 8000 and this.
        banner_id: u16 => "banner_id" = 1, number;
        /// What is said when somebody connects.
        /// \r, \n, \t, \0, \\ and \xNN (two hex digits) stand for the bytes they usually do.
        initbanner: String => "initbanner" = String::new(), short;
        /// The answer to each thing that is said, escaped likewise.
        datareceivedbanner: String => "datareceivedbanner" = String::new(), short;
        /// Whether only what contains alertstring is an event; connections then are none.
        alertstring_enabled: bool => "alertstring.enabled" = false, any;
        /// What to look for in what is said, escaped likewise.
        alertstring: String => "alertstring" = String::new(), short;
        /// Whether connections are kept open for an hour of silence rather than for two minutes.
        /// Their events have numbers of their own, and alertstring isn't looked for.
        keep_alive_enabled: bool => "keep_alive.enabled" = false, any;
        /// What a watcher of yours says to raise no more events with its connection; escaped likewise, empty for nothing.
        keep_alive_secret: String => "keep_alive_secret" = String::new(), short;
    }
}

coalmine_core::event! {
    /// Somebody connected to a service of the operator's own making, or said something to it.
    pub struct TcpBanner: "tcpbanner", "Custom TCP Service Request", [
        20001 "banner sent on connection",
        20002 "banner sent after a line",
        20003 "keep-alive connection made",
        20004 "keep-alive secret received",
        20005 "keep-alive data received",
        20006 "connection refused",
    ] {
        /// Number of the banner.
        banner_id: String => "BANNER_ID" = "1",
        /// What the client said, at most 2048 bytes in one event. Control characters, backslashes and what isn't UTF-8 are escaped as in the settings.
        data: Option<String> => "DATA" = "EHLO scanner\\r\\n",
        /// What happened: `CONNECTION_MADE` or `DATA_RECEIVED`.
        function: &'static str => "FUNCTION" = "DATA_RECEIVED",
    }
}

fn number(number: &u16) -> Result<(), String> {
    if (1..=MAX_BANNERS).contains(number) {
        return Ok(());
    }
    Err(format!("must be 1 to {MAX_BANNERS}"))
}

fn short(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT {
        return Err(format!("is {} bytes long; at most {MAX_TEXT}", text.len()));
    }
    Ok(())
}

struct Banner(Arc<Shared>);

/// What all connections of a banner share.
struct Shared {
    id: String,
    greeting: Vec<u8>,
    answer: Vec<u8>,
    alerts: Alerts,
    /// Connections kept open now.
    kept: AtomicUsize,
}

/// What is an event.
enum Alerts {
    Everything,
    /// What contains this.
    Containing(Vec<u8>),
    /// Everything until the secret has been said, if there is one.
    Kept(Option<Vec<u8>>),
}

impl Shared {
    fn new(settings: &TcpBannerSettings) -> Result<Self, Vec<Fault>> {
        let alerts = if settings.keep_alive_enabled {
            let secret = unescaped(&settings.keep_alive_secret);
            Alerts::Kept(Some(secret).filter(|secret| !secret.is_empty()))
        } else if settings.alertstring_enabled {
            if settings.alertstring.is_empty() {
                let problem = "must be the text to look for, as alertstring.enabled is true";
                return Err(vec![Fault::new("alertstring", problem)]);
            }
            Alerts::Containing(unescaped(&settings.alertstring))
        } else {
            Alerts::Everything
        };
        Ok(Self {
            id: settings.banner_id.to_string(),
            greeting: unescaped(&settings.initbanner),
            answer: unescaped(&settings.datareceivedbanner),
            alerts,
            kept: AtomicUsize::new(0),
        })
    }

    fn see(&self, logtype: u32, data: Option<String>, out: &mut Out) {
        let function = match data {
            None => "CONNECTION_MADE",
            Some(_) => "DATA_RECEIVED",
        };
        let event = TcpBanner {
            banner_id: self.id.clone(),
            data,
            function,
        };
        out.see_as(&event, logtype);
    }

    /// A place among the connections that are kept.
    fn keep(self: &Arc<Self>) -> Option<Kept> {
        let place = Kept(Arc::clone(self));
        let others = self.kept.fetch_add(1, Ordering::Relaxed);
        (others < MAX_KEPT).then_some(place)
    }
}

/// A place among the connections that are kept, given back when dropped.
struct Kept(Arc<Shared>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions for Banner {
    fn open(&self, _context: &Context, out: &mut Out) -> Box<dyn Session> {
        let Self(shared) = self;
        let mut place = None;
        match &shared.alerts {
            Alerts::Everything => shared.see(TcpBanner::KIND.logtype(), None, out),
            Alerts::Containing(_) => {}
            Alerts::Kept(_) => {
                place = shared.keep();
                if place.is_none() {
                    shared.see(KEPT_REFUSED, None, out);
                    out.close();
                    return Box::new(BannerSession::new(shared, place));
                }
                shared.see(KEPT_CONNECTION, None, out);
            }
        }
        let session = BannerSession::new(shared, place);
        out.send(&shared.greeting);
        out.read_until(session.patience());
        Box::new(session)
    }
}

struct BannerSession {
    shared: Arc<Shared>,
    place: Option<Kept>,
    /// What was said since the last event.
    piece: Vec<u8>,
    /// Whether something was said since the last answer.
    unanswered: bool,
    /// Pieces said so far.
    pieces: usize,
    /// Whether the secret has been said.
    trusted: bool,
}

impl Session for BannerSession {
    fn feed(&mut self, input: &[u8], _now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut rest = input;
        while !rest.is_empty() {
            let room = MAX_PIECE.saturating_sub(self.piece.len()).max(1);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.piece.extend(now);
            rest = later;
            self.unanswered = true;
            if self.piece.len() >= MAX_PIECE {
                self.report(out);
            }
        }
        if self.pieces >= MAX_PIECES {
            return Err(Broken);
        }
        if input.ends_with(b"\n") {
            self.answer(out);
            out.read_until(self.patience());
        } else {
            out.read_until(QUIET);
        }
        Ok(input.len())
    }

    fn wake(&mut self, _now: Timestamp, out: &mut Out) {
        if self.unanswered {
            self.answer(out);
            out.read_until(self.patience());
        } else {
            out.close();
        }
    }

    fn end(&mut self, _now: Timestamp, out: &mut Out) {
        if self.unanswered {
            self.answer(out);
        }
        out.close();
    }
}

impl BannerSession {
    fn new(shared: &Arc<Shared>, place: Option<Kept>) -> Self {
        Self {
            shared: Arc::clone(shared),
            place,
            piece: Vec::new(),
            unanswered: false,
            pieces: 0,
            trusted: false,
        }
    }

    /// How long the client may say nothing.
    fn patience(&self) -> Duration {
        if self.place.is_some() {
            KEPT_IDLE
        } else {
            IDLE
        }
    }

    /// Answers what was said.
    fn answer(&mut self, out: &mut Out) {
        self.report(out);
        self.unanswered = false;
        out.send(&self.shared.answer);
    }

    /// Reports the piece that was said.
    fn report(&mut self, out: &mut Out) {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return;
        }
        self.pieces = self.pieces.saturating_add(1);
        let logtype = match &self.shared.alerts {
            Alerts::Everything => DATA_RECEIVED,
            Alerts::Containing(text) if contains(&piece, text) => DATA_RECEIVED,
            Alerts::Containing(_) => return,
            Alerts::Kept(_) if self.trusted => return,
            Alerts::Kept(Some(secret)) if contains(&piece, secret) => {
                self.trusted = true;
                KEPT_SECRET
            }
            Alerts::Kept(_) => KEPT_DATA,
        };
        self.shared.see(logtype, Some(escaped(&piece)), out);
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// `bytes` as printable text that tells every one of them: [`unescaped`] gives them back.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let hex = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                control if control.is_control() => {
                    hex(&mut text, control.encode_utf8(&mut [0; 4]).as_bytes());
                }
                plain => text.push(plain),
            }
        }
        hex(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that `text` stands for. What is no escape stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [b'0', after @ ..]) => (0, after),
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [b'x', high, low, after_hex @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after_hex),
                _ => (first, after),
            },
            _ => (first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
