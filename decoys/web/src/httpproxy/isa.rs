//! Microsoft ISA Server 2006 as a forward proxy whose rules want a user.
//!
//! Status lines and header fields are those of published captures; the page below them says the
//! same in our own layout.

use super::request::{Fault, Line};
use super::session::{Answer, Heard, Manner};
use super::url::{Scheme, Url};
use crate::http::windows::Host;

/// Ports that tunnels may go to, as the product comes.
const TUNNEL_PORTS: &[u16] = &[443, 563];

/// An ISA Server.
pub(super) struct Isa {
    /// The machine's name, in `Via` and as the realm.
    pub(super) name: String,
    /// The machine, as NTLM's challenge tells of it.
    pub(super) host: Host,
}

/// What is wrong: status line, the product's own words and its number for them.
struct Error {
    code: u16,
    phrase: &'static str,
    words: &'static str,
    number: u32,
}

const BAD_REQUEST: Error = Error {
    code: 400,
    phrase: "Bad Request",
    words: "The data is invalid.",
    number: 13,
};
const LOGIN: Error = Error {
    code: 407,
    phrase: "Proxy Authentication Required",
    words: "The ISA Server requires authorization to fulfill the request. \
            Access to the Web Proxy filter is denied.",
    number: 12_209,
};
const NO_PROTOCOL: Error = Error {
    code: 502,
    phrase: "Proxy Error",
    words: "The Uniform Resource Locator (URL) does not use a recognized protocol. \
            Either the protocol is not supported or the request was not typed correctly. \
            Confirm that a valid protocol is in use (for example, HTTP for a Web request).",
    number: 12_006,
};
const TUNNEL_PORT: Error = Error {
    code: 502,
    phrase: "Proxy Error",
    words: "The specified Secure Sockets Layer (SSL) port is not allowed. \
            ISA Server is not configured to allow SSL requests from this port. \
            Most Web browsers use port 443 for SSL requests.",
    number: 12_204,
};
const HEAD_TOO_LONG: Error = Error {
    code: 502,
    phrase: "Proxy Error",
    words: "The size of the request header is too large. \
            Contact your ISA Server administrator.",
    number: 12_215,
};

impl Isa {
    /// What the ISA Server answers.
    pub(super) fn answer(&self, heard: &Heard<'_>, manner: &Manner<'_>) -> Answer {
        let (error, keeps, is_head) = match heard {
            Heard::Fault(Fault::HeadTooLong | Fault::TargetTooLong, line) => {
                (&HEAD_TOO_LONG, false, line.starts_with(b"HEAD"))
            }
            Heard::Fault(_, line) => (&BAD_REQUEST, false, line.starts_with(b"HEAD")),
            Heard::BadFields(line) => (&BAD_REQUEST, false, line.is(b"HEAD")),
            Heard::Request(line, fields, _) => {
                let error = refusal(line);
                let keeps = error.code == LOGIN.code && fields.keep_alive(line);
                (error, keeps, line.is(b"HEAD"))
            }
        };
        if let Some(challenge) = manner.challenge {
            return self.challenge(challenge);
        }
        let page = self.page(error, manner);
        let connection = if keeps { "Keep-Alive" } else { "close" };
        let mut text = format!(
            "HTTP/1.1 {} {} ( {}  )\r\nVia: 1.1 {}\r\n",
            error.code, error.phrase, error.words, self.name
        );
        if error.code == LOGIN.code {
            for scheme in ["Negotiate", "Kerberos", "NTLM"] {
                text.push_str(&format!("Proxy-Authenticate: {scheme}\r\n"));
            }
            text.push_str(&format!(
                "Proxy-Authenticate: Basic realm=\"{}\"\r\n",
                self.name
            ));
        }
        text.push_str(&format!(
            "Connection: {connection}\r\nProxy-Connection: {connection}\r\nPragma: no-cache\r\n\
             Cache-Control: no-cache\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
            page.len()
        ));
        if !is_head {
            text.push_str(&page);
        }
        Answer {
            bytes: text.into_bytes(),
            keeps,
        }
    }

    /// The second message of three.
    fn challenge(&self, challenge: &str) -> Answer {
        let text = format!(
            "HTTP/1.1 407 Proxy Authentication Required ( Access is denied.  )\r\nVia: 1.1 {}\r\n\
             Proxy-Authenticate: {challenge}\r\nConnection: Keep-Alive\r\n\
             Proxy-Connection: Keep-Alive\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
             Content-Type: text/html\r\nContent-Length: 0\r\n\r\n",
            self.name
        );
        Answer {
            bytes: text.into_bytes(),
            keeps: true,
        }
    }

    fn page(&self, error: &Error, manner: &Manner<'_>) -> String {
        let Error {
            code,
            phrase,
            words,
            number,
        } = error;
        let when = manner.now.format("%-m/%-d/%Y %-I:%M:%S %p");
        format!(
            "<html><head><title>Error Message</title>\r\n\
             <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\"></head>\r\n\
             <body>\r\n<h3>Network Access Message: The page cannot be displayed</h3>\r\n\
             <p>Technical Information (for Support personnel)</p>\r\n<ul>\r\n\
             <li>Error Code: {code} {phrase}. {words} ({number})</li>\r\n\
             <li>Date: {when} [GMT]</li>\r\n<li>Server: {}</li>\r\n<li>Source: proxy</li>\r\n\
             </ul>\r\n</body></html>\r\n",
            self.name
        )
    }
}

/// What is wrong with a request: everything ends where somebody would have to log in.
fn refusal(line: &Line) -> &'static Error {
    match Url::parse(&line.method, &line.target) {
        _ if !line.is_spoken() => &BAD_REQUEST,
        None => &NO_PROTOCOL,
        Some(url) if url.scheme == Scheme::Authority && !TUNNEL_PORTS.contains(&url.port) => {
            &TUNNEL_PORT
        }
        Some(url) => match url.scheme {
            Scheme::Http | Scheme::Https | Scheme::Ftp | Scheme::Authority => &LOGIN,
            _ => &NO_PROTOCOL,
        },
    }
}
