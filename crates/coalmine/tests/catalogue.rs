//! The event and token kinds there are, against the catalogue of those there should be: numbers,
//! titles, fields, their order and types. What isn't there yet stands in `data/gaps.txt`, and only
//! that.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

use std::collections::{BTreeMap, BTreeSet};

use coalmine::config::{Config, Ground};
use coalmine::personality::PERSONALITIES;
use coalmine::registry;
use serde::Deserialize;

#[derive(Deserialize)]
struct Incidents {
    incident: Vec<Incident>,
}

#[derive(Deserialize)]
struct Incident {
    key: String,
    summary: String,
    logtypes: Vec<Logtype>,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Logtype {
    code: u32,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    optional: bool,
}

#[derive(Deserialize)]
struct Tokens {
    kind: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    kind: String,
    title: String,
    description: String,
    logtype: u32,
    channels: Vec<String>,
    #[serde(default)]
    event: Vec<String>,
}

/// The event of touched tokens; its numbers are those of the token kinds.
const TOKENS: &str = "canarytoken";

fn incidents() -> Vec<Incident> {
    let mut incidents = documented();
    let tokens = incidents
        .iter_mut()
        .find(|incident| incident.key == TOKENS)
        .unwrap();
    for token in wanted_tokens() {
        if tokens
            .logtypes
            .iter()
            .all(|known| known.code != token.logtype)
        {
            tokens.logtypes.push(Logtype {
                code: token.logtype,
            });
        }
    }
    incidents
}

fn documented() -> Vec<Incident> {
    toml::from_str::<Incidents>(include_str!("data/incidents.toml"))
        .unwrap()
        .incident
}

fn wanted_tokens() -> Vec<Token> {
    toml::from_str::<Tokens>(include_str!("data/tokens.toml"))
        .unwrap()
        .kind
}

/// What the catalogue asks for and the program lacks, a line each.
fn missing() -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    let events: BTreeMap<_, _> = registry::events().into_iter().map(|k| (k.key, k)).collect();
    for wanted in documented() {
        let Some(kind) = events.get(wanted.key.as_str()) else {
            missing.insert(format!("event {}", wanted.key));
            continue;
        };
        for logtype in &wanted.logtypes {
            if kind.logtypes.iter().all(|known| known.code != logtype.code) {
                missing.insert(format!("event {} logtype {}", wanted.key, logtype.code));
            }
        }
        for field in &wanted.fields {
            let stamp = matches!(field.name.as_str(), "timestamp" | "timestamp_std");
            if !stamp && kind.fields.iter().all(|known| known.name != field.name) {
                missing.insert(format!("event {} field {}", wanted.key, field.name));
            }
        }
    }
    for wanted in wanted_tokens() {
        if registry::tokens().iter().all(|kind| kind.id != wanted.kind) {
            missing.insert(format!("token {}", wanted.kind));
        }
    }
    missing
}

/// Fields of ours that the catalogue doesn't know.
const BEYOND: &[&str] = &[
    "CHANNELS",
    "CLIENTADDRESS",
    "CLIENTDIR",
    "CLIENTNAME",
    "COOKIE",
    "KEYBOARD",
    "NTLM_HASH",
    "PASSWORD",
    "RESOLUTION",
    "SECURITY",
    "SHELL",
    "STATUS",
    "TIMEZONE",
    "WORKSTATION",
    "ip_blocklist",
    "account_id",
    "app_id",
    "bucket",
    "client_assertion",
    "cloudtrail_event_id",
    "error_code",
    "eventName",
    "key_valid",
    "object_key",
    "region",
    "requested_app_id",
    "requester",
    "safety_net",
    "scope",
    "service",
    "signature_valid",
    "slack_api_key",
    "source_address",
    "sql_username",
    "tenant_id",
    "user_agent",
];

