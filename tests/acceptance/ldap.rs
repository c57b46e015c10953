//! The LDAP decoys and the clients that attackers use: each bind and each request is one event.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "LDAP Bind Attempt Detected";
const OPENLDAP: &str = "
[[bird]]
name = \"files-02\"
personality = \"bare\"
[bird.ldap]
domain = \"corp.example.net\"
[bird.ldaps]
domain = \"corp.example.net\"
";
const ACTIVE_DIRECTORY: &str = "
[[bird]]
name = \"files-02\"
personality = \"bare\"
[bird.ldap]
domain = \"corp.example.net\"
product = \"active-directory\"
[bird.ldaps]
domain = \"corp.example.net\"
product = \"active-directory\"
";
const ADMIN: &str = "cn=admin,dc=corp,dc=example,dc=net";
const FAILED: &str = "AcceptSecurityContext error, data 52e, v4563";

fn bind(name: &str, mechanism: &str, password: &str) -> Value {
    json!({"DN": name, "MECH": mechanism, "VER": "3", "TYPE": "bind", "PASSWORD": password})
}

fn search(base: &str, filter: &str, attributes: &str) -> Value {
    let mut event = json!({"DN": base, "VER": "3", "TYPE": "search", "REQ": filter});
    if !attributes.is_empty() {
        event["SEARCH_ATTRIBUTE"] = json!(attributes);
    }
    event
}

fn url(nest: &Nest, kind: &str) -> String {
    format!("{kind}://{}:{}", nest.address, nest.port(kind))
}

/// What ldapsearch says, which takes any certificate.
fn ldapsearch(nest: &Nest, kind: &str, arguments: &[&str]) -> String {
    let url = url(nest, kind);
    let mut all = vec![
        "LDAPTLS_REQCERT=never",
        "LDAPSASL_NOCANON=on",
        "ldapsearch",
        "-H",
        &url,
    ];
    all.extend(arguments);
    client("env", &all)
}

#[test]
fn ldapsearch_binds_in_every_way() {
    if !have("ldapsearch") {
        return;
    }
    let nest = Nest::start(OPENLDAP);
    let simple = [
        "-x",
        "-D",
        ADMIN,
        "-w",
        "hunter2",
        "-b",
        "dc=corp,dc=example,dc=net",
    ];
    let said = ldapsearch(&nest, "ldap", &simple);
    assert!(
        said.contains("ldap_bind: Invalid credentials (49)"),
        "{said}"
    );
    let said = ldapsearch(&nest, "ldap", &[&simple[..], &["-ZZ"]].concat());
    assert!(
        said.contains("ldap_bind: Invalid credentials (49)"),
        "{said}"
    );
    let digest = ["-Q", "-Y", "DIGEST-MD5", "-U", "root", "-w", "letmein"];
    let said = ldapsearch(&nest, "ldap", &digest);
    assert!(
        said.contains("SASL(-13): user not found: no secret in database"),
        "{said}"
    );

    let incident = nest.incident(TITLE, 3);
    check_frame(&nest, &incident, "31001", nest.port("ldap"));
    let events = events(&incident);
    assert_eq!(events[0], bind(ADMIN, "simple", "hunter2"));
    assert_eq!(events[1], bind(ADMIN, "simple", "hunter2"));
    let mut wanted = bind("root", "DIGEST-MD5", "letmein");
    let line = events[2]["REQ"].as_str().unwrap();
    assert!(line.starts_with("$DIGEST-MD5$root$"), "{line}");
    wanted["REQ"] = json!(line);
    assert_eq!(events[2], wanted);
}

#[test]
fn ldapsearch_looks_around_inside_tls() {
    if !have("ldapsearch") {
        return;
    }
    let nest = Nest::start(OPENLDAP);
    let root = [
        "-x",
        "-LLL",
        "-s",
        "base",
        "-b",
        "",
        "namingContexts",
        "supportedSASLMechanisms",
    ];
    let said = ldapsearch(&nest, "ldaps", &root);
    let wanted = "dn:\nnamingContexts: dc=corp,dc=example,dc=net\n\
                  supportedSASLMechanisms: SCRAM-SHA-512\n";
    assert!(said.starts_with(wanted), "{said}");
    assert!(said.contains("supportedSASLMechanisms: PLAIN\n"), "{said}");
    let said = ldapsearch(
        &nest,
        "ldaps",
        &["-x", "-b", "ou=people,dc=corp,dc=example,dc=net", "uid=*"],
    );
    assert!(said.contains("result: 50 Insufficient access"), "{said}");
    let incident = nest.incident(TITLE, 4);
    check_frame(&nest, &incident, "31001", nest.port("ldaps"));
    let anonymous = json!({"DN": "", "MECH": "simple", "VER": "3", "TYPE": "bind"});
    let wanted = [
        anonymous.clone(),
        search(
            "",
            "(objectclass=*)",
            "namingContexts,supportedSASLMechanisms",
        ),
        anonymous,
        search("ou=people,dc=corp,dc=example,dc=net", "(uid=*)", ""),
    ];
    assert_eq!(events(&incident), wanted);
}

