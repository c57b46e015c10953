//! HTTP proxies that ask for a login nobody has: Squid 5.7 as Debian 12 ships it, or Microsoft ISA
//! Server 2006. Nothing is forwarded, nothing resolved.
//!
//! Squid was recorded with Debian's own access rules and Basic and Digest authentication; the
//! recorded conversations lie in `httpproxy/testdata`. The ISA Server's status lines and header
//! fields are those of published captures.

mod auth;
mod isa;
mod request;
mod session;
mod squid;
mod url;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::passwords::Searches;
use coalmine_core::settings::{any, one_line};
use coalmine_core::{Context, DecoyKind, Event, Out, Service};

use self::session::{Connection, Skin};

use crate::http::windows::Host;

/// HTTP proxy.
pub static KIND: DecoyKind = DecoyKind {
    id: "httpproxy",
    title: "HTTP proxy",
    doc: "Pretends to be a web proxy that asks for a login; forwards nothing.\n\
          Captures every URL asked for, and credentials of Basic, Digest and NTLM authentication.",
    transports: &[Transport::Tcp],
    port: 8080,
    instances: false,
    tls: None,
    events: &[HttpProxy::KIND],
    settings: HttpProxySettings::declared,
    build: |given, bird| {
        let settings = HttpProxySettings::parse(given)?;
        let or = |usual: &str| match settings.banner.as_str() {
            "" => usual.to_owned(),
            banner => banner.to_owned(),
        };
        let skin = match settings.skin {
            Look::Squid => Skin::Squid(squid::Squid {
                host: bird.name.clone(),
                product: or("squid/5.7"),
                seed: bird.seed.clone(),
            }),
            Look::MsIsa => Skin::Isa(isa::Isa {
                name: or(&bird.name.to_uppercase()),
                host: Host::of(bird),
            }),
        };
        Ok(Service::sessions(Proxy {
            skin: Arc::new(skin),
            searches: Arc::default(),
        }))
    },
    limits: Limits {
        input: 2 * request::MAX_HEAD,
        idle: Duration::from_secs(310),
        total: Duration::from_secs(3_600),
        per_source: 2_500,
        connections: 10_000,
    },
    poke: Poke::Script(&[
        Step::Send(
            b"GET http://poke.invalid/ HTTP/1.1\r\nHost: poke.invalid\r\nUser-Agent: poke\r\n\
              Proxy-Authorization: Basic cG9rZTpwb2tlLWhhcm1sZXNz\r\n\r\n",
        ),
        Step::Expect(b"HTTP/1.1 407 Proxy Authentication Required"),
        Step::Drain,
    ]),
};

coalmine_core::choice! {
    /// Which proxy is claimed.
    pub enum Look { Squid => "squid", MsIsa => "ms-isa" }
}

coalmine_core::settings! {
    /// Settings of the proxy decoy.
    pub struct HttpProxySettings {
        /// What the proxy calls itself: under `squid` the product in `Server` and `Via`, under `ms-isa` the machine in `Via` and in the login's realm.
        /// Empty means `squid/5.7`, and the bird's name in capitals.
        banner: String => "banner" = String::new(), one_line;
        /// Which proxy is claimed.
        skin: Look => "skin" = Look::Squid, any;
    }
}

coalmine_core::event! {
    /// Somebody asked the proxy for something.
    pub struct HttpProxy: "httpproxy", "HTTP Proxy Request", [7001 ""] {
        /// User name, if the client sent credentials; of NTLM behind its domain and a backslash.
        username: Option<String> => "USERNAME" = "jsmith",
        /// Password, if the client sent one.
        /// Of Digest authentication the password where it's a common one, else the digest as `john` takes it (format `hdaa`).
        password: Option<String> => "PASSWORD" = "hunter2",
        /// What was asked for, as the client sent it; `host:port` of a tunnel.
        url: String => "URL" = "http://www.example.com/",
        /// As the client sent it; empty where it sent none.
        user_agent: String => "USERAGENT" = "curl/7.88.1",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "jsmith::CORP:0123456789abcdef:…:…",
    }
}

struct Proxy {
    skin: Arc<Skin>,
    searches: Arc<Searches>,
}

impl Sessions for Proxy {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        Box::new(Connection::open(&self.skin, &self.searches, context, out))
    }
}
