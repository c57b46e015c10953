//! Birds, tokens, flocks, settings, keys, audit trail.

use coalmine_console::now;
use coalmine_store::keys::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, node};

#[tokio::test]
async fn birds_are_listed_with_native_types_and_told_apart_by_life() {
    let bench = Bench::new().await;
    for n in 1..=2 {
        bench.bird(node(n), &format!("bird-{n}")).await;
    }
    bench
        .console
        .store
        .devices()
        .mark_dead(node(2), now())
        .await
        .unwrap();
    let all = bench.get("devices/all", &[("tz", "UTC")]).await;
    assert_eq!(all["feed"], "All Devices");
    let device = &all["devices"][0];
    assert_eq!(device["live"], true);
    assert!(device["uptime"].is_u64() && device["updated_timestamp"].is_i64());
    for (feed, name) in [("live", "bird-1"), ("dead", "bird-2")] {
        let got = bench.get(&format!("devices/{feed}"), &[]).await;
        assert_eq!(got["devices"].as_array().unwrap().len(), 1);
        assert_eq!(got["devices"][0]["name"], name);
    }
}

#[tokio::test]
async fn a_birds_details_are_strings_and_settings_come_on_request() {
    let bench = Bench::new().await;
    bench.bird(node(1), "bird").await;
    bench.login(node(1), "198.51.100.1", now()).await;
    let id = node(1).to_string();
    let plain = bench.get("device/info", &[("node_id", &id)]).await;
    let device = plain["device"].as_object().unwrap();
    assert!(!device.contains_key("settings"));
    assert_eq!(
        (&device["device_live"], &device["live"]),
        (&json!("True"), &json!("False"))
    );
    for (name, value) in device {
        assert!(value.is_string() || name.starts_with("unacknowl"), "{name}");
    }
    let got = bench
        .get("device/info", &[("node_id", &id), ("settings", "True")])
        .await;
    assert_eq!(got["device"]["settings"]["ssh.enabled"], true);
    let params = [
        ("node_id", id.as_str()),
        ("settings", "1"),
        ("exclude_fixed_settings", "1"),
    ];
    let got = bench.get("device/info", &params).await;
    assert!(got["device"]["settings"].get("device.mac").is_none());
    let got = bench
        .get("device/getinfo", &[("node_id", &id), ("settings", "False")])
        .await;
    let device = &got["device"];
    assert_eq!(device["live"], true);
    assert!(device.get("settings").is_none());
    let key = device["unacknowleged_incidents"][0]["key"]
        .as_str()
        .unwrap();
    assert!(key.starts_with("incident:sshlogin:"));
    assert!(device["uptime"].as_str().unwrap().parse::<u64>().is_ok());
    let got = bench
        .get("device/configuration_settings", &[("node_id", &id)])
        .await;
    assert_eq!(got["settings"]["device.name"], "bird");
    for bad in ["", "x", "000246ec65ef94ff"] {
        let got = bench
            .call("GET", "device/getinfo", &[("node_id", bad)])
            .await;
        assert!(matches!(got.status.as_u16(), 400 | 404), "{bad}");
    }
    let node = [("node_id", id.as_str())];
    bench
        .post(
            "device/note/add",
            &[("node_id", &id), ("note", "Behind the door")],
        )
        .await;
    assert_eq!(
        bench.get("device/note", &node).await["note"],
        "Behind the door"
    );
    bench.post("device/note/delete", &node).await;
    assert_eq!(bench.get("device/note", &node).await["note"], "");
}

