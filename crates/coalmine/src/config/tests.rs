use std::net::Ipv4Addr;
use std::time::Duration;

use coalmine_console::mailboxes::Password;
use coalmine_core::decoy::{Limits, Poke, Tls, Transport};
use coalmine_core::{DecoyKind, Service};
use serde_json::json;

use super::*;

coalmine_core::settings! {
    /// For tests.
    pub struct Sample {
        /// What it says.
        banner: String => "banner" = "hello".to_owned(), coalmine_core::settings::one_line;
        /// Whether headers are sent.
        headers: bool => "headers.enabled" = false, coalmine_core::settings::any;
    }
}

coalmine_core::settings! {
    /// For tests of numbered instances.
    pub struct Numbered {
        /// Its number.
        banner_id: u16 => "banner_id" = 1, up_to_ten;
        /// What it says.
        banner: String => "banner" = "hello".to_owned(), coalmine_core::settings::one_line;
    }
}

fn up_to_ten(number: &u16) -> Result<(), String> {
    if *number > 10 {
        return Err("must be 1 to 10".to_owned());
    }
    Ok(())
}

const fn kind(id: &'static str, port: u16, instances: bool, tls: Option<Tls>) -> DecoyKind {
    DecoyKind {
        id,
        title: "A decoy",
        doc: "For tests.\n",
        transports: &[Transport::Tcp],
        port,
        instances,
        tls,
        events: &[],
        settings: Sample::declared,
        build: |given, _| Sample::parse(given).map(|_| Service::default()),
        limits: Limits {
            input: 1,
            idle: Duration::ZERO,
            total: Duration::ZERO,
            per_source: 1,
            connections: 1,
        },
        poke: Poke::Script(&[]),
    }
}

static FTP: DecoyKind = kind("ftp", 21, false, None);
static SSH: DecoyKind = kind("ssh", 22, true, None);
static HTTPS: DecoyKind = kind("https", 443, true, Some(Tls { alpn: &[] }));
static GIT: DecoyKind = kind("git", 9418, false, None);
static PLAIN: DecoyKind = DecoyKind {
    settings: Numbered::declared,
    build: |given, _| Numbered::parse(given).map(|_| Service::default()),
    ..kind("plain", 8001, true, None)
};

fn ground() -> Ground {
    Ground {
        kinds: vec![&FTP, &SSH, &HTTPS, &GIT, &PLAIN],
        listen: Ipv4Addr::UNSPECIFIED.into(),
        public_address: [192, 0, 2, 7].into(),
        tag: "4f2a".to_owned(),
        zone: "tokens-1b2c.localhost".to_owned(),
        folder: PathBuf::from("/nonexistent"),
    }
}

fn faults(text: &str) -> Vec<String> {
    Config::parse(text, &ground())
        .unwrap_err()
        .iter()
        .map(Fault::to_string)
        .collect()
}

