//! What to do with a token, and how to try it.

use std::net::SocketAddr;
use std::path::Path;

use coalmine_client::Token;
use coalmine_core::TokenKind;

use super::{kinds, one_line};
use crate::folder::Run;

/// Where to put it, how to touch it, where to see that. `file` is the name of its file, `saved`
/// where that was just saved.
pub fn words(
    token: &Token,
    known: Option<&TokenKind>,
    run: &Run,
    file: Option<&str>,
    saved: Option<&Path>,
) -> String {
    let id = &token.canarytoken;
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(known) = known {
        rows.push(("use", place(known)));
    }
    match (saved, file) {
        (Some(saved), _) => rows.push(("file", format!("saved as {}", saved.display()))),
        (None, Some(name)) => rows.push((
            "file",
            format!("{name}: coalmine tokens download {id} -o {name}"),
        )),
        (None, None) => {}
    }
    if saved.is_none() && has_texts(token) {
        rows.push(("texts", format!("coalmine tokens show {id}")));
    }
    if let Some(known) = known {
        let saved = saved.and_then(|saved| saved.file_name()?.to_str());
        rows.push(("test", test(token, known, saved.or(file), run)));
    }
    rows.push(("hits", format!("coalmine tokens hits {id} --follow")));
    let rows: Vec<String> = rows
        .iter()
        .map(|(name, text)| format!("{name:<9} {text}"))
        .collect();
    format!("\n{}", rows.join("\n"))
}

/// The sentences that say where to put it.
fn place(kind: &TokenKind) -> String {
    let lines: Vec<&str> = kind
        .doc
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let says_where = |line: &&&str| {
        let mut words = line.split(|c: char| !c.is_alphabetic());
        words.any(|word| ["Put", "Place", "Leave", "Stick", "Import"].contains(&word))
    };
    let place = lines.iter().find(says_where).or(lines.get(1));
    kinds::joined(place.or(lines.first()).copied().unwrap_or_default())
}

fn has_texts(token: &Token) -> bool {
    let renders = token.more.get("renders").and_then(|r| r.as_object());
    renders.is_some_and(|renders| !renders.is_empty())
}

/// How to trip it on purpose, with its own values and the ports of this machine.
fn test(token: &Token, known: &TokenKind, file: Option<&str>, run: &Run) -> String {
    let mut text = String::new();
    let mut rest = known.trial;
    while let Some((before, (name, after))) = rest
        .split_once('{')
        .and_then(|(before, more)| Some((before, more.split_once('}')?)))
    {
        text.push_str(before);
        match value(token, name, file) {
            Some(value) => text.push_str(&one_line(&value)),
            // Braces of the command's own.
            None => text.push_str(&format!("{{{name}}}")),
        }
        rest = after;
    }
    text.push_str(rest);
    let ports = &run.tokens;
    let Some(local) = ports.address else {
        return text;
    };
    // What works before the zone leads here.
    if let Some(port) = ports.dns_port {
        text = text.replace("`dig ", &format!("`dig @{local} -p {port} "));
    }
    if let Some(port) = ports.smtp_port {
        let server = SocketAddr::new(local, port);
        text = text.replace("`swaks ", &format!("`swaks --server {server} "));
    }
    text
}

fn value(token: &Token, name: &str, file: Option<&str>) -> Option<String> {
    match name {
        "file" => file.map(str::to_owned),
        "url" => Some(token.url.clone()),
        "hostname" => Some(token.hostname.clone()),
        _ => {
            let own = token.more.get(name);
            let value = own.or_else(|| token.more.get("renders")?.get(name))?;
            value.as_str().map(str::to_owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry;

    fn run() -> Run {
        serde_json::from_value(json!({
            "console_url": "", "ca_file": "", "client_config": "", "page_password_file": "",
            "birds": [], "pid": 1,
            "tokens": {"zone": "t.example", "address": "127.0.0.1", "http_port": 8000,
                "dns_port": 10053},
        }))
        .unwrap()
    }

    #[test]
    fn every_kind_says_where_to_put_it_and_how_to_test_it() {
        for kind in registry::tokens() {
            let token: Token = serde_json::from_value(json!({
                "canarytoken": "4ylq9w1xk0d3v5m7s2b8n6c1z", "kind": kind.id, "memo": "m",
                "enabled": true, "url": "http://t.example/x", "hostname": "x.t.example",
                "triggered_count": 0, "renders": {"address": "x@t.example"},
            }))
            .unwrap();
            let text = words(&token, Some(kind), &run(), Some("plan.txt"), None);
            for row in ["use  ", "file  ", "test  ", "texts  ", "hits  "] {
                let mut lines = text.lines().filter(|line| line.starts_with(row));
                let line = lines
                    .next()
                    .unwrap_or_else(|| panic!("{}: {text}", kind.id));
                assert!(line.len() > 25 && lines.next().is_none(), "{line}");
            }
            let test = text.lines().find(|line| line.starts_with("test ")).unwrap();
            assert!(
                !["{url}", "{hostname}", "{file}"]
                    .iter()
                    .any(|name| test.contains(name)),
                "{test}"
            );
            if kind.id == "wireguard" {
                let saved = Some(Path::new("/tmp/x/wg3.conf"));
                let saved = words(&token, Some(kind), &run(), Some("wg0.conf"), saved);
                assert!(saved.contains("wg-quick up ./wg3.conf"), "{saved}");
                assert!(test.contains("wg-quick up ./plan.txt"), "{test}");
            }
            if kind.id == "dns" {
                assert!(
                    text.contains("dig @127.0.0.1 -p 10053 x.t.example"),
                    "{text}"
                );
            }
        }
    }
}
