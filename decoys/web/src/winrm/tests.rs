use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::Machine;
use coalmine_core::machine::{Domain, System};
use coalmine_core::suite::{Talk, check};
use coalmine_wire::ntlmssp;
use serde_json::json;

use super::*;

#[test]
fn holds_what_every_kind_holds() {
    check(&KIND);
}

/// A Windows in a domain, with Basic authentication.
fn member(basic: bool) -> Talk {
    let sample = Bird::sample();
    let bird = Bird {
        node_id: sample.node_id,
        name: "SRV-01".to_owned(),
        machine: Machine {
            system: System::find("windows-server-2022").unwrap(),
            domain: Domain::new("corp.example.net").ok(),
        },
        seed: sample.seed.clone(),
        booted: sample.booted,
        vault: sample.vault.clone(),
    };
    let settings = json!({ "basic": basic });
    let service = build(settings.as_object().unwrap(), &Arc::new(bird));
    Talk::of(&KIND, &service.ok().unwrap())
}

fn say(talk: &mut Talk, request: &str) -> String {
    String::from_utf8(talk.say(request)).unwrap()
}

/// What WinRM says, but for the date.
fn undated(said: &str) -> String {
    let lines = said.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("Date: ")).collect()
}

const CHALLENGE: &str = "HTTP/1.1 401 \r\nServer: Microsoft-HTTPAPI/2.0\r\nWWW-Authenticate: Negotiate\r\n\
    WWW-Authenticate: Kerberos\r\nWWW-Authenticate: Basic realm=\"WSMAN\"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[test]
