//! What is done with tokens and breadcrumbs over the API, by the official client and by SSH.

use serde_json::json;

use crate::console::CONNECT;
use crate::nest::{Nest, QUICK, client, have};
use crate::seen;

#[test]
fn canarytools_makes_downloads_switches_and_deletes_kinds() {
    let nest = Nest::start(QUICK);
    let Some(seen) = nest.python(&format!(
        "{CONNECT}
import os, requests, struct, tempfile, zlib
os.chdir(tempfile.mkdtemp())
def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
png = (b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0))
    + chunk(b'IDAT', zlib.compress(b'\\0\\0')) + chunk(b'IEND', b''))
# The client closes a picture's file before it sends it, so this is what it means to send.
image = requests.post(os.environ['CONSOLE_URL'] + '/api/v1/canarytoken/create', files=dict(web_image=('logo.png', png, 'image/png')),
    data=dict(auth_token=ini['CanaryTools']['api_key'], kind='web-image', memo='m', web_image='/tmp/logo.png', mimetype='image/png'))
image = image.json()['canarytoken']['web_image_name']
more = {{
    'fast-redirect': dict(browser_redirect_url='https://www.example.com/'),
    'cloned-web': dict(cloned_web='www.example.com'),
}}
begins = {{}}
for kind in ['http', 'dns', 'fast-redirect', 'cloned-web', 'qr-code', 'doc-msword', 'doc-msexcel',
        'pdf-acrobat-reader', 'windows-dir']:
    made = console.tokens.create(memo=kind, kind=kind, **more.get(kind, {{}}))
    assert made.kind == kind and len(made.canarytoken) == 25, kind
    if kind in ('qr-code', 'doc-msword', 'doc-msexcel', 'pdf-acrobat-reader', 'windows-dir'):
        name = made.download()
        begins[kind] = open(name, 'rb').read(4).hex()
    made.disable()
    assert not console.tokens.get_token(made.canarytoken).enabled, kind
    made.enable()
    assert console.tokens.get_token(made.canarytoken).enabled, kind
before = sorted(t.kind for t in console.tokens.all())
for token in console.tokens.all(): token.delete()
refused = ''
try: console.tokens.create(memo='m', kind='nothing')
except Exception as e: refused = str(e)
print(json.dumps(dict(begins=begins, image=image, before=before, left=len(console.tokens.all()), refused=refused)))
"
    )) else {
        return;
    };
    assert_eq!(
        seen,
        json!({
            "image": "logo.png",
            "begins": {
                "qr-code": "89504e47", "doc-msword": "504b0304", "doc-msexcel": "504b0304",
                "pdf-acrobat-reader": "25504446", "windows-dir": "504b0304",
            },
            "before": [
                "cloned-web", "dns", "doc-msexcel", "doc-msword", "fast-redirect", "http",
                "pdf-acrobat-reader", "qr-code", "web-image", "windows-dir",
            ],
            "left": 0, "refused": "Supplied kind is not valid when creating a Canarytoken",
        })
    );
}

#[test]
fn a_breadcrumbs_key_that_openssh_finds_is_an_incident_with_its_reminder() {
    if !have("ssh") {
        return;
    }
    let nest = Nest::start(QUICK);
    let node = nest.run["birds"][0]["node_id"].as_str().unwrap().to_owned();
    let made = nest.post(
        "breadcrumb/generate",
        &[
            ("node_id", &node),
            ("kind", "ssh-key"),
            ("reminder", "build-7:/home/deploy/.ssh"),
        ],
    );
    assert_eq!(made["result"], "success", "{made}");
    let address = nest.address.to_string();
    assert_eq!(
        (&made["label"], &made["canary_ip"], &made["ssh_port"]),
        (
            &json!("files-02"),
            &json!(address),
            &json!(nest.port("ssh").to_string())
        )
    );
    let key = nest.dir.path().join("id_files-02");
    std::fs::write(&key, made["private_key"].as_str().unwrap()).unwrap();
    client("chmod", &["600", key.to_str().unwrap()]);
    let said = client(
        "ssh",
        &[
            "-F",
            "/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "PreferredAuthentications=publickey",
            "-i",
            key.to_str().unwrap(),
            "-p",
            made["ssh_port"].as_str().unwrap(),
            &format!("deploy@{address}"),
            "true",
        ],
    );
    assert!(said.contains("Permission denied"), "{said}");
    let incident = nest.incident("SSH Key Breadcrumb Used", 1);
    seen::check_frame(&nest, &incident, "29001", nest.port("ssh"));
    assert_eq!(
        incident["description"]["reminder"],
        "build-7:/home/deploy/.ssh"
    );
    assert_eq!(
        seen::events(&incident),
        [json!({
            "KEY": made["public_key"], "SERVICE": "SSH", "USERNAME": "deploy",
            "reminder": "build-7:/home/deploy/.ssh",
        })]
    );
    assert_eq!(nest.count("SSH Login Attempt"), 0, "told once");
}

