//! Web decoys, driven by curl, dirb, nmap and Chromium.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

/// A bird with nothing but web services.
const WEB: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
";

/// Runs curl without a word of its own.
fn curl(arguments: &[&str]) -> String {
    let mut all = vec!["-s", "-k", "--path-as-is", "--max-time", "20"];
    all.extend(arguments);
    client("curl", &all)
}

fn loads(port: u16) -> String {
    format!("{WEB}[[bird.http]]\nport = {port}\npage_load_alerts = true\nlogin_delay_ms = 20\n")
}

#[test]
fn page_loads_are_told_with_every_field() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(&loads(80));
    let port = nest.port("http");
    let host = nest.address.to_string();
    let url = format!("http://{host}:{port}");
    curl(&["-A", "probe/1", &format!("{url}/robots.txt?a=b")]);
    curl(&["-A", "probe/1", "-d", "a=b", &format!("{url}/login")]);
    curl(&["-A", "probe/1", &format!("{url}/nope")]);
    let load = |path: &str, method: &str, response: u16| {
        json!({"PATH": path, "USERAGENT": "probe/1", "METHOD": method, "RESPONSE": response,
            "SKIN": "nasLogin", "HOSTNAME": host})
    };
    let incident = nest.incident("HTTP Page Load", 3);
    check_frame(&nest, &incident, "3000", port);
    assert_eq!(
        events(&incident),
        [
            load("/robots.txt?a=b", "GET", 200),
            load("/login", "POST", 200),
            load("/nope", "GET", 404)
        ]
    );
    assert_eq!(nest.count("HTTP Login Attempt"), 0);
}

#[test]
fn a_post_to_an_error_page_is_told_without_being_asked_for() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(&format!("{WEB}[[bird.https]]\n"));
    let port = nest.port("https");
    let url = format!("https://{}:{port}/cgi-bin/luci?x=1", nest.address);
    curl(&["-A", "probe/1", "-d", "cmd=id", &url]);
    let incident = nest.incident("HTTP Post Request to an Error Page", 1);
    check_frame(&nest, &incident, "3006", port);
    assert_eq!(
        events(&incident),
        [
            json!({"PATH": "/cgi-bin/luci?x=1", "USERAGENT": "probe/1", "CHANNEL": "TLS",
            "METHOD": "POST", "RESPONSE": 404, "SKIN": "nasLogin"})
        ]
    );
    assert_eq!(nest.count("HTTP Page Load"), 0);
}

#[test]
fn dirb_is_one_scan() {
    if !have("dirb") {
        return;
    }
    for banner in ["", "Apache/2.4.71 (Debian)", "Microsoft-IIS/10.0"] {
        let nest = Nest::start(&format!("{WEB}[[bird.http]]\nbanner = \"{banner}\"\n"));
        let url = format!("http://{}:{}/", nest.address, nest.port("http"));
        let said = client(
            "dirb",
            &[
                &url,
                "/usr/share/dirb/wordlists/small.txt",
                "-S",
                "-r",
                "-N",
                "404",
            ],
        );
        assert!(said.contains("DOWNLOADED: 959"), "{said}");
        let incident = nest.incident("HTTP Service Scan", 1);
        assert_eq!(incident["description"]["logtype"], "3004");
        let event = &incident["description"]["events"][0];
        assert_eq!(event["METHOD"], "GET");
        assert_eq!(event["RESPONSE"], 404);
        let all = nest.api("incidents/all");
        let titles: Vec<_> = all["incidents"].as_array().unwrap().iter().collect();
        assert_eq!(titles.len(), 1, "{all:#}");
    }
}

