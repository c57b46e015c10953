//! One request to AWS: which operation of which service it asks for, and how that service
//! refuses it. "Common Errors" of each service's API reference and "Error responses" of S3's.

use std::fmt::Write as _;

use coalmine_core::Timestamp;
use coalmine_core::token::{Answer, HttpHit};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value, json};

use super::Key;
use super::sigv4::{self, Age, Signature, Verdict};
use crate::files::guid_of;

/// Longest name of an operation or service.
const MAX_NAME: usize = 128;

/// How a service speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Form in, XML out; the version is part of the name space.
    Query(String),
    /// The same with errors of its own.
    Ec2,
    /// JSON with the operation in `X-Amz-Target`; its media type.
    Json(String),
    /// JSON with the operation in the path.
    RestJson,
    /// S3.
    S3,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user may not do this.
    Denied,
    /// It isn't signed.
    NoSignature,
    /// It's signed with a key that there isn't (any more).
    WrongKey,
    /// It was signed too long ago, or in the future.
    Stale,
    /// It isn't signed with this key's secret.
    WrongSignature,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// How it speaks.
    pub protocol: Protocol,
    /// As CloudTrail names it, e.g. `ListBuckets`.
    pub name: String,
    /// E.g. `s3`.
    pub service: String,
    /// Of the signature; `None` without one.
    pub region: Option<String>,
    /// S3: the bucket; empty for none.
    pub bucket: String,
    /// S3: the key of the object, as sent; empty for none.
    pub object: String,
    /// What it's signed with, and whether that is right.
    pub signed: Option<(Signature, Verdict)>,
    at: Timestamp,
    id: String,
    resource: String,
}

impl Call {
    /// Reads a request that found this key's token.
    pub fn read(hit: &HttpHit<'_>, key: &Key) -> Self {
        let signature = Signature::of(hit);
        let signed = signature.map(|signature| {
            let verdict = signature.check(&key.secret, hit);
            (signature, verdict)
        });
        let scope = signed
            .as_ref()
            .map(|(signature, _)| signature.service.as_str());
        let form = form(hit);
        let find = |name: &str| {
            let pair = form.iter().find(|(n, _)| n == name);
            pair.map(|(_, value)| word(value))
        };
        let (bucket, object) = place(hit, key);
        let mut s3 = (String::new(), String::new());
        let (protocol, name) = if let Some(target) = hit.header("x-amz-target") {
            let mime = hit
                .header("content-type")
                .unwrap_or("application/x-amz-json-1.1");
            let name = target.rsplit('.').next().unwrap_or_default();
            (Protocol::Json(mime.to_owned()), word(name))
        } else if let Some(action) = find("Action") {
            let protocol = match scope {
                Some("ec2") => Protocol::Ec2,
                _ => Protocol::Query(find("Version").unwrap_or_default()),
            };
            (protocol, action)
        } else if scope.is_none_or(|service| service.starts_with("s3")) {
            let name = s3_name(hit, &bucket, &object);
            s3 = (bucket, object);
            (Protocol::S3, name)
        } else {
            let path = hit.rest.trim_matches('/');
            let operation = path.split_once("/operation/").map(|(_, name)| word(name));
            let name = operation.unwrap_or_else(|| cut(&format!("{} /{path}", hit.method)));
            (Protocol::RestJson, name)
        };
        let service = match (scope, &protocol) {
            (Some(service), _) => word(service),
            (None, Protocol::S3) => "s3".to_owned(),
            (None, _) => String::new(),
        };
        let id = sigv4::hash(format!("{}{:?}{:?}", key.secret, hit.headers, hit.url).as_bytes());
        let (bucket, object) = s3;
        let resource = match (bucket.as_str(), object.as_str()) {
            ("", _) => String::new(),
            (bucket, "") => format!(" on resource: \"arn:aws:s3:::{bucket}\""),
            (bucket, object) => format!(" on resource: \"arn:aws:s3:::{bucket}/{object}\""),
        };
        Self {
            protocol,
            name,
            service,
            region: signed
                .as_ref()
                .map(|(signature, _)| word(&signature.region)),
            bucket,
            object,
            signed,
            at: hit.at,
            id,
            resource,
        }
    }

