//! IIS, and Windows logins at it.

use super::*;

/// From what servers of Microsoft's answer on the Internet: the sizes of their pages.
#[test]
fn iis_refuses_as_http_sys_does() {
    let long = "a".repeat(300);
    for (request, code, size, heading) in [
        ("HELP\r\n".to_owned(), 400, 326, "Invalid Verb"),
        ("\u{16}\u{3}\r\n".to_owned(), 400, 326, "Invalid Verb"),
        (
            "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
            324,
            "Invalid URL",
        ),
        (
            "GET /../x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
            324,
            "Invalid URL",
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            400,
            324,
            "Invalid URL",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            400,
            334,
            "Invalid Hostname",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
            334,
            "Invalid Hostname",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
            400,
            334,
            "Invalid Hostname",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nb ad: x\r\n\r\n".to_owned(),
            400,
            339,
            "Invalid Header",
        ),
        (
            "GET / FOO\r\n\r\n".to_owned(),
            400,
            311,
            "<h2>Bad Request</h2>",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            411,
            344,
            "Length Required",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            501,
            343,
            "Not Implemented",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "a".repeat(17_000)
            ),
            400,
            346,
            "Request Too Long",
        ),
    ] {
        let mut talk = talk(&json!({"skin": "iisStart"}));
        let answer = ask(&mut talk, &request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request}: {answer}"
        );
        assert!(
            head.contains("\r\nServer: Microsoft-HTTPAPI/2.0\r\n"),
            "{answer}"
        );
        assert!(
            head.ends_with(&format!("Connection: close\r\nContent-Length: {size}")),
            "{answer}"
        );
        assert_eq!(body.len(), size);
        assert!(body.contains(heading), "{answer}");
        assert!(talk.is_closed());
    }
}

#[test]
fn iis_answers_the_rest_itself() {
    let mut talk = talk(&json!({"skin": "iisStart"}));
    for (request, code, size, text) in [
        (get("/"), 200, None, "<title>IIS Windows Server</title>"),
        (get("/IISStart.PNG"), 200, None, "image/png"),
        (
            get("/nope"),
            404,
            Some(1_245),
            "404 - File or directory not found.",
        ),
        (
            get("/bin/x"),
            404,
            Some(1_245),
            "404 - File or directory not found.",
        ),
        (
            get("/admin/"),
            401,
            Some(1_293),
            "WWW-Authenticate: Basic realm=\"files-02\"",
        ),
        (
            post("/", FORM, "a=b"),
            405,
            Some(1_293),
            "Allow: GET, HEAD, OPTIONS, TRACE",
        ),
        (
            get("/").replace("GET", "TRACE"),
            501,
            None,
            "501 - Header values",
        ),
        (
            get("/").replace("GET", "OPTIONS"),
            200,
            Some(0),
            "Public: OPTIONS, TRACE, GET, HEAD, POST",
        ),
    ] {
        let answer = ask(&mut talk, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request}: {answer}"
        );
        assert!(
            answer.contains("Server: Microsoft-IIS/10.0\r\n"),
            "{answer}"
        );
        assert!(answer.contains(text), "{request}: {answer}");
        if let Some(size) = size {
            assert!(
                answer.contains(&format!("Content-Length: {size}\r\n")),
                "{request}: {answer}"
            );
        }
    }
    let tag = ask(&mut talk, get("/iisstart.png"));
    let tag = tag
        .split("ETag: \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    assert!(tag.ends_with(":0") && tag.len() > 10, "{tag}");
    let again =
        get("/iisstart.png").replace("\r\n\r\n", &format!("\r\nIf-None-Match: \"{tag}\"\r\n\r\n"));
    assert!(ask(&mut talk, again).starts_with("HTTP/1.1 304 Not Modified\r\n"));
}

/// IIS where every page asks for Windows' logins; the page before the login is HTTP.sys' own.
#[test]
fn iis_asks_for_windows_logins_where_it_is_told_to() {
    let settings = json!({"skin": "iisStart", "windows_authentication": true});
    let mut talk = Talk::with(&KIND, &settings);
    let refused = ask(&mut talk, get("/"));
    assert!(
        refused.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{refused}"
    );
    assert!(
        refused.contains("WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n"),
        "{refused}"
    );
    assert!(!refused.contains("Basic"), "{refused}");
    let with = |field: &str| {
        format!("GET /intranet HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM {field}\r\n\r\n")
    };
    let first = "TlRMTVNTUAABAAAAB4IIAAAAAAAAAAAAAAAAAAAAAAA=";
    let said = ask(&mut talk, with(first));
    assert!(
        said.contains("Server: Microsoft-HTTPAPI/2.0\r\nWWW-Authenticate: NTLM TlRM"),
        "{said}"
    );
    assert_eq!(talk.events(), []);
    let token = said.split_once("WWW-Authenticate: NTLM ").unwrap().1;
    let challenge = super::super::windows::tests::challenge(token.split_once('\r').unwrap().0);
    let said = ask(
        &mut talk,
        with(&super::super::windows::tests::last("CORP", "anna")),
    );
    assert!(said.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{said}");
    let told = &talk.events()[0].1;
    assert_eq!(told["USERNAME"], "CORP\\anna");
    assert_eq!(told["PASSWORD"], "");
    assert_eq!(told["PATH"], "/intranet");
    let (lm, nt) = ("01".repeat(24), "02".repeat(24));
    assert_eq!(
        told["NTLM_HASH"],
        format!("anna::CORP:{lm}:{nt}:{challenge}")
    );
    let wrong = json!({"windows_authentication": true});
    let faults = (KIND.build)(wrong.as_object().unwrap(), &Bird::sample())
        .err()
        .unwrap();
    assert_eq!(faults[0].key, "windows_authentication");
}
