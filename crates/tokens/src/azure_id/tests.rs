use std::sync::OnceLock;

use super::*;
use crate::tests::{minted, minted_by, request, token as minted_token};
use coalmine_core::Seed;
use coalmine_core::token::HttpHit;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const NOW: i64 = 1_700_000_000;

/// The one token of these tests: its key takes a while.
fn token() -> Token {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    TOKEN.get_or_init(|| minted_token(&KIND)).clone()
}

fn ask(method: &str, path: &str, body: &str) -> (Trip, u16, Value) {
    ask_with(method, path, body, &[])
}

fn ask_with(method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> (Trip, u16, Value) {
    let token = token();
    let path = path.replace("TENANT", token.fields["tenant_id"].as_str().unwrap());
    let body = body.replace("APP", token.fields["app_id"].as_str().unwrap());
    let url = format!("http://login.example.com{path}");
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers: Vec<_> = headers.iter().map(own).collect();
    let hit = HttpHit {
        method,
        url: &url,
        rest: path.trim_start_matches('/'),
        headers: &headers,
        body: body.as_bytes(),
        ..request()
    };
    let trip = (KIND.trip)(&token, &Hit::Http(hit));
    let Answer::Full { status, body, .. } = &trip.answer else {
        panic!("{trip:?}")
    };
    let told = serde_json::from_slice(body).unwrap_or_default();
    let status = *status;
    (trip, status, told)
}

/// An assertion that `key` signs.
fn assertion(key: &rsa::Key, head: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(head), part(claims));
    let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn own_key() -> rsa::Key {
    // As crate::tests::minted does it.
    rsa::Key::new(&Seed::new([1; 32]).derive("token"), "azure key").unwrap()
}

fn claims(from: i64) -> Value {
    json!({"aud": "https://login.example.com/x/oauth2/v2.0/token", "iss": "APP", "sub": "APP",
           "nbf": from, "exp": from + 600, "jti": "1"})
}

#[test]
fn the_files_fit_together() {
    let made = minted(&KIND, &[(FILE_NAME, "backup-sync.pem")]).unwrap();
    let field = |name: &str| made.fields[name].as_str().unwrap();
    let login: Value = serde_json::from_str(&made.renders["azure-id"]).unwrap();
    assert_eq!(login["appId"], field("app_id"));
    assert_eq!(login["tenant"], field("tenant_id"));
    assert_eq!(login["fileWithCertAndPrivateKey"], "backup-sync.pem");
    assert!(field("app_name").starts_with("azure-cli-20"));
    assert_eq!(made.aliases[0].key, field("tenant_id"));
    assert_eq!(
        made.renders["env"],
        format!(
            "AZURE_AUTHORITY_HOST=https://tokens.example.com\nAZURE_TENANT_ID={}\n\
             AZURE_CLIENT_ID={}\nAZURE_CLIENT_CERTIFICATE_PATH=backup-sync.pem\n",
            field("tenant_id"),
            field("app_id")
        )
    );
    let text = &made.renders["pem"];
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\nMII"));
    let (_, certificate) = text.split_once("-----BEGIN CERTIFICATE-----\n").unwrap();
    let (body, _) = certificate.split_once("-----END").unwrap();
    let der = data_encoding::BASE64
        .decode(body.replace('\n', "").as_bytes())
        .unwrap();
    assert_eq!(
        field("certificate_thumbprint"),
        HEXUPPER.encode(&Sha1::digest(&der))
    );
    let file = made.file.unwrap();
    assert!(file.bytes.starts_with(b"PK") && file.name == "azure-login.zip");

    let other = minted_by(2, &KIND, &[(FILE_NAME, "a.pem")], &[]).unwrap();
    for name in [
        "app_id",
        "tenant_id",
        "certificate_thumbprint",
        "certificate_modulus",
    ] {
        assert_ne!(other.fields[name], made.fields[name], "{name}");
    }
    for bad in [
        "a", ".pem", "a/b.pem", "a b.pem", "..pem", "é.pem", "a\".pem",
    ] {
        let faults = minted(&KIND, &[(FILE_NAME, bad)]).unwrap_err();
        assert_eq!(faults[0].key, FILE_NAME, "{bad}");
    }
}

#[test]
fn the_metadata_leads_to_the_host_that_was_asked() {
    let path = "/TENANT/v2.0/.well-known/openid-configuration";
    let (trip, status, told) = ask("GET", path, "");
    let tenant = trip.fields["tenant_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (status, &trip.fields["eventName"]),
        (200, &json!("discovery"))
    );
    assert!(trip.alert);
    assert_eq!(
        told["token_endpoint"],
        format!("http://login.example.com/{tenant}/oauth2/v2.0/token")
    );
    assert_eq!(
        told["issuer"],
        format!("http://login.example.com/{tenant}/v2.0")
    );
    let (_, _, told) = ask_with("GET", path, "", &[("X-Forwarded-Proto", "https")]);
    assert_eq!(
        told["authorization_endpoint"],
        format!("https://login.example.com/{tenant}/oauth2/v2.0/authorize")
    );
    let (_, _, told) = ask("GET", "/TENANT/.well-known/openid-configuration", "");
    assert_eq!(told["issuer"], format!("https://sts.windows.net/{tenant}/"));
    assert_eq!(
        told["token_endpoint"],
        format!("http://login.example.com/{tenant}/oauth2/token")
    );
    for (method, path) in [
        ("PUT", path),
        ("GET", "/TENANT/oauth2/v2.0/authorize"),
        ("GET", "/abcdefghijklmnopqrstuvwxy/about.html"),
    ] {
        let (trip, status, _) = ask(method, path, "");
        assert_eq!(status, 404);
        let name = trip.fields["eventName"].as_str().unwrap();
        let path = path.replace("TENANT", &tenant);
        assert_eq!(name, format!("{method} {path}"));
    }
}

#[test]
fn each_wrong_request_has_its_own_error() {
    let token = token();
    let app = token.fields["app_id"].as_str().unwrap();
    let ours = token.fields["certificate_x5t"].as_str().unwrap();
    let theirs = BASE64URL_NOPAD.encode(&[7; 20]);
    let key = own_key();
    let other = rsa::Key::new(&Seed::new([9; 32]), "other").unwrap();
    let signed = |key: &rsa::Key, print: &str, from: i64| {
        assertion(key, &json!({"alg": "RS256", "x5t": print}), &claims(from))
    };
    let with = |jwt: &str| {
        format!(
            "grant_type=client_credentials&client_id=APP&scope=a%2F.default&client_assertion_type={}&client_assertion={jwt}",
            ASSERTION.replace(':', "%3A")
        )
    };
    let start = "grant_type=client_credentials&client_id=APP&scope=a+b";
    for (body, status, error, code, valid) in [
        ("", 400, "invalid_request", 900_144, None),
        (
            "grant_type=client_credentials",
            400,
            "invalid_request",
            900_144,
            None,
        ),
        (
            "grant_type=x&client_id=APP",
            400,
            "unsupported_grant_type",
            70_003,
            None,
        ),
        (
            "grant_type=client_credentials&client_id=APP",
            400,
            "invalid_request",
            900_144,
            None,
        ),
        (
            "grant_type=client_credentials&client_id=b&scope=c",
            400,
            "unauthorized_client",
            700_016,
            None,
        ),
        (start, 401, "invalid_client", 7_000_218, None),
        (
            &format!("{start}&client_secret=abc"),
            401,
            "invalid_client",
            7_000_215,
            None,
        ),
        (
            &format!("{start}&client_assertion=a.b.c"),
            400,
            "invalid_request",
            50_013,
            Some("False"),
        ),
        (
            &with("a.b.c"),
            400,
            "invalid_request",
            50_027,
            Some("False"),
        ),
        (
            &with("e30.e30.e30"),
            400,
            "invalid_request",
            50_027,
            Some("False"),
        ),
        (
            &with(&signed(&other, &theirs, NOW)),
            401,
            "invalid_client",
            700_027,
            Some("False"),
        ),
        (
            &with(&signed(&other, ours, NOW)),
            401,
            "invalid_client",
            700_027,
            Some("False"),
        ),
        (
            &with(&signed(&key, ours, NOW - 3_600)),
            401,
            "invalid_client",
            700_024,
            Some("True"),
        ),
        (
            // Padded, as some libraries do.
            &with(&signed(&key, &format!("{ours}="), NOW)),
            400,
            "unauthorized_client",
            7_000_112,
            Some("True"),
        ),
    ] {
        let (trip, got, told) = ask("POST", "/TENANT/oauth2/v2.0/token", body);
        assert_eq!(
            (got, &told["error"]),
            (status, &json!(error)),
            "{body}: {told}"
        );
        assert_eq!(told["error_codes"], json!([code]), "{body}");
        let text = told["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
        assert!(text.ends_with("Timestamp: 2023-11-14 22:13:20Z"), "{text}");
        assert!(trip.alert && trip.fields["eventName"] == "token");
        assert_eq!(
            trip.fields.get("signature_valid").and_then(Value::as_str),
            valid,
            "{body}"
        );
        assert_eq!(trip.fields["app_id"], app);
    }
}

#[test]
fn what_the_assertion_said_is_told() {
    let token = token();
    let print = token.fields["certificate_x5t_s256"].as_str().unwrap();
    let head = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": print});
    let jwt = assertion(&own_key(), &head, &claims(NOW));
    let body = format!(
        "grant_type=client_credentials&client_id=APP&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&client_assertion_type={ASSERTION}&client_assertion={jwt}"
    );
    let id = "5f0f41f8-4a3f-4f58-8f10-2a3fbd43d7a1";
    let (trip, _, told) = ask_with(
        "POST",
        "/TENANT/oauth2/v2.0/token",
        &body,
        &[
            ("client-request-id", id),
            ("return-client-request-id", "true"),
        ],
    );
    assert_eq!(told["correlation_id"], id);
    assert_eq!(trip.fields["scope"], "https://graph.microsoft.com/.default");
    assert_eq!(trip.fields["requested_app_id"], token.fields["app_id"]);
    let said = &trip.fields["client_assertion"];
    assert_eq!(
        said,
        &json!({"alg": "RS256", "typ": "JWT", "x5t#S256": print, "iss": "APP", "sub": "APP",
                "aud": "https://login.example.com/x/oauth2/v2.0/token", "jti": "1",
                "nbf": "1700000000", "exp": "1700000600"})
    );
    let Answer::Full { headers, .. } = trip.answer else {
        panic!()
    };
    let has = |name: &str| headers.iter().any(|(n, v)| n == name && v == id);
    assert!(has("client-request-id"));
}
