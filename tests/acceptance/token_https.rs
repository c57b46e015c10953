//! Tokens over HTTPS: curl by name and certificate, files that are renewed, an authority that is asked
//! over ACME; and mail that comes in over TLS by the same certificates.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::acme::{Authority, Ways};
use crate::console::CONNECT;
use crate::nest::{Nest, await_some, client, client_with_input, have, missing};
use crate::seen;
use crate::token_net::swaks;

const TITLE: &str = "Canarytoken triggered";
const ZONE: &str = "tokens.example.com";
const OTHER: &str = "docs.example.net";

/// An authority of a test's own, in files.
struct Ca {
    dir: PathBuf,
}

impl Ca {
    fn new(dir: &Path) -> Self {
        let dir = dir.to_owned();
        let ca = Self { dir };
        ca.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=Test CA",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        ca
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new("openssl");
        let output = command
            .args(arguments)
            .current_dir(&self.dir)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes STEM.pem and STEM.key, for these names.
    fn issue(&self, stem: &str, names: &[&str]) {
        let (key, request) = (format!("{stem}.key"), format!("{stem}.csr"));
        self.openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let kind = |name: &str| {
            if name.parse::<IpAddr>().is_ok() {
                "IP"
            } else {
                "DNS"
            }
        };
        let names = names.iter().map(|name| format!("{}:{name}", kind(name)));
        let names: Vec<String> = names.collect();
        let about = format!("subjectAltName={}\n", names.join(","));
        std::fs::write(self.dir.join("about"), about).unwrap();
        self.sign(&request, &format!("{stem}.pem"), 20);
    }

    /// Signs a request; what the certificate says of itself stands in the file `about`.
    fn sign(&self, request: &str, to: &str, days: u32) {
        let days = days.to_string();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            &days,
            "-extfile",
            "about",
            "-out",
            to,
        ]);
    }

    fn file(&self) -> String {
        self.dir.join("ca.pem").display().to_string()
    }
}

/// A nest whose channels, HTTPS and what `tokens` adds, show certificates for the zone and for another
/// domain; with the authority that has issued them.
fn with_two_certificates(tokens: &str) -> (Nest, Ca) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(dir.path());
    ca.issue("zone", &[ZONE, &format!("*.{ZONE}")]);
    ca.issue("other", &[OTHER]);
    let config = format!(
        "[tokens]\nzone = \"{ZONE}\"\nhttps_port = 443\n{tokens}\
         [[tokens.certificates]]\ncertificate = \"zone.pem\"\nkey = \"zone.key\"\n\
         [[tokens.certificates]]\ncertificate = \"other.pem\"\nkey = \"other.key\"\n\
         [[bird]]\npersonality = \"bare\"\n"
    );
    (Nest::start_in(dir, &config), ca)
}

