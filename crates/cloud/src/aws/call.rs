//! One request to Amazon: signed, sent, read; tried again where it was too many at once.

use std::fmt;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coalmine_core::Timestamp;
use coalmine_core::token::HttpHit;
use coalmine_tokens::aws::sigv4;
use serde_json::Value;

use super::AwsConfig;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
/// Longest wait for one answer.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// How often a request is sent that is throttled or meets a failure of the server.
const MAX_TRIES: u32 = 4;
/// Pause before the second try; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest message of Amazon's that is told, in characters.
const MAX_TOLD: usize = 300;

/// The services.
pub struct Api {
    agent: ureq::Agent,
    key: String,
    secret: String,
    endpoint: Option<String>,
    pause: Duration,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Amazon's word for it; empty where it wasn't Amazon.
    code: String,
    message: String,
    /// Whether it may go better later.
    passes: bool,
    /// Whether no answer came.
    pub is_unreachable: bool,
}

impl Failure {
    /// An answer that isn't what it should be.
    pub fn garbled(message: &str) -> Self {
        Self {
            code: String::new(),
            message: message.to_owned(),
            passes: false,
            is_unreachable: false,
        }
    }

    /// Whether Amazon itself said no. Otherwise nobody knows whether it was done.
    pub fn is_refusal(&self) -> bool {
        !self.code.is_empty()
    }

    /// Whether Amazon calls it so.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match &*self.code {
            "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch" => {
                "; check access_key_id and secret_access_key in [cloud.aws]"
            }
            "AccessDenied" | "AccessDeniedException" => "; the key of [cloud.aws] needs that right",
            _ => "",
        };
        match &*self.code {
            "" => f.write_str(&self.message),
            code => write!(f, "{code}: {}{advice}", self.message),
        }
    }
}

/// The few texts of an XML answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xml(String);

impl Xml {
    /// What the first element of this name holds.
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        let missing = || Failure::garbled(&format!("the answer of AWS holds no {name}"));
        self.texts(name).into_iter().next().ok_or_else(missing)
    }

    /// What each element of this name holds.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        let elements = self.0.split(&start).skip(1);
        elements
            .filter_map(|rest| rest.split_once(&end))
            .map(|(text, _)| plain(text))
            .collect()
    }
}

fn plain(text: &str) -> String {
    let plain = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    plain
        .iter()
        .fold(text.trim().to_owned(), |text, (from, to)| {
            text.replace(from, to)
        })
}

impl Api {
    pub fn new(config: &AwsConfig) -> Self {
        // The tree has one crypto provider; a second call changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(MAX_WAIT.min(config.pause)))
            .build()
            .new_agent();
        Self {
            agent,
            key: config.access_key_id.clone(),
            secret: config.secret_access_key.clone(),
            endpoint: config.endpoint.clone(),
            pause: PAUSE.min(config.pause),
        }
    }

    /// An operation of IAM.
    pub fn iam(&self, action: &str, params: &[(&str, &str)]) -> Result<Xml, Failure> {
        let mut body = format!("Action={action}&Version=2010-05-08");
        for (name, value) in params {
            body.push_str(&format!("&{name}={}", sigv4::encoded(value.as_bytes(), "")));
        }
        let mime = "application/x-www-form-urlencoded; charset=utf-8";
        let host = self.host("iam", None);
        let asked = Asked {
            service: "iam",
            region: "us-east-1",
            makes: action.starts_with("Create"),
            url: &host,
            headers: &[("Content-Type", mime)],
            body: &body,
        };
        self.ask(&asked).map(Xml)
    }

    /// An operation of CloudTrail.
    pub fn trail(&self, region: &str, action: &str, body: &Value) -> Result<Value, Failure> {
        let target = format!("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{action}");
        let host = self.host("cloudtrail", Some(region));
        let asked = Asked {
            service: "cloudtrail",
            region,
            makes: false,
            url: &host,
            headers: &[
                ("Content-Type", "application/x-amz-json-1.1"),
                ("X-Amz-Target", &target),
            ],
            body: &body.to_string(),
        };
        let answer = self.ask(&asked)?;
        serde_json::from_str(&answer).map_err(|_| Failure::garbled("the answer of AWS is no JSON"))
    }

