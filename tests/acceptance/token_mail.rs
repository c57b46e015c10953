//! Mails in mailboxes: made through the documented endpoints, put by IMAP into a real server's
//! mailboxes, read there by a real client, and touched.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::nest::{Nest, await_some, client, free_port, have, missing};
use crate::seen;

/// Debian's nobody and nogroup: who runs the mail server where the tests are root's.
const NOBODY: u32 = 65_534;

/// Python that calls the API as `call(method, path, **parameters)`: the status and what it says.
const CALL: &str = "
import configparser, json, os, requests
ini = configparser.ConfigParser(); ini.read(os.environ['CLIENT_CONFIG'])
key = ini['CanaryTools']['api_key']
def call(method, path, **asked):
    asked.setdefault('flock_id', 'flock:default')
    asked.setdefault('auth_token', key)
    url = os.environ['CONSOLE_URL'] + '/api/v1/canarytoken/' + path
    answer = requests.request(method, url, **({'params': asked} if method == 'GET' else {'data': asked}))
    return [answer.status_code, answer.json()]
";

/// A Dovecot of the test's own; its mailboxes are alice's, bob's and carol's.
struct Dovecot {
    process: Child,
    dir: tempfile::TempDir,
    tls_port: u16,
    port: u16,
}

impl Dovecot {
    fn start() -> Option<Self> {
        let program = Path::new("/usr/sbin/dovecot");
        if !program.is_file() {
            missing("dovecot");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let (tls_port, port) = (free_port(), free_port());
        let sh = |script: &str| client("sh", &["-ec", &format!("cd {at}\n{script}")]);
        sh(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=Authority \
              -days 2 -addext basicConstraints=critical,CA:TRUE
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request.pem -subj /CN=localhost
            echo subjectAltName=DNS:localhost > names
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
              -extfile names -out cert.pem
            printf 'alice@example.com:{PLAIN}p\\303\\244ss \"word\"\\nbob@example.com:{PLAIN}bob\\ncarol@example.com:{PLAIN}carol\\n' > users
            echo 'seeder:{PLAIN}seed' > masters
            echo seed > seed-password
            mkdir run state mail
            chmod 755 . && chmod 644 key.pem",
        );
        let root = std::fs::metadata("/proc/self").is_ok_and(|m| uid(&m) == 0);
        let (user, group, uid_, gid) = match root {
            true => {
                sh("chown -R 65534:65534 .");
                ("nobody".to_owned(), "nogroup".to_owned(), NOBODY, NOBODY)
            }
            false => {
                let said = client("id", &["-un"]) + &client("id", &["-gn"]);
                let mut names = said.split_whitespace().map(str::to_owned);
                let own = std::fs::metadata(dir.path()).unwrap();
                let (user, group) = (names.next().unwrap(), names.next().unwrap());
                (user, group, uid(&own), gid(&own))
            }
        };
        std::fs::write(
            dir.path().join("dovecot.conf"),
            format!(
                "protocols = imap\nlisten = 127.0.0.1\nbase_dir = {at}/run\nstate_dir = {at}/state\n\
                 log_path = {at}/log\nssl = yes\nssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\n\
                 disable_plaintext_auth = no\nauth_mechanisms = plain\nauth_failure_delay = 0\n\
                 default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n\
                 mail_location = maildir:{at}/mail/%u\nfirst_valid_uid = {uid_}\nfirst_valid_gid = {gid}\n\
                 service anvil {{\n chroot =\n}}\n\
                 service imap-login {{\n chroot =\n inet_listener imap {{\n port = {port}\n }}\n \
                 inet_listener imaps {{\n port = {tls_port}\n ssl = yes\n }}\n}}\n\
                 passdb {{\n driver = passwd-file\n args = {at}/masters\n master = yes\n}}\n\
                 passdb {{\n driver = passwd-file\n args = {at}/users\n}}\n\
                 userdb {{\n driver = static\n args = uid={uid_} gid={gid} home={at}/mail/%u\n}}\n"
            ),
        )
        .unwrap();
        let mut command = Command::new(program);
        command
            .args(["-F", "-c"])
            .arg(dir.path().join("dovecot.conf"));
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let dovecot = Self {
            process,
            dir,
            tls_port,
            port,
        };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        let log = || std::fs::read_to_string(dovecot.dir.path().join("log"));
        assert!(await_some(listens).is_some(), "{:?}", log());
        Some(dovecot)
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        client("kill", &[&self.process.id().to_string()]);
        let _ = self.process.wait();
    }
}

fn uid(of: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(of)
}

fn gid(of: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::gid(of)
}

fn nest(more: &str) -> Nest {
    Nest::start(&format!(
        "[tokens]\naddress = \"127.0.0.1\"\nhttp_port = {}\ndns_port = 0\n{more}",
        free_port() - 10_000
    ))
}

#[test]
fn mails_are_put_into_a_real_servers_mailboxes_and_tell_when_they_are_read() {
    if !have("openssl") || !have("curl") {
        return;
    }
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let nest = nest(&format!(
        "[[tokens.imap]]\nhost = 'localhost'\nport = {}\nca_file = '{}'\nuser = 'seeder'\npassword_file = '{}'\n\
         mailboxes = [{{address = 'alice@example.com', name = 'Alice', password = 'p\u{e4}ss \"word\"'}}, \
         {{address = 'bob@example.com', name = 'Bob'}}]\n\
         [[tokens.imap]]\nhost = 'localhost'\nport = {}\ntls = false\nfolder = 'Old Archive'\nseen = false\n\
         mailboxes = [{{address = 'carol@example.com', password = 'carol'}}, \
         {{address = 'dora@example.com', password = 'dora'}}]\n",
        dovecot.tls_port,
        dovecot.file("ca.pem"),
        dovecot.file("seed-password"),
        dovecot.port,
    ));
    let Some(said) = nest.python_with(
        &format!(
            "{CALL}
import email, email.policy, email.utils, imaplib, io, re, ssl, time, zipfile
said = {{}}
said['users'] = call('POST', 'gmail/users/list', domain='Example.com', email='admin@example.com')
said['template before'] = call('GET', 'gmail/email')
html = '<html><body>Hello {{user}}, <a href=\"{{url}}\">your key</a></body></html>'
said['saved'] = call('POST', 'gmail/email', email_html=html, email_subject='Schl\u{fc}ssel')
said['template'] = call('GET', 'gmail/email')
def create(service, **asked):
    status, made = call('POST', service + '/create', **asked)
    assert status == 200, made
    end = time.time() + 15
    while time.time() < end:
        status, state = call('GET', service + '/status')
        if state['successful'] + state['failed'] == state['total']:
            break
        time.sleep(0.05)
    tokens = {{}}
    for one in made['canarytokens']:
        token = call('GET', 'fetch', canarytoken=one['canarytoken'])[1]['token']
        assert token['mailboxes'] == [one['email']]
        tokens[one['email']] = token
    return [state, tokens]
said['status'], said['gmail'] = create('gmail', emails='zoe@example.org',
    users=json.dumps([{{'email': 'Alice@example.com', 'name': 'Alice A.'}}, {{'email': 'bob@example.com', 'name': 'Bob'}}]))
said['office users'] = call('POST', 'office365/users/list')
said['initiate'] = call('POST', 'office365/initiate')
said['office status'], said['office'] = create('office365', user_emails='carol@example.com, dora@example.com')
archive = requests.get(os.environ['CONSOLE_URL'] + '/api/v1/canarytoken/gmail/download',
    params=dict(auth_token=key, flock_id='flock:default'))
archive = zipfile.ZipFile(io.BytesIO(archive.content))
said['archive'] = sorted(archive.namelist())
one = requests.get(os.environ['CONSOLE_URL'] + '/api/v1/canarytoken/download',
    params=dict(auth_token=key, canarytoken=said['gmail']['zoe@example.org']['canarytoken']))
assert one.content == archive.read('zoe@example.org.eml')
said['disposition'] = [one.headers['content-disposition'], one.headers['content-type']]
def read(mailbox, password, folder):
    trust = ssl.create_default_context(cafile=os.environ['IMAP_CA'])
    server = imaplib.IMAP4_SSL('localhost', int(os.environ['IMAP_PORT']), ssl_context=trust)
    server.authenticate('PLAIN', lambda _: ('\\0%s\\0%s' % (mailbox, password)).encode())
    assert server.select('\"%s\"' % folder, readonly=True)[0] == 'OK'
    assert server.search(None, 'ALL')[1] == [b'1']
    (head, body), _ = server.fetch('1', '(FLAGS INTERNALDATE RFC822)')[1]
    server.logout()
    mail = email.message_from_bytes(body, policy=email.policy.default)
    arrived = time.mktime(imaplib.Internaldate2tuple(head))
    sent = email.utils.parsedate_to_datetime(mail['Date']).timestamp()
    assert not mail.defects, mail.defects
    html = mail.get_body(('html',)).get_content()
    return dict(flags=re.search(r'FLAGS \\(([^)]*)\\)', head.decode())[1], late=arrived - sent, sent=sent,
        age=time.time() - sent, subject=mail['Subject'], sender=mail['From'], to=mail['To'], html=html,
        source=body.decode())
said['alice'] = read('alice@example.com', 'p\u{e4}ss \"word\"', 'INBOX')
said['bob'] = read('bob@example.com', 'bob', 'INBOX')
said['carol'] = read('carol@example.com', 'carol', 'Old Archive')
print(json.dumps(said))"
        ),
        &[
            ("IMAP_CA", &dovecot.file("ca.pem")),
            ("IMAP_PORT", &dovecot.tls_port.to_string()),
        ],
    ) else {
        return;
    };
    let users = ["alice", "bob", "carol", "dora"].map(|who| {
        let name = match who {
            "alice" => "Alice",
            "bob" => "Bob",
            other => other,
        };
        json!({"email": format!("{who}@example.com"), "name": name})
    });
    assert_eq!(
        said["users"],
        json!([200, {"result": "success", "users": users}])
    );
    let template = |html: &str, subject: &str| {
        json!([200, {"result": "success", "domain": "example.com", "email_html": html,
            "email_sender": "security@example.com", "email_subject": subject}])
    };
    assert_eq!(said["template before"], template("", ""));
    let html = "<html><body>Hello {user}, <a href=\"{url}\">your key</a></body></html>";
    assert_eq!(said["saved"], template(html, "Schl\u{fc}ssel"));
    assert_eq!(said["template"], said["saved"]);
    let done = |successful, failed| json!({"result": "success", "successful": successful, "failed": failed, "total": successful + failed});
    assert_eq!(said["status"], done(3, 0));
    assert_eq!(said["office status"], done(1, 1));
    let addresses = ["alice", "bob", "carol", "dora"].map(|who| format!("{who}@example.com"));
    assert_eq!(
        said["office users"],
        json!([200, {"result": "success", "user_emails": addresses}])
    );
    assert_eq!(said["initiate"][0], 200);
    assert_eq!(
        said["archive"],
        json!([
            "alice@example.com.eml",
            "bob@example.com.eml",
            "zoe@example.org.eml"
        ])
    );
    assert_eq!(
        said["disposition"],
        json!(["attachment; filename=zoeexample.org.eml", "message/rfc822"])
    );

    let states = |token: &Value| {
        let mut placement = token["placement"].clone();
        if let Some(placement) = placement.as_object_mut() {
            assert!(placement.remove("placed").unwrap().as_i64() > Some(1_700_000_000));
        }
        assert_eq!(token.get("placement_pending"), None);
        (
            token["state"].clone(),
            placement,
            token["placement_error"].clone(),
        )
    };
    let placed = |port: u16, folder: &str| {
        let placement = json!({"server": format!("localhost:{port}"), "folder": folder});
        (json!("connected"), placement, Value::Null)
    };
    let (gmail, office) = (&said["gmail"], &said["office"]);
    for who in ["alice@example.com", "bob@example.com"] {
        assert_eq!(states(&gmail[who]), placed(dovecot.tls_port, "INBOX"));
    }
    let local = |error: Value| (json!("local"), Value::Null, error);
    assert_eq!(states(&gmail["zoe@example.org"]), local(Value::Null));
    assert_eq!(
        states(&office["carol@example.com"]),
        placed(dovecot.port, "Old Archive")
    );
    let refused = "login refused: Authentication failed.";
    assert_eq!(states(&office["dora@example.com"]), local(json!(refused)));

    for (who, user, token, flags) in [
        ("alice", "Alice A.", &gmail["alice@example.com"], "\\Seen"),
        ("bob", "Bob", &gmail["bob@example.com"], "\\Seen"),
        ("carol", "", &office["carol@example.com"], ""),
    ] {
        let mail = &said[who];
        assert_eq!(
            mail["flags"]
                .as_str()
                .unwrap()
                .replace("\\Recent", "")
                .trim(),
            flags,
            "{mail:#}"
        );
        assert_eq!(mail["to"], format!("{who}@example.com"));
        assert_eq!(
            (&mail["late"], &mail["sent"]),
            (&json!(0.0), &json!(token["sent"].as_f64()))
        );
        let age = mail["age"].as_f64().unwrap();
        assert!((3_600.0..61.0 * 86_400.0).contains(&age), "{age}");
        assert_eq!(
            mail["source"],
            token["renders"][token["kind"].as_str().unwrap()]
        );
        let html = mail["html"].as_str().unwrap();
        if !user.is_empty() {
            assert!(
                html.starts_with(&format!("<html><body>Hello {user}, <a href=\"http://")),
                "{html}"
            );
            assert_eq!(
                (&mail["subject"], &mail["sender"]),
                (&json!("Schl\u{fc}ssel"), &json!("security@example.com"))
            );
        }
        // The mail's reader sees its picture; another follows its link.
        let urls: Vec<&str> = html
            .split(['"'])
            .filter(|part| part.starts_with("http://"))
            .collect();
        let [link, picture] = urls.as_slice() else {
            panic!("{html}")
        };
        for url in [link, picture] {
            assert!(url.ends_with(&format!("?u={who}%40example.com")), "{url}");
            client("curl", &["-s", "-A", "Reader/1.0", url]);
        }
        let incident = incident(&nest, token, 2);
        let d = &incident["description"];
        let kind = &token["kind"];
        let (logtype, description) = match kind.as_str() {
            Some("gmail") => ("17021", "Gmail"),
            _ => ("17019", "Office 365 Mail Bug"),
        };
        assert_eq!(incident["summary"], "Canarytoken triggered");
        assert_eq!(d["memo"], format!("Mail in {who}@example.com"));
        assert_eq!(
            (&d["src_host"], &d["logtype"]),
            (&json!("127.0.0.1"), &json!(logtype))
        );
        for (event, url) in seen::events(&incident).iter().zip([link, picture]) {
            let mut event = event.clone();
            let event = event.as_object_mut().unwrap();
            assert_eq!(event.remove("headers").unwrap()["User-Agent"], "Reader/1.0");
            for name in ["additional_info", "src_host", "dst_port"] {
                event.remove(name);
            }
            assert_eq!(
                Value::Object(event.clone()),
                json!({"type": kind, "kind": kind, "channel": "http", "description": description,
                    "logtype": logtype, "url": url, "canarytoken": token["canarytoken"]})
            );
        }
        seen::check_other_views(&nest, &incident);
    }
}

/// The one incident of this token, once it has as many events.
fn incident(nest: &Nest, token: &Value, events: usize) -> Value {
    let found = await_some(|| {
        let all = nest.api("incidents/all");
        let all = all["incidents"].as_array()?;
        let own = |i: &&Value| i["description"]["node_id"] == token["canarytoken"];
        let found: Vec<Value> = all.iter().filter(own).cloned().collect();
        assert!(found.len() <= 1, "{found:#?}");
        let there = found.first()?["description"]["events"].as_array()?.len() == events;
        there.then(|| found[0].clone())
    });
    found.unwrap_or_else(|| panic!("no {events} events of {token:#}"))
}

#[test]
fn everything_but_mailboxes_works_without_a_server_and_wrong_requests_are_told() {
    let nest = nest("");
    let Some(said) = nest.python(&format!(
        "{CALL}
said = {{}}
def ask(name, *request, **asked):
    status, answer = call(*request, **asked)
    said[name] = [status, answer.get('message', answer)]
ask('users', 'POST', 'gmail/users/list', domain='example.com', email='admin@example.com')
ask('users without domain', 'POST', 'gmail/users/list', email='admin@example.com')
ask('users of nonsense', 'POST', 'gmail/users/list', domain='a b', email='admin@example.com')
ask('office users', 'POST', 'office365/users/list')
ask('initiate', 'POST', 'office365/initiate')
ask('nobody', 'POST', 'gmail/create')
ask('bad address', 'POST', 'gmail/create', emails='alice')
ask('bad users', 'POST', 'gmail/create', users=\"[{{'email': 'a@b'}}]\")
ask('many', 'POST', 'office365/create', user_emails=','.join('u%d@example.com' % n for n in range(501)))
ask('exchange', 'POST', 'office365/create', user_emails='a@example.com', is_exchange='true')
ask('no office mails', 'POST', 'office365/create')
ask('no flock', 'GET', 'gmail/email', flock_id='')
ask('unknown flock', 'GET', 'office365/email', flock_id='flock:none')
ask('bad sender', 'POST', 'gmail/email', email_html='x', email_subject='y', email_sender='nobody')
ask('bad subject', 'POST', 'gmail/email', email_html='x', email_subject='y\\nz')
ask('no html', 'POST', 'office365/email', email_subject='y')
ask('wrong key', 'GET', 'gmail/status', auth_token='0' * 32)
ask('wrong method', 'DELETE', 'gmail/email')
ask('no mails', 'GET', 'gmail/download')
ask('office template', 'GET', 'office365/email')
ask('status before', 'GET', 'office365/status')
ask('saved', 'POST', 'office365/email', email_html='<p>{{user}}</p>', email_subject='Hi', email_sender='it@example.net')
ask('made', 'POST', 'office365/create', user_emails='a@example.com,B@example.com;a@example.com')
for one in said['made'][1].pop('canarytokens'):
    token = call('GET', 'fetch', canarytoken=one['canarytoken'])[1]['token']
    said[one['email']] = [token['kind'], token['state'], token['memo'], token['params'] if 'params' in token else None,
        token['renders']['office365mail'].split('\\r\\n')[1]]
ask('status', 'GET', 'office365/status')
ask('other status', 'GET', 'gmail/status')
print(json.dumps(said))"
    )) else {
        return;
    };
    let configure = |what: &str| {
        json!([
            400,
            format!(
                "No mailbox{what} is configured: name it with its IMAP server in [[tokens.imap]] of the \
                 configuration. Nobody signs in at Google or Microsoft here. Tokens for any address \
                 can be made without it; their mails are then files to download"
            )
        ])
    };
    let bad = |message: &str| json!([400, message]);
    let done = |total: u32| json!([200, {"result": "success", "successful": total, "failed": 0, "total": total}]);
    let template = |html: &str, sender: &str, subject: &str| json!([200, {"result": "success", "email_html": html, "email_sender": sender, "email_subject": subject}]);
    for (name, wanted) in [
        ("users", configure(" of example.com")),
        ("users without domain", bad("Parameter domain is required.")),
        ("users of nonsense", bad("Parameter domain was invalid.")),
        ("office users", configure("")),
        ("initiate", configure("")),
        ("nobody", bad("Parameter emails or users is required.")),
        ("bad address", bad("Parameter emails was invalid.")),
        ("bad users", bad("Parameter users was invalid.")),
        ("many", bad("At most 500 mailboxes at a time")),
        ("exchange", configure(" a@example.com")),
        ("no office mails", bad("Parameter user_emails is required.")),
        ("no flock", bad("Parameter flock_id is required.")),
        ("unknown flock", json!([404, "Flock does not exist."])),
        ("bad sender", bad("Parameter email_sender was invalid.")),
        ("bad subject", bad("Parameter email_subject was invalid.")),
        ("no html", bad("Parameter email_html is required.")),
        (
            "wrong method",
            json!([
                405,
                "Method not allowed; canarytoken/gmail/email takes POST, GET"
            ]),
        ),
        (
            "no mails",
            json!([404, "No mails have been made in this flock"]),
        ),
        ("office template", template("", "", "")),
        ("status before", done(0)),
        ("saved", template("<p>{user}</p>", "it@example.net", "Hi")),
        ("made", json!([200, {"result": "success"}])),
        (
            "a@example.com",
            json!([
                "office365mail",
                "local",
                "Mail in a@example.com",
                null,
                "From: it@example.net"
            ]),
        ),
        (
            "b@example.com",
            json!([
                "office365mail",
                "local",
                "Mail in b@example.com",
                null,
                "From: it@example.net"
            ]),
        ),
        ("status", done(2)),
        ("other status", done(0)),
    ] {
        assert_eq!(said[name], wanted, "{name}");
    }
    assert_eq!(said["wrong key"][0], 401);
}

#[test]
fn a_mail_that_waited_while_the_program_or_its_server_was_away_is_put_there_later() {
    // A server that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let config = format!(
        "[tokens]\ndns_port = 0\n[[tokens.imap]]\nhost = '127.0.0.1'\nport = {port}\ntls = false\n\
         mailboxes = [{{address = 'alice@example.com', password = 'x'}}]\n"
    );
    let nest = Nest::start(&config);
    let made = nest.post(
        "canarytoken/office365/create",
        &[("user_emails", "alice@example.com")],
    );
    let id = made["canarytokens"][0]["canarytoken"].as_str().unwrap();
    let token =
        |nest: &Nest| nest.api(&format!("canarytoken/fetch?canarytoken={id}"))["token"].clone();
    assert_eq!(token(&nest)["placement_pending"], true);
    let waiting = json!({"result": "success", "successful": 0, "failed": 0, "total": 1});
    assert_eq!(nest.api("canarytoken/office365/status"), waiting);
    let dir = nest.kill();
    drop(silent);
    let nest = Nest::start_in(dir, &config);
    let failed = json!({"result": "success", "successful": 0, "failed": 1, "total": 1});
    let status = await_some(|| {
        let status = nest.api("canarytoken/office365/status");
        (status != waiting).then_some(status)
    });
    assert_eq!(status, Some(failed));
    let away = token(&nest);
    let refused = format!("127.0.0.1:{port}: Connection refused (os error 111)");
    assert_eq!(
        (&away["state"], &away["placement_error"]),
        (&json!("local"), &json!(refused))
    );
    // It isn't given up.
    assert_eq!(away["placement_pending"], true);
    let dir = nest.kill();
    let back = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = std::thread::spawn(move || take_mail(&back));
    let nest = Nest::start_in(dir, &config);
    let there = await_some(|| Some(token(&nest)).filter(|token| token["state"] == "connected"));
    let there = there.expect("the mail is put where it waited to be put");
    for gone in ["placement_error", "placement_pending"] {
        assert_eq!(there.get(gone), None);
    }
    let done = json!({"result": "success", "successful": 1, "failed": 0, "total": 1});
    assert_eq!(nest.api("canarytoken/office365/status"), done);
    assert!(server.join().unwrap().contains("Subject: "));
}

/// An IMAP server (RFC 3501) that takes one mail from whomever; the mail.
fn take_mail(listener: &std::net::TcpListener) -> String {
    let (stream, _) = listener.accept().unwrap();
    let mut peer = BufReader::new(stream);
    let mut mail = Vec::new();
    peer.get_mut().write_all(b"* OK ready\r\n").unwrap();
    loop {
        let mut line = String::new();
        if peer.read_line(&mut line).unwrap() == 0 {
            return String::from_utf8(mail).unwrap();
        }
        let tag = line.split(' ').next().unwrap().to_owned();
        if let Some((_, length)) = line.trim_end().trim_end_matches('}').rsplit_once('{') {
            peer.get_mut().write_all(b"+ go on\r\n").unwrap();
            mail = vec![0; length.parse().unwrap()];
            peer.read_exact(&mut mail).unwrap();
            peer.read_line(&mut String::new()).unwrap();
        }
        let done = format!("{tag} OK done\r\n");
        peer.get_mut().write_all(done.as_bytes()).unwrap();
    }
}
