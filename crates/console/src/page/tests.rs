//! The page from outside: headers, sign-in, what a stranger may not, captured text.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode, header};
use coalmine_core::{Endpoint, NodeId, Sighting, SightingId, Subject, Timestamp};
use coalmine_store::Store;
use coalmine_store::users::User;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{answer, password, router};
use crate::ingest::record_now;
use crate::{Catalogue, Console, ConsoleConfig, Shared, now};

mod tokens;

const PASSWORD: &str = "a long first password";

struct Bench {
    console: Shared,
    app: Router,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}/test.db", dir.path().display())).unwrap();
        store
            .users()
            .create(User {
                email: "admin".to_owned(),
                name: String::new(),
                password_hash: password::hash(PASSWORD).await.unwrap(),
                admin: true,
                disabled: false,
                created: now(),
                last_login: None,
            })
            .await
            .unwrap();
        let console = Arc::new(Console {
            store,
            catalogue: Catalogue {
                events: vec![],
                decoys: vec![],
                tokens: tokens::KINDS,
            },
            config: ConsoleConfig {
                dir: dir.path().to_owned(),
                store: String::new(),
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                names: vec![],
                zone: String::new(),
                nx_zone: None,
                public_address: Ipv4Addr::LOCALHOST.into(),
                token_http: None,
                token_dns: None,
                token_others: crate::channels::Others::default(),
                mailboxes: Vec::new(),
                token_sources: crate::channels::SourceFiles::default(),
                reverse_lookups: false,
                version: "0",
            },
            changes: watch::channel(0).0,
            probes: crate::channels::Probes::default(),
            placing: Default::default(),
            stop: watch::Sender::new(false),
        });
        let app = router(Arc::clone(&console));
        Self {
            console,
            app,
            _dir: dir,
        }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        use hyper::service::Service as _;
        let service = hyper_util::service::TowerToHyperService::new(self.app.clone());
        service.call(request).await.unwrap()
    }

    async fn get(&self, path: &str, cookie: &str) -> Response<Body> {
        let request = Request::get(path).header(header::COOKIE, cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> Response<Body> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::post(path)
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// What the sign-in form wants back: its cookie and its value.
    async fn form(&self) -> (String, String) {
        let response = self.get("/login", "").await;
        let cookie = cookie_of(&response, "coalmine_login");
        let value = cookie.split_once('=').unwrap().1.to_owned();
        assert!(text(response).await.contains(&value));
        (cookie, value)
    }

    async fn try_password(&self, name: &str, word: &str) -> Response<Body> {
        let (cookie, csrf) = self.form().await;
        let form = [
            ("csrf", &*csrf),
            ("username", name),
            ("password", word),
            ("next", "/birds"),
        ];
        self.post("/login", &cookie, &form).await
    }

    /// Signs in; the session's cookie and CSRF value.
    async fn sign_in(&self) -> (String, String) {
        let response = self.try_password("admin", PASSWORD).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()[header::LOCATION], "/birds");
        let cookie = cookie_of(&response, "coalmine_session");
        let page = text(self.get("/birds", &cookie).await).await;
        let (_, rest) = page.split_once("name=\"csrf\" content=\"").unwrap();
        (cookie, rest[..64].to_owned())
    }

    /// Records login attempts with these names and passwords, a second apart.
    async fn record(&self, tries: &[(&str, &str)]) {
        let start = now().secs();
        let sightings: Vec<_> = tries
            .iter()
            .zip(0..)
            .map(|((user, word), i)| Sighting {
                id: SightingId::from(u128::try_from(start).unwrap() << 16 | i as u128),
                at: Timestamp::from_secs(start - 100 + i),
                ..sighting("sshlogin", &json!({"USERNAME": user, "PASSWORD": word}))
            })
            .collect();
        record_now(&self.console, sightings).await.unwrap();
    }
}

/// Somebody at a bird's SSH port.
fn sighting(kind: &'static str, fields: &Value) -> Sighting {
    Sighting {
        id: SightingId::from(0),
        at: now(),
        subject: Subject::Bird(NodeId::new([9; 8])),
        kind: Cow::Borrowed(kind),
        logtype: 4002,
        src: Endpoint {
            ip: [10, 1, 4, 7].into(),
            port: 999,
        },
        dst: Endpoint {
            ip: [10, 1, 4, 2].into(),
            port: 22,
        },
        fields: serde_json::value::to_raw_value(fields).unwrap(),
    }
}

