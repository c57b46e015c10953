//! Every finding.

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record};

use super::*;

const NAME: &str = "ab12.cd34.4ylq9w1xk0d3v5m7s2b8n6c1z.t.example.com";
const RESOLVER: &str = "192.0.2.53:53";

fn plan() -> DnsPlan {
    DnsPlan {
        zone: "t.example.com".to_owned(),
        nx_zone: Some("n.example.com".to_owned()),
        domains: Vec::new(),
        public_address: [198, 51, 100, 7].into(),
        name_server: "ns1".to_owned(),
        listens: Some("0.0.0.0:10053".parse().unwrap()),
    }
}

fn zone(role: Role) -> Zone {
    Zone {
        name: "t.example.com".to_owned(),
        role,
        inside: false,
    }
}

fn heard(code: ResponseCode, addresses: &[[u8; 4]]) -> Heard {
    let record = |[a, b, c, d]: &[u8; 4]| {
        let name = Name::from_ascii(NAME).unwrap();
        Record::from_rdata(name, 20, RData::A(A::new(*a, *b, *c, *d)))
    };
    Heard {
        code,
        authoritative: false,
        truncated: false,
        answers: addresses.iter().map(record).collect(),
        authorities: Vec::new(),
        additionals: Vec::new(),
    }
}

fn trial(heard: Result<Heard, Silence>, arrived: &[&str]) -> Trial {
    let arrival = |name: &&str| DnsArrival {
        name: (*name).to_owned(),
        query_type: "A".to_owned(),
        src_host: "192.0.2.99".to_owned(),
        transport: "udp".to_owned(),
    };
    Trial {
        name: NAME.to_owned(),
        heard,
        unchecked: None,
        arrivals: arrived.iter().map(arrival).collect(),
    }
}

const OURS: &[[u8; 4]] = &[[198, 51, 100, 7]];

/// What a resolver's trial ends as: result, part of what was found, part of the fix.
fn holds(role: Role, internal: bool, trial: &Trial, result: Outcome, what: &str, fix: &str) {
    let at = RESOLVER.parse().unwrap();
    let found = resolver(&plan(), &zone(role), at, internal, trial);
    let first = &found[0];
    assert!(
        first.result == result && first.what.contains(what) && first.fix.contains(fix),
        "{what}: {found:#?}"
    );
    assert_eq!(first.result == Outcome::Bad, !first.fix.is_empty());
    assert!(!first.fix.contains('\n'));
}

#[test]
fn what_a_resolver_makes_of_a_fresh_name_has_a_reason_and_a_fix() {
    use Outcome::{Bad, Good};
    use ResponseCode::{NXDomain, NoError, Refused, ServFail};
    let good = trial(Ok(heard(NoError, OURS)), &[NAME]);
    holds(
        Role::Tokens,
        false,
        &good,
        Good,
        "asked the channel (as 192.0.2.99) and answers 198.51.100.7",
        "",
    );
    let gone = trial(Ok(heard(NXDomain, &[])), &[NAME]);
    holds(Role::Nx, false, &gone, Good, "doesn't exist", "");

    let delegate = "t.example.com. 3600 IN NS ns1.t.example.com. and ns1.t.example.com. 3600 IN A 198.51.100.7";
    for (role, internal, heard, what, fix) in [
        (
            Role::Tokens,
            false,
            Ok(heard(NXDomain, &[])),
            "isn't delegated",
            delegate,
        ),
        (
            Role::Tokens,
            true,
            Ok(heard(NXDomain, &[])),
            "isn't delegated",
            "give 192.0.2.53 the lines above",
        ),
        (
            Role::Nx,
            false,
            Ok(heard(NXDomain, &[])),
            "nobody asked the channel",
            delegate,
        ),
        (
            Role::Own,
            false,
            Ok(heard(ServFail, &[])),
            "(lame)",
            "open UDP and TCP port 53",
        ),
        (
            Role::Own,
            true,
            Ok(heard(ServFail, &[])),
            "(lame)",
            "(0.0.0.0:10053 here)",
        ),
        (
            Role::Tokens,
            false,
            Ok(heard(Refused, &[])),
            "refuses to answer",
            "--resolver",
        ),
        // The right address, from elsewhere.
        (
            Role::Tokens,
            false,
            Ok(heard(NoError, OURS)),
            "without asking the channel",
            delegate,
        ),
        (
            Role::Tokens,
            false,
            Ok(heard(ResponseCode::FormErr, &[])),
            "answers",
            "log",
        ),
        (
            Role::Tokens,
            false,
            Err(Silence::Timeout),
            "doesn't answer",
            "--resolver",
        ),
        (
            Role::Tokens,
            false,
            Err(Silence::Refused),
            "nothing listens",
            "--resolver",
        ),
    ] {
        holds(role, internal, &trial(heard, &[]), Bad, what, fix);
    }
    for (role, heard, what, fix) in [
        (
            Role::Tokens,
            Ok(heard(ServFail, &[])),
            "can't use its answer",
            "TCP port 53",
        ),
        (
            Role::Nx,
            Ok(heard(NoError, &[[192, 0, 2, 1]])),
            "answers 192.0.2.1 for names that don't",
            "redirection",
        ),
        (
            Role::Tokens,
            Ok(heard(NoError, &[[192, 0, 2, 1]])),
            "but answers 192.0.2.1",
            "rewriting",
        ),
        (
            Role::Tokens,
            Ok(heard(NoError, &[])),
            "there is no address",
            "rewriting",
        ),
        (
            Role::Tokens,
            Err(Silence::Timeout),
            "asked the channel, but doesn't answer",
            "drops",
        ),
    ] {
        holds(role, false, &trial(heard, &[NAME]), Bad, what, fix);
    }
    let mut signed = trial(Ok(heard(ServFail, &[])), &[NAME]);
    signed.unchecked = Some(heard(NoError, OURS));
    holds(
        Role::Tokens,
        false,
        &signed,
        Bad,
        "DNSSEC",
        "remove the DS record",
    );
    holds(Role::Tokens, true, &signed, Bad, "DNSSEC", "exempt");
}