/// Makes a token; what the API says of it.
fn make(nest: &Nest, kind: &str, more: &[(&str, &str)]) -> Value {
    let form = [&[("kind", kind), ("memo", "in the wiki")], more].concat();
    let made = nest.post("canarytoken/create", &form);
    assert_eq!(made["result"], "success", "{made}");
    made["canarytoken"].clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Asks with curl, which trusts `ca` alone; `name` leads to the channel. Head and body but for the date.
fn curl(nest: &Nest, ca: &str, name: &str, url: &str, more: &[&str]) -> String {
    let port = &nest.run["tokens"]["https_port"];
    let lead = format!("{name}:{port}:{}", nest.address);
    let all = [&["-sSi", "--cacert", ca, "--resolve", &lead], more, &[url]].concat();
    let said = client("curl", &all);
    let lines = said.lines().filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn curl_reaches_tokens_of_two_domains_by_name_and_renewed_files_are_taken() {
    if !have("curl") || !have("openssl") {
        return;
    }
    let (nest, ca) = with_two_certificates("");
    let shown = &nest.run["tokens"]["https_certificates"];
    assert_eq!(shown[0]["names"], json!([ZONE, format!("*.{ZONE}")]));
    assert_eq!(
        (&shown[0]["from"], &shown[1]["from"]),
        (&json!("file"), &json!("file"))
    );
    assert!(
        nest.log()
            .contains(&format!("certificate for {OTHER} (file) until "))
    );
    for call in ["save", "enable"] {
        let form: &[(&str, &str)] = if call == "save" {
            &[("user_domains", OTHER)]
        } else {
            &[]
        };
        let path = format!("settings/canarytokens/user_domains/{call}");
        assert_eq!(nest.post(&path, form)["result"], "success", "{call}");
    }

    let token = make(&nest, "http", &[("browser_scanner_enabled", "false")]);
    let (id, url) = (text(&token["canarytoken"]), text(&token["url"]));
    let port = nest.run["tokens"]["https_port"].to_string();
    assert!(url.starts_with(&format!("https://{ZONE}:{port}/")), "{url}");
    let known = curl(&nest, &ca.file(), ZONE, &url, &["-A", "Fetcher/1"]);
    assert!(
        known.starts_with("HTTP/1.1 200 OK\nServer: nginx\nContent-Type: image/gif\n"),
        "{known}"
    );
    let nobody: String = id.chars().rev().collect();
    let unknown = curl(&nest, &ca.file(), ZONE, &url.replace(&id, &nobody), &[]);
    assert_eq!(unknown, known);
    let incident = nest.incident(TITLE, 1);
    let event = seen::events(&incident)[0].clone();
    let d = &incident["description"];
    assert_eq!(
        (&d["memo"], &d["node_id"]),
        (&json!("in the wiki"), &json!(id))
    );
    assert_eq!(d["dst_port"], port);
    assert_eq!(
        (&event["url"], &event["channel"]),
        (&json!(url), &json!("http"))
    );
    assert_eq!(
        (&event["type"], &event["kind"]),
        (&json!("http"), &json!("http"))
    );
    assert_eq!(event["headers"]["User-Agent"], "Fetcher/1");
    assert_eq!(event["headers"]["Host"], format!("{ZONE}:{port}"));
    let info = json!({"method": "GET", "request_args": {}, "body_size": 0});
    assert_eq!(event["additional_info"], info);
    seen::check_other_views(&nest, &incident);
    // A disabled one answers as well.
    let off = nest.post("canarytoken/disable", &[("canarytoken", &id)]);
    assert_eq!(off["result"], "success");
    assert_eq!(curl(&nest, &ca.file(), ZONE, &url, &[]), known);

    // A token of the other domain, by that domain's certificate; names below the zone by a wildcard.
    let more = [
        ("custom_domain", OTHER),
        ("pwa_icon", "signal"),
        ("pwa_app_name", "Team Chat"),
    ];
    let other = text(&make(&nest, "pwa", &more)["url"]);
    assert!(
        other.starts_with(&format!("https://{OTHER}:{port}/")),
        "{other}"
    );
    let page = curl(&nest, &ca.file(), OTHER, &other, &[]);
    assert!(
        page.starts_with("HTTP/1.1 200 OK\n") && page.contains("<html"),
        "{page}"
    );
    let below = format!("a.{ZONE}");
    let deep = curl(&nest, &ca.file(), &below, &url.replace(ZONE, &below), &[]);
    assert_eq!(deep, known);
    let wrong = format!("a.{OTHER}");
    let said = curl(
        &nest,
        &ca.file(),
        &wrong,
        &other.replace(OTHER, &wrong),
        &[],
    );
    assert!(
        said.contains("no alternative certificate subject name"),
        "{said}"
    );

    // What certbot does: new files in place of the old.
    let life = || {
        let run = std::fs::read(nest.data().join("run.json")).unwrap();
        let run: Value = serde_json::from_slice(&run).unwrap_or_default();
        run["tokens"]["https_certificates"][1]["names"].clone()
    };
    assert_eq!(life(), json!([OTHER]));
    ca.issue("other", &[OTHER, &wrong]);
    await_some(|| (life() == json!([OTHER, wrong])).then_some(())).expect("not read again");
    let said = curl(
        &nest,
        &ca.file(),
        &wrong,
        &other.replace(OTHER, &wrong),
        &[],
    );
    assert_eq!(said, page, "{}", nest.log());
}

/// Whether swaks is there and can do TLS.
fn have_swaks_with_tls() -> bool {
    if !have("swaks") {
        return false;
    }
    let able = client("swaks", &["--support"]).contains("TLS supported");
    if !able {
        missing("Net::SSLeay for swaks (libnet-ssleay-perl)");
    }
    able
}

/// Sends a mail by swaks, which insists on TLS; what was said.
fn swaks_over_tls(nest: &Nest, to: &str, more: &[&str]) -> String {
    let (server, port) = (nest.address.to_string(), port_of_mail(nest));
    swaks(&server, &port, to, &[&["--tls"], more].concat())
}

fn port_of_mail(nest: &Nest) -> String {
    nest.run["tokens"]["smtp_port"].to_string()
}

#[test]
fn mail_servers_that_insist_on_tls_deliver() {
    if !have_swaks_with_tls() || !have("openssl") {
        return;
    }
    let (nest, ca) = with_two_certificates("smtp_port = 25\n");
    let id = text(&make(&nest, "smtp", &[])["canarytoken"]);
    let to = format!("{id}@{ZONE}");

    let said = swaks_over_tls(&nest, &to, &["--tls-verify", "--tls-ca-path", &ca.file()]);
    let secured = said.find("=== TLS started with cipher TLSv1.3:");
    let (clear, inside) = said.split_at(secured.unwrap_or_else(|| panic!("{said}")));
    assert!(
        clear.contains("250-ETRN\n<-  250-STARTTLS\n<-  250-ENHANCEDSTATUSCODES\n")
            && clear.contains("<-  220 2.0.0 Ready to start TLS\n"),
        "{said}"
    );
    assert!(
        inside.contains("250-ETRN\n<~  250-ENHANCEDSTATUSCODES\n")
            && inside.contains("<~  250 2.0.0 Ok: queued as ")
            && inside.contains("<~  221 2.0.0 Bye\n"),
        "{said}"
    );
    let incident = nest.incident(TITLE, 1);
    let event = seen::events(&incident)[0].clone();
    let sender = (&event["mail_from"], &event["mail_helo"], &event["mail_to"]);
    assert_eq!(
        sender,
        (&json!("eve@example.com"), &json!("mx.example"), &json!(to))
    );
    assert_eq!(
        (&event["canarytoken"], &event["channel"], &event["logtype"]),
        (&json!(id), &json!("smtp"), &json!("17031"))
    );
    let info = &event["additional_info"];
    assert_eq!(info["tls"], true);
    assert!(info["message_size"].as_u64().unwrap() > 200, "{info}");
    assert_eq!(info.as_object().unwrap().len(), 2, "{info}");
    seen::check_other_views(&nest, &incident);
    let unknown = swaks_over_tls(&nest, &format!("nobody@{ZONE}"), &[]);
    assert!(
        unknown.contains("<~  250 2.0.0 Ok: queued as "),
        "{unknown}"
    );

    // By name, by no name, in both versions of TLS.
    let at = format!("{}:{}", nest.address, port_of_mail(&nest));
    let openssl = |who: &str, more: &[&str]| {
        let ca = ca.file();
        let basic = [
            "s_client",
            "-starttls",
            "smtp",
            "-connect",
            &at,
            "-CAfile",
            &ca,
            "-verify_return_error",
            "-quiet",
            "-crlf",
        ];
        let mail = format!(
            "EHLO openssl.example\nMAIL FROM:<{who}@example.com>\nRCPT TO:<{to}>\nDATA\n\
             Subject: one\n\n.\nQUIT\n"
        );
        client_with_input("openssl", &[&basic, more].concat(), &mail)
    };
    for (who, more) in [
        (
            "zone",
            &["-noservername", "-verify_hostname", ZONE, "-tls1_2"][..],
        ),
        (
            "other",
            &["-servername", OTHER, "-verify_hostname", OTHER, "-tls1_3"],
        ),
    ] {
        let said = openssl(who, more);
        assert!(said.contains("250 2.0.0 Ok: queued as "), "{who}: {said}");
    }
    let refused = openssl("nobody", &["-noservername", "-verify_hostname", OTHER]);
    assert!(refused.contains("hostname mismatch"), "{refused}");
    let incident = nest.incident(TITLE, 3);
    let senders: Vec<_> = seen::events(&incident)
        .iter()
        .map(|event| text(&event["mail_from"]))
        .collect();
    assert_eq!(
        senders,
        ["eve@example.com", "zone@example.com", "other@example.com"]
    );

    // A renewed certificate counts at once.
    let fresh = "mail.docs.example.net";
    ca.issue("other", &[OTHER, fresh]);
    let renewed = await_some(|| {
        let said = openssl(
            "renewed",
            &["-servername", fresh, "-verify_hostname", fresh],
        );
        said.contains("250 2.0.0 Ok: queued as ").then_some(())
    });
    renewed.expect("not read again");
    nest.incident(TITLE, 4);

    let seen = nest.python_with(
        &format!(
            "{CONNECT}
import smtplib, socket, ssl, time
at, name = (os.environ['AT'], int(os.environ['PORT'])), 'mail.' + os.environ['ZONE']
tls = ssl.create_default_context(cafile=os.environ['CA'])
server = smtplib.SMTP()
server.connect(*at)
server._host = name
server.ehlo('py.example')
clear = list(server.esmtp_features)
ready = server.starttls(context=tls)
again = server.docmd('STARTTLS')
early = server.mail('py@example.com')
server.ehlo('py.example')
inside = list(server.esmtp_features)
server.sendmail('py@example.com', [os.environ['TO']], b'Subject: two\\r\\n\\r\\n')
server.quit()
# What somebody on the way has put behind STARTTLS isn't the client's word.
raw = socket.create_connection(at)
raw.sendall(b'EHLO a.example\\r\\nSTARTTLS\\r\\nEHLO mallory.example\\r\\nMAIL FROM:<mallory@example.com>\\r\\n')
said = b''
while not said.endswith(b'Ready to start TLS\\r\\n'): said += raw.recv(1)
raw = tls.wrap_socket(raw, server_hostname=name)
raw.sendall(b'RCPT TO:<' + os.environ['TO'].encode() + b'>\\r\\nMAIL FROM:<a@example.com>\\r\\nQUIT\\r\\n')
slipped = b''
while more := raw.recv(4096): slipped += more
for _ in range(100):
    events = console.incidents.all()[0].events
    if len(events) == 5: break
    time.sleep(0.1)
e = events[-1]
print(json.dumps(dict(clear=clear, inside=inside, ready=str(ready), again=str(again), early=str(early),
    slipped=slipped.decode(), events=len(events), sender=e.mail_from, tls=e.additional_info['tls'])))"
        ),
        &[
            ("AT", &nest.address.to_string()),
            ("PORT", &port_of_mail(&nest)),
            ("ZONE", ZONE),
            ("TO", &to),
            ("CA", &ca.file()),
        ],
    );
    let Some(seen) = seen else { return };
    let clear = [
        "pipelining",
        "size",
        "vrfy",
        "etrn",
        "starttls",
        "enhancedstatuscodes",
        "8bitmime",
        "dsn",
        "smtputf8",
    ];
    let inside: Vec<_> = clear
        .into_iter()
        .filter(|name| *name != "starttls")
        .collect();
    assert_eq!(
        seen,
        json!({
            "clear": clear, "inside": inside,
            "ready": "(220, b'2.0.0 Ready to start TLS')",
            "again": "(554, b'5.5.1 Error: TLS already active')",
            "early": "(503, b'5.5.1 Error: send HELO/EHLO first')",
            "slipped": "503 5.5.1 Error: need MAIL command\r\n503 5.5.1 Error: send HELO/EHLO first\r\n\
                        221 2.0.0 Bye\r\n",
            "events": 5, "sender": "py@example.com", "tls": true,
        })
    );
}

#[test]
fn mail_without_a_certificate_from_elsewhere_comes_in_the_clear() {
    if !have_swaks_with_tls() {
        return;
    }
    let nest = Nest::start(&format!(
        "[tokens]\nzone = \"{ZONE}\"\nhttps_port = 443\nsmtp_port = 25\n[[bird]]\npersonality = \"bare\"\n"
    ));
    let id = text(&make(&nest, "smtp", &[])["canarytoken"]);
    let to = format!("{id}@{ZONE}");
    let said = swaks_over_tls(&nest, &to, &[]);
    assert!(
        said.contains("*** Host did not advertise STARTTLS"),
        "{said}"
    );
    let said = swaks_over_tls(&nest, &to, &["--tls-optional"]);
    assert!(said.contains("<-  250 2.0.0 Ok: queued as "), "{said}");
    let incident = nest.incident(TITLE, 1);
    assert_eq!(seen::events(&incident)[0]["additional_info"]["tls"], false);
}

#[test]
fn without_a_certificate_our_own_answers_and_says_so() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(&format!(
        "[tokens]\nzone = \"{ZONE}\"\nhttps_port = 443\n[[bird]]\npersonality = \"bare\"\n"
    ));
    assert!(nest.log().contains(&format!(
        "SELF-SIGNED certificate for {ZONE}, *.{ZONE}, which clients refuse"
    )));
    assert_eq!(
        nest.run["tokens"]["https_certificates"][0]["from"],
        "self-signed"
    );
    let token = make(&nest, "http", &[]);
    let url = text(&token["url"]);
    assert!(url.starts_with("http://"), "{url}");
    let port = &nest.run["tokens"]["https_port"];
    let secure = url
        .replacen("http://", "https://", 1)
        .replace(":18000/", &format!(":{port}/"));
    let ca = text(&nest.run["ca_file"]);
    let said = curl(&nest, &ca, ZONE, &secure, &[]);
    assert!(
        said.contains("self-signed certificate") || said.contains("self signed certificate"),
        "{said}"
    );
    let said = curl(&nest, &ca, ZONE, &secure, &["-k"]);
    assert!(said.starts_with("HTTP/1.1 200 OK\n"), "{said}");
    let incident = nest.incident(TITLE, 1);
    assert_eq!(seen::events(&incident)[0]["url"], secure);
}

#[test]
fn a_trusted_proxys_word_on_the_source_counts_and_nobody_elses() {
    if !have("curl") {
        return;
    }
    for (trusted, source) in [("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "")] {
        let nest = Nest::start(&format!(
            "[tokens]\nzone = \"{ZONE}\"\ntrusted_proxies = [\"{trusted}\"]\n\
             [[bird]]\npersonality = \"bare\"\n"
        ));
        let url = text(&make(&nest, "http", &[])["url"]);
        let lead = format!("{ZONE}:18000:{}", nest.address);
        let from = "X-Forwarded-For: 198.51.100.9, 203.0.113.9";
        client("curl", &["-sS", "--resolve", &lead, "-H", from, &url]);
        let incident = nest.incident(TITLE, 1);
        let seen = &incident["description"]["src_host"];
        match source {
            "" => assert!(seen.as_str().unwrap().starts_with("127."), "{seen}"),
            source => assert_eq!(seen, source),
        }
    }
}

/// Year, month and day, so many days from now.
fn day(from_now: i32) -> (i32, u8, u8) {
    let said = client(
        "date",
        &["-u", "-d", &format!("{from_now} days"), "+%Y %m %d"],
    );
    let parts: Vec<i32> = said
        .split_whitespace()
        .map(|part| part.parse().unwrap())
        .collect();
    let small = |n: i32| u8::try_from(n).unwrap();
    (parts[0], small(parts[1]), small(parts[2]))
}

/// A program that asks an authority of such ways; a loopback address is theirs alone.
fn asking(last: u8, lives: &[[i32; 2]], refuses: bool) -> (Nest, Authority, Ca) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(127, 48 | (high & 15), low, last));
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(dir.path());
    ca.issue("acme", &["127.0.0.1"]);
    let ways = Ways {
        lives: lives.iter().map(|life| life.map(day)).collect(),
        refuses,
        dns: (address, 10_053),
    };
    let authority = Authority::start(dir.path(), ways);
    let config = format!(
        "[tokens]\nzone = \"{ZONE}\"\nhttps_port = 443\nsmtp_port = 25\n\
         [tokens.acme]\ndirectory = \"{}\"\nauthority = \"ca.pem\"\n\
         email = \"me@example.com\"\nagree_to_terms = true\n\
         [[bird]]\npersonality = \"bare\"\n",
        authority.directory
    );
    let nest = Nest::start_at(address, 10_000, dir, &config);
    (nest, authority, ca)
}