    /// Why it cannot be believed, if it can't.
    pub fn doubt(&self, key: &Key, until: Option<&str>) -> Option<Refusal> {
        match &self.signed {
            None => Some(Refusal::NoSignature),
            Some((signature, _)) if signature.key != key.id => Some(Refusal::WrongKey),
            Some(_) if until.is_some_and(|until| *stamp(self.at) > *until) => {
                Some(Refusal::WrongKey)
            }
            Some((signature, _)) if signature.age(self.at).is_some() => Some(Refusal::Stale),
            Some((_, verdict)) if !verdict.is_valid => Some(Refusal::WrongSignature),
            Some(_) => None,
        }
    }

    /// The fields that every event of AWS has.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("eventName".to_owned(), Value::from(self.name.as_str()));
        fields.insert("service".to_owned(), Value::from(self.service.as_str()));
        if let Some(region) = &self.region {
            fields.insert("region".to_owned(), Value::from(region.as_str()));
        }
        if let Some((_, verdict)) = &self.signed {
            let valid = if verdict.is_valid { "True" } else { "False" };
            fields.insert("signature_valid".to_owned(), Value::from(valid));
        }
        fields
    }

    /// What `sts:GetCallerIdentity` tells everybody whose signature is right.
    pub fn identity(&self, key: &Key) -> Option<Answer> {
        if self.name != "GetCallerIdentity" || self.service != "sts" {
            return None;
        }
        let body = format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
             <GetCallerIdentityResult>\n    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    \
             <Account>{}</Account>\n  </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
             <RequestId>{}</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n",
            key.arn(),
            key.user_id,
            key.account,
            self.uuid()
        );
        Some(self.xml(200, body))
    }

    /// The refusal in the service's own shape.
    pub fn refused(&self, refusal: Refusal, key: &Key) -> Answer {
        match &self.protocol {
            Protocol::S3 => self.refused_by_s3(refusal, key),
            Protocol::Ec2 => self.refused_by_ec2(refusal, key),
            Protocol::Query(version) => self.refused_by_query(refusal, key, version),
            Protocol::Json(mime) => {
                let (code, message) = self.words_of_json(refusal, key);
                let name = if refusal == Refusal::Denied {
                    "Message"
                } else {
                    "message"
                };
                let body = json!({"__type": code, name: message});
                self.full(400, mime, body.to_string(), &[])
            }
            Protocol::RestJson => {
                let (code, message) = self.words_of_json(refusal, key);
                let body = json!({"Message": message});
                self.full(
                    403,
                    "application/json",
                    body.to_string(),
                    &[("x-amzn-ErrorType", code)],
                )
            }
        }
    }

    fn denied(&self, key: &Key) -> String {
        let action = match (&*self.service, &*self.name) {
            ("s3", "ListBuckets") => "s3:ListAllMyBuckets".to_owned(),
            ("s3", "ListObjects" | "HeadBucket") => "s3:ListBucket".to_owned(),
            ("s3", "HeadObject") => "s3:GetObject".to_owned(),
            ("monitoring", name) => format!("cloudwatch:{name}"),
            ("email", name) => format!("ses:{name}"),
            (service, name) => format!("{service}:{name}"),
        };
        let resource = match (&*self.service, &*self.resource) {
            ("iam", _) if self.name.starts_with("List") => {
                format!(" on resource: arn:aws:iam::{}:user/", key.account)
            }
            ("iam", _) => format!(" on resource: user {}", key.user),
            (_, resource) => resource.to_owned(),
        };
        format!(
            "User: {} is not authorized to perform: {action}{resource} because no identity-based policy allows the {action} action",
            key.arn()
        )
    }

    fn words_of_json(&self, refusal: Refusal, key: &Key) -> (&'static str, String) {
        match refusal {
            Refusal::Denied => ("AccessDeniedException", self.denied(key)),
            Refusal::NoSignature => (
                "MissingAuthenticationTokenException",
                "Missing Authentication Token".to_owned(),
            ),
            Refusal::WrongKey => ("UnrecognizedClientException", INVALID_TOKEN.to_owned()),
            Refusal::Stale => ("InvalidSignatureException", self.stale()),
            Refusal::WrongSignature => ("InvalidSignatureException", WRONG_SIGNATURE.to_owned()),
        }
    }

    /// How all services but S3 and EC2 say that a signature's time is wrong.
    fn stale(&self) -> String {
        let age = self.signed.as_ref().and_then(|(s, _)| s.age(self.at));
        let (now, day) = (self.at, |at: i64| stamp(Timestamp::from_secs(at)));
        match age {
            Some(Age::Skewed(made)) if made > now => format!(
                "Signature not yet current: {} is still later than {} ({} + 15 min.)",
                stamp(made),
                day(now.secs().saturating_add(sigv4::MAX_SKEW)),
                stamp(now)
            ),
            Some(Age::Skewed(made)) => format!(
                "Signature expired: {} is now earlier than {} ({} - 15 min.)",
                stamp(made),
                day(now.secs().saturating_sub(sigv4::MAX_SKEW)),
                stamp(now)
            ),
            Some(Age::Over(over)) => format!(
                "Signature expired: {} is now earlier than {}",
                stamp(over),
                stamp(now)
            ),
            None => WRONG_SIGNATURE.to_owned(),
        }
    }

    fn refused_by_query(&self, refusal: Refusal, key: &Key, version: &str) -> Answer {
        let (code, message) = match refusal {
            Refusal::Denied => ("AccessDenied", self.denied(key)),
            Refusal::NoSignature => (
                "MissingAuthenticationToken",
                "Request is missing Authentication Token".to_owned(),
            ),
            Refusal::WrongKey => ("InvalidClientTokenId", INVALID_TOKEN.to_owned()),
            Refusal::Stale => ("SignatureDoesNotMatch", self.stale()),
            Refusal::WrongSignature => ("SignatureDoesNotMatch", WRONG_SIGNATURE.to_owned()),
        };
        let scheme = match &*self.service {
            "sts" | "iam" => "https",
            _ => "http",
        };
        let body = format!(
            "<ErrorResponse xmlns=\"{scheme}://{}.amazonaws.com/doc/{version}/\">\n  <Error>\n    \
             <Type>Sender</Type>\n    <Code>{code}</Code>\n    <Message>{}</Message>\n  </Error>\n  \
             <RequestId>{}</RequestId>\n</ErrorResponse>\n",
            self.service,
            escaped(&message),
            self.uuid()
        );
        self.xml(403, body)
    }

    fn refused_by_ec2(&self, refusal: Refusal, key: &Key) -> Answer {
        let (status, code, message) = match refusal {
            Refusal::Denied => (
                403,
                "UnauthorizedOperation",
                format!(
                    "You are not authorized to perform this operation. {}",
                    self.denied(key)
                ),
            ),
            Refusal::NoSignature => (
                400,
                "MissingAuthenticationToken",
                "Request is missing Authentication Token".to_owned(),
            ),
            Refusal::Stale => (400, "RequestExpired", "Request has expired.".to_owned()),
            Refusal::WrongKey | Refusal::WrongSignature => (
                401,
                "AuthFailure",
                "AWS was not able to validate the provided access credentials".to_owned(),
            ),
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
             <Message>{}</Message></Error></Errors><RequestID>{}</RequestID></Response>",
            escaped(&message),
            self.uuid()
        );
        self.full(
            status,
            "text/xml;charset=UTF-8",
            body,
            &[("Server", "AmazonEC2")],
        )
    }

    fn refused_by_s3(&self, refusal: Refusal, key: &Key) -> Answer {
        let signature = self.signed.as_ref();
        let mut more = String::new();
        let (code, message) = match refusal {
            Refusal::Denied => ("AccessDenied", self.denied(key)),
            Refusal::NoSignature => ("AccessDenied", "Access Denied".to_owned()),
            Refusal::WrongKey => {
                if let Some((signature, _)) = signature {
                    let _ = write!(
                        more,
                        "<AWSAccessKeyId>{}</AWSAccessKeyId>",
                        escaped(&signature.key)
                    );
                }
                (
                    "InvalidAccessKeyId",
                    "The AWS Access Key Id you provided does not exist in our records.".to_owned(),
                )
            }
            Refusal::Stale => {
                const ISO: &str = "%Y-%m-%dT%H:%M:%SZ";
                let now = self.at.format(ISO);
                match signature.and_then(|(signature, _)| signature.age(self.at)) {
                    Some(Age::Over(over)) => {
                        let _ = write!(
                            more,
                            "<Expires>{}</Expires><ServerTime>{now}</ServerTime>",
                            over.format(ISO)
                        );
                        ("AccessDenied", "Request has expired".to_owned())
                    }
                    age => {
                        let made = match age {
                            Some(Age::Skewed(made)) => stamp(made),
                            _ => String::new(),
                        };
                        let _ = write!(
                            more,
                            "<RequestTime>{made}</RequestTime><ServerTime>{now}</ServerTime>\
                             <MaxAllowedSkewMilliseconds>{}</MaxAllowedSkewMilliseconds>",
                            sigv4::MAX_SKEW.saturating_mul(1000)
                        );
                        (
                            "RequestTimeTooSkewed",
                            "The difference between the request time and the current time is too large."
                                .to_owned(),
                        )
                    }
                }
            }
            Refusal::WrongSignature => {
                if let Some((signature, verdict)) = signature {
                    let _ = write!(
                        more,
                        "<AWSAccessKeyId>{}</AWSAccessKeyId><StringToSign>{}</StringToSign>\
                         <SignatureProvided>{}</SignatureProvided><StringToSignBytes>{}</StringToSignBytes>\
                         <CanonicalRequest>{}</CanonicalRequest><CanonicalRequestBytes>{}</CanonicalRequestBytes>",
                        escaped(&signature.key),
                        escaped(&verdict.string_to_sign),
                        escaped(&signature.signature),
                        bytes_of(&verdict.string_to_sign),
                        escaped(&verdict.canonical),
                        bytes_of(&verdict.canonical),
                    );
                }
                (
                    "SignatureDoesNotMatch",
                    "The request signature we calculated does not match the signature you provided. Check your key and signing method.".to_owned(),
                )
            }
        };
        self.s3_error(403, code, &message, &more)
    }

    /// An error of S3, with elements of its own in `more`.
    pub fn s3_error(&self, status: u16, code: &str, message: &str, more: &str) -> Answer {
        let (request, host) = self.s3_ids();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message>{more}\
             <RequestId>{request}</RequestId><HostId>{host}</HostId></Error>",
            escaped(message)
        );
        self.s3(status, "application/xml", body.into_bytes(), Vec::new())
    }

    /// An answer of S3.
    pub fn s3(
        &self,
        status: u16,
        mime: &str,
        body: Vec<u8>,
        more: Vec<(String, String)>,
    ) -> Answer {
        let (request, host) = self.s3_ids();
        let mut headers = vec![
            ("x-amz-id-2".to_owned(), host),
            ("x-amz-request-id".to_owned(), request),
            ("Content-Type".to_owned(), mime.to_owned()),
            ("Server".to_owned(), "AmazonS3".to_owned()),
        ];
        headers.extend(more);
        Answer::Full {
            status,
            headers,
            body,
        }
    }

    fn s3_ids(&self) -> (String, String) {
        let request = self.id.get(..16).unwrap_or_default().to_ascii_uppercase();
        (
            request,
            BASE64.encode(self.id.as_bytes().get(..56).unwrap_or_default()),
        )
    }

    fn xml(&self, status: u16, body: String) -> Answer {
        self.full(status, "text/xml", body, &[])
    }

    fn full(&self, status: u16, mime: &str, body: String, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![
            ("x-amzn-RequestId".to_owned(), self.uuid()),
            ("Content-Type".to_owned(), mime.to_owned()),
        ];
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        headers.extend(more.iter().map(own));
        Answer::Full {
            status,
            headers,
            body: body.into_bytes(),
        }
    }

    fn uuid(&self) -> String {
        let bytes = HEXLOWER.decode(self.id.as_bytes()).unwrap_or_default();
        guid_of(&bytes).to_lowercase()
    }
}

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

