//! Requests, read as Squid 5.7 reads them with its default `relaxed_header_parser on`.

/// Longest head, request line and all, in bytes (`request_header_max_size`).
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Longest method, in bytes.
const MAX_METHOD: usize = 32;
/// Longest target, in bytes.
const MAX_TARGET: usize = 64 * 1024 - 1;

/// Methods that are known whatever their case.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"CONNECT",
    b"TRACE",
    b"OPTIONS",
    b"DELETE",
    b"CHECKOUT",
    b"CHECKIN",
    b"UNCHECKOUT",
    b"MKWORKSPACE",
    b"VERSION-CONTROL",
    b"REPORT",
    b"UPDATE",
    b"LABEL",
    b"MERGE",
    b"BASELINE-CONTROL",
    b"MKACTIVITY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"PRI",
    b"PURGE",
];

/// A request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// In capitals where it's a known one.
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    /// Major and minor; 0.0 stands for numbers of several digits.
    pub(super) version: (u8, u8),
}

impl Line {
    pub(super) fn is(&self, method: &[u8]) -> bool {
        self.method == method
    }

    /// Whether header fields follow; those of other protocol versions aren't read.
    pub(super) fn has_fields(&self) -> bool {
        self.version.0 == 1
    }

    /// Whether it's HTTP/0.9, 1.0 or 1.x.
    pub(super) fn is_spoken(&self) -> bool {
        self.version == (0, 9) || self.version.0 == 1
    }
}

/// Why a request line or a head isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It's another protocol: no method or no target.
    Alien,
    /// Bytes where none may be.
    Invalid,
    /// The target is too long.
    TargetTooLong,
    /// The head is too long.
    HeadTooLong,
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads `line`, which comes without its line feed.
pub(super) fn line(line: &[u8]) -> Result<Line, Fault> {
    let (method, rest) = method(line).ok_or(Fault::Alien)?;
    let rest = trim_end(rest, |b| b == b'\r');
    let is_get = method == b"GET";
    let (target, version) = match version(rest) {
        // What isn't a version belongs to the target of a request from before there were versions.
        None if is_get => (rest, (0, 9)),
        None => return Err(Fault::Alien),
        Some((target, version)) if version.0 == 0 => (target, version),
        Some((before, version)) => {
            let target = trim_end(before, is_delimiter);
            if target.len() == before.len() {
                return Err(Fault::Alien);
            }
            (target, version)
        }
    };
    let is_allowed = |b: u8| is_delimiter(b) || !b.is_ascii_control();
    match target.iter().position(|b| !is_allowed(*b)) {
        Some(0) => return Err(Fault::Alien),
        Some(_) => return Err(Fault::Invalid),
        None if target.is_empty() => return Err(Fault::Alien),
        None if target.len() > MAX_TARGET => return Err(Fault::TargetTooLong),
        None => {}
    }
    Ok(Line {
        method,
        target: target.to_vec(),
        version,
    })
}

/// What to say to a line that grew too long without ending.
pub(super) fn endless_line(line: &[u8]) -> Fault {
    match method(line) {
        None => Fault::Alien,
        Some(_) => Fault::TargetTooLong,
    }
}

/// The method and what follows the white space behind it.
fn method(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = line.iter().take(MAX_METHOD).take_while(|b| is_token(**b));
    let (method, rest) = line.split_at_checked(end.count())?;
    let start = rest.iter().position(|b| !is_delimiter(*b));
    let rest_from = start.unwrap_or(rest.len());
    if method.is_empty() || rest_from == 0 {
        return None;
    }
    let upper = method.to_ascii_uppercase();
    let method = if METHODS.contains(&upper.as_slice()) {
        upper
    } else {
        method.to_vec()
    };
    Some((method, rest.get(rest_from..)?))
}

/// What is before `HTTP/1.1` at the end of `text`, and its numbers.
fn version(text: &[u8]) -> Option<(&[u8], (u8, u8))> {
    let before_minor = trim_end(text, |b| b.is_ascii_digit());
    let minor = text.get(before_minor.len()..)?;
    let dotted = before_minor.strip_suffix(b".")?;
    let before_major = trim_end(dotted, |b| b.is_ascii_digit());
    let major = dotted.get(before_major.len()..)?;
    let before = before_major.strip_suffix(b"HTTP/")?;
    let version = match (major, minor) {
        ([], _) | (_, []) => return None,
        ([major], [minor]) => (major.saturating_sub(b'0'), minor.saturating_sub(b'0')),
        _ => (0, 0),
    };
    Some((before, version))
}

