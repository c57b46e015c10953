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