#[test]
fn a_thousand_logins_are_one_incident_of_a_thousand_events() {
    let nest = Nest::start(&format!("{WEB}[[bird.http]]\nlogin_delay_ms = 1\n"));
    let to = (nest.address, nest.port("http"));
    std::thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(to).unwrap();
                for n in 0..125 {
                    let body = format!("username=admin&password=Password{}", part * 125 + n);
                    let request = format!(
                        "POST /login HTTP/1.1\r\nHost: files\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(request.as_bytes()).unwrap();
                    read_answer(&mut stream);
                }
            });
        }
    });
    let incident = nest.incident("HTTP Login Attempt", 1_000);
    let mut seen: Vec<String> = events(&incident)
        .iter()
        .map(|event| event["PASSWORD"].as_str().unwrap().to_owned())
        .collect();
    let mut wanted: Vec<String> = (0..1_000).map(|n| format!("Password{n}")).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
}

/// Reads one answer with `Content-Length`.
fn read_answer(stream: &mut TcpStream) {
    let mut said = Vec::new();
    let mut block = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&said).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return;
            }
        }
        let read = stream.read(&mut block).unwrap();
        assert!(read > 0, "closed early: {text}");
        said.extend_from_slice(&block[..read]);
    }
}

/// One bird with a service for each server that can stand in front, and one server by its banner.
fn every_server() -> String {
    let instance = |name: &str, port: u16, more: &str| {
        format!("[[bird.http]]\nname = \"{name}\"\nport = {port}\nlogin_delay_ms = 20\n{more}\n")
    };
    [
        WEB.to_owned(),
        instance("nginx", 80, ""),
        instance("apache", 81, "skin = \"apacheDefault\""),
        instance("iis", 82, "skin = \"iisStart\""),
        instance("docker", 2375, "skin = \"dockerApi\""),
        instance(
            "router",
            83,
            "skin = \"routerLogin\"\nbanner = \"Apache/2.4.62 (Debian)\"",
        ),
    ]
    .concat()
}

#[test]
fn nmap_names_each_server() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(&every_server());
    let host = nest.address.to_string();
    let said = client(
        "nmap",
        &["-sV", "-Pn", "-n", "-p", "10080-10083,12375", &host],
    );
    for (port, product) in [
        (10080, "nginx 1.22.1"),
        (10081, "Apache httpd 2.4.71 ((Debian))"),
        (10082, "Microsoft IIS httpd 10.0"),
        (10083, "Apache httpd 2.4.62 ((Debian))"),
        (12375, "Docker 20.10.24+dfsg1"),
    ] {
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("{port}/tcp")));
        assert!(
            line.is_some_and(|line| line.contains(product)),
            "{product}:\n{said}"
        );
    }
    assert!(
        !said.contains("SF-Port"),
        "nothing is unknown to nmap:\n{said}"
    );
}

#[test]
fn scripts_of_nmap_find_their_way() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(&every_server());
    let host = nest.address.to_string();

    let said = client(
        "nmap",
        &[
            "-Pn",
            "-n",
            "-p",
            "10080-10082",
            "--script",
            "+http-title,+http-headers,+http-methods,+http-auth,+http-server-header",
            "--script-args",
            "http-auth.path=/admin/",
            &host,
        ],
    );
    for text in [
        "_http-title: files-02 - Merevault MVOS",
        "Server: nginx/1.22.1",
        "http-title: Apache2 Debian Default Page: It works",
        "Supported Methods: HEAD GET POST OPTIONS",
        "Basic realm=Restricted Content",
        "http-title: IIS Windows Server",
        "Supported Methods: OPTIONS TRACE GET HEAD POST",
        "Basic realm=files-02",
        "Microsoft-IIS/10.0",
    ] {
        assert!(said.contains(text), "no {text:?}:\n{said}");
    }
    let said = client(
        "nmap",
        &[
            "-Pn",
            "-n",
            "-p",
            "10080,10081",
            "--script",
            "+http-enum",
            "--script-args",
            "http-enum.category=general",
            &host,
        ],
    );
    assert!(said.contains("/robots.txt: Robots file"), "{said}");
    assert_eq!(nest.count("HTTP Service Scan"), 1);
}

