//! AWS API Key: credentials whose endpoint is ours.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, ArtefactFile, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel,
    TokenKind, Trip,
};
use serde_json::{Value, json};

use crate::aws::call::{Call, Refusal};
use crate::aws::{self, Key};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "aws-id",
    title: "AWS API Key",
    description: "Amazon API Key",
    doc: "An access key of AWS, as the file that its programs read.\n\
          Leave it as .aws/credentials in a home folder, in a repository, in a build server's \
          variables: wherever a thief looks first.\n\
          Whoever uses it learns whose key it is and that it may do nothing; the incident tells \
          which operation of which service was tried.",
    group: Group::Cloud,
    trial: "Use the key: `AWS_SHARED_CREDENTIALS_FILE={file} AWS_CONFIG_FILE=config aws sts get-caller-identity`.",
    logtype: 17012,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "It alerts where the endpoint_url beside the key is used too, as current programs and \
         libraries of AWS do. A key that is tried against AWS itself stays silent, and AWS answers \
         that there is no such key.",
    ),
    asks: &[Ask {
        name: EXPIRY,
        doc: "For how long the key seems to work, e.g. 12h, 30d, 2w, 6mo or 1y; without end if it's left out.",
        required: false,
        takes: Takes::Text(16),
    }],
    event: EVENT,
    mint,
    trip,
};

const EXPIRY: &str = "expiry";

