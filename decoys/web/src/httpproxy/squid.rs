//! Squid 5.7 with the access rules of Debian's configuration, to which an administrator has added
//! logins (Basic by `basic_ncsa_auth`, Digest by `digest_file_auth`) and `err_page_stylesheet none`.

mod pages;

use coalmine_core::{Seed, Timestamp};

use self::pages::Page;
use super::auth::{self, Credentials};
use super::request::{Fault, Fields, Framing, Line};
use super::session::{Answer, Heard, Manner};
use super::url::{Scheme, Url};

const REALM: &str = "Squid proxy-caching web server";
/// `acl Safe_ports` beside 1025 and all above.
const SAFE_PORTS: &[u16] = &[80, 21, 443, 70, 210, 280, 488, 591, 777];
/// Languages whose pages are the English ones, as the package has them.
const ENGLISHES: &[&str] = &[
    "en", "en-au", "en-bz", "en-ca", "en-cn", "en-gb", "en-ie", "en-in", "en-jm", "en-nz", "en-ph",
    "en-sg", "en-tt", "en-uk", "en-us", "en-za", "en-zw",
];

/// A Squid.
pub(super) struct Squid {
    /// `visible_hostname`.
    pub(super) host: String,
    /// Name and version, e.g. `squid/5.7`.
    pub(super) product: String,
    /// Proves nonces.
    pub(super) seed: Seed,
}

/// Status codes with their phrases.
type Status = (u16, &'static str);
const BAD_REQUEST: Status = (400, "Bad Request");
const FORBIDDEN: Status = (403, "Forbidden");
const NOT_ALLOWED: Status = (405, "Method Not Allowed");
const LOGIN: Status = (407, "Proxy Authentication Required");
const LENGTH_REQUIRED: Status = (411, "Length Required");
const URI_TOO_LONG: Status = (414, "URI Too Long");
const EXPECTATION_FAILED: Status = (417, "Expectation Failed");
const HEAD_TOO_LONG: Status = (431, "Request Header Fields Too Large");
const NOT_IMPLEMENTED: Status = (501, "Not Implemented");
const NO_SUCH_VERSION: Status = (505, "HTTP Version not supported");

/// An answer before it's written.
struct Reply {
    status: Status,
    page: Page,
    challenges: Vec<String>,
    keeps: bool,
}

impl Reply {
    /// An error that ends the connection.
    fn last(status: Status, page: Page) -> Self {
        Self {
            status,
            page,
            challenges: Vec::new(),
            keeps: false,
        }
    }
}

impl Squid {
    /// What Squid answers.
    pub(super) fn answer(&self, heard: &Heard<'_>, manner: &Manner<'_>) -> Answer {
        // Only a request that was understood has a language.
        let (reply, language, is_head) = match heard {
            Heard::Fault(fault, line) => (fault_reply(*fault), None, line.starts_with(b"HEAD")),
            Heard::BadFields(line) => {
                let target = self.target(line, manner);
                let bad_fields = |_| Reply::last(BAD_REQUEST, Page::not_understood(&target));
                let reply = url(line, &target).map_or_else(|reply| *reply, bad_fields);
                (reply, None, line.is(b"HEAD"))
            }
            Heard::Request(line, fields, credentials) => {
                let (reply, language) = match url(line, &self.target(line, manner)) {
                    Err(reply) => (*reply, None),
                    Ok(url) => {
                        let reply = self.reply(line, url, fields, *credentials, manner);
                        (reply, language(fields))
                    }
                };
                (reply, language, line.is(b"HEAD"))
            }
        };
        Answer {
            bytes: self.write(&reply, language, is_head, manner),
            keeps: reply.keeps,
        }
    }

    /// The request's target; what belongs to the proxy itself gets its address.
    fn target(&self, line: &Line, manner: &Manner<'_>) -> Vec<u8> {
        if line.target.starts_with(b"/squid-internal-") {
            let own = format!("http://{}:{}", self.host, manner.port);
            return [own.as_bytes(), &line.target].concat();
        }
        line.target.clone()
    }

    /// Squid's checks of a request, in its order.
    fn reply(
        &self,
        line: &Line,
        url: Url,
        fields: &Fields,
        credentials: Option<&Credentials>,
        manner: &Manner<'_>,
    ) -> Reply {
        let is_static = url.path.starts_with(b"/squid-internal-static");
        let url = match url.scheme {
            Scheme::Http | Scheme::Https | Scheme::Ftp if is_static => {
                url.at(&self.host, manner.port)
            }
            _ => url,
        };
        let framing = fields.framing();
        let is_own = line.is(b"OPTIONS") && fields.forwards_no_further();
        if is_own || framing == Framing::Unknown || !is_supported(line, &url, fields) {
            return Reply::last(NOT_IMPLEMENTED, Page::UnsupportedRequest(url.stripped()));
        }
        let invalid = |status| {
            let shown = pages::Shown::new(line, fields, &url, framing == Framing::BadLength);
            let page = Page::InvalidRequest {
                url: url.whole(),
                request: Some(shown),
            };
            Reply::last(status, page)
        };
        let has_body = matches!(framing, Framing::Known(length) if length > 0);
        let takes_none = line.is(b"GET") || line.is(b"HEAD");
        if framing == Framing::BadLength || takes_none && has_body {
            return invalid(LENGTH_REQUIRED);
        }
        let expected = fields.get("expect");
        if expected.is_some_and(|e| !e.eq_ignore_ascii_case(b"100-continue")) {
            return invalid(EXPECTATION_FAILED);
        }
        let keeps = fields.keep_alive(line);
        let is_safe = SAFE_PORTS.contains(&url.port) || url.port >= 1025;
        let is_tunnel_elsewhere = line.is(b"CONNECT") && url.port != 443;
        if !is_safe || is_tunnel_elsewhere || url.is_management() {
            return Reply {
                keeps,
                ..Reply::last(FORBIDDEN, Page::AccessDenied(url.stripped()))
            };
        }
        Reply {
            keeps,
            challenges: self.challenges(credentials, manner),
            ..Reply::last(LOGIN, Page::LoginRequired(url.site()))
        }
    }

    /// How one may log in: a digest with a nonce that counts is answered with another such nonce.
    fn challenges(&self, credentials: Option<&Credentials>, manner: &Manner<'_>) -> Vec<String> {
        let digest = match credentials {
            Some(Credentials::Digest(digest)) if digest.is_sound() => Some(digest),
            _ => None,
        };
        let is_fresh = digest.map(|d| d.is_fresh(&self.seed, manner.now));
        let nonce = auth::nonce(&self.seed, manner.seed, manner.served, manner.now);
        let is_stale = is_fresh == Some(false);
        let by_digest =
            format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\", stale={is_stale}");
        match is_fresh {
            Some(true) => vec![by_digest],
            _ => vec![format!("Basic realm=\"{REALM}\""), by_digest],
        }
    }

    fn write(
        &self,
        reply: &Reply,
        language: Option<&str>,
        is_head: bool,
        manner: &Manner<'_>,
    ) -> Vec<u8> {
        let Self { host, product, .. } = self;
        let (code, phrase) = reply.status;
        let date = date(manner.now);
        let generated = format!("{date} by {host} ({product})");
        let body = reply.page.write(&generated, language.is_some());
        let language = language.unwrap_or("en");
        let mut head = format!(
            "HTTP/1.1 {code} {phrase}\r\nServer: {product}\r\nMime-Version: 1.0\r\nDate: {date}\r\n\
             Content-Type: text/html;charset=utf-8\r\nContent-Length: {}\r\n\
             X-Squid-Error: {} 0\r\nVary: Accept-Language\r\nContent-Language: {language}\r\n",
            body.len(),
            reply.page.id(),
        );
        for challenge in &reply.challenges {
            head.push_str(&format!("Proxy-Authenticate: {challenge}\r\n"));
        }
        let connection = if reply.keeps { "keep-alive" } else { "close" };
        head.push_str(&format!(
            "X-Cache: MISS from {host}\r\nX-Cache-Lookup: NONE from {host}:{}\r\n\
             Via: 1.1 {host} ({product})\r\nConnection: {connection}\r\n\r\n",
            manner.port
        ));
        let mut bytes = head.into_bytes();
        if !is_head {
            bytes.extend(body.bytes());
        }
        bytes
    }
}

