use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Channel, Sessions};
use coalmine_core::suite::Talk;
use coalmine_core::{Bird, Context, Seed, Timestamp};
use serde_json::{Value, json};

use super::site::{File, Site};
use super::{KIND, Server};

/// Conversations held with nginx 1.22.1-9+deb12u11 of Debian over [`reference`], one a line. In an
/// input, `["a", 9000]` stands for 9000 times `a`; every `Date` is masked.
const RECORDED: &str = include_str!("testdata/nginx-1.22.1.jsonl");

/// The site that the real server had.
fn reference() -> Site {
    let mut site = Site {
        skin_name: "reference",
        skin: None,
        words: Vec::new(),
        server: "nginx/1.22.1".to_owned(),
        fields: Vec::new(),
        tells_loads: false,
        login_delay: 475,
        realms: vec![("/private/".to_owned(), "Restricted".to_owned())],
        missing: None,
        files: BTreeMap::new(),
        directories: BTreeSet::new(),
        scans: Default::default(),
    };
    let html = "text/html";
    for (path, content_type, body) in [
        (
            "/index.html",
            html,
            "<!doctype html><title>front</title><p>The front page of a small site.</p>\n",
        ),
        ("/style.css", "text/css", "body{color:#123}\n"),
        (
            "/assets/app.js",
            "application/javascript",
            "console.log(1)\n",
        ),
        (
            "/docs/index.html",
            html,
            "<!doctype html><title>docs</title>\n",
        ),
        ("/private/a.txt", "text/plain", "secret\n"),
    ] {
        let file = File {
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
            modified: Timestamp::from_secs(1_700_000_000),
        };
        site.add(path, file);
    }
    site
}

