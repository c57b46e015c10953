//! A configuration as TOML with comments, such that reading it gives the same configuration. Secrets
//! alone are left empty, which reading refuses: what is shown ends in terminals, tickets and copies.
//! Credentials that decoys hold out are none.

use std::fmt::Write;
use std::path::Path;

use coalmine_console::channels::SourceFiles;
use coalmine_console::mailboxes::{ImapServer, Password};
use coalmine_core::settings::Setting;
use coalmine_sensor::PortscanSettings;
use serde_json::Value;

use super::{BirdPart, Config, ServicePart, TokensPart};

/// `config` as TOML.
pub fn toml(config: &Config) -> String {
    let mut text = String::from(
        "# Coalmine's configuration in effect: what the file says, and the defaults.\n\n",
    );
    text.push_str(&console(config));
    text.push_str(&tokens(config));
    for server in &config.tokens.imap {
        text.push_str(&imap(server));
    }
    text.push_str(&super::cloud::toml(&config.cloud));
    for bird in &config.birds {
        text.push_str(&self::bird(bird));
    }
    text
}

fn console(config: &Config) -> String {
    let part = &config.console;
    format!(
        "[console]\n\
         # Where page and API listen.\nlisten = {}\n\
         # More names and addresses that the certificate is for.\nnames = {}\n\
         # Whether names of sources are looked up in the DNS.\nreverse_lookups = {}\n\n",
        value(&part.listen.to_string().into()),
        value(&part.names.clone().into()),
        part.reverse_lookups,
    )
}

fn tokens(config: &Config) -> String {
    let part = &config.tokens;
    format!(
        "[tokens]\n\
         # The address both token channels listen on.\naddress = {}\n\
         # Zone of DNS tokens and host of token URLs: delegate it to public_address.\nzone = {}\n\
         # Zone of names that don't exist, for documents whose reader should find nothing.\n{}\n\
         # What names in the zone resolve to.\npublic_address = {}\n\
         # 0 turns a channel off.\nhttp_port = {}\ndns_port = {}\n\
         # These are off unless they're named; usual ports are 443, 51820, 3306, 25 and 6443.\n\
         https_port = {}\n\
         wireguard_port = {}\nmysql_port = {}\nsmtp_port = {}\nkubernetes_port = {}\n{}{}",
        value(&part.address.to_string().into()),
        value(&part.zone.clone().into()),
        match &part.nx_zone {
            Some(zone) => format!("nx_zone = {}", value(&zone.clone().into())),
            None => "# nx_zone = \"nx.example.com\"".to_owned(),
        },
        value(&part.public_address.to_string().into()),
        part.http_port.unwrap_or(0),
        part.dns_port.unwrap_or(0),
        part.https_port.unwrap_or(0),
        part.wireguard_port.unwrap_or(0),
        part.mysql_port.unwrap_or(0),
        part.smtp_port.unwrap_or(0),
        part.kubernetes_port.unwrap_or(0),
        sources(&part.sources),
        https(part),
    )
}

fn https(part: &TokensPart) -> String {
    let proxies = part.trusted_proxies.iter().map(ToString::to_string);
    let mut text = format!(
        "# Proxies before the web channels whose word on the source counts.\ntrusted_proxies = {}\n",
        value(&proxies.collect::<Vec<_>>().into())
    );
    let text_of = |path: &Path| value(&path.display().to_string().into());
    for certificate in &part.certificates {
        let (chain, key) = &certificate.files;
        let _ = writeln!(
            text,
            "\n# A certificate of the HTTPS channel.\n[[tokens.certificates]]\n\
             certificate = {}\nkey = {}",
            text_of(chain),
            text_of(key)
        );
    }
    let Some(acme) = &part.acme else {
        text.push_str(
            "# [tokens.acme] with agree_to_terms = true asks an authority for certificates.\n",
        );
        return text;
    };
    let _ = writeln!(
        text,
        "\n# Where the HTTPS channel asks for certificates.\n[tokens.acme]\ndirectory = {}\n\
         # That you agree to the authority's terms of service.\nagree_to_terms = true",
        value(&acme.directory.clone().into())
    );
    if let Some(email) = &acme.email {
        let _ = writeln!(text, "email = {}", value(&email.clone().into()));
    }
    if let Some(file) = &acme.authority {
        let _ = writeln!(text, "authority = {}", text_of(file));
    }
    text
}

fn sources(files: &SourceFiles) -> String {
    let mut text = "# Files about the addresses of those who touch tokens.\n".to_owned();
    for (key, file) in [
        ("geoip_database", &files.geoip),
        ("tor_list", &files.tor),
        ("vpn_list", &files.vpn),
        ("proxy_list", &files.proxy),
    ] {
        let _ = match file {
            Some(file) => writeln!(
                text,
                "{key} = {}",
                value(&file.display().to_string().into())
            ),
            None => writeln!(text, "# {key} = \"\""),
        };
    }
    text
}

