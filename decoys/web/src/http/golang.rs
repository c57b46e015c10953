//! Go's `net/http` server, as its public source describes it: it refuses in plain text.

use super::head::{Head, Size};
use super::lines::{self, Refusal};
use super::parse::{self, Version};
use super::status::Status;

/// A whole head (`DefaultMaxHeaderBytes` is a mebibyte; the driver's bound comes first).
const MAX_HEAD: usize = 1024 * 1024;

/// Whether a head of `len` bytes so far is too long.
pub(super) fn too_long(len: usize) -> Option<Status> {
    (len > MAX_HEAD).then_some(Status::HeaderTooLarge)
}

/// A request line.
pub(super) fn request_line(line: &[u8]) -> Result<Head, Status> {
    let bad = Status::BadRequest;
    let mut parts = line.splitn(3, |b| *b == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(bad);
    };
    if !lines::is_token(method) {
        return Err(bad);
    }
    let version = match lines::version(version) {
        Some((1, 0)) => Version::Http10,
        Some((1, _)) => Version::Http11,
        Some(_) => return Err(Status::VersionNotSupported),
        None => return Err(bad),
    };
    let mut head = lines::head(method, target, version);
    if target == b"*" && method == b"OPTIONS" {
        head.asterisk = true;
        head.path = target.to_vec();
        return Ok(head);
    }
    let rest = match lines::absolute(target) {
        Some((_, authority, rest)) => {
            head.host = Some(parse::latin1(authority));
            rest
        }
        None if target.starts_with(b"/") => target,
        None => return Err(bad),
    };
    if rest.iter().any(|b| matches!(b, 0..=0x20 | 0x7f)) {
        return Err(bad);
    }
    let (raw, query) = lines::cut_query(rest);
    head.path = lines::decode(raw).ok_or(bad)?;
    head.query = query.to_vec();
    Ok(head)
}

/// One field line.
pub(super) fn field(head: &mut Head, line: &[u8]) -> Result<(), Status> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return match head.continue_last(lines::trimmed(line)) {
            true => Ok(()),
            false => Err(Status::BadRequest),
        };
    }
    let (name, value) = lines::named(line).ok_or(Status::BadRequest)?;
    if name.is_empty() || name.iter().any(|b| matches!(b, b' ' | b'\t')) {
        return Err(Status::BadRequest);
    }
    if !lines::is_token(name) {
        return Err(Status::BadHeader);
    }
    if value.iter().any(|b| matches!(b, 0..=8 | 10..0x20 | 0x7f)) {
        return Err(Status::BadValue);
    }
    let name = parse::latin1(name).to_ascii_lowercase();
    if name == "host" && head.get("host").is_some() {
        return Err(Status::TooManyHosts);
    }
    head.merge(&name, value);
    Ok(())
}

/// The whole head: host and size of the body.
pub(super) fn finish(mut head: Box<Head>) -> Result<(Box<Head>, Size), Refusal> {
    let refused = |status, head| {
        Err(Refusal {
            status,
            head: Some(head),
        })
    };
    match head.get("host").map(<[u8]>::to_vec) {
        Some(given) => {
            let odd = |b: &u8| !(b.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(b));
            if given.iter().any(odd) {
                return refused(Status::BadHost, head);
            }
            if head.host.is_none() && !given.is_empty() {
                let host = lines::authority(&given).map_or(given.as_slice(), |(host, _)| host);
                head.host = Some(parse::latin1(host));
            }
        }
        None if head.line.version >= Version::Http11 && !head.is("CONNECT") => {
            return refused(Status::MissingHost, head);
        }
        None => {}
    }
    head.read_connection();
    if let Some(coding) = head.get("transfer-encoding") {
        return if coding.eq_ignore_ascii_case(b"chunked") {
            Ok((head, Size::Chunked))
        } else {
            refused(Status::CodingNotImplemented, head)
        };
    }
    let Ok(length) = lines::length(head.get("content-length")) else {
        return refused(Status::BadRequest, head);
    };
    Ok((head, Size::Known(length)))
}

/// A refusal as it goes on the wire.
pub(super) fn refusal(status: Status) -> Vec<u8> {
    let (code, phrase, text) = match status {
        Status::BadHeader => (400, "Bad Request", Some("invalid header name")),
        Status::BadValue => (400, "Bad Request", Some("invalid header value")),
        Status::MissingHost => (400, "Bad Request", Some("missing required Host header")),
        Status::TooManyHosts => (400, "Bad Request", Some("too many Host headers")),
        Status::BadHost => (400, "Bad Request", Some("malformed Host header")),
        Status::VersionNotSupported => (
            505,
            "HTTP Version Not Supported",
            Some("unsupported protocol version"),
        ),
        Status::HeaderTooLarge | Status::TooManyFields => {
            (431, "Request Header Fields Too Large", None)
        }
        Status::CodingNotImplemented => (501, "Not Implemented", None),
        Status::ToHttps => {
            return b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
                .to_vec();
        }
        _ => (400, "Bad Request", None),
    };
    let body = match (status, text) {
        (Status::CodingNotImplemented, _) => "Unsupported transfer encoding".to_owned(),
        (_, Some(text)) => format!("{code} {phrase}: {text}"),
        (_, None) => format!("{code} {phrase}"),
    };
    format!(
        "HTTP/1.1 {code} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The code that [`refusal`] sends.
pub(super) const fn code(status: Status) -> u16 {
    match status {
        Status::VersionNotSupported => 505,
        Status::HeaderTooLarge | Status::TooManyFields => 431,
        Status::CodingNotImplemented => 501,
        _ => 400,
    }
}
