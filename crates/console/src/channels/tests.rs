//! Both channels together, and what their tests share.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use coalmine_core::event::{Logtype, Shape};
use coalmine_core::sighting::SightingId;
use coalmine_core::token::{self, Alias, Answer, Reach, Token, TokenChannel, Trip, Upload};
use coalmine_core::{Sighting, Subject, TokenId};
use serde_json::{Map, Value};

use super::touch::{Candidate, Touch, What};
use super::*;

/// The token of [`bench`] that is touched over HTTP.
pub(super) const WEB: &str = "webwebwebwebwebwebwebweb1";
/// The one that is touched over DNS.
pub(super) const DNS: &str = "dnsdnsdnsdnsdnsdnsdnsdns1";
/// One whose kind answers with a redirect.
pub(super) const AWAY: &str = "awayawayawayawayawayaway1";
/// One whose kind answers with a page.
pub(super) const PAGE: &str = "pagepagepagepagepagepage1";
/// The key by which the HTTP channel knows [`PAGE`] too.
pub(super) const PAGE_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// One that the other channels know, by its id or by the keys below.
pub(super) const KEYED: &str = "keyedkeyedkeyedkeyedkeye1";
/// Its bearer's secret at Kubernetes.
pub(super) const BEARER: &str = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";
/// Its WireGuard public key, whose private key is 32 twos.
pub(super) const PEER_KEY: &str = "zo060cy2M+x7cMF4FKXHbs0CloUFDTRHRboFhw5YfVk=";
/// No token at all.
pub(super) const NONE: &str = "nonenonenonenonenonenone1";
/// Disabled: the keeper doesn't find it.
pub(super) const OFF: &str = "offoffoffoffoffoffoffoff1";

