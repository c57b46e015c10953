//! LDAP as OpenLDAP 2.5 of Debian 12, or Active Directory's domain controller, speaks it with
//! strangers (RFC 4511).
//!
//! OpenLDAP's answers were recorded from Debian's package: a directory that shows strangers its root
//! and its schema's entry alone. Active Directory's were put together from Microsoft's documentation
//! and published traces.

mod ad;
mod controls;
mod dn;
mod filter;
mod message;
mod openldap;
mod reply;
mod sasl;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::{Fault, any};
use coalmine_core::text::cut;
use coalmine_core::{Bird, Context, DecoyKind, Event, EventKind, Out, Service};
use coalmine_wire::ber;
use serde_json::{Map, Value};

/// Longest message that is read, in bytes; the real servers take a quarter of a megabyte and more.
const MAX_MESSAGE: usize = 64 * 1024;

/// LDAP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "ldap",
    title: "LDAP server",
    doc: "Pretends to be OpenLDAP 2.5 of Debian 12, or a domain controller's Active Directory.\nCaptures binds by every method and what is asked without one; common passwords are recovered.\nLDAPS is a service of its own.",
    transports: &[Transport::Tcp],
    port: 389,
    instances: false,
    tls: None,
    events: EVENTS,
    settings: LdapSettings::declared,
    build,
    limits: LIMITS,
    poke: POKE,
};

pub(crate) const EVENTS: &[&EventKind] = &[LdapBind::KIND];

pub(crate) const LIMITS: Limits = Limits {
    // Neither server closes an idle connection sooner.
    idle: Duration::from_secs(900),
    total: Duration::from_secs(3_600),
    ..Limits::LOGIN.input(MAX_MESSAGE + 4_096)
};

pub(crate) const POKE: Poke = Poke::Script(&[
    // The root of the directory.
    Step::Send(
        b"\x30\x35\x02\x01\x01\x63\x30\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\
          \x01\x01\x00\x87\x0bobjectClass\x30\x10\x04\x0enamingContexts",
    ),
    Step::Expect(b"\x02\x01\x01\x65"),
    // A simple bind as `cn=admin`.
    Step::Send(b"\x30\x1c\x02\x01\x02\x60\x17\x02\x01\x03\x04\x08cn=admin\x80\x08password"),
    Step::Expect(b"\x0a\x01\x31\x04\x00"),
]);

coalmine_core::choice! {
    /// Which product is claimed.
    pub enum LdapProduct {
        Auto => "auto",
        OpenLdap => "openldap",
        ActiveDirectory => "active-directory",
    }
}

coalmine_core::settings! {
    /// Settings of the LDAP decoys.
    pub struct LdapSettings {
        /// Which product is claimed.
        /// `auto` is Active Directory on a Windows bird, else OpenLDAP.
        product: LdapProduct => "product" = LdapProduct::Auto, any;
        /// DNS name of the domain that the directory holds, e.g. `corp.example.net`.
        /// Empty means the bird's own; without one OpenLDAP holds `dc=nodomain`, as Debian's does.
        domain: String => "domain" = String::new(), domain;
    }
}

/// A check for the DNS name of a domain.
fn domain(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        let letters = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && label.len() <= 63 && letters
    };
    if !text.is_empty() && (text.len() > 200 || !text.split('.').all(label)) {
        return Err("must be a DNS name, e.g. corp.example.net".to_owned());
    }
    Ok(())
}

coalmine_core::event! {
    /// Somebody tried to log in to the directory, or asked it something without.
    pub struct LdapBind: "ldapbind", "LDAP Bind Attempt Detected", [31001 ""] {
        /// Who wants in: a distinguished name, or the user's name as the method has it.
        /// For other requests the entry that it's about.
        dn: String => "DN" = "cn=admin,dc=corp,dc=example,dc=net",
        /// Binds: `simple`, or the name of the SASL mechanism; `NTLM` also in Microsoft's own way.
        mech: Option<String> => "MECH" = "simple",
        /// Version of the protocol.
        ver: String => "VER" = "3",
        /// A search's filter, an extended request's number, a change's attributes.
        /// Binds by challenge and response: what was sent, as a line that john (format `dmd5`) or hashcat (mode 10200) takes.
        req: Option<String> => "REQ" = "(objectClass=*)",
        /// Searches: the attributes that were asked for, with commas between.
        search_attribute: Option<String> => "SEARCH_ATTRIBUTE" = "namingContexts",
        /// As the client sent it, or where it's a common one that fits what was sent.
        password: Option<String> => "PASSWORD" = "hunter2",
        /// The request: `bind`, `search`, `compare`, `modify`, `add`, `delete`, `modrdn` or `extended`.
        kind: &'static str => "TYPE" = "bind",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "backup::CORP:0123456789abcdef:…:…",
    }
}

