//! Tokens: minted over the API, touched by real clients, told once.

use serde_json::json;

use crate::nest::{Nest, QUICK, client, have};

#[test]
fn a_web_bug_tells_who_fetched_it() {
    if !have("curl") {
        return;
    }
    let nest = Nest::start(QUICK);
    let made = nest.post(
        "canarytoken/create",
        &[("kind", "http"), ("memo", "in the wiki")],
    );
    assert_eq!(made["result"], "success", "{made}");
    let token = made["canarytoken"]["canarytoken"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = reachable(&nest, made["canarytoken"]["url"].as_str().unwrap());
    let known = client(
        "curl",
        &["-si", "-A", "Wget/1.21", &format!("{url}?from=mail")],
    );
    let incident = nest.incident("Canarytoken triggered", 1);
    let d = &incident["description"];
    assert_eq!(
        (&d["logtype"], &d["memo"]),
        (&json!("17000"), &json!("in the wiki"))
    );
    assert_eq!((&d["name"], &d["node_id"]), (&json!("N/A"), &json!(token)));
    assert_eq!(d["src_host"], "127.0.0.1");
    let event = &d["events"][0];
    for (field, wanted) in [
        ("type", "http"),
        ("kind", "http"),
        ("channel", "http"),
        ("canarytoken", &token),
        ("logtype", "17000"),
        ("description", "Canarytoken triggered"),
    ] {
        assert_eq!(event[field], wanted, "{field} of {event:#}");
    }
    assert_eq!(event["headers"]["User-Agent"], "Wget/1.21");
    assert!(event["url"].as_str().unwrap().ends_with("?from=mail"));
    assert!(event["timestamp"].is_number());

    // Unknown and disabled tokens answer the same but for the date.
    let flipped = token.chars().rev().collect::<String>();
    let unknown = client(
        "curl",
        &[
            "-si",
            "-A",
            "Wget/1.21",
            &format!("{}?from=mail", url.replace(&token, &flipped)),
        ],
    );
    assert_eq!(without_date(&known), without_date(&unknown));
    nest.post("canarytoken/disable", &[("canarytoken", &token)]);
    let disabled = client(
        "curl",
        &["-si", "-A", "Wget/1.21", &format!("{url}?from=mail")],
    );
    assert_eq!(without_date(&known), without_date(&disabled));
    nest.incident("Canarytoken triggered", 1);
}

#[test]
fn a_dns_token_tells_who_resolved_it_and_its_data() {
    if !have("dig") {
        return;
    }
    let nest = Nest::start(QUICK);
    let made = nest.post(
        "canarytoken/create",
        &[("kind", "dns"), ("memo", "in the hosts file")],
    );
    let token = made["canarytoken"]["canarytoken"]
        .as_str()
        .unwrap()
        .to_owned();
    let name = made["canarytoken"]["hostname"].as_str().unwrap().to_owned();
    let server = format!("@{}", nest.address);
    let port = nest.run["tokens"]["dns_port"].to_string();
    // "hello" in base32, as data labels; the name alone comes first, as resolvers ask.
    let [told, other] = ["G42", "G43"].map(|mark| format!("NBSWY3DP.{mark}.{name}"));
    let walk = [
        &server, "-p", &port, &name, "A", &told, "A", "+tcp", &other, "AAAA",
    ];
    let said = client("dig", &walk);
    assert_eq!(said.matches("status: NOERROR").count(), 3, "{said}");
    assert_eq!(said.matches("flags: qr aa").count(), 3, "{said}");
    let incident = nest.incident("Canarytoken triggered", 2);
    assert_eq!(incident["description"]["logtype"], "16000");
    let events = incident["description"]["events"].as_array().unwrap();
    assert_eq!(
        (&events[0]["type"], &events[0]["canarytoken"]),
        (&json!("dns"), &json!(token))
    );
    for (event, hostname) in events.iter().zip([&told, &other]) {
        assert_eq!(event["hostname"], *hostname);
        assert_eq!(event["generic_data"], "hello");
    }

    let foreign = client("dig", &[&server, "-p", &port, "example.com", "A"]);
    assert!(
        foreign.contains("status: REFUSED") && !foreign.contains(" ra"),
        "{foreign}"
    );
    let transfer = client(
        "dig",
        &[
            &server,
            "-p",
            &port,
            nest.run["tokens"]["zone"].as_str().unwrap(),
            "AXFR",
        ],
    );
    assert!(!transfer.contains("XFR size"), "{transfer}");
    nest.incident("Canarytoken triggered", 2);
}

/// The URL with the test's own address in place of the zone, which no resolver here knows.
fn reachable(nest: &Nest, url: &str) -> String {
    let path = url.splitn(4, '/').nth(3).unwrap();
    format!(
        "http://{}:{}/{path}",
        nest.address, nest.run["tokens"]["http_port"]
    )
}

fn without_date(answer: &str) -> String {
    answer
        .lines()
        .filter(|line| !line.starts_with("Date:"))
        .collect::<Vec<_>>()
        .join("\n")
}
