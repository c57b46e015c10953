//! Request heads, read as nginx 1.22 reads them: what it takes, what it refuses, and when.
//!
//! Parsers keep their place, so a request that comes byte by byte costs no more than one that
//! comes at once. The input always begins where the line begins.

use std::ops::Range;

use super::lines;
use super::status::Status;

/// First buffer of a head (`client_header_buffer_size`).
const MAX_FIRST_BUFFER: usize = 1024;
/// Size of each further buffer, and thus of a line (`large_client_header_buffers`).
const MAX_LINE: usize = 8192;
/// Number of further buffers.
const MAX_LARGE_BUFFERS: u8 = 4;

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress<T> {
    /// The line isn't complete.
    More,
    /// It is, and so many bytes long.
    Done(T, usize),
    /// It's refused.
    Refused(Status),
}

/// Room in the buffers of a head, as nginx counts it: a line lies whole in one buffer.
#[derive(Debug)]
pub(crate) struct Room {
    size: usize,
    used: usize,
    large: u8,
}

impl Room {
    pub(crate) const fn new() -> Self {
        Self {
            size: MAX_FIRST_BUFFER,
            used: 0,
            large: 0,
        }
    }

    /// Whether a line of `len` bytes still fits.
    pub(crate) fn take(&mut self, len: usize) -> bool {
        let end = self.used.saturating_add(len);
        if end <= self.size {
            self.used = end;
            return true;
        }
        if self.large >= MAX_LARGE_BUFFERS || len > MAX_LINE {
            return false;
        }
        self.large = self.large.saturating_add(1);
        self.size = MAX_LINE;
        self.used = len;
        true
    }

    /// Whether an unfinished line of `len` bytes can still become one that fits.
    pub(crate) const fn can_grow(len: usize) -> bool {
        len < MAX_LINE
    }
}

/// Protocol versions that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// A request line without version: the answer is a bare body.
    Http09,
    /// No persistent connections unless asked for.
    Http10,
    /// 1.1 and every later 1.x.
    Http11,
}

/// A request line (RFC 9112 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine {
    pub(crate) method: Vec<u8>,
    /// Host of an absolute-form target.
    pub(crate) host: Option<Vec<u8>>,
    /// Path and query as sent; begins with `/` or is empty (absolute form without path).
    pub(crate) target: Vec<u8>,
    pub(crate) version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Method,
    BeforeTarget,
    Scheme,
    SchemeSlash,
    SchemeSlashSlash,
    HostStart,
    Host,
    HostLiteral,
    HostEnd,
    Port,
    Target,
    AfterTarget,
    Protocol(u8),
    MajorFirst,
    Major,
    MinorFirst,
    Minor,
    AfterVersion,
    End,
}

/// Reads a request line.
#[derive(Debug)]
pub(crate) struct LineParser {
    at: At,
    next: usize,
    method: usize,
    host: Range<usize>,
    target: Range<usize>,
    major: u32,
    minor: u32,
    versioned: bool,
}

impl LineParser {
    pub(crate) const fn new() -> Self {
        Self {
            at: At::Method,
            next: 0,
            method: 0,
            host: 0..0,
            target: 0..0,
            major: 0,
            minor: 0,
            versioned: false,
        }
    }

    /// Whether the method is known to be `HEAD`, which takes the body off every answer.
    pub(crate) fn is_head(&self, input: &[u8]) -> bool {
        self.method > 0 && input.get(..self.method) == Some(b"HEAD".as_slice())
    }

    /// Looks at what's new in `input`.
    pub(crate) fn read(&mut self, input: &[u8]) -> Progress<RequestLine> {
        while let Some(&byte) = input.get(self.next) {
            match self.step(byte) {
                Ok(false) => self.next = self.next.saturating_add(1),
                Ok(true) => return self.finish(input),
                Err(status) => return Progress::Refused(status),
            }
        }
        Progress::More
    }

