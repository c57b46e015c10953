//! Apache httpd 2.4 of Debian: how it reads requests and the pages it makes itself. Recorded; see
//! `testdata/apache-2.4.71.jsonl`.

use super::head::{Head, Size};
use super::lines::{self, Refusal};
use super::parse::{self, Version};
use super::site::Face;
use super::status::Status;

/// Longest line without its end (`LimitRequestLine`, `LimitRequestFieldSize` and two bytes' slack).
const MAX_LINE: usize = 8_191;
/// Most fields (`LimitRequestFields`).
const MAX_FIELDS: u32 = 100;
/// Longest name in the file system.
const MAX_NAME: usize = 255;

/// Methods that are known though nothing here takes them (RFC 9110, RFC 5789, RFC 4918, RFC 3253).
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "VERSION-CONTROL",
    "CHECKOUT",
    "UNCHECKOUT",
    "CHECKIN",
    "UPDATE",
    "LABEL",
    "REPORT",
    "MKWORKSPACE",
    "MKACTIVITY",
    "BASELINE-CONTROL",
    "MERGE",
];

/// What takes a file.
pub(super) const ALLOW: &str = "HEAD,GET,POST,OPTIONS";

/// Whether a line of `len` bytes is too long.
pub(super) fn too_long(len: usize, whole: bool, first: bool) -> Option<Status> {
    // An unfinished line may end in a carriage return that doesn't count.
    let most = if whole {
        MAX_LINE
    } else {
        MAX_LINE.saturating_add(1)
    };
    (len > most).then_some(if first {
        Status::UriTooLarge
    } else {
        Status::HeaderTooLarge
    })
}

/// A request line, held to `HttpProtocolOptions Strict`.
pub(super) fn request_line(line: &[u8]) -> Result<Head, Status> {
    let bad = Status::BadRequest;
    if line.iter().any(|b| matches!(b, 0..0x20 | 0x7f)) {
        return Err(bad);
    }
    let (method, target, version) = match *lines::parts(line).as_slice() {
        [method, target] | [method, target, b""] => (method, target, Version::Http09),
        [method, target, version] => match lines::version(version).ok_or(bad)? {
            (0, _) => return Err(bad),
            (1, 0) => (method, target, Version::Http10),
            _ => (method, target, Version::Http11),
        },
        _ => return Err(bad),
    };
    if !lines::is_token(method) || target.is_empty() || target.contains(&b'#') {
        return Err(bad);
    }
    if version == Version::Http09 && method != b"GET" {
        return Err(bad);
    }
    let mut head = lines::head(method, target, version);
    if method == b"CONNECT" {
        let (host, port) = lines::authority(target).ok_or(bad)?;
        if target.starts_with(b"/") || port.is_none() {
            return Err(bad);
        }
        head.host = Some(parse::latin1(host).to_ascii_lowercase());
        head.port = port;
        head.asterisk = true;
    } else if target == b"*" {
        if method != b"OPTIONS" {
            return Err(bad);
        }
        head.asterisk = true;
    } else if let Some((scheme, authority, _)) = lines::absolute(target) {
        if matches!(scheme, b"http" | b"https") {
            let host = match authority.iter().position(|b| *b == b'@') {
                Some(at) => authority.get(at.saturating_add(1)..).unwrap_or_default(),
                None => authority,
            };
            let (host, port) = lines::authority(host).ok_or(bad)?;
            head.host = Some(parse::latin1(host).to_ascii_lowercase());
            head.port = port;
        }
    } else if !target.starts_with(b"/") && !target.starts_with(b"?") {
        return Err(bad);
    }
    if version == Version::Http09 {
        decode(&mut head)?;
    }
    Ok(head)
}

/// One field line; `nth` counts from 1.
pub(super) fn field(head: &mut Head, line: &[u8], nth: u32) -> Result<(), Status> {
    let bad = Status::BadRequest;
    if nth > MAX_FIELDS {
        return Err(Status::TooManyFields);
    }
    let (name, value) = lines::named(line).ok_or(bad)?;
    let control = |b: &u8| matches!(b, 0..=8 | 10..0x20 | 0x7f);
    if !lines::is_token(name) || value.iter().any(control) {
        return Err(bad);
    }
    let name = parse::latin1(name).to_ascii_lowercase();
    head.merge(&name, value);
    if head.get(&name).is_some_and(|whole| whole.len() > MAX_LINE) {
        return Err(Status::HeaderTooLarge);
    }
    Ok(())
}

