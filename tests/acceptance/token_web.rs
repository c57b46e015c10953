//! Tokens of the web: made with the official client, tripped by curl, Subversion and a browser.

use serde_json::{Map, Value, json};

use crate::console::CONNECT;
use crate::nest::{Nest, await_some, client, client_with_input, free_port, have};
use crate::seen;

/// Python that makes tokens: `make` with the official client, `more` with what it doesn't know.
const MAKE: &str = "
import base64, requests, tempfile
K = canarytools.CanaryTokenKinds
folder = tempfile.mkdtemp()
key = ini['CanaryTools']['api_key']
made = {}
def make(name, kind, **asked):
    token = console.tokens.create(memo=name, kind=kind, **asked)
    made[name] = {k: v for k, v in vars(token).items() if k != 'console' and isinstance(v, (str, bool, dict, list))}
    try:
        file = token.download(os.path.join(folder, name))
        made[name]['file'] = base64.b64encode(open(file, 'rb').read()).decode()
    except Exception:
        pass
def more(name, kind, **asked):
    make(name, kind, attempt_unrecognized=True, **asked)
";

/// A running program whose tokens' URLs lead to it: `localhost` is this machine without anybody's
/// asking.
fn nest() -> Nest {
    Nest::start(&format!(
        "[tokens]\naddress = \"127.0.0.1\"\nhttp_port = {}\ndns_port = {}\n",
        free_port() - 10_000,
        free_port() - 10_000
    ))
}

fn text<'a>(made: &'a Value, field: &str) -> &'a str {
    let text = made[field].as_str();
    text.unwrap_or_else(|| panic!("no {field} in {made:#}"))
}

/// The one incident of this token, once it has as many events.
fn incident(nest: &Nest, made: &Value, events: usize) -> Value {
    let of_token = |all: Value| -> Vec<Value> {
        let all = all["incidents"].as_array().unwrap();
        let own = |i: &&Value| i["description"]["node_id"] == made["canarytoken"];
        all.iter().filter(own).cloned().collect()
    };
    let count = |i: &Value| i["description"]["events"].as_array().map_or(0, Vec::len);
    let found = await_some(|| {
        let found = of_token(nest.api("incidents/all"));
        let there = found.first().is_some_and(|i| count(i) >= events);
        there.then_some(found)
    });
    let found = found.unwrap_or_else(|| panic!("no {events} events of {made:#}"));
    assert_eq!((found.len(), count(&found[0])), (1, events), "{found:#?}");
    found[0].clone()
}

/// What the incident of a token holds, and one event of it, but for its times, headers and URL.
fn assert_told(incident: &Value, made: &Value, memo: &str, wanted: &Value) {
    let d = &incident["description"];
    assert_eq!(incident["summary"], "Canarytoken triggered");
    assert_eq!(
        (&d["memo"], &d["src_host"]),
        (&json!(memo), &json!("127.0.0.1"))
    );
    assert_eq!(d["logtype"], wanted["logtype"]);
    let mut event = seen::fields(&d["events"][0]);
    let event = event.as_object_mut().unwrap();
    assert!(event.remove("headers").unwrap().is_object());
    assert!(event.remove("url").unwrap().is_string());
    assert!(event.remove("additional_info").unwrap().is_object());
    for name in ["src_host", "dst_port"] {
        event.remove(name);
    }
    let mut all: Map<String, Value> = wanted.as_object().unwrap().clone();
    all.insert("type".to_owned(), wanted["kind"].clone());
    all.insert("channel".to_owned(), json!("http"));
    all.insert("canarytoken".to_owned(), made["canarytoken"].clone());
    assert_eq!(*event, all, "{memo}");
}

/// Every incident's events are the same to the official client and on the command line.
fn assert_views_agree(nest: &Nest) {
    let all = nest.api("incidents/all");
    for incident in all["incidents"].as_array().unwrap() {
        seen::check_other_views(nest, incident);
    }
}

fn curl(arguments: &[&str]) -> String {
    let mut all = vec!["-s", "-i", "-A", "Visitor/1.0"];
    all.extend(arguments);
    client("curl", &all)
}