/// What `run.json` says of the channel's certificates now.
fn shown(nest: &Nest) -> Value {
    let run = std::fs::read(nest.data().join("run.json")).unwrap();
    let run: Value = serde_json::from_slice(&run).unwrap_or_default();
    run["tokens"]["https_certificates"].clone()
}

#[test]
fn an_authority_issues_over_acme_and_again_before_the_end() {
    if !["curl", "dig", "openssl"].into_iter().all(have) {
        return;
    }
    // The first is past two thirds of its life already.
    let (nest, authority, ca) = asking(1, &[[-25, 5], [-1, 89]], false);
    let url = text(&make(&nest, "http", &[])["url"]);
    assert!(url.starts_with(&format!("https://{ZONE}:")), "{url}");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let second = || {
        let shown = shown(&nest);
        let lasts = shown[0]["until"].as_u64()? > now + 30 * 86_400;
        (lasts && shown[0]["from"] == "acme").then_some(shown)
    };
    let state = await_some(second).unwrap_or_else(|| panic!("{} {}", shown(&nest), nest.log()));
    assert_eq!(state[0]["names"], json!([ZONE, format!("*.{ZONE}")]));
    assert_eq!(
        state.as_array().unwrap().len(),
        1,
        "ours counts no more: {state}"
    );
    let serial = || {
        let port = &nest.run["tokens"]["https_port"];
        let at = format!("{}:{port}", nest.address);
        let seen = client(
            "openssl",
            &["s_client", "-connect", &at, "-servername", ZONE],
        );
        let begin = seen.find("-----BEGIN")?;
        let end = seen.find("-----END CERTIFICATE-----")?;
        Some(seen[begin..end].to_owned())
    };
    let wanted = authority.done.lock().unwrap().issued[1].replace("-----END CERTIFICATE-----", "");
    let wanted = wanted.replace("\r\n", "\n").trim().to_owned();
    await_some(|| (serial()?.trim() == wanted).then_some(())).expect("the second isn't shown");
    let answer = curl(&nest, &ca.file(), ZONE, &url, &[]);
    assert!(answer.starts_with("HTTP/1.1 200 OK\n"), "{answer}");
    let below = format!("a.{ZONE}");
    let deep = curl(&nest, &ca.file(), &below, &url.replace(ZONE, &below), &[]);
    assert_eq!(deep, answer);
    // What it has issued is the mail channel's too.
    let at = format!("{}:{}", nest.address, port_of_mail(&nest));
    let (ca, name) = (ca.file(), format!("mail.{ZONE}"));
    let mail = [
        "s_client",
        "-starttls",
        "smtp",
        "-connect",
        &at,
        "-CAfile",
        &ca,
        "-verify_return_error",
        "-verify_hostname",
        &name,
        "-quiet",
        "-crlf",
    ];
    let said = client_with_input("openssl", &mail, "QUIT\n");
    assert!(said.contains("221 2.0.0 Bye"), "{said}");
    let incident = nest.incident(TITLE, 2);
    assert_eq!(seen::events(&incident)[0]["url"], url);
    assert_eq!(
        nest.count(TITLE),
        1,
        "the authority's look-ups are nobody's touch"
    );

    let folder = nest.data().join("console/https");
    for name in [
        "account.json",
        "orders.json",
        &format!("{ZONE}.key"),
        &format!("{ZONE}.cert"),
    ] {
        let mode = std::fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The next start shows what it has, and asks for nothing.
    let done = || authority.done.lock().unwrap().asked.clone();
    let asked = done();
    let count = |what: &str| asked.iter().filter(|asked| *asked == what).count();
    assert_eq!((count("account"), count("finalize")), (1, 2), "{asked:?}");
    let contact = authority.done.lock().unwrap().account.clone();
    assert_eq!(contact["contact"], json!(["mailto:me@example.com"]));
    assert_eq!(contact["termsOfServiceAgreed"], true);
    let address = nest.address;
    let config = std::fs::read_to_string(nest.dir.path().join("coalmine.toml")).unwrap();
    let nest = Nest::start_at(address, 10_000, nest.stop(), &config);
    assert_eq!(nest.run["tokens"]["https_certificates"], state);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(done(), asked);
}

#[test]
fn an_authority_that_refuses_is_left_alone_for_as_long_as_it_says() {
    if !have("openssl") {
        return;
    }
    let (nest, authority, _ca) = asking(2, &[[-1, 89]], true);
    let told = || shown(&nest)[0]["problem"].as_str().map(str::to_owned);
    let problem = await_some(told).unwrap_or_else(|| panic!("{}", nest.log()));
    assert_eq!(problem, "too many certificates already issued");
    assert_eq!(shown(&nest)[0]["from"], "self-signed");
    let log = await_some(|| Some(nest.log()).filter(|log| log.contains("minutes_to_next_try")));
    let log = log.unwrap_or_else(|| panic!("{}", nest.log()));
    assert!(
        log.contains("minutes_to_next_try=120") || log.contains("minutes_to_next_try=119"),
        "{log}"
    );
    let book = std::fs::read(nest.data().join("console/https/orders.json")).unwrap();
    let book: Value = serde_json::from_slice(&book).unwrap();
    let [ordered, again] =
        [&book[ZONE]["orders"][0], &book[ZONE]["not_before"]].map(|v| v.as_i64().unwrap());
    assert!((7_198..7_215).contains(&(again - ordered)), "{book}");
    // Neither time nor a restart makes it ask earlier.
    let address = nest.address;
    let config = std::fs::read_to_string(nest.dir.path().join("coalmine.toml")).unwrap();
    let nest = Nest::start_at(address, 10_000, nest.stop(), &config);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let asked = authority.done.lock().unwrap().asked.clone();
    assert_eq!(
        asked.iter().filter(|what| *what == "order").count(),
        1,
        "{asked:?}"
    );
    drop(nest);
}
