//! The SQL Server decoy and the clients that people and attackers use: each login is one event.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::nest::{Nest, beside_python, client, have, npm, python};
use crate::seen::{check_frame, events};

const TITLE: &str = "MSSQL Login Attempt";

fn nest(version: &str) -> Nest {
    Nest::start(&format!(
        "[[bird]]\nname = \"files-02\"\npersonality = \"bare\"\n[bird.mssql]\nversion = \"{version}\"\n"
    ))
}

/// A login by password, from this machine.
fn login(nest: &Nest, user: &str, password: &str, app: &str) -> Value {
    json!({
        "USERNAME": user, "PASSWORD": password, "HOSTNAME": host(), "APPNAME": app,
        "SERVERNAME": nest.address.to_string(),
    })
}

/// This machine as clients name it.
fn host() -> String {
    client("hostname", &[]).trim().to_owned()
}

/// Whether the response of a captured Windows login was made with `password`: NTLMv2 by MS-NLMP
/// 3.3.2, as Python and impacket make it.
fn is_made_with(nest: &Nest, hash: &str, password: &str) -> bool {
    let code = format!(
        "
import hmac, json
from impacket.ntlm import compute_nthash
user, _, domain, challenge, proof, blob = '{hash}'.split(':')
key = hmac.new(compute_nthash('{password}'), (user.upper() + domain).encode('utf-16le'), 'md5').digest()
made = hmac.new(key, bytes.fromhex(challenge + blob), 'md5').hexdigest()
print(json.dumps(made == proof))
"
    );
    nest.python(&code) == Some(json!(true))
}

#[test]
fn freetds_in_every_dialect() {
    if !have("tsql") {
        return;
    }
    let nest = nest("2019");
    let (address, port) = (nest.address.to_string(), nest.port("mssql").to_string());
    let dialects = ["7.4", "7.2", "7.1", "7.0", "5.0", "4.2"];
    for dialect in dialects {
        let version = format!("TDSVER={dialect}");
        let said = client(
            "env",
            &[
                &version,
                "tsql",
                "-a",
                "billing",
                "-H",
                &address,
                "-p",
                &port,
                "-U",
                "sa",
                "-P",
                "s3cret w0rd!",
            ],
        );
        let wanted = "Msg 18456 (severity 14, state 1) from FILES-02 Line 1:\n\t\"Login failed for user 'sa'.\"";
        assert!(said.contains(wanted), "{dialect}: {said}");
    }
    let incident = nest.incident(TITLE, dialects.len());
    check_frame(&nest, &incident, "9001", nest.port("mssql"));
    let wanted = login(&nest, "sa", "s3cret w0rd!", "billing");
    assert_eq!(events(&incident), vec![wanted; dialects.len()]);
}

#[test]
fn impacket_by_password_and_by_ntlm() {
    let Some(mssqlclient) = beside_python("mssqlclient.py") else {
        return;
    };
    let port = |nest: &Nest| nest.port("mssql").to_string();
    let run = |nest: &Nest, user: &str, more: &[&str]| {
        let target = format!("{user}@{}", nest.address);
        let port = port(nest);
        let mut all = vec![
            &*target,
            "-port",
            &port,
            "--host-name",
            "WS-07",
            "--app-name",
            "SSMS",
        ];
        all.extend(more);
        client(mssqlclient.to_str().unwrap(), &all)
    };
    let one = nest("2022");
    let said = run(&one, "sa:hunter2", &[]);
    assert!(said.contains("switching to TLS"), "{said}");
    let wanted = "ERROR(FILES-02): Line 1: Login failed for user 'sa'.";
    assert!(said.contains(wanted), "{said}");
    let incident = one.incident(TITLE, 1);
    let mut event = login(&one, "sa", "hunter2", "SSMS");
    event["HOSTNAME"] = json!("WS-07");
    assert_eq!(events(&incident), [event]);

    let two = nest("2008");
    let said = run(&two, "corp/bob:hunter2", &["-windows-auth"]);
    let wanted = "ERROR(FILES-02): Line 1: Login failed. The login is from an untrusted domain and cannot be used with Windows authentication.";
    assert!(said.contains(wanted), "{said}");
    let incident = two.incident(TITLE, 1);
    check_frame(&two, &incident, "9002", two.port("mssql"));
    let event = &events(&incident)[0];
    let hash = event["NTLM_HASH"].as_str().unwrap();
    let wanted = json!({
        "USERNAME": "bob", "HOSTNAME": "WS-07", "DOMAINNAME": "corp", "APPNAME": "SSMS",
        "SERVERNAME": two.address.to_string(), "NTLM_HASH": hash,
    });
    assert_eq!(*event, wanted);
    assert!(is_made_with(&two, hash, "hunter2"), "{hash}");
    assert!(!is_made_with(&two, hash, "hunter3"), "{hash}");
}