#[test]
fn without_a_file_there_is_one_storage_box() {
    let config = Config::parse("", &ground()).unwrap();
    let [bird] = config.birds.as_slice() else {
        panic!("one bird")
    };
    assert_eq!(
        (bird.name.as_str(), bird.personality.id),
        ("nas-4f2a", "linux-nas")
    );
    let offered: Vec<_> = bird
        .services
        .iter()
        .filter(|s| s.enabled)
        .map(|s| (s.kind.id, s.port))
        .collect();
    assert_eq!(offered, [("ftp", 21), ("ssh", 22), ("https", 443)]);
    assert_eq!(bird.services[0].settings["banner"], "hello");
    assert_eq!(config.console.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(
        (config.tokens.http_port, config.tokens.dns_port),
        (Some(8000), Some(53))
    );
    assert_eq!(config.lowest_port(), Some(21));
}

#[test]
fn naming_a_decoy_turns_it_on_and_settings_go_to_its_own_parser() {
    let config = Config::parse(
        "[[bird]]\nname = 'a'\npersonality = 'bare'\n[bird.ftp]\nbanner = 'x'\nheaders.enabled = true\n\
         [[bird.ssh]]\n[[bird.ssh]]\nport = 2222\n[bird.git]\nenabled = false\n",
        &ground(),
    )
    .unwrap();
    let services: Vec<_> = config.birds[0]
        .services
        .iter()
        .map(|s| (s.kind.id, s.name.as_str(), s.port, s.enabled))
        .collect();
    assert_eq!(
        services,
        [
            ("ftp", "", 21, true),
            ("ssh", "ssh", 22, true),
            ("ssh", "ssh-2", 2222, true),
            ("https", "https", 443, false),
            ("git", "", 9418, false),
            ("plain", "plain", 8001, false)
        ]
    );
    assert_eq!(
        config.birds[0].services[0].settings["headers.enabled"],
        true
    );
}

#[test]
fn a_personality_claims_a_system_and_the_file_another() {
    let machine = |text: &str| {
        let config = Config::parse(text, &ground()).unwrap();
        config.birds[0].machine.clone()
    };
    assert_eq!(machine("").system.id(), "linux");
    let windows = "[[bird]]\npersonality = 'windows-server-2019'\ndomain = 'Corp.Example'\n";
    let claimed = machine(windows);
    assert_eq!(claimed.system.id(), "windows-server-2019");
    assert_eq!(claimed.domain.unwrap().netbios, "CORP");
    let other = machine(&format!("{windows}system = 'windows-server-2016'\n"));
    assert_eq!(other.system.windows_version(), (10, 0, 14393));
}

#[test]
fn every_fault_is_told_at_once_with_its_key_and_the_fix() {
    let found = faults(
        "weather = 1\n[console]\nlisten = 'here'\n[tokens]\nhttp_port = 70000\nzone = '192.0.2.1'\n\
         [[bird]]\nname = 'a b'\npersonality = 'windows'\nadress = '::1'\nsystem = 'dos'\ndomain = 'corp'\n\
         [bird.ftp]\nport = 0\nbaner = 'x'\nbanner = 7\n[[bird.git]]\n[bird.https]\nkey = 'k.pem'\n",
    );
    for wanted in [
        "weather: unknown key; known here: console, tokens, cloud, bird",
        "console.listen: must be an address with a port, e.g. 127.0.0.1:8443, not \"here\"",
        "tokens.http_port: must be a number from 1 to 65535, not 70000",
        "tokens.zone: must be a domain of at most 100 characters, e.g. tokens.example.com, not \"192.0.2.1\"",
        "bird[0].adress: unknown key; did you mean address?",
        "bird[0].personality: must be one of: linux-nas, linux-server, linux-db, linux-desktop, docker-host, linux-proxy, linux-directory, voip-pbx, windows-server-2019, windows-server-2022, windows-dc, windows-desktop, windows-sql, cisco-router, rockwell-plc, mainframe, merry-christmas, bare; not \"windows\"",
        "bird[0].system: must be one of: linux, windows-server-2012r2, windows-server-2016, windows-server-2019, windows-server-2022, windows-10, windows-11; not \"dos\"",
        "bird[0].domain: must be a domain of at most 64 characters, e.g. corp.example.net, not \"corp\"",
        "bird[0].ftp.port: must be a number from 1 to 65535",
        "bird[0].ftp.baner: unknown key; did you mean banner?",
        "bird[0].ftp.banner: must be a text, not 7",
        "bird[0].git: must be written as [bird.git]; there is one in a bird",
        "bird[0].https.certificate: is missing; name the file with the key's certificate chain",
    ] {
        assert!(
            found.iter().any(|f| f == wanted),
            "{wanted}\nis not in\n{found:#?}"
        );
    }
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("bird[0].name: must be 1 to 63 letters")),
        "{found:#?}"
    );
    assert_eq!(found.len(), 14, "{found:#?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let found = faults("[console]\nlisten = \n");
    assert!(found[0].starts_with("line 2: "), "{found:?}");
}

