//! What holds for every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Artefact, DnsHit, Hit, HttpHit, Mint, Takes, Token, TokenChannel, Trip,
};
use coalmine_core::{Seed, Timestamp, TokenId, TokenKind};
use serde_json::Map;

use super::{KINDS, TOKEN_EVENT};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Mints a token of `kind` from `params`.
pub(crate) fn minted(kind: &TokenKind, params: &[(&str, &str)]) -> Result<Artefact, Vec<Fault>> {
    let id = TokenId::from_seed(&Seed::new([1; 32]));
    let params: BTreeMap<String, String> = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    (kind.mint)(&Mint {
        id: &id,
        params: &params,
        url: "http://tokens.example.com/a/b.html",
        hostname: "b.tokens.example.com",
        seed: Seed::new([2; 32]),
        now: Timestamp::from_secs(1_700_000_000),
    })
}

/// A token of `kind` whose name was asked for behind `labels`.
pub(crate) fn touched(kind: &TokenKind, labels: &[String]) -> Trip {
    let name = format!("{}.tokens.example.com", labels.join("."));
    (kind.trip)(
        &token(kind),
        &Hit::Dns(DnsHit {
            client: CLIENT,
            name: &name,
            labels,
            query_type: "A",
        }),
    )
}

fn token(kind: &TokenKind) -> Token {
    Token {
        id: TokenId::from_seed(&Seed::new([1; 32])),
        kind: kind.id.to_owned(),
        memo: "on the file server".to_owned(),
        fields: minted(kind, &samples(kind)).unwrap().fields,
    }
}

/// Every parameter of `kind`, with a value that it takes.
fn samples(kind: &TokenKind) -> Vec<(&'static str, &'static str)> {
    kind.asks
        .iter()
        .map(|ask| match ask.takes {
            Takes::Text(_) => (ask.name, "x"),
            Takes::Bool(true) => (ask.name, "true"),
            Takes::Bool(false) => (ask.name, "false"),
        })
        .collect()
}

#[test]
fn every_file_is_in_the_registry() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let files: BTreeSet<String> = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.trim_end_matches(".rs").replace('_', "-"))
        .filter(|name| name != "lib" && name != "tests")
        .collect();
    let kinds: BTreeSet<String> = KINDS.iter().map(|kind| kind.id.to_owned()).collect();
    assert_eq!(files, kinds);
    assert_eq!(kinds.len(), KINDS.len(), "an id stands twice");
}

#[test]
fn every_kind_says_what_it_is() {
    for kind in KINDS {
        assert!(!kind.title.is_empty() && !kind.description.is_empty());
        assert!(
            kind.doc.lines().count() >= 3,
            "{}: too short a text",
            kind.id
        );
        assert!(!kind.channels.is_empty(), "{}: cannot be tripped", kind.id);
        for ask in kind.asks {
            assert!(!ask.doc.is_empty(), "{}: {}", kind.id, ask.name);
        }
        for field in kind.event {
            assert!(!field.doc.is_empty(), "{}: {}", kind.id, field.name);
            assert!(
                TOKEN_EVENT.fields.iter().all(|f| f.name != field.name),
                "{}: {} is the channel's",
                kind.id,
                field.name
            );
        }
    }
}

#[test]
fn minting_takes_defaults_and_samples_and_always_gives_the_same() {
    for kind in KINDS {
        for params in [Vec::new(), samples(kind)] {
            let (one, two) = (minted(kind, &params), minted(kind, &params));
            let (one, two) = (one.unwrap(), two.unwrap());
            assert_eq!(one.fields, two.fields, "{}", kind.id);
            assert_eq!(
                one.file.map(|file| file.bytes),
                two.file.map(|file| file.bytes),
                "{}",
                kind.id
            );
        }
    }
}

#[test]
fn a_trip_adds_no_field_that_the_kind_does_not_declare() {
    let labels = ["NBSWY3DP".to_owned(), "G42".to_owned()];
    for kind in KINDS {
        let mut trips = Vec::new();
        if kind.channels.contains(&TokenChannel::Dns) {
            trips.push(touched(kind, &labels));
        }
        if kind.channels.contains(&TokenChannel::Http) {
            let hit = Hit::Http(HttpHit {
                client: CLIENT,
                method: "POST",
                url: "http://tokens.example.com/a/b.html?c=d",
                headers: &[("Referer".to_owned(), "http://evil.example/".to_owned())],
                query: &[("c".to_owned(), "d".to_owned())],
                body: b"e=f",
            });
            trips.push((kind.trip)(&token(kind), &hit));
        }
        for trip in trips {
            assert_declared(kind, &trip.fields);
        }
    }
}

fn assert_declared(kind: &TokenKind, fields: &Map<String, serde_json::Value>) {
    for name in fields.keys() {
        assert!(
            kind.event.iter().any(|field| field.name == name),
            "{}: {name} is not declared",
            kind.id
        );
    }
}

#[test]
fn the_event_kind_has_the_number_of_every_token_kind() {
    let numbers: Vec<(u32, &str)> = TOKEN_EVENT
        .logtypes
        .iter()
        .map(|logtype| (logtype.code, logtype.means))
        .collect();
    assert_eq!(numbers, [(17000, "http"), (16000, "dns")]);
    assert_eq!(TOKEN_EVENT.key, "canarytoken");
    assert_eq!(TOKEN_EVENT.title, "Canarytoken triggered");
}
