//! The RDP decoy and the clients that attackers use: each connection is one event.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};
use serde_json::{Value, json};

use crate::nest::{Nest, client, client_with_input, have, python};
use crate::seen::{check_frame, events};

const TITLE: &str = "RDP Login Attempt";
const NEST: &str = "
[[bird]]
name = \"files-02\"
personality = \"bare\"
system = \"windows-server-2019\"
domain = \"corp.example.net\"
[bird.rdp]
";

/// Without NLA.
fn open_nest() -> Nest {
    Nest::start(&format!("{NEST}nla = false\n"))
}

/// The incident's events, once it has `n`.
fn seen(nest: &Nest, n: usize) -> Vec<Value> {
    let incident = nest.incident(TITLE, n);
    check_frame(nest, &incident, "14004", nest.port("rdp"));
    events(&incident)
}

/// Some of an event's fields; `null` where one is missing.
fn pick(event: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| event[name].clone()).collect()
}

/// Runs `xfreerdp` with these arguments; what it prints.
fn xfreerdp(nest: &Nest, arguments: &[&str]) -> String {
    let server = format!("/v:{}:{}", nest.address, nest.port("rdp"));
    let mut all = vec!["-a", "xfreerdp", &server, "/cert:ignore"];
    all.extend(arguments);
    client("xvfb-run", &all)
}

/// What somebody with this password would have sent, by an implementation of NTLM that isn't ours.
const RIGHT: &str = "
import hmac, json, os
from impacket import ntlm
user, _, domain, challenge, proof, blob = os.environ['LINE'].split(':')
key = ntlm.NTOWFv2(user, os.environ['PASSWORD'], domain)
made = hmac.new(key, bytes.fromhex(challenge + blob), 'md5').hexdigest()
print(json.dumps(made == proof))
";

#[test]
fn xfreerdp_is_refused_by_nla_and_its_response_is_a_hash_of_the_password() {
    if !have("xfreerdp") || !have("xvfb-run") {
        return;
    }
    let nest = Nest::start(NEST);
    for password in ["monkey", "Hj7!kq0z"] {
        let said = xfreerdp(
            &nest,
            &["/u:bob", "/d:CORP", &format!("/p:{password}"), "+auth-only"],
        );
        assert!(said.contains("ERRCONNECT_LOGON_FAILURE"), "{said}");
    }
    let seen = seen(&nest, 2);
    let wanted = json!([
        "login attempt",
        "bob",
        "CORP",
        "6",
        "1",
        "7601",
        "NLA",
        "Cookie: mstshash=bob"
    ]);
    for (event, password) in seen.iter().zip([json!("monkey"), Value::Null]) {
        let names = [
            "STATUS",
            "USERNAME",
            "DOMAINNAME",
            "MAJORVERSION",
            "MINORVERSION",
            "BUILD",
            "SECURITY",
            "COOKIE",
        ];
        assert_eq!(pick(event, &names), wanted, "{event}");
        assert_eq!(event["PASSWORD"], password);
        assert!(!event["WORKSTATION"].as_str().unwrap().is_empty());
        assert_eq!(
            event.as_object().unwrap().len(),
            if password.is_null() { 10 } else { 11 }
        );
        let line = event["NTLM_HASH"].as_str().unwrap();
        assert!(line.starts_with("bob::CORP:"), "{line}");
    }
    let line = seen[1]["NTLM_HASH"].as_str().unwrap();
    for (password, right) in [("Hj7!kq0z", true), ("monkey", false)] {
        let environment = [("LINE", line), ("PASSWORD", password)];
        let Some(made) = nest.python_with(RIGHT, &environment) else {
            return;
        };
        assert_eq!(made, right, "{line}");
    }
}

