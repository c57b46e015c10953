//! `coalmine tokens`: the program's own command line, driven as an operator drives it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::nest::{Nest, client, have, program};

const TITLE: &str = "Canarytoken triggered";

/// Channels on 127.0.0.1, where `*.localhost` leads.
fn nest() -> Nest {
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port() - 10_000
    };
    let (http, dns) = (free(), free());
    Nest::start(&format!(
        "[tokens]\naddress = \"127.0.0.1\"\nhttp_port = {http}\ndns_port = {dns}\n"
    ))
}

/// Runs `coalmine tokens` whatever its exit code.
pub fn tokens(nest: &Nest, arguments: &[&str]) -> Output {
    Command::new(program())
        .arg("tokens")
        .args(arguments)
        .arg("--data")
        .arg(nest.data())
        .current_dir(nest.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What it prints where it ends well.
fn good(nest: &Nest, arguments: &[&str]) -> String {
    let output = tokens(nest, arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}\n{errors}");
    said
}

/// What it says where it refuses: nothing on standard output, exit code `code`.
fn refused(nest: &Nest, arguments: &[&str], code: i32) -> String {
    let output = tokens(nest, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(code), ""),
        "{arguments:?}"
    );
    String::from_utf8(output.stderr).unwrap()
}

/// The value of a row of `create` and `show`.
fn row<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(&format!("{name:<9} ")))
        .unwrap_or_else(|| panic!("no row {name} in {text}"))
}

#[test]
fn a_token_says_how_to_test_it_and_the_test_is_a_hit() {
    if !have("curl") || !have("dig") {
        return;
    }
    let nest = nest();
    let help = good(&nest, &["create", "--help"]);
    for line in [
        "doc-msword ",
        "coalmine tokens kinds KIND",
        "--with <NAME=VALUE>",
    ] {
        assert!(help.contains(line), "{help}");
    }
    for (kind, with, agent) in [
        ("http", None, "http  GET"),
        ("dns", None, "dns  A"),
        ("doc-msword", None, "http  GET"),
        (
            "fast-redirect",
            Some("browser_redirect_url=https://example.com/"),
            "http  GET",
        ),
    ] {
        let memo = format!("the {kind} one");
        let mut arguments = vec!["create", kind, "--memo", &memo];
        arguments.extend(with.iter().flat_map(|with| ["--with", with]));
        let made = good(&nest, &arguments);
        let id = row(&made, "token").to_owned();
        assert!(!row(&made, "use").is_empty());
        let command = row(&made, "test").split('`').nth(1).unwrap().to_owned();
        client("sh", &["-c", &command]);
        let hits = loop_until(|| good(&nest, &["hits", &id]), |text| text.contains("127."));
        assert!(
            hits.lines().all(|line| line.contains(agent)) && hits.contains(&id),
            "{hits}"
        );
        let shown = good(&nest, &["show", &memo]);
        assert_eq!(row(&shown, "token"), id);
        assert!(row(&shown, "touched").starts_with("once, 20"), "{shown}");
        // `show` says the same again.
        assert_eq!(row(&shown, "test"), row(&made, "test"));
    }
    let listed = good(&nest, &["list"]);
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert_eq!(
        listed.matches("  enabled      1  20").count(),
        4,
        "{listed}"
    );
}

fn loop_until(look: impl Fn() -> String, enough: impl Fn(&str) -> bool) -> String {
    let found = crate::nest::await_some(|| Some(look()).filter(|text| enough(text)));
    found.unwrap_or_else(look)
}

#[test]
fn tokens_are_named_by_beginnings_of_ids_and_words_of_memos() {
    let nest = nest();
    let make = |kind: &str, memo: &str| {
        let said = good(&nest, &["create", kind, "--memo", memo, "--json"]);
        let token: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&token["kind"], &token["memo"]),
            (&kind.into(), &memo.into())
        );
        token["canarytoken"].as_str().unwrap().to_owned()
    };
    let wiki = make("http", "Finance wiki");
    let host = make("dns", "wiki host");
    let share = make("doc-msword", "share \u{1b}[2J\nof finance");

    assert_eq!(row(&good(&nest, &["show", &wiki[..8]]), "token"), wiki);
    assert_eq!(
        row(&good(&nest, &["show", &wiki.to_uppercase()]), "token"),
        wiki
    );
    assert_eq!(row(&good(&nest, &["show", "WIKI finance"]), "token"), wiki);
    let shown: Value = serde_json::from_str(&good(&nest, &["show", "host", "--json"])).unwrap();
    assert_eq!(shown["canarytoken"], host);

    // Who means several is told which.
    let error = refused(&nest, &["disable", "wiki"], 1);
    assert!(
        error.contains("any of 2 tokens") && error.contains(&wiki) && error.contains(&host),
        "{error}"
    );
    let error = refused(&nest, &["show", "nowhere"], 1);
    assert!(error.contains("coalmine tokens list"), "{error}");
    // All or nothing.
    refused(&nest, &["disable", &host, "nowhere"], 1);
    assert_eq!(row(&good(&nest, &["show", &host]), "state"), "enabled");
    // No captured or written text steers a terminal.
    let listed = good(&nest, &["list", "--search", "share"]);
    assert!(listed.contains("share \\u{1b}[2J of finance"), "{listed:?}");

    let said = good(&nest, &["disable", "host", &share[..9]]);
    assert_eq!(said.lines().count(), 2);
    let list = |more: &[&str]| -> Vec<String> {
        let said = good(&nest, &[&["list", "--json"], more].concat());
        let of = |line: &str| serde_json::from_str::<Value>(line).unwrap()["canarytoken"].clone();
        said.lines()
            .map(|line| of(line).as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list(&["--enabled"]), [wiki.as_str()]);
    assert_eq!(list(&["--disabled"]).len(), 2);
    assert_eq!(list(&["--kind", "dns"]), [host.as_str()]);
    assert_eq!(list(&["--search", "finance"]).len(), 2);
    good(&nest, &["enable", &host]);
    assert_eq!(list(&["--enabled"]).len(), 2);
    assert!(good(&nest, &["list", "--search", "nothing"]).starts_with("No token fits"));
    refused(&nest, &["list", "--enabled", "--disabled"], 2);

    // Files.
    assert!(good(&nest, &["download", "share"]).starts_with("Saved as "));
    let error = refused(&nest, &["download", "share"], 1);
    assert!(error.contains("-o FILE"), "it overwrites nothing: {error}");
    good(&nest, &["download", "share", "-o", "x.docx"]);
    let saved = std::fs::read(nest.dir.path().join("x.docx")).unwrap();
    assert!(saved.starts_with(b"PK\x03\x04"));
    assert_eq!(
        tokens(&nest, &["download", "share", "-o", "-"]).stdout,
        saved
    );
    let error = refused(&nest, &["download", &wiki], 1);
    assert!(error.contains("tokens have no file"), "{error}");

    // Deleting.
    let asked = tokens(&nest, &["delete", &host]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("--yes"));
    if have("curl") {
        let shown = good(&nest, &["show", &wiki]);
        client("curl", &["-s", row(&shown, "url")]);
        nest.incident(TITLE, 1);
        let error = refused(&nest, &["delete", "--yes", &wiki], 1);
        assert!(error.contains("--with-incidents"), "{error}");
        good(
            &nest,
            &["delete", "--yes", "--with-incidents", &wiki, &host],
        );
        assert_eq!((list(&[]).len(), nest.count(TITLE)), (1, 0));
    }
}

