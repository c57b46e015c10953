//! LDAPS: the directory server inside TLS from the first byte, where more mechanisms take passwords.

use coalmine_core::DecoyKind;
use coalmine_core::decoy::{Tls, Transport};

use crate::ldap;

/// LDAP server inside TLS.
pub static KIND: DecoyKind = DecoyKind {
    id: "ldaps",
    title: "LDAPS server",
    doc: "Pretends to be the same directory server as LDAP, inside TLS.\nCaptures the same binds and requests.",
    transports: &[Transport::Tcp],
    port: 636,
    instances: false,
    tls: Some(Tls { alpn: &[] }),
    events: ldap::EVENTS,
    settings: ldap::LdapSettings::declared,
    build: ldap::build,
    limits: ldap::LIMITS,
    poke: ldap::POKE,
};

#[cfg(test)]
mod tests {
    use super::KIND;

    #[test]
    fn holds_what_every_kind_holds() {
        coalmine_core::suite::check(&KIND);
    }
}