#[test]
fn xfreerdp_over_tls_alone_gives_everything_away() {
    if !have("xfreerdp") || !have("xvfb-run") {
        return;
    }
    let nest = open_nest();
    let said = xfreerdp(
        &nest,
        &[
            "/u:bob",
            "/d:CORP",
            "/p:Hj7!kq0z",
            "/sec:tls",
            "/client-hostname:DESKTOP-7",
            "/size:1024x768",
            "/kbd:0x00000407",
            "/shell:cmd.exe",
        ],
    );
    assert!(
        said.contains("ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES"),
        "{said}"
    );
    let [event] = seen(&nest, 1).try_into().unwrap();
    let names = [
        "STATUS",
        "USERNAME",
        "DOMAINNAME",
        "PASSWORD",
        "SECURITY",
        "CLIENTNAME",
        "RESOLUTION",
        "KEYBOARD",
        "SHELL",
        "MAJORVERSION",
        "BUILD",
        "COOKIE",
    ];
    assert_eq!(
        pick(&event, &names),
        json!([
            "login attempt",
            "bob",
            "CORP",
            "Hj7!kq0z",
            "TLS",
            "DESKTOP-7",
            "1024x768",
            "00000407",
            "cmd.exe",
            "10",
            "18363",
            "Cookie: mstshash=bob"
        ]),
        "{event}"
    );
    assert!(
        event["CHANNELS"].as_str().unwrap().contains("rdpdr"),
        "{event}"
    );
    assert_eq!(event["CLIENTADDRESS"], "127.0.0.1");
    assert!(event["CLIENTDIR"].is_string() && event["TIMEZONE"].is_string());
}

#[test]
fn hydra_is_one_incident() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(NEST);
    let list = nest.dir.path().join("list");
    std::fs::write(&list, "monkey\npassword123\nHj7!kq0z\n").unwrap();
    let port = nest.port("rdp").to_string();
    let list = list.to_str().unwrap();
    let address = nest.address.to_string();
    let said = client(
        "hydra",
        &[
            "-t",
            "1",
            "-l",
            "administrator",
            "-P",
            list,
            "-s",
            &port,
            &address,
            "rdp",
        ],
    );
    assert!(said.contains("0 valid password"), "{said}");
    let passwords: Vec<_> = seen(&nest, 3)
        .iter()
        .map(|event| pick(event, &["USERNAME", "PASSWORD", "SECURITY"]))
        .collect();
    assert_eq!(
        passwords,
        [
            json!(["administrator", "monkey", "NLA"]),
            json!(["administrator", null, "NLA"]),
            json!(["administrator", null, "NLA"]),
        ]
    );
}

#[test]
fn rdesktop_ends_without_a_session() {
    if !have("rdesktop") || !have("xvfb-run") {
        return;
    }
    let nest = open_nest();
    let server = format!("{}:{}", nest.address, nest.port("rdp"));
    let home = nest.dir.path().to_str().unwrap();
    let said = client_with_input(
        "env",
        &[
            &format!("HOME={home}"),
            "xvfb-run",
            "-a",
            "rdesktop",
            "-u",
            "bob",
            "-d",
            "CORP",
            "-p",
            "Hj7!kq0z",
            "-n",
            "DESKTOP-7",
            "-g",
            "1024x768",
            &server,
        ],
        "yes\n",
    );
    assert!(said.contains("Connection established using SSL."), "{said}");
    // Without a Kerberos ticket it leaves NLA before the first message and comes again.
    let incident = nest.incident(TITLE, 2);
    check_frame(&nest, &incident, "14001", nest.port("rdp"));
    let [left, event] = events(&incident).try_into().unwrap();
    assert_eq!(
        pick(&left, &["STATUS", "SECURITY"]),
        json!(["new connection", "NLA"])
    );
    let names = [
        "USERNAME",
        "DOMAINNAME",
        "PASSWORD",
        "SECURITY",
        "CLIENTNAME",
        "RESOLUTION",
    ];
    assert_eq!(
        pick(&event, &names),
        json!(["bob", "CORP", "Hj7!kq0z", "TLS", "DESKTOP-7", "1024x768"]),
        "{event}"
    );
}

const AARDWOLF: &str = "
import asyncio, json, os
from aardwolf.commons.factory import RDPConnectionFactory
from aardwolf.commons.iosettings import RDPIOSettings
async def main():
    settings = RDPIOSettings()
    settings.video_width, settings.video_height = 1024, 768
    settings.video_bpp_min, settings.video_bpp_max = 15, 32
    factory = RDPConnectionFactory.from_url(os.environ['SERVER'], settings)
    async with factory.get_connection(settings) as connection:
        done, problem = await connection.connect()
        print(json.dumps([done, str(problem)]))
asyncio.run(main())
";

