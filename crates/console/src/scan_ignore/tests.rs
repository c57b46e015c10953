use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_core::{Endpoint, SightingId, Timestamp};
use coalmine_store::incidents::{BundleKey, Decide, Decision};
use serde_json::value::RawValue;

use super::*;
use crate::Catalogue;
use crate::engine::Engine;

fn bird(number: u8) -> NodeId {
    NodeId::new([number; 8])
}

fn sighting(kind: &str, source: &str, number: u8, port: u16, fields: &str) -> Sighting {
    Sighting {
        id: SightingId::nil(),
        at: Timestamp::from_secs(1_700_000_000),
        subject: Subject::Bird(bird(number)),
        kind: kind.to_owned().into(),
        logtype: 1,
        src: Endpoint {
            ip: source.parse().unwrap(),
            port: 40_000,
        },
        dst: Endpoint {
            ip: [192, 0, 2, number].into(),
            port,
        },
        fields: RawValue::from_string(fields.to_owned()).unwrap(),
    }
}

/// Bird 1 is in flock `a`, bird 2 in `b` and takes 2 ports for a scan.
fn engine(everywhere: &[&str], of_a: &[&str]) -> Engine {
    let entries = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
    let settings = ConsoleSettings {
        portscan_ignore: entries(everywhere),
        portscan_ignore_flocks: BTreeMap::from([("a".to_owned(), entries(of_a))]),
        ..ConsoleSettings::default()
    };
    let catalogue = Catalogue {
        events: Vec::new(),
        decoys: Vec::new(),
        tokens: &[],
    };
    let known = |flock: &str, ports| Bird {
        flock: flock.to_owned(),
        ports,
    };
    let birds = HashMap::from([(bird(1), known("a", 5)), (bird(2), known("b", 2))]);
    let now = Timestamp::from_secs(1_700_000_000);
    Engine::new(Arc::new(settings), &catalogue, Birds(birds), now)
}

fn ignores(engine: &Engine, sighting: &Sighting) -> bool {
    let key = BundleKey {
        kind: sighting.kind.clone().into_owned(),
        subject: sighting.subject.clone(),
        source: sighting.src.ip,
    };
    engine.decide(None, &key, sighting) == Decision::Ignore
}

#[test]
fn rules_cover_addresses_ranges_and_ports() {
    for (entry, source, port, covered) in [
        ("10.0.0.5", "10.0.0.5", 22, true),
        ("10.0.0.5", "10.0.0.6", 22, false),
        ("10.0.0.*", "10.0.0.0", 22, true),
        ("10.0.0.*", "10.0.0.255", 22, true),
        ("10.0.0.*", "10.0.1.0", 22, false),
        ("10.0.0.*:135,445", "10.0.0.7", 445, true),
        ("10.0.0.*:135,445", "10.0.0.7", 446, false),
        ("10.0.0.0/23", "10.0.1.255", 1, true),
        ("10.0.0.0/23", "10.0.2.0", 1, false),
        ("0.0.0.0/0", "255.1.2.3", 1, true),
        ("0.0.0.0/0", "::1", 1, false),
        ("10.0.0.5-10.0.1.6", "10.0.1.0", 1, true),
        ("10.0.0.5-10.0.1.6", "10.0.0.4", 1, false),
        ("10.0.0.5-10.0.1.6:80", "10.0.1.6", 81, false),
        ("10.0.0.5", "::ffff:10.0.0.5", 22, true),
        ("2001:db8::1", "2001:db8::1", 22, true),
        ("[2001:db8::/64]:22,80", "2001:db8::77", 80, true),
        ("[2001:db8::/64]:22,80", "2001:db8::77", 81, false),
        ("2001:db8::/64", "2001:db8:0:1::", 80, false),
        ("::/0", "fe80::1", 80, true),
    ] {
        let rule = ScanRule::parse(entry).unwrap();
        let matches = rule.matches(source.parse().unwrap(), port);
        assert_eq!(matches, covered, "{entry} {source} {port}");
    }
}