    /// One byte; true when it ends the line.
    fn step(&mut self, byte: u8) -> Result<bool, Status> {
        let here = self.next;
        let after = here.saturating_add(1);
        let bad = Err(Status::BadRequest);
        self.at = match (self.at, byte) {
            (At::Method, b' ') if here > 0 => {
                self.method = here;
                At::BeforeTarget
            }
            (At::Method, b'A'..=b'Z' | b'_' | b'-') => At::Method,
            (At::BeforeTarget, b' ') => At::BeforeTarget,
            (At::BeforeTarget, b'/') => {
                self.target = here..here;
                At::Target
            }
            (At::BeforeTarget, b'a'..=b'z' | b'A'..=b'Z') => At::Scheme,
            (At::Scheme, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.') => {
                At::Scheme
            }
            (At::Scheme, b':') => At::SchemeSlash,
            (At::SchemeSlash, b'/') => At::SchemeSlashSlash,
            (At::SchemeSlashSlash, b'/') => {
                self.host = after..after;
                At::HostStart
            }
            (At::HostStart, b'[') => At::HostLiteral,
            (At::HostLiteral, b']') => At::HostEnd,
            (
                At::HostLiteral,
                b'a'..=b'z'
                | b'A'..=b'Z'
                | b'0'..=b'9'
                | b':'
                | b'.'
                | b'-'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'=',
            ) => At::HostLiteral,
            (At::HostStart | At::Host, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-') => {
                At::Host
            }
            (At::HostStart | At::Host | At::HostEnd, b':') => {
                self.host.end = here;
                At::Port
            }
            (At::HostStart | At::Host | At::HostEnd, b'/' | b'?' | b' ') => {
                self.host.end = here;
                self.begin_target(byte)
            }
            (At::Port, b'0'..=b'9') => At::Port,
            (At::Port, b'/' | b'?' | b' ') => self.begin_target(byte),
            (At::Target, b' ') => {
                self.target.end = here;
                At::AfterTarget
            }
            (At::Target, b'\r') => {
                self.target.end = here;
                At::End
            }
            (At::Target, b'\n') => {
                self.target.end = here;
                return Ok(true);
            }
            (At::Target, 0..0x20 | 0x7f) => return bad,
            (At::Target, _) => At::Target,
            (At::AfterTarget, b' ') => At::AfterTarget,
            (At::AfterTarget, b'\r') => At::End,
            (At::AfterTarget, b'H') => At::Protocol(1),
            (At::Protocol(n), _) if b"HTTP/".get(usize::from(n)) == Some(&byte) => {
                if n == 4 {
                    At::MajorFirst
                } else {
                    At::Protocol(n.saturating_add(1))
                }
            }
            (At::MajorFirst, b'1'..=b'9') => self.major_digit(byte)?,
            (At::Major, b'.') => At::MinorFirst,
            (At::Major, b'0'..=b'9') => self.major_digit(byte)?,
            (At::MinorFirst, b'0'..=b'9') => self.minor_digit(byte)?,
            (At::Minor, b'0'..=b'9') => self.minor_digit(byte)?,
            (At::Minor | At::AfterVersion, b'\r') => At::End,
            (At::Minor | At::AfterVersion, b' ') => At::AfterVersion,
            (At::AfterTarget | At::Minor | At::AfterVersion | At::End, b'\n') => {
                self.versioned |= matches!(self.at, At::Minor | At::AfterVersion);
                return Ok(true);
            }
            _ => return bad,
        };
        if matches!(self.at, At::Minor | At::AfterVersion) {
            self.versioned = true;
        }
        Ok(false)
    }

    /// The target of an absolute form begins at `byte`, or is missing altogether.
    fn begin_target(&mut self, byte: u8) -> At {
        self.target = self.next..self.next;
        if byte == b' ' {
            At::AfterTarget
        } else {
            At::Target
        }
    }

    fn major_digit(&mut self, byte: u8) -> Result<At, Status> {
        self.major = digit(self.major, byte);
        if self.major > 1 {
            return Err(Status::VersionNotSupported);
        }
        Ok(At::Major)
    }

    fn minor_digit(&mut self, byte: u8) -> Result<At, Status> {
        if self.minor > 99 {
            return Err(Status::BadRequest);
        }
        self.minor = digit(self.minor, byte);
        Ok(At::Minor)
    }

    fn finish(&self, input: &[u8]) -> Progress<RequestLine> {
        let part = |range: &Range<usize>| input.get(range.clone()).unwrap_or_default().to_vec();
        let version = match (self.versioned, self.minor) {
            (false, _) => Version::Http09,
            (true, 0) => Version::Http10,
            (true, _) => Version::Http11,
        };
        let line = RequestLine {
            method: part(&(0..self.method)),
            host: (!self.host.is_empty()).then(|| part(&self.host)),
            target: part(&self.target),
            version,
        };
        Progress::Done(line, self.next.saturating_add(1))
    }
}

fn digit(number: u32, byte: u8) -> u32 {
    number
        .saturating_mul(10)
        .saturating_add(u32::from(byte.saturating_sub(b'0')))
}

/// One line of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// A field with its name in lower case.
    Named(String, Vec<u8>),
    /// A field whose name has odd characters; ignored.
    Odd,
    /// The empty line.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    Start,
    Name,
    BeforeValue,
    Value,
    LineEnd,
    HeadEnd,
}