const EVENT: &[Field] = &[
    Field::text("access_key_id", false, "Id of the token's key.", || {
        json!("AKIAYDHQ5ZVJWTXKE4LM")
    }),
    Field::text(
        "secret_access_key",
        false,
        "The token's secret key.",
        || json!("q5Jt0sR7pXn2bV9cYkW3zLhD8mGfA1eU6oTiB4Ns"),
    ),
    Field::text(
        "account_id",
        false,
        "The account that the key's id holds.",
        || json!("557208331452"),
    ),
    Field::text(
        "eventName",
        false,
        "The operation, as CloudTrail names it; method and path where it has no name.",
        || json!("GetCallerIdentity"),
    ),
    Field::text(
        "service",
        false,
        "The service as it's signed for; empty where that can't be told.",
        || json!("sts"),
    ),
    Field::text("region", true, "The region it's signed for.", || {
        json!("us-east-1")
    }),
    Field::text(
        "signature_valid",
        true,
        "`True` if it is signed with the token's secret key, `False` if with another; missing without a signature.",
        || json!("True"),
    ),
    Field::text(
        "user_agent",
        true,
        "The program that used it, as CloudTrail tells it.",
        || json!("aws-cli/2.15.0"),
    ),
    Field::text(
        "source_address",
        true,
        "Who used it, as CloudTrail tells it: an address, or a service of AWS.",
        || json!("198.51.100.7"),
    ),
    Field::text(
        "error_code",
        true,
        "How AWS refused it, as CloudTrail tells it.",
        || json!("AccessDenied"),
    ),
    Field::text(
        "cloudtrail_event_id",
        true,
        "CloudTrail's id of the event.",
        || json!("7a1c7c4e-5d4f-4a0e-9d8a-6d5d9a2f3b10"),
    ),
    Field::text(
        "safety_net",
        true,
        "`True` where CloudTrail told nothing and only the time of the key's last use shows it, `False` where it did; missing where the key isn't one of AWS.",
        || json!("False"),
    ),
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let key = Key::mint(mint);
    let mut fields = key.fields();
    if mint.cloud.is_some() && mint.param(EXPIRY).is_some() {
        return Err(vec![Fault::new(
            EXPIRY,
            "can't be had of a key of your account at AWS: delete the token in its place",
        )]);
    }
    if let Some(expiry) = mint.param(EXPIRY) {
        let lasts = std::time::Duration::from_secs(aws::expiry(expiry)?);
        let until = mint.now.plus(lasts).format("%Y%m%dT%H%M%SZ");
        fields.insert("expires".to_owned(), until.into());
    }
    let credentials = key.credentials();
    Ok(Artefact {
        fields,
        file: Some(ArtefactFile {
            name: "credentials".to_owned(),
            mime: "text/plain",
            bytes: credentials.clone().into_bytes(),
        }),
        renders: [
            ("aws-id".to_owned(), credentials),
            ("config".to_owned(), key.config()),
        ]
        .into(),
        aliases: vec![key.alias()],
    })
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let key = Key::of(token);
    let call = Call::read(hit, &key);
    let mut fields = call.fields();
    for name in ["access_key_id", "secret_access_key", "account_id"] {
        if let Some(value) = token.fields.get(name) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    let until = token.fields.get("expires").and_then(Value::as_str);
    let answer = match call.doubt(&key, until) {
        Some(refusal) => call.refused(refusal, &key),
        None => call
            .identity(&key)
            .unwrap_or_else(|| call.refused(Refusal::Denied, &key)),
    };
    Trip::alert(fields, answer)
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::HttpHit;

    use super::*;
    use crate::tests::{request, token};

    #[derive(Clone, Copy)]
    struct Asked<'a> {
        /// Seconds by which the client's clock is ahead.
        ahead: i64,
        service: &'a str,
        headers: &'a [(&'a str, &'a str)],
        url: &'a str,
        body: &'a [u8],
        secret: Option<&'a str>,
    }

    /// Signs as a client does, by asking what the server would have signed.
    fn ask(token: &Token, asked: &Asked<'_>) -> (Trip, String) {
        let key = Key::of(token);
        let mut headers: Vec<(String, String)> = vec![
            ("Host".to_owned(), "tokens.example.com".to_owned()),
            (
                "X-Amz-Date".to_owned(),
                coalmine_core::Timestamp::from_secs(1_700_000_000 + asked.ahead)
                    .format("%Y%m%dT%H%M%SZ"),
            ),
        ];
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        headers.extend(asked.headers.iter().map(own));
        if let Some(secret) = asked.secret {
            let credential = format!(
                "{}/20231114/eu-west-1/{}/aws4_request",
                key.id, asked.service
            );
            let line = |signature: &str| {
                format!(
                    "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            };
            let mut unsigned = headers.clone();
            unsigned.push(("Authorization".to_owned(), line("0")));
            let hit = HttpHit {
                method: "POST",
                url: asked.url,
                headers: &unsigned,
                body: asked.body,
                ..request()
            };
            let wanted = aws::sigv4::Signature::of(&hit)
                .unwrap()
                .expected(secret, &hit);
            headers.push(("Authorization".to_owned(), line(&wanted)));
        }
        let rest = asked.url.splitn(5, '/').nth(4).unwrap_or_default();
        let hit = HttpHit {
            method: "POST",
            url: asked.url,
            rest,
            headers: &headers,
            body: asked.body,
            ..request()
        };
        let trip = (KIND.trip)(token, &Hit::Http(hit));
        let Answer::Full {
            status,
            headers,
            body,
        } = &trip.answer
        else {
            panic!("{trip:?}")
        };
        let mime = headers
            .iter()
            .find(|(name, _)| name == "Content-Type")
            .unwrap();
        let told = format!("{status} {}\n{}", mime.1, String::from_utf8_lossy(body));
        (trip, told)
    }

    const FORM: (&str, &str) = (
        "Content-Type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );

    #[test]
    fn whoever_asks_who_it_is_is_told() {
        let token = token(&KIND);
        let key = Key::of(&token);
        let asked = Asked {
            ahead: 0,
            service: "sts",
            headers: &[FORM],
            url: "https://tokens.example.com/x/",
            body: b"Action=GetCallerIdentity&Version=2011-06-15",
            secret: Some(&key.secret),
        };
        let (trip, told) = ask(&token, &asked);
        assert!(
            told.starts_with("200 text/xml\n<GetCallerIdentityResponse "),
            "{told}"
        );
        assert!(
            told.contains(&format!(
                "<Arn>arn:aws:iam::{}:user/{}</Arn>",
                key.account, key.user
            )),
            "{told}"
        );
        assert_eq!(trip.fields["eventName"], "GetCallerIdentity");
        assert_eq!(trip.fields["service"], "sts");
        assert_eq!(trip.fields["region"], "eu-west-1");
        assert_eq!(trip.fields["signature_valid"], "True");
        assert_eq!(trip.fields["account_id"], key.account);
        let wrong = Asked {
            secret: Some("another"),
            ..asked
        };
        let (trip, told) = ask(&token, &wrong);
        assert!(
            told.contains("<Code>SignatureDoesNotMatch</Code>"),
            "{told}"
        );
        assert_eq!(trip.fields["signature_valid"], "False");
        let (trip, told) = ask(
            &token,
            &Asked {
                secret: None,
                ..wrong
            },
        );
        assert!(
            told.contains("<Code>MissingAuthenticationToken</Code>"),
            "{told}"
        );
        assert!(!trip.fields.contains_key("signature_valid") && trip.alert);
    }

    #[test]
    fn each_protocol_refuses_in_its_own_shape() {
        let token = token(&KIND);
        let key = Key::of(&token);
        let root = "https://tokens.example.com/x/";
        let json = [
            ("X-Amz-Target", "secretsmanager.ListSecrets"),
            ("Content-Type", "application/x-amz-json-1.1"),
        ];
        for (service, headers, url, body, name, denied, mismatch) in [
            (
                "iam",
                &[FORM][..],
                root,
                &b"Action=ListUsers&Version=2010-05-08"[..],
                "ListUsers",
                "403 text/xml\n<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">",
                "<Code>SignatureDoesNotMatch</Code>",
            ),
            (
                "ec2",
                &[FORM],
                root,
                b"Action=DescribeInstances&Version=2016-11-15",
                "DescribeInstances",
                "403 text/xml;charset=UTF-8\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>UnauthorizedOperation</Code>",
                "<Code>AuthFailure</Code>",
            ),
            (
                "secretsmanager",
                &json,
                root,
                b"{}",
                "ListSecrets",
                "400 application/x-amz-json-1.1\n{\"Message\":\"User: arn:aws:iam::",
                "\"__type\":\"InvalidSignatureException\"",
            ),
            (
                "s3",
                &[],
                "https://tokens.example.com/x/payroll/2023.csv?acl",
                b"",
                "PostObject",
                "403 application/xml\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>",
                "<Code>SignatureDoesNotMatch</Code>",
            ),
            (
                "lambda",
                &[],
                "https://tokens.example.com/x/2015-03-31/functions/",
                b"",
                "POST /2015-03-31/functions",
                "403 application/json\n{\"Message\":\"User: arn:aws:iam::",
                "does not match the signature you provided",
            ),
        ] {
            let asked = Asked {
                ahead: 0,
                service,
                headers,
                url,
                body,
                secret: Some(&key.secret),
            };
            let (trip, told) = ask(&token, &asked);
            assert!(told.starts_with(denied), "{service}: {told}");
            assert!(
                told.contains("is not authorized to perform: "),
                "{service}: {told}"
            );
            assert_eq!(
                (&trip.fields["eventName"], &trip.fields["service"]),
                (&json!(name), &json!(service))
            );
            assert_eq!(trip.fields["signature_valid"], "True", "{service}");
            let (_, told) = ask(
                &token,
                &Asked {
                    secret: Some("x"),
                    ..asked
                },
            );
            assert!(told.contains(mismatch), "{service}: {told}");
        }
    }

    #[test]
    fn a_signature_lasts_a_quarter_of_an_hour_and_its_use_is_told_all_the_same() {
        let token = token(&KIND);
        let key = Key::of(&token);
        let json = [("X-Amz-Target", "secretsmanager.ListSecrets")];
        let expired = "Signature expired: 20231114T215819Z is now earlier than 20231114T215820Z (20231114T221320Z - 15 min.)";
        let early = "Signature not yet current: 20231114T222821Z is still later than 20231114T222820Z (20231114T221320Z + 15 min.)";
        let skewed = |time: &str| {
            format!(
                "<Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message><RequestTime>{time}</RequestTime><ServerTime>2023-11-14T22:13:20Z</ServerTime><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"
            )
        };
        for (service, headers, url, body, late, soon) in [
            (
                "sts",
                &[FORM][..],
                "https://tokens.example.com/x/",
                "Action=GetCallerIdentity&Version=2011-06-15",
                format!("<Code>SignatureDoesNotMatch</Code>\n    <Message>{expired}</Message>"),
                early.to_owned(),
            ),
            (
                "secretsmanager",
                &json,
                "https://tokens.example.com/x/",
                "{}",
                format!("{{\"__type\":\"InvalidSignatureException\",\"message\":\"{expired}\"}}"),
                early.to_owned(),
            ),
            (
                "ec2",
                &[FORM],
                "https://tokens.example.com/x/",
                "Action=DescribeInstances&Version=2016-11-15",
                "<Code>RequestExpired</Code><Message>Request has expired.</Message>".to_owned(),
                "<Code>RequestExpired</Code>".to_owned(),
            ),
            (
                "s3",
                &[],
                "https://tokens.example.com/x/payroll",
                "",
                skewed("20231114T215819Z"),
                skewed("20231114T222821Z"),
            ),
        ] {
            let asked = Asked {
                ahead: 0,
                service,
                headers,
                url,
                body: body.as_bytes(),
                secret: Some(&key.secret),
            };
            for (ahead, wanted) in [(-901, &late), (901, &soon)] {
                let (trip, told) = ask(&token, &Asked { ahead, ..asked });
                assert!(told.contains(wanted.as_str()), "{service}: {told}");
                assert!(trip.alert, "{service}");
                assert_eq!(trip.fields["signature_valid"], "True", "{service}");
            }
            for ahead in [-900, 900] {
                let (_, told) = ask(&token, &Asked { ahead, ..asked });
                assert!(
                    !told.contains("xpired") && !told.contains("Skewed"),
                    "{told}"
                );
            }
        }
    }

    #[test]
    fn an_expired_key_is_no_key() {
        let mut token = token(&KIND);
        let key = Key::of(&token);
        token
            .fields
            .insert("expires".to_owned(), "20231114T221319Z".into());
        let asked = Asked {
            ahead: 0,
            service: "sts",
            headers: &[FORM],
            url: "https://tokens.example.com/x/",
            body: b"Action=GetCallerIdentity&Version=2011-06-15",
            secret: Some(&key.secret),
        };
        let (trip, told) = ask(&token, &asked);
        assert!(told.contains("<Code>InvalidClientTokenId</Code>"), "{told}");
        assert!(trip.alert);
    }

    #[test]
    fn a_key_of_an_account_needs_no_endpoint() {
        let cloud = json!({"access_key_id": "AKIAYDHQ5ZVJWTXKE4LM", "secret_access_key": "s",
            "account_id": "557208331452", "username": "u", "user_id": "AIDAX", "region": "eu-west-1",
            "integration": "connected"});
        let id: coalmine_core::TokenId = "webwebwebwebwebwebwebweb1".parse().unwrap();
        let (files, places) = (std::collections::BTreeMap::new(), crate::tests::places());
        let mut params = std::collections::BTreeMap::new();
        let made = |params: &std::collections::BTreeMap<String, String>| {
            KIND.make(&Mint {
                id: &id,
                params,
                files: &files,
                seed: coalmine_core::Seed::new([1; 32]),
                now: coalmine_core::Timestamp::from_secs(0),
                places: &places,
                cloud: cloud.as_object(),
            })
        };
        let key = made(&params).unwrap();
        assert_eq!(Value::Object(key.fields), cloud);
        assert_eq!(
            key.renders["aws-id"],
            "[default]\naws_access_key_id = AKIAYDHQ5ZVJWTXKE4LM\naws_secret_access_key = s\nregion = eu-west-1\n"
        );
        assert_eq!(
            key.renders["config"],
            "[default]\nregion = eu-west-1\noutput = json\n"
        );
        params.insert(EXPIRY.to_owned(), "30d".to_owned());
        assert_eq!(made(&params).unwrap_err()[0].key, EXPIRY);
    }

    #[test]
    fn the_credentials_name_the_endpoint_and_the_channel_finds_the_key() {
        let made = crate::tests::minted(&KIND, &[(EXPIRY, "30d")]).unwrap();
        let id = made.fields["access_key_id"].as_str().unwrap();
        assert_eq!(made.aliases[0].key, id);
        assert_eq!(made.fields["expires"], "20231214T221320Z");
        assert_eq!(made.fields["integration"], "local");
        let text = &made.renders["aws-id"];
        assert!(text.starts_with(&format!("[default]\naws_access_key_id = {id}\n")));
        assert!(
            text.contains("\nendpoint_url = https://tokens.example.com/"),
            "{text}"
        );
        assert!(
            matches!(crate::tests::minted(&KIND, &[(EXPIRY, "soon")]), Err(faults) if faults[0].key == EXPIRY)
        );
    }
}
