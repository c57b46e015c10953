//! HTTP: a product with a login page, a server as it was installed, an API, or the operator's own
//! pages; behind nginx 1.22.1, Apache httpd 2.4, IIS 10 or Go's own server.
//!
//! Answers to malformed requests are the real server's, for nginx and Apache byte for byte; the
//! recorded conversations lie in `http/testdata`.

mod apache;
mod docker;
mod golang;
pub(crate) mod head;
pub(crate) mod iis;
pub(crate) mod lines;
pub(crate) mod login;
pub(crate) mod parse;
pub(crate) mod persona;
mod postdata;
mod reply;
mod scan;
mod session;
mod site;
mod skin;
mod skins;
pub(crate) mod status;
mod webroot;
pub(crate) mod windows;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::{Fault, FilePath, any, one_line, pause};
use coalmine_core::{Bird, Context, DecoyKind, Event, EventKind, Out, Service};
use serde_json::{Map, Value, json};

use self::persona::Persona;
use self::session::Connection;
use self::site::Site;
use self::windows::Host;

/// Further response headers that an operator may set.
const MAX_HEADERS: usize = 32;

/// HTTP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "http",
    title: "HTTP server",
    doc: "Pretends to be a product with a web login, a fresh Apache or IIS, a Docker API, or your own pages.\n\
          Captures credentials of forms in every encoding and of Basic authentication.",
    transports: &[Transport::Tcp],
    port: 80,
    instances: true,
    tls: None,
    events: EVENTS,
    settings: HttpSettings::declared,
    build,
    limits: LIMITS,
    poke: POKE,
};

/// What a web decoy can see.
pub(crate) const EVENTS: &[&EventKind] = &[
    HttpPageLoad::KIND,
    HttpLogin::KIND,
    HttpScan::KIND,
    HttpApi::KIND,
    HttpPostError::KIND,
];

/// The driver's bounds: nginx's own come first.
pub(crate) const LIMITS: Limits = Limits {
    input: 64 * 1024,
    idle: Duration::from_secs(80),
    total: Duration::from_secs(3_600),
    per_source: 2_500,
    connections: 10_000,
};

/// One wrong login.
pub(crate) const POKE: Poke = Poke::Script(&[
    Step::Send(
        b"POST / HTTP/1.1\r\nHost: poke\r\nContent-Type: application/x-www-form-urlencoded\r\n\
          Content-Length: 36\r\n\r\nusername=poke&password=poke-harmless",
    ),
    Step::Expect(b"HTTP/1.1 "),
    Step::Drain,
]);

coalmine_core::choice! {
    /// Which product is shown.
    pub enum Look {
        Nas => "nasLogin", Basic => "basicLogin", Router => "routerLogin",
        Apache => "apacheDefault", Iis => "iisStart", Docker => "dockerApi"
    }
}

coalmine_core::settings! {
    /// Settings of the web decoys.
    pub struct HttpSettings {
        /// The `Server` header; empty means the product's own.
        /// One that names Apache, Microsoft-IIS or nginx makes every answer that server's.
        banner: String => "banner" = String::new(), one_line;
        /// Which product is shown.
        skin: Look => "skin" = Look::Nas, any;
        /// Whether IIS asks for Windows' logins (NTLM and Negotiate) on every page, as on an intranet.
        windows_authentication: bool => "windows_authentication" = false, any;
        /// Whether `headers.items` are sent.
        headers_enabled: bool => "headers.enabled" = false, any;
        /// Further headers of every answer, each `Name: value`.
        headers_items: Vec<String> => "headers.items" = Vec::new(), header_lines;
        /// Whether every page load raises an alert; noisy.
        page_load_alerts: bool => "page_load_alerts" = false, any;
        /// A folder or zip archive with pages of your own, shown instead of the skin's.
        userwebroot: FilePath => "userwebroot" = FilePath::default(), any;
        /// How long the product thinks about wrong credentials, in milliseconds, give or take a third.
        login_delay_ms: u16 => "login_delay_ms" = 475, pause;
    }
}

coalmine_core::event! {
    /// Somebody loaded a page. Off unless asked for.
    pub struct HttpPageLoad: "httpload", "HTTP Page Load",
        [3000 "GET", 3002 "POST to a page that is no login", 3003 "error page"] {
        /// Requested path with query.
        path: String => "PATH" = "/index.html?lang=en",
        /// As the client sent it.
        user_agent: String => "USERAGENT" = "curl/7.88.1",
        /// `TLS` on an encrypted site.
        channel: Option<&'static str> => "CHANNEL" = "TLS",
        /// Method of the request.
        method: String => "METHOD" = "GET",
        /// Status code sent.
        response: u16 => "RESPONSE" = 200,
        /// Name of the web skin.
        skin: &'static str => "SKIN" = "nasLogin",
        /// Host that was asked for.
        hostname: Option<String> => "HOSTNAME" = "files-02.corp.example",
    }
}

