//! Heads as Apache, HTTP.sys and Go read them: line by line, each line whole before it's looked at.
//! (nginx looks at each byte; see [`super::parse`].)

use super::head::{Head, Size};
use super::parse::{self, RequestLine, Version};
use super::persona::Persona;
use super::status::Status;
use super::{apache, golang, iis};

/// Empty lines before a request line (`LimitRequestFields`).
const MAX_BLANK: u32 = 100;
/// Lines of one head, whoever reads it.
const MAX_FIELDS: u32 = 1_000;

/// What became of the next line.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It isn't complete.
    More,
    /// It was so many bytes long; another is due.
    Line(usize),
    /// It ended the head, and was so many bytes long.
    Head(Box<Head>, Size, usize),
    /// The request is refused.
    Refused(Refusal),
}

/// Why a request is refused, and as far as it was understood.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    pub(crate) head: Option<Box<Head>>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, head: None }
    }
}

/// Reads a head.
#[derive(Debug)]
pub(crate) struct Reader {
    persona: Persona,
    /// Bytes of the line that are known to hold no line feed.
    seen: usize,
    blank: u32,
    lines: u32,
    /// Bytes of the lines so far.
    size: usize,
    head: Option<Box<Head>>,
}

impl Reader {
    pub(crate) const fn new(persona: Persona) -> Self {
        Self {
            persona,
            seen: 0,
            blank: 0,
            lines: 0,
            size: 0,
            head: None,
        }
    }

    /// Looks at what's new in `input`, which begins where the line begins.
    pub(crate) fn read(&mut self, input: &[u8]) -> Taken {
        let fresh = input.get(self.seen..).unwrap_or_default();
        let Some(at) = fresh.iter().position(|b| *b == b'\n') else {
            self.seen = input.len();
            return match self.too_long(input.len(), false) {
                Some(status) => self.refused(status),
                None => Taken::More,
            };
        };
        let end = self.seen.saturating_add(at);
        self.seen = 0;
        let taken = end.saturating_add(1);
        let raw = input.get(..end).unwrap_or_default();
        let (line, bare) = match raw.strip_suffix(b"\r") {
            Some(line) => (line, false),
            None => (raw, true),
        };
        if let Some(status) = self.too_long(line.len(), true) {
            return self.refused(status);
        }
        self.size = self.size.saturating_add(taken);
        let persona = self.persona;
        let result = match (&mut self.head, persona) {
            (_, Persona::Apache) if bare => Err(Status::BadRequest.into()),
            (None, _) if line.is_empty() && persona != Persona::Go => {
                self.blank = self.blank.saturating_add(1);
                if self.blank > MAX_BLANK {
                    return self.refused(Status::BadRequest);
                }
                return Taken::Line(taken);
            }
            (None, _) => match self.first(line) {
                Ok(head) if head.line.version == Version::Http09 => {
                    return Taken::Head(Box::new(head), Size::Known(0), taken);
                }
                Ok(head) => {
                    self.head = Some(Box::new(head));
                    return Taken::Line(taken);
                }
                Err(refusal) => Err(refusal),
            },
            (Some(_), _) if line.is_empty() => {
                return match self.head.take() {
                    Some(head) => self.finish(head, taken),
                    None => Taken::More,
                };
            }
            (Some(head), _) => {
                self.lines = self.lines.saturating_add(1);
                let field = match persona {
                    Persona::Apache => apache::field(head, line, self.lines),
                    Persona::Iis => iis::field(head, line),
                    _ => golang::field(head, line),
                };
                field.map_err(Refusal::from)
            }
        };
        match result {
            Ok(()) if self.lines <= MAX_FIELDS => Taken::Line(taken),
            Ok(()) => self.refused(Status::TooManyFields),
            Err(refusal) => match refusal.head {
                Some(_) => Taken::Refused(refusal),
                None => self.refused(refusal.status),
            },
        }
    }

    fn first(&self, line: &[u8]) -> Result<Head, Refusal> {
        match self.persona {
            Persona::Apache => apache::request_line(line).map_err(Refusal::from),
            Persona::Iis => iis::request_line(line),
            _ => golang::request_line(line).map_err(Refusal::from),
        }
    }

