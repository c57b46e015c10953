//! Squid's English error pages, put together from what they share.

use crate::httpproxy::request::{Fields, Line};
use crate::httpproxy::url::{Scheme, Url};

/// Header fields that Squid writes in its own capitals.
const KNOWN: &[&str] = &[
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Accept-Ranges",
    "Age",
    "Allow",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Location",
    "Content-MD5",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Date",
    "ETag",
    "Expect",
    "Expires",
    "Forwarded",
    "From",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Last-Modified",
    "Link",
    "Location",
    "Max-Forwards",
    "Mime-Version",
    "Origin",
    "Pragma",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Retry-After",
    "Server",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Vary",
    "Via",
    "Warning",
    "X-Forwarded-For",
];
const SECRET: &[&str] = &["Authorization", "Proxy-Authorization"];

const USUAL_TITLE: &str = "The requested URL could not be retrieved";
const ADMINISTRATOR: &str =
    "<p>Your cache administrator is <a href=\"mailto:webmaster\">webmaster</a>.</p>\n";

/// A page and the URL it's about, not yet safe for HTML.
pub(super) enum Page {
    LoginRequired(Vec<u8>),
    AccessDenied(Vec<u8>),
    InvalidUrl(Vec<u8>),
    InvalidRequest {
        url: Vec<u8>,
        /// Where the request was understood.
        request: Option<Shown>,
    },
    TooBig(Vec<u8>),
    UnknownProtocol(Vec<u8>),
    UnsupportedRequest(Vec<u8>),
    UnsupportedVersion(Vec<u8>),
}

/// A request as a page shows it.
pub(super) struct Shown {
    method: Vec<u8>,
    scheme: &'static str,
    text: Vec<u8>,
}

impl Shown {
    /// The request with its path alone, its fields in order but for `Host`, which comes last and
    /// tells the URL's host; without a length that is none, and without secrets.
    pub(super) fn new(line: &Line, fields: &Fields, url: &Url, hides_length: bool) -> Self {
        let (major, minor) = line.version;
        let mut text = line.method.clone();
        text.push(b' ');
        text.extend(&url.path);
        text.extend(format!(" HTTP/{major}.{minor}\r\n").bytes());
        let mut host = Vec::new();
        for (name, value) in fields.iter() {
            let known = KNOWN
                .iter()
                .find(|k| k.as_bytes().eq_ignore_ascii_case(name));
            let shown = match known {
                Some(&"Host") => {
                    host = url.host_and_port();
                    continue;
                }
                Some(&"Content-Length") if hides_length => continue,
                Some(name) if SECRET.contains(name) => b"** NOT DISPLAYED **",
                _ => value,
            };
            text.extend(known.map_or(name, |k| k.as_bytes()));
            text.extend(b": ");
            text.extend(shown);
            text.extend(b"\r\n");
        }
        if fields.get("host").is_some() {
            text.extend(b"Host: ");
            text.extend(host);
            text.extend(b"\r\n");
        }
        text.extend(b"\r\n");
        Self {
            method: line.method.clone(),
            scheme: match url.scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
                Scheme::Ftp => "ftp",
                Scheme::Wais => "wais",
                Scheme::Whois => "whois",
                Scheme::CacheObject => "cache_object",
                Scheme::Urn => "urn",
                Scheme::Authority | Scheme::Other => "",
            },
            text,
        }
    }
}

impl Page {
    /// About a request of which only the target is known.
    pub(super) fn not_understood(url: &[u8]) -> Self {
        Self::InvalidRequest {
            url: url.to_vec(),
            request: None,
        }
    }

