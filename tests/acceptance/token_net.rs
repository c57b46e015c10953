//! Tokens of WireGuard, MySQL, mail and Kubernetes: made over the API, touched by the real clients.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::console::CONNECT;
use crate::lab::{BIRD, Lab};
use crate::nest::{Nest, await_some, client, client_with_input, free_port, have};
use crate::seen;

const TITLE: &str = "Canarytoken triggered";

/// A Console whose one channel is that of `key`, on this machine.
fn nest(key: &str) -> Nest {
    Nest::start(&format!(
        "[tokens]\naddress = \"127.0.0.1\"\nzone = \"localhost\"\nhttp_port = 0\ndns_port = 0\n\
         {key} = {}\n",
        free_port() - 10_000
    ))
}

/// Makes a token; its id.
fn make(nest: &Nest, kind: &str, more: &[(&str, &str)]) -> String {
    let form = [&[("kind", kind), ("memo", "on the laptop")], more].concat();
    let made = nest.post("canarytoken/create", &form);
    assert_eq!(made["result"], "success", "{made}");
    made["canarytoken"]["canarytoken"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Downloads a token's file as `name`; its path.
fn download(nest: &Nest, token: &str, name: &str) -> String {
    let config = std::fs::read_to_string(nest.run["client_config"].as_str().unwrap()).unwrap();
    let key = config
        .lines()
        .find_map(|line| line.strip_prefix("api_key = "))
        .unwrap();
    let url = format!(
        "{}/api/v1/canarytoken/download?auth_token={key}&canarytoken={token}",
        nest.run["console_url"].as_str().unwrap()
    );
    let path = nest.dir.path().join(name).to_str().unwrap().to_owned();
    client("curl", &["-ksf", "-o", &path, &url]);
    assert!(Path::new(&path).exists(), "nothing came from {url}");
    path
}

/// The port of a channel.
fn port(nest: &Nest, key: &str) -> String {
    nest.run["tokens"][key].to_string()
}

/// Holds the incident's and its first event's fields, but for `additional_info`, which it gives.
fn told(nest: &Nest, incident: &Value, token: &str, kind: [&str; 3], wanted: &Value) -> Value {
    let [kind, channel, logtype] = kind;
    let d = &incident["description"];
    assert_eq!(
        (&d["logtype"], &d["memo"]),
        (&json!(logtype), &json!("on the laptop"))
    );
    assert_eq!(
        (&d["node_id"], &d["src_host"]),
        (&json!(token), &json!("127.0.0.1"))
    );
    let mut event = seen::events(incident)[0].clone();
    let info = event
        .as_object_mut()
        .unwrap()
        .remove("additional_info")
        .unwrap();
    let mut all = json!({
        "type": kind, "kind": kind, "channel": channel, "canarytoken": token,
        "logtype": logtype, "description": event["description"], "src_host": "127.0.0.1",
        "dst_port": d["dst_port"].as_str().unwrap().parse::<u16>().unwrap(),
    });
    all.as_object_mut()
        .unwrap()
        .extend(wanted.as_object().unwrap().clone());
    assert_eq!(event, all);
    seen::check_other_views(nest, incident);
    info
}

#[test]
fn mariadbs_client_is_denied_and_told() {
    if !have("mariadb") {
        return;
    }
    let nest = nest("mysql_port");
    let token = make(&nest, "mysql-dump", &[("industry", "retail")]);
    let port = port(&nest, "mysql_port");
    let login = |user: &str| {
        let at = [
            "--no-defaults",
            "-h127.0.0.1",
            "-P",
            &port,
            "-pguess",
            "-Dshop",
            "-u",
            user,
        ];
        client("mariadb", &at)
    };
    let known = login(&format!("{token}de_DEdb-7"));
    assert_eq!(
        known.trim(),
        format!(
            "ERROR 1045 (28000): Access denied for user '{token}de_DEdb-7'@'127.0.0.1' (using password: YES)"
        )
    );
    let nobody = token.chars().rev().collect::<String>();
    assert_eq!(
        login(&format!("{nobody}de_DEdb-7")),
        known.replace(&token, &nobody)
    );
    let incident = nest.incident(TITLE, 1);
    let wanted = json!({
        "industry": "retail", "mysql_locale": "de_DE", "mysql_hostname": "db-7",
    });
    let kind = ["mysql-dump", "mysql", "17029"];
    let info = told(&nest, &incident, &token, kind, &wanted);
    assert_eq!(info["user"], format!("{token}de_DEdb-7"));
    assert_eq!(info["database"], "shop");
    assert_eq!(info["attributes"]["_client_name"], "libmariadb");
    assert_eq!(incident["description"]["dst_port"], port);
}

/// A MariaDB of our own, without a network; stopped when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_mariadb_that_loads_a_dump_logs_in() {
    if !have("mariadbd") || !have("mariadb-install-db") || !have("gunzip") {
        return;
    }
    let nest = nest("mysql_port");
    let token = make(&nest, "mysql-dump", &[]);
    let dump = download(&nest, &token, "dump.sql.gz");
    let home = nest.dir.path().join("mariadb");
    std::fs::create_dir(&home).unwrap();
    let (data, socket) = (home.join("data"), home.join("s"));
    let said = client(
        "mariadb-install-db",
        &[
            "--no-defaults",
            "--user=root",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
            &format!("--datadir={}", data.display()),
        ],
    );
    let server = Command::new("mariadbd")
        .args([
            "--no-defaults",
            "--user=root",
            "--skip-networking",
            "--lc-time-names=fr_FR",
        ])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", socket.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Server(server.unwrap());
    await_some(|| socket.exists().then_some(())).unwrap_or_else(|| panic!("no server: {said}"));
    let at = format!("--socket={}", socket.display());
    let sql = client("gunzip", &["-c", &dump]);
    let asked = ["--no-defaults", &at, "-uroot", "-e", "CREATE DATABASE d"];
    assert_eq!(client("mariadb", &asked), "");
    let loaded = client_with_input("mariadb", &["--no-defaults", &at, "-uroot", "d"], &sql);
    assert_eq!(loaded, "", "the dump loads without a word");
    let counted = [
        "--no-defaults",
        &at,
        "-uroot",
        "-N",
        "-e",
        "SELECT COUNT(*) >= 40 FROM d.users",
    ];
    assert_eq!(client("mariadb", &counted).trim(), "1");
    let incident = nest.incident(TITLE, 1);
    let asked = [
        "--no-defaults",
        &at,
        "-uroot",
        "-N",
        "-e",
        "SELECT @@hostname",
    ];
    let host = client("mariadb", &asked);
    let wanted = json!({
        "industry": "corporate", "mysql_locale": "fr_FR", "mysql_hostname": host.trim(),
    });
    let kind = ["mysql-dump", "mysql", "17029"];
    let info = told(&nest, &incident, &token, kind, &wanted);
    assert_eq!(info["user"], format!("{token}fr_FR{}", host.trim()));
}

/// Sends a mail by swaks; what was said.
pub fn swaks(server: &str, port: &str, to: &str, more: &[&str]) -> String {
    let basic = [
        "--server",
        server,
        "--port",
        port,
        "--helo",
        "mx.example",
        "--from",
        "eve@example.com",
        "--to",
        to,
        "--h-Subject",
        "Your account",
    ];
    client("swaks", &[&basic, more].concat())
}

#[test]
fn mail_by_swaks_and_python_is_taken_and_told() {
    if !have("swaks") {
        return;
    }
    let nest = nest("smtp_port");
    let token = make(&nest, "smtp", &[]);
    let port = port(&nest, "smtp_port");
    let file = nest.dir.path().join("plan.txt");
    std::fs::write(&file, "hello").unwrap();
    let attached = format!("@{}", file.display());
    let more = [
        "--body",
        "see http://evil.example/login now",
        "--attach-name",
        "plan.txt",
        "--attach-type",
        "text/plain",
        "--attach",
        &attached,
    ];
    let send = |to: &str| swaks("127.0.0.1", &port, to, &more);
    let said = send(&format!("{token}@localhost"));
    assert!(said.contains("250 2.0.0 Ok: queued as "), "{said}");
    let unknown = send("nobody@localhost");
    assert!(unknown.contains("250 2.0.0 Ok: queued as "), "{unknown}");
    let relayed = send("somebody@example.com");
    assert!(relayed.contains("554 5.7.1 <somebody@example.com>: Relay access denied"));
    let incident = nest.incident(TITLE, 1);
    let headers = seen::events(&incident)[0]["headers"].clone();
    assert_eq!(headers["Subject"], "Your account");
    assert_eq!(headers["From"], "eve@example.com");
    let wanted = json!({
        "mail_from": "eve@example.com", "mail_to": format!("{token}@localhost"),
        "mail_helo": "mx.example", "mail_links": ["http://evil.example/login"],
        "mail_attachments": ["plan.txt (text/plain, 5 bytes)"], "headers": headers,
    });
    let info = told(&nest, &incident, &token, ["smtp", "smtp", "17031"], &wanted);
    assert!(info["message_size"].as_u64().unwrap() > 300, "{info}");

    let seen = nest.python_with(
        &format!(
            "{CONNECT}
import smtplib, time
from email.message import EmailMessage
mail = EmailMessage()
mail['Subject'] = 'two'
mail['From'] = 'mallory@example.com'
mail.set_content('https://second.example/a?b=c')
mail.add_attachment(b'%PDF', maintype='application', subtype='pdf', filename='a.pdf')
with smtplib.SMTP('127.0.0.1', int(os.environ['PORT'])) as server:
    server.send_message(mail, to_addrs=[os.environ['TO'], 'other@localhost'])
for _ in range(100):
    events = console.incidents.all()[0].events
    if len(events) == 2: break
    time.sleep(0.1)
e = events[-1]
print(json.dumps(dict(events=len(events), sender=e.mail_from, links=e.mail_links, files=e.mail_attachments)))"
        ),
        &[("PORT", &port), ("TO", &format!("{token}@LOCALHOST"))],
    );
    if let Some(seen) = seen {
        assert_eq!(
            seen,
            json!({
                "events": 2, "sender": "mallory@example.com",
                "links": ["https://second.example/a?b=c"],
                "files": ["a.pdf (application/pdf, 4 bytes)"],
            })
        );
    }
}

#[test]
fn kubectl_with_either_credential_is_refused_and_told_in_one_incident() {
    if !have("kubectl") {
        return;
    }
    for credential in ["certificate", "token"] {
        let nest = nest("kubernetes_port");
        let token = make(&nest, "kubeconfig", &[("credential_type", credential)]);
        let file = download(&nest, &token, "kubeconfig");
        let cache = nest.dir.path().join("cache").display().to_string();
        let said = client(
            "kubectl",
            &["--kubeconfig", &file, "--cache-dir", &cache, "get", "pods"],
        );
        assert!(
            said.contains("You must be logged in to the server"),
            "{said}"
        );
        let count = said
            .matches("couldn't get current server API group list")
            .count();
        let incident = await_some(|| {
            let all = nest.api("incidents/all");
            let found = all["incidents"].as_array()?.first()?.clone();
            (seen::events(&found).len() >= count.max(1)).then_some(found)
        });
        let incident = incident.expect("an incident");
        let all = seen::events(&incident);
        let agent = all[0]["user_agent"].clone();
        assert!(agent.as_str().unwrap().starts_with("kubectl"), "{agent}");
        let mut wanted = json!({
            "credential_type": credential, "user_agent": agent,
            "headers": all[0]["headers"], "url": all[0]["url"],
            "request_path": format!("GET {}", all[0]["url"].as_str().unwrap().splitn(4, '/').nth(3).map(|p| format!("/{p}")).unwrap()),
        });
        if credential == "certificate" {
            wanted["certificate_fingerprint"] = all[0]["certificate_fingerprint"].clone();
            assert_eq!(
                wanted["certificate_fingerprint"].as_str().unwrap().len(),
                40
            );
        }
        let kind = ["kubeconfig", "kubernetes", "17032"];
        told(&nest, &incident, &token, kind, &wanted);
        assert_eq!(
            all.iter()
                .filter(|event| event["canarytoken"] == token)
                .count(),
            all.len()
        );
    }
}

#[test]
fn a_wireguard_client_is_told_once_for_a_handshake_and_gets_no_answer() {
    if !have("wg") || !have("wireguard-go") || !Path::new("/dev/net/tun").exists() {
        return;
    }
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let laptop = lab.host();
    let nest = Nest::start_at(
        BIRD.into(),
        0,
        tempfile::tempdir().unwrap(),
        "[tokens]\nzone = \"vpn.example\"\nhttp_port = 0\ndns_port = 0\nwireguard_port = 51820\n",
    );
    let token = make(&nest, "wireguard", &[]);
    let file = download(&nest, &token, "wg0.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("Endpoint = vpn.example:51820\n"), "{text}");
    // What `wg-quick` would take out of it, and the address that the name would lead to.
    let ours: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("Address"))
        .collect();
    let plain = ours.join("\n").replace("vpn.example", &BIRD.to_string()) + "\n";
    std::fs::write(&file, plain).unwrap();
    let mut tunnel = laptop.inside(|| {
        Command::new("wireguard-go")
            .args(["-f", "nestwg0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let up = await_some(|| {
        laptop
            .client("ip link show nestwg0")
            .contains("mtu")
            .then_some(())
    });
    let set = laptop.client(&format!("wg setconf nestwg0 {file}"));
    laptop.client("ip link set nestwg0 up");
    let incident = up.map(|()| nest.incident(TITLE, 1));
    let shown = laptop.client("wg show nestwg0");
    let _ = tunnel.kill();
    let _ = tunnel.wait();
    let incident = incident.unwrap_or_else(|| panic!("{set}"));
    assert!(!shown.contains("latest handshake"), "no answer: {shown}");
    let key = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("public key: "))
        .unwrap();
    let event = &seen::events(&incident)[0];
    assert!(event["client_session_index"].is_u64());
    let d = &incident["description"];
    assert_eq!(d["src_host"], laptop.address.to_string());
    assert_eq!(
        (&d["logtype"], &d["memo"]),
        (&json!("17022"), &json!("on the laptop"))
    );
    assert_eq!(d["dst_port"], "51820");
    assert_eq!(
        *event,
        json!({
            "type": "wireguard", "kind": "wireguard", "channel": "wireguard",
            "canarytoken": token, "logtype": "17022", "description": "WireGuard VPN",
            "additional_info": {}, "client_public_key": key, "dst_port": 51820,
            "src_host": laptop.address.to_string(),
            "client_session_index": event["client_session_index"],
        })
    );
    seen::check_other_views(&nest, &incident);
}
