//! A request's head as it's put together line by line.

use super::parse::{self, RequestLine, Version};
use super::status::Status;

/// Fields that may come once only; a second one ends the request.
const ONCE: &[&str] = &[
    "host",
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "if-none-match",
    "content-length",
    "content-range",
    "if-range",
    "transfer-encoding",
    "expect",
    "authorization",
];

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) line: RequestLine,
    /// Decoded and normalised.
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    /// Lower case, without port; of the target or of `Host`.
    pub(crate) host: Option<String>,
    /// The port beside it.
    pub(crate) port: Option<u16>,
    /// The target is no path: `*`, or the authority of `CONNECT`.
    pub(crate) asterisk: bool,
    /// It came inside TLS.
    pub(crate) secure: bool,
    fields: Vec<(String, Vec<u8>)>,
    /// What `Connection` says, or the server has decided.
    pub(crate) connection: Option<bool>,
}

/// How much body a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// So many bytes.
    Known(u64),
    /// It comes in chunks.
    Chunked,
}

impl Head {
    /// From the request line.
    pub(crate) fn new(line: RequestLine) -> Result<Self, Status> {
        let (path, query) = parse::path(&line.target)?;
        let host = line.host.as_deref().map(parse::host).transpose()?;
        let query = query.to_vec();
        Ok(Self {
            query,
            path,
            host,
            ..Self::raw(line)
        })
    }

    /// From a request line whose target isn't looked at yet.
    pub(crate) const fn raw(line: RequestLine) -> Self {
        Self {
            query: Vec::new(),
            path: Vec::new(),
            host: None,
            port: None,
            asterisk: false,
            secure: false,
            line,
            fields: Vec::new(),
            connection: None,
        }
    }

    /// One more field, its value behind the one that came before (RFC 9110 section 5.3). `name` is
    /// in lower case.
    pub(crate) fn merge(&mut self, name: &str, value: &[u8]) {
        match self.fields.iter_mut().find(|(n, _)| n == name) {
            Some((_, before)) => {
                before.extend_from_slice(b", ");
                before.extend_from_slice(value);
            }
            None => self.fields.push((name.to_owned(), value.to_vec())),
        }
    }

    /// More of the last field's value (RFC 9112 section 5.2); false where there is none.
    pub(crate) fn continue_last(&mut self, value: &[u8]) -> bool {
        match self.fields.last_mut() {
            Some((_, before)) => {
                before.push(b' ');
                before.extend_from_slice(value);
                true
            }
            None => false,
        }
    }

    /// Reads `Connection`.
    pub(crate) fn read_connection(&mut self) {
        let Some(words) = self.text("connection") else {
            return;
        };
        let says = |wanted: &str| {
            words
                .split(',')
                .any(|word| word.trim().eq_ignore_ascii_case(wanted))
        };
        if says("close") {
            self.connection = Some(false);
        } else if says("keep-alive") {
            self.connection = Some(true);
        }
    }

    /// All fields in their order, names in lower case.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// One more field.
    pub(crate) fn add(&mut self, name: String, value: Vec<u8>) -> Result<(), Status> {
        if ONCE.contains(&name.as_str()) && self.get(&name).is_some() {
            return Err(Status::BadRequest);
        }
        if name == "host" {
            let host = parse::host(&value)?;
            self.host.get_or_insert(host);
        }
        if name == "connection" {
            let lower = value.to_ascii_lowercase();
            let says = |word: &[u8]| lower.windows(word.len()).any(|w| w == word);
            if says(b"close") {
                self.connection = Some(false);
            } else if says(b"keep-alive") {
                self.connection = Some(true);
            }
        }
        self.fields.push((name, value));
        Ok(())
    }

    /// The first field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(parse::latin1)
    }

    /// Whether the method is `name`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.line.method == name.as_bytes()
    }

    /// What the whole head must hold (RFC 9112 sections 3.2 and 6.3); the size of the body.
    pub(crate) fn check(&self) -> Result<Size, Status> {
        let bad = Err(Status::BadRequest);
        if self.line.version >= Version::Http11 && self.get("host").is_none() {
            return bad;
        }
        let length = match self.get("content-length") {
            None => 0,
            Some(text) if !text.is_empty() && text.iter().all(u8::is_ascii_digit) => {
                let number = parse::latin1(text).parse::<i64>();
                u64::try_from(number.unwrap_or(-1)).map_err(|_| Status::BadRequest)?
            }
            Some(_) => return bad,
        };
        let mut size = Size::Known(length);
        if let Some(coding) = self.get("transfer-encoding") {
            if self.line.version < Version::Http11 {
                return bad;
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(Status::NotImplemented);
            }
            if self.get("content-length").is_some() {
                return bad;
            }
            size = Size::Chunked;
        }
        if self.is("TRACE") || self.is("CONNECT") {
            return Err(Status::NotAllowed);
        }
        Ok(size)
    }

    /// Whether the peer wishes the connection to stay.
    pub(crate) fn keeps_alive(&self) -> bool {
        let old = self.is("POST") && self.agent().is_some_and(|a| is_msie(&a) == Some(6));
        !old && self
            .connection
            .unwrap_or(self.line.version >= Version::Http11)
    }

    /// Whether the peer waits for leave to send the body (RFC 9110 section 10.1.1).
    pub(crate) fn expects_leave(&self) -> bool {
        self.line.version >= Version::Http11
            && self
                .get("expect")
                .is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Whether the peer is a browser whose error pages nginx pads.
    pub(crate) fn is_padded(&self) -> bool {
        self.agent()
            .is_some_and(|agent| is_msie(&agent).is_some() || is_chrome(&agent))
    }

    /// `User-Agent`.
    pub(crate) fn agent(&self) -> Option<String> {
        self.text("user-agent")
    }
}

/// The major version of Internet Explorer that `agent` claims.
fn is_msie(agent: &str) -> Option<u32> {
    let (_, after) = agent.split_once("MSIE ")?;
    if agent.contains("Opera") {
        return None;
    }
    let (major, _) = after.split_once('.')?;
    major.parse().ok()
}

fn is_chrome(agent: &str) -> bool {
    !agent.contains("Opera") && agent.contains("Chrome/")
}