#[test]
fn python_tds_by_password_and_by_spnego() {
    let nest = nest("2016");
    let code = format!(
        "
import json, pytds
from pytds.login import SpnegoAuth
said = []
def attempt(**how):
    try:
        pytds.connect('{}', port={}, appname='report', disable_connect_retry=True, login_timeout=5, **how)
    except pytds.OperationalError as e:
        said.append([e.msg_no, e.severity, e.state, e.srvname, e.line, e.args[0]])
attempt(user='sa', password='pw-1')
attempt(user='sa', password='pw-2', tds_version=pytds.tds_base.TDS71)
attempt(auth=SpnegoAuth('CORP\\\\bob', 'hunter2', protocol='ntlm'))
print(json.dumps(said))
",
        nest.address,
        nest.port("mssql")
    );
    let Some(said) = nest.python(&code) else {
        return;
    };
    let failed = json!([18456, 14, 1, "FILES-02", 1, "Login failed for user 'sa'."]);
    let untrusted = json!([
        18452,
        14,
        1,
        "FILES-02",
        1,
        "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication."
    ]);
    assert_eq!(said, json!([failed, failed, untrusted]));
    let incident = nest.incident(TITLE, 3);
    let events = events(&incident);
    assert_eq!(events[0], login(&nest, "sa", "pw-1", "report"));
    assert_eq!(events[1], login(&nest, "sa", "pw-2", "report"));
    assert_eq!(
        (
            &events[2]["USERNAME"],
            &events[2]["DOMAINNAME"],
            &events[2].get("PASSWORD")
        ),
        (&json!("bob"), &json!("CORP"), &None)
    );
    let hash = events[2]["NTLM_HASH"].as_str().unwrap();
    assert!(is_made_with(&nest, hash, "hunter2"), "{hash}");
}

/// What tedious gets for each pair of authentication and options.
fn tedious(nest: &Nest, module: &Path, attempts: &str) -> String {
    let code = format!(
        "
const {{ Connection }} = require({:?});
const attempt = (type, options, more) => new Promise(done => {{
  const connection = new Connection({{ server: '{}', authentication: {{ type, options }},
    options: {{ port: {}, trustServerCertificate: true, connectTimeout: 8000, appName: 'shop', ...more }} }});
  connection.on('error', () => {{}});
  connection.connect(error => {{ console.log(error && error.message); connection.close(); done(); }});
}});
(async () => {{ {attempts} }})();
",
        module, nest.address, nest.port("mssql")
    );
    // In TDS 8 it checks certificates, whatever it's told.
    let lax = "NODE_TLS_REJECT_UNAUTHORIZED=0";
    client("env", &[lax, "node", "--no-warnings", "-e", &code])
}