coalmine_core::event! {
    /// Somebody tried to log in to a web page.
    pub struct HttpLogin: "httplogin", "HTTP Login Attempt", [3001 ""] {
        /// As the client sent it; of NTLM behind its domain and a backslash.
        username: String => "USERNAME" = "admin",
        /// As the client sent it; empty for NTLM.
        password: String => "PASSWORD" = "hunter2",
        /// Requested path with query.
        path: String => "PATH" = "/login",
        /// As the client sent it.
        user_agent: String => "USERAGENT" = "Mozilla/5.0 (X11; Linux x86_64)",
        /// `TLS` on an encrypted site.
        channel: Option<&'static str> => "CHANNEL" = "TLS",
        /// Method of the request.
        method: String => "METHOD" = "POST",
        /// Status code sent.
        response: u16 => "RESPONSE" = 401,
        /// Name of the web skin.
        skin: &'static str => "SKIN" = "nasLogin",
        /// Host that was asked for.
        hostname: Option<String> => "HOSTNAME" = "files-02.corp.example",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "anna::CORP:0123456789abcdef:…:…",
    }
}

coalmine_core::event! {
    /// One source asked for many pages that don't exist.
    pub struct HttpScan: "httpscan", "HTTP Service Scan", [3004 "many random paths from one source"], no timestamps {
        /// Method of the request that showed the scan.
        method: String => "METHOD" = "GET",
        /// Its path.
        path: String => "PATH" = "/wp-admin/",
        /// Status code sent.
        response: u16 => "RESPONSE" = 404,
    }
}

coalmine_core::event! {
    /// Somebody sent a request to an API.
    pub struct HttpApi: "httpapi", "HTTP API Request", [3005 "a skin that serves an API"] {
        /// Fields of the request.
        headers: Map<String, Value> => "HEADERS" = json!({"Host": "files-02.corp.example:2375", "User-Agent": "Docker-Client/20.10.24 (linux)", "Content-Type": "application/json"}),
        /// Host that was asked for.
        hostname: String => "HOSTNAME" = "files-02.corp.example",
        /// Method of the request.
        method: String => "METHOD" = "POST",
        /// Requested path with query.
        path: String => "PATH" = "/v1.41/containers/create",
        /// Body of the request: a JSON object or a form by its names, anything else under `data`.
        postdata: Map<String, Value> => "POSTDATA" = json!({"Image": "alpine", "Cmd": ["sh"]}),
        /// Status code sent.
        response: u16 => "RESPONSE" = 404,
        /// Name of the web skin.
        skin: &'static str => "SKIN" = "dockerApi",
        /// As the client sent it.
        user_agent: String => "USERAGENT" = "Docker-Client/20.10.24 (linux)",
    }
}

coalmine_core::event! {
    /// Somebody sent data to a page that answered with an error.
    pub struct HttpPostError: "httpposterror", "HTTP Post Request to an Error Page", [3006 ""] {
        /// Requested path with query.
        path: String => "PATH" = "/cgi-bin/luci",
        /// As the client sent it.
        user_agent: String => "USERAGENT" = "python-requests/2.31.0",
        /// `TLS` on an encrypted site.
        channel: Option<&'static str> => "CHANNEL" = "TLS",
        /// Method of the request.
        method: String => "METHOD" = "POST",
        /// Status code sent.
        response: u16 => "RESPONSE" = 404,
        /// Name of the web skin.
        skin: &'static str => "SKIN" = "nasLogin",
    }
}

/// Builds a site from its settings.
pub(crate) fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = HttpSettings::parse(given)?;
    let own = webroot::read(&settings.userwebroot)
        .map_err(|problem| vec![Fault::new("userwebroot", problem)])?;
    let mut site = skin::site(&settings, bird, own);
    if settings.windows_authentication {
        if site.persona != Persona::Iis {
            let problem = "needs IIS: take the skin iisStart, or a banner that names Microsoft-IIS";
            return Err(vec![Fault::new("windows_authentication", problem)]);
        }
        site.windows = Some(Host::of(bird));
    }
    let site = Arc::new(site);
    Ok(Service::sessions(Server { site }))
}

struct Server {
    site: Arc<Site>,
}

impl Sessions for Server {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        Box::new(Connection::open(&self.site, context, out))
    }
}

/// A check for lists of `Name: value`.
fn header_lines(items: &Vec<String>) -> Result<(), String> {
    if items.len() > MAX_HEADERS {
        return Err(format!("has {} items; at most {MAX_HEADERS}", items.len()));
    }
    for item in items {
        one_line(item).map_err(|problem| format!("{item:?} {problem}"))?;
        let name = item.split_once(':').map(|(name, _)| name.trim());
        let is_token = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !name.is_some_and(is_token) {
            return Err(format!("{item:?} isn't of the form Name: value"));
        }
    }
    Ok(())
}