#[test]
fn a_port_claimed_twice_names_both() {
    let two = "[[bird]]\nname = 'a'\naddress = '127.0.0.2'\n[[bird]]\nname = 'b'\naddress = '127.0.0.2'\npersonality = 'bare'\n[bird.ftp]\n";
    assert_eq!(
        faults(two),
        [
            "bird[1].ftp.port: port 21/tcp is claimed by bird[0].ftp.port already; give one of them another port or address"
        ]
    );
    assert_eq!(
        faults("[tokens]\nhttp_port = 443\n"),
        [
            "tokens.http_port: port 443/tcp is claimed by bird[0].https.port already; give one of them another port or address"
        ]
    );
    assert_eq!(
        faults("[[bird]]\nname = 'a'\n[[bird]]\nname = 'A'\npersonality = 'bare'\n").len(),
        1
    );
    Config::parse(
        "[[bird]]\naddress = '127.0.0.2'\n[[bird]]\naddress = '127.0.0.3'\n",
        &ground(),
    )
    .unwrap();
}

#[test]
fn a_shift_may_run_into_the_console_or_beyond_the_last_port() {
    let config = Config::parse("[[bird]]\naddress = '127.0.0.1'\n", &ground()).unwrap();
    assert_eq!(config.shift_faults(10_000), []);
    let into = config.shift_faults(8_000);
    assert_eq!(into[0].key, "bird[0].https.port", "{into:?}");
    assert_eq!(config.shift_faults(65_535).len(), 6);
}

#[test]
fn what_is_shown_reads_back_the_same() {
    let text = "[console]\nnames = ['a\"b']\n[tokens]\ndns_port = 0\n[[bird]]\nname = 'a'\n[bird.ftp]\nbanner = 'tab\\\\'\n[[bird.ssh]]\n[[bird.ssh]]\nport = 2222\n";
    let config = Config::parse(text, &ground()).unwrap();
    let shown = show::toml(&config);
    assert!(shown.contains("# What it says."), "{shown}");
    assert_eq!(
        Config::parse(&shown, &ground()).as_ref(),
        Ok(&config),
        "{shown}"
    );
}

#[test]
fn a_mail_server_is_read_with_its_logins_and_shown_the_same_but_for_passwords() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "s3cret\n").unwrap();
    let ground = Ground {
        folder: dir.path().to_owned(),
        ..ground()
    };
    let text = "[tokens]\nhttp_port = 81\n[[tokens.imap]]\nhost = 'imap.example.com'\nuser = 'master'\npassword_file = 'pw'\n\
                mailboxes = [{address = 'Alice@Example.com', name = 'Alice \"A\"'}, \
                {address = 'bob@example.com', user = 'bob', password = 'hush-1'}]\n\
                [[tokens.imap]]\nhost = '127.0.0.1'\ntls = false\nfolder = 'Archive'\nseen = false\n\
                mailboxes = [{address = 'c@example.com', password_file = 'pw'}]\n";
    let config = Config::parse(text, &ground).unwrap();
    let [one, two] = config.tokens.imap.as_slice() else {
        panic!("{config:?}")
    };
    let master = one.master.as_ref().unwrap();
    let file = Password::File(dir.path().join("pw"));
    assert_eq!((&*master.user, &master.password), ("master", &file));
    assert_eq!(
        (one.port, one.tls, &*one.folder, one.seen),
        (993, true, "INBOX", true)
    );
    assert_eq!(one.mailboxes[0].address, "alice@example.com");
    assert_eq!(one.mailboxes[0].user, "alice@example.com");
    assert_eq!(one.mailboxes[0].password, None);
    assert_eq!(one.mailboxes[1].user, "bob");
    assert_eq!(
        (two.port, two.tls, &*two.folder, two.seen),
        (143, false, "Archive", false)
    );
    assert_eq!(two.mailboxes[0].password, Some(file));
    let shown = show::toml(&config);
    assert!(!format!("{config:?}{shown}").contains("hush"), "{shown}");
    // Nobody takes the file for whole: it names what must be written in, and then is the same.
    let told = Config::parse(&shown, &ground).unwrap_err();
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    let empty =
        "tokens.imap[0].mailboxes[1].password: is empty; write it in, or name password_file";
    assert_eq!(told, [empty]);
    let filled = shown.replace("password = \"\"", "password = 'hush-1'");
    assert_eq!(
        Config::parse(&filled, &ground).as_ref(),
        Ok(&config),
        "{shown}"
    );
    let masters = text.replace("password_file = 'pw'\n", "password = 'hush-1'\n");
    let config = Config::parse(&masters, &ground).unwrap();
    let shown = show::toml(&config);
    assert!(!format!("{config:?}{shown}").contains("hush"), "{shown}");
    let filled = shown.replace("password = \"\"", "password = 'hush-1'");
    assert_eq!(Config::parse(&filled, &ground).as_ref(), Ok(&config));
}