/// The whole head: the host, the body's size, the path; in the order in which Apache looks.
pub(super) fn finish(mut head: Box<Head>) -> Result<(Box<Head>, Size), Refusal> {
    // What's refused early is refused in the name of the server itself.
    let unnamed = |mut head: Box<Head>| {
        head.host = None;
        head.port = None;
        Err(Refusal {
            status: Status::BadRequest,
            head: Some(head),
        })
    };
    let refused = |status, head| {
        Err(Refusal {
            status,
            head: Some(head),
        })
    };
    let absolute = head.host.is_some();
    match head.get("host").map(<[u8]>::to_vec) {
        Some(given) => {
            let Some((host, port)) = host(&given) else {
                return unnamed(head);
            };
            if !absolute {
                head.host = Some(host);
                head.port = port;
            }
        }
        None if head.line.version >= Version::Http11 => {
            return refused(Status::BadRequest, head);
        }
        None => {}
    }
    let Ok(length) = lines::length(head.get("content-length")) else {
        return unnamed(head);
    };
    let mut size = Size::Known(length);
    if let Some(coding) = head.get("transfer-encoding") {
        let last = coding.rsplit(|b| *b == b',').next().unwrap_or_default();
        if !lines::trimmed(last).eq_ignore_ascii_case(b"chunked") {
            return unnamed(head);
        }
        size = Size::Chunked;
        if head.get("content-length").is_some() || head.line.version < Version::Http11 {
            head.connection = Some(false);
        }
    }
    let words = head
        .get("connection")
        .map(|v| parse::latin1(v).to_ascii_lowercase());
    if let Some(words) = words {
        let says = |word: &str| words.split(',').any(|w| w.trim() == word);
        if says("close") {
            head.connection = Some(false);
        } else if says("keep-alive") {
            head.connection.get_or_insert(true);
        }
    }
    if let Some((scheme, authority, _)) = lines::absolute(&head.line.target)
        && (!matches!(scheme, b"http" | b"https") || authority.contains(&b'@'))
    {
        return refused(Status::BadRequest, head);
    }
    if let Err(status) = decode(&mut head) {
        return refused(status, head);
    }
    if let Some(expect) = head.get("expect") {
        if !expect.eq_ignore_ascii_case(b"100-continue") {
            return refused(Status::ExpectationFailed, head);
        }
        // Nothing was read that a 100 could have been sent for, so the connection isn't trusted on.
        if size == Size::Known(0) && head.line.version >= Version::Http11 {
            head.connection = Some(false);
        }
    }
    Ok((head, size))
}

/// A host as `HttpProtocolOptions Strict` takes it, and its port.
fn host(given: &[u8]) -> Option<(String, Option<u16>)> {
    let (name, port) = lines::authority(given)?;
    if let Some(literal) = name.strip_prefix(b"[") {
        let literal = literal.strip_suffix(b"]")?;
        let plain = !literal.is_empty()
            && literal
                .iter()
                .all(|b| b.is_ascii_hexdigit() || b":.".contains(b));
        return plain.then(|| (parse::latin1(name).to_ascii_lowercase(), port));
    }
    let bare = name.strip_suffix(b".").unwrap_or(name);
    let labels: Vec<&[u8]> = bare.split(|b| *b == b'.').collect();
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
    if labels
        .iter()
        .any(|label| label.is_empty() || !label.iter().all(is_name))
    {
        return None;
    }
    if labels
        .iter()
        .all(|label| label.iter().all(u8::is_ascii_digit))
    {
        let leading = |label: &&[u8]| label.len() > 1 && label.starts_with(b"0");
        if labels.len() != 4 || labels.iter().any(leading) {
            return None;
        }
    }
    Some((parse::latin1(bare).to_ascii_lowercase(), port))
}

/// Fills in path and query.
fn decode(head: &mut Head) -> Result<(), Status> {
    if head.asterisk {
        head.path = head.line.target.clone();
        return Ok(());
    }
    let target = head.line.target.clone();
    let target = match lines::absolute(&target) {
        Some((_, _, rest)) => rest,
        None => &target,
    };
    let (raw, query) = lines::cut_query(target);
    head.query = query.to_vec();
    let plain = lines::decode(raw).ok_or(Status::BadRequest)?;
    // An escaped slash or NUL is no part of any file's name (`AllowEncodedSlashes Off`).
    let lower = raw.to_ascii_lowercase();
    let hidden = lower.windows(3).any(|w| matches!(w, b"%2f" | b"%00"));
    let path = parse::normal(&plain).ok_or(Status::BadRequest)?;
    head.path = if hidden { b"/\0".to_vec() } else { path };
    Ok(())
}