#[test]
fn conversations_are_those_of_the_real_server() {
    let server = Server {
        site: Arc::new(reference()),
    };
    let mut differing = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let local = "127.0.0.1:18080".parse().unwrap();
        let on_tls = recorded["clear_on_tls"] == true;
        let context = Context {
            local,
            channel: if on_tls {
                Channel::ClearOnTls
            } else {
                Channel::Clear
            },
            ..Context::sample()
        };
        let mut talk = Talk::open(&server as &dyn Sessions, &context, KIND.limits.input);
        let mut said = Vec::new();
        for segment in recorded["in"].as_array().unwrap() {
            said.extend(talk.say(segment_bytes(segment)));
            said.extend(talk.settle());
        }
        said.extend(talk.advance(Duration::from_millis(1_200)));
        let expected = bytes(recorded["out"].as_str().unwrap());
        let said = masked(&String::from_utf8_lossy(&said));
        let expected = String::from_utf8_lossy(&expected).into_owned();
        count += 1;
        if said != expected || talk.is_closed() != (recorded["closed"] == true) {
            differing.push(format!(
                "{}: closed {}\n  said {said:?}\n  real {expected:?}",
                recorded["name"],
                talk.is_closed()
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} of {count} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
    assert!(count > 250);
}

/// `text` with every date of the conversation's first minute masked.
fn masked(text: &str) -> String {
    let start = Context::sample().now;
    (0..60).fold(text.to_owned(), |text, second| {
        let date = super::reply::date(start.plus(Duration::from_secs(second)));
        text.replace(&format!("Date: {date}"), "Date: DATE")
    })
}

fn segment_bytes(segment: &Value) -> Vec<u8> {
    match segment {
        Value::String(text) => bytes(text),
        Value::Array(parts) => parts
            .iter()
            .flat_map(|part| match part {
                Value::Array(run) => bytes(run[0].as_str().unwrap())
                    .repeat(usize::try_from(run[1].as_u64().unwrap()).unwrap()),
                part => bytes(part.as_str().unwrap()),
            })
            .collect(),
        other => panic!("{other}"),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[test]
fn holds_what_every_kind_holds() {
    coalmine_core::suite::check(&KIND);
}

const SKINS: [&str; 3] = ["nasLogin", "basicLogin", "routerLogin"];

fn talk(settings: &Value) -> Talk {
    Talk::with(&KIND, settings)
}

/// Says `bytes` and lets all pauses pass.
fn ask(talk: &mut Talk, bytes: impl AsRef<[u8]>) -> String {
    let mut said = talk.say(bytes);
    said.extend(talk.settle());
    String::from_utf8_lossy(&said).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: files-02\r\nUser-Agent: t\r\n\r\n")
}

fn post(path: &str, kind: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: files-02\r\nUser-Agent: t\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Every address in a page that a browser would load.
fn addresses(page: &str) -> Vec<String> {
    page.split(['"', '\''])
        .filter(|part| part.starts_with('/') && part.len() > 1 && !part.contains(' '))
        .filter(|part| part.contains('.') && !part.contains(".cgi"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_skin_is_whole() {
    for skin in SKINS {
        let mut talk = talk(&json!({ "skin": skin }));
        let front = ask(&mut talk, get("/"));
        assert!(front.starts_with("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n"));
        assert!(
            front.contains("Set-Cookie: ") && !front.contains("{{"),
            "{front}"
        );
        let assets = addresses(&front);
        assert!(assets.len() >= 4, "{skin}: {assets:?}");
        for asset in assets {
            let answer = ask(&mut talk, get(&asset));
            assert!(
                answer.starts_with("HTTP/1.1 200 OK"),
                "{skin} lacks {asset}"
            );
            assert!(answer.contains("ETag: ") && !answer.contains("{{"));
        }
        let missing = ask(&mut talk, get("/assets/app.00000000.css"));
        assert!(missing.starts_with("HTTP/1.1 404 Not Found"), "{missing}");
        assert_eq!(talk.events(), [], "loads aren't told unless asked for");
    }
}

#[test]
fn installations_differ_and_each_is_constant() {
    let page = |bird: &Bird| {
        let service = (KIND.build)(&serde_json::Map::new(), &Arc::new(clone_of(bird))).ok();
        ask(&mut Talk::of(&KIND, &service.unwrap()), get("/"))
    };
    let bird = Bird::sample();
    let other = Bird {
        seed: Seed::new([8; 32]),
        ..clone_of(&bird)
    };
    assert_eq!(page(&bird), page(&bird));
    assert_ne!(
        addresses(&page(&bird)),
        addresses(&page(&other)),
        "asset names are an installation's own"
    );
}

fn clone_of(bird: &Bird) -> Bird {
    Bird {
        node_id: bird.node_id,
        name: bird.name.clone(),
        seed: bird.seed.clone(),
        booted: bird.booted,
        vault: bird.vault.clone(),
    }
}

#[test]
fn a_wrong_login_is_told_before_a_late_answer() {
    for (skin, path, body, code) in [
        ("nasLogin", "/login", "username=eve&password=pw1", 200),
        ("basicLogin", "/login", "username=eve&password=pw1", 200),
        ("routerLogin", "/login.cgi", "user=eve&pwd=pw1", 200),
    ] {
        let mut talk = talk(&json!({ "skin": skin }));
        assert_eq!(talk.say(post(path, FORM, body)), b"");
        assert_eq!(
            talk.events(),
            [(
                3001,
                json!({"USERNAME": "eve", "PASSWORD": "pw1", "PATH": path, "USERAGENT": "t",
                    "METHOD": "POST", "RESPONSE": code, "SKIN": skin, "HOSTNAME": "files-02"})
            )]
        );
        assert_eq!(talk.advance(Duration::from_millis(300)), b"");
        let page = String::from_utf8(talk.settle()).unwrap();
        assert!(page.starts_with(&format!("HTTP/1.1 {code} ")), "{page}");
        assert!(page.contains("value=\"eve\"") && !page.contains("pw1"));
        assert!(
            page.contains("rong user")
                || page.contains("nvalid user")
                || page.contains("is incorrect")
        );
        assert!(!talk.is_closed());
    }
}

#[test]
fn logins_are_told_wherever_and_however_they_come() {
    let mut talk = talk(&json!({}));
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"login\"\r\n\r\nm\r\n\
                     --b\r\nContent-Disposition: form-data; name=\"pass\"\r\n\r\nn\r\n--b--\r\n";
    for (request, code, user) in [
        (post("/wp-login.php", FORM, "log=w&pwd=x"), 404, "w"),
        (
            post("/", "multipart/form-data; boundary=b", multipart),
            200,
            "m",
        ),
        (
            post(
                "/api/v2/session",
                "application/json",
                r#"{"username":"j","password":"k"}"#,
            ),
            401,
            "j",
        ),
        (get("/?user=g&password=h"), 200, "g"),
        (post("/robots.txt", FORM, "user=s&password=t"), 405, "s"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YmFzOmljOg==\r\n\r\n".to_owned(),
            200,
            "bas",
        ),
        (
            "GET /dav/x HTTP/1.1\r\nHost: a\r\nAuthorization: Basic ZGF2OnB3\r\n\r\n".to_owned(),
            401,
            "dav",
        ),
        (
            "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Digest username=\"dig\"\r\n\r\n"
                .to_owned(),
            404,
            "dig",
        ),
    ] {
        let before = talk.events().len();
        let answer = ask(&mut talk, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        let events = talk.events();
        assert_eq!(events.len(), before + 1, "one event for {request}");
        let (logtype, fields) = &events[before];
        assert_eq!((*logtype, &fields["USERNAME"]), (3001, &json!(user)));
        assert_eq!(fields["RESPONSE"], code);
    }
}

#[test]
fn what_the_peer_sends_is_no_markup() {
    let mut talk = talk(&json!({}));
    let page = ask(
        &mut talk,
        post(
            "/login",
            FORM,
            "username=%22%3E%3Cscript%3E{{csrf}}&password=x",
        ),
    );
    assert!(
        page.contains("value=\"&#34;&gt;&lt;script&gt;&#123;&#123;csrf}}\""),
        "{page}"
    );
}

#[test]
fn a_login_whose_body_comes_late_is_told() {
    let mut talk = talk(&json!({}));
    let request = post("/nope", FORM, "user=a&password=b");
    let (head, body) = request.split_at(request.len() - 17);
    assert_eq!(talk.say(head), b"");
    let answer = talk.advance(Duration::from_secs(1));
    assert!(
        answer.starts_with(b"HTTP/1.1 404 "),
        "as nginx, without waiting for the body"
    );
    assert_eq!(ask(&mut talk, body), "");
    assert_eq!(talk.events().last().map(|e| e.0), Some(3001));
    assert!(ask(&mut talk, get("/robots.txt")).starts_with("HTTP/1.1 200"));
}

#[test]
fn scans_and_posts_to_nowhere_are_told() {
    let service = (KIND.build)(&serde_json::Map::new(), &Bird::sample()).unwrap();
    let mut talk = Talk::of(&KIND, &service);
    for n in 0..30 {
        ask(&mut talk, get(&format!("/{n}.php?x")));
    }
    assert_eq!(
        talk.events(),
        [(
            3004,
            json!({"METHOD": "GET", "PATH": "/9.php?x", "RESPONSE": 404})
        )]
    );
    let mut talk = Talk::of(&KIND, &service);
    ask(&mut talk, post("/shell.php", FORM, "cmd=id"));
    assert_eq!(talk.events()[0].0, 3006);
    assert_eq!(talk.events()[0].1["PATH"], "/shell.php");
}

#[test]
fn page_loads_are_told_when_asked_for() {
    let mut talk = talk(&json!({"page_load_alerts": true}));
    ask(&mut talk, get("/"));
    ask(&mut talk, post("/robots.txt", FORM, "a=b"));
    ask(&mut talk, post("/login", FORM, "a=b"));
    let told: Vec<_> = talk.events().iter().map(|e| e.0).collect();
    assert_eq!(told, [3000, 3003, 3002]);
}

#[test]
fn settings_shape_every_answer() {
    let mut talk = talk(&json!({
        "banner": "Apache/2.4.57", "headers.enabled": true, "headers.items": ["X-Site: berlin"],
    }));
    let answer = ask(&mut talk, "bad\r\n\r\n");
    assert!(answer.contains("Server: Apache/2.4.57\r\n") && answer.contains("X-Site: berlin\r\n"));
    assert!(answer.contains("<center>Apache/2.4.57</center>"));
    for bad in ["no colon", "a b: c", ": x", "a: b\r\nc: d"] {
        let given = json!({"headers.items": [bad]});
        assert!(
            (KIND.build)(given.as_object().unwrap(), &Bird::sample()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn the_thousandth_request_is_the_last() {
    let mut talk = talk(&json!({}));
    for _ in 1..1_000 {
        assert!(ask(&mut talk, get("/robots.txt")).contains("Connection: keep-alive"));
    }
    assert!(ask(&mut talk, get("/robots.txt")).contains("Connection: close"));
    assert!(talk.is_closed());
}

#[test]
fn silence_and_endless_bodies_end() {
    let mut silent = talk(&json!({}));
    silent.advance(Duration::from_secs(59));
    assert!(!silent.is_closed());
    silent.advance(Duration::from_secs(2));
    assert!(silent.is_closed());

    let mut kept = talk(&json!({}));
    ask(&mut kept, get("/robots.txt"));
    kept.advance(Duration::from_secs(74));
    assert!(!kept.is_closed());
    kept.advance(Duration::from_secs(2));
    assert!(kept.is_closed());

    let mut endless = talk(&json!({}));
    ask(
        &mut endless,
        "POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    let mut said = String::new();
    for _ in 0..40 {
        said.push_str(&ask(&mut endless, &chunk));
    }
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert!(endless.is_closed());
}
