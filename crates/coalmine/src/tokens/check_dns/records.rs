//! What the parent zone, or a network's own resolvers, must be told.

use std::net::{IpAddr, SocketAddr};

use coalmine_client::DnsPlan;

/// Time to live of the records that are proposed.
const TTL: u32 = 3600;
/// Top-level domains that are nobody's in public (RFC 6761, 6762, 8375, 9476; ICANN's `internal`,
/// and those that networks use by habit).
const NOT_PUBLIC: &[&str] = &[
    "test",
    "local",
    "internal",
    "lan",
    "home",
    "corp",
    "private",
    "intranet",
    "arpa",
    "invalid",
    "alt",
    "onion",
    "localhost",
    "example",
];

/// One zone of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Without the last dot, in lower case.
    pub name: String,
    /// What lives there.
    pub role: Role,
    /// Whether it lies inside another of the zones, so that its names lead here already.
    pub inside: bool,
}

/// What lives in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Tokens.
    Tokens,
    /// Names that don't exist.
    Nx,
    /// Tokens, in a domain of the owner's own.
    Own,
}

impl Role {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Tokens => "the zone of tokens",
            Self::Nx => "the zone of names that don't exist",
            Self::Own => "a domain of your own",
        }
    }
}

/// The zones there are.
pub fn zones(plan: &DnsPlan) -> Vec<Zone> {
    let mut named = vec![(plan.zone.as_str(), Role::Tokens)];
    named.extend(plan.nx_zone.as_deref().map(|nx| (nx, Role::Nx)));
    named.extend(plan.domains.iter().map(|own| (own.as_str(), Role::Own)));
    let names: Vec<String> = named.iter().map(|(name, _)| plain(name)).collect();
    let mut zones: Vec<Zone> = Vec::new();
    for (name, role) in named {
        let name = plain(name);
        if zones.iter().any(|zone| zone.name == name) {
            continue;
        }
        let inside = names.iter().any(|other| is_below(&name, other));
        zones.push(Zone { name, role, inside });
    }
    zones
}

/// Whether `name` lies below `zone`.
pub fn is_below(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone)
        .is_some_and(|front| front.ends_with('.'))
}

/// Whether the whole world could have a zone of this name delegated.
pub fn can_be_public(zone: &str) -> bool {
    let last = zone.rsplit('.').next().unwrap_or_default();
    zone.contains('.') && !NOT_PUBLIC.contains(&last)
}

/// Whether the whole world could reach this address.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // RFC 6598: carriers' own.
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

/// The name server of a zone.
pub fn server(plan: &DnsPlan, zone: &str) -> String {
    format!("{}.{zone}", plan.name_server)
}

/// `A` or `AAAA`.
pub const fn address_type(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    }
}

/// The records that delegate a zone, as lines of its parent's zone file.
pub fn delegation(plan: &DnsPlan, zone: &str) -> [String; 2] {
    let server = server(plan, zone);
    let address = plan.public_address;
    [
        format!("{zone}. {TTL} IN NS {server}."),
        format!("{server}. {TTL} IN {} {address}", address_type(address)),
    ]
}

/// The same in words, for forms.
pub fn delegation_in_words(plan: &DnsPlan, zone: &str) -> Vec<String> {
    let server = server(plan, zone);
    let address = plan.public_address;
    let kind = address_type(address);
    let (first, parent) = zone.split_once('.').unwrap_or((zone, ""));
    if !parent.contains('.') {
        // A domain of its own: registrars have forms for that.
        return vec![
            format!("Where {zone} is registered:"),
            format!(
                "  1. add a host record (glue, \"child name server\") {server} with the address {address}"
            ),
            format!("  2. make {server} the domain's only name server"),
        ];
    }
    vec![
        format!("Where the records of {parent} are kept:"),
        format!("  1. type NS, name {first} (that is {zone}), value {server}"),
        format!(
            "  2. type {kind}, name {}.{first} (that is {server}), value {address}",
            plan.name_server
        ),
        "  No other records for these names: no CNAME, no wildcard, no proxy or \"orange cloud\"."
            .to_owned(),
    ]
}

