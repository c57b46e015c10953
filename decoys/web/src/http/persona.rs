//! Which server stands before the site: it decides how requests are read and what every answer
//! looks like.

use std::time::Duration;

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persona {
    /// nginx 1.22.
    Nginx,
    /// Apache httpd 2.4 as Debian packs it.
    Apache,
    /// IIS 10 behind HTTP.sys.
    Iis,
    /// An application with Go's `net/http` server.
    Go,
}

impl Persona {
    /// The server that a `Server` header names, if it names one of them.
    pub(crate) fn of(banner: &str) -> Option<Self> {
        let banner = banner.to_ascii_lowercase();
        let named = |word: &str| banner.contains(word);
        if named("apache") {
            Some(Self::Apache)
        } else if named("microsoft-iis") {
            Some(Self::Iis)
        } else if named("nginx") {
            Some(Self::Nginx)
        } else {
            None
        }
    }

    /// Its `Server` header where the operator gave none.
    pub(crate) const fn server(self) -> &'static str {
        match self {
            Self::Nginx => "nginx/1.22.1",
            Self::Apache => "Apache/2.4.71 (Debian)",
            Self::Iis => "Microsoft-IIS/10.0",
            Self::Go => "Docker/20.10.24+dfsg1 (linux)",
        }
    }

    /// Requests of one connection (`keepalive_requests`, `MaxKeepAliveRequests`).
    pub(crate) const fn requests(self) -> u32 {
        match self {
            Self::Nginx => 1_000,
            Self::Apache => 100,
            Self::Iis | Self::Go => u32::MAX,
        }
    }

    /// Silence between requests.
    pub(crate) const fn keep_alive(self) -> Duration {
        Duration::from_secs(match self {
            Self::Nginx => 75,
            Self::Apache => 5,
            // The driver's own bound comes first.
            Self::Iis | Self::Go => 120,
        })
    }

    /// Silence while a head or a body is due.
    pub(crate) const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Nginx => 60,
            Self::Apache => 20,
            Self::Iis | Self::Go => 120,
        })
    }

    /// Body that is taken, in bytes (`client_max_body_size`, `LimitRequestBody`,
    /// `maxAllowedContentLength`).
    pub(crate) const fn max_body(self) -> u64 {
        match self {
            Self::Nginx => 1024 * 1024,
            Self::Apache | Self::Go => 1024 * 1024 * 1024,
            Self::Iis => 30_000_000,
        }
    }

    /// Whether every answer waits for the body.
    pub(crate) const fn waits(self) -> bool {
        !matches!(self, Self::Nginx)
    }
}