fn cookie_of(response: &Response<Body>, name: &str) -> String {
    let whole = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .map(|value| value.to_str().unwrap())
        .find(|value| value.starts_with(name))
        .unwrap();
    for part in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(whole.contains(part), "{whole}");
    }
    whole.split(';').next().unwrap().to_owned()
}

async fn text(response: Response<Body>) -> String {
    let bytes: Bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_of(response: Response<Body>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&text(response).await).unwrap()
}

#[tokio::test]
async fn every_answer_carries_the_strict_policy() {
    let bench = Bench::new().await;
    let asset = format!("{}/app.js", *super::assets::BASE);
    for path in [
        "/login",
        "/",
        "/page/rows",
        "/live",
        "/assets/x/app.js",
        asset.as_str(),
    ] {
        let response = bench.get(path, "").await;
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        let kept = headers[header::CACHE_CONTROL].to_str().unwrap();
        assert_eq!(kept == "no-store", path != asset, "{path}: {kept}");
    }
}

#[tokio::test]
async fn a_stranger_sees_only_the_sign_in() {
    let bench = Bench::new().await;
    let forged = format!("coalmine_session={}", "0".repeat(64));
    for cookie in ["", "coalmine_session=short", forged.as_str()] {
        let response = bench.get("/incidents/x?q=is%3Aopen", cookie).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(
            response.headers()[header::LOCATION],
            "/login?next=%2Fincidents%2Fx%3Fq%3Dis%253Aopen"
        );
        for path in [
            "/page/rows",
            "/page/strip",
            "/page/incident?hash=x",
            "/page/events?hash=x",
            "/page/kinds",
            "/page/tokens",
            "/page/token?id=x",
            "/page/token/file?id=x",
            "/page/token/download?id=x",
            "/page/ignored?src_ip=10.0.0.1",
            "/live",
        ] {
            let response = bench.get(path, cookie).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert!(text(response).await.contains("Sign in"));
        }
        let response = bench.post("/page/password", cookie, &[]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn no_route_tells_a_stranger_what_is_wrong_with_a_request() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.sign_in().await;
    let mut asked = 0;
    // A router doesn't list its routes.
    for route in include_str!("mod.rs").split(".route(\"").skip(1) {
        let (path, handler) = route.split_once("\", ").unwrap();
        let (expected, refused) = match path {
            "/" => (StatusCode::SEE_OTHER, StatusCode::BAD_REQUEST),
            "/page/password" => (StatusCode::UNAUTHORIZED, StatusCode::UNSUPPORTED_MEDIA_TYPE),
            _ if path.starts_with("/page/") => (StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST),
            _ => continue,
        };
        asked += 1;
        let request = |cookie: &str| {
            let uri = format!("{path}?cursor=x&skip=x");
            let request = if handler.starts_with("post(") {
                Request::post(uri)
            } else {
                Request::get(uri)
            };
            let request = request
                .header(header::COOKIE, cookie)
                .header("X-Coalmine-CSRF", &csrf);
            request.body(Body::empty()).unwrap()
        };
        let status = bench.send(request("")).await.status();
        assert_eq!(status, expected, "{path}");
        // These read no number, or nothing at all.
        if !["/page/kinds", "/page/ignored"].contains(&path) {
            let status = bench.send(request(&cookie)).await.status();
            assert_eq!(status, refused, "{path}");
        }
    }
    assert_eq!(asked, 12);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let bench = Bench::new().await;
    let mut answers = Vec::new();
    for (name, word) in [("admin", "wrong"), ("nobody", PASSWORD)] {
        let began = Instant::now();
        let response = bench.try_password(name, word).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body = text(response).await;
        assert!(body.contains("Name or password is wrong."));
        // The form's own value differs each time.
        let (head, rest) = body.split_once("name=\"csrf\" value=\"").unwrap();
        answers.push((format!("{head}{}", &rest[64..]), began.elapsed()));
    }
    assert_eq!(answers[0].0, answers[1].0);
    // Both computed a hash: neither answers at once.
    assert!(
        answers
            .iter()
            .all(|(_, took)| *took > Duration::from_millis(3))
    );
}

#[tokio::test]
async fn guessing_is_stopped_but_the_right_form_is_needed_at_all() {
    let bench = Bench::new().await;
    for _ in 0..5 {
        bench.try_password("admin", "wrong").await;
    }
    let response = bench.try_password("admin", PASSWORD).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let form = [("csrf", "0"), ("username", "admin"), ("password", PASSWORD)];
    for cookie in ["", "coalmine_login=1"] {
        let response = bench.post("/login", cookie, &form).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn guesses_made_at_once_count_each_other() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.form().await;
    let form = [("csrf", &*csrf), ("username", "admin"), ("password", "x")];
    let guesses = (0..50).map(|_| bench.post("/login", &cookie, &form));
    let answers = futures_util::future::join_all(guesses).await;
    let of = |status| answers.iter().filter(|a| a.status() == status).count();
    assert_eq!(of(StatusCode::FORBIDDEN), 5);
    assert_eq!(of(StatusCode::TOO_MANY_REQUESTS), 45);
}

#[tokio::test]
async fn signing_out_needs_the_csrf_value_and_ends_the_session() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.sign_in().await;
    let response = bench.post("/logout", &cookie, &[("csrf", "wrong")]).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(bench.get("/", &cookie).await.status(), StatusCode::OK);
    let response = bench.post("/logout", &cookie, &[("csrf", &csrf)]).await;
    assert_eq!(response.headers()[header::LOCATION], "/login");
    assert_eq!(
        bench.get("/", &cookie).await.status(),
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn only_who_is_signed_in_can_sign_out() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.sign_in().await;
    // As another site's form arrives: without the cookie.
    let response = bench.post("/logout", "", &[]).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/login");
    assert!(!response.headers().contains_key(header::SET_COOKIE));
    bench.console.store.close().await;
    let response = bench.post("/logout", &cookie, &[("csrf", &csrf)]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!response.headers().contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn the_sign_in_forms_of_all_tabs_work() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.form().await;
    let other = bench.get("/login", &cookie).await;
    assert_eq!(cookie_of(&other, "coalmine_login"), cookie);
    assert!(text(other).await.contains(&csrf));
    for word in ["wrong", PASSWORD, PASSWORD] {
        let form = [("csrf", &*csrf), ("username", "admin"), ("password", word)];
        let response = bench.post("/login", &cookie, &form).await;
        if word == PASSWORD {
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            let set = response.headers().get_all(header::SET_COOKIE);
            assert_eq!(set.iter().count(), 1, "the session's alone");
        } else {
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(cookie_of(&response, "coalmine_login"), cookie);
        }
    }
    for bad in [
        "0".repeat(63),
        "0".repeat(65),
        "g".repeat(64),
        String::new(),
    ] {
        let cookie = format!("coalmine_login={bad}");
        let fresh = cookie_of(&bench.get("/login", &cookie).await, "coalmine_login");
        assert_ne!(fresh, cookie);
        assert_eq!(fresh.len(), "coalmine_login=".len() + 64);
    }
}

#[tokio::test]
async fn a_password_changes_only_with_csrf_value_and_the_present_one() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.sign_in().await;
    let change = async |csrf: &str, current: &str, fresh: &str| {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("current", current), ("fresh", fresh)])
            .finish();
        let request = Request::post("/page/password")
            .header(header::COOKIE, &cookie)
            .header("X-Coalmine-CSRF", csrf)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        bench
            .send(request.body(Body::from(body)).unwrap())
            .await
            .status()
    };
    let fresh = "a quite different one";
    assert_eq!(change("", PASSWORD, fresh).await, StatusCode::FORBIDDEN);
    assert_eq!(change(&csrf, "wrong", fresh).await, StatusCode::FORBIDDEN);
    assert_eq!(
        change(&csrf, PASSWORD, "short").await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(change(&csrf, PASSWORD, fresh).await, StatusCode::OK);
    assert_eq!(
        bench.get("/", &cookie).await.status(),
        StatusCode::OK,
        "this browser stays"
    );
    let response = bench.try_password("admin", fresh).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn captured_text_stays_text() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    bench
        .record(&[
            ("<script>alert(1)</script>", "<img src=x>"),
            ("a\u{202e}b", "\"'"),
        ])
        .await;
    bench
        .console
        .store
        .incidents()
        .set_reverse([10, 1, 4, 7].into(), "<b>x</b>")
        .await
        .unwrap();
    let list = text(bench.get("/", &cookie).await).await;
    assert!(list.contains("tried 2 SSH logins on"), "{list}");
    let rows = json_of(bench.get("/page/rows?q=user:script", &cookie).await).await;
    let hash = rows["rows"][0]["hash"].as_str().unwrap();
    let one = text(bench.get(&format!("/incidents/{hash}"), &cookie).await).await;
    assert!(
        one.contains("&#60;script&#62;") || one.contains("&lt;script&gt;"),
        "{one}"
    );
    assert!(one.contains("a[U+202E]b"));
    assert!(
        !one.contains("<script>alert") && !one.contains("<b>x</b>") && !one.contains("&#60;img")
    );
    let search = text(
        bench
            .get("/?q=%22%3E%3Cscript%3Ealert(3)%3C/script%3E", &cookie)
            .await,
    )
    .await;
    assert!(!search.contains("<script>alert"), "{search}");
}

#[tokio::test]
async fn the_search_finds_by_field_and_says_what_it_does_not_understand() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    bench
        .record(&[("root", "1"), ("ZAŻÓŁĆ", "2"), ("a\\b", "3")])
        .await;
    for (query, found) in [
        ("", 1),
        ("src:10.1.4.0/24", 1),
        ("src:10.2.0.0/16", 0),
        ("user:root", 1),
        ("user:bob", 0),
        ("user:ROO", 1),
        ("user:zażó", 1),
        ("user:\\", 1),
        ("user:username", 0),
        ("is:open", 1),
        ("is:acknowledged", 0),
        ("since:1h", 1),
        ("since:5s", 0),
        ("bird:files", 0),
        ("10.1.4 ssh", 1),
        ("until:1h", 0),
        ("kind:nothing", 0),
    ] {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let rows = json_of(bench.get(&format!("/page/rows?q={query}"), &cookie).await).await;
        assert_eq!(rows["rows"].as_array().unwrap().len(), found, "{query}");
        assert_eq!(rows["open"]["count"], 1);
    }
    let rows = json_of(bench.get("/page/rows?q=since:soon", &cookie).await).await;
    assert!(rows["problems"][0].as_str().unwrap().starts_with("since:"));
}

/// Stands for a store with years in it: every source makes an incident, the oldest one's user is
/// another one.
async fn fill(bench: &Bench, incidents: u32) {
    let start = now().secs();
    let sightings: Vec<_> = (0..incidents)
        .map(|i| {
            let user = if i == 0 { "mallory" } else { "root" };
            let mut seen = sighting("sshlogin", &json!({"USERNAME": user, "PASSWORD": "x"}));
            seen.id = SightingId::from(u128::from(i));
            seen.at = Timestamp::from_secs(start - 100);
            seen.src.ip = Ipv4Addr::from_bits(0x0a00_0000 + i).into();
            seen.dst.port = if i % 2 == 0 { 22 } else { 2222 };
            seen
        })
        .collect();
    for batch in sightings.chunks(5_000) {
        record_now(&bench.console, batch).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_search_is_cut_says_so_and_goes_on() {
    let bench = Bench::new().await;
    fill(&bench, 250).await;
    let catalogue = &bench.console.catalogue;
    let query = super::query::Query::parse("user:mallory", now(), catalogue);
    let store = &bench.console.store;
    let mut cursor = None;
    let mut parts = 0;
    loop {
        let part = super::rows::list_for(store, &query, cursor, Duration::ZERO)
            .await
            .unwrap();
        parts += 1;
        cursor = part.cursor;
        if cursor.is_none() {
            assert_eq!(part.rows.len(), 1);
            assert!(part.problems.is_empty(), "{:?}", part.problems);
            break;
        }
        assert!(part.rows.is_empty());
        assert!(part.problems[0].contains("not yet"), "{:?}", part.problems);
    }
    assert_eq!(parts, 3);
}

#[tokio::test]
async fn an_ignore_rule_says_what_it_would_have_hidden() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    fill(&bench, 2).await;
    bench.record(&[("root", "1")]).await;
    for (rule, hidden) in [
        ("src_ip=10.1.4.7", 1),
        ("src_ip=10.1.4.7&dst_port=22", 1),
        ("src_ip=10.1.4.7&dst_port=23", 0),
        ("src_ip=10.0.0.1&dst_port=2222", 1),
        ("src_ip=%3A%3Affff%3A10.0.0.1", 1),
        ("src_ip=10.0.0.2", 0),
    ] {
        let response = bench.get(&format!("/page/ignored?{rule}"), &cookie).await;
        assert_eq!(json_of(response).await["hidden"], hidden, "{rule}");
    }
    for rule in [
        "",
        "src_ip=house",
        "src_ip=10.0.0.1&dst_port=70000",
        "src_ip=10.0.0.1&dst_port=0",
    ] {
        let response = bench.get(&format!("/page/ignored?{rule}"), &cookie).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{rule}");
    }
    let stranger = bench.get("/page/ignored?src_ip=10.0.0.1", "").await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let rows = json_of(bench.get("/page/rows?q=src:10.1.4.7", &cookie).await).await;
    let hash = rows["rows"][0]["hash"].as_str().unwrap();
    let path = format!("/page/incident?hash={hash}");
    let detail = json_of(bench.get(&path, &cookie).await).await;
    assert_eq!(detail["ignore"], json!({"source": "10.1.4.7", "port": 22}));
}

#[tokio::test]
async fn an_incident_says_what_it_leaves_out() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let start = now().secs() - 100;
    let scan = (1..=1_000).map(|port: u16| port.to_string());
    let scan = scan.collect::<Vec<_>>().join(",");
    let numbered = |number: u16, mut seen: Sighting| {
        seen.id = SightingId::from(u128::from(number));
        seen.at = Timestamp::from_micros(start * 1_000_000 + i64::from(number));
        seen.dst.port = 1 + number % 25;
        seen
    };
    let logins = |range: std::ops::Range<u16>| {
        let login = json!({"USERNAME": "root", "PASSWORD": "x"});
        range
            .map(|i| numbered(i, sighting("sshlogin", &login)))
            .collect::<Vec<_>>()
    };
    let detail = async |kind: &str, batch: Vec<Sighting>| {
        record_now(&bench.console, batch).await.unwrap();
        let all = json_of(bench.get("/page/rows", &cookie).await).await;
        for row in all["rows"].as_array().unwrap() {
            let path = format!("/page/incident?hash={}", row["hash"].as_str().unwrap());
            let detail = json_of(bench.get(&path, &cookie).await).await;
            if detail["row"]["did"].as_str().unwrap().contains(kind) {
                let facts = detail["facts"].as_array().unwrap();
                let ports = facts.iter().find(|fact| fact["label"] == "Ports").unwrap();
                let ports = ports["text"].as_str().unwrap().to_owned();
                return (detail, ports);
            }
        }
        panic!("no {kind} in {all}");
    };
    let (all, ports) = detail("SSH", logins(0..5_000)).await;
    assert!(all.get("read").is_none());
    assert_eq!(all["more_ports"], false);
    assert!(ports.ends_with(", 20 and 5 more"), "{ports}");
    let (part, ports) = detail("SSH", logins(5_000..5_001)).await;
    assert_eq!(part["row"]["events"], 5_001);
    assert_eq!(part["read"], 5_000);
    assert!(ports.ends_with(", 20 and at least 5 more"), "{ports}");
    let scan = numbered(6_000, sighting("hostportscan", &json!({ "ports": scan })));
    let (scan, ports) = detail("ports", vec![scan]).await;
    assert_eq!(scan["more_ports"], true);
    assert!(ports.ends_with(", 20 and at least 980 more"), "{ports}");
}

#[tokio::test]
async fn an_incident_counts_what_was_tried() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    bench
        .record(&[("root", "1"), ("root", "1"), ("admin", "2")])
        .await;
    let rows = json_of(bench.get("/page/rows", &cookie).await).await;
    let hash = rows["rows"][0]["hash"].as_str().unwrap();
    let detail = json_of(
        bench
            .get(&format!("/page/incident?hash={hash}"), &cookie)
            .await,
    )
    .await;
    assert_eq!(
        detail["tried"][0],
        json!({"user": "root", "password": "1", "count": 2})
    );
    assert_eq!(detail["events"].as_array().unwrap().len(), 3);
    let marks: u64 = detail["marks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m[1].as_u64().unwrap())
        .sum();
    assert_eq!(marks, 3);
    let more = json_of(
        bench
            .get(&format!("/page/events?hash={hash}&cursor=2"), &cookie)
            .await,
    )
    .await;
    assert_eq!(more["events"].as_array().unwrap().len(), 1);
    let gone = bench
        .get(&format!("/page/incident?hash={}", "0".repeat(32)), &cookie)
        .await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn changed_rows_come_after_the_number_asked_for() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    bench.record(&[("root", "1")]).await;
    let first = json_of(bench.get("/page/rows?q=is:open", &cookie).await).await;
    let newest = first["newest"].as_i64().unwrap();
    let path = format!("/page/rows?q=is:open&after={newest}");
    let none = json_of(bench.get(&path, &cookie).await).await;
    assert_eq!(none["rows"], json!([]));
    let key = first["rows"][0]["key"].as_str().unwrap();
    let incidents = bench.console.store.incidents();
    incidents
        .act(
            key,
            coalmine_store::incidents::Action::Acknowledge,
            false,
            "admin",
            now(),
        )
        .await
        .unwrap();
    let rows = json_of(bench.get(&path, &cookie).await).await;
    assert_eq!(rows["rows"][0]["open"], false);
    assert_eq!(rows["rows"][0]["listed"], false, "it has left the search");
    assert_eq!(rows["open"]["count"], 0);
}

#[tokio::test]
async fn a_change_is_told_by_the_stream() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let mut body = bench.get("/live", &cookie).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let first = String::from_utf8_lossy(&first);
    assert!(first.starts_with("event: ping\ndata: .\n"), "{first}");
    assert!(first.lines().any(|line| line == "retry: 500"), "{first}");
    bench.console.changes.send_replace(41);
    bench.console.changes.send_replace(42);
    let next = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&next),
        "data: 42\n\n",
        "two changes told as one"
    );
}