#[test]
fn tedious_with_and_without_tls() {
    let (Some(module), true) = (npm("../tedious"), have("node")) else {
        return;
    };
    let one = nest("2017");
    let said = tedious(
        &one,
        &module,
        "
await attempt('default', { userName: 'sa', password: 'pw-1' }, {});
await attempt('default', { userName: 'sa', password: 'pw-2' }, { encrypt: false });
await attempt('ntlm', { userName: 'bob', password: 'pw-3', domain: 'CORP' }, {});
await attempt('azure-active-directory-access-token', { token: 'abc.def.ghi' }, {});
",
    );
    let untrusted = "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.";
    let failed = "Login failed for user 'sa'.";
    let wanted = format!("{failed}\n{failed}\n{untrusted}\nLogin failed for user ''.\n");
    assert_eq!(said, wanted);
    let incident = one.incident(TITLE, 4);
    let events_one = events(&incident);
    assert_eq!(events_one[0], login(&one, "sa", "pw-1", "shop"));
    assert_eq!(events_one[1], login(&one, "sa", "pw-2", "shop"));
    assert_eq!(
        (&events_one[2]["USERNAME"], &events_one[2]["DOMAINNAME"]),
        (&json!("bob"), &json!("CORP"))
    );
    let hash = events_one[2]["NTLM_HASH"].as_str().unwrap();
    assert!(
        python().is_none() || is_made_with(&one, hash, "pw-3"),
        "{hash}"
    );
    assert_eq!(events_one[3], login(&one, "", "", "shop"));

    // TDS 8: TLS from the first byte.
    let two = nest("2022");
    let strict =
        "await attempt('default', { userName: 'sa', password: 'pw-8' }, { encrypt: 'strict' });";
    assert_eq!(tedious(&two, &module, strict), format!("{failed}\n"));
    let incident = two.incident(TITLE, 1);
    assert_eq!(events(&incident), [login(&two, "sa", "pw-8", "shop")]);
}

#[test]
fn hydra_tries_passwords() {
    if !have("hydra") {
        return;
    }
    let nest = nest("2012");
    let list = nest.dir.path().join("passwords");
    std::fs::write(&list, "sa\nP@ssw0rd\nsql2012\n").unwrap();
    let url = format!("mssql://{}:{}", nest.address, nest.port("mssql"));
    let said = client(
        "hydra",
        &[
            "-I",
            "-t",
            "1",
            "-l",
            "sa",
            "-P",
            list.to_str().unwrap(),
            &url,
        ],
    );
    assert!(said.contains("0 valid password found"), "{said}");
    let incident = nest.incident(TITLE, 3);
    let wanted = |password: &str| json!({"USERNAME": "sa", "PASSWORD": password, "APPNAME": "squelda 1.0", "SERVERNAME": ""});
    assert_eq!(
        events(&incident),
        [wanted("sa"), wanted("P@ssw0rd"), wanted("sql2012")]
    );
}

/// nmap's own library with two slips of 7.93 mended, by which its scripts for SQL Server fail on
/// every server: it takes a list for a status, and counts a table that has names. Gives the folder that nmap is to read.
fn mended_nmap(nest: &Nest) -> PathBuf {
    let from = Path::new("/usr/share/nmap");
    let to = nest.dir.path().join("nmap");
    let link_all = |from: &Path, to: &Path, but: &str| {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            if name != but {
                std::os::unix::fs::symlink(from.join(&name), to.join(&name)).unwrap();
            }
        }
    };
    link_all(from, &to, "nselib");
    link_all(&from.join("nselib"), &to.join("nselib"), "mssql.lua");
    let library = std::fs::read(from.join("nselib/mssql.lua")).unwrap();
    let library = String::from_utf8_lossy(&library).replace(
        "local status, instances = Helper.GetDiscoveredInstances(host, port)\n      if status then",
        "local instances = Helper.GetDiscoveredInstances(host, port)\n      if instances then",
    );
    let library = library.replace("if #output > 0 then", "if next(output) then");
    std::fs::write(to.join("nselib/mssql.lua"), library).unwrap();
    to
}

