//! What is asked of the SMB decoy over named pipes: shares, accounts, identifiers, the registry.

use serde_json::{Value, json};

use crate::nest::{Nest, beside_python, client, have, python};
use crate::seen::{check_frame, events};

const TITLE: &str = "Shared File Opened";

/// Runs one of impacket's examples, which know the standard port alone.
const OTHER_PORT: &str = "
import runpy, socket, sys
look_up, port = socket.getaddrinfo, int(sys.argv[1])
socket.getaddrinfo = lambda host, asked, *more: look_up(host, port if asked == 445 else asked, *more)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
";

/// A share that reports what is asked over its pipes alone.
fn nest(personality: &str) -> Nest {
    Nest::start(&format!(
        "[[bird]]
name = \"files-02\"
{personality}
[bird.smb]
users = [{{name = \"backup\", password = \"Summer2025\"}}, {{name = \"r.shaw\", password = \"x\"}}]
report.logins = false
report.connections = false
"
    ))
}

const LOGIN: &str = "backup:Summer2025";
const SAMBA: &str = "personality = \"bare\"";
const WINDOWS: &str = "personality = \"bare\"\nsystem = \"windows-server-2019\"";

fn rpcclient(nest: &Nest, user: &str, commands: &str) -> String {
    let (port, address) = (nest.port("smb").to_string(), nest.address.to_string());
    client(
        "rpcclient",
        &["-U", user, "-p", &port, "-c", commands, &address],
    )
}

/// What one of impacket's examples says; without a `login` in a null session.
fn impacket(nest: &Nest, login: &str, script: &str, more: &[&str]) -> Option<String> {
    let (python, script) = (python()?, beside_python(script)?);
    let port = nest.port("smb").to_string();
    let target = format!("{login}@{}", nest.address);
    let mut all = vec!["-c", OTHER_PORT, &port, script.to_str()?, &target];
    if login.is_empty() {
        all.push("-no-pass");
    }
    all.extend(more);
    Some(client(python.to_str()?, &all))
}

/// What was asked for by `api`, with what belongs to it.
fn asked(api: &str, user: &str, client: (&str, &str), status: &str, more: Value) -> Value {
    let mut event = json!({
        "AUDITACTION": api, "DOMAIN": "WORKGROUP", "FILENAME": "", "LOCALNAME": "FILES-02",
        "MODE": "workgroup", "OFFSET": "", "REMOTENAME": client.1, "SHARENAME": "IPC$",
        "SIZE": "", "SMBARCH": client.0, "SMBVER": "SMB3_11", "STATUS": status, "USER": user,
    });
    let Value::Object(more) = more else {
        panic!("{more} is no object")
    };
    event.as_object_mut().unwrap().extend(more);
    event
}

fn groups(sid: &str, rid: &str, group: &str) -> Value {
    json!({"SID": sid, "RID": rid, "SGROUPNAME": group})
}

#[test]
fn rpcclient_lists_what_samba_has() {
    if !have("rpcclient") {
        return;
    }
    let nest = nest(SAMBA);
    let said = rpcclient(
        &nest,
        "%",
        "srvinfo; netshareenum; enumdomains; enumdomusers; enumdomgroups; lookupnames backup; lookupsids S-1-5-32-544; queryuser 1000; getdompwinfo",
    );
    for wanted in [
        "FILES-02       Wk Sv PrQ Unx NT SNT Samba 4.17.12-Debian",
        "server type     :\t0x809a03",
        "netname: Documents",
        "IPC Service (Samba 4.17.12-Debian)",
        "name:[Builtin] idx:[0x1]",
        "user:[backup] rid:[0x3e8]",
        "user:[r.shaw] rid:[0x3e9]",
        "-1000 (User: 1)",
        "S-1-5-32-544 BUILTIN\\Administrators (4)",
        "Profile Path:\t\\\\FILES-02\\backup\\profile",
        "min_password_length: 5",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let line = said
        .lines()
        .find(|line| line.contains("-1000 (User: 1)"))
        .unwrap();
    let sid = line
        .split(' ')
        .nth(1)
        .unwrap()
        .strip_suffix("-1000")
        .unwrap();
    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "5013", nest.port("smb"));
    let seen = events(&incident);
    let remote = seen[0]["REMOTENAME"].as_str().unwrap();
    assert!(!remote.is_empty());
    let asked = |api: &str, more: Value| asked(api, "", ("Samba", remote), "ok", more);
    let wanted = [
        asked(
            "SamrEnumerateUsersInDomain",
            groups(sid, "1000,1001", "backup,r.shaw"),
        ),
        asked("SamrEnumerateGroupsInDomain", groups(sid, "", "")),
        asked("LsarLookupNames", groups(sid, "1000", "backup")),
        asked("LsarLookupSids", groups(sid, "544", "Administrators")),
        asked(
            "SamrOpenUser",
            groups(&format!("{sid}-1000"), "1000", "backup"),
        ),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn impacket_lists_accounts_and_keys_of_samba_as_nobody() {
    let nest = nest(SAMBA);
    let Some(said) = impacket(&nest, "", "samrdump.py", &[]) else {
        return;
    };
    assert!(said.contains("Found user: backup, uid = 1000"), "{said}");
    assert!(said.contains("r.shaw (1001)/PrimaryGroupId: 513"), "{said}");
    let key = "HKLM\\SOFTWARE\\Microsoft\\Windows";
    let said = impacket(&nest, "", "reg.py", &["query", "-keyName", key]).unwrap();
    assert!(said.contains("\\Windows\\CurrentVersion"), "{said}");
    let seen = events(&nest.incident(TITLE, 4));
    let sid = seen[0]["SID"].as_str().unwrap();
    let asked = |api: &str, more: Value| {
        let remote = seen[0]["REMOTENAME"].as_str().unwrap();
        asked(api, "", ("impacket", remote), "ok", more)
    };
    let user =
        |rid: &str, name: &str| asked("SamrOpenUser", groups(&format!("{sid}-{rid}"), rid, name));
    let registry = json!({"HIVE": "HKEY_LOCAL_MACHINE", "REGISTRY_KEY": &key[5..]});
    let wanted = [
        asked(
            "SamrEnumerateUsersInDomain",
            groups(sid, "1000,1001", "backup,r.shaw"),
        ),
        user("1000", "backup"),
        user("1001", "r.shaw"),
        asked("BaseRegOpenKey", registry),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn a_thousand_questions_are_one_incident() {
    if !have("rpcclient") {
        return;
    }
    let nest = nest(SAMBA);
    let commands = "enumdomgroups;".repeat(1_000);
    rpcclient(&nest, "%", &commands);
    nest.incident(TITLE, 1_000);
}

#[test]
fn impacket_looks_up_what_windows_tells() {
    let nest = nest(WINDOWS);
    let Some(said) = impacket(&nest, LOGIN, "lookupsid.py", &["1100"]) else {
        return;
    };
    for wanted in [
        "500: FILES-02\\Administrator (SidTypeUser)",
        "513: FILES-02\\None (SidTypeGroup)",
        "1002: FILES-02\\r.shaw (SidTypeUser)",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let sid = said
        .lines()
        .find_map(|line| line.split("Domain SID is: ").nth(1))
        .unwrap();
    let key = "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
    let said = impacket(&nest, LOGIN, "reg.py", &["query", "-keyName", key]).unwrap();
    assert!(
        said.contains("ProductName\tREG_SZ\t Windows Server 2019 Standard"),
        "{said}"
    );
    let said = impacket(
        &nest,
        LOGIN,
        "reg.py",
        &["query", "-keyName", "HKLM\\SAM\\SAM"],
    )
    .unwrap();
    assert!(said.contains("0x5 - rpc_s_access_denied"), "{said}");
    let said = impacket(&nest, LOGIN, "samrdump.py", &[]).unwrap();
    assert!(said.contains("STATUS_ACCESS_DENIED"), "{said}");
    let incident = nest.incident(TITLE, 6);
    let seen = events(&incident);
    let asked = |api: &str, status: &str, more: Value| {
        let remote = seen[0]["REMOTENAME"].as_str().unwrap();
        asked(api, "backup", ("impacket", remote), status, more)
    };
    let registry = |key: &str| json!({"HIVE": "HKEY_LOCAL_MACHINE", "REGISTRY_KEY": key});
    let denied = "NT_STATUS_ACCESS_DENIED";
    let all = groups(
        sid,
        "500,501,503,504,513",
        "Administrator,Guest,DefaultAccount,WDAGUtilityAccount,None",
    );
    let wanted = [
        asked("LsarQueryInformationPolicy2", "ok", groups(sid, "", "")),
        asked("LsarLookupSids", "ok", all),
        asked(
            "LsarLookupSids",
            "ok",
            groups(sid, "1001,1002", "backup,r.shaw"),
        ),
        asked("BaseRegOpenKey", "ok", registry(&key[5..])),
        asked("BaseRegOpenKey", denied, registry("SAM\\SAM")),
        asked("SamrConnect", denied, groups(sid, "", "")),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn documents_open_in_the_programs_that_people_use() {
    if !["smbclient", "soffice", "qpdf", "mutool"]
        .iter()
        .all(|p| have(p))
    {
        return;
    }
    let files = [
        ("Minutes March.docx", 90_000, "Present:"),
        ("VPN access.docx", 20_000, "Remote access: gateway"),
        ("Budget 2025.xlsx", 30_000, "Cost centre"),
        ("Invoice 4711.pdf", 200_001, "Payable within"),
    ];
    let tree: Vec<_> = files
        .iter()
        .map(|(name, size, _)| format!("{{name = \"{name}\", type = \"file\", size = {size}}}"))
        .collect();
    let nest = Nest::start(&format!(
        "[[bird]]\nname = \"files-02\"\npersonality = \"bare\"\n[bird.smb]\nfiletree = [{}]\n",
        tree.join(", ")
    ));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (port, share) = (
        nest.port("smb").to_string(),
        format!("//{}/Documents", nest.address),
    );
    let into = format!("lcd {}; prompt off; mget *", path(""));
    let said = client("smbclient", &["-N", "-p", &port, &share, "-c", &into]);
    let profile = format!("-env:UserInstallation=file://{}", path("office"));
    let out = path("converted");
    let mut arguments = vec![
        &*profile,
        "--headless",
        "--convert-to",
        "pdf",
        "--outdir",
        &out,
    ];
    let office: Vec<_> = files.iter().map(|(name, ..)| path(name)).collect();
    arguments.extend(
        office
            .iter()
            .filter(|name| !name.ends_with(".pdf"))
            .map(String::as_str),
    );
    let converted = client("soffice", &arguments);
    for (name, size, says) in files {
        let file = path(name);
        assert_eq!(std::fs::metadata(&file).expect(&said).len(), size, "{name}");
        let shown = if name.ends_with(".pdf") {
            let checked = client("qpdf", &["--check", &file]);
            assert!(
                checked.contains("No syntax or stream encoding errors"),
                "{checked}"
            );
            let checked = client("mutool", &["info", &file]);
            assert!(
                checked.contains("Pages: 2") && !checked.contains("error"),
                "{checked}"
            );
            file
        } else {
            let stem = name.rsplit_once('.').unwrap().0;
            path(&format!("converted/{stem}.pdf"))
        };
        let text = client("mutool", &["draw", "-q", "-F", "txt", &shown, "1"]);
        assert!(text.contains(says), "{name}: {text}\n{converted}");
    }
}