#[tokio::test]
async fn a_token_is_made_changed_found_and_deleted() {
    let bench = Bench::new().await;
    assert_eq!(
        bench.get("canarytokens/list", &[]).await["canarytokens"],
        json!({
            "http": "Web Bug", "aws-id": "AWS API Key", "many": "Many",
            "fast-redirect": "Fast Redirect",
        })
    );
    let made = bench
        .post(
            "canarytoken/create",
            &[("kind", "http"), ("memo", "Example Memo")],
        )
        .await;
    let token = &made["canarytoken"];
    let id = token["canarytoken"].as_str().unwrap();
    assert_eq!(id.len(), 25);
    assert_eq!(token["browser_scanner_enabled"], true);
    assert_eq!(token["key"], format!("canarydrop:{id}"));
    assert_eq!(token["hostname"], format!("{id}.tokens.test"));
    assert!(
        token["url"]
            .as_str()
            .unwrap()
            .starts_with("http://tokens.test/")
    );
    assert_eq!(
        (&token["enabled"], &token["triggered_count"]),
        (&json!(true), &json!(0))
    );
    let one = [("canarytoken", id)];
    bench.post("canarytoken/disable", &one).await;
    assert_eq!(
        bench.get("canarytoken/fetch", &one).await["token"]["enabled"],
        false
    );
    bench.post("canarytoken/enable", &one).await;
    let got = bench
        .post(
            "canarytoken/update",
            &[("canarytoken", id), ("memo", "Héllo wörld")],
        )
        .await;
    assert_eq!(got["token"]["memo"], "Héllo wörld");
    assert_eq!(
        bench.get("canarytokens/fetch", &[]).await["tokens"][0]["url"],
        token["url"]
    );
    for (name, value, count) in [
        ("search_string", "wör", 1),
        ("search_string", "nothing", 0),
        ("kind", "http", 1),
        ("kind", "dns", 0),
        ("active", "true", 1),
        ("active", "false", 0),
    ] {
        let got = bench.get("canarytokens/search", &[(name, value)]).await;
        assert_eq!(got["total_results"], count, "{name}={value}");
    }
    let got = bench
        .get("flock/list", &[("flock_id", "flock:default")])
        .await;
    assert_eq!(got["sensors"], json!([id]));
    bench.touch(id, "198.51.100.1", now()).await;
    let got = bench.get("canarytokens/search", &[]).await;
    assert_eq!(got["canarytokens"][0]["unacked_alert_count"], 1);
    let got = bench.call("POST", "canarytoken/delete", &one).await;
    assert_eq!(
        (got.status.as_u16(), &got.json["message"]),
        (409, &json!("Could not delete Canarydrop"))
    );
    bench
        .post(
            "canarytoken/delete",
            &[("canarytoken", id), ("clear_incidents", "true")],
        )
        .await;
    let got = bench.call("GET", "canarytoken/fetch", &one).await;
    assert_eq!(got.json["message"], "Could not find the Canarytoken");
    assert_eq!(
        bench.get("incidents/all", &[]).await["incidents"],
        json!([])
    );
}

#[tokio::test]
async fn tokens_are_refused_in_the_clients_words() {
    let bench = Bench::new().await;
    let long = "x".repeat(10_001);
    type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);
    let cases: &[Case<'_>] = &[
        (
            &[("kind", "nope"), ("memo", "m")],
            400,
            "Supplied kind is not valid.",
        ),
        (&[("kind", "http"), ("memo", " ")], 400, "Empty memo"),
        (
            &[("kind", "http"), ("memo", "\u{fffd}")],
            400,
            "Could not decode the memo",
        ),
        (
            &[("kind", "http"), ("memo", &long)],
            400,
            "Memo longer than maximum (10000 characters).",
        ),
        (
            &[("kind", "http"), ("memo", "m"), ("flock_id", "flock:x")],
            404,
            "Flock does not exist.",
        ),
    ];
    for (params, status, message) in cases {
        let got = bench.call("POST", "canarytoken/create", params).await;
        assert_eq!(
            (got.status.as_u16(), &got.json["message"]),
            (*status, &json!(message))
        );
    }
}

