//! The tokens' part of the page.

use coalmine_core::token::{
    self, Answer, Artefact, ArtefactFile, Group, Places, Reach, TokenChannel, Trip,
};
use coalmine_core::{Seed, TokenId, TokenKind};
use coalmine_store::tokens::NewToken;

use super::*;

pub(super) static KINDS: &[&TokenKind] = &[&WEB, &FILED];

static WEB: TokenKind = TokenKind {
    id: "http",
    title: "Web Bug",
    description: "Canarytoken triggered",
    doc: "A unique URL.\nPut it somewhere.",
    group: Group::Web,
    trial: "Open its URL: `curl '{url}'`.",
    logtype: 17000,
    channels: &[TokenChannel::Http, TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[],
    event: &[],
    mint: |_| Ok(Artefact::default()),
    trip: |_, _| Trip::silent(Answer::Plain),
};

static FILED: TokenKind = TokenKind {
    id: "wireguard",
    title: "WireGuard VPN",
    channels: &[TokenChannel::Wireguard],
    mint: |_| {
        Ok(Artefact {
            file: Some(ArtefactFile {
                name: "wg0.conf".to_owned(),
                mime: "text/plain",
                bytes: vec![0; 7],
            }),
            ..Artefact::default()
        })
    },
    ..WEB
};

pub(super) fn id(number: u8) -> TokenId {
    TokenId::from_seed(&Seed::new([number; 32]))
}

impl Bench {
    /// Makes token `number` of this kind.
    pub(super) async fn token(&self, number: u8, kind: &str, memo: &str) {
        let token = NewToken {
            id: id(number),
            kind: kind.to_owned(),
            memo: memo.to_owned(),
            flock_id: "flock:default".to_owned(),
            created: Timestamp::from_secs(now().secs() - 7_200),
            params: Default::default(),
            fields: serde_json::Map::new(),
            factory_auth: None,
            places: Places {
                wireguard: Some(token::WireguardPlace {
                    host: "t.example".to_owned(),
                    port: 51_820,
                    public_key: String::new(),
                }),
                ..Places::default()
            },
            files: Default::default(),
            aliases: Vec::new(),
        };
        self.console.store.tokens().create(token).await.unwrap();
    }

    /// Touches token `number` from a source, so many seconds ago.
    async fn touch(&self, number: u8, source: [u8; 4], ago: i64) {
        let at = now().secs() - ago;
        let sighting = Sighting {
            id: SightingId::from(
                u128::try_from(at).unwrap() << 40 | u128::from(u32::from_be_bytes(source)),
            ),
            at: Timestamp::from_secs(at),
            subject: Subject::Token(id(number)),
            kind: Cow::Borrowed(token::EVENT_KEY),
            logtype: 17000,
            src: Endpoint {
                ip: source.into(),
                port: 999,
            },
            dst: Endpoint {
                ip: [10, 1, 4, 2].into(),
                port: 80,
            },
            fields: serde_json::value::to_raw_value(&json!({
                "type": "http", "kind": "http", "channel": "http", "description": "",
                "canarytoken": id(number), "logtype": "17000", "url": "http://t.example/x",
                "headers": {"uSER-aGENT": "<b>curl</b>"}, "additional_info": {"method": "GET"},
                "geoip": {"city": "Utrecht", "country": "NL"},
                "ip_blocklist": {"is_proxy": false, "is_tor": true, "is_vpn": false},
                "username": "alice", "empty": ""
            }))
            .unwrap(),
        };
        record_now(&self.console, vec![sighting]).await.unwrap();
    }
}

#[tokio::test]
async fn tokens_are_listed_by_what_was_touched_and_found_by_words() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    for (number, kind, memo) in [
        (1, "http", "wiki page"),
        (2, "wireguard", "vpn on files-02"),
        (3, "http", "never"),
    ] {
        bench.token(number, kind, memo).await;
    }
    for ago in [50, 40, 30] {
        bench.touch(1, [10, 1, 4, 7], ago).await;
    }
    bench.touch(2, [10, 1, 4, 8], 10).await;
    let off = bench.console.store.tokens();
    off.set_enabled(&id(3), false).await.unwrap();
    let ask = async |query: &str| {
        let path = format!("/page/tokens?{query}");
        let found = json_of(bench.get(&path, &cookie).await).await;
        let tokens = found["tokens"].as_array().unwrap().clone();
        assert_eq!(found["total"], tokens.len());
        assert_eq!(found["skip"], Value::Null);
        tokens
    };
    let memos = async |query: &str| {
        let tokens = ask(query).await;
        let memos = tokens.iter().map(|token| token["memo"].as_str().unwrap());
        memos.map(str::to_owned).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(memos("").await, "never, vpn on files-02, wiki page");
    assert_eq!(
        memos("sort=last").await,
        "vpn on files-02, wiki page, never"
    );
    assert_eq!(
        memos("sort=hits").await,
        "wiki page, vpn on files-02, never"
    );
    assert_eq!(memos("q=FILES").await, "vpn on files-02");
    assert_eq!(memos("kind=http&state=on").await, "wiki page");
    assert_eq!(memos("state=off").await, "never");
    let first = ask("q=wiki").await.remove(0);
    assert_eq!((&first["hits"], &first["open"]), (&json!(3), &json!(1)));
    assert!(first["last"].as_i64() > first["created"].as_i64());
    assert_eq!(ask("q=never").await[0]["last"], Value::Null);
}

#[tokio::test]
async fn a_long_list_of_tokens_comes_in_parts() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    for number in 0..120 {
        bench.token(number, "http", "a").await;
    }
    let (mut seen, mut skip) = (std::collections::BTreeSet::new(), json!(0));
    for tokens in [50, 50, 20] {
        let path = format!("/page/tokens?sort=hits&skip={skip}");
        let part = json_of(bench.get(&path, &cookie).await).await;
        assert_eq!(part["total"], 120);
        let listed = part["tokens"].as_array().unwrap();
        assert_eq!(listed.len(), tokens);
        seen.extend(listed.iter().map(|token| token["id"].to_string()));
        skip = part["skip"].clone();
    }
    assert_eq!((seen.len(), skip), (120, Value::Null));
    for (many, listed) in [(70, 70), (9_999, 120), (1, 50)] {
        let path = format!("/page/tokens?sort=hits&many={many}");
        let part = json_of(bench.get(&path, &cookie).await).await;
        assert_eq!(part["tokens"].as_array().unwrap().len(), listed);
    }
}