#[test]
fn every_kind_of_the_web_tells_all_its_fields() {
    if !have("curl") || !have("zbarimg") {
        return;
    }
    let nest = nest();
    let Some(made) = nest.python(&format!(
        "{CONNECT}{MAKE}
# The client closes the picture before it sends it.
picture = ('plan.png', bytes.fromhex('89504e470d0a1a0a') + b'rest', 'image/png')
made['image'] = requests.post(os.environ['CONSOLE_URL'] + '/api/v1/canarytoken/create',
    data=dict(auth_token=key, kind='web-image', memo='image'), files=dict(web_image=picture)).json()['canarytoken']
make('cloned', K.CLONED_WEB, cloned_web='www.example.com')
make('css', K.CLONED_CSS, expected_referrer='www.example.com')
make('entra', K.AZURE_ENTRA_LOGIN, expected_referrer='login.example.com')
make('fast', K.FASTREDIRECT, browser_redirect_url='https://www.example.com/a?b=c&d')
make('slow', K.SLOWREDIRECT, browser_redirect_url='https://www.example.com/a?b=c&d')
make('qr', K.QRCODE)
make('app', K.PWA, pwa_icon='gmail', pwa_app_name='Mail & More')
make('doc', K.GOOGLE_DOC, google_share_email_addr='alice@example.com')
make('sheet', K.GOOGLE_SHEET)
make('idp', K.IDP_APP, idp_app_type='github')
more('gmail', K.GMAIL, mailboxes='alice@example.com,bob@example.com')
more('office', K.OFFICE365_MAIL, mailboxes='carol@example.com', subject='Payments')
print(json.dumps(made))"
    )) else {
        return;
    };
    let url = |name: &str| text(&made[name], "url").to_owned();

    let served = curl(&[&url("image")]);
    assert!(
        served.contains("\r\nContent-Type: image/png\r\n"),
        "{served}"
    );
    curl(&[&format!(
        "{}?l=https%3A%2F%2Fevil.example%2F%3Fa%26b&r=https%3A%2F%2Fmail.example%2F",
        url("cloned")
    )]);
    for name in ["css", "entra"] {
        let address = in_style(&made[name]);
        curl(&[&address]);
        curl(&[
            "-e",
            "https://login.example.com/",
            &in_style(&made["entra"]),
        ]);
        curl(&["-e", "https://evil.example/", &address]);
    }
    let fast = curl(&[&url("fast")]);
    assert!(
        fast.starts_with("HTTP/1.1 302 ")
            && fast.contains("\r\nLocation: https://www.example.com/a?b=c&d\r\n"),
        "{fast}"
    );
    let slow = curl(&[&url("slow")]);
    assert!(
        slow.contains("location.replace(\"https://www.example.com/a?b=c\\u0026d\")")
            && slow.contains("0;url=https://www.example.com/a?b=c&amp;d\"></noscript>"),
        "{slow}"
    );

    // The code that a scanner reads is the token's URL.
    let picture = nest.dir.path().join("code.png");
    let bytes = data_encoding::BASE64.decode(text(&made["qr"], "file").as_bytes());
    std::fs::write(&picture, bytes.unwrap()).unwrap();
    let read = client("zbarimg", &["-q", "--raw", picture.to_str().unwrap()]);
    // It complains of a machine without D-Bus after that.
    let read = read.lines().next().unwrap_or_default();
    assert_eq!(read, url("qr"));
    curl(&[read]);

    let app = url("app");
    assert!(curl(&[&app]).contains("<title>Mail &amp; More</title>"));
    curl(&[
        "-G",
        "--data-urlencode",
        "loc={\"latitude\":52.5,\"longitude\":4}",
        &app,
    ]);

    for name in ["doc", "sheet"] {
        assert!(text(&made[name]["renders"], "apps_script").contains(&url(name)));
        curl(&[
            "-A",
            "Mozilla/5.0 (compatible; Google-Apps-Script)",
            &url(name),
        ]);
    }

    let response = "<p:Response xmlns:p=\"p\"><Issuer>http://idp.example</Issuer>\
                    <NameID>alice@example.com</NameID></p:Response>";
    let form = format!(
        "SAMLResponse={}",
        data_encoding::BASE64.encode(response.as_bytes())
    );
    let said = curl(&["--data-urlencode", &form, text(&made["idp"], "acs_url")]);
    assert!(said.contains("You cannot sign in"), "{said}");
    assert!(curl(&[text(&made["idp"], "metadata_url")]).contains(text(&made["idp"], "acs_url")));

    for (name, mailbox) in [
        ("gmail", "alice%40example.com"),
        ("office", "carol%40example.com"),
    ] {
        let mail = text(&made[name]["renders"], text(&made[name], "kind"));
        let picture = mail.split("<img src=\"").nth(1).unwrap();
        let picture = picture.split('"').next().unwrap();
        assert!(picture.ends_with(&format!("?u={mailbox}")), "{mail}");
        curl(&[picture]);
    }

    let told = |name: &str, wanted: Value| {
        assert_told(&incident(&nest, &made[name], 1), &made[name], name, &wanted);
    };
    let file = |name: &str| {
        let token = text(&made[name], "canarytoken");
        format!("/api/v1/canarytoken/download?canarytoken={token}")
    };
    told(
        "image",
        json!({"kind": "web-image", "description": "Remote Web Image", "logtype": "17001",
            "web_image": file("image"), "web_image_type": "image/png", "web_image_name": "plan.png"}),
    );
    told(
        "cloned",
        json!({"kind": "cloned-web", "description": "Cloned Website", "logtype": "17003",
            "cloned_web": "www.example.com", "original_site": "www.example.com",
            "cloned_site": "https://evil.example/?a&b", "referer": "https://mail.example/"}),
    );
    told(
        "css",
        json!({"kind": "cloned-css", "description": "CSS Cloned Site", "logtype": "17025",
            "original_site": "www.example.com", "cloned_site": "https://evil.example/",
            "referer": "https://evil.example/"}),
    );
    told(
        "entra",
        json!({"kind": "azure-entra-login", "description": "Azure Entra Login", "logtype": "17026",
            "original_site": "login.example.com", "cloned_site": "https://evil.example/",
            "referer": "https://evil.example/"}),
    );
    told(
        "fast",
        json!({"kind": "fast-redirect", "description": "Fast HTTP Redirect", "logtype": "17016",
            "browser_redirect_url": "https://www.example.com/a?b=c&d"}),
    );
    told(
        "slow",
        json!({"kind": "slow-redirect", "description": "Slow HTTP Redirect", "logtype": "17017",
            "browser_redirect_url": "https://www.example.com/a?b=c&d"}),
    );
    told(
        "qr",
        json!({"kind": "qr-code", "description": "QR Code", "logtype": "17009", "qr_code": file("qr")}),
    );
    told(
        "app",
        json!({"kind": "pwa", "description": "Fake App", "logtype": "17028",
            "location": {"latitude": 52.5, "longitude": 4}}),
    );
    for (name, kind, description, logtype) in [
        ("doc", "google-docs", "Google Document", "17006"),
        ("sheet", "google-sheets", "Google Sheet", "17007"),
    ] {
        let made = &made[name];
        told(
            name,
            json!({"kind": kind, "description": description, "logtype": logtype,
                "docs_link": made["docs_link"], "email_link": made["email_link"],
                "document_name": made["document_name"]}),
        );
    }
    assert!(text(&made["doc"], "email_link").starts_with("mailto:alice@example.com?subject="));
    told(
        "idp",
        json!({"kind": "idp-app", "description": "SAML IdP App", "logtype": "17030",
            "identity": "alice@example.com", "issuer": "http://idp.example"}),
    );
    told(
        "gmail",
        json!({"kind": "gmail", "description": "Gmail", "logtype": "17021"}),
    );
    told(
        "office",
        json!({"kind": "office365mail", "description": "Office 365 Mail Bug", "logtype": "17019"}),
    );
    assert_views_agree(&nest);
}