static WEB_KIND: TokenKind = kind("http", 17000, &[TokenChannel::Http], |_, _| {
    Trip::alert(Map::new(), Answer::Plain)
});
static DNS_KIND: TokenKind = kind("dns", 16000, &[TokenChannel::Dns], |_, hit| {
    let token::Hit::Dns(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    match hit.labels.first().map(String::as_str) {
        Some("quiet") => Trip::silent(Answer::NxDomain),
        _ => Trip::alert(
            Map::from_iter([("labels".to_owned(), hit.labels.into())]),
            Answer::Plain,
        ),
    }
});
static AWAY_KIND: TokenKind = kind("away", 17016, &[TokenChannel::Http], |_, _| {
    let away = "https://example.com/\r\nX: y".to_owned();
    Trip::alert(Map::new(), Answer::Redirect(away))
});
static PAGE_KIND: TokenKind = kind("page", 17017, &[TokenChannel::Http], |_, hit| {
    let token::Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    match hit.rest {
        "mine.html" | "other.html" => Trip::alert(
            Map::from_iter([(
                "cloned_site".to_owned(),
                format!("https://{}", hit.rest).into(),
            )]),
            Answer::Redirect("https://example.com/".to_owned()),
        ),
        "image.png" => Trip::alert(Map::new(), Answer::Upload("image")),
        "none.png" => Trip::alert(Map::new(), Answer::Upload("none")),
        "manifest.json" => Trip::silent(Answer::Full {
            status: 403,
            headers: vec![
                ("Server".to_owned(), "AmazonS3".to_owned()),
                ("content-type".to_owned(), "application/xml".to_owned()),
                ("Content-Length".to_owned(), "7".to_owned()),
                ("x-amz-id".to_owned(), "a\r\nb".to_owned()),
                ("bad name".to_owned(), "c".to_owned()),
            ],
            body: b"<Error/>".to_vec(),
        }),
        "nothing" => Trip::silent(Answer::Full {
            status: 304,
            headers: Vec::new(),
            body: b"none".to_vec(),
        }),
        _ => Trip::alert(
            Map::new(),
            Answer::Body {
                mime: "text/html".to_owned(),
                bytes: b"<p>hello".to_vec(),
            },
        ),
    }
});
static KEYED_KIND: TokenKind = kind(
    "keyed",
    17031,
    &[
        TokenChannel::Wireguard,
        TokenChannel::Mysql,
        TokenChannel::Smtp,
        TokenChannel::Kubernetes,
    ],
    |_, _| Trip::alert(Map::new(), Answer::Plain),
);
pub(super) static KINDS: &[&TokenKind] =
    &[&WEB_KIND, &DNS_KIND, &AWAY_KIND, &PAGE_KIND, &KEYED_KIND];

const fn kind(
    id: &'static str,
    logtype: u32,
    channels: &'static [TokenChannel],
    trip: fn(&Token, &token::Hit<'_>) -> Trip,
) -> TokenKind {
    TokenKind {
        id,
        title: "Title",
        description: "Description",
        doc: "",
        group: token::Group::Web,
        trial: "",
        logtype,
        channels,
        reach: Reach::Direct,
        asks: &[],
        event: &[],
        mint: |_| Ok(token::Artefact::default()),
        trip,
    }
}

/// Knows the tokens above and keeps sightings in memory, after `delay`.
#[derive(Default)]
pub(super) struct Memory {
    pub delay: Duration,
    pub seen: Arc<Mutex<Vec<Sighting>>>,
    pub root: Option<String>,
}

impl Keeper for Memory {
    async fn find(&self, candidate: &Candidate) -> Option<Token> {
        let id = match candidate {
            Candidate::Id(id) => id.clone(),
            Candidate::Alias(Alias { channel, key }) => {
                let known = match (*channel, &**key) {
                    (TokenChannel::Http, PAGE_KEY) => PAGE,
                    (TokenChannel::Wireguard, PEER_KEY) => KEYED,
                    (TokenChannel::Kubernetes, BEARER) => KEYED,
                    _ => return None,
                };
                id(known)
            }
        };
        let kind = match id.as_str() {
            WEB => "http",
            DNS => "dns",
            AWAY => "away",
            PAGE => "page",
            KEYED => "keyed",
            _ => return None,
        };
        Some(Token {
            id,
            kind: kind.to_owned(),
            memo: String::new(),
            fields: Map::new(),
            params: BTreeMap::from([
                (
                    "clonedsite_ignorelist".to_owned(),
                    "^https://mine\\.".to_owned(),
                ),
                (
                    "clonedsite_ignorelist_enabled".to_owned(),
                    "true".to_owned(),
                ),
            ]),
        })
    }

    async fn upload(&self, id: &TokenId, param: &str) -> Option<Upload> {
        (id.as_str() == PAGE && param == "image").then(|| Upload {
            name: "a.png".to_owned(),
            mime: "image/png".to_owned(),
            bytes: b"\x89PNG".to_vec(),
        })
    }

    async fn domains(&self) -> Vec<String> {
        Vec::new()
    }

    fn probes(&self) -> Option<&Probes> {
        None
    }

    async fn root(&self) -> Option<String> {
        self.root.clone()
    }

    async fn record(&self, sighting: Sighting) -> bool {
        tokio::time::sleep(self.delay).await;
        self.seen.lock().unwrap().push(sighting);
        true
    }

    async fn amend(&self, event: SightingId, sighting: &Sighting) -> bool {
        tokio::time::sleep(self.delay).await;
        let mut seen = self.seen.lock().unwrap();
        let Some(event) = seen.iter_mut().find(|seen| seen.id == event) else {
            return false;
        };
        event.fields.clone_from(&sighting.fields);
        true
    }
}

/// Touches, and where they end up.
pub(super) struct Bench {
    pub touches: Arc<Touches<Memory>>,
    pub seen: Arc<Mutex<Vec<Sighting>>>,
}

pub(super) fn bench(delay: Duration) -> Bench {
    bench_with_root(delay, None)
}

/// The same with a page at the root.
pub(super) fn bench_with_root(delay: Duration, root: Option<&str>) -> Bench {
    let seen = Arc::default();
    let memory = Memory {
        delay,
        seen: Arc::clone(&seen),
        root: root.map(str::to_owned),
    };
    Bench {
        touches: Arc::new(Touches::new(memory, KINDS, Arc::default())),
        seen,
    }
}

impl Bench {
    /// Fields of the events seen so far.
    pub fn events(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|sighting| serde_json::from_str(sighting.fields.get()).unwrap())
            .collect()
    }
}

pub(super) fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 40_000))
}

pub(super) fn local() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 80))
}

pub(super) fn config(http: &str, dns: &str) -> ConsoleConfig {
    ConsoleConfig {
        dir: "unused".into(),
        store: "sqlite:unused".to_owned(),
        listen: local(),
        names: Vec::new(),
        zone: "tokens.example.com".to_owned(),
        nx_zone: None,
        public_address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
        token_others: Others::default(),
        mailboxes: Vec::new(),
        token_sources: SourceFiles::default(),
        token_http: http.parse().ok(),
        token_dns: dns.parse().ok(),
        reverse_lookups: false,
        version: "0",
    }
}