#[tokio::test]
async fn a_tokens_file_is_the_same_at_every_download() {
    let bench = Bench::new().await;
    let made = bench
        .post("canarytoken/create", &[("kind", "aws-id"), ("memo", "m")])
        .await;
    let id = made["canarytoken"]["canarytoken"].as_str().unwrap();
    let one = [("canarytoken", id)];
    let file = bench.call("GET", "canarytoken/download", &one).await;
    assert_eq!(
        file.headers["content-disposition"],
        "attachment; filename=credentials"
    );
    assert!(file.text.starts_with(&format!("key={id} secret=")));
    assert_eq!(
        bench.call("GET", "canarytoken/download", &one).await.text,
        file.text
    );
    let made = bench
        .post("canarytoken/create", &[("kind", "http"), ("memo", "m")])
        .await;
    let id = made["canarytoken"]["canarytoken"].as_str().unwrap();
    let got = bench
        .call("GET", "canarytoken/download", &[("canarytoken", id)])
        .await;
    assert_eq!(
        (got.status.as_u16(), &got.json["message"]),
        (400, &json!("File generation not supported."))
    );
}

#[tokio::test]
async fn token_pages_end_with_an_empty_cursor_also_for_clients_that_send_it_back() {
    use axum::body::Body;
    use axum::http::Request;
    let bench = Bench::new().await;
    for n in 0..5 {
        bench
            .post(
                "canarytoken/create",
                &[("kind", "http"), ("memo", &format!("m{n}"))],
            )
            .await;
    }
    let page = bench.get("canarytokens/paginate", &[("limit", "2")]).await;
    assert_eq!(page["canarytokens"][0]["memo"], "m4");
    assert_eq!(
        (&page["page_num"], &page["page_total"]),
        (&json!(1), &json!(3))
    );
    // By cursor, there and back.
    let next = page["cursor"]["next"].as_str().unwrap();
    let second = bench
        .get("canarytokens/paginate", &[("cursor", next)])
        .await;
    assert_eq!(second["canarytokens"][0]["memo"], "m2");
    let prev = second["cursor"]["prev"].as_str().unwrap();
    let back = bench
        .get("canarytokens/paginate", &[("cursor", prev)])
        .await;
    assert_eq!(back["canarytokens"][0]["memo"], "m4");
    // As the Python client does it.
    let mut seen = Vec::new();
    let mut cookie = String::new();
    let mut query = "limit=2".to_owned();
    for _ in 0..4 {
        let uri = format!(
            "/api/v1/canarytokens/paginate?{query}&auth_token={}",
            bench.key
        );
        let request = Request::builder().uri(uri).header("cookie", &cookie);
        let got = bench.send(request.body(Body::empty()).unwrap()).await;
        for token in got.json["canarytokens"].as_array().unwrap() {
            seen.push(token["memo"].as_str().unwrap().to_owned());
        }
        if got.json["cursor"] == json!({}) {
            break;
        }
        let set = got.headers["set-cookie"].to_str().unwrap();
        cookie = set.split(';').next().unwrap().to_owned();
        query = "limit=2&cursor=next&cursor=next_link&cursor=prev&cursor=prev_link".to_owned();
    }
    assert_eq!(seen, ["m4", "m3", "m2", "m1", "m0"]);
    // Without the cookie it ends at once.
    let got = bench
        .get("canarytokens/paginate", &[("cursor", "next")])
        .await;
    assert_eq!(got["cursor"], json!({}));
}