#[test]
fn the_docker_api_tells_what_it_was_sent() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(&format!(
        "{WEB}[[bird.http]]\nport = 2375\nskin = \"dockerApi\"\n"
    ));
    let port = nest.port("http");
    let host = nest.address.to_string();
    let url = format!("http://{host}:{port}");
    let version = curl(&["-A", "probe/1", &format!("{url}/version")]);
    let version: Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["ApiVersion"], "1.41");
    let refused = curl(&[
        "-A",
        "probe/1",
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"Image":"alpine","Cmd":["sh","-c","id"],"HostConfig":{"Binds":["/:/mnt"]}}"#,
        &format!("{url}/v1.41/containers/create?name=x"),
    ]);
    assert_eq!(refused, "{\"message\":\"No such image: alpine:latest\"}\n");
    let missing = curl(&[
        "-A",
        "probe/1",
        "-w",
        "%{http_code}",
        &format!("{url}/nope"),
    ]);
    assert_eq!(missing, "{\"message\":\"page not found\"}\n404");

    let incident = nest.incident("HTTP API Request", 3);
    check_frame(&nest, &incident, "3005", port);
    let events = events(&incident);
    let told = |path: &str, response: u16| {
        json!({
            "HEADERS": {"Host": format!("{host}:{port}"), "User-Agent": "probe/1", "Accept": "*/*"},
            "HOSTNAME": host, "METHOD": "GET", "PATH": path, "POSTDATA": {}, "RESPONSE": response,
            "SKIN": "dockerApi", "USERAGENT": "probe/1",
        })
    };
    assert_eq!(events[0], told("/version", 200));
    assert_eq!(events[2], told("/nope", 404));
    assert_eq!(
        events[1],
        json!({
            "HEADERS": {"Host": format!("{host}:{port}"), "User-Agent": "probe/1", "Accept": "*/*",
                "Content-Type": "application/json", "Content-Length": "75"},
            "HOSTNAME": host, "METHOD": "POST", "PATH": "/v1.41/containers/create?name=x",
            "POSTDATA": {"Image": "alpine", "Cmd": ["sh", "-c", "id"], "HostConfig": {"Binds": ["/:/mnt"]}},
            "RESPONSE": 404, "SKIN": "dockerApi", "USERAGENT": "probe/1",
        })
    );
    assert_eq!(nest.count("HTTP Page Load"), 0);
}

const LOGIN: &str = concat!(
    include_str!("../python/browser.py"),
    include_str!("../python/login.py")
);

#[test]
fn login_pages_work_in_the_browser() {
    if !have("chromedriver") {
        return;
    }
    let instance = |port: u16, skin: &str, more: &str| {
        format!(
            "[[bird.http]]\nname = \"{skin}{port}\"\nport = {port}\nskin = \"{skin}\"\nlogin_delay_ms = 20\n{more}\n"
        )
    };
    // Chromium refuses port 10080.
    let nest = Nest::start(
        &[
            WEB.to_owned(),
            instance(85, "nasLogin", ""),
            instance(86, "basicLogin", "banner = \"Microsoft-IIS/10.0\""),
            instance(87, "routerLogin", "banner = \"Apache/2.4.71 (Debian)\""),
        ]
        .concat(),
    );
    let page = |port: u16, user: &str, password: &str, wrong: &str| json!({"url": format!("http://{}:{port}/", nest.address), "user": user, "password": password, "wrong": wrong});
    let task = json!([
        page(
            10085,
            "username",
            "password",
            "The account or the password is incorrect."
        ),
        page(
            10086,
            "username",
            "password",
            "Invalid user name or password."
        ),
        page(10087, "user", "pwd", "Wrong user name or password."),
    ]);
    let Some(seen) = nest.python_with(LOGIN, &[("LOGIN_TASK", &task.to_string())]) else {
        return;
    };
    for page in seen.as_array().unwrap() {
        assert!(!page["title"].as_str().unwrap().is_empty(), "{seen:#}");
        assert_eq!(
            page["pictures"],
            json!([]),
            "every picture is there: {seen:#}"
        );
        assert!(page["styles"][0].as_u64().unwrap() > 5, "{seen:#}");
        assert_eq!(
            page["log"],
            json!([]),
            "the browser has no complaint: {seen:#}"
        );
    }
    let incident = nest.incident("HTTP Login Attempt", 3);
    let agent = seen[0]["agent"].as_str().unwrap();
    for (event, (skin, path, response)) in events(&incident).iter().zip([
        ("nasLogin", "/api/v2/session", 401),
        ("basicLogin", "/login", 200),
        ("routerLogin", "/login.cgi", 200),
    ]) {
        assert_eq!(
            *event,
            json!({"USERNAME": "o'brien", "PASSWORD": "pa<ss", "PATH": path, "USERAGENT": agent,
                "METHOD": "POST", "RESPONSE": response, "SKIN": skin,
                "HOSTNAME": nest.address.to_string()})
        );
    }
}

