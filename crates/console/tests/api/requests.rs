//! How requests are read, who may ask, and what errors look like.

use axum::body::Body;
use axum::http::Request;
use coalmine_console::api::{gaps, table};
use coalmine_console::now;
use coalmine_store::keys::Role;
use coalmine_store::users::User;
use serde_json::json;

use crate::bench::{Bench, node};

#[tokio::test]
async fn ping_takes_the_key_as_header_parameter_or_form() {
    let bench = Bench::new().await;
    let key = &bench.key;
    let base = || Request::builder().header("host", "console.test");
    let form = "application/x-www-form-urlencoded";
    let good = [
        base()
            .uri("/api/v1/ping")
            .header("X-Canary-Auth-Token", key)
            .body(Body::empty()),
        base()
            .uri(format!("/api/v1/ping?auth_token={key}"))
            .body(Body::empty()),
        base()
            .uri(format!("/api/v1/ping.json?auth_token={key}"))
            .body(Body::empty()),
        base()
            .uri(format!("/.canary.tools/api/v1/ping?auth_token={key}"))
            .body(Body::empty()),
        // A GET with a form in its body.
        base()
            .uri("/api/v1/ping")
            .header("content-type", form)
            .body(Body::from(format!("auth_token={key}"))),
        // JSON stated, no body.
        base()
            .uri("/api/v1/ping")
            .header("content-type", "application/json")
            .header("x-canary-auth-token", key)
            .body(Body::empty()),
    ];
    for request in good {
        let got = bench.send(request.unwrap()).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.headers["content-type"], "application/json");
        assert_eq!(got.text, "{\n  \"result\": \"success\"\n}\n");
    }
}

#[tokio::test]
async fn bad_credentials_say_so_in_the_words_clients_know() {
    let bench = Bench::new().await;
    let cases = [
        ("/api/v1/ping", None, "Invalid auth_token"),
        (
            "/api/v1/ping?auth_token=nonsense",
            None,
            "Invalid auth_token",
        ),
        ("/api/v1/ping", Some("nonsense"), "Unauthorized"),
        // The header wins.
        (
            "/api/v1/ping?auth_token=KEY",
            Some("nonsense"),
            "Unauthorized",
        ),
    ];
    for (uri, header, message) in cases {
        let mut request = Request::builder().uri(uri.replace("KEY", &bench.key));
        if let Some(header) = header {
            request = request.header("x-canary-auth-token", header);
        }
        let got = bench.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(got.status, 401, "{uri}");
        assert_eq!(got.json, json!({"message": message, "result": "error"}));
    }
}

