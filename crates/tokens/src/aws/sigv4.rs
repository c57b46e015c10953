//! Signature Version 4 of AWS, from the server's side: what a request is signed with, and whether
//! a secret key gives that signature. "Signing AWS API requests" in the IAM User Guide and
//! "Authenticating Requests" in the S3 API reference describe it.

use std::fmt::Write as _;

use coalmine_core::Timestamp;
use coalmine_core::token::HttpHit;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Longest list of signed headers that is looked at.
const MAX_SIGNED_HEADERS: usize = 64;
/// Most query parameters that are looked at.
const MAX_QUERY: usize = 256;
/// How far the clocks of client and server may be apart, in seconds.
pub const MAX_SKEW: i64 = 15 * 60;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a request says of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Id of the access key.
    pub key: String,
    /// Day of the scope, e.g. `20150830`.
    pub day: String,
    /// E.g. `us-east-1`.
    pub region: String,
    /// As it's signed for, e.g. `s3`.
    pub service: String,
    /// When it was signed, e.g. `20150830T123600Z`.
    pub time: String,
    /// Names of the headers signed, lower case.
    headers: Vec<String>,
    /// In hex.
    pub signature: String,
    /// Whether it stands in the URL.
    presigned: bool,
    /// For how many seconds a presigned request may be used.
    lasts: Option<i64>,
}

/// Why the time of a signature isn't taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Age {
    /// Further from now than clocks may differ: when it was made.
    Skewed(Timestamp),
    /// A presigned request whose time is over: when that was.
    Over(Timestamp),
}

/// What was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the secret key gives the signature.
    pub is_valid: bool,
    /// What the server would have signed.
    pub string_to_sign: String,
    /// The request in its canonical form.
    pub canonical: String,
}

impl Signature {
    /// What stands in the header `Authorization`, or in the URL of a presigned request.
    pub fn of(hit: &HttpHit<'_>) -> Option<Self> {
        match hit.header("authorization") {
            Some(header) => Self::of_header(header, hit),
            None => Self::of_url(hit),
        }
    }

    fn of_header(header: &str, hit: &HttpHit<'_>) -> Option<Self> {
        let rest = header.trim().strip_prefix(ALGORITHM)?;
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let time = hit.header("x-amz-date").unwrap_or_default();
        Self::new(
            part("Credential")?,
            part("SignedHeaders")?,
            part("Signature")?,
            time,
            false,
        )
    }

    fn of_url(hit: &HttpHit<'_>) -> Option<Self> {
        if hit.argument("X-Amz-Algorithm")? != ALGORITHM {
            return None;
        }
        let signature = Self::new(
            hit.argument("X-Amz-Credential")?,
            hit.argument("X-Amz-SignedHeaders")?,
            hit.argument("X-Amz-Signature")?,
            hit.argument("X-Amz-Date").unwrap_or_default(),
            true,
        )?;
        let lasts = hit.argument("X-Amz-Expires");
        Some(Self {
            lasts: lasts.and_then(|seconds| seconds.parse().ok()),
            ..signature
        })
    }

    fn new(
        credential: &str,
        headers: &str,
        signature: &str,
        time: &str,
        presigned: bool,
    ) -> Option<Self> {
        let mut scope = credential.split('/').map(str::to_owned);
        let signature = Self {
            key: scope.next()?,
            day: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            time: time.to_owned(),
            headers: headers
                .split(';')
                .take(MAX_SIGNED_HEADERS)
                .map(str::to_ascii_lowercase)
                .collect(),
            signature: signature.to_owned(),
            presigned,
            lasts: None,
        };
        (scope.next().as_deref() == Some("aws4_request")).then_some(signature)
    }

    /// Whether `secret` signs this request so. A body that the channel has cut is taken as it
    /// is; requests to S3 name their body's hash themselves.
    pub fn check(&self, secret: &str, hit: &HttpHit<'_>) -> Verdict {
        let (signature, string_to_sign, canonical) = self.computed(secret, hit);
        Verdict {
            is_valid: signature == self.signature,
            string_to_sign,
            canonical,
        }
    }

    /// Whether it is too old at `now`, or not yet to be used. A time that cannot be read is no
    /// reason of its own: nothing was signed with it.
    pub fn age(&self, now: Timestamp) -> Option<Age> {
        let made = moment(&self.time)?;
        let early = made.secs().saturating_sub(MAX_SKEW) > now.secs();
        match self.lasts.filter(|_| self.presigned) {
            Some(lasts) => {
                let over = made.secs().saturating_add(lasts.max(0));
                if over < now.secs() {
                    return Some(Age::Over(Timestamp::from_secs(over)));
                }
                early.then_some(Age::Skewed(made))
            }
            None => {
                let late = made.secs().saturating_add(MAX_SKEW) < now.secs();
                (early || late).then_some(Age::Skewed(made))
            }
        }
    }

