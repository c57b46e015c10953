//! AWS S3 Bucket: a bucket at our own endpoint that shows whoever holds its key what it has.

use std::fmt::Write as _;

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, ArtefactFile, Ask, Group, Hit, HttpHit, Mint, Reach, Takes, Token,
    TokenChannel, TokenKind, Trip,
};
use coalmine_core::{Seed, Timestamp};
use serde_json::{Value, json};

use crate::aws::call::{Call, Protocol, Refusal, escaped};
use crate::aws::{Key, sigv4};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "aws-s3",
    title: "AWS S3 Bucket",
    description: "Amazon S3",
    doc: "A bucket of S3 with a few exports in it, and a key that may read it.\n\
          Leave the credentials where a thief looks, and name the bucket in scripts, configuration \
          files and wikis.\n\
          The incident tells who listed it and which object was read. Identities that read it \
          rightfully can be left out.",
    group: Group::Cloud,
    trial: "List the bucket: `AWS_SHARED_CREDENTIALS_FILE={file} AWS_CONFIG_FILE=config aws s3 ls {aws-s3}`.",
    logtype: 17005,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "The bucket stands at the endpoint_url beside its key, not at AWS: it alerts where that \
         line is used too. Buckets that you have at AWS aren't watched.",
    ),
    asks: &[
        Ask {
            name: SOURCE,
            doc: "The bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens.",
            required: true,
            takes: Takes::Text(63),
        },
        Ask {
            name: LOG,
            doc: "Name of the bucket that its logs seem to go to.",
            required: true,
            takes: Takes::Text(63),
        },
    ],
    event: EVENT,
    mint,
    trip,
};

const SOURCE: &str = "s3_source_bucket";
const LOG: &str = "s3_log_bucket";

