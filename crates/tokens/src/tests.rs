//! What holds for every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Artefact, Ask, DnsHit, Hit, HostPort, HttpHit, KubernetesPlace, Mint, MysqlHit, Places,
    SmtpHit, Takes, Token, TokenChannel, Trip, Upload, WireguardHit, WireguardPlace,
};
use coalmine_core::{Seed, Timestamp, TokenId, TokenKind};
use serde_json::Map;

use super::{KINDS, TOKEN_EVENT};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Mints a token of `kind` from `params`.
pub(crate) fn minted(kind: &TokenKind, params: &[(&str, &str)]) -> Result<Artefact, Vec<Fault>> {
    minted_with(kind, params, &[])
}

/// Mints a token of `kind` from `params` and files: parameter, name, bytes.
pub(crate) fn minted_with(
    kind: &TokenKind,
    params: &[(&str, &str)],
    files: &[(&str, &str, &[u8])],
) -> Result<Artefact, Vec<Fault>> {
    minted_by(1, kind, params, files)
}

/// The same with the seed and id that `byte` gives.
pub(crate) fn minted_by(
    byte: u8,
    kind: &TokenKind,
    params: &[(&str, &str)],
    files: &[(&str, &str, &[u8])],
) -> Result<Artefact, Vec<Fault>> {
    let id = id(byte);
    let params = owned(params);
    let files: BTreeMap<String, Upload> = files
        .iter()
        .map(|(param, name, bytes)| {
            let file = Upload {
                name: (*name).to_owned(),
                mime: String::new(),
                bytes: bytes.to_vec(),
            };
            ((*param).to_owned(), file)
        })
        .collect();
    kind.make(&Mint {
        id: &id,
        params: &params,
        files: &files,
        seed: Seed::new([byte; 32]).derive("token"),
        now: Timestamp::from_secs(1_700_000_000),
        places: &places(),
        cloud: None,
    })
}

/// Every channel is on.
pub(crate) fn places() -> Places {
    let at = |port| {
        Some(HostPort {
            host: "tokens.example.com".to_owned(),
            port,
        })
    };
    Places {
        http: at(80),
        https: at(443),
        dns: Some("tokens.example.com".to_owned()),
        nx: Some("nx.example.com".to_owned()),
        wireguard: Some(WireguardPlace {
            host: "tokens.example.com".to_owned(),
            port: 51820,
            public_key: "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=".to_owned(),
        }),
        mysql: at(3306),
        smtp: Some("tokens.example.com".to_owned()),
        kubernetes: Some(KubernetesPlace {
            url: "https://tokens.example.com:6443".to_owned(),
            ca_pem: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        }),
    }
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

/// A web request as most clients send it.
pub(crate) fn request<'a>() -> HttpHit<'a> {
    HttpHit {
        at: Timestamp::from_secs(1_700_000_000),
        client: CLIENT,
        tls: false,
        client_certificate: None,
        method: "GET",
        url: "http://tokens.example.com/a/b.html",
        rest: "b.html",
        headers: &[],
        query: &[],
        body: &[],
    }
}

/// A token of `kind` as it's minted from [`samples`].
pub(crate) fn token(kind: &TokenKind) -> Token {
    let params = samples(kind);
    Token {
        id: id(1),
        kind: kind.id.to_owned(),
        memo: "on the file server".to_owned(),
        fields: minted_with(kind, &params, &sample_files(kind))
            .unwrap()
            .fields,
        params: owned(&params),
    }
}

fn id(byte: u8) -> TokenId {
    TokenId::from_seed(&Seed::new([byte; 32]))
}

fn owned(params: &[(&str, &str)]) -> BTreeMap<String, String> {
    params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Every parameter of `kind`, with a value that it takes.
fn samples(kind: &TokenKind) -> Vec<(&'static str, &'static str)> {
    kind.asks
        .iter()
        .filter_map(|ask| Some((ask.name, sample(ask)?)))
        .collect()
}

/// Those that it requires.
fn required(kind: &TokenKind) -> Vec<(&'static str, &'static str)> {
    let asks = kind.asks.iter().filter(|ask| ask.required);
    asks.filter_map(|ask| Some((ask.name, sample(ask)?)))
        .collect()
}

/// A value that a parameter takes; none for files.
fn sample(ask: &Ask) -> Option<&'static str> {
    match ask.takes {
        // Texts of a form of their own have a line each here.
        Takes::Text(63) if ask.name.ends_with("_bucket") => Some("acme-exports"),
        Takes::Text(_) if ask.name == "azure_id_cert_file_name" => Some("backup-sync.pem"),
        Takes::Text(_) if ask.name == "card_cvc" => Some("123"),
        Takes::Text(_) if ask.name == "card_expiry" => Some("09/2029"),
        Takes::Text(_) if ask.name == "card_number" => Some("4242 4242 4242 4242"),
        Takes::Text(_) if ask.name == "expiry" => Some("30d"),
        Takes::Text(_) if ask.name == "process_name" => Some("whoami.exe"),
        Takes::Text(_) if matches!(ask.name, "mailboxes" | "sender") => Some("alice@example.com"),
        Takes::Text(_) => Some("x"),
        Takes::Bool(true) => Some("true"),
        Takes::Bool(false) => Some("false"),
        Takes::Url => Some("https://www.example.com/login?a=b&c=d"),
        Takes::Choice(words) => words.first().copied(),
        Takes::File { .. } => None,
    }
}

/// The files that `kind` requires: parameter, name, bytes.
fn sample_files(kind: &TokenKind) -> Vec<(&'static str, &'static str, &'static [u8])> {
    let files = kind.asks.iter().filter(|ask| ask.required);
    files
        .filter_map(|ask| match ask.takes {
            Takes::File { accepts, .. } => Some((ask.name, sample_file(accepts))),
            _ => None,
        })
        .map(|(param, (name, bytes))| (param, name, bytes))
        .collect()
}

/// A file that a parameter takes.
fn sample_file(accepts: &[&str]) -> (&'static str, &'static [u8]) {
    match accepts {
        // Files of a form of their own have a line each here.
        _ if accepts.is_empty() || accepts.contains(&"png") => ("a.png", b"\x89PNG\r\n\x1a\n"),
        _ if accepts.contains(&"exe") => ("setup.exe", crate::files::pe::tests::program().leak()),
        _ => panic!("no sample of {accepts:?}"),
    }
}

#[test]
fn every_kinds_file_is_in_the_registry() {
    let here = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let files: BTreeSet<String> = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.contains("\npub static KIND: TokenKind")
        })
        .map(|path| {
            path.file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .replace('_', "-")
        })
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