#[test]
fn hidden_private_addresses_are_told_from_rewriting() {
    let private = DnsPlan {
        public_address: [10, 0, 0, 7].into(),
        ..plan()
    };
    let hidden = trial(Ok(heard(ResponseCode::NoError, &[])), &[NAME]);
    let at = RESOLVER.parse().unwrap();
    let found = resolver(&private, &zone(Role::Tokens), at, true, &hidden);
    assert!(found[0].what.contains("rebinding") && found[0].fix.contains("private-domain"));
}

#[test]
fn data_that_minimised_names_lose_are_a_note() {
    let at = RESOLVER.parse().unwrap();
    let short = "4ylq9w1xk0d3v5m7s2b8n6c1z.t.example.com";
    let both = trial(
        Ok(heard(ResponseCode::NoError, OURS)),
        &[short, &NAME.to_uppercase()],
    );
    let found = resolver(&plan(), &zone(Role::Tokens), at, false, &both);
    assert_eq!(found.len(), 1, "{found:?}");
    let cut = trial(Ok(heard(ResponseCode::NXDomain, &[])), &[short]);
    let found = resolver(&plan(), &zone(Role::Nx), at, false, &cut);
    assert!(found[1].result == Outcome::Note && found[1].what.contains("don't arrive"));
}

#[test]
fn the_setup_is_held_to_who_shall_reach_it() {
    assert!(setup(&plan(), false).is_empty());
    let with = |address: &str, internal: bool| {
        let plan = DnsPlan {
            public_address: address.parse().unwrap(),
            ..plan()
        };
        setup(&plan, internal)
    };
    assert!(
        with("10.0.0.7", false)[0]
            .what
            .contains("a private address")
    );
    let loopback = with("127.0.0.1", false);
    assert!(
        loopback[0].what.contains("a loopback address") && loopback[0].fix.contains("--internal")
    );
    assert!(with("10.0.0.7", true).is_empty());
    assert_eq!(with("0.0.0.0", true)[0].result, Outcome::Bad);
    let bare = DnsPlan {
        zone: "tokens-1b2c.localhost".to_owned(),
        nx_zone: None,
        listens: None,
        ..plan()
    };
    let found = setup(&bare, true);
    let results: Vec<Outcome> = found.iter().map(|f| f.result).collect();
    assert_eq!(results, [Outcome::Bad, Outcome::Bad, Outcome::Note]);
    assert!(found[1].fix.contains("dns_port"));
}

