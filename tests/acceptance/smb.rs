//! The SMB decoy and the clients that people and attackers use: every file opened, every login and
//! every connection to a share is an event of one incident.

use serde_json::{Value, json};

use crate::lab::{BIRD, Lab};
use crate::nest::{Nest, client, have, python};
use crate::seen::{check_frame, events};

const TITLE: &str = "Shared File Opened";

/// A bird with a share of four files, one account, and no wish to be told of logins and
/// connections where `report` is false.
fn nest(report: bool, more: &str) -> Nest {
    Nest::start(&config(report, more))
}

fn config(report: bool, more: &str) -> String {
    format!(
        "
[[bird]]
name = \"files-02\"
personality = \"bare\"
[bird.smb]
report.logins = {report}
report.connections = {report}
users = [{{ name = \"alice\", password = \"Summer2024!\" }}]
filetree = [
  {{ name = \"readme.txt\", type = \"file\", size = 2000 }},
  {{ name = \"Finance\", type = \"folder\", children = [
    {{ name = \"budget.xlsx\", type = \"xlsx\", size = 120000 }},
    {{ name = \"2024\", type = \"folder\", children = [
      {{ name = \"invoice.pdf\", type = \"pdf\", size = 3000000 }},
      {{ name = \"letter.docx\", type = \"docx\", size = 70000 }},
    ] }},
  ] }},
]
{more}
"
    )
}

fn smbclient(nest: &Nest, more: &[&str], user: &str, commands: &str) -> String {
    let port = nest.port("smb").to_string();
    let share = format!("//{}/Documents", nest.address);
    let mut all = vec!["-p", &port, "-U", user, &share, "-c", commands];
    all.extend(more);
    client("smbclient", &all)
}

/// The value of `field` in each event.
fn each(incident: &Value, field: &str) -> Vec<String> {
    let events = events(incident);
    let text = |event: &Value| event[field].as_str().unwrap_or_default().to_owned();
    events.iter().map(text).collect()
}

/// This machine as clients name it.
fn host() -> String {
    client("hostname", &["-s"]).trim().to_uppercase()
}

#[test]
fn smbclient_takes_the_whole_share() {
    if !have("smbclient") {
        return;
    }
    let nest = nest(false, "");
    let said = smbclient(&nest, &[], "bob%hunter2", "ls; ls Finance\\*");
    for name in ["readme.txt", "Finance", "budget.xlsx", "2024"] {
        assert!(said.contains(name), "{said}");
    }
    assert_eq!(nest.count(TITLE), 0);
    let folder = nest.dir.path().join("loot");
    std::fs::create_dir(&folder).unwrap();
    let there = format!("lcd {}; recurse; prompt; mget *", folder.display());
    smbclient(&nest, &[], "bob%hunter2", &there);
    for (path, size) in [
        ("readme.txt", 2_000),
        ("Finance/budget.xlsx", 120_000),
        ("Finance/2024/invoice.pdf", 3_000_000),
        ("Finance/2024/letter.docx", 70_000),
    ] {
        let length = std::fs::metadata(folder.join(path)).unwrap().len();
        assert_eq!(length, size, "{path}");
    }
    let incident = nest.incident(TITLE, 4);
    check_frame(&nest, &incident, "5000", nest.port("smb"));
    let mut names = each(&incident, "FILENAME");
    names.sort();
    assert_eq!(
        names,
        [
            "Finance/2024/invoice.pdf",
            "Finance/2024/letter.docx",
            "Finance/budget.xlsx",
            "readme.txt",
        ]
    );
    let readme = events(&incident)
        .into_iter()
        .find(|event| event["FILENAME"] == "readme.txt");
    assert_eq!(
        readme.unwrap(),
        json!({
            "USER": "bob", "FILENAME": "readme.txt", "AUDITACTION": "pread",
            "DOMAIN": "WORKGROUP", "LOCALNAME": "FILES-02", "MODE": "workgroup", "OFFSET": "0",
            "REMOTENAME": host(), "SHARENAME": "Documents", "SIZE": "2000", "SMBARCH": "Samba",
            "SMBVER": "SMB3_11", "STATUS": "ok",
        })
    );
    let said = smbclient(
        &nest,
        &[],
        "bob%hunter2",
        "put /etc/hostname stolen.txt; mkdir new; rm readme.txt",
    );
    assert_eq!(said.matches("NT_STATUS_ACCESS_DENIED").count(), 3, "{said}");
    nest.incident(TITLE, 4);
}

#[test]
fn smbclient_signs_and_encrypts_in_every_dialect() {
    if !have("smbclient") {
        return;
    }
    let nest = nest(false, "");
    let commands = "get readme.txt -";
    let mut reads = 0;
    for dialect in ["SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"] {
        let mut ways = vec!["sign"];
        if dialect.starts_with("SMB3") {
            ways.push("encrypt");
        }
        for way in ways {
            let more = ["-m", dialect, "--client-protection", way];
            let said = smbclient(&nest, &more, "alice%Summer2024!", commands);
            assert!(
                said.contains("getting file \\readme.txt of size 2000"),
                "{dialect} {way}: {said}"
            );
            reads += 1;
            let incident = nest.incident(TITLE, reads);
            assert!(each(&incident, "SMBVER").contains(&dialect.to_owned()));
        }
    }
    let said = smbclient(&nest, &[], "alice%wrong", commands);
    assert!(said.contains("NT_STATUS_LOGON_FAILURE"), "{said}");
}

#[test]
fn a_server_that_must_have_it_signed_or_encrypted() {
    if !have("smbclient") {
        return;
    }
    let commands = "get readme.txt -";
    for more in [
        "advanced.enabled = true\nadvanced.serversigning = \"mandatory\"",
        "encryption = \"required\"",
        "encryption = \"desired\"",
    ] {
        let nest = nest(false, more);
        let said = smbclient(&nest, &[], "alice%Summer2024!", commands);
        assert!(said.contains("of size 2000"), "{more}: {said}");
        let said = smbclient(&nest, &[], "stranger%x", commands);
        let refused = said.contains("NT_STATUS_ACCESS_DENIED");
        assert_eq!(refused, more.contains("required"), "{more}: {said}");
    }
}

#[test]
fn logins_and_connections_are_events_with_what_hashcat_takes() {
    if !have("smbclient") {
        return;
    }
    let nest = nest(true, "");
    smbclient(&nest, &[], "CORP/alice%letmein", "ls");
    smbclient(&nest, &[], "stranger%x", "ls");
    let port = nest.port("smb").to_string();
    let nowhere = format!("//{}/secrets", nest.address);
    client(
        "smbclient",
        &["-p", &port, "-U", "alice%Summer2024!", &nowhere, "-c", "ls"],
    );
    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "5010", nest.port("smb"));
    let seen: Vec<_> = ["USER", "LOGINTYPE", "STATUS", "SHARENAME"]
        .iter()
        .map(|field| each(&incident, field))
        .collect();
    assert_eq!(seen[0], ["alice", "stranger", "stranger", "alice", "alice"]);
    assert_eq!(seen[1], ["NTLMv2", "guest", "", "NTLMv2", ""]);
    let failed = [
        "NT_STATUS_LOGON_FAILURE",
        "ok",
        "ok",
        "ok",
        "NT_STATUS_BAD_NETWORK_NAME",
    ];
    assert_eq!(seen[2], failed);
    assert_eq!(seen[3], ["", "", "Documents", "", "secrets"]);
    let hash = &each(&incident, "NTLM_HASH")[0];
    assert!(hash.starts_with("alice::CORP:"), "{hash}");
    let code = format!(
        "
import hmac, json
from impacket.ntlm import compute_nthash
user, _, domain, challenge, proof, blob = '{hash}'.split(':')
key = hmac.new(compute_nthash('letmein'), (user.upper() + domain).encode('utf-16le'), 'md5').digest()
print(json.dumps(hmac.new(key, bytes.fromhex(challenge + blob), 'md5').hexdigest() == proof))
"
    );
    if python().is_some() {
        assert_eq!(nest.python(&code), Some(json!(true)));
    }
}

#[test]
fn impacket_lists_and_reads() {
    if python().is_none() {
        return;
    }
    let nest = nest(true, "");
    let code = format!(
        "
import io, json
from impacket.smbconnection import SMBConnection
c = SMBConnection('{address}', '{address}', sess_port={port})
c.login('alice', 'Summer2024!', 'CORP')
names = sorted(f.get_longname() for f in c.listPath('Documents', '\\\\Finance\\\\*'))
got = io.BytesIO()
c.getFile('Documents', 'Finance\\\\2024\\\\invoice.pdf', got.write)
try:
    c.putFile('Documents', 'x.exe', io.BytesIO(b'MZ').read)
    put = 'taken'
except Exception as error:
    put = str(error).split('(')[0]
c.logoff()
print(json.dumps([names, len(got.getvalue()), got.getvalue()[:5].decode(), put]))
",
        address = nest.address,
        port = nest.port("smb"),
    );
    let said = nest.python(&code).unwrap();
    assert_eq!(
        said,
        json!([
            [".", "..", "2024", "budget.xlsx"],
            3_000_000,
            "%PDF-",
            "SMB SessionError: code: 0xc0000022 - STATUS_ACCESS_DENIED - {Access Denied} A process has requested access to an object but has not been granted those access rights."
        ])
    );
    // It connects anew for everything it does.
    let incident = nest.incident(TITLE, 5);
    assert_eq!(
        each(&incident, "SHARENAME")[..3],
        ["", "Documents", "Documents"]
    );
    assert_eq!(each(&incident, "FILENAME")[3], "Finance/2024/invoice.pdf");
    assert_eq!(each(&incident, "SMBARCH"), ["impacket"; 5]);
}

#[test]
fn smbprotocol_signs_encrypts_and_is_refused_when_it_signs_wrongly() {
    if python().is_none() {
        return;
    }
    let nest = nest(false, "");
    let code = format!(
        "
import json, uuid
from smbprotocol.connection import Connection, Dialects
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect
from smbprotocol.open import Open, ImpersonationLevel, FilePipePrinterAccessMask, FileAttributes, ShareAccess, CreateDisposition, CreateOptions
from smbprotocol.exceptions import SMBException
out = []
def go(dialect, encrypt, harm=False):
    c = Connection(uuid.uuid4(), '{address}', {port}, require_signing=True)
    c.connect(dialect)
    s = Session(c, 'alice', 'Summer2024!', require_encryption=encrypt)
    s.connect()
    if harm:
        s.signing_key = bytes(16)
    t = TreeConnect(s, r'\\\\{address}\\Documents')
    t.connect()
    f = Open(t, 'readme.txt')
    f.create(ImpersonationLevel.Impersonation, FilePipePrinterAccessMask.GENERIC_READ, FileAttributes.FILE_ATTRIBUTE_NORMAL, ShareAccess.FILE_SHARE_READ, CreateDisposition.FILE_OPEN, CreateOptions.FILE_NON_DIRECTORY_FILE)
    n = len(f.read(0, 2000))
    f.close()
    c.disconnect(True)
    return n
for dialect in (Dialects.SMB_2_0_2, Dialects.SMB_2_1_0, Dialects.SMB_3_0_0, Dialects.SMB_3_0_2, Dialects.SMB_3_1_1):
    out.append(go(dialect, False))
for dialect in (Dialects.SMB_3_0_0, Dialects.SMB_3_0_2, Dialects.SMB_3_1_1):
    out.append(go(dialect, True))
try:
    out.append(go(Dialects.SMB_3_1_1, False, True))
except SMBException as error:
    out.append(type(error).__name__)
print(json.dumps(out))
",
        address = nest.address,
        port = nest.port("smb"),
    );
    let said = nest.python(&code).unwrap();
    let reads = said.as_array().unwrap();
    assert_eq!(
        reads[..8],
        [
            json!(2000),
            json!(2000),
            json!(2000),
            json!(2000),
            json!(2000),
            json!(2000),
            json!(2000),
            json!(2000)
        ]
    );
    assert_ne!(reads[8], 2000, "{said}");
    nest.incident(TITLE, 8);
}

#[test]
fn a_thousand_attempts_are_one_incident() {
    if python().is_none() {
        return;
    }
    let nest = nest(true, "guest.enabled = false");
    let code = format!(
        "
import json
from concurrent.futures import ThreadPoolExecutor
from impacket.smbconnection import SMBConnection, SessionError
def guess(worker):
    failed = 0
    c = SMBConnection('{address}', '{address}', sess_port={port}, preferredDialect=0x210)
    for number in range(50):
        try:
            c.login('admin', 'guess%d' % (worker * 50 + number))
        except SessionError as error:
            failed += error.getErrorCode() == 0xc000006d
    c.close()
    return failed
print(json.dumps(sum(ThreadPoolExecutor(20).map(guess, range(20)))))
",
        address = nest.address,
        port = nest.port("smb"),
    );
    assert_eq!(nest.python(&code), Some(json!(1_000)));
    let incident = nest.incident(TITLE, 1_000);
    let statuses = each(&incident, "STATUS");
    assert!(
        statuses
            .iter()
            .all(|status| status == "NT_STATUS_LOGON_FAILURE")
    );
}

#[test]
fn in_a_network_of_its_own_the_kernel_mounts_it_and_nmap_names_it() {
    if !have("mount.cifs") || !have("nmap") {
        return;
    }
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let nest = Nest::start_at(BIRD.into(), 0, dir, &config(false, ""));
    let host = lab.host();
    let said = host.client(&format!(
        "nmap -Pn -n -p445 --script smb-protocols,smb2-security-mode,smb2-time,smb2-capabilities {BIRD}"
    ));
    for word in [
        "202",
        "210",
        "300",
        "302",
        "311",
        "Message signing enabled but not required",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = host.client(&format!("nmap -Pn -n -sV -p445 {BIRD}"));
    assert!(said.contains("Samba smbd 4.6.2"), "{said}");
    if have("smbmap") {
        let said = host.client(&format!("smbmap -H {BIRD} -u bob -p hunter2"));
        let share = said.lines().find(|line| line.contains("Documents"));
        assert!(
            share.is_some_and(|line| line.contains("READ ONLY")),
            "{said}"
        );
    }
    let place = nest.dir.path().join("mounted");
    std::fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    for (version, more) in [("2.1", ""), ("3.0", ""), ("3.1.1", ",seal")] {
        let options = format!("username=alice,password=Summer2024!,vers={version}{more}");
        let said = host.client(&format!(
            "mount.cifs //{BIRD}/Documents {place} -o {options}"
        ));
        if said.contains("No such device") || said.contains("not supported") {
            eprintln!("SKIPPED: this kernel has no cifs");
            return;
        }
        assert_eq!(said, "", "{version}");
        let said = host.client(&format!(
            "sha256sum {place}/Finance/2024/invoice.pdf {place}/readme.txt"
        ));
        host.client(&format!("umount {place}"));
        assert_eq!(said.lines().count(), 2, "{version}: {said}");
    }
}
