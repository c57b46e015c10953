//! Windows Remote Management, driven by the clients that attackers use.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "WinRM Login Attempt";

fn nest(more: &str) -> Nest {
    Nest::start(&format!(
        "[[bird]]\nname = \"files-02\"\npersonality = \"bare\"\nsystem = \"windows-server-2022\"\n\
         domain = \"corp.example.net\"\n[bird.winrm]\n{more}[bird.winrms]\n"
    ))
}

/// Tries one command with pywinrm; the name of the error.
fn pywinrm(nest: &Nest, url: &str, user: &str, transport: &str) -> Option<Value> {
    let code = "import json, os, winrm\n\
        from winrm.protocol import Protocol\n\
        e = os.environ\n\
        p = Protocol(e['URL'], transport=e['TRANSPORT'], username=e['WHO'], password='Winter2026!', server_cert_validation='ignore')\n\
        try:\n    p.open_shell(); print(json.dumps('in'))\n\
        except Exception as x: print(json.dumps(type(x).__name__ + ': ' + str(x)))\n";
    nest.python_with(
        code,
        &[("URL", url), ("WHO", user), ("TRANSPORT", transport)],
    )
}

#[test]
fn pywinrm_by_password_and_by_ntlm() {
    let nest = nest("basic = true\n");
    let clear = format!("http://{}:{}/wsman", nest.address, nest.port("winrm"));
    let tls = format!("https://{}:{}/wsman", nest.address, nest.port("winrms"));
    let refused =
        json!("InvalidCredentialsError: the specified credentials were rejected by the server");
    let Some(said) = pywinrm(&nest, &clear, "CORP\\anna", "basic") else {
        return;
    };
    assert_eq!(said, refused);
    assert_eq!(
        pywinrm(&nest, &clear, "CORP\\anna", "ntlm"),
        Some(refused.clone())
    );
    assert_eq!(pywinrm(&nest, &tls, "bob", "ntlm"), Some(refused));
    let incident = nest.incident(TITLE, 3);
    check_frame(&nest, &incident, "29001", nest.port("winrm"));
    let events = events(&incident);
    let body = events[0]["WINRMPAYLOAD"].as_str().unwrap();
    assert!(body.contains("/windows/shell/cmd"), "{body}");
    let agent = "Python WinRM client";
    assert_eq!(
        events[0],
        json!({
            "AUTHTYPE": "basic", "USERNAME": "CORP\\anna", "PASSWORD": "Winter2026!",
            "USERAGENT": agent, "WINRMPAYLOAD": body,
        })
    );
    for (event, user, domain) in [(&events[1], "anna", "CORP"), (&events[2], "bob", "")] {
        let hash = event["NTLM_HASH"].as_str().unwrap();
        let workstation = event["WORKSTATION"].as_str().unwrap();
        let mut wanted = json!({
            "AUTHTYPE": "ntlm", "USERNAME": user, "USERAGENT": agent,
            "WORKSTATION": workstation, "NTLM_HASH": hash,
        });
        if domain.is_empty() {
            // Inside TLS the request comes whole, without NTLM's encryption.
            let payload = event["WINRMPAYLOAD"].as_str().unwrap();
            assert!(payload.contains("/windows/shell/cmd"), "{payload}");
            wanted["WINRMPAYLOAD"] = json!(payload);
        } else {
            wanted["DOMAINNAME"] = json!(domain);
        }
        assert_eq!(*event, wanted);
    }
    crack(&nest, events[1]["NTLM_HASH"].as_str().unwrap());
}

/// hashcat finds the password in the line as it is.
fn crack(nest: &Nest, line: &str) {
    if !have("hashcat") {
        return;
    }
    let write = |name: &str, text: &str| {
        let path = nest.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (hash, words) = (
        write("hash", line),
        write("words", "hunter2\nWinter2026!\nSummer\n"),
    );
    let arguments = ["-m", "5600", "--potfile-disable", "--quiet", &hash, &words];
    let said = client("hashcat", &arguments);
    assert!(said.contains(":Winter2026!"), "{said}");
}

#[test]
fn curl_and_nmap() {
    if !have("curl") || !have("nmap") {
        return;
    }
    let nest = nest("");
    let url = format!("http://{}:{}/wsman", nest.address, nest.port("winrm"));
    let curl = |more: &[&str]| client("curl", &[&["-sv", "-A", "curl/8", &url], more].concat());
    let said = curl(&["--negotiate", "-u", ":"]);
    assert!(said.contains("< HTTP/1.1 401 \r"), "{said}");
    for offer in ["Negotiate", "Kerberos"] {
        assert!(
            said.contains(&format!("< WWW-Authenticate: {offer}\r")),
            "{said}"
        );
    }
    let said = curl(&["--ntlm", "-u", "CORP\\anna:Winter2026!"]);
    assert!(said.contains("< Connection: close\r"), "{said}");
    let ticket = include_str!("../../crates/wire/src/testdata/ap-req.hex");
    let field = format!("Authorization: Kerberos {}", base64(ticket.trim()));
    curl(&["-H", &field]);
    curl(&["-u", "anna:hunter2", "-d", "<x/>"]);
    let incident = nest.incident(TITLE, 3);
    check_frame(&nest, &incident, "29001", nest.port("winrm"));
    assert_eq!(
        events(&incident),
        [
            json!({"AUTHTYPE": "ntlm", "USERAGENT": "curl/8"}),
            json!({
                "AUTHTYPE": "kerberos", "USERAGENT": "curl/8", "TKTVNO": "5",
                "SNAME": "HTTP/srv-01.corp.example.net", "REALM": "CORP.EXAMPLE.NET",
            }),
            json!({
                "AUTHTYPE": "basic", "USERNAME": "anna", "PASSWORD": "hunter2",
                "USERAGENT": "curl/8", "WINRMPAYLOAD": "<x/>",
            }),
        ]
    );
    let ports = format!("{},{}", nest.port("winrm"), nest.port("winrms"));
    let address = nest.address.to_string();
    let said = client(
        "nmap",
        &[
            "-Pn", "-n", "-sV", "--script", "ssl-cert", "-p", &ports, &address,
        ],
    );
    let product = "Microsoft HTTPAPI httpd 2.0 (SSDP/UPnP)";
    assert_eq!(said.matches(product).count(), 2, "{said}");
    assert!(
        said.contains("commonName=files-02.corp.example.net"),
        "{said}"
    );
}

/// Hexadecimal digits as base64.
fn base64(digits: &str) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = digits
        .chars()
        .map(|c| format!("{:04b}", c.to_digit(16).unwrap()))
        .collect();
    let mut text = String::new();
    for six in bits.as_bytes().chunks(6) {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        let letter = usize::from_str_radix(&six, 2).unwrap();
        text.push(char::from(letters[letter]));
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

#[test]
fn a_thousand_attempts_are_one_incident_of_a_thousand_events() {
    let nest = nest("");
    let request =
        "POST /wsman HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..1_000 {
        let mut peer = TcpStream::connect((nest.address, nest.port("winrm"))).unwrap();
        peer.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 401 \r\n"), "{said}");
    }
    nest.incident(TITLE, 1_000);
}
