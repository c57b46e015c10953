//! The configuration's JSON Schema (draft 2020-12), from the declarations.

use coalmine_console::channels::LETS_ENCRYPT;
use coalmine_core::settings::Setting;
use coalmine_core::{DecoyKind, System};
use coalmine_sensor::PortscanSettings;
use serde_json::{Map, Value, json};

use super::read::https::{MAX_CERTIFICATES, MAX_PROXIES};
use super::{
    CONSOLE, MAX_BIRDS, MAX_IMAP, MAX_MAILBOXES, TOKEN_DNS_PORT, TOKEN_HTTP_PORT, most_instances,
};
use crate::personality::PERSONALITIES;

/// The schema of a configuration with these decoys.
pub fn json(kinds: &[&DecoyKind]) -> Value {
    let mut bird = Map::new();
    let text = |doc: &str| json!({"type": "string", "description": doc});
    let address = |doc: &str| json!({"type": "string", "description": doc, "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]});
    bird.insert(
        "name".to_owned(),
        text("The name it tells; made up and kept if missing."),
    );
    bird.insert("description".to_owned(), text("Where it stands."));
    bird.insert(
        "address".to_owned(),
        address("The address its services listen on."),
    );
    let ids: Vec<&str> = PERSONALITIES.iter().map(|p| p.id).collect();
    bird.insert(
        "personality".to_owned(),
        json!({"enum": ids, "default": ids.first(), "description": "Which decoys it offers when nothing else is said."}),
    );
    let systems: Vec<&str> = System::ALL.iter().map(|(word, _)| *word).collect();
    bird.insert(
        "system".to_owned(),
        json!({"enum": systems, "description": "The operating system it claims; the personality's own unless said otherwise."}),
    );
    bird.insert(
        "domain".to_owned(),
        text("The domain it claims to belong to, e.g. corp.example.net; empty: a workgroup."),
    );
    bird.insert("portscan".to_owned(), portscan());
    for kind in kinds {
        bird.insert(kind.id.to_owned(), service(kind));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Coalmine's configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "console": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "listen": {"type": "string", "default": CONSOLE, "description": "Where page and API listen."},
                    "names": {"type": "array", "items": {"type": "string"}, "default": [], "description": "More names and addresses that the certificate is for."},
                    "reverse_lookups": {"type": "boolean", "default": true, "description": "Whether names of sources are looked up in the DNS."},
                },
            },
            "tokens": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "address": address("The address both token channels listen on."),
                    "zone": text("Zone of DNS tokens and host of token URLs."),
                    "nx_zone": text("Zone of names that don't exist, for documents whose reader should find nothing; it may lie inside the other."),
                    "public_address": address("What names in the zone resolve to."),
                    "http_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": TOKEN_HTTP_PORT, "description": "Port of the HTTP channel; 0 turns it off."},
                    "https_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 0, "description": "Port of the HTTPS channel, usually 443; 0 turns it off."},
                    "dns_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": TOKEN_DNS_PORT, "description": "Port of the DNS channel; 0 turns it off."},
                    "wireguard_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 0, "description": "Port of the WireGuard channel, usually 51820; 0 turns it off."},
                    "mysql_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 0, "description": "Port of the MySQL channel, usually 3306; 0 turns it off."},
                    "smtp_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 0, "description": "Port of the mail channel, usually 25; 0 turns it off."},
                    "kubernetes_port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 0, "description": "Port of the Kubernetes channel, usually 6443; 0 turns it off."},
                    "geoip_database": text("A database of places (.mmdb); events then say where sources are."),
                    "tor_list": text("A file with addresses of Tor's exits, a line each; events then say whether sources are among them."),
                    "vpn_list": text("The same of VPNs."),
                    "proxy_list": text("The same of open proxies."),
                    "imap": imap(),
                    "certificates": {
                        "type": "array",
                        "maxItems": MAX_CERTIFICATES,
                        "description": "Certificates of the HTTPS channel; clients see the one for the name they ask for, and files that change are read again.",
                        "items": {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["certificate", "key"],
                            "properties": {
                                "certificate": text("PEM file with a certificate chain."),
                                "key": text("PEM file with its private key."),
                            },
                        },
                    },
                    "acme": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["agree_to_terms"],
                        "description": "Where the HTTPS channel asks for certificates of the zone and all names below it, and of the owner's own domains; the DNS channel proves that they are yours.",
                        "properties": {
                            "directory": {"type": "string", "format": "uri", "default": LETS_ENCRYPT, "description": "URL of the certificate authority's directory (RFC 8555)."},
                            "email": {"type": "string", "format": "email", "description": "Where the authority may write to."},
                            "agree_to_terms": {"const": true, "description": "That you agree to the authority's terms of service."},
                            "authority": text("PEM file with whom to trust that the directory is the authority's; missing: whom this system trusts."),
                        },
                    },
                    "trusted_proxies": {
                        "type": "array",
                        "maxItems": MAX_PROXIES,
                        "items": {"type": "string"},
                        "default": [],
                        "description": "Proxies before the web channels, as addresses or networks: X-Forwarded-For, X-Real-IP and X-Forwarded-Proto are believed of them alone.",
                    },
                },
            },
            "cloud": super::cloud::schema(),
            "bird": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_BIRDS,
                "items": {"type": "object", "additionalProperties": false, "properties": bird},
            },
        },
    })
}

