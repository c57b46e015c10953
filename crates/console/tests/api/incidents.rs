//! Feeds, paging, single incidents, search, history, actions.

use std::time::Duration;

use coalmine_console::now;
use coalmine_core::Timestamp;
use serde_json::{Value, json};

use crate::bench::{Bench, node};

/// Five incidents of five sources, a minute apart, the first of two events.
async fn busy() -> (Bench, Timestamp) {
    let bench = Bench::new().await;
    bench.bird(node(1), "ExampleBird").await;
    let start = Timestamp::from_secs(now().secs() - 86_400);
    bench.login(node(1), "198.51.100.1", start).await;
    bench
        .login(node(1), "198.51.100.1", start.plus(Duration::from_secs(2)))
        .await;
    for n in 2..=5 {
        let at = start.plus(Duration::from_secs(60 * n));
        bench.login(node(1), &format!("198.51.100.{n}"), at).await;
    }
    (bench, start)
}

fn ids(answer: &Value) -> Vec<i64> {
    let list = answer["incidents"].as_array().unwrap();
    list.iter()
        .map(|i| i["updated_id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_feed_is_ascending_complete_and_strictly_typed() {
    let (bench, start) = busy().await;
    let all = bench.get("incidents/all", &[]).await;
    assert_eq!(all["feed"], "All Incidents");
    let numbers = ids(&all);
    assert_eq!(numbers.len(), 5);
    assert!(numbers.is_sorted());
    assert_eq!(all["max_updated_id"], *numbers.last().unwrap());
    assert!(all.get("cursor").is_none());
    let first = &all["incidents"][0];
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("incident:sshlogin:"), "{id}");
    assert!(
        id.ends_with(&format!(":198.51.100.1:{}", start.secs())),
        "{id}"
    );
    assert_eq!(first["hash_id"].as_str().unwrap().len(), 32);
    assert_eq!(first["summary"], "SSH Login Attempt");
    assert!(first["updated_time"].is_string());
    let description = &first["description"];
    assert_eq!(description["acknowledged"], "False");
    assert_eq!(description["events_count"], "2");
    assert_eq!(
        description["events_list"],
        format!("{},{}", start.secs(), start.secs() + 2)
    );
    assert_eq!(description["flock_id"], "flock:default");
    assert_eq!(description["flock_name"], "Default Flock");
    assert_eq!(description["matched_annotations"], json!({}));
    assert_eq!(description["dst_port"], "22");
    assert_eq!(description["src_port"], "50000");
    assert_eq!(description["node_id"], node(1).to_string());
    assert_eq!(description["name"], "ExampleBird");
    assert_eq!(description["local_time"], start.format("%Y-%m-%d %H:%M:%S"));
    assert_eq!(
        description["events"][0],
        json!({
            "USERNAME": "root", "PASSWORD": "hunter2",
            "timestamp": start.secs(), "timestamp_std": start.std(),
        })
    );
    for (name, value) in description.as_object().unwrap() {
        let native = matches!(name.as_str(), "events" | "matched_annotations");
        assert!(native || value.is_string(), "{name}: {value}");
    }
}

#[tokio::test]
async fn an_empty_feed_has_no_max_updated_id() {
    let bench = Bench::new().await;
    let all = bench
        .get("incidents/unacknowledged", &[("limit", "5")])
        .await;
    assert_eq!(all["incidents"], json!([]));
    assert!(all.get("max_updated_id").is_none());
    let nulls = json!({"next": null, "next_link": null, "prev": null, "prev_link": null});
    assert_eq!(all["cursor"], nulls);
}

#[tokio::test]
async fn filters_narrow_a_feed() {
    let (bench, start) = busy().await;
    let at = |secs: i64| Timestamp::from_secs(start.secs() + secs).format("%Y-%m-%d-%H:%M:%S");
    let all = ids(&bench.get("incidents/all", &[]).await);
    let (second, third) = (all[1].to_string(), at(180));
    let none = node(9).to_string();
    let one = node(1).to_string();
    let cases: &[(&str, &str, usize)] = &[
        ("incidents_since", &second, 3),
        ("newer_than", &third, 2),
        ("older_than", &third, 2),
        ("node_id", &one, 5),
        ("node_id", &none, 0),
        ("flock_id", "flock:default", 5),
    ];
    for (name, value, count) in cases {
        let got = bench.get("incidents/all", &[(name, value)]).await;
        assert_eq!(ids(&got).len(), *count, "{name}={value}");
    }
    let got = bench.get("incidents/all", &[("event_limit", "1")]).await;
    let description = &got["incidents"][0]["description"];
    assert_eq!(description["events"].as_array().unwrap().len(), 1);
    assert_eq!(description["events_count"], "2");
    let got = bench
        .get("incidents/all", &[("tz", "Africa/Johannesburg")])
        .await;
    let std = got["incidents"][0]["description"]["created_std"]
        .as_str()
        .unwrap();
    assert!(std.ends_with(" SAST+0200"), "{std}");
}

#[tokio::test]
async fn pages_follow_each_other_and_lead_back() {
    let (bench, _) = busy().await;
    let all = ids(&bench.get("incidents/all", &[]).await);
    let first = bench.get("incidents/all", &[("limit", "2")]).await;
    assert_eq!(ids(&first), all[..2]);
    assert_eq!(first["max_updated_id"], all[1]);
    assert_eq!(first["cursor"]["prev"], Value::Null);
    let next = first["cursor"]["next"].as_str().unwrap();
    // A limit beside a cursor is ignored.
    let second = bench
        .get("incidents/all", &[("cursor", next), ("limit", "1")])
        .await;
    assert_eq!(ids(&second), all[2..4]);
    let next = second["cursor"]["next"].as_str().unwrap();
    // What happens meanwhile isn't on a later page.
    bench.login(node(1), "198.51.100.77", now()).await;
    let third = bench.get("incidents/all", &[("cursor", next)]).await;
    assert_eq!(ids(&third), all[4..]);
    assert_eq!(third["cursor"]["next"], Value::Null);
    let prev = third["cursor"]["prev"].as_str().unwrap();
    let back = bench.get("incidents/all", &[("cursor", prev)]).await;
    assert_eq!(ids(&back), all[2..4]);
    let prev = back["cursor"]["prev"].as_str().unwrap();
    let back = bench.get("incidents/all", &[("cursor", prev)]).await;
    assert_eq!(ids(&back), all[..2]);
    assert_eq!(back["cursor"]["prev"], Value::Null);
    // Another feed's cursor is refused.
    let got = bench
        .call("GET", "incidents/acknowledged", &[("cursor", next)])
        .await;
    assert_eq!(got.status, 400);
}

#[tokio::test]
async fn next_links_work_alone_and_hold_the_key_only_if_it_was_a_parameter() {
    use axum::body::Body;
    use axum::http::Request;
    let (bench, _) = busy().await;
    let by_header = bench.get("incidents/all", &[("limit", "2")]).await;
    let link = by_header["cursor"]["next_link"].as_str().unwrap();
    assert!(
        link.starts_with("https://console.test:8443/api/v1/incidents/all?cursor="),
        "{link}"
    );
    assert!(!link.contains("auth_token"));
    let id = node(1).to_string();
    let uri = format!(
        "/api/v1/incidents/all?limit=2&node_id={id}&auth_token={}",
        bench.key
    );
    let request = Request::builder()
        .uri(uri)
        .header("host", "console.test:8443");
    let got = bench.send(request.body(Body::empty()).unwrap()).await;
    let link = got.json["cursor"]["next_link"].as_str().unwrap();
    assert!(
        link.contains(&format!("node_id={id}")) && link.contains("auth_token="),
        "{link}"
    );
    let request = Request::builder().uri(link.strip_prefix("https://console.test:8443").unwrap());
    let got = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(ids(&got.json).len(), 2);
}

#[tokio::test]
async fn an_incident_is_fetched_by_id_or_hash_in_two_shapes() {
    let (bench, _) = busy().await;
    let all = bench.get("incidents/all", &[]).await;
    let (id, hash) = (&all["incidents"][0]["id"], &all["incidents"][0]["hash_id"]);
    for (name, value) in [("incident", id), ("hash_id", hash)] {
        let got = bench
            .get("incident/fetch", &[(name, value.as_str().unwrap())])
            .await;
        assert_eq!(got["incident"]["id"], *id);
        assert_eq!(got["incident"]["description"], "SSH Login Attempt");
        assert_eq!(got["incident"]["events"].as_array().unwrap().len(), 2);
    }
    let params = [
        ("incident", id.as_str().unwrap()),
        ("extended_details", "true"),
    ];
    let got = bench.get("incident/fetch", &params).await;
    assert_eq!(got["incident"]["logdata"].as_array().unwrap().len(), 2);
    let got = bench
        .call("GET", "incident/fetch", &[("incident", "incident:nope")])
        .await;
    assert_eq!(
        (got.status.as_u16(), &got.json["message"]),
        (404, &json!("Incident not found"))
    );
}

#[tokio::test]
async fn an_incident_lives_through_its_states() {
    let (bench, _) = busy().await;
    let all = bench.get("incidents/all", &[]).await;
    let before = all["max_updated_id"].as_i64().unwrap();
    let id = all["incidents"][0]["id"].as_str().unwrap().to_owned();
    let one = [("incident", id.as_str())];
    let got = bench.call("DELETE", "incident/delete", &one).await;
    assert_eq!(got.status, 409);
    let got = bench.post("incident/acknowledge", &one).await;
    assert_eq!(
        got,
        json!({"action": "acknowledged", "key": id, "result": "success"})
    );
    assert!(*bench.console.changes.borrow() > before);
    let since = before.to_string();
    let got = bench
        .get("incidents/acknowledged", &[("incidents_since", &since)])
        .await;
    assert_eq!(got["incidents"][0]["id"], id.as_str());
    assert_eq!(got["incidents"][0]["description"]["acknowledged"], "True");
    assert_eq!(got["feed"], "Acknowledged Incidents");
    // Again changes nothing and is no error.
    bench.post("incident/acknowledge", &one).await;
    let got = bench.post("incident/unacknowledge", &one).await;
    assert_eq!(got["action"], "unacknowledged");
    bench.post("incident/acknowledge", &one).await;
    let got = bench.call("DELETE", "incident/delete", &one).await;
    assert_eq!(
        got.json,
        json!({"action": "deleted", "key": id, "result": "success"})
    );
    assert_eq!(bench.call("GET", "incident/fetch", &one).await.status, 404);
    let got = bench
        .get("incidents/history/source", &[("src_ip", "198.51.100.1")])
        .await;
    assert_eq!(got["incidents"][0]["key"], id.as_str());
    assert_eq!(got["incidents"][0]["deleted"], true);
    assert_eq!(got["incidents"][0]["dst_port"], 22);
    let audit = bench.get("audit_trail/fetch", &[]).await;
    let actions: Vec<_> = audit["audit_trail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["action_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "incident_delete",
            "incident_acknowledge",
            "incident_unacknowledge",
            "incident_acknowledge",
        ]
    );
}

