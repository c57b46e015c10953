//! Our answers against the documented examples: every documented key is there and has its type.
//!
//! `tests/data/shapes.json` holds the documented answers with every value replaced by its type;
//! fields of single token kinds and event kinds are left out, `*` stands for ids as keys.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_console::now;
use serde_json::Value;

use crate::bench::{Bench, node};

#[tokio::test]
async fn every_documented_key_is_answered_with_its_type() {
    let shapes: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("../data/shapes.json")).unwrap();
    let bench = Bench::new().await;
    bench.bird(node(1), "ExampleBird").await;
    let bird = node(1).to_string();
    let made = bench
        .post(
            "canarytoken/create",
            &[("kind", "http"), ("memo", "Example Memo")],
        )
        .await;
    let token = made["canarytoken"]["canarytoken"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.touch(&token, "198.51.100.9", now()).await;
    bench.login(node(1), "198.51.100.1", now()).await;
    let by_bird =
        bench.get("incidents/all", &[("node_id", &bird)]).await["incidents"][0]["id"].clone();
    let by_bird = by_bird.as_str().unwrap().to_owned();
    let flock = bench
        .post("flock/create", &[("name", "Example Flock Name")])
        .await;
    let flock = flock["flock_id"].as_str().unwrap().to_owned();
    let factory = bench
        .post(
            "canarytoken/create_factory",
            &[("flock_id", "flock:default"), ("memo", "m")],
        )
        .await;
    let factory = factory["factory_auth"].as_str().unwrap().to_owned();
    let mint = [
        ("kind", "http"),
        ("memo", "m"),
        ("factory_auth", factory.as_str()),
    ];
    let one = [("canarytoken", token.as_str())];
    let page = [("limit", "1")];
    let default = [("flock_id", "flock:default"), ("memo", "m"), ("name", "n")];
    // In an order in which each call finds what it needs.
    let calls: &[(&str, &[(&str, &str)])] = &[
        ("GET ping", &[]),
        ("GET devices/all", &[]),
        ("GET devices/live", &[]),
        (
            "GET device/info",
            &[("node_id", &bird), ("settings", "true")],
        ),
        ("GET device/getinfo", &[("node_id", &bird)]),
        ("GET incidents/all", &page),
        ("GET incidents/unacknowledged", &page),
        ("GET incidents/search", &[("node_id", &bird)]),
        ("GET incident/fetch", &[("incident", &by_bird)]),
        ("POST incident/acknowledge", &[("incident", &by_bird)]),
        ("GET incidents/acknowledged", &page),
        ("POST incident/unacknowledge", &[("incident", &by_bird)]),
        ("POST incidents/acknowledge", &[]),
        ("POST incidents/unacknowledge", &[]),
        ("POST incidents/acknowledge", &[]),
        ("DELETE incident/delete", &[("incident", &by_bird)]),
        ("DELETE incidents/delete", &[]),
        ("POST incidents/delete", &[]),
        ("GET canarytokens/list", &[]),
        ("GET canarytokens/fetch", &[]),
        ("POST canarytoken/create", &mint),
        ("POST canarytoken/factory/create", &mint),
        ("GET canarytokens/paginate", &page),
        ("GET canarytokens/search", &page),
        ("GET canarytoken/fetch", &one),
        ("POST canarytoken/disable", &one),
        ("POST canarytoken/enable", &one),
        (
            "POST canarytoken/update",
            &[("canarytoken", &token), ("memo", "Updated")],
        ),
        ("POST canarytoken/create_factory", &default),
        ("GET settings", &[]),
        (
            "POST settings/whitelist_ip_port",
            &[("src_ip", "192.0.2.10")],
        ),
        ("GET settings/is_ip_ignored", &[("src_ip", "192.0.2.10")]),
        (
            "GET settings/is_ip_whitelisted",
            &[("src_ip", "192.0.2.10")],
        ),
        ("GET audit_trail/fetch", &page),
        ("POST flock/create", &default),
        (
            "POST flock/rename",
            &[("flock_id", &flock), ("name", "Renamed")],
        ),
        ("GET flock/list", &default),
        ("GET flocks/filter", &[("filter_str", "flock")]),
        ("GET flocks/list", &[]),
        ("GET flocks/summary", &[]),
        ("POST flock/delete", &[("flock_id", &flock)]),
        ("POST canarytoken/delete", &one),
    ];
    let mut faults = Vec::new();
    for (name, params) in calls {
        let (method, path) = name.split_once(' ').unwrap();
        let got = bench.call(method, path, params).await;
        assert_eq!(got.status, 200, "{name}: {}", got.text);
        compare(&shapes[*name], &got.json, name, &mut faults);
    }
    bench
        .console
        .store
        .devices()
        .mark_dead(node(1), now())
        .await
        .unwrap();
    let dead = bench.get("devices/dead", &[]).await;
    compare(
        &shapes["GET devices/dead"],
        &dead,
        "GET devices/dead",
        &mut faults,
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let called: BTreeSet<&str> = calls
        .iter()
        .map(|(name, _)| *name)
        .chain(["GET devices/dead"])
        .collect();
    let documented: BTreeSet<&str> = shapes.keys().map(String::as_str).collect();
    assert_eq!(called, documented);
}

fn compare(shape: &Value, ours: &Value, place: &str, faults: &mut Vec<String>) {
    match (shape, ours) {
        (Value::Object(keys), Value::Object(object)) => {
            for (key, shape) in keys {
                let place = format!("{place}.{key}");
                if key == "*" {
                    for value in object.values() {
                        compare(shape, value, &place, faults);
                    }
                } else if let Some(value) = object.get(key) {
                    compare(shape, value, &place, faults);
                } else {
                    faults.push(format!("{place} is missing"));
                }
            }
        }
        (Value::Array(shapes), Value::Array(list)) => {
            if let (Some(shape), Some(value)) = (shapes.first(), list.first()) {
                compare(shape, value, place, faults);
            }
        }
        (Value::String(shape), value) => {
            let ours = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            if shape != "null" && ours != "null" && shape != ours {
                faults.push(format!("{place} is a {ours}, documented a {shape}"));
            }
        }
        _ => faults.push(format!("{place}: {ours}")),
    }
}