    fn host(&self, service: &str, region: Option<&str>) -> String {
        match (&self.endpoint, region) {
            (Some(endpoint), _) => format!("{}/", endpoint.trim_end_matches('/')),
            (None, Some(region)) => format!("https://{service}.{region}.amazonaws.com/"),
            (None, None) => format!("https://{service}.amazonaws.com/"),
        }
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<String, Failure> {
        let mut pause = self.pause;
        let mut tries = 1;
        loop {
            match self.ask_once(asked) {
                // What may have been made unheard would be made twice.
                Err(failure) if asked.makes && !failure.is_refusal() => return Err(failure),
                Err(failure) if failure.passes && tries < MAX_TRIES => {
                    tries += 1;
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2);
                }
                other => return other,
            }
        }
    }

    fn ask_once(&self, asked: &Asked<'_>) -> Result<String, Failure> {
        let at = now();
        let host = asked.url.split('/').nth(2).unwrap_or_default();
        let stamp = at.format("%Y%m%dT%H%M%SZ");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut headers: Vec<(String, String)> = asked.headers.iter().map(own).collect();
        headers.push(own(&("X-Amz-Date", &stamp)));
        let mut signed = headers.clone();
        signed.push(own(&("Host", host)));
        let hit = HttpHit {
            at,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            tls: true,
            client_certificate: None,
            method: "POST",
            url: asked.url,
            rest: "",
            headers: &signed,
            query: &[],
            body: asked.body.as_bytes(),
        };
        let scope = (asked.region, asked.service);
        let line = sigv4::authorization(&self.key, &self.secret, scope, &hit);
        let mut request = self.agent.post(asked.url).header("Authorization", line);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let unreachable = |problem: String| Failure {
            code: String::new(),
            message: format!("{host} can't be reached: {problem}"),
            passes: true,
            is_unreachable: true,
        };
        let mut answer = request
            .send(asked.body)
            .map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        let mut text = String::new();
        answer
            .body_mut()
            .as_reader()
            .take(MAX_ANSWER)
            .read_to_string(&mut text)
            .map_err(|error| unreachable(error.to_string()))?;
        match status {
            200 => Ok(text),
            status => Err(refusal(status, &text)),
        }
    }
}

struct Asked<'a> {
    service: &'a str,
    region: &'a str,
    /// Whether it makes something anew each time it's done.
    makes: bool,
    url: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
}

/// What Amazon says in XML or JSON.
fn refusal(status: u16, text: &str) -> Failure {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let of_json = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let xml = Xml(text.to_owned());
    let code = of_json("__type")
        .or_else(|| xml.text("Code").ok())
        .unwrap_or_default();
    // Some write a name space before it.
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    let message = of_json("message")
        .or_else(|| of_json("Message"))
        .or_else(|| xml.text("Message").ok());
    let message = message.unwrap_or_default();
    let message: String = message.chars().take(MAX_TOLD).collect();
    let message = match (message.is_empty(), code.is_empty()) {
        (false, _) => message,
        (true, false) => "no message".to_owned(),
        (true, true) => format!("AWS answered with status {status} and no error of its own"),
    };
    let throttled = ["Throttl", "TooManyRequests", "RequestLimitExceeded"];
    let passes = status >= 500 || throttled.iter().any(|word| code.contains(word));
    Failure {
        code,
        message,
        passes,
        is_unreachable: false,
    }
}

/// `2026-11-22T10:15:00Z`.
pub fn moment(text: &str) -> Option<Timestamp> {
    sigv4::moment(&text.replace(['-', ':'], ""))
}

/// Signing needs the real time.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let secs = since.unwrap_or_default().as_secs();
    Timestamp::from_secs(i64::try_from(secs).unwrap_or(i64::MAX))
}