/// What a Python program prints that binds with ldap3; `server` is there.
fn ldap3(nest: &Nest, attempts: &str) -> Option<Value> {
    let code = format!(
        "
import json, sys, ldap3
# ldap3 looks for MD4 under the name that the package had before.
import Cryptodome.Hash.MD4
sys.modules['Crypto'], sys.modules['Crypto.Hash'] = Cryptodome, Cryptodome.Hash
said = []
server = ldap3.Server('{}', port={}, get_info=ldap3.NONE, connect_timeout=10)
def attempt(**how):
    c = ldap3.Connection(server, receive_timeout=20, **how)
    c.bind()
    said.append([c.result['result'], c.result['message'].rstrip(chr(0))])
    return c
{attempts}
print(json.dumps(said))
",
        nest.address,
        nest.port("ldap")
    );
    nest.python(&code)
}

#[test]
fn ldap3_binds_at_openldap() {
    let nest = Nest::start(OPENLDAP);
    let attempts = "
attempt(user='cn=admin,dc=corp,dc=example,dc=net', password='Passw0rd!')
attempt(user='admin', password='x')
attempt(user='root', password='x', authentication=ldap3.SASL, sasl_mechanism=ldap3.PLAIN, sasl_credentials=('', 'root', 'toor'))
";
    let Some(said) = ldap3(&nest, attempts) else {
        return;
    };
    let encryption =
        "SASL(-16): encryption needed to use mechanism: security flags do not match required";
    assert_eq!(
        said,
        json!([[49, ""], [34, "invalid DN"], [48, encryption]])
    );
    let incident = nest.incident(TITLE, 3);
    check_frame(&nest, &incident, "31001", nest.port("ldap"));
    let wanted = [
        bind(ADMIN, "simple", "Passw0rd!"),
        bind("admin", "simple", "x"),
        bind("root", "PLAIN", "toor"),
    ];
    assert_eq!(events(&incident), wanted);
}

#[test]
fn ldap3_and_impacket_bind_at_active_directory() {
    let nest = Nest::start(ACTIVE_DIRECTORY);
    let attempts = "
attempt(user='CORP\\\\backup', password='hunter2')
attempt(user='CORP\\\\backup', password='Summer2025', authentication=ldap3.NTLM)
c = attempt()
c.search('DC=corp,DC=example,DC=net', '(objectClass=user)', attributes=['sAMAccountName'])
said.append([c.result['result'], c.result['message'].rstrip(chr(0))])
# impacket knows the standard port alone.
import socket
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *more: look_up(host, {389: {port}}.get(port, port), *more)
from impacket.ldap import ldap
try:
    ldap.LDAPConnection('ldap://{address}', 'DC=corp,DC=example,DC=net').login('root', 'letmein', 'CORP')
except ldap.LDAPSessionError as e:
    said.append(str(e).rstrip(chr(0)))
";
    let attempts = attempts
        .replace("{address}", &nest.address.to_string())
        .replace("{port}", &nest.port("ldap").to_string());
    let Some(said) = ldap3(&nest, &attempts) else {
        return;
    };
    let text = |at: &Value| at.to_string();
    assert_eq!(
        said[0],
        json!([
            49,
            format!("80090308: LdapErr: DSID-0C090436, comment: {FAILED}")
        ])
    );
    assert_eq!(
        said[1],
        json!([
            49,
            format!("8009030C: LdapErr: DSID-0C090569, comment: {FAILED}")
        ])
    );
    assert_eq!(said[2], json!([0, ""]));
    assert!(text(&said[3]).starts_with("[1,\"000004DC: LdapErr: DSID-0C090A5C, comment: In order"));
    assert!(text(&said[4]).contains(FAILED), "{said}");

    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "31001", nest.port("ldap"));
    let events = events(&incident);
    assert_eq!(events[0], bind("CORP\\backup", "simple", "hunter2"));
    for (at, name, password) in [
        (1, "CORP\\backup", "Summer2025"),
        (4, "CORP\\root", "letmein"),
    ] {
        let hash = events[at]["NTLM_HASH"].as_str().unwrap();
        let (user, rest) = hash.split_once("::").unwrap();
        assert_eq!(
            name.split_once('\\').unwrap().1.to_uppercase(),
            user.to_uppercase()
        );
        assert!(rest.starts_with("CORP:"), "{hash}");
        let mechanism = events[at]["MECH"].as_str().unwrap();
        assert!(["NTLM", "GSS-SPNEGO"].contains(&mechanism), "{mechanism}");
        let mut wanted = bind(name, mechanism, password);
        wanted["NTLM_HASH"] = json!(hash);
        assert_eq!(events[at], wanted);
    }
    assert_eq!(
        events[2],
        json!({"DN": "", "MECH": "simple", "VER": "3", "TYPE": "bind"})
    );
    let base = "DC=corp,DC=example,DC=net";
    assert_eq!(
        events[3],
        search(base, "(objectClass=user)", "sAMAccountName")
    );
}