#[test]
fn aardwolf_is_refused() {
    if python().is_none() {
        return;
    }
    let nest = Nest::start(NEST);
    let login = |scheme: &str, user: &str| {
        let server = format!(
            "rdp+{scheme}://CORP\\{user}:letmein@{}:{}",
            nest.address,
            nest.port("rdp")
        );
        nest.python_with(AARDWOLF, &[("SERVER", &server)]).unwrap()
    };
    let said = login("ntlm-password", "bob");
    assert_eq!(
        said,
        json!([null, "CredSSP - Server sent an error! Code: 0xc000006d"])
    );
    let said = login("plain", "alice");
    assert!(
        said[1]
            .as_str()
            .unwrap()
            .contains("HYBRID_REQUIRED_BY_SERVER"),
        "{said}"
    );
    let told: Vec<_> = seen(&nest, 2)
        .iter()
        .map(|event| {
            pick(
                event,
                &["STATUS", "USERNAME", "PASSWORD", "SECURITY", "BUILD"],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["login attempt", "bob", "letmein", "NLA", "15063"]),
            json!(["failed connection", "alice", null, "TLS", null]),
        ]
    );
}

#[test]
fn nmap_s_scripts_see_a_windows() {
    if !have("nmap") {
        return;
    }
    let scripts = "+rdp-ntlm-info,+rdp-enum-encryption";
    let nest = Nest::start(NEST);
    let port = nest.port("rdp").to_string();
    let said = client(
        "nmap",
        &[
            "-Pn",
            "-n",
            "-p",
            &port,
            "--script",
            scripts,
            &nest.address.to_string(),
        ],
    );
    for wanted in [
        "Target_Name: CORP\n",
        "NetBIOS_Domain_Name: CORP\n",
        "NetBIOS_Computer_Name: FILES-02\n",
        "DNS_Domain_Name: corp.example.net\n",
        "DNS_Computer_Name: files-02.corp.example.net\n",
        "DNS_Tree_Name: corp.example.net\n",
        "Product_Version: 10.0.17763\n",
        "CredSSP (NLA): SUCCESS",
        "CredSSP with Early User Auth: SUCCESS",
        "RDSTLS: SUCCESS",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(
        !said.contains("SSL: SUCCESS") && !said.contains("Native RDP"),
        "{said}"
    );

    let nest = open_nest();
    let port = nest.port("rdp").to_string();
    let said = client(
        "nmap",
        &[
            "-Pn",
            "-n",
            "-p",
            &port,
            "--script",
            scripts,
            &nest.address.to_string(),
        ],
    );
    for wanted in ["SSL: SUCCESS", "RDP Protocol Version:  RDP 10.6 server"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("Native RDP"), "{said}");
}

/// A Connection Request for CredSSP, then its first and its last message, as `coalmine poke` says
/// them.
fn poke() -> [&'static [u8]; 3] {
    use coalmine_core::decoy::{Poke, Step};
    let kinds = coalmine::registry::decoys();
    let rdp = kinds.iter().find(|kind| kind.id == "rdp").unwrap();
    let Poke::Script(steps) = rdp.poke else {
        panic!("a script");
    };
    let said = steps.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(*bytes),
        _ => None,
    });
    said.collect::<Vec<_>>().try_into().unwrap()
}

/// One login; what the server said last.
fn login(nest: &Nest, config: &Arc<ClientConfig>) -> Vec<u8> {
    let [request, negotiate, authenticate] = poke();
    let mut tcp = TcpStream::connect((nest.address, nest.port("rdp"))).unwrap();
    tcp.write_all(request).unwrap();
    tcp.read_exact(&mut [0; 19]).unwrap();
    let name = ServerName::from(nest.address);
    let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = Stream::new(&mut tls, &mut tcp);
    stream.write_all(negotiate).unwrap();
    let mut challenge = [0; 1024];
    assert!(stream.read(&mut challenge).unwrap() > 100);
    stream.write_all(authenticate).unwrap();
    let mut last = Vec::new();
    let _ = stream.read_to_end(&mut last);
    last
}

#[test]
fn a_thousand_attempts_are_one_incident() {
    let nest = Nest::start(NEST);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let config = Arc::new(config);
    std::thread::scope(|scope| {
        for _ in 0..25 {
            scope.spawn(|| {
                for _ in 0..40 {
                    let last = login(&nest, &config);
                    assert!(last.ends_with(b"\xc0\0\0\x6d"), "{last:02x?}");
                }
            });
        }
    });
    let users = seen(&nest, 1_000);
    let is_poke =
        |event: &Value| pick(event, &["USERNAME", "STATUS"]) == json!(["poke", "login attempt"]);
    assert!(users.iter().all(is_poke));
}

/// Any certificate will do.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