#[test]
fn each_instance_has_its_own_certificate_headers_and_name() {
    if !have("curl") || !have("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["one.example", "two.example"] {
        self_signed(dir.path(), name);
    }
    let instance = |name: &str, port: u16, banner: &str| {
        format!(
            "[[bird.https]]\nname = \"{name}\"\nport = {port}\nbanner = \"{banner}\"\n\
             certificate = \"{name}.crt\"\nkey = \"{name}.key\"\n\
             [bird.https.headers]\nenabled = true\nitems = [\"X-Site: {name}\"]\n"
        )
    };
    let config = [
        WEB.to_owned(),
        instance("one.example", 443, "nginx/1.24.0"),
        instance("two.example", 444, "Apache/2.4.62 (Debian)"),
    ]
    .concat();
    let ca = |name: &str| dir.path().join(format!("{name}.crt")).display().to_string();
    let (one, two) = (ca("one.example"), ca("two.example"));
    let nest = Nest::start_in(dir, &config);
    for (name, port, ca, server) in [
        ("one.example", 10443, &one, "nginx/1.24.0"),
        ("two.example", 10444, &two, "Apache/2.4.62 (Debian)"),
    ] {
        let said = client(
            "curl",
            &[
                "-sSi",
                "--cacert",
                ca,
                "--resolve",
                &format!("{name}:{port}:{}", nest.address),
                &format!("https://{name}:{port}/robots.txt"),
            ],
        );
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
        assert!(said.contains(&format!("Server: {server}\r\n")), "{said}");
        assert!(said.contains(&format!("X-Site: {name}\r\n")), "{said}");
    }
    // What was set is what the API shows; the keys stay with the bird.
    let node = nest.run["birds"][0]["node_id"].as_str().unwrap();
    let shown = nest
        .api(&format!("device/info?node_id={node}&settings=true"))
        .to_string();
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn a_key_of_another_certificate_is_told_before_anything_runs() {
    if !have("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["one.example", "two.example"] {
        self_signed(dir.path(), name);
    }
    let config = format!(
        "{WEB}[[bird.https]]\ncertificate = \"one.example.crt\"\nkey = \"two.example.key\"\n\
         userwebroot = \"no-such-folder\"\n"
    );
    let file = dir.path().join("coalmine.toml");
    std::fs::write(&file, config).unwrap();
    let said = client(
        crate::nest::program().to_str().unwrap(),
        &["config", "check", "--config", file.to_str().unwrap()],
    );
    assert!(said.contains("https[0].key: "), "{said}");
    assert!(said.contains("doesn't belong to the certificate"), "{said}");
    assert!(said.contains("https[0].userwebroot: "), "{said}");
}

/// A certificate `NAME.crt` and its key `NAME.key`.
fn self_signed(dir: &std::path::Path, name: &str) {
    let file = |ending: &str| dir.join(format!("{name}.{ending}")).display().to_string();
    client(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            &format!("subjectAltName=DNS:{name}"),
            "-keyout",
            &file("key"),
            "-out",
            &file("crt"),
        ],
    );
}

