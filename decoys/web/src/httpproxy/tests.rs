use std::net::SocketAddr;

use coalmine_core::Bird;
use coalmine_core::decoy::Tcp;
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

use super::*;

/// Conversations held with Squid 5.7 (Debian's 5.7-2+deb12u6) as `squid.rs` describes it, listening
/// on port 28080 of `files-02`; one a line, each input a list of messages, each message and output a
/// list of texts with a byte a character, where `["a", 9000]` stands for 9000 times `a`. Dates and
/// nonces are masked. The first line holds fragments that the outputs share.
const RECORDED: &str = include_str!("testdata/squid-5.7.jsonl");

#[test]
fn suite() {
    suite::check(&KIND);
}

/// A conversation under `settings`, at the address that the recorded server had.
fn talk(settings: &Value) -> Talk {
    let service = (KIND.build)(settings.as_object().unwrap(), &Bird::sample()).unwrap();
    let Some(Tcp::Sessions(sessions)) = service.tcp else {
        panic!("no sessions");
    };
    let context = Context {
        local: SocketAddr::from(([127, 0, 0, 1], 28_080)),
        ..Context::sample()
    };
    Talk::open(sessions.as_ref(), &context, KIND.limits.input)
}

fn squid() -> Talk {
    talk(&json!({}))
}

fn isa() -> Talk {
    talk(&json!({"skin": "ms-isa"}))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// A text of the recording.
fn recorded_text(parts: &Value) -> String {
    let parts = parts.as_array().unwrap().iter();
    parts
        .map(|part| match part.as_array() {
            Some(run) => {
                let times = usize::try_from(run[1].as_u64().unwrap()).unwrap();
                run[0].as_str().unwrap().repeat(times)
            }
            None => part.as_str().unwrap().to_owned(),
        })
        .collect()
}

/// `said` with what changes from one conversation to the next masked.
fn masked(said: &str) -> String {
    let date = Context::sample().now.format("%a, %d %b %Y %H:%M:%S GMT");
    let mut parts = said.split("nonce=\"");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text.push_str("nonce=\"NONCE");
        text.push_str(part.get(32..).unwrap());
    }
    text.replace(&date, "DATE")
}