/// The commands of a trial with the values of a token of `kind` in them.
fn trials(kind: &TokenKind) -> Vec<String> {
    let made = minted_with(kind, &samples(kind), &sample_files(kind)).unwrap();
    let mut text = kind.trial.to_owned();
    for (name, value) in &made.fields {
        text = text.replace(
            &format!("{{{name}}}"),
            value.as_str().unwrap_or_default().trim(),
        );
    }
    for (name, value) in &made.renders {
        text = text.replace(&format!("{{{name}}}"), value.trim());
    }
    if let Some(file) = &made.file {
        text = text.replace("{file}", &file.name);
    }
    let url = "http://tokens.example.com/a/b.html";
    let text = text
        .replace("{url}", url)
        .replace("{hostname}", "tokens.example.com");
    for name in ["{url}", "{hostname}", "{file}", "{address}", "{callback"] {
        assert!(!text.contains(name), "{text}");
    }
    let parts: Vec<&str> = text.split('`').collect();
    assert_eq!(parts.len() % 2, 1, "{text}");
    let commands = parts.iter().skip(1).step_by(2);
    commands.map(|&command| command.to_owned()).collect()
}

#[test]
fn what_a_kind_says_trips_it_does() {
    let mut tried = BTreeSet::new();
    for kind in KINDS {
        assert!(
            kind.trial.ends_with('.') && !kind.trial.contains('\n'),
            "{}: {}",
            kind.id,
            kind.trial
        );
        let commands = trials(kind);
        assert_eq!(commands.len(), 1, "{}: one command", kind.id);
        let words: Vec<&str> = commands[0].split_whitespace().collect();
        let quoted = |at: usize| words[at].trim_matches('\'');
        let trip = match words[0] {
            "dig" => {
                let name = words[1].strip_suffix("tokens.example.com").unwrap();
                let labels = name.split_terminator('.').map(str::to_owned);
                touched(kind, &labels.collect::<Vec<_>>())
            }
            "curl" => {
                let url = quoted(words.len() - 1);
                let (page, query) = url.split_once('?').unwrap_or((url, ""));
                let query: Vec<(String, String)> = query
                    .split_terminator('&')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let mut headers = Vec::new();
                let mut sent = request();
                if words[1] == "-e" {
                    headers.push(("Referer".to_owned(), words[2].to_owned()));
                }
                if words[1] == "-H" {
                    let (name, rest) = commands[0]
                        .split('\'')
                        .nth(1)
                        .unwrap()
                        .split_once(": ")
                        .unwrap();
                    headers.push((name.to_owned(), rest.to_owned()));
                    sent.method = "POST";
                    sent.body = commands[0].split('\'').nth(3).unwrap().as_bytes();
                }
                (kind.trip)(
                    &token(kind),
                    &Hit::Http(HttpHit {
                        url,
                        rest: page.rsplit('/').next().unwrap(),
                        headers: &headers,
                        query: &query,
                        ..sent
                    }),
                )
            }
            // Programs that are the acceptance tests' matter.
            "AWS_SHARED_CREDENTIALS_FILE=credentials"
            | "kubectl"
            | "swaks"
            | "wg-quick"
            | "zcat" => continue,
            other => panic!("{}: {other}", kind.id),
        };
        assert!(trip.alert, "{}: {}", kind.id, commands[0]);
        tried.insert(words[0].to_owned());
    }
    assert_eq!(tried.len(), 2, "{tried:?}");
}