    /// The signature that `secret` gives.
    #[cfg(test)]
    pub(crate) fn expected(&self, secret: &str, hit: &HttpHit<'_>) -> String {
        self.computed(secret, hit).0
    }

    /// The signature, what is signed, and the request in its canonical form.
    fn computed(&self, secret: &str, hit: &HttpHit<'_>) -> (String, String, String) {
        let canonical = self.canonical(hit);
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        let string_to_sign = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            self.time,
            hash(canonical.as_bytes())
        );
        let mut key = mac(format!("AWS4{secret}").as_bytes(), &self.day);
        for part in [&self.region, &self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = HEXLOWER.encode(&mac(&key, &string_to_sign));
        (signature, string_to_sign, canonical)
    }

    fn canonical(&self, hit: &HttpHit<'_>) -> String {
        let (path, query) = target(hit.url);
        let path = match self.service.starts_with("s3") {
            true => path.to_owned(),
            false => encoded_again(path),
        };
        let mut text = format!("{}\n{path}\n{}\n", hit.method, self.query(query));
        for name in &self.headers {
            let values: Vec<String> = hit
                .headers
                .iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{name}:{}", values.join(","));
        }
        let _ = write!(text, "\n{}\n{}", self.headers.join(";"), self.payload(hit));
        text
    }

    fn query(&self, query: &str) -> String {
        let mut pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .take(MAX_QUERY)
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (encoded(&decoded(name), ""), encoded(&decoded(value), "")))
            .filter(|(name, _)| !(self.presigned && name == "X-Amz-Signature"))
            .collect();
        pairs.sort();
        let pairs: Vec<String> = pairs
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    }

    fn payload(&self, hit: &HttpHit<'_>) -> String {
        match hit.header("x-amz-content-sha256") {
            Some(given) => given.to_owned(),
            None if self.presigned && self.service.starts_with("s3") => {
                "UNSIGNED-PAYLOAD".to_owned()
            }
            None => hash(hit.body),
        }
    }
}

/// `20150830T123600Z`.
pub fn moment(text: &str) -> Option<Timestamp> {
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_secs(at.timestamp().as_second()))
}

/// The header `Authorization` of a request that is to be sent: signs all of its headers, of which
/// `X-Amz-Date` says when. `scope`: region and service.
pub fn authorization(
    key: &str,
    secret: &str,
    (region, service): (&str, &str),
    request: &HttpHit<'_>,
) -> String {
    let mut names: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    let time = request.header("x-amz-date").unwrap_or_default();
    let day = time.get(..8).unwrap_or_default();
    let scope = format!("{key}/{day}/{region}/{service}/aws4_request");
    let names = names.join(";");
    let signature = Signature::new(&scope, &names, "", time, false)
        .map(|signature| signature.computed(secret, request).0)
        .unwrap_or_default();
    format!("{ALGORITHM} Credential={scope}, SignedHeaders={names}, Signature={signature}")
}