#[test]
fn conversations_are_those_of_the_real_server() {
    let mut lines = RECORDED
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap());
    let fragments = lines.next().unwrap()["fragments"].clone();
    let expand = |text: String| {
        let mut text = text;
        for _ in 0..2 {
            for (name, fragment) in fragments.as_object().unwrap() {
                text = text.replace(name, fragment.as_str().unwrap());
            }
        }
        text
    };
    let mut differing = Vec::new();
    let mut count = 0;
    for recorded in lines {
        let mut talk = squid();
        let mut said = Vec::new();
        for message in recorded["in"].as_array().unwrap() {
            let message: Vec<u8> = recorded_text(message)
                .chars()
                .map(|c| u8::try_from(c).unwrap())
                .collect();
            said.extend(talk.say(message));
        }
        let said = masked(&text(&said));
        let wanted = expand(recorded_text(&recorded["out"]));
        count += 1;
        if said != wanted || talk.is_closed() != (recorded["closed"] == true) {
            differing.push(format!(
                "{}: closed {}\n  said {said:?}\n  real {wanted:?}",
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
    assert!(count > 500, "{count} conversations");
}

/// The event's fields: user, password, URL, user agent.
fn events(talk: &Talk) -> Vec<Value> {
    let seen = talk.events().into_iter();
    seen.map(|(logtype, event)| {
        assert_eq!(logtype, 7_001);
        event
    })
    .collect()
}

const GET: &str = "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n";

#[test]
fn every_request_is_told_with_its_credentials() {
    for (request, wanted) in [
        (
            format!("{GET}User-Agent: Mozilla/5.0\r\n\r\n"),
            json!({"URL": "http://example.com/", "USERAGENT": "Mozilla/5.0"}),
        ),
        (
            format!("{GET}Proxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"),
            json!({"USERNAME": "user", "PASSWORD": "pa:ss", "URL": "http://example.com/", "USERAGENT": ""}),
        ),
        (
            format!("{GET}Proxy-Authorization: Basic dXNlcg==\r\n\r\n"),
            json!({"USERNAME": "user", "URL": "http://example.com/", "USERAGENT": ""}),
        ),
        // Meant for the site, not for the proxy.
        (
            format!("{GET}Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"),
            json!({"URL": "http://example.com/", "USERAGENT": ""}),
        ),
        (
            "CONNECT Example.com:25 HTTP/1.1\r\nuser-agent: a\r\n\r\n".to_owned(),
            json!({"URL": "Example.com:25", "USERAGENT": "a"}),
        ),
        // Refused for other reasons, and yet somebody asked.
        (
            "GET /a?b=c HTTP/1.0\r\nUser-Agent: x\u{e9}\r\n\r\n".to_owned(),
            json!({"URL": "/a?b=c", "USERAGENT": "x\u{e9}"}),
        ),
        (
            format!("{GET}broken\r\n\r\n"),
            json!({"URL": "http://example.com/", "USERAGENT": ""}),
        ),
        (
            format!("{GET}X: {}\r\n\r\n", "x".repeat(70_000)),
            json!({"URL": "http://example.com/", "USERAGENT": ""}),
        ),
        (
            "GET http://example.com/old\r\n".to_owned(),
            json!({"URL": "http://example.com/old", "USERAGENT": ""}),
        ),
    ] {
        for mut talk in [squid(), isa()] {
            assert!(!talk.say(&request).is_empty(), "{request}");
            assert_eq!(events(&talk), std::slice::from_ref(&wanted), "{request}");
        }
    }
}

#[test]
fn what_is_no_request_is_no_event() {
    for input in [
        "SSH-2.0-x\r\n",
        "\x16\x03\x01\r\n",
        "\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n",
    ] {
        let mut talk = squid();
        talk.say(input);
        talk.end();
        assert!(talk.is_closed() && events(&talk).is_empty(), "{input:?}");
    }
}

#[test]
fn a_digest_on_our_nonce_is_offered_another_digest_alone() {
    let mut talk = squid();
    let challenge = text(&talk.say(format!("{GET}\r\n")));
    let nonce = challenge.split("nonce=\"").nth(1).unwrap();
    let nonce = nonce.split('"').next().unwrap();
    let digest = |nonce: &str| {
        format!(
            "{GET}Proxy-Authorization: Digest username=\"joe\", realm=\"Squid proxy-caching web server\", \
             nonce=\"{nonce}\", uri=\"/\", response=\"{}\", qop=auth, nc=00000001, cnonce=\"x\"\r\n\r\n",
            "0".repeat(32)
        )
    };
    let answer = text(&talk.say(digest(nonce)));
    assert!(!answer.contains("Basic realm"), "{answer}");
    assert!(answer.contains("stale=false\r\nX-Cache"), "{answer}");
    assert!(!answer.contains(nonce), "a nonce is never given twice");
    let hdaa = format!(
        "$response${}$joe$Squid proxy-caching web server$GET$/${nonce}$00000001$x$auth",
        "0".repeat(32)
    );
    assert_eq!(events(&talk)[1]["PASSWORD"], hdaa);
    assert_eq!(events(&talk)[1]["USERNAME"], "joe");
    // Half an hour later, on another connection to the same proxy.
    let mut late = squid();
    for _ in 0..16 {
        late.say(format!("{GET}\r\n"));
        late.advance(Duration::from_secs(115));
    }
    let answer = text(&late.say(digest(nonce)));
    assert!(
        answer.contains("Basic realm") && answer.contains("stale=true"),
        "{answer}"
    );
}

#[test]
fn connections_end_when_the_real_ones_do() {
    // No request within five minutes, however slowly it comes.
    let mut talk = squid();
    for _ in 0..2 {
        talk.say("GET http");
        talk.advance(Duration::from_secs(149));
    }
    assert!(!talk.is_closed());
    talk.say("x");
    assert_eq!(text(&talk.advance(Duration::from_secs(3))), "");
    assert!(talk.is_closed());
    // Nothing for two minutes after an answer.
    let mut talk = squid();
    talk.say(format!("{GET}\r\n"));
    talk.advance(Duration::from_secs(119));
    assert!(!talk.is_closed());
    talk.advance(Duration::from_secs(2));
    assert!(talk.is_closed());
    // A body whose rest never comes.
    let mut talk = squid();
    talk.say(
        format!("{GET}\r\n")
            .replace("GET", "POST")
            .replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\nab"),
    );
    talk.advance(Duration::from_secs(299));
    assert!(!talk.is_closed());
    talk.advance(Duration::from_secs(2));
    assert!(talk.is_closed());
}

#[test]
fn the_banner_is_the_products_name() {
    let mut talk = talk(&json!({"banner": "squid/6.13"}));
    let answer = text(&talk.say(format!("{GET}\r\n")));
    for wanted in [
        "\r\nServer: squid/6.13\r\n",
        "\r\nVia: 1.1 files-02 (squid/6.13)\r\n",
        " by files-02 (squid/6.13)</p>",
    ] {
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
}

#[test]
fn settings_are_checked_all_at_once() {
    let given = json!({"banner": "a\nb", "skin": "nginx"});
    let faults = HttpProxySettings::parse(given.as_object().unwrap()).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["banner", "skin"]);
}

/// Status lines and fields as published captures show them.
#[test]
fn the_isa_server_answers_in_its_own_words() {
    let login = "407 Proxy Authentication Required ( The ISA Server requires authorization to fulfill the request. \
         Access to the Web Proxy filter is denied.  )";
    let no_protocol = "502 Proxy Error ( The Uniform Resource Locator (URL) does not use a recognized protocol. \
         Either the protocol is not supported or the request was not typed correctly. \
         Confirm that a valid protocol is in use (for example, HTTP for a Web request).  )";
    let tunnel = "502 Proxy Error ( The specified Secure Sockets Layer (SSL) port is not allowed. \
         ISA Server is not configured to allow SSL requests from this port. \
         Most Web browsers use port 443 for SSL requests.  )";
    let invalid = "400 Bad Request ( The data is invalid.  )";
    let too_large = "502 Proxy Error ( The size of the request header is too large. \
         Contact your ISA Server administrator.  )";
    let big = format!("{GET}X: {}\r\n\r\n", "x".repeat(70_000));
    for (request, status, keeps) in [
        (format!("{GET}\r\n").as_str(), login, true),
        ("GET http://a/ HTTP/1.0\r\n\r\n", login, false),
        (
            "GET http://a/ HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n\r\n",
            login,
            true,
        ),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", login, true),
        (
            "GET ftp://a/ HTTP/1.1\r\nConnection: close\r\n\r\n",
            login,
            false,
        ),
        ("CONNECT a:25 HTTP/1.1\r\n\r\n", tunnel, false),
        ("GET / HTTP/1.0\r\n\r\n", no_protocol, false),
        ("GET wais://a/ HTTP/1.1\r\n\r\n", no_protocol, false),
        ("GET http://a/ HTTP/2.0\r\n", invalid, false),
        ("SSH-2.0-x\r\n", invalid, false),
        ("GET http://a/ HTTP/1.1\r\nbroken\r\n\r\n", invalid, false),
        (big.as_str(), too_large, false),
    ] {
        let mut talk = isa();
        let answer = text(&talk.say(request));
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        let connection = if keeps { "Keep-Alive" } else { "close" };
        let challenge = match status == login {
            true => {
                "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: Kerberos\r\n\
                 Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=\"FILES-02\"\r\n"
            }
            false => "",
        };
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 {status}\r\nVia: 1.1 FILES-02\r\n{challenge}Connection: {connection}\r\n\
                 Proxy-Connection: {connection}\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
                 Content-Type: text/html\r\nContent-Length: {}",
                page.len()
            )
        );
        let words = status.split_once(" ( ").unwrap().1.trim_end_matches("  )");
        assert!(page.contains(words) && page.contains("[GMT]"), "{page}");
        assert_eq!(talk.is_closed(), !keeps, "{request}");
    }
    let answer = text(&isa().say("HEAD http://a/ HTTP/1.1\r\n\r\n"));
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let mut named = talk(&json!({"skin": "ms-isa", "banner": "TMG01"}));
    let answer = text(&named.say(format!("{GET}\r\n")));
    assert!(answer.contains("Via: 1.1 TMG01\r\n"));
    assert!(answer.contains("Proxy-Authenticate: Basic realm=\"TMG01\"\r\n"));
}

/// The answer to a first message is published captures', its token the machine's own.
#[test]
fn the_isa_server_challenges_and_tells_of_ntlm() {
    let mut talk = isa();
    let first = "Proxy-Authorization: NTLM TlRMTVNTUAABAAAAB4IIAAAAAAAAAAAAAAAAAAAAAAA=";
    let answer = text(&talk.say(format!("{GET}{first}\r\n\r\n")));
    let (before, rest) = answer.split_once("NTLM ").unwrap();
    assert_eq!(
        before,
        "HTTP/1.1 407 Proxy Authentication Required ( Access is denied.  )\r\nVia: 1.1 FILES-02\r\n\
         Proxy-Authenticate: "
    );
    let (token, after) = rest.split_once("\r\n").unwrap();
    assert_eq!(
        after,
        "Connection: Keep-Alive\r\nProxy-Connection: Keep-Alive\r\nPragma: no-cache\r\n\
         Cache-Control: no-cache\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(talk.events(), []);
    let challenge = crate::http::windows::tests::challenge(token);
    let last = crate::http::windows::tests::last("CORP", "jsmith");
    let answer = text(&talk.say(format!("{GET}Proxy-Authorization: NTLM {last}\r\n\r\n")));
    assert!(
        answer.contains("Proxy-Authenticate: Negotiate\r\n"),
        "{answer}"
    );
    let (lm, nt) = ("01".repeat(24), "02".repeat(24));
    let told = &talk.events()[0].1;
    assert_eq!(told["USERNAME"], "CORP\\jsmith");
    assert_eq!(
        told["NTLM_HASH"],
        format!("jsmith::CORP:{lm}:{nt}:{challenge}")
    );
    assert_eq!(told["PASSWORD"], Value::Null);
}