#[test]
fn no_fault_shows_a_password() {
    let told = |text: &str| faults(&format!("[[tokens.imap]]\nhost = 'a'\n{text}"));
    assert_eq!(
        told("user = 'm'\npassword = 4711\nmailboxes = [{address = 'a@b', password = ['4711']}]"),
        [
            "tokens.imap[0].password: must be a text in quotes",
            "tokens.imap[0].mailboxes[0].password: must be a text in quotes",
        ]
    );
    assert_eq!(
        told("user = 'm'\npassword = ''\nmailboxes = [{address = 'a@b', password = ''}]"),
        [
            "tokens.imap[0].password: is empty; write it in, or name password_file",
            "tokens.imap[0].mailboxes[0].password: is empty; write it in, or name password_file",
        ]
    );
    for broken in [
        "password = '4711",
        "password = 4711x",
        "password = \"4711\\q\"",
        "password '4711'",
    ] {
        let told = told(broken);
        assert!(told.len() == 1 && !told[0].contains("4711"), "{told:?}");
    }
}

#[test]
fn what_is_wrong_with_a_mail_server_is_told_with_its_key() {
    let told = |text: &str| faults(&format!("[[tokens.imap]]\n{text}"));
    assert_eq!(
        told(
            "hots = 'a'\nmailboxes = [{address = 'a@b'}, {address = 'x', password = '1', password_file = 'f'}]"
        ),
        [
            "tokens.imap[0].hots: unknown key; did you mean host?",
            "tokens.imap[0].host: is missing; name the server, e.g. imap.example.com",
            "tokens.imap[0].mailboxes[0]: has no password; give it one, or the server a user who may act for all",
            "tokens.imap[0].mailboxes[1].address: must be a mail address, e.g. alice@example.com, not \"x\"",
            "tokens.imap[0].mailboxes[1].password_file: there is no file /nonexistent/f",
            "tokens.imap[0].mailboxes[1].password: stands beside password_file; give one of them",
        ]
    );
    assert_eq!(
        told("host = 'a b'\nport = 0\nfolder = ''\nuser = 'm'"),
        [
            "tokens.imap[0].host: must be a name or an address, e.g. imap.example.com, not \"a b\"",
            "tokens.imap[0].port: must be a number from 1 to 65535",
            "tokens.imap[0].folder: must be the name of a folder, e.g. INBOX",
            "tokens.imap[0].password: is missing; give the user's, or name password_file",
            "tokens.imap[0].mailboxes: are missing; list them as [{ address = \"alice@example.com\" }]",
        ]
    );
    assert_eq!(
        told(
            "host = 'a'\nmailboxes = [{address = 'a@b', password = '1'}]\n[[tokens.imap]]\nhost = 'b'\nmailboxes = [{address = 'A@b', password = '1'}]"
        ),
        ["tokens.imap[1].mailboxes[0].address: \"a@b\" is listed twice; leave one"]
    );
    assert_eq!(
        faults("[tokens]\nimap = 3"),
        ["tokens.imap: must be written as [[tokens.imap]], one for each server"]
    );
}