fn fault_reply(fault: Fault) -> Reply {
    let invalid = b"error:invalid-request";
    let too_large = || Page::TooBig(b"error:request-too-large".to_vec());
    match fault {
        Fault::Alien => Reply::last(BAD_REQUEST, Page::UnknownProtocol(invalid.to_vec())),
        Fault::Invalid => Reply::last(BAD_REQUEST, Page::not_understood(invalid)),
        Fault::TargetTooLong => Reply::last(URI_TOO_LONG, too_large()),
        Fault::HeadTooLong => Reply::last(HEAD_TOO_LONG, too_large()),
    }
}

/// What is checked before the header fields.
fn url(line: &Line, target: &[u8]) -> Result<Url, Box<Reply>> {
    if line.is(b"PRI") && line.version.0 < 2 {
        let url = b"error:method-not-allowed".to_vec();
        return Err(Reply::last(NOT_ALLOWED, Page::UnsupportedRequest(url)).into());
    }
    let Some(url) = Url::parse(&line.method, target) else {
        return Err(Reply::last(BAD_REQUEST, Page::InvalidUrl(target.to_vec())).into());
    };
    if !line.is_spoken() {
        let page = Page::UnsupportedVersion(target.to_vec());
        return Err(Reply::last(NO_SUCH_VERSION, page).into());
    }
    Ok(url)
}

/// Whether Squid would do this with a URL of this kind.
fn is_supported(line: &Line, url: &Url, fields: &Fields) -> bool {
    match line.method.as_slice() {
        b"CONNECT" | b"PURGE" => true,
        b"OPTIONS" | b"TRACE" => fields.forwards_no_further() || url.path != b"*",
        method => match url.scheme {
            Scheme::Http | Scheme::Https | Scheme::CacheObject | Scheme::Urn => true,
            Scheme::Ftp => matches!(method, b"GET" | b"HEAD" | b"PUT"),
            Scheme::Wais | Scheme::Whois => matches!(method, b"GET" | b"HEAD"),
            Scheme::Authority | Scheme::Other => false,
        },
    }
}

/// The language of the error page that the client asked for: the first English one it takes.
fn language(fields: &Fields) -> Option<&'static str> {
    for member in fields.list("accept-language") {
        let tag = member.split(|b| *b == b';').next().unwrap_or_default();
        let tag = tag.trim_ascii().to_ascii_lowercase();
        let known = ENGLISHES.iter().find(|known| known.as_bytes() == tag);
        // Whatever comes after "any" doesn't count.
        if known.is_some() || tag == b"*" {
            return known.copied();
        }
    }
    None
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
fn date(at: Timestamp) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT")
}