const EVENT: &[Field] = &[
    Field::text(SOURCE, false, "The bucket's name.", || {
        json!("acme-finance-exports")
    }),
    Field::text(
        LOG,
        false,
        "The bucket that its logs seem to go to.",
        || json!("acme-logs"),
    ),
    Field::text(
        "online",
        false,
        "`False`: the bucket stands at our endpoint, not at AWS.",
        || json!("False"),
    ),
    Field::text(
        "eventName",
        false,
        "The operation, as CloudTrail names it.",
        || json!("ListObjects"),
    ),
    Field::text(
        "service",
        false,
        "The service as it's signed for; empty where that can't be told.",
        || json!("s3"),
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
        "requester",
        false,
        "Who asked: the key's user, or `-` without a right signature.",
        || json!("arn:aws:iam::557208331452:user/report-export"),
    ),
    Field::text("bucket", true, "The bucket that was asked for.", || {
        json!("acme-finance-exports")
    }),
    Field::text("object_key", true, "The object that was asked for.", || {
        json!("exports/customers.csv")
    }),
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let (source, log) = (mint.param(SOURCE), mint.param(LOG));
    let faults: Vec<Fault> = [(SOURCE, source), (LOG, log)]
        .into_iter()
        .filter(|(_, name)| !is_bucket(name.unwrap_or_default()))
        .map(|(param, _)| {
            Fault::new(
                param,
                "takes a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens",
            )
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let source = source.unwrap_or_default();
    let key = Key::mint(mint);
    let mut fields = key.fields();
    fields.insert(SOURCE.to_owned(), source.into());
    fields.insert(LOG.to_owned(), log.unwrap_or_default().into());
    fields.insert("online".to_owned(), "False".into());
    fields.insert("bucket_filled".to_owned(), mint.now.secs().into());
    let credentials = key.credentials();
    Ok(Artefact {
        fields,
        file: Some(ArtefactFile {
            name: "credentials".to_owned(),
            mime: "text/plain",
            bytes: credentials.clone().into_bytes(),
        }),
        renders: [
            ("aws-s3".to_owned(), format!("s3://{source}/")),
            ("config".to_owned(), key.config()),
            ("credentials".to_owned(), credentials),
            ("url".to_owned(), format!("{}/{source}/", key.endpoint)),
        ]
        .into(),
        aliases: vec![key.alias()],
    })
}

/// "Bucket naming rules" of S3.
fn is_bucket(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.chars().all(|c| is_end(c) || ".-".contains(c))
        && name.starts_with(is_end)
        && name.ends_with(is_end)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let key = Key::of(token);
    let call = Call::read(hit, &key);
    let doubt = call.doubt(&key, None);
    let mut fields = call.fields();
    for name in [SOURCE, LOG, "online"] {
        if let Some(value) = token.fields.get(name) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    let requester = match doubt {
        None => key.arn(),
        Some(_) => "-".to_owned(),
    };
    fields.insert("requester".to_owned(), requester.into());
    for (name, value) in [("bucket", &call.bucket), ("object_key", &call.object)] {
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.as_str().into());
        }
    }
    let answer = match doubt {
        Some(refusal) => call.refused(refusal, &key),
        None => match call.identity(&key) {
            Some(identity) => identity,
            None => Bucket::of(token, &key).answer(&call, hit, &key),
        },
    };
    Trip::alert(fields, answer)
}

/// What is in the bucket, made up from the token alone.
struct Bucket {
    name: String,
    region: String,
    owner: String,
    objects: Vec<Object>,
}

struct Object {
    key: &'static str,
    mime: &'static str,
    body: Vec<u8>,
    etag: String,
    at: Timestamp,
}

impl Bucket {
    fn of(token: &Token, key: &Key) -> Self {
        let seed = key.seed();
        let filled = token.fields.get("bucket_filled").and_then(Value::as_i64);
        let name = token.fields.get(SOURCE).and_then(Value::as_str);
        let object = |name: &'static str, mime, body: String| {
            let age = seed.number(&format!("age of {name}"), 3 * 3600, 40 * 86_400);
            let age = i64::try_from(age).unwrap_or(0);
            Object {
                key: name,
                mime,
                etag: sigv4::hash(body.as_bytes()).chars().take(32).collect(),
                body: body.into_bytes(),
                at: Timestamp::from_secs(filled.unwrap_or(0).saturating_sub(age)),
            }
        };
        Self {
            name: name.unwrap_or_default().to_owned(),
            region: key.region.clone(),
            owner: sigv4::hash(key.account.as_bytes()),
            objects: vec![
                object(
                    "exports/accounts.csv",
                    "text/csv",
                    table(&seed, "accounts", "account_id,plan,balance"),
                ),
                object(
                    "exports/invoices.csv",
                    "text/csv",
                    table(&seed, "invoices", "invoice_id,status,amount"),
                ),
                object(
                    "exports/refunds.csv",
                    "text/csv",
                    table(&seed, "refunds", "refund_id,reason,amount"),
                ),
            ],
        }
    }

    fn answer(&self, call: &Call, hit: &HttpHit<'_>, key: &Key) -> Answer {
        let denied = || call.refused(Refusal::Denied, key);
        if call.protocol != Protocol::S3 {
            return denied();
        }
        if call.name == "ListBuckets" {
            return self.buckets(call);
        }
        if call.bucket != self.name {
            let more = format!("<BucketName>{}</BucketName>", escaped(&call.bucket));
            return match &*call.name {
                // An answer to HEAD has no body; the channel leaves it out.
                "CreateBucket" => denied(),
                _ => call.s3_error(
                    404,
                    "NoSuchBucket",
                    "The specified bucket does not exist",
                    &more,
                ),
            };
        }
        match &*call.name {
            "HeadBucket" => {
                let region = ("x-amz-bucket-region".to_owned(), self.region.clone());
                call.s3(200, "application/xml", Vec::new(), vec![region])
            }
            "ListObjects" => self.list(call, hit),
            "GetBucketLocation" => self.location(call),
            "GetObject" | "HeadObject" => self.object(call),
            _ => denied(),
        }
    }

    fn buckets(&self, call: &Call) -> Answer {
        let first = self.objects.iter().map(|object| object.at).min();
        let created = first.unwrap_or(Timestamp::from_secs(0));
        xml(
            call,
            &format!(
                "<ListAllMyBucketsResult xmlns=\"{NAMESPACE}\"><Owner><ID>{}</ID></Owner><Buckets><Bucket><Name>{}</Name><CreationDate>{}</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>",
                self.owner,
                self.name,
                iso(created)
            ),
        )
    }

    fn location(&self, call: &Call) -> Answer {
        let element = match &*self.region {
            // The oldest region has no name here.
            "us-east-1" => format!("<LocationConstraint xmlns=\"{NAMESPACE}\"/>"),
            region => {
                format!("<LocationConstraint xmlns=\"{NAMESPACE}\">{region}</LocationConstraint>")
            }
        };
        xml(call, &element)
    }

    fn list(&self, call: &Call, hit: &HttpHit<'_>) -> Answer {
        let is_second = hit.argument("list-type") == Some("2");
        let prefix = hit.argument("prefix").unwrap_or_default();
        let delimiter = hit.argument("delimiter").unwrap_or_default();
        let encoded = hit.argument("encoding-type") == Some("url");
        let most = hit
            .argument("max-keys")
            .and_then(|most| most.parse::<usize>().ok());
        let after = match is_second {
            true => hit
                .argument("continuation-token")
                .or(hit.argument("start-after")),
            false => hit.argument("marker"),
        };
        let most = most.unwrap_or(1000).min(1000);
        let mut contents = String::new();
        let mut common: Vec<&str> = Vec::new();
        let mut count: usize = 0;
        let mut last = None;
        let mut truncated = false;
        let found = self.objects.iter().filter(|object| {
            object.key.starts_with(prefix) && after.is_none_or(|after| object.key > after)
        });
        for object in found {
            let rest = object.key.get(prefix.len()..).unwrap_or_default();
            let folder = (!delimiter.is_empty())
                .then(|| rest.find(delimiter))
                .flatten()
                .and_then(|at| {
                    let end = prefix
                        .len()
                        .saturating_add(at)
                        .saturating_add(delimiter.len());
                    object.key.get(..end)
                });
            if folder.is_some_and(|folder| common.contains(&folder)) {
                last = Some(object.key);
                continue;
            }
            if count >= most {
                truncated = most > 0;
                break;
            }
            count = count.saturating_add(1);
            last = Some(object.key);
            match folder {
                Some(folder) => common.push(folder),
                None => {
                    // Writing to a text cannot fail.
                    let _ = write!(
                        contents,
                        "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                        object.key,
                        iso(object.at),
                        object.etag,
                        object.body.len()
                    );
                }
            }
        }
        let mut head = format!(
            "<Name>{}</Name><Prefix>{}</Prefix>",
            self.name,
            escaped(prefix)
        );
        let mut line = |name: &str, value: &str| {
            let _ = write!(head, "<{name}>{}</{name}>", escaped(value));
        };
        if !is_second {
            line("Marker", after.unwrap_or_default());
        } else {
            line("KeyCount", &count.to_string());
        }
        line("MaxKeys", &most.to_string());
        if !delimiter.is_empty() {
            line("Delimiter", delimiter);
        }
        if encoded {
            line("EncodingType", "url");
        }
        line("IsTruncated", if truncated { "true" } else { "false" });
        if let (true, Some(last)) = (truncated, last) {
            line(
                if is_second {
                    "NextContinuationToken"
                } else {
                    "NextMarker"
                },
                last,
            );
        }
        for folder in common {
            let _ = write!(
                contents,
                "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
            );
        }
        xml(
            call,
            &format!("<ListBucketResult xmlns=\"{NAMESPACE}\">{head}{contents}</ListBucketResult>"),
        )
    }

    fn object(&self, call: &Call) -> Answer {
        match self.objects.iter().find(|object| object.key == call.object) {
            Some(object) => {
                let own = |name: &str, value: String| (name.to_owned(), value);
                call.s3(
                    200,
                    object.mime,
                    object.body.clone(),
                    vec![
                        own(
                            "Last-Modified",
                            object.at.format("%a, %d %b %Y %H:%M:%S GMT"),
                        ),
                        own("ETag", format!("\"{}\"", object.etag)),
                        own("x-amz-server-side-encryption", "AES256".to_owned()),
                        own("Accept-Ranges", "bytes".to_owned()),
                    ],
                )
            }
            None => call.s3_error(
                404,
                "NoSuchKey",
                "The specified key does not exist.",
                &format!("<Key>{}</Key>", escaped(&call.object)),
            ),
        }
    }
}

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