/// Reads a header line.
#[derive(Debug)]
pub(crate) struct FieldParser {
    at: In,
    next: usize,
    odd: bool,
    name: usize,
    value: Range<usize>,
}

impl FieldParser {
    pub(crate) const fn new() -> Self {
        Self {
            at: In::Start,
            next: 0,
            odd: false,
            name: 0,
            value: 0..0,
        }
    }

    /// Looks at what's new in `input`.
    pub(crate) fn read(&mut self, input: &[u8]) -> Progress<Field> {
        while let Some(&byte) = input.get(self.next) {
            let here = self.next;
            let after = here.saturating_add(1);
            self.at = match (self.at, byte) {
                (In::Start, b'\r') => In::HeadEnd,
                (In::Start | In::HeadEnd, b'\n') => return Progress::Done(Field::End, after),
                (In::HeadEnd, _) => return Progress::Refused(Status::BadRequest),
                (In::Name, b':') => {
                    self.name = here;
                    self.value = after..after;
                    In::BeforeValue
                }
                (In::Name, b'\r') => {
                    self.name = here;
                    In::LineEnd
                }
                (In::Name, b'\n') => {
                    self.name = here;
                    return Progress::Done(self.finish(input), after);
                }
                (In::Start, 0..=0x20 | 0x7f | b':') | (In::Name, 0..=0x20 | 0x7f) => {
                    return Progress::Refused(Status::BadRequest);
                }
                (In::Start | In::Name, _) => {
                    self.odd |= !(byte.is_ascii_alphanumeric() || byte == b'-');
                    In::Name
                }
                (In::BeforeValue | In::Value, 0) => {
                    return Progress::Refused(Status::BadRequest);
                }
                (In::BeforeValue | In::Value, b'\r') => In::LineEnd,
                (In::LineEnd, b'\r') => In::LineEnd,
                (In::BeforeValue | In::Value | In::LineEnd, b'\n') => {
                    return Progress::Done(self.finish(input), after);
                }
                (In::LineEnd, _) => return Progress::Refused(Status::BadRequest),
                (In::BeforeValue, b' ') => In::BeforeValue,
                (In::BeforeValue, _) => {
                    self.value = here..after;
                    In::Value
                }
                (In::Value, b' ') => In::Value,
                (In::Value, _) => {
                    self.value.end = after;
                    In::Value
                }
            };
            self.next = after;
        }
        Progress::More
    }

    fn finish(&self, input: &[u8]) -> Field {
        if self.odd {
            return Field::Odd;
        }
        let name = input.get(..self.name).unwrap_or_default();
        let value = input.get(self.value.clone()).unwrap_or_default();
        Field::Named(
            String::from_utf8_lossy(name).to_ascii_lowercase(),
            value.to_vec(),
        )
    }
}

/// A host as nginx takes it: lower case, without port and final dot.
pub(crate) fn host(value: &[u8]) -> Result<String, Status> {
    let bad = Status::BadRequest;
    let mut end = value.len();
    let mut literal = false;
    let mut usual = true;
    let mut last_dot = false;
    for (index, &byte) in value.iter().enumerate() {
        match byte {
            b'.' if last_dot => return Err(bad),
            b':' if usual && !literal => {
                end = index;
                usual = false;
            }
            b'[' if index == 0 => literal = true,
            b']' if literal && usual => {
                end = index.saturating_add(1);
                usual = false;
            }
            0..=0x20 | 0x7f | b'/' => return Err(bad),
            _ => {}
        }
        last_dot = byte == b'.';
    }
    let name = value.get(..end).unwrap_or_default();
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() {
        return Err(bad);
    }
    Ok(latin1(name).to_ascii_lowercase())
}

/// A target's path, percent-decoded, with `.`, `..` and `//` resolved; and its query.
pub(crate) fn path(target: &[u8]) -> Result<(Vec<u8>, &[u8]), Status> {
    let whole = target
        .iter()
        .position(|b| *b == b'#')
        .and_then(|at| target.get(..at))
        .unwrap_or(target);
    let (raw, query) = lines::cut_query(whole);
    if raw.windows(3).any(|escape| escape == b"%00") {
        return Err(Status::BadRequest);
    }
    let plain = lines::decode(raw).ok_or(Status::BadRequest)?;
    Ok((normal(&plain).ok_or(Status::BadRequest)?, query))
}

/// A path with `.`, `..` and `//` resolved; nothing where it leads above the root.
pub(crate) fn normal(plain: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![b'/'];
    let mut parts = plain.split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        match part {
            b"" | b"." => {}
            b".." => {
                if out.len() <= 1 {
                    return None;
                }
                out.pop();
                while out.last().is_some_and(|b| *b != b'/') {
                    out.pop();
                }
            }
            part => {
                out.extend_from_slice(part);
                if parts.peek().is_some() {
                    out.push(b'/');
                }
            }
        }
    }
    Some(out)
}

