use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Channel, Sessions};
use coalmine_core::suite::Talk;
use coalmine_core::{Context, Timestamp};
use serde_json::Value;

use super::site::{File, Site};
use super::{KIND, Server};

/// Conversations held with nginx 1.22.1-9+deb12u of Debian over [`reference`], one a line. In an
/// input, `["a", 9000]` stands for 9000 times `a`; every `Date` is masked.
const RECORDED: &str = include_str!("testdata/nginx-1.22.1.jsonl");

/// The site that the real server had.
fn reference() -> Site {
    let mut site = Site {
        skin_name: "reference",
        skin: None,
        words: Vec::new(),
        server: "nginx/1.22.1".to_owned(),
        fields: Vec::new(),
        tells_loads: false,
        realms: vec![("/private/".to_owned(), "Restricted".to_owned())],
        missing: None,
        files: BTreeMap::new(),
        directories: BTreeSet::new(),
        scans: Default::default(),
    };
    let html = "text/html";
    for (path, content_type, body) in [
        (
            "/index.html",
            html,
            "<!doctype html><title>front</title><p>The front page of a small site.</p>\n",
        ),
        ("/style.css", "text/css", "body{color:#123}\n"),
        (
            "/assets/app.js",
            "application/javascript",
            "console.log(1)\n",
        ),
        (
            "/docs/index.html",
            html,
            "<!doctype html><title>docs</title>\n",
        ),
        ("/private/a.txt", "text/plain", "secret\n"),
    ] {
        let file = File {
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
            modified: Timestamp::from_secs(1_700_000_000),
        };
        site.add(path, file);
    }
    site
}

#[test]
fn conversations_are_those_of_the_real_server() {
    let server = Server {
        site: Arc::new(reference()),
    };
    let mut differing = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let local = "127.0.0.1:18080".parse().unwrap();
        let on_tls = recorded["clear_on_tls"] == true;
        let context = Context {
            local,
            channel: if on_tls {
                Channel::ClearOnTls
            } else {
                Channel::Clear
            },
            ..Context::sample()
        };
        let mut talk = Talk::open(&server as &dyn Sessions, &context, KIND.limits.input);
        let mut said = Vec::new();
        for segment in recorded["in"].as_array().unwrap() {
            said.extend(talk.say(segment_bytes(segment)));
            said.extend(talk.settle());
        }
        said.extend(talk.advance(Duration::from_millis(1_200)));
        let expected = bytes(recorded["out"].as_str().unwrap());
        let said = masked(&String::from_utf8_lossy(&said));
        let expected = String::from_utf8_lossy(&expected).into_owned();
        count += 1;
        if said != expected || talk.is_closed() != (recorded["closed"] == true) {
            differing.push(format!(
                "{}: closed {}\n  said {said:?}\n  real {expected:?}",
                recorded["name"],
                talk.is_closed()
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} of {count} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
    assert!(count > 250);
}

/// `text` with every date of the conversation's first minute masked.
fn masked(text: &str) -> String {
    let start = Context::sample().now;
    (0..60).fold(text.to_owned(), |text, second| {
        let date = super::reply::date(start.plus(Duration::from_secs(second)));
        text.replace(&format!("Date: {date}"), "Date: DATE")
    })
}

fn segment_bytes(segment: &Value) -> Vec<u8> {
    match segment {
        Value::String(text) => bytes(text),
        Value::Array(parts) => parts
            .iter()
            .flat_map(|part| match part {
                Value::Array(run) => bytes(run[0].as_str().unwrap())
                    .repeat(usize::try_from(run[1].as_u64().unwrap()).unwrap()),
                part => bytes(part.as_str().unwrap()),
            })
            .collect(),
        other => panic!("{other}"),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[test]
fn holds_what_every_kind_holds() {
    coalmine_core::suite::check(&KIND);
}
