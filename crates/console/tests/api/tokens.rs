//! Tokens beyond their first hour: files, redirects, ignore lists, domains, breadcrumbs, and who may
//! do what.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coalmine_console::now;
use coalmine_core::token::{
    CONNECTED, CloudError, CloudProvider, INTEGRATION, Looked, Token, TokenChannel,
};
use coalmine_core::{Timestamp, TokenId};
use coalmine_store::keys::Role;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Got, node};

const DOC: &[u8] = b"PK\x03\x04\r\n--x not the end\r\n";

fn refusal(got: &Got) -> (u16, &str) {
    (
        got.status.as_u16(),
        got.json["message"].as_str().unwrap_or(&got.text),
    )
}

async fn made(bench: &Bench, params: &[(&str, &str)]) -> Value {
    let params = [params, &[("memo", "m")]].concat();
    bench.post("canarytoken/create", &params).await["canarytoken"].clone()
}

fn id_of(token: &Value) -> &str {
    token["canarytoken"].as_str().unwrap()
}

#[tokio::test]
async fn an_uploaded_file_comes_back_in_the_tokens_own_and_dies_with_it() {
    let bench = Bench::new().await;
    let params = [("kind", "many"), ("memo", "m")];
    let files: &[(&str, &str, &[u8])] = &[("doc", "../plans/Q3.DOCX", DOC)];
    let got = bench.upload("canarytoken/create", &params, files).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let token = &got.json["canarytoken"];
    let (id, hostname) = (id_of(token), token["hostname"].as_str().unwrap());
    assert_eq!(token["renders"], json!({"web": format!("see {hostname}")}));
    let one = [("canarytoken", id)];
    let file = bench.call("GET", "canarytoken/download", &one).await;
    assert_eq!(
        file.headers["content-disposition"],
        "attachment; filename=Q3.DOCX"
    );
    let own = token["url"].as_str().unwrap().rsplit_once('.').unwrap().0;
    assert_eq!(
        file.text,
        format!("PK\x03\x04\r\n--x not the end\r\n{own}.png")
    );
    let tokens = bench.console.store.tokens();
    let known = tokens
        .by_alias(TokenChannel::Http, &format!("KEY{id}"))
        .await;
    assert_eq!(known.unwrap().unwrap().id.as_str(), id);
    bench.post("canarytoken/delete", &one).await;
    let id = id.parse().unwrap();
    assert_eq!(tokens.uploads(&id).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_a_kind_asks_for_is_checked_and_every_fault_told() {
    let bench = Bench::new().await;
    let params = [
        ("kind", "many"),
        ("memo", "m"),
        ("browser_redirect_url", "javascript:x"),
        ("industry", "farming"),
    ];
    let got = bench
        .upload("canarytoken/create", &params, &[("doc", "a.pdf", b"%PDF")])
        .await;
    assert_eq!(
        refusal(&got),
        (
            400,
            "Could not process the parameters. browser_redirect_url: takes a whole URL, e.g. \
             https://www.example.com/; industry: takes one of: tech, corporate; doc: takes a file \
             that ends in .docx"
        )
    );
    let large = vec![b'x'; 3 * 1024 * 1024];
    let kind = [("kind", "many"), ("memo", "m")];
    let got = bench
        .upload("canarytoken/create", &kind, &[("doc", "a.docx", &large)])
        .await;
    assert_eq!(
        refusal(&got),
        (
            400,
            "Could not process the parameters. doc: takes a file of at most 2097152 bytes"
        )
    );
    let larger = vec![b'x'; 12 * 1024 * 1024];
    let got = bench
        .upload("canarytoken/create", &kind, &[("doc", "a.docx", &larger)])
        .await;
    assert_eq!(got.status, 413);
    let got = bench
        .upload("flock/create", &kind, &[("doc", "a", &large)])
        .await;
    assert_eq!(got.status, 413, "only where files are taken");
}

#[tokio::test]
async fn kinds_say_what_they_ask_for_and_how_far_they_reach() {
    let bench = Bench::new().await;
    let kinds = bench.get("canarytokens/kinds", &[]).await["kinds"].clone();
    let many = &kinds[2];
    assert_eq!(
        (
            &many["id"],
            &many["reach"],
            &many["limits"],
            &many["channels"]
        ),
        (
            &json!("many"),
            &json!("local"),
            &json!("Only here."),
            &json!(["http", "dns"])
        )
    );
    assert_eq!(many["asks"][1]["words"], json!(["tech", "corporate"]));
    assert_eq!(
        many["asks"][2],
        json!({"name": "doc", "doc": "Something.", "required": false, "takes": "file",
            "max": 2_097_152, "accepts": ["docx"]})
    );
    assert_eq!(
        (&kinds[0]["reach"], &kinds[0]["limits"]),
        (&json!("direct"), &json!(""))
    );
}

#[tokio::test]
async fn a_buckets_token_is_removed_and_nothing_else_by_that_endpoint() {
    let bench = Bench::new().await;
    let bucket = ("s3_source_bucket", "backups");
    let token = made(&bench, &[("kind", "many"), bucket]).await;
    let plain = made(&bench, &[("kind", "http")]).await;
    let path = "canarytoken/remove/s3";
    for (token, more, told) in [
        (&plain, bucket, "This kind of Canarytoken has no bucket"),
        (
            &token,
            ("s3_source_bucket", "other"),
            "Parameter s3_source_bucket was invalid. The bucket of this Canarytoken is backups",
        ),
        (
            &token,
            ("delete_buckets", "true"),
            "Parameter delete_buckets was invalid. This Console made no bucket at AWS and deletes none",
        ),
    ] {
        let got = bench
            .call("POST", path, &[("canarytoken", id_of(token)), more])
            .await;
        assert_eq!(refusal(&got), (400, told));
    }
    let keys = [
        ("canarytoken", id_of(&token)),
        ("aws_access_key", "AKIA"),
        ("aws_secret_key", "secret"),
        ("aws_region", "us-east-1"),
        bucket,
    ];
    assert_eq!(bench.post(path, &keys).await["result"], "success");
    let gone = bench.call("POST", path, &keys[..1]).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn redirects_change_and_end_where_the_kind_can_do_without() {
    let bench = Bench::new().await;
    let (to, on) = ("https://example.com/a", "https://example.com/b");
    let redirect = ("browser_redirect_url", to);
    let many = made(&bench, &[("kind", "many"), redirect]).await;
    let away = made(&bench, &[("kind", "fast-redirect"), redirect]).await;
    let plain = made(&bench, &[("kind", "http")]).await;
    assert_eq!(many["browser_redirect_url"], to);
    for token in [&many, &away] {
        let params = [("canarytoken", id_of(token)), ("redirect_url", on)];
        let got = bench.post("canarytoken/update/redirect_url", &params).await;
        assert_eq!(got["token"]["browser_redirect_url"], on);
        assert_eq!(got["token"]["url"], token["url"], "the rest stays");
    }
    let remove = |token: &Value| {
        let params = [("canarytoken".to_owned(), id_of(token).to_owned())];
        let bench = &bench;
        async move {
            let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (&**a, &**b)).collect();
            bench
                .call("POST", "canarytoken/remove/redirect_url", &params)
                .await
        }
    };
    assert_eq!(
        remove(&many).await.json["token"]["browser_redirect_url"],
        ""
    );
    assert_eq!(
        refusal(&remove(&away).await),
        (400, "This kind of Canarytoken cannot do without a redirect")
    );
    assert_eq!(
        refusal(&remove(&plain).await),
        (400, "This kind of Canarytoken does not redirect")
    );
    let params = [("canarytoken", id_of(&away)), ("redirect_url", "ftp://x")];
    let got = bench
        .call("POST", "canarytoken/update/redirect_url", &params)
        .await;
    assert_eq!(
        refusal(&got),
        (
            400,
            "Could not process the parameters. redirect_url: takes a whole URL, e.g. \
             https://www.example.com/"
        )
    );
}

#[tokio::test]
async fn ignore_lists_are_saved_switched_and_blanked() {
    let bench = Bench::new().await;
    let many = made(&bench, &[("kind", "many")]).await;
    let plain = made(&bench, &[("kind", "http")]).await;
    for (list, ignores, bad) in [
        ("clonedsite", "^https?://web.archive.org,^x", Some("(x")),
        ("s3bucket", "arn:aws:sts::1:* arn:x", None),
    ] {
        let path = |what: &str| format!("canarytokens/{list}/ignorelist/{what}");
        let one = [("flock_id", "flock:default"), ("canarytoken", id_of(&many))];
        let fetch = || async {
            let got = bench.get(&path("fetch"), &one).await;
            got["ignore_lists"].clone()
        };
        assert_eq!(fetch().await, json!({"enabled": "false", "ignores": ""}));
        let save = [&one[..], &[("ignores", ignores)]].concat();
        bench.post(&path("save"), &save).await;
        bench.post(&path("enable"), &one).await;
        assert_eq!(
            fetch().await,
            json!({"enabled": "true", "ignores": ignores})
        );
        if let Some(bad) = bad {
            let save = [&one[..], &[("ignores", bad)]].concat();
            let got = bench.call("POST", &path("save"), &save).await;
            assert_eq!(got.status, 400);
            assert!(
                refusal(&got)
                    .1
                    .starts_with("Parameter ignores was invalid.")
            );
        }
        bench.post(&path("save"), &one).await;
        bench.post(&path("disable"), &one).await;
        assert_eq!(fetch().await, json!({"enabled": "false", "ignores": ""}));
        let other = [("flock_id", "flock:other"), ("canarytoken", id_of(&many))];
        assert_eq!(bench.call("GET", &path("fetch"), &other).await.status, 404);
        let plain = [
            ("flock_id", "flock:default"),
            ("canarytoken", id_of(&plain)),
        ];
        assert_eq!(
            refusal(&bench.call("GET", &path("fetch"), &plain).await),
            (400, "This kind of Canarytoken has no such ignore list")
        );
    }
}

#[tokio::test]
async fn an_identity_providers_metadata_is_kept_and_validation_needs_it() {
    let bench = Bench::new().await;
    let token = made(&bench, &[("kind", "many")]).await;
    let one = [("canarytoken", id_of(&token))];
    let enable = "canarytokens/idp-app/validation/enable";
    assert_eq!(bench.call("POST", enable, &one).await.status, 409);
    let xml = b"<EntityDescriptor xmlns='x' entityID=\"https://idp.example.com/metadata\"/>";
    let save = "canarytokens/idp-app/metadata/save";
    let got = bench
        .upload(save, &one, &[("metadata", "m.xml", xml)])
        .await;
    assert_eq!(
        got.json["metadata_entity_id"],
        "https://idp.example.com/metadata"
    );
    bench.post(enable, &one).await;
    let shown = bench.get("canarytoken/fetch", &one).await["token"].clone();
    assert_eq!(
        (&shown["metadata_entity_id"], &shown["validation_enabled"]),
        (&json!("https://idp.example.com/metadata"), &json!(true))
    );
    let got = bench
        .upload(save, &one, &[("metadata", "m.xml", b"<x/>")])
        .await;
    assert_eq!(got.status, 400);
    let validated = async || {
        let shown = bench.get("canarytoken/fetch", &one).await;
        shown["token"]["validation_enabled"].clone()
    };
    bench
        .post("canarytokens/idp-app/validation/disable", &one)
        .await;
    assert_eq!(validated().await, false);
    bench.post(enable, &one).await;
    assert_eq!(
        bench.post(save, &one).await["metadata_entity_id"],
        Value::Null
    );
    assert_eq!(validated().await, false, "or nobody's login would alert");
    let http = made(&bench, &[("kind", "http")]).await;
    let got = bench
        .call("POST", enable, &[("canarytoken", id_of(&http))])
        .await;
    assert_eq!(
        refusal(&got),
        (400, "This kind of Canarytoken has no identity provider")
    );
}

#[tokio::test]
async fn tokens_live_in_domains_of_ones_own_and_are_deleted_by_them() {
    let bench = Bench::new().await;
    let domain = ("custom_domain", "docs.example.org");
    let params = [("kind", "http"), ("memo", "m"), domain];
    let refused = bench.call("POST", "canarytoken/create", &params).await;
    assert_eq!(
        refusal(&refused),
        (400, "Parameter custom_domain was invalid.")
    );
    let own = "settings/canarytokens/user_domains";
    let list = [(
        "user_domains",
        "Docs.Example.ORG.\n\nfiles.example.org\ndocs.example.org",
    )];
    bench.post(&format!("{own}/save"), &list).await;
    assert_eq!(
        bench.get(&format!("{own}/list"), &[]).await["user_domains"],
        json!(["docs.example.org", "files.example.org"])
    );
    let refused = bench.call("POST", "canarytoken/create", &params).await;
    assert_eq!(refused.status, 400, "not switched on");
    bench.post(&format!("{own}/enable"), &[]).await;
    let settings = bench.get("settings", &[]).await;
    assert_eq!(settings["canarytokens_user_domains_enable"], true);
    let token = made(&bench, &[("kind", "http"), domain]).await;
    assert!(
        token["url"]
            .as_str()
            .unwrap()
            .starts_with("http://docs.example.org/")
    );
    let id = id_of(&token);
    assert_eq!(token["hostname"], format!("{id}.docs.example.org"));
    let other = made(&bench, &[("kind", "http")]).await;
    for bad in ["localhost", "192.0.2.1", "a b.example"] {
        let got = bench
            .call("POST", &format!("{own}/save"), &[("user_domains", bad)])
            .await;
        assert_eq!(
            refusal(&got),
            (400, "Parameter user_domains was invalid."),
            "{bad}"
        );
    }
    bench.post(&format!("{own}/disable"), &[]).await;

    made(&bench, &[("kind", "http")]).await;
    bench.touch(id, "198.51.100.1", now()).await;
    let domains = ("domains", "docs.example.org");
    let got = bench.call("POST", "canarytokens/delete", &[domains]).await;
    assert_eq!(refusal(&got), (409, "Could not delete Canarydrop"));
    let all = [domains, ("clear_incidents", "true")];
    let got = bench.post("canarytokens/delete", &all).await;
    assert_eq!(got["deleted_count"], 1);
    assert_eq!(
        bench.get("incidents/all", &[]).await["incidents"],
        json!([])
    );
    bench
        .get("canarytoken/fetch", &[("canarytoken", id_of(&other))])
        .await;
    let got = bench.post("canarytokens/delete", &[domains]).await;
    assert_eq!(got["deleted_count"], 0);
}

#[tokio::test]
async fn the_page_at_the_root_is_saved_and_switched() {
    let bench = Bench::new().await;
    let own = "settings/canarytokens/webroot";
    bench
        .post(&format!("{own}/save"), &[("webroot", "<h1>Hi")])
        .await;
    bench.post(&format!("{own}/enable"), &[]).await;
    let settings = bench.get("settings", &[]).await;
    assert_eq!(settings["canarytokens_webroot_enable"], true);
    assert_eq!(settings["module_options"]["canarytokens_webroot"], "<h1>Hi");
    bench.post(&format!("{own}/disable"), &[]).await;
    let settings = bench.console.store.settings().console().await.unwrap();
    assert!(!settings.token_webroot_enabled && settings.token_webroot == "<h1>Hi");
}

#[tokio::test]
async fn touches_by_known_sources_and_programs_make_no_incidents_and_those_of_birds_do() {
    let bench = Bench::new().await;
    bench.bird(node(1), "nas").await;
    let token = made(&bench, &[("kind", "http")]).await;
    let ignore = "settings/canarytokens/ignore";
    let add = format!("{ignore}/add");
    bench.post(&add, &[("source", "198.51.100.0/24")]).await;
    bench.touch(id_of(&token), "198.51.100.9", now()).await;
    let count = || async {
        let all = bench.get("incidents/all", &[]).await;
        all["incidents"].as_array().unwrap().len()
    };
    assert_eq!(count().await, 0);
    bench.login(node(1), "198.51.100.9", now()).await;
    assert_eq!(count().await, 1, "birds see it");
    bench.post(&add, &[("user_agent", "CURL/")]).await;
    bench.touch(id_of(&token), "203.0.113.9", now()).await;
    assert_eq!(count().await, 1);
    assert_eq!(
        bench.get(ignore, &[]).await,
        json!({"result": "success", "sources": ["198.51.100.0/24"], "user_agents": ["CURL/"]})
    );
    bench
        .post(&format!("{ignore}/remove"), &[("user_agent", "CURL/")])
        .await;
    bench.touch(id_of(&token), "203.0.113.9", now()).await;
    assert_eq!(count().await, 2);
    for bad in [
        &[("source", "nonsense")][..],
        &[("source", "192.0.2.1:80")],
        &[("user_agent", "x")],
        &[("source", "192.0.2.1"), ("user_agent", "curl")],
        &[],
    ] {
        assert_eq!(bench.call("POST", &add, bad).await.status, 400, "{bad:?}");
    }
}

#[tokio::test]
async fn requests_of_one_client_are_one_incident_with_every_event() {
    let bench = Bench::new().await;
    let token = made(&bench, &[("kind", "http")]).await;
    // A document that is opened: OPTIONS, GET, GET; a client that asks six times.
    for source in ["198.51.100.3", "198.51.100.6"] {
        let requests = if source.ends_with('3') { 3 } else { 6 };
        for _ in 0..requests {
            bench.touch(id_of(&token), source, now()).await;
        }
    }
    let all = bench.get("incidents/all", &[]).await;
    let counts: Vec<&Value> = all["incidents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|incident| &incident["description"]["events_count"])
        .collect();
    assert_eq!(counts, ["3", "6"]);
}

#[tokio::test]
async fn deploy_keys_and_factories_make_tokens_of_their_flock_and_nothing_else() {
    let bench = Bench::new().await;
    let flock = bench.post("flock/create", &[("name", "Field")]).await;
    let flock = flock["flock_id"].as_str().unwrap().to_owned();
    let elsewhere = made(&bench, &[("kind", "aws-id")]).await;
    let params = [
        ("flock_id", flock.as_str()),
        ("note", "n"),
        ("auth_token_type", "canarytoken-deploy"),
    ];
    let key = bench.post("flock/auth_token/add", &params).await;
    let deploy = key["flock_api_key"]["auth_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let params = [("flock_id", flock.as_str()), ("memo", "m")];
    let factory = bench.post("canarytoken/create_factory", &params).await;
    let factory = factory["factory_auth"].as_str().unwrap().to_owned();
    for (create, download, name, secret) in [
        (
            "canarytoken/create",
            "canarytoken/download",
            "auth_token",
            &deploy,
        ),
        (
            "canarytoken/factory/create",
            "canarytoken/factory/download",
            "factory_auth",
            &factory,
        ),
        (
            "canarytoken/factory/create",
            "canarytoken/factory/download",
            "factory_auth",
            &deploy,
        ),
    ] {
        let mine = (name, secret.as_str());
        let header = if name == "auth_token" { secret } else { "" };
        let call = |method: &'static str,
                    path: &'static str,
                    params: Vec<(&'static str, String)>| {
            let mut params = params;
            params.push((name, secret.clone()));
            let bench = &bench;
            async move {
                let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (*a, &**b)).collect();
                bench.call_as(header, method, path, &params).await
            }
        };
        let new = |flock: Option<&str>| {
            let mut params = vec![("kind", "aws-id".to_owned()), ("memo", "m".to_owned())];
            params.extend(flock.map(|flock| ("flock_id", flock.to_owned())));
            params
        };
        let got = call("POST", create, new(None)).await;
        assert_eq!(got.status, 200, "{mine:?} {}", got.text);
        let token = &got.json["canarytoken"];
        assert_eq!(token["flock_id"], flock.as_str(), "its flock is implied");
        let own = vec![("canarytoken", id_of(token).to_owned())];
        assert_eq!(call("GET", download, own).await.status, 200);
        assert_eq!(
            call("POST", create, new(Some("flock:default")))
                .await
                .status,
            404
        );
        let other = vec![("canarytoken", id_of(&elsewhere).to_owned())];
        assert_eq!(
            call("GET", download, other).await.status,
            404,
            "of another flock"
        );
    }
    for (method, path) in [
        ("GET", "canarytokens/fetch"),
        ("POST", "canarytoken/delete"),
        ("GET", "incidents/all"),
        ("POST", "breadcrumb/generate"),
    ] {
        let params = [("canarytoken", id_of(&elsewhere)), ("kind", "ssh-key")];
        assert_eq!(
            bench.call_as(&deploy, method, path, &params).await.status,
            403,
            "{path}"
        );
        assert_eq!(
            bench.call_as(&factory, method, path, &params).await.status,
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_breadcrumbs_key_that_is_used_is_told_with_its_reminder() {
    let bench = Bench::new().await;
    bench.bird(node(1), "file-srv").await;
    let bird = node(1).to_string();
    let params = [
        ("node_id", bird.as_str()),
        ("kind", "ssh-key"),
        ("reminder", "build-7:/home/deploy/.ssh"),
    ];
    let made = bench.post("breadcrumb/generate", &params).await;
    assert_eq!(made["crumb"], made["private_key"]);
    assert_eq!(
        (
            &made["label"],
            &made["canary_ip"],
            &made["ssh_port"],
            &made["title"]
        ),
        (
            &json!("file-srv"),
            &json!("192.0.2.20"),
            &json!("22"),
            &json!("id_file-srv")
        )
    );
    assert!(
        made["readme"]
            .as_str()
            .unwrap()
            .contains("HostName 192.0.2.20")
    );
    let public = made["public_key"].as_str().unwrap();
    // OpenSSH's own tool reads the private key and finds the same public one.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("id");
    std::fs::write(&file, made["private_key"].as_str().unwrap()).unwrap();
    std::process::Command::new("chmod")
        .arg("600")
        .arg(&file)
        .status()
        .unwrap();
    let read = std::process::Command::new("ssh-keygen")
        .arg("-yf")
        .arg(&file)
        .output()
        .unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    assert_eq!(read.trim(), format!("{public} root@file-srv"));

    bench
        .key_login(node(1), "198.51.100.4", &format!("{public} comment"))
        .await;
    bench
        .key_login(node(1), "198.51.100.5", "ssh-ed25519 AAAAother")
        .await;
    let all = bench.get("incidents/all", &[]).await;
    let used = &all["incidents"][0]["description"];
    assert_eq!(
        (&used["description"], &used["logtype"], &used["reminder"]),
        (
            &json!("SSH Key Breadcrumb Used"),
            &json!("29001"),
            &json!("build-7:/home/deploy/.ssh")
        )
    );
    let mut event = used["events"][0].clone();
    event
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !name.starts_with("timestamp"));
    assert_eq!(
        event,
        json!({
            "KEY": format!("{public} comment"), "SERVICE": "SSH", "USERNAME": "deploy",
            "reminder": "build-7:/home/deploy/.ssh",
        })
    );
    let other = &all["incidents"][1]["description"];
    assert_eq!(other["description"], "SSH Login Attempt");
    assert_eq!(other.get("reminder"), None);

    let anywhere = [("kind", "ssh-key"), ("reminder", "elsewhere")];
    let second = bench.get("breadcrumb/generate", &anywhere).await;
    assert_ne!(second["public_key"], made["public_key"]);
    assert_eq!(second.get("canary_ip"), None);
    let got = bench
        .call("GET", "breadcrumb/generate", &anywhere[..1])
        .await;
    assert_eq!(refusal(&got), (400, "Parameter reminder is required."));
}

#[tokio::test]
async fn breadcrumbs_lead_to_services_that_the_bird_offers() {
    let bench = Bench::new().await;
    bench.bird(node(1), "file-srv").await;
    let bird = node(1).to_string();
    let bird = ("node_id", bird.as_str());
    let putty = [bird, ("kind", "putty-profile")];
    let made = bench.get("breadcrumb/generate", &putty).await;
    assert_eq!(made["title"], "file-srv.reg");
    assert!(
        made["crumb"]
            .as_str()
            .unwrap()
            .contains("\"HostName\"=\"192.0.2.20\"")
    );
    let text = [&putty[..], &[("mode", "text")]].concat();
    let got = bench.call("POST", "breadcrumb/generate", &text).await;
    assert_eq!(got.text, made["crumb"].as_str().unwrap());
    let got = bench.call("GET", "breadcrumb/download", &putty).await;
    assert_eq!(
        got.headers["content-disposition"],
        "attachment; filename=file-srv.reg"
    );
    assert_eq!(got.text, made["crumb"].as_str().unwrap());
    let zip = [&putty[..], &[("mode", "zip")]].concat();
    for (params, name) in [
        (&zip[..], "file-srv-putty-profile.zip"),
        (&[bird][..], "file-srv.zip"),
    ] {
        let got = bench.call("GET", "breadcrumb/download", params).await;
        assert_eq!(got.headers["content-type"], "application/zip");
        assert_eq!(
            got.headers["content-disposition"],
            format!("attachment; filename={name}").as_str()
        );
        for file in ["putty-profile/file-srv.reg", "putty-profile/README.md"] {
            assert!(got.text.contains(file), "{file}");
        }
        assert!(!got.text.contains("id_"), "no credential");
    }
    let smb = [bird, ("kind", "windows-smb-shortcut")];
    assert_eq!(
        refusal(&bench.call("GET", "breadcrumb/generate", &smb).await),
        (
            400,
            "The bird does not offer smb, which this breadcrumb leads to"
        )
    );
    let nobody = [("node_id", "0000000000000000"), ("kind", "putty-profile")];
    let got = bench.call("GET", "breadcrumb/generate", &nobody).await;
    assert_eq!(refusal(&got), (404, "Device not found"));
    let got = bench
        .call("GET", "breadcrumb/generate", &[("kind", "rdp-profile")])
        .await;
    assert_eq!(refusal(&got), (400, "Parameter node_id is required."));
}

#[tokio::test]
async fn breadcrumb_keys_make_breadcrumbs_of_their_flocks_birds_and_nothing_else() {
    let bench = Bench::new().await;
    bench.bird(node(1), "file-srv").await;
    let bird = node(1).to_string();
    let flock = bench.post("flock/create", &[("name", "Field")]).await;
    let flock = flock["flock_id"].as_str().unwrap().to_owned();
    let own = bench
        .make_key(Role::BreadcrumbDeploy, Some("flock:default"))
        .await;
    let other = bench.make_key(Role::BreadcrumbDeploy, Some(&flock)).await;
    let params = [("node_id", bird.as_str()), ("kind", "putty-profile")];
    let generate = "breadcrumb/generate";
    assert_eq!(
        bench.call_as(&own, "POST", generate, &params).await.status,
        200
    );
    assert_eq!(
        bench
            .call_as(&other, "POST", generate, &params)
            .await
            .status,
        404
    );
    let reader = bench.make_key(Role::ReadOnly, Some("flock:default")).await;
    let got = bench.call_as(&reader, "GET", generate, &params).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let key = [("kind", "ssh-key"), ("reminder", "r")];
    assert_eq!(
        refusal(&bench.call_as(&reader, "GET", generate, &key).await),
        (
            403,
            "Only keys of admins and for breadcrumbs may make ssh-key"
        )
    );
    let deploy = bench
        .make_key(Role::TokenDeploy, Some("flock:default"))
        .await;
    assert_eq!(
        bench
            .call_as(&deploy, "GET", generate, &params)
            .await
            .status,
        403
    );
    let params = [("kind", "http"), ("memo", "m")];
    assert_eq!(
        bench
            .call_as(&own, "POST", "canarytoken/create", &params)
            .await
            .status,
        403
    );
}

/// An account that refuses every second time to take credentials back or switch them, from the
/// second on.
#[derive(Debug, Default)]
struct Refusing(AtomicUsize);

impl CloudProvider for Refusing {
    fn kind(&self) -> &'static str {
        "aws-id"
    }

    fn reach(&self) -> &'static str {
        ""
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn create(&self, _: &TokenId) -> Result<Map<String, Value>, CloudError> {
        let connected = (INTEGRATION.to_owned(), CONNECTED.into());
        Ok(Map::from_iter([connected]))
    }

    fn delete(&self, _: &Map<String, Value>) -> Result<(), CloudError> {
        match self.0.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Ok(()),
            _ => Err(CloudError("no".to_owned())),
        }
    }

    fn set_enabled(&self, _: &Map<String, Value>, _: bool) -> Result<(), CloudError> {
        self.delete(&Map::new())
    }

    fn look(&self, _: &Token, mark: &Value, _: Timestamp) -> Looked {
        Looked {
            touches: Vec::new(),
            mark: mark.clone(),
            problem: None,
            is_unreachable: false,
        }
    }
}

#[tokio::test]
async fn what_a_cloud_does_not_take_back_keeps_its_evidence() {
    let cloud = Arc::new(Refusing::default());
    let bench = Bench::with_clouds(vec![Arc::<Refusing>::clone(&cloud)]).await;
    let asked = || cloud.0.load(Ordering::Relaxed);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let token = made(&bench, &[("kind", "aws-id")]).await;
        bench.touch(id_of(&token), "198.51.100.1", now()).await;
        ids.push(id_of(&token).to_owned());
    }
    let left = async || {
        let incidents = bench.get("incidents/all", &[]).await["incidents"].clone();
        let tokens = bench.get("canarytokens/fetch", &[]).await["tokens"].clone();
        let count = |list: Value| list.as_array().unwrap().len();
        (count(incidents), count(tokens))
    };
    let refused = (409, "Could not delete Canarydrop: no");

    // With incidents that may not go, the cloud isn't asked.
    let domains = ("domains", "tokens.test");
    let one = ("canarytoken", ids[0].as_str());
    for (path, which) in [
        ("canarytokens/delete", domains),
        ("canarytoken/delete", one),
    ] {
        let got = bench.call("POST", path, &[which]).await;
        assert_eq!(refusal(&got), (409, "Could not delete Canarydrop"));
    }
    assert_eq!(asked(), 0);

    let all = [domains, ("clear_incidents", "true")];
    let got = bench.call("POST", "canarytokens/delete", &all).await;
    assert_eq!((refusal(&got), asked()), (refused, 2));
    assert_eq!(left().await, (3, 3));

    let one = [one, ("clear_incidents", "true")];
    bench.post("canarytoken/delete", &one).await;
    assert_eq!(left().await, (2, 2));
    let one = [
        ("canarytoken", ids[1].as_str()),
        ("clear_incidents", "true"),
    ];
    let got = bench.call("POST", "canarytoken/delete", &one).await;
    assert_eq!((refusal(&got), asked()), (refused, 4));
    assert_eq!(left().await, (2, 2));
    bench.post("canarytoken/delete", &one).await;
    assert_eq!(left().await, (1, 1));
}

#[tokio::test]
async fn a_cloud_that_switches_nothing_is_told_and_the_token_stands_as_the_answer_says() {
    let cloud = Arc::new(Refusing::default());
    let bench = Bench::with_clouds(vec![Arc::<Refusing>::clone(&cloud)]).await;
    let id = id_of(&made(&bench, &[("kind", "aws-id")]).await).to_owned();
    let one = [("canarytoken", id.as_str())];
    let enabled = async || bench.get("canarytoken/fetch", &one).await["token"]["enabled"].clone();
    bench.post("canarytoken/disable", &one).await;
    assert_eq!(enabled().await, false);
    let got = bench.call("POST", "canarytoken/enable", &one).await;
    assert_eq!(refusal(&got), (409, "Could not enable Canarydrop: no"));
    assert_eq!(enabled().await, false);
    bench.post("canarytoken/enable", &one).await;
    assert_eq!(enabled().await, true);
    let got = bench.call("POST", "canarytoken/disable", &one).await;
    assert_eq!(
        refusal(&got),
        (
            409,
            "The Canarytoken is disabled and does not alert, but its credentials may still be \
             valid: no"
        )
    );
    assert_eq!(enabled().await, false);
    let trail = bench.get("audit_trail/fetch", &[]).await.to_string();
    let count = |word: &str| trail.matches(&format!("{word} Canarytoken {id}")).count();
    assert_eq!((count("disabled"), count("enabled")), (2, 1));
    // Of kinds without an account, none is asked.
    let other = id_of(&made(&bench, &[("kind", "http")]).await).to_owned();
    for path in ["canarytoken/disable", "canarytoken/enable"] {
        bench.post(path, &[("canarytoken", &other)]).await;
    }
    assert_eq!(cloud.0.load(Ordering::Relaxed), 4);
}