/// Bytes as text, each byte a character: loses nothing and never fails.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

/// The body of a request in chunks (RFC 9112 section 7.1), read as it comes.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    at: Chunk,
    left: u64,
    /// Lines end in CRLF alone.
    strict: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chunk {
    #[default]
    Start,
    Size,
    Extension,
    SizeEnd,
    Data,
    AfterData,
    AfterDataEnd,
    LastExtension,
    LastEnd,
    Trailer,
    TrailerEnd,
    TrailerHeader,
    TrailerHeaderEnd,
    Done,
}

impl Chunks {
    /// Where `strict`, a bare line feed ends no line.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            strict,
            ..Self::default()
        }
    }

    /// Whether all has come.
    pub(crate) fn is_done(&self) -> bool {
        self.at == Chunk::Done
    }

    /// Whether a chunk's size is beyond all counting.
    pub(crate) const fn is_huge(&self) -> bool {
        self.left > u64::MAX / 2
    }

    /// Takes what belongs to the body from the front of `input`, hands data to `keep`; how many
    /// bytes were taken.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        mut keep: impl FnMut(&[u8]),
    ) -> Result<usize, Status> {
        let mut taken = 0_usize;
        while let Some(rest) = input.get(taken..)
            && let Some(&byte) = rest.first()
            && self.at != Chunk::Done
        {
            if self.at == Chunk::Data {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX);
                let data = rest.get(..len).unwrap_or(rest);
                keep(data);
                taken = taken.saturating_add(data.len());
                self.left = self
                    .left
                    .saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                if self.left == 0 {
                    self.at = Chunk::AfterData;
                }
                continue;
            }
            self.at = self.step(byte).ok_or(Status::BadRequest)?;
            taken = taken.saturating_add(1);
        }
        Ok(taken)
    }

    fn step(&mut self, byte: u8) -> Option<Chunk> {
        let hex = char::from(byte).to_digit(16).map(u64::from);
        let last = self.left == 0;
        let bare = [
            Chunk::Size,
            Chunk::Extension,
            Chunk::AfterData,
            Chunk::LastExtension,
        ];
        if self.strict && byte == b'\n' && bare.contains(&self.at) {
            return None;
        }
        Some(match (self.at, byte) {
            (Chunk::Start, _) => {
                self.left = hex?;
                Chunk::Size
            }
            (Chunk::Size, _) if hex.is_some() => {
                let longer = self.left.checked_mul(16);
                self.left = longer.and_then(|n| n.checked_add(hex?)).unwrap_or(u64::MAX);
                // What nginx can count in a signed 64-bit number.
                if self.left > u64::MAX / 2 {
                    return None;
                }
                Chunk::Size
            }
            (Chunk::Size, b'\r') if last => Chunk::LastEnd,
            (Chunk::Size, b'\n') if last => Chunk::Trailer,
            (Chunk::Size, b';' | b' ' | b'\t') if last => Chunk::LastExtension,
            (Chunk::Size, b'\r') | (Chunk::Extension, b'\r') => Chunk::SizeEnd,
            (Chunk::Size, b'\n') | (Chunk::Extension, b'\n') => Chunk::Data,
            (Chunk::Size, b';' | b' ' | b'\t') => Chunk::Extension,
            (Chunk::Extension, _) => Chunk::Extension,
            (Chunk::SizeEnd, b'\n') => Chunk::Data,
            (Chunk::AfterData, b'\r') => Chunk::AfterDataEnd,
            (Chunk::AfterData | Chunk::AfterDataEnd, b'\n') => Chunk::Start,
            (Chunk::LastExtension, b'\r') => Chunk::LastEnd,
            (Chunk::LastExtension, b'\n') | (Chunk::LastEnd, b'\n') => Chunk::Trailer,
            (Chunk::LastExtension, _) => Chunk::LastExtension,
            (Chunk::Trailer, b'\r') => Chunk::TrailerEnd,
            (Chunk::Trailer | Chunk::TrailerEnd, b'\n') => Chunk::Done,
            (Chunk::Trailer, _) => Chunk::TrailerHeader,
            (Chunk::TrailerHeader, b'\r') => Chunk::TrailerHeaderEnd,
            (Chunk::TrailerHeader | Chunk::TrailerHeaderEnd, b'\n') => Chunk::Trailer,
            (Chunk::TrailerHeader, _) => Chunk::TrailerHeader,
            _ => return None,
        })
    }
}