#[tokio::test]
async fn many_incidents_at_once() {
    let (bench, _) = busy().await;
    let id = node(1).to_string();
    let got = bench
        .call(
            "POST",
            "incidents/acknowledge",
            &[("node_id", &id), ("src_host", "x")],
        )
        .await;
    assert_eq!(
        got.json["message"],
        "Cannot use src_host and node_id together"
    );
    let acknowledge = async |params: &[(&str, &str)]| {
        let got = bench.post("incidents/acknowledge", params).await;
        assert_eq!(got["action"], "acknowledged");
        got["keys"].as_array().unwrap().len()
    };
    assert_eq!(acknowledge(&[("src_host", "198.51.100.2")]).await, 1);
    assert_eq!(acknowledge(&[("older_than", "2d")]).await, 0);
    assert_eq!(acknowledge(&[("filter_logtypes", "1,2")]).await, 0);
    assert_eq!(acknowledge(&[("filter_str", "198.51.100.3")]).await, 1);
    // Deleting leaves the unacknowledged ones.
    let got = bench.call("DELETE", "incidents/delete", &[]).await.json;
    assert_eq!(got["keys"].as_array().unwrap().len(), 2);
    // No filter at all means all.
    assert_eq!(acknowledge(&[]).await, 3);
    let got = bench
        .post("incidents/unacknowledge", &[("older_than", "0h")])
        .await;
    assert_eq!(got["keys"].as_array().unwrap().len(), 3);
    let got = bench.post("incidents/delete", &[]).await;
    assert_eq!(got["keys"], json!([]));
    let got = bench
        .post("incidents/delete", &[("include_unacknowledged", "true")])
        .await;
    assert_eq!(got["keys"].as_array().unwrap().len(), 3);
    assert_eq!(
        bench.get("incidents/all", &[]).await["incidents"],
        json!([])
    );
}

