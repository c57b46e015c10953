//! HTTPS: the same inside TLS; HTTP in the clear is answered as the server in front answers it there.

use coalmine_core::DecoyKind;
use coalmine_core::decoy::{Tls, Transport};

use crate::http;

/// HTTPS server.
pub static KIND: DecoyKind = DecoyKind {
    id: "https",
    title: "HTTPS server",
    doc: "Pretends to be a product with a web login, a fresh Apache or IIS, a Docker API, or your own pages, inside TLS.\n\
          Captures credentials of forms in every encoding and of Basic authentication.",
    transports: &[Transport::Tcp],
    port: 443,
    instances: true,
    tls: Some(Tls {
        alpn: &[b"http/1.1"],
    }),
    events: http::EVENTS,
    settings: http::HttpSettings::declared,
    build: http::build,
    limits: http::LIMITS,
    poke: http::POKE,
};

#[cfg(test)]
mod tests {
    use super::KIND;

    #[test]
    fn holds_what_every_kind_holds() {
        coalmine_core::suite::check(&KIND);
    }
}