#[test]
fn requests_of_one_client_are_one_incident_and_known_programs_make_none() {
    if !have("curl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("exits.txt"), "# exits\n127.0.0.0/8\n").unwrap();
    let config = format!("{QUICK}\n[tokens]\ntor_list = \"exits.txt\"\n");
    let nest = Nest::start_in(dir, &config);
    let made = nest.post("canarytoken/create", &[("kind", "http"), ("memo", "doc")]);
    let url = made["canarytoken"]["url"].as_str().unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    let port = &nest.run["tokens"]["http_port"];
    let url = format!("http://{}:{port}/{path}", nest.address);
    // As LibreOffice opens a document.
    for method in ["OPTIONS", "GET", "GET"] {
        client(
            "curl",
            &[
                "-s",
                "-o",
                "/dev/null",
                "-A",
                "LibreOffice 7.4",
                "-X",
                method,
                &url,
            ],
        );
    }
    let incident = nest.incident("Canarytoken triggered", 3);
    let event = &incident["description"]["events"][2];
    assert_eq!(
        event["ip_blocklist"],
        json!({"is_proxy": false, "is_tor": true, "is_vpn": false})
    );
    let ignore = [("user_agent", "previewbot")];
    nest.post("settings/canarytokens/ignore/add", &ignore);
    client(
        "curl",
        &["-s", "-o", "/dev/null", "-A", "Slack PreviewBot/2", &url],
    );
    client("curl", &["-s", "-o", "/dev/null", "-A", "Wget/1.21", &url]);
    let incident = nest.incident("Canarytoken triggered", 4);
    let last = &incident["description"]["events"][3];
    assert_eq!(
        last["headers"]["User-Agent"], "Wget/1.21",
        "the bot is left out"
    );
}

#[test]
fn names_that_do_not_exist_alert_all_the_same() {
    if !have("dig") {
        return;
    }
    let nest = Nest::start(&format!(
        "{QUICK}\n[tokens]\nnx_zone = \"nx.example.com\"\n"
    ));
    let made = nest.post("canarytoken/create", &[("kind", "dns"), ("memo", "quiet")]);
    let token = made["canarytoken"]["canarytoken"].as_str().unwrap();
    let server = format!("@{}", nest.address);
    let port = nest.run["tokens"]["dns_port"].to_string();
    for name in [token, "www"] {
        let name = format!("{name}.nx.example.com");
        let said = client("dig", &[&server, "-p", &port, &name, "A"]);
        assert!(
            said.contains("status: NXDOMAIN") && said.contains("SOA\tns1.nx.example.com."),
            "{said}"
        );
    }
    let incident = nest.incident("Canarytoken triggered", 1);
    let event = &incident["description"]["events"][0];
    assert_eq!(event["hostname"], format!("{token}.nx.example.com"));
}

#[test]
fn every_breadcrumb_is_read_by_what_it_is_for() {
    if !have("ssh") || !have("bash") {
        return;
    }
    let nest = Nest::start(
        "[[bird]]\nname = \"files-02\"\npersonality = \"linux-nas\"\n[bird.http]\n[bird.https]\n[bird.rdp]\n\
         [bird.smb]\nsharename = \"R&D 'files'\"\n",
    );
    let Some(seen) = nest.python(
        "
import configparser, io, json, os, plistlib, re, subprocess, tempfile, zipfile
import xml.etree.ElementTree as xml
import requests
ini = configparser.ConfigParser(); ini.read(os.environ['CLIENT_CONFIG'])
key = ini['CanaryTools']['api_key']
def call(path, **asked):
    answer = requests.get(os.environ['CONSOLE_URL'] + '/api/v1/' + path, params=dict(auth_token=key, **asked))
    assert answer.status_code == 200, answer.text
    return answer
node = call('devices/all').json()['devices'][0]['id']
def crumb(kind):
    made = call('breadcrumb/generate', node_id=node, kind=kind).json()
    assert sorted(made) == ['crumb', 'readme', 'result', 'title'] and made['readme'].startswith('# '), made
    for asked in [dict(path='breadcrumb/generate', mode='text'), dict(path='breadcrumb/download')]:
        file = call(node_id=node, kind=kind, **asked)
        assert file.content.decode() == made['crumb']
        assert file.headers['content-disposition'] == 'attachment; filename=' + made['title'], file.headers
    return made['title'], made['crumb']
said = {}
def registry(kind):
    title, text = crumb(kind)
    head, section = text.split('\\r\\n\\r\\n')
    assert head == 'Windows Registry Editor Version 5.00'
    lines = section.split('\\r\\n')
    assert lines.pop() == ''
    values = dict(re.fullmatch(r'\"(\\w+)\"=(\"[^\"]*\"|dword:[0-9a-f]{8})', line).groups() for line in lines[1:])
    said[kind] = [title, lines[0], {k: int(v[6:], 16) if v.startswith('dword:') else v.strip('\"') for k, v in values.items()}]
registry('putty-profile')
registry('winscp-profile')
title, text = crumb('rdp-profile')
lines = [line.split(':', 2) for line in text.split('\\r\\n')[:-1]]
assert all(kind in 'is' and (kind == 's' or value.isdigit()) for _, kind, value in lines), text
said['rdp-profile'] = [title, {name: value for name, _, value in lines}['full address']]
title, text = crumb('filezilla-profile')
site = xml.fromstring(text.encode()).find('./Servers/Server')
said['filezilla-profile'] = [title, {part.tag: part.text for part in site}]
for kind in ['macos-http-shortcut', 'macos-https-shortcut']:
    title, text = crumb(kind)
    said[kind] = [title, plistlib.loads(text.encode())]
for kind in ['windows-http-shortcut', 'windows-https-shortcut']:
    title, text = crumb(kind)
    shortcut = configparser.RawConfigParser(); shortcut.optionxform = str; shortcut.read_string(text)
    said[kind] = [title, {name: dict(shortcut[name]) for name in shortcut.sections()}]
for kind in ['windows-ftp-shortcut', 'windows-smb-shortcut']:
    title, text = crumb(kind)
    said[kind] = [title, re.search(r\"TargetPath = '(.*)'\\r\", text)[1], re.search(r'PWD.(.*)\"', text)[1]]
title, text = crumb('ssh-host')
home = tempfile.mkdtemp()
for _ in range(2):
    subprocess.run(['bash', '-c', text], check=True, env=dict(HOME=home, PATH=os.environ['PATH']))
mode = oct(os.stat(home + '/.ssh/config').st_mode)[-3:]
resolved = subprocess.run(['ssh', '-F', home + '/.ssh/config', '-G', 'files-02'], check=True, capture_output=True, text=True).stdout
resolved = dict(line.split(' ', 1) for line in resolved.splitlines())
said['ssh-host'] = [title, mode, resolved['hostname'], int(resolved['port'])]
archive = zipfile.ZipFile(io.BytesIO(call('breadcrumb/download', node_id=node).content))
said['archive'] = sorted(name.split('/')[0] for name in archive.namelist() if name.endswith('README.md'))
print(json.dumps(said))",
    ) else {
        return;
    };
    let host = nest.address.to_string();
    let port = |id: &str| nest.port(id);
    let at = |id: &str| format!("{id}://{host}:{}/", port(id));
    let session =
        |program: &str| format!(r"[HKEY_CURRENT_USER\Software\{program}\Sessions\files-02]");
    let web = |id: &str, title: &str| json!([title, {"URL": at(id)}]);
    let link = |id: &str| json!(["files-02.url", {"InternetShortcut": {"URL": at(id)}}]);
    let mut kinds = vec![];
    for (kind, wanted) in [
        (
            "filezilla-profile",
            json!(["files-02.xml", {"Host": host, "Port": port("ftp").to_string(), "Protocol": "0",
                "Type": "0", "Logontype": "2", "Name": "files-02"}]),
        ),
        ("macos-http-shortcut", web("http", "files-02.webloc")),
        ("macos-https-shortcut", web("https", "files-02.webloc")),
        (
            "putty-profile",
            json!(["files-02.reg", session(r"SimonTatham\PuTTY"),
                {"HostName": host, "PortNumber": port("ssh"), "Protocol": "ssh"}]),
        ),
        (
            "rdp-profile",
            json!(["files-02.rdp", format!("{host}:{}", port("rdp"))]),
        ),
        ("ssh-host", json!(["files-02.sh", "600", host, port("ssh")])),
        (
            "windows-ftp-shortcut",
            json!(["files-02.ps1", at("ftp"), "files-02.url"]),
        ),
        ("windows-http-shortcut", link("http")),
        ("windows-https-shortcut", link("https")),
        (
            "windows-smb-shortcut",
            json!([
                "files-02.ps1",
                format!(r"\\{host}\R&D files"),
                "files-02.lnk"
            ]),
        ),
        (
            "winscp-profile",
            json!(["files-02.reg", session(r"Martin Prikryl\WinSCP 2"),
                {"HostName": host, "PortNumber": port("ftp"), "FSProtocol": 5}]),
        ),
    ] {
        assert_eq!(seen[kind], wanted, "{kind}");
        kinds.push(kind);
    }
    assert_eq!(seen["archive"], json!(kinds));
}