/// The URL in a token's style sheet.
fn in_style(made: &Value) -> String {
    let rule = text(&made["renders"], text(made, "kind"));
    let from = rule.find("http").unwrap();
    let end = |c: char| matches!(c, '"' | '\'' | ')');
    rule[from..].split(end).next().unwrap().to_owned()
}

#[test]
fn a_checkout_with_an_external_is_told() {
    if !have("svn") {
        return;
    }
    let nest = nest();
    let made = nest.post("canarytoken/create", &[("kind", "svn"), ("memo", "svn")]);
    let made = &made["canarytoken"];
    let folder = nest.dir.path().to_str().unwrap();
    let sh =
        |script: &str| client_with_input("sh", &["-ec", &format!("cd {folder}\n{script}")], "");
    sh("svnadmin create repo; svn checkout -q file://$PWD/repo first");
    // The command as it is given, but for the name, which only curl and browsers know.
    let command = text(&made["renders"], "svn");
    let host = command
        .split(['/', ':'])
        .find(|part| part.ends_with("localhost"));
    sh(&format!(
        "cd first; {}",
        command.replace(host.unwrap(), "127.0.0.1")
    ));
    sh("cd first; svn commit -q -m 'Share the tools'");
    let said = sh("svn checkout --non-interactive file://$PWD/repo second");
    assert!(
        said.contains("Checked out revision 1.") && said.contains("handling externals definition"),
        "{said}"
    );
    let found = await_some(|| {
        let all = nest.api("incidents/all");
        all["incidents"].as_array()?.first().cloned()
    });
    let found = found.expect("a checkout is told");
    let events = found["description"]["events"].as_array().unwrap();
    let found = incident(&nest, made, events.len());
    assert_told(
        &found,
        made,
        "svn",
        &json!({"kind": "svn", "description": "SVN Repo", "logtype": "17010"}),
    );
    let event = &found["description"]["events"][0];
    assert_eq!(event["additional_info"]["method"], "OPTIONS");
    let agent = event["headers"]["User-Agent"].as_str().unwrap();
    assert!(agent.starts_with("SVN/1."), "{agent}");
}