#[test]
fn minting_takes_defaults_and_samples_and_always_gives_the_same() {
    for kind in KINDS {
        for params in [required(kind), samples(kind)] {
            let mint = || minted_with(kind, &params, &sample_files(kind)).unwrap();
            let (one, two) = (mint(), mint());
            assert_eq!(one.fields, two.fields, "{}", kind.id);
            assert_eq!(one.renders, two.renders, "{}", kind.id);
            assert_eq!(one.aliases, two.aliases, "{}", kind.id);
            let bytes = |artefact: Artefact| artefact.file.map(|file| (file.name, file.bytes));
            assert_eq!(bytes(one), bytes(two), "{}", kind.id);
        }
    }
}

#[test]
fn what_a_kind_requires_is_asked_for() {
    for kind in KINDS {
        let asks = kind.asks.iter().filter(|ask| ask.required);
        let names: Vec<&str> = asks.map(|ask| ask.name).collect();
        let faults = minted(kind, &[]).err().unwrap_or_default();
        let told: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(names, told, "{}", kind.id);
    }
}

#[test]
fn a_trip_adds_no_field_that_the_kind_does_not_declare() {
    let labels = ["NBSWY3DP".to_owned(), "G42".to_owned()];
    let headers = [("Referer".to_owned(), "http://evil.example/".to_owned())];
    let query = [("c".to_owned(), "d".to_owned())];
    for kind in KINDS {
        for channel in kind.channels {
            let hit = match channel {
                TokenChannel::Http | TokenChannel::Kubernetes => Hit::Http(HttpHit {
                    method: "POST",
                    url: "http://tokens.example.com/a/b.html?c=d",
                    headers: &headers,
                    query: &query,
                    body: b"e=f",
                    ..request()
                }),
                TokenChannel::Dns => Hit::Dns(DnsHit {
                    client: CLIENT,
                    name: "NBSWY3DP.G42.tokens.example.com",
                    labels: &labels,
                    query_type: "A",
                }),
                TokenChannel::Wireguard => Hit::Wireguard(WireguardHit {
                    client: CLIENT,
                    client_public_key: "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=",
                    session_index: 7,
                }),
                TokenChannel::Mysql => Hit::Mysql(MysqlHit {
                    client: CLIENT,
                    user: "dnsdnsdnsdnsdnsdnsdnsdns1en_USvm",
                    database: "",
                    attributes: &query,
                }),
                TokenChannel::Smtp => Hit::Smtp(SmtpHit {
                    client: CLIENT,
                    tls: false,
                    helo: "mx.example",
                    from: "a@example.com",
                    recipient: "dnsdnsdnsdnsdnsdnsdnsdns1@tokens.example.com",
                    headers: &headers,
                    links: &[],
                    attachments: &[],
                }),
            };
            let trip = (kind.trip)(&token(kind), &hit);
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
    let kinds: Vec<(u32, &str)> = KINDS.iter().map(|kind| (kind.logtype, kind.id)).collect();
    assert_eq!(numbers, kinds);
    assert!(numbers.contains(&(17000, "http")) && numbers.contains(&(16000, "dns")));
    assert_eq!(TOKEN_EVENT.key, "canarytoken");
    assert_eq!(TOKEN_EVENT.title, "Canarytoken triggered");
}
