//! Answers and how nginx writes them.

use coalmine_core::Timestamp;

use super::parse::Version;
use super::status::Status;

/// An answer before it's written.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) phrase: &'static str,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) modified: Option<String>,
    pub(super) location: Option<String>,
    /// Fields after `Connection`, in order.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The connection ends after it though the answer says otherwise (nginx after 412).
    pub(super) ends: bool,
}

/// The request's side of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    pub(super) now: Timestamp,
    pub(super) server: &'a str,
    /// Fields that every answer carries, from the skin and the settings.
    pub(super) fields: &'a [(String, String)],
    pub(super) version: Version,
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
}

impl Reply {
    /// The server's own page for `status`.
    pub(super) fn page(status: Status, server: &str, padded: bool) -> Self {
        let (code, phrase) = status.line();
        Self {
            code,
            phrase,
            content_type: Some("text/html".to_owned()),
            body: status.page(server, padded),
            ..Self::default()
        }
    }

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
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: {}\r\nDate: {}\r\n",
            self.code,
            self.phrase,
            manner.server,
            date(manner.now)
        );
        let mut field = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        if let Some(kind) = &self.content_type {
            field("Content-Type", kind);
            field("Content-Length", &self.body.len().to_string());
        }
        if let Some(modified) = &self.modified {
            field("Last-Modified", modified);
        }
        if let Some(location) = &self.location {
            field("Location", location);
        }
        field(
            "Connection",
            if manner.keep_alive {
                "keep-alive"
            } else {
                "close"
            },
        );
        for (name, value) in &self.fields {
            field(name, value);
        }
        for (name, value) in manner.fields {
            field(name, value);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if !manner.head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub(super) fn date(at: Timestamp) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT")
}