/// Path and query of an absolute URL, as sent.
fn target(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let local = rest.find(['/', '?']).and_then(|start| rest.get(start..));
    let (path, query) = local
        .unwrap_or("/")
        .split_once('?')
        .unwrap_or((local.unwrap_or("/"), ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// A path without its dots and empty segments, and with its escapes escaped: all services but S3.
fn encoded_again(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if path.ends_with('/') && !segments.is_empty() {
        clean.push('/');
    }
    encoded(clean.as_bytes(), "/")
}

pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// Everything but the unreserved characters (RFC 3986 section 2.3) and `kept` as escapes.
pub fn encoded(bytes: &[u8], kept: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        let is_plain = byte.is_ascii_alphanumeric()
            || b"-._~".contains(byte)
            || kept.as_bytes().contains(byte);
        if is_plain {
            text.push(char::from(*byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// SHA-256 in hex.
pub fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::request;

    /// The secret key of AWS's published examples.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn headers(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        lines.iter().map(own).collect()
    }

    /// Whether a request of AWS's test suite for Signature Version 4 has its published signature.
    fn suite(
        method: &str,
        url: &str,
        more: &[(&str, &str)],
        body: &[u8],
        signed: &str,
        signature: &str,
    ) {
        let mut lines = headers(&[
            ("Host", "example.amazonaws.com"),
            ("X-Amz-Date", "20150830T123600Z"),
        ]);
        lines.extend(headers(more));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, Signature={signature}"
        );
        lines.extend(headers(&[("Authorization", &authorization)]));
        let hit = HttpHit {
            method,
            url,
            headers: &lines,
            body,
            ..request()
        };
        let read = Signature::of(&hit).unwrap();
        let verdict = read.check(SECRET, &hit);
        assert!(verdict.is_valid, "{method} {url}\n{}", verdict.canonical);
        assert!(!read.check("another", &hit).is_valid);
        let other = HttpHit {
            method: "PATCH",
            url,
            headers: &lines,
            body,
            ..request()
        };
        assert!(!read.check(SECRET, &other).is_valid);
    }

    #[test]
    fn the_published_test_suite_has_its_signatures() {
        let plain = "host;x-amz-date";
        let root = "https://example.amazonaws.com/";
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        suite("GET", root, &[], b"", plain, vanilla);
        for same in [
            "https://example.amazonaws.com",
            "https://example.amazonaws.com/./",
            "https://example.amazonaws.com/example/..",
            "https://example.amazonaws.com//",
        ] {
            suite("GET", same, &[], b"", plain, vanilla);
        }
        suite(
            "GET",
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            &[],
            b"",
            plain,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        suite(
            "POST",
            root,
            &[],
            b"",
            plain,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        suite(
            "POST",
            root,
            &[("Content-Type", "application/x-www-form-urlencoded")],
            b"Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
    }

    /// A request of the examples in the S3 API reference.
    fn s3(method: &str, url: &str, more: &[(&str, &str)], signed: &str, signature: &str) -> bool {
        let mut lines = headers(&[
            ("Host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
        ]);
        lines.extend(headers(more));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
        );
        lines.extend(headers(&[("Authorization", &authorization)]));
        let hit = HttpHit {
            method,
            url,
            headers: &lines,
            ..request()
        };
        Signature::of(&hit).unwrap().check(S3_SECRET, &hit).is_valid
    }

    #[test]
    fn the_published_examples_of_s3_have_their_signatures() {
        let empty = ("x-amz-content-sha256", NOTHING);
        assert!(s3(
            "GET",
            "https://examplebucket.s3.amazonaws.com/test.txt",
            &[("Range", "bytes=0-9"), empty],
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ));
        assert!(s3(
            "GET",
            "https://examplebucket.s3.amazonaws.com/?lifecycle",
            &[empty],
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ));
        assert!(s3(
            "GET",
            "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
            &[empty],
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ));
        assert!(s3(
            "PUT",
            "https://examplebucket.s3.amazonaws.com/test%24file.text",
            &[
                ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                (
                    "x-amz-content-sha256",
                    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
                ),
            ],
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ));
    }

    #[test]
    fn a_presigned_url_has_its_published_signature() {
        let url = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        let query = headers(&[
            ("X-Amz-Algorithm", ALGORITHM),
            (
                "X-Amz-Credential",
                "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
            ),
            ("X-Amz-Date", "20130524T000000Z"),
            ("X-Amz-Expires", "86400"),
            ("X-Amz-SignedHeaders", "host"),
            (
                "X-Amz-Signature",
                "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
            ),
        ]);
        let lines = headers(&[("Host", "examplebucket.s3.amazonaws.com")]);
        let hit = HttpHit {
            url,
            headers: &lines,
            query: &query,
            ..request()
        };
        let read = Signature::of(&hit).unwrap();
        assert!(read.check(S3_SECRET, &hit).is_valid);
        assert_eq!((&*read.region, &*read.service), ("us-east-1", "s3"));
        let made = 1_369_353_600;
        for (now, age) in [
            (made - 901, Some(Age::Skewed(Timestamp::from_secs(made)))),
            (made - 900, None),
            (made + 86_400, None),
            (
                made + 86_401,
                Some(Age::Over(Timestamp::from_secs(made + 86_400))),
            ),
        ] {
            assert_eq!(read.age(Timestamp::from_secs(now)), age, "{now}");
        }
    }

    #[test]
    fn what_is_no_signature_is_none() {
        for header in [
            "",
            "Basic YTpi",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=A/B/C, SignedHeaders=host, Signature=0",
            "AWS4-HMAC-SHA256 Credential=A/1/r/s/aws4, SignedHeaders=host, Signature=0",
        ] {
            let lines = headers(&[("Authorization", header)]);
            let hit = HttpHit {
                headers: &lines,
                ..request()
            };
            assert_eq!(Signature::of(&hit), None, "{header}");
        }
        assert_eq!(decoded("%4"), b"%4");
        assert_eq!(decoded("%zz%41"), b"%zzA");
    }
}