#[test]
fn pages_of_the_operators_own_from_folder_and_archive() {
    if !have("curl") || !have("zip") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pages");
    std::fs::create_dir_all(root.join("css")).unwrap();
    let page = "<title>Intranet</title><form method=post action=/sso/><input name=mail><input name=pwd></form>";
    std::fs::write(root.join("index.html"), page).unwrap();
    std::fs::create_dir(root.join("sso")).unwrap();
    std::fs::write(root.join("sso/index.html"), "<p>Try again.</p>").unwrap();
    std::fs::write(root.join("css/site.css"), "p{}").unwrap();
    let packed = dir.path().join("pages.zip");
    let script = format!("cd {} && zip -qr {} .", root.display(), packed.display());
    client("sh", &["-c", &script]);
    let config = format!(
        "{WEB}[[bird.http]]\nname = \"folder\"\nlogin_delay_ms = 20\nuserwebroot = \"pages\"\n\
         [[bird.http]]\nname = \"archive\"\nport = 81\nlogin_delay_ms = 20\nuserwebroot = \"pages.zip\"\n"
    );
    let nest = Nest::start_in(dir, &config);
    for port in [10080, 10081] {
        let url = format!("http://{}:{port}", nest.address);
        assert_eq!(curl(&[&format!("{url}/")]), page);
        let css = curl(&["-i", &format!("{url}/css/site.css")]);
        assert!(
            css.contains("Content-Type: text/css\r\n") && css.ends_with("p{}"),
            "{css}"
        );
        for path in [
            "/../coalmine.toml",
            "/%2e%2e/coalmine.toml",
            "/css/../../coalmine.toml",
        ] {
            let said = curl(&["-i", &format!("{url}{path}")]);
            assert!(said.starts_with("HTTP/1.1 400 "), "{path}: {said}");
        }
        let again = curl(&[
            "-A",
            "x",
            "-d",
            "mail=a@b.example&pwd=geheim",
            &format!("{url}/sso/"),
        ]);
        assert_eq!(again, "<p>Try again.</p>");
    }
    let incident = nest.incident("HTTP Login Attempt", 2);
    let wanted = json!({"USERNAME": "a@b.example", "PASSWORD": "geheim", "PATH": "/sso/",
        "USERAGENT": "x", "METHOD": "POST", "RESPONSE": 200, "SKIN": "userwebroot",
        "HOSTNAME": nest.address.to_string()});
    assert_eq!(events(&incident), [wanted.clone(), wanted]);
}

#[test]
fn windows_logins_at_iis() {
    if !have("curl") || !have("nmap") {
        return;
    }
    let nest = Nest::start(
        "[[bird]]\nname = \"files-02\"\npersonality = \"bare\"\nsystem = \"windows-server-2019\"\n\
         domain = \"corp.example.net\"\n[bird.http]\nskin = \"iisStart\"\nwindows_authentication = true\n",
    );
    let port = nest.port("http");
    let url = format!("http://{}:{port}/", nest.address);
    let said = client(
        "curl",
        &[
            "-sv",
            "-A",
            "curl/8",
            "--ntlm",
            "-u",
            "CORP\\anna:Winter2026!",
            &url,
        ],
    );
    assert!(said.contains("< HTTP/1.1 401 Unauthorized"), "{said}");
    let incident = nest.incident("HTTP Login Attempt", 1);
    check_frame(&nest, &incident, "3001", port);
    let event = &events(&incident)[0];
    let hash = event["NTLM_HASH"].as_str().unwrap();
    assert!(hash.starts_with("anna::CORP:"), "{hash}");
    assert_eq!(
        (&event["USERNAME"], &event["PASSWORD"]),
        (&json!("CORP\\anna"), &json!(""))
    );
    let said = nest.nmap_as(
        port,
        80,
        &["-sV", "--version-light", "--script", "http-ntlm-info"],
    );
    for wanted in [
        "Target_Name: CORP",
        "NetBIOS_Computer_Name: FILES-02",
        "DNS_Computer_Name: files-02.corp.example.net",
        "DNS_Tree_Name: corp.example.net",
        "Product_Version: 10.0.17763",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
