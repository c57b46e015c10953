//! What Asterisk answers strangers, header by header.

use std::net::IpAddr;

use coalmine_core::{Seed, Timestamp};

use super::SipSettings;
use super::message::{Parameters, Party, Request, Via};

/// What `chan_pjsip` and its modules can do, as its traces show it.
const ACCEPT: &str = "application/xpidf+xml, application/cpim-pidf+xml, application/dialog-info+xml, application/simple-message-summary, application/pidf+xml, application/pidf+xml, application/dialog-info+xml, application/simple-message-summary, application/sdp, message/sipfrag;version=2.0";
const ALLOW: &str = "OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE, REFER";
const SUPPORTED: &str = "100rel, timer, replaces, norefersub";

/// Where a request came from, and what makes its answer its own.
pub(super) struct Ends<'a> {
    pub(super) source: IpAddr,
    pub(super) port: u16,
    pub(super) seed: &'a Seed,
    pub(super) now: Timestamp,
}

/// The answer to `request`, at most `room` bytes of it: where the whole has no room, the fullest of
/// its shorter forms; `None` where there's no answer at all.
pub(super) fn reply(
    settings: &SipSettings,
    request: &Request,
    ends: &Ends<'_>,
    room: usize,
) -> Option<Vec<u8>> {
    let server = ("Server", settings.user_agent.as_str());
    let (status, forced, variants): (&str, bool, Vec<Vec<(&str, String)>>) =
        match request.method.as_slice() {
            // Acknowledgements are never answered (RFC 3261 section 17).
            b"ACK" => return None,
            // There are no dialogues and no transactions that these could belong to.
            b"BYE" | b"CANCEL" => {
                let whole = vec![owned(server)];
                let variants = vec![whole, Vec::new()];
                ("481 Call/Transaction Does Not Exist", false, variants)
            }
            b"OPTIONS" => {
                let status = if request.has_user {
                    "404 Not Found"
                } else {
                    "200 OK"
                };
                (status, true, options(server))
            }
            _ => ("401 Unauthorized", true, challenges(settings, server, ends)),
        };
    let start = start(status, request, ends, forced);
    variants.iter().find_map(|headers| {
        let mut answer = start.clone();
        for (name, value) in headers {
            put(&mut answer, name, value.as_bytes());
        }
        // Two spaces: pjsip leaves room for more digits.
        answer.extend(b"Content-Length:  0\r\n\r\n");
        (answer.len() <= room).then_some(answer)
    })
}