#[test]
fn what_is_there_is_as_the_catalogue_says() {
    let wanted: BTreeMap<String, Incident> = incidents()
        .into_iter()
        .map(|i| (i.key.clone(), i))
        .collect();
    let mut wrong = Vec::new();
    for kind in registry::events() {
        let Some(wanted) = wanted.get(kind.key) else {
            wrong.push(format!("{} isn't in the catalogue", kind.key));
            continue;
        };
        if kind.title != wanted.summary {
            wrong.push(format!(
                "{}: title {:?}, not {:?}",
                kind.key, kind.title, wanted.summary
            ));
        }
        let first = wanted.logtypes.first().map(|logtype| logtype.code);
        if Some(kind.logtype()) != first {
            wrong.push(format!(
                "{}: usual number {}, not {first:?}",
                kind.key,
                kind.logtype()
            ));
        }
        for logtype in kind.logtypes {
            if wanted
                .logtypes
                .iter()
                .all(|known| known.code != logtype.code)
            {
                wrong.push(format!(
                    "{}: number {} isn't in the catalogue",
                    kind.key, logtype.code
                ));
            }
        }
        // Fields in the catalogue's order; those listed as missing are left out on both sides.
        let ours: Vec<_> = kind
            .fields
            .iter()
            .filter(|f| {
                let known = wanted.fields.iter().any(|known| known.name == f.name);
                known || !(f.optional && BEYOND.contains(&f.name))
            })
            .map(|f| (f.name, f.shape.name(), f.optional))
            .collect();
        let theirs: Vec<_> = wanted
            .fields
            .iter()
            .filter(|f| kind.fields.iter().any(|known| known.name == f.name))
            .map(|f| (f.name.as_str(), f.kind.as_str(), f.optional))
            .collect();
        if ours != theirs {
            wrong.push(format!("{}: fields {ours:?}, not {theirs:?}", kind.key));
        }
        let stamped = wanted.fields.iter().any(|f| f.name == "timestamp");
        if kind.timestamps != stamped {
            wrong.push(format!(
                "{}: timestamps {}, not {stamped}",
                kind.key, kind.timestamps
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tokens_are_as_the_catalogue_says() {
    let wanted: BTreeMap<String, Token> = wanted_tokens()
        .into_iter()
        .map(|t| (t.kind.clone(), t))
        .collect();
    for kind in registry::tokens() {
        let wanted = wanted
            .get(kind.id)
            .unwrap_or_else(|| panic!("{} isn't in the catalogue", kind.id));
        assert_eq!(
            (kind.title, kind.description, kind.logtype),
            (
                wanted.title.as_str(),
                wanted.description.as_str(),
                wanted.logtype
            ),
            "{}",
            kind.id
        );
        let channels: Vec<_> = kind.channels.iter().map(|c| c.name()).collect();
        assert_eq!(channels, wanted.channels, "{}", kind.id);
        for name in &wanted.event {
            let there = kind.event.iter().any(|f| f.name == name);
            assert!(there, "{}: no field {name}", kind.id);
        }
        for field in kind.event {
            let known = wanted.event.iter().any(|name| name == field.name);
            assert!(
                known || BEYOND.contains(&field.name),
                "{}: {} is neither the catalogue's nor listed as ours",
                kind.id,
                field.name
            );
        }
    }
}

#[test]
fn the_list_of_gaps_is_true() {
    let listed: BTreeSet<String> = include_str!("data/gaps.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let missing = missing();
    let closed: Vec<_> = listed.difference(&missing).collect();
    let unlisted: Vec<_> = missing.difference(&listed).collect();
    assert!(
        closed.is_empty() && unlisted.is_empty(),
        "gaps that have closed, take them out of tests/data/gaps.txt: {closed:#?}\ngaps that aren't listed: {unlisted:#?}"
    );
}

#[test]
fn ids_and_numbers_are_unique() {
    let mut ids = BTreeSet::new();
    for decoy in registry::decoys() {
        assert!(ids.insert(decoy.id), "decoy {} twice", decoy.id);
    }
    let mut ids = BTreeSet::new();
    for token in registry::tokens() {
        assert!(ids.insert(token.id), "token {} twice", token.id);
    }
    let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
    for kind in registry::events() {
        for logtype in kind.logtypes {
            let other = owners.insert(logtype.code, kind.key);
            // Printed so in the public documentation.
            let shared = logtype.code == 29001;
            assert!(
                other.is_none() || shared,
                "{} is of {} and of {other:?}",
                logtype.code,
                kind.key
            );
        }
    }
}

#[test]
fn every_sample_has_the_type_that_its_field_declares() {
    for kind in registry::events() {
        for field in kind.fields {
            let sample = (field.sample)();
            let fits = match field.shape.name() {
                "string" => sample.is_string(),
                "integer" => sample.is_i64() || sample.is_u64(),
                "array of strings" => sample
                    .as_array()
                    .is_some_and(|list| list.iter().all(serde_json::Value::is_string)),
                _ => sample.is_object(),
            };
            assert!(fits, "{}.{}: {sample}", kind.key, field.name);
        }
    }
}

#[test]
fn every_personality_is_a_bird_without_a_fault() {
    let ground = Ground {
        kinds: registry::decoys(),
        listen: [127, 0, 0, 1].into(),
        public_address: [192, 0, 2, 7].into(),
        tag: "4f2a".to_owned(),
        zone: "tokens-1b2c.localhost".to_owned(),
        folder: ".".into(),
    };
    for personality in PERSONALITIES {
        let text = format!("[[bird]]\npersonality = '{}'\n", personality.id);
        let config = Config::parse(&text, &ground).unwrap_or_else(|f| panic!("{f:?}"));
        let bird = config.birds.first().unwrap();
        for service in bird.services.iter().filter(|s| s.kind.id != "tcpbanner") {
            let wanted = personality.offers(service.kind.id);
            assert_eq!(service.enabled, wanted, "{service:?}");
        }
        let offered = bird.services.iter().any(|service| service.enabled);
        assert_eq!(offered, personality.id != "bare");
        assert_eq!(bird.portscan.enabled, offered);
        let table = personality.table();
        let known = |key: &&String| {
            ["portscan", "system"].contains(&key.as_str())
                || registry::decoys().iter().any(|k| k.id == **key)
        };
        let unknown: Vec<_> = table.keys().filter(|key| !known(key)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", personality.id);
    }
}