/// What the browser does.
const SCRIPT: &str = concat!(
    include_str!("../python/browser.py"),
    include_str!("../python/token_web.py")
);

#[test]
fn browsers_tell_of_themselves_follow_redirects_and_give_copies_away() {
    if !have("chromedriver") {
        return;
    }
    let nest = nest();
    let Some(made) = nest.python(&format!(
        "{CONNECT}{MAKE}
make('bug', K.HTTP)
make('quiet', K.HTTP)
more('silent', K.HTTP, browser_scanner_enabled='false')
make('fast', K.FASTREDIRECT, browser_redirect_url='http://localhost' + '/fast')
make('slow', K.SLOWREDIRECT, browser_redirect_url='http://localhost' + '/slow?a=b&c')
make('cloned', K.CLONED_WEB, cloned_web='www.example.com')
make('css', K.CLONED_CSS, expected_referrer='www.example.com')
make('app', K.PWA, pwa_icon='signal', pwa_app_name='Team Chat')
print(json.dumps(made))"
    )) else {
        return;
    };
    let away = format!("http://127.0.0.1:{}", free_port());
    for (name, to) in [("fast", "/fast"), ("slow", "/slow?a=b&c")] {
        let answer = nest.post(
            "canarytoken/update/redirect_url",
            &[
                ("canarytoken", text(&made[name], "canarytoken")),
                ("redirect_url", &format!("{away}{to}")),
            ],
        );
        assert_eq!(answer["result"], "success", "{answer}");
    }
    let task = json!({
        "away": away,
        "bug": text(&made["bug"], "url"),
        "silent": text(&made["silent"], "url"),
        "fast": text(&made["fast"], "url"),
        "slow": text(&made["slow"], "url"),
        "app": text(&made["app"], "url"),
        "script": text(&made["cloned"]["renders"], "cloned-web"),
        "style": text(&made["css"]["renders"], "cloned-css"),
    });
    let Some(seen) = nest.python_with(SCRIPT, &[("WEB_TASK", &task.to_string())]) else {
        return;
    };
    assert_eq!(seen["fast"], format!("{away}/fast"), "{seen:#}");
    assert_eq!(seen["slow"], format!("{away}/slow?a=b&c"), "{seen:#}");
    assert_eq!(seen["bug_title"], "", "the page shows nothing: {seen:#}");
    assert_eq!(seen["installed"], "Add to your home screen to continue.");
    assert_eq!(seen["offer"], "Install", "the browser would install it");

    // The visit, and what the browser says of itself.
    for (name, kind) in [("bug", "http"), ("slow", "slow-redirect")] {
        let incident = incident(&nest, &made[name], 2);
        let events = incident["description"]["events"].as_array().unwrap();
        assert_eq!(events[0]["additional_info"]["method"], "GET");
        assert!(events[0]["additional_info"].get("browser").is_none());
        let info = &events[1]["additional_info"];
        assert_eq!(
            (&info["method"], &events[1]["kind"]),
            (&json!("POST"), &json!(kind))
        );
        let browser = &info["browser"];
        assert_eq!(browser["webdriver"], true, "{browser:#}");
        assert_eq!(browser["time_zone"], seen["time_zone"], "{browser:#}");
        assert_eq!(browser["user_agent"], seen["user_agent"], "{browser:#}");
        assert_eq!(browser["screen"], seen["screen"], "{browser:#}");
        assert_eq!(browser["location"], events[0]["url"], "{browser:#}");
        assert!(browser["cores"].as_u64().unwrap() > 0, "{browser:#}");
        assert_eq!(info["visited"], events[0]["timestamp"]);
    }
    incident(&nest, &made["silent"], 1);
    incident(&nest, &made["fast"], 1);
    let cloned = incident(&nest, &made["cloned"], 1);
    let event = &cloned["description"]["events"][0];
    assert_eq!(event["cloned_site"], format!("{away}/copy?a=1&b"));
    let css = incident(&nest, &made["css"], 1);
    let event = &css["description"]["events"][0];
    assert_eq!(event["cloned_site"], format!("{away}/"));
    // Installing is silent; starting tells, at once and again with the place.
    let app = incident(&nest, &made["app"], 2);
    let events = app["description"]["events"].as_array().unwrap();
    let place = events.iter().find_map(|event| event.get("location"));
    let place = place.expect("the device said where it is");
    assert_eq!(
        (&place["latitude"], &place["longitude"]),
        (&json!(52.25), &json!(4.5))
    );
    let all = nest.api("incidents/all");
    let touched = all["incidents"].as_array().unwrap();
    assert!(
        touched
            .iter()
            .all(|i| i["description"]["node_id"] != made["quiet"]["canarytoken"]),
        "nobody came there"
    );
    assert_views_agree(&nest);
}