fn trim_end(text: &[u8], is_gone: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().rposition(|b| !is_gone(*b));
    let end = end.map_or(0, |at| at.saturating_add(1));
    text.get(..end).unwrap_or_default()
}

/// Looks for the empty line that ends a head; keeps its place.
#[derive(Debug)]
pub(super) struct HeadEnd {
    next: usize,
    /// Whether the line has only had a carriage return so far, or nothing.
    is_blank: bool,
    had_cr: bool,
}

impl HeadEnd {
    pub(super) const fn new() -> Self {
        Self {
            next: 0,
            is_blank: true,
            had_cr: false,
        }
    }

    /// Looks at what's new in `input`, which begins behind the request line; the head's length.
    pub(super) fn find(&mut self, input: &[u8]) -> Option<usize> {
        while let Some(byte) = input.get(self.next) {
            self.next = self.next.saturating_add(1);
            match byte {
                b'\n' if self.is_blank => return Some(self.next),
                b'\n' => {
                    self.is_blank = true;
                    self.had_cr = false;
                }
                b'\r' if self.is_blank && !self.had_cr => self.had_cr = true,
                _ => self.is_blank = false,
            }
        }
        None
    }
}

/// Header fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

/// How much body follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Known(u64),
    /// It comes in chunks.
    Chunked,
    /// In a coding that nobody knows.
    Unknown,
    /// Its length is no number, or several.
    BadLength,
}

impl Fields {
    /// Reads a head without its request line.
    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        if block.contains(&0) {
            return None;
        }
        let is_continued = |line: &[u8]| matches!(line.first(), Some(b' ' | b'\t'));
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for line in block.split(|b| *b == b'\n') {
            let line = trim_end(line, |b| b == b'\r');
            if is_continued(line) {
                // Before the first field such lines are skipped (RFC 9112 section 2.2).
                if let Some((_, value)) = fields.last_mut() {
                    value.push(b' ');
                    value.extend(line.trim_ascii());
                }
                continue;
            }
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_at_checked(line.iter().position(|b| *b == b':')?)?;
            if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
                return None;
            }
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            fields.push((name.to_vec(), value.to_vec()));
        }
        Some(Self(fields))
    }

    /// All fields: name and value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(n, v)| (n.as_slice(), v.as_slice()))
    }

    /// The values of the fields of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The first field of this name.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The members of a comma-separated list, over all fields of this name.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .map(<[u8]>::trim_ascii)
    }

    /// `Connection`, or where there's none `Proxy-Connection`, names this directive.
    fn connection_says(&self, directive: &str) -> bool {
        let name = match self.get("connection") {
            Some(_) => "connection",
            None => "proxy-connection",
        };
        self.list(name)
            .any(|member| member.eq_ignore_ascii_case(directive.as_bytes()))
    }

    /// Whether the connection stays for another request (RFC 9112 section 9.3).
    pub(super) fn keep_alive(&self, line: &Line) -> bool {
        match line.version {
            (1, 1..) => !self.connection_says("close"),
            (1, 0) => self.connection_says("keep-alive"),
            _ => false,
        }
    }

    /// How the body is framed (RFC 9112 section 6.3).
    pub(super) fn framing(&self) -> Framing {
        if self.get("transfer-encoding").is_some() {
            let joined = self
                .all("transfer-encoding")
                .collect::<Vec<_>>()
                .join(&b", "[..]);
            if joined.eq_ignore_ascii_case(b"chunked") {
                return Framing::Chunked;
            }
            // A length beside it is dropped.
            return match joined.eq_ignore_ascii_case(b"identity") {
                true => Framing::Known(0),
                false => Framing::Unknown,
            };
        }
        let mut length = None;
        for text in self.list("content-length") {
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(text).ok().filter(|_| digits);
            let Some(number) = number.and_then(|n| n.parse::<i64>().ok()) else {
                return Framing::BadLength;
            };
            if length.is_some_and(|length| length != number) {
                return Framing::BadLength;
            }
            length = Some(number);
        }
        Framing::Known(u64::try_from(length.unwrap_or(0)).unwrap_or(0))
    }

    /// `Max-Forwards` is a zero, as C's `strtoll` reads it.
    pub(super) fn forwards_no_further(&self) -> bool {
        self.get("max-forwards").is_some_and(|value| {
            let value = value.strip_prefix(b"+").unwrap_or(value);
            let value = value.strip_prefix(b"-").unwrap_or(value);
            let digits: Vec<_> = value.iter().take_while(|b| b.is_ascii_digit()).collect();
            !digits.is_empty() && digits.iter().all(|b| **b == b'0')
        })
    }
}