#[tokio::test]
async fn the_search_is_descending_flat_and_counted() {
    let (bench, start) = busy().await;
    let got = bench.get("incidents/search", &[("limit", "2")]).await;
    let numbers = ids(&got);
    assert!(numbers[0] > numbers[1]);
    assert_eq!(
        (
            &got["page_number"],
            &got["total_pages"],
            &got["total_results"]
        ),
        (&json!(1), &json!(3), &json!(5))
    );
    assert_eq!(
        got["incident_source_counts"],
        json!({"198.51.100.5": 1, "198.51.100.4": 1})
    );
    let next = got["cursor"]["next"].as_str().unwrap();
    let got = bench.get("incidents/search", &[("cursor", next)]).await;
    assert_eq!(got["page_number"], 2);
    let got = bench
        .get("incidents/search", &[("filter_str", "198.51.100.1")])
        .await;
    let incident = &got["incidents"][0];
    assert_eq!(
        incident["events_list"],
        json!([start.millis(), start.millis() + 2_000])
    );
    assert_eq!(incident["created_age"], "1 day");
    assert!(incident["created_age_seconds"].is_f64());
    assert_eq!(
        incident["logdata"][0],
        json!({"USERNAME": "root", "PASSWORD": "hunter2"})
    );
    assert_eq!(incident["host"]["name"], "ExampleBird");
    assert_eq!(incident["previously_seen_count"], 1);
    assert_eq!(incident["key"], incident["incident_key"]);
    bench.post("incidents/acknowledge", &[]).await;
    for (state, count) in [("all", 5), ("acknowledged", 5), ("unacknowledged", 0)] {
        let got = bench
            .get("incidents/search", &[("filter_incident_state", state)])
            .await;
        assert_eq!(ids(&got).len(), count, "{state}");
    }
}

