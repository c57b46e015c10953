use std::collections::{BTreeMap, BTreeSet};
mod iis;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Channel, Sessions};
use coalmine_core::suite::Talk;
use coalmine_core::{Bird, Context, Seed, Timestamp};
use serde_json::{Value, json};

use super::persona::Persona;
use super::site::{Face, File, Site};
use super::{KIND, Server};

/// Conversations held with nginx 1.22.1-9+deb12u11 of Debian over [`reference`], one a line. In an
/// input, `["a", 9000]` stands for 9000 times `a`; every `Date` is masked.
const NGINX: &str = include_str!("testdata/nginx-1.22.1.jsonl");
/// The same, and some more, with Apache 2.4.71 of Debian in its packaged configuration.
const APACHE: &str = include_str!("testdata/apache-2.4.71.jsonl");

/// The site that the real servers had.
fn reference(persona: Persona) -> Site {
    let mut site = Site {
        skin_name: "reference",
        skin: None,
        words: Vec::new(),
        persona,
        face: Face {
            server: persona.server().to_owned(),
            name: "files-02".to_owned(),
        },
        takes_forms: false,
        fields: Vec::new(),
        tells_loads: false,
        login_delay: 475,
        realms: vec![("/private/".to_owned(), "Restricted".to_owned())],
        windows: None,
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
            match persona {
                Persona::Apache => "text/javascript",
                _ => "application/javascript",
            },
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
fn conversations_are_those_of_nginx() {
    let (count, differing) = differing(Persona::Nginx, NGINX);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(count > 250);
}

#[test]
fn conversations_are_those_of_apache() {
    let (count, differing) = differing(Persona::Apache, APACHE);
    assert!(
        differing.is_empty(),
        "{} of {count} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
    assert!(count > 280);
}

/// How many conversations there are, and those that we hold otherwise.
fn differing(persona: Persona, recorded: &str) -> (usize, Vec<String>) {
    let server = Server {
        site: Arc::new(reference(persona)),
    };
    let mut differing = Vec::new();
    let mut count = 0;
    for line in recorded.lines() {
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
    (count, differing)
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

/// Skins with a login page.
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
        machine: bird.machine.clone(),
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
    assert_eq!(told, [3000, 3006, 3002]);
    ask(&mut talk, get("/nope"));
    assert_eq!(talk.events()[3].0, 3003);
}

#[test]
fn settings_shape_every_answer() {
    let mut talk = talk(&json!({
        "banner": "nginx/1.24.0", "headers.enabled": true, "headers.items": ["X-Site: berlin"],
    }));
    let answer = ask(&mut talk, "bad\r\n\r\n");
    assert!(answer.contains("Server: nginx/1.24.0\r\n") && answer.contains("X-Site: berlin\r\n"));
    assert!(answer.contains("<center>nginx/1.24.0</center>"));
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

#[test]
fn what_cannot_be_read_is_told_as_an_error_page_and_counts_as_scanning() {
    for banner in ["", "Apache/2.4.71 (Debian)", "Microsoft-IIS/10.0"] {
        let mut quiet = talk(&json!({ "banner": banner }));
        ask(&mut quiet, "g\x01rbage\r\n\r\n");
        assert_eq!(quiet.events(), [], "page loads are off");
        let mut told = talk(&json!({"page_load_alerts": true, "banner": banner}));
        ask(&mut told, "G(ET /odd one\r\n\r\n");
        let event = json!({"PATH": "/odd one", "METHOD": "G(ET", "RESPONSE": 400,
            "USERAGENT": "", "SKIN": "nasLogin"});
        assert_eq!(told.events(), [(3003, event)], "{banner}");
    }
    let service = (KIND.build)(&serde_json::Map::new(), &Bird::sample()).unwrap();
    let mut last = Vec::new();
    for n in 0..30 {
        let mut talk = Talk::of(&KIND, &service);
        ask(
            &mut talk,
            format!("GET /%zz{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        last.extend(talk.events());
    }
    let told = json!({"METHOD": "GET", "PATH": "/%zz9 HTTP/1.1", "RESPONSE": 400});
    assert_eq!(last, [(3004, told)]);
}

#[test]
fn the_server_in_front_follows_the_banner() {
    for (banner, opening, foot) in [
        (
            "Apache/2.4.62 (Debian)",
            "Date: ",
            "Apache/2.4.62 (Debian) Server at files-02 Port 80",
        ),
        (
            "Microsoft-IIS/10.0",
            "Content-Type: text/html; charset=utf-8\r\n",
            "",
        ),
    ] {
        let mut talk = talk(&json!({ "banner": banner }));
        let front = ask(&mut talk, get("/"));
        let start = format!("HTTP/1.1 200 OK\r\n{opening}");
        assert!(front.contains(&format!("Server: {banner}\r\n")), "{front}");
        assert!(
            front.contains("<form") && front.contains("Set-Cookie: "),
            "{front}"
        );
        if banner.starts_with("Apache") {
            assert!(front.starts_with(&start), "{front}");
            let answer = ask(&mut talk, "AAAA / HTTP/1.1\r\nHost: files-02\r\n\r\n");
            assert!(
                answer.starts_with("HTTP/1.1 501 Not Implemented\r\n"),
                "{answer}"
            );
        } else {
            assert!(front.contains(opening), "{front}");
        }
        let mut fresh = self::talk(&json!({ "banner": banner }));
        assert!(ask(&mut fresh, "bad\r\n\r\n").contains(foot));
    }
}

#[test]
fn a_fresh_apache_has_its_page_and_a_guarded_folder() {
    let mut talk = talk(&json!({"skin": "apacheDefault"}));
    let front = ask(&mut talk, get("/"));
    assert!(
        front.contains("<title>Apache2 Debian Default Page: It works</title>"),
        "{front}"
    );
    assert!(front.contains("Server: Apache/2.4.71 (Debian)\r\n"));
    assert!(front.contains("Content-Length: 10701\r\n"), "{front}");
    assert!(ask(&mut talk, get("/icons/openlogo-75.png")).starts_with("HTTP/1.1 200 OK"));
    let packed =
        talk.say(get("/").replace("\r\n\r\n", "\r\nAccept-Encoding: br, gzip;q=1\r\n\r\n"));
    let head = String::from_utf8_lossy(&packed);
    assert!(head.contains("-gzip\"\r\n") && head.contains("Content-Encoding: gzip\r\n"));
    for path in ["/admin", "/admin/x"] {
        let guarded = get(path).replace("\r\n\r\n", "\r\nAuthorization: Basic YTpi\r\n\r\n");
        assert!(ask(&mut talk, guarded).starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    }
    assert!(ask(&mut talk, get("/administrator")).starts_with("HTTP/1.1 404"));
    let told: Vec<_> = talk
        .events()
        .iter()
        .map(|e| (e.0, e.1["PATH"].clone()))
        .collect();
    assert_eq!(told, [(3001, json!("/admin")), (3001, json!("/admin/x"))]);
}

#[test]
fn the_docker_api_answers_in_json_and_tells_every_request() {
    let mut talk = talk(&json!({"skin": "dockerApi"}));
    for (request, code, text) in [
        (get("/_ping"), 200, "\r\n\r\nOK"),
        (get("/version"), 200, "\"ApiVersion\":\"1.41\""),
        (
            get("/v1.41/info"),
            200,
            "\"OperatingSystem\":\"Debian GNU/Linux 12 (bookworm)\"",
        ),
        (get("/networks"), 200, "\"docker0\""),
        (get("/v1.24/containers/json?all=1"), 200, "\r\n\r\n[]\n"),
        (
            get("/v1.99/version"),
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.41",
        ),
        (get("/v1.2/version"), 400, "client version 1.2 is too old."),
        (
            get("/containers/abc/json"),
            404,
            "{\"message\":\"No such container: abc\"}\n",
        ),
        (get("/images/a/b/json"), 404, "No such image: a/b:latest"),
        (get("/swarm"), 503, "This node is not a swarm manager."),
        (
            get("/nope").replace("GET", "OPTIONS"),
            200,
            "Server: Docker/20.10.24+dfsg1 (linux)\r\n",
        ),
        (get("/nope"), 404, "{\"message\":\"page not found\"}\n"),
        (
            post(
                "/containers/create",
                "application/json",
                r#"{"Image":"alpine","Cmd":["id"]}"#,
            ),
            404,
            "No such image: alpine:latest",
        ),
        (
            post("/containers/create", "text/plain", "{}"),
            400,
            "Content-Type specified (text/plain) must be 'application/json'",
        ),
        (
            post("/containers/create", "application/json", ""),
            400,
            "config cannot be empty",
        ),
        (
            post("/images/create?fromImage=alpine", "text/plain", ""),
            500,
            "no such host",
        ),
        (
            post(
                "/auth",
                "application/json",
                r#"{"username":"u","password":"p"}"#,
            ),
            401,
            "incorrect username or password",
        ),
    ] {
        let before = talk.events().len();
        let answer = ask(&mut talk, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains(text), "{request}: {answer}");
        assert!(
            !answer.contains("{{") && !answer.contains("nginx"),
            "{answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{answer}"
        );
        if head.contains("application/json") {
            serde_json::from_str::<Value>(body).unwrap();
        }
        let told = talk.events();
        assert_eq!(told.last().map(|e| e.0), Some(3005));
        let login = request.starts_with("POST /auth");
        assert_eq!(told.len(), before + if login { 2 } else { 1 });
    }
    let told = talk.events();
    let create = told
        .iter()
        .find(|e| e.1["POSTDATA"]["Image"] == "alpine")
        .unwrap();
    assert_eq!(
        create.1,
        json!({
            "HEADERS": {"Host": "files-02", "User-Agent": "t", "Content-Type": "application/json", "Content-Length": "31"},
            "HOSTNAME": "files-02", "METHOD": "POST", "PATH": "/containers/create",
            "POSTDATA": {"Image": "alpine", "Cmd": ["id"]}, "RESPONSE": 404, "SKIN": "dockerApi",
            "USERAGENT": "t"
        })
    );
}

#[test]
fn go_refuses_in_plain_text() {
    for (request, said) in [
        ("bad\r\n", "400 Bad Request"),
        ("\r\n", "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "400 Bad Request: missing required Host header",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "400 Bad Request: too many Host headers",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "400 Bad Request: malformed Host header",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nx(y): z\r\n\r\n",
            "400 Bad Request: invalid header name",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nx: \u{1}\r\n\r\n",
            "400 Bad Request: invalid header value",
        ),
        (
            "GET / HTTP/2.0\r\n\r\n",
            "505 HTTP Version Not Supported: unsupported protocol version",
        ),
    ] {
        let mut talk = talk(&json!({"skin": "dockerApi"}));
        let answer = ask(&mut talk, request);
        let line = said.split(':').next().unwrap();
        assert_eq!(
            answer,
            format!(
                "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{said}"
            )
        );
        assert!(talk.is_closed());
    }
    let mut old = talk(&json!({"skin": "dockerApi"}));
    assert!(
        ask(&mut old, "GET /_ping HTTP/1.0\r\n\r\n")
            .starts_with("HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n")
    );
    assert!(old.is_closed());
}

#[test]
fn pages_of_the_operators_own_are_served_and_their_forms_captured() {
    let dir = tempfile::tempdir().unwrap();
    let page = "<form method=post><input name=user><input name=password type=password></form>";
    put(&dir.path().join("index.html"), page);
    put(&dir.path().join("img/a.svg"), "<svg/>");
    for banner in ["", "Apache/2.4.71 (Debian)", "Microsoft-IIS/10.0"] {
        let mut talk = talk(&json!({
            "userwebroot": dir.path().to_str().unwrap(), "banner": banner,
        }));
        let front = ask(&mut talk, get("/"));
        assert!(
            front.starts_with("HTTP/1.1 200 OK") && front.ends_with(page),
            "{front}"
        );
        assert!(ask(&mut talk, get("/img/a.svg")).contains("Content-Type: image/svg+xml"));
        assert!(ask(&mut talk, get("/assets/logo.svg")).starts_with("HTTP/1.1 404"));
        for path in ["/../index.html", "/%2e%2e/etc/passwd", "/img/../../x"] {
            let mut other = self::talk(&json!({
                "userwebroot": dir.path().to_str().unwrap(), "banner": banner,
            }));
            assert!(
                ask(&mut other, get(path)).starts_with("HTTP/1.1 400"),
                "{path}"
            );
        }
        let again = ask(&mut talk, post("/", FORM, "user=eve&password=pw1"));
        assert!(
            again.starts_with("HTTP/1.1 200 OK") && again.ends_with(page),
            "{again}"
        );
        let told = talk.events();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].0, &told[0].1["USERNAME"]), (3001, &json!("eve")));
        assert_eq!(told[0].1["SKIN"], "userwebroot");
    }
    let given = json!({"userwebroot": "/no/such/folder"});
    let faults = (KIND.build)(given.as_object().unwrap(), &Bird::sample())
        .err()
        .unwrap();
    assert_eq!(faults[0].key, "userwebroot");
    assert!(faults[0].problem.contains("can't be read"), "{}", faults[0]);
}

#[expect(clippy::disallowed_methods, reason = "a test lays files out")]
fn put(path: &std::path::Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The suites of the registry know the usual settings alone.
#[test]
fn every_server_survives_what_is_broken_and_reads_it_the_same_in_pieces() {
    let mut seed = Seed::new([3; 32]);
    for skin in ["apacheDefault", "iisStart", "dockerApi"] {
        let settings = json!({"skin": skin, "page_load_alerts": true});
        for (nth, line) in APACHE.lines().enumerate().filter(|(n, _)| n % 3 == 0) {
            let recorded: Value = serde_json::from_str(line).unwrap();
            let segments = recorded["in"].as_array().unwrap();
            let mut input: Vec<u8> = segments.iter().flat_map(segment_bytes).collect();
            input.truncate(600);
            for round in 0..3 {
                seed = seed.derive(&format!("{skin} {nth} {round}"));
                let at = usize::try_from(seed.number("at", 0, 600)).unwrap();
                if round > 0
                    && let Some(byte) = input.get_mut(at)
                {
                    *byte = seed.take::<1>("byte")[0];
                }
                let mut whole = talk(&settings);
                whole.say(&input);
                whole.settle();
                whole.end();
                let mut pieces = talk(&settings);
                for byte in &input {
                    pieces.say([*byte]);
                }
                pieces.settle();
                pieces.end();
                let told = |talk: &Talk| {
                    let events = talk.events().into_iter();
                    // What can't be read is told as far as it had come.
                    events
                        .map(|(code, fields)| (code, fields["RESPONSE"].clone()))
                        .collect::<Vec<_>>()
                };
                assert_eq!(told(&whole), told(&pieces), "{skin}: {}", recorded["name"]);
            }
        }
    }
}
