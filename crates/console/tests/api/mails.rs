//! Templates and batches of mails in mailboxes: whose they are.

use coalmine_store::keys::Role;
use serde_json::json;

use crate::bench::Bench;

#[tokio::test]
async fn a_flocks_template_is_its_own_and_its_deploy_keys_alone_see_it() {
    let bench = Bench::new().await;
    let flock = bench.post("flock/create", &[("name", "Field")]).await;
    let flock = flock["flock_id"].as_str().unwrap().to_owned();
    let field = ("flock_id", flock.as_str());
    let key = bench.make_key(Role::TokenDeploy, Some(&flock)).await;
    let reader = bench.make_key(Role::ReadOnly, Some(&flock)).await;
    let words = [("email_html", "<p>{user}</p>"), ("email_subject", "Hi")];
    for (service, domain) in [("gmail", json!("")), ("office365", json!(null))] {
        let path = format!("canarytoken/{service}/email");
        let params = [&words[..], &[field]].concat();
        let got = bench.call_as(&key, "POST", &path, &params).await;
        assert_eq!(got.status, 200, "{}", got.text);
        let got = bench.call_as(&key, "GET", &path, &[field]).await;
        let object = |html: &str, subject: &str| {
            let mut object = json!({"result": "success", "email_html": html,
                "email_subject": subject, "email_sender": ""});
            if domain.is_string() {
                object["domain"] = domain.clone();
            }
            object
        };
        assert_eq!(got.json, object("<p>{user}</p>", "Hi"));
        let default = [("flock_id", "flock:default")];
        assert_eq!(bench.get(&path, &default).await, object("", ""));
        for method in ["GET", "POST"] {
            let params = [&words[..], &default].concat();
            let got = bench.call_as(&key, method, &path, &params).await;
            assert_eq!(got.status, 404, "{method} {}", got.text);
            let got = bench.call_as(&reader, method, &path, &params).await;
            assert_eq!(got.status, 403, "{method} {}", got.text);
        }
    }
    // A key of one flock need not name it.
    let got = bench
        .call_as(&key, "GET", "canarytoken/office365/email", &[])
        .await;
    assert_eq!(got.json["email_subject"], "Hi");
}