impl LdapBind {
    fn new(kind: &'static str, version: i64) -> Self {
        Self {
            dn: String::new(),
            mech: None,
            ver: version.to_string(),
            req: None,
            search_attribute: None,
            password: None,
            kind,
            ntlm_hash: None,
        }
    }

    fn report(&self, out: &mut Out) {
        let short = |text: &Option<String>| text.as_deref().map(cut);
        out.see(&Self {
            dn: cut(&self.dn),
            mech: short(&self.mech),
            ver: self.ver.clone(),
            req: short(&self.req),
            search_attribute: short(&self.search_attribute),
            password: short(&self.password),
            kind: self.kind,
            ntlm_hash: short(&self.ntlm_hash),
        });
    }
}

/// Builds the service, also LDAPS'.
pub(crate) fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = LdapSettings::parse(given)?;
    let host = Host::of(bird, &settings);
    let active_directory = match settings.product {
        LdapProduct::Auto => bird.machine.system.is_windows(),
        LdapProduct::OpenLdap => false,
        LdapProduct::ActiveDirectory => true,
    };
    Ok(if active_directory {
        Service::sessions(Directory(Arc::new(ad::Server::new(bird, &host))))
    } else {
        Service::sessions(Directory(Arc::new(openldap::Server::new(&host))))
    })
}

/// The machine as the directory tells of it.
struct Host {
    name: String,
    netbios_name: String,
    /// DNS name of its domain.
    domain: Option<String>,
    /// Short name of its domain, where it isn't the domain's first label.
    netbios_domain: Option<String>,
    /// Windows' version.
    version: (u8, u8, u16),
}

impl Host {
    fn of(bird: &Bird, settings: &LdapSettings) -> Self {
        let named = Some(settings.domain.clone()).filter(|name| !name.is_empty());
        let own = bird.domain_names().filter(|_| named.is_none());
        let label = bird.name.split('.').next();
        Self {
            name: label.unwrap_or(&bird.name).to_owned(),
            netbios_name: bird.netbios_name(),
            netbios_domain: own.map(|(netbios, _)| netbios.to_owned()),
            domain: named.or_else(|| own.map(|(_, dns)| dns.to_owned())),
            version: bird.machine.system.windows_version(),
        }
    }

    /// With its domain behind its name.
    fn full_name(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{}.{domain}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A server that makes sessions of its own kind.
trait Serve: Send + Sync + 'static {
    fn session(self: Arc<Self>, context: &Context) -> Box<dyn Session>;
}

struct Directory<S>(Arc<S>);

impl<S: Serve> Sessions for Directory<S> {
    fn open(&self, context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Arc::clone(&self.0).session(context)
    }
}

/// The message at the front of `input`, if it's whole.
fn front(input: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some(size) = ber::whole(input).map_err(|_| Broken)? else {
        return Ok(None);
    };
    if size > MAX_MESSAGE {
        return Err(Broken);
    }
    Ok(input.get(..size))
}

/// The tag of the answer to a request, and what it's called.
fn answer_to(op: u8) -> Option<(u8, &'static str)> {
    Some(match op {
        0x60 => (0x61, "bind"),
        0x63 => (0x65, "search"),
        0x66 => (0x67, "modify"),
        0x68 => (0x69, "add"),
        0x4a => (0x6b, "delete"),
        0x6c => (0x6d, "modrdn"),
        0x6e => (0x6f, "compare"),
        0x77 => (0x78, "extended"),
        _ => return None,
    })
}

/// Attributes as an event tells them.
fn listed(names: &[&[u8]]) -> Option<String> {
    let names: Vec<_> = names
        .iter()
        .map(|name| coalmine_core::text::printable(name))
        .collect();
    Some(names.join(",")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