#[test]
fn the_wire_form_is_flat_with_nested_instances_and_aliases() {
    let config = Config::parse(
        "[[bird]]\nname = 'a'\n[[bird.ssh]]\nport = 2222\n[[bird.ssh]]\n",
        &ground(),
    )
    .unwrap();
    let settings = wire::settings(&config.birds[0], "192.0.2.7");
    assert_eq!(settings["device.name"], "a");
    assert_eq!(settings["device.ip_address"], "192.0.2.7");
    assert_eq!(
        (
            &settings["ftp.enabled"],
            &settings["ftp.port"],
            &settings["ftp.banner"]
        ),
        (&json!(true), &json!(21), &json!("hello"))
    );
    assert_eq!(
        (&settings["git.enabled"], &settings["ssh.port"]),
        (&json!(false), &json!(2222))
    );
    assert_eq!(
        settings["services"]["ssh"],
        json!({"enabled": true, "instance_defaults": {}, "instances": [
            {"name": "ssh", "enabled": true, "port": 2222, "banner": "hello", "headers": {"enabled": false}},
            {"name": "ssh-2", "enabled": true, "port": 22, "banner": "hello", "headers": {"enabled": false}},
        ]})
    );
    assert!(!settings.contains_key("ftp.headers"));
}

#[test]
fn numbered_instances_have_ports_and_keys_of_their_own() {
    let text = "[[bird]]\n[[bird.plain]]\n[[bird.plain]]\nbanner = 'second'\n\
                [[bird.plain]]\nbanner_id = 7\nenabled = false\n";
    let config = Config::parse(text, &ground()).unwrap();
    assert_eq!(
        Config::parse(&show::toml(&config), &ground()),
        Ok(config.clone())
    );
    let settings = wire::settings(&config.birds[0], "192.0.2.7");
    assert_eq!(settings["plain.enabled"], true);
    for (number, enabled, banner) in [
        (1, true, "hello"),
        (2, true, "second"),
        (3, false, "hello"),
        (7, false, "hello"),
        (10, false, "hello"),
    ] {
        let key = |name| format!("plain_{number}.{name}");
        assert_eq!(settings[&key("enabled")], enabled, "{number}");
        assert_eq!(settings[&key("port")], 8000 + number);
        assert_eq!(settings[&key("banner")], banner);
    }
    assert!(!settings.keys().any(|key| key.contains("banner_id")));
    assert!(!settings.contains_key("plain_11.port"));
    assert!(settings["services"].get("plain").is_none());
    // Without any, all are there and off.
    let bare = Config::parse("", &ground()).unwrap();
    let settings = wire::settings(&bare.birds[0], "192.0.2.7");
    assert_eq!(settings["plain.enabled"], false);
    assert_eq!(settings["plain_1.enabled"], false);

    let twice = "[[bird]]\n[[bird.plain]]\nbanner_id = 2\n[[bird.plain]]\nport = 9\n";
    assert_eq!(
        faults(twice),
        ["bird[0].plain[1].banner_id: is another one's number; each needs its own"]
    );
    let many = format!("[[bird]]\n{}", "[[bird.plain]]\n".repeat(11));
    assert_eq!(
        faults(&many),
        ["bird[0].plain: there must be 1 to 10 of them, not 11"]
    );
    assert_eq!(
        faults("[[bird]]\n[bird.plain]\nbanner_id = 11\n"),
        ["bird[0].plain.banner_id: must be 1 to 10"]
    );
}

#[test]
fn the_schema_knows_every_key() {
    let schema = schema::json(&ground().kinds);
    let bird = &schema["properties"]["bird"]["items"]["properties"];
    assert_eq!(bird["ftp"]["properties"]["banner"]["default"], "hello");
    assert_eq!(bird["ftp"]["additionalProperties"], false);
    assert_eq!(bird["ssh"]["anyOf"][1]["type"], "array");
    assert!(bird["https"]["anyOf"][0]["properties"]["certificate"].is_object());
}