/// As signatures have it, e.g. `20150830T123600Z`.
fn stamp(at: Timestamp) -> String {
    at.format("%Y%m%dT%H%M%SZ")
}

/// Query parameters and those of a form.
fn form(hit: &HttpHit<'_>) -> Vec<(String, String)> {
    let is_form = hit
        .header("content-type")
        .is_some_and(|mime| mime.starts_with("application/x-www-form-urlencoded"));
    let body = match is_form {
        true => String::from_utf8_lossy(hit.body),
        false => "".into(),
    };
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let wanted = pairs.filter(|(name, _)| matches!(*name, "Action" | "Version"));
    let own = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    hit.query.iter().cloned().chain(own).collect()
}

/// Bucket and key of a request to S3, in the path or in front of the endpoint's host.
fn place(hit: &HttpHit<'_>, key: &Key) -> (String, String) {
    let path = hit.rest.trim_start_matches('/');
    let own = key.endpoint.split('/').nth(2).unwrap_or_default();
    let in_host = hit
        .header("host")
        .and_then(|host| host.strip_suffix(own)?.strip_suffix('.'))
        .filter(|bucket| !bucket.is_empty());
    match in_host {
        Some(bucket) => (cut(bucket), cut(path)),
        None => {
            let (bucket, object) = path.split_once('/').unwrap_or((path, ""));
            (cut(bucket), cut(object))
        }
    }
}