#[tokio::test]
async fn a_factory_makes_and_downloads_tokens_of_its_flock() {
    let bench = Bench::new().await;
    let flock = bench.post("flock/create", &[("name", "Field")]).await;
    let flock = flock["flock_id"].as_str().unwrap().to_owned();
    let made = bench
        .post(
            "canarytoken/create_factory",
            &[("flock_id", &flock), ("memo", "m")],
        )
        .await;
    assert_eq!(made["factory_url"], "/api/v1/canarytoken/factory");
    let auth = made["factory_auth"].as_str().unwrap();
    let params = [
        ("factory_auth", auth),
        ("kind", "aws-id"),
        ("memo", "from the field"),
    ];
    let got = bench
        .call_as("", "POST", "canarytoken/factory/create", &params)
        .await;
    let token = &got.json["canarytoken"];
    assert_eq!(
        (&token["flock_id"], &token["factory_auth"]),
        (&json!(flock), &json!(auth))
    );
    let id = token["canarytoken"].as_str().unwrap();
    let params = [("factory_auth", auth), ("canarytoken", id)];
    let got = bench
        .call_as("", "GET", "canarytoken/factory/download", &params)
        .await;
    assert_eq!(got.status, 200);
    let params = [
        ("factory_auth", auth),
        ("kind", "http"),
        ("memo", "m"),
        ("flock_id", "flock:default"),
    ];
    assert_eq!(
        bench
            .call_as("", "POST", "canarytoken/factory/create", &params)
            .await
            .status,
        404
    );
    let params = [("factory_auth", "wrong"), ("kind", "http"), ("memo", "m")];
    let got = bench
        .call_as("", "POST", "canarytoken/factory/create", &params)
        .await;
    assert_eq!(
        (got.status.as_u16(), &got.json["message"]),
        (401, &json!("Invalid factory_auth"))
    );
    // A key that may mint works in its place.
    let key = bench.make_key(Role::TokenDeploy, Some(&flock)).await;
    let params = [
        ("factory_auth", key.as_str()),
        ("kind", "http"),
        ("memo", "m"),
    ];
    assert_eq!(
        bench
            .call_as("", "POST", "canarytoken/factory/create", &params)
            .await
            .status,
        200
    );
    let got = bench
        .call_as(
            "",
            "GET",
            "canarytokens/factory/list",
            &[("factory_auth", auth)],
        )
        .await;
    assert_eq!(got.json["factory_canarytokens"]["http"], "Web Bug");
    let listed = bench.get("canarytoken/list_factories", &[]).await;
    assert_eq!(
        listed["factories"],
        json!([{"factory_auth": auth, "flock_id": flock, "memo": "m"}])
    );
    let got = bench
        .call(
            "DELETE",
            "canarytoken/delete_factory",
            &[("factory_auth", auth)],
        )
        .await;
    assert_eq!(got.json["msg"], "TokenFactory auth string deleted");
    let got = bench
        .call(
            "DELETE",
            "canarytoken/delete_factory",
            &[("factory_auth", auth)],
        )
        .await;
    assert_eq!(got.status, 404);
}

