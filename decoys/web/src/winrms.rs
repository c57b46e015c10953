//! Windows Remote Management inside TLS; in the clear HTTP.sys says nothing there.

use coalmine_core::DecoyKind;
use coalmine_core::decoy::{Tls, Transport};

use crate::winrm;

/// Windows Remote Management inside TLS.
pub static KIND: DecoyKind = DecoyKind {
    id: "winrms",
    title: "Windows Remote Management over HTTPS",
    doc: "Pretends to be WinRM of a Windows server, inside TLS.\nCaptures the same logins.",
    transports: &[Transport::Tcp],
    port: 5986,
    instances: false,
    tls: Some(Tls {
        alpn: &[b"http/1.1"],
    }),
    events: winrm::EVENTS,
    settings: winrm::WinrmSettings::declared,
    build: winrm::build,
    limits: winrm::LIMITS,
    poke: winrm::POKE,
};

#[cfg(test)]
mod tests {
    use super::KIND;

    #[test]
    fn holds_what_every_kind_holds() {
        coalmine_core::suite::check(&KIND);
    }
}