/// The name of an operation of S3, as CloudTrail has it.
fn s3_name(hit: &HttpHit<'_>, bucket: &str, object: &str) -> String {
    const PARTS: &[(&str, &str)] = &[
        ("accelerate", "AccelerateConfiguration"),
        ("acl", "Acl"),
        ("cors", "Cors"),
        ("encryption", "Encryption"),
        ("lifecycle", "Lifecycle"),
        ("location", "Location"),
        ("logging", "Logging"),
        ("notification", "Notification"),
        ("object-lock", "ObjectLockConfiguration"),
        ("ownershipControls", "OwnershipControls"),
        ("policy", "Policy"),
        ("policyStatus", "PolicyStatus"),
        ("publicAccessBlock", "PublicAccessBlock"),
        ("replication", "Replication"),
        ("tagging", "Tagging"),
        ("versioning", "Versioning"),
        ("website", "Website"),
    ];
    let verb = match hit.method {
        "GET" => "Get",
        "PUT" => "Put",
        "DELETE" => "Delete",
        "HEAD" => "Head",
        "POST" => "Post",
        other => return cut(other),
    };
    let has = |name: &str| hit.argument(name).is_some();
    let what = if object.is_empty() {
        "Bucket"
    } else {
        "Object"
    };
    let part = PARTS.iter().find(|(name, _)| has(name));
    match (verb, part) {
        ("Get" | "Head", _) if bucket.is_empty() => "ListBuckets".to_owned(),
        (verb, Some((_, part))) => format!("{verb}{what}{part}"),
        ("Get", None) if has("versions") => "ListObjectVersions".to_owned(),
        ("Get", None) if has("uploads") => "ListMultipartUploads".to_owned(),
        ("Get", None) if object.is_empty() => "ListObjects".to_owned(),
        ("Put", None) if object.is_empty() => "CreateBucket".to_owned(),
        ("Put", None) if hit.header("x-amz-copy-source").is_some() => "CopyObject".to_owned(),
        ("Post", None) if has("delete") => "DeleteObjects".to_owned(),
        ("Post", None) if has("uploads") => "CreateMultipartUpload".to_owned(),
        (verb, None) => format!("{verb}{what}"),
    }
}

/// A name: letters, digits and a few marks.
fn word(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_.:".contains(*c);
    text.chars().filter(is_plain).take(MAX_NAME).collect()
}

fn cut(text: &str) -> String {
    text.chars().take(8 * MAX_NAME).collect()
}

/// As text of XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn bytes_of(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|b| format!("{b:02x}")).collect();
    bytes.join(" ")
}
