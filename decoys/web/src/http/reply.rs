//! Answers and how each server writes them.

use coalmine_core::Timestamp;

use super::parse::Version;
use super::persona::Persona;

/// An answer before it's written.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) phrase: &'static str,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) modified: Option<String>,
    pub(super) location: Option<String>,
    /// Further fields, in order.
    pub(super) fields: Vec<(&'static str, String)>,
    /// Fields that Apache writes after the body's size.
    pub(super) late: Vec<(&'static str, String)>,
    /// The connection ends after it though the answer says otherwise (nginx after 412).
    pub(super) ends: bool,
    pub(super) framing: Framing,
    /// HTTP.sys answers, not IIS.
    pub(super) kernel: bool,
}

/// How the end of a body shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its size.
    #[default]
    Sized,
    /// It comes in one chunk.
    Chunked,
    /// By the end of the connection.
    Closing,
}

/// The request's side of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    pub(super) persona: Persona,
    pub(super) now: Timestamp,
    pub(super) server: &'a str,
    /// Fields that every answer carries, from the skin and the settings.
    pub(super) fields: &'a [(String, String)],
    pub(super) version: Version,
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
    /// Requests that may follow, where the peer asked for a connection that stays.
    pub(super) stays: Option<u32>,
}

impl Reply {
    /// A page of the application behind the server.
    pub(super) fn dynamic(code: u16, phrase: &'static str, kind: &str, body: Vec<u8>) -> Self {
        Self {
            code,
            phrase,
            content_type: Some(kind.to_owned()),
            body,
            ..Self::default()
        }
    }

    /// The answer as bytes.
    pub(super) fn write(&self, manner: &Manner<'_>) -> Vec<u8> {
        if manner.version == Version::Http09 {
            return self.body.clone();
        }
        let status = (
            match (manner.persona, manner.version) {
                (Persona::Go, Version::Http10) => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            self.code,
            self.phrase,
        );
        let mut lines = Lines::new(status);
        match manner.persona {
            Persona::Nginx => self.nginx(manner, &mut lines),
            Persona::Apache => self.apache(manner, &mut lines),
            Persona::Iis => self.iis(manner, &mut lines),
            Persona::Go => self.go(manner, &mut lines),
        }
        lines.0.push_str("\r\n");
        let mut bytes = lines.0.into_bytes();
        if manner.head_only {
            return bytes;
        }
        if self.framing == Framing::Chunked {
            bytes.extend_from_slice(format!("{:x}\r\n", self.body.len()).as_bytes());
            bytes.extend_from_slice(&self.body);
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    fn nginx(&self, manner: &Manner<'_>, lines: &mut Lines) {
        lines.add("Server", manner.server);
        lines.add("Date", &date(manner.now));
        if let Some(kind) = &self.content_type {
            lines.add("Content-Type", kind);
            lines.add("Content-Length", &self.body.len().to_string());
        }
        lines.maybe("Last-Modified", self.modified.as_deref());
        lines.maybe("Location", self.location.as_deref());
        let stays = if manner.keep_alive {
            "keep-alive"
        } else {
            "close"
        };
        lines.add("Connection", stays);
        lines.all(&self.fields);
        lines.given(manner.fields);
    }

    fn apache(&self, manner: &Manner<'_>, lines: &mut Lines) {
        lines.add("Date", &date(manner.now));
        lines.add("Server", manner.server);
        lines.given(manner.fields);
        lines.maybe("Location", self.location.as_deref());
        lines.maybe("Last-Modified", self.modified.as_deref());
        lines.all(&self.fields);
        let counted = !manner.head_only || self.modified.is_some();
        match self.framing {
            Framing::Sized if self.code != 304 && counted => {
                lines.add("Content-Length", &self.body.len().to_string());
            }
            Framing::Chunked => lines.add("Transfer-Encoding", "chunked"),
            _ => {}
        }
        lines.all(&self.late);
        match manner.stays {
            Some(left) if manner.keep_alive => {
                lines.add("Keep-Alive", &format!("timeout=5, max={left}"));
                lines.add("Connection", "Keep-Alive");
            }
            // An expectation that fails closes without saying so.
            _ if !manner.keep_alive && self.code != 417 => lines.add("Connection", "close"),
            _ => {}
        }
        lines.maybe("Content-Type", self.content_type.as_deref());
    }

    fn iis(&self, manner: &Manner<'_>, lines: &mut Lines) {
        let of_cache = |name: &str| name == "Cache-Control";
        for (name, value) in self.fields.iter().filter(|(name, _)| of_cache(name)) {
            lines.add(name, value);
        }
        lines.maybe("Content-Type", self.content_type.as_deref());
        lines.maybe("Last-Modified", self.modified.as_deref());
        lines.maybe("Location", self.location.as_deref());
        lines.all(&self.late);
        if self.kernel {
            lines.add("Server", "Microsoft-HTTPAPI/2.0");
        } else {
            lines.add("Server", manner.server);
            for (name, value) in self.fields.iter().filter(|(name, _)| !of_cache(name)) {
                lines.add(name, value);
            }
            lines.given(manner.fields);
        }
        lines.add("Date", &date(manner.now));
        if !manner.keep_alive {
            lines.add("Connection", "close");
        }
        if self.code != 304 {
            lines.add("Content-Length", &self.body.len().to_string());
        }
    }

    fn go(&self, manner: &Manner<'_>, lines: &mut Lines) {
        // Go writes the application's fields in the order of their names.
        let mut fields: Vec<(&str, &str)> = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(
                self.content_type
                    .as_deref()
                    .map(|kind| ("Content-Type", kind)),
            )
            .chain(manner.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())))
            .collect();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        for (name, value) in fields {
            lines.add(name, value);
        }
        lines.add("Date", &date(manner.now));
        if self.code != 304 && self.code != 204 {
            lines.add("Content-Length", &self.body.len().to_string());
        }
        match (manner.keep_alive, manner.version) {
            (true, Version::Http10) => lines.add("Connection", "keep-alive"),
            (false, Version::Http11) => lines.add("Connection", "close"),
            _ => {}
        }
    }
}

/// A head as it grows.
struct Lines(String);

impl Lines {
    fn new((version, code, phrase): (&str, u16, &str)) -> Self {
        Self(format!("{version} {code} {phrase}\r\n"))
    }

    fn add(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.0.push_str(part);
        }
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn all(&mut self, fields: &[(&'static str, String)]) {
        for (name, value) in fields {
            self.add(name, value);
        }
    }

    fn given(&mut self, fields: &[(String, String)]) {
        for (name, value) in fields {
            self.add(name, value);
        }
    }
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub(super) fn date(at: Timestamp) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT")
}