#[test]
fn the_channel_itself_is_asked_over_both_transports() {
    let at = "127.0.0.1:10053".parse().unwrap();
    let said = |trial: &Trial| channel(&plan(), &zone(Role::Tokens), at, "tcp", trial);
    let good = said(&trial(Ok(heard(ResponseCode::NoError, OURS)), &[NAME]));
    assert_eq!((good.result, good.fix.as_str()), (Outcome::Good, ""));
    let mut cut = heard(ResponseCode::NoError, &[]);
    cut.truncated = true;
    assert_eq!(said(&trial(Ok(cut), &[NAME])).result, Outcome::Good);
    let other = said(&trial(Ok(heard(ResponseCode::Refused, &[])), &[]));
    assert!(
        other.what.contains("answers REFUSED, and isn't Coalmine"),
        "{other:?}"
    );
    let silent = said(&trial(Err(Silence::Timeout), &[]));
    assert!(silent.result == Outcome::Bad && silent.fix.contains("TCP port 10053"));
}

#[test]
fn the_public_address_may_be_unreachable_from_inside() {
    let at = "198.51.100.7:53".parse().unwrap();
    let said = |udp: &Trial, tcp: &Trial, resolved| {
        let found = reachable(&plan(), &zone(Role::Tokens), at, udp, tcp, resolved);
        [found[0].result, found[1].result]
    };
    let (good, silent) = (
        trial(Ok(heard(ResponseCode::NoError, OURS)), &[NAME]),
        trial(Err(Silence::Timeout), &[]),
    );
    assert_eq!(said(&good, &good, true), [Outcome::Good, Outcome::Good]);
    assert_eq!(said(&silent, &silent, true), [Outcome::Note, Outcome::Note]);
    assert_eq!(said(&silent, &silent, false), [Outcome::Bad, Outcome::Bad]);
    // UDP comes through: it's no hairpin, TCP is closed.
    assert_eq!(said(&good, &silent, true), [Outcome::Good, Outcome::Bad]);
    let other = trial(Ok(heard(ResponseCode::NoError, OURS)), &[]);
    assert_eq!(said(&other, &other, true), [Outcome::Bad, Outcome::Bad]);
}

#[test]
fn what_the_parent_says_is_held_to_the_address() {
    let said =
        |delegation_said: &Delegation| delegation(&plan(), &zone(Role::Tokens), delegation_said);
    let found = |servers: &[(&str, &[[u8; 4]])]| Delegation::Found {
        parent: "example.com".to_owned(),
        servers: servers
            .iter()
            .map(|(name, addresses)| {
                let addresses = addresses.iter().map(|a| IpAddr::from(*a)).collect();
                ((*name).to_owned(), addresses)
            })
            .collect(),
    };
    let good = said(&found(&[("ns1.t.example.com", OURS)]));
    assert_eq!(good[0].result, Outcome::Good);
    for (servers, what, fix) in [
        (
            &[("ns1.t.example.com", &[[192, 0, 2, 1]][..])][..],
            "at 192.0.2.1, but this machine is 198.51.100.7",
            "have 198.51.100.7 alone",
        ),
        (
            &[("ns1.t.example.com", &[][..])],
            "nobody knows the address",
            "ns1.t.example.com. 3600 IN A 198.51.100.7",
        ),
        (
            &[("ns.example.net", &[[192, 0, 2, 1], [198, 51, 100, 7]])],
            "which is also 192.0.2.1",
            "or remove that name server",
        ),
    ] {
        let said = said(&found(servers));
        assert!(
            said[0].result == Outcome::Bad
                && said[0].what.contains(what)
                && said[0].fix.contains(fix),
            "{said:?}"
        );
    }
    let two = said(&found(&[
        ("ns1.t.example.com", OURS),
        ("ns2.t.example.com", &[]),
    ]));
    assert_eq!(
        (two[0].result, two[1].result),
        (Outcome::Good, Outcome::Bad)
    );
    for (other_records, what) in [(false, "knows nothing"), (true, "delegates nothing")] {
        let missing = said(&Delegation::Missing {
            parent: "example.com".to_owned(),
            other_records,
        });
        assert!(missing[0].what.contains(what), "{missing:?}");
        assert!(
            missing[0]
                .fix
                .starts_with("add to example.com: t.example.com. 3600 IN NS")
        );
    }
    assert_eq!(said(&Delegation::Unknown("why"))[0].result, Outcome::Note);
}
