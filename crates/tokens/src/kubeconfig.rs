//! Kubeconfig: credentials for a cluster that is us.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Alias, Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind,
    Trip,
};
use coalmine_core::{Seed, Timestamp};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use crate::files::der::{bits, context, integer, octets, oid, pem, sequence, set, utf8};
use crate::files::signer::{self, extension};
use crate::files::{self, Dice};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "kubeconfig",
    title: "Kubeconfig",
    description: "Kubeconfig",
    doc: "A kubectl configuration with the credentials of a cluster's administrator.\n\
          Leave it as ~/.kube/config, in a repository or among the secrets of a build server.\n\
          Any kubectl command raises an incident; one command is several requests, thus events. The \
          cluster says that the credentials have expired. The number of these incidents is our own.",
    group: Group::Cloud,
    trial: "Ask the cluster for anything: `kubectl --kubeconfig {file} get pods`.",
    logtype: 17032,
    channels: &[TokenChannel::Kubernetes],
    reach: Reach::Direct,
    asks: &[Ask {
        name: CREDENTIAL,
        doc: "What kubectl shows: a client's certificate (the default), or the token of a service \
              account.",
        required: false,
        takes: Takes::Choice(&["certificate", "token"]),
    }],
    event: &[
        Field::text(
            CREDENTIAL,
            true,
            "What was shown: `certificate` or `token`.",
            || json!("certificate"),
        ),
        Field::text(
            PRINT,
            true,
            "SHA-1 of the certificate shown, in hex.",
            || json!("0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33"),
        ),
        Field::text(AGENT, true, "What the client calls itself.", || {
            json!("kubectl/v1.32.0 (linux/amd64) kubernetes/70d3cc9")
        }),
        Field::text(PATH, true, "The method and path of the request.", || {
            json!("GET /api")
        }),
    ],
    mint,
    trip,
};

const CREDENTIAL: &str = "credential_type";
const PRINT: &str = "certificate_fingerprint";
const AGENT: &str = "user_agent";
const PATH: &str = "request_path";
const DAY: i64 = 86_400;

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let Some(place) = &mint.places.kubernetes else {
        return Err(vec![Fault::new("kind", "needs the kubernetes channel")]);
    };
    let mut dice = Dice::new(&mint.seed, "cluster");
    let cluster = format!(
        "{}-{}",
        dice.pick(&["prod", "live", "core", "k8s", "main", "prod-eu", "prod-us"]),
        dice.pick(&["cluster", "1", "2", "01", "02", "a", "blue"]),
    );
    let kind = mint.param(CREDENTIAL).unwrap_or("certificate");
    let (user, credentials, key) = match kind {
        "token" => {
            let user = dice.pick(&["deployer", "ci", "admin-user", "argocd-manager", "backup"]);
            let token = service_token(&mut dice, &mint.seed, user, mint.now);
            (user.to_owned(), format!("    token: {token}\n"), token)
        }
        _ => {
            let (certificate, private) = client_certificate(&mut dice, &mint.seed, mint.now);
            let print = HEXLOWER.encode(&Sha1::digest(&certificate));
            let text = format!(
                "    client-certificate-data: {}\n    client-key-data: {}\n",
                BASE64.encode(pem("CERTIFICATE", &certificate).as_bytes()),
                BASE64.encode(pem("EC PRIVATE KEY", &private).as_bytes()),
            );
            ("kubernetes-admin".to_owned(), text, print)
        }
    };
    let text = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {}\n  \
         name: {cluster}\ncontexts:\n- context:\n    cluster: {cluster}\n    user: {user}\n  \
         name: {user}@{cluster}\ncurrent-context: {user}@{cluster}\nkind: Config\npreferences: {{}}\n\
         users:\n- name: {user}\n  user:\n{credentials}",
        BASE64.encode(place.ca_pem.as_bytes()),
        place.url,
    );
    let mut made = files::artefact(
        "kubeconfig",
        "kubeconfig",
        "application/yaml",
        text.clone().into_bytes(),
    );
    made.fields.insert(CREDENTIAL.to_owned(), kind.into());
    made.renders.insert("kubeconfig".to_owned(), text);
    made.aliases.push(Alias {
        channel: TokenChannel::Kubernetes,
        key,
    });
    Ok(made)
}