#[tokio::test]
async fn flocks_are_made_named_noted_filled_and_deleted() {
    let bench = Bench::new().await;
    bench.bird(node(1), "bird").await;
    let made = bench
        .post(
            "flock/create",
            &[("name", "Cape Town"), ("managers", "A@x.test, b@x.test")],
        )
        .await;
    let id = made["flock_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), "flock:".len() + 32);
    let one = [("flock_id", id.as_str())];
    bench
        .post("flock/rename", &[("flock_id", &id), ("name", "Durban")])
        .await;
    bench
        .post(
            "flock/note/add",
            &[("flock_id", &id), ("note", "By the sea")],
        )
        .await;
    assert_eq!(bench.get("flock/note", &one).await["note"], "By the sea");
    assert_eq!(
        bench.get("flock/settings", &one).await["settings"]["webhooks"]["webhooks_enabled"],
        "Global"
    );
    let found = bench.get("flocks/filter", &[("filter_str", "sea")]).await;
    assert_eq!(
        found["flocks"],
        json!([{"flock_id": id, "name": "Durban", "note": "By the sea"}])
    );
    assert_eq!(
        bench.get("flocks/list", &[]).await["flocks"],
        json!({"flock:default": "Default Flock", &id: "Durban"})
    );
    bench.login(node(1), "198.51.100.1", now()).await;
    let bird = node(1).to_string();
    bench
        .post("flock/move", &[("node_id", &bird), ("dest_flock_id", &id)])
        .await;
    let summary = bench.get("flocks/summary", &[]).await;
    let flock = &summary["flocks_summary"][&id];
    assert_eq!(
        (
            &flock["devices"],
            &flock["online_devices"],
            &flock["incident_count"]
        ),
        (&json!([bird]), &json!(1), &json!(1))
    );
    assert_eq!(summary["unacked_device_incident_counts"], json!({&bird: 1}));
    let cases = [
        (
            "flock/delete",
            vec![("flock_id", id.as_str())],
            409,
            "Cannot delete a non-empty flock",
        ),
        (
            "flock/delete",
            vec![("flock_id", "flock:default")],
            409,
            "Cannot delete default flock",
        ),
        (
            "flock/delete",
            vec![("flock_id", "flock:none")],
            404,
            "Flock does not exist.",
        ),
        (
            "flock/create",
            vec![("name", " ")],
            400,
            "Flock name cannot be empty.",
        ),
    ];
    for (path, params, status, message) in cases {
        let got = bench.call("POST", path, &params).await;
        assert_eq!(
            (got.status.as_u16(), &got.json["message"]),
            (status, &json!(message)),
            "{path}"
        );
    }
    let long = "x".repeat(101);
    let got = bench.call("POST", "flock/create", &[("name", &long)]).await;
    assert_eq!(
        got.json["message"],
        "Flock name longer than maximum (100 characters)."
    );
    bench
        .post(
            "flock/move",
            &[
                ("node_id", &bird),
                ("dest_flock_id", "flock:default"),
                ("clear_incidents", "1"),
            ],
        )
        .await;
    assert_eq!(
        bench.get("incidents/all", &[]).await["incidents"],
        json!([])
    );
    assert_eq!(
        bench.call("DELETE", "flock/note/delete", &one).await.status,
        200
    );
    bench.post("flock/delete", &one).await;
}

#[tokio::test]
async fn an_ignored_source_makes_no_incident() {
    let bench = Bench::new().await;
    bench.bird(node(1), "bird").await;
    let source = [("src_ip", "198.51.100.1")];
    let no = bench.get("settings/is_ip_whitelisted", &source).await;
    assert_eq!(
        (&no["is_ip_whitelisted"], &no["is_ip_ignored"]),
        (&json!(false), &json!(false))
    );
    let got = bench.post("settings/whitelist_ip_port", &source).await;
    assert_eq!(got["message"], "Whitelist added");
    let got = bench
        .call("POST", "settings/whitelist_ip_port", &source)
        .await;
    assert_eq!(
        (got.status.as_u16(), &got.json["result"]),
        (200, &json!("failure"))
    );
    let yes = bench.get("settings/is_ip_ignored", &source).await;
    assert_eq!(
        yes,
        json!({
            "is_ip_ignored": true, "is_ip_whitelisted": true, "is_whitelist_enabled": true, "result": "success",
        })
    );
    bench.login(node(1), "198.51.100.1", now()).await;
    assert_eq!(
        bench.get("incidents/all", &[]).await["incidents"],
        json!([])
    );
    assert_eq!(
        bench.get("settings", &[]).await["whitelist_ips"],
        "198.51.100.1"
    );
    bench
        .post(
            "settings/whitelist_ip_port",
            &[("src_ip", "2001:db8::1"), ("dst_port", "22")],
        )
        .await;
    for (port, ignored) in [("22", true), ("23", false)] {
        let got = bench
            .get(
                "settings/is_ip_ignored",
                &[("src_ip", "2001:db8::1"), ("dst_port", port)],
            )
            .await;
        assert_eq!(got["is_ip_ignored"], ignored);
    }
    bench
        .post("settings/whitelisting/remove_whitelist_ip", &source)
        .await;
    let got = bench
        .call("POST", "settings/whitelisting/remove_whitelist_ip", &source)
        .await;
    assert_eq!(got.status, 404);
    for bad in [("src_ip", "x"), ("dst_port", "70000")] {
        let got = bench
            .call(
                "POST",
                "settings/whitelist_ip_port",
                &[("src_ip", "192.0.2.1"), bad]
                    .iter()
                    .rev()
                    .copied()
                    .collect::<Vec<_>>(),
            )
            .await;
        assert_eq!(got.status, 400, "{bad:?}");
    }
}

#[tokio::test]
async fn keys_are_made_listed_masked_used_and_removed() {
    let bench = Bench::new().await;
    let made = bench
        .post(
            "auth_token/add",
            &[("auth_token_type", "read-only"), ("note", "SIEM")],
        )
        .await;
    let key = &made["global_api_key"];
    assert_eq!(key["auth_token_type"], "Read-only");
    assert!(
        key["created_by"]
            .as_str()
            .unwrap()
            .starts_with("Global-API-Token[key_id:")
    );
    let secret = key["auth_token"].as_str().unwrap();
    assert_eq!(bench.call_as(secret, "GET", "ping", &[]).await.status, 200);
    let listed = bench.get("auth_token/list", &[]).await;
    assert!(!listed.to_string().contains(secret));
    let id = key["key_id"].as_str().unwrap();
    let got = bench
        .call("DELETE", "auth_token/remove", &[("key_id", id)])
        .await;
    assert_eq!(got.status, 200);
    assert_eq!(bench.call_as(secret, "GET", "ping", &[]).await.status, 401);
    assert_eq!(
        bench
            .call("DELETE", "auth_token/remove", &[("key_id", id)])
            .await
            .status,
        404
    );
    let params = [
        ("auth_token_type", "canarytoken-deploy"),
        ("flock_id", "flock:default"),
        ("note", "n"),
    ];
    let made = bench.post("flock/auth_token/add", &params).await;
    let key = &made["flock_api_key"];
    assert_eq!(
        (&key["auth_token_type"], &key["managed_flocks"]),
        (&json!("canarytoken-deploy"), &json!(["flock:default"]))
    );
    let listed = bench
        .get("flock/auth_token/list", &[("flock_id", "flock:default")])
        .await;
    assert_eq!(listed["flock_api_keys"].as_array().unwrap().len(), 1);
    let secret = key["auth_token"].as_str().unwrap();
    bench
        .post("flock/auth_token/remove", &[("remove_auth_token", secret)])
        .await;
    let got = bench
        .call(
            "POST",
            "flock/auth_token/remove",
            &[("remove_auth_token", secret)],
        )
        .await;
    assert_eq!(got.status, 404);
    let file = bench.call("GET", "auth_token/download", &[]).await;
    assert_eq!(
        file.headers["content-disposition"],
        "attachment; filename=canarytools.config"
    );
    assert_eq!(
        file.text,
        format!(
            "[CanaryTools]\napi_key = {}\ndomain = console.test:8443/\n",
            bench.key
        )
    );
}

#[tokio::test]
async fn the_audit_trail_is_paged_and_filtered() {
    let bench = Bench::new().await;
    for n in 0..5 {
        bench
            .post("flock/create", &[("name", &format!("Flock {n}"))])
            .await;
    }
    bench
        .post("settings/whitelist_ip_port", &[("src_ip", "192.0.2.9")])
        .await;
    let ids = |answer: &Value| -> Vec<i64> {
        answer["audit_trail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["id"].as_i64().unwrap())
            .collect()
    };
    let all = bench.get("audit_trail/fetch", &[]).await;
    let numbers = ids(&all);
    assert_eq!(numbers.len(), 6);
    assert!(numbers.is_sorted_by(|a, b| a > b));
    assert_eq!(all["cursor"], json!({"next": null, "prev": null}));
    let record = &all["audit_trail"][5];
    assert_eq!(record["action_type"], "flock_create");
    assert_eq!(record["user_ip"], "192.0.2.77");
    assert!(
        record["user"]
            .as_str()
            .unwrap()
            .starts_with("Global-API-Token")
    );
    assert!(record["timestamp"].as_str().unwrap().ends_with(" UTC+0000"));
    let page = bench.get("audit_trail/fetch", &[("limit", "2")]).await;
    assert_eq!(
        (ids(&page), &page["page_count"]),
        (numbers[..2].to_vec(), &json!(3))
    );
    let next = page["cursor"]["next"].as_str().unwrap();
    let page = bench.get("audit_trail/fetch", &[("cursor", next)]).await;
    assert_eq!(
        (ids(&page), &page["page_number"]),
        (numbers[2..4].to_vec(), &json!(2))
    );
    let prev = page["cursor"]["prev"].as_str().unwrap();
    let page = bench.get("audit_trail/fetch", &[("cursor", prev)]).await;
    assert_eq!(ids(&page), numbers[..2].to_vec());
    let today = now().format("%Y-%m-%d");
    let after = numbers[3].to_string();
    for (name, value, count) in [
        ("action_filter", "flock_create", 5),
        ("search_term", "flock 3", 1),
        ("after_id", &*after, 3),
        ("start_date", &*today, 6),
        ("end_date", &*today, 6),
        ("start_date", "2099-01-01", 0),
    ] {
        let got = bench.get("audit_trail/fetch", &[(name, value)]).await;
        assert_eq!(ids(&got).len(), count, "{name}={value}");
    }
}

#[tokio::test]
async fn there_is_no_licence_to_run_out() {
    let bench = Bench::new().await;
    bench.bird(node(1), "bird").await;
    let got = bench.get("license", &[]).await;
    assert_eq!(got["devices"]["used"], 1);
    assert!(got["devices"]["total"].as_i64().unwrap() > 1_000_000);
}

#[tokio::test]
async fn port_scans_alone_can_be_ignored() {
    let bench = Bench::new().await;
    let flock = ("flock_id", "flock:default");
    let add = "settings/portscan_ignore/add";
    let got = bench.post(add, &[("entry", "10.0.0.*:445,135")]).await;
    assert_eq!(got["entry"], "10.0.0.0/24:135,445");
    let got = bench
        .call("POST", add, &[("entry", "10.0.0.0/24:135,445")])
        .await;
    assert_eq!(got.json["result"], "failure");
    let of_flock = [flock, ("entry", "10.0.0.9")];
    bench
        .post("flock/settings/portscan_ignore/add", &of_flock)
        .await;
    let got = bench.get("settings/portscan_ignore", &[]).await;
    assert_eq!(
        got,
        json!({
            "portscan_ignore": ["10.0.0.0/24:135,445"],
            "portscan_ignore_flocks": {"flock:default": ["10.0.0.9"]},
            "result": "success",
        })
    );
    for (path, params, status) in [
        (add, vec![("entry", "nonsense")], 400),
        (add, vec![], 400),
        (
            "settings/portscan_ignore/remove",
            vec![("entry", "10.9.9.9")],
            404,
        ),
        (
            "flock/settings/portscan_ignore/add",
            vec![("flock_id", "flock:none"), ("entry", "10.9.9.9")],
            404,
        ),
    ] {
        let got = bench.call("POST", path, &params).await;
        assert_eq!(got.status, status, "{path} {params:?}");
    }
    let remove = "settings/portscan_ignore/remove";
    bench.post(remove, &[("entry", "10.0.0.*:135,445")]).await;
    bench
        .post("flock/settings/portscan_ignore/remove", &of_flock)
        .await;
    let got = bench.get("settings/portscan_ignore", &[]).await;
    assert_eq!(
        (&got["portscan_ignore"], &got["portscan_ignore_flocks"]),
        (&json!([]), &json!({}))
    );
}