fn xml(call: &Call, element: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{element}");
    call.s3(200, "application/xml", body.into_bytes(), Vec::new())
}

fn iso(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%S.000Z")
}

/// Some hundred lines of numbers and words.
fn table(seed: &Seed, label: &str, head: &str) -> String {
    const WORDS: &[&str] = &["active", "basic", "closed", "disputed", "open", "pro"];
    let seed = seed.derive(label);
    let mut id = seed.number("first", 100_000, 900_000);
    let mut table = format!("{head}\n");
    for row in 0..seed.number("rows", 120, 400) {
        id = id.saturating_add(seed.number(&format!("step {row}"), 1, 9));
        let word = seed.number(&format!("word {row}"), 0, 6);
        let word = usize::try_from(word).ok().and_then(|at| WORDS.get(at));
        let cents = seed.number(&format!("amount {row}"), 500, 900_000);
        // Writing to a text cannot fail.
        let _ = writeln!(
            table,
            "{id},{},{}.{:02}",
            word.unwrap_or(&"open"),
            cents / 100,
            cents % 100
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    /// What a signed request gets: status, type, body.
    fn ask(method: &str, path: &str, query: &[(&str, &str)]) -> (Trip, String) {
        let token = token(&KIND);
        let key = Key::of(&token);
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let query: Vec<(String, String)> = query.iter().map(own).collect();
        let text: Vec<String> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let url = format!("https://tokens.example.com/x/{path}?{}", text.join("&"));
        let line = |signature: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={}/20231114/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}",
                key.id
            );
            [
                ("Host".to_owned(), "tokens.example.com".to_owned()),
                ("X-Amz-Date".to_owned(), "20231114T221320Z".to_owned()),
                ("Authorization".to_owned(), value),
            ]
        };
        let unsigned = line("0");
        let hit = HttpHit {
            method,
            url: &url,
            query: &query,
            headers: &unsigned,
            rest: path,
            ..request()
        };
        let signature = sigv4::Signature::of(&hit)
            .unwrap()
            .expected(&key.secret, &hit);
        let signed = line(&signature);
        let trip = (KIND.trip)(
            &token,
            &Hit::Http(HttpHit {
                headers: &signed,
                ..hit
            }),
        );
        let Answer::Full {
            status,
            headers,
            body,
        } = &trip.answer
        else {
            panic!("{trip:?}")
        };
        let mime = &headers
            .iter()
            .find(|(name, _)| name == "Content-Type")
            .unwrap()
            .1;
        let told = format!("{status} {mime}\n{}", String::from_utf8_lossy(body));
        (trip, told)
    }

    #[test]
    fn the_bucket_is_listed_and_read_and_nothing_else_is_there() {
        let name = token(&KIND).fields[SOURCE].as_str().unwrap().to_owned();
        let (trip, told) = ask("GET", &name, &[("list-type", "2"), ("max-keys", "2")]);
        assert_eq!(trip.fields["eventName"], "ListObjects");
        assert_eq!(trip.fields["signature_valid"], "True", "{told}");
        assert_eq!(trip.fields["bucket"], name);
        assert!(
            told.contains("<KeyCount>2</KeyCount>")
                && told.contains("<NextContinuationToken>exports/invoices.csv<"),
            "{told}"
        );
        let (_, told) = ask(
            "GET",
            &name,
            &[
                ("list-type", "2"),
                ("continuation-token", "exports/invoices.csv"),
            ],
        );
        assert!(
            told.contains("<KeyCount>1</KeyCount>")
                && told.contains("<Key>exports/refunds.csv</Key>"),
            "{told}"
        );
        let (_, told) = ask("GET", &name, &[("delimiter", "/"), ("prefix", "")]);
        assert!(
            told.contains("<CommonPrefixes><Prefix>exports/</Prefix></CommonPrefixes>")
                && !told.contains("<Contents>"),
            "{told}"
        );
        let (trip, told) = ask("GET", &format!("{name}/exports/invoices.csv"), &[]);
        assert!(
            told.starts_with("200 text/csv\ninvoice_id,status,amount\n"),
            "{told}"
        );
        assert_eq!(
            (&trip.fields["eventName"], &trip.fields["object_key"]),
            (&json!("GetObject"), &json!("exports/invoices.csv"))
        );
        assert_eq!(trip.fields["requester"], Key::of(&token(&KIND)).arn());
        for (method, path, query, status, words) in [
            ("GET", "", &[][..], "200", "<Buckets><Bucket><Name>"),
            ("HEAD", &*name, &[], "200", ""),
            (
                "GET",
                &*name,
                &[("location", "")],
                "200",
                "<LocationConstraint ",
            ),
            (
                "GET",
                &*format!("{name}/none"),
                &[],
                "404",
                "<Code>NoSuchKey</Code>",
            ),
            (
                "GET",
                "another-bucket",
                &[],
                "404",
                "<Code>NoSuchBucket</Code>",
            ),
            ("PUT", "another-bucket", &[], "403", "s3:CreateBucket"),
            ("PUT", &*format!("{name}/mine"), &[], "403", "s3:PutObject"),
            (
                "DELETE",
                &*format!("{name}/exports/invoices.csv"),
                &[],
                "403",
                "s3:DeleteObject",
            ),
            (
                "GET",
                &*name,
                &[("policy", "")],
                "403",
                "s3:GetBucketPolicy",
            ),
        ] {
            let (trip, told) = ask(method, path, query);
            assert!(
                told.starts_with(status) && told.contains(words),
                "{method} {path}: {told}"
            );
            assert!(trip.alert);
        }
    }

    #[test]
    fn strangers_are_told_apart_and_refused() {
        let token = token(&KIND);
        let trip = (KIND.trip)(&token, &Hit::Http(request()));
        assert_eq!(trip.fields["requester"], "-");
        assert!(matches!(trip.answer, Answer::Full { status: 403, .. }));
        assert!(trip.alert && !trip.fields.contains_key("signature_valid"));
    }

    #[test]
    fn buckets_have_names_that_s3_takes() {
        for name in [
            "ab",
            "Abc",
            "-abc",
            "abc-",
            "a..b",
            "192.0.2.1",
            "a_b",
            "é-bucket",
        ] {
            let faults = minted(&KIND, &[(SOURCE, name), (LOG, "acme-logs")]).unwrap_err();
            assert_eq!(faults.len(), 1, "{name}");
            assert_eq!(faults[0].key, SOURCE, "{name}");
        }
        let made = minted(&KIND, &[(SOURCE, "acme.exports-1"), (LOG, "acme-logs")]).unwrap();
        assert_eq!(made.renders["aws-s3"], "s3://acme.exports-1/");
        assert!(made.renders["url"].ends_with("/acme.exports-1/"));
    }
}
