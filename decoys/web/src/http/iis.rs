//! IIS 10 behind HTTP.sys, from what Microsoft documents and servers on the Internet show: HTTP.sys
//! (`Microsoft-HTTPAPI/2.0`) refuses what is malformed, IIS answers the rest.

use super::head::{Head, Size};
use super::lines::{self, Refusal};
use super::parse::{self, Version};
use super::status::Status;

/// The request line and all fields together (`MaxRequestBytes`).
const MAX_HEAD: usize = 16_384;
/// Longest segment of a path (`UrlSegmentMaxLength`).
const MAX_SEGMENT: usize = 260;
/// Longest query (`maxQueryString` of request filtering).
const MAX_QUERY: usize = 2_048;
/// Longest path (`maxUrl` of request filtering).
const MAX_URL: usize = 4_096;

/// What the static file handler takes, as `Allow` says it.
pub(crate) const ALLOW: &str = "GET, HEAD, OPTIONS, TRACE";
/// What `OPTIONS` tells.
pub(crate) const PUBLIC: &str = "OPTIONS, TRACE, GET, HEAD, POST";

/// Whether a line of `len` bytes after `before` others is too long.
pub(crate) fn too_long(len: usize, before: usize, first: bool) -> Option<Status> {
    (before.saturating_add(len) > MAX_HEAD).then_some(if first {
        Status::UriTooLarge
    } else {
        Status::HeaderTooLarge
    })
}

/// A request line.
pub(crate) fn request_line(line: &[u8]) -> Result<Head, Refusal> {
    let verb = line.split(|b| *b == b' ').next().unwrap_or_default();
    if !lines::is_token(verb) || verb.len() == line.len() {
        return Err(Status::BadVerb.into());
    }
    let parts = lines::parts(line);
    let (target, version) = match *parts.as_slice() {
        [_, target] => (target, None),
        [_, target, version] => (target, Some(version)),
        _ => return Err(Status::BadRequest.into()),
    };
    let version = match version.map(lines::version) {
        Some(Some((1, 0))) => Version::Http10,
        Some(Some((1, _))) => Version::Http11,
        Some(Some((2.., _))) => return Err(Status::VersionNotSupported.into()),
        _ => return Err(Status::BadRequest.into()),
    };
    let mut head = lines::head(verb, target, version);
    if decode(&mut head).is_none() {
        return Err(Refusal {
            status: Status::BadUrl,
            head: Some(Box::new(head)),
        });
    }
    Ok(head)
}

/// One field line.
pub(crate) fn field(head: &mut Head, line: &[u8]) -> Result<(), Status> {
    let (name, value) = lines::named(line).ok_or(Status::BadHeader)?;
    if !lines::is_token(name) {
        return Err(Status::BadHeader);
    }
    if value.iter().any(|b| matches!(b, 0..=8 | 10..0x20 | 0x7f)) {
        return Err(Status::BadRequest);
    }
    let name = parse::latin1(name).to_ascii_lowercase();
    if name == "host" && head.get("host").is_some() {
        return Err(Status::BadHost);
    }
    head.merge(&name, value);
    Ok(())
}

/// The whole head: host and size of the body.
pub(crate) fn finish(mut head: Box<Head>) -> Result<(Box<Head>, Size), Refusal> {
    let refused = |status, head| {
        Err(Refusal {
            status,
            head: Some(head),
        })
    };
    match head.get("host").map(<[u8]>::to_vec) {
        Some(given) => match host(&given) {
            Some((host, port)) if head.host.is_none() => {
                head.host = (!host.is_empty()).then_some(host);
                head.port = port;
            }
            Some(_) => {}
            None => return refused(Status::BadHost, head),
        },
        None if head.line.version >= Version::Http11 => return refused(Status::BadHost, head),
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
        return refused(Status::BadLength, head);
    };
    let wants = head.is("POST") || head.is("PUT");
    if wants && head.get("content-length").is_none() {
        return refused(Status::LengthRequired, head);
    }
    Ok((head, Size::Known(length)))
}

fn host(given: &[u8]) -> Option<(String, Option<u16>)> {
    let (name, port) = lines::authority(given)?;
    let odd = |b: &u8| matches!(b, 0..=0x20 | 0x7f..) || b"/\\<>\"'?#@%,;".contains(b);
    let literal = name.starts_with(b"[") == name.ends_with(b"]");
    let empty_label = name.windows(2).any(|w| w == b"..");
    (literal && !empty_label && !name.iter().any(odd))
        .then(|| (parse::latin1(name).to_ascii_lowercase(), port))
}