#[test]
fn hits_come_as_they_happen_each_once() {
    if !have("curl") {
        return;
    }
    let nest = nest();
    let made = good(&nest, &["create", "http", "--memo", "watched"]);
    let url = row(&made, "url").to_owned();
    let mut watching = Command::new(program())
        .args(["tokens", "hits", "watched", "--follow", "--json", "--data"])
        .arg(nest.data())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for n in 1..=3 {
        client("curl", &["-s", "-A", &format!("agent/{n}"), &url]);
        let hit: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(hit["headers"]["User-Agent"], format!("agent/{n}"));
        assert_eq!(
            (&hit["src_host"], &hit["channel"]),
            (&"127.0.0.1".into(), &"http".into())
        );
        assert!(
            hit["incident"]
                .as_str()
                .unwrap()
                .starts_with("incident:canarytoken:")
        );
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    let all = good(&nest, &["hits", "watched"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(
        all.lines().next().unwrap().ends_with("\"agent/1\""),
        "{all}"
    );
}

#[test]
fn kinds_teach_and_an_unknown_one_does_too() {
    let nest = nest();
    let all = good(&nest, &["kinds"]);
    assert!(
        all.contains("fast-redirect - ") && all.contains("needs --with browser_redirect_url=..."),
        "{all}"
    );
    // Channels that are off say how to turn them on.
    let one = good(&nest, &["kinds", "kubeconfig"]);
    assert!(one.contains("set tokens.kubernetes_port"), "{one}");
    let json = good(&nest, &["kinds", "--json"]);
    for line in json.lines() {
        let kind: Value = serde_json::from_str(line).unwrap();
        let off = ["kubeconfig", "wireguard", "smtp", "mysql-dump"];
        let off = off.contains(&kind["id"].as_str().unwrap());
        assert_eq!(kind["ready"], !off, "{kind}");
    }
    assert!(json.lines().count() > 30);
    let error = refused(&nest, &["create", "wiregaurd", "--memo", "m"], 1);
    assert!(
        error.contains("Did you mean wireguard?") && error.contains("  doc-msword  "),
        "{error}"
    );
    let error = refused(&nest, &["create", "fast-redirect", "--memo", "m"], 1);
    assert!(
        error.contains("--with browser_redirect_url=URL  (needed)"),
        "{error}"
    );
    let error = refused(
        &nest,
        &["create", "http", "--memo", "m", "--with", "colour=red"],
        1,
    );
    assert!(error.contains("doesn't ask for \"colour\""), "{error}");
    let error = refused(&nest, &["create", "http", "--memo", "m", "-o", "f"], 1);
    assert!(error.contains("have no file"), "{error}");
    refused(&nest, &["create", "http"], 2);
}

#[test]
fn thousands_of_tokens_are_listed_and_found() {
    let nest = nest();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let nest = &nest;
            scope.spawn(move || {
                for n in 0..300 {
                    let memo = format!("host-{:04}", thread * 300 + n);
                    nest.post("canarytoken/create", &[("kind", "http"), ("memo", &memo)]);
                }
            });
        }
    });
    let listed = good(&nest, &["list"]);
    assert_eq!(listed.lines().count(), 2401);
    let mut memos: Vec<&str> = listed
        .lines()
        .skip(1)
        .map(|line| line.rsplit("  ").next().unwrap())
        .collect();
    memos.sort_unstable();
    memos.dedup();
    assert_eq!((memos.len(), memos[2399]), (2400, "host-2399"));
    assert_eq!(
        good(&nest, &["list", "--search", "host-23", "--json"])
            .lines()
            .count(),
        100
    );
    assert_eq!(
        row(&good(&nest, &["show", "host-1234"]), "memo"),
        "host-1234"
    );
    let error = refused(&nest, &["show", "host"], 1);
    assert!(
        error.contains("any of 2400 tokens") && error.ends_with("and 2390 more\n"),
        "{error}"
    );
}