fn whoever_shows_nothing_is_told_the_ways_to_log_in() {
    for request in [
        "POST /wsman HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET /WSMAN HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /wsman/SubscriptionManager/WEC HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST /wsman HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n",
        "POST /wsman HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n",
        "POST /wsman HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ] {
        let mut talk = member(true);
        assert_eq!(undated(&say(&mut talk, request)), CHALLENGE, "{request}");
        assert!(talk.is_closed());
        assert_eq!(talk.events(), []);
    }
    let mut alone = Talk::new(&KIND);
    let said = say(
        &mut alone,
        "POST /wsman HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(
        undated(&said),
        "HTTP/1.1 401 \r\nServer: Microsoft-HTTPAPI/2.0\r\nWWW-Authenticate: Negotiate\r\n\
         Connection: close\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn elsewhere_and_to_the_malformed_http_sys_speaks() {
    for (request, first, words) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "404 Not Found",
            "HTTP Error 404. The requested resource is not found.",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "400 Bad Request",
            "Bad Request - Invalid Hostname",
        ),
        (
            "\x01 / HTTP/1.1\r\n",
            "400 Bad Request",
            "Bad Request - Invalid Verb",
        ),
        (
            "GET / HTTP/2.0\r\n",
            "505 HTTP Version Not Supported",
            "HTTP Error 505",
        ),
        (
            "POST /wsman HTTP/1.1\r\nHost: a\r\n\r\n",
            "411 Length Required",
            "HTTP Error 411",
        ),
        (
            "POST /wsman HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "400 Bad Request",
            "invalid content length or chunk length",
        ),
    ] {
        let mut talk = Talk::new(&KIND);
        let said = say(&mut talk, request);
        assert!(said.starts_with(&format!("HTTP/1.1 {first}\r\nContent-Type: text/html; charset=us-ascii\r\nServer: Microsoft-HTTPAPI/2.0\r\nDate: ")), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(talk.is_closed());
    }
    let mut talk = Talk::new(&KIND);
    let page = say(&mut talk, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(page.contains("Connection: close\r\nContent-Length: 315\r\n\r\n<!DOCTYPE"));
    let mut talk = Talk::new(&KIND);
    let bare = say(&mut talk, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(bare.ends_with("Content-Length: 315\r\n\r\n"), "{bare}");
}

#[test]
fn whoever_asks_for_its_identity_gets_it() {
    let mut talk = Talk::new(&KIND);
    let request = "POST /wsman HTTP/1.1\r\nHost: a\r\nWSMANIDENTIFY: unauthenticated\r\nContent-Length: 2\r\n\r\n{}";
    let said = say(&mut talk, request);
    assert!(
        said.starts_with("HTTP/1.1 200 \r\nContent-Type: application/soap+xml;charset=UTF-8\r\n")
    );
    assert!(
        said.contains("<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>")
    );
    assert!(!talk.is_closed());
}

/// The one event of a request with this field and body.
fn event(field: &str, body: &str) -> Value {
    let mut talk = member(true);
    let said = say(
        &mut talk,
        &format!(
            "POST /wsman HTTP/1.1\r\nHost: a\r\nUser-Agent: Ruby\r\nAuthorization: {field}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert_eq!(undated(&said), CHALLENGE);
    let events = talk.events();
    assert_eq!(events.len(), 1, "{field}");
    assert_eq!(events[0].0, 29001);
    events[0].1.clone()
}

#[test]
fn every_way_to_log_in_is_told() {
    assert_eq!(
        event("Basic Q09SUFxhbm5hOmh1bnRlcjI=", "<s:Envelope/>"),
        json!({
            "AUTHTYPE": "basic", "USERNAME": "CORP\\anna", "PASSWORD": "hunter2",
            "USERAGENT": "Ruby", "WINRMPAYLOAD": "<s:Envelope/>",
        })
    );
    assert_eq!(
        event("Digest username=\"anna\", realm=\"a\"", ""),
        json!({"AUTHTYPE": "digest", "USERNAME": "anna", "USERAGENT": "Ruby"})
    );
    assert_eq!(
        event(
            "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual",
            ""
        ),
        json!({"AUTHTYPE": "certificate", "USERAGENT": "Ruby"})
    );
    for field in ["CredSSP AAAA", "Negotiate AAAA", "x"] {
        assert_eq!(
            event(field, ""),
            json!({"AUTHTYPE": "unknown", "USERAGENT": "Ruby"})
        );
    }
    // NTLM under its own name is refused, as the real service does; the attempt is told.
    assert_eq!(
        event(
            "NTLM TlRMTVNTUAABAAAAB7IIogQABAAuAAAABgAGACgAAAAFASgKAAAAD1dLUy0wMUNPUlA=",
            ""
        ),
        json!({"AUTHTYPE": "ntlm", "WORKSTATION": "WKS-01", "DOMAINNAME": "CORP", "USERAGENT": "Ruby"})
    );
}

#[test]
fn a_ticket_shows_service_and_realm() {
    let ticket = include_str!("../../../../crates/wire/src/testdata/ap-req.hex");
    let ticket = STANDARD.encode(hex::decode(ticket.trim()).unwrap());
    for scheme in ["Kerberos", "Negotiate"] {
        assert_eq!(
            event(&format!("{scheme} {ticket}"), ""),
            json!({
                "AUTHTYPE": "kerberos", "USERAGENT": "Ruby", "TKTVNO": "5",
                "SNAME": "HTTP/srv-01.corp.example.net", "REALM": "CORP.EXAMPLE.NET",
            })
        );
    }
}

#[test]
fn ntlm_is_challenged_with_the_machines_story_and_told() {
    let mut talk = member(false);
    let ask = |field: &str| {
        format!(
            "POST /wsman HTTP/1.1\r\nHost: a\r\nAuthorization: Negotiate {field}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    // Windows' first message.
    let first = "TlRMTVNTUAABAAAAt4II4gAAAAAAAAAAAAAAAAAAAAAKALpHAAAADw==";
    let said = say(&mut talk, &ask(first));
    let lines: Vec<&str> = said.split("\r\n").collect();
    assert_eq!(lines[0], "HTTP/1.1 401 ");
    assert_eq!(lines[2], "Server: Microsoft-HTTPAPI/2.0");
    assert_eq!(lines[4..], ["Content-Length: 0", "", ""]);
    assert!(!talk.is_closed());
    let token = lines[1]
        .strip_prefix("WWW-Authenticate: Negotiate ")
        .unwrap();
    let token = STANDARD.decode(token).unwrap();
    assert!(ntlmssp::is_ntlmssp(&token));
    assert_eq!(token[48..52], [10, 0, 0x7c, 0x4f]);
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let has = |text: &str| token.windows(text.len() * 2).any(|w| w == wide(text));
    assert!(has("SRV-01.corp.example.net") && has("CORP"));
    let last = crate::http::windows::tests::last("CORP", "anna");
    let said = say(&mut talk, &ask(&last));
    assert!(
        said.starts_with("HTTP/1.1 401 \r\nServer: ") && talk.is_closed(),
        "{said}"
    );
    let challenge = hex::encode(&token[24..32]);
    let (lm, nt) = ("01".repeat(24), "02".repeat(24));
    assert_eq!(
        talk.events(),
        [(
            29001,
            json!({
                "AUTHTYPE": "ntlm", "USERNAME": "anna", "DOMAINNAME": "CORP", "WORKSTATION": "WKS",
                "NTLM_HASH": format!("anna::CORP:{lm}:{nt}:{challenge}"),
            })
        )]
    );
}

#[test]
fn payloads_are_kept_to_a_bound() {
    let mut talk = member(true);
    let head = "POST /wsman HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(say(&mut talk, head), "HTTP/1.1 100 Continue\r\n\r\n");
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    for _ in 0..15 {
        assert_eq!(say(&mut talk, &chunk), "");
    }
    assert_eq!(undated(&say(&mut talk, &chunk)), CHALLENGE);
    let payload = talk.events()[0].1["WINRMPAYLOAD"].as_str().unwrap().len();
    assert!(payload < 9_000, "{payload}");
}