    /// Its name in `X-Squid-Error`.
    pub(super) const fn id(&self) -> &'static str {
        match self {
            Self::LoginRequired(_) => "ERR_CACHE_ACCESS_DENIED",
            Self::AccessDenied(_) => "ERR_ACCESS_DENIED",
            Self::InvalidUrl(_) => "ERR_INVALID_URL",
            Self::InvalidRequest { .. } => "ERR_INVALID_REQ",
            Self::TooBig(_) => "ERR_TOO_BIG",
            Self::UnknownProtocol(_) => "ERR_PROTOCOL_UNKNOWN",
            Self::UnsupportedRequest(_) => "ERR_UNSUP_REQ",
            Self::UnsupportedVersion(_) => "ERR_UNSUP_HTTPVERSION",
        }
    }

    /// The page; `generated` says when and by whom. The pages of a language that the client asked
    /// for differ from the usual ones in their quotes.
    pub(super) fn write(&self, generated: &str, is_negotiated: bool) -> String {
        let id = self.id();
        let quote = if is_negotiated { "\"" } else { "" };
        let (title, heading) = match self {
            Self::LoginRequired(_) => ("Cache Access Denied", "Cache Access Denied."),
            Self::UnsupportedVersion(_) => (USUAL_TITLE, "Unsupported HTTP version"),
            _ => (USUAL_TITLE, USUAL_TITLE),
        };
        // The pages were written by hand: two have a space more at the end of a line, one less.
        let before_style = if matches!(self, Self::AccessDenied(_)) {
            ""
        } else {
            " "
        };
        let after_rule = if matches!(self, Self::LoginRequired(_)) {
            " "
        } else {
            ""
        };
        let (content, script) = self.content();
        format!(
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">\n\
             <html><head>\n\
             <meta type=\"copyright\" content=\"Copyright (C) 1996-2021 The Squid Software Foundation and contributors\">\n\
             <meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\n\
             <title>ERROR: {title}</title>\n\
             <style type=\"text/css\"><!--{before_style}\n \n\n\
             body\n\
             :lang(fa) {{ direction: rtl; font-size: 100%; font-family: Tahoma, Roya, sans-serif; float: right; }}\n\
             :lang(he) {{ direction: rtl; }}\n \
             --></style>\n\
             </head><body id={quote}{id}{quote}>\n\
             <div id=\"titles\">\n<h1>ERROR</h1>\n<h2>{heading}</h2>\n</div>\n<hr>\n\n\
             <div id=\"content\">\n{content}<br>\n</div>\n\n{script}\
             <hr>{after_rule}\n<div id=\"footer\">\n<p>Generated {generated}</p>\n<!-- {id} -->\n\
             </div>\n</body></html>\n"
        )
    }

    /// What's particular of it, and the script below.
    fn content(&self) -> (String, String) {
        let (url, error, text) = match self {
            Self::InvalidRequest { url, request } => return invalid_request(url, request.as_ref()),
            Self::LoginRequired(url) => {
                let url = quoted(url);
                let text = format!(
                    "<p>Sorry, you are not currently allowed to request {url} from this cache until you have \
                     authenticated yourself.</p>\n\n\
                     <p>Please contact the <a href=\"mailto:webmaster\">cache administrator</a> if you have \
                     difficulties authenticating yourself.</p>\n\n"
                );
                return (
                    explained(&url, "Cache Access Denied.", &text),
                    String::new(),
                );
            }
            Self::AccessDenied(url) => (
                url,
                "Access Denied.",
                "<p>Access control configuration prevents your request from being allowed at this time. \
                 Please contact your service provider if you feel this is incorrect.</p>\n\n",
            ),
            Self::InvalidUrl(url) => (
                url,
                "Invalid URL",
                "<p>Some aspect of the requested URL is incorrect.</p>\n\n\
                 <p>Some possible problems are:</p>\n<ul>\n\
                 <li><p>Missing or incorrect access protocol (should be <q>http://</q> or similar)</p></li>\n\
                 <li><p>Missing hostname</p></li>\n\
                 <li><p>Illegal double-escape in the URL-Path</p></li>\n\
                 <li><p>Illegal character in hostname; underscores are not allowed.</p></li>\n</ul>\n\n",
            ),
            Self::TooBig(url) => (
                url,
                "The request or reply is too large.",
                "<p>If you are making a POST or PUT request, then the item you are trying to upload is too \
                 large.</p>\n\
                 <p>If you are making a GET request, then the item you are trying to download is too large.</p>\n\
                 <p>These limits have been established by the Internet Service Provider who operates this cache. \
                 Please contact them directly if you feel this is an error.</p>\n\n",
            ),
            Self::UnknownProtocol(url) => (
                url,
                "Unsupported Protocol",
                "<p>Squid does not support some access protocols. For example, the SSH protocol is currently \
                 not supported.</p>\n\n",
            ),
            Self::UnsupportedRequest(url) => (
                url,
                "Unsupported Request Method and Protocol",
                "<p>Squid does not support all request methods for all access protocols. For example, you can \
                 not POST a Gopher request.</p>\n\n",
            ),
            Self::UnsupportedVersion(url) => (
                url,
                "Unsupported HTTP version",
                "<p>This Squid does not accept the HTTP version you are attempting to use.</p>\n\n",
            ),
        };
        let text = format!("{text}{ADMINISTRATOR}");
        (explained(&quoted(url), error, &text), String::new())
    }
}