#[test]
fn nmap_reads_version_and_names() {
    if !have("nmap") {
        return;
    }
    let nest = nest("2019");
    let folder = mended_nmap(&nest);
    let said = nest.nmap_as(
        nest.port("mssql"),
        1433,
        &[
            "--datadir",
            folder.to_str().unwrap(),
            "-sV",
            "--script",
            "+ms-sql-info,+ms-sql-ntlm-info",
        ],
    );
    for wanted in [
        "ms-sql-s Microsoft SQL Server 2019 15.00.2000.00; RTM",
        "name: Microsoft SQL Server 2019 RTM",
        "number: 15.00.2000.00",
        "Service pack level: RTM",
        "NetBIOS_Computer_Name: FILES-02",
        "Product_Version: 10.0.17763",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // Its question for the names is half a Windows login.
    let incident = nest.incident(TITLE, 1);
    check_frame(&nest, &incident, "9002", nest.port("mssql"));
    assert_eq!(events(&incident)[0]["USERNAME"], "");
}

#[test]
fn the_certificate_is_the_one_that_the_product_signs_itself() {
    if !have("openssl") {
        return;
    }
    let nest = nest("2022");
    let at = format!("{}:{}", nest.address, nest.port("mssql"));
    let said = client(
        "openssl",
        &["s_client", "-alpn", "tds/8.0", "-connect", &at],
    );
    for wanted in [
        "subject=CN = SSL_Self_Signed_Fallback",
        "issuer=CN = SSL_Self_Signed_Fallback",
        "Server public key is 3072 bit",
        "ALPN protocol: tds/8.0",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(nest.count(TITLE), 0);
}

/// LOGIN7 of TDS 7.4 with this user and password.
fn login7(user: &str, password: &str) -> Vec<u8> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let scrambled: Vec<u8> = wide(password)
        .iter()
        .map(|byte| byte.rotate_left(4) ^ 0xa5)
        .collect();
    let values = [
        wide("WS-07"),
        wide(user),
        scrambled,
        wide("raw"),
        wide("db-01"),
    ];
    let mut body = vec![0; 36];
    body[4..8].copy_from_slice(&0x7400_0004_u32.to_le_bytes());
    let mut start = 94;
    for value in &values {
        body.extend(u16::try_from(start).unwrap().to_le_bytes());
        body.extend(u16::try_from(value.len() / 2).unwrap().to_le_bytes());
        start += value.len();
    }
    body.resize(94, 0);
    body.extend(values.concat());
    let length = u32::try_from(body.len()).unwrap();
    body[..4].copy_from_slice(&length.to_le_bytes());
    let length = u16::try_from(body.len() + 8).unwrap().to_be_bytes();
    let mut packet = vec![0x10, 1, length[0], length[1], 0, 0, 1, 0];
    packet.extend(body);
    packet
}

#[test]
fn a_thousand_attempts_are_one_incident_of_a_thousand_events() {
    let nest = nest("2014");
    let at = (nest.address, nest.port("mssql"));
    let prelogin = b"\x12\x01\0\x1a\0\0\x01\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x09\0\0\0\0\0\x02";
    let worker = |share: u32| {
        for n in (0..1_000).filter(|n| n % 20 == share) {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(prelogin).unwrap();
            let mut answer = [0; 26];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[19..], [12, 0, 0x17, 0x88, 0, 0, 2]);
            stream.write_all(&login7("sa", &format!("pw-{n}"))).unwrap();
            let mut refused = Vec::new();
            stream.read_to_end(&mut refused).unwrap();
            assert_eq!(refused[8], 0xaa);
        }
    };
    std::thread::scope(|scope| {
        for share in 0..20 {
            scope.spawn(move || worker(share));
        }
    });
    let incident = nest.incident(TITLE, 1_000);
    assert_eq!(nest.count(TITLE), 1);
    let mut passwords: Vec<_> = events(&incident)
        .iter()
        .map(|event| event["PASSWORD"].as_str().unwrap().to_owned())
        .collect();
    passwords.sort();
    passwords.dedup();
    assert_eq!(passwords.len(), 1_000);
}