#[tokio::test]
async fn a_token_tells_who_touched_it_when_and_from_where() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    bench.token(1, "http", "wiki").await;
    let path = format!("/page/token?id={}", id(1));
    let quiet = json_of(bench.get(&path, &cookie).await).await;
    assert_eq!((&quiet["count"], &quiet["hits"]), (&json!(0), &json!([])));
    assert_eq!((&quiet["marks"], &quiet["dns"]), (&json!({}), &Value::Null));
    for (source, ago) in [
        ([10, 1, 4, 7], 600),
        ([10, 1, 4, 8], 60),
        ([10, 1, 4, 7], 5),
    ] {
        bench.touch(1, source, ago).await;
    }
    let seen = json_of(bench.get(&path, &cookie).await).await;
    assert_eq!(seen["count"], 3);
    assert_eq!(seen["incidents"], seen["open"]);
    let sources: Vec<_> = seen["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["source"].as_str().unwrap())
        .collect();
    assert_eq!(
        sources,
        ["10.1.4.7", "10.1.4.8", "10.1.4.7"],
        "newest first"
    );
    let hit = &seen["hits"][0];
    for (name, is) in [
        ("agent", json!("<b>curl</b>")),
        ("place", json!("Utrecht, NL")),
        ("lists", json!(["Tor exit"])),
        ("told", json!({"username": "alice"})),
        ("channel", json!("http")),
    ] {
        assert_eq!(hit[name], is, "{name}");
    }
    let incident = format!("/page/incident?hash={}", hit["hash"].as_str().unwrap());
    let incident = json_of(bench.get(&incident, &cookie).await).await;
    assert_eq!(incident["token"], id(1).as_str());
    let marks = seen["marks"].as_object().unwrap();
    let counted: u64 = marks.values().filter_map(Value::as_u64).sum();
    assert_eq!(counted, 3);
    let (from, to) = (seen["from"].as_i64(), seen["to"].as_i64());
    let within = |at: &String| (from..=to).contains(&at.parse::<i64>().ok());
    assert!(marks.keys().all(within), "{seen}");

    let to = to.unwrap();
    for (from, to, counted, step) in [
        (to - 120_000, to, 2, 1000),
        (to - 120_000, to - 30_000, 1, 750),
        (to - 5, to, 0, 100),
        (i64::MIN, i64::MAX, 3, 0),
    ] {
        let part = format!("{path}&from={from}&to={to}");
        let part = json_of(bench.get(&part, &cookie).await).await;
        let marks = part["marks"].as_object().unwrap().values();
        assert_eq!(marks.filter_map(Value::as_u64).sum::<u64>(), counted);
        assert!(part["step"].as_i64().unwrap() >= step, "{part}");
        assert_eq!(part["hits"], seen["hits"], "the list is the same");
    }
    let wrong = json_of(bench.get(&format!("{path}&from=9&to=3"), &cookie).await).await;
    assert_eq!(wrong["from"], seen["from"], "as if none was asked for");
}

