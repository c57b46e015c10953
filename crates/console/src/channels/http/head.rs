//! A request's head, and the tokens it may name. Pure.

use std::borrow::Cow;

use coalmine_core::text;
use coalmine_core::token::{Alias, TokenChannel};
use percent_encoding::percent_decode_str;

use super::Talker;
use super::answer::Refusal;
use crate::channels::touch::Candidate;

/// Longest request line (nginx: one of `large_client_header_buffers`).
const MAX_LINE: usize = 8 * 1024;
/// Longest head (nginx: four of them).
const MAX_HEAD: usize = 32 * 1024;
/// Most headers.
const MAX_HEADERS: usize = 1024;
/// As many as nearly every request has at most: there is room for them without asking for memory.
const FEW_HEADERS: usize = 64;
/// Most query parameters looked at.
const MAX_QUERY: usize = 128;
/// Most strings of one request that are looked up as tokens.
const MAX_CANDIDATES: usize = 8;
/// Longest credential that is looked up.
const MAX_CREDENTIAL: usize = 2048;

/// What a parsed head says.
#[derive(Debug)]
pub(super) struct Head {
    pub method: String,
    /// As sent.
    pub target: String,
    pub version: Version,
    /// From the target if it's absolute, else from the header.
    pub host: Option<String>,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// In the order sent, names as sent.
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// Why it isn't served although it can be read.
    pub refusal: Option<Refusal>,
}

/// Versions of HTTP that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `GET /path` and nothing else; the answer has no head.
    Http09,
    Http10,
    Http11,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What there is at the start of the input.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Not yet enough.
    More,
    /// A head and its length in bytes.
    Head(Head, usize),
    /// No request.
    Refused(Refusal),
}

/// Reads the head at the start of `input`.
pub(super) fn parse(input: &[u8]) -> Parsed {
    // Empty lines before a request are skipped (RFC 9112 section 2.2).
    let blank = input
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    let rest = input.get(blank..).unwrap_or_default();
    if blank > MAX_LINE {
        return Parsed::Refused(Refusal::BadRequest);
    }
    let line_end = rest.iter().position(|b| *b == b'\n');
    let line = rest.get(..line_end.unwrap_or(rest.len())).unwrap_or(rest);
    if line.len() > MAX_LINE {
        return Parsed::Refused(Refusal::UriTooLong);
    }
    if rest.first().is_some_and(|first| !is_method(&[*first])) {
        return Parsed::Refused(Refusal::BadRequest);
    }
    if let (Some(end), Some(head)) = (line_end, simple_request(line)) {
        return Parsed::Head(head, blank.saturating_add(end).saturating_add(1));
    }
    let readable = readable(rest, line.len());
    let mut few = [httparse::EMPTY_HEADER; FEW_HEADERS];
    let mut many;
    let mut request = httparse::Request::new(&mut few);
    let mut parsed = request.parse(&readable);
    if parsed == Err(httparse::Error::TooManyHeaders) {
        many = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
        request = httparse::Request::new(&mut many);
        parsed = request.parse(&readable);
    }
    let refusal = match parsed {
        Ok(httparse::Status::Complete(used)) if used <= MAX_HEAD => {
            match Head::new(&request, line) {
                Some(head) => return Parsed::Head(head, blank.saturating_add(used)),
                None => Refusal::BadRequest,
            }
        }
        Ok(httparse::Status::Partial) if rest.len() <= MAX_HEAD => return Parsed::More,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Refusal::HeadTooLarge,
        Err(httparse::Error::Version) => version_refusal(line),
        Err(_) => Refusal::BadRequest,
    };
    match broken_request(line, refusal) {
        Some(head) => Parsed::Head(head, 0),
        None => Parsed::Refused(refusal),
    }
}

/// The input with every byte of its first line that isn't ASCII replaced: nginx takes such
/// targets, the parser doesn't.
fn readable(rest: &[u8], line: usize) -> Cow<'_, [u8]> {
    if rest.get(..line).unwrap_or(rest).is_ascii() {
        return Cow::Borrowed(rest);
    }
    let mut copy = rest.to_vec();
    for byte in copy.iter_mut().take(line).filter(|b| !b.is_ascii()) {
        *byte = b'_';
    }
    Cow::Owned(copy)
}

/// A later version is one thing, no version at all another.
fn version_refusal(line: &[u8]) -> Refusal {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some([b'2'..=b'9', b'.', ..]) if target_of(line).is_some() => Refusal::Version,
        _ => Refusal::BadRequest,
    }
}