/// Why the server itself answers `path`, before any file is looked for.
pub(super) fn before_files(head: &Head) -> Option<Status> {
    let method = parse::latin1(&head.line.method);
    if !METHODS.contains(&method.as_str()) {
        return Some(Status::NotImplemented);
    }
    if !matches!(method.as_str(), "GET" | "HEAD" | "POST") {
        return Some(Status::NotAllowed);
    }
    let mut names = head.path.split(|b| *b == b'/');
    if names.any(|name| name.len() > MAX_NAME || name.starts_with(b".ht")) {
        return Some(Status::Forbidden);
    }
    // `mod_status` for the machine itself alone; `/icons/` has no index.
    matches!(head.path.as_slice(), b"/server-status" | b"/icons/").then_some(Status::Forbidden)
}

/// The page for `status` that Apache builds; `moved` is where a redirect leads.
pub(super) fn page(
    status: Status,
    head: Option<&Head>,
    face: &Face,
    port: u16,
    moved: &str,
) -> Vec<u8> {
    let (code, phrase) = line(status);
    let method = head.map_or_else(String::new, |h| escape(&parse::latin1(&h.line.method)));
    let misunderstood = |more: &str| {
        format!(
            "<p>Your browser sent a request that this server could not understand.<br />\n{more}</p>"
        )
    };
    let text = match status {
        Status::BadRequest => misunderstood(""),
        Status::HeaderTooLarge => {
            misunderstood("Size of a request header field exceeds server limit.")
        }
        Status::TooManyFields => {
            misunderstood("The number of request header fields exceeds this server's limit.")
        }
        Status::ToHttps => misunderstood(
            "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />\n \
             Instead use the HTTPS scheme to access this URL, please.<br />\n",
        ),
        Status::MovedPermanently => {
            format!(
                "<p>The document has moved <a href=\"{}\">here</a>.</p>",
                escape(moved)
            )
        }
        Status::Unauthorized => "<p>This server could not verify that you\n\
             are authorized to access the document\n\
             requested.  Either you supplied the wrong\n\
             credentials (e.g., bad password), or your\n\
             browser doesn't understand how to supply\n\
             the credentials required.</p>"
            .to_owned(),
        Status::Forbidden => "<p>You don't have permission to access this resource.</p>".to_owned(),
        Status::NotFound => "<p>The requested URL was not found on this server.</p>".to_owned(),
        Status::NotAllowed => {
            format!("<p>The requested method {method} is not allowed for this URL.</p>")
        }
        Status::NotImplemented => {
            format!("<p>{method} not supported for current URL.<br />\n</p>")
        }
        Status::UriTooLarge => "<p>The requested URL's length exceeds the capacity\n\
             limit for this server.<br />\n</p>"
            .to_owned(),
        Status::RangeNotSatisfiable => "<p>None of the range-specifier values in the Range\n\
             request-header field overlap the current extent\n\
             of the selected resource.</p>"
            .to_owned(),
        Status::ExpectationFailed => {
            let expect = head.and_then(|h| h.text("expect")).unwrap_or_default();
            format!(
                "<p>The expectation given in the Expect request-header\n\
                 field could not be met by this server.\n\
                 The client sent<pre>\n    Expect: {}\n</pre>\n\
                 </p><p>Only the 100-continue expectation is supported.</p>",
                escape(&expect)
            )
        }
        Status::BodyTooLarge => format!(
            "The requested resource does not allow request data with {method} requests, or the amount of data provided in\n\
             the request exceeds the capacity limit."
        ),
        _ => String::new(),
    };
    let host = head.and_then(|h| h.host.as_deref()).unwrap_or(&face.name);
    let host = host.trim_matches(['[', ']']);
    let port = head.and_then(|h| h.port).unwrap_or(port);
    format!(
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">\n\
         <html><head>\n<title>{code} {phrase}</title>\n</head><body>\n<h1>{phrase}</h1>\n{text}\n<hr>\n\
         <address>{} Server at {} Port {port}</address>\n</body></html>\n",
        escape(&face.server),
        escape(host)
    )
    .into_bytes()
}

/// Code and phrase.
pub(super) const fn line(status: Status) -> (u16, &'static str) {
    match status {
        Status::NotAllowed => (405, "Method Not Allowed"),
        Status::UriTooLarge => (414, "Request-URI Too Long"),
        Status::TooManyFields => (400, "Bad Request"),
        other => other.line(),
    }
}

/// As `ap_escape_html` does.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