fn explained(url: &str, error: &str, text: &str) -> String {
    format!(
        "<p>The following error was encountered while trying to retrieve the URL: <a href=\"{url}\">{url}</a></p>\n\n\
         <blockquote id=\"error\">\n<p><b>{error}</b></p>\n</blockquote>\n\n{text}"
    )
}

fn invalid_request(url: &[u8], request: Option<&Shown>) -> (String, String) {
    let (method, scheme, text) = match request {
        None => (
            "[unknown method]".to_owned(),
            "[unknown protocol]",
            "[no request]".to_owned(),
        ),
        Some(shown) => (quoted(&shown.method), shown.scheme, quoted(&shown.text)),
    };
    let content = format!(
        "<p><b>Invalid Request</b> error was encountered while trying to process the request:</p>\n\n\
         <blockquote id=\"data\">\n<pre>{text}</pre>\n</blockquote>\n\n\
         <p>Some possible problems are:</p>\n<ul>\n\
         <li id=\"missing-method\"><p>Missing or unknown request method.</p></li>\n\
         <li id=\"missing-url\"><p>Missing URL.</p></li>\n\
         <li id=\"missing-protocol\"><p>Missing HTTP Identifier (HTTP/1.0).</p></li>\n\
         <li><p>Request is too large.</p></li>\n\
         <li><p>Content-Length missing for POST or PUT requests.</p></li>\n\
         <li><p>Illegal character in hostname; underscores are not allowed.</p></li>\n\
         <li><p>HTTP/1.1 <q>Expect:</q> feature is being asked from an HTTP/1.0 software.</p></li>\n\
         </ul>\n\n{ADMINISTRATOR}"
    );
    let mut script = "<script language=\"javascript\">\n".to_owned();
    for (value, none, what) in [
        (method.as_str(), "[unknown method]", "method"),
        (&quoted(url), "[no URL]", "url"),
        (scheme, "[unknown protocol]", "protocol"),
    ] {
        script.push_str(&format!(
            "if ('{value}' != '{none}') document.getElementById('missing-{what}').style.display = 'none';\n"
        ));
    }
    script.push_str("</script>\n\n");
    (content, script)
}

/// `text` made safe for HTML, byte by byte.
fn quoted(text: &[u8]) -> String {
    let mut html = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'<' => html.push_str("&lt;"),
            b'>' => html.push_str("&gt;"),
            b'&' => html.push_str("&amp;"),
            b'"' => html.push_str("&quot;"),
            b'\'' => html.push_str("&#39;"),
            b'\n' | b'\r' | b'\t' | b' '..=b'~' => html.push(char::from(*byte)),
            byte => html.push_str(&format!("&#{byte};")),
        }
    }
    html
}
