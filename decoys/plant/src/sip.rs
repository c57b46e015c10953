//! SIP (RFC 3261) as Asterisk 18 with `chan_pjsip` answers strangers: a challenge to everything,
//! and what it can do to whoever asks for options.
//!
//! Order and wording of the headers are those of published traces of Asterisk 16 to 18. What never
//! happens: an answer to anybody but the sender (Via and Contact are only repeated), a call, a
//! registration, or over UDP an answer much longer than its request.

mod message;
mod reply;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use coalmine_core::decoy::{
    Broken, Datagrams, Limits, Poke, Session, Sessions, Step, Tcp, Transport,
};
use coalmine_core::settings::one_line;
use coalmine_core::text::printable;
use coalmine_core::{Context, DecoyKind, Event, Out, Seed, Service, Timestamp};
use serde_json::{Map, Value};

use message::Request;
use reply::{Ends, reply};

/// Longest message over TCP, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;
/// Most header fields of a message.
const MAX_HEADERS: usize = 128;
/// How much longer than its request an answer may be on the wire, in tenths.
const MAX_GAIN: usize = 15;
/// IPv4 and UDP, in bytes.
const HEADERS: usize = 28;
/// Ports below this belong to services that somebody may want us to flood.
const FIRST_CLIENT_PORT: u16 = 1024;

/// SIP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "sip",
    title: "SIP server",
    doc: "Pretends to be an Asterisk telephone exchange.\nCaptures all header fields of every request, the answers to its challenges among them.\nNever calls anybody.",
    transports: &[Transport::Tcp, Transport::Udp],
    port: 5060,
    instances: false,
    tls: None,
    events: &[SipRequest::KIND],
    settings: SipSettings::declared,
    build: |given, _| {
        let settings = Arc::new(SipSettings::parse(given)?);
        Ok(Service {
            tcp: Some(Tcp::Sessions(Box::new(Sip(Arc::clone(&settings))))),
            udp: Some(Box::new(Sip(settings))),
        })
    },
    limits: Limits::LOGIN.input(2 * MAX_MESSAGE),
    poke: Poke::Script(&[
        Step::Send(
            b"OPTIONS sip:pbx SIP/2.0\r\nVia: SIP/2.0/TCP poke;branch=z9hG4bK776asdhds\r\n\
              From: <sip:poke@poke>;tag=1928301774\r\nTo: <sip:pbx>\r\nCall-ID: a84b4c76e66710\r\n\
              CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        ),
        Step::Expect(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP poke;rport="),
    ]),
};

coalmine_core::settings! {
    /// Settings of the SIP decoy.
    pub struct SipSettings {
        /// The `Server` header of every answer.
        user_agent: String => "user_agent" = "Asterisk PBX 18.2.0".to_owned(), one_line;
        /// The realm of its challenges.
        realm: String => "realm" = "asterisk".to_owned(), realm;
    }
}

coalmine_core::event! {
    /// Somebody sent the SIP server a request.
    pub struct SipRequest: "sip", "SIP Request", [15001 ""], no timestamps {
        /// Every header field by its full name in lower case; several of one name are one text,
        /// separated by commas.
        headers: Map<String, Value> => "HEADERS" = serde_json::json!({
            "via": "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds",
            "from": "<sip:100@192.0.2.20>;tag=1928301774",
            "to": "<sip:100@192.0.2.20>",
            "call-id": "a84b4c76e66710",
            "cseq": "2 REGISTER",
            "authorization": "Digest username=\"100\", realm=\"asterisk\", nonce=\"1664256201/30ff48bd45c78b935077262030d584bd\", uri=\"sip:192.0.2.20\", response=\"6629fae49393a05397450978507c4ef1\"",
            "content-length": "0",
        }),
    }
}

/// A check for what stands between quotes.
fn realm(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains(['"', '\\']) {
        return Err("must be a text without quotes and backslashes".to_owned());
    }
    one_line(text)
}

/// Both parts of the service.
struct Sip(Arc<SipSettings>);

impl Datagrams for Sip {
    fn datagram(&self, context: &Context, input: &[u8], out: &mut Out) {
        let Some(request) = Request::parse(input) else {
            return;
        };
        out.see(&seen(&request));
        if context.peer.port() < FIRST_CLIENT_PORT {
            return;
        }
        let ends = Ends {
            source: context.peer.ip().to_canonical(),
            port: context.peer.port(),
            seed: &context.seed,
            now: context.now,
        };
        let wire = input.len().saturating_add(HEADERS).saturating_mul(MAX_GAIN) / 10;
        let room = wire.saturating_sub(HEADERS);
        if let Some(answer) = reply(&self.0, &request, &ends, room) {
            out.send(answer);
        }
    }
}

impl Sessions for Sip {
    fn open(&self, context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Box::new(Stream {
            settings: Arc::clone(&self.0),
            source: context.peer.ip().to_canonical(),
            port: context.peer.port(),
            seed: context.seed.clone(),
            messages: 0,
        })
    }
}

/// A connection: messages one after the other, each as long as its Content-Length says
/// (RFC 3261 section 18.3).
struct Stream {
    settings: Arc<SipSettings>,
    source: IpAddr,
    port: u16,
    seed: Seed,
    messages: u64,
}

impl Session for Stream {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        // Keep-alives (RFC 5626 section 3.5.1), which Asterisk doesn't answer.
        let blank = input.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        let blank = blank.count();
        if blank > 0 {
            return Ok(blank);
        }
        let Some(head) = message::head_length(input) else {
            return more(input);
        };
        let (start, rest) = input.split_at_checked(head).ok_or(Broken)?;
        let Some(body) = message::content_length(start) else {
            // Nobody knows where such a message ends; Asterisk drops what it has.
            return Ok(head);
        };
        if body > MAX_MESSAGE.saturating_sub(head) {
            return Err(Broken);
        }
        if rest.len() < body {
            return more(input);
        }
        if let Some(request) = Request::parse(start) {
            out.see(&seen(&request));
            self.messages = self.messages.saturating_add(1);
            let ends = Ends {
                source: self.source,
                port: self.port,
                seed: &self.seed.derive(&format!("message {}", self.messages)),
                now,
            };
            if let Some(answer) = reply(&self.settings, &request, &ends, usize::MAX) {
                out.send(answer);
            }
        }
        Ok(head.saturating_add(body))
    }
}

/// Waits for the rest of a message, unless there's too much of it already.
fn more(input: &[u8]) -> Result<usize, Broken> {
    if input.len() >= MAX_MESSAGE {
        return Err(Broken);
    }
    Ok(0)
}

fn seen(request: &Request) -> SipRequest {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &request.headers {
        let value = printable(value);
        match headers.get_mut(name) {
            Some(Value::String(several)) => {
                several.push_str(", ");
                several.push_str(&value);
            }
            _ => {
                headers.insert(name.clone(), Value::String(value));
            }
        }
    }
    SipRequest { headers }
}
