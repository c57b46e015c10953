//! Answers in the shapes of nginx with `server_tokens off`: order of headers, error pages, words.

use axum::http::StatusCode;
use coalmine_core::token::Answer;

use super::head::{Head, Version};

/// The one-pixel transparent image that everybody gets.
pub(super) const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\xff\xff\xff\
\x21\xf9\x04\x01\x0a\x00\x01\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x4c\x01\x00\x3b";

/// What the channel calls itself.
const SERVER: &str = "nginx";

/// Why a request isn't served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest,
    HeadTooLarge,
    UriTooLong,
    BodyTooLarge,
    NotAllowed,
    NotImplemented,
    /// HTTP where TLS was expected.
    PlainToTls,
    Version,
    /// The peer went away or took too long: no answer.
    Vanished,
}

impl Refusal {
    /// Status line, and the page's title where it differs.
    fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::BadRequest | Self::Vanished => ("400 Bad Request", None),
            Self::HeadTooLarge => (
                "400 Bad Request",
                Some("Request Header Or Cookie Too Large"),
            ),
            Self::PlainToTls => (
                "400 Bad Request",
                Some("The plain HTTP request was sent to HTTPS port"),
            ),
            Self::UriTooLong => ("414 Request-URI Too Large", None),
            Self::BodyTooLarge => ("413 Request Entity Too Large", None),
            Self::NotAllowed => ("405 Not Allowed", None),
            Self::NotImplemented => ("501 Not Implemented", None),
            Self::Version => ("505 HTTP Version Not Supported", None),
        }
    }
}

/// The answer to a request that is not served; the connection closes.
pub(super) fn refused(head: Option<&Head>, refusal: Refusal) -> Vec<u8> {
    let (status, more) = refusal.words();
    let title = match more {
        Some(more) => format!("400 {more}"),
        None => status.to_owned(),
    };
    let more = match more {
        Some(more) => format!("<center>{more}</center>\r\n"),
        None => String::new(),
    };
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{status}</h1></center>\r\n{more}<hr><center>nginx</center>\r\n\
         </body>\r\n</html>\r\n"
    );
    let shape = Shape {
        status,
        server: SERVER,
        content: Some(("text/html", page.as_bytes())),
        keep_alive: false,
        bodyless: head.is_some_and(|head| head.method == "HEAD"),
        bare: head.is_some_and(|head| head.version == Version::Http09),
        location: None,
        headers: "",
    };
    shape.bytes()
}

/// The answer to a request that is served.
pub(super) fn answered(head: &Head, answer: &Answer) -> Vec<u8> {
    const SHARED: &str = "Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n";
    const PREFLIGHT: &str = "Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\
                             Access-Control-Allow-Methods: GET, HEAD, POST, PUT, OPTIONS\r\n\
                             Access-Control-Allow-Headers: *\r\n";
    let mut shape = Shape {
        status: "200 OK",
        server: SERVER,
        content: None,
        keep_alive: head.keep_alive,
        bodyless: head.method == "HEAD",
        bare: head.version == Version::Http09,
        location: None,
        headers: SHARED,
    };
    let page;
    let (line, given, mime);
    match answer {
        Answer::Full {
            status,
            headers,
            body,
        } => {
            line = status_line(*status);
            shape.status = &line;
            (mime, given) = own_headers(headers);
            shape.headers = &given;
            if let Some(server) = named(headers, "server") {
                shape.server = server;
            }
            // These have none, not even an empty one (RFC 9112 section 6.3).
            if !matches!(status, 100..=199 | 204 | 304) {
                shape.content = Some((&mime, body));
            }
        }
        _ if head.method == "OPTIONS" => {
            shape.status = "204 No Content";
            shape.headers = PREFLIGHT;
        }
        // Uploaded files and pages have become bodies before; missing names are for the DNS.
        Answer::Plain
        | Answer::Pixel
        | Answer::SlowRedirect(_)
        | Answer::Upload(_)
        | Answer::NxDomain => {
            shape.content = Some(("image/gif", PIXEL));
        }
        Answer::Body { mime, bytes } => shape.content = Some((mime, bytes)),
        Answer::Redirect(to) => {
            page = "<html>\r\n<head><title>302 Found</title></head>\r\n<body>\r\n\
                    <center><h1>302 Found</h1></center>\r\n<hr><center>nginx</center>\r\n\
                    </body>\r\n</html>\r\n";
            shape.status = "302 Moved Temporarily";
            shape.content = Some(("text/html", page.as_bytes()));
            shape.location = Some(to);
        }
    }
    shape.bytes()
}

/// Status and its standard words.
fn status_line(status: u16) -> String {
    let words = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("OK");
    format!("{status} {words}")
}

/// The type of what a kind answers, and its other headers as lines. Those that the connection
/// decides are left out.
fn own_headers(headers: &[(String, String)]) -> (String, String) {
    let mime = named(headers, "content-type").unwrap_or_default();
    let mut lines = String::new();
    for (name, value) in headers {
        const OURS: &[&str] = &[
            "connection",
            "content-length",
            "content-type",
            "date",
            "server",
            "transfer-encoding",
        ];
        let ours = OURS.iter().any(|our| our.eq_ignore_ascii_case(name));
        let sane = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if sane && !ours {
            lines.push_str(&format!("{name}: {}\r\n", one_line(value)));
        }
    }
    (mime.to_owned(), lines)
}

fn named<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

struct Shape<'a> {
    status: &'a str,
    server: &'a str,
    content: Option<(&'a str, &'a [u8])>,
    keep_alive: bool,
    /// HEAD: the length, not the body.
    bodyless: bool,
    /// HTTP/0.9: the body, nothing else.
    bare: bool,
    location: Option<&'a str>,
    headers: &'a str,
}

impl Shape<'_> {
    fn bytes(&self) -> Vec<u8> {
        let date = crate::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let mut head = format!(
            "HTTP/1.1 {}\r\nServer: {}\r\nDate: {date}\r\n",
            self.status,
            one_line(self.server)
        );
        if let Some((mime, body)) = self.content {
            if !mime.is_empty() {
                head.push_str(&format!("Content-Type: {}\r\n", one_line(mime)));
            }
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if let Some(to) = self.location {
            head.push_str(&format!("Location: {}\r\n", one_line(to)));
        }
        head.push_str(match self.keep_alive {
            true => "Connection: keep-alive\r\n",
            false => "Connection: close\r\n",
        });
        head.push_str(self.headers);
        head.push_str("\r\n");
        let mut bytes = match self.bare {
            true => Vec::new(),
            false => head.into_bytes(),
        };
        if let (Some((_, body)), false) = (self.content, self.bodyless) {
            bytes.extend_from_slice(body);
        }
        bytes
    }
}

/// A header value that stays one.
fn one_line(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}