/// Fills in path and query as HTTP.sys canonicalises them.
fn decode(head: &mut Head) -> Option<()> {
    let target = head.line.target.clone();
    if target == b"*" && head.is("OPTIONS") {
        head.asterisk = true;
        head.path = target;
        return Some(());
    }
    let target = match lines::absolute(&target) {
        Some((b"http" | b"https", authority, rest)) => {
            let (host, port) = lines::authority(authority)?;
            head.host = Some(parse::latin1(host).to_ascii_lowercase());
            head.port = port;
            rest
        }
        Some(_) => return None,
        None if target.starts_with(b"/") => &target,
        None => return None,
    };
    let (raw, query) = lines::cut_query(target);
    if raw.iter().any(|b| matches!(b, 0..=0x20 | 0x7f)) {
        return None;
    }
    let plain: Vec<u8> = lines::decode(raw)?
        .into_iter()
        .map(|b| if b == b'\\' { b'/' } else { b })
        .collect();
    if plain.contains(&0) {
        return None;
    }
    head.path = parse::normal(&plain)?;
    head.query = query.to_vec();
    let long = |segment: &[u8]| segment.len() > MAX_SEGMENT;
    (!head.path.split(|b| *b == b'/').any(long)).then_some(())
}

/// Whether request filtering hides `head`'s page: too long, or a folder nobody may see.
pub(crate) fn is_hidden(head: &Head) -> bool {
    let path = parse::latin1(&head.path).to_ascii_lowercase();
    let folders = [
        "bin",
        "app_code",
        "app_data",
        "web.config",
        "app_globalresources",
    ];
    head.path.len() > MAX_URL
        || head.query.len() > MAX_QUERY
        || path.split('/').any(|part| folders.contains(&part))
        || [".config", ".cs", ".csproj", ".vb", ".asax", ".mdb", ".ldf"]
            .iter()
            .any(|ending| path.ends_with(ending))
}

/// The page of HTTP.sys, if `status` is one that it sends: code, phrase, page.
pub(crate) fn kernel_page(status: Status) -> Option<(u16, &'static str, Vec<u8>)> {
    let (code, phrase, heading, text) = match status {
        Status::BadVerb => (
            400,
            "Bad Request",
            "Bad Request - Invalid Verb",
            "The request verb is invalid.",
        ),
        Status::BadUrl => (
            400,
            "Bad Request",
            "Bad Request - Invalid URL",
            "The request URL is invalid.",
        ),
        Status::BadHost => (
            400,
            "Bad Request",
            "Bad Request - Invalid Hostname",
            "The request hostname is invalid.",
        ),
        Status::BadHeader => (
            400,
            "Bad Request",
            "Bad Request - Invalid Header",
            "The request has an invalid header name.",
        ),
        Status::BadLength => (
            400,
            "Bad Request",
            "Bad Request - Invalid Content Length",
            "There is an invalid content length or chunk length in the request.",
        ),
        Status::HeaderTooLarge | Status::TooManyFields => (
            400,
            "Bad Request",
            "Bad Request - Request Too Long",
            "The size of the request headers is too long.",
        ),
        Status::BadRequest => (
            400,
            "Bad Request",
            "Bad Request",
            "The request is badly formed.",
        ),
        Status::LengthRequired => (
            411,
            "Length Required",
            "Length Required",
            "The request must be chunked or have a content length.",
        ),
        Status::UriTooLarge => (
            414,
            "Request URI Too Long",
            "Request URL Too Long",
            "The request URL is too long.",
        ),
        Status::CodingNotImplemented => (
            501,
            "Not Implemented",
            "Not Implemented",
            "The request transfer encoding type is not supported.",
        ),
        Status::VersionNotSupported => (
            505,
            "HTTP Version Not Supported",
            "HTTP Version Not Supported",
            "The HTTP version is not supported.",
        ),
        _ => return None,
    };
    let title = if code == 414 { heading } else { phrase };
    let page = format!(
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\"http://www.w3.org/TR/html4/strict.dtd\">\r\n\
         <HTML><HEAD><TITLE>{title}</TITLE>\r\n\
         <META HTTP-EQUIV=\"Content-Type\" Content=\"text/html; charset=us-ascii\"></HEAD>\r\n\
         <BODY><h2>{heading}</h2>\r\n<hr><p>HTTP Error {code}. {text}</p>\r\n</BODY></HTML>\r\n"
    );
    Some((code, phrase, page.into_bytes()))
}