/// A certificate of the cluster's administrators as kubeadm makes it, and its key (RFC 5915).
fn client_certificate(dice: &mut Dice, seed: &Seed, now: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let part = |id: &str, value: &str| set(vec![sequence(&[oid(id), utf8(value)])]);
    let issuer = sequence(&[part("2.5.4.3", "kubernetes")]);
    let subject = sequence(&[
        part("2.5.4.10", "kubeadm:cluster-admins"),
        part("2.5.4.3", "kubernetes-admin"),
    ]);
    let (authority, key) = (
        signer::key(seed, "cluster key"),
        signer::key(seed, "client key"),
    );
    let age = i64::from(dice.number(5, 200)) * DAY + i64::from(dice.number(0, 86_400));
    let since = Timestamp::from_secs(now.secs().saturating_sub(age));
    let until = Timestamp::from_secs(since.secs().saturating_add(365 * DAY));
    let certificate = signer::certificate(
        &authority,
        &issuer,
        &subject,
        &key,
        &signer::serial(dice),
        (since, until),
        vec![
            extension("2.5.29.15", true, &bits(5, &[0xa0])),
            extension("2.5.29.37", false, &sequence(&[oid("1.3.6.1.5.5.7.3.2")])),
            extension("2.5.29.19", true, &sequence(&[])),
        ],
        None,
    );
    let point = VerifyingKey::from(&key).to_sec1_point(false);
    let private = sequence(&[
        integer(&[1]),
        octets(&key.to_bytes()),
        context(0, &oid("1.2.840.10045.3.1.7")),
        context(1, &bits(0, point.as_bytes())),
    ]);
    (certificate, private)
}

/// The token of a service account's secret (RFC 7519), signed by a key of nobody's.
fn service_token(dice: &mut Dice, seed: &Seed, user: &str, now: Timestamp) -> String {
    let key: SigningKey = signer::key(seed, "account key");
    let space = dice.pick(&["kube-system", "default", "ci", "argocd", "ops"]);
    let id = BASE64URL_NOPAD.encode(&dice.bytes::<32>());
    let uid = dice.guid().to_ascii_lowercase();
    let issued = now
        .secs()
        .saturating_sub(i64::from(dice.number(5, 200)) * DAY);
    let head = json!({"alg": "ES256", "kid": id});
    let claims = json!({
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "exp": issued.saturating_add(365 * DAY), "iat": issued, "nbf": issued,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "kubernetes.io": {"namespace": space, "serviceaccount": {"name": user, "uid": uid}},
        "sub": format!("system:serviceaccount:{space}:{user}"),
    });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&head), part(&claims));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let path = hit.url.split_once("://").map_or(hit.url, |(_, rest)| {
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
    });
    let mut fields = Map::from_iter([
        (PATH.to_owned(), format!("{} {path}", hit.method).into()),
        (
            AGENT.to_owned(),
            hit.header("user-agent").unwrap_or_default().into(),
        ),
    ]);
    if let Some(kind) = token.fields.get(CREDENTIAL) {
        fields.insert(CREDENTIAL.to_owned(), kind.clone());
    }
    if let Some(print) = hit.client_certificate {
        fields.insert(PRINT.to_owned(), print.into());
    }
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, minted_by, request, token};

    #[test]
    fn either_credential_is_one_that_the_channel_knows() {
        let made = minted(&KIND, &[]).unwrap();
        let text = &made.renders["kubeconfig"];
        assert!(text.contains("    server: https://tokens.example.com:6443\n"));
        let line = text
            .lines()
            .find(|line| line.contains("client-certificate-data: "))
            .unwrap();
        let shown = BASE64
            .decode(line.split(": ").nth(1).unwrap().as_bytes())
            .unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let body: String = shown
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let der = BASE64.decode(body.as_bytes()).unwrap();
        assert_eq!(made.aliases[0].key, HEXLOWER.encode(&Sha1::digest(der)));

        let made = minted(&KIND, &[(CREDENTIAL, "token")]).unwrap();
        let text = &made.renders["kubeconfig"];
        assert!(text.ends_with(&format!("    token: {}\n", made.aliases[0].key)));
        assert!(
            made.aliases[0].key.len() <= 1024,
            "{}",
            made.aliases[0].key.len()
        );
        assert_eq!(made.aliases[0].key.split('.').count(), 3);
        assert_ne!(minted_by(2, &KIND, &[], &[]).unwrap().aliases, made.aliases);
    }

    #[test]
    fn a_request_tells_what_was_asked_and_shown() {
        let headers = [("User-Agent".to_owned(), "kubectl/v1".to_owned())];
        let hit = Hit::Http(coalmine_core::token::HttpHit {
            url: "https://k:6443/api?timeout=32s",
            headers: &headers,
            client_certificate: Some("0b"),
            ..request()
        });
        let trip = (KIND.trip)(&token(&KIND), &hit);
        assert_eq!(
            Value::Object(trip.fields),
            json!({
                PATH: "GET /api?timeout=32s", AGENT: "kubectl/v1", PRINT: "0b",
                CREDENTIAL: "certificate",
            })
        );
    }
}
