//! The proxy decoy, driven by the clients that attackers use.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, await_some, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "HTTP Proxy Request";

/// A bird with a proxy of this skin.
fn nest(skin: &str) -> Nest {
    Nest::start(&format!(
        "[[bird]]\nname = \"files-02\"\npersonality = \"linux-nas\"\n[bird.httpproxy]\nskin = \"{skin}\"\n"
    ))
}

fn curl(nest: &Nest, arguments: &[&str]) -> String {
    let proxy = format!("http://{}:{}", nest.address, nest.port("httpproxy"));
    let mut all = vec!["-sS", "-v", "-A", "curl/8", "--noproxy", "", "-x", &proxy];
    all.extend(arguments);
    client("curl", &all)
}

#[test]
fn curl_with_and_without_credentials() {
    if !have("curl") {
        return;
    }
    let nest = nest("squid");
    let port = nest.port("httpproxy");
    let said = curl(&nest, &["http://www.example.com/a?b=c"]);
    assert!(
        said.contains("< HTTP/1.1 407 Proxy Authentication Required"),
        "{said}"
    );
    assert!(
        said.contains(&format!("< X-Cache-Lookup: NONE from files-02:{port}")),
        "{said}"
    );
    assert!(
        said.contains("<title>ERROR: Cache Access Denied</title>"),
        "{said}"
    );
    let said = curl(&nest, &["https://www.example.com/"]);
    assert!(
        said.contains("CONNECT tunnel failed, response 407")
            || said.contains("407 from proxy after CONNECT"),
        "{said}"
    );
    let said = curl(&nest, &["-U", "jsmith:xK9#vq", "http://www.example.com/"]);
    assert!(said.contains("< HTTP/1.1 407 "), "{said}");
    curl(&nest, &["-U", "jsmith:xK9#vq", "https://www.example.com/"]);
    let said = curl(&nest, &["https://www.example.com:25/"]);
    assert!(said.contains("403"), "{said}");

    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "7001", port);
    let login = |url: &str| json!({"USERNAME": "jsmith", "PASSWORD": "xK9#vq", "URL": url, "USERAGENT": "curl/8"});
    assert_eq!(
        events(&incident),
        [
            json!({"URL": "http://www.example.com/a?b=c", "USERAGENT": "curl/8"}),
            json!({"URL": "www.example.com:443", "USERAGENT": "curl/8"}),
            login("http://www.example.com/"),
            login("www.example.com:443"),
            json!({"URL": "www.example.com:25", "USERAGENT": "curl/8"}),
        ]
    );
}

#[test]
fn curl_by_digest() {
    if !have("curl") {
        return;
    }
    let nest = nest("squid");
    for (password, url) in [
        ("letmein", "http://a.example/"),
        ("xK9#vq", "https://a.example/"),
    ] {
        let said = curl(
            &nest,
            &["--proxy-digest", "-U", &format!("jsmith:{password}"), url],
        );
        assert!(
            said.contains("Proxy-Authorization: Digest username=\"jsmith\""),
            "{said}"
        );
    }
    // Each time once without credentials, to get a nonce.
    let incident = nest.incident(TITLE, 4);
    let events = events(&incident);
    assert_eq!(
        events[0],
        json!({"URL": "http://a.example/", "USERAGENT": "curl/8"})
    );
    assert_eq!(
        events[1],
        json!({"USERNAME": "jsmith", "PASSWORD": "letmein", "URL": "http://a.example/", "USERAGENT": "curl/8"})
    );
    assert_eq!(
        events[2],
        json!({"URL": "a.example:443", "USERAGENT": "curl/8"})
    );
    let hdaa = events[3]["PASSWORD"].as_str().unwrap();
    let parts: Vec<_> = hdaa.split('$').collect();
    assert_eq!((parts[1], parts[2].len()), ("response", 32), "{hdaa}");
    assert_eq!(
        parts[3..7],
        [
            "jsmith",
            "Squid proxy-caching web server",
            "CONNECT",
            "a.example:443"
        ]
    );
    assert_eq!(
        (parts[7].len(), parts[8], parts[10]),
        (32, "00000001", "auth"),
        "{hdaa}"
    );
}