#[test]
fn a_rule_has_one_text() {
    for (entry, text) in [
        (" 10.0.0.5 ", "10.0.0.5"),
        ("10.0.0.*", "10.0.0.0/24"),
        ("10.0.0.77/24:80,22,80", "10.0.0.0/24:22,80"),
        ("10.0.0.0-10.0.0.127", "10.0.0.0/25"),
        ("10.0.0.1-10.0.0.127", "10.0.0.1-10.0.0.127"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("[2001:DB8::1/64]:22", "[2001:db8::/64]:22"),
        ("[::1]:22", "[::1]:22"),
    ] {
        let rule = ScanRule::parse(entry).unwrap();
        assert_eq!(rule.to_string(), text, "{entry}");
        assert_eq!(ScanRule::parse(text), Some(rule), "{text}");
    }
    for wrong in [
        "",
        "*",
        "10.0.*",
        "10.0.0.*.1",
        "10.0.0.5:",
        "10.0.0.5:0",
        "10.0.0.5:x",
        "10.0.0.0/33",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-::1",
        "host",
        "[::1",
        "[::1]22",
        "::1/129",
    ] {
        assert_eq!(ScanRule::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn scans_are_ignored_and_nothing_else() {
    let all = engine(&["10.0.0.9"], &[]);
    let scan = r#"{"ports":"1,2,3,4,5,6"}"#;
    for (kind, fields, ignored) in [
        ("hostportscan", scan, true),
        ("nmaposscan", "{}", true),
        ("nmapnullscan", "{}", true),
        ("nmapxmasscan", "{}", true),
        ("nmapfinscan", "{}", true),
        ("sshlogin", "{}", false),
        ("ftplogin", "{}", false),
    ] {
        let from = |source| sighting(kind, source, 1, 22, fields);
        assert_eq!(ignores(&all, &from("10.0.0.9")), ignored, "{kind}");
        assert!(!ignores(&all, &from("10.0.0.8")), "{kind}");
    }
}

#[test]
fn ignored_ports_do_not_count() {
    let engine = engine(&["10.0.0.9:135,445"], &[]);
    for (number, ports, ignored) in [
        (1, "135,445", true),
        (1, "135,445,1,2,3,4", true),
        (1, "135,445,1,2,3,4,5", false),
        (1, "1,2,3,4", false),
        (2, "135,445,1", true),
        (2, "135,445,1,2", false),
    ] {
        let fields = format!(r#"{{"ports":"{ports}"}}"#);
        let scan = sighting("hostportscan", "10.0.0.9", number, 0, &fields);
        assert_eq!(ignores(&engine, &scan), ignored, "{number} {ports}");
    }
    for (port, ignored) in [(445, true), (80, false)] {
        let probe = sighting("nmapfinscan", "10.0.0.9", 1, port, "{}");
        assert_eq!(ignores(&engine, &probe), ignored, "{port}");
    }
}

#[test]
fn a_flocks_rules_are_for_its_birds() {
    let engine = engine(&[], &["10.0.0.*"]);
    for (number, ignored) in [(1, true), (2, false), (3, false)] {
        let probe = sighting("nmapfinscan", "10.0.0.9", number, 22, "{}");
        assert_eq!(ignores(&engine, &probe), ignored, "{number}");
    }
}

#[test]
fn ignored_contacts_make_no_sweep() {
    let contact = |number, ports: &str| {
        let fields = format!(r#"{{"ports":"{ports}"}}"#);
        sighting(PORT_CONTACT, "10.0.0.9", number, 0, &fields)
    };
    let touched = |engine: &Engine| {
        let (one, two) = (contact(1, "22,445"), contact(2, "22,445"));
        let swept = engine.sweeps(Vec::new(), &[&one, &two]);
        let mut ports: Vec<u16> = swept.touches.iter().map(|touch| touch.port).collect();
        ports.sort_unstable();
        (ports, swept.sweeps.len())
    };
    assert_eq!(touched(&engine(&[], &[])), (vec![22, 22, 445, 445], 1));
    assert_eq!(touched(&engine(&["10.0.0.9:445"], &[])), (vec![22, 22], 1));
    assert_eq!(touched(&engine(&["10.0.0.9"], &[])), (vec![], 0));
    assert_eq!(touched(&engine(&[], &["10.0.0.9"])), (vec![22, 445], 0));
}