/// HTTP/0.9: `GET /path`.
fn simple_request(line: &[u8]) -> Option<Head> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let target = line.strip_prefix(b"GET ")?;
    if !target.starts_with(b"/") || target.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return None;
    }
    Head::bare("GET", &text::printable(target))
}

/// A request whose first line can be read, but not the rest: its URL was touched all the same.
fn broken_request(line: &[u8], refusal: Refusal) -> Option<Head> {
    let method = line.split(|b| *b == b' ').next()?;
    let method = std::str::from_utf8(method)
        .ok()
        .filter(|m| is_method(m.as_bytes()))?;
    let mut head = Head::bare(method, &target_of(line)?)?;
    head.version = Version::Http11;
    head.refusal = Some(refusal);
    Some(head)
}

/// The second word of a request line, if it is a URL.
fn target_of(line: &[u8]) -> Option<String> {
    let target = line.split(|b| *b == b' ').nth(1)?;
    let target = text::printable(target.strip_suffix(b"\r").unwrap_or(target));
    origin(&target).is_some().then_some(target)
}

impl Head {
    /// A first line and nothing else.
    fn bare(method: &str, target: &str) -> Option<Self> {
        let (authority, local) = origin(target)?;
        let (path, query) = split_query(local);
        Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: Version::Http09,
            host: authority.map(str::to_owned),
            path,
            query,
            headers: Vec::new(),
            framing: Framing::None,
            keep_alive: false,
            expects_continue: false,
            refusal: None,
        })
    }

    fn new(request: &httparse::Request<'_, '_>, line: &[u8]) -> Option<Self> {
        let method = request.method?;
        if !is_method(method.as_bytes()) {
            return None;
        }
        let version = match request.version? {
            0 => Version::Http10,
            _ => Version::Http11,
        };
        let mut head = Self::bare(method, &target_of(line)?)?;
        head.version = version;
        head.headers = request
            .headers
            .iter()
            .map(|h| (h.name.to_owned(), text::printable(h.value)))
            .collect();
        if request.headers.iter().any(|h| h.value.len() > MAX_LINE) {
            head.refusal = Some(Refusal::HeadTooLarge);
        }
        head.interpret();
        Some(head)
    }

    /// What the headers mean for the conversation.
    fn interpret(&mut self) {
        let hosts = self.values("host").count();
        let host = self.values("host").next().map(str::to_owned);
        let new = self.version == Version::Http11;
        let wrong = |host: &str| host.is_empty() || host.contains(['/', '\\', '\0']);
        if hosts > 1
            || (hosts == 0 && new)
            || host.as_deref().is_some_and(wrong)
            || !is_path(&self.path)
        {
            self.refusal = self.refusal.or(Some(Refusal::BadRequest));
        }
        if self.host.is_none() {
            self.host = host.filter(|host| !host.is_empty());
        }
        let connection = self
            .values("connection")
            .map(str::to_ascii_lowercase)
            .next()
            .unwrap_or_default();
        self.keep_alive = match new {
            true => !connection.contains("close"),
            false => connection.contains("keep-alive"),
        };
        self.expects_continue = new
            && self
                .values("expect")
                .any(|value| value.eq_ignore_ascii_case("100-continue"));
        match self.framing() {
            Ok(framing) => self.framing = framing,
            Err(refusal) => self.refusal = self.refusal.or(Some(refusal)),
        }
        if matches!(self.method.as_str(), "TRACE" | "CONNECT") {
            self.refusal = self.refusal.or(Some(Refusal::NotAllowed));
        }
    }

    /// RFC 9112 section 6; a request with both framings is an attempt at smuggling.
    fn framing(&self) -> Result<Framing, Refusal> {
        let lengths: Vec<&str> = self.values("content-length").collect();
        let codings: Vec<&str> = self.values("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Framing::None),
            ([], [coding]) if self.version == Version::Http11 => {
                match coding.eq_ignore_ascii_case("chunked") {
                    true => Ok(Framing::Chunked),
                    false => Err(Refusal::NotImplemented),
                }
            }
            ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => match length.parse() {
                Ok(length) => Ok(Framing::Length(length)),
                Err(_) => Err(Refusal::BadRequest),
            },
            _ => Err(Refusal::BadRequest),
        }
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// What was asked for, absolute. Without a host, our own address stands for it.
    pub fn url(&self, talker: &Talker) -> String {
        if self.target.starts_with('/') {
            let host = self.host.clone();
            let host = host.unwrap_or_else(|| talker.local.to_string());
            let secure = talker.is_secure(&self.headers);
            let scheme = if secure { "https" } else { "http" };
            format!("{scheme}://{host}{}", self.target)
        } else {
            self.target.clone()
        }
    }

    /// What may name a token: path segments without their extension, then query parameters, then
    /// the host's first label, then a tenant of Azure, the credential, the client's certificate.
    pub fn candidates(&self, certificate: Option<&str>) -> Vec<Candidate> {
        let segments = self.path.split('/').map(|segment| {
            let segment = percent_decode_str(segment).decode_utf8_lossy().into_owned();
            match segment.split_once('.') {
                Some((stem, _)) => stem.to_owned(),
                None => segment,
            }
        });
        let query = self
            .query
            .iter()
            .flat_map(|(name, value)| [value.clone(), name.clone()]);
        let label = self.host.iter().filter_map(|host| {
            let label = host.split(['.', ':']).next()?;
            Some(label.to_owned())
        });
        let ids = segments
            .chain(query)
            .chain(label)
            .filter_map(|text| text.parse().ok())
            .map(Candidate::Id);
        let keys = self
            .tenant()
            .into_iter()
            .chain(self.credential())
            .chain(certificate.map(str::to_owned))
            .map(|key| {
                Candidate::Alias(Alias {
                    channel: TokenChannel::Http,
                    key,
                })
            });
        let mut found: Vec<Candidate> = Vec::new();
        for id in ids {
            if !found.contains(&id) {
                found.push(id);
            }
            if found.len() == MAX_CANDIDATES {
                break;
            }
        }
        found.extend(keys);
        found
    }

    /// A GUID in the path, in lower case: the tenant, where an authority of Azure is asked.
    fn tenant(&self) -> Option<String> {
        let is_guid = |segment: &&str| {
            let mut parts = segment.split('-');
            let hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
            [8, 4, 4, 4, 12]
                .iter()
                .all(|length| parts.next().is_some_and(|p| p.len() == *length && hex(p)))
                && parts.next().is_none()
        };
        let guid = self.path.split('/').find(is_guid)?;
        Some(guid.to_ascii_lowercase())
    }

    /// The public part of what the client proves itself with: the id of an AWS access key (in the
    /// header or a presigned URL, Signature Version 4), or a bearer's token (RFC 6750 section 2.1).
    fn credential(&self) -> Option<String> {
        let header = self.values("authorization").next().unwrap_or_default();
        let (scheme, rest) = header.split_once(' ').unwrap_or_default();
        let key = if scheme.eq_ignore_ascii_case("AWS4-HMAC-SHA256") {
            let parts = rest.split(',').map(str::trim);
            access_key(
                parts
                    .into_iter()
                    .find_map(|p| p.strip_prefix("Credential="))?,
            )?
        } else if scheme.eq_ignore_ascii_case("Bearer") {
            rest.trim()
        } else {
            let presigned = self.query.iter();
            access_key(
                presigned
                    .into_iter()
                    .find_map(|(name, value)| (name == "X-Amz-Credential").then_some(value))?,
            )?
        };
        (!key.is_empty() && key.len() <= MAX_CREDENTIAL).then(|| key.to_owned())
    }
}

/// `KEY` of `KEY/20260101/us-east-1/s3/aws4_request`.
fn access_key(credential: &str) -> Option<&str> {
    credential.split('/').next()
}

/// nginx takes upper-case methods only.
fn is_method(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-'))
}

/// Host and path of a target: `/path` or `http://host/path`. `None` for every other form.
fn origin(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') {
        return Some((None, target));
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() {
        return None;
    }
    Some((Some(authority), path))
}

/// Whether nginx takes the path: whole escapes, none of them NUL, and never above the root.
fn is_path(path: &str) -> bool {
    let mut depth: usize = 0;
    for segment in path.split('/').skip(1) {
        let whole = segment.split('%').skip(1).all(|escape| {
            let digits = escape.as_bytes().get(..2).unwrap_or_default();
            digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit) && digits != b"00"
        });
        if !whole {
            return false;
        }
        depth = match segment {
            "" | "." => depth,
            ".." => match depth.checked_sub(1) {
                Some(up) => up,
                None => return false,
            },
            _ => depth.saturating_add(1),
        };
    }
    true
}

fn split_query(target: &str) -> (String, Vec<(String, String)>) {
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = form_urlencoded::parse(query.as_bytes())
        .take(MAX_QUERY)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    (path.to_owned(), query)
}