#[tokio::test]
async fn a_token_that_is_not_there_is_said_to_be_gone() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    for path in ["token", "token/file", "token/download"] {
        for id in [id(9).as_str(), "x", ""] {
            let path = format!("/page/{path}?id={id}");
            let response = bench.get(&path, &cookie).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert!(text(response).await.contains("not there any more"));
        }
    }
}

#[tokio::test]
async fn kinds_say_whether_they_have_a_file_and_can_be_made() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let kinds = json_of(bench.get("/page/kinds", &cookie).await).await;
    let off = |at: usize| kinds["kinds"][at]["off"].as_str().unwrap_or_default();
    assert!(off(0).contains("http_port"), "{kinds}");
    assert!(off(1).contains("wireguard_port"), "{kinds}");
    assert_eq!(kinds["kinds"][0]["group"], "web");
    assert_eq!(kinds["kinds"][0]["trial"], WEB.trial);
    bench.token(1, "http", "a").await;
    bench.token(2, "wireguard", "b").await;
    for (number, file) in [
        (1, json!({"name": null, "bytes": null})),
        (2, json!({"name": "wg0.conf", "bytes": 7})),
    ] {
        let path = format!("/page/token/file?id={}", id(number));
        assert_eq!(json_of(bench.get(&path, &cookie).await).await, file);
        let path = format!("/page/token/download?id={}", id(number));
        let response = bench.get(&path, &cookie).await;
        let Some(name) = file["name"].as_str() else {
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            continue;
        };
        let disposition = &response.headers()[header::CONTENT_DISPOSITION];
        assert_eq!(*disposition, format!("attachment; filename=\"{name}\""));
        assert_eq!(text(response).await.len(), 7);
    }
}

#[tokio::test]
async fn every_part_of_the_tokens_has_an_address() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let token = format!("/tokens/{}", id(1));
    for path in ["/tokens", "/tokens/new", "/tokens/new/http", &token] {
        let page = text(bench.get(path, &cookie).await).await;
        assert!(page.contains("<title>Tokens"), "{path}");
        assert!(
            page.contains("href=\"/tokens\" aria-current=\"page\""),
            "{path}"
        );
        let stranger = bench.get(path, "").await;
        assert_eq!(stranger.status(), StatusCode::SEE_OTHER);
    }
    assert_eq!(
        bench.get("/tokens/a/b", &cookie).await.status(),
        StatusCode::NOT_FOUND
    );
}