/// A secret that is set, as a comment and a pair.
pub fn hidden(key: &str) -> (String, String) {
    let comment = format!("# {key} is set and not shown: write it in, or name {key}_file.\n");
    (comment, format!("{key} = \"\""))
}

/// What reading says of a secret that stands as [`hidden`] left it.
pub fn still_hidden(key: &str) -> String {
    format!("is empty; write it in, or name {key}_file")
}

fn imap(server: &ImapServer) -> String {
    let text = |text: &str| value(&text.into());
    let password = |password: &Password| match password {
        Password::Text(_) => hidden("password"),
        Password::File(path) => {
            let path = text(&path.display().to_string());
            (String::new(), format!("password_file = {path}"))
        }
    };
    let mut shown = format!(
        "\n# An IMAP server, in whose mailboxes mails of tokens are put.\n[[tokens.imap]]\n\
         host = {}\nport = {}\ntls = {}\nfolder = {}\nseen = {}\n",
        text(&server.host),
        server.port,
        server.tls,
        text(&server.folder),
        server.seen,
    );
    if let Some(file) = &server.ca_file {
        let _ = writeln!(shown, "ca_file = {}", text(&file.display().to_string()));
    }
    if let Some(master) = &server.master {
        let (comment, own) = password(&master.password);
        let _ = writeln!(shown, "user = {}\n{comment}{own}", text(&master.user));
    }
    shown.push_str("mailboxes = [\n");
    for mailbox in &server.mailboxes {
        let own = mailbox.password.as_ref().map(password);
        let (comment, own) = own.map_or_else(Default::default, |(comment, own)| {
            (comment, format!(", {own}"))
        });
        let _ = writeln!(
            shown,
            "  {comment}  {{ address = {}, name = {}, user = {}{own} }},",
            text(&mailbox.address),
            text(&mailbox.name),
            text(&mailbox.user),
        );
    }
    shown.push_str("]\n");
    shown
}

fn bird(bird: &BirdPart) -> String {
    let domain = bird.machine.domain.as_ref().map(|domain| &*domain.dns);
    let mut text = format!(
        "\n[[bird]]\nname = {}\ndescription = {}\naddress = {}\n# {}\npersonality = {}\n\
         # The operating system it claims.\nsystem = {}\n\
         # The domain it claims to belong to; empty: a workgroup.\ndomain = {}\n",
        value(&bird.name.clone().into()),
        value(&bird.description.clone().into()),
        value(&bird.address.to_string().into()),
        bird.personality.doc,
        value(&bird.personality.id.into()),
        value(&bird.machine.system.id().into()),
        value(&domain.unwrap_or_default().into()),
    );
    let _ = writeln!(
        text,
        "\n# Port scans\n[bird.portscan]\nenabled = {}",
        bird.portscan.enabled
    );
    let watch = &bird.portscan.settings;
    let given = [
        watch.ports,
        watch.window_seconds,
        watch.slow_ports,
        watch.slow_window_seconds,
    ];
    for (setting, given) in PortscanSettings::declared().iter().zip(given) {
        settings_line(&mut text, setting, &given.into());
    }
    for service in &bird.services {
        text.push_str(&self::service(service));
    }
    text
}

/// A setting with what it's for and what it takes.
fn settings_line(text: &mut String, setting: &Setting, given: &Value) {
    for line in setting.doc.lines() {
        let _ = writeln!(text, "#{line}");
    }
    let _ = writeln!(
        text,
        "# Takes {}.\n{} = {}",
        setting.takes,
        key(setting.name),
        value(given)
    );
}

fn service(service: &ServicePart) -> String {
    let kind = service.kind;
    let mut text = format!("\n# {}\n", kind.title);
    let _ = if kind.instances {
        writeln!(
            text,
            "[[bird.{}]]\nname = {}",
            kind.id,
            value(&service.name.clone().into())
        )
    } else {
        writeln!(text, "[bird.{}]", kind.id)
    };
    let _ = writeln!(
        text,
        "enabled = {}\nport = {}",
        service.enabled, service.port
    );
    if let Some(certificate) = &service.certificate {
        let file = |path: &Path| value(&path.display().to_string().into());
        let _ = writeln!(
            text,
            "certificate = {}\nkey = {}",
            file(&certificate.files.0),
            file(&certificate.files.1)
        );
    }
    for setting in (kind.settings)() {
        let given = service
            .settings
            .get(setting.name)
            .unwrap_or(&setting.default);
        settings_line(&mut text, &setting, given);
    }
    text
}

/// Dotted names are quoted: `a` and `a.b` may both be settings, which TOML's dotted keys can't say.
fn key(name: &str) -> String {
    if name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        name.to_owned()
    } else {
        value(&name.into())
    }
}

fn value(json: &Value) -> String {
    match json {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{} = {}", key(k), value(v)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Null => "\"\"".to_owned(),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        other => other.to_string(),
    }
}