#[test]
fn hydra_tries_passwords() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(OPENLDAP);
    let passwords = nest.dir.path().join("passwords");
    std::fs::write(&passwords, "123456\nhunter2\n").unwrap();
    let passwords = passwords.to_str().unwrap();
    let (host, port) = (nest.address.to_string(), nest.port("ldap").to_string());
    let hydra = |service: &str| {
        let all = [
            "-I", "-t", "1", "-s", &port, "-l", ADMIN, "-P", passwords, &host, service,
        ];
        client("hydra", &all)
    };
    let said = hydra("ldap3");
    assert!(said.contains("0 valid password found"), "{said}");
    let incident = nest.incident(TITLE, 2);
    check_frame(&nest, &incident, "31001", nest.port("ldap"));
    let wanted = [
        bind(ADMIN, "simple", "123456"),
        bind(ADMIN, "simple", "hunter2"),
    ];
    assert_eq!(events(&incident), wanted);

    // Version 2, which slapd doesn't take any more.
    let said = hydra("ldap2");
    assert!(!said.contains("password: hunter2"), "{said}");
    let incident = nest.incident(TITLE, 4);
    let told = events(&incident);
    let second = told.iter().filter(|event| event["VER"] == "2");
    assert!(second.clone().all(|event| event["DN"] == ADMIN), "{told:?}");
    assert_eq!(second.count(), 2, "{told:?}");
}

#[test]
fn nmap_reads_the_root_and_names_the_products() {
    if !have("nmap") {
        return;
    }
    let active_directory = "Microsoft Windows Active Directory LDAP (Domain: corp.example.net, \
                            Site: Default-First-Site-Name)";
    let products = [
        (
            OPENLDAP,
            "OpenLDAP 2.2.X - 2.3.X",
            "namingContexts: dc=corp,dc=example,dc=net",
        ),
        (
            ACTIVE_DIRECTORY,
            active_directory,
            "dnsHostName: files-02.corp.example.net",
        ),
    ];
    // nmap waits for greetings, so both are asked at once.
    std::thread::scope(|scope| {
        for (config, product, root) in products {
            scope.spawn(move || {
                let nest = Nest::start(config);
                let arguments = ["-sV", "--script", "+ldap-rootdse"];
                let said = nest.nmap_as(nest.port("ldap"), 389, &arguments);
                assert!(said.contains(product), "{said}");
                assert!(said.contains(root), "{said}");
                let all = nest.api("incidents/all");
                let incidents = all["incidents"].as_array().unwrap();
                let ours = incidents.iter().find(|one| one["summary"] == TITLE);
                let told = events(ours.unwrap());
                assert!(
                    told.contains(&search("", "(objectClass=*)", "")),
                    "{told:?}"
                );
            });
        }
    });
}

#[test]
fn a_thousand_attempts_are_one_incident_of_a_thousand_events() {
    let nest = Nest::start(OPENLDAP);
    let at = (nest.address, nest.port("ldap"));
    let attempts = 0..1_000;
    let worker = |numbers: Vec<u32>| {
        let mut stream = TcpStream::connect(at).unwrap();
        for n in numbers {
            let request =
                format!("\x30\x1c\x02\x01\x01\x60\x17\x02\x01\x03\x04\x08cn=admin\x08pass{n:04}");
            let mut request = request.into_bytes();
            // The password's tag isn't text.
            request.insert(20, 0x80);
            stream.write_all(&request).unwrap();
            let mut answer = [0; 14];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer[7..10], b"\x0a\x01\x31");
        }
    };
    std::thread::scope(|scope| {
        for share in 0..20 {
            let (worker, attempts) = (&worker, attempts.clone());
            scope.spawn(move || worker(attempts.filter(|n| n % 20 == share).collect()));
        }
    });
    nest.incident(TITLE, 1_000);
    assert_eq!(nest.count(TITLE), 1);
}