#[tokio::test]
async fn many_bad_credentials_are_throttled_and_good_ones_pass() {
    let bench = Bench::new().await;
    let mut last = 0;
    for _ in 0..40 {
        last = bench
            .call_as("wrong", "GET", "ping", &[])
            .await
            .status
            .as_u16();
    }
    assert_eq!(last, 429);
    assert_eq!(bench.call("GET", "ping", &[]).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_missing_endpoints_and_wrong_methods_are_told_apart() {
    let bench = Bench::new().await;
    let got = bench.call("GET", "no/such/thing", &[]).await;
    assert_eq!(got.status, 404);
    assert!(
        got.json["message"]
            .as_str()
            .unwrap()
            .contains("openapi.json")
    );
    let got = bench.call("POST", "device/reboot", &[]).await;
    assert_eq!(got.status, 404);
    assert_eq!(
        got.json["message"],
        "This endpoint isn't available in this version: device/reboot"
    );
    let got = bench.call("POST", "ping", &[]).await;
    assert_eq!(got.status, 405);
    assert_eq!(got.json["message"], "Method not allowed; ping takes GET");
    // A GET never changes anything.
    for path in [
        "incidents/acknowledge",
        "incidents/delete",
        "incident/delete",
        "flock/create",
    ] {
        assert_eq!(bench.call("GET", path, &[]).await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn every_documented_endpoint_answers_or_says_that_it_is_missing() {
    let bench = Bench::new().await;
    let mut available = 0;
    for (method, path, _) in gaps::documented() {
        let got = bench
            .call(method, &path.replace("<incident_count>", "1"), &[])
            .await;
        assert!(
            got.json["result"].is_string() || got.status == 200,
            "{path}: {}",
            got.text
        );
        let missing = got.json["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("This endpoint isn't available"));
        if gaps::is_available(method, path) {
            available += 1;
            assert!(!missing, "{path}");
            assert_ne!(got.status, 405, "{path}");
        } else {
            assert!(
                missing || got.status == 405 || got.status == 404,
                "{path}: {}",
                got.text
            );
        }
        assert!(got.status.as_u16() < 500, "{path}: {}", got.text);
    }
    assert!(available > 60, "{available}");
}

#[tokio::test]
async fn no_parameter_value_makes_a_server_error() {
    let bench = Bench::new().await;
    bench.bird(node(1), "bird").await;
    let values = [
        "",
        " ",
        "0",
        "1",
        "-1",
        "99999999999999999999",
        "9223372036854775807",
        "null",
        "next",
        "True",
        "é\u{0}'\"\\",
        "%",
        "flock:default",
        "0002",
        "AAAA",
        "0h",
        "1w",
        "MTow",
        "2020-01-01-00:00:00",
        "UTC",
        "192.0.2.1",
        "::1",
        "[]",
        "{}",
    ];
    for endpoint in table::endpoints() {
        for value in values {
            let params: Vec<(&str, &str)> = endpoint
                .params
                .iter()
                .map(|param| (param.name, value))
                .collect();
            for verb in endpoint.methods {
                let got = bench.call(verb.name(), endpoint.path, &params).await;
                assert!(
                    got.status.as_u16() < 500,
                    "{} {} {value:?}: {}",
                    verb.name(),
                    endpoint.path,
                    got.text
                );
                // Whatever it is, it's the envelope or a file.
                assert!(
                    got.json.is_object() || got.headers.contains_key("content-disposition"),
                    "{} {value:?}",
                    endpoint.path
                );
            }
        }
    }
}

#[tokio::test]
async fn missing_and_unreadable_parameters_are_named() {
    let bench = Bench::new().await;
    let cases = [
        (
            "GET",
            "incidents/all",
            ("limit", "many"),
            "Parameter limit was invalid.",
        ),
        (
            "GET",
            "incidents/all",
            ("limit", "0"),
            "Parameter limit was invalid.",
        ),
        (
            "GET",
            "incidents/all",
            ("cursor", "nonsense"),
            "Parameter cursor was invalid.",
        ),
        (
            "GET",
            "incidents/all",
            ("tz", "Nowhere"),
            "Parameter tz was invalid.",
        ),
        (
            "GET",
            "incidents/all",
            ("newer_than", "yesterday"),
            "Parameter newer_than was invalid.",
        ),
        (
            "POST",
            "incidents/acknowledge",
            ("older_than", "soon"),
            "Parameter older_than was invalid.",
        ),
        (
            "GET",
            "incident/fetch",
            ("x", ""),
            "Parameter incident is required.",
        ),
        (
            "GET",
            "device/info",
            ("x", ""),
            "Parameter node_id is required.",
        ),
        (
            "POST",
            "flock/create",
            ("name", ""),
            "Flock name cannot be empty.",
        ),
        (
            "POST",
            "canarytoken/create",
            ("memo", "m"),
            "Supplied kind is not valid.",
        ),
        ("POST", "canarytoken/create", ("kind", "http"), "Empty memo"),
    ];
    for (method, path, param, message) in cases {
        let got = bench.call(method, path, &[param]).await;
        assert_eq!(got.status, 400, "{path} {param:?}: {}", got.text);
        assert_eq!(got.json["message"], message, "{path} {param:?}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let bench = Bench::new().await;
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/incidents/acknowledge")
        .header("x-canary-auth-token", &bench.key)
        .body(Body::from(vec![b'a'; 1024 * 1024 + 1]))
        .unwrap();
    let got = bench.send(request).await;
    assert_eq!(got.status, 413);
    assert_eq!(got.json["result"], "error");
}

#[tokio::test]
async fn roles_may_do_what_they_are_for_and_nothing_more() {
    let bench = Bench::new().await;
    let flock = Some("flock:default");
    let cases: &[(Role, Option<&str>, &[&str])] = &[
        (
            Role::ReadOnly,
            None,
            &["ping", "incidents/all", "devices/all", "settings"],
        ),
        (
            Role::Analyst,
            None,
            &["ping", "incidents/all", "incidents/acknowledge"],
        ),
        (
            Role::Admin,
            flock,
            &[
                "ping",
                "incidents/acknowledge",
                "canarytoken/create",
                "flock/rename",
            ],
        ),
        (Role::TokenDeploy, flock, &["ping", "canarytoken/create"]),
        (Role::BreadcrumbDeploy, flock, &["ping"]),
    ];
    let tried = [
        ("GET", "ping"),
        ("GET", "incidents/all"),
        ("GET", "devices/all"),
        ("GET", "settings"),
        ("POST", "incidents/acknowledge"),
        ("POST", "canarytoken/create"),
        ("POST", "flock/rename"),
        ("POST", "flock/create"),
        ("POST", "settings/whitelist_ip_port"),
        ("POST", "auth_token/add"),
    ];
    for (role, scope, allowed) in cases {
        let key = bench.make_key(*role, *scope).await;
        for (method, path) in tried {
            let got = bench.call_as(&key, method, path, &[]).await;
            // Without parameters what's allowed may still be 400.
            let refused = got.status == 403;
            let reads =
                matches!(role, Role::ReadOnly | Role::Analyst | Role::Admin) && method == "GET";
            let expected = allowed.contains(&path) || reads;
            assert_eq!(!refused, expected, "{role} {path}: {}", got.text);
        }
    }
}

#[tokio::test]
async fn a_flocks_key_sees_its_flock_alone() {
    let bench = Bench::new().await;
    let made = bench.post("flock/create", &[("name", "Other")]).await;
    let other = made["flock_id"].as_str().unwrap().to_owned();
    bench.bird(node(1), "bird").await;
    bench.login(node(1), "198.51.100.1", now()).await;
    let token = bench
        .post("canarytoken/create", &[("kind", "http"), ("memo", "m")])
        .await;
    let token = token["canarytoken"]["canarytoken"]
        .as_str()
        .unwrap()
        .to_owned();
    let key = bench.make_key(Role::Admin, Some(&other)).await;
    let empty = [
        ("incidents/all", "incidents"),
        ("incidents/search", "incidents"),
        ("devices/all", "devices"),
        ("canarytokens/fetch", "tokens"),
        ("canarytokens/paginate", "canarytokens"),
        ("canarytokens/search", "canarytokens"),
    ];
    for (path, list) in empty {
        let got = bench.call_as(&key, "GET", path, &[]).await;
        assert_eq!(got.json[list], json!([]), "{path}: {}", got.text);
    }
    let seen = bench.call_as(&key, "GET", "flocks/list", &[]).await.json;
    assert_eq!(seen["flocks"], json!({&other: "Other"}));
    let id = node(1).to_string();
    let incident = bench.get("incidents/all", &[]).await["incidents"][0]["id"].clone();
    let incident = incident.as_str().unwrap();
    let hidden = [
        (
            "GET",
            "device/info",
            vec![("node_id", id.as_str())],
            "Device not found",
        ),
        (
            "GET",
            "incident/fetch",
            vec![("incident", incident)],
            "Incident not found",
        ),
        (
            "POST",
            "incident/acknowledge",
            vec![("incident", incident)],
            "Incident not found",
        ),
        (
            "GET",
            "canarytoken/fetch",
            vec![("canarytoken", token.as_str())],
            "Could not find the Canarytoken",
        ),
        (
            "GET",
            "incidents/all",
            vec![("flock_id", "flock:default")],
            "Flock does not exist.",
        ),
        (
            "POST",
            "flock/rename",
            vec![("flock_id", "flock:default"), ("name", "x")],
            "Flock does not exist.",
        ),
    ];
    for (method, path, params, message) in hidden {
        let got = bench.call_as(&key, method, path, &params).await;
        assert_eq!(
            (got.status.as_u16(), got.json["message"].as_str()),
            (404, Some(message)),
            "{path}"
        );
    }
    let got = bench
        .call_as(&key, "POST", "incidents/acknowledge", &[])
        .await;
    assert_eq!(got.json["keys"], json!([]));
}

#[tokio::test]
async fn a_page_session_may_read_and_needs_its_csrf_value_to_change() {
    let bench = Bench::new().await;
    let users = bench.console.store.users();
    let user = User {
        email: "admin".to_owned(),
        name: "Administrator".to_owned(),
        password_hash: "x".to_owned(),
        admin: true,
        disabled: false,
        created: now(),
        last_login: None,
    };
    users.create(user).await.unwrap();
    let later = now().plus(std::time::Duration::from_secs(60));
    users
        .begin_session("admin", "secret", "csrf-value", now(), later)
        .await
        .unwrap();
    let request = |method: &str, path: &str, csrf: Option<&str>, cookie: &str| {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header("cookie", format!("a=b; coalmine_session={cookie}"));
        if let Some(csrf) = csrf {
            request = request.header("X-Coalmine-CSRF", csrf);
        }
        request.body(Body::empty()).unwrap()
    };
    let status = async |request| bench.send(request).await.status.as_u16();
    assert_eq!(status(request("GET", "ping", None, "secret")).await, 200);
    assert_eq!(status(request("GET", "ping", None, "other")).await, 401);
    assert_eq!(
        status(request("POST", "incidents/acknowledge", None, "secret")).await,
        403
    );
    assert_eq!(
        status(request(
            "POST",
            "incidents/acknowledge",
            Some("wrong"),
            "secret"
        ))
        .await,
        403
    );
    assert_eq!(
        status(request(
            "POST",
            "incidents/acknowledge",
            Some("csrf-value"),
            "secret"
        ))
        .await,
        200
    );
}

#[tokio::test]
async fn the_api_describes_itself_to_everybody() {
    let bench = Bench::new().await;
    let request = Request::builder()
        .uri("/api/v1/openapi.json")
        .body(Body::empty())
        .unwrap();
    let got = bench.send(request).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.json["openapi"], "3.1.0");
    let create = &got.json["paths"]["/api/v1/canarytoken/create"]["post"];
    let schema = &create["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    assert_eq!(
        schema["properties"]["kind"]["enum"],
        json!(["http", "aws-id", "many", "fast-redirect"])
    );
    assert_eq!(schema["required"], json!(["kind", "memo"]));
}

#[tokio::test]
async fn multipart_parameters_count_like_others() {
    let bench = Bench::new().await;
    let body =
        "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nFrom a form\r\n--B--\r\n";
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/flock/create")
        .header("x-canary-auth-token", &bench.key)
        .header("content-type", "multipart/form-data; boundary=B")
        .body(Body::from(body))
        .unwrap();
    assert_eq!(bench.send(request).await.status, 200);
    let flocks = bench
        .get("flocks/filter", &[("filter_str", "from a")])
        .await;
    assert_eq!(flocks["flocks"][0]["name"], "From a form");
}
