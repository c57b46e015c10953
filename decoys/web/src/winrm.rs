//! Windows Remote Management (MS-WSMV) behind HTTP.sys, until the login that nobody has. What it
//! answers is what published captures show of Windows Server's.

mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::{Fault, any};
use coalmine_core::{Bird, Context, DecoyKind, Event, EventKind, Out, Service};
use serde_json::{Map, Value};

use self::session::{Connection, Listener};
use crate::http::windows::Host;

/// Windows Remote Management.
pub static KIND: DecoyKind = DecoyKind {
    id: "winrm",
    title: "Windows Remote Management",
    doc: "Pretends to be WinRM of a Windows server, over HTTP.\n\
          Captures passwords of Basic authentication, NTLM's responses in the form that hashcat takes, and what Kerberos tickets show.",
    transports: &[Transport::Tcp],
    port: 5985,
    instances: false,
    tls: None,
    events: EVENTS,
    settings: WinrmSettings::declared,
    build,
    limits: LIMITS,
    poke: POKE,
};

pub(crate) const EVENTS: &[&EventKind] = &[WinrmLogin::KIND];

/// HTTP.sys' own times come first.
pub(crate) const LIMITS: Limits = Limits {
    input: 64 * 1024,
    idle: Duration::from_secs(125),
    total: Duration::from_secs(900),
    per_source: 2_500,
    connections: 10_000,
};

/// One wrong login.
pub(crate) const POKE: Poke = Poke::Script(&[
    Step::Send(
        b"POST /wsman HTTP/1.1\r\nHost: poke\r\nContent-Length: 0\r\n\
          Authorization: Basic cG9rZTpwb2tlLWhhcm1sZXNz\r\n\r\n",
    ),
    Step::Expect(b"HTTP/1.1 401 \r\n"),
    Step::Drain,
]);

coalmine_core::settings! {
    /// Settings of Windows Remote Management.
    pub struct WinrmSettings {
        /// Whether Basic authentication is offered, as administrators turn it on for tools that know nothing else.
        /// Passwords of clients that don't wait for the offer are captured either way.
        basic: bool => "basic" = false, any;
    }
}

coalmine_core::event! {
    /// Somebody tried to log in to Windows Remote Management.
    pub struct WinrmLogin: "winrmlogin", "WinRM Login Attempt", [29001 ""] {
        /// How: `basic`, `ntlm`, `kerberos`, `certificate`, `digest` or `unknown`.
        auth_type: &'static str => "AUTHTYPE" = "ntlm",
        /// As the client sent it; of NTLM without the domain.
        username: Option<String> => "USERNAME" = "backup",
        /// As the client sent it; Basic only.
        password: Option<String> => "PASSWORD" = "hunter2",
        /// The client's own name; NTLM only.
        workstation: Option<String> => "WORKSTATION" = "WKS-17",
        /// The user's domain; NTLM only.
        domain: Option<String> => "DOMAINNAME" = "CORP",
        /// As the client sent it.
        user_agent: Option<String> => "USERAGENT" = "Microsoft WinRM Client",
        /// The service that a ticket is for.
        service: Option<String> => "SNAME" = "HTTP/srv-01.corp.example.net",
        /// The ticket's realm.
        realm: Option<String> => "REALM" = "CORP.EXAMPLE.NET",
        /// Version of the ticket's format.
        ticket_version: Option<String> => "TKTVNO" = "5",
        /// Body of the request: SOAP.
        payload: Option<String> => "WINRMPAYLOAD" = "<s:Envelope>…</s:Envelope>",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "backup::CORP:0123456789abcdef:…:…",
    }
}

/// Builds the service from its settings.
pub(crate) fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = WinrmSettings::parse(given)?;
    let listener = Arc::new(Listener {
        host: Host::of(bird),
        basic: settings.basic,
        in_domain: bird.machine.domain.is_some(),
    });
    Ok(Service::sessions(Server(listener)))
}

struct Server(Arc<Listener>);

impl Sessions for Server {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        Box::new(Connection::open(&self.0, context, out))
    }
}