fn touch(what: What) -> Touch {
    Touch {
        at: coalmine_core::Timestamp::from_secs(1_700_000_000),
        src: peer().into(),
        dst: local().into(),
        what,
    }
}

fn web_touch() -> Touch {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    touch(What::Http {
        channel: TokenChannel::Http,
        tls: false,
        client_certificate: None,
        path: format!("/{WEB}"),
        method: "POST".to_owned(),
        url: format!("http://tokens.example.com/{WEB}?a=1&a=2"),
        headers: vec![
            pair("Host", "tokens.example.com"),
            pair("REFERER", "http://x/"),
        ],
        query: vec![pair("a", "1"), pair("a", "2")],
        body: b"abc".to_vec(),
        body_size: 3,
    })
}

fn dns_touch() -> Touch {
    touch(What::Dns {
        name: format!("X.{DNS}.tokens.example.com"),
        labels: vec!["X".to_owned()],
        query_type: "AAAA".to_owned(),
        transport: "udp",
    })
}

pub(super) fn id(text: &str) -> TokenId {
    text.parse().unwrap()
}

fn ids(texts: &[&str]) -> Vec<Candidate> {
    texts.iter().map(|text| Candidate::Id(id(text))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_touch_over_http_becomes_an_event_with_the_catalogues_fields() {
    let bench = bench(Duration::ZERO);
    let answer = bench.touches.touch(ids(&[NONE, WEB]), web_touch()).await;
    assert_eq!(answer, Some(Answer::Plain));
    assert_eq!(
        bench.events(),
        [serde_json::json!({
            "type": "http", "kind": "http", "channel": "http", "canarytoken": WEB,
            "description": "Description", "logtype": "17000",
            "url": format!("http://tokens.example.com/{WEB}?a=1&a=2"),
            "headers": {"Host": "tokens.example.com", "REFERER": "http://x/"},
            "additional_info": {
                "method": "POST", "referer": "http://x/", "body_size": 3,
                "request_args": {"a": "1, 2"},
            },
        })]
    );
    let seen = bench.seen.lock().unwrap();
    assert_eq!(seen[0].kind, "canarytoken");
    assert_eq!(seen[0].logtype, 17000);
    assert_eq!(seen[0].subject, Subject::Token(id(WEB)));
    assert_eq!((seen[0].src, seen[0].dst), (peer().into(), local().into()));
}

#[tokio::test(start_paused = true)]
async fn a_touch_over_dns_becomes_an_event_with_its_kinds_fields_too() {
    let bench = bench(Duration::ZERO);
    bench.touches.touch(ids(&[DNS]), dns_touch()).await;
    assert_eq!(
        bench.events(),
        [serde_json::json!({
            "type": "dns", "kind": "dns", "channel": "dns", "canarytoken": DNS,
            "description": "Description", "logtype": "16000",
            "hostname": format!("X.{DNS}.tokens.example.com"),
            "additional_info": {"query_type": "AAAA", "transport": "udp"},
            "labels": ["X"],
        })]
    );
}

#[tokio::test(start_paused = true)]
async fn the_events_hold_what_the_event_kind_declares() {
    static LOGTYPES: &[Logtype] = &[Logtype {
        code: 17000,
        means: "",
    }];
    let declared = token::event_kind(LOGTYPES);
    let bench = bench(Duration::ZERO);
    bench.touches.touch(ids(&[WEB]), web_touch()).await;
    bench.touches.touch(ids(&[DNS]), dns_touch()).await;
    for event in bench.events() {
        let event = event.as_object().unwrap();
        for field in declared.fields {
            let value = event.get(field.name);
            assert!(
                field.optional || value.is_some(),
                "{} is missing",
                field.name
            );
            let right = value.is_none_or(|value| match field.shape {
                Shape::String => value.is_string(),
                Shape::Integer => value.is_i64(),
                Shape::Object => value.is_object(),
                Shape::Strings => value.is_array(),
            });
            assert!(right, "{} has another shape", field.name);
        }
        for name in event.keys().filter(|name| *name != "labels") {
            assert!(declared.fields.iter().any(|f| f.name == name), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_touched_through_its_own_channels_only() {
    let bench = bench(Duration::ZERO);
    bench.touches.touch(ids(&[DNS]), web_touch()).await;
    bench.touches.touch(ids(&[WEB]), dns_touch()).await;
    bench.touches.touch(ids(&[OFF, NONE]), web_touch()).await;
    assert_eq!(bench.events(), [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_the_commit_and_without_one_there_is_none() {
    for (delay, waited, answered) in [(40, 40, true), (600, 600, true), (11_000, 10_000, false)] {
        let bench = bench(Duration::from_millis(delay));
        let start = Instant::now();
        let answer = bench.touches.touch(ids(&[AWAY]), web_touch()).await;
        assert_eq!(start.elapsed(), Duration::from_millis(waited));
        assert_eq!(matches!(answer, Some(Answer::Redirect(_))), answered);
        assert_eq!(answer.is_some(), answered);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        assert_eq!(bench.events().len(), 1, "remembered all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_trip_is_answered_and_not_remembered() {
    let bench = bench(Duration::from_secs(9));
    let mut touch = dns_touch();
    if let What::Dns { labels, .. } = &mut touch.what {
        *labels = vec!["quiet".to_owned()];
    }
    let start = Instant::now();
    let answer = bench.touches.touch(ids(&[DNS]), touch).await;
    assert_eq!(answer, Some(Answer::NxDomain));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(bench.events(), [] as [Value; 0]);
}

#[test]
fn places_are_those_of_the_channels_that_are_on() {
    let mut config = config("127.0.0.1:8080", "127.0.0.1:53");
    config.nx_zone = Some("nx.example.com".to_owned());
    let web = HostPort {
        host: "tokens.example.com".to_owned(),
        port: 8080,
    };
    let both = places(&config);
    assert_eq!(both.http, Some(web.clone()));
    assert_eq!(both.dns.as_deref(), Some("tokens.example.com"));
    assert_eq!(both.nx.as_deref(), Some("nx.example.com"));
    config.token_dns = None;
    let http = Some(web);
    assert_eq!(
        places(&config),
        Places {
            http,
            ..Places::default()
        }
    );
    let mut nameless = self::config("", "127.0.0.1:53");
    nameless.zone = "192.0.2.1".to_owned();
    assert_eq!(
        places(&nameless),
        Places::default(),
        "an address has no names below it"
    );
}

#[tokio::test]
async fn binding_finds_real_ports_and_writes_them_back() {
    let mut config = config("127.0.0.1:0", "127.0.0.1:0");
    let bound = bind(&mut config).await;
    let (http, dns) = (bound.http.clone().unwrap(), bound.dns.clone().unwrap());
    assert!(http.port() != 0 && dns.port() != 0);
    assert_eq!(
        (config.token_http, config.token_dns),
        (Some(http), Some(dns))
    );
    let (_, udp, tcp) = bound.dns_listeners.as_ref().unwrap();
    assert_eq!(udp.address(), tcp.local_addr().unwrap());

    let mut again = self::config(&http.to_string(), &dns.to_string());
    let refused = bind(&mut again).await;
    for problem in [refused.http.unwrap_err(), refused.dns.unwrap_err()] {
        assert!(
            problem.contains("another program listens there"),
            "{problem}"
        );
        assert!(!problem.contains('\n'));
    }
}

#[tokio::test]
async fn what_is_off_or_impossible_says_so() {
    let mut off = config("", "");
    let bound = bind(&mut off).await;
    assert_eq!(
        (bound.http, bound.dns),
        (Err("turned off".to_owned()), Err("turned off".to_owned()))
    );
    let mut no_zone = config("", "127.0.0.1:0");
    no_zone.zone = "127.0.0.1".to_owned();
    let problem = bind(&mut no_zone).await.dns.unwrap_err();
    assert!(problem.contains("needs a zone of its own"), "{problem}");
}

#[test]
fn every_common_failure_has_a_remedy() {
    let say = |address: &str, kind: io::ErrorKind| {
        remedy("DNS", address.parse().unwrap(), &io::Error::from(kind))
    };
    assert!(say("0.0.0.0:53", io::ErrorKind::AddrInUse).contains("DNSStubListener=no"));
    assert!(!say("0.0.0.0:5353", io::ErrorKind::AddrInUse).contains("systemd"));
    assert!(say("0.0.0.0:53", io::ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
    assert!(say("192.0.2.1:53", io::ErrorKind::AddrNotAvailable).contains("no network interface"));
    assert!(say("0.0.0.0:53", io::ErrorKind::Other).contains("choose another"));
}