/// `[[tokens.imap]]`.
fn imap() -> Value {
    let text = |doc: &str| json!({"type": "string", "description": doc});
    let mailbox = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["address"],
        "properties": {
            "address": text("Its mail address."),
            "name": text("Its owner's name."),
            "user": text("The user name that the server knows it by; its address if missing."),
            "password": text("Its own password; without one, the server's user logs in for it."),
            "password_file": text("A file whose first line is its password, read at each use."),
        },
    });
    json!({
        "type": "array",
        "maxItems": MAX_IMAP,
        "items": {
            "type": "object",
            "description": "An IMAP server, in whose mailboxes mails of tokens are put.",
            "additionalProperties": false,
            "required": ["host"],
            "properties": {
                "host": text("Its name or address; its certificate must be for it."),
                "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 993, "description": "Its port; 143 is usual without TLS."},
                "tls": {"type": "boolean", "default": true, "description": "Whether TLS begins at once. Without it, passwords are sent in the clear."},
                "ca_file": text("A PEM file with the authorities to trust, in place of the system's."),
                "folder": {"type": "string", "default": "INBOX", "description": "The folder that takes mails, made where it is missing."},
                "seen": {"type": "boolean", "default": true, "description": "Whether mails look as if they had been read."},
                "user": text("A master user, who may act as the owner of every mailbox (SASL PLAIN)."),
                "password": text("Its password."),
                "password_file": text("A file whose first line is its password, read at each use."),
                "mailboxes": {"type": "array", "maxItems": MAX_MAILBOXES, "items": mailbox, "description": "Its mailboxes."},
            },
        },
    })
}

fn portscan() -> Value {
    let mut properties = Map::new();
    properties.insert(
        "enabled".to_owned(),
        json!({"type": "boolean", "description": "Whether port scans are told of; naming it is enough."}),
    );
    settings(PortscanSettings::declared(), &mut properties);
    json!({
        "type": "object",
        "description": "What counts as a port scan of the bird.",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn settings(declared: Vec<Setting>, properties: &mut Map<String, Value>) {
    for setting in declared {
        let mut schema = setting.schema;
        if let Value::Object(schema) = &mut schema {
            schema.insert("default".to_owned(), setting.default);
            schema.insert("description".to_owned(), setting.doc.trim().into());
        }
        properties.insert(setting.name.to_owned(), schema);
    }
}

fn service(kind: &DecoyKind) -> Value {
    let mut properties = Map::new();
    properties.insert(
        "enabled".to_owned(),
        json!({"type": "boolean", "description": "Whether it's offered; naming it is enough."}),
    );
    properties.insert(
        "port".to_owned(),
        json!({"type": "integer", "minimum": 1, "maximum": 65535, "default": kind.port}),
    );
    if kind.instances {
        properties.insert(
            "name".to_owned(),
            json!({"type": "string", "description": "Name of the instance."}),
        );
    }
    if kind.tls.is_some() {
        for (key, doc) in [
            ("certificate", "PEM file with your own certificate chain."),
            ("key", "PEM file with its private key."),
        ] {
            properties.insert(
                key.to_owned(),
                json!({"type": "string", "description": doc}),
            );
        }
    }
    settings((kind.settings)(), &mut properties);
    let one = json!({
        "type": "object",
        "description": kind.doc.trim(),
        "additionalProperties": false,
        "properties": properties,
    });
    if kind.instances {
        json!({"anyOf": [one, {"type": "array", "minItems": 1, "maxItems": most_instances(kind), "items": one}]})
    } else {
        one
    }
}