#[tokio::test]
async fn a_change_of_tokens_is_told_apart() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let mut body = bench.get("/live", &cookie).await.into_body();
    body.frame().await.unwrap().unwrap();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8_lossy(&frame).into_owned()
    };
    bench.token(1, "http", "a").await;
    let tokens = bench.console.store.tokens();
    tokens.set_memo(&tokens::id(1), "b").await.unwrap();
    assert_eq!(next().await, "event: tokens\ndata: .\n\n");
    tokens.delete(&tokens::id(1)).await.unwrap();
    assert_eq!(next().await, "event: tokens\ndata: .\n\n");
    bench.console.changes.send_replace(43);
    assert_eq!(next().await, "data: 43\n\n");
}

#[tokio::test]
async fn a_stream_ends_when_the_console_does() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let mut body = bench.get("/live", &cookie).await.into_body();
    body.frame().await.unwrap().unwrap();
    bench.console.stop.send_replace(true);
    let end = tokio::time::timeout(Duration::from_secs(1), body.frame()).await;
    assert!(end.expect("it ends at once").is_none());
}

#[tokio::test]
async fn streams_are_bounded() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.sign_in().await;
    let mut open = Vec::new();
    for _ in 0..super::live::MAX_STREAMS {
        open.push(bench.get("/live", &cookie).await);
    }
    assert!(
        open.iter()
            .all(|response| response.status() == StatusCode::OK)
    );
    let refused = bench.get("/live", &cookie).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(open);
    assert_eq!(bench.get("/live", &cookie).await.status(), StatusCode::OK);
}

#[test]
fn a_bad_location_goes_home() {
    let response = answer::see("/a\nb");
    assert_eq!(response.headers()[header::LOCATION], "/");
}