    fn finish(&self, head: Box<Head>, taken: usize) -> Taken {
        let done = match self.persona {
            Persona::Apache => apache::finish(head),
            Persona::Iis => iis::finish(head),
            _ => golang::finish(head),
        };
        match done {
            Ok((head, size)) => Taken::Head(head, size, taken),
            Err(refusal) => Taken::Refused(refusal),
        }
    }

    fn too_long(&self, len: usize, whole: bool) -> Option<Status> {
        let first = self.head.is_none();
        match self.persona {
            Persona::Apache => apache::too_long(len, whole, first),
            Persona::Iis => iis::too_long(len, self.size, first),
            _ => golang::too_long(len.saturating_add(self.size)),
        }
    }

    /// Refused before the host that was asked for is known.
    fn refused(&mut self, status: Status) -> Taken {
        let mut head = self.head.take();
        if let Some(head) = &mut head
            && self.persona == Persona::Apache
        {
            head.host = None;
            head.port = None;
        }
        Taken::Refused(Refusal { status, head })
    }

    /// Whether nothing of a request has come.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.head.is_none() && self.seen == 0 && self.blank == 0
    }
}

/// The parts of a request line that is split at each single space.
pub(crate) fn parts(line: &[u8]) -> Vec<&[u8]> {
    line.split(|b| *b == b' ').collect()
}

/// Whether `text` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    let is = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(is)
}

/// `HTTP/d.d`: major and minor.
pub(crate) fn version(text: &[u8]) -> Option<(u8, u8)> {
    match text.strip_prefix(b"HTTP/")? {
        [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Some((major.saturating_sub(b'0'), minor.saturating_sub(b'0')))
        }
        _ => None,
    }
}

/// A target's scheme, authority and the rest, where it's in absolute form.
pub(crate) fn absolute(target: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let at = target.windows(3).position(|w| w == b"://")?;
    let scheme = target.get(..at)?;
    let after = target.get(at.saturating_add(3)..)?;
    let end = after
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end)?;
    let is_scheme = !scheme.is_empty()
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
    is_scheme.then_some((scheme, authority, rest))
}

/// Path and query of a target.
pub(crate) fn cut_query(target: &[u8]) -> (&[u8], &[u8]) {
    match target.iter().position(|b| *b == b'?') {
        Some(at) => (
            target.get(..at).unwrap_or_default(),
            target.get(at.saturating_add(1)..).unwrap_or_default(),
        ),
        None => (target, &[]),
    }
}

/// A percent-decoded path; nothing where an escape is none.
pub(crate) fn decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut hex = || char::from(*bytes.next()?).to_digit(16);
        let (high, low) = (hex()?, hex()?);
        plain.push(u8::try_from(high.saturating_mul(16).saturating_add(low)).ok()?);
    }
    Some(plain)
}

/// Host and port of an authority; nothing where the port is none.
pub(crate) fn authority(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let after_literal = match text.first() {
        Some(b'[') => text.iter().position(|b| *b == b']')?.checked_add(1)?,
        _ => 0,
    };
    let tail = text.get(after_literal..)?;
    let Some(colon) = tail.iter().position(|b| *b == b':') else {
        return Some((text, None));
    };
    let at = after_literal.checked_add(colon)?;
    let digits = text.get(at.checked_add(1)?..)?;
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let port = parse::latin1(digits).parse::<u16>().ok();
    match port {
        Some(port) if is_number && port > 0 => Some((text.get(..at)?, Some(port))),
        _ => None,
    }
}

/// A head whose path isn't decoded yet.
pub(crate) fn head(method: &[u8], target: &[u8], version: Version) -> Head {
    Head::raw(RequestLine {
        method: method.to_vec(),
        host: None,
        target: target.to_vec(),
        version,
    })
}

/// Trims spaces and tabs.
pub(crate) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Name and value of a field line; nothing without a colon.
pub(crate) fn named(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|b| *b == b':')?;
    Some((
        line.get(..at)?,
        trimmed(line.get(at.checked_add(1)?..).unwrap_or_default()),
    ))
}

/// `Content-Length` as digits alone.
pub(crate) fn length(value: Option<&[u8]>) -> Result<u64, ()> {
    match value {
        None => Ok(0),
        Some(text) if !text.is_empty() && text.iter().all(u8::is_ascii_digit) => {
            let number = parse::latin1(text).parse::<i64>().map_err(|_| ())?;
            u64::try_from(number).map_err(|_| ())
        }
        Some(_) => Err(()),
    }
}