/// The page of IIS itself.
pub(crate) fn page(status: Status, moved: &str) -> (u16, &'static str, Vec<u8>) {
    let (code, phrase) = line(status);
    if status == Status::MovedPermanently {
        let page = format!(
            "<head><title>Document Moved</title></head>\n<body><h1>Object Moved</h1>\
             This document may be found <a HREF=\"{moved}\">here</a></body>"
        );
        return (code, phrase, page.into_bytes());
    }
    let (title, text) = match status {
        Status::Unauthorized => (
            "401 - Unauthorized: Access is denied due to invalid credentials.",
            "You do not have permission to view this directory or page using the credentials that you supplied.",
        ),
        Status::Forbidden => (
            "403 - Forbidden: Access is denied.",
            "You do not have permission to view this directory or page using the credentials that you supplied.",
        ),
        Status::NotFound => (
            "404 - File or directory not found.",
            "The resource you are looking for might have been removed, had its name changed, or is temporarily unavailable.",
        ),
        Status::NotAllowed => (
            "405 - HTTP verb used to access this page is not allowed.",
            "The page you are looking for cannot be displayed because an invalid method (HTTP verb) was used to attempt access.",
        ),
        Status::PreconditionFailed => (
            "412 - Precondition set by the client failed when evaluated on the Web server.",
            "The request was not completed due to preconditions that are set in the request header. Preconditions prevent the requested method from being applied to a resource other than the one intended. An example of a precondition is testing for expired content in the page cache of the client.",
        ),
        Status::NotImplemented => (
            "501 - Header values specify a method that is not implemented.",
            "The page you are looking for cannot be displayed because a header value in the request does not match certain configuration settings on the Web server. For example, a request header might specify a POST to a static file that cannot be posted to, or specify a Transfer-Encoding value that cannot make use of compression.",
        ),
        _ => {
            return (
                code,
                phrase,
                b"The page cannot be displayed because an internal server error has occurred."
                    .to_vec(),
            );
        }
    };
    let page = format!(
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">\r\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\">\r\n<head>\r\n\
         <meta http-equiv=\"Content-Type\" content=\"text/html; charset=iso-8859-1\"/>\r\n\
         <title>{title}</title>\r\n<style type=\"text/css\">\r\n<!--\r\n\
         body{{margin:0;font-size:.7em;font-family:Verdana, Arial, Helvetica, sans-serif;background:#EEEEEE;}}\r\n\
         fieldset{{padding:0 15px 10px 15px;}} \r\n\
         h1{{font-size:2.4em;margin:0;color:#FFF;}}\r\n\
         h2{{font-size:1.7em;margin:0;color:#CC0000;}} \r\n\
         h3{{font-size:1.2em;margin:10px 0 0 0;color:#000000;}} \r\n\
         #header{{width:96%;margin:0 0 0 0;padding:6px 2% 6px 2%;font-family:\"trebuchet MS\", Verdana, sans-serif;color:#FFF;\r\n\
         background-color:#555555;}}\r\n\
         #content{{margin:0 0 0 2%;position:relative;}}\r\n\
         .content-container{{background:#FFF;width:96%;margin-top:8px;padding:10px;position:relative;}}\r\n\
         -->\r\n</style>\r\n</head>\r\n<body>\r\n\
         <div id=\"header\"><h1>Server Error</h1></div>\r\n<div id=\"content\">\r\n \
         <div class=\"content-container\"><fieldset>\r\n  <h2>{title}</h2>\r\n  <h3>{text}</h3>\r\n \
         </fieldset></div>\r\n</div>\r\n</body>\r\n</html>\r\n"
    );
    (code, phrase, page.into_bytes())
}

/// Code and phrase of IIS.
pub(crate) const fn line(status: Status) -> (u16, &'static str) {
    match status {
        Status::NotAllowed => (405, "Method Not Allowed"),
        other => other.line(),
    }
}