fn owned((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

/// The headers of an answer to OPTIONS, the whole of them first.
fn options(server: (&'static str, &str)) -> Vec<Vec<(&'static str, String)>> {
    let all = [
        ("Accept", ACCEPT),
        ("Allow", ALLOW),
        ("Supported", SUPPORTED),
        ("Accept-Encoding", "text/plain"),
        ("Accept-Language", "en"),
        server,
    ];
    let without = |gone: &[&str]| {
        let kept = all.iter().filter(|(name, _)| !gone.contains(name));
        kept.map(|header| owned(*header)).collect::<Vec<_>>()
    };
    vec![
        without(&[]),
        without(&["Accept"]),
        without(&["Accept", "Accept-Encoding", "Accept-Language"]),
        without(&["Accept", "Accept-Encoding", "Accept-Language", "Supported"]),
        without(&[
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Supported",
            "Allow",
        ]),
    ]
}

/// The headers of a challenge, the whole of them first. The nonce is the time and a digest, as
/// `res_pjsip_authenticator_digest` makes it.
fn challenges(
    settings: &SipSettings,
    server: (&'static str, &str),
    ends: &Ends<'_>,
) -> Vec<Vec<(&'static str, String)>> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let digest = hex(&ends.seed.take::<16>("sip nonce"));
    let opaque = hex(&ends.seed.take::<8>("sip opaque"));
    let short = hex(&ends.seed.take::<4>("sip nonce"));
    let realm = &settings.realm;
    let nonce = format!("{}/{digest}", ends.now.secs());
    let whole = format!(
        "Digest realm=\"{realm}\",nonce=\"{nonce}\",opaque=\"{opaque}\",algorithm=md5,qop=\"auth\""
    );
    let plain = format!("Digest realm=\"{realm}\",nonce=\"{nonce}\",algorithm=md5");
    let least = format!("Digest realm=\"{realm}\",nonce=\"{short}\"");
    let challenge = |text: &str| ("WWW-Authenticate", text.to_owned());
    vec![
        vec![challenge(&whole), owned(server)],
        vec![challenge(&plain), owned(server)],
        vec![challenge(&plain)],
        vec![challenge(&least)],
    ]
}

/// Status line and what is repeated of the request, in pjsip's order.
fn start(status: &str, request: &Request, ends: &Ends<'_>, forced: bool) -> Vec<u8> {
    let mut answer = format!("SIP/2.0 {status}\r\n").into_bytes();
    for (index, via) in request.vias.iter().enumerate() {
        let ends = (index == 0).then_some(ends);
        put(&mut answer, "Via", &via_text(via, ends, forced));
    }
    let routes = request.headers.iter().filter(|(n, _)| n == "record-route");
    for (_, route) in routes {
        put(&mut answer, "Record-Route", route);
    }
    put(&mut answer, "Call-ID", &request.call_id);
    put(&mut answer, "From", &party_text(&request.from, None));
    // The tag of the far end is the branch of the request (RFC 3261 section 8.2.6.2).
    let branch = request
        .vias
        .first()
        .and_then(|via| find(&via.parameters, b"branch"));
    put(&mut answer, "To", &party_text(&request.to, branch));
    let (count, method) = &request.sequence;
    let mut sequence = format!("{count} ").into_bytes();
    sequence.extend(method);
    put(&mut answer, "CSeq", &sequence);
    answer
}

fn put(answer: &mut Vec<u8>, name: &str, value: &[u8]) {
    answer.extend(name.bytes());
    answer.extend(b": ");
    answer.extend(value);
    answer.extend(b"\r\n");
}

fn find<'a>(parameters: &'a Parameters, name: &[u8]) -> Option<&'a [u8]> {
    let found = parameters.iter().find(|(n, _)| n == name);
    found.and_then(|(_, value)| value.as_deref())
}

/// A hop; the first one with the address that it really has (RFC 3261 section 18.2.1, RFC 3581).
fn via_text(via: &Via, ends: Option<&Ends<'_>>, forced: bool) -> Vec<u8> {
    let mut text = b"SIP/2.0/".to_vec();
    text.extend(&via.transport);
    text.push(b' ');
    text.extend(&via.sent_by);
    let known: [&[u8]; 5] = [b"ttl", b"rport", b"maddr", b"received", b"branch"];
    for name in known {
        let sent = via.parameters.iter().find(|(n, _)| n == name);
        let own = match (name, ends) {
            (b"rport", Some(ends)) if forced || sent.is_some_and(|(_, value)| value.is_none()) => {
                Some(ends.port.to_string().into_bytes())
            }
            (b"received", Some(ends)) => Some(ends.source.to_string().into_bytes()),
            _ => None,
        };
        match (own, sent) {
            (Some(own), _) => put_parameter(&mut text, name, Some(&own)),
            (None, Some((_, value))) => put_parameter(&mut text, name, value.as_deref()),
            (None, None) => {}
        }
    }
    let others = via.parameters.iter();
    for (name, value) in others.filter(|(n, _)| !known.contains(&n.as_slice())) {
        put_parameter(&mut text, name, value.as_deref());
    }
    text
}

/// A party; with `tag` if it has none yet.
fn party_text(party: &Party, tag: Option<&[u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    if !party.display.is_empty() {
        text.push(b'"');
        text.extend(&party.display);
        text.extend(b"\" ");
    }
    text.push(b'<');
    text.extend(&party.uri);
    text.push(b'>');
    if let Some(tag) = party.tag().or(tag) {
        put_parameter(&mut text, b"tag", Some(tag));
    }
    for (name, value) in party.parameters.iter().filter(|(n, _)| n != b"tag") {
        put_parameter(&mut text, name, value.as_deref());
    }
    text
}

fn put_parameter(text: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    text.push(b';');
    text.extend(name);
    if let Some(value) = value {
        text.push(b'=');
        text.extend(value);
    }
}