#[test]
fn a_certificate_is_read_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = self_signed();
    std::fs::write(dir.path().join("c.pem"), chain).unwrap();
    std::fs::write(dir.path().join("k.pem"), key).unwrap();
    let file = dir.path().join("coalmine.toml");
    std::fs::write(
        &file,
        "[[bird]]\n[bird.https]\ncertificate = 'c.pem'\nkey = 'k.pem'\n",
    )
    .unwrap();
    let config = Config::load(Some(&file), &ground()).unwrap();
    let https = config.birds[0]
        .services
        .iter()
        .find(|s| s.kind.id == "https")
        .unwrap();
    assert!(
        https
            .certificate
            .as_ref()
            .unwrap()
            .pem
            .1
            .contains("PRIVATE")
    );
    let wire = wire::settings(&config.birds[0], "192.0.2.7");
    assert!(
        !serde_json::to_string(&wire)
            .unwrap()
            .contains("PRIVATE KEY")
    );
    for (name, content, at, problem) in [
        (
            "k.pem",
            self_signed().1,
            "key",
            "doesn't belong to the certificate",
        ),
        ("k.pem", self_signed().0, "key", "holds no private key"),
        (
            "c.pem",
            self_signed().1,
            "certificate",
            "holds no PEM block CERTIFICATE",
        ),
        ("c.pem", "x".to_owned(), "certificate", "isn't PEM"),
    ] {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let faults = Config::load(Some(&file), &ground()).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].key, format!("bird[0].https.{at}"));
        assert!(faults[0].problem.contains(problem), "{faults:?}");
        std::fs::write(path, before).unwrap();
    }
    std::fs::remove_file(dir.path().join("k.pem")).unwrap();
    let faults = Config::load(Some(&file), &ground()).unwrap_err();
    assert_eq!(faults[0].key, "bird[0].https.key", "{faults:?}");
}

/// A certificate and its key, in PEM.
fn self_signed() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["files-02".to_owned()];
    let params = rcgen::CertificateParams::new(names).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn the_https_channel_takes_certificates_from_files_or_an_authority() {
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["t.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(dir.path().join("a.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.path().join("a.key"), key.serialize_pem()).unwrap();
    let ground = Ground {
        folder: dir.path().to_owned(),
        ..ground()
    };
    let text = "[tokens]\nzone = 't.example'\nhttps_port = 8444\n\
                trusted_proxies = ['10.0.0.0/8', '::1']\n\
                [[tokens.certificates]]\ncertificate = 'a.pem'\nkey = 'a.key'\n\
                [tokens.acme]\nagree_to_terms = true\nemail = 'me@t.example'\nauthority = 'a.pem'\n";
    let config = Config::parse(text, &ground).unwrap();
    let tokens = &config.tokens;
    assert_eq!(tokens.https_port, Some(8444));
    assert_eq!(tokens.certificates[0].files.0, dir.path().join("a.pem"));
    let acme = tokens.acme.as_ref().unwrap();
    assert!(acme.directory.starts_with("https://acme-v02."));
    assert_eq!(acme.email.as_deref(), Some("me@t.example"));
    assert_eq!(tokens.trusted_proxies.len(), 2);
    let shown = show::toml(&config);
    assert_eq!(Config::parse(&shown, &ground).unwrap(), config, "{shown}");
}

#[test]
fn faults_of_the_https_channel_are_told_at_once() {
    let told = faults(
        "[tokens]\ndns_port = 0\ntrusted_proxies = ['10.0.0.0/99']\n\
         [[tokens.certificates]]\ncertificate = 'a'\n[[tokens.certificates]]\nfile = 'b'\n\
         [tokens.acme]\ndirectory = 'http://x/'\nemail = 'me'\nauthority = 'none.pem'\nname = 1\n",
    );
    let keys: Vec<&str> = told.iter().filter_map(|f| f.split(": ").next()).collect();
    assert_eq!(
        keys,
        [
            "tokens.certificates[0].key",
            "tokens.certificates[1].file",
            "tokens.acme.name",
            "tokens.acme.directory",
            "tokens.acme.email",
            "tokens.acme.agree_to_terms",
            "tokens.acme.authority",
            "tokens.trusted_proxies",
            "tokens.https_port",
            "tokens.dns_port",
            "tokens.zone",
        ],
        "{told:#?}"
    );
    assert_eq!(
        faults("[tokens]\nhttps_port = 443\n[[bird]]\n[bird.https]\nport = 443\n").len(),
        1,
        "ports clash"
    );
    let lists =
        faults("[tokens]\nhttps_port = 8444\ncertificates = 1\nacme = 2\ntrusted_proxies = 3\n");
    assert_eq!(lists.len(), 3, "{lists:#?}");
    assert_eq!(
        faults("[tokens]\nhttps_port = 8444\n[[tokens.certificates]]\n").len(),
        1
    );
}