/// The lines by which a network's resolvers are told, product by product.
pub fn forwarders(
    plan: &DnsPlan,
    at: SocketAddr,
    zones: &[Zone],
) -> Vec<(&'static str, Vec<String>)> {
    let (address, port) = (at.ip(), at.port());
    let names: Vec<&str> = zones
        .iter()
        .filter(|zone| !zone.inside)
        .map(|zone| zone.name.as_str())
        .collect();
    let mut windows: Vec<String> = names
        .iter()
        .map(|zone| {
            format!(
                "Add-DnsServerConditionalForwarderZone -Name \"{zone}\" -MasterServers {address} -ReplicationScope Forest"
            )
        })
        .collect();
    if port != 53 {
        windows.push(format!(
            "# Windows forwards to port 53 alone, and the channel listens on {port}: redirect 53 to it."
        ));
    }
    let bind = names.iter().flat_map(|zone| {
        [
            format!("zone \"{zone}\" {{ type forward; forward only; forwarders {{ {address} port {port}; }}; }};"),
            format!("// in options: validate-except {{ \"{zone}\"; }};"),
        ]
    });
    let unbound = names.iter().flat_map(|zone| {
        let mut server = vec![
            "server:".to_owned(),
            format!("    domain-insecure: \"{zone}\""),
            format!("    private-domain: \"{zone}\""),
            // It answers some by itself, e.g. all below `test` (unbound.conf(5), local-zone).
            format!("    local-zone: \"{zone}.\" transparent"),
        ];
        if plan.public_address.is_loopback() {
            server.push("    do-not-query-localhost: no".to_owned());
        }
        server.extend([
            "stub-zone:".to_owned(),
            format!("    name: \"{zone}\""),
            format!("    stub-addr: {address}@{port}"),
        ]);
        server
    });
    let dnsmasq = names.iter().flat_map(|zone| {
        [
            format!("server=/{zone}/{address}#{port}"),
            format!("rebind-domain-ok=/{zone}/"),
        ]
    });
    vec![
        ("Windows DNS (PowerShell)", windows),
        ("BIND (named.conf)", bind.collect()),
        ("unbound (unbound.conf)", unbound.collect()),
        ("dnsmasq (dnsmasq.conf)", dnsmasq.collect()),
    ]
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn plan() -> DnsPlan {
        DnsPlan {
            zone: "Tokens.example.com.".to_owned(),
            nx_zone: Some("nx.tokens.example.com".to_owned()),
            domains: vec!["docs.example.org".to_owned()],
            public_address: [198, 51, 100, 7].into(),
            name_server: "ns1".to_owned(),
            listens: Some("0.0.0.0:53".parse().unwrap()),
        }
    }

    #[test]
    fn zones_inside_others_need_nothing_of_their_own() {
        let zones = zones(&plan());
        let told: Vec<(&str, bool)> = zones.iter().map(|z| (z.name.as_str(), z.inside)).collect();
        assert_eq!(
            told,
            [
                ("tokens.example.com", false),
                ("nx.tokens.example.com", true),
                ("docs.example.org", false)
            ]
        );
        assert!(!is_below("evil-example.com", "example.com"));
        assert!(!is_below("example.com", "example.com"));
    }

    #[test]
    fn records_are_lines_of_a_zone_file_and_words_for_forms() {
        assert_eq!(
            delegation(&plan(), "tokens.example.com"),
            [
                "tokens.example.com. 3600 IN NS ns1.tokens.example.com.",
                "ns1.tokens.example.com. 3600 IN A 198.51.100.7"
            ]
        );
        let words = delegation_in_words(&plan(), "tokens.example.com").join("\n");
        assert!(words.contains(
            "type NS, name tokens (that is tokens.example.com), value ns1.tokens.example.com"
        ));
        assert!(words.contains(
            "type A, name ns1.tokens (that is ns1.tokens.example.com), value 198.51.100.7"
        ));
        let six = DnsPlan {
            public_address: "2001:db8::7".parse().unwrap(),
            ..plan()
        };
        assert!(delegation(&six, "t.example")[1].ends_with("IN AAAA 2001:db8::7"));
        let words = delegation_in_words(&plan(), "decoy.net").join("\n");
        assert!(words.contains("host record") && words.contains("only name server"));
    }

    #[test]
    fn resolvers_of_four_makers_are_told_address_and_port() {
        let plan = DnsPlan {
            zone: "tokens.test".to_owned(),
            nx_zone: Some("nx.tokens.test".to_owned()),
            domains: vec!["wiki.corp".to_owned()],
            ..plan()
        };
        let at = "192.0.2.7:10053".parse().unwrap();
        let all = forwarders(&plan, at, &zones(&plan));
        let of = |product: &str| {
            let found = all.iter().find(|(name, _)| name.starts_with(product));
            found.unwrap().1.join("\n")
        };
        assert_eq!(
            of("Windows"),
            "Add-DnsServerConditionalForwarderZone -Name \"tokens.test\" -MasterServers 192.0.2.7 -ReplicationScope Forest\n\
             Add-DnsServerConditionalForwarderZone -Name \"wiki.corp\" -MasterServers 192.0.2.7 -ReplicationScope Forest\n\
             # Windows forwards to port 53 alone, and the channel listens on 10053: redirect 53 to it."
        );
        assert!(of("BIND").contains("forwarders { 192.0.2.7 port 10053; };"));
        let unbound = of("unbound");
        assert!(unbound.contains("local-zone: \"tokens.test.\" transparent"));
        assert!(unbound.contains("stub-addr: 192.0.2.7@10053"));
        assert!(of("dnsmasq").contains("server=/wiki.corp/192.0.2.7#10053"));
        assert!(!of("dnsmasq").contains("nx.tokens"), "it lies inside");
    }

    #[test]
    fn what_the_world_cannot_have_is_known() {
        for zone in ["tokens.example.com", "a.co.uk", "decoy.net"] {
            assert!(can_be_public(zone), "{zone}");
        }
        for zone in [
            "t.internal",
            "t.test",
            "t.corp",
            "tokens-1b2c.localhost",
            "lan",
        ] {
            assert!(!can_be_public(zone), "{zone}");
        }
        for address in ["198.51.100.7", "2001:db8::7", "100.128.0.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