#[tokio::test]
async fn a_touched_token_is_shown_as_one() {
    let bench = Bench::new().await;
    let made = bench
        .post(
            "canarytoken/create",
            &[("kind", "http"), ("memo", "In the wiki")],
        )
        .await;
    let token = made["canarytoken"]["canarytoken"].as_str().unwrap();
    let at = Timestamp::from_secs(now().secs());
    bench.touch(token, "198.51.100.9", at).await;
    let got = bench
        .get("incidents/unacknowledged", &[("node_id", token)])
        .await;
    let description = &got["incidents"][0]["description"];
    assert_eq!(description["description"], "Canarytoken triggered");
    assert_eq!(description["memo"], "In the wiki");
    assert_eq!(description["name"], "N/A");
    assert_eq!(description["logtype"], "17000");
    assert_eq!(
        description["local_time"],
        at.format("%Y-%m-%d %H:%M:%S (UTC)")
    );
    assert!(description.get("src_host_reverse").is_none());
    let event = &description["events"][0];
    assert_eq!(event["type"], "http");
    assert_eq!(event["canarytoken"], token);
    assert_eq!(event["headers"]["User-Agent"], "curl/8");
    assert_eq!(event["src_host"], "198.51.100.9");
    assert_eq!(event["dst_port"], 80);
    assert_eq!(event["timestamp"], at.secs());
    let got = bench
        .get("canarytoken/fetch", &[("canarytoken", token)])
        .await;
    assert_eq!(got["token"]["triggered_count"], 1);
}