#[test]
fn hydra_with_a_list_of_passwords() {
    if !have("hydra") {
        return;
    }
    let nest = nest("squid");
    let list: Vec<String> = (0..100).map(|n| format!("Password{n}")).collect();
    let file = nest.dir.path().join("passwords");
    std::fs::write(&file, list.join("\n")).unwrap();
    let said = client(
        "hydra",
        &[
            "-I",
            "-t",
            "16",
            "-l",
            "proxyuser",
            "-P",
            file.to_str().unwrap(),
            "-s",
            &nest.port("httpproxy").to_string(),
            &nest.address.to_string(),
            "http-proxy",
            "http://www.example.com/",
        ],
    );
    assert!(said.contains("0 valid password"), "{said}");
    let seen = await_some(|| {
        let all = nest.api("incidents/all");
        let all = all["incidents"].as_array().unwrap();
        assert!(all.len() <= 1, "one attack is one incident: {all:#?}");
        let mut seen: Vec<String> = all
            .iter()
            .flat_map(events)
            .filter_map(|event| {
                let password = event["PASSWORD"].as_str()?.to_owned();
                assert_eq!(event["USERNAME"], "proxyuser");
                assert_eq!(event["URL"], "http://www.example.com/");
                Some(password)
            })
            .collect();
        seen.sort();
        seen.dedup();
        (seen.len() >= list.len()).then_some(seen)
    });
    let mut wanted = list;
    wanted.sort();
    assert_eq!(seen, Some(wanted), "{said}");
}

#[test]
fn nmap_finds_no_open_proxy() {
    if !have("nmap") {
        return;
    }
    for skin in ["squid", "ms-isa"] {
        let nest = nest(skin);
        let said = nmap(&nest, &["--script", "+http-open-proxy"]);
        assert!(
            !said.to_lowercase().contains("open proxy") && !said.contains("Methods supported"),
            "{said}"
        );
        let asked = await_some(|| {
            let all = nest.api("incidents/all");
            let events: Vec<Value> = all["incidents"]
                .as_array()?
                .iter()
                .flat_map(events)
                .collect();
            let is_asked = |event: &Value| event["URL"] == "http://www.google.com";
            events.iter().any(is_asked).then_some(())
        });
        assert!(asked.is_some(), "{said}");
    }
}

#[test]
fn nmap_names_the_isa_server() {
    if !have("nmap") {
        return;
    }
    let said = nmap(&nest("ms-isa"), &["-sV", "--version-light"]);
    assert!(said.contains("Microsoft ISA Server http proxy"), "{said}");
}

fn nmap(nest: &Nest, arguments: &[&str]) -> String {
    let (port, address) = (nest.port("httpproxy").to_string(), nest.address.to_string());
    let mut all = vec!["-Pn", "-n", "-p", &port, &address];
    all.extend(arguments);
    client("nmap", &all)
}

#[test]
fn the_isa_server_takes_basic() {
    if !have("curl") {
        return;
    }
    let nest = nest("ms-isa");
    let said = curl(
        &nest,
        &[
            "--proxy-basic",
            "-U",
            "corp\\jsmith:Summer2024",
            "http://a.example/",
        ],
    );
    assert!(said.contains("< Via: 1.1 FILES-02"), "{said}");
    assert!(
        said.contains("< Proxy-Authenticate: Basic realm=\"FILES-02\""),
        "{said}"
    );
    let ntlm = [
        "--proxy-ntlm",
        "-U",
        "CORP\\jsmith:Summer2024",
        "http://b.example/",
    ];
    let said = curl(&nest, &ntlm);
    assert!(
        said.contains("< Proxy-Authenticate: NTLM TlRMTVNTUAAC"),
        "{said}"
    );
    let incident = nest.incident(TITLE, 2);
    check_frame(&nest, &incident, "7001", nest.port("httpproxy"));
    let events = events(&incident);
    assert_eq!(
        events[0],
        json!({"USERNAME": "corp\\jsmith", "PASSWORD": "Summer2024", "URL": "http://a.example/", "USERAGENT": "curl/8"})
    );
    let hash = events[1]["NTLM_HASH"].as_str().unwrap();
    assert!(hash.starts_with("jsmith::CORP:"), "{hash}");
    assert_eq!(
        events[1],
        json!({"USERNAME": "CORP\\jsmith", "URL": "http://b.example/", "USERAGENT": "curl/8", "NTLM_HASH": hash})
    );
}

#[test]
fn a_thousand_requests_are_one_incident() {
    let nest = nest("squid");
    let port = nest.port("httpproxy");
    // A hundred connections of ten requests each, all ten sent at once.
    for batch in 0..100 {
        let mut requests = String::new();
        for n in 0..10 {
            let connection = if n == 9 { "close" } else { "keep-alive" };
            requests.push_str(&format!(
                "GET http://h{batch}.example/{n} HTTP/1.1\r\nHost: h{batch}.example\r\nUser-Agent: u\r\n\
                 Connection: {connection}\r\n\r\n"
            ));
        }
        let mut stream = TcpStream::connect((nest.address, port)).unwrap();
        stream.write_all(requests.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said.matches("HTTP/1.1 407 ").count(), 10, "{said}");
    }
    let incident = nest.incident(TITLE, 1_000);
    let wanted: Vec<Value> = (0..1_000)
        .map(|n| json!({"URL": format!("http://h{}.example/{}", n / 10, n % 10), "USERAGENT": "u"}))
        .collect();
    assert_eq!(events(&incident), wanted);
}
